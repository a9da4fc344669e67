"""What a TCP socket tells of itself as a structure: TCP_INFO, and the name of its congestion control."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT
from typing import Any, Final

from simnet.kernel.errors import socket_error
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
)  # fmt: skip

STATE_NUMBERS: Final = {  # <netinet/tcp.h>
    ESTABLISHED: 1, SYN_SENT: 2, SYN_RECV: 3, FIN_WAIT1: 4, FIN_WAIT2: 5, TIME_WAIT: 6, CLOSED: 7, CLOSE_WAIT: 8,
    LAST_ACK: 9, LISTEN: 10, CLOSING: 11,
}  # fmt: skip
INFO_SIZE: Final = 280  # struct tcp_info of Linux 6.18
_OPTIONS_AND_SCALES: Final = b"\x07\xaa"  # timestamps, SACK and window scaling by 10 bits each way, as over loopback
_LIMITED_BY_PROGRAM: Final = b"\1"  # tcpi_delivery_rate_app_limited: never by the path

CONGESTION_NAME_MAX: Final = 16  # TCP_CA_NAME_MAX
CONGESTION_CONTROLS: Final = ("cubic", "reno")  # what every Linux has; the first is its default


def tcp_info(state: str, agreed: bool) -> bytes:
    """``struct tcp_info``: the state, the options if any were *agreed* on, and 0 for all that measures a path or counts."""
    options = _OPTIONS_AND_SCALES if agreed else b"\0\0"
    limited = b"" if state == LISTEN else _LIMITED_BY_PROGRAM
    return (bytes((STATE_NUMBERS[state], 0, 0, 0, 0)) + options + limited).ljust(INFO_SIZE, b"\0")


def congestion_name(chosen: str | None) -> bytes:
    """What TCP_CONGESTION tells."""
    return (chosen or CONGESTION_CONTROLS[0]).encode().ljust(CONGESTION_NAME_MAX, b"\0")


def congestion_control(value: Any) -> str:
    """The name that TCP_CONGESTION asks for, which changes nothing here; ENOENT for one that is not loaded."""
    raw = struct.pack("=i", value) if isinstance(value, int) else bytes(value)
    if not raw:
        raise socket_error(EINVAL)
    name = raw[: CONGESTION_NAME_MAX - 1].split(b"\0")[0].decode("latin-1")
    if name not in CONGESTION_CONTROLS:
        raise socket_error(ENOENT)
    return name
