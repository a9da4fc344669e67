"""The decorator and ``check``: who gets the network, what pytest sees, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import socket
import sys
import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings, strategies

import simnet
from simnet.explore.check import check, sweep, test_id
from simnet.explore.options import SweepOptions
from simnet.faults.kinds import Eof
from simnet.faults.plan import FaultPlan
from simnet.scenario import Scenario


def test_the_network_goes_to_the_first_parameter_and_the_rest_stay_fixtures() -> None:
    @sweep(target="server")
    def test_echo(world: Any, tmp_path: Any, *, payload: bytes = b"x") -> tuple[Any, ...]:
        """Its own words."""
        return (world, tmp_path, payload)

    assert list(inspect.signature(test_echo).parameters) == ["tmp_path", "payload"]
    assert (test_echo.__name__, test_echo.__doc__) == ("test_echo", "Its own words.")
    assert test_echo.simnet_options == SweepOptions(target=("server",))  # type: ignore[attr-defined]
    body = test_echo.simnet_bind("folder", payload=b"y")  # type: ignore[attr-defined]
    assert body("network") == ("network", "folder", b"y")
    assert list(inspect.signature(body).parameters) == ["network"]


def test_a_bare_decorator_sweeps_with_the_defaults() -> None:
    @sweep
    def test_echo(net: Any) -> None: ...

    assert test_echo.simnet_options == SweepOptions()  # type: ignore[attr-defined]


class Methods:
    @sweep(target="server")
    def test_echo(self, net: Any, payload: bytes) -> tuple[Any, ...]:
        return (self, net, payload)

    @staticmethod
    @sweep
    def test_static(net: Any, payload: bytes) -> tuple[Any, ...]:
        return (net, payload)

    @sweep
    @staticmethod
    def test_static_within(net: Any) -> Any:
        return net

    @sweep(target="server")  # type: ignore[arg-type]
    @classmethod
    def test_class(cls, net: Any) -> tuple[Any, ...]:
        return (cls, net)


def test_in_a_method_the_network_comes_after_self() -> None:
    methods = Methods()
    assert list(inspect.signature(methods.test_echo).parameters) == ["payload"]
    assert Methods.test_echo.simnet_bind(methods, b"x")("network") == (methods, "network", b"x")  # type: ignore[attr-defined]
    assert Methods.test_static.simnet_bind(b"x")("network") == ("network", b"x")  # type: ignore[attr-defined]


def test_static_and_class_methods_may_stand_below_the_decorator_too() -> None:
    within: Any = Methods().test_static_within
    assert within.simnet_bind()("network") == "network"
    assert Methods.test_class.simnet_bind(Methods)("network") == (Methods, "network")  # type: ignore[attr-defined]


def test_marks_below_the_decorator_are_kept() -> None:
    @sweep
    @pytest.mark.parametrize("size", [1, 2])
    def test_echo(net: Any, size: int) -> None: ...

    assert [mark.name for mark in test_echo.pytestmark] == ["parametrize"]  # type: ignore[attr-defined]


async def coroutine(net: Any) -> None:
    await asyncio.sleep(0)


def generator(net: Any) -> Any:
    yield net


async def generator_of_both_kinds(net: Any) -> Any:
    yield net


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (coroutine, "`async def`: called, it returns at once and would pass without having run"),
        (generator_of_both_kinds, "`async def`"),
        (generator, "is a generator"),
        (lambda: None, "takes no network"),
        (lambda *nets: None, "takes no network"),
        (lambda *, net: None, "takes no network"),
    ],
)
def test_what_would_pass_without_having_run_is_refused_with_its_place(test: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says) as caught:
        sweep(target="server")(test)
    assert "test_explore_check.py:" in str(caught.value)
    with pytest.raises(TypeError, match=says):
        check(test)


def test_a_class_is_no_test_and_is_told_where_its_options_go() -> None:
    class TestEcho:
        def test_echo(self, net: Any) -> None: ...

    with pytest.raises(
        TypeError, match=r"^TestEcho is a class, .* above each of its methods .* @pytest\.mark\.simnet\("
    ):
        sweep(target="server")(TestEcho)


def test_given_stands_above_since_its_examples_would_share_a_network() -> None:
    with pytest.raises(TypeError, match=r"test_explore_check.py:\d+: test_echo has @given below .* Put @given above"):

        @sweep(target="server")
        @given(size=strategies.integers())
        def test_echo(net: Any, size: int) -> None: ...


DRAWING = {
    "data": strategies.data(),
    "randoms": strategies.randoms(),
    "truly": strategies.randoms(use_true_random=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("drawing", DRAWING)
def test_what_draws_while_the_test_runs_is_refused(drawing: str) -> None:
    """Each run of a sweep would draw something else, and hypothesis try for minutes to make the example smaller."""

    @settings(max_examples=1, database=None, deadline=None)
    @given(drawn=DRAWING[drawing])
    @sweep
    def test_echo(net: Any, drawn: Any) -> None: ...

    with pytest.raises(
        TypeError,
        match=r"test_explore_check.py:\d+: .*test_echo is given hypothesis's .*: draw what @given itself gives",
    ):
        test_echo()


def test_a_method_without_a_network_is_shown_with_its_instance_before_it() -> None:
    with pytest.raises(TypeError, match=r"test_echo takes no network: .*, as in def test_echo\(self, net\)"):

        class TestEcho:
            @sweep
            def test_echo(self) -> None: ...


def test_one_fault_is_no_plan() -> None:
    eof = Eof(on="test->server:7#1", end="server", byte=0)
    with pytest.raises(TypeError, match=r"is one fault; a plan is a list of them: FaultPlan\(\[faults\.Eof"):
        check(lambda net: None, plan=eof)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["kinds", "runs", "depth"])
def test_what_says_which_faults_to_try_is_refused_beside_a_plan(option: str) -> None:
    given: Any = {option: {"kinds": "reset", "runs": 5, "depth": 2}[option]}
    with pytest.raises(TypeError, match=f"^{option}= is for a sweep, and here one plan is played; leave it out$"):
        check(lambda net: None, plan="split a->b:7#1 end=server byte=1", **given)


def test_a_decorated_method_is_checked_on_its_object() -> None:
    class TestEcho:
        seen: ClassVar[list[Any]] = []

        @sweep(target="server", kinds="refuse")
        def test_echo(self, net: Any) -> None:
            self.seen.append(self)
            with net.host("server").listen(7), net.host("test").connect(("server", 7)):
                pass

        def plain(self, net: Any) -> None: ...

    mine = TestEcho()
    assert check(mine.test_echo, target="test").baseline.body_error is None
    assert set(TestEcho.seen) == {mine}
    for method in (TestEcho.test_echo, TestEcho.plain):
        with pytest.raises(TypeError, match=r"is a method of no object; take it from one, as in check\(Test\(\)\."):
            check(method)


def test_decorating_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="twice"):

        @sweep(strict=True)
        @sweep(target="server")
        def test_echo(net: Any) -> None: ...


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="by name"):
        sweep("server")  # type: ignore[call-overload]


def test_a_test_is_named_from_its_projects_root() -> None:
    assert test_id(coroutine) == "tests/simnet/test_explore_check.py::coroutine"
    assert test_id(Methods.test_echo) == "tests/simnet/test_explore_check.py::Methods::test_echo"
    assert test_id(lambda net: None) == ""
    namespace: dict[str, Any] = {}
    exec(compile("def typed(net): ...", "<stdin>", "exec"), namespace)
    assert test_id(namespace["typed"]) == ""


class Heirs(Methods):
    """What it has it has from another class."""


def test_a_method_that_is_bound_is_named_in_the_class_of_its_object() -> None:
    assert test_id(Heirs().test_echo) == "tests/simnet/test_explore_check.py::Heirs::test_echo"
    assert test_id(Methods().test_echo) == "tests/simnet/test_explore_check.py::Methods::test_echo"


class Sends:
    """A test that is no function: it can be called, and has no name."""

    def __call__(self, net: Any, word: bytes = b"hello") -> bytes:
        net.host("server").spawn(_upper)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(word)
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()


def _upper() -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
        conn.sendall(conn.makefile("rb").read().upper())


@pytest.mark.parametrize("test", [Sends(), functools.partial(Sends(), word=b"bye")], ids=["object", "partial"])
def test_what_can_be_called_and_has_no_name_is_swept_as_well(test: Any) -> None:
    sweep(kinds="split")(test)()


def test_a_script_in_no_project_is_named_from_its_own_folder(tmp_path: Path) -> None:
    script = tmp_path / "deep" / "try_it.py"
    script.parent.mkdir()
    script.write_text("def test_it(net): ...", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(script.parent)
    for file in (script, link / "try_it.py"):
        namespace: dict[str, Any] = {}
        exec(compile(script.read_text(encoding="utf-8"), str(file), "exec"), namespace)
        assert test_id(namespace["test_it"]) == "try_it.py::test_it"


def test_a_failure_by_hand_leaves_a_scenario_and_names_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    script = tmp_path / "test_mine.py"
    script.write_text(
        "import socket\n"
        "def serve(port):\n"
        "    with socket.create_server(('', port)) as listener:\n"
        "        sock, _ = listener.accept()\n"
        "    sock.send(sock.recv(100))\n"
        "    sock.close()\n"
        "def test_mine(net):\n"
        "    net.host('server').spawn(serve, 7)\n"
        "    with socket.create_connection(('server', 7)) as sock:\n"
        "        sock.sendall(b'ping')\n"
        "        assert sock.makefile('rb').read() == b'ping'\n",
        encoding="utf-8",
    )
    namespace: dict[str, Any] = {}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), namespace)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simnet.explore.check.taken_over", None)  # by hand, not by pytest
    with pytest.raises(ConnectionResetError) as caught:  # it closed with three bytes unread: RST
        sweep(target="server", kinds="short-recv")(namespace["test_mine"])()
    (kept,) = (tmp_path / ".simnet/failures/test_mine").glob("*.toml")
    note = caught.value.__notes__[0]
    assert f"pytest test_mine.py::test_mine --simnet-replay {kept.relative_to(tmp_path)}" in note
    assert f"simnet keep {kept.relative_to(tmp_path)}" in note
    assert Scenario.read(kept).plan == FaultPlan.parse("short-recv test->server:7#1 end=server call=1 bytes=1")


@pytest.mark.slow
def test_what_has_no_file_is_run_again_by_the_call_that_its_report_says() -> None:
    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100))

    def conversation(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"ping")
            with sock.makefile("rb") as replies:
                return replies.read()

    with pytest.raises((AssertionError, OSError)) as caught:
        check(conversation, target="server", kinds="short-recv", first=True)
    line = next(line for line in caught.value.__notes__[0].splitlines() if line.startswith("run it"))
    call = line.removeprefix("run it    ")
    assert (
        call
        == 'simnet.check(conversation, target="server", plan="short-recv test->server:7#1 end=server call=1 bytes=1")'
    )
    with pytest.raises(type(caught.value)):
        eval(call, {"simnet": simnet, "conversation": conversation})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "typed"),
    [
        ({"strict": True}, "strict=True"),
        ({"survives": ["eof"]}, 'survives="eof"'),
        (
            {"strict": True, "may_raise": (OSError, asyncio.IncompleteReadError), "seed": 3},
            "may_raise=(OSError, asyncio.IncompleteReadError,), strict=True, seed=3",
        ),
        (
            {"strict": True, "invariants": {"no-spin": "off: it polls"}},
            'strict=True, invariants={"no-spin": "off"}',
        ),
        (
            {"strict": True, "per_process": ["asyncio:A", "asyncio:B"]},
            'strict=True, per_process=["asyncio:A", "asyncio:B"]',
        ),
    ],
)
def test_what_has_been_asked_for_is_in_the_call_without_which_it_would_pass(options: Any, typed: str) -> None:
    def conversation(net: Any) -> bytes:
        with net.host("server").listen(7) as listener:
            client = net.host("client").spawn(talk)
            with listener.accept()[0] as sock:
                sock.sendall(b"ping")
            client.join()
        assert options.get("survives") or client.result == b"ping"
        return client.result  # type: ignore[no-any-return]

    def talk() -> bytes:
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as replies:
            return replies.read()

    with pytest.raises(AssertionError) as caught:
        check(conversation, kinds="eof", first=True, **options)
    line = next(line for line in caught.value.__notes__[0].splitlines() if line.startswith("run it"))
    call = line.removeprefix("run it    ")
    assert call.startswith(f'simnet.check(conversation, {typed}, plan="eof client->server:7#1 ')
    with pytest.raises(AssertionError):
        eval(call, {"simnet": simnet, "asyncio": asyncio, "conversation": conversation})


class Case(unittest.TestCase):
    """Not collected by its name; run below."""

    ran: list[object] = []  # noqa: RUF012

    @sweep(target="server")
    def check_it(self, net: Any) -> None:
        raise self.failureException("without any fault")


def test_a_method_of_a_unittest_case_raises_its_failure() -> None:
    with pytest.raises(AssertionError, match="without any fault") as caught:
        Case("check_it").check_it()
    assert "no fault at all" in "".join(caught.value.__notes__)


class CaseInParts(unittest.TestCase):
    """Run below."""

    __test__ = False

    def in_parts(self, net: Any, answer: bytes = b"k") -> None:
        def serve() -> None:
            with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock, contextlib.suppress(OSError):
                sock.sendall(answer)

        net.host("server").spawn(serve)
        with self.subTest("it is there"):
            with socket.create_connection(("server", 7)) as sock:
                assert sock.recv(1) == b"k"

    test_refused = sweep(target="server", kinds="refuse")(in_parts)
    test_another_answer = sweep(target="server", kinds="refuse")(lambda self, net: self.in_parts(net, b"x"))


@pytest.mark.parametrize(("name", "good"), [("test_refused", True), ("test_another_answer", False)])
def test_what_a_part_of_a_unittest_case_raises_is_judged_as_anything_else(name: str, good: bool) -> None:
    result = unittest.TestResult()
    CaseInParts(name).run(result)
    assert result.wasSuccessful() == good, result.failures + result.errors


def _talkative(net: Any) -> bytes:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
        print("serving")
        logging.getLogger("talkative").error("an error of the server's")
        with conn:
            conn.sendall(conn.makefile("rb").read())

    net.host("server").spawn(serve)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"xy")
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


def _heard(capfd: pytest.CaptureFixture[str], act: Callable[[], object]) -> str:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        act()
    finally:
        logging.getLogger().removeHandler(handler)
    return "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_sweep_is_silent_and_one_plan_is_heard(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simnet.explore.check.taken_over", None)
    assert _heard(capfd, lambda: check(_talkative, kinds="split")) == ""
    assert _heard(capfd, lambda: sweep(kinds="split")(_talkative)()) == ""
    plan = "short-recv test->server:7#1 end=server call=1 bytes=1"
    heard = _heard(capfd, lambda: check(_talkative, plan=plan))
    assert heard.count("serving") == 1  # and not in the runs without faults, with which it is compared
    assert "an error of the server's" in heard


def test_a_sweep_in_a_thread_leaves_what_others_print_alone(capfd: pytest.CaptureFixture[str]) -> None:
    def meanwhile(net: Any) -> bytes:
        streams.append(sys.stdout)
        return _talkative(net)

    streams: list[Any] = []
    thread = threading.Thread(target=check, args=(meanwhile,), kwargs={"kinds": "split"})
    thread.start()
    thread.join()
    assert {id(each) for each in streams} == {id(sys.stdout)}
    assert "serving" in capfd.readouterr().out


@pytest.mark.slow
def test_what_a_program_logs_without_a_handler_is_not_even_formatted_in_a_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    before = logging.lastResort
    heard: list[int] = []

    class Heard:
        def __str__(self) -> str:
            heard.append(1)
            return "heard"

    def test(net: simnet.Network) -> None:
        def serve() -> None:
            with socket.create_server(("", 7)) as listener:
                logging.getLogger("a server").warning("%s", Heard())
                listener.accept()[0].close()

        net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()

    simnet.check(test, target="server", runs=5)
    assert heard == []
    assert logging.lastResort is before


def test_a_plan_of_two_faults_is_played_as_one_is() -> None:
    stalls = [f"stall test->server:7#1 end={end} byte=0 seconds=1" for end in ("client", "server")]
    result = check(_talkative, target="server", plan="; ".join(stalls))
    assert (result.runs, result.equal, [row.kind for row in result.kinds]) == (1, 1, ["two faults"])


@pytest.mark.parametrize(
    "test", [lambda: None, lambda net, other: None, lambda *, net: None, functools.partial(lambda net: None, 1)]
)
def test_to_play_what_takes_no_network_is_refused_and_leaves_none_entered(test: Any) -> None:
    with pytest.raises(TypeError, match=r"a test is given the network, as in def test_echo\(net\): .*argument"):
        simnet.play(test)
    with simnet.Network():
        """Else this would be refused."""


def test_a_type_error_in_a_test_is_the_runs() -> None:
    def test(net: Any) -> None:
        len(5)  # type: ignore[arg-type]

    assert isinstance(simnet.play(test).body_error, TypeError)
