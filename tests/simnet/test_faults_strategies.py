"""What hypothesis draws: plans that shrink to nothing, print as Python, keep to their bounds, and reach everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import InvalidArgument, NoSuchExample

from simnet import faults
from simnet.faults import ALL, TRANSPARENT, Fault, FaultPlan, FaultRates, drawn
from simnet.strategies import fault_plans, fault_rates, payloads
from simnet.strategies import faults as one_fault

SEARCH = settings(max_examples=5_000, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def simplest(condition: Callable[[FaultPlan], bool], **options: object) -> FaultPlan:
    return find(fault_plans(ALL, **options), condition, settings=SEARCH)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_plan_shrinks_to_no_faults() -> None:
    assert simplest(lambda plan: True) == FaultPlan()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("condition", "line"),
    [
        (lambda fault: fault.kind == "would-block" and fault.anchor.op == "accept", "would-block *:* accept call=1"),
        (lambda fault: fault.kind == "partial-send", "partial-send *->*:*#1 end=server call=1 bytes=1"),
        (lambda fault: fault.kind == "stall", "stall *->*:*#1 end=server byte=0 seconds=0.001"),
        (lambda fault: fault.anchor.form == "byte" and fault.anchor.number > 100, "split *->*:*#1 end=server byte=101"),
        (lambda fault: fault.kind == "reset" and fault.anchor.end == "client", "reset *->*:*#1 end=client byte=0"),
    ],
)
def test_a_plan_shrinks_to_the_one_fault_that_matters(condition: Callable[[Fault], bool], line: str) -> None:
    plan = simplest(lambda plan: any(condition(fault) for fault in plan))

    assert str(plan) == line


@pytest.mark.slow
def test_every_kind_that_is_drawn_comes_with_every_call() -> None:
    calls = {(kind.kind, op) for kind in ALL if drawn(kind) for op in kind.ops}
    rest = {("reset", None), ("drop", None), *((kind.kind, None) for kind in ALL if drawn(kind) and not kind.ops)}
    seen = set()
    for kind in ALL:
        if drawn(kind):

            @given(one_fault([kind]))
            @settings(max_examples=150, database=None, derandomize=True, phases=[Phase.generate])
            def look(fault: Fault) -> None:
                seen.add((fault.kind, fault.anchor.op))

            look()

    assert seen == (calls | rest) - {
        ("error", "socket"),
        ("drop", "recv"),
    }  # a server that cannot begin finds nothing, nor what hardly anybody waits for


def test_a_falsifying_plan_is_printed_as_python() -> None:
    @given(fault_plans(["would-block"]))
    @settings(max_examples=200, database=None)
    def nothing_ever_happens(plan: FaultPlan) -> None:
        assert not plan

    with pytest.raises(AssertionError) as failed:
        nothing_ever_happens()

    notes = "\n".join(failed.value.__notes__)
    assert "plan=FaultPlan([faults.WouldBlock(on='*->*:*#1', end='server', op='recv', call=1)])" in notes


def test_falsifying_rates_are_printed_without_those_that_are_zero() -> None:
    @given(fault_rates())
    @settings(max_examples=200, database=None)
    def nothing_ever_blocks(rates: FaultRates) -> None:
        assert not rates.would_block

    with pytest.raises(AssertionError) as failed:
        nothing_ever_blocks()

    assert "rates=FaultRates(would_block=0.01)," in "\n".join(failed.value.__notes__)


@given(
    fault_plans(
        ALL,
        max_faults=2,
        places=["server:7", "client->server:7#3", "server:@app", "*->*:*/app.sock#1"],
        ends=["client"],
        max_call=2,
        max_byte=9,
        max_seconds=0.01,
    )
)
def test_plans_keep_to_what_was_asked(plan: FaultPlan) -> None:
    assert len(plan) <= 2
    for fault in plan:
        anchor = fault.anchor
        assert fault.on in ("server:7", "client->server:7#3", "server:@app", "*->*:*/app.sock#1")
        assert not (fault.place.unix and fault.why_not_unix())
        assert anchor.end in (None, "client")
        assert anchor.number <= (9 if anchor.form == "byte" else 2)
        assert (getattr(fault, "seconds", 0) or 0) <= 0.01


@given(fault_plans(["split"], places="server->client:7#1", ends="client"))
def test_one_place_and_one_end_may_be_named_alone(plan: FaultPlan) -> None:
    assert {(fault.on, fault.anchor.end) for fault in plan} <= {("server->client:7#1", "client")}


def test_schedules_are_drawn_only_when_asked_for() -> None:
    assert find(fault_plans(schedules=True), lambda plan: plan.schedule != "fifo", settings=SEARCH) == FaultPlan(
        schedule="random:0"
    )

    @given(fault_plans())
    def plain(plan: FaultPlan) -> None:
        assert plan.schedule == "fifo"

    plain()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_faults": -1}, "max_faults=-1"),
        ({"max_call": 0}, "max_call=0 is no whole number from 1 on"),
        ({"max_byte": 1.5}, "max_byte=1.5"),
        ({"max_seconds": 0.0001}, "less than the shortest stall"),
        ({"ends": ["sever"]}, "not ends of a connection"),
        ({"ends": []}, "not ends of a connection"),
        ({"ends": "sever"}, "not ends of a connection"),
        ({"ends": None}, "not ends of a connection"),
        ({"max_seconds": "1"}, "max_seconds='1' is no number of seconds"),
        ({"kinds": ["would-block"], "places": ["client->server"]}, "none of the kinds would-block acts on link"),
        ({"places": []}, "acts on nothing"),
        ({"places": ["server=7"]}, "is no place"),
        ({"kinds": ["spilt"]}, "did you mean 'split'"),
        ({"kinds": ["blackhole"]}, "fault rates do not draw it"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(options: dict[str, object], complaint: str) -> None:
    with pytest.raises((InvalidArgument, ValueError), match=complaint):
        fault_plans(**{"kinds": TRANSPARENT, **options})  # type: ignore[arg-type]


@pytest.mark.slow
def test_payloads_shrink_to_nothing_and_reach_terminators_and_full_buffers() -> None:
    assert find(payloads(), lambda payload: True, settings=SEARCH) == b""
    assert find(payloads(), lambda payload: b"\r\n" in payload, settings=SEARCH) == b"\r\n"
    assert find(payloads().map(len), lambda size: size >= 65_536, settings=SEARCH) >= 65_536
    with pytest.raises(InvalidArgument, match="min_size=5 and max_size=3"):
        payloads(min_size=5, max_size=3)


@pytest.mark.slow
def test_a_payload_leaves_the_plan_beside_it_its_variety() -> None:
    drawn = []

    @settings(parent=SEARCH, max_examples=300, phases=[Phase.generate])
    @given(fault_plans(), payloads())
    def example(plan: FaultPlan, payload: bytes) -> None:
        drawn.append(str(plan))

    example()
    assert len(set(drawn)) > 0.4 * len(drawn)  # 0.16 when the payload was a list


@pytest.mark.slow
def test_rates_never_have_each_call_say_that_it_would_block() -> None:
    """A program that is right would poll and call for ever."""
    with pytest.raises(NoSuchExample):
        find(
            fault_rates(["would-block"]),
            lambda rates: rates.would_block == 1,
            settings=settings(SEARCH, max_examples=300),
        )


@pytest.mark.slow
def test_rates_shrink_to_none() -> None:
    assert not find(fault_rates(), lambda rates: True, settings=SEARCH).any
    assert find(fault_rates(), lambda rates: rates.short_recv > 0, settings=SEARCH) == faults.FaultRates(
        short_recv=0.01
    )
