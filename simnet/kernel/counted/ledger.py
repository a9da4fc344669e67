"""A connection within a host that is counted as Linux counts, since a program has limited its buffers, segments or queue.

Its ends follow their accounts (``account``): a send accepts what the account accepts, data goes out when the account has
sent it, and a waiting writer is woken when the account has room. If nobody has set SO_SNDBUF, SO_RCVBUF,
TCP_MAXSEG, TCP_WINDOW_CLAMP or TCP_NOTSENT_LOWAT, nothing is counted until a write waits, fills the window or may
exceed it, and then not for long. Nor is it where a fault acts or a path may lose: there a connection goes by windows, as
in ``sending``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.buffer import Buffer
from simnet.kernel.counted.account import HELD_BY_OTHERS, NEVER, SEGMENTS_HELD, Account
from simnet.kernel.counted.hindsight import PEERS, PEERS_OF_OPEN, look_back, when_all_is_heard
from simnet.kernel.counted.opening import Terms, open_accounts
from simnet.kernel.counted.receiving import SMALL
from simnet.kernel.messages import MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_NOSIGNAL, MSG_OOB
from simnet.kernel.options.tcp_info import CONGESTION_CONTROLS
from simnet.kernel.options.values import (
    IPPROTO_TCP,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_CONGESTION,
    TCP_DEFER_ACCEPT,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    TCP_QUICKACK,
    TICK_NS,
)  # fmt: skip
from simnet.kernel.readiness import DATA_NEWS
from simnet.kernel.states import CLOSED, ESTABLISHED, RECEIVING, SHUT_BOTH, SHUT_RECEIVE
from simnet.kernel.tcp.control import FIN_DUE, ISN, OOB_INLINE, WHOLE
from simnet.kernel.tcp.cork import ASKED_LIMIT, WINDOW_LIMIT, go_on, show_on
from simnet.kernel.tcp.nagle import answer_on, has_probed
from simnet.kernel.tcp.patience import patience_ns
from simnet.kernel.tcp.window import (
    DELAYED_NS,
    HELD_NS,
    STREAM,
    acknowledge_later,
    expect_answer,
    next_probe_ns,
    owes_acknowledgement,
    widen,
    window_of,
)

if TYPE_CHECKING:
    from simnet.kernel.tcp.sending import Sender

_SNDBUF: Final = (SOL_SOCKET, SO_SNDBUF)
_RCVBUF: Final = (SOL_SOCKET, SO_RCVBUF)
_MAXSEG: Final = (IPPROTO_TCP, TCP_MAXSEG)
_LOWEST: Final = (IPPROTO_TCP, TCP_NOTSENT_LOWAT)
_CONGESTION: Final = (IPPROTO_TCP, TCP_CONGESTION)
BY_HAND: Final = frozenset((_SNDBUF, _RCVBUF, _MAXSEG, _LOWEST, _CONGESTION, WINDOW_LIMIT))
NOT_COUNTED: Final = frozenset(
    ((IPPROTO_TCP, TCP_QUICKACK), (IPPROTO_TCP, TCP_DEFER_ACCEPT), (SOL_SOCKET, -SO_RCVBUF))  # grown by SO_RCVLOWAT
)
COUNTED_FLAGS: Final = MSG_MORE | MSG_NOSIGNAL | MSG_DONTWAIT | MSG_OOB | MSG_EOR
REACH: Final = 0xFFFF  # how far the pointer of one without data tells
REACHES: Final = 32_768  # bytes of a segment before an urgent byte, whose pointer has 16 bits
UNTOLD: Final = -WHOLE  # in the place of the edge of the window, so that every read comes here
AGAIN_NS: Final = 208_000_000  # measured 207.6 to 216 ms: a retransmission's time and a tick
LONG_STREAM: Final = 8 * STREAM
MANY_WRITES: Final = 400
MOST_WRITES: Final = 14_000  # that fill a send buffer which nobody has set, some 280 bytes each
CALM_WRITES: Final = 40


class Ledger:
    """One end of such a connection."""

    __slots__ = (
        "account", "again_after", "again_ns", "calm_writes", "for_long", "held_ns", "late_ns", "other", "patience_ns",
        "sender", "timer", "tries", "waits_for_end", "went", "writes",
    )  # fmt: skip

    other: Ledger

    def __init__(self, sender: Sender, account: Account) -> None:
        self.sender = sender
        self.account = account
        self.late_ns = NEVER  # when the acknowledgement that the account owes is due
        self.held_ns = NEVER  # since when something waits with nothing on its way
        self.patience_ns = NEVER  # until when it waits for the window, and then no longer
        self.again_ns = NEVER  # when what the other had no memory for is sent again
        self.again_after = -1  # what came before that
        self.tries = 0
        self.timer: Any = None
        self.went = account.snd_nxt  # up to where the sender has sent
        self.writes = self.calm_writes = 0  # the latter in a row that left nothing waiting
        self.for_long = True  # not only while something is held back
        self.waits_for_end = False  # what it sends is an answer to a FIN that is still on its way
        account.nodelay = bool(sender.option(IPPROTO_TCP, TCP_NODELAY))
        account.corked = sender.cork is not None and sender.cork.corked
        account.lowest = max(sender.option(*_LOWEST) or 0, 0)
        account.low_water = sender.low_water
        sender.slow = True
        sender.rcv_edge = sender.rcv_told = UNTOLD

    # The calls.

    def takes(self, flags: int) -> bool:
        """May a write with *flags* go on as the account says? Not one of a long stream that has set nothing."""
        if not self.for_long and self._is_over():
            self.close()
            return False
        if not flags & ~COUNTED_FLAGS:
            peer = self.other.sender
            reads = peer.refs and (peer.shut & SHUT_BOTH != SHUT_BOTH or peer.state == ESTABLISHED)
            self.other.account.deaf = not reads
            return True
        full = self.account.full  # nothing of it is taken
        if not full:
            self.close()
        return full

    def _is_over(self) -> bool:
        """Is there nothing left to count, or too much, at its next rest or without one? Counting takes its time."""
        wrote = self.account.wrote
        if wrote > LONG_STREAM or self.writes > (MOST_WRITES if self.account.unsent else MANY_WRITES):
            return True
        return (wrote > STREAM or self.calm_writes > CALM_WRITES) and self._is_quiet()

    def _is_quiet(self) -> bool:
        accounts = (self.account, self.other.account)
        return not any(each.unacknowledged or each.unread or each.corked for each in accounts)

    def write(self, data: bytes, flags: int) -> int:
        """How many bytes of *data* are taken; they are queued, and what may go has gone."""
        self._catch_up()
        account, sender = self.account, self.sender
        account.nodelay = bool(sender.option(IPPROTO_TCP, TCP_NODELAY))
        taken = account.write(len(data), bool(flags & MSG_MORE), bool(flags & MSG_OOB), bool(flags & MSG_EOR))
        self.writes += 1
        self.calm_writes = 0 if account.unsent else self.calm_writes + 1
        if taken < len(data):
            sender.no_space = True
        if taken:
            if sender.outbox is None:
                sender.outbox = Buffer()
            sender.outbox.append(data[:taken])
            if flags & MSG_OOB:
                sender.urg_out = sender.snd_nxt + sender.outbox.size - 1
            self.follow()
        return taken

    def read(self) -> None:
        """The program has read something, or peeked."""
        self._catch_up()
        sender, account = self.sender, self.account
        n = sender.copied_seq - ISN - 1 - account.copied
        owed = account.owes
        urgent = bool(sender.urg_data)
        passed = n == 1 and urgent and sender.urg_seq + 1 == sender.copied_seq and not sender.sharing & OOB_INLINE
        marked = urgent and sender.copied_seq <= sender.urg_seq
        account.read(max(n, 0), bool(sender.shut & SHUT_RECEIVE), passed=passed, marked=marked)
        sender.rcv_edge = UNTOLD
        self.follow()
        if owed and not account.owes and owes_acknowledgement(sender):
            sender.acknowledge()  # with it the FIN

    def settle(self, released: bool) -> None:
        """An option was set that holds something back, or *released* it."""
        self._catch_up()
        sender = self.sender
        corked = sender.cork is not None and sender.cork.corked
        self.account.settle(bool(sender.option(IPPROTO_TCP, TCP_NODELAY)), corked, released)
        self.follow()

    def hurry(self, number: int, at_once: bool) -> None:
        """TCP_QUICKACK was set; *at_once* if it is about what is owed as well."""
        self._catch_up()
        sender, account = self.sender, self.account
        owed = account.owes
        account.hurry(number, at_once, bool(sender.shut & SHUT_RECEIVE))
        self.follow()
        if owed and not account.owes and owes_acknowledgement(sender):
            sender.acknowledge()

    def limit(self, lowest: int) -> None:
        """TCP_NOTSENT_LOWAT was set."""
        self._catch_up()
        self.account.lowest = max(lowest, 0)
        self.follow()

    def limit_window(self, limit: int) -> None:
        """TCP_WINDOW_CLAMP was set."""
        self._catch_up()
        self.account.set_clamp(limit)
        self.follow()

    def finish(self) -> None:
        """Nothing more is written."""
        self._catch_up()
        self.account.finish()
        self.other.waits_for_end = True

    def hear_end(self) -> None:
        """The peer's FIN is here, which what was sent in answer acknowledges."""
        self.waits_for_end = False
        self.follow()

    # What is told.

    @property
    def unacknowledged(self) -> int:
        self._catch_up()
        return self.account.unacknowledged

    @property
    def in_flight(self) -> int:
        self._catch_up()
        return self.account.unacknowledged - self.account.waiting

    @property
    def has_any_room(self) -> bool:
        self._catch_up()
        return not self.account.is_full()

    @property
    def writable(self) -> bool:
        self._catch_up()
        if not self.account.writable:
            self.account.no_space = True
            return False
        return True

    # What both ends do then.

    def follow(self) -> None:
        """Let both ends send what their accounts have sent."""
        self._go()
        if self.other.waits_for_end and self.sender.fin == FIN_DUE:
            self.other.waits_for_end = False  # it does not go yet
        self.other._go()

    def _go(self) -> None:
        if self.waits_for_end:
            return
        sender, account = self.sender, self.account
        lost = self.other.account.lost
        gone = self.other.account.rcv_nxt if lost else account.snd_nxt
        if gone != self.went:
            n = min(gone, account.wrote - account.finishes) - self.went
            self.went = gone
            self.patience_ns = NEVER
            outbox = sender.outbox
            if n > 0 and outbox is not None and outbox.size:
                while sender.urg_out and n > REACHES:
                    sender.send_data(outbox.take(REACHES))
                    n -= REACHES
                sender.send_data(outbox.take(n))
            if sender.fin == FIN_DUE and not account.waiting and not lost:
                sender.send_fin()
        if account.announces:
            account.announces = False
            sender.send_data(b"")
        sender.space_came()
        if account.knocked:
            account.knocked = False
            sender.wake(DATA_NEWS)  # for what was thrown away (tcp_data_queue)
        if account.owes or account.unsent or lost or self.timer is not None or account.probe_ns > 0:
            self._wait()
        else:
            self.late_ns = self.held_ns = self.patience_ns = NEVER

    def _wait(self) -> None:
        """Wait for what is due, if anybody would notice."""
        account, other, clock = self.account, self.other, self.sender.stack.clock
        due_ns = NEVER
        if not account.owes:
            self.late_ns = NEVER
        else:
            if self.late_ns == NEVER:
                self.late_ns = clock.now_ns + (DELAYED_NS if account.heard_ns >= 0 else TICK_NS)
            if other.account.unsent or not other.account.writable:
                due_ns = self.late_ns
        if not account.unsent or account.sent:
            self.held_ns = self.patience_ns = NEVER
        else:
            if self.held_ns == NEVER:
                self.held_ns = clock.now_ns
            if self.patience_ns == NEVER and self.sender.options:
                self.patience_ns = patience_ns(self.sender, clock.now_ns, clock.now_ns)
            untold = other.sender.urg_seq < self.sender.urg_out < self.sender.snd_nxt + REACH
            if account.room_for_part or other.account.would_tell_more or untold:
                held_ns = self.held_ns + HELD_NS
                if held_ns < clock.now_ns:
                    # Of room that was made meanwhile nobody is told after SHUT_RD, nor where SO_RCVBUF made it.
                    asks = self.other.sender.shut & SHUT_RECEIVE or not account.room_for_part
                    held_ns = next_probe_ns(self.held_ns, clock.now_ns) if asks else clock.now_ns
                due_ns = held_ns if due_ns == NEVER else min(due_ns, held_ns)
        if account.probe_ns > 0 and (account.unsent or other.account.unsent or not account.writable):
            due_ns = account.probe_ns if due_ns == NEVER else min(due_ns, account.probe_ns)
        if self.patience_ns != NEVER:
            due_ns = self.patience_ns if due_ns == NEVER else min(due_ns, self.patience_ns)
        if not other.account.lost:
            self.again_ns, self.again_after = NEVER, -1
        else:
            if self.again_after != other.account.rcv_nxt:
                self.again_after, self.tries = other.account.rcv_nxt, 0
                self.again_ns = clock.now_ns + AGAIN_NS
            again_ns = max(self.again_ns, clock.now_ns)
            due_ns = again_ns if due_ns == NEVER else min(due_ns, again_ns)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if due_ns != NEVER:
            self.timer = clock.at(due_ns, Ledger.due, self)

    def _catch_up(self) -> None:
        """What was due meanwhile, and nobody waited for."""
        now_ns = self.sender.stack.clock.now_ns
        if self.account.now_ns == now_ns == self.other.account.now_ns:
            return
        for each in (self, self.other):
            each.account.now_ns = now_ns
        for each in (self, self.other):
            if NEVER < each.account.probe_ns <= now_ns:
                each.account.probe()
        for each in (self, self.other):
            if NEVER < each.late_ns <= now_ns:
                each.late_ns = NEVER
                each.account.acknowledge_late()

    def due(self) -> None:
        """Its time has come; who counts no more has cancelled it."""
        self.timer = None
        self._catch_up()
        now_ns = self.sender.stack.clock.now_ns
        if NEVER < self.patience_ns <= now_ns:
            self.sender.time_out()
            return
        if NEVER < self.held_ns <= now_ns - HELD_NS:
            self.held_ns = NEVER
            self.account.send_what_fits()
        if NEVER < self.again_ns <= now_ns:
            self.again_ns = now_ns + (AGAIN_NS << self.tries)
            self.tries = min(self.tries + 1, 9)
            self.account.send_again()
        self.follow()

    def close(self) -> None:
        """Count no more."""
        for each in (self, self.other):
            if each.timer is not None:
                each.timer.cancel()
                each.timer = None
            sender = each.sender
            if sender.ledger is each:
                show_on(sender, each.account)
                flight = sender.sent - each.account.snd_una
                stays = each.other.sender.state in RECEIVING
                told = stays and each.other.account.pingpong and flight <= SMALL and sender.window is None  # by `nagle`
                if flight > 0 and not told:
                    window_of(sender).flight = flight
                    if stays:
                        acknowledge_later(each.other.sender)
                sender.ledger = None
                expect_answer(sender, each.account.pingpong)
                # It has answered, though what it sent may have gone before what it heard came.
                if each.account.pingpong:
                    sender.rcv_wup = max(sender.rcv_wup, ISN + 1 + each.account.rcv_wup)
                    answer_on(sender)
                if sender.unsent and sender.state != CLOSED:
                    go_on(sender, each.account, each.other.sender.state == CLOSED, AGAIN_NS, each.held_ns)
                if sender.unread:
                    widen(sender)
                sender.rcv_edge = sender.rcv_told = sender.copied_seq + sender.rcv_room
                peer = each.other.sender
                if sender.state == CLOSED and not peer.unsent:
                    peer.snd_edge = peer.snd_nxt + each.other.account.window_left  # which is told nothing any more
                else:
                    peer.snd_edge = max(peer.snd_edge, sender.rcv_edge)
                sender.look_around()
                sender.hurry()


def begin(client: Sender, server: Any) -> None:
    """A handshake within a host: count, if one of the two has set what shows in amounts, or for a while if it has a cork."""
    if any(end.options and not BY_HAND.isdisjoint(end.options) for end in (client, server)):
        _count(client, server, _terms(client), _terms(server))
    elif client.cork is not None or server.cork is not None:
        _count(client, server, Terms(), Terms(), for_long=False)


def set_size(sender: Sender, name: int) -> None:
    """SO_SNDBUF or SO_RCVBUF was set on an open connection."""
    if sender.ledger is None and sender.state == ESTABLISHED and not sender.option(*WINDOW_LIMIT):
        peer: Any = sender.stack.connections.get((sender.peer, sender.local))
        if peer is not None and peer.state == ESTABLISHED:
            client, server = (sender, peer) if sender.origin == "client" else (peer, sender)
            _count(client, server, Terms(), Terms())
    ledger = sender.ledger
    if ledger is not None:
        size = sender.option(SOL_SOCKET, name)
        if name == SO_SNDBUF:
            ledger.account.send_buffer, ledger.account.each = size, 0
        else:
            ledger.account.buffer = size
            ledger.account.grows = False
        ledger.follow()


def begin_in_hindsight(sender: Sender, for_long: bool = True) -> Ledger | None:
    """Somebody asks of a young connection what only accounts can tell: count from here on, if its past can be told."""
    found = _look_back(sender)
    if found is not None:
        account, peer, other = found
        _open(sender, account, peer, other, for_long)
    return sender.ledger


def in_hindsight(sender: Sender) -> Account | None:
    """An account that tells what *sender* goes by: segments of half of the largest window it was told, and its own limit.

    None if its past cannot be told.
    """
    if sender.ledger is not None:
        return sender.ledger.account
    found = _look_back(sender, for_mss=True)
    if found is not None:
        return found[0]
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    return when_all_is_heard(sender, peer if hasattr(peer, "inbox") and peer is not sender else None)


def begin_to_hold(sender: Sender) -> None:
    """Count from here on, if what is written next, where much was written before, waits or a part of it does."""
    found = _look_back(sender)
    if found is not None:
        account, peer, other = found
        if account.small_end > account.snd_una:
            _open(sender, account, peer, other, for_long=False)


def _look_back(sender: Sender, for_mss: bool = False) -> tuple[Account, Any, Account] | None:
    """The accounts of *sender* and its peer, and that; *for_mss* if a FIN of one of them does not matter."""
    clock = sender.stack.clock
    expected = (PEERS if for_mss else PEERS_OF_OPEN).get(sender.state)
    if expected is None:
        return None
    # Who knows when it was? Whatever the other let wait is acknowledged by now.
    old = clock.now_ns - sender.since_ns >= DELAYED_NS and not sender.snd_nxt == sender.rcv_nxt == ISN + 1
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    if peer is None or peer is sender or peer.state not in expected or sender.stack.out:
        return None
    accounts = look_back(sender, peer, sender.state != ESTABLISHED)
    if accounts is None:
        return None
    for end, account in ((sender, accounts[0]), (peer, accounts[1])):
        if account.heard_ns >= 0:
            received_ns = clock.received_ns(end)
            account.heard_ns = account.heard_ns if received_ns is None else received_ns
    if old or has_probed(sender) or has_probed(peer):
        for each in accounts:
            each.acknowledge_late()
    return accounts[0], peer, accounts[1]


def _open(sender: Sender, account: Account, peer: Sender, other: Account, for_long: bool = True) -> None:
    sender.ledger, peer.ledger = one, two = Ledger(sender, account), Ledger(peer, other)
    one.other, two.other = two, one
    one.for_long = two.for_long = for_long
    sender.look_around()
    peer.look_around()
    one.follow()


def _count(client: Sender, server: Sender, terms: Terms, other_terms: Terms, *, for_long: bool = True) -> None:
    if client is server or _is_beside(client) or _is_beside(server):
        return
    assert client.local is not None
    account, other = open_accounts(terms, other_terms, client.stack.clock.now_ns, ":" in client.local[0])
    _open(client, account, server, other, for_long)


def _terms(end: Sender) -> Terms:
    send_buffer, receive_buffer, maxseg = (end.option(*key) or 0 for key in (_SNDBUF, _RCVBUF, _MAXSEG))
    clamp = end.option(*ASKED_LIMIT) or 0 if end.option(*WINDOW_LIMIT) else 0
    usual = end.option(*_CONGESTION) in (None, CONGESTION_CONTROLS[0])
    return Terms(send_buffer, receive_buffer, maxseg, SEGMENTS_HELD if usual else HELD_BY_OTHERS, clamp)


def _is_beside(end: Sender) -> bool:
    """Is anything about that the accounts know nothing of?"""
    options = end.options or {}
    return (
        end.guard is not None
        or end.tampering is not None
        or end.mss != WHOLE
        or not NOT_COUNTED.isdisjoint(options)
        or bool(end.sent or end.received)
    )
