"""What a person may mean who asks a network, a host or a process for what it does not have: it is called otherwise, or is another's."""

from __future__ import annotations

import difflib
from typing import Any

__all__ = ["no_attribute"]

OF_A_HOST = (
    "spawn",
    "connect",
    "listen",
    "socket",
    "wait_listening",
    "crash",
    "restart",
    "pause",
    "set_clock",
    "address",
)

#: What is asked for, and what says so here: of a network, a host, a process.
MEANT = {
    "Network": {name: f'net.host("server").{name}' for name in OF_A_HOST} | {"now": "net.time", "clock": "net.time"},
    "Host": {
        "start": "host.spawn(function, ...)",
        "ip": "host.address",
        "stop": "process.send_signal(signal.SIGTERM) of what spawn() gave, or host.crash()",
        "kill": "process.send_signal(signal.SIGKILL) of what spawn() gave, or host.crash()",
        "partition": 'net.partition("test", "server")',
        "time": "net.time",
        "sleep": "net.sleep(seconds)",
    },
    "Process": {
        "terminate": "process.send_signal(signal.SIGTERM)",
        "stop": "process.send_signal(signal.SIGTERM)",
        "kill": "process.send_signal(signal.SIGKILL)",
        "wait": "process.join(seconds)",
        "is_alive": "not process.done",
        "returncode": "process.result, or process.error",
        "exitcode": "process.result, or process.error",
        "host": "process.host_name",
    },
}


def no_attribute(asked: object, name: str) -> Any:
    """The ``__getattr__`` of networks, hosts and processes of either world, which comes to know of what they do not have.

    Raises:
        AttributeError: always; with what is meant, if that can be guessed.
    """
    if name.startswith("_") or hasattr(type(asked), name):
        return object.__getattribute__(asked, name)  # it is there, and has raised this itself
    raise AttributeError(_Meant(asked, name), name=name, obj=asked)


class _Meant:
    """What the error says. Who only looks whether a name is there does not wait for the guess."""

    __slots__ = ("asked", "name")

    def __init__(self, asked: object, name: str) -> None:
        self.asked = asked
        self.name = name

    def __repr__(self) -> str:
        return repr(str(self))

    def __str__(self) -> str:
        kind, name = type(self.asked), self.name
        told = f"a {kind.__name__} has no {name}"
        known = (MEANT.get(each.__name__.removeprefix("Real")) for each in kind.__mro__)
        table = next((each for each in known if each), {})
        if name in getattr(self.asked, "_hosts", ()):
            return f"{told}; write net.host({name!r})"
        if name in table:
            return f"{told}; write {table[name]}"
        there = [each for each in dir(self.asked) if not each.startswith("_")]
        near = next(iter(difflib.get_close_matches(name, [*there, *table], n=1)), "")
        return f"{told}; did you mean {table.get(near, repr(near))}?" if near else told
