"""Plans, faults and scenarios for all values: what is written reads back, what shrinks ends, what is drawn by default is transparent."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simnet import faults, strategies
from simnet.expect import RULES, Expect, Found
from simnet.faults import ALL, HOST_NAME, Fault, FaultPlan, FaultRates, Place, simpler, simpler_plans, size
from simnet.faults.disruptive import RUN_OUT
from simnet.faults.fault import DATAGRAM_FORMS
from simnet.faults.paths import PAIR, spelt
from simnet.scenario import Scenario

BIG = 2**63 - 1

labels = st.text("ab0._-", min_size=1, max_size=8).filter(HOST_NAME.fullmatch) | st.sampled_from(
    ("server", "127.0.0.1", "[::1]", "*")
)
ports = st.integers(1, 65535).map(str) | st.just("*")
names = (
    st.text("aB7/._- #=*;:>\\é日", min_size=1, max_size=6).map(lambda text: spelt(f"/{text}"))
    | st.just("*/a*b")
    | st.binary(max_size=3).map(lambda raw: spelt(b"\0" + raw))
)
numbers = st.integers(1, BIG).map(str) | st.just("*")
PLACES = {
    "connection": st.builds("{}->{}:{}#{}".format, labels, labels, ports, numbers)
    | st.builds("{0}->{0}:{1}#{2}".format, labels, names | st.just(PAIR), numbers),
    "listener": st.builds("{}:{}".format, labels, ports | names),
    "host": labels,
    "flow": st.builds("{}->{}:{}".format, labels, labels, ports),
    "link": st.builds("{}{}{}".format, labels, st.sampled_from(("->", "<->")), labels),
}
counts = st.integers(1, 5) | st.integers(1, BIG)
seconds = st.sampled_from((0.001, 1, 2.5, 1e-9, 1e-5, 1e9)) | st.floats(1e-9, 9e9)
FIELDS = {
    "call": counts,
    "byte": counts.map(lambda n: n - 1),
    "datagram": counts,
    "lookup": counts,
    "copies": counts,
    "by": counts,
    "bytes": counts.map(lambda n: max(n, 2)),
    "first": counts,
    "keep": st.none() | counts,
    "seconds": seconds,
    "at": st.just(0.0) | seconds,
    "data": st.binary(min_size=1, max_size=1),
    "when": st.sampled_from(("before", "after")),
    "count": st.integers(1, 4096),
    "then": st.sampled_from(("vanish", "stay", "leave", "keep")),
}


@st.composite
def any_faults(draw: st.DrawFn) -> Fault:
    """Every kind, whether this version plays it or not, with every value its fields can have."""
    kind = draw(st.sampled_from(ALL))
    names = [name for name in kind.__struct_fields__ if name not in ("on", "end", "op", "errno")]
    if kind is faults.Reset:
        names = ["byte"] if draw(st.booleans()) else ["call", "when"]
    if kind is faults.Drop:
        names = [draw(st.sampled_from(("datagram", "call")))]
    fields = {name: draw(FIELDS[name]) for name in names}
    if kind is faults.Strangers:
        fields["data"] = draw(st.binary(max_size=9))
    form = kind.form
    datagrams = False
    if kind.ops and names not in (["byte"], ["datagram"]):
        op = draw(st.sampled_from(sorted(kind.ops)))
        datagrams = op in kind.at_datagrams and draw(st.booleans())
        form = draw(st.sampled_from(DATAGRAM_FORMS)) if datagrams else kind.ops[op]
        if "op" in kind.__struct_fields__:
            fields["op"] = op
    if kind is faults.WouldBlock and (fields["op"] != "send" or datagrams or draw(st.booleans())):
        fields["seconds"] = None
    if kind is faults.NameError_:
        fields["errno"] = draw(st.sampled_from((None, "EAI_AGAIN", "EAI_NONAME")))
    if "end" in kind.__struct_fields__ and form == "connection":
        fields["end"] = draw(st.sampled_from(("client", "server")))
    inet_only = kind.not_unix or (kind is faults.Drop and names == ["call"]) or (datagrams and fields["op"] == "recv")
    on = draw(PLACES[form].filter(lambda text: not (inet_only and Place.parse(text).unix)))
    if kind is faults.Error:
        said = faults.errnos(fields["op"], unix=Place.parse(on).unix, datagrams=datagrams)
        fields["errno"] = draw(st.sampled_from(said))
        if fields["op"] not in ("accept", "socket") or fields["errno"] not in RUN_OUT or draw(st.booleans()):
            fields["seconds"] = None
    return kind(on=on, **fields)


schedules = st.just("fifo") | st.builds("{}:{}".format, st.sampled_from(("random", "pct")), st.integers(0, 10**18))
any_plans = st.builds(FaultPlan, st.lists(any_faults(), max_size=4), schedules, st.integers(0, BIG))


@pytest.mark.slow
@given(any_plans)
def test_a_plan_in_one_line_reads_back(plan: FaultPlan) -> None:
    line = str(plan)

    assert "\n" not in line
    assert FaultPlan.parse(line) == plan


@pytest.mark.slow
@given(any_plans)
def test_a_plan_in_tables_reads_back(plan: FaultPlan) -> None:
    assert FaultPlan.from_tables(plan.to_tables()) == plan


@pytest.mark.slow
@given(any_plans)
def test_a_plan_prints_as_python_that_makes_it_again(plan: FaultPlan) -> None:
    again = eval(repr(plan), {"FaultPlan": FaultPlan, "faults": faults})

    assert again == plan
    assert hash(again) == hash(plan)
    assert repr(again) == repr(plan)


@pytest.mark.slow
@given(any_faults())
@example(faults.WouldBlock("a->b:7#1", op="send", end="client", call=1, seconds=0.001))
@example(faults.Strangers("*->*:*#*", count=1, when="after"))
def test_a_fault_can_be_remade_at_its_anchor(fault: Fault) -> None:
    parameters = {name: getattr(fault, name) for name in fault.parameters}
    # Seconds go through whole nanoseconds in an anchor of time, which floats beyond 2**53 ns do not survive.
    if fault.anchor.form != "time":
        assert faults.make(type(fault), fault.anchor, **parameters) == fault
    assert type(fault) in faults.applicable(fault.anchor)


@pytest.mark.slow
@given(any_faults())
def test_a_fault_says_what_it_does_in_one_line(fault: Fault) -> None:
    assert len(fault.sentence().splitlines()) == 1


@pytest.mark.slow
@given(any_faults())
def test_msgspec_knows_a_fault_by_its_kind(fault: Fault) -> None:
    assert msgspec.to_builtins(fault)["kind"] == fault.kind


@pytest.mark.slow
@given(any_faults())
def test_what_is_simpler_is_smaller(fault: Fault) -> None:
    for variant in simpler(fault):
        assert type(variant) is type(fault)
        assert size(variant) < size(fault), f"{variant} is not simpler than {fault}"


@pytest.mark.slow
@given(any_plans)
def test_shrinking_ends_even_if_everything_keeps_failing(plan: FaultPlan) -> None:
    steps = 0
    while (step := next(simpler_plans(plan), None)) is not None:
        plan = step
        steps += 1

    assert plan == FaultPlan()
    assert steps <= 3  # the faults, the schedule, the seed


@given(st.integers(0, BIG), st.integers(0, BIG))
def test_shrinking_finds_the_earliest_byte_that_fails_in_few_plays(one: int, other: int) -> None:
    earliest, byte = sorted((one, other))
    plays = 0
    found: Fault | None = faults.Eof("a->b:7#1", end="server", byte=byte)
    while found is not None:
        fault, found = found, None
        for variant in simpler(fault):
            plays += 1
            if variant.anchor.number >= earliest:
                found = variant
                break

    assert fault.anchor.number == earliest
    # Each step down takes more than half of what is left, and is found among at most 63 that halve: 2**63 needs 63 of them.
    assert plays <= 64 * 64


@given(st.sampled_from(sorted(PLACES)).flatmap(PLACES.__getitem__))
def test_a_place_reads_back_and_matches_itself(text: str) -> None:
    place = Place.parse(text)

    assert str(place) == text
    assert Place.parse(str(place)) == place
    assert place.matches(place)
    assert place.concrete == ("*" not in text)


texts = st.text(min_size=1, max_size=30).filter(str.strip)
expectations = st.one_of(
    st.just(Expect()),
    st.builds(Expect, error=texts, at=st.none() | texts, reason=st.none() | texts),
    st.builds(Expect, invariant=st.sampled_from(RULES), reason=st.none() | texts),
    st.builds(Expect, interrupted=st.just(True), reason=st.none() | texts),
)
founds = st.none() | st.builds(
    Found,
    by=st.text(max_size=9),
    runs=st.none() | st.integers(0, BIG),
    kernel=st.none() | texts,
    trace=st.none() | texts,
)


@pytest.mark.slow
@given(
    any_plans, st.text(max_size=50), expectations, founds, st.lists(st.sampled_from(("server", "proxy")), unique=True)
)
def test_a_scenario_reads_back_from_its_file(
    plan: FaultPlan, title: str, expect: Expect, found: Found | None, target: list[str]
) -> None:
    scenario = Scenario.of(
        "tests/test_echo.py::test_echo[a-1]", plan, title=title, expect=expect, found=found, target=tuple(target)
    )

    again = Scenario.loads(scenario.dumps())

    assert again == scenario
    assert again.digest() == scenario.digest()


@given(strategies.fault_plans())
def test_what_is_drawn_by_default_is_transparent(plan: FaultPlan) -> None:
    assert plan.transparent
    assert len(plan) <= 3


@given(strategies.payloads(min_size=3, max_size=50))
def test_payloads_keep_to_their_sizes(payload: bytes) -> None:
    assert 3 <= len(payload) <= 50


Question = Callable[[faults.Dice], object]
on = "client->server:7#{}".format
questions = st.one_of(
    st.builds(
        lambda n, end, op, call, size: lambda dice: dice.for_call(on(n), end, op, call, blocking=False, size=size),
        *(st.integers(1, 2), st.sampled_from(("client", "server")), st.sampled_from(("recv", "send"))),
        *(st.integers(1, 9), st.integers(0, 100)),
    ),
    st.builds(lambda call: lambda dice: dice.for_accept("server:7", call, blocking=False), st.integers(1, 9)),
    st.builds(
        lambda call, ready: lambda dice: dice.for_poll("server", call, ready), st.integers(1, 9), st.integers(0, 5)
    ),
    st.builds(
        lambda n, end, offset, length: lambda dice: dice.for_bytes(on(n), end, offset, length),
        *(st.integers(1, 2), st.sampled_from(("client", "server")), st.integers(0, 1000), st.integers(0, 1000)),
    ),
)


@given(strategies.fault_rates(ALL), st.lists(questions, max_size=30))
def test_the_same_dice_answer_the_same_questions_alike(rates: FaultRates, asked: list[Question]) -> None:
    first, second = rates.dice(), rates.dice()

    assert [question(first) for question in asked] == [question(second) for question in asked]


@given(strategies.fault_rates(ALL), st.integers(1, 20), st.integers(0, 20))
def test_dice_of_one_socket_do_not_move_those_of_another(rates: FaultRates, calls: int, others: int) -> None:
    def asked(dice: faults.Dice, number: int, calls: int) -> list[Fault | None]:
        return [dice.for_call(on(number), "server", "recv", n, blocking=False, size=9) for n in range(1, calls + 1)]

    alone = rates.dice()
    beside = rates.dice()
    asked(beside, 2, others)

    assert asked(beside, 1, calls) == asked(alone, 1, calls)


@given(strategies.fault_rates(ALL), st.integers(0, 10**6), st.integers(1, 10**4))
def test_faults_in_bytes_fall_among_the_bytes_asked_about(rates: FaultRates, offset: int, n: int) -> None:
    found = rates.dice().for_bytes(on(1), "server", offset, n)

    places = [fault.anchor.number for fault in found]
    assert places == sorted(places)
    assert all(offset <= place < offset + n for place in places)
