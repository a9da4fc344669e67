"""What a person may mean who asks a network, a host or a process for what it does not have: it is called otherwise, or is another's."""

from __future__ import annotations

import difflib
from typing import Any, NoReturn

__all__ = ["Misnamed", "no_attribute"]

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

#: What is asked for, and what says so here: of a network, of a host.
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
}


class Misnamed:
    """The names that a process has not, one by one: with a ``__getattr__`` all that it has would be slower to read."""

    class _Name:
        __slots__ = ("meant", "name")

        def __init__(self, meant: str) -> None:
            self.meant = meant

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, asked: object, owner: type) -> NoReturn:
            __tracebackhide__ = True
            told = f"a {owner.__name__} has no {self.name}; write {self.meant}"
            raise AttributeError(told, name=self.name, obj=owner if asked is None else asked)

    __slots__ = ()

    terminate = _Name("process.send_signal(signal.SIGTERM)")
    stop = _Name("process.send_signal(signal.SIGTERM)")
    kill = _Name("process.send_signal(signal.SIGKILL)")
    wait: Any = _Name("process.join(seconds)")  # a real one has it, for other rooms
    is_alive = _Name("not process.done")
    returncode = _Name("process.result, or process.error")
    exitcode = _Name("process.result, or process.error")
    host = _Name("process.host_name")


def no_attribute(asked: object, name: str) -> Any:
    """The ``__getattr__`` of networks and hosts of either world, which comes to know of what they do not have.

    Raises:
        AttributeError: always; with what is meant, if that can be guessed.
    """
    __tracebackhide__ = True
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
