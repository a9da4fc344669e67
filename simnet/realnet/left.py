"""What a target still holds when nothing moves any more: sockets whose peer is gone, by the kernel's own word."""

from __future__ import annotations

import _socket
import socket
import struct

from simnet import real
from simnet.kernel.messages import AF_UNIX, SIOCOUTQ
from simnet.realnet.connection import Connection, opposite
from simnet.realnet.process import RealProcess
from simnet.verdicts import Verdict

__all__ = ["nothing_left"]

TCP_STATES = {6: "TIME_WAIT", 7: "CLOSED", 8: "CLOSE_WAIT", 9: "LAST_ACK", 11: "CLOSING"}  # net/tcp_states.h: over


def nothing_left(process: RealProcess) -> list[Verdict]:
    """A verdict for each connection that is over and still open here."""
    verdicts = []
    for sock in list(process.sockets):
        file = sock._file
        if sock.fileno() == -1 or file.connection is None or not file.stream:
            continue
        if file.family == AF_UNIX:
            state = "hung up" if _hung_up(file.connection, file.tag.end) else None
        else:
            state = TCP_STATES.get(_state(file.fd)) if not _unsent(file.fd) else None
        if state is not None:
            verdicts.append(
                Verdict(
                    "nothing-left",
                    f"{process.name} still holds {file.tag} ({state}), whose peer is gone: "
                    "nothing will ever come of it but a lost descriptor. Close it when it has ended.",
                    process.host_name,
                )
            )
    return verdicts


def _hung_up(connection: Connection, end: str) -> bool:
    """Has the other end been opened, and closed?"""
    other = connection.ends[opposite(end)]
    return other is not None and other.fd == -1


def _state(fd: int) -> int:
    twin = _socket.socket(fileno=fd)
    try:
        return twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    finally:
        twin.detach()


def _unsent(fd: int) -> int:
    return int(struct.unpack("i", real.ioctl(fd, SIOCOUTQ, bytes(4)))[0])
