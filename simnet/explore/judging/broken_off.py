"""Whether targets were told that a connection is broken by the test alone, which had failed, and closed what it held.

What the test has not read makes a reset of its close. A handler that lets that reset out would be told first, as the
cause, and is what follows: the test waits for ever, or says no, and nothing had been reset before.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from simnet.explore.judging.excuses import PEER_GONE, excused
from simnet.faults.hosts import BODY
from simnet.trace import CALL, SEGMENT, Failed

if TYPE_CHECKING:
    from simnet.run import Run
    from simnet.trace import Entry

__all__ = ["broken_off"]

CLOSES = frozenset({"close", "shutdown"})
GONE = frozenset(errno.errorcode[code] for code in PEER_GONE)  # as a trace has them


def broken_off(run: Run) -> bool:
    """Did the test fail first, and is all that the targets then raised what a socket says of a peer that is gone?"""
    if run.body_error is None:
        return False
    raised = [each.error for each in run.handler_errors if each.target]
    raised += [each.error for each in run.failures if each.target]
    if not raised or not all(excused(error, tuple(run.happened)) for error in raised):
        return False
    entries = run.trace.entries
    last = max((index for index, entry in enumerate(entries) if _of_the_test(entry)), default=0)
    for index, (_, kind, host, _, _, op, _, detail) in enumerate(entries):
        if kind == CALL and host != BODY and isinstance(detail[1], Failed) and detail[1] in GONE:
            return False  # somebody had been told so before
        if kind == SEGMENT and host == BODY and op == "RST" and index > last:
            return True
    return False


def _of_the_test(entry: Entry) -> bool:
    """A call by which it went on, and did not only close what it held."""
    return entry[1] == CALL and entry[2] == BODY and entry[5] not in CLOSES
