"""The loop's messages go to the logger ``dispatch``, which is loaded when there is something to log."""

from __future__ import annotations

import sys
from _weakref import ref

from dispatch.annotations import Any


def named(thing: Any) -> str:
    """Its ``repr``. A program's own may fail, as before a name is set; what is to be said of it is said all the same."""
    try:
        return repr(thing)
    except Exception as error:  # noqa: BLE001 - it may raise anything, the loop goes on
        kind = type(thing)
        return f"<{kind.__module__}.{kind.__qualname__}, whose __repr__ fails with {type(error).__name__}>"


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


def dropped(channel: Any, name: str, size: int) -> None:
    """What a class that has no handler of this *name* is sent goes nowhere. Said once for each; this library's own drop it on purpose."""
    cls = type(channel)
    told = _told.setdefault(ref(cls, _told.pop), set())
    if name not in told and not cls.__module__.startswith("dispatch."):
        told.add(name)
        log_warning(
            f"{named(channel)}: {size} bytes are dropped, for {cls.__name__} has no {name}(data); if that is meant, give it an empty one"
        )


_told: dict[ref[type], set[str]] = {}  # names of handlers by class, as long as there is one


def _logger() -> Any:
    try:
        import logging  # here, since it is a third of what importing dispatch would cost
    except (ImportError, OSError):
        return None  # no descriptor is left to read it with; what is to be said is needed then
    return logging.getLogger("dispatch")
