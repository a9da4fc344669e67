"""Which of the pieces that wait go out in one call: a vector of them, or what is made of them."""

from __future__ import annotations

from collections import deque

from dispatch.annotations import Any

JOIN_BELOW = 65536  # bytes; up to here one copy is cheaper than a vector of pieces, or as cheap
KEPT = JOIN_BELOW // 4  # bytes; with so many in its first piece a queue is not joined again
VECTOR = 64  # pieces in one sendmsg; IOV_MAX is 1024, the kernel's buffer is full long before
TURN_BYTES = 1 << 20  # what one channel may send in one turn


def gather(out: deque[Any], vectors: bool) -> tuple[Any, int]:
    """Many pieces, more than is cheap to copy: a vector of them, or one long one, and how many bytes that is. *vectors*: there is sendmsg."""
    pieces: list[Any] = []
    size = 0
    for piece in out:
        pieces.append(piece)
        size += len(piece)
        if size >= TURN_BYTES or (len(pieces) >= VECTOR and (size >= JOIN_BELOW or len(pieces[0]) >= KEPT)):
            break
    if len(pieces) <= VECTOR and vectors:
        return pieces, size
    data = b"".join(pieces)  # many small pieces, or a socket without sendmsg
    for _ in pieces:
        out.popleft()
    out.appendleft(data)  # what the kernel does not take of it is not joined again, until little is left
    return data, size
