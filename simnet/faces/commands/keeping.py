"""``simnet keep``: a failure becomes a file that is played from then on, by choice and with a title."""

from __future__ import annotations

import sys
from glob import glob
from pathlib import Path
from typing import Any

import click

from simnet.faces.refusals import Refused
from simnet.project.faulttables import put
from simnet.project.nodeid import project_root
from simnet.project.settings import told_pytest
from simnet.project.typed import from_here, quoted_from_here
from simnet.project.wholefile import line_ends, write_whole
from simnet.scenario import SCENARIOS, Expect, Scenario, ScenarioError

__all__ = ["keep_file"]

_SAY_IT = (
    "pytest plays it, and says how it fails: {command}. Write that into the file, as in "
    'expect = {{ error = "TypeError", at = "handle_accept", reason = "#123" }}, and keep it without --reason'
)


def keep_file(path: Path, *, to: Path | None = None, title: str | None = None, reason: str | None = None) -> int:
    """Move the scenario to where pytest plays it. What a person wrote into the file stays, comments too."""
    scenario = Scenario.read(path)
    root = project_root(path)
    if title is None:
        title = _ask_title(scenario.title)
    _refuse_what_is_no_text(title=title, reason=reason)
    expect = _known(scenario, path, reason) if reason is not None else None
    kept = to is None and SCENARIOS in path.resolve().relative_to(root.resolve()).parts[:-1]
    target = path if kept else _target(scenario, title, root, to)
    if to is None and not kept:
        target = _unless_another_is_there(target, scenario)
    text = _edited(path, title if title != scenario.title else None, expect)
    Scenario.loads(text, path)  # what we are about to write can be read
    if target.resolve() == path.resolve():
        if expect is None and title == scenario.title:
            raise Refused(f"{path} is kept already; to change its title or reason give --title or --reason")
    elif target.exists():
        raise Refused(f"{target} is there already; name another place with --to, or another --title")
    write_whole(target, text, newline=line_ends(path))
    if target.resolve() != path.resolve():
        path.unlink()
        _remove_if_empty(path.parent)
    click.echo(f"Kept as {from_here(target)}.")
    if expect is not None:
        click.echo(f"Known: {expect}. It is green while that failure is there, and red once it is fixed.")
    else:
        click.echo(f"It fails until the bug is fixed: pytest {quoted_from_here(target)}")
    if unseen := _unseen(target.resolve(), root.resolve()):
        click.echo(unseen)
    return 0


def _refuse_what_is_no_text(**given: str | None) -> None:
    """Raise Refused where a terminal has passed on bytes that are no letters in its encoding, and so in no file either."""
    for name, text in given.items():
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            raise Refused(f"--{name} {text!r}: {letter!r} is no letter of this terminal's encoding") from error


def _unseen(target: Path, root: Path) -> str:
    """Why ``pytest`` alone, in the project's root, would not come to play it; "" if it does."""
    place = target.relative_to(root)
    if SCENARIOS not in place.parts[:-1]:
        return f"pytest plays it where it is named; by itself it plays what is below a folder named {SCENARIOS}, as in --to {SCENARIOS}/"
    told = told_pytest(root, "testpaths")
    looked_into = [
        (root / path).resolve() for each in told.entries for path in glob(each, root_dir=root, recursive=True)
    ]
    if not looked_into or any(target.is_relative_to(path) for path in looked_into):
        return ""
    folder = Path(*place.parts[: place.parts.index(SCENARIOS) + 1])
    return (
        f"pytest by itself does not look there: add {folder.as_posix()!r} to testpaths in {told.file}, "
        f"which has {', '.join(told.entries)}."
    )


def _ask_title(title: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():  # a program may be started without standard input
        return title
    answer: str = click.prompt("What does it show, in one line?", default=title or None)
    return answer.strip()


def _known(scenario: Scenario, path: Path, reason: str) -> Expect:
    """What the scenario fails with now, as its expectation.

    Raises:
        Refused: it does not fail.
    """
    from simnet.blame import user_place
    from simnet.explore.quiet import quiet
    from simnet.explore.replay import fails_alone, replay
    from simnet.faces.naming import test_of

    named = test_of(scenario, path, _SAY_IT)
    with named.at_home(), quiet():
        played = replay(named.test, scenario.plan, options=named.options)
    if scenario.faults and (alone := fails_alone(played.baseline, named.options)):
        raise Refused(
            f"{path}: the test fails without any fault ({alone}), so no fault is to be excused; mend that first"
        )
    failure = played.judgement.failure
    if failure is None:
        raise Refused(
            f"{path}: it does not fail now ({played.line}), so there is nothing to excuse with --reason {reason!r}"
        )
    if failure.error is None or failure.reason not in (
        "handler-raised",
        "target-raised",
        "body-raised",
        "support-raised",
    ):
        return Expect(invariant=failure.reason, reason=reason)
    function = user_place(failure.error).function
    return Expect(error=type(failure.error).__name__, at=function if function.isidentifier() else None, reason=reason)


def _target(scenario: Scenario, title: str, root: Path, to: Path | None) -> Path:
    kept = Scenario.of(scenario.test, scenario.plan, title=title, target=scenario.target).kept_path(root)
    if to is None:
        beside = root / scenario.node.file
        story = beside.parent
        # A test that lives in a story's folder has its scenarios beside it.
        return story / kept.name if (root / SCENARIOS) in story.parents else kept
    if to.suffix not in ("", ".toml") and not to.is_dir():
        raise Refused(f"--to {to}: a scenario's file ends in .toml; if that is to be a folder, make it first")
    target = to if to.suffix == ".toml" else to / kept.name
    try:
        there = project_root(target)
    except ValueError as error:
        raise Refused(f"--to {to} lies in no project; its test is in {root}") from error
    if there != root:
        raise Refused(f"--to {to} lies in another project ({there}); its test is in {root}")
    return target


def _unless_another_is_there(target: Path, scenario: Scenario) -> Path:
    """*target*, or a name beside it where another scenario has the same title: one of a test that has this one's name in another file."""
    if not target.exists():
        return target
    try:
        same = Scenario.read(target, check=False).digest() == scenario.digest()
    except ScenarioError:
        same = False
    return target if same else target.with_stem(f"{target.stem}-{scenario.digest()}")


def _edited(path: Path, title: str | None, expect: Expect | None) -> str:
    """The file's text with what changes, and all else as it stands."""
    text = path.read_text(encoding="utf-8-sig")
    if title is None and expect is None:
        return text
    import tomlkit

    document = tomlkit.parse(text)
    if title is not None:
        _put(document, "title", title, "format")
    if expect is not None:
        table = tomlkit.inline_table()
        table.update(expect.to_table())
        _put(document, "expect", table, "test")
    return tomlkit.dumps(document)


def _put(document: Any, key: str, value: Any, after: str) -> None:
    """Set *key*, which may be new: then it stands behind *after*, above the tables."""
    if key in document:
        put(document, key, value)
        return
    container = document
    for name in list(container):
        if name == after:
            container._insert_after(name, key, value)
            return
    container.add(key, value)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # it holds other failures
