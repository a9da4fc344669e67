"""Scenario files as people have them: with the line ends of another system, behind a link, with a seed. What a command writes into them leaves that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from simnet.cli import main
from simnet.project.nodeid import NodeId
from simnet.project.nodeid import beside as node_at_home
from simnet.run import play
from simnet.scenario import Scenario
from tests.simnet.faces_samples import forget_modules, lay_out

SMALL = """\
format = 1
title = "cut"
test = "test_servers.py::test_hasty"
seed = 3

[[fault]]
# mine: \u00fc
kind = "short-recv"
on = "test->server:7#1"
end = "server"
call = 1
bytes = {bytes}
"""

PLAN = "short-recv test->server:7#1 end=server call=1 bytes=2"

DICE = """
import random
import simnet
from test_servers import test_hasty, test_echo

@simnet.sweep(target="server", kinds=("short-recv",))
def test_dice(net):
    test_echo.simnet_test(net)
    return random.random()

@simnet.sweep(target="server", kinds=("short-recv",))
def test_hasty_dice(net):
    dice = random.random()
    test_hasty.simnet_test(net)
    return dice
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    lay_out(tmp_path)
    (tmp_path / "test_dice.py").write_text(DICE)
    (tmp_path / "kept").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    forget_modules("servers", "test_servers", "test_dice")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with-a-mark"])
def test_line_ends_stay_as_they_are(project: Path, mark: str) -> None:
    file = project / "kept" / "it.toml"
    file.write_bytes((mark + SMALL.format(bytes=2).replace("\n", "\r\n")).encode())

    assert main(["shrink", str(file)]) == 0

    assert Scenario.read(file).plan[0].bytes == 1  # type: ignore[attr-defined]
    raw = file.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert "# mine: \u00fc\r\n" in raw.decode("utf-8-sig")


def test_a_kept_file_has_the_line_ends_that_it_had(project: Path) -> None:
    file = project / "it.toml"
    file.write_bytes(SMALL.format(bytes=2).replace("\n", "\r\n").encode())

    assert main(["keep", str(file), "--title", "another", "--to", "scenarios/it.toml"]) == 0

    raw = (project / "scenarios" / "it.toml").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert b'title = "another"\r\n' in raw


def test_what_a_link_leads_to_is_written_and_the_link_stays(project: Path) -> None:
    file, link = project / "kept" / "it.toml", project / "link.toml"
    file.write_text(SMALL.format(bytes=2), encoding="utf-8")
    file.chmod(0o640)
    link.symlink_to(Path("kept") / "it.toml")

    assert main(["shrink", str(link)]) == 0

    assert link.is_symlink()
    assert Scenario.read(file).plan[0].bytes == 1  # type: ignore[attr-defined]
    assert file.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in file.parent.iterdir()] == ["it.toml"]


def test_a_plan_with_a_seed_is_compared_with_the_run_of_that_seed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test sees its dice: beside the run of another seed each plan would have another outcome."""
    file = project / "it.toml"
    file.write_text(SMALL.format(bytes=2).replace("test_servers.py::test_hasty", "test_dice.py::test_dice"))

    assert main(["replay", str(file)]) == 0
    capsys.readouterr()
    assert main(["shrink", str(file)]) == 2

    assert "it does not fail (equal), so there is nothing to make small" in capsys.readouterr().err


def test_a_seed_that_makes_no_difference_to_the_failure_is_dropped(project: Path) -> None:
    file = project / "it.toml"
    file.write_text(SMALL.format(bytes=2).replace("test_servers.py::test_hasty", "test_dice.py::test_hasty_dice"))

    assert main(["shrink", str(file)]) == 0

    scenario = Scenario.read(file)
    assert (scenario.seed, scenario.plan[0].bytes) == (0, 1)  # type: ignore[attr-defined]


def test_a_seed_that_the_failure_needs_stays(project: Path) -> None:
    file = project / "it.toml"
    source = "\n    if random.random() > 0.9:\n        test_hasty.simnet_test(net)\n    else:\n        test_echo.simnet_test(net)\n"
    head, _, _ = DICE.partition("    test_echo.simnet_test(net)\n")
    (project / "test_dice.py").write_text(head + source)
    node = NodeId.parse("test_dice.py::test_dice")
    with node_at_home(project, node):
        lucky = next(
            seed
            for seed in range(1, 1000)
            if play(node.load(project).simnet_test, PLAN, target="server", seed=seed).failures
        )
    text = SMALL.format(bytes=2).replace("test_servers.py::test_hasty", "test_dice.py::test_dice")
    file.write_text(text.replace("seed = 3", f"seed = {lucky}"))

    assert main(["shrink", str(file)]) == 0

    scenario = Scenario.read(file)
    assert (scenario.seed, scenario.plan[0].bytes) == (lucky, 1)  # type: ignore[attr-defined]
