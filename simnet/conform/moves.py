"""Random programs of socket calls, each a function of its seed alone.

A program opens with a scene, since a connection takes six calls that chance alone would rarely line up, and goes on with
single moves on whatever names there are. Nothing here looks at what calls answer: half of the moves are wrong where they
are made, and what a kernel says to them is what we want to know.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from random import Random

from simnet.conform.program import Place, Program, Step

__all__ = ["random_program"]

ONLY_IN, ALL = select.EPOLLIN, 0x23C7
SIZES = (1, 1, 2, 3, 5, 10, 40, 300)
LETTERS = bytes(range(ord("a"), ord("z") + 1))
OOB, PEEK, MORE, TRUNC, WAITALL = (
    int(socket.MSG_OOB),
    int(socket.MSG_PEEK),
    int(socket.MSG_MORE),
    int(socket.MSG_TRUNC),
    int(socket.MSG_WAITALL),
)


def random_program(seed: int | str, moves: int = 14) -> Program:
    """The program of this seed: one or two scenes and about *moves* further steps."""
    return _Writer(Random(f"conform/{seed}")).write(moves)


class _Writer:
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

    def write(self, moves: int) -> Program:
        self.scene()
        if self.random.random() < 0.2:
            self.scene()
        for _ in range(self.random.randint(moves // 2, moves * 3 // 2)):
            self.move()
        return Program(self.steps)

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

    # --- scenes ----------------------------------------------------------------------------------------------------

    def scene(self) -> None:
        self.random.choices(
            (self.connection, self.bare, self.datagram_scene, self.unix_scene, self.self_connection, self.bind_scene),
            (60, 8, 12, 10, 0, 8),
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

    def self_connection(self) -> None:
        name = self.name("s")
        self.do("socket", "", "tcp", makes=(name,))
        self.do("bind", name, Place("here", 0))
        self.do("connect", name, Place("here", name))
        self.streams.append(name)

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
                if random.random() < 0.3 and (kind == "tcp6" or option != "IPV6_V6ONLY"):
                    self.do("setsockopt", name, option, 1)
            self.do("bind", name, Place(host, port))
            if random.random() < 0.3:
                self.do("listen", name, 5)
            (self.datagrams if kind == "udp" else self.fresh).append(name)

    # --- moves -----------------------------------------------------------------------------------------------------

    def move(self) -> None:
        random = self.random
        kinds: list[tuple[Callable[[str], None], list[str], int]] = [
            (self.on_stream, self.streams, 60),
            (self.on_listener, list(self.listeners), 12),
            (self.on_fresh, self.fresh, 12),
            (self.on_datagram, self.datagrams, 30),
            (self.on_unix, self.unix, 30),
        ]
        there = [each for each in kinds if each[1]]
        if random.random() < 0.12:
            self.poller_move()
            return
        on, names, _ = random.choices(there, [weight for _, _, weight in there])[0]
        on(random.choice(names))

    def everything(self) -> list[str]:
        return [*self.streams, *self.listeners, *self.fresh, *self.datagrams, *self.unix]

    def on_stream(self, name: str) -> None:
        self.random.choices(
            (
                self.send,
                self.receive,
                self.shut,
                self.close,
                self.urgent,
                self.ask,
                self.odd,
                self.full,
                self.reconnect,
            ),
            (24, 28, 12, 10, 12, 10, 6, 25 if name in self.tight else 1, 4),
        )[0](name)

    def on_listener(self, name: str) -> None:
        random = self.random
        choice = random.random()
        if choice < 0.4:
            if name.startswith("l") and str(self.listeners[name]).startswith("@"):
                accepted = self.name("x")
                self.do("accept", name, makes=(accepted,))
                self.unix.append(accepted)
            else:
                self.accept(name)
        elif choice < 0.6:
            place = self.listeners[name]
            client = self.name("x" if isinstance(place, str) else "s")
            kind = "unix" if isinstance(place, str) else "tcp6" if place.host.endswith("6") else "tcp"
            self.do("socket", "", kind, makes=(client,))
            self.do("connect", client, place)
            (self.unix if kind == "unix" else self.streams).append(client)
        elif choice < 0.7:
            self.do("listen", name, random.choice((0, 1, 2, 5)))
        elif choice < 0.8:
            self.do("shutdown", name, random.randint(0, 2))
        elif choice < 0.9:
            self.do("close", name)
        else:
            random.choice((self.send, self.receive, self.ask, self.odd))(name)

    def on_fresh(self, name: str) -> None:
        random = self.random
        choice = random.random()
        if choice < 0.25:
            self.reconnect(name)
        elif choice < 0.4:
            self.do("bind", name, Place(random.choice(("here", "lo", "any", "there", "any6", "lo6")), self.port()))
        elif choice < 0.5:
            self.do("listen", name, random.choice((0, 5)))
        else:
            random.choice((self.send, self.receive, self.shut, self.close, self.ask, self.odd))(name)

    def send(self, name: str) -> None:
        random = self.random
        choice = random.random()
        if choice < 0.6:
            self.do("send", name, self.payload())
        elif choice < 0.7:
            self.do("send", name, self.payload(), MORE)
        elif choice < 0.8:
            self.do("send", name, b"")
        elif choice < 0.95:
            self.do("sendmsg", name, self.payload(), self.payload())
        else:
            self.do("sendto", name, self.payload(), Place("lo", 9))

    def receive(self, name: str) -> None:
        random = self.random
        size = random.choice((1, 2, 3, 10, 100, 4096))
        choice = random.random()
        if choice < 0.5:
            self.do("recv", name, size)
        elif choice < 0.65:
            self.do("recv", name, size, PEEK)
        elif choice < 0.75:
            self.do("drain", name)
        elif choice < 0.8:
            self.do("recv", name, size, random.choice((TRUNC, WAITALL, PEEK | WAITALL)))
        elif choice < 0.9:
            self.do("recv_into", name, size)
        elif choice < 0.95:
            self.do("recvfrom", name, size)
        else:
            self.do("recvmsg", name, size)

    def shut(self, name: str) -> None:
        self.do("shutdown", name, self.random.choice((0, 1, 1, 1, 2)))

    def close(self, name: str) -> None:
        choice = self.random.random()
        if choice < 0.3:
            self.do("linger", name)
        elif choice < 0.4:
            twin = self.name("d")
            self.do("dup", name, makes=(twin,))
            self.streams.append(twin)
            return
        self.do("close", name)

    def urgent(self, name: str) -> None:
        random = self.random
        choice = random.random()
        if choice < 0.4:
            self.do("send", name, self.payload(), OOB)
        elif choice < 0.7:
            self.do("recv", name, random.choice((1, 1, 5)), random.choice((OOB, OOB, OOB | PEEK)))
        elif choice < 0.8:
            self.do("recvmsg", name, 5, OOB)
        elif choice < 0.9:
            self.do("ioctl", name, "SIOCATMARK")
        else:
            self.do("setsockopt", name, "SO_OOBINLINE", random.randint(0, 1))

    def ask(self, name: str) -> None:
        random = self.random
        call = random.choice(("getsockname", "getpeername", "SO_ERROR", "SO_ERROR", "FIONREAD", "SIOCOUTQ", "option"))
        if call.startswith("get"):
            self.do(call, name)
        elif call == "SO_ERROR":
            self.do("getsockopt", name, "SO_ERROR")
        elif call == "option":
            self.option(name)
        elif name.startswith(("x", "u")):
            self.do("ioctl", name, "FIONREAD")
        else:
            self.do("ioctl", name, call)

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
                ("TCP_DEFER_ACCEPT", 1),
                ("TCP_LINGER2", 10),
                ("IP_TTL", 0, 1, 255, 256),
                ("IP_TOS", 16),
            )
        )
        if option == "TCP_NODELAY":  # on the kernel's side it is on from the beginning; to set it lets held data go
            self.do("setsockopt", name, option, 1)
        elif values and random.random() < 0.7:
            self.do("setsockopt", name, option, random.choice(values))
        else:
            self.do("getsockopt", name, option)

    def odd(self, name: str) -> None:
        """Calls that are nearly always out of place."""
        random = self.random
        choice = random.random()
        if choice < 0.3:
            self.do("bind", name, Place(random.choice(("here", "any", "lo6")), self.port()))
        elif choice < 0.5:
            self.do("listen", name, 1)
        elif choice < 0.7:
            self.do("accept", name, makes=(self.name("c"),))
        else:
            self.reconnect(name)

    def full(self, name: str) -> None:
        self.do("fill", name)

    def reconnect(self, name: str) -> None:
        random = self.random
        if name in self.datagrams:
            self.do("connect", name, Place("lo", random.choice(self.datagrams)))
            return
        places: list[Place | str] = list(self.listeners.values())
        if random.random() < 0.4 or not places:
            places = [Place(random.choice(("here", "lo", "any", "lo6")), "C")]
        self.do("connect", name, random.choice(places))

    def on_datagram(self, name: str) -> None:
        random = self.random
        choice = random.random()
        other = Place("here" if random.random() < 0.5 else "lo", random.choice(self.datagrams))
        if choice < 0.3:
            self.do("send", name, random.choice((b"", self.payload(), self.payload())))
        elif choice < 0.45:
            self.do("sendto", name, self.payload(), other if random.random() < 0.7 else Place("lo", "C"))
        elif choice < 0.7:
            self.receive(name)
        elif choice < 0.8:
            self.do("connect", name, random.choice((other, Place("lo", "C"), Place("any", "C"))))
        elif choice < 0.85:
            self.shut(name)
        elif choice < 0.9:
            self.do("close", name)
        elif choice < 0.95:
            self.ask(name)
        else:
            random.choice((self.odd, self.urgent))(name)

    def on_unix(self, name: str) -> None:
        random = self.random
        choice = random.random()
        if choice < 0.35:
            self.send(name)
        elif choice < 0.65:
            self.receive(name)
        elif choice < 0.75:
            self.shut(name)
        elif choice < 0.85:
            self.do("close", name)
        elif choice < 0.92:
            self.ask(name)
        elif choice < 0.94:
            self.urgent(name)
        elif choice < 0.97:
            self.do("sendto", name, self.payload(), f"@{random.choice(self.unix)}")
        else:
            place = random.choice([each for each in self.listeners.values() if isinstance(each, str)] or ["@nobody"])
            self.do(*random.choice((("connect", name, place), ("listen", name, 1), ("bind", name, f"@{name}"))))

    # --- pollers ---------------------------------------------------------------------------------------------------

    def poller_move(self) -> None:
        random = self.random
        names = self.everything()
        if not self.pollers or random.random() < 0.1:
            poller = self.name("e")
            self.do("epoll", "", makes=(poller,))
            self.pollers.append(poller)
            for name in random.sample(names, min(len(names), 3)):
                self.do("register", poller, name, self.events())
            return
        poller = random.choice(self.pollers)
        choice = random.random()
        if choice < 0.5:
            self.do("wait", poller, random.choice((1, 2, 10, 10)))
        elif choice < 0.6:
            self.do("select", "", *random.sample(names, min(len(names), 3)))
        elif choice < 0.75:
            self.do("register", poller, random.choice([*names, *self.pollers]), self.events())
        elif choice < 0.9:
            self.do("modify", poller, random.choice(names), self.events())
        else:
            self.do("unregister", poller, random.choice(names))

    def events(self) -> int:
        random = self.random
        events = random.choice(
            (ALL, ALL, ONLY_IN, select.EPOLLIN | select.EPOLLOUT, select.EPOLLPRI, select.EPOLLRDHUP, 0)
        )
        return int(
            events
            | random.choice(
                (0, 0, 0, select.EPOLLET, select.EPOLLET, select.EPOLLONESHOT, select.EPOLLET | select.EPOLLONESHOT)
            )
            | (select.EPOLLEXCLUSIVE if random.random() < 0.03 else 0)
        )
