"""What a plan does to Unix datagrams: each is counted in its flow, by the name it is sent to; lost, repeated, late, overtaken."""

from __future__ import annotations

import array
import os
import select
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet.explore.keep import movable
from simnet.explore.nearest import unreached_texts
from simnet.explore.report.ladder import ladder
from simnet.faults.fields import FaultError
from simnet.faults.place import Place
from simnet.faults.rates import FaultRates

PATH = "/run/log.sock"
FLOW = f"server->server:{PATH}"
WORDS = (b"one", b"two", b"three", b"four")
USUAL = [(word, 0.0) for word in WORDS]
DATAGRAM_KINDS = ("drop", "duplicate", "reorder", "delay")


def listen(name: str = PATH) -> list[tuple[bytes, float]]:
    """The words that come within 3 s of the last one; and when."""
    got = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.settimeout(3)
        try:
            while True:
                got.append((sock.recv(100), round(time.monotonic(), 3)))
        except TimeoutError:
            return got


def say(name: str = PATH, *, connected: bool = False) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if connected:
            sock.connect(name)
        for word in WORDS:
            if connected:
                sock.send(word)
            else:
                sock.sendto(word, name)


def log(net: simnet.Network) -> Any:
    listener = net.host("server").spawn(listen)
    net.host("server").run(say)
    listener.join()
    return listener.result


def told(line: str, test: Any = log) -> Any:
    run = simnet.play(test, line)
    assert (run.unreached, run.verdicts, run.failures) == ((), [], [])
    assert simnet.play(test, run.happened).digest == run.digest
    return run.outcome.returned


@pytest.mark.parametrize(
    ("line", "got"),
    [
        (f"drop {FLOW} datagram=2", [USUAL[0], *USUAL[2:]]),
        (f"duplicate {FLOW} datagram=1 copies=2", [USUAL[0]] * 3 + USUAL[1:]),
        (f"reorder {FLOW} datagram=1", [USUAL[1], USUAL[0], *USUAL[2:]]),
        (f"reorder {FLOW} datagram=4", [*USUAL[:3], (b"four", 0.1)]),  # nobody overtakes it
        (f"delay {FLOW} datagram=1 seconds=0.5", [*USUAL[1:], (b"one", 0.5)]),
        ("drop *->*:*/log.sock datagram=1", USUAL[1:]),
        ("drop *->*:* datagram=1", USUAL[1:]),
    ],
)
@pytest.mark.parametrize("connected", [False, True], ids=["to-a-name", "connected"])
def test_a_unix_datagram_is_what_the_plan_makes_of_it(line: str, got: Any, connected: bool) -> None:
    def test(net: simnet.Network) -> Any:
        listener = net.host("server").spawn(listen)
        net.host("server").run(say, connected=connected)
        listener.join()
        return listener.result

    assert told(line, test) == got


def test_an_abstract_name_is_named_as_places_spell_it() -> None:
    def test(net: simnet.Network) -> Any:
        listener = net.host("server").spawn(listen, "\0log")
        net.host("server").run(say, "\0log")
        listener.join()
        return listener.result

    assert told("drop server->server:@log datagram=1", test) == USUAL[1:]


def test_answers_to_a_client_with_a_name_are_a_flow_too() -> None:
    def answer() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(PATH)
            while True:
                data, who = sock.recvfrom(100)
                sock.sendto(data.upper(), who)

    def ask() -> list[bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind("/run/client.sock")
            sock.settimeout(1)
            answers = []
            for word in WORDS[:2]:
                sock.sendto(word, PATH)
                try:
                    answers.append(sock.recv(100))
                except TimeoutError:
                    answers.append(b"")
            return answers

    def test(net: simnet.Network) -> Any:
        net.host("server").spawn(answer)
        return net.host("server").run(ask)

    assert told("drop server->server:/run/client.sock datagram=1", test) == [b"", b"TWO"]


def test_who_is_refused_is_refused_as_ever_and_not_counted() -> None:
    def test(net: simnet.Network) -> Any:
        with net.host("server").socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, pytest.raises(FileNotFoundError):
            sock.sendto(b"too early", PATH)
        return log(net)

    assert told(f"drop {FLOW} datagram=1", test) == USUAL[1:]


def test_what_was_lost_takes_no_room_and_wakes_nobody() -> None:
    def test(net: simnet.Network) -> None:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
            select.epoll() as epoll,
        ):
            one.bind("/run/one")
            other.connect("/run/one")
            epoll.register(one, select.EPOLLIN | select.EPOLLET)
            other.send(b"lost")
            assert epoll.poll(0) == []
            other.send(b"came")
            assert epoll.poll(0) == [(one.fileno(), select.EPOLLIN)]
            assert one.recv(100) == b"came"

    told("drop test->test:/run/one datagram=1", test)


@pytest.mark.parametrize("fault", ["drop", "duplicate", "delay"])
def test_a_descriptor_that_travels_along_is_closed_if_nobody_gets_it(fault: str) -> None:
    more = {"delay": " seconds=5"}.get(fault, "")

    def test(net: simnet.Network) -> Any:
        got = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.bind("/run/one")
            one.setblocking(False)
            mine, theirs = socket.socketpair()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, theirs:
                files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
                other.sendmsg([b"here"], files, 0, "/run/one")
            net.run(1)
            for _ in range(3):
                try:
                    got.append(socket.recv_fds(one, 100, 1)[1])
                except BlockingIOError:
                    break
            for each in got:
                os.close(each[0])
        net.run(9)  # one that comes late finds nobody
        with mine:
            assert mine.recv(1) == b""
        return len(got)

    assert told(f"{fault} test->test:/run/one datagram=1{more}", test) == {"drop": 0, "duplicate": 2, "delay": 0}[fault]


def test_a_plan_that_has_no_such_datagram_is_told_what_there_was() -> None:
    for line, nearest in (
        (f"drop {FLOW} datagram=9", f"{FLOW} carried 4 datagrams"),
        ("drop server->server:/run/other datagram=1", f"datagrams went {FLOW}"),
    ):
        run = simnet.play(log, line)
        assert unreached_texts(run.unreached, run.points, run.targets) == [f"{line} was never reached: {nearest}"]


def test_a_sweep_delays_each_and_what_no_kernel_does_it_does_where_it_is_asked_to() -> None:
    def variants(**options: Any) -> dict[str, int]:
        result = simnet.check(log, target="server", **options)
        return {row.kind: row.variants for row in result.kinds if row.kind in DATAGRAM_KINDS and row.variants}

    assert variants() == {"delay": 12}
    assert variants(kinds=DATAGRAM_KINDS) == {"drop": 4, "duplicate": 4, "reorder": 3, "delay": 12}


def test_dice_delay_unix_datagrams_and_do_nothing_else_to_them() -> None:
    kinds = set()
    for seed in range(12):
        run = simnet.play(log, rates=FaultRates.even(0.3, DATAGRAM_KINDS, seed=seed))
        kinds |= {fault.kind for fault in run.happened}
        assert simnet.play(log, run.happened).digest == run.digest
    assert kinds == {"delay"}


def test_a_ladder_tells_what_became_of_it() -> None:
    run = simnet.play(log, f"drop {FLOW} datagram=2")
    told = ladder(run.trace, against=simnet.play(log).trace).splitlines()
    (number,) = (number for number, line in enumerate(told) if "\u26a1" in line)
    assert "send b'two'" in told[number]
    assert told[number].rstrip().endswith("\u26a1 lost")
    assert "equal to the baseline up to here" in told[number - 1]


def test_the_flow_of_a_pair_has_no_name() -> None:
    with pytest.raises(FaultError, match="the two ends of a pair are"):
        simnet.FaultPlan.parse("drop server->server:socketpair datagram=1")
    with pytest.raises(ValueError, match="connect within a host"):
        Place.parse("client->server:/run/log.sock")

    def test(net: simnet.Network) -> Any:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with one, other:
            one.send(b"hello")
            return other.recv(100)

    run = simnet.play(test, "drop *->*:* datagram=1")
    assert (run.outcome.returned, len(run.unreached)) == (b"hello", 1)


def test_unrecorded_runs_meet_the_same() -> None:
    with simnet.Network(f"drop {FLOW} datagram=2", trace=False) as net:
        assert log(net) == [USUAL[0], *USUAL[2:]]


def test_a_name_in_a_temporary_folder_is_kept_with_a_star() -> None:
    path = f"{tempfile.gettempdir()}/some/log.sock"

    def test(net: simnet.Network) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.bind(path)
            one.sendto(b"hello", path)

    folder = Path(path).parent
    folder.mkdir(exist_ok=True)
    try:
        points = simnet.play(test).points
    finally:
        folder.rmdir()
    plan = simnet.FaultPlan.parse(f"drop test->test:{path} datagram=1")
    assert str(movable(plan, points)) == "drop test->test:*/log.sock datagram=1"
