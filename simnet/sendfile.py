"""A file sent through a simulated socket, as ``socket.sendfile`` does it where there is sendfile(2)."""

from __future__ import annotations

import os
import socket as _stdlib
from typing import Any

__all__ = ["send_file"]

PIECE = 65536  # bytes of the file read at once


def send_file(sock: _stdlib.socket, file: Any, offset: int, count: int | None) -> int:
    """Send *count* bytes (None: to its end) of *file* from *offset*, and leave its position behind them; how many went.

    Raises:
        socket._GiveupOnSendfile: it is no regular file, or the first send failed; the standard library then reads and sends
            by itself, and so tells what comes after the first error: EPIPE after a reset.
        ValueError: *sock* is non-blocking.
    """
    try:
        number = file.fileno()
        size = os.fstat(number).st_size
    except (AttributeError, OSError) as error:
        raise _stdlib._GiveupOnSendfile(error) from error  # type: ignore[attr-defined]
    if not size:
        return 0
    if sock.gettimeout() == 0.0:
        raise ValueError("non-blocking sockets are not supported")
    total = 0
    try:
        while count is None or total < count:
            block = os.pread(number, PIECE if count is None else min(PIECE, count - total), offset)
            if not block:
                break
            sent = sock.send(block)
            offset += sent
            total += sent
        return total
    except OSError as error:
        if total or isinstance(error, TimeoutError):
            raise
        raise _stdlib._GiveupOnSendfile(error) from None  # type: ignore[attr-defined]
    finally:
        if total and hasattr(file, "seek"):
            file.seek(offset)
