"""A host of a real network: a name, an address on loopback, and what faults count there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.realnet.ground import Ground

__all__ = ["Machine"]


class Machine:
    """Answers what `simnet.resolver.names` asks of a host."""

    __slots__ = ("address", "address6", "fabric", "looked_up", "lookups", "name", "polls", "sockets", "target")

    def __init__(self, name: str, address: str, ground: Ground) -> None:
        self.name = name
        self.address = address
        self.address6 = ""  # of IPv6, loopback is ::1 alone, and no host's own
        self.fabric = ground
        self.target = False
        self.lookups = 0  # names it asked for
        self.looked_up = False  # somebody asked for its name
        self.sockets = 0  # calls of socket() by its processes
        self.polls = 0  # that found something ready
