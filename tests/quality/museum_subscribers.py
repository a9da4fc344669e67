"""A client that subscribes and is sent words, right as far as we know: it begins again where it was broken off; and old mistakes of those.

Each has been reported against real programs: kytos, WebSocket-for-Python, pysolarmanv5. It says from which word on it
wants them, hears a line of welcome, and then each word behind its length. A server that says nothing for long is no matter of its own.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

__all__ = ["WELCOME", "WORDS", "Subscriber", "publish"]

WELCOME = b"welcome\n"
WORDS = [b"one", b"two", b"three"]
PATIENCE = 5.0  # seconds
PAUSE, LONGEST = 0.1, 30.0  # seconds, between two attempts


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionAbortedError("the end in the middle of a word")
        data += more
    return data


def publish(port: int) -> None:
    """The server: one subscriber after the other."""
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock:
                first = int(exactly(sock, 32))
                sock.sendall(WELCOME)
                for word in WORDS[first:]:
                    time.sleep(0.01)
                    sock.sendall(bytes([len(word)]) + word)
                sock.recv(1)  # there may be more another day


class Subscriber:
    """Right, as far as we know."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.heard: list[bytes] = []
        self.rest = b""  # what has come and is no whole word yet
        self.pause = PAUSE

    def run(self) -> list[bytes]:
        """All words.

        Raises:
            TimeoutError: the server has been silent for long.
        """
        while len(self.heard) < len(WORDS):
            try:
                with socket.create_connection(self.address, timeout=PATIENCE) as sock:
                    self.connected()
                    self.subscribe(sock)
                    self.listen(sock)
            except TimeoutError:
                raise
            except OSError:
                time.sleep(self.pause)
                self.pause = min(2 * self.pause, LONGEST)
        return self.heard

    def connected(self) -> None:
        """There is a connection: nobody knows yet for how long."""

    def subscribe(self, sock: socket.socket) -> None:
        self.rest = b""
        self.ask(sock, b"%032d" % len(self.heard))
        while b"\n" not in self.rest:
            self.rest += self.more(sock)
        self.welcomed(self.rest.partition(b"\n")[2])

    def ask(self, sock: socket.socket, question: bytes) -> None:
        sock.sendall(question)

    def welcomed(self, behind: bytes) -> None:
        self.rest = behind

    def listen(self, sock: socket.socket) -> None:
        while len(self.heard) < len(WORDS):
            if not self.rest:
                self.rest = self.more(sock)
            size = self.rest[0]
            word = self.rest[1:]
            word += exactly(sock, size - len(word)) if size > len(word) else b""
            self.heard.append(word[:size])
            self.rest = word[size:]
            self.pause = PAUSE

    def more(self, sock: socket.socket) -> bytes:
        data = sock.recv(4096)  # READS
        if not data:
            raise ConnectionAbortedError("hung up on")
        return data


class AsksByOneSend(Subscriber):
    """kytos #351: what one send does not take is never sent, and both wait."""

    def ask(self, sock: socket.socket, question: bytes) -> None:
        sock.send(question)


class ForgetsWhatCameWithTheWelcome(Subscriber):
    """WebSocket-for-Python #46: the first words, where they arrive with the welcome, are thrown away with it."""

    def welcomed(self, behind: bytes) -> None:
        self.rest = b""


class BeginsAnewWhenConnected(Subscriber):
    """pysolarmanv5 #104: a connection is a success, so who is hung up on at once comes back at once."""

    def connected(self) -> None:
        self.pause = 0.0
