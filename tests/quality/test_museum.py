"""Old mistakes of real servers: a sweep finds each, by a single fault, and says where it is."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.kinds import drawn
from tests.quality import museum
from tests.quality.found import line_of


def talk_on_after_quit() -> list[bytes]:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        for line in (b"one\n", b"two\n"):
            sock.sendall(line)
            time.sleep(0.01)
        heard = [lines.readline(), lines.readline()]
        sock.sendall(b"three\nquit\n")
        time.sleep(0.01)
        try:
            sock.sendall(b"four\n")
            return [*heard, lines.read()]
        except OSError:
            return [*heard, b"THREE\n"]


def visit(net: Any, hall: type[museum.Hall]) -> list[bytes]:
    """Two guests, one of whom has the other sent away; and a third, before the first one leaves."""
    net.host("server").spawn(hall().serve, 7)
    heard = []
    with socket.create_connection(("server", 7)) as other, socket.create_connection(("server", 7)) as one:
        with one.makefile("rb") as ones, other.makefile("rb") as others:
            other.sendall(b"hello\n")
            heard.append(others.readline())
            other.sendall(b"and\n")  # what comes of that depends on who is heard first
            one.sendall(b"kick\n")
            heard += talk_on_after_quit()
            one.shutdown(socket.SHUT_WR)
            heard.append(ones.read())
    return heard


def sweep(hall: type[museum.Hall], *kinds: str, **options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        return visit(net, hall)

    return run_sweep(test, SweepOptions.of(target="server", kinds=kinds or None, **options))


FOUND = [
    (museum.AnyEventIsTheGuests, "wake", "target-raised", line_of(museum, "CLOSED-IN-THIS-TURN")),
    (museum.EndsAtHangUp, "stall", "body-raised", ""),
    (museum.EndIsClose, "stall", "outcome", ""),
    (museum.KeepsRegistration, "error", "no-spin", ""),
    (museum.UrgentUnread, "urgent", "no-spin", ""),
    (museum.ReadsOnAfterQuit, "coalesce", "outcome", ""),
    (museum.OneRoundOfSending, "partial-send", "outcome", ""),
    (museum.ForgetsTheNameless, "reset-before-accept", "nothing-left", ""),
    (museum.LastReplyOnly, "would-block", "body-waits", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hall", "kind", "reason", "at"), FOUND, ids=[f"{hall.__name__}-{kind}" for hall, kind, _, _ in FOUND]
)
def test_a_mistake_is_found_by_the_fault_that_shows_it(
    hall: type[museum.Hall], kind: str, reason: str, at: str
) -> None:
    """A plain sweep tries these kinds among the others; here it is the one alone that is quick."""
    assert drawn(kind)
    (failure,) = sweep(hall, kind, first=True, shrink=False).failures
    assert failure.reason == reason
    assert failure.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [hall for hall, _, _, _ in FOUND] == [
        hall for hall in museum.Hall.__subclasses__() if hall.__module__ == museum.__name__
    ]


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(museum.Hall)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
