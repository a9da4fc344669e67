"""A receiver, counted as Linux counts: the memory of its queue, the window it offers, the acknowledgements it owes.

A window is offered out of the memory that is free, by the share of bytes that the largest segment so far had in its own
(`ratio`). It grows when segments are large, shrinks to whole segments where it has no scale, and never goes back. The first
segments are acknowledged at once; an end that has answered acknowledges along with its answers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from simnet.kernel.datagrams.memory import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simnet.kernel.counted.account import Account

OF_A_SEGMENT: Final = 832  # bytes of memory that a segment takes besides its own
RATIO: Final = 128  # 256ths of memory that are bytes, before a segment has come
LEAST_CLAMP: Final = 1152  # SOCK_MIN_RCVBUF, halved
BUFFER_MAX: Final = 33_554_432  # net.ipv4.tcp_rmem[2]
UNSCALED_MAX: Final = 65535
QUICK: Final = 16  # TCP_MAX_QUICKACKS
SMALL: Final = 536  # TCP_MSS_DEFAULT: what segments are taken for before one has come
LEAST: Final = 88  # TCP_MIN_MSS
HEADER: Final = 20
GROWS: Final = 128  # a smaller segment says nothing about its sender
PIECES: Final = 17  # MAX_SKB_FRAGS, how many pieces of memory one segment may have
FRAGMENT_BITS: Final = 15  # SKB_FRAG_PAGE_ORDER: what is written is copied to memory of 32 kB, one after another
HEAD: Final = 576  # bytes of memory before those of a segment
HEADS: Final = (HEAD, 1024, 2048, 4096)  # in which so many may lie that are copied
SHARED: Final = 320  # with so many about them
COPIED: Final = 3776  # at most, in one piece
TAKEN_AS_ONE: Final = 65_536 - 66  # bytes without the headers (the gso_max_size of a loopback)
ATO_NS: Final = 40_000_000  # within it an answer is one
IDLE_NS: Final = 204_000_000  # a pause as long as a retransmission takes makes the next acknowledgements quick again


class Parcel:
    """A segment, and the memory that it takes: of its sender until it is acknowledged, of its receiver until it is read."""

    __slots__ = ("closed", "delivered", "end", "fin", "kept", "memory", "packets", "pushed", "since_ns", "start")

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.memory = OF_A_SEGMENT
        self.kept = False  # by its sender, for it is not acknowledged: what follows cannot be put into the same memory
        self.packets = 0  # how many it makes on the wire
        self.delivered = 0  # how many its sender knew to have arrived when it was sent
        self.since_ns = 0  # since when
        self.pushed = False  # it is the last of a write
        self.closed = False  # by MSG_EOR: nothing is put behind
        self.fin = 0  # 1 if it ends the stream, which has a number of its own

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def pieces(self) -> int:
        """In how many pieces of memory it lies at least."""
        return -(-self.size >> FRAGMENT_BITS)


class Queued:
    """What the receiver has of one parcel, or of several that share one memory."""

    __slots__ = ("memory", "parcel", "pieces", "size")

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.size = parcel.size
        self.memory = parcel.size + OF_A_SEGMENT
        self.pieces = parcel.pieces


class Letter:
    """What goes to the other end: perhaps a parcel, always an acknowledgement and a window."""

    __slots__ = ("acknowledged", "cut", "parcel", "urgent", "window")

    def __init__(self, parcel: Parcel | None) -> None:
        self.parcel = parcel
        self.cut = 0  # to how many bytes the segments on the wire are cut, if it makes several
        self.urgent = False  # it announces an urgent byte
        self.acknowledged = self.window = 0

    def arrives(self, peer: ReceivingAccount) -> Iterator[Letter]:
        """What *peer* hears of it: segments, with a memory of their own each, if it is too large for the interface to take as
        one (gso_features_check). A peer that is in a call finds them joined again (tcp_add_backlog).
        """
        whole = self.parcel
        if not self.cut or whole is None or whole.size < TAKEN_AS_ONE or peer.in_call:
            yield self
            return
        for start in range(whole.start, whole.end, self.cut):
            part = Parcel(start)
            part.end = min(start + self.cut, whole.end)
            if part.end == whole.end:
                part.fin, part.pushed = whole.fin, whole.pushed
            letter = Letter(part)
            letter.urgent, letter.acknowledged, letter.window = self.urgent, self.acknowledged, self.window
            yield letter


class ReceivingAccount:
    """The half that hears."""

    __slots__ = (
        "advertised", "backlog", "backlog_memory", "buffer", "clamp", "copied", "deaf", "defers", "ended", "fast", "free_pages", "grows",
        "heard_ns", "in_call",
        "knocked", "largest", "last_size", "lost", "low_water", "marked", "memory", "no_memory", "now_ns", "owes", "owes_small", "owes_small_again", "peer", "pingpong",
        "queue", "quick", "ratio", "rcv_nxt", "rcv_wnd", "rcv_wup", "read_before", "read_ns", "reads", "scale",
        "threshold", "urgently", "window_end", "window_ns", "window_since_ns",
    )  # fmt: skip

    peer: Account

    def __init__(self, buffer: int, grows: bool) -> None:
        self.buffer = buffer  # sk_rcvbuf
        self.grows = grows  # nobody has set it
        self.window_ns = 0  # the least time in which a window came; 0 before one has
        self.window_end = self.window_since_ns = 0  # when so much has come, another one has; since when
        self.read_before = 0  # what was read when that was looked at last
        self.read_ns = 0  # when it was
        self.reads = 0  # most that was read in the time of a window
        self.ratio = RATIO
        self.memory = 0  # sk_rmem_alloc
        self.free_pages = 0  # sk_forward_alloc
        self.queue: deque[Queued] = deque()
        self.backlog: list[Letter] = []  # what came while the program was in a call
        self.backlog_memory = 0
        self.in_call = False
        self.defers = False  # an acknowledgement, to the end of the call
        self.deaf = False  # nobody will read here: what comes is answered with an RST, after the call
        self.lost = False  # a segment found no memory, and has not come again
        self.knocked = False  # which its program has not been woken for yet
        self.no_memory = False  # it is to be told
        self.fast = False  # plain data is only put into the queue (header prediction)
        self.low_water = 1  # SO_RCVLOWAT
        self.marked = False  # an urgent byte is announced, or here and not passed: no data is plain
        self.rcv_nxt = self.rcv_wup = self.copied = 0
        self.rcv_wnd = self.threshold = self.clamp = self.scale = self.advertised = 0
        self.largest = SMALL  # rcv_mss
        self.last_size = 0
        self.quick = 0
        self.pingpong = False  # it has answered
        self.ended = 0  # 1 when the peer's stream is
        self.urgently = False  # the next acknowledgement goes at once
        self.owes = self.owes_small = self.owes_small_again = False
        self.heard_ns = -1
        self.now_ns = 0

    # The window.

    def in_bytes(self, memory: int) -> int:
        """tcp_win_from_space."""
        return memory * self.ratio >> 8

    @property
    def space(self) -> int:
        return self.in_bytes(self.buffer - self.memory - self.backlog_memory)

    @property
    def offered(self) -> int:
        """How much of the window that was told last is left (tcp_receive_window)."""
        return max(self.rcv_wup + self.rcv_wnd - self.rcv_nxt, 0)

    @property
    def is_pressed(self) -> bool:
        """Is there hardly room for more (tcp_rmem_pressure, or a segment's window)?"""
        return self.memory > self.buffer - (self.buffer >> 3) or self.offered <= self.largest

    def choose_window(self) -> int:
        """__tcp_select_window."""
        free, allowed = self.space, self.in_bytes(self.buffer)
        full = min(self.clamp, allowed)
        segment = min(self.largest, full)
        if segment <= 0:
            return 0
        if free < full >> 1:
            self.quick = 0
            free = free >> self.scale << self.scale
            if free < allowed >> 4 or free < segment:
                return 0
        free = min(free, self.threshold)
        if self.scale:
            return self.scaled(free)
        window = self.rcv_wnd
        if window <= free - segment or window > free:
            return free // segment * segment
        return free if segment == full and free > window + (full >> 1) else window

    def scaled(self, window: int) -> int:
        return -(-window >> self.scale << self.scale)

    def tell_window(self) -> int:
        """tcp_select_window: never less than was told before, but where a segment found no memory."""
        if self.no_memory:
            self.no_memory = self.fast = False
            self.rcv_wnd, self.rcv_wup = 0, self.rcv_nxt
            return 0
        left, window = self.offered, self.choose_window()
        if window < left:
            window = self.scaled(left)
        self.rcv_wnd = window
        self.rcv_wup = self.rcv_nxt
        told = min(window, UNSCALED_MAX << self.scale) >> self.scale << self.scale
        self.fast = self.fast and told > 0
        return told

    def stamp(self, letter: Letter) -> None:
        """Every letter acknowledges all that came, and says the window."""
        letter.window = self.tell_window()
        letter.acknowledged = self.rcv_nxt
        if self.quick and self.owes:
            self.quick -= 1
        self.owes = self.owes_small = self.owes_small_again = self.urgently = False

    # What comes.

    def lend(self, memory: int) -> None:
        """Take *memory* out of what is lent, and borrow by the page if it is not enough."""
        if memory > self.free_pages:
            self.free_pages += -(-(memory - self.free_pages) // PAGE) * PAGE
        self.free_pages -= memory

    def give_back(self, memory: int) -> None:
        self.free_pages = (self.free_pages + memory) % PAGE

    def take_in(self, letter: Letter, plain: bool) -> bool:
        """Data, if it fits. False if it was dropped. Memory is not looked at for what is *plain*."""
        parcel = letter.parcel
        assert parcel is not None
        memory = parcel.size + OF_A_SEGMENT
        if parcel.end + parcel.fin <= self.rcv_nxt:  # once more
            self.pingpong = False
            self._be_quick()
            self.owes = True
            return False
        if parcel.start > self.rcv_nxt:  # behind what was lost, and beyond the window
            self.owes = self.urgently = True
            return False
        short = not plain and self.memory > self.buffer and not self._collapse()
        if parcel.size and (short or not self.offered):
            self.owes = self.urgently = self.lost = True
            self.no_memory = self.knocked = short
            return False
        if parcel.fin:
            self.ended = 1
            self.owes = self.pingpong = True
            self.urgently = short
        tail = self.queue[-1] if self.queue else None
        if tail is not None and not tail.parcel.kept and tail.pieces + parcel.pieces <= PIECES:
            tail.size += parcel.size
            tail.memory += parcel.size
            tail.pieces += parcel.pieces
            memory = parcel.size
        else:
            self.queue.append(Queued(parcel))
        self.memory += memory
        self.lend(memory)
        self.rcv_nxt = parcel.end + parcel.fin
        self.lost = self.lost and self.rcv_nxt < self.peer.snd_nxt
        if parcel.size:
            self._learn(parcel.size, letter)
        return True

    def _collapse(self) -> bool:
        """tcp_collapse: copy what takes much memory for few bytes, and all behind it, closer together. Is that enough?"""
        queue = self.queue
        start = next((n for n, each in enumerate(queue) if self.in_bytes(each.memory) > each.size), len(queue))
        loose = [queue.pop() for _ in range(len(queue) - start)]
        left = sum(each.size for each in loose)
        memory = sum(each.memory for each in loose)
        while left:
            copied = Queued(Parcel(0))
            copied.size = min(left, COPIED)
            copied.memory = OF_A_SEGMENT - HEAD + next(each for each in HEADS if each >= copied.size + SHARED)
            copied.pieces = PIECES  # nothing is put into it
            memory -= copied.memory
            left -= copied.size
            queue.append(copied)
        self.memory -= memory
        self.give_back(memory)
        return self.memory <= self.buffer

    def _learn(self, size: int, letter: Letter) -> None:
        """tcp_event_data_recv."""
        self.owes = True
        self._measure(size, letter)
        if self.grows and self.rcv_nxt >= self.window_end:
            self._time_window()
        if self.heard_ns < 0 or self.now_ns - self.heard_ns > IDLE_NS:
            self._be_quick()
        self.heard_ns = self.now_ns
        if size >= GROWS:
            room = min(self.clamp, self.space) - self.threshold
            if room > 0:
                self.threshold += min(room, max(2 * self.advertised, 2 * size))
                self.quick |= 1

    def _be_quick(self) -> None:
        """tcp_incr_quickack."""
        self.quick = max(self.quick, min(self.rcv_wnd // (2 * self.largest) or 2, QUICK))

    def _measure(self, size: int, letter: Letter) -> None:
        """tcp_measure_rcv_mss."""
        before, self.last_size = self.last_size, 0
        segment = letter.cut or size
        if segment >= self.largest:
            if segment != self.largest:
                ratio = (size << 8) // (size + OF_A_SEGMENT) or 1
                if ratio != self.ratio:
                    self.ratio = ratio
                    self.set_clamp(self.in_bytes(self.buffer))
            self.largest = min(segment, self.advertised)
            assert letter.parcel is not None
            self.owes_small = self.owes_small or letter.parcel.pushed
            return
        if segment + HEADER + 12 >= SMALL + HEADER:
            self.last_size = segment
            if segment == before:
                self.largest = segment
                return
        self.owes_small_again = self.owes_small
        self.owes_small = True

    def set_clamp(self, clamp: int) -> None:
        """tcp_set_window_clamp."""
        before, clamp = self.clamp, max(LEAST_CLAMP, clamp)
        if clamp == before:
            return
        self.clamp = clamp
        if clamp < before:
            self.threshold = min(self.threshold, clamp)
        else:
            self.threshold = max(min(self.rcv_wnd, clamp), self.threshold)

    def must_acknowledge(self) -> bool:
        """__tcp_ack_snd_check: at once?"""
        if self.rcv_nxt - self.rcv_wup > self.largest and (
            self.rcv_nxt - self.copied < self.low_water or self.choose_window() >= self.rcv_wnd
        ):
            return True
        return (self.quick > 0 and not self.pingpong) or self.urgently

    # What the program reads.

    def take_out(self, n: int) -> None:
        """*n* bytes were read; a parcel gives its memory back when all of it is."""
        while self.queue and (n > 0 or not self.queue[0].size):
            first = self.queue[0]
            part = min(n, first.size)
            first.size -= part
            n -= part
            self.copied += part
            if self.window_ns and self.now_ns - self.read_ns >= self.window_ns:
                self._grow_with_reader()
            if not first.size:
                self.queue.popleft()
                self.memory -= first.memory
                self.give_back(first.memory)

    def _time_window(self) -> None:
        """tcp_rcv_rtt_measure: how long did it take until a window had come? At least a microsecond."""
        if self.window_end:
            passed_ns = max(self.now_ns - self.window_since_ns, 1000)
            self.window_ns = min(self.window_ns or passed_ns, passed_ns)
        self.window_since_ns = self.now_ns
        self.window_end = self.rcv_nxt + self.rcv_wnd

    def _grow_with_reader(self) -> None:
        """tcp_rcv_space_adjust: who has read more than ever in the time of a window is offered more."""
        read = self.copied - self.read_before - (self.rcv_nxt - self.ended - self.copied)
        self.read_before, self.read_ns = self.copied, self.now_ns
        if read > self.reads:
            window = 2 * read
            window += 2 * (window * (read - self.reads) // self.reads)
            self.reads = read
            buffer = min((window << 8) // self.ratio, BUFFER_MAX)
            if buffer > self.buffer:
                self.buffer = buffer
                self.clamp = self.in_bytes(buffer)

    @property
    def would_tell_more(self) -> bool:
        """Would a window that was told now be larger than the one that was told last?"""
        quick = self.quick
        window = self.choose_window()
        self.quick = quick
        return window > self.offered

    def look_whether_fast(self) -> None:
        """tcp_fast_path_check."""
        self.fast = self.rcv_wnd > 0 and self.memory < self.buffer and not self.marked

    def tells_after_read(self, read: bool, shut: bool) -> bool:
        """tcp_cleanup_rbuf: has a call that *read* something made news for the sender?"""
        if self.owes:
            if self.rcv_nxt - self.rcv_wup > self.largest:
                return True
            small = self.owes_small_again or (self.owes_small and not self.pingpong)
            if read and small and not self.memory:
                return True
        if not read or shut:
            return False
        left = self.offered
        if 2 * left > self.clamp:
            return False
        window = self.choose_window()
        return window > 0 and window >= 2 * left
