"""`simnet.stateful.NetworkMachine`: what it gives to a machine of a user's, and how it judges what came of one."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import Bundle, initialize, invariant, rule, run_state_machine_as_test

import dispatch
import simnet
from simnet import faults
from simnet.explore.raising import SweepFailure
from simnet.stateful import MOVES, Client, NetworkMachine, clients
from simnet.wait import current_scheduler

QUICKLY = settings(
    max_examples=20, stateful_step_count=15, deadline=None, database=None, derandomize=True, phases=[Phase.generate]
)


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def serve(port: int, stream: Callable[..., dispatch.Stream] = Echo) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), stream, loop=loop)
        loop.run()


class Machine(NetworkMachine):
    """Clients of a server that is right."""

    def start(self) -> None:
        self.net.host("server").spawn(serve, 7)

    def answer(self, client: Client) -> bytes:
        return client.sent


def run(machine: type[NetworkMachine], asked: settings = QUICKLY) -> None:
    try:
        run_state_machine_as_test(machine, settings=asked)
    finally:
        assert current_scheduler() is None, "a network is still there"


def failure(machine: type[NetworkMachine], asked: settings = QUICKLY) -> BaseException:
    with pytest.raises(BaseException) as caught:  # which one, the test says
        run(machine, asked)
    return caught.value


def steps(error: BaseException) -> list[str]:
    """What hypothesis says of the steps that led to *error*."""
    lines = [line for note in error.__notes__ for line in note.splitlines()]
    return [line for line in lines if "state." in line]


def told(error: BaseException) -> str:
    return "\n".join([str(error), *error.__notes__])


# ---- what is there --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_that_is_right_passes_whatever_clients_do_and_transparent_faults_add() -> None:
    run(Machine, settings(QUICKLY, max_examples=100, stateful_step_count=30))


@pytest.mark.slow
def test_a_server_that_is_right_passes_under_disruptive_faults_and_partitions_too() -> None:
    class Hurt(Machine):
        moves = MOVES
        faults = simnet.strategies.fault_plans(["reset", "eof", "would-block", "short-recv", "stall", "refuse"])

    run(Hurt, settings(QUICKLY, max_examples=100, stateful_step_count=30))


@pytest.mark.slow
def test_each_example_has_a_network_of_its_own_and_is_the_same_each_time() -> None:
    digests: list[str] = []

    class Noting(Machine):
        def end(self) -> None:
            digests.append(self.net.trace.digest())

    run(Noting)
    first = digests.copy()
    digests.clear()
    run(Noting)
    assert digests == first
    assert len(set(first)) > 5


@pytest.mark.slow
def test_rules_and_invariants_of_ones_own_use_the_clients_and_the_network() -> None:
    seen: list[tuple[str, bytes]] = []

    class Asking(Machine):
        moves = ("connect", "wait")

        @rule(client=clients, data=st.binary(min_size=1, max_size=3))
        def ask(self, client: Client, data: bytes) -> None:
            client.send(data)
            self.net.run()
            assert client.receive() == data
            seen.append((client.name, data))

        @rule(target=clients)
        def reconnect(self) -> Client:
            return self.new_client()

        @invariant()
        def time_goes_on(self) -> None:
            assert self.net.time >= 0
            assert [each.name for each in self.clients] == [
                f"test->server:7#{n}" for n in range(1, 1 + len(self.clients))
            ]

    run(Asking)
    assert len({name for name, _ in seen}) > 3


@pytest.mark.slow
def test_initialize_rules_of_ones_own_find_the_network() -> None:
    latencies: list[float] = []

    class Slow(Machine):
        latency = 0.2

        @initialize(factor=st.integers(1, 3))
        def an_earlier_name(self, factor: int) -> None:
            self.net.link("test", "server").latency *= factor
            latencies.append(self.net.link("test", "server").latency)

    run(Slow)
    assert {round(each, 1) for each in latencies} == {0.2, 0.4, 0.6}


@pytest.mark.slow
def test_of_the_moves_those_named_are_there() -> None:
    names: set[str] = set()

    class Few(Machine):
        moves: ClassVar[Any] = ("connect", "send", "partition", "heal")

        def teardown(self) -> None:
            names.update(event.op for event in self.net.trace if event.host == "test")
            super().teardown()

    class More(Few):
        moves = ("connect", "half_close", "wait")

        def half_close(self, client: Client) -> None:
            raise AssertionError("a method of this name is no rule, if the class says nothing else")

    def rules(machine: type[NetworkMachine]) -> set[str]:
        return {each.function.__name__ for each in machine()._by_weight}

    assert rules(Few) == {"connect", "send", "partition", "heal"}
    assert rules(More) == {"connect", "wait"}
    run(Few)
    assert "shutdown" not in names


@pytest.mark.slow
def test_rates_are_faults_as_plans_are() -> None:
    class Rated(Machine):
        faults = simnet.strategies.fault_rates(["short-recv", "split"])

        def end(self) -> None:
            happened.extend(self.net.happened)

    happened: list[Any] = []
    run(Rated)
    assert {each.kind for each in happened} <= {"short-recv", "split"}
    assert happened


@pytest.mark.slow
def test_a_plan_in_one_line_is_the_same_for_each_example() -> None:
    class Planned(Machine):
        faults = "short-recv test->server:7#1 end=server call=1 bytes=1"

    run(Planned)


# ---- what is told of a failure --------------------------------------------------------------------------------------


class Forgetful(Echo):
    """Answers in capitals, which is not what the machine above has in mind."""

    def handle_data(self, data: bytes) -> None:
        self.write(data.upper())


class Wrong(Machine):
    faults = None
    payloads = b"a"

    def start(self) -> None:
        self.net.host("server").spawn(serve, 7, Forgetful)


SMALL = settings(QUICKLY, phases=[Phase.generate, Phase.shrink])


@pytest.mark.slow
def test_another_answer_is_told_with_both_and_the_ladder_and_the_steps() -> None:
    error = failure(Wrong, SMALL)
    assert isinstance(error, SweepFailure)
    assert str(error) == "test->server:7#1 got b'A'; its answer is b'a'"
    assert "network   no fault at all: the test fails like this by itself" in told(error)
    assert "send b'a' ────" in told(error)
    assert steps(error)[:3] == [
        "state.begin(faults=None)",
        "clients_0 = state.connect()",
        "state.send(client=clients_0, data=b'a')",
    ]
    assert len(steps(error)) <= 6


@pytest.mark.slow
def test_an_answer_that_does_not_come_is_told_at_the_end() -> None:
    class Silent(Wrong):
        moves = ("connect", "send", "wait")

        def answer(self, client: Client) -> bytes:
            return b"A" * len(client.sent) + (b"." if client.sent else b"")

    error = failure(Silent)
    assert re.fullmatch(r"test->server:7#1 got b'(A+)', and no more; its answer is b'\1\.'", str(error))


class Once(dispatch.Chat):
    """Answers one message, and does not wait for those behind it."""

    terminator = b"."

    def handle_message(self, data: bytes) -> None:
        self.write(b"no")
        self.close()


@pytest.mark.slow
def test_an_answer_that_a_reset_has_overtaken_is_told_with_who_closed_too_early() -> None:
    class Early(Machine):
        faults = None
        moves = ("connect", "send", "wait")
        payloads = b"."

        def start(self) -> None:
            self.net.host("server").spawn(serve, 7, Once)

        def answer(self, client: Client) -> bytes:
            return b"no" if client.sent else b""

    assert re.fullmatch(
        r"test->server:7#\d got b'', then .*: server had aborted it, or closed it with bytes unread or still to come, and that is a "
        r"reset, which overtakes what was sent before; its answer is b'no'",
        str(failure(Early)),
    )


class Raising(Echo):
    def handle_data(self, data: bytes) -> None:
        self.write(data.decode("ascii").encode())


@pytest.mark.slow
def test_what_a_handler_raises_is_raised_in_the_step_in_which_it_did() -> None:
    class Reading(Machine):
        faults = None
        payloads = b"\xff"

        def start(self) -> None:
            self.net.host("server").spawn(serve, 7, Raising)

    error = failure(Reading, SMALL)
    assert isinstance(error, UnicodeDecodeError)
    assert steps(error) == [
        "state.begin(faults=None)",
        "clients_0 = state.connect()",
        "state.send(client=clients_0, data=b'\\xff')",
        "state.wait()",
        "state.teardown()",
    ]
    assert "in handle_data of" in told(error)
    assert "[handler-raised]" in told(error)
    assert error.__context__ is None


@pytest.mark.slow
def test_a_server_that_ends_is_told_by_its_listener() -> None:
    def serve_one(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(100):
                    pass

    class Once(NetworkMachine):
        faults = None
        moves = ("connect", "close", "wait")

        def start(self) -> None:
            self.net.host("server").spawn(serve_one, 7)

    error = failure(Once)
    assert re.search(r"the listener server:7 was closed at test_stateful\.py:\d+ in serve_one", told(error))

    class Meant(Once):
        levels: ClassVar[Any] = {"listener-survives": "off: it serves one"}
        moves = ("wait",)

        def start(self) -> None:
            super().start()
            self.new_client().close()

    run(Meant)


def test_a_rule_that_waits_for_ever_is_told_who_waits_for_whom() -> None:
    class Waiting(Machine):
        faults = None

        @rule()
        def listen(self) -> None:
            with socket.create_connection(("server", 7)) as sock:
                sock.recv(1)

    error = failure(Waiting)
    assert isinstance(error, SweepFailure)
    assert str(error).startswith("Deadlock: at ")
    assert "\n  test waits for recv on test->server:7#" in str(error)
    assert re.search(r"\n  server/serve waits for .* at test_stateful\.py:\d+ in serve", str(error))


def test_what_a_plan_did_is_told_as_it_happened() -> None:
    class Once(NetworkMachine):
        faults = "would-block *:* accept call=1"
        moves = ("connect", "wait")

        def start(self) -> None:
            self.net.host("server").spawn(careless, 7)

    def careless(port: int) -> None:
        with socket.create_server(("", port)) as listener, dispatch.Loop():
            listener.setblocking(False)
            while True:
                time.sleep(0.01)
                with contextlib.suppress(IndexError):
                    raise_unless_there(listener)

    def raise_unless_there(listener: socket.socket) -> None:
        if select.select([listener], [], [], 0)[0]:
            kept.append(listener.accept()[0])

    kept: list[socket.socket] = []
    error = failure(Once)
    assert isinstance(error, BlockingIOError)
    assert "network   the 1st accept on server:7 said EAGAIN" in told(error)
    assert "happened  would-block server:7 accept call=1" in told(error)
    kept.clear()


class Curious(Machine):
    """A rule that needs the server, which does not understand it."""

    faults = None
    moves = ("wait",)

    def start(self) -> None:
        self.net.host("server").spawn(serve, 7, Raising)

    @rule()
    def ask(self) -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"\xff")
            assert sock.recv(1) == b"\xff"


def test_of_a_rule_that_fails_by_what_a_handler_raised_the_handlers_is_raised() -> None:
    error = failure(Curious)
    assert isinstance(error, UnicodeDecodeError)
    assert error.__context__ is None
    assert re.search(r"so +the test raised AssertionError.*\[body-raised\]", told(error))


@pytest.mark.slow
def test_hypothesis_tells_two_rules_that_are_broken_apart_and_one_from_itself_not() -> None:
    class Silent(Wrong):
        moves = ("connect", "wait")

        def answer(self, client: Client) -> bytes:
            return b"greeting"

    class Once(Machine):
        faults = None
        moves = ("wait",)
        levels: ClassVar[Any] = {"always": "off"}

        @invariant()
        def spins(self) -> None:
            if self.net.time > 0.02:
                with socket.socket() as sock:
                    sock.setblocking(False)
                    while True:
                        select.select([], [], [sock], 0)

    answers, silence, spin = failure(Wrong), failure(Silent), failure(Once)
    assert all(isinstance(each, SweepFailure) for each in (answers, silence, spin))
    assert type(answers) is type(silence) is not type(spin)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, UnsatisfiedAssumption])
def test_who_is_stopped_leaves_no_network(stop: type[BaseException]) -> None:
    class Stopped(Machine):
        @invariant()
        def stops(self) -> None:
            raise stop

    with contextlib.suppress(BaseException):
        run(Stopped, settings(QUICKLY, max_examples=2))  # it looks whether there is one


def test_what_start_raises_is_told_with_what_the_network_did() -> None:
    class Early(Machine):
        faults = None

        def start(self) -> None:
            with socket.create_connection(("server", 7)):
                pass

    error = failure(Early)
    assert isinstance(error, OSError)
    assert " ".join(steps(error)) == "state.begin(faults=None) state.teardown()"


# ---- who is to blame ------------------------------------------------------------------------------------------------


class Strict(Machine):
    """A rule that takes for granted that nothing breaks."""

    faults: ClassVar[Any] = faults.FaultPlan([faults.Reset(on="test->server:7#1", end="client", byte=0)])
    moves = ("wait",)

    @rule()
    def ask(self) -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"


@pytest.mark.slow
def test_a_rule_that_a_disruptive_fault_interrupts_ends_its_example_and_is_no_failure() -> None:
    ended: list[bool] = []

    class Counting(Strict):
        def teardown(self) -> None:
            broken = isinstance(sys.exception(), ConnectionResetError)
            try:
                super().teardown()
            except UnsatisfiedAssumption:
                ended.append(broken)
                raise

    run(Counting)
    assert ended
    assert all(ended)


def test_a_strict_machine_fails_there() -> None:
    class Stricter(Strict):
        strict = True

    assert isinstance(failure(Stricter), ConnectionResetError)


def test_a_rule_that_fails_without_a_disruptive_fault_fails() -> None:
    class Fails(Strict):
        faults = None

        @invariant()
        def never_so_late(self) -> None:
            assert self.net.time < 0.015

    error = failure(Fails)
    assert isinstance(error, AssertionError)
    assert "[body-raised]" in told(error) or "seconds  test" in told(error)


@pytest.mark.slow
def test_what_always_holds_is_judged_under_disruptive_faults_too() -> None:
    class Always(Strict):
        @rule()
        def look(self) -> None:
            with self.net.always():
                assert self.net.time < 0.02, "late"

    assert "late" in str(failure(Always))


@pytest.mark.slow
def test_a_client_that_breaks_off_excuses_what_its_handler_is_told_of_it() -> None:
    import asyncio

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():  # a task that ends by ConnectionResetError is nobody's bug
            writer.write(line.upper())
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(shout, port=7) as server:
            await server.serve_forever()

    class Shouting(NetworkMachine):
        faults = None

        def start(self) -> None:
            self.net.host("server").spawn(asyncio.run, main())

        def answer(self, client: Client) -> bytes | None:
            return client.sent.upper() if client.sent.endswith(b"\n") else None

        payloads = b"a\n"

    run(Shouting)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"plan": None}, "Machine.plan is not looked at: call it faults"),
        ({"targets": "server"}, "Machine.targets is not looked at: call it target"),
        ({"invariants": {}}, "Machine.invariants is not looked at: call it levels"),
        (
            {"start": initialize()(lambda self: None)},
            "Machine.start is called in each example by itself: it is no @rule, @initialize or @invariant",
        ),
        ({"start": 3}, "Machine.start=3 is no function, and is called in each example"),
        ({"answer": b"x"}, "Machine.answer=b'x' is no function"),
        ({"address": "server"}, r"address='server': a host and a port, such as \('server', 7\)"),
        ({"address": ("server", 0)}, r"address=\('server', 0\): the port is outside 1..65535"),
        ({"moves": "connect"}, r"moves='connect': several names, as in moves = \('connect', 'send'\)"),
        ({"moves": 3}, r"moves=3: several names"),
        ({"strict": 1}, r"strict=1 is int; it is True or False"),
        ({"moves": ("conect",)}, "there is no 'conect'; there are connect, send, "),
        ({"faults": 3}, "plan=3 is int; it is a FaultPlan"),
        ({"faults": "refus a->b:7#1"}, "'refus' is no kind of fault"),
        ({"levels": {"nospin": "off"}}, "there is no invariant 'nospin'"),
        ({"payloads": [b"a"]}, r"payloads=\[b'a'\]: a strategy of bytes, or bytes"),
        ({"pause": -1}, r"Machine.pause\(-1\): seconds are non-negative"),
        ({"latency": "slow"}, r"Machine.latency\('slow'\): str is no number of seconds"),
    ],
)
def test_what_no_example_could_use_is_refused_where_the_class_is_made(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        type("Machine", (NetworkMachine,), wrong)


async def _awaited(self: Any) -> None:
    """Nobody does."""


@pytest.mark.parametrize("wrong", [{"start": _awaited}, {"end": _awaited}, {"shop": rule()(_awaited)}])
def test_what_nobody_awaits_is_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(
        TypeError, match=rf"Machine\.{name} is `async def`, and nobody awaits it: .*spawn\(asyncio\.run"
    ):
        type("Machine", (NetworkMachine,), wrong)


@pytest.mark.parametrize(
    ("slip", "meant"), [({"payload": b"a"}, "payloads"), ({"anwser": lambda self, client: None}, "answer")]
)
def test_what_nothing_looks_at_is_warned_of_with_what_was_meant(slip: dict[str, Any], meant: str) -> None:
    with pytest.warns(RuntimeWarning, match=rf"nothing looks at Machine\.\w+; did you mean {meant}\?") as told:
        type("Machine", (NetworkMachine,), slip)
    assert told[0].filename == __file__
    type("Machine", (NetworkMachine,), {**slip, meant: getattr(NetworkMachine, meant)})  # it has both, and means both
    type("Machine", (NetworkMachine,), {"answers": {}})


def test_what_hypothesis_looks_at_may_have_any_name() -> None:
    class Shop(Machine):
        targets: Bundle[int] = Bundle("targets")
        addresses: Bundle[int] = Bundle("addresses")

        @rule()
        def plan(self) -> None: ...

        @invariant()
        def answers(self) -> None: ...


def test_whose_base_says_it_already_has_not_mistyped_it() -> None:
    class Branch(Machine):
        def restart(self) -> None: ...


def test_an_answer_is_bytes() -> None:
    class Text(Machine):
        def answer(self, client: Client) -> Any:
            return "x"

    error = failure(Text)
    assert isinstance(error, TypeError)
    assert "Text.answer() gave 'x': bytes, or None where that is unknown" in str(error)


def test_a_payload_is_bytes() -> None:
    class Text(Machine):
        payloads = st.text(min_size=1)

    error = failure(Text)
    assert isinstance(error, TypeError)
    assert re.fullmatch(r"Text\.payloads gave '.+': bytes", str(error), re.DOTALL)


def test_a_machine_that_does_not_begin_as_ours_is_told_so() -> None:
    class Counting(Machine):
        def __init__(self) -> None:
            self.count = 0

    class Fine(Machine):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

    error = failure(Counting)
    assert isinstance(error, TypeError)
    assert "Counting.__init__ has not called super().__init__()" in str(error)
    run(Fine)


def test_a_machine_in_which_nothing_can_be_done_any_more_is_told_so() -> None:
    class Still(Machine):
        moves = ("send",)

    assert "no rule of Still can be taken now; moves are send" in str(failure(Still))


@pytest.mark.slow
def test_a_machine_that_does_not_say_what_runs_is_told_so() -> None:
    error = failure(type("Empty", (NetworkMachine,), {}))
    assert isinstance(error, NotImplementedError)
    assert "Empty.start() is yours: spawn there what is under test" in str(error)


def test_targets_on_which_nothing_runs_are_told() -> None:
    class Mistyped(Machine):
        target = "sever"

    assert "target=sever: start() has spawned nothing there" in str(failure(Mistyped))
    assert "processes are on test, server" in str(failure(Mistyped))


@pytest.mark.slow
def test_a_server_that_does_not_listen_is_told_so() -> None:
    class Elsewhere(Machine):
        def start(self) -> None:
            self.net.host("server").spawn(serve, 8)

    error = failure(Elsewhere)
    assert isinstance(error, TimeoutError)
    assert str(error) == "nobody listens on server:7 after 30 s; there are listeners on server:8"
    assert error.__notes__[0].startswith("The clients of Elsewhere connect to its address, ('server', 7).")


def test_before_it_begins_there_is_no_network() -> None:
    class Early(Machine):
        def __init__(self) -> None:
            super().__init__()
            self.net.host("server")

    assert "from start() on, and not in __init__" in str(failure(Early))


@pytest.mark.slow
def test_it_is_a_test_of_pytests_with_all_that_is_told_of_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
import logging
import socket

from hypothesis import settings
import simnet


@settings(max_examples=50, deadline=None)
class Machine(simnet.stateful.NetworkMachine):
    faults = None
    payloads = b"a"
    moves = ("connect", "send", "wait")

    def start(self):
        self.net.host("server").spawn(self.serve)

    def serve(self):
        with socket.create_server(("", 7)) as listener:
            while True:
                conn, _ = listener.accept()
                with conn:
                    while conn.recv(100):
                        print("a letter!")
                        logging.getLogger("server").error("no, none")
                        raise ValueError("no letter")


TestMachine = Machine.TestCase
"""
    )
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.stdout.fnmatch_lines(
        [
            "E *ValueError: no letter*",
            "E *network   no fault at all: the test fails like this by itself",
            "E *so * ValueError: no letter ended server/serve on server *[[]target-raised[]]",
            "E *send b'a'*",
            "E *clients_0 = state.connect()",
            "E *state.send(client=clients_0, data=b'a')",
            "*1 failed*",
        ]
    )
    assert str(Path(simnet.__file__).parent) not in str(done.stdout)  # not in what hypothesis explains it by, either
    told = str(done.stdout).replace('print("a letter!")', "").replace('error("no, none")', "")
    assert told.count("a letter!") == 1  # of the example that shows it
    assert told.count("no, none") == 1


class ReadsOn(NetworkMachine):
    """A client that leaves hangs the server, which reads the end of its input again and again, at one line or at another."""

    payloads: ClassVar[Any] = st.just(b"12")
    moves = ("connect", "send", "close", "wait")
    faults: ClassVar[Any] = None
    told: ClassVar[list[str]]

    def start(self) -> None:
        self.net.host("server").spawn(self.serve)

    @staticmethod
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            data = b""
            while len(data) < 2:
                data += conn.recv(2)
            while len(data) < 4:
                data += conn.recv(2)

    def teardown(self) -> None:
        net = self.net
        try:
            super().teardown()
        finally:
            self.told += [str(each.error) for each in net.verdicts]


@pytest.mark.slow
def test_an_example_that_hangs_where_one_has_before_is_stopped_soon_unless_it_is_shown() -> None:
    """Else hypothesis would take minutes to make it small: each of its hundred attempts has 20,000 calls to make, to judge and to draw."""

    class Hasty(ReadsOn):
        told: ClassVar[list[str]] = []

    with pytest.raises(SweepFailure, match="made 20,000 calls in a row"):
        run(
            Hasty, settings(QUICKLY, phases=[Phase.generate, Phase.shrink], max_examples=50, report_multiple_bugs=False)
        )
    full = [text for text in Hasty.told if "made 20,000 calls" in text]
    soon = [text for text in Hasty.told if "made 1,000 calls" in text]
    # The first at each line, and those that are shown.
    assert len(Hasty._hung_at) < len(full) <= len(Hasty._hung_at) + 3
    assert len(soon) > len(full)


@pytest.mark.slow
def test_one_that_hangs_where_none_has_before_makes_all_its_calls() -> None:
    class Hasty(ReadsOn):
        told: ClassVar[list[str]] = []

    Hasty._hung_at.add("elsewhere.py:1 in serve")
    with pytest.raises(SweepFailure, match="made 20,000 calls in a row"):
        run(Hasty, settings(QUICKLY, max_examples=50, report_multiple_bugs=False))
    assert "made 20,000 calls" in Hasty.told[0]
    assert len(Hasty._hung_at) > 1
