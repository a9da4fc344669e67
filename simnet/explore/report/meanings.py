"""What the words in a report's brackets mean, and what to do about each: for the pages, and for ``simnet explain``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from simnet.invariants import (
    ANSWERED_AGAIN,
    ANSWERS_TOLD_APART,
    BROKEN_GIVEN_UP,
    CONNECTED_ANEW,
    CUT_SHORT,
    DATAGRAMS_TOLD_APART,
    HALF_READ,
    LATE_END,
    NO_STORM,
    OTHERS_ANSWERED,
    OTHERS_SURVIVE,
    REFUSED_ALIKE,
    SAID_ONCE,
    SERVED_ANYWAY,
    WAITS_FOR_EVER,
)

__all__ = ["BEYOND", "HAPPENS", "INVARIANTS", "SUMMED_UP", "Beyond", "Happening", "Invariant"]


class Happening(NamedTuple):
    """A row of the verdict table."""

    who: str
    what: str
    remedy: str


class Invariant(NamedTuple):
    """Something that is always checked."""

    says: str
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

INVARIANTS: Mapping[str, Invariant] = {
    "no-spin": Invariant(
        "no busy loop: 200 polls in a row that report readiness nobody does anything about, or thousands that may "
        "not wait and find nothing, or reads of a stream that has ended, or a thousand attempts to connect without a pause that fail or are hung up on at once",
        'read it, close it, or stop asking for it; a read that gives `b""` is the end; pause between two attempts; where a loop is '
        "to poll without a pause, as a game's does, say `invariants={'no-spin': 'off: why'}`: then it goes on, and time passes",
    ),
    NO_STORM: Invariant(
        "a target that is told the same again and again, such as that there is nothing yet, does not ask a thousand times without a pause, where it does not without the "
        "fault (a warning, unless it is set to `failure`)",
        "pause before the next question, longer each time, and give up in the end; let the server keep who asks waiting, and clear away in a `finally` what a "
        "connection has begun; where that is meant, say `invariants={'no-storm': 'off: why'}`",
    ),
    "listener-survives": Invariant(
        "whatever happens to one connection, the listener goes on listening",
        "let an error of `accept`, or of what is made of a connection, end that connection alone; `dispatch.Listener` does",
    ),
    "loop-survives": Invariant(
        "a process that would go on without the fault goes on with it, but for a client that returns when the one connection that it has is over",
        "catch in the loop what one connection raises",
    ),
    OTHERS_SURVIVE: Invariant(
        "whatever happens to one connection, a target does not hang up on another of the same listener",
        "let an error of a connection end that one alone: catch it where a message is written to each of many; where some belong "
        "together, as two players of a game, say `invariants={'others-survive': 'off: why'}`",
    ),
    OTHERS_ANSWERED: Invariant(
        "a fault on one connection does not leave a client on another one waiting for an answer that it gets without the fault; nor does one "
        "that is slow keep another one, of whose question nothing has been read, waiting for half a minute (a warning, unless it is set to `failure`)",
        "when one side of a proxy ends, close the other; release what a client holds, such as a lock, in a `finally`; read, or shake hands, "
        "where each connection has its own thread or task, or with a time-out; if an answer may be lost with another connection, say `invariants={'others-answered': 'off: why'}`",
    ),
    ANSWERS_TOLD_APART: Invariant(
        "an answer that comes after the time-out of who waited for it is not taken for that to the next question, nor are all refused that follow, where a client goes on "
        "asking on the same connection and returns its answers in their order (a warning, unless it is set to `failure`)",
        "close the connection after a time-out, or give each question a number that its answer repeats; where a test returns something else, "
        "say `invariants={'answers-told-apart': 'off: why'}`",
    ),
    ANSWERED_AGAIN: Invariant(
        "when what came late has long come, and a connection is whole, a target that goes on asking there is answered again, nor does one that keeps it "
        "ask nothing there any more while its time is up again and again; and the outcome is another (a warning, unless it is set to `failure`)",
        "when an answer comes for which nobody waits any more, do all the same what belongs to it, such as to give room back to who sends, or to take "
        "the connection back into the pool; or close it after a time-out; where that is meant, say `invariants={'answered-again': 'off: why'}`",
    ),
    DATAGRAMS_TOLD_APART: Invariant(
        "a datagram that comes twice, or is overtaken by another, does not change the outcome, if the test's own host neither sends nor "
        "receives it, nor does a target answer the same bytes otherwise when they are sent again since one was lost (a warning, unless it is set to "
        "`failure`; a failure for the kinds in `survives=`)",
        "look which question an answer is to, which message was there before, and what was answered to it; where an outcome may depend on that, say "
        "`invariants={'datagrams-told-apart': 'off: why'}`",
    ),
    BROKEN_GIVEN_UP: Invariant(
        "a connection of which a target has been told that it is broken, or has ended, is given up: it does not go on asking there, to be told so "
        "again and again, nor on a socket that it has closed itself, while the outcome is another; nor is a channel of `dispatch`, or a transport of asyncio, written to again and again, long after it "
        "has closed (a warning, unless it is set to `failure`)",
        'close it when `send` or `recv` raises, or `recv` gives `b""`, and connect anew for what is to be said next; let go of a channel in '
        "`handle_close`, of a transport in `connection_lost` or where a read ends; where that is somebody else's "
        "to do, say `invariants={'broken-given-up': 'off: why'}`",
    ),
    CONNECTED_ANEW: Invariant(
        "a target that connects anew, in place of a connection that broke, says there again what it had said to be told things (a subscription, a "
        "channel that it joins), and reads what comes, while the outcome is another (a warning, unless it is set to `failure`)",
        "do in one place, on each connection, what has to be done when there is one; where the server remembers, say "
        "`invariants={'connected-anew': 'off: why'}`",
    ),
    SAID_ONCE: Invariant(
        "what a server has heard on a connection that was used before, and has answered, is not said again on another one since that one ended, "
        "while the outcome is another (a warning, unless it is set to `failure`)",
        "ask again only for what may be done twice, or give each question a number by which the server knows it again; where that is meant, say "
        "`invariants={'said-once': 'off: why'}`",
    ),
    LATE_END: Invariant(
        "when a connection ends that a target has given up and left open, it does not hang up on the one that it has made in its place, which is whole "
        "and where it waits for an answer (a warning, unless it is set to `failure`)",
        "close the old one before you connect anew; where one has ended, look whether it is the one that is in use; where that is meant, say "
        "`invariants={'late-end': 'off: why'}`",
    ),
    HALF_READ: Invariant(
        "a target whose time is up in the midst of a message, and that goes on reading, does not take the rest for the next one, where the "
        "outcome is another, and is the same when all of that message is as late (a warning, unless it is set to `failure`)",
        "keep what has come until all is there, in an attribute or a buffer of the connection's; in asyncio, wait for one `readexactly` or `readline` at a "
        "time, which lose nothing when they are cancelled; or close the connection; where that is meant, say `invariants={'half-read': 'off: why'}`",
    ),
    CUT_SHORT: Invariant(
        "a target does not take the beginning of a message for all of it when the input ends in its midst, where it never reads that end without the "
        "fault; it is looked for in what the test, or a process of the target, returns (a warning, unless it is set to `failure`)",
        "look whether all has come, by its length or by the mark at its end, and raise if not: `readline` gives half a line at the end, and once it "
        "is stripped nobody can tell; where half of it is as good, say `invariants={'cut-short': 'off: why'}`",
    ),
    SERVED_ANYWAY: Invariant(
        "whoever came before, and vanished, or stays and says nothing, a client is served as it is without them; where the server sends away, or keeps "
        "waiting, a client behind as many who did all that it does, nothing is said (a warning, unless it is set to `failure`)",
        "give back in a `finally` what a connection holds, such as a place in a pool; read, or shake hands, where each connection has its own thread or "
        "task, or with a time-out; where that is meant, say `invariants={'served-anyway': 'off: why'}`",
    ),
    REFUSED_ALIKE: Invariant(
        "a target that goes on, with the same outcome, when a connection is refused does not end with an error when its host is unreachable, nor, if it "
        "goes on with another server, when nobody answers there (a warning, unless it is set to `failure`)",
        "catch `OSError` where it connects: a time-out and `No route to host` are no `ConnectionError`; where that is meant, say "
        "`invariants={'refused-alike': 'off: why'}`",
    ),
    "one-close": Invariant("each channel is closed once, and its `handle_close` is called once", "close in one place"),
    "silence-after-close": Invariant(
        "no handler of a channel is called after its close", "return from the handler that has closed it"
    ),
    "nothing-left": Invariant(
        "when the network is quiet, no target holds a socket whose peer is gone",
        "close it when `recv` gives `b\"\"` or an error; a pool that keeps them says `invariants={'nothing-left': 'off: why'}`",
    ),
    "handler-raised": Invariant("no exception leaves a handler of a target", "catch it in the handler"),
    "always": Invariant("what `net.always` states", "it is in your own words: the report has the line"),
    "blocks-the-loop": Invariant(
        "no `time.sleep`, and no call of a blocking socket, nor for the result of a thread, that has to wait, in a coroutine or callback of asyncio, or in a handler of "
        "`dispatch` or asyncore: its loop stands still meanwhile (a warning, unless it is set to `failure`)",
        "`await asyncio.sleep(...)`, streams, `await asyncio.to_thread(...)`; a timer, or a channel of the loop's own",
    ),
    "bounded-buffers": Invariant(
        "what waits for a peer that does not read stays bounded: nobody goes on writing, in sixteen turns and more, to a transport of asyncio, "
        "a `dispatch.Stream`, or a channel of asyncore's with a buffer, that is over its high-water mark (asyncore's have none: 65,536 bytes), "
        "until it has grown by four times as much",
        "`await writer.drain()`, `pause_writing`; stop at `handle_full`, go on at `handle_drained`; look at `out_buffer` or `producer_fifo` "
        "before the next push",
    ),
    WAITS_FOR_EVER: Invariant(
        "no target waits for ever without a deadline, when it would not without the fault, nor a task of its asyncio loop (a warning under "
        "disruptive faults, unless it is set to `failure`; a failure if it is a task and no connection is left that could wake it, but for where it waits, "
        "without the fault, until a signal comes, or until a client ends a server that is still listening, of which, once it has no client any more, "
        "it tells only if you set it; a failure, too, if it waits for a lock that a thread held when it ended, and nobody on its host waits for a peer), nor only sleeps, again and again, while the test waits for its end; a "
        "`Network` of your own, which has no run without faults beside it, looks only if you set it, and passes over a server that waits for its next client",
        "give it a time-out; when a connection is lost, set an exception on the futures that wait for it",
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
