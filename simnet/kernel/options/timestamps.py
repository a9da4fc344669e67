"""SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING: when a packet came in, returned by ``recvmsg``.

A packet that was queued before a socket asked for one of the first two gets the time of its reading, as on Linux. Each option has a
second number, ``..._NEW``, for times of 64 bits on 32-bit machines; the message differs by that number alone. Reporting when
something was sent (``SOF_TIMESTAMPING_TX_SOFTWARE`` and the like) is not modelled.
"""

from __future__ import annotations

import struct
from errno import EINVAL, EOPNOTSUPP
from typing import Any, Final, Protocol

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.messages import AF_UNIX, SOCK_STREAM, Message
from simnet.kernel.options.idle import SO_TIMESTAMPNS
from simnet.kernel.options.rare import NEW_STAMPS, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW
from simnet.kernel.options.values import (
    SO_TIMESTAMP,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SOL_SOCKET,
    AnySocket,
    Key,
    integer,
)
from simnet.kernel.states import CLOSED, LISTEN

KINDS: Final = ((SOL_SOCKET, SO_TIMESTAMP), (SOL_SOCKET, SO_TIMESTAMPNS))
STAMPING: Final = (SOL_SOCKET, SO_TIMESTAMPING)
_OLD: Final = {
    SO_TIMESTAMP_NEW: SO_TIMESTAMP,
    SO_TIMESTAMPNS_NEW: SO_TIMESTAMPNS,
    SO_TIMESTAMPING_NEW: SO_TIMESTAMPING,
}
_NEW: Final = {old: new for new, old in _OLD.items()}
STAMPS: Final = frozenset((SOL_SOCKET, name) for names in _NEW.items() for name in names)

# SOF_TIMESTAMPING_..., linux/net_tstamp.h
RX_SOFTWARE: Final = 1 << 3
SOFTWARE: Final = 1 << 4
_OPT_ID, _OPT_TSONLY, _OPT_STATS, _BIND_PHC, _OPT_ID_TCP = (1 << bit for bit in (7, 11, 12, 15, 16))
_MASK: Final = (1 << 19) - 1
# TX_SOFTWARE, TX_SCHED, TX_ACK, TX_COMPLETION; no link here has hardware.
_GONE_OUT: Final = 1 << 1 | 1 << 8 | 1 << 9 | 1 << 18


class _Clock(Protocol):
    @property
    def now_ns(self) -> int: ...


class _Host(Protocol):
    """Whose time it is."""

    epoch_ns: int

    @property
    def clock(self) -> _Clock: ...


def set_stamps(socket: AnySocket, key: Key, value: int | bytes) -> None:
    """Set one of these options.

    Raises:
        OSError: EINVAL, flags that there are not, or that go with others only; EOPNOTSUPP, a clock of a link's hardware.
    """
    number = integer(value)
    options = socket.options
    if options is None:
        options = socket.options = {}
    name = _OLD.get(key[1], key[1])
    if name == SO_TIMESTAMPING:
        _check_flags(socket, number, options.get(STAMPING, 0))
        options[STAMPING] = number
    else:  # one kind puts the other out; either, set to 0, puts out both (sock_set_timestamp)
        for each in KINDS:
            options.pop(each, None)
        if not number:
            return
        options[(SOL_SOCKET, name)] = 1
    options[NEW_STAMPS] = key[1] in _OLD


def _check_flags(socket: AnySocket, flags: int, before: int) -> None:
    """What `sock_set_timestamping` looks at."""
    stream = socket.type == SOCK_STREAM and socket.family != AF_UNIX
    if (
        flags & ~_MASK
        or (flags & _OPT_ID_TCP and not flags & _OPT_ID)
        or (flags & _OPT_ID and not before & _OPT_ID and stream and socket.state in (CLOSED, LISTEN))
        or (flags & _OPT_STATS and not flags & _OPT_TSONLY)
    ):
        raise socket_error(EINVAL)
    if flags & _BIND_PHC:
        raise socket_error(EOPNOTSUPP)
    if flags & _GONE_OUT and socket.family != AF_UNIX:
        not_modelled(f"setsockopt(SO_TIMESTAMPING, {flags:#x}), which asks when something has gone out,")


def stamp_option(options: dict[Key, Any] | None, name: int) -> int:
    """What getsockopt tells of SO_TIMESTAMP, SO_TIMESTAMPNS, or the other number of either."""
    if not options or bool(options.get(NEW_STAMPS)) != (name in _OLD):
        return 0
    if name == SO_TIMESTAMP_NEW:
        return int(any(each in options for each in KINDS))
    return int((SOL_SOCKET, _OLD.get(name, name)) in options)


def wants_stamps(options: dict[Key, Any] | None) -> bool:
    """Does one of them ask that times are noted? Without that, SOFTWARE has none to tell: another's wish may help on Linux."""
    return options is not None and (
        any(each in options for each in KINDS) or bool(options.get(STAMPING, 0) & RX_SOFTWARE)
    )


def time_on(host: _Host) -> int:
    """The wall clock of *host*, in nanoseconds since 1970."""
    return host.epoch_ns + host.clock.now_ns


def stamped(options: dict[Key, Any], stamp_ns: int, host: _Host, *, of_unix: bool = False) -> list[Message]:
    """The messages that tell *stamp_ns*, or now if that is 0; none if nobody asks."""
    kind = next((key for key in KINDS if key in options), None)
    flags = options.get(STAMPING, 0)
    if kind is None and not (flags & SOFTWARE and stamp_ns and not of_unix):
        return []
    ns = stamp_ns or time_on(host)
    seconds, rest = divmod(ns, 1_000_000_000)
    new = options.get(NEW_STAMPS)
    messages: list[Message] = []
    if kind is not None:
        name = kind[1]
        unit = 1000 if name == SO_TIMESTAMP else 1  # struct timeval or timespec
        messages.append((SOL_SOCKET, _NEW[name] if new else name, struct.pack("=qq", seconds, rest // unit)))
    if flags & SOFTWARE:
        name = SO_TIMESTAMPING_NEW if new else SO_TIMESTAMPING
        messages.append((SOL_SOCKET, name, struct.pack("=qq32x", seconds, rest)))  # and of the hardware's two, none
    return messages
