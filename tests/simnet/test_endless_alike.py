"""Where many runs of a sweep go on for hours in the same way, or answer the end of their input for ever, each but the first few is stopped soon."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet.explore.shrink
import simnet.run
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.run import LONGER_NS, Run, play
from simnet.scheduling import stuck
from simnet.scheduling.alike import IN_FULL, Alike
from simnet.scheduling.storms import (
    ENTRIES_A_LOOK,
    ENTRIES_AFTER_THE_END_HURRIED,
    ENTRIES_AFTER_THE_END_MAX,
)


def answers_the_first_one(port: int) -> None:
    """After its first connection it hangs up on everybody, as one whose state is broken."""
    with socket.create_server(("", port)) as listener:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            for line in connection.makefile("rb"):
                connection.sendall(line.upper())
        while True:
            listener.accept()[0].close()


def comes_back_for_ever() -> list[bytes]:
    """It pauses, longer each time, and never gives up."""
    asked, answers, pause = [b"a\n", b"b\n"], list[bytes](), 0.1
    while asked:
        try:
            with socket.create_connection(("server", 7), timeout=5) as sock:
                while asked:
                    sock.sendall(asked[0])
                    if not (answer := sock.recv(100)):
                        raise ConnectionError
                    answers.append(answer)
                    asked.pop(0)
        except OSError:
            time.sleep(pause)
            pause = min(2 * pause, 30)
    return answers


def reconnects(net: Any) -> list[bytes]:
    net.host("server").spawn(answers_the_first_one, 7)
    return list(net.host("client").run(comes_back_for_ever))


def swept(
    monkeypatch: pytest.MonkeyPatch, test: Callable[[Any], object], **options: Any
) -> tuple[SweepResult, list[Run]]:
    """What a sweep of *test* finds, and the runs that a Deadlock or a Hang has ended."""
    stopped: list[Run] = []

    def noted(*args: Any, **playing: Any) -> Run:
        run = play(*args, **playing)
        if "Deadlock" in (run.outcome.raised or "") or any(each.name == "Hang" for each in run.verdicts):
            stopped.append(run)
        return run

    monkeypatch.setattr(simnet.explore.shrink, "play", noted)
    return run_sweep(test, SweepOptions.of(shrink=False, **options)), stopped


def told(result: SweepResult) -> list[Any]:
    """All that a report counts."""
    rows = [(each.kind, each.runs, each.failed, each.interrupted, each.noted, each.equal) for each in result.kinds]
    failures = [(each.key, each.count, each.kinds, each.plan, each.run.digest) for each in result.failures]
    return [rows, failures, [(each.name, each.text, each.count, each.plan) for each in result.warnings]]


@pytest.mark.slow
def test_hours_of_the_same_are_played_for_the_first_few_and_the_result_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"target": "client", "kinds": ["reset", "stall"]}
    result, stopped = swept(monkeypatch, reconnects, **options)
    in_full = [run for run in stopped if run.time_ns > LONGER_NS]
    assert IN_FULL <= len(in_full) < len(stopped) / 3
    monkeypatch.setattr(Alike, "begin", lambda self, kind: False)  # nobody is in a hurry
    patient, all_of_them = swept(monkeypatch, reconnects, **options)
    assert told(patient) == told(result)
    assert sum(len(run.trace) for run in all_of_them) > 2 * sum(len(run.trace) for run in stopped)


@pytest.mark.slow
def test_nobody_is_stopped_before_what_is_due_in_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines are those of the others; what comes then may change them."""

    def test(net: Any) -> list[bytes]:
        net.host("cron").spawn(time.sleep, 3600)
        return reconnects(net)

    _, stopped = swept(monkeypatch, test, target="client", kinds=["reset"])
    assert len(stopped) > 2 * IN_FULL
    assert sum(run.time_ns > LONGER_NS for run in stopped) < len(stopped) / 2
    assert min(run.time_ns for run in stopped) > 3600 * 10**9


async def answers_whatever_it_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (line := await reader.readline()) != b"QUIT\n":
        writer.write(b"250 ok\n" if line else b"500 bad syntax\n")
        await writer.drain()
    writer.close()


def serve(port: int) -> None:
    async def main() -> None:
        async with await asyncio.start_server(answers_whatever_it_reads, "", port) as server:
            await server.serve_forever()

    asyncio.run(main())


def polite(net: Any) -> bytes:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"HELO\n")
        answer = sock.recv(100)
        sock.sendall(b"QUIT\n")
        return answer + sock.recv(100)


@pytest.mark.slow
def test_who_answers_the_end_of_its_input_for_ever_is_told_before_its_buffer_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, stopped = swept(monkeypatch, polite, target="server", kinds=["eof"])
    (failure,) = result.failures
    assert (failure.reason, failure.count) == ("Hang", len(stopped))
    lengths = [len(run.trace) for run in stopped]
    assert all(
        ENTRIES_AFTER_THE_END_MAX < each < ENTRIES_AFTER_THE_END_MAX + ENTRIES_A_LOOK for each in lengths[:IN_FULL]
    )
    assert all(ENTRIES_AFTER_THE_END_HURRIED < each < ENTRIES_A_LOOK for each in lengths[IN_FULL:])
    assert len(failure.run.trace) == lengths[0]


@pytest.mark.slow
def test_a_long_answer_to_one_that_has_shut_down_its_half_is_no_hang() -> None:
    def says_much(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            while connection.recv(100):
                pass
            for _ in range(20_000):
                connection.sendall(b"y\n")

    def test(net: Any) -> int:
        net.host("server").spawn(says_much, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.shutdown(socket.SHUT_WR)
            return len(sock.makefile("rb").read())

    run = play(test)
    assert (run.outcome.returned, run.verdicts) == (40_000, [])


@pytest.mark.slow
def test_who_catches_that_it_storms_and_goes_on_is_ended() -> None:
    """As asyncore does, whose bare ``except`` calls handle_error."""

    def client() -> None:
        while True:
            with contextlib.suppress(BaseException):
                socket.create_connection(("server", 7), timeout=5)

    def test(net: Any) -> None:
        net.host("server")
        net.host("client").run(client)

    run = play(test, target="client")
    assert sum(each.name == "no-spin" for each in run.verdicts) == stuck.BLAMED_MAX + 1
    assert "Spin" in (run.outcome.raised or "")
