"""What TCP_INFO reports besides the state: what was agreed on, what is counted, and the initial values of what Linux measures."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from simnet.kernel.states import FIN_WAIT1, LISTEN, SYN_SENT
from simnet.kernel.tcp.control import ISN
from simnet.kernel.tcp.nagle import in_flight
from simnet.kernel.tcp.window import FIRST_WINDOW, FIRST_WINDOW_V6, LATER_WINDOW

if TYPE_CHECKING:
    from simnet.kernel.tcp.sockets import TcpSocket

# Where struct tcp_info of Linux 6.18 has them. Times are microseconds.
_RTO, _ATO, _SND_MSS, _RCV_MSS, _UNACKED, _SACKED = 8, 12, 16, 20, 24, 28
_PMTU, _RCV_SSTHRESH, _RTT, _RTTVAR, _SND_SSTHRESH, _SND_CWND, _ADVMSS = 60, 64, 68, 72, 76, 80, 84
_REORDERING, _RCV_SPACE, _NOTSENT, _MIN_RTT, _SND_WND, _RCV_WND = 88, 96, 144, 148, 228, 232
_PACING, _PACING_MAX, _BYTES_ACKED, _BYTES_RECEIVED, _BYTES_SENT = 104, 112, 120, 128, 200

_UNKNOWN: Final = 0xFFFFFFFF
_UNLIMITED: Final = 0xFFFFFFFFFFFFFFFF
_TIMESTAMPS: Final = 12


def measures(socket: TcpSocket, info: bytes, mss: int, agreed: bool) -> bytes:
    """*info* with what can be told of *socket*, whose segments are of *mss* bytes; what counts packets stays 0."""
    filled = bytearray(info)
    numbers, large = _numbers(socket, mss, agreed)
    for at, number in numbers.items():
        struct.pack_into("=I", filled, at, number)
    for at, number in large.items():
        struct.pack_into("=Q", filled, at, number)
    return bytes(filled)


def _numbers(socket: TcpSocket, mss: int, agreed: bool) -> tuple[dict[int, int], dict[int, int]]:
    numbers = {_SND_CWND: 10, _REORDERING: 3}
    large = {_PACING_MAX: _UNLIMITED}
    if socket.state == LISTEN:
        listener = socket.listener
        assert listener is not None
        return numbers | {_UNACKED: len(listener.queue), _SACKED: listener.backlog}, large | {_PACING: _UNLIMITED}
    numbers |= {_SND_MSS: mss, _SND_SSTHRESH: 0x7FFFFFFF}
    six = socket.peer is not None and ":" in socket.peer[0]
    first = FIRST_WINDOW_V6 if six else FIRST_WINDOW
    within = socket.peer is not None and socket.stack.is_local(socket.peer[0])
    if within:
        numbers |= {_PMTU: 65_536 if six else 65_535, _RCV_SSTHRESH: first + _TIMESTAMPS, _ADVMSS: first}
    if not agreed:
        numbers |= {_RTO: 1_000_000, _RTTVAR: 250_000, _MIN_RTT: _UNKNOWN}
        if within:
            numbers |= {_RCV_MSS: 88, _ADVMSS: first + _TIMESTAMPS, _RCV_WND: first + _TIMESTAMPS}
        return numbers | {_UNACKED: int(socket.state == SYN_SENT)}, large | {_PACING: _UNLIMITED}
    client = socket.origin == "client"
    waiting = in_flight(socket) + (socket.state == FIN_WAIT1)
    numbers |= {
        _RTO: 200_000 if six else 204_000,
        _RCV_MSS: max(min(mss, 536), 88),
        _UNACKED: int(waiting > 0),
        _NOTSENT: socket.unsent,
    }
    trip = max(socket.trip_ns // 1000, 1)  # of the handshake, whose first sample makes half of it the variance
    numbers |= {_RTT: trip, _RTTVAR: max(trip // 2, 1), _MIN_RTT: trip, _ATO: 40_000 if socket.received else 0}
    if within:
        space = first + _TIMESTAMPS if client else first
        quiet = not (socket.sent or socket.received or socket.done)
        numbers |= {_RCV_SSTHRESH: space, _RCV_SPACE: space}
        numbers[_SND_WND if client else _RCV_WND] = first if quiet else LATER_WINDOW
        numbers[_RCV_WND if client else _SND_WND] = LATER_WINDOW
    large |= {
        _BYTES_ACKED: max(socket.snd_nxt - ISN - (not client) - waiting, 0),
        _BYTES_RECEIVED: max(socket.rcv_nxt - ISN - 1, 0),
        _BYTES_SENT: socket.sent,
    }
    return numbers, large
