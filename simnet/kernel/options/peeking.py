"""SO_PEEK_OFF: a peek begins where the one before it ended, and a read moves that place back by what it takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from simnet.kernel.options.idle import SO_PEEK_OFF
from simnet.kernel.options.values import SOL_SOCKET, Key

PEEK_OFF: Final = (SOL_SOCKET, SO_PEEK_OFF)

STREAM_PEEKED: Final = (SOL_SOCKET, -SO_PEEK_OFF)  # beside the options of a TCP socket: the place as a sequence number

Queued = TypeVar("Queued")


def peeks_on(options: dict[Key, Any] | None) -> bool:
    """Is the option set, to anything but a negative number?"""
    return options is not None and options.get(PEEK_OFF, -1) >= 0


def moved(options: dict[Key, Any], size: int) -> None:
    """*size* bytes were peeked at, or, if it is negative, read."""
    options[PEEK_OFF] = max(0, options[PEEK_OFF] + size)


def at_offset(options: dict[Key, Any], queue: Iterable[tuple[Queued, int]]) -> tuple[Queued | None, int]:
    """The first of *queue*, whose members come with their sizes, that is not wholly before the place, and how far into it.

    ``None`` if all that is there was peeked at. An empty one has the size -1 once it was.
    """
    offset: int = options[PEEK_OFF]
    for each, size in queue:
        if offset < size or (not offset and size >= 0):
            return each, offset
        offset -= max(0, size)
    return None, 0


# A TCP socket keeps the place as a sequence number, which a read moves without knowing of it.


def set_peek_place(options: dict[Key, Any], value: int, copied_seq: int) -> None:
    """The option of a TCP socket whose first unread byte has the number *copied_seq*; a negative *value* unsets it."""
    options[PEEK_OFF] = value
    options[STREAM_PEEKED] = copied_seq + value


def peek_place(options: dict[Key, Any], copied_seq: int) -> int:
    """From which unread byte on the next peek is, 0 if the option is not set."""
    if options.get(PEEK_OFF, -1) < 0:
        return 0
    place: int = options[STREAM_PEEKED] - copied_seq
    return max(0, place)


def peeked_to(options: dict[Key, Any], seq: int) -> None:
    """A peek has ended before the byte *seq*."""
    if options.get(PEEK_OFF, -1) >= 0:
        options[STREAM_PEEKED] = seq


def peeked_over(options: dict[Key, Any], copied_seq: int) -> None:
    """A read dropped the urgent byte before *copied_seq*, which the place does not count."""
    if options.get(PEEK_OFF, -1) >= 0 and options[STREAM_PEEKED] >= copied_seq:
        options[STREAM_PEEKED] += 1


def spliced(options: dict[Key, Any], size: int) -> None:
    """*size* bytes of a TCP socket went into a pipe: the place stays as far from the front as it was (tcp_read_sock)."""
    if STREAM_PEEKED in options:
        options[STREAM_PEEKED] += size


def forget_peek_place(options: dict[Key, Any]) -> None:
    """The next peek begins at the front again, as tcp_disconnect has it."""
    options.pop(PEEK_OFF, None)
