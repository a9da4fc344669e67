"""What a kernel can be made to show, and how much of a run it did itself.

A replay on real sockets is only as good as what the kernel had to do with it. Faults on bytes, connections and whole
calls are done with means every program has (a shutdown, a reset, a byte out of band), by the end that is not under test:
what the target sees then is the kernel's own answer. Results of single calls are put in by the socket's face.
"""

from __future__ import annotations

from typing import Final

from simnet.faults.plan import FaultPlan

__all__ = ["CONFIRMED", "INJECTED", "SIMULATOR_ONLY", "refuse_what_no_kernel_shows", "verdict_class"]

CONFIRMED: Final = "confirmed on the kernel"
INJECTED: Final = "real sockets, injected result"
SIMULATOR_ONLY: Final = "simulator only"

BY_THE_KERNEL = ("reset", "eof", "split", "stall", "urgent", "refuse", "reset-before-accept")
BY_THE_FACE = ("short-recv", "partial-send", "would-block", "wake", "error")

WHY_NOT = {
    "coalesce": "a kernel joins segments when it likes",
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
    "name-error": "names are answered by the network, without a resolver that could fail",
}


def verdict_class(plan: FaultPlan) -> str:
    """What a run of *plan* on real sockets would be worth: as much as its weakest fault."""
    kinds = [fault.kind for fault in plan]
    if any(kind not in BY_THE_KERNEL and kind not in BY_THE_FACE for kind in kinds):
        return SIMULATOR_ONLY
    return INJECTED if any(kind in BY_THE_FACE for kind in kinds) else CONFIRMED


def refuse_what_no_kernel_shows(plan: FaultPlan) -> None:
    """Do nothing if real sockets can show every fault of *plan*.

    Raises:
        ValueError: one they cannot, by name and with the reason.
    """
    for fault in plan:
        if fault.kind not in BY_THE_KERNEL and fault.kind not in BY_THE_FACE:
            why = WHY_NOT.get(fault.kind, "there is no means to make it do so")
            raise ValueError(
                f"{str(fault)!r}: a real kernel cannot be made to show {fault.kind!r} ({why}). "
                f"Play it on simnet.Network; real sockets show {', '.join((*BY_THE_KERNEL, *BY_THE_FACE))}."
            )
