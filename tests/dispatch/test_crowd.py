"""An epoll poller whose descriptors are mostly ready: poll(2) is asked first, and the answers are epoll's."""

from __future__ import annotations

import select
import socket
import threading

import pytest

import dispatch
from dispatch.interfaces import HUP, IN, OUT, READ
from dispatch.kernel import KERNEL
from dispatch.pollers.epoll import CALM

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux' own")
MANY = 20


class Crowd:
    """A poller and the near ends that it watches; there is something to read for each."""

    def __init__(self) -> None:
        self.poller = KERNEL.poller("epoll")
        self.pairs = [socket.socketpair() for _ in range(MANY)]
        self.bits = {near.fileno(): READ for near, _ in self.pairs}
        for near, far in self.pairs:
            self.poller.watch(near.fileno(), READ)
            far.send(b"x")
        self.gather()

    def gather(self) -> None:
        for _ in range(CALM):
            self.poller.crowded(lambda: list(self.bits.items()))

    def told(self, timeout: float = 0) -> dict[int, int]:
        return dict(self.poller.poll(timeout))


@pytest.fixture
def crowd():
    crowd = Crowd()
    yield crowd
    crowd.poller.close()
    for near, far in crowd.pairs:
        near.close()
        far.close()


def test_all_are_told(crowd):
    assert crowd.poller._crowd is not None
    assert crowd.told() == crowd.told() == dict.fromkeys(crowd.bits, IN)


def test_a_change_is_obeyed_at_once(crowd):
    first, second, third = list(crowd.bits)[:3]
    crowd.poller.change(first, OUT)
    crowd.poller.change(second, 0)
    crowd.poller.forget(third)
    told = crowd.told()
    assert told[first] == OUT
    assert not {second, third} & told.keys()

    crowd.poller.watch(third, READ)
    assert crowd.told()[third] == IN


def test_when_few_are_ready_it_sleeps_in_epoll(crowd):
    for near, _ in crowd.pairs[1:]:
        near.recv(1)
    assert crowd.told() == {crowd.pairs[0][0].fileno(): IN}
    crowd.pairs[0][0].recv(1)
    assert crowd.told(0.001) == {}

    for _, far in crowd.pairs:
        far.send(b"x")
    assert crowd.told() == crowd.told() == dict.fromkeys(crowd.bits, IN)


def test_a_hang_up_is_told_to_who_asks_for_nothing(crowd):
    near, far = crowd.pairs[0]
    crowd.poller.change(near.fileno(), 0)
    crowd.bits[near.fileno()] = 0
    crowd.gather()
    far.close()
    assert crowd.told()[near.fileno()] & HUP


def test_what_another_thread_lets_it_watch_ends_its_sleep(crowd):
    assert crowd.told()
    for near, _ in crowd.pairs:
        near.recv(1)
    near, far = socket.socketpair()
    far.send(b"x")
    other = threading.Timer(0.02, crowd.poller.watch, (near.fileno(), READ))
    other.start()
    with near, far:
        assert crowd.told(5) == {near.fileno(): IN}
        other.join()


def test_a_busy_loop_serves_everybody_whoever_comes_and_goes():
    class Echo(dispatch.Stream):
        def handle_data(self, data: bytes) -> None:
            self.write(data)

    with dispatch.Loop(poller="epoll") as loop:
        pairs = [socket.socketpair() for _ in range(MANY)]
        streams = [Echo(near, loop=loop) for near, _ in pairs]
        peers = [far for _, far in pairs]
        gathered = 0
        for turn in range(6 * CALM):
            for peer in peers:
                peer.send(b"%d" % turn)
            loop.run_once(1)
            assert [peer.recv(10) for peer in peers] == [b"%d" % turn] * len(peers)
            gathered += loop.poller._crowd is not None
            if turn % (2 * CALM) == 2 * CALM - 1:
                streams.pop().close()
                assert peers.pop().recv(10) == b""
        assert gathered > 2 * CALM
        for _, far in pairs:
            far.close()
