"""A server that several tests sweep: an echo, one client after another, which no reset finds prepared."""

from __future__ import annotations

import socket

__all__ = ["echo"]


def echo(port: int, host: str = "") -> None:
    with socket.create_server((host, port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)
