"""``@simnet.fuzz``: a test under random faults, several at once, the same ones in every session."""

from __future__ import annotations

import contextlib
import itertools
import socket
from typing import Any

import pytest

from simnet import Network, check, fuzz, sweep
from simnet.explore.fuzz import run_fuzz
from simnet.explore.options import SweepOptions
from tests.simnet.faces_samples import PATIENT

SOURCE = f"""{PATIENT}
def ask(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        assert sock.recv(1) == b""

@simnet.sweep(target="server", kinds="would-block")
def test_each_alone(net):
    ask(net)

@simnet.fuzz(target="server", kinds="would-block", seeds=400)
def test_several(net):
    ask(net)

class TestThem:
    @simnet.fuzz(target="server", kinds="would-block", seeds=3)
    def test_of_a_class(self, net):
        ask(net)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "110")
    (pytester.path / "pyproject.toml").touch()
    pytester.makepyfile(test_patience=SOURCE)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


@pytest.mark.slow
def test_what_needs_two_faults_is_found_by_a_fuzz_and_by_no_sweep(suite: pytest.Pytester) -> None:
    result = run(suite, "-v", "test_patience.py")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_patience.py::test_each_alone PASSED   [[]sweep: server; *",
            "test_patience.py::test_several FAILED *",
            "test_patience.py::TestThem::test_of_a_class PASSED   [[]fuzz: server; 3 runs *",
            "*test_several [[]fuzz[]]*",
            "E   BlockingIOError: *",
            "simnet: 1 sweep, 2 fuzzes, * runs in * s*",
        ]
    )
    (file,) = (suite.path / ".simnet/failures/test_several").glob("*.toml")
    assert file.read_text(encoding="utf-8").count("[[fault]]") == 2, "made as small as it gets"
    assert 'by = "fuzz"' in file.read_text(encoding="utf-8")
    result = run(suite, "test_patience.py::test_several", "--simnet-replay", str(file.relative_to(suite.path)))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*exact*"])


@pytest.mark.slow
def test_the_command_line_says_how_many_seeds(suite: pytest.Pytester) -> None:
    result = run(suite, "-v", "test_patience.py::TestThem", "--simnet-runs", "9")
    result.stdout.fnmatch_lines(["*PASSED   [[]fuzz: server; 9 runs *"])
    result.stdout.fnmatch_lines(["simnet: 1 fuzz, 9 runs in * s*"])


def serve() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            with contextlib.suppress(OSError):
                conn, _ = listener.accept()
                with conn:
                    while data := conn.recv(100):
                        conn.sendall(data)


def ask(net: Network) -> None:
    net.host("server").spawn(serve)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as lines:
            assert lines.read() == b"hello"


@pytest.mark.slow
def test_the_seeds_are_the_same_in_every_session_and_may_begin_anywhere() -> None:
    plans: list[str] = []

    def told(net: Network) -> None:
        try:
            ask(net)
        finally:
            plans.append(str(net.happened))

    check(fuzz(seeds=20, kinds=["stall", "split"])(told))
    of_all, plans[:] = plans[-20:], []
    check(fuzz(seeds=range(15, 20), kinds=["stall", "split"])(told))
    assert plans[-5:] == of_all[15:]
    assert len(set(of_all)) > 2


@pytest.mark.slow
def test_check_fuzzes_what_is_decorated_so() -> None:
    decorated = fuzz(target="server", seeds=5)(ask)
    result = check(decorated)
    assert (result.by, result.runs) == ("fuzz", 5)
    decorated()  # as a test framework without a plugin calls it


def test_called_it_raises_what_it_found() -> None:
    def hasty() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                assert conn.recv(10) == b"hello"
                conn.sendall(b"hello")

    @fuzz(target="server", seeds=40, kinds="short-recv", shrink=False)
    def body(net: Network) -> None:
        net.host("server").spawn(hasty)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"

    with pytest.raises(AssertionError):
        body()


@pytest.mark.parametrize(
    ("seeds", "error", "says"),
    [
        (0, ValueError, "seeds=0: at least 1"),
        (range(5, 5), ValueError, "follow one another"),
        (range(0, 10, 2), ValueError, "follow one another"),
        (range(-3, 3), ValueError, "from 0 or later"),
        ("ten", TypeError, "seeds='ten': how many, or a range of them"),
        (True, TypeError, "seeds=True: how many"),
    ],
)
def test_seeds_that_cannot_be_are_refused_where_they_are_given(seeds: object, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        fuzz(seeds=seeds)  # type: ignore[call-overload]


def test_what_belongs_to_a_sweep_is_refused() -> None:
    with pytest.raises(TypeError, match="fuzz has no option 'depth': each of its seeds is one run"):
        fuzz(depth=2)
    with pytest.raises(TypeError, match="fuzz has no option 'sedes'; did you mean 'seeds'"):
        fuzz(sedes=2)

    def body(net: Network) -> None: ...

    with pytest.raises(TypeError, match=r"with @simnet.sweep and @simnet.fuzz: .* Write two tests"):
        sweep(fuzz(body))
    with pytest.raises(TypeError, match=r"with @simnet\.fuzz twice"):
        fuzz(fuzz(body))
    with pytest.raises(TypeError, match=r"as in @simnet\.fuzz"):
        fuzz("server")  # type: ignore[call-overload]


@pytest.mark.slow
def test_what_fails_after_many_runs_without_a_fault_is_no_test_that_fails_by_itself() -> None:
    """A counter that stays from run to run: the run that fails may have had no fault at all."""
    runs = itertools.count()

    def test(net: Any) -> None:
        assert next(runs) < 10
        ask(net)

    result = run_fuzz(test, SweepOptions.of(target="server", kinds=["short-recv"]), seeds=range(20))
    assert not result.failures[0].plan
    assert result.summary().startswith("fuzz: server; 20 runs in ")
    assert "12 failed (1 failure)" in result.summary()
