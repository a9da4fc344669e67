"""How fast dispatch serves, beside its peers: ratios in one run, on one core, driven by a client in C on another.

    python benchmarks/loops.py [--full] [--rounds N] [--seconds S] [SCENARIO ...]

Each server is a process of its own (benchmarks/servers/), pinned to a core; the client (client.c, compiled here) is pinned
to another. Rounds are interleaved: each server has its short turn, then each its next one, so that what disturbs the machine
disturbs all; figures are medians of the rounds, ratios are medians of each round's ratio. A server's time is what the kernel
says it spent, per request. Peers that are not installed are left out, with a note; benchmarks/README.md says how to get them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SIZE = 64  # bytes of a request
TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20

OURS, DROP_IN, ASYNCORE, FTP, ASYNCIO, UVLOOP, BARE, C = (
    "dispatch.Stream",
    "dispatch.asyncore",
    "asyncore (poll)",
    "pyftpdlib",
    "asyncio Protocol",
    "uvloop Protocol",
    "bare epoll loop",
    "C epoll loop",
)
SERVERS: dict[str, tuple[str, ...]] = {
    OURS: ("dispatch_stream.py",),
    DROP_IN: ("asyncore_echo.py", "dispatch"),
    ASYNCORE: ("asyncore_echo.py", "interpreter"),
    FTP: ("pyftpdlib_ioloop.py",),
    ASYNCIO: ("asyncio_protocol.py", "interpreter"),
    UVLOOP: ("asyncio_protocol.py", "uvloop"),
    BARE: ("bare_epoll.py",),
    C: (),
}
NEEDS = {ASYNCORE: "asyncore", FTP: "pyftpdlib", UVLOOP: "uvloop"}


# --- processes -------------------------------------------------------------------------------------------------------


@dataclass
class Setting:
    """What all scenarios share: the cores, the compiled programs, how long and how often."""

    folder: Path
    server_core: int
    client_core: int
    rounds: int
    seconds: float
    full: bool
    available: list[str]

    def compile(self, source: Path) -> Path:
        target = self.folder / source.stem
        if not target.exists():
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", target, source], check=True)
        return target


class Server:
    """One server process on its core, and a client with its connections on the other."""

    def __init__(self, setting: Setting, name: str, idle: int = 0, active: int = 0) -> None:
        self.name = name
        script = SERVERS[name]
        if script:
            command = [sys.executable, str(HERE / "servers" / script[0]), *script[1:]]
        else:
            command = [str(setting.compile(HERE / "servers" / "c_epoll.c"))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
        os.sched_setaffinity(self.process.pid, {setting.server_core})
        self.client: subprocess.Popen[str] | None = None
        self.samples: list[Sample] = []
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{name} did not start: {' '.join(command)}")
        self.base = self.resident()
        client = setting.compile(HERE / "client.c")
        words = [str(client), *map(str, (setting.client_core, port, idle, active, SIZE))]
        self.client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = float(self._answer()[1])  # seconds until all were accepted

    def resident(self) -> int:
        """Bytes of resident memory that are the process's own."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} has ended")

    def spent(self) -> tuple[float, float, float]:
        """Seconds of processor time: all (to the nanosecond), and in ticks what the kernel calls user and system."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            words = stat.read().rpartition(")")[2].split()
        user, system = int(words[11]) / TICK, int(words[12]) / TICK
        try:
            with open(f"/proc/{self.process.pid}/schedstat") as schedule:
                return int(schedule.read().split()[0]) / 1e9, user, system
        except OSError:
            return user + system, user, system

    def ask(self, command: str) -> list[float]:
        assert self.client is not None
        assert self.client.stdin is not None
        self.client.stdin.write(command + "\n")
        self.client.stdin.flush()
        return [float(word) for word in self._answer()]

    def _answer(self) -> list[str]:
        assert self.client is not None
        assert self.client.stdout is not None
        line = self.client.stdout.readline()
        if not line:
            raise RuntimeError(f"the client of {self.name} has ended; its server {self.process.poll()=}")
        return line.split()

    def measure(self, command: str) -> None:
        before = self.spent()
        units, seconds, *latency = self.ask(command)
        after = self.spent()
        cpu, user, system = (now - then for now, then in zip(after, before, strict=True))
        self.samples.append(Sample(units, seconds, cpu, user, system, latency))

    def close(self) -> None:
        for process in (self.client, self.process):
            if process is not None:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        with contextlib.suppress(BrokenPipeError):
                            pipe.close()


@dataclass
class Sample:
    """One server's turn in one round. Units are requests, connections or bytes."""

    units: float
    seconds: float
    cpu: float
    user: float
    system: float
    latency: list[float] = field(default_factory=list)  # p50, p99, max in microseconds; p50, p99 in others served

    @property
    def rate(self) -> float:
        return self.units / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of the server's time a unit."""
        return self.cpu / self.units * 1e6


@contextlib.contextmanager
def serving(setting: Setting, names: list[str], idle: int = 0, active: int = 0) -> Iterator[dict[str, Server]]:
    """All of these, with their connections open."""
    servers: dict[str, Server] = {}
    try:
        for name in names:
            if name in setting.available:
                servers[name] = Server(setting, name, idle, active)
        yield servers
    finally:
        for server in servers.values():
            server.close()


def interleave(setting: Setting, servers: list[Server], command: str) -> None:
    """Rounds in which each has its turn; the first is thrown away, and each begins with another."""
    for turn in range(setting.rounds + 1):
        for server in servers[turn % len(servers) :] + servers[: turn % len(servers)]:
            server.measure(command)
            if not turn:
                server.samples.clear()


# --- figures ---------------------------------------------------------------------------------------------------------


def median(server: Server, figure: Callable[[Sample], float]) -> float:
    return statistics.median(map(figure, server.samples))


def ratio(one: Server, other: Server, figure: Callable[[Sample], float]) -> float:
    """The median of the rounds' ratios: what slows down a whole round cancels out."""
    pairs = zip(one.samples, other.samples, strict=True)
    return statistics.median(figure(a) / figure(b) for a, b in pairs)


def user(server: Server) -> float:
    """Microseconds a unit outside the kernel. Ticks are coarse, so: all rounds together, as a share of the exact sum."""
    ticks = sum(s.user + s.system for s in server.samples)
    share = sum(s.user for s in server.samples) / ticks if ticks else 0.0
    return share * sum(s.cpu for s in server.samples) / sum(s.units for s in server.samples) * 1e6


def table(servers: dict[str, Server], unit: str = "requests") -> None:
    """Each server, and the ratios of its cost to three of them."""
    beside = [name for name in (BARE, UVLOOP, ASYNCORE) if name in servers]
    head = "".join(f"{'cpu x ' + name.split()[0]:>15}" for name in beside)
    print(f"  {'':18}{unit + '/s':>14}{'cpu us':>9}{'user':>7}{'system':>8}{head}{'p50/p99 us':>16}")
    for name, server in servers.items():
        cost, outside = median(server, lambda s: s.cost), user(server)
        ratios = "".join(f"{ratio(server, servers[other], lambda s: s.cost):>15.2f}" for other in beside)
        latency = ""
        if server.samples[0].latency:
            latency = f"{median(server, lambda s: s.latency[0]):.0f}/{median(server, lambda s: s.latency[1]):.0f}"
        rate = median(server, lambda s: s.rate)
        print(f"  {name:18}{rate:>14.0f}{cost:>9.2f}{outside:>7.2f}{cost - outside:>8.2f}{ratios}{latency:>16}")


verdicts: list[tuple[str, str, str, bool]] = []
scenario_name = ""


def verdict(what: str, value: float, limit: float, *, at_least: bool = False, unit: str = "x") -> None:
    """One line of what the project promised itself, and whether it is kept."""
    reached = value >= limit if at_least else value <= limit
    bound = f"{'at least' if at_least else 'at most'} {limit:g} {unit}"
    print(f"  {'reached' if reached else 'NOT REACHED':12} {what}: {value:.3g} {unit} ({bound})")
    verdicts.append((f"{scenario_name}: {what}", f"{value:.3g} {unit}", bound, reached))


def compare(
    servers: dict[str, Server],
    limits: dict[str, float],
    figure: Callable[[Sample], float],
    what: str,
    *,
    at_least: bool = False,
) -> None:
    for other, limit in limits.items():
        if other in servers:
            verdict(f"{what}, beside {other}", ratio(servers[OURS], servers[other], figure), limit, at_least=at_least)


# --- scenarios -------------------------------------------------------------------------------------------------------


def active(setting: Setting) -> None:
    """50 connections that all talk, no idle ones."""
    with serving(setting, list(SERVERS), active=50) as servers:
        interleave(setting, list(servers.values()), f"echo {setting.seconds * 1000:.0f}")
        table(servers)
        limits = {BARE: 1.10, UVLOOP: 1.0, ASYNCORE: 0.85, FTP: 0.80}
        compare(servers, limits, lambda s: s.cost, "CPU per request")
        verdict("user time per echo", user(servers[OURS]), 2.0, unit="us")


def idle(setting: Setting) -> None:
    """50 that talk among 1,000 idle ones (--full: 10,000), and the same without them."""
    many = 10_000 if setting.full else 1_000
    flat = [OURS, DROP_IN, BARE, C]
    with serving(setting, flat, active=50) as alone, serving(setting, list(SERVERS), many, 50) as servers:
        interleave(setting, [*alone.values(), *servers.values()], f"echo {setting.seconds * 1000:.0f}")
        table(servers)
        for name in flat:
            if name in servers:
                factor = ratio(servers[name], alone[name], lambda s: s.cost)
                print(f"  {name}: {factor:.2f} times its own CPU per request with none idle")
        for name in (OURS, DROP_IN):
            if name in servers:
                own = ratio(servers[name], alone[name], lambda s: s.cost)
                verdict(f"{name}: CPU per request over that with none idle", own, 1.10)
        if ASYNCORE in servers and setting.full:
            better = ratio(servers[ASYNCORE], servers[OURS], lambda s: s.cost)
            verdict("CPU per request better than asyncore's", better, 25.0, at_least=True)


def one(setting: Setting) -> None:
    """One that talks among 5,000 idle ones (only with --full)."""
    with serving(setting, list(SERVERS), 5_000, 1) as servers:
        interleave(setting, list(servers.values()), f"echo {setting.seconds * 1000:.0f}")
        table(servers)
        compare(servers, {ASYNCORE: 200.0}, lambda s: s.rate, "rate", at_least=True)
        if {ASYNCORE, C} <= servers.keys():
            most = ratio(servers[C], servers[ASYNCORE], lambda s: s.rate)
            print(f"  {'':12} (the C loop, beside asyncore: {most:.0f} x; sleeping and waking is most of what is left)")


def accepting(setting: Setting) -> None:
    """10,000 connections, one after the other as fast as they are taken (only with --full)."""
    taken: dict[str, list[float]] = {}
    for turn in range(3):
        for name in setting.available:
            if turn and name == ASYNCORE:
                continue  # a minute each time; once is enough
            with serving(setting, [name], 10_000) as servers:
                taken.setdefault(name, []).append(servers[name].ready)
    for name, seconds in taken.items():
        print(f"  {name:18}{statistics.median(seconds):8.2f} s")
    verdict("seconds for 10,000", statistics.median(taken[OURS]), 1.0, unit="s")


def memory(setting: Setting) -> None:
    """Resident memory: before the first connection, and for each idle one (2,000; with --full 10,000)."""
    many = 10_000 if setting.full else 2_000
    base: dict[str, float] = {}
    for name in setting.available:
        with serving(setting, [name], many) as servers:
            time.sleep(0.05)
            base[name] = servers[name].base / MIB
            grown = (servers[name].resident() - servers[name].base) / many
            print(f"  {name:18}{base[name]:8.1f} MiB at first{grown:8.0f} bytes a connection")
            if name == OURS:
                ours = grown
    verdict("memory per idle connection", ours, 500, unit="bytes")
    verdict("memory at first over the bare loop's", base[OURS] - base[BARE], 2.0, unit="MiB")


def slow(setting: Setting) -> None:
    """A peer that sends as fast as it can and reads 2 MiB/s of the echo, while another plays ping-pong."""
    grown: dict[str, list[float]] = {}
    longest: dict[str, list[float]] = {}
    for _ in range(3):
        for name in setting.available:
            with serving(setting, [name], active=2) as servers:
                before, spent = servers[name].resident(), servers[name].spent()[0]
                taken, seconds, pings, _, p99, most = servers[name].ask(f"slow 500 {2 * MIB}")
                grown.setdefault(name, []).append((servers[name].resident() - before) / MIB)
                longest.setdefault(name, []).append(most / 1000)
                busy = (servers[name].spent()[0] - spent) / seconds
            if len(grown[name]) == 3:
                print(
                    f"  {name:18}{statistics.median(grown[name]):+8.1f} MiB, {taken / MIB:4.0f} MiB taken, {busy:4.0%} busy, "
                    f"the other's ping-pong: {pings:6.0f}, p99 {p99 / 1000:5.1f} ms, longest of each round "
                    + ", ".join(f"{ms:.1f}" for ms in longest[name])
                    + " ms"
                )
    verdict("memory for a slow reader", statistics.median(grown[OURS]), 1.0, unit="MiB")
    # The machine stalls too, whoever runs on it; of three rounds the best shows what the loop itself does.
    verdict("longest wait of another connection, best of three rounds", min(longest[OURS]), 10.0, unit="ms")


def bulk1(setting: Setting) -> None:
    """One connection with all the data it can carry."""
    bulk(setting, 1, {UVLOOP: 0.85, ASYNCIO: 0.95})


def bulk10(setting: Setting) -> None:
    """Ten of them."""
    bulk(setting, 10, {UVLOOP: 0.60, ASYNCIO: 0.95})


def bulk(setting: Setting, connections: int, limits: dict[str, float]) -> None:
    with serving(setting, list(SERVERS), active=connections) as servers:
        interleave(setting, list(servers.values()), f"bulk {setting.seconds * 1000:.0f}")
        for server in servers.values():
            for sample in server.samples:
                sample.units /= MIB
        table(servers, "MiB")
        compare(servers, limits, lambda s: s.rate, "rate", at_least=True)


def churn(setting: Setting) -> None:
    """Connect, one echo, close; 16 at once."""
    with serving(setting, list(SERVERS), active=1) as servers:
        interleave(setting, list(servers.values()), f"churn {setting.seconds * 1000:.0f} 16")
        table(servers, "connections")
        compare(servers, {ASYNCORE: 1.0}, lambda s: s.cost, "CPU per connection")


def fair50(setting: Setting) -> None:
    """How much longer the unlucky wait than the others: 50 connections."""
    fair(setting, 50)


def fair500(setting: Setting) -> None:
    """The same with 500."""
    fair(setting, 500)


def fair(setting: Setting, connections: int) -> None:
    with serving(setting, [OURS, DROP_IN, ASYNCORE, ASYNCIO, UVLOOP, BARE, C], active=connections) as servers:
        interleave(setting, list(servers.values()), f"echo {setting.seconds * 1000:.0f}")
        for name, server in servers.items():
            spread, p50 = median(server, clock_spread), median(server, lambda s: s.latency[0])
            print(
                f"  {name:18}{spread:8.2f} p99/p50 of time{p50:8.0f} us p50{median(server, turn_spread):8.2f} of turns"
            )
        verdict("p99/p50 of the time waited", median(servers[OURS], clock_spread), 3.0)
        if C in servers:
            own = ratio(servers[OURS], servers[C], clock_spread)
            print(f"  {'':12} that is {own:.2f} times the C loop's: what the machine itself adds is in both")
        verdict("p99/p50 of how many others were served meanwhile", median(servers[OURS], turn_spread), 3.0)


def clock_spread(sample: Sample) -> float:
    return sample.latency[1] / sample.latency[0]


def turn_spread(sample: Sample) -> float:
    return sample.latency[4] / max(sample.latency[3], 1)


def output(setting: Setting) -> None:
    """Output by itself: 16 writes of one handler, and 16 MiB that wait."""
    script = HERE / "servers" / "output.py"
    words = [sys.executable, str(script), str(setting.server_core)]
    got = subprocess.run(words, check=True, capture_output=True, text=True, cwd=HERE.parent).stdout
    calls, pushes, drain = map(float, got.split())
    verdict("calls of the kernel for 16 writes of 64 bytes", calls, 1, unit="calls")
    verdict("16 writes of 64 bytes and their sending", pushes, 8.0, unit="us")
    verdict("16 MiB in pieces of 64 KiB queued and drained, Python's part", drain, 1.0, unit="ms")


SCENARIOS: dict[str, Callable[[Setting], None]] = {
    function.__name__: function
    for function in (active, idle, one, accepting, memory, slow, bulk1, bulk10, churn, fair50, fair500, output)
}
ONLY_FULL = ("one", "accepting")  # with asyncore beside them they take minutes


def main() -> int:
    global scenario_name
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument(
        "--full", action="store_true", help="10,000 idle connections, and the scenarios that need minutes"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.04, help="of each server's turn in a round")
    parser.add_argument("--without", default="", help="servers to leave out, by commas")
    options = parser.parse_args()
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if not sys.platform.startswith("linux") or not shutil.which(os.environ.get("CC", "cc")):
        print("left out: this needs Linux (/proc, epoll) and a C compiler (cc, or what CC names)")
        return 0
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("note: one core only; server and client take turns on it, rates say little")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if options.full and limit != resource.RLIM_INFINITY and limit < 10_200:
        parser.error(f"--full opens 10,000 connections, this user may have {limit} descriptors (ulimit -Hn)")
    available = []
    for name in SERVERS:
        if name in NEEDS and find_spec(NEEDS[name]) is None:
            print(f"note: {name} is left out, {NEEDS[name]!r} is not installed (see benchmarks/README.md)")
        elif name not in options.without.split(","):
            available.append(name)
    names = options.scenarios or [name for name in SCENARIOS if options.full or name not in ONLY_FULL]
    python = ".".join(map(str, sys.version_info[:3]))
    print(
        f"Python {python}, Linux {os.uname().release}, {len(cores)} cores; {options.rounds} rounds of {options.seconds} s"
    )
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(
            Path(folder), cores[0], cores[-1], options.rounds, options.seconds, options.full, available
        )  # fmt: skip
        for scenario_name in names:
            scenario = SCENARIOS[scenario_name]
            print(f"\n{scenario_name}: {scenario.__doc__}")
            began = time.monotonic()
            scenario(setting)
            print(f"  ({time.monotonic() - began:.0f} s)")
    missed = [what for what, _, _, reached in verdicts if not reached]
    print(
        f"\n{len(verdicts) - len(missed)} of {len(verdicts)} reached" + "".join(f"\n  not: {what}" for what in missed)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
