"""A snapshot of every socket of a network, printed as netstat(8) prints one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from simnet.kernel.messages import AF_UNIX, SOCK_STREAM
from simnet.kernel.segment import TCP, UDP
from simnet.kernel.states import LISTEN

__all__ = ["Netstat", "Row", "shown_address", "snapshot"]

PROTOCOLS = {TCP: "tcp", UDP: "udp"}


class Row(NamedTuple):
    """One socket."""

    host: str  # whose kernel's it is; a test may hold those of other hosts
    process: str
    fd: int
    proto: str
    local: str
    peer: str
    state: str
    recv_q: int  # bytes (of a listener: connections) nobody has read yet
    send_q: int  # bytes not yet sent
    tag: str


class Netstat(tuple[Row, ...]):
    """The rows, in order of host, process and descriptor; ``str()`` is a table."""

    __slots__ = ()

    def __str__(self) -> str:
        lines = [f"{'Host':<10} {'Proto':<5} {'Recv-Q':>6} {'Send-Q':>6} {'Local':<22} {'Peer':<22} State"]
        lines += [
            f"{row.host:<10} {row.proto:<5} {row.recv_q:>6} {row.send_q:>6} {row.local:<22} {row.peer:<22} {row.state}"
            for row in self
        ]
        return "\n".join(lines)


def shown_address(address: Any) -> str:
    """Host and port, or the path of a Unix socket (an abstract one with ``@``, as netstat has it); ``*:*`` for none."""
    if isinstance(address, bytes):
        return address.replace(b"\0", b"@").decode(errors="replace")
    return "*:*" if not address else f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


def snapshot(processes: Iterable[Any]) -> Netstat:
    """The sockets among the processes' descriptors, now."""
    rows = []
    for process in processes:
        if getattr(process, "owner", None) is not None:
            continue  # a thread has its owner's descriptors
        for fd, file in process.descriptors.items():
            state = getattr(file, "state", None)
            if state is None:
                continue
            unix = file.family == AF_UNIX
            peer = getattr(file, "peer", None)
            rows.append(
                Row(
                    file.stack.name,
                    process.name,
                    fd,
                    _protocol(file),
                    shown_address(getattr(file, "local", None)),
                    shown_address(peer.local if unix and peer is not None else peer),
                    state,
                    _waiting(file) if state == LISTEN else getattr(file, "unread", 0),
                    getattr(file, "unsent", 0),
                    str(file.tag),
                )
            )
    return Netstat(rows)


def _protocol(file: Any) -> str:
    """What netstat calls the kind of a socket, simulated or real: of a real one it is known on the wire."""
    if file.family == AF_UNIX:
        return "unix"
    return PROTOCOLS.get(getattr(file, "wire", file.proto), "tcp" if file.type == SOCK_STREAM else "udp")


def _waiting(file: Any) -> int:
    """The connections of a listener that nobody has accepted."""
    return len((file.queue if file.family == AF_UNIX else file.listener.queue) or ())
