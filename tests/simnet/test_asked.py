"""What a network is asked for: a wrong value is refused at once, by name, whichever world it is."""

from __future__ import annotations

from typing import Any

import pytest

import simnet
from simnet.faults import FaultPlan

both = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


@both
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"plan": 3}, "plan=3 is int; it is a FaultPlan, or a line"),
        ({"plan": "refus a->b:7#1"}, "'refus' is no kind of fault; did you mean 'refuse'"),
        ({"seed": "x"}, "seed='x' is str; it is a whole number"),
        ({"seed": -1}, "seed=-1 is outside 0"),
        ({"targets": 3}, "targets=3: a host's name, or several in a list"),
        ({"may_raise": (3,)}, r"may_raise=\(3,\): an exception's class, or several in a tuple"),
        ({"invariants": {"no-spin": "of"}}, "a level is one of failure, warning, off"),
    ],
)
def test_a_wrong_value_is_refused_by_name(network: Any, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        network(**wrong)


@both
def test_one_may_stand_for_several_and_a_line_for_a_plan(network: Any) -> None:
    net = network("refuse a->b:7#1", targets="b", may_raise=OSError)
    assert net.plan == FaultPlan.parse("refuse a->b:7#1")
    assert (net.targets, net.may_raise) == (("b",), (OSError,))


@both
def test_a_hosts_name_is_a_text_and_always_takes_a_function(network: Any) -> None:
    net = network()
    with pytest.raises(TypeError, match="host name 5 is int; it is a text"):
        net.host(5)
    with pytest.raises(ValueError, match="host name 'a b'"):
        net.host("a b")
    with pytest.raises(TypeError, match=r"write `with net\.always"):
        net.always(3)


def test_rates_are_rates() -> None:
    with pytest.raises(TypeError, match=r"rates=0\.1 is float; it is a FaultRates"):
        simnet.Network(rates=0.1)  # type: ignore[arg-type]
