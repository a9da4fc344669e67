"""What is always checked: each rule with a mistake that breaks it, when it is told, and what to do about it.

For the pages, and for ``simnet explain``. Which of them are failures and which are warnings, where a test says nothing, is said in
`simnet.invariants`.
"""

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
    WARNED_OF,
)

__all__ = ["INVARIANTS", "Invariant", "level_of"]


class Invariant(NamedTuple):
    """Something that is always checked."""

    rule: str
    remedy: str
    example: str = ""  # a mistake that breaks it
    told: str = ""  # when that is said, and when not
    meant: str = ""  # where a program does so on purpose, and turns it off


INVARIANTS: Mapping[str, Invariant] = {
    "no-spin": Invariant(
        "No busy loop.",
        'Read what is ready, close the socket, or stop asking for that event. A read that returns `b""` is the end. '
        "Pause between two attempts to connect.",
        "an urgent byte that nobody reads: the poll reports it again at once, for ever",
        "200 polls in a row report readiness that nobody acts on. Or thousands of polls that may not wait find nothing. Or a stream "
        "that has ended, or failed, is read again and again. Or a thousand attempts to connect, without a pause between them, fail or "
        "are hung up on at once.",
        "a loop polls without a pause, as a game's does; then it goes on, and virtual time passes",
    ),
    NO_STORM: Invariant(
        "A target that hears the same answer again and again pauses before it asks again.",
        "Pause before the next question, longer each time, and give up in the end. In a server, keep who asks waiting until there is "
        "something to say, and release in a `finally` what a connection has begun.",
        "the server says that there is nothing yet, and the client asks again at once",
        "A target asks a thousand times without a pause, and does not do so without the fault.",
        "the server is relied on to keep who asks waiting",
    ),
    "listener-survives": Invariant(
        "Whatever happens to one connection, the listener goes on listening.",
        "Let an error of `accept`, or of setting up a connection, end that connection alone; `dispatch.Listener` does.",
        "`accept()` returns `None`, the handler unpacks it, and asyncore closes the listener",
    ),
    "loop-survives": Invariant(
        "A process that goes on without the fault goes on with it.",
        "Catch in the loop what one connection raises.",
        "`recv` raises ECONNRESET, nobody catches it, and the server ends",
        "Not for a client that returns when the only connection that it has is over.",
    ),
    OTHERS_SURVIVE: Invariant(
        "Whatever happens to one connection, a target does not hang up on another one of the same listener.",
        "Catch the error where a message is written to each of many, and end that one connection.",
        "a chat server writes a line to each client in one `try`; one write fails, and the sender is disconnected as well",
        meant="connections belong together, as those of two players of a game do",
    ),
    OTHERS_ANSWERED: Invariant(
        "A fault on one connection does not leave the client of another one without an answer.",
        "When one side of a proxy ends, close the other. Release what a client holds, such as a lock, in a `finally`. Read, or shake "
        "hands, where each connection has its own thread or task, or with a time-out.",
        "a client vanishes while the server holds a lock for it; the next client waits for ever",
        "A client waits for an answer that it gets without the fault. A warning by default where one client is merely slow, and the "
        "server reads nothing of another one's question for half a minute meanwhile.",
        "an answer may be lost with another connection",
    ),
    ANSWERS_TOLD_APART: Invariant(
        "A late answer is not taken for the answer to the next question.",
        "Close the connection after a time-out, or give each question a number that its answer repeats.",
        "a client gives up on question 1 after 5 s and sends question 2 on the same connection; the answer to 1 arrives, and is returned for 2",
        "A client goes on asking on the same connection after its time-out, and returns the answers in their order. Also where it "
        "refuses every answer from then on.",
        "the test returns something else than answers",
    ),
    ANSWERED_AGAIN: Invariant(
        "Once an answer that was too late has come, its connection can be used again.",
        "When an answer comes for which nobody waits any more, do all the same what belongs to it: give its room back to the sender, or "
        "take the connection back into the pool. Or close the connection after a time-out.",
        "a client may have four questions under way, and forgets to count down when an answer comes too late: after four time-outs it asks nothing any more",
        "The connection is whole, and the outcome differs: a target goes on asking there and is not answered any more, or asks nothing there "
        "any more while its time is up again and again.",
    ),
    DATAGRAMS_TOLD_APART: Invariant(
        "A datagram that arrives twice, or is overtaken by another one, does not change the outcome.",
        "Look which question an answer belongs to, whether this message was there before, and what was answered to it then.",
        "an answer is lost, the client sends `take 1` again, and the server takes a second one",
        "The test's own host neither sends nor receives the datagram. Also where the same bytes, sent again since one was lost, get another "
        "answer from a target. A failure for the kinds in `survives=`.",
        "the outcome may depend on it",
    ),
    BROKEN_GIVEN_UP: Invariant(
        "A connection that is known to be broken, or to have ended, is given up.",
        'Close it when `send` or `recv` raises, or `recv` returns `b""`, and connect anew for what is to be said next. Let go of a channel '
        "in `handle_close`, of a transport in `connection_lost` or where a read ends.",
        "`send` raises BrokenPipeError, the client logs it and keeps the socket, and every later question fails in the same way",
        "The outcome differs, and a target goes on asking on a connection of which it is told again and again that it is broken, or on a "
        "socket that it has closed itself. Also where a channel of `dispatch`, or a transport of asyncio, is written to again and again, long after it has closed.",
        "giving it up is somebody else's task",
    ),
    CONNECTED_ANEW: Invariant(
        "A target that connects anew does on the new connection what it had to do on the old one to be told things.",
        "Do in one place, whenever there is a new connection, all that has to be done on it.",
        "a subscriber's connection is reset, it connects again and does not subscribe again: it waits for messages that nobody sends",
        "It connects in place of a connection that broke, does not say there what it had said (a subscription, a channel that it joins), "
        "reads what comes, and the outcome differs.",
        "the server remembers",
    ),
    SAID_ONCE: Invariant(
        "What a server has heard and answered is not said again on another connection.",
        "Ask again only for what may be done twice, or give each question a number by which the server knows it again.",
        "a pooled connection ends just behind the answer to `deposit 10`; the client says it again on a new one, and the account has 20",
        "It was said on a connection that was used before and has ended since, and the outcome differs.",
    ),
    LATE_END: Invariant(
        "The late end of an old connection does not close the one that is in use.",
        "Close the old connection before you connect anew. Where one has ended, look whether it is the one in use.",
        "a client connects anew after a time-out and leaves the old connection open; when that one ends, its handler closes `self.sock`, which is the new one",
        "The new connection is whole, and the target waits there for an answer.",
    ),
    HALF_READ: Invariant(
        "A time-out in the midst of a message does not lose the part that has been read.",
        "Keep what has come until all is there, in an attribute or a buffer of the connection's. In asyncio, wait for one `readexactly` or "
        "`readline` at a time: they lose nothing when they are cancelled. Or close the connection.",
        "a time-out around two reads cancels them between the header and the body; the next read takes the body for a header",
        "The target goes on reading and the outcome differs, though it is the usual one when the whole message is as late.",
    ),
    CUT_SHORT: Invariant(
        "The beginning of a message is not taken for all of it when the input ends there.",
        "Look whether all has come, by its length or by the mark at its end, and raise if not: `readline` returns half a line at the end, and "
        "once it is stripped nobody can tell.",
        "of `1234` and a line end only `12` arrives, and the client returns 12",
        "The target never reads the end of its input without the fault. It is looked for in what the test, or a process of the target, returns.",
        "half of it is as good",
    ),
    REFUSED_ALIKE: Invariant(
        "A target that copes with a refused connection copes with an unreachable host too, and, if it goes on with another server, with one that does not answer.",
        "Catch `OSError` where it connects: a time-out and `No route to host` are no `ConnectionError`.",
        "`except ConnectionError:` around `connect`",
        "Where a connection is refused the target goes on, with the same outcome.",
    ),
    SERVED_ANYWAY: Invariant(
        "A client is served as usual, whoever came before it and vanished, or stays and says nothing.",
        "Give back in a `finally` what a connection holds, such as a place in a pool. Read, or shake hands, where each connection has its own "
        "thread or task, or with a time-out.",
        "each client takes one of ten places, and who hangs up too early never gives it back: after ten of them nobody is served",
        "Not where the server sends away, or keeps waiting, a client behind as many others who do all that it does.",
    ),
    "one-close": Invariant(
        "A channel is closed once, and its `handle_close` is called once.", "Close it in one place."
    ),
    "silence-after-close": Invariant(
        "No handler of a channel is called after its close.", "Return from the handler that has closed it."
    ),
    "nothing-left": Invariant(
        "When the network is quiet, no target holds a socket whose peer is gone.",
        'Close it when `recv` returns `b""` or raises.',
        "a handler returns when it has read the end, and its socket stays in a list",
        meant="a pool keeps them",
    ),
    "handler-raised": Invariant(
        "No exception leaves a handler of a target.",
        "Catch it in the handler.",
        "`data.decode()` of half a character",
    ),
    "always": Invariant("What `net.always` states.", "It is in your own words: the report has the line."),
    "blocks-the-loop": Invariant(
        "Nothing in a coroutine or callback of asyncio, or in a handler of `dispatch` or asyncore, keeps its loop from going on.",
        "`await asyncio.sleep(...)`, streams, `await asyncio.to_thread(...)`; in a handler a timer, or a channel of the loop's own.",
        "`time.sleep(1)`, or `urllib.request.urlopen(...)`, in a coroutine",
        "`time.sleep`, and a call that has to wait: of a blocking socket, or for the result of a thread.",
    ),
    "bounded-buffers": Invariant(
        "What waits for a peer that does not read stays bounded.",
        "`await writer.drain()`, `pause_writing`; stop at `handle_full`, go on at `handle_drained`; look at `out_buffer` or "
        "`producer_fifo` before the next push.",
        "a server writes lines to a client that has stopped reading, and never waits for `drain()`",
        "Somebody goes on writing to a transport of asyncio, a `dispatch.Stream`, or a channel of asyncore's with a buffer, that is over its "
        "high-water mark (asyncore's have none: 65,536 bytes): in sixteen turns or more, until it has grown by four times as much.",
    ),
    WAITS_FOR_EVER: Invariant(
        "No target, and no task of its asyncio loop, waits for ever without a deadline where it does not without the fault.",
        "Give it a time-out. When a connection is lost, set an exception on the futures that wait for it.",
        "the connection is reset, and a task awaits a future that only the reader of that connection would have set",
        "A failure while only transparent faults fired, else a warning. A failure also where no connection is left that could wake the task, "
        "or where it waits for a lock whose thread has ended. A target that only sleeps, again and again, while the test waits for its end, waits too. "
        "Nothing is said of a task that waits, without the fault, until a signal comes; of a server whose end is a client's word, and that has no client "
        "any more, only if you set the level; and in a `Network` of your own, which has no run without faults beside it, only if you set it, and not "
        "of a server that waits for its next client.",
    ),
}


def level_of(name: str) -> str:
    """What a breach of this rule is where a test says nothing."""
    return "warning" if name in WARNED_OF else "failure"
