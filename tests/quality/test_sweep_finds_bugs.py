"""The tool really finds the bug, makes it small and says where it is: servers with one known mistake each."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import servers
from tests.quality.found import line_of, only

pytestmark = pytest.mark.slow  # each is a few sweeps

SERVER = SweepOptions.of(target="server")


def everything(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(4096), b""))


def echo(server: type[servers.Careful], payload: bytes = b"ping\n", reply: bytes = b"ping\n") -> Callable[[Any], None]:
    """A test of *server*: what a client sends comes back, and then the end."""

    def test(net: Any) -> None:
        net.host("server").spawn(server().serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(payload)
            sock.shutdown(socket.SHUT_WR)
            assert everything(sock) == reply

    return test


def sweep(test: Callable[[Any], None], **options: Any) -> SweepResult:
    result = run_sweep(test, SERVER.but(**options))
    assert result.runs == sum(row.runs for row in result.kinds)
    assert result.runs == result.equal + result.noted + result.interrupted + result.failed + result.unreached
    return result


def test_a_careful_server_passes_every_single_fault() -> None:
    result = sweep(echo(servers.Careful))
    assert result.ok, [report.text() for report in result.reports()]
    assert result.unreached == 0
    assert result.equal > 40
    assert result.interrupted > 20
    assert result.runs > 80
    assert not result.warnings


def test_readiness_that_was_a_promise_is_found_at_the_line_that_trusted_it() -> None:
    result = sweep(echo(servers.TrustsReadiness))
    by_reason = {failure.reason: failure for failure in result.failures}
    trusting = by_reason["target-raised"]
    assert (trusting.type_name, trusting.at) == ("BlockingIOError", line_of(servers, "TRUSTS-READINESS"))
    assert str(trusting.plan) == "would-block server:7 accept call=1"
    # The errnos that accept has besides end the loop, at the same line.
    assert (by_reason["loop-survives"].type_name, by_reason["loop-survives"].at) == (
        "OSError",
        line_of(servers, "TRUSTS-READINESS"),
    )
    assert len(result.failures) == 2


def test_a_listener_that_was_given_up_is_found() -> None:
    failure = only(sweep(echo(servers.GivesUpListening)))
    assert failure.reason == "listener-survives"
    assert set(failure.kinds) == {"error"}
    assert failure.count == 5  # each errno of accept
    assert failure.at == line_of(servers, "GIVES-UP-LISTENING")  # where it was closed


def test_a_tail_that_was_lost_is_found_and_shrunk_to_one_byte() -> None:
    failure = only(sweep(echo(servers.SendsAll)))
    assert failure.reason == "body-raised"
    assert failure.type_name == "AssertionError"
    assert str(failure.plan) == "partial-send test->server:7#1 end=server call=1 bytes=1"


def test_a_beginning_that_is_sent_twice_is_found() -> None:
    result = sweep(echo(servers.SendsAllOrNothing))
    failure = only(result)
    assert failure.reason == "body-raised"
    assert str(failure.plan) == "partial-send test->server:7#1 end=server call=1 bytes=1"
    assert "in hand_over: sock.sendall(self.unsent[sock])" in next(iter(result.reports())).text()


def test_a_parser_that_takes_a_read_for_a_line_is_found() -> None:
    failure = only(sweep(echo(servers.OneReadIsOneLine, reply=b"pong\n")))
    assert failure.reason == "body-raised"
    assert set(failure.kinds) <= {"short-recv", "split", "stall"}
    assert set(failure.kinds) >= {"short-recv", "split"}


def test_a_reset_that_kills_the_loop_is_found_though_its_errno_is_excused() -> None:
    failure = only(sweep(echo(servers.ResetIsFatal)))
    assert (failure.reason, failure.at) == ("loop-survives", line_of(servers, "RESET-IS-FATAL"))
    assert isinstance(failure.error, OSError)
    assert set(failure.kinds) <= {"reset", "error", "reset-before-accept", "strangers"}


def test_a_descriptor_that_nobody_closes_is_found() -> None:
    failure = only(sweep(echo(servers.ForgetsToClose)))
    assert failure.reason == "nothing-left"


def test_a_loop_that_spins_at_an_end_in_the_middle_of_a_line_is_found() -> None:
    result = sweep(echo(servers.EofIsNews))
    failure = only(result)
    assert failure.reason == "no-spin"
    assert "eof" in failure.kinds
    text = next(iter(result.reports())).text(width=80)
    assert " ".join(text.replace("E     ", "").split()).find("Read it, close it, or stop asking for it.") > 0
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith("E "))


@pytest.mark.parametrize("server", [servers.TrustsReadiness, servers.SendsAll, servers.ResetIsFatal])
def test_what_was_found_is_found_again_and_its_plan_plays_alone(server: type[servers.Careful]) -> None:
    from simnet.run import play

    test = echo(server)
    first, second = sweep(test), sweep(test)
    assert [(each.key, each.plan, each.count) for each in first.failures] == [
        (each.key, each.plan, each.count) for each in second.failures
    ]
    for failure in first.failures:
        again = play(test, failure.plan, target="server")
        assert again.digest == failure.run.digest
        assert not again.unreached


def test_reports_of_real_failures_fit_a_page_with_and_without_unicode() -> None:
    result = sweep(echo(servers.TrustsReadiness))
    for told in result.reports("tests/test_echo.py::test_echo"):
        for width in (80, 110):
            for unicode in (True, False):
                text = told.text(width=width, unicode=unicode)
                shown = [line for line in text.splitlines() if not line.startswith(("run it", "keep it", ">", "E"))]
                assert max(map(len, shown)) <= width
                assert unicode or text.isascii()
                assert "equal to the baseline up to here" in text
