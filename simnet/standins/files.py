"""The file calls of ``os`` that know the paths of Unix sockets, which a simulated host keeps itself."""

from __future__ import annotations

import errno
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


def _file_call(call: str, follows: bool = True) -> Maker:
    way = {} if follows else {"follow_symlinks": False}

    def maker(original: Any) -> Any:
        def standin(_: Origin, path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> Any:
            answer = _answer(call, path, *args, **{**way, **kwargs}) if dir_fd is None else None
            if answer is not None:
                return answer[0] if call != "unlink" else None
            return original(path, *args, **kwargs) if dir_fd is None else original(path, *args, dir_fd=dir_fd, **kwargs)

        return standin

    return maker


PAIRS.standin(os, "unlink")(_file_call("unlink", follows=False))
PAIRS.standin(os, "remove")(_file_call("unlink", follows=False))
PAIRS.standin(os, "stat")(_file_call("stat"))
PAIRS.standin(os, "lstat")(_file_call("stat", follows=False))
PAIRS.standin(os, "chmod")(_file_call("chmod"))


def _rename(original: Any) -> Any:
    def standin(_: Origin, src: Any, dst: Any, **kwargs: Any) -> None:
        if not kwargs and _answer("rename", src, dst, follow_symlinks=False) is not None:
            return
        taken = not kwargs and _answer("exists", dst, follow_symlinks=False) is not None
        if taken and os.path.isdir(src):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), src, None, dst)
        original(src, dst, **kwargs)
        if taken:
            _answer("unlink", dst, follow_symlinks=False)

    return standin


PAIRS.standin(os, "rename")(_rename)
PAIRS.standin(os, "replace")(_rename)

_true_exists = os.path.exists


@functools.wraps(_true_exists)
def _exists(path: Any) -> bool:
    return _answer("exists", path) is not None or _true_exists(path)


PAIRS.add(_true_exists, _exists)
