"""How an example of a state machine ends: its network is left, and one error is raised."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn
from unittest import SkipTest

from simnet.blame import write_on

__all__ = ["ends_all", "leaves_its_network", "raise_alone"]


def raise_alone(error: BaseException) -> NoReturn:
    """Raise *error*, and not as one that came of what is on its way already: hypothesis tells bugs by both."""
    __tracebackhide__ = True
    before = error.__context__
    try:
        raise error
    finally:
        write_on(error, "__context__", before)


def ends_all(error: BaseException) -> bool:
    """Is it no result of a run, but somebody's wish to stop, or hypothesis's own?"""
    home = type(error).__module__.partition(".")[0]
    if home == "_pytest":
        return type(error).__name__ != "Failed"
    return home in ("hypothesis", "bdb") or isinstance(error, KeyboardInterrupt | GeneratorExit | SkipTest)


def leaves_its_network(own: Callable[[Any], None], leave: Callable[[Any], None]) -> Callable[[Any], None]:
    """The *own* ``teardown`` of a class, which is to call *leave*: if it does not, that is done, and said.

    Else the next example finds the network entered, and hypothesis calls that flaky.
    """
    if getattr(own, "leaves_its_network", False):
        return own  # inherited from a class that was seen to

    @functools.wraps(own)
    def teardown(machine: Any) -> None:
        __tracebackhide__ = True
        try:
            own(machine)
        except BaseException:
            leave(machine)
            raise
        if machine._network is None:
            return
        leave(machine)
        raise TypeError(
            f"{own.__qualname__} has not called super().teardown(), which leaves the network and raises what failed in it"
        )

    teardown.leaves_its_network = True  # type: ignore[attr-defined]
    return teardown
