"""What a kernel can be made to show, and how much of a run it did itself.

A replay on real sockets is only as good as the kernel's part in it. Faults on bytes, connections and whole
calls are caused with the means of any program (a shutdown, a reset, a byte out of band), by the end that is not under test:
what the target sees then is the kernel's own answer. Results of single calls are injected by the socket's face.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from simnet.both.asked import SECONDS_MAX
from simnet.faults.fault import Fault
from simnet.faults.plan import FaultPlan

__all__ = [
    "CONFIRMED", "INJECTED", "SECONDS", "SIMULATOR_ONLY", "refuse", "refuse_what_no_kernel_shows", "seconds_of_a_run",
    "verdict_class",
]  # fmt: skip

CONFIRMED: Final = "confirmed on the kernel"
INJECTED: Final = "real sockets, injected result"
SIMULATOR_ONLY: Final = "simulator only"

SECONDS = 20.0  # of real time that a run may take, unless it is allowed more

BY_THE_KERNEL = ("reset", "eof", "split", "coalesce", "stall", "urgent", "refuse", "reset-before-accept", "strangers")
BY_THE_FACE = ("short-recv", "partial-send", "would-block", "wake", "error")

WHY_NOT = {
    "blackhole": "loopback delivers everything",
    "unreachable": "loopback reaches every address of this machine",
    "connect-timeout": "loopback answers every SYN",
    "drop": "loopback loses nothing",
    "duplicate": "loopback sends nothing twice",
    "reorder": "loopback keeps the order",
    "delay": "loopback delivers at once",
    "partition": "loopback cannot be cut",
    "clock-jump": "the machine's clock is not ours to move",
    "crash": "its processes are threads of this one",
    "restart": "its processes are threads of this one",
    "pause": "its processes are threads of this one",
    "preempt": "the machine says which of its threads runs",
    "name-error": "names are answered by the network, without a resolver that could fail",
}


def verdict_class(plan: FaultPlan, seconds: float = SECONDS) -> str:
    """What a run of *plan* on real sockets, of at most *seconds*, would be worth: as much as its weakest fault."""
    if any(_why_not(fault, seconds) for fault in plan):
        return SIMULATOR_ONLY
    return INJECTED if any(fault.kind in BY_THE_FACE or fault.on_datagrams for fault in plan) else CONFIRMED


def seconds_of_a_run(seconds: Any) -> float:
    """How long a run may take, if it is a time that a clock can wait for.

    Raises:
        TypeError: no number.
        ValueError: no time, or more than there is.
    """
    if not isinstance(seconds, int | float):
        raise TypeError(f"{seconds=} is {type(seconds).__name__}; it is a number of seconds")
    if not 0 < seconds <= SECONDS_MAX:  # nor is nan
        raise ValueError(f"{seconds=} is no time for a run; it is more than 0, and at most {SECONDS_MAX:g}")
    return seconds


def refuse(what: str) -> NoReturn:
    """A test asks by hand for *what*, a kind of fault that no kernel can be made to show.

    Raises:
        RuntimeError: always, with the reason.
    """
    raise RuntimeError(f"{what}() is for a simulated network: here {WHY_NOT[what]}")


def refuse_what_no_kernel_shows(plan: FaultPlan, seconds: float = SECONDS) -> None:
    """Do nothing if real sockets can show every fault of *plan* in a run of *seconds*.

    Raises:
        ValueError: one they cannot, by name and with the reason.
    """
    for fault in plan:
        why = _why_not(fault, seconds)
        if why:
            raise ValueError(
                f"{str(fault)!r}: a real kernel cannot be made to show {fault.kind!r} here ({why}). "
                f"Play it on simnet.Network; real sockets show {', '.join((*BY_THE_KERNEL, *BY_THE_FACE))}."
            )


def _why_not(fault: Fault, seconds: float) -> str:
    """The reason for which *fault* is the simulator's alone; empty if it is not."""
    if fault.place.unix and fault.kind in ("reset", "reset-before-accept"):
        return "a Unix socket is reset by nothing but a close of the program's own at its other end"
    if fault.kind == "strangers" and getattr(fault, "when", "") == "after":
        return "who comes behind a connection comes by its time, which a kernel does not tell"
    late: float | None = getattr(fault, "seconds", None)
    if fault.kind in ("stall", "error") and late is not None and late > seconds / 2:
        return (
            f"it takes {late:g} s of real time, and the run has {seconds:g}: more by seconds=, --seconds in a command"
        )
    if fault.kind in ("would-block", "partial-send") and fault.late:
        return (
            "a peer that does not read has to be sent more than its kernel takes, and the program sends what it sends"
        )
    if fault.on_datagrams:
        return (
            "it is a call of a Unix socket for datagrams, whose place real runs do not know" if fault.place.unix else ""
        )
    if fault.kind in BY_THE_KERNEL or fault.kind in BY_THE_FACE:
        return ""
    return WHY_NOT.get(fault.kind, "there is no means to make it do so")
