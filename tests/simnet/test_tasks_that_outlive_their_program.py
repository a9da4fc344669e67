"""A task of asyncio that has failed, in a program that has ended as if nothing were: nobody has asked, and nobody can ask any more."""

from __future__ import annotations

import asyncio
import linecache
from typing import Any

import pytest

from simnet.explore.judging.verdict import judge
from simnet.run import Run, play

HALF = "eof client->server:7#1 end=client byte=3"


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"word\n")
    await reader.read()
    writer.close()


async def serve() -> None:
    async with await asyncio.start_server(tell, "", 7) as server:
        await server.serve_forever()


class Client:
    """It has a task that reads, which holds it in turn: no reference alone lets it go."""

    heard = b""

    async def listen(self) -> None:
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise ValueError("half a line")  # FAILS
        self.heard = line

    async def run(self) -> bytes:
        self.reader, writer = await asyncio.open_connection("server", 7)
        self.task = asyncio.create_task(self.listen())
        await asyncio.sleep(1)
        writer.close()
        await self.end()
        return self.heard

    async def end(self) -> None:
        """It has heard, or it has not."""


class Asks(Client):
    async def end(self) -> None:
        await asyncio.gather(self.task, return_exceptions=True)


class CallsItOff(Client):
    async def end(self) -> None:
        self.task.cancel()  # then asyncio does not mind either


class EndsByIt(Client):
    async def end(self) -> None:
        raise RuntimeError("nothing was heard") if not self.heard else SystemExit


def warned(client: type[Client], what: str = HALF) -> tuple[list[str], Run]:
    def test(net: Any) -> None:
        net.host("server").spawn(asyncio.run, serve())
        net.host("client").spawn(lambda: program(client))

    run = play(test, what, target="client")
    told = judge(play(test, target="client"), run)
    return [each.message for each in told.warnings if each.reason == "handler-raised"], run


def program(client: type[Client]) -> bytes:
    return asyncio.run(client().run())


def test_who_ends_as_if_nothing_were_is_warned_of_with_the_line_at_which_it_failed() -> None:
    (told,), run = warned(Client)
    assert "ValueError: half a line ended Task-2 of client/<lambda>, which has ended as if nothing were" in told
    (verdict,) = (each for each in run.verdicts if each.name == "handler-raised")
    assert verdict.error is not None
    assert verdict.error.__traceback__ is not None
    line = verdict.error.__traceback__.tb_lineno
    assert linecache.getline(__file__, line).endswith("# FAILS\n")


@pytest.mark.parametrize("client", [Asks, CallsItOff, EndsByIt])
def test_who_asks_or_calls_it_off_or_does_not_end_well_is_not(client: type[Client]) -> None:
    assert not warned(client)[0]


def test_who_asks_when_its_loop_is_closed_is_not() -> None:
    def program() -> str:
        async def run() -> asyncio.Task[None]:
            task = asyncio.ensure_future(fails())
            task.add_done_callback(lambda _: None)
            await asyncio.sleep(1)
            return task

        async def fails() -> None:
            raise ValueError

        return repr(asyncio.run(run()).exception())

    def test(net: Any) -> None:
        net.host("client").spawn(program)

    assert not play(test, target="client").verdicts


def test_what_failed_before_a_run_is_not_its_own() -> None:
    async def fails() -> None:
        raise ValueError

    async def run() -> asyncio.Task[None]:
        task = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        return task

    before = asyncio.run(run())
    assert not warned(Asks)[0]
    assert isinstance(before.exception(), ValueError)


def test_an_errno_that_the_fault_made_is_excused_there_as_elsewhere() -> None:
    assert not warned(Client, "reset client->server:7#1 end=client byte=3")[0]
