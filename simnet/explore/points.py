"""Where faults can act in a run, and which of them a sweep tries: every kind at every point, in an order, within a budget.

The baseline's points are made into *families*: one kind at one sort of point, a number of variants that are made into
faults only when they are chosen (a stream of a megabyte has millions). Families have a rank, and the budget is spent by
rank: all calls, connects and polls first, then the bytes beside the edges of writes and segments, then the bytes between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simnet.explore.series import pick, sort_of, spread
from simnet.explore.strangers import strangers
from simnet.faults import kinds as k
from simnet.faults.kinds import ERRNOS, KINDS, Fault, drawn, errnos
from simnet.faults.paths import PAIR
from simnet.faults.place import Place

if TYPE_CHECKING:
    from simnet.points.datagrams import DatagramCall
    from simnet.points.reading import CallPoint, DatagramPoint, Moment, Points, PollPoint, StreamPoint

__all__ = ["BYTES", "Family", "Selection", "families", "select"]

CALLS, EDGES, BYTES = range(3)  # ranks, as the budget is spent
RANK_NAMES = ("calls", "edges", "bytes between")
# How many times as large as it is a budget may grow, so that there is one of each sort.
SORTS_TIMES = 3
# Of the budget, where there are too many of them: the bugs of hundreds of calls are not those of a stream.
CALLS_PERCENT = 60

BYTES_ALL_MAX = 4_096  # bytes of one direction up to which each is a point of its own; beyond, edges and a spread
STALL_SHORT = 0.05  # seconds: beyond a round trip and the 40 ms of a delayed acknowledgement, within every time-out
STALL_LONG = 61.0  # beyond the 60 s that servers wait for a request, and the 30 s of asyncore's loop
LATE_NAME = 5.0  # seconds: when a resolver asks the next server (resolv.conf(5), "timeout")
JUMP = 3600.0  # seconds: what an hour of daylight saving makes of a wall clock that is kept in local time
POLL_PLACES_MAX = 3  # of those that were ready, how many get a poll that reports them alone: first, second, last

# The kinds in the order in which they are tried: those that find a bug soonest, for the fewest runs.
TELLING = (
    "would-block", "error", "reset-before-accept", "short-recv", "partial-send", "wake", "refuse",
    "drop", "duplicate", "reorder", "delay", "eof", "reset", "urgent", "stall", "split", "coalesce",
)  # fmt: skip

_CONNECTION_OPS = ("recv", "send")
_RESET_BEFORE_ONLY = ("shutdown", "getpeername", "getsockname", "getsockopt", "setsockopt")


@dataclass(slots=True)
class Family:
    """One kind at one sort of point: *size* variants at *points* points; ``make(i)`` is the i-th."""

    kind: str
    rank: int
    size: int
    points: int
    make: Callable[[int], Fault]
    most: int | None = None  # how many of them a sweep runs, whatever its budget; None: all
    width: int = 1  # how many of them are at one byte


@dataclass(slots=True)
class Selection:
    """What a sweep runs: the faults in order, and how many there would have been."""

    faults: list[Fault]
    planned: int  # variants there are
    line: str  # what of them is run, honestly


def families(points: Points, targets: Collection[str], kinds: Iterable[str] | None = None) -> list[Family]:
    """All that could be tried at *points* of a run with these *targets*, telling kinds first."""
    wanted = [name for name in KINDS if drawn(name)] if kinds is None else list(kinds)
    wanted.sort(key=lambda name: TELLING.index(name) if name in TELLING else len(TELLING))
    found: list[Family] = []
    at_calls: dict[str, tuple[list[Fault], set[object]]] = {name: ([], set()) for name in wanted}
    for fault in _at_calls(points, targets, unasked=kinds is None):
        if fault.kind in at_calls and (kinds is not None or _unasked(fault, points)):
            faults, places = at_calls[fault.kind]
            faults.append(fault)
            places.add(fault.anchor)
    for name in wanted:
        faults, places = at_calls[name]
        if faults:
            found.append(Family(name, CALLS, len(faults), len(places), faults.__getitem__))
        for stream in points.streams:
            if stream.target and (kinds is not None or KINDS[name].transparent or not _is_pair(stream.place, points)):
                found.extend(_in_stream(name, stream))
    return found


def preempted(points: Points, hosts: Collection[str]) -> Iterator[Fault]:
    """Behind each call of *hosts* that moves bytes its thread stands still, long enough for an answer to come."""
    for call in points.calls:
        moved = call.target and call.op in _CONNECTION_OPS and call.end and call.size and call.datagrams is None
        if moved and call.host in hosts and not _is_pair(call.place, points):
            yield k.Preempt(on=call.place, op=call.op, end=call.end, call=call.n, seconds=STALL_SHORT)


def _unasked(fault: Fault, points: Points) -> bool:
    """Whether a sweep that names no kinds tries it: not what breaks a program's own pair, nor what no kernel does to a Unix datagram."""
    if fault.anchor.form == "datagram":
        return fault.kind == "delay" or not _unix(fault.on)
    tells_of_a_full_pair = isinstance(fault, k.WouldBlock) and fault.op == "send"
    harmless = fault.transparent and not tells_of_a_full_pair
    return harmless or not _is_pair(fault.on, points)


def _is_pair(on: str, points: Points) -> bool:
    """Whether both ends are the program's own, so that nobody else can break it."""
    return on in points.pairs or Place.parse(on).port == PAIR


def select(found: Sequence[Family], budget: int, *, of_each_sort: bool = False) -> Selection:
    """At most *budget* faults of all *found*, rank by rank. Where a rank does not fit, each kind gets its share: of bytes an even spread, of all
    else some of each sort of point. If *of_each_sort*, a budget that is too small grows, so that there is one of each sort of call.
    """
    planned = sum(family.size for family in found)
    pools = [_Pool(rank, kind, several) for (rank, kind), several in _by_kind(found).items()]
    short = of_each_sort and sum(pool.most for pool in pools) > budget
    if short:
        sorts = sum(pool.sorts for pool in pools if pool.rank == CALLS)
        budget = min(max(budget, 2 * sorts), SORTS_TIMES * budget)  # as many of what comes behind the calls
    faults: list[Fault] = []
    words: list[str] = []
    for rank in (CALLS, EDGES, BYTES):
        ranked = [pool for pool in pools if pool.rank == rank]
        left, least = budget - len(faults), [0] * len(ranked)
        if rank == CALLS and short:
            behind = sum(pool.most for pool in pools if pool.rank != CALLS)
            left = max(left * CALLS_PERCENT // 100, left - behind)
        if rank != BYTES and sum(pool.most for pool in ranked) > left:
            least = [pool.sorts for pool in ranked]
            if rank == CALLS and not short:  # what comes behind has its part, if two of each sort are tried
                behind = sum(pool.most for pool in pools if pool.rank != CALLS)
                left = min(left, max(left * CALLS_PERCENT // 100, 2 * sum(least), left - behind))
            if sum(least) > left:
                least = [0] * len(ranked)
        more = _shares([pool.most - each for pool, each in zip(ranked, least, strict=True)], left - sum(least))
        shares = [one + other for one, other in zip(least, more, strict=True)]
        for pool, share in zip(ranked, shares, strict=True):
            faults.extend(pool.some(share))
        total, taken = sum(pool.size for pool in ranked), sum(shares)
        if total:
            name = RANK_NAMES[rank]
            words.append(
                f"all {name}" if taken == total else f"{taken:,} of {total:,} {name}" if taken else f"no {name}"
            )
    if len(faults) == planned:
        return Selection(faults, planned, f"{planned:,} points")
    return Selection(faults, planned, f"{len(faults):,} of {planned:,} points: {', '.join(words)}")


def _by_kind(found: Sequence[Family]) -> dict[tuple[int, str | int], list[Family]]:
    """Those of one rank and kind together; but what takes a server away for good, and the bytes of each direction, have shares of their own."""
    pools: dict[tuple[int, str | int], list[Family]] = {}
    for n, family in enumerate(found):
        together = family.rank == EDGES or (family.rank == CALLS and family.size > 1)
        pools.setdefault((family.rank, family.kind if together else n), []).append(family)
    return pools


class _Pool:
    """What gets a share of the budget: the *families* of one rank and kind."""

    def __init__(self, rank: int, kind: str | int, families: list[Family]) -> None:
        self.rank, self.kind, self.families = rank, kind, families
        self.size = sum(each.size for each in families)
        self.most = sum(each.size if each.most is None else each.most for each in families)
        self._sorts: list[Hashable] | None = None

    @property
    def sorts(self) -> int:
        """How many sorts of points it has; of bytes there are none."""
        return 0 if self.rank == BYTES else len(set(self._all_sorts()))

    def some(self, share: int) -> Iterator[Fault]:
        if self.rank == BYTES or share >= self.size:
            indices: Iterable[int] = spread(self.size, share)
        else:
            indices = pick(self._all_sorts(), share) if share else ()
        begin, several = 0, iter(self.families)
        family = next(several)
        for index in indices:
            while index - begin >= family.size:
                begin += family.size
                family = next(several)
            yield family.make(index - begin)

    def _all_sorts(self) -> list[Hashable]:
        if self._sorts is None:
            self._sorts = [
                sort_of(family.make(index), index // family.width if self.rank == EDGES else 0)
                for family in self.families
                for index in range(family.size)
            ]
        return self._sorts


def _shares(sizes: list[int], budget: int) -> list[int]:
    """How many each may have of *budget*: all alike, and what a small one leaves goes to the larger."""
    shares = [0] * len(sizes)
    left = max(budget, 0)
    for place, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[index] = min(sizes[index], left // (len(sizes) - place))
        left -= shares[index]
    return shares


# --- calls, connects, accepts, polls ---------------------------------------------------------------------------------


def _at_calls(points: Points, targets: Collection[str], *, unasked: bool) -> Iterator[Fault]:
    # hosts that have accepted somebody, and lose more than their beginning by a socket that they do not get
    serving: set[str] = set()
    for call in points.calls:
        if call.target and not (unasked and call.op == "socket" and call.host not in serving):
            yield from _at_call(call, unasked)
        if call.op == "accept" and call.result == "ok":
            serving.add(call.host)
    for connect in points.connects:
        if connect.answered and (connect.client in targets or connect.server in targets):
            yield k.Refuse(on=connect.place)
            if not _unix(connect.place):
                yield k.Unreachable(on=connect.place)
                yield k.ConnectTimeout(on=connect.place)
    if not unasked:
        yield from preempted(points, targets)
        yield from strangers(points, targets)
    for poll in points.polls:
        if poll.target:
            yield from _at_poll(poll)
    last = {each.place: each.n for each in points.datagrams}
    for datagram in points.datagrams:
        if datagram.target:
            yield from _at_datagram(datagram, last[datagram.place])
    links = list(dict.fromkeys((each.client, each.server) for each in points.connects if each.client != each.server))
    for moment in points.moments:
        yield from _at_moment(moment, [link for link in links if moment.host in link], targets)


def _at_call(call: CallPoint, unasked: bool) -> Iterator[Fault]:
    on, op, n = call.place, call.op, call.n
    if op == "accept":
        yield from _at_accept(call)
    elif op == "socket":
        for name in ERRNOS["socket"]:
            yield k.Error(on=on, op=op, call=n, errno=name)
    elif op == "lookup":
        if call.result == "ok":
            for name in k.RESOLVER_ERRORS:
                yield k.NameError_(on=on, lookup=n, errno=name)
            yield k.NameError_(on=on, lookup=n, seconds=LATE_NAME)
    elif call.datagrams:
        if call.result == "ok":
            yield from _at_datagram_call(call, call.datagrams, unasked)
    elif op in _CONNECTION_OPS:
        if call.result == "ok":
            yield from _at_transfer(call)
        for when in ("before", "after"):
            yield k.Reset(on=on, op=op, end=call.end, call=n, when=when)
    elif op in _RESET_BEFORE_ONLY and "->" in on:
        yield k.Reset(on=on, op=op, end=call.end, call=n)


def _at_accept(call: CallPoint) -> Iterator[Fault]:
    """At an accept that got somebody: nobody is there yet, the peer is gone already, and the errors of accept(2)."""
    on, n = call.place, call.n
    if call.result != "ok":
        return
    if not call.blocking:
        yield k.WouldBlock(on=on, op="accept", call=n)
    yield k.ResetBeforeAccept(on=on, call=n)
    for name in errnos("accept", unix=_unix(on)):
        yield k.Error(on=on, op="accept", call=n, errno=name)


def _at_transfer(call: CallPoint) -> Iterator[Fault]:
    """At a send or recv that succeeded: it would block, moves fewer bytes unless it must move all, or fails."""
    on, op, end, n = call.place, call.op, call.end, call.n
    if not call.blocking:
        yield k.WouldBlock(on=on, op=op, end=end, call=n)
        if op == "send" and not call.whole:
            yield k.WouldBlock(on=on, op=op, end=end, call=n, seconds=STALL_SHORT)
    if op == "recv" and not call.whole:
        for size in _fewer(call.size):
            yield k.ShortRecv(on=on, end=end, call=n, bytes=size)
    elif not call.whole and (call.timed or not call.blocking):
        # A kernel that has taken a part is full; a peer that reads at once is quicker than that.
        for size in _fewer(call.size):
            full = STALL_SHORT if 1 < size < call.size - 1 else None
            yield k.PartialSend(on=on, end=end, call=n, bytes=size, seconds=full)
    for name in errnos(op, unix=_unix(on)):
        yield k.Error(on=on, op=op, end=end, call=n, errno=name)


def _at_datagram_call(call: CallPoint, more: DatagramCall, unasked: bool) -> Iterator[Fault]:
    """At a send or recv of a datagram: it would block, waits for another since what a poller told of is gone, or fails.

    The first that goes well at a place fails with each errno, any later one with that which comes first.
    """
    on, op, n = call.place, call.op, call.n
    if not call.blocking:
        yield k.WouldBlock(on=on, op=op, call=n)
    elif op == "recv" and more.reported and (call.timed or not unasked) and not _unix(on):
        yield k.Drop(on=on, op=op, call=n)
    said = [name for name in errnos(op, unix=_unix(on), datagrams=True) if _may_say(name, call, more)]
    for name in said if more.first else said[:1]:
        yield k.Error(on=on, op=op, call=n, errno=name)


def _may_say(name: str, call: CallPoint, more: DatagramCall) -> bool:
    """Whether a sweep has that call of a socket for datagrams fail so: it can, and not only on a machine or a way of a rare sort."""
    if _unix(call.place):
        return name != "ENOENT" or more.named
    return name not in k.UNTRIED and (more.hears or (call.op == "send" and name != k.BY_ICMP))


def _unix(on: str) -> bool:
    return Place.parse(on).unix


def _fewer(size: int) -> list[int]:
    """Of *size* bytes: the first, half of them, all but the last."""
    return sorted({each for each in (1, size // 2, size - 1) if 0 < each < size})


def _at_datagram(datagram: DatagramPoint, last: int) -> Iterator[Fault]:
    """Lost, twice, late, and overtaken by the next one if there is one."""
    on, n = datagram.place, datagram.n
    yield k.Drop(on=on, datagram=n)
    yield k.Duplicate(on=on, datagram=n)
    if n < last:
        yield k.Reorder(on=on, datagram=n)
    for seconds in (STALL_SHORT, STALL_LONG, *_too_late(datagram.late)):
        yield k.Delay(on=on, datagram=n, seconds=seconds)


def _at_moment(moment: Moment, links: list[tuple[str, str]], targets: Collection[str]) -> Iterator[Fault]:
    """A host's *links* are cut, it crashes, restarts or stands still, and a target's clock is set."""
    host, at = moment.host, moment.time_ns / 1e9
    for client, server in links:
        for seconds in (STALL_SHORT, STALL_LONG):
            yield k.Partition(on=f"{client}<->{server}", at=at, seconds=seconds)
    if host != k.BODY:
        yield k.Crash(on=host, at=at)
        yield k.Restart(on=host, at=at)
        for seconds in (STALL_SHORT, STALL_LONG):
            yield k.Pause(on=host, at=at, seconds=seconds)
    if host in targets:
        for seconds in (-JUMP, JUMP):
            yield k.ClockJump(on=host, at=at, seconds=seconds)


def _at_poll(poll: PollPoint) -> Iterator[Fault]:
    """Each of the ready alone, all but the last, and for epoll (whose order is a list's) another order."""
    ready = len(poll.ready)
    if ready < 2:
        return
    for first in sorted({*range(min(ready, POLL_PLACES_MAX - 1)), ready - 1}):
        yield k.Wake(on=poll.host, call=poll.n, first=first, keep=1)
    if ready > 2:
        yield k.Wake(on=poll.host, call=poll.n, keep=ready - 1)
    if poll.kind == "epoll":
        yield k.Wake(on=poll.host, call=poll.n, first=1)


# --- bytes -----------------------------------------------------------------------------------------------------------


def _in_stream(kind: str, stream: StreamPoint) -> Iterator[Family]:
    if kind == "coalesce":
        yield from _together(stream)
    make = _AT_BYTE.get(kind)
    if make is None or (KINDS[kind].not_unix and _unix(stream.place)):
        return
    last = stream.length
    # A split before the first byte or after the last is none; all other kinds can act there, before the FIN too.
    lowest, highest = (1, last - 1) if kind == "split" else (0, last)
    if highest < lowest:
        return
    edges = sorted(
        {
            byte
            for edge in (0, *stream.edges, last)
            for byte in (edge - 1, edge, edge + 1)
            if lowest <= byte <= highest
        }
    )  # fmt: skip
    parameters = (STALL_SHORT, STALL_LONG) if kind == "stall" else (STALL_SHORT,)
    width = len(parameters)

    def at_edge(index: int) -> Fault:
        return make(stream, edges[index // width], parameters[index % width])

    yield Family(kind, EDGES, len(edges) * width, len(edges), at_edge, width=width)
    if kind == "stall" and (too_late := _all_too_late(stream)):
        yield Family(kind, EDGES, len(too_late), 0, too_late.__getitem__)
    if kind == "stall" and (held := list(_held_until_the_next(stream))):
        yield Family(kind, EDGES, len(held), 0, held.__getitem__)
    between = highest - lowest + 1 - len(edges)
    if between:
        below = [edge - lowest - index for index, edge in enumerate(edges)]  # how many bytes before each edge are none

        def at_byte(index: int) -> Fault:
            return make(stream, lowest + index + bisect_right(below, index), STALL_SHORT)

        most = between if last <= BYTES_ALL_MAX else min(between, BYTES_ALL_MAX)
        yield Family(kind, BYTES, between, between, at_byte, most)


def _all_too_late(stream: StreamPoint) -> list[Fault]:
    """Each segment that was waited for with a deadline, whole, without its first byte, and its last one, just behind that deadline.

    Who reads a header first, and then what it announces, has the one and not the other when the time is up.
    """
    found: list[Fault] = []
    ends = stream.edges[1:]
    for first, off, pause in stream.late:
        last = ends[bisect_right(ends, first)] - 1
        for byte in dict.fromkeys((first, first + 1, last)):
            # A delay counts from what came before, and a pause eats up as much of it.
            behind = off + pause if byte == first and pause >= STALL_SHORT else off
            found += [
                k.Stall(on=stream.place, end=stream.end, byte=byte, seconds=seconds)
                for seconds in _too_late(behind)
                if byte < stream.length
            ]
    return found


def _held_until_the_next(stream: StreamPoint) -> Iterator[Fault]:
    """Each segment with the one that was sent a while after it, as where the first was lost, and came again behind that."""
    for first, pause in stream.before:
        for seconds in _too_late(pause):
            yield k.Stall(on=stream.place, end=stream.end, byte=first, seconds=seconds)


def _too_late(off: float) -> Iterator[float]:
    """How late in seconds is just behind a deadline that is so far *off*, if the other delays are not as good."""
    if STALL_SHORT <= off < STALL_LONG - STALL_SHORT:
        yield round(off + STALL_SHORT, 6)


def _together(stream: StreamPoint) -> Iterator[Family]:
    """Each write with the next one, and all of them."""
    edges = stream.edges
    spans = list(dict.fromkeys([*zip(edges, edges[2:], strict=False), (0, stream.length)])) if len(edges) > 2 else []

    def make(index: int) -> Fault:
        first, end = spans[index]
        return k.Coalesce(on=stream.place, end=stream.end, byte=first, bytes=end - first)

    if spans:
        yield Family("coalesce", EDGES, len(spans), len(spans), make)


_AT_BYTE: dict[str, Callable[[StreamPoint, int, float], Fault]] = {
    "split": lambda stream, byte, _: k.Split(on=stream.place, end=stream.end, byte=byte),
    "stall": lambda stream, byte, seconds: k.Stall(on=stream.place, end=stream.end, byte=byte, seconds=seconds),
    "urgent": lambda stream, byte, _: k.Urgent(on=stream.place, end=stream.end, byte=byte),
    "eof": lambda stream, byte, _: k.Eof(on=stream.place, end=stream.end, byte=byte),
    "reset": lambda stream, byte, _: k.Reset(on=stream.place, end=stream.end, byte=byte),
    "blackhole": lambda stream, byte, _: k.Blackhole(on=stream.place, end=stream.end, byte=byte),
}
