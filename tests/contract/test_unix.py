"""AF_UNIX: K-100 to K-106."""

from __future__ import annotations

import os
import pathlib
import select
import socket
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

SO_PEERGROUPS = 59


def listener(world: World, backlog: int = 5, name: str = "l") -> Any:
    sock = world.socket(socket.AF_UNIX)
    sock.bind(world.abstract(name))
    sock.listen(backlog)
    return sock


def pair(world: World, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        end.setblocking(False)
        world.keep(end)
    return ends


def connected(world: World) -> tuple[Any, Any]:
    """(client, accepted)"""
    lst = listener(world)
    client = world.socket(socket.AF_UNIX)
    client.connect(lst.getsockname())
    server, _ = lst.accept()
    server.setblocking(False)
    return client, world.keep(server)


def test_k100_connect_is_done_when_it_returns(world: World) -> None:
    lst = listener(world)
    client = world.socket(socket.AF_UNIX)
    world.gives(None, client.connect, lst.getsockname())
    world.ready(client, "OUT")
    world.gives("EISCONN", client.connect, lst.getsockname())


def test_k100_a_full_backlog_says_try_again(world: World) -> None:
    lst = listener(world, backlog=1)
    for _ in range(2):
        world.gives(None, world.socket(socket.AF_UNIX).connect, lst.getsockname())
    late = world.socket(socket.AF_UNIX)
    assert outcome(lambda: late.connect(lst.getsockname())) == "EAGAIN"
    lst.accept()[0].close()
    world.gives(None, late.connect, lst.getsockname())


def test_k100_failed_connects_leave_the_socket_usable(world: World) -> None:
    sock = world.socket(socket.AF_UNIX)
    world.gives("ECONNREFUSED", sock.connect, world.abstract("nobody"))
    world.gives("ENOENT", sock.connect, world.unix_path("missing"))
    stale = world.unix_path("stale")
    bound = world.socket(socket.AF_UNIX)
    bound.bind(stale)
    world.gives("ECONNREFUSED", sock.connect, stale)
    bound.close()
    world.gives("ECONNREFUSED", sock.connect, stale)
    assert world.error(sock) == "0"
    world.gives(None, sock.connect, listener(world).getsockname())


def test_k100_a_listener_is_no_client(world: World) -> None:
    lst = listener(world)
    world.gives("EINVAL", lst.connect, listener(world, name="other").getsockname())


def test_k100_a_socket_of_another_type_is_the_wrong_peer(world: World) -> None:
    path = world.unix_path("stream")
    lst = world.socket(socket.AF_UNIX)
    lst.bind(path)
    lst.listen()
    datagram = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    world.gives("EPROTOTYPE", datagram.connect, path)
    world.gives("ECONNREFUSED", datagram.connect, listener(world).getsockname())  # an abstract one is not found at all


def test_k101_a_closed_peer_hangs_up_at_once(world: World) -> None:
    one, two = pair(world)
    two.send(b"last")
    two.close()
    world.ready(one, "IN|OUT|RDHUP|HUP")
    world.gives("EPIPE", one.send, b"x")
    world.gives(b"last", one.recv, 10)
    world.gives(b"", one.recv, 10)


def test_k101_a_peer_that_closed_with_unread_data_resets(world: World) -> None:
    one, two = pair(world)
    two.send(b"last")
    one.send(b"unread")
    two.close()
    world.ready(one, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("EPIPE", one.send, b"x")
    world.ready(one, "IN|OUT|RDHUP|ERR|HUP")
    world.gives(b"last", one.recv, 10)
    world.gives("ECONNRESET", one.recv, 10)
    world.gives(b"", one.recv, 10)


def test_k101_who_closed_in_the_backlog_is_handed_out_without_an_error(world: World) -> None:
    lst = listener(world)
    client = world.socket(socket.AF_UNIX)
    client.connect(lst.getsockname())
    client.send(b"last")
    client.close()
    server, _ = lst.accept()
    world.keep(server).setblocking(False)
    world.ready(server, "IN|OUT|RDHUP|HUP")
    world.gives("EPIPE", server.send, b"x")
    world.gives(b"last", server.recv, 10)
    world.gives(b"", server.recv, 10)


def test_k101_shutdown_is_fine_in_every_connected_state(world: World) -> None:
    one, two = pair(world)
    for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        world.gives(None, one.shutdown, how)
        world.gives(None, one.shutdown, how)
    one.close()
    world.gives(None, two.shutdown, socket.SHUT_RDWR)


def test_k101_a_listener_that_closes_resets_the_queued(world: World) -> None:
    lst = listener(world)
    client = world.socket(socket.AF_UNIX)
    client.connect(lst.getsockname())
    lst.close()
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(client) == "ECONNRESET"


def test_k101_getpeername_goes_on_working(world: World) -> None:
    client, server = connected(world)
    name = client.getpeername()
    server.close()
    assert client.getpeername() == name


def test_k101_on_seqpacket_the_error_comes_before_the_records(world: World) -> None:
    one, two = pair(world, socket.SOCK_SEQPACKET)
    two.send(b"record")
    one.send(b"unread")
    two.close()
    world.gives("ECONNRESET", one.recv, 10)
    world.gives(b"record", one.recv, 10)


@pytest.mark.parametrize(
    ("how", "mask"),
    [(socket.SHUT_WR, "IN|OUT|RDHUP"), (socket.SHUT_RD, "OUT"), (socket.SHUT_RDWR, "IN|OUT|RDHUP|HUP")],
)
def test_k102_what_the_peers_shutdown_shows(world: World, how: int, mask: str) -> None:
    one, two = pair(world)
    two.shutdown(how)
    world.ready(one, mask)
    if how != socket.SHUT_WR:
        world.gives("EPIPE", one.send, b"x")


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
def test_k102_nothing_is_sent_to_who_did_not_want_to_read_before_it_connected(world: World, how: int) -> None:
    lst = listener(world)
    client = world.socket(socket.AF_UNIX)
    client.shutdown(how)
    client.connect(lst.getsockname())
    server = world.keep(lst.accept()[0])
    world.ready(server, "OUT")
    world.gives("EPIPE", server.send, b"x")
    world.gives(0, server.send, b"")
    world.gives(1 if how == socket.SHUT_RD else "EPIPE", client.send, b"y")


def test_k102_own_shut_wr_on_a_full_socket_does_not_make_it_writable(world: World) -> None:
    one, _ = pair(world)
    while outcome(lambda: one.send(b"x" * 4096)) != "EAGAIN":
        pass
    one.shutdown(socket.SHUT_WR)
    world.ready(one, "0")


def test_k102_a_fresh_stream(world: World) -> None:
    sock = world.socket(socket.AF_UNIX)
    world.gives("EINVAL", sock.recv, 1)
    world.gives("ENOTCONN", sock.send, b"x")
    world.gives(None, sock.shutdown, socket.SHUT_RD)
    world.gives(None, sock.shutdown, socket.SHUT_RDWR)
    world.ready(sock, "IN|OUT|RDHUP|HUP")


def test_k103_a_full_socket_takes_a_part_then_nothing(world: World) -> None:
    one, two = pair(world)
    total = one.send(b"x" * 1_000_000)
    assert 100_000 < total < 1_000_000
    while (more := outcome(lambda: one.send(b"x" * 1000))) != "EAGAIN":
        total += more
    world.ready(one, "0")
    received = 0
    while received < total:
        received += len(two.recv(65536))
    world.ready(one, "OUT")


def test_k103_only_the_senders_buffer_counts(world: World) -> None:
    one, two = pair(world)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    small = 0
    while (more := outcome(lambda: one.send(b"x" * 100))) != "EAGAIN":
        small += more
    big = 0
    while (more := outcome(lambda: two.send(b"x" * 100))) != "EAGAIN":
        big += more
    assert small < big / 4


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_k103_what_a_record_costs(world: World, kind: int) -> None:
    one, two = pair(world, kind)
    # One buffer holds what fits a head of four pages; then come up to 17 pages beside it, and then the head grows.
    for size, memory in ((1, 768), (16064, 16640), (16065, 20736), (85696, 86272), (85697, 102656), (212960, 332032)):
        one.send(bytes(size))
        assert world.ioctl(one, "SIOCOUTQ") == memory
        assert len(two.recv(size)) == size


def test_k104_names(world: World) -> None:
    client, server = connected(world)
    name = world.abstract("l").encode()
    assert client.getsockname() == ""
    assert client.getpeername() == name
    assert server.getsockname() == name
    assert server.getpeername() == ""
    client.send(b"x")
    assert server.recvfrom(10)[1] is None


def test_k104_an_abstract_name_is_free_at_close(world: World) -> None:
    lst = listener(world)
    name = lst.getsockname()
    world.gives("EADDRINUSE", world.socket(socket.AF_UNIX).bind, name)
    lst.close()
    again = world.socket(socket.AF_UNIX)
    world.gives(None, again.bind, name)
    world.gives("EINVAL", again.bind, name)


def test_k104_an_empty_name_gets_one_of_five_hex_digits(world: World) -> None:
    sock = world.socket(socket.AF_UNIX)
    sock.bind("")
    name = sock.getsockname()
    assert len(name) == 6
    assert name[:1] == b"\0"
    int(name[1:], 16)


def test_k104_a_path_stays_until_it_is_unlinked(world: World) -> None:
    path = world.unix_path("stays")
    lst = world.socket(socket.AF_UNIX)
    lst.bind(path)
    lst.listen()
    assert lst.getsockname() == path
    client = world.socket(socket.AF_UNIX)
    world.gives(None, client.connect, path)
    lst.close()
    world.gives("EADDRINUSE", world.socket(socket.AF_UNIX).bind, path)


@pytest.mark.parametrize(
    "remove",  # by lambdas: what a list holds, no stand-in takes the place of
    [lambda path: os.unlink(path), lambda path: os.remove(path), lambda path: pathlib.Path(path).unlink()],
)
def test_k104_unlink_makes_a_path_free(world: World, remove: Any) -> None:
    path = world.unix_path("unlinked")
    assert not os.path.exists(path)
    first, second, client = (world.socket(socket.AF_UNIX) for _ in range(3))
    first.bind(path)
    assert os.path.exists(path)
    remove(path)
    assert not os.path.exists(path)
    world.gives("ENOENT", remove, path)
    world.gives("ENOENT", client.connect, path)
    world.gives(None, second.bind, path)
    first.listen()  # it keeps its name, which leads to the second now
    second.listen()
    client.connect(path)
    world.ready(first, "0")
    world.ready(second, "IN")
    first.close()
    assert os.path.exists(path)


def test_k104_each_type_has_its_own_abstract_names(world: World) -> None:
    name = world.abstract("shared")
    stream, datagrams = world.socket(socket.AF_UNIX), world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    world.gives(None, stream.bind, name)
    world.gives(None, datagrams.bind, name)
    stream.listen()
    sender = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.sendto(b"x", name)
    world.ready(datagrams, "IN|OUT")
    world.ready(stream, "0")
    stream.close()
    assert sender.sendto(b"x", name) == 1


def test_k104_a_name_of_the_kernels_choice_is_nobody_elses(world: World) -> None:
    """Neither at the same time, among sockets of another type, nor of who is bound later."""
    stream, datagrams, sender = (world.socket(socket.AF_UNIX, kind) for kind in (1, 2, 2))
    stream.bind("")
    datagrams.bind("")
    world.gives("ECONNREFUSED", sender.sendto, b"x", stream.getsockname())
    gone = datagrams.getsockname()
    datagrams.close()
    world.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("")
    world.gives("ECONNREFUSED", sender.sendto, b"x", gone)


def test_k104_a_path_too_long_has_no_errno(world: World) -> None:
    sock = world.socket(socket.AF_UNIX)
    with pytest.raises(OSError, match="AF_UNIX path too long") as caught:
        sock.bind("/tmp/" + "x" * 110)
    assert caught.value.errno is None


def test_k104_listen_needs_a_name(world: World) -> None:
    world.gives("EINVAL", world.socket(socket.AF_UNIX).listen, 1)


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_k105_records_and_datagrams_keep_their_bounds(world: World, kind: int) -> None:
    one, two = pair(world, kind)
    for payload in (b"first", b"second", b"", b"last"):
        one.send(payload)
    world.gives(b"fi", two.recv, 2)
    world.gives(b"second", two.recv, 100)
    world.gives(b"", two.recv, 100)
    world.gives(b"last", two.recv, 100)


def test_k105_a_connected_datagram_socket_hears_its_peer_only(world: World) -> None:
    one, two, three = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))
    one.bind(world.abstract("one"))
    two.bind(world.abstract("two"))
    one.connect(two.getsockname())
    world.gives("EPERM", three.sendto, b"x", one.getsockname())
    world.gives("EPERM", three.connect, one.getsockname())
    world.gives(1, two.sendto, b"x", one.getsockname())


def test_k105_a_datagram_peer_that_is_gone_shows_at_the_next_send(world: World) -> None:
    one, two = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM), world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.bind(world.abstract("one"))
    two.bind(world.abstract("two"))
    one.connect(two.getsockname())
    two.sendto(b"lost", one.getsockname())
    two.close()
    world.ready(one, "IN|OUT")
    world.gives("ECONNREFUSED", one.send, b"x")
    world.ready(one, "OUT")
    world.gives("ENOTCONN", one.send, b"x")


def test_k105_a_datagram_queue_is_short(world: World) -> None:
    one, two = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM), world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    two.bind(world.abstract("two"))
    one.connect(two.getsockname())
    for _ in range(11):
        assert one.send(b"x") == 1
    assert outcome(lambda: one.send(b"x")) == "EAGAIN"
    world.ready(one, "0")
    two.recv(1)
    world.ready(one, "OUT")


def test_k105_to_be_connected_anew_is_an_edge(world: World) -> None:
    one, _ = pair(world, socket.SOCK_DGRAM)
    other = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(world.abstract("other"))
    fresh = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with select.epoll() as poller:
        for sock in (one, fresh):
            poller.register(sock, select.EPOLLOUT | select.EPOLLET)
        assert len(poller.poll(0)) == 2
        for _ in range(2):
            one.connect(other.getsockname())
            assert poller.poll(0) == [(one.fileno(), select.EPOLLOUT)]
        fresh.connect(other.getsockname())  # it was to nobody
        assert poller.poll(0) == []


def test_k106_the_peers_credentials(world: World) -> None:
    one, _ = pair(world)
    pid, uid, gid = struct.unpack("3i", one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert (pid, uid, gid) == (os.getpid(), os.getuid(), os.getgid())
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED) == pid
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3) == struct.pack("i", pid)[:3]


def test_k106_the_peers_groups(world: World) -> None:
    one, _ = pair(world)
    groups = os.getgroups()
    packed = struct.pack(f"{len(groups)}I", *groups)
    assert one.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1000) == packed
    if groups:
        world.gives("ERANGE", one.getsockopt, socket.SOL_SOCKET, SO_PEERGROUPS, len(packed) - 1)
    fresh = world.socket(socket.AF_UNIX)
    world.gives("ENODATA", fresh.getsockopt, socket.SOL_SOCKET, SO_PEERGROUPS, 1000)


def test_k106_who_asks_for_credentials_gets_a_name(world: World) -> None:
    target = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    target.bind(world.abstract("target"))
    lst = listener(world)
    for kind, call in (
        (socket.SOCK_DGRAM, lambda sock: sock.connect(target.getsockname())),
        (socket.SOCK_DGRAM, lambda sock: sock.sendto(b"x", target.getsockname())),
        (socket.SOCK_STREAM, lambda sock: sock.connect(lst.getsockname())),
    ):
        sock = world.socket(socket.AF_UNIX, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        assert sock.getsockname() == ""
        call(sock)
        assert len(sock.getsockname()) == 6
        world.gives("EINVAL", sock.bind, world.abstract("late"))


def test_k104_the_folder_of_a_path_must_be_there(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        sock = world.socket(socket.AF_UNIX, kind)
        for name, bind, connect in (
            ("missing/x", "ENOENT", "ENOENT"),
            ("file/x", "ENOTDIR", "ENOTDIR"),
            ("file", "EADDRINUSE", "ECONNREFUSED"),
            ("folder", "EADDRINUSE", "ECONNREFUSED"),
            ("x", None, "ENOENT"),
        ):
            world.gives(connect, sock.connect, str(tmp_path / name))
            world.gives(bind, sock.bind, str(tmp_path / name))
        world.gives("ENOENT", sock.bind, str(tmp_path / "missing/x"))
        world.gives("EINVAL", sock.bind, str(tmp_path / "y"))
        os.unlink(tmp_path / "x")


def test_k104_a_file_has_many_paths(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    path = str(tmp_path / "x")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        bound = world.socket(socket.AF_UNIX, kind)
        bound.bind(path)
        for other, found in (
            (f"{tmp_path}/./x", True),
            (f"{tmp_path}/folder/../x", True),
            (f"/{tmp_path}//x", True),
            ("../x", True),
            (f"{tmp_path}/missing/../x", False),
            (f"{path}/", False),
            (f"{path}/y", False),
            (f"{path}/.", False),
        ):
            sock = world.socket(socket.AF_UNIX, kind)
            missing = "ENOENT" if "missing" in other else "ENOTDIR"
            there = "ECONNREFUSED" if kind == socket.SOCK_STREAM else None
            world.gives(there if found else missing, sock.connect, other)
            world.gives("EADDRINUSE" if found or other == f"{path}/" else missing, sock.bind, other)
            assert os.path.exists(other) == found
        world.gives("ENOENT", world.socket(socket.AF_UNIX, kind).bind, f"{tmp_path}/free/")
        bound.close()
        os.unlink("../x")


def test_k106_an_accepted_socket_has_no_options_but_for_what_comes_beside_data(world: World) -> None:
    listener = world.socket(socket.AF_UNIX)
    options = (socket.SO_PASSCRED, socket.SO_KEEPALIVE, socket.SO_SNDBUF, socket.SO_PRIORITY)
    for option in options:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    listener.bind("")
    listener.listen()
    client = world.socket(socket.AF_UNIX)
    client.connect(listener.getsockname())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)  # it was asked when the connection was made
    server = world.keep(listener.accept()[0])
    assert [server.getsockopt(socket.SOL_SOCKET, option) for option in options] == [1, 0, 212992, 0]


def test_k106_a_datagram_socket_learns_no_credentials_by_connect(world: World) -> None:
    target, sock = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    target.bind(world.abstract("target"))
    sock.connect(target.getsockname())
    assert struct.unpack("iii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)) == (0, -1, -1)


def test_k106_bytes_before_descriptors_are_read_with_them_and_later_ones_are_not(world: World) -> None:
    left, right = pair(world)
    left.send(b"before ")
    socket.send_fds(left, [b"with"], [right.fileno()])
    left.send(b" after")
    data, numbers, _, _ = socket.recv_fds(right, 100, 1)
    assert data == b"before with"
    world.keep(socket.socket(fileno=numbers[0]))
    assert right.recv(100) == b" after"


def test_k106_what_else_may_be_sent_beside_data(world: World) -> None:
    left, right = pair(world)
    for item, answer in (
        ((socket.IPPROTO_IP, 1, b"abc"), 1),  # for another protocol
        ((socket.SOL_SOCKET, 9, b"abc"), "EINVAL"),
        ((socket.SOL_SOCKET, socket.SCM_CREDENTIALS, b"abc"), "EINVAL"),
        ((socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iii", 0, -1, 0)), "EINVAL"),
        ((socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iii", 0, 0, -1)), "EINVAL"),
        ((socket.SOL_SOCKET, socket.SCM_RIGHTS, b"abc"), 1),  # no whole number
        ((socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", -1)), "EBADF"),
    ):
        world.gives(answer, left.sendmsg, [b"x"], [item])
    assert right.recvmsg(10, 100) == (b"xx", [], 0, None)


def test_unix_sockets_have_no_error_queue_to_read(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        left, right = pair(world, kind)
        left.send(b"data")
        world.gives(b"data", right.recv, 10, 0x2000)  # MSG_ERRQUEUE


def test_a_datagram_to_no_name_is_refused_before_anything_else(world: World) -> None:
    left, _ = pair(world, socket.SOCK_DGRAM)
    left.shutdown(socket.SHUT_WR)
    world.gives("EINVAL", left.sendto, b"x", "")


def test_k106_descriptors_travel(world: World) -> None:
    one, two = pair(world)
    client, server = world.pair()
    assert socket.send_fds(one, [b"x"], [client.fileno()]) == 1
    client.close()
    world.pause()
    world.ready(server, "OUT")  # it lives on its way
    data, fds, flags, _ = socket.recv_fds(two, 10, 1)
    assert (data, len(fds), flags & socket.MSG_CTRUNC) == (b"x", 1, 0)
    arrived = world.keep(socket.socket(fileno=fds[0]))
    assert arrived.get_inheritable()
    server.send(b"through")
    world.readable(arrived)
    assert arrived.recv(10) == b"through"


def test_k106_descriptors_travel_to_be_closed_by_exec_if_that_is_asked(world: World) -> None:
    one, two = pair(world)
    socket.send_fds(one, [b"x"], [one.fileno()])
    _, [(_, _, number)], flags, _ = two.recvmsg(10, 100, socket.MSG_CMSG_CLOEXEC)
    assert flags == socket.MSG_CMSG_CLOEXEC
    arrived = world.keep(socket.socket(fileno=struct.unpack("i", number)[0]))
    assert not arrived.get_inheritable()


def test_k106_what_nobody_takes_is_closed(world: World) -> None:
    one, two = pair(world)
    client, server = world.pair()
    socket.send_fds(one, [b"x"], [client.fileno()])
    client.close()
    world.gives(b"x", two.recv, 10)  # without room for descriptors
    world.ready(server, "IN|OUT|RDHUP")
    world.gives("EBADF", socket.send_fds, one, [b"x"], [server.fileno() + 900])


def test_k106_pairs_are_of_unix_sockets(world: World) -> None:
    world.gives("ENOTSUP", socket.socketpair, socket.AF_INET)


def test_k106_a_listener_that_is_shut_down_refuses(world: World) -> None:
    lst = listener(world)
    lst.shutdown(socket.SHUT_RDWR)
    world.ready(lst, "IN|RDHUP|HUP")
    assert outcome(lst.accept) == "EAGAIN"
    world.gives("ECONNREFUSED", world.socket(socket.AF_UNIX).connect, lst.getsockname())


def test_a_socketpair_talks_both_ways(world: World) -> None:
    one, two = pair(world)
    one.send(b"a")
    two.send(b"b")
    world.gives(b"a", two.recv, 10)
    world.gives(b"b", one.recv, 10)
    world.gives("EAGAIN", one.recv, 10)


def test_the_file_of_a_socket_is_seen_changed_and_taken_away(world: World) -> None:
    path = world.unix_path("seen")
    listener = world.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    for look in (os.stat, os.lstat):
        status = look(path)
        assert (stat.S_ISSOCK(status.st_mode), status.st_size, status.st_nlink) == (True, 0, 1)
    os.chmod(path, 0o600)
    assert stat.filemode(os.stat(path, follow_symlinks=False).st_mode) == "srw-------"
    assert (pathlib.Path(path).is_socket(), os.path.exists(path), os.path.isfile(path)) == (True, True, False)
    listener.close()
    number = os.stat(path).st_ino  # a stale one stays until somebody takes it away, as asyncio does
    os.unlink(path)
    other = world.socket(socket.AF_UNIX)
    other.bind(world.unix_path("other"))  # a real file system may give it the number that has become free
    successor = world.socket(socket.AF_UNIX)
    successor.bind(path)
    assert os.stat(path).st_ino != number
    successor.close()
    pathlib.Path(path).unlink()
    with pytest.raises(FileNotFoundError):
        os.stat(path)
    assert not pathlib.Path(path).exists()


def test_k104_a_path_may_lead_through_links(world: World, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for link, target in (("folder", "real"), ("file", "real/s"), ("whole", tmp_path / "real/s"), ("loop", "loop")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "nowhere").symlink_to("nobody")
    listener = world.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "folder/s"))
    listener.listen(10)
    assert listener.getsockname() == str(tmp_path / "folder/s")
    for path in ("real/s", "folder/s", "file", "whole", "folder/../real/s"):
        client = world.socket(socket.AF_UNIX)
        client.connect(str(tmp_path / path))
        assert client.getpeername() == str(tmp_path / "folder/s")
    for path, code in (("loop", "ELOOP"), ("nowhere", "ENOENT")):
        world.gives(code, world.socket(socket.AF_UNIX).connect, str(tmp_path / path))
    for path in ("real/s", "folder/s", "file", "nowhere", "loop"):  # bind goes through none at the end
        world.gives("EADDRINUSE", world.socket(socket.AF_UNIX).bind, str(tmp_path / path))
    os.unlink(tmp_path / "folder/s")
    world.gives("ENOENT", world.socket(socket.AF_UNIX).connect, str(tmp_path / "real/s"))


def test_k104_the_file_of_a_socket_is_looked_at_through_links(world: World, tmp_path: Path) -> None:
    path, link = tmp_path / "s", tmp_path / "link"
    link.symlink_to("s")
    assert not link.exists()
    sock = world.socket(socket.AF_UNIX)
    sock.bind(str(path))
    assert link.exists()
    assert stat.S_ISSOCK(os.stat(link).st_mode)
    assert os.stat(link).st_ino == os.stat(path).st_ino
    for look in (lambda: os.lstat(link), lambda: os.stat(link, follow_symlinks=False)):
        assert stat.S_ISLNK(look().st_mode)
    os.chmod(link, 0o600)
    assert stat.filemode(os.stat(path).st_mode) == "srw-------"
    os.unlink(link)
    assert path.exists()
    assert not link.is_symlink()
    os.unlink(path)


def test_k104_a_renamed_file_is_the_same_socket(world: World, tmp_path: Path) -> None:
    old, new, other = (str(tmp_path / name) for name in ("old", "new", "other"))
    listener, successor = world.socket(socket.AF_UNIX), world.socket(socket.AF_UNIX)
    listener.bind(old)
    listener.listen()
    number = os.stat(old).st_ino
    os.rename(old, new)
    assert (os.path.exists(old), os.stat(new).st_ino, listener.getsockname()) == (False, number, old)
    world.gives("ENOENT", world.socket(socket.AF_UNIX).connect, old)
    client = world.socket(socket.AF_UNIX)
    client.connect(new)
    assert client.getpeername() == old
    successor.bind(old)
    successor.listen()
    os.replace(old, new)  # as a server does that is started anew
    later = world.socket(socket.AF_UNIX)
    later.connect(new)
    for each in (listener, successor):
        each.accept()[0].close()
    listener.close()
    world.socket(socket.AF_UNIX).connect(new)
    pathlib.Path(other).touch()
    os.rename(new, other)  # a file in its way is gone
    assert stat.S_ISSOCK(os.stat(other).st_mode)
    pathlib.Path(new).touch()
    os.rename(new, other)  # and a socket in a file's
    assert stat.S_ISREG(os.stat(other).st_mode)
    successor.close()
    world.gives("ECONNREFUSED", world.socket(socket.AF_UNIX).connect, other)


def test_k104_what_a_file_of_a_socket_cannot_be_renamed_to(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    sock = world.socket(socket.AF_UNIX)
    sock.bind(path)
    (tmp_path / "folder").mkdir()
    world.gives("EISDIR", os.rename, path, str(tmp_path / "folder"))
    world.gives("ENOENT", os.rename, path, str(tmp_path / "nowhere/s"))
    world.gives("ENOTDIR", os.rename, str(tmp_path / "folder"), path)
    world.gives("ENOENT", os.rename, str(tmp_path / "nobody"), path)
    world.gives(None, os.rename, path, path)
    world.gives(None, os.rename, path, str(tmp_path / "folder/s"))
    with pytest.raises(FileNotFoundError) as raised:
        os.rename(path, path + "x")
    assert (raised.value.filename, raised.value.filename2) == (path, path + "x")
    os.unlink(tmp_path / "folder/s")


@pytest.mark.parametrize("whom", ["itself", "another"])
def test_k105_a_closed_datagram_socket_has_no_peer_any_more(world: World, whom: str) -> None:
    here, there, third = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))
    here.bind(world.abstract("here"))
    third.bind(world.abstract("third"))
    there.connect(here.getsockname())
    here.connect((here if whom == "itself" else third).getsockname())
    world.gives("EPERM", there.send, b"x")
    here.close()
    world.gives("ECONNREFUSED", there.send, b"x")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_k103_just_a_quarter_of_the_send_buffer_is_too_much(world: World, kind: int) -> None:
    here, there = pair(world, kind)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)  # which is doubled: four times three times 768
    for _ in range(3):
        world.ready(here, "OUT")
        assert here.send(b"x") == 1
    world.ready(here, "0")
    here.settimeout(0.01)
    with pytest.raises(TimeoutError):
        here.send(b"x")
    here.setblocking(False)
    assert here.send(b"x") == 1  # who asks for no room first is served
    assert there.recv(1) == b"x"
    world.ready(here, "0")
    assert there.recv(1) == b"x"
    world.ready(here, "OUT")


def test_k111_who_found_no_place_is_told_once_of_the_next_read_or_look(world: World) -> None:
    server, writer, waiting = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))
    for each in (server, waiting):
        each.bind(world.abstract("server" if each is server else "waiting"))
    assert writer.sendto(b"x", waiting.getsockname()) == 1  # so that each edge shows
    waiting.connect(server.getsockname())
    for _ in range(11):
        writer.sendto(b"x", server.getsockname())
    with select.epoll() as poller:
        poller.register(waiting, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

        def told() -> list[int]:
            return [mask for _, mask in poller.poll(0)]

        assert [told(), told()] == [[select.EPOLLIN], []]
        server.recv(1, socket.MSG_PEEK)
        assert told() == [select.EPOLLIN]
        server.recv(1)
        assert told() == [select.EPOLLIN | select.EPOLLOUT]
        server.recv(1)
        assert told() == []
        for _ in range(2):
            writer.sendto(b"x", server.getsockname())
        world.gives("EAGAIN", waiting.send, b"x")
        assert [told(), told()] == [[select.EPOLLIN], []]  # of the buffer that was made in vain
        waiting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        assert told() == [select.EPOLLIN]
        server.close()
        assert told() == [select.EPOLLIN | select.EPOLLOUT]
