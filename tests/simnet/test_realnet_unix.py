"""Faults on Unix streams of real sockets: what the kernel is made to show, and what nobody can make it show."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet import FaultPlan, RealNetwork, faults
from simnet.expect import Found
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, replay
from simnet.explore.replay_real import replay_real
from simnet.realnet.classes import CONFIRMED, INJECTED, SIMULATOR_ONLY, verdict_class
from simnet.realnet.run import play_real

pytestmark = pytest.mark.slow  # real sockets and real time

BOTH = ("server", "test")  # the test holds sockets of the server in its own hands


@pytest.fixture
def path() -> Iterator[str]:
    """A path in a folder of its own: those of pytest's tmp_path may be too long for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/app.sock"


def serve(name: str, reads: list[bytes]) -> None:
    """Echo, without ever blocking in a call on a connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        while True:
            try:
                served, _ = listener.accept()
            except OSError:
                continue
            with served:
                served.settimeout(5)
                try:
                    while data := served.recv(100):
                        reads.append(data)
                        served.sendall(data)
                except OSError as error:
                    reads.append(type(error).__name__.encode())


def ask(name: str, *questions: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(name)
        for question in questions:
            sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(100), b""))


def played(path: str, line: str, *questions: bytes) -> tuple[list[bytes], Any, Any]:
    """What the server read, the run's outcome, and the faults that happened."""
    reads: list[bytes] = []

    def test(net: RealNetwork) -> bytes:
        host = net.host("server")
        host.spawn(serve, path, reads)
        host.wait_listening(path)
        return host.run(ask, path, *questions)

    run = play_real(test, FaultPlan.parse(line), target="server")
    return reads, run.outcome.returned, [str(fault) for fault in run.happened]


@pytest.mark.parametrize(
    ("fault", "reads"),
    [
        ("short-recv {} end=server call=1 bytes=2", [b"he", b"llo"]),
        ("split {} end=server byte=2", [b"he", b"llo"]),
        ("stall {} end=server byte=2 seconds=0.05", [b"he", b"llo"]),
        ("eof {} end=server byte=2", [b"he"]),
        ("error {} end=server recv call=1 errno=ENOBUFS", [b"OSError"]),
        ("urgent {} end=server byte=2", [b"he", b"llo"]),
    ],
)
def test_a_target_reads_what_the_plan_lets_it(path: str, fault: str, reads: list[bytes]) -> None:
    line = fault.format(f"server->server:{path}#1")
    seen, _, happened = played(path, line, b"hello")
    assert seen == reads
    assert happened == [line]


def test_writes_arrive_as_one(path: str) -> None:
    seen, answer, _ = played(path, f"coalesce server->server:{path}#1 end=server byte=0 bytes=10", b"hello", b"world")
    assert seen == [b"helloworld"]
    assert answer == b"helloworld"


def test_a_connect_is_refused_by_the_kernel(path: str) -> None:
    def test(net: RealNetwork) -> list[object]:
        host = net.host("server")
        host.spawn(serve, path, [])
        host.wait_listening(path)
        with host.socket(socket.AF_UNIX) as sock:
            answers: list[object] = [sock.connect_ex(path) for _ in range(2)]
            sock.shutdown(socket.SHUT_WR)
            answers.append(sock.recv(1))
        return answers

    run = play_real(test, FaultPlan.parse(f"refuse server->server:{path}#1"), target="server")
    assert run.outcome.returned == [111, 0, b""]
    assert [(each.place.rpartition("#")[2], each.answered) for each in run.points.connects] == [
        ("1", False),
        ("2", True),
    ]


def test_connections_are_told_apart_by_the_order_in_which_they_came(path: str) -> None:
    """An accepted Unix socket does not say who has opened it."""

    def test(net: RealNetwork) -> list[bytes]:
        host = net.host("server")
        with host.listen(path) as listener, host.connect(path) as one, host.connect(path) as two:
            one.sendall(b"one")
            two.sendall(b"two")
            answers = []
            for _ in range(2):
                with listener.accept()[0] as served:
                    answers.append(served.recv(100))
            return answers

    run = play_real(test, FaultPlan.parse(f"short-recv server->server:{path}#2 end=server call=1 bytes=1"), target=BOTH)
    assert run.outcome.returned == [b"one", b"t"]


@pytest.mark.parametrize("network", [simnet.Network, RealNetwork])
def test_a_blocking_connect_waits_for_room_in_the_backlog_and_no_other_does(network: Any, path: str) -> None:
    def late() -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            return sock.recv(100)

    with network() as net:
        host = net.host("server")
        with host.listen(path, 0) as listener, host.connect(path), host.socket(socket.AF_UNIX) as hasty:
            waiting = host.spawn(late)
            hasty.settimeout(5)
            with pytest.raises(BlockingIOError):
                hasty.connect(path)
            for _ in range(2):
                with listener.accept()[0] as served:
                    served.send(b"hello")
            waiting.join()
            assert waiting.result == b"hello"


def test_an_accept_would_block_and_fails(path: str) -> None:
    def test(net: RealNetwork) -> list[str]:
        host = net.host("server")
        answers = []
        with host.listen(path) as listener, host.connect(path):
            listener.setblocking(False)
            for _ in range(3):
                try:
                    listener.accept()[0].close()
                    answers.append("accepted")
                except OSError as error:
                    answers.append(type(error).__name__)
        return answers

    plan = f"would-block server:{path} accept call=1; error server:{path} accept call=2 errno=EMFILE"
    run = play_real(test, FaultPlan.parse(plan), target=BOTH)
    assert run.outcome.returned == ["BlockingIOError", "OSError", "accepted"]


def test_a_pair_has_its_faults_and_that_of_a_loop_has_none() -> None:
    async def rest() -> None:
        asyncio.get_running_loop().call_soon_threadsafe(str)
        await asyncio.sleep(0.01)

    def talk() -> list[bytes]:
        asyncio.run(rest())
        one, other = socket.socketpair()
        with one, other:
            one.sendall(b"hello")
            return [other.recv(100), other.recv(100)]

    def test(net: RealNetwork) -> list[bytes]:
        return net.host("server").run(talk)

    run = play_real(test, FaultPlan.parse("short-recv server->server:socketpair#1 end=server call=1 bytes=1"))
    assert run.outcome.returned == [b"h", b"ello"]


def test_names_beside_data_are_the_kernels(path: str) -> None:
    def test(net: RealNetwork) -> list[object]:
        host = net.host("server")
        with host.listen(path) as listener, host.connect(path) as client:
            served, _ = listener.accept()
            with served:
                served.sendall(b"hello")
                told = [client.recvfrom(2), client.recvmsg(10)]
                client.sendall(b"x")
                return [*told, served.recvfrom(1), client.getpeername() == path]

    named = play_real(test).outcome.returned
    assert named == simnet.play(test).outcome.returned  # type: ignore[arg-type]  # the same verbs


def test_what_a_run_has_bound_is_gone_when_it_ends(path: str) -> None:
    def test(net: RealNetwork) -> bool:
        with net.host("server").listen(path):
            return os.path.exists(path)

    for _ in range(2):
        assert play_real(test).outcome.returned
        assert not os.path.exists(path)

    def replaces(net: RealNetwork) -> None:
        with net.host("server").listen(path):
            os.unlink(path)
            Path(path).touch()

    play_real(replaces)
    assert os.path.exists(path)  # that is another file


def test_who_keeps_a_connection_whose_peer_is_gone_is_told_so(path: str) -> None:
    kept = []

    def forgets() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            while True:
                kept.append(listener.accept()[0])

    def test(net: RealNetwork) -> None:
        host = net.host("server")
        host.spawn(forgets)
        host.wait_listening(path)
        host.connect(path).close()

    (verdict,) = play_real(test).verdicts
    assert f"still holds server->server:{path}#1 (hung up)" in verdict.message


def test_a_path_of_another_host_has_no_place(path: str) -> None:
    """Paths are the machine's there; no simulated network lets one host reach another by one."""

    def test(net: RealNetwork) -> bytes:
        with net.host("server").listen(path) as listener, socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            with listener.accept()[0] as served:
                sock.sendall(b"hello")
                return served.recv(100)

    run = play_real(test, FaultPlan.parse("short-recv *->*:*#* end=server call=1 bytes=1"), target=BOTH)
    assert run.outcome.returned == b"hello"


@pytest.mark.parametrize("play", [simnet.play, play_real])
def test_a_socket_in_the_hands_of_the_test_is_support(path: str, play: Any) -> None:
    def test(net: Any) -> bytes:
        host = net.host("server")
        host.spawn(serve, path, [])
        host.wait_listening(path)
        with host.connect(path) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(100), b""))

    run = play(test, FaultPlan.parse("short-recv *->*:*#* end=client call=1 bytes=1"), target="server")
    assert not run.happened
    assert {each.host for each in run.points.calls if each.end == "client"} == {"test"}
    assert not any(each.target for each in run.points.calls if each.end == "client")
    run = play(test, FaultPlan.parse("short-recv *->*:*#* end=client call=1 bytes=1"), target=BOTH)
    assert len(run.happened) == 1


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("short-recv a->a:/x#1 end=server call=1 bytes=1", INJECTED),
        ("split a->a:/x#1 end=server byte=1", CONFIRMED),
        ("reset a->a:/x#1 end=server byte=1", SIMULATOR_ONLY),
        ("reset-before-accept a:/x call=1", SIMULATOR_ONLY),
    ],
)
def test_what_it_is_worth_is_said_before(line: str, verdict: str) -> None:
    assert verdict_class(FaultPlan.parse(line)) == verdict


def test_a_reset_is_refused_by_name_and_a_pattern_leaves_unix_sockets_alone(path: str) -> None:
    with pytest.raises(ValueError, match=r"show 'reset' here \(a Unix socket is reset by nothing but a close"):
        RealNetwork(FaultPlan([faults.Reset(on=f"a->a:{path}#1", end="server", byte=1)])).__enter__()
    seen, answer, happened = played(
        path, "reset *->*:*#* end=server byte=2; reset *->*:*#* end=server recv call=1", b"hello"
    )
    assert (seen, answer, happened) == ([b"hello"], b"hello", [])


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("split {} end=server byte=2", "confirmed on the kernel: the same failure"),
        ("stall {} end=server byte=2 seconds=0.05", "confirmed on the kernel: the same failure"),
        ("short-recv {} end=server call=1 bytes=2", "real sockets, injected result: the same failure"),
        ("refuse {}", "real sockets: no failure there (interrupted)"),
        ("split {} end=server byte=77", "real sockets: not reached there"),
    ],
)
def test_a_failure_on_a_path_is_replayed_with_a_word_on_who_did_it(path: str, fault: str, verdict: str) -> None:
    def hasty(name: str) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            while True:
                served, _ = listener.accept()
                with served:
                    served.sendall({b"hello": b"good day"}[served.recv(100)])

    def talk(net: Any) -> None:
        host = net.host("server")
        host.spawn(hasty, path)
        host.wait_listening(path)
        with host.connect(path, timeout=5) as sock:
            sock.sendall(b"hello")
            assert b"".join(iter(lambda: sock.recv(100), b"")) == b"good day"

    plan = FaultPlan.parse(fault.format(f"server->server:{path}#1"))
    options = SweepOptions.of(target="server")
    short = FaultPlan.parse(f"short-recv server->server:{path}#1 end=server call=1 bytes=2")
    found = Found(by="sweep", failure=replay(talk, short, options=options).line.partition("; ")[2])
    assert replay_real(talk, plan, options=options, record=OnRecord(found=found)).kernel == verdict


def test_what_is_lost_behind_an_end_is_refused_once_its_reader_has_gone(path: str) -> None:
    def reads_to_the_end() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with listener.accept()[0] as served:
                while served.recv(100):
                    pass

    def writes() -> list[str]:
        said = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            for _ in range(2):
                try:
                    said.append(str(sock.send(b"hello")))
                except OSError as error:
                    said.append(type(error).__name__)
                sock.recv(100)
        return said

    def test(net: Any) -> list[str]:
        net.host("server").spawn(reads_to_the_end)
        said: list[str] = net.host("server").run(writes)
        return said

    fault = f"eof server->server:{path}#1 end=server byte=2"
    for target in ("server", "test"):
        runs: list[Any] = [play(test, fault, target=target) for play in (simnet.play, play_real)]  # type: ignore[operator]
        assert [run.outcome.returned for run in runs] == [["5", "BrokenPipeError"]] * 2


def test_a_listener_that_was_given_up_is_missed(path: str) -> None:
    def gives_up() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            while listener.fileno() != -1:
                try:
                    listener.accept()[0].close()
                except OSError:
                    listener.close()
            threading.Event().wait()

    def test(net: Any) -> None:
        net.host("server").spawn(gives_up)
        with net.host("server").connect(path, timeout=5) as sock:
            sock.recv(100)

    plan = FaultPlan.parse(f"error server:{path} accept call=1 errno=EMFILE")
    options = SweepOptions.of(target="server")
    found = [play(test, plan, options=options).judgement.failure for play in (replay, replay_real)]
    assert [each and each.reason for each in found] == ["listener-survives"] * 2


def conversation(path: str, half: bool) -> Any:
    """A test of what both ends see of each other, whatever befalls them."""

    def test(net: Any) -> tuple[bytes | str, list[tuple[bytes, str]]]:
        seen: list[tuple[bytes, str]] = []

        def listen() -> None:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                while True:
                    with contextlib.suppress(OSError), listener.accept()[0] as served:
                        served.settimeout(3)
                        got = b""
                        try:
                            while data := served.recv(7):
                                got += data
                                served.sendall(data)
                            seen.append((got, "end"))
                        except OSError as error:
                            seen.append((got, type(error).__name__))

        host = net.host("server")
        host.spawn(listen)
        host.wait_listening(path)
        try:
            with host.connect(path, timeout=3) as sock:
                for part in (b"A" * 3, b"B" * 50, b"C"):
                    sock.sendall(part)
                if half:
                    sock.shutdown(socket.SHUT_WR)
                answer = b""
                while (half or len(answer) < 54) and (data := sock.recv(1000)):
                    answer += data
            told: bytes | str = answer
        except OSError as error:
            told = type(error).__name__
        net.sleep(0.05)
        return told, seen

    return test


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        *(f"{kind} {{}} end={end} byte={byte}" for kind in ("split", "eof", "urgent") for end in ("server", "client") for byte in (3, 40)),
        "stall {} end=server byte=2 seconds=0.01",
        "stall {} end=client byte=53 seconds=0.01",
        "coalesce {} end=server byte=0 bytes=53",
        "coalesce {} end=client byte=2 bytes=90",
        "short-recv {} end=server call=2 bytes=1",
        "error {} end=server recv call=2 errno=ENOBUFS",
        "error {} end=server send call=1 errno=ENOBUFS",
        "refuse {}",
    ],
)  # fmt: skip
def test_a_fault_shows_on_the_kernel_what_it_shows_on_simnet(path: str, fault: str, half: bool) -> None:
    plan = FaultPlan.parse(fault.format(f"server->server:{path}#1"))
    test = conversation(path, half)
    simulated, real = simnet.play(test, plan, target="server"), play_real(test, plan, target="server")
    assert simulated.happened == real.happened == plan
    assert simulated.outcome.returned == real.outcome.returned
    assert not real.verdicts
