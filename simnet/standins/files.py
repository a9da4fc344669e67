"""``os.unlink``, ``os.remove`` and ``os.path.exists``, for the paths of Unix sockets, which a simulated host keeps itself."""

from __future__ import annotations

import functools
import os
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()


def _unlink(original: Any) -> Any:
    def standin(_: Origin, path: Any, *, dir_fd: int | None = None) -> None:
        unlink = getattr(whose.world(), "unlink_socket", None)  # only a world with paths of its own has one
        if unlink is None or dir_fd is not None or not unlink(path):
            original(path, dir_fd=dir_fd)

    return standin


PAIRS.standin(os, "unlink")(_unlink)
PAIRS.standin(os, "remove")(_unlink)

_true_exists = os.path.exists


@functools.wraps(_true_exists)
def _exists(path: Any) -> bool:
    has_socket = getattr(whose.world(), "has_socket", None)
    return (has_socket is not None and has_socket(path)) or _true_exists(path)


PAIRS.add(_true_exists, _exists)
