"""Where the simulated kernel's errors are made: errno, text and class as the real one raises them."""

import errno as _errno
import os
from typing import Final, NoReturn

_TEXTS: Final = {code: os.strerror(code) for code in _errno.errorcode}


def socket_error(code: int) -> OSError:
    """An ``OSError`` as the real kernel raises it: errno, text and subclass agree."""
    return OSError(code, _TEXTS[code])


class NotModelled(BaseException):
    """A program used something that the simulated kernel does not imitate.

    A ``BaseException``, since asyncore's bare ``except`` and asyncio's tasks swallow an ``Exception``, and after a call
    that silently did nothing every result would be a guess.
    """

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return (
            f"{self.call} is not modelled by simnet's kernel. docs/fidelity.md lists what is; "
            f"use RealNetwork for a program that needs this call"
        )


def not_modelled(call: str) -> NoReturn:
    """Refuse *call* by name."""
    raise NotModelled(call)
