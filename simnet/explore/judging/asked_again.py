"""Whether a target answers a question otherwise when it is asked again, since a datagram was lost: the question, or the answer to it.

Who hears nothing sends the same bytes once more. What is done again then, or counted on instead of looked up, shows in another answer. A
question that is asked more than once without the fault may have another answer each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.trace import CALL

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Otherwise", "answered_otherwise"]

LOST = frozenset({"drop"})
Question = tuple[str, str, Any, bytes]  # whose, at which place, from where, and the bytes


class Otherwise(NamedTuple):
    """Where a question had two answers."""

    place: str
    host: str
    entry: int  # the call by which the other one was sent


def answered_otherwise(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Otherwise | None:
    """The first question that a target has answered otherwise the second time, because a datagram was lost; None if there is none."""
    if not disruptive or any(fault.kind not in LOST for fault in disruptive):
        return None
    usual = _answers(baseline)
    for question, answers in _answers(run).items():
        before = usual.get(question, [])
        if len(before) != 1 or len(answers) == 1:
            continue
        first = before[0][1]
        for entry, answer in answers:
            if answer and first and answer != first:
                return Otherwise(question[1], question[0], entry)
    return None


def _answers(run: Run) -> dict[Question, list[tuple[int, tuple[bytes, ...]]]]:
    """Each question that a target has read, and each time what it sent to who asked before it read on, and the last call of it."""
    found: dict[Question, list[tuple[int, tuple[bytes, ...]]]] = {}
    asked: dict[tuple[str, str], Question] = {}  # the last at that place
    for index, (_, kind, host, place, _, op, _, detail) in enumerate(run.trace.entries):
        if kind != CALL or host not in run.targets or "#" in place or op not in ("recv", "send"):
            continue
        here, given = (host, place), detail[1]
        if op == "recv":
            asked.pop(here, None)
            if isinstance(given, tuple) and isinstance(given[0], bytes):
                question = (host, place, given[-1], given[0])
                asked[here] = question
                found.setdefault(question, []).append((index, ()))
        elif here in asked and isinstance(given, int) and len(detail[0]) > 1 and detail[0][-1] == asked[here][2]:
            its = found[asked[here]]
            its[-1] = index, (*its[-1][1], bytes(detail[0][0]))
    return found
