"""Hypothesis explains a failure by the lines that failing examples alone have run. It is kept from following simnet's own.

Of an example that fails simnet does more than of one that passes, and hypothesis tells only the first such lines of a run: not those of the program.
"""

from __future__ import annotations

import functools
import os

__all__ = ["leave_simnet_out"]

_SIMNET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


def leave_simnet_out() -> None:
    """From here on. A version of hypothesis that asks otherwise which files it follows still follows simnet's."""
    from hypothesis.internal import scrutineer

    follows = getattr(scrutineer, "should_trace_file", None)
    if follows is None or hasattr(follows, "without_simnet"):
        return

    @functools.cache
    def should_trace_file(path: str) -> bool:
        return not path.startswith(_SIMNET) and bool(follows(path))

    should_trace_file.without_simnet = True  # type: ignore[attr-defined]
    scrutineer.should_trace_file = should_trace_file
