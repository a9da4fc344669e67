"""The guard in conftest.py is itself guarded: a leak is seen, named, and blamed on the test that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each case takes a pytest of its own

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")


@pytest.fixture
def leaky(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


def test_a_leaked_descriptor_is_an_error_that_names_its_target(leaky: pytest.Pytester) -> None:
    leaky.makepyfile("""
        import os
        left = []
        def test_leaks(): left.append(os.open("/dev/null", os.O_RDONLY))
        def test_after(): os.close(left.pop())
    """)
    result = leaky.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)  # the test after it is not blamed
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*descriptors left open: {*/dev/null*"])


def test_a_thread_left_running_is_an_error_that_names_it(leaky: pytest.Pytester) -> None:
    leaky.makepyfile("""
        import threading, time
        def test_leaks(): threading.Thread(target=time.sleep, args=(0.3,), name="straggler").start()
    """)
    result = leaky.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*threads left running: ?'straggler'?*"])


def test_a_network_that_was_not_left_is_an_error_and_the_next_test_may_have_its_own(leaky: pytest.Pytester) -> None:
    leaky.makepyfile("""
        import pytest
        import simnet

        left = []

        def enter():
            left.append(simnet.Network())
            left[-1].__enter__()

        @pytest.fixture
        def entered():
            enter()

        def test_leaks():
            enter()

        def test_of_a_fixture_that_leaks(entered):
            pass

        def test_after():
            with simnet.Network() as net:
                assert net.time == 0
    """)
    result = leaky.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*a simulated network was entered and not left*"])
    result.stdout.fnmatch_lines(["*test_leaks has left a network running*"])


def test_an_exception_in_a_thread_fails_the_test_that_started_it(leaky: pytest.Pytester) -> None:
    leaky.makepyfile("""
        def test_starts(in_thread): in_thread(lambda: 1 / 0)
    """)
    result = leaky.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


def test_a_test_that_closes_what_it_opened_passes(leaky: pytest.Pytester) -> None:
    leaky.makepyfile("""
        def test_pair(loopback_pair):
            opener, acceptor = loopback_pair
            opener.sendall(b"hello")
            assert acceptor.recv(5) == b"hello"
    """)
    leaky.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
