"""A swept test under pytest: one line when it passes, the user's own exception and a report when it does not."""

from __future__ import annotations

import bdb
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main as command
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from tests.simnet.faces_samples import forget_modules, lay_out

START = 30.0  # seconds until a pytest of its own has started; two on an idle machine
FAILURES = Path(".simnet/failures/test_hasty")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "110")  # a worker of pytest-xdist has 80, and breaks lines elsewhere
    lay_out(pytester.path)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def failure_file(suite: pytest.Pytester) -> Path:
    (file,) = (suite.path / FAILURES).glob("*.toml")
    return file.relative_to(suite.path)


@pytest.mark.slow
def test_a_sweep_that_passes_takes_one_line(suite: pytest.Pytester) -> None:
    result = run(suite, "-v", "test_servers.py::test_echo")
    result.stdout.fnmatch_lines(["test_servers.py::test_echo PASSED   [[]sweep: server; * runs in * s; *equal*[]]*"])
    result.stdout.fnmatch_lines(["simnet: 1 sweep, * runs in * s*"])
    result.assert_outcomes(passed=1)
    assert not (suite.path / ".simnet").exists()


@pytest.mark.slow
def test_a_pytest_without_its_debugger_sweeps_as_well(suite: pytest.Pytester) -> None:
    run(suite, "-p", "no:debugging", "test_servers.py::test_echo").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_sweep_that_fails_shows_the_users_lines_and_what_the_network_did(suite: pytest.Pytester) -> None:
    result = run(suite, "test_servers.py::test_hasty")
    result.assert_outcomes(failed=1)
    file = failure_file(suite)
    result.stdout.fnmatch_lines(
        [
            "*test_hasty [[]sweep[]]*",
            "servers.py:25: in hasty",
            "*conn.sendall(GREETINGS[[]word[]])",
            "E   KeyError: *",
            "network * the 1st recv by server * returned at most 1 byte, *",
            f"run it    pytest test_servers.py::test_hasty --simnet-replay {file}*",
            f"keep it   simnet keep {file}",
            "FAILED test_servers.py::test_hasty - KeyError at servers.py:25 when recv*",
        ]
    )
    assert "_pytest" not in result.stdout.str(), "frames of the runner are no help"
    assert "simnet/explore" not in result.stdout.str()


@pytest.mark.slow
def test_a_saved_failure_replays_as_the_very_same_run(suite: pytest.Pytester) -> None:
    run(suite, "test_servers.py::test_hasty")
    result = run(suite, "test_servers.py::test_hasty", "--simnet-replay", str(failure_file(suite)))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E   KeyError: *", "*replay: exact; KeyError at servers.py:25*"])


@pytest.mark.slow
def test_a_file_is_played_with_the_targets_that_it_names(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_reads="""
        import socket, simnet
        from servers import echo

        @simnet.sweep(target="server")
        def test_once(net):
            net.host("server").spawn(echo, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"hello"

        def test_beside(simnet_network):
            test_once.simnet_test(simnet_network)
        """
    )
    assert command(["sweep", "test_reads.py::test_once", "--target", "test", "--kinds", "short-recv"]) == 1
    (file,) = (suite.path / ".simnet/failures").glob("*/*.toml")
    again = run(suite, "test_reads.py", "--simnet-replay", str(file))
    again.assert_outcomes(failed=2)
    again.stdout.fnmatch_lines(["*replay: exact; AssertionError at test_reads.py:9*"])
    forget_modules("servers", "test_servers", "test_reads")


@pytest.mark.slow
def test_a_fault_in_one_line_is_played_instead_of_a_sweep(suite: pytest.Pytester) -> None:
    fault = "short-recv test->server:7#1 end=server call=1 bytes=2"
    result = run(suite, "-v", "--simnet-fault", fault)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_echo PASSED   [[]replay: no failure; equal to the run without faults[]]*"])
    result.stdout.fnmatch_lines(["E   KeyError: b'he'"])


@pytest.mark.slow
def test_a_plan_of_several_faults_is_typed_as_a_report_prints_it(suite: pytest.Pytester) -> None:
    short = "short-recv test->server:7#1 end=server call=1 bytes=2"
    plan = f"{short}; reset test->server:7#1 end=server byte=9; schedule=random:3"
    result = run(suite, "test_servers.py::test_hasty", "--simnet-fault", plan)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E   KeyError: b'he'", "network   *returned at most 2 bytes*", "*1 of 2 faults never*"]
    )


@pytest.mark.slow
def test_a_plan_that_is_never_reached_fails_and_says_what_was(suite: pytest.Pytester) -> None:
    result = run(
        suite, "test_servers.py::test_echo", "--simnet-fault", "short-recv test->server:7#1 end=server call=9 bytes=2"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*call=9*was never reached: server called recv on test->server:7#1 2 times"])
    assert "traceback" not in result.stdout.str()


@pytest.mark.slow
def test_what_no_kernel_can_be_made_to_show_is_refused_in_a_sentence(suite: pytest.Pytester) -> None:
    stall = "stall test->server:7#1 end=server byte=1 seconds=61"
    result = run(suite, "test_servers.py::test_echo", "--simnet-real", "--simnet-fault", stall)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Refused: *a real kernel cannot be made to show 'stall' here (it takes 61 s of *"])
    assert "traceback" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        pytest.param(("--simnet-runs", "0"), "--simnet-runs 0: at least 1*", id="no-runs"),
        pytest.param(
            ("--simnet-kinds", "rest"), "*'rest' is no kind of fault; did you mean 'reset'?", id="unknown-kind"
        ),
        pytest.param(
            ("--simnet-real", "--simnet-seconds", "inf"), "*seconds=inf is no time for a run; *", id="for-ever"
        ),
        pytest.param(("--simnet-fault", "reset nowhere"), "--simnet-fault: *", id="malformed-fault"),
        pytest.param(
            ("--simnet-replay", "gone.toml"), "*gone.toml: cannot be read: No such file or directory", id="no-file"
        ),
        pytest.param(("--simnet-replay", "a", "--simnet-fault", "b"), "*take one of them", id="two-plans"),
        pytest.param(("--simnet-replay", ""), "--simnet-replay: no file is named; *", id="no-name-of-a-file"),
        pytest.param(("--simnet-target", ""), "--simnet-target '' is no host's name", id="no-host"),
        pytest.param(
            ("--simnet-target", "server,client"),
            "--simnet-target 'server,client' is no host's name; of several each takes an option of its own",
            id="two-hosts-in-one",
        ),
    ],
)
def test_a_wrong_option_speaks_up_before_anything_runs(
    suite: pytest.Pytester, arguments: tuple[str, ...], remedy: str
) -> None:
    result = run(suite, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {remedy}"])


@pytest.mark.slow
def test_what_a_projects_file_says_for_other_sessions_is_no_wrong_option(suite: pytest.Pytester) -> None:
    (suite.path / "pytest.ini").write_text(
        "[pytest]\naddopts = --simnet-runs=3 --simnet-target=server --simnet-seconds=60\n"
    )
    run(suite, "test_servers.py::test_echo").assert_outcomes(passed=1)
    run(suite, "test_servers.py::test_echo", "--simnet-real").assert_outcomes(passed=1)
    run(suite, "test_servers.py::test_hasty", "--simnet-runs", "9").assert_outcomes(failed=1)
    (file,) = (suite.path / ".simnet" / "failures").glob("*/*.toml")
    again = run(suite, "test_servers.py::test_hasty", "--simnet-replay", str(file))
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["replay: exact; *"])
    for option, other in (("--simnet-target", "server"), ("--simnet-seconds", "60")):
        refused = run(suite, "--simnet-replay", str(file), option, other)
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        assert option in refused.stderr.str()


@pytest.mark.slow
def test_kinds_and_runs_of_the_command_line_narrow_the_sweep(suite: pytest.Pytester) -> None:
    result = run(suite, "-v", "test_servers.py::test_echo", "--simnet-kinds", "reset", "--simnet-runs", "3")
    result.stdout.fnmatch_lines(["*PASSED   [[]sweep: server; 3 runs in *; 3 of * points: *"])


@pytest.mark.slow
def test_a_mark_changes_the_options_of_a_sweep(suite: pytest.Pytester) -> None:
    text = (suite.path / "test_servers.py").read_text()
    (suite.path / "test_servers.py").write_text(f"import pytest\npytestmark = pytest.mark.simnet(runs=2)\n{text}")
    result = run(suite, "-v", "-k", "echo")
    result.stdout.fnmatch_lines(["*PASSED   [[]sweep: server; 2 runs in *"])


@pytest.mark.slow
def test_a_mark_that_cannot_be_is_refused_in_a_sentence(suite: pytest.Pytester) -> None:
    text = "import pytest\n" + (suite.path / "test_servers.py").read_text()
    marked = text.replace("@simnet", "@pytest.mark.simnet(runs=0)\n@simnet")
    (suite.path / "test_servers.py").write_text(marked)
    result = run(suite, "test_servers.py::test_echo")
    result.stdout.fnmatch_lines(["test_servers.py::test_echo: @pytest.mark.simnet: runs=0: at least 1*"])
    assert "another exception" not in result.stdout.str()


def test_a_mark_with_an_unknown_option_is_refused(suite: pytest.Pytester) -> None:
    text = (suite.path / "test_servers.py").read_text()
    (suite.path / "test_servers.py").write_text(f"import pytest\npytestmark = pytest.mark.simnet(run=2)\n{text}")
    run(suite, "-k", "echo").stdout.fnmatch_lines(["*has no option 'run'; did you mean 'runs'?*"])


@pytest.mark.slow
def test_the_whole_ladder_is_shown_when_asked_for(suite: pytest.Pytester) -> None:
    result = run(suite, "-rP", "test_servers.py::test_echo", "--simnet-trace")
    result.stdout.fnmatch_lines(["*simnet: the run without faults*", "*connect server:7*SYN*"])


@pytest.mark.slow
@pytest.mark.parametrize("style", ["no", "line"])
def test_where_tracebacks_are_not_wanted_the_summary_still_has_the_headline(suite: pytest.Pytester, style: str) -> None:
    result = run(suite, f"--tb={style}", "test_servers.py::test_hasty")
    result.stdout.fnmatch_lines(["FAILED test_servers.py::test_hasty - KeyError at servers.py:25 when recv*"])


@pytest.mark.slow
def test_without_pytests_own_reporter_a_failure_is_a_failure(suite: pytest.Pytester) -> None:
    assert run(suite, "-p", "no:terminal", "test_servers.py::test_hasty").ret == 1


@pytest.mark.slow
def test_a_call_that_cannot_be_made_is_shown_without_the_runners_frames(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_spawns="""
        import simnet
        from servers import echo

        @simnet.sweep
        def test_spawns(net):
            net.host("server").spawn(echo)
        """
    )
    result = run(suite, "test_spawns.py")
    result.stdout.fnmatch_lines(
        [
            "test_spawns.py:6: in test_spawns",
            '    net.host("server").spawn(echo)',
            "E   TypeError: echo() missing 1 required positional argument: 'port'",
        ]
    )
    assert "_multicall" not in result.stdout.str()


@pytest.mark.slow
def test_pytest_fail_is_blamed_on_the_line_that_calls_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_fails="""
        import pytest, simnet

        @simnet.sweep(target="server")
        def test_fails(net):
            pytest.fail("not like this")
        """
    )
    result = run(suite, "test_fails.py")
    result.stdout.fnmatch_lines(["test_fails.py:5: in test_fails", "E   Failed: not like this"])
    result.stdout.fnmatch_lines(["FAILED test_fails.py::test_fails - Failed at test_fails.py:5 *"])


@pytest.mark.slow
def test_a_pass_through_other_decorators_classes_and_unittest(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    pytester.makepyfile(
        test_shapes="""
        import functools, unittest
        import pytest, simnet
        from test_servers import talk, KINDS
        from servers import echo

        def counted(test):
            @functools.wraps(test)
            def run(*args, **kwargs):
                counted.calls += 1
                return test(*args, **kwargs)
            return run
        counted.calls = 0

        @counted
        @simnet.sweep(target="server", kinds=KINDS)
        def test_decorated(net):
            net.host("server").spawn(echo, 7)
            assert talk(b"hello") == b"hello"

        def test_the_decorator_was_not_left_out():
            assert counted.calls == 1

        class TestGroup:
            @pytest.mark.parametrize("word", [b"a", b"bc"])
            @simnet.sweep(target="server", kinds=KINDS)
            def test_method(self, net, word):
                net.host("server").spawn(echo, 7)
                assert talk(word) == word

        class Old(unittest.TestCase):
            @simnet.sweep(target="server", kinds=KINDS)
            def test_case(self, net):
                net.host("server").spawn(echo, 7)
                self.assertEqual(talk(b"hello"), b"hello")
        """
    )
    result = run(pytester, "-v", "test_shapes.py")
    result.assert_outcomes(passed=5)
    assert result.stdout.str().count("[sweep: server") == 4


@pytest.mark.slow
def test_a_test_that_classes_inherit_is_each_ones_own(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        base="""
        import simnet
        from test_servers import talk, KINDS

        class Base:
            @simnet.sweep(target="server", kinds=KINDS)
            def test_it(self, net):
                net.host("server").spawn(self.serve, 7)
                talk(b"hello")
        """,
        test_heirs="""
        from base import Base
        from servers import echo, hasty

        class TestEcho(Base):
            serve = staticmethod(echo)

        class TestHasty(Base):
            serve = staticmethod(hasty)
        """,
    )
    run(suite, "test_heirs.py").assert_outcomes(passed=1, failed=1)
    (file,) = (suite.path / ".simnet/failures").glob("*/*.toml")
    assert file.parent.name == "TestHasty.test_it"
    again = run(suite, "test_heirs.py::TestHasty::test_it", "--simnet-replay", str(file))
    again.stdout.fnmatch_lines(["*replay: exact; KeyError at servers.py:25*"])
    assert command(["replay", str(file)]) == 1
    forget_modules("servers", "test_servers", "test_heirs", "base")


@pytest.mark.slow
def test_fixtures_are_set_up_once_around_all_runs(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    pytester.makepyfile(
        test_fixture="""
        import pytest, simnet
        from test_servers import talk, KINDS
        from servers import echo
        made = []

        @pytest.fixture
        def word():
            made.append(1)
            return b"hello"

        @simnet.sweep(target="server", kinds=KINDS)
        def test_with_fixture(net, word):
            net.host("server").spawn(echo, 7)
            assert talk(word) == word

        def test_once():
            assert made == [1]
        """
    )
    run(pytester, "test_fixture.py").assert_outcomes(passed=2)


@pytest.mark.slow
def test_several_distinct_failures_stand_one_after_the_other(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    pytester.makepyfile(
        test_two="""
        import socket, simnet
        def serve(port):
            with socket.create_server(("", port)) as listener:
                conn, _ = listener.accept()
                with conn:
                    data = conn.recv(100)
                    if len(data) == 1:
                        error = ValueError("one")
                        error.add_note("of hello,\\nwhich is more")
                        raise error
                    if len(data) < 4:
                        raise KeyError("few")
                    conn.sendall(data)

        @simnet.sweep(target="server", kinds="short-recv")
        def test_two(net):
            net.host("server").spawn(serve, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"hello")
                sock.shutdown(socket.SHUT_WR)
                return sock.recv(100)
        """
    )
    result = run(pytester, "test_two.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines_random(["E   ValueError: one", "E   KeyError: 'few'", "FAILED *3 distinct failures: *"])
    result.stdout.fnmatch_lines(["E   ValueError: one", "", "E   of hello,", "E   which is more", "", "network *"])
    again = pytester.inline_run("-p", "no:cacheprovider", "test_two.py").getreports("pytest_runtest_logreport")
    (sent,) = (each for each in again if each.when == "call")
    got = pytest.TestReport._from_json(sent._to_json())  # as from a worker of pytest-xdist
    assert got.longrepr.reprcrash.message.startswith("3 distinct failures: ")
    headline = "another outcome when recv returns 4 bytes (akin to 1, 1 of 3 runs)"  # of what raised nothing: told once
    told = [line for line in result.outlines if "another outcome" in line and not line.startswith("FAILED")]
    assert told == [f"--- 3 of 3: {headline} ---"]  # where CI is set, pytest's own summary has it too


@pytest.mark.slow
def test_under_given_the_sweep_that_failed_last_is_told_with_its_example(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_given="""
        import simnet
        from hypothesis import given, settings, strategies
        from test_servers import talk
        from servers import hasty, GREETINGS

        @settings(max_examples=5, deadline=None, database=None)
        @given(word=strategies.sampled_from([b"hello", b"what", b"ever"]))
        @simnet.sweep(target="server", kinds=["short-recv"])
        def test_given(net, word):
            net.host("server").spawn(hasty, 7)
            assert talk(word) == GREETINGS.get(word, b"")
        """
    )
    result = run(suite, "-p", "no:randomly", "test_given.py")
    text = result.stdout.str()
    assert text.count("\nE   KeyError: ") == 1
    result.stdout.fnmatch_lines(["*test_given [[]sweep[]]*", "Failing test case: test_given(", "    word=b'hello',*"])
    result.stdout.fnmatch_lines(["FAILED test_given.py::test_given - KeyError at servers.py:25 *"])


@pytest.mark.slow
def test_an_example_in_which_no_named_kind_can_act_is_passed_over_and_if_all_are_that_is_told(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        test_given="""
        import simnet
        from hypothesis import given, settings, strategies
        from test_servers import talk
        from servers import echo

        @settings(max_examples=5, deadline=None, database=None)
        @given(word=strategies.sampled_from([b"", b"hello", b"ever"]))
        @simnet.sweep(target="server", kinds=["split"])
        def test_some(net, word):
            net.host("server").spawn(echo, 7)
            assert talk(word) == word

        @settings(max_examples=5, deadline=None, database=None)
        @given(word=strategies.just(b""))
        @simnet.sweep(target="server", kinds=["split"])
        def test_none(net, word):
            net.host("server").spawn(echo, 7)
            assert talk(word) == word
        """
    )
    result = run(suite, "-p", "no:randomly", "test_given.py", "--hypothesis-show-statistics")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "no example could be swept, as the last of them: kinds=split: none can act on what the test does; *",
            "FAILED test_given.py::test_none - *Unsatisfiable: *",
        ]
    )
    assert "nothing to sweep: kinds=split: none can act on what the test does" in result.stdout.str()


@pytest.mark.slow
def test_assume_passes_over_an_example_and_not_over_what_a_fault_has_made_of_one(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_given="""
        import simnet
        import socket
        from hypothesis import assume, example, given, settings, strategies

        def serve(port):
            with socket.create_server(("", port)) as listener:
                while True:
                    with listener.accept()[0] as conn:
                        conn.sendall(conn.recv(100))
                        conn.recv(100)

        def talk(net, word):
            net.host("server").spawn(serve, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(word)
                sock.shutdown(socket.SHUT_WR)
                return sock.recv(100)

        @settings(max_examples=5, deadline=None, database=None)
        @example(word=b"")
        @given(word=strategies.sampled_from([b"", b"hello"]))
        @simnet.sweep(target="server", kinds="split", runs=2)
        def test_some(net, word):
            assume(word)
            talk(net, word)

        @settings(max_examples=5, deadline=None, database=None)
        @given(word=strategies.just(b"hello"))
        @simnet.sweep(target="server", kinds="short-recv", runs=2)
        def test_answer(net, word):
            assume(talk(net, word) == word)
        """
    )
    result = run(suite, "-v", "-p", "no:randomly", "test_given.py")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*::test_some PASSED   [[]sweep: server; 2 runs *", "E   *UnsatisfiedAssumption*"])


@pytest.mark.slow
def test_an_example_with_nothing_to_test_is_told_with_its_arguments(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_given="""
        import simnet
        from hypothesis import given, settings, strategies

        @settings(max_examples=2, deadline=None, database=None)
        @given(word=strategies.just(b"never sent"))
        @simnet.sweep(kinds=["split"])
        def test_given(net, word): ...
        """
    )
    result = run(suite, "-p", "no:randomly", "test_given.py")
    result.stdout.fnmatch_lines(["NothingToTest: *", "Failing test case: test_given(", "    word=b'never sent',*"])


@pytest.mark.slow
def test_what_programs_print_in_a_thousand_runs_is_not_shown(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    pytester.makepyfile(
        test_loud="""
        import logging, simnet
        from test_servers import talk, KINDS
        from servers import hasty

        def loud(port):
            print("LOUD"), logging.getLogger("x").error("LOUD")
            hasty(port)

        @simnet.sweep(target="server", kinds=KINDS)
        def test_loud(net):
            net.host("server").spawn(loud, 7)
            assert talk(b"hello") == b"good day"
        """
    )
    result = run(pytester, "test_loud.py")
    result.assert_outcomes(failed=1)
    assert "LOUD" not in result.stdout.str()
    alone = run(pytester, "test_loud.py", "--simnet-fault", "short-recv test->server:7#1 end=server call=1 bytes=2")
    assert "LOUD" in alone.stdout.str(), "one run alone may be heard"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(
            "@simnet.sweep\nasync def test_it(net): pass", "*async def*passed without having run*", id="async"
        ),
        pytest.param("@simnet.sweep\ndef test_it(net): yield", "*is a generator*", id="generator"),
        pytest.param("@simnet.sweep\ndef test_it(): pass", "*takes no network*", id="no-parameter"),
        pytest.param("@simnet.sweep\ndef test_it(net): pass", "NothingToTest: *", id="no-socket"),
        pytest.param(
            "@simnet.sweep\ndef test_it(net, simnet_network): pass",
            "*one network would run inside the other*",
            id="two-networks",
        ),
        pytest.param(
            "async def test_it(simnet_network): pass",
            "*`async def`: its loop would have to run outside*",
            id="async-with-fixture",
        ),
        pytest.param(
            "@pytest.fixture\ndef own():\n    with simnet.Network() as net: yield net\n\n"
            "@simnet.sweep\ndef test_it(net, own): pass",
            "test_it is swept while a simulated network is already running, entered at test_it.py:5 in own, by the fixture 'own'.*",
            id="fixture-with-a-network",
        ),
        pytest.param(
            "@simnet.sweep\ndef test_it(tmp_path, net, capsys): pass",
            "*first parameter, and that is 'tmp_path', the name of a fixture, and 'net' is none.*def test_it(net, tmp_path, capsys)",
            id="network-not-first",
        ),
        pytest.param(
            "@simnet.fixture\ndef client(net): pass\n\n@simnet.fuzz\ndef test_it(client, capsys): pass",
            "*@simnet.fuzz gives the network to *, and that is 'client', the name of a simnet.fixture.*def test_it(net, client, capsys)",
            id="simnet-fixture-first",
        ),
        pytest.param(
            "@simnet.sweep\n@pytest.mark.parametrize('net', [1])\ndef test_it(net, n): pass",
            "*first parameter, and that is 'net', which parametrize gives values to. Put the *: def test_it(network, net, n)",
            id="network-s-name-parametrized",
        ),
        pytest.param(
            "class TestIt:\n    @simnet.sweep\n    @pytest.mark.parametrize('n, m', [(1, 2)])\n    def test_it(self, n, net, m): pass",
            "*first parameter, and that is 'n', which parametrize gives values to. Put the network first: def test_it(net, n, m)",
            id="parametrized-first",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_reason(pytester: pytest.Pytester, body: str, reason: str) -> None:
    pytester.makepyfile(test_it=f"import pytest, simnet\n\n{body}\n")
    result = run(pytester, "test_it.py")
    assert result.ret != 0
    result.stdout.fnmatch_lines([reason.replace("passed", "pass")])
    assert "check.py" not in result.stdout.str()


@pytest.mark.slow
def test_who_leaves_pytest_in_a_run_has_left_it(suite: pytest.Pytester) -> None:
    """As the prompt of a debugger does that is told to quit."""
    suite.makepyfile(
        test_leaves="""
        import pytest, simnet
        from test_servers import talk

        def serve(port):
            import servers
            try:
                servers.hasty(port)
            except KeyError:
                pytest.exit("enough")

        @simnet.sweep(target="server", kinds="split")
        def test_it(net):
            net.host("server").spawn(serve, 7)
            with open("runs", "ab") as runs:
                runs.write(b".")
            assert talk(b"hello") == b"good day"

        def test_one_network(simnet_network):
            simnet_network.host("server").spawn(serve, 7)
            talk(b"?")

        def test_after_it(): pass
        """
    )
    result = run(suite, "test_leaves.py")
    result.stdout.fnmatch_lines(["*! _pytest.outcomes.Exit: enough !*"])
    assert (suite.path / "runs").read_bytes() == b"..."
    assert "network   " not in result.stdout.str()
    result = run(suite, "test_leaves.py", "-k", "one_network or after")
    result.stdout.fnmatch_lines(["*! _pytest.outcomes.Exit: enough !*"])
    result.assert_outcomes()


@pytest.mark.slow
def test_a_debugger_that_is_left_in_a_run_ends_the_sweep() -> None:
    runs: list[str] = []

    def body(net: Any) -> None:
        runs.append("a run")
        if net.plan:
            raise bdb.BdbQuit
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            pass

    result = run_sweep(body, SweepOptions.of(target="test"))
    assert (len(runs), result.stopped, result.failures) == (3, "Ctrl-C", [])


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_keeps_what_was_found(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_long="""
        import simnet
        from test_servers import talk
        from servers import echo

        @simnet.sweep(target="server", runs=1_000_000)
        def test_long(net):
            with open("runs", "ab") as runs:
                runs.write(b".")
            net.host("server").spawn(echo, 7)
            assert talk(b"hello" * 20_000) == b"hello" * 20_000
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "test_long.py"],
        cwd=suite.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        runs, deadline = suite.path / "runs", time.monotonic() + START
        while not runs.exists() or runs.stat().st_size < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=START)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert "KeyboardInterrupt" in rest
    assert runs.stat().st_size < 5_000, "it was stopped, and had not ended"


@pytest.mark.slow
def test_a_long_sweep_tells_on_a_terminal_how_far_it_is(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_long="""
        import simnet
        from test_servers import talk
        from servers import echo

        @simnet.sweep(target="server", runs=150, kinds="short-recv")
        def test_long(net):
            net.host("server").spawn(echo, 7)
            assert talk(b"hello" * 20_000) == b"hello" * 20_000
        """
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "test_long.py"],
        cwd=suite.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # its own terminal
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := read_terminal(ours):
            shown += chunk
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    told = shown.decode()
    first = re.search(r"test_long \x1b?.{0,20}? (\d+)/150 runs\x08+", told)
    assert first is not None, told
    assert 0 < int(first[1]) < 150
    assert "PASSED   [sweep: server; 150 runs in" in told


def read_terminal(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # EIO: the last who had it open has gone (man 4 pts)
        return b""


@pytest.mark.slow
def test_a_test_that_waits_for_output_in_vain_is_told_that_a_sweep_has_none(suite: pytest.Pytester) -> None:
    body = """
import simnet
from servers import echo
from test_servers import talk

@simnet.sweep
def test_it(net, capsys):
    net.host("server").spawn(echo, 7)
    talk(b"hello")
    print("hi")
    assert "hi" in capsys.readouterr().out
"""
    (suite.path / "test_it.py").write_text(body)
    result = run(suite, "test_it.py")
    result.stdout.fnmatch_lines(
        ["why       what is printed and logged in a sweep goes nowhere, so capsys may have missed it.*"]
    )
    assert str(result.stdout).count("run it    ") == 1  # one report, not one with the reason and one without


@pytest.mark.slow
def test_a_test_that_wants_to_be_skipped_is_skipped_with_its_reason_alone(suite: pytest.Pytester) -> None:
    body = """
import pytest, simnet, unittest
from servers import echo

@simnet.sweep
def test_it(net):
    net.host("server").spawn(echo, 7)
    pytest.skip("not here")

class TestThem(unittest.TestCase):
    @simnet.sweep
    def test_it(self, net):
        net.host("server").spawn(echo, 7)
        self.skipTest("nor here")

    def test_by_hand(self):
        def body(net):
            self.skipTest("nor there")

        simnet.check(body)
"""
    (suite.path / "test_it.py").write_text(body)
    result = run(suite, "-rs", "test_it.py")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines_random(["SKIPPED * not here", "SKIPPED * nor here", "SKIPPED * nor there"])
    assert "network " not in result.stdout.str()


@pytest.mark.slow
def test_who_would_be_skipped_only_under_a_fault_that_loses_nothing_has_failed(suite: pytest.Pytester) -> None:
    """As by a helper that skips where no server answers: it does not answer any more, and nobody would hear of it."""
    body = """
import pytest, simnet, socket, unittest

def serve(port):
    with socket.create_server(("", port)) as listener:
        while True:
            with listener.accept()[0] as conn:
                conn.sendall(conn.recv(100))

def answer():
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)

@simnet.sweep(target="server", kinds="short-recv")
def test_it(net):
    net.host("server").spawn(serve, 7)
    if answer() != b"hello":
        pytest.skip("no server here")

class TestThem(unittest.TestCase):
    @simnet.sweep(target="server", kinds="short-recv")
    def test_it(self, net):
        net.host("server").spawn(serve, 7)
        if answer() != b"hello":
            self.skipTest("nor here")
"""
    (suite.path / "test_it.py").write_text(body)
    result = run(suite, "-rs", "test_it.py")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E   Skipped: no server here", "E   *SkipTest: nor here"])


@pytest.mark.slow
def test_a_limit_of_real_time_is_told_without_a_page_of_simnets_own_code(suite: pytest.Pytester) -> None:
    body = """
import pytest, signal, simnet
from servers import echo

@pytest.fixture
def in_time():
    def ring(*_):
        pytest.fail("too late")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)

@simnet.sweep(target="server", kinds="transparent", runs=1_000_000, depth=2)
def test_it(net, in_time):
    net.host("server").spawn(echo, 7)
    with net.host("client").connect(("server", 7)) as sock:
        for word in (b"what", b"a", b"day"):
            sock.sendall(word)
            sock.recv(1)
    for _ in range(300_000):  # it takes its time
        pass
"""
    (suite.path / "test_it.py").write_text(body)
    result = run(suite, "test_it.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E   *Failed: too late"])
    assert "raise_failures" not in result.stdout.str()


LEAKS = """
import socket
import simnet

def serve(port):
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            try:
                conn.sendall(conn.recv(100))
                conn.close()
            except OSError:
                conn = None

@simnet.sweep(target="server", kinds="reset", runs=3)
def test_it(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("another", "more", "runs"), [("", "", 3), ("", "", 1), ("; socket.socket()", "  ", 3)])
def test_where_warnings_are_errors_a_socket_that_is_dropped_is_told_once_with_its_line_and_the_fault(
    suite: pytest.Pytester, another: str, more: str, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several that nobody could catch pytest makes a group, and one is raised by itself."""
    monkeypatch.setenv("CI", "true")  # there nothing is cut
    suite.makepyfile(test_leaks=LEAKS.rstrip() + another)
    result = run(suite, "-W", "error", "test_leaks.py", f"--simnet-runs={runs}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"E   {more}ResourceWarning: unclosed <socket.socket fd=*",
            f"E   {more}at test_leaks.py:12 in serve, under the plan: reset test->server:7#1 end=server recv call=1",
            *([f"E   {more}and so * more in this sweep"] if runs > 1 else []),
        ]
    )
    assert result.stdout.str().count("test_leaks.py:12 in serve") == 1
    result.stdout.no_fnmatch_line("*Enable tracemalloc*")
