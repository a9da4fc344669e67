"""What a receiver is shown of a stream of which its kernel has more: up to the next fault, and no further (see `Stream.allowed`)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from simnet import real
from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import ERR, HUP, IN, NVAL, RDHUP, RDNORM
from simnet.realnet.connection import Gate, RealFile, Stream

__all__ = ["read_away", "readable", "receive", "shown", "stands"]

TO_READ = IN | RDNORM


def shown(file: RealFile, bits: int, asked: int) -> int:
    """Of which poll bits the program of *file* is told that has *asked* for some, while its kernel says *bits*.

    The end is behind what is held back; a reset is not, nor what comes when nothing acts any more.
    """
    if file.severed:  # its kernel dissolved the connection, and does not say what it says of one that was reset
        return bits | asked & (TO_READ | RDHUP)
    stream = file.into
    if stream is None or not stream.gates:
        return bits
    allowed = stream.allowed(real.monotonic_ns())
    if allowed == -1 or stream.ended:
        over = HUP if file.shut & 2 else 0
        return bits | over | asked & (RDHUP | (TO_READ if allowed == -1 else 0))
    if bits & (ERR | NVAL) or (allowed == 0 and bits & HUP and _has_not_begun(stream)):
        return bits
    end = (0 if file.shut & 1 else RDHUP) | (0 if file.shut == 3 else HUP)  # as far as it is the peer's doing
    if allowed == 0:
        return bits & ~(TO_READ | end)
    return bits & ~end if stream.gated else bits


def receive(file: RealFile, attempt: Any, size: int, flags: int, owe: Callable[[], object]) -> Any:
    """One recv of a receiver that is shown less than its kernel has; that there is more, pollers hear by *owe*.

    Raises:
        BlockingIOError: EAGAIN, it is shown nothing yet.
        ConnectionResetError: a fault has reset it, at this byte or while something was held back.
    """
    stream = file.into
    assert stream is not None
    oob = flags & socket.MSG_OOB
    if stream.gates and not oob:
        allowed = stream.allowed(real.monotonic_ns())
        broken = allowed == 0 < size and file.says(ERR)
        if allowed == -1 or broken:
            return _at_the_end(file, stream, broken)
        if allowed is not None and allowed < size:
            owe()
            if allowed == 0 and file.shut & 1:
                return b""  # whatever it is not shown
            if allowed == 0 and _has_not_begun(stream) and file.says(HUP):
                stream.gates = []  # its connection is over, and nothing acts there any more
            elif allowed == 0:
                raise socket_error(errno.EAGAIN)
            else:
                size = allowed
    result = attempt(size)
    if not oob and not flags & socket.MSG_PEEK:
        stream.read += len(result if isinstance(result, bytes) else result[0])
    return result


def _has_not_begun(stream: Stream) -> bool:
    gate = stream.gate
    return gate is not None and gate[2] is None


def _at_the_end(file: RealFile, stream: Stream, broken: bool) -> bytes:
    """The end; or what its kernel says, if its connection is *broken*, or was reset before it was accepted."""
    error, gate = _read_away(file), stream.gate
    if broken or (gate is not None and gate[1] == "reset"):
        stream.gates = []
        if error is not None:
            raise error
    return b""


def readable(file: RealFile) -> bool:
    """Whether a receiver behind a gate is to be told that it can read."""
    if file.fd == -1:
        return True  # closed by another thread, which the call is told
    poller = real.poll()
    poller.register(file.fd, IN | RDHUP)
    return bool(shown(file, dict(poller.poll(0)).get(file.fd, 0), IN))


def stands(file: RealFile | None, gate: Gate | None) -> bool:
    """Whether *gate* still keeps something from the program of *file*."""
    if file is None or file.into is None or gate is None:
        return False
    file.into.allowed(real.monotonic_ns())
    return gate is file.into.gate


def read_away(file: RealFile) -> None:
    """What is lost behind an early end must not turn close() into a reset."""
    stream = file.into
    if stream is not None and stream.gates and stream.allowed(real.monotonic_ns()) == -1:
        _read_away(file)


def _read_away(file: RealFile) -> OSError | None:
    """Gives what the kernel said in the end, if the connection is gone."""
    twin = file.twin()
    try:
        while twin.recv(1 << 16):
            pass
    except BlockingIOError:
        pass  # nothing more
    except OSError as error:
        return error
    finally:
        twin.close()
    return None
