"""``socket.socketpair`` over the simulated kernel."""

from __future__ import annotations

import sys
from errno import EINVAL

from simnet.faults.inject import Tag
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOCK_TYPE_MASK
from simnet.places.unix import paired
from simnet.socket import Socket, socket_of
from simnet.wait import running
from simnet.whereabouts import asked_by_a_library

__all__ = ["socketpair"]


def socketpair(family: int, type: int, proto: int) -> tuple[Socket, Socket]:
    """Two connected sockets of the current process, as ``socket.socketpair`` gives them."""
    scheduler = running.scheduler
    assert scheduler is not None
    process = scheduler.current
    if type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC):
        raise socket_error(EINVAL)  # before the family is looked at
    process.descriptors.reserve_several(2)
    kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)
    files = process.machine.stack.socketpair(family, kind, proto)
    process.pairs += 1
    for number, file in enumerate(files, 1):
        file.tag = Tag(None, f"pair {process.pairs}.{number} of {process.name}", "", process.host_name)
    if kind == SOCK_STREAM and not asked_by_a_library(sys._getframe(1)):
        paired(process.machine, *files)
    ends = [socket_of(process, process.machine, file, (family, kind, proto)) for file in files]
    if type & SOCK_NONBLOCK:
        for end in ends:
            end.setblocking(False)
    return ends[0], ends[1]
