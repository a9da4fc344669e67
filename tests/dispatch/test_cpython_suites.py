"""CPython's own tests of the modules, and of the servers it builds on them, pass on the drop-in.

They are run from the interpreter's files, where those have them: in Python 3.11.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

RUN = """
import importlib, sys, unittest, warnings
import dispatch
dispatch.install()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    module = importlib.import_module("test." + sys.argv[1])
assert "dispatch" in sys.modules["asyncore"].__file__
suite = unittest.defaultTestLoader.loadTestsFromModule(module)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
print("ran", result.testsRun)
sys.exit(not result.wasSuccessful())
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python 3.12 removed asyncore, asynchat and smtpd with their tests"
)
@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("test_asyncore", 100),
        ("test_asynchat", 25),
        ("test_smtpd", 89),
        ("test_ftplib", 90),
        ("test_poplib", 50),
        ("test_smtplib", 80),
    ],
)
def test_the_interpreters_own_tests_pass(name, at_least, tmp_path):
    if importlib.util.find_spec(f"test.{name}") is None:
        pytest.skip(f"this interpreter came without test.{name}")
    result = subprocess.run(
        [sys.executable, "-c", RUN, name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    assert int(result.stdout.split()[-1]) >= at_least
