"""How one plan of what was swept is played in code: the call that a report of a notebook's, or of unittest's, gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simnet.explore.options import SweepOptions
from simnet.explore.report.words import typed

if TYPE_CHECKING:
    from simnet.explore.result import SweepResult
    from simnet.faults.plan import FaultPlan

__all__ = ["beginning_of_call", "for_python"]


def beginning_of_call(result: SweepResult) -> str:
    """It, up to the plan: ``simnet.check(test, target="server"``. Without what else was asked for it might pass."""
    name = result.name.rpartition("::")[2]
    owner = "self." if result.name.count("::") > 1 else ""
    return ", ".join([f"simnet.check({owner}{name if name.isidentifier() else 'test'}", *_options(result.options)])


def _options(options: SweepOptions) -> Iterator[str]:
    """Those that count for a run, as they are typed."""
    if options.target is not None:
        yield f"target={_one_or_several(options.target)}"
    if options.survives:
        yield f"survives={_one_or_several(options.survives)}"
    if options.may_raise:
        yield f"may_raise=({', '.join(map(typed, options.may_raise))},)"
    if options.strict:
        yield "strict=True"
    if options.invariants:
        yield f"invariants={json.dumps(dict(options.invariants), ensure_ascii=False)}"
    if options.seed:
        yield f"seed={options.seed}"
    if options.per_process:
        yield f"per_process={_one_or_several(options.per_process)}"


def _one_or_several(names: tuple[str, ...]) -> str:
    return json.dumps(names[0] if len(names) == 1 else names, ensure_ascii=False)


def for_python(plan: FaultPlan) -> str:
    r"""In double quotes, as a plan itself has none but of an urgent byte; the backslash of a ``\x20`` is doubled."""
    return json.dumps(str(plan), ensure_ascii=False)
