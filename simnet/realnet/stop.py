"""What every wait of a run polls besides its own descriptors, so that it can be ended: one pipe, however many processes there are."""

from __future__ import annotations

from simnet import real

__all__ = ["Stop"]

NOT_OPEN = (-1, -1)


class Stop:
    """Not readable before the run ends; open from the beginning of the run."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = NOT_OPEN

    def open(self) -> None:
        """The run begins."""
        self._ends = real.pipe()

    def fileno(self) -> int:
        return self._ends[0]

    def tell(self) -> None:
        """From now on it is readable: each wait looks up."""
        real.write(self._ends[1], b"x")

    def close(self) -> None:
        """Give the kernel back what is open."""
        ends, self._ends = self._ends, NOT_OPEN
        for fd in ends:
            if fd != -1:
                real.close(fd)
