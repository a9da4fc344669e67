"""The exit codes of the commands."""

from __future__ import annotations

from typing import Final

__all__ = ["CLEAN", "FAILURE_FOUND", "STOPPED", "UNHEARD", "USAGE"]

CLEAN: Final = 0
FAILURE_FOUND: Final = 1
USAGE: Final = 2  # the command cannot be carried out as given
STOPPED: Final = 130  # by Ctrl-C: what shells say of a program that SIGINT ended, 128 + 2
UNHEARD: Final = 141  # whoever read the output has closed it: 128 + 13, as of SIGPIPE
