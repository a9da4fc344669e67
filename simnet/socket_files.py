"""What a file system says of the files of Unix sockets, which a simulated host keeps itself: ``os.stat`` and its like."""

from __future__ import annotations

import os
import stat as modes
from typing import TYPE_CHECKING, Any

from simnet.clock import EPOCH_NS
from simnet.kernel.unix_names import file_key

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["SocketFiles", "chmod", "exists", "stat", "unlink"]

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


def _key(machine: Machine, path: Any) -> str:
    return file_key(machine.stack, name_of(path))


def exists(machine: Machine, path: Any, **_: Any) -> bool:
    """Is there the file of a Unix socket of that name on this host?"""
    return _key(machine, path) in machine.stack.unix_names


def unlink(machine: Machine, path: Any, **_: Any) -> bool:
    """Remove the file of a Unix socket; False if there is none of that name on this host."""
    _files(machine).seen.pop(_key(machine, path), None)
    return machine.stack.unlink(name_of(path))


def stat(machine: Machine, path: Any, **_: Any) -> os.stat_result:
    """What ``os.stat`` gives for the file of a Unix socket."""
    number, mode = _seen(machine, _key(machine, path))
    uid, gid = machine.stack.credentials[1:]
    return os.stat_result((modes.S_IFSOCK | mode, number, 1, 1, uid, gid, 0, BORN_AT, BORN_AT, BORN_AT))


def chmod(machine: Machine, path: Any, mode: int, **_: Any) -> None:
    """``os.chmod`` of one. Every process may connect all the same."""
    name = _key(machine, path)
    number, _before = _seen(machine, name)
    _files(machine).seen[name] = (number, mode & 0o7777)
