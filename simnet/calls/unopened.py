"""A socket object that has no descriptor, since a subclass has an ``__init__`` of its own that opens none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["unopened"]


def unopened(made: Any, process: Process) -> Any:
    """*made*, as CPython's ``__new__`` leaves it: of no family, and its calls are EBADF. `Socket.__init__` says more."""
    made._fd = -1
    made._net_family = made._kind = made._protocol = 0
    made._timeout = None
    made._process, made._machine = process, process.machine
    return made
