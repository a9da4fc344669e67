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


@contextmanager
def unheard() -> Iterator[None]:
    before = sys.stderr
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(_Nowhere()), write_through=True)
    try:
        yield
    finally:
        sys.stderr = before
