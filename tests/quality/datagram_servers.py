"""Programs over datagrams as people write them: with one honest mistake each about the calls, and without it.

A line that ends in a mark says where the mistake is.
"""

from __future__ import annotations

import contextlib
import select
import socket

__all__ = [
    "Careful",
    "EndsAtRefusal",
    "EndsWhereNothingGoes",
    "Proxy",
    "ProxyThatEnds",
    "TrustsSelect",
    "TrustsSelectForAWhile",
    "exporter",
]

Asked = dict[bytes, tuple[str, int]]  # who waits for which answer

IP_RECVERR = 11  # of linux/in.h; the socket module has no name for it


def bound(port: int) -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("", port))
    return sock


class Careful:
    """Answers on two ports. It asks to be told of what does not arrive, as servers of QUIC do. Right, as far as we know."""

    def serve(self) -> None:
        socks = [bound(53), bound(54)]
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sock.setblocking(False)
        while True:
            readable, _, _ = select.select(socks, [], [])
            for sock in readable:
                self.turn(sock)

    def turn(self, sock: socket.socket) -> None:
        try:
            question, address = sock.recvfrom(100)
        except OSError:  # not there after all, or what became of an answer
            self.drain(sock)
            return
        with contextlib.suppress(OSError):
            sock.sendto(question.upper(), address)

    def drain(self, sock: socket.socket) -> None:
        """A socket with something in its error queue is reported as ready until that is read."""
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)


class EndsAtRefusal(Careful):
    """Knows that what is told may not be there, but not that a client that has gone is told of at the next read."""

    def turn(self, sock: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            question, address = sock.recvfrom(100)  # ENDS-AT-REFUSAL
            with contextlib.suppress(OSError):
                sock.sendto(question.upper(), address)


class EndsWhereNothingGoes(Careful):
    """Knows what a read may say, and not that a client may be out of reach."""

    def turn(self, sock: socket.socket) -> None:
        try:
            question, address = sock.recvfrom(100)
        except OSError:
            self.drain(sock)
            return
        sock.sendto(question.upper(), address)  # ENDS-WHERE-NOTHING-GOES


class TrustsSelect(Careful):
    """Reads where select says so, from blocking sockets: what another process has read keeps it there, and the other port waits."""

    def serve(self) -> None:
        socks = [bound(53), bound(54)]
        while True:
            readable, _, _ = select.select(socks, [], [])
            for sock in readable:
                question, address = sock.recvfrom(100)  # TRUSTS-SELECT
                with contextlib.suppress(OSError):
                    sock.sendto(question.upper(), address)


class TrustsSelectForAWhile(Careful):
    """Has a time-out, for who knows; and a datagram with a wrong checksum is found to be so only when it is read."""

    def serve(self) -> None:
        sock = bound(53)
        sock.settimeout(5)
        while True:
            select.select([sock], [], [])
            question, address = sock.recvfrom(100)  # TRUSTS-SELECT-FOR-A-WHILE
            with contextlib.suppress(OSError):
                sock.sendto(question.upper(), address)


class Proxy:
    """Hands each question to one upstream, by a connected socket, and the answer back."""

    def serve(self) -> None:
        clients, upstream = bound(53), socket.socket(type=socket.SOCK_DGRAM)
        upstream.connect(("upstream", 53))
        clients.setblocking(False)
        upstream.setblocking(False)
        asked: Asked = {}
        while True:
            readable, _, _ = select.select([clients, upstream], [], [])
            if clients in readable:
                with contextlib.suppress(OSError):
                    question, address = clients.recvfrom(100)
                    asked[question.upper()] = address
                    upstream.send(question)
            if upstream in readable:
                self.answer(clients, upstream, asked)

    def answer(self, clients: socket.socket, upstream: socket.socket, asked: Asked) -> None:
        with contextlib.suppress(OSError):
            answer = upstream.recv(100)
            if answer in asked:  # not a second one
                clients.sendto(answer, asked.pop(answer))


class ProxyThatEnds(Proxy):
    """Thinks that an upstream is always there."""

    def answer(self, clients: socket.socket, upstream: socket.socket, asked: Asked) -> None:
        with contextlib.suppress(BlockingIOError):
            answer = upstream.recv(100)  # THINKS-THAT-IT-IS-THERE
            with contextlib.suppress(OSError, KeyError):
                clients.sendto(answer, asked.pop(answer))


def exporter(careful: bool) -> None:
    """Serves on a port, and reports each visit to a collector: that must not end it."""
    with socket.create_server(("", 7)) as listener, socket.socket(type=socket.SOCK_DGRAM) as statistics:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            with sock, contextlib.suppress(OSError):
                sock.sendall(b"hello\n")
            with contextlib.suppress(OSError if careful else BlockingIOError):
                statistics.sendto(b"visits:1|c", ("collector", 8125))  # ENDS-BY-ITS-STATISTICS
