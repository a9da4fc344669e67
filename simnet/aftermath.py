"""What is raised when a run is over, and what is noted on an exception of the test's own."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from simnet.blame import exception_text, is_defect, note, user_place, without_simnet, write_on
from simnet.causes import Played, why_by_itself, why_reset
from simnet.faults.disruptive import Refuse
from simnet.faults.plan import FaultPlan
from simnet.files.madebefore import made_before
from simnet.owned.eventloops import in_a_loop
from simnet.owned.state import nowhere
from simnet.verdicts import HandlerError, Hang, Verdict, let_out, told_at

__all__ = ["Over", "explain", "let_go_of_frames", "raise_what_failed"]

NOTES = 5  # of what else went wrong: the first ones are nearest to the cause
FAULTS = 10  # that are told in one line: a hundred that chance drew nobody types again


class Ended(Protocol):
    """A process, when all is over."""

    @property
    def name(self) -> str: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def answered(self) -> bool:
        """Whether ``Host.run`` has raised *error* where it was called; the test raised nothing, so it was handled there."""


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
    def plan(self) -> FaultPlan: ...
    @property
    def happened(self) -> FaultPlan: ...
    @property
    def _per_process(self) -> tuple[str, ...]: ...
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
                write_on(verdict.error, "__traceback__", None)
            raise let_out(verdict.error)
    for process in network.processes:
        if process.error is not None and not process.answered and not isinstance(process.error, network.may_raise):
            note(
                process.error, f"it ended the process {process.name} under the plan: {network.happened or 'no faults'}"
            )
            if not network.happened and (why := why_reset(process.error, network)):
                note(process.error, why)
            raise let_out(process.error)
    for verdict in network.verdicts:
        if verdict.level == "failure":
            raise AssertionError(f"{verdict} (plan: {network.happened or 'no faults'})")
    for text in (*map(str, network.verdicts), *nowhere(network._per_process)):
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def explain(error: BaseException, network: Over) -> None:
    """The test raised *error*. Note on it what else went wrong, which may be why, and leave the user's frames alone."""
    if isinstance(error, Hang) and not error.args:  # the watchdog can throw no more than a class
        said = next((each.error for each in network.verdicts if isinstance(each.error, Hang)), error)
        error.args, error.__traceback__ = said.args, told_at(error.__traceback__, said)
    if not is_defect(error):
        write_on(error, "__traceback__", without_simnet(error.__traceback__))
    for _, told in zip(range(NOTES), _notes(error, network), strict=False):
        note(error, told)
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
    notes = getattr(error, "__notes__", ())
    if why and not any(why in each for each in notes):
        said = next((each for each in notes if why.startswith(f"{each}; ")), "")
        yield why.removeprefix(f"{said}; ")
    # Drawn by chance, at a place with a star, or not all of them.
    if network.happened and network.happened != network.plan:
        yield f"the faults that acted: {_in_a_line(network.happened)}"
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


def _in_a_line(acted: FaultPlan) -> str:
    if len(acted.faults) <= FAULTS:
        return str(acted)
    last = FaultPlan(acted.faults[-FAULTS:], schedule=acted.schedule, seed=acted.seed)
    return f"{len(acted.faults):,}, which net.happened has; the last {FAULTS} were {last}"


def _words(error: BaseException) -> str:
    what, place = exception_text(error), user_place(error).short
    return f"{what} (at {place})" if place and place not in what else what
