"""``simnet demo``: an echo server as tutorials write it, broken before your eyes, replayed on a real kernel, and fixed.

The example's files are put where the reader can work with them. Existing ones are used as they are, so
that a reader who changes the server sees the effect.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from simnet.expect import Found, ScenarioError
from simnet.explore.keep import failure_text
from simnet.explore.quiet import quiet
from simnet.explore.replay import OnRecord, Replayed, replay
from simnet.explore.replay_real import replay_real
from simnet.explore.report.looks import many
from simnet.explore.result import CTRL_C, Failure, SweepResult
from simnet.faces.commands.showing import show_baseline
from simnet.faces.commands.sweeping import kinds_table, print_failures, sweep_named
from simnet.faces.naming import Named, named_test
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen
from simnet.project.nodeid import NO_PYTHON, no_python
from simnet.project.typed import from_here, quoted_from_here
from simnet.project.wholefile import write_whole
from simnet.realnet.classes import SIMULATOR_ONLY
from simnet.run import play

__all__ = ["FILES", "tell"]

SHIPPED = Path(__file__).resolve().parents[2] / "demo"
FILES = ("tutorial_server.py", "test_tutorial_server.py", "corrected_server.py", "test_corrected_server.py")
TEST = "test_every_line_comes_back"

PROJECT = """\
# Marks this folder as a project of its own: paths in scenario files are counted from here.
[tool.pytest.ini_options]
filterwarnings = ["default"]
"""

# What of the tutorial's server is shown: the methods in which a network can hurt it.
SHOWN = (
    ("EchoHandler", ("handle_read", "writable", "handle_write", "handle_close")),
    ("EchoServer", ("handle_accept",)),
)


def tell(folder: Path | None = None) -> int:
    """Tell the whole story; 0 if it ends well, which includes that the tutorial's server is broken."""
    screen = Screen()
    place = _lay_out(screen, folder)
    with contextlib.chdir(place):  # what the reports say to type is meant to be typed there
        tutorial, corrected = _named("test_tutorial_server.py"), _named("test_corrected_server.py")
        _show_server(screen, Path("tutorial_server.py"))
        result = _sweep(screen, tutorial)
        _failures(screen, tutorial, result)
        if result.stopped == CTRL_C:
            raise KeyboardInterrupt  # said after the failures that were found by then
        _replays(screen, tutorial, result)
        mended = _corrected(screen, corrected)
    _what_next(screen, place, result)
    if mended.stopped == CTRL_C:
        raise KeyboardInterrupt
    return 0 if mended.ok else 1


# --- the files -------------------------------------------------------------------------------------------------------


def _lay_out(screen: Screen, folder: Path | None) -> Path:
    """The example's files in *folder*, or where they fit. One that its reader has changed stays as it is."""
    place = folder if folder is not None else _choose()
    place.mkdir(parents=True, exist_ok=True)
    stamp = place / ".simnet" / "demo.json"  # what was laid out, to tell an old copy from a changed one
    laid_out = _laid_out(stamp)
    changed = []
    for name in FILES:
        target, shipped = place / name, (SHIPPED / name).read_text(encoding="utf-8")
        there = target.read_bytes() if target.exists() else None
        if there is None or _digest(there) == laid_out.get(name):
            write_whole(target, shipped)
            laid_out[name] = _digest(shipped.encode())
        elif there != shipped.encode():
            changed.append(name)
    if not (place / "pyproject.toml").exists():
        write_whole(place / "pyproject.toml", PROJECT)
    write_whole(stamp, json.dumps(laid_out, indent=1))
    screen.title("1. An echo server, as asyncore tutorials write it")
    screen.say()
    where = "this folder" if from_here(place) == "." else from_here(place)
    screen.paragraph(f"Its files are in {where}, to read and to change: {', '.join(FILES)}.")
    if place.resolve() != Path.cwd():  # those of the reports come long before the last part says so
        screen.paragraph(f"Commands are to be typed in {quoted_from_here(place)}.")
    if changed:
        screen.paragraph(f"As you left {'it' if len(changed) == 1 else 'them'}: {', '.join(changed)}.", "bold")
    return place.resolve()


def _laid_out(stamp: Path) -> dict[str, str]:
    try:
        noted = json.loads(stamp.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none, or somebody has written into it
        return {}
    return noted if isinstance(noted, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _choose() -> Path:
    here = Path.cwd()
    if not any(here.iterdir()) or all((here / name).exists() for name in FILES):
        return Path()
    if (here / "simnet" / "faces" / "commands" / "story.py").is_file():
        return Path(".simnet") / "demo"  # our own checkout stays clean
    return Path("simnet-demo")


def _named(file: str) -> Named:
    try:
        return named_test(f"{file}::{TEST}")
    except (Refused, ScenarioError) as error:
        raise Refused(
            f"{error}\nThe example's files are in {Path.cwd()}; delete one to have it written again."
        ) from error


# --- the story -------------------------------------------------------------------------------------------------------


def _show_server(screen: Screen, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    try:
        classes = {each.name: each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)}
    except NO_PYTHON as error:
        raise Refused(no_python(path, error)) from error
    screen.say()
    for name, methods in SHOWN:
        owner = classes.get(name)
        if owner is None:
            continue  # the reader has made another program of it
        functions = [each for each in owner.body if isinstance(each, ast.FunctionDef) and each.name in methods]
        screen.code(lines[owner.lineno - 1], first_line=owner.lineno)
        for function in functions:
            last = function.end_lineno or function.lineno
            screen.say("   ...", "dim")
            screen.code("\n".join(lines[function.lineno - 1 : last]), first_line=function.lineno)
        screen.say()
    screen.say(f"All {len(lines)} lines: {path}", "dim")


def _sweep(screen: Screen, named: Named) -> SweepResult:
    """The run without faults, then all those with one."""
    screen.title("2. Without faults it works")
    screen.say()
    with named.at_home(), quiet():
        baseline = play(named.test, **named.options.playing)
    show_baseline(screen, baseline)
    screen.title("3. The same once for every single fault at every point where it could act")
    screen.say()
    with screen.progress("every fault at every point") as progress:
        result = sweep_named(named, named.options, progress)
    kinds_table(screen, result)
    screen.say()
    screen.paragraph(f"{result.summary()}; {result.rate:,.0f} simulations a second")
    return result


def _failures(screen: Screen, named: Named, result: SweepResult) -> None:
    number = len(result.failures)
    if not number:
        screen.title("4. No failure: the tutorial's server has been fixed")
        return
    screen.title(f"4. {many(number, 'distinct failure')}, each with the smallest plan that shows it")
    print_failures(screen, named, result)


@dataclass
class _Again:
    failure: Failure
    first: Replayed
    second: Replayed
    kernel: str  # what came of it on real sockets


def _replays(screen: Screen, named: Named, result: SweepResult) -> None:
    if not result.failures:
        return
    screen.title("5. Each again: twice on simnet, once on this machine's own sockets")
    screen.say()
    again = []
    with screen.progress("replaying") as progress, named.at_home(), quiet():
        for number, failure in enumerate(result.failures, 1):
            found = Found(by="sweep", failure=failure_text(failure.finding), trace=failure.run.digest)
            record = OnRecord(found=found, test_id=named.id, file=failure.file)
            first = replay(named.test, failure.plan, options=named.options, record=record)
            second = replay(named.test, failure.plan, options=named.options, record=record)
            try:
                failure.kernel = replay_real(named.test, failure.plan, options=named.options, record=record).kernel
            except ValueError:  # no kernel can be made to show it: it has refused the plan
                failure.kernel = SIMULATOR_ONLY
            again.append(_Again(failure, first, second, failure.kernel))
            progress(number, len(result.failures), 0)
    for number, each in enumerate(again, 1):
        once, twice = each.first.digest[:8], each.second.digest[:8]
        same = each.first.digest == each.second.digest == each.failure.run.digest
        screen.say(f"{number}  {each.failure.plan}")
        screen.say(
            f"   on simnet        {once}, and again {twice}: {'the same run, event for event' if same else 'two runs that differ'}"
        )
        screen.say(f"   on real sockets  {each.kernel}")
    confirmed = sum(each.kernel.startswith("confirmed") for each in again)
    screen.say()
    screen.paragraph(
        f"{confirmed} of {len(again)} confirmed on the kernel: there the kernel itself did what the plan says, and the server failed "
        "in the same way. An injected result is real sockets with one answer replaced, since no kernel gives that one on demand."
    )
    result.save(named.root, named.id)


def _corrected(screen: Screen, named: Named) -> SweepResult:
    screen.title("6. The corrected server, swept the same way")
    screen.say()
    with screen.progress("every fault at every point") as progress:
        result = sweep_named(named, named.options, progress)
    kinds_table(screen, result)
    print_failures(screen, named, result)
    screen.say()
    screen.paragraph(
        f"{'No failure' if result.ok else 'Failures'} in {result.runs:,} runs, {result.rate:,.0f} simulations a second.",
        "bold green" if result.ok else "bold red",
    )
    screen.paragraph(result.summary())
    return result


def _what_next(screen: Screen, place: Path, result: SweepResult) -> None:
    files = [failure.file for failure in result.failures if failure.file is not None]
    screen.title("What to try next")
    screen.say()
    commands = Path(sys.executable).parent
    if Path(shutil.which("pytest") or "/nowhere").parent != commands and (commands / "activate").exists():
        screen.say(f"    . {quoted_from_here(commands / 'activate')}")
    if place != Path.cwd():
        screen.say(f"    cd {quoted_from_here(place)}")
    screen.say("    pytest")
    screen.paragraph(
        "runs both tests: the tutorial's fails with its reports, the corrected one passes in one line (-v shows it)."
    )
    if files:
        path = files[0].relative_to(place) if files[0].is_relative_to(place) else files[0]
        for command, what in (
            (f"pytest test_tutorial_server.py --simnet-replay {path} --pdb", "stops where the first failure arises"),
            (f"simnet replay {path}", "plays it alone; edit the file (another call, another byte), and play it again"),
            (f"simnet replay --real {path}", "asks your kernel"),
            (f"simnet keep {path}", "keeps it in scenarios/, where pytest plays it from now on"),
        ):
            screen.say()
            screen.say(f"    {command}")
            screen.paragraph(f"{what}.")
    screen.say()
    screen.paragraph(
        "Then fix tutorial_server.py, and run `simnet demo` here again: it works on the files as you left them."
    )
