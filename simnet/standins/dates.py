"""``datetime.now()`` by the clock of the process that asks.

In C it reads the kernel's clock itself, not ``time.time()``, and `datetime.datetime` cannot be replaced by another
class: pickles and ``type(x) is datetime`` would show it. So two entries of the class's own dictionary are replaced, and
the interpreter is informed that the class changed. ``date.today()`` needs no help: it calls ``time.time()`` by name.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import gc
import warnings
from typing import Any

from simnet.standins import whose

__all__ = ["place", "unplace"]

_NAMES = ("now", "utcnow")
_CLASS = dt.datetime
_ORIGINALS = {name: _CLASS.__dict__[name] for name in _NAMES}
_UTC = dt.UTC


def _said_of_utcnow() -> str:
    """What the interpreter warns of who calls it, since Python 3.12; "" before."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _ORIGINALS["utcnow"].__get__(None, _CLASS)()
    return str(said[0].message) if said else ""


_UTCNOW_IS_OLD = _said_of_utcnow()


def _instant(time_ns: int, tz: dt.tzinfo | None) -> dt.datetime:
    """Microseconds rounded down as ``datetime.now()`` does, without a detour through floats."""
    seconds, ns = divmod(time_ns, 1_000_000_000)
    return _CLASS.fromtimestamp(seconds, tz).replace(microsecond=ns // 1000)


def _now(cls: type[dt.datetime], tz: dt.tzinfo | None = None) -> dt.datetime:
    backend = whose.world()
    if backend is None:
        return _ORIGINALS["now"].__get__(None, cls)(tz)  # type: ignore[no-any-return]
    return _as(cls, _instant(backend.time_ns(), tz))


def _utcnow(cls: type[dt.datetime]) -> dt.datetime:
    if _UTCNOW_IS_OLD:  # C code names the line that has called it: that would be one of ours
        warnings.warn(_UTCNOW_IS_OLD, DeprecationWarning, stacklevel=2)
    backend = whose.world()
    now = _ORIGINALS["now"].__get__(None, _CLASS)(_UTC) if backend is None else _instant(backend.time_ns(), _UTC)
    return _as(cls, now.replace(tzinfo=None))


def _as(cls: type[dt.datetime], value: dt.datetime) -> dt.datetime:
    if cls is _CLASS:
        return value
    return cls.combine(value.date(), value.timetz())  # a subclass gets an instance of its own


_STANDINS: dict[str, Any] = {"now": classmethod(_now), "utcnow": classmethod(_utcnow)}


def place() -> None:
    _write(_STANDINS)


def unplace() -> None:
    _write(_ORIGINALS)


def _write(entries: dict[str, Any]) -> None:
    dictionaries = [it for it in gc.get_referents(_CLASS.__dict__) if isinstance(it, dict)]
    if len(dictionaries) != 1:
        return  # another interpreter than CPython: its `now` stays real
    dictionaries[0].update(entries)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(_CLASS))
