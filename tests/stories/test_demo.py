"""``simnet demo`` tells its story: in six parts, in order, on files that belong to the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simnet.cli import main
from simnet.faces.commands.story import FILES, SHIPPED
from tests.simnet import faces_samples

pytestmark = pytest.mark.slow  # two sweeps, and real sockets

PARTS = [
    "1. An echo server, as asyncore tutorials write it",
    "2. Without faults it works",
    "3. The same once for every single fault",
    "4. ",
    "5. Each again: twice on simnet, once on this machine's own sockets",
    "6. The corrected server, swept the same way",
    "What to try next",
]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    names = [name.removesuffix(".py") for name in FILES]
    faces_samples.forget_modules(*names)
    yield tmp_path
    faces_samples.forget_modules(*names)


def tell(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    code = main(["demo", *arguments])
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    return told.out


def test_the_demo_breaks_the_tutorials_server_and_confirms_it_on_the_kernel(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tell(capsys)
    assert "to be typed in" not in told
    places = [told.index(f"\n{part}") for part in PARTS]
    assert places == sorted(places)
    parts = dict(
        zip("1234567", (told[a:b] for a, b in zip(places, [*places[1:], len(told)], strict=True)), strict=True)
    )
    assert "def handle_accept(self):" in parts["1"]
    assert "connect server:7" in parts["2"]
    assert "outcome   returned None" in parts["2"]
    assert re.search(r"would-block +transparent +\d+ +\d+ +\d+", parts["3"]), "a row of the table, with failures"
    failures = int(parts["4"].split()[1])
    assert failures >= 3
    assert "TypeError: cannot unpack non-iterable NoneType object" in parts["4"]
    assert parts["4"].count("run it    pytest test_tutorial_server.py::") == failures
    assert parts["4"].count("keep it   simnet keep .simnet/failures/") == failures
    assert parts["5"].count("the same run, event for event") == failures
    assert parts["5"].count("on real sockets  ") == failures
    assert "confirmed on the kernel: the same failure" in parts["5"]
    assert re.search(r"No failure in [\d,]+ runs, [\d,]+ simulations a second", parts["6"])
    left = {path.name for path in empty.iterdir()} - {"__pycache__"}
    assert left == {*FILES, "pyproject.toml", ".simnet"}
    saved = list(empty.glob(".simnet/failures/*/*.toml"))
    assert len(saved) == failures
    assert any('kernel = "confirmed on the kernel: the same failure"' in path.read_text() for path in saved)
    # The commands it ends with work where it says to type them.
    replay = re.search(r"^ +simnet (replay \S+)$", parts["7"], re.MULTILINE)
    assert replay is not None
    assert main(replay[1].split()) == 1
    assert "replay: exact" in capsys.readouterr().out


def test_a_folder_with_a_space_is_typed_in_quotes(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = tell(capsys, "my demo")
    assert "\n    cd 'my demo'\n" in told
    # The reports' own commands come long before that, and are for the same folder.
    assert told.index("Commands are to be typed in 'my demo'.") < told.index("\nrun it    ")


def test_files_that_are_there_are_worked_on_as_they_are(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "notes.txt").write_text("not empty")
    folder = empty / "simnet-demo"
    folder.mkdir()
    mended = (SHIPPED / "corrected_server.py").read_text()
    (folder / "tutorial_server.py").write_text(mended)
    told = tell(capsys)
    assert "As you left it: tutorial_server.py." in told
    assert "4. No failure: the tutorial's server has been fixed" in told
    assert (folder / "tutorial_server.py").read_text() == mended
    assert sorted(path.name for path in empty.iterdir()) == ["notes.txt", "simnet-demo"]


def test_an_old_copy_that_nobody_touched_follows_the_installed_version(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from simnet.faces.commands import story
    from simnet.faces.screen import Screen

    older = empty / "older"
    older.mkdir()
    for name in FILES:
        (older / name).write_text("# an older version\n")
    monkeypatch.setattr(story, "SHIPPED", older)
    story._lay_out(Screen(), empty / "place")
    monkeypatch.setattr(story, "SHIPPED", SHIPPED)
    story._lay_out(Screen(), empty / "place")
    for name in FILES:
        assert (empty / "place" / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_a_file_the_reader_broke_is_refused_with_its_place(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "tutorial_server.py").write_text("def broken(:\n")
    assert main(["demo", "."]) == 2
    assert "tutorial_server.py" in (err := capsys.readouterr().err)
    assert "Traceback" not in err
