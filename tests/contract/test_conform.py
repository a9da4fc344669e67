"""Random programs of socket calls: a fixed share of them agrees with the kernel, and one that does not is found and shrunk."""

from __future__ import annotations

import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simnet.conform import KNOWN, Divergence, Program, Report, Step, random_program, run
from simnet.conform.compare import compare
from simnet.conform.kernel import Difference, settings
from simnet.conform.predict import predict
from simnet.conform.program import Place
from simnet.conform.script import as_script
from simnet.conform.shrink import shrink
from simnet.conform.words import outcome
from simnet.kernel.errors import socket_error
from simnet.kernel.tcp.sockets import TcpSocket

SHARE = 1_000  # programs of every run of the tests; `simnet conform --programs 100000` is the long one
PAIR = Program(
    (
        Step("socket", "", ("tcp",), ("l1",)),
        Step("bind", "l1", (Place("here", 0),)),
        Step("listen", "l1", (5,)),
        Step("socket", "", ("tcp",), ("s1",)),
        Step("connect", "s1", (Place("here", "l1"),)),
        Step("accept", "l1", (), ("c1",)),
    )
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_random_programs_agree_with_the_kernel(seed: int) -> None:
    report = run(SHARE // 2, seed=seed)
    if not report.clean:
        pytest.fail(str(report), pytrace=False)
    assert report.agreed + sum(report.known.values()) + len(report.unsteady) == report.programs
    assert len(report.unsteady) <= report.programs // 50, f"\n{report}"  # a machine under load, or we compare too much
    assert not report.not_modelled, f"\n{report}"


@pytest.mark.slow
def test_a_run_that_keeps_no_trace_answers_as_one_that_does() -> None:
    for number in range(150):
        program, setting = random_program(f"3/{number}"), next(settings(number))
        told, untold = (predict(program, setting, trace=trace) for trace in (True, False))
        assert untold.seen == told.seen, program
        assert untold.final == told.final, program


@pytest.mark.slow
def test_a_program_is_a_function_of_its_seed() -> None:
    assert random_program("1/7") == random_program("1/7")
    assert random_program("1/7") != random_program("1/8")
    there = subprocess.run(
        [sys.executable, "-c", "from simnet.conform import random_program; print(random_program('1/7'))"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "5", "PYTHONPATH": ":".join(sys.path)},
    )
    assert there.stdout.strip() == str(random_program("1/7"))


@pytest.mark.slow
def test_programs_reach_every_call_and_many_states() -> None:
    reached = set()
    calls = set()
    setting = settings(9)
    for number in range(150):
        prediction = predict(random_program(f"coverage/{number}"), next(setting))
        reached |= set(prediction.states)
        calls |= {call for _, call in prediction.states}
    from simnet.conform.bench import Bench

    offered = {
        name.removeprefix("call_").removeprefix("make_") for name in dir(Bench) if name.startswith(("call_", "make_"))
    }
    assert calls == offered
    assert len(reached) > 300


def test_both_worlds_tell_a_program_in_the_same_words() -> None:
    program = Program(
        (
            *PAIR,
            Step("send", "s1", (b"hello", 0)),
            Step("recv", "c1", (100,)),
            Step("recv", "c1", (100,)),
            Step("getpeername", "c1"),
            Step("close", "s1"),
            Step("drain", "c1"),
        )
    )
    prediction = predict(program, next(settings(11)))
    assert [seen.answer for seen in prediction.seen][5:] == [
        "127.0.0.1:P1",
        "5",
        "b'hello'",
        "EAGAIN",
        "127.0.0.1:P1",
        "None",
        "b'' end",
    ]
    assert compare(program, next(settings(12))) is None


def test_both_worlds_tell_what_a_poller_watches() -> None:
    program = Program(
        (
            *PAIR,
            Step("epoll", "", (), ("e1",)),
            Step("register", "e1", ("c1", select.EPOLLIN)),
            Step("wait", "e1", (8,)),
            Step("send", "s1", (b"hello", 0)),
            Step("wait", "e1", (8,)),
            Step("modify", "e1", ("c1", select.EPOLLOUT)),
            Step("wait", "e1", (8,)),
            Step("unregister", "e1", ("c1",)),
            Step("wait", "e1", (8,)),
            Step("modify", "e1", ("c1", select.EPOLLIN)),
        )
    )
    told = [seen.answer for seen in predict(program, next(settings(20))).seen][len(PAIR) + 1 :]
    assert told == ["None", "nothing", "5", "c1:IN", "None", "c1:OUT", "None", "nothing", "ENOENT"]
    assert compare(program, next(settings(21))) is None


@pytest.mark.slow
def test_a_defect_is_found_and_shrinks_to_the_calls_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break simnet, and conform has to say so in a handful of steps."""

    def forgetful(self: TcpSocket) -> Any:
        raise socket_error(107)  # ENOTCONN, always

    monkeypatch.setattr(TcpSocket, "getpeername", forgetful)
    setting = settings(13)
    report = Report()
    number = 0
    while report.clean:
        report = run(5, seed=3, first=number)
        number += 5
        assert number < 100, "a hundred programs, and none asked for the peer's name"
    divergence = report.divergences[0]
    assert divergence.difference.simnet == "ENOTCONN"
    assert "getpeername" in divergence.difference.step
    assert len(divergence.program) <= 7, f"\n{divergence}"
    monkeypatch.undo()
    assert compare(divergence.program, next(setting)) is None


def test_a_crash_of_simnet_is_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TcpSocket, how: int) -> None:
        raise AssertionError("deep inside")

    monkeypatch.setattr(TcpSocket, "shutdown", broken)
    difference = compare(Program((*PAIR, Step("shutdown", "s1", (1,)))), next(settings(14)))
    assert difference is not None
    assert (difference.kind, difference.simnet) == ("crash", "AssertionError: deep inside")


def test_shrinking_leaves_what_is_needed() -> None:
    steps = tuple(Step("send", f"s{number}", (b"x" * 10,)) for number in range(40))
    wanted = {steps[7].on, steps[31].on}
    shortest = shrink(Program(steps), lambda program: wanted <= {step.on for step in program})
    assert [step.on for step in shortest] == ["s7", "s31"]
    assert all(step.args == (b"x",) for step in shortest)


def test_what_cannot_be_shorter_does_not_keep_what_follows_long() -> None:
    program = Program((Step("pass", "x1", (b"ab", b"cdef")),))
    tried: list[Program] = []

    def diverges(candidate: Program) -> bool:
        tried.append(candidate)
        return bool(candidate) and candidate[0].args[0] == b"ab"

    assert shrink(program, diverges) == (Step("pass", "x1", (b"ab", b"c")),)
    assert program not in tried  # of which it is known


def test_a_step_on_a_name_that_was_never_made_is_a_step_over_nothing() -> None:
    program = Program((Step("recv", "s9", (1,)), Step("accept", "l9", (), ("c9",)), Step("close", "c9")))
    assert {seen.answer for seen in predict(program, next(settings(15))).seen} == {"(no such name)"}
    assert compare(program, next(settings(16))) is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["script/1", "script/2", "script/3"])
def test_a_program_prints_as_a_script_for_both_worlds(tmp_path: Path, seed: str) -> None:
    script = tmp_path / "it.py"
    script.write_text(as_script(random_program(seed), next(settings(17)), name=script.name), encoding="utf-8")
    told = []
    for arguments in ([], ["--simnet"]):
        done = subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.splitlines())
    assert len(told[0]) == len(told[1]) == len(random_program(seed))


@pytest.mark.slow
def test_a_script_makes_the_calls_of_the_program_on_sockets_like_its() -> None:
    """Nagle's rule, a late acknowledgement, a port that nobody has: by each the script would show something else."""
    program = Program(
        (
            *PAIR,
            Step("send", "s1", (b"a",)),
            Step("send", "s1", (b"b",)),
            Step("ioctl", "s1", ("SIOCOUTQ",)),
            Step("getsockopt", "s1", ("TCP_NODELAY",)),
            Step("epoll", "", (), ("e1",)),
            Step("register", "e1", ("c1", 1)),
            Step("wait", "e1", (5,)),
            Step("close", "l1"),
            Step("socket", "", ("tcp",), ("s2",)),
            Step("connect", "s2", (Place("here", "l1"),)),
            Step("select", "", ("s1", "c1", "l1", "s9")),
        )
    )
    for world in ([], ["--simnet"]):
        source = as_script(program, next(settings(19)))
        done = subprocess.run(
            [sys.executable, "-c", source, *world], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        answers = [line.split(" -> ")[1].split("    [")[0] for line in done.stdout.splitlines()]
        assert answers[6:] == [
            "1",
            "1",
            "0",
            "1",
            "ok",
            "None",
            "['c1 IN']",
            "None",
            "ok",
            "EINPROGRESS",
            "c1 / s1,c1 / ",
        ]


def test_a_report_has_each_divergence_as_a_script_for_both_worlds() -> None:
    setting = next(settings(18))
    difference = Difference("answer", 5, "c1 = l1.accept()", "EAGAIN", "127.0.0.1:P1")
    report = str(Report(divergences=[Divergence("3/7", PAIR, difference, setting)]))
    assert (
        report.count(
            as_script(PAIR, setting, "The kernel and simnet part at step 6: c1 = l1.accept()", "divergence.py")
        )
        == 1
    )


def test_a_report_says_what_was_covered() -> None:
    report = run(5, seed=4)
    assert "5 programs" in str(report)
    assert f"{len(report.coverage)} pairs of state and call" in str(report)
    assert len(report.matrix().splitlines()) == report.states + 1


def test_progress_is_told_after_each_program() -> None:
    told: list[int] = []
    run(3, seed=5, progress=lambda report: told.append(report.programs))
    assert told == [1, 2, 3]


def test_an_outcome_is_a_value_or_the_name_of_an_error() -> None:
    assert outcome(lambda: 5) == 5
    assert outcome(lambda: bytes(-1)) == "ValueError: negative count"
    assert outcome(lambda: _refuse(111)) == "ECONNREFUSED"


def _refuse(code: int) -> None:
    raise socket_error(code)


def test_every_known_divergence_has_its_reason() -> None:
    for known in KNOWN:
        assert known.what.strip().endswith(".")
        assert known.reason.strip().endswith(".")


def test_a_series_that_is_stopped_leaves_nothing_open() -> None:
    def stop(report: Report) -> None:
        if report.programs == 4:
            raise KeyboardInterrupt

    report = run(100, seed=6, progress=stop)  # the guard of tests/conftest.py counts descriptors
    assert report.stopped
    assert report.programs == 4


def test_there_must_be_a_linux_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RuntimeError, match="nothing to compare it with on darwin"):
        run(1)
