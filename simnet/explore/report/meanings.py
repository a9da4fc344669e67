"""What the words of reports and summaries mean, and what to do about each: for the pages, and for ``simnet explain``.

The rules that are always checked have a room of their own, `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from simnet.invariants import WAITS_FOR_EVER

__all__ = ["BEYOND", "HAPPENS", "SUMMED_UP", "Beyond", "Happening"]


class Happening(NamedTuple):
    """A row of the verdict table."""

    who: str
    what: str
    remedy: str


class Beyond(NamedTuple):
    """An end of a run that the simulation itself makes."""

    what: str
    remedy: str


HAPPENS: Mapping[str, Happening] = {  # the rows of the table
    "target-raised": Happening(
        "target",
        "an exception ends its process, unless it is an errno that the fault made",
        "catch it at the line that the report names; `may_raise=(TheError,)` says what a program may end with under a "
        "disruptive fault",
    ),
    "handler-raised": Happening(
        "target",
        "an exception reaches `handle_error`, or the loop's exception handler",
        "catch it in the handler; where handlers raise on purpose, as an asyncore program may that sees a refused connect in "
        "`handle_error`, say `invariants={'handler-raised': 'off: why'}`",
    ),
    "broken": Happening("any", "an invariant or `net.always` is broken; NotModelled, Escape, Hang", "see its own name"),
    "support-raised": Happening(
        "support",
        "an exception ends its process",
        "under transparent faults nothing is lost: either the target answered wrongly, or the support takes one read for a message",
    ),
    "support-waits": Happening(
        "support",
        "waits for ever without a deadline",
        "see in the report whom it waits for; or give its socket a time-out",
    ),
    "body-raised": Happening(
        "body",
        "an exception leaves the test, AssertionError included",
        "under transparent faults nothing is lost: either the target answered wrongly, or the test takes one read for a message",
    ),
    "body-waits": Happening(
        "body",
        "waits for ever without a deadline",
        "see in the report whom it waits for; or give the test's socket a time-out",
    ),
    "outcome": Happening(
        "body",
        "its outcome differs from the baseline's",
        "either the target did something else, or the test returns or observes what a network may change: times, "
        "the order of clients, how many pieces came",
    ),
    WAITS_FOR_EVER: Happening(
        "target",
        "waits for ever without a deadline",
        "give it a time-out (`idle_timeout` of a `dispatch.Stream`); `invariants={'waits-for-ever': 'failure'}` turns the "
        "warning into a failure",
    ),
}

BEYOND: Mapping[str, Beyond] = {
    "Deadlock": Beyond(
        "the body waits without a deadline for what can no longer happen, or while for days there are but the same calls with the same bytes, such as "
        "those of a heart that beats",
        "the message says who waits for what, and where",
    ),
    "Hang": Beyond(
        "code that computes and never waits, 20,000 calls in a row without effect, or a network that keeps itself busy",
        'a read that gives `b""` is the end; let a loop wait',
    ),
    "Spin": Beyond(
        "the same readiness, again and again, and nobody does anything about it (`no-spin`)",
        "read it, close it, or stop asking for it",
    ),
    "Escape": Beyond(
        "a subprocess, a fork, a timer of processor time; what changes who runs the test (`os.setuid`, `os.nice`)",
        "spawn a process on a host; or `simnet.RealNetwork`",
    ),
    "NotModelled": Beyond("a call or option that the kernel model does not have", "the message names it"),
    "NotRepeatable": Beyond(
        "two runs of the test without faults differ, so no comparison would mean anything",
        "look for state that outlives a run (`per_process=['module:name']` makes it new each time), and for an order that "
        "depends on `id()`, as that of a set of your own objects does: a dict keeps them in order",
    ),
    "NothingToTest": Beyond(
        "no fault can act: no such host, no process on the target, no kind that fits",
        "spawn the program under test on the host that `target=` names, and talk to it",
    ),
    "abandoned": Beyond(
        "a process went on waiting when its network had ended, again and again, and was left where it was (a warning)",
        "let its `finally` code come to an end, and let no bare `except:` swallow it",
    ),
    "no-such-global": Beyond(
        "what `per_process=` names is nowhere: no module of that name was imported, or it has no such attribute (a warning)",
        "write it as `'module:name'`, or `'module:Class.name'`, by the name under which the module is imported",
    ),
    "no-such-host": Beyond(
        "one of several targets is no host of the test, or a link to one that is like another's name (a warning); in a sweep "
        "none of whose targets is a host, that is `NothingToTest`",
        "write the name as `net.host(...)` has it; the warning says which there are",
    ),
    "state-stays": Beyond(
        "what a failing run left behind changes the next one (a warning)",
        "`per_process=['module:name']` makes a global new in each run; files the test clears away when it begins",
    ),
    "thread-left": Beyond(
        "a thread that the test has begun waits for ever when the test has ended, also without faults (a warning)",
        "tell it to end, and join it; or make it a daemon, if nothing depends on its end",
    ),
}

SUMMED_UP: Mapping[str, Beyond] = {  # the words of summaries and tables
    "baseline": Beyond(
        "the run without faults, with which every other is compared",
        "`simnet show PATH::TEST` shows it, and where faults could act in it",
    ),
    "transparent": Beyond(
        "of a fault: a correct program may meet it at any time, and nothing is lost by it",
        "the outcome has to be the baseline's: what differs is a bug, of the program or of the test",
    ),
    "disruptive": Beyond(
        "of a fault: it breaks something, such as a connection",
        "the outcome may differ; what must not change even then is said by `net.always`, or by the kind in `survives=`",
    ),
    "equal": Beyond("of a run: its outcome is the baseline's, and nothing else is wrong", "nothing"),
    "noted": Beyond(
        "of a run: its outcome is another than the baseline's, under a disruptive fault; it passes (*with another outcome*)",
        "look whether it may be: `survives=('eof',)` makes a failure of it, and so does `net.always`",
    ),
    "interrupted": Beyond(
        "of a run: an exception left the test's body or ended a process of the support, or one of these waits for ever, under a "
        "disruptive fault; it passes",
        "nothing, where a client may fail like that; `strict=True` makes a failure of it, `net.always` says what must hold even then",
    ),
    "unreached": Beyond(
        "of a run: its fault never acted, so it says nothing",
        "in a scenario file: another place, call or byte; `simnet show PATH::TEST` lists those that there are",
    ),
    "exact": Beyond("of a replay: the very run that failed when the file was made, event for event", "mend the bug"),
    "fixed": Beyond(
        "of a replay: its fault acted, and the failure on record is not there", "keep the file, it plays on"
    ),
    "moved": Beyond(
        "of a replay: the failure on record is not there, but it is where the fault acts on another connection of the same flow, or at "
        "another call or byte, since the program or its test has changed; so it says nothing",
        "in the scenario file: `on`, `call` or `byte`, as the line that is printed has it",
    ),
    "fails without faults": Beyond(
        "of a replay: the test fails by itself now, so it says nothing of a fault",
        "mend the test, or the program, first",
    ),
    "akin": Beyond(
        "of two failures: the same input shows both when it is cut in different places",
        "perhaps it is one bug: mend the first, and look whether the other is still there",
    ),
    "target": Beyond(
        "the hosts under test, all with a spawned process unless `target=` names some: faults act on their calls",
        "name what you test: `target='server'`; all else is then support",
    ),
    "support": Beyond(
        "each process that is neither on a target nor the test's body: no fault acts on its calls",
        "nothing; `target=` puts its host under test",
    ),
}
