"""No descriptor for a while: every accept, or every ``socket()``, fails for that long. Who pauses goes on, who asks again at once is told."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import socketserver
import time
from collections.abc import Callable
from typing import Any

import pytest

import dispatch
import simnet
from simnet import FaultPlan, faults
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.faults.simpler import simpler
from simnet.run import Run, play

PLACES = [pytest.param(7, "server:7", id="tcp"), pytest.param("/run/app.sock", "server:/run/app.sock", id="unix")]
LONG = 5.0  # seconds


def lasting(on: str = "server:7", call: int = 1, code: str = "EMFILE", seconds: float = LONG) -> faults.Error:
    return faults.Error(on=on, op="accept" if ":" in on else "socket", call=call, errno=code, seconds=seconds)


def code_of(call: Callable[[], Any]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize(("port", "place"), PLACES)
def test_each_accept_fails_until_the_time_is_over_and_the_connection_waits_in_the_queue(
    port: int | str, place: str
) -> None:
    with simnet.Network(FaultPlan([lasting(place, call=2)]), target=["server", "test"]) as net:
        host = net.host("server")
        listener = host.listen(port)
        listener.setblocking(False)
        clients = [host.connect(("server", port) if isinstance(port, int) else port) for _ in range(2)]
        listener.accept()[0].close()
        codes = []
        for _ in range(4):
            assert select.select([listener], [], [], 0)[0], "it is readable all the while"
            codes.append(code_of(lambda: listener.accept()[0].close()))
            time.sleep(LONG / 3)
        assert codes == [errno.EMFILE] * 3 + [None]
        for sock in (*clients, listener):
            sock.close()
    assert net.happened == FaultPlan([lasting(place, call=2)]), "it is one fault, however many calls it struck"
    assert not net.unreached


def test_each_listener_that_a_pattern_means_has_its_own_time() -> None:
    with simnet.Network(FaultPlan([lasting("server:*")]), target="server") as net:
        listeners = [net.host("server").listen(port) for port in (7, 8)]
        told = []
        for listener in listeners:
            listener.setblocking(False)
            told.append(code_of(listener.accept))
            time.sleep(0.7 * LONG)
        told += [code_of(listener.accept) for listener in listeners]
        for listener in listeners:
            listener.close()
    # The second began when 0.7 of the first was over.
    assert told == [errno.EMFILE, errno.EMFILE, errno.EAGAIN, errno.EMFILE]
    assert [str(fault.on) for fault in net.happened] == ["server:7", "server:8"]


def test_no_process_of_a_host_gets_a_socket_until_the_time_is_over() -> None:
    codes: list[int | None] = []
    others: list[int | None] = []

    def ask(told: list[int | None]) -> None:
        for _ in range(3):
            told.append(code_of(lambda: socket.socket().close()))
            time.sleep(LONG / 2)

    with simnet.Network(FaultPlan([lasting("client")]), target=["client", "other"]) as net:
        net.host("client").spawn(ask, codes)
        net.host("client").spawn(ask, codes)
        net.host("other").spawn(ask, others)
        net.sleep(2 * LONG)
    assert codes == [errno.EMFILE] * 4 + [None] * 2
    assert others == [None] * 3


# --- who goes on ---------------------------------------------------------------------------------------------------------


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def on_dispatch() -> None:
    loop = dispatch.Loop()
    dispatch.Listener(("", 7), Echo, loop=loop)
    loop.run()


def on_asyncio() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def serve() -> None:
        # CPython 3.11 fails once for each place in the queue before it pauses
        server = await asyncio.start_server(echo, "", 7, backlog=1)
        await server.serve_forever()

    asyncio.run(serve())


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(self.request.recv(100))


def on_socketserver() -> None:
    with socketserver.TCPServer(("", 7), Answer) as server:
        server.serve_forever()


def in_a_loop() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            with sock:
                sock.sendall(sock.recv(100))


def asked(serve: Callable[[], None], plan: str) -> Run:
    def body(net: Any) -> tuple[bytes, bool]:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7), timeout=4 * LONG) as sock:
            sock.sendall(b"hello")
            return sock.recv(100), net.time > LONG

    return play(body, plan, target="server")


@pytest.mark.parametrize("serve", [on_dispatch, on_asyncio])
def test_who_pauses_serves_when_the_time_is_over(serve: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    run = asked(serve, f"error server:7 accept call=1 errno=EMFILE seconds={LONG}")
    assert run.outcome.returned == (b"hello", True), run.outcome
    assert not run.verdicts


@pytest.mark.parametrize(
    ("serve", "name"),
    [(on_socketserver, "no-spin"), pytest.param(in_a_loop, "Hang", marks=pytest.mark.slow)],
)
def test_who_asks_again_at_once_is_told(serve: Callable[[], None], name: str) -> None:
    once = asked(serve, "error server:7 accept call=1 errno=EMFILE")
    assert (once.outcome.returned, once.verdicts) == ((b"hello", False), [])
    run = asked(serve, f"error server:7 accept call=1 errno=EMFILE seconds={LONG}")
    assert [verdict.name for verdict in run.verdicts] == [name]


def test_a_plan_plays_it_and_nobody_has_to_survive_it_but_by_going_on() -> None:
    def test(net: Any) -> bytes:
        net.host("server").spawn(on_dispatch)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    result = run_sweep(test, SweepOptions.of(target="server"), plan=FaultPlan([lasting()]))
    assert (result.failed, result.equal, result.warnings) == (0, 1, [])


# --- what a fault says of itself -----------------------------------------------------------------------------------------


def test_it_reads_and_shrinks_like_any_other() -> None:
    fault = lasting()
    assert str(fault) == "error server:7 accept call=1 seconds=5 errno=EMFILE"
    assert FaultPlan.parse(str(fault)) == FaultPlan([fault])
    assert fault.sentence() == "the 1st accept on server:7, and each one for 5 s, failed with EMFILE"
    assert faults.Error(on="server:7", op="accept", call=1, errno="EMFILE") in list(simpler(fault))
    assert 1.0 in [getattr(each, "seconds", None) for each in simpler(fault)]


@pytest.mark.parametrize(
    ("op", "code", "seconds", "why"),
    [
        ("accept", "ECONNABORTED", 1.0, "is for what has run out"),
        ("send", "ENOBUFS", 1.0, "is for what has run out"),
        ("accept", "EMFILE", 0.0, "is too short"),
    ],
)
def test_what_does_not_run_out_does_not_last(op: str, code: str, seconds: float, why: str) -> None:
    on, end = ("server:7", None) if op == "accept" else ("client->server:7#1", "server")
    with pytest.raises(faults.FaultError, match=why):
        faults.Error(on=on, op=op, call=1, errno=code, end=end, seconds=seconds)


def test_real_sockets_play_it_in_real_time_if_the_run_may_take_that_long() -> None:
    with simnet.RealNetwork(FaultPlan([lasting(seconds=0.05)]), target="server") as net:
        net.host("server").spawn(on_dispatch)
        with socket.create_connection(("server", 7), timeout=10) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
    assert str(net.happened) == str(lasting(seconds=0.05))
    with pytest.raises(ValueError, match="it takes 1000 s of real time"):
        simnet.RealNetwork(FaultPlan([lasting(seconds=1000)]))
