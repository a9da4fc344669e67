"""Random programs of socket calls, each a function of its seed alone.

A program opens with a scene, since a connection takes six calls that chance alone would rarely line up, and goes on with
single moves on whatever names there are. Nothing here looks at what calls answer: half of the moves are wrong where they
are made, and what a kernel says to them is what we want to know.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from random import Random

from simnet.conform.program import ASKED, Place, Program
from simnet.conform.scenes import Opening
from simnet.kernel.messages import MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL

__all__ = ["random_program"]


def random_program(seed: int | str, moves: int = 14) -> Program:
    """The program of this seed: one or two scenes and about *moves* further steps."""
    return _Writer(Random(f"conform/{seed}")).write(moves)


class _Writer(Opening):
    """Goes on with moves on the names there are."""

    def write(self, moves: int) -> Program:
        self.scene()
        if self.random.random() < 0.2:
            self.scene()
        for _ in range(self.random.randint(moves // 2, moves * 3 // 2)):
            self.move()
        return Program(self.steps)

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
            self.do("send", name, self.payload(), MSG_MORE)
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
            self.do("recv", name, size, MSG_PEEK)
        elif choice < 0.75:
            self.do("drain", name)
        elif choice < 0.8:
            self.do("recv", name, size, random.choice((MSG_TRUNC, MSG_WAITALL, MSG_PEEK | MSG_WAITALL)))
        elif choice < 0.9:
            self.do("recv_into", name, size)
        elif choice < 0.94:
            self.do("recvfrom", name, size)
        elif choice < 0.97:
            self.do("recvmsg", name, size)
        else:
            self.do("recvmsg_into", name, *random.choice(((1, size), (size, 3), (2, 1, size), (size,))))

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
            self.do("send", name, self.payload(), MSG_OOB)
        elif choice < 0.7:
            self.do("recv", name, random.choice((1, 1, 5)), random.choice((MSG_OOB, MSG_OOB, MSG_OOB | MSG_PEEK)))
        elif choice < 0.8:
            self.do("recvmsg", name, 5, MSG_OOB)
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
        if choice < 0.27:
            self.do("send", name, random.choice((b"", self.payload(), self.payload())))
        elif choice < 0.3:
            self.do("send", name, self.payload(), MSG_MORE)
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
        if choice < 0.3:
            self.send(name)
        elif choice < 0.35:
            self.hand_over(name)
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

    def hand_over(self, name: str) -> None:
        """Descriptors through a Unix socket: whoever holds the last one closes the file, also one that is on its way."""
        random = self.random
        # No Unix sockets: the kernel collects those that hold each other.
        there = [*self.streams, *self.fresh, *self.datagrams]
        if there and random.random() < 0.5:
            self.do("pass", name, self.payload(), *random.sample(there, min(len(there), random.choice((1, 1, 2)))))
            return
        came = self.name("d")
        self.do("take", name, random.choice((1, 3, 100)), random.choice((0, 1, 1, 3)), makes=(came,))
        self.streams.append(came)

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
            (ASKED, ASKED, select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT, select.EPOLLPRI, select.EPOLLRDHUP, 0)
        )
        return int(
            events
            | random.choice(
                (0, 0, 0, select.EPOLLET, select.EPOLLET, select.EPOLLONESHOT, select.EPOLLET | select.EPOLLONESHOT)
            )
            | (select.EPOLLEXCLUSIVE if random.random() < 0.03 else 0)
        )
