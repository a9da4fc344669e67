"""Names for annotations: a type checker sees those of typing, a running program sees stand-ins that cost nothing.

Importing ``typing`` takes longer, and more memory, than the whole loop.
"""

__all__ = ["TYPE_CHECKING", "Any", "ClassVar", "Final", "Protocol"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, ClassVar, Final, Protocol
else:

    class Any:
        """Stands for what only a type checker looks at."""

        def __class_getitem__(cls, item):
            return cls

    class Protocol:
        """A base of which nothing is asked at run time."""

    ClassVar = Final = Any
