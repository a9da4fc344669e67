"""The files of Unix sockets in their folders: K-104."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World


def bound(world: World, path: Path) -> Any:
    sock = world.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def test_k104_a_folder_tells_the_sockets_in_it(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bound(world, tmp_path / "s")
    bound(world, tmp_path / "t")
    assert sorted(os.listdir(tmp_path)) == ["file", "s", "t"]
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"file", b"s", b"t"]
    assert sorted(glob.glob(f"{tmp_path}/?")) == [f"{tmp_path}/s", f"{tmp_path}/t"]
    assert sorted(name for _, _, names in os.walk(tmp_path) for name in names) == ["file", "s", "t"]
    with os.scandir(tmp_path) as entries:
        told = {each.name: (each.is_file(), each.is_dir(), stat.S_ISSOCK(each.stat().st_mode)) for each in entries}
    assert told == {"file": (True, False, False), "s": (False, False, True), "t": (False, False, True)}
    os.unlink(tmp_path / "s")
    assert sorted(os.listdir(tmp_path)) == ["file", "t"]


def test_k104_a_folder_with_a_socket_is_not_empty_and_is_removed_with_it(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        bound(world, Path(path))
        assert outcome(lambda: os.rmdir(folder)) == "ENOTEMPTY"
        assert os.path.exists(path)
    assert not os.path.exists(folder)
    other = tempfile.mkdtemp()
    os.rmdir(other)
    os.mkdir(folder)
    try:
        assert os.listdir(folder) == []
        assert outcome(lambda: world.socket(socket.AF_UNIX).connect(path)) == "ENOENT"
    finally:
        shutil.rmtree(folder)


def test_k104_what_the_file_of_a_socket_is_not(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bound(world, tmp_path / "s")
    for call, code in (
        (lambda: os.open(path, os.O_RDONLY), "ENXIO"),
        (lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), "EEXIST"),
        (lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY), "ENOTDIR"),
        (lambda: os.mkdir(path), "EEXIST"),
        (lambda: os.rmdir(path), "ENOTDIR"),
        (lambda: os.listdir(path), "ENOTDIR"),
        (lambda: os.scandir(path), "ENOTDIR"),
        (lambda: os.readlink(path), "EINVAL"),
        (lambda: os.truncate(path, 0), "EINVAL"),
    ):
        with pytest.raises(OSError, match="Errno") as raised:
            call()
        assert (outcome(call), raised.value.filename) == (code, path)


def test_k104_the_file_of_a_socket_is_no_folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world.socket(socket.AF_UNIX).bind("s")
    os.symlink("s/x", "l")
    (tmp_path / "f").touch()
    for call in (
        *(lambda path: os.stat(path), lambda path: os.lstat(path), os.unlink, os.mkdir, os.rmdir, os.listdir),
        *(os.scandir, os.readlink, os.chdir, os.listxattr, os.statvfs, lambda path: os.chmod(path, 0o600)),
        *(lambda path: os.open(path, os.O_RDONLY), lambda path: os.open(path, os.O_RDWR | os.O_CREAT)),
        *(lambda path: os.symlink("f", path), lambda path: os.link("f", path), lambda path: os.rename("f", path)),
        *(lambda path: os.link(path, "new"), lambda path: os.rename(path, "new"), lambda path: os.replace("s", path)),
        *(lambda path: os.truncate(path, 0), lambda path: os.chown(path, -1, -1), lambda path: os.utime(path)),
        *(world.socket(socket.AF_UNIX).bind, world.socket(socket.AF_UNIX).connect),
    ):
        for path in ("s/x", "s/x/y", "s/./x"):
            with pytest.raises(NotADirectoryError):
                call(path)
    os.symlink("s", "m")
    for path in ("s/", "s/.", "l", "m/", "m/.", "m/x"):
        with pytest.raises(NotADirectoryError) as refused:
            os.stat(path)
        assert refused.value.filename == path
        assert not os.path.exists(path)
        assert not os.access(path, os.F_OK)
    for missed in ("none/s/x", "none/../s/x", "none/", "s2/x"):
        assert outcome(lambda path=missed: os.stat(path)) == "ENOENT"  # type: ignore[misc]
    for new in (lambda: os.mkdir("s/"), lambda: os.symlink("f", "s/"), lambda: os.link("f", "s/")):
        assert outcome(new) in ("EEXIST", "ENOTDIR")
    assert outcome(lambda: os.rename("s", "new/")) == "ENOTDIR"
    assert outcome(lambda: os.rename("none", "s/")) == "ENOENT"
    assert outcome(lambda: os.rename("s", "")) == outcome(lambda: os.link("s", "")) == "ENOENT"
    assert not os.path.ismount("s")


def test_k104_what_else_a_program_asks_of_the_file_of_a_socket(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bound(world, tmp_path / "s")
    os.chown(path, -1, os.getgid())  # as servers give theirs to who may connect
    shutil.chown(path, os.getuid(), os.getgid())
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (os.getuid(), os.getgid())
    os.utime(path, (1, 2.5))
    assert (os.stat(path).st_atime, os.stat(path).st_mtime_ns) == (1, 2_500_000_000)
    os.utime(path, ns=(3, 4))
    assert (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns) == (3, 4)
    os.utime(path)
    assert os.stat(path).st_atime_ns == os.stat(path).st_mtime_ns > 1_000_000_000
    assert os.listxattr(path) == []
    assert os.statvfs(path).f_namemax == os.pathconf(path, "PC_NAME_MAX") == os.statvfs(tmp_path).f_namemax
    for wrong, kind in (
        (lambda: os.utime(path, (1, 2), ns=(3, 4)), ValueError),
        (lambda: os.chown(path, "root", -1), TypeError),
        (lambda: os.pathconf(path, "x"), ValueError),
        (lambda: os.rename(path, 5), TypeError),
        (lambda: os.link(path, 5), TypeError),
    ):
        with pytest.raises(kind):
            wrong()
    assert outcome(lambda: os.chdir(path)) == "ENOTDIR"


def test_k104_no_socket_is_bound_in_a_folder_that_was_removed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    sock = world.socket(socket.AF_UNIX)
    assert outcome(lambda: sock.bind("s")) == outcome(lambda: sock.connect("s")) == "ENOENT"


def test_k104_a_socket_has_the_mode_that_the_umask_leaves_it(world: World, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        bound(world, tmp_path / "open")
        assert os.umask(0o077) == 0o022
        bound(world, tmp_path / "shut")
        assert [os.stat(tmp_path / each).st_mode & 0o777 for each in ("open", "shut")] == [0o755, 0o700]
    finally:
        os.umask(before)
    assert os.access(tmp_path / "shut", os.F_OK | os.R_OK | os.W_OK | os.X_OK)
    os.chmod(tmp_path / "shut", 0o600)
    assert not os.access(tmp_path / "shut", os.X_OK)
    assert not os.access(tmp_path / "nobody", os.F_OK)


def test_k104_a_file_tells_its_times_and_that_it_takes_no_room(world: World, tmp_path: Path) -> None:
    bound(world, tmp_path / "s")
    told = os.stat(tmp_path / "s")
    assert (told.st_size, told.st_blocks, told.st_rdev, told.st_blksize) == (0, 0, 0, 4096)
    assert int(told.st_mtime) == told.st_mtime_ns // 1_000_000_000 == told[stat.ST_MTIME] > 0


def test_k104_an_abstract_name_is_no_path(world: World) -> None:
    """Also of a host that has a socket with a path, among which it is looked for."""
    for name in (world.abstract("a"), world.unix_path("b")):
        world.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(name)
    abstract = world.abstract("a")
    for name in (abstract, abstract.encode()):
        assert not os.path.exists(name)
        assert not os.path.lexists(name)
        assert not Path(os.fsdecode(name)).is_socket()
        for call in (os.stat, os.lstat, os.unlink, os.listdir, os.scandir, os.readlink):
            with pytest.raises(ValueError, match="embedded null"):
                call(name)


def test_k104_no_symbolic_link_takes_the_place_of_a_socket(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    world.socket(socket.AF_UNIX).bind(path)
    with pytest.raises(FileExistsError) as refused:
        os.symlink("elsewhere", path)
    assert (refused.value.filename, refused.value.filename2) == ("elsewhere", path)
    with pytest.raises(FileExistsError):
        Path(path).symlink_to("elsewhere")
    os.symlink("s", tmp_path / "l")
    assert Path(tmp_path / "l").is_socket()
    os.unlink(path)
    os.symlink("elsewhere", path)
    assert os.readlink(path) == "elsewhere"


def test_k104_a_link_to_a_socket_is_another_name_of_it(world: World, tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    listener = bound(world, tmp_path / "first")
    os.link(first, second)
    assert outcome(lambda: os.link(first, second)) == "EEXIST"
    for old, new in ((first, second), (first, first)):
        assert outcome(lambda: os.link(old, f"{new}/")) == "EEXIST"  # noqa: B023 - called at once
    assert outcome(lambda: os.link(first, f"{tmp_path}/none/x")) == "ENOENT"
    assert (os.stat(first).st_nlink, os.path.samefile(first, second)) == (2, True)
    os.rename(first, second)  # one file: nothing to do
    assert os.path.exists(first)
    os.chmod(second, 0o640)
    assert os.stat(first).st_mode & 0o777 == 0o640
    for gone in (None, first):
        if gone is not None:
            os.unlink(gone)
        client = world.socket(socket.AF_UNIX)
        client.connect(second)
        assert (client.getpeername(), listener.getsockname()) == (first, first)
    assert (os.stat(second).st_nlink, os.path.exists(first)) == (1, False)
    bound(world, tmp_path / "first").close()
    listener.close()
    assert outcome(lambda: world.socket(socket.AF_UNIX).connect(second)) == "ECONNREFUSED"
    assert outcome(lambda: world.socket(socket.AF_UNIX).bind(second)) == "EADDRINUSE"


def test_k104_a_link_that_is_renamed_takes_the_place_of_a_socket(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bound(world, tmp_path / "s")
    os.symlink("nobody", "link")
    os.rename("link", "s")
    assert (os.listdir(), os.path.islink("s"), os.path.exists("s")) == (["s"], True, False)
    os.unlink("s")
    assert os.listdir() == []


def test_in_a_folder_that_was_removed_there_is_nothing(world: World, tmp_path: Path) -> None:
    before, gone = os.getcwd(), tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    try:
        gone.rmdir()
        assert (os.path.exists("sock"), os.path.exists("."), os.listdir()) == (False, True, [])
        world.gives("ENOENT", os.stat, "sock")
        world.gives("ENOENT", world.socket(socket.AF_UNIX).connect, "sock")
    finally:
        os.chdir(before)


def test_k104_the_sockets_in_a_folder_go_with_it(world: World, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "deep").mkdir(parents=True)
    here, deep = bound(world, before / "s"), bound(world, before / "deep" / "t")
    os.chmod(before / "s", 0o640)
    number = os.stat(before / "s").st_ino
    os.rename(before, after)
    assert outcome(lambda: os.stat(before / "s")) == "ENOENT"
    assert sorted(os.listdir(after)) == ["deep", "s"]
    assert (os.stat(after / "s").st_ino, stat.filemode(os.stat(after / "s").st_mode)) == (number, "srw-r-----")
    assert here.getsockname() == f"{before}/s"
    for path, listener in ((after / "s", here), (after / "deep" / "t", deep)):
        world.socket(socket.AF_UNIX).connect(str(path))
        world.accept(listener)
    again = bound(world, tmp_path / "s")
    for folder in (before, before / "deep"):
        folder.mkdir()
    os.rename(tmp_path / "s", before / "s")
    world.socket(socket.AF_UNIX).connect(str(before / "s"))
    world.accept(again)
    assert outcome(lambda: os.rename(after, before)) == "ENOTEMPTY"
    os.unlink(before / "s")
    os.rmdir(before / "deep")
    os.rename(after, before)
    os.unlink(before / "s")
    assert os.listdir(before) == ["deep"]
    assert outcome(lambda: world.socket(socket.AF_UNIX).connect(str(before / "s"))) == "ENOENT"


def test_k104_a_folder_and_what_lies_in_it_do_not_change_places(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    bound(world, folder / "s")
    for source, target, answer in (
        (folder / "s", folder, "ENOTEMPTY"),
        (folder, folder / "s", "EINVAL"),
        (tmp_path, folder, "EINVAL"),
        (folder, "", "ENOENT"),
        (folder / "s" / "x", "", "ENOTDIR"),
        ("", folder / "s" / "x", "ENOENT"),
    ):
        for call in (os.rename, os.replace):
            assert outcome(lambda: call(source, target)) == answer  # noqa: B023  # called at once
    os.mkdir(tmp_path / "other")
    assert outcome(lambda: os.rename(folder / "s", tmp_path / "other")) == "EISDIR"
    os.symlink(tmp_path / "other", tmp_path / "link")
    os.rename(tmp_path / "link", folder / "s")
    assert os.path.islink(folder / "s")


def test_k104_nothing_else_is_made_where_a_socket_lies(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bound(world, Path("s"))
    for make in (os.mkdir, os.mkfifo, os.mknod):
        for path, answer in (("s", "EEXIST"), ("s/", "EEXIST"), ("s/x", "ENOTDIR")):
            assert outcome(lambda: make(path)) == answer  # noqa: B023  # called at once
    os.mkdir("folder")
    os.link("s", "t", follow_symlinks=False)
    assert os.path.samefile("s", "t")
    assert outcome(lambda: os.link("s", "t", follow_symlinks=True)) == "EEXIST"
    assert outcome(lambda: os.link("folder/", "t/")) == "EEXIST"
    bound(world, Path("folder/u"))
    monkeypatch.chdir("folder")
    assert outcome(lambda: os.rmdir(".")) == "EINVAL"


def test_k104_a_link_to_a_socket_is_no_folder_either(world: World, tmp_path: Path) -> None:
    bound(world, tmp_path / "s")
    os.symlink("s", tmp_path / "link")
    for path, answer in (("link/x", "ENOTDIR"), ("link/", "ENOTDIR"), ("link", "EPROTOTYPE")):
        there = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        assert outcome(lambda: there.connect(f"{tmp_path}/{path}")) == answer  # noqa: B023  # called at once
    for path, answer in (("link/x", "ENOTDIR"), ("link/", "EADDRINUSE"), ("link", "EADDRINUSE")):
        assert outcome(lambda: world.socket(socket.AF_UNIX).bind(f"{tmp_path}/{path}")) == answer  # noqa: B023


@pytest.mark.parametrize("call", ["chown", "lchown"])
def test_k104_whoever_gives_a_file_away_takes_what_it_lends_of_its_owner(
    world: World, tmp_path: Path, call: str
) -> None:
    path = tmp_path / "s"
    bound(world, path)
    for mode, left in ((0o4755, 0o755), (0o6775, 0o775), (0o1644, 0o1644)):
        os.chmod(path, mode)
        getattr(os, call)(path, -1, -1)
        assert stat.S_IMODE(os.stat(path).st_mode) == left
