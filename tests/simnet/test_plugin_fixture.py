"""``@simnet.fixture``: set up in each run, within its network, and taken apart when the run's body has ended."""

from __future__ import annotations

import pytest

import simnet.faces.under_pytest.sweep  # noqa: F401 - a pytest within this one would load it once for each run

SERVERS = """
import socket
import pytest
import simnet

told = []

def serve():
    with socket.create_server(("", 7)) as listener:
        while True:
            try:
                conn, _ = listener.accept()
                with conn:
                    while data := conn.recv(100):
                        conn.sendall(data)
            except OSError:
                pass

@pytest.fixture(scope="module")
def word():
    return b"hello"

@simnet.fixture
def server(net):
    return net.host("server").spawn(serve)

@simnet.fixture
def client(net, server, word):
    assert server.name == "server/serve"
    told.append("in")
    with socket.create_connection(("server", 7)) as sock:
        yield sock
    told.append("out")
"""

ONE = (
    SERVERS
    + """
@simnet.sweep(target="server", kinds=["short-recv", "partial-send"])
def test_swept(net, client, word):
    client.sendall(word)
    client.shutdown(socket.SHUT_WR)
    with client.makefile("rb") as lines:
        assert lines.read() == word

def test_each_run_had_one():
    assert told == ["in", "out"] * (len(told) // 2)
    assert len(told) > 8

def test_alone(simnet_network, client, word):
    told.clear()
    client.sendall(word)
    assert client.recv(100) == word
    assert simnet_network.host("test")

def test_and_it_was_taken_apart():
    assert told == ["out"]
"""
)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "110")
    (pytester.path / "pyproject.toml").touch()
    return pytester


def run(suite: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    suite.makepyfile(test_it=source)
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


@pytest.mark.slow
def test_each_run_of_a_sweep_sets_it_up_and_takes_it_apart(suite: pytest.Pytester) -> None:
    run(suite, ONE).assert_outcomes(passed=4)


@pytest.mark.slow
def test_one_run_from_the_command_line_has_it_too(suite: pytest.Pytester) -> None:
    result = run(suite, ONE, "-k", "swept", "--simnet-fault", "short-recv test->server:7#1 end=server call=1 bytes=2")
    result.assert_outcomes(passed=1, deselected=3)


@pytest.mark.slow
def test_who_asks_by_a_mark_or_not_at_all_gets_it_and_methods_may_be_some(suite: pytest.Pytester) -> None:
    source = (
        SERVERS
        + """
kept = []

class TestThem:
    @simnet.fixture(autouse=True, params=[1, 2], name="number")
    def of_the_class(self, net, request, server):
        kept[:] = [type(self).__name__, request.param]

    @pytest.mark.usefixtures("client")
    @simnet.fuzz(target="server", seeds=5, kinds="refuse")
    def test_fuzzed(self, net):
        assert kept in (["TestThem", 1], ["TestThem", 2])
        assert told[-1] == "in"
"""
    )
    run(suite, source).assert_outcomes(passed=2)


@pytest.mark.slow
def test_what_it_raises_is_the_runs_and_the_bodys_error_stands_before_it(suite: pytest.Pytester) -> None:
    source = """
import simnet

@simnet.fixture
def first(net):
    yield 1
    raise KeyError("behind")

@simnet.fixture
def second(net, first):
    raise LookupError("before")

@simnet.sweep
def test_behind(net, first):
    pass

@simnet.sweep
def test_both(net, first):
    assert first == 2

@simnet.sweep
def test_before(net, second):
    pass

@simnet.fixture
def twice(net):
    yield 1
    yield 2

def test_more(simnet_network, twice):
    pass
"""
    result = run(suite, source)
    result.assert_outcomes(failed=3, passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["E *RuntimeError: the fixture 'twice' has more than one `yield`", "E   KeyError: 'behind'"],
    )
    result.stdout.fnmatch_lines(["E   assert 1 == 2*", "E   LookupError: before"])


@pytest.mark.slow
def test_of_several_that_fail_at_the_end_of_a_run_each_is_told(suite: pytest.Pytester) -> None:
    source = """
import simnet
from simnet.demo.corrected_server import serve

@simnet.fixture
def first(net):
    net.host("server").spawn(serve, 7)
    yield
    raise ValueError("the first")

@simnet.fixture
def second(net, first):
    yield
    raise LookupError("the second")

@simnet.sweep
def test_it(net, second):
    net.host("test").connect(("server", 7)).close()
"""
    result = run(suite, source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   LookupError: the second",
            "and behind the `yield` of the fixture 'first': ValueError: the first (test_it.py:8)",
        ]
    )


def test_without_a_network_it_says_what_to_do(suite: pytest.Pytester) -> None:
    result = run(suite, SERVERS + "\ndef test_plain(client): ...\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "test_plain asks for server, a simnet.fixture, and has no network: sweep or fuzz the test, or let it take simnet_network too"
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "@simnet.fixture(scope='module')\ndef of_all(net): ...",
            "@simnet.fixture has no option 'scope': each run sets it up",
        ),
        ("@simnet.fixture\ndef of_nothing(): ...", "*of_nothing takes no network: its first parameter gets it*"),
        ("@simnet.fixture\nasync def later(net): ...", "*later is `async def`, and nobody would run it*"),
        ("simnet.fixture('client')", "*fixture('client'): options are given by name*"),
    ],
)
def test_what_cannot_be_a_fixture_is_refused_at_once(suite: pytest.Pytester, source: str, says: str) -> None:
    result = run(suite, f"import simnet\n\n{source}\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E   TypeError: {says}"])


@pytest.mark.slow
def test_a_fixture_may_be_called_as_an_option_of_the_sweep_is(suite: pytest.Pytester) -> None:
    source = """
import pytest
import simnet
from simnet.demo.corrected_server import serve

@pytest.fixture
def options():
    return "options"

@simnet.fixture
def progress(net):
    net.host("server").spawn(serve, 7)
    return "progress"

@simnet.sweep(target="server", kinds="reset-before-accept")
def test_it(net, options, progress):
    assert (options, progress) == ("options", "progress")
    net.host("test").connect(("server", 7)).close()
"""
    run(suite, source).assert_outcomes(passed=1)


@pytest.mark.slow
def test_without_the_plugin_a_swept_test_says_what_it_lacks(suite: pytest.Pytester) -> None:
    (suite.path / "test_one.py").write_text(ONE)
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:simnet", "-k", "swept")
    result.stdout.fnmatch_lines(
        ["test_swept asks for server, a simnet.fixture, which each run sets up by the plugin *"]
    )


@pytest.mark.slow
def test_a_generator_that_is_returned_is_the_value_itself(suite: pytest.Pytester) -> None:
    source = """
import simnet

@simnet.fixture
def numbers(net):
    return (each for each in (1, 2))

def test_it(simnet_network, numbers):
    assert list(numbers) == [1, 2]
"""
    run(suite, source).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest 9")
def test_what_a_fault_rightly_interrupts_in_a_subtest_is_no_failure(suite: pytest.Pytester) -> None:
    source = """
import socket

import simnet
from simnet.demo.corrected_server import serve


@simnet.sweep(target="server", runs=60)
def test_in_parts(net, subtests):
    net.host("server").spawn(serve, 7)
    for data in (b"hello", b"world"):
        with subtests.test(data=data), socket.create_connection(("server", 7)) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == data


@simnet.sweep(target="server", kinds=["reset"], strict=True)
def test_strictly(net, subtests):
    test_in_parts.simnet_test(net, subtests)
"""
    result = run(suite, source)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("SUBFAILED*")
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_strictly - 2 distinct failures: *"])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest 9")
def test_subtests_pass_on_by_whatever_way_a_test_has_come_to_them(suite: pytest.Pytester) -> None:
    source = """
import socket

import pytest
import simnet
from simnet.demo.corrected_server import serve


class Parts:
    def __init__(self, subtests):
        self.one = subtests.test


@pytest.fixture
def asked(request):
    return Parts(request.getfixturevalue("subtests"))


@simnet.fixture
def own(net, subtests):
    return Parts(subtests)


@simnet.fixture
def late(net, request):
    return Parts(request.getfixturevalue("subtests"))


@simnet.sweep(target="server", kinds=["reset"])
def test_it(net, asked, own, late):
    net.host("server").spawn(serve, 7)
    for parts in (asked, own, late):
        with parts.one(), socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"hello"


def test_another(subtests):
    with subtests.test("fails"):
        assert False
"""
    result = run(suite, source)
    result.assert_outcomes(passed=1, failed=2)  # the other, and its part
    result.stdout.fnmatch_lines(["SUBFAILED* test_it.py::test_another*"])


@pytest.mark.slow
def test_what_a_test_prints_and_logs_that_fails_by_itself_is_shown_once(suite: pytest.Pytester) -> None:
    source = """
import logging
import simnet

def serve():
    print("begun")
    logging.getLogger("mine").warning("nobody there")

@simnet.sweep(target="server")
def test_it(net):
    net.host("server").spawn(serve)
    raise ValueError("mine")
"""
    ran = run(suite, source)
    ran.assert_outcomes(failed=1)
    ran.stdout.fnmatch_lines(
        ["E*ValueError: mine", "*Captured stdout call*", "begun", "*Captured log call*", "WARNING*nobody there"]
    )
    assert str(ran.stdout).count("begun") == 1


def test_a_fixture_that_asks_for_a_network_of_its_own_is_named_with_what_to_make_of_it(suite: pytest.Pytester) -> None:
    source = """
import pytest
import simnet

@pytest.fixture
def server(simnet_network):
    return simnet_network.host("server")

@simnet.sweep(target="server")
def test_it(net, server):
    pass
"""
    ran = run(suite, source)
    ran.assert_outcomes(errors=1)
    told = str(ran.stdout)
    assert (
        "test_it is swept, and asks for the fixture simnet_network besides by its fixture 'server': one network" in told
    )
    assert "make a @simnet.fixture of 'server', which is given that one." in told
