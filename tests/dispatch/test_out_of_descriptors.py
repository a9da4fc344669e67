"""A process that has no descriptor left goes on with those it has: nothing more is opened for that, not even a file of Python's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="limits are POSIX's")

EXHAUSTED = """
import os, resource, socket

def exhaust():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    while True:
        try:
            os.dup(0)
        except OSError:
            return
"""

OLD = """
from dispatch import asyncore

told = []

class Reader(asyncore.dispatcher):
    def writable(self):
        return False

    def handle_read(self):
        told.append(self.recv(10))

pairs = [socket.socketpair() for _ in range(2)]
channels = {}
Reader(pairs[0][0], channels)
Reader(pairs[1][0])
exhaust()
for _, far in pairs:
    far.send(b"x")
for use_poll in (False, True):
    asyncore.loop(0, use_poll, channels, 1)
    asyncore.loop(0, use_poll, None, 1)
assert told == [b"x", b"x"], told
"""

NEW = """
import sys, dispatch

told = []

class Odd(dispatch.Stream):
    def handle_data(self, data):
        if data == b"raise":
            raise ValueError("odd")
        if data == b"abort":
            self.write(bytes(10_000_000))
            self.abort()
        told.append(data)

    def handle_close(self, reason):
        told.append(type(reason).__name__)

loop = dispatch.Loop()
pairs = [socket.socketpair() for _ in range(3)]
for near, _ in pairs:
    Odd(near, loop=loop)
loop.run_once(0)
exhaust()
assert not {"logging", "struct"} & set(sys.modules)
for (_, far), data in zip(pairs, [b"raise", b"abort", b"read"]):
    far.send(data)
    loop.run_once(1)
    loop.run_once(0)
if os.fork() == 0:
    pairs[2][1].send(b"in the child")
    loop.run_once(1)
    os._exit(told[-1:] != [b"in the child"])
assert os.wait()[1] == 0
assert sorted(map(str, told)) == ["Aborted", "ValueError", "b'abort'", "b'read'"], told
"""

CONNECTING = """
import errno, dispatch

told = []

class Client(dispatch.Stream):
    def handle_close(self, reason):
        told.append(reason.errno)

with socket.create_server(("127.0.0.1", 0)) as listener, dispatch.Loop() as loop:
    client = Client(loop=loop)
    exhaust()
    client.connect(listener.getsockname())
    assert told == []
    loop.run()
assert told == [errno.EMFILE], told
"""

IN_THREADS = """
import dispatch, threading

dispatch.preload()
told = []

def call(loop):
    try:
        loop.call_soon_threadsafe(told.append, "a call that was refused")
    except OSError as error:
        told.append(type(error))

for poller in ("poll", "select"):
    loop = dispatch.Loop(poller=poller)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    exhaust()
    loop.call_later(0.001, told.append, poller)
    loop.call_later(0.002, call, loop)
    loop.run()
    done.set()
    thread.join()
assert told == ["poll", OSError, "select", OSError], told
"""


def run(program: str) -> str:
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # which opens a file
    result = subprocess.run(
        [sys.executable, "-c", EXHAUSTED + program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=unmeasured,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_an_old_loop_begins_where_none_is_left():
    assert run(OLD) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_handlers_error_is_told_and_costs_its_channel_only():
    told = run(NEW)

    assert "a handler failed" in told
    assert "ValueError: odd" in told


def test_a_connect_that_cannot_even_begin_is_told_to_handle_close():
    assert run(CONNECTING) == ""


@pytest.mark.skipif(os.name != "posix", reason="poll and select of POSIX")
def test_a_loop_that_cannot_be_woken_by_other_threads_runs_all_the_same_and_they_are_told():
    assert run(IN_THREADS) == ""
