"""A server that asks each guest for a name before it lets him in, right as far as we know; and old mistakes of those who open the door.

Each has been reported against real programs: a publisher on ``multiprocessing.connection``, simple-websocket-server, Electrum's server, Werkzeug.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

__all__ = ["Door", "visit"]


class Door:
    """Right, as far as we know: each guest has a thread, in which he is asked."""

    def serve(self, port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    time.sleep(0.05)  # until there is room for one more
                    continue
                self.open(sock)

    def open(self, sock: socket.socket) -> None:
        threading.Thread(target=self.let_in, args=(sock,), daemon=True).start()

    def let_in(self, sock: socket.socket) -> None:
        with suppress(OSError, EOFError), sock:
            self.talk(sock, self.ask(sock))

    def ask(self, sock: socket.socket) -> bytes:
        """The guest's name.

        Raises:
            EOFError: he has left without one.
        """
        sock.sendall(b"who?\n")
        name = b""
        while not name.endswith(b"\n"):
            more = sock.recv(100)  # ASKS
            if not more:
                raise EOFError("left at the door")
            name += more
        return name

    def talk(self, sock: socket.socket, name: bytes) -> None:
        sock.sendall(b"hello " + name)


class AsksBeforeTheNext(Door):
    """simple-websocket-server #13, electrum-server #106, hashview #528: who says nothing at the door keeps all others before it."""

    def open(self, sock: socket.socket) -> None:
        with suppress(OSError, EOFError):
            name = self.ask(sock)
            threading.Thread(target=self.say_hello, args=(sock, name), daemon=True).start()
            return
        sock.close()

    def say_hello(self, sock: socket.socket, name: bytes) -> None:
        with suppress(OSError), sock:
            self.talk(sock, name)


class EndsWithOneGuest(Door):
    """prpl-tidybot #89: who leaves at the door takes the doorman along."""

    def open(self, sock: socket.socket) -> None:
        sock.settimeout(5.0)
        with sock:
            self.talk(sock, self.ask(sock))


def visit(name: bytes) -> bytes:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        lines.readline()
        sock.sendall(name + b"\n")
        return lines.readline()
