"""What the network is going to do: a list of faults and a scheduling policy, as one frozen value.

A run is a function of (test, plan, seed). So a plan is a value: it compares, hashes, prints as Python that makes it again, and has a
one-line form for reports and a table form for files, both of which read back to an equal plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, overload

import msgspec

from simnet.faults.fault import Fault
from simnet.faults.fields import INTEGER_MAX, FaultError, FaultTypeError, meant
from simnet.faults.forms import fault_from_table, fault_to_table, parse_fault

__all__ = ["FaultPlan", "PlanError", "refuse_seed"]

NO_FAULTS: Final = "no faults"

_T = TypeVar("_T")

_SCHEDULE = re.compile(r"fifo|(?:random|pct):(?:0|[1-9][0-9]{0,18})")


class PlanError(FaultError):
    """A plan that is wrong; ``index`` is the fault that is wrong (from 0), ``key`` the field, where they are known."""

    def __init__(self, message: str, index: int | None = None, key: str | None = None) -> None:
        super().__init__(message, key)
        self.index = index


class FaultPlan(msgspec.Struct, frozen=True):
    """A list of faults, of which the earlier one wins where two meet, and the order of simultaneous events.

    ``schedule`` orders simultaneous events: ``"fifo"``, ``"random:SEED"`` or ``"pct:SEED"``. ``seed`` seeds the run's other random
    numbers: a link's jitter, and what programs draw from ``random``.
    """

    faults: tuple[Fault, ...] = ()
    schedule: str = "fifo"
    seed: int = 0

    if TYPE_CHECKING:  # any iterable will do, a list too, as the plan's repr writes one

        def __init__(self, faults: Iterable[Fault] = (), schedule: str = "fifo", seed: int = 0) -> None: ...

    def __post_init__(self) -> None:
        faults = self.faults
        if not (type(faults) is tuple and len(faults) == 1 and isinstance(faults[0], Fault)):  # as a sweep's plans are
            msgspec.structs.force_setattr(self, "faults", _faults(faults))
        if self.schedule != "fifo":
            _check_schedule(self.schedule)
        if self.seed.__class__ is not int or not 0 <= self.seed <= INTEGER_MAX:
            refuse_seed(self.seed)

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """The plan that ``str(plan)`` wrote: faults and settings with semicolons between them.

        ``would-block server:7 accept call=1; eof client->server:7#1 end=server byte=5; schedule=random:3; seed=4``

        Raises:
            PlanError: which fault is wrong, why, and the remedy.
        """
        if not isinstance(text, str):
            raise FaultTypeError(
                f"{text!r} is {type(text).__name__}; a plan in one line is a text; tables are read by from_tables"
            )
        faults: list[Fault] = []
        settings: dict[str, object] = {}
        for item in (part.strip() for part in text.split(";")):
            name, equals, value = item.partition("=")
            if not item or item == NO_FAULTS:
                continue
            if not equals or len(name.split()) > 1:
                with _Numbered(len(faults)):
                    faults.append(parse_fault(item))
                continue
            if name not in ("schedule", "seed"):
                raise PlanError(
                    f"{item!r} is neither a fault nor a setting{meant(name, ('schedule', 'seed'))}", key=name
                )
            if name in settings:
                raise PlanError(f"{name} is given twice in {text!r}", key=name)
            settings[name] = int(value) if name == "seed" and re.fullmatch(r"-?[0-9]{1,30}", value) else value
        return cls(tuple(faults), **settings)  # type: ignore[arg-type]  # the plan checks what it is given

    def to_tables(self) -> dict[str, object]:
        """The plan as TOML holds it: ``fault``, a list of tables, and ``schedule`` and ``seed`` where they are not the defaults."""
        tables: dict[str, object] = {}
        if self.schedule != "fifo":
            tables["schedule"] = self.schedule
        if self.seed != 0:
            tables["seed"] = self.seed
        tables["fault"] = [fault_to_table(fault) for fault in self.faults]
        return tables

    @classmethod
    def from_tables(cls, tables: Mapping[str, object]) -> FaultPlan:
        """The plan that `to_tables` wrote.

        Raises:
            PlanError: which fault and key is wrong, why, and the remedy.
        """
        if not isinstance(tables, Mapping):
            raise FaultTypeError(
                f"{tables!r} is {type(tables).__name__}; a plan's tables are a mapping with the key 'fault'"
            )
        for key in tables:
            if key not in ("fault", "schedule", "seed"):
                raise PlanError(
                    f"{key!r} is no part of a plan{meant(str(key), ('fault', 'schedule', 'seed'))}", key=key
                )
        listed = tables.get("fault", [])
        if isinstance(listed, Mapping):
            raise PlanError("fault is one table; faults are a list of them: write [[fault]] above each", key="fault")
        if isinstance(listed, str | bytes) or not isinstance(listed, Iterable):
            raise PlanError(
                f"fault={listed!r} is {type(listed).__name__}; faults are a list of tables, written [[fault]]",
                key="fault",
            )
        faults: list[Fault] = []
        for index, table in enumerate(listed):
            with _Numbered(index):
                faults.append(fault_from_table(table))
        settings = {key: tables[key] for key in ("schedule", "seed") if key in tables}
        return cls(tuple(faults), **settings)  # type: ignore[arg-type]  # the plan checks what it is given

    @property
    def transparent(self) -> bool:
        """Whether a correct program must give the baseline's outcome under it."""
        return all(fault.harmless for fault in self.faults)

    def without(self, index: int) -> FaultPlan:
        """The plan less one fault."""
        self._check_index(index)
        return msgspec.structs.replace(self, faults=tuple(fault for i, fault in enumerate(self.faults) if i != index))

    def replace(self, index: int, fault: Fault) -> FaultPlan:
        """The plan with one fault replaced by another."""
        self._check_index(index)
        return msgspec.structs.replace(self, faults=(*self.faults[:index], fault, *self.faults[index + 1 :]))

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self.faults):
            raise IndexError(f"{index=} is outside the plan's {len(self.faults)} faults, counted from 0")

    def __add__(self, more: FaultPlan | Fault) -> FaultPlan:
        if isinstance(more, Fault):
            return msgspec.structs.replace(self, faults=(*self.faults, more))
        if not isinstance(more, FaultPlan):
            return NotImplemented
        schedule = _either("schedule", self.schedule, more.schedule, "fifo")
        return FaultPlan((*self.faults, *more.faults), schedule, _either("seed", self.seed, more.seed, 0))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    @overload
    def __getitem__(self, index: int) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Fault, ...]: ...
    def __getitem__(self, index: int | slice) -> Fault | tuple[Fault, ...]:
        return self.faults[index]

    def __str__(self) -> str:
        items = [str(fault) for fault in self.faults] or [NO_FAULTS]
        if self.schedule != "fifo":
            items.append(f"schedule={self.schedule}")
        if self.seed != 0:
            items.append(f"seed={self.seed}")
        return "; ".join(items)

    def __repr__(self) -> str:
        arguments = [f"[{', '.join(map(repr, self.faults))}]"] if self.faults else []
        if self.schedule != "fifo":
            arguments.append(f"schedule={self.schedule!r}")
        if self.seed != 0:
            arguments.append(f"seed={self.seed!r}")
        return f"FaultPlan({', '.join(arguments)})"


class _Numbered:
    """Tells which fault of a plan an error is about."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, FaultError):
            raise PlanError(f"fault {self.index + 1}: {error}", self.index, error.key) from error


def _faults(faults: object) -> tuple[Fault, ...]:
    if isinstance(faults, Fault):
        raise FaultTypeError(f"faults={faults!r} is one fault; a plan takes several: FaultPlan([{faults!r}])")
    if isinstance(faults, str):
        raise FaultTypeError(f"faults={faults!r} is a text; FaultPlan.parse reads one")
    if not isinstance(faults, Iterable):
        raise FaultTypeError(
            f"faults={faults!r} is {type(faults).__name__}; a plan takes several faults, as in FaultPlan([faults.Split(...)])"
        )
    several = tuple(faults)
    for index, fault in enumerate(several):
        if not isinstance(fault, Fault):
            raise FaultTypeError(
                f"faults[{index}]={fault!r} is {type(fault).__name__}; a plan holds faults, such as faults.Split(...)"
            )
    return several


def _check_schedule(schedule: object) -> None:
    if not isinstance(schedule, str):
        raise FaultTypeError(
            f"schedule={schedule!r} is {type(schedule).__name__}; it is 'fifo', 'random:SEED' or 'pct:SEED'", "schedule"
        )
    if not _SCHEDULE.fullmatch(schedule):
        raise PlanError(
            f"schedule={schedule!r} is none of 'fifo', 'random:SEED' and 'pct:SEED', where SEED is a whole number",
            key="schedule",
        )


def refuse_seed(seed: object) -> NoReturn:
    """Say why *seed*, which is none, is none."""
    if type(seed) is not int:  # not a bool, which is an int to isinstance
        raise FaultTypeError(f"seed={seed!r} is {type(seed).__name__}; it is a whole number", "seed")
    raise PlanError(f"seed={seed} is outside 0..{INTEGER_MAX}", key="seed")


def _either(name: str, one: _T, other: _T, default: _T) -> _T:
    """What two plans say together, if one of them says nothing or both the same."""
    if default not in (one, other) and one != other:
        raise PlanError(f"the plans differ in {name}: {one!r} and {other!r}; one run has one", key=name)
    return other if one == default else one
