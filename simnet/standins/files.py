"""The file calls of ``os`` that know the paths of Unix sockets, which a simulated host keeps itself."""

from __future__ import annotations

import functools
import os
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()


def _answer(call: str, path: Any, *arguments: Any, **options: Any) -> Any:
    """A tuple of what the host says of the file of a Unix socket; ``None`` where there is none."""
    socket_file = getattr(whose.world(), "socket_file", None)  # only a world with paths of its own has one
    return None if socket_file is None else socket_file(call, path, *arguments, **options)


def _file_call(call: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> Any:
            answer = _answer(call, path, *args, **kwargs) if dir_fd is None else None
            if answer is not None:
                return answer[0] if call != "unlink" else None
            return original(path, *args, **kwargs) if dir_fd is None else original(path, *args, dir_fd=dir_fd, **kwargs)

        return standin

    return maker


for _name, _call in (
    ("unlink", "unlink"),
    ("remove", "unlink"),
    ("stat", "stat"),
    ("lstat", "stat"),
    ("chmod", "chmod"),
):
    PAIRS.standin(os, _name)(_file_call(_call))

_true_exists = os.path.exists


@functools.wraps(_true_exists)
def _exists(path: Any) -> bool:
    return _answer("exists", path) is not None or _true_exists(path)


PAIRS.add(_true_exists, _exists)
