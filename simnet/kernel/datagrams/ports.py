"""Which socket holds which UDP port, and which of several on one port gets a datagram (K-086)."""

from __future__ import annotations

from errno import EADDRINUSE
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.inet import ANY4, ANY6
from simnet.kernel.messages import AF_INET
from simnet.kernel.options.routes import NO_LINK
from simnet.kernel.options.values import SO_BINDTODEVICE, SOL_SOCKET
from simnet.kernel.ports import (
    FIRST_EPHEMERAL,
    LAST_EPHEMERAL,
    REUSE_ADDRESS,
    REUSE_PORT,
    V6_ONLY,
    Binder,
    Ports,
    addresses_clash,
    own_range,
)
from simnet.kernel.segment import Endpoint

if TYPE_CHECKING:
    from simnet.kernel.datagrams.groups import Membership
    from simnet.kernel.datagrams.sending import DatagramSender
    from simnet.kernel.datagrams.udp import UdpSocket


# Far from TCP's: by chance two sockets of a program, one of each, hardly ever have one number, and who counts from one
# place would give it to them always.
FIRST_OF_DATAGRAMS: Final = 46_884
LINK: Final = (SOL_SOCKET, SO_BINDTODEVICE)


class UdpPorts(Ports):
    """The UDP ports of one host.

    Linux keeps connected sockets in a table of their own, by where they are and to whom they are connected, and asks it
    first. A socket enters it at its first connect and stays at that place: when it is connected elsewhere, it is found among
    all sockets of its address only, behind those that are in their right place.
    """

    __slots__ = ("pairs", "members", "_turns", "_next", "next_lite")

    def __init__(self) -> None:
        super().__init__()
        self._next = FIRST_OF_DATAGRAMS
        self.next_lite = FIRST_EPHEMERAL  # of UDP-Lite
        self._turns = 0
        self.members: dict[Membership, dict[Any, None]] = {}  # the sockets that are in a multicast group on a link
        self.pairs: dict[tuple[Endpoint, Endpoint], list[Any]] = {}  # (here, peer) of a first connect, in their order

    def pair(self, socket: DatagramSender) -> None:
        """*socket* is connected for the first time."""
        assert socket.local is not None
        assert socket.peer is not None
        socket.paired = (socket.local, socket.peer)
        self.pairs.setdefault(socket.paired, []).append(socket)

    def hold(self, port: int, user: Any) -> None:
        """Enter *user* under *port*. Linux puts the latest first, but IPv6 sockets that share last: ``sk_add_node_rcu``.

        The turn of one that shares as it is bound, and so is of a group from then on, is odd.
        """
        self._turns += 2
        shares = bool(user.sharing & REUSE_PORT)
        last = user.family != AF_INET and shares
        user.turn = self._turns + shares if last else -self._turns - shares
        super().hold(port, user)
        users = self.users[port]
        if last and type(users) is dict:
            self.users[port] = {user: None, **users}

    def check(self, port: int, user: Any, now_ns: int) -> None:
        """Raise EADDRINUSE if *user* may not bind *port* beside those who are there: ``udp_lib_lport_inuse``.

        If it shares the port with the first of those that it would clash with, the others are not asked.
        """
        for other in sorted(self.of(port), key=lambda each: each.turn):
            both = user.sharing & other.sharing
            if other is user or both & REUSE_ADDRESS or not addresses_clash(user, other):
                continue
            if both & REUSE_PORT:
                return
            raise socket_error(EADDRINUSE)

    def choose_for_datagrams(self, user: Binder) -> int:
        """A port for a UDP socket that names none: both parities, rising by one."""
        bounds = own_range(user.options)
        if bounds is not None:
            free = (port for port in range(bounds[0], bounds[1] + 1) if self._is_open_to(user, port))
            if (chosen := next(free, None)) is not None:
                return chosen
            raise socket_error(EADDRINUSE)
        port = self._next
        for _ in range(LAST_EPHEMERAL - FIRST_EPHEMERAL + 1):
            following = port + 1 if port < LAST_EPHEMERAL else FIRST_EPHEMERAL
            if port not in self.users:
                self._next = following
                return port
            port = following
        raise socket_error(EADDRINUSE)

    def _is_open_to(self, user: Binder, port: int) -> bool:
        """May *user* take *port* beside those who are there: does it share it with all that it would clash with?"""
        return all(
            user.sharing & other.sharing & (REUSE_ADDRESS | REUSE_PORT) or not addresses_clash(user, other)
            for other in self.of(port)
        )

    def forget(self, socket: DatagramSender) -> None:
        """*socket* gives its port back."""
        self.free(socket.port, socket)
        if socket.paired is not None:
            group = self.pairs[socket.paired]
            group.remove(socket)
            if not group:
                del self.pairs[socket.paired]
            socket.paired = None

    def hearer(self, target: Endpoint, source: Endpoint) -> UdpSocket | None:
        """Who hears what goes from *source* to *target*: the best, and of several alike the latest.

        Those who share it by SO_REUSEPORT are spread over, by the port of *source*: see `of_several`.
        """
        users = self.users.get(target[1])
        if users is None:
            return None
        if type(users) is not dict:
            return users if fit(users, target, source) else None
        group = self.pairs.get((target, source))
        if group is not None:
            for socket in reversed(group):
                if socket.local == target and socket.peer == source:
                    found: UdpSocket = socket
                    return found
        return _best(users, target, source, here=True) or _best(users, target, source, here=False)


def _best(users: dict[Any, None], target: Endpoint, source: Endpoint, *, here: bool) -> UdpSocket | None:
    """Who fits best of those at the address of *target*, or else of those at a wildcard: ``udp4_lib_lookup2``.

    As soon as Linux comes to one that shares by SO_REUSEPORT it asks nobody behind it, how well they may fit, unless one of
    its group is connected.
    """
    best, best_fit = None, 0
    for socket in reversed(users):
        if (socket.local[0] == target[0]) is not here or (grade := fit(socket, target, source)) <= best_fit:
            continue
        best, best_fit = socket, grade
        if socket.peer is None and socket.sharing & REUSE_PORT and socket.turn & 1:
            group = [each for each in users if each.local == socket.local and _share(each, socket)]
            alike = [each for each in group if each.peer is None]
            best = alike[source[1] % len(alike)]
            if len(alike) == len(group):
                break
    return best


def _share(one: DatagramSender, other: DatagramSender) -> bool:
    """Are the two, on one address, of one group: ``udp_reuseport_add_sock``?"""
    if one.family != other.family or (one.turn ^ other.turn) & 1 or (one.sharing ^ other.sharing) & V6_ONLY:
        return False
    return bool((one.options or {}).get(LINK)) == bool((other.options or {}).get(LINK))


def fit(socket: DatagramSender, target: Endpoint, source: Endpoint) -> int:
    """How well *socket* fits a datagram, 0 for not at all.

    One that is bound to an address before one that is not; then who is connected, or bound to a link; then IPv4's.
    """
    assert socket.local is not None
    ip = socket.local[0]
    grade = 2 if socket.family == AF_INET else 1
    if socket.options is not None and (link := socket.options.get(LINK)):
        if link.startswith(NO_LINK):
            return 0
        grade += 4
    if ip != target[0]:
        if ip == ANY4:
            return grade if ":" not in target[0] else 0
        if ip != ANY6 or (socket.sharing & V6_ONLY and ":" not in target[0]):
            return 0
        return grade
    peer = socket.peer
    if peer is None:
        return 16 + grade
    if peer[0] != source[0] or peer[1] not in (0, source[1]):  # who is connected to port 0 hears all ports
        return 0
    return (24 if peer[1] else 20) + grade


def hears_all(socket: DatagramSender, ip: str, source: Endpoint) -> bool:
    """Does *socket* hear what goes to everybody at *ip*: it is bound there, or to a wildcard; __udp_is_mcast_sock."""
    assert socket.local is not None
    here, peer = socket.local[0], socket.peer
    if here not in (ip, ANY4, ANY6) or (socket.sharing & V6_ONLY and ":" not in ip) or (here == ANY4 and ":" in ip):
        return False
    return peer is None or (peer[0] == source[0] and peer[1] in (0, source[1]))
