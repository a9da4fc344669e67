"""Every cell of the measured table of TCP states and operations, on one simulated host."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.kernel.messages import MSG_OOB
from tests.kernel.matrix import LINGER_ZERO, SO_LINGER, SOL_SOCKET, Cell, cells, operations, outcome, play, said
from tests.kernel.simulated import Simulated

TABLE = cells("tcp")
MASKS = {cell.state: cell.first for cell in TABLE if cell.operation == "readiness"}


def bring(world: Any, state: str) -> Any:
    """A socket in *state*, made as the measurements made it."""
    a = world.socket()
    if state == "fresh":
        return a
    if state == "bound":
        a.bind(("127.0.0.1", 0))
        return a
    listener = world.socket()
    listener.bind(("127.0.0.1", 0))
    world.kept.append(listener)
    if state in ("refused", "refused_read"):
        outcome(lambda: a.connect(listener.getsockname()))
        world.settle()
        if state == "refused_read":
            outcome(lambda: a.recv(1))
        return a
    listener.listen(5)
    if state == "listening":
        return listener
    outcome(lambda: a.connect(listener.getsockname()))
    world.settle()
    if state == "listening_pending":
        world.kept.append(a)
        return listener
    if state == "conn_new":
        return a
    c, _ = listener.accept()
    if hasattr(c, "setblocking"):
        c.setblocking(False)
    world.kept.append(c)
    STEPS[state](world, a, c)
    world.settle()
    return a


def fill(world: Any, a: Any, c: Any) -> None:
    while outcome(lambda: a.send(bytes(1 << 20))) != "EAGAIN":
        world.settle()


def reset(c: Any) -> None:
    c.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_ZERO)


STEPS: dict[str, Any] = {
    "conn": lambda w, a, c: None,
    "conn_data": lambda w, a, c: said(w, lambda: c.send(b"hello")),
    "conn_full": fill,
    "peer_shutwr": lambda w, a, c: said(w, lambda: c.shutdown(1)),
    "peer_shutrd": lambda w, a, c: said(w, lambda: c.shutdown(0)),
    "peer_fin_data": lambda w, a, c: said(w, lambda: c.send(b"hello"), lambda: w.close(c)),
    "peer_closed": lambda w, a, c: w.close(c),
    "peer_closed_unread": lambda w, a, c: said(w, lambda: a.send(b"x"), lambda: w.close(c)),
    "peer_closed_unread_data": lambda w, a, c: said(
        w, lambda: a.send(b"x"), lambda: c.send(b"hello"), lambda: w.close(c)
    ),
    "peer_closed_sent": lambda w, a, c: said(w, lambda: w.close(c), lambda: a.send(b"x")),
    "self_shutwr": lambda w, a, c: said(w, lambda: a.shutdown(1)),
    "self_shutrd": lambda w, a, c: said(w, lambda: a.shutdown(0)),
    "self_shutrdwr": lambda w, a, c: said(w, lambda: a.shutdown(2)),
    "both_shut": lambda w, a, c: said(w, lambda: a.shutdown(1), lambda: c.shutdown(1)),
    "both_shut_c_first": lambda w, a, c: said(w, lambda: c.shutdown(1), lambda: a.shutdown(1)),
    "peer_rst": lambda w, a, c: said(w, lambda: reset(c), lambda: w.close(c)),
    "peer_rst_data": lambda w, a, c: said(w, lambda: c.send(b"hello"), lambda: reset(c), lambda: w.close(c)),
    "peer_rst_read": lambda w, a, c: said(w, lambda: reset(c), lambda: w.close(c), lambda: a.recv(1)),
    "peer_fin_then_rst": lambda w, a, c: said(w, lambda: c.shutdown(1), lambda: reset(c), lambda: w.close(c)),
    "oob": lambda w, a, c: said(w, lambda: c.send(b"!", MSG_OOB)),
    "oob_mid": lambda w, a, c: said(w, lambda: c.send(b"ab"), lambda: c.send(b"!", MSG_OOB), lambda: c.send(b"cd")),
}


def differences(world: Any, cell: Cell) -> list[str]:
    s = bring(world, cell.state)
    before = MASKS[cell.state]
    if world.mask(s) != before:
        return [f"{cell.state}: {world.mask(s)}, the kernel says {before}"]
    live, dead = world.socket(), world.socket()
    for other in (live, dead):
        other.bind(("127.0.0.1", 0))
        world.kept.append(other)
    live.listen(5)
    call = operations(world, s, live.getsockname(), dead.getsockname())[cell.operation]
    return play(world, cell, before, call, s)


@pytest.mark.slow
@pytest.mark.parametrize("state", [state for state in MASKS if state != "closed"])
def test_every_operation_answers_as_the_kernel_did(state: str) -> None:
    wrong = []
    for cell in TABLE:
        if cell.state == state and cell.operation != "readiness":
            wrong += differences(Simulated(), cell)
    assert not wrong, "\n".join(wrong)
