"""Arguments of a network, simulated or real, checked where they are given: a wrong value is reported at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, NoReturn, TypeVar

from simnet.faults.fault import Fault
from simnet.faults.fields import INTEGER_MAX, FaultError
from simnet.faults.paths import spelt
from simnet.faults.place import HOST_NAME, PORT_MAX
from simnet.faults.plan import FaultPlan, refuse_seed
from simnet.faults.rates import FaultRates

__all__ = [
    "Given",
    "address_of",
    "exceptions_of",
    "flag_of",
    "function_of",
    "in_order",
    "is_unix",
    "name_of",
    "observed_name",
    "plan_of",
    "port_of",
    "rates_of",
    "right_names",
    "seconds_of",
    "seed_of",
    "target_of",
]

NO_FAULTS = FaultPlan()
# Such as 10.0.0.1 or [::1]: places have them, but nobody looks them up as a name.
ADDRESS = re.compile(r"[0-9.]+|\[.*\]")
# Of hosts, looked at before, as runs of one test name the same few; asked for membership only.
right_names: set[str] = set()
SECONDS_MAX = 4e9  # 127 years: beyond it a clock would think that no time-out ever comes

_T = TypeVar("_T")


class Given(Generic[_T]):
    """What a network is given when it is made, and keeps: set later, it would change nothing."""

    __slots__ = ("_kept", "_name")

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._kept = f"_{name}"

    def __get__(self, network: object, owner: type) -> _T:
        return self if network is None else getattr(network, self._kept)  # type: ignore[return-value]  # of a class

    def __set__(self, network: object, value: object) -> NoReturn:
        __tracebackhide__ = True
        made = f"simnet.{type(network).__name__}({self._name}={value!r})"
        raise AttributeError(f"{self._name} is given when a network is made, and stays: {made}")


def plan_of(plan: Any) -> FaultPlan:
    """The plan: a FaultPlan, its one-line form, or None for no faults.

    Raises:
        TypeError: none of these.
        ValueError: a line that names no plan, and why.
    """
    if isinstance(plan, FaultPlan):
        return plan
    if plan is None:
        return NO_FAULTS
    if isinstance(plan, str):
        try:
            return FaultPlan.parse(plan)
        except FaultError as error:  # what is wrong is the line that says simnet.Network
            raise error.with_traceback(None) from None
    if isinstance(plan, Fault):
        raise TypeError(f"plan={plan!r} is one fault; a plan is a list of them: FaultPlan([{plan!r}])")
    if isinstance(plan, list | tuple) and all(isinstance(each, Fault) for each in plan):
        raise TypeError(f"plan={plan!r} is {type(plan).__name__}; make a plan of it: FaultPlan({list(plan)!r})")
    raise TypeError(f"plan={plan!r} is {type(plan).__name__}; it is a FaultPlan, or a line such as str(plan) gives")


def rates_of(rates: Any) -> FaultRates | None:
    """The rates; None for none."""
    if rates is None or isinstance(rates, FaultRates):
        return rates
    raise TypeError(f"rates={rates!r} is {type(rates).__name__}; it is a FaultRates")


def seed_of(seed: Any) -> int:
    """The seed, a whole number that a file can hold."""
    if type(seed) is not int or not 0 <= seed <= INTEGER_MAX:
        refuse_seed(seed)
    return seed


def in_order(several: Iterable[Any]) -> tuple[Any, ...]:
    """*several* as they are given; those of a set, whose order is another in each session, in that of their names."""
    return tuple(sorted(several, key=str) if isinstance(several, set | frozenset) else several)


def target_of(target: Any) -> tuple[str, ...] | None:
    """The names of the hosts under test, one or several; None for every host with a spawned process."""
    if target is None:
        return None
    names = (target,) if isinstance(target, str) else in_order(target) if isinstance(target, Iterable) else (target,)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"target={target!r}: a host's name, or several in a list")
    return names


def exceptions_of(may_raise: Any) -> tuple[type[BaseException], ...]:
    """The exceptions that a target may end with, one or several."""
    types = (may_raise,) if isinstance(may_raise, type) else may_raise
    if isinstance(types, tuple | list) and all(
        isinstance(each, type) and issubclass(each, BaseException) for each in types
    ):
        return tuple(types)
    raise TypeError(f"may_raise={may_raise!r}: an exception's class, or several in a tuple")


def flag_of(name: str, value: Any) -> bool:
    """True or False, and nothing that is merely taken for one of them: ``"no"`` is true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is {type(value).__name__}; it is True or False")
    return value


def function_of(check: Any) -> Callable[[], None]:
    """What `always` is given above a function; to be called, and to raise if it does not hold."""
    if inspect.iscoroutinefunction(check):
        raise TypeError(f"always({check.__name__}): it is `async def`, and would return at once without having looked")
    if callable(check):
        code = getattr(check, "__code__", None)  # signature() would take longer than most runs have for it
        if code is not None and not hasattr(check, "__self__"):
            given = len(check.__defaults__ or ()) + len(check.__kwdefaults__ or ())
            if code.co_argcount + code.co_kwonlyargcount > given:
                raise TypeError(f"always({check.__name__}): it has parameters, and is called without any")

        def look() -> None:
            if check() is False:
                raise AssertionError(f"{getattr(check, '__name__', check)} says False")

        return look
    raise TypeError(
        f"always({check!r}): write `with net.always():`, or `@net.always` above a function without parameters"
    )


def name_of(host: Any) -> str:
    """The name of a host that is not known yet."""
    if not isinstance(host, str):
        raise TypeError(f"host name {host!r} is {type(host).__name__}; it is a text")
    if not HOST_NAME.fullmatch(host):
        raise ValueError(f"host name {host!r}: letters, digits, '_', and '.' or '-' between them")
    if ADDRESS.fullmatch(host):
        raise ValueError(f"host name {host!r} is an address; a host is named, and is given its address: host.address")
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        raise ValueError(f"host name {host!r} is what each host calls itself; give it another one")
    if len(right_names) < 1024:
        right_names.add(host)
    return host


def observed_name(name: Any) -> str:
    """The name of a part of the outcome."""
    if not isinstance(name, str):
        raise TypeError(
            f"observe({name!r}, ...): the name is {type(name).__name__}; it is a text, and the value comes after it"
        )
    return name


def seconds_of(call: str, seconds: Any) -> float:
    """How long *call* is to take: a number from 0 on, at most what a clock of nanoseconds counts."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{call}({seconds!r}): {type(seconds).__name__} is no number of seconds")
    if seconds < 0:
        raise ValueError(f"{call}({seconds!r}): seconds are non-negative, time does not go back")
    if not seconds <= SECONDS_MAX:
        raise ValueError(f"{call}({seconds!r}): no time that passes; at most {SECONDS_MAX:g} s")
    return seconds


def is_unix(where: Any) -> bool:
    """Whether *where* is a path, or an abstract name, at which a Unix socket may be."""
    return (isinstance(where, str) and ("/" in where or where[:1] == "\0")) or (
        isinstance(where, bytes) and where[:1] == b"\0"
    )


def address_of(address: Any) -> Any:
    """Whom to connect to: a host and its port, or the path of a Unix socket.

    Raises:
        TypeError: neither.
    """
    if is_unix(address) or (isinstance(address, tuple) and len(address) > 1 and isinstance(address[1], int)):
        return address
    raise TypeError(f"{address=}: a host and its port, such as ('server', 7), or a path, such as '/run/app.sock'")


def port_of(port: Any) -> int | str:
    """The port that somebody is to listen on; the path or abstract name of a Unix socket as places spell it."""
    if is_unix(port):
        return spelt(port.encode("utf-8", "surrogateescape") if port[:1] == "\0" else port)
    if type(port) is not int:
        raise TypeError(
            f"port={port!r} is {type(port).__name__}; it is a number, such as 7, or a path, such as '/run/app.sock'"
        )
    if not 0 <= port <= PORT_MAX:
        raise ValueError(f"{port=} is outside 0..{PORT_MAX}")
    return port
