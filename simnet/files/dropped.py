"""What nothing refers to any more: a socket that was not closed, which is closed as CPython does it, with its warning; and what the collector finds."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any

from simnet.whereabouts import caller_outside

if TYPE_CHECKING:
    from simnet.faults.inject import Injector

__all__ = ["collect_the_youngest", "dropped", "each_told_once"]

# In a sweep, by the line at which a reference went: the first, and how many.
_told: dict[str, tuple[ResourceWarning, int]] | None = None


def dropped(sock: Any, injector: Callable[[], Injector], *, heard: bool) -> None:
    """The finalizer of *sock*, which is open: with ``-W error`` that is an error, and it is closed nevertheless.

    Not *heard* is what its process no longer answers for, as it is being ended. Of an error that nobody can catch, the faults of
    *injector* that have acted say in which of a sweep's runs it was.
    """
    try:
        if heard:
            warnings.warn(f"unclosed {sock!r}", ResourceWarning, stacklevel=3, source=sock)
    except ResourceWarning as error:
        place = _place(sys._getframe(1))
        first, before = (error, 0) if _told is None else _told.get(place, (error, 0))
        if _told is not None:
            _told[place] = first, before + 1
        if not before:
            acted = "; ".join(map(str, injector().fired))
            error.add_note(f"{place}under the plan: {acted or 'no faults'}")
            raise
    finally:
        with suppress(OSError):  # somebody else has closed the number
            sock._real_close()


@contextmanager
def each_told_once() -> Iterator[None]:
    """For all runs of a sweep: a socket that is dropped at a line in each of a thousand runs is one mistake."""
    global _told
    before, _told = _told, {}
    try:
        yield
    finally:
        for first, count in _told.values():
            if count > 1:
                first.add_note(f"and so {'once' if count == 2 else f'{count - 1:,} times'} more in this sweep")
        _told = before


def _place(frame: FrameType) -> str:
    """At which line the last reference went; nothing where it was the collector that found it."""
    step: FrameType | None = frame
    while step is not None and step.f_code is not collect_the_youngest.__code__:
        step = step.f_back
    return f"at {caller_outside(frame)}, " if step is None else ""


def collect_the_youngest() -> None:
    """All that a run made is of this generation: tasks, too, that nobody will wake, since asyncio holds none that waits for what only it knows.

    asyncio logs each (`Task was destroyed but it is pending!`), and a sweep tells who waits for ever. What its `finally` code makes of
    that, which waits or finds no loop, is Python's own word for no more, and a failure of the test where warnings are errors.
    """
    before = sys.unraisablehook

    def hear(unraisable: Any) -> None:
        if type(unraisable.object) is not CoroutineType:
            before(unraisable)

    sys.unraisablehook = hear
    try:
        gc.collect(0)
    finally:
        sys.unraisablehook = before
