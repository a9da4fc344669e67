"""Every cell of the measured tables of Unix sockets: stream, datagram and seqpacket."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from tests.kernel.matrix import Cell, cells, operations, outcome, play, said
from tests.kernel.simulated import Simulated

TYPES = {"unix_stream": SOCK_STREAM, "unix_dgram": SOCK_DGRAM, "unix_seqpacket": SOCK_SEQPACKET}
TABLES = {name: cells(name) for name in TYPES}


def masks(table: str) -> dict[str, str]:
    return {cell.state: cell.first for cell in TABLES[table] if cell.operation == "readiness"}


def bring(world: Any, state: str, type: int) -> Any:
    if state in ("fresh", "listening"):
        s = world.socket(AF_UNIX, type)
        if state == "listening":
            s.bind(world.path)
            s.listen()
        return s
    a, b = world.pair(type)
    world.kept.append(b)
    if state == "full":
        while outcome(lambda: a.send(bytes(1000))) != "EAGAIN":
            pass
    if "unread" in state:
        said(world, lambda: a.send(b"x"))
    if state.endswith("data"):
        said(world, lambda: b.send(b"hello"))
    if state.startswith("peer_closed"):
        world.close(b)
    if "shut" in state:
        how = {"shutrd": 0, "shutwr": 1, "shutrdwr": 2}[state.partition("_")[2]]
        (a if state.startswith("self") else b).shutdown(how)
    return a


def differences(world: Any, table: str, cell: Cell) -> list[str]:
    s = bring(world, cell.state, TYPES[table])
    before = masks(table)[cell.state]
    if world.mask(s) != before:
        return [f"{cell.state}: {world.mask(s)}, the kernel says {before}"]
    return play(world, cell, before, operations(world, s, None, None)[cell.operation], s)


@pytest.mark.parametrize(
    ("table", "state"), [(table, state) for table in TYPES for state in masks(table)], ids=lambda value: value
)
def test_every_operation_answers_as_the_kernel_did(table: str, state: str) -> None:
    wrong = []
    for cell in TABLES[table]:
        if cell.state == state and cell.operation != "readiness":
            wrong += differences(Simulated(), table, cell)
    assert not wrong, "\n".join(wrong)
