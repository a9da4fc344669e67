"""A sweep as one example of hypothesis: what it draws may leave nothing to do for the kinds that are named, as no bytes do for `split`.

Such an example is passed over, as ``assume`` does. If all are, hypothesis says that it found none.
"""

from __future__ import annotations

import sys

__all__ = ["pass_over"]


def pass_over(why: object) -> None:
    """Does not return where an example runs; *why* is counted among the events of hypothesis's statistics."""
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and hypothesis.currently_in_test_context():
        hypothesis.event(f"nothing to sweep: {why}")
        hypothesis.reject()
