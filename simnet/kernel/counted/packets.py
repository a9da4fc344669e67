"""How many packets may be on their way, by bbr: as many as were acknowledged within a round, times a gain, and some besides.

On a loopback a round takes some microseconds. Who sends small packets one by one, each acknowledged at once, has one in a
round, so its window stays as the first ten of them have left it; what is written beyond is put together and waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simnet.kernel.counted.receiving import Parcel

WINDOW_OF_PACKETS: Final = 10  # TCP_INIT_CWND
GAIN: Final = (2885, 1000)  # bbr_high_gain
BESIDES: Final = 3  # times what is sent at once (bbr_quantization_budget)
AT_ONCE: Final = 65215  # bytes that the interface takes as one, to cut them itself (sk_gso_max_size)
LEAST_AT_ONCE, MOST_AT_ONCE = 2, 127  # packets (bbr_tso_segs_goal)


class Delivered:
    """The packets of one end that were acknowledged."""

    __slots__ = ("last_ns", "most_in_round", "packets")

    def __init__(self) -> None:
        self.packets = 1  # the SYN
        self.last_ns = 0
        self.most_in_round = 1

    def note(self, parcel: Parcel, alone: bool, now_ns: int) -> None:
        """*parcel* is sent, with nothing else on its way if it is *alone* (tcp_rate_skb_sent)."""
        if alone:
            self.last_ns = now_ns
        parcel.delivered, parcel.since_ns = self.packets, self.last_ns

    def widens(self, last: Parcel, packets: int, window: int, mss: int, now_ns: int) -> bool:
        """*packets* were acknowledged, those of *last* the last of them: does the *window* grow by as many (bbr_set_cwnd)?"""
        self.packets += packets
        if last.since_ns == now_ns:
            self.most_in_round = max(self.most_in_round, self.packets - last.delivered)
        self.last_ns = now_ns
        if self.packets < WINDOW_OF_PACKETS:
            return True
        times, of = GAIN
        at_once = min(max(AT_ONCE // mss, LEAST_AT_ONCE), MOST_AT_ONCE)
        aim = -(-self.most_in_round * times // of) + BESIDES * at_once
        return window < aim + (aim & 1)
