"""Programs that speak TLS repeat: of what is encrypted only its kind and length is compared."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

import dispatch
import simnet
from simnet.explore.points import families, select
from simnet.explore.report.ladder import ladder
from simnet.realnet import play_real
from simnet.tls.sealed import sealed
from tests.certificates import contexts

INSIDE, OUTSIDE = contexts("server")


def serve_waiting() -> None:
    with INSIDE.wrap_socket(socket.create_server(("", 443)), server_side=True) as listener:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1000):
                connection.sendall(data.upper())
            connection.unwrap()


class Capitals(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data.upper())

    def handle_eof(self) -> None:
        self.close()


def serve_by_dispatch() -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", 443), Capitals, loop=loop, tls=INSIDE)
        loop.run()


def serve_by_asyncio() -> None:
    async def capitals(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data.upper())
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(capitals, port=443, ssl=INSIDE) as server:
            await server.serve_forever()

    asyncio.run(serve())


def talk(payload: bytes = b"hello") -> bytes:
    with OUTSIDE.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server") as client:
        client.sendall(payload)
        answer = b""
        while len(answer) < len(payload) and (data := client.recv(1000)):
            answer += data
        return answer


def conversation(serve: Callable[[], object], payload: bytes = b"hello") -> Callable[[simnet.Network], bytes]:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        return talk(payload)

    return test


@pytest.mark.parametrize("serve", [serve_waiting, serve_by_dispatch, serve_by_asyncio])
def test_two_runs_are_the_same_though_no_byte_of_theirs_is(serve: Any) -> None:
    test = conversation(serve)
    once, twice = simnet.play(test), simnet.play(test)
    assert once.outcome.returned == b"HELLO"
    assert once.trace.entries != twice.trace.entries
    assert once.digest == twice.digest
    assert once.trace.first_difference(twice.trace) is None
    assert simnet.play(conversation(serve, b"hallo!")).digest != once.digest  # its length shows


@pytest.mark.parametrize("serve", [serve_waiting, serve_by_dispatch, serve_by_asyncio])
@pytest.mark.slow
def test_each_fault_gives_the_same_run_again(serve: Any) -> None:
    test = conversation(serve)
    baseline = simnet.play(test, target="server")
    faults = select(families(baseline.points, baseline.targets), 150).faults
    assert len({fault.kind for fault in faults}) > 8
    for fault in faults:
        plan = simnet.FaultPlan([fault])
        once = simnet.play(test, plan, target="server")
        twice = simnet.play(test, plan, target="server")
        assert once.trace.first_difference(twice.trace) is None, fault
        assert once.unreached == (), fault


def as_ssh_does(net: simnet.Network) -> bytes:
    """Greetings, then packets that are others each time."""

    def serve() -> None:
        with socket.create_server(("", 22)) as listener, listener.accept()[0] as sock:
            sock.sendall(b"SSH-2.0-one\r\n" + dice.randbytes(70))
            while data := sock.recv(100):
                sock.sendall(dice.randbytes(len(data)))

    dice = random.Random(next(seeds))
    net.host("server").spawn(serve)
    with socket.create_connection(("server", 22)) as sock:
        sock.sendall(b"SSH-2.0-two\r\n")
        sock.sendall(dice.randbytes(40))
        sock.shutdown(socket.SHUT_WR)
        while len(sock.recv(1)):
            pass
        return b"done"


seeds = itertools.count()


@pytest.mark.slow
def test_of_ssh_lengths_are_compared() -> None:
    once = simnet.play(as_ssh_does)
    assert "SSH 83 B" in ladder(once.trace)
    faults = select(families(once.points, once.targets), 60).faults
    for fault in (None, *faults):
        plan = simnet.FaultPlan([] if fault is None else [fault])
        once, twice = (simnet.play(as_ssh_does, plan, target="server") for _ in range(2))
        assert once.trace.first_difference(twice.trace) is None, fault
    assert once.trace.entries != twice.trace.entries


@pytest.mark.slow
def test_a_sweep_compares_what_came_out() -> None:
    result = simnet.check(conversation(serve_by_dispatch), target="server", kinds=[*simnet.TRANSPARENT], runs=60)
    assert result.runs == 60
    assert (result.failed, result.unreached) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "short-recv test->server:443#1 end=server call=2 bytes=3",
        "reset test->server:443#1 end=server recv call=3",
        "eof test->server:443#1 end=client byte=700",
        "error test->server:443#1 recv end=server call=2 errno=ENOBUFS",
    ],
)
def test_a_fault_does_the_same_to_it_on_real_sockets(fault: str) -> None:
    test, plan = conversation(serve_waiting), simnet.FaultPlan.parse(fault)
    simulated, kernel = (each(test, plan, target="server") for each in (simnet.play, play_real))
    assert kernel.unreached == simulated.unreached == ()
    assert kernel.outcome == simulated.outcome
    assert [str(each.error) for each in kernel.failures] == [str(each.error) for each in simulated.failures]


def test_starttls_is_found_behind_what_was_said_in_clear() -> None:
    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            connection, _ = listener.accept()
        assert connection.recv(100) == b"STARTTLS\r\n"
        connection.sendall(b"go ahead\r\n")
        with INSIDE.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(secure.recv(100))

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        plain = socket.create_connection(("server", 443))
        plain.sendall(b"STARTTLS\r\n")
        assert plain.recv(100) == b"go ahead\r\n"
        with OUTSIDE.wrap_socket(plain, server_hostname="server") as secure:
            secure.sendall(b"secret")
            return secure.recv(100)

    once, twice = simnet.play(test), simnet.play(test)
    assert once.digest == twice.digest
    shown = [entry[7] for entry in sealed(once.trace.entries) if entry[1] == "call" and entry[5] in ("send", "recv")]
    assert shown[0][0] == (b"STARTTLS\r\n",)
    records = [received for _, received, *_ in shown if isinstance(received, bytes) and len(received) > 20]
    assert records
    assert all(set(record) == {ord(".")} for record in records)


@pytest.mark.parametrize("following", [b"!", b"?"])
def test_an_urgent_byte_is_not_taken_for_the_next_of_a_record(following: bytes) -> None:
    """Once in 256 runs it is equal to it."""

    def test(net: simnet.Network) -> None:
        with net.host("server").listen(443) as listener, socket.create_connection(("server", 443)) as client:
            served, _ = listener.accept()
            with served:
                client.sendall(b"\x16\x03\x01\x00\x06\x01ab")
                assert served.recv(100)[5:] == b"\x01ab"
                client.send(b"!", socket.MSG_OOB)
                client.sendall(following + b"cd")
                net.sleep(0.01)
                assert served.recv(1, socket.MSG_OOB) == b"!"
                assert served.recv(100) == following + b"cd"

    shown = [entry[7][1] for entry in sealed(simnet.play(test).trace.entries) if entry[1:6:4] == ("call", "recv")]
    assert shown == [b"\x16\x03\x01\x00\x06...", b"!", b"..."]


@pytest.mark.parametrize("cut", [1, 2, 4, 5, 6, 60])
def test_a_hello_that_is_cut_is_known_all_the_same(cut: int) -> None:
    plan = simnet.FaultPlan([simnet.faults.Stall(on="test->server:443#1", end="server", byte=cut, seconds=0.01)])
    test = conversation(serve_waiting)
    once, twice = simnet.play(test, plan), simnet.play(test, plan)
    assert once.unreached == ()
    assert once.digest == twice.digest


def test_a_ladder_says_what_kind_of_record_it_was() -> None:
    shown = ladder(simnet.play(conversation(serve_waiting)).trace, whole=True)
    for words in ("send TLS handshake 517 B", "TLS handshake head", "recv TLS record", "send TLS data 27 B"):
        assert words in shown
    assert "x16" not in shown
    assert "x17" not in shown


def test_where_nothing_is_tls_nothing_is_changed() -> None:
    def test(net: simnet.Network) -> None:
        with net.host("server").listen(7) as listener, socket.create_connection(("server", 7)) as client:
            served, _ = listener.accept()
            with served:
                for data in (b"\x16", b"\x16\x03", b"\x16\x03\x01\x00\x05\x00hello", b"plain"):
                    client.sendall(data)
                    assert served.recv(100) == data
        # A client's first packet of QUIC has 1,200 bytes: what begins so and is shorter is something else.
        with socket.socket(type=socket.SOCK_DGRAM) as box, socket.socket(type=socket.SOCK_DGRAM) as sender:
            box.bind(("", 443))
            sender.sendto(b"\xc3\0\0\0\1".ljust(1199, b"x"), box.getsockname())

    entries = simnet.play(test).trace.entries
    assert sealed(entries) is entries


@pytest.mark.parametrize("connected", [False, True])
def test_of_quic_the_lengths_of_its_packets_are_compared(connected: bool) -> None:
    ciphers = itertools.count()  # another byte in each run, as what is encrypted

    def packet(size: int, first: bytes = b"\xc3\0\0\0\1") -> bytes:
        return first.ljust(size, bytes([next(ciphers) % 256]))

    def answer(size: int) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 443))
            _, client = sock.recvfrom(2000)
            sock.sendto(packet(size), client)
            sock.sendto(packet(30, b"\x41"), client)
            sock.sendto(b"not of it", client)

    def ask() -> list[int]:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            if connected:
                sock.connect(("server", 443))
                sock.send(packet(1200))
            else:
                sock.sendto(packet(1200), ("server", 443))
            return [len(sock.recv(2000)) for _ in range(3)]

    def conversation(size: int) -> Callable[[simnet.Network], list[int]]:
        def test(net: simnet.Network) -> list[int]:
            net.host("server").spawn(answer, size)
            return net.host("client").run(ask)

        return test

    runs = [simnet.play(conversation(size)) for size in (500, 500, 501)]
    assert runs[0].outcome.returned == [500, 30, 9]
    assert runs[0].digest == runs[1].digest != runs[2].digest
    shown = ladder(runs[0].trace)
    assert "QUIC 1,200 B" in shown
    assert "not of it" in shown


@pytest.mark.slow
@pytest.mark.parametrize("said", [True, False], ids=["close-notify", "bare-end"])
def test_who_reads_on_after_the_end_is_stopped_by_count_as_without_tls(said: bool) -> None:
    # Of its own: those that dispatch was given make an error of an end without close_notify.
    inside, outside = contexts("server")

    def serve() -> None:
        with inside.wrap_socket(socket.create_server(("", 443)), server_side=True) as listener:
            connection, _ = listener.accept()
            with connection:
                while True:
                    connection.recv(1000)

    def leave(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        with outside.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server") as client:
            client.sendall(b"hello")
            if said:
                client.setblocking(False)
                with contextlib.suppress(OSError):
                    client.unwrap()

    (verdict,) = simnet.play(leave).verdicts
    assert verdict.name == "Hang"
    assert "calls in a row" in verdict.message
    assert "; the last: recv on test->server:443#1. A read that gives b'' is the end of the input" in verdict.message
