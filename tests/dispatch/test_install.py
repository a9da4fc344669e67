"""``dispatch.install()`` for third-party code: before the first import, after it, and with smtpd in between."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(program: str, *options: str) -> str:
    result = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_import_asyncore_is_ours_after_it():
    out = run(
        "import dispatch; dispatch.install(); import asyncore, asynchat;"
        "print(asyncore is dispatch.asyncore, asynchat is dispatch.asynchat, asynchat.asyncore is asyncore);"
        "dispatch.install()"
    )

    assert out == "True True True\n"


def test_another_one_that_is_loaded_already_is_named():
    out = run(
        "import sys, types; other = sys.modules['asyncore'] = types.ModuleType('asyncore'); other.__file__ = '/elsewhere/asyncore.py';"
        "import dispatch; dispatch.install(); import asyncore; print(asyncore is dispatch.asyncore)"
    )

    assert "RuntimeWarning" in out
    assert "asyncore (/elsewhere/asyncore.py)" in out
    assert "True" in out


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the interpreter's smtpd went with Python 3.12")
@pytest.mark.parametrize(
    "order", ["import dispatch; dispatch.install(); import smtpd", "import smtpd, dispatch; dispatch.install()"]
)
def test_the_interpreters_smtpd_stands_on_ours_whichever_is_imported_first(order):
    out = run(order + "; print(issubclass(smtpd.SMTPServer, dispatch.asyncore.dispatcher))", "-W", "ignore")

    assert out == "True\n"
