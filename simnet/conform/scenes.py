"""How random programs of socket calls open: connections, datagrams, sockets that fight for a port.

A connection takes six calls that chance alone would rarely line up.
"""

from __future__ import annotations

from random import Random

from simnet.conform.program import Place, Step

__all__ = ["Opening"]

SIZES = (1, 1, 2, 3, 5, 10, 40, 300)  # bytes of a payload
LETTERS = bytes(range(ord("a"), ord("z") + 1))


class Opening:
    """A program being written: its steps so far, and the names they have made."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.steps: list[Step] = []
        self.counts: dict[str, int] = {}
        self.streams: list[str] = []  # names of TCP sockets that may be connected
        self.listeners: dict[str, Place | str] = {}  # and where they can be reached
        self.tight: list[str] = []  # those of them that a few calls fill
        self.fresh: list[str] = []
        self.datagrams: list[str] = []
        self.unix: list[str] = []
        self.pollers: list[str] = []
        self.free_ports = ["A", "B", "C"]
        self.letters = 0

    # --- small parts -----------------------------------------------------------------------------------------------

    def name(self, letter: str) -> str:
        number = self.counts[letter] = self.counts.get(letter, 0) + 1
        return f"{letter}{number}"

    def do(self, call: str, on: str = "", *args: object, makes: tuple[str, ...] = ()) -> None:
        self.steps.append(Step(call, on, args, makes))

    def payload(self) -> bytes:
        """Letters that go on where the last payload ended, so that bytes that come back in another order show."""
        size = self.random.choice(SIZES)
        start = self.letters % len(LETTERS)
        self.letters += size
        return (LETTERS * (size // len(LETTERS) + 2))[start : start + size]

    def port(self) -> str | int:
        return self.free_ports.pop(0) if self.free_ports and self.random.random() < 0.5 else 0

    def option(self, name: str) -> None:
        random = self.random
        option, *values = random.choice(
            (
                ("SO_ACCEPTCONN",),
                ("SO_TYPE",),
                ("SO_PROTOCOL",),
                ("SO_DOMAIN",),
                ("SO_KEEPALIVE", 0, 1, 7),
                ("SO_OOBINLINE", 0, 1),
                ("SO_REUSEADDR", 0, 1),
                ("SO_BROADCAST", 0, 1),
                ("SO_RCVLOWAT", 0, 1, 3, 20),
                ("TCP_NODELAY",),
                ("TCP_CORK", 0, 1),
                ("TCP_KEEPIDLE", 0, 1, 100, 40_000),
                ("TCP_KEEPCNT", 0, 5, 200),
                ("TCP_KEEPINTVL", 0, 1, 32_767, 32_768),
                ("TCP_SYNCNT", 0, 1, 127, 128),
                ("TCP_USER_TIMEOUT", -1, 0, 100_000),
                ("TCP_DEFER_ACCEPT", 1) if name.startswith("l") else ("TCP_DEFER_ACCEPT",),  # a client's delays its ACK
                ("TCP_FASTOPEN", 0, 5, 5000),
                *((("IP_RECVTOS", 0, 1),) if name[0] in "lsc" else ()),
                ("TCP_LINGER2", 10),
                ("IP_TTL", 0, 1, 255, 256),
                ("IP_TOS", 16),
            )
        )
        if option == "TCP_NODELAY":  # it is on from the beginning; to set it again lets held data go
            self.do("setsockopt", name, option, 1)
        elif values and random.random() < 0.7:
            self.do("setsockopt", name, option, random.choice(values))
        else:
            self.do("getsockopt", name, option)

    def on_stream(self, name: str) -> None:
        """Any call on a TCP socket; what they are, the moves know."""
        raise NotImplementedError

    # --- scenes ----------------------------------------------------------------------------------------------------

    def scene(self) -> None:
        self.random.choices(
            (self.connection, self.bare, self.datagram_scene, self.unix_scene, self.bind_scene),
            (60, 8, 12, 10, 8),
        )[0]()

    def connection(self) -> None:
        """A listener and one or two clients, most of them accepted."""
        random = self.random
        kind, bound, target = random.choices(
            (
                ("tcp", "here", "here"),
                ("tcp", "lo", "lo"),
                ("tcp", "any", "there"),
                ("tcp6", "lo6", "lo6"),
                ("tcp6", "any6", "lo"),
                ("tcp6", "any6", "lo6"),
            ),
            (50, 20, 10, 10, 6, 4),
        )[0]
        tight = kind == "tcp" and random.random() < 0.15
        if tight:
            kind = "tight"
        listener = self.name("l")
        self.do("socket", "", kind, makes=(listener,))
        if random.random() < 0.15:
            self.option(listener)
        port = self.port()
        self.do("bind", listener, Place(bound, port))
        self.do("listen", listener, random.choice((0, 1, 1, 5, 5, 128)))
        place = Place(target, listener if port == 0 else port)
        self.listeners[listener] = place
        client_kind = "tcp6" if target.endswith("6") else "tight" if tight else "tcp"
        for _ in range(1 if random.random() < 0.8 else 2):
            client = self.name("s")
            self.do("socket", "", client_kind, makes=(client,))
            if random.random() < 0.1:
                self.option(client)
            if random.random() < 0.1:
                self.do("bind", client, Place("lo6" if client_kind == "tcp6" else "there", 0))
            self.streams.append(client)
            if tight:
                self.tight.append(client)
            self.do("connect", client, place)
            if random.random() < 0.1:
                self.on_stream(client)
            if random.random() < 0.9:
                accepted = self.accept(listener)
                if tight:
                    self.tight.append(accepted)

    def accept(self, listener: str) -> str:
        accepted = self.name("c")
        self.do("accept", listener, makes=(accepted,))
        self.streams.append(accepted)
        return accepted

    def bare(self) -> None:
        name = self.name("s")
        self.do("socket", "", self.random.choice(("tcp", "tcp", "tcp6", "unix")), makes=(name,))
        self.fresh.append(name)

    def datagram_scene(self) -> None:
        random = self.random
        one, two = self.name("u"), self.name("u")
        kind, host = random.choice((("udp", "here"), ("udp", "lo"), ("udp6", "lo6")))
        self.do("socket", "", kind, makes=(one,))
        self.do("socket", "", kind, makes=(two,))
        self.do("bind", one, Place(host, 0))
        if random.random() < 0.7:
            self.do("connect", two, Place(host, one))
        if random.random() < 0.4:
            self.do("connect", one, Place(host, two))
        self.datagrams += [one, two]

    def unix_scene(self) -> None:
        kind = self.random.choice(("unix", "unix", "unix", "unix-dgram", "unix-seqpacket"))
        if self.random.random() < 0.5:
            one, two = self.name("x"), self.name("x")
            self.do("socketpair", "", kind, makes=(one, two))
            self.unix += [one, two]
            return
        if kind == "unix-dgram":
            self.unix_datagrams()
            return
        listener, client = self.name("l"), self.name("x")
        self.do("socket", "", kind, makes=(listener,))
        place = f"@{listener}"
        self.do("bind", listener, place)
        self.do("listen", listener, self.random.choice((0, 1, 5)))
        self.listeners[listener] = place
        self.do("socket", "", kind, makes=(client,))
        self.do("connect", client, place)
        self.unix.append(client)
        if self.random.random() < 0.9:
            accepted = self.name("x")
            self.do("accept", listener, makes=(accepted,))
            self.unix.append(accepted)

    def unix_datagrams(self) -> None:
        one, two = self.name("x"), self.name("x")
        for name in (one, two):
            self.do("socket", "", "unix-dgram", makes=(name,))
            if self.random.random() < 0.8:
                self.do("bind", name, f"@{name}")
            self.unix.append(name)
        self.do("connect", one, f"@{two}")
        if self.random.random() < 0.5:
            self.do("connect", two, f"@{one}")

    def bind_scene(self) -> None:
        """Several sockets that want one port (K-027, K-028, K-034)."""
        random = self.random
        port = self.free_ports[0] if self.free_ports else 0
        for _ in range(random.randint(2, 4)):
            kind, host = random.choice(
                (
                    ("tcp", "here"),
                    ("tcp", "there"),
                    ("tcp", "any"),
                    ("tcp6", "any6"),
                    ("tcp6", "mapped"),
                    ("udp", "here"),
                )
            )
            name = self.name("s")
            self.do("socket", "", kind, makes=(name,))
            for option in ("SO_REUSEADDR", "SO_REUSEPORT", "IPV6_V6ONLY"):
                if option == ("SO_REUSEPORT" if kind == "udp" else "" if kind == "tcp6" else "IPV6_V6ONLY"):
                    continue  # datagrams to a port that is shared so go where a secret of the kernel's sends them
                if random.random() < 0.3:
                    self.do("setsockopt", name, option, 1)
            self.do("bind", name, Place(host, port))
            if random.random() < 0.3:
                self.do("listen", name, 5)
            (self.datagrams if kind == "udp" else self.fresh).append(name)
