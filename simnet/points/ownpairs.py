"""Pairs that a program makes of TCP, as ``socketpair`` does where there are no Unix sockets: it connects to a listener of its own.

Libraries wake their loops by one. Both ends are one program's, on the loopback, so no network resets it, and nobody refuses the connect.
"""

from __future__ import annotations

from simnet.kernel.ports import FIRST_EPHEMERAL
from simnet.trace import CALL, WAKE, Trace

__all__ = ["pairs_of_tcp"]


def pairs_of_tcp(trace: Trace) -> frozenset[str]:
    """The names of such connections in a run, and of their listeners.

    One process connects and accepts in one breath, since within a host a connect waits for nobody, and then closes the listener.
    """
    found: list[str] = []
    connected = accepted = ""
    for entry in trace.entries:
        if entry[1] == WAKE:
            connected = accepted = ""
        elif entry[1] == CALL:
            place, op = entry[3], entry[5]
            if op == "connect":
                connected, accepted = place if _is_within(place) else "", ""
            elif op == "accept":
                accepted = connected if connected and connected.partition("->")[2] == f"{place}#1" else ""
            elif op == "close" and accepted and accepted.partition("->")[2] == f"{place}#1":
                found += [accepted, place]
    return frozenset(found)


def _is_within(place: str) -> bool:
    """Is it a connection of a host to itself, and to a port that its kernel chose?"""
    client, _, rest = place.partition("->")
    server, _, port = rest.partition("#")[0].rpartition(":")
    return client == server and port.isdecimal() and int(port) >= FIRST_EPHEMERAL
