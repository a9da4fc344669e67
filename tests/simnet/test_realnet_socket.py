"""The calls of ``socket.socket`` on a real network, each beside the simulator's."""

from __future__ import annotations

import array
import errno
import fcntl
import io
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from simnet import play
from simnet.realnet import RealNetwork, play_real

Answers = list[Any]


@contextmanager
def connected(net: Any) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(opener, acceptor): both in the hands of the test."""
    with net.host("server").listen(7) as listener, socket.create_connection(("server", 7)) as opener:
        acceptor, _ = listener.accept()
        with acceptor:
            yield opener, acceptor


def said(call: Callable[..., Any], *args: Any) -> Any:
    """What a call gives, or how it fails."""
    try:
        return call(*args)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        code = error.errno if isinstance(error, OSError) else None
        return (type(error).__name__, errno.errorcode.get(code, code) if code else str(error))


def ways_to_read(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        opener.sendall(b"0123456789abcdefghijklmnopqrstuvwxyz")
        time.sleep(0.01)
        buffer, two, three = bytearray(4), bytearray(2), bytearray(3)
        return [
            acceptor.recv(2, socket.MSG_PEEK),
            acceptor.recv(2),
            acceptor.recv_into(buffer),
            bytes(buffer),
            acceptor.recv_into(buffer, 1),
            acceptor.recvfrom(3),
            acceptor.recvfrom_into(buffer),
            acceptor.recvfrom_into(buffer, 2),
            bytes(buffer),
            acceptor.recvmsg(3),
            acceptor.recvmsg_into([two, three]),
            (bytes(two), bytes(three)),
            acceptor.recv(0),
            said(acceptor.recv, -1),
            said(acceptor.recv_into, buffer, 9),
            said(acceptor.recv_into, buffer, -1),
            said(acceptor.recvfrom, -1),
            said(acceptor.recvfrom_into, buffer, 9),
            said(acceptor.recvmsg, -1),
            acceptor.recv(100, socket.MSG_DONTWAIT),
            said(acceptor.recv, 100, socket.MSG_DONTWAIT),
        ]


def ways_to_write(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        answers = [
            opener.send(b"a"),
            opener.send(memoryview(b"bc")),
            opener.send(array.array("B", [100, 101])),
            opener.sendmsg([b"f", b"gh"]),
            opener.sendall(b"i"),
            opener.send(b""),
            opener.sendfile(io.BytesIO(b"jk")),
            said(opener.send, "text"),
            said(opener.send, 7),
            said(opener.sendto, b"x"),
        ]
        opener.settimeout(0.5)
        answers.append(opener.send(b"l"))
        opener.setblocking(False)
        answers.append(opener.send(b"m"))
        opener.shutdown(socket.SHUT_WR)
        answers.append(said(opener.send, b"n"))
        with acceptor.makefile("rb") as stream:
            answers.append(stream.read())
        return answers


def wait_for_all(net: Any) -> Answers:
    def slowly(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            for piece in (b"one", b"two", b"three"):
                connection.sendall(piece)
                time.sleep(0.01)

    net.host("slow").spawn(slowly, 7)
    with socket.create_connection(("slow", 7)) as sock:
        first = sock.recv(8, socket.MSG_WAITALL)
        time.sleep(0.1)
        left = sock.recv(100, socket.MSG_WAITALL | socket.MSG_PEEK)  # once, however long it waits for more
        return [first, left, sock.recv(100, socket.MSG_WAITALL)]


def urgent_bytes(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        opener.sendall(b"ab")
        opener.send(b"!", socket.MSG_OOB)
        opener.sendall(b"cd")
        time.sleep(0.01)
        return [
            select.select([acceptor], [], [acceptor], 1)[2] == [acceptor],
            acceptor.recv(9),
            acceptor.recv(1, socket.MSG_OOB),
            acceptor.recv(9),
            said(acceptor.recv, 1, socket.MSG_OOB),
        ]


def non_blocking_connect(net: Any) -> Answers:
    with net.host("server").listen(7), socket.socket() as sock, socket.socket() as refused:
        sock.setblocking(False)
        refused.setblocking(False)
        answers = [sock.connect_ex(("server", 7)), refused.connect_ex(("server", 8))]
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        answers.append(poller.poll(1000) == [(sock.fileno(), select.POLLOUT)])
        answers.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        answers.append(sock.getpeername()[1])
        answers.append(select.select([], [refused], [], 1) == ([], [refused], []))
        answers.append(refused.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED)
        answers.append(said(sock.connect, ("server", 7)))
        return answers


def connect_says(net: Any) -> Answers:
    answers = []
    with net.host("server").listen(7):
        for address in (("server", 8), ("server", 7)):
            with socket.socket() as sock:
                answers.append(sock.connect_ex(address))
        for wrong in ("server", ("server",), ("server", "http"), ("server", -1), (7, 7), ("nowhere", 7)):
            with socket.socket() as sock:
                answers.append(said(sock.connect, wrong))
        with socket.socket() as sock, pytest.raises(socket.gaierror):
            sock.connect_ex(("nowhere", 7))
    return answers


def after_close(net: Any) -> Answers:
    sock = socket.socket()
    sock.close()
    return [
        sock.fileno(),
        said(sock.recv, 1),
        said(sock.send, b"x"),
        said(sock.getsockname),
        said(sock.settimeout, 1),
        said(sock.accept),
        said(sock.connect, ("test", 7)),
    ]


def before_connect(net: Any) -> Answers:
    with socket.socket() as sock:
        return [
            said(sock.recv, 1),
            said(sock.send, b"x"),
            said(sock.accept),
            said(sock.getpeername),
            sock.getsockname(),
            said(sock.shutdown, socket.SHUT_WR),
            sock.family,
            sock.type,
            sock.timeout,
            sock.getblocking(),
            said(sock.settimeout, "1"),
            said(sock.settimeout, float("nan")),
        ]


def binding(net: Any) -> Answers:
    answers = []
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        one.bind(("", 1007))
        answers.append(one.getsockname())
        answers.append(said(two.bind, ("127.0.0.1", 1007)))
        two.bind(("localhost", 1008))
        answers.append(two.getsockname())
        answers.append(said(three.bind, ("192.0.2.1", 7)))
        answers.append(said(three.bind, ("", 70000)))
        three.bind(("test", 0))
        answers.append(three.getsockname()[1] > 0)
        three.listen()
        with socket.create_connection(three.getsockname()) as sock:
            answers.append(sock.getpeername() == three.getsockname())
    return answers


def duplicates(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        twin = opener.dup()
        other = socket.fromfd(opener.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        last = socket.socket(fileno=socket.dup(opener.fileno()))
        moved = socket.socket(fileno=last.detach())
        socket.close(socket.dup(opener.fileno()))
        with twin, other, moved:
            for number, sock in enumerate((opener, twin, other, moved)):
                sock.sendall(b"%d" % number)
            names = {sock.getpeername() for sock in (opener, twin, other, moved)}
        opener.close()
        with acceptor.makefile("rb") as stream:
            return [stream.read(), len(names), last.fileno()]


def pairs(net: Any) -> Answers:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"hello")
        answers: Answers = [other.recv(9), one.family, one.getsockname()]
        one.close()
        answers.append(other.recv(9))
        return answers


def unread_counts(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        opener.sendall(b"12345")
        time.sleep(0.01)
        return [struct.unpack("i", fcntl.ioctl(acceptor, termios.FIONREAD, bytes(4)))[0]]


def waits_before_it_asks(net: Any) -> Answers:
    """With a time-out Python polls first, so what can never be is late, not wrong; and so it is with MSG_DONTWAIT."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, connected(net) as (opener, _):
        sock.settimeout(0.01)
        opener.settimeout(0.01)
        return [
            said(sock.accept),
            said(sock.recv, 1, socket.MSG_OOB),
            said(sock.recv, 1, socket.MSG_DONTWAIT),
            said(opener.accept),
            said(opener.recv, 1, socket.MSG_DONTWAIT),
            said(opener.recvfrom, 0),
        ]


def ready_with_nothing_to_give(net: Any) -> Answers:
    """A socket for datagrams that is shut down polls as ready, and has no more for a recv than before."""
    del net
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.01)
        sock.shutdown(socket.SHUT_RDWR)
        return [said(sock.recv, 9), said(sock.recv, 9, socket.MSG_PEEK)]


def no_bytes_are_asked_for(net: Any) -> Answers:
    with connected(net) as (opener, _):
        opener.setblocking(False)
        answers = [said(each, 0) for each in (opener.recv, opener.recvfrom, opener.recvmsg)]
    return [*answers, *(said(each, 0) for each in (opener.recv, opener.recvfrom, opener.recvmsg))]


def connect_once_more(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        return [said(each.connect, ("server", 7)) for each in (opener, opener, acceptor)]


def the_last_part_before_a_reset(net: Any) -> Answers:
    with connected(net) as (opener, acceptor):
        opener.sendall(b"part")
        time.sleep(0.01)
        opener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        opener.close()
        time.sleep(0.01)
        return [acceptor.recv(9, socket.MSG_WAITALL), said(acceptor.recv, 9), said(acceptor.recv, 9)]


def to_nowhere(net: Any) -> Answers:
    """Nobody has port 0, nor does a socket whose ``sendto`` has failed have a port for that."""
    del net
    with socket.socket(type=socket.SOCK_DGRAM) as sock, socket.socket() as stream:
        answers = [
            said(sock.sendto, b"x", ("test", 0)),
            said(sock.connect, ("test", 0)),
            said(sock.getpeername),
            said(stream.sendto, b"x", ("test", 7)),
            stream.getsockname(),
            said(stream.connect, ("test", 0)),
        ]
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        answers.append(said(sock.send, b"x"))  # and has got a port by that
        sock.connect(("127.0.0.1", sock.getsockname()[1]))
        return [*answers, sock.send(b"to myself"), sock.recv(99)]


def of_both_families(net: Any) -> Answers:
    """Who binds ``::`` is found by IPv6's localhost, too."""
    del net
    answers: Answers = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET6, kind) as server, socket.socket(socket.AF_INET6, kind) as client:
            server.bind(("::", 1053))
            if kind == socket.SOCK_STREAM:
                server.listen()
            answers += [said(client.connect, ("::1", 1053)), client.send(b"x")]
            with server.accept()[0] if kind == socket.SOCK_STREAM else server as reader:
                answers.append(reader.recv(9))
    return answers


def what_a_closed_one_says_of_other_things(net: Any) -> Answers:
    del net
    with socket.socket() as sock:
        sock.settimeout(3)
    return [said(sock.sendfile, io.BytesIO(b"x")), said(sock.settimeout, 2), sock.gettimeout()]


def datagrams(net: Any) -> Answers:
    with net.host("server").socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as sock:
        server.bind(("", 53))
        sock.bind(("", 1053))
        sock.connect(("server", 53))
        answers: Answers = [sock.send(b"one"), server.recvfrom(9)[0]]
        answers.append(server.sendto(b"two", 0, ("test", 1053)))
        answers.append(sock.recv(9))
        answers.append(server.sendmsg([b"th", b"ree"], [], 0, ("test", 1053)))
        answers.append(sock.recvmsg(9)[:3])
        answers.append(sock.getpeername()[1])
        return answers


def datagrams_of_who_bound_nothing(net: Any) -> Answers:
    with net.host("server").socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as sock:
        server.bind(("", 53))
        sock.connect(("server", 53))
        sock.send(b"one")
        question, asker = server.recvfrom(9)
        server.sendto(b"two", asker)
        return [question, sock.recv(9), sock.getsockname() == asker, asker[0] == net.host("test").address]


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        ways_to_read,
        ways_to_write,
        wait_for_all,
        urgent_bytes,
        non_blocking_connect,
        connect_says,
        after_close,
        before_connect,
        binding,
        duplicates,
        pairs,
        unread_counts,
        waits_before_it_asks,
        ready_with_nothing_to_give,
        no_bytes_are_asked_for,
        connect_once_more,
        the_last_part_before_a_reset,
        to_nowhere,
        of_both_families,
        what_a_closed_one_says_of_other_things,
        datagrams,
        datagrams_of_who_bound_nothing,
    ],
)
def test_each_call_answers_as_the_simulators_does(body: Callable[[Any], Answers]) -> None:
    real, simulated = play_real(body), play(body)
    assert real.body_error is None
    assert real.outcome.returned == simulated.outcome.returned


def test_epoll_is_the_kernels_own_and_ends_with_its_process() -> None:
    with RealNetwork() as net, connected(net) as (opener, acceptor), select.epoll() as epoll:
        epoll.register(acceptor, select.EPOLLIN)
        assert epoll.poll(0) == []
        opener.sendall(b"x")
        assert epoll.poll(1, maxevents=1) == [(acceptor.fileno(), select.EPOLLIN)]
        epoll.modify(acceptor, select.EPOLLOUT)
        assert epoll.poll(1) == [(acceptor.fileno(), select.EPOLLOUT)]
        epoll.unregister(acceptor)
        assert epoll.poll(0.01) == []
        assert not epoll.closed
        assert os.fstat(epoll.fileno())
        epoll.close()
        with pytest.raises(ValueError, match="closed"):
            epoll.poll()


def test_poll_and_select_say_what_they_always_say_of_wrong_arguments() -> None:
    with RealNetwork() as net:
        del net
        with pytest.raises(ValueError, match="non-negative"):
            select.select([], [], [], -1)
        with socket.socket() as sock:
            closed = sock.fileno()
        with pytest.raises(OSError, match="Bad file descriptor"):
            select.select([closed], [], [], 0)
        poller = select.poll()
        with pytest.raises(KeyError):
            poller.unregister(1)
        with socket.socket() as sock:
            poller.register(sock)
            assert poller.poll(0) == [(sock.fileno(), select.POLLOUT | select.POLLHUP)]
            poller.modify(sock, select.POLLIN)
            assert poller.poll(0) == [(sock.fileno(), select.POLLHUP)]
            poller.unregister(sock)
        assert poller.poll(1) == []
