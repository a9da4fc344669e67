"""A program of socket calls as a value: it can be drawn from a seed, cut shorter, run in two worlds and printed.

A step makes one call on one *name*: ``c1 = l1.accept()``. Names stand for sockets and pollers. If a name was never
made, because its accept found nothing or a shorter program left out the step that makes it, steps on it are skipped. So any
part of a program is a program, and that is what lets a long one shrink.
"""

from __future__ import annotations

import select
import socket
from typing import Any, NamedTuple

__all__ = [
    "ASKED",
    "FAMILIES",
    "HOSTS",
    "IOCTLS",
    "OPTIONS",
    "PORTS",
    "TIGHT",
    "Place",
    "Program",
    "Step",
    "flag_names",
    "mask_names",
]

# What a socket is made of, by the word a program uses.
FAMILIES: dict[str, tuple[int, int]] = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
    "tight": (socket.AF_INET, socket.SOCK_STREAM),  # with buffers of TIGHT bytes, that a few calls fill
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    "unix-dgram": (socket.AF_UNIX, socket.SOCK_DGRAM),
    "unix-seqpacket": (socket.AF_UNIX, socket.SOCK_SEQPACKET),
}

TIGHT = 8192  # SO_SNDBUF and SO_RCVBUF of such a socket

# Hosts by name; "here" and "there" are two addresses of 127/8 that no other program uses at the time.
HOSTS: dict[str, str] = {
    "lo": "127.0.0.1",
    "any": "0.0.0.0",  # bound on loopback's own ports only, and for a millisecond
    "": "",
    "lo6": "::1",
    "any6": "::",
    "mapped": "::ffff:127.0.0.1",
}
PORTS = ("A", "B", "C")  # three ports nobody else uses

_OPTION_NAMES = {
    socket.SOL_SOCKET: "SO_ACCEPTCONN SO_BROADCAST SO_DOMAIN SO_ERROR SO_KEEPALIVE SO_OOBINLINE SO_PROTOCOL SO_RCVBUF "
    "SO_RCVLOWAT SO_REUSEADDR SO_REUSEPORT SO_SNDBUF SO_TYPE",
    socket.IPPROTO_TCP: "TCP_CORK TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_KEEPCNT TCP_KEEPIDLE TCP_KEEPINTVL TCP_LINGER2 TCP_NODELAY "
    "TCP_SYNCNT TCP_USER_TIMEOUT",
    socket.IPPROTO_IP: "IP_RECVTOS IP_TOS IP_TTL",
    socket.IPPROTO_IPV6: "IPV6_V6ONLY",
}
OPTIONS: dict[str, tuple[int, int]] = {
    name: (level, getattr(socket, name)) for level, names in _OPTION_NAMES.items() for name in names.split()
}

ASKED = 0x23C7  # every bit that poll may be asked for: IN PRI OUT RDNORM RDBAND WRNORM WRBAND RDHUP

IOCTLS = {"FIONREAD": 0x541B, "SIOCOUTQ": 0x5411, "SIOCATMARK": 0x8905}  # as asm-generic/ioctls.h and sockios.h

_FLAGS = ("MSG_OOB", "MSG_PEEK", "MSG_DONTWAIT", "MSG_TRUNC", "MSG_WAITALL", "MSG_MORE", "MSG_NOSIGNAL", "MSG_ERRQUEUE")
_EVENTS = (
    "EPOLLIN",
    "EPOLLPRI",
    "EPOLLOUT",
    "EPOLLERR",
    "EPOLLHUP",
    "EPOLLRDNORM",
    "EPOLLRDBAND",
    "EPOLLWRNORM",
    "EPOLLWRBAND",
    "EPOLLRDHUP",
    "EPOLLEXCLUSIVE",
    "EPOLLONESHOT",
    "EPOLLET",
)


class Place(NamedTuple):
    """An address in a program: a host of HOSTS, "here" or "there"; a port of PORTS, a number, or a name's own port."""

    host: str
    port: str | int

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


class Step(NamedTuple):
    """One call. *on* is the name it is made on ("" for a maker), *makes* are the names it gives to what it returns."""

    call: str
    on: str = ""
    args: tuple[Any, ...] = ()
    makes: tuple[str, ...] = ()

    def __str__(self) -> str:
        arguments = [_argument(self.call, place, each) for place, each in enumerate(self.args)]
        text = f"{self.on}{'.' if self.on else ''}{self.call}({', '.join(arguments)})"
        return f"{', '.join(self.makes)} = {text}" if self.makes else text


class Program(tuple[Step, ...]):
    """Steps in order."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def without(self, first: int, count: int) -> Program:
        """The program that leaves out *count* steps from number *first* on."""
        return Program(self[:first] + self[first + count :])


def _argument(call: str, place: int, value: Any) -> str:
    if call in ("recv", "send", "recvmsg") and place == 1:
        return flag_names(value)
    if call in ("register", "modify") and place == 1:
        return mask_names(value)
    if call == "shutdown":
        return ("SHUT_RD", "SHUT_WR", "SHUT_RDWR")[value]
    return value if isinstance(value, str) else repr(value)


def flag_names(flags: int) -> str:
    """``MSG_OOB|MSG_PEEK`` for the flags of a call."""
    return "|".join(name for name in _FLAGS if flags & getattr(socket, name)) or "0"


def mask_names(mask: int) -> str:
    """``IN|OUT|RDNORM`` for a poll mask or an epoll registration, every bit of it."""
    return "|".join(name.removeprefix("EPOLL") for name in _EVENTS if mask & getattr(select, name)) or "0"
