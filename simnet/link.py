"""One direction between two hosts: how long a segment takes, and whether it arrives."""

from __future__ import annotations

__all__ = ["DEFAULT_LATENCY", "Link"]

DEFAULT_LATENCY = 0.001  # seconds each way between two hosts: a switched LAN with a slow application on it


class Link:
    """Both directions between two hosts, as the user holds it: ``net.link("test", "server").latency = 0.2``.

    Within one instant and one direction, segments arrive in the order in which they were sent.
    """

    __slots__ = ("a", "b", "latency_ns")

    def __init__(self, a: str, b: str, latency: float = DEFAULT_LATENCY) -> None:
        self.a = a
        self.b = b
        self.latency_ns = 0
        self.latency = latency

    @property
    def latency(self) -> float:
        """Seconds each way."""
        return self.latency_ns / 1e9

    @latency.setter
    def latency(self, seconds: float) -> None:
        if not 0 <= seconds < 86_400:
            raise ValueError(f"latency={seconds!r} is outside 0..86400 seconds")
        self.latency_ns = round(seconds * 1e9)

    def __repr__(self) -> str:
        return f"Link({self.a} <-> {self.b}, latency={self.latency:g} s)"


class Direction:
    """One way along a link. Keeps FIFO order when the latency is lowered while segments are under way."""

    __slots__ = ("link", "_last_ns")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._last_ns = 0

    def arrival_ns(self, now_ns: int) -> int:
        """When a segment sent at *now_ns* arrives."""
        arrival = now_ns + self.link.latency_ns
        if arrival < self._last_ns:
            return self._last_ns
        self._last_ns = arrival
        return arrival
