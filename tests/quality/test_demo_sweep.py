"""The sweep finds each mistake of the tutorial's server by itself, and none in the corrected one."""

from __future__ import annotations

import re

import pytest

from tests.quality.test_demo_servers import DEMO, IMPORT_LINES

MISTAKES = {
    "accept() that found nobody is unpacked": "TypeError: cannot unpack non-iterable NoneType object",
    "the rest of a partial send goes behind the next piece": "all is there, but not as it was sent",
    "the end of the input drops the reply that waits": "a part of it is missing",
    "a client that is gone has no address to log": "TypeError: Value after [*] must be an iterable, not NoneType",
}
# What the standard library's own asyncore adds, and dispatch.asyncore has mended.
OF_THE_STDLIB = {
    "a read that finds nothing closes a healthy connection": "BlockingIOError",
    "a process out of descriptors closes its listener": "Too many open files",
    "an urgent byte that nobody takes keeps the loop busy": "Spin",
}


@pytest.fixture(params=IMPORT_LINES)
def import_line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sweep(pytester: pytest.Pytester, name: str, import_line: str) -> pytest.RunResult:
    """What `simnet demo` puts there for a reader, and pytest run on it as the reader would."""
    for program in (f"{name}_server", f"test_{name}_server"):
        source = (DEMO / f"{program}.py").read_text(encoding="utf-8")
        source = source.replace("from dispatch import asyncore", import_line)
        (pytester.path / f"{program}.py").write_text(source, encoding="utf-8")
    return pytester.runpytest_subprocess("-W", "ignore::DeprecationWarning")


@pytest.mark.slow
def test_every_mistake_of_the_tutorial_is_found_once(pytester: pytest.Pytester, import_line: str) -> None:
    result = sweep(pytester, "tutorial", import_line)
    result.assert_outcomes(failed=1)
    said = result.stdout.str()
    expected = MISTAKES if "dispatch" in import_line else MISTAKES | OF_THE_STDLIB
    missed = [mistake for mistake, sign in expected.items() if not re.search(rf"^E +.*{sign}", said, re.MULTILINE)]
    assert not missed
    assert f"({len(expected)} distinct failures)" in said


@pytest.mark.slow
def test_the_corrected_server_has_none(pytester: pytest.Pytester, import_line: str) -> None:
    sweep(pytester, "corrected", import_line).assert_outcomes(passed=1)
