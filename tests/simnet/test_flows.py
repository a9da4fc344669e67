"""What a plan does to datagrams: lost, repeated, late, overtaken; each counted in its flow, swept, fuzzed, told."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, cast

import pytest

import simnet
from simnet.explore.nearest import unreached_texts
from simnet.explore.options import SweepOptions
from simnet.explore.report.ladder import ladder
from simnet.explore.sweep import run_sweep
from simnet.faults.rates import FaultRates

WORDS = (b"one", b"two", b"three", b"four")
DATAGRAM_KINDS = ("drop", "duplicate", "reorder", "delay")


def serve(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        while True:
            data, address = sock.recvfrom(100)
            with contextlib.suppress(OSError):
                sock.sendto(data.upper(), address)


def heard(connected: bool = False) -> list[tuple[bytes, float]]:
    """What comes back of the words, sent at once, within 3 s each; and when."""
    got: list[tuple[bytes, float]] = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        if connected:
            sock.connect(("server", 53))
        for word in WORDS:
            if connected:
                sock.send(word)
            else:
                sock.sendto(word, ("server", 53))
        try:
            while True:
                got.append((sock.recv(100).lower(), round(time.monotonic(), 3)))
        except TimeoutError:
            return got


def talk(net: simnet.Network) -> Any:
    net.host("server").spawn(serve, 53)
    return net.host("client").run(heard)


def told(line: str, test: Any = talk) -> list[tuple[bytes, float]]:
    run = simnet.play(test, line)
    assert (run.unreached, run.verdicts, run.failures) == ((), [], [])
    again = simnet.play(test, run.happened)
    assert again.digest == run.digest
    returned: list[tuple[bytes, float]] = run.outcome.returned
    return returned


USUAL = [(word, 0.002) for word in WORDS]


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("drop client->server:53 datagram=2", [USUAL[0], *USUAL[2:]]),
        ("drop server->client:* datagram=4", USUAL[:3]),
        ("drop *->*:* datagram=1", USUAL[2:]),  # of the three that are left the first answer is lost
        ("duplicate client->server:53 datagram=1 copies=2", [USUAL[0]] * 3 + USUAL[1:]),
        ("reorder client->server:53 datagram=1", [USUAL[1], USUAL[0], *USUAL[2:]]),
        ("reorder server->client:* datagram=1 by=3", [*USUAL[1:], USUAL[0]]),
        ("reorder client->server:53 datagram=4", [*USUAL[:3], (b"four", 0.102)]),  # nobody overtakes it
        (
            "reorder client->server:53 datagram=1; reorder client->server:53 datagram=2",
            [USUAL[2], USUAL[0], USUAL[1], USUAL[3]],
        ),
        ("delay client->server:53 datagram=1 seconds=0.5", [*USUAL[1:], (b"one", 0.502)]),
    ],
)
def test_a_datagram_is_what_the_plan_makes_of_it(line: str, got: list[tuple[bytes, float]]) -> None:
    assert told(line) == got


def test_on_one_host_and_on_a_lossy_link_it_is_the_same() -> None:
    def within(net: simnet.Network) -> Any:
        net.host("server").spawn(serve, 53)
        return net.host("server").run(heard, True)

    usual = [(word, 0.0) for word in WORDS]
    assert told("drop server->server:53 datagram=1", within) == usual[1:]
    assert told("delay server->server:53 datagram=1 seconds=1", within) == [*usual[1:], (b"one", 1.0)]
    assert told("reorder server->server:53 datagram=1", within) == [usual[1], usual[0], *usual[2:]]

    def jittery(net: simnet.Network) -> Any:
        net.link("client", "server").jitter = 0.001
        return talk(net)

    assert [word for word, _ in told("drop client->server:53 datagram=1", jittery)] == list(WORDS[1:])


def test_one_that_has_no_such_datagram_is_told_what_there_was() -> None:
    for line, nearest in (
        ("drop client->server:53 datagram=9", "client->server:53 carried 4 datagrams"),
        ("drop client->server:54 datagram=1", "datagrams went client->server:53, server->client:*"),
    ):
        run = simnet.play(talk, line)
        assert unreached_texts(run.unreached, run.points, run.targets) == [f"{line} was never reached: {nearest}"]


@pytest.mark.slow
def test_a_sweep_tries_each_at_each_and_finds_who_takes_the_first_answer_for_the_right_one() -> None:
    def ask() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            for word in WORDS[:2]:
                sock.sendto(word, ("server", 53))
                if sock.recv(100) != word.upper():
                    raise ValueError(word)

    def body(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 53)
        net.host("client").run(ask)

    with pytest.raises(ValueError, match="two") as failed:
        simnet.check(body, target="client")
    report = "".join(failed.value.__notes__)
    assert "the 1st datagram client->server:53 arrived 2 times" in report
    assert "send b'one' \u26a1 comes 2 times" in " ".join(report.split())
    result = simnet.check(talk, target="server")
    assert {row.kind: row.variants for row in result.kinds if row.variants} == {
        "drop": 8, "duplicate": 8, "reorder": 6, "delay": 16, "error": 4 + 3
    }  # fmt: skip


def questions(match: bool) -> list[bytes]:
    """Two questions and their answers; *match* says whether it looks which answer is to which."""
    answers = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        for question in (b"one", b"two"):
            for _ in range(3):
                sock.sendto(question, ("server", 53))
                try:
                    while (answer := sock.recv(100)) != question and match:
                        pass
                except TimeoutError:
                    continue
                answers.append(answer)
                break
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("match", [False, True])
def test_a_plain_sweep_warns_of_another_outcome_under_what_loses_nothing(match: bool) -> None:
    def by_a_client(net: Any) -> None:
        net.host("server").spawn(echo, 53)
        assert net.host("client").run(questions, match) == [b"one", b"two"]

    def by_itself(net: Any) -> list[bytes]:
        net.host("server").spawn(echo, 53)
        return questions(match)

    result = simnet.check(by_a_client, target="client")
    told = [(each.name, str(each.plan)) for each in result.warnings]
    assert told == ([] if match else [("datagrams-told-apart", "duplicate client->server:53 datagram=1")])
    assert match or "survives=['duplicate'] makes a failure of that" in result.warnings[0].text
    assert not simnet.check(by_itself, target="server").warnings, "a test may be as simple as it likes"


def test_that_warning_is_turned_off_or_made_a_failure_by_its_name() -> None:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(echo, 53)
        return cast(list[bytes], net.host("client").run(questions, False))

    def sweep(level: str) -> Any:
        return run_sweep(test, SweepOptions.of(target="client", invariants={"datagrams-told-apart": level}))

    assert not sweep("off: each answer will do").warnings
    (failure,) = sweep("failure").failures
    assert failure.reason == "datagrams-told-apart"
    assert failure.finding.message.endswith("taken for the answer to the next?")


@pytest.mark.parametrize("unix", [False, True], ids=["udp", "unix"])
def test_who_only_collects_is_not_asked_about_a_second_answer(unix: bool) -> None:
    where = ("/run/log.sock", "/run/log.sock") if unix else (("", 514), ("logs", 514))
    family = socket.AF_UNIX if unix else socket.AF_INET

    def collect() -> list[bytes]:
        lines: list[bytes] = []
        with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(TimeoutError):
            sock.bind(where[0])
            sock.settimeout(1)
            while True:
                lines.append(sock.recv(100))
        return lines

    def write() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            for number in range(3):
                sock.sendto(b"line %d" % number, where[1])

    def test(net: Any) -> Any:
        collector = net.host("logs").spawn(collect)
        net.host("logs" if unix else "app").spawn(write)
        collector.join()
        return collector.result

    result = run_sweep(test, SweepOptions.of(target="logs", kinds=["duplicate"]))
    (warned,) = result.warnings
    assert "taken for something new?" in warned.text
    assert "answer" not in warned.text


def test_what_is_lost_or_late_may_be_another_outcome() -> None:
    def ask() -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.sendto(b"one", ("server", 53))
            try:
                return sock.recv(100)
            except TimeoutError:
                return b""

    def test(net: Any) -> bytes:
        net.host("server").spawn(echo, 53)
        answer: bytes = net.host("client").run(ask)
        return answer

    result = simnet.check(test, target="client", kinds=["drop"])
    assert (result.runs, result.warnings) == (2, [])


def echo(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        while True:
            question, address = sock.recvfrom(100)
            with contextlib.suppress(OSError):
                sock.sendto(question, address)


def test_dice_are_thrown_for_datagrams_and_the_plan_that_happened_plays_again() -> None:
    kinds = set()
    for seed in range(12):
        run = simnet.play(talk, rates=FaultRates.even(0.3, DATAGRAM_KINDS, seed=seed))
        kinds |= {fault.kind for fault in run.happened}
        assert simnet.play(talk, run.happened).digest == run.digest
    assert kinds == {*DATAGRAM_KINDS}


def test_the_ladder_says_what_befell_it() -> None:
    line = "drop {0} datagram=1; delay {0} datagram=2 seconds=0.5; reorder {0} datagram=3".format("client->server:53")
    lines = ladder(simnet.play(talk, line).trace, whole=True)
    for word in ("lost", "0.5 s late", "overtaken"):
        assert f"\u26a1 {word}" in lines


@pytest.mark.parametrize("to", ["224.0.0.9", "255.255.255.255"])
def test_what_is_said_to_many_is_one_of_the_flow_to_each_who_hears_it(to: str) -> None:
    def hear() -> list[bytes]:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 5000))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.9") + bytes(4))
            sock.settimeout(3)
            said = []
            try:
                while True:
                    said.append(sock.recv(100))
            except TimeoutError:
                return said

    def say() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for word in WORDS:
                sock.sendto(word, (to, 5000))

    def everybody(net: simnet.Network) -> list[list[bytes]]:
        hearers = [net.host(name).spawn(hear) for name in ("one", "other")]
        net.host("speaker").spawn(say)
        for each in hearers:
            each.join()
        return [each.result for each in hearers]

    whole = list(WORDS)
    assert told("drop speaker->one:5000 datagram=2", everybody) == [[b"one", b"three", b"four"], whole]
    assert told("duplicate speaker->other:5000 datagram=4", everybody) == [whole, [*whole, b"four"]]
    assert told("reorder speaker->other:5000 datagram=1", everybody) == [whole, [b"two", b"one", b"three", b"four"]]
    result = run_sweep(everybody, SweepOptions.of(target="other", kinds=DATAGRAM_KINDS))
    assert (result.runs, result.failed) == (4 + 4 + 3 + 4 * 3, 0)
