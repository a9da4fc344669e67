"""The verdict table, row by row and column by column."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from simnet import faults
from simnet.explore.judging.verdict import TABLE, judge
from simnet.run import Waiting
from simnet.verdicts import Deadlock, Hang, Spin, Verdict
from tests.simnet.explore_runs import (
    raised,
    reached_handle_error,
    run_of,
    support_ended,
    target_ended,
    waits,
)

SPLIT = faults.Split(on="test->server:7#1", end="server", byte=3)
STALL = faults.Stall(on="test->server:7#1", end="server", byte=3, seconds=61)
RESET = faults.Reset(on="test->server:7#1", end="server", byte=3)
BLACKHOLE = faults.Blackhole(on="test->server:7#1", end="server", byte=3)
EMFILE = faults.Error(on="server:7", op="accept", call=1, errno="EMFILE")
BLOCK = faults.WouldBlock(on="server:7", op="accept", call=1)

BASELINE = run_of()


def os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


# What happens, as keywords of a run -> what the table says under a transparent and under a disruptive fault.
ROWS = [
    pytest.param({}, "equal", "equal", None, id="nothing"),
    pytest.param({"failures": [target_ended(TypeError("x"))]}, "failure", "failure", "target-raised", id="target-ends"),
    pytest.param(
        {"handler_errors": [reached_handle_error(TypeError("x"))]}, "failure", "failure", "handler-raised", id="handler"
    ),
    pytest.param(
        {"verdicts": [Verdict("one-close", "closed twice", "server")]},
        "failure",
        "failure",
        "one-close",
        id="invariant",
    ),
    pytest.param(
        {"verdicts": [Verdict("Hang", "computes", "server", Hang())]}, "failure", "failure", "Hang", id="hang"
    ),
    pytest.param({"error": raised(AssertionError("no"))}, "failure", "interrupted", "body-raised", id="body-raises"),
    pytest.param({"error": raised(Deadlock("waits"))}, "failure", "interrupted", "body-waits", id="body-waits"),
    pytest.param(
        {"failures": [support_ended(OSError("x"))]}, "failure", "interrupted", "support-raised", id="support-ends"
    ),
    pytest.param({"waiting": [waits(target=False)]}, "failure", "interrupted", "support-waits", id="support-waits"),
    pytest.param({"returned": "other"}, "failure", "noted", "outcome", id="outcome"),
    pytest.param({"waiting": [waits()]}, "failure", "equal", "waits-for-ever", id="waits-for-ever"),
]


@pytest.mark.parametrize(("what", "transparent", "disruptive", "reason"), ROWS)
def test_each_row_of_the_table_holds_in_both_columns(
    what: dict[str, object], transparent: str, disruptive: str, reason: str | None
) -> None:
    for fault, expected in ((SPLIT, transparent), (RESET, disruptive)):
        judgement = judge(BASELINE, run_of(fault, **what))  # type: ignore[arg-type]
        assert judgement.status == expected
        if expected in ("failure", "interrupted", "noted"):
            assert judgement.findings[0].reason == reason


def test_every_row_of_the_table_is_reached_by_a_case_here() -> None:
    reasons = {row.values[3] for row in ROWS} - {None, "one-close", "Hang"} | {"broken"}
    assert reasons == set(TABLE)


def test_a_target_may_end_with_the_errno_that_the_fault_made() -> None:
    for fault, code in (
        (RESET, errno.ECONNRESET),
        (RESET, errno.EPIPE),
        (RESET, errno.ECONNREFUSED),  # who connects again, to a support that has died of it
        (EMFILE, errno.EMFILE),
        (EMFILE, errno.ECONNRESET),
        (BLACKHOLE, errno.EHOSTUNREACH),
    ):
        run = run_of(fault, failures=[target_ended(os_error(code))])
        assert judge(BASELINE, run).status == "interrupted", errno.errorcode[code]
        run = run_of(fault, handler_errors=[reached_handle_error(os_error(code))])
        assert judge(BASELINE, run).status == "equal", errno.errorcode[code]


def test_of_two_faults_one_has_made_it() -> None:
    run = run_of(RESET, EMFILE, failures=[target_ended(os_error(errno.EMFILE))])
    assert judge(BASELINE, run).status == "interrupted"


def test_it_may_end_with_that_of_a_path_at_which_no_unix_socket_is_any_more() -> None:
    """As ECONNREFUSED of a port; a file that is not there is another thing."""
    for missing, status in ((os_error(errno.ENOENT), "interrupted"), (FileNotFoundError(2, "x", "/etc/x"), "failure")):
        assert judge(BASELINE, run_of(EMFILE, failures=[target_ended(missing)])).status == status
    assert judge(BASELINE, run_of(SPLIT, failures=[target_ended(os_error(errno.ENOENT))])).status == "failure"


def test_it_may_not_end_with_an_errno_that_the_fault_did_not_make() -> None:
    for fault, code in (
        *((RESET, code) for code in (errno.EBADF, errno.EMFILE, errno.EAGAIN, errno.EHOSTUNREACH)),
        (EMFILE, errno.ENOBUFS),
    ):
        run = run_of(fault, failures=[target_ended(os_error(code))])
        assert judge(BASELINE, run).status == "failure", errno.errorcode[code]


def test_no_errno_is_excused_while_only_transparent_faults_fired() -> None:
    run = run_of(BLOCK, handler_errors=[reached_handle_error(BlockingIOError(errno.EAGAIN, "x"))])
    assert judge(BASELINE, run).status == "failure"


def test_time_outs_and_lost_connections_without_errno_are_excused_with_the_rest() -> None:
    assert judge(BASELINE, run_of(RESET, failures=[target_ended(TimeoutError("timed out"))])).status == "interrupted"
    assert (
        judge(BASELINE, run_of(RESET, failures=[target_ended(ConnectionResetError("Connection lost"))])).status
        == "interrupted"
    )
    assert (
        judge(BASELINE, run_of(RESET, failures=[target_ended(OSError("cannot read from timed out object"))])).status
        == "failure"
    )


def test_what_a_library_makes_of_an_errno_is_excused_if_that_is() -> None:
    """As `OSError: all attempts to connect failed`; an errno of its own says more than what it was raised from."""
    lost = type("BrokenResourceError", (Exception,), {"__module__": "anyio"})
    late = type("TooSlowError", (Exception,), {"__module__": "trio"})
    mine = type("BrokenResourceError", (Exception,), {"__module__": "program"})
    reset, wrong = os_error(errno.ECONNRESET), ValueError("x")

    def status(error: BaseException, cause: BaseException | None) -> str:
        error.__cause__ = cause
        return judge(BASELINE, run_of(RESET, failures=[target_ended(error)])).status

    for kind in (OSError, lost):
        assert [status(kind("x"), cause) for cause in (reset, wrong, None)] == ["interrupted", "failure", "failure"]
    assert status(os_error(errno.EINVAL), reset) == status(mine("x"), reset) == "failure"
    assert status(late(), None) == "interrupted"


def test_a_group_is_excused_if_all_in_it_are() -> None:
    reset, wrong = os_error(errno.ECONNRESET), ValueError("x")
    assert judge(BASELINE, run_of(RESET, failures=[target_ended(ExceptionGroup("g", [reset]))])).status == "interrupted"
    assert (
        judge(BASELINE, run_of(RESET, failures=[target_ended(ExceptionGroup("g", [reset, wrong]))])).status == "failure"
    )


def test_may_raise_adds_what_a_target_may_end_with_under_disruptive_faults_alone() -> None:
    wrong = target_ended(ValueError("x"))
    assert judge(BASELINE, run_of(RESET, failures=[wrong]), may_raise=(ValueError,)).status == "interrupted"
    assert judge(BASELINE, run_of(SPLIT, failures=[wrong]), may_raise=(ValueError,)).status == "failure"


def test_survives_makes_another_outcome_a_failure_for_its_kinds() -> None:
    other = run_of(RESET, returned="other")
    assert judge(BASELINE, other).status == "noted"
    assert judge(BASELINE, other, survives=("reset",)).status == "failure"
    assert judge(BASELINE, other, survives=("eof",)).status == "noted"
    # A body that raised has not survived either: its own exception is the failure.
    error = raised(ConnectionResetError(errno.ECONNRESET, "x"))
    judgement = judge(BASELINE, run_of(RESET, error=error), survives=("reset",))
    assert (judgement.status, judgement.findings[0].reason, judgement.findings[0].error) == (
        "failure",
        "outcome",
        error,
    )


def test_strict_makes_a_failure_of_what_was_interrupted() -> None:
    run = run_of(RESET, error=raised(ConnectionResetError(errno.ECONNRESET, "x")))
    judgement = judge(BASELINE, run, strict=True)
    assert (judgement.status, judgement.findings[0].reason) == ("failure", "body-raised")


def test_a_stall_is_disruptive_once_a_deadline_fired_that_did_not_before() -> None:
    timed_out = (61_000_000_000, "wake", "test", "test", "", "recv on", 0, False)
    in_time = (1_000_000, "wake", "test", "test", "", "recv on", 0, True)
    error = raised(TimeoutError("timed out"))
    assert judge(run_of(entries=[in_time]), run_of(STALL, error=error, entries=[timed_out])).status == "interrupted"
    assert judge(run_of(entries=[in_time]), run_of(STALL, error=error, entries=[in_time])).status == "failure"
    assert judge(run_of(entries=[timed_out]), run_of(STALL, error=error, entries=[timed_out])).status == "failure"


def test_who_gives_up_before_anything_came_has_another_deadline_than_who_waits_for_more_when_all_is_there() -> None:
    got = (2_000_000, "call", "test", "test->server:7#1", "client", "recv", 1, ((100,), b"hello", True))
    timed_out = (61_000_000_000, "wake", "test", "test", "", "recv on", 0, False)
    error = raised(TimeoutError("timed out"))
    usual = run_of(entries=[got, timed_out])
    assert judge(usual, run_of(STALL, error=error, entries=[timed_out])).status == "interrupted"
    in_pieces = [(*got[:7], ((100,), data, True)) for data in (b"he", b"llo")]
    assert judge(usual, run_of(STALL, error=error, entries=[*in_pieces, timed_out])).status == "failure"


def test_a_stall_stays_transparent_while_a_loop_only_looks_now_and_then() -> None:
    woke = (30_000_000_000, "wake", "server", "server/serve", "", "readiness of", 0, False)
    looked = (30_000_000_000, "call", "server", "server/serve epoll1", "", "poll", 0, (30.0, (), True))
    closed = (30_000_000_000, "call", "server", "test->server:7#1", "server", "close", 1, ((), None, False))
    came = (31_000_000_000, "wake", "server", "server/serve", "", "readiness of", 0, True)
    ended = (60_000_000_000, "process", "server", "server/serve", "", "end", 0, None)

    def of_body(entry: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*entry[:2], "test", entry[3].replace("server/serve", "test"), *entry[4:])

    for happened, alive, status in (
        ([woke, looked, came], (), "failure"),
        ([woke, looked], (), "failure"),
        ([woke, looked, ended], ("server/serve",), "failure"),  # by the end of the run
        ([woke, looked, ended], (), "interrupted"),  # by itself
        ([woke, looked, closed, came], (), "interrupted"),
        ([woke, closed], (), "interrupted"),
        (
            [of_body(woke), of_body(looked), ended],
            ("server/serve",),
            "interrupted",
        ),  # of a body's end nothing is on record
        ([of_body(woke), of_body(looked), ended, of_body(came)], (), "failure"),
        ([of_body(woke), of_body(looked), came, closed], (), "interrupted"),  # it raised, and another woke
        ([of_body(woke), of_body(looked), came, of_body(came)], (), "failure"),
    ):
        run = run_of(STALL, error=raised(AssertionError("x")), entries=happened, alive=alive)
        assert judge(run_of(alive=alive), run).status == status, happened


def test_a_server_that_waits_for_its_next_client_in_the_baseline_too_waits_rightly() -> None:
    accepts = waits(where="server.py:9 in serve")
    baseline = run_of(waiting=[accepts])
    assert judge(baseline, run_of(SPLIT, waiting=[accepts])).status == "equal"
    judgement = judge(baseline, run_of(SPLIT, waiting=[accepts, waits()]))
    assert (judgement.status, judgement.findings[0].at) == ("failure", "server.py:12")


def test_a_target_that_waits_for_ever_under_a_disruptive_fault_is_a_warning_with_its_line() -> None:
    run = run_of(RESET, waiting=[waits()])
    judgement = judge(BASELINE, run)
    assert judgement.status == "equal"
    assert [(each.reason, each.at) for each in judgement.warnings] == [("waits-for-ever", "server.py:12")]
    assert judge(BASELINE, run, invariants={"waits-for-ever": "failure"}).status == "failure"
    off = judge(BASELINE, run, invariants={"waits-for-ever": "off"})
    assert (off.status, off.warnings) == ("equal", ())


SPAWNED = (0, "process", "server", "server/serve", "", "spawn", 0, None)
LISTENED = (0, "call", "server", "server:7", "", "listen", 1, ((5,), None, True))


def test_a_loop_that_ends_where_it_went_on_without_the_fault_has_not_survived() -> None:
    baseline = run_of(alive=("server/serve",), entries=[SPAWNED])
    reset = target_ended(os_error(errno.ECONNRESET))
    # The errno is excused, the end of the loop is not: other clients had nothing to do with it.
    judgement = judge(baseline, run_of(RESET, failures=[reset], entries=[SPAWNED]))
    assert (judgement.status, judgement.findings[0].reason, judgement.findings[0].error) == (
        "failure",
        "loop-survives",
        reset.error,
    )
    assert (
        judge(baseline, run_of(RESET, failures=[reset], entries=[SPAWNED]), may_raise=(OSError,)).status
        == "interrupted"
    )
    assert (
        judge(baseline, run_of(RESET, failures=[reset], entries=[SPAWNED]), invariants={"loop-survives": "off"}).status
        == "interrupted"
    )


@pytest.mark.parametrize(
    ("name", "baseline", "run"),
    [
        (
            "loop-survives",
            {"alive": ("server/serve",), "entries": [SPAWNED]},
            {"failures": [target_ended(os_error(errno.ECONNRESET))], "entries": [SPAWNED]},
        ),
        ("listener-survives", {"listening": ("server:7",), "entries": [LISTENED]}, {"entries": [LISTENED]}),
        ("handler-raised", {}, {"handler_errors": [reached_handle_error(TypeError("x"))]}),
    ],
)
def test_what_is_a_failure_may_be_no_more_than_a_warning(
    name: str, baseline: dict[str, Any], run: dict[str, Any]
) -> None:
    known = run_of(**baseline)
    assert judge(known, run_of(RESET, **run)).status == "failure"
    judgement = judge(known, run_of(RESET, **run), invariants={name: "warning"})
    assert judgement.status in ("equal", "interrupted")
    assert [each.reason for each in judgement.warnings] == [name]


def test_a_process_that_an_interrupted_body_never_started_has_not_ended() -> None:
    baseline = run_of(alive=("server/serve",), listening=("server:7",), entries=[SPAWNED, LISTENED])
    run = run_of(RESET, error=raised(ConnectionResetError(errno.ECONNRESET, "x")))
    assert judge(baseline, run).status == "interrupted"


def test_a_listener_that_is_gone_has_not_survived() -> None:
    baseline = run_of(listening=("server:7",), entries=[LISTENED])
    judgement = judge(baseline, run_of(RESET, entries=[LISTENED]))
    assert (judgement.status, judgement.findings[0].reason) == ("failure", "listener-survives")
    # Told already, by whoever saw the handler close it:
    seen = Verdict("listener-survives", "the listener server:7 was closed at 0.001 s", "server")
    judgement = judge(baseline, run_of(RESET, entries=[LISTENED], verdicts=[seen]))
    assert [each.message for each in judgement.findings] == [seen.message]


def test_of_two_listeners_of_a_port_one_that_never_came_to_be_is_none_that_is_gone() -> None:
    """As where asyncio gets no socket for IPv6, and goes on with that for IPv4."""
    baseline = run_of(listening=("server:7", "server:7"), entries=[LISTENED, LISTENED])
    assert judge(baseline, run_of(EMFILE, listening=("server:7",), entries=[LISTENED])).status == "equal"
    gone = judge(baseline, run_of(EMFILE, listening=("server:7",), entries=[LISTENED, LISTENED]))
    assert (gone.status, gone.findings[0].reason) == ("failure", "listener-survives")


def test_the_cause_comes_before_what_follows_from_it() -> None:
    wrong = reached_handle_error(TypeError("cannot unpack"))
    closed = Verdict("listener-survives", "the listener server:7 was closed at 0.001 s", "server", wrong.error)
    refused = raised(ConnectionRefusedError(errno.ECONNREFUSED, "x"))
    judgement = judge(BASELINE, run_of(BLOCK, handler_errors=[wrong], verdicts=[closed], error=refused))
    assert [each.reason for each in judgement.findings] == ["handler-raised", "listener-survives", "body-raised"]
    assert judgement.key == ("handler-raised", "TypeError", judgement.findings[0].at)
    assert judgement.findings[0].at.startswith("explore_runs.py:")


def test_the_bounds_of_the_simulation_come_before_everything_else() -> None:
    unknown = Verdict("NotModelled", "sendfile", "server")
    judgement = judge(BASELINE, run_of(SPLIT, verdicts=[unknown], failures=[target_ended(TypeError("x"))]))
    assert judgement.findings[0].reason == "NotModelled"


def test_who_waits_for_a_test_that_failed_and_left_its_connection_open_comes_after_it() -> None:
    """A thread of the test's own keeps the connection that a clean end of the test would have closed."""
    left = Waiting(
        "test/pump", "test", False, "test/pump waits for recv on test->server:7#1", "test.py:3 in pump", 5, thread=True
    )
    run = run_of(SPLIT, waiting=[waits(), left], error=raised(AssertionError("no")))
    assert [each.reason for each in judge(BASELINE, run).findings] == [
        "body-raised",
        "waits-for-ever",
        "support-waits",
    ]
    run = run_of(SPLIT, waiting=[waits(), left], error=raised(TimeoutError("timed out")))  # for which a wait may be why
    assert judge(BASELINE, run).findings[0].reason == "waits-for-ever"
    run = run_of(SPLIT, waiting=[waits()], error=raised(AssertionError("no")))
    assert judge(BASELINE, run).findings[0].reason == "waits-for-ever"


def test_one_exception_is_told_once_though_it_was_recorded_in_several_places() -> None:
    spin = Spin("told 200 times")
    run = run_of(RESET, verdicts=[Verdict("no-spin", "told 200 times", "server", spin)], failures=[target_ended(spin)])
    assert [each.reason for each in judge(BASELINE, run).findings] == ["no-spin"]
    broken = raised(AssertionError("must always hold"))
    run = run_of(RESET, verdicts=[Verdict("always", "does not hold", "test", broken)], error=broken)
    judgement = judge(BASELINE, run)
    assert [(each.reason, each.error) for each in judgement.findings] == [("always", broken)]


def test_a_warning_that_the_baseline_gives_too_is_not_repeated() -> None:
    warning = Verdict("abandoned", "went on waiting", "server", None, "warning")
    assert [each.reason for each in judge(BASELINE, run_of(SPLIT, verdicts=[warning])).warnings] == ["abandoned"]
    assert judge(run_of(verdicts=[warning]), run_of(SPLIT, verdicts=[warning])).warnings == ()


def test_what_follows_from_an_exception_is_no_warning_beside_it() -> None:
    """A loop that goes round a broken connection, and one that has ended, and serves nobody any more, are told as that."""
    warnings = [Verdict(name, "...", "server", level="warning") for name in ("broken-given-up", "abandoned")]
    ended = judge(BASELINE, run_of(RESET, verdicts=warnings, failures=[target_ended(TypeError("x"))]))
    assert [each.reason for each in ended.warnings] == ["abandoned"]
    another = judge(
        BASELINE, run_of(RESET, verdicts=warnings, handler_errors=[reached_handle_error(os_error(errno.EPIPE))])
    )
    assert [each.reason for each in another.warnings] == ["broken-given-up", "abandoned"], "that error is excused"


def test_outcomes_that_differ_are_told_by_what_differs() -> None:
    judgement = judge(run_of(returned=[1]), run_of(SPLIT, returned=[2]))
    assert judgement.findings[0].message == "the test returned [2]; without the fault [1]"
    judgement = judge(run_of(observed=(("lines", 3),)), run_of(SPLIT, observed=(("lines", 2),)))
    assert judgement.findings[0].message == "observation 1 is lines=2; without the fault lines=3"
    judgement = judge(run_of(observed=(("lines", 3),)), run_of(SPLIT))
    assert judgement.findings[0].message == "the test observed 0 things; without the fault 1"
    judgement = judge(run_of(observed=(("lines", 3), ("lines", 2))), run_of(SPLIT, observed=(("lines", 3),)))
    assert judgement.findings[0].message == "the test observed 1 thing; without the fault 2"


def test_long_outcomes_are_cut_around_the_place_where_they_part() -> None:
    head, tail = "x" * 100, "y" * 100
    judgement = judge(run_of(returned=f"{head}1{tail}"), run_of(SPLIT, returned=f"{head}2{tail}"))
    cut = "... xxxxxxxxxxxxxxxxxxxx{}yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy ..."
    assert judgement.findings[0].message == f"the test returned {cut.format(2)}; without the fault {cut.format(1)}"
