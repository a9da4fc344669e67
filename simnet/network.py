"""The fabric: hosts, links, and the only place that moves a segment from one stack to another."""

from __future__ import annotations

from collections.abc import Callable
from errno import EHOSTUNREACH
from functools import lru_cache
from heapq import heappush
from typing import Any

from simnet.clock import Clock
from simnet.faults.disruptive import ConnectTimeout, Unreachable
from simnet.faults.fault import Fault
from simnet.faults.hosts import Drop
from simnet.faults.inject import Injector, Tag
from simnet.faults.place import Place
from simnet.files.ended import OVER
from simnet.kernel.datagrams.groups import copy_for_others
from simnet.kernel.inet import BROADCAST, is_group, is_loopback, is_many
from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM
from simnet.kernel.segment import ACK, FILLS, FIN, RST, SYN, TCP, UDP, URG, Icmp, Notice, Segment
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.link import DEFAULT_LATENCY, HEADERS, Direction, Link
from simnet.machine import ASIDE, Machine
from simnet.places.datagrams import joined
from simnet.places.flows import Flows, flow, unix_flow
from simnet.trace import SEGMENT, Trace

__all__ = ["Fabric"]

WILDCARDS = ("0.0.0.0", "::")  # as a destination, Linux takes them for this host
FIRST_BYTE_SEQ = 2  # the initial sequence number is 1, and SYN takes it
UNNAMED: tuple[str, str, None] = ("?", "", None)
# Three unanswered ARP requests a second apart, then EHOSTUNREACH (Linux, measured 3.06 s).
ARP_FAILED_NS = 3_060_000_000


class Fabric:
    """All hosts and links of one network."""

    __slots__ = (
        "clock", "trace", "recording", "unseen", "injector", "machines", "by_address", "links", "directions", "attempts",
        "listeners", "look_up", "_flows", "_names", "_refused", "_dark",
    )  # fmt: skip

    def __init__(self, clock: Clock, trace: Trace, injector: Injector) -> None:
        self.clock = clock
        self.trace = trace
        self.recording = trace.recording
        self.unseen = not trace.recording and injector.idle  # nobody looks at segments, and no fault wants one
        self.injector = injector
        self.machines: dict[str, Machine] = {}
        self.look_up: Callable[[Machine, str], None] | None = None  # is told when a host asks for a name
        self.by_address: dict[str, Machine] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.directions: dict[tuple[str, str], Direction] = {}
        self.attempts: dict[tuple[str, str, int | str], int] = {}
        self.listeners: dict[Place, dict[str, int]] = {}  # the calls so far at each place that listens, or has listened
        self._flows: Flows | None = None
        self._dark: list[str] = []  # hosts without power
        # Keyed by the host (of a connection within one; else ""), who opened it, and the other end.
        self._names: dict[tuple[str, Any, Any], tuple[Place, str]] = {}
        self._refused: dict[tuple[str, Any, Any], Fault] = {}

    def machine(self, name: str, seed: str = "") -> Machine:
        """The host of this name, made when first named."""
        machine = self.machines.get(name)
        if machine is None:
            number = len(self.machines) + 1
            if self.injector.strangers:
                number -= any(each.number == ASIDE for each in self.machines.values())
            machine = Machine(self, name, number, f"{seed}/{name}")
            self.machines[name] = machine
            for address in machine.stack.addresses:
                self.by_address[address] = machine
        return machine

    def link(self, a: str, b: str) -> Link:
        """The link between two hosts, made when first asked for."""
        key = (a, b) if a <= b else (b, a)
        link = self.links.get(key)
        if link is None:
            link = self.links[key] = Link(*key, 0.0 if a == b else DEFAULT_LATENCY, self._link_changed)
            if self._dark and self._is_dark(link):
                link.darken(True)
        return link

    def _link_changed(self, link: Link) -> None:
        """Tell both stacks whether segments between them may get lost, and how large they may be."""
        a, b = self.machines.get(link.a), self.machines.get(link.b)
        if a is None or b is None or a is b:
            return
        for machine, other in ((a, b), (b, a)):
            stack, theirs = machine.stack, other.stack.addresses
            stack.mss = None if link.plain and stack.mss is None else self._mss
            lossy = {*(stack.lossy or ())} - {*theirs}  # type: ignore[misc]  # any order: asked for membership only
            if link.loses:
                lossy.update(theirs)
                for connection in list(stack.connections.values()):
                    if isinstance(connection, TcpSocket) and connection.peer and connection.peer[0] in theirs:
                        connection.watch_losses()
            stack.lossy = lossy or None

    def power(self, machine: Machine, *, on: bool) -> None:
        """Whether anything leaves or reaches *machine* at all."""
        if on:
            self._dark.remove(machine.name)
        else:
            self._dark.append(machine.name)
        for link in self.links.values():
            if machine.name in (link.a, link.b):
                link.darken(self._is_dark(link))

    def _is_dark(self, link: Link) -> bool:
        return link.a in self._dark or link.b in self._dark

    def _mss(self, local: str, peer: str) -> int | None:
        mine, theirs = self.by_address.get(local), self.by_address.get(peer)
        if mine is None or theirs is None or mine is theirs:
            return None
        return self.link(mine.name, theirs.name).mss

    def owner_of(self, address: str, asking: Machine) -> Machine | None:
        """Whose address this is, seen from *asking*: loopback addresses are everybody's own."""
        owner = self.by_address.get(address)
        if owner is None:
            if is_loopback(address) or address in WILDCARDS or is_group(address) or address == BROADCAST:
                return asking  # of what is for many, that is what comes back
            if address.startswith("::ffff:"):
                return self.owner_of(address[7:], asking)
        return owner

    def flush(self) -> None:
        """Send what any stack has put out."""
        for machine in self.machines.values():
            if machine.out:
                self.route(machine)

    def dissolve(self) -> None:
        """The run is over: let go of everything that refers in a circle."""
        for machine in self.machines.values():
            machine.stack.dissolve()
            machine.out.clear()
            machine.ways.clear()
            machine.stack = machine.fabric = OVER
        for link in self.links.values():
            link.dissolve()
        self.clock.clear()
        if self._flows is not None:
            self._flows.dissolve()
        self.directions.clear()

    # --- names of connections --------------------------------------------------------------------------------------

    def _key(self, machine: Machine, source: Any, target: Any) -> tuple[str, Any, Any]:
        """What tells a connection from all others: two hosts may each talk to themselves from the same ports."""
        owner = self.owner_of(target[0], machine)
        return (machine.name if owner is machine else "", source, target)

    def _named(self, here: str, source: Any, target: Any) -> tuple[str, str, Place | None]:
        """The name of the connection between the two, which end of it *target* is, and its place."""
        named = self._names.get((here, source, target))
        if named is not None and source != target:
            return named[1], "server", named[0]
        named = self._names.get((here, target, source))
        return UNNAMED if named is None else (named[1], "client", named[0])

    def with_name(self, machine: Machine, address: Any) -> Any:
        """An address as people read it: the name of its host, and the port."""
        if not isinstance(address, tuple):
            return address
        owner = self.owner_of(address[0], machine)
        return (owner.name if owner is not None else address[0], address[1])

    def connecting(self, machine: Machine, file: Any) -> None:
        """*file* has begun to connect: the connection gets its name, its faults and its anchors before its SYN leaves."""
        source, target = file.local, file.peer
        owner = self.owner_of(target[0], machine)
        name = owner.name if owner is not None else f"[{target[0]}]" if ":" in target[0] else target[0]
        attempt = (machine.name, name, target[1])
        self.attempts[attempt] = number = self.attempts.get(attempt, 0) + 1
        datagrams = file.type == SOCK_DGRAM
        named = flow(machine.name, name, target[1]) if datagrams else _place(machine.name, name, target[1], number)
        place, text = named
        here = machine.name if owner is machine else ""
        self._names.pop((here, target, source), None)  # an older one, that the other side had opened
        self._names[here, source, target] = named
        if datagrams:
            file.tag = joined(machine, place, text)
            return
        file.tag = tag = Tag(place, text, "client", machine.name, file.tag.counts)
        injector = self.injector
        injector.arm(tag, machine.target)
        if injector.idle:
            return
        injector.watch_bytes(file, place, "server")
        refusal = injector.for_connect(place)
        if refusal is not None:
            self._refused[here, source, target] = refusal

    def accepted(self, machine: Machine, file: Any, listener: Tag) -> None:
        """*file* came out of an accept queue: it gets the name that its opener's connect gave the connection."""
        text, _, place = self._named(*self._key(machine, file.local, file.peer))
        if place is None:
            file.tag = Tag(None, f"accepted from {listener.text}", "server", machine.name)
            return
        file.tag = tag = Tag(place, text, "server", machine.name)
        self.injector.arm(tag, machine.target)
        self.injector.watch_bytes(file, place, "client")

    def listener_tag(self, machine: Machine, file: Any) -> Tag:
        """The name and the faults of a listening socket; its calls are counted on from those of an earlier one there."""
        if file.family == AF_UNIX:
            return Tag(None, f"{machine.name}:{file.getsockname()!r}", "", machine.name, file.tag.counts)
        place, text = _place("", machine.name, file.local[1], None)
        tag = Tag(place, text, "", machine.name, self.listeners.setdefault(place, file.tag.counts))
        self.injector.arm(tag, machine.target)
        return tag

    # --- moving segments -------------------------------------------------------------------------------------------

    def route(self, machine: Machine) -> None:
        """Take what *machine* has put out to where it goes: at once within a host, else along the link."""
        out, clock, recording = machine.out, self.clock, self.recording
        while out:
            packet = out.popleft()
            way = packet.sender.way  # only a TCP connection knows its own
            if way is None:
                if packet.proto == 0:
                    self._notify(machine, packet)
                    continue
                if packet.proto == UDP and self._send_datagram(machine, packet):
                    continue
                way = self._path(machine, packet)
            direction, place, end, take, tcp, _ = way
            now = clock.now_ns
            if direction is None:
                arrival = now
            else:
                link = direction.link
                if not link.plain:
                    self._send_over(direction, machine, take, packet, (place, end))
                    continue
                arrival = now + link.latency_ns
                if arrival < direction.last_ns:  # segments keep their order when a latency has shrunk
                    arrival = direction.last_ns
                else:
                    direction.last_ns = arrival
            if recording:
                if tcp:
                    payload, seq = packet.payload, packet.seq
                    word = (_WORDS_WITH_DATA if payload else _WORDS)[packet.flags]
                    offset = seq - FIRST_BYTE_SEQ if seq > FIRST_BYTE_SEQ else 0  # a SYN's own is before it
                else:
                    (word, offset), payload = self._describe(packet), getattr(packet, "payload", b"")
                self.trace.entries.append(
                    (now, SEGMENT, machine.name, place, end, word, offset, (payload, arrival))
                )  # fmt: skip
            if self._refused and self._refuse(machine, packet, direction is None, arrival):
                continue
            if direction is None:
                machine.stack.arrive(packet)
                if packet.proto == UDP and is_many(packet.target[0]):
                    self._spread(machine, packet)
            elif take is not None:  # Clock.post, without the call
                clock.busy += 1
                bunch = clock.due.get(arrival)
                if bunch is None:
                    clock.due[arrival] = [(take, packet)]
                    heappush(clock.heap, arrival)
                else:
                    bunch.append((take, packet))
            else:
                unreachable = Icmp(EHOSTUNREACH, packet, machine.stack)
                clock.post(now + ARP_FAILED_NS, machine.arrive, unreachable)

    def _send_datagram(self, machine: Machine, datagram: Any) -> bool:
        """Send one that is for one host, as the next of its flow; False if it is for many, or for nobody."""
        address = datagram.target[0]
        owner, direction = self._way(machine, address)
        if owner is None or (direction is None and is_many(address)):
            return False
        self._send_in_flow(machine, owner, direction, datagram)
        return True

    def _send_in_flow(self, machine: Machine, owner: Machine, direction: Direction | None, datagram: Any) -> None:
        now, port = self.clock.now_ns, datagram.target[1]
        place, name = flow(machine.name, owner.name, port)
        flows = self._flows
        if flows is None:
            flows = self._flows = Flows(self.clock)
        n = flows.count(name)
        take = owner.arrive
        if direction is None:
            arrivals: tuple[int, ...] = (now,)
        elif direction.link.plain:
            direction.last_ns = max(now + direction.link.latency_ns, direction.last_ns)
            arrivals = (direction.last_ns,)
        else:
            arrivals = direction.arrivals_ns(now, len(datagram.payload) + HEADERS)
        fault = self.injector.for_datagram(place, port, n) if self.injector.meddles else None
        usual = arrivals
        if fault is not None:
            arrivals = flows.arrivals_ns(fault, name, usual, datagram, take)
        if self.recording:
            word = "datagram" if usual else "datagram lost"
            told = (datagram.payload, usual[0] if usual else now)
            self.trace.entries.append((now, SEGMENT, machine.name, name, "server", word, n, told))
        if fault is not None:
            self.injector.fire(fault, place, name, "server", n)
        for arrival in arrivals:
            if direction is None and arrival == now:
                owner.stack.arrive(datagram)
            else:
                self.clock.post(arrival, take, datagram)
        if arrivals and self.injector.meddles and fault is None:
            flows.overtaken(name, arrivals[-1])

    def carry(self, machine: Machine, target: Any, record: Any) -> None:
        """A Unix datagram of *machine* goes to *target*, as the next of its flow: at once, if nothing befalls it."""
        now, injector = self.clock.now_ns, self.injector
        place, name = unix_flow(machine.name, target.bound)
        flows = self._flows
        if flows is None:
            flows = self._flows = Flows(self.clock)
        n = flows.count(name)
        if self.recording:
            self.trace.entries.append((now, SEGMENT, machine.name, name, "server", "datagram", n, (record.data, now)))
        fault = injector.for_datagram(place, place.port, n) if injector.meddles else None
        if fault is None:
            target.take(record)
            if injector.meddles:
                flows.overtaken(name, now)
            return
        injector.fire(fault, place, name, "server", n)
        arrivals = flows.arrivals_ns(fault, name, (now,), record, target.take)
        if not arrivals and isinstance(fault, Drop):
            record.discard()
        for index, arrival in enumerate(arrivals):
            each = target.again(record) if index else record
            if arrival == now:
                target.take(each)
            else:
                self.clock.post(arrival, target.take, each)

    def _notify(self, machine: Machine, notice: Any) -> None:
        """A notice of the simulation to itself: no link carries it."""
        owner, _ = self._way(machine, notice.target[0])
        if owner is not None:
            owner.stack.arrive(notice)
            if owner is not machine and owner.out:
                self.route(owner)

    def _spread(self, machine: Machine, datagram: Any) -> None:
        """A broadcast, or what is for a group, to each other host that hears it: all are on one segment, by links and flows of their own."""
        for other in [*self.machines.values()]:
            copy = None if other is machine else copy_for_others(datagram, other.stack)
            if copy is not None:
                _, direction = self._way(machine, other.address)
                self._send_in_flow(machine, other, direction, copy)

    def _send_over(
        self,
        direction: Direction,
        machine: Machine,
        take: Callable[[Any], None] | None,
        packet: Any,
        end: tuple[str, str],
    ) -> None:
        """Along a link with more to it than latency: a packet may arrive twice, or never."""
        now = self.clock.now_ns
        payload = getattr(packet, "payload", b"")
        arrivals = direction.arrivals_ns(now, len(payload) + HEADERS)
        word, offset = self._describe(packet)
        if not arrivals:
            word += " lost"
        if self.recording:
            self.trace.entries.append(
                (now, SEGMENT, machine.name, end[0], end[1], word, offset, (payload, arrivals[0] if arrivals else now))
            )
        if arrivals and self._refused and self._refuse(machine, packet, False, arrivals[0]):
            return
        if take is not None:
            for arrival in arrivals:
                self.clock.post(arrival, take, packet)

    def _describe(self, packet: Any) -> tuple[str, int]:
        """What a packet is, in a word, and the offset of its first byte in its direction."""
        if packet.proto != TCP:
            return ("datagram" if packet.proto == UDP else "ICMP"), 0
        word = (_WORDS_WITH_DATA if packet.payload else _WORDS)[packet.flags]
        return word, max(0, packet.seq - FIRST_BYTE_SEQ)

    def _path(
        self, machine: Machine, packet: Any
    ) -> tuple[Direction | None, str, str, Callable[[Any], None] | None, bool, Callable[[Any], None] | None]:
        """Along what *packet* goes, the name of its connection, towards which end, who takes it in there, whether it is
        TCP's, and who takes in mere data on another host; kept with who sent it.
        """
        source, target, sender = packet.source, packet.target, packet.sender
        owner, direction = self._way(machine, target[0])
        place, end, _ = self._named(machine.name if direction is None else "", source, target)
        tcp = packet.proto == TCP
        take = None if owner is None or direction is None else owner.arrive_segment if tcp else owner.arrive
        path = (
            direction,
            place,
            end,
            take,
            tcp,
            owner.arrive_data if tcp and owner is not None and take is not None else None,
        )
        if owner is not None and isinstance(sender, TcpSocket):
            sender.way = path
            if direction is None and self.unseen:
                twin = machine.stack.connections.get((target, source))
                if isinstance(twin, TcpSocket) and twin is not sender:
                    sender.twin, twin.twin = twin, sender
            elif direction is not None and tcp and packet.flags & ACK:  # an answer: who is answered is there
                far = owner.stack.connections.get((target, source))
                if isinstance(far, TcpSocket):
                    sender.far, far.far = far, sender
        return path

    def _way(self, machine: Machine, address: str) -> tuple[Machine | None, Direction | None]:
        """Whose *address* is, seen from *machine*, and the direction of a link that leads there; none within a host."""
        known = machine.ways.get(address)
        if known is not None:
            return known
        owner = self.owner_of(address, machine)
        direction = None
        if owner is not machine:
            key = (machine.name, owner.name if owner is not None else "")
            direction = self.directions.get(key)
            if direction is None:
                direction = self.directions[key] = Direction(self.link(*key), *key, machine.seed)
        way = (owner, direction)
        if owner is not None:  # a host of that address may still be made
            machine.ways[address] = way
        return way

    def _refuse(self, machine: Machine, syn: Any, local: bool, arrival_ns: int) -> bool:
        """Answer *syn*, if the plan refuses its connection, with RST, as a host does on whose port nobody listens; or with what a
        router says that knows no way; or never.
        """
        if syn.proto != TCP or syn.flags & (SYN | ACK) != SYN:
            return False
        key = (machine.name if local else "", syn.source, syn.target)
        fault = self._refused.get(key)
        if fault is None:
            return False
        place, text = self._names[key]
        silent = isinstance(fault, ConnectTimeout)
        if not silent or fault.placed(place) not in self.injector.fired:  # it repeats its SYN
            self.injector.fire(fault, place, text, "", 1)
        if silent:
            self._notify(machine, Notice(syn.target, syn.source, syn, machine.stack))
            return True
        del self._refused[key]
        rst = Segment(syn.target, syn.source, RST | ACK, 0, syn.seq + 1, 0, b"", machine.stack)
        back = arrival_ns + (arrival_ns - self.clock.now_ns)
        if isinstance(fault, Unreachable):
            self.clock.post(back, machine.arrive, Icmp(EHOSTUNREACH, syn, machine.stack))
            return True
        self.trace.entries.append((self.clock.now_ns, SEGMENT, "", text, "client", "RST", 0, (b"", back)))
        self.clock.post(back, machine.arrive, rst)
        return True


@lru_cache(maxsize=1024)  # runs of one test name the same places again and again
def _place(source: str, target: str, port: int, number: int | None) -> tuple[Place, str]:
    """The *number*-th connection from *source* to *target*, a flow without one, a listener without a source; its text."""
    if not source:
        place = Place.listener(target, port)
    elif number is None:
        place = Place.flow(source, target, port)
    else:
        place = Place.connection(source, target, port, number)
    return place, str(place)


def _words(data: bool) -> list[str]:
    """What a segment is, in a word, by its flags."""
    words = []
    for flags in range(2 * FILLS):
        if flags & SYN:
            words.append("SYN ACK" if flags & ACK else "SYN")
            continue
        parts = ["data"] if data else []
        parts += [name for bit, name in ((URG, "URG"), (FIN, "FIN"), (RST, "RST")) if flags & bit]
        words.append(" ".join(parts) or "ACK")
    return words


_WORDS, _WORDS_WITH_DATA = _words(False), _words(True)
