"""Retransmission, probes and keepalive: what a connection does where segments may get lost.

A guard keeps each segment until it is acknowledged, asks for the acknowledgement, and sends the first unacknowledged
one again when its timer runs out, with back-off, or when three duplicate acknowledgements say that there is a hole.
The receiver keeps what came after a hole, so that one segment a round trip fills it. Before the timer runs out for the
first time, the last segment is sent once more, as a tail loss probe; after that nothing new is sent until something is
acknowledged, which amounts to a congestion window of one. There is no SACK, and otherwise no congestion window: a program
cannot see the difference except in time. Loss-free connections have no guard and no timers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.options.values import (
    IPPROTO_TCP,
    KEEPALIVE_INTERVAL,
    KEEPALIVE_PROBES,
    KEEPALIVE_TIME,
    SO_KEEPALIVE,
    SOL_SOCKET,
    SYN_RETRIES,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_SYNCNT,
    TCP_USER_TIMEOUT,
)
from simnet.kernel.segment import ACK, FIN, SYN, WANT_ACK, Segment
from simnet.kernel.states import CLOSED, SYN_RECV, SYN_SENT
from simnet.kernel.tcp.control import ISN

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack
    from simnet.kernel.tcp.sending import Sender

SECOND: Final = 1_000_000_000
RTO_FIRST_NS: Final = SECOND  # TCP_TIMEOUT_INIT: before the first round trip is measured
RTO_MIN_NS: Final = SECOND // 5  # TCP_RTO_MIN
RTO_MAX_NS: Final = 120 * SECOND  # TCP_RTO_MAX
# net.ipv4.tcp_syn_linear_timeouts, Linux 6.5 and later: 67 s to the last SYN, 131 s to ETIMEDOUT.
SYN_LINEAR_TIMEOUTS: Final = 4
SYNACK_RETRIES: Final = 5  # net.ipv4.tcp_synack_retries
GIVE_UP_NS: Final = 924_600_000_000  # what net.ipv4.tcp_retries2 = 15 comes to (ip-sysctl)
ORPHAN_GIVE_UP_NS: Final = 102_200_000_000  # and the 8 retries of a socket without an owner
# SYNs of one instant are sent again one after the other, so far apart: what a connect takes Linux.
APART_NS: Final = 10_000
BUCKET_NS: Final = 32_000_000  # LVL_GRAN(1) of timers of a second, at 250 ticks a second
FEW: Final = 16  # clients whose SYNs go again together
# TCP_TIMEOUT_MIN, two jiffies: a tail loss probe of several comes that much after two round trips.
PROBE_MARGIN_NS: Final = 8_000_000
ONE_SEGMENT: Final = 1448  # bytes: what fits into a packet of 1,500 beside heads with timestamps
SAID: Final = {SYN_SENT: SYN, SYN_RECV: SYN | ACK}  # what a handshake waits for the answer to
DUPLICATES: Final = 3  # duplicate acknowledgements that mean a hole (RFC 5681)


class Guard:
    """What one end keeps for the case of loss."""

    __slots__ = (
        "kept", "unacknowledged", "timer", "rto_ns", "smoothed_ns", "variance_ns", "retries", "stamp_ns", "times",
        "duplicates", "recovered", "keepalive", "probes", "heard_ns", "tail", "probed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kept: deque[Segment] = deque()
        self.unacknowledged = 0  # bytes in ``kept``
        self.timer: Any = None
        self.rto_ns = RTO_FIRST_NS
        self.smoothed_ns = 0
        self.variance_ns = 0
        self.retries = 0
        self.stamp_ns = 0  # when the first retransmission of the present trouble was, or the first SYN
        self.times: dict[int, int] = {}  # when segments went out that were sent once: samples of the round trip
        self.duplicates = 0
        self.recovered = 0  # up to which number a loss is being mended
        self.keepalive: Any = None
        self.probes = 0  # keepalive or window probes without an answer
        self.heard_ns = 0
        self.tail = False  # the timer that runs is that of a tail loss probe
        self.probed = False  # one has gone out, and nothing is acknowledged since

    def begin(self, connection: Sender) -> None:
        """The path of *connection* begins to lose. What is on its way arrives; the answer to a SYN may not."""
        self.heard_before(connection)
        if connection.trip_ns:
            self.measured(connection.trip_ns)
        self.keep_alive(connection, connection.stack.clock.now_ns - self.heard_ns)
        flags = SAID.get(connection.state, 0)
        if flags and connection.snd_nxt > ISN:
            assert connection.local is not None
            assert connection.peer is not None
            said = Segment(
                connection.local, connection.peer, flags | WANT_ACK, connection.snd_nxt - 1, connection.rcv_nxt,
                connection.rcv_edge, b"", connection,
            )  # fmt: skip
            self.keep_lost(connection, said)
        if connection.unsent:
            self.probe_later(connection)
        connection.space_came()  # what is on its way takes none any more

    # Outgoing.

    def keep(self, connection: Sender, segment: Segment) -> None:
        """*segment* goes out now."""
        self.kept.append(segment)
        self.unacknowledged += len(segment.payload)
        self.times[segment.seq] = connection.stack.clock.now_ns
        if self.tail:
            self._stop_timer()
        if self.timer is None:
            self._start(connection)

    def in_loss(self) -> bool:
        """Has the timer run out, and nothing been acknowledged since? Then nothing new is sent (TCP_CA_Loss)."""
        return self.retries > 0 and bool(self.kept)

    def keep_lost(self, connection: Sender, segment: Segment) -> None:
        """*segment* went out before there was a guard, and was dropped."""
        if any(kept.seq == segment.seq for kept in self.kept):
            return
        self.kept = deque(sorted((*self.kept, segment), key=lambda kept: kept.seq))
        self.unacknowledged += len(segment.payload)
        if self.timer is None:
            self._start(connection, since_ns=connection.since_ns if segment.flags & SYN else None)

    def _start(self, connection: Sender, since_ns: int | None = None) -> None:
        clock = connection.stack.clock
        start = clock.now_ns if since_ns is None else since_ns
        wait = self.rto_ns
        if self.kept and not self.retries and self.smoothed_ns:
            wait = self._wait_for_probe(start)
        limit = connection.option(IPPROTO_TCP, TCP_USER_TIMEOUT)
        if limit and self.retries:
            # tcp_clamp_rto_to_user_timeout: the timer does not oversleep the program's own limit.
            wait = min(wait, max(1, self.stamp_ns + limit * 1_000_000 - start))
        due = max(clock.now_ns, start + wait)
        if connection.state == SYN_SENT:
            due = self._when_syns_go(connection, due)
        self.timer = clock.at(due, _ran_out, connection)

    def _when_syns_go(self, connection: Sender, due_ns: int) -> int:
        """When the SYN of *connection* is sent again that would be at *due_ns*: at the end of a bucket of timers.

        Those of a few clients that connected to this host within a bucket go together, so that a listener answers them all
        before it hears who of them gets the free places. Of many, as no machine has at one instant, each goes by itself.
        """
        stack = connection.stack
        if connection.peer is None or not stack.is_local(connection.peer[0]) or stack.demanding:
            return _apart(stack, due_ns)
        bucket_ns = (due_ns // BUCKET_NS + 1) * BUCKET_NS
        together = stack.syns_together.setdefault(bucket_ns, [])
        if len(together) >= FEW:
            return _apart(stack, bucket_ns + APART_NS)
        together.append((connection, self))
        return bucket_ns

    def _wait_for_probe(self, start_ns: int) -> int:
        """tcp_schedule_loss_probe; the whole time of retransmission where the probe has been sent, or another loss is known of."""
        self.tail = not self.probed and not self.duplicates and not self.recovered
        if not self.tail:
            return self.rto_ns
        kept = self.kept
        left = max(1, self.times.get(kept[0].seq, start_ns) + self.rto_ns - start_ns)
        alone = len(kept) == 1 and len(kept[0].payload) <= ONE_SEGMENT  # of a larger one Linux makes several
        return min(left, 2 * self.smoothed_ns + (RTO_MIN_NS if alone else PROBE_MARGIN_NS))

    def probe_later(self, connection: Sender) -> None:
        """The window is shut and nothing is in flight: ask for it until it opens (RFC 9293, 3.8.6.1)."""
        if self.timer is None and not self.kept:
            self._start(connection)

    # Incoming.

    def acknowledged(self, connection: Sender, ack: int, pure: bool = False) -> None:
        """*ack* arrived; *pure* if the segment carried nothing else."""
        now_ns = connection.stack.clock.now_ns
        self.heard_ns = now_ns
        self.probes = 0
        kept = self.kept
        moved = again = False
        while kept and _end(kept[0]) <= ack:
            segment = kept.popleft()
            self.unacknowledged -= len(segment.payload)
            sent_ns = self.times.pop(segment.seq, None)
            if sent_ns is None:
                again = True  # and what was behind it has waited there, which says nothing of the trip
            elif not again:
                self.measured(now_ns - sent_ns)
            moved = True
        if moved:
            self.duplicates = 0
            self.retries = 0
            self.probed = False
            self.rto_ns = self._rto()
            self._stop_timer()
            if ack >= self.recovered:
                self.recovered = 0
            if kept:
                if self.recovered:
                    self.again(connection, kept[0])  # the next hole
                self._start(connection)
            if connection.no_space:
                connection.space_came()
        elif pure and kept and ack == kept[0].seq:
            self.duplicates += 1
            if self.duplicates == (1 if self.probed else DUPLICATES):  # a probe that arrived tells of it at once (RACK)
                self.recovered = connection.snd_nxt
                self.again(connection, kept[0])
        elif not kept and self.timer is not None:
            opens = connection.snd_edge > connection.snd_nxt
            if opens or not connection.option(IPPROTO_TCP, TCP_USER_TIMEOUT):
                self.retries = 0  # a window probe was answered, and the program has set no limit
            if opens:
                self._stop_timer()
                self.rto_ns = self._rto()

    def measured(self, trip_ns: int) -> None:
        """A sample of the round trip (RFC 6298)."""
        if not self.smoothed_ns:
            self.smoothed_ns = max(1, trip_ns)
            self.variance_ns = trip_ns // 2
        else:
            self.variance_ns = (3 * self.variance_ns + abs(self.smoothed_ns - trip_ns)) // 4
            self.smoothed_ns = max(1, (7 * self.smoothed_ns + trip_ns) // 8)
        if not self.retries:
            self.rto_ns = self._rto()

    def _rto(self) -> int:
        """tcp_set_rto: the variance part is never below 200 ms."""
        if not self.smoothed_ns:
            return RTO_FIRST_NS
        return min(self.smoothed_ns + max(RTO_MIN_NS, 4 * self.variance_ns), RTO_MAX_NS)

    # Timers.

    def ran_out(self, connection: Sender) -> None:
        """tcp_retransmit_timer, and the probe timer where nothing is in flight."""
        self.timer = None
        kept = self.kept
        now_ns = connection.stack.clock.now_ns
        if self.tail:
            self.tail, self.probed = False, True
            self.again(connection, kept[-1])
            self._start(connection)
            return
        if self._hopeless(connection, now_ns):
            if connection.state == SYN_RECV and connection.parent is not None:
                connection.vanish()  # nobody was told of it
            else:
                connection.time_out()
            return
        if not self.retries:
            self.stamp_ns = connection.since_ns if connection.state == SYN_SENT else now_ns
        self.retries += 1
        self.duplicates = 0
        if kept:
            self.recovered = connection.snd_nxt
            self.again(connection, kept[0])
        else:
            connection.probe()
        if connection.state != SYN_SENT or self.retries > SYN_LINEAR_TIMEOUTS:
            self.rto_ns = min(self.rto_ns * 2, RTO_MAX_NS)
        self._start(connection)

    def _hopeless(self, connection: Sender, now_ns: int) -> bool:
        """tcp_write_timeout: was it tried often enough?"""
        if connection.state == SYN_SENT:
            tries = connection.option(IPPROTO_TCP, TCP_SYNCNT) or SYN_RETRIES
            # Or so long as they would take without the linear ones (tcp_model_timeout), which is earlier for a single one.
            if self.retries >= tries + SYN_LINEAR_TIMEOUTS or (
                self.retries and now_ns - self.stamp_ns >= ((2 << tries) - 1) * RTO_FIRST_NS
            ):
                return True
        elif connection.state == SYN_RECV:
            return self.retries >= SYNACK_RETRIES
        if not self.retries:
            return False
        limit_ns = GIVE_UP_NS if connection.refs else ORPHAN_GIVE_UP_NS
        limit = connection.option(IPPROTO_TCP, TCP_USER_TIMEOUT)
        if limit:
            limit_ns = limit * 1_000_000
        return now_ns - self.stamp_ns >= limit_ns

    def again(self, connection: Sender, segment: Segment) -> None:
        """Send *segment* again, with today's acknowledgement and window."""
        self.times.pop(segment.seq, None)  # Karn: its answer is no sample
        flags = segment.flags if segment.flags & SYN else segment.flags | WANT_ACK
        connection.emit(
            Segment(
                segment.source, segment.target, flags, segment.seq, connection.rcv_nxt, connection.rcv_edge,
                segment.payload, connection, segment.urgent,
            )
        )  # fmt: skip

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.tail = False

    def stop(self) -> None:
        """The connection is over."""
        self._stop_timer()
        if self.keepalive is not None:
            self.keepalive.cancel()
            self.keepalive = None
        self.kept.clear()
        self.times.clear()
        self.unacknowledged = 0

    def established(self, connection: Sender) -> None:
        """The handshake is over, which is a first sample of the round trip where it was not repeated."""
        self.heard_ns = connection.stack.clock.now_ns
        if connection.trip_ns and not self.smoothed_ns:
            self.measured(connection.trip_ns)
        self.keep_alive(connection)

    # Keepalive.

    def heard_before(self, connection: Sender) -> None:
        """The path begins to lose: when was the peer heard last? Its answers to keepalive probes, if any, count."""
        clock = connection.stack.clock
        if not connection.option(SOL_SOCKET, SO_KEEPALIVE):
            self.heard_ns = clock.now_ns
            return
        heard = clock.heard_ns(connection)
        period = (connection.option(IPPROTO_TCP, TCP_KEEPIDLE) or KEEPALIVE_TIME) * SECOND + connection.trip_ns
        self.heard_ns = clock.now_ns - (clock.now_ns - heard) % period

    def keep_alive(self, connection: Sender, silent_ns: int = 0) -> None:
        """SO_KEEPALIVE was set or cleared, or the connection that has it came to be; or it has been silent for so long."""
        if self.keepalive is not None:
            self.keepalive.cancel()
            self.keepalive = None
        if connection.option(SOL_SOCKET, SO_KEEPALIVE) and connection.state not in (CLOSED, SYN_SENT, SYN_RECV):
            idle_ns = (connection.option(IPPROTO_TCP, TCP_KEEPIDLE) or KEEPALIVE_TIME) * SECOND
            self._look_later(connection, max(0, idle_ns - silent_ns))

    def _look_later(self, connection: Sender, wait_ns: int) -> None:
        clock = connection.stack.clock
        self.keepalive = clock.at(clock.now_ns + wait_ns, _looked, connection, True)

    def looked(self, connection: Sender) -> None:
        """Has the peer been silent for too long? Ask it once more, or give it up (tcp_keepalive_timer)."""
        self.keepalive = None
        idle_ns = (connection.option(IPPROTO_TCP, TCP_KEEPIDLE) or KEEPALIVE_TIME) * SECOND
        silent_ns = connection.stack.clock.now_ns - self.heard_ns
        if self.kept or connection.unsent or silent_ns < idle_ns:
            self._look_later(connection, idle_ns if self.kept or connection.unsent else idle_ns - silent_ns)
            return
        limit = connection.option(IPPROTO_TCP, TCP_USER_TIMEOUT)
        count = connection.option(IPPROTO_TCP, TCP_KEEPCNT) or KEEPALIVE_PROBES
        if (silent_ns >= limit * 1_000_000 and self.probes) if limit else self.probes >= count:
            connection.send_reset()
            connection.time_out()
            return
        self.probes += 1
        connection.probe()
        self._look_later(connection, (connection.option(IPPROTO_TCP, TCP_KEEPINTVL) or KEEPALIVE_INTERVAL) * SECOND)


def _apart(stack: Stack, due_ns: int) -> int:
    """When a SYN of this host is sent again that would be at *due_ns*.

    Clients that connected at one instant do not come back at one: who listens takes some in between.
    """
    instant_ns, before = stack.syns_due
    before = before + 1 if instant_ns == due_ns else 0
    stack.syns_due = (due_ns, before)
    return due_ns + before * APART_NS


def _end(segment: Segment) -> int:
    return segment.seq + len(segment.payload) + bool(segment.flags & (SYN | FIN))


def _ran_out(connection: Sender) -> None:
    stack = connection.stack
    together = stack.syns_together.pop(stack.clock.now_ns, ())
    for each, guard in reversed(together):  # the last timer of a bucket is the first to run
        # If its guard is another one, that attempt is over, and this is a new one.
        if each.guard is guard and each.state == SYN_SENT and each is not connection:
            guard.timer.cancel()
            guard.ran_out(each)
    assert connection.guard is not None
    connection.guard.ran_out(connection)


def _looked(connection: Sender) -> None:
    assert connection.guard is not None
    connection.guard.looked(connection)


def send_again_for_nobody(stack: Stack, segment: Segment) -> None:
    """*segment* was dropped after its socket had gone: an orphan's last words, said again until they arrive."""
    if not segment.flags & FIN and not segment.payload:
        return
    key = (segment.source, segment.target, segment.seq)
    if stack.last_words is None:
        stack.last_words = {}
    tries = stack.last_words.get(key, 0)
    wait = RTO_MIN_NS << tries
    if (wait << 1) - RTO_MIN_NS > ORPHAN_GIVE_UP_NS:
        stack.last_words.pop(key, None)
        return
    stack.last_words[key] = tries + 1
    stack.clock.at(stack.clock.now_ns + wait, stack.out.append, segment)
