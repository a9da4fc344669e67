"""Where a program of socket calls runs: one bench per run, the same code for the kernel and for simnet.

Every call goes through the standard library's modules at the moment it is made. Inside a network they are the
simulated ones, outside the real ones, and nothing here knows which.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import re
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from simnet import real
from simnet.conform.program import ASKED, FAMILIES, IOCTLS, OPTIONS, TIGHT, Place, Step, mask_names
from simnet.conform.words import Setting, Words, outcome
from simnet.kernel.readiness import ERR, HUP, IN, OUT, PRI
from simnet.kernel.tcp.nagle import answers
from simnet.kernel.tcp.window import owes_acknowledgement
from simnet.poll import FD_SETSIZE
from simnet.process import FIRST_DESCRIPTOR

__all__ = ["Bench"]

FILLER = b"F"  # what `fill` sends; no other payload has it, so that a run of it can be written as "F*"
NOTHING = "(no such name)"
FILL_MAX = 1 << 26  # bytes; a buffer that took so much is not going to be full


class Bench:
    """The sockets and pollers of one run, by name.

    Its streams send without Nagle's rule. A *prompt* bench has the kernel acknowledge at once (see `acknowledge`).
    """

    def __init__(self, setting: Setting, prompt: bool = False) -> None:
        self.setting = setting
        self._prompt = prompt
        self.words = Words(setting)
        self.things: dict[str, Any] = {}
        self.names: dict[int, str] = {}  # of each descriptor number, the name it was last open under
        self._watching: dict[str, int] = {}  # open sockets and pollers, in order of making
        self._poll = select.poll()

    # --- a step ----------------------------------------------------------------------------------------------------

    def perform(self, step: Step, expected: str | None = None, patience: float = 0.0) -> str:
        """What the call answered, in words. *expected* and *patience* (s) are for calls that may need a while."""
        call = step.call
        if call in MAKERS:
            made = outcome(lambda: getattr(self, "make_" + call)(*step.args))
            return made if isinstance(made, str) else self._keep(step.makes, made)
        thing = self.things.get(step.on)
        if thing is None:
            return NOTHING
        if isinstance(thing, socket.socket) == (call in POLLER_CALLS) and call != "close":
            return NOTHING  # a shorter program gave the name to something else
        method = getattr(self, "call_" + call)
        self.words.kind = getattr(thing, "type", 0)
        if call == "drain":
            return self.words.say(outcome(lambda: method(thing, expected, patience)))
        if call in ("accept", "dup"):
            made = outcome(lambda: method(thing, *step.args))
            return self.words.say(made) if isinstance(made, str) else self._keep(step.makes, made)
        if call == "take":
            taken = outcome(lambda: method(thing, *step.args))
            return taken if isinstance(taken, str) else self._name(step.makes, *taken)
        if call == "close":
            self._forget(step.on)
        return self.words.say(outcome(lambda: method(thing, *step.args)))

    def _keep(self, names: tuple[str, ...], made: tuple[Any, ...]) -> str:
        """Give names to what was made; what else came with it (a peer's address) is the answer."""
        for name, thing in zip(names, made, strict=False):
            old = self.things.get(name)
            if old is not None and old.fileno() != -1:
                self._forget(name)
                old.close()
            if isinstance(thing, socket.socket):
                thing.setblocking(False)
            self.things[name] = thing
            fd = thing.fileno()
            self.names[fd] = name
            self._watching[name] = fd
            self._poll.register(fd, ASKED)
        return self.words.say(made[len(names)]) if len(made) > len(names) else "ok"

    def _name(self, names: tuple[str, ...], came: list[Any], answer: Any) -> str:
        """Names for the first that *came* with a message; the others are closed."""
        if came:
            self._keep(names, (came[0],))
        for other in came[1:]:
            other.close()
        return self.words.say(answer)

    def _forget(self, name: str) -> None:
        fd = self._watching.pop(name, None)
        if fd is not None:
            self._poll.unregister(fd)

    def masks(self) -> tuple[tuple[str, int], ...]:
        """What poll says of each open socket and poller, every bit asked."""
        ready = dict(self._poll.poll(0))
        return tuple([(name, ready.get(fd, 0)) for name, fd in self._watching.items()])

    def acknowledge(self) -> None:
        """Have every connection acknowledge what it has received now, and not in 40 ms.

        Linux delays acknowledgements as it thinks fit, and Nagle's rule holds small writes back until one comes, if
        TCP_NODELAY is not set. What is compared is a kernel that has none outstanding, but for who filled a window (K-066).
        """
        for _, thing in self.open_sockets():
            stream = thing.family != socket.AF_UNIX and thing.type == socket.SOCK_STREAM
            if stream and (self._prompt or _may_owe(thing._file())):
                thing.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def open_sockets(self) -> list[tuple[str, Any]]:
        """Name and socket of each that is not closed."""
        return [(name, thing) for name, thing in self.opened() if isinstance(thing, socket.socket)]

    def opened(self) -> list[tuple[str, Any]]:
        """Name and thing, pollers included, in order of making."""
        return [(name, self.things[name]) for name in self._watching]

    def disagreements(self) -> list[str]:
        """Open sockets of which poll, select and a fresh epoll registration say different things (K-001)."""
        found = []
        for name, thing in self.open_sockets():
            fd = thing.fileno()
            mask = dict(self.masks())[name]
            with select.epoll() as epoll:
                epoll.register(fd, ASKED)
                told = dict(epoll.poll(0)).get(fd, 0)
            said = tuple(map(bool, select.select([fd], [fd], [fd], 0))) if _fits_select(fd) else None
            wanted = bool(mask & (IN | ERR | HUP)), bool(mask & (OUT | ERR)), bool(mask & PRI)
            if told != mask or said not in (None, wanted):
                found.append(f"{name}: poll {mask_names(mask)}, epoll {mask_names(told)}, select {said}")
        return found

    def place(self, place: Place | str) -> Any:
        """The address that a program means."""
        if isinstance(place, str):
            return self.setting.unix(place) if place else ""
        port = self.setting.ports.get(str(place.port), place.port)
        if isinstance(port, str):  # the port of a socket
            thing = self.things.get(port)
            name = outcome(thing.getsockname) if thing is not None else None
            port = (name[1] if isinstance(name, tuple) else 0) or self.setting.ports["C"]  # where nobody is
        return (self.setting.host(place.host), port)

    def close(self) -> None:
        """End the run: connections are reset, so that they leave no TIME_WAIT behind."""
        for _, thing in self.opened():
            if isinstance(thing, socket.socket) and thing.family != socket.AF_UNIX and thing.type == socket.SOCK_STREAM:
                with contextlib.suppress(OSError):
                    self.call_linger(thing)
            thing.close()
        self._watching.clear()

    # --- makers ----------------------------------------------------------------------------------------------------

    def make_socket(self, kind: str) -> tuple[Any, ...]:
        made = socket.socket(*FAMILIES[kind])
        if kind == "tight":
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                made.setsockopt(socket.SOL_SOCKET, option, TIGHT)
        if made.type == socket.SOCK_STREAM and made.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (made,)

    def make_socketpair(self, kind: str) -> tuple[Any, ...]:
        return socket.socketpair(*FAMILIES[kind])

    def make_epoll(self) -> tuple[Any, ...]:
        return (select.epoll(),)

    def make_select(self, *names: str) -> Any:
        """Not a maker of names: it asks three lists at once and says which names came back."""
        fds = [self._watching[name] for name in names if name in self._watching]
        if not all(map(_fits_select, fds)):
            return "a descriptor beyond FD_SETSIZE"
        ready = select.select(fds, fds, fds, 0)
        return " / ".join(",".join(self.names[fd] for fd in part) for part in ready)

    # --- calls on a socket -----------------------------------------------------------------------------------------

    def call_bind(self, sock: Any, place: Place | str) -> Any:
        return sock.bind(self.place(place))

    def call_listen(self, sock: Any, backlog: int) -> Any:
        return sock.listen(backlog)

    def call_connect(self, sock: Any, place: Place | str) -> Any:
        return sock.connect(self.place(place))

    def call_accept(self, sock: Any) -> Any:
        return sock.accept()

    def call_dup(self, sock: Any) -> Any:
        return (sock.dup(),)

    def call_recv(self, sock: Any, size: int, flags: int = 0) -> Any:
        data = sock.recv(size, flags)
        if not flags & socket.MSG_TRUNC:
            return data
        # It counts more than it copies, and CPython shows what happened to be in memory.
        return len(data) if sock.type == socket.SOCK_STREAM else (data[:size], len(data))

    def call_recv_into(self, sock: Any, size: int) -> Any:
        buffer = bytearray(size)
        count = sock.recv_into(buffer)
        return count, bytes(buffer[:count])

    def call_recvfrom(self, sock: Any, size: int) -> Any:
        return sock.recvfrom(size)

    def call_recvmsg(self, sock: Any, size: int, flags: int = 0) -> Any:
        return sock.recvmsg(size, 0, flags)

    def call_recvmsg_into(self, sock: Any, *sizes: int) -> Any:
        buffers = [bytearray(size) for size in sizes]
        count, ancillary, flags, address = sock.recvmsg_into(buffers)
        return count, b"".join(buffers)[:count], ancillary, flags, address

    def call_take(self, sock: Any, size: int, room: int) -> Any:
        """Receive with room for so many descriptors: sockets of those that came, and what was said."""
        data, ancillary, flags, address = sock.recvmsg(size, socket.CMSG_SPACE(4 * room) if room else 0)
        came = [socket.socket(fileno=fd) for _, _, packed in ancillary for (fd,) in struct.iter_unpack("i", packed)]
        return came, (data, len(came), flags, address)

    def call_pass(self, sock: Any, data: bytes, *names: str) -> Any:
        """Send *data* and the descriptors of *names*, as far as there are any."""
        fds = [self._watching[name] for name in names if name in self._watching]
        return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])

    def call_send(self, sock: Any, data: bytes, flags: int = 0) -> Any:
        return sock.send(data, flags)

    def call_sendto(self, sock: Any, data: bytes, place: Place | str) -> Any:
        return sock.sendto(data, self.place(place))

    def call_sendmsg(self, sock: Any, *parts: bytes) -> Any:
        return sock.sendmsg(parts)

    def call_shutdown(self, sock: Any, how: int) -> Any:
        return sock.shutdown(how)

    def call_close(self, thing: Any) -> Any:
        return thing.close()

    def call_getsockname(self, sock: Any) -> Any:
        return self.words.address(sock.getsockname())

    def call_getpeername(self, sock: Any) -> Any:
        return self.words.address(sock.getpeername())

    def call_getsockopt(self, sock: Any, name: str) -> Any:
        value = sock.getsockopt(*OPTIONS[name])
        return _errno(value) if name == "SO_ERROR" else value

    def call_setsockopt(self, sock: Any, name: str, value: int) -> Any:
        return sock.setsockopt(*OPTIONS[name], value)

    def call_linger(self, sock: Any) -> Any:
        return sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def call_ioctl(self, sock: Any, request: str) -> Any:
        answer = array.array("i", [0])
        fcntl.ioctl(sock.fileno(), IOCTLS[request], answer, True)
        return answer[0]

    # --- until the end ---------------------------------------------------------------------------------------------

    def call_fill(self, sock: Any) -> Any:
        """Send until the kernel takes no more, and still takes no more when all of it was acknowledged.

        How much that is, each kernel decides (K-065).
        """
        taken = 0
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        while taken < FILL_MAX:
            before = taken
            with contextlib.suppress(BlockingIOError):
                while taken < FILL_MAX:
                    # Large chunks: a thousand tiny segments would use up the peer's memory before its window.
                    taken += sock.send(FILLER * 65536)
            self.acknowledge()
            if taken == before and not poll.poll(1):
                break
        return "full" if taken else "EAGAIN"

    def call_drain(self, sock: Any, expected: str | None, patience: float) -> Any:
        """Read all there is and how it ends. What still flows in is waited for, until it is *expected*."""
        parts: list[bytes] = []
        deadline = real.monotonic() + patience if expected is not None else 0.0
        looks = 0
        while True:
            try:
                data = sock.recv(65536)
                if data:
                    parts.append(data)
                    looks = 0
                    continue
                end = "end"
            except OSError as error:
                end = outcome(_raise(error))
            data = b"".join(parts)
            text = f"{_shortened(data)!r} {end}"
            if expected is None or real.monotonic() > deadline:
                return text
            if text == expected:
                # The rest of a run of fillers may be on its way still. (An error was taken: after it comes another end.)
                looks += 1
                if looks > 2 or FILLER not in data or end not in ("EAGAIN", "end"):
                    return text
            real.sleep(0.0002)

    # --- calls on a poller -----------------------------------------------------------------------------------------

    def call_register(self, epoll: Any, name: str, events: int) -> Any:
        return self._on_registered(epoll.register, name, events)

    def call_modify(self, epoll: Any, name: str, events: int) -> Any:
        return self._on_registered(epoll.modify, name, events)

    def call_unregister(self, epoll: Any, name: str) -> Any:
        return self._on_registered(epoll.unregister, name)

    def _on_registered(self, call: Callable[..., Any], name: str, *events: int) -> Any:
        thing = self.things.get(name)
        return NOTHING if thing is None else call(thing, *events)

    def call_wait(self, epoll: Any, maxevents: int) -> Any:
        told = epoll.poll(0, maxevents)
        return " ".join(f"{self.names[fd]}:{mask_names(events)}" for fd, events in told) or "nothing"


MAKERS = frozenset({"socket", "socketpair", "epoll", "select"})
POLLER_CALLS = frozenset({"register", "modify", "unregister", "wait"})


def _fits_select(fd: int) -> bool:
    """Whether ``select.select`` takes it; of simnet's numbers, which are above all of the kernel's, it counts the places."""
    return fd < FD_SETSIZE or fd >= FIRST_DESCRIPTOR


def _raise(error: OSError) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


def _errno(number: int) -> str:
    return outcome(_raise(OSError(number, ""))) if number else "0"


def _shortened(data: bytes) -> bytes:
    """Runs of the filler, whose length each kernel decides, as ``F*``."""
    return re.sub(FILLER + rb"+", FILLER + b"*", data)


def _may_owe(file: Any) -> bool:
    """May a simulated connection let an acknowledgement wait?"""
    return file.ledger is not None or owes_acknowledgement(file) or answers(file)
