"""An exception that is, or may be, a program's own word for what the network did, and what lets it pass.

A library that catches an errno and raises an error of its own has done nothing wrong; only its name has to be known.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simnet.blame import exception_text, installed, named
from simnet.causes import with_causes
from simnet.explore.judging.excuses import excused
from simnet.explore.judging.findings import Finding

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault

__all__ = ["typed", "wrapped"]


def wrapped(main: Finding, broken: Sequence[Fault]) -> str:
    """What to say of a target's exception that is, or may be, a program's own word for what faults have *broken*; empty of any other."""
    if main.error is None or main.reason not in ("target-raised", "handler-raised"):
        return ""
    _, *behind = with_causes(main.error)
    made = [each for each in behind if excused(each, broken)]
    # A library's own time-out, too, is a TimeoutError: what the kernel said stands behind it.
    inner = next((each for each in made if type(each).__module__ == "builtins"), made[0] if made else None)
    kind = type(main.error)
    name, as_typed = named(kind), typed(kind)
    if inner is None:
        own = isinstance(main.error, EOFError) or kind.__module__ not in ("builtins", "simnet.verdicts")
        # Without a number it is no kernel's, but a library's, such as multiprocessing.connection's.
        own = own or (isinstance(main.error, OSError) and main.error.errno is None)
        own = own and name != "InvalidStateError"  # asyncio's for a mistake: a future has its result already
        told = f"if {name} is this program's word for what the network did, may_raise=({as_typed},) says that it may end with it"
        return told + _whole_family(kind) if own and broken and isinstance(main.error, Exception) else ""
    told = f"{name} is what became of {exception_text(inner)}, which the fault made; may_raise=({as_typed},) says that it may"
    return told + _whole_family(kind)


def _whole_family(kind: type[BaseException]) -> str:
    """The base of all that a library raises, if *kind* has one: who puts one error in a word of its own does so with others, too."""
    package = kind.__module__.partition(".")[0]
    errors = [each for each in kind.__mro__[1:] if issubclass(each, BaseException)]  # no mixin: may_raise= takes none
    family = [each for each in errors if each.__module__.partition(".")[0] == package != "builtins"]
    return f"; ({typed(family[-1])},) stands for any error of {package}" if family else ""


def typed(kind: type[BaseException]) -> str:
    """How a test types the name of *kind*: a library's with the library, for many have a ``ConnectionError`` of their own."""
    package = kind.__module__.partition(".")[0]
    library = sys.modules.get(package)
    of_python = package in sys.stdlib_module_names and package != "builtins"
    if not (of_python or installed(getattr(library, "__file__", None) or "")):
        return named(kind)
    at_the_face = getattr(library, kind.__name__, None) is kind
    return f"{package if at_the_face else kind.__module__}.{kind.__name__}"
