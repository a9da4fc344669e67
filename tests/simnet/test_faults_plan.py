"""A plan as a value: what it is made of, its sums and parts, its forms, and what it refuses."""

from __future__ import annotations

import re

import pytest

from simnet import faults
from simnet.faults import FaultError, FaultPlan, FaultTypeError, PlanError, simpler_plans

ACCEPT = faults.WouldBlock("server:7", op="accept", call=1)
SEND = faults.PartialSend("client->server:7#1", end="server", call=2, bytes=3)
LATE = faults.Stall("client->server:7#1", end="client", byte=0, seconds=0.5)
END = faults.Eof("client->server:7#1", end="server", byte=5)


def test_an_empty_plan_says_so() -> None:
    assert str(FaultPlan()) == "no faults"
    assert repr(FaultPlan()) == "FaultPlan()"
    assert FaultPlan.parse("") == FaultPlan.parse("no faults") == FaultPlan()
    assert not FaultPlan()
    assert FaultPlan().to_tables() == {"fault": []}


def test_a_plan_holds_its_faults_in_order() -> None:
    plan = FaultPlan(iter([ACCEPT, SEND]))  # type: ignore[arg-type]  # any iterable will do

    assert list(plan) == [ACCEPT, SEND] == list(plan.faults)
    assert (len(plan), plan[1], plan[:1]) == (2, SEND, (ACCEPT,))
    assert plan != FaultPlan([SEND, ACCEPT])  # type: ignore[arg-type]
    assert len({plan, FaultPlan((ACCEPT, SEND))}) == 1


def test_a_plan_in_one_line() -> None:
    plan = FaultPlan((ACCEPT, SEND), "random:3", seed=4)
    line = "would-block server:7 accept call=1; partial-send client->server:7#1 end=server call=2 bytes=3; schedule=random:3; seed=4"

    assert str(plan) == line
    assert FaultPlan.parse(line) == plan
    assert FaultPlan.parse(f"  seed=4;;{line.removesuffix('; seed=4').replace('; ', ';')} ;") == plan


def test_a_plan_in_tables_leaves_out_what_is_default() -> None:
    table = {"kind": "partial-send", "on": "client->server:7#1", "end": "server", "call": 2, "bytes": 3}

    assert FaultPlan((SEND,)).to_tables() == {"fault": [table]}
    assert list(FaultPlan((SEND,), "pct:1", 2).to_tables()) == ["schedule", "seed", "fault"]
    assert FaultPlan.from_tables({"fault": [table]}) == FaultPlan((SEND,))
    assert FaultPlan.from_tables({}) == FaultPlan()


def test_plans_add_up() -> None:
    assert FaultPlan((ACCEPT,)) + SEND == FaultPlan((ACCEPT, SEND))
    assert FaultPlan((ACCEPT,), "pct:1") + FaultPlan((SEND,), seed=2) == FaultPlan((ACCEPT, SEND), "pct:1", 2)
    assert FaultPlan(seed=2) + FaultPlan(seed=2) == FaultPlan(seed=2)
    with pytest.raises(PlanError, match="the plans differ in seed: 1 and 2"):
        FaultPlan(seed=1) + FaultPlan(seed=2)
    with pytest.raises(TypeError):
        FaultPlan() + "eof"  # type: ignore[operator]


def test_a_fault_is_taken_out_or_replaced() -> None:
    plan = FaultPlan((ACCEPT, SEND), "pct:1", 2)

    assert plan.without(0) == FaultPlan((SEND,), "pct:1", 2)
    assert plan.replace(1, LATE) == FaultPlan((ACCEPT, LATE), "pct:1", 2)
    with pytest.raises(IndexError, match="index=2 is outside the plan's 2 faults"):
        plan.without(2)
    with pytest.raises(IndexError):
        plan.replace(-1, LATE)


def test_a_plan_is_transparent_if_each_fault_is() -> None:
    assert FaultPlan((ACCEPT, SEND)).transparent
    assert not FaultPlan((ACCEPT, END)).transparent
    assert FaultPlan().transparent


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ((ACCEPT,), FaultTypeError, "a plan takes several: FaultPlan([faults.WouldBlock("),
        (("eof",), FaultTypeError, "FaultPlan.parse reads one"),
        ((5,), FaultTypeError, "faults=5 is int"),
        (([ACCEPT, "eof"],), FaultTypeError, "faults[1]='eof' is str"),
        (((), "lifo"), PlanError, "schedule='lifo' is none of"),
        (((), "random:x"), PlanError, "SEED is a whole number"),
        (((), 5), FaultTypeError, "schedule=5 is int"),
        (((), "fifo", -1), PlanError, "seed=-1 is outside"),
        (((), "fifo", True), FaultTypeError, "seed=True is bool"),
    ],
)
def test_a_plan_refuses_what_it_cannot_hold(
    arguments: tuple[object, ...], error: type[FaultError], complaint: str
) -> None:
    with pytest.raises(error, match=re.escape(complaint)):
        FaultPlan(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "complaint", "index"),
    [
        (
            "eof a->b:7#1 end=server byte=1; spilt a->b:7#1 end=server byte=1",
            "fault 2: 'spilt' is no kind of fault; did you mean 'split'",
            1,
        ),
        ("sead=4", "did you mean 'seed'", None),
        ("seed=x", "seed='x' is str", None),
        ("seed=1; seed=2", "seed is given twice", None),
        ("schedule=lifo", "schedule='lifo'", None),
    ],
)
def test_a_line_that_cannot_be_read_says_which_fault(line: str, complaint: str, index: int | None) -> None:
    with pytest.raises(FaultError, match=re.escape(complaint)) as refused:
        FaultPlan.parse(line)

    assert getattr(refused.value, "index", None) == index


def test_a_plan_in_one_line_is_a_text() -> None:
    with pytest.raises(FaultTypeError, match="tables are read by from_tables"):
        FaultPlan.parse({"fault": []})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        (5, "are a mapping"),
        ({"faults": []}, "did you mean 'fault'"),
        ({"fault": {"kind": "eof"}}, "write [[fault]] above each"),
        ({"fault": [{"kind": "eof"}]}, "fault 1: eof: on is missing"),
        ({"seed": "4"}, "seed='4' is str"),
    ],
)
def test_tables_that_cannot_be_read_say_which_key(tables: object, complaint: str) -> None:
    with pytest.raises(FaultError, match=re.escape(complaint)):
        FaultPlan.from_tables(tables)  # type: ignore[arg-type]


def test_shrinking_drops_before_it_weakens() -> None:
    plan = FaultPlan((ACCEPT, SEND, LATE, END), "random:9", seed=4)

    steps = [str(step) for step in simpler_plans(plan)]

    assert steps[0] == "no faults; schedule=random:9; seed=4"
    assert [len(FaultPlan.parse(step)) for step in steps[:7]] == [0, 2, 2, 3, 3, 3, 3]
    assert steps[7:9] == [str(FaultPlan(plan.faults, "fifo", 4)), str(FaultPlan(plan.faults, "random:9"))]
    earlier = faults.PartialSend(SEND.on, end="server", call=1, bytes=3)
    assert steps[9] == str(FaultPlan((ACCEPT, earlier, LATE), "random:9", 4)), "a call that a dropped fault had made"
    assert FaultPlan(
        (ACCEPT, faults.PartialSend(SEND.on, end="server", call=1, bytes=3), LATE, END), "random:9", 4
    ) in list(simpler_plans(plan))


@pytest.mark.parametrize(
    ("line", "variants"),
    [
        pytest.param(
            "eof a->b:7#1 end=server byte=5", ["byte=0", "byte=3", "byte=4"], id="halves-back-to-where-it-was"
        ),
        pytest.param("eof a->b:7#1 end=server byte=0", [], id="nothing-simpler"),
        pytest.param(
            "stall a->b:7#1 end=server byte=0 seconds=0.5",
            ["seconds=0.001", "seconds=0.01", "seconds=0.1"],
            id="round-times",
        ),
        pytest.param("reset a->b:7#1 end=server recv call=1 when=after", ["call=1"], id="before-rather-than-after"),
        pytest.param(
            "error b:7 accept call=1 errno=ENOBUFS", ["errno=EMFILE", "errno=ENFILE"], id="the-errno-people-know"
        ),
        pytest.param("name-error a lookup=1 errno=EAI_NONAME", ["errno=EAI_AGAIN"], id="what-a-resolver-says-most"),
        pytest.param("urgent a->b:7#1 end=server byte=0 data=\\xf2", ["byte=0"], id="a-plain-byte"),
        pytest.param("wake b call=1 first=1", [], id="never-a-wake-that-does-nothing"),
        pytest.param("wake b call=1 first=1 keep=1", ["keep=1", "first=1"], id="one-of-two-parameters"),
        pytest.param("clock-jump b at=0 seconds=-1", ["seconds=1"], id="forwards"),
    ],
)
def test_the_steps_down_from_a_fault(line: str, variants: list[str]) -> None:
    assert [str(variant).split()[-1] for variant in faults.simpler(faults.parse_fault(line))] == variants


def test_an_earlier_connection_is_simpler() -> None:
    places = [variant.on for variant in faults.simpler(faults.Refuse("a->b:7#4"))]

    assert places == ["a->b:7#1", "a->b:7#3"]


def test_between_words_any_blank_will_do() -> None:
    """As where a plan was copied from a table."""
    typed = "would-block\tserver:7\taccept\tcall=1;\n schedule=random:3"
    assert str(FaultPlan.parse(typed)) == "would-block server:7 accept call=1; schedule=random:3"
