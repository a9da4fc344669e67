"""What a scenario expects, what it records of how it was found, and the error that says what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from simnet.faults.fields import meant
from simnet.invariants import NAMES

__all__ = ["IN_WORDS", "RULES", "Expect", "Found", "ScenarioError", "check_keys", "wrong"]

# What `invariant` may name: an invariant, a row of the verdict table (`explore.table`), a bound of a run.
RULES = (
    *NAMES,
    *("target-raised", "waits-for-ever", "support-raised", "support-waits", "body-raised", "body-waits", "outcome"),
    *("NotModelled", "Escape", "Hang"),
)

IN_WORDS = {"outcome": "another outcome"}  # of a rule whose name alone says little


class ScenarioError(ValueError):
    """A scenario that is wrong: where (``path``, ``line``, ``fault`` counted from 1, ``key``), and ``reason`` with the remedy."""

    def __init__(
        self,
        reason: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        fault: int | None = None,
        key: str | None = None,
    ) -> None:
        place = str(path) if path is not None else ""
        if line is not None:
            place = f"{place}:{line}" if place else f"line {line}"
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.path, self.line, self.fault, self.key = reason, path, line, fault, key


class Expect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the run is to end: exactly one of ``outcome``, ``error``, ``invariant`` and ``interrupted``; by default, like the baseline.

    An expected failure is *known*: it passes until it is fixed. ``reason`` says why it may stay, as in ``"#123"``.
    """

    outcome: str | None = None
    """``"baseline"``: as without faults."""
    error: str | None = None
    """The name of the exception that a target ends with or a handler raises."""
    at: str | None = None
    """Where that error comes from: a handler's name or ``file.py:71``."""
    invariant: str | None = None
    """The name of the invariant that is broken, or of another rule of the verdict table."""
    interrupted: bool = False
    """A disruptive fault may interrupt the body."""
    reason: str | None = None

    def __post_init__(self) -> None:
        _check_texts(self, "outcome", "error", "at", "invariant", "reason")
        if not isinstance(self.interrupted, bool):
            raise wrong("interrupted", self.interrupted, "true, or left out")
        said = [name for name in ("outcome", "error", "invariant", "interrupted") if getattr(self, name)]
        if not said and self.reason is None and self.at is None:
            msgspec.structs.force_setattr(self, "outcome", "baseline")
            said = ["outcome"]
        if self.at is not None and self.error is None:
            raise ScenarioError(
                f'at={self.at!r} says where an error comes from; say which one, as in error = "TypeError"', key="at"
            )
        if len(said) != 1:
            what = " and ".join(said) or "none of them"
            raise ScenarioError(
                f"one of outcome, error, invariant and interrupted is expected; here is {what}",
                key=said[-1] if said else None,
            )
        if self.outcome not in (None, "baseline"):
            raise ScenarioError(
                f"outcome={self.outcome!r} is unknown; it is 'baseline', the outcome of the run without faults",
                key="outcome",
            )
        if self.invariant is not None and self.invariant not in RULES:
            raise ScenarioError(
                f"invariant={self.invariant!r} is no rule that can be broken{meant(self.invariant, RULES)}",
                key="invariant",
            )
        if self.outcome is not None and self.reason is not None:
            raise ScenarioError(
                f"reason={self.reason!r} excuses a failure, but none is expected; leave it out", key="reason"
            )

    @property
    def known(self) -> bool:
        """Whether a failure is expected."""
        return self.error is not None or self.invariant is not None

    def to_table(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name)}

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        if self.error is not None:
            return f"{self.error}{f' at {self.at}' if self.at else ''}{reason}"
        if self.invariant is not None:
            what = (
                f"{self.invariant} broken" if self.invariant in NAMES else IN_WORDS.get(self.invariant, self.invariant)
            )
            return f"{what}{reason}"
        return f"interrupted{reason}" if self.interrupted else "the baseline's outcome"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How the scenario was found; for the reader, and for replay to compare with."""

    by: str = ""
    """``sweep``, ``fuzz``, a person's name."""
    runs: int | None = None
    """How many runs that sweep made."""
    kernel: str | None = None
    """What real sockets said: ``confirmed on the kernel: the same failure``."""
    failure: str | None = None
    """The failure in words: ``TypeError at tutorial_server.py:71``."""
    trace: str | None = None
    """The digest of the failing run's trace: the same again is an *exact* replay."""
    hits: str | None = None
    """What the faults hit: ``recv b'hello', 1 of 2``. If it is something else now, *fixed* is said only after a search."""

    def __post_init__(self) -> None:
        if not isinstance(self.by, str):
            raise wrong("by", self.by, "a text")
        _check_texts(self, "kernel", "failure", "trace", "hits")
        if self.runs is not None and (type(self.runs) is not int or self.runs < 0):
            raise wrong("runs", self.runs, "a whole number from 0 on")

    def to_table(self) -> dict[str, object]:
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) not in (None, "")}


def check_keys(what: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ScenarioError(f"{key!r} is no key of {what}{meant(key, known)}", key=key)


def _check_texts(part: Expect | Found, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise wrong(name, value, "a text that says something")


def wrong(key: str, value: object, right: str) -> ScenarioError:
    return ScenarioError(f"{key}={value!r} is {type(value).__name__}; it is {right}", key=key)
