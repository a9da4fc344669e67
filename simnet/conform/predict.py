"""What simnet says a program does: every answer, and after each step every readiness mask.

Here alone conform looks into the simulated kernel, for two things a program cannot see: the state a call was made in,
which is what the report counts, and which answers hang on how large a kernel's buffers are, which nobody should compare.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from simnet import invariants
from simnet.conform.bench import Bench
from simnet.conform.program import Program, Step
from simnet.conform.words import Setting
from simnet.verdicts import NotModelled
from simnet.world import Network

__all__ = ["FINAL", "Prediction", "Seen", "final_look", "predict"]

FINAL = "at the end"
OUT_BITS = 0x304  # OUT WRNORM WRBAND
EVERYTHING_OFF = dict.fromkeys(invariants.NAMES, "off")  # a random program keeps none of the promises of a server
LEFT_TO_THE_KERNEL = "(hangs on buffer sizes)"
BUFFER_CALLS = frozenset({"send", "sendto", "sendmsg", "fill", "ioctl", "wait", "select"})


@dataclass(slots=True)
class Seen:
    """One step as it went: the answer in words, and the masks of all open names afterwards."""

    step: Step
    answer: str
    masks: tuple[tuple[str, int], ...]
    ignored: frozenset[str] = frozenset()  # names whose OUT hangs on buffer sizes


@dataclass(slots=True)
class Prediction:
    """A whole run on simnet."""

    seen: list[Seen] = field(default_factory=list)
    final: list[tuple[str, str]] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)  # (state, call), a pair for each step
    not_modelled: str | None = None  # the call at which the program left what simnet knows
    crash: str | None = None  # a traceback: simnet itself broke


def predict(program: Program, setting: Setting, observer: Callable[[Bench], None] | None = None) -> Prediction:
    """Run *program* on a network of its own. *observer*, if any, is handed the bench after each step."""
    prediction = Prediction()
    try:
        with Network(invariants=EVERYTHING_OFF):
            bench = Bench(setting)
            brim = _Brim(bench)
            try:
                for step in program:
                    if not _one_step(bench, brim, step, prediction):
                        break
                    if observer is not None:
                        observer(bench)
                else:
                    prediction.final = list(final_look(bench))
            finally:
                bench.close()
    except NotModelled:
        pass  # recorded where it arose
    except Exception:  # noqa: BLE001  # whatever simnet dies of is a finding, with the program that did it
        prediction.crash = traceback.format_exc(limit=-6)
    return prediction


def _one_step(bench: Bench, brim: _Brim, step: Step, prediction: Prediction) -> bool:
    prediction.states.append((_state(bench, step.on), step.call))
    loose = brim.stirred()
    if (
        (loose and step.call in BUFFER_CALLS)
        or (brim.full and step.call == "ioctl")
        or _hangs_on_acknowledgements(bench, step)
        or brim.uneven(step)
    ):
        answer = LEFT_TO_THE_KERNEL
    else:
        try:
            answer = bench.perform(step)
        except NotModelled as refusal:
            prediction.not_modelled = refusal.call
            prediction.states.pop()
            return False
        brim.note(step, answer)
    loose = brim.stirred()
    masks = bench.masks()
    if loose:
        masks = tuple([(name, mask & ~OUT_BITS if name in loose else mask) for name, mask in masks])
    prediction.seen.append(Seen(step, answer, masks, loose))
    return True


def final_look(
    bench: Bench, expected: list[tuple[str, str]] | None = None, patience: float = 0.0
) -> Iterator[tuple[str, str]]:
    """What is left at the end of a program: all data, how each stream ends, pending errors, names."""
    for problem in bench.disagreements():
        yield "select, poll and epoll", problem
    number = len(bench.disagreements())
    for name, _ in bench.open_sockets():
        for step in (
            Step("recv", name, (9, 1)),  # MSG_OOB
            Step("drain", name),
            Step("getsockopt", name, ("SO_ERROR",)),
            Step("getpeername", name),
            Step("getsockname", name),
        ):
            wanted = expected[number][1] if expected is not None and number < len(expected) else None
            yield str(step), bench.perform(step, wanted, patience)
            number += 1


def _hangs_on_acknowledgements(bench: Bench, step: Step) -> bool:
    """SIOCOUTQ is a difference of sequence numbers: outside a connection it is whatever the last one left behind."""
    if step.args != ("SIOCOUTQ",):
        return False
    state = _state(bench, step.on)
    return not state.startswith(("ESTABLISHED", "CLOSE_WAIT", "closed", "-", "LISTEN"))


AF_UNIX = 1
CANNOT_SEND = frozenset({"CLOSED", "LISTEN", "SYN_SENT", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK", "TIME_WAIT"})


class _Brim:
    """Connections that were filled, until all of it was read: how much fits meanwhile, each kernel decides."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._full: dict[str, Any] = {}
        self._stirred: dict[str, None] = {}

    def note(self, step: Step, answer: str) -> None:
        if step.call == "fill" and answer == "full":
            self._full[step.on] = _file(self._bench, step.on)
        if not self._full:
            return
        reads = step.call.startswith(("recv", "drain")) or step.call in ("setsockopt", "close", "accept", "shutdown")
        for name, file in list(self._full.items()):
            peer = self._peer(file)
            if file.refs == 0 or (not file.unsent and (peer is None or not peer.unread) and self._no_queue(file)):
                del self._full[name]
                self._stirred.pop(name, None)
            elif reads and step.on != name:
                self._stirred[name] = None

    def _peer(self, file: Any) -> Any:
        for name, _ in self._bench.open_sockets():
            other = _file(self._bench, name)
            if other is not file and _are_peers(file, other):
                return other
        return None

    def _no_queue(self, file: Any) -> bool:
        """Nothing of it waits in an accept queue."""
        return self._peer(file) is not None or file.state == "CLOSED"

    @property
    def full(self) -> bool:
        """Is any connection full, so that what is unread or unsent somewhere is a matter of buffers?"""
        return bool(self._full)

    def uneven(self, step: Step) -> bool:
        """A fill from a socket to one with other buffers: the kernel then counts what is on the way, and for how long."""
        thing = self._bench.things.get(step.on)
        if step.call != "fill" or thing is None or thing.fileno() == -1 or thing.family == AF_UNIX:
            return False
        file = thing._file()
        peer = self._peer(file)
        return file.state not in CANNOT_SEND and (peer is None or peer.rcv_room != file.rcv_room)

    def stirred(self) -> frozenset[str]:
        """Names whose room to send is not to be compared, dups included."""
        if not self._stirred:
            return frozenset()
        files = [self._full[name] for name in self._stirred]
        return frozenset(name for name, _ in self._bench.open_sockets() if _file(self._bench, name) in files)


def _are_peers(one: Any, other: Any) -> bool:
    if getattr(one, "family", 0) == 1 or getattr(other, "family", 0) == 1:
        return getattr(one, "peer", None) is other
    return one.local is not None and one.local == other.peer and one.peer == other.local


def _file(bench: Bench, name: str) -> Any:
    return bench.things[name]._file()


def _state(bench: Bench, name: str) -> str:
    """The state of a socket in words: ``ESTABLISHED+data+fin``."""
    thing = bench.things.get(name)
    if thing is None:
        return "-"
    if not hasattr(thing, "_file"):
        return "poller"
    if thing.fileno() == -1:
        return "closed descriptor"
    file = thing._file()
    kind = {1: "unix", 2: "udp"}.get(1 if file.family == 1 else file.type, "")
    marks = [kind, str(getattr(file, "state", "") or "open")] if kind else [str(file.state)]
    mask = file.mask()
    shut = getattr(file, "shut", 0)
    for mark, there in (
        ("data", bool(getattr(file, "unread", 0))),
        ("urgent", bool(mask & 0x2)),
        ("eof", bool(getattr(file, "done", False))),
        ("shutrd", bool(shut & 1) and not getattr(file, "done", False)),
        ("shutwr", bool(shut & 2)),
        ("error", bool(mask & 0x8)),
        ("full", bool(getattr(file, "unsent", 0))),
    ):
        if there:
            marks.append(mark)
    return "+".join(marks)
