"""The verdict on a run that is made once, with no run without faults to compare it with, unlike those of a sweep.

It is compared with how it began instead. Every listener that was open then must be open at the end, and no loop that ran then may be
ended by an exception; the outcome, and who waits for what, are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.explore.judging.verdict import Judgement, judge
from simnet.explore.raising import SweepFailure, as_exception
from simnet.explore.report.failure import FailureReport, report_run
from simnet.faults.kinds import Reset
from simnet.trace import PROCESS

if TYPE_CHECKING:
    from simnet.run import Run
    from simnet.world import Network

__all__ = ["Beginning", "failure_alone", "judged_alone"]

TOLD_MAX = 8  # faults, one by one: rates make hundreds
BROKEN_OFF = Reset(on="*->*:*#*", end="server", byte=0)
"""What a client does that leaves: to its server no other than a reset by the network."""


class Beginning(NamedTuple):
    """What of the targets was there when the programs under test had begun."""

    listening: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: Network) -> Beginning:
        targets = [process.name for process in network.processes if process.target and not process.done]
        rows = [row for row in network.netstat() if row.state == "LISTEN" and row.process in targets]
        return cls(tuple(row.tag for row in rows), tuple(targets))


def judged_alone(run: Run, began: Beginning, *, left: bool, invariants: Mapping[str, str], **options: Any) -> Judgement:
    """The verdict on *run*, in which a client has *left* before its time, or none has."""
    ended = {each.process for each in run.failures}
    # By a fault or by hand, with all that ran there.
    crashed = {each.host for each in run.trace.of(PROCESS) if each.op == "crash"}
    before = replace(
        run,
        body_error=None,
        failures=[each for each in run.failures if each.handled],
        handler_errors=[],
        verdicts=[],
        listening=tuple(name for name in began.listening if name.rpartition(":")[0] not in crashed),
        alive=tuple(name for name in began.alive if name in run.alive or name in ended),
    )
    return judge(before, run, invariants=invariants, done=(BROKEN_OFF,) if left else (), **options)


def failure_alone(run: Run, judgement: Judgement) -> BaseException:
    """What to raise for a run that failed: the user's own exception, or one for the rule that is broken."""
    failure, told = judgement.findings[0], _reported(run, judgement)
    return as_exception(failure.error or _broken(failure.reason)(told.title), told)


@lru_cache(maxsize=64)
def _broken(reason: str) -> type[SweepFailure]:
    """A class for each rule: hypothesis tells one bug from another by what is raised, and where."""
    return type("SweepFailure", (SweepFailure,), {"__module__": SweepFailure.__module__, "__doc__": f"[{reason}]"})


def _reported(run: Run, judgement: Judgement) -> FailureReport:
    """Of its plan, what has happened."""
    run = replace(run, plan=run.happened, unreached=())
    told = report_run(run, judgement, run)
    told.commands = (("happened", str(run.happened)),) if 0 < len(run.happened) <= TOLD_MAX else ()
    if len(told.network) > TOLD_MAX:
        told.network = (*told.network[:TOLD_MAX], (f"and so on, {len(told.network):,} faults in all", ""))
    return told
