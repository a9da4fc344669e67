"""Multicast groups: which sockets are in which, on which link, and which of them get what is sent to one.

A datagram to a group comes back to the members on its own host, as on Linux: over loopback always, over the other link if the
sender's IP_MULTICAST_LOOP is on. Over that link it reaches the members on other hosts, which are all on one segment.
"""

from __future__ import annotations

import struct
from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENETUNREACH, ENOBUFS, ENODEV
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel import inet
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET
from simnet.kernel.options.idle import (
    IP_MULTICAST_ALL,
    IP_MULTICAST_IF,
    IP_MULTICAST_LOOP,
    IP_MULTICAST_TTL,
    IPV6_MULTICAST_ALL,
    IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF,
    IPV6_MULTICAST_LOOP,
)
from simnet.kernel.options.values import (
    IPPROTO_IP,
    IPPROTO_IPV6,
    SO_BINDTODEVICE,
    SO_DONTROUTE,
    SOL_SOCKET,
    AnySocket,
    Key,
)
from simnet.kernel.segment import PLAIN, TTL_LATER, Datagram

if TYPE_CHECKING:
    from simnet.kernel.datagrams.sending import DatagramSender
    from simnet.kernel.stack import Stack

MULTICAST_LINK: Final = (IPPROTO_IP, IP_MULTICAST_IF)
LOOPBACK_LINK, OTHER_LINK = inet.LOOPBACK_LINK, inet.ONLY_LINK
MOST_GROUPS: Final = 20  # of one socket over IPv4: net.ipv4.igmp_max_memberships
LOOPBACK_NAME: Final = b"lo\0"
EVERYBODY: Final = frozenset({"224.0.0.1", "ff01::1", "ff02::1"})  # each host is in these, on each link
OF_THE_HOST: Final = ("ff01:", "ff11:")  # groups of the scope that no link leads out of (RFC 4291, 2.7)
HOPS: Final = ((IPPROTO_IP, IP_MULTICAST_TTL), (IPPROTO_IPV6, IPV6_MULTICAST_HOPS))
EVERY_GROUP: Final = (IPPROTO_IP, IP_MULTICAST_ALL)
ALL: Final = (EVERY_GROUP, (IPPROTO_IPV6, IPV6_MULTICAST_ALL))
LOOP: Final = ((IPPROTO_IP, IP_MULTICAST_LOOP), (IPPROTO_IPV6, IPV6_MULTICAST_LOOP))

MOST_SOURCES: Final = 10  # of one membership: net.ipv4.igmp_max_msf
MOST_SOURCES_V6: Final = 64  # net.ipv6.mld_max_msf
# IP_UNBLOCK_SOURCE, IP_BLOCK_SOURCE, IP_ADD_SOURCE_MEMBERSHIP ...
UNBLOCK, BLOCK, ADD_SOURCE, DROP_SOURCE = range(37, 41)
SOURCES: Final = frozenset((IPPROTO_IP, name) for name in (UNBLOCK, BLOCK, ADD_SOURCE, DROP_SOURCE))
SOURCES_SIZE: Final = 12  # of struct ip_mreq_source: group, address of a link, source

Membership = tuple[str, int]  # group and link
Sources = tuple[bool, tuple[str, ...]]  # are these alone heard? or all others? ``None`` for everybody


class ToGroup(Datagram):
    """A datagram to a group, and the link it is heard on: 0 for one that goes out and does not come back."""

    __slots__ = ("link",)

    def __init__(self, datagram: Datagram, link: int) -> None:
        super().__init__(datagram.source, datagram.target, datagram.payload, datagram.sender, datagram.marks)
        self.link = link


# Membership.


def join_or_leave(socket: DatagramSender, level: int, value: bytes, *, leaves: bool) -> None:
    """IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP, and their opposites.

    Raises:
        OSError: EINVAL, no group; ENODEV, no such link; EADDRINUSE, in it already; EADDRNOTAVAIL, not in it; ENOBUFS, in too
            many.
    """
    if level == IPPROTO_IP:
        if len(value) < 8:
            raise socket_error(EINVAL)
        packed, at = value[:4], value[4:8]
        asked = struct.unpack_from("=i", value, 8)[0] if len(value) >= 12 else 0
        link = link_at(socket, at) if not asked else asked if 0 < asked <= OTHER_LINK else 0
    else:
        if len(value) < 20:
            raise socket_error(EINVAL)
        packed = value[:16]
        link = struct.unpack_from("=i", value, 16)[0]
    group = str(ip_address(packed))
    if not leaves:
        join(socket, group, link)
        return
    if level == IPPROTO_IPV6 and not inet.is_group(group):
        raise socket_error(EINVAL)
    leave(socket, group, link)


def join(socket: DatagramSender, group: str, link: int) -> None:
    """Put *socket* into *group* on *link*, which is 0 where none was named; the errors of ``join_or_leave``."""
    if not inet.is_group(group):
        raise socket_error(EINVAL)
    if not link and ":" in group:
        if socket.groups and (group, LOOPBACK_LINK) in socket.groups:
            raise socket_error(EADDRINUSE)  # it is there on some link
        link = OTHER_LINK
    if not 0 < link <= OTHER_LINK:
        raise socket_error(ENODEV)
    _join(socket, (group, link))


def link_at(socket: AnySocket, at: bytes) -> int:
    """The link that has the address *at*, or that leads to groups if it is none; 0 for no such link."""
    if not any(at):
        return OTHER_LINK
    ip = str(ip_address(at))
    if inet.is_loopback(ip):
        return LOOPBACK_LINK
    return OTHER_LINK if socket.stack.is_local(ip) else 0


def _join(socket: DatagramSender, membership: Membership) -> None:
    groups = socket.groups
    if groups is None:
        groups = socket.groups = {}
    if membership in groups:
        raise socket_error(EADDRINUSE)
    if ":" not in membership[0] and sum(":" not in group for group, _ in groups) >= MOST_GROUPS:
        raise socket_error(ENOBUFS)
    groups[membership] = None
    socket.stack.udp_ports.members.setdefault(membership, {})[socket] = None


def leave(socket: DatagramSender, group: str, link: int) -> None:
    """Leave *group* on *link*, or on any if that is 0 and the group is of IPv6."""
    links = (link,) if link or ":" not in group else (LOOPBACK_LINK, OTHER_LINK)
    for each in links:
        if socket.groups and (group, each) in socket.groups:
            del socket.groups[group, each]
            _forget(socket, (group, each))
            return
    raise socket_error(EADDRNOTAVAIL)


def choose_source(socket: DatagramSender, membership: Membership, source: str, name: int) -> None:
    """IP_ADD_SOURCE_MEMBERSHIP and its kin, *name*: whom of those who send to a group the socket hears; ``ip_mc_source``.

    Raises:
        OSError: EINVAL, it is in no such group, or chooses the other way; EADDRNOTAVAIL, the source is chosen already, or is
            not; ENOBUFS, too many.
    """
    includes, group = name in (ADD_SOURCE, DROP_SOURCE), membership[0]
    if name == ADD_SOURCE and membership not in (socket.groups or ()):
        _join(socket, membership)
    groups = socket.groups or {}
    if membership not in groups:
        raise socket_error(EINVAL)
    chosen = groups[membership]
    if chosen and chosen[1] == () and chosen[0]:  # nobody yet: it may still choose the other way
        chosen = None
    if chosen and chosen[0] is not includes:
        raise socket_error(EINVAL)
    if not chosen:
        groups[membership] = (True, ()) if includes else None
    sources = chosen[1] if chosen else ()
    more = name in (ADD_SOURCE, BLOCK)
    if more and len(sources) >= (MOST_SOURCES_V6 if ":" in group else MOST_SOURCES):
        raise socket_error(ENOBUFS)  # before anybody looks whether it is among them
    if (source in sources) is more:
        raise socket_error(EADDRNOTAVAIL)
    if more:
        groups[membership] = (includes, (*sources, source))
    elif includes and len(sources) == 1:
        leave(socket, *membership)
    else:
        groups[membership] = (includes, tuple(each for each in sources if each != source))


def leave_all(socket: DatagramSender) -> None:
    """The socket is closed."""
    for membership in socket.groups or ():
        _forget(socket, membership)
    socket.groups = None


def _forget(socket: DatagramSender, membership: Membership) -> None:
    members = socket.stack.udp_ports.members
    del members[membership][socket]
    if not members[membership]:
        del members[membership]


# Sending.


def choose_link(socket: DatagramSender, value: bytes) -> bytes:
    """IP_MULTICAST_IF, a struct in_addr, ip_mreq or ip_mreqn: where to send what is for groups; the address it has.

    Raises:
        OSError: EINVAL, too short; EADDRNOTAVAIL, no such link.
    """
    if len(value) < 4:
        raise socket_error(EINVAL)
    address = value[4:8] if len(value) >= 8 else value[:4]
    link = struct.unpack_from("=i", value, 8)[0] if len(value) >= 12 else 0
    if not link and any(address):
        link = link_at(socket, address) or -1
    if not 0 <= link <= OTHER_LINK:
        raise socket_error(EADDRNOTAVAIL)
    socket.group_link = link
    return address


def link_to_groups(socket: DatagramSender, target: str, source: str, said: int = 0) -> int:
    """The link that what *socket* sends from *source* to the group *target* goes out on, unless IP_PKTINFO has *said* which.

    Raises:
        OSError: ENETUNREACH, loopback is not for groups of IPv6; SO_DONTROUTE, and nothing says which link.
    """
    options = socket.options
    bound = None if options is None else options.get((SOL_SOCKET, SO_BINDTODEVICE))
    if ":" not in target:
        anywhere = source in (inet.ANY4, inet.ANY6)
        if (
            options
            and options.get((SOL_SOCKET, SO_DONTROUTE))
            and not (said or socket.group_link or bound)
            and anywhere
        ):
            raise socket_error(ENETUNREACH)
        if not said and bound:
            said = LOOPBACK_LINK if bound == LOOPBACK_NAME else OTHER_LINK
        return said or socket.group_link or (LOOPBACK_LINK if source[:4] == "127." else OTHER_LINK)
    if options is not None and (
        bound == LOOPBACK_NAME or (not bound and options.get((IPPROTO_IPV6, IPV6_MULTICAST_IF)) == LOOPBACK_LINK)
    ):
        raise socket_error(ENETUNREACH)
    return OTHER_LINK


def check_source_on(socket: DatagramSender, target: str, source: str, link: int) -> None:
    """EINVAL for an address of loopback, where *socket* is bound or that IP_MULTICAST_IF names: it stays there."""
    if link == LOOPBACK_LINK or ":" in target:
        return
    if (_named_source(socket) if source in (inet.ANY4, inet.ANY6) else source)[:4] == "127.":
        raise socket_error(EINVAL)


def source_to_group(socket: DatagramSender, target: str, link: int) -> str:
    """The address that what *socket* sends to the group *target* on *link* comes from, if it is bound to none.

    It is the one that IP_MULTICAST_IF names. A link that is named by its number, or bound to, lends the address only if
    others may see it, as they may not that of loopback: ``inet_select_addr``.
    """
    if ":" in target:
        return source_on(socket, target, link)
    return _named_source(socket) or socket.stack.source_for(target)


def _named_source(socket: DatagramSender) -> str:
    """The address in IP_MULTICAST_IF."""
    named: bytes = (socket.options or {}).get(MULTICAST_LINK, b"") if socket.group_link else b""
    return ".".join(map(str, named)) if any(named) else ""


def source_on(socket: DatagramSender, target: str, link: int) -> str:
    """The address of a link, for a socket that is bound to none."""
    return "127.0.0.1" if link == LOOPBACK_LINK else socket.stack.source_for(target)


def hops_to_group(options: dict[Key, Any] | None, six: bool) -> int:
    """The TTL of what goes to groups over IPv4, or *six*."""
    ttl: int = 1 if options is None else options.get(HOPS[six], 1)
    return ttl


def sent_to_group(socket: DatagramSender, datagram: Datagram, link: int) -> ToGroup:
    """*datagram* on its way to a group, with the TTL that is for those unless it has one of its own."""
    options, marks = socket.options, datagram.marks or PLAIN
    if datagram.marks is None or marks.ttl == TTL_LATER:
        marks = marks._replace(ttl=hops_to_group(options, ":" in datagram.target[0]))
    datagram.marks = marks._replace(link=link)
    loops = options is None or options.get(LOOP[":" in datagram.target[0]], 1)
    return ToGroup(datagram, link if link == LOOPBACK_LINK or loops else 0)


def copy_for_others(datagram: Datagram, stack: Stack) -> Datagram | None:
    """What another host, whose *stack* that is, hears of a broadcast or of what is for a group; ``None`` if nothing."""
    ip = datagram.target[0]
    if not isinstance(datagram, ToGroup):
        return datagram if ip == inet.BROADCAST else None
    if datagram.link == LOOPBACK_LINK or ip.startswith(OF_THE_HOST) or (datagram.marks and not datagram.marks.ttl):
        return None
    if not host_takes(stack, ip, OTHER_LINK, datagram.source[0]):
        return None
    return ToGroup(datagram, OTHER_LINK)


# Hearing.


def host_takes(stack: Stack, group: str, link: int, source: str) -> bool:
    """Does a host take in what comes from *source* for *group* by *link*? What no member wants is not for those either who hear all.

    ``ip_check_mc_rcu``, ``ipv6_chk_mcast_addr``: the sources that its members have chosen are counted.
    """
    membership = (group, link)
    members = stack.udp_ports.members.get(membership)
    if group in EVERYBODY or not members:
        return group in EVERYBODY
    choices: list[Sources | None] = [each.groups[membership] for each in members]
    return any(choice is None or (source in choice[1]) is choice[0] for choice in choices)


def hears_group(socket: Any, group: str, link: int, source: str) -> bool:
    """Does *socket* hear what comes in from *source* for *group* by *link*, which its host is in?

    ``ip_mc_sf_allow``, ``inet6_mc_check``.
    """
    six = ":" in group
    of = link
    if six and socket.groups:  # IPv6 does not ask by which link: the membership that is the newest decides
        of = next((each for ip, each in reversed(socket.groups) if ip == group), 0)
    if socket.groups and (group, of) in socket.groups:
        chosen: Sources | None = socket.groups[group, of]
        return chosen is None or (source in chosen[1]) is chosen[0]
    options = socket.options
    default = six or socket.family == AF_INET
    return bool(default if options is None else options.get(ALL[six], default))
