"""Sends on a socket that its program has closed itself: EBADF, and no socket of the kernel's, so that no trace has them."""

from __future__ import annotations

import sys
from errno import EBADF
from typing import Any
from weakref import WeakKeyDictionary

from simnet.kernel.errors import socket_error
from simnet.whereabouts import caller_outside

__all__ = ["of_the_closed"]

SENDS = "sends on the closed"  # in the state of a process
AGAIN = 2  # times, by one thread, on one socket: a farewell is one, and several threads may each be told that another one has closed it


def of_the_closed(sock: Any) -> OSError:
    """What a send on *sock* raises then. It is counted, since a program that catches it may go on so for ever."""
    me = sock._process.scheduler.current
    if me.target and not me.ending and not me.in_vain:
        times = me.state.setdefault(SENDS, WeakKeyDictionary())
        times[sock] = times.get(sock, 0) + 1
        if times[sock] == AGAIN:
            me.in_vain = caller_outside(sys._getframe(1))
    return socket_error(EBADF)
