"""A server that sends a file block by block, in datagrams, right as far as we know: what gets lost it sends again; and old mistakes of those.

Each has been reported against real programs: tftpy, PyPXE. A block has its number before it, in one byte; to ask for the file is to
acknowledge block 0.
"""

from __future__ import annotations

import socket
import time

__all__ = ["BLOCKS", "Blocks", "fetch"]

BLOCKS = [b"one", b"two", b"three", b"four"]
WAIT = 1.5  # seconds, until a block is sent again
TIMES = 5  # that the same block is sent


class Blocks:
    """Right, as far as we know. It serves one client."""

    def __init__(self) -> None:
        self.unread = list(BLOCKS)
        self.number = 0
        self.latest = b""
        self.times = 0
        self.due = time.monotonic() + 3600.0

    def serve(self, port: int) -> None:
        """Until the last block has been acknowledged, or was sent often enough."""
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", port))
            peer: tuple[str, int] = ("", 0)
            while self.times < TIMES:
                sock.settimeout(self.patience())
                try:
                    word, source = sock.recvfrom(100)
                except TimeoutError:
                    self.again(sock, peer)
                    continue
                if word == bytes([self.number]):
                    peer = source
                    if not self.unread:
                        return
                    self.following()
                    self.send(sock, peer)

    def patience(self) -> float:
        return max(0.001, self.due - time.monotonic())

    def following(self) -> None:
        self.number += 1
        self.latest = bytes([self.number]) + self.unread.pop(0)
        self.times = 0

    def send(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        self.times += 1
        self.due = time.monotonic() + WAIT
        sock.sendto(self.latest, peer)

    def again(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        self.send(sock, peer)


class NeverSendsItAgain(Blocks):
    """tftpy #41: a word that tells of a block before the latest one is a duplicate, and that is all there is to it."""

    def again(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        self.times += 1
        self.due = time.monotonic() + WAIT


class SendsTheFollowingInstead(Blocks):
    """PyPXE #98: the file is read on, whichever block it is that gets sent."""

    def again(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        if self.unread:
            self.latest = bytes([self.number]) + self.unread.pop(0)
        self.send(sock, peer)


class EachWordBeginsTheWaitAnew(Blocks):
    """tftpy #133: a client that repeats its word sooner than a block is sent again is never sent it."""

    def patience(self) -> float:
        return WAIT if self.number else 3600.0


def fetch(address: tuple[str, int]) -> list[bytes]:
    """The client: it says again and again which block it has.

    Raises:
        TimeoutError: nothing more has come for long.
    """
    got: list[bytes] = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        for _ in range(3 * TIMES):
            sock.sendto(bytes([len(got)]), address)
            if len(got) == len(BLOCKS):
                return got
            try:
                block = sock.recv(100)
            except TimeoutError:
                continue
            if block[0] == len(got) + 1:
                got.append(block[1:])
    raise TimeoutError(f"{len(got)} blocks have come")
