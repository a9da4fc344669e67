"""A send that takes a part has met a full buffer: the next one finds no room, as on a kernel, and begins where the first one ended."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest

from simnet import play
from simnet.explore.options import SweepOptions
from simnet.explore.points import STALL_SHORT
from simnet.explore.sweep import run_sweep
from tests.quality.found import only

TEXT = b"0123456789abcdefghij"


def server(again_from: int | None) -> Any:
    """It sends a text without waiting; where there is no room it goes on with what is left, or *again_from* there."""

    def serve(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            connection.setblocking(False)
            at = 0
            while at < len(TEXT):
                try:
                    at += connection.send(TEXT[at:])
                except BlockingIOError:
                    at = at if again_from is None else again_from
                    select.select([], [connection], [])

    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as stream:
            return stream.read()

    return test


@pytest.mark.slow
def test_who_begins_again_when_there_is_no_room_for_the_rest_is_found() -> None:
    failure = only(run_sweep(server(0), SweepOptions.of(target="server")))
    assert str(failure.plan) == "partial-send test->server:7#1 end=server call=1 bytes=1 seconds=0.001"


@pytest.mark.slow
def test_who_goes_on_with_the_rest_passes() -> None:
    assert run_sweep(server(None), SweepOptions.of(target="server")).ok


def test_the_next_send_finds_no_room_until_the_time_is_over() -> None:
    plan = f"partial-send test->server:7#1 end=server call=1 bytes=10 seconds={STALL_SHORT}"
    run = play(server(None), plan, target="server")
    assert run.outcome.returned == TEXT
    sends = [(event.time_ns, str(event.result)) for event in run.trace if event.op == "send" and event.kind == "call"]
    begun = sends[0][0]
    assert sends == [(begun, "10"), (begun, "EAGAIN"), (begun + round(STALL_SHORT * 1e9), "10")]
