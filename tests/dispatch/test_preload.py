"""A server that changes its root finds no file of Python's any more: whatever it comes to need has been loaded before."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch
from dispatch.preloading import USED

SERVER = """
import os, signal, socket, sys, threading
import dispatch
from tests.certificates import contexts

inside, outside = contexts("localhost")
told = []

class Server(dispatch.Chat):
    terminator = b"\\n"

    def handle_message(self, line):
        assert self.statistics().received and listener.statistics().open == 1
        if line == b"fail":
            raise ValueError("as asked for")
        self.write_file(path)

class Client(dispatch.Chat):
    terminator = b"\\n"

    def handle_connect(self):
        self.start_tls(outside, server_hostname="localhost")
        self.write(b"file\\n")

    def handle_message(self, line):
        told.append(line)
        self.write(b"fail\\n")

    def handle_close(self, reason):
        told.append(type(reason).__name__)
        threading.Thread(target=self.loop.call_soon_threadsafe, args=(self.loop.stop,)).start()

class Nobody:
    def find_spec(self, name, path=None, target=None):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

path = sys.argv[2]
with dispatch.Loop(poller=sys.argv[1]) as loop:
    listener = dispatch.Listener(("127.0.0.1", 0), Server, tls=inside, limit=5)
    if PRELOAD:
        dispatch.preload()
    before = set(sys.modules)
    sys.meta_path.insert(0, Nobody())
    loop.call_on_signal(signal.SIGTERM, loop.stop)
    dispatch.Datagram(("127.0.0.1", 0)).close()
    reader, writer = os.pipe()
    for fd in (reader, writer):
        dispatch.Pipe(fd).close()
        os.close(fd)
    for poller in ("poll", "select"):
        dispatch.Loop(poller=poller, debug=True).close()
    Client().connect(("localhost", listener.addr[1]))
    loop.run()
    from dispatch import asyncore
    near, far = socket.socketpair()
    asyncore.dispatcher(near)
    far.close()
    asyncore.loop(0.1, count=1)
    near.close()
assert set(sys.modules) == before, set(sys.modules) - before
assert told[0] == b"what is in it", told
"""


def run(preload: bool, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SERVER.replace("PRELOAD", str(preload)), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("poller", ["epoll", "poll"])
def test_a_program_that_has_loaded_all_needs_no_file_of_pythons_any_more(poller, tmp_path):
    pytest.importorskip("trustme")
    (tmp_path / "file").write_bytes(b"what is in it\n")
    result = run(True, poller, str(tmp_path / "file"))

    assert result.returncode == 0, result.stderr
    assert "ValueError: as asked for" in result.stderr


@pytest.mark.slow
def test_one_that_has_not_would_miss_something(tmp_path):
    """Or the test above would be about nothing."""
    pytest.importorskip("trustme")
    result = run(False, "poll", str(tmp_path))

    assert "ModuleNotFoundError: No module named 'dispatch." in result.stderr


def imported_within_functions(tree: ast.Module) -> Iterator[str]:
    functions = (each for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.Lambda)))
    for node in (each for function in functions for each in ast.walk(function)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.slow
def test_what_is_imported_when_it_is_needed_is_what_is_loaded_before():
    """The program above has most of it for reasons of its own."""
    files = Path(dispatch.__file__).parent.rglob("*.py")
    late = {name for file in files for name in imported_within_functions(ast.parse(file.read_text("utf-8")))}
    theirs = {name for name in late if not name.startswith("dispatch")} - {"sys"}  # which is always there
    assert theirs == set(USED) - {"encodings.idna"}


@pytest.mark.slow
def test_a_python_without_ssl_loads_all_the_same():
    program = (
        "import sys; sys.modules['ssl'] = None; import dispatch; dispatch.preload(); assert 'logging' in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
