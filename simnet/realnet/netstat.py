"""Every socket of a real run, as `simnet.netstat` shows those of a simulated one: addresses and ports as the programs see them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any

from simnet.kernel import states
from simnet.kernel.messages import SIOCINQ, SIOCOUTQNSD
from simnet.netstat import Netstat, Row, shown_address
from simnet.realnet.calls import C
from simnet.realnet.connection import counted
from simnet.realnet.process import RealProcess

__all__ = ["TCP_STATES", "snapshot"]

# net/tcp_states.h, from 1 on.
TCP_STATES = (
    *(states.ESTABLISHED, states.SYN_SENT, states.SYN_RECV, states.FIN_WAIT1, states.FIN_WAIT2, states.TIME_WAIT),
    *(states.CLOSED, states.CLOSE_WAIT, states.LAST_ACK, states.LISTEN, states.CLOSING),
)
UNACKED = slice(24, 28)  # in struct tcp_info: of a listener, the connections that nobody has accepted


def snapshot(processes: Iterable[RealProcess], consoles: Iterable[RealProcess]) -> Netstat:
    """What the sockets of *processes* are, now. Those of *consoles*, which hosts have made for it, are the test's."""
    test, *others = processes
    held = [(test, [*test.sockets, *(sock for each in consoles for sock in each.sockets)])]
    held += [(process, list(process.sockets)) for process in others]
    return Netstat(
        row
        for process, sockets in held
        for fd, sock in sorted(((C.fileno(sock), sock) for sock in sockets if sock._held), key=lambda pair: pair[0])
        if (row := _row_of_one_that_is_open(process.name, fd, sock)) is not None
    )


def _row_of_one_that_is_open(holder: str, fd: int, sock: Any) -> Row | None:
    """None: its program, whose thread goes on, has just closed it."""
    try:
        return _row(holder, fd, sock)
    except OSError:
        return None


def _row(holder: str, fd: int, sock: Any) -> Row:
    file = sock._file
    unix = file.family == socket.AF_UNIX
    tcp = file.stream and not unix
    local, peer = _local(sock), _peer(sock)
    state = states.ESTABLISHED if peer else states.CLOSED
    unread = unsent = 0
    if tcp:
        info = C.getsockopt(sock, socket.IPPROTO_TCP, socket.TCP_INFO, UNACKED.stop)
        state = TCP_STATES[info[0] - 1]
        if state == states.LISTEN:
            unread = struct.unpack("I", info[UNACKED])[0]
    elif C.getsockopt(sock, socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        state = states.LISTEN
    if state != states.LISTEN:
        unread = counted(fd, SIOCINQ)
        unsent = counted(fd, SIOCOUTQNSD) if tcp and state != states.CLOSED else 0
    proto = "unix" if unix else "tcp" if tcp else "udp"
    host, shown = file.machine.name, (shown_address(local), shown_address(peer))
    return Row(host, holder, fd, proto, *shown, state, unread, unsent, str(file.tag))


def _local(sock: Any) -> Any:
    file, name = sock._file, C.getsockname(sock)
    if not isinstance(name, tuple):
        return name
    if not name[1]:
        return None  # it has no port yet
    host = file.shown_host if file.shown_host is not None and file.connection is None else name[0]
    return (host, *sock._seen(name)[1:])


def _peer(sock: Any) -> Any:
    try:
        return sock._seen(C.getpeername(sock))
    except OSError:
        return None
