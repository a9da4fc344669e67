"""CPython's own tests of sockets and pollers, each in a simulated network of its own.

    python -m tests.contract.cpython test_socket [PART OF A NAME ...]

They are run from the interpreter's files.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import re
import sys
import traceback
import unittest
from collections.abc import Iterator
from typing import Any, NamedTuple

import simnet
from simnet import invariants

NOT_FOR_SIMNET = {
    "GeneralModuleTests.testRefCountGetNameInfo": "counts references to a global, with C's frames",
    "test_write_pipe": "opens a socket's number with io.open, in C",
    "test_read_pty": "reads a terminal in C, through a pipe transport",
    "test_write_pty": "writes to a terminal in C, through a pipe transport",
    "test_bidirectional_pty": "uses a terminal in C, through a pipe transport",
    "test_create_connection_bluetooth": "a network without Bluetooth",
    "test_injected_authentication_failure": "puts a method into socket.socket, below simnet's own",
    "test_debuglevel_2": "looks for microseconds, of which a clock that begins at a whole second shows none",
    "ThreadRunningTests.test__count": "counts threads in C",
    "ThreadRunningTests.test_unraisable_exception": "hears by sys.unraisablehook of what ends a run here",
    "test_config_queue_handler": "looks at a queue without a pause, and nobody else runs meanwhile",
    "TimedRotatingFileHandlerTest.test_rollover": "looks for files by the system's time",
    "test_unclosed_resource_warnings": "counts what the collector finds, of the tests before it, too",
    "test_unclosed_server_resource_warnings": "looks at the text of a warning with the real descriptor",
}

REFUSALS = (simnet.Escape, simnet.NotModelled)


class Told(NamedTuple):
    """How a test went: passed, skipped, refused (a fork, what is not modelled), or failed; and why."""

    name: str
    how: str
    why: str = ""


def left_out(name: str) -> bool:
    return any(re.search(rf"\b{re.escape(each)}", name) for each in NOT_FOR_SIMNET)


def tests_of(suite: Any) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each


def run(test: unittest.TestCase) -> Told:
    """*test*, alone in a network."""
    name = test.id().partition(".")[2].partition(".")[2]
    result = unittest.TestResult()
    refusals: list[str] = []
    raised = ""
    try:
        off = dict.fromkeys(invariants.NAMES, "off")
        with simnet.Network(trace=False, invariants=off, may_raise=(BaseException,)) as network:
            try:
                _in_its_class(test, result)
            finally:
                refusals += [str(each.error) for each in network.verdicts if isinstance(each.error, REFUSALS)]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raised = "".join(traceback.format_exception(error))
        if isinstance(error, REFUSALS):
            refusals.append(str(error))
    if refusals:
        return Told(name, "refused", refusals[0])
    wrong = [text for _, text in result.errors + result.failures] + [raised] * bool(raised)
    if wrong:
        return Told(name, "failed", wrong[0])
    return Told(name, "skipped", result.skipped[0][1]) if result.skipped else Told(name, "passed")


def _in_its_class(test: unittest.TestCase, result: unittest.TestResult) -> None:
    kind = type(test)
    try:
        kind.setUpClass()
    except unittest.SkipTest as skip:
        result.addSkip(test, str(skip))
        return
    try:
        test.run(result)
    finally:
        kind.tearDownClass()
        kind.doClassCleanups()


def main(suite: str, *parts: str) -> None:
    support = importlib.import_module("test.support.threading_helper")
    support.wait_threads_exit = lambda timeout=None: contextlib.nullcontext()  # type: ignore[attr-defined]
    module: Any = importlib.import_module(f"test.{suite}")
    gc.freeze()  # these tests collect after each of them, which takes a hundredth of a second with all that is imported
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)):
        if (not parts or any(part in test.id() for part in parts)) and not left_out(test.id()):
            print(json.dumps(run(test)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
