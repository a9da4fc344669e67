"""The file calls of ``os`` that know the paths of Unix sockets, which a simulated host keeps itself."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
from collections.abc import Callable
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()

_true_readlink = os.readlink


def _answer(call: str, path: Any, *arguments: Any, **options: Any) -> Any:
    """A tuple of what the host says of the file of a Unix socket; ``None`` where there is none."""
    socket_file = getattr(whose.world(), "socket_file", None)  # only a world with paths of its own has one
    return None if socket_file is None else socket_file(call, path, *arguments, **options)


def _of_sockets(call: str, *arguments: Any) -> Any:
    """What the host knows of the files of its Unix sockets; ``None`` where it has none of its own."""
    of_socket_files = getattr(whose.world(), "of_socket_files", None)  # as above
    return None if of_socket_files is None else of_socket_files(call, *arguments)


def _by_number(call: str, original: Any, number: int, *arguments: Any, **options: Any) -> Any:
    """The same of what is told by the number of a simulated descriptor in the place of a path."""
    by_number = getattr(whose.world(), "by_number", None)  # as above
    return None if by_number is None else by_number(call, original, number, *arguments, **options)


def _on_disk(call: Callable[[], Any], *paths: Any) -> Any:
    """What the disk says of *paths*; but where one of them goes through the file of a Unix socket, that is no folder."""
    try:
        return call()
    except FileNotFoundError as missed:
        if not _of_sockets("through", *paths):
            raise
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), missed.filename, None, missed.filename2) from None


def _bare(path: Any) -> Any:
    """*path* without the slashes at its end, as what makes a new file looks first whether there is one."""
    return (os.fsdecode(path).rstrip("/") or path) if _is_path(path) else path


def _is_path(path: Any) -> bool:
    return isinstance(path, (str, bytes, os.PathLike))


def _under(path: Any, dir_fd: int | None) -> Any:
    """*path* as it is from here, where it is told from a folder's descriptor."""
    if dir_fd is None or not _is_path(path) or os.path.isabs(path):
        return path
    try:
        return os.path.join(_true_readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))
    except OSError:
        return ""  # nobody says which folder that is


def _file_call(call: str, follows: bool = True) -> Maker:
    way = {} if follows else {"follow_symlinks": False}

    def maker(original: Any) -> Any:
        def standin(_: Origin, path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> Any:
            answer = None
            whole = _under(path, dir_fd)
            if isinstance(path, int) and dir_fd is None:
                answer = _by_number(call, original, path, *args, **kwargs)
            if answer is None:
                answer = _answer(call, whole, *args, **{**way, **kwargs})
            if answer is not None:
                return answer[0] if call != "unlink" else None
            if dir_fd is not None:
                kwargs["dir_fd"] = dir_fd
            real = _on_disk(lambda: original(path, *args, **kwargs), whole)
            if call == "open_" and (opened := getattr(whose.world(), "opened", None)) is not None:
                opened(real)
            return real

        return standin

    return maker


for _name, _call, _follows in (
    ("unlink", "unlink", False),
    ("remove", "unlink", False),
    ("stat", "stat", True),
    ("lstat", "stat", False),
    ("chmod", "chmod", True),
    ("access", "access", True),
    ("open", "open_", True),
    ("readlink", "readlink", False),
    ("truncate", "truncate", True),
    ("lchown", "chown", False),
):
    PAIRS.standin(os, _name)(_file_call(_call, _follows))


def _number_call(call: str) -> Maker:
    """A maker of stand-ins for what takes a number in the place of a path.

    Some know the file of a Unix socket as well, once the original has seen that nothing is wrong with what else it is given.
    """

    def maker(original: Any) -> Any:
        def standin(_: Origin, path: Any, *args: Any, **kwargs: Any) -> Any:
            answer = _by_number(call, original, path, *args, **kwargs) if isinstance(path, int) else None
            if answer is None and call in OF_FILES and not kwargs.get("dir_fd"):
                way = {"follow_symlinks": kwargs.get("follow_symlinks", True)}
                if _answer("exists", path, **way) is not None:
                    with contextlib.suppress(FileNotFoundError):
                        original("", *args, **kwargs)
                    answer = _answer(call, path, *args, **kwargs)
            return _on_disk(lambda: original(path, *args, **kwargs), path) if answer is None else answer[0]

        return standin

    return maker


OF_FILES = ("chdir", "chown", "listxattr", "pathconf", "statvfs", "utime")
for _name in (*OF_FILES, "getxattr", "removexattr", "setxattr"):
    if hasattr(os, _name):
        PAIRS.standin(os, _name)(_number_call(_name))


def _names_in(folder: Any) -> list[Any]:
    """The names of the Unix sockets in *folder*, a path or a descriptor, as `os.listdir` gives them."""
    if not isinstance(folder, (int, str, bytes, os.PathLike)):
        return []  # of other buffers of bytes no Unix socket has its name
    path = _under(".", folder) if isinstance(folder, int) else os.fspath(folder)
    if not path:
        return []
    names = _of_sockets("names_in", os.fsdecode(path)) or []
    return [os.fsencode(each) for each in names] if isinstance(path, bytes) else list(names)


class _Entry:
    """What `os.scandir` says of the file of a Unix socket."""

    def __init__(self, name: Any, path: Any) -> None:
        self.name = name
        self.path = path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __fspath__(self) -> Any:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return False

    is_file = is_dir

    def is_symlink(self) -> bool:
        return False

    is_junction = is_symlink

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def inode(self) -> int:
        return self.stat().st_ino


class _Scan:
    """What `os.scandir` gives of a folder with such files."""

    def __init__(self, real: Any, entries: list[_Entry]) -> None:
        self._real = real
        self._all = itertools.chain(real, entries)

    def __iter__(self) -> _Scan:
        return self

    def __next__(self) -> Any:
        return next(self._all)

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._real.close()
        self._all = itertools.chain()


@PAIRS.standin(os, "listdir")
def _(original: Any) -> Any:
    def standin(_: Origin, path: Any = None) -> Any:
        if isinstance(path, int):
            _by_number("listdir", original, path)
        else:
            _answer("listdir", path)
        here = _on_disk(lambda: original(path), path)
        return here + _names_in("." if path is None else path)

    return standin


@PAIRS.standin(os, "scandir")
def _(original: Any) -> Any:
    def standin(_: Origin, path: Any = None) -> Any:
        if isinstance(path, int):
            _by_number("scandir", original, path)
        else:
            _answer("scandir", path)
        real = _on_disk(lambda: original(path), path)
        names = _names_in("." if path is None else path)
        if not names:
            return real
        folder = "." if path is None else path
        return _Scan(
            real, [_Entry(each, each if isinstance(folder, int) else os.path.join(folder, each)) for each in names]
        )

    return standin


def _maker(original: Any) -> Any:
    """What makes a new file finds that the file of a Unix socket is there."""

    def standin(_: Origin, path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> None:
        whole = _under(path, dir_fd)
        if _answer("exists", _bare(whole), follow_symlinks=False) is not None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        _on_disk(lambda: original(path, *args, dir_fd=dir_fd, **kwargs), whole)

    return standin


for _name in ("mkdir", "mkfifo", "mknod"):
    PAIRS.standin(os, _name)(_maker)


@PAIRS.standin(os, "rmdir")
def _(original: Any) -> Any:
    def standin(_: Origin, path: Any, *, dir_fd: int | None = None) -> None:
        whole = _under(path, dir_fd)
        _answer("rmdir", whole, follow_symlinks=False)
        ends = os.path.basename(os.fsdecode(_bare(whole))) if _is_path(whole) else ""
        if ends != "." and _is_folder(whole) and _names_in(whole):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        _on_disk(lambda: original(path, dir_fd=dir_fd), whole)

    return standin


@PAIRS.standin(os, "umask")
def _(original: Any) -> Any:
    def standin(_: Origin, mask: int, /) -> int:
        before: int = original(mask)
        _of_sockets("umask", mask)
        return before

    return standin


@PAIRS.standin(os, "link")
def _(original: Any) -> Any:
    def standin(_: Origin, src: Any, dst: Any, **kwargs: Any) -> None:
        here = not kwargs.keys() - {"follow_symlinks"}  # which Linux does for nobody
        if here and _is_path(dst) and _answer("link", src, dst, follow_symlinks=False) is not None:
            return
        if here and _answer("exists", _bare(dst), follow_symlinks=False) is not None and os.path.lexists(src):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), src, None, dst)
        paths = (src, dst) if os.path.lexists(src) else (src,)
        _on_disk(lambda: original(src, dst, **kwargs), *paths)

    return standin


@PAIRS.standin(os, "symlink")
def _(original: Any) -> Any:
    def standin(_: Origin, src: Any, dst: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> None:
        whole = _under(dst, dir_fd)
        if _answer("exists", _bare(whole), follow_symlinks=False) is not None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), src, None, dst)
        _on_disk(lambda: original(src, dst, *args, dir_fd=dir_fd, **kwargs), whole)

    return standin


def _is_folder(path: Any) -> bool:
    return _is_path(path) and os.path.isdir(path) and not os.path.islink(_bare(path))


def _lies_in(path: Any, folder: Any) -> bool:
    where = os.path.realpath(os.path.dirname(os.fsdecode(_bare(path))))
    return os.path.join(where, "").startswith(os.path.join(os.path.realpath(os.fsdecode(folder)), ""))


def _rename(original: Any) -> Any:
    def standin(_: Origin, src: Any, dst: Any, **kwargs: Any) -> None:
        if not kwargs and _is_path(dst) and _answer("rename", src, dst, follow_symlinks=False) is not None:
            return
        taken = not kwargs and _answer("exists", _bare(dst), follow_symlinks=False) is not None
        whole = not kwargs and _is_folder(src)
        if whole:
            _check_rename(src, dst, taken)
        before = os.path.realpath(src) if whole else None
        _on_disk(lambda: original(src, dst, **kwargs), _bare(src), _bare(dst), src)  # the folders come first
        if before is not None:
            _of_sockets("move_folder", os.fsdecode(before), os.fsdecode(os.path.realpath(dst)))
        if taken:  # by its whole path: a relative one now tells what lies there on the disk
            _answer("unlink", os.path.abspath(dst), follow_symlinks=False)

    return standin


def _check_rename(src: Any, dst: Any, taken: bool) -> None:
    """Refuse a folder the place of a socket, if it is *taken*, or of a folder with sockets in it."""
    if not _is_path(dst) or (not taken and not _is_folder(dst)):
        return
    code = 0
    if _lies_in(dst, src):
        code = errno.EINVAL
    elif taken:
        code = errno.ENOTDIR
    elif os.path.realpath(src) != os.path.realpath(dst) and _names_in(dst):
        code = errno.ENOTEMPTY
    if code:
        raise OSError(code, os.strerror(code), src, None, dst)


PAIRS.standin(os, "rename")(_rename)
PAIRS.standin(os, "replace")(_rename)

_true_exists = os.path.exists
_true_ismount = os.path.ismount


@functools.wraps(_true_exists)
def _exists(path: Any) -> bool:
    return _answer("exists", path) is not None or _true_exists(path)


PAIRS.add(_true_exists, _exists)


@functools.wraps(_true_ismount)
def _ismount(path: Any) -> bool:
    return _answer("exists", path, follow_symlinks=False) is None and _true_ismount(path)


PAIRS.add(_true_ismount, _ismount)
