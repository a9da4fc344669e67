"""Commands that the standard library runs to see what machine this is (ldconfig, uname): the machine's own, with their pipes."""

from __future__ import annotations

import sys

__all__ = ["looks_around"]

ASKS = ("ctypes.util", "platform")  # modules that do so, and touch nothing
# What they do it by, and ours that may stand between
BETWEEN = ("subprocess", "selectors", "simnet.standins.early_selectors", "simnet.standins.registrations")


def looks_around() -> bool:
    """Is the stand-in that asks called for such a command?"""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") in BETWEEN and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__") in ASKS
