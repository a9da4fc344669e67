"""What somebody else sets at a socket while a call waits on it: a call goes by what held when it began (K-116)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.test_closed_meanwhile import SOON, waiting
from tests.contract.worlds import World


def last_for(sock: Any, option: int, milliseconds: int) -> None:
    """Let the kernel itself give up after as long: SO_RCVTIMEO, SO_SNDTIMEO."""
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 1000 * milliseconds))


def drain(sock: Any, size: int) -> int:
    """Read *size* bytes, with pauses in which their sender goes on; how many came."""
    sock.settimeout(5.0)
    got = 0
    while got < size:
        got += len(sock.recv(min(65536, size - got)))
    return got


@pytest.mark.parametrize("call", ["send", "sendall"])
@pytest.mark.parametrize("by", ["setblocking", "settimeout", "os.set_blocking"])
def test_k116_a_blocking_send_goes_on_whatever_the_next_may_do(world: World, call: str, by: str) -> None:
    client, server = world.tight_pair()
    client.settimeout(None)
    payload = bytes(300_000)
    answers, join = waiting(world, lambda: getattr(client, call)(payload))
    if by == "setblocking":
        client.setblocking(False)
    elif by == "settimeout":
        client.settimeout(0.001)
    else:
        os.set_blocking(client.fileno(), False)
    assert drain(server, len(payload)) == len(payload)
    join()
    assert answers[0] == (len(payload) if call == "send" else None)


@pytest.mark.parametrize("kind", ["udp", "unix datagram", "unix listener"])
@pytest.mark.parametrize("by", ["setblocking", "os.set_blocking"])
def test_k116_a_shutdown_wakes_who_waits_whatever_the_next_may_do(world: World, kind: str, by: str) -> None:
    sock = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if kind == "udp":
        sock.connect((world.ip, world.dead_port()))
    elif kind == "unix datagram":
        sock, _ = (world.keep(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    else:
        sock = world.socket(socket.AF_UNIX)
        sock.bind(world.abstract("listener"))
        sock.listen()
    sock.settimeout(None)
    answers, join = waiting(world, sock.accept if kind == "unix listener" else lambda: sock.recv(5))
    if by == "setblocking":
        sock.setblocking(False)
    else:
        os.set_blocking(sock.fileno(), False)
    sock.shutdown(socket.SHUT_RDWR)
    join()
    assert answers[0] == ("EINVAL" if kind == "unix listener" else b"")


@pytest.mark.parametrize(
    ("act", "answer"),
    [("close", "EBADF"), ("shutdown", "EPIPE"), ("shutdown there", "EPIPE"), ("close there", "ECONNREFUSED")],
)
def test_k116_a_send_to_a_name_with_a_timeout_meets_what_changes(world: World, act: str, answer: str) -> None:
    """Poll says that it may send, so that CPython tries without a pause until there is a place."""
    reader, sender = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    reader.bind(world.abstract("crowded"))
    sender.bind(world.abstract("late"))
    while outcome(lambda: sender.sendto(b"x", reader.getsockname())) == 1:
        pass
    name = reader.getsockname()
    sender.settimeout(5.0)
    answers, join = waiting(world, lambda: sender.sendto(b"late", name))
    changed = reader if act.endswith("there") else sender
    if act.startswith("close"):
        changed.close()
    else:
        changed.shutdown(socket.SHUT_RDWR)
    join()
    assert answers[0] == answer
    assert answers[1] < 2.5
    again = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    world.gives(None if act == "close" else "EADDRINUSE", again.bind, world.abstract("late"))


@pytest.mark.parametrize("to", [0.0, None, 0.001])
def test_k116_a_sendall_keeps_its_timeout(world: World, to: float | None) -> None:
    client, server = world.tight_pair()
    client.settimeout(5.0)
    payload = bytes(300_000)
    answers, join = waiting(world, lambda: client.sendall(payload))
    client.settimeout(to)
    assert drain(server, len(payload)) == len(payload)
    join()
    assert answers[0] is None


@pytest.mark.slow
def test_k116_so_sndtimeo_is_for_a_whole_send_however_many_parts_it_has(world: World) -> None:
    client, server = world.tight_pair()
    last_for(client, socket.SO_SNDTIMEO, 300)
    answers, join = waiting(world, lambda: client.send(bytes(300_000)))
    for _ in range(2):
        time.sleep(0.1)
        drain(server, 10_000)
    join()
    assert 10_000 < answers[0] < 300_000
    assert answers[1] > 0.29
    assert world.name == "kernel" or answers[1] < 0.45  # not 300 ms after the last part; real time may be late


@pytest.mark.slow
@pytest.mark.parametrize("call", ["connect", "connect_ex"])
def test_k116_a_connect_that_so_sndtimeo_ends_asks_python_whether_to_wait_on(world: World, call: str) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    name = listener.getsockname()
    for timeout, answer in ((0.0, "EINPROGRESS"), (0.1, "TimeoutError: timed out")):
        client = world.socket()
        last_for(client, socket.SO_SNDTIMEO, 100)
        answers, join = waiting(world, lambda sock=client: getattr(sock, call)(name))  # type: ignore[misc]
        client.settimeout(timeout)
        join()
        assert answers[0] == (answer if call == "connect" else 11 if timeout else 115)
        assert (answers[1] >= 0.19) == bool(timeout)


def test_k116_a_blocking_connect_takes_its_error_whatever_the_next_may_do(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    client = world.socket()
    client.settimeout(None)
    answers, join = waiting(world, lambda: client.connect(listener.getsockname()))
    client.settimeout(5.0)
    listener.close()
    client.shutdown(socket.SHUT_RDWR)
    join()
    assert answers[0] == "ECONNRESET"
    client.setblocking(False)
    assert world.error(client) == "0"
    assert outcome(lambda: client.connect((world.ip, world.dead_port()))) == "EINPROGRESS"


@pytest.mark.parametrize("call", ["recv", "recv_into", "recvmsg", "os.read"])
def test_k116_a_read_of_a_unix_stream_goes_by_the_mark_it_began_with(world: World, call: str) -> None:
    def read() -> Any:
        client, server = map(world.keep, socket.socketpair())
        join_with = {
            "recv": lambda: client.recv(10),
            "recv_into": lambda: client.recv_into(bytearray(10)),
            "recvmsg": lambda: client.recvmsg(10)[0],
            "os.read": lambda: os.read(client.fileno(), 10),
        }[call]
        answers, join = waiting(world, join_with)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
        server.send(b"ab")
        time.sleep(SOON)
        server.send(b"c")
        join()
        return answers[0]

    world.counts(2 if call == "recv_into" else b"ab", read)


def test_k116_a_file_that_went_to_a_socket_closed_meanwhile_is_told_to_have_failed(
    world: World, tmp_path: Path
) -> None:
    client, server = world.full_pair()
    client.settimeout(None)
    path = tmp_path / "file"
    path.write_bytes(bytes(5000))
    with path.open("rb") as file:
        answers, join = waiting(world, lambda: client.sendfile(file))
        client.close()
        server.settimeout(5.0)
        got = b"".join(iter(lambda: server.recv(65536), b""))
        join()
    assert got.endswith(bytes(5000))
    assert answers[0] == "EBADF"  # the call that was to find its end


def test_k116_a_sendfile_has_the_time_that_it_began_with(world: World, tmp_path: Path) -> None:
    client, server = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(3000))
    client.settimeout(None)
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    with path.open("rb") as file:
        answers, join = waiting(world, lambda: client.sendfile(file))
        client.settimeout(0.000_1)
        time.sleep(SOON)
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.recv(3000)
        join()  # what it has sent leaves no room: it is not waited for
    assert answers[0] == 3000


# --- Unix sockets that wait for a place in somebody's queue --------------------------------------------------------


def full_datagrams(world: World) -> tuple[Any, Any]:
    """A blocking Unix datagram socket, and its peer, whose queue is full."""
    peer = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(world.abstract("full"))
    sock = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.connect(peer.getsockname())
    while outcome(lambda: sock.send(b"queued")) != "EAGAIN":
        pass
    sock.settimeout(None)
    return sock, peer


@pytest.mark.parametrize("to", ["the peer", "its name"])
@pytest.mark.parametrize("end", ["shutdown", "close"])
def test_k116_a_datagram_that_waits_for_a_place_goes_though_its_sender_has_ended(
    world: World, to: str, end: str
) -> None:
    sock, peer = full_datagrams(world)
    name = peer.getsockname()
    answers, join = waiting(world, lambda: sock.send(b"late") if to == "the peer" else sock.sendto(b"late", name))
    if end == "close":
        sock.close()
    else:
        sock.shutdown(socket.SHUT_WR)
    time.sleep(SOON)
    assert answers == []
    assert peer.recv(10) == b"queued"
    join()
    assert answers[0] == 4
    while (got := peer.recv(10)) == b"queued":
        pass
    assert got == b"late"


@pytest.mark.slow
@pytest.mark.parametrize("act", ["shutdown", "connect"])
@pytest.mark.parametrize("call", ["send", "sendto", "sendmsg"])
def test_k116_when_so_sndtimeo_is_over_the_peer_is_looked_at_once_more(world: World, act: str, call: str) -> None:
    sock, peer = full_datagrams(world)
    last_for(sock, socket.SO_SNDTIMEO, 100)
    name = peer.getsockname()
    send = {
        "send": lambda: sock.send(b"late"),
        "sendto": lambda: sock.sendto(b"late", name),
        "sendmsg": lambda: sock.sendmsg([b"late"]),
    }[call]
    answers, join = waiting(world, send)
    if act == "shutdown":
        peer.shutdown(socket.SHUT_RD)
    else:
        peer.connect(name)  # to itself: it hears nobody else
    join()
    assert answers[0] == ("EPIPE" if act == "shutdown" else "EPERM")
    assert answers[1] >= 0.09


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k116_a_larger_backlog_is_room_and_a_shutdown_is_not_heard_of(world: World, kind: int) -> None:
    listener = world.socket(socket.AF_UNIX, kind)
    listener.bind(world.abstract("crowded"))
    listener.listen(0)
    name = listener.getsockname()
    for _ in range(2):
        world.socket(socket.AF_UNIX, kind).connect_ex(name)
    first, second = (world.keep(socket.socket(socket.AF_UNIX, kind)) for _ in range(2))
    answers, join = waiting(world, lambda: first.connect(name))
    listener.listen(0)
    listener.listen(1)
    join()
    assert answers[0] is None
    answers, join = waiting(world, lambda: second.connect(name))
    listener.shutdown(socket.SHUT_RDWR)
    time.sleep(SOON)
    assert answers == []
    listener.accept()[0].close()
    join()
    assert answers[0] == "ECONNREFUSED"


@pytest.mark.slow
@pytest.mark.parametrize("call", ["recv", "accept", "send"])
def test_k116_who_has_a_timeout_by_now_does_not_give_up_with_so_rcvtimeo(world: World, call: str) -> None:
    """CPython makes its call again if it has failed by EAGAIN and its object has a time-out, whose end it does not look for."""
    if call == "accept":
        sock, other = world.listener(), world.socket()
        answer, act = socket.socket, lambda: other.connect_ex(sock.getsockname())
    elif call == "send":
        sock, other = world.full_pair()
        answer, act = int, lambda: drain(other, 10_000)
    else:
        sock, other = world.pair()
        answer, act = bytes, lambda: other.send(b"late")
    last_for(sock, socket.SO_SNDTIMEO if call == "send" else socket.SO_RCVTIMEO, 50)
    calls = {
        "recv": lambda: sock.recv(4),
        "accept": lambda: world.keep(sock.accept()[0]),
        "send": lambda: sock.send(b"x"),
    }
    answers, join = waiting(world, calls[call])
    sock.settimeout(0.01)
    time.sleep(0.15)
    assert answers == []
    act()
    join()
    assert isinstance(answers[0], answer)


@pytest.mark.parametrize(("call", "timeout"), [("send", None), ("sendall", None), ("sendall", 5)])
def test_nobody_resizes_what_a_send_that_waits_is_to_send(world: World, call: str, timeout: float | None) -> None:
    client, server = world.tight_pair()
    client.settimeout(timeout)
    payload = bytearray(300_000)
    _, join = waiting(world, lambda: getattr(client, call)(payload))
    with pytest.raises(BufferError, match="object cannot be re-sized"):
        payload.clear()
    drain(server, len(payload))
    join()
    payload.clear()
