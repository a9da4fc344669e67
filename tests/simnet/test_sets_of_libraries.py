"""A set of what a library makes iterates in the order in which a run has met its members, as one of asyncio's transports does."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

import simnet
from simnet import modules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("websockets.sync.connection", "Connection"), ("kombu.transport.virtual.base", "Channel")),
        *(("redis.connection", "AbstractConnection"), ("redis.asyncio.connection", "AbstractConnection")),
    ],
)
def test_a_set_of_a_librarys_connections_keeps_their_order(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library: Any = ModuleType(module)
    setattr(library, name, type(name, (), {}))
    heir = type("Heir", (getattr(library, name),), {})
    monkeypatch.setitem(sys.modules, module, library)
    modules.restore()  # there are as many as before
    with simnet.Network():
        met = [heir() for _ in range(30)][::-1]
        assert [hash(each) - hash(met[0]) for each in met] == list(range(30))
        assert sorted(set(met), key=hash) == met
    modules.restore()
