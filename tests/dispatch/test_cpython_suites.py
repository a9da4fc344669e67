"""CPython's own tests of the modules, and of the servers it builds on them, pass on the drop-in.

They are run from the interpreter's files. Python 3.12 removed the modules with their tests, and keeps copies for the
servers of other tests, in whose place the drop-in is put.
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
if sys.version_info >= (3, 12):
    import test.support
    for name in ("asyncore", "asynchat"):
        sys.modules["test.support." + name] = sys.modules[name]
        setattr(test.support, name, sys.modules[name])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    module = importlib.import_module("test." + sys.argv[1])
assert "dispatch" in sys.modules["asyncore"].__file__
loader = unittest.defaultTestLoader
loader.testNamePatterns = sys.argv[2:] or None
suite = loader.loadTestsFromModule(module)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
print("ran", result.testsRun)
sys.exit(not result.wasSuccessful())
"""

REMOVED = {"test_asyncore", "test_asynchat", "test_smtpd"}  # in Python 3.12, with what they test


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "only", "at_least"),
    [
        pytest.param("test_asyncore", "", 100, id="asyncore"),
        pytest.param("test_asynchat", "", 25, id="asynchat"),
        pytest.param("test_smtpd", "", 89, id="smtpd"),
        pytest.param("test_ftplib", "", 90, id="ftplib"),
        pytest.param("test_poplib", "", 50, id="poplib"),
        pytest.param("test_smtplib", "", 80, id="smtplib"),
        pytest.param("test_logging", "*SMTPHandlerTest*", 1, id="logging"),
        pytest.param("test_ssl", "*test_asyncore_server", 1, id="ssl"),
    ],
)
def test_the_interpreters_own_tests_pass(name, only, at_least, tmp_path):
    if sys.version_info >= (3, 12) and name in REMOVED:
        pytest.skip(f"Python 3.12 removed {name}")
    if importlib.util.find_spec(f"test.{name}") is None:
        pytest.skip(f"this interpreter came without test.{name}")
    result = subprocess.run(
        [sys.executable, "-c", RUN, name, *filter(None, [only])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    assert int(result.stdout.split()[-1]) >= at_least
