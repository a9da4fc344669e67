"""Unix streams and connections of records of a real network, as plans name them.

Their paths are this machine's, whichever host binds one. An accepted Unix socket does not say who opened it; but the
kernel returns them in the order in which they connected, which is known for our own processes.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import socket as _stdlib
import sys
from typing import TYPE_CHECKING, Any

from simnet.faults.inject import Tag
from simnet.faults.kinds import Reset, ResetBeforeAccept
from simnet.faults.paths import PAIR, spelt
from simnet.faults.place import Place
from simnet.kernel.messages import AF_UNIX
from simnet.places.unix import CUTS
from simnet.realnet import tamper
from simnet.realnet.connection import Connection, RealFile
from simnet.realnet.process import RealProcess
from simnet.whereabouts import asked_by_a_library

if TYPE_CHECKING:
    from simnet.realnet.stage import Stage

__all__ = ["accepted", "bound", "connect", "listens", "opens", "remove_files", "socketpair"]

NOBODY = b"\0simnet: nobody listens here"
NOT_HERE = (Reset, ResetBeforeAccept)  # see `classes`

C = _socket.socket


def bound(stage: Stage, file: RealFile, name: str | bytes) -> None:
    """*file* is bound to *name*, and has made it if that is a path."""
    if file.joins and name:
        file.tag.text = f"{file.machine.name}:{spelt(name)}"
    if isinstance(name, str) and name:
        path = os.path.abspath(name)
        stage.unix_files.append((path, _identity(path)))


def remove_files(stage: Stage) -> None:
    """What this run has bound and not unlinked: a simulated one leaves nothing behind, and the next is to bind it again."""
    for path, made in stage.unix_files:
        if made is not None and _identity(path) == made:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def listens(stage: Stage, file: RealFile, name: str | bytes) -> None:
    """*file* listens, bound to *name*."""
    place = Place.listener(file.machine.name, spelt(name))
    if file.joins:
        file.tag = _armed(stage, file, place, "", stage.listeners.setdefault(place, file.tag.counts))
    else:
        file.tag.text = str(place)


def opens(stage: Stage, file: RealFile, name: str | bytes) -> str | bytes:
    """*file* is about to connect to *name*: the connection gets its name and its faults. Gives where to connect to."""
    listener = _listener(stage, file, spelt(name))
    if listener is not None and listener.machine is not file.machine:
        return name  # across hosts: no simulated network has such a thing, and no plan names it
    with stage.lock:
        connection = _attempt(stage, file, spelt(name))
        _joined(stage, file, connection, "client", file.tag.counts)
    refusal = stage.injector.for_connect(connection.place)
    if refusal is None:
        return name
    stage.fire(refusal, connection.place, connection.text, "", 1)
    return NOBODY


def connect(sock: Any, file: RealFile, name: str | bytes) -> None:
    """Connect, and take a place in the listener's queue. A blocking socket waits while the backlog is full.

    Raises:
        OSError: the kernel's. The next attempt is another connection.
    """
    process: RealProcess = sock._process
    connection = file.connection

    def connected() -> bool:
        try:
            with process.stage.lock:  # both at once, or somebody else would come in between
                C.connect(sock, name)
                listener = _listener(process.stage, file, spelt(name))
                if listener is not None and connection is not None:
                    listener.accepted.append(connection)
        except BlockingIOError:
            if not sock._blocks:
                raise
            return False
        return True

    try:
        if not connected():
            process.wait(f"room in the backlog of {file.tag.text}", until=connected)
    except OSError:
        file.connection = file.into = file.out = None
        raise


def accepted(stage: Stage, listener: RealFile, file: RealFile) -> None:
    """*file* came out of the queue of *listener*."""
    with stage.lock:
        connection = listener.accepted.pop(0) if listener.accepted else None
        if connection is not None:
            _joined(stage, file, connection, "server", {})


def socketpair(family: int, type: int, proto: int) -> tuple[_stdlib.socket, _stdlib.socket]:
    """Two connected sockets of the calling process."""
    ends = [_stdlib.socket(family, type, proto, raw.detach()) for raw in _socket.socketpair(family, type, proto)]
    one, other = ends
    file: RealFile = one._file  # type: ignore[attr-defined]  # it is one of ours
    if file.family == AF_UNIX and file.stream and not asked_by_a_library(sys._getframe(1)):
        stage = one._process.stage  # type: ignore[attr-defined]
        with stage.lock:
            connection = _attempt(stage, file, PAIR)
            for end, which in zip(ends, ("client", "server"), strict=True):
                _joined(stage, end._file, connection, which, {})  # type: ignore[attr-defined]
    return one, other


def _listener(stage: Stage, file: RealFile, name: str) -> RealFile | None:
    """Who listens on *name*: of this host, or else of another."""
    found = None
    for each in list(stage.files.values()):
        if each.listening and each.family == AF_UNIX and each.joins and each.tag.text.partition(":")[2] == name:
            found = each
            if each.machine is file.machine:
                break
    return found


def _attempt(stage: Stage, file: RealFile, name: str) -> Connection:
    here = file.machine.name
    stage.attempts[here, here, name] = number = stage.attempts.get((here, here, name), 0) + 1
    connection = Connection(Place.connection(here, here, name, number))
    if file.stream:
        tamper.arm_streams(stage, connection, file, file.machine.target)
    return connection


def _joined(stage: Stage, file: RealFile, connection: Connection, end: str, counts: dict[str, int]) -> None:
    file.tag = _armed(stage, file, connection.place, end, counts)
    tamper.join(stage, file, connection, end)


def _armed(stage: Stage, file: RealFile, place: Place, end: str, counts: dict[str, int]) -> Tag:
    caller = stage.body.machine if file.in_hand and stage.body is not None else file.machine
    tag = Tag(place, str(place), end, caller.name, counts)
    stage.injector.arm(tag, caller.target)
    if tag.faults is not None:
        others = NOT_HERE if file.stream else (*NOT_HERE, *CUTS)
        kept = {at: [each for each in faults if not isinstance(each, others)] for at, faults in tag.faults.items()}
        tag.faults = {at: faults for at, faults in kept.items() if faults} or None
    return tag
