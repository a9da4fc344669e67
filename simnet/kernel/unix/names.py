"""Where a host keeps the names of Unix sockets, and what can be in the way of a path."""

from __future__ import annotations

from errno import EEXIST, ELOOP, ENOENT, ENOTDIR
from posixpath import abspath, dirname
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack

Name = str | bytes  # a path, or bytes that begin with NUL: an abstract name
Key = str | tuple[int, bytes]


def key_of(type: int, name: Name) -> Key:
    """One for all paths of a file; each type of socket has its own abstract names."""
    return _whole(name) if isinstance(name, str) else (type, name)


def _whole(path: str) -> str:
    try:
        return "/" + abspath(path).lstrip("/")  # which leaves two slashes where they lead
    except OSError:  # from a folder that was removed
        return path


def file_key(stack: Stack, path: str, follow: bool = False) -> str:
    """The key of *path*; "" if it leads through what is no folder, or names a socket as if that were one.

    The links that lead to its folder are gone through, and if *follow* says so, it may be one itself.
    """
    key, names = _whole(path), stack.unix_names
    if key in names:
        return "" if key != path and (path[-1:] == "/" or _obstacle(stack, path)) else key
    if names and path and stack.real_path is not None:
        key = stack.real_path(path, follow)
        return "" if key in names and path.endswith(("/", "/.")) else key
    return key


def key_to_bind(stack: Stack, name: Name, type: int) -> Key:
    """The key under which a socket that is bound there is found, whatever links lead to its folder."""
    if isinstance(name, bytes) or stack.real_path is None:
        return key_of(type, name)
    return stack.real_path(name, False)


def obstacle_to_bind(stack: Stack, path: str) -> int:
    """The errno of what is wrong with *path*, EEXIST for a file that is no socket, or 0."""
    obstacle = _obstacle(stack, path.rstrip("/") or "/")
    if path[-1:] == "/" and not obstacle and _whole(path) not in stack.unix_names:
        return ENOENT
    return obstacle


def obstacle_to_find(stack: Stack, path: str) -> int:
    """Why nobody of ours is at *path*; EEXIST, a file that is no socket."""
    if path[-1:] == "/" and _led_to(stack, path) in stack.unix_names:
        return ENOTDIR
    obstacle = _obstacle(stack, path)
    if obstacle == EEXIST and stack.real_path is not None:  # it may be a link
        path = stack.real_path(path, True)
        obstacle = _obstacle(stack, path) if path else ELOOP
    return obstacle or ENOENT


def _obstacle(stack: Stack, path: str) -> int:
    folder = dirname(path)
    while folder.strip("/"):
        if _led_to(stack, folder) in stack.unix_names:
            return ENOTDIR
        folder = dirname(folder)
    ask = stack.path_error
    return 0 if ask is None else ask(path)


def _led_to(stack: Stack, path: str) -> str:
    """Where *path* leads, through all links."""
    return _whole(path) if stack.real_path is None else stack.real_path(path, True)
