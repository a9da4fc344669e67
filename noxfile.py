"""The same checks in environments of their own: `nox` runs tests on each Python it finds, types, and docs.

`make` is the quick way on one Python; this is the thorough one. `nox -s tests-3.12` runs one session.
"""

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False  # whoever has one Python tests on one; CI has all
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "alone", "typing", "docs"]

PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests; `nox -s tests -- -k word` hands words on to pytest."""
    session.install("--editable", ".[dev,guests]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def alone(session: nox.Session) -> None:
    """The loop alone, as a mail server installs it: no extra, nothing else in the environment."""
    session.install(".")
    session.run("python", "-c", "import dispatch; print('dispatch, alone, on', __import__('sys').version)")


@nox.session
def typing(session: nox.Session) -> None:
    """ruff, and mypy --strict on both packages."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Every example in README.md and docs/ runs."""
    session.install("--editable", ".[dev]")
    session.run("pytest", "-q", "tests/test_docs.py")


@nox.session
def bench(session: nox.Session) -> None:
    """The figures of benchmarks/, in an environment with nothing else in it."""
    session.install("--editable", ".[dev]")
    session.run("make", "bench", "PY=python", external=True)
