"""Who sleeps in a coroutine keeps its whole loop from going on: a warning, with the line."""

from __future__ import annotations

import asyncio
import socket
import time
import warnings
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


async def serve(nap: float) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            time.sleep(nap)  # noqa: ASYNC251  # that is the mistake
            writer.write((await reader.read()).upper())
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(shout, port=7) as server:
        await server.serve_forever()


def body(net: Any, nap: float = 2) -> None:
    net.host("server").spawn(asyncio.run, serve(nap))
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"HELLO"


def sweep(**options: Any) -> Any:
    return run_sweep(body, SweepOptions.of(target="server", kinds="split", **options))


def test_a_target_that_sleeps_in_its_loop_is_warned_of_once_with_the_line() -> None:
    result = sweep()
    assert result.ok
    (warned,) = result.warnings
    assert (warned.name, warned.count) == ("blocks-the-loop", 1)
    assert "server/run slept for 2 s in its event loop, at test_blocks_the_loop.py:21 in shout" in warned.text


def test_it_can_be_made_a_failure_or_turned_off() -> None:
    assert not sweep(invariants={"blocks-the-loop": "off: a test of ours"}).warnings
    (failure,) = sweep(invariants={"blocks-the-loop": "failure"}).failures
    assert failure.reason == "blocks-the-loop"
    assert "await asyncio.sleep" in failure.finding.message


def test_a_network_of_ones_own_warns_too() -> None:
    with pytest.warns(RuntimeWarning, match=r"\[blocks-the-loop\] server/run slept for 2 s"), simnet.Network() as net:
        body(net)


def test_who_lets_others_run_or_has_no_loop_or_is_no_target_may_sleep() -> None:
    async def sleeps() -> None:
        time.sleep(1)  # noqa: ASYNC251

    with warnings.catch_warnings(), simnet.Network(target="server") as net:
        warnings.simplefilter("error")
        body(net, 0)
        net.host("server").run(time.sleep, 1)
        net.host("server").run(asyncio.run, asyncio.sleep(1))
        net.host("support").run(asyncio.run, sleeps())
        asyncio.run(sleeps())
