"""The fixture ``simnet_network``: one network around one test, left when the test has ended."""

from __future__ import annotations

import pytest

from tests.simnet.faces_samples import lay_out


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    lay_out(pytester.path)
    return pytester


def run(suite: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    head = "import asyncio, socket, time\nimport pytest, simnet\nfrom servers import echo, hasty\nfrom test_servers import talk\n"
    (suite.path / "test_it.py").write_text(head + body)
    return suite.runpytest_inprocess("-p", "no:cacheprovider", "test_it.py", *arguments)


TALK = """
def test_it(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
"""


@pytest.mark.slow
def test_the_test_runs_as_a_process_of_the_network(suite: pytest.Pytester) -> None:
    body = """
def test_it(simnet_network):
    net = simnet_network
    net.link("test", "server").latency = 0.2
    net.host("server").spawn(echo, 7)
    began = time.monotonic()
    assert talk(b"hello") == b"hello"
    assert time.monotonic() - began >= 0.8     # there and back for SYN, there and back for the bytes
    assert socket.gethostname() == "test"
"""
    run(suite, body).assert_outcomes(passed=1)


@pytest.mark.slow
def test_what_fails_in_a_server_fails_the_test_and_not_its_clean_up(suite: pytest.Pytester) -> None:
    body = """
def broken(port):
    with socket.create_server(("", port)) as listener:
        with listener.accept()[0]:
            raise ZeroDivisionError("in the server")

def test_it(simnet_network):
    simnet_network.host("server").spawn(broken, 7)
    with socket.create_connection(("server", 7)):
        pass
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1, errors=0)
    result.stdout.fnmatch_lines(["E   *ZeroDivisionError: in the server"])


@pytest.mark.slow
def test_what_a_person_gets_wrong_is_told_with_what_to_do(suite: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def early():
    with socket.socket() as sock:
        yield sock

def test_a_socket_of_before(early, simnet_network):
    simnet_network.host("server").spawn(hasty, 7)
    early.connect(("server", 7))

def test_another_port(simnet_network):
    simnet_network.host("server").spawn(hasty, 8)
    talk(b"hello")

async def main():
    pass

def test_a_coroutine(simnet_network):
    simnet_network.host("server").spawn(main())

def test_a_coroutine_once_more(simnet_network):
    once = main()
    for name in ("one", "two"):
        simnet_network.host(name).run(asyncio.run, once)

@pytest.mark.simnet(plan="crahs server at=1")
def test_a_plan(simnet_network):
    pass
"""
    result = run(suite, body)
    result.assert_outcomes(failed=4, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "E * the socket was made before the network was entered, and is the real kernel's. Make it within",
            "E * nobody listened there; the programs under test listened on server:8",
            "E * TypeError: spawn() got a coroutine; hand over what runs it, too: spawn(asyncio.run, main())",
            "E * TypeError: spawn() got the coroutine main(), which has run already: each runs once. Make one where it is *: main()",
            "*::test_a_plan: its network cannot be made: fault 1: 'crahs' is no kind of fault; did you mean 'crash'?",
        ]
    )
    assert "faults/plan.py" not in result.stdout.str()


@pytest.mark.slow
def test_the_tests_own_exception_comes_first(suite: pytest.Pytester) -> None:
    body = """
def test_it(simnet_network):
    simnet_network.host("server").spawn(hasty, 7)
    assert talk(b"hello") == b"good night"
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1, errors=0)
    result.stdout.fnmatch_lines(["E * AssertionError: assert b'good day' == b'good night'"])


@pytest.mark.slow
def test_other_fixtures_build_on_it_and_may_close_what_they_opened(suite: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def client(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    with socket.create_connection(("server", 7)) as sock:
        yield sock

def test_it(client):
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
"""
    run(suite, body).assert_outcomes(passed=1)


@pytest.mark.slow
def test_two_tests_have_two_networks_and_real_sockets_are_back_between_them(suite: pytest.Pytester) -> None:
    body = """
def test_it(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"a") == b"a"

def test_real():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert type(listener) is socket.socket

def test_again(simnet_network):
    assert simnet_network.time == 0
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"b") == b"b"
"""
    run(suite, body).assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_mark_sets_up_its_plan(suite: pytest.Pytester) -> None:
    body = """
@pytest.mark.simnet(plan="short-recv test->server:7#1 end=server call=1 bytes=2", target="server")
def test_it(simnet_network):
    simnet_network.host("server").spawn(hasty, 7)
    with pytest.raises(OSError):
        talk(b"hello")
    assert len(simnet_network.happened) == 1
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * KeyError: b'he'", "servers.py:25: KeyError"])
    assert "pytest_plugin" not in result.stdout.str()
    assert "simnet/process.py" not in result.stdout.str()


@pytest.mark.slow
def test_a_fault_on_the_command_line_changes_it_for_once(suite: pytest.Pytester) -> None:
    result = run(suite, TALK, "--simnet-fault", "reset test->server:7#1 end=server byte=2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * OSError: [[]Errno 107[]] Transport endpoint is not connected"])


@pytest.mark.slow
def test_a_fault_that_is_never_reached_is_told(suite: pytest.Pytester) -> None:
    result = run(suite, TALK, "--simnet-fault", "eof test->server:7#1 end=server byte=2000")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*test_it.py::test_it: eof *was never reached: towards the server of * 5 bytes travelled*"]
    )


@pytest.mark.slow
def test_the_run_is_drawn_when_asked_for(suite: pytest.Pytester) -> None:
    result = run(suite, TALK, "-rP", "--simnet-trace")
    result.stdout.fnmatch_lines(["*simnet: this run*", "*connect server:7*SYN*"])


@pytest.mark.slow
def test_the_same_test_runs_on_real_sockets(suite: pytest.Pytester) -> None:
    body = """
def test_it(simnet_network):
    assert isinstance(simnet_network, simnet.RealNetwork)
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
"""
    run(suite, body, "--simnet-real").assert_outcomes(passed=1)
    result = run(
        suite,
        body.replace("assert talk", "assert simnet_network.seconds == 60 and talk"),
        "--simnet-real",
        "--simnet-seconds=60",
    )
    result.assert_outcomes(passed=1)
    result = run(suite, body, "--simnet-seconds=60")
    result.stderr.fnmatch_lines(["ERROR: --simnet-seconds 60 is for --simnet-real: on simnet time is virtual"])


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--simnet-runs=5", "--simnet-kinds=reset"])
def test_what_a_sweep_is_told_is_refused_where_none_is_made(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    body, name = "def test_it():\n    pass\n", option.partition("=")[0]
    for one, why in (
        ("--simnet-real", "on real sockets each test is played once"),
        ("--simnet-fault=refuse test->server:7#1", "one plan is played"),
    ):
        result = run(suite, body, one, option)
        result.stderr.fnmatch_lines([f"ERROR: {name} is for a sweep, and here {why}; leave it out"])
        monkeypatch.setenv("PYTEST_ADDOPTS", option)  # said once for every session of a project: it does no harm
        run(suite, body, one).assert_outcomes(passed=1)
        monkeypatch.delenv("PYTEST_ADDOPTS")


@pytest.mark.slow
def test_a_network_of_its_own_inside_it_is_refused_with_the_reason(suite: pytest.Pytester) -> None:
    body = """
def test_it(simnet_network):
    with simnet.Network():
        pass
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E * RuntimeError: another network is already running *, entered by the fixture simnet_network, which *"]
    )


@pytest.mark.slow
def test_beside_a_fixture_with_a_network_of_its_own_it_is_refused_without_a_traceback(suite: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def own():
    with simnet.Network() as net:
        yield net

def test_it(own, simnet_network):
    pass

def test_after(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"a") == b"a"
"""
    result = run(suite, body)
    result.assert_outcomes(errors=1, passed=1)
    at = next(place for place, line in enumerate(result.outlines) if "ERROR at setup of test_it" in line)
    assert result.outlines[at + 1].startswith(
        "test_it cannot have simnet_network: another network is already running in this thread, entered at test_it.py:"
    )
    assert result.outlines[at + 1].endswith(" in own; leave it before entering this one")


@pytest.mark.slow
def test_a_set_up_that_fails_leaves_no_network_behind(suite: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def broken(simnet_network):
    raise ZeroDivisionError

def test_it(broken):
    pass

def test_after(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"a") == b"a"
"""
    run(suite, body).assert_outcomes(errors=1, passed=1)


@pytest.mark.slow
def test_a_broken_rule_is_told_without_a_traceback(suite: pytest.Pytester) -> None:
    body = """
def keep(port):
    listener = socket.create_server(("", port))
    connection, _ = listener.accept()
    time.sleep(1e6)
def test_it(simnet_network):
    simnet_network.host("server").spawn(keep, 7)
    socket.create_connection(("server", 7)).close()
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1)
    at = next(place for place, line in enumerate(result.outlines) if "_ test_it _" in line)
    assert result.outlines[at + 1].startswith(
        "AssertionError: [nothing-left] server/keep still holds test->server:7#1 (CLOSE_WAIT)"
    )
    assert result.outlines[at + 2].startswith("====")


@pytest.mark.slow
def test_a_hang_under_a_fixture_of_the_users_own_says_where_and_leaves_the_other_tests_alone(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever waits when the fixtures are torn down meets the hang again; pytest goes on for an Exception only."""
    monkeypatch.setattr("simnet.watchdog.HANG_SECONDS", 0.5)
    body = """
@pytest.fixture
def net():
    with simnet.Network() as net:
        yield net

@pytest.fixture
def busy(monkeypatch, net):
    monkeypatch.setattr(time, "altzone", 7)
    yield
    time.sleep(1)

def test_it(busy):
    while True:
        pass

def test_that_comes_next(net):
    assert time.altzone != 7
    time.sleep(1)
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1, errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ["E *Hang: test has computed for 0.5 s of real time without waiting for anything. It was here:"]
    )


@pytest.mark.slow
def test_of_a_network_in_a_fixture_of_the_users_own_only_the_users_lines_are_shown(suite: pytest.Pytester) -> None:
    body = """
import pytest, simnet
@pytest.fixture
def net():
    with simnet.Network() as network:
        yield network
def test_it(net):
    with net.host("server").listen(7) as listener:
        listener.settimeout(5)
        listener.accept()
"""
    result = run(suite, body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["> *listener.accept()", "E *TimeoutError: timed out", "test_it.py:*: TimeoutError"])
    assert not any("simnet/" in line for line in result.outlines)


FORGOTTEN = """
import unittest

def test_it():
    net = simnet.KIND()
    net.__enter__()
    net.host("server").spawn(echo, 7)

def test_with_a_failure_of_its_own():
    simnet.KIND().__enter__()
    raise KeyError("mine")

class TestCase(unittest.TestCase):
    def test_of_unittest(self):
        simnet.KIND().__enter__()

def test_after_them(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Network", "RealNetwork"])
def test_a_network_that_a_test_has_not_left_is_told_and_ended(suite: pytest.Pytester, kind: str) -> None:
    result = run(suite, FORGOTTEN.replace("KIND", kind))
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"test_it has left a network running, which was entered at test_it.py:10 in test_it. `with simnet.{kind}() as net:` *",
            "E *KeyError: *",
            "E *test_with_a_failure_of_its_own has left a network running, which was entered at test_it.py:14 *",
            "test_of_unittest has left a network running, which was entered at test_it.py:19 in test_of_unittest.*",
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Network", "RealNetwork"])
def test_a_network_that_a_fixture_never_leaves_does_not_stop_pytest_from_ending(
    suite: pytest.Pytester, kind: str
) -> None:
    body = f"""
@pytest.fixture(scope="module")
def world():
    net = simnet.{kind}()
    net.__enter__()
    return net

def test_it(world): world.host("server")
def test_it_again(world): world.host("server")
"""
    (suite.path / "test_it.py").write_text(f"import pytest, simnet\n{body}")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "test_it.py")
    result.assert_outcomes(passed=2)
    assert "Traceback" not in result.stderr.str()
    assert result.ret == 0


@pytest.mark.slow
def test_an_option_that_is_spelt_wrong_is_told_with_the_one_that_was_meant(suite: pytest.Pytester) -> None:
    """From Python 3.13 on the interpreter says so itself."""
    body = """
def test_network(): simnet.Network(targets="server")
def test_real(): simnet.RealNetwork(targets="server")
def test_play(): simnet.play(lambda net: None, targts="server")
def test_plans(): simnet.strategies.fault_plans(max_fault=3)
def fault_rates(): ...
def test_another(): fault_rates(knds=3)
"""
    result = run(suite, body)
    result.assert_outcomes(failed=5)
    told = result.stdout.str().lower()  # where CI is set, pytest tells all of it twice
    assert told.count("did you mean 'target'?") in (3, 6)
    assert told.count("did you mean 'max_faults'?") in (1, 2)
    assert told.count("did you mean") in (4, 8)


OUTCOMES = """
def test_that_fails_by_hand():
    simnet.Network().__enter__()
    pytest.fail("enough")

def test_that_is_skipped():
    simnet.Network().__enter__()
    pytest.skip("not here")

def test_after_them(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"
"""


@pytest.mark.slow
def test_a_network_is_ended_that_was_left_by_pytest_fail_or_skip(suite: pytest.Pytester) -> None:
    result = run(suite, OUTCOMES)
    result.assert_outcomes(failed=1, skipped=1, passed=1)
    result.stdout.fnmatch_lines(["E *Failed: enough", "E *test_that_fails_by_hand has left a network running, *"])


@pytest.mark.slow
def test_what_others_do_at_the_end_of_a_pytest_that_ctrl_c_has_ended_is_not_stopped(suite: pytest.Pytester) -> None:
    body = """
import os, signal, time
import simnet
from simnet import watchdog

def test_it():
    watchdog.STUBBORN_SECONDS = 1.0
    simnet.Network().__enter__()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
"""
    (suite.path / "test_it.py").write_text(body)
    (suite.path / "conftest.py").write_text("""
import sys
from simnet import real

def take_long():
    deadline = real.monotonic() + 2.0  # as on a busy machine
    while real.monotonic() < deadline:
        pass

class Imports:
    def find_spec(self, name, path=None, target=None):
        if name == "simnet.faces.under_pytest.network":
            take_long()

sys.meta_path.insert(0, Imports())

def pytest_sessionfinish():
    take_long()
    print("all is put away")
""")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "test_it.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*all is put away*"])


@pytest.mark.slow
def test_ctrl_c_in_a_network_that_nobody_leaves_ends_pytest_as_ever(suite: pytest.Pytester) -> None:
    body = """
def test_it():
    simnet.Network().__enter__()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
"""
    (suite.path / "test_it.py").write_text(f"import os, signal, time\nimport simnet\n{body}")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "test_it.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "Traceback" not in result.stderr.str()


@pytest.mark.slow
@pytest.mark.parametrize(
    "test",
    ["def test_it(simnet_network):\n    simnet_network", "@simnet.sweep\ndef test_it(net):\n    net"],
    ids=["fixture", "sweep"],
)
@pytest.mark.parametrize(
    ("spawned", "told"),
    [('os.system, "true"', "Escape: server/system reached for os.system"), ("sys.exit, 3", "SystemExit: 3")],
)
def test_what_a_function_in_c_reaches_for_is_shown_without_a_line_of_simnets(
    suite: pytest.Pytester, test: str, spawned: str, told: str
) -> None:
    result = run(suite, f'import os, sys\n{test}.host("server").spawn({spawned})\n')
    result.assert_outcomes(failed=1, errors=0)
    result.stdout.fnmatch_lines([f"E   {told}*"])
    for room in ("backend.py", "process.py", "pytest_network.py"):
        result.stdout.no_fnmatch_line(f"*{room}*")


@pytest.mark.slow
def test_who_gives_examples_to_a_test_with_one_network_is_told_what_makes_one_for_each(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        from hypothesis import given, strategies as st

        @given(st.binary())
        def test_words(simnet_network, word):
            pass
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FailedHealthCheck*", "*- simnet -*", "*with simnet.Network() as net:*"])


def test_a_test_whose_decorator_was_forgotten_is_told_what_gives_it_a_network(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import simnet

        def test_forgotten(net, tmp_path):
            pass

        @simnet.sweep(target="server")
        def test_another_mistake(net, data_of_ours):
            pass
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(
        [
            "*fixture 'net' not found",
            "*available fixtures: *",
            "@simnet.sweep(...) gives a network to the first parameter of the test below it*",
            "*fixture 'data_of_ours' not found",
        ]
    )
    assert str(result.stdout).count("gives a network to") == 1  # the other has its decorator


@pytest.mark.slow
def test_who_forgets_the_fixture_is_told_why_the_name_is_unknown(suite: pytest.Pytester) -> None:
    told = "*no simulated network runs in this test*the fixture simnet_network runs one*"
    forgotten = """
import socket

def test_without():
    socket.gethostbyname("server.invalid")
"""
    beside = """
def test_with(simnet_network):
    simnet_network.host("server")
    assert socket.gethostbyname("server")
"""
    (suite.path / "test_forgotten.py").write_text(forgotten + beside)
    ran = suite.runpytest_inprocess("-p", "no:cacheprovider", "test_forgotten.py")
    ran.assert_outcomes(passed=1, failed=1)
    ran.stdout.fnmatch_lines(["E*gaierror:*", told])
    (suite.path / "test_elsewhere.py").write_text(forgotten)
    alone = suite.runpytest_inprocess("-p", "no:cacheprovider", "test_elsewhere.py")
    alone.assert_outcomes(failed=1)
    alone.stdout.no_fnmatch_line(told)
    (suite.path / "test_that_knows.py").write_text("from simnet import sweep\n" + forgotten)
    knows = suite.runpytest_inprocess("-p", "no:cacheprovider", "test_that_knows.py")
    knows.stdout.fnmatch_lines([told])
    inside = """
import simnet

def test_of_its_own():
    with simnet.Network():
        socket.gethostbyname("server")

def test_that_checks():
    simnet.check(lambda net: socket.gethostbyname("server"))
"""
    (suite.path / "test_within.py").write_text("import socket" + inside)
    within = suite.runpytest_inprocess("-p", "no:cacheprovider", "test_within.py")
    within.assert_outcomes(failed=2)
    within.stdout.fnmatch_lines(["*'server' is no host of this network; there is test"] * 2)
    within.stdout.no_fnmatch_line(told)


@pytest.mark.slow
@pytest.mark.parametrize(("scope", "network"), [("function", "simnet_network"), ("module", "own")])
def test_a_verdict_in_a_fixture_is_that_of_each_test_that_asks_for_it_and_of_no_other(
    suite: pytest.Pytester, scope: str, network: str
) -> None:
    body = """
@pytest.fixture(scope="module")
def own():
    with simnet.Network() as net:
        with contextlib.suppress(simnet.Deadlock):
            yield net

@pytest.fixture(scope="SCOPE")
def connected(NETWORK):
    with socket.create_server(("", 7)) as listener:
        return listener.accept()

def test_it(connected):
    pass

def test_that_comes_next(connected):
    pass

def test_of_something_else(NETWORK):
    time.sleep(1)
"""
    body = "import contextlib\n" + body.replace("SCOPE", scope).replace("NETWORK", network)
    result = run(suite, body)
    result.assert_outcomes(errors=2, passed=1)
    told = [
        line
        for line in result.outlines
        if line.startswith("E  ") and "waits for accept on test:7 at test_it.py" in line
    ]
    assert len(told) == 2
