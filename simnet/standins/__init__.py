"""What a program uses from outside itself, and what answers.

A stand-in replaces a function of the standard library. At each call it asks which world the running code
belongs to: the `Backend` of a process answers, and where there is none the original function does, with the same
arguments. Two worlds use them: the simulated network and `RealNetwork`. `simnet.modules` puts the stand-ins in place
and takes them away again.
"""

from simnet.standins import (
    chance,
    clocks,
    descriptors,
    early_selectors,
    exits,
    files,
    interrupts,
    locks,
    own_signals,
    pollers,
    processors,
    registrations,
    sockets,
    threads,
    ways_out,
    who_runs,
)
from simnet.standins.pairs import Pair
from simnet.standins.whose import Backend, Provider, active, answer_from

__all__ = ["PAIRS", "Backend", "Pair", "Provider", "active", "answer_from"]

PAIRS: tuple[Pair, ...] = (
    *clocks.PAIRS,
    *pollers.PAIRS,
    *registrations.PAIRS,
    *early_selectors.PAIRS,
    *sockets.PAIRS,
    *descriptors.PAIRS,
    *files.PAIRS,
    *chance.PAIRS,
    *threads.PAIRS,
    *processors.PAIRS,
    *ways_out.PAIRS,
    *who_runs.PAIRS,
    *exits.PAIRS,
    *locks.PAIRS,
    *interrupts.PAIRS,
    *own_signals.PAIRS,
)
