"""What a sweep has found is reported, and kept under a name that leads to the test: whatever the test, its file or its folder is called."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.scenario import Expect, Scenario
from tests.simnet.faces_samples import forget_modules, lay_out

SHORT = SweepOptions.of(target="server", kinds=["short-recv"], shrink=False)

MADE = """
import simnet
from servers import hasty
from test_servers import talk

def made(word):
    @simnet.sweep(target="server", kinds=("short-recv",))
    def test(net):
        net.host("server").spawn(hasty, 7)
        assert talk(word) == b"good day"
    return test

test_hello = made(b"hello")
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_modules()


def hasty(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            assert conn.recv(100) == b"hello"


def conversation(net: Any) -> None:
    net.host("server").spawn(hasty, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")


@pytest.mark.parametrize(
    "name", ["te[st] s/test_it.py::test_it", "\udcff/test_it.py::test_it", "../test_it.py::test_it"]
)
def test_what_no_file_can_be_written_of_is_found_all_the_same(name: str, tmp_path: Path) -> None:
    result = run_sweep(conversation, SHORT)
    assert result.failures

    result.save(tmp_path, name)

    (failure,) = result.failures
    assert (failure.file is None) == bool(failure.unwritten)
    (report,) = result.reports(name)
    assert (
        failure.file is not None
        or ("keep it", f"no file of it could be written: {failure.unwritten}") in report.commands
    )


@pytest.mark.parametrize(
    ("kind", "expect"), [("short-recv", Expect(outcome="baseline")), ("eof", Expect(interrupted=True))]
)
def test_what_a_disruptive_fault_broke_may_be_interrupted_once_it_is_mended(
    kind: str, expect: Expect, tmp_path: Path
) -> None:
    result = run_sweep(conversation, SweepOptions.of(target="server", kinds=[kind], shrink=False))
    result.save(tmp_path, "test_it.py::test_it")

    (failure, *_) = result.failures
    assert failure.file is not None
    assert Scenario.read(failure.file, check=False).expect == expect


@pytest.mark.slow
def test_a_folder_may_have_brackets_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lay_out(tmp_path)
    folder = tmp_path / "old [1]"
    folder.mkdir()
    for name in ("servers.py", "test_servers.py"):
        (tmp_path / name).rename(folder / name)
    monkeypatch.chdir(tmp_path)

    assert main(["sweep", "old [1]/test_servers.py::test_hasty"]) == 1

    (file,) = tmp_path.glob(".simnet/failures/test_hasty/*.toml")
    told = capsys.readouterr().out
    assert f"run it    simnet replay {file.relative_to(tmp_path)}\n" in told  # pytest takes a bracket for parameters
    assert main(["replay", str(file)]) == 1
    assert "replay: exact" in capsys.readouterr().out


@pytest.mark.slow
def test_a_test_that_a_function_has_made_is_named_from_its_project(pytester: pytest.Pytester) -> None:
    """Not from pytest's root, which may be above it."""
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    project = pytester.path / "part"
    project.mkdir()
    (lay_out(project) / "test_made.py").write_text(MADE)

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "part/test_made.py")

    (file,) = project.glob(".simnet/failures/*/*.toml")
    assert Scenario.read(file).test == "test_made.py::test_hello"
    result.stdout.fnmatch_lines(
        [f"run it    pytest part/test_made.py::test_hello --simnet-replay {file.relative_to(pytester.path)}*"]
    )


@pytest.mark.slow
def test_a_test_that_has_been_given_another_name_is_called_by_that(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    (pytester.path / "test_renamed.py").write_text(
        "import simnet\nfrom servers import hasty\nfrom test_servers import talk\n"
        "def conversation(net):\n    net.host('server').spawn(hasty, 7)\n    assert talk(b'hello') == b'good day'\n"
        "test_short = simnet.sweep(target='server', kinds='short-recv')(conversation)\n"
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "test_renamed.py")

    (file,) = pytester.path.glob(".simnet/failures/*/*.toml")
    assert Scenario.read(file).test == "test_renamed.py::test_short"
    result.stdout.fnmatch_lines(["run it    pytest test_renamed.py::test_short --simnet-replay *"])
    again = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "test_renamed.py::test_short", "--simnet-replay", os.fspath(file)
    )
    again.stdout.fnmatch_lines(["*replay: exact*"])


@pytest.mark.slow
def test_two_failures_of_one_title_are_both_kept_as_the_reports_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As in two files that have a test of one name, and one server."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_too.py").write_text((tmp_path / "test_servers.py").read_text())
    for name in ("test_servers.py", "test_too.py"):
        assert main(["sweep", f"{name}::test_hasty"]) == 1
    told = capsys.readouterr().out
    commands = [line.partition("simnet ")[2] for line in told.splitlines() if line.startswith("keep it")]
    assert len(commands) == 2

    for command in commands:
        assert main(command.split()) == 0

    kept = sorted((tmp_path / "scenarios" / "test_hasty").iterdir())
    assert {Scenario.read(each).test for each in kept} == {
        f"{name}::test_hasty" for name in ("test_servers.py", "test_too.py")
    }
    assert main(["sweep", "test_too.py::test_hasty"]) == 1
    capsys.readouterr()
    assert main(commands[1].split()) == 2, "the very same is there"
    assert "is there already" in capsys.readouterr().err
    forget_modules("test_too")
