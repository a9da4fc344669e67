"""Old mistakes of servers with threads: a plain sweep finds each, by a single fault, and says where it is."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_boards
from tests.quality.found import line_of
from tests.quality.museum_boards import Board, framed, message


def listen() -> None:
    """A member that has nothing to say, and stays."""
    with socket.create_connection(("server", 7)) as sock:
        while message(sock):
            pass


def write(text: bytes) -> list[bytes]:
    """With the pen in hand; by then others have come who want it, too."""
    with socket.create_connection(("server", 7)) as sock:
        heard = []
        for each in (b"lock", text, b"unlock"):
            sock.sendall(framed(each))
            while not heard or heard[-1] != each:
                heard.append(message(sock))
                assert heard[-1], "the end before the answer"
            time.sleep(0.02)
        return [each for each in heard if each in (b"lock", text, b"unlock")]


def sweep(board: type[Board], *kinds: str) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(board().serve, 7)
        net.host("listener").spawn(listen)
        net.host("other").spawn(write, b"the other was here")
        time.sleep(0.01)
        return write(b"I was here")

    return run_sweep(test, SweepOptions.of(target="server", kinds=kinds or None))


FOUND = [
    (museum_boards.HeaderIsOneRead, "target-raised", "short-recv", line_of(museum_boards, "HEADER")),
    (museum_boards.ReadsOnAtTheEnd, "Hang", "eof", line_of(museum_boards, "NOT-ENOUGH")),
    (museum_boards.PenOfTheDead, "others-answered", "reset", ""),
    (museum_boards.WalksWhatChanges, "target-raised", "error", line_of(museum_boards, "CHANGES")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("board", "reason", "kind", "at"), FOUND, ids=[board.__name__ for board, *_ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(board: type[Board], reason: str, kind: str, at: str) -> None:
    failures = sweep(board).failures
    (found,) = (failure for failure in failures if failure.reason == reason)
    assert kind in found.kinds
    assert found.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [board for board, *_ in FOUND] == Board.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Board)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings


@pytest.mark.slow
def test_of_a_pen_that_was_taken_along_the_report_says_how_it_would_be_given_back() -> None:
    result = sweep(museum_boards.PenOfTheDead, "reset")
    (told,) = (
        report.text()
        for report, failure in zip(result.reports(), result.failures, strict=True)
        if failure.reason == "others-answered"
    )
    assert "A lock stays taken when its thread ends: take it in a with statement, which lets it go." in " ".join(
        told.split()
    )
