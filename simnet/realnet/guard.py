"""Ends a body that computes and never waits, when the time of its run on real sockets is up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from simnet.realnet.process import throw
from simnet.verdicts import Hang

__all__ = ["Guard"]

# of a loop, each of which looks whether something was thrown. To take it back makes CPython 3.11 look for ever
ROUNDS = 3


class Guard:
    """Looks after the thread that makes it, for *seconds* of real time; then it calls *tell* with the thread's number, and
    raises `Hang` there.
    """

    __slots__ = ("_ident", "_lock", "_over", "_tell", "_timer")

    def __init__(self, seconds: float, tell: Callable[[int], object]) -> None:
        self._ident = threading.get_ident()
        self._lock = threading.Lock()
        self._over = False
        self._tell = tell
        self._timer = threading.Timer(seconds, self._strike)  # a thread of nobody's yet
        self._timer.daemon = True
        self._timer.simnets_own = True  # type: ignore[attr-defined]
        self._timer.start()

    def _strike(self) -> None:
        with self._lock:
            if not self._over:
                self._tell(self._ident)
                throw(self._ident, Hang)

    def lift(self) -> None:
        """The body has come to its end: what is about to strike it strikes here, and nothing does from now on."""
        try:
            self._timer.cancel()
            with self._lock:
                self._over = True
            for _ in range(ROUNDS):
                pass
        except Hang:
            self._over = True
