"""``net.run()``: the test does nothing, and everybody else goes on."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

import simnet

both = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


def answer_late(port: int, pause: float) -> None:
    with socket.create_server(("", port)) as listener:
        connection, _ = listener.accept()
        with connection:
            data = connection.recv(100)
            time.sleep(pause)
            connection.sendall(data.upper())
            connection.recv(100)


@pytest.mark.slow
@both
def test_without_seconds_it_goes_on_until_the_network_is_quiet(network: Any) -> None:
    with network() as net:
        net.host("server").spawn(answer_late, 7, 0.1)
        with socket.create_connection(("server", 7)) as sock:
            sock.setblocking(False)
            sock.send(b"hello")
            net.run()
            assert sock.recv(100) == b"HELLO"  # all has been said that will be
            assert net.time >= 0.1
            net.run()  # and nothing more happens
            with pytest.raises(BlockingIOError):
                sock.recv(100)


def test_a_quiet_network_takes_no_time() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(answer_late, 7, 0.1)
        net.run()
        assert net.time == 0


@pytest.mark.slow
@both
def test_with_seconds_it_goes_on_for_so_long_and_no_longer(network: Any) -> None:
    with network() as net:
        net.host("server").spawn(answer_late, 7, 0.2)
        with socket.create_connection(("server", 7)) as sock:
            sock.setblocking(False)
            sock.send(b"hello")
            net.run(0.05)
            with pytest.raises(BlockingIOError):
                sock.recv(100)
            net.run(0.3)
            assert sock.recv(100) == b"HELLO"


def test_a_network_with_a_heart_that_beats_is_quiet() -> None:
    """As when it is left: a loop that wakes now and then to find nothing will find nothing."""

    def beat() -> None:
        while True:
            time.sleep(1)

    with simnet.Network() as net:
        net.host("server").spawn(beat)
        net.run()
        assert net.time < 100
        net.run(1_000)
        assert 1_000 <= net.time < 1_100


def test_who_only_sleeps_may_be_at_work_and_is_waited_for() -> None:
    done: list[bytes] = []

    def work() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            for line in connection.makefile("rb"):  # all are there already
                time.sleep(0.1)
                done.append(line)

    with simnet.Network() as net:
        net.host("server").spawn(work)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"line\n" * 10)
        net.run()
        assert len(done) == 10


def test_so_it_is_after_the_test_too() -> None:
    def work() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.recv(100)
            for _ in range(10):
                time.sleep(0.1)

    with simnet.Network() as net:  # at whose end it holds nothing whose peer is gone
        net.host("server").spawn(work)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"work")


def test_a_test_that_has_slept_often_still_waits_for_what_is_to_come() -> None:
    with simnet.Network() as net:
        server = net.host("server").spawn(time.sleep, 250)
        for _ in range(200):
            net.sleep(1)
        net.run()
        assert server.done


def test_after_it_the_test_that_waits_for_ever_is_told_so_as_before() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(answer_late, 7, 0.1)
        with socket.create_connection(("server", 7)) as sock:
            net.run()
            with pytest.raises(simnet.Deadlock, match="test waits for recv on"):
                sock.recv(1)
            sock.send(b"x")
            assert sock.recv(1) == b"X"


def test_who_talks_without_end_is_listened_to_for_300_seconds() -> None:
    def chatter(peer: str) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            while True:
                sock.sendto(b"?", (peer, 9))
                time.sleep(7)

    with simnet.Network() as net:
        net.host("b")
        net.host("a").spawn(chatter, "b")
        net.run()
        assert 290 < net.time <= 300.1


@both
@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ("1", r"run\('1'\): str is no number of seconds"),
        (-1, r"run\(-1\): seconds are non-negative"),
        (float("nan"), r"run\(nan\): no time that passes"),
        (float("inf"), r"run\(inf\): no time that passes"),
    ],
)
def test_what_is_no_time_is_refused(network: Any, seconds: Any, told: str) -> None:
    with network() as net:
        with pytest.raises((TypeError, ValueError), match=told):
            net.run(seconds)
        with pytest.raises((TypeError, ValueError), match=told.replace("run", "sleep")):
            net.sleep(seconds)
        assert net.time < 1


@both
def test_it_is_the_tests_alone(network: Any) -> None:
    with network() as net:
        caught: list[BaseException] = []

        def serve() -> None:
            try:
                net.run()
            except RuntimeError as error:
                caught.append(error)

        net.host("server").spawn(serve).join()
        assert "run() is for the test alone; server/serve lets time pass with time.sleep()" in str(caught[0])
    with pytest.raises(RuntimeError):
        net.run()


def test_two_runs_with_it_are_one_and_the_same() -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(answer_late, 7, 0.1)
        with socket.create_connection(("server", 7)) as sock:
            sock.send(b"hello")
            net.run()
            return sock.recv(100)

    assert simnet.play(test).digest == simnet.play(test).digest
