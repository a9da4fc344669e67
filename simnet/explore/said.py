"""What the class of a state machine says, looked at when it is made: no example could use what is wrong there."""

from __future__ import annotations

import difflib
import functools
import warnings
from collections.abc import Callable, Collection
from inspect import iscoroutinefunction
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import INITIALIZE_RULE_MARKER, INVARIANT_MARKER, RULE_MARKER, Bundle

from simnet.both.asked import flag_of, seconds_of
from simnet.faults.place import PORT_MAX
from simnet.faults.rates import FaultRates
from simnet.world import Network

__all__ = ["MOVES", "begins_as_ours", "check"]

MOVES: Final = ("connect", "send", "receive", "half_close", "close", "abort", "urgent", "wait", "partition", "heal")
"""The rules that are there already."""

MARKERS: Final = (INITIALIZE_RULE_MARKER, RULE_MARKER, INVARIANT_MARKER)  # what hypothesis knows its functions by
CALLED: Final = ("start", "answer", "end", "teardown")
SAID: Final = (  # what a class may say
    *("start", "answer", "end", "address", "moves", "faults", "payloads", "pause", "latency", "timeout", "target"),
    *("levels", "may_raise", "strict", "per_process"),
)
NEAR = 0.8  # from 0 to 1: "anwser" and "answer" are 0.83
OTHERWISE: Final = {"plan": "faults", "rates": "faults", "targets": "target", "invariants": "levels"}


def begins_as_ours(own: Callable[..., None]) -> Callable[..., None]:
    """The *own* ``__init__`` of a class, which is to call that of `NetworkMachine`: if it has not, that is said.

    Else whatever hypothesis looks for first is missing.
    """

    @functools.wraps(own)
    def init(machine: Any, *arguments: Any, **options: Any) -> None:
        own(machine, *arguments, **options)
        if "clients" not in vars(machine):
            raise TypeError(f"{own.__qualname__} has not called super().__init__(), by which a machine begins")

    return init


def _is_looked_at(value: Any) -> bool:
    """By hypothesis, whatever its name."""
    return isinstance(value, Bundle) or any(hasattr(value, marker) for marker in MARKERS)


def check(cls: Any, ours: type) -> None:
    """Speak up about what no example could use of what *cls* says, a class derived from *ours*.

    Raises:
        TypeError: of the wrong type, or under a name that is not looked at.
        ValueError: cannot be.
    """
    __tracebackhide__ = True
    said = {name: value for name, value in vars(cls).items() if not _is_looked_at(value)}
    for name, right in OTHERWISE.items():
        if name in said:
            raise TypeError(f"{cls.__name__}.{name} is not looked at: call it {right}")
    for name in CALLED[:3]:
        if name in vars(cls) and name not in said:
            raise TypeError(
                f"{cls.__name__}.{name} is called in each example by itself: it is no @rule, @initialize or @invariant"
            )
        if not (callable(method := getattr(cls, name)) or isinstance(method, property)):
            raise TypeError(f"{cls.__name__}.{name}={method!r} is no function, and is called in each example")
    for name, value in vars(cls).items():
        held = next((getattr(value, marker) for marker in MARKERS if hasattr(value, marker)), None)
        if iscoroutinefunction(getattr(held, "function", value)) and (held is not None or name in CALLED):
            raise TypeError(
                f"{cls.__name__}.{name} is `async def`, and nobody awaits it: write a plain function, and run what is to be awaited on a "
                "host: self.net.host('server').spawn(asyncio.run, main())"
            )
    users = cls.__mro__[: cls.__mro__.index(ours)]
    unsaid = [each for each in SAID if not any(each in vars(owner) for owner in users)]
    for name, value in said.items():
        alike = [each for each in unsaid if callable(getattr(cls, each)) is callable(value)]
        for meant in difflib.get_close_matches(name, alike, 1, NEAR) if not hasattr(ours, name) else ():
            warnings.warn(
                f"nothing looks at {cls.__name__}.{name}; did you mean {meant}?", RuntimeWarning, stacklevel=3
            )
    address: Any = cls.address
    if not isinstance(address, tuple) or [type(each) for each in address] != [str, int]:
        raise TypeError(f"{cls.__name__}.address={address!r}: a host and a port, such as ('server', 7)")
    if not 0 < address[1] <= PORT_MAX:
        raise ValueError(f"{cls.__name__}.address={address!r}: the port is outside 1..{PORT_MAX}")
    if isinstance(cls.moves, str) or not isinstance(cls.moves, Collection):
        raise TypeError(f"{cls.__name__}.moves={cls.moves!r}: several names, as in moves = ('connect', 'send')")
    flag_of(f"{cls.__name__}.strict", cls.strict)
    for move in cls.moves:
        if move not in MOVES:
            raise ValueError(f"{cls.__name__}.moves: there is no {move!r}; there are {', '.join(MOVES)}")
    if not isinstance(cls.payloads, bytes | st.SearchStrategy):
        raise TypeError(f"{cls.__name__}.payloads={cls.payloads!r}: a strategy of bytes, or bytes")
    for name, seconds in (("pause", cls.pause), ("latency", cls.latency or 0), ("timeout", cls.timeout)):
        seconds_of(f"{cls.__name__}.{name}", seconds)
    rates = cls.faults if isinstance(cls.faults, FaultRates) else None
    drawn = isinstance(cls.faults, st.SearchStrategy)
    try:
        Network(
            None if drawn or rates is not None else cls.faults,
            rates=rates,
            target=cls.target,
            invariants=cls.levels,
            may_raise=cls.may_raise,
            per_process=cls.per_process,
        )
    except (TypeError, ValueError) as error:
        error.add_note(
            f"it is what {cls.__name__} says; plan and rates are its faults (kinds go into strategies.fault_plans), "
            "invariants its levels"
        )
        raise error.with_traceback(None) from None
