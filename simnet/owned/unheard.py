"""What a process still writes to ``sys.stderr`` while it is ended wherever it is, as by SIGKILL, nobody hears.

A server whose threads log whatever ends them, with a traceback and a request to report it, would complain of the end of each run.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unheard"]


class _Nowhere(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        assert isinstance(data, memoryview)  # what a buffer hands on
        return len(data)


_nowhere: io.TextIOWrapper | None = None  # one for all: it keeps nothing


@contextmanager
def unheard() -> Iterator[None]:
    global _nowhere
    if _nowhere is None or _nowhere.closed:
        _nowhere = io.TextIOWrapper(io.BufferedWriter(_Nowhere()), "utf-8", "backslashreplace", write_through=True)
    before = sys.stderr
    sys.stderr = nowhere = _nowhere
    try:
        yield
    finally:
        if sys.stderr is nowhere:  # else who has ended had led it elsewhere, and has put back what was there
            sys.stderr = before
