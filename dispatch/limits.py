"""Limits that a class sets and its objects may change; an invalid value is refused at the assignment, on either.

A plain class attribute would take anything on an object, and the loop would find out later. So a class's value is
replaced by a guard that checks each assignment on an object. Reading costs no more where it matters: a whole number
stays one and is its own guard, and so do bytes.
"""

from __future__ import annotations

from dispatch.annotations import Any
from dispatch.checks import SIZE_MAX, check_count, check_seconds

__all__ = ["guard", "guard_limits", "guard_water"]


class _Guard:
    """A limit of any type, None for instance. Its check is told the owner, the name and the new value."""

    __slots__ = ("_check", "_name", "_own", "_value")

    def __init__(self, name: str, value: Any, check: Any) -> None:
        self._name = name
        self._value = value
        self._check = check
        self._own = False  # whether any object has one of its own

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None or not self._own:
            return self._value  # who asks an object for its __dict__ makes it one: 64 bytes for each connection
        try:
            return owner.__dict__.get(self._name, self._value)
        except AttributeError:
            return self._value  # its class is all slots: it has none of its own

    def __set__(self, owner: Any, value: Any) -> None:
        _keep(self, owner, value)
        self._own = True

    def __delete__(self, owner: Any) -> None:
        _give_up(self, owner)


class _Own:
    """A value that is its own guard. It has no ``__get__``, so that it is read as fast as any attribute of a class."""

    _name: str
    _check: Any

    def __set__(self, owner: Any, value: Any) -> None:
        _keep(self, owner, value)

    def __delete__(self, owner: Any) -> None:
        _give_up(self, owner)


class _Number(_Own, int):
    """A limit that is a whole number."""


class _Bytes(_Own, bytes):
    """A terminator."""


_OWN: dict[type, Any] = {int: _Number, bytes: _Bytes}


def guard_limits(cls: type, seconds: tuple[str, ...], counts: tuple[str, ...], sizes: tuple[str, ...] = ()) -> None:
    """Look at the limits that *cls* has set, and from now on at those that its objects set. *sizes* are those of one read.

    Raises:
        TypeError: no number, or no whole one.
        ValueError: below 0 seconds, or less than 1, or more than one read can bring.
    """
    for name in seconds:
        guard(cls, name, lambda owner, name, value: check_seconds(name, value))
    for name in counts:
        guard(cls, name, lambda owner, name, value: check_count(name, value, 1))
    for name in sizes:
        guard(cls, name, lambda owner, name, value: check_count(name, value, 1, SIZE_MAX))


def guard_water(cls: Any) -> None:
    """The same for ``low_water`` and ``high_water``, of which one bounds the other.

    A class that says only how high, and lower than it inherits how low, has a quarter of that.

    Raises:
        TypeError: no number.
        ValueError: upside down.
    """
    high, low = vars(cls).get("high_water"), cls.low_water
    if isinstance(high, int) and isinstance(low, int) and "low_water" not in vars(cls) and 0 <= high < low:
        cls.low_water = high // 4
    guard(cls, "low_water", lambda owner, name, value: _check_water(value, owner.high_water))
    guard(cls, "high_water", lambda owner, name, value: _check_water(owner.low_water, value))


def _check_water(low: Any, high: Any) -> None:
    if hasattr(high, "__get__") or hasattr(low, "__get__"):
        return  # a property's value is its own affair
    if not isinstance(high, (int, float)) or not isinstance(low, (int, float)):
        raise TypeError(f"low_water={low!r} and high_water={high!r} must be numbers of bytes")
    if not 0 <= low <= high:
        raise ValueError(
            f"low_water={low} and high_water={high}: it must be 0 <= low_water <= high_water; "
            "to lower both of an object, begin with low_water"
        )


def guard(cls: type, name: str, check: Any) -> None:
    """Look at what *cls* has set as *name*, and from now on at what its objects set, by ``check(owner, name, value)``.

    Raises:
        TypeError, ValueError: as *check* does.
    """
    value = next(vars(each)[name] for each in cls.__mro__ if name in vars(each))
    if hasattr(value, "__set__") or hasattr(value, "__get__"):
        return  # inherited with its guard, or a property, whose value is its own affair
    try:
        check(cls, name, value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{cls.__name__}: {error}") from None
    own = _OWN.get(type(value))
    if own is not None:
        guarded = own(value)
        guarded._name, guarded._check = name, check
        setattr(cls, name, guarded)
    else:
        setattr(cls, name, _Guard(name, value, check))


def _keep(guard: Any, owner: Any, value: Any) -> None:
    guard._check(owner, guard._name, value)
    try:
        owner.__dict__[guard._name] = value
    except AttributeError:
        raise AttributeError(f"{owner!r} has no {guard._name} of its own; set it in a subclass") from None


def _give_up(guard: Any, owner: Any) -> None:
    try:
        del owner.__dict__[guard._name]
    except (AttributeError, KeyError):
        raise AttributeError(f"{owner!r} has no {guard._name} of its own") from None
