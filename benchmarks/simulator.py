"""How fast the simulator is: fresh simulations, round trips, idle connections, bulk, timers. Ratios in one run.

    python benchmarks/simulator.py [--rounds N] [NAME ...]

Processor time of this process, so that a busy machine disturbs less. Absolute figures depend on the machine all the
same; the reference, a fixed piece of plain Python, says what it is worth in the moment of the run.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import logging
import pstats
import select
import socket
import statistics
import sys
import time as _time
from collections.abc import Callable

import simnet

MESSAGE = b"x" * 64


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


def fresh_dispatch() -> None:
    """The same through a dispatch handler in a process of its own."""
    import dispatch

    class Echo(dispatch.Stream):
        def handle_data(self, data: bytes) -> None:
            self.write(data)

        def handle_eof(self) -> None:
            self.close()

    def serve(port: int) -> None:
        with dispatch.Loop() as loop:
            dispatch.Listener(("", port), Echo, loop=loop)
            loop.run()

    with simnet.Network() as net:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(MESSAGE)
            assert client.recv(4096) == MESSAGE


# --- round trips -----------------------------------------------------------------------------------------------------


def round_trips(idle: int, rounds: int = 2_000) -> float:
    """Microseconds a 64-byte round trip on one connection beside *idle* others, an epoll server in a process."""

    def serve(port: int) -> None:
        listener = socket.create_server(("", port), backlog=4096)
        poller = select.epoll()
        poller.register(listener.fileno(), select.EPOLLIN)
        open_ones = {}
        while True:
            for fd, _ in poller.poll():
                if fd == listener.fileno():
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    open_ones[connection.fileno()] = connection
                    poller.register(connection.fileno(), select.EPOLLIN)
                    continue
                connection = open_ones[fd]
                data = connection.recv(65536)
                if data:
                    connection.send(data)
                else:
                    poller.unregister(fd)
                    open_ones.pop(fd).close()

    with simnet.Network() as net:
        net.trace.entries = Forgetful()
        net.host("server").spawn(serve, 7)
        others = [socket.create_connection(("server", 7)) for _ in range(idle)]
        client = socket.create_connection(("server", 7))

        def trips() -> None:
            for _ in range(rounds):
                client.send(MESSAGE)
                client.recv(4096)

        figure = per_unit(rounds, trips)
        client.close()
        for other in others:
            other.close()
    return figure


class Forgetful(list):  # type: ignore[type-arg]
    """A trace that keeps nothing: for runs of millions of events."""

    def append(self, entry: object) -> None:
        pass


# --- sweeps ----------------------------------------------------------------------------------------------------------


def sweep_of_the_echo_server() -> float:
    """Microseconds a simulation in a sweep of the corrected example server."""
    logging.disable(logging.CRITICAL)  # the example logs each event, to a terminal here
    from simnet.demo.corrected_server import serve
    from simnet.explore.check import sweep

    @sweep(target="server")
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"hello, network")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"hello, network"

    began = _time.process_time()
    result = test.simnet_explore()  # type: ignore[attr-defined]
    return (_time.process_time() - began) / result.runs * 1e6


BENCHMARKS: dict[str, Callable[[], float]] = {
    "fresh simulation, sockets alone": lambda: per_unit(500, lambda: [fresh_sockets() for _ in range(500)]),
    "fresh simulation, dispatch handler": lambda: per_unit(200, lambda: [fresh_dispatch() for _ in range(200)]),
    "round trip": lambda: round_trips(0),
    "round trip beside 1,000 idle": lambda: round_trips(1_000),
    "simulation in a sweep": sweep_of_the_echo_server,
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
    chosen = [name for name in BENCHMARKS if not options.names or any(part in name for part in options.names)]
    figures: dict[str, list[float]] = {name: [] for name in chosen}
    reference = []
    for _ in range(options.rounds):
        reference.append(pure_python() * 1e3)
        for name in chosen:
            figures[name].append(BENCHMARKS[name]())
    print(
        f"Python {sys.version.split()[0]}, {_time.strftime('%Y-%m-%d')}; reference {statistics.median(reference):.1f} ms"
    )
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"{name:<38} {middle:10.1f} us {1e6 / middle:12,.0f} /s   [{min(values):.1f} .. {max(values):.1f}]")
    if {"round trip", "round trip beside 1,000 idle"} <= figures.keys():
        ratio = statistics.median(figures["round trip beside 1,000 idle"]) / statistics.median(figures["round trip"])
        print(f"a round trip beside 1,000 idle connections costs {ratio:.2f} times one beside none")


if __name__ == "__main__":
    main()
