"""Internet addresses: as programs write them, as packets carry them, and what kinds there are.

Packets carry ``(ip, port)`` pairs with IPv4 in plain form, whatever the family of the sockets: an AF_INET6 socket that
talks to an IPv4 one sees ``::ffff:`` before the same address (K-034).
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EAFNOSUPPORT, EINVAL, ENETUNREACH
from typing import Any

from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET6
from simnet.kernel.segment import Endpoint

ANY4 = "0.0.0.0"
ANY6 = "::"
MAPPED = "::ffff:"
BROADCAST = "255.255.255.255"
LOOPBACK_BROADCAST = "127.255.255.255"
FAMILY_SIZE, SIZE4, SIZE6 = 2, 16, 24  # bytes of struct sockaddr's family, of struct sockaddr_in, SIN6_LEN_RFC2133
LOOPBACK_LINK = 1
ONLY_LINK = 2  # the index of the link that leads to other hosts


def endpoint(family: int, address: Sequence[Any]) -> Endpoint:
    """A program's address as packets carry it.

    Raises:
        OSError: EAFNOSUPPORT, it is one of IPv6, and the socket is not, whatever its object says.
    """
    ip: str = address[0]
    if ":" in ip:
        if family != AF_INET6:
            raise socket_error(EAFNOSUPPORT)
        if ip.startswith(MAPPED) and "." in ip:
            ip = ip[len(MAPPED) :]
    return (ip, address[1])


def named(family: int, address: Any) -> Endpoint:
    """The same of what ``bind`` or ``connect`` is given, which may be shorter, too; the errors of `check_size`."""
    check_size(family, address)
    return endpoint(family, address)


def check_size(family: int, address: Any, *, whole: bool = True) -> None:
    """Is *address* as long as one of *family*? It need not be, from an object that was made of another's descriptor.

    Raises:
        OSError: EINVAL, it is shorter, be it one of IPv4 where IPv6 wants the *whole*; EAFNOSUPPORT, the name of a Unix socket.
    """
    if not isinstance(address, tuple):
        path = address if isinstance(address, bytes) else address.encode("utf-8", "surrogateescape") + b"\0"
        short = len(path) + FAMILY_SIZE < (SIZE6 if family == AF_INET6 else SIZE4)
        raise socket_error(EINVAL if short else EAFNOSUPPORT)
    if whole and family == AF_INET6 and ":" not in address[0]:
        raise socket_error(EINVAL)


def shown(family: int, pair: Endpoint) -> tuple[Any, ...]:
    """*pair* as CPython shows it on a socket of *family*."""
    if family != AF_INET6:
        return pair
    ip, port = pair
    return (ip if ":" in ip else MAPPED + ip, port, 0, 0)


def shown_local(family: int, pair: Endpoint | None) -> tuple[Any, ...]:
    """The same for a local name, which may be missing, or the wildcard (K-033)."""
    if family != AF_INET6:
        return (ANY4, 0) if pair is None else pair
    return (ANY6, 0, 0, 0) if pair is None else shown(family, pair)


def wildcard(family: int) -> str:
    """The unspecified address of *family*."""
    return ANY6 if family == AF_INET6 else ANY4


def names_address(family: int, ip: str) -> bool:
    """Does who binds *ip* name an address? The wildcard of IPv4 is one to an AF_INET6 socket, ::ffff:0.0.0.0."""
    return ip != (ANY6 if family == AF_INET6 else ANY4)


def destination(family: int, ip: str, source: str | None, v6_only: bool) -> str:
    """Where a packet to *ip* goes from a socket bound to *source*, if it is.

    The wildcards mean this host, by the source address if that is one (K-018).

    Raises:
        OSError: ENETUNREACH, IPv4 from IPv6 only; EAFNOSUPPORT, IPv6 from a socket bound to an IPv4 address; EINVAL, or of
            loopback's ENETUNREACH, an IPv6 socket is bound to an IPv4 address of several hosts, which nothing comes from.
    """
    if family == AF_INET6:
        if source is not None and ":" not in source:
            if ":" in ip and ip != ANY6:
                raise socket_error(EAFNOSUPPORT)
            if is_many(source):
                # inet6_bind keeps it for the source, which inet_bind does not.
                raise socket_error(ENETUNREACH if source == LOOPBACK_BROADCAST else EINVAL)
            if ip == ANY6:
                return "127.0.0.1"
        elif ":" not in ip and (v6_only or source not in (None, ANY6)):
            raise socket_error(ENETUNREACH)
    if ip == ANY4:
        return "127.0.0.1" if source is None or source in (ANY4, ANY6) or is_many(source) else source
    return "::1" if ip == ANY6 else ip


def check_link(address: Sequence[Any]) -> None:
    """ENETUNREACH for such an address that names a link on which there is nobody: loopback, or none at all."""
    if len(address) > 3 and address[3] not in (0, ONLY_LINK) and of_a_link(address[0]):
        raise socket_error(ENETUNREACH)


def of_a_link(ip: str) -> bool:
    """Is *ip* one of many links: an address of its own there, or a group on it?"""
    return ip[:3] in ("fe8", "fe9", "fea", "feb") or (ip[:2] == "ff" and ip[3] in "12")


def is_loopback(ip: str) -> bool:
    """127/8 and ::1, which are every host's own."""
    return ip.startswith("127.") or ip == "::1"


def is_many(ip: str) -> bool:
    """Broadcast or multicast: an address of several hosts."""
    if ":" in ip:
        return ip.startswith("ff")
    if ip[0] == "2":
        return ip == BROADCAST or is_group(ip)
    return ip == LOOPBACK_BROADCAST


def is_group(ip: str) -> bool:
    """Whether it stands for a group of hosts, as multicast addresses do."""
    if ip[0] == "2":
        return "." in ip and 224 <= int(ip.split(".", 1)[0]) < 240
    return ip.startswith("ff")


def is_broadcast(ip: str) -> bool:
    """All hosts of a link, or of loopback's: for which a socket needs permission."""
    return ip in (BROADCAST, LOOPBACK_BROADCAST)
