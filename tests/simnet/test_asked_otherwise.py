"""A question that comes once more, since a datagram was lost, is answered as before; who answers it otherwise is warned."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality.found import line_of

BLOCK, BLOCKS = 4, 3


def by_number(sent: int, acknowledged: int) -> int:
    return acknowledged + 1


def one_after_the_other(sent: int, acknowledged: int) -> int:
    return sent + 1


def serving(which: Callable[[int, int], int]) -> Callable[[], None]:
    """A file in blocks: *which* comes next, after the last one that was sent and the one that is acknowledged."""

    def serve() -> None:
        sent: dict[Any, int] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 69))
            while True:
                with suppress(OSError):
                    said, who = sock.recvfrom(100)
                    number = which(sent.get(who, 0), struct.unpack(">I", said)[0])
                    sent[who] = number
                    if number <= BLOCKS:
                        sock.sendto(struct.pack(">I", number) + bytes([number]) * BLOCK, who)  # A BLOCK

    return serve


def fetch() -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect(("server", 69))
        got = b""
        for number in range(BLOCKS):
            for _ in range(4):
                with suppress(OSError):
                    sock.send(struct.pack(">I", number))
                    block = sock.recv(100)
                    while block[:4] != struct.pack(">I", number + 1):
                        block = sock.recv(100)
                    got += block[4:]
                    break
            else:
                return None
        return got


def sweep(which: Callable[[int, int], int], **options: Any) -> SweepResult:
    def test(net: Any) -> bytes | None:
        net.host("server").spawn(serving(which))
        got: bytes | None = net.host("client").run(fetch)
        return got

    return run_sweep(test, SweepOptions.of(target="server", **options))


@pytest.mark.slow
def test_who_counts_on_with_each_word_is_warned_of_the_block_that_is_never_sent_again() -> None:
    """Ptftpd #30: an acknowledgement, whichever, brings the next block."""
    (warned,) = (each for each in sweep(one_after_the_other).warnings if each.plan[0].kind == "drop")
    assert warned.name == "datagrams-told-apart"
    assert (
        "a datagram was lost, and so a question came once more at server:69, in the same bytes: server answers it"
        in str(warned)
    )
    assert line_of(__import__(__name__, fromlist=["x"]), "A BLOCK") in str(warned)


def test_who_goes_by_what_is_said_passes() -> None:
    result = sweep(by_number)
    assert result.ok
    assert not result.warnings


@pytest.mark.parametrize(("level", "failures"), [("failure", 1), ("off: it is counted", 0)])
def test_it_can_be_made_a_failure_or_turned_off(level: str, failures: int) -> None:
    result = sweep(one_after_the_other, kinds="drop", invariants={"datagrams-told-apart": level})
    assert (len(result.failures), result.warnings) == (failures, [])
