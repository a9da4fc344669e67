"""A client that publishes messages and has each acknowledged, right as far as we know: what is in doubt it says again; and old mistakes of those.

Each has been reported against real programs: paho.mqtt.python, wolfMQTT, pyenvisalink, hass-rainforest-emu-2. A message is a line, and
so is the broker's word that it has it.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

__all__ = ["MESSAGES", "Broker", "Publisher"]

MESSAGES = [b"one", b"two", b"three", b"four"]
WINDOW = 2  # messages that may wait for the broker's word
ATTEMPTS = 8
PATIENCE, PAUSE = 5.0, 1.0  # seconds


class Broker:
    """It keeps what it has been told, once."""

    def __init__(self) -> None:
        self.kept: dict[bytes, None] = {}

    def serve(self, port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=self.hear, args=(sock,), daemon=True).start()

    def hear(self, sock: socket.socket) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self.kept[line.rstrip()] = None
                    sock.sendall(line)


class Publisher:
    """Right, as far as we know."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.to_say = list(MESSAGES)
        self.in_doubt: list[bytes] = []  # said, and not acknowledged
        self.room = WINDOW
        self.rest = b""  # what has come and is no whole line yet

    def run(self) -> None:
        """Say them all, until each is acknowledged.

        Raises:
            RuntimeError: that was tried often.
        """
        for _ in range(ATTEMPTS):
            try:
                with socket.create_connection(self.address, timeout=PATIENCE) as sock:
                    self.begun()
                    self.publish(sock)
                    return
            except OSError:
                self.broken()
        raise RuntimeError("the broker does not answer")  # GIVES-UP

    def begun(self) -> None:
        """There is a connection: nothing of the one before is of use."""
        self.rest = b""
        self.room = WINDOW
        self.said_in_vain()

    def said_in_vain(self) -> None:
        self.to_say = self.in_doubt + self.to_say
        self.in_doubt = []

    def broken(self) -> None:
        time.sleep(PAUSE)

    def publish(self, sock: socket.socket) -> None:
        while self.to_say or self.in_doubt:
            while self.to_say and self.room:
                self.in_doubt.append(self.to_say.pop(0))
                self.room -= 1
                sock.sendall(self.in_doubt[-1] + b"\n")
            self.in_doubt.remove(self.line(sock))  # ACKNOWLEDGED
            self.room += 1

    def line(self, sock: socket.socket) -> bytes:
        while b"\n" not in self.rest:
            data = sock.recv(4096)
            if not data:
                raise ConnectionAbortedError("the end before the broker's word")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line


class NeverHasRoomAgain(Publisher):
    """paho.mqtt.python #24: what was in flight when the connection broke is counted for ever."""

    def begun(self) -> None:
        room = self.room
        super().begun()
        self.room = room


class ForgetsWhatIsInDoubt(Publisher):
    """wolfMQTT #494: what was not acknowledged is not said again on the next connection."""

    def said_in_vain(self) -> None:
        self.in_doubt = []


class HalfALineOutlives(Publisher):
    """pyenvisalink #39: half a line of the connection before is the beginning of the first one of the next."""

    def begun(self) -> None:
        rest = self.rest
        super().begun()
        self.rest = rest


class OnlySleeps(Publisher):
    """hass-rainforest-emu-2 #35: it is not connected, says so, and waits until it is."""

    def broken(self) -> None:
        while True:
            time.sleep(PAUSE)  # SLEEPS
