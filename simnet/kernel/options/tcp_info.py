"""TCP_INFO, what a TCP socket reports of itself as a structure, and the name of its congestion control."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, EPERM
from typing import Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.options.values import IPPROTO_TCP, SO_RCVBUF, SOL_SOCKET, TCP_WINDOW_CLAMP, Key
from simnet.kernel.states import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)

STATE_NUMBERS: Final = {  # <netinet/tcp.h>
    ESTABLISHED: 1, SYN_SENT: 2, SYN_RECV: 3, FIN_WAIT1: 4, FIN_WAIT2: 5, TIME_WAIT: 6, CLOSED: 7, CLOSE_WAIT: 8,
    LAST_ACK: 9, LISTEN: 10, CLOSING: 11,
}  # fmt: skip
INFO_SIZE: Final = 280  # struct tcp_info of Linux 6.18
_OPTIONS: Final = 7  # timestamps, SACK and window scaling
SCALE: Final = 10  # bits by which a window is scaled whose receiver has not been told how large it may get
OWN_SCALE: Final = (IPPROTO_TCP, -1)  # where a connection keeps those that it has agreed on, if they are others
PEER_SCALE: Final = (IPPROTO_TCP, -2)
_UNSCALED_BITS: Final = 16  # of the field in the header
_WINDOW_MAX: Final = 33_554_432  # net.ipv4.tcp_rmem[2]
_LIMITED_BY_PROGRAM: Final = b"\1"  # tcpi_delivery_rate_app_limited: never by the path

CONGESTION_NAME_MAX: Final = 16  # TCP_CA_NAME_MAX
CONGESTION_CONTROLS: Final = ("bbr", "cubic", "reno")  # the first is the default where all this was measured
_FOR_THE_PRIVILEGED: Final = "cubic"  # it is loaded, and not in net.ipv4.tcp_allowed_congestion_control


def tcp_info(state: str, agreed: bool, kept: dict[Key, Any] | None) -> bytes:
    """``struct tcp_info``: the state, the options if any were *agreed* on, and 0 for all that measures a path or counts.

    *kept* are the options of the socket, among them the scales.
    """
    options = b"\0\0"
    if agreed:
        own, peer = (SCALE if kept is None else kept.get(key, SCALE) for key in (OWN_SCALE, PEER_SCALE))
        options = bytes((_OPTIONS, peer | own << 4))
    limited = b"" if state == LISTEN else _LIMITED_BY_PROGRAM
    return (bytes((STATE_NUMBERS[state], 0, 0, 0, 0)) + options + limited).ljust(INFO_SIZE, b"\0")


def note_scale(
    options: dict[Key, Any] | None, key: Key, told: dict[Key, Any] | None, *, answers: bool = False
) -> dict[Key, Any] | None:
    """*options* with the scale under *key* that whoever has set what is *told* asks for in its SYN: the buffer's, or less.

    Who *answers* a SYN has chosen its own when that came, by a TCP_WINDOW_CLAMP that has told something else since.
    """
    scale = (told or {}).get(OWN_SCALE, SCALE) if answers else _asked_scale(told)
    if scale != SCALE:
        options = {} if options is None else options
        options[key] = scale
    elif options is not None:
        options.pop(key, None)
    return options


def _asked_scale(told: dict[Key, Any] | None) -> int:
    clamp = told.get((IPPROTO_TCP, TCP_WINDOW_CLAMP)) or _WINDOW_MAX if told else _WINDOW_MAX
    if told and (SOL_SOCKET, SO_RCVBUF) in told:
        clamp = min(clamp, told[(SOL_SOCKET, SO_RCVBUF)] // 2)
    return max(min(clamp, _WINDOW_MAX).bit_length() - _UNSCALED_BITS, 0)


def congestion_name(chosen: str | None) -> bytes:
    """What TCP_CONGESTION tells."""
    return (chosen or CONGESTION_CONTROLS[0]).encode().ljust(CONGESTION_NAME_MAX, b"\0")


def congestion_control(value: Any, privileged: bool) -> str:
    """The name that TCP_CONGESTION asks for; ENOENT for one that is not loaded, EPERM for one that only the *privileged* may use."""
    raw = struct.pack("=i", value) if isinstance(value, int) else bytes(value)
    if not raw:
        raise socket_error(EINVAL)
    name = raw[: CONGESTION_NAME_MAX - 1].split(b"\0")[0].decode("latin-1")
    if name not in CONGESTION_CONTROLS:
        raise socket_error(ENOENT)
    if name == _FOR_THE_PRIVILEGED and not privileged:
        raise socket_error(EPERM)
    return name
