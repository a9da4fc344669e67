"""``Host``: a machine of a network."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from simnet.both.asked import flag_of, is_unix, port_of, seconds_of
from simnet.both.hostverbs import connected, listening, result_of
from simnet.clock import deadline_after
from simnet.faults.hosts import ClockJump, Pause
from simnet.kernel.messages import AF_UNIX
from simnet.kernel.states import LISTEN
from simnet.link import NotALink
from simnet.machine import Machine
from simnet.netstat import snapshot
from simnet.outages.power import cut, power_on, refuse_without_power
from simnet.outages.standstill import set_clock, stand_still
from simnet.process import Process
from simnet.socket import Socket

if TYPE_CHECKING:
    from simnet.world import Network

__all__ = ["Host"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Host(NotALink):
    """A machine of the network: a kernel, addresses, a name. Functions run on it as processes."""

    __slots__ = ("machine", "_network")

    INNER = ("machine",)

    def __init__(self, network: Network, machine: Machine) -> None:
        self._network = weakref.ref(network)
        self.machine = machine

    def __repr__(self) -> str:
        return f"Host({self.name}, {self.address})"

    @property
    def network(self) -> Network:
        """The network it belongs to."""
        network = self._network()
        if network is None:
            raise RuntimeError(f"the network of {self!r} is gone: keep a reference to it")
        return network

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return self.machine.address

    @property
    def privileged(self) -> bool:
        """Do its programs run as root does? True: they may set SO_MARK and the like. False: that is refused, as to anybody else.

        What would then have an effect that is not modelled, as raw sockets have, is refused in either case.
        """
        return self.machine.privileged

    @privileged.setter
    def privileged(self, privileged: bool) -> None:
        self.machine.privileged = self.machine.stack.privileged = flag_of("privileged", privileged)

    def spawn(self, fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> Process:
        """Run ``fn(*args, **kwargs)`` as a process here. Returns when it first waits, or has ended.

        Raises:
            TypeError: it does not take these arguments, or is no plain function.
        """
        return self.network.spawn_on(self.machine, fn, args, kwargs)

    def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Spawn, wait for the end, and return what the function returned, or raise what it raised, for the caller to handle."""
        result: _T = result_of(self.spawn(fn, *args, **kwargs))
        return result

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> Socket:
        """A socket of this host's kernel, among the caller's descriptors."""
        self.network._going_on()
        refuse_without_power(self.machine)
        return Socket(family, type, proto, machine=self.machine)

    def connect(self, address: tuple[str, int] | str | bytes, timeout: float | None = None) -> Socket:
        """A connection from here to *address*, as ``socket.create_connection`` makes one, or to the path of a Unix socket."""
        return connected(self._fit_for(address), address, timeout)

    def listen(self, port: int | str | bytes, backlog: int = 128) -> Socket:
        """A listening socket of this host on all its addresses, or on the path of a Unix socket."""
        return listening(self._fit_for(port), port, backlog)

    def _fit_for(self, where: object) -> Socket:
        return self.socket(AF_UNIX if is_unix(where) else -1)

    def wait_listening(self, port: int | str | bytes, timeout: float = 30.0) -> None:
        """Wait until a socket listens on *port* here, or on that path of a Unix socket.

        Raises:
            TimeoutError: none did within *timeout* seconds of virtual time.
        """
        scheduler = self.network._going_on()
        number = port_of(port)
        where = f"{self.name}:{number}"
        deadline = deadline_after(scheduler.clock.now_ns, seconds_of("wait_listening", timeout))
        while not any(
            row.host == self.name
            and row.state == LISTEN
            and (row.tag == where if isinstance(number, str) else row.local.endswith(f":{number}"))
            for row in snapshot(scheduler.processes)
        ):
            if scheduler.clock.now_ns >= deadline:
                raise TimeoutError(f"nobody listens on {where} after {timeout:g} s{self._listeners_elsewhere()}")
            scheduler.wait((f"a listener on {where}", None), min(deadline, scheduler.clock.now_ns + 1_000_000))

    def _listeners_elsewhere(self) -> str:
        """Where somebody listens instead: the place, or the number, may be another than was thought."""
        rows = snapshot(self.network._going_on().processes)
        there = sorted({row.tag for row in rows if row.state == LISTEN})
        return f"; there are listeners on {', '.join(there)}" if there else ""

    def crash(self) -> None:
        """Cut its power: its processes end without notice, and nothing leaves or reaches it, until `restart`.

        Its peers see silence. Sockets that a test made here by hand fail with ENETDOWN. A second crash changes nothing.

        Raises:
            RuntimeError: called by a process of this host, or for ``test``, where the test itself runs.
        """
        scheduler = self.network._going_on()
        if self.machine.powered:
            cut(scheduler, self.machine)
            self.network._struck = True

    def pause(self, seconds: float) -> None:
        """Let none of its processes run for *seconds* of virtual time, as if each were stopped; its kernel goes on.

        Raises:
            RuntimeError: as `crash`.
            ValueError: it is ``test``, the host of the test's own body, or *seconds* is less than a nanosecond.
        """
        wanted = Pause(on=self.name, at=0, seconds=seconds)
        stand_still(self.network._going_on(), self.machine, wanted.seconds)

    def set_clock(self, seconds: float) -> None:
        """Move its wall clock, ``time.time()``, forwards by *seconds*, or back. The monotonic clock does not change.

        Raises:
            ValueError: by less than a nanosecond.
        """
        wanted = ClockJump(on=self.name, at=0, seconds=seconds)
        set_clock(self.network._going_on(), self.machine, wanted.seconds)

    def restart(self) -> None:
        """Start again, with no process, no socket and no memory of connections: a peer that uses one gets RST.

        A running host crashes first. Spawn again what is to run.

        Raises:
            RuntimeError: as `crash`.
        """
        self.crash()
        power_on(self.network._going_on(), self.machine)
