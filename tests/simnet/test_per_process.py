"""Globals that each process of each run finds fresh, and what a network leaves behind that cannot be entered: nothing."""

from __future__ import annotations

import enum
import signal
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import pytest

import simnet
from dispatch import asyncore
from simnet import tellers
from simnet.realnet import RealNetwork

WORLDS = pytest.mark.parametrize("world", [simnet.Network, RealNetwork])


class Pair(NamedTuple):
    one: int
    other: int


class Color(enum.IntEnum):
    RED = 1


clients: defaultdict[str, list[int]] = defaultdict(list)
latest: deque[int] = deque(maxlen=2)
pair = Pair(1, 2)
color = Color.RED
moment = datetime


@WORLDS
def test_a_fresh_container_is_made_as_the_first_one_was(world: Any) -> None:
    def use() -> tuple[list[int], list[int]]:
        clients["a"].append(1)
        latest.extend((1, 2, 3))
        return clients["a"], list(latest)

    with world(per_process=[f"{__name__}:clients", f"{__name__}:latest"]) as net:
        assert net.host("a").run(use) == ([1], [2, 3])
        assert net.host("b").run(use) == ([1], [2, 3])
        assert use() == ([1], [2, 3])
    assert not clients
    assert not latest


@WORLDS
@pytest.mark.parametrize("name", ["pair", "color", "moment.max"])
def test_what_cannot_be_made_of_nothing_is_refused_and_no_trace_of_it_stays(world: Any, name: str) -> None:
    ours, heard, interrupted = asyncore.socket_map, tellers._hearers, signal.getsignal(signal.SIGINT)
    with pytest.raises(TypeError, match=rf"per_process='.*:{name}': a fresh \w+ cannot be put there"):
        world(per_process=["dispatch.asyncore:socket_map", f"{__name__}:{name}"]).begin()
    assert asyncore.socket_map is ours
    assert tellers._hearers == heard
    assert signal.getsignal(signal.SIGINT) is interrupted
    with world():
        pass


@pytest.mark.parametrize("other", [simnet.Network, RealNetwork])
def test_a_network_that_is_refused_changes_nothing_of_the_one_that_runs(other: Callable[[], Any]) -> None:
    def stopped(net: simnet.Network) -> Any:
        ours = asyncore.socket_map
        ours[1] = None
        with pytest.raises(RuntimeError, match="another network"):
            other().begin()
        assert asyncore.socket_map is ours
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return "stopped"

    with pytest.raises(KeyboardInterrupt):
        simnet.play(stopped)
