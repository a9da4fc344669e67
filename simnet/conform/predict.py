"""What simnet says a program does: every answer, and after each step every readiness mask."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from simnet import invariants
from simnet.conform.bench import Bench
from simnet.conform.loose import Loose, state_of
from simnet.conform.program import Program, Step
from simnet.conform.words import Setting
from simnet.kernel.messages import MSG_OOB
from simnet.verdicts import NotModelled
from simnet.world import Network

__all__ = ["LEFT_OUT", "Masks", "Prediction", "Seen", "final_look", "predict", "without"]

EVERYTHING_OFF = dict.fromkeys(invariants.NAMES, "off")  # a random program keeps none of the promises of a server
LEFT_OUT = "(left out)"

Masks = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Seen:
    """One step as it went: the answer in words, and the masks of all open names afterwards."""

    step: Step
    answer: str
    masks: Masks
    ignored: dict[str, int]  # bits of masks that are not compared, by name


@dataclass(slots=True)
class Prediction:
    """A whole run on simnet."""

    seen: list[Seen] = field(default_factory=list)
    final: list[tuple[str, str]] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)  # (state, call), a pair for each step
    not_modelled: str | None = None  # the call at which the program left what simnet knows
    crash: str | None = None  # a traceback: simnet itself broke


def predict(
    program: Program, setting: Setting, observer: Callable[[Bench], None] | None = None, *, trace: bool = True
) -> Prediction:
    """Run *program* on a network of its own. *observer*, if any, is handed the bench after each step."""
    prediction = Prediction()
    try:
        with Network(invariants=EVERYTHING_OFF, trace=trace):
            bench = Bench(setting)
            loose = Loose(bench)
            try:
                for step in program:
                    if not _one_step(bench, loose, step, prediction):
                        break
                    if observer is not None:
                        observer(bench)
                else:
                    if loose.at_the_end():
                        prediction.final = list(final_look(bench))
            finally:
                bench.close()
    except NotModelled:
        pass  # recorded where it arose
    except Exception:  # noqa: BLE001  # whatever simnet dies of is a finding, with the program that did it
        prediction.crash = traceback.format_exc(limit=-6)
    return prediction


def _one_step(bench: Bench, loose: Loose, step: Step, prediction: Prediction) -> bool:
    state = state_of(bench, step.on)
    if loose.leaves_out(step):
        answer = LEFT_OUT
    else:
        prediction.states.append((state, step.call))
        try:
            answer = bench.perform(step)
        except NotModelled as refusal:
            prediction.not_modelled = refusal.call
            prediction.states.pop()
            return False
        bench.acknowledge()
        loose.note(step, answer)
    ignored = loose.ignored()
    prediction.seen.append(Seen(step, answer, without(bench.masks(), ignored), ignored))
    return True


def without(masks: Masks, ignored: dict[str, int]) -> Masks:
    """*masks* less the bits that are not compared."""
    if not ignored:
        return masks
    return tuple([(name, mask & ~ignored.get(name, 0)) for name, mask in masks])


def final_look(
    bench: Bench, expected: list[tuple[str, str]] | None = None, patience: float = 0.0
) -> Iterator[tuple[str, str]]:
    """What is left at the end of a program: all data, how each stream ends, pending errors, names."""
    number = 0
    for problem in bench.disagreements():
        yield "select, poll and epoll", problem
        number += 1
    for name, _ in bench.open_sockets():
        for step in (
            Step("recv", name, (9, MSG_OOB)),
            Step("drain", name),
            Step("getsockopt", name, ("SO_ERROR",)),
            Step("getpeername", name),
            Step("getsockname", name),
        ):
            wanted = expected[number][1] if expected is not None and number < len(expected) else None
            yield str(step), bench.perform(step, wanted, patience)
            number += 1
