"""Scenario files as tests: each must go as it says, and one whose failure is known is green until it is fixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simnet.faces_samples import SERVERS, TESTS, lay_out

pytestmark = pytest.mark.slow  # each case takes threads or a pytest of its own

SCENARIO = """\
format = 1
title = "a word that comes in pieces"
test = "test_servers.py::test_hasty"
expect = {expect}

[[fault]]
kind = "short-recv"
on = "test->server:7#1"
end = "server"
call = 1
bytes = 2
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    lay_out(pytester.path)
    return pytester


def keep(
    suite: pytest.Pytester,
    expect: str = '{ outcome = "baseline" }',
    name: str = "pieces.toml",
    folder: str = "scenarios",
) -> Path:
    path: Path = suite.path / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCENARIO.replace("{expect}", expect))
    return path


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_a_fault_that_is_none_is_told_with_its_line(suite: pytest.Pytester) -> None:
    path = keep(suite)
    head = path.read_text().partition("[[fault]]")[0]
    path.write_text(f'{head}[[fault]]\nkind = "blackhole"\non = "test->server:7#1"\nend = "server"\nbyte = -1\n')
    told = "scenarios/pieces.toml:10: fault 1: blackhole: byte=-1 "
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{told}*"])
    assert "traceback" not in result.stdout.str().lower()
    assert told in run(suite, "test_servers.py", "--simnet-replay", str(path)).stderr.str()


def test_a_scenario_is_red_until_the_bug_is_mended(suite: pytest.Pytester) -> None:
    keep(suite)
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*a word that comes in pieces*",
            "E   KeyError: b'he'",
            "network *",
            "FAILED scenarios/pieces.toml::test_hasty *",
        ]
    )
    text = (suite.path / "servers.py").read_text()
    (suite.path / "servers.py").write_text(text.replace("word = conn.recv(100)", 'word = conn.makefile("rb").read()'))
    run(suite, "scenarios").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "expect",
    [
        '{ error = "KeyError" }',
        '{ error = "LookupError", at = "hasty" }',
        '{ error = "KeyError", at = "servers.py", reason = "#123" }',
        '{ error = "KeyError", at = "servers.py:25" }',
    ],
)
def test_a_known_failure_is_green_and_says_so(suite: pytest.Pytester, expect: str) -> None:
    keep(suite, expect)
    result = run(suite, "-v", "scenarios")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["scenarios/pieces.toml::test_hasty PASSED   [[]known: *Error*"])


@pytest.mark.parametrize("expect", ['{ outcome = "baseline" }', '{ error = "AssertionError" }'])
@pytest.mark.parametrize("first", ["hello", ""])
def test_a_fault_that_meets_another_connection_than_it_did_is_red_as_long_as_the_failure_is_there(
    suite: pytest.Pytester, expect: str, first: str
) -> None:
    path = keep(suite, expect)
    found = 'found = { failure = "AssertionError at test_servers.py:24" }\n'
    text = path.read_text().replace("\n[[fault]]", f"{found}[[fault]]")
    # Behind b"hello", where b" you" is to come.
    path.write_text(text.replace("short-recv", "split").replace("call = 1\nbytes = 2", "byte = 5"))
    (suite.path / "servers.py").write_text(
        SERVERS.replace('b"hello": ', 'b"hello you": b"good day to you", b"hello": ')
    )
    asks = f"assert talk(b{first!r}) == b{'good day' if first else ''!r}"  # a connection more, and no bug there
    test = TESTS.replace(
        'assert talk(b"hello") == b"good day"', f'{asks}\n    assert talk(b"hello you") == b"good day to you"'
    )
    (suite.path / "test_servers.py").write_text(test)
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    told = " ".join(result.stdout.str().split())
    assert 'ith on = "test->server:7#2" the failure on record is there, ' in told
    assert ("the plan never acted" in told) == (not first)


def test_a_known_failure_that_is_fixed_is_red_with_the_remedy(suite: pytest.Pytester) -> None:
    keep(suite, '{ error = "KeyError", reason = "#123" }')
    text = (suite.path / "servers.py").read_text()
    (suite.path / "servers.py").write_text(text.replace("word = conn.recv(100)", 'word = conn.makefile("rb").read()'))
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['*pieces.toml: expected was KeyError (#123); *it is fixed, so write expect = { outcome = "baseline" }*']
    )


def test_a_known_failure_that_has_become_an_interruption_is_red_with_that_as_the_remedy(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_cut="""
            import socket

            import simnet

            def serve():
                with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
                    conn.sendall(b"hello")

            @simnet.sweep(target="server")
            def test_cut(net):
                net.host("server").spawn(serve)
                with socket.create_connection(("server", 7)) as sock:
                    assert sock.makefile("rb").read() == b"hello"
        """
    )
    folder = suite.mkdir("scenarios")
    (folder / "cut.toml").write_text(
        'format = 1\ntest = "test_cut.py::test_cut"\nexpect = { error = "TypError", reason = "#123" }\n'
        '[[fault]]\nkind = "eof"\non = "test->server:7#1"\nend = "client"\nbyte = 2\n'
    )
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            (
                "*it is fixed, so write expect = { interrupted = true }, and the bug stays away, unless error='TypError' "
                "is mistyped; did you mean 'TypeError'?*"
            )
        ]
    )


def test_a_failure_other_than_the_known_one_is_red(suite: pytest.Pytester) -> None:
    keep(suite, '{ error = "ZeroDivisionError" }')
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*expected was ZeroDivisionError; it is KeyError at servers.py:25*"])


def test_a_known_failure_in_a_function_that_was_renamed_is_red_with_the_name_that_it_has_now(
    suite: pytest.Pytester,
) -> None:
    keep(suite, '{ error = "KeyError", at = "quick" }')
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*the same bug, say so in expect, where `at` is now "hasty".'])


def test_a_plan_that_is_never_reached_is_red_and_says_what_was(suite: pytest.Pytester) -> None:
    path = keep(suite)
    path.write_text(path.read_text().replace("call = 1", "call = 5"))
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*the plan never acted*", "*call=5*was never reached: server called recv on test->server:7#1 once"]
    )


def test_a_target_that_is_no_host_is_red_since_nothing_was_under_test(suite: pytest.Pytester) -> None:
    path = keep(suite, "{ interrupted = true }")
    head = path.read_text().partition("expect")[0]
    eof = '[[fault]]\nkind = "eof"\non = "test->server:7#1"\nend = "server"\nbyte = 1\n'
    path.write_text(f'{head}target = ["sever"]\nexpect = {{ interrupted = true }}\n{eof}')
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*target=sever: *no host of that name. Hosts there are: *So nothing was under test*"])


def test_a_broken_file_is_an_error_with_its_place(suite: pytest.Pytester) -> None:
    path = keep(suite)
    path.write_text(path.read_text().replace("short-recv", "short-rec"))
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*pieces.toml:7: fault 1: 'short-rec' is no kind of fault; did you mean 'short-recv'?"]
    )


def test_a_file_whose_test_is_gone_keeps_no_other_from_being_played(suite: pytest.Pytester) -> None:
    path = keep(suite)
    gone = path.with_name("gone.toml")
    gone.write_text(path.read_text().replace("::test_", "::test_no_more_"))
    result = run(suite, "scenarios")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*gone.toml:*: there is no 'test_no_more_*", "E   KeyError: b'he'"])


def test_only_scenarios_are_collected(suite: pytest.Pytester) -> None:
    keep(suite)
    keep(suite, folder="elsewhere")
    (suite.path / "scenarios" / "settings.toml").write_text("[tool]\nname = 'not ours'\n")
    result = run(suite, "--collect-only", "-q", "scenarios", "elsewhere")
    assert [line for line in result.stdout.lines if ".toml" in line] == ["scenarios/pieces.toml::test_hasty"]
    named = run(suite, "--collect-only", "-q", "elsewhere/pieces.toml")
    assert "elsewhere/pieces.toml::test_hasty" in named.stdout.lines


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('\ufefftest = "test_servers.py::test_hasty"\nformat = 1\n', id="mark-of-its-encoding"),
        pytest.param('format = 1\r\ntest = "test_servers.py::test_hasty"\r\n', id="windows"),
        pytest.param('"format" = 1\n"test" = "test_servers.py::test_hasty"\n', id="keys-in-quotes"),
        pytest.param("format = 1\n[['fault']]\n'kind' = 'eof'\n", id="a-fault-and-no-test"),
    ],
)
def test_whatever_an_editor_makes_of_a_scenario_it_is_collected(suite: pytest.Pytester, text: str) -> None:
    keep(suite).write_text(text, encoding="utf-8", newline="")
    run(suite, "--collect-only", "-q", "scenarios").stdout.fnmatch_lines(["*scenarios/pieces.toml*"])


def test_they_are_collected_from_within_their_folder_too(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(suite, folder="scenarios")
    monkeypatch.chdir(suite.path / "scenarios")
    # Without a file that marks the root it is, to pytest, the folder that it is started in.
    for marked in (False, True):
        if marked:
            (suite.path / "pyproject.toml").touch()
        run(suite, "--collect-only", "-q").stdout.fnmatch_lines(["*pieces.toml::test_hasty"])


def test_a_scenario_plays_on_real_sockets_too(suite: pytest.Pytester) -> None:
    keep(suite, '{ error = "KeyError" }')
    run(suite, "scenarios", "--simnet-real").assert_outcomes(passed=1)


def test_two_stories_may_call_their_files_alike(suite: pytest.Pytester) -> None:
    for story, error in (("first", "ZeroDivisionError"), ("second", "OverflowError"), ("third", "KeyError")):
        folder = suite.path / "scenarios" / story
        folder.mkdir(parents=True)
        server = (suite.path / "servers.py").read_text()
        (folder / "servers.py").write_text(server.replace("GREETINGS[word]", f"fail({error}, word)") + FAIL)
        (folder / "test_servers.py").write_text((suite.path / "test_servers.py").read_text())
        scenario = SCENARIO.replace("{expect}", f'{{ error = "{error}" }}')
        scenario = scenario.replace("test_servers.py", f"scenarios/{story}/test_servers.py")
        (folder / "pieces.toml").write_text(scenario)
    (suite.path / "scenarios" / "conftest.py").write_text('collect_ignore_glob = ["*/*.py"]\n')
    run(suite, "scenarios").assert_outcomes(passed=3)


FAIL = """
def fail(error, word):
    if word != b"hello":
        raise error
    return b"good day"
"""


@pytest.mark.slow
def test_a_test_whose_conftest_says_where_to_import_from_is_played_too(suite: pytest.Pytester) -> None:
    sources = suite.mkdir("sources")
    (suite.path / "servers.py").rename(sources / "servers.py")
    (suite.path / "conftest.py").write_text(f"import sys\nsys.path.append({str(sources)!r})\n")
    keep(suite, '{ error = "KeyError" }')
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "--noconftest", "scenarios")
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_test_is_played_with_what_its_conftest_sets_up_around_each(suite: pytest.Pytester) -> None:
    (suite.path / "conftest.py").write_text(
        "import pytest\nfrom servers import GREETINGS\n\n"
        "@pytest.fixture(autouse=True)\ndef pieces(monkeypatch):\n    monkeypatch.setitem(GREETINGS, b'he', None)\n"
    )
    keep(suite, '{ error = "TypeError" }')  # without it, a KeyError
    run(suite, "scenarios").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_test_that_sweeps_what_it_makes_is_played_too(suite: pytest.Pytester) -> None:
    (suite.path / "test_makes.py").write_text(
        "import simnet\nfrom servers import hasty\nfrom test_servers import talk\n\n"
        "def test_makes():\n"
        "    @simnet.sweep(target='server', kinds='short-recv')\n"
        "    def body(net):\n"
        "        net.host('server').spawn(hasty, 7)\n"
        "        talk(b'hello')\n"
        "    body()\n"
    )
    run(suite, "test_makes.py").assert_outcomes(failed=1)
    (file,) = (suite.path / ".simnet" / "failures").glob("*/*.toml")
    file.write_text(file.read_text().replace('expect = {outcome = "baseline"}', 'expect = {error = "KeyError"}'))
    run(suite, str(file)).assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_test_with_fixtures_and_parameters_is_kept_and_played_too(suite: pytest.Pytester) -> None:
    (suite.path / "test_words.py").write_text(
        "import pytest, simnet\nfrom servers import hasty\nfrom test_servers import talk\n\n"
        "@pytest.fixture\ndef answer():\n    return b'good day'\n\n"
        "@pytest.mark.parametrize('word', [b'hello', b''])\n"
        "@simnet.sweep(target='server', kinds='short-recv')\n"
        "def test_word(net, word, answer):\n"
        "    net.host('server').spawn(hasty, 7)\n"
        "    assert talk(word) == (answer if word else b'')\n"
    )
    run(suite, "test_words.py", "-k", "hello").assert_outcomes(failed=1, deselected=1)
    (file,) = (suite.path / ".simnet" / "failures").glob("*/*.toml")
    assert "test_words.py::test_word[hello]" in file.read_text()
    path = suite.path / "scenarios" / "word.toml"
    path.parent.mkdir()
    file.rename(path)
    red = run(suite, "scenarios")
    red.assert_outcomes(failed=1)
    red.stdout.fnmatch_lines(["*played by pytest, for its fixtures*", "*KeyError*"])
    red.stdout.fnmatch_lines(["FAILED scenarios/word.toml::test_word* - *KeyError at servers.py:*"])
    for line in ("*Refused*", "*which pytest provides*"):
        red.stdout.no_fnmatch_line(line)
    path.write_text(path.read_text().replace('expect = {outcome = "baseline"}', 'expect = {error = "KeyError"}'))
    run(suite, "scenarios").assert_outcomes(passed=1)
    drawn = run(suite, "scenarios", "--simnet-trace", "-rP")
    drawn.assert_outcomes(passed=1)
    drawn.stdout.fnmatch_lines(["*played by pytest*", "*recv b'h'*"])
    path.write_text(path.read_text().replace("[hello]", "[good bye]"))
    gone = run(suite, "scenarios")
    gone.stdout.fnmatch_lines(["*'test_words.py::test_word[[]good bye[]]': pytest knows no such parameters; *"])


def test_a_scenario_of_a_test_that_is_skipped_is_skipped_and_one_of_a_skip_by_the_fault_alone_is_red(
    suite: pytest.Pytester,
) -> None:
    (suite.path / "test_skips.py").write_text(
        "import pytest, simnet\nfrom servers import echo\nfrom test_servers import talk\n\n"
        "@simnet.sweep(target='server')\n"
        "def test_always(net):\n"
        "    net.host('server').spawn(echo, 7)\n"
        "    talk(b'hello')\n"
        "    pytest.skip('not here')\n\n"
        "@simnet.sweep(target='server')\n"
        "def test_by_a_fault(net):\n"
        "    net.host('server').spawn(echo, 7)\n"
        "    talk(b'hello')\n"
        "    if net.plan:\n"
        "        pytest.skip('no server')\n"
    )
    for name in ("always", "by_a_fault"):
        path = keep(suite, name=f"{name}.toml")
        path.write_text(path.read_text().replace("test_servers.py::test_hasty", f"test_skips.py::test_{name}"))
    result = run(suite, "scenarios", "-rfs")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines_random(["SKIPPED * not here", "FAILED scenarios/by_a_fault.toml::test_by_a_fault*"])
