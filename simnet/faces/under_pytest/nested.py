"""A pytest session within another one, as ``pytester`` runs them: what it has loaded of simnet goes with it, all or nothing.

pytester takes the modules that such a session loads out of ``sys.modules`` again. What stays in the namespaces of packages then
is of one copy, what is imported later of another, and each has its own stand-ins. So both are taken back.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["Loaded"]


class Loaded:
    """What is loaded of simnet when the inner session begins."""

    def __init__(self) -> None:
        self._names = {name: set(vars(module)) for name, module in _ours().items()}

    def forget_the_rest(self) -> None:
        """Have everything loaded since imported anew by whoever asks next. The stand-ins have been taken back."""
        gone = {name: module for name, module in _ours().items() if name not in self._names}
        for name in gone:
            del sys.modules[name]
        for name, known in self._names.items():
            module = sys.modules.get(name)
            if module is None or not hasattr(module, "__path__"):
                continue
            namespace = vars(module)
            for key in [key for key in namespace if key not in known]:
                value = namespace[key]
                if name == "simnet" or (isinstance(value, ModuleType) and value.__name__ in gone):
                    del namespace[key]  # a submodule, or what the package has imported when it was first asked for


def _ours() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "simnet" and module is not None
    }
