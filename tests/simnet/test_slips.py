"""A host's name that is mistyped where a network would just make such a host is warned of, and so is that of a global."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

import simnet
from simnet.realnet import play_real
from simnet.stateful import NetworkMachine


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                conn.sendall(conn.recv(100))


def talk(net: simnet.Network | simnet.RealNetwork) -> bytes:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)


def slow(net: simnet.Network) -> None:
    net.link("test", "servre").latency = 0.2


@pytest.mark.parametrize(
    "act", [slow, lambda net: net.partition("sever", "test"), lambda net: net.heal("sever", "test")]
)
def test_a_link_to_a_host_that_is_none_is_warned_of_with_the_one_that_was_meant(
    act: Callable[[simnet.Network], None],
) -> None:
    told = pytest.warns(RuntimeWarning, match=r"names the host 'se\w+', where nothing .* did you mean 'server'\?")
    with told, simnet.Network() as net:
        act(net)
        talk(net)
    assert told[0].filename == __file__


@pytest.mark.parametrize("name", ["server2", "elsewhere", "Server-of-another-kind"])
def test_a_link_to_a_host_that_is_like_no_other_is_meant(name: str) -> None:
    with simnet.Network() as net:
        net.partition("test", name)
        talk(net)


def test_a_host_that_a_link_names_first_and_somebody_else_too_is_meant() -> None:
    with simnet.Network() as net:
        net.link("test", "servers").latency = 0.2
        net.partition("test", "served")
        net.link("test", "served").latency = 0.2
        net.host("servers")
        talk(net)
        with pytest.raises(TimeoutError):
            socket.create_connection(("served", 7), timeout=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [simnet.Network, simnet.RealNetwork])
def test_targets_that_are_no_host_are_warned_of(kind: type[simnet.Network]) -> None:
    told = pytest.warns(RuntimeWarning, match=r"target=sever: the test has no host .* Hosts there are: test, server")
    with told, kind(target="sever") as net:
        talk(net)
    with kind(target=["server", "another"]) as net:
        talk(net)
    with kind(target="server"):
        pass  # nothing was there to be a target yet


def test_a_sweep_tells_it_once() -> None:
    def test(net: simnet.Network) -> bytes:
        net.partition("sever", "elsewhere")
        return talk(net)

    (warned,) = simnet.check(test, target="server", kinds="refuse").warnings
    assert (warned.name, warned.count) == ("no-such-host", 1)


@pytest.mark.parametrize("kind", [simnet.Network, pytest.param(simnet.RealNetwork, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("slip", "why"),
    [
        (f"{__name__}:PLACE", f"'{__name__}' has no 'PLACE'"),
        ("no_such_package.pool:FREE", "no module 'no_such_package.pool' was imported"),
    ],
)
def test_a_global_that_is_nowhere_is_warned_of(kind: type[simnet.Network], slip: str, why: str) -> None:
    told = pytest.warns(RuntimeWarning, match=rf"\[no-such-global\] per_process='{slip}': {why}")
    with told, kind(per_process=[slip]) as net:
        talk(net)
    assert told[0].filename == __file__


def test_a_global_of_a_module_that_this_test_does_not_need_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "simnet.demo", raising=False)  # another test may have
    with simnet.Network(per_process=["simnet.demo:SEEN"]) as net:
        talk(net)


def test_a_state_machines_global_that_is_nowhere_is_warned_of() -> None:
    class Clients(NetworkMachine):
        per_process = (f"{__name__}:PLACE",)
        moves = ("connect",)
        faults = None

        def start(self) -> None:
            self.net.host("server").spawn(serve, 7)

    with pytest.warns(RuntimeWarning, match=r"\[no-such-global\] .* has no 'PLACE'"):
        run_state_machine_as_test(Clients, settings=settings(max_examples=2, database=None))


def _lends(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        with listener.accept()[0] as conn:
            lines = conn.makefile("rb")
            lines.readline()
        listener.accept()
        del lines


def _conversation(net: Any) -> None:
    net.host("server").spawn(_lends, 7)
    socket.create_connection(("server", 7)).close()


@pytest.mark.slow
@pytest.mark.parametrize("play", [simnet.play, play_real])
def test_who_closed_a_socket_and_not_the_file_that_it_made_of_it_is_told_of_that(play: Any) -> None:
    (left,) = play(_conversation, target="server").verdicts
    assert left.name == "nothing-left"
    assert "Its close() waits for a file that makefile() has made of it: close that, too" in left.message


@pytest.mark.slow
def test_an_invariant_that_is_set_to_a_warning_warns() -> None:
    def holds_on(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            held = listener.accept()
            listener.accept()
            del held

    line = holds_on.__code__.co_firstlineno + 2
    where = rf"test->server:7#1 \(CLOSE_WAIT\), accepted at test_slips\.py:{line} in holds_on, whose peer is gone"
    told = pytest.warns(RuntimeWarning, match=rf"\[nothing-left\] server/holds_on still holds {where}")
    with told, simnet.Network(target="server", invariants={"nothing-left": "warning: a pool"}) as net:
        net.host("server").spawn(holds_on, 7)
        socket.create_connection(("server", 7)).close()


async def _hands_out(port: int) -> None:
    jobs: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline() + await _next_of(jobs))

    async with await asyncio.start_server(talk, port=port) as server:
        await server.serve_forever()


async def _next_of(jobs: asyncio.Queue[bytes]) -> bytes:
    return await jobs.get()


def _asks_and_leaves(net: Any) -> None:
    net.host("server").spawn(asyncio.run, _hands_out(7))
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"next\n")


def test_what_a_task_of_asyncio_holds_is_told_with_the_line_at_which_it_stands() -> None:
    (left,) = simnet.play(_asks_and_leaves, target="server").verdicts
    line = _next_of.__code__.co_firstlineno + 1
    assert left.name == "nothing-left"
    told = f"test->server:7#1 (CLOSE_WAIT), served by a task at test_slips.py:{line} in _next_of, whose peer is gone"
    assert told in left.message
