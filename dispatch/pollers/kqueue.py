"""kqueue(2): one filter for reading, one for writing, registration stays in the kernel. macOS and BSD."""

from __future__ import annotations

import errno
import select
import sys

from dispatch.annotations import Any
from dispatch.errors import socket_error
from dispatch.interfaces import ERR, HUP, IN, OUT, PRI

_GONE = (errno.ENOENT, errno.EBADF)
_EXCEPT_FILTER = -15  # EVFILT_EXCEPT of macOS <sys/event.h>; the select module has no name for it
_NOTE_OOB = 2  # NOTE_OOB, same header


class KqueuePoller:
    """Level-triggered kqueue: EV_EOF becomes HUP, its fflags an error. Urgent data is seen on macOS only."""

    name = "kqueue"
    wakes_on_watch = True
    __slots__ = ("_bits", "_kqueue")

    def __init__(self) -> None:
        self._kqueue: Any = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
        self._bits: dict[int, int] = {}

    def watch(self, fd: int, bits: int) -> None:
        if fd < 0:
            raise socket_error(errno.EBADF)
        self._bits[fd] = 0
        self.change(fd, bits)

    def change(self, fd: int, bits: int) -> None:
        before, self._bits[fd] = self._bits.get(fd, 0), bits
        self._switch(fd, before, bits, IN, select.KQ_FILTER_READ)  # type: ignore[attr-defined,unused-ignore]
        self._switch(fd, before, bits, OUT, select.KQ_FILTER_WRITE)  # type: ignore[attr-defined,unused-ignore]
        if sys.platform == "darwin":
            self._switch(fd, before, bits, PRI, _EXCEPT_FILTER, _NOTE_OOB)

    def _switch(self, fd: int, before: int, bits: int, bit: int, which: int, notes: int = 0) -> None:
        if (before ^ bits) & bit:
            action = getattr(select, "KQ_EV_ADD" if bits & bit else "KQ_EV_DELETE")
            try:
                event = select.kevent(fd, which, action, notes)  # type: ignore[attr-defined,unused-ignore]
                self._kqueue.control([event], 0)
            except OSError as error:
                # What is switched off may be gone with its descriptor; what is switched on may not. Only sockets have urgent
                # data: of a pipe that filter cannot be had, and what else is wrong the other two have said.
                if bit != PRI and (bits & bit or error.errno not in _GONE):
                    raise

    def forget(self, fd: int) -> None:
        if fd in self._bits:
            try:
                self.change(fd, 0)
            except ValueError:
                pass  # the kqueue itself is closed
            del self._bits[fd]

    def knows(self, fd: int, bits: int) -> bool:
        """Whether what was watched under this number, for *bits*, still stands there: the kernel forgets what was closed."""
        if not bits & (IN | OUT):
            return True  # it was told of nothing, and cannot be asked
        which = select.KQ_FILTER_READ if bits & IN else select.KQ_FILTER_WRITE  # type: ignore[attr-defined,unused-ignore]
        try:
            for action in (select.KQ_EV_DELETE, select.KQ_EV_ADD):  # type: ignore[attr-defined,unused-ignore]
                self._kqueue.control([select.kevent(fd, which, action)], 0)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        # Three filters a descriptor at most: room for all, and for at least one when nothing is watched.
        ready: dict[int, int] = {}
        for event in self._kqueue.control(None, 3 * len(self._bits) + 1, timeout):
            bits = ready.get(event.ident, 0)
            if event.filter == _EXCEPT_FILTER:
                bits |= PRI
            else:
                bits |= IN if event.filter == select.KQ_FILTER_READ else OUT  # type: ignore[attr-defined,unused-ignore]
                if event.flags & select.KQ_EV_EOF:  # type: ignore[attr-defined,unused-ignore]
                    # The reader's EOF comes with data still to be read, so HUP is no reason to close by itself.
                    bits |= HUP | (ERR if event.fflags else 0)
            if event.flags & select.KQ_EV_ERROR:  # type: ignore[attr-defined,unused-ignore]
                bits |= ERR
            ready[event.ident] = bits
        return list(ready.items())

    def close(self) -> None:
        self._kqueue.close()
        self._bits.clear()
