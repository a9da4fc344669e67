"""What setsockopt and getsockopt do on a TCP socket."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.counted.hindsight import CHANGES
from simnet.kernel.counted.ledger import NOT_COUNTED, begin_in_hindsight, set_size
from simnet.kernel.datagrams.groups import EVERY_GROUP, LOOPBACK_LINK, OTHER_LINK
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import is_loopback
from simnet.kernel.messages import AF_INET6
from simnet.kernel.options import values as o
from simnet.kernel.options.agreed import (
    agreed_mss,
    grown_sndbuf,
    limit_of_window,
    remember,
    segment_size,
    shown_mss,
    was_established,
)
from simnet.kernel.options.idle import (
    ALL_TCP_OPTIONS,
    ASKS_FOR_COOKIE,
    FASTOPEN,
    IP_MULTICAST_TTL,
    IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF,
    SO_INCOMING_CPU,
    SO_PEEK_OFF,
    TCP_FASTOPEN,
    TCP_FASTOPEN_CONNECT,
    TCP_FASTOPEN_NO_COOKIE,
    TCP_SAVE_SYN,
)
from simnet.kernel.options.noted_packets import has_noted, note_request
from simnet.kernel.options.packed import get_packed, read, set_packed
from simnet.kernel.options.peeking import PEEK_OFF, forget_peek_place, peek_place, set_peek_place
from simnet.kernel.options.plain import fixed
from simnet.kernel.options.rare import TCP_QUEUE_SEQ, TCP_REPAIR, TCP_SAVED_SYN
from simnet.kernel.options.routes import note_option, note_tos
from simnet.kernel.options.saved_syn import keep_before, saved_syn
from simnet.kernel.options.tcp_info import congestion_control, congestion_name, tcp_info
from simnet.kernel.options.tcp_measures import measures
from simnet.kernel.options.timestamps import STAMPS
from simnet.kernel.ports import REUSE_ADDRESS, REUSE_PORT, V6_ONLY
from simnet.kernel.readiness import DATA_NEWS
from simnet.kernel.states import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN
from simnet.kernel.tcp.control import ISN, OOB_INLINE
from simnet.kernel.tcp.cork import AGREED_LIMIT, HOPS_OF_SYN, Cork
from simnet.kernel.tcp.listener import SOMAXCONN
from simnet.kernel.tcp.messages import set_stream_stamps
from simnet.kernel.tcp.nagle import ANSWERS_SINCE, acknowledge_at_once, expects_answer
from simnet.kernel.tcp.patience import limit_patience
from simnet.kernel.tcp.window import expect_answer, hurry, owes_acknowledgement, widen

if TYPE_CHECKING:
    from simnet.kernel.tcp.sockets import TcpSocket

_LEVELS: Final = frozenset({o.SOL_SOCKET, o.IPPROTO_IP, o.IPPROTO_TCP})
_LEVELS_V6: Final = _LEVELS | {o.IPPROTO_IPV6}
_FLAGS: Final = {
    o.SO_REUSEADDR: REUSE_ADDRESS,
    o.SO_REUSEPORT: REUSE_PORT,
    o.SO_OOBINLINE: OOB_INLINE,
}
_LOW_WATER_MAX: Final = 16_777_216  # half of net.ipv4.tcp_rmem[2] (K-061)
_FIN_TIMEOUT: Final = 60  # net.ipv4.tcp_fin_timeout
_FIN_TIMEOUT_MAX: Final = 120

_OF_A_CONNECTION: Final = frozenset(
    {
        (o.IPPROTO_TCP, o.TCP_MAXSEG),
        (o.IPPROTO_TCP, o.TCP_WINDOW_CLAMP),
        (o.IPPROTO_IP, IP_MULTICAST_TTL),
        (o.IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
        (o.IPPROTO_IPV6, IPV6_MULTICAST_IF),
    }
)
_MAXSEG: Final = (o.IPPROTO_TCP, o.TCP_MAXSEG)
_SAVED_SYN: Final = (o.IPPROTO_TCP, TCP_SAVED_SYN)
_QUICKACK: Final = (o.IPPROTO_TCP, o.TCP_QUICKACK)
_INCOMING_CPU: Final = (o.SOL_SOCKET, SO_INCOMING_CPU)
_WINDOW_CLAMP: Final = (o.IPPROTO_TCP, o.TCP_WINDOW_CLAMP)
_WINDOW_CLAMP_MIN: Final = 1152  # half of SOCK_MIN_RCVBUF
_V6_ONLY: Final = (o.IPPROTO_IPV6, o.IPV6_V6ONLY)
_KEEPALIVE: Final = (o.SOL_SOCKET, o.SO_KEEPALIVE)
_HOPS: Final = 64
_HIDE_THE_PAST: Final = CHANGES | {(o.SOL_SOCKET, o.SO_RCVLOWAT)}
_GROWN_RCVBUF: Final = (o.SOL_SOCKET, -o.SO_RCVBUF)
_GROWN_SNDBUF: Final = (o.SOL_SOCKET, -o.SO_SNDBUF)  # of an earlier connection, which a disconnect leaves
_FORGOTTEN: Final = (
    _MAXSEG,
    o.SEEN_MSS,
    o.DEAD_MSS,
    o.LATER_MSS,
    _WINDOW_CLAMP,
    AGREED_LIMIT,
    ASKS_FOR_COOKIE,
    _QUICKACK,
    ANSWERS_SINCE,
)


def set_option(socket: TcpSocket, level: int, name: int, value: Any) -> None:
    """setsockopt: keep the value, and do at once what the kernel does at once."""
    if name == o.TCP_NODELAY and level == o.IPPROTO_TCP and value.__class__ is int:  # what every program sets, as below
        keep(socket, level, name, 1 if value else 0)
        if value and socket.slow:
            _after_tcp_level(socket, name, 1)
        return
    if level not in (_LEVELS_V6 if socket.family == AF_INET6 else _LEVELS):
        raise socket_error(ENOPROTOOPT)
    if isinstance(value, o.NoBuffer):
        value = read(socket, (level, name), value, (level, name) in ALL_TCP_OPTIONS)
    if (level, name) == (o.IPPROTO_TCP, o.TCP_CONGESTION):
        keep(socket, level, name, congestion_control(value, socket.stack.privileged))
        return
    level, name = o.shared(level, name, value)
    if socket.peer is not None and (level, name) in _HIDE_THE_PAST:
        remember(socket)
    if set_packed(socket, (level, name), value):
        return
    option = o.look_up(ALL_TCP_OPTIONS, level, name)
    value = o.check_length(level, option, value)
    if level == o.SOL_SOCKET and _set_socket_level(socket, name, value):
        return
    if option is None:
        raise o.unknown(level, name, setting=True)
    number = o.integer(value)
    key = (level, name)
    if level == o.IPPROTO_TCP:
        number = _set_tcp_level(socket, name, number)
        if key == _MAXSEG:
            _set_segment_size(socket, option, number)
            return
        if key == _WINDOW_CLAMP and not number and socket.peer is None:
            if socket.options is not None:
                socket.options.pop(key, None)
            return
    elif key == _V6_ONLY:
        if socket.port:
            raise socket_error(EINVAL)
        socket.sharing = socket.sharing | V6_ONLY if number else socket.sharing & ~V6_ONLY
    kept = o.stored(socket, key, option, number)
    if key == o.TOS:
        note_tos(socket, number, kept)
    else:
        note_option(socket, key, kept)
    if socket.options is None:
        socket.options = {}
    socket.options[key] = kept
    if level == o.IPPROTO_TCP:
        _after_tcp_level(socket, name, number)
    elif level == o.IPPROTO_IPV6:
        note_request(socket, name, kept)
    elif key == o.PORT_RANGE:
        socket.stack.tcp_ports.rare = True
    elif key == _KEEPALIVE and socket.guard is not None:
        socket.guard.keep_alive(socket)


def _set_segment_size(socket: TcpSocket, option: o.Option, number: int) -> None:
    """TCP_MAXSEG: of a connection to come, since one that stands has agreed on its own; of that, it is told afterwards."""
    agreed = socket.state not in (CLOSED, LISTEN)
    if not number:
        if socket.options is not None and not agreed:
            socket.options.pop(_MAXSEG, None)
        if socket.peer is not None:
            keep(socket, *o.LATER_MSS, 0)
        return
    kept = o.stored(socket, _MAXSEG, option, number)
    if socket.peer is not None and socket.state == CLOSED and not socket.option(*o.DEAD_MSS):
        keep(socket, *o.DEAD_MSS, agreed_mss(socket, socket.option(*_MAXSEG)))
    if not agreed:
        keep(socket, *_MAXSEG, kept)
    if socket.peer is not None:
        keep(socket, *o.LATER_MSS, kept)
    _after_tcp_level(socket, o.TCP_MAXSEG, number)


def keep(socket: TcpSocket, level: int, name: int, value: Any) -> None:
    """Write down an option that is not at its default."""
    if socket.options is None:
        socket.options = {}
    socket.options[(level, name)] = value


def _set_socket_level(socket: TcpSocket, name: int, value: Any) -> bool:
    """SOL_SOCKET, where nearly every option does something; True if all is done."""
    if o.read_only(o.SOL_SOCKET, name):
        raise socket_error(ENOPROTOOPT)
    if name in o.FOR_UNIX:
        raise socket_error(EOPNOTSUPP)
    if name == o.SO_LINGER:
        on, seconds = o.linger(value)
        before = socket.option(o.SOL_SOCKET, name)
        keep(socket, o.SOL_SOCKET, name, (on, seconds if on else before[1] if before else 0))
        return True
    if name in o.TIMES:
        keep(socket, o.SOL_SOCKET, o.TIMES[name], o.timeval(value))
        return True
    if name in _FLAGS:
        bit = _FLAGS[name]
        socket.sharing = socket.sharing | bit if o.integer(value) else socket.sharing & ~bit
        return True
    forced = name in o.FORCED and socket.stack.privileged
    if forced:
        name = o.FORCED[name]
    if name in (o.SO_SNDBUF, o.SO_RCVBUF) and socket.ledger is None:
        begin_in_hindsight(socket)
    if name == o.SO_SNDBUF:
        size = o.sndbuf(o.integer(value), forced)
        keep(socket, o.SOL_SOCKET, name, size)
        socket.snd_room = size
        socket.slow = True  # what a write may take is counted in segments
        set_size(socket, name)
        socket.tell_space()
        return True
    if name == o.SO_RCVBUF:
        size = o.rcvbuf(o.integer(value), forced)
        keep(socket, o.SOL_SOCKET, name, size)
        _set_receive_room(socket, size * 3 // 4)
        set_size(socket, name)
        return True
    if name == o.SO_RCVLOWAT:
        _set_low_water(socket, o.integer(value))
        return True
    if (o.SOL_SOCKET, name) in STAMPS:
        set_stream_stamps(socket, (o.SOL_SOCKET, name), value)
        return True
    if name == SO_PEEK_OFF:
        if socket.options is None:
            socket.options = {}
        set_peek_place(socket.options, o.integer(value), max(socket.copied_seq, ISN + 1))
        return True
    return False


def _set_receive_room(socket: TcpSocket, room: int) -> None:
    socket.rcv_edge += room - socket.rcv_room
    socket.rcv_room = room
    if socket.state in (CLOSED, LISTEN):
        socket.rcv_told = socket.rcv_edge


def _set_low_water(socket: TcpSocket, value: int) -> None:
    """tcp_set_rcvlowat: the mark, capped; the buffer grows with it unless it was set; readers are told."""
    set_by_hand = socket.option(o.SOL_SOCKET, o.SO_RCVBUF)
    cap = _LOW_WATER_MAX if set_by_hand is None else set_by_hand // 2
    socket.low_water = min(value if value >= 0 else o.INT_MAX, cap) or 1
    grows = set_by_hand is None and 2 * socket.low_water > _grown_rcvbuf(socket)
    if socket.ledger is not None:
        if grows:
            socket.ledger.close()
        else:
            socket.ledger.account.low_water = socket.low_water
    socket.look_around()
    if set_by_hand is None:
        if grows:
            keep(socket, *_GROWN_RCVBUF, 2 * socket.low_water)
            clamp = _shown_of_a_connection(socket, o.TCP_WINDOW_CLAMP, socket.option(*_WINDOW_CLAMP))
            if clamp is not None and 0 < clamp < socket.low_water:
                keep(socket, *_WINDOW_CLAMP, socket.low_water)
        if socket.low_water > widen(socket):
            _set_receive_room(socket, socket.low_water)
            socket.freed()
    if socket.done or (socket.unread and socket.enough_to_read(socket.low_water)):  # tcp_data_ready
        socket.wake(DATA_NEWS)


def _grown_rcvbuf(socket: TcpSocket) -> int:
    """SO_RCVBUF as it is told where nobody has set it: as it was, or twice what SO_RCVLOWAT made room for."""
    kept = socket.option(*_GROWN_RCVBUF)
    return int(ALL_TCP_OPTIONS[(o.SOL_SOCKET, o.SO_RCVBUF)].default if kept is None else kept)


def _set_tcp_level(socket: TcpSocket, name: int, number: int) -> int:
    """The number as TCP keeps it."""
    if name == o.TCP_LINGER2:
        return -1 if number < 0 else min(number, _FIN_TIMEOUT_MAX) or _FIN_TIMEOUT
    if name in FASTOPEN and socket.state != CLOSED and (socket.state != LISTEN or name == TCP_FASTOPEN_CONNECT):
        raise socket_error(EINVAL)
    if number and name == TCP_FASTOPEN_CONNECT and socket.option(o.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE):
        not_modelled("TCP_FASTOPEN_CONNECT without a cookie, which connects when it sends")
    if number and name == TCP_FASTOPEN_NO_COOKIE and socket.option(o.IPPROTO_TCP, TCP_FASTOPEN_CONNECT):
        not_modelled("TCP_FASTOPEN_CONNECT without a cookie, which connects when it sends")
    if name == TCP_SAVE_SYN:
        keep_before(socket)
    if (name == TCP_QUEUE_SEQ and socket.state != CLOSED) or (name == TCP_REPAIR and socket.state == LISTEN):
        raise socket_error(EPERM)
    if name == TCP_FASTOPEN:
        return min(number, SOMAXCONN)
    if name == o.TCP_DEFER_ACCEPT:
        return _rounded_to_retries(number)
    if name == o.TCP_WINDOW_CLAMP:
        if not number and socket.state != CLOSED:
            raise socket_error(EINVAL)
        if number and socket.ledger is None:
            begin_in_hindsight(socket)
        return max(number, _WINDOW_CLAMP_MIN) if number else 0
    if name == o.TCP_NOTSENT_LOWAT and number and socket.ledger is None:
        begin_in_hindsight(socket)
    if name == o.TCP_QUICKACK and socket.ledger is None:
        begin_in_hindsight(socket, for_long=False)
    if name == o.TCP_CORK:
        if number and socket.cork is None:
            begin_in_hindsight(socket, for_long=False)
            socket.cork = Cork()
            socket.slow = True
        if socket.cork is not None:
            socket.cork.corked = bool(number)
    return number


def _after_tcp_level(socket: TcpSocket, name: int, number: int) -> None:
    cork = socket.cork
    if socket.ledger is not None:
        if name in (o.TCP_NODELAY, o.TCP_CORK):
            socket.ledger.settle(bool(number) == (name == o.TCP_NODELAY))
            return
        if name == o.TCP_NOTSENT_LOWAT:
            socket.ledger.limit(number)
            socket.tell_space()
            return
        if name == o.TCP_QUICKACK:
            assert socket.options is not None
            del socket.options[(o.IPPROTO_TCP, name)]  # it is for once
            socket.ledger.hurry(number, at_once=socket.state in (ESTABLISHED, CLOSE_WAIT))
            return
        if name == o.TCP_WINDOW_CLAMP:
            socket.ledger.limit_window(number)
        elif name == o.TCP_USER_TIMEOUT:
            limit_patience(socket)
        elif (o.IPPROTO_TCP, name) in NOT_COUNTED:
            socket.ledger.close()
    if cork is not None and name == o.TCP_NODELAY and number:
        cork.push(socket)
    elif cork is not None and name == o.TCP_CORK and not cork.corked:
        cork.uncork(socket)
    elif name == o.TCP_NOTSENT_LOWAT:
        socket.tell_space()
    elif name == o.TCP_KEEPIDLE and socket.guard is not None:
        socket.guard.keep_alive(socket, socket.stack.clock.now_ns - socket.guard.heard_ns)
    elif name == o.TCP_QUICKACK and socket.state in (ESTABLISHED, CLOSE_WAIT):
        owes = owes_acknowledgement(socket)
        acknowledge_at_once(socket, number)
        if owes and number:
            hurry(socket)
            if not number & 1 and socket.options is not None:
                socket.options[ANSWERS_SINCE] = 0
        if number:
            expect_answer(socket, expects=owes and not number & 1)
        elif not expects_answer(socket):
            expect_answer(socket, expects=True)


def _rounded_to_retries(seconds: int) -> int:
    """TCP_DEFER_ACCEPT is counted in SYN-ACK retries: 1, 3, 7, 15, 31, 63 s (secs_to_retrans)."""
    if seconds <= 0:
        return 0
    period = timeout = retries = 1
    while seconds > period and retries < 255:
        retries += 1
        timeout = min(timeout * 2, 120)
        period += timeout
    return period


def get_option(socket: TcpSocket, level: int, name: int, buflen: int) -> int | bytes:
    """getsockopt, as CPython answers it: a number, or for a *buflen* that many bytes at most."""
    o.check_buflen(buflen)
    packed = _get_packed(socket, level, name)
    if packed is not None:
        return o.packed_answer(packed, buflen)
    if level == o.SOL_SOCKET:
        value = _get_socket_level(socket, name)
        if value is not None:
            return o.answer(value, buflen)
    elif level not in (_LEVELS_V6 if socket.family == AF_INET6 else _LEVELS):
        raise socket_error(ENOPROTOOPT if socket.family == AF_INET6 else EOPNOTSUPP)
    key = (level, name)
    packed = saved_syn(socket, buflen or 4) if key == _SAVED_SYN else get_packed(socket, key, buflen)
    if packed is not None:
        return o.packed_answer(packed, buflen)
    option = ALL_TCP_OPTIONS.get((level, name))
    if option is None:
        raise o.unknown(level, name, setting=False)
    if level == o.IPPROTO_IPV6 and name == o.IPV6_V6ONLY:
        return o.answer(int(bool(socket.sharing & V6_ONLY)), buflen)
    kept = socket.option(*o.shared(level, name))
    if kept is None and (level, name) == EVERY_GROUP and socket.family == AF_INET6:
        kept = 0  # as with datagrams
    if kept is None and (level, name) == _MAXSEG and socket.peer is None:
        kept = socket.option(*o.LAST_MSS)
    if kept is None and (level, name) == _INCOMING_CPU and _has_heard(socket):
        kept = 0  # a host has but one
    if kept is None and (level, name) == _QUICKACK:
        kept = int(not expects_answer(socket))
    if (level, name) == PEEK_OFF and kept is not None and kept >= 0 and socket.options is not None:
        kept = peek_place(socket.options, max(socket.copied_seq, ISN + 1))
    if (level, name) in _OF_A_CONNECTION and socket.peer is not None:
        kept = _shown_of_a_connection(socket, name, kept)
    return o.answer(option.default if kept is None else kept, buflen, level)


def _get_packed(socket: TcpSocket, level: int, name: int) -> bytes | None:
    if level == o.IPPROTO_TCP:
        if name == o.TCP_INFO:
            agreed = was_established(socket)
            mss = segment_size(socket, socket.option(*_MAXSEG))
            return measures(socket, tcp_info(socket.state, agreed, socket.options), mss, agreed)
        return congestion_name(socket.option(level, name)) if name == o.TCP_CONGESTION else None
    if level != o.SOL_SOCKET:
        return None
    if name == o.SO_LINGER:
        return struct.pack("=ii", *(socket.option(o.SOL_SOCKET, name) or (0, 0)))
    if name in o.TIMES:
        return o.pack_timeval(socket.option(o.SOL_SOCKET, o.TIMES[name]) or 0)
    if name == o.SO_PEERCRED:
        return struct.pack("=iii", 0, -1, -1)  # nobody: credentials are for Unix sockets
    return None


def _get_socket_level(socket: TcpSocket, name: int) -> int | None:
    if name in _FLAGS:
        return int(bool(socket.sharing & _FLAGS[name]))
    if name == o.SO_RCVLOWAT:
        return socket.low_water
    if name == o.SO_RCVBUF and socket.option(o.SOL_SOCKET, name) is None:
        return _grown_rcvbuf(socket)
    if name == o.SO_SNDBUF and socket.option(o.SOL_SOCKET, name) is None:
        grown = socket.option(*_GROWN_SNDBUF)
        if was_established(socket):
            return max(grown_sndbuf(socket), grown or 0)
        if grown is not None:
            return int(grown)
    return fixed(socket, name)


def _shown_of_a_connection(socket: TcpSocket, name: int, kept: int | None) -> int | None:
    """What is measured or agreed on: the segment size, the window's limit, and the hops and the link of the SYN that came."""
    if name == o.TCP_MAXSEG:
        return shown_mss(socket, kept)
    if name == o.TCP_WINDOW_CLAMP:
        return limit_of_window(socket) if kept is None or socket.ledger is not None else kept
    if name in (IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS) and was_established(socket) and has_noted(socket, name):
        return _link_in(socket) if name == IPV6_MULTICAST_IF else _HOPS
    if name == IPV6_MULTICAST_IF:
        return _link_in(socket) if socket.origin == "server" and socket.peer is not None else kept
    came = socket.origin == "server" and (
        name == IPV6_MULTICAST_HOPS or (socket.peer is not None and ":" not in socket.peer[0])
    )
    if not came:
        return kept
    hops = socket.option(*HOPS_OF_SYN)
    return _HOPS if hops is None else hops


def _link_in(socket: TcpSocket) -> int:
    """The link by which what comes for it comes: that of its address, though it may have been sent on its own host."""
    return LOOPBACK_LINK if socket.local is not None and is_loopback(socket.local[0]) else OTHER_LINK


def forget_options(socket: TcpSocket) -> None:
    """tcp_disconnect: TCP_MAXSEG, TCP_WINDOW_CLAMP, TCP_QUICKACK and SO_PEEK_OFF are forgotten.

    The last segment size is shown until the next attempt; SO_SNDBUF stays as large as it has become.
    """
    connected = socket.peer is not None and socket.refs
    if connected:
        if was_established(socket):
            keep(socket, *_GROWN_SNDBUF, max(grown_sndbuf(socket), socket.option(*_GROWN_SNDBUF) or 0))
        for name in (IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS):
            if was_established(socket) and has_noted(socket, name):
                keep(socket, o.IPPROTO_IPV6, name, get_option(socket, o.IPPROTO_IPV6, name, 0))
        keep(socket, *o.LAST_MSS, socket.option(*o.DEAD_MSS) or agreed_mss(socket, socket.option(*_MAXSEG)))
    if socket.options is not None:
        forget_peek_place(socket.options)
        for key in _FORGOTTEN:
            socket.options.pop(key, None)


def _has_heard(socket: TcpSocket) -> bool:
    """Has anything come for it, an answer or a refusal?"""
    return was_established(socket) or (socket.state == CLOSED and socket.peer is not None)
