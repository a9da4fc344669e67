"""The command from a terminal's and a script's side: sweep, replay, keep, show, and what is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main
from simnet.expect import RULES
from simnet.faults.kinds import KINDS
from tests.house import ROOT
from tests.simnet.faces_samples import forget_modules, lay_out

Run = Callable[..., "Ran"]

START = 30.0  # seconds until a command of its own has started; two on an idle machine


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def simnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """``simnet("sweep", ...)`` in a folder with the sample project."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    yield run
    files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    forget_modules(*[name for name, file in files.items() if file.startswith(str(tmp_path))])


@pytest.fixture
def failure(simnet: Run) -> Path:
    """The scenario of the one failure that the sample project has."""
    assert simnet("sweep", "test_servers.py::test_hasty").code == 1
    (file,) = Path(".simnet/failures/test_hasty").glob("*.toml")
    return file


def edited(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


# --- sweep -----------------------------------------------------------------------------------------------------------


def test_a_clean_sweep_ends_with_0_and_one_line_that_sums_it_up(simnet: Run) -> None:
    ran = simnet("sweep", "test_servers.py::test_echo")
    assert (ran.code, ran.err) == (0, "")
    assert "sweep: server; " in ran.out
    assert re.search(r"reset +disruptive +\d+ +\d+ +\d+", ran.out), "the table has a row for each kind"


@pytest.mark.slow
def test_a_failure_ends_with_1_and_says_what_to_type_next(simnet: Run, failure: Path) -> None:
    ran = simnet("sweep", "test_servers.py::test_hasty")
    assert ran.code == 1
    assert "1 of 1: KeyError at servers.py:25 when recv returns 1 byte (1 bug, " in ran.out
    assert f"simnet keep {failure}" in ran.out
    assert "\x1b" not in ran.out, "no colours where there is no terminal"


def test_of_a_test_that_fails_by_itself_no_pace_is_told(simnet: Run) -> None:
    Path("test_fails.py").write_text("def test_it(net):\n    net.host('server').spawn(print)\n    assert False\n")
    for command in ("sweep", "fuzz"):
        ran = simnet(command, "test_fails.py::test_it", "--target", "server")
        assert ran.code == 1
        assert "it fails without any fault, so nothing was" in " ".join(ran.out.split())
        assert "simulations a second" not in ran.out


def test_a_file_stands_for_all_its_swept_tests(simnet: Run) -> None:
    ran = simnet("sweep", "test_servers.py", "--json")
    assert ran.code == 1
    assert [each["test"] for each in ran.json] == ["test_servers.py::test_echo", "test_servers.py::test_hasty"]
    assert [each["ok"] for each in ran.json] == [True, False]


def test_json_holds_all_a_program_needs(simnet: Run) -> None:
    (found,) = simnet("sweep", "test_servers.py::test_hasty", "--json").json
    (failure,) = found["failures"]
    assert failure["type"] == "KeyError"
    assert failure["at"] == "servers.py:25"
    assert failure["plan"] == "short-recv test->server:7#1 end=server call=1 bytes=1"
    assert Path(failure["file"]).is_file()
    assert found["runs"] == sum(row["runs"] for row in found["kinds"])


def test_kinds_runs_and_first_narrow_a_sweep(simnet: Run) -> None:
    (found,) = simnet("sweep", "test_servers.py::test_hasty", "--json", "--kinds", "reset,short-recv", "--runs", 4).json
    assert {row["kind"] for row in found["kinds"]} == {"short-recv", "reset"}
    assert found["runs"] == 4
    (found,) = simnet("sweep", "test_servers.py::test_hasty", "--json", "--first").json
    assert found["failed"] == 1
    assert found["stopped"] == "first failure"


@pytest.mark.parametrize("depth", ["2", "recovery"])
def test_a_sweep_takes_two_faults_at_once_where_it_is_asked_for_them(simnet: Run, depth: str) -> None:
    ran = simnet("sweep", "test_servers.py::test_echo", "--json", "--kinds", "short-recv", "--depth", depth)
    (found,) = ran.json
    assert [row["kind"] for row in found["kinds"]] == ["short-recv", "two faults"]
    ran = simnet("sweep", "test_servers.py::test_echo", "--depth", "3")
    assert (ran.code, "'3' is not one of '1', '2', 'recovery'" in ran.err) == (2, True)


def test_a_target_that_is_no_host_is_nothing_to_test(simnet: Run) -> None:
    ran = simnet("sweep", "test_servers.py::test_echo", "--target", "client")
    assert ran.code == 2
    assert "NothingToTest: target=client: the test has no host of that name. Hosts there are: server, test" in ran.err


def test_several_hosts_in_one_option_are_told_how_to_be_given(simnet: Run) -> None:
    told = {"": "''", "server,client": "'server,client'"}
    for given, shown in told.items():
        ran = simnet("sweep", "test_servers.py::test_echo", "--target", given)
        assert (ran.code, f"--target {shown} is no host's name" in ran.err) == (2, True)
        assert ("of several each takes an option of its own" in ran.err) == ("," in given)


def test_a_property_is_left_to_pytest(simnet: Run) -> None:
    Path("test_given.py").write_text(
        "import simnet\nfrom hypothesis import given, strategies\n\n"
        "@given(n=strategies.integers())\n@simnet.sweep\ndef test_given(net, n): ...\n\n"
        "@given(n=strategies.integers())\ndef test_by_hand(n): ...\n"
    )
    for test in ("test_given.py::test_given", "test_given.py", "test_given.py::test_by_hand"):
        for command in ("sweep", "fuzz"):
            ran = simnet(command, test)
            assert ran.code == 2
            assert " is given its examples by hypothesis. " in ran.err
            assert "pytest test_given.py::test_" in ran.err


def test_an_undecorated_function_of_a_network_can_be_swept_by_name(simnet: Run) -> None:
    Path("test_plain.py").write_text(
        "from test_servers import talk\nfrom servers import echo\n\n"
        "def test_plain(net):\n    net.host('server').spawn(echo, 7)\n    assert talk(b'a') == b'a'\n"
    )
    ran = simnet("sweep", "test_plain.py::test_plain", "--target", "server", "--kinds", "reset")
    assert ran.code == 0, ran.err


# --- replay ----------------------------------------------------------------------------------------------------------


def test_a_found_failure_replays_exactly(simnet: Run, failure: Path) -> None:
    ran = simnet("replay", failure)
    assert ran.code == 1
    assert "replay: exact; KeyError at servers.py:25" in ran.out
    assert simnet("replay", failure, "--json").json["word"] == "exact"


def test_a_program_that_changed_elsewhere_fails_on_another_path(
    simnet: Run, failure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(Path("servers.py"), "word = conn.recv(100)", "conn.getsockname()\n                    word = conn.recv(100)")
    forget_modules()
    replayed = simnet("replay", failure, "--json").json
    assert replayed["word"] == "same failure on another path"
    assert replayed["at"] == "servers.py:26"


def test_a_mended_program_is_fixed(simnet: Run, failure: Path) -> None:
    edited(Path("servers.py"), "word = conn.recv(100)", 'word = conn.makefile("rb").read()')
    forget_modules()
    ran = simnet("replay", failure)
    assert ran.code == 0
    assert "replay: fixed; equal to the run without faults" in ran.out


def test_another_byte_or_call_in_the_file_does_what_one_would_expect(simnet: Run, failure: Path) -> None:
    edited(failure, "bytes = 1", "bytes = 4")
    ran = simnet("replay", failure)
    assert ran.code == 1
    assert "KeyError: b'hell'" in ran.out, "the program saw as many bytes as the file says"
    assert "same failure on another path" in ran.out
    edited(failure, "bytes = 4", "bytes = 5")
    ran = simnet("replay", failure)
    assert (ran.code, "replay: fixed" in ran.out) == (0, True), "five bytes are all there are"


def test_a_file_whose_target_is_no_host_says_nothing(simnet: Run, failure: Path) -> None:
    edited(failure, 'target = ["server"]', 'target = ["sever"]')
    head = failure.read_text().partition("[[fault]]")[0]
    failure.write_text(f'{head}[[fault]]\nkind = "eof"\non = "test->server:7#1"\nend = "server"\nbyte = 1\n')
    ran = simnet("replay", failure)
    assert "So nothing was under test" in ran.out
    assert ran.code == 2


def test_a_plan_that_is_never_reached_says_so_and_what_was(simnet: Run, failure: Path) -> None:
    edited(failure, "call = 1", "call = 7")
    ran = simnet("replay", failure)
    assert ran.code == 2, "neither good nor bad, to `git bisect` as well"
    assert "was never reached: server called recv on test->server:7#1 once" in " ".join(ran.out.split())
    assert simnet("replay", failure, "--json").json["word"] == "not reached"


def test_a_file_whose_target_is_no_host_says_which_there_are(simnet: Run, failure: Path) -> None:
    edited(failure, 'target = ["server"]', 'target = ["sever"]')
    ran = simnet("replay", failure)
    assert ran.code == 2
    assert "target=sever: the test has no host of that name. Hosts there are: test, server" in " ".join(ran.out.split())
    edited(failure, 'kind = "short-recv"', 'kind = "reset"\nwhen = "before"\nop = "recv"')
    edited(failure, "bytes = 1", "")
    ran = simnet("replay", failure)  # it goes another way than the file expects, and that is not why
    assert ran.code == 2
    assert "target=sever: the test has no host of that name" in ran.out


def test_what_its_programs_print_is_not_among_the_json(simnet: Run, failure: Path) -> None:
    edited(Path("servers.py"), "word = conn.recv(100)", "print('LOUD'); word = conn.recv(100)")
    assert simnet("replay", failure, "--json").json["type"] == "KeyError"


def test_the_whole_run_is_shown_when_asked_for(simnet: Run, failure: Path) -> None:
    ran = simnet("replay", failure, "--trace")
    assert ran.out.count("connect server:7") == 2, "once in the whole run, once where it parts from the baseline"


def test_the_whole_run_is_among_the_json_when_asked_for(simnet: Run, failure: Path) -> None:
    assert "trace" not in simnet("replay", failure, "--json").json
    drawn = simnet("replay", failure, "--trace", "--json").json["trace"]
    shown = simnet("replay", failure, "--trace").out
    told = [re.sub(r"[─\s]+", " ", text) for text in ("\n".join(drawn), shown)]  # each as wide as where it goes
    assert told[0] in told[1]


# --- keep ------------------------------------------------------------------------------------------------------------


def test_keep_moves_a_failure_to_where_pytest_plays_it(simnet: Run, failure: Path) -> None:
    ran = simnet("keep", failure, "--title", "a word that comes in pieces")
    kept = Path("scenarios/test_hasty/a-word-that-comes-in-pieces.toml")
    assert ran.code == 0
    assert f"Kept as {kept}." in ran.out
    assert not failure.exists()
    assert 'title = "a word that comes in pieces"' in kept.read_text()
    assert simnet("replay", kept, "--json").json["word"] == "exact", "where a file lies changes nothing"


def test_a_failure_that_was_kept_is_told_with_where_it_lies_now(simnet: Run, failure: Path) -> None:
    Path("scenarios").mkdir()
    Path("scenarios/another.toml").write_text("no = 'scenario'")
    simnet("keep", failure, "--title", "hello comes in pieces")
    ran = simnet("replay", failure)
    kept = "scenarios/test_hasty/hello-comes-in-pieces.toml"
    assert (ran.code, ran.err.rstrip().endswith(f"No such file or directory; it was kept as {kept}")) == (2, True)


def test_keep_leaves_what_a_person_wrote_into_the_file(simnet: Run, failure: Path) -> None:
    edited(failure, "format = 1", "# seen on a train\nformat = 1  # the first")
    simnet("keep", failure, "--to", "scenarios/train.toml", "--title", "on a train", "--reason", "#7")
    text = Path("scenarios/train.toml").read_text()
    assert "# seen on a train\nformat = 1  # the first" in text
    assert 'expect = {error = "KeyError", at = "hasty", reason = "#7"}' in text
    ran = simnet("replay", "scenarios/train.toml")
    assert (ran.code, "It is known: KeyError at hasty (#7)." in ran.out) == (0, True)


def test_what_stands_behind_a_table_is_no_part_of_it(simnet: Run, failure: Path) -> None:
    edited(failure, 'expect = {outcome = "baseline"}', "")
    edited(failure, "[[fault]]", '[expect]\noutcome = "baseline"\n\n# on a train\n[[fault]]')
    simnet("keep", failure, "--to", "scenarios/train.toml", "--reason", "#7")
    text = Path("scenarios/train.toml").read_text()
    assert '[expect]\nerror = "KeyError"\nat = "hasty"\nreason = "#7"\n\n# on a train\n[[fault]]' in text


def test_what_is_kept_already_is_changed_where_it_lies(simnet: Run, failure: Path) -> None:
    simnet("keep", failure, "--to", "scenarios/train.toml")
    again = simnet("keep", "scenarios/train.toml")
    assert (again.code, "is kept already; to change its title or reason" in again.err) == (2, True)
    assert "Kept as scenarios/train.toml." in simnet("keep", "scenarios/train.toml", "--title", "on a train").out
    assert [str(each) for each in Path("scenarios").rglob("*.toml")] == ["scenarios/train.toml"]
    assert 'title = "on a train"' in Path("scenarios/train.toml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "pyproject.toml",
            '[tool.pytest.ini_options]\ntestpaths = ["tests"]',
            "'scenarios' to testpaths in pyproject.toml",
        ),
        ("pytest.ini", "[pytest]\ntestpaths = tests\n    more", "'scenarios' to testpaths in pytest.ini"),
        ("setup.cfg", "[tool:pytest]\ntestpaths = tests", "'scenarios' to testpaths in setup.cfg"),
        ("pytest.ini", "[pytest]\ntestpaths = tests scenarios", ""),
        ("pytest.ini", "[pytest]\ntestpaths = .", ""),
        ("pytest.ini", "[pytest]\ntestpaths = gone", ""),  # pytest looks everywhere then
        ("tox.ini", "[pytest]\naddopts = -q", ""),
        ("pytest.ini", "no section", ""),
    ],
)
def test_keep_says_where_pytest_will_not_come_to_play_it(
    simnet: Run, failure: Path, file: str, text: str, said: str
) -> None:
    Path("tests").mkdir()
    Path(file).write_text(text)
    told = simnet("keep", failure, "--title", "in pieces").out
    assert ("pytest by itself does not look there" in told) is bool(said)
    assert said in told


def test_keep_says_that_pytest_plays_folders_of_one_name_alone(simnet: Run, failure: Path) -> None:
    told = simnet("keep", failure, "--to", "found/").out
    assert "below a folder named scenarios, as in --to scenarios/" in told


def test_keep_takes_no_title_that_is_no_text(simnet: Run, failure: Path) -> None:
    done = simnet("keep", failure, "--title", "a byte that no UTF-8 has: \udcff")
    assert done.code == 2
    assert "'\\udcff' is no letter of this terminal's encoding" in done.err
    assert failure.exists()


def test_keep_makes_no_folder_that_is_named_like_a_file(simnet: Run, failure: Path) -> None:
    refused = simnet("keep", failure, "--to", "scenarios/it.txt")
    assert refused.code == 2
    assert "--to scenarios/it.txt: a scenario's file ends in .toml" in refused.err
    assert failure.exists()
    Path("scenarios/v1.2").mkdir(parents=True)
    assert simnet("keep", failure, "--to", "scenarios/v1.2", "--title", "it").out.startswith(
        "Kept as scenarios/v1.2/it.toml."
    )


def test_keep_takes_no_failure_out_of_its_project(
    simnet: Run, failure: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere, here = tmp_path_factory.mktemp("elsewhere"), Path.cwd()
    for there in ("no project", f"another project ({elsewhere})"):
        refused = simnet("keep", failure, "--to", elsewhere / "it.toml")
        assert (refused.code, failure.exists()) == (2, True)
        assert f"--to {elsewhere}/it.toml lies in {there}; its test is in {here}\n" in refused.err
        (elsewhere / "pyproject.toml").touch()


def test_what_keep_says_to_type_is_quoted_for_a_shell(simnet: Run, failure: Path) -> None:
    ran = simnet("keep", failure, "--to", "scenarios/my story.toml")
    assert ran.out.endswith("It fails until the bug is fixed: pytest 'scenarios/my story.toml'\n")


def test_keep_overwrites_nothing(simnet: Run, failure: Path) -> None:
    Path("scenarios").mkdir()
    Path("scenarios/it.toml").write_text("mine")
    ran = simnet("keep", failure, "--to", "scenarios/it.toml")
    assert ran.code == 2
    assert "scenarios/it.toml is there already; name another place" in ran.err
    assert Path("scenarios/it.toml").read_text() == "mine"
    assert failure.exists()


def test_keep_excuses_nothing_that_does_not_fail(simnet: Run, failure: Path) -> None:
    edited(failure, "bytes = 1", "bytes = 5")
    ran = simnet("keep", failure, "--reason", "#7")
    assert (ran.code, "it does not fail now" in ran.err) == (2, True)


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_tells_a_scenario_in_words_and_plays_nothing(simnet: Run, failure: Path) -> None:
    Path("servers.py").unlink()
    ran = simnet("show", failure)
    assert ran.code == 0
    assert "network   the 1st recv by server on test->server:7#1 returned at most 1 byte" in ran.out
    assert simnet("show", failure, "--json").json["faults"][0]["transparent"] is True


def test_show_names_the_command_that_can_play_a_test_with_parameters(simnet: Run, failure: Path) -> None:
    assert f"play it   simnet replay {failure}" in simnet("show", failure).out
    failure.write_text(re.sub(r'^test = "(.+?)"', r'test = "\1[a]"', failure.read_text(), flags=re.MULTILINE))
    assert f"play it   pytest {failure}" in simnet("show", failure).out


def test_show_draws_a_test_without_faults_and_counts_its_points(simnet: Run) -> None:
    ran = simnet("show", "test_servers.py::test_echo")
    assert ran.code == 0
    assert "connect server:7" in ran.out
    assert "outcome   returned None" in ran.out
    assert re.search(r"short-recv +1 +\d   short-recv test->server:7#1 end=server call=1 bytes=1", ran.out)


@pytest.mark.slow
def test_each_key_of_the_json_stands_in_the_reference(simnet: Run, failure: Path) -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", page[page.index("## JSON") :], re.MULTILINE))
    (sweep,) = simnet("sweep", "test_servers.py::test_hasty", "--json").json
    for row, printed in {
        "`sweep`": sweep,
        "its `failures`": sweep["failures"][0],
        "`replay`": simnet("replay", failure, "--trace", "--json").json,
        "`show FILE`": simnet("show", failure, "--json").json,
        "`show PATH::TEST`": simnet("show", "test_servers.py::test_echo", "--json").json,
        "`conform`": simnet("conform", "--programs", 1, "--coverage", "--json").json,
    }.items():
        assert [key for key in printed if f"`{key}`" not in rows[row]] == [], row


# --- words -----------------------------------------------------------------------------------------------------------


def test_each_word_that_a_report_may_have_in_brackets_is_explained(simnet: Run) -> None:
    listed = simnet("explain").out
    counted = ("equal", "noted", "interrupted", "unreached", "akin", "transparent", "disruptive", "target", "baseline")
    for word in (*RULES, "Deadlock", "Spin", "NotRepeatable", "NothingToTest", *counted, *KINDS):
        assert word in listed
        ran = simnet("explain", f"[{word}]")
        assert ran.code == 0
        assert ran.out.splitlines()[1] == word
        assert word in KINDS or "\nto do     " in ran.out, ran.out
        assert "`" not in ran.out
    assert 'invariants={"no-spin": "failure"}, or "warning", or "off: why"' in simnet("explain", "no-spin").out
    assert "a warning, whatever fault fired" in simnet("explain", "datagrams-told-apart").out
    for spelt, word in (("No-Spin", "no-spin"), ("faults.WouldBlock", "would-block"), ("hang", "Hang")):
        assert simnet("explain", spelt).out.splitlines()[1] == word
    assert "the very run that failed" in simnet("explain", "exact").out  # a word of a replay
    ran = simnet("explain", "listener-survive")
    assert (ran.code, "did you mean 'listener-survives'?" in ran.err) == (2, True)


@pytest.mark.slow
def test_a_plan_is_made_small_in_its_file_and_what_a_person_wrote_stays(simnet: Run, failure: Path) -> None:
    small = failure.read_text()
    assert (
        simnet("shrink", failure)
        .out.strip()
        .endswith("It is as small as it gets: short-recv test->server:7#1 end=server call=1 bytes=1")
    )
    assert failure.read_text() == small
    line = '\n[[fault]]\nkind = "split"\non = "test->server:7#1"\nend = "client"\nbyte = 3\n'
    failure.write_text("# mine\n" + small.replace("bytes = 1", "bytes = 2") + line)
    ran = simnet("shrink", failure)
    assert ran.code == 0
    assert "before  short-recv test->server:7#1 end=server call=1 bytes=2" in ran.out
    assert f"Written to {failure}." in ran.out
    now = failure.read_text()
    assert now.startswith("# mine\n")
    assert now.replace("# mine\n", "") == small
    assert simnet("replay", failure).out.count("replay: exact") == 1
    failure.write_text(small.replace("call = 1", "call = 9"))
    refused = simnet("shrink", failure)
    assert (refused.code, "it does not fail (equal), so there is nothing to make small" in refused.err) == (2, True)


def test_what_a_person_wrote_at_a_fault_that_stays_stays_with_it(simnet: Run, failure: Path) -> None:
    head, _, fault = failure.read_text().partition("[[fault]]\n")
    lines = fault.replace("bytes = 1", "bytes = 2  # two will do").splitlines()
    mine = ["# the one that matters", "[[fault]]", "# see #123", *lines]
    other = [
        "",
        "# this one perhaps not",
        "[[fault]]  # or is it",
        'kind = "split"',
        'on = "test->server:7#1"',
        'end = "client"',
        "byte = 3  # any",
    ]
    failure.write_text(head + "\n".join([*other, "", *mine, ""]))
    assert simnet("shrink", failure).code == 0
    now = failure.read_text()
    assert now.startswith(head)
    assert now.removeprefix(head).strip().splitlines() == [
        "# the one that matters",
        "[[fault]]",
        "# see #123",
        *fault.replace("bytes = 1", "bytes = 1  # two will do").splitlines(),
    ]


# --- what cannot be --------------------------------------------------------------------------------------------------

REFUSED = [
    pytest.param(("sweep", "gone.py"), "simnet sweep: gone.py: there is no such file; there is test_servers.py", id="no-file"),
    pytest.param(("sweep", "."), "simnet sweep: . is a folder; name a test file in it", id="a-folder"),
    pytest.param(("sweep", ""), "simnet sweep: no file is named; name a test, as in", id="no-name"),
    pytest.param(("sweep", "test_servers.py::test_ech"), "there is no 'test_ech' in *did you mean 'test_echo'?", id="no-test"),
    pytest.param(("sweep", "servers.py"), "simnet sweep: servers.py holds no test decorated with @simnet.sweep", id="no-sweep"),
    pytest.param(("sweep", "test_servers.py", "--kinds", "rest"), "--kinds rest: 'rest' is no kind of fault; did you mean 'reset'?", id="no-kind"),
    pytest.param(("sweep", "test_servers.py", "--runs", "0"), "--runs=0: at least 1", id="no-runs"),
    pytest.param(("show", "test_servers.py"), "names a file and no test; write test_servers.py::test_echo", id="show-a-file"),
    pytest.param(("replay", "gone.toml"), "simnet replay: gone.toml: cannot be read: No such file or directory", id="no-scenario"),
    pytest.param(("keep", "gone.toml"), "simnet keep: gone.toml: cannot be read", id="keep-nothing"),
    pytest.param(("sweeep", "x"), "No such command 'sweeep'", id="no-command"),
    pytest.param(("sweep",), "Missing argument 'PATH::TEST'", id="no-argument"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), REFUSED)
def test_what_cannot_be_done_is_refused_with_2_and_a_remedy(simnet: Run, arguments: tuple[str, ...], told: str) -> None:
    ran = simnet(*arguments)
    assert ran.code == 2
    assert re.search(".*".join(re.escape(part) for part in told.split("*")), ran.err), ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            'kind = "short-recv"', 'kind = "short-rec"', r":12: .*did you mean 'short-recv'\?", id="unknown-kind"
        ),
        pytest.param('on = "test->server:7#1"', 'on = "server 7"', r":13: ", id="bad-anchor"),
        pytest.param("::test_hasty", "::test_hast", r":4: .*did you mean 'test_hasty'\?", id="missing-test"),
        pytest.param("format = 1", "format = 2", r":2: .*written by a later version", id="later-format"),
        pytest.param("[[fault]]", "[fault]", r":10: ", id="no-list"),
        pytest.param("format = 1", "format = 1,", r":2: is no TOML", id="no-toml"),
    ],
)
@pytest.mark.parametrize("command", ["replay", "show", "keep"])
def test_a_wrong_scenario_names_file_and_line(
    simnet: Run, failure: Path, command: str, old: str, new: str, told: str
) -> None:
    edited(failure, old, new)
    ran = simnet(command, failure)
    assert ran.code == 2
    assert re.search(re.escape(str(failure)) + told, ran.err), ran.err
    assert "Traceback" not in ran.err


def test_how_long_a_run_on_real_sockets_may_take_is_an_option(simnet: Run, failure: Path) -> None:
    edited(failure, 'kind = "short-recv"', 'kind = "stall"')
    edited(failure, "call = 1\nbytes = 1", "byte = 1\nseconds = 0.05")
    ran = simnet("replay", failure, "--real", "--seconds", "0.08")
    assert ran.code == 2
    assert "it takes 0.05 s of real time, and the run has 0.08: more by seconds=, --seconds in a command" in ran.err
    ran = simnet("replay", failure, "--seconds", "60")
    assert (ran.code, "--seconds is for --real: on simnet time is virtual" in ran.err) == (2, True)


@pytest.mark.slow
def test_a_run_on_real_sockets_may_not_take_for_ever(simnet: Run, failure: Path) -> None:
    ran = simnet("replay", "--real", "--seconds", "inf", failure)
    assert ran.code == 2
    assert ran.err.endswith("seconds=inf is no time for a run; it is more than 0, and at most 4e+09\n")


@pytest.mark.slow
def test_a_run_on_real_sockets_that_was_cut_short_is_told_with_the_option_that_gives_it_more(
    simnet: Run, failure: Path
) -> None:
    forget_modules()
    edited(Path("servers.py"), "import socket", "import socket, time")
    edited(Path("servers.py"), "if word:", "if word != b'hello': time.sleep(9)\n                    if word:")
    ran = simnet("replay", failure, "--real", "--seconds", "0.5")
    assert ran.code == 1
    assert "not ended there when its time was up" in ran.out
    assert "A run had 0.5 s; --seconds gives it more." in ran.out


def test_what_a_file_prints_while_it_is_imported_is_not_among_the_json(simnet: Run) -> None:
    Path("test_prints.py").write_text(
        "import simnet\nfrom test_servers import test_echo\nprint('hello')\n@simnet.sweep(target='server', kinds='refuse')\n"
        "def test_prints(net):\n    test_echo.simnet_test(net)\n"
    )
    for command in (("sweep", "test_prints.py"), ("show", "test_prints.py::test_prints")):
        ran = simnet(*command, "--json")
        assert ran.json
        assert "hello" not in ran.out


def test_a_test_file_that_cannot_be_imported_says_where(
    simnet: Run, failure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_modules()
    Path("servers.py").write_text("import nothing_of_that_name\n")
    ran = simnet("replay", failure)
    assert ran.code == 2
    said = "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name' (servers.py:1)"
    assert ran.err.rstrip().endswith(said)
    Path("conftest.py").write_text("import sys; sys.path.append('elsewhere')\n")
    ran = simnet("replay", failure)
    told = " ".join(ran.err.split())
    assert f"{said} (pytest alone reads " in told
    assert told.endswith(
        f"conftest.py). Run it with pytest: pytest test_servers.py::test_hasty --simnet-replay {failure}"
    )


def test_a_file_of_tests_that_needs_its_conftest_says_how_to_run_it(simnet: Run) -> None:
    Path("elsewhere").mkdir()
    Path("servers.py").rename("elsewhere/servers.py")
    Path("conftest.py").write_text("import sys; sys.path.append('elsewhere')\n")
    for command, remedy in (
        ("sweep", "Run it with pytest: pytest test_servers.py, with --simnet-runs, --simnet-kinds"),
        ("fuzz", "pytest sweeps it, and fuzzes nothing: pytest test_servers.py"),
    ):
        ran = simnet(command, "test_servers.py")
        assert ran.code == 2
        assert f"conftest.py). {remedy}" in " ".join(ran.err.split())


def test_a_package_in_src_that_nothing_says_is_there_is_told(simnet: Run) -> None:
    Path("src").mkdir()
    Path("servers.py").rename("src/servers.py")
    ran = simnet("sweep", "test_servers.py")
    assert ran.code == 2
    told = " ".join(ran.err.split())
    assert "No module named 'servers' (test_servers.py:" in told
    assert told.endswith('; it is in src: install the project (pip install -e .), or give pytest pythonpath = ["src"]')
    settings = Path("pyproject.toml")
    settings.write_text(settings.read_text() + '\n[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    assert simnet("sweep", "test_servers.py::test_echo").code == 0


def test_an_option_that_a_decorator_refuses_is_told_and_nothing_else(simnet: Run) -> None:
    tests = Path("test_servers.py")
    tests.write_text(f'{tests.read_text()}\n\n@simnet.sweep(kinds="reset,split")\ndef test_both(net):\n    pass\n')
    ran = simnet("sweep", "test_servers.py")
    assert ran.code == 2
    assert "in Python several are a list: ['reset', 'split'] (test_servers.py:" in ran.err
    assert "it sweeps when it is imported" not in ran.err


def test_a_script_that_sweeps_when_it_is_imported_is_told_what_to_do(simnet: Run) -> None:
    script = Path("script.py")
    script.write_text("import simnet\nfrom test_servers import test_hasty as body\n\nsimnet.check(body)\n")
    ran = simnet("show", "script.py::body")
    assert ran.code == 2
    assert 'it sweeps when it is imported: put that below `if __name__ == "__main__":`' in ran.err
    script.write_text(script.read_text().replace("simnet.check", 'if __name__ == "__main__":\n    simnet.check'))
    assert simnet("show", "script.py::body").code == 0


def test_a_test_with_fixtures_is_left_to_pytest(simnet: Run) -> None:
    text = Path("test_servers.py").read_text()
    Path("test_servers.py").write_text(text.replace("def test_echo(net)", "def test_echo(net, tmp_path)"))
    ran = simnet("sweep", "test_servers.py::test_echo")
    assert ran.code == 2
    assert "takes tmp_path, which pytest provides. Run it with pytest: pytest test_servers.py::test_echo" in ran.err


def test_a_replay_on_real_sockets_is_left_to_pytest_on_real_sockets(simnet: Run, failure: Path) -> None:
    forget_modules()
    text = Path("test_servers.py").read_text()
    Path("test_servers.py").write_text(text.replace("def test_hasty(net)", "def test_hasty(net, tmp_path)"))
    command = f"Run it with pytest: pytest test_servers.py::test_hasty --simnet-replay {failure}"
    for options in ((), ("--real",), ("--real", "--seconds", "90")):
        told = " ".join(simnet("replay", failure, *options).err.split())
        more = "".join(
            f" --simnet-{each.removeprefix('--')}" if each.startswith("--") else f" {each}" for each in options
        )
        assert told.endswith(f"{command}{more}")


@pytest.mark.slow
def test_a_test_that_a_conftest_sets_up_is_not_played_without(simnet: Run, failure: Path) -> None:
    Path("conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef other(): ...\n\n@pytest.fixture(autouse=True)\ndef database(): ...\n"
    )
    around = "database in conftest.py, which pytest calls"
    for command in (("replay",), ("shrink",), ("keep", "--reason", "#123")):
        ran = simnet(*command, failure)
        assert ran.code == 2
        assert f"test_servers.py::test_hasty is set up by {around}. " in " ".join(ran.err.split())
    # A sweep may do without, and says so of what fails.
    for command in (("sweep",), ("fuzz", "--seeds", "20")):
        told = " ".join(simnet(*command, "test_servers.py::test_hasty").out.split())
        assert told.endswith(f"It ran without {around} around each test: pytest test_servers.py::test_hasty") or (
            command[0] == "fuzz" and f"It ran without {around} around each test" in told
        )
        assert "It ran without" not in simnet(*command, "test_servers.py::test_echo").out
    Path("conftest.py").write_text("is no Python\n")
    assert simnet("replay", failure).code == 1


def test_what_pytest_does_not_do_either_is_not_promised(simnet: Run, failure: Path) -> None:
    forget_modules()
    text = Path("test_servers.py").read_text()
    Path("test_servers.py").write_text(text.replace("def test_hasty(net)", "def test_hasty(net, tmp_path)"))
    command = f"pytest test_servers.py::test_hasty --simnet-replay {failure}"
    ran = simnet("shrink", failure)
    assert ran.code == 2
    assert f"pytest plays it, and makes no plan smaller: {command}" in " ".join(ran.err.split())
    ran = simnet("keep", failure, "--reason", "#123")
    told = " ".join(ran.err.split())
    assert ran.code == 2
    assert f"pytest plays it, and says how it fails: {command}. Write that into the file" in told
    assert 'expect = { error = "TypeError", at = "handle_accept", reason = "#123" }' in told


@pytest.mark.slow
def test_of_a_file_what_needs_no_pytest_is_done_and_the_rest_is_told_last(simnet: Run) -> None:
    text = Path("test_servers.py").read_text()
    more = "\n\n@simnet.sweep(target='server')\ndef test_more(net, tmp_path): ...\n"
    Path("test_servers.py").write_text(text + more)
    left = "test_servers.py::test_more takes tmp_path, which pytest provides. "
    command = "pytest test_servers.py::test_more"
    remedies = {
        "sweep": f"Run it with pytest: {command}, with --simnet-runs",
        "fuzz": f"pytest sweeps it, and fuzzes nothing: {command}",
    }
    both = ["test_servers.py::test_echo", "test_servers.py::test_hasty"]
    ran = simnet("sweep", "test_servers.py", "--json")
    assert [each["test"] for each in ran.json] == both
    assert any(each["failures"] for each in ran.json)
    assert (ran.code, left in ran.err) == (1, True)
    for command in (("sweep", "--kinds", "refuse"), ("fuzz", "--seeds", "1", "--kinds", "refuse")):
        ran = simnet(command[0], "test_servers.py", *command[1:], "--json")
        assert [each["test"] for each in ran.json] == both
        assert (ran.code, ran.err.startswith(f"simnet {command[0]}: {left}{remedies[command[0]]}")) == (2, True)


@pytest.mark.slow
def test_of_a_file_the_others_are_swept_where_one_cannot_be(simnet: Run) -> None:
    text = Path("test_servers.py").read_text()
    Path("test_servers.py").write_text(text.replace("def test_echo(net):\n", "def test_echo(net):\n    return\n"))
    for command in (("sweep",), ("fuzz", "--seeds", "20")):
        ran = simnet(command[0], "test_servers.py", *command[1:], "--json")
        assert [each["test"] for each in ran.json if each["untried"] is None] == ["test_servers.py::test_hasty"]
        assert ran.code == 1
        assert ran.err.startswith("test_servers.py::test_echo: NothingToTest: target=server: ")
        ran = simnet(command[0], "test_servers.py::test_echo", *command[1:])
        assert (ran.code, f"simnet {command[0]}: NothingToTest: " in ran.err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pytest.skip('no IPv6')", "Skipped: no IPv6"),
        ("raise unittest.SkipTest('no IPv6')", "SkipTest: no IPv6"),
        ("pytest.xfail('#12')", "XFailed: #12"),
    ],
)
def test_a_test_that_does_not_want_to_be_run_here_has_no_failure(simnet: Run, line: str, told: str) -> None:
    more = f"\n\n@simnet.sweep\ndef test_elsewhere(net): {line}\n"
    Path("test_servers.py").write_text("import pytest, unittest\n" + Path("test_servers.py").read_text() + more)
    told = f"NothingToTest: the test does not want to be run here: {told}\n"
    for command in (("sweep", "--kinds", "refuse"), ("fuzz", "--seeds", "1", "--kinds", "refuse")):
        ran = simnet(command[0], "test_servers.py::test_elsewhere", *command[1:])
        assert (ran.code, ran.out, ran.err) == (2, "", f"simnet {command[0]}: {told}")
        ran = simnet(command[0], "test_servers.py", *command[1:], "--json")
        tried = [each["test"].rpartition("::")[2] for each in ran.json if each["untried"] is None]
        assert tried == ["test_echo", "test_hasty"]
        assert (ran.code, ran.err) == (2, f"simnet {command[0]}: test_servers.py::test_elsewhere: {told}")


def test_a_test_with_a_set_up_is_left_to_pytest_too(simnet: Run) -> None:
    head = "import unittest, pytest, simnet\n"
    body = "\n\n    @simnet.sweep\n    def test_it(self, net): ...\n"
    for source, name in (
        ("class TestIt(unittest.TestCase):\n    def setUp(self): ...", "TestIt.setUp"),
        ("class TestIt:\n    def setup_method(self): ...", "TestIt.setup_method"),
        ("class TestIt:\n    @pytest.fixture(autouse=True)\n    def state(self): ...", "TestIt.state"),
        ("def setup_module(): ...\n\nclass TestIt:", "setup_module"),
    ):
        forget_modules("test_groups")
        Path("test_groups.py").write_text(head + source + body)
        ran = simnet("sweep", "test_groups.py")
        assert ran.code == 2
        assert (
            f"test_groups.py::TestIt::test_it is set up by {name}, which pytest calls. Run it with pytest: " in ran.err
        )
    forget_modules("test_groups")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["function", "class", "module"])
@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("usefixtures('database', 'mailbox')", "uses database, mailbox, which pytest provides"),
        ("skip('not today')", "is marked skip, which pytest goes by"),
        ("skipif(True, reason='not here')", "is marked skipif, which pytest goes by"),
        ("xfail", "is marked xfail, which pytest goes by"),
    ],
    ids=["usefixtures", "skip", "skipif", "xfail"],
)
def test_a_test_with_a_mark_that_pytest_goes_by_is_left_to_it_too(
    simnet: Run, place: str, mark: str, told: str
) -> None:
    marks = dict.fromkeys(("function", "class", "module"), "")
    marks[place] = f"pytest.mark.{mark}"
    Path("test_marked.py").write_text(
        f"import pytest, simnet\npytestmark = [{marks['module']}]\n\n"
        f"class TestIt:\n    pytestmark = [{marks['class']}]\n\n"
        f"    {'@' * bool(marks['function'])}{marks['function']}\n    @simnet.sweep\n    def test_it(self, net): ...\n"
    )
    for command in ("sweep", "fuzz", "show"):
        ran = simnet(command, "test_marked.py::TestIt::test_it")
        assert ran.code == 2
        assert f"test_marked.py::TestIt::test_it {told}. " in ran.err
    forget_modules("test_marked")


def test_a_file_stands_for_the_methods_of_its_classes_too(simnet: Run) -> None:
    Path("test_groups.py").write_text(
        "import unittest, simnet\nfrom test_servers import talk\nfrom servers import echo\n\n"
        "class TestIt(unittest.TestCase):\n    @simnet.sweep(target='server', kinds=['refuse'])\n"
        "    def test_it(self, net):\n        net.host('server').spawn(echo, 7)\n        self.assertEqual(talk(b'a'), b'a')\n"
    )
    ran = simnet("sweep", "test_groups.py", "--json")
    assert [each["test"] for each in ran.json] == ["test_groups.py::TestIt::test_it"]
    assert simnet("sweep", "test_groups.py::TestIt").err == (
        "simnet sweep: test='test_groups.py::TestIt' is a class; name a method of it: test_groups.py::TestIt::test_name\n"
    )
    forget_modules("test_groups")


STOPS = """
import simnet
from servers import echo
from test_servers import talk

@simnet.sweep(target="server", kinds="split")
def test_it(net):
    net.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
    word = "here"
    breakpoint()
    print("and on")

if __name__ == "__main__":
    simnet.check(test_it, plan="split test->server:7#1 end=server byte=1")
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [("-m", "simnet", "sweep", "test_it.py"), ("test_it.py",)])
def test_a_breakpoint_in_a_run_that_is_not_heard_is_seen_all_the_same(tmp_path: Path, command: tuple[str, ...]) -> None:
    lay_out(tmp_path)
    (tmp_path / "test_it.py").write_text(STOPS)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, input="p word\nc\nq\n", capture_output=True, text=True, check=False
    )
    assert re.search(r"^> .*test_it\.py\(\d+\)test_it\(\)$", done.stdout, re.MULTILINE), done.stdout
    assert "(Pdb) 'here'\n(Pdb) and on\n" in done.stdout


def test_what_only_a_strict_sweep_calls_a_failure_is_red_in_its_file(simnet: Run) -> None:
    assert simnet("sweep", "test_servers.py::test_echo", "--strict", "--first", "--kinds", "reset").code == 1
    (file,) = Path(".simnet/failures").glob("*/*.toml")
    ran = simnet("replay", file)
    assert ran.code == 1
    assert "replay: exact; interrupted by a disruptive fault" in ran.out
    assert "expected was the baseline's outcome; the run was interrupted by a disruptive fault: the test raised" in (
        " ".join(ran.out.split())
    )


MARKED = """
import pytest, simnet
from servers import echo
from test_servers import talk

pytestmark = pytest.mark.simnet(target="server", kinds="split")

def body(net):
    net.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"

@pytest.mark.simnet(kinds="reset")
class Marked:
    @simnet.sweep
    def test_it(self, net):
        body(net)

class TestIt(Marked):
    class TestInner:
        @pytest.mark.simnet(strict=True)
        @simnet.sweep(kinds="refuse")
        def test_it(self, net):
            body(net)

@simnet.sweep
def test_it(net):
    body(net)

@pytest.mark.simnet(strikt=True)
@simnet.sweep
def test_wrong(net):
    body(net)

@pytest.mark.simnet(runs=0)
@simnet.sweep
def test_none(net):
    body(net)
"""


@pytest.mark.slow
def test_marks_change_what_a_command_does_as_they_do_under_pytest(simnet: Run) -> None:
    Path("test_marks.py").write_text(MARKED)
    for test, kinds, failed in (("test_it", ["split"], False), ("TestIt::test_it", ["reset"], False)):
        (swept,) = simnet("sweep", f"test_marks.py::{test}", "--json").json
        assert ([each["kind"] for each in swept["kinds"]], not swept["ok"]) == (kinds, failed)
    ran = simnet("sweep", "test_marks.py::TestIt::TestInner::test_it")
    assert ran.code == 1
    (file, *_) = Path(".simnet/failures").glob("*/*.toml")
    assert "replay: exact; " in simnet("replay", file).out
    told = "simnet sweep: test_marks.py::test_wrong: @pytest.mark.simnet has no option 'strikt'; did you mean 'strict'?"
    assert simnet("sweep", "test_marks.py::test_wrong").err.rstrip() == told
    told = "simnet sweep: test_marks.py::test_none: @pytest.mark.simnet: runs=0: at least 1, or nothing is swept"
    assert simnet("sweep", "test_marks.py::test_none").err.rstrip() == told
    forget_modules("test_marks")


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("test_odd", "test_kinds.py:1: test_odd is `async def`: called, it returns at once and would pass without"),
        ("test_even", "test_kinds.py:2: test_even is a generator (it holds `yield`): called, it returns at once"),
        ("TestMade::test_it", "no TestMade can be made: TypeError: TestMade.__init__() missing 1 required positional"),
        (
            "test_alone",
            "test_alone takes no network: it sweeps by itself, with the options that pytest is given. ",
        ),
        (
            "test_none",
            "test_none takes no network. Give it one, def test_none(net), and decorate it with @simnet.sweep\n",
        ),
        (
            "test_bare",
            "test_bare takes cache, which pytest provides. Decorate it with @simnet.sweep: then pytest gives it a network, ",
        ),
        (
            "test_fixed",
            "test_fixed takes cache, which pytest provides. ",
        ),
        ("TestEmpty::test_it", "there is no 'test_it' in "),
    ],
)
def test_what_nobody_could_call_is_refused_by_name(simnet: Run, test: str, told: str) -> None:
    Path("test_kinds.py").write_text(
        "async def test_odd(net): ...\n"
        "def test_even(net): yield\n"
        "class TestMade:\n    def __init__(self, of): ...\n    def test_it(self, net): ...\n"
        "class TestEmpty: ...\n"
        "import simnet\n"
        "def test_alone(): simnet.check(test_odd)\n"
        "def test_none(): ...\n"
        "def test_bare(net, cache): ...\n"
        "def test_fixed(simnet_network, cache): ...\n"
    )
    for command in ("sweep", "show"):
        ran = simnet(command, f"test_kinds.py::{test}")
        assert ran.code == 2
        assert told in ran.err
        assert not ran.err.rstrip().endswith("known are")
        assert ("Decorate it" in ran.err) == (test == "test_bare")
    forget_modules("test_kinds")


@pytest.mark.slow
def test_a_file_stands_for_all_that_pytest_finds_in_it(simnet: Run) -> None:
    Path("test_kinds.py").write_text(
        "import unittest, simnet\nfrom test_servers import talk, test_echo\nfrom servers import echo\n\n"
        "class Request:\n    def __getattr__(self, name):\n        raise RuntimeError('outside of a request')\n\n"
        "request = Request()\n"
        "sweep = simnet.sweep(target='server', kinds=['refuse'])\n"
        "def body(net):\n    net.host('server').spawn(echo, 7)\n    assert talk(b'a') == b'a'\n\n"
        "class Shared:\n    @sweep\n    def test_it(self, net):\n        body(net)\n\n"
        "class TestOne(Shared):\n    class TestInner(Shared): ...\n"
        "class Two(Shared, unittest.TestCase): ...\n"
        "class TestNot(Shared):\n    __test__ = False\n"
        "class TestMade(Shared):\n    def __init__(self, of): ...\n"
        "test_assigned = sweep(body)\n"
        "if True:\n    @sweep\n    def test_below(net):\n        body(net)\n"
    )
    ran = simnet("sweep", "test_kinds.py", "--json")
    assert [each["test"].removeprefix("test_kinds.py::") for each in ran.json] == [
        *("test_echo", "TestOne::test_it", "TestOne::TestInner::test_it", "Two::test_it", "test_assigned", "test_below")
    ]
    Path("program.py").write_text("import servers\nraise SystemExit('it was started')\n")
    assert simnet("sweep", "program.py").err == (
        "simnet sweep: program.py holds no test decorated with @simnet.sweep; name a function of a network: "
        "program.py::test_name\n"
    )


@pytest.mark.slow
def test_a_test_that_differs_from_run_to_run_is_not_swept(simnet: Run) -> None:
    Path("test_dice.py").write_text(
        "import simnet\nfrom test_servers import talk\nfrom servers import echo\nruns = []\n\n"
        "@simnet.sweep\ndef test_dice(net):\n    runs.append(1)\n    net.host('server').spawn(echo, 7)\n"
        "    talk(b'a' * len(runs))\n"
    )
    ran = simnet("sweep", "test_dice.py")
    assert ran.code == 2
    assert "NotRepeatable: two runs without faults differ" in ran.err


@pytest.mark.slow
def test_ctrl_c_stops_a_sweep_at_once_and_tells_what_was_found(tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / "test_long.py").write_text(
        "import simnet\nfrom test_servers import talk\nfrom servers import echo\n\n"
        '@simnet.sweep(target="server", runs=1_000_000)\ndef test_long(net):\n'
        '    with open("runs", "ab") as runs:\n        runs.write(b".")\n'
        '    net.host("server").spawn(echo, 7)\n    assert talk(b"hello" * 20_000) == b"hello" * 20_000\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "simnet", "sweep", "test_long.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        runs, deadline = tmp_path / "runs", time.monotonic() + START
        while not runs.exists() or runs.stat().st_size < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        try:
            told, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # the interpreter drops a KeyboardInterrupt that arises in a finalizer
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=START)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, told
    assert "; stopped by Ctrl-C; " in " ".join(told.split())
    assert "Traceback" not in told
