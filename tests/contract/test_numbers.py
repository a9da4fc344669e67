"""What ``os`` says of the arguments that come with the number of a socket, and of requests for nothing (K-133)."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

NO_NUMBER = 1_000_000


class Whole:
    """It passes for an integer."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


def number_of(world: World, kind: int = socket.SOCK_STREAM) -> int:
    """That of one of two connected sockets; the other has nothing to say."""
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    world.keep(there)
    return int(world.keep(here).fileno())


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        *((os.stat, arguments) for arguments in ((1,), (1, 2), (1, 2, 3))),
        *((os.chmod, arguments) for arguments in ((), ("x",), (1.5,), (None,), (2**40,), (1, 2), (1, 2, 3, 4))),
        *((os.fchmod, arguments) for arguments in ((), ("x",), (2**40,))),
        *((os.set_inheritable, arguments) for arguments in ((), ("x",), ([],), (None,), (2**40,))),
        *((os.sendfile, arguments) for arguments in ((), (1,), (1, 0), ("x", 0, 1), (2**40, 0, 1), (1, "x", 1))),
        *((os.sendfile, arguments) for arguments in ((1, 0, "x"), (1, 0, 1, 2))),
        (os.truncate, ("x",)),
        (os.statvfs, (1,)),
    ],
)
def test_k133_an_argument_beside_the_number_is_refused_as_it_is_beside_any(
    world: World, call: Any, arguments: tuple[Any, ...]
) -> None:
    number = number_of(world)
    call = getattr(os, call.__name__)  # as it is now: what stands in the table is the real one
    with pytest.raises((TypeError, OverflowError)) as ours:
        call(number, *arguments)
    with pytest.raises((TypeError, OverflowError)) as nobodys:
        call(NO_NUMBER, *arguments)
    assert (ours.type, str(ours.value)) == (nobodys.type, str(nobodys.value))


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**64])
@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("get_blocking", ()),
        ("set_blocking", (True,)),
        ("get_inheritable", ()),
        ("set_inheritable", (True,)),
        ("lockf", (os.F_TEST, 0)),
        ("fdopen", ()),
        ("fstat", ()),
    ],
)
def test_k133_a_number_that_is_no_int_of_c_is_none_of_a_socket(
    world: World, number: int, call: str, arguments: tuple[Any, ...]
) -> None:
    number_of(world)
    # By os.fdopen, open() takes what is no number to be a name.
    with pytest.raises((OverflowError, TypeError), match="not int" if call == "fdopen" else "too large|greater than"):
        getattr(os, call)(number, *arguments)


@pytest.mark.parametrize(("arguments", "options"), [((), {}), ((1, 2), {}), ((), {"fd": 1})])
def test_k133_an_epoll_is_made_of_one_number(world: World, arguments: Any, options: Any) -> None:
    with select.epoll() as poll:
        for make in (select.epoll.fromfd, poll.fromfd):
            with pytest.raises(TypeError, match=r"epoll\.fromfd\(\) takes"):
                make(*arguments, **options)


def test_k133_what_passes_for_an_integer_is_one(world: World) -> None:
    number = number_of(world)
    os.set_inheritable(number, Whole(7))  # type: ignore[arg-type]
    assert os.get_inheritable(number)
    os.set_inheritable(number, Whole(0))  # type: ignore[arg-type]
    assert not os.get_inheritable(number)
    os.set_blocking(number, Whole(0))  # type: ignore[arg-type]
    assert os.get_blocking(number) is (sys.version_info >= (3, 12))  # which asks whether it is true, as any object is
    os.chmod(number, Whole(0o640))  # type: ignore[arg-type]
    assert stat.S_IMODE(os.stat(number).st_mode) == 0o640


def test_k133_of_a_mode_only_the_permissions_count(world: World) -> None:
    number = number_of(world)
    os.fchmod(number, -1)
    assert os.fstat(number).st_mode == stat.S_IFSOCK | 0o7777
    os.chmod(number, mode=0o170600)
    assert os.stat(number).st_mode == stat.S_IFSOCK | 0o600
    with pytest.raises(ValueError, match="cannot use fd and follow_symlinks together"):
        os.stat(number, follow_symlinks=False)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_k133_several_buffers_of_nothing_are_written_to_whatever_the_socket_is(world: World, kind: int) -> None:
    fresh = world.socket(socket.AF_UNIX, kind)
    ended, peer = socket.socketpair(socket.AF_UNIX, kind)
    world.keep(ended)
    peer.close()
    for sock in (fresh, ended):
        for nothing in ([], [b""], [b"", b""]):
            world.gives(0, os.writev, sock.fileno(), nothing)
    world.gives("ENOTCONN", os.write, fresh.fileno(), b"")
    with select.epoll() as poll:
        world.gives("EINVAL", os.writev, poll.fileno(), [])
        world.gives("EINVAL", os.readv, poll.fileno(), [])


def test_k133_a_range_that_is_none_is_refused_before_what_it_is_asked_of(world: World) -> None:
    with select.epoll() as poll:
        for number in (number_of(world), poll.fileno()):
            for offset, length in ((-1, 1), (0, 0), (0, -1)):
                world.gives("EINVAL", os.posix_fallocate, number, offset, length)
            world.gives("ENODEV", os.posix_fallocate, number, 0, 1)
            world.gives("EINVAL", os.posix_fadvise, number, 0, 1, 6)
            world.gives(None, os.posix_fadvise, number, 0, 1, os.POSIX_FADV_NOREUSE)
            world.gives("EINVAL", os.lockf, number, os.F_LOCK, -1)
            world.gives(None, os.lockf, number, os.F_LOCK, 1)


def test_k133_a_socket_is_sent_as_a_file_to_nobody(world: World) -> None:
    number = number_of(world)
    with select.epoll() as poll:
        world.gives("ESPIPE", os.sendfile, poll.fileno(), number, 0, 5)
        world.gives("EINVAL", os.sendfile, poll.fileno(), number, None, 5)
        world.gives("ESPIPE", os.sendfile, number, poll.fileno(), 0, 5)
        world.gives("EINVAL", os.sendfile, number, poll.fileno(), None, 5)
    with tempfile.TemporaryFile() as file:
        world.gives("ESPIPE", os.sendfile, file.fileno(), number, 0, 5)
        world.gives(
            "TypeError: sendfile() takes at most 4 arguments (5 given)", os.sendfile, file.fileno(), number, 0, 5, 6
        )


def test_k133_the_file_system_of_a_socket_is_told_by_either_name(world: World) -> None:
    number = number_of(world)
    assert os.statvfs(number) == os.fstatvfs(number)
    os.close(os.dup(number))
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        os.statvfs(NO_NUMBER)
    assert caught.value.filename == NO_NUMBER


def test_k133_what_is_a_file_is_duplicated_before_it_is_no_socket(world: World) -> None:
    with tempfile.TemporaryFile() as file:
        twin = os.dup(file.fileno())
        os.close(twin)
        world.gives("ENOTSOCK", socket.fromfd, file.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        os.close(twin)  # CPython leaves it open
    world.gives("EBADF", socket.fromfd, twin, socket.AF_INET, socket.SOCK_STREAM)


def test_k133_who_is_only_to_write_behind_the_end_is_sent_no_file(world: World, tmp_path: Path) -> None:
    one, _ = (world.keep(each) for each in socket.socketpair())
    (tmp_path / "file").write_bytes(b"0123456789")
    fcntl.fcntl(one, fcntl.F_SETFL, os.O_APPEND)
    with (tmp_path / "file").open("rb") as file:
        for offset, count in ((0, 5), (None, 5), (10, 5), (0, 0)):
            world.gives("EINVAL", os.sendfile, one.fileno(), file.fileno(), offset, count)
        fcntl.fcntl(one, fcntl.F_SETFL, 0)
        assert os.sendfile(one.fileno(), file.fileno(), 0, 5) == 5


def test_k133_what_is_no_lock_is_refused(world: World) -> None:
    sock = world.socket()
    for command, kind, whence in (
        (fcntl.F_SETLK, 7, 0),
        (fcntl.F_SETLK, -1, 0),
        (fcntl.F_SETLK, fcntl.F_WRLCK, 9),
        (fcntl.F_GETLK, fcntl.F_UNLCK, 0),
        (fcntl.F_GETLK, 7, 0),
    ):
        world.gives("EINVAL", fcntl.fcntl, sock, command, struct.pack("hhqqi4x", kind, whence, 0, 0, 0))


@pytest.mark.parametrize("command", [fcntl.F_SETLK, fcntl.F_GETLK, 36, 37])  # F_OFD_GETLK, F_OFD_SETLK
def test_k133_a_lock_begins_and_ends_within_a_file(world: World, command: int) -> None:
    number, last = world.socket().fileno(), 2**63 - 1
    for start, length, answer in (
        (-1, 0, "EINVAL"),
        (5, -6, "EINVAL"),
        (5, -5, None),
        (last, 0, None),
        (1, last, None),
        (2, last, "EOVERFLOW"),
        (last, 2, "EOVERFLOW"),
    ):
        for whence in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            asked = struct.pack("hhqqi4x", fcntl.F_RDLCK, whence, start, length, 0)
            told = outcome(lambda: fcntl.fcntl(number, command, asked))  # noqa: B023 - called at once
            assert (None if isinstance(told, bytes) else told) == answer
            world.gives(answer, fcntl.lockf, number, fcntl.LOCK_SH, length, start, whence)
            world.gives("EINVAL", fcntl.lockf, number, fcntl.LOCK_SH, length, start, 9)
    whose = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 7)
    told = outcome(lambda: fcntl.fcntl(number, command, whose))
    assert (told == "EINVAL") == (command in (36, 37))  # a lock of an open file is no process's


def test_k133_a_hint_of_how_long_it_lives_is_kept(world: World) -> None:
    get, put = 1035, 1036  # F_GET_RW_HINT, F_SET_RW_HINT
    sock = world.socket()
    assert fcntl.fcntl(sock, get, struct.pack("Q", 7)) == bytes(8)
    for hint in (2, 5, 0):
        assert fcntl.fcntl(sock, put, struct.pack("Q", hint)) == struct.pack("Q", hint)
        assert fcntl.fcntl(sock, get, bytes(8)) == struct.pack("Q", hint)
    for hint in (6, 1 << 40):
        world.gives("EINVAL", fcntl.fcntl, sock, put, struct.pack("Q", hint))


@pytest.mark.parametrize("command", [16, 1035])  # F_GETOWN_EX, F_GET_RW_HINT
@pytest.mark.parametrize("behind", [0, 1, 24])
def test_k133_what_is_told_into_a_buffer_leaves_the_rest_of_it(world: World, command: int, behind: int) -> None:
    sock = world.socket()
    assert fcntl.fcntl(sock, command, b"\7" * (8 + behind)) == bytes(8) + b"\7" * behind


def test_k133_an_owner_is_of_a_kind(world: World) -> None:
    put, get = 15, 16  # F_SETOWN_EX, F_GETOWN_EX
    sock = world.socket()

    def told() -> tuple[int, ...]:
        return struct.unpack("ii", fcntl.fcntl(sock, get, struct.pack("ii", 7, 7)))

    assert told() == (0, 0)
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    assert told() == (1, os.getpid())
    for kind in (0, 1, 2):
        fcntl.fcntl(sock, put, struct.pack("ii", kind, 0))
        assert (told(), fcntl.fcntl(sock, fcntl.F_GETOWN)) == ((kind, 0), 0)
    world.gives("EINVAL", fcntl.fcntl, sock, put, struct.pack("ii", 3, 0))
    fcntl.fcntl(sock, put, struct.pack("ii", 1, os.getpid()))
    assert (told(), fcntl.fcntl(sock, fcntl.F_GETOWN)) == ((1, os.getpid()), os.getpid())
