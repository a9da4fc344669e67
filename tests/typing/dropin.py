"""An asyncore program as people write it, with types of its own: the drop-in needs no stub under ``mypy --strict``."""

from __future__ import annotations

import socket
from typing import assert_type

from dispatch import asynchat, asyncore


class Session(asynchat.async_chat):
    """Narrower types than the base's, as a program has them."""

    ac_in_buffer_size = 4096

    def __init__(self, sock: socket.socket, server: Server) -> None:
        super().__init__(sock, server.sessions)
        self.server = server
        self.set_terminator(b"\r\n")

    def collect_incoming_data(self, data: bytes) -> None:
        self._collect_incoming_data(data)

    def found_terminator(self) -> None:
        line: bytes = self._get_data()
        self.push(line.upper() + b"\r\n")
        self.push_with_producer(asynchat.simple_producer(b"more", 512))
        if not line:
            self.close_when_done()

    def handle_error(self) -> None:
        (file, function, line), kind, error, info = asyncore.compact_traceback()
        self.log_info(f"{file} {function} {line} {kind} {error} {info}", "error")


class Sender(asyncore.dispatcher_with_send):
    """Some override the predicates, with bool."""

    def readable(self) -> bool:
        return bool(super().readable())

    def writable(self) -> bool:
        return bool(self.out_buffer)

    def handle_read(self) -> None:
        data = self.recv(8192)
        assert_type(data, bytes)
        self.send(data)

    def handle_close(self) -> None:
        self.close()


class Server(asyncore.dispatcher):
    """A map of its own."""

    def __init__(self, port: int) -> None:
        self.sessions: dict[int, asyncore.dispatcher] = {}
        super().__init__(map=self.sessions)
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.set_reuse_addr()
        self.bind(("", port))
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: tuple[str, int]) -> None:
        Session(sock, self)

    def log_info(self, message: str, type: str = "info") -> None:
        super().log_info(message, type)


def serve() -> None:
    """What is reached through the module is exported by it."""
    server = Server(7)
    try:
        asyncore.loop(timeout=1.0, use_poll=True, map=server.sessions, count=10)
        asyncore.poll(0.1, server.sessions)
    except (asyncore.ExitNow, asyncore.socket.error) as error:
        if isinstance(error, OSError) and error.errno in (asyncore.EWOULDBLOCK, asyncore.ECONNRESET):
            raise
    finally:
        asyncore.close_all(server.sessions, ignore_all=True)
    assert_type(len(asyncore.socket_map), int)
    asynchat.asyncore.loop()
    asyncore.file_dispatcher(0).close()
    asyncore.read(server)
    asyncore.readwrite(server, asyncore.select.POLLIN)
