"""What an IPv6 connection notes of a packet that comes while its program asks to be told of such things (tcp_v6_do_rcv).

The link and the hops of the packet become IPV6_MULTICAST_IF and IPV6_MULTICAST_HOPS of the socket, which mean nothing to a
stream and stay.
"""

from __future__ import annotations

from typing import Any, Final

from simnet.kernel.messages import AF_INET6
from simnet.kernel.options.idle import (
    IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF,
    IPV6_RECVHOPLIMIT,
    IPV6_RECVPKTINFO,
)
from simnet.kernel.options.rare import IPV6_2292HOPLIMIT, IPV6_2292PKTINFO
from simnet.kernel.options.routes import gone_over
from simnet.kernel.options.values import IPPROTO_IPV6
from simnet.kernel.states import CLOSED

_NOTES: Final = {
    IPV6_RECVPKTINFO: IPV6_MULTICAST_IF,
    IPV6_2292PKTINFO: IPV6_MULTICAST_IF,
    IPV6_RECVHOPLIMIT: IPV6_MULTICAST_HOPS,
    IPV6_2292HOPLIMIT: IPV6_MULTICAST_HOPS,
}
_SINCE_EVER: Final = (-1, -1)


def note_request(socket: Any, name: int, on: int) -> None:
    """An option of IPv6 was set, or is off: from now on packets are noted, or no more."""
    noted = _NOTES.get(name)
    if noted is None or socket.family != AF_INET6:
        return
    mark = (IPPROTO_IPV6, -noted)
    if on:
        open_now = socket.peer is not None and socket.state != CLOSED
        socket.options.setdefault(mark, gone_over(socket) if open_now else _SINCE_EVER)
    elif has_noted(socket, noted):
        socket.options[mark] = _SINCE_EVER
    else:
        socket.options.pop(mark, None)


def has_noted(socket: Any, noted: int) -> bool:
    """Has a packet come while the program of this connection asked for what becomes the option *noted*?"""
    since = (socket.options or {}).get((IPPROTO_IPV6, -noted))
    return since is not None and socket.peer is not None and ":" in socket.peer[0] and since != gone_over(socket)
