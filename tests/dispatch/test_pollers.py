"""Four verbs, the same over every backend."""

from __future__ import annotations

import os
import select
import socket
from types import SimpleNamespace

import pytest

from dispatch.interfaces import ERR, HUP, IN, NVAL, OUT, PRI, READ, Poller
from dispatch.kernel import KERNEL
from dispatch.pollers import kqueue
from dispatch.pollers.epoll import EpollPoller
from dispatch.pollers.poll import PollPoller
from tests.dispatch import emulated_kqueue
from tests.dispatch.conftest import EMULATED


@pytest.fixture
def poller(world):
    poller = KERNEL.poller(world.poller)
    yield poller
    poller.close()


@pytest.fixture
def kernel_poller(kernel_world):
    poller = KERNEL.poller(kernel_world.poller)
    yield poller
    poller.close()


def bits_of(poller: Poller, fd: int) -> int:
    return dict(poller.poll(0)).get(fd, 0)


def test_an_idle_connection_is_writable_and_not_readable(poller, loopback_pair):
    _, acceptor = loopback_pair
    poller.watch(acceptor.fileno(), IN | OUT | PRI)

    assert bits_of(poller, acceptor.fileno()) == OUT


def test_only_what_is_asked_for_is_reported(poller, loopback_pair):
    opener, acceptor = loopback_pair
    opener.send(b"x")
    poller.watch(acceptor.fileno(), IN)
    assert bits_of(poller, acceptor.fileno()) == IN

    poller.change(acceptor.fileno(), OUT)
    assert bits_of(poller, acceptor.fileno()) == OUT

    poller.change(acceptor.fileno(), 0)
    assert bits_of(poller, acceptor.fileno()) == 0


def test_what_is_not_dealt_with_is_reported_again(poller, loopback_pair):
    opener, acceptor = loopback_pair
    opener.send(b"x")
    poller.watch(acceptor.fileno(), IN)

    assert [bits_of(poller, acceptor.fileno()) for _ in range(3)] == [IN, IN, IN]


def test_a_forgotten_descriptor_is_not_reported(poller, loopback_pair):
    opener, acceptor = loopback_pair
    opener.send(b"x")
    poller.watch(acceptor.fileno(), IN)
    poller.forget(acceptor.fileno())

    assert poller.poll(0) == []


def test_a_closed_descriptor_may_be_forgotten(poller):
    a, b = socket.socketpair()
    fd = a.fileno()
    poller.watch(fd, IN)
    a.close()
    b.close()

    poller.forget(fd)
    poller.forget(fd)
    assert poller.poll(0) == []


def test_the_end_is_readable(poller, loopback_pair):
    opener, acceptor = loopback_pair
    poller.watch(acceptor.fileno(), IN)
    opener.shutdown(socket.SHUT_WR)

    assert dict(poller.poll(1))[acceptor.fileno()] & IN


def test_a_reset_is_reported_though_nothing_but_reading_was_asked_for(poller, loopback_pair):
    opener, acceptor = loopback_pair
    acceptor.send(b"never read, so closing resets")
    poller.watch(acceptor.fileno(), IN)
    opener.recv(1)
    opener.close()

    assert dict(poller.poll(1))[acceptor.fileno()] & (IN | ERR | HUP)


def test_urgent_data_is_told_apart(poller, loopback_pair):
    if poller.name == "kqueue":
        pytest.skip("kqueue announces urgent data on macOS only")
    opener, acceptor = loopback_pair
    poller.watch(acceptor.fileno(), IN | PRI)
    opener.send(b"!", socket.MSG_OOB)

    assert dict(poller.poll(1))[acceptor.fileno()] == PRI


@pytest.fixture
def macos(monkeypatch):
    """The poller of macOS: it has a filter for urgent data, which the other systems do not have."""
    emulated_kqueue.install(monkeypatch)
    monkeypatch.setattr(kqueue, "sys", SimpleNamespace(platform="darwin"))
    poller = kqueue.KqueuePoller()
    yield poller
    poller.close()


@pytest.mark.skipif("emulated-kqueue" not in EMULATED, reason="a real kqueue is here, or no poll to emulate it with")
def test_urgent_data_is_told_apart_on_macos(macos, loopback_pair):
    opener, acceptor = loopback_pair
    macos.watch(acceptor.fileno(), IN | PRI)
    opener.send(b"!", socket.MSG_OOB)
    assert dict(macos.poll(1)) == {acceptor.fileno(): PRI}

    macos.change(acceptor.fileno(), IN)
    assert macos.poll(0) == []
    macos.change(acceptor.fileno(), OUT | PRI)
    assert dict(macos.poll(1)) == {acceptor.fileno(): OUT | PRI}
    macos.forget(acceptor.fileno())
    assert macos.poll(0) == []


@pytest.mark.skipif("emulated-kqueue" not in EMULATED, reason="a real kqueue is here, or no poll to emulate it with")
def test_a_pipe_has_no_urgent_data_on_macos_and_is_read_all_the_same(macos):
    reader, writer = os.pipe()
    try:
        macos.watch(reader, IN | PRI)
        macos.watch(writer, OUT | PRI)
        os.write(writer, b"x")
        assert dict(macos.poll(1)) == {reader: IN, writer: OUT}
        macos.forget(reader)
        macos.change(writer, 0)
        assert macos.poll(0) == []
    finally:
        os.close(reader)
        os.close(writer)


def test_a_time_out_is_no_event(poller, loopback_pair):
    _, acceptor = loopback_pair
    poller.watch(acceptor.fileno(), IN)

    assert poller.poll(0.001) == []


def test_a_closed_descriptor_does_not_stop_the_others(poller, loopback_pair):
    opener, acceptor = loopback_pair
    opener.send(b"x")
    stale, other = socket.socketpair()
    fd = stale.fileno()
    poller.watch(fd, IN)
    poller.watch(acceptor.fileno(), IN)
    stale.close()
    other.close()

    ready = dict(poller.poll(1))
    if fd in ready:  # epoll and kqueue have forgotten it, the others say so
        assert ready[fd] == NVAL
        poller.forget(fd)
        ready = dict(poller.poll(1))
    assert ready == {acceptor.fileno(): IN}


def test_a_negative_descriptor_is_refused(poller):
    with pytest.raises((OSError, ValueError)):
        poller.watch(-1, IN)


def test_a_closed_poller_says_so(poller):
    poller.close()

    with pytest.raises(ValueError):
        poller.poll(0)


def test_a_regular_file_is_always_ready(kernel_poller, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        kernel_poller.watch(file.fileno(), IN)
        assert bits_of(kernel_poller, file.fileno()) == IN
        kernel_poller.change(file.fileno(), 0)
        assert bits_of(kernel_poller, file.fileno()) & IN == 0
        kernel_poller.forget(file.fileno())


@pytest.mark.parametrize("verb", ["change", "forget"])
def test_a_number_that_a_file_has_taken_may_be_changed_and_forgotten(kernel_poller, tmp_path, verb):
    here, there = socket.socketpair()
    fd = here.fileno()
    kernel_poller.watch(fd, IN)
    with here, there, open(tmp_path / "file", "w") as file:
        os.dup2(file.fileno(), fd)
        kernel_poller.change(fd, IN | OUT) if verb == "change" else kernel_poller.forget(fd)

        assert bits_of(kernel_poller, fd) == (IN | OUT if verb == "change" else 0)


@pytest.mark.parametrize("verb", ["change", "watch"])
def test_a_number_that_was_a_files_is_ready_when_what_has_it_now_is(kernel_poller, tmp_path, verb):
    here, there = socket.socketpair()
    with here, there, open(tmp_path / "file", "w") as file:
        fd = file.fileno()
        kernel_poller.watch(fd, IN)
        os.dup2(here.fileno(), fd)
        getattr(kernel_poller, verb)(fd, IN)
        assert bits_of(kernel_poller, fd) == 0
        there.send(b"x")
        assert bits_of(kernel_poller, fd) == IN
        kernel_poller.forget(fd)
        assert bits_of(kernel_poller, fd) == 0


@pytest.mark.parametrize("name", [name for name in ("epoll", *EMULATED) if name in EMULATED or hasattr(select, name)])
def test_who_keeps_what_is_watched_knows_whether_it_is_there(name, monkeypatch):
    if name in EMULATED:
        emulated_kqueue.install(monkeypatch)
    poller = KERNEL.poller(name.rpartition("-")[2])
    here, there = socket.socketpair()
    twin = socket.socket(fileno=here.detach())
    fd = twin.fileno()
    poller.watch(fd, IN)
    assert poller.knows(fd, IN)
    there.send(b"x")
    assert bits_of(poller, fd) & IN

    twin.close()
    assert not poller.knows(fd, IN)
    with there, there.dup() as other:
        if other.fileno() != fd:
            os.dup2(other.fileno(), fd)
        assert not poller.knows(fd, IN)
        if other.fileno() != fd:
            os.close(fd)
    poller.close()


def test_select_refuses_a_descriptor_it_cannot_watch():
    poller = KERNEL.poller("select")
    try:
        with pytest.raises(OSError, match="1024"):
            poller.watch(1024, IN)
    finally:
        poller.close()


def test_an_unknown_poller_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'devpoll'.*select"):
        KERNEL.poller("devpoll")


@pytest.mark.parametrize("name", ["epoll", "kqueue"])
def test_a_poller_of_another_platform_is_refused(name, monkeypatch):
    monkeypatch.delattr(f"select.{name}", raising=False)

    with pytest.raises(ValueError, match=name):
        KERNEL.poller(name)


def test_the_pollers_are_looked_up_when_they_are_made(monkeypatch):
    """Whoever stands in for the select module is obeyed, also after dispatch was imported."""
    calls = []

    class StandIn:
        def poll(self, timeout=None):
            calls.append(timeout)
            return []

        def close(self):
            pass

    monkeypatch.setattr("select.epoll", StandIn, raising=False)
    poller = KERNEL.poller("epoll")
    poller.poll(1)

    assert calls == [1]


def test_pipes_can_be_watched(kernel_poller):
    reader, writer = os.pipe()
    try:
        kernel_poller.watch(reader, IN)
        assert kernel_poller.poll(0) == []
        os.write(writer, b"x")
        assert dict(kernel_poller.poll(1))[reader] & IN
    finally:
        kernel_poller.forget(reader)
        os.close(reader)
        os.close(writer)


def test_the_end_of_who_reads_a_pipe_is_trouble_to_who_writes(kernel_poller):
    reader, writer = os.pipe()
    try:
        kernel_poller.watch(writer, 0)
        kernel_poller.watch(reader, IN)
        os.write(writer, b"x")
        assert dict(kernel_poller.poll(1)) == {reader: IN}
        kernel_poller.forget(reader)
        os.close(reader)
        assert bits_of(kernel_poller, writer) & (IN | ERR | HUP) in (ERR, HUP)
    finally:
        kernel_poller.forget(writer)
        os.close(writer)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux's")
def test_an_epoll_that_another_thread_closes_meanwhile_forgets_all_the_same():
    """Its number may be another descriptor's already when the call comes to the kernel, which says EINVAL then."""
    poller = EpollPoller()
    near, far = socket.socketpair()
    with near, far:
        poller.watch(near.fileno(), IN)
        os.dup2(far.fileno(), poller._epoll.fileno())
        poller.forget(near.fileno())
        poller.close()


@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll here")
def test_two_threads_may_ask_one_poll_at_once(loopback_pair):
    """As where each has a loop over the same channels. An object of select.poll is for one at a time."""
    opener, acceptor = loopback_pair
    poller, told = PollPoller(), []

    class Busy:
        """Another thread is in it at the moment."""

        says = "concurrent poll() invocation"

        def __init__(self, pollster):
            self.register = pollster.register

        def poll(self, timeout):
            raise RuntimeError(self.says)

    poller.watch(opener.fileno(), IN)
    poller.watch(acceptor.fileno(), OUT)
    poller.forget(opener.fileno())
    poller._poll = Busy(poller._poll)
    told.append(poller.poll(0))
    poller.change(acceptor.fileno(), 0)
    told.append(poller.poll(0))
    assert told == [[(acceptor.fileno(), OUT)], []]
    Busy.says = "of a signal's handler"
    with pytest.raises(RuntimeError, match=Busy.says):
        poller.poll(0)
    poller.close()


def test_one_turn_tells_of_all_that_are_ready_however_many(kernel_poller):
    """Python's epoll tells of FD_SETSIZE - 1 at a time; who counts turns, as ``asyncore.poll`` does, wants all in one."""
    resource = pytest.importorskip("resource")
    many = 1200 if kernel_poller.name != "select" else 500  # descriptors
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < many + 200:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 200), hard))
    near, far = socket.socketpair()
    far.send(b"x")
    ready = [os.dup(near.fileno()) for _ in range(many)]
    try:
        for fd in ready:
            kernel_poller.watch(fd, READ)
        assert dict(kernel_poller.poll(0)) == dict.fromkeys(ready, IN)
        for fd in ready[5:]:
            kernel_poller.forget(fd)
        assert dict(kernel_poller.poll(0)) == dict.fromkeys(ready[:5], IN)
        for fd in ready[5:]:
            kernel_poller.watch(fd, READ)
        assert dict(kernel_poller.poll(0)) == dict.fromkeys(ready, IN)
    finally:
        for fd in ready:
            os.close(fd)
        near.close()
        far.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
