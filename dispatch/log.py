"""The loop's messages go to the logger ``dispatch``, which is loaded when there is something to log."""

from __future__ import annotations

import sys

from dispatch.annotations import Any


def log_exception(message: str, error: BaseException) -> None:
    """An error that nobody handled, with its traceback."""
    logger = _logger()
    if logger is not None:
        logger.error(message, exc_info=error)
    elif sys.stderr is not None:
        sys.stderr.write(f"{message}\n")
        sys.excepthook(type(error), error, error.__traceback__)


def log_warning(message: str) -> None:
    """Something that a programmer should know."""
    logger = _logger()
    if logger is not None:
        logger.warning(message)
    elif sys.stderr is not None:
        sys.stderr.write(f"{message}\n")


def _logger() -> Any:
    try:
        import logging  # here, since it is a third of what importing dispatch would cost
    except (ImportError, OSError):
        return None  # no descriptor is left to read it with; what is to be said is needed then
    return logging.getLogger("dispatch")
