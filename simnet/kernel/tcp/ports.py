"""Which socket holds which TCP port, and what Linux remembers of earlier binds, which it sometimes asks instead of them."""

from __future__ import annotations

from errno import EADDRNOTAVAIL
from typing import Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.inet import ANY4, ANY6
from simnet.kernel.messages import AF_INET6
from simnet.kernel.ports import REUSE_PORT, V6_ONLY, Ports, own_range
from simnet.kernel.segment import Endpoint

NO_IPV4: Final = "127.0.0.6"  # what Linux writes down as the IPv4 address of a socket that has only an IPv6 one


class Sharer:
    """Who was the last to bind a port, and did so with SO_REUSEPORT: the fields of ``inet_bind_bucket`` that begin with fast.

    That of SO_REUSEADDR is not here: since Linux 6.1 enters the socket before it looks whether it is the first, it stays 0.
    """

    __slots__ = ("address", "family", "only_six")

    def __init__(self, user: Any) -> None:
        self.family = user.family
        self.address: str = user.local[0]
        self.only_six = bool(user.sharing & V6_ONLY)

    def lets_in(self, user: Any) -> bool:
        """Is SO_REUSEPORT enough for *user*, whoever else is there? ``sk_reuseport_match``."""
        if not user.sharing & REUSE_PORT:
            return False
        mine, its = self.address, user.local[0]
        four, only_six = ":" not in its, bool(user.sharing & V6_ONLY)
        if self.family != AF_INET6:
            its = its if four else ANY4 if its == ANY6 else NO_IPV4
            return not only_six and mine in (its, ANY4)
        if ":" not in mine and four:
            return not only_six and mine in (its, ANY4)
        if mine == ANY6:
            return its == ANY6 or not (self.only_six and four)
        return bool(mine == its)


class TcpPorts(Ports):
    """The TCP ports of one host."""

    __slots__ = ("_sharers", "rare")

    def __init__(self) -> None:
        super().__init__()
        self._sharers: dict[int, Sharer] = {}
        self.rare = False  # has a port been shared, or a socket been given a range of its own?

    def admit(self, port: int, user: Any, now_ns: int) -> None:
        """Raise EADDRINUSE if *user* may not bind, or listen, on *port*; else remember it: ``inet_csk_get_port``."""
        sharers = self._sharers
        if not sharers and not user.sharing & REUSE_PORT and self.users.get(port, user) is user:
            return  # nobody else is there
        if port not in self.users or self._expired(port, now_ns):
            sharers.pop(port, None)
        sharer = sharers.get(port)
        lets_in = sharer is not None and sharer.lets_in(user)
        if not lets_in:
            self.check(port, user, now_ns)
        if not user.sharing & REUSE_PORT:
            sharers.pop(port, None)
        elif not lets_in:
            sharers[port] = Sharer(user)
            self.rare = True

    def choose_for_connect(self, user: Any, ip: str, peer: Endpoint, now_ns: int) -> int:
        """As any, or within the range of *user*; and a port that nobody has any more is as if nobody ever had."""
        if not self.rare:
            return super().choose_for_connect(user, ip, peer, now_ns)
        bounds = own_range(user.options)
        if bounds is None:
            port = super().choose_for_connect(user, ip, peer, now_ns)
        else:
            port = self._choose_within(bounds, user, ip, peer, now_ns)
        if port not in self.users:
            self._sharers.pop(port, None)
        return port

    def _choose_within(self, bounds: tuple[int, int], user: Any, ip: str, peer: Endpoint, now_ns: int) -> int:
        """A port for a connection within *bounds*: ``__inet_hash_connect`` goes through all of them, of either parity."""
        for port in range(bounds[0], bounds[1] + 1):
            if port not in self.users or self._expired(port, now_ns):
                return port
            taken = ((ip, port), peer) in user.stack.connections
            if not taken and all(other.autobound for other in self.of(port)):
                return port
        raise socket_error(EADDRNOTAVAIL)
