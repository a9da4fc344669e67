"""The hall of the museum with TLS before its door, right as far as we know, and old mistakes of servers that speak TLS.

Each has been reported against real programs: of pyftpdlib, tornado, cassandra's driver, email-oauth2-proxy. What a guest has said is
put away when it has said that this is all.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress

from tests.quality.museum import Guest, Hall

__all__ = ["Vault"]


class Vault(Hall):
    """Right, as far as we know."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self.secure: set[Guest] = set()  # who has shaken hands
        self.wants_room: set[Guest] = set()  # whose record waits for room in the kernel
        self.said: dict[Guest, list[bytes]] = {}
        self.kept: list[list[bytes]] = []  # what guests said who have said that this is all

    def welcome(self, sock: socket.socket) -> None:
        with suppress(OSError):  # who has gone before is not wrapped any more
            self.wrap(sock)

    def wrap(self, sock: socket.socket) -> None:
        options = {"do_handshake_on_connect": False, "suppress_ragged_eofs": False}
        super().welcome(self.context.wrap_socket(sock, server_side=True, **options))  # GONE-BEFORE

    def ready(self, guest: Guest, mask: int) -> None:
        try:
            self.wants_room.discard(guest)
            self.advance(guest)
        except ssl.SSLWantReadError:
            self.ask(guest)
        except ssl.SSLWantWriteError:
            self.wants_room.add(guest)
            self.ask(guest)
        except OSError:
            self.fail(guest)

    def ask(self, guest: Guest) -> None:
        self.poll.modify(guest.number, select.POLLOUT if guest in self.wants_room else select.POLLIN)

    def advance(self, guest: Guest) -> None:
        """As far as it goes: what TLS waits for is raised."""
        if guest not in self.secure:
            self.shake(guest)
        while not guest.ending:
            self.flush(guest)
            self.read(guest)
        self.flush(guest)
        self.part(guest)

    def shake(self, guest: Guest) -> None:
        guest.sock.do_handshake()
        self.secure.add(guest)

    def flush(self, guest: Guest) -> None:
        while guest.output:
            guest.output = guest.output[guest.sock.send(guest.output) :]

    def read(self, guest: Guest) -> None:
        super().read(guest)
        if guest.ended:
            self.kept.append(self.said.get(guest, []))

    def obey_one(self, guest: Guest, line: bytes) -> None:
        self.said.setdefault(guest, []).append(line)
        super().obey_one(guest, line)

    def part(self, guest: Guest) -> None:
        """Say that this is all, and wait until the guest has said so."""
        guest.sock.unwrap()
        self.close(guest)


def is_cut(error: ssl.SSLError) -> bool:
    """Is *error* the end of the input, without a close_notify?"""
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"  # up to Python 3.11.2


class WrapsWhoHasGone(Vault):
    """CVE-2023-40217, or rather what came of its mend: to wrap who has gone before is an error."""

    def welcome(self, sock: socket.socket) -> None:
        self.wrap(sock)


class WaitsForRoomInTheHandshake(Vault):
    """pyftpdlib #683: it asks to be told of room for its greeting, and TLS has to read first."""

    def ask(self, guest: Guest) -> None:
        self.poll.modify(guest.number, select.POLLIN | (0 if guest in self.secure else select.POLLOUT))


class PartsForEver(Vault):
    """pyftpdlib #191: what goes wrong in parting is tried again."""

    def part(self, guest: Guest) -> None:
        try:
            super().part(guest)
        except OSError as error:
            raise ssl.SSLWantWriteError from error


class EndIsAWait(Vault):
    """pyftpdlib #333: an end without a close_notify is taken for a record that is not whole yet."""

    def read(self, guest: Guest) -> None:
        try:
            super().read(guest)
        except ssl.SSLError as error:
            raise ssl.SSLWantReadError if is_cut(error) else error from None


class CutIsTheEnd(Vault):
    """pyftpdlib #614: an end without a close_notify is an end as any, and what was cut is put away as if it were whole."""

    def read(self, guest: Guest) -> None:
        try:
            super().read(guest)
        except ssl.SSLError as error:
            if not is_cut(error):
                raise
            guest.ending = True
            self.kept.append(self.said.get(guest, []))


class OneReadForEachEvent(Vault):
    """cassandra-driver #485, pyftpdlib #194: what TLS has decrypted already lies there, and the poller knows nothing of it."""

    def read(self, guest: Guest) -> None:
        super().read(guest)
        if not guest.ended:
            self.flush(guest)
            raise ssl.SSLWantReadError


class KnowsErrorsOfTLSAlone(Vault):
    """tornado 4.1: an error of the connection itself is none that it expects."""

    def shake(self, guest: Guest) -> None:
        try:
            super().shake(guest)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.fail(guest)
        except OSError as error:
            raise RuntimeError("this cannot be") from error  # NO-ERROR-OF-TLS


class NoRoomIsAnError(Vault):
    """email-oauth2-proxy #52: whoever sends is not told that TLS has to wait."""

    def flush(self, guest: Guest) -> None:
        with suppress(BlockingIOError):
            try:
                super().flush(guest)
            except ssl.SSLWantWriteError:
                self.fail(guest)
                raise ConnectionError from None


class CountsAttempts(Vault):
    """email-oauth2-proxy #121: who takes long over the handshake is known by how often it was asked, not by the time."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context)
        self.attempts: dict[Guest, int] = {}

    def shake(self, guest: Guest) -> None:
        self.attempts[guest] = self.attempts.get(guest, 0) + 1
        if self.attempts[guest] > 2:
            raise TimeoutError
        super().shake(guest)
