"""What is always checked once a network has become quiet, while its processes still hold what they hold.

Violations that occur during a run are recorded where they occur: *no-spin* in `wait`, those about handlers in
`observe`. Each has a name; ``invariants={"nothing-left": "off"}`` turns one off, ``"warning"`` makes it a warning.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from simnet.blame import exception_line
from simnet.kernel.datagrams.sending import DatagramSender
from simnet.kernel.states import CLOSE_WAIT, CLOSED, CLOSING, LAST_ACK, LISTEN, TIME_WAIT
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.kernel.unix.sockets import UnixSocket
from simnet.kernel.unix.tampering import TamperableUnix
from simnet.owned.unasked import HANDLER_RAISED, REMEDY, failed_unasked
from simnet.verdicts import BLOCKS_THE_LOOP, BOUNDED_BUFFERS, BROKEN_GIVEN_UP, Verdict
from simnet.whereabouts import serving, told_of

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = [
    "ANSWERED_AGAIN",
    "ANSWERS_TOLD_APART",
    "BROKEN_GIVEN_UP",
    "CONNECTED_ANEW",
    "CUT_SHORT",
    "DATAGRAMS_TOLD_APART",
    "LEVELS",
    "NAMES",
    "NOTHING_LEFT",
    "NO_STORM",
    "OTHERS_ANSWERED",
    "OTHERS_SURVIVE",
    "REFUSED_ALIKE",
    "SAID_ONCE",
    "SERVED_ANYWAY",
    "WAITS_FOR_EVER",
    "WARNED_OF",
    "at_quiet",
    "checked",
    "expects_somebody",
    "held_at_quiet",
    "may_yet_be_given",
    "still_holds",
    "still_waiting",
    "waits_alone",
    "with_levels",
]

NOTHING_LEFT = "nothing-left"
OTHERS_SURVIVE = "others-survive"
OTHERS_ANSWERED = "others-answered"
ANSWERS_TOLD_APART = "answers-told-apart"
ANSWERED_AGAIN = "answered-again"
DATAGRAMS_TOLD_APART = "datagrams-told-apart"
CONNECTED_ANEW = "connected-anew"
SAID_ONCE = "said-once"
LATE_END = "late-end"
HALF_READ = "half-read"
CUT_SHORT = "cut-short"
REFUSED_ALIKE = "refused-alike"
NO_STORM = "no-storm"
SERVED_ANYWAY = "served-anyway"
NAMES = (
    "no-spin",
    NO_STORM,
    "listener-survives",
    "loop-survives",
    OTHERS_SURVIVE,
    OTHERS_ANSWERED,
    ANSWERS_TOLD_APART,
    ANSWERED_AGAIN,
    DATAGRAMS_TOLD_APART,
    BROKEN_GIVEN_UP,
    CONNECTED_ANEW,
    SAID_ONCE,
    LATE_END,
    HALF_READ,
    CUT_SHORT,
    REFUSED_ALIKE,
    SERVED_ANYWAY,
    "one-close",
    "silence-after-close",
    NOTHING_LEFT,
    HANDLER_RAISED,
    "always",
    BLOCKS_THE_LOOP,
    BOUNDED_BUFFERS,
)
WAITS_FOR_EVER = "waits-for-ever"
"""A sweep judges it beside its run without faults; a network of one's own has none, and looks only if it is asked to."""

WARNED_OF = (
    NO_STORM,
    BLOCKS_THE_LOOP,
    ANSWERS_TOLD_APART,
    ANSWERED_AGAIN,
    DATAGRAMS_TOLD_APART,
    BROKEN_GIVEN_UP,
    CONNECTED_ANEW,
    SAID_ONCE,
    LATE_END,
    HALF_READ,
    CUT_SHORT,
    REFUSED_ALIKE,
    SERVED_ANYWAY,
)  # no failures, unless a test says so
LEVELS = ("failure", "warning", "off")
WAITS_SHOWN = 3  # of threads that wait for locks: two that wait for each other, and who waits for them
# States in which the peer is gone for good, or never was.
OVER = frozenset({CLOSE_WAIT, CLOSED, CLOSING, LAST_ACK, TIME_WAIT})


def checked(levels: Any) -> dict[str, str]:
    """*levels*, if every name and level in it exists; a reason may follow a level, after a colon.

    Raises:
        TypeError: no mapping.
        ValueError: there is no such name or level, with those that there are.
    """
    if not isinstance(levels, Mapping):
        raise TypeError(f"invariants={levels!r}: a mapping such as {{'nothing-left': 'off: a pool keeps them'}}")
    known = (*NAMES, WAITS_FOR_EVER)
    words = {}
    for name, level in levels.items():
        if name not in known:
            raise ValueError(f"invariants: there is no invariant {name!r}; there are {', '.join(known)}")
        word = level.partition(":")[0].strip() if isinstance(level, str) else level
        if word not in LEVELS:
            raise ValueError(
                f"invariants: {name!r} is set to {level!r}; it can be {', '.join(LEVELS)}, and ': why' after it"
            )
        words[name] = word
    return words


def lets_spin(levels: Mapping[str, str]) -> bool:
    """Does a busy loop go on, since a test asks for no more than a warning of it?"""
    return levels.get("no-spin", "failure") != "failure"


def with_levels(verdicts: Iterable[Verdict], levels: Mapping[str, str]) -> list[Verdict]:
    """The verdicts at the levels a test asked for; those turned off are gone."""
    kept = []
    for verdict in verdicts:
        level = levels.get(verdict.name, verdict.level)
        if level == "off":
            continue
        if level != verdict.level:
            verdict = Verdict(verdict.name, verdict.message, verdict.host, verdict.error, level)
        kept.append(verdict)
    return kept


def at_quiet(processes: Iterable[Process]) -> list[Verdict]:
    """What targets still hold although the other end is gone and nothing more will happen; and tasks that have failed, whom nobody has asked."""
    processes = list(processes)
    left = list(held_at_quiet(processes))
    lent = _lent() if left else set()
    return [
        _died_unheard(process, *file)
        if isinstance(file, tuple)
        else Verdict(
            NOTHING_LEFT,
            still_holds(
                process.name,
                file.tag,
                _state(file),
                not lent.isdisjoint(_numbers(process, file)),
                _whose(process, file),
            )
            + _locked_out(process, processes),
            process.host_name,
        )
        for process, file in left
    ]


def held_at_quiet(processes: Iterable[Process]) -> Iterator[tuple[Process, Any]]:
    """As `at_quiet`: who holds what. There is no text to be made, which takes a look at all that lives."""
    for process in processes:
        if not process.target or process.done or process.owner is not None:  # whose descriptors a thread has
            continue
        for file in process.descriptors.files():
            if (isinstance(file, TcpSocket) and _is_over(file)) or _is_left(file):
                yield process, file
        if (loop := process.state.get("loop")) is not None:
            for failed in failed_unasked(loop):
                yield process, failed


def _died_unheard(process: Process, task: str, error: BaseException) -> Verdict:
    """A warning: who holds the task may ask yet, when the program ends."""
    message = f"{exception_line(error)} ended {task} of {process.name}, which goes on without it: nobody has asked what came of it, and asyncio "
    message += f"says so only when nobody holds it. {REMEDY}"
    return Verdict(HANDLER_RAISED, message, process.host_name, error, "warning")


def still_holds(process: str, what: object, state: str, lent: bool, whose: str = "") -> str:
    """The text of *nothing-left*; *lent* if the socket itself has been closed, and a file of it has not; *whose* it is, if known."""
    remedy = "Close it when it has ended."
    if lent:
        remedy = "Its close() waits for a file that makefile() has made of it: close that, too, as `with sock.makefile(...) as f` does."
    return f"{process} still holds {what} ({state}){whose}, whose peer is gone: nothing will ever come of it but a lost descriptor. {remedy}"


def _whose(process: Process, file: Any) -> str:
    """At which line of the program's own it was accepted, if it was there, or where the task of asyncio stands that has it."""
    stood = getattr(file.tag, "accepted_by", None)
    if place := told_of(stood) if stood is not None else "":
        return f", accepted at {place}"
    loop = process.state.get("loop")
    place = serving(loop, _numbers(process, file)) if loop is not None else ""
    return f", served by a task at {place}" if place else ""


def _locked_out(process: Process, processes: Iterable[Process]) -> str:
    """Which threads of its program, if any, wait for a lock: they may be those that were to close it."""
    threads = [each for each in processes if each.memory is process.memory and not each.done]
    waits = [each.describe_wait() for each in threads if each.waiting is not None and each.waiting[0] == "a lock"]
    return "".join(f" {each}." for each in waits[:WAITS_SHOWN])


def _lent() -> set[int]:
    """The descriptors of sockets that programs have closed, and that stay open for a file that ``makefile`` has made of each."""
    living = gc.get_objects()
    kinds = {kind for kind in set(map(type, living)) if issubclass(kind, socket.socket)}
    return {each.fileno() for each in living if type(each) in kinds and each._closed}


def _numbers(process: Process, file: object) -> set[int]:
    return {fd for fd, each in process.descriptors.open.items() if each is file}


def still_waiting(process: Process, told: str) -> Verdict | None:
    """The verdict on a target that waits without a deadline when nothing more will happen, by what is *told* of its wait.

    Nobody can say of a server that its next client will not come: who holds a listener and waits to accept, or polls, is
    not meant; nor is a daemon that waits for what its program may hand to it.
    """
    what = process.waiting[0] if process.waiting is not None else ""
    if (process.daemon and what == "a notification") or expects_somebody(process):
        return None
    return Verdict(WAITS_FOR_EVER, f"{told}, without a deadline, so for ever", process.host_name)


def expects_somebody(process: Process) -> bool:
    """Does *process* hold a listener, and wait to accept, or poll?"""
    what = process.waiting[0] if process.waiting is not None else ""
    return what in ("accept", "readiness of") and any(
        isinstance(file, (TcpSocket, UnixSocket)) and file.state == LISTEN for file in process.descriptors.files()
    )


def may_yet_be_given(process: Process) -> bool:
    """Does *process* wait for what a thread of its program may give, one that waits with a deadline, and of whom no time has been up yet?

    A run is over when all others but look now and then; who has been waiting for a minute then may do anything when that is up.
    """
    who: Process | None = process
    threads = [each for each in process.scheduler.processes if each.memory is process.memory and not each.done]
    for _ in threads:  # those who wait for each other make a circle
        waiting: tuple[str, Any] = (who.waiting if who is not None else None) or ("", None)
        what, thing = waiting
        if what == "a notification":  # which may come from anybody
            return any(each.has_deadline and not each.heartbeats for each in threads)
        who = thing if what == "the end of" else thing.holder if what == "a lock" else None
        if who not in threads or who is None or who.has_deadline:
            break
    return who is not None and who in threads and who.has_deadline and not who.heartbeats


def waits_alone(process: Process, *, in_tasks: bool) -> bool:
    """Whether *process*, which waits *in_tasks* or for its next client, has no connection, and no socket for datagrams, by which it could
    be woken: listeners at most. A pair, both ends of which are its own, wakes who polls by another thread alone; tasks are not so sure.
    """
    files = process.descriptors.files()
    own = [] if in_tasks else [each.peer for each in files if isinstance(each, UnixSocket)]
    return (in_tasks or expects_somebody(process)) and not any(
        getattr(file, "state", None) != LISTEN
        and (isinstance(file, DatagramSender) or _is_linked(file))
        and not any(file is each for each in own)
        for file in files
    )


def _is_linked(file: Any) -> bool:
    """Is it a connection that has a name? The pair that wakes an event loop has none."""
    return isinstance(file, (TcpSocket, UnixSocket)) and getattr(file.tag, "place", None) is not None


def _is_over(file: TcpSocket) -> bool:
    return file.state in OVER and file.peer is not None and not file.unsent


def _state(file: Any) -> str:
    return str(file.state) if isinstance(file, TcpSocket) else "hung up"


def _is_left(file: Any) -> bool:
    """Is it a connection of Unix sockets that has a name, and whose other end has closed?"""
    return isinstance(file, TamperableUnix) and getattr(file.tag, "place", None) is not None and file.left_alone
