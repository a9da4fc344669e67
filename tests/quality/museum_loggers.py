"""A client that says line after line to a server, right as far as we know: what one connection does not take it says on the next; and old
mistakes of those.

Each has been reported against real programs: SysLogHandler of the standard library, statsite, pymemcache, multiprocessing's managers,
dnspython, ftplib. Each line is answered by the same line in capitals.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

__all__ = ["LINES", "Logger"]

LINES = [b"one\n", b"two\n", b"three\n", b"four\n"]
PATIENCE = 5.0  # seconds
PAUSE = 1.0


class Logger:
    """Right, as far as we know: it tries twice, and then goes on with the next line."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.sock: socket.socket | None = None

    def run(self) -> list[bytes]:
        """The answers; empty where none came."""
        answers = []
        for line in LINES:
            answers.append(self.say(line))
            time.sleep(PAUSE)
        if self.sock is not None:
            self.sock.close()
        return answers

    def say(self, line: bytes) -> bytes:
        for _ in range(2):
            try:
                if self.sock is None:
                    self.sock = socket.create_connection(self.address, timeout=PATIENCE)
                self.sock.sendall(line)  # SAYS
                return self.answer(self.sock, line)
            except TimeoutError:
                self.too_late()
                break
            except OSError:
                self.broken()
        return b""

    def answer(self, sock: socket.socket, line: bytes) -> bytes:
        answer = b""
        while not answer.endswith(b"\n"):
            more = sock.recv(100)
            if not more:
                raise ConnectionAbortedError("hung up on")
            answer += more
        return answer

    def too_late(self) -> None:
        """The answer may come yet, and would be taken for the next one's."""
        self.broken()

    def broken(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None


class KeepsTheBroken(Logger):
    """cpython #122959 and #87495, pystatsd #86: what has been made once is there for good, and each line fails on it."""

    def broken(self) -> None:
        pass

    def too_late(self) -> None:
        super().broken()


class TriesThereAgain(Logger):
    """statsite #20: three attempts, all of them on the same connection."""

    def say(self, line: bytes) -> bytes:
        for _ in range(3):
            with suppress(ConnectionError):
                if self.sock is None:
                    self.sock = socket.create_connection(self.address, timeout=PATIENCE)
                self.sock.sendall(line)  # TRIES
                return self.answer(self.sock, line)
        return b""


class RefusesAllThatFollow(Logger):
    """dnspython #728: an answer to another question is a bad one, and the next question is asked with the right one still to come."""

    def answer(self, sock: socket.socket, line: bytes) -> bytes:
        answer = super().answer(sock, line)
        return answer if answer == line.upper() else b"a bad answer"

    def too_late(self) -> None:
        pass
