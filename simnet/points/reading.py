"""Where a fault could have acted: the injection points of a run, read from its trace."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from simnet.points.datagrams import DatagramCall, DatagramCalls, is_of_datagrams
from simnet.points.ownpairs import pairs_of_tcp
from simnet.tls.sealed import OTHER
from simnet.trace import CALL, SEGMENT, TIMED, Event, Failed, Trace

__all__ = ["CallPoint", "ConnectPoint", "DatagramPoint", "Moment", "Points", "PollPoint", "StreamPoint"]

RECORDS = "records"  # stands beside the name in a connect of a Unix socket that moves records


class CallPoint(NamedTuple):
    """One call on one socket."""

    place: str
    end: str
    op: str
    n: int
    host: str
    target: bool
    blocking: bool
    size: int  # bytes returned or taken
    result: str  # "ok", or the errno's name
    whole: bool = False  # it moves records, which are never cut
    timed: bool = False  # it is blocking, but for a time-out
    datagrams: DatagramCall | None = None  # it is one of a socket for datagrams


class StreamPoint(NamedTuple):
    """The bytes of one direction of a connection."""

    place: str
    end: str  # towards whom they travel
    length: int
    edges: tuple[int, ...]  # offsets at which a write or a segment begins or ends
    target: bool  # a target sends or receives them
    # Offsets of what a target waited for with a deadline, how far off in s that was, and how long in s nothing had come before
    late: tuple[tuple[int, float, float], ...] = ()
    # Offsets of what the next bytes came so many seconds after, of which nothing says that they were an answer
    before: tuple[tuple[int, float], ...] = ()


class ConnectPoint(NamedTuple):
    """One attempt to connect."""

    place: str
    client: str
    server: str
    answered: bool


class PollPoint(NamedTuple):
    """One poll of a host that found something ready: its n-th such."""

    place: str
    n: int
    ready: tuple[str, ...]
    host: str
    target: bool
    kind: str  # "epoll", "poll", "select"


class DatagramPoint(NamedTuple):
    """One datagram: the n-th of its flow."""

    place: str
    n: int
    target: bool  # a target sends or receives it
    late: float = 0.0  # a target waited for it with a deadline, so many seconds off


class Moment(NamedTuple):
    """An instant in which a host called its kernel, or sent something; or the one after the last of them, if others go on."""

    host: str
    time_ns: int


class Points:
    """All of a run, each list in the order in which the run came to them."""

    __slots__ = (
        "begins",
        "calls",
        "connects",
        "datagrams",
        "moments",
        "pairs",
        "polls",
        "shared",
        "streams",
        "threaded",
    )

    def __init__(self) -> None:
        self.calls: list[CallPoint] = []
        self.streams: list[StreamPoint] = []
        self.connects: list[ConnectPoint] = []
        self.polls: list[PollPoint] = []
        self.moments: list[Moment] = []
        self.datagrams: list[DatagramPoint] = []
        self.begins: dict[str, bytes] = {}  # what each client says first
        # Connections that brought their client something when another one had been accepted there
        self.shared: set[str] = set()
        self.pairs: frozenset[str] = frozenset()  # connections that a program has made with itself, and their listeners
        self.threaded: frozenset[str] = frozenset()  # hosts with a program of several threads

    @classmethod
    def of(cls, trace: Trace, targets: Iterable[str]) -> Points:
        """The points of the run that left *trace*."""
        reading = _Reading(cls(), trace, frozenset(targets))
        for event in trace:
            if event.kind == CALL:
                reading.call(event)
            elif event.kind == SEGMENT:
                reading.segment(event)
        return reading.end()


class _Reading:
    """A trace, read once from its beginning to its end; what is known only at the end waits here by its name."""

    def __init__(self, points: Points, trace: Trace, targets: frozenset[str]) -> None:
        self.points = points
        self.targets = targets
        self.waited = _deadlines(trace, targets)
        self.until_ns = trace.entries[-1][0] if trace.entries else 0  # or when the last segment arrives
        self.streams: dict[tuple[str, str], _Stream] = {}  # by connection and direction
        self.syns: dict[str, str] = {}  # who sends the first to each
        self.answered: set[str] = set()  # asked for membership only, as the next
        self.records: set[str] = set()
        self.moments: dict[str, dict[int, None]] = {}
        self.datagrams = DatagramCalls()
        self.accepted: Counter[str] = Counter()  # by listener
        points.pairs = pairs_of_tcp(trace)
        points.threaded = frozenset(trace.threaded)

    def call(self, event: Event) -> None:
        if event.host:
            self.moments.setdefault(event.host, {})[event.time_ns] = None
        if event.op == "poll":
            if event.n:
                self._poll(event)
            return
        if not _has_name(event):
            return
        if event.op in ("connect", "connect_ex") and event.arguments[1:] == (RECORDS,):
            self.records.add(event.place)
        point = _call_point(event, event.host in self.targets, event.place in self.records)
        self._count(point)
        if is_of_datagrams(event):
            point = point._replace(datagrams=self.datagrams.look(event))
        elif event.op == "setsockopt":
            self.datagrams.note_option(event)
        self.points.calls.append(point)
        if not point.datagrams and _is_unix(event.place) and (not point.whole or event.op != "send"):
            self._within_host(event)

    def _count(self, point: CallPoint) -> None:
        """Whether another client has come by the time at which one reads."""
        if point.op == "accept" and point.result == "ok":
            self.accepted[point.place] += 1
        elif point.op == "recv" and point.end == "client" and point.size and self.accepted[_listener(point.place)] > 1:
            self.points.shared.add(point.place)

    def _poll(self, event: Event) -> None:
        self.datagrams.note_poll(event.result)
        host, kind = event.host, event.place.rpartition(" ")[2].rstrip("0123456789")
        self.points.polls.append(PollPoint(host, event.n, event.result, host, host in self.targets, kind))

    def _within_host(self, event: Event) -> None:
        """No segment tells of what goes on within a host: connects are read from the calls, and bytes from the sends."""
        if event.op in ("connect", "connect_ex"):
            self.syns.setdefault(event.place, event.host)
            if event.result is None:
                self.answered.add(event.place)
        elif event.op == "send" and event.end and isinstance(event.result, int) and event.result:
            stream = self.streams.setdefault((event.place, OTHER[event.end]), _Stream())
            stream.come(stream.edges[-1] if stream.edges else 0, event.result, event.time_ns)

    def segment(self, event: Event) -> None:
        if event.host:
            self.moments.setdefault(event.host, {})[event.time_ns] = None
        self.until_ns = max(self.until_ns, event.result)
        if event.op == "SYN":
            self.syns.setdefault(event.place, event.host)
        elif event.op == "SYN ACK":
            self.answered.add(event.place)
        elif event.op.partition(" ")[0] == "data":
            stream = self.streams.setdefault((event.place, event.end), _Stream())
            stream.come(event.n, len(event.arguments), event.result)
            if event.end == "server":
                self.points.begins.setdefault(event.place, event.arguments)
        elif event.op.startswith("datagram") and event.n:
            to = event.place.partition("->")[2].rpartition(":")[0]
            touched = event.host in self.targets or to in self.targets
            late = self.waited.get((to, event.result), 0.0)
            self.points.datagrams.append(DatagramPoint(event.place, event.n, touched, late))

    def end(self) -> Points:
        points = self.points
        for place, client in self.syns.items():
            server = place.partition("->")[2].rpartition(":")[0]
            points.connects.append(ConnectPoint(place, client, server, place in self.answered))
        for (place, end), stream in self.streams.items():
            touches = any(_receiver(place, each) in self.targets for each in OTHER)
            edges = sorted({0, *stream.edges})
            to = _receiver(place, end)
            late = [
                (first, self.waited[to, at_ns], pause)
                for first, at_ns, pause in stream.behind_pauses()
                if (to, at_ns) in self.waited
            ]
            back = self.streams.get((place, OTHER[end]))
            before = tuple(stream.pauses([] if back is None else [at_ns for _, at_ns in back.come_at]))
            points.streams.append(StreamPoint(place, end, edges[-1], tuple(edges), touches, tuple(late), before))
        for host, instants in self.moments.items():
            after = max(instants) + 1
            behind = (after,) if after <= self.until_ns else ()  # else the run is over by then
            points.moments += [Moment(host, each) for each in (*instants, *behind)]
        return points


class _Stream:
    """The bytes of one direction, as they come."""

    __slots__ = ("come_at", "edges")

    def __init__(self) -> None:
        self.edges: list[int] = []  # offsets
        self.come_at: list[tuple[int, int]] = []  # the offset of each first byte, and the instant in ns

    def come(self, first: int, size: int, at_ns: int) -> None:
        self.edges += [first, first + size]
        self.come_at.append((first, at_ns))

    def behind_pauses(self) -> Iterator[tuple[int, int, float]]:
        """The offset and the instant of each, and for how many seconds nothing had come before; the first one follows on nothing."""
        last_ns = self.come_at[0][1] if self.come_at else 0
        for first, at_ns in self.come_at:
            yield first, at_ns, (at_ns - last_ns) / 1e9
            last_ns = at_ns

    def pauses(self, answers: list[int]) -> Iterator[tuple[int, float]]:
        """The first byte of each that comes before another one, and the seconds between, if at the other end none of *answers* comes meanwhile."""
        for (first, at_ns), (_, next_ns) in pairwise(self.come_at):
            if next_ns > at_ns and bisect_right(answers, next_ns) == bisect_left(answers, at_ns):
                yield first, (next_ns - at_ns) / 1e9


def _deadlines(trace: Trace, targets: frozenset[str]) -> dict[tuple[str, int], float]:
    """How far off in seconds the nearest deadline was, for each host of *targets* and instant at which something came in time."""
    found: dict[tuple[str, int], float] = {}
    for host, woken_ns, deadline_ns in trace.deadlines:
        if host in targets:
            seconds = (deadline_ns - woken_ns) / 1e9
            found[host, woken_ns] = min(seconds, found.get((host, woken_ns), seconds))
    return found


def _receiver(place: str, end: str) -> str:
    """The host at the *end* of a connection."""
    client, _, rest = place.partition("->")
    return client if end == "client" else rest.rpartition(":")[0]


def _listener(place: str) -> str:
    """To where a connection leads."""
    return place.partition("->")[2].rpartition("#")[0]


def _is_unix(place: str) -> bool:
    """Whether a socket that has a name is a Unix stream: by a path, an abstract name, or as one of a pair."""
    name = place.rpartition(":")[2].partition("#")[0]
    return ":" in place and not (name.isdecimal() or name == "*")


def _has_name(event: Event) -> bool:
    """Whether a plan could mean this call: not on a socket without a name yet; on a flow, which a datagram socket is connected to, two."""
    if " " in event.place or event.place[-1:] in ("'", '"') or "'#" in event.place or '"#' in event.place:
        return False
    return "->" not in event.place or "#" in event.place or is_of_datagrams(event)


def _call_point(event: Event, target: bool, whole: bool) -> CallPoint:
    place, end, op, n, host = event.place, event.end, event.op, event.n, event.host
    _, result, blocking = event.detail
    if isinstance(result, Failed):
        return CallPoint(place, end, op, n, host, target, bool(blocking), 0, str(result), whole)
    if isinstance(result, tuple) and op == "recv":
        result = result[0]
    size = len(result) if isinstance(result, bytes) else result if isinstance(result, int) else 0
    return CallPoint(place, end, op, n, host, target, bool(blocking), size, "ok", whole, blocking == TIMED)
