"""``socket.socketpair`` over the simulated kernel."""

from __future__ import annotations

from errno import EINVAL

from simnet.faults.inject import Tag
from simnet.kernel.errors import socket_error
from simnet.socket import SOCK_CLOEXEC, SOCK_NONBLOCK, Socket
from simnet.wait import current_scheduler

__all__ = ["socketpair"]

SOCK_TYPE_MASK = 0xF


def socketpair(family: int, type: int, proto: int) -> tuple[Socket, Socket]:
    """Two connected sockets of the current process, as ``socket.socketpair`` gives them."""
    scheduler = current_scheduler()
    assert scheduler is not None
    process = scheduler.current
    if type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC):
        raise socket_error(EINVAL)  # before the family is looked at
    ends: list[Socket] = []
    for number, file in enumerate(
        process.machine.stack.socketpair(family, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), proto), 1
    ):
        process.pairs += number & 1
        file.tag = Tag(None, f"pair {process.pairs}.{number} of {process.name}", "", process.host_name)
        ends.append(end := Socket(family, type, proto, fileno=process.descriptors.add(file)))
        if type & SOCK_NONBLOCK:
            end.setblocking(False)
    return ends[0], ends[1]
