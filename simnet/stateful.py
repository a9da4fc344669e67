"""State machines for hypothesis over a simulated network: clients connect, talk and leave in any order, beside the user's rules.

A `NetworkMachine` makes a fresh network for each example, with drawn faults; the user defines what is spawned in it
and what a client should get. Each step and the end are judged by a sweep's verdict table.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Final

from hypothesis import Verbosity, event, reject
from hypothesis import strategies as st
from hypothesis.control import current_build_context
from hypothesis.errors import InvalidDefinition
from hypothesis.reporting import current_verbosity
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
)

from simnet import strategies
from simnet.both.clients import Client
from simnet.explore.alone import Beginning, failure_alone, judged_alone
from simnet.explore.judging.table import INTERRUPTED
from simnet.explore.judging.verdict import Judgement
from simnet.explore.leaving import ends_all, leaves_its_network, raise_alone
from simnet.explore.quiet import quiet
from simnet.explore.said import MOVES, begins_as_ours, check
from simnet.faults.hosts import BODY
from simnet.faults.rates import FaultRates
from simnet.invariants import with_levels
from simnet.owned.state import nowhere
from simnet.run import CALLS_MAX_HURRIED, Run, run_of
from simnet.trace import SEGMENT
from simnet.verdicts import Verdict
from simnet.world import Network

__all__ = ["MOVES", "Client", "NetworkMachine", "clients"]

clients: Bundle[Client] = Bundle("clients")
"""The clients that are there: ``@rule(client=clients)`` for a rule of one's own."""

WEIGHTS: Final = {"send": 5, "wait": 2, "half_close": 1, "close": 1, "abort": 1, "urgent": 1, "partition": 1}
USERS_WEIGHT = 3  # of each other rule: clients come more often than they leave
SHOWN = 80  # columns of the bytes that a client got
ROUNDS_MAX = 100  # looks at a network that should be quiet: a server may never fall silent


def _of_the_class(name: str) -> st.SearchStrategy[Any]:
    """Draws what the machine's class says under *name*: a strategy, or a value."""
    return st.runner().flatmap(lambda machine: _strategy(getattr(machine, name)))


def _strategy(value: Any) -> st.SearchStrategy[Any]:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


@st.composite
def _steps(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """A rule that may be taken now, and its arguments.

    hypothesis's own way draws until it meets a rule that is valid, and keeps what it drew in vain: steps made so are too long for its
    shrinker to delete. Here a step is one choice, and those of its arguments.
    """
    machine = draw(st.runner())
    valid = [each for each in machine._by_weight if machine._is_valid(each)]
    if not valid:
        raise InvalidDefinition(
            f"no rule of {type(machine).__name__} can be taken now; moves are {', '.join(machine.moves)}"
        )
    taken = valid[draw(st.sampled_from(range(len(valid))))]
    return taken, {name: draw(strategy) for name, strategy in taken.arguments_strategies.items()}


_STEPS = _steps()


class NetworkMachine(RuleBasedStateMachine):
    """A state machine with a network, a server of the user's, and clients whose steps hypothesis chooses.

    A subclass spawns the server in `start`, and may say in `answer` what a client should get. ``Machine.TestCase`` is
    the test. The rules named in `moves` are there; others are added as to any hypothesis state machine.
    """

    address: ClassVar[tuple[str, int]] = ("server", 7)
    """Host and port that the clients connect to."""
    moves: ClassVar[Sequence[str]] = tuple(each for each in MOVES if each not in ("partition", "heal"))
    """The names of the rules to use, of `MOVES`."""
    faults: ClassVar[Any] = strategies.fault_plans()
    """Strategy of plans or of rates, or one of these, or None."""
    payloads: ClassVar[Any] = strategies.payloads(min_size=1, max_size=5_000)
    """Strategy of what a client sends at a time."""
    pause: ClassVar[float] = 0.01
    """Seconds that pass in a `wait`: there and back, and there again."""
    latency: ClassVar[float | None] = None
    """Seconds each way between the clients and the server."""
    timeout: ClassVar[float] = 30.0
    """Seconds that a `connect` may take, and the server until it listens."""
    target: ClassVar[str | Sequence[str] | None] = None
    """The hosts under test; None: every host with a spawned process."""
    levels: ClassVar[Mapping[str, str]] = {}
    """Of simnet's invariants, by name: ``{"nothing-left": "off: a pool keeps them"}``."""
    may_raise: ClassVar[Any] = ()
    """Exceptions that a target may end with under a disruptive fault."""
    strict: ClassVar[bool] = False
    """Whether a rule that a disruptive fault interrupts fails; else the example ends there."""
    per_process: ClassVar[Any] = ()
    """Globals, as ``"module:name"``, that each process of each example finds fresh."""
    _hung_at: ClassVar[set[str]]  # lines at which an example has made all its calls for nothing

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._hung_at = set()
        check(cls, NetworkMachine)
        if "__init__" in vars(cls):
            cls.__init__ = begins_as_ours(cls.__init__)  # type: ignore[method-assign]
        if cls.teardown is not NetworkMachine.teardown:
            cls.teardown = leaves_its_network(cls.teardown, NetworkMachine.teardown)  # type: ignore[assignment, method-assign]
        # Taken away, and not just never valid: what stands first in hypothesis's list is what it shrinks towards.
        for name in MOVES:
            ours = vars(NetworkMachine)[name]
            if getattr(cls, name) in (ours, None):
                setattr(cls, name, ours if name in cls.moves else None)

    def __init__(self) -> None:
        super().__init__()
        self._network: Network | None = None
        self._silence = ExitStack()
        self._began = Beginning()
        self._raised: BaseException | None = None
        self._cut = False
        self.clients: list[Client] = []
        """Every client of this example, in the order in which they came."""
        # hypothesis runs these in any order; those of a subclass find the network there.
        own = [each for each in self._initialize_rules_to_run if each.function.__name__ == "begin"]
        self._later = [each for each in self._initialize_rules_to_run if each not in own]
        self._initialize_rules_to_run = own
        strategy = self._rules_strategy
        self._is_valid = strategy.is_valid
        self._by_weight = [
            each for each in strategy.rules for _ in range(WEIGHTS.get(each.function.__name__, USERS_WEIGHT))
        ]
        self._rules_strategy = _STEPS  # type: ignore[assignment]  # it gives what that one gives

    # --- the user's ------------------------------------------------------------------------------------------------

    @property
    def net(self) -> Network:
        """The network of this example, from `start` on."""
        if self._network is None:
            raise RuntimeError("the network of an example is there from start() on, and not in __init__")
        return self._network

    def start(self) -> None:
        """Spawn what is under test: ``self.net.host("server").spawn(serve, 7)``."""
        raise NotImplementedError(f"{type(self).__name__}.start() is yours: spawn there what is under test")

    def answer(self, client: Client) -> bytes | None:
        """What *client* should get for everything it has sent so far, ``client.sent``; None if that is unknown.

        At any time, what it has received must be a beginning of the answer, and in the end all of it, except for a client that left,
        sent an urgent byte, or was hit by a disruptive fault or a partition.
        """
        return None

    def end(self) -> None:
        """The last check: every client has received everything there was, and is still connected."""

    def new_client(self) -> Client:
        """Connect another client, in a rule of your own: ``@rule(target=clients)``."""
        client = Client(self.net.host(BODY).connect(self.address, timeout=self.timeout))
        self.clients.append(client)
        return client

    # --- the rules -------------------------------------------------------------------------------------------------

    @initialize(faults=_of_the_class("faults"))
    def begin(self, faults: Any) -> None:
        """A network under *faults*, and what `start` spawns in it."""
        self._initialize_rules_to_run.extend(self._later)
        rates = faults if isinstance(faults, FaultRates) else None
        if not _heard():
            self._silence.enter_context(quiet())
        net = Network(
            None if rates is not None else faults,
            rates=rates,
            target=self.target,
            invariants=self.levels,
            may_raise=self.may_raise,
            per_process=self.per_process,
        )
        net.begin(
            f"by the state machine {type(self).__name__}, whose rules find it as self.net, and whose teardown leaves it"
        )
        self._network = net
        if not current_build_context().is_final:  # which is shown: it makes them all
            net._running().hung_at = self._hung_at
            if self._hung_at:  # else hypothesis takes minutes to make such an example small
                net._running().calls_max = CALLS_MAX_HURRIED
        host, port = self.address
        if self.latency is not None:
            net.link(BODY, host).latency = self.latency
        self.start()
        there = list(dict.fromkeys(each.host_name for each in net.processes))
        if net.target and not any(name in there for name in net.target):
            raise ValueError(
                f"target={', '.join(net.target)}: start() has spawned nothing there, so nothing is under test; "
                f"processes are on {', '.join(there)}"
            )
        if "connect" in self.moves:
            try:
                net.host(host).wait_listening(port, self.timeout)
            except TimeoutError as error:
                error.add_note(f"The clients of {type(self).__name__} connect to its address, {self.address!r}.")
                raise
        self._began = Beginning.of(net)

    @rule(target=clients)
    def connect(self) -> Any:
        """One client more."""
        try:
            return self.new_client()
        except OSError:
            if not self._hurt():
                raise
            return multiple()

    @rule(client=clients, data=_of_the_class("payloads"))
    def send(self, client: Client, data: bytes) -> None:
        """Send as much of *data* as there is room for."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{type(self).__name__}.payloads gave {data!r}: bytes")
        client.send(data)

    @rule(client=clients)
    def receive(self, client: Client) -> None:
        """What has arrived."""
        client.receive()

    @rule(client=clients)
    def half_close(self, client: Client) -> None:
        """Nothing more will be sent."""
        client.half_close()

    @rule(client=consumes(clients))
    def close(self, client: Client) -> None:
        """The client leaves."""
        client.close()

    @rule(client=consumes(clients))
    def abort(self, client: Client) -> None:
        """The client resets its connection."""
        client.abort()

    @rule(client=clients)
    def urgent(self, client: Client) -> None:
        """An urgent byte, once."""
        client.urge()

    @rule()
    def wait(self) -> None:
        """`pause` seconds pass."""
        self.net.run(self.pause)

    @precondition(lambda self: not self._cut)
    @rule(one_way=st.booleans())
    def partition(self, one_way: bool) -> None:
        """Nothing gets through any more between the clients and the server; with *one_way* nothing from the clients."""
        self._cut = True
        self.net.partition(BODY, self.address[0], one_way=one_way)

    @precondition(lambda self: self._cut)
    @rule(after=st.sampled_from((0.0, 1.0, 60.0)))
    def heal(self, after: float) -> None:
        """The partition ends *after* so many seconds."""
        self.net.run(after)
        self._cut = False
        self.net.heal(BODY, self.address[0])

    # --- the verdict -----------------------------------------------------------------------------------------------

    def check_invariants(self, *arguments: Any, **options: Any) -> None:
        """After each step: what has gone wrong is raised in the step in which it did, before the invariants are asked."""
        __tracebackhide__ = True
        if self._network is not None:
            self._look(self._network)
        super().check_invariants(*arguments, **options)

    def teardown(self) -> None:
        """End the network, and raise what failed in this example. A subclass that has its own calls ``super().teardown()``."""
        __tracebackhide__ = True
        net, error = self._network, sys.exception()
        if net is None:
            self._silence.close()
            return
        try:
            if error is None:
                error = self._last_look(net)
            told = error is not None and (error is self._raised or ends_all(error))
            net.finish(settle=not told, failed=error is not None)
            if not told:
                error = self._verdict(net, error)
        finally:
            self._network = None
            self._silence.close()
        if error is not None and error is not sys.exception():
            raise_alone(error)

    def _last_look(self, net: Network) -> BaseException | None:
        """Let everybody finish, and look. What was raised then."""
        try:
            net.heal()
            net.run()
            for _ in range(ROUNDS_MAX):  # a fault may hide at one what has arrived
                late = [each for each in self.clients if each.readable]
                if not late:
                    break
                for each in late:
                    each.receive()
                net.run()
            self.end()
            self._look(net, whole=not self._hurt())
        except BaseException as error:  # noqa: BLE001  # it is judged, and raised then
            return error
        return None

    def _hurt(self) -> bool:
        """Whether something has happened that may keep bytes from arriving, by a fault or by a rule."""
        return self.net._struck or not self.net.happened.transparent

    def _look(self, net: Network, whole: bool = False) -> None:
        """What has gone wrong so far, raised."""
        __tracebackhide__ = True
        self._compare(net, whole)
        if not (net.verdicts or net.handler_errors or any(each.error is not None for each in net.processes)):
            return
        run = run_of(net, None, None)
        run.verdicts = with_levels(run.verdicts, net.invariants)
        judgement = self._judged(net, run, Beginning())
        if judgement.failure is not None:
            self._raised = failure_alone(run, judgement)
            raise_alone(self._raised)

    def _compare(self, net: Network, whole: bool) -> None:
        """Each client with its answer; in the end with the *whole* of it."""
        for client in self.clients:
            known = (client.sent, client.received, client.half_closed, whole)
            if client.judged == known:
                continue
            client.judged = known
            answer = self.answer(client)
            if answer is None:
                continue
            if not isinstance(answer, bytes | bytearray):
                raise TypeError(f"{type(self).__name__}.answer() gave {answer!r}: bytes, or None where that is unknown")
            if not answer.startswith(client.received):
                ending = ""
            elif whole and client.received != answer and not (client.gone or client.urged):
                ending = (
                    f", then {client.error}{_reset_by(net, client.name)}"
                    if client.error
                    else " and the end"
                    if client.ended
                    else ", and no more"
                )
            else:
                continue
            if any(fault.kind == "urgent" for fault in net.happened):
                continue  # two of them, unread: the kernel makes the first one of the stream's
            told = f"{client.name} got {_shown(client.received)}{ending}; its answer is {_shown(answer)}"
            net.verdicts.append(Verdict("always", told, BODY))

    def _judged(self, net: Network, run: Run, began: Beginning) -> Judgement:
        left = net._struck or any(each.gone or each.urged for each in self.clients)
        return judged_alone(
            run, began, left=left, invariants=net.invariants, may_raise=net.may_raise, strict=self.strict
        )

    def _verdict(self, net: Network, error: BaseException | None) -> BaseException | None:
        """What is to be raised for a network that has ended, with *error* if that left a rule."""
        run = run_of(net, None, error)
        judgement = self._judged(net, run, self._began)
        for slip in nowhere(net._per_process):
            warnings.warn(slip, RuntimeWarning, stacklevel=2)
        for warned in judgement.warnings:
            event(f"simnet: {warned.reason}, a warning")
        if judgement.failure is not None:
            return failure_alone(run, judgement)
        if judgement.status == INTERRUPTED:
            event("simnet: interrupted by a disruptive fault")
            if error is not None:
                reject()
        return error


def _heard() -> bool:
    """Whether anybody wants to read what is printed and logged in this example: in the one that shows a failure, or if asked for."""
    return current_build_context().is_final or current_verbosity() >= Verbosity.verbose


def _shown(data: bytes) -> str:
    text = repr(data)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 20]}…' {len(data):,} B"


def _reset_by(net: Network, place: str) -> str:
    """Who has answered the client of *place* with a reset, without a fault: it had closed too early."""
    if any(not fault.transparent for fault in net.happened):
        return ""
    resets = (each for each in net.trace.of(SEGMENT) if each.place == place and "RST" in each.op and each.host != BODY)
    host = next((each.host for each in resets), "")
    why = "or closed it with bytes unread or still to come, and that is a reset, which overtakes what was sent before"
    return host and f": {host} had aborted it, {why}"
