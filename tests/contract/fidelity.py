"""`docs/fidelity.md`, made from the tests: what is true of simnet's kernel, where it was checked, and what is left out.

A fact is a number in the names of the tests that check it, `test_k042_a_client_that_reset_...`; the rest of the name is
the sentence. `python -m tests.contract.fidelity` writes the page; a test checks that it is current.
"""

from __future__ import annotations

import ast
import functools
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
| Setting options that Linux has and no table here does (a program for `SO_ATTACH_FILTER` ...; what is none is refused), or values that would have an effect that is not modelled (`IP_MINTTL` 65 of TCP, `SO_TIMESTAMPING` of what is sent, a key of `TCP_MD5SIG`), and `MSG_FASTOPEN` after `TCP_FASTOPEN_NO_COOKIE` over a link | NotModelled: to accept a number and do nothing would be a lie. An option whose effect no socket shows is kept (`IP_MTU_DISCOVER`, `TCP_CONGESTION`). What needs a privilege is EPERM (`TCP_REPAIR`, `IPV6_HOPOPTS`), and no packet filter redirects anything (`SO_ORIGINAL_DST`: ENOENT) |
| The error queue of a TCP socket | always empty; IP_RECVERR reports an unreachable peer at once, as on Linux |
| Raw and packet sockets, SCTP, families other than IPv4, IPv6 and Unix | the errors of a kernel without permission or module: EPERM, EPROTONOSUPPORT, EAFNOSUPPORT. What every Linux gives to every user (netlink, vsock, XDP, MPTCP) is NotModelled |
| The broadcast address of a network, such as 10.0.255.255; multicast routing | hosts have no netmask: 255.255.255.255 reaches all of them, a group its members on any host, one hop away |
| IP options that routers write into (routes, timestamps), flow labels, and extension headers of IPv6 | NotModelled; other IP options are carried along |
| `open` of a FIFO whose other end nobody has open yet, and reads of what `open(fd)` gives of a pipe | they wait in C, in real time: a `simnet.Hang` after 20 s. `os.open` with `O_NONBLOCK`, `os.fdopen`, `os.read` and pollers wait in virtual time. What such a file writes a poller sees when it looks next |
| `open(fd)` and other real system calls on a simulated descriptor, except those of K-133, `os.sendfile`, `os.splice`, `os.fdopen`, and the descriptor flags of `fcntl` and `os`; a simulated descriptor in place of a real one (`os.dup2(fd, 0)`), or the reverse | EBADF: simulated numbers are far above real ones, so that no such call reaches a file by chance. `os.dup2` is NotModelled |
| Real files among those that RLIMIT_NOFILE counts | a process's simulated descriptors are counted alone: who has opened files until EMFILE still gets sockets. `resource.setrlimit` in the process, or an `error` of EMFILE, takes those away |
| How many descriptors a user has on their way through Unix sockets (ETOOMANYREFS beyond RLIMIT_NOFILE, but for root) | not counted: as on a machine with a limit that nobody meets |
| SIGIO; netmask and broadcast address of a host's link to others | NotModelled: a host has no netmask. `ioctl` lists its links, and gives their numbers, names, addresses, flags and MTU |
| Signals from outside a simulated process | a process has its own handlers and receives the signals that it sends itself (`os.kill(os.getpid(), ...)`, `signal.pthread_kill`, `signal.raise_signal`), that the test sends it (`process.send_signal`) and SIGPIPE. It can block signals and wait for them (`pthread_sigmask`, `sigwait`, `pause`). `signal.alarm` and ITIMER_REAL use virtual time; timers of processor time are `simnet.Escape`; SIGINT from outside ends the run, and has one handler for all processes |
| Threads in a simulated process | each `threading.Thread`, and what is given to `asyncio.to_thread`, `run_in_executor`, a `ThreadPoolExecutor` and the like, is a process on the same host with the same descriptors. It keeps the floor until it waits: nothing interrupts a thread that computes but the fault `preempt`, behind a call on a connection; a race between other lines that do not wait is not found. A pool shows no idle threads (`executor._threads` is empty), and a default one has eight threads at most, as on four processors. `_thread.interrupt_main` of SIGINT is the real one. What a thread of two changes in a buffer that the other is sending is not sent: it goes as it was when the call began |
| Subprocesses in a simulated process | `simnet.Escape` names the line; use several processes on one host instead |
| Who a program is: its user and groups, its session, its priority (`os.setuid`, `setsid`, `nice`) | they are those of the process that runs the test, which none of its programs changes: `simnet.Escape` names the line (on real sockets it is EPERM). `time.clock_settime` answers EPERM as well; `Host.set_clock` moves a host's clock |
| uvloop | a program that asks for its loop gets asyncio's own, which answers as uvloop does; libuv waits in C, on the real clock |
| Locks made before the run | of those that are globals of a program's modules, attributes of its classes, or of objects kept there, each program of a run has one of its own, as on machines of its own; one that is kept elsewhere (in a closure, a container) waits in C, in real time. All others use virtual time, and so do `Condition`, `Event`, `Semaphore`, `Barrier` and the queues |
| Sockets made before the run | they stay the real kernel's; a simulated poller answers EBADF |
| Selectors made before the run | in the place of a `DefaultSelector`, `EpollSelector` or `PollSelector` in which nothing is registered each program of a run has one of its own; an `epoll` or a `poll` by itself stays the real kernel's |
| Terminals in `select`, `poll`, `epoll` | a simulated process polls sockets, pipes that it made with `os.pipe` or opened by name, eventfds, and files, which are always ready |
| `open`, and `os.open` with `O_PATH`, of a Unix socket's path, and the effect of its permissions on `connect` | paths of Unix sockets are in the network, not on the disk. `os.stat`, `listdir`, `scandir`, `unlink`, `rename`, `link`, `chmod`, `chown`, `access` and the like know them; the disk is consulted for their folders and for files in their way |
| `tcp_syncookies`, `tcp_abort_on_overflow`, other sysctls | the defaults of Linux 6.18 are built in |
"""

# Where we knowingly differ in what a program sees, or might.
DIFFERENT = """
| Between loss-free ends, pure acknowledgements are neither sent nor traced, except where one shows: for an end that filled the peer's window, half-closed or lingers | the socket API cannot see the others, which took a third of a run's time |
| A segment may be as large as a write, unless a link cuts it or a fault acts inside it | a stream socket does not show segment boundaries |
| The times of files (`st_mtime`, the now of `os.utime`) are the disk's, in real time, and `time.time()` begins in September 2020 | what was written in the run is of the future, by years: its age is negative. Who asks for ages sets the clock of its host first: `set_clock(now - time.time())`, *now* read before the run |
| `TCP_INFO` reports the state, what was agreed on, how many bytes were sent, and the round trip of the handshake, which is at least 1 µs; other measurements and packet counts are 0 | there is no path to measure, and no acknowledgement to count |
| Go-back-N instead of SACK on links that lose | the data arrives in the same order; a count of packets would differ |
| `SO_MAX_PACING_RATE` is kept, and slows nothing down | packets would need times of their own |
| Of bytes that a connection got before its program asked for their time (`SO_TIMESTAMP`) none is told | on Linux there is one if, by then, any socket of the machine had asked for its own |
| No congestion window, except that nothing new is sent between a retransmission and its acknowledgement | a large write crosses a link in one one-way trip. Slow start would make it several round trips, depending on the machine's choice of algorithm. Tail loss probes, time-outs, TCP_USER_TIMEOUT and keepalive were compared with Linux over two tunnels that can be cut |
| Within a host, a peer that does not read can be sent more if `TCP_MAXSEG` is below 2000: 2.4 MB with 88, where Linux stops at 190 kB | on Linux the send buffer grows with acknowledgements; those of so many small segments are not counted |
| Whoever runs the tests, a program may set what takes CAP_NET_ADMIN or CAP_NET_RAW and has no effect here (`SO_MARK`, `SO_DEBUG`, `IP_TRANSPARENT`, an `SO_PRIORITY` above 6), or one that is modelled (`SO_RCVBUFFORCE`), and bind any port. What else takes a privilege is refused, as to anybody who has none | a run is the same for every user. `net.host(name).privileged = False` takes it from the programs of a host; so the contracts are checked. For files and for SCM_CREDENTIALS a program is whoever runs it |
| Sequence numbers begin at 1 and never wrap | no socket call shows them |
| A connection whose buffers nobody has set is counted in bytes until more than 64 kB lie unread, something waits, or SIOCOUTQ is asked; and again after its first MB, or 40 writes that all arrived at once. When counting begins, everything that was read before counts as one write | a program that sends little pays nothing. Unread data shows how it came, data that was read does not. If a program has set a buffer, the connection is counted as Linux 6.18 counts ([0039](decisions/0039-accounts-where-a-program-has-set-its-buffers.md)) |
| A receive buffer that nobody has set grows as data is read only while virtual time passes, and not after the first 4 MB; the send buffer is 3.9 MB | measured on loopback, where a read takes microseconds; here it takes none |
| SO_SNDBUF and SO_RCVBUF count bytes of payload between two hosts, and in a stream with a fault | there the memory of packets depends on the path |
| A segment that finds no memory because SO_RCVBUF was made small on an open connection is sent again after 208 ms, then after twice as long each time; between two hosts, or in a stream with a fault, it is accepted all the same | measured 208 to 216 ms; there the memory of packets depends on the path |
| Nagle's rule holds back writes only within a host, in the first 44 ms after the first data of a connection | for an older connection, or one between hosts, each segment would have to record when it came ([0026](decisions/0026-nagles-rule-where-it-is-certain.md)); there writes arrive at once. Who answers while 30,000 bytes or more lie unread offers another window here than on Linux, so that of two small writes behind them the second may go at once in one of the two and wait in the other |
| Only the acknowledgements of a FIN, of a window that was filled, and of what Nagle's rule waits for are delayed | no other shows, except in `TCP_INFO`, and in SIOCOUTQ where no trace is kept |
| The class of a simulated socket is a subclass of `socket.socket`: `isinstance` holds, `type(sock) is socket.socket` does not. A method that a test patches in that class (`mock.patch("socket.socket.connect")`) is called by all simulated sockets, unless their class has one of its own, as a TLS socket's has; one that is assigned by hand, from the next `socket()` or `accept` on. A function that stood there before the run began is not, unless it is a mock; a class patched in its place is | programs keep references to `socket.socket` and subclass it ([0003](decisions/0003-socket-socket-stays-the-class-it-is.md)); to trio, which asks for the exact type, it is one ([0049](decisions/0049-trio-runs-as-it-is-with-a-few-names-changed.md)) |
| A subclass of `socket.socket` with attributes in `__slots__` cannot be made in a run: TypeError, about a layout conflict | a simulated socket has slots of its own after those of `socket.socket`, and Python cannot combine two classes that have; an empty `__slots__` is fine |
| What a module registers with `atexit` while it is imported, and what the standard library or the test itself registers, is called when the interpreter ends; what else a program registers, when the program does | modules belong to all programs of all runs ([0065](decisions/0065-a-program-says-goodbye-when-it-ends.md)) |
| A socket that is open when its process ends causes no ResourceWarning; one that is garbage before that does | a real process would have ended; sockets left at quiet are reported by name, as `nothing-left` |
| Ephemeral ports are the next free even one for connect, odd one for bind | Linux draws within the parity at random |
| A SYN cookie holds for 90 s: whoever speaks later is reset | on Linux for one to two minutes, since it counts minutes |
| A silent client with SO_KEEPALIVE whose deferring listener (TCP_DEFER_ACCEPT) was closed is reset when it speaks | on Linux by its next probe; within a host there are no probes, since somebody answers nearly all of them |
| Of more than 16 clients of one host whose SYNs a full queue has dropped, those beyond come again 10 µs apart, not together with the first | on a machine many do not connect at one instant: who listens accepts some in between |
| SO_REUSEPORT distributes connections to listeners by a fixed rule | Linux hashes addresses with a secret of its own |
| `localhost` is ::1 and 127.0.0.1, and services have the names and protocols of Debian's list | `/etc/hosts` and `/etc/services` are not read: a run is the same on every machine |
| What fits into a connection of which one end has sent its FIN, and whose buffers nobody has set, is not counted: 3,919,872 bytes, 128,000 of them with the receiver | Linux takes 3,910,656, and 113,152 get there; counting begins only where both ends may still write. So of a large write to an end that has sent its FIN SIOCOUTQ tells nothing, and TCP_MAXSEG does not grow with it |
| What `MSG_MORE` has collected for an IPv6 address goes there, whatever the socket is connected to meanwhile | after a connect to a mapped IPv4 address Linux sends it to an address that is half the one and half the other, where nobody is |
| `socket.sendfile` with a time-out waits for room before each 64 KiB | Linux takes what there is any room for in one call |
| `os.sendfile` and `socket.sendfile` send a file as it is then | Linux sends its pages: of a file that is overwritten before the peer has read, the peer reads what stands there by then. It loses a UDP datagram put together of several pages if one of them gives an odd number of bytes before the last |
| A `poll` or `select` of a number that is closed meanwhile is over with any news of what that stood for (POLLNVAL) | Linux wakes it by news that it asked for alone: who waits for room is not woken by data |
| `os.splice` out of a pipe counts bytes, not places, where these are more than 17 in one datagram or with `SPLICE_F_MORE` | Linux refuses and loses such a UDP datagram (EMSGSIZE), and sends on what TCP holds back: a packet refers to 17 pieces of memory at most. Only packets in a pipe, as `O_DIRECT` makes them, are so many and so small |
| `os.splice` out of a TCP connection fills the places of a pipe with 32 KiB each, less 512 bytes in the first | Linux goes by how far whoever sent had filled a block of memory before; how many bytes a splice moves is the same as long as the pipe is drained |
| A connected UDP socket that has collected a datagram from another address of the host (`MSG_MORE` with `IP_PKTINFO`) goes on sending from its own | Linux sends from that other one until the socket is connected again, as it does to another target |
| After a failed connect to a mapped IPv4 address, an IPv6 socket reaches an IPv6 address at the next try | Linux goes on sending its SYNs by IPv4, and nobody answers |
| The label of `IPV6_FLOWINFO_SEND` is that of the connect; a label in the address of a `sendto` is not sent | few programs use one, and each send would have to check |
| A TCP connection over IPv6 that asks what comes beside packets (`IPV6_RECVPKTINFO`, `IPV6_RECVHOPLIMIT`, `IPV6_RECVTCLASS`) is counted as any other | Linux keeps a copy of its packets (tcp_v6_do_rcv), and acknowledges some at other moments: SIOCOUTQ, and which write of the peer releases what `MSG_MORE` holds back, may differ |
| `recv` or `send` with a keyword argument, and `poll` of an epoll with an unknown one: TypeError, worded differently from CPython's | looking for keywords in each call takes as long as checking its arguments |
| A socket that SO_BINDTODEVICE has bound to `eth0` reaches and hears loopback all the same, but for groups and for a bind to ::1; one that is bound to `lo` hears what is sent to the host's own address; the link in IP_PKTINFO counts for groups alone | on Linux what is sent on another link is lost there, and what comes by another link is not for it; each packet would have to be looked at |
| The hosts of a network have no clock skew | time is one integer; a fault can set a host's wall clock apart |
"""


class Fact(NamedTuple):
    """One test: the fact's number, the sentence its name is, its file, and why it is not for simnet, if it is not."""

    number: int
    sentence: str
    file: str
    only_kernel: str


@functools.cache
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
            "simnet's kernel imitates Linux, call by call, as measured on Linux 6.18 over loopback with Python 3.11. Each line in",
            "[what holds](#what-holds) is the name of a test, whose one body runs on the real kernel and on simnet; `pytest",
            'tests/contract -k "k042"` runs the tests of one fact. What is left out or differs is listed below it, with the reason.',
            "",
            f"{len(held)} tests check {len({fact.number for fact in held})} measured facts, {len(both)} of the tests in both",
            "worlds. In addition, `tests/contract/tables/` has the answer of every call in every state of a TCP, UDP and Unix",
            f"socket, {_cells()} cells, each checked in both worlds.",
            "",
            "## Random programs",
            "",
            "`simnet conform --programs N` draws programs of socket calls from a seed, over several sockets and pollers,",
            "runs each on the kernel and on simnet, and compares every answer, errno, byte and readiness bit. What differs",
            "three times, at three paces, is a divergence; it is shrunk to the calls that matter and printed as a script for",
            "both. Steps whose answer depends on the size of a kernel's buffers or on when it acknowledges are left out",
            "(the rules are in `simnet/conform/loose.py`).",
            "",
            (HERE / "conform.txt").read_text(encoding="utf-8").strip(),
            "",
            *_known(),
            "## What holds",
            "",
            *_facts_table(held),
            "## What is left out",
            "",
            "A call that simnet does not know raises `simnet.NotModelled`, which names it, and the run records it: nothing is",
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
