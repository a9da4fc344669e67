"""A client of a server of lines that keeps its connection for the next question, right as far as we know; and old mistakes of clients.

Each has been reported against real programs: redis-py, py-amqp.
"""

from __future__ import annotations

import select
import socket

__all__ = ["Asker"]

PATIENCE = 1.0  # seconds


class Asker:
    """Right, as far as we know: what it asks may be asked twice."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.sock: socket.socket | None = None
        self.rest = b""  # what came behind the latest answer

    def ask(self, question: bytes) -> bytes:
        """The answer; a connection that breaks is made anew, once.

        Raises:
            TimeoutError: none came in time.
            ConnectionError: the second connection broke too.
        """
        for last in (False, True):
            sock = self.kept() or self.connect()
            try:
                sock.sendall(question + b"\n")
                return self.line(sock)
            except TimeoutError:
                self.too_late()
                raise
            except ConnectionError:
                self.broken()
                if last:
                    raise
        raise AssertionError("it has answered or raised")

    def connect(self) -> socket.socket:
        self.rest = b""
        self.sock = socket.create_connection(self.address, timeout=PATIENCE)
        return self.sock

    def kept(self) -> socket.socket | None:
        """The connection of the question before, unless something has come of which nobody has asked: that can only be its end."""
        if self.sock is not None and (self.rest or select.select([self.sock], [], [], 0)[0]):
            self.close()
        return self.sock

    def line(self, sock: socket.socket) -> bytes:
        while b"\n" not in self.rest:
            data = sock.recv(4096)
            if not data:
                raise ConnectionAbortedError("the end in the middle of an answer")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def too_late(self) -> None:
        """The answer may come yet, and would be taken for that of the next question."""
        self.close()

    def broken(self) -> None:
        self.close()

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None


class KeepsWhatCameTooLate(Asker):
    """redis-py #185: after a time-out the connection is used again, and each answer is that of the question before."""

    def kept(self) -> socket.socket | None:
        return self.sock

    def too_late(self) -> None:
        pass


class DropsWhatCameInTime(Asker):
    """py-amqp #320: a time-out in the middle of an answer drops its beginning, and what is read next begins with its end."""

    def kept(self) -> socket.socket | None:
        return self.sock

    def too_late(self) -> None:
        self.rest = b""


class EndIsAnAnswer(Asker):
    """redis-py #4128: the kept connection is readable, so it lives; and who is hung up on does not ask again."""

    def kept(self) -> socket.socket | None:
        return self.sock

    def line(self, sock: socket.socket) -> bytes:
        try:
            return super().line(sock)
        except ConnectionAbortedError as error:
            raise EOFError from error  # HUNG-UP-ON
