"""A task of asyncio that has failed, and whom somebody holds, is told of when the network is quiet: asyncio says so only when it is collected."""

from __future__ import annotations

import asyncio
import linecache
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for word in (b"1\n", b"2\n"):
        writer.write(word)
    with suppress(OSError):
        await reader.read()
    writer.close()


async def publish() -> None:
    server = await asyncio.start_server(tell, "", 6379)
    await server.serve_forever()


class App:
    """It listens to a hub, and waits for what may never come."""

    heard = 0

    async def listen(self) -> None:
        reader, writer = await asyncio.open_connection("hub", 6379)
        try:
            while line := await reader.readline():
                self.heard += int(line)
        finally:
            writer.close()

    async def run(self) -> None:
        self.task = asyncio.create_task(self.listen())
        await asyncio.Event().wait()


class Asks(App):
    async def run(self) -> None:
        self.task = asyncio.create_task(self.listen())
        with suppress(ValueError, OSError):
            await self.task
        await asyncio.Event().wait()


class AsksByACallback(App):
    async def run(self) -> None:
        self.task = asyncio.create_task(self.listen())
        self.task.add_done_callback(lambda task: task.exception())
        await asyncio.Event().wait()


class CatchesIt(App):
    async def listen(self) -> None:
        with suppress(ValueError, OSError):
            await super().listen()


def sweep(app: type[App], *kinds: str) -> SweepResult:
    def test(net: Any) -> None:
        net.host("hub").spawn(asyncio.run, publish())
        net.host("server").spawn(asyncio.run, app().run())

    return run_sweep(test, SweepOptions.of(target="server", kinds=kinds))


@pytest.mark.slow
def test_who_holds_a_task_that_has_failed_is_warned_of_with_the_line_at_which_it_did() -> None:
    """A word that is cut off is no number."""

    class Garbled(App):
        async def listen(self) -> None:
            reader, writer = await asyncio.open_connection("hub", 6379)
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    raise ValueError("half a line")  # FAILS
            writer.close()

    result = sweep(Garbled, "eof")
    told = [each for each in result.warnings if each.name == "handler-raised"]
    assert "ValueError: half a line ended Task-2 of server/run, which goes on without it" in told[0].text
    _, _, line = told[0].at.partition(":")
    assert linecache.getline(__file__, int(line)).endswith("# FAILS\n")


@pytest.mark.slow
@pytest.mark.parametrize("app", [Asks, AsksByACallback, CatchesIt])
def test_who_asks_what_came_of_it_is_not(app: type[App]) -> None:
    assert not [each for each in sweep(app, "eof", "reset").warnings if each.name == "handler-raised"]


@pytest.mark.slow
def test_an_errno_that_the_fault_made_is_excused_there_as_elsewhere() -> None:
    assert not [each for each in sweep(App, "reset").warnings if each.name == "handler-raised"]
