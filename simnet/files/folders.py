"""What is at the path of a Unix socket on this machine's disk: its folder, or a file in the way.

Sockets are in the network, not on the disk, but programs create their folders there, and a program that did not gets the error.
Sockets of other programs on the disk are ignored.
"""

from __future__ import annotations

from collections.abc import Container
from errno import EEXIST, ENOENT, ENOTDIR
from os import getcwd, lstat, readlink, stat  # the true ones, whatever stands in for them in `os`
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
    try:
        parts = (path if path[:1] == "/" else f"{getcwd()}/{path}").split("/")[::-1]
    except OSError:
        return path
    at, links = "", 0
    while parts:
        part = parts.pop()
        if part == "..":
            if at and not _is_folder(at):
                return path
            at = at.rpartition("/")[0]
        elif part not in ("", "."):
            here = f"{at}/{part}"
            target = _target(here) if follow or parts else ""
            if not target:
                at = here
                continue
            links += 1
            if links > LINKS_MAX:
                return ""
            if target[:1] == "/":
                at = ""
            parts += target.split("/")[::-1]
    return at or "/"


def leads_through(path: str, files: Container[Any], follow: bool) -> bool:
    """Does *path*, or the links in it, go on behind one of *files* as if that were a folder, before it leads nowhere?"""
    try:
        parts = (path if path[:1] == "/" else f"{getcwd()}/{path}").split("/")[::-1]
    except OSError:
        return False
    at, links = "", 0
    while parts:
        part = parts.pop()
        if at in files:
            return True
        if part == "..":
            at = at.rpartition("/")[0]
        elif part not in ("", "."):
            here = f"{at}/{part}"
            if links <= LINKS_MAX and (target := _target(here) if follow or parts else ""):
                links += 1
                at = "" if target[:1] == "/" else at
                parts += target.split("/")[::-1]
            elif links > LINKS_MAX or (parts and here not in files and not _is_folder(here)):
                return False
            else:
                at = here
    return False


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
