"""Pipes as streams."""

from __future__ import annotations

import os

import pytest

import dispatch
from dispatch.files import FileSocket, Pipe
from tests.dispatch.conftest import Recorder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")


class KeepingPipe(Recorder, Pipe):
    """A pipe that keeps what happens to it."""

    def __init__(self, file, *, loop):
        self.events = []
        self.data = bytearray()
        Pipe.__init__(self, file, loop=loop)


@pytest.fixture
def pipe(world):
    reader, writer = os.pipe()
    ends = {"reader": reader, "writer": writer}
    yield ends
    for fd in ends.values():
        os.close(fd)


def test_a_pipe_is_read_to_its_end(world, pipe):
    loop = world.loop()
    channel = KeepingPipe(pipe["reader"], loop=loop)
    os.write(pipe["writer"], b"x" * 30_000)
    os.close(pipe.pop("writer"))
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert len(channel.data) == 30_000
    assert channel.events == ["data", "eof", ("close", None)]


@pytest.mark.parametrize(
    "kinds", [(dispatch.Chat, dispatch.Pipe), (dispatch.Pipe, dispatch.Chat)], ids=["chat", "pipe"]
)
def test_a_class_of_both_cuts_what_a_pipe_says_into_messages(world, pipe, kinds):
    said, left = [], []

    def rest(channel):
        left.append(bytes(channel.pending_input))
        dispatch.Stream.handle_eof(channel)

    told = {"terminator": b"\n", "handle_message": lambda _, line: said.append(line), "handle_eof": rest}
    loop = world.loop()
    channel = type("Lines", kinds, told)(pipe["reader"], loop=loop)
    os.write(pipe["writer"], b"what\na day\nno end")
    os.close(pipe.pop("writer"))
    world.run(loop, lambda: channel.closed)

    assert (said, left) == ([b"what", b"a day"], [b"no end"])


def test_a_pipe_is_written_as_it_takes_it(world, pipe):
    loop = world.loop()
    channel = KeepingPipe(pipe["writer"], loop=loop)
    os.close(pipe.pop("writer"))
    channel.write(b"x" * 300_000)
    channel.write(b"end")
    channel.close()
    got = b""
    os.set_blocking(pipe["reader"], False)
    while not channel.closed:
        loop.run_once(0.001)
        try:
            got += os.read(pipe["reader"], 65536)
        except BlockingIOError:
            pass
    while piece := os.read(pipe["reader"], 65536):
        got += piece

    assert got == b"x" * 300_000 + b"end"


def test_what_a_closed_pipe_has_not_read_is_for_who_reads_next(world, pipe):
    """It is another's as well: a program reads its answer from standard input, and leaves the rest to who it starts."""
    loop = world.loop()

    class Once(KeepingPipe):
        read_size = 10

        def handle_data(self, data):
            super().handle_data(data)
            self.close()

    os.write(pipe["writer"], b"ten bytes.and the rest")
    channel = Once(pipe["reader"], loop=loop)
    world.run(loop, lambda: channel.closed)

    assert channel.data == b"ten bytes."
    assert os.read(pipe["reader"], 100) == b"and the rest"


def test_a_pipe_through_which_nothing_goes_is_idle(world, pipe):
    class Impatient(KeepingPipe):
        idle_timeout = 0.01

    loop = world.loop()
    channel = Impatient(pipe["reader"], loop=loop)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", dispatch.Timeout)]
    assert channel.reason.which == "idle"


def test_a_pipe_nobody_reads_is_broken(world, pipe):
    loop = world.loop()
    channel = KeepingPipe(pipe["writer"], loop=loop)
    os.close(pipe.pop("reader"))
    channel.write(b"x")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", BrokenPipeError)]


def test_the_end_of_a_pipes_reader_is_noticed(world, pipe):
    if world.poller == "kqueue":
        pytest.skip("it shows it only to who writes")
    loop = world.loop()
    channel = KeepingPipe(pipe["writer"], loop=loop)
    os.close(pipe.pop("reader"))
    world.run(loop, lambda: channel.closed)


def test_the_callers_descriptor_stays_open(world, pipe):
    loop = world.loop()
    channel = KeepingPipe(open(pipe["reader"], "rb", closefd=False), loop=loop)  # noqa: SIM115 - only its fileno counts
    channel.abort()

    os.fstat(pipe["reader"])


def test_a_file_has_no_urgent_data_and_no_error_of_its_own(pipe):
    sock = FileSocket(os.dup(pipe["reader"]))
    with pytest.raises(OSError, match="not supported"):
        sock.recv(1, 1)
    assert sock.getsockopt(0, 0) == 0
    sock.close()
    sock.close()
    assert sock.fileno() == -1


def test_the_end_of_a_pseudo_terminal_is_an_end(kernel_world):
    """Linux tells it as EIO, once what was said before has been read."""
    loop = kernel_world.loop()
    ours, theirs = os.openpty()
    pytest.importorskip("tty").setraw(theirs)
    channel = KeepingPipe(ours, loop=loop)
    os.close(ours)
    os.write(theirs, b"bye")
    os.close(theirs)
    kernel_world.run(loop, lambda: channel.closed)
    kernel_world.turn(loop, 1)

    assert channel.data == b"bye"
    assert channel.events == ["data", "eof", ("close", None)]


@pytest.mark.parametrize("kind", ["file", "device"])
def test_a_file_that_is_only_written_stays_open(kernel_world, tmp_path, kind):
    loop = kernel_world.loop()
    path = tmp_path / "log" if kind == "file" else "/dev/null"
    with open(path, "wb") as file:
        channel = KeepingPipe(file, loop=loop)
    channel.write(b"one ")
    kernel_world.turn(loop, 3)
    channel.write(b"two")
    kernel_world.turn(loop, 3)

    assert not channel.closed
    assert channel.bytes_sent == 7
    assert kind == "device" or path.read_bytes() == b"one two"
