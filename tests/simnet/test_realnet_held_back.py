"""What a fault on real sockets holds back, or puts between two bytes: nothing is lost, sent twice, or overtaken."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from typing import Any

import pytest

from simnet import FaultPlan, Network
from simnet.realnet import RealNetwork
from simnet.realnet.connection import Stream

both = pytest.mark.parametrize("network", [Network, RealNetwork])
SMALL = 1 << 14  # of a buffer: what is held back does not fit in


def collect(go: threading.Event, got: list[bytes]) -> None:
    with socket.create_server(("", 7)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        with listener.accept()[0] as connection:
            go.wait(5)
            while data := connection.recv(1 << 16):
                got.append(data)


@pytest.mark.slow
@both
@pytest.mark.parametrize("kind", ["stall", "coalesce"])
def test_what_is_sent_while_the_courier_delivers_comes_behind_it(network: Any, kind: str) -> None:
    plan = {"stall": "seconds=0.05", "coalesce": "bytes=400000"}[kind]
    go, got, sent = threading.Event(), list[bytes](), list[bytes]()
    with network(f"{kind} test->server:7#1 byte=1000 end=server {plan}", target="server") as net:
        server = net.host("server").spawn(collect, go, got)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            sock.connect(("server", 7))
            for number in range(60):
                sent.append(struct.pack(">I", number) * 4096)
                if number == 40:
                    go.set()
                sock.sendall(sent[-1])
                time.sleep(0.002)
        assert server.join(8)
    assert b"".join(got) == b"".join(sent)


def fill(sock: socket.socket) -> int:
    """Send what fits, in pieces that tell where they belong; how much that was."""
    sent, pattern = 0, bytes(range(251)) * 200
    try:
        while True:
            sent += sock.send(pattern[sent % 251 :][:40000])
    except BlockingIOError:
        return sent


@pytest.mark.slow
def test_an_urgent_byte_for_which_there_is_no_room_follows_what_was_sent_and_nothing_is_sent_twice() -> None:
    plan, room = "", 0
    for _ in range(2):  # how much fits; then a byte behind all of it
        go, got = threading.Event(), list[bytes]()
        with RealNetwork(plan, target="test") as net:
            server = net.host("server").spawn(collect, go, got)
            with socket.create_connection(("server", 7)) as sock:
                sock.setblocking(False)
                room = fill(sock)
                go.set()
                sock.setblocking(True)
                sock.sendall(b"the end")
            assert server.join(8)
        assert b"".join(got) == (bytes(range(251)) * (room // 251 + 1))[:room] + b"the end"
        plan = f"urgent test->server:7#1 byte={room} end=server"


@both
def test_a_socket_is_closed_though_nobody_takes_its_urgent_byte(network: Any) -> None:
    with network("urgent client->server:7#1 byte=0 end=server", target="client") as net:

        def hang_up() -> None:
            with socket.create_server(("", 7)) as listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        def leave() -> int:
            sock = socket.create_connection(("server", 7))
            server.join(5)
            time.sleep(0.02)
            sock.close()
            return sock.fileno()

        server = net.host("server").spawn(hang_up)
        assert net.host("client").run(leave) == -1


def test_a_default_time_out_of_the_tests_own_keeps_no_fault_waiting() -> None:
    def talk() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            with pytest.raises(ConnectionResetError):
                while connection.recv(100):
                    pass

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(8)
    try:
        with RealNetwork("reset test->server:7#1 byte=20 end=server", target="server", seconds=3) as net:
            server = net.host("server").spawn(talk)
            with socket.create_connection(("server", 7)) as sock, pytest.raises(ConnectionResetError):
                for _ in range(4):
                    sock.sendall(bytes(10))
            assert server.join()
    finally:
        socket.setdefaulttimeout(before)


@both
@pytest.mark.parametrize(
    "twin",
    [lambda fd: os.dup(fd), lambda fd: os.dup2(fd, os.dup(fd)), lambda fd: socket.dup(fd)],  # type: ignore[attr-defined]
    ids=["dup", "dup2", "of the module"],
)
def test_a_second_number_is_of_the_same_socket_to_which_the_same_happens(network: Any, twin: Any) -> None:
    def serve() -> bytes:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            fd = twin(connection.fileno())
            connection.close()
            with socket.socket(fileno=fd) as again:
                return again.recv(9)

    with network("short-recv test->server:7#1 end=server call=1 bytes=3", target="server") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"abcdef")
            server.join(5)
    assert server.result == b"abc"


ONCE, EDGE = select.EPOLLIN | select.EPOLLONESHOT, select.EPOLLIN | select.EPOLLET


@pytest.mark.slow
@both
@pytest.mark.parametrize("asked", [ONCE, EDGE], ids=["once", "edge"])
@pytest.mark.parametrize("kind", ["stall", "eof"])
def test_whoever_is_told_once_is_told_when_a_fault_lets_it_be_and_no_more(network: Any, kind: str, asked: int) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(bytes(50))
            connection.recv(1)

    plan = {"stall": "seconds=0.1", "eof": ""}[kind]
    with network(f"{kind} test->server:7#1 end=client byte=0 {plan}".strip(), target="server") as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock, select.epoll() as epoll:
            sock.setblocking(False)
            epoll.register(sock.fileno(), asked)
            assert [fd for fd, _ in epoll.poll(3)] == [sock.fileno()]
            if asked == ONCE:
                assert epoll.poll(0.02) == []
                epoll.modify(sock.fileno(), asked)
                assert [fd for fd, _ in epoll.poll(3)] == [sock.fileno()]
            assert len(sock.recv(99)) == {"stall": 50, "eof": 0}[kind]


@both
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_every_call_that_reads_gives_the_end_that_a_fault_has_made(network: Any, unix: bool) -> None:
    def talk(mine: socket.socket) -> list[Any]:
        return [mine.recvmsg(9, 99)[0], mine.recvfrom(9)[0], mine.recvmsg(9)[0], mine.recv_into(bytearray(9))]

    def pair() -> list[Any]:
        one, other = socket.socketpair()
        with one, other:
            other.sendall(b"lost")
            return talk(one)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"lost")
            connection.recv(1)

    place, target = ("server->server:socketpair#1", "server") if unix else ("test->server:7#1", "server")
    with network(f"eof {place} end=client byte=0", target=target) as net:
        if unix:
            assert net.host("server").run(pair) == [b"", b"", b"", 0]
            return
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert talk(sock) == [b"", b"", b"", 0]


@both
def test_a_datagram_that_is_cut_counts_in_full_where_that_is_asked(network: Any) -> None:
    with network():
        one, other = socket.socketpair(type=socket.SOCK_DGRAM)
        with one, other:
            for _ in range(2):
                other.send(b"abc")
            buffer = bytearray(b"....")
            assert one.recv_into(buffer, 2, socket.MSG_TRUNC) == 3
            assert one.recvfrom_into(buffer, 2, socket.MSG_TRUNC)[0] == 3
            assert buffer == b"ab.."


IN, OUT, RDHUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP


def sees(network: Any, plan: str, look: Any, *, leaves: bool = False, shut: bool = False) -> list[Any]:
    """What *look* finds at a client to whom ten bytes came; behind them the server *leaves*."""
    left = threading.Event()

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"0123456789")
            if leaves and shut:
                connection.recv(1)
            elif not leaves:
                left.wait(3)

    with network(plan, target="server") as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            if shut:
                sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            time.sleep(0.03)
            try:
                return look(sock)  # type: ignore[no-any-return]
            finally:
                left.set()


def drained(sock: socket.socket) -> list[Any]:
    """What can be read now."""
    got: list[Any] = []
    try:
        while piece := sock.recv(100):
            got.append(piece)
        got.append(b"")
    except OSError as error:
        got.append(type(error).__name__)
    return got


@pytest.mark.slow
@both
@pytest.mark.parametrize("asked", [IN | select.EPOLLET, IN | OUT | select.EPOLLET])
def test_whoever_is_told_by_the_edge_is_told_of_what_comes_behind_a_stall(network: Any, asked: int) -> None:
    def look(sock: socket.socket) -> list[Any]:
        with select.epoll() as epoll:
            epoll.register(sock, asked)
            return [[bits & IN for _, bits in epoll.poll(1)] + drained(sock) for _ in range(2)]

    seen = sees(network, "stall test->server:7#1 end=client byte=4 seconds=0.2", look)
    assert seen == [[IN, b"0123", "BlockingIOError"], [IN, b"456789", "BlockingIOError"]]


@both
def test_an_early_end_is_told_by_the_edge_and_then_no_more(network: Any) -> None:
    def look(sock: socket.socket) -> list[Any]:
        with select.epoll() as epoll:
            epoll.register(sock, IN | RDHUP | select.EPOLLET)
            first = epoll.poll(1)
            return [first[0][1], *drained(sock), len([epoll.poll(0.02) for _ in range(4)][-1])]

    seen = sees(network, "eof test->server:7#1 end=client byte=4", look)
    assert seen == [IN | RDHUP, b"0123", b"", 0]


@pytest.mark.slow
@both
@pytest.mark.parametrize(("shut", "end"), [(False, RDHUP), (True, RDHUP | select.POLLHUP)])
def test_the_end_behind_a_stall_is_told_when_that_is_over(network: Any, shut: bool, end: int) -> None:
    def look(sock: socket.socket) -> list[Any]:
        poller = select.poll()
        poller.register(sock, IN | RDHUP)
        seen: list[Any] = []
        for _ in range(2):
            seen += [bits for _, bits in poller.poll(1000)]
            seen.append(sock.recv(100))
        return seen

    plan = "stall test->server:7#1 end=client byte=4 seconds=0.2"
    seen = sees(network, plan, look, leaves=True, shut=shut)
    assert seen == [IN, b"0123", IN | end, b"456789"]


@both
def test_a_poller_says_of_a_connection_that_was_reset_what_a_kernel_says(network: Any) -> None:
    def look(sock: socket.socket) -> list[Any]:
        poller = select.poll()
        poller.register(sock, IN | RDHUP)
        (told,) = poller.poll(1000)
        return [told[1], *drained(sock), poller.poll(0)[0][1]]

    seen = sees(network, "reset test->server:7#1 end=client byte=4", look)
    over = IN | RDHUP | select.POLLHUP
    assert seen == [over | select.POLLERR, b"0123", "ConnectionResetError", over]


@both
def test_no_more_are_told_than_were_asked_for(network: Any) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as one, listener.accept()[0] as other:
            for each in (one, other):
                each.sendall(b"lost")
            one.recv(1)

    with network("eof test->server:7#* end=client byte=0", target="server") as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as one, socket.create_connection(("server", 7)) as other:
            time.sleep(0.02)
            with select.epoll() as epoll:
                for each in (one, other):
                    epoll.register(each, IN)
                assert [len(epoll.poll(1, 1)), len(epoll.poll(1))] == [1, 2]


def test_what_was_to_arrive_as_one_waits_no_longer_than_until_it_is_there() -> None:
    stream = Stream("client", list(FaultPlan.parse("coalesce a->b:7#1 end=client byte=4 bytes=6")), by_sender=False)
    stream.sent = 9
    assert stream.allowed(0) == 4
    stream.sent = 10
    assert stream.allowed(0) is None


@pytest.mark.slow
@both
@pytest.mark.parametrize("fault", ["stall", "split"])
def test_who_looks_when_it_is_over_sees_all_of_it_at_once(network: Any, fault: str) -> None:
    def look(sock: socket.socket) -> list[Any]:
        time.sleep(0.1)
        return drained(sock)

    more = " seconds=0.04" if fault == "stall" else ""
    seen = sees(network, f"{fault} test->server:7#1 end=client byte=4{more}", look)
    assert seen == [b"0123456789", "BlockingIOError"]


@both
def test_a_reset_before_the_first_byte_is_heard_by_the_call_behind_the_one_that_sends_it(network: Any) -> None:
    def serve() -> list[Any]:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            sent = connection.send(b"hello")
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            return [sent]

    with network("reset test->server:7#1 end=client byte=0", target=["server", "test"]) as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)):
            server.join(5)
        assert server.result == [5]


@both
def test_who_has_shut_down_what_it_reads_is_told_so_by_a_poller_though_something_is_held_back(network: Any) -> None:
    def look(sock: socket.socket) -> list[Any]:
        sock.shutdown(socket.SHUT_RD)
        poller = select.poll()
        poller.register(sock, RDHUP)
        return [bits for _, bits in poller.poll(0)]

    assert sees(network, "split test->server:7#1 end=client byte=4", look) == [RDHUP]


@both
@pytest.mark.parametrize("target", ["server", "test"])
@pytest.mark.parametrize("kind", ["reset", "eof"])
def test_what_comes_before_the_first_byte_comes_with_the_first_write_and_not_with_the_connection(
    network: Any, kind: str, target: str
) -> None:
    def greet() -> bytes | str:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"220 hello")
            try:
                return connection.recv(100)
            except ConnectionResetError:
                return "reset"

    with network(f"{kind} test->server:7#1 end=server byte=0", target=target) as net:
        server = net.host("server").spawn(greet)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(100) == b"220 hello"
            time.sleep(0.02)
            sock.sendall(b"QUIT")
            server.join(5)
    assert server.result == {"reset": "reset", "eof": b""}[kind]


@both
@pytest.mark.parametrize("fault", ["eof", "stall"])
def test_who_has_shut_down_what_it_sends_sends_no_more_though_a_fault_stands_before_that(
    network: Any, fault: str
) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            while connection.recv(100):
                pass

    more = " seconds=0.05" if fault == "stall" else ""
    with network(f"{fault} test->server:7#1 end=server byte=1{more}", target="server") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            with pytest.raises(BrokenPipeError):
                sock.send(b"more")
            server.join(5)


@both
def test_who_sends_behind_an_early_end_hears_that_the_connection_was_reset_meanwhile(network: Any) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            assert connection.recv(1) == b"h"
            time.sleep(0.02)  # and closes with the rest unread

    with network("eof test->server:7#1 end=server byte=3", target="server") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.sendall(b"lost")
            server.join(5)
            time.sleep(0.02)
            with pytest.raises(ConnectionResetError):
                sock.sendall(b"more")


@both
@pytest.mark.parametrize("kind", ["stall", "reset"])
def test_who_has_shut_down_what_it_reads_reads_the_end_though_a_fault_is_to_come(network: Any, kind: str) -> None:
    def serve() -> bytes:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.shutdown(socket.SHUT_RD)
            return connection.recv(9)

    more = " seconds=0.05" if kind == "stall" else ""
    with network(f"{kind} test->server:7#1 end=server byte=0{more}", target="test") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)):
            server.join(5)
    assert server.result == b""


@pytest.mark.slow
@both
def test_who_closes_with_something_unread_resets_also_when_that_is_held_back(network: Any) -> None:
    def serve() -> list[Any]:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"unread")
            return [*drained(connection), "closed"]

    with network("stall test->server:7#1 end=server byte=3 seconds=0.1", target="server") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            time.sleep(0.03)
            sock.sendall(b"abc")
        assert server.join(5)
    assert server.result == [b"abc", "ConnectionResetError", "closed"]


@both
def test_a_socket_whose_connection_was_reset_connects_to_nobody_else(network: Any) -> None:
    def look(sock: socket.socket) -> list[Any]:
        got = drained(sock)
        with pytest.raises(OSError, match="already connected"):
            sock.connect(("server", 7))
        return got

    assert sees(network, "reset test->server:7#1 end=client byte=3", look) == [b"012", "ConnectionResetError"]
