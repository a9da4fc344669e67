"""A fault on real sockets, and what both ends see of it: the one that is under test, and the one that is not."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.realnet import play_real
from tests.simnet.test_realnet_faults import tried

pytestmark = pytest.mark.slow  # each case takes threads

WORLDS = (simnet.play, play_real)
TRIES = 5
LINK = "client->server:7#1"

Seen = list[tuple[str, Any]]
End = Callable[[socket.socket, Seen], object]


def accepts(end: End, seen: Seen) -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
        sock.settimeout(3)
        end(sock, seen)


def connects(end: End, seen: Seen) -> None:
    with socket.create_connection(("server", 7), timeout=3) as sock:
        end(sock, seen)


def both(server: End, client: End, seconds: float = 0.02) -> Callable[[Any], tuple[Seen, Seen]]:
    """A test that returns what the two saw."""

    def test(net: Any) -> tuple[Seen, Seen]:
        seen: tuple[Seen, Seen] = ([], [])
        net.host("server").spawn(accepts, server, seen[0])
        net.host("client").spawn(connects, client, seen[1]).join(5)
        net.sleep(seconds)
        return seen

    return test


def alike(test: Callable[[Any], Any], fault: str, target: str | list[str]) -> tuple[Any, Any]:
    """What is known of the run on simnet, and of one on real sockets: the first that is the same, as a busy machine has a timing of its own."""
    simulated, *real = (_known(play(test, fault, target=target)) for play in (simnet.play, play_real))  # type: ignore[operator]
    while len(real) < TRIES and real[-1] != simulated:
        real.append(_known(play_real(test, fault, target=target)))
    return simulated, real[-1]


def _known(run: Any) -> tuple[Any, ...]:
    return run.outcome.returned, run.unreached, run.verdicts, run.failures


def answers(sock: socket.socket, seen: Seen) -> None:
    """Reads to the end, and answers each piece."""
    while isinstance(data := tried(seen, "recv", sock.recv, 100), bytes) and data:
        tried(seen, "send", sock.send, data.upper())


def asks(sock: socket.socket, seen: Seen) -> None:
    """Two questions, the end, and all that comes."""
    for word in (b"hello", b"again"):
        tried(seen, "send", sock.send, word)
        tried(seen, "recv", sock.recv, 100)
    tried(seen, "shutdown", sock.shutdown, socket.SHUT_WR)
    tried(seen, "recv", sock.recv, 100)


def waits_then_asks(sock: socket.socket, seen: Seen) -> None:
    time.sleep(0.02)
    asks(sock, seen)


def listens_first(sock: socket.socket, seen: Seen) -> None:
    """Says nothing, and hears nothing before it has been asked."""
    sock.settimeout(0.05)
    tried(seen, "recv", sock.recv, 100)
    sock.settimeout(3)
    asks(sock, seen)


@pytest.mark.parametrize(
    ("server", "client", "target", "fault"),
    [
        pytest.param(answers, waits_then_asks, "server", "reset {} end=server byte=0", id="reset-at-the-first-byte"),
        pytest.param(answers, waits_then_asks, "client", "reset {} end=server byte=0", id="by-the-receiver"),
        pytest.param(answers, asks, "client", "reset {} end=server byte=2", id="before-it-is-accepted"),
        pytest.param(answers, asks, "client", "reset {} end=server byte=7", id="when-it-is-accepted"),
        pytest.param(answers, asks, "client", "eof {} end=server byte=2", id="what-follows-an-end-is-lost"),
        pytest.param(answers, asks, "client", "eof {} end=server byte=5", id="an-end-between-two-writes"),
        pytest.param(answers, listens_first, "server", "eof {} end=client byte=0", id="an-end-before-the-first-byte"),
        pytest.param(answers, asks, "client", "reset {} end=client op=recv call=3", id="behind-the-end"),
    ],
)  # fmt: skip
def test_both_ends_see_what_they_see_on_simnet(server: End, client: End, target: str, fault: str) -> None:
    simulated, real = alike(both(server, client), fault.format(LINK), target)
    assert simulated == real
    assert simulated[1] == ()


def polls(sock: socket.socket, seen: Seen) -> None:
    """As `answers`, from a loop that is told when there is something."""
    sock.setblocking(False)
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    while poller.poll(3_000):
        data = tried(seen, "recv", sock.recv, 100)
        if isinstance(data, bytes) and data:
            tried(seen, "send", sock.send, data.upper())
        elif data != "EAGAIN":
            return


@pytest.mark.parametrize(
    ("target", "faults"),
    [
        pytest.param("client", "coalesce {0} end=server byte=0 bytes=30; reset {0} end=server byte=5", id="held-back"),
        pytest.param("client", "eof {0} end=server byte=2; reset {0} end=client byte=2", id="by-who-was-shown-an-end"),
        pytest.param("server", "reset {0} end=client byte=2; split {0} end=client byte=4", id="nothing-acts-behind"),
        pytest.param(
            "client", "reset {0} end=client op=recv call=1; split {0} end=client byte=4", id="nobody-reads-on"
        ),
        pytest.param("server", "stall {0} end=client byte=1 seconds=0.05; reset {0} end=client byte=3", id="it-waits"),
    ],
)
def test_a_reset_comes_behind_what_comes_before_it_and_nothing_behind_it(target: str, faults: str) -> None:
    simulated, real = alike(both(polls, asks), faults.format(LINK), target)
    assert simulated == real


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param("stall {0} end=server byte=2 seconds=0.06; split {0} end=server byte=3", id="a-stall-and-a-split"),
        pytest.param("stall {0} end=server byte=2 seconds=0.05; stall {0} end=server byte=3 seconds=0.03", id="stalls"),
        pytest.param("split {0} end=server byte=1; urgent {0} end=server byte=3", id="an-urgent-byte-behind-a-split"),
        pytest.param(
            "coalesce {0} end=server byte=0 bytes=9; split {0} end=server byte=4", id="what-never-was-as-much"
        ),
    ],
)
def test_what_is_held_back_behind_something_held_back_has_its_own_time(faults: str) -> None:
    def says(sock: socket.socket, seen: Seen) -> None:
        tried(seen, "send", sock.send, b"hello")
        time.sleep(0.2)

    def collects(sock: socket.socket, seen: Seen) -> None:
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        while poller.poll(3_000) and tried(seen, "recv", sock.recv, 100):
            pass

    simulated, real = alike(both(collects, says), faults.format(LINK), "client")
    assert simulated == real
    assert simulated[1] == ()


def test_who_has_an_urgent_byte_before_it_has_not_read_what_comes_behind() -> None:
    rounds = 6

    def serve(seen: Seen) -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as sock:
                    thread = threading.Thread(target=reads, args=(sock, seen))
                    thread.start()
                    thread.join()

    def reads(sock: socket.socket, seen: Seen) -> None:
        while tried(seen, "recv", sock.recv, 100):
            pass

    def test(net: Any) -> Seen:
        seen: Seen = []
        net.host("server").spawn(serve, seen)
        for _ in range(rounds):
            with socket.create_connection(("server", 7), timeout=3) as sock:
                sock.send(b"hello")
        net.sleep(0.02)
        return seen

    faults = "urgent test->server:7#* end=server byte=0; split test->server:7#* end=server byte=1"
    simulated, real = alike(test, faults, "server")
    assert simulated[0] == [("recv", b"h"), ("recv", b"ello"), ("recv", b"")] * rounds
    assert simulated == real


def test_what_was_received_before_a_reset_is_read_up_to_an_urgent_byte() -> None:
    def says(sock: socket.socket, _: Seen) -> None:
        time.sleep(0.02)
        sock.send(b"hello")

    def hears_late(sock: socket.socket, seen: Seen) -> None:
        time.sleep(0.1)
        for _ in range(4):
            tried(seen, "recv", sock.recv, 2)

    faults = f"urgent {LINK} end=server byte=3; reset {LINK} end=server byte=5"
    simulated, real = alike(both(hears_late, says, 0.2), faults, "client")
    assert simulated[0][0] == [("recv", b"he"), ("recv", b"l"), ("recv", b"lo"), ("recv", "ECONNRESET")]
    assert simulated == real


def test_who_is_reset_by_its_peer_is_told_so_though_something_is_held_back() -> None:
    def refuses(sock: socket.socket, _: Seen) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def goes_on(sock: socket.socket, seen: Seen) -> None:
        sock.send(b"hello")
        tried(seen, "recv", sock.recv, 100)
        tried(seen, "shutdown", sock.shutdown, socket.SHUT_WR)

    simulated, real = alike(both(refuses, goes_on), f"stall {LINK} end=server byte=3 seconds=0.1", "server")
    assert simulated[0][1] == [("recv", "ECONNRESET"), ("shutdown", "ENOTCONN")]
    assert simulated == real


def test_a_fault_acts_on_a_shutdown_of_what_has_ended_already() -> None:
    def ends(sock: socket.socket, seen: Seen) -> None:
        tried(seen, "send", sock.send, b"hello")
        tried(seen, "shutdown", sock.shutdown, socket.SHUT_WR)

    faults = f"eof {LINK} end=server byte=2; reset {LINK} end=client shutdown call=1 when=before"
    simulated, real = alike(both(answers, ends), faults, ["client", "server"])
    assert simulated[0][1] == real[0][1]
    assert (simulated[1], real[1]) == ((), ())


def test_who_polls_for_what_is_held_back_does_not_see_half_of_what_is_done_at_once() -> None:
    rounds = 8

    def serve(seen: Seen) -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as sock:
                    polls(sock, seen)

    def test(net: Any) -> Seen:
        seen: Seen = []
        net.host("server").spawn(serve, seen)
        for _ in range(rounds):
            with socket.create_connection(("server", 7), timeout=3) as sock:
                net.sleep(0.005)
                tried([], "send", sock.send, b"hello")
                net.sleep(0.02)
        return seen

    faults = "split test->server:7#* end=server byte=2; reset test->server:7#* end=client send call=1 when=after"
    simulated, real = alike(test, faults, "test")
    assert simulated[0] == [("recv", b"he"), ("send", "ECONNRESET"), ("recv", b"")] * rounds
    assert simulated[0] == real[0]


def test_what_was_held_back_comes_in_one_piece() -> None:
    def says(sock: socket.socket, _: Seen) -> None:
        for word in (b"one", b"two", b"three"):
            sock.sendall(word)
        sock.recv(9)

    def hears(sock: socket.socket, seen: Seen) -> None:
        for _ in range(2):
            tried(seen, "recv", sock.recv, 100)

    simulated, real = alike(both(says, hears), f"stall {LINK} end=client byte=1 seconds=0.05", "client")
    assert simulated[0][1] == [("recv", b"o"), ("recv", b"netwothree")]
    assert simulated[0] == real[0]


def test_a_connection_that_was_given_up_has_hung_up() -> None:
    def gives_up(sock: socket.socket, seen: Seen) -> None:
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLRDHUP)
        tried(seen, "recv", sock.recv, 100)
        seen.append(("poll", poller.poll(0)[0][1]))

    def silent(sock: socket.socket, _: Seen) -> None:
        time.sleep(0.05)

    fault = f"error {LINK} end=server op=recv call=1 errno=ETIMEDOUT"
    runs = [play(both(gives_up, silent), fault, target="server") for play in WORLDS]  # type: ignore[operator]
    hung_up = select.POLLIN | select.POLLRDHUP | select.POLLHUP
    assert [run.outcome.returned[0] for run in runs] == [[("recv", "ETIMEDOUT"), ("poll", hung_up)]] * 2


def test_nobody_comes_between_a_send_and_the_reset_behind_it() -> None:
    rounds = 8

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                sock = listener.accept()[0]
                threading.Thread(target=answer, args=(sock,)).start()

    def answer(sock: socket.socket) -> None:
        with sock:
            answers(sock, [])

    def test(net: Any) -> Seen:
        seen: Seen = []
        net.host("server").spawn(serve)
        for _ in range(rounds):
            with socket.create_connection(("server", 7), timeout=3) as sock:
                tried(seen, "send", sock.send, b"hello")
                tried(seen, "recv", sock.recv, 100)
                tried(seen, "send", sock.send, b"again")
        return seen

    fault = "reset test->server:7#* end=server send call=1 when=after"
    simulated, real = alike(test, fault, "server")
    assert simulated[0] == [("send", 5), ("recv", b"HELLO"), ("send", "ECONNRESET")] * rounds
    assert simulated[0] == real[0]


def test_strangers_are_answered_before_they_go() -> None:
    def serve(seen: Seen) -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as sock:
                    answers(sock, seen)

    def test(net: Any) -> Seen:
        seen: Seen = []
        net.host("server").spawn(serve, seen)
        net.host("client").spawn(connects, asks, []).join(5)
        return seen

    for play in WORLDS:
        run = play(test, f"strangers {LINK} data=hello count=24", target="server")  # type: ignore[operator]
        # Of 18 who say something a busy machine may be too late for some.
        assert run.outcome.returned.count(("send", "ECONNRESET")) < 9


def test_a_kernels_own_time_out_ends_a_wait() -> None:
    def serve() -> list[Any]:
        seen: Seen = []
        limit = struct.pack("ll", 0, 30_000)
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            tried(seen, "accept", listener.accept)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            tried(seen, "recv", sock.recv, 100)
            tried(seen, "recv", sock.recv, 100)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            size = 1 << 24
            seen.append(("send", 0 < sock.send(bytes(size)) < size))
        return seen

    def test(net: Any) -> Any:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            server.join(5)
        return server.result

    said = [("accept", "EAGAIN"), ("recv", b"hello"), ("recv", "EAGAIN"), ("send", True)]
    assert [play(test, target="server").outcome.returned for play in WORLDS] == [said, said]  # type: ignore[operator]


def test_who_waits_for_all_waits_no_longer_than_its_kernel_lets_it() -> None:
    def serve() -> list[Any]:
        seen: Seen = []
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 30_000))
            tried(seen, "recv", sock.recv, 9, socket.MSG_WAITALL)
            tried(seen, "recv", sock.recv, 9, socket.MSG_WAITALL)
            sock.send(b"more")
            select.select([sock], [], [])
            tried(seen, "recv", sock.recv, 9, socket.MSG_WAITALL | socket.MSG_DONTWAIT)
        return seen

    def test(net: Any) -> Any:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.sendall(sock.recv(9))
            server.join(5)
        return server.result

    said = [("recv", b"hello"), ("recv", "EAGAIN"), ("recv", b"more")]
    assert [play(test, target="server").outcome.returned for play in WORLDS] == [said, said]  # type: ignore[operator]


def test_a_send_has_its_time_once_however_often_there_is_room() -> None:
    size = 1 << 24

    def serve() -> bool:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 60_000))
            return 0 < sock.send(bytes(size)) < size

    def test(net: Any) -> Any:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            while sock.recv(1 << 20):
                time.sleep(0.02)
        return server.result

    assert [play(test, target="server").outcome.returned for play in WORLDS] == [True, True]  # type: ignore[operator]


def test_a_reset_between_the_parts_of_a_send_is_for_the_next() -> None:
    def hears_no_more(sock: socket.socket, _: Seen) -> None:
        sock.shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)

    def sends(sock: socket.socket, seen: Seen) -> None:
        tried(seen, "recv", sock.recv, 9)
        for _ in range(2):
            tried(seen, "send", sock.send, b"0123456789")
            time.sleep(0.02)

    simulated, real = alike(both(sends, hears_no_more, 0.2), f"split {LINK} end=client byte=2", "client")
    assert simulated[0][0] == [("recv", b""), ("send", 10), ("send", "EPIPE")]
    assert simulated[0] == real[0]


def test_what_comes_before_a_reset_arrives_though_it_is_small() -> None:
    def asks_twice(sock: socket.socket, _: Seen) -> None:
        for _ in range(2):
            sock.send(b"hello")
            sock.recv(9)
        for word in (b"on", b"and on"):
            sock.send(word)

    def hears_late(sock: socket.socket, seen: Seen) -> None:
        for _ in range(2):
            sock.send(sock.recv(9))
        time.sleep(0.1)
        tried(seen, "recv", sock.recv, 99)

    simulated, real = alike(both(hears_late, asks_twice, 0.2), f"reset {LINK} end=server byte=14", "client")
    assert simulated[0][0] == [("recv", b"onan")]
    assert simulated[0] == real[0]


@pytest.mark.parametrize("target", ["client", "server"])
@pytest.mark.parametrize("timeout", [3, 0])
def test_no_fault_acts_on_the_bytes_of_a_connection_that_was_refused(target: str, timeout: float) -> None:
    def connects_in_vain(seen: Seen) -> None:
        with socket.socket() as sock:
            sock.settimeout(timeout)
            tried(seen, "connect", sock.connect, ("server", 7))
            select.select([], [sock], [], 3)
            tried(seen, "error", sock.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)

    def test(net: Any) -> Seen:
        seen: Seen = []
        net.host("server")
        net.host("client").spawn(connects_in_vain, seen).join(5)
        return seen

    simulated, real = alike(test, f"eof {LINK} end=server byte=0; stall {LINK} end=client byte=0 seconds=1", target)
    assert simulated == real
    assert len(simulated[1]) == 2
