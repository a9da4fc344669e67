"""Echo servers over plain sockets, as people write them: one that is right, and some with one honest mistake each.

A line that ends in a mark says where the mistake is, so that a test can say "there" without counting lines.
"""

from __future__ import annotations

import select
import socket

__all__ = ["CAREFUL"]


def listening(where: int | str) -> socket.socket:
    """A socket that listens on a port, or on a path."""
    if isinstance(where, int):
        return socket.create_server(("", where))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(where)
    listener.listen()
    return listener


class Careful:
    """Echoes until the client has finished, then closes. Right, as far as we know."""

    def __init__(self) -> None:
        self.unsent: dict[socket.socket, bytes] = {}
        self.finished: set[socket.socket] = set()  # asked for membership only

    def serve(self, where: int | str) -> None:
        self.listener = listening(where)
        self.listener.setblocking(False)
        listeners = [self.listener]
        while True:
            asked = [each for each in self.unsent if each not in self.finished]
            full = [each for each in self.unsent if self.unsent[each]]
            listeners = [each for each in listeners if each.fileno() != -1]
            readable, writable, _ = select.select([*listeners, *asked], full, [])
            for sock in readable:
                if sock is self.listener:
                    self.accept()
                elif sock in self.unsent:
                    self.read(sock)
            for sock in writable:
                if sock in self.unsent:
                    self.write(sock)

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.unsent[sock] = b""

    def read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            self.close(sock)
            return
        self.unsent[sock] += data
        if not data:
            self.finished.add(sock)
            if not self.unsent[sock]:
                self.close(sock)

    def write(self, sock: socket.socket) -> None:
        try:
            sent = sock.send(self.unsent[sock])
        except BlockingIOError:
            return
        except OSError:
            self.close(sock)
            return
        self.unsent[sock] = self.unsent[sock][sent:]
        if not self.unsent[sock] and sock in self.finished:
            self.close(sock)

    def close(self, sock: socket.socket) -> None:
        del self.unsent[sock]
        self.finished.discard(sock)
        sock.close()


CAREFUL = Careful


class TrustsReadiness(Careful):
    """Readable means there is somebody to accept."""

    def accept(self) -> None:
        sock, _ = self.listener.accept()  # TRUSTS-READINESS
        sock.setblocking(False)
        self.unsent[sock] = b""


class GivesUpListening(Careful):
    """An error of accept is an error of the listener."""

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except BlockingIOError:
            return
        except OSError:
            self.listener.close()  # GIVES-UP-LISTENING
            return
        sock.setblocking(False)
        self.unsent[sock] = b""


class SendsAll(Careful):
    """``send`` takes what it is given."""

    def hand_over(self, sock: socket.socket) -> None:
        sock.send(self.unsent[sock])

    def write(self, sock: socket.socket) -> None:
        try:
            self.hand_over(sock)
        except BlockingIOError:
            return
        except OSError:
            self.close(sock)
            return
        self.unsent[sock] = b""
        if sock in self.finished:
            self.close(sock)


class SendsAllOrNothing(SendsAll):
    """``sendall`` of a socket that does not wait sends all or nothing."""

    def hand_over(self, sock: socket.socket) -> None:
        sock.sendall(self.unsent[sock])


class OneReadIsOneLine(Careful):
    """What arrives at once is what was sent at once."""

    def read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            self.close(sock)
            return
        if not data:
            self.finished.add(sock)
            if not self.unsent[sock]:
                self.close(sock)
        elif data == b"ping\n":
            self.unsent[sock] += b"pong\n"
        else:
            self.unsent[sock] += b"what?\n"


class ResetIsFatal(Careful):
    """Nobody told it that a peer may vanish."""

    def read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)  # RESET-IS-FATAL
        except BlockingIOError:
            return
        self.unsent[sock] += data
        if not data:
            self.finished.add(sock)
            if not self.unsent[sock]:
                self.close(sock)


class ForgetsToClose(Careful):
    """Drops a broken connection from its table, and keeps its descriptor for good."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics: list[socket.socket] = []

    def close(self, sock: socket.socket) -> None:
        if sock in self.finished:
            super().close(sock)
        else:
            self.statistics.append(sock)
            del self.unsent[sock]


class EofIsNews(Careful):
    """At the end of the input it waits for the rest of a line that is not finished."""

    def read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            self.close(sock)
            return
        self.pending = getattr(self, "pending", b"") + data
        line, end, rest = self.pending.partition(b"\n")
        if end:
            self.pending = rest
            self.unsent[sock] += line + end
        elif not data and not self.pending:
            self.finished.add(sock)
            if not self.unsent[sock]:
                self.close(sock)
