"""A report answers: whose bug, which line, what the network did, what followed, how to run it again."""

from __future__ import annotations

import ast
import asyncio
import http.server
import os
import re
import select
import shlex
import socket
import ssl
import struct
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dispatch
from simnet import faults
from simnet.blame import first_of, stopping_place, trimmed, user_place, users_own
from simnet.explore.judging.akin import akin_to
from simnet.explore.judging.verdict import judge
from simnet.explore.options import SweepOptions
from simnet.explore.raising import SweepFailure, as_exception, raise_failures
from simnet.explore.report.failure import report, report_run
from simnet.explore.report.looks import line_of
from simnet.explore.report.when import when
from simnet.explore.result import Failure, SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play
from simnet.verdicts import Deadlock, Hang, Verdict
from simnet.world import Network
from tests.simnet.explore_runs import raised, reached_handle_error, run_of, waits
from tests.simnet.test_explore_ladder import BASELINE as BASELINE_TRACE
from tests.simnet.test_explore_ladder import FAILS

BLOCK = faults.WouldBlock(on="server:7", op="accept", call=1)
BASELINE = run_of(entries=BASELINE_TRACE.entries)
ID = "test_echo.py::test_echo"


def failure_of(**what: object) -> tuple[Failure, SweepResult]:
    run = run_of(BLOCK, entries=FAILS.entries, **what)  # type: ignore[arg-type]
    plan = FaultPlan((BLOCK,))
    failure = Failure(run, judge(BASELINE, run), plan, plan, 3, {"would-block": 2, "stall": 1})
    result = SweepResult(
        "test", SweepOptions.of(target="server"), BASELINE, planned=214, runs=214, failed=3, failures=[failure]
    )
    return failure, result


def accept_failure() -> tuple[Failure, SweepResult]:
    error = reached_handle_error(TypeError("cannot unpack non-iterable NoneType object"))
    closed = Verdict(
        "listener-survives",
        "the listener server:7 was closed at 0.001 s; later clients get ECONNREFUSED",
        "server",
        error.error,
    )
    return failure_of(handler_errors=[error], verdicts=[closed])


def test_a_report_has_all_its_parts() -> None:
    failure, result = accept_failure()
    failure.file = Path.cwd() / ".simnet/failures/test_echo/3f9c01ab.toml"
    failure.kernel = "real sockets, injected result: the same failure"
    told = report(failure, result, test_id=ID)
    lines = told.text().splitlines()
    assert lines[0] == f"{failure.at}: in raised"
    assert lines[1] == ">     raise error"
    assert lines[2] == "E     TypeError: cannot unpack non-iterable NoneType object"
    (network,) = (line for line in lines if line.startswith("network"))
    assert network.split(None, 1)[1].startswith(
        "the 1st accept on server:7 said EAGAIN, though the listener was reported readable"
    )
    assert network.endswith("(transparent)")
    (so,) = (line for line in lines if line.startswith("so "))
    assert "the listener server:7 was closed at 0.001 s" in so
    assert so.endswith("[listener-survives]")
    assert "seen      in 3 of 214 runs: would-block 2, stall 1" in lines
    assert any("⚡ baseline: accepted" in line for line in lines)
    path = ".simnet/failures/test_echo/3f9c01ab.toml"
    assert f"run it    pytest {ID} --simnet-replay {path}   (--pdb stops at {failure.at})" in lines
    assert f"keep it   simnet keep {path}" in lines
    assert lines[-1] == "kernel    real sockets, injected result: the same failure"
    assert told.headline == f"TypeError at {failure.at} when accept says EAGAIN (1 bug, 3 of 214 runs)"


def sums(port: int) -> None:
    """Takes what one read brings for a message."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                words = conn.recv(100).split()
                if len(words) == 3:
                    conn.sendall(b"%d" % (int(words[1]) + int(words[2])))
                else:
                    raise ValueError(words)


def ask_for_a_sum(net: Any) -> None:
    net.host("server").spawn(sums, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"add 12 30")
        assert sock.makefile("rb").read() == b"42"


def test_what_the_same_input_shows_cut_elsewhere_is_akin_and_not_a_bug_of_its_own() -> None:
    options = SweepOptions.of(target="server", kinds=["short-recv", "split", "would-block", "refuse"])
    told = [report(failure, result) for result in [run_sweep(ask_for_a_sum, options)] for failure in result.failures]
    first, reset, short = (each.headline for each in told)
    assert re.fullmatch(r"ValueError at .* when recv returns 1 byte \(1 bug, 9 of 13 runs\)", first)
    assert re.fullmatch(r"ConnectionResetError at .* when recv returns 8 bytes \(akin to 1, 1 of 13 runs\)", reset)
    assert re.fullmatch(r"AssertionError at .* when a segment ends before byte 8 \(akin to 1, 1 of 13 runs\)", short)
    assert "akin      to 1: the same input, cut elsewhere." in told[1].text()
    assert "akin" not in told[0].text()


def test_akin_is_what_cuts_the_same_input_of_the_same_connection_and_nothing_else() -> None:
    def failure(plan: str, *kinds: str) -> Any:
        return types.SimpleNamespace(
            plan=FaultPlan.parse(plan), kinds=dict.fromkeys(kinds or [plan.partition(" ")[0]], 1)
        )

    failures = [
        failure("short-recv a->b:7#1 end=server call=1 bytes=1"),
        failure("split a->b:7#1 end=server byte=3"),
        failure("stall a->b:7#1 end=server byte=3 seconds=61", "stall", "split"),
        failure("stall a->b:7#1 end=server byte=3 seconds=61"),  # it may have outlasted a deadline
        failure("split a->b:7#1 end=client byte=3"),
        failure("split a->b:7#2 end=server byte=3"),
        failure("reset a->b:7#1 end=server byte=3", "reset", "split"),
        failure("split a->b:7#1 end=server byte=3; split a->b:7#1 end=server byte=4"),
    ]
    assert [akin_to(each, failures) for each in failures] == [None, 1, 1, *[None] * 5]


def echo() -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
        while data := conn.recv(100):
            conn.sendall(data)


@pytest.mark.slow
def test_a_test_that_takes_one_read_for_all_is_told_what_a_read_brings() -> None:
    def reads_once(net: Any) -> None:
        net.host("server").spawn(echo)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"

    def reads_on(net: Any) -> None:
        net.host("server").spawn(echo)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert len(sock.makefile("rb").read()) == 5
            assert not net.plan

    told = "the test's last recv brought 1 byte of 5: it returns what has arrived. Read on until all is there"
    for test, why in ((reads_once, told), (reads_on, "")):
        (found,) = run_sweep(test, SweepOptions.of(target="server", kinds="split", first=True)).reports()
        assert found.why == why


def test_a_test_that_trusts_in_waitall_on_a_socket_with_a_time_out_is_told_what_that_does() -> None:
    """The kernel's socket is non-blocking then: it gives what is there (K-055)."""

    def reads_all(net: Any) -> None:
        net.host("server").spawn(echo)
        with socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"hello")
            assert sock.recv(5, socket.MSG_WAITALL) == b"hello"

    told = "for MSG_WAITALL no socket with a time-out waits, on a kernel either. Read on until all is there"
    (found,) = run_sweep(reads_all, SweepOptions.of(target="server", kinds="split", first=True)).reports()
    assert found.why == f"the test's last recv brought 1 byte of 5: {told}"


def test_each_word_at_the_left_is_colored() -> None:
    failure, result = accept_failure()
    told = report(failure, result, test_id=ID)
    told.line, told.why, told.akin, told.kernel = "server.py:1 in serve", "it reads once", "to 1", "real sockets"
    plain, colored = told.text().splitlines(), told.text(color=True).splitlines()
    words = {line[:10].strip(): colored[number] for number, line in enumerate(plain) if line[9:10] == " " != line[:1]}
    assert {"network", "line", "why", "so", "akin", "kernel"} <= words.keys()
    assert all(words[word].startswith("\033[36m") for word in ("network", "line", "why", "so", "akin", "kernel"))


def test_without_a_file_the_plan_itself_is_on_the_command_line() -> None:
    failure, result = accept_failure()
    (command,) = report(failure, result, test_id=ID).commands
    assert command[1].startswith(f'pytest {ID} --simnet-fault "would-block server:7 accept call=1"')
    result.root = Path("/elsewhere")  # the test's id counts from there, and nobody stands there
    (command,) = report(failure, result, test_id=ID).commands
    assert command[1].startswith(f'pytest /elsewhere/{ID} --simnet-fault "would-block')


@pytest.mark.parametrize(
    "plan",
    [
        r"eof server->server:/run/my\x20app.sock#1 end=server byte=1; schedule=random:3",
        'urgent test->server:7#1 end=server byte=1 data="',
        r"urgent test->server:7#1 end=server byte=1 data=\x5c",
    ],
)
def test_a_plan_is_typed_so_that_shells_and_python_leave_it_as_it_is(plan: str) -> None:
    run = replace(run_of(), plan=FaultPlan.parse(plan))
    told = report_run(run, judge(BASELINE, run), BASELINE, test_id=ID).commands
    assert shlex.split(told[0][1])[3] == plan
    told = report_run(run, judge(BASELINE, run), BASELINE).commands
    call = ast.parse(told[0][1], mode="eval").body
    assert isinstance(call, ast.Call)
    assert ast.literal_eval(call.keywords[0].value) == plan


def test_what_pytest_does_not_look_for_is_run_by_our_own_command() -> None:
    failure, result = accept_failure()
    failure.file = Path.cwd() / ".simnet/failures/conversation/3f9c01ab.toml"
    file = ".simnet/failures/conversation/3f9c01ab.toml"
    assert report(failure, result, test_id="notebook.py::conversation").commands == (
        ("run it", f"simnet replay {file}"),
        ("keep it", f"simnet keep {file}"),
    )
    assert report_run(run_of(), judge(BASELINE, BASELINE), BASELINE, test_id="notebook.py::conversation").commands == (
        ("run it", "simnet show notebook.py::conversation"),
    )


def test_a_failure_without_exception_says_what_broke() -> None:
    failure, result = failure_of(waiting=[waits()])
    told = report(failure, result, test_id=ID)
    assert told.title.startswith("server/serve waits for recv on test->server:7#1 at server.py:12 in serve")
    assert told.consequence.endswith("[waits-for-ever]")
    assert told.headline == "waits-for-ever at server.py:12 when accept says EAGAIN (1 bug, 3 of 214 runs)"


def test_the_rule_that_made_it_a_failure_is_named_and_not_an_interruption_that_followed() -> None:
    """Under a disruptive fault the test may raise; that an exception reached handle_error is the failure."""
    error = reached_handle_error(ValueError("no length"))
    reset = faults.Reset(on="test->server:7#1", end="server", byte=3)
    run = run_of(reset, handler_errors=[error], error=raised(ConnectionResetError(104, "Connection reset by peer")))
    told = report_run(run, judge(BASELINE, run), BASELINE, test_id=ID)
    assert told.headline.startswith("ValueError at ")
    assert told.consequence.startswith("ValueError: no length in ")
    assert told.consequence.endswith("  [handler-raised]")


def test_another_outcome_is_called_so() -> None:
    told = report(*failure_of(returned="other"), test_id=ID)
    assert told.headline == "another outcome when accept says EAGAIN (1 bug, 3 of 214 runs)"
    assert told.title == "the test returned 'other'; without the fault 'done'"


def test_what_follows_from_a_broken_rule_is_told_behind_it_in_one_sentence() -> None:
    left = Verdict("nothing-left", "server/serve holds a socket. Close it.", "server", None)
    text = (
        "at 0.048 s nothing can happen:\n  test waits for recv on test->server:7#1, since 0.004 s\nGive it a time-out."
    )
    told = report(*failure_of(verdicts=[left], error=raised(Deadlock(text))), test_id=ID)
    assert told.consequence == (
        "server/serve holds a socket. Close it; "
        "the test waits for recv on test->server:7#1, since 0.004 s, so for ever  [nothing-left]"
    )


def test_who_left_it_since_it_waits_elsewhere_is_told_with_its_line() -> None:
    left = Verdict("nothing-left", "server/serve holds a socket. Close it.", "server", None)
    told = report(*failure_of(verdicts=[left], waiting=[waits()]), test_id=ID)
    assert told.consequence.startswith("server/serve holds a socket. Close it; server/serve waits for recv on ")
    assert "at server.py:12 in serve" in told.consequence
    assert told.consequence.endswith("[nothing-left]")


def test_a_lock_that_is_waited_for_is_told_once() -> None:
    """Both what is left says so, and who waits."""
    wait = replace(
        waits(), what="server/two waits for a lock that server/one held when it ended at server.py:12 in serve"
    )
    left = Verdict("nothing-left", f"server/serve holds a socket. Close it. {wait.what}.", "server", None)
    told = report(*failure_of(verdicts=[left], waiting=[wait]), test_id=ID)
    assert told.consequence.startswith("server/serve holds a socket. Close it; server/two waits for a lock ")
    assert told.consequence.count("server/two waits") == 1


def test_text_fits_its_width_and_can_be_ascii_or_colored() -> None:
    failure, result = accept_failure()
    told = report(failure, result, test_id=ID)
    commands = ("run it", "keep it")  # a command is copied whole, however long it is
    for width in (80, 110):
        assert all(len(line) <= width for line in told.text(width=width).splitlines() if not line.startswith(commands))
    assert told.text(unicode=False).isascii()
    assert "\033[" not in told.text()
    assert "\033[31m" in told.text(color=True)


def test_the_users_own_exception_is_raised_with_the_report_as_its_note() -> None:
    failure, result = accept_failure()
    with pytest.raises(TypeError, match="cannot unpack") as caught:
        raise_failures(result, ID)
    assert caught.value is failure.error
    assert "the 1st accept on server:7 said EAGAIN" in caught.value.__notes__[0]
    with pytest.raises(TypeError):
        raise_failures(result, ID)
    assert len(caught.value.__notes__) == 1  # however often it is raised


def test_several_distinct_failures_are_raised_as_a_group() -> None:
    first, result = accept_failure()
    second, _ = failure_of(waiting=[waits()])
    result.failures.append(second)
    with pytest.raises(ExceptionGroup, match="2 distinct failures") as caught:
        raise_failures(result, ID)
    assert caught.value.exceptions[0] is first.error
    assert isinstance(caught.value.exceptions[1], SweepFailure)


def test_a_verdict_is_raised_as_something_that_every_test_runner_catches() -> None:
    hang = raised(Hang("computes for ever"))
    failure, result = failure_of(verdicts=[Verdict("Hang", "computes for ever", "server", hang)])
    error = as_exception(failure.error, report(failure, result))
    assert isinstance(error, SweepFailure)
    assert isinstance(error, Exception)
    assert str(error) == "Hang: computes for ever"
    assert error.__traceback__ is not None  # of the line that hung


def test_a_run_outside_a_sweep_is_told_the_same_way() -> None:
    error = raised(ConnectionResetError(104, "Connection reset by peer"))
    reset = faults.Reset(on="test->server:7#1", end="server", byte=3)
    run = run_of(reset, error=error)
    told = report_run(run, judge(BASELINE, run), BASELINE, test_id=ID)
    assert told.network == ((reset.sentence(), "disruptive"),)
    assert told.headline.startswith("ConnectionResetError at explore_runs.py:")


def test_a_fault_that_was_never_reached_is_told_so() -> None:
    run = run_of(BLOCK, returned="other", unreached=(BLOCK,))
    assert report_run(run, judge(BASELINE, run), BASELINE).network[0][1] == "never reached"


@pytest.mark.parametrize("kind", faults.ALL)
def test_every_kind_has_a_few_words_for_a_headline(kind: type[faults.Fault]) -> None:
    examples: dict[str, dict[str, object]] = {
        "short-recv": {"end": "server", "call": 1, "bytes": 1},
        "partial-send": {"end": "server", "call": 1, "bytes": 5},
        "would-block": {"end": "server", "op": "recv", "call": 1},
        "split": {"end": "server", "byte": 3},
        "wake": {"on": "server", "call": 1, "keep": 1},
        "stall": {"end": "server", "byte": 3, "seconds": 61},
        "preempt": {"end": "server", "op": "send", "call": 1, "seconds": 0.05},
        "urgent": {"end": "server", "byte": 3},
        "eof": {"end": "server", "byte": 3},
        "reset": {"end": "server", "byte": 3},
        "coalesce": {"end": "server", "byte": 3, "bytes": 9},
        "blackhole": {"end": "server", "byte": 3},
        "pause": {"on": "server", "at": 1.5, "seconds": 5},
        "clock-jump": {"on": "server", "at": 1.5, "seconds": -3600},
        "name-error": {"on": "client", "lookup": 1, "errno": "EAI_AGAIN"},
        "refuse": {},
        "unreachable": {},
        "connect-timeout": {},
        "strangers": {"count": 64},
        "reset-before-accept": {"on": "server:7", "call": 1},
        "error": {"end": "server", "op": "send", "call": 1, "errno": "ENOBUFS"},
        "drop": {"on": "test->server:53", "datagram": 1},
        "duplicate": {"on": "test->server:53", "datagram": 1},
        "reorder": {"on": "test->server:53", "datagram": 1},
        "delay": {"on": "test->server:53", "datagram": 1, "seconds": 5},
        "crash": {"on": "server", "at": 1.5},
        "restart": {"on": "server", "at": 1.5},
        "partition": {"on": "a<->b", "at": 1.5, "seconds": 5},
    }
    fault = kind(**{"on": "test->server:7#1", **examples[kind.kind]})
    words = when(FaultPlan((fault,)))
    assert words.startswith("when ")
    assert fault.sentence() not in words  # shorter than the sentence
    assert len(words) < 50


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("short-recv a->b:7#1 end=server call=1 bytes=1", "recv returns 1 byte"),
        ("short-recv a->b:7#1 end=server call=1 bytes=1000", "recv returns 1,000 bytes"),
        ("partial-send a->b:7#1 end=server call=1 bytes=2", "send takes 2 bytes"),
        ("partial-send a->b:7#1 end=server call=1 bytes=2 seconds=5", "send takes 2 bytes, and is full for 5 s"),
        ("would-block a->b:7#1 end=server send call=1", "send says EAGAIN"),
        ("would-block a->b:7#1 end=server send call=1 seconds=5", "send says EAGAIN for 5 s"),
        ("wake b call=1 keep=1", "a poll reports only some of the ready"),
        ("wake b call=1 first=1", "a poll reports another order"),
        ("reset a->b:7#1 end=server byte=3", "the connection is reset before byte 3"),
        ("reset a->b:7#1 end=server send call=1", "the connection is reset before send"),
        ("reset a->b:7#1 end=server send call=1 when=after", "the connection is reset after send"),
        ("strangers a->b:7#1 count=1", "1 stranger comes first"),
        ("strangers a->b:7#1 count=64 when=after", "64 strangers come right behind"),
        ("name-error a lookup=1 errno=EAI_AGAIN", "a look-up fails with EAI_AGAIN"),
        ("name-error a lookup=1 seconds=5", "a name is answered 5 s late"),
        ("clock-jump b at=1 seconds=5", "the clock of b jumps by +5 s"),
        ("refuse a->b:7#1; pause b at=1 seconds=5", "the connection is refused and b stands still for 5 s"),
    ],
)
def test_the_words_say_what_is_particular_of_it(fault: str, words: str) -> None:
    assert when(FaultPlan.parse(fault)) == f"when {words}"


def test_a_server_that_has_gone_refuses_each() -> None:
    once, each = (when(FaultPlan((faults.Refuse(on=f"test->server:7#{n}"),))) for n in ("1", "*"))
    assert (once, each) == ("when the connection is refused", "when each connection is refused")


def test_strangers_who_come_behind_a_connection_are_not_said_to_come_first() -> None:
    before, after = (
        when(FaultPlan((faults.Strangers(on="test->server:7#1", count=4, when=each),))) for each in ("before", "after")
    )
    assert (before, after) == ("when 4 strangers come first", "when 4 strangers come right behind")


def test_a_debugger_stops_in_the_users_code() -> None:
    def body(net: object) -> None:
        import socket

        socket.create_connection(("nobody", 7))

    error = play(body).body_error
    assert error is not None
    shown = traceback.extract_tb(trimmed(error.__traceback__))
    assert shown[0].name == "body"
    assert not any("/simnet/" in frame.filename and "/tests/" not in frame.filename for frame in shown)
    assert stopping_place(error).line == shown[-1].lineno
    assert user_place(error).function == "body"


def test_a_group_is_blamed_on_the_line_of_what_is_in_it_and_named_by_it_if_all_are_alike() -> None:
    try:
        int("bad")
    except ValueError as caught:
        error = caught
    group = raised(ExceptionGroup("of a task", [ExceptionGroup("of a child", [error]), ValueError("more")]))
    assert user_place(group) == user_place(error)
    assert first_of(group) is error
    mixed = raised(ExceptionGroup("of a task", [error, KeyError("else")]))
    assert first_of(mixed) is mixed
    nowhere = raised(ExceptionGroup("of a task", [ValueError("never raised")]))
    assert user_place(nowhere).function == "raised"


def test_what_the_standard_library_lost_is_a_library_where_the_index_brought_it_back() -> None:
    site = sysconfig.get_path("purelib")
    assert not users_own(os.path.join(site, "asyncore", "__init__.py"))
    assert not users_own(os.path.join(site, "asyncore.py"))
    assert users_own(os.path.join(site, "my_asyncore", "server.py"))  # a program may be installed


def test_what_runs_tests_is_not_the_users() -> None:
    site = sysconfig.get_path("purelib")
    for runner in (
        "_pytest/runner.py",
        "_pytest/config/__init__.py",
        "hypothesis/internal/engine.py",
        "pytest/__main__.py",
    ):
        assert not users_own(os.path.join(site, *runner.split("/")))
    assert not users_own(os.path.join(sysconfig.get_path("scripts"), "pytest"))
    assert users_own("/home/me/_pytest/server.py")


def test_a_debugger_that_stops_in_the_library_is_told_below_which_line() -> None:
    def body(net: Any) -> None:
        with net.host("server").listen(7), socket.create_connection(("server", 7), timeout=1) as client:
            with client.makefile("rb") as file:
                file.readline()

    result = run_sweep(body, SweepOptions.of(target="server"))
    (told,) = result.reports(ID)
    place, below = stopping_place(result.failures[0].error).short, result.failures[0].at
    assert place.startswith("socket.py:")
    assert below.startswith("test_explore_report.py:")
    assert f"(--pdb stops at {place}, below {below})" in told.text()


def test_where_no_line_is_the_users_the_debuggers_place_is_named_once() -> None:
    def body(net: Any) -> None:
        net.host("server").spawn(http.server.HTTPServer, ("", 70_000), None)

    result = run_sweep(body, SweepOptions.of(target="server"))
    (told,) = result.reports(ID)
    assert result.failures[0].at == stopping_place(result.failures[0].error).short
    assert f"(--pdb stops at {result.failures[0].at})" in told.text()


class Gone(Exception):
    """A program's own word."""


def swept_with_resets(serve: Callable[[], None], **options: Any) -> SweepResult:
    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    return run_sweep(body, SweepOptions.of(target="server", kinds="reset", **options))


@pytest.mark.parametrize("by", ["from", "while"])
def test_a_programs_own_word_for_what_the_fault_made_is_told_with_what_lets_it_pass(by: str) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                try:
                    conn.recv(100)
                except OSError as error:
                    raise Gone from (error if by == "from" else error.__cause__)

    result = swept_with_resets(serve)
    (failure,) = result.failures
    word = "ConnectionResetError: [Errno 104] Connection reset by peer"
    why = report(failure, result).why
    assert why == f"Gone is what became of {word}, which the fault made; may_raise=(Gone,) says that it may"
    assert swept_with_resets(serve, may_raise=(Gone,)).ok


class Late(TimeoutError):
    """A library's own word, between that of the kernel and that of who uses the library."""


def test_of_two_words_of_libraries_the_kernels_own_behind_them_is_what_the_fault_made() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            try:
                try:
                    conn.recv(100)
                except OSError as error:
                    raise Late("no answer in 60 s") from error
            except Late as late:
                raise Gone from late

    result = swept_with_resets(serve)
    (failure,) = result.failures
    word = "ConnectionResetError: [Errno 104] Connection reset by peer"
    assert report(failure, result).why.startswith(f"Gone is what became of {word}, which the fault made;")


def test_who_lets_slow_readers_go_is_told_why_one_that_was_slow_for_a_moment_is_gone() -> None:
    class Impatient(dispatch.Stream):
        high_water = 100

        def handle_data(self, data: bytes) -> None:
            self.write(data * 100)

        def handle_full(self) -> None:
            self.abort(TimeoutError("reads too slowly"))

    def serve() -> None:
        with dispatch.Loop() as loop:
            dispatch.Listener(("", 7), Impatient, loop=loop)
            loop.run()

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.makefile("rb").read(500) == b"hello" * 100

    result = run_sweep(body, SweepOptions.of(target="server", kinds="would-block"))
    whys = [report(each, result).why for each in result.failures]
    assert any(
        why.startswith("a peer that does not read for a moment filled the output, and handle_full") for why in whys
    )


def test_a_programs_word_for_a_time_out_that_a_stall_made_elapse_is_told_too() -> None:
    def ask() -> bytes:
        try:
            with socket.create_connection(("server", 7), timeout=5) as sock:
                return sock.recv(100)
        except TimeoutError as error:
            raise Gone from error

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            conn.sendall(b"hello")

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        net.host("client").run(ask)

    result = run_sweep(body, SweepOptions.of(target="client", kinds="stall"))
    (failure,) = result.failures
    why = report(failure, result).why
    assert (
        why
        == "Gone is what became of TimeoutError: timed out, which the fault made; may_raise=(Gone,) says that it may"
    )
    assert run_sweep(body, SweepOptions.of(target="client", kinds="stall", may_raise=(Gone,))).ok


def test_an_error_of_a_library_is_named_as_a_test_types_it_and_with_what_stands_for_all_of_them() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            try:
                conn.recv(100)
            except OSError as error:
                raise errors.ConnectionError from error

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    library = types.ModuleType("library")
    base = type("LibraryError", (Exception,), {"__module__": "library.errors"})
    errors = types.SimpleNamespace(ConnectionError=type("ConnectionError", (base,), {"__module__": "library.errors"}))
    library.__file__ = f"{sysconfig.get_path('purelib')}/library/__init__.py"
    vars(library)["LibraryError"] = base  # at the package's face, where the other is not
    sys.modules["library"] = library
    try:
        result = run_sweep(body, SweepOptions.of(target="server", kinds="reset"))
        why = report(result.failures[0], result).why
    finally:
        del sys.modules["library"]
    assert why.endswith(
        "may_raise=(library.errors.ConnectionError,) says that it may; (library.LibraryError,) stands for any error of library"
    )


@pytest.mark.parametrize(("seconds", "told"), [(2, True), (100, False)])
def test_a_test_that_sleeps_and_then_looks_is_told_to_sleep_longer(seconds: int, told: bool) -> None:
    def body(net: Any) -> None:
        got: list[bytes] = []

        def keep() -> None:
            with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
                while data := conn.recv(100):
                    got.append(data)

        net.host("server").spawn(keep)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
        net.sleep(seconds)
        net.observe("got", b"".join(got))

    result = run_sweep(body, SweepOptions.of(target="server", kinds="stall"))
    whys = [report(each, result).why for each in result.failures]
    assert len(whys) == told
    assert all("the test slept until 2.002 s, and then looked: what is late had not come." in why for why in whys)


def test_one_that_slept_until_all_must_have_come_is_not() -> None:
    """It was its own time-out that was too short."""

    def body(net: Any) -> bytes:
        net.host("server").spawn(say_hello)
        with socket.create_connection(("server", 7)) as sock:
            sock.setblocking(False)
            readable = select.select([sock], [], [], 1)[0]
            answer = sock.recv(100) if readable else b""
        net.sleep(500)
        return answer

    result = run_sweep(body, SweepOptions.of(target="server", kinds="stall", survives="stall"))
    whys = [report(each, result).why for each in result.failures]
    assert whys
    assert not any("slept" in why for why in whys)


def say_hello() -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
        conn.sendall(b"hello")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "told"),
    [(Gone, True), (EOFError, True), (OSError, True), (IndexError, False), (asyncio.InvalidStateError, False)],
)
def test_what_may_be_a_programs_word_for_an_early_end_is_told_with_what_lets_it_pass(
    error: type[Exception], told: bool
) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            if len(conn.recv(5, socket.MSG_WAITALL)) < 5:
                raise error("cut")

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    result = run_sweep(body, SweepOptions.of(target="server", kinds="eof"))
    why, name = report(result.failures[0], result).why, error.__name__
    word = (
        f"if {name} is this program's word for what the network did, may_raise=({name},) says that it may end with it"
    )
    assert why == (word if told else "")


class Coded:
    """What a program mixes into its errors."""


class WireError(Exception, Coded):
    """The base of them."""


class Truncated(WireError):
    """One of them."""


@pytest.mark.parametrize(
    ("error", "typed"),
    [
        pytest.param(Truncated, "Truncated,) says that it may end with it; (WireError", id="no mixin is an exception"),
        pytest.param(struct.error, "struct.error,) says that it may end with it", id="a name that says nothing"),
        pytest.param(ssl.SSLError, "ssl.SSLError,) says that it may end with it", id="of the standard library"),
    ],
)
def test_what_may_raise_is_to_be_given_is_an_exception_under_a_name_that_is_known(
    error: type[Exception], typed: str
) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            if len(conn.recv(5, socket.MSG_WAITALL)) < 5:
                raise error("it is too short")

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    result = run_sweep(body, SweepOptions.of(target="server", kinds="eof"))
    told = report(result.failures[0], result)
    name = typed.partition(",")[0].removeprefix("ssl.")
    assert f"may_raise=({typed}" in told.why
    assert "Coded" not in told.why
    assert told.title.startswith(f"{name}: ")
    assert "it is too short" in told.title
    assert told.headline.startswith(f"{name} at test_explore_report.py:")


def test_what_a_program_has_noted_on_its_exception_stands_below_it_and_what_the_network_knows_once() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            if len(conn.recv(5)) < 5:
                error = ValueError("too short")
                error.add_note("asked by\nnobody")
                raise error

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    def misnamed(net: Any) -> None:
        net.host("server").spawn(socket.create_connection, ("sever", 7))

    result = run_sweep(body, SweepOptions.of(target="server", kinds="short-recv"))
    for _ in range(2):  # what is raised has the report among its notes, which is none of these
        told = report(result.failures[0], result)
        assert "E     ValueError: too short\nE     asked by\nE     nobody\n\nnetwork" in told.text()
        with pytest.raises(ValueError, match="too short"):
            raise_failures(result)
    alone = run_sweep(misnamed, SweepOptions.of(target="server"))
    assert report(alone.failures[0], alone).text().count("is no host of this network") == 1


@pytest.mark.parametrize("into", [False, True])
def test_a_close_before_all_is_read_is_told_as_what_reset_the_connection(into: bool) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            while data := conn.recv(100):
                conn.sendall(data)

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            if into:
                sock.recv_into(bytearray(3))
            else:
                sock.recv(1)
                sock.recv(4, socket.MSG_PEEK)
                sock.recv(2)

    result = run_sweep(body, SweepOptions.of(target="server"))
    (failure,) = result.failures
    assert report(failure, result).why == (
        "test closed test->server:7#1 with 2 bytes unread that had come, and that is a reset: read to the end first, or have "
        "the server go on after one"
    )
    with pytest.raises(ConnectionResetError) as caught, Network() as net:
        body(net)
    assert any("with 2 bytes unread" in note for note in caught.value.__notes__)


def test_a_close_while_more_is_on_its_way_is_told_where_a_transparent_fault_has_made_it_matter() -> None:
    """Who asks for more than there is loses the end, if it is late: what comes to a closed socket is answered with RST."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            conn.recv(5)
            conn.sendall(b"hello")
            conn.sendall(b"end")

    def ask() -> bytes:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            got = sock.recv(5, socket.MSG_WAITALL)
            sock.sendall(b"more?")
            return got + sock.recv(3, socket.MSG_WAITALL)

    def body(net: Any) -> bytes:
        net.host("server").spawn(serve)
        got: bytes = net.host("client").run(ask)
        return got

    result = run_sweep(body, SweepOptions.of(target="server", kinds=["stall"]))
    (failure,) = [each for each in result.failures if isinstance(each.finding.error, ConnectionResetError)]
    assert report(failure, result).why == (
        "server had closed client->server:7#1 when 5 bytes more came, and that is a reset: what the client has not read yet is "
        "lost. Read to the end before the close, behind shutdown(SHUT_WR) if need be"
    )


def test_who_waited_for_ever_is_told_where_that_was_seen_and_not_where_it_began_to_wait() -> None:
    def test(net: Network) -> bytes:
        net.host("server").spawn(echo)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    result = run_sweep(test, SweepOptions(kinds=("crash",), target=("server",), strict=True))
    failure = next(each for each in result.failures if isinstance(each.finding.error, Deadlock))
    rows = report(failure, result).text().splitlines()
    cut = next(number for number, row in enumerate(rows) if "the power is cut" in row)
    told = next(number for number, row in enumerate(rows) if "Deadlock  " in row)
    assert cut < told
    seconds = str(failure.finding.error).partition(" s ")[0].rpartition(" ")[2]
    assert rows[told].split()[0] == f"{float(seconds):.3f}"


def test_behind_a_word_that_is_too_long_a_line_is_folded_all_the_same() -> None:
    path = f"server:/run/{'x' * 100}.sock"
    text = f"the 1st accept on {path} said EAGAIN, though the listener was reported readable"
    assert line_of("network", text, "(transparent)", 80).splitlines() == [
        "network   the 1st accept on",
        f"          {path}",
        "          said EAGAIN, though the listener was reported readable   (transparent)",
    ]
    assert line_of("so", "x" * 100, "", 80) == f"so        {'x' * 100}"
