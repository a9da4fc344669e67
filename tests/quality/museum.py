"""A server of lines on ``select.poll``, right as far as we know, and old mistakes of event-driven servers, one in each subclass.

Each has been reported against real programs: of asyncore, pyftpdlib, supervisor, waitress, Twisted. What a line says: ``quit`` hangs up,
``kick`` hangs up on all others, and anything else comes back in capitals.
"""

from __future__ import annotations

import select
import socket
from typing import Any

__all__ = ["Hall"]

INPUT = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLRDHUP


class Guest:
    """A connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number = sock.fileno()
        self.input = b""
        self.output = b""
        self.ended = False  # its input has
        self.ending = False  # nothing more is read; what waits is sent


class Hall:
    """Right, as far as we know."""

    poller: Any = select.poll

    def __init__(self) -> None:
        self.guests: dict[int, Guest] = {}  # by the number of the socket, as poll reports it

    def serve(self, port: int) -> None:
        self.poll = self.poller()
        with socket.create_server(("", port)) as self.listener:
            self.listener.setblocking(False)
            self.poll.register(self.listener, select.POLLIN)
            while True:
                self.turn(self.poll.poll())  # WAITS-FOR-EVENTS

    def turn(self, events: list[tuple[int, int]]) -> None:
        there = dict(self.guests)
        for number, mask in events:
            if number == self.listener.fileno():
                self.accept()
            elif number in there and self.guests.get(number) is there[number]:  # else it was closed in this turn
                self.ready(there[number], mask)

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.welcome(sock)

    def welcome(self, sock: socket.socket) -> None:
        self.guests[sock.fileno()] = Guest(sock)
        self.poll.register(sock, self.reading)

    reading = select.POLLIN  # what is asked for of a guest that is read

    def ask(self, guest: Guest) -> None:
        """What to be told of next."""
        wanted = 0 if guest.ending else self.reading
        self.poll.modify(guest.number, wanted | (select.POLLOUT if guest.output else 0))

    def ready(self, guest: Guest, mask: int) -> None:
        try:
            if mask & select.POLLOUT and guest.output:
                guest.output = guest.output[guest.sock.send(guest.output) :]
            if mask & INPUT and not guest.ending:
                self.read(guest)
        except BlockingIOError:
            pass
        except OSError:
            self.fail(guest)
            return
        if guest.number not in self.guests:
            return
        if guest.ending and not guest.output:
            self.close(guest)
        else:
            self.ask(guest)

    def read(self, guest: Guest) -> None:
        data = guest.sock.recv(4096)
        guest.input += data
        guest.ended = not data
        self.obey(guest)
        guest.ending = guest.ending or guest.ended

    def obey(self, guest: Guest) -> None:
        """Do what each line says that has come."""
        while b"\n" in guest.input and not guest.ending:
            line, _, guest.input = guest.input.partition(b"\n")
            self.obey_one(guest, line)

    def obey_one(self, guest: Guest, line: bytes) -> None:
        if line == b"quit":
            guest.ending = True
        elif line == b"kick":
            for other in [each for each in self.guests.values() if each is not guest]:
                self.close(other)
            guest.output += b"KICKED\n"
        else:
            guest.output += line.upper() + b"\n"

    def fail(self, guest: Guest) -> None:
        """Its connection is broken."""
        self.close(guest)

    def close(self, guest: Guest) -> None:
        if self.guests.pop(guest.number, None) is not None:
            self.poll.unregister(guest.number)
            guest.sock.close()


class AnyEventIsTheGuests(Hall):
    """bpo-30931: who was closed in this turn is looked up all the same, for an event that was polled before."""

    poller = select.epoll  # whose order is no socket's number

    def turn(self, events: list[tuple[int, int]]) -> None:
        for number, mask in events:
            if number == self.listener.fileno():
                self.accept()
            else:
                self.ready(self.guests[number], mask)  # CLOSED-IN-THIS-TURN


class EndsAtHangUp(Hall):
    """pyftpdlib #26: a hang-up is looked at before what came with it."""

    reading = select.POLLIN | select.POLLRDHUP

    def ready(self, guest: Guest, mask: int) -> None:
        if mask & (select.POLLHUP | select.POLLRDHUP):
            self.close(guest)
        else:
            super().ready(guest, mask)


class EndIsClose(Hall):
    """gh-80094: it reads on until there is no more, and the end of the input drops the reply that waits."""

    def read(self, guest: Guest) -> None:
        while not guest.ended:
            super().read(guest)
        guest.output = b""


class KeepsRegistration(Hall):
    """supervisor #807: who has failed stays with the poller, by a number that nobody has any more."""

    def fail(self, guest: Guest) -> None:
        del self.guests[guest.number]
        guest.sock.close()


class UrgentUnread(Hall):
    """pyftpdlib #77: an urgent byte is told of, and nobody takes it."""

    reading = select.POLLIN | select.POLLPRI


class ReadsOnAfterQuit(Hall):
    """Of asynchat: the lines behind a ``quit`` that came with it are obeyed."""

    def obey(self, guest: Guest) -> None:
        while b"\n" in guest.input:
            line, _, guest.input = guest.input.partition(b"\n")
            self.obey_one(guest, line)


class OneRoundOfSending(Hall):
    """waitress, a pending close: what one send does not take is given up."""

    def ready(self, guest: Guest, mask: int) -> None:
        super().ready(guest, mask)
        if mask & select.POLLOUT and guest.ending:
            self.close(guest)


class ForgetsTheNameless(Hall):
    """waitress #418: who has gone before it is asked for its name is never looked after."""

    def welcome(self, sock: socket.socket) -> None:
        try:
            sock.getpeername()
        except OSError:
            self.nameless = sock
            return
        super().welcome(sock)


class LastReplyOnly(Hall):
    """A reply takes the place of the one that waits."""

    def obey_one(self, guest: Guest, line: bytes) -> None:
        guest.output = b""
        super().obey_one(guest, line)
