"""A wait is told by a line of the user's own, also where the standard library or a package waits for them."""

from __future__ import annotations

import socket
import sysconfig
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

import simnet


def accept_and_say_nothing() -> None:
    with socket.create_server(("", 80)) as listener, listener.accept()[0] as connection:
        while connection.recv(100):
            pass


def deadlock(ask: Callable[[], Any]) -> str:
    with pytest.raises(simnet.Deadlock) as caught, simnet.Network() as net:
        net.host("server").spawn(accept_and_say_nothing)
        ask()
    return str(caught.value)


def test_a_wait_within_the_standard_library_is_told_by_the_line_that_called_it() -> None:
    def ask() -> None:
        urllib.request.urlopen("http://server/")

    line = ask.__code__.co_firstlineno + 1
    assert f"test waits for recv on test->server:80#1 at test_whereabouts.py:{line} in ask, since" in deadlock(ask)


def test_one_within_a_package_by_its_line_and_by_the_one_that_called_it() -> None:
    path = f"{sysconfig.get_path('purelib')}/asker/client.py"
    source = (
        "def get(socket):\n    with socket.create_connection(('server', 80)) as sock:\n        return sock.recv(100)\n"
    )
    package: dict[str, Any] = {"__name__": "asker.client"}
    exec(compile(source, path, "exec"), package)

    def ask() -> None:
        package["get"](socket)

    line = ask.__code__.co_firstlineno + 1
    where = f"client.py:3 in get, called at test_whereabouts.py:{line} in ask"
    assert f"test waits for recv on test->server:80#1 at {where}, since" in deadlock(ask)
