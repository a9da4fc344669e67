"""What another program raised before, where the one that fails is under test and the other is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.blame import named, user_place

if TYPE_CHECKING:
    from simnet.explore.judging.findings import Finding
    from simnet.run import Run

__all__ = ["raised_by_support"]


def raised_by_support(run: Run, baseline: Run, main: Finding) -> str:
    """Who that is, and the line, if a loop of its caught what the run without faults does not have; empty if none did.

    A process that ends by it is a finding of its own; the loop of a server goes on, and its client finds the end of a connection.
    """
    usual = {(each.host, type(each.error)) for each in baseline.handler_errors}
    for each in run.handler_errors:
        if each.target or each.error is main.error or (each.host, type(each.error)) in usual:
            continue
        place = user_place(each.error)
        if place.path:
            what = f"{named(type(each.error))} before, at {place.short} in {place.function}"
            return f"{each.host}, which is not under test, had let out {what}: look there first"
    return ""
