"""Of a long series of like points, which a sweep tries: the first, the last, the second, and then between them, ever more closely.

Two points are of one sort if they differ by the number of the connection, or by the place in a long row of calls and writes alone: what is done
for the hundredth client is what was done for the tenth. The first eight calls of a connection are eight sorts, as in them people greet each other;
from there on each has as many members as all before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.faults.fault import Fault

__all__ = ["closer_and_closer", "pick", "sort_of", "spread"]

APART = 8  # calls of a connection, and writes in a direction, that are told from each other
_DIGITS = "0123456789"
_COUNTS = ("call", "datagram", "lookup")
_PLACES = ("byte", "at")  # how far on in a stream, or when


def sort_of(fault: Fault, place: int = 0) -> Hashable:
    """What *fault* has in common with those that are like it; *place* tells bytes at the edges of writes apart: 3 for each edge, in their order."""
    said: list[object] = [fault.kind, place % 3, _bucket(place // 3)]
    for name in fault.__struct_fields__:
        value = getattr(fault, name)
        if value is None or name in _PLACES:
            continue
        if name == "on":
            client, arrow, server = value.partition("->")
            value = (client.rstrip(_DIGITS), server.partition("#")[0]) if arrow else value
        elif name in _COUNTS:
            value = _bucket(value)
        elif name == "bytes":
            value = value.bit_length()
        said.append((name, value))
    return tuple(said)


def _bucket(n: int) -> int:
    return n if n <= APART else APART + n.bit_length() - APART.bit_length() + 1


def pick(sorts: Sequence[Hashable], share: int) -> list[int]:
    """The indices of *share* of those *sorts*, in order: of each sort one before any has two."""
    if share >= len(sorts):
        return list(range(len(sorts)))
    members: dict[Hashable, list[int]] = {}
    for index, sort in enumerate(sorts):
        members.setdefault(sort, []).append(index)
    rows = [(each, closer_and_closer(len(each))) for each in members.values()]
    chosen: list[int] = []
    while len(chosen) < share:
        came = [(each, places, next(places, None)) for each, places in rows]
        rows = [(each, places) for each, places, at in came if at is not None]
        these = [each[at] for each, _, at in came if at is not None]
        chosen += [these[n] for n in spread(len(these), share - len(chosen))]
    return sorted(chosen)


def closer_and_closer(size: int) -> Iterator[int]:
    """The numbers below *size*, once each: the first, the last, the second, and then always the middle of what is between two."""
    first = [0, size - 1, 1]
    yield from dict.fromkeys(each for each in first if 0 <= each < size)
    gaps = [(1, size - 1)]
    for low, high in gaps:  # which grows meanwhile
        middle = (low + high) // 2
        if low < middle < high:
            yield middle
            gaps += ((low, middle), (middle, high))


def spread(size: int, share: int) -> Sequence[int]:
    """*share* of the numbers below *size*, evenly spread, both ends among them."""
    if share >= size:
        return range(size)
    if share == 1:
        return (0,)
    return [index * (size - 1) // (share - 1) for index in range(share)]
