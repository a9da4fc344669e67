"""What stands in for asyncio's turns and for a selector's registrations: a program sees what the library would do."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import modules
from simnet.standins import readers, registrations, turns

Told = list[Any]
Program = Callable[[asyncio.AbstractEventLoop, Told], object]
mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


def timers(loop: Any, told: Told) -> None:
    """More than a hundred, most of which are called off; others are due at once, or were before."""
    kept = [loop.call_later(0.01 * (number % 7), told.append, number) for number in range(150)]
    loop.call_at(loop.time() - 1, told.append, "overdue")
    loop.call_later(0.02, lambda: [each.cancel() for each in kept[10:140]])
    loop.call_later(1, lambda: loop.call_soon(told.append, loop.time()))
    loop.call_later(2, loop.stop)
    loop.run_forever()
    told.append((len(loop._scheduled), loop._timer_cancelled_count))


def called_off_at_the_head(loop: Any, told: Told) -> None:
    first = loop.call_later(1, told.append, "never")
    loop.call_later(2, told.append, "late")
    first.cancel()
    loop.call_later(3, loop.stop)
    loop.run_forever()
    told.append((loop.time(), loop._timer_cancelled_count, first._scheduled))


def soon(loop: Any, told: Told) -> None:
    """What is asked for within a turn comes in the next one; what is called off does not come."""
    context = contextvars.copy_context()
    context.run(mark.set, "its own")

    def first() -> None:
        told.append("first")
        loop.call_soon(told.append, "of the next turn")
        off.cancel()

    loop.call_soon(first)
    off = loop.call_soon(told.append, "never")
    handle = loop.call_soon(lambda: told.append(mark.get()), context=context)
    told.append((repr(handle).split(" at ")[0], handle.cancelled(), handle._source_traceback))
    mark.set("when it was asked")
    loop.call_soon(lambda: told.append(mark.get()))
    mark.set("later")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))


def events(loop: Any, told: Told) -> None:
    """Readers and writers; one whose handle is called off is forgotten when there is news for it."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        loop.add_reader(one, lambda: told.append(one.recv(10)))
        loop.add_writer(one, lambda: (told.append("room"), loop.remove_writer(one)))
        loop.call_later(1, other.send, b"news")
        writer = loop._add_writer(other.fileno(), told.append, "never")
        reader = loop._add_reader(other.fileno(), told.append, "never")
        for each in (writer, reader):
            each.cancel()
        loop.call_later(2, one.send, b"nobody reads this")
        loop.call_later(3, loop.stop)
        loop.run_forever()
        told.append(sorted(key.events for key in loop._selector.get_map().values()))
        loop.remove_reader(one)


def by_number(loop: Any, told: Told) -> None:
    """Readers and writers of a descriptor's number: added, replaced, and removed in either order, with and without debug mode."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        fd = one.fileno()
        for debug in (False, True):
            loop.set_debug(debug)
            told.extend([loop.remove_reader(fd), loop.remove_writer(fd)])
            reader = loop._add_reader(fd, lambda: told.append(one.recv(10)))
            told.extend([reader.cancelled(), repr(reader).partition("<")[0], stood(reader), loop.remove_writer(fd)])
            again = loop._add_reader(fd, lambda: told.append(("again", one.recv(10))))
            told.extend([reader.cancelled(), stood(again)])
            writer = loop._add_writer(fd, lambda: told.append(("room", loop.remove_writer(fd))))
            told.append(stood(writer))
            loop.call_later(1, other.send, b"news")
            loop.call_later(2, loop.stop)
            loop.run_forever()
            told.extend([loop.remove_reader(fd), again.cancelled(), writer.cancelled(), loop.remove_reader(fd)])
            loop._add_writer(fd, told.append, "never")
            told.extend([loop.remove_reader(fd), loop.remove_writer(fd), sorted(loop._selector.get_map())])
            for wrong in (-1, 10**9, "1", None):
                told.extend([outcome(call, wrong) for call in (loop.remove_reader, loop.remove_writer)])
                told.append(outcome(loop.add_reader, wrong, print))
        loop.close()
        told.extend(
            [outcome(loop.add_reader, fd, print), outcome(loop.remove_reader, fd), outcome(loop.remove_writer, fd)]
        )


def stood(handle: Any) -> Any:
    """Where *handle* says that it was made: the two frames at the end."""
    trace = handle._source_traceback
    return None if trace is None else [(each.name, each.lineno) for each in trace][-2:]


def failures(loop: Any, told: Told) -> None:
    loop.set_exception_handler(lambda _, context: told.append((context["message"].split("<")[0], context["exception"])))
    loop.call_soon(int, "none")
    loop.call_soon(told.append, "it goes on")
    loop.call_later(1, loop.stop)
    loop.run_forever()
    loop.call_soon(exit, 3)
    loop.call_soon(told.append, "after all")
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()


def closed(loop: Any, told: Told) -> None:
    loop.close()
    for call in (loop.call_soon, lambda *args: loop.call_later(1, *args)):
        with pytest.raises(RuntimeError) as failure:
            call(told.append, "never")
        told.append(str(failure.value))


def wrong(loop: Any, told: Told) -> None:
    for args, named in (((), {}), ((print,), {"contxt": None})):
        with pytest.raises(TypeError) as failure:
            loop.call_soon(*args, **named)
        told.append(str(failure.value).rpartition(".")[2])


def in_debug_mode(loop: Any, told: Told) -> None:
    loop.set_debug(True)
    with pytest.raises(TypeError) as failure:
        loop.call_soon(asyncio.sleep)
    told.append(str(failure.value).split("<")[0])
    handle = loop.call_soon(told.append, "called")
    told.append(handle._source_traceback[-1].line)
    timer = loop.call_later(1, loop.stop)
    told.append(timer._source_traceback[-1].line)
    loop.run_forever()


PROGRAMS: list[Program] = [
    timers,
    called_off_at_the_head,
    soon,
    events,
    by_number,
    failures,
    closed,
    wrong,
    in_debug_mode,
]


def seen(program: Program) -> tuple[list[str], str]:
    """What *program* tells, and the digest of its run."""
    told: Told = []
    with simnet.Network() as net:
        loop = asyncio.new_event_loop()
        try:
            program(loop, told)
        finally:
            loop.close()
    return [repr(each) for each in told], net.trace.digest()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_turn_in_one_frame_is_the_librarys(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = seen(program)
    assert "_run_once" in turns._ours.originals
    assert "_add_reader" in readers._ours.originals
    with monkeypatch.context() as patch:
        for room in (turns, readers):
            room.unplace()
            patch.setattr(room, "place", lambda: None)
        theirs = seen(program)
        assert not turns._ours.originals
        assert not readers._ours.originals
    for room in (turns, readers):
        room.place()
    assert ours == theirs


def test_it_goes_away_with_the_other_stand_ins() -> None:
    seen(soon)
    before = asyncio.BaseEventLoop.call_soon
    modules.restore()
    assert asyncio.BaseEventLoop.call_soon is not before
    assert asyncio.BaseEventLoop.call_soon.__module__ == "asyncio.base_events"
    assert asyncio.BaseEventLoop._run_once.__module__ == "asyncio.base_events"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_a_program_has_put_in_their_place_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def _run_once(self: Any) -> None:
        """As packages have it that let a loop run within a loop."""

    modules.restore()
    with monkeypatch.context() as patch:
        with simnet.Network():
            placed = vars(asyncio.BaseEventLoop)["_run_once"]
            library = turns._ours.originals["_run_once"][1]
        patch.setattr(asyncio.BaseEventLoop, "_run_once", _run_once)
        modules.restore()
        assert vars(asyncio.BaseEventLoop)["_run_once"] is _run_once
    asyncio.BaseEventLoop._run_once = library  # type: ignore[attr-defined]
    assert placed is not library


@pytest.mark.slow
def test_a_library_that_is_made_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.in_a_way_of_its_own(callback, args, context)

    modules.restore()
    monkeypatch.setattr(asyncio.BaseEventLoop, "call_soon", call_soon)
    with simnet.Network():
        assert vars(asyncio.BaseEventLoop)["call_soon"] is call_soon
        assert vars(asyncio.BaseEventLoop)["_run_once"].__module__ == "simnet.standins.turns"
    modules.restore()
    assert vars(asyncio.BaseEventLoop)["call_soon"] is call_soon


@pytest.mark.slow
@pytest.mark.parametrize("where", ["the loop", "its class", "the module"])
def test_a_clock_that_a_test_gives_a_loop_is_asked(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    with simnet.Network():
        loop = Loop()
        if where == "the module":
            monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
        else:
            clock = (lambda: 1000.0) if where == "the loop" else (lambda _: 1000.0)
            monkeypatch.setattr(loop if where == "the loop" else Loop, "time", clock)
        told: list[float] = []
        loop.call_at(999, told.append, 999)
        loop.call_at(1001, told.append, 1001)
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert (told, loop.time()) == ([999], 1000.0)
        monkeypatch.undo()
        loop.close()


def test_a_subclass_of_the_loop_that_looks_at_its_events_is_asked() -> None:
    class Loop(asyncio.SelectorEventLoop):
        def _process_events(self, event_list: Any) -> None:
            looked.extend(event_list)
            super()._process_events(event_list)  # type: ignore[misc]

    looked: list[Any] = []
    with simnet.Network():
        loop = Loop()
        loop.call_soon_threadsafe(loop.stop)
        loop.run_forever()
        loop.close()
    assert len(looked) == 1


# --- registrations ---------------------------------------------------------------------------------------------------


def outcome(call: Callable[..., Any], *args: Any) -> str:
    try:
        return repr(call(*args))
    except Exception as error:  # noqa: BLE001  # whatever it is
        return f"{type(error).__name__}: {error}"


def registered(selector: selectors.BaseSelector, fd: int, other: int) -> list[str]:
    """What a selector answers to whatever may be asked of registrations."""

    class Thing:
        def __init__(self, number: Any) -> None:
            self.fileno = lambda: number

        def __repr__(self) -> str:
            return "a thing"

    told = []
    for thing in (fd, Thing(fd), -1, Thing(-1), 10**6, "1", None, True):
        told.append(outcome(selector.get_key, thing))
        told.append(outcome(selector.unregister, thing))
    for events in (0, 4, -1, "1", None, 1.0, True, 1, 2, 3):
        told.append(outcome(selector.register, fd, events, "data"))
        told.append(outcome(selector.register, fd, 1))  # who is there already, if it was right
        told.append(outcome(selector.get_key, fd))
        told.append(outcome(selector.get_key, Thing(fd)))
        told.append(outcome(selector.modify, fd, 1, "else"))
        told.append(outcome(selector.unregister, fd))
    told.append(outcome(selector.register, Thing(fd), 1))
    told.append(outcome(selector.get_key, fd))
    told.append(outcome(selector.unregister, fd))
    told.append(outcome(selector.register, other, 1))
    told.append(outcome(selector.register, 1 << 40, 1))
    told.append(outcome(selector.register, -1, 1))
    return told


def closed_registered(selector: selectors.BaseSelector, fd: int) -> list[str]:
    selector.close()
    return [
        outcome(call, *args)
        for call, *args in ((selector.get_key, fd), (selector.register, fd, 1), (selector.unregister, fd))
    ]


def test_a_selector_answers_to_registrations_as_the_librarys_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(original: bool) -> list[str]:
        with simnet.Network(), monkeypatch.context() as patch:
            if original:
                for name in ("get_key", "register", "unregister"):
                    patch.setattr(selectors.EpollSelector, name, getattr(registrations, f"_true_{name}"))
            one, other = socket.socketpair()
            selector = selectors.EpollSelector()
            with one, other:
                told = registered(selector, one.fileno(), 1 << 20 | 0xFFFF)
                selector.register(other.fileno(), 1)
                gone = other.fileno()
                other.close()
                told.append(outcome(selector.unregister, gone))
                return told + closed_registered(selector, one.fileno())

    assert answers(original=False) == answers(original=True)
