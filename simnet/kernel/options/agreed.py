"""What a connection has agreed on or measured, as TCP_MAXSEG, TCP_WINDOW_CLAMP and SO_SNDBUF tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.counted.account import OF_A_BUFFER, SEGMENTS_HELD, TIMESTAMPS
from simnet.kernel.counted.ledger import in_hindsight
from simnet.kernel.counted.opening import HEADERS
from simnet.kernel.counted.packets import WINDOW_OF_PACKETS
from simnet.kernel.options import values as o
from simnet.kernel.options.packed import IP_HEADER
from simnet.kernel.states import CLOSED, FIN_WAIT1
from simnet.kernel.tcp.control import AUTOTUNED_SEND_ROOM, ISN
from simnet.kernel.tcp.cork import AGREED_LIMIT, HELD, SAID_MSS, mss_of
from simnet.kernel.tcp.nagle import FULL, FULL_V6
from simnet.kernel.tcp.window import FIRST_WINDOW, FIRST_WINDOW_V6, STREAM

if TYPE_CHECKING:
    from simnet.kernel.tcp.sockets import TcpSocket

_MAXSEG: Final = (o.IPPROTO_TCP, o.TCP_MAXSEG)
_WINDOW_CLAMP_OF_A_SYN: Final = 67_107_840  # what scaling can say, in whole segments; the answer makes it less
_MSS: Final = 536  # TCP_MSS_DEFAULT
_MSS_V6: Final = 1220  # of the smallest MTU of IPv6
_LOOPBACK_MSS_LATER: Final = 32768
_AUTOTUNED_SNDBUF: Final = 3_939_840  # what SO_SNDBUF says once connected over loopback, measured on Linux 6.18
_AUTOTUNED_SNDBUF_LATER: Final = 4_194_304  # and once there was room after it had been full: net.ipv4.tcp_wmem[2]


def was_established(socket: TcpSocket) -> bool:
    """Is or was this one end of a connection? What was agreed on stays to be read until the next attempt."""
    return socket.snd_edge > 0 and socket.peer is not None


def grown_sndbuf(socket: TcpSocket) -> int:
    """SO_SNDBUF of a connection whose program has set none: room for as many segments as it begins with (tcp_sndbuf_expand)."""
    peer: Any = socket.stack.connections.get((socket.peer, socket.local))
    said = socket.option(*SAID_MSS)
    said = socket.peer_mss if said is None else said
    asked = (socket.option(*_MAXSEG), peer.option(*_MAXSEG) if isinstance(peer, type(socket)) else said)
    segment = min((each for each in asked if each), default=0)
    held = socket.option(*HELD) or SEGMENTS_HELD if socket.ledger is None else socket.ledger.account.held
    if segment:
        return held * WINDOW_OF_PACKETS * (OF_A_BUFFER + (1 << (segment + HEADERS - 1).bit_length()))
    if held != SEGMENTS_HELD:
        return _AUTOTUNED_SNDBUF // SEGMENTS_HELD * held
    return _AUTOTUNED_SNDBUF if socket.snd_room == AUTOTUNED_SEND_ROOM else _AUTOTUNED_SNDBUF_LATER


def limit_of_window(socket: TcpSocket) -> int:
    """TCP_WINDOW_CLAMP where the program has set none: within a host it grows with the segments that come."""
    if socket.ledger is not None:
        return socket.ledger.account.clamp
    if not was_established(socket):
        if kept := socket.option(*AGREED_LIMIT):
            return int(kept)
        buffer = socket.option(o.SOL_SOCKET, o.SO_RCVBUF)
        return _WINDOW_CLAMP_OF_A_SYN if buffer is None else int(buffer) // 2
    if socket.received and socket.peer is not None and socket.stack.is_local(socket.peer[0]):
        found = in_hindsight(socket)
        if found is not None:
            return found.clamp
    return int(socket.option(*AGREED_LIMIT) or o.WINDOW_CLAMP)


def shown_mss(socket: TcpSocket, asked: int | None) -> int:
    """TCP_MAXSEG of a connection: over loopback half of the largest window that was seen, which grows after the SYN-ACK's.

    Once it is dead, what was asked for is told again, also if that came too late for it.
    """
    if socket.state != CLOSED:
        return agreed_mss(socket, asked)
    told = socket.option(*o.LATER_MSS)
    return (asked if told is None else told) or segment_size(socket, asked)


def segment_size(socket: TcpSocket, asked: int | None) -> int:
    """What it has measured, whatever is told once it is dead: of a socket that nothing has been agreed on with, the default."""
    if socket.peer is None:
        return int(socket.option(*o.LAST_MSS) or _MSS)
    return socket.option(*o.DEAD_MSS) or agreed_mss(socket, asked)


def agreed_mss(socket: TcpSocket, asked: int | None) -> int:
    if socket.ledger is not None and socket.ledger.account.mss:
        return socket.ledger.account.mss
    if not was_established(socket):
        unasked = _MSS_V6 if socket.peer is not None and ":" in socket.peer[0] else _MSS
        return (asked or unasked) - TIMESTAMPS
    mss = mss_of(socket)
    agreed = min((each for each in (asked, socket.peer_mss) if each), default=0)
    if agreed and agreed - TIMESTAMPS < mss:
        return agreed - TIMESTAMPS
    if mss in (FULL, FULL_V6) and socket.sent:
        if socket.sent > STREAM:  # of ends whose buffers somebody has limited there is a ledger
            largest = FIRST_WINDOW if mss == FULL else FIRST_WINDOW_V6  # the window has grown with what was read
            return largest - len(socket.option(*IP_HEADER) or b"")
        found = in_hindsight(socket)
        if found is not None and not (socket.state == CLOSED and socket.done and socket.owed == socket.sent):
            return found.mss  # whose last word was no FIN, or who was heard before
        if seen := socket.option(*o.SEEN_MSS):
            return int(seen)
    # A FIN that nobody has acknowledged yet has had no larger window told.
    sent = socket.snd_nxt - (socket.state == FIN_WAIT1)
    later = max(sent, socket.rcv_nxt) > ISN + 1
    if mss in (FULL, FULL_V6) and (later or socket.origin == "server" or socket.peer == socket.local):
        return _LOOPBACK_MSS_LATER
    return mss


def remember(socket: TcpSocket) -> None:
    """Something is about to change that nobody can look back beyond: what *socket* and its peer show by now is shown on."""
    if not was_established(socket):
        socket.options = {} if socket.options is None else socket.options
        socket.options[AGREED_LIMIT] = limit_of_window(socket)
        return
    peer: Any = socket.stack.connections.get((socket.peer, socket.local))
    for end in (socket, peer):
        if isinstance(end, type(socket)) and end.ledger is None and (end.sent or end.received):
            account = in_hindsight(end)
            if account is not None:
                end.options = {} if end.options is None else end.options
                end.options[o.SEEN_MSS] = account.mss
                end.options[AGREED_LIMIT] = account.clamp
