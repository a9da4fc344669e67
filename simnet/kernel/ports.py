"""Which socket holds which port: conflicts of bind and listen, and the choice of ephemeral ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from errno import EADDRINUSE, EADDRNOTAVAIL
from typing import Any, Final, Protocol

from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET
from simnet.kernel.options.values import PORT_RANGE
from simnet.kernel.segment import Endpoint
from simnet.kernel.states import LISTEN, TIME_WAIT

# net.ipv4.ip_local_port_range of Linux. connect() starts with even ports, bind(0) with odd ones (K-031).
FIRST_EPHEMERAL: Final = 32768
LAST_EPHEMERAL: Final = 60999

# Bits of a port user's ``sharing``.
REUSE_ADDRESS: Final = 1
REUSE_PORT: Final = 2
V6_ONLY: Final = 4

TIME_WAIT_NS: Final = 60_000_000_000  # TCP_TIMEWAIT_LEN


class PortUser(Protocol):
    """A socket, or what TIME_WAIT left of one."""

    state: str
    sharing: int
    autobound: bool  # the port was chosen by connect()

    @property
    def local(self) -> Endpoint | None: ...


class Binder(PortUser, Protocol):
    """A socket that binds, or listens."""

    options: dict[Any, Any] | None

    @property
    def family(self) -> int: ...


def own_range(options: dict[Any, Any] | None) -> tuple[int, int] | None:
    """The first and the last port that IP_LOCAL_PORT_RANGE leaves of all, if it is set: ``inet_sk_get_local_port_range``.

    A bound that lies outside is none.
    """
    value = options.get(PORT_RANGE, 0) if options else 0
    if not value:
        return None
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    first = low if FIRST_EPHEMERAL <= low <= LAST_EPHEMERAL else FIRST_EPHEMERAL
    return first, high if FIRST_EPHEMERAL <= high <= LAST_EPHEMERAL else LAST_EPHEMERAL


def order_of_bind(first: int, last: int, halves: bool) -> Iterator[int]:
    """In which order ``bind(0)`` looks at a range of a socket's own: odd distances first, and *halves* one after the other.

    The last port of an odd number of them is never looked at: ``inet_csk_find_open_port``.
    """
    size = last + 1 - first
    if halves and size >= 4:
        middle = first + (size >> 2 << 1)
        yield from order_of_bind(first, middle - 1, halves=False)
        yield from order_of_bind(middle, last, halves=False)
        return
    end = first + (size & ~1 or 1)
    yield from range(first + 1, end, 2)
    yield from range(first, end, 2)


def addresses_clash(mine: Binder, other: PortUser) -> bool:
    """Would the two get each other's packets on one port: the same address, or a wildcard over it (K-027, K-034)?

    An IPv6 socket that has its address from a connection clashes with the IPv4 wildcard too: unlike one that has bound it, it
    has not said that it leaves IPv4 to others.
    """
    assert mine.local is not None
    assert other.local is not None
    x, y = mine.local[0], other.local[0]
    if x == y:
        return True
    if x == "::":
        return not mine.sharing & V6_ONLY or ":" in y
    if y == "::":
        return not other.sharing & V6_ONLY or ":" in x
    if x == "0.0.0.0":
        return ":" not in y or (mine.family == AF_INET and not other.sharing & V6_ONLY)
    return y == "0.0.0.0" and ":" not in x


def of_several(group: Sequence[Any], number: int) -> Any:
    """Who of *group*, on one address, hears a client: IPv4 before IPv6, the latest first, but who shares IPv6 last.

    If that one shares by SO_REUSEPORT, it does so with its like: those of its family, each for IPv6 alone or none of them.
    Linux spreads clients over them by a hash of the addresses; ours is *number*, of the client's port, which a person can
    follow. (``inet_lhash2_lookup``, ``inet_reuseport_add_sock``)
    """
    four = [each for each in group if each.family == AF_INET]
    group = four or group
    first = next((each for each in reversed(group) if four or not each.sharing & REUSE_PORT), group[0])
    if not first.sharing & REUSE_PORT:
        return first
    alike = [each for each in group if not (first.sharing ^ each.sharing) & (REUSE_PORT | V6_ONLY)]
    return alike[number % len(alike)]


class Ports:
    """The port space of one protocol on one host.

    Who has set IP_LOCAL_PORT_RANGE and binds gets the lowest port within that is free for its address, of the parity that
    Linux begins with.

    A port with a single user maps to that user, one with several to a dict of them in order of arrival: nearly every
    port has one user, and a dict each would cost 230 bytes a connection.
    """

    __slots__ = ("users", "_next_even", "_next_odd")

    def __init__(self) -> None:
        self.users: dict[int, Any] = {}
        self._next_even = FIRST_EPHEMERAL
        self._next_odd = FIRST_EPHEMERAL + 1

    def hold(self, port: int, user: PortUser) -> None:
        """Enter *user* under *port*."""
        users = self.users
        current = users.get(port)
        if current is None:
            users[port] = user
        elif type(current) is dict:
            current[user] = None
        else:
            users[port] = {current: None, user: None}

    def free(self, port: int, user: PortUser) -> None:
        """Take *user* off *port*."""
        current = self.users.get(port)
        if type(current) is dict:
            current.pop(user, None)
            if not current:
                del self.users[port]
        elif current is user:
            del self.users[port]

    def renew(self, port: int, user: PortUser) -> None:
        """Make *user* the latest of those on *port*."""
        current = self.users.get(port)
        if type(current) is dict:
            del current[user]
            current[user] = None

    def of(self, port: int) -> Iterable[Any]:
        """Everybody on *port*, in order of arrival."""
        current = self.users.get(port)
        if current is None:
            return ()
        return tuple(current) if type(current) is dict else (current,)

    def check(self, port: int, user: Binder, now_ns: int) -> None:
        """Raise EADDRINUSE if *user* may not bind, or listen, on *port* beside those who are there (K-027 to K-029)."""
        sharing = user.sharing
        for other in self.of(port):
            if other is user or not addresses_clash(user, other):
                continue
            if other.state == TIME_WAIT and other.expires_ns <= now_ns:
                other.expire()
                continue
            both = sharing & other.sharing
            if both & REUSE_PORT or (both & REUSE_ADDRESS and other.state != LISTEN):
                continue
            raise socket_error(EADDRINUSE)

    def choose_for_bind(self, user: Binder, now_ns: int) -> int:
        """A port for ``bind(0)``: odd ones first, rising by two; the even half when those are used up."""
        bounds = own_range(user.options)
        if bounds is not None:
            for port in order_of_bind(*bounds, halves=bool(user.sharing & REUSE_ADDRESS)):
                if self._is_clear(port, user, now_ns):
                    return port
            raise socket_error(EADDRINUSE)
        for parity in (1, 0):
            for port in self._walk(parity):
                if port not in self.users or self._expired(port, now_ns):
                    return port
        raise socket_error(EADDRINUSE)

    def choose_for_connect(self, user: Any, ip: str, peer: Endpoint, now_ns: int) -> int:
        """A port for a connection of *user* from *ip* to *peer*: even ones first, rising by two.

        As on Linux a port whose users are all connections to elsewhere may be shared, once no free one is left.
        """
        port = self._next_even
        if port not in self.users:  # nearly always
            self._next_even = port + 2 if port + 2 <= LAST_EPHEMERAL else FIRST_EPHEMERAL
            return port
        connections = user.stack.connections
        for shared in (False, True):
            for parity in (0, 1):
                for port in self._walk(parity):
                    if port not in self.users or self._expired(port, now_ns):
                        return port
                    if (
                        shared
                        and ((ip, port), peer) not in connections
                        and all(user.autobound for user in self.of(port))
                    ):
                        return port
        raise socket_error(EADDRNOTAVAIL)

    def _walk(self, parity: int) -> Iterator[int]:
        """Each ephemeral port of *parity* once, from the next one on; where the walk stops, the one after it is the next."""
        port = self._next_odd if parity else self._next_even
        for _ in range((LAST_EPHEMERAL - FIRST_EPHEMERAL + 1) // 2):
            following = port + 2 if port + 2 <= LAST_EPHEMERAL else FIRST_EPHEMERAL + parity
            if parity:
                self._next_odd = following
            else:
                self._next_even = following
            yield port
            port = following

    def _is_clear(self, port: int, user: Binder, now_ns: int) -> bool:
        """Is nobody on *port* whom *user* would clash with, whatever they share? TIME_WAITs that are over go."""
        for other in self.of(port):
            if addresses_clash(user, other):
                if other.state != TIME_WAIT or other.expires_ns > now_ns:
                    return False
                other.expire()
        return True

    def _expired(self, port: int, now_ns: int) -> bool:
        """Is nobody left on *port* but TIME_WAITs that are over? They go."""
        for user in self.of(port):
            if user.state != TIME_WAIT or user.expires_ns > now_ns:
                return False
            user.expire()
        return True
