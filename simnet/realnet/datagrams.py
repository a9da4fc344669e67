"""Sockets for datagrams of a real run: their places, and which faults their calls can meet."""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING, Final

from simnet.faults.inject import DatagramTag
from simnet.faults.kinds import BY_ICMP, Drop, Error
from simnet.faults.place import Place
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_DGRAM
from simnet.kernel.options.idle import ERROR_QUEUES
from simnet.kernel.ports import FIRST_EPHEMERAL
from simnet.places.flows import flow

if TYPE_CHECKING:
    from socket import socket

    from simnet.faults.fault import Fault
    from simnet.realnet.connection import RealFile
    from simnet.realnet.machine import Machine
    from simnet.realnet.stage import Stage

__all__ = ["at_port", "can_meet", "towards"]

SOME_PORT: Final = 0  # one that the kernel chooses


def at_port(stage: Stage, file: RealFile, port: int = SOME_PORT) -> None:
    """*file* is new, or bound to *port*, as the program sees that."""
    if file.kind == SOCK_DGRAM and file.family in (AF_INET, AF_INET6):
        _stand(stage, file, Place.listener(file.machine.name, port if 0 < port < FIRST_EPHEMERAL else "*"))
    elif port:
        file.tag.text = f"{file.machine.name}:{port}"


def towards(stage: Stage, file: RealFile, owner: Machine, port: int) -> None:
    """*file* is connected to *port* of *owner*."""
    _stand(stage, file, flow(file.machine.name, owner.name, port)[0], "client")


def _stand(stage: Stage, file: RealFile, place: Place, end: str = "") -> None:
    with stage.lock:
        counts = stage.listeners.setdefault(place, {})
        tag = DatagramTag(place, str(place), end, file.machine.name, counts)
        stage.injector.arm(tag, file.machine.target)
        file.tag = tag


def can_meet(fault: Fault, sock: socket, file: RealFile, ready: bool) -> bool:
    """Would the kernel say so at this call of *sock*? If it is *ready*, there is a datagram."""
    if isinstance(fault, Drop):
        return ready
    if not isinstance(fault, Error) or (fault.op == "send" and fault.errno != BY_ICMP):
        return True
    hears = file.tag.end or _socket.socket.getsockopt(sock, *ERROR_QUEUES[file.family == AF_INET6])
    return bool(hears) and file.tag.counts.get("send", 0) > (fault.op == "send")
