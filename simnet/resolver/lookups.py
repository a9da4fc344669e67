"""A host looks up a name: the call is counted and recorded, and a plan may make the answer an error, or late."""

from __future__ import annotations

import socket as constants  # numbers and exception classes only
from typing import TYPE_CHECKING, Final

from simnet.clock import deadline_after
from simnet.faults.place import Place
from simnet.resolver.services import NO_NAME, gai_error
from simnet.trace import CALL, Failed

if TYPE_CHECKING:
    from simnet.machine import Machine
    from simnet.wait import Scheduler

__all__ = ["ADDRESS_OF", "LATE", "look_up"]

ADDRESS_OF: Final = "the address of "  # what who waits for an answer waits for, before the name
# A key of a process's state: who cannot wait here has the seconds put there, and waits by itself.
LATE: Final = "late answers"

_SAID: Final = {
    "EAI_AGAIN": (constants.EAI_AGAIN, "Temporary failure in name resolution"),
    "EAI_NONAME": NO_NAME,
}


def look_up(scheduler: Scheduler, machine: Machine, name: str) -> None:
    """*machine* asks for *name*, which is no number, and not its own.

    Raises:
        socket.gaierror: a fault makes it.
    """
    machine.lookups = n = machine.lookups + 1
    scheduler.activity += 1
    injector = machine.fabric.injector
    here = machine.name
    fault = injector.for_lookup(Place.host(here), n) if machine.target and injector.watches_lookups else None
    if fault is not None:
        injector.fire(fault, Place.host(here), here, "", n)
        if fault.seconds:
            _wait(scheduler, name, fault.seconds)
    errno = None if fault is None else fault.errno
    result = None if errno is None else Failed(errno)
    if scheduler.recording:
        scheduler.trace.entries.append(
            (scheduler.clock.now_ns, CALL, here, here, "", "lookup", n, ((name,), result, True))
        )
    if errno is not None:
        raise gai_error(_SAID[errno])


def _wait(scheduler: Scheduler, name: str, seconds: float) -> None:
    process = scheduler.current
    late: list[float] | None = process.state.get(LATE)
    if late is not None:
        late.append(seconds)
    elif not process.cannot_wait:  # else it is in what a program gave to a thread, which takes no time here
        deadline_ns = deadline_after(scheduler.clock.now_ns, seconds)
        while scheduler.wait((f"{ADDRESS_OF}{name}", None), deadline_ns):
            pass
