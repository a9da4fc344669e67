"""What a connection's accounts would say by now if they had been kept: its writes are made again.

While data flows between two ends that have set nothing, nothing is counted. Unread data is still there, write
by write; of data that was read only the amount is known, and how far each end had received when it wrote last.
If that determines all that happened, in its order, `look_back` plays it through new accounts. What was read counts as one
write, or as two with the last answer between them: if there were more, the accounts may be wrong about the size of segments.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from simnet.kernel.counted.account import Account
from simnet.kernel.counted.opening import Terms, open_accounts
from simnet.kernel.options.packed import IP_HEADER
from simnet.kernel.options.values import (
    IPPROTO_TCP,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_DEFER_ACCEPT,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    TCP_QUICKACK,
    TCP_WINDOW_CLAMP,
)
from simnet.kernel.states import CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, SHUT_SEND
from simnet.kernel.tcp.control import ISN, ControlBlock

MANY: Final = 40  # writes: more of them are not played again
_NODELAY: Final = (IPPROTO_TCP, TCP_NODELAY)
# Options that change amounts, and what is noted of them beside; no other does, and what was corked has a cork.
CHANGES: Final = frozenset(
    (
        *((SOL_SOCKET, name) for name in (SO_SNDBUF, SO_RCVBUF, -SO_RCVBUF)),
        *((IPPROTO_TCP, name) for name in (TCP_MAXSEG, TCP_WINDOW_CLAMP, TCP_NOTSENT_LOWAT, TCP_DEFER_ACCEPT)),
        *((IPPROTO_TCP, name) for name in (TCP_QUICKACK, -TCP_QUICKACK, -100 - TCP_QUICKACK)),
    )
)
ENDED: Final = (FIN_WAIT1, FIN_WAIT2)
# In which state the peer is then, if neither has ended, or one.
PEERS_OF_OPEN: Final = {ESTABLISHED: (ESTABLISHED,)}
PEERS: Final = {**PEERS_OF_OPEN, CLOSE_WAIT: ENDED, **dict.fromkeys(ENDED, (CLOSE_WAIT,))}


class Writes(NamedTuple):
    """The sizes of all that one end has written."""

    read: list[int]  # what the other has read, as far as that is known
    there: list[int]  # what lies there
    heard: int  # bytes of all that, which the other had heard of when it wrote last


def look_back(sender: ControlBlock, peer: Any, ended: bool = False) -> tuple[Account, Account] | None:
    """The accounts of *sender* and its *peer*, on one host; None if what was sent cannot be told from what lies there.

    They leave out the FIN of the one that has *ended*.
    """
    if _is_beside(sender, ended) or _is_beside(peer, ended):
        return None
    writes, answers = _writes(sender, peer), _writes(peer, sender)
    many, more = (len(each.read) + len(each.there) for each in (writes, answers))
    if many + more > MANY or (many > 1 and more > 1):
        return None  # who knows in which order
    opener, acceptor = open_accounts(Terms(), Terms(), sender.stack.clock.now_ns, ":" in peer.local[0])
    mine, other = (opener, acceptor) if sender.origin == "client" else (acceptor, opener)
    mine.nodelay, other.nodelay = (bool(end.option(*_NODELAY)) for end in (sender, peer))
    mine.low_water, other.low_water = sender.low_water, peer.low_water
    _limit(sender, mine)
    _limit(peer, other)
    if more <= 1:
        _play(mine, writes, other, answers)
    else:
        _play(other, answers, mine, writes)
    for end, account in ((sender, mine), (peer, other)):
        if account.unread > end.unread:
            account.read(account.unread - end.unread)
    for end, account in ((sender, mine), (peer, other)):
        if account.snd_nxt != end.sent - (end.state == FIN_WAIT2) or account.waiting or account.lost:
            return None  # they would not have sent all of it yet
    return mine, other


def when_all_is_heard(sender: ControlBlock, peer: Any) -> Account | None:
    """The account of *sender* some time after its last write, when all is acknowledged; its *peer* may be gone (None).

    It tells how far windows have grown, and nothing about what is unread. Of a peer that is gone one write is known.
    """
    if any(_is_beside(end, ended=True) for end in (sender, peer) if end is not None):
        return None
    if peer is None:
        inbox = sender.inbox
        heard = sender.sent - sender.owed  # what a reset answers grows no window
        writes = Writes([heard] if heard > 0 else [], [], 0)
        there = [] if inbox is None or not inbox.size else [len(each) for each in (inbox.head, *(inbox.rest or ()))]
        answers = Writes([size] if (size := sender.received - sum(there)) > 0 else [], there, 0)
    else:
        writes, answers = _writes(sender, peer), _writes(peer, sender)
    sizes, others = ([*each.read, *each.there] for each in (writes, answers))
    if len(sizes) + len(others) > MANY:
        return None
    opener, acceptor = open_accounts(Terms(), Terms(), sender.stack.clock.now_ns, ":" in (sender.local or ("",))[0])
    mine, other = (opener, acceptor) if sender.origin == "client" else (acceptor, opener)
    _limit(sender, mine)
    turns = [(mine, other, sizes), (other, mine, others)]
    if others and sender.rcv_wup > ISN + 1:
        turns.reverse()  # it had heard something when it wrote last
    for writer, reader, each in turns:
        for size in each:
            writer.write(size)
            reader.acknowledge_late()
            reader.read(size)
    mine.acknowledge_late()
    return mine


def _limit(end: Any, account: Account) -> None:
    """IP options take room of each segment."""
    header = end.options and end.options.get(IP_HEADER)
    if header:
        account.limit -= len(header)
        account.sync()


def _writes(sender: Any, peer: Any) -> Writes:
    inbox = peer.inbox
    there = [] if inbox is None or not inbox.size else [len(each) for each in (inbox.head, *(inbox.rest or ()))]
    read = sender.sent - sum(there) - (sender.state == FIN_WAIT2)
    heard = max(peer.rcv_wup - ISN - 1, 0)
    before = min(heard, read) if peer.sent else 0
    return Writes([size for size in (before, read - before) if size], there, heard)


def _play(account: Account, writes: Writes, other: Account, answers: Writes) -> None:
    """All *writes*, and of *answers* the only one; what was read is read at once."""
    answer = [*answers.read, *answers.there]
    read, made = sum(writes.read), 0
    for size in (*writes.read, *writes.there):
        if answer and made >= writes.heard:
            _write(other, answer.pop(), account, answers)
        account.write(size)
        made += size
        if made <= read:
            other.read(size)
    if answer:
        _write(other, answer.pop(), account, answers)


def _write(other: Account, size: int, account: Account, answers: Writes) -> None:
    other.write(size)
    if answers.read:
        account.read(size)


def _is_beside(end: Any, ended: bool = False) -> bool:
    """Is anything about that the accounts know nothing of, or that is counted elsewhere?"""
    unusual = (end.guard, None if ended else end.window, end.tampering, end.ledger, end.cork, end.later)
    options = end.options
    changed = options and not CHANGES.isdisjoint(options)
    return (
        any(each is not None for each in unusual)
        or bool(changed)
        or bool(end.urg_seq or end.unsent or (end.shut & SHUT_SEND and not ended))
    )
