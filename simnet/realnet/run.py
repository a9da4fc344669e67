"""One run on real sockets: the same questions as `simnet.run.play`, answered by a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simnet.faults.plan import FaultPlan
from simnet.process import refuse_coroutines
from simnet.realnet.classes import SECONDS
from simnet.realnet.network import RealNetwork
from simnet.run import Run, Waiting, known_of, unless_left

__all__ = ["RealRun", "play_real"]


@dataclass(slots=True, repr=False)
class RealRun(Run):
    """All that is known of one run, and how much of it the kernel did itself. Its times and its digest are its own."""

    kernel: str = ""


def play_real(
    test: Callable[[Any], object],
    plan: FaultPlan | str | None = None,
    *,
    target: str | Sequence[str] | None = None,
    rates: object = None,
    seed: int = 0,
    invariants: Mapping[str, str] | None = None,
    may_raise: tuple[type[BaseException], ...] = (),
    per_process: Sequence[str] = (),
    seconds: float = SECONDS,
) -> RealRun:
    """Run *test* once on real sockets under *plan*. What the run did is returned, never raised.

    To be judged beside a run without faults made the same way: a simulated one has other times and addresses.

    Raises:
        ValueError: real sockets cannot show a fault of the plan.
        KeyboardInterrupt: Ctrl-C.
        TypeError: *test* takes no network, or is a coroutine function.
    """
    refuse_coroutines(test, "a test")
    network = RealNetwork(
        plan,
        target=target,
        rates=rates,
        seed=seed,
        invariants=invariants,
        may_raise=may_raise,
        per_process=per_process,
        seconds=seconds,
    )
    returned: Any = None
    error: BaseException | None = None
    network.begin()
    try:
        returned = test(network)
    except KeyboardInterrupt:
        network.finish(settle=False)
        raise
    except BaseException as raised:  # noqa: BLE001 - whatever leaves the body is the run's result
        error = raised
    network.finish()
    run = RealRun(
        **known_of(network, returned, error),
        waiting=[
            Waiting(process.name, process.host_name, process.target, what, where, _since(process))
            for process, what, where in network.waiting
        ],
        time_ns=network._stage.clock.now_ns,
        kernel=network.verdict_class,
    )
    return unless_left(run)


def _since(process: Any) -> int:
    return min((wait.since_ns for wait in process.waits.values()), default=0)
