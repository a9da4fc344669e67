"""``os.fdopen`` of a socket's number, and of a pipe's: file objects that wait as the descriptor does."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World


def pair(world: World, blocks: bool = True) -> tuple[Any, Any]:
    here, there = (world.keep(each) for each in socket.socketpair())
    here.setblocking(blocks)
    there.setblocking(blocks)
    return here, there


def opened(sock: Any, *arguments: Any, **named: Any) -> Any:
    """A file object over a dup of its own."""
    return os.fdopen(os.dup(sock.fileno()), *arguments, **named)


def told(file: Any) -> str:
    return repr(file).replace(str(file.fileno()), "N")


def test_k133_a_file_over_a_socket_writes_and_reads(world: World) -> None:
    here, there = pair(world)
    with opened(here, "wb") as out, opened(there) as text:
        assert told(out) == "<_io.BufferedWriter name=N>"
        assert told(text).startswith("<_io.TextIOWrapper name=N mode='r'")
        assert out.write(b"line\nmore\nlast") == 14
        assert not select_readable(there)
        out.flush()
        assert text.readline() == "line\n"
        assert next(text) == "more\n"
        here.shutdown(socket.SHUT_WR)
        assert text.read() == "last"
        assert text.read() == ""
        for file, call in ((out, "read"), (text.buffer, "write")):
            with pytest.raises(io.UnsupportedOperation):
                getattr(file, call)(*([b"x"] if call == "write" else []))
        assert outcome(lambda: out.seek(0)) == "UnsupportedOperation: File or stream is not seekable."
        assert (out.seekable(), out.isatty(), out.mode, out.raw.closefd) == (False, False, "wb", True)
    assert (out.closed, text.closed) == (True, True)


def select_readable(sock: Any) -> bool:
    sock.setblocking(False)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        sock.setblocking(True)


def test_k133_a_raw_file_over_a_socket_is_one_of_c(world: World) -> None:
    here, there = pair(world)
    raw = opened(there, "rb", 0)
    assert told(raw) == "<_io.FileIO name=N mode='rb' closefd=True>"
    assert (type(raw).__module__, type(raw).__name__) == ("_io", "FileIO")
    here.send(b"abc")
    assert raw.read(2) == b"ab"
    here.shutdown(socket.SHUT_WR)
    assert raw.readall() == b"c"
    raw.close()
    assert repr(raw) == "<_io.FileIO [closed]>"
    with pytest.raises(ValueError, match=r"^I/O operation on closed file$"):
        raw.read(1)


def test_k133_a_file_over_a_socket_that_does_not_wait_has_nothing(world: World) -> None:
    here, there = pair(world, blocks=False)
    with opened(there, "rb", 0) as raw, opened(there, "rb") as file:
        assert raw.read(1) is None
        assert raw.readall() is None
        assert raw.readinto(bytearray(2)) is None
        assert file.read(1) is None
        assert file.peek() == b""
        here.send(b"abc")
        assert file.read1(1) == b"a"
        assert file.read() == b"bc"


@pytest.mark.parametrize("socks", [True, False])
def test_k133_a_file_waits_for_what_is_written_later(world: World, socks: bool) -> None:
    if socks:
        here, there = pair(world)
        source, sink = opened(there, "r"), opened(here, "w")
    else:
        reader, writer = os.pipe()
        source, sink = os.fdopen(reader), os.fdopen(writer, "w")
    with source, sink:
        join = world.beside(lambda: print("late", file=sink, flush=True))
        assert source.readline() == "late\n"
        join()


def test_k133_what_fdopen_refuses(world: World) -> None:
    here, _ = pair(world)
    number = here.fileno()
    for answer, *arguments in (
        ("ValueError: invalid mode: 'q'", number, "q"),
        ("ValueError: binary mode doesn't take an encoding argument", number, "rb", -1, "utf8"),
        ("ValueError: can't have unbuffered text I/O", os.dup(number), "r", 0),
        ("EBADF", 1_000_000),
        ("TypeError: invalid fd type (<class 'str'>, expected integer)", "x"),
    ):
        world.gives(answer, os.fdopen, *arguments)
    with pytest.raises(io.UnsupportedOperation, match="not seekable"):
        opened(here, "r+b")
    assert here.send(b"x") == 1


def test_k133_a_file_that_goes_unclosed_is_warned_of(world: World) -> None:
    here, there = pair(world)
    file = opened(here, "wb")
    number = file.fileno()
    file.write(b"at the end")
    with pytest.warns(ResourceWarning, match="unclosed file <_io.BufferedWriter"):
        del file
    assert there.recv(20) == b"at the end"
    world.gives("EBADF", os.fstat, number)


def test_k133_a_buffer_over_a_full_socket_says_why(world: World) -> None:
    one, _ = (world.keep(each) for each in socket.socketpair())
    one.setblocking(False)
    with os.fdopen(one.fileno(), "wb", 0, closefd=False) as raw:
        while raw.write(b"x" * 4000) is not None:
            pass
    with contextlib.suppress(OSError):
        os.close(-1)  # EBADF is what errno was before
    file = os.fdopen(one.fileno(), "wb", closefd=False)
    file.write(b"x")
    with pytest.raises(BlockingIOError, match="write could not complete without blocking") as raised:
        file.flush()
    assert raised.value.errno == errno.EAGAIN
    with contextlib.suppress(BlockingIOError):
        file.close()
