"""What is told of output that waits where no mark says that it is too much: in asyncore's channels; and in TLS of asyncio's, which has its own.

A dispatcher_with_send has one buffer, an async_chat a queue of pieces and of producers, whose bytes nobody knows beforehand. That of a
thousand short lines is counted at each of them, so what was counted last is added to as long as nothing of it has been sent.
What is written to a transport that is lost is told of, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["MARK", "Counted", "over_appdata", "over_push", "over_send", "over_warning"]

MARK = 65_536  # bytes: the high-water mark of asyncio's transports, and of a dispatch.Stream


class Counted:
    """The bytes in a queue of pieces, when they were counted last: behind a push, so that there are more of them if none has gone."""

    __slots__ = ("first", "length", "size")

    def __init__(self) -> None:
        self.first = (
            0  # its id: it may be a producer, which knows its channel, and is to go when the program lets it go
        )
        self.length = self.size = 0

    def bytes_in(self, pieces: Sequence[Any]) -> int:
        """How many bytes wait in *pieces*; a producer, and the None that ends them, are none."""
        length = len(pieces)
        first = id(pieces[0]) if length else 0
        new: Iterable[Any] = pieces
        if first == self.first and self.length < length:
            # From behind: a deque goes there from its nearer end.
            new = [pieces[n] for n in range(self.length - length, 0)]
        else:
            self.first, self.size = first, 0
        self.size += sum(len(each) for each in new if isinstance(each, (bytes, bytearray, memoryview)))
        self.length = length
        return self.size


def over_push(teller: Any) -> Any:
    """Hear of what an async_chat is given while it has not sent all that it was given before."""

    def push(self: Any, data: Any) -> None:
        teller.original(self, data)
        for hearer in teller.hearers():
            hearer.pushed(self, getattr(self, "producer_fifo", None) or (), len(data))

    return _unnamed(push)


def over_send(teller: Any) -> Any:
    """Hear of the same of a dispatcher_with_send."""

    def send(self: Any, data: Any) -> None:
        teller.original(self, data)
        for hearer in teller.hearers():
            out = vars(self).get("_dispatch_out")  # to ask for out_buffer makes bytes of all that waits
            hearer.pushed(self, len(self.out_buffer if out is None else out), len(data))

    return _unnamed(send)


def _unnamed(function: Any) -> Any:
    """*function*, which stays in its place, and is left out where dispatch puts a traceback into one line."""
    events: Any = sys.modules.get("dispatch.maps.events")
    if events is not None:
        events.UNNAMED.add(function.__code__)
    return function


def over_appdata(teller: Any) -> Any:
    """Hear of what is written over TLS in which too much waits already: behind a transport that is full nothing goes on."""

    def _write_appdata(protocol: Any, pieces: Any) -> None:
        first = not protocol._app_writing_paused
        teller.original(protocol, pieces)
        if protocol._app_writing_paused and protocol._app_transport is not None:  # else it is lost, and nothing waits
            for hearer in teller.hearers():
                queued = protocol._get_write_buffer_size()
                hearer.waits(protocol._app_transport, queued, protocol._outgoing_high_water, first)

    return _write_appdata


#: What asyncio says then, of a socket and over TLS.
WRITTEN_IN_VAIN = ("socket.send() raised exception.", "SSL connection is closed")


def over_warning(teller: Any) -> Any:
    """Hear of writes to a transport of asyncio that is lost, or closed: they are thrown away, and its log has a line of each from the sixth on.

    Nothing is raised, and no socket is called, so that no trace has it; the logger is called where they are written.
    """

    def warning(message: Any, *arguments: Any, **options: Any) -> None:
        hearers = teller.hearers() if message in WRITTEN_IN_VAIN else ()
        if hearers and (transport := sys._getframe(1).f_locals.get("self")) is not None:
            for hearer in hearers:
                hearer.lost(transport)
        options["stacklevel"] = options.get("stacklevel", 1) + 1  # the record names who has called, as without this
        teller.original(message, *arguments, **options)

    return warning
