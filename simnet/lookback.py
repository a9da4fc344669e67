"""What a connection without timers would know if it had them, read from the trace: when it last received, what is in flight.

Where nothing is lost, acknowledgements are elided and nothing records when a segment came (see the kernel's ``guard``). Few
questions depend on either: SIOCOUTQ, and a keepalive whose link has been cut. Without a trace they cannot be answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from simnet.trace import SEGMENT

if TYPE_CHECKING:
    from simnet.network import Fabric

_FIRST: Final = itemgetter(0)
NEVER: Final = 1 << 62

__all__ = ["answers", "heard_ns", "on_the_way", "received_ns"]


def heard_ns(fabric: Fabric, connection: Any) -> int:
    """When *connection* last heard of its peer: data, or the acknowledgement of its own, or the handshake."""
    way = connection.way
    now_ns: int = fabric.clock.now_ns
    if way is None or way[0] is None or not fabric.recording:
        return now_ns
    back_ns = way[0].link.latency_ns
    heard: int = connection.since_ns
    for entry in _segments(fabric, way[1], since_ns=heard):
        arrival = entry[7][1]
        answered = arrival + back_ns if entry[4] == way[2] else arrival
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
        len(entry[7][0])
        for entry in _segments(fabric, way[1], since_ns)
        if entry[4] == way[2] and entry[7][1] + back_ns > now_ns
    )


def received_ns(fabric: Fabric, connection: Any) -> int | None:
    """When the last data came to *connection*; ``None`` where nothing is recorded, or nothing came since it is young."""
    way = connection.way
    if way is None or not fabric.recording:
        return None
    arrivals = (
        entry[7][1] for entry in _segments(fabric, way[1], connection.since_ns) if entry[4] != way[2] and entry[7][0]
    )
    return next(arrivals, None)


def answers(fabric: Fabric, connection: Any, wait_ns: int, late_ns: int) -> bool | None:
    """Does *connection* acknowledge along with its answers (pingpong mode)? ``None`` where nothing is recorded.

    It does since it has sent something within *wait_ns* of what it heard last, and until something else that it heard has
    waited for *late_ns*, and was acknowledged by itself.
    """
    way = connection.way
    if way is None or not fabric.recording:
        return None
    now_ns = fabric.clock.now_ns
    talks, heard, due = False, -wait_ns, NEVER
    segments = [
        (entry[0], True) if entry[4] == way[2] else (entry[7][1], False)
        for entry in _segments(fabric, way[1], connection.since_ns)
        if entry[7][0]
    ]
    segments.reverse()
    for at_ns, ours in sorted(segments, key=_FIRST):
        if at_ns > now_ns:
            break
        if due <= at_ns:
            talks, due = False, NEVER
        if ours:
            talks, due = talks or at_ns - heard < wait_ns, NEVER
        else:
            heard = at_ns
            if talks:
                due = min(due, at_ns + late_ns)
    return talks and due > now_ns


def _segments(fabric: Fabric, place: str, since_ns: int) -> Iterator[tuple[Any, ...]]:
    """What the trace has of each segment of a connection: when it went, towards whom, what is in it and when it arrives.

    The latest comes first.
    """
    for entry in reversed(fabric.trace.entries):
        if entry[0] < since_ns:
            return
        if entry[1] == SEGMENT and entry[3] == place:
            yield entry
