"""What a target still holds when nothing moves any more: sockets whose peer is gone, as the kernel itself reports."""

from __future__ import annotations

import _socket
import socket

from simnet.invariants import still_holds
from simnet.kernel import states
from simnet.kernel.messages import AF_UNIX, SIOCOUTQ
from simnet.realnet.connection import counted
from simnet.realnet.netstat import TCP_STATES
from simnet.realnet.process import RealProcess
from simnet.verdicts import Verdict

__all__ = ["nothing_left"]

OVER = (states.TIME_WAIT, states.CLOSED, states.CLOSE_WAIT, states.LAST_ACK, states.CLOSING)


def nothing_left(process: RealProcess) -> list[Verdict]:
    """A verdict for each connection that is over and still open here."""
    verdicts = []
    for sock in list(process.sockets):
        file = sock._file
        if not sock._held or file.connection is None or not file.stream:
            continue
        if file.family == AF_UNIX:
            state = "hung up" if file.peer_gone else None
        else:
            state = None if counted(file.fd, SIOCOUTQ) else _state(file.fd)
        if state is not None:
            verdicts.append(
                Verdict(
                    "nothing-left",
                    still_holds(process.name, file.tag, state, sock._closed),
                    process.host_name,
                )
            )
    return verdicts


def _state(fd: int) -> str | None:
    """The state of a connection that is over; None while it is not."""
    twin = _socket.socket(fileno=fd)
    try:
        state = TCP_STATES[twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] - 1]
    finally:
        twin.detach()
    return state if state in OVER else None
