"""SO_TIMESTAMP and SO_TIMESTAMPNS: when a datagram came in, told beside it by ``recvmsg``.

What was queued before a socket asked for it is told the time of its reading, as Linux does.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Protocol

from simnet.kernel.idle_options import SO_TIMESTAMPNS
from simnet.kernel.messages import Message
from simnet.kernel.options import SO_TIMESTAMP, SOL_SOCKET, Key

STAMPS: Final = ((SOL_SOCKET, SO_TIMESTAMP), (SOL_SOCKET, SO_TIMESTAMPNS))


class _Clock(Protocol):
    @property
    def now_ns(self) -> int: ...


class _Host(Protocol):
    """Whose time it is."""

    epoch_ns: int

    @property
    def clock(self) -> _Clock: ...


def set_stamps(options: dict[Key, Any], key: Key, on: bool) -> None:
    """One kind puts the other out; either, set to 0, puts out both (sock_set_timestamp)."""
    for each in STAMPS:
        options.pop(each, None)
    if on:
        options[key] = 1


def wants_stamps(options: dict[Key, Any] | None) -> bool:
    """Is either set?"""
    return options is not None and any(each in options for each in STAMPS)


def time_on(host: _Host) -> int:
    """The wall clock of *host*, in nanoseconds since 1970."""
    return host.epoch_ns + host.clock.now_ns


def stamped(options: dict[Key, Any], stamp_ns: int, host: _Host) -> list[Message]:
    """The message that tells *stamp_ns*, or now if that is 0; none if nobody asks."""
    for key in STAMPS:
        if key in options:
            ns = stamp_ns or time_on(host)
            unit = 1000 if key[1] == SO_TIMESTAMP else 1  # struct timeval or timespec
            return [(*key, struct.pack("=qq", ns // 1_000_000_000, ns % 1_000_000_000 // unit))]
    return []
