"""How a guest is received: a Python of its own, ``dispatch.install()`` first, and nobody stays for longer than PATIENCE.

A guest is a program of the package index that imports asyncore or asynchat. It comes with the extra ``guests``; where that is
not installed (the index was away) its tests are skipped, and say so.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

PATIENCE = 30  # seconds until a guest is shown the door, with its stack; a conversation takes less than one

# What every guest's program begins with. `exit=True` ends also one that hangs in a system call.
INSTALL = f"import faulthandler; faulthandler.dump_traceback_later({PATIENCE}, exit=True)\nimport dispatch; dispatch.install()\n"

# What it says after its imports: that the modules it got are these, whatever else the environment has.
CHECK = """
import asyncore, asynchat, dispatch
assert asyncore is dispatch.asyncore and asynchat is dispatch.asynchat, (asyncore, asynchat)
"""


class Visit:
    """A guest's program while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """The next line that it prints; it prints its port first."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the guest has ended:\n{self.process.communicate()[1]}"
        return line.rstrip("\n")


Host = Callable[..., Visit]


@contextmanager
def visit(program: str, *, install_first: bool) -> Iterator[Visit]:
    """Run *program* until the block is left; whatever it wrote to stderr, or an error of a handler, is a failure."""
    text = INSTALL + program if install_first else program
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Visit(process)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE + 5)
    assert err == "", err
    assert "uncaptured python exception" not in out, out


@pytest.fixture
def host() -> Iterator[Host]:
    """``host(package, program)`` runs the program of a guest, if its package is here, until the test ends."""
    with ExitStack() as visits:

        def receive(package: str, program: str, *, install_first: bool = True) -> Visit:
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                pytest.skip(f"{package} is not installed: pip install --editable '.[guests]'")
            return visits.enter_context(visit(program, install_first=install_first))

        yield receive
