"""While a test runs a thousand times, what its programs print and log is discarded; the output of a single run may be shown.

Logging stays switched on, since a program may do more with it than print (a syslog handler is a socket): only what
writes to the terminal, or keeps records for a report, is taken out. Both belong to the whole process: a sweep in a thread
beside others leaves them alone. A ``breakpoint()`` ends the silence, so that its prompt shows; in a run that has been heard
once, and is repeated to see more of it, there is none.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["quiet", "unstopped"]


@contextlib.contextmanager
def quiet(*, stops: bool = True) -> Iterator[None]:
    """Nothing of what is printed or logged is heard or kept, if it is the main thread that asks. A breakpoint *stops*, or does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = sys.stdout, sys.stderr
    root = logging.getLogger()
    taken = [
        each
        for each in root.handlers
        if type(each).__module__.startswith("_pytest.") or type(each) is logging.StreamHandler
    ]
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        before, last_resort, hook = list(root.handlers), logging.lastResort, sys.breakpointhook
        if not stops:
            sys.breakpointhook = _go_on
        elif hook is sys.__breakpointhook__:  # pytest's own speaks past what hears nothing
            sys.breakpointhook = functools.partial(_stop, *heard)
        root.handlers[:] = [each for each in before if each not in taken]
        logging.lastResort = logging.NullHandler()  # it would format all that nobody reads, tracebacks too
        try:
            yield
        finally:
            sys.breakpointhook = hook
            logging.lastResort = last_resort
            added = [each for each in root.handlers if each not in before]
            root.handlers[:] = before + added


@contextlib.contextmanager
def unstopped() -> Iterator[None]:
    """All is heard, and no ``breakpoint()`` stops: of a run that is made once more for what it prints."""
    hook = sys.breakpointhook
    sys.breakpointhook = _go_on
    try:
        yield
    finally:
        sys.breakpointhook = hook


def _go_on(*_: Any, **__: Any) -> None:
    """What ``breakpoint()`` calls in a run that is none of its own for who debugs."""


def _stop(stdout: Any, stderr: Any, *arguments: Any, **options: Any) -> Any:
    """What ``breakpoint()`` calls meanwhile: from here on the run is heard, and the debugger stands in the user's frame."""
    sys.stdout, sys.stderr = stdout, stderr
    if arguments or options or os.environ.get("PYTHONBREAKPOINT"):  # somebody has a debugger of their own, or none
        return sys.__breakpointhook__(*arguments, **options)  # noqa: T100  # the user has asked for it
    import pdb  # noqa: T100  # the same

    return pdb.Pdb().set_trace(sys._getframe().f_back)
