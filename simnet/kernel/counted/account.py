"""How Linux counts between two ends on one host: what a write may add, what is sent of it, what is acknowledged when.

Beside the bytes, which are handled separately, each end has an account: `Account`, the half that sends, on top of
`ReceivingAccount`. A write is cut into parcels of a full segment; each takes memory besides its bytes, until it is
acknowledged. What is sent has arrived, and is perhaps acknowledged, within the call; but an end that is in a call learns of that
only when the call ends, or after sixteen parcels. So a call of one end may have both ends send several times.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from simnet.kernel.counted.packets import AT_ONCE, WINDOW_OF_PACKETS, Delivered
from simnet.kernel.counted.receiving import ATO_NS, OF_A_SEGMENT, SMALL, Letter, Parcel, ReceivingAccount

if TYPE_CHECKING:
    from simnet.kernel.counted.wire import Wire

LARGEST: Final = 65483  # bytes of a segment on a loopback: what the interface takes, less the headers
LARGEST_V6: Final = 65464
TIMESTAMPS: Final = 12  # bytes of each segment
BACKLOG: Final = 16  # parcels after which a call looks at what has come meanwhile
SEND_BUFFER: Final = 16_384  # net.ipv4.tcp_wmem[1]
SEGMENTS_HELD: Final = 3  # a buffer that nobody has set has room for so many times the window of packets, by bbr
HELD_BY_OTHERS: Final = 2  # and by cubic and reno
OF_A_BUFFER: Final = 256  # and besides that
SEND_BUFFER_MAX: Final = 4_194_304  # net.ipv4.tcp_wmem[2]
RECEIVE_BUFFER: Final = 131_072  # net.ipv4.tcp_rmem[1]
NEVER: Final = -1
PROBE_NS: Final = 8_000_000  # TCP_TIMEOUT_MIN, to which a loopback adds next to nothing: measured 4 to 12 ms


class Account(ReceivingAccount):
    """One end."""

    __slots__ = (
        "announces", "corked", "delivered", "each", "finishes", "held", "largest_window", "limit", "lowest", "more", "mss", "no_space", "nodelay", "packets", "probe_ns",
        "probed", "pushed", "send_buffer", "sent", "small_end", "snd_nxt", "snd_una", "snd_wnd", "taken", "unsent", "urgent", "wire",
        "wrote",
    )  # fmt: skip

    def __init__(self, send_buffer: int | None, receive_buffer: int | None, wire: Wire) -> None:
        super().__init__(receive_buffer or RECEIVE_BUFFER, not receive_buffer)
        self.wire = wire
        self.send_buffer = send_buffer or SEND_BUFFER
        self.each = 0 if send_buffer else OF_A_BUFFER  # bytes that a segment counts where nobody has set the buffer
        self.taken = 0  # bytes of memory that wait or are not acknowledged (sk_wmem_queued)
        self.lowest = 0  # TCP_NOTSENT_LOWAT: with as many bytes waiting there is no room, whatever is free; 0 for any
        self.unsent: deque[Parcel] = deque()
        self.sent: deque[Parcel] = deque()
        self.snd_una = self.snd_nxt = self.wrote = self.pushed = 0
        self.snd_wnd = self.largest_window = self.limit = self.mss = 0
        self.small_end = -1  # where the last segment that was not full ended
        self.packets = WINDOW_OF_PACKETS
        self.delivered = Delivered()
        self.held = SEGMENTS_HELD
        self.probe_ns = NEVER  # when the end of what is on its way is probed, if it has been acknowledged by then
        self.probed = False  # it was, and that is not acknowledged
        self.urgent = 0  # where the last urgent byte ends (snd_up)
        self.more = False  # is to come, said the last write
        self.announces = False  # an urgent byte, by a segment that has no room for it
        self.nodelay = self.corked = self.no_space = self.finishes = False

    # What SIOCOUTQ, SIOCOUTQNSD, FIONREAD and poll tell.

    @property
    def unacknowledged(self) -> int:
        return self.wrote - self.snd_una

    @property
    def waiting(self) -> int:
        return self.wrote - self.snd_nxt

    @property
    def unread(self) -> int:
        return self.rcv_nxt - self.ended - self.copied

    @property
    def full(self) -> bool:
        """Would a write take nothing?"""
        room = self._full() - self.unsent[-1].size if self.unsent else 0
        return room <= 0 and self.is_full()

    def is_full(self) -> bool:
        """sk_stream_memory_free, the other way round."""
        return self.taken >= self.send_buffer or 0 < self.lowest <= self.waiting

    @property
    def writable(self) -> bool:
        """Is there as much room as a half of what is taken, and does less than half of TCP_NOTSENT_LOWAT wait?"""
        few = not self.lowest or 2 * self.waiting < self.lowest
        return few and self.send_buffer - self.taken >= self.taken >> 1

    @property
    def waits_for_window(self) -> bool:
        """Does something wait with nothing on its way, that is for more of a window and nothing else?"""
        return bool(self.unsent) and not (self.sent or self.corked or self.more)

    @property
    def window_left(self) -> int:
        return max(self.snd_una + self.snd_wnd - self.snd_nxt, 0)

    # The calls.

    def write(self, n: int, more: bool = False, urgent: bool = False, closed: bool = False) -> int:
        """tcp_sendmsg: how many of *n* bytes are taken? 0 if there is no room.

        Of *urgent* ones nothing is pushed before all are taken; behind those that end with MSG_EOR, *closed*, nothing is put.
        """
        self.in_call = True
        copied = begun = 0
        full, gone = self.mss if urgent else self._full(), self.snd_nxt
        while copied < n:
            parcel = self.unsent[-1] if self.unsent else None
            room = 0 if parcel is None or parcel.closed else full - parcel.size
            if parcel is None or room <= 0:
                if self.is_full():
                    break
                if begun >= BACKLOG:
                    if self.peer.deaf and self.snd_nxt != gone:
                        break  # the answer is here
                    begun = 0
                    if self.backlog:
                        self._hear_backlog()
                        full = self.mss if urgent else self._full()
                        continue
                parcel = Parcel(self.wrote)
                self.unsent.append(parcel)
                self._hold(OF_A_SEGMENT)
                begun += 1
                room = full
            part = min(room, n - copied)
            parcel.end += part
            parcel.memory += part
            self._hold(part)
            self.wrote += part
            copied += part
            if copied == n:
                parcel.closed = closed
            if copied == n or parcel.size < full or urgent:
                continue
            if self._much():
                self._mark()
                self.push(at_once=True)
            elif parcel is self.unsent[0]:
                self.push(at_once=True, one=True)
        self.no_space = self.no_space or copied < n
        if urgent and copied:
            self.urgent = self.wrote
        if copied and self.unsent and copied < n:
            self._mark()
            self.push(at_once=True)
        if copied and self.unsent:
            if not more or self._much():
                self._mark()
            self.push(corked=more)
        self.more = more and copied == n
        self._leave()
        return copied

    def read(self, n: int, shut: bool = False, *, passed: bool = False, marked: bool = False) -> None:
        """tcp_recvmsg has taken *n* bytes, or peeked; with *shut* nothing more is wanted.

        *passed*: it was an urgent byte only, which nobody was given. *marked*: one is announced, or was not passed.
        """
        self.in_call = True
        n = min(n, self.unread)
        self.take_out(n)
        if self.marked and not marked:
            self.marked = False
            self.look_whether_fast()
        if self.tells_after_read(not passed, shut):
            self.acknowledge()
        self._leave()

    def settle(self, nodelay: bool, corked: bool, released: bool) -> None:
        """TCP_NODELAY or TCP_CORK was set: if it is *released*, what was held goes."""
        self.nodelay, self.corked = nodelay, corked
        if released and self.unsent:
            self.in_call = True
            self.push(at_once=nodelay)
            self._leave()

    def hurry(self, number: int, at_once: bool, shut: bool) -> None:
        """TCP_QUICKACK: what is owed is acknowledged *at_once*, unless *number* is 0, and the next ones too if it is odd."""
        self.pingpong = not number
        if number and at_once and self.owes:
            self.in_call = self.owes_small = True
            if self.tells_after_read(True, shut):
                self.acknowledge()
            self.pingpong = not number & 1
            self._leave()

    def finish(self) -> None:
        """No more is written: what waits goes with the FIN."""
        if not self.finishes:
            self.finishes = self.in_call = True
            if not self.unsent:
                self.unsent.append(Parcel(self.wrote))
                self._hold(OF_A_SEGMENT)
            self.unsent[-1].fin = 1
            self.wrote += 1
            self.push()
            self._leave()

    def _leave(self) -> None:
        """release_sock."""
        self._hear_backlog()
        self.in_call = False
        if self.defers:
            self.defers = False
            if self.owes:
                self.acknowledge()

    def _hear_backlog(self) -> None:
        while self.backlog:
            letters, self.backlog = self.backlog, []
            for letter in letters:
                self.hear(letter)
        self.backlog_memory = 0

    # Time.

    @property
    def room_for_part(self) -> bool:
        """Is there room for less than a segment of what waits?"""
        return bool(self.unsent) and self.snd_una + self.snd_wnd > self.unsent[0].start

    def acknowledge_late(self) -> None:
        """The time of an acknowledgement that waited is over."""
        if self.owes:
            self.pingpong = False
            self.acknowledge()

    def send_what_fits(self) -> None:
        """tcp_write_wakeup: less than a segment waited for more room long enough. Or ask for the window."""
        if not self.unsent or self.sent:
            return
        first = self.unsent[0]
        room = self.snd_una + self.snd_wnd - first.start
        if room > 0:
            self.pushed = max(self.pushed, first.end)
            if first.size > min(room, self.mss):
                self._cut(first, min(room, self.mss), self.unsent)
            first.pushed = True
            self._send(self.unsent.popleft(), self.mss)
        else:
            if self.urgent > self.snd_nxt:
                self.acknowledge()  # the question announces it
            self.peer.acknowledge()

    # What goes out.

    def _full(self) -> int:
        return max(self._half_window(AT_ONCE) // self.mss, 1) * self.mss

    def _half_window(self, n: int) -> int:
        window = self.largest_window
        return min(n, max(window >> 1 if window > SMALL else window, 36)) if window else n

    def _much(self) -> bool:
        return self.wrote > self.pushed + (self.largest_window >> 1)

    def _mark(self) -> None:
        self.pushed = self.wrote
        self.unsent[-1].pushed = True

    def _hold(self, memory: int) -> None:
        self.taken += memory
        self.lend(memory)

    def _nagle(self, size: int, mss: int, corked: bool) -> bool:
        """Does less than a segment wait? Nothing does while an urgent byte is not acknowledged."""
        if self.urgent > self.snd_una:
            return False
        return size % mss != 0 and (corked or (not self.nodelay and bool(self.sent) and self.small_end > self.snd_una))

    def push(self, *, at_once: bool = False, one: bool = False, corked: bool = False, probes: bool = False) -> None:
        """tcp_write_xmit."""
        holds = (self.corked or corked) and not self.finishes
        while self.unsent:
            mss, parcel = self.mss, self.unsent[0]
            out = sum(each.packets for each in self.sent) if self.sent else 0
            most = max(AT_ONCE // mss, 2)
            packets = min(self.packets >> 1, self.packets - out, most)
            if packets <= 0:
                if not probes:
                    break
                packets = 1  # whatever is on its way
            last = len(self.unsent) == 1
            if not last and packets * mss > parcel.size:
                self._grow(parcel, packets * mss - parcel.size)
                last = len(self.unsent) == 1
            size = parcel.size
            edge = self.snd_una + self.snd_wnd
            if parcel.start + (size + parcel.fin if size <= mss else mss) > edge:
                break
            limit = mss
            if size <= mss:
                if last and not (at_once or one or self.finishes) and self._nagle(size, mss, holds):
                    break
            else:
                window = edge - parcel.start
                room = min(window, (self.packets - out) * mss)
                enough = room >= most * mss or (not last and room >= size)
                if not (one or enough or room >= min(self.snd_wnd, self.packets * mss) // 3 or not self.sent):
                    break  # tcp_tso_should_defer
                limit = mss if self.urgent > self.snd_una else packets * mss
                if limit > mss and (limit > window or last):
                    needed = min(size, window)
                    if limit > needed:
                        limit = needed
                        if not (at_once or self.finishes) and self._nagle(needed, mss, holds):
                            limit -= needed % mss
            if size > limit:
                self._cut(parcel, limit, self.unsent)
            if self.peer.lost and not self.backlog:
                self.send_again(everything=True)  # for the next segment shows that it is missing
            self._send(self.unsent.popleft(), mss)
            if one:
                break
        self._probe_later()

    def _probe_later(self) -> None:
        """tcp_schedule_loss_probe: but of a single packet the acknowledgement is waited for much longer."""
        sent = self.sent
        several = sent and (len(sent) > 1 or sent[0].packets > 1)
        self.probe_ns = self.now_ns + PROBE_NS if several and not (self.probed or self.peer.lost) else NEVER

    def probe(self) -> None:
        """tcp_send_loss_probe: what waits goes now, a segment of it, or else the last segment goes once more."""
        self.probe_ns = NEVER
        if not self.sent:
            return
        gone = self.snd_nxt
        if self.unsent:
            self.push(at_once=True, one=True, probes=True)
        if self.snd_nxt == gone:
            last = self.sent[-1]
            if last.packets > 1 and last.size > (before := (last.packets - 1) * self.mss):
                self._cut(last, before, self.sent)
                last.packets -= 1
                last = self.sent[-1]
            letter = Letter(last)
            self.stamp(letter)
            self.wire.post(letter, self.peer)
        self.probed = bool(self.sent)
        self.probe_ns = NEVER

    def send_again(self, everything: bool = False) -> None:
        """tcp_retransmit_skb: what the peer had no memory for, a segment of it or *everything*, if there is room."""
        peer = self.peer
        for parcel in tuple(self.sent):
            if parcel.end + parcel.fin <= peer.rcv_nxt:
                continue
            room = self.snd_una + self.snd_wnd - parcel.start
            if room <= 0 and everything:
                return
            limit = min(room // self.mss * self.mss or room, room if everything else self.mss) if room > 0 else self.mss
            if parcel.size > limit:
                self._cut(parcel, limit, self.sent)
            letter = Letter(parcel)
            self.stamp(letter)
            self.wire.post(letter, peer)
            if not everything:
                return
            peer.urgently = True  # what fills a hole is acknowledged at once

    def _grow(self, parcel: Parcel, room: int) -> None:
        """tcp_grow_skb: what stands behind moves up, as far as one parcel may get."""
        if parcel.closed:
            return
        behind = self.unsent[1]
        part = min(room, behind.size)
        parcel.end += part
        parcel.memory += part
        behind.start += part
        behind.memory -= part
        parcel.pushed = parcel.pushed or behind.pushed
        if not behind.size:
            parcel.fin, parcel.closed = behind.fin, behind.closed
            del self.unsent[1]
            self._let_go(behind.memory)

    def _cut(self, parcel: Parcel, limit: int, queue: deque[Parcel]) -> None:
        rest = Parcel(parcel.start + limit)
        rest.end = parcel.end
        rest.memory += rest.size
        parcel.end = rest.start
        rest.pushed, parcel.pushed = parcel.pushed, False
        rest.closed, parcel.closed = parcel.closed, False
        rest.fin, parcel.fin = parcel.fin, 0
        parcel.memory -= rest.size
        rest.kept, rest.packets = parcel.kept, -(-rest.size // self.mss)
        rest.delivered, rest.since_ns = parcel.delivered, parcel.since_ns
        queue.insert(queue.index(parcel) + 1, rest)
        self._hold(OF_A_SEGMENT)

    def _let_go(self, memory: int) -> None:
        self.taken -= memory
        self.give_back(memory)

    def _send(self, parcel: Parcel, mss: int) -> None:
        letter = Letter(parcel)
        letter.cut = mss if parcel.size > mss else 0
        letter.urgent = parcel.start < self.urgent
        parcel.packets = -(-parcel.size // mss) or 1
        parcel.kept = True
        self.delivered.note(parcel, not self.sent, self.now_ns)
        self.stamp(letter)
        if parcel.size and self.heard_ns >= 0 and self.now_ns - self.heard_ns < ATO_NS:
            self.pingpong = True
        self.snd_nxt = parcel.end + parcel.fin
        self.sent.append(parcel)
        if parcel.size < parcel.packets * mss:
            self.small_end = parcel.end
        for each in letter.arrives(self.peer):
            self.wire.post(each, self.peer)

    def acknowledge(self) -> None:
        letter = Letter(None)
        if self.urgent > self.snd_nxt:
            letter.urgent = self.announces = True
        self.stamp(letter)
        self.wire.post(letter, self.peer)

    # What comes back.

    def hear(self, letter: Letter) -> None:
        """tcp_rcv_established."""
        parcel = letter.parcel
        if letter.urgent:
            self.marked, self.fast = True, False
        plain = (
            parcel is not None
            and self.fast
            and parcel.start == self.rcv_nxt
            and not parcel.fin
            and letter.acknowledged == self.snd_una
            and letter.window == self.snd_wnd
            and parcel.size + OF_A_SEGMENT <= self.free_pages
        )
        if not plain:
            self.note_acknowledged(letter)
        taken = parcel is not None and self.take_in(letter, plain)
        if not plain:
            if taken and not self.fast:
                self.look_whether_fast()
            if self.unsent:
                self.push()
            self._look_for_space()
        if parcel is not None and self.owes and self.must_acknowledge():
            if self.in_call:
                self.defers = True
            else:
                self.acknowledge()

    def _look_for_space(self) -> None:
        """tcp_check_space: who lacked room has more of it from then on, unless it has set how much."""
        if self.no_space:
            if sum(each.packets for each in self.sent) < self.packets:
                self.expand()
            self.no_space = not self.writable

    def expand(self) -> None:
        """tcp_sndbuf_expand."""
        room = self.held * self.packets * self.each
        self.send_buffer = max(self.send_buffer, min(room, SEND_BUFFER_MAX))

    def note_acknowledged(self, letter: Letter) -> None:
        if letter.acknowledged < self.snd_una:
            return
        if letter.window != self.snd_wnd:
            self.snd_wnd = letter.window
            self.look_whether_fast()
            if letter.window > self.largest_window:
                self.largest_window = letter.window
                self.sync()
        if letter.acknowledged > self.snd_una:
            self.snd_una = letter.acknowledged
            self.probed = self.probed and letter.acknowledged < self.snd_nxt
            self._forget_acknowledged()
            self._probe_later()

    def _forget_acknowledged(self) -> None:
        sent, packets, last = self.sent, 0, None
        while sent and sent[0].end + sent[0].fin <= self.snd_una:
            last = sent.popleft()
            last.kept = False
            packets += last.packets
            self._let_go(last.memory)
        if last is not None and self.delivered.widens(last, packets, self.packets, self.mss, self.now_ns):
            self.packets += packets

    def sync(self) -> None:
        """tcp_sync_mss."""
        self.mss = self._half_window(self.limit)
