"""Disruptive faults on connections and listeners: the outcome may differ under them, the invariants may not.

``end`` is ``"client"`` (the opener) or ``"server"`` (the acceptor): whose call it is or, for bytes, the end they travel to.
"""

from __future__ import annotations

import errno as _errno
from collections.abc import Mapping
from typing import ClassVar, Final

from simnet.faults.fault import Fault
from simnet.faults.fields import FaultError, lasts, meant
from simnet.faults.transparent import CONNECTION_CALLS

__all__ = [
    "BY_ICMP",
    "DATAGRAM_ERRNOS",
    "ERRNOS",
    "UNTRIED",
    "Blackhole",
    "ConnectTimeout",
    "Eof",
    "Error",
    "Refuse",
    "Reset",
    "ResetBeforeAccept",
    "Unreachable",
    "Urgent",
    "errnos",
]

# What each call can be made to say. EAGAIN is not among them: it comes after readiness and leaves a wake-up behind, which is `would-block`.
# accept: accept(2), "Error handling": errors pending on the new connection come from accept, EMFILE and its kin leave it in the queue (K-132).
ERRNOS: Final[Mapping[str, tuple[str, ...]]] = {
    "accept": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED"),
    "socket": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"),
    "recv": ("ENOBUFS", "ETIMEDOUT", "EHOSTUNREACH"),
    "send": ("ENOBUFS", "ETIMEDOUT", "EHOSTUNREACH"),
}

RUN_OUT: Final = ERRNOS["socket"]  # what a call says that finds no descriptor, or no memory: it may stay so for a while

_ELSEWHERE: Final[Mapping[str, str]] = {
    "EAGAIN": "use would-block",
    "EWOULDBLOCK": "use would-block",
    "ECONNRESET": "use reset, which the kernel turns into ECONNRESET and EPIPE in its own order",
    "EPIPE": "use reset, which the kernel turns into ECONNRESET and EPIPE in its own order",
    "ECONNREFUSED": "use refuse",
    "EINTR": "Python repeats the call by itself (PEP 475), so no program sees it",
}


_ELSEWHERE_THERE: Final = {name: _ELSEWHERE[name] for name in ("EAGAIN", "EWOULDBLOCK", "EINTR")}  # on datagrams

# What a Unix socket can be made to say of these: there is no network below it that could fail.
_UNIX_ERRNOS: Final[Mapping[str, tuple[str, ...]]] = {
    **ERRNOS,
    "accept": tuple(name for name in ERRNOS["accept"] if name != "ECONNABORTED"),
    "recv": ("ENOBUFS",),
    "send": ("ENOBUFS",),
}


# And on a socket for datagrams. recv: what ICMP says of an earlier send, as icmp_err_convert of Linux has it where it is fatal, a closed
# port and a filter that rejects (codes 3 and 13, measured); send: no route, no neighbour, a filter that drops (EPERM), a full queue, no memory, and longer than the
# way takes where no fragments may be made. The first of each is the simplest, and the one that every later call is tried with.
DATAGRAM_ERRNOS: Final[Mapping[str, tuple[str, ...]]] = {
    "recv": ("ECONNREFUSED", "EHOSTUNREACH"),
    "send": ("ENETUNREACH", "EPERM", "ENOBUFS", "EHOSTUNREACH", "ECONNREFUSED", "ENOMEM", "EMSGSIZE"),
}

# unix_dgram_sendmsg: nobody is there any more, or not even a file. Of what a read could say, a fault would be one of its peer's calls.
_UNIX_DATAGRAM_ERRNOS: Final[Mapping[str, tuple[str, ...]]] = {
    "recv": (),
    "send": ("ECONNREFUSED", "ENOENT", "ENOBUFS"),
}

UNTRIED: Final = (
    "ENOMEM",
    "EMSGSIZE",
)  # of these a sweep tries none: a machine without memory, a way that has become narrow
BY_ICMP: Final = "ECONNREFUSED"  # what a send says only to who hears what became of an earlier one


def errnos(op: str, *, unix: bool, datagrams: bool = False) -> tuple[str, ...]:
    """What *op* can be made to say on a Unix socket, or on another; on one for *datagrams*, or another."""
    if datagrams:
        return (_UNIX_DATAGRAM_ERRNOS if unix else DATAGRAM_ERRNOS)[op]
    return (_UNIX_ERRNOS if unix else ERRNOS)[op]


class Urgent(Fault, frozen=True, kw_only=True):
    """The peer sends an urgent (OOB) byte here. Unread, it turns close into RST, as on the kernel (K-071)."""

    kind: ClassVar[str] = "urgent"
    anchors: ClassVar[tuple[str, ...]] = ("byte",)
    parameters: ClassVar[tuple[str, ...]] = ("data",)

    end: str
    byte: int
    data: bytes = b"!"

    def _check(self) -> None:
        if len(self.data) != 1:
            raise self.wrong(
                "data", f"is {len(self.data)} bytes; one byte is urgent (K-090), more would be data that nobody sent"
            )

    def sentence(self) -> str:
        return f"the peer sent the urgent byte {self.data!r} just before {self.anchor}"


class Eof(Fault, frozen=True, kw_only=True):
    """As if the sending program had called ``shutdown(SHUT_WR)`` here: a zero-byte read, the rest is lost."""

    kind: ClassVar[str] = "eof"
    anchors: ClassVar[tuple[str, ...]] = ("byte",)

    end: str
    byte: int

    def sentence(self) -> str:
        return f"the input ended just before {self.anchor}, as if the peer had shut down its sending side; the rest was lost"


class Reset(Fault, frozen=True, kw_only=True):
    """RST to both ends, at a byte or just before or after a call: ECONNRESET and EPIPE in the kernel's order."""

    kind: ClassVar[str] = "reset"
    anchors: ClassVar[tuple[str, ...]] = ("byte", "call")
    ops: ClassVar[Mapping[str, str]] = {
        **CONNECTION_CALLS,
        **dict.fromkeys(("shutdown", "getpeername", "getsockname", "getsockopt", "setsockopt"), "connection"),
    }

    end: str
    byte: int | None = None
    op: str | None = None
    call: int | None = None
    when: str = "before"

    def _check(self) -> None:
        if self.byte is None and self.call is None:
            raise FaultError("reset: neither byte nor call is given; say byte=5, or op='recv', call=2", "byte")
        if self.byte is not None and self.call is not None:
            raise FaultError(f"reset: byte={self.byte} and call={self.call} are two places; give one of them", "call")
        if self.call is not None and self.op is None:
            raise FaultError(f"reset: call={self.call} of which op? Say op='recv'{meant('', self.ops)}", "op")
        if self.byte is not None and self.op is not None:
            raise FaultError(
                f"reset: op={self.op!r} goes with call, not with byte={self.byte}; give op and call, or byte alone",
                "op",
            )
        if self.byte is not None and self.when != "before":
            raise FaultError(
                f"reset: when={self.when!r} goes with a call; at a byte the reset always comes before it", "when"
            )

    def sentence(self) -> str:
        return f"the connection was reset just {self.when} {self.anchor}"


class Blackhole(Fault, frozen=True, kw_only=True):
    """From here on nothing arrives in this direction, acknowledgements included."""

    kind: ClassVar[str] = "blackhole"
    not_unix: ClassVar[str] = "between which nothing gets lost; what a peer keeps to itself is stall"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("byte",)

    end: str
    byte: int

    def sentence(self) -> str:
        return f"nothing arrived any more from {self.anchor} on, acknowledgements included"


class Refuse(Fault, frozen=True, kw_only=True):
    """Nothing listens there: ECONNREFUSED."""

    kind: ClassVar[str] = "refuse"
    anchors: ClassVar[tuple[str, ...]] = ("connect",)

    def sentence(self) -> str:
        return f"{self.anchor} was refused (ECONNREFUSED)"


class Unreachable(Fault, frozen=True, kw_only=True):
    """There is no route: EHOSTUNREACH."""

    kind: ClassVar[str] = "unreachable"
    not_unix: ClassVar[str] = "to which no way leads that could be missing; use refuse"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("connect",)

    def sentence(self) -> str:
        return f"{self.anchor} found no way to the host (EHOSTUNREACH)"


class ConnectTimeout(Fault, frozen=True, kw_only=True):
    """No SYN is ever answered: ETIMEDOUT, when the kernel has tried long enough."""

    kind: ClassVar[str] = "connect-timeout"
    not_unix: ClassVar[str] = "whose connect is answered at once; use refuse"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("connect",)

    def sentence(self) -> str:
        return f"{self.anchor} was never answered (ETIMEDOUT)"


class ResetBeforeAccept(Fault, frozen=True, kw_only=True):
    """The peer reset while in the backlog; accept still returns it, dead, as on the kernel."""

    kind: ClassVar[str] = "reset-before-accept"
    anchors: ClassVar[tuple[str, ...]] = ("accept",)
    ops: ClassVar[Mapping[str, str]] = {"accept": "listener"}

    call: int

    def sentence(self) -> str:
        what = "hung up" if self.place.unix else "reset its connection"
        return f"the peer {what} in the backlog, just before {self.anchor}"


class Error(Fault, frozen=True, kw_only=True):
    """The call fails with *errno* (by name); the socket is left as the kernel would leave it.

    With *seconds*, so does every later one for that long: what an accept or a ``socket()`` needs has run out.
    """

    kind: ClassVar[str] = "error"
    anchors: ClassVar[tuple[str, ...]] = ("call", "accept")
    ops: ClassVar[Mapping[str, str]] = {**CONNECTION_CALLS, "accept": "listener", "socket": "host"}
    at_datagrams: ClassVar[tuple[str, ...]] = ("recv", "send")
    parameters: ClassVar[tuple[str, ...]] = ("errno", "seconds")

    op: str
    call: int
    errno: str
    end: str | None = None
    seconds: float | None = None

    def _check(self) -> None:
        said = self.said if self.end is None else ERRNOS[self.op]
        if self.seconds is not None:
            if self.errno not in RUN_OUT or self.op not in ("accept", "socket"):
                raise self.wrong("seconds", f"is for what has run out, {', '.join(RUN_OUT)} of accept and socket")
            lasts(self.kind, self.seconds)
        if self.errno in said:
            if self.place.unix and (why := self.why_not_unix()):
                raise FaultError(f"error: on={self.on!r} names Unix sockets, {why}", "errno")
            return
        if self.errno in (_ELSEWHERE_THERE if self.on_datagrams else _ELSEWHERE):
            raise self.wrong("errno", f"is not an error of its own: {_ELSEWHERE[self.errno]}")
        if not hasattr(_errno, self.errno) or not self.errno.startswith("E"):
            raise self.wrong("errno", f"is no errno{meant(self.errno.upper(), said)}")
        there = f"says; it says {', '.join(said)}" if said else "says there: what goes wrong, its sender is told"
        raise self.wrong("errno", f"is nothing that {self.op} {there}")

    @property
    def said(self) -> tuple[str, ...]:
        """What the call can be made to say at such a place, by sockets of any family if it is a pattern."""
        if not self.on_datagrams:
            return ERRNOS[self.op]
        there = errnos(self.op, unix=self.place.unix, datagrams=True)
        more = errnos(self.op, unix=True, datagrams=True) if self.place.port == "*" else ()
        return tuple(dict.fromkeys((*there, *more)))

    def why_not_unix(self) -> str:
        said = errnos(self.op, unix=True, datagrams=self.on_datagrams)
        if self.errno in said:
            return ""
        instead = "reset-before-accept is a peer that is gone" if self.op == "accept" else f"it says {', '.join(said)}"
        return f"whose {self.op} never says {self.errno}: {instead}"

    @property
    def late(self) -> bool:
        return self.seconds is not None

    @property
    def code(self) -> int:
        """The errno as the kernel's number."""
        code = getattr(_errno, self.errno)
        assert isinstance(code, int)
        return code

    def sentence(self) -> str:
        if self.seconds is not None:
            return f"{self.anchor}, and each one for {self.seconds:g} s, failed with {self.errno}"
        if self.on_datagrams and self.op == "recv":
            return f"{self.anchor} failed with {self.errno}: an ICMP answer to what was sent before"
        return f"{self.anchor} failed with {self.errno}"
