"""For all payloads and plans: nothing is lost under transparent faults, and a run is a function of what it is given."""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dispatch
import simnet
from dispatch import asyncore
from simnet.calls.straight import StraightCalls


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def serve_streams(port: int) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Echo, loop=loop)
        loop.run()


class OldEcho(asyncore.dispatcher_with_send):
    """As old programs have it, with the end of the input kept apart from the end of the connection."""

    def handle_read(self) -> None:
        data = self.recv(8192)
        if data:
            self.send(data)

    def handle_close(self) -> None:
        if not self.out_buffer:
            self.close()


class OldListener(asyncore.dispatcher):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("", port))
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        OldEcho(sock)


def serve_dispatchers(port: int) -> None:
    OldListener(port)
    asyncore.loop()


def talk(port: int, payload: bytes) -> bytes:
    with socket.create_connection(("server", port)) as sock:
        return answer_to(payload, sock)


def answer_to(payload: bytes, sock: socket.socket) -> bytes:
    """All that comes back for *payload* until the other end has said all."""
    sock.sendall(payload)
    answer = b""
    while len(answer) < len(payload) and (data := sock.recv(65536)):
        answer += data
    sock.shutdown(socket.SHUT_WR)
    return answer + sock.makefile("rb").read()


@pytest.mark.slow
@pytest.mark.parametrize("serve", [serve_streams, serve_dispatchers])
@given(plan=simnet.strategies.fault_plans(simnet.TRANSPARENT), payload=st.binary(max_size=20_000))
@settings(max_examples=60, deadline=None)
def test_every_byte_comes_back(serve: Any, plan: simnet.FaultPlan, payload: bytes) -> None:
    with simnet.Network(plan) as net:
        net.host("server").spawn(serve, 7)
        assert talk(7, payload) == payload


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), payload=st.binary(max_size=5_000), rate=st.sampled_from([0.02, 0.2]))
@settings(max_examples=40, deadline=None)
def test_the_same_seed_gives_the_same_trace_and_so_does_the_plan_that_happened(
    seed: int, payload: bytes, rate: float
) -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve_streams, 7)
        return talk(7, payload)

    kinds = [kind for kind in (*simnet.TRANSPARENT, *simnet.DISRUPTIVE) if simnet.faults.drawn(kind)]
    rates = simnet.FaultRates.even(rate, kinds=kinds, seed=seed)
    first = simnet.play(test, rates=rates)
    assert simnet.play(test, rates=rates).digest == first.digest
    replayed = simnet.play(test, first.happened)
    assert replayed.digest == first.digest
    assert replayed.unreached == ()


@pytest.mark.slow
@given(payload=st.binary(min_size=1, max_size=2_000), cuts=st.lists(st.integers(1, 1_999), max_size=8))
@settings(max_examples=40, deadline=None)
def test_what_a_handler_reads_is_the_same_stream_however_it_is_cut(payload: bytes, cuts: list[int]) -> None:
    plan = simnet.FaultPlan(
        [simnet.faults.Split(on="test->server:7#1", end="server", byte=cut) for cut in sorted(set(cuts))]
    )
    with simnet.Network(plan) as net:
        net.host("server").spawn(serve_streams, 7)
        assert talk(7, payload) == payload


STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([1, 10, 1_000, 70_000])),
    st.tuples(st.just("recv"), st.sampled_from([1, 500, 65_536])),
    st.tuples(st.just("latency"), st.sampled_from([0.0, 0.001, 0.05])),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.000_5, 0.1])),
    st.tuples(st.just("shutdown"), st.just(socket.SHUT_WR)),
)


def dialogue(
    steps: list[tuple[str, Any]], asked: int, reset: bool, host: str, patience: float, trace: bool
) -> tuple[str, list[Any]]:
    """The digest of a conversation, which is cut somewhere with *reset*; and what the calls answered."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as served:
            with contextlib.suppress(ConnectionError):
                while data := served.recv(asked):
                    served.sendall(data[::2])

    answers: list[Any] = []
    plan = f"reset test->{host}:7#1 end=client byte=700" if reset else None
    with simnet.Network(plan, target=host, trace=trace) as net:
        net.host(host).spawn(serve)
        link = net.link("test", "server")
        with socket.create_connection((host, 7)) as sock:
            sock.settimeout(patience)
            for op, how in steps:
                try:
                    if op == "send":
                        answers.append(sock.send(b"x" * how))
                    elif op == "recv":
                        answers.append(sock.recv(how))
                    elif op == "latency":
                        link.latency = how
                    elif op == "sleep":
                        net.sleep(how)
                    else:
                        sock.shutdown(how)
                except OSError as error:
                    answers.append(error.errno)
    return net.trace.digest(), answers


@pytest.mark.slow
@given(
    steps=st.lists(STEPS, max_size=12),
    asked=st.sampled_from([200, 65_536]),
    reset=st.booleans(),
    host=st.sampled_from(["server", "test"]),
    patience=st.sampled_from([0.0, 0.02]),
    trace=st.booleans(),
)
@example(
    [("send", 1), ("send", 1), ("recv", 1), ("recv", 1)], 200, False, "server", 0.02, True
)  # a read at once, with a time-out
@settings(max_examples=100, deadline=None)
def test_a_call_leaves_the_same_trace_by_its_short_way_and_by_its_long_one(
    steps: list[tuple[str, Any]], asked: int, reset: bool, host: str, patience: float, trace: bool
) -> None:
    """Over a link and within a host; who waits and who does not; recorded or not, when the answers alone are compared."""
    short = dialogue(steps, asked, reset, host, patience, trace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StraightCalls, "send", lambda self, data: self._send(data, 0))
        patch.setattr(StraightCalls, "_send_straight", lambda self, payload: 0)
        patch.setattr(StraightCalls, "recv", lambda self, size: self._recv(size, 0))
        assert dialogue(steps, asked, reset, host, patience, trace) == short


def chatter(steps: list[tuple[str, Any]], *, past: bool) -> tuple[simnet.Trace, list[Any]]:
    """The trace of three talkers in one selector, and what it told; with *past*, one number is registered past it."""
    told: list[Any] = []
    with simnet.Network() as net, selectors.DefaultSelector() as selector:
        listener = net.host("server").listen(7)
        pairs = []
        for number in range(3):
            client = socket.create_connection(("server", 7))
            served, _ = listener.accept()
            client.setblocking(False)
            served.setblocking(False)
            selector.register(served, selectors.EVENT_READ, f"served {number}")
            pairs.append((client, served))
        silent = socket.create_connection(("server", 7))
        if past:
            selector._selector.register(silent, select.EPOLLIN)  # type: ignore[attr-defined]
        for op, how in steps:
            client, served = pairs[how % 3] if op in ("send", "drain", "both", "end") else pairs[0]
            with contextlib.suppress(OSError):
                if op == "send":
                    client.send(b"x" * 100)
                elif op == "drain":
                    served.recv(65_536)
                elif op == "both":
                    selector.modify(served, selectors.EVENT_READ | selectors.EVENT_WRITE, how)
                elif op == "end":
                    client.shutdown(socket.SHUT_WR)
                elif op == "sleep":
                    net.sleep(how)
                else:
                    told.append([(key.data, events) for key, events in selector.select(how)])
        return net.trace, told


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["send", "drain", "both", "end"]), st.integers(0, 2)),
            st.tuples(st.just("select"), st.sampled_from([0, -1, 0.001, 0.000_4, 5])),
            st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.000_5, 0.1])),
        ),
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_a_selector_tells_and_records_the_same_by_its_short_way_and_by_its_long_one(
    steps: list[tuple[str, Any]],
) -> None:
    assert chatter(steps, past=False) == chatter(steps, past=True)
