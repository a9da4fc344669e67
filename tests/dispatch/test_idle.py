"""What counts as idle, when handlers take long and turns are far between."""

from __future__ import annotations

import pytest

import dispatch
from tests.dispatch.conftest import Recorder, StoppedClock

PAUSE = 5.0  # seconds that a handler takes


class Patient(Recorder):
    idle_timeout = 3.0

    def handle_idle(self, error):
        self.events.append("idle")
        super().handle_idle(error)


class Thorough(Patient):
    def handle_data(self, data):
        super().handle_data(data)
        self.loop.network.now += PAUSE
        for size in self.sizes:
            self.write(b"x" * size)


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.mark.parametrize("sizes", [[5], [5, 5], [100_000]], ids=["one piece", "two pieces", "a long one"])
def test_who_answers_after_long_thought_is_not_idle_by_then(kernel_world, clock, sizes):
    loop = kernel_world.loop(network=clock)
    server, client = kernel_world.connected(loop, Thorough)
    server.sizes = sizes
    client.sendall(b"what?")
    kernel_world.run(loop, lambda: server.data)
    kernel_world.turn(loop)
    assert "idle" not in server.events  # the peer has had no time to say anything

    clock.now += 2.9
    kernel_world.turn(loop)
    assert "idle" not in server.events
    clock.now += 0.2
    kernel_world.turn(loop)
    assert server.events[-2:] == ["idle", ("close", dispatch.Timeout)]


@pytest.mark.parametrize("producing", [False, True])
def test_what_is_sent_before_a_turn_counts_from_then(kernel_world, clock, producing):
    loop = kernel_world.loop(network=clock)
    server, _ = kernel_world.connected(loop, Patient)
    clock.now += 2
    if producing:
        server.write_from([b"news"])
    else:
        server.write(b"news")
    kernel_world.turn(loop)
    clock.now += 2.9
    kernel_world.turn(loop)
    assert server.events == []

    clock.now += 0.2
    kernel_world.turn(loop)
    assert server.events == ["idle", ("close", dispatch.Timeout)]


def test_who_is_kept_by_ctrl_c_is_asked_again(kernel_world, clock):
    class Interrupted(Recorder):
        idle_timeout = 3.0

        def handle_idle(self, error):
            self.events.append("idle")
            if self.events == ["idle"]:
                raise KeyboardInterrupt
            super().handle_idle(error)

    loop = kernel_world.loop(network=clock)
    channel, _ = kernel_world.connected(loop, Interrupted)
    clock.now += 3.1
    with pytest.raises(KeyboardInterrupt):
        kernel_world.turn(loop)
    clock.now += 2.9
    kernel_world.turn(loop)
    assert channel.events == ["idle"]

    clock.now += 0.2
    kernel_world.turn(loop)
    assert channel.events == ["idle", "idle", ("close", dispatch.Timeout)]
