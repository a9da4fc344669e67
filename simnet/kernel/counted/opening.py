"""The accounts of a connection over which nothing has gone yet: what its ends have agreed on in the handshake."""

from __future__ import annotations

from typing import Final

from simnet.kernel.counted.account import LARGEST, LARGEST_V6, SEGMENTS_HELD, TIMESTAMPS, Account
from simnet.kernel.counted.packets import WINDOW_OF_PACKETS
from simnet.kernel.counted.receiving import BUFFER_MAX, LEAST, SMALL, UNSCALED_MAX
from simnet.kernel.counted.wire import Wire

HEADERS: Final = 512  # bytes of a segment besides its own, for which a send buffer has room in a power of two
_UNCLAMPED: Final = 65535 << 14
UNSET_BUFFER: Final = 131072  # net.ipv4.tcp_rmem[1]


class Terms:
    """What one end brings along, from before the connection: SO_SNDBUF, SO_RCVBUF, TCP_MAXSEG and TCP_WINDOW_CLAMP, or 0.

    And how many times the window of packets a send buffer holds, by its congestion control.
    """

    __slots__ = ("clamp", "held", "maxseg", "receive_buffer", "send_buffer")

    def __init__(
        self,
        send_buffer: int = 0,
        receive_buffer: int = 0,
        maxseg: int = 0,
        held: int = SEGMENTS_HELD,
        clamp: int = 0,
    ) -> None:
        self.clamp = clamp
        self.held = held
        self.send_buffer = send_buffer
        self.receive_buffer = receive_buffer
        self.maxseg = maxseg


def open_accounts(client: Terms, server: Terms, now_ns: int, six: bool = False) -> tuple[Account, Account]:
    """The accounts of a connection that nothing has gone over."""
    wire = Wire()
    largest = LARGEST_V6 if six else LARGEST
    ends = []
    for terms in (client, server):
        end = Account(terms.send_buffer, terms.receive_buffer, wire)
        end.now_ns = end.read_ns = now_ns
        end.held = terms.held
        end.advertised = min(terms.maxseg or largest + TIMESTAMPS, largest + TIMESTAMPS) - TIMESTAMPS
        ends.append(end)
    opener, other = ends
    opener.peer, other.peer = other, opener
    opener.limit = other.limit = min(opener.advertised, other.advertised)
    for end in ends:
        if end.each:
            end.each += 1 << (opener.limit + TIMESTAMPS + HEADERS - 1).bit_length()
            end.expand()
    _offer_first(opener, opener.advertised + TIMESTAMPS, client)
    _offer_first(other, other.advertised, server)
    opener.snd_wnd = opener.largest_window = min(other.rcv_wnd, UNSCALED_MAX)  # no SYN scales
    opener.sync()
    _establish(opener)
    other.snd_wnd = other.largest_window = opener.tell_window()
    other.sync()
    _establish(other)
    other.fast = True
    opener.fast = not other.scale
    return opener, other


def _offer_first(end: Account, segment: int, terms: Terms) -> None:
    """tcp_select_initial_window."""
    space = end.in_bytes(end.buffer)
    clamp = terms.clamp or _UNCLAMPED
    if terms.receive_buffer:
        clamp = min(clamp, space)
    space = min(space, clamp)
    if space > segment:
        space -= space % segment
    end.rcv_wnd = end.threshold = space
    end.scale = max(min(BUFFER_MAX, clamp).bit_length() - 16, 0)
    end.clamp = min(UNSCALED_MAX << end.scale, clamp)


def _within(clamp: int, full: int, segment: int) -> int:
    """tcp_init_buffer_space: the limit of a window, which leaves room for one segment of several."""
    clamp = min(clamp, full)
    return max(2 * segment, full - segment) if clamp > 2 * segment and clamp + segment > full else clamp


def clamp_of(terms: Terms, asked: int, grown: int, six: bool) -> int:
    """TCP_WINDOW_CLAMP of an end that is connected within its host.

    *asked* is what its program has set for that, and *grown* what SO_RCVLOWAT has made of SO_RCVBUF; 0 if they have not.
    """
    full = (terms.receive_buffer or grown or UNSET_BUFFER) // 2
    clamp = asked or _UNCLAMPED
    if terms.receive_buffer:
        clamp = min(clamp, full)
    clamp = min(UNSCALED_MAX << max(min(BUFFER_MAX, clamp).bit_length() - 16, 0), clamp)
    largest = LARGEST_V6 if six else LARGEST
    return _within(clamp, full, min(terms.maxseg - TIMESTAMPS, largest) if terms.maxseg else largest)


def _establish(end: Account) -> None:
    """tcp_init_buffer_space, and tcp_initialize_rcv_mss."""
    full, segment = end.in_bytes(end.buffer), end.advertised
    end.clamp = _within(end.clamp, full, segment)
    end.threshold = min(end.threshold, end.clamp)
    end.reads = min(end.threshold, end.rcv_wnd, WINDOW_OF_PACKETS * segment)
    end.largest = max(min(segment, end.mss, end.rcv_wnd // 2, SMALL), LEAST)
