"""What faults do to a socket for datagrams at one of its calls: what waits there is gone, or the call fails."""

from __future__ import annotations

from errno import ECONNREFUSED
from typing import Any

from simnet.kernel.datagrams.errors import keeps_errors
from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.unix.datagrams import UnixDatagram

__all__ = ["fail", "has_one", "hears_errors", "spoil_next"]


def has_one(file: Any) -> bool:
    """Would a read of *file* give a datagram now, and look at its checksum?"""
    return isinstance(file, UdpSocket) and bool(file.inbox) and not file.error


def spoil_next(file: UdpSocket) -> None:
    """The next datagram has a wrong checksum: it is gone, and its memory given back (udp_recvmsg)."""
    file.take_next()


def hears_errors(file: Any) -> bool:
    """Is *file* told by its next call what a host has answered to an earlier one: is it connected, or has an error queue?"""
    if not isinstance(file, UdpSocket):
        return False
    return file.peer is not None or any(keeps_errors(file, target) for target in (("", 0), (":", 0)))


def fail(file: Any, op: str, code: int) -> None:
    """A call of *file* fails with *code*: what else becomes of the socket by that."""
    if op == "send" and isinstance(file, UdpSocket):
        file.stand_somewhere()
    if code == ECONNREFUSED and isinstance(file, UnixDatagram) and file.peer is not None:
        file.lose(file.peer)
