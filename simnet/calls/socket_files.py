"""What a file system says of Unix sockets' files, which a simulated host keeps itself: ``os.stat`` and the like."""

from __future__ import annotations

import os
import stat as modes
from errno import EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, ENXIO, EPERM
from posixpath import dirname
from typing import TYPE_CHECKING, Any

from simnet.clock import EPOCH_NS
from simnet.files.folders import leads_through
from simnet.kernel.datagrams.memory import PAGE
from simnet.kernel.unix.names import file_key, obstacle_to_bind

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = [
    "SocketFiles",
    "access", "chmod", "described", "exists", "link", "listdir", "move_folder", "names_in", "new_inode", "open_", "readlink", "rename", "rmdir", "scandir", "stat",
    "through", "truncate", "umask", "unlink",
]  # fmt: skip

ALL = 0o777
UMASK = 0o022  # the usual one


class SocketFiles:
    """The files of one host that somebody has looked at: number and mode of each, while it is there; by number, who was made its
    owner, and when it was said to be used and changed.
    """

    __slots__ = ("seen", "numbers", "born_with", "owners", "times")

    def __init__(self) -> None:
        self.born_with = ALL & ~UMASK
        self.seen: dict[str, tuple[int, int]] = {}
        self.owners: dict[int, tuple[int, int]] = {}
        self.times: dict[int, tuple[int, int]] = {}
        self.numbers = 0  # given so far; none is given twice, so that a file and its successor can be told apart


def _files(machine: Machine) -> SocketFiles:
    files: SocketFiles | None = machine.socket_files
    if files is None:
        files = machine.socket_files = SocketFiles()
    return files


def _seen(machine: Machine, name: str) -> tuple[int, int]:
    files = _files(machine)
    if name not in files.seen:
        files.seen[name] = (new_inode(machine), files.born_with)
    return files.seen[name]


def name_of(path: Any) -> str:
    """The text of a path that may be anything ``os`` takes; "" for a descriptor, and what is no path at all."""
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""


def _key(machine: Machine, path: Any, follow: bool = False) -> str:
    return file_key(machine.stack, name_of(path), follow)


def exists(machine: Machine, path: Any, follow_symlinks: bool = True, **_: Any) -> bool:
    """Is there the file of a Unix socket of that name on this host?"""
    name = name_of(path)
    if "\0" in name:  # no file has such a name: os says so itself, and os.path.exists says no
        return False
    return file_key(machine.stack, name, follow_symlinks) in machine.stack.unix_names


def through(machine: Machine, *paths: Any) -> bool:
    """Does the first of *paths* that leads nowhere go through the file of a Unix socket, as if that were a folder?"""
    follow = len(paths) == 1  # what has two follows no link at their ends
    for path in paths if machine.stack.unix_names else ():
        name = name_of(path)
        if not name:
            return False
        if leads_through(name, machine.stack.unix_names, follow):
            return True
        if not os.path.exists(dirname(name.rstrip("/")) or "."):
            return False
    return False


def link(machine: Machine, path: Any, to: Any, **_: Any) -> None:
    """``os.link`` of one: its socket is found there too, and calls itself as before.

    Raises:
        OSError: EEXIST; ENOENT or ENOTDIR, there is no such folder.
    """
    stack = machine.stack
    key, new = _key(machine, path), _key(machine, to)
    taken = new in stack.unix_names or _key(machine, name_of(to).rstrip("/")) in stack.unix_names
    obstacle = ENOENT if not to else EEXIST if taken else obstacle_to_bind(stack, name_of(to))
    if obstacle:
        raise OSError(obstacle, os.strerror(obstacle), path, None, to)
    new = stack.real_path(name_of(to), False) if stack.real_path is not None else new
    seen = _files(machine).seen
    seen[new] = _seen(machine, key)
    stack.unix_names[new] = stack.unix_names[key]


def rename(machine: Machine, path: Any, to: Any, **_: Any) -> None:
    """``os.rename`` and ``os.replace`` of one: its socket is found there from now on, and calls itself as before.

    Raises:
        OSError: EISDIR, or ENOTEMPTY if it lies in there; ENOENT or ENOTDIR, there is no such folder.
    """
    stack = machine.stack
    key, new = _key(machine, path), _key(machine, to)
    if new not in stack.unix_names:
        new = stack.real_path(name_of(to), False) if stack.real_path is not None else new
        obstacle = obstacle_to_bind(stack, name_of(to).rstrip("/") or "/")
        if not to:
            obstacle = ENOENT
        elif obstacle in (0, EEXIST) and name_of(to)[-1:] == "/":
            obstacle = ENOTDIR
        elif obstacle == EEXIST:
            if os.path.isdir(new):
                obstacle = ENOTEMPTY if key.startswith(f"{new}/") else EISDIR  # it lies in there
            else:
                os.unlink(new)
        if obstacle not in (0, EEXIST):
            raise OSError(obstacle, os.strerror(obstacle), path, None, to)
    seen = _files(machine).seen
    if _seen(machine, key) != seen.get(new):  # of two names of one file both stay
        seen[new] = _seen(machine, key)
        del seen[key]
        socket = stack.unix_names[new] = stack.unix_names.pop(key)
        if socket is not None and socket.key == key:
            socket.key = new


def move_folder(machine: Machine, before: str, after: str) -> None:
    """The folder *before* is *after* now: what lies in there is found in its new place, and calls itself as before."""
    stack, seen = machine.stack, _files(machine).seen
    for key in [each for each in stack.unix_names if isinstance(each, str) and each.startswith(f"{before}/")]:
        new = after + key[len(before) :]
        if key in seen:
            seen[new] = seen.pop(key)
        socket = stack.unix_names[new] = stack.unix_names.pop(key)
        if socket is not None and socket.key == key:
            socket.key = new


def unlink(machine: Machine, path: Any, **_: Any) -> bool:
    """Remove the file of a Unix socket; False if there is none of that name on this host."""
    _files(machine).seen.pop(_key(machine, path), None)
    return machine.stack.unlink(name_of(path))


def stat(machine: Machine, path: Any, follow_symlinks: bool = True, **_: Any) -> os.stat_result:
    """What ``os.stat`` gives for the file of a Unix socket."""
    number, mode = _seen(machine, _key(machine, path, follow_symlinks))
    files = _files(machine)
    uid, gid = files.owners.get(number, machine.stack.credentials[1:])
    links = sum(each[0] == number for each in files.seen.values())
    used, changed = files.times.get(number, (EPOCH_NS, EPOCH_NS))
    return described((modes.S_IFSOCK | mode, number, 1, links, uid, gid), used, changed, EPOCH_NS)


def described(first: tuple[int, ...], *times_ns: int) -> os.stat_result:
    """An ``os.stat_result`` of an empty file of no device, the *first* of whose numbers end with its group."""
    told: dict[str, float] = {"st_blksize": PAGE, "st_blocks": 0, "st_rdev": 0}
    for name, time_ns in zip(("st_atime", "st_mtime", "st_ctime"), times_ns, strict=True):
        told[name], told[f"{name}_ns"] = time_ns / 1e9, time_ns
    return os.stat_result((*first, 0, *(each // 1_000_000_000 for each in times_ns)), told)


def new_inode(machine: Machine) -> int:
    """A number that no other file of *machine* has."""
    files = _files(machine)
    files.numbers += 1
    return files.numbers


def chmod(machine: Machine, path: Any, mode: int, follow_symlinks: bool = True, **_: Any) -> None:
    """``os.chmod`` of one. Every process may connect all the same."""
    number, _before = _seen(machine, _key(machine, path, follow_symlinks))
    seen = _files(machine).seen
    seen.update({name: (number, mode & 0o7777) for name, each in seen.items() if each[0] == number})


def chown(machine: Machine, path: Any, uid: int, gid: int, follow_symlinks: bool = True, **_: Any) -> None:
    """``os.chown`` of one; -1 leaves it as it is. Whoever owns it then, it lends nobody its owner's rights any more.

    Raises:
        OSError: EPERM, only root gives files away.
    """
    number, mode = _seen(machine, _key(machine, path, follow_symlinks))
    owners, own = _files(machine).owners, machine.stack.credentials[1:]
    before = owners.get(number, own)
    uid, gid = (old if new == -1 else new for new, old in zip((uid, gid), before, strict=True))
    if own[0] and (uid, gid) not in (before, own):
        raise _refusal(EPERM, path)
    owners[number] = uid, gid
    lent = modes.S_ISUID | (modes.S_ISGID if mode & modes.S_IXGRP else 0)
    chmod(machine, path, mode & ~lent, follow_symlinks)


def utime(
    machine: Machine, path: Any, times: Any = None, *, ns: Any = None, follow_symlinks: bool = True, **_: Any
) -> None:
    """``os.utime`` of one: its host's time, or two that are given, in seconds or in *ns*."""
    number, _mode = _seen(machine, _key(machine, path, follow_symlinks))
    now = machine.stack.epoch_ns + machine.stack.clock.now_ns
    if times is not None:
        ns = [int(each // 1) * 1_000_000_000 + int(each % 1 * 1e9) for each in times]
    used, changed = (now, now) if ns is None else ns
    _files(machine).times[number] = used, changed


def statvfs(_machine: Machine, path: Any, **_: Any) -> os.statvfs_result:
    """``os.statvfs`` of one: of the file system on which its folder is."""
    return os.statvfs(dirname(name_of(path)) or ".")


def pathconf(_machine: Machine, path: Any, name: Any, **_: Any) -> int:
    """``os.pathconf`` of one, in the same way."""
    return os.pathconf(dirname(name_of(path)) or ".", name)


def listxattr(_machine: Machine, _path: Any, **_: Any) -> list[str]:
    return []


def umask(machine: Machine, mask: int) -> None:
    """What is bound from now on has a mode without the bits of *mask*."""
    for key in machine.stack.unix_names:
        if isinstance(key, str):
            _seen(machine, key)
    _files(machine).born_with = ALL & ~mask


def access(machine: Machine, path: Any, mode: int, follow_symlinks: bool = True, **_: Any) -> bool:
    """``os.access`` of one, for its owner."""
    _number, bits = _seen(machine, _key(machine, path, follow_symlinks))
    if machine.stack.credentials[1] == 0:
        bits = 0o600 | (0o100 if bits & 0o111 else 0)
    return not mode & ~(bits >> 6)


def names_in(machine: Machine, folder: str) -> list[str]:
    """The names of the sockets whose files lie in *folder*, in the order in which they came there."""
    stack = machine.stack
    where = stack.real_path(folder or ".", True) if stack.real_path is not None else folder
    return [key.rpartition("/")[2] for key in stack.unix_names if isinstance(key, str) and dirname(key) == where]


def open_(_machine: Machine, path: Any, flags: int, *_: Any, **_options: Any) -> None:
    """``os.open`` of one, which is always refused."""
    new = os.O_CREAT | os.O_EXCL
    raise _refusal(EEXIST if flags & new == new else ENOTDIR if flags & os.O_DIRECTORY else ENXIO, path)


def rmdir(_machine: Machine, path: Any, *_: Any, **_options: Any) -> None:
    raise _refusal(ENOTDIR, path)


chdir = listdir = scandir = rmdir


def readlink(_machine: Machine, path: Any, *_: Any, **_options: Any) -> None:
    raise _refusal(EINVAL, path)


truncate = readlink


def _refusal(code: int, path: Any) -> OSError:
    return OSError(code, os.strerror(code), path)
