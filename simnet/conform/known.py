"""Divergences that are known and accepted, each with its reason: rows of docs/fidelity.md.

An entry says which differences it explains. It is for what the kernel does by accident of its implementation, never for what
a program could rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simnet.conform.kernel import Difference
from simnet.conform.program import PORTS, Place, Program

__all__ = ["KNOWN", "Known", "explain"]

_WIDE = {Place("any6", port) for port in (*PORTS, 0)}


class Known(NamedTuple):
    """One decision: what differs, in a sentence, why it stays, and how to recognise it."""

    what: str
    reason: str
    covers: Callable[[Program, Difference], bool]


def _bind_after_a_failed_connect(program: Program, difference: Difference) -> bool:
    wide = {step.on for step in program if step.call == "bind" and step.args[0] in _WIDE}
    connected = any(step.call == "connect" and step.on in wide for step in program)
    return connected and "bind" in difference.step and {difference.simnet, difference.kernel} == {"EADDRINUSE", "None"}


def _deferred_over_a_new_listen(program: Program, difference: Difference) -> bool:
    defers = any(step.args[:1] == ("TCP_DEFER_ACCEPT",) for step in program)
    again = sum(step.call == "listen" for step in program) > 1 and any(step.call == "shutdown" for step in program)
    return defers and again and difference.kind == "readiness"


KNOWN: tuple[Known, ...] = (
    Known(
        "Whether 0.0.0.0 may be bound beside a socket bound to :: that a failed connect has given an address.",
        "Linux has two tables of bound ports and finds the conflict in only one of them, depending on how the first port was "
        "chosen. simnet goes by the address the socket has now.",
        _bind_after_a_failed_connect,
    ),
    Known(
        "A client that TCP_DEFER_ACCEPT holds back while its listener is shut down and listens again.",
        "Linux keeps the handshake in a separate table and finds the listener again; simnet drops it with the queue, "
        "and answers later data with RST.",
        _deferred_over_a_new_listen,
    ),
)


def explain(program: Program, difference: Difference) -> Known | None:
    """The entry that covers *difference*, if one does."""
    return next((known for known in KNOWN if known.covers(program, difference)), None)
