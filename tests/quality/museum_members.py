"""A member of a channel that comes back when it has lost its connection, right as far as we know: it says again who it is, and joins again;
and old mistakes of those, which are whole and connected, and hear nothing for ever.

Each has been reported against real programs: kombu, irc3, python-gearman, websocket-client. A member says ``nick``, is greeted,
says ``join``, and hears a word each second; it asks for life by ``ping`` when nothing came for a while.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

__all__ = ["Channel", "Member"]

WORDS = 5
EACH = 1.0  # seconds between two words
SILENCE = 2.0  # seconds until a member asks whether somebody is there
PATIENCE = 5.0  # seconds for the answer
PAUSE, LONGEST = 0.2, 5.0  # seconds between two attempts to connect
ENOUGH = 30.0  # seconds, in which all is heard


class Channel:
    """The server: it says each word to who has joined by then."""

    def __init__(self) -> None:
        self.members: dict[socket.socket, None] = {}

    def serve(self, port: int) -> None:
        threading.Thread(target=self.speak, daemon=True).start()
        with socket.create_server(("", port)) as listener:
            while True:
                with suppress(OSError):
                    threading.Thread(target=self.attend, args=(listener.accept()[0],), daemon=True).start()

    def speak(self) -> None:
        for number in range(WORDS):
            time.sleep(EACH)
            for member in list(self.members):
                with suppress(OSError):
                    member.sendall(b"word %d\n" % number)

    def attend(self, sock: socket.socket) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as lines:
            for line in lines:
                if line == b"join\n":
                    self.members[sock] = None
                else:
                    sock.sendall(b"pong\n" if line == b"ping\n" else b"welcome\n")
        self.members.pop(sock, None)


class Member:
    """Right, as far as we know."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.heard: list[bytes] = []
        self.rest = b""
        self.asked_at = 0.0  # when it has asked for life, and was not answered yet; 0: it has not
        self.connections = 0

    def run(self) -> list[bytes]:
        """The words that came while it was there."""
        end, pause = time.monotonic() + ENOUGH, PAUSE
        self.poll = select.poll()
        while time.monotonic() < end and not self.has_all():
            before = len(self.heard)
            with suppress(OSError), socket.create_connection(self.address, timeout=PATIENCE) as sock:  # CONNECTS
                self.connections += 1
                self.connected(sock)
                try:
                    self.listen(sock, end)
                finally:
                    self.poll.unregister(sock)
            if not self.has_all():
                pause = PAUSE if len(self.heard) > before else min(2 * pause, LONGEST)
                time.sleep(pause)
        return self.heard

    def has_all(self) -> bool:
        return bool(self.heard) and self.heard[-1] == b"word %d" % (WORDS - 1)

    def connected(self, sock: socket.socket) -> None:
        """All that has to be done when there is a connection, the first one and any later."""
        self.rest, self.asked_at = b"", 0.0
        self.poll.register(sock, select.POLLIN)
        self.introduce(sock)

    def introduce(self, sock: socket.socket) -> None:
        sock.sendall(b"nick\n")
        sock.sendall(b"join\n")

    def listen(self, sock: socket.socket, end: float) -> None:
        while time.monotonic() < end and not self.has_all():
            if self.asked_at and time.monotonic() - self.asked_at > PATIENCE:
                raise TimeoutError("nobody is there")
            if not self.poll.poll(SILENCE * 1_000):
                if not self.asked_at:
                    sock.sendall(b"ping\n")
                    self.asked_at = time.monotonic()
                continue
            data = sock.recv(4096)
            if not data:
                raise ConnectionAbortedError("hung up on")
            self.asked_at = 0.0
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.heard += [line for line in lines if line.startswith(b"word")]


class SaysNothingAgain(Member):
    """kombu #814: the connection is made anew, and nobody says on it what it is for."""

    def introduce(self, sock: socket.socket) -> None:
        if self.connections == 1:
            super().introduce(sock)


class JoinsNoMore(Member):
    """irc3 #26: it says again who it is, and joins the channel no more."""

    def introduce(self, sock: socket.socket) -> None:
        sock.sendall(b"nick\n")
        if self.connections == 1:
            sock.sendall(b"join\n")


class PollsTheOld(Member):
    """python-gearman #42: the poller knows the first connection alone, so what comes on the next one is not read."""

    def connected(self, sock: socket.socket) -> None:
        super().connected(sock)
        if self.connections > 1:
            self.poll.modify(sock, 0)


class KeepsTheOldPing(Member):
    """websocket-client #260: the ping that nobody has answered on the old connection has its time out on the new one, at once."""

    def connected(self, sock: socket.socket) -> None:
        asked_at = self.asked_at
        self.rest = b""
        self.poll.register(sock, select.POLLIN)
        self.asked_at = asked_at
        if not asked_at:
            self.introduce(sock)
