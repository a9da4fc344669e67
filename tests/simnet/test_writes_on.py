"""Who only writes learns by the next reset that its peer has gone; an early end, which swallows what is written, cannot tell it so."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep


async def serve() -> None:
    async def client(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while not writer.transport.is_closing():
            count += 1
            writer.write(b"tick %d\n" % count)
            await asyncio.sleep(1)
        writer.close()

    await (await asyncio.start_server(client, port=7)).serve_forever()


def sweep(**options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(asyncio.run, serve())
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            return [lines.readline() for _ in range(2)]

    return run_sweep(test, SweepOptions.of(target="server", kinds=["eof"], **options))


@pytest.mark.slow
def test_who_goes_on_writing_is_not_said_to_keep_the_connection() -> None:
    result = sweep()
    assert result.ok, [each.text() for each in result.reports()]
    assert [each.name for each in result.warnings] == ["nothing-left"]


@pytest.mark.slow
def test_it_is_where_the_test_says_so() -> None:
    (failure,) = sweep(invariants={"nothing-left": "failure"}).failures
    assert failure.reason == "nothing-left"
