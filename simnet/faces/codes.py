"""The exit codes of the commands."""

from __future__ import annotations

from typing import Final

__all__ = ["CLEAN", "FAILURE_FOUND", "STOPPED", "UNHEARD", "USAGE"]

CLEAN: Final = 0
FAILURE_FOUND: Final = 1
# The command cannot be carried out as given; or what was played says nothing, and is neither clean nor a failure.
USAGE: Final = 2
STOPPED: Final = 130  # by Ctrl-C: what shells say of a program that SIGINT ended, 128 + 2
UNHEARD: Final = 141  # whoever read the output has closed it: 128 + 13, as of SIGPIPE
