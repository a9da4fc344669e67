"""A sweep as one example of hypothesis: what it draws may leave nothing to do for the kinds that are named, as no bytes do for `split`.

Such an example is passed over, as ``assume`` does. If all are, hypothesis says that it found none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

__all__ = ["pass_over", "refuse_what_draws"]

# What hypothesis gives a test to draw from while it runs: data() and randoms().
DRAW = ("DataObject", "ArtificialRandom", "TrueRandom")


def refuse_what_draws(arguments: Iterable[object], test: str) -> None:
    """Raise TypeError if one of them draws anew in each run, and so makes no two of them alike; *test* is its place and name."""
    for each in arguments:
        kind = type(each)
        if kind.__name__ in DRAW and kind.__module__.partition(".")[0] == "hypothesis":
            raise TypeError(
                f"{test} is given hypothesis's {'data' if kind.__name__ == DRAW[0] else 'randoms'}(), from which each run of the "
                "sweep would draw something else: draw what @given itself gives, as in @given(payload=simnet.strategies.payloads()), "
                "or draw first and then call simnet.check"
            )


def pass_over(why: object) -> None:
    """Does not return where an example runs; *why* is counted among the events of hypothesis's statistics."""
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and hypothesis.currently_in_test_context():
        hypothesis.event(f"nothing to sweep: {why}")
        hypothesis.reject()
