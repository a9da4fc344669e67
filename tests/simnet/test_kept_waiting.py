"""One client that is slow keeps the others waiting, where the server reads from it before it accepts the next one: that is warned of."""

from __future__ import annotations

import select
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

pytestmark = pytest.mark.slow  # each is a few sweeps


def greet(sock: socket.socket, name: bytes) -> None:
    with suppress(OSError), sock:
        sock.sendall(b"hello, " + name)


def name_of(sock: socket.socket) -> bytes:
    name = b""
    with suppress(OSError):
        while not name.endswith(b"\n") and (more := sock.recv(100)):
            name += more
    return name


def before_the_next(sock: socket.socket) -> None:
    name = name_of(sock)
    threading.Thread(target=greet, args=(sock, name), daemon=True).start()


def before_the_next_in_time(sock: socket.socket) -> None:
    sock.settimeout(5)
    before_the_next(sock)


def in_its_own_thread(sock: socket.socket) -> None:
    threading.Thread(target=lambda: greet(sock, name_of(sock)), daemon=True).start()


def serve(begin: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                time.sleep(0.05)
                continue
            begin(sock)


def visit(name: bytes) -> bytes:
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(name)
        return sock.makefile("rb").read()


def sweep(program: Callable[[], None], **options: Any) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(program)
        net.host("other").spawn(visit, b"other\n")
        time.sleep(0.01)
        return visit(b"one\n")

    return run_sweep(test, SweepOptions.of(target="server", kinds=["stall"], **options))


def test_who_reads_from_one_before_it_accepts_the_next_is_warned_of() -> None:
    result = sweep(lambda: serve(before_the_next))
    (warned,) = result.warnings
    assert result.ok
    assert warned.name == "others-answered"
    assert "did nothing about test->server:7#1 for 61 s, as long as other->server:7#1 was slow" in warned.text
    assert warned.at == f"test_kept_waiting.py:{name_of.__code__.co_firstlineno + 3}", (
        "the line that reads from the slow one"
    )
    assert f"[others-answered] {warned.at}: server did nothing" in str(warned)


def test_who_stands_in_a_poll_of_its_own_is_warned_of_without_a_line() -> None:
    """The line that polls may serve everybody."""

    def polls(sock: socket.socket) -> None:
        select.select([sock], [], [])
        before_the_next(sock)

    (warned,) = sweep(lambda: serve(polls)).warnings
    assert (warned.name, warned.at) == ("others-answered", "")


@pytest.mark.parametrize("begin", [in_its_own_thread, before_the_next_in_time])
def test_who_has_a_thread_for_each_or_a_time_out_is_not(begin: Callable[[socket.socket], None]) -> None:
    assert not sweep(lambda: serve(begin)).warnings


def test_it_fails_where_the_test_says_so_and_may_be_switched_off() -> None:
    (failure,) = sweep(lambda: serve(before_the_next), invariants={"others-answered": "failure"}).failures
    assert failure.reason == "others-answered"
    assert not sweep(lambda: serve(before_the_next), invariants={"others-answered": "off: one at a time"}).warnings


class Hub:
    """What one says is told to the other, and to nobody if there is no other: so both have to be there."""

    def __init__(self) -> None:
        self.both = threading.Barrier(2)
        self.said: list[bytes] = []

    def pair(self, sock: socket.socket) -> None:
        self.said.append(name_of(sock))
        self.both.wait()
        greet(sock, b"".join(sorted(self.said)))

    def begin(self, sock: socket.socket) -> None:
        threading.Thread(target=self.pair, args=(sock,), daemon=True).start()


def test_who_waits_for_what_the_slow_one_has_to_say_is_not_kept_waiting() -> None:
    assert not sweep(lambda: serve(Hub().begin)).warnings


def asks_first(begin: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """The server speaks first, as those of FTP, SMTP and SSH do."""

    def asking(sock: socket.socket) -> None:
        with suppress(OSError):
            sock.sendall(b"who?\n")
        begin(sock)

    return asking


def asks_the_second_when_the_first_has_answered() -> Callable[[socket.socket], None]:
    """It accepts at once; but of two players, say, the one begins."""
    turn = threading.Lock()

    def in_turn(sock: socket.socket) -> None:
        with turn:
            asks_first(before_the_next)(sock)

    return lambda sock: threading.Thread(target=in_turn, args=(sock,), daemon=True).start()


def answer(name: bytes) -> bytes:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        lines.readline()
        sock.sendall(name)
        return lines.read()


def sweep_of_the_asked(made: Callable[[], Callable[[socket.socket], None]]) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, made())
        other = net.host("other").spawn(answer, b"other\n")
        time.sleep(0.0001)  # it connects while the other one is asked
        said = answer(b"one\n")
        other.join()
        return said

    return run_sweep(test, SweepOptions.of(target="server", kinds=["stall"]))


def test_who_waits_in_line_to_be_greeted_is_kept_waiting_too() -> None:
    """It has asked nothing yet."""
    (warned,) = sweep_of_the_asked(lambda: asks_first(before_the_next)).warnings
    assert "did nothing about test->server:7#1 for 61 s, as long as other->server:7#1 was slow" in warned.text


@pytest.mark.parametrize(
    "made",
    [
        lambda: asks_first(in_its_own_thread),
        lambda: asks_first(before_the_next_in_time),
        asks_the_second_when_the_first_has_answered,
    ],
    ids=["threads", "in-time", "in-turn"],
)
def test_who_is_accepted_at_once_and_greeted_by_and_by_is_not(made: Callable[[], Any]) -> None:
    assert not sweep_of_the_asked(made).warnings


def in_one_loop() -> None:
    """Reads when a poll says so, but the whole name before it looks at anybody else."""
    with socket.create_server(("", 7)) as listener:
        listener.setblocking(False)
        while True:
            select.select([listener], [], [])
            with suppress(OSError):
                sock, _ = listener.accept()
                while select.select([sock], [], [])[0]:
                    if (name := sock.recv(100)).endswith(b"\n") or not name:
                        break
                greet(sock, name)


def by_accept() -> None:
    serve(before_the_next)


@pytest.mark.parametrize(("server", "line"), [(by_accept, "recv"), (in_one_loop, "")])
def test_of_many_clients_that_are_kept_waiting_at_one_line_is_warned_once(
    server: Callable[[], None], line: str
) -> None:
    def visitor(name: bytes, got: dict[bytes, bytes]) -> None:
        with suppress(OSError):
            got[name] = visit(name)

    def test(net: Any) -> list[tuple[bytes, bytes]]:
        net.host("server").spawn(server)
        got: dict[bytes, bytes] = {}
        for number in range(4):
            net.host(f"client{number}").spawn(visitor, b"%d\n" % number, got)
        net.sleep(400)
        return sorted(got.items())

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["stall"]))
    (warned,) = [each for each in result.warnings if each.name == "others-answered"]
    assert warned.count > 2
    assert bool(warned.at) == bool(line)
