"""Why a call failed though no fault made it fail: what the network knows of it, and the user may not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from errno import EHOSTUNREACH, ENETUNREACH
from itertools import islice, pairwise
from socket import MSG_PEEK, gaierror
from typing import Any, Protocol

from simnet.files.madebefore import made_before
from simnet.trace import CALL, PROCESS, SEGMENT, Event, Failed, Trace

__all__ = ["Played", "why_by_itself", "why_reset", "with_causes"]

OUT_OF_REACH = (EHOSTUNREACH, ENETUNREACH)
WAITS_SHOWN = 3


class Played(Protocol):
    """A run, when all is over."""

    @property
    def listening(self) -> tuple[str, ...]: ...
    @property
    def trace(self) -> Trace: ...
    @property
    def waiting(self) -> Iterable[Any]: ...


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """*error*, and what led to it, the nearest first; each once, for a program may have put them in a circle."""
    known: set[int] = set()  # asked for membership only
    while error is not None and id(error) not in known:
        known.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def why_by_itself(error: BaseException, over: Played, *, resets: bool = True) -> str:
    """What the network knows of *error*, which came without a fault, or of one that it was raised for; empty: nothing."""
    for told in with_causes(error):
        why = (
            why_refused(told, over)
            or _why_unheard(told, over)
            or (why_reset(told, over) if resets else "")
            or made_before(told)
        )
        if not why and isinstance(told, gaierror):
            why = next(iter(getattr(told, "__notes__", ())), "").strip().partition("\n")[0]
            late = (host for host in {event.host: "" for event in over.trace} if why.startswith(f"{host!r} is no host"))
            why += "".join(
                f"; {host} was made later: call net.host({host!r}) before who asks for it is spawned" for host in late
            )
        if why:
            return why
    return ""


def why_reset(error: BaseException, over: Played) -> str:
    """Who closed too early, where *error* says that the connection was reset: of a run in which no fault did it."""
    if not isinstance(error, ConnectionResetError | BrokenPipeError):
        return ""
    events = list(over.trace)
    said = ("ECONNRESET", "EPIPE")
    heard = next((each.place for each in reversed(events) if each.kind == CALL and str(each.result) in said), "")
    for close, segment in pairwise(events):
        if (segment.op, close.op, segment.place) == ("RST", "close", heard) and close[2:4] == segment[2:4]:
            unread = _unread(events, close)
            if unread > 0:
                return (
                    f"{close.host} closed {close.place} with {unread:,} byte{'s' * (unread > 1)} unread that had come, and that is "
                    f"a reset: read to the end first, or have the {segment.end} go on after one"
                )
    return _closed_before(events, heard)


def _closed_before(events: list[Event], heard: str) -> str:
    """Whose socket had been closed when more came there, which its kernel answered with RST."""
    reset = next((each for each in events if each.op == "RST" and each.place == heard), None)
    calls = [each for each in events if reset is not None and each[2:4] == reset[2:4] and each.kind == CALL]
    if reset is None or not calls or calls[-1].op != "close" or calls[-1].time_ns > reset.time_ns:
        return ""
    close = calls[-1]
    late = sum(
        len(each.detail[0])
        for each in events
        if each.kind == SEGMENT and (each.place, each.end) == (close.place, close.end)
        if close.time_ns < each.detail[1] <= reset.time_ns
    )
    if not late:
        return ""
    return (
        f"{close.host} had closed {close.place} when {late:,} byte{'s' * (late > 1)} more came, and that is a reset: what the "
        f"{reset.end} has not read yet is lost. Read to the end before the close, behind shutdown(SHUT_WR) if need be"
    )


def _unread(events: Iterable[Event], close: Event) -> int:
    """How many bytes had come to the socket of *close*, and were not read."""
    came = read = 0
    for each in events:
        if each is close:
            break
        if (each.place, each.end) != (close.place, close.end):
            continue
        if each.kind == SEGMENT:
            payload, arrival_ns = each.detail
            came += len(payload) if arrival_ns <= close.time_ns else 0
        elif each.kind == CALL and each.op == "recv" and not (each.arguments[1:] and each.arguments[1] & MSG_PEEK):
            read += (
                each.result
                if isinstance(each.result, int)
                else len(each.result)
                if isinstance(each.result, bytes)
                else 0
            )
    return came - read


def why_refused(error: BaseException, over: Played) -> str:
    """Who listened, where *error* says that nobody did: of a run in which a connect was refused without a fault."""
    if not isinstance(error, ConnectionRefusedError | FileNotFoundError) or error.filename is not None:
        return ""
    said = "ECONNREFUSED" if isinstance(error, ConnectionRefusedError) else "ENOENT"  # no socket of that path
    calls = list(over.trace.of(CALL))
    refused = [number for number, each in enumerate(calls) if each.op == "connect" and str(each.result) == said]
    if refused:
        asked = _Asked(calls, refused[-1], over)
        for why in (
            asked.too_early,
            asked.after_a_restart,
            asked.another_host,
            asked.loopback_alone,
            asked.another_family,
        ):
            if told := why():
                return told
    elif said == "ENOENT" or (over.trace.recording and not any(str(each.result) == said for each in calls)):
        return ""  # no call of the run has said so: a mock, or the program itself
    listened = dict.fromkeys(over.listening)  # for IPv4 and for IPv6, as asyncio's servers do, is one port
    waits = [] if listened else list(islice(_waits(over), WAITS_SHOWN))
    found = ", ".join(listened) or "no port" + (f": {'; '.join(waits)}" if waits else "")
    return f"nobody listened there; the programs under test listened on {found}"


def _waits(over: Played) -> Iterator[str]:
    """What those under test wait for, in words; a network keeps it together with the process."""
    for each in over.waiting:
        process, told = (each[0], each[1]) if isinstance(each, tuple) else (each, each.what)
        if process.target:
            yield told


class _Asked:
    """A connect that was refused, and one question a method: was it for this reason? Empty: it was not."""

    def __init__(self, calls: list[Event], number: int, over: Played) -> None:
        self._over = over
        self._since = calls[number:]  # the connect first
        self._client, _, self._place = calls[number].place.partition("#")[0].partition("->")
        self._host, _, self._port = self._place.rpartition(":")  # or the path of a Unix socket
        self._listens = [each for each in calls if each.op == "listen"]
        self._bound = [
            each.arguments[0] for each in calls if each.op == "bind" and each.host == self._host and each.arguments
        ]

    def too_early(self) -> str:
        late = next((each for each in self._since if each.op == "listen" and each.place == self._place), None)
        if late is None:
            return ""
        port = self._port if self._port.isdecimal() else repr(self._port)
        return (
            f"{self._client} asked at {self._since[0].time_ns / 1e9:g} s, and {self._place} listened from "
            f"{late.time_ns / 1e9:g} s on: net.host({self._host!r}).wait_listening({port}) waits for it"
        )

    def after_a_restart(self) -> str:
        again_ns, listened = None, False
        for each in self._over.trace:
            if each.kind == CALL and each.op == "listen" and each.place == self._place:
                listened, again_ns = True, None
            elif each.kind == PROCESS and each.op == "restart" and each.place == self._host and listened:
                again_ns = each.time_ns
        if again_ns is None:
            return ""
        return (
            f"{self._place} listened until {self._host} lost its power; it came up again at {again_ns / 1e9:g} s, without its "
            f"programs: spawn them once more after net.host({self._host!r}).restart()"
        )

    def another_host(self) -> str:
        others = [each.host for each in self._listens if each.place == f"{each.host}:{self._port}"]
        if not others or not self._host or self._host in others:
            return ""
        other = others[-1]
        if not self._port.isdecimal():
            return (
                f"{self._client} asked its own host, and {other}:{self._port} listened: Unix sockets connect within a host, so do "
                f"it in a process on {other}"
            )
        if self._client == self._host:
            return (
                f"{self._client} asked its own host, as localhost and 127.0.0.1 are; {other}:{self._port} listened: connect to "
                f"({other!r}, {self._port})"
            )
        return (
            f"{other}:{self._port} listened, and not {self._place}: a socket is of the host whose process makes it. Make it in "
            f"the function that is spawned on {self._host}"
        )

    def loopback_alone(self) -> str:
        if self._client == self._host or not any(each.place == self._place for each in self._listens):
            return ""
        if not any(host.startswith(("127.", "::1")) for host in self._hosts_bound()):
            return ""
        return f"{self._place} listened on 127.0.0.1, which {self._host} alone reaches: bind it to '', each address of its host"

    def another_family(self) -> str:
        by_ipv6 = {":" in host for host in self._hosts_bound()}
        if self._place not in self._over.listening or len(by_ipv6) != 1:
            return ""
        heard, spoken = ("IPv6", "IPv4") if by_ipv6 == {True} else ("IPv4", "IPv6")
        if (":" in self._since[0].arguments[0][0]) == (heard == "IPv6"):
            return ""
        return (
            f"{self._place} listened for {heard} alone, and {self._client} asked by {spoken}: one of the two takes the other's "
            f"family"
        )

    def _hosts_bound(self) -> list[str]:
        """To which of its own addresses the host that was asked had bound the port."""
        return [
            str(each[0]) for each in self._bound if isinstance(each, tuple) and each[1:] and str(each[1]) == self._port
        ]


def _why_unheard(error: BaseException, over: Played) -> str:
    """Whom the last connect asked, where *error* says that no answer came: an address that no host has is told as it is."""
    if not isinstance(error, OSError) or not (isinstance(error, TimeoutError) or error.errno in OUT_OF_REACH):
        return ""
    later: list[Event] = []  # the calls after the last connect
    last: Event | None = None
    for each in over.trace.of(CALL):
        later.append(each)
        if each.op == "connect":
            last = each
            later.clear()
    if last is None or last.result is None or not last.arguments or not isinstance(last.arguments[0], tuple):
        return ""
    host = last.arguments[0][0]
    if last.place.partition("#")[0].partition("->")[2].rpartition(":")[0] != host:
        return ""
    if any(isinstance(each.result, Failed) and each.host == last.host and each.place != last.place for each in later):
        return ""  # it has lived with that, and went on to something else
    return f"no host of this network has the address {host}, and the world outside is out of reach: connect to the name of a host"
