"""Servers of several tests: an echo, one client after another, which no reset finds prepared, and one that goes on."""

from __future__ import annotations

import socket

__all__ = ["echo", "lasting_echo"]


def echo(port: int, host: str = "") -> None:
    with socket.create_server((host, port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)


def lasting_echo(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with listener.accept()[0] as connection:
                try:
                    while data := connection.recv(100):
                        connection.sendall(data)
                except OSError:
                    pass
