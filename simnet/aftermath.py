"""What is raised when a run is over, and what is noted on an exception of the test's own."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from errno import EHOSTUNREACH, ENETUNREACH
from itertools import pairwise
from socket import MSG_PEEK, gaierror
from typing import Protocol

from simnet.blame import exception_text, is_defect, user_place, without_simnet
from simnet.faults.disruptive import Refuse
from simnet.files.madebefore import made_before
from simnet.owned.eventloops import in_a_loop
from simnet.trace import CALL, PROCESS, SEGMENT, Event, Failed, Trace
from simnet.verdicts import HandlerError, Hang, Verdict, let_out

__all__ = ["Over", "explain", "let_go_of_frames", "raise_what_failed", "why_by_itself"]

OUT_OF_REACH = (EHOSTUNREACH, ENETUNREACH)
NOTES = 5  # of what else went wrong: the first ones are nearest to the cause


class Ended(Protocol):
    """A process, when all is over."""

    @property
    def name(self) -> str: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def answered(self) -> bool:
        """Whether ``Host.run`` has raised *error* where it was called; the test raised nothing, so it was handled there."""


class Played(Protocol):
    """A run, when all is over."""

    @property
    def listening(self) -> tuple[str, ...]: ...
    @property
    def trace(self) -> Trace: ...


class Over(Played, Protocol):
    """A network, when all is over."""

    @property
    def verdicts(self) -> list[Verdict]: ...
    @property
    def handler_errors(self) -> list[HandlerError]: ...
    @property
    def processes(self) -> Sequence[Ended]: ...
    @property
    def may_raise(self) -> tuple[type[BaseException], ...]: ...
    @property
    def happened(self) -> Iterable[object]: ...
    @property
    def linked(self) -> Iterable[tuple[str, str]]: ...


def let_go_of_frames(handled: Iterable[HandlerError], processes: Iterable[Ended]) -> None:
    """What exceptions hold that a run has kept for its report, and that would have gone with them long ago."""
    seen: set[int] = set()  # asked for membership only: a program may have put causes in a circle
    for error in (*(each.error for each in handled), *(each.error for each in processes)):
        link = error
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            traceback.clear_frames(link.__traceback__)
            link = link.__cause__ or link.__context__


def raise_what_failed(network: Over) -> None:
    """The test raised nothing: raise what failed beside it, or else warn, at the line that left the network, of what is a warning."""
    __tracebackhide__ = True
    for verdict in network.verdicts:
        if verdict.level == "failure" and verdict.error is not None:
            if not is_defect(verdict.error) and not user_place(verdict.error).path:
                # It has no frames but simnet's: a function of the library's was spawned, as os.system.
                verdict.error.__traceback__ = None
            raise let_out(verdict.error)
    for process in network.processes:
        if process.error is not None and not process.answered and not isinstance(process.error, network.may_raise):
            process.error.add_note(
                f"it ended the process {process.name} under the plan: {network.happened or 'no faults'}"
            )
            if not network.happened and (why := why_reset(process.error, network)):
                process.error.add_note(why)
            raise let_out(process.error)
    for verdict in network.verdicts:
        if verdict.level == "failure":
            raise AssertionError(f"{verdict} (plan: {network.happened or 'no faults'})")
    for verdict in network.verdicts:
        warnings.warn(str(verdict), RuntimeWarning, stacklevel=3)


def explain(error: BaseException, network: Over) -> None:
    """The test raised *error*. Note on it what else went wrong, which may be why, and leave the user's frames alone."""
    if isinstance(error, Hang) and not error.args:  # the watchdog can throw no more than a class
        error.args = next((each.error.args for each in network.verdicts if isinstance(each.error, Hang)), ())
    if not is_defect(error):
        error.__traceback__ = without_simnet(error.__traceback__)
    for _, note in zip(range(NOTES), _notes(error, network), strict=False):
        error.add_note(note)
    let_out(error)


def _notes(error: BaseException, network: Over) -> Iterator[str]:
    ended = [(each.name, its) for each in network.processes if (its := each.error) is not None and its is not error]
    told: list[BaseException | None] = [error, *(its for _, its in ended)]
    told += [each.error for each in network.verdicts if isinstance(error, Hang) and str(each.error) == str(error)]
    if isinstance(error, RuntimeError) and str(error) == "no running event loop" and in_a_loop():
        yield "the loop in which the network was entered stands still until it is left: use asyncio.run() inside, in plain code"
    if any(isinstance(fault, Refuse) for fault in network.happened):
        why = made_before(error)
    else:
        why = why_by_itself(error, network, resets=False)  # who closed too early may have ended by what is noted below
    if why and not any(why in note for note in getattr(error, "__notes__", ())):
        yield why
    for verdict in network.verdicts:
        if verdict.level == "failure" and not any(verdict.error is each for each in told):
            told.append(verdict.error)
            yield str(verdict)
    for handled in network.handler_errors:
        if not any(handled.error is each for each in told):
            yield f"{handled.handler} of {handled.channel} on {handled.host} had failed with {_words(handled.error)}"
    for name, its in ended:
        yield f"the process {name} had ended with {_words(its)}{f': {why}' if (why := made_before(its)) else ''}"
    if isinstance(error, AssertionError):
        acted = dict.fromkeys(event.host for event in network.trace if event.host)
        for ends in network.linked:
            for host in ends if acted else ():
                if host not in acted:
                    told_who = " and ".join(acted)
                    yield f"there is a link between {ends[0]} and {ends[1]}, but {host} did nothing; {told_who} did: is it named right?"


def why_by_itself(error: BaseException, over: Played, *, resets: bool = True) -> str:
    """What the network knows of *error*, which came without a fault, or of one that it was raised for; empty: nothing."""
    told: BaseException | None = error
    while told is not None:
        why = (
            why_refused(told, over)
            or _why_unheard(told, over)
            or (why_reset(told, over) if resets else "")
            or made_before(told)
        )
        if not why and isinstance(told, gaierror):
            why = next(iter(getattr(told, "__notes__", ())), "").strip().partition("\n")[0]
        if why:
            return why
        told = told.__cause__ or told.__context__
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
    return ""


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
    calls = list(over.trace.of(CALL))
    said = "ECONNREFUSED" if isinstance(error, ConnectionRefusedError) else "ENOENT"  # no socket of that path
    asked = [number for number, each in enumerate(calls) if each.op == "connect" and str(each.result) == said]
    if not asked and said == "ENOENT":
        return ""
    client, _, place = calls[asked[-1]].place.partition("#")[0].partition("->") if asked else ("", "", "")
    host, _, port = place.rpartition(":")
    since = calls[asked[-1] :] if asked else []
    if late := next((each for each in since if each.op == "listen" and each.place == place), None):
        return (
            f"{client} asked at {since[0].time_ns / 1e9:g} s, and {place} listened from {late.time_ns / 1e9:g} s on: "
            f"net.host({host!r}).wait_listening({port if port.isdecimal() else repr(port)}) waits for it"
        )
    if (again := _came_up_again(over, place)) is not None:
        return (
            f"{place} listened until {host} lost its power; it came up again at {again / 1e9:g} s, without its programs: spawn them once "
            f"more after net.host({host!r}).restart()"
        )
    made = [each.host for each in calls if each.op == "listen" and each.place == f"{each.host}:{port}"]
    if made and host and host not in made:
        if not port.isdecimal():
            return (
                f"{client} asked its own host, and {made[-1]}:{port} listened: Unix sockets connect within a host, so do it in a "
                f"process on {made[-1]}"
            )
        if client == host:
            return (
                f"{client} asked its own host, as localhost and 127.0.0.1 are; {made[-1]}:{port} listened: connect to "
                f"({made[-1]!r}, {port})"
            )
        return (
            f"{made[-1]}:{port} listened, and not {host}:{port}: a socket is of the host whose process makes it. Make it in the "
            f"function that is spawned on {host}"
        )
    bound = [each.arguments[0] for each in calls if each.op == "bind" and each.host == host and each.arguments]
    if host in made and client != host and any(_within(address, port) for address in bound):
        return (
            f"{host}:{port} listened on 127.0.0.1, which {host} alone reaches: bind it to '', each address of its host"
        )
    by_ipv6 = {":" in address[0] for address in bound if isinstance(address, tuple) and address[1:2] == (int(port),)}
    if since and f"{host}:{port}" in over.listening and len(by_ipv6) == 1:
        heard, spoken = ("IPv6", "IPv4") if by_ipv6 == {True} else ("IPv4", "IPv6")
        if (":" in since[0].arguments[0][0]) != (heard == "IPv6"):
            return f"{host}:{port} listened for {heard} alone, and {client} asked by {spoken}: one of the two takes the other's family"
    listened = dict.fromkeys(over.listening)  # for IPv4 and for IPv6, as asyncio's servers do, is one port
    return f"nobody listened there; the programs under test listened on {', '.join(listened) or 'no port'}"


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


def _came_up_again(over: Played, place: str) -> int | None:
    """When the host of *place* did, in nanoseconds, if somebody had listened there, and nobody has since."""
    host, at, listened = place.rpartition(":")[0], None, False
    for each in over.trace:
        if each.kind == CALL:
            if each.op == "listen" and each.place == place:
                listened, at = True, None
        elif each.kind == PROCESS and each.op == "restart" and each.place == host and listened:
            at = each.time_ns
    return at


def _within(address: object, port: str) -> bool:
    """Whether *address* is one that its own host alone reaches."""
    return isinstance(address, tuple) and address[1:2] == (int(port),) and str(address[0]).startswith(("127.", "::1"))


def _words(error: BaseException) -> str:
    what, place = exception_text(error), user_place(error).short
    return f"{what} (at {place})" if place and place not in what else what
