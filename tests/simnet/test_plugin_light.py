"""What the plugin costs a project that has nothing to do with networks, and that coverage is right under it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import simnet

pytestmark = pytest.mark.slow  # interpreters of their own


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_plugin_imports_no_simulator(tmp_path: Path) -> None:
    code = (
        "import simnet.pytest_plugin, sys\n"
        "loaded = [name for name in sys.modules if name.startswith('simnet')]\n"
        "assert loaded == ['simnet', 'simnet.pytest_plugin'], loaded\n"
        "assert not {'greenlet', 'msgspec', 'click', 'rich', 'tomlkit'} & set(sys.modules)\n"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_suite_without_networks_loads_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n    assert [name for name in sys.modules if name.startswith('simnet.')] == ['simnet.pytest_plugin']\n"
    )
    (tmp_path / "settings.toml").write_text("a = 1\n")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_our_modules_are_loaded_as_they_stand_and_those_of_a_suite_with_its_assertions_rewritten(
    tmp_path: Path,
) -> None:
    code = (
        "import sys\n\nimport dispatch.loop\nimport simnet.world\n\n\n"
        "def test_it():\n"
        "    loaders = [type(each.__loader__).__name__ for each in (simnet.world, dispatch.loop, sys.modules[__name__])]\n"
        "    assert loaders == ['SourceFileLoader', 'SourceFileLoader', 'AssertionRewritingHook']\n"
    )
    (tmp_path / "test_it.py").write_text(code)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_session_leaves_the_import_system_as_it_was(pytester: pytest.Pytester) -> None:
    before = list(sys.meta_path)
    pytester.makepyfile("import simnet\n\n\ndef test_it(simnet_network): assert simnet_network")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert sys.meta_path == before


def test_where_dispatch_alone_is_installed_a_suite_runs_and_who_wants_more_is_told_what_to_install(
    tmp_path: Path,
) -> None:
    hidden = "import sys; sys.modules.update(dict.fromkeys(('greenlet', 'msgspec', 'rich', 'tomlkit', 'click')))\n"
    (tmp_path / "conftest.py").write_text(hidden)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "weather.toml").write_text("rain = 3\n")  # of somebody else's
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    assert python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path).returncode == 0
    (tmp_path / "scenarios" / "ours.toml").write_text("format = 1\ntest = 'test_it.py::test_it'\n")
    (tmp_path / "test_it.py").write_text("def test_it(simnet_network):\n    pass\n")
    for more in (["scenarios"], ["--simnet-runs", "4"], ["test_it.py"]):
        done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *more, cwd=tmp_path)
        assert done.returncode != 0
        assert 'pip install "simnet-dispatch[simnet]"' in done.stdout + done.stderr, more
        # The plugin's own lines say nothing to who has yet to install it.
        assert "pytest_plugin.py" not in done.stdout, more
        assert "INTERNALERROR" not in done.stdout + done.stderr, more


def test_what_hypothesis_explains_a_failure_by_is_no_line_of_simnets(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import simnet
from hypothesis import given, settings, strategies


@settings(deadline=None)
@given(strategies.integers())
def test_it(n):
    with simnet.Network() as net:
        net.sleep(1)
        assert n < 100
"""
    )
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "n=100" in done.stdout
    assert "Explanation" not in done.stdout
    assert f"{Path(simnet.__file__).parent}" not in done.stdout


def test_of_several_failures_of_a_property_no_line_of_simnets_is_shown(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import socket
import simnet
from hypothesis import given, settings, strategies


def early(port):
    with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
        conn.setblocking(False)
        conn.recv(1)


@settings(deadline=None)
@given(strategies.booleans())
def test_it(refused):
    with simnet.Network() as net:
        if not refused:
            net.host("server").spawn(early, 7)
        with net.host("server").connect(("server", 7)):
            net.sleep(1)
"""
    )
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "ConnectionRefusedError: " in done.stdout
    assert "BlockingIOError: " in done.stdout
    assert f"{Path(simnet.__file__).parent}" not in done.stdout


def test_the_first_example_of_a_property_does_not_load_the_simulator(tmp_path: Path) -> None:
    """It has a deadline of 0.2 s like all others, unless somebody says otherwise."""
    code = (
        "import simnet, sys\nsimnet.strategies.fault_plans()\nbefore = set(sys.modules)\n"
        "with simnet.Network() as net: net.host('server').listen(7)\n"
        "assert not {name for name in set(sys.modules) - before if name.startswith('simnet')}\n"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


NESTED = """
import socket

pytest_plugins = ["pytester"]
INNER = '''
import asyncio, concurrent.futures.thread, socket, socketserver, simnet

def serve(port):
    with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
        conn.sendall(conn.recv(100))

def talk(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"x")
        assert sock.recv(10) == b"x"

@simnet.sweep(target="server", kinds="refuse", may_raise=OSError)
def test_swept(net): talk(net)

def test_held(simnet_network): talk(simnet_network)
'''

def test_within(pytester):
    pytester.makepyfile(INNER)
    pytester.runpytest_inprocess().assert_outcomes(passed=2)

def test_outside():
    import simnet

    namespace = {}
    exec(INNER, namespace)
    with simnet.Network() as net:
        namespace["talk"](net)
        net.sleep(100)
    near, far = socket.socketpair()  # of the kernel's again
    near.close()
    assert far.recv(1) == b""
    far.close()

def test_within_again(pytester):
    pytester.makepyfile(INNER)
    pytester.runpytest_inprocess().assert_outcomes(passed=2)

def test_outside_again():
    test_outside()
"""


def test_a_session_within_another_takes_what_it_has_loaded_along(tmp_path: Path) -> None:
    """Half of simnet stayed, half was loaded anew, and the programs of the next network waited on the kernel's sockets for ever."""
    (tmp_path / "test_it.py").write_text(NESTED)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("4 passed"), done.stdout
    assert not done.stderr


def test_a_pool_of_threads_works_in_the_first_network_of_a_program_without_asyncio(tmp_path: Path) -> None:
    code = (
        "import concurrent.futures, sys, simnet\n"
        "assert not {'asyncio', 'concurrent.futures.thread'} & set(sys.modules)\n"
        "with simnet.Network(), concurrent.futures.ThreadPoolExecutor() as pool:\n"
        "    assert list(pool.map(abs, [-1, 2])) == [1, 2]\n"
    )
    late = (
        "import simnet\nwith simnet.Network():\n    from concurrent.futures import ThreadPoolExecutor\n"
        "    import time\n"
        "    with ThreadPoolExecutor() as pool:\n        assert pool.submit(time.sleep, 5).result() is None\n"
        "    assert time.monotonic() == 5\n"
    )
    for program in (code, late):
        done = python("-c", program, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


SERVER = """\
import select
import socket


def serve(port):
    listener = socket.create_server(("", port))
    listener.setblocking(False)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    channels = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setblocking(False)
                channels[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            elif data := channels[fd].recv(100):
                if data == b"no":
                    data = refuse(data)
                channels[fd].sendall(data)
            else:
                poll.unregister(fd)
                channels.pop(fd).close()


def refuse(data):
    return b"no " + data


def echo(word):
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(word)
        answer = sock.recv(100)
        if not answer:
            raise EOFError
        return answer
"""

TEST = """\
import simnet
from server import echo, serve


def test_it(simnet_network):
    simnet_network.host("server").spawn(serve, 7)
    assert echo(b"hello") == b"hello"


@simnet.sweep(target="server", kinds="short-recv")
def test_swept(net):
    net.host("server").spawn(serve, 7)
    assert echo(b"hi") in (b"h", b"hi")
"""


def lines(*matching: str) -> set[int]:
    """The lines of SERVER that begin with one of these texts."""
    found = {number for number, line in enumerate(SERVER.splitlines(), 1) if line.strip().startswith(matching)}
    assert len(found) == len(matching)
    return found


def test_coverage_of_code_in_processes_is_right_with_branches(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "test_server.py").write_text(TEST)
    done = python(
        *(
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--cov=server",
            "--cov-branch",
            "--cov-report=json:found.json",
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "found.json").read_text())["files"]["server.py"]
    # Every line after a switch was seen to run, and those that did not run were not.
    assert set(found["missing_lines"]) == lines("data = refuse", 'return b"no "', "raise EOFError")
    (no,), (sends,), (refuses,) = lines('if data == b"no"'), lines("channels[fd].sendall"), lines("data = refuse")
    (empty,), (raises,) = lines("if not answer"), lines("raise EOFError")
    executed = {tuple(branch) for branch in found["executed_branches"]}
    missing = {tuple(branch) for branch in found["missing_branches"]}
    assert (no, sends) in executed
    assert missing == {(no, refuses), (empty, raises)}
