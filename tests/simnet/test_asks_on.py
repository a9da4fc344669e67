"""Who asks the same again and again without a pause, and is told the same each time, is warned of; where it would never end, the test is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play

pytestmark = pytest.mark.slow  # each takes many lines, to be taken for a storm

LOST = "eof client->server:7#1 end=client byte=2"  # of the answer: the lease is taken, and who took it does not know


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the questions, and of the lines of a look, are enough: as it is, each of these takes seconds."""
    monkeypatch.setattr("simnet.explore.judging.asks_on.ROUNDS_MAX", 200)
    monkeypatch.setattr("simnet.explore.judging.asks_on.ENTRIES_MIN", 800)
    monkeypatch.setattr("simnet.scheduling.storms.ENTRIES_A_LOOK", 2_000)


def lends(waits: float = 0, ends: float = 0) -> None:
    """One lease, which is not given back by who vanishes, or *ends* after so long; who asks in vain *waits* for the answer."""
    taken = [0.0]

    def talk(conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"DONE"):
                    taken[0] = 0.0
                    answer = b"OK\n"
                elif taken[0] and not (ends and time.time() > taken[0] + ends):
                    time.sleep(waits)
                    answer = b"BUSY since %d\n" % time.time()
                else:
                    taken[0] = time.time()
                    answer = b"YOURS\n"
                try:
                    conn.sendall(answer)
                except OSError:
                    return

    with socket.create_server(("", 7)) as listener:
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def answers_all(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with listener.accept()[0] as conn:
                while said := conn.recv(100):
                    conn.sendall(said.upper())


def say(line: bytes) -> bytes:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as answers:
        sock.sendall(line)
        answer: bytes = answers.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionError
        return answer


def borrows(pause: float = 0, patience: float = 2, times: int = 1) -> list[bytes]:
    """The lease, for which it asks without a pause but where one is named; as often as that."""
    got: list[bytes] = []
    until = time.monotonic() + patience
    while len(got) < times and time.monotonic() < until:
        try:
            answer = say(b"TAKE %d\n" % time.monotonic_ns())
            if answer.startswith(b"BUSY"):
                time.sleep(pause)
                continue
            got.append(answer)
            say(b"DONE\n")
        except OSError:
            time.sleep(1)
    return got


def swept(
    client: Callable[[], object], server: Callable[[], None] = lends, target: str = "client", **options: Any
) -> SweepResult:
    def test(net: Any) -> object:
        net.host("server").spawn(server)
        return net.host("client").run(client)

    return run_sweep(test, SweepOptions.of(target=target, **options), plan=FaultPlan.parse(LOST))


def names(result: SweepResult) -> list[str]:
    return [each.name for each in result.warnings]


def test_who_asks_without_a_pause_is_warned_of() -> None:
    result = swept(borrows)
    assert names(result) == ["no-storm"]
    said = str(result.warnings[0])
    assert "client asked 250 times" in said  # for 2 s, 8 ms each
    assert "b'BUSY since" in said
    assert "test_asks_on.py:" in said


def test_so_is_who_connects_and_is_sent_away_each_time() -> None:
    def greets() -> None:
        inside = 0
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as conn:
                    inside += 1  # and is never taken back where the fault is
                    with suppress(OSError):
                        conn.sendall(b"WELCOME\n" if inside == 1 else b"421 too many connections, %d\n" % inside)
                        inside -= conn.recv(100) == b"BYE\n"

    def logs_in() -> bytes:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
                greeting = lines.readline()
                if greeting == b"WELCOME\n":
                    sock.sendall(b"BYE\n")
                    return greeting
        raise ConnectionError("never let in")

    result = swept(logs_in, greets)
    assert names(result) == ["no-storm"]
    assert "client connected 500 times" in str(result.warnings[0])


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param(lambda: borrows(pause=0.1), lends, id="it-pauses"),
        pytest.param(lambda: borrows(pause=0.005), lends, id="however-short"),
        pytest.param(borrows, lambda: lends(waits=0.005), id="the-server-keeps-it-waiting"),
        pytest.param(borrows, lambda: lends(ends=0.4), id="it-soon-gets-it"),
        pytest.param(lambda: borrows(patience=0.4), lends, id="it-soon-gives-up"),
    ],
)
def test_who_is_not_as_fast_as_the_network_or_not_for_long_is_not(
    client: Callable[[], object], server: Callable[[], None]
) -> None:
    assert not names(swept(client, server))


def test_nor_is_who_asks_so_without_the_fault_nor_who_is_asked() -> None:
    assert not names(swept(lambda: borrows(times=10**6, patience=2)))
    assert not names(swept(borrows, target="server"))


def test_nor_is_who_asks_another_server_as_often_as_the_first_without_the_fault() -> None:
    def asks_either() -> int:
        for port in (7, 8):
            with suppress(OSError), socket.create_connection(("server", port)) as sock:
                for _ in range(300):
                    sock.sendall(b"more\n")
                    assert sock.recv(100) == b"MORE\n"
                return port
        raise AssertionError

    def test(net: Any) -> object:
        for port in (7, 8):
            net.host("server").spawn(answers_all, port)
        return net.host("client").run(asks_either)

    refused = FaultPlan.parse("refuse client->server:7#1")
    result = run_sweep(test, SweepOptions.of(target="client"), plan=refused)
    assert result.noted == 1
    assert not names(result)


def test_nor_is_who_is_told_something_else() -> None:
    def counts() -> None:
        numbers = iter(range(10**6))
        first = say(b"TAKE\n")
        while time.monotonic() < 2:
            say(b"TAKE " + bytes(97 + int(digit) for digit in str(next(numbers))) + b"\n")
        assert first

    def test(net: Any) -> object:
        net.host("server").spawn(lends)
        try:
            return net.host("client").run(lambda: say(b"TAKE\n"))
        except OSError:
            return net.host("client").run(counts)

    result = run_sweep(test, SweepOptions.of(target="client"), plan=FaultPlan.parse(LOST))
    assert "no-storm" not in names(result)


def test_the_warning_can_be_made_a_failure_or_turned_off() -> None:
    failed = swept(borrows, invariants={"no-storm": "failure"})
    assert [(each.reason, each.host) for each in failed.failures] == [("no-storm", "client")]
    quiet = swept(borrows, invariants={"no-storm": "off: the server is ours"})
    assert quiet.ok
    assert not quiet.warnings


def test_where_it_would_never_end_the_test_is_told_soon() -> None:
    run = (result := swept(lambda: borrows(patience=10**6))).baseline
    assert run.time_ns < 10**9
    assert names(result) == ["no-storm"]
    assert result.interrupted == 1
    assert result.simulations < 10


def test_and_what_it_is_told_says_who_waits() -> None:
    def test(net: Any) -> object:
        net.host("server").spawn(lends)
        return net.host("client").run(lambda: borrows(patience=10**6))

    usual = play(test, target="client")
    run = play(test, FaultPlan.parse(LOST), target="client", baseline=usual)
    assert "without a pause, for very many lines, there were but the same calls" in str(run.body_error)
    assert "test waits for the end of client/" in str(run.body_error)
    assert run.time_ns < 60 * 10**9
    assert len(run.trace) < 60_000
