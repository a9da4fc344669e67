"""A snapshot of every socket of a network, printed as netstat(8) prints one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["Netstat", "Row", "snapshot"]


class Row(NamedTuple):
    """One socket."""

    host: str
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


def _address(pair: Any) -> str:
    return "*:*" if not pair else f"{pair[0]}:{pair[1]}" if isinstance(pair, tuple) else str(pair)


def snapshot(processes: Iterable[Any]) -> Netstat:
    """What the processes' descriptors are, now."""
    rows = []
    for process in processes:
        for fd, file in process.descriptors.items():
            state = getattr(file, "state", None)
            if state is None:
                continue
            rows.append(
                Row(
                    process.host_name,
                    process.name,
                    fd,
                    {6: "tcp", 17: "udp"}.get(getattr(file, "wire", file.proto), "tcp" if file.type == 1 else "udp"),
                    _address(getattr(file, "local", None)),
                    _address(getattr(file, "peer", None)),
                    state,
                    getattr(file, "unread", 0),
                    getattr(file, "unsent", 0),
                    str(file.tag),
                )
            )
    return Netstat(rows)
