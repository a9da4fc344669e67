"""A socket that was not closed and that nothing refers to any more: closed as CPython closes it, with its warning."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

__all__ = ["dropped"]


def dropped(sock: Any, *, heard: bool) -> None:
    """The finalizer of *sock*, which is open: with ``-W error`` that is an error, and it is closed nevertheless.

    Not *heard* is what its process no longer answers for, as it is being ended.
    """
    try:
        if heard:
            warnings.warn(f"unclosed {sock!r}", ResourceWarning, stacklevel=3, source=sock)
    finally:
        with suppress(OSError):  # somebody else has closed the number
            sock._real_close()
