"""A host without power: what a crash takes with it, and what starts again.

Afterwards it has a new kernel, which knows nothing of the old one's connections. In between it has one that answers
nothing, and every link of the host drops everything, as in a partition: so its peers retransmit.
"""

from __future__ import annotations

from collections import deque
from errno import ENETDOWN
from typing import TYPE_CHECKING

from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.readiness import ERROR_NEWS
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.machine import Machine
from simnet.owned.eventloops import end_wherever_it_is
from simnet.trace import PROCESS

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["cut", "note", "power_on", "refuse_without_power"]


def refuse_without_power(machine: Machine) -> None:
    """Nothing begins on a host that has crashed.

    Raises:
        RuntimeError: it has, and was not restarted.
    """
    if not machine.powered:
        raise RuntimeError(f"the host {machine.name} has crashed: restart() it first")


def cut(scheduler: Scheduler, machine: Machine) -> None:
    """Take the power from *machine*, and with it everything that runs there.

    Raises:
        RuntimeError: who calls runs there, or the test.
    """
    for process in (scheduler.current, scheduler.body):
        if process.machine is machine:
            raise RuntimeError(f"{process.name} runs on {machine.name}: a host's power is cut from another one")
    note(scheduler, machine, "crash")
    gone = machine.stack
    machine.fabric.power(machine, on=False)
    machine.still_until_ns = 0
    machine.out = deque()  # what the old kernel has to say, it says to nobody
    for socket in [*gone.connections.values(), *(each for group in gone.listeners.values() for each in group)]:
        if isinstance(socket, TcpSocket):
            socket.die(ENETDOWN)
    for process in scheduler.processes:
        if process.machine is machine and not process.done:
            end_wherever_it_is(process, f"the host {machine.name} has lost its power")
    for process in scheduler.processes:
        for file in process.descriptors.files():
            if isinstance(file, UdpSocket) and file.stack is gone:
                file.error = ENETDOWN
                file.wake(ERROR_NEWS)
    gone.dissolve()
    machine.replace_stack(deaf=True)


def power_on(scheduler: Scheduler, machine: Machine) -> None:
    """Boot *machine*, whose power was cut."""
    note(scheduler, machine, "restart")
    machine.replace_stack(deaf=False)
    machine.fabric.power(machine, on=True)


def note(scheduler: Scheduler, machine: Machine, what: str) -> None:
    """*what* befell *machine*: for the trace, and no call of anybody's."""
    scheduler.effects += 1
    scheduler.activity += 1
    entry = (scheduler.clock.now_ns, PROCESS, machine.name, machine.name, "", what, 0, None)
    scheduler.trace.entries.append(entry)
