"""The same mistakes are found in servers that listen on a Unix path, by the faults that a Unix socket can meet."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.run import play
from tests.quality import servers
from tests.quality.found import line_of, only

pytestmark = pytest.mark.slow  # each is a few sweeps

PATH = "/run/echo.sock"
CONNECTION = f"server->server:{PATH}#1"
MEETS = {
    *("short-recv", "partial-send", "would-block", "wake", "split", "coalesce", "stall"),
    *("urgent", "eof", "reset", "refuse", "reset-before-accept", "error"),
}  # fmt: skip


def ask(question: bytes) -> bytes:
    """What a client on the same host is answered; it is a target too, so it reads until there is no more."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(PATH)
        sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(4096), b""))


def echo(server: type[servers.Careful], reply: bytes = b"ping\n") -> Callable[[Any], None]:
    def test(net: Any) -> None:
        host = net.host("server")
        host.spawn(server().serve, PATH)
        assert host.run(ask, b"ping\n") == reply

    return test


def sweep(test: Callable[[Any], None]) -> SweepResult:
    return run_sweep(test, SweepOptions.of(target="server"))


def test_a_careful_server_passes_every_single_fault() -> None:
    result = sweep(echo(servers.Careful))
    assert result.ok, [report.text() for report in result.reports()]
    assert result.unreached == 0
    assert {row.kind for row in result.kinds if row.runs} <= MEETS
    assert result.equal > 40
    assert result.interrupted > 20
    assert not result.warnings


def test_the_unsent_half_that_was_lost_is_found_and_shrunk_to_one_byte() -> None:
    failure = only(sweep(echo(servers.SendsAll)))
    assert (failure.reason, failure.type_name) == ("body-raised", "AssertionError")
    assert str(failure.plan) == f"partial-send {CONNECTION} end=server call=1 bytes=1"
    again = play(echo(servers.SendsAll), failure.plan, target="server")
    assert again.digest == failure.run.digest


@pytest.mark.parametrize(
    ("server", "reason", "at"),
    [
        (servers.TrustsReadiness, "target-raised", line_of(servers, "TRUSTS-READINESS")),
        (servers.GivesUpListening, "listener-survives", line_of(servers, "GIVES-UP-LISTENING")),
        (servers.ResetIsFatal, "loop-survives", line_of(servers, "RESET-IS-FATAL")),
        (servers.ForgetsToClose, "nothing-left", ""),
        (servers.EofIsNews, "no-spin", ""),
    ],
)
def test_a_mistake_is_found_where_it_is(server: type[servers.Careful], reason: str, at: str) -> None:
    found = {failure.reason: failure for failure in sweep(echo(server)).failures}
    assert found[reason].at == at or not at


def test_a_parser_that_takes_a_read_for_a_line_is_found() -> None:
    failure = only(sweep(echo(servers.OneReadIsOneLine, reply=b"pong\n")))
    assert failure.reason == "body-raised"
    assert set(failure.kinds) >= {"short-recv", "split"}


def test_a_server_on_an_abstract_name_is_swept_too() -> None:
    def test(net: Any) -> None:
        def ask() -> bytes:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect("\0echo")
                sock.sendall(b"ping\n")
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(4096), b""))

        host = net.host("server")
        host.spawn(servers.SendsAll().serve, "\0echo")
        assert host.run(ask) == b"ping\n"

    assert str(only(sweep(test)).plan) == "partial-send server->server:@echo#1 end=server call=1 bytes=1"


def test_who_takes_one_read_of_a_pair_for_a_message_is_found() -> None:
    def relay() -> bytes:
        near, far = socket.socketpair()
        with near, far:
            near.sendall(b"ping\n")
            return far.recv(100)

    def test(net: Any) -> None:
        assert net.host("server").run(relay) == b"ping\n"

    failure = only(sweep(test))
    assert str(failure.plan) == "short-recv server->server:socketpair#1 end=server call=1 bytes=1"
    assert set(failure.kinds) == {"short-recv", "split", "stall"}
