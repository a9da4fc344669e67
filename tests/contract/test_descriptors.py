"""The calls of ``os`` on the number of a socket: to read and write, to double and close it, and to ask what it is."""

from __future__ import annotations

import array
import os
import select
import socket
import stat
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

NO_NUMBER = 1_000_000


def pair(world: World, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    ends = [world.keep(end) for end in socket.socketpair(socket.AF_UNIX, kind)]
    for end in ends:
        end.setblocking(False)
    return ends[0], ends[1]


def test_k133_read_and_write_move_bytes_as_recv_and_send_do(world: World) -> None:
    here, there = world.pair()
    world.gives("EAGAIN", os.read, there.fileno(), 3)
    world.gives(b"", os.read, there.fileno(), 0)
    assert os.write(here.fileno(), bytearray(b"hello")) == 5
    assert os.writev(here.fileno(), [b"a", b"", b"bc"]) == 3
    world.gives(b"hel", os.read, there.fileno(), 3)
    buffers = [bytearray(3), bytearray(9)]
    world.readable(there)
    assert os.readv(there.fileno(), buffers) == 5
    assert buffers == [b"loa", b"bc\0\0\0\0\0\0\0"]
    there.close()
    world.ready(here, "IN|OUT|RDHUP")
    world.gives(b"", os.read, here.fileno(), 3)
    assert os.write(here.fileno(), b"x") == 1
    world.ready(here, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("EPIPE", os.write, here.fileno(), b"x")


def test_k133_a_blocking_descriptor_is_waited_for_whatever_its_socket_says(world: World) -> None:
    here, there = pair(world)
    os.set_blocking(there.fileno(), True)
    assert there.gettimeout() == 0.0
    join = world.beside(lambda: here.send(b"late"))
    assert os.read(there.fileno(), 9) == b"late"
    join()
    os.set_blocking(there.fileno(), False)
    there.settimeout(5)  # which makes the descriptor non-blocking: the time-out is Python's own
    world.gives("EAGAIN", os.read, there.fileno(), 9)
    assert there.gettimeout() == 5


def test_k133_a_datagram_is_read_and_what_does_not_fit_is_lost(world: World) -> None:
    here, there = pair(world, socket.SOCK_DGRAM)
    for data in (b"hello", b"", b"again"):
        assert os.write(here.fileno(), data) == len(data)
    assert os.read(there.fileno(), 2) == b"he"
    assert os.read(there.fileno(), 2) == b""
    assert os.read(there.fileno(), 0) == b""
    assert os.read(there.fileno(), 9) == b"again"


@pytest.mark.parametrize("state", ["fresh", "listening", "udp", "unix"])
def test_k133_the_state_of_a_socket_answers_as_it_does_to_recv_and_send(world: World, state: str) -> None:
    sock = {
        "fresh": world.socket,
        "listening": world.listener,
        "udp": lambda: world.socket(kind=socket.SOCK_DGRAM),
        "unix": lambda: world.socket(socket.AF_UNIX),
    }[state]()
    assert outcome(lambda: os.read(sock.fileno(), 1)) == outcome(lambda: sock.recv(1))
    assert outcome(lambda: os.write(sock.fileno(), b"x")) == outcome(lambda: sock.send(b"x"))


def test_k133_a_dup_names_the_same_socket_until_the_last_is_closed(world: World) -> None:
    here, there = pair(world)
    twin = os.dup(here.fileno())
    assert os.get_inheritable(twin) is False
    assert os.write(twin, b"x") == 1
    here.close()
    assert there.recv(9) == b"x"
    assert world.mask(there) == "OUT"
    os.close(twin)
    assert world.mask(there) == "IN|OUT|RDHUP|HUP"
    for call in (lambda: os.close(twin), lambda: os.dup(twin), lambda: os.read(twin, 1), lambda: os.write(twin, b"x")):
        world.gives("EBADF", call)


def test_k133_dup2_takes_the_place_of_another_which_is_closed(world: World) -> None:
    here, there = pair(world)
    other, far = pair(world)
    assert os.dup2(here.fileno(), other.fileno()) == other.fileno()
    assert os.get_inheritable(other.fileno()) is True
    assert world.mask(far) == "IN|OUT|RDHUP|HUP"
    other.send(b"x")
    assert there.recv(9) == b"x"
    assert os.dup2(here.fileno(), other.fileno(), False) == other.fileno()
    assert os.get_inheritable(other.fileno()) is False
    assert os.dup2(here.fileno(), here.fileno()) == here.fileno()
    world.gives("EBADF", os.dup2, NO_NUMBER, other.fileno())
    free = os.dup(here.fileno())
    os.close(free)
    assert os.dup2(here.fileno(), free + 2) == free + 2
    assert [os.dup(here.fileno()), os.dup(here.fileno()), os.dup(here.fileno())] == [free, free + 1, free + 3]
    for number in range(free, free + 4):
        os.close(number)


def test_k133_a_listener_in_the_place_of_another_accepts_what_it_has(world: World) -> None:
    there, here = world.socket(socket.AF_UNIX), world.socket()
    there.bind(world.abstract("place"))
    there.listen()
    caller = world.socket(socket.AF_UNIX)
    caller.connect(there.getsockname())
    os.dup2(there.fileno(), here.fileno())
    accepted = world.keep(here.accept()[0])
    accepted.send(b"hello")
    assert caller.recv(9) == b"hello"


@pytest.mark.parametrize("kind", ["udp", "unix", "listener"])
def test_k133_a_socket_in_the_place_of_one_of_another_kind_is_called_as_what_it_is(world: World, kind: str) -> None:
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_REUSEADDR): 1})
    other = {
        "udp": lambda: world.socket(kind=socket.SOCK_DGRAM),
        "unix": lambda: pair(world)[0],
        "listener": world.listener,
    }[kind]()
    os.dup2(other.fileno(), client.fileno())
    assert client.getsockname() == other.getsockname()
    assert outcome(lambda: client.recv(1)) == outcome(lambda: other.recv(1))
    assert outcome(lambda: client.send(b"")) == outcome(lambda: other.send(b""))
    other.close()
    client.close()
    world.ready(server, "IN|OUT|RDHUP")


def test_k133_a_socket_whose_number_was_closed_is_a_bad_descriptor(world: World) -> None:
    here, there = pair(world)
    number = here.fileno()
    os.close(number)
    assert here.fileno() == number
    world.gives("EBADF", here.recv, 1)
    world.gives("EBADF", here.getsockname)
    assert world.mask(there) == "IN|OUT|RDHUP|HUP"
    world.gives("EBADF", here.close)
    world.gives(None, here.close)


def test_k133_the_status_of_a_number_is_that_of_a_socket(world: World) -> None:
    here, there = pair(world)
    twin = os.dup(here.fileno())
    for ask in (os.fstat, os.stat):
        told = ask(here.fileno())
        assert told.st_mode == stat.S_IFSOCK | 0o777
        assert (told.st_nlink, told.st_uid, told.st_gid, told.st_size) == (1, os.getuid(), os.getgid(), 0)
        assert (told.st_atime, told.st_mtime, told.st_ctime) == (0, 0, 0)
        assert os.path.samestat(told, ask(twin))
        assert not os.path.samestat(told, ask(there.fileno()))
    os.close(twin)
    world.gives("EBADF", os.fstat, twin)
    with select.epoll() as poll:
        assert os.fstat(poll.fileno()).st_mode == 0o600


def test_k133_a_socket_has_no_positions(world: World) -> None:
    number = pair(world)[0].fileno()
    world.gives("ESPIPE", os.lseek, number, 0, os.SEEK_SET)
    world.gives("ESPIPE", os.pread, number, 1, 0)
    world.gives("ESPIPE", os.pwrite, number, b"x", 0)
    world.gives("EINVAL", os.ftruncate, number, 0)
    world.gives("EINVAL", os.fsync, number)
    world.gives("EINVAL", os.fdatasync, number)
    assert os.isatty(number) is False


def test_k133_an_epoll_is_neither_read_nor_written(world: World) -> None:
    with select.epoll() as poll:
        world.gives("EINVAL", os.read, poll.fileno(), 1)
        world.gives("EINVAL", os.write, poll.fileno(), b"x")
        world.gives("EINVAL", os.readv, poll.fileno(), [bytearray(1)])
        twin = os.dup(poll.fileno())
        os.close(twin)
        assert poll.poll(0) == []


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        (os.read, (-1,), OSError),
        (os.read, ("x",), TypeError),
        (os.read, (), TypeError),
        (os.write, ("x",), TypeError),
        (os.write, (), TypeError),
        (os.readv, (5,), TypeError),
        (os.readv, ([b"x"],), BufferError),
        (os.writev, (["x"],), TypeError),
        (os.dup, (1,), TypeError),
        (os.dup2, (), TypeError),
        (os.dup2, ("x",), TypeError),
        (os.close, (1,), TypeError),
        (os.fstat, (1,), TypeError),
    ],
)
def test_k133_what_is_wrong_with_the_arguments_comes_first(
    world: World, call: Any, arguments: Any, error: type[Exception]
) -> None:
    number = pair(world)[0].fileno()
    with pytest.raises(error) as ours:
        call(number, *arguments)
    with pytest.raises(error) as nobodys:
        call(NO_NUMBER, *arguments)
    assert str(ours.value) == str(nobodys.value)


def test_k133_a_dup_can_travel_and_be_watched(world: World) -> None:
    here, there = pair(world)
    twin = os.dup(here.fileno())
    here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [twin]))])
    os.close(twin)
    _, [(_, _, data)], _, _ = there.recvmsg(9, socket.CMSG_SPACE(4))
    (came,) = array.array("i", data)
    there.send(b"back")
    assert world.mask(came) == "IN|OUT"
    assert os.read(came, 9) == b"back"
    os.close(came)
