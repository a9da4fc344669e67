"""The path between two hosts: how long a segment takes, and whether it arrives."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

from simnet.kernel.options.packed import ETHERNET_MTU
from simnet.misnamed import no_attribute

__all__ = ["DEFAULT_LATENCY", "PROFILES", "Direction", "Link", "NotALink", "Profile"]

DEFAULT_LATENCY = 0.001  # seconds each way between two hosts: a switched LAN with a slow application on it
HEADERS = 40  # bytes of IPv4 and TCP before the payload, without options


class Profile(NamedTuple):
    """What a link is like, under a name. Seconds, bytes a second, probabilities."""

    latency: float
    jitter: float = 0.0
    bandwidth: float | None = None
    loss: float = 0.0
    mtu: int = ETHERNET_MTU


PROFILES = {
    "loopback": Profile(0.0, mtu=65_536),  # Linux' lo
    "lan": Profile(0.000_25, bandwidth=125e6),  # gigabit Ethernet, two switches
    "wan": Profile(0.040, 0.002, 12.5e6, 0.000_1),  # across the Atlantic: some 80 ms and back, 100 Mbit/s
    "3g": Profile(0.035, 0.165, 48_000, 0.005),  # UMTS as Android's emulator has it: 35 to 200 ms, 384 kbit/s
    "satellite": Profile(0.280, 0.010, 1.25e6, 0.001),  # geostationary: 2 x 35,786 km are 239 ms, the rest is queues
}

FACE = ("a", "b", "latency", "jitter", "bandwidth", "loss", "duplication", "reordering", "mtu", "use")


class Link:
    """Both directions between two hosts: ``net.link("test", "server").latency = 0.2``.

    ``latency`` and ``jitter`` are seconds each way (each segment takes up to *jitter* longer), ``bandwidth`` bytes a
    second or ``None``; ``loss``, ``duplication`` and ``reordering`` are probabilities of a segment, below TCP. With one
    of the last three, or in a partition, TCP acknowledges and retransmits, as it does anywhere.
    """

    __slots__ = (
        "a", "b", "latency_ns", "jitter_ns", "_bandwidth", "_chances", "_mtu", "_blocked", "_parted", "dark", "plain",
        "_changed",
    )  # fmt: skip

    def __init__(
        self, a: str, b: str, latency: float = DEFAULT_LATENCY, changed: Callable[[Link], object] | None = None
    ) -> None:
        self.a = a
        self.b = b
        self.latency_ns = _DEFAULT_NS if latency is DEFAULT_LATENCY else _nanoseconds("latency", latency)
        self.jitter_ns = 0
        self._bandwidth: float | None = None
        self._chances: dict[str, float] = {}  # those that have been set
        self._mtu = ETHERNET_MTU
        self._blocked: tuple[str, ...] = ()  # the hosts from which nothing gets through
        self._parted: tuple[str, ...] = ()  # the same, by a plan
        self.dark = False  # one of its hosts has no power
        self.plain = True  # latency is all there is
        self._changed = changed

    def __repr__(self) -> str:
        parts = [f"latency={self.latency:g} s"]
        if self.jitter_ns:
            parts.append(f"jitter={self.jitter:g} s")
        if self._bandwidth is not None:
            parts.append(f"bandwidth={self._bandwidth:g} B/s")
        chances = (("loss", self.loss), ("duplication", self.duplication), ("reordering", self.reordering))
        parts += [f"{name}={chance:g}" for name, chance in chances if chance]
        parts += [f"nothing from {host}" for host in dict.fromkeys((*self._blocked, *self._parted))]
        parts += ["no power at one end"] if self.dark else []
        return f"Link({self.a} <-> {self.b}, {', '.join(parts)})"

    # --- what a user may set ---------------------------------------------------------------------------------------

    @property
    def latency(self) -> float:
        """Seconds each way."""
        return self.latency_ns / 1e9

    @latency.setter
    def latency(self, seconds: float) -> None:
        self.latency_ns = _nanoseconds("latency", seconds)

    @property
    def jitter(self) -> float:
        """Seconds: a segment takes up to this much longer than ``latency``. Segments still arrive in order."""
        return self.jitter_ns / 1e9

    @jitter.setter
    def jitter(self, seconds: float) -> None:
        self.jitter_ns = _nanoseconds("jitter", seconds)
        self._note()

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second, each way; ``None``: no limit."""
        return self._bandwidth

    @bandwidth.setter
    def bandwidth(self, bytes_a_second: float | None) -> None:
        if bytes_a_second is not None and not _number("bandwidth", bytes_a_second) > 0:
            raise ValueError(f"bandwidth={bytes_a_second!r} is not above 0 bytes a second; None is no limit")
        self._bandwidth = bytes_a_second
        self._note()

    @property
    def loss(self) -> float:
        """The probability that a segment does not arrive."""
        return self._chances.get("loss", 0.0)

    @loss.setter
    def loss(self, probability: float) -> None:
        self._chance("loss", probability)

    @property
    def duplication(self) -> float:
        """The probability that a segment arrives twice."""
        return self._chances.get("duplication", 0.0)

    @duplication.setter
    def duplication(self, probability: float) -> None:
        self._chance("duplication", probability)

    @property
    def reordering(self) -> float:
        """The probability that a segment is overtaken by those sent after it."""
        return self._chances.get("reordering", 0.0)

    @reordering.setter
    def reordering(self, probability: float) -> None:
        self._chance("reordering", probability)

    @property
    def mtu(self) -> int:
        """Bytes of the largest packet. Segments are cut to it only if the link does more than delay them."""
        return self._mtu

    @mtu.setter
    def mtu(self, size: int) -> None:
        if not isinstance(_number("mtu", size), int):
            raise TypeError(f"mtu={size!r} is no whole number of bytes")
        if not 68 <= size <= 65_536:
            raise ValueError(f"mtu={size!r} is outside 68 (RFC 791) to 65536 (Linux' lo)")
        self._mtu = size
        self._note()

    def use(self, profile: str) -> None:
        """Take the values of one of ``simnet.link.PROFILES``: loopback, lan, wan, 3g, satellite."""
        like = PROFILES.get(profile)
        if like is None:
            raise ValueError(f"there is no profile {profile!r}; there are {', '.join(PROFILES)}")
        self.latency, self.jitter, self.bandwidth = like.latency, like.jitter, like.bandwidth
        self.loss, self.mtu = like.loss, like.mtu

    # --- for the network -------------------------------------------------------------------------------------------

    def __dir__(self) -> list[str]:
        """What there is to use; the rest is the network's."""
        return [name for name in object.__dir__(self) if name.startswith("__") or name in FACE]

    def block(self, *sources: str) -> None:
        """Drop everything that these of its two hosts send, besides what is dropped already; without hosts, let everything through again."""
        self._blocked = tuple(dict.fromkeys((*self._blocked, *sources))) if sources else ()
        self._note()

    def part(self, *sources: str) -> None:
        """Let nothing through that these send, whatever else blocks it, until :meth:`join`."""
        self._parted = (*self._parted, *sources)
        self._note()

    def join(self, *sources: str) -> None:
        """End one such parting of each."""
        left = list(self._parted)
        for source in sources:
            left.remove(source)
        self._parted = tuple(left)
        self._note()

    def darken(self, dark: bool) -> None:
        """One of its hosts has lost its power, or both have it again."""
        self.dark = dark
        self._note()

    def blocks(self, source: str) -> bool:
        return self.dark or source in self._blocked or source in self._parted

    @property
    def loses(self) -> bool:
        """May a segment not arrive, or not in its place?"""
        return self.dark or bool(self._blocked or self._parted) or any(self._chances.values())

    @property
    def mss(self) -> int | None:
        """Bytes of payload in the largest segment; ``None`` where nobody could tell the difference."""
        return None if self.plain else self._mtu - HEADERS

    def _chance(self, name: str, probability: float) -> None:
        if not 0 <= _number(name, probability) <= 1:
            raise ValueError(f"{name}={probability!r} is outside 0..1")
        self._chances[name] = probability
        self._note()

    def dissolve(self) -> None:
        """Its network is over: nobody wants to hear of changes any more."""
        self._changed = None

    def _note(self) -> None:
        self.plain = not (self.jitter_ns or self._bandwidth is not None or self.loses)
        if self._changed is not None:
            self._changed(self)


class _OfALink:
    """A name that a network or a host might be thought to have; a link has it."""

    __slots__ = ("name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _refuse(self, asked: object) -> NoReturn:
        kind = type(asked).__name__
        remedy = f'net.link("client", "server").{self.name}'
        raise AttributeError(f"a {kind} has no {self.name}; each link between two hosts has its own: {remedy}")

    def __get__(self, asked: object, owner: type) -> Any:
        return self if asked is None else self._refuse(asked)

    def __set__(self, asked: object, value: object) -> NoReturn:
        self._refuse(asked)


class NotALink:
    """A network or a host: what people look for there, and a link has, is refused with where it is."""

    __slots__ = ()

    latency = _OfALink()
    jitter = _OfALink()
    bandwidth = _OfALink()
    loss = _OfALink()
    duplication = _OfALink()
    reordering = _OfALink()
    mtu = _OfALink()

    INNER: ClassVar[tuple[str, ...]] = ()  # public to other rooms, and nothing that a test should call

    if not TYPE_CHECKING:  # else any name would do
        __getattr__ = no_attribute

    def __dir__(self) -> list[str]:
        """What there is to use: what completes names shall not offer what is refused."""
        return [name for name in object.__dir__(self) if name not in self.INNER and name not in _REFUSED]


_REFUSED = ("INNER", *(name for name, value in vars(NotALink).items() if isinstance(value, _OfALink)))


class Direction:
    """One way along a link. Segments keep their order, unless the link reorders."""

    __slots__ = ("link", "source", "_seed", "_dice", "last_ns", "_free_ns")

    def __init__(self, link: Link, source: str = "", target: str = "", seed: str = "") -> None:
        self.link = link
        self.source = source
        self._seed = (seed, source, target)  # its own, so that another link's fate leaves these dice alone
        self._dice: Random | None = None  # made when first thrown: that costs as much as a connection
        self.last_ns = 0
        self._free_ns = 0  # when the line has taken the last byte

    def arrivals_ns(self, now_ns: int, size: int) -> tuple[int, ...]:
        """When a packet of *size* bytes sent at *now_ns* arrives: once, twice, or never."""
        if self._dice is None:
            self._dice = Random("{}/{}->{}".format(*self._seed))
        link, dice = self.link, self._dice.random
        leaves = now_ns
        if link.bandwidth is not None:
            leaves = max(now_ns, self._free_ns) + round(size / link.bandwidth * 1e9)
            self._free_ns = leaves
        if link.blocks(self.source) or (link.loss and dice() < link.loss):
            return ()
        arrival = leaves + link.latency_ns
        if link.jitter_ns:
            arrival += round(dice() * link.jitter_ns)
        if link.reordering and dice() < link.reordering:
            arrival += max(link.latency_ns, 1_000)  # late enough to be overtaken by whatever follows within a latency
        else:
            arrival = self.last_ns = max(arrival, self.last_ns)
        if link.duplication and dice() < link.duplication:
            return (arrival, arrival)
        return (arrival,)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is no number")
    return value


def _nanoseconds(name: str, seconds: float) -> int:
    if not 0 <= _number(name, seconds) <= 86_400:
        raise ValueError(f"{name}={seconds!r} is outside 0..86400 seconds")
    return round(seconds * 1e9)


_DEFAULT_NS = _nanoseconds("latency", DEFAULT_LATENCY)
