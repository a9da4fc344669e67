"""Stand-ins for what belonged to a run that is over, for a program that goes on using its sockets."""

from __future__ import annotations

from errno import EBADF
from typing import Any, Final, NoReturn

from simnet.kernel.errors import socket_error

__all__ = ["ENDED", "OVER", "outlived"]

ENDED = "its network has ended"


class _Over:
    """Whatever is asked of it: EBADF."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<of a run that is over>"

    def __getattr__(self, name: str) -> NoReturn:
        raise outlived("sockets")


def outlived(what: str) -> OSError:
    """EBADF of a thing of a run that is over; *what* such things are."""
    error = socket_error(EBADF)
    error.add_note(f"{ENDED}, and all of its {what} with it: use them within")
    return error


#: In the place of a scheduler, a host or a stack: attributes of a class with a ``__getattr__`` would all be slower to read.
OVER: Final[Any] = _Over()
