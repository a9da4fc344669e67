"""What a program has put into ``socket.socket`` in a method's place, such as a mock of ``connect``: its sockets call it.

Simulated sockets are of a subclass that has all these methods, so a mock in the true class would not be seen. Where there
is one, that subclass has something in the method's place that asks the true class at each call. It is looked for when a
socket is made, and behind what puts it there: `unittest.mock`, and pytest's ``monkeypatch``. What else stands there since
before the run, put by a library that guards or measures the machine's own sockets, is left alone: it calls C, which
knows no simulated socket.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["are", "ask_no_more", "heed", "look", "stands_in"]

_true: type = object  # `socket.socket`
_ours: Any = object  # the class of simulated ones
_placed: Mapping[str, Any] = {}  # the stand-ins in the true one, by the method's name
_before: Mapping[str, Any] = {}  # in whose place they are
_at_first: dict[str, Any] = {}  # what the class had when the network was entered
_looked_at: tuple[Any, ...] = ()  # the same, for a quick look
_unchanged: tuple[Any, ...] = tuple(vars(object).values())  # again; empty if there was something to be called
_heard: dict[str, Any] = {}  # what was put there in a run, and may still be there in the next one
_asking: dict[str, Any] = {}  # by name: what our class had itself where a method now asks; None: it inherits one


def are(ours: type) -> None:
    """Simulated sockets are *ours*."""
    global _ours
    _ours = ours


def stands_in(true: type, placed: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """From here on *placed* stand in the class *true*, each in the place of what was there *before*."""
    global _true, _placed, _before, _looked_at
    _true, _placed, _before = true, placed, before
    _looked_at = ()


def look() -> None:
    """A network is entered: who puts something there from now on wants to see it called."""
    global _at_first, _looked_at, _unchanged
    if _asking:
        ask_no_more()
    there = tuple(vars(_true).values())
    if there == _looked_at:
        return  # as it mostly is, in the hundreds of runs of a sweep
    _looked_at, _at_first = there, dict(vars(_true))
    _unchanged = () if any(_put_there(name) is not None for name in _placed) else there


def heed() -> None:
    """Where a program has put something into the true class, our sockets call it, also those that there are."""
    if tuple(vars(_true).values()) == _unchanged:
        return
    for name in _placed:
        there = _put_there(name)
        if there is None or name.startswith("__"):
            continue
        _heard[name] = there
        if name not in _asking and hasattr(_ours, name):
            _asking[name], method = vars(_ours).get(name), getattr(_ours, name)
            setattr(_ours, name, _Asks(name, method))


def ask_no_more() -> None:
    """Our sockets have their own methods again."""
    for name, own in _asking.items():
        if own is None:
            delattr(_ours, name)
        else:
            setattr(_ours, name, own)
    _asking.clear()


class _Asks:
    """A method: what a program has put into the true class under this name, while it is there, else *ours*."""

    __slots__ = ("_name", "_ours")

    def __init__(self, name: str, ours: Any) -> None:
        self._name = name
        self._ours = ours

    def __get__(self, sock: Any, kind: type | None = None) -> Any:
        there = _put_there(self._name)
        if there is None:
            there = self._ours
        bind = getattr(type(there), "__get__", None)  # a mock has none, and is called without the socket
        return there if bind is None else bind(there, sock, kind)


def _put_there(name: str) -> Any:
    """What a program has put in the place of this method; None: nothing, or nothing to be called by a simulated socket."""
    there = vars(_true).get(name)
    since_before = there is _at_first.get(name)
    if there is _placed.get(name):
        there = _before.get(name)
        since_before = True
    if there is None or there is getattr(_true.__base__, name, None):  # C's own has been put back
        return None
    if since_before and there is not _heard.get(name) and not _is_mock(there):
        return None
    return there


def _is_mock(there: Any) -> bool:
    mock: Any = sys.modules.get("unittest.mock")
    if mock is None:
        return False
    held = getattr(there, "__dict__", {}).get("mock")  # with autospec it is a function that has one
    return isinstance(there, mock.NonCallableMock) or isinstance(held, mock.NonCallableMock)
