"""The route that a connected socket keeps: some options have it forgotten, and it is not known until something goes out."""

from __future__ import annotations

from errno import ENETUNREACH, ENODEV
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.inet import ANY6, destination
from simnet.kernel.messages import AF_INET6, AF_UNIX, SOCK_STREAM
from simnet.kernel.options.values import (
    IPPROTO_IPV6,
    IPV6_TCLASS,
    SO_BINDTODEVICE,
    SO_DONTROUTE,
    SO_MARK,
    SO_PRIORITY,
    SOL_SOCKET,
    TOS,
    TOS_PRIORITIES,
)
from simnet.kernel.ports import V6_ONLY

if TYPE_CHECKING:
    from simnet.kernel.options.values import Key

DEVICE: Final = (SOL_SOCKET, SO_BINDTODEVICE)
LOOPBACK_DEVICE: Final = b"lo\0"
NO_LINK: Final = b"#"  # begins what is kept of a link that is not there, before its number
OFF_ROUTE: Final = (SOL_SOCKET, SO_DONTROUTE)
CHANGE_IT: Final = frozenset({(IPPROTO_IPV6, IPV6_TCLASS), (SOL_SOCKET, SO_MARK)})  # if they change themselves
FORGOTTEN: Final = (SOL_SOCKET, -SO_DONTROUTE)  # beside the options: what had gone over a connection by then


def note_option(socket: Any, key: Key, value: Any) -> None:
    """The option *key* is about to become *value* (sk_dst_reset)."""
    if key == OFF_ROUTE or (key in CHANGE_IT and (socket.options or {}).get(key, 0) != value):
        forget_route(socket)


def note_tos(socket: Any, number: int, kept: int) -> None:
    """IP_TOS is about to be set to *number*, of which *kept* is kept: another one brings its SO_PRIORITY along (rt_tos2priority).

    What does not fit a byte is another one each time (__ip_sock_set_tos).
    """
    if (socket.options or {}).get(TOS, 0) != number & ~0xFF | kept:
        forget_route(socket)
        if socket.options is None:
            socket.options = {}
        socket.options[(SOL_SOCKET, SO_PRIORITY)] = TOS_PRIORITIES[kept >> 3 & 3]


def forget_route(socket: Any) -> None:
    """Look it up again with what is sent next."""
    if socket.peer is not None and socket.family != AF_UNIX:
        if socket.options is None:
            socket.options = {}
        socket.options[FORGOTTEN] = gone_over(socket)
        if socket.type != SOCK_STREAM:
            socket.rerouted = True


def find_route(socket: Any, sends: bool = True) -> None:
    """A datagram socket connects, or *sends* to where it is connected.

    Over IPv4 it keeps none for what it sends if it is to use no route, nor as an IPv6 socket, which names its peer each time.
    """
    options = socket.options
    if options and FORGOTTEN in options:
        if sends and ":" not in socket.peer[0] and (socket.family == AF_INET6 or options.get(OFF_ROUTE)):
            return
        del options[FORGOTTEN]


def check_link_of(socket: Any, ip: str) -> None:
    """Is *ip* reached by the link that *socket* is bound to?

    Raises:
        OSError: ENETUNREACH, over IPv6: by that of loopback only ::1 is, by one that is not there nobody; ENODEV, over IPv4.
    """
    link = socket.options.get(DEVICE)
    if not link:
        return
    if link.startswith(NO_LINK):
        raise socket_error(ENETUNREACH if ":" in ip else ENODEV)
    if ":" in ip and ip != "::1" and link == LOOPBACK_DEVICE:
        raise socket_error(ENETUNREACH)


def way_to(socket: Any, ip: str, bound: str | None) -> str:
    """Where packets to *ip* go (`inet.destination`) from a *socket* that is *bound*, if it is.

    From an IPv4 address to an IPv6 one a way is looked up before their families are compared.
    """
    if socket.options is not None and bound is not None and ":" in ip and ":" not in bound and ip != ANY6:
        check_link_of(socket, ip)
    return destination(socket.family, ip, bound, bool(socket.sharing & V6_ONLY))


def is_nowhere(socket: Any) -> bool:
    """Is *socket* bound to a link that is not there?"""
    return socket.options is not None and socket.options.get(DEVICE, b"").startswith(NO_LINK)


def knows_route(socket: Any) -> bool:
    """Has nothing made it forget its route, or has something gone out since?"""
    options = socket.options
    return not options or FORGOTTEN not in options or options[FORGOTTEN] != gone_over(socket)


def gone_over(socket: Any) -> tuple[int, int]:
    """What has gone over a connection, either way: what comes is acknowledged. A datagram says so itself."""
    return (socket.snd_nxt, socket.rcv_nxt) if socket.type == SOCK_STREAM else (0, 0)
