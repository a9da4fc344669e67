"""What can happen to a host that goes on running: its processes are paused for a while, or its wall clock is set.

A paused process is neither asleep nor running, like one that was sent SIGSTOP, or one on a machine whose hypervisor
gives it no time: its kernel acknowledges, accepts and queues meanwhile.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from simnet.outages.power import note

if TYPE_CHECKING:
    from simnet.machine import Machine
    from simnet.wait import Scheduler

__all__ = ["set_clock", "stand_still"]


def stand_still(scheduler: Scheduler, machine: Machine, seconds: float) -> None:
    """Let no process of *machine* run for *seconds*, nor one that is spawned there meanwhile.

    Raises:
        RuntimeError: who calls runs there.
    """
    if scheduler.current.machine is machine:
        raise RuntimeError(
            f"{scheduler.current.name} runs on {machine.name}: a host is made to stand still from another one"
        )
    note(scheduler, machine, "pause")
    until_ns = scheduler.clock.now_ns + max(1, round(seconds * 1e9))
    machine.still_until_ns = max(machine.still_until_ns, until_ns)
    for process in scheduler.processes:
        if process.machine is machine and not process.done:
            process.held = True
            process.asleep = False  # who wakes it does nothing
            if process in scheduler.runnable:
                scheduler.runnable.remove(process)
    scheduler.clock.at(until_ns, partial(_go_on, scheduler), machine)


def _go_on(scheduler: Scheduler, machine: Machine) -> None:
    if scheduler.clock.now_ns < machine.still_until_ns:
        return  # another pause lasts longer
    for process in scheduler.processes:
        if process.machine is machine and process.held and not process.done:
            process.held = False
            scheduler.runnable.append(process)  # it looks whether what it waits for has come meanwhile, or its time


def set_clock(scheduler: Scheduler, machine: Machine, seconds: float) -> None:
    """Set the wall clock of *machine* forwards by *seconds*, or back. The monotonic one does not move."""
    note(scheduler, machine, "clock-jump")
    machine.epoch_ns += round(seconds * 1e9)
    machine.stack.epoch_ns = machine.epoch_ns
