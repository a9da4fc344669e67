"""What TLS has decrypted and nobody has read: it lies in the program itself, and no poller tells of it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["layers", "unread"]

layers: weakref.WeakSet[Any] = weakref.WeakSet()  # what `simnet.tls.sockets` has put around sockets


def unread(processes: Iterable[Any]) -> Iterator[str]:
    """A line for each socket of *processes*, simulated or real, in which something lies while its process waits."""
    idle = {process for process in processes if not process.done}
    found = []
    for layer in layers:
        sock = layer.sock()
        if sock is not None and sock.fileno() != -1 and sock._process in idle and (size := layer.pending()):
            file = sock._file() if callable(sock._file) else sock._file
            found.append((str(file.tag), sock._process.name, size))
    for tag, process, size in sorted(found):
        yield f"{size:,} bytes of {tag} lie decrypted in {process}, and no poller tells of them"
