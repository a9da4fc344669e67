"""``RealHost``: the face of one machine of a real network."""

from __future__ import annotations

import socket as _stdlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from simnet import real
from simnet.both.asked import is_unix, port_of, seconds_of
from simnet.both.hostverbs import connected, listening, result_of
from simnet.kernel.messages import AF_UNIX
from simnet.link import NotALink
from simnet.realnet.classes import refuse
from simnet.realnet.machine import Machine
from simnet.realnet.process import RealProcess, enter
from simnet.realnet.socket import RealSocket

if TYPE_CHECKING:
    from simnet.realnet.network import RealNetwork

__all__ = ["RealHost"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RealHost(NotALink):
    """A machine of the network. Functions run on it as processes, which are threads."""

    __slots__ = ("_console", "machine", "network")

    INNER = ("machine",)

    def __init__(self, network: RealNetwork, machine: Machine) -> None:
        self.network = network
        self.machine = machine
        self._console: RealProcess | None = None

    def __repr__(self) -> str:
        return f"RealHost({self.name}, {self.address})"

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def address(self) -> str:
        """Its IPv4 address, on loopback."""
        return self.machine.address

    def spawn(self, fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> RealProcess:
        """Run ``fn(*args, **kwargs)`` as a process here. Returns when it first waits, or has ended.

        Raises:
            TypeError: it does not take these arguments, or is no plain function.
        """
        return self.network.spawn_on(self.machine, fn, args, kwargs)

    def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Spawn, wait for the end, and return what the function returned, or raise what it raised, for the caller to handle."""
        result: _T = result_of(self.spawn(fn, *args, **kwargs))
        return result

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> _stdlib.socket:
        """A socket of this host, for the caller."""
        network = self.network
        caller = network._running()
        if self._console is None:
            self._console = RealProcess(network._stage, self.machine, f"{self.name}/console")
            network._consoles.append(self._console)
            network._stage.consoles.append(self._console)
        enter(self._console)
        try:
            return RealSocket(family, type, proto)
        finally:
            enter(caller)

    def connect(self, address: tuple[str, int] | str | bytes, timeout: float | None = None) -> _stdlib.socket:
        """A connection from here to *address*, as ``socket.create_connection`` makes one, or to the path of a Unix socket."""
        return connected(self._fit_for(address), address, timeout)

    def listen(self, port: int | str | bytes, backlog: int = 128) -> _stdlib.socket:
        """A listening socket of this host on all its addresses, or on the path of a Unix socket."""
        return listening(self._fit_for(port), port, backlog)

    def _fit_for(self, where: object) -> _stdlib.socket:
        return self.socket(AF_UNIX if is_unix(where) else -1)

    def wait_listening(self, port: int | str | bytes, timeout: float = 30.0) -> None:
        """Wait until a socket listens on *port* here, or on that path of a Unix socket.

        Raises:
            TimeoutError: none did within *timeout* seconds.
        """
        process, stage = self.network._running(), self.network._stage
        where = f"{self.name}:{port_of(port)}"

        def listens() -> bool:
            files = list(stage.files.values())
            return any(each.listening and each.machine is self.machine and each.tag.text == where for each in files)

        deadline = stage.clock.now_ns + round(seconds_of("wait_listening", timeout) * 1e9)
        if not listens() and not process.wait(f"a listener on {where}", (), deadline, listens):
            raise TimeoutError(f"nobody listens on {where} after {timeout:g} s")

    @property
    def privileged(self) -> bool:
        """Do its programs run as root does? As who runs the test; it cannot be set."""
        return real.geteuid() == 0

    @privileged.setter
    def privileged(self, privileged: bool) -> NoReturn:
        raise RuntimeError("privileged is set in a simulated network: here its processes are threads of this one")

    def crash(self) -> NoReturn:
        """Refused: the processes of a real network are threads of this one."""
        refuse("crash")

    def restart(self) -> NoReturn:
        """Refused, as `crash`."""
        refuse("restart")

    def pause(self, seconds: float) -> NoReturn:
        """Refused, as `crash`."""
        refuse("pause")

    def set_clock(self, seconds: float) -> NoReturn:
        """Refused: the machine's clock is not ours to set."""
        refuse("clock-jump")
