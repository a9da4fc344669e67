"""A TCP socket: the calls a program makes, as ``inet_stream_ops`` of Linux answers them. None of them waits."""

from __future__ import annotations

from collections.abc import Sequence
from errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
)
from typing import Any, Final

from simnet.kernel import inet
from simnet.kernel.counted.ledger import begin_in_hindsight
from simnet.kernel.counted.receiving import SMALL
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.messages import AF_INET, AF_INET6, SHUT_RDWR, SOCK_STREAM
from simnet.kernel.options.flow_labels import note_label, peer_name
from simnet.kernel.options.idle import (
    ASKS_FOR_COOKIE,
    NO_PORT,
    TCP_FASTOPEN_CONNECT,
    TCP_FASTOPEN_NO_COOKIE,
    binds_anywhere,
    check_before_it_opens,
)
from simnet.kernel.options.packed import check_before_bind, go_by_scope, is_elsewhere
from simnet.kernel.options.routes import FORGOTTEN, check_link_of, forget_route, way_to
from simnet.kernel.options.tcp import forget_options, get_option, set_option
from simnet.kernel.options.values import INT_MAX, IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_QUICKACK
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.segment import SYN, TCP
from simnet.kernel.states import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT2,
    LISTEN,
    SHUT_RECEIVE,
    SHUT_SEND,
    SYN_RECV,
    SYN_SENT,
)
from simnet.kernel.tcp.control import (
    AUTOTUNED_RECEIVE_ROOM,
    BOUND_PORT,
    CHOSEN_PORT,
    CONNECTED,
    CONNECTING,
    DISCONNECTING,
    FIN_NONE,
    ISN,
    LOCK_ADDRESS,
    LOCK_PORT,
    NARROW_ROOM,
    SPEAKS_IPV4,
    UNCONNECTED,
)
from simnet.kernel.tcp.listener import SOMAXCONN, Listener
from simnet.kernel.tcp.streams import Stream
from simnet.kernel.tcp.tampering import swallow
from simnet.kernel.tcp.window import expect_answer

EARLY_MAX: Final = 32_768  # bytes that a SYN takes along over loopback
QUICK_ACK: Final = (IPPROTO_TCP, TCP_QUICKACK)  # listen() begins with it on, whatever was set


class TcpSocket(Stream):
    """One TCP socket. Addresses are numeric and in canonical text; the face above resolves names."""

    __slots__ = ()
    type: Final = SOCK_STREAM
    proto: Final = TCP

    # Names.

    def getsockname(self) -> tuple[Any, ...]:
        """The local name; the wildcard and port 0 while there is none (K-033)."""
        return inet.shown_local(self.family, self.local)

    def getpeername(self) -> tuple[Any, ...]:
        """The peer's name, or ENOTCONN, also when the connection is over."""
        if self.peer is None or self.state == CLOSED or self.state == SYN_SENT:
            raise socket_error(ENOTCONN)
        return peer_name(self.family, self.peer, self.options) if self.family == AF_INET6 else self.peer

    def bind(self, address: Sequence[Any]) -> None:
        """Take an address and a port (K-025 to K-031).

        Raises:
            OSError: EADDRNOTAVAIL, not an address of this host; EINVAL, bound or connected; EADDRINUSE.
        """
        stack = self.stack
        ip, port = inet.named(self.family, address)
        taken = self.state != CLOSED or self.port
        if self.family == AF_INET6:
            if taken or ip.startswith("ff"):  # IPv4 looks at the first last; a connection has no group for an end
                raise socket_error(EINVAL)
            check_before_bind(self, address, ip)
        if not (stack.is_bindable(ip) and not is_elsewhere(self, ip)) and not binds_anywhere(self.options):
            raise socket_error(EADDRNOTAVAIL)
        if taken:
            raise socket_error(EINVAL)
        self._stand_at(ip, port, later=self.options is not None and bool(self.options.get(NO_PORT)))
        if self.peer is not None and self.family == AF_INET:
            forget_route(self)  # a dead socket is bound anew: inet_bind, and not inet6_bind

    def _stand_at(self, ip: str, port: int, later: bool = False) -> None:
        """Be at *ip* and *port*, or a port of the kernel's choice: now, or *later*, when it is needed."""
        stack = self.stack
        before, sharing = self.local, self.sharing
        self.local = (ip, port)
        if ":" in ip and ip != inet.ANY6:
            self.sharing |= V6_ONLY  # an IPv6 address has no IPv4 beside it
        if later and not port:
            if inet.names_address(self.family, ip):
                self.locks |= LOCK_ADDRESS
            return
        ports = stack.tcp_ports
        try:
            if port:
                ports.admit(port, self, stack.clock.now_ns)
                self.locks |= LOCK_PORT
            else:
                port = ports.choose_for_bind(self, stack.clock.now_ns)
                self.local = (ip, port)
                ports.admit(port, self, stack.clock.now_ns)
                self.locks |= CHOSEN_PORT
        except OSError:
            self.sharing = sharing
            self.local = None if before is None else (inet.wildcard(self.family), before[1])
            raise
        if inet.names_address(self.family, ip):
            self.locks |= LOCK_ADDRESS
        self.autobound = False
        self.port = port
        ports.hold(port, self)

    # Opening.

    def listen(self, backlog: int = 128) -> None:
        """Become a listener, or change the backlog of one (K-026)."""
        if self.stage != UNCONNECTED or self.state not in (CLOSED, LISTEN):
            raise socket_error(EINVAL)
        if not 0 <= backlog <= SOMAXCONN:
            backlog = SOMAXCONN
        listener = self.listener
        if listener is not None:
            listener.backlog = backlog
            return
        stack = self.stack
        if self.options is not None:
            check_before_it_opens(self.options)
            self.options.pop(QUICK_ACK, None)
        if not self.port:
            # A listener shut down gave its ephemeral port back, but an address named by hand stays.
            ip = self.local[0] if self.local is not None and self.locks & LOCK_ADDRESS else inet.wildcard(self.family)
            local = self.local
            try:
                self._stand_at(ip, 0)
            except OSError:
                self.local = local  # only a bind that fails forgets the address
                raise
        else:
            stack.tcp_ports.admit(self.port, self, stack.clock.now_ns)
        self.state = LISTEN
        self.since_ns = stack.clock.now_ns
        self.listener = Listener(backlog)
        stack.add_listener(self)

    def begin(self, address: Sequence[Any]) -> bool:
        """Start a connection from a fresh socket, which is in progress then; False if ``connect`` has more to say.

        Nearly every connect is the first on its socket, and an exception costs as much as the SYN.
        """
        if self.stage != UNCONNECTED or self.state != CLOSED:
            return False
        self._open(address)
        self.stage = CONNECTING
        return True

    def connect(self, address: Sequence[Any]) -> None:
        """Start a connection, or say what became of one (K-010 to K-018); ``inet_stream_connect``, non-blocking."""
        if self.stage == CONNECTED:
            raise socket_error(EISCONN)
        if self.stage == CONNECTING:
            code = EALREADY
        elif self.begin(address):
            code = EINPROGRESS
        else:
            raise socket_error(EISCONN if self.stage == UNCONNECTED else EINVAL)
        if self.state == SYN_SENT or self.state == SYN_RECV:
            raise socket_error(code)
        if self.state == CLOSED:
            error = self.error or ECONNABORTED
            self.error = 0
            self.stage = UNCONNECTED
            self.disconnect()
            raise socket_error(error)
        self.stage = CONNECTED

    def finish_connect(self, address: Sequence[Any]) -> None:
        """What a blocking connect says that has waited: as the next connect, but that it does not try once more."""
        if self.stage == CONNECTED:  # another that waited has said so
            self.stage = CONNECTING
        if self.stage != UNCONNECTED:
            self.connect(address)
        elif self.state == CLOSED:  # shutdown() has ended the attempt
            error, self.error = self.error or ECONNABORTED, 0
            raise socket_error(error)

    def open_fast(self, address: Sequence[Any] | None) -> None:
        """tcp_sendmsg_fastopen without a cookie, which no listener here gives out: a connect, and the data comes after.

        Raises:
            OSError: whatever ``connect`` says; EINVAL if it would begin and there is no address; EALREADY after a connect that
                TCP_FASTOPEN_CONNECT had ask for a cookie, which stays the only one to do so.
        """
        if self.option(*ASKS_FOR_COOKIE):
            raise socket_error(EALREADY)
        begins = self.stage == UNCONNECTED and self.state == CLOSED
        if address is None and begins:
            raise socket_error(EINVAL)
        try:
            self.connect(address or ())
        finally:
            if begins and self.options is not None:
                self.options.pop(ASKS_FOR_COOKIE, None)

    def went_with_syn(self, data: bytes) -> int:
        """How many bytes of *data* a SYN took along that needs no cookie: TCP_FASTOPEN_NO_COOKIE.

        No listener here takes them from it, so they come again once it is answered, though shutdown() has ended what a
        program may send; what is refused is lost.
        """
        if self.state == SYN_SENT:
            not_modelled("MSG_FASTOPEN without a cookie, over a link")
        early = data[:EARLY_MAX] if self.option(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE) else b""
        if early and self.state == ESTABLISHED:
            ended = self.shut & SHUT_SEND
            self.shut ^= ended
            self.send(early)
            self.shut |= ended
        return len(early)

    def _open(self, address: Sequence[Any]) -> None:
        """tcp_v4_connect: choose source and port, send the SYN."""
        if self.options is not None:
            check_before_it_opens(self.options)
        stack = self.stack
        ip, port = inet.named(self.family, address)
        local = self.local
        chosen = local[0] if local is not None and self.locks & LOCK_ADDRESS else None
        bound = local[0] if local is not None and self.port else chosen
        if chosen in (inet.ANY4, inet.ANY6):
            chosen = None  # ::ffff:0.0.0.0; or a dead socket was bound anew, and the lock is of the first time
        if ":" in ip and inet.is_many(ip):
            raise socket_error(ENETUNREACH)
        if ip[0] == "f":
            go_by_scope(self, address)
            inet.check_link(address)
        ip = way_to(self, ip, bound)
        if self.options is not None:
            check_link_of(self, ip)
        if inet.is_many(ip):
            raise socket_error(ENETUNREACH)
        peer = (ip, port)
        if chosen is None or inet.is_many(chosen):
            source = stack.source_for(ip)
        else:
            source = chosen
            stack.check_route(source, ip)
        connections = stack.connections
        now_ns = stack.clock.now_ns
        if self.port:
            local = (source, self.port)
            other = connections.get((local, peer))
            if other is not None and not stack.may_replace(other):
                if self.locks & LOCK_ADDRESS:
                    # Bound to ::ffff:0.0.0.0: inet_bhash2_reset_saddr() leaves it where it would have been.
                    self.local = local
                raise socket_error(EADDRNOTAVAIL)
        else:
            try:
                free = stack.tcp_ports.choose_for_connect(self, source, peer, now_ns)
            except OSError:
                if self.locks & LOCK_ADDRESS:
                    self.local = (source, 0)
                raise
            local = (source, free)
            self.port = free
            self.autobound = True
            stack.tcp_ports.hold(free, self)
        self.local = local
        self.peer = peer
        self.way = self.twin = self.far = self.window = self.guard = None  # nothing of an earlier attempt
        self.origin = "client"
        self.state = SYN_SENT
        self.since_ns = now_ns
        self.error = self.owed = 0
        self.done = False
        self.ended_ns = -1
        self.snd_nxt = ISN
        self.fin = FIN_NONE
        self.rcv_nxt = 0
        self.rcv_wup = ISN + 1
        if self.rcv_room == NARROW_ROOM:
            self.rcv_room = AUTOTUNED_RECEIVE_ROOM
        self.rcv_edge = self.rcv_told = ISN + 1 + self.rcv_room
        connections[(local, peer)] = self
        if self.options is not None:
            self.options.pop(FORGOTTEN, None)
            if self.options.get((IPPROTO_TCP, TCP_FASTOPEN_CONNECT)):
                self.options[ASKS_FOR_COOKIE] = True
        if stack.demanding:
            self.prepare()
        if self.family == AF_INET6:
            self._speak(":" in ip)
            note_label(self.options, address)
        self.send_syn(SYN)

    def _speak(self, six: bool) -> None:
        """Who has connected to an IPv4 address once sends IPv4 ever after, and to an IPv6 one nothing that arrives.

        tcp_v6_connect() puts ``icsk_af_ops`` back only when a connect fails at once.
        """
        if not six:
            self.locks |= SPEAKS_IPV4
            self.emit = self.stack.emit
        elif self.locks & SPEAKS_IPV4:
            self.fall_silent()

    def fall_silent(self) -> None:
        """Nothing that this end sends arrives any more, nor does it when it is sent again."""
        self.emit = swallow
        self.watch_losses()

    def accept(self) -> tuple[TcpSocket, tuple[Any, ...]]:
        """The first connection that waits, and its peer's name; EAGAIN if there is none (K-040)."""
        listener = self.listener
        if listener is None:
            raise socket_error(EINVAL)
        if not listener.queue:
            raise socket_error(EAGAIN)
        child = listener.queue.popleft()
        child.parent = None
        child.stage = CONNECTED
        assert child.peer is not None
        return child, inet.shown(child.family, child.peer)

    # Ending.

    def shutdown(self, how: int) -> None:
        """``inet_shutdown``: close one direction or both (K-079 to K-082)."""
        if not 0 <= how <= SHUT_RDWR:
            raise socket_error(EINVAL)
        bits = how + 1
        state = self.state
        if self.stage == CONNECTING:
            self.stage = DISCONNECTING if state in (SYN_SENT, SYN_RECV, CLOSED) else CONNECTED
        if state == LISTEN:
            if bits & SHUT_RECEIVE:
                self.disconnect()
                self.stage = UNCONNECTED
        elif state == SYN_SENT:
            self.disconnect()
            self.stage = UNCONNECTED
        else:
            if bits & SHUT_SEND and self.ledger is None and self.sent >= SMALL:
                begin_in_hindsight(self, for_long=False)  # so much is perhaps acknowledged with the FIN
            self.shut |= bits
            self.calm = False
            if bits & SHUT_SEND:
                expect_answer(self)  # the acknowledgement that waited has gone along
                self.finish_sending()
        self.wake_last()
        if state == CLOSED:
            raise socket_error(ENOTCONN)

    def destroy(self) -> None:
        """``tcp_close``: FIN, or RST if something was left unread or linger says so (K-070 to K-073)."""
        state = self.state
        if self.lingers and self.ledger is None and self.sent >= SMALL:
            begin_in_hindsight(self, for_long=False)
        self.shut = SHUT_RECEIVE | SHUT_SEND
        self.calm = False
        inbox = self.inbox
        if (
            state in (ESTABLISHED, CLOSE_WAIT)
            and not (self.slow or self.options is not None or self.locks & BOUND_PORT)
            and (inbox is None or not inbox.size)
            and (self.outbox is None or not self.outbox.size)
        ):
            self.close_at_once(state)
            return
        if state == CLOSED:
            pass
        elif state == LISTEN:
            self.vanish()
        elif inbox is not None and inbox.size:
            self.send_reset()
            self.vanish()
        elif self.lingers and self.option(SOL_SOCKET, SO_LINGER)[1] == 0:
            self.disconnect()
        elif state == SYN_SENT:
            self.vanish()
        else:
            self.inbox = None
            self._orphan(state)
        if self.state == CLOSED:
            self._give_back_port()

    def disconnect(self) -> None:
        forget_options(self)
        super().disconnect()

    def _orphan(self, state: str) -> None:
        if state == FIN_WAIT2:
            self.linger_on(state)
        else:
            self.finish_sending()

    def _give_back_port(self) -> None:
        if self.port:
            self.stack.tcp_ports.free(self.port, self)
            self.port = 0

    # Questions.

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        """The value of an option (K-131); SO_ERROR takes the pending error."""
        return get_option(self, level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """Set an option (K-131)."""
        set_option(self, level, name, value)

    def linger_ns(self) -> int:
        """How long close() may wait for the FIN's acknowledgement; ask before the last release (K-073)."""
        if self.refs != 1 or not self.lingers or self.state in (CLOSED, LISTEN, SYN_SENT, FIN_WAIT2):
            return 0
        seconds = int(self.option(SOL_SOCKET, SO_LINGER)[1])
        return (seconds if seconds >= 0 else INT_MAX) * 1_000_000_000

    @property
    def closing(self) -> bool:
        """Is this end, closed by its program, still delivering?"""
        return self.refs == 0 and self.state != CLOSED
