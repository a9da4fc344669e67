"""A listening socket: its backlog, and how a SYN becomes a connection somebody accepts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from simnet.kernel.options import IPPROTO_TCP, TCP_DEFER_ACCEPT
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.segment import ACK, SYN, Notice, Segment
from simnet.kernel.states import LISTEN, SYN_RECV

if TYPE_CHECKING:
    from simnet.kernel.tcp import TcpSocket

SOMAXCONN = 4096  # net.core.somaxconn, Linux 5.4 and later


class Listener:
    """The queue of a listening socket. ``queue`` holds connections that completed their handshake."""

    __slots__ = ("backlog", "queue", "half_open")

    def __init__(self, backlog: int) -> None:
        self.backlog = backlog
        self.queue: deque[TcpSocket] = deque()
        self.half_open: dict[TcpSocket, Any] | None = None  # those whose third segment came to a full queue

    @property
    def full(self) -> bool:
        """listen(n) lets n + 1 connections complete (K-044)."""
        return len(self.queue) > self.backlog


def arrive_syn(socket: TcpSocket, segment: Segment) -> None:
    """A SYN for a listening socket: answer it, or drop it if the queue is full, so that the peer tries again."""
    listener = socket.listener
    assert listener is not None
    stack = socket.stack
    if len(listener.queue) > listener.backlog:
        # tcp_abort_on_overflow is 0: silence, and the client's timer repeats the SYN.
        stack.out.append(Notice(segment.target, segment.source, segment, stack))
        return
    child = type(socket)(stack, socket.family)
    child.origin = "server"
    child.parent = socket
    child.local = segment.target
    child.peer = segment.source
    child.state = SYN_RECV
    child.rcv_nxt = segment.seq + 1
    child.snd_edge = segment.edge
    child.since_ns = stack.clock.now_ns
    if socket.sharing or socket.options is not None:
        inherit(socket, child)
    stack.connections[(segment.target, segment.source)] = child
    if stack.demanding:
        child.prepare()
    child._send_syn(SYN | ACK)


def inherit(socket: TcpSocket, child: TcpSocket) -> None:
    """What an accepted socket has of its listener (K-048)."""
    child.sharing = socket.sharing & ~V6_ONLY
    child.low_water = socket.low_water
    child.snd_room = socket.snd_room
    if child.rcv_room != socket.rcv_room:
        child.rcv_edge = child.rcv_told = child.rcv_edge - child.rcv_room + socket.rcv_room
        child.rcv_room = socket.rcv_room
    if socket.options is not None:
        child.options = dict(socket.options)


def admit(child: TcpSocket, segment: Segment) -> bool:
    """The third segment of *child*'s handshake: into the accept queue, if it may."""
    parent = child.parent
    assert parent is not None
    stack = child.stack
    if parent.state != LISTEN:
        child.vanish()
        stack.refuse(segment)
        return False
    listener = parent.listener
    assert listener is not None
    if len(listener.queue) > listener.backlog:
        _wait_for_room(child, listener, segment)
        return False
    if parent.options is not None and not segment.payload and parent.option(IPPROTO_TCP, TCP_DEFER_ACCEPT):
        return False  # the listener is told when data comes (K-049)
    port = child.local[1] if child.local is not None else 0
    child.port = port
    stack.tcp_ports.hold(port, child)
    listener.queue.append(child)
    return True


def _wait_for_room(child: TcpSocket, listener: Listener, segment: Segment) -> None:
    raise NotImplementedError


def abandon(listener: Listener) -> None:
    """The listener closed: whoever waited in its queue is reset (K-045)."""
    while listener.queue:
        child = listener.queue.popleft()
        child.parent = None
        child.refs = 0
        child.disconnect()
