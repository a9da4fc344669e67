"""The options of a sweep, checked and normalised where they are given.

A wrong option is reported when the test is decorated, not in the thousandth run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from simnet.both.asked import flag_of, in_order, seed_of
from simnet.faults.fields import meant
from simnet.faults.kinds import KINDS, TRANSPARENT, Fault, named_kinds
from simnet.invariants import WAITS_FOR_EVER, checked
from simnet.owned.state import checked_names

if TYPE_CHECKING:
    from simnet.faults.plan import FaultPlan

__all__ = ["LINES_DEFAULT", "RECOVERY", "RUNS_DEFAULT", "Asked", "AskedOfAny", "SweepOptions", "seeds_of"]

RECOVERY = "recovery"  # the depth at which the second fault acts only where the first has made a point
RUNS_DEFAULT = 2_000  # about a second at the rate a simulated echo runs
LINES_DEFAULT = 1_500_000  # of the traces of all runs, if each is as long as the one without faults: some seven seconds
_DEPTHS = f"1 for single faults, 2 for pairs, {RECOVERY!r} for a second fault where the first has made a point"

_Kind = str | type[Fault]


class AskedOfAny(TypedDict, total=False):
    """What may be written for each option, of a sweep and of a fuzz, as type checkers and editors know it; None changes nothing."""

    target: str | Iterable[str] | None
    kinds: _Kind | Iterable[_Kind] | None
    survives: _Kind | Iterable[_Kind] | None
    may_raise: type[BaseException] | Iterable[type[BaseException]] | None
    strict: bool | None
    invariants: Mapping[str, str] | None
    first: bool | None
    shrink: bool | None
    seed: int | None
    per_process: str | Iterable[str] | None


class Asked(AskedOfAny, total=False):
    """Those that a sweep has besides."""

    depth: Literal[1, 2, "recovery"] | None
    runs: int | None


@dataclass(frozen=True)
class SweepOptions:
    """The keywords of ``@simnet.sweep``, ``simnet.check`` and ``simnet sweep``; make it with :meth:`of`."""

    target: tuple[str, ...] | None = None
    """The hosts under test; None: every host with a spawned process."""
    kinds: tuple[str, ...] | None = None
    """The kinds of fault; None: all but those that are tried only where they are named, such as `crash`."""
    depth: int | str = 1
    """How many faults a plan has: 1; 2, what is left of `runs` then goes to pairs; or `"recovery"`, the second fault only where the first has made a point."""
    survives: tuple[str, ...] = ()
    """Kinds under which the outcome must be the baseline's although they break something: disruptive ones, `stall`, `coalesce`."""
    may_raise: tuple[type[BaseException], ...] = ()
    """Exceptions a target may end with once a disruptive fault has fired."""
    runs: int | None = None
    """The most simulations with a fault; shrinking comes on top. None: 2,000, or fewer where the run without faults is long."""
    strict: bool = False
    """A body that a disruptive fault interrupts is a failure too."""
    invariants: Mapping[str, str] = field(default_factory=dict)
    """Name of an invariant -> ``"failure"``, ``"warning"`` or ``"off"``, a reason may follow after a colon."""
    first: bool = False
    """Stop at the first failure."""
    shrink: bool = True
    """Make the plan of each distinct failure as small as it gets."""
    seed: int = 0
    """The network's seed, of every run alike."""
    per_process: tuple[str, ...] = ()
    """Globals, as `"module:name"` or `"module:Class.name"`, that each process of each run finds fresh."""

    @classmethod
    def of(cls, whose: str = "sweep", /, **keywords: Any) -> SweepOptions:
        """Options from the keywords people write: one name where several may stand, kinds as names or classes. *whose* is for errors.

        Raises:
            TypeError: an unknown keyword, or a value of the wrong type.
            ValueError: a value that cannot be; the message says what can.
        """
        known = [each.name for each in fields(cls)]
        for name in keywords:
            if name not in known:
                if name == "seeds":
                    raise TypeError(f"{whose} has no option 'seeds': @simnet.fuzz has; a sweep tries each fault once")
                others = ("runs", "depth") if whose == "fuzz" else ("seeds",)
                there = [each for each in (*known, "seeds") if each not in others]
                raise TypeError(f"{whose} has no option {name!r}{meant(name, there)}")
        checks: dict[str, Callable[[str, object], Any]] = {
            "target": _names,
            "kinds": _kinds,
            "depth": _depth,
            "survives": _survives,
            "may_raise": _exceptions,
            "runs": _positive,
            "strict": flag_of,
            "invariants": lambda _, value: checked(value),
            "first": flag_of,
            "shrink": flag_of,
            "seed": lambda _, value: seed_of(value),
            "per_process": _globals,
        }
        return cls(**{name: checks[name](name, value) for name, value in keywords.items() if value is not None})

    def but(self, **keywords: Any) -> SweepOptions:
        """The same with what *keywords* change; those that are None change nothing."""
        given = {name: value for name, value in keywords.items() if value is not None}
        checked = SweepOptions.of(**given)
        return replace(self, **{name: getattr(checked, name) for name in given})

    def under(self, plan: FaultPlan) -> SweepOptions:
        """The same for a run of *plan*, whose seed, if it has one, counts more than the test's own."""
        return replace(self, seed=plan.seed) if plan.seed else self

    def budget(self, lines: int) -> int:
        """How many simulations, where the trace of one without faults has so many *lines*."""
        if self.runs is not None:
            return self.runs
        return max(1, min(RUNS_DEFAULT, LINES_DEFAULT // max(lines, 1)))

    @property
    def playing(self) -> dict[str, Any]:
        """The keywords that every run of the sweep hands to ``play``."""
        return {
            "target": self.target,
            "seed": self.seed,
            "invariants": {name: level for name, level in self.invariants.items() if name != WAITS_FOR_EVER},
            "may_raise": self.may_raise,
            "per_process": self.per_process,
        }


def seeds_of(value: object) -> range:
    """The seeds of ``@simnet.fuzz``: a number of them, from 0, or a range.

    Raises:
        TypeError: it is neither.
        ValueError: there is none, or they do not follow one another.
    """
    if isinstance(value, range):
        if not value or value.step != 1 or value.start < 0:
            raise ValueError(f"seeds={value!r}: some that follow one another, from 0 or later, as in range(1000, 2000)")
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"seeds={value!r}: how many, or a range of them")
    if value < 1:
        raise ValueError(f"seeds={value!r}: at least 1, or nothing is tried")
    return range(value)


def _names(option: str, value: object) -> tuple[str, ...] | None:
    names = (value,) if isinstance(value, str) else in_order(value) if isinstance(value, Iterable) else None
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"{option}={value!r}: a host's name, or several in a list")
    for name in names:
        if "," in name:
            raise ValueError(
                f"{option}={name!r} is no host's name; several are a list: {[each.strip() for each in name.split(',')]!r}"
            )
    return tuple(dict.fromkeys(names))


def _kinds(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or (isinstance(value, type) and issubclass(value, Fault)):
        value = (value,)
    if not isinstance(value, Iterable):
        raise TypeError(f"{option}={value!r}: a kind of fault, or several in a list")
    several = tuple(value)
    if not several:
        raise ValueError(f"{option}={value!r} names no kind of fault; leave it out for all of them")
    return named_kinds(several)


def _survives(option: str, value: object) -> tuple[str, ...]:
    names = _kinds(option, value) if value != () else ()
    for name in names:
        if name in TRANSPARENT and not KINDS[name].delays:  # a stall breaks something once a time-out elapses by it
            raise ValueError(
                f"{option}={name!r}: that kind is transparent, so the outcome must equal the baseline's anyway"
            )
    return names


def _depth(option: str, value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{option}={value!r}: {_DEPTHS}")
    if value not in (1, 2, RECOVERY):
        raise ValueError(f"{option}={value!r}: {_DEPTHS}")
    return value


def _exceptions(option: str, value: object) -> tuple[type[BaseException], ...]:
    types = (value,) if isinstance(value, type) else tuple(value) if isinstance(value, Iterable) else (value,)
    for each in types:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(f"{option}={value!r}: exception classes, as in an except clause")
    return types


def _globals(option: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{option}={value!r}: names such as 'module:attribute'")
    return checked_names((value,) if isinstance(value, str) else tuple(value))


def _whole(option: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{option}={value!r}: a whole number")
    return value


def _positive(option: str, value: object) -> int:
    number = _whole(option, value)
    if number < 1:
        raise ValueError(f"{option}={value!r}: at least 1, or nothing is swept")
    return number
