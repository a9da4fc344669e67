"""``dispatch.install()`` for third-party code: before the first import, after it, and with smtpd in between."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncore, multiprocessing, subprocess, sys

def name():
    return asyncore.dispatcher.__module__

if __name__ == "__main__":
    print(name())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(name))
    code = "import asyncore; print(asyncore.dispatcher.__module__)"
    print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
"""


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


def test_who_had_imported_the_other_one_is_named(tmp_path):
    (tmp_path / "asyncore.py").write_text("class dispatcher: pass\n", encoding="utf-8")
    (tmp_path / "by_module.py").write_text("import asyncore as old\n", encoding="utf-8")
    (tmp_path / "by_class.py").write_text("from asyncore import dispatcher\n", encoding="utf-8")
    out = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import by_module, by_class, dispatch; dispatch.install();"
        "import asyncore; print(asyncore is dispatch.asyncore)"
    )

    assert f"asyncore ({tmp_path / 'asyncore.py'}) was loaded" in out
    assert "(imported by by_module, by_class)" in out
    assert "True" in out


def test_a_second_time_changes_nothing_and_says_nothing():
    out = run(
        "import dispatch; dispatch.install(); import asyncore; channel = asyncore.dispatcher();"
        "dispatch.install(); import asyncore as again; print(again is asyncore, isinstance(channel, again.dispatcher))",
        "-W",
        "error",
    )

    assert out == "True True\n"


@pytest.mark.parametrize("gone", ["del sys.modules[name]", "sys.modules.pop(name)", "importlib.invalidate_caches()"])
def test_who_takes_it_out_of_sys_modules_and_imports_again_gets_ours_again(gone):
    out = run(
        f"import importlib, sys, dispatch; dispatch.install()\nfor name in ('asyncore', 'asynchat'): {gone}\n"
        "import asynchat, asyncore, importlib.util\nprint(asyncore is dispatch.asyncore, asynchat is dispatch.asynchat)\n"
        "print(asyncore.__name__, asyncore.__spec__.name, importlib.util.find_spec('asyncore').name)\n"
        "print(importlib.reload(asyncore) is asyncore, importlib.import_module('asynchat') is asynchat)",
        "-W",
        "error",
    )

    assert out == "True True\ndispatch.asyncore dispatch.asyncore dispatch.asyncore\nTrue True\n"


def test_what_stands_in_the_way_of_other_asyncores_stands_there_once_and_can_be_taken_away(tmp_path):
    (tmp_path / "asyncore.py").write_text("class dispatcher: pass\n", encoding="utf-8")
    out = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = list(sys.meta_path); import dispatch\n"
        "dispatch.install(); dispatch.install(); from dispatch import installing\n"
        "print(len(sys.meta_path) - len(before), sys.meta_path[0] is installing.finder)\n"
        "sys.meta_path.remove(installing.finder); del sys.modules['asyncore']\n"
        "import asyncore; print(asyncore.__file__, sys.meta_path == before)\n"
        "dispatch.install(); print(sys.meta_path[0] is installing.finder)",
        "-W",
        "ignore",
    )

    assert out == f"1 True\n{tmp_path / 'asyncore.py'} True\nTrue\n"


def test_an_import_beside_other_peoples_select_is_not_ours_to_answer(tmp_path):
    """So eventlet makes modules that do not block: it imports them anew while its own select stands in sys.modules."""
    (tmp_path / "asyncore.py").write_text("import select\n", encoding="utf-8")
    out = run(
        f"import sys, types; sys.path.insert(0, {str(tmp_path)!r}); import dispatch; dispatch.install()\n"
        "import asyncore, select; green = types.ModuleType('select')\n"
        "sys.modules['select'] = green; ours = sys.modules.pop('asyncore'); import asyncore as other\n"
        "print(other.__file__, other.select is green)\n"
        "sys.modules['select'] = select; del sys.modules['asyncore']; import asyncore; print(asyncore is ours)"
    )

    assert out == f"{tmp_path / 'asyncore.py'} True\nTrue\n"


def test_nothing_is_said_of_a_deprecation_where_the_interpreter_would():
    out = run("import dispatch; dispatch.install(); import asyncore, asynchat; print('quiet')", "-W", "error")

    assert out == "quiet\n"


@pytest.mark.slow
def test_a_site_customization_serves_every_process_of_an_environment(tmp_path):
    """Also those that a program starts, and the workers of multiprocessing."""
    (tmp_path / "sitecustomize.py").write_text("import dispatch\n\ndispatch.install()\n", encoding="utf-8")
    (tmp_path / "old_program.py").write_text(PROGRAM, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(tmp_path / "old_program.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.stdout.split() == ["dispatch.asyncore"] * 3, result.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the interpreter's smtpd went with Python 3.12")
@pytest.mark.parametrize(
    "order", ["import dispatch; dispatch.install(); import smtpd", "import smtpd, dispatch; dispatch.install()"]
)
def test_the_interpreters_smtpd_stands_on_ours_whichever_is_imported_first(order):
    out = run(order + "; print(issubclass(smtpd.SMTPServer, dispatch.asyncore.dispatcher))", "-W", "ignore")

    assert out == "True\n"
