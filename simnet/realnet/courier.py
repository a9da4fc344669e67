"""The thread that delivers later what was held back: bytes of a stalled stream, and what came after them."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from simnet import real

__all__ = ["Courier"]


class Courier:
    """Calls functions when they are due. Its thread is started by the first one, and ended by :meth:`close`."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._number = 0
        self._wake = threading.Condition()
        self._thread: _Courier | None = None
        self._busy = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """It is doing something now."""
        return self._busy

    @property
    def idle(self) -> bool:
        """Nothing is due, now or later."""
        with self._wake:
            return not self._due and not self._busy

    def at(self, monotonic_ns: int, fn: Callable[[], object]) -> None:
        """Call *fn* then, on the courier's thread."""
        with self._wake:
            if self._closed:
                return
            self._number += 1
            heapq.heappush(self._due, (monotonic_ns, self._number, fn))
            if self._thread is None:
                self._thread = _Courier(target=self._run, name="simnet courier", daemon=True)
                self._busy = True  # who starts a thread waits for it in a lock, and is not one that rests
                self._thread.start()
                self._busy = False
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closed and not (self._due and self._due[0][0] <= real.monotonic_ns()):
                    self._wake.wait(max(0.0, (self._due[0][0] - real.monotonic_ns()) / 1e9) if self._due else None)
                if self._closed:
                    return
                fn = heapq.heappop(self._due)[2]
                self._busy = True
            try:
                fn()
            finally:
                with self._wake:
                    self._busy = False

    def close(self) -> None:
        """Drop what is not due yet, and end."""
        with self._wake:
            self._closed = True
            self._due.clear()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(5)


class _Courier(threading.Thread):
    """No process's, whoever was the first to hold something back."""

    simnets_own = True
