"""A pipe that a program makes in a run is the machine's own, and stands beside simulated sockets in simulated pollers."""

from __future__ import annotations

import ctypes.util
import errno
import fcntl
import gc
import os
import select
import selectors
import socket
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

import simnet
from dispatch import asyncore
from simnet import Deadlock, Network


def by_select(fd: int, timeout: float) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


def by_poll(fd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def by_epoll(fd: int, timeout: float) -> bool:
    with select.epoll() as poll:
        poll.register(fd, select.EPOLLIN)
        return bool(poll.poll(timeout))


POLLERS = [by_select, by_poll, by_epoll]


@pytest.mark.parametrize("ready", POLLERS)
def test_who_writes_to_himself_finds_himself_ready(ready: Any) -> None:
    with Network() as net:
        reader, writer = os.pipe()
        assert not ready(reader, 2.5)
        assert net.time == 2.5  # of virtual time
        assert os.write(writer, b"wake up") == 7
        assert ready(reader, 2.5)
        assert os.read(reader, 100) == b"wake up"
        assert not ready(reader, 0)
        os.close(writer)
        assert ready(reader, 0)
        assert os.read(reader, 100) == b""
        os.close(reader)


@pytest.mark.parametrize("ready", POLLERS)
def test_another_process_wakes_who_waits(ready: Any) -> None:
    def write_later(fd: int) -> None:
        time.sleep(3)
        os.write(fd, b"x")

    with Network() as net:
        reader, writer = os.pipe()
        net.host("server").spawn(write_later, os.dup(writer))
        assert ready(reader, 10)
        assert net.time == 3


def test_a_blocking_read_waits_in_virtual_time_and_a_blocking_write_for_room() -> None:
    def drain_later(fd: int) -> bytes:
        time.sleep(5)
        got = b""
        while len(got) < 500_000:
            got += os.read(fd, 65536)
        return got

    payload = bytes(range(250)) * 2_000
    with Network() as net:
        reader, writer = os.pipe()
        drain = net.host("server").spawn(drain_later, reader)
        assert os.write(writer, payload) == len(payload)  # all of it, eight times what a pipe holds
        assert os.get_blocking(writer)
        drain.join()
        assert drain.result == payload
        assert net.time == 5


def test_what_moves_pages_goes_before_who_waits_in_line(simnet_network: Any) -> None:
    # As splice_pipe waits in front, and pipe_read and pipe_write at the end of the queue.
    reader, writer = os.pipe()
    other, end = os.pipe()
    told: list[Any] = []

    def read() -> None:
        told.append(os.read(reader, 100))

    def splice() -> None:
        time.sleep(1)
        told.append(os.splice(reader, end, 3))

    joined = [simnet_network.host("test").spawn(each) for each in (read, splice)]
    time.sleep(2)
    os.write(writer, b"and so on")
    for each in joined:
        each.join()
    assert told == [3, b" so on"]
    for fd in (reader, writer, other, end):
        os.close(fd)


def test_one_that_is_closed_by_its_file_object_is_none_of_a_later_ones_with_its_number() -> None:
    with Network(), select.epoll() as poll:
        reader, writer = os.pipe()
        poll.register(reader, select.EPOLLIN)
        with os.fdopen(reader, "rb"):
            os.close(writer)
        later, another = os.pipe()
        assert later == reader
        os.write(another, b"x")
        assert poll.poll(1) == []
        poll.register(later, select.EPOLLIN)
        assert poll.poll(1) == [(later, select.EPOLLIN)]


@pytest.mark.slow
@pytest.mark.parametrize("ready", POLLERS)
def test_who_writes_to_himself_and_reads_it_in_each_turn_does_not_spin(ready: Any) -> None:
    with simnet.Network():
        reader, writer = os.pipe()
        for _ in range(1_000):
            os.write(writer, b"x")
            ready(reader, 1)
            assert os.read(reader, 100) == b"x"
        os.close(reader)
        os.close(writer)


def test_room_that_a_file_object_makes_is_told_to_who_asks_for_it_since_the_pipe_is_full(simnet_network: Any) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as source, open(writer, "wb", buffering=0) as sink, select.epoll() as poll:
        os.set_blocking(writer, False)
        poll.register(writer, select.POLLOUT)
        assert poll.poll(0)
        poll.modify(writer, 0)
        assert poll.poll(0) == []
        while sink.write(bytes(4096)):
            pass
        poll.modify(writer, select.POLLOUT)
        source.read(65536)
        assert poll.poll(1) == [(writer, select.POLLOUT)]


@pytest.mark.parametrize("ready", POLLERS)
def test_who_reads_nothing_but_the_end_of_a_pipe_spins(ready: Any) -> None:
    with pytest.raises(simnet.Spin, match="was woken 200 times in a row"), simnet.Network():
        reader, writer = os.pipe()
        os.close(writer)
        try:
            while ready(reader, 1):
                assert os.read(reader, 100) == b""
        finally:
            os.close(reader)


def test_it_stands_beside_sockets_in_one_selector() -> None:
    with Network() as net, net.host("server").listen(7) as listener:
        client = socket.create_connection(("server", 7))
        served, _ = listener.accept()
        reader, writer = os.pipe()
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, "socket")
            selector.register(reader, selectors.EVENT_READ, "pipe")
            for expected, act in (("pipe", lambda: os.write(writer, b"x")), ("socket", lambda: served.send(b"y"))):
                act()
                assert [key.data for key, _ in selector.select(1)] == [expected]
                os.read(reader, 1) if expected == "pipe" else client.recv(1)
            assert selector.select(1) == []
        client.close()
        served.close()


def test_a_file_dispatcher_reads_a_pipe() -> None:
    class Lines(asyncore.file_dispatcher):
        data = b""

        def handle_read(self) -> None:
            self.data += self.recv(100)

        def writable(self) -> bool:
            return False

        def handle_close(self) -> None:
            self.close()

    with Network():
        reader, writer = os.pipe()
        lines = Lines(reader)
        os.write(writer, b"one\ntwo\n")
        os.close(writer)
        asyncore.loop()
        assert lines.data == b"one\ntwo\n"


def test_who_waits_for_himself_alone_waits_for_ever() -> None:
    with pytest.raises(Deadlock, match="test waits for read on a pipe"), Network():
        ends = os.pipe()
        os.read(ends[0], 1)
    for fd in ends:
        os.close(fd)  # after a failure they stay taken until somebody does


def test_a_closed_descriptor_is_no_pipe_any_more_and_one_from_outside_never_was() -> None:
    outside = os.pipe()
    with Network():
        reader, writer = os.pipe()
        with select.epoll() as poll:
            poll.register(reader, select.EPOLLIN)
            os.write(writer, b"x")
            os.close(reader)
            assert poll.poll(1) == []
            for fd in (reader, outside[0]):
                with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
                    poll.register(fd, select.EPOLLIN)
    for fd in outside:
        os.close(fd)


@pytest.mark.slow
def test_a_file_object_keeps_the_fifo_that_it_has_opened_when_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with Network():
        file = path.open("r+b", buffering=0)
        opened = os.open(path, os.O_WRONLY)
        assert (by_poll(file.fileno(), 0), os.write(opened, b"x"), by_poll(file.fileno(), 0)) == (False, 1, True)
    assert file.read(9) == b"x"
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):  # of a program that has ended
        os.fstat(opened)


@pytest.mark.slow
def test_a_thousand_runs_leave_no_descriptor() -> None:
    def test(net: Network) -> None:
        os.pipe()
        net.host("server").spawn(os.pipe)

    before = len(os.listdir("/dev/fd"))
    for _ in range(1000):
        simnet.play(test)
    assert len(os.listdir("/dev/fd")) == before


def test_who_closes_his_pipe_when_he_goes_goes_before_the_number_is_anybody_elses() -> None:
    class Owner:
        def __init__(self) -> None:
            self.ends = os.pipe()
            self.itself = self  # it goes with the collector

        def __del__(self) -> None:
            for fd in self.ends:
                os.close(fd)
                closed.append(fd)

    def careless() -> None:
        Owner()

    closed: list[int] = []
    with Network() as net:
        net.host("server").spawn(careless)
    assert len(closed) == 2


@pytest.mark.slow
def test_whoever_a_failure_keeps_may_close_his_pipe_much_later() -> None:
    """By a number that the next run would have had otherwise, or a file of pytest's."""

    class Owner:
        def __init__(self) -> None:
            self.ends = os.pipe()

        def __del__(self) -> None:
            for fd in self.ends:
                os.close(fd)
                closed.append(fd)

    def fails(net: Network) -> None:
        owner = Owner()
        raise KeyError(owner)

    def fails_elsewhere(net: Network) -> None:
        net.host("server").spawn(fails, net)

    closed: list[int] = []
    before = set(os.listdir("/dev/fd"))
    for test in (fails, fails_elsewhere):
        run = simnet.play(test)
        assert (run.body_error is None) is (test is fails_elsewhere)
        others = os.pipe()
        del run
        gc.collect()
        assert len(closed) == 2
        assert not {*closed} & {*others}
        closed.clear()
        os.write(others[1], b"still there")
        for fd in others:
            os.close(fd)
    assert set(os.listdir("/dev/fd")) == before


@pytest.mark.slow
def test_commands_that_the_standard_library_runs_to_see_the_machine_have_pipes_of_their_own(
    simnet_network: Network,
) -> None:
    # Where nobody knows the library, `ld` is asked, and both of its pipes are read by a selector.
    assert simnet_network.host("server").run(ctypes.util.find_library, "nobody_has_this") is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
@pytest.mark.parametrize("last", ["F_SETFL", "F_SETOWN", "FIOASYNC"])
def test_sigio_of_a_pipe_is_refused_instead_of_ending_python(last: str) -> None:
    def program() -> None:
        reader, writer = os.pipe()
        calls = {
            "F_SETOWN": lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, os.getpid()),
            "F_SETFL": lambda: fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC),
            "FIOASYNC": lambda: fcntl.ioctl(reader, termios.FIOASYNC, struct.pack("i", 1)),
        }
        try:
            calls["F_SETFL" if last == "F_SETOWN" else "F_SETOWN"]()  # one alone asks for nothing
            os.write(writer, b"x")
            with pytest.raises(simnet.NotModelled, match="SIGIO of a pipe"):
                calls[last]()
            os.write(writer, b"x")
            assert os.read(reader, 10) == b"xx"
        finally:
            os.close(reader)
            os.close(writer)

    with pytest.raises(simnet.NotModelled, match="SIGIO of a pipe"), Network() as net:
        net.host("server").run(program)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux")
@pytest.mark.parametrize("ready", POLLERS)
def test_what_is_none_of_those_is_refused_by_name(ready: Any) -> None:
    fd = os.pidfd_open(os.getpid())
    try:
        with pytest.raises(simnet.NotModelled, match="no socket, pipe, eventfd or file"), Network():
            ready(fd, 0)
    finally:
        os.close(fd)


@pytest.mark.skipif(not hasattr(os, "timerfd_create"), reason="Python 3.13 and Linux")
def test_a_timer_of_the_machines_is_a_way_out() -> None:
    with pytest.raises(simnet.Escape, match="timerfd_create, which counts real time"), Network():
        os.timerfd_create(time.CLOCK_MONOTONIC)
