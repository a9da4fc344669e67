"""Rates and the dice made from them: what they refuse, what they throw, and how often."""

from __future__ import annotations

import inspect

import pytest

from simnet import faults
from simnet.faults import ALL, DISRUPTIVE, KINDS, TRANSPARENT, Fault, FaultPlan, FaultRates, drawn

ON = "client->server:7#1"


def calls(
    rates: FaultRates, op: str, count: int, *, blocking: bool = False, timed: bool = False, size: int = 100
) -> list[Fault | None]:
    dice = rates.dice()
    numbers = range(1, count + 1)
    return [dice.for_call(ON, "server", op, n, blocking=blocking, timed=timed, size=size) for n in numbers]


def test_a_call_with_a_time_out_never_says_that_it_would_block_and_its_send_may_be_partial() -> None:
    assert not any(calls(FaultRates(would_block=1), "send", 20, blocking=True, timed=True))
    assert all(calls(FaultRates(partial_send=1), "send", 20, blocking=True, timed=True))
    assert not any(calls(FaultRates(partial_send=1), "send", 20, blocking=True))


def test_there_is_a_rate_for_each_kind_that_is_drawn() -> None:
    names = [kind.replace("-", "_") for kind in KINDS if drawn(kind)]

    assert sorted(name for name in inspect.signature(FaultRates).parameters if name != "seed") == sorted(names)
    for kind in KINDS:
        assert FaultRates.even(0.5, ALL).rate(kind) == (0.5 if drawn(kind) else 0.0)


def test_rates_print_as_python_without_what_is_0() -> None:
    rates = FaultRates(short_recv=0.25, error=1, seed=3)

    assert repr(rates) == "FaultRates(short_recv=0.25, error=1.0, seed=3)"
    assert eval(repr(rates)) == rates


@pytest.mark.parametrize(
    ("rates", "complaint"),
    [
        ({"eof": 1.5}, "eof=1.5 is outside 0..1"),
        ({"eof": -0.1}, "outside 0..1"),
        ({"eof": float("nan")}, "outside 0..1"),
        ({"eof": "0.5"}, "a probability from 0 to 1"),
        ({"eof": True}, "eof=True is bool"),
        ({"seed": 1.0}, "seed=1.0 is float"),
        ({"seed": -1}, "seed=-1 is outside"),
    ],
)
def test_a_rate_that_is_no_probability_is_refused(rates: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        FaultRates(**rates)  # type: ignore[arg-type]


def test_a_kind_that_is_not_drawn_has_no_rate() -> None:
    with pytest.raises(
        TypeError, match=r"fault rates do not draw 'blackhole'.*faults\.Blackhole\(.*kinds=\['blackhole'\]"
    ):
        FaultRates(blackhole=0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"fault rates do not draw 'name-error'.*faults\.NameError_\("):
        FaultRates(name_error=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="'crash' is played where a plan or the kinds of a sweep name it"):
        FaultRates.even(0.5, ["crash", "split"])


def test_a_rate_by_a_name_that_is_none_is_refused_with_what_was_meant() -> None:
    with pytest.raises(TypeError, match="'shortrecv' is no kind of fault that has a rate; did you mean 'short_recv'"):
        FaultRates(shortrecv=0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"rates are given by kind.*FaultRates\.even\(0\.1\)"):
        FaultRates(0.5)  # type: ignore[call-arg]


def test_no_rates_no_faults() -> None:
    assert not FaultRates().any
    assert not any(FaultRates().dice().active(what) for what in ("recv", "send", "accept", "connect", "poll", "byte"))
    assert FaultRates(refuse=0.1).any
    assert calls(FaultRates(), "recv", 50) == [None] * 50


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("short-recv", ["recv"]),
        ("partial-send", ["send"]),
        ("would-block", ["recv", "send", "accept"]),
        ("wake", ["poll"]),
        ("stall", ["byte"]),
        ("reset", ["recv", "send", "byte"]),
        ("refuse", ["connect"]),
        ("reset-before-accept", ["accept"]),
        ("error", ["recv", "send", "accept"]),
    ],
)
def test_dice_are_asked_only_where_a_fault_could_be(kind: str, asked: list[str]) -> None:
    dice = FaultRates.even(0.1, [kind]).dice()

    assert [
        what for what in ("recv", "send", "accept", "connect", "poll", "byte", "getpeername") if dice.active(what)
    ] == asked


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_a_rate_is_how_often_it_happens(rate: float) -> None:
    struck = sum(fault is not None for fault in calls(FaultRates(short_recv=rate), "recv", 2_000))

    # Four standard deviations: sqrt(2000 * 0.5 * 0.5) is 22.
    assert abs(struck - 2_000 * rate) <= 90


def test_rates_that_add_up_to_more_than_1_share_a_point() -> None:
    thrown = calls(FaultRates(short_recv=1, would_block=1, reset=1, error=1), "recv", 400)

    kinds = [fault.kind for fault in thrown if fault is not None]
    assert len(kinds) == 400
    for kind in ("short-recv", "would-block", "reset", "error"):
        assert kinds.count(kind) > 50


def test_faults_have_exact_anchors() -> None:
    drawn = enumerate(calls(FaultRates.even(0.3, ALL), "send", 100), 1)
    thrown = [(n, fault) for n, fault in drawn if fault is not None]
    assert thrown
    for n, fault in thrown:
        assert fault.place.concrete
        assert (fault.on, fault.anchor.end, fault.anchor.op, fault.anchor.number) == (ON, "server", "send", n)


def test_blocking_sockets_are_not_told_what_a_kernel_never_tells_them() -> None:
    thrown = calls(FaultRates(partial_send=1, would_block=1), "send", 200, blocking=True)
    accepts = FaultRates(would_block=1).dice()

    assert thrown == [None] * 200
    assert accepts.for_accept("server:7", 1, blocking=True) is None
    assert calls(FaultRates(short_recv=1), "recv", 1, blocking=True) != [None]


def test_a_part_is_less_than_the_whole() -> None:
    assert calls(FaultRates(short_recv=1), "recv", 20, size=1) == [None] * 20
    parts = [
        fault.bytes
        for fault in calls(FaultRates(partial_send=1), "send", 100, size=4)
        if isinstance(fault, faults.PartialSend)
    ]
    assert len(parts) == 100
    assert sorted(set(parts)) == [1, 2, 3]


def test_a_poll_is_changed_only_where_there_is_a_choice() -> None:
    dice = FaultRates(wake=1).dice()

    assert [dice.for_poll("server", n, 1) for n in range(1, 20)] == [None] * 19
    for n in range(1, 100):
        fault = dice.for_poll("server", n, 3)
        assert fault is not None
        assert fault.first < 3
        assert fault.keep is None or fault.keep < 3


def test_a_write_can_meet_each_byte_fault_once() -> None:
    thrown = FaultRates.even(1, ["split", "stall", "urgent", "eof", "reset"]).dice().for_bytes(ON, "server", 100, 10)

    assert sorted(fault.kind for fault in thrown) == ["eof", "reset", "split", "stall", "urgent"]
    assert all(100 <= fault.anchor.number < 110 for fault in thrown)
    assert FaultRates(split=1).dice().for_bytes(ON, "server", 100, 0) == []


def test_accepts_and_connects() -> None:
    dice = FaultRates(refuse=1, reset_before_accept=1).dice()

    assert dice.for_connect(ON) == faults.Refuse(ON)
    assert dice.for_accept("server:7", 3, blocking=True) == faults.ResetBeforeAccept("server:7", call=3)
    assert FaultRates(error=1).dice().for_accept("server:7", 3, blocking=True) is not None


def test_seeds_differ_and_dice_of_one_seed_do_not() -> None:
    def kinds(seed: int) -> list[str | None]:
        return [fault and str(fault) for fault in calls(FaultRates.even(0.3, ALL, seed=seed), "recv", 50)]

    assert kinds(1) == kinds(1)
    assert kinds(1) != kinds(2)


def test_dice_fall_alike_on_every_machine() -> None:
    """The seed in a bug report must mean the same next year, with another Python."""
    thrown = FaultPlan(
        tuple(fault for fault in calls(FaultRates.even(0.2, TRANSPARENT, seed=8412), "recv", 12) if fault)
    )

    assert str(thrown) == (
        "would-block client->server:7#1 end=server recv call=1; would-block client->server:7#1 end=server recv call=6; "
        "short-recv client->server:7#1 end=server call=12 bytes=99"
    )


def test_a_swarm_draws_some_kinds_and_is_the_same_for_its_seed() -> None:
    swarms = [FaultRates.swarm(seed, TRANSPARENT) for seed in range(40)]

    assert swarms == [FaultRates.swarm(seed, TRANSPARENT) for seed in range(40)]
    assert all(swarm.any for swarm in swarms)
    assert len(set(swarms)) == 40
    assert all(swarm.rate(kind) == 0 for swarm in swarms for kind in DISRUPTIVE)
    for kind in TRANSPARENT:
        if drawn(kind):
            assert 5 < sum(swarm.rate(kind) > 0 for swarm in swarms) < 35
    assert FaultRates.swarm(1, ["eof"]).eof > 0
