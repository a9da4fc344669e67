"""The calls of ``os`` that move bytes through a descriptor, double it or close it: by its number, without the socket."""

from __future__ import annotations

import os
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()


def _by_number(name: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            # Only a world with descriptors of its own has one.
            descriptor_call = getattr(whose.world(), "descriptor_call", None)
            if descriptor_call is None:
                return original(*args, **kwargs)
            return descriptor_call(name, original, *args, **kwargs)

        return standin

    return maker


for _name in ("read", "readv", "write", "writev", "sendfile", "dup", "close"):
    PAIRS.standin(os, _name)(_by_number(_name))
