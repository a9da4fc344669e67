"""A run takes itself apart: what it made goes with the last reference, not with the collector."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest

import simnet
from simnet.kernel.tcp import TcpSocket


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
    return sum(type(each) is TcpSocket for each in gc.get_objects())
