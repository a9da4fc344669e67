"""A run takes itself apart: what it made goes with the last reference, not with the collector."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import RUNS_A_COLLECTION, run_sweep
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.process import Process


def both_ends_close(net: Any) -> None:
    """Their ends cross each other on the way, and nobody waits for what comes of it after Ctrl-C."""
    with net.host("server").listen(7) as listener, socket.create_connection(("server", 7)) as client:
        served, _ = listener.accept()
        with served:
            client.send(b"x")
            served.recv(1)
            client.shutdown(socket.SHUT_WR)
            served.shutdown(socket.SHUT_WR)


def one_end_stays(net: Any) -> None:
    with net.host("server").listen(7) as listener, socket.create_connection(("server", 7)) as client:
        served, _ = listener.accept()
        client.send(b"x")
        served.close()


@pytest.mark.parametrize("conversation", [both_ends_close, one_end_stays])
@pytest.mark.slow
def test_the_ends_of_a_connection_do_not_keep_each_other_when_ctrl_c_ends_a_run(conversation: Any) -> None:
    def broken_off() -> None:
        with pytest.raises(KeyboardInterrupt), simnet.Network() as net:
            conversation(net)
            raise KeyboardInterrupt

    gc.collect()
    gc.disable()
    try:
        before = _connections()
        broken_off()
        assert _connections() == before
    finally:
        gc.enable()


def _connections() -> int:
    return _alive(TcpSocket)


def _alive(kind: type) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


@pytest.mark.slow
def test_what_runs_leave_that_fail_does_not_pile_up_in_a_sweep() -> None:
    """A future that nobody tells, a thread that ends beside it, a connection that stays: all of it in circles, and alive when the run looks."""
    alive: list[int] = []

    def ask() -> bytes:
        future: Future[bytes] = Future()

        def listen() -> None:
            try:
                future.set_result(sock.recv(100))
            except OSError:
                pass

        sock = socket.create_connection(("server", 7))
        threading.Thread(target=listen, daemon=True).start()
        sock.sendall(b"hello" * 100)
        answer = future.result()
        sock.close()
        return answer

    def test(net: Any) -> Any:
        alive.append(_alive(Process))
        listener = net.host("server").listen(7)
        client = net.host("client").spawn(ask)
        with listener, listener.accept()[0] as conn:
            conn.sendall(conn.recv(500, socket.MSG_WAITALL))
        assert client.join()

    result = run_sweep(
        test, SweepOptions(target=("client",), kinds=("reset",), runs=4 * RUNS_A_COLLECTION, shrink=False)
    )
    assert result.failed > 100
    assert max(alive[2 * RUNS_A_COLLECTION :]) < 2 * max(alive[:RUNS_A_COLLECTION])


class Connection:
    """As one of multiprocessing's, which an exception may keep until the run is over."""

    def __init__(self) -> None:
        self.number = socket.socket().detach()

    def close(self) -> None:
        os.close(self.number)

    def __del__(self) -> None:
        self.close()


def test_the_collector_may_close_a_number_when_the_run_is_over() -> None:
    """Nobody could catch its EBADF, of which Python would print a traceback. Others are told, as of each call."""
    with simnet.Network():
        kept = Connection()
    for call in (os.close, os.fstat):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call(kept.number)
    del kept  # a warning of an exception that is ignored would be a failure


LEAVES_ONE = """
import os, socket
import simnet

class Connection:
    def __init__(self):
        self.number, self.itself = socket.socket().detach(), self

    def __del__(self, close=os.close):
        close(self.number)

with simnet.Network():
    kept = Connection()
del kept
"""


@pytest.mark.slow
def test_and_when_the_interpreter_ends() -> None:
    told = subprocess.run([sys.executable, "-c", LEAVES_ONE], capture_output=True, text=True, check=True, timeout=60)
    assert told.stderr == ""
