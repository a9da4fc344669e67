"""Nagle's rule is off: what is written is sent when its turn ends."""

from __future__ import annotations

import socket

from dispatch.annotations import Any


def no_delay(sock: Any, family: int) -> None:
    """Turn Nagle's rule off, where there is one; who is accepted by *sock* has it from there (K-048).

    A stream sends once a turn, so there is nothing to gather. The rule would keep the last part of it, which mostly fills no
    segment, until the peer acknowledges what went before: 40 ms if the peer has nothing to say, and in bulk a twentieth of
    the rate.
    """
    if family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass  # slower, and no reason to have no connection
