"""Files as output, by path: opened when their turn comes where many wait, and what becomes of those that change meanwhile."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from tests.dispatch.conftest import Fickle, Recorder

BOTH_WAYS = pytest.mark.parametrize("fickle", [False, True], ids=["sendfile", "read"])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 40)
    return path


def open_files(path) -> int:
    """How many descriptors of this process are of the file at *path*."""
    at = os.stat(path)
    return sum(os.path.samestat(at, each) for each in map(_stat, range(200)) if each is not None)


def _stat(fd: int) -> os.stat_result | None:
    try:
        return os.fstat(fd)
    except OSError:
        return None


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_as_good_as_an_open_file(world, path, kind):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write_file(kind(path), 5, 10)
    channel.write_file(kind(path))
    channel.close()

    assert world.read_all(loop, client) == path.read_bytes()[5:15] + path.read_bytes()
    assert open_files(path) == 0


@pytest.mark.parametrize("waiting", [0, 200])
def test_a_wrong_path_is_an_error_of_the_call(world, path, waiting):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    for _ in range(waiting):
        channel.write_file(path, 0, 1)
    os.mkfifo(path.with_name("fifo"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        channel.write_file(path.with_name("nothing"))
    with pytest.raises(ValueError, match=r"no place to begin"):
        channel.write_file(path.with_name("fifo"))
    with pytest.raises(IsADirectoryError, match="Is a directory"):  # who serves files says of both that there is none
        channel.write_file(path.parent)
    channel.write(b"as ever")
    channel.close()

    assert world.read_all(loop, client) == bytes(waiting) + b"as ever"


@pytest.mark.slow
def test_of_a_thousand_paths_that_wait_few_are_open(world, path):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    for _ in range(1000):
        loop.call_soon(channel.write_file, path)
    loop.call_soon(channel.close)
    loop.run_once(0)

    assert 0 < open_files(path) < 100
    assert world.read_all(loop, client) == path.read_bytes() * 1000
    assert open_files(path) == 0


def test_a_relative_path_stays_that_file_wherever_the_program_goes(world, path, monkeypatch):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    monkeypatch.chdir(path.parent)
    for _ in range(100):
        channel.write_file(path.name, 0, 1)
    monkeypatch.chdir("/")
    channel.close()

    assert world.read_all(loop, client) == bytes(100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits are POSIX's")
def test_a_path_whose_turn_comes_while_no_descriptor_is_left_waits_for_one(kernel_world, path):
    loop = kernel_world.loop()
    channel, client = kernel_world.connected(loop, Recorder)
    for _ in range(100):
        channel.write_file(path, 0, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        kernel_world.turn(loop, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not channel.closed
    channel.close()

    assert kernel_world.read_all(loop, client) == bytes(100)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("what", "code"), [("replaced", errno.ESTALE), ("removed", errno.ENOENT)], ids=["replaced", "removed"]
)
def test_a_path_that_is_another_files_by_its_turn_is_an_error(world, path, fickle, what, code):
    """What was written before it may have told the peer about the other one."""
    errors = []

    class Told(Recorder):
        def handle_error(self, error):
            errors.append(error.errno)
            self.abort(error)

    loop = world.loop()
    channel, _client = world.connected(loop, Told)
    if fickle:
        channel.socket = Fickle(channel.socket)
    for _ in range(100):
        channel.write_file(path, 0, 1)
    if what == "replaced":
        path.with_name("new").write_bytes(b"others")
        os.replace(path.with_name("new"), path)
    else:
        path.unlink()
    world.run(loop, lambda: channel.closed)
    loop.run_once(0)

    assert errors == [code]
    assert channel.events == [("close", OSError if what == "replaced" else FileNotFoundError)]


@BOTH_WAYS
@pytest.mark.parametrize("left", [4000, 0])
def test_a_file_that_has_become_shorter_is_an_error(world, path, fickle, left, caplog):
    """Who was told its size would wait for the rest, or take what comes next for it."""
    loop = world.loop()
    channel, _client = world.connected(loop, Recorder)
    if fickle:
        channel.socket = Fickle(channel.socket)
    channel.write_file(path)
    os.truncate(path, left)
    world.run(loop, lambda: channel.closed)
    loop.run_once(0)

    assert channel.events == [("close", EOFError)]
    assert f"ends at {left}" in caplog.text
    assert f"{10_000 - left} bytes more" in caplog.text


@BOTH_WAYS
def test_a_file_that_says_more_than_it_holds_is_sent_to_its_end(world, fickle):
    """As those in /sys, which say 4,096."""
    says = "/sys/kernel/mm/transparent_hugepage/enabled"
    if not os.path.exists(says):
        pytest.skip("Linux has such files, not everywhere")
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if fickle:
        channel.socket = Fickle(channel.socket)
    channel.write_file(says)
    channel.close()

    with open(says, "rb") as file:
        assert world.read_all(loop, client) == file.read()


@BOTH_WAYS
@pytest.mark.parametrize("waiting", [0, 200])
def test_of_a_file_of_which_nothing_is_to_be_sent_nothing_is_asked(world, path, fickle, waiting, monkeypatch):
    """To macOS and BSD, 0 bytes of a file are all of it; and what has waited behind many is not open."""
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if fickle:
        channel.socket = Fickle(channel.socket)
    for _ in range(waiting):
        channel.write_from([b"x"])
    monkeypatch.setattr(os, "sendfile", None)
    channel.write_file(path, 0, 0)
    channel.write_file(path, 10_000)
    channel.write_file(path, 99_999)
    channel.write(b"as ever")
    channel.close()

    assert world.read_all(loop, client) == b"x" * waiting + b"as ever"
    assert open_files(path) == 0


@BOTH_WAYS
def test_a_file_that_cannot_be_read_after_all_is_no_error_of_the_socket(world, fickle):
    """This one says EIO where the process has no memory."""
    nowhere = "/proc/self/mem"
    if not os.path.exists(nowhere):
        pytest.skip("Linux has such a file")
    loop = world.loop()
    errors = []

    class Persistent(Recorder):
        def handle_error(self, error):
            errors.append(error)

    channel, client = world.connected(loop, Persistent)
    if fickle:
        channel.socket = Fickle(channel.socket)
    channel.write_file(nowhere, 0, 10)
    channel.write(b"as ever")
    channel.close()

    assert world.read_all(loop, client) == b"as ever"
    assert [error.errno for error in errors] == [errno.EIO]
    assert open_files(nowhere) == 0


@pytest.mark.parametrize("long", [False, True])
def test_who_turns_the_loop_over_the_error_of_a_file_loses_nothing_of_what_is_behind_it(world, tmp_path, long):
    loop = world.loop()
    size = 8_000_000 if long else 5

    class Keeping(Recorder):
        def handle_error(self, error):
            self.events.append(type(error))
            world.turn(loop)

    channel, client = world.connected(loop, Keeping)
    file = tmp_path / "short"
    file.write_bytes(b"abc")
    channel.write_file(file, 0, 100)
    channel.write_from([b"p" * size])
    channel.write(b"behind")
    channel.close()

    assert world.read_all(loop, client) == b"abc" + b"p" * size + b"behind"
    assert channel.events == [EOFError, ("close", None)]
