"""The sweep itself: its baseline, its counts, its ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest

import simnet
from dispatch import asyncore
from simnet import watchdog
from simnet.explore.baseline import NotRepeatable
from simnet.explore.check import check
from simnet.explore.fuzz import run_fuzz
from simnet.explore.options import SweepOptions
from simnet.explore.replay import replay
from simnet.explore.report.failure import report
from simnet.explore.sweep import NothingToTest, run_sweep
from simnet.faults.plan import FaultPlan
from simnet.realnet import play_real
from simnet.run import Run, play

pytestmark = pytest.mark.slow  # each is a few sweeps

SERVER = SweepOptions.of(target="server")


def serve_once(port: int) -> None:
    """A blocking echo for one client."""
    with socket.create_server(("", port)) as listener:
        sock, _ = listener.accept()
        with sock:
            while data := sock.recv(100):
                sock.sendall(data)


def echo(net: Any) -> bytes:
    net.host("server").spawn(serve_once, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(100), b""))


def test_a_sweep_counts_every_run_once() -> None:
    begun = time.perf_counter()
    result = run_sweep(echo, SERVER)
    assert 0 < result.seconds < time.perf_counter() - begun
    assert result.runs == result.planned == sum(row.variants for row in result.kinds)
    assert result.budget_line == f"{result.planned} points"  # all of them: there is nothing to excuse
    assert result.runs == result.equal + result.noted + result.interrupted + result.failed + result.unreached
    assert result.simulations == result.runs + 2
    assert result.rate > 0
    assert result.ok
    assert result.summary().startswith(f"sweep: server; {result.runs} runs in ")
    assert f"{result.equal} equal" in result.summary()
    assert "interrupted by a disruptive fault" in result.summary()


def test_progress_is_told_after_each_run() -> None:
    told: list[tuple[int, int, int]] = []
    result = run_sweep(echo, SERVER, progress=lambda *numbers: told.append(numbers))
    assert [done for done, _, _ in told] == list(range(1, result.runs + 1))
    assert {total for _, total, _ in told} == {result.runs}


def test_a_budget_is_kept_and_the_summary_says_what_was_left_out() -> None:
    result = run_sweep(echo, SERVER.but(runs=10))
    assert result.runs == 10
    assert result.budget_line.startswith(f"10 of {result.planned} points: ")
    assert result.budget_line in result.summary()


def test_kinds_choose_and_have_a_row_each() -> None:
    result = run_sweep(echo, SERVER.but(kinds=["eof", "split"]))
    assert [row.kind for row in result.kinds] == ["split", "eof"]
    assert all(row.runs for row in result.kinds)


def test_a_test_that_fails_without_faults_is_not_swept() -> None:
    def wrong(net: Any) -> None:
        echo(net)
        raise ValueError("mine")

    result = run_sweep(wrong, SERVER)
    assert (result.runs, result.fails_without_faults) == (0, True)
    assert isinstance(result.failures[0].error, ValueError)
    assert "fails without any fault" in result.summary()
    with pytest.raises(ValueError, match="mine") as caught:
        result.raise_failures()
    assert "no fault at all: the test fails like this by itself" in caught.value.__notes__[0]


def test_two_outcomes_without_faults_are_not_repeatable() -> None:
    count = itertools.count()

    def counts(net: Any) -> int:
        echo(net)
        return next(count)

    with pytest.raises(NotRepeatable, match=r"the test returned 1; the other time 0\.") as caught:
        run_sweep(counts, SERVER)
    assert (
        "state that stays from run to run (a file, a cache, a counter, a global: per_process=['module:name'] makes"
        in str(caught.value)
    )


def test_two_values_that_look_alike_and_are_not_equal_are_told_so() -> None:
    class Same:
        def __repr__(self) -> str:
            return "same"

    def returns(net: Any) -> object:
        echo(net)
        return Same()

    with pytest.raises(
        NotRepeatable, match="the test returned same; the other time one that looks alike and is not equal"
    ):
        run_sweep(returns)


def test_a_process_that_an_exception_ended_the_second_time_alone_is_told() -> None:
    async def serve() -> None:
        serve_once(7)

    def makes_it_once(net: Any) -> None:
        net.host("server").spawn(lambda: asyncio.run(coroutine))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    coroutine = serve()
    with pytest.raises(
        NotRepeatable, match="; server/<lambda> ended with RuntimeError: cannot reuse already awaited cor"
    ):
        run_sweep(makes_it_once, SERVER)


class Counter:
    """What a library may keep for ever."""

    count = 0
    seen: ClassVar[list[str]] = []
    local: ClassVar[threading.local] = threading.local()


DICE = random.Random()


def test_a_generator_of_random_numbers_is_made_afresh_and_begins_alike_in_each_run() -> None:
    def jitter(net: Any) -> list[float]:
        return [DICE.random(), *(net.host(name).run(DICE.random) for name in ("a", "b"))]

    names = [f"{__name__}:DICE"]
    one, other = (play(jitter, per_process=names).outcome.returned for _ in range(2))
    assert one == other
    assert len(set(one)) == 3, "each process throws dice of its own"


@pytest.mark.parametrize("play_it", [play, play_real])
def test_what_stays_from_run_to_run_can_be_made_fresh(play_it: Any) -> None:
    def counts(net: Any) -> tuple[int, list[str]]:
        Counter.count += 1
        Counter.seen.append("me")
        assert not vars(Counter.local)
        Counter.local.mine = True
        net.host("server").spawn(lambda: Counter.seen.append("somebody else"))
        return Counter.count, list(Counter.seen)

    names = SweepOptions.of(
        per_process=[*(f"{__name__}:Counter.{name}" for name in ("count", "seen", "local")), "no_such_module:name"]
    )
    for _ in range(2):
        assert play_it(counts, **names.playing).outcome.returned == (1, ["me"])
    assert (Counter.count, Counter.seen) == (0, [])


def test_what_a_failure_leaves_for_later_runs_is_warned_of() -> None:
    left: list[str] = []

    def careless(net: Any) -> None:
        echo(net)
        if net.happened:
            left.append("a file")
        assert not left

    result = run_sweep(careless, SERVER.but(kinds=["split"], runs=5, shrink=False))
    assert result.failed == 5
    (warned,) = result.warnings
    assert warned.name == "state-stays"
    assert "the test raised AssertionError" in warned.text
    assert "before it ended well. Something stays from run to run" in warned.text
    result = run_sweep(lambda net: echo(net) if not net.happened else 1 / 0, SERVER.but(kinds=["split"], runs=5))
    assert not result.warnings


class Lines:
    pending = bytearray()  # of all connections, by mistake


def serve_lines(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    Lines.pending += data
                    if Lines.pending.endswith(b"\n"):
                        connection.sendall(Lines.pending)
                        Lines.pending.clear()


def test_a_failure_that_its_plan_does_not_show_by_itself_is_said_to_be_an_echo() -> None:
    def lines(net: Any) -> None:
        net.host("server").spawn(serve_lines, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            with net.always():
                assert b"hello\n".startswith(sock.recv(100))

    Lines.pending.clear()
    result = run_sweep(lines, SERVER.but(kinds=["eof"]))
    (warned,) = result.warnings
    assert warned.name == "state-stays"
    assert warned.text.startswith("this plan fails no more when it is played again: an earlier run had left something")
    (failure,) = result.failures
    assert report(failure, result).why.startswith("something stays from run to run")
    Lines.pending.clear()


@pytest.mark.parametrize("reached", [True, False])
def test_the_witness_of_a_failure_is_a_run_whose_fault_was_reached_if_there_is_one(reached: bool) -> None:
    runs = itertools.count()

    def stumble() -> None:
        raise LookupError("what an earlier run has left")

    def careless(net: Any) -> None:
        if net.plan and next(runs) % 2 == 0:
            stumble()  # before the fault could act
        echo(net)
        if net.plan and reached:
            stumble()

    (failure,) = run_sweep(careless, SERVER.but(kinds=["split"], runs=4, shrink=False)).failures
    assert failure.count == (4 if reached else 2)
    assert bool(failure.run.unreached) != reached


def test_a_failure_whose_fault_was_never_reached_is_called_an_echo() -> None:
    runs = itertools.count()

    def careless(net: Any) -> None:
        assert not net.plan or next(runs) % 2
        echo(net)

    result = run_sweep(careless, SERVER.but(kinds=["split"], runs=4, shrink=False))
    told = report(result.failures[0], result)
    assert told.network[0][1] == "never reached"
    assert told.why.startswith("no fault acted in this run: an earlier one left something behind")


def test_two_ways_to_one_outcome_are_not_repeatable_either_and_the_ladder_shows_where_they_part() -> None:
    count = itertools.count()

    def greets(net: Any) -> None:
        net.host("server").spawn(serve_once, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello %d" % next(count))
            sock.recv(100)

    with pytest.raises(NotRepeatable, match="what happened on the way is not") as caught:
        run_sweep(greets, SERVER)
    assert "equal to the baseline up to here" in str(caught.value)
    assert "send b'hello 1'" in str(caught.value)
    first = "test: b'hello 1' (test->server:7#1, at 0.002 s); the other time test: b'hello 0' (test->server:7#1, at 0.002 s)"
    assert f"first     {first}\n\n" in str(caught.value)


def test_what_differs_far_behind_in_long_data_is_told() -> None:
    count = itertools.count()

    def greets(net: Any) -> None:
        net.host("server").spawn(serve_once, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello from a long way off, %d times" % next(count))
            sock.recv(100)

    with pytest.raises(NotRepeatable, match=r"34 B \(test->.* from byte 27 on b'1 times'; the other time b'0 times'\n"):
        run_sweep(greets, SERVER)


def test_a_poll_with_another_time_out_is_told_too() -> None:
    count = itertools.count()

    def polls(_: Any) -> None:
        one, other = socket.socketpair()
        with one, other:
            other.send(b"x")
            select.select([one], [], [], 1.5 + next(count))

    with pytest.raises(NotRepeatable, match="what happened on the way is not"):
        run_sweep(polls, SweepOptions())


def test_what_a_library_does_once_when_it_is_first_used_is_no_part_of_the_baseline() -> None:
    pollers: list[bool] = []

    def looks_once(net: Any) -> None:
        if not pollers:
            select.poll().poll(0)
            pollers.append(True)
        echo(net)

    result = run_sweep(looks_once, SERVER.but(runs=20))
    assert result.ok
    assert result.simulations == result.runs + 3
    once, again, third = (run_sweep(test, SERVER.but(runs=1)).baseline for test in (echo, looks_once, echo))
    assert once.digest == again.digest == third.digest == result.baseline.digest


def test_a_test_that_does_nothing_under_a_plan_has_tested_nothing() -> None:
    def looks_at_it(net: Any) -> None:
        if not net.plan:
            echo(net)

    def stop(done: int, total: int, failures: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(NothingToTest, match=r"none of 20 faults was reached: .* Does it look at its network's plan"):
        run_sweep(looks_at_it, SERVER.but(runs=20))
    result = run_sweep(looks_at_it, SERVER.but(runs=20), progress=stop)  # three are too few to say so
    assert (result.stopped, result.unreached) == ("Ctrl-C", 3)


def test_a_first_run_that_ends_otherwise_is_not_what_a_library_does_once() -> None:
    cache: list[int] = []

    def remembers(net: Any) -> int:
        echo(net)
        cache.append(1)
        return min(len(cache), 2)

    with pytest.raises(NotRepeatable, match=r"the test returned 2; the other time 1\."):
        run_sweep(remembers, SERVER)


def test_tls_records_of_another_length_are_told() -> None:
    count = itertools.count(70)

    def greet(net: Any) -> None:
        length = next(count)
        with net.host("server").listen(7), socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"\x16\x03\x01\x00" + bytes((length, 1)) + bytes(length - 1))

    with pytest.raises(NotRepeatable, match=r"TLS records have other lengths\. A signature by an ECDSA key may"):
        run_sweep(greet)


def test_a_test_without_a_network_is_nothing_to_test() -> None:
    with pytest.raises(NothingToTest, match="no fault can act"):
        run_sweep(lambda net: None)


def test_a_server_that_nobody_talks_to_is_named() -> None:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(socket.create_server, ("", 7))

    with pytest.raises(NothingToTest, match=r"target=server: it listens, but nobody connected to it"):
        run_sweep(test)


def test_a_target_that_does_nothing_is_nothing_to_test_and_those_that_do_are_named() -> None:
    def echo_beside_an_idle_host(net: Any) -> bytes:
        net.host("idle")
        return echo(net)

    with pytest.raises(NothingToTest, match=r"target=idle: .* Hosts whose processes did: server, test"):
        run_sweep(echo_beside_an_idle_host, SweepOptions.of(target="idle"))


@pytest.mark.parametrize("kinds", ["short-recv", "pause", "partition", "crash"])
def test_a_target_that_is_no_host_is_nothing_to_test_whatever_the_kind(kinds: str) -> None:
    with pytest.raises(NothingToTest, match=r"target=sever: .*no host of that name\. Hosts there are: server, test\."):
        run_sweep(echo, SweepOptions.of(target="sever", kinds=kinds))


def test_a_test_that_makes_no_host_is_told_how() -> None:
    with pytest.raises(NothingToTest, match=r"target=server: .* It has made none: net\.host\(name\) does\."):
        run_sweep(lambda net: None, SweepOptions.of(target="server"))


@pytest.mark.parametrize(
    ("slip", "why"),
    [("simnet.no:COUNT", "no module 'simnet.no' was imported"), ("socket:COUNT", "'socket' has no 'COUNT'")],
)
def test_a_global_that_is_nowhere_is_warned_of_and_told_where_runs_differ(slip: str, why: str) -> None:
    options = SERVER.but(kinds="refuse", per_process=[slip])
    warned, *_ = run_sweep(echo, options).warnings
    assert (warned.name, warned.text) == ("no-such-global", f"per_process={slip!r}: {why}")

    numbers = itertools.count()
    with pytest.raises(NotRepeatable, match=f"\n\nslip      per_process='{slip}': {why}"):
        run_sweep(lambda net: (echo(net), next(numbers)), options)


def test_of_several_targets_one_that_is_no_host_is_warned_of() -> None:
    result = run_sweep(echo, SERVER.but(target=("server", "sever"), kinds="reset"))

    (warned,) = result.warnings
    assert (warned.name, warned.text) == (
        "no-such-host",
        "target=sever: the test has no host of that name. Hosts there are: server, test",
    )
    assert result.runs


def test_a_test_that_a_fault_ends_before_it_makes_the_target_is_not_told_that_there_is_no_such_host() -> None:
    def serve_late() -> None:
        time.sleep(1)
        serve_once(7)

    def ask() -> bytes:
        with socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    def test(net: Any) -> Any:
        net.host("server").spawn(serve_late)
        net.host("server").wait_listening(7)
        return net.host("client").run(ask)

    options = SweepOptions.of(target="client", kinds="crash")
    result = run_sweep(test, options)
    assert (result.failed, result.warnings) == (0, [])
    played = replay(test, FaultPlan.parse("crash server at=0"), options=options)
    assert (played.judgement.status, played.says_nothing) == ("interrupted", False)


def test_kinds_that_cannot_act_are_nothing_to_test_and_those_that_can_are_named() -> None:
    with pytest.raises(NothingToTest, match=r"kinds=partial-send: .* these can: .*short-recv"):
        run_sweep(echo, SERVER.but(kinds="partial-send"))  # the server's sockets block


def test_ctrl_c_ends_a_sweep_with_what_was_found_so_far() -> None:
    calls = itertools.count()

    def interrupted(net: Any) -> bytes:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return echo(net)

    result = run_sweep(interrupted, SERVER)
    assert (result.stopped, result.runs, result.ok) == ("Ctrl-C", 10, False)
    assert "stopped by Ctrl-C" in result.summary()
    with pytest.raises(KeyboardInterrupt, match="10 runs"):
        result.raise_failures()


def test_ctrl_c_gets_through_a_program_that_swallows_it() -> None:
    runs = itertools.count()

    def stubborn(port: int) -> None:
        listener = socket.create_server(("", port))
        while True:
            try:
                sock, _ = listener.accept()
                if next(runs) == 2:  # after the two baselines
                    signal.raise_signal(signal.SIGINT)
                sock.close()
            except KeyboardInterrupt:  # as programs do that want to end in their own way
                pass

    def test(net: Any) -> None:
        net.host("server").spawn(stubborn, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.recv(1)

    result = run_sweep(test, SERVER)
    assert result.stopped == "Ctrl-C"
    assert result.runs < result.planned


class TooLong(BaseException):
    """As pytest-timeout raises one where a test has taken longer than it may."""


# The alarm may come there, and Python swallows it.
in_a_finalizer = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def alarm() -> Iterator[Callable[..., None]]:
    """Sets an alarm as somebody does who knows nothing of simnet; as a progress, when ten runs are done."""

    def ring(number: int, frame: object) -> None:
        raise TooLong("time is up")

    def set_it(done: int = 10, total: int = 0, failures: int = 0) -> None:
        if done == 10:
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    before = signal.signal(signal.SIGALRM, ring)
    yield set_it
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert signal.signal(signal.SIGALRM, before) is ring


@in_a_finalizer
@pytest.mark.parametrize("run", [run_sweep, run_fuzz])
def test_an_alarm_that_was_set_outside_ends_a_sweep_and_is_no_failure_of_the_program(run: Any, alarm: Any) -> None:
    def stubborn(port: int) -> None:
        listener = socket.create_server(("", port))
        while True:
            with suppress(BaseException):
                listener.accept()[0].close()

    def test(net: Any) -> None:
        net.host("server").spawn(stubborn, 7)
        with suppress(OSError), socket.create_connection(("server", 7)) as sock:
            sock.recv(1)

    many = {} if run is run_sweep else {"seeds": range(1_000_000)}
    result = run(test, SERVER.but(runs=1_000_000, depth=2), progress=alarm, **many)
    assert (result.stopped, result.ok, result.failures) == ("TooLong: time is up", False, [])
    assert result.summary().endswith("stopped by TooLong: time is up")
    with pytest.raises(TooLong) as raised:
        result.raise_failures()
    assert raised.value.__notes__ == [result.summary()]


@in_a_finalizer
def test_what_was_found_before_an_alarm_is_kept(alarm: Any) -> None:
    def test(net: Any) -> None:
        echo(net)
        assert not net.plan

    result = run_sweep(test, SERVER.but(runs=1_000_000, depth=2, strict=True), progress=alarm)
    assert result.stopped == "TooLong: time is up"
    assert result.failures
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        result.raise_failures()


@in_a_finalizer
def test_an_alarm_in_the_run_without_faults_is_raised_as_it_is(alarm: Any) -> None:
    def test(net: Any) -> None:
        while True:
            pass

    with pytest.raises(TooLong):
        alarm()
        run_sweep(test, SERVER)


@pytest.mark.parametrize("run", [run_sweep, run_fuzz])
def test_ctrl_c_between_two_runs_ends_a_sweep_though_python_swallowed_it(run: Any) -> None:
    def swallow(done: int, total: int, failures: int) -> None:
        if done == 3:
            with suppress(KeyboardInterrupt):  # as a __del__ does, and a callback of the collector
                signal.raise_signal(signal.SIGINT)

    result = run(echo, SERVER, progress=swallow)
    assert (result.stopped, result.runs) == ("Ctrl-C", 3)
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert run_sweep(echo, SERVER.but(runs=3)).stopped == "", "that one was no sweep's"


def test_a_client_that_gives_up_after_a_long_stall_is_interrupted_not_wrong() -> None:
    def impatient(net: Any) -> bytes:
        net.host("server").spawn(serve_once, 7)
        with socket.create_connection(("server", 7), timeout=30) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(100), b""))

    result = run_sweep(impatient, SERVER.but(kinds="stall"))
    assert result.ok
    long = "stall test->server:7#1 end=server byte=0 seconds=61"
    assert run_sweep(impatient, SERVER, plan=FaultPlan.parse(long)).interrupted == 1
    assert run_sweep(impatient, SERVER, plan=FaultPlan.parse(long.replace("61", "0.05"))).equal == 1
    # The same wait without a time-out of its own ends well, however late.
    assert run_sweep(echo, SERVER, plan=FaultPlan.parse(long)).equal == 1


def test_first_stops_at_the_first_failure() -> None:
    def fussy(net: Any) -> None:
        assert echo(net) == b"hello", "some of it is missing"

    result = run_sweep(fussy, SERVER.but(strict=True, first=True))
    assert (result.stopped, result.failed, len(result.failures)) == ("first failure", 1, 1)
    assert result.runs < result.planned


def test_survives_holds_a_body_to_the_outcome() -> None:
    def patient(net: Any) -> bytes:
        """Tries again, as a client that wants its answer does."""
        net.host("server").spawn(serve_for_ever, 7)
        while True:
            try:
                with socket.create_connection(("server", 7)) as sock:
                    sock.sendall(b"hello")
                    sock.shutdown(socket.SHUT_WR)
                    if (reply := b"".join(iter(lambda: sock.recv(100), b""))) == b"hello":
                        return reply
            except OSError:  # ENOTCONN too, which is no ConnectionError
                continue

    def serve_for_ever(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                sock, _ = listener.accept()
                try:
                    with sock:
                        while data := sock.recv(100):
                            sock.sendall(data)
                except ConnectionError:
                    continue

    assert run_sweep(patient, SERVER.but(survives="reset", kinds="reset")).ok

    def hasty(net: Any) -> bytes | None:
        try:
            return echo(net)
        except OSError:
            return None

    assert run_sweep(hasty, SERVER.but(kinds="reset")).ok
    (failure,) = run_sweep(hasty, SERVER.but(kinds="reset", survives="reset")).failures
    assert failure.reason == "outcome"
    assert "the test returned None; without the fault b'hello'" in failure.finding.message


def test_a_client_can_be_held_to_its_outcome_though_an_answer_comes_after_its_time_out() -> None:
    def serve_lines(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    while line := sock.recv(100):
                        sock.sendall(line)

    def asks_again(net: Any) -> list[bytes]:
        """Where an answer has not come in time, on the same connection: the late one is taken for the next."""
        net.host("server").spawn(serve_lines, 7)
        with socket.create_connection(("server", 7), timeout=0.02) as sock:
            answers = []
            for word in (b"1", b"2"):
                sock.sendall(word)
                try:
                    answers.append(sock.recv(1))
                except TimeoutError:
                    sock.sendall(word)
                    answers.append(sock.recv(1))
            return answers

    stalls = SERVER.but(kinds="stall")
    assert run_sweep(asks_again, stalls).ok
    (failure, *_) = run_sweep(asks_again, stalls.but(survives="stall")).failures
    assert failure.reason == "outcome"


def test_the_heap_is_frozen_for_the_sweep_alone() -> None:
    seen: list[int] = []

    def looks(net: Any) -> bytes:
        seen.append(gc.get_freeze_count())
        return echo(net)

    gc.unfreeze()  # what the tests are made of
    before = gc.get_freeze_count()
    run_sweep(looks, SERVER.but(runs=3))
    after = gc.get_freeze_count()
    gc.freeze()
    assert seen
    assert all(count > before for count in seen)
    assert after <= before  # Python 3.12 begins with some of its own frozen


def test_only_the_runs_that_failed_are_kept() -> None:
    def runs() -> int:
        gc.collect()  # a run whose body raised is in a cycle with its traceback
        return sum(isinstance(each, Run) for each in gc.get_objects())

    before = runs()
    result = run_sweep(echo, SERVER)
    assert result.failures == []
    assert runs() == before + 1  # the baseline


def test_one_plan_alone_is_played_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.explore.check._save", lambda *whatever: None)
    with pytest.raises(BrokenPipeError) as caught:
        check(echo, target="server", strict=True, plan="reset test->server:7#1 end=server recv call=1")
    assert "the connection was reset just before the 1st recv by server" in caught.value.__notes__[0]
    result = check(echo, target="server", plan="split test->server:7#1 end=server byte=2")
    assert (result.runs, result.equal) == (1, 1)
    with pytest.raises(NothingToTest, match=r"byte=200 was never reached: .*, so byte is 0 to 5"):
        check(echo, target="server", plan="split test->server:7#1 end=server byte=200")


def test_of_a_plan_of_two_faults_the_one_that_was_not_reached_is_named() -> None:
    """It says so even where the other has made the run end sooner; and both are, if neither was."""
    stall = "stall test->server:7#1 end=server byte=0 seconds=1"
    with pytest.raises(NothingToTest) as caught:
        check(echo, target="server", plan=f"{stall}; would-block server:7 accept call=1")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("would-block server:7 accept call=1 was never reached: ")
    assert "on a blocking socket" in line
    with pytest.raises(NothingToTest) as caught:
        check(
            echo, target="server", plan="split test->server:7#2 end=server byte=1; would-block server:7 accept call=1"
        )
    assert len(str(caught.value).splitlines()) == 2


def test_what_must_always_hold_must_hold_under_disruptive_faults_too() -> None:
    def promised(net: Any) -> bytes:
        reply = b""
        try:
            reply = echo(net)
        except OSError:
            pass
        with net.always():
            assert reply == b"hello", "half of a promise"
        return reply

    result = run_sweep(promised, SERVER.but(kinds="reset"))
    (failure,) = result.failures
    assert (failure.reason, failure.type_name) == ("always", "AssertionError")
    assert failure.at.startswith("test_explore_sweep.py:")
    assert result.interrupted + result.noted + result.equal + result.failed == result.runs


def test_what_a_test_observes_is_part_of_its_outcome() -> None:
    def counts(net: Any) -> None:
        net.host("server").spawn(serve_once, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            net.observe("pieces", len(list(iter(lambda: sock.recv(100), b""))))

    result = run_sweep(counts, SERVER.but(kinds="split"))
    (failure,) = result.failures
    assert failure.reason == "outcome"
    assert failure.finding.message == "observation 1 is pieces=2; without the fault pieces=1"
    assert str(failure.plan).startswith("split test->server:7#1")


def test_a_server_that_waits_for_ever_for_its_next_client_is_by_choice_a_warning_with_its_line_or_a_failure() -> None:
    refused = SERVER.but(kinds="refuse")
    assert run_sweep(echo, refused).warnings == []
    result = run_sweep(echo, refused.but(invariants={"waits-for-ever": "warning"}))
    assert (result.ok, result.interrupted) == (True, 1)
    (warning,) = result.warnings
    assert (warning.name, warning.count) == ("waits-for-ever", 1)
    assert "server/serve_once waits for accept" in warning.text
    assert "at test_explore_sweep.py:" in warning.text
    assert "1 warning" in result.summary()
    (failure,) = run_sweep(echo, refused.but(invariants={"waits-for-ever": "failure"})).failures
    assert (failure.reason, failure.at) == ("waits-for-ever", warning.at)
    assert run_sweep(echo, refused.but(invariants={"waits-for-ever": "off"})).warnings == []


def test_of_one_failure_a_transparent_fault_is_the_witness() -> None:
    """A program has to live with it; and who reads the report does not look for what an early end has to do with it."""

    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                _, word = connection.recv(100).split(b" ")
                connection.sendall(word)

    def test(net: Any) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"GET me")
            assert client.recv(100) == b"me"

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["eof", "split", "urgent"]))
    failure = next(each for each in result.failures if each.type_name == "ValueError")
    assert {"eof", "split"} <= {*failure.kinds}
    assert failure.plan.transparent
    assert failure.found.transparent


def test_a_stall_that_outlasts_a_deadline_is_no_better_witness_than_an_early_end() -> None:
    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            connection.settimeout(30)
            with connection:
                try:
                    word = connection.recv(100)
                except TimeoutError:
                    word = b""
                if not word:
                    raise ValueError("not a word")
                connection.sendall(word)

    def test(net: Any) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"a")
            client.recv(100)

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["eof", "stall"], shrink=False))
    failure = next(each for each in result.failures if each.type_name == "ValueError")
    assert {*failure.kinds} == {"eof", "stall"}
    assert [fault.kind for fault in failure.plan] == ["eof"]


def test_a_crowd_of_strangers_is_no_better_witness_than_an_early_end() -> None:
    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                with listener.accept()[0] as connection, suppress(OSError):
                    words = connection.makefile("rb").readline().split()
                    connection.sendall(b"%d\n" % int(words[1]) if words else b"?")

    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"add 7\n")
            return client.makefile("rb").readline()

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["strangers", "eof"]))
    failure = next(each for each in result.failures if each.type_name == "IndexError")
    assert {*failure.kinds} == {"eof", "strangers"}
    assert [fault.kind for fault in failure.plan] == ["eof"]


@pytest.mark.parametrize("who", ["test", "server/serve"])
def test_who_computes_for_ever_is_told_with_the_line(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.5)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0]:
            if who != "test":
                while True:  # with a condition, or `pass`, an exception from outside leaves it without `with` on 3.13.0
                    len(who)

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            while who == "test":
                pass
            return sock.recv(100)

    result = run_sweep(test, SweepOptions(target=("server",)))
    (failure,) = result.failures
    error = failure.finding.error
    assert str(error).startswith(f"{who} has computed for 0.5 s of real time")
    assert str(error).count("  File ") == 1, "what leads to a test tells nothing of it"
    assert error is not None
    (*_, frame) = traceback.extract_tb(error.__traceback__)
    assert frame.name == ("test" if who == "test" else "serve"), "where it is, and not where its end was heard of"
    assert "has computed" in str(failure.run.outcome)


def test_the_exception_of_a_handler_comes_before_the_loop_that_has_nothing_left_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turned by hand, a loop whose last channel was closed returns at once, again and again."""
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.5)

    class Server(asyncore.dispatcher):
        def handle_accept(self) -> None:
            conn, _ = self.accept()  # type: ignore[misc]
            conn.close()

    def serve(port: int) -> None:
        server = Server()
        server.create_socket()
        server.bind(("", port))
        server.listen(5)
        while True:
            asyncore.loop(timeout=1.0, count=1)

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            return sock.recv(100)

    result = run_sweep(test, SweepOptions.of(kinds="would-block", target="server"))
    (failure,) = result.failures
    assert (failure.finding.reason, failure.type_name) == ("handler-raised", "TypeError")
    told = report(failure, result).consequence
    assert told.startswith(
        "server/serve has computed for 0.5 s of real time without waiting for anything. It was at test_expl"
    )


def test_of_many_runs_that_compute_for_ever_the_first_alone_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 1.5)
    monkeypatch.setattr(watchdog, "AGAIN_SECONDS", 0.25)
    patience, waited = watchdog._patience, []
    monkeypatch.setattr(watchdog, "_patience", lambda ident: waited.append(patience(ident)) or waited[-1])

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            data = sock.recv(100)
            while b"\n" not in data:  # it forgets to read on
                pass

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            return sock.recv(100)

    result = run_sweep(test, SweepOptions(kinds=("short-recv",), target=("server",)))
    assert [failure.count for failure in result.failures] == [3]
    assert len(set(waited)) == 2
    assert waited[0] == watchdog.HANG_SECONDS > waited[-1]
    assert not watchdog._series  # the next one is waited for as long as ever


def test_a_reset_by_a_test_that_has_failed_is_not_what_it_failed_for() -> None:
    async def serve() -> None:
        named: dict[bytes, asyncio.StreamWriter] = {}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            named[await reader.readline()] = writer
            async for line in reader:  # a ConnectionResetError comes out of here
                named.get(line, writer).write(line)
            writer.close()

        async with await asyncio.start_server(talk, port=7) as server:
            await server.serve_forever()

    def test(net: Any) -> None:
        net.host("server").spawn(asyncio.run, serve())
        with socket.create_connection(("server", 7)) as one, socket.create_connection(("server", 7)) as other:
            one.sendall(b"one\n")
            other.sendall(b"other\n")
            net.sleep(0.1)  # surely both are known by then
            one.sendall(b"other\n")
            assert other.recv(1) == b"o"
            other.recv(9)
            one.shutdown(socket.SHUT_WR)
            other.shutdown(socket.SHUT_WR)

    result = run_sweep(test, SweepOptions.of(target="server", kinds="stall"))
    (failure,) = result.failures
    assert [each.reason for each in failure.judgement.findings] == ["body-waits", "handler-raised"]
    assert "the test slept until 0.1" in report(failure, result).why


def test_a_reset_by_a_test_that_goes_on_is_what_it_fails_for_later() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as conn:
                    conn.sendall(b"hello")
                    conn.recv(1)  # a ConnectionResetError comes out of here, and nobody is served any more

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        for _ in range(2):
            with socket.create_connection(("server", 7)) as sock:
                sock.recv(100)
                net.sleep(0.1)  # what it has left unread lies there by then

    result = run_sweep(test, SweepOptions.of(target="server", kinds="split"))
    (failure,) = result.failures
    assert [each.reason for each in failure.judgement.findings] == ["target-raised", "body-raised"]
