"""Options about groups whose value is a struct: MCAST_JOIN_GROUP and its kin, and the sources that a member hears.

They come for IPv4 alone, with the address of a link, and for either family, with its number.
"""

from __future__ import annotations

import struct
from errno import EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, cast

from simnet.kernel.datagrams.groups import (
    ADD_SOURCE,
    BLOCK,
    DROP_SOURCE,
    LOOPBACK_LINK,
    MOST_SOURCES,
    MOST_SOURCES_V6,
    OTHER_LINK,
    SOURCES,
    SOURCES_SIZE,
    UNBLOCK,
    Membership,
    choose_source,
    join,
    leave,
    link_at,
)
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import is_group
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_STREAM
from simnet.kernel.options.values import INT_MAX, IPPROTO_IP, IPPROTO_IPV6, AnySocket, Key

if TYPE_CHECKING:
    from simnet.kernel.datagrams.sending import DatagramSender

IP_MSFILTER: Final = 41
MCAST_MSFILTER: Final = 48
MCAST_JOIN_GROUP: Final = 42
MCAST_LEAVE_GROUP: Final = 45
OF_A_GROUP: Final = (MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP)
OF_A_SOURCE: Final = {43: BLOCK, 44: UNBLOCK, 46: ADD_SOURCE, 47: DROP_SOURCE}
SOCKADDR_SIZE: Final = 128  # struct sockaddr_storage
GROUP_AT: Final = 8  # in struct group_req, group_source_req and group_filter, behind the number of a link
SOURCE_AT: Final = GROUP_AT + SOCKADDR_SIZE
GROUP_REQ_SIZE, GROUP_SOURCE_REQ_SIZE = SOURCE_AT, SOURCE_AT + SOCKADDR_SIZE
IP_MSFILTER_SIZE, GROUP_FILTER_SIZE = 16, SOURCE_AT + 8  # of struct ip_msfilter and group_filter, without a source
SENDERS_MAX: Final = {IPPROTO_IP: MOST_SOURCES, IPPROTO_IPV6: MOST_SOURCES_V6}
MCAST_EXCLUDE, MCAST_INCLUDE = 0, 1

FAMILIES: Final = {IPPROTO_IP: AF_INET, IPPROTO_IPV6: AF_INET6}
REQUESTS: Final = frozenset((level, name) for level in FAMILIES for name in (*OF_A_GROUP, *OF_A_SOURCE))
FILTERS: Final = frozenset({(IPPROTO_IP, IP_MSFILTER), (IPPROTO_IP, MCAST_MSFILTER), (IPPROTO_IPV6, MCAST_MSFILTER)})
GROUP_OPTIONS: Final = SOURCES | REQUESTS | FILTERS

# How many bytes their values have, the fewest and the most.
GROUP_SIZES: Final[dict[Key, tuple[int, int]]] = {
    **dict.fromkeys(SOURCES, (SOURCES_SIZE, SOURCES_SIZE)),
    (IPPROTO_IP, IP_MSFILTER): (IP_MSFILTER_SIZE, INT_MAX),
    **dict.fromkeys(REQUESTS, (GROUP_SOURCE_REQ_SIZE, INT_MAX)),
    **{(IPPROTO_IP, name): (GROUP_SOURCE_REQ_SIZE, GROUP_SOURCE_REQ_SIZE) for name in OF_A_SOURCE},
    **{(level, name): (GROUP_REQ_SIZE, INT_MAX) for level in FAMILIES for name in OF_A_GROUP},
    **{(level, MCAST_MSFILTER): (GROUP_FILTER_SIZE, INT_MAX) for level in FAMILIES},
}


def set_group_option(socket: AnySocket, key: Key, value: bytes) -> None:
    """Do what *key*, one of ``GROUP_OPTIONS``, says in *value*.

    Raises:
        OSError: EINVAL, of another size, no group, or not joined; EADDRNOTAVAIL, of another family; ENODEV, no such link; and
            as `join`, `leave` and `choose_source`.
    """
    if key in SOURCES:
        if len(value) != SOURCES_SIZE or not 224 <= value[0] < 240:
            raise socket_error(EINVAL)
        _choose(socket, key, key[1], _membership(value[:4], link_at(socket, value[4:8])), _address(value[8:]))
        return
    fewest, most = GROUP_SIZES[key]
    if not fewest <= len(value) <= most:
        raise socket_error(EINVAL)
    if key in FILTERS:
        _filter(socket, key, value)
        return
    level, name = key
    family = FAMILIES[level]
    if family != _family(value, GROUP_AT) or (name in OF_A_SOURCE and family != _family(value, SOURCE_AT)):
        raise socket_error(EINVAL if level == IPPROTO_IP and name in OF_A_GROUP else EADDRNOTAVAIL)
    group, link = _host(value, GROUP_AT), struct.unpack_from("=i", value)[0]
    if name in OF_A_SOURCE:
        if not is_group(group):
            raise socket_error(EINVAL)
        membership = (group, _link(socket, group, link))
        _choose(socket, key, OF_A_SOURCE[name], membership, _host(value, SOURCE_AT))
    elif socket.type == SOCK_STREAM:
        not_modelled(f"setsockopt(level {level}, option {name}) of a stream")
    elif name == MCAST_JOIN_GROUP:
        join(cast("DatagramSender", socket), group, link or (0 if level == IPPROTO_IPV6 else OTHER_LINK))
    elif level == IPPROTO_IPV6 and not is_group(group):
        raise socket_error(EINVAL)
    else:
        leave(cast("DatagramSender", socket), group, link or (0 if level == IPPROTO_IPV6 else OTHER_LINK))


def _choose(socket: AnySocket, key: Key, what: int, membership: Membership, source: str) -> None:
    if socket.type == SOCK_STREAM:  # which may be a member, and hears nothing
        if what == ADD_SOURCE:
            not_modelled(f"setsockopt(level {key[0]}, option {key[1]}) of a stream")
        raise socket_error(EINVAL)
    choose_source(cast("DatagramSender", socket), membership, source, what)


def _membership(packed: bytes, link: int) -> Membership:
    """A group on a link; ENODEV if there is no such link."""
    if not 0 < link <= OTHER_LINK:
        raise socket_error(ENODEV)
    return _address(packed), link


def _link(socket: AnySocket, group: str, asked: int) -> int:
    """The link of the number *asked*; for none that which leads to groups, and of IPv6 any where *socket* is in the group."""
    if asked:
        if not 0 < asked <= OTHER_LINK:
            raise socket_error(ENODEV)
        return asked
    groups = getattr(socket, "groups", None) or ()
    return LOOPBACK_LINK if ":" in group and (group, LOOPBACK_LINK) in groups else OTHER_LINK


def _address(packed: bytes) -> str:
    return str(ip_address(packed))


def _family(value: bytes, at: int) -> int:
    """Of the struct sockaddr that begins *at* there."""
    family: int = struct.unpack_from("=H", value, at)[0]
    return family


def _host(value: bytes, at: int) -> str:
    """The address in the struct sockaddr_in6 that begins *at* there, or in the struct sockaddr_in."""
    return _address(value[at + 8 : at + 24] if _family(value, at) == AF_INET6 else value[at + 4 : at + 8])


def _filter(socket: AnySocket, key: Key, value: bytes) -> None:
    """IP_MSFILTER and MCAST_MSFILTER: all sources at once whom a member hears, or does not; ``ip_mc_msfilter``.

    That of IPv6 looks at no family, and takes what begins with another for IPv6 all the same.
    """
    head, plain, six = GROUP_SIZES[key][0], key[1] == IP_MSFILTER, key[0] == IPPROTO_IPV6
    mode, count = struct.unpack_from("=II", value, head - 8)
    if count > SENDERS_MAX[key[0]]:
        raise socket_error(ENOBUFS)
    each = 4 if plain else SOCKADDR_SIZE
    if len(value) < head + count * each:
        raise socket_error(EINVAL)
    places = range(head, head + count * each, each)
    if not (plain or six) and any(_family(value, place) != AF_INET for place in (GROUP_AT, *places)):
        raise socket_error(EADDRNOTAVAIL)
    first = 0 if plain else GROUP_AT + (8 if six else 4)
    size = 16 if six else 4
    group = _address(value[first : first + size])
    if not is_group(group) or mode not in (MCAST_INCLUDE, MCAST_EXCLUDE):
        raise socket_error(EINVAL)
    if plain:
        membership = _membership(value[:4], link_at(socket, value[4:8]))
    else:
        membership = (group, _link(socket, group, struct.unpack_from("=i", value)[0]))
    if mode == MCAST_INCLUDE and not count:  # to hear nobody is to leave
        if socket.type == SOCK_STREAM:
            raise socket_error(EADDRNOTAVAIL)  # it is in none
        leave(cast("DatagramSender", socket), *membership)
        return
    groups = getattr(socket, "groups", None) or {}
    if membership not in groups:
        raise socket_error(EINVAL)
    skipped = first - (0 if plain else GROUP_AT)
    sources = tuple(_address(value[place + skipped : place + skipped + size]) for place in places)
    groups[membership] = (mode == MCAST_INCLUDE, sources) if sources else None
