"""`docs/fidelity.md`, made from the tests: what holds of simnet's kernel, where it was checked, and what is left out.

A fact is a number in the names of the tests that hold it, `test_k042_a_client_that_reset_...`; the rest of the name is
the sentence. `python -m tests.contract.fidelity` writes the page, a test holds that it is current.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from simnet.conform import KNOWN

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "fidelity.md"
NAMED = re.compile(r"test_k(\d{3})_(\w+)")

# The measured facts: first and last number of each part.
PARTS = (
    (1, 9, "Readiness"),
    (10, 20, "connect"),
    (25, 34, "bind, listen and ports"),
    (40, 50, "accept and backlog"),
    (55, 68, "Stream data"),
    (70, 83, "Close, half-close, reset"),
    (84, 89, "UDP"),
    (90, 99, "Urgent data"),
    (100, 106, "Unix sockets"),
    (110, 116, "epoll, select, poll"),
    (120, 133, "Python's own layer"),
)

# What Linux does and simnet refuses by name (`simnet.NotModelled`), or cannot reach, each with its reason.
LEFT_OUT = """
| Options that Linux knows and no table here has, when they are set (`SO_ATTACH_FILTER`, `SO_TXTIME`, `SO_BUF_LOCK` ...), and values that would have to do something (`IP_MINTTL` 1, `SO_TIMESTAMPING` of what goes out, `TCP_FASTOPEN_CONNECT` 1) | NotModelled: keeping a number that has no effect would be a lie. What shows through no socket is kept (`IP_MTU_DISCOVER`, `TCP_CONGESTION`) |
| The error queue of a TCP socket | it stays empty; IP_RECVERR makes an unreachable peer known at once, as on Linux |
| Raw and packet sockets, SCTP, other families than IPv4, IPv6 and Unix | the errors of a kernel without permission or module: EPERM, EPROTONOSUPPORT, EAFNOSUPPORT. What every Linux gives to everybody (netlink, vsock, XDP, MPTCP) is NotModelled |
| The broadcast address of a network, such as 10.0.255.255; multicast routing | hosts have no netmask: 255.255.255.255 is heard by all of them, a group by its members on any host, one hop away |
| Groups by the options for either family (`MCAST_JOIN_GROUP` ...) | NotModelled |
| IP options that are written into on the way (routes, timestamps), flow labels, and extension headers of IPv6 | NotModelled; other IP options travel along |
| `open(fd)` and other real system calls on a simulated descriptor than those of K-133, `os.sendfile`, `os.splice`, `os.fdopen`, and what `fcntl` and `os` tell and set; a simulated descriptor in the place of a real one (`os.dup2(fd, 1)`), or the other way round | EBADF: the numbers lie far above real ones, so that no such call hits a file by chance |
| SIGIO, the list of links (`SIOCGIFCONF`), netmask and broadcast address of a host's link to others | NotModelled: a host has no netmask there. Numbers, names, addresses, flags and MTU of its links are told by `ioctl` |
| Signals from outside a simulated process | a process has handlers of its own and hears what it sends itself, by `os.kill(os.getpid(), ...)`, `signal.pthread_kill` or `signal.raise_signal`, and SIGPIPE; it blocks signals and waits for them (`pthread_sigmask`, `sigwait`, `pause`); its `signal.alarm` and ITIMER_REAL ring in virtual time, timers of the processor's time are `simnet.Escape`; SIGINT ends the run |
| Threads and subprocesses in a simulated process | `simnet.Escape` names the line; several processes on one host are what simnet has instead. A function that `asyncio.to_thread`, `run_in_executor` or a `ThreadPoolExecutor` is given, and that need not wait, is done at once; `socketserver.ThreadingMixIn` makes a process of its host for each connection |
| uvloop | who asks for its loop gets asyncio's own, which answers as uvloop is to; libuv waits in C, where no clock but the real one counts |
| `Lock.acquire(timeout=...)` and `queue.SimpleQueue.get` | they wait in C, in real time; `Condition`, `Event`, `Semaphore`, `Barrier` and `queue.Queue` let virtual time pass |
| Sockets that were made before the run | they stay the real kernel's; a simulated poller answers EBADF |
| Terminals in `select`, `poll`, `epoll` | a simulated process polls sockets, pipes that it made by `os.pipe` or opened by name, eventfds, and files, which are always ready |
| `open`, `os.chown` and `os.utime` of the path of a Unix socket, and its permissions in the way of a `connect` | paths of Unix sockets live in the network, not on the disk; `os.stat`, `listdir`, `scandir`, `unlink`, `rename`, `link`, `chmod`, `access` and their like know them, of the disk their folders are asked for, and files in their way |
| SYN cookies, `tcp_abort_on_overflow`, other sysctls | the defaults of Linux 6.18 are built in |
"""

# Where we knowingly differ in what a program sees, or might.
DIFFERENT = """
| Pure acknowledgements are not sent between loss-free ends, nor shown in traces, but where one shows: for who filled the peer's window, half-closed or lingers | the socket API cannot see the others; a third of the time of a run went into them |
| A segment may be as large as a write, unless a link cuts it or a fault stands in it | segment boundaries do not show through a stream socket |
| `TCP_INFO` tells the state, what was agreed on and how many bytes went; what it measures, and its counts of packets, are 0 | there is no path to measure, and no acknowledgement to count |
| Go-back-N instead of SACK on links that lose | the data arrives in the same order; a count of packets would differ |
| No congestion window, but that nothing new goes out between a retransmission and its acknowledgement | a large write takes one way over a link; slow start would make it several round trips, by a choice of algorithm that is the machine's. Tail loss probes, time-outs, TCP_USER_TIMEOUT and keepalive were compared with Linux over two tunnels that can be cut |
| Sequence numbers begin at 1 and never wrap | no socket call shows them |
| A connection that has set nothing is counted in bytes until more than 64 kB lie unread, something waits, or SIOCOUTQ is asked; again after its first MB, or 40 writes that all arrived at once; and in its past, of what was read, all writes are taken for one | nobody pays who sends little; what lies unread tells how it came, what was read does not. Who has set a buffer is counted as Linux 6.18 counts ([0039](decisions/0039-accounts-where-a-program-has-set-its-buffers.md)) |
| The receive buffer of who has set nothing grows with what is read only as virtual time passes, and not after the first 4 MB; the send buffer is 3.9 MB | measured on loopback, where a read takes microseconds, and here it takes none |
| SO_SNDBUF and SO_RCVBUF count bytes of payload between two hosts, and where a fault or an urgent byte is in the stream | the memory of packets hangs on the path there |
| A segment that finds no memory, since SO_RCVBUF was made small on an open connection, is sent again after 208 ms, and after twice that each time; between two hosts, or where a fault is in the stream, it is taken all the same | measured 208 to 216 ms; the memory of packets hangs on the path there |
| Nagle's rule holds back writes within a host only, in the first 44 ms of a connection | to know of an older one, or a far one, each segment would have to note when it came ([0026](decisions/0026-nagles-rule-where-it-is-certain.md)); writes arrive at once there |
| Only the acknowledgements of a FIN, of a window that was filled, and of what Nagle's rule waits for are delayed | no other shows, but in `TCP_INFO`, and in SIOCOUTQ where no trace is kept |
| A simulated socket is of a subclass of `socket.socket`: `isinstance` holds, `type(sock) is socket.socket` does not, and a method that a test puts into that class (`mock.patch("socket.socket.connect")`) is not called; a class in its place is | programs hold on to `socket.socket` and subclass it ([0003](decisions/0003-socket-socket-stays-the-class-it-is.md)); trio asks for the very type, and refuses |
| A subclass of `socket.socket` with attributes in `__slots__` cannot be made in a run: TypeError, of the lay-out of instances | a simulated socket has places of its own behind those of `socket.socket`, and Python makes no class of two that have; an empty `__slots__` is none |
| A socket that is open when its process ends goes without a ResourceWarning, which one has that is let go before | a process of its own would have ended; what is left at quiet is told by name, as `nothing-left` |
| Ephemeral ports are the next free even one for connect, odd one for bind | Linux draws within the parity at random |
| What SO_REUSEPORT shares is given to listeners by a fixed rule | Linux hashes addresses with a secret of its own |
| `localhost` is ::1 and 127.0.0.1, and services have the names and protocols of Debian's list | `/etc/hosts` and `/etc/services` are not asked: a run is the same on every machine |
| The pid in SO_PEERCRED and in SCM_CREDENTIALS is a simulated process's own number, and `os.getpid()` tells the real one's | a run is the same on every machine |
| An IPv6 socket whose connect to a mapped IPv4 address has failed reaches an IPv6 one at the next try | Linux goes on sending its SYNs by IPv4, and nobody answers |
| The label of `IPV6_FLOWINFO_SEND` is that of the connect; one in the address of a `sendto` goes with no datagram | few name one, and each send would have to look |
| `recv` and `send` of a keyword, and `poll` of an epoll of an unknown one: TypeError, in other words than CPython's | to look for keywords in each call takes as long as the look at its arguments |
| Two hosts of a network share no clock skew | time is one integer; a fault sets a host's wall clock apart |
| Unix sockets that lie in each other's queues, and that no process holds any more | Linux's collector closes them when another one is closed; here they are when the run ends |
"""


class Fact(NamedTuple):
    """One test: the fact's number, the sentence its name is, its file, and why it is not for simnet, if it is not."""

    number: int
    sentence: str
    file: str
    only_kernel: str


def facts() -> list[Fact]:
    """Every fact that a test holds, in order."""
    return sorted(_in_files(), key=lambda fact: fact.number)


def _in_files() -> Iterator[Fact]:
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (match := NAMED.fullmatch(node.name)):
                yield Fact(int(match[1]), _sentence(match[2]), path.name, _reason(node))


def _sentence(name: str) -> str:
    words = name.replace("_", " ").replace("peers", "peer's")
    for word in ("fin", "shut wr", "shut rd", "rdwr", "eof", "udp", "tcp", "ipv4", "ipv6", "econnreset", "syn"):
        words = re.sub(rf"\b{word}\b", word.upper().replace(" ", "_").replace("IPV", "IPv"), words)
    return words[0].upper() + words[1:]


def _reason(node: ast.FunctionDef) -> str:
    """The reason of ``@pytest.mark.only_on("kernel", reason)``."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("only_on"):
            return str(ast.literal_eval(decorator.args[1]) if isinstance(decorator.args[1], ast.Constant) else "")
    return ""


def page() -> str:
    """The whole page."""
    held = facts()
    both = [fact for fact in held if not fact.only_kernel]
    return "\n".join(
        [
            "<!-- Made by `python -m tests.contract.fidelity` from the tests in tests/contract/. Do not edit. -->",
            "# Is it like the real thing?",
            "",
            "simnet's kernel imitates Linux, call by call, as measured on Linux 6.18 over loopback with Python 3.11. Each line",
            "below is a test with one body that runs on the real kernel and on simnet; its name is the line. `pytest",
            'tests/contract -k "k042"` runs those of one fact. What is not here is further down, with the reason.',
            "",
            f"{len(held)} tests hold {len({fact.number for fact in held})} measured facts, {len(both)} of the tests in both",
            "worlds. Besides, `tests/contract/tables/` has what every call answers in every state of a TCP, UDP and Unix",
            f"socket, {_cells()} cells, each checked in both worlds.",
            "",
            "## Random programs",
            "",
            "`simnet conform --programs N` draws programs of socket calls from a seed, over several sockets and pollers,",
            "runs each on the kernel and on simnet, and compares every answer, errno, byte and readiness bit. What differs",
            "three times, at three paces, is a divergence; it is shrunk to the calls that matter and printed as a script for",
            "both. Steps whose answer hangs on the size of a kernel's buffers or on when it acknowledges are left out",
            "(`simnet/conform/loose.py` has the rules).",
            "",
            (HERE / "conform.txt").read_text(encoding="utf-8").strip(),
            "",
            *_known(),
            "## What holds",
            "",
            *_facts_table(held),
            "## What is left out",
            "",
            "A call that simnet does not know raises `simnet.NotModelled` with its name, and the run records it: nothing is",
            "silently ignored.",
            "",
            "| what | instead, and why |",
            "|---|---|",
            *LEFT_OUT.strip().splitlines(),
            *(f"| K-{fact.number:03}: {fact.sentence} | {fact.only_kernel} |" for fact in held if fact.only_kernel),
            "",
            "## What differs",
            "",
            "| what | why, and what it means |",
            "|---|---|",
            *DIFFERENT.strip().splitlines(),
            "",
        ]
    )


def _cells() -> int:
    from tests.contract.states import TABLES
    from tests.contract.tables import recorded

    return sum(len(row) for table in TABLES for row in recorded(table).values())


def _known() -> Iterator[str]:
    if KNOWN:
        yield from ("Known divergences:", "", "| what | why it stays |", "|---|---|")
        yield from (f"| {known.what} | {known.reason} |" for known in KNOWN)
    else:
        yield "There is no known divergence."
    yield ""


def _facts_table(held: list[Fact]) -> Iterator[str]:
    for first, last, title in PARTS:
        yield from (f"### {title}", "", "| fact | what holds |", "|---|---|")
        for number in range(first, last + 1):
            mine = [fact for fact in held if fact.number == number and not fact.only_kernel]
            if mine:
                link = f"[K-{number:03}](../tests/contract/{mine[0].file})"
                yield f"| {link} | {'<br>'.join(fact.sentence for fact in mine)} |"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
