"""A board with a thread for each member, right as far as we know, and old mistakes of servers with threads.

Each has been reported against real programs: Waggle, PyBitmessage, dask.distributed, mopidy. A message has its length before it, in two bytes.
``lock`` waits until nobody else has the pen, ``unlock`` gives it back, and anything else is told to all.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

__all__ = ["Board", "framed", "message"]

HEADER = struct.Struct(">H")


def framed(text: bytes) -> bytes:
    return HEADER.pack(len(text)) + text


def message(sock: socket.socket) -> bytes:
    """The next one; empty at the end."""
    size = exactly(sock, HEADER.size)
    return exactly(sock, *HEADER.unpack(size)) if len(size) == HEADER.size else b""


def exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or those that there are before the end."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


class Board:
    """Right, as far as we know."""

    def __init__(self) -> None:
        self.members: set[socket.socket] = set()
        self.pen = threading.Lock()

    def serve(self, port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    time.sleep(0.05)  # until there is room for one more
                    continue
                threading.Thread(target=self.member, args=(sock,), daemon=True).start()

    def member(self, sock: socket.socket) -> None:
        self.members.add(sock)
        has_pen = False
        try:
            while text := self.read(sock):
                if text == b"lock":
                    has_pen = self.pen.acquire()
                elif text == b"unlock" and has_pen:
                    self.pen.release()
                    has_pen = False
                self.told(sock, text)
        except OSError:
            pass
        finally:
            self.left(has_pen=has_pen)
            self.members.discard(sock)
            sock.close()

    def read(self, sock: socket.socket) -> bytes:
        return message(sock)

    def told(self, sock: socket.socket, text: bytes) -> None:
        """By *sock*: its own affairs are told to itself."""
        if text in (b"lock", b"unlock"):
            sock.sendall(framed(text))
        else:
            self.tell_all(text)

    def tell_all(self, text: bytes) -> None:
        for member in sorted(self.members, key=socket.socket.fileno):
            self.tell(member, text)

    def tell(self, member: socket.socket, text: bytes) -> None:
        try:
            member.sendall(framed(text))
        except OSError:
            with suppress(OSError):  # its own thread hears of it
                member.shutdown(socket.SHUT_RDWR)

    def left(self, *, has_pen: bool) -> None:
        if has_pen:
            self.pen.release()


class HeaderIsOneRead(Board):
    """Waggle-mcp #269: two bytes are no more than a read brings."""

    def read(self, sock: socket.socket) -> bytes:
        header = sock.recv(HEADER.size)
        return exactly(sock, *HEADER.unpack(header)) if header else b""  # HEADER


class ReadsOnAtTheEnd(Board):
    """PyBitmessage #277: what a read brings at the end is nothing, and so not enough."""

    def read(self, sock: socket.socket) -> bytes:
        header = exactly(sock, HEADER.size)
        if len(header) < HEADER.size:
            return b""
        size, text = *HEADER.unpack(header), b""
        while len(text) < size:
            text += sock.recv(size - len(text))  # NOT-ENOUGH
        return text


class PenOfTheDead(Board):
    """dask.distributed #2362: who leaves with the pen takes it along."""

    def left(self, *, has_pen: bool) -> None:
        pass


class WalksWhatChanges(Board):
    """mopidy #1993, WebSocket-for-Python #233: a member that is gone leaves the set in which the next one is looked for."""

    def tell_all(self, text: bytes) -> None:
        for member in self.members:  # CHANGES
            self.tell(member, text)

    def tell(self, member: socket.socket, text: bytes) -> None:
        try:
            member.sendall(framed(text))
        except OSError:
            self.members.discard(member)
