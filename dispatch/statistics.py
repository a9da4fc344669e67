"""Counters of channels, as values of one moment."""

from __future__ import annotations

from typing import NamedTuple


class StreamStatistics(NamedTuple):
    """A stream at one moment, in bytes."""

    received: int
    sent: int
    queued: int
    lost: int
    paused: bool  # by pause()
    full: bool  # more than high_water waits


class ListenerStatistics(NamedTuple):
    """A listener at one moment."""

    accepted: int
    open: int  # of those, known only with a limit; else -1
    shed: int  # hung up on, for want of a descriptor
    rests: int  # how often resources were short
