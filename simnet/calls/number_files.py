"""``os.fdopen`` of a simulated socket, or of a pipe of the run: a file object, whose reads wait in virtual time."""

from __future__ import annotations

import errno
import importlib
import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from simnet import real

__all__ = ["fdopen"]

NOBODY = 0x7FFFFFFF
_pyio: Any = importlib.import_module("_pyio")  # its raw file goes by the functions of ``os``, which know those numbers


class NumberFile(_pyio.FileIO):  # type: ignore[misc]  # typeshed has none
    """The raw one, which C's buffers take for one of their own."""

    def readinto(self, buffer: Any) -> int | None:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        if data is None:  # it is non-blocking, and there is nothing
            return None
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int | None:
        taken: int | None = super().write(data)
        if taken is None:
            real.sigtimedwait((), 0)  # a buffer in C reads the error from errno: this call fails with the same
        return taken

    def _checkClosed(self, msg: str | None = None) -> None:  # noqa: N802  # its name there
        if self.closed:
            raise ValueError("I/O operation on closed file" if msg is None else msg)

    def _dealloc_warn(self, source: Any) -> None:
        """A buffer over it, *source*, goes unclosed."""
        if self._fd >= 0 and self._closefd:
            warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=2, source=source)

    def __del__(self) -> None:
        with suppress(OSError):  # its network is gone, and its number with it
            super().__del__()


NumberFile.__module__, NumberFile.__qualname__, NumberFile.__name__ = "_io", "FileIO", "FileIO"


def fdopen(
    original: Callable[..., Any],
    fd: int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """What ``os.fdopen`` gives for the descriptor *fd*.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; and ``io.UnsupportedOperation``, it cannot be sought in.
    """
    try:
        original(NOBODY, mode, buffering, encoding, errors, newline, closefd, opener)  # CPython looks at them
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    raw = NumberFile(fd, "".join(each for each in mode if each not in "bt"), closefd)
    result: Any = raw
    try:
        binary = "b" in mode
        if buffering == 0:
            if binary:
                return raw
            raise ValueError("can't have unbuffered text I/O")
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        if "+" in mode:
            result = io.BufferedRandom(raw, size)
        elif "r" in mode:
            result = io.BufferedReader(raw, size)
        else:
            result = io.BufferedWriter(raw, size)
        if binary:
            return result
        result = text = io.TextIOWrapper(result, encoding, errors, newline, buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text
    except BaseException:
        result.close()
        raise
