"""Old mistakes of real servers that speak TLS: a sweep finds each, by a single fault or by none, and says where it is."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.kinds import drawn
from simnet.faults.plan import FaultPlan
from simnet.realnet import play_real
from simnet.run import play
from tests.certificates import contexts
from tests.quality import museum, museum_tls
from tests.quality.found import line_of
from tests.quality.museum_tls import Vault

pytestmark = pytest.mark.slow  # each is a few sweeps

INSIDE, OUTSIDE = contexts("server")
for context in (INSIDE, OUTSIDE):
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which Python set by itself, up to 3.11.2
SAID = [b"one", b"x" * 5000, b"two"]  # the second is more than a read takes


def deposit(net: Any, vault: type[Vault]) -> list[bytes]:
    """A guest who says it all, hears each line in capitals, and parts as TLS has it."""
    room = vault(INSIDE)
    net.host("server").spawn(room.serve, 7)

    @net.always
    def what_is_put_away_is_whole() -> None:
        assert all(said == SAID for said in room.kept)

    with (
        socket.create_connection(("server", 7)) as plain,
        OUTSIDE.wrap_socket(plain, server_hostname="server", suppress_ragged_eofs=False) as sock,
    ):
        heard = []
        for line in SAID:
            sock.sendall(line + b"\n")
            heard.append(all_of(sock, len(line) + 1))
        sock.unwrap()
    return heard


def all_of(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := sock.recv(4096)):
        data += piece
    return data


def sweep(vault: type[Vault], *kinds: str, **options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        return deposit(net, vault)

    return run_sweep(test, SweepOptions.of(target="server", kinds=kinds or None, **options))


BY_ITSELF = ""  # no fault is needed, only a client that talks TLS
TURN = line_of(museum, "WAITS-FOR-EVENTS")
FOUND = [
    (museum_tls.WrapsWhoHasGone, "reset-before-accept", "loop-survives", line_of(museum_tls, "GONE-BEFORE")),
    (museum_tls.WaitsForRoomInTheHandshake, BY_ITSELF, "no-spin", TURN),
    (museum_tls.PartsForEver, "reset", "no-spin", TURN),
    (museum_tls.EndIsAWait, "eof", "no-spin", TURN),
    (museum_tls.CutIsTheEnd, "eof", "always", ""),
    (museum_tls.OneReadForEachEvent, BY_ITSELF, "body-waits", ""),
    (museum_tls.KnowsErrorsOfTLSAlone, "reset", "target-raised", line_of(museum_tls, "NO-ERROR-OF-TLS")),
    (museum_tls.NoRoomIsAnError, "would-block", "body-raised", ""),
    (museum_tls.CountsAttempts, "split", "body-raised", ""),
]


@pytest.mark.parametrize(
    ("vault", "kind", "reason", "at"), FOUND, ids=[f"{vault.__name__}-{kind}" for vault, kind, _, _ in FOUND]
)
def test_a_mistake_is_found_by_the_fault_that_shows_it(vault: type[Vault], kind: str, reason: str, at: str) -> None:
    assert kind == BY_ITSELF or drawn(kind)
    if vault is museum_tls.WrapsWhoHasGone and sys.version_info < (3, 11, 5):
        pytest.skip("ssl wrapped who had gone, up to Python 3.11.4")
    result = sweep(vault, *([kind] if kind else []), first=True, shrink=False)
    (failure,) = result.failures
    assert (failure.reason, str(failure.plan) == "no faults") == (reason, kind == BY_ITSELF)
    assert failure.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [vault for vault, _, _, _ in FOUND] == Vault.__subclasses__()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # who has gone before it is wrapped is left so by ssl
def test_who_makes_none_of_them_passes_single_faults() -> None:
    result = sweep(Vault, runs=600)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings


@pytest.mark.parametrize("how", [play, pytest.param(play_real, marks=pytest.mark.slow)])
def test_who_has_read_too_little_of_what_is_decrypted_is_told(how: Callable[..., Any]) -> None:
    run = how(lambda net: deposit(net, museum_tls.OneReadForEachEvent), FaultPlan(), target="server")
    *_, lying, remedy = str(run.body_error).splitlines()
    assert lying == "  905 bytes of test->server:7#1 lie decrypted in server/serve, and no poller tells of them"
    assert remedy == "Read a TLS socket until SSLWantReadError, or ask its pending() before a poller."
