"""Where many runs of a sweep read the end of their input for ever, or storm, each but the first few is stopped soon: they tell nothing new."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest

import simnet.explore.fuzz
import simnet.explore.in_full
import simnet.run
from simnet.explore.fuzz import run_fuzz
from simnet.explore.in_full import HANGS_IN_FULL
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.run import CALLS_MAX_HURRIED
from simnet.scheduling import storms
from simnet.wait import CALLS_MAX

SEEDS = 180  # of which a dozen hang


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def head(sock: socket.socket) -> int:
    data = b""
    while len(data) < 2:
        data += sock.recv(2 - len(data))
    return int(data)


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            try:
                with listener.accept()[0] as connection:
                    connection.sendall(exactly(connection, head(connection)))
            except OSError:
                continue


def test(net: Any) -> bytes:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"08abcdefgh")
        return sock.makefile("rb").read()


test.__test__ = False  # type: ignore[attr-defined]  # swept, not collected


def calls_of(result: SweepResult) -> list[int]:
    return [sum(event.op == "recv" for event in failure.run.trace) for failure in result.failures]


@pytest.mark.slow
def test_each_hang_has_been_seen_in_full_and_those_like_it_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SweepOptions.of(target="server", kinds="eof", shrink=False)
    result = run_sweep(test, options)
    assert [(each.reason, each.count) for each in result.failures] == [("Hang", 2), ("Hang", 8)]
    assert min(calls_of(result)) > CALLS_MAX > CALLS_MAX_HURRIED
    monkeypatch.setattr(simnet.run, "CALLS_MAX_HURRIED", CALLS_MAX)  # nobody is in a hurry
    patient = run_sweep(test, options)
    assert [(each.key, each.count, each.plan) for each in patient.failures] == [
        (each.key, each.count, each.plan) for each in result.failures
    ]
    assert [each.run.digest for each in patient.failures] == [each.run.digest for each in result.failures]


@pytest.mark.slow
def test_who_only_looks_as_if_it_hung_is_played_in_full() -> None:
    """It makes more calls for nothing than are waited for of those that hang, and then goes on."""

    def patiently(sock: socket.socket, size: int) -> bytes:
        data, tries = b"", 0
        while len(data) < size and tries < 2 * CALLS_MAX_HURRIED:
            data += sock.recv(size - len(data))
            tries += 1
        return data

    def serve_patiently(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            connection.sendall(exactly(connection, 5) + patiently(connection, 3))

    def body(net: Any) -> bytes:
        net.host("server").spawn(serve_patiently, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"abcdefgh")
            return sock.makefile("rb").read()

    result = run_sweep(body, SweepOptions.of(target="server", kinds="eof", shrink=False))
    (failure,) = result.failures
    assert (failure.reason, failure.count) == ("Hang", 5)


@pytest.mark.slow
def test_so_it_is_in_a_fuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[tuple[bool, bool]] = []  # whether somebody hung, and in full
    play = simnet.run.play

    def counted(*args: Any, **options: Any) -> Any:
        run = play(*args, **options)
        played.append((any(each.name == "Hang" for each in run.verdicts), len(run.trace) > CALLS_MAX))
        return run

    monkeypatch.setattr(simnet.explore.shrink, "play", counted)
    options = SweepOptions.of("fuzz", target="server", kinds="eof", shrink=False)
    result = run_fuzz(test, options, seeds=range(SEEDS))
    assert {each.reason for each in result.failures} == {"Hang"}
    hung = [in_full for hangs, in_full in played if hangs]
    assert sum(each.count for each in result.failures) == result.failed
    assert sum(hung) < len(hung)
    assert hung[:HANGS_IN_FULL] == [True] * HANGS_IN_FULL
    monkeypatch.setattr(simnet.run, "CALLS_MAX_HURRIED", CALLS_MAX)
    patient = run_fuzz(test, options, seeds=range(SEEDS))
    assert [(each.key, each.count, each.plan) for each in patient.failures] == [
        (each.key, each.count, each.plan) for each in result.failures
    ]


@pytest.mark.slow
def test_the_first_few_are_played_in_full_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    judged = simnet.explore.in_full.judged

    def counted(*args: Any, **options: Any) -> Any:
        run, judgement = judged(*args, **options)
        if judgement.key is not None:
            lengths.append(len(run.trace))
        return run, judgement

    monkeypatch.setattr(simnet.explore.in_full, "judged", counted)
    run_sweep(test, SweepOptions.of(target="server", kinds="eof", shrink=False))
    in_full = [length > CALLS_MAX for length in lengths]
    assert in_full == [True] * (2 + HANGS_IN_FULL) + [False] * (8 - HANGS_IN_FULL)


@pytest.mark.slow
def test_one_that_shows_it_better_than_the_first_few_is_played_in_full_as_well() -> None:
    """Three errors show it first; then a segment that ends early does, which every program has to live with."""

    def serve_whole_reads(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            try:
                data = connection.recv(8)
            except OSError:
                data = b""
            if len(data) < 8:
                ended, other = socket.socketpair()
                other.close()
                while True:
                    ended.recv(8)
            connection.sendall(data)

    def body(net: Any) -> bytes:
        net.host("server").spawn(serve_whole_reads, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"abcdefgh")
            return sock.makefile("rb").read()

    result = run_sweep(body, SweepOptions.of(target="server", kinds=["error", "split"], shrink=False))
    (failure,) = [each for each in result.failures if each.reason == "Hang"]
    assert failure.kinds == {"error": HANGS_IN_FULL, "split": 7}
    assert [fault.kind for fault in failure.plan] == ["split"]
    assert calls_of(result)[0] > CALLS_MAX


def hangs_up_the_second_time(port: int) -> None:
    """It answers on one connection; after that whoever comes is hung up on at once, as by a balancer without servers."""
    with socket.create_server(("", port)) as listener:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            while data := connection.recv(100):
                connection.sendall(data.upper())
        while True:
            listener.accept()[0].close()


def comes_back_at_once(tries: int = 1_000_000) -> bytes:
    """The client: a connection is a success to it, so that it comes back without a pause."""
    for _ in range(tries):
        with contextlib.suppress(OSError), socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"a")
            if answer := sock.recv(1):
                sock.sendall(b"b")
                return answer + sock.recv(1)
    return b"gave up"


def storm(net: Any) -> bytes:
    net.host("server").spawn(hangs_up_the_second_time, 7)
    return bytes(net.host("client").run(comes_back_at_once))


def seen(result: SweepResult) -> list[Any]:
    return [(each.key, each.count, each.plan) for each in result.failures]


@pytest.mark.slow
@pytest.mark.parametrize("fuzz", [False, True], ids=["sweep", "fuzz"])
def test_who_storms_like_many_others_is_stopped_sooner(monkeypatch: pytest.MonkeyPatch, fuzz: bool) -> None:
    lengths: list[int] = []
    play = simnet.run.play

    def counted(*args: Any, **options: Any) -> Any:
        run = play(*args, **options)
        if any(each.name == "no-spin" for each in run.verdicts):
            lengths.append(len(run.trace))
        return run

    def explored() -> tuple[SweepResult, list[int]]:
        lengths.clear()
        options = {"target": "client", "kinds": ["reset", "eof"], "shrink": False}
        if fuzz:
            result = run_fuzz(storm, SweepOptions.of("fuzz", **options), seeds=range(8))
        else:
            result = run_sweep(storm, SweepOptions.of(**options))
        return result, lengths[:]

    monkeypatch.setattr(simnet.explore.shrink, "play", counted)
    result, hurried = explored()
    assert {each.reason for each in result.failures} == {"no-spin"}
    assert [length > storms.ENTRIES_A_LOOK for length in hurried[: HANGS_IN_FULL + 1]] == [True] * HANGS_IN_FULL + [
        False
    ]
    assert min(hurried[:HANGS_IN_FULL]) > storms.ENTRIES_A_LOOK > 2 * min(hurried)
    monkeypatch.setattr("simnet.run.hurry", lambda scheduler: None)
    patient, in_full = explored()
    assert seen(patient) == seen(result)
    assert [each.run.digest for each in patient.failures] == [each.run.digest for each in result.failures]
    assert len(in_full) == len(hurried)
    assert sum(in_full) > sum(hurried)


@pytest.mark.slow
def test_who_storms_at_another_line_than_many_others_is_played_in_full() -> None:
    """Three errors of one call lead to a storm at one line, an end of the input to one at another."""

    def client() -> bytes:
        try:
            with socket.create_connection(("server", 7), timeout=5) as sock:
                sock.sendall(b"a")
                if answer := sock.recv(1):
                    return answer
        except OSError:
            return comes_back_at_once()
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("server", 7), timeout=5) as sock:
                sock.recv(1)

    def test(net: Any) -> bytes:
        net.host("server").spawn(hangs_up_the_second_time, 7)
        return bytes(net.host("client").run(client))

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["error", "eof"], shrink=False))
    assert [each.reason for each in result.failures] == ["no-spin"] * 2
    assert all(len(each.run.trace) > storms.ENTRIES_A_LOOK for each in result.failures)
