"""For all payloads and plans on Unix streams: nothing is lost under transparent faults, and a run is a function of what it is given."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch
import simnet
from dispatch import asyncore
from tests.properties.test_runs import Echo, OldEcho, answer_to

NAMES = ("/run/echo.sock", "\0echo")
KINDS = [kind for kind in (*simnet.TRANSPARENT, *simnet.DISRUPTIVE) if simnet.faults.drawn(kind)]


class OldListener(asyncore.dispatcher):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.create_socket(socket.AF_UNIX)
        self.bind(name)
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        OldEcho(sock)


def serve_streams(name: str) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(name, Echo, loop=loop)
        loop.run()


def serve_dispatchers(name: str) -> None:
    OldListener(name)
    asyncore.loop()


def talk(name: str, payload: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(name)
        return answer_to(payload, sock)


@pytest.mark.slow
@pytest.mark.parametrize("serve", [serve_streams, serve_dispatchers])
@given(
    plan=simnet.strategies.fault_plans(simnet.TRANSPARENT, schedules=True),
    payload=st.binary(max_size=20_000),
    name=st.sampled_from(NAMES),
)
@settings(max_examples=60, deadline=None)
def test_every_byte_comes_back(serve: Any, plan: simnet.FaultPlan, payload: bytes, name: str) -> None:
    with simnet.Network(plan) as net:
        net.host("server").spawn(serve, name)
        assert net.host("server").run(talk, name, payload) == payload


@pytest.mark.slow
@given(
    plan=simnet.strategies.fault_plans(simnet.TRANSPARENT, places="server->server:socketpair#1", max_faults=6),
    payload=st.binary(max_size=100_000),
)
@settings(max_examples=60, deadline=None)
def test_every_byte_goes_through_a_pair(plan: simnet.FaultPlan, payload: bytes) -> None:
    def pour() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.settimeout(10.0)
        left, got = payload, b""
        with near, far:
            while len(got) < len(payload):
                with contextlib.suppress(BlockingIOError):
                    left = left[near.send(left[:30_000]) :] if left else left
                if len(got) < len(payload) - len(left):
                    got += far.recv(50_000)
            near.close()
            assert far.recv(1) == b""
            return got

    with simnet.Network(plan, target="server") as net:
        assert net.host("server").run(pour) == payload


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), payload=st.binary(max_size=5_000), rate=st.sampled_from([0.02, 0.2]))
@settings(max_examples=60, deadline=None)
def test_the_same_seed_gives_the_same_trace_and_so_does_the_plan_that_happened(
    seed: int, payload: bytes, rate: float
) -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve_streams, NAMES[0])
        return net.host("server").run(talk, NAMES[0], payload)

    assert_the_plan_that_happened_is_the_run(test, simnet.FaultRates.even(rate, kinds=KINDS, seed=seed))


def assert_the_plan_that_happened_is_the_run(test: Any, rates: simnet.FaultRates) -> None:
    first = simnet.play(test, rates=rates)
    assert simnet.play(test, rates=rates).digest == first.digest
    replayed = simnet.play(test, first.happened)
    assert replayed.digest == first.digest
    assert replayed.unreached == ()


OPS: dict[str, Any] = {
    "send": lambda sock, n: sock.send(bytes(n)),
    "urgent": lambda sock, n: sock.send(bytes(n % 5 + 1), socket.MSG_OOB),
    "recv": lambda sock, n: sock.recv(n),
    "peek": lambda sock, n: sock.recv(n, socket.MSG_PEEK),
    "recv urgent": lambda sock, n: sock.recv(1, socket.MSG_OOB),
    "shutdown": lambda sock, n: sock.shutdown(n % 3),
    "close": lambda sock, n: sock.close(),
    "sleep": lambda sock, n: time.sleep(n / 10_000),
}
STEPS = st.tuples(st.sampled_from((0, 1)), st.sampled_from(sorted(OPS)), st.sampled_from((1, 7, 300, 40_000, 300_000)))


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.05, 0.3]), steps=st.lists(STEPS, max_size=20))
@settings(max_examples=100, deadline=None)
def test_so_it_is_whatever_calls_the_two_ends_make(seed: int, rate: float, steps: list[tuple[int, str, int]]) -> None:
    def converse() -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as listener:
            listener.bind(NAMES[0])
            listener.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(NAMES[0])
                server, _ = listener.accept()
                with server:
                    client.setblocking(False)
                    server.setblocking(False)
                    for end, op, n in steps:
                        with contextlib.suppress(OSError):
                            OPS[op]((client, server)[end], n)

    def test(net: simnet.Network) -> None:
        net.host("server").run(converse)

    assert_the_plan_that_happened_is_the_run(test, simnet.FaultRates.even(rate, kinds=KINDS, seed=seed))


@given(payload=st.binary(min_size=1, max_size=2_000), cuts=st.lists(st.integers(1, 1_999), max_size=8))
@settings(max_examples=40, deadline=None)
def test_what_a_handler_reads_is_the_same_stream_however_it_is_cut(payload: bytes, cuts: list[int]) -> None:
    plan = simnet.FaultPlan(
        [simnet.faults.Split(on=f"server->server:{NAMES[0]}#1", end="server", byte=cut) for cut in sorted(set(cuts))]
    )
    with simnet.Network(plan) as net:
        net.host("server").spawn(serve_streams, NAMES[0])
        assert net.host("server").run(talk, NAMES[0], payload) == payload
