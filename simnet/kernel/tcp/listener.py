"""A listening socket: its backlog, and how a SYN becomes a connection that can be accepted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.options.idle import TCP_FASTOPEN
from simnet.kernel.options.packed import IP_OPTIONS
from simnet.kernel.options.rare import FASTOPEN_KEY
from simnet.kernel.options.routes import FORGOTTEN
from simnet.kernel.options.tcp_info import OWN_SCALE, note_scale
from simnet.kernel.options.values import (
    IPPROTO_IP,
    IPPROTO_TCP,
    SO_PRIORITY,
    SOL_SOCKET,
    TCP_DEFER_ACCEPT,
)
from simnet.kernel.segment import ACK, FIN, SYN, Notice, Segment
from simnet.kernel.states import CLOSED, LISTEN, SYN_RECV
from simnet.kernel.tcp.control import (
    ACCEPTED_RECEIVE_ROOM,
    AUTOTUNED_RECEIVE_ROOM,
    AUTOTUNED_SEND_ROOM,
    ISN,
    NARROW_ROOM,
    SPEAKS_IPV4,
)
from simnet.kernel.tcp.cork import Cork, hear_mss
from simnet.kernel.tcp.guard import BUCKET_NS, RTO_FIRST_NS, SYNACK_RETRIES
from simnet.kernel.tcp.messages import note_arrivals
from simnet.kernel.tcp.nagle import inherit_quickack

if TYPE_CHECKING:
    from simnet.kernel.tcp.sockets import TcpSocket

SOMAXCONN: Final = 4096  # net.core.somaxconn, Linux 5.4 and later

OF_A_LISTENER: Final = (
    (IPPROTO_TCP, TCP_DEFER_ACCEPT),
    (IPPROTO_TCP, TCP_FASTOPEN),
    FASTOPEN_KEY,
    (SOL_SOCKET, SO_PRIORITY),
    (IPPROTO_IP, IP_OPTIONS),
    FORGOTTEN,
)

# How long a SYN cookie holds. Linux counts minutes, so it is one or two: measured 52 s, and not 92.
COOKIE_NS: Final = 90_000_000_000
REPEATED_NS: Final = 204_000_000  # a tail-loss probe after 0.204 s, and from then on after twice the time (measured)


class Listener:
    """The queue of a listening socket. ``queue`` holds connections that completed their handshake."""

    __slots__ = ("backlog", "queue", "half_open")

    def __init__(self, backlog: int) -> None:
        self.backlog = backlog
        self.queue: deque[TcpSocket] = deque()
        self.half_open: dict[TcpSocket, Waiting] | None = None  # those whose third segment came to a full queue

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
    child.rcv_room = ACCEPTED_RECEIVE_ROOM
    child.rcv_edge = child.rcv_told = ISN + 1 + ACCEPTED_RECEIVE_ROOM
    child.since_ns = stack.clock.now_ns
    if socket.shut:
        child.shut = socket.shut  # set by a shutdown() that failed before listen() (K-016)
    if socket.sharing or socket.options is not None or socket.low_water != 1:
        inherit(socket, child)
    hear_mss(child, segment)
    stack.connections[(segment.target, segment.source)] = child
    if stack.demanding:
        child.prepare()
    if (stack.out or _defers(socket)) and _asked(socket, listener) > listener.backlog:
        if listener.half_open is None:
            listener.half_open = {}
        listener.half_open[child] = Waiting(cookie=True)
    child.send_syn(SYN | ACK)


def _asked(socket: TcpSocket, listener: Listener) -> int:
    """How many handshakes have begun before this one, which is the latest, and are not over: inet_csk_reqsk_queue_len."""
    stack = socket.stack
    if _defers(socket):  # some clients are late with their third segment, too
        waiting = listener.half_open or {}
        begun = (each for each in stack.connections.values() if getattr(each, "parent", None) is socket)
        return _requests(listener) - 1 + sum(each.state == SYN_RECV and each not in waiting for each in begun)
    answers = (each for each in stack.out if isinstance(each, Segment) and each.flags == SYN | ACK)
    askers = (stack.connections.get((each.source, each.target)) for each in answers)
    return _requests(listener) + sum(getattr(each, "parent", None) is socket for each in askers)


def _defers(socket: TcpSocket) -> bool:
    return socket.options is not None and bool(socket.options.get((IPPROTO_TCP, TCP_DEFER_ACCEPT)))


def _requests(listener: Listener) -> int:
    return sum(not each.cookie for each in (listener.half_open or {}).values())


def inherit(socket: TcpSocket, child: TcpSocket) -> None:
    """What an accepted socket has of its listener (K-048)."""
    child.sharing = socket.sharing
    child.low_water = socket.low_water
    child.snd_room = socket.snd_room
    child.slow = child.slow or child.snd_room < AUTOTUNED_SEND_ROOM
    if socket.rcv_room not in (AUTOTUNED_RECEIVE_ROOM, NARROW_ROOM):
        child.rcv_edge = child.rcv_told = child.rcv_edge - child.rcv_room + socket.rcv_room
        child.rcv_room = socket.rcv_room
    if socket.options is not None:
        child.options = dict(socket.options)
        for key in OF_A_LISTENER:
            child.options.pop(key, None)
        note_scale(child.options, OWN_SCALE, socket.options)
        note_arrivals(child)
        inherit_quickack(child)
        if socket.cork is not None and socket.cork.corked:
            child.cork = Cork(corked=True)
            child.slow = True


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
    if listener.half_open is not None:
        waiting = listener.half_open.get(child)
        if _is_too_late(child, waiting):
            child.vanish()
            stack.refuse(segment)
            return False
        if waiting is not None and waiting.in_loss(stack.clock.now_ns) and _speaks(segment):
            waiting.segments.append(segment)
            return False
    if len(listener.queue) > listener.backlog:
        _wait_for_room(child, listener, segment)
        return False
    if (
        parent.options is not None
        and not segment.payload
        and not segment.flags & FIN
        and parent.option(IPPROTO_TCP, TCP_DEFER_ACCEPT)
        and not _defer(child, listener, segment)
    ):
        return False
    waiting = None if listener.half_open is None else listener.half_open.pop(child, None)
    if waiting is not None:
        waiting.stop()
        stack.out.extend(each for each in waiting.segments if _speaks(each))
    port = child.local[1] if child.local is not None else 0
    child.port = port
    stack.tcp_ports.hold(port, child)
    listener.queue.append(child)
    if parent.locks & SPEAKS_IPV4 and ":" in segment.source[0]:
        child.fall_silent()
    return True


class Waiting:
    """A handshake that may not end yet, for the queue is full or data must come first: what came since, and a timer."""

    __slots__ = ("cookie", "due_ns", "repeats", "segments", "since_ns", "timer", "tries")

    def __init__(self, cookie: bool = False) -> None:
        self.cookie = cookie  # it was answered by a SYN cookie: nobody repeats the answer
        self.segments: list[Segment] = []
        self.tries = 0  # how often its timer has run out
        self.timer: Any = None
        self.due_ns = 0  # and when it will
        self.repeats: Any = None  # the timer of who sends what is in ``segments``
        self.since_ns = 0  # when what is to be repeated came first

    def arm(self, child: TcpSocket, due_ns: int) -> None:
        """Its timer runs out at *due_ns*, at the end of a bucket of timers."""
        self.due_ns = (due_ns // BUCKET_NS + 1) * BUCKET_NS
        self.timer = child.stack.clock.at(self.due_ns, _ran_out, child)

    def in_loss(self, now_ns: int) -> bool:
        """Has the client's own timer run out, after a probe? Then it sends nothing new until something was acknowledged."""
        return self.repeats is not None and now_ns >= self.since_ns + 2 * REPEATED_NS

    def stop(self) -> None:
        """It waits no more."""
        for timer in (self.timer, self.repeats):
            if timer is not None:
                timer.cancel()


def _wait_for_room(child: TcpSocket, listener: Listener, segment: Segment) -> None:
    """tcp_v4_syn_recv_sock without room: the kernel drops the segment, and repeats its SYN-ACK by timer.

    Each repetition makes the client acknowledge again, and so does each repetition of its data; kept segments stand
    for both.
    """
    clock = child.stack.clock
    waiting = _waits(child, listener)
    speaks = _speaks(segment)
    if speaks or not (waiting.segments or waiting.cookie):
        waiting.segments.append(segment)
    if speaks and waiting.repeats is None:
        waiting.since_ns = clock.now_ns
        waiting.repeats = clock.at(clock.now_ns + REPEATED_NS, _repeat, child)


def _waits(child: TcpSocket, listener: Listener) -> Waiting:
    """How *child* waits, from now on if it did not."""
    if listener.half_open is None:
        listener.half_open = {}
    waiting = listener.half_open.get(child)
    if waiting is None:
        waiting = listener.half_open[child] = Waiting()
        waited_ns = child.stack.clock.now_ns - child.since_ns
        while waited_ns >= (RTO_FIRST_NS << waiting.tries + 1) - RTO_FIRST_NS:
            waiting.tries += 1
        waiting.arm(child, child.since_ns + (RTO_FIRST_NS << waiting.tries + 1) - RTO_FIRST_NS)
    return waiting


def _ran_out(child: TcpSocket) -> None:
    listener, waiting = _waiting(child)
    assert listener.half_open is not None
    together = [(each, its) for each, its in listener.half_open.items() if its.due_ns == waiting.due_ns]
    for each, its in reversed(together):  # the last timer of a bucket is the first to run
        its.timer.cancel()
        # And is set again before the others: its place is behind them.
        listener.half_open[each] = listener.half_open.pop(each)
        _try_again(each, listener, its)


def _try_again(child: TcpSocket, listener: Listener, waiting: Waiting) -> None:
    """The time for another SYN-ACK, unless TCP_DEFER_ACCEPT waits: the client answers it (syn_ack_recalc)."""
    waiting.tries += 1
    if waiting.tries >= _deferral(child):
        if not listener.full:
            _leave_to_repeats(child, waiting)
            _let_in(child, listener)
            return
        if waiting.tries > SYNACK_RETRIES:
            _give_up(child, waiting)
            return
    waiting.arm(child, child.stack.clock.now_ns + (RTO_FIRST_NS << waiting.tries))


def _deferral(child: TcpSocket) -> int:
    """How many timers TCP_DEFER_ACCEPT waits for data: its seconds are those of 1, 2, 3 ... of them."""
    assert child.parent is not None
    seconds: int = child.parent.option(IPPROTO_TCP, TCP_DEFER_ACCEPT) or 0
    return seconds.bit_length()


def _repeat(child: TcpSocket) -> None:
    """The client sends again what nobody has acknowledged."""
    listener, waiting = _waiting(child)
    clock = child.stack.clock
    if _is_too_late(child, waiting):
        _give_up(child, waiting)
    elif not listener.full:
        _let_in(child, listener)
    else:
        waiting.repeats = clock.at(_repeated_ns(waiting.since_ns, clock.now_ns), _repeat, child)


def _is_too_late(child: TcpSocket, waiting: Waiting | None) -> bool:
    """Does the listener remember nothing of this handshake, and no longer hold its cookie for one of its own?"""
    return waiting is not None and waiting.cookie and child.stack.clock.now_ns - child.since_ns > COOKIE_NS


def _leave_to_repeats(child: TcpSocket, waiting: Waiting) -> None:
    """The client answers another SYN-ACK by an empty segment: what it has said before comes when it says it again."""
    spoken = [each for each in waiting.segments if _speaks(each)]
    if spoken and len(spoken) < len(waiting.segments):
        waiting.segments = [each for each in waiting.segments if not _speaks(each)]
        clock = child.stack.clock
        clock.at(_repeated_ns(waiting.since_ns, clock.now_ns), _hear, (child, spoken))


def _hear(what: tuple[TcpSocket, list[Segment]]) -> None:
    child, spoken = what
    for segment in spoken:
        if child.state != CLOSED:
            child.arrive(segment)


def _let_in(child: TcpSocket, listener: Listener) -> None:
    assert listener.half_open is not None
    waiting = listener.half_open[child]
    spoken = [each for each in waiting.segments if _speaks(each)]
    if not spoken:
        child.arrive(waiting.segments[0])  # `admit` ends the waiting
        return
    del listener.half_open[child]
    waiting.stop()
    for segment in spoken:
        child.arrive(segment)


def _speaks(segment: Segment) -> bool:
    return bool(segment.payload or segment.flags & FIN)


def _give_up(child: TcpSocket, waiting: Waiting) -> None:
    """The answer was repeated often enough, or a cookie is too old: data of the client is for nobody now."""
    child.vanish()
    if any(segment.payload for segment in waiting.segments):
        child.stack.refuse(waiting.segments[-1])  # what its repeated data would get


def _defer(child: TcpSocket, listener: Listener, segment: Segment) -> bool:
    """A handshake without data: the listener hears of it when data comes, or after some seconds (K-049). True if now."""
    waiting = None if listener.half_open is None else listener.half_open.get(child)
    if waiting is None:
        if _requests(listener) > listener.backlog:
            return True  # too many wait: the kernel answered by a SYN cookie, which remembers no deferral
        waiting = _waits(child, listener)
        waiting.segments.append(segment)
    return waiting.cookie or waiting.tries >= _deferral(child)


def _waiting(child: TcpSocket) -> tuple[Listener, Waiting]:
    """Where *child* waits. Timers ask; they are cancelled when it waits no more."""
    assert child.parent is not None
    listener = child.parent.listener
    assert listener is not None
    assert listener.half_open is not None
    return listener, listener.half_open[child]


def forget(child: TcpSocket) -> None:
    """*child* is gone before it was a connection."""
    listener = None if child.parent is None else child.parent.listener
    if listener is not None and listener.half_open is not None:
        waiting = listener.half_open.pop(child, None)
        if waiting is not None:
            waiting.stop()


def _look_again(what: tuple[TcpSocket, Segment]) -> None:
    """The time for another SYN-ACK: reqsk_timer_handler drops what nobody listens for."""
    child, segment = what
    if child.state != SYN_RECV or child.parent is None:
        return
    if child.parent.state == LISTEN:
        child.arrive(segment)
    else:
        child.vanish()


def _repeated_ns(since_ns: int, now_ns: int) -> int:
    """When data that came at *since_ns*, and was not acknowledged, comes again next."""
    after_ns = REPEATED_NS
    while since_ns + after_ns <= now_ns:
        after_ns *= 2
    return since_ns + after_ns


def abandon(listener: Listener) -> None:
    """The listener closed: whoever waited in its queue is reset (K-045).

    One that was only shut down has its handshakes until their timer finds that it does not listen again.
    """
    half_open, listener.half_open = listener.half_open, None
    for child, waiting in (half_open or {}).items():
        waiting.stop()
        speaks = any(map(_speaks, waiting.segments))
        if waiting.segments and not (speaks or waiting.cookie) and child.parent is not None and child.parent.refs:
            clock = child.stack.clock
            clock.at(waiting.due_ns, _look_again, (child, waiting.segments[0]))
            continue
        child.vanish()
        if speaks:
            # As its next repetition is; who only waits hears nothing.
            clock = child.stack.clock
            clock.at(_repeated_ns(waiting.since_ns, clock.now_ns), child.stack.refuse, waiting.segments[-1])
    while listener.queue:
        child = listener.queue.popleft()
        child.parent = None
        child.refs = 0
        child.disconnect()
