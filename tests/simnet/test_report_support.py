"""A client that fails since a server, which is not under test, raised before: the report names that line as well."""

from __future__ import annotations

import asyncio
import linecache
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.report.failure import FailureReport, report
from simnet.explore.sweep import run_sweep

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def takes_what_one_read_brings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(100):
            _, name = data.split()
            writer.write(b"hello " + name + b"\n")
    finally:
        writer.close()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What one read brings is wrong here, too, and nothing is raised."""
    if (await reader.read(100)).endswith(b"\n"):
        writer.write(b"hello you\n")
    writer.close()


def ask() -> bytes:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        sock.sendall(b"I you\n")
        return lines.readline().split()[1]


def swept(talk: Talk) -> FailureReport:
    async def serve() -> None:
        async with await asyncio.start_server(talk, port=7) as server:
            await server.serve_forever()

    def test(net: Any) -> bytes:
        net.host("server").spawn(asyncio.run, serve())
        answer: bytes = net.host("client").run(ask)
        return answer

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["split"], runs=2))
    (failure,) = result.failures
    return report(failure, result)


def test_the_line_at_which_the_server_raised_is_named() -> None:
    found = swept(takes_what_one_read_brings)
    assert found.title == "IndexError: list index out of range"
    told, _, place = found.why.partition(" at ")
    assert told == "server, which is not under test, had let out ValueError before,"
    line, _, rest = place.partition(" in ")
    assert "data.split()" in linecache.getline(__file__, int(line.partition(":")[2]))
    assert rest == "takes_what_one_read_brings: look there first"


def test_nobody_is_named_where_nothing_was_raised() -> None:
    assert not swept(hangs_up).why
