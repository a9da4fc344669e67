"""What stands in the places where asyncio and socketserver tell what nobody caught: who hears, and how it goes again."""

from __future__ import annotations

import asyncio
import gc
import socketserver
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import simnet
from simnet import modules, tellers
from simnet.run import play


class Ear:
    """It writes down what it hears, but for the end of a loop."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def loop_closed(self, loop: object) -> None:
        assert isinstance(loop, asyncio.BaseEventLoop)
        assert loop.is_closed()

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.heard.append((name, *(str(each) for each in what[:2])))


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    modules.restore()
    true = asyncio.BaseEventLoop.call_exception_handler, socketserver.BaseServer.handle_error
    yield
    tellers.unplace()
    assert (asyncio.BaseEventLoop.call_exception_handler, socketserver.BaseServer.handle_error) == true


def fail() -> None:
    """A loop is told of an exception."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.call_exception_handler({"exception": ValueError("boom")})
    loop.close()


@pytest.mark.parametrize("transport", [None, object(), SimpleNamespace(get_extra_info=None)])
def test_a_transport_that_cannot_say_what_its_socket_is_keeps_nobody_from_hearing(transport: object) -> None:
    tellers.tell(ear := Ear())
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: ear.heard.append(("the program's own handler",)))
    loop.call_exception_handler({"exception": ValueError("boom"), "transport": transport})
    loop.close()
    assert ear.heard == [*HEARD, ("the program's own handler",)]
    tellers.tell_no_more(ear)


HEARD = [("uncaught", "boom", "a callback of asyncio")]


def test_whoever_is_there_hears_and_nobody_afterwards() -> None:
    one, two = Ear(), Ear()
    tellers.tell(one)
    tellers.tell(two)
    fail()
    assert one.heard == two.heard == HEARD
    tellers.tell_no_more(one)
    fail()
    assert (one.heard, two.heard) == (HEARD, HEARD * 2)
    tellers.tell_no_more(two)
    fail()
    assert two.heard == HEARD * 2


def test_they_stay_from_one_network_to_the_next() -> None:
    with simnet.Network():
        pass
    placed = asyncio.BaseEventLoop.call_exception_handler, socketserver.BaseServer.handle_error
    with simnet.Network():
        assert (asyncio.BaseEventLoop.call_exception_handler, socketserver.BaseServer.handle_error) == placed


def test_who_was_laid_over_is_silent_when_the_next_one_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    tellers.tell(ear)
    ours = asyncio.BaseEventLoop.call_exception_handler
    asked = []

    def theirs(loop: Any, context: Any) -> None:
        asked.append(context)
        ours(loop, context)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.BaseEventLoop, "call_exception_handler", theirs)
        tellers.tell(ear)
        fail()
        assert (ear.heard, len(asked)) == (HEARD, 1)
    assert asyncio.BaseEventLoop.call_exception_handler is ours
    tellers.tell(ear)
    fail()
    assert (ear.heard, len(asked)) == (HEARD * 2, 1)
    tellers.tell_no_more(ear)


def test_a_server_without_a_loop_tells_too(capsys: pytest.CaptureFixture[str]) -> None:
    ear = Ear()
    tellers.tell(ear)
    try:
        raise ValueError("boom")
    except ValueError:
        socketserver.BaseServer.handle_error(SimpleNamespace(), None, ("peer", 1))  # type: ignore[arg-type]
    assert ear.heard == [("uncaught", "boom", "a handler of SimpleNamespace")]
    assert "boom" in capsys.readouterr().err
    tellers.tell_no_more(ear)


def test_a_module_that_was_loaded_anew_has_tellers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded() -> Any:
        module: Any = ModuleType("socketserver")
        module.BaseServer = type("BaseServer", (), {"handle_error": lambda self, request, address: None})
        return module

    ear = Ear()
    for _ in range(2):
        module = loaded()
        monkeypatch.setitem(sys.modules, "socketserver", module)
        tellers.tell(ear)
        try:
            raise ValueError("boom")
        except ValueError:
            module.BaseServer().handle_error(None, None)
    assert ear.heard == [("uncaught", "boom", "a handler of BaseServer")] * 2
    tellers.tell_no_more(ear)


def test_what_is_taken_away_leaves_nothing_for_the_collector() -> None:
    ear = Ear()
    tellers.tell(ear)
    gone = weakref.ref(asyncio.BaseEventLoop.call_exception_handler)
    tellers.tell_no_more(ear)
    tellers.unplace()
    assert gone() is None


def test_a_channels_own_handler_of_errors_stays_and_each_error_is_told_once() -> None:
    asyncore = pytest.importorskip("asyncore", reason="gone from Python 3.12")
    ear, mine = Ear(), list[str]()
    tellers.tell(ear)

    def write() -> None:
        raise ValueError("within")

    def read() -> None:
        asyncore.write(channel)  # it turns the loop
        raise ValueError("boom")

    channel = SimpleNamespace(handle_read_event=read, handle_write_event=write)
    channel.handle_error = own = lambda: mine.append(str(sys.exc_info()[1]))
    for _ in range(2):
        asyncore.read(channel)
    tellers.tell_no_more(ear)
    assert mine == ["within", "boom"] * 2
    assert channel.handle_error is own
    assert [each[2] for each in ear.heard if each[0] == "raised"] == ["handle_write", "handle_read"] * 2


@pytest.mark.parametrize("code", [0, None, 3])
def test_who_leaves_by_sys_exit_in_a_task_of_asyncios_has_let_out_no_exception(code: int | None) -> None:
    """Asyncio tells its handler of it besides, once the task is gone: as a language server's, which exits when it is told to."""

    def serve() -> None:
        async def leave() -> None:
            sys.exit(code)

        async def main() -> None:
            tasks = {asyncio.create_task(leave())}
            await asyncio.wait(tasks, timeout=5)

        with suppress(SystemExit):
            asyncio.run(main())
        gc.collect()
        time.sleep(1)

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        time.sleep(3)

    run = play(test, target="server")
    assert not run.handler_errors
