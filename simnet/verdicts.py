"""The simulator's own verdicts on a run. There are few; each is recorded when it arises, and ends with a remedy.

They are ``BaseException``s: a bare ``except:`` in asyncore or a task of asyncio may swallow one, but the record stays. When the
run is over and no program is left that could, they are ``Exception``s as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from simnet.kernel.errors import NotModelled
from simnet.roundabout import Loop, at_loop

__all__ = [
    "BLOCKS_THE_LOOP",
    "BOUNDED_BUFFERS",
    "BROKEN_GIVEN_UP",
    "VERDICTS",
    "Deadlock",
    "Escape",
    "HandlerError",
    "Hang",
    "NotModelled",
    "ProcessEnded",
    "Spin",
    "Verdict",
    "blocks_the_loop",
    "in_full",
    "let_out",
    "told_at",
]


class Deadlock(BaseException):
    """The test waits without a deadline for something that can no longer happen."""

    seen_until: int | None = None
    """How much of the trace there was then: what comes after it, the end of the run has made."""
    seen_ns: int | None = None
    """When that was, by the run's clock."""
    cure: str = ""
    """What to do about those who wait for each other, if that is it."""


class Hang(BaseException):
    """Code that computed, or a network that kept itself busy, beyond a run's limits."""

    loop: Loop | None = None
    """In which it computes, if that is it."""


class Escape(BaseException):
    """A simulated process tried to use the real world: a subprocess, a real timer, a real socket."""


class Spin(BaseException):
    """A loop that wakes for the same readiness again and again, and does nothing about it (busy loop)."""


class ProcessEnded(BaseException):
    """Raised in a process where it waits, when its network ends. Its descriptors are closed already."""


VERDICTS = (Deadlock, Escape, Hang, NotModelled, Spin)  # what ends a run or a process, and is on record


def in_full(error: BaseException, interrupted: BaseException | None) -> BaseException:
    """*error*, or what it stands for: the watchdog can throw no more than a class, and says in *interrupted* who computed, and where."""
    if isinstance(error, Hang) and not error.args and isinstance(interrupted, Hang):
        return interrupted.with_traceback(told_at(error.__traceback__, interrupted))
    return error


def told_at(traceback: TracebackType | None, hang: Hang) -> TracebackType | None:
    """The *traceback* of what the watchdog has thrown: it ends at the loop, and not where in it that has met the program."""
    return traceback if hang.loop is None else at_loop(traceback, hang.loop)


def let_out(error: BaseException) -> BaseException:
    """*error*, which leaves its network: a verdict is an ``Exception`` from here on, under the same name.

    hypothesis makes nothing small, and tells no example, of what is none.
    """
    if (kind := _LET_OUT.get(type(error))) is not None:
        error.__class__ = kind
    return error


_LET_OUT: dict[type[BaseException], type[BaseException]] = {
    kind: type(kind.__name__, (kind, Exception), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    for kind in VERDICTS
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of a run's record: which rule was broken, by whom, and how."""

    name: str  # "no-spin", "listener-survives", "NotModelled", "Hang" ...
    message: str
    host: str = ""
    error: BaseException | None = None
    level: str = "failure"  # or "warning"

    def __str__(self) -> str:
        return f"[{self.name}] {self.message}"


BLOCKS_THE_LOOP = "blocks-the-loop"  # the name of the warning


BOUNDED_BUFFERS = "bounded-buffers"
BROKEN_GIVEN_UP = "broken-given-up"


def blocks_the_loop(process: str, host: str, did: str, where: str, remedy: str) -> Verdict:
    """The warning of a process that waits in a handler, a coroutine or a callback of its event loop."""
    text = (
        f"{process} {did} in its event loop, at {where}: nothing else of that loop goes on meanwhile. {remedy} lets it"
    )
    return Verdict(BLOCKS_THE_LOOP, text, host, level="warning")


@dataclass(frozen=True, slots=True)
class HandlerError:
    """An exception that a handler of an event loop let out: it reached ``handle_error``, or the loop."""

    host: str
    target: bool
    channel: str
    handler: str
    error: BaseException
