"""As much of ``select.kqueue`` as the kqueue poller uses, over poll(2): so that its file is run on Linux too.

It follows kqueue(2) of FreeBSD and macOS: filters are added and deleted one by one, ENOENT for one that is not there, EBADF for a
closed descriptor, a closed descriptor's filters gone; EVFILT_EXCEPT of macOS on sockets only, EINVAL on what is none; EV_EOF when the direction is over, with the socket's error in ``fflags``.
What it cannot show is whether those systems agree; that takes one of them.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import stat

KQ_FILTER_READ, KQ_FILTER_WRITE = -1, -2
EXCEPT = -15  # EVFILT_EXCEPT, which the select module has no name for
KQ_EV_ADD, KQ_EV_DELETE, KQ_EV_EOF, KQ_EV_ERROR = 0x1, 0x2, 0x8000, 0x4000
POLLRDHUP = getattr(select, "POLLRDHUP", 0)
MASKS = {KQ_FILTER_READ: select.POLLIN | POLLRDHUP, KQ_FILTER_WRITE: select.POLLOUT, EXCEPT: select.POLLPRI}


class Kevent:
    def __init__(self, ident, filter=KQ_FILTER_READ, flags=KQ_EV_ADD, fflags=0):
        self.ident, self.filter, self.flags, self.fflags = ident, filter, flags, fflags


class Kqueue:
    def __init__(self):
        self._filters = {}  # (fd, filter): identity of the open file
        self._closed = False

    def control(self, changes, max_events, timeout=None):
        if self._closed:
            raise ValueError("I/O operation on closed kqueue object")
        for change in changes or ():
            self._change(change)
        return self._wait(max_events, timeout) if max_events else []

    def _change(self, change):
        key = (change.ident, change.filter)
        try:
            found = os.fstat(change.ident)
        except OSError:
            self._filters.pop(key, None)
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        if change.filter == EXCEPT and not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        identity = found.st_ino
        if change.flags & KQ_EV_ADD:
            self._filters[key] = identity
        elif self._filters.pop(key, None) != identity:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _wait(self, max_events, timeout):
        poller = select.poll()
        wanted = {}
        for (fd, which), identity in list(self._filters.items()):
            try:
                same = os.fstat(fd).st_ino == identity
            except OSError:
                same = False
            if not same:  # closed: the kernel forgets it
                del self._filters[fd, which]
                continue
            wanted[fd] = wanted.get(fd, 0) | MASKS[which]
        for fd, bits in wanted.items():
            poller.register(fd, bits)
        events = []
        for fd, bits in poller.poll(None if timeout is None else math.ceil(timeout * 1000)):
            over = bits & (select.POLLHUP | select.POLLERR)
            for which, mask in MASKS.items():
                if (fd, which) in self._filters and (bits & mask or (over and which != EXCEPT)):
                    eof = over or (which == KQ_FILTER_READ and bits & POLLRDHUP)
                    events.append(Kevent(fd, which, KQ_EV_EOF if eof else 0, self._error(fd) if over else 0))
        return events[:max_events]

    @staticmethod
    def _error(fd):
        """The pending error, left where it is; poll(2) only says that there is one."""
        poller = select.poll()
        poller.register(fd, 0)
        return errno.ECONNRESET if any(bits & select.POLLERR for _, bits in poller.poll(0)) else 0

    def fileno(self):
        return -1

    def close(self):
        self._closed = True


def install(monkeypatch):
    """Put it where ``select`` would have it."""
    assert socket  # whoever stands in for sockets does not stand in for this
    for name in ("KQ_FILTER_READ", "KQ_FILTER_WRITE", "KQ_EV_ADD", "KQ_EV_DELETE", "KQ_EV_EOF", "KQ_EV_ERROR"):
        monkeypatch.setattr(select, name, globals()[name], raising=False)
    monkeypatch.setattr(select, "kqueue", Kqueue, raising=False)
    monkeypatch.setattr(select, "kevent", Kevent, raising=False)
