"""Programs of asyncio that are ended with their network, wherever their tasks stand: nobody is left who could complain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest

import simnet
from tests.simnet.silence import in_silence

for_ever = asyncio.Event


class Scope:
    """Asks at its end in which task it is, as those of anyio do: outside of a loop nobody can say."""

    def __enter__(self) -> None:
        asyncio.current_task()

    def __exit__(self, *error: object) -> None:
        asyncio.current_task()


async def receive() -> bytes:
    with Scope():
        await for_ever().wait()
    return b""


async def closed() -> None:
    with Scope():
        await asyncio.sleep(1)


async def pieces() -> AsyncIterator[bytes]:
    try:
        while True:
            yield await receive()
    finally:
        await closed()


async def in_a_generator() -> bytes:
    return b"".join([each async for each in pieces()])


async def in_a_generator_of_a_generator() -> None:
    async def lines() -> AsyncIterator[bytes]:
        async for each in pieces():
            yield each

    async for _ in lines():
        pass


async def in_a_context() -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[bytes]:
        try:
            yield await receive()
        finally:
            await closed()

    async with opened():
        pass


async def by_the_name_of_next() -> None:
    await anext(pieces(), b"")


async def in_the_end_of_a_generator() -> None:
    async def said() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            await receive()

    words = said()
    await anext(words)
    await words.aclose()  # type: ignore[attr-defined]  # it is a generator


class Wrapped:
    """As a program's own: it waits for another, and holds what looks like anything, or is a generator that nobody asks."""

    def __init__(self) -> None:
        self.label = Mock()
        self.spare = pieces()
        self.other = receive().__await__()

    def __await__(self) -> Iterator[Any]:
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.other)


async def in_an_object() -> None:
    await Wrapped()


def end_in_silence(
    main: Callable[[], Coroutine[Any, Any, None]], capfd: pytest.CaptureFixture[str], *, crashes: bool
) -> None:
    """Run *main* for a second, then end it with its network, or before by a crash of its host."""
    with in_silence(capfd):
        with simnet.Network() as net:
            host = net.host("client")
            host.spawn(asyncio.run, main())
            net.sleep(1)
            if crashes:
                host.crash()
        del host, net


WAYS = [
    in_a_generator,
    in_a_generator_of_a_generator,
    in_a_context,
    by_the_name_of_next,
    in_the_end_of_a_generator,
    in_an_object,
]


@pytest.mark.parametrize("stands", WAYS)
@pytest.mark.parametrize("crashes", [False, True], ids=["with-its-network", "by-a-crash"])
@pytest.mark.slow
def test_a_task_that_waits_in_a_generator_is_ended_from_within(
    stands: Callable[[], Awaitable[Any]], crashes: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        await asyncio.gather(stands(), stands())

    end_in_silence(main, capfd, crashes=crashes)


@pytest.mark.parametrize("crashes", [False, True], ids=["with-its-network", "by-a-crash"])
@pytest.mark.slow
def test_a_task_that_goes_on_whatever_happens_is_left_where_it_is(
    crashes: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async def beat() -> None:
        while True:
            try:
                await asyncio.sleep(5)
            except BaseException:  # noqa: BLE001  # that is its mistake
                continue

    end_in_silence(beat, capfd, crashes=crashes)


@pytest.mark.slow
def test_what_a_task_begins_when_it_is_ended_never_began(capfd: pytest.CaptureFixture[str]) -> None:
    begun: list[str] = []

    async def say_goodbye() -> None:
        begun.append("goodbye")

    async def main() -> None:
        held = asyncio.create_task(say_goodbye())
        await held
        try:
            async for _ in pieces():
                pass
        finally:
            asyncio.create_task(say_goodbye())  # noqa: RUF006  # nobody will hear it
            asyncio.get_running_loop().call_later(1, begun.append, "late")

    end_in_silence(main, capfd, crashes=True)
    assert begun == ["goodbye"]
