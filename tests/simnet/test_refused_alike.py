"""Who asks the next server when one refuses, and ends when one cannot be reached or does not answer, is warned of."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow

HOSTS = ("one", "two", "three")


def tell(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            try:
                with listener.accept()[0] as connection:
                    connection.sendall(b"master\n")
            except OSError:
                continue


def first_that_answers(*, caught: type[OSError]) -> bytes:
    for host in HOSTS:
        try:
            with socket.create_connection((host, 7), timeout=2) as sock, sock.makefile("rb") as lines:
                if line := lines.readline():
                    return line
        except caught:
            continue
    raise LookupError("nobody answers")


async def within_a_time_of_all() -> bytes:
    """It waits two seconds for all of them together: who does not answer takes the time of the others, and that is right."""
    async with asyncio.timeout(2):
        for host in HOSTS:
            try:
                reader, writer = await asyncio.open_connection(host, 7)
            except OSError:
                continue
            try:
                return await reader.readline()
            finally:
                writer.close()
    raise LookupError("nobody answers")


def sweep(ask: Any, **options: Any) -> SweepResult:
    def test(net: Any) -> bytes:
        for host in HOSTS:
            net.host(host).spawn(tell, 7)
        answer: bytes = net.host("client").run(ask)
        return answer

    return run_sweep(test, SweepOptions.of(target="client", **options))


@pytest.mark.parametrize(("caught", "times"), [(ConnectionRefusedError, 2), (ConnectionError, 2), (OSError, 0)])
def test_who_catches_only_a_refusal_is_warned_of(caught: type[OSError], times: int) -> None:
    """Where a server cannot be reached, and where it does not answer: at one line, and so in one warning."""
    result = sweep(lambda: first_that_answers(caught=caught))
    assert result.ok
    told = [each for each in result.warnings if each.name == "refused-alike"]
    assert [each.count for each in told] == ([times] if times else [])
    for each in told:
        assert "goes on when client->one:7#1 is refused, and ends with OSError: [Errno 113] No route" in each.text


def test_who_tries_the_same_server_again_may_have_waited_long_enough_for_it() -> None:
    """Only a host that is unreachable ends it at once."""

    def ask() -> bytes:
        while True:
            try:
                with socket.create_connection(("one", 7), timeout=2) as sock, sock.makefile("rb") as lines:
                    if line := lines.readline():
                        return line
            except ConnectionError:
                time.sleep(1)

    (warned,) = [each for each in sweep(ask).warnings if each.name == "refused-alike"]
    assert "when the host is unreachable" in warned.text
    assert warned.count == 1


def test_a_test_may_make_a_failure_of_it_or_turn_it_off() -> None:
    def ask() -> bytes:
        return first_that_answers(caught=ConnectionError)

    failed = sweep(ask, invariants={"refused-alike": "failure"}, shrink=False)
    assert {each.reason for each in failed.failures} == {"refused-alike"}
    assert not sweep(ask, invariants={"refused-alike": "off: the first one alone counts"}).warnings


def test_who_ends_by_a_time_of_its_own_is_not() -> None:
    result = sweep(lambda: asyncio.run(within_a_time_of_all()))
    assert result.ok
    assert "refused-alike" not in {each.name for each in result.warnings}


def test_nor_is_who_helps_the_test_and_dies_of_it() -> None:
    """A friend waits a second for the answer, and who cannot be reached takes two."""

    def waits_for_the_answer() -> None:
        with socket.create_server(("", 9)) as listener:
            listener.settimeout(1)
            listener.accept()[0].close()

    def tells_its_friend() -> bytes:
        line = first_that_answers(caught=OSError)
        with contextlib.suppress(OSError):
            socket.create_connection(("friend", 9)).close()
        return line

    def test(net: Any) -> bytes:
        for host in HOSTS:
            net.host(host).spawn(tell, 7)
        net.host("friend").spawn(waits_for_the_answer)
        answer: bytes = net.host("client").run(tells_its_friend)
        return answer

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["refuse", "connect-timeout", "unreachable"]))
    assert result.interrupted
    assert [each.name for each in result.warnings] == []
