"""A client whose thread reads the answers of those who ask in others, right as far as we know; and old mistakes of those who share a connection.

Both have been reported against real programs: kafka-python, SharpRTSP.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress

__all__ = ["Caller", "answer"]


def answer(port: int) -> None:
    """The server: each line is ``number text``, and is answered by ``number TEXT``."""

    def talk(sock: socket.socket) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as lines:
            for line in lines:
                sock.sendall(line.upper())

    with socket.create_server(("", port)) as listener:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                time.sleep(0.05)  # until there is room for one more
                continue
            threading.Thread(target=talk, args=(sock,), daemon=True).start()


class Caller:
    """Right, as far as we know."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=10)
        self.lock, self.halves = threading.Lock(), threading.Lock()
        self.waiting: dict[int, queue.Queue[bytes]] = {}
        self.rest, self.number, self.gone = b"", 0, False
        threading.Thread(target=self.read, daemon=True).start()

    def ask(self, text: bytes) -> bytes:
        """The answer; empty if there is none."""
        mine: queue.Queue[bytes] = queue.Queue()
        with self.lock:
            if self.gone:
                return b""
            self.number += 1
            number = self.number
            self.waiting[number] = mine
        self.send(b"%d %s" % (number, text))
        return self.wait(mine)

    def send(self, line: bytes) -> None:
        with self.halves, suppress(OSError):  # who reads will hear of it
            self.sock.sendall(line)
            self.sock.sendall(b"\n")

    def wait(self, mine: queue.Queue[bytes]) -> bytes:
        try:
            return mine.get(timeout=10)
        except queue.Empty:
            return b""

    def read(self) -> None:
        with suppress(OSError):
            while data := self.sock.recv(4096):
                self.feed(data)
        with self.lock:
            self.gone = True
            for each in self.waiting.values():
                each.put(b"")
        self.sock.close()

    def feed(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.tell(line)

    def tell(self, line: bytes) -> None:
        number, _, text = line.partition(b" ")
        with self.lock:
            if mine := self.waiting.pop(int(number), None):
                mine.put(text)

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class SendsFirst(Caller):
    """kafka-python #1746: who asks is put down when the question has gone out, and the answer is back by then."""

    def ask(self, text: bytes) -> bytes:
        mine: queue.Queue[bytes] = queue.Queue()
        with self.lock:
            self.number += 1
            number = self.number
        self.send(b"%d %s" % (number, text))
        with self.lock:
            self.waiting[number] = mine
        return self.wait(mine)

    def send(self, line: bytes) -> None:
        with self.halves, suppress(OSError):
            self.sock.sendall(line + b"\n")  # SENDS FIRST


class WritesInHalves(Caller):
    """SharpRTSP #10: another thread's question comes between the two halves of one."""

    def send(self, line: bytes) -> None:
        with suppress(OSError):
            self.sock.sendall(line)  # HALF
            self.sock.sendall(b"\n")
