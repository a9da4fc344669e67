"""``simnet fuzz``: what needs two faults at once is found, made small, and looked for further on the next day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main
from tests.house import ROOT
from tests.simnet.faces_samples import PATIENT, forget_modules

Run = Callable[..., Any]

SOURCE = f"""{PATIENT}
@simnet.sweep(target="server")
def test_patience(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        assert sock.recv(1) == b""
"""
NAME = "test_patience.py::test_patience"


@pytest.fixture
def simnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "test_patience.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)

    def run(code: int, *arguments: object) -> str:
        capsys.readouterr()
        assert main([str(each) for each in arguments]) == code
        return capsys.readouterr().out

    yield run
    forget_modules("test_patience")


@pytest.mark.slow
def test_a_failure_that_takes_two_faults_is_found_where_a_sweep_finds_none(simnet: Run) -> None:
    simnet(0, "sweep", NAME, "--kinds", "would-block")
    told = simnet(1, "fuzz", NAME, "--kinds", "would-block", "--seeds", 200)
    assert "1 of 1: BlockingIOError at test_patience.py:13 when accept says EAGAIN" in told
    assert "fuzz: server; 200 runs in " in told
    (file,) = Path(".simnet/failures/test_patience").glob("*.toml")
    assert file.read_text().count("[[fault]]") == 2, "made small, it still needs both"
    assert 'by = "fuzz"' in file.read_text()
    assert "replay: exact; BlockingIOError at test_patience.py:13" in simnet(1, "replay", file)


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped(simnet: Run) -> None:
    options = ("fuzz", NAME, "--kinds", "refuse", "--seeds", 40)
    assert "seeds 0 to 39; the same command goes on from there" in simnet(0, *options)
    (again,) = json.loads(simnet(0, *options, "--json"))
    assert (again["first_seed"], again["next_seed"], again["runs"]) == (40, 80, 40)
    (there,) = json.loads(simnet(0, *options, "--json", "--from", 1000))
    assert (there["first_seed"], there["next_seed"]) == (1000, 1040)
    told = simnet(0, *options, "--from", 5)
    assert "seeds 5 to 44; without --from the command goes on from there" in told
    Path(".simnet/fuzz/test_patience.json").write_text("never mind")
    assert "seeds 0 to 39; " in simnet(0, *options)
    Path(".simnet/fuzz/test_patience.json").unlink()
    Path(".simnet/fuzz/test_patience.json").mkdir()  # nothing can be noted there
    assert "seeds 0 to 39; it could not be noted, so --from 40 goes on from there" in simnet(0, *options)
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert [key for key in ("first_seed", "next_seed") if f"`{key}`" not in page] == []


@pytest.mark.slow
def test_two_tests_of_one_name_have_each_their_own_seeds(simnet: Run) -> None:
    more = Path("more")
    more.mkdir()
    (more / "test_more.py").write_text(SOURCE)
    other = NAME.replace("test_patience.py", "more/test_more.py")
    options = ("--kinds", "refuse", "--seeds", 5, "--json")
    seeds = [json.loads(simnet(0, "fuzz", each, *options))[0]["next_seed"] for each in (NAME, other, NAME, other)]
    assert seeds == [5, 5, 10, 10]
    forget_modules("test_more")


@pytest.mark.slow
def test_seeds_tried_with_other_kinds_or_targets_are_still_to_be_tried(simnet: Run) -> None:
    """The same seed is another run there, and all that were asked for would have been passed over."""

    def first_seed(*options: str) -> int:
        (told,) = json.loads(simnet(0, "fuzz", NAME, "--seeds", 5, "--json", *options))
        return int(told["first_seed"])

    both, one = ("--kinds", "refuse,reset-before-accept"), ("--kinds", "refuse")
    assert [first_seed(*both), first_seed(*one), first_seed(*both, "--target", "server")] == [0, 0, 5]
    assert first_seed("--kinds", "reset-before-accept,refuse") == 10, "however they are ordered"
    assert first_seed("--strict", *one) == 0, "the verdict is another one there"
    assert first_seed(*one) == 5


@pytest.mark.slow
def test_the_same_seed_is_the_same_run(simnet: Run) -> None:
    options = ("fuzz", NAME, "--kinds", "would-block", "--seeds", 200, "--from", 0, "--json")
    first, second = (json.loads(simnet(1, *options))[0]["failures"] for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_it_stops_at_the_first_failure_if_asked(simnet: Run) -> None:
    (found,) = json.loads(simnet(1, "fuzz", NAME, "--kinds", "would-block", "--first", "--json"))
    assert found["stopped"] == "first failure"
    assert found["failed"] == 1


def test_faults_that_never_act_are_no_test(simnet: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", NAME, "--kinds", "partial-send", "--seeds", "5"]) == 2
    assert "NothingToTest: kinds=partial-send: none can act on what the test does" in capsys.readouterr().err
