"""What ``loop``, ``poll`` and ``poll2`` are given as a time-out, beside asyncore's own: they take the same, and refuse the same."""

from __future__ import annotations

import socket
import warnings

import pytest

import dispatch.asyncore
from tests.dispatch.test_side_by_side import outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")

MAPS = pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
CALLS = {
    "poll": lambda asyncore, timeout, channels: asyncore.poll(timeout, channels),
    "poll2": lambda asyncore, timeout, channels: asyncore.poll2(timeout, channels),
    "loop-1": lambda asyncore, timeout, channels: asyncore.loop(timeout, False, channels, 1),
    "loop-8": lambda asyncore, timeout, channels: asyncore.loop(timeout, False, channels, 8),
    "loop-1-by-poll": lambda asyncore, timeout, channels: asyncore.loop(timeout, True, channels, 1),
    "loop-8-by-poll": lambda asyncore, timeout, channels: asyncore.loop(timeout, True, channels, 8),
}


def alike(call, timeout, own_map, methods, *, waiting=b""):
    """What *call* does with a channel that has *methods* is the same on each of the two."""

    def program(asyncore):
        near, far = socket.socketpair()
        told = []
        channel = type("Told", (asyncore.dispatcher,), methods(told))(near, {} if own_map else None)
        with near, far:
            far.send(waiting)
            seen = outcome(CALLS[call], asyncore, timeout, channel._map)
            channel.close()
        return seen, told

    on_ours = program(dispatch.asyncore)
    assert on_ours == program(theirs)
    return on_ours


def reading(told):
    return {"handle_read": lambda self: told.append(self.recv(1)), "writable": lambda self: False}


def silent(told):
    return {"readable": lambda self: told.append("asked"), "writable": lambda self: False}


@MAPS
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("timeout", [None, 0, 0.01, True, "x", "", [], len, -1, float("nan")], ids=repr)
def test_a_timeout_is_taken_or_refused_alike_by_who_is_ready(call, timeout, own_map):
    alike(call, timeout, own_map, reading, waiting=b"as much as it likes")


@MAPS
@pytest.mark.parametrize("call", [call for call in CALLS if "poll2" not in call and "by-poll" not in call])
def test_nobody_waits_for_ever_for_nothing_by_select(call, own_map):
    """Where no channel wants anything the time-out is slept, and nobody sleeps for None."""
    assert alike(call, None, own_map, silent) == (("TypeError", None), ["asked"])


@MAPS
def test_a_loop_without_end_waits_for_nothing_as_little(own_map):
    def program(asyncore):
        near, far = socket.socketpair()
        told = []
        channel = type("Told", (asyncore.dispatcher,), silent(told))(near, {} if own_map else None)
        with near, far:
            seen = outcome(asyncore.loop, None, False, channel._map)
            channel.close()
        return seen, told

    assert program(dispatch.asyncore) == program(theirs) == (("TypeError", None), ["asked"])


@MAPS
def test_who_wants_to_write_only_to_say_that_nobody_does_waits_for_something(own_map):
    def program(asyncore):
        near, far = socket.socketpair()
        channel = asyncore.dispatcher(near, {} if own_map else None)
        channel.readable = lambda: False
        channel.log_info = lambda *_: channel.close()
        with near, far:
            return outcome(asyncore.loop, None, False, channel._map)

    assert program(dispatch.asyncore) == program(theirs) is None
