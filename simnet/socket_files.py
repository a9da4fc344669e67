"""What a file system says of the files of Unix sockets, which a simulated host keeps itself: ``os.stat`` and its like."""

from __future__ import annotations

import os
import stat as modes
from errno import EEXIST, EISDIR
from typing import TYPE_CHECKING, Any

from simnet.clock import EPOCH_NS
from simnet.kernel.unix_names import file_key, obstacle_to_bind

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["SocketFiles", "chmod", "exists", "rename", "stat", "unlink"]

BORN_WITH = 0o755  # 0o777 less the usual umask
BORN_AT = EPOCH_NS // 1_000_000_000


class SocketFiles:
    """The files of one host that somebody has looked at: number and mode of each, while it is there."""

    __slots__ = ("seen", "numbers")

    def __init__(self) -> None:
        self.seen: dict[str, tuple[int, int]] = {}
        self.numbers = 0  # given so far; none is given twice, so that a file and its successor can be told apart


def _files(machine: Machine) -> SocketFiles:
    files: SocketFiles | None = machine.socket_files
    if files is None:
        files = machine.socket_files = SocketFiles()
    return files


def _seen(machine: Machine, name: str) -> tuple[int, int]:
    files = _files(machine)
    if name not in files.seen:
        files.numbers += 1
        files.seen[name] = (files.numbers, BORN_WITH)
    return files.seen[name]


def name_of(path: Any) -> str:
    """The text of a path that may be anything ``os`` takes; "" for a descriptor, and what is no path at all."""
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""


def _key(machine: Machine, path: Any, follow: bool = False) -> str:
    return file_key(machine.stack, name_of(path), follow)


def exists(machine: Machine, path: Any, follow_symlinks: bool = True, **_: Any) -> bool:
    """Is there the file of a Unix socket of that name on this host?"""
    return _key(machine, path, follow_symlinks) in machine.stack.unix_names


def rename(machine: Machine, path: Any, to: Any, **_: Any) -> None:
    """``os.rename`` and ``os.replace`` of one: its socket is found there from now on, and calls itself as before.

    Raises:
        OSError: EISDIR; ENOENT or ENOTDIR, there is no such folder.
    """
    stack = machine.stack
    key, new = _key(machine, path), _key(machine, to)
    if new not in stack.unix_names:
        new = stack.real_path(name_of(to), False) if stack.real_path is not None else new
        obstacle = obstacle_to_bind(stack, name_of(to))
        if obstacle == EEXIST:
            if os.path.isdir(new):
                obstacle = EISDIR
            else:
                os.unlink(new)
        if obstacle not in (0, EEXIST):
            raise OSError(obstacle, os.strerror(obstacle), path, None, to)
    if new != key:
        seen = _files(machine).seen
        seen[new] = _seen(machine, key)
        del seen[key]
        socket = stack.unix_names[new] = stack.unix_names.pop(key)
        if socket is not None:
            socket.key = new


def unlink(machine: Machine, path: Any, **_: Any) -> bool:
    """Remove the file of a Unix socket; False if there is none of that name on this host."""
    _files(machine).seen.pop(_key(machine, path), None)
    return machine.stack.unlink(name_of(path))


def stat(machine: Machine, path: Any, follow_symlinks: bool = True, **_: Any) -> os.stat_result:
    """What ``os.stat`` gives for the file of a Unix socket."""
    number, mode = _seen(machine, _key(machine, path, follow_symlinks))
    uid, gid = machine.stack.credentials[1:]
    return os.stat_result((modes.S_IFSOCK | mode, number, 1, 1, uid, gid, 0, BORN_AT, BORN_AT, BORN_AT))


def chmod(machine: Machine, path: Any, mode: int, follow_symlinks: bool = True, **_: Any) -> None:
    """``os.chmod`` of one. Every process may connect all the same."""
    name = _key(machine, path, follow_symlinks)
    number, _before = _seen(machine, name)
    _files(machine).seen[name] = (number, mode & 0o7777)
