"""The verdict table as data: who did what, against which faults fired. ``verdict`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["BOUNDS", "EQUAL", "EXCUSED", "FAILURE", "HANG", "INTERRUPTED", "NOTED", "OFF", "TABLE", "WARNING"]

EQUAL: Final = "equal"
FAILURE: Final = "failure"
INTERRUPTED: Final = "interrupted"  # by a disruptive fault: counted, shown in the summary
NOTED: Final = "noted"  # another outcome than the baseline's, under a disruptive fault
WARNING: Final = "warning"
EXCUSED: Final = "excused"  # an errno that the fault itself made
OFF: Final = "off"  # by `invariants=`

TABLE: Mapping[str, tuple[str, str]] = {
    # what happened      only transparent faults fired, a disruptive fault fired
    "broken": (FAILURE, FAILURE),  # an invariant or net.always; NotModelled, Escape, Hang: whoever it was
    "handler-raised": (FAILURE, FAILURE),  # an exception reached a target's handle_error or its loop's handler
    "target-raised": (FAILURE, FAILURE),  # an exception ended a target's process
    "waits-for-ever": (FAILURE, WARNING),  # a target waits for ever, without a deadline
    "support-raised": (FAILURE, INTERRUPTED),  # an exception ended a process of the support
    "support-waits": (FAILURE, INTERRUPTED),
    "body-raised": (FAILURE, INTERRUPTED),  # an exception left the test's body, AssertionError included
    "body-waits": (FAILURE, INTERRUPTED),
    "outcome": (FAILURE, NOTED),  # unlike the baseline's
}

# Beyond the bounds of the simulation: whatever else the run shows comes after this.
HANG = "Hang"
BOUNDS = ("NotModelled", "Escape", HANG)
