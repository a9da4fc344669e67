"""What a plan does to the calls of sockets for datagrams: they would block, fail, or find what has a wrong checksum."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import faults
from simnet.explore.nearest import unreached_texts
from simnet.explore.options import SweepOptions
from simnet.explore.points import families
from simnet.explore.report.ladder import ladder
from simnet.explore.sweep import run_sweep
from simnet.faults.fields import FaultError
from simnet.faults.rates import FaultRates

IP_RECVERR = 11  # of linux/in.h; the socket module has no name for it


def name_of(error: OSError) -> str:
    return "late" if error.errno is None else errno.errorcode[error.errno]


def tried(call: Callable[..., Any], *arguments: Any) -> Any:
    """What *call* gives, or the name of its errno."""
    try:
        return call(*arguments)
    except OSError as error:
        return name_of(error)


def udp(port: int = 0, timeout: float | None = None) -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    if port:
        sock.bind(("", port))
    sock.settimeout(timeout)
    return sock


def echo(port: int = 53) -> None:
    with udp(port) as sock:
        while True:
            question, address = sock.recvfrom(100)
            with contextlib.suppress(OSError):
                sock.sendto(question, address)


def played(line: str, program: Callable[[], Any], *, reached: bool = True, target: str = "client") -> Any:
    """What *program* returns on ``client``, with ``server`` that answers, under the plan *line*; and it replays."""

    def test(net: Any) -> Any:
        net.host("server").spawn(echo)
        return net.host("client").run(program)

    run = simnet.play(test, line, target=target)
    assert (run.verdicts, run.failures) == ([], [])
    assert (run.unreached == ()) is reached
    if reached:
        assert simnet.play(test, run.happened, target=target).digest == run.digest
    return run.outcome.returned


# ---- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("would-block server:53 recv call=1", "the 1st recv on server:53 said EAGAIN, though the socket was reported readable"),
        ("would-block client:* send call=2", "the 2nd send on client:* said EAGAIN, as where there is no room, whatever a poll may have reported"),
        ("error client->server:53 recv call=1 errno=ECONNREFUSED",
         "the 1st recv on client->server:53 failed with ECONNREFUSED: an ICMP answer to what was sent before"),
        ("error *:* send call=1 errno=EPERM", "the 1st send on any socket *:* failed with EPERM"),
        ("error server->server:/run/log send call=1 errno=ENOENT", "the 1st send on server->server:/run/log failed with ENOENT"),
        ("drop server:53 recv call=3", "the 3rd recv on server:53 found the datagram gone that was there: its checksum was wrong, or another process had read it"),
    ],
)  # fmt: skip
def test_such_a_fault_reads_back_and_says_what_happened(line: str, words: str) -> None:
    (fault,) = simnet.FaultPlan.parse(line)
    assert (str(fault), fault.sentence()) == (line, words)
    assert eval(repr(fault), {"faults": faults}) == fault
    assert simnet.FaultPlan.from_tables(simnet.FaultPlan([fault]).to_tables()) == simnet.FaultPlan([fault])


@pytest.mark.parametrize(
    ("line", "key", "complaint"),
    [
        ("would-block server recv call=1", "on", "names a host; it acts on a connection, written .*, or a socket for datagrams"),
        ("would-block server:53 recv call=1 end=server", "end", "leave it out"),
        ("would-block server:53 send call=1 seconds=1", "seconds", "waits for nobody who reads"),
        ("error server:53 recv call=1 errno=ENOBUFS", "errno", "it says ECONNREFUSED, EHOSTUNREACH"),
        ("error server:53 recv call=1 errno=EAGAIN", "errno", "use would-block"),
        ("error server:53 send call=1 errno=ENOENT", "errno", "is nothing that send says"),
        ("error server:/run/log send call=1 errno=EPERM", "errno", "it says ECONNREFUSED, ENOENT, ENOBUFS"),
        ("error server:/run/log recv call=1 errno=ECONNREFUSED", "errno", "its sender is told"),
        ("short-recv server:53 end=server call=1 bytes=3", "on", "acts on a connection"),
        ("reset server:53 end=server recv call=1", "on", "acts on a connection"),
        ("drop server:/run/log recv call=1", "op", "whose datagrams have no checksum"),
        ("drop client->server:53", "datagram", "say datagram=1, or op='recv', call=1"),
        ("drop client->server:53 datagram=1 recv call=1", "datagram", "either datagram or call"),
        ("drop client->server:53 call=1", "op", "op and call go together"),
        ("drop server:53 datagram=1", "on", "it acts on a flow"),
    ],
)  # fmt: skip
def test_what_no_such_socket_meets_is_refused(line: str, key: str, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint) as refused:
        simnet.FaultPlan.parse(line)
    assert refused.value.key == key


def test_calls_are_counted_by_place_whichever_socket_makes_them() -> None:
    def asks() -> list[Any]:
        answers = []
        for _ in range(3):  # a socket for each question, as resolvers have
            with udp(timeout=1) as sock:
                answers.append(tried(sock.sendto, b"?", ("server", 53)))
        return answers

    assert played("error client:* send call=2 errno=EPERM", asks) == [1, "EPERM", 1]
    assert played("error *:* send call=2 errno=EPERM", asks) == [1, "EPERM", 1]


def test_a_listener_and_a_socket_for_datagrams_on_one_port_are_told_apart() -> None:
    def serve(net: Any) -> Any:
        def both() -> list[Any]:
            with socket.create_server(("", 53)) as listener, udp(53) as sock:
                return [tried(listener.recv, 9), tried(sock.accept), tried(sock.sendto, b"!", ("test", 9))]

        return net.host("server").run(both)

    usual = ["ENOTCONN", "ENOTSUP", 1]
    for line in ("error server:53 recv call=1 errno=ECONNREFUSED", "error server:53 accept call=1 errno=EMFILE"):
        run = simnet.play(serve, line)
        assert (run.outcome.returned, len(run.unreached)) == (usual, 1)
    run = simnet.play(serve, "error server:53 send call=1 errno=EPERM")
    assert (run.outcome.returned, run.unreached) == ([*usual[:2], "EPERM"], ())


# ---- would-block ------------------------------------------------------------------------------------------------------


def test_what_would_block_is_there_at_the_next_read_and_told_again_at_an_edge() -> None:
    def asks() -> list[Any]:
        with udp() as sock, select.epoll() as epoll:
            sock.sendto(b"?", ("server", 53))
            sock.setblocking(False)
            epoll.register(sock, select.EPOLLIN | select.EPOLLET)
            found = []
            for _ in range(2):
                assert epoll.poll(5)
                found.append(tried(lambda: sock.recvfrom(100)[0]))
            return found

    assert played("would-block client:* recv call=1", asks) == ["EAGAIN", b"?"]


@pytest.mark.parametrize("how", ["recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"])
def test_every_way_to_read_meets_it(how: str) -> None:
    def asks() -> Any:
        with udp() as sock:
            sock.sendto(b"?", ("server", 53))
            select.select([sock], [], [])
            sock.setblocking(False)
            what: Any = bytearray(9) if how.endswith("into") else 9
            return tried(getattr(sock, how), [what] if how == "recvmsg_into" else what)

    assert played("would-block client:* recv call=1", asks) == "EAGAIN"


def test_a_kernel_that_waits_never_says_it() -> None:
    def asks() -> Any:
        with udp() as sock:
            sock.sendto(b"?", ("server", 53))
            return sock.recv(9)

    assert played("would-block client:* recv call=1", asks, reached=False) == b"?"


def test_who_gives_up_what_found_no_room_is_as_right_as_one_whose_datagram_is_lost() -> None:
    def reports(net: Any) -> bytes:
        def report() -> None:
            with udp() as sock:
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    sock.sendto(b"visits:1|c", ("collector", 8125))

        def collect() -> bytes:
            with udp(8125, timeout=3) as sock, contextlib.suppress(TimeoutError):
                return sock.recv(100)
            return b""

        collector = net.host("collector").spawn(collect)
        net.host("client").run(report)
        collector.join()
        return bytes(collector.result)

    result = run_sweep(reports, SweepOptions.of(target="client", kinds=["would-block"]))
    assert (result.runs, result.noted, result.ok) == (1, 1, True)
    send, recv = simnet.FaultPlan.parse("would-block client:* send call=1; would-block client:* recv call=1")
    assert (send.harmless, recv.harmless) == (False, True)


# ---- errors -----------------------------------------------------------------------------------------------------------


def test_a_read_fails_by_what_was_sent_before_and_only_where_linux_tells() -> None:
    def asks(connects: bool, queue: bool, sends: bool = True) -> Callable[[], Any]:
        def program() -> Any:
            with udp(timeout=1) as sock:
                if queue:
                    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
                if connects:
                    sock.connect(("server", 53))
                if sends:
                    sock.sendto(b"?", ("server", 53))
                return [tried(sock.recv, 9) for _ in range(2 if connects or queue else 1)]

        return program

    connected = "error client->server:53 recv call=1 errno={}"
    assert played(connected.format("ECONNREFUSED"), asks(True, False)) == ["ECONNREFUSED", b"?"]
    assert played(connected.format("EHOSTUNREACH"), asks(True, False)) == ["EHOSTUNREACH", b"?"]
    by_itself = "error client:* recv call=1 errno=ECONNREFUSED"
    assert played(by_itself, asks(False, True)) == ["ECONNREFUSED", b"?"]

    def test(net: Any) -> Any:
        net.host("server").spawn(echo)
        return net.host("client").run(asks(False, False))

    run = simnet.play(test, by_itself)
    assert run.outcome.returned == [b"?"]
    assert played(connected.format("ECONNREFUSED"), asks(True, False, sends=False), reached=False) == ["late", "late"]
    assert unreached_texts(run.unreached, run.points, run.targets) == [
        f"{by_itself} was never reached: client called recv on client:* once, where no ICMP is told: it has sent nothing, or is not connected"
    ]


def test_a_send_fails_and_nothing_goes_out_but_the_socket_has_its_port() -> None:
    def sends() -> list[Any]:
        with udp() as sock:
            failed = tried(sock.sendto, b"?", ("server", 53))
            return [failed, sock.getsockname()[1] > 0, select.select([sock], [], [], 1)[0]]

    for name in ("ENETUNREACH", "EPERM", "ENOBUFS", "EHOSTUNREACH", "ENOMEM", "EMSGSIZE"):
        assert played(f"error client:* send call=1 errno={name}", sends) == [name, True, []]


def test_asyncio_hands_an_error_to_its_protocol_and_sends_later_what_found_no_room() -> None:
    class Asks(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def datagram_received(self, data: bytes, _: Any) -> None:
            self.heard.append(data)

        def error_received(self, exc: Exception) -> None:
            assert isinstance(exc, OSError)
            self.heard.append(name_of(exc))

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Asks, remote_addr=("server", 53))
        for word in (b"one", b"two"):
            transport.sendto(word)
            await asyncio.sleep(1)
        transport.close()
        return protocol.heard

    def asks() -> list[Any]:
        return asyncio.run(main())

    flow = "client->server:53"
    assert played(f"error {flow} recv call=1 errno=ECONNREFUSED", asks) == ["ECONNREFUSED", b"one", b"two"]
    assert played(f"error {flow} send call=1 errno=EPERM", asks) == ["EPERM", b"two"]
    assert played(f"would-block {flow} send call=1", asks) == [b"one", b"two"]
    assert played(f"would-block {flow} recv call=1", asks) == [b"one", b"two"]


# ---- a wrong checksum ---------------------------------------------------------------------------------------------------


def test_a_datagram_with_a_wrong_checksum_is_gone_when_it_is_read() -> None:
    def asks(timeout: float | None) -> Callable[[], Any]:
        def program() -> Any:
            with udp() as sock:
                for word in (b"one", b"two"):
                    sock.sendto(word, ("server", 53))
                time.sleep(1)
                sock.settimeout(timeout)
                return [tried(sock.recv, 9), select.select([sock], [], [], 1)[0]]

        return program

    line = "drop client:* recv call=1"
    assert played(line, asks(None)) == [b"two", []]  # the kernel goes on to the next
    assert played(line, asks(0.0)) == [b"two", []]

    def once(timeout: float) -> Callable[[], Any]:
        def program() -> Any:
            with udp() as sock:
                sock.sendto(b"one", ("server", 53))
                select.select([sock], [], [])
                sock.settimeout(timeout)
                return tried(sock.recv, 9)

        return program

    assert (played(line, once(0.0)), played(line, once(2.0))) == ("EAGAIN", "late")


def test_one_that_was_not_there_when_the_call_began_is_lost_on_its_way_by_the_other_drop() -> None:
    def asks() -> Any:
        with udp() as sock:
            sock.sendto(b"?", ("server", 53))
            return sock.recv(9)

    assert played("drop client:* recv call=1", asks, reached=False) == b"?"


def test_what_waits_in_the_error_queue_is_read_whatever_the_plan_does_to_reads() -> None:
    def asks() -> list[Any]:
        with udp(timeout=1) as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sock.sendto(b"?", ("server", 54))
            time.sleep(1)
            return [tried(lambda: sock.recvmsg(9, 100, socket.MSG_ERRQUEUE)[0]), tried(sock.recv, 9)]

    assert played("error client:* recv call=1 errno=EHOSTUNREACH", asks, reached=False) == [b"?", "late"]


# ---- Unix sockets -------------------------------------------------------------------------------------------------------


def logs(line: str, program: Callable[[socket.socket], list[Any]]) -> Any:
    """What *program* returns, whose socket may send to who is bound to ``/run/log.sock`` on its host."""

    def test(net: Any) -> Any:
        def here() -> list[Any]:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.bind("/run/log.sock")
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                    said = program(sock)
                    log.setblocking(False)
                    return [*said, tried(log.recv, 9), tried(log.recv, 9)]

        return net.host("server").run(here)

    run = simnet.play(test, line)
    return run.outcome.returned, len(run.unreached)


def test_a_unix_datagram_finds_nobody_and_who_was_connected_is_so_no_longer() -> None:
    def connected(sock: socket.socket) -> list[Any]:
        sock.connect("/run/log.sock")
        return [tried(sock.send, b"one"), tried(sock.send, b"two")]

    def named(sock: socket.socket) -> list[Any]:
        return [tried(sock.sendto, b"one", "/run/log.sock"), tried(sock.sendto, b"two", "/run/log.sock")]

    flow = "server->server:/run/log.sock"
    gone = (["ECONNREFUSED", "ENOTCONN", "EAGAIN", "EAGAIN"], 0)
    assert logs(f"error {flow} send call=1 errno=ECONNREFUSED", connected) == gone
    assert logs(f"error {flow} send call=2 errno=ENOENT", connected) == ([3, 3, b"one", b"two"], 1)
    assert logs(f"error {flow} send call=1 errno=ENOENT", named) == (["ENOENT", 3, b"two", "EAGAIN"], 0)
    assert logs(f"error {flow} send call=1 errno=ECONNREFUSED", named) == (["ECONNREFUSED", 3, b"two", "EAGAIN"], 0)
    assert logs("would-block server:/run/log.sock recv call=1", named) == ([3, 3, "EAGAIN", b"one"], 0)
    assert logs("error *:* send call=1 errno=EPERM", named) == ([3, 3, b"one", b"two"], 1)
    for program in (connected, named):
        assert logs(f"would-block {flow} send call=1", program) == ([3, 3, b"one", b"two"], 1), "it waits for room"

    def at_once(sock: socket.socket) -> list[Any]:
        sock.setblocking(False)
        return connected(sock)

    assert logs(f"would-block {flow} send call=1", at_once) == (["EAGAIN", 3, b"two", "EAGAIN"], 0)


# ---- sweeps, dice, ladders ----------------------------------------------------------------------------------------------


def test_a_sweep_tries_each_errno_at_the_first_call_of_a_place_and_one_at_each_later_one() -> None:
    def asks(net: Any) -> None:
        net.host("server").spawn(echo)
        with udp(timeout=1) as sock:
            sock.connect(("server", 53))
            for word in (b"one", b"two"):
                sock.send(word)
                sock.recv(100)

    found = families(simnet.play(asks).points, ["test", "server"], ["would-block", "error"])
    lines = [str(family.make(index)) for family in found for index in range(family.size)]
    assert [line for line in lines if "server:53 send" in line and "->" not in line] == [
        *(f"error server:53 send call=1 errno={name}" for name in ("ENETUNREACH", "EPERM", "ENOBUFS", "EHOSTUNREACH")),
        "error server:53 send call=2 errno=ENETUNREACH",
    ]
    assert not [line for line in lines if line.startswith("error server:53 recv")]  # it hears of no ICMP
    run = simnet.play(asks)
    for family in families(run.points, run.targets):
        for fault in (family.make(index) for index in range(family.size)):
            assert simnet.play(asks, simnet.FaultPlan([fault])).unreached == (), fault


def test_a_sweep_has_a_datagram_vanish_where_linux_may_and_at_a_blocking_read_if_asked_to() -> None:
    def asks(timeout: float | None, kinds: list[str] | None) -> list[str]:
        def test(net: Any) -> None:
            net.host("server").spawn(echo)
            with udp(timeout=timeout) as sock:
                sock.sendto(b"?", ("server", 53))
                select.select([sock], [], [])
                tried(sock.recv, 9)
                sock.sendto(b"?", ("server", 53))
                time.sleep(1)
                tried(sock.recv, 9)  # of which nobody has told

        found = families(simnet.play(test, target="test").points, ["test"], kinds)
        lines = [str(family.make(index)) for family in found for index in range(family.size)]
        return [line for line in lines if line.startswith("drop") and "call=" in line]

    once = ["drop test:* recv call=1"]
    assert [asks(timeout, None) for timeout in (None, 0.0, 1.0)] == [[], [], once]
    assert [asks(timeout, ["drop"]) for timeout in (None, 0.0, 1.0)] == [once, [], once]


def test_dice_are_thrown_for_them_and_the_plan_that_happened_plays_again() -> None:
    def asks(net: Any) -> list[Any]:
        def ask() -> list[Any]:
            with udp() as sock:
                sock.setblocking(False)
                said = []
                for _ in range(8):
                    said.append(tried(sock.sendto, b"?", ("server", 53)))
                    select.select([sock], [], [], 1)
                    said.append(tried(sock.recv, 9))
                return said

        net.host("server").spawn(echo)
        said: list[Any] = net.host("client").run(ask)
        return said

    seen = set()
    for seed in range(6):
        run = simnet.play(asks, rates=FaultRates(would_block=0.3, error=0.3, seed=seed), target="client")
        seen |= {(fault.kind, fault.anchor.op) for fault in run.happened}
        assert simnet.play(asks, run.happened, target="client").digest == run.digest
    assert seen == {("would-block", "recv"), ("would-block", "send"), ("error", "send")}  # no ICMP is told there


def test_the_ladder_has_it_at_the_call() -> None:
    def asks(net: Any) -> None:
        net.host("server").spawn(echo)
        with udp(timeout=1) as sock:
            sock.sendto(b"?", ("server", 53))
            tried(sock.recv, 9)

    run = simnet.play(asks, "error server:53 send call=1 errno=EPERM")
    lines = ladder(run.trace, whole=True, against=simnet.play(asks).trace)
    assert any("send EPERM" in line and "\u26a1 baseline: b'?'" in line for line in lines.splitlines())
