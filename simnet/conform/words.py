"""How the answer of a call is written down, so that two worlds can be compared word for word.

A kernel chooses port numbers and buffer sizes as it likes; what a program may rely on is that the same port shows again
where it should. So a port is written as its number in the order of appearance, and an error by its name.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from simnet.conform.program import HOSTS, PORTS, Place

__all__ = ["Setting", "Words", "outcome"]


def _error_name(error: OSError) -> str:
    """``ECONNRESET``; for a time-out and other errors without a number, the class and text."""
    if isinstance(error, socket.gaierror):
        return f"gaierror {error.errno}"
    if error.errno is None:
        return f"{type(error).__name__}: {error}"
    return errno.errorcode.get(error.errno, str(error.errno)).replace("EOPNOTSUPP", "ENOTSUP")


def outcome(call: Callable[[], Any]) -> Any:
    """What *call* returns, or the name of the error it raises: ``"EAGAIN"``, ``"ValueError: negative ..."``."""
    try:
        return call()
    except OSError as error:
        return _error_name(error)
    except (TypeError, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"


class Setting:
    """The addresses of one run of a program: they differ from run to run, so that no run meets another's TIME_WAIT."""

    __slots__ = ("here", "there", "ports", "prefix")

    def __init__(self, here: str, there: str, first_port: int, prefix: str) -> None:
        self.here = here
        self.there = there
        self.ports = {name: first_port + number for number, name in enumerate(PORTS)}
        self.prefix = prefix  # of abstract Unix names

    def host(self, name: str) -> str:
        """The host that a program calls *name*."""
        return {"here": self.here, "there": self.there}.get(name) or HOSTS[name]

    def unix(self, name: str) -> str:
        """The abstract name, as ``connect`` takes it."""
        return f"\0{self.prefix}{name}"


class Words:
    """One run's vocabulary: ports by order of appearance."""

    __slots__ = ("kind", "_setting", "_ports")

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._ports: dict[tuple[int, int], str] = {}
        self.kind = 0  # of the socket whose address is told next: TCP and UDP have each their own ports

    def address(self, address: Any) -> str:
        """An address as the kernel gave it, in a program's words."""
        if isinstance(address, tuple):
            host, port, *rest = address
            known = {self._setting.here: "here", self._setting.there: "there"}
            host = known.get(host) or str(host)
            name = self._port(port)
            return ":".join([f"[{host}]" if ":" in host else host, name, *(str(more) for more in rest if more)])
        if isinstance(address, bytes) and address[:1] == b"\0":
            text = address[1:].decode("latin-1")
            ours = text.startswith(self._setting.prefix)
            return f"@{text.removeprefix(self._setting.prefix)}" if ours else f"@({len(text)} chosen by the kernel)"
        return repr(address)

    def _port(self, port: int) -> str:
        for name, number in (("0", 0), *self._setting.ports.items()):
            if port == number:
                return name
        return self._ports.setdefault((self.kind, port), f"P{len(self._ports) + 1}")

    def say(self, value: Any) -> str:
        """Any answer: an error's name stays, bytes and numbers are as Python prints them, addresses are translated."""
        if isinstance(value, str):
            return value
        if isinstance(value, Place):
            return repr(value)
        if (
            isinstance(value, tuple)
            and len(value) in (2, 4)
            and isinstance(value[0], str)
            and isinstance(value[1], int)
        ):
            return self.address(value)
        if isinstance(value, (tuple, list)):
            inner = ", ".join(map(self.say, value))
            return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
        return repr(value)
