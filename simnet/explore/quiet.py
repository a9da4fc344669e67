"""While a test runs a thousand times, what its programs print and log goes nowhere; one run alone may be heard.

Logging stays switched on, since a program may do more with it than print (a syslog handler is a socket): only what
writes to the terminal, or keeps records for a report, is taken out. Both belong to the whole process: a sweep in a thread
beside others leaves them alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what is printed or logged is heard or kept, if it is the main thread that asks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
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
        before, last_resort = list(root.handlers), logging.lastResort
        root.handlers[:] = [each for each in before if each not in taken]
        logging.lastResort = logging.NullHandler()  # it would format all that nobody reads, tracebacks too
        try:
            yield
        finally:
            logging.lastResort = last_resort
            added = [each for each in root.handlers if each not in before]
            root.handlers[:] = before + added
