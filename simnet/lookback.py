"""What a connection without timers would know if it had them, read from the trace: when it last received, what is in flight.

Where nothing is lost, acknowledgements are elided and nothing records when a segment came (see the kernel's ``guard``). Few
questions depend on either: SIOCOUTQ, and a keepalive whose link has been cut. Without a trace they cannot be answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simnet.trace import SEGMENT

if TYPE_CHECKING:
    from simnet.network import Fabric

__all__ = ["heard_ns", "on_the_way"]


def heard_ns(fabric: Fabric, connection: Any) -> int:
    """When *connection* last heard of its peer: data, or the acknowledgement of its own, or the handshake."""
    way = connection.way
    now_ns: int = fabric.clock.now_ns
    if way is None or way[0] is None or not fabric.recording:
        return now_ns
    back_ns = way[0].link.latency_ns
    heard: int = connection.since_ns
    for towards, _, arrival in _segments(fabric, way[1], since_ns=heard):
        answered = arrival + back_ns if towards == way[2] else arrival
        if heard < answered <= now_ns:
            heard = answered
    return heard


def on_the_way(fabric: Fabric, connection: Any) -> int:
    """How many bytes of *connection* have not arrived, or their acknowledgement has not come back."""
    way = connection.way
    if way is None or way[0] is None or not fabric.recording:
        return 0
    back_ns = way[0].link.latency_ns
    now_ns = fabric.clock.now_ns
    since_ns = max(connection.since_ns, now_ns - 2 * back_ns - max(0, way[0].last_ns - now_ns))
    return sum(
        len(payload)
        for towards, payload, arrival in _segments(fabric, way[1], since_ns)
        if towards == way[2] and arrival + back_ns > now_ns
    )


def _segments(fabric: Fabric, place: str, since_ns: int) -> Iterator[tuple[str, bytes, int]]:
    """Towards whom each segment of a connection goes, what is in it, and when it arrives: the latest first."""
    for entry in reversed(fabric.trace.entries):
        if entry[0] < since_ns:
            return
        if entry[1] == SEGMENT and entry[3] == place:
            payload, arrival = entry[7]
            yield entry[4], payload, arrival
