"""Class attributes whose names are properties here: what a program assigns in its class is the initial value of its objects."""

from __future__ import annotations

from collections.abc import Callable

from dispatch.annotations import Any


class _Deleted(tuple[Any, ...]):
    __slots__ = ()


#: Stands where a program has deleted the attribute, as a mock's patch does before it puts the old value back; nothing waits.
DELETED = _Deleted()
#: Stands where a program has put None, since None stands where nothing was put in yet.
GIVEN_UP = _Deleted()


class _Plain(bytes):
    """Output that a program keeps itself: it is cut and joined as bytes are, and nothing else is put in its place."""

    __slots__ = ()


class _Kept:
    """Where this library looks for what a program keeps under a property, or a slot, of its own."""

    def __init__(self, name: str, empty: Callable[[], Any] | None) -> None:
        self.name, self.empty = name, empty

    def __get__(self, obj: Any, kind: type) -> Any:
        value = self if obj is None else getattr(obj, self.name)
        return _Plain(value) if type(value) is bytes else value

    def __set__(self, obj: Any, value: Any) -> None:
        setattr(obj, self.name, self.empty() if value is None and self.empty is not None else value)


def beginning(kind: type, name: str, ours: Any, kept_as: str, empty: Callable[[], Any] | None = None) -> None:
    """Let *name* be the property *ours* again in the class *kind*, and keep what stands before it under *kept_as*.

    It may stand in the class, or in one beside this library's, as a mixin. Another property stays; what it holds is found
    by way of *kept_as*. It begins with what *empty* makes where this library has None.
    """
    for each in kind.__mro__:
        if name in vars(each):
            value: Any = vars(each)[name]
            if not hasattr(value, "__set__"):
                setattr(kind, name, ours)
                setattr(kind, kept_as, bytes(value) if isinstance(value, bytearray) else value)
            elif value is not ours:
                setattr(kind, kept_as, _Kept(name, empty))
                kind._dispatch_ask = True  # type: ignore[attr-defined]  # it tells nobody when it changes
            return
