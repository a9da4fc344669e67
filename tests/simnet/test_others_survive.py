"""What befalls one connection costs no other client its own: where a target hangs up on a bystander, that is a failure."""

from __future__ import annotations

import asyncio
import queue
import selectors
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.judging.verdict import judge
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.realnet import play_real
from tests.simnet.servers import lasting_echo

PORT = 7
BREAKING = ("reset", "eof", "urgent", "blackhole", "reset-before-accept")


def hub(careful: bool, idle: float | None = None) -> None:
    """What one client sends goes to all others; who is not *careful* lets the error of one end the connection of another."""
    clients: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)
        try:
            while line := await asyncio.wait_for(reader.readline(), idle):
                for other in clients:
                    if other is not writer:
                        try:
                            other.write(line)
                            await other.drain()
                        except OSError:
                            if not careful:
                                raise
                writer.write(b"sent\n")
                await writer.drain()
        except (OSError, TimeoutError):
            pass
        finally:
            clients.remove(writer)
            writer.close()

    async def main() -> None:
        await (await asyncio.start_server(talk, port=PORT)).serve_forever()

    asyncio.run(main())


def together(careful: bool) -> None:
    """Two players: when one goes, the game is over for the other."""
    del careful
    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        players = []
        for _ in range(2):
            player, _ = listener.accept()
            selector.register(player, selectors.EVENT_READ)
            players.append(player)
        while True:
            for key, _ in selector.select():
                mover: Any = key.fileobj
                (other,) = (each for each in players if each is not mover)
                try:
                    move = mover.recv(100)
                    if not move:
                        raise ConnectionError
                    other.sendall(move)
                except OSError:
                    selector.close()
                    for each in players:
                        each.close()
                    listener.accept()
                    return


def two_clients(net: Any, serve: Callable[..., None], *given: Any) -> list[bytes]:
    net.host("server").spawn(serve, *given)
    at = ("server", PORT)
    with net.host("reader").connect(at) as reader, net.host("writer").connect(at) as writer:
        heard = []
        for line in (b"one\n", b"two\n", b"three\n"):
            writer.sendall(line)
            heard.append(writer.recv(100))
        reader.settimeout(1)
        heard.append(reader.recv(100))
        writer.shutdown(socket.SHUT_WR)
        while writer.recv(100):
            pass
        return heard


def failures(serve: Callable[..., None], *given: Any, **options: Any) -> list[tuple[str, str]]:
    result = run_sweep(
        lambda net: two_clients(net, serve, *given),
        SweepOptions.of(target="server", kinds=BREAKING, **options),
    )
    return [(each.judgement.findings[0].reason, each.judgement.findings[0].message) for each in result.failures]


@pytest.mark.slow
def test_an_error_of_one_client_that_costs_another_its_connection_is_a_failure() -> None:
    told = "server hung up on writer->server:7#1, to which nothing had happened; without the fault on reader->server:7#1 it does not"
    assert failures(hub, False) == [("others-survive", told)]


@pytest.mark.slow
def test_the_line_that_raised_is_named_where_the_program_lets_the_error_out() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)
        try:
            while line := await reader.readline():
                for other in clients:
                    other.write(b"sent\n" if other is writer else line)
                    await other.drain()
        finally:
            clients.remove(writer)
            writer.close()

    async def main() -> None:
        clients.clear()
        await (await asyncio.start_server(talk, port=PORT)).serve_forever()

    clients: list[asyncio.StreamWriter] = []
    (failure,) = run_sweep(
        lambda net: two_clients(net, lambda: asyncio.run(main())), SweepOptions.of(target="server", kinds=BREAKING)
    ).failures
    finding = failure.judgement.findings[0]
    assert finding.reason == "others-survive"
    assert finding.at == f"test_others_survive.py:{talk.__code__.co_firstlineno + 6}"


@pytest.mark.slow
def test_a_server_that_ends_only_the_connection_that_has_failed_passes() -> None:
    assert failures(hub, True) == []


@pytest.mark.slow
def test_a_time_out_that_the_fault_let_run_out_is_not_meant() -> None:
    assert failures(hub, True, 0.5) == []


@pytest.mark.slow
def test_a_client_that_still_waits_when_the_run_ends_was_not_hung_up_on() -> None:
    """Its server ends with the run, and its kernel closes what the server had open."""

    def listen() -> bytes:
        with socket.create_connection(("server", PORT)) as sock, sock.makefile("rwb") as lines:
            lines.write(b"here\n")
            lines.flush()
            return lines.readline() + lines.readline()

    def test(net: Any) -> bytes:
        net.host("server").spawn(hub, True)
        reader = net.host("reader").spawn(listen)
        net.sleep(1)
        with socket.create_connection(("server", PORT)) as writer:
            writer.sendall(b"news\n")
            assert writer.recv(100) == b"sent\n"
        reader.join()
        return reader.result  # type: ignore[no-any-return]

    assert run_sweep(test, SweepOptions.of(target="server", kinds=BREAKING)).failures == []


def test_those_that_belong_together_say_so() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(together, True)
        with net.host("one").connect(("server", PORT)) as one, net.host("two").connect(("server", PORT)) as two:
            one.sendall(b"e4")
            two.sendall(two.recv(2))
            one.recv(2)
            one.shutdown(socket.SHUT_WR)
            two.recv(1)

    def told(**levels: str) -> list[tuple[str, bool]]:
        result = run_sweep(test, SweepOptions.of(target="server", kinds=["reset"], invariants=levels))
        reports = zip(result.failures, result.reports(), strict=True)
        return [
            (failure.reason, "invariants={'others-survive': 'off: why'}" in report.why) for failure, report in reports
        ]

    assert told(**{"loop-survives": "off", "listener-survives": "off"}) == [("others-survive", True)]
    assert told(**{"loop-survives": "off", "listener-survives": "off", "others-survive": "off: a game of two"}) == []


@pytest.mark.slow
def test_of_a_proxy_the_side_that_it_opened_and_the_one_it_accepted_go_together() -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("server", PORT)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    async def main() -> None:
        await (await asyncio.start_server(talk, port=80)).serve_forever()

    def test(net: Any) -> bytes:
        net.host("server").spawn(lasting_echo, PORT)
        net.host("proxy").spawn(asyncio.run, main())
        with socket.create_connection(("proxy", 80)) as one:
            one.sendall(b"hello")
            answer = one.recv(100)
        with socket.create_connection(("proxy", 80)) as other:
            other.sendall(b"hello")
            return answer + other.recv(100)

    assert run_sweep(test, SweepOptions.of(target="proxy", kinds=BREAKING)).failures == []


@pytest.mark.slow
def test_real_sockets_say_so_too() -> None:
    def test(net: Any) -> list[bytes]:
        return two_clients(net, hub, False)

    plan = FaultPlan.parse("error reader->server:7#1 end=server op=send call=2 errno=ENOBUFS")
    baseline, run = (play_real(test, each, target="server") for each in (FaultPlan(), plan))
    assert judge(baseline, run).findings[0].reason == "others-survive"


def hub_of_socketserver() -> None:
    """Its handlers let the error of one end the connection of another; each close is a ``shutdown`` first."""
    there: list[Any] = []

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            there.append(self.wfile)
            with suppress(OSError):
                for line in self.rfile:
                    for each in there:
                        each.write(line)
            there.remove(self.wfile)

    class Hub(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Hub(("", PORT), Talk) as server:
        server.serve_forever()


def said_to_both(serve: Callable[[], None]) -> set[str]:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(PORT)
        with socket.create_connection(("server", PORT)) as one, socket.create_connection(("server", PORT)) as other:
            with one.makefile("rb") as first, other.makefile("rb") as second:
                net.sleep(0.1)
                one.sendall(b"hi\n")
                heard = [first.readline(), second.readline()]
                other.sendall(b"ho\n")
                return [*heard, first.readline(), second.readline()]

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["error", "eof"]))
    return {each.reason for each in result.failures}


@pytest.mark.slow
def test_socketserver_shuts_down_before_it_closes_and_is_told_of_as_others_are() -> None:
    assert "others-survive" in said_to_both(hub_of_socketserver)


def hub_of_threads() -> None:
    """One that reads and one that writes for each client; who reads has a time-out, and waits for the other before it closes."""
    outputs: list[queue.Queue[bytes]] = []

    def write(conn: socket.socket, output: queue.Queue[bytes]) -> None:
        try:
            while line := output.get():
                conn.sendall(line)
        except OSError:
            with suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)  # so that who reads has done

    def talk(conn: socket.socket) -> None:
        outputs.append(output := queue.Queue())
        writes = threading.Thread(target=write, args=(conn, output))
        writes.start()
        with suppress(OSError), conn.makefile("rb") as lines:
            conn.settimeout(60)
            for line in lines:
                for each in outputs:
                    each.put(line)
        outputs.remove(output)
        output.put(b"")
        writes.join()
        conn.close()

    with socket.create_server(("", PORT)) as listener:
        while True:
            with suppress(OSError):
                threading.Thread(target=talk, args=(listener.accept()[0],)).start()


@pytest.mark.slow
def test_whose_time_is_up_is_closed_for_that_also_by_threads_that_wake_each_other() -> None:
    assert "others-survive" not in said_to_both(hub_of_threads)
