"""What a program is told that goes on with a socket when the run is over in which it was made."""

from __future__ import annotations

from errno import EBADF
from typing import Any, NoReturn

from simnet.kernel.errors import socket_error

__all__ = ["of_a_run"]

OF_A_RUN = ("scheduler", "machine", "fabric", "stack")


def of_a_run(owner: Any, name: str) -> NoReturn:
    """Asked for an attribute that *owner* does not have (any more).

    Raises:
        OSError: EBADF, it went with the run.
        AttributeError: it never was.
    """
    if name not in OF_A_RUN:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}", name=name, obj=owner)
    error = socket_error(EBADF)
    error.add_note("its network has ended, and all of its sockets with it: use them within")
    raise error
