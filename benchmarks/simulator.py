"""How fast the simulator is, beside a peer: fresh simulations, round trips, idle connections, bulk, timers, memory.

    python benchmarks/simulator.py [--rounds N] [NAME ...]
    python -m pip install async-solipsism                   # the peer; without it the ratios are left out

Processor time of this process, so that a busy machine disturbs less. Absolute figures depend on the machine all the
same; the reference, a fixed piece of plain Python, says what it is worth in the moment of the run. Rounds are
interleaved: each measures everything once, and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import select
import selectors
import socket
import statistics
import sys
import time as _time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import conversations
from conversations import MESSAGE

import dispatch
import simnet
from simnet import modules

try:
    from peers import solipsism
except ImportError:
    solipsism = None  # type: ignore[assignment]


def pure_python() -> float:
    """Seconds for a fixed piece of plain Python: what this machine is worth in this moment."""
    began = _time.process_time()
    table = {}
    for number in range(100_000):
        table[number & 1023] = (number, str(number))
    return _time.process_time() - began


def per_unit(units: int, work: Callable[[], object]) -> float:
    """Microseconds a unit."""
    gc.collect()
    began = _time.process_time()
    work()
    return (_time.process_time() - began) / units * 1e6


# --- fresh simulations -----------------------------------------------------------------------------------------------


def fresh_sockets() -> None:
    """A network of two hosts, raw sockets, connect, one 64-byte echo, close: nobody waits in a process."""
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        client = socket.socket()
        client.connect(("server", 7))
        served, _ = listener.accept()
        client.send(MESSAGE)
        served.send(served.recv(4096))
        assert client.recv(4096) == MESSAGE
        client.close()
        served.close()
        listener.close()


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)

    def handle_eof(self) -> None:
        self.close()


def serve_by_dispatch(port: int) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Echo, loop=loop)
        loop.run()


def fresh_dispatch() -> None:
    """The same through a dispatch handler in a process of its own."""
    with simnet.Network() as net:
        net.host("server").spawn(serve_by_dispatch, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(MESSAGE)
            assert client.recv(4096) == MESSAGE


# --- round trips -----------------------------------------------------------------------------------------------------


def round_trips(clients: int, rounds: int, *, idle: int = 0, everything: bool = False) -> float:
    """Microseconds a 64-byte round trip: *clients* that talk at once, all sockets in one selector, beside *idle* others.

    With *everything* the other end is a host behind a link of 1 ms, with a trace and a plan whose fault never acts; else
    both ends are on one host, and nothing is recorded.
    """
    plan = simnet.FaultPlan.parse("reset nobody->server:9#1 end=server byte=0") if everything else None
    with simnet.Network(plan, trace=everything) as net:
        host = net.host("server" if everything else "test")
        name = "server" if everything else "127.0.0.1"
        selector = selectors.DefaultSelector()
        listener = host.listen(7, backlog=clients)
        talking = [_connected(listener, (name, 7)) for _ in range(clients)]
        if idle:
            other = host.listen(8, backlog=1)
            silent = [_connected(other, (name, 8)) for _ in range(idle)]
            for pair in silent:
                for sock in pair:
                    selector.register(sock, selectors.EVENT_READ, "idle")
        left = {}
        for client, served in talking:
            selector.register(client, selectors.EVENT_READ, "client")
            selector.register(served, selectors.EVENT_READ, "server")
            left[client] = rounds

        def trips() -> None:
            waiting = clients
            for client, _ in talking:
                client.send(MESSAGE)
            while waiting:
                for key, _ in selector.select():
                    sock = key.fileobj
                    data = sock.recv(65536)  # type: ignore[union-attr]
                    if key.data == "server":
                        sock.send(data)  # type: ignore[union-attr]
                        continue
                    left[sock] -= 1  # type: ignore[index]
                    if left[sock]:  # type: ignore[index]
                        sock.send(MESSAGE)  # type: ignore[union-attr]
                    else:
                        waiting -= 1

        return per_unit(clients * rounds, trips)


def _connected(listener: socket.socket, address: tuple[str, int]) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(address)
    served, _ = listener.accept()
    client.setblocking(False)
    served.setblocking(False)
    return client, served


def serve_by_epoll(port: int) -> None:
    listener = socket.create_server(("", port))
    connection, _ = listener.accept()
    connection.setblocking(False)
    poller = select.epoll()
    poller.register(connection, select.EPOLLIN)
    while poller.poll():
        data = connection.recv(65536)
        if not data:
            return
        connection.send(data)


def round_trips_of_processes(rounds: int = 2_000) -> float:
    """Microseconds a round trip of a blocking client and an epoll server, each a process: 1 ms of latency, two switches."""
    with simnet.Network() as net:
        net.host("server").spawn(serve_by_epoll, 7)
        with socket.create_connection(("server", 7)) as client:

            def trips() -> None:
                for _ in range(rounds):
                    client.send(MESSAGE)
                    client.recv(4096)

            return per_unit(rounds, trips)


def streaming(mebibytes: int = 512) -> float:
    """Microseconds a MiB one way within a host, in writes of 64 KiB."""
    with simnet.Network(trace=False):
        listener = socket.create_server(("", 7))
        client, served = _connected(listener, ("127.0.0.1", 7))
        chunk = bytes(65536)

        def pour() -> None:
            for _ in range(mebibytes * 16):
                client.send(chunk)
                served.recv(65536)

        return per_unit(mebibytes, pour)


def timers(count: int = 50_000) -> float:
    """Microseconds a time-out that elapses, each a millisecond after the other."""
    with simnet.Network(trace=False):

        def sleep() -> None:
            for _ in range(count):
                _time.sleep(0.001)

        return per_unit(count, sleep)


def memory(connections: int = 2_000) -> float:
    """Bytes of Python's memory an idle connection takes, both ends together."""
    with simnet.Network(trace=False):
        listener = socket.create_server(("", 7))
        kept = [_connected(listener, ("127.0.0.1", 7)) for _ in range(200)]  # what is made once is made
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept += [_connected(listener, ("127.0.0.1", 7)) for _ in range(connections)]
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return (after - before) / connections


# --- sweeps ----------------------------------------------------------------------------------------------------------


def sweep_of_the_echo_server() -> float:
    """Microseconds a simulation in a sweep of the corrected example server, which logs each event."""
    from simnet.demo.corrected_server import serve
    from simnet.explore.check import sweep
    from simnet.explore.quiet import quiet

    @sweep(target="server")
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"hello, network")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"hello, network"

    with quiet():  # as the commands and pytest have it
        began = _time.process_time()
        result = test.simnet_explore()  # type: ignore[attr-defined]
        return (_time.process_time() - began) / result.runs * 1e6


# --- asyncio ---------------------------------------------------------------------------------------------------------


def on_asyncio(program: Coroutine[Any, Any, float]) -> float:
    """What *program* measures, on a loop of asyncio's in a network of one host, nothing recorded."""
    with simnet.Network(trace=False):
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(program)
        finally:
            loop.close()


def fresh_loops(run: Callable[[Coroutine[Any, Any, Any]], Any], host: str, simulations: int = 200) -> float:
    """Microseconds a world of its own with a loop, one connection, one echo and the end of both."""
    return per_unit(simulations, lambda: [run(conversations.one_echo(host)) for _ in range(simulations)])


HERE = "127.0.0.1"


class Row(NamedTuple):
    """What is measured, in which unit, beside which other row, and what was promised of it."""

    measure: Callable[[], float]
    unit: str = "us"
    beside: str = ""
    at_most: float | None = None  # of the figure
    ratio: float | None = None  # at most, to the row beside


ROWS: dict[str, Row] = {
    "fresh simulation, sockets alone": Row(
        lambda: per_unit(500, lambda: [fresh_sockets() for _ in range(500)]),
        beside="peer, fresh simulation",
        at_most=40,
    ),
    "fresh simulation, dispatch handler": Row(lambda: per_unit(200, lambda: [fresh_dispatch() for _ in range(200)])),
    "simulation in a sweep": Row(sweep_of_the_echo_server, at_most=500),
    "round trip between processes": Row(round_trips_of_processes),
    "round trip, 1 client": Row(lambda: round_trips(1, 4_000), beside="peer, 1 client", ratio=0.25),
    "round trip, 100 clients": Row(lambda: round_trips(100, 50), beside="peer, 100 clients", ratio=0.25),
    "round trip, 2000 clients": Row(lambda: round_trips(2_000, 5), beside="peer, 2000 clients", ratio=0.25),
    "... with latency, trace, plan, 1 client": Row(
        lambda: round_trips(1, 2_000, everything=True), beside="peer, 1 client", ratio=0.40
    ),
    "... with latency, trace, plan, 100 clients": Row(
        lambda: round_trips(100, 50, everything=True), beside="peer, 100 clients", ratio=0.40
    ),
    "... with latency, trace, plan, 2000 clients": Row(
        lambda: round_trips(2_000, 5, everything=True), beside="peer, 2000 clients", ratio=0.40
    ),
    "round trip beside 10,000 idle": Row(
        lambda: round_trips(1, 4_000, idle=10_000), beside="round trip, 1 client", ratio=1.1
    ),
    "streaming": Row(streaming, "us/MiB", at_most=1e6 / 8 / 1024),  # 8 GiB/s
    "timer": Row(timers, beside="peer, timer", ratio=0.35),
    "memory of an idle connection": Row(memory, "bytes", at_most=3_000),
    "asyncio, fresh simulation": Row(lambda: fresh_loops(on_asyncio, HERE), beside="peer, fresh simulation"),
    "asyncio, connection": Row(lambda: on_asyncio(conversations.connections(HERE, 1_000)), at_most=60),
    "asyncio, streaming": Row(
        lambda: on_asyncio(conversations.streaming(HERE, 128)), "us/MiB", beside="peer, streaming", ratio=0.65
    ),
    "asyncio, timer": Row(lambda: on_asyncio(conversations.timers(20_000)), beside="peer, timer", ratio=0.80),
    "asyncio, 100 hearts that beat": Row(
        lambda: on_asyncio(conversations.beats(HERE, 100, 10)), beside="peer, 100 hearts that beat", ratio=0.035
    ),
}
for clients, rounds, protocol, streams in ((1, 3_000, 0.50, 0.60), (100, 50, 0.50, 0.60), (2_000, 5, 0.50, 0.75)):
    who = f"{clients} client{'s' if clients > 1 else ''}"
    ROWS[f"asyncio Protocol, {who}"] = Row(
        lambda clients=clients, rounds=rounds: on_asyncio(conversations.round_trips(HERE, clients, rounds)),
        beside=f"peer, {who}",
        ratio=protocol,
    )
    ROWS[f"asyncio streams, {who}"] = Row(
        lambda clients=clients, rounds=rounds: on_asyncio(conversations.of_streams(HERE, clients, rounds)),
        beside=f"peer, streams, {who}",
        ratio=streams,
    )
if solipsism is not None:
    PEER = solipsism.HOST
    ROWS |= {
        "peer, 1 client": Row(lambda: solipsism.run(conversations.round_trips(PEER, 1, 4_000))),
        "peer, 100 clients": Row(lambda: solipsism.run(conversations.round_trips(PEER, 100, 50))),
        "peer, 2000 clients": Row(lambda: solipsism.run(conversations.round_trips(PEER, 2_000, 5))),
        "peer, streams, 1 client": Row(lambda: solipsism.run(conversations.of_streams(PEER, 1, 3_000))),
        "peer, streams, 100 clients": Row(lambda: solipsism.run(conversations.of_streams(PEER, 100, 50))),
        "peer, streams, 2000 clients": Row(lambda: solipsism.run(conversations.of_streams(PEER, 2_000, 5))),
        "peer, timer": Row(lambda: solipsism.run(conversations.timers(50_000))),
        "peer, 100 hearts that beat": Row(lambda: solipsism.run(conversations.beats(PEER, 100, 10))),
        "peer, streaming": Row(lambda: solipsism.run(conversations.streaming(PEER, 128)), "us/MiB"),
        "peer, fresh simulation": Row(lambda: fresh_loops(solipsism.run, PEER)),
    }


def where_it_goes(simulation: Callable[[], object], simulations: int = 1_000) -> list[tuple[str, float]]:
    """The share of each room in the time of a simulation, the largest first."""
    for _ in range(100):
        simulation()
    profile = cProfile.Profile(_time.process_time)
    profile.enable()
    for _ in range(simulations):
        simulation()
    profile.disable()
    shares: dict[str, float] = {}
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        room = "the interpreter's own functions" if file == "~" else "the standard library and the test"
        for package in ("simnet/kernel/", "simnet/", "dispatch/"):
            if package in file:
                room = package + (file.rpartition("/")[2] if package == "simnet/" else "")
                break
        shares[room] = shares.get(room, 0.0) + own
    total = sum(shares.values())
    return sorted(((room, own / total) for room, own in shares.items()), key=lambda pair: -pair[1])


def _verdict(measured: float, at_most: float) -> str:
    return f"   at most {at_most:g}: {'reached' if measured <= at_most else 'not reached'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="where the time of a fresh simulation goes, by room")
    options = parser.parse_args()
    if options.profile:
        for simulation in (fresh_sockets, fresh_dispatch):
            print((simulation.__doc__ or "").splitlines()[0])
            for room, share in where_it_goes(simulation)[:14]:
                print(f"  {share:6.1%}  {room}")
        return
    chosen = [name for name in ROWS if not options.names or any(part in name for part in options.names)]
    chosen += [ROWS[name].beside for name in chosen if ROWS[name].beside in ROWS and ROWS[name].beside not in chosen]
    chosen = list(dict.fromkeys(chosen))  # two rows may stand beside one
    figures: dict[str, list[float]] = {name: [] for name in chosen}
    reference = []
    for simulation in (fresh_sockets, fresh_dispatch) * 200:  # what is made once is made
        simulation()
    for _ in range(options.rounds):
        reference.append(pure_python() * 1e3)
        for name in chosen:
            if name.startswith("peer"):
                modules.restore()  # as it runs where simnet is not: what stands in for asyncio's turns serves any loop
            else:
                fresh_sockets()  # what stands in is in its place
            figures[name].append(ROWS[name].measure())
    print(
        f"Python {sys.version.split()[0]}, {_time.strftime('%Y-%m-%d')}; reference {statistics.median(reference):.1f} ms"
    )
    for name, values in figures.items():
        row = ROWS[name]
        line = f"{name:<44} {statistics.median(values):9.2f} {row.unit:<6}  [{min(values):.2f} .. {max(values):.2f}]"
        if row.at_most is not None:
            line += _verdict(statistics.median(values), row.at_most)
        if row.beside in figures:
            ratio = statistics.median(a / b for a, b in zip(values, figures[row.beside], strict=True))
            line += f"   {ratio:.2f} x {row.beside}"
            if row.ratio is not None:
                line += _verdict(ratio, row.ratio)
        print(line)
    if solipsism is None:
        print("async-solipsism is not installed: no ratios to a peer (pip install async-solipsism)")


if __name__ == "__main__":
    main()
