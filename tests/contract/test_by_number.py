"""K-133: what calls that take a path say of the number of a socket, and whom a dup2 waits for."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

KINDS = {
    b"TCP": (socket.AF_INET, socket.SOCK_STREAM),
    b"TCPv6": (socket.AF_INET6, socket.SOCK_STREAM),
    b"UDP": (socket.AF_INET, socket.SOCK_DGRAM),
    b"UDPv6": (socket.AF_INET6, socket.SOCK_DGRAM),
    b"UNIX-STREAM": (socket.AF_UNIX, socket.SOCK_STREAM),
    b"UNIX": (socket.AF_UNIX, socket.SOCK_DGRAM),
}
PROTOCOL = "system.sockprotoname"


def test_k133_a_socket_has_the_times_that_were_set_by_its_number(world: World) -> None:
    number = world.socket().fileno()
    os.utime(number, (1.25, 2.5))
    assert (os.fstat(number).st_atime_ns, os.stat(number).st_mtime_ns) == (1_250_000_000, 2_500_000_000)
    assert (os.fstat(number).st_mtime, os.fstat(number)[8]) == (2.5, 2)
    os.utime(number, ns=(7, 8))
    assert (os.fstat(number).st_atime_ns, os.fstat(number).st_mtime_ns) == (7, 8)
    os.utime(number)
    assert abs(os.fstat(number).st_mtime - time.time()) < 10
    with pytest.raises(TypeError):
        os.utime(number, 1)  # type: ignore[call-overload]
    with select.epoll() as poll:
        world.gives("EACCES" if os.geteuid() else "ENOTSUP", os.utime, poll.fileno())


def test_k133_a_socket_lies_in_a_file_system_by_any_call(world: World) -> None:
    number = world.socket().fileno()
    assert os.statvfs(number)[:5] == os.fstatvfs(number)[:5] == (4096, 4096, 0, 0, 0)
    assert (os.statvfs(number).f_namemax, os.pathconf(number, "PC_NAME_MAX")) == (255, 255)
    os.chown(number, -1, gid=-1)
    world.gives("ENOTDIR", os.chdir, number)


@pytest.mark.parametrize("protocol", KINDS)
def test_k133_a_socket_has_one_attribute(world: World, protocol: bytes) -> None:
    number = world.socket(*KINDS[protocol]).fileno()
    assert (os.listxattr(number), os.getxattr(number, PROTOCOL)) == ([PROTOCOL], protocol + b"\0")
    for name, told, changed in (
        ("user.x", "ENODATA", "EPERM"),
        ("x", "ENOTSUP", "ENOTSUP"),
        (PROTOCOL, None, "ENOTSUP"),
    ):
        if told is not None:
            world.gives(told, os.getxattr, number, name)
        world.gives(changed, os.setxattr, number, name, b"1")
        world.gives(changed, os.removexattr, number, name)


def test_k133_an_epoll_has_no_attribute(world: World) -> None:
    with select.epoll() as poll:
        number = poll.fileno()
        assert os.listxattr(number) == []
        world.gives("ENOTSUP", os.getxattr, number, PROTOCOL)
        world.gives("ENOTDIR", os.chdir, number)
        world.gives("ENOTSUP", os.chown, number, -1, -1)
        assert os.statvfs(number).f_namemax == 255


CALLS: dict[str, tuple[Callable[[int], Any], bool]] = {
    "utime": (lambda number: os.utime(number), sys.version_info >= (3, 13)),
    "statvfs": (lambda number: os.statvfs(number), True),
    "chown": (lambda number: os.chown(number, -1, -1), True),
    "chdir": (lambda number: os.chdir(number), True),
    "listxattr": (lambda number: os.listxattr(number), True),
    "pathconf": (lambda number: os.pathconf(number, "PC_NAME_MAX"), True),
}


@pytest.mark.parametrize("call", CALLS)
def test_k133_a_closed_number_is_named_by_most_calls(world: World, call: str) -> None:
    number = world.socket().detach()
    os.close(number)
    function, names = CALLS[call]
    with pytest.raises(OSError) as refused:
        function(number)
    assert (outcome(lambda: function(number)), refused.value.filename) == ("EBADF", number if names else None)


@pytest.mark.slow
@pytest.mark.parametrize("blocking", [True, False])
def test_k073_who_takes_the_place_of_a_socket_waits_as_its_close_would(world: World, blocking: bool) -> None:
    client, _ = world.full_pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    client.setblocking(blocking)
    other = world.socket()
    before = time.monotonic()
    assert os.dup2(other.fileno(), client.fileno()) == client.fileno()
    assert time.monotonic() - before >= 0.9
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def test_k133_a_number_may_be_told_by_its_name(world: World) -> None:
    number = socket.socket().detach()
    assert stat.S_ISSOCK(os.fstat(fd=number).st_mode)
    os.fchmod(fd=number, mode=0o600)
    again = os.dup2(fd=number, fd2=number)
    assert (again, os.fstat(again).st_mode & 0o777) == (number, 0o600)
    os.close(fd=number)
    assert outcome(lambda: os.close(fd=number)) == "EBADF"
    assert outcome(lambda: os.read(fd=number, length=1)).startswith("TypeError: ")  # type: ignore[call-arg]
    reader, writer = os.pipe()
    join = world.beside(lambda: os.read(reader, 1))
    os.close(fd=writer)  # whoever waits hears of it
    join()
    os.close(fd=reader)
