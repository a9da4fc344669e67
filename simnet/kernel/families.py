"""Families of sockets that every Linux has and that are not modelled: what Linux refuses to make is refused alike."""

from __future__ import annotations

from errno import ENODEV, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from typing import Final, NoReturn

from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.messages import SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM

AF_NETLINK, AF_VSOCK, AF_XDP = 16, 40, 44
OTHER_FAMILIES: Final = (AF_NETLINK, AF_VSOCK, AF_XDP)
NETLINKS: Final = (0, 2, 4, 6, 7, 9, 10, 11, 12, 15, 16)  # protocols of netlink that somebody answers to


def refuse_other(family: int, kind: int, proto: int) -> NoReturn:
    """Refuse a socket of one of these.

    Raises:
        OSError: EPERM, one of XDP, which takes CAP_NET_RAW; ESOCKTNOSUPPORT and EPROTONOSUPPORT; ENODEV, datagrams to a machine
            around this one, where there is none.
        NotModelled: Linux would make it.
    """
    if family == AF_XDP:
        raise socket_error(EPERM)
    if family == AF_NETLINK and kind not in (SOCK_DGRAM, SOCK_RAW):
        raise socket_error(ESOCKTNOSUPPORT)
    if proto not in (NETLINKS if family == AF_NETLINK else (0, AF_VSOCK)):
        raise socket_error(EPROTONOSUPPORT)
    if family == AF_VSOCK and kind == SOCK_DGRAM:
        raise socket_error(ENODEV)
    if family == AF_VSOCK and kind not in (SOCK_STREAM, SOCK_SEQPACKET):
        raise socket_error(ESOCKTNOSUPPORT)
    raise NotModelled(f"socket(family {family})")
