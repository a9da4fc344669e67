"""The real clock, sleep, pollers and random numbers, for the few modules that must not use a process's own.

Inside a process ``time.monotonic()`` is that process's clock. The watchdog, progress bars and `RealNetwork` ask here
instead; the scan of `simnet.modules` skips this module.
"""

import importlib
from _thread import get_ident, start_new_thread
from os import close, dup, getegid, geteuid, getgroups, getpid, getppid, pipe, read, set_inheritable, urandom, write
from os import open as open_by_number
from select import epoll, poll, select
from time import monotonic, monotonic_ns, perf_counter, perf_counter_ns, sleep, time, time_ns
from typing import Any

try:
    from fcntl import fcntl, ioctl
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit
except ImportError:  # Windows has none
    pass

try:
    from _socket import socketpair
except ImportError:  # Windows has none
    pass

try:
    from os import splice
except ImportError:  # Linux has it, and Python since 3.10
    pass

try:
    from signal import sigtimedwait
except ImportError:  # macOS and Windows have none

    def sigtimedwait(sigset: Any, timeout: Any, /) -> None:  # type: ignore[misc]
        """Leave the C variable ``errno`` as it is."""


c_signal: Any = importlib.import_module(
    "_signal"
)  # `signal` wraps numbers in enums, slowly; typeshed has no stub of this

__all__ = [
    "RLIMIT_NOFILE",
    "c_signal",
    "close",
    "dup",
    "epoll",
    "fcntl",
    "get_ident",
    "getegid",
    "geteuid",
    "getgroups",
    "getpid",
    "getppid",
    "getrlimit",
    "ioctl",
    "monotonic",
    "monotonic_ns",
    "open_by_number",
    "perf_counter",
    "perf_counter_ns",
    "pipe",
    "poll",
    "read",
    "select",
    "set_inheritable",
    "setrlimit",
    "sigtimedwait",
    "sleep",
    "socketpair",
    "splice",
    "start_new_thread",
    "time",
    "time_ns",
    "urandom",
    "write",
]
