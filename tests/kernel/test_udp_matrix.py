"""Every cell of the measured table of UDP states and operations."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.kernel.messages import AF_INET, SOCK_DGRAM
from tests.kernel.matrix import Cell, cells, operations, play, said
from tests.kernel.simulated import Simulated

TABLE = cells("udp")
MASKS = {cell.state: cell.first for cell in TABLE if cell.operation == "readiness"}


def bring(world: Any, state: str) -> Any:
    a = world.socket(AF_INET, SOCK_DGRAM)
    if state == "fresh":
        return a
    if state == "unconn_refused":
        closed = world.socket(AF_INET, SOCK_DGRAM)
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
        world.close(closed)
        said(world, lambda: world.sendto(a, b"x", address))
        return a
    a.bind(("127.0.0.1", 0))
    if state == "bound":
        return a
    b = world.socket(AF_INET, SOCK_DGRAM)
    b.bind(("127.0.0.1", 0))
    a.connect(b.getsockname())
    b.connect(a.getsockname())
    world.kept.append(b)
    if state in ("conn_data", "refused_data"):
        said(world, lambda: b.send(b"hello"), lambda: b.send(b""))
    if state in ("conn_refused", "refused_data"):
        said(world, lambda: world.close(b), lambda: a.send(b"x"))
    if state == "shut_rd":
        a.shutdown(0)
    if state == "shut_wr":
        a.shutdown(1)
    return a


def differences(world: Any, cell: Cell) -> list[str]:
    s = bring(world, cell.state)
    before = MASKS[cell.state]
    if world.mask(s) != before:
        return [f"{cell.state}: {world.mask(s)}, the kernel says {before}"]
    live = world.socket(AF_INET, SOCK_DGRAM)
    live.bind(("127.0.0.1", 0))
    world.kept.append(live)
    call = operations(world, s, live.getsockname(), None)[cell.operation]
    return play(world, cell, before, call, s)


@pytest.mark.parametrize("state", MASKS)
def test_every_operation_answers_as_the_kernel_did(state: str) -> None:
    wrong = []
    for cell in TABLE:
        if cell.state == state and cell.operation != "readiness":
            wrong += differences(Simulated(), cell)
    assert not wrong, "\n".join(wrong)
