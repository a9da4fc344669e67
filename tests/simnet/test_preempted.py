"""A thread may stand still behind any of its calls while others of its program go on: who registers too late, and who writes in two halves, is found."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet import play
from simnet.cli import main
from simnet.explore.options import SweepOptions
from simnet.explore.report.parting import BETWEEN_LINES
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality.found import line_of, only


def answer(port: int) -> None:
    """A server of lines, a thread for each client."""

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                connection.sendall(line.upper())

    with socket.create_server(("", port)) as listener:
        while True:
            with contextlib.suppress(OSError):
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


class Asking:
    """A thread of its own reads the answers; each is for who asked first. Right, as far as we know."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=30)
        self.waiting: list[queue.Queue[bytes | None]] = []
        self.gone = False
        self.lock = threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        with contextlib.suppress(OSError), self.sock.makefile("rb") as lines:
            for line in lines:
                with self.lock:
                    if self.waiting:
                        self.waiting.pop(0).put(line)
        with self.lock:
            self.gone = True
            for each in self.waiting:
                each.put(None)
        self.sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def ask(self, line: bytes) -> bytes | None:
        mine: queue.Queue[bytes | None] = queue.Queue()
        with self.lock:
            if self.gone:
                return None
            self.waiting.append(mine)
        with contextlib.suppress(OSError):
            self.sock.sendall(line)
        return mine.get()


class AsksFirst(Asking):
    """Who asked is put down when the question has gone out: the answer may be back by then."""

    def ask(self, line: bytes) -> bytes | None:
        mine: queue.Queue[bytes | None] = queue.Queue()
        with contextlib.suppress(OSError):
            self.sock.sendall(line)  # SENDS FIRST
        with self.lock:
            self.waiting.append(mine)
        return mine.get()


def of_threads(make: Callable[[tuple[str, int]], Asking]) -> Callable[[Any], list[bytes | None]]:
    def run(address: tuple[str, int]) -> list[bytes | None]:
        client = make(address)
        try:
            return [client.ask(b"one\n"), client.ask(b"two\n")]
        finally:
            client.close()

    def test(net: Any) -> list[bytes | None]:
        net.host("server").spawn(answer, 7)
        answers: list[bytes | None] = net.host("client").run(run, ("server", 7))
        return answers

    return test


def swept(test: Callable[[Any], object], target: str, **options: Any) -> SweepResult:
    return run_sweep(test, SweepOptions.of(target=target, **options))


@pytest.mark.slow
def test_an_answer_that_is_back_before_who_asked_is_put_down_is_found() -> None:
    result = swept(of_threads(AsksFirst), "client")
    # The first answer of two is lost, and so nobody is left to be told anything; or the last one, and the end is told instead.
    assert [failure.kinds for failure in result.failures] == [{"preempt": 1}, {"preempt": 1}]
    told = [report.text() for report in result.reports()]
    for text in told:
        assert f"{line_of(sys.modules[__name__], 'SENDS FIRST')} in ask: self.sock.sendall(line)" in text
        assert BETWEEN_LINES[:60] in text


@pytest.mark.slow
def test_who_is_put_down_first_passes() -> None:
    result = swept(of_threads(Asking), "client")
    assert result.ok, [report.text() for report in result.reports()]
    assert "preempt" in [row.kind for row in result.kinds]


def two_halves(lock: contextlib.AbstractContextManager[object]) -> Callable[[Any], list[bytes]]:
    """A server one of whose threads sends frames in two halves, while another answers."""

    def talk(connection: socket.socket) -> None:
        def tell() -> None:
            with contextlib.suppress(OSError):
                for _ in range(3):
                    with lock:
                        connection.sendall(b"frame ")
                        connection.sendall(b"ends\n")
                    time.sleep(0.02)

        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            teller = threading.Thread(target=tell, daemon=True)
            teller.start()
            for line in lines:
                with lock:
                    connection.sendall(line.upper())
            teller.join()

    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            talk(connection)

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            time.sleep(0.01)
            sock.sendall(b"hello\n")
            return sorted(lines.readline() for _ in range(4))

    return test


@pytest.mark.slow
def test_a_word_between_the_halves_of_another_threads_frame_is_found() -> None:
    failure = only(swept(two_halves(contextlib.nullcontext()), "server"))
    assert "preempt" in failure.kinds
    assert str(failure.plan).startswith("preempt test->server:7#1 end=server send call=")


@pytest.mark.slow
def test_a_lock_keeps_the_halves_together() -> None:
    """A real lock, of the run's program: it is made anew in each."""
    result = run_sweep(lambda net: two_halves(threading.Lock())(net), SweepOptions.of(target="server"))
    assert result.ok, [report.text() for report in result.reports()]


def test_the_others_go_on_while_one_stands_still() -> None:
    """What it sent has gone out: the peer's answer is read by the other thread, 50 ms before it goes on itself."""

    def run(address: tuple[str, int]) -> tuple[float, float]:
        read: list[float] = []
        with socket.create_connection(address) as sock:
            reader = threading.Thread(target=lambda: read.append(len(sock.recv(10)) and time.monotonic()))
            reader.start()
            begun = time.monotonic()
            sock.sendall(b"hello\n")
            went_on = time.monotonic()
            reader.join()
        return read[0] - begun, went_on - begun

    def test(net: Any) -> tuple[float, float]:
        net.host("server").spawn(answer, 7)
        times: tuple[float, float] = net.host("client").run(run, ("server", 7))
        return times

    plan = "preempt client->server:7#1 send end=client call=1 seconds=0.05"
    answered, went_on = play(test, plan, target="client").outcome.returned
    assert (round(answered, 6), round(went_on, 6)) == (0.002, 0.05)


def test_a_loop_that_another_threads_lock_keeps_from_its_work_does_not_spin() -> None:
    """It tries again each time it is told that there is room; the lock is let go of when its holder is back on a core."""

    def serve(port: int) -> None:
        lock = threading.Lock()
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            line = connection.recv(10)

            def work() -> None:
                with lock:
                    connection.sendall(line.upper())

            worker = threading.Thread(target=work)
            worker.start()
            time.sleep(0.01)
            while True:
                select.select([], [connection], [])
                if lock.acquire(blocking=False):
                    connection.sendall(b"bye\n")
                    break
            worker.join()

    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as answer:
            sock.sendall(b"hello\n")
            return answer.read()

    run = play(test, "preempt test->server:7#1 send end=server call=1 seconds=0.05", target="server")
    assert run.outcome.returned == b"HELLO\nbye\n"
    assert not run.verdicts


def test_a_loop_that_spins_on_when_all_are_back_on_a_core_is_found() -> None:
    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            worker = threading.Thread(target=connection.sendall, args=(b"hello\n",))
            worker.start()
            time.sleep(0.01)
            while True:
                select.select([], [connection], [])

    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            return sock.recv(10)

    run = play(test, "preempt test->server:7#1 send end=server call=1 seconds=0.05", target="server")
    assert [each.name for each in run.verdicts] == ["no-spin"]
    assert run.verdicts[0].message.startswith("server/serve was woken 200 times in a row, at 0.053000 s")


def test_who_has_no_threads_is_not_preempted_unasked() -> None:
    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            connection.sendall(connection.recv(10))

    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"x")
            return sock.recv(10)

    assert "preempt" not in [row.kind for row in swept(test, "server").kinds]
    named = swept(test, "server", kinds="preempt")
    assert named.ok
    assert named.runs == 2  # a recv and a send


def test_of_a_program_with_threads_only_calls_on_connections_are_tried() -> None:
    def ask(address: tuple[str, int]) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(address)
            sock.send(b"x")
            return sock.recv(10)

    def client() -> None:
        asker = threading.Thread(target=ask, args=(("server", 53),))
        asker.start()
        asker.join()

    def test(net: Any) -> None:
        with net.host("server").socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 53))
            asking = net.host("client").spawn(client)
            sock.sendto(*sock.recvfrom(10))
            asking.join()

    assert "preempt" not in [row.kind for row in swept(test, "client").kinds]
    assert swept(test, "client", kinds=["preempt", "duplicate"]).ok


def test_the_command_line_says_where_it_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "preempt"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert 'a sweep tries it where a program has threads; else it is kinds=["preempt"], or a plan' in said


def test_a_thread_that_sleeps_meanwhile_has_given_up_nothing() -> None:
    """It takes what another one does for done: that is a race, and no time-out."""

    class Counts:
        def __init__(self) -> None:
            self.number = 0

        def ask(self) -> None:
            with socket.create_connection(("server", 7), timeout=10) as sock:
                number = self.number
                sock.sendall(b"%d\n" % number)  # COUNTS LATER
                self.number = number + 1
                sock.recv(10)

    def run() -> int:
        counts = Counts()
        threads = [threading.Thread(target=counts.ask) for _ in range(2)]
        for thread in threads:
            thread.start()
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        return counts.number

    def test(net: Any) -> int:
        net.host("server").spawn(answer, 7)
        number: int = net.host("client").run(run)
        return number

    failure = only(swept(test, "client", kinds="preempt"))
    assert (failure.reason, failure.kinds) == ("outcome", {"preempt": 1})
    assert (
        "COUNTS LATER"
        in next(iter(run_sweep(test, SweepOptions.of(target="client", kinds="preempt")).reports())).text()
    )
