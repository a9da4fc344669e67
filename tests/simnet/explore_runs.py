"""Hand-made runs, for tests of what is said about runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simnet.faults.fault import Fault
from simnet.faults.plan import FaultPlan
from simnet.run import Outcome, ProcessFailure, Run, Waiting
from simnet.trace import Trace
from simnet.verdicts import HandlerError, Verdict


def run_of(
    *faults: Fault,
    returned: object = "done",
    observed: tuple[tuple[str, Any], ...] = (),
    error: BaseException | None = None,
    failures: Iterable[ProcessFailure] = (),
    handler_errors: Iterable[HandlerError] = (),
    verdicts: Iterable[Verdict] = (),
    waiting: Iterable[Waiting] = (),
    entries: Iterable[tuple[Any, ...]] = (),
    listening: tuple[str, ...] = (),
    alive: tuple[str, ...] = (),
    unreached: tuple[Fault, ...] = (),
) -> Run:
    """A run in which *faults* fired; whatever is not said is as in a run where nothing is wrong."""
    trace = Trace()
    trace.entries.extend(entries)  # type: ignore[arg-type]
    raised = None if error is None else f"{type(error).__name__}: {error}"
    plan = FaultPlan(faults)
    return Run(
        plan=plan,
        happened=FaultPlan(tuple(fault for fault in faults if fault not in unreached)),
        unreached=unreached,
        outcome=Outcome(None if error is not None else returned, observed, raised),
        body_error=error,
        failures=list(failures),
        handler_errors=list(handler_errors),
        verdicts=list(verdicts),
        waiting=list(waiting),
        trace=trace,
        time_ns=0,
        targets=("server",),
        listening=listening,
        alive=alive,
    )


def raised(error: BaseException) -> BaseException:
    """*error* with a traceback that ends on this line, as the user's code would leave it."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


def target_ended(error: BaseException) -> ProcessFailure:
    return ProcessFailure("server/serve", "server", True, raised(error))


def support_ended(error: BaseException) -> ProcessFailure:
    return ProcessFailure("client/talk", "client", False, raised(error))


def reached_handle_error(error: BaseException) -> HandlerError:
    return HandlerError("server", True, "server:7", "handle_accept", raised(error))


def waits(target: bool = True, where: str = "server.py:12 in serve") -> Waiting:
    host = "server" if target else "client"
    what = f"{host}/serve waits for recv on test->server:7#1 at {where}, since 0.005000 s"
    return Waiting(f"{host}/serve", host, target, what, where, 5_000_000)
