"""Where hosts live on the loopback interface, and which of the kernel's ports stands for which of theirs.

Each host has an address of its own in 127.0.0.0/8, all of which Linux answers for; two of its three free bytes are drawn,
so that test runs side by side do not meet. A port that a program names (7) is mapped to one the kernel has free, and
shown as 7 wherever the program looks; a port it leaves to the kernel is shown as it is.
"""

from __future__ import annotations

import _socket
import errno
import socket
import threading
from collections.abc import Callable

from simnet import real
from simnet.kernel.errors import socket_error
from simnet.realnet.connection import RealFile
from simnet.realnet.machine import Machine

__all__ = ["Ground"]

HOSTS_MAX = 254  # one byte, without .0 and .255


class Ground:
    """The addresses and ports of one network."""

    def __init__(self, look_up: Callable[[Machine, str], None] | None = None) -> None:
        self.look_up = look_up  # is told when a host asks for a name
        a, b = real.urandom(2)
        self._prefix = f"127.{1 + a % 254}.{b}."  # 127.0 is left to localhost and to distributions that use it
        self._real: dict[tuple[str, bool, int, int], int] = {}  # (host, IPv6, type, port named by a program)
        self._shown: dict[tuple[str, int, int], int] = {}  # (address, type, port of the kernel)
        # Host, type and port named by a program: what one socket has for both families.
        self._both: set[tuple[str, int, int]] = set()
        self._closed: dict[tuple[str, int], _socket.socket] = {}
        self._lock = threading.Lock()
        self.machines: dict[str, Machine] = {}

    # --- hosts -----------------------------------------------------------------------------------------------------

    def machine(self, name: str) -> Machine:
        """The host of this name, made when first named."""
        with self._lock:
            machine = self.machines.get(name)
            if machine is None:
                if len(self.machines) == HOSTS_MAX:
                    raise ValueError(f"host {name!r}: a real network has at most {HOSTS_MAX} hosts")
                address = f"{self._prefix}{len(self.machines) + 1}"
                machine = self.machines[name] = Machine(name, address, self)
            return machine

    def owner_of(self, address: str, asking: Machine) -> Machine | None:
        """Whose address this is, seen from *asking*: localhost is everybody's own."""
        address = address.removeprefix("::ffff:")
        if address in ("127.0.0.1", "::1", "0.0.0.0", "::"):
            return asking
        return next((each for each in self.machines.values() if each.address == address), None)

    def own_address(self, machine: Machine, host: str, v6only: bool) -> str:
        """The kernel's address that stands for *host*, which a program of *machine* binds.

        Raises:
            OSError: EADDRNOTAVAIL, it is another host's.
        """
        own = machine.address
        if host in ("0.0.0.0", "127.0.0.1", own):
            return own
        if host == "::" and not v6only:
            return f"::ffff:{own}"  # one socket for both families
        if host in ("::", "::1"):
            return "::1"
        if host == f"::ffff:{own}":
            return host
        raise socket_error(errno.EADDRNOTAVAIL)

    def route(self, file: RealFile, host: str, port: int) -> tuple[str, Machine, int | None]:
        """Where *host* and *port* are for the kernel: address, host, port (None: nobody has bound it).

        Raises:
            OSError: ENETUNREACH, no host of this network has that address; the world outside is out of reach.
        """
        owner = self.owner_of(host, file.machine)
        if owner is None:
            raise socket_error(errno.ENETUNREACH)
        v6 = host in ("::", "::1")
        if v6 and (owner.name, file.kind, port) in self._both and self.port_of(owner, True, file.kind, port) is None:
            v6 = False
        where = "::1" if v6 else owner.address if file.family == socket.AF_INET else f"::ffff:{owner.address}"
        return where, owner, self.port_of(owner, v6, file.kind, port)

    # --- ports -----------------------------------------------------------------------------------------------------

    def port_of(self, machine: Machine, v6: bool, kind: int, port: int) -> int | None:
        """The kernel's port that stands for *port* of *machine*, if somebody has bound that."""
        return self._real.get((machine.name, v6, kind, port))

    def assign(self, machine: Machine, v6: bool, kind: int, port: int, address: str, kernel_port: int) -> None:
        """From now on *kernel_port* of *address* stands for *port*. It stays so when its socket is closed."""
        with self._lock:
            self._real[machine.name, v6, kind, port] = kernel_port
            self._shown[address.removeprefix("::ffff:"), kind, kernel_port] = port
            if address.startswith("::ffff:"):
                self._both.add((machine.name, kind, port))

    def assign_once(self, machine: Machine, kind: int, address: str, kernel_port: int) -> None:
        """The same for a port that the kernel chose, unless it stands for one already."""
        if (address.removeprefix("::ffff:"), kind, kernel_port) not in self._shown:
            self.assign(machine, address == "::1", kind, kernel_port, address, kernel_port)

    def shown(self, address: str, kind: int, port: int) -> int:
        """The port as programs see it."""
        return self._shown.get((address.removeprefix("::ffff:"), kind, port), port)

    def closed_port(self, address: str, family: int) -> int:
        """A port of *address* that nobody listens on, and nobody will: connecting there is refused by the kernel."""
        with self._lock:
            guard = self._closed.get((address, family))
            if guard is None:
                guard = self._closed[address, family] = _socket.socket(family, socket.SOCK_STREAM)
                guard.bind((address, 0))
            return int(guard.getsockname()[1])

    def close(self) -> None:
        """Give the kernel back what this network kept."""
        for guard in self._closed.values():
            guard.close()
        self._closed.clear()
