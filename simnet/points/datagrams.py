"""Calls of sockets for datagrams in a trace, and what the run had done by then that decides what they can meet."""

from __future__ import annotations

from typing import Final, NamedTuple

from simnet.kernel.options.idle import ERROR_QUEUES
from simnet.trace import Event, Failed

__all__ = ["DatagramCall", "DatagramCalls", "is_of_datagrams"]

OPS: Final = ("recv", "send")


class DatagramCall(NamedTuple):
    """One send or recv of a socket for datagrams."""

    first: bool  # of its op at this place that went well
    hears: bool  # something was sent before, and what a host answers to that would be told: it is connected, or has an error queue
    named: bool  # it says whereto
    reported: bool  # a poller has said, since the last read, that there is something


def is_of_datagrams(event: Event) -> bool:
    """Is the call *event* a read or a send of a socket for datagrams, or of a listener, which fails?"""
    return event.op in OPS and "#" not in event.place


class DatagramCalls:
    """What a run has done before the call that is looked at. Sets here are asked for membership only."""

    __slots__ = ("_made", "_queues", "_reported")

    def __init__(self) -> None:
        self._made: set[tuple[str, str]] = set()  # place and op
        self._queues: set[str] = set()  # hosts that have asked for error queues
        self._reported: set[str] = set()  # places

    def note_option(self, event: Event) -> None:
        """A ``setsockopt`` of any socket."""
        if event.arguments[:2] in ERROR_QUEUES and event.arguments[2]:
            self._queues.add(event.host)

    def note_poll(self, reported: tuple[str, ...]) -> None:
        """A poller has reported these."""
        self._reported.update(label.partition(" ")[0] for label in reported)

    def look(self, event: Event) -> DatagramCall:
        """The call *event*, which is now one of those that were made."""
        place, op = event.place, event.op
        hears = (place, "send") in self._made and ("->" in place or event.host in self._queues)
        told = DatagramCall((place, op) not in self._made, hears, len(event.arguments) > 1, place in self._reported)
        if not isinstance(event.result, Failed):
            self._made.add((place, op))
        if op == "recv":
            self._reported.discard(place)
        return told
