"""The scenario file: what is written, what is read, what each mistake is told, and how its test is found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from simnet import faults
from simnet.expect import RULES, Expect, Found, ScenarioError
from simnet.explore.judging.table import BOUNDS, TABLE
from simnet.faults import FaultPlan
from simnet.invariants import NAMES
from simnet.project.nodeid import NodeId, beside, project_root
from simnet.scenario import Scenario, load_test

SEND = faults.PartialSend("client->server:7#1", end="server", call=2, bytes=3)
SLOW = Scenario(
    "scenarios/echo/test_echo.py::test_slow_reader",
    (SEND,),
    title="the reply is lost when the peer reads slowly and the handler closes",
    found=Found(by="sweep", runs=214, kernel="confirmed"),
)

WRITTEN = """\
# Played by `pytest` and by `simnet replay`. Edit it: another call, another byte, another kind.
format = 1
title = "the reply is lost when the peer reads slowly and the handler closes"
test = "scenarios/echo/test_echo.py::test_slow_reader" # from the project's root
expect = {outcome = "baseline"}
schedule = "fifo"
found = {by = "sweep", runs = 214, kernel = "confirmed"}

[[fault]]
# the 2nd send by server on client->server:7#1 took only 3 bytes of what it was given (transparent)
kind = "partial-send"
on = "client->server:7#1"
end = "server"
call = 2
bytes = 3
"""

HEAD = 'format = 1\ntest = "tests/test_echo.py::test_echo"\n'

Make = Callable[[str, str], Path]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A small project; what its tests import is forgotten afterwards."""
    (tmp_path / "pyproject.toml").touch()
    known = set(sys.modules)
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path, "sys.path has leaked"
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def make(project: Path) -> Make:
    def make(name: str, text: str) -> Path:
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return make


# ---- writing --------------------------------------------------------------------------------------------------------


def test_a_scenario_is_written_for_people() -> None:
    assert SLOW.dumps() == WRITTEN


def test_what_people_write_by_hand_is_read() -> None:
    by_hand = """
        format = 1
        title = "accept finds nobody, though the listener was readable"
        test = "test_echo.py::test_echo"
        target = "server"
        expect = { error = "TypeError", at = "handle_accept", reason = "#123" }   # known
        [[fault]]
        kind = "would-block"
        on = "server:7"
        op = "accept"
        call = 1
        [[fault]]
        kind = "stall"
        on = "*->*:*#1"
        end = "server"
        byte = 0
        seconds = 1
    """

    assert Scenario.loads(by_hand) == Scenario(
        "test_echo.py::test_echo",
        (
            faults.WouldBlock("server:7", op="accept", call=1),
            faults.Stall("*->*:*#1", end="server", byte=0, seconds=1.0),
        ),
        title="accept finds nobody, though the listener was readable",
        target=("server",),
        expect=Expect(error="TypeError", at="handle_accept", reason="#123"),
    )


def test_a_scenario_without_faults_is_the_baseline() -> None:
    assert Scenario.loads(HEAD).plan == FaultPlan()
    assert "fault" not in Scenario.loads(HEAD).dumps()


def test_the_files_name_follows_from_what_is_played(tmp_path: Path) -> None:
    plan = FaultPlan((SEND,), "pct:3", 4)
    scenario = Scenario.of("tests/test_echo.py::Echo::test_echo[a/b]", plan, title="One: reply, lost!")

    assert scenario.plan == plan
    assert len(scenario.digest()) == 8
    assert scenario.digest() == Scenario.of(scenario.test, plan, expect=Expect(interrupted=True)).digest()
    assert scenario.digest() == Scenario.of(scenario.test, str(plan)).digest()
    assert scenario.digest() != Scenario.of(scenario.test, FaultPlan((SEND,), "pct:3", 5)).digest()
    assert scenario.digest() != Scenario.of(scenario.test, plan, target=("server",)).digest()
    assert SLOW.digest() == "a091607e"  # the same on every machine
    assert scenario.failure_path(tmp_path) == tmp_path / f".simnet/failures/Echo.test_echo-a-b/{scenario.digest()}.toml"
    assert scenario.kept_path(tmp_path) == tmp_path / "scenarios/Echo.test_echo-a-b/one-reply-lost.toml"
    assert Scenario(scenario.test, title="Über Gräben").kept_path(tmp_path).stem == "uber-graben"
    assert len(Scenario(scenario.test, title="word " * 30).kept_path(tmp_path).stem) <= 60
    assert Scenario(scenario.test).kept_path(tmp_path).stem == Scenario(scenario.test).digest()


def test_parameters_of_any_length_have_a_folder_of_their_own(tmp_path: Path) -> None:
    one, other = (Scenario(f"t.py::test_größe[{'x' * 300}{end}]") for end in "ab")
    assert one.failure_path(tmp_path).parent != other.failure_path(tmp_path).parent
    for each in (one, other, Scenario(f"t.py::{'größe' * 50}")):
        each.write(each.failure_path(tmp_path))
        each.write(each.kept_path(tmp_path))


def test_a_file_is_written_whole_with_the_folders_above_it(project: Path) -> None:
    path = SLOW.write(SLOW.failure_path(project))

    assert path.read_text() == WRITTEN
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert Scenario.read(path, check=False) == SLOW


@pytest.mark.parametrize(
    ("expect", "words", "known"),
    [
        (Expect(), "the baseline's outcome", False),
        (Expect(interrupted=True), "interrupted", False),
        (Expect(error="TypeError", at="handle_accept", reason="#123"), "TypeError at handle_accept (#123)", True),
        (Expect(invariant="no-spin"), "no-spin broken", True),
        (Expect(invariant="outcome", reason="#1"), "another outcome (#1)", True),
        (Expect(invariant="body-waits"), "body-waits", True),
    ],
)
def test_what_is_expected_in_words(expect: Expect, words: str, known: bool) -> None:
    assert str(expect) == words
    assert expect.known is known


def test_a_scenario_may_expect_that_any_rule_is_broken_that_a_report_names() -> None:
    assert set(RULES) == {*NAMES, *TABLE, *BOUNDS} - {"broken"}
    for name in RULES:
        assert Expect(invariant=name).known


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        pytest.param("", None, "format is missing; write format = 1", id="empty"),
        pytest.param("format = 1", None, 'test is missing; write test = "tests/test_echo.py::test_echo"', id="no-test"),
        pytest.param(
            'format = 2\ntest = "t.py::t"',
            1,
            "format=2 was written by a later version of simnet; this one reads format 1",
            id="later-format",
        ),
        pytest.param(
            'format = "1"\ntest = "t.py::t"', 1, "format='1' is str; it is a whole number, 1", id="format-text"
        ),
        pytest.param(
            'format = 1\ntset = "t.py::t"', 2, "'tset' is no key of a scenario; did you mean 'test'?", id="unknown-key"
        ),
        pytest.param("format = 1\ntest = 5", 2, "test=5 is int", id="test-number"),
        pytest.param('format = 1\ntest = "t.py"', 2, "'t.py' names no function", id="test-without-function"),
        pytest.param('format = 1\ntest = "../t.py::t"', 2, "leads outside the project", id="test-outside"),
        pytest.param(
            'format = 1\ntest = "/t.py::t"',
            2,
            "test='/t.py::t' begins with '/'; a test is written 'tests/test_echo.py::test_echo', the file's path from the project's root",
            id="test-absolute",
        ),
        pytest.param('format = 1\ntest = "t.txt::t"', 2, "'t.txt' is no Python file", id="test-no-python"),
        pytest.param('format = 1\ntest = "t.py::a b"', 2, "'a b' is no name of a function", id="test-no-name"),
        pytest.param(HEAD + "title = 5", 3, "title=5 is int; it is a text", id="title"),
        pytest.param(
            HEAD + "target = [5]", 3, "target=[5] is list; it is a host's name, or several in a list", id="target"
        ),
        pytest.param(
            HEAD + 'expect = "baseline"', 3, 'it is a table, as in expect = { outcome = "baseline" }', id="expect-text"
        ),
        pytest.param(
            HEAD + 'expect = { outcom = "baseline" }',
            3,
            "expect: 'outcom' is no key of expect; did you mean 'outcome'?",
            id="expect-key",
        ),
        pytest.param(
            HEAD + 'expect = { outcome = "other" }',
            3,
            "outcome='other' is unknown; it is 'baseline'",
            id="expect-outcome",
        ),
        pytest.param(
            HEAD + 'expect = { error = "A", invariant = "b" }', 3, "here is error and invariant", id="expect-two"
        ),
        pytest.param(
            HEAD + 'expect = { invariant = "no-spinn" }',
            3,
            "expect: invariant='no-spinn' is no rule that can be broken; did you mean 'no-spin'?",
            id="expect-no-invariant",
        ),
        pytest.param(HEAD + "expect = {}", 3, "expect={} expects nothing; leave it out, or write", id="expect-nothing"),
        pytest.param(HEAD + 'expect = { reason = "#1" }', 3, "here is none of them", id="expect-only-a-reason"),
        pytest.param(
            HEAD + 'expect = { outcome = "baseline", reason = "#1" }',
            3,
            "excuses a failure, but none is expected",
            id="expect-needless-reason",
        ),
        pytest.param(
            HEAD + 'expect = { at = "x" }', 3, 'say which one, as in error = "TypeError"', id="expect-at-of-nothing"
        ),
        pytest.param(
            HEAD + "expect = { interrupted = 1 }",
            3,
            "interrupted=1 is int; it is true, or left out",
            id="expect-interrupted",
        ),
        pytest.param(
            HEAD + "expect = { interrupted = false }",
            3,
            'interrupted=false expects nothing: what no fault may interrupt ends as without faults, so write outcome = "baseline"',
            id="expect-not-interrupted",
        ),
        pytest.param(
            HEAD + '[expect]\ninvariant = ""',
            3,
            "invariant='' is str; it is a text that says something",
            id="expect-table",
        ),
        pytest.param(
            HEAD + 'found = { by = "x", run = 2 }', 3, "'run' is no key of found; did you mean 'runs'?", id="found-key"
        ),
        pytest.param(HEAD + "found = { by = 5 }", 3, "by=5 is int; it is a text", id="found-by"),
        pytest.param(
            HEAD + 'found = { by = "x", runs = -2 }',
            3,
            "runs=-2 is int; it is a whole number from 0 on",
            id="found-runs",
        ),
        pytest.param(
            HEAD + 'schedule = "lifo"',
            3,
            "schedule='lifo' is none of 'fifo', 'random:SEED' and 'pct:SEED'",
            id="schedule",
        ),
        pytest.param(HEAD + 'seed = "x"', 3, "seed='x' is str; it is a whole number", id="seed"),
        pytest.param(HEAD + 'fault = "x"', 3, "faults are a list of tables, written [[fault]]", id="fault-text"),
        pytest.param(HEAD + '[[faults]]\nkind = "eof"', 3, "did you mean 'fault'?", id="faults"),
        pytest.param(HEAD + '[fault]\nkind = "eof"', 3, "write [[fault]] above each", id="fault-table"),
        pytest.param(HEAD + "[fault]\na = 1\n[fault]", 5, "write [[fault]] above each", id="fault-tables"),
        pytest.param(HEAD + "[fault]\na = 1\n[[fault]]", 5, "write [[fault]] above each", id="fault-both"),
        pytest.param(HEAD + "fault = []\n[[fault]]", 4, "write [[fault]] above each", id="fault-list"),
        pytest.param(HEAD + "title = 'x'\ntitle = 'y'", 4, "is no TOML: 'title' is given twice", id="key-twice"),
        pytest.param(HEAD + "[expect]\n[expect]", 4, "is no TOML: 'expect' is given twice", id="table-twice"),
        pytest.param(
            HEAD + "[[fault]]\nkind = 'eof'\nkind = 'reset'",
            5,
            "is no TOML: 'kind' is given twice",
            id="fault-key-twice",
        ),
        pytest.param(HEAD + "seed =\n", 3, "is no TOML: Invalid value", id="no-toml"),
        pytest.param(HEAD + "title = hasty", 3, "; a text stands in straight quotes", id="no-quotes"),
        pytest.param(HEAD + "expect = { interrupted = True }", 3, "is true or false", id="as-in-python"),
        pytest.param(HEAD + 'title = "x', 3, "is no TOML: Unterminated string", id="no-toml-end"),
        pytest.param(HEAD + 'title = "x\nseed = 1', 3, "is the quote missing that ends the text?", id="no-last-quote"),
        pytest.param(HEAD + 'title = "my\\x20app"', 3, "a backslash is written twice", id="backslash"),
        pytest.param(HEAD + f"seed = {'9' * 5_000}", None, "is no TOML that can be read: Exceeds", id="digits"),
        pytest.param(HEAD + f"target = {'[' * 9_000}", None, "is no TOML that can be read: maximum", id="brackets"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_remedy(text: str, line: int | None, complaint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        Scenario.loads(text, Path("s.toml"))

    assert complaint in str(refused.value)
    assert str(refused.value).startswith(f"s.toml:{line}: " if line else "s.toml: ")
    assert refused.value.line == line


FIRST = '[[fault]]\nkind = "split"\non = "a->b:7#1"\nend = "client"\nbyte = 2\n\n'  # lines 3 to 8


@pytest.mark.parametrize(
    ("fault", "line", "complaint"),
    [
        pytest.param(
            'kind = "would-blok"\non = "b:7"',
            10,
            "'would-blok' is no kind of fault; did you mean 'would-block'?",
            id="kind",
        ),
        pytest.param('on = "b:7"', 9, "kind is missing", id="no-kind"),
        pytest.param(
            'kind = "would-block"\non = "b=>7"\nop = "accept"\ncall = 1', 11, "'b=>7' is no place", id="place"
        ),
        pytest.param('kind = "would-block"\non = "b:7"\nop = "acept"\ncall = 1', 12, "did you mean 'accept'?", id="op"),
        pytest.param('kind = "would-block"\non = "b:7"\nop = "accept"\n"call" = "1"', 13, "call='1' is str", id="call"),
        pytest.param(
            'kind = "would-block"\non = "b:7"\nop = "accept"\n',
            9,
            "call is missing; would-block has on, end, op, call",
            id="no-call",
        ),
        pytest.param(
            'kind = "would-block"\non = "b:7"\nop = "accept"\ncalls = 1',
            13,
            "calls=1 is none of its fields; did you mean 'call'?",
            id="key",
        ),
        pytest.param(
            'kind = "error"\non = "b:7"\nop = "accept"\ncall = 1\nerrno = "EMFIEL"',
            14,
            "did you mean 'EMFILE'?",
            id="errno",
        ),
    ],
)
def test_a_mistake_in_a_fault_is_told_with_its_number_and_line(fault: str, line: int, complaint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        Scenario.loads(f"{HEAD}{FIRST}[[fault]]\n{fault}\n", Path("s.toml"))

    assert complaint in str(refused.value)
    assert str(refused.value).startswith(f"s.toml:{line}: fault 2: ")
    assert (refused.value.line, refused.value.fault) == (line, 2)


def test_the_mark_that_some_editors_put_first_is_no_part_of_the_file(project: Path) -> None:
    (project / "test_it.py").write_text("def test_it(net): ...", encoding="utf-8")
    text = 'format = 1\r\ntest = "test_it.py::test_it"\r\n'
    (project / "marked.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Scenario.read(project / "marked.toml").test == "test_it.py::test_it"


def test_of_a_failures_file_that_another_machine_has_written_it_is_said_how_to_get_it_here(project: Path) -> None:
    """A log says `--simnet-replay .simnet/failures/...`, and whoever reads it elsewhere has no such file."""
    with pytest.raises(ScenarioError, match=r"No such file or directory; .* run the test again here"):
        Scenario.read(project / ".simnet" / "failures" / "test_echo" / "3f9c01ab.toml")


def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "latin.toml").write_bytes(b'format = 1\ntitle = "\xff"')

    with pytest.raises(ScenarioError, match=r"gone\.toml: cannot be read: No such file"):
        Scenario.read(project / "gone.toml")
    with pytest.raises(ScenarioError, match=r"latin\.toml:2: is not UTF-8, as TOML is: invalid start byte at byte 20"):
        Scenario.read(project / "latin.toml")
    for test in ("test_echo.py::test_echo", "test_echo.py"):
        with pytest.raises(ScenarioError, match=r"is a test, .* scenario file \(\.toml\).*`simnet sweep test_echo\.py"):
            Scenario.read(test)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"test": "x"}, "names no function"),
        ({"expect": "baseline"}, "expect='baseline' is str"),
        ({"found": "sweep"}, "found='sweep' is str"),
        ({"faults": ("eof",)}, "a plan holds faults"),
        ({"faults": SEND}, "a plan takes several"),
        ({"schedule": "lifo"}, "schedule='lifo'"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_a_scenario_made_in_python_is_checked_as_well(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        Scenario(**{"test": "t.py::t", **arguments})  # type: ignore[arg-type]


# ---- the test it names ----------------------------------------------------------------------------------------------


def test_the_test_must_be_there(make: Make) -> None:
    make("tests/test_echo.py", "def test_echo(): ...\ndef helper(): ...\n")
    scenario = make("scenarios/echo.toml", HEAD)
    missing_file = make("scenarios/file.toml", HEAD.replace("test_echo.py", "test_ecko.py"))
    missing_function = make("scenarios/function.toml", HEAD.replace("::test_echo", "::test_eco"))
    missing_folder = make("scenarios/folder.toml", HEAD.replace("tests/", "test/"))

    assert Scenario.read(scenario).node == NodeId("tests/test_echo.py", ("test_echo",))
    with pytest.raises(
        ScenarioError,
        match=r"file\.toml:2: test=.*there is no file .*_ecko\.py; 'test_echo' is in tests/test_echo\.py$",
    ):
        Scenario.read(missing_file)
    with pytest.raises(
        ScenarioError, match=r"function\.toml:2: .*there is no 'test_eco' in .*; did you mean 'test_echo'"
    ):
        Scenario.read(missing_function)
    other = make("tests/test_more.py", "def test_eco(): ...\nclass TestMore:\n    def test_both(self): ...\n")
    with pytest.raises(ScenarioError, match=r"there is no 'test_eco' in .*; 'test_eco' is in tests/test_more\.py$"):
        Scenario.read(missing_function)
    other.write_text("def test_more(): ...\n")
    with pytest.raises(ScenarioError, match=r"folder\.toml:2: .*test/test_echo\.py; there is tests/test_echo\.py$"):
        Scenario.read(missing_folder)
    missing_all = make("scenarios/function_too.toml", HEAD.replace("test_echo", "test_ecko"))
    with pytest.raises(ScenarioError, match=r"function_too\.toml:2: .*; did you mean 'test_echo\.py'"):
        Scenario.read(missing_all)
    missing_both = make(
        "scenarios/both.toml", HEAD.replace("tests/test_echo.py::test_echo", "test/test_ecko.py::test_ecko")
    )
    make(".venv/test_ecko.py", "")
    with pytest.raises(ScenarioError, match=r"both\.toml:2: .*; there is no folder .*test$"):
        Scenario.read(missing_both)


def test_reading_imports_nothing(make: Make) -> None:
    make("tests/test_echo.py", "raise SystemExit('imported')\ndef test_echo(): ...\n")

    Scenario.read(make("scenarios/echo.toml", HEAD))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import simnet\n@simnet.sweep(target='server')\ndef test_x(net): ...", "test_x"),
        ("async def test_x(net): ...", "test_x"),
        ("test_x = make_test()", "test_x"),
        ("if True:\n    def test_x(): ...", "test_x"),
        ("try:\n    from a import test_x\nexcept ImportError: ...", "test_x"),
        ("from a import *", "test_x"),
        ("from a import b as test_x", "test_x"),
        ("class Tests:\n    def test_x(self): ...", "Tests::test_x"),
        ("class Tests(Base): ...", "Tests::test_x"),
    ],
)
def test_every_way_to_define_a_test_is_found(make: Make, project: Path, source: str, names: str) -> None:
    make("test_it.py", source)

    NodeId.parse(f"test_it.py::{names}").check(project)


def test_a_method_that_is_not_there_is_told_with_its_class(make: Make, project: Path) -> None:
    make("test_it.py", "class Tests:\n    def test_x(self): ...")

    with pytest.raises(ValueError, match=r"there is no 'test_y' in class Tests of .*; known are test_x"):
        NodeId.parse("test_it.py::Tests::test_y").check(project)


def test_a_function_has_no_tests_in_it(make: Make, project: Path) -> None:
    make("test_it.py", "def test_x(): ...")

    with pytest.raises(ValueError, match=r"::test_x::test_y': 'test_x' in .* is no class; nothing is in it"):
        NodeId.parse("test_it.py::test_x::test_y").load(project)


def test_a_file_that_is_no_python_is_told_with_its_line(make: Make, project: Path) -> None:
    make("test_it.py", "def test_x():\n  return )")

    with pytest.raises(ValueError, match=r"test_it\.py:2 is no Python: unmatched"):
        NodeId.parse("test_it.py::test_x").check(project)
    (project / "test_it.py").write_bytes(b"\0")
    with pytest.raises(ValueError, match=r"test_it\.py is no Python: source code (string )?cannot contain null bytes"):
        NodeId.parse("test_it.py::test_x").check(project)


def test_a_link_out_of_the_project_is_not_followed(
    make: Make, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "test_it.py"
    outside.write_text("def test_x(): ...")
    (project / "test_it.py").symlink_to(outside)

    with pytest.raises(ValueError, match="outside the project"):
        NodeId.parse("test_it.py::test_x").check(project)


def test_a_test_is_loaded_with_what_stands_beside_it(make: Make, project: Path) -> None:
    make("scenarios/echo/server.py", "PORT = 7")
    make("scenarios/echo/test_slow.py", "import server\ndef test_slow_reader(): return server.PORT")
    scenario = Scenario("scenarios/echo/test_slow.py::test_slow_reader")

    test = load_test(scenario, project)

    assert test() == 7
    assert load_test(scenario, project) is test  # a module is imported once


def test_what_a_test_imports_late_is_found_while_it_plays(make: Make, project: Path) -> None:
    make("late.py", "PORT = 7")
    make("test_it.py", "def test_x():\n    import late\n    return late.PORT")
    node = NodeId.parse("test_it.py::test_x")
    test = node.load(project)

    with beside(project, node):
        assert test() == 7


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("pyproject.toml", '[tool.pytest.ini_options]\npythonpath = ["src", "more"]'),
        ("pyproject.toml", '[tool.pytest.ini_options]\npythonpath = "src more"'),
        ("pyproject.toml", '[tool.pytest]\npythonpath = ["src", "more"]'),
        ("pytest.ini", "[pytest]\npythonpath = src more"),
        ("tox.ini", "[pytest]\npythonpath =\n    src\n    more"),
        ("setup.cfg", "[tool:pytest]\npythonpath = src"),
    ],
)
def test_what_pytest_is_told_to_put_on_the_path_is_there(make: Make, project: Path, file: str, setting: str) -> None:
    make(file, setting)
    make("src/sources.py", "PORT = 7")
    make("test_it.py", "def test_x():\n    import sources\n    return sources.PORT")
    node = NodeId.parse("test_it.py::test_x")
    before = list(sys.path)
    with beside(project, node):
        assert node.load(project)() == 7
    assert sys.path == before
    del sys.modules["sources"]


def test_a_test_in_a_package_is_loaded_by_its_full_name(make: Make, project: Path) -> None:
    make("pack/__init__.py", "")
    make("pack/tools.py", "PORT = 7")
    make("pack/test_it.py", "from .tools import PORT\ndef test_x(): return PORT, __name__")

    assert NodeId.parse("pack/test_it.py::test_x").load(project)() == (7, "pack.test_it")


def test_a_test_whose_name_is_taken_is_loaded_all_the_same(make: Make, project: Path) -> None:
    make("json.py", "def test_x(): return 'ours'")

    assert NodeId.parse("json.py::test_x").load(project)() == "ours"
    assert "ours" not in str(sys.modules["json"])


def test_a_module_whose_import_broke_off_is_imported_anew(make: Make, project: Path) -> None:
    """``pytest --import-mode=importlib`` leaves such a one behind, where prepend mode does not."""
    path = make("test_it.py", "import broken_off_too\ndef test_x(): return 7")
    half = ModuleType("test_it")
    half.__file__ = str(path)
    sys.modules["test_it"] = half
    node = NodeId.parse("test_it.py::test_x")
    with pytest.raises(ValueError, match="cannot be imported: ModuleNotFoundError: No module named 'broken_off_too'"):
        node.load(project)
    make("broken_off_too.py", "")
    assert node.load(project)() == 7
    del sys.modules["test_it"]


def test_a_method_comes_bound_to_an_instance_of_its_own(make: Make, project: Path) -> None:
    make(
        "test_it.py",
        "import unittest\nclass Plain:\n    def test_x(self): return type(self).__name__\nclass Unit(unittest.TestCase, Plain): ...",
    )

    assert NodeId.parse("test_it.py::Plain::test_x").load(project)() == "Plain"
    assert NodeId.parse("test_it.py::Unit::test_x").load(project)() == "Unit"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("1 / 0\ndef test_x(): ...", "cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("x = 1\ndef test_x(:", r"cannot be imported: SyntaxError: .*\(test_it.py, line 2\)$"),
        (
            "def test_y(): ...",
            "there is no 'test_x' in .*; known are test_y",
        ),  # that both are tests makes them no nearer
        ("def test_xx(): ...", "there is no 'test_x' in .*; did you mean 'test_xx'"),
        ("class TestA:\n    def test_x(self): ...", "no 'test_x' in .*; it is test_it.py::TestA::test_x now$"),
        ("test_x = 5", "is int, no function"),
        ("class test_x: ...", "is a class; name a method of it: test_it.py::test_x::test_name"),
    ],
)
def test_a_test_that_cannot_be_loaded_says_why(make: Make, project: Path, source: str, complaint: str) -> None:
    make("test_it.py", source)

    with pytest.raises(ScenarioError, match=complaint) as refused:
        load_test(Scenario("test_it.py::test_x"), project)

    assert refused.value.key == "test"


def test_the_root_is_the_nearest_folder_with_a_pyproject(make: Make, project: Path, tmp_path: Path) -> None:
    inner = make("inner/pyproject.toml", "").parent

    assert project_root(project / "inner" / "a" / "b.toml") == inner
    assert project_root(project / "other" / "b.toml") == project.resolve()


def test_without_a_pyproject_the_root_is_where_failures_are_kept_or_tests_are_imported_from(tmp_path: Path) -> None:
    if any((folder / "pyproject.toml").exists() for folder in tmp_path.parents):
        pytest.skip("temporary folders stand inside a project here")
    bare = tmp_path / "bare"
    failures = tmp_path / "swept" / ".simnet" / "failures" / "t"
    failures.mkdir(parents=True)

    assert project_root(failures / "x.toml") == failures.parents[2].resolve()
    assert project_root(failures.parents[2] / "x.toml") == failures.parents[2].resolve()
    assert project_root(bare / "test_it.py") == bare.resolve()
    assert project_root(bare / "scenarios" / "deep" / "x.toml") == bare.resolve()
    if not any((folder / ".simnet").exists() for folder in tmp_path.parents):
        with pytest.raises(ValueError, match=r"no pyproject\.toml above it, .*; an empty one will do"):
            project_root(bare / "x.toml")


def test_what_was_swept_in_a_folder_further_up_makes_no_other_root(tmp_path: Path) -> None:
    """As when a first test was tried in one's home."""
    if any((folder / "pyproject.toml").exists() for folder in tmp_path.parents):
        pytest.skip("temporary folders stand inside a project here")
    (tmp_path / ".simnet").mkdir()
    deep = tmp_path / "work" / "echo"

    assert project_root(deep / "test_echo.py") == deep.resolve()
    assert project_root(deep / "scenarios" / "x.toml") == deep.resolve()
    assert project_root(deep / ".simnet" / "failures" / "x.toml") == deep.resolve()


@pytest.mark.parametrize("text", ["t.py::t", "a/t.py::C::t", "t.py::t[1-a::b]", "t.py::t[x[0]]"])
def test_a_node_id_reads_back(text: str) -> None:
    assert str(NodeId.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("t.py::t[1", "not closed"),
        ("a\\t.py::t", "backslashes"),
        ("t.py::", "no name of a function"),
        ("::t", "no Python file"),
    ],
)
def test_a_node_id_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        NodeId.parse(text)


def test_of_faults_in_one_list_the_line_of_the_list_is_named() -> None:
    text = """format = 1
test = "test_x.py::test_x"
fault = [
  {kind = "split", on = "a->b:7#1", end = "server", byte = 1},
  {kind = "split", on = "a->b:7#1", end = "server"},
]
"""
    with pytest.raises(ScenarioError, match="fault 2: split: byte is missing") as caught:
        Scenario.loads(text)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "last",
    ["[expect]\noutcom = 'baseline'", "[[falt]]\nkind = 'split'", "[found]\nruns = 'many'"],
    ids=lambda text: text[:8],
)
def test_the_line_of_a_table_behind_the_faults_is_named(last: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.loads(HEAD + FIRST + last)
    assert caught.value.line == 9
