"""What is at the path of a Unix socket on this machine's disk: its folder, or a file in the way.

Sockets are in the network, not on the disk, but programs create their folders there, and a program that did not gets the error.
Sockets of other programs on the disk are ignored.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from errno import EEXIST, ELOOP, ENOENT, ENOTDIR
from os import getcwd, lstat, readlink, stat, strerror  # the true ones, whatever stands in for them in `os`
from os.path import dirname
from stat import S_ISDIR, S_ISSOCK
from typing import Any

__all__ = ["in_the_way", "leads_through", "without_links"]

LINKS_MAX = 40  # MAXSYMLINKS


def in_the_way(path: str) -> int:
    """0 if a socket may be made at *path*, EEXIST if there is a file, or the errno of its folder: ENOENT, ENOTDIR, EACCES."""
    try:
        folder = stat(dirname(path) or ".")
        if not S_ISDIR(folder.st_mode):
            return ENOTDIR
        if not folder.st_nlink:  # it was removed: somebody is in it
            return ENOENT
        return 0 if S_ISSOCK(lstat(path).st_mode) else EEXIST
    except OSError as error:
        free = error.errno == ENOENT and error.filename == path
        return 0 if free else error.errno or ENOTDIR


def without_links(path: str, follow: bool) -> str:
    """Where *path* leads: no link is in it, but for the last part unless that is to be *follow*ed. "" for a loop.

    And *path* itself where it leads back out of what is no folder, or begins in one that was removed.
    """
    at = ""
    try:
        for at, part in _steps(path, follow):
            if part == ".." and at and not _is_folder(at):
                return path
    except OSError as error:
        return "" if error.errno == ELOOP else path
    return at or "/"


def leads_through(path: str, files: Container[Any], follow: bool) -> bool:
    """Does *path*, or the links in it, go on behind one of *files* as if that were a folder, before it leads nowhere?"""
    try:
        for at, part in _steps(path, follow):
            if at in files:
                return part is not None
            if at and not _is_folder(at):
                return False
    except OSError:
        pass
    return False


def _steps(path: str, follow: bool) -> Iterator[tuple[str, str | None]]:
    """Where *path* has led so far, and its next part, a link's own parts in place of the link; at last where it leads, and None.

    Raises:
        OSError: it begins in a folder that was removed, or goes round (ELOOP).
    """
    parts = (path if path[:1] == "/" else f"{getcwd()}/{path}").split("/")[::-1]
    at, links = "", 0
    while parts:
        part = parts.pop()
        yield at, part
        if part == "..":
            at = at.rpartition("/")[0]
        elif part not in ("", "."):
            here = f"{at}/{part}"
            target = _target(here) if follow or parts else ""
            if not target:
                at = here
                continue
            links += 1
            if links > LINKS_MAX:
                raise OSError(ELOOP, strerror(ELOOP), path)
            at = "" if target[:1] == "/" else at
            parts += target.split("/")[::-1]
    yield at, None


def _target(path: str) -> str:
    """Where the link at *path* points; "" if it is none."""
    try:
        return readlink(path)
    except OSError:
        return ""


def _is_folder(path: str) -> bool:
    try:
        return S_ISDIR(stat(path).st_mode)
    except OSError:
        return False
