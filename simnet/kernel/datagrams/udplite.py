"""A UDP-Lite socket (RFC 3828): UDP with ports of its own.

Within a stack its ports are stored above UDP's, so that the two never meet; a program sees the usual numbers. No checksum goes
wrong here; but who insists on how much of a datagram it covers gets no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EADDRINUSE, EOPNOTSUPP
from itertools import chain
from typing import Any, Final

from simnet.kernel import inet
from simnet.kernel.buffer import Data
from simnet.kernel.datagrams.ancillary import UNCHECKED_V6, marks_of
from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.errors import socket_error
from simnet.kernel.options.idle import UDPLITE_RECV_CSCOV, UDPLITE_SEND_CSCOV
from simnet.kernel.options.values import (
    IPPROTO_UDP,
    SO_ZEROCOPY,
    SOL_SOCKET,
    NoBuffer,
    answer,
    check_buflen,
    check_length,
    integer,
    read_nothing,
)
from simnet.kernel.ports import FIRST_EPHEMERAL, LAST_EPHEMERAL, own_range
from simnet.kernel.segment import PLAIN, TTL_LATER, Datagram, Endpoint, Marks

IPPROTO_UDPLITE: Final = 136
ABOVE: Final = 65536  # where its ports lie
LEVELS: Final = (IPPROTO_UDP, IPPROTO_UDPLITE)
COVERAGES: Final = (UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV)
HEADER: Final = 8  # bytes, which are always covered
COVERAGE_MAX: Final = 65535


class UdpLiteSocket(UdpSocket):
    """One UDP-Lite socket."""

    __slots__ = ()
    proto: Final = IPPROTO_UDPLITE  # type: ignore[misc]  # a UDP socket in all but this

    def getsockname(self) -> tuple[Any, ...]:
        return _shown(super().getsockname())

    def getpeername(self) -> tuple[Any, ...]:
        return _shown(super().getpeername())

    def bind(self, address: Sequence[Any]) -> None:
        super().bind(_above(address))

    def connect(self, address: Sequence[Any]) -> None:
        super().connect(_above(address))

    def _stand_at(self, ip: str, port: int, later: bool = False) -> None:
        if not port and not later:
            ports = self.stack.udp_ports
            bounds = own_range(self.options)
            first, last = bounds or (FIRST_EPHEMERAL, LAST_EPHEMERAL)
            start = first if bounds else ports.next_lite
            walk = chain(range(ABOVE + start, ABOVE + last + 1), range(ABOVE + first, ABOVE + start))
            port = next((each for each in walk if each not in ports.users), 0)
            if not port:
                raise socket_error(EADDRINUSE)
            if bounds is None:
                ports.next_lite = port - ABOVE + 1
        super()._stand_at(ip, port, later)

    def _send(self, data: Data, flags: int, address: Sequence[Any] | None, ancillary: tuple[Any, ...] = ()) -> int:
        return super()._send(data, flags, None if address is None else _above(address), ancillary)

    def _emit(
        self, local: Endpoint, target: Endpoint, payload: bytes, marks: Marks | None = None, source: str | None = None
    ) -> None:
        options = self.options or {}
        covered = options.get((IPPROTO_UDP, UDPLITE_SEND_CSCOV), 0)
        partly = 0 < covered < HEADER + len(payload)
        if partly or options.get(UNCHECKED_V6):
            if marks is None:
                six = ":" in target[0]
                marks = marks_of(self.options, six) or PLAIN
                if not six or inet.is_group(target[0]):
                    marks = marks._replace(ttl=TTL_LATER)
            marks = marks._replace(unchecked=False)  # which UDP-Lite knows not
        if partly and marks is not None:
            marks = marks._replace(covered=covered, begun=-1)
        super()._emit(local, target, payload, marks, source)

    def take_in(self, datagram: Datagram) -> None:
        """Queue *datagram*, unless less of it is covered than this socket insists on: all, if that was set to 0."""
        covered = datagram.marks.covered if datagram.marks is not None else 0
        if covered:
            insists = (self.options or {}).get((IPPROTO_UDP, UDPLITE_RECV_CSCOV), HEADER)
            if not insists or covered < insists:
                self.dropped += 1
                return
        super().take_in(datagram)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, tuple[Any, ...]]:
        payload, name = super().recvfrom(n, flags)
        return payload, _shown(name)

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, tuple[Any, ...]]:
        payload, messages, message_flags, name = super().recvmsg(n, ancbufsize, flags)
        return payload, messages, message_flags, _shown(name)

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        if level in LEVELS and name in COVERAGES:
            check_buflen(buflen)
            return answer((self.options or {}).get((IPPROTO_UDP, name), 0), buflen)
        return super().getsockopt(level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        if (level, name) == (SOL_SOCKET, SO_ZEROCOPY) and not isinstance(value, NoBuffer):  # it is TCP's and UDP's
            check_length(level, None, value)
            raise socket_error(EOPNOTSUPP)
        if level not in LEVELS or name not in COVERAGES:
            super().setsockopt(level, name, value)
            return
        if isinstance(value, NoBuffer):
            value = read_nothing((level, name), value.length, known=True)
        covered = integer(check_length(level, None, value))
        if covered:
            covered = min(max(covered, HEADER), COVERAGE_MAX)
        if self.options is None:
            self.options = {}
        self.options[(IPPROTO_UDP, name)] = covered


def _above(address: Sequence[Any]) -> Sequence[Any]:
    """An address of a program's where it is within the stack."""
    port = address[1]
    return (address[0], port + ABOVE if port else 0, *address[2:])


def _shown(name: tuple[Any, ...]) -> tuple[Any, ...]:
    """The name of a socket as a program sees it."""
    return (name[0], name[1] % ABOVE, *name[2:])
