"""The calls of ``os`` on the number of a socket: to read and write, to double and close it, and to ask what it is."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import resource
import select
import socket
import stat
import struct
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet.conform.words import outcome
from tests.contract.worlds import World

NO_NUMBER = 1_000_000
FIOASYNC, FIOQSIZE = 0x5452, 0x5460
SIOCATMARK, SIOCGSTAMP, SIOCGSTAMPNS = 0x8905, 0x8906, 0x8907
SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFNETMASK = 0x8910, 0x8913, 0x8915, 0x891B  # linux/sockios.h
SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFCONF = 0x8921, 0x8927, 0x8933, 0x8912


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


def test_k133_a_number_of_a_class_of_its_own_is_a_number(world: World) -> None:
    class Number(int):
        pass

    here, there = pair(world)
    number = Number(here.fileno())
    assert os.write(number, b"x") == 1
    there.send(b"abc")
    assert os.read(number, 1) == b"a"
    assert os.readv(number, [bytearray(5)]) == 2
    assert os.path.samestat(os.stat(number), os.fstat(here.fileno()))
    assert os.get_blocking(number) is False
    twin = Number(os.dup(number))
    assert os.dup2(number, twin) == twin
    os.close(twin)
    with select.epoll() as poll:
        poll.register(number, select.EPOLLOUT)
        assert poll.poll(0) == [(number, select.EPOLLOUT)]
    assert world.mask(there) == "IN|OUT"


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
        if world.name == "simnet":  # Linux sets no time: it is that of whoever had the inode before, and mostly 0
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


def test_k133_preadv_from_where_a_socket_is_reads_as_readv_does(world: World) -> None:
    here, there = pair(world)
    number = here.fileno()
    assert (os.preadv(number, [], -1), os.pwritev(number, [], -1)) == (0, 0)
    assert os.pwritev(number, [b"ab", b"c"], -1) == 3
    world.readable(there)
    assert (os.preadv(there.fileno(), [buffer := bytearray(2)], -1, 0), buffer) == (2, b"ab")
    world.gives("EINVAL", os.preadv, number, [bytearray(1)] * 1025, -1)
    world.gives("EINVAL", os.preadv, number, [bytearray(1)], -2)
    world.gives("EINVAL", os.pread, number, 1, -1)
    with select.epoll() as poll:
        world.gives("EINVAL", os.preadv, poll.fileno(), [], -1)
        world.gives("EINVAL", os.pwritev, poll.fileno(), [b"x"], -1)


@pytest.mark.parametrize("blocking", [True, False])
def test_k133_preadv_from_where_a_socket_is_takes_flags(world: World, blocking: bool) -> None:
    here, there = pair(world)
    here.setblocking(blocking)
    number = here.fileno()
    world.gives("EAGAIN", os.preadv, number, [bytearray(1)], -1, os.RWF_NOWAIT)
    there.send(b"abcd")
    world.readable(here)
    for flag in (0, os.RWF_HIPRI, os.RWF_NOWAIT, os.RWF_SYNC | os.RWF_DSYNC, 0x10, 0x20):  # RWF_APPEND and RWF_NOAPPEND
        assert os.pwritev(number, [b"x"], -1, flag) == 1
    for flag, answer in ((0x30, "EINVAL"), (0x40, "ENOTSUP"), (0x80, "ENOTSUP"), (1 << 20, "ENOTSUP"), (0x10, 2)):
        world.gives(answer, os.preadv, number, [bytearray(2)], -1, flag)
    world.gives("ESPIPE", os.preadv, number, [bytearray(2)], 0, 0x40)
    with select.epoll() as poll:
        world.gives("EINVAL", os.preadv, poll.fileno(), [bytearray(2)], -1, 0x40)


def test_k133_limits_are_told_of_a_socket_as_of_a_file_with_a_name(world: World) -> None:
    """It is glibc that answers; of some it looks at the file first."""
    sock = world.socket()
    told = (127, 255, 255, 255, 4096, 4096, 1, 1, 0, -1, -1, -1, -1, 32, -1, -1, 4096, 4096, 4096, -1)
    with select.epoll() as poll:
        for name, number in os.pathconf_names.items():
            known = {os.fpathconf(each, name) for each in (sock, poll)} | {os.pathconf(sock.fileno(), number)}
            assert known == {told[number]}, name
    world.gives("EINVAL", os.fpathconf, sock, 999)
    number = sock.detach()
    os.close(number)
    for each, answer in enumerate(told):
        world.gives("EBADF" if each in (0, 3, 6, 10, 13, 16, 17, 18) else answer, os.fpathconf, number, each)


def test_k133_a_file_of_a_socket_has_an_inode_that_stays(world: World) -> None:
    low, sock, other = (world.socket() for _ in range(3))
    inode = os.fstat(sock.fileno()).st_ino
    os.dup2(sock.fileno(), low.fileno())
    assert {os.fstat(each.fileno()).st_ino for each in (low, sock)} == {inode}
    assert os.fstat(other.fileno()).st_ino != inode
    assert os.fstat(sock.fileno()).st_rdev == 0


def test_k133_a_socket_is_no_terminal_and_no_folder(world: World) -> None:
    here, there = pair(world)
    number = here.fileno()
    world.gives("ESPIPE", os.preadv, number, [bytearray(1)], 0)
    world.gives("ESPIPE", os.pwritev, number, [b"x"], 0)
    world.gives("ENODEV", os.posix_fallocate, number, 0, 1)
    world.gives(None, os.posix_fadvise, number, 0, 1, os.POSIX_FADV_NORMAL)
    world.gives(None, os.lockf, number, os.F_ULOCK, 0)
    world.gives("ENOTDIR", os.fchdir, number)
    with select.epoll() as poll:
        assert os.lseek(poll.fileno(), 5, os.SEEK_SET) == 0
        for thing, answer in ((here, "ENOTTY"), (poll, "EINVAL")):
            code = getattr(errno, answer)
            number = thing.fileno()
            world.gives(answer, os.ttyname, number)
            world.gives(answer, os.tcgetpgrp, number)
            world.gives(answer, os.tcsetpgrp, number, 1)
            world.gives(answer, os.get_terminal_size, number)
            for call, arguments in (
                (termios.tcgetattr, ()),
                (termios.tcdrain, ()),
                (termios.tcflush, (termios.TCIFLUSH,)),
                (termios.tcflow, (termios.TCOON,)),
                (termios.tcsendbreak, (0,)),
                (tty.setraw, ()),
            ):
                for told in (thing, number):
                    with pytest.raises(termios.error) as caught:
                        call(told, *arguments)  # type: ignore[operator]
                    assert caught.value.args == (code, os.strerror(code))
            assert os.isatty(number) is False
    there.close()
    here.close()
    for call, arguments in ((os.ttyname, ()), (os.preadv, ([bytearray(1)], 0)), (os.fchdir, ())):
        world.gives("EBADF", call, number, *arguments)
    with pytest.raises(termios.error, match="Bad file descriptor"):
        termios.tcgetattr(number)


def test_k133_an_epoll_has_no_requests_of_sockets(world: World) -> None:
    with select.epoll() as poll:
        for request in (termios.TCGETS, termios.FIONREAD, termios.TIOCOUTQ, SIOCATMARK, 0x8903, 0x12345):
            world.gives("EINVAL", fcntl.ioctl, poll, request, bytes(8))
        world.gives("ENOTTY", fcntl.ioctl, poll, termios.FIOASYNC, struct.pack("=i", 1))
        world.gives("ENOTTY", fcntl.ioctl, poll, FIOQSIZE, bytes(8))
        assert fcntl.ioctl(poll, termios.FIOASYNC, bytes(4)) == bytes(4)
        assert fcntl.fcntl(poll, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK) == 0  # which nobody hears of
        assert fcntl.fcntl(poll, fcntl.F_SETOWN, os.getpid()) == 0
        assert fcntl.fcntl(poll, fcntl.F_GETFL) == os.O_RDWR | os.O_NONBLOCK
    for sock, answer in (
        (world.socket(), "ENOENT"),
        (world.socket(socket.AF_INET6), "ENOENT"),
        (world.socket(socket.AF_INET, socket.SOCK_DGRAM), "ENOENT"),
        (world.socket(socket.AF_UNIX), "ENOTTY"),
        (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM), "ENOTTY"),
        (world.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), "ENOTTY"),
    ):
        for request in (SIOCGSTAMP, SIOCGSTAMPNS):
            world.gives(answer, fcntl.ioctl, sock, request, bytes(16))


@pytest.mark.parametrize(("request_", "units"), [(SIOCGSTAMP, 10**6), (SIOCGSTAMPNS, 10**9)])
def test_k133_when_a_datagram_came_is_told_of_what_was_read(world: World, request_: int, units: int) -> None:
    sock, noting = (world.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    noting.setsockopt(socket.SOL_SOCKET, 29, 1)  # SO_TIMESTAMP
    for each in (sock, noting):
        each.bind(("127.0.0.1", 0))
        each.sendto(b"x", each.getsockname())
        world.readable(each)
        world.gives("ENOENT", fcntl.ioctl, each, request_, bytes(16))
        assert each.recv(9, socket.MSG_PEEK) == b"x"
    seconds, rest = struct.unpack("=qq", fcntl.ioctl(sock, request_, bytes(16)))
    assert abs(seconds - time.time()) < 60
    assert 0 <= rest < units
    world.gives("EFAULT", fcntl.ioctl, sock, request_, 0)
    world.gives("ENOENT", fcntl.ioctl, noting, request_, bytes(16))  # its time went with it


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
    call = getattr(os, call.__name__)  # as it is now: what stands in the table is the real one
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


def test_k133_the_status_flags_are_kept_and_all_dups_have_them(world: World) -> None:
    number = pair(world)[0].fileno()
    twin = os.dup(number)
    for flag, told in (
        (os.O_APPEND, os.O_APPEND),
        (os.O_ASYNC, os.O_ASYNC),
        (os.O_NONBLOCK | os.O_SYNC, os.O_NONBLOCK),
    ):
        assert fcntl.fcntl(number, fcntl.F_SETFL, flag) == 0
        assert fcntl.fcntl(twin, fcntl.F_GETFL) == os.O_RDWR | told
    for flag in (os.O_DIRECT, -1):
        world.gives("EINVAL", fcntl.fcntl, number, fcntl.F_SETFL, flag)
    assert fcntl.fcntl(twin, fcntl.F_GETFL) == os.O_RDWR | os.O_NONBLOCK
    for value, told in ((1, os.O_ASYNC), (0, 0)):
        assert fcntl.ioctl(number, FIOASYNC, struct.pack("i", value)) == struct.pack("i", value)
        assert fcntl.fcntl(twin, fcntl.F_GETFL) == os.O_RDWR | os.O_NONBLOCK | told
    os.close(twin)


@pytest.mark.parametrize("kind", ["stream", "datagram", "unix"])
def test_k133_requests_of_sockets_that_mean_nothing_or_take_a_privilege(world: World, kind: str) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    sock = world.socket(family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    for request in (0x8900, 0x8908, 0x890F, 0x8911, 0x8926, 0x893F, 0x8950, 0x8960, 0x897F, 0x8990 - 1, 0x89EF):
        world.gives("ENOTTY", fcntl.ioctl, sock, request, b"lo".ljust(40, b"\0"))
        world.gives("EFAULT", fcntl.ioctl, sock, request, 0)
    for request in (0x8922, 0x8924, 0x8931, 0x8937, 0x8943, 0x8948, 0x8971):  # SIOCSIFMTU, SIOCSIFHWADDR ...
        world.gives("EFAULT", fcntl.ioctl, sock, request, 0)
    world.gives("EPERM", fcntl.ioctl, sock, 0x8948, b"nothing".ljust(40, b"\0"))  # SIOCGMIIREG, to read a register
    world.gives("EFAULT", fcntl.ioctl, sock, 0x8933, 0)  # SIOCGIFINDEX
    for request in (0x8905, 0x894B) if kind == "datagram" else (0x894B,):  # SIOCATMARK, SIOCOUTQNSD
        world.gives("EFAULT", fcntl.ioctl, sock, request, 0)
        if kind != "stream":
            world.gives("ENOTTY", fcntl.ioctl, sock, request, bytes(4))


def test_k133_questions_about_a_number_by_fcntl(world: World) -> None:
    sock, other = world.socket(), world.socket()
    twin = world.keep(sock.dup())
    same = 1027  # F_DUPFD_QUERY
    try:
        assert fcntl.fcntl(sock, same, twin.fileno()) == 1
    except OSError:
        pytest.skip("Linux 6.10")
    assert fcntl.fcntl(sock, same, other.fileno()) == 0
    twin.close()
    number = 2**20 + 1000
    world.gives("EBADF", fcntl.fcntl, sock, same, number)
    for command, answer in (
        (12, "EINVAL"),
        (14, "EINVAL"),
        (1029, "EINVAL"),
        (1038, "EINVAL"),
        (16, "EFAULT"),
        (1035, "EFAULT"),
    ):
        world.gives(answer, fcntl.fcntl, sock, command, 0)


def test_k133_who_is_to_get_the_signals_of_a_socket(world: World) -> None:
    number = world.socket().fileno()
    mine = os.getpid()
    for owner in (mine, 0):
        assert fcntl.fcntl(number, fcntl.F_SETOWN, owner) == 0
        assert fcntl.fcntl(number, fcntl.F_GETOWN) == owner
    assert fcntl.ioctl(number, 0x8902, struct.pack("i", mine)) == struct.pack("i", mine)  # SIOCSPGRP
    assert fcntl.ioctl(number, 0x8904, bytes(4)) == struct.pack("i", mine)  # SIOCGPGRP
    world.gives("ESRCH", fcntl.fcntl, number, fcntl.F_SETOWN, 2**30)
    for signal, told in ((10, 10), (0, 0), (99, "EINVAL"), (-1, "EINVAL")):
        answer = outcome(lambda: fcntl.fcntl(number, fcntl.F_SETSIG, signal))  # noqa: B023  # it is called at once
        assert (answer or fcntl.fcntl(number, fcntl.F_GETSIG)) == told


@pytest.mark.parametrize(
    ("command", "argument", "answer"),
    [
        ("F_GETPIPE_SZ", 0, "EBADF"),
        ("F_SETPIPE_SZ", 4096, "EBADF"),
        ("F_GETLEASE", 0, 2),
        ("F_SETLEASE", 2, "EINVAL"),
        ("F_NOTIFY", 1, "ENOTDIR"),
        ("F_NOTIFY", 0, 0),
        ("F_GET_SEALS", 0, "EINVAL"),
        ("F_ADD_SEALS", 1, "EINVAL"),
        ("F_GETLK", 0, "EFAULT"),
        ("F_GETFD", "abc", b"abc"),
        ("F_GETFL", b"abc", b"abc"),
        ("F_DUPFD", -1, "EINVAL"),
        ("F_DUPFD", 10**9, "EINVAL"),
    ],
)
def test_k133_what_a_socket_says_to_the_commands_of_other_files(
    world: World, command: str, argument: Any, answer: Any
) -> None:
    world.gives(answer, fcntl.fcntl, world.socket().fileno(), getattr(fcntl, command), argument)


@pytest.mark.parametrize("given", [0, 1, 2, 5])
def test_k133_how_many_arguments_a_call_takes_is_looked_at_first(world: World, given: int) -> None:
    sock = world.socket()
    sock.close()
    for call, least, most in (
        (fcntl.fcntl, 1, 2),
        (fcntl.flock, 1, 1),
        (fcntl.lockf, 1, 4),
        (os.get_blocking, 0, 0),
        (os.set_blocking, 1, 1),
        (os.get_inheritable, 0, 0),
        (os.set_inheritable, 1, 1),
    ):
        if not least <= given <= most:
            arguments = [0] * given
            with pytest.raises(TypeError, match="argument"):
                call(sock.fileno(), *arguments)  # type: ignore[operator]


def test_k133_a_socket_can_be_locked(world: World) -> None:
    sock = world.socket()
    lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
    free = struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 0, 0)
    for call in (fcntl.lockf, fcntl.flock):
        for how in (fcntl.LOCK_SH, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN):
            assert call(sock, how) is None
    assert fcntl.fcntl(sock, fcntl.F_SETLK, lock) == lock
    assert fcntl.fcntl(sock, fcntl.F_GETLK, lock) == free
    sock.close()
    world.gives("ValueError: file descriptor cannot be a negative integer (-1)", fcntl.flock, sock, fcntl.LOCK_SH)


def test_k133_a_dup_from_a_number_on_is_the_first_free_one(world: World) -> None:
    number = pair(world)[0].fileno()
    numbers = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, number + 20) for _ in range(2)]
    numbers += [fcntl.fcntl(number, fcntl.F_DUPFD, number + 20)]
    assert numbers == [number + 20, number + 21, number + 22]
    assert [os.get_inheritable(each) for each in numbers] == [False, False, True]
    for each in numbers:
        os.close(each)


def test_k133_a_switch_may_be_shorter_than_an_integer(world: World) -> None:
    for given in (
        b"\1",
        b"\0\1",
        "on",
    ):  # what stands behind it in CPython's buffer counts, too, so nothing is off for certain
        sock = world.socket()
        sock.setblocking(True)
        assert fcntl.ioctl(sock, termios.FIONBIO, given) == (given if isinstance(given, bytes) else given.encode())
        assert not os.get_blocking(sock.fileno())
    world.gives("EFAULT", fcntl.ioctl, sock, termios.FIONBIO, 1)


@pytest.mark.parametrize("kind", [(socket.AF_INET, 1), (socket.AF_INET, 2), (socket.AF_INET6, 1), (socket.AF_UNIX, 1)])
def test_k133_links_are_told_by_ioctl(world: World, kind: tuple[int, int]) -> None:
    sock = world.socket(*kind)

    def ask(request: int, name: bytes = b"lo") -> Any:
        answer = outcome(lambda: fcntl.ioctl(sock, request, name.ljust(16, b"\0") + bytes(24)))
        return answer if isinstance(answer, str) else answer[16:].rstrip(b"\0")

    assert ask(SIOCGIFINDEX) == b"\1"
    assert ask(SIOCGIFFLAGS) == b"I"  # up, loopback, running
    assert ask(SIOCGIFMTU) == b"\0\0\1"
    assert ask(SIOCGIFHWADDR) == struct.pack("=H", 772)  # ARPHRD_LOOPBACK
    assert fcntl.ioctl(sock, SIOCGIFNAME, bytes(16) + b"\1" + bytes(23))[:3] == b"lo\0"
    told = fcntl.ioctl(sock, SIOCGIFNAME, b"name" * 4 + b"\1" + bytes(23))
    assert told[:16] == b"lo\0" + b"enamenamenam\0"  # the name alone is written
    for request in (SIOCGIFINDEX, SIOCGIFFLAGS):
        assert ask(request, b"nobody") == "ENODEV"
    assert outcome(lambda: fcntl.ioctl(sock, SIOCGIFNAME, bytes(16) + b"\x77" + bytes(23))) == "ENODEV"
    of_ipv4 = kind[0] == socket.AF_INET
    assert ask(SIOCGIFADDR) == (b"\2\0\0\0\x7f\0\0\1" if of_ipv4 else "ENOTTY")
    assert ask(SIOCGIFNETMASK) == (b"\2\0\0\0\xff" if of_ipv4 else "ENOTTY")
    assert ask(SIOCGIFADDR, b"nobody") == ("ENODEV" if of_ipv4 else "ENOTTY")


@pytest.mark.parametrize("kind", [(socket.AF_INET, 2), (socket.AF_INET6, 1), (socket.AF_UNIX, 1)])
def test_k133_links_are_listed_by_ioctl(world: World, kind: tuple[int, int]) -> None:
    sock = world.socket(*kind)
    needed, _ = struct.unpack("iL", fcntl.ioctl(sock, SIOCGIFCONF, struct.pack("iL", 0, 0)))
    entries = array.array("B", b"\xaa" * (needed + 40))
    where = entries.buffer_info()[0]
    for length, listed in ((needed + 40, needed), (79, 40), (40, 40), (39, 0), (-1, 0)):
        entries[:] = array.array("B", b"\xaa" * len(entries))
        answer = fcntl.ioctl(sock, SIOCGIFCONF, struct.pack("iL", length, where))
        assert struct.unpack("iL", answer) == (listed, where)
        names = [entries[at : at + 16].tobytes().rstrip(b"\0") for at in range(0, listed, 40)]
        assert names[:1] == [b"lo"][: listed // 40]
        assert len(set(names)) == len(names)
        assert entries[16:24].tobytes() == (b"\2\0\0\0\x7f\0\0\1" if listed else b"\xaa" * 8)
        assert set(entries[listed:]) == {0xAA}
    world.gives("EFAULT", fcntl.ioctl, sock, SIOCGIFCONF, struct.pack("iL", 400, 8))
    world.gives("EFAULT", fcntl.ioctl, sock, SIOCGIFCONF, 0)


def test_a_host_tells_its_own_address_by_the_name_of_its_link() -> None:
    with simnet.Network() as net:
        host = net.host("server")
        told: list[str] = []

        def ask() -> None:
            with socket.socket() as sock:
                answer = fcntl.ioctl(sock, SIOCGIFADDR, b"eth0".ljust(40, b"\0"))
                told.append(socket.inet_ntoa(answer[20:24]))
                entries = array.array("B", bytes(400))
                fcntl.ioctl(sock, SIOCGIFCONF, struct.pack("iL", 400, entries.buffer_info()[0]))
                told.append(socket.inet_ntoa(entries[60:64].tobytes()))

        host.spawn(ask).join()
        assert told == [socket.gethostbyname("server")] * 2


CALLS: dict[str, Callable[[Any], object]] = {
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvfrom": lambda sock: sock.recvfrom(1),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendto": lambda sock: sock.sendto(b"x", ("127.0.0.1", 1)),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "accept": lambda sock: sock.accept(),
    "connect": lambda sock: sock.connect(("127.0.0.1", 1)),
    "connect_ex": lambda sock: sock.connect_ex(("127.0.0.1", 1)),
    "bind": lambda sock: sock.bind(("127.0.0.1", 0)),
    "listen": lambda sock: sock.listen(),
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_RDWR),
    "getsockname": lambda sock: sock.getsockname(),
    "getpeername": lambda sock: sock.getpeername(),
    "getsockopt": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
    "setsockopt": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("blocks", [True, False])
def test_k133_a_socket_whose_number_is_an_epolls_by_now_is_none(
    world: World, call: Callable[[Any], object], blocks: bool
) -> None:
    sock = socket.socket()
    sock.setblocking(blocks)
    os.close(sock.fileno())
    with select.epoll() as epoll:
        assert epoll.fileno() == sock.fileno()
        world.gives(errno.ENOTSOCK if call is CALLS["connect_ex"] else "ENOTSOCK", call, sock)
        sock.detach()


def test_k133_what_is_no_socket_makes_none(world: World) -> None:
    with tempfile.TemporaryFile() as file, select.epoll() as epoll:
        world.gives("ENOTSOCK", lambda: socket.socket(fileno=file.fileno()))
        world.gives("ENOTSOCK", lambda: socket.socket(fileno=epoll.fileno()))
        number = file.fileno()
    world.gives("EBADF", lambda: socket.socket(fileno=number))


def test_k133_the_block_size_of_a_socket_is_a_page(world: World) -> None:
    assert fcntl.ioctl(world.socket(), 2, bytes(4)) == struct.pack("i", 4096)  # FIGETBSZ
    world.gives("ENOTSUP", fcntl.ioctl, world.socket(), 0xC020660B, bytes(64))  # FS_IOC_FIEMAP


@pytest.mark.parametrize(
    "send",
    [
        lambda sock: os.write(sock.fileno(), b"x"),
        lambda sock: os.writev(sock.fileno(), [b"x"]),
        lambda sock: within(sock.dup(), lambda twin: twin.send(b"x")),
        lambda sock: within(socket.socket(fileno=os.dup(sock.fileno())), lambda twin: twin.send(b"x")),
        lambda sock: within(socket.fromfd(sock.fileno(), sock.family, sock.type), lambda twin: twin.send(b"x")),
    ],
    ids=["write", "writev", "dup", "os.dup", "fromfd"],
)
def test_k133_who_was_handed_a_socket_may_use_its_number(world: World, send: Any) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    answers: list[Any] = []
    world.beside(
        lambda: answers.extend(
            (send(left), os.get_blocking(left.fileno()), os.fstat(left.fileno()).st_size, world.ioctl(left, "FIONREAD"))
        )
    )()
    assert answers == [1, True, 0, 0]
    assert right.recv(9) == b"x"
    assert left.send(b"y") == 1


@pytest.mark.parametrize("module", [os, socket])
@pytest.mark.parametrize("kind", ["socket", "epoll"])
def test_k133_who_was_handed_a_socket_may_close_its_number(world: World, module: Any, kind: str) -> None:
    left, right = map(world.keep, socket.socketpair())
    number = left.detach()
    if kind == "epoll":
        os.close(number)
        epoll = select.epoll()
        number = epoll.fileno()
    world.beside(lambda: module.close(number))()
    world.gives("EBADF", os.fstat, number)
    if kind == "socket":
        assert right.recv(1) == b""


def test_k133_who_was_handed_sockets_may_send_a_file_and_put_one_in_the_place_of_another(
    world: World, tmp_path: Path
) -> None:
    (left, right), (other, far) = ([world.keep(each) for each in socket.socketpair()] for _ in range(2))
    path = tmp_path / "file"
    path.write_bytes(b"a file")
    with path.open("rb") as file:
        world.beside(lambda: os.sendfile(left.fileno(), file.fileno(), 2, 4))()
    assert right.recv(9) == b"file"
    world.beside(lambda: os.dup2(left.fileno(), other.fileno()))()
    assert far.recv(1) == b""
    other.send(b"through the other")
    assert right.recv(7) == b"through"


def within(sock: Any, call: Any) -> Any:
    with sock:
        return call(sock)


def test_k133_a_socket_whose_number_is_an_epolls_by_now_closes_it(world: World) -> None:
    sock = socket.socket()
    os.close(sock.fileno())
    poll = select.epoll()
    assert poll.fileno() == sock.fileno()
    sock.close()
    world.gives("EBADF", lambda: poll.poll(0))
    world.gives("EBADF", os.fstat, poll.fileno())
    poll.close()


def test_k133_more_than_1024_buffers_are_too_many(world: World) -> None:
    here, there = pair(world)
    world.gives("EINVAL", os.writev, here.fileno(), [b"x"] * 1025)
    assert os.writev(here.fileno(), [b"x"] * 1024) == 1024
    world.gives("EINVAL", os.readv, there.fileno(), [bytearray(1)] * 1025)
    assert os.readv(there.fileno(), [bytearray(1) for _ in range(1024)]) == 1024


def test_k133_a_socket_is_in_a_file_system_that_has_nothing_but_names(world: World) -> None:
    here, there = pair(world)
    with select.epoll() as poll:
        for number in (here.fileno(), poll.fileno()):
            assert tuple(os.fstatvfs(number)) == (4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255)
        assert (
            os.fstatvfs(here.fileno()).f_fsid == os.fstatvfs(there.fileno()).f_fsid != os.fstatvfs(poll.fileno()).f_fsid
        )
    there.close()
    world.gives("EBADF", os.fstatvfs, there.fileno())


def test_k133_a_socket_has_a_mode_and_an_owner_that_can_be_changed(world: World) -> None:
    here, there = pair(world)
    number = here.fileno()
    os.fchmod(number, 0o4600)
    assert os.fstat(number).st_mode == stat.S_IFSOCK | 0o4600
    os.chmod(number, 0o711)
    assert os.stat(number).st_mode == stat.S_IFSOCK | 0o711
    before = os.fstat(number)
    os.fchown(number, -1, os.getgid())
    assert (os.fstat(number).st_uid, os.fstat(number).st_gid) == (before.st_uid, os.getgid())
    assert (before.st_blksize, before.st_blocks) == (4096, 0)
    assert os.fstat(there.fileno()).st_mode == stat.S_IFSOCK | 0o777
    with select.epoll() as poll:
        world.gives("ENOTSUP", os.fchmod, poll.fileno(), 0o600)
        world.gives("ENOTSUP", os.fchown, poll.fileno(), -1, -1)
    there.close()
    world.gives("EBADF", os.fchmod, there.fileno(), 0o600)


@pytest.mark.parametrize("call", ["listdir", "scandir", "truncate", "lseek"])
def test_k133_a_number_in_the_place_of_a_path_is_named_as_one_is(world: World, call: str) -> None:
    here, _ = pair(world)
    code = errno.ENOTDIR if call in {"listdir", "scandir"} else errno.EINVAL
    with select.epoll() as poll:
        for each, closed in ((here, False), (poll, False), (here, True)):
            number = each.fileno()
            if closed:
                here.close()
            with pytest.raises(OSError) as caught:
                getattr(os, call)(number, *{"truncate": (0,), "lseek": (0, 9)}.get(call, ()))
            assert caught.value.errno == (errno.EBADF if closed else code)
            assert caught.value.filename == (number if code == errno.ENOTDIR and not closed else None)


@pytest.mark.skipif(not hasattr(os, "eventfd_read"), reason="Linux")
def test_k133_a_socket_carries_the_number_of_an_eventfd(world: World) -> None:
    here, there = pair(world)
    os.eventfd_write(here.fileno(), 5)
    assert os.eventfd_read(there.fileno()) == 5
    world.gives("EAGAIN", os.eventfd_read, there.fileno())
    world.gives("ENOTCONN", os.eventfd_read, world.socket().fileno())
    with select.epoll() as poll:
        world.gives("EINVAL", os.eventfd_read, poll.fileno())
        world.gives("EINVAL", os.eventfd_write, poll.fileno(), 1)


def test_k133_a_range_of_numbers_is_closed(world: World) -> None:
    here, there = pair(world)
    number = here.fileno()
    os.closerange(number, number)
    assert here.send(b"x") == 1
    os.closerange(number, number + 1)
    world.gives("EBADF", here.send, b"x")
    assert there.recv(2) == b"x"
    assert there.recv(2) == b""
    here.detach()
    world.gives("TypeError: 'str' object cannot be interpreted as an integer", os.closerange, "x", 1)


def test_k133_calls_that_take_objects_take_sockets(world: World) -> None:
    here, _ = pair(world)
    world.gives("EINVAL", os.fsync, here)
    world.gives("EINVAL", os.fdatasync, here)
    world.gives("ENOTDIR", os.fchdir, here)
    said = outcome(os.set_blocking)  # type: ignore[arg-type]
    assert said == "TypeError: set_blocking expected 2 arguments, got 0"
    before = os.get_blocking(here.fileno())
    said = outcome(lambda: os.set_blocking(here.fileno(), "yes"))  # type: ignore[arg-type]
    if sys.version_info < (3, 12):  # what passes for a bool is the interpreter's own affair
        assert said == "TypeError: 'str' object cannot be interpreted as an integer"
        assert os.get_blocking(here.fileno()) is before
    else:
        assert os.get_blocking(here.fileno()) is True


def test_k132_a_pipe_and_a_pair_need_two_numbers(world: World) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(reserved + 40, 100), before[1]))
    os.close(reserved)
    taken = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(socket.socket())
        assert [outcome(os.pipe), outcome(lambda: os.pipe2(0))] == ["EMFILE", "EMFILE"]
        taken.pop().close()
        assert [outcome(os.pipe), outcome(lambda: os.pipe2(0)), outcome(socket.socketpair)] == ["EMFILE"] * 3
        assert outcome(lambda: socket.socketpair(socket.AF_UNIX, 7)) == "EMFILE"  # before its kind is looked at
        taken.append(socket.socket())
        for sock in taken[:2]:
            sock.close()
        for fd in os.pipe():
            os.close(fd)
    finally:
        for sock in taken:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
