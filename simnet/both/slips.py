"""Misspelt host names: a network makes a host of every name, so one on which nothing ever was gets a warning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from simnet.machine import Machine
from simnet.verdicts import Verdict

__all__ = ["NO_SUCH_HOST", "never_there", "no_hosts"]

NO_SUCH_HOST: Final = "no-such-host"  # the name of the warning
NEAR: Final = 0.8  # from 0 to 1: "sever" and "server" are 0.91
DIGITS: Final = str.maketrans("", "", "0123456789")


def never_there(names: Iterable[str], machines: Mapping[str, Machine]) -> list[Verdict]:
    """A warning for each of *names*, which a link alone has named, that nobody has asked for and that is like another's.

    Hosts that differ by a number are meant to be several.
    """
    mistaken = [name for name in names if not machines[name].looked_up]
    others = [name for name in machines if name not in mistaken]
    found = []
    for name in mistaken:
        near = difflib.get_close_matches(name, others, n=1, cutoff=NEAR)
        if near and name.translate(DIGITS) != near[0].translate(DIGITS):
            text = f"a link or a partition names the host {name!r}, where nothing ever was; did you mean {near[0]!r}?"
            found.append(Verdict(NO_SUCH_HOST, text, name, level="warning"))
    return found


def no_hosts(targets: Iterable[str] | None, there: Iterable[str]) -> list[Verdict]:
    """A warning if none of the *targets* is one of the hosts *there*, beside the test's own; a mark may name more than each test has."""
    hosts, named = list(there), list(targets or ())
    if not named or len(hosts) < 2 or any(name in hosts for name in named):
        return []
    text = f"target={', '.join(named)}: the test has no host of that name. Hosts there are: {', '.join(hosts)}"
    return [Verdict(NO_SUCH_HOST, text, named[0], level="warning")]
