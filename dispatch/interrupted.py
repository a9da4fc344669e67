"""How much went out when Ctrl-C came: it comes between two steps of the interpreter's, most likely behind the call that took longest."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from dispatch.annotations import Any
from dispatch.vectors import KEPT


def count_into(went: list[int], send: Callable[[Any], int], data: Any) -> int:
    """``send(data)``. Its result stands in *went* before Ctrl-C can come, since all of that is one step; who has counted it, clears that."""
    went.extend(map(send, (data,)))
    return went[0]


def taken(send: Any, offered: int, went: Sequence[int]) -> int:
    """How many bytes of those *offered* a socket's *send* took. 0 were offered: no call was under way."""
    if offered and went:
        return went[0]
    # So many are counted, and the call was yet to be made; fewer are mostly taken whole, and counting would cost more than it is worth.
    # A socket that is no kernel's does more in a call than one step, and was most likely done with it.
    return 0 if offered > KEPT and type(getattr(send, "__self__", None)) is socket.socket else offered
