"""SO_PEEK_OFF: a peek begins where the one before it ended, and a read moves that place back by what it takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from simnet.kernel.idle_options import SO_PEEK_OFF
from simnet.kernel.options import SOL_SOCKET, Key

PEEK_OFF: Final = (SOL_SOCKET, SO_PEEK_OFF)

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
