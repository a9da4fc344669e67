"""State that real programs have per process and CPython has per thread or module: swapped whenever another process runs.

It is a table of attributes (``asyncore.socket_map`` and its relatives), asyncio's running loop, the one that its policy knows for
code that asks, and its generator hooks. Each process starts with fresh ones; after the run, the interpreter's own are back.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from simnet.owned.eventloops import KNOWN_LOOP, known_loop, let_go, loop_given_back, loop_set_aside
from simnet.owned.fresh import as_found, copied, maker_of

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = [
    "PER_PROCESS",
    "ProcessState",
    "absent",
    "as_made",
    "checked_names",
    "nowhere",
    "place_of",
    "put_fresh",
    "same_place",
]

POLICY = "asyncio.events:_event_loop_policy"  # what it knows for a thread is the thread's: see `known_loop`

PER_PROCESS = (
    POLICY,
    "asyncore:socket_map",  # the interpreter's own, on 3.11
    "pyasyncore:socket_map",
    "dispatch.asyncore:socket_map",
    "pyftpdlib.ioloop:IOLoop._instance",  # what its servers run on unless told otherwise
    "cassandra.io.asyncioreactor:AsyncioConnection._loop",  # and cassandra-driver's clients, in a thread:
    "cassandra.io.asyncioreactor:AsyncioConnection._loop_thread",
    "trio._core._run:_r",  # its dice
    "aiohttp._websocket.writer:WebSocketWriter.__init__.__kwdefaults__",  # and those by which a client of aiohttp's masks
    "aiohttp.http_websocket:WebSocketWriter.__init__.__kwdefaults__",  # (until 3.10)
    "kombu.messaging:Consumer._tags",  # the numbers of its consumers,
    "kombu.asynchronous.hub:_current_loop",  # the loop of a worker,
    "kombu.pools:connections",  # and the connections that are lent, as to celery's clients and workers,
    "kombu.pools:producers",
    "celery._state:_task_join_will_block",  # one of which is at work
)

REACTOR = "twisted.internet:reactor"  # a module that is a reactor: made by the first who imports it

#: What knows of each thread something, and so of each process where they are threads. Simulated ones share a thread.
PER_THREAD = (
    "trio._core._run:GLOBAL_RUN_CONTEXT.__dict__",  # a run of trio's and its current task,
    "trio._threads:PARENT_TASK_DATA.__dict__",  # whose thread this is,
    "sniffio._impl:thread_local.__dict__",  # and which library runs
    "Pyro5.callcontext:current_context.__dict__",  # the call that a thread serves
)

#: What is None at the beginning of each run, and shared by its processes: what `uuid.uuid1(clock_seq=...)` goes by.
PER_RUN = ("uuid:_last_timestamp", "uuid:_node")

#: Of these, what begins as it was found, but for its dice, which fall alike in each run.
AS_FOUND = frozenset(
    name for name in (*PER_PROCESS, *PER_THREAD) if name.startswith(("aiohttp.", "kombu.messaging:", "Pyro5."))
)


def with_modules(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each of *names* once, with its module before it."""
    return tuple((name.partition(":")[0], name) for name in dict.fromkeys(names))


PLACES = with_modules((*PER_PROCESS, REACTOR, *PER_THREAD, *PER_RUN))
MODULES = tuple(dict.fromkeys(module for module, _ in PLACES))

Wanted = tuple[tuple[str, str], ...]
_known: tuple[list[Any], Any] = ([], None)  # the modules as they were last, and where they keep which of PLACES
_made: dict[str, tuple[Any, Any]] = {}  # by the name of a global: where it is kept, and a copy of what its module made


class _Attributes:
    """The attributes of a class, to be had and set as the names of a module are."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def get(self, name: str) -> Any:
        return getattr(self._owner, name, None)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._owner, name, value)


class _Own:
    """What a ``threading.local`` has for the thread that runs, which is one for all processes: put there as a whole."""

    __slots__ = ("_owner",)

    def __init__(self, owner: threading.local) -> None:
        self._owner = owner

    def __getitem__(self, _: str) -> dict[str, Any]:
        return dict(self._owner.__dict__)

    def __setitem__(self, _: str, value: dict[str, Any]) -> None:
        own = self._owner.__dict__
        own.clear()
        own.update(value)


class _Imported:
    """A submodule as a name of its package: where there is None, nobody has imported it yet."""

    __slots__ = ("_package",)

    def __init__(self, package: Any) -> None:
        self._package = package

    def __getitem__(self, name: str) -> Any:
        return sys.modules.get(f"{self._package.__name__}.{name}")

    def __setitem__(self, name: str, value: Any) -> None:
        whole = f"{self._package.__name__}.{name}"
        if value is not None:
            sys.modules[whole] = self._package.__dict__[name] = value
        elif sys.modules.pop(whole, None) is not None:
            self._package.__dict__.pop(name, None)


def checked_names(names: Any) -> tuple[str, ...]:
    """*names*, each ``"module:attribute"``, or ``"module:Class.attribute"``.

    Raises:
        TypeError: no sequence of names.
        ValueError: one that is not of this form.
    """
    if isinstance(names, str) or not (isinstance(names, Iterable) and all(isinstance(name, str) for name in names)):
        raise TypeError(f"per_process={names!r}: names in a list, such as ['module:attribute']")
    for name in names:
        module, colon, attribute = name.partition(":")
        if not (colon and module and all(attribute.split("."))):
            raise ValueError(f"per_process={name!r} is not of the form 'module:attribute'")
        as_made(name)
    return tuple(names)


def as_made(name: str) -> Any:
    """A copy of what the global *name* held when it was first asked for, if that is plain: mostly as its module has made it, since a
    decorator's names are looked at when the tests are collected, before any of them has run.
    """
    place = place_of(name)
    if place is None:
        return None
    namespace, attribute = place
    known = _made.get(name)
    if known is None or not same_place(known[0], namespace):  # else the module was imported anew
        known = _made[name] = namespace, copied(namespace[attribute])
    return known[1]


def place_of(name: str) -> tuple[Any, str] | None:
    """Where ``"module:attribute"`` is kept, and by which key; ``None`` while it is not there."""
    module, classes, key = _parts(name)
    owner: Any = sys.modules.get(module)
    if owner is None:
        return None
    if name == REACTOR:
        return _Imported(owner), key
    if not classes:
        return (owner.__dict__, key) if key in owner.__dict__ else None
    for each in classes:
        owner = getattr(owner, each, None)
    if key == "__dict__" and isinstance(owner, threading.local):
        return _Own(owner), key
    return (_Attributes(owner), key) if hasattr(owner, key) else None


@lru_cache(maxsize=1024)  # each run asks for the same few
def _parts(name: str) -> tuple[str, list[str], str]:
    """Of ``"module:Class.attribute"``: the module, the classes, the attribute."""
    module, _, attribute = name.partition(":")
    *classes, key = attribute.split(".")
    return module, classes, key


def found_of(wanted: Wanted) -> tuple[list[tuple[str, tuple[Any, str]]], Wanted]:
    """Those of *wanted* that are there, with their places, and the others. Each run asks for PLACES first, of the same modules."""
    global _known
    modules = list(map(sys.modules.get, MODULES)) if wanted is PLACES else None
    before, found = _known  # in one go: another thread's run may ask as well
    if modules is not None and modules == before:
        return found  # type: ignore[no-any-return]
    places = [(module, name, place_of(name) if module in sys.modules else None) for module, name in wanted]
    there = [(name, place) for _, name, place in places if place is not None]
    missing = tuple((module, name) for module, name, place in places if place is None)
    if modules is not None and not any(module in sys.modules for module, _ in missing):  # else one is half loaded
        _known = (modules, (there, missing))
    return there, missing


def absent(names: Sequence[str]) -> str:
    """What to say of the first of *names*, as `checked_names` gives them, that is nowhere; "" if all are there."""
    for name in names:
        module, _, attribute = name.partition(":")
        if module not in sys.modules:
            return f"per_process={name!r}: no module {module!r} was imported"
        if place_of(name) is None:
            return f"per_process={name!r}: {module!r} has no {attribute!r}"
    return ""


def nowhere(names: Sequence[str]) -> Iterator[str]:
    """What to say of those of *names* that can be nowhere: a module that was not imported may be another test's."""
    for name in names:
        module = name.partition(":")[0]
        if (text := absent((name,))) and (module in sys.modules or find_spec(module.partition(".")[0]) is None):
            yield f"[no-such-global] {text}"


def put_fresh(name: str, place: tuple[Any, str], fresh: Callable[[], Any]) -> Any:
    """What *fresh* makes, put where the global *name* is kept.

    Raises:
        TypeError: it makes nothing without being told of what, as an enumeration does, or nothing can be put there.
    """
    namespace, attribute = place
    kind = type(namespace[attribute]).__name__
    try:
        namespace[attribute] = made = fresh()
    except TypeError as error:
        raise TypeError(
            f"per_process={name!r}: a fresh {kind} cannot be put there ({error}); name a container, a number, or what is made "
            "again by whoever finds None"
        ) from error
    return made


def same_place(one: Any, other: Any) -> bool:
    """Whether both are the names of one module, or the attributes of one class."""
    if isinstance(one, _Attributes) and isinstance(other, _Attributes):
        return one._owner is other._owner
    return one is other


def _nothing() -> None:
    """What is there at the beginning of a run."""


class ProcessState:
    """Exchanges per-process state. One for each network; :meth:`swap` is on the path of every switch."""

    __slots__ = (
        "_wanted",
        "_named",
        "_slots",
        "_own",
        "_shared",
        "_modules",
        "_outside",
        "_get_loop",
        "_set_loop",
        "_loop_outside",
        "_events",
        "_known_outside",
        "_hooked",
    )

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self._wanted = PLACES if not extra else with_modules((*PER_PROCESS, REACTOR, *PER_THREAD, *PER_RUN, *extra))
        self._named = frozenset(extra)
        self._slots: list[tuple[int, Any, str, Callable[[], Any]]] = []  # all of them:
        self._own: list[tuple[int, Any, str, Callable[[], Any]]] = []  # those that each thread has for itself,
        self._shared: list[tuple[int, Any, str, Callable[[], Any]]] = []  # and those that a process has once
        self._outside: list[Any] = []
        self._modules = 0
        self._get_loop: Callable[[], Any] | None = None  # asyncio's, once it is loaded
        self._set_loop: Any = None
        self._loop_outside = loop_set_aside()
        self._events: dict[str, Any] | None = None  # asyncio's module of that name, once it is loaded
        self._known_outside: dict[str, Any] = {}
        self._hooked = False  # may generators of a process have hooks, though no loop of asyncio runs there?
        try:
            self.look()
        except BaseException:
            self.restore()
            raise

    def look(self) -> bool:
        """Take up the modules of the table that have been imported since the last look; whether any module was."""
        modules = sys.modules
        if len(modules) == self._modules:
            return False
        begins, self._modules = not self._modules, len(modules)
        asyncio: Any = modules.get("asyncio")
        if self._get_loop is None and hasattr(asyncio, "_set_running_loop"):  # else it is not loaded, or not yet
            self._get_loop, self._set_loop = asyncio._get_running_loop, asyncio._set_running_loop
        self._hooked = "trio" in modules
        there, self._wanted = found_of(self._wanted)
        for name, place in there:
            namespace, attribute = place
            if self._slots and self._has(namespace, attribute):
                continue  # after `dispatch.install()` one module has two names
            outside = namespace[attribute]
            if name in PER_RUN:
                if begins:
                    namespace[attribute] = None
                else:
                    outside = None  # imported in the run, which has made something of it perhaps
                self._slots.append((len(self._slots), namespace, attribute, _nothing))
                self._outside.append(outside)
                continue
            if name in AS_FOUND:
                fresh = as_found(outside)
            else:
                fresh = maker_of(outside, as_made(name) if name in self._named else None)
            put_fresh(name, place, fresh)
            if name == POLICY:
                self._events = namespace
                known = known_loop(outside)
                self._known_outside = dict(known)
                known.clear()
            slot = (len(self._slots), namespace, attribute, fresh)
            self._slots.append(slot)
            (self._own if name in PER_THREAD else self._shared).append(slot)
            self._outside.append(outside)
        return True

    def _has(self, namespace: Any, attribute: str) -> bool:
        return any(key == attribute and same_place(ours, namespace) for _, ours, key, _ in self._slots)

    def swap(self, old: Process, new: Process) -> None:
        """*new* runs now: keep what belongs to *old*, put what belongs to *new*."""
        events = self._events
        if (
            events is not None
            and (policy := events["_event_loop_policy"]) is not None
            and (known := known_loop(policy))
        ):
            old.state[KNOWN_LOOP] = dict(known)
            known.clear()
        mine, theirs = old.memory, new.memory
        if mine is not theirs:  # else they are threads of one program
            for number, namespace, attribute, fresh in self._shared:
                mine[number] = namespace[attribute]
                namespace[attribute] = theirs[number] if number in theirs else fresh()
        mine, theirs = old.state, new.state
        for number, namespace, attribute, fresh in self._own:
            mine[number] = namespace[attribute]
            namespace[attribute] = theirs[number] if number in theirs else fresh()
        if KNOWN_LOOP in theirs:
            known_loop(events["_event_loop_policy"]).update(theirs.pop(KNOWN_LOOP))  # type: ignore[index]
        loop = None if self._get_loop is None else self._get_loop()
        if loop is not None or self._hooked or "hooks" in theirs:
            mine["hooks"] = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(*theirs.pop("hooks", (None, None)))
            if loop is not None:
                mine["loop"] = loop
            if self._get_loop is not None:
                self._set_loop(theirs.pop("loop", None))

    def restore(self) -> None:
        """The interpreter has its own again."""
        if self._events is not None:
            known = known_loop(self._events["_event_loop_policy"])
            let_go(known)
            known.clear()
        for (_, namespace, attribute, _), value in zip(self._slots, self._outside, strict=True):
            namespace[attribute] = value
        if self._known_outside:
            known_loop(self._events["_event_loop_policy"]).update(self._known_outside)  # type: ignore[index]
        loop_given_back(self._loop_outside)
