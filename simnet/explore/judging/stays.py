"""What stays from run to run: the globals of a user's modules, what their classes and objects hold, and what a test is given, that a run has changed.

Looked for only when two runs differ already: the test is played once more, and what it finds is compared with what it leaves. Numbers, text, bytes,
how many things a container holds, and which if they are plain, and where dice stand are all that is compared: a counter, a cache, a
registry, a back-off. What tasks have waited for belongs to the loop of that run.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from copy import copy
from types import ModuleType
from typing import Any, NamedTuple

from simnet.blame import users_own
from simnet.explore.judging.outcomes import short_repr
from simnet.owned.fresh import CACHED, OF_THREADS, copied, kind_in_asyncio

__all__ = ["GIVEN", "STATE_STAYS", "what_stays"]

STATE_STAYS = "state-stays"  # the name of a warning
GIVEN = "simnet_given"  # of a body that is played: by name, what its test is given in each run alike
ONCE = ", and is made once, before all runs: make it in the test, or by a @simnet.fixture"

CONTAINERS = (dict, list, set, deque, defaultdict, OrderedDict)
NUMBERS = (int, float)
TEXTS = (str, bytes, bytearray)
STANDS = ("_locked", "_value", "_queue")  # of what is asyncio's
WIDTH = 140  # characters of what is shown of a container, both times
SHOWN = 4  # names; what counts each call of a large program may be one of hundreds


class _Value(NamedTuple):
    """What can be told of one value, what else it is compared by, and whether a loop that has ended still has it."""

    text: str
    stand: object = None
    bound: bool = False


def what_stays(play: Callable[[], object], test: object) -> list[str]:
    """``servers:Pool.made was 3, then 4``: each name that another run of *test* by *play* changes, the first few of them."""
    before = {**dict(_given_to(test)), **dict(_state())}
    play()
    after = {**dict(_given_to(test)), **dict(_state())}
    changed = [name for name, value in after.items() if not value.bound and before.get(name, value) != value]
    changed += [name for name, value in after.items() if value.bound]
    told = [_told(name, before.get(name, after[name]), after[name]) for name in changed[:SHOWN]]
    return [each if ":" in name else each + ONCE for name, each in zip(changed[:SHOWN], told, strict=True)]


def _told(name: str, before: _Value, after: _Value) -> str:
    if after.bound:
        return f"{name}, {after.text}, belongs to the event loop of an earlier run: name it, or make it in the coroutine that is run"
    if before.text != after.text:
        return f"{name} was {before.text}, then {after.text}"
    then, now = (_members(each.stand) for each in (before, after))
    return f"{name} was {then}, then {now}" if 0 < len(then + now) <= WIDTH else f"{name}, {after.text}, has gone on"


def _members(stand: object) -> str:
    """What a container holds, a set in the same order in each interpreter; nothing of what is no container."""
    if isinstance(stand, set):
        return f"{{{', '.join(sorted(map(repr, stand)))}}}"
    return repr(stand) if isinstance(stand, CONTAINERS) else ""


def _state() -> Iterator[tuple[str, _Value]]:
    """Each name of a user's modules whose value can be told in short, and that value."""
    modules: list[tuple[str, Any]] = list(sys.modules.items())
    for module, held in modules:  # programs put other things there, too
        if module in sys.builtin_module_names:  # no file tells whose they are, nor whose a notebook's names are
            continue
        if isinstance(held, ModuleType) and users_own(getattr(held, "__file__", None) or ""):
            for name, value in list(vars(held).items()):
                if not name.startswith("__"):
                    yield from _of(f"{module}:{name}", value, module)


def _given_to(test: object) -> Iterator[tuple[str, _Value]]:
    """What fixtures and ``setUp`` have made for *test*, and the object whose method it is."""
    given = {"self": getattr(test, "__self__", None), **getattr(test, GIVEN, {})}
    for name, value in given.items():
        kind = type(value)
        if _value(value) is not None or users_own(getattr(sys.modules.get(kind.__module__), "__file__", None) or ""):
            yield from ((key, each) for key, each in _of(name, value, kind.__module__) if key != "self._cleanups")


def _of(name: str, value: Any, module: str) -> Iterator[tuple[str, _Value]]:
    """*value*, or where it is a class of that *module*, or an object of such a class, what it holds."""
    known = _value(value)
    if known is not None:
        yield name, known
        return
    owner = value if isinstance(value, type) else type(value)
    if owner.__module__ != module:
        return
    for key, each in list(getattr(value, "__dict__", {}).items()):
        known = None if key.startswith("__") else _value(each)
        if known is not None:
            yield f"{name}.{key}", known


def _value(value: Any) -> _Value | None:
    kind = type(value)
    if kind in NUMBERS or kind is itertools.count:
        return _Value(repr(value))
    if kind in TEXTS:
        return _Value(short_repr(value), copy(value))
    if kind is random.Random:
        return _Value("a random.Random", value.getstate())
    if kind in CONTAINERS:
        return _Value(f"a {kind.__name__} of {len(value)}", copied(value))
    if kind is CACHED:
        return _Value(f"an lru_cache of {value.cache_info().currsize}")
    if room := OF_THREADS.get(kind):
        holds = len(value.queue) if room == "maxsize" else value._value
        return _Value(f"a {kind.__module__}.{kind.__name__} of {holds}")
    if waited_for := kind_in_asyncio(value):
        stands = [each for name in STANDS if (each := getattr(value, name, None)) is not None]
        return _Value(f"an asyncio.{waited_for}", copied(stands), getattr(value, "_loop", None) is not None)
    return None
