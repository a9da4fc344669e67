"""Whether a run gets anywhere, looked at once in so many lines of its trace: if no time passes, if all attempts to connect fail, if
datagrams are sent again and again and nobody answers, or if it lasts out of all proportion to the run without faults.

A client that tries again for ever never ends, and whoever waits for it never goes on. If it does not pause in between, that is
a busy loop, which on a kernel would send thousands of SYNs a second. If it does, it may be right to do so, and it is the test
that waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from simnet.scheduling import stuck
from simnet.scheduling.rounds import go_on_for_ever, lines_of
from simnet.trace import CALL, FAULT, SEGMENT, WAKE, Entry, Failed
from simnet.verdicts import Deadlock, Hang, Spin

if TYPE_CHECKING:
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = ["ENTRIES_AN_INSTANT_MAX", "ENTRIES_A_HURRIED_LOOK", "ENTRIES_A_LOOK", "getting_nowhere", "hurry"]

ENTRIES_A_LOOK = 10_000  # lines of the trace: a thousand attempts to connect, some tenths of a second of real time
ENTRIES_A_HURRIED_LOOK = 1_000  # where many runs like this one have stormed: a hundred attempts
ENTRIES_AN_INSTANT_MAX = 300_000  # lines of the trace without a step of the clock: 2,000 clients make 50,000
# The same, if all are answers to an input that has ended: 30,000 of them, or more than a send buffer takes. A yes to a client that has shut down its half says fewer.
ENTRIES_AFTER_THE_END_MAX = 60_000
SENDS_NS = 10_000_000  # virtual time that a look's sends of one connection take: 5,000, each of which takes Linux a microsecond or two
ENTRIES_AFTER_THE_END_HURRIED = 5_000  # where many runs like this one have made them all
READS_OF_THE_END_MAX = 1_000  # in a look at one instant, of one connection: who answers each has not seen the end
ANSWERS_MAX, ANSWERS_LOOKED_AT = 8, 1_000  # different lines, with what is sent, of so many: more are no loop
ANSWERS = ((CALL, "send"), (SEGMENT, "data"))
ENTRIES_AN_ATTEMPT_MAX = 40  # what a program does for each: a loop has ten lines, some libraries twice as many
# A server may have several addresses; in a second of somebody else's sleep there are hundreds.
ATTEMPTS_A_PAUSE_MAX = 10
LOOKS_BESIDE_OTHERS = 10  # in a row, if somebody else sleeps, who may start what they wait for when it wakes
# If the test waits for the end of that one, which may come: a day of one datagram a second is half of it.
LOOKS_BESIDE_AWAITED = 100
LATER = frozenset({"EAGAIN", "timed out"})  # of a recv: the peer may speak yet
REFUSED = frozenset({"ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "timed out"})
UNANSWERED = frozenset({"SYN", "RST"})  # the segments of an attempt that fails; what does not arrive is "lost" besides


def hurry(scheduler: Scheduler) -> None:
    """Look often whether somebody storms: others like this run have."""
    scheduler.entries_max, scheduler.look_at = ENTRIES_A_HURRIED_LOOK, ENTRIES_A_LOOK


def getting_nowhere(scheduler: Scheduler, process: Process) -> Hang | Spin | None:
    """What to say of *process*, whose call has made the trace so long: that its loop never waits, or that it floods somebody.

    If it is the body that should hear that nothing will come of it, that is arranged for. In a hurry a storm is told of sooner, and all else
    when it would have been.
    """
    if not scheduler.look_at:
        return _look(scheduler, process)
    end = len(scheduler.trace.entries)
    if end > scheduler.look_at:
        scheduler.entries_max = scheduler.look_at
        error = _look(scheduler, process)
        scheduler.look_at = scheduler.entries_max
        scheduler.entries_max = min(scheduler.look_at, end + ENTRIES_A_HURRIED_LOOK)
    else:
        begin = max(end - ENTRIES_A_HURRIED_LOOK, 0)
        error = _look_for_a_storm(scheduler, process, begin)
        put_off = scheduler.entries_max == end + 1
        scheduler.entries_max = min(scheduler.entries_max, scheduler.look_at)
        alike = None if error is not None or put_off else scheduler.alike
        if alike is not None and alike.hurried and alike.goes_on(scheduler, scheduler.trace.entries, begin):
            _end(scheduler, stuck.outlasts(scheduler.processes, scheduler.clock.now_ns), begin)
    return error


def _look(scheduler: Scheduler, process: Process) -> Hang | Spin | None:
    entries, now_ns = scheduler.trace.entries, scheduler.clock.now_ns
    begin = max(scheduler.entries_max - ENTRIES_A_LOOK, 0)
    scheduler.entries_max = len(entries) + ENTRIES_A_LOOK
    if scheduler.entries_at_ns != now_ns:
        scheduler.entries_at_ns, scheduler.entries_then = now_ns, begin
    elif (lines := _without_a_pause(scheduler, process, begin)) is not None:
        return stuck.does_not_wait(process, now_ns, lines)
    if _only_sends(entries, begin, process) and not _answers_the_end(entries, begin, process):
        _let_time_pass(scheduler, (len(entries) - scheduler.entries_then) // ENTRIES_A_LOOK)
    elif _lasts_too_long(scheduler, process):
        _end_at_a_wait(scheduler, begin)
    elif _another_connects(entries, process):
        scheduler.entries_max = len(entries) + 1
    elif go_on_for_ever(scheduler, entries, begin):
        _end(scheduler, stuck.goes_round(scheduler.processes, now_ns, entries[begin][0]), begin)
    else:
        return _look_for_what_is_in_vain(scheduler, process, begin)
    return None


def _without_a_pause(scheduler: Scheduler, process: Process, begin: int) -> int | None:
    """How many lines of one instant show that *process* never waits, or None."""
    entries = scheduler.trace.entries
    lines = len(entries) - scheduler.entries_then
    if lines > ENTRIES_AN_INSTANT_MAX:
        return ENTRIES_AN_INSTANT_MAX
    if _answers_each_end(entries, begin, process):
        return ENTRIES_A_LOOK
    if lines > ENTRIES_AFTER_THE_END_MAX and _answers_the_end(entries, begin, process):
        return ENTRIES_AFTER_THE_END_MAX
    return None


def _lasts_too_long(scheduler: Scheduler, process: Process) -> bool:
    """Has the run gone on for too long, and can the test be told so: now, or at a call soon at which it waits?

    Asleep, or woken by this very line: who hears from a peer on its own host at each beat is never found asleep at a call.
    """
    body = scheduler.body
    if scheduler.clock.now_ns <= scheduler.longest_ns or body.done or body.pending is not None:
        return False
    return _waits(body) or (process is body and _others_call(scheduler.trace.entries, body))


def _waits(body: Process) -> bool:
    return body.waiting is not None and body.waiting[0] != "quiet"


def _end_at_a_wait(scheduler: Scheduler, begin: int) -> None:
    if _waits(scheduler.body):
        _end(scheduler, stuck.outlasts(scheduler.processes, scheduler.clock.now_ns), begin)
    else:
        scheduler.entries_max = len(scheduler.trace.entries) + 1  # at the next call of the others the body waits


def _look_for_what_is_in_vain(scheduler: Scheduler, process: Process, begin: int) -> Spin | None:
    """What to say of *process* if it connects, or asks by datagrams, in vain since *begin*; or what the test is told that waits for it."""
    entries, now_ns, body = scheduler.trace.entries, scheduler.clock.now_ns, scheduler.body
    attempts, dropped = _in_vain(scheduler, begin, process)
    asked = [] if attempts else _asked_in_vain(entries, begin, process)
    scheduler.in_vain = scheduler.in_vain + 1 if attempts or asked else 0
    if not scheduler.in_vain:
        return None
    if attempts and process.target and not _pauses(entries, begin, process, len(attempts)):
        if _is_between_attempts(entries):
            scheduler.entries_max = len(entries) + 1
            scheduler.in_vain -= 1
            return None
        return stuck.storms(process, now_ns, len(attempts), attempts[0], dropped=dropped)
    if not _nothing_else_will_come(scheduler, process):
        return None
    since = max(begin - (scheduler.in_vain - 1) * ENTRIES_A_LOOK, 0)  # as all the looks in a row have seen it
    if attempts:
        attempts = _in_vain(scheduler, since, process)[0] or attempts
        error = stuck.tries_for_ever(process, body, now_ns, len(attempts), attempts[0], dropped=dropped)
    else:
        asked = _asked_in_vain(entries, since, process) or asked
        error = stuck.asks_for_ever(process, body, now_ns, len(asked), asked[0])
    _end(scheduler, error, begin)
    return None


def _nothing_else_will_come(scheduler: Scheduler, process: Process) -> bool:
    """Is the test at these attempts, or waits for them without a deadline? And for long enough, if others sleep, who may help when they wake."""
    body = scheduler.body
    waits = body.asleep and body.pending is None
    if body.done or not (process is body or (waits and not body.has_deadline)):
        return False  # it ends when the time has come
    if not any(each.has_deadline for each in scheduler.processes if each is not process):
        return True
    awaited = process is not body and body.waits_for_a_sleeper(len(scheduler.processes))
    return scheduler.in_vain >= (LOOKS_BESIDE_AWAITED if awaited else LOOKS_BESIDE_OTHERS)


def _end(scheduler: Scheduler, error: Deadlock, begin: int) -> None:
    """The test is told that nothing will come of what it waits for, which shows since *begin*."""
    if scheduler.alike is not None:
        scheduler.alike.note(scheduler, begin)
    scheduler.body.pending = error
    scheduler.wake(scheduler.body)  # unless it makes the call itself


def _look_for_a_storm(scheduler: Scheduler, process: Process, begin: int) -> Hang | Spin | None:
    """What to say of *process* if it has done nothing since *begin* but connect in vain, without a pause, or answers the end of its input."""
    entries = scheduler.trace.entries
    end, now_ns = len(entries), scheduler.clock.now_ns
    scheduler.entries_max = end + ENTRIES_A_HURRIED_LOOK
    much = max(end - ENTRIES_AFTER_THE_END_HURRIED, 0)
    if entries[much][0] == now_ns and _answers_the_end(entries, much, process):
        return stuck.does_not_wait(process, now_ns, ENTRIES_AFTER_THE_END_HURRIED)
    if _another_connects(entries, process):
        scheduler.entries_max = end + 1
        return None
    if not process.target:
        return None
    attempts, dropped = _in_vain(scheduler, begin, process)
    if not attempts or _pauses(entries, begin, process, len(attempts)):
        return None
    if _is_between_attempts(entries):
        scheduler.entries_max = end + 1
        return None
    return stuck.storms(process, now_ns, len(attempts), attempts[0], dropped=dropped)


def _let_time_pass(scheduler: Scheduler, looks: int) -> None:
    """Who sends without a pause is at it for a while, a little more at each of so many *looks*: what is on its way to it arrives, as that its peer has gone.

    All of it counts as one instant: who sends to a peer for ever, and hears nothing, is told so as before.
    """
    if scheduler.current.waiting is None:
        scheduler.wait(("a send to be made", None), scheduler.clock.now_ns + looks * SENDS_NS)
        scheduler.entries_at_ns = scheduler.clock.now_ns
        scheduler.entries_max = len(scheduler.trace.entries) + ENTRIES_A_LOOK


def _only_sends(entries: list[Entry], begin: int, process: Process) -> bool:
    """Has nothing happened since *begin*, in one instant, but that the host of *process* sent on one connection?"""
    now_ns, _, host, place, *_ = entries[-1]
    return (
        host == process.host_name
        and entries[begin][0] == now_ns
        and all(
            each[2] == host and each[3] == place and (each[1], each[5]) in ANSWERS and not _failed(each)
            for each in islice(entries, begin, None)
        )
    )


def _failed(entry: Entry) -> bool:
    return entry[1] == CALL and isinstance(entry[7][1], Failed)


def _answers_the_end(entries: list[Entry], begin: int, process: Process) -> bool:
    """Has nothing happened since *begin* but that the host of *process* sent the same again and again, where its input has ended?"""
    _, _, host, place, end, op, _, _ = entries[-1]
    if op != "send" or host != process.host_name:
        return False
    if any(
        each[2] != host or each[3] != place or (each[1], each[5]) not in ANSWERS
        for each in islice(entries, begin, None)
    ):
        return False
    if len(set(islice(lines_of(entries, begin), ANSWERS_LOOKED_AT))) > ANSWERS_MAX:
        return False
    return any(
        each[5] == "recv" and each[3] == place and each[4] == end and each[1] == CALL and each[7][1] == b""
        for each in islice(reversed(entries), len(entries) - begin, None)
    )


def _answers_each_end(entries: list[Entry], begin: int, process: Process) -> bool:
    """Has the host of *process* read the end of one connection again and again since *begin*, without a pause, and done nothing but send there, and poll?"""
    if entries[begin][0] != entries[-1][0]:
        return False
    host, places, reads, answers = process.host_name, set(), 0, 0
    for _, kind, whose, place, _, op, _, detail in islice(entries, begin, None):
        if whose != host:
            return False
        if kind == CALL and op == "poll":
            continue
        places.add(place)
        if len(places) > 1:
            return False
        if kind == CALL and op == "recv":
            if detail[1] != b"":
                return False
            reads += 1
        elif kind == CALL:
            answers += 1
    return min(reads, answers) > READS_OF_THE_END_MAX  # who only reads makes calls for nothing, of which `stuck` knows


def _another_connects(entries: list[Entry], process: Process) -> bool:
    """Is it another host than that of *process* that has just tried to connect? Then the call to look at is its next one."""
    by = {each[2] for each in entries[-ENTRIES_AN_ATTEMPT_MAX:] if each[5] == "connect" and each[1] == CALL}
    return bool(by) and process.host_name not in by


def _others_call(entries: list[Entry], body: Process) -> bool:
    """Is there anybody else who makes calls?"""
    return any(each[1] == CALL and each[2] != body.host_name for each in entries[-ENTRIES_AN_ATTEMPT_MAX:])


def _is_between_attempts(entries: list[Entry]) -> bool:
    """Is the next attempt still to come? That one is told, which the program makes; the last call may be its event loop's own."""
    return entries[-1][5] != "connect" and any(each[5] == "connect" for each in entries[-ENTRIES_AN_ATTEMPT_MAX:])


def _in_vain(scheduler: Scheduler, begin: int, process: Process) -> tuple[list[Entry], bool]:
    """The attempts to connect since *begin*, of which nothing came, the latest first; and whether they succeeded, and were hung up on."""
    entries = scheduler.trace.entries
    attempts = _attempts_in_vain(entries, begin, process)
    return (attempts, False) if attempts else (_hung_up_on(entries, begin, process, scheduler.before), True)


def _attempts_in_vain(entries: list[Entry], begin: int, process: Process) -> list[Entry]:
    """The attempts to connect since *begin*, the latest first, if nothing else came of anything; the latest by the host of *process*."""
    attempts: list[Entry] = []
    for n in range(len(entries) - 1, begin - 1, -1):
        entry = entries[n]
        if entry[1] == SEGMENT:
            if entry[5] not in UNANSWERED and not entry[5].endswith("lost"):
                return []
        elif entry[1] == CALL:
            if entry[5] == "connect" and isinstance(entry[7][1], Failed):
                attempts.append(entry)
            elif entry[5] == "connect" and not isinstance(entry[7][0][0], tuple):
                return []  # to the path of a Unix socket; a datagram socket succeeds with any other address, and it is no attempt
            elif (
                entry[5] in ("recv", "accept")
                and entry[7][1]
                and not isinstance(entry[7][1], Failed)
                and not _is_own_pair(entry[3])
            ):
                return []  # of a Unix socket, which sends no segments
    few = len(attempts) * ENTRIES_AN_ATTEMPT_MAX < len(entries) - begin
    if few or not attempts or attempts[0][2] != process.host_name:
        return []
    return attempts


def _hung_up_on(entries: list[Entry], begin: int, process: Process, before: Sequence[Entry]) -> list[Entry]:
    """The connections that the host of *process* has made since *begin*, the latest first, if each was ended by its peer before a byte had
    come, and nobody was told anything. Not where no peer has ever said more, in this run or *before* without faults, nor a fault ended them:
    whose end is the answer is answered.
    """
    made: list[Entry] = []
    ends = 0
    for n in range(len(entries) - 1, begin - 1, -1):
        entry = entries[n]
        if entry[1] != CALL or entry[2] != process.host_name or _is_own_pair(entry[3]):
            continue
        op, given = entry[5], entry[7][1]
        if op == "connect" and "#" in entry[3] and given not in REFUSED:
            made.append(entry)
        elif (op == "accept" and given and not isinstance(given, Failed)) or (
            op == "recv" and given and not isinstance(given, Failed)
        ):
            return []
        elif op == "recv" and given not in LATER:
            ends += 1
    few = len(made) * ENTRIES_AN_ATTEMPT_MAX < len(entries) - begin or 2 * ends < len(made)
    if not made or few or len({each[3].rpartition("#")[0] for each in made}) > 1:
        return []
    place, host = made[0][3], process.host_name
    told = _is_struck(entries, begin, place) or _was_told_once(entries[:begin], host, place)
    return made if told or _was_told_once(before, host, place) else []


def _was_told_once(entries: Sequence[Entry], host: str, place: str) -> bool:
    """Had *host* been told something on an earlier connection to where *place* leads?"""
    server = place.rpartition("#")[0]
    return any(
        entry[5] == "recv" and entry[1] == CALL and entry[2] == host and entry[3].startswith(f"{server}#")
        and entry[7][1] and not isinstance(entry[7][1], Failed)
        for entry in entries
    )  # fmt: skip


def _is_struck(entries: list[Entry], begin: int, place: str) -> bool:
    """Was it a fault that ended it, on this connection as on the one before?"""
    server, _, number = place.rpartition("#")
    struck = {entry[3] for entry in entries[begin:] if entry[1] == FAULT}
    return f"{server}#{int(number) - 1}" in struck


def _is_own_pair(place: str) -> bool:
    """Is it one by which the threads of a program wake its loop?"""
    return place.startswith("pair ")


def _asked_in_vain(entries: list[Entry], begin: int, process: Process) -> list[Entry]:
    """The datagrams sent since *begin* by the host of *process*, the latest first, if it looked for answers and none came: nobody heard
    any of them, or what was said in return is lost. Who only sends, and looks for nothing, is at work.
    """
    asked: list[Entry] = []
    looks = lost = 0
    heard = False
    for n in range(len(entries) - 1, begin - 1, -1):
        entry = entries[n]
        mine, op = entry[2] == process.host_name, entry[5]
        if entry[1] == SEGMENT:
            if op.startswith("datagram"):
                if mine:
                    asked.append(entry)
                else:
                    lost += op.endswith("lost")
            elif op != "ICMP":
                return []
        elif entry[1] == CALL and op in ("recv", "accept", "poll"):
            if not entry[7][1] or isinstance(entry[7][1], Failed):
                looks += mine
            elif _is_own_pair(entry[3]):
                continue
            elif mine and op != "poll":  # which tells of an error, too
                return []
            else:
                heard = heard or op != "poll"
    enough = len(asked) * ENTRIES_AN_ATTEMPT_MAX >= len(entries) - begin
    return asked if enough and 2 * looks >= len(asked) and (not heard or 2 * lost >= len(asked)) else []


def _pauses(entries: list[Entry], begin: int, process: Process, attempts: int) -> bool:
    """Has *process* woken by time alone since *begin*, or its program between its pieces of work, one of which each attempt may be?"""
    program = _program(process)
    others = {each.name for each in process.scheduler.processes if _program(each) is program}
    others_woke = 0
    for entry in entries[begin:]:
        if entry[1] == WAKE and not entry[7]:
            if entry[3] == process.name:
                return True
            others_woke += entry[3] in others
    return others_woke * ATTEMPTS_A_PAUSE_MAX >= attempts


def _program(process: Process) -> Process:
    """Whose thread *process* is, or itself."""
    while process.owner is not None:
        process = process.owner
    return process
