"""What a network is asked for: a wrong value is refused at once, by name, whichever world it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import faults
from simnet.both.asked import port_of
from simnet.faults import FaultPlan

both = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


@both
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"plan": 3}, "plan=3 is int; it is a FaultPlan, or a line"),
        ({"plan": "refus a->b:7#1"}, "'refus' is no kind of fault; did you mean 'refuse'"),
        (
            {"plan": faults.Refuse(on="a->b:7#1")},
            r"is one fault; a plan is a list of them: FaultPlan\(\[faults\.Refuse\(",
        ),
        ({"plan": [faults.Refuse(on="a->b:7#1")]}, r"is list; make a plan of it: FaultPlan\(\[faults\.Refuse\("),
        ({"seed": "x"}, "seed='x' is str; it is a whole number"),
        ({"seed": -1}, "seed=-1 is outside 0"),
        ({"target": 3}, "target=3: a host's name, or several in a list"),
        ({"may_raise": (3,)}, r"may_raise=\(3,\): an exception's class, or several in a tuple"),
        ({"invariants": {"no-spin": "of"}}, "'no-spin' is set to 'of'; it can be failure, warning, off, and ': why'"),
        ({"invariants": {"nospin": "off"}}, "there is no invariant 'nospin'; there are no-spin, "),
        ({"per_process": None}, r"per_process=None: names in a list, such as \['module:attribute'\]"),
        ({"invariants": ["no-spin"]}, r"invariants=\['no-spin'\]: a mapping such as"),
    ],
)
def test_a_wrong_value_is_refused_by_name(network: Any, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        network(**wrong)


@both
def test_one_may_stand_for_several_and_a_line_for_a_plan(network: Any) -> None:
    net = network("refuse a->b:7#1", target="b", may_raise=OSError)
    assert net.plan == FaultPlan.parse("refuse a->b:7#1")
    assert (net.target, net.may_raise) == (("b",), (OSError,))
    assert network(target={"c", "a", "b"}).target == ("a", "b", "c")


@both
def test_a_hosts_name_is_a_text_and_always_takes_a_function(network: Any) -> None:
    net = network()
    with pytest.raises(TypeError, match="host name 5 is int; it is a text"):
        net.host(5)
    for either in (([], "a"), ("a", [])):
        with pytest.raises(TypeError, match=r"host name \[\] is list; it is a text"):
            net.link(*either)
    with pytest.raises(
        TypeError, match=r"observe\(3, \.\.\.\): the name is int; it is a text, and the value comes after it"
    ):
        net.observe(3, "name")
    with pytest.raises(ValueError, match="host name 'a b'"):
        net.host("a b")
    for name in ("localhost", "LOCALHOST", "db.localhost"):
        with pytest.raises(ValueError, match="is what each host calls itself; give it another one"):
            net.host(name)
    for address in ("10.0.0.9", "127.1", "7", "[::1]"):
        with pytest.raises(
            ValueError, match=r"is an address; a host is named, and is given its address: host\.address"
        ):
            net.host(address)
    with pytest.raises(TypeError, match=r"write `with net\.always"):
        net.always(3)


@both
def test_what_a_host_or_a_process_is_asked_for_is_refused_with_its_value(network: Any) -> None:
    with network() as net:
        server = net.host("server")
        process = server.spawn(time.sleep, 0.01)
        with pytest.raises(TypeError, match=r"join\('1'\): str is no number of seconds"):
            process.join("1")
        with pytest.raises(ValueError, match=r"join\(-1\): seconds are non-negative"):
            process.join(-1)
        with pytest.raises(TypeError, match=r"port='seven' is str; it is a number, such as 7, or a path"):
            server.listen("seven")
        with pytest.raises(ValueError, match=r"port=70000 is outside 0\.\.65535"):
            server.listen(70_000)
        assert process.join(5)


def test_what_is_true_or_false_is_nothing_else() -> None:
    with pytest.raises(TypeError, match="trace='no' is str; it is True or False"):
        simnet.Network(trace="no")  # type: ignore[arg-type]
    net = simnet.Network()
    with pytest.raises(TypeError, match="one_way='server' is str; it is True or False"):
        net.partition("test", "server", one_way="server")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="privileged=0 is int; it is True or False"):
        net.host("server").privileged = 0  # type: ignore[assignment]
    with net, pytest.raises(TypeError, match=r"sleep\(True\): bool is no number of seconds"):
        net.sleep(True)


def test_a_signal_is_a_number() -> None:
    with simnet.Network() as net:
        process = net.host("server").spawn(time.sleep, 1)
        with pytest.raises(TypeError, match=r"send_signal\('SIGTERM'\): str is no signal; send signal\.SIGTERM"):
            process.send_signal("SIGTERM")  # type: ignore[arg-type]


@both
def test_what_is_said_to_hold_always_and_says_false_does_not_hold(network: Any) -> None:
    net = network()
    with pytest.raises(AssertionError, match="is_true says False"), net:

        @net.always
        def is_true() -> bool:
            return False


@both
def test_what_must_always_hold_is_looked_at_by_a_plain_function(network: Any) -> None:
    async def look() -> None: ...

    with pytest.raises(TypeError, match=r"always\(look\): it is `async def`, and would return at once"):
        network().always(look)


@both
def test_what_must_always_hold_is_asked_without_arguments(network: Any) -> None:
    for look in (lambda net: net, lambda *, net: net, lambda net, more=1: net):
        with pytest.raises(TypeError, match="it has parameters, and is called without any"):
            network().always(look)
    for look in (lambda: None, lambda net=None: None, lambda *_, net=None, **__: None, str):
        assert network().always(look) is look


@both
def test_whom_to_connect_to_is_told_where_it_is_neither_a_pair_nor_a_path(network: Any) -> None:
    with network() as net:
        for address in (7, "server", ("server",), ("server", "7")):
            with pytest.raises(TypeError, match=r"a host and its port, such as \('server', 7\), or a path"):
                net.host("server").connect(address)


def test_what_a_real_run_may_take_is_a_number_above_0() -> None:
    with pytest.raises(TypeError, match="seconds='5' is str; it is a number of seconds"):
        simnet.RealNetwork(seconds="5")  # type: ignore[arg-type]
    for seconds in (float("inf"), float("nan"), 1e300):
        with pytest.raises(ValueError, match=r"is no time for a run; it is more than 0, and at most 4e\+09"):
            simnet.RealNetwork(seconds=seconds)
    with pytest.raises(ValueError, match="seconds=0 is no time for a run"):
        simnet.RealNetwork(seconds=0)


def test_rates_are_rates() -> None:
    with pytest.raises(TypeError, match=r"rates=0\.1 is float; it is a FaultRates"):
        simnet.Network(rates=0.1)  # type: ignore[arg-type]


@both
def test_a_level_may_have_its_reason_behind_it(network: Any) -> None:
    assert network(invariants={"nothing-left": "off: a pool keeps them"}).invariants == {"nothing-left": "off"}


@both
@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5"])
def test_how_long_one_waits_for_a_listener_is_a_number_of_seconds(network: Any, timeout: Any) -> None:
    with network() as net, pytest.raises((TypeError, ValueError), match=r"^wait_listening\("):
        net.host("server").wait_listening(7, timeout)


def test_a_port_is_a_number() -> None:
    with simnet.Network() as net, pytest.raises(TypeError, match="port='7' is str; it is a number"):
        net.host("server").wait_listening("7")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"port=65536 is outside 0\.\.65535"):
        port_of(65536)


@pytest.mark.parametrize(
    ("port", "spelling"),
    [("/run/app.sock", "/run/app.sock"), ("run/app.sock", "./run/app.sock"), ("\0app", "@app"), (b"\0app", "@app")],
)
def test_a_port_may_be_a_path_or_an_abstract_name(port: str | bytes, spelling: str) -> None:
    assert port_of(port) == spelling


@both
def test_no_time_at_all_may_pass(network: Any) -> None:
    with network() as net:
        net.sleep(0)
        net.run(0)


def test_a_network_that_has_ended_says_so() -> None:
    with simnet.Network() as net:
        server = net.host("server")
    for late in (
        lambda: net.sleep(1),
        lambda: server.spawn(print),
        lambda: server.wait_listening(7),
        lambda: server.connect(("test", 7)),
    ):
        with pytest.raises(RuntimeError, match="has ended: nothing can happen in it any more; make a new one"):
            late()


def test_a_socket_whose_network_has_ended_is_closed_and_says_why() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        idle, listener, datagrams = server.socket(), server.listen(7), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    calls: list[Callable[[], object]] = [
        lambda: idle.connect(("10.0.0.1", 7)),
        lambda: idle.connect(("server", 7)),
        lambda: idle.bind(("server", 7)),
        lambda: idle.recv(1),
        lambda: listener.accept(),
        lambda: listener.getsockname(),
        lambda: datagrams.sendto(b"", ("10.0.0.1", 7)),
    ]
    for call in calls:
        with pytest.raises(OSError, match="Bad file descriptor") as closed:
            call()
        assert closed.value.__notes__ == ["its network has ended, and all of its sockets with it: use them within"]
    for each in (idle, listener, datagrams):
        each.close()


def test_who_waits_for_ever_is_told_where_somebody_asks() -> None:
    def serve(then: Any) -> None:
        listener = socket.create_server(("", 7))
        while True:
            then(listener.accept()[0])

    def ask() -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.recv(1)

    def run(then: Any, level: str) -> None:
        with simnet.Network(target="server", invariants={"waits-for-ever": level}) as net:
            net.host("server").spawn(serve, then)
            net.host("client").spawn(ask)

    run(lambda conn: conn.close(), "failure")  # it waits for its next client, as servers do
    with pytest.raises(AssertionError, match=r"\[waits-for-ever\] server/serve waits for recv on .*, so for ever"):
        run(lambda conn: conn.recv(1), "failure")
    run(lambda conn: conn.recv(1), "off: it is what this is about")
    with pytest.raises(ValueError, match="'waits-for-ever' cannot be judged on real sockets"):
        simnet.RealNetwork(invariants={"waits-for-ever": "warning"})


@both
def test_what_is_set_by_a_mistaken_name_is_refused_with_where_it_is(network: Any) -> None:
    net = network(target="server", seed=3)
    for owner, name, told in (
        (net, "latency", r'a \w+ has no latency; each link .* has its own: net.link\("client", "server"\).latency'),
        (net.host("server"), "loss", "has no loss; each link between two hosts"),
        (net, "seeds", "no attribute 'seeds'"),
        (net, "seed", r"seed is given when a network is made, and stays: simnet.\w+\(seed=5\)"),
        (net, "plan", "plan is given when a network is made"),
        (net, "target", "target is given when a network is made"),
        (net.host("server"), "latencies", "no attribute 'latencies'"),
        (net.link("a", "b"), "latencies", "no attribute 'latencies'"),
    ):
        with pytest.raises(AttributeError, match=told):
            setattr(owner, name, 5)
    assert (net.seed, net.target, net.plan) == (3, ("server",), FaultPlan())
    assert not hasattr(net, "latency")
    net.link("a", "b").latency = 0.2
    assert net.link("b", "a").latency == 0.2


@both
def test_what_completes_names_offers_what_there_is_to_use(network: Any) -> None:
    with network() as net:
        process = net.host("server").spawn(len, "")
        faces = (net, net.host("server"), net.link("test", "server"), process)
        offered = [{name for name in dir(each) if not name.startswith("_")} for each in faces]
        process.join()
    assert {
        "host",
        "link",
        "observe",
        "always",
        "partition",
        "heal",
        "time",
        "trace",
        "plan",
        "handler_errors",
    } < offered[0]
    assert not {"latency", "loss", "begin", "finish", "spawn_on", "INNER"} & (offered[0] | offered[1])
    assert {"spawn", "run", "connect", "listen", "socket", "address", "name", "crash", "pause"} < offered[1]
    assert offered[2] == {
        *("a", "b", "latency", "jitter", "bandwidth", "loss", "duplication", "reordering", "mtu", "use"),
    }
    assert offered[3] == {"name", "host_name", "target", "done", "result", "error", "join", "send_signal", "where"}
