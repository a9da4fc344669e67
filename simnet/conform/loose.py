"""What must not be compared: answers that depend on the size of a kernel's buffers or on when it acknowledges.

Such a step is left out, in both worlds. Which ones they are is decided on simnet, where both ends of a connection can be
examined; the kernel's run follows. Each rule here is a place where Linux itself answers one way today and another way
under load, or after an update.
"""

from __future__ import annotations

from typing import Any

from simnet.conform.bench import Bench
from simnet.conform.program import TIGHT, Step
from simnet.kernel.epoll import EPOLLET
from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from simnet.kernel.readiness import ERR, PRI, READABLE
from simnet.kernel.tcp.control import NARROW_ROOM

__all__ = ["Loose", "state_of"]

SENDING = frozenset({"send", "sendto", "sendmsg", "pass", "fill"})
READING = frozenset({"recv", "recv_into", "recvfrom", "recvmsg", "recvmsg_into", "take", "drain"})
ENDING = frozenset({"shutdown", "close", "linger"})
ASKING_POLLERS = frozenset({"wait", "select"})
CANNOT_SEND = frozenset({"CLOSED", "LISTEN", "SYN_SENT", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK", "TIME_WAIT"})
ACKNOWLEDGED = frozenset({"ESTABLISHED", "CLOSE_WAIT", "LISTEN"})
FIN_ON_ITS_WAY = frozenset({"FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK"})


class Loose:
    """One run's connections that are full, half drained or held back."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._full: dict[Any, Any] = {}  # ends that were filled, with the other end, until all of it was read
        self._stirred: list[Any] = []  # those of them of which something was read
        self._edges = False  # somebody watches for edges
        self._edges_lost = False  # and while a buffer was filled, who knows how many times there was room

    # --- before a step ---------------------------------------------------------------------------------------------

    def leaves_out(self, step: Step) -> bool:
        """Is the answer of *step*, or what it causes, a matter of buffers or timing?"""
        call = step.call
        file = self._file(step.on)
        if call == "ioctl" and (self._full or (step.args == ("SIOCOUTQ",) and self._unanswered(file))):
            # How much is unread or unsent where more waits; and sequence numbers outside a connection, or of one that
            # nobody acknowledges for, which SIOCOUTQ subtracts all the same.
            return True
        if call in ASKING_POLLERS and self._edge_to_come():
            return True
        if file is None:
            return False
        if call == "fill" and file.family != AF_UNIX and file.state not in CANNOT_SEND:
            peer = self._peer(file)
            if peer is None or peer.rcv_room != file.rcv_room or file.rcv_room == NARROW_ROOM:
                return True  # with uneven buffers the kernel counts what is on its way, and for how long
            if peer.unread and file.snd_room <= 4 * TIGHT:
                return True  # a few bytes in front take as much of a small buffer as a whole chunk does
        if call in READING and file in self._full.values() and file.state == "FIN_WAIT2" and file.shut == 3:
            return True  # what it makes room for is refused with a reset: how much it must read for that is counted in chunks
        if call in SENDING and any(file is each or file is self._peer(each) for each in self._stirred):
            return True  # between empty and full the kernel has room by the chunk
        if call in SENDING or call in ENDING or call in READING:
            # A segment that arrives lets go what MSG_MORE holds back, or not: it depends on the window it tells.
            return any(file is self._peer(each) for each in self._holding()) or (
                call in READING and any(file is each and self._peer_has_more(each) for each in self._holding())
            )
        return False

    def at_the_end(self) -> bool:
        """May the last look at everything be compared?"""
        return not self._stirred and not self._holding()

    # --- after a step ----------------------------------------------------------------------------------------------

    def note(self, step: Step, answer: str) -> None:
        """*step* was made, and answered so."""
        if step.call in ("register", "modify") and len(step.args) > 1 and step.args[1] & EPOLLET:
            self._edges = True
        if step.call == "fill" and answer == "full":
            file = self._file(step.on)
            self._full[file] = self._peer(file)
            self._edges_lost |= self._edges
        for file, peer in tuple(self._full.items()):
            # One that was closed goes on sending, and the other end keeps what it has, whatever becomes of this one.
            if peer is None or peer.refs == 0 or not (peer.unread or (file.unsent and file.state != "CLOSED")):
                del self._full[file]
                if file in self._stirred:
                    self._stirred.remove(file)
            elif file not in self._stirred and self._may_stir(step, file, peer):
                self._stirred.append(file)

    def _may_stir(self, step: Step, full: Any, peer: Any) -> bool:
        """Whatever comes from the other end may acknowledge, and so make room; and reading here makes it come."""
        on = self._file(step.on)
        if on is full:
            return step.call in READING
        return (on is peer or on is None) and (
            step.call in READING | SENDING | ENDING or step.call in ("setsockopt", "accept")
        )

    def ignored(self) -> dict[str, int]:
        """Bits of masks that are not compared now, by name."""
        bits = {}
        for name, thing in self._bench.opened():
            if not hasattr(thing, "_file") and self._edge_to_come():
                bits[name] = READABLE
        return bits

    # --- looking at both ends --------------------------------------------------------------------------------------

    def _edge_to_come(self) -> bool:
        """An acknowledged FIN is an edge for its sender, and when it is acknowledged is the peer's affair."""
        return self._edges_lost or (
            self._edges
            and any(getattr(thing._file(), "state", "") in FIN_ON_ITS_WAY for _, thing in self._bench.open_sockets())
        )

    def _unanswered(self, file: Any) -> bool:
        state = getattr(file, "state", "")
        return state not in ACKNOWLEDGED or (
            state != "LISTEN" and file.type == SOCK_STREAM and self._peer(file) is None
        )

    def _holding(self) -> list[Any]:
        """Connections that hold a partial segment back."""
        files = [thing._file() for _, thing in self._bench.open_sockets()]
        return [file for file in files if getattr(file, "cork", None) is not None and file.unsent]

    def _peer_has_more(self, file: Any) -> bool:
        peer = self._peer(file)
        return peer is None or bool(peer.unsent)

    def _peer(self, file: Any) -> Any:
        for _, thing in self._bench.open_sockets():
            other = thing._file()
            if other is not file and _are_peers(file, other):
                return other
        return None

    def _file(self, name: str) -> Any:
        thing = self._bench.things.get(name)
        if thing is None or not hasattr(thing, "_file") or thing.fileno() == -1:
            return None
        return thing._file()


def _are_peers(one: Any, other: Any) -> bool:
    if one.family == AF_UNIX or other.family == AF_UNIX:
        return getattr(one, "peer", None) is other
    return one.type == other.type and one.local is not None and (one.local, one.peer) == (other.peer, other.local)


def state_of(bench: Bench, name: str) -> str:
    """The state of a socket in words: ``ESTABLISHED+data+eof``."""
    thing = bench.things.get(name)
    if thing is None:
        return "-"
    if not hasattr(thing, "_file"):
        return "poller"
    if thing.fileno() == -1:
        return "closed descriptor"
    file = thing._file()
    kind = "unix" if file.family == AF_UNIX else "udp" if file.type == SOCK_DGRAM else ""
    marks = [part for part in (kind, str(getattr(file, "state", "") or "open")) if part]
    mask = file.mask()
    shut = getattr(file, "shut", 0)
    for mark, there in (
        ("data", bool(getattr(file, "unread", 0))),
        ("urgent", bool(mask & PRI)),
        ("eof", bool(getattr(file, "done", False))),
        ("shutrd", bool(shut & 1) and not getattr(file, "done", False)),
        ("shutwr", bool(shut & 2)),
        ("error", bool(mask & ERR)),
        ("full", bool(getattr(file, "unsent", 0))),
    ):
        if there:
            marks.append(mark)
    return "+".join(marks)
