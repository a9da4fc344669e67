"""Packages that run outside processes and measure real time: what they bound before the first network stays theirs, and so does what they
register for the interpreter's end.
"""

from __future__ import annotations

__all__ = ["is_spared"]

SPARED = frozenset(
    {
        *("_pytest", "pytest", "pluggy", "xdist", "execnet", "pytest_cov", "pytest_timeout", "pytest_benchmark"),
        *("hypothesis", "coverage", "greenlet", "simnet"),
        *("bdb", "pdb", "pydevd", "debugpy", "_pydevd_bundle", "_pydev_bundle", "IPython"),
    }
)


def is_spared(name: str) -> bool:
    """Is the module of that *name* of such a package?"""
    return name.partition(".")[0] in SPARED and not name.startswith("simnet.demo")
