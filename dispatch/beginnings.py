"""What a program gives its class under a name that is a property here: it is what the objects begin with, as it was."""

from __future__ import annotations

from dispatch.annotations import Any


class _Deleted(tuple[Any, ...]):
    __slots__ = ()


#: Stands where a program has deleted the attribute, as a mock's patch does before it puts the old value back; nothing waits.
DELETED = _Deleted()


def beginning(kind: type, name: str, ours: Any, kept_as: str) -> None:
    """Let *name* be the property *ours* again in the class *kind*, and keep what stands before it under *kept_as*.

    It may stand in the class, or in one beside this library's, as a mixin. Another property is the program's affair.
    """
    for each in kind.__mro__:
        if name in vars(each):
            value: Any = vars(each)[name]
            if not hasattr(value, "__set__"):
                setattr(kind, name, ours)
                setattr(kind, kept_as, bytes(value) if isinstance(value, bytearray) else value)
            return
