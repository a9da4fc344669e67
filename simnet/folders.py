"""What stands at the path of a Unix socket on this machine's disk: its folder, or a file that is in the way.

Sockets live in the network and not on the disk, but programs make their folders there, and one that forgot to is told so.
Sockets of other programs on the disk are not looked at.
"""

from __future__ import annotations

from errno import EEXIST, ENOENT, ENOTDIR
from os import lstat, stat  # the true ones, whatever stands in for them in `os`
from os.path import dirname
from stat import S_ISDIR, S_ISSOCK

__all__ = ["in_the_way"]


def in_the_way(path: str) -> int:
    """0 if a socket may be made at *path*, EEXIST if there is a file, or the errno of its folder: ENOENT, ENOTDIR, EACCES."""
    try:
        if not S_ISDIR(stat(dirname(path) or ".").st_mode):
            return ENOTDIR
        return 0 if S_ISSOCK(lstat(path).st_mode) else EEXIST
    except OSError as error:
        free = error.errno == ENOENT and error.filename == path
        return 0 if free else error.errno or ENOTDIR
