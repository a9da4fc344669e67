"""What the accounts of a connection would say by now, that nobody has kept: its writes made once more.

While data flows between two ends that have set nothing, nothing is counted. What has not been read still lies there, write
by write, and each end knows how far it had heard the other when it wrote last. Where that tells all that ever happened, in
its order, `look_back` plays it through new accounts.
"""

from __future__ import annotations

from typing import Any, Final

from simnet.kernel.account import Account, Terms, open_accounts
from simnet.kernel.control import ISN, ControlBlock
from simnet.kernel.options import IPPROTO_TCP, TCP_CORK, TCP_NODELAY

MANY: Final = 40  # writes: more of them are not played again
_NODELAY: Final = (IPPROTO_TCP, TCP_NODELAY)
_KNOWN: Final = frozenset((_NODELAY, (IPPROTO_TCP, TCP_CORK)))  # what was corked has a cork


def look_back(sender: ControlBlock, peer: Any) -> tuple[Account, Account] | None:
    """The accounts of *sender* and its *peer*, on one host; None if what was sent cannot be told from what lies there."""
    if _is_beside(sender) or _is_beside(peer):
        return None
    writes, answers = _writes(sender, peer), _writes(peer, sender)
    if writes is None or answers is None or len(writes) + len(answers) > MANY:
        return None
    if len(writes) > 1 and len(answers) > 1:
        return None  # who knows in which order
    opener, acceptor = open_accounts(Terms(), Terms(), ":" in peer.local[0])
    mine, other = (opener, acceptor) if sender.origin == "client" else (acceptor, opener)
    mine.nodelay, other.nodelay = (bool(end.option(*_NODELAY)) for end in (sender, peer))
    if len(answers) <= 1:
        _play(mine, writes, other, answers, peer.rcv_wup - ISN - 1)
    else:
        _play(other, answers, mine, writes, sender.rcv_wup - ISN - 1)
    for end, account in ((sender, mine), (peer, other)):
        if end.received > end.unread:
            account.read(end.received - end.unread)
    for end, account in ((sender, mine), (peer, other)):
        if account.snd_nxt != end.sent or account.waiting or account.lost:
            return None  # they would not have sent all of it yet
    return mine, other


def _writes(sender: Any, peer: Any) -> list[int] | None:
    """The sizes of all that *sender* has written, if it lies with *peer*.

    Of what was read nothing is left but how much it was, and how much of it *peer* had heard when it wrote last.
    """
    inbox = peer.inbox
    if inbox is None or not inbox.size:
        heard = max(peer.rcv_wup - ISN - 1, 0) if peer.sent else 0
        return [size for size in (heard, sender.sent - heard) if size]
    if inbox.size + inbox.offset != sender.sent:
        return None
    return [len(each) for each in (inbox.head, *(inbox.rest or ()))]


def _play(account: Account, writes: list[int], other: Account, answers: list[int], heard: int) -> None:
    """All *writes*, and the one answer after *heard* bytes of them."""
    made = 0
    for size in writes:
        if answers and made >= heard:
            other.write(answers.pop())
        account.write(size)
        made += size
    if answers:
        other.write(answers.pop())


def _is_beside(end: Any) -> bool:
    """Is anything about that the accounts know nothing of, or that is counted elsewhere?"""
    unusual = (end.guard, end.window, end.tampering, end.ledger, end.cork, end.later)
    known = not end.options or _KNOWN.issuperset(end.options)
    return (
        any(each is not None for each in unusual)
        or not known
        or bool(end.urg_seq or end.unsent or end.shut)
        or end.low_water != 1
    )
