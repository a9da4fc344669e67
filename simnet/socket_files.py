"""What a file system says of the files of Unix sockets, which a simulated host keeps itself: ``os.stat`` and its like."""

from __future__ import annotations

import os
import stat as modes
from typing import TYPE_CHECKING, Any

from simnet.clock import EPOCH_NS

if TYPE_CHECKING:
    from simnet.network import Machine

__all__ = ["chmod", "exists", "stat", "unlink"]

BORN_WITH = 0o755  # 0o777 less the usual umask
BORN_AT = EPOCH_NS // 1_000_000_000


def name_of(path: Any) -> str:
    """The text of a path that may be anything ``os`` takes; "" for a descriptor, and what is no path at all."""
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""


def exists(machine: Machine, path: Any, **_: Any) -> bool:
    """Is there the file of a Unix socket of that name on this host?"""
    return name_of(path) in machine.stack.unix_names


def unlink(machine: Machine, path: Any, **_: Any) -> bool:
    """Remove the file of a Unix socket; False if there is none of that name on this host."""
    name = name_of(path)
    if machine.socket_modes is not None:
        machine.socket_modes.pop(name, None)
    return machine.stack.unlink(name)


def stat(machine: Machine, path: Any, **_: Any) -> os.stat_result:
    """What ``os.stat`` gives for the file of a Unix socket."""
    name = name_of(path)
    mode = modes.S_IFSOCK | (machine.socket_modes or {}).get(name, BORN_WITH)
    number = list(machine.stack.unix_names).index(name) + 1
    uid, gid = machine.stack.credentials[1:]
    return os.stat_result((mode, number, 1, 1, uid, gid, 0, BORN_AT, BORN_AT, BORN_AT))


def chmod(machine: Machine, path: Any, mode: int, **_: Any) -> None:
    """``os.chmod`` of one. Every process may connect all the same."""
    if machine.socket_modes is None:
        machine.socket_modes = {}
    machine.socket_modes[name_of(path)] = mode & 0o7777
