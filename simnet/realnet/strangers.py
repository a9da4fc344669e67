"""Strangers on real sockets: before a client of the test connects, others do, one after the other, and vanish, or stay."""

from __future__ import annotations

import socket as _stdlib
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.faults.hosts import Strangers
from simnet.realnet.calls import C

if TYPE_CHECKING:
    from simnet.faults.place import Place
    from simnet.realnet.stage import Stage

__all__ = ["come_before", "go_home"]

PATIENCE = 0.2  # seconds for a connect, or for an answer: who gets none goes on without
STEP = 0.0005  # seconds between two looks
STILL_NS = 2_000_000  # nothing has moved for so long: who serves it has done what it does
ANSWER_NS = 20_000_000  # how long that may take
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST
READS_MAX = 1 << 16


def come_before(stage: Stage, place: Place, family: int, target: Any) -> None:
    """The connection *place* is about to be made to *target*: if strangers come first, its thread waits meanwhile."""
    for fault in stage.injector.strangers:
        if isinstance(fault, Strangers) and fault.acts_at(place):
            stage.fire(fault, place, str(place), "", 1)
            with stage.current.blocked("the strangers before it", None):  # who serves them has not to wait for it
                for index in range(fault.count):
                    with suppress(OSError):
                        _come(stage, fault, index, C(family, _stdlib.SOCK_STREAM), target)


def go_home(stage: Stage) -> None:
    """The test has ended: whoever has stayed goes."""
    while stage.strangers:
        _vanish(stage.strangers.pop())


def _come(stage: Stage, fault: Strangers, index: int, sock: Any, target: Any) -> None:
    try:
        C.settimeout(sock, PATIENCE)
        C.connect(sock, target)
        _let_answer(stage)
        if data := fault.part(index):
            C.send(sock, data)
            _let_answer(stage)
        if fault.polite:
            with suppress(OSError):
                C.recv(sock, READS_MAX)
        elif fault.says_goodbye(index) and not fault.stays:  # what is unread makes an RST of a FIN
            with suppress(OSError):
                C.recv(sock, READS_MAX, _stdlib.MSG_DONTWAIT)
    except OSError:
        C.close(sock)
        raise
    if fault.stays:
        stage.strangers.append(sock)
    elif fault.says_goodbye(index):
        C.close(sock)
    else:
        _vanish(sock)
    stage.moved()


def _let_answer(stage: Stage) -> None:
    """What has arrived is read, and answered, within a bound."""
    stage.moved()
    end_ns = stage.clock.now_ns + ANSWER_NS
    while stage.still_for_ns() < STILL_NS and stage.clock.now_ns < end_ns:
        real.sleep(STEP)
    stage.let_others_wait(stage.current)


def _vanish(sock: Any) -> None:
    with suppress(OSError):
        C.setsockopt(sock, _stdlib.SOL_SOCKET, _stdlib.SO_LINGER, AT_ONCE)
    C.close(sock)
