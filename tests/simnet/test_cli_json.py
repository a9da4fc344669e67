"""What the commands print for programs: one document in any case, in which nothing is missing that a person is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main
from tests.simnet.faces_samples import forget_modules, lay_out

Told = Callable[..., Any]

MORE = """
import itertools
import socket
import simnet
from servers import echo, hasty
from test_servers import talk

counted = itertools.count()

@simnet.sweep(target="server", kinds=("short-recv",))
def test_counts(net):
    net.host("server").spawn(echo, 7)
    talk(b"hello")
    return next(counted)

@simnet.sweep(target="server", kinds=("short-recv",))
def test_says_nothing(net):
    net.host("server").spawn(echo, 7)

@simnet.sweep(target="server", kinds=("short-recv",))
def test_right(net):
    net.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Told]:
    """``told(code, "sweep", ...)`` is what a command prints that ends with that exit code."""
    lay_out(tmp_path)
    (tmp_path / "test_more.py").write_text(MORE)
    monkeypatch.chdir(tmp_path)

    def run(code: int, *arguments: object) -> Any:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    yield run
    forget_modules("servers", "test_servers", "test_more")


@pytest.mark.slow
@pytest.mark.parametrize("command", [("sweep",), ("fuzz", "--seeds", "3")])
@pytest.mark.parametrize(
    ("name", "why"), [("test_counts", "NotRepeatable: two runs"), ("test_says_nothing", "NothingToTest: ")]
)
def test_a_test_that_cannot_be_tried_has_an_object_that_says_why(
    told: Told, command: tuple[str, ...], name: str, why: str
) -> None:
    (found,) = told(2, *command, f"test_more.py::{name}")
    (right,) = told(0, *command, "test_more.py::test_right")
    assert found.keys() == right.keys()
    assert right["untried"] is None
    assert found["untried"].startswith(why)
    assert (found["test"], found["ok"], found["runs"], found["failures"]) == (f"test_more.py::{name}", False, 0, [])


@pytest.mark.slow
def test_of_a_file_all_tests_are_there_in_their_order(told: Told) -> None:
    each = told(2, "sweep", "test_more.py")
    assert [(one["test"].rpartition("::")[2], one["ok"]) for one in each] == [
        ("test_counts", False),
        ("test_says_nothing", False),
        ("test_right", True),
    ]


def test_a_failure_that_no_file_could_be_written_of_says_why(told: Told) -> None:
    Path(".simnet").write_text("a file is in the way")
    (found,) = told(1, "sweep", "test_servers.py::test_hasty")
    (failure,) = found["failures"]
    assert failure["file"] is None
    assert "Not a directory" in failure["unwritten"] or "File exists" in failure["unwritten"]


@pytest.mark.slow
def test_each_row_of_kinds_says_how_all_of_its_runs_went(told: Told) -> None:
    (found,) = told(1, "sweep", "test_servers.py::test_hasty")
    for row in found["kinds"]:
        assert row["runs"] == sum(row[word] for word in ("failed", "interrupted", "noted", "equal", "unreached"))


def test_a_warning_has_its_line(told: Told) -> None:
    Path("test_loops.py").write_text(
        "import asyncio, time\nimport simnet\nfrom test_servers import talk\n\n"
        "async def answer(reader, writer):\n    time.sleep(1)\n    writer.write(await reader.read(100))\n    writer.close()\n\n"
        "async def serve():\n    async with await asyncio.start_server(answer, '', 7) as server:\n        await server.serve_forever()\n\n"
        "@simnet.sweep(target='server', kinds='split')\n"
        "def test_loops(net):\n    net.host('server').spawn(asyncio.run, serve())\n    talk(b'hello')\n"
    )
    (found,) = told(0, "sweep", "test_loops.py")
    (warning,) = found["warnings"]
    assert warning.keys() == {"name", "text", "at", "count", "plan"}
    forget_modules("test_loops")


@pytest.mark.slow
def test_a_replay_says_what_is_not_as_expected_and_where_the_failure_has_gone(told: Told) -> None:
    told(1, "sweep", "test_servers.py::test_hasty")
    (file,) = Path(".simnet/failures/test_hasty").glob("*.toml")
    replayed = told(1, "replay", file)
    assert (replayed["word"], replayed["moved_to"]) == ("exact", None)
    assert replayed["why"].startswith("KeyError at servers.py:")

    forget_modules()
    tests = Path("test_servers.py").read_text()
    again = "    net.host('server').spawn(hasty, 7)\n    talk(b'')\n"
    Path("test_servers.py").write_text(tests.replace('    net.host("server").spawn(hasty, 7)\n', again))
    moved = told(2, "replay", file)
    assert moved["word"] == "moved"
    assert moved["moved_to"] == "short-recv test->server:7#2 end=server call=1 bytes=1"
    assert 'with on = "test->server:7#2" the failure on record is there' in moved["why"]


def test_a_test_without_faults_has_one_row_for_each_kind_as_its_table_has(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = told(0, "show", "test_servers.py::test_echo")
    assert shown["ok"] is True
    kinds = [row["kind"] for row in shown["points"]]
    assert len(kinds) == len({*kinds})
    assert main(["show", "test_servers.py::test_echo"]) == 0
    table = capsys.readouterr().out
    for row in shown["points"]:
        assert re.search(rf"^{row['kind']} +{row['points']} +{row['variants']} ", table, re.MULTILINE)

    Path("test_servers.py").write_text(Path("test_servers.py").read_text().replace('== b"hello"', '== b"bye"'))
    forget_modules()
    assert told(1, "show", "test_servers.py::test_echo")["ok"] is False
