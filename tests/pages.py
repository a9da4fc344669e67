"""How a page of the documentation is read and run: its blocks become files, its commands are typed, its tables are made.

    .venv/bin/python -m tests.pages             # every page: run it, and write down what has changed
    .venv/bin/python -m tests.pages README.md   # one

*Files.* A Python block whose first line is a comment with a file name (``# echo.py - what it is``) begins that file; a
block without one continues the file before it. A TOML block may begin with ``# scenarios/echo/story.toml`` in the same
way. On a page that has no file yet a Python block runs as it stands, ``>>>`` examples included.

*Commands.* In a ``console`` block the lines that begin with ``$`` are typed into a shell in the folder of these files, and
what stands below each is what it must say. A line of three dots stands for any number of lines. Times that a machine
takes, digests, addresses and the width of rules and gaps do not count.

*Tables.* Between ``<!-- made from the code: NAME -->`` and ``<!-- end -->`` stands what `tests/page_tables.py` makes.

At the end what no command of the page has tried is tried: pytest runs on its tests, Python on programs that nothing imports.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sybil import Example, Region, Sybil
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from tests.house import ROOT

PAGES = sorted(
    page
    for folder in (".", "docs", "tests", "scenarios", "benchmarks")
    for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)

COMMAND_SECONDS = 120.0  # a command that takes longer hangs; on an idle machine all take a few seconds
CONSTANTS = ROOT / ".hypothesis" / "constants"  # what it reads out of sources that are not installed: ours
WIDTH = "110"  # columns that a command finds: as many as it takes where nobody says

NOT_AT_A_READERS_DESK = re.compile(r"PYTEST_.*|CI|BUILD_NUMBER")  # under the last two pytest abridges nothing

NAMES_A_FILE = re.compile(r"# ((?:[\w-]+/)*[\w-]+\.(?:py|toml))\b")
TYPED = re.compile(r"^\$ (.*)$", re.MULTILINE)
MADE = re.compile(r"(<!-- made from the code: ([\w:.,-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Files:
    """The files that a page's blocks make up, in an empty folder that is a project of its own.

    On a page that types commands they are as a reader would paste them, so that the line numbers in what the commands
    say are true. Elsewhere a block stands on the lines it has in the page, as a traceback will say.
    """

    def __init__(self, folder: Path, *, pasted: bool = False) -> None:
        self.folder = folder
        read = folder / ".hypothesis" / "constants"
        if not read.is_symlink():
            CONSTANTS.mkdir(parents=True, exist_ok=True)
            read.parent.mkdir()
            read.symlink_to(CONSTANTS)
        self.pasted = pasted
        self.current: Path | None = None
        self.typed: list[str] = []
        self.answers: list[tuple[Example, str]] = []  # what the console blocks show, and what it is now

    def python(self, example: Example) -> None:
        text = str(example.parsed)
        if named := NAMES_A_FILE.match(text):
            self._begin(named[1])
        if self.current is None:
            PythonEvaluator()(example)
        else:
            self._add(example, text)

    def toml(self, example: Example) -> None:
        """A named block is a file; a scenario without a name must pass its checks."""
        text = str(example.parsed)
        if named := NAMES_A_FILE.match(text):
            self._begin(named[1])
            self._add(example, text)
            self.current = None
        elif text.startswith("format ="):
            from simnet.scenario import Scenario

            Scenario.loads(text)

    def console(self, example: Example) -> None:
        """Type each command; what it says must be what stands below it."""
        shown = str(example.parsed)
        now = []
        for command in TYPED.findall(shown):
            self.typed.append(command)
            now.append(f"$ {command}\n{self._type(command)}")
        answer = "".join(now)
        self.answers.append((example, answer))
        assert alike(shown, answer), f"\n---- the page shows\n{shown}\n---- it is now\n{answer}"

    def run_the_rest(self) -> str:
        """Try what no command of the page has tried: its tests, and programs that nothing imports. What is wrong, or nothing."""
        typed = " ".join(self.typed)
        sources = {file.stem: file.read_text(encoding="utf-8") for file in sorted(self.folder.glob("*.py"))}
        source = "\n".join(sources.values())
        imported = set(re.findall(r"(?:^(?:from|import) |run_module\(\")(\w+)", source, re.MULTILINE))
        wrong = []
        for name in sources:
            if name.startswith("test_"):
                continue
            if name not in imported and f"{name}.py" not in typed:
                wrong.append(self._wrong([sys.executable, f"{name}.py"]))
        every = re.search(r"\bpytest(?: -\w+)*$", typed, re.MULTILINE) is not None
        tests = [f"{name}.py" for name in sources if name.startswith("test_") and f"{name}.py" not in typed]
        if tests and not every:
            wrong.append(self._wrong([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]))
        return "\n".join(said for said in wrong if said)

    def _wrong(self, words: list[str]) -> str:
        done = self._run(words)
        return "" if done.returncode == 0 else f"{' '.join(words[1:])}\n{done.stdout}"

    def _begin(self, name: str) -> None:
        """The file of that name; if it was there, it begins anew."""
        self.current = self.folder / name
        self.current.parent.mkdir(parents=True, exist_ok=True)
        self.current.unlink(missing_ok=True)

    def _add(self, example: Example, text: str) -> None:
        assert self.current is not None
        before = self.current.read_text(encoding="utf-8") if self.current.exists() else ""
        first_line = example.line + example.parsed.line_offset + 1
        gap = ("\n\n" if before else "") if self.pasted else "\n" * (first_line - 1 - before.count("\n"))
        self.current.write_text(before + gap + text, encoding="utf-8")

    def _type(self, command: str) -> str:
        done = self._run(["sh", "-c", command])
        said = done.stdout.replace(f"{self.folder}/", "").replace(str(self.folder), ".")
        return "\n".join(line.rstrip() for line in said.strip("\n").split("\n")) + "\n" if said.strip() else ""

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not NOT_AT_A_READERS_DESK.fullmatch(name)}
        if not any("hypothesis" in file.read_text(encoding="utf-8") for file in self.folder.glob("*.py")):
            environment["PYTEST_ADDOPTS"] = "-p no:hypothesispytest"  # it imports all of hypothesis to say nothing
        environment.update(
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}",
            COLUMNS=WIDTH,
            PYTHONIOENCODING="utf-8",
            PYTHONDONTWRITEBYTECODE="1",
        )
        return subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
        )


def read(page: Path, files: Files) -> Document:
    """The page's examples, each with what is done about it."""

    def python(document: Document) -> Iterator[Region]:
        for region in PythonCodeBlockParser()(document):
            if isinstance(region.evaluator, PythonEvaluator):
                region.evaluator = files.python
            yield region  # an example that begins with >>> keeps its own evaluator

    toml = CodeBlockParser(language="toml", evaluator=files.toml)
    console = CodeBlockParser(language="console", evaluator=files.console)
    document = Sybil([python, toml, console, SkipParser()]).parse(page)
    document.namespace["find_spec"] = (
        find_spec  # a page may spare an example: skip: next if(find_spec("asyncore") is None ...)
    )
    return document


def run(document: Document) -> None:
    """Every example of the page, in order."""
    for example in document.examples():
        with contextlib.suppress(unittest.SkipTest):  # raised for the one that the page itself spares, with a reason
            example.evaluate()


def has_commands(page: Path) -> bool:
    return "```console" in page.read_text(encoding="utf-8")


# ---- what a page shows, and what it is now ----------------------------------------------------------------------------

_PASSING = (
    (re.compile(r"\b[\d,]+ (?=(?:simulations )?a second)"), "N "),
    (re.compile(r"\b\d[\d,.]*(?= ?(?:ms|s)\b)"), "N"),
    (re.compile(r"(?<=Ns) \(\d+:\d\d:\d\d\)"), ""),  # pytest's, from a minute on
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "0xN"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "DIGEST"),
    (re.compile(r"([=_─-])\1+"), r"\1\1"),
    (re.compile(r"[ \t]+"), " "),
)


def alike(shown: str, now: str) -> bool:
    """Whether *now* is what a page shows, but for what differs from machine to machine."""
    return re.fullmatch(_pattern(shown), _plain(now)) is not None


def _plain(text: str) -> str:
    for passing, instead in _PASSING:
        text = passing.sub(instead, text)
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def _pattern(shown: str) -> str:
    parts = re.split(r"^\.\.\.\n?", _plain(shown), flags=re.MULTILINE)
    return r"(?:.*\n)*?(?:.*)?".join(re.escape(part) for part in parts)


def made(text: str) -> str:
    """The page's *text* with its tables as the code would have them today."""
    from tests import page_tables

    return MADE.sub(lambda match: f"{match[1]}\n{page_tables.make(match[2])}\n\n{match[3]}", text)


# ---- writing down -----------------------------------------------------------------------------------------------------


def renew(page: Path, folder: Path) -> list[str]:
    """Run *page*, write what its tables and commands say today into it, and return what a person has to look at."""
    page.write_text(made(page.read_text(encoding="utf-8")), encoding="utf-8")
    trouble = []
    changes: list[tuple[int, int, str, str]] = []
    files = Files(folder, pasted=has_commands(page))
    for example in read(page, files).examples():
        try:
            with contextlib.suppress(unittest.SkipTest):
                example.evaluate()
        except Exception as error:  # noqa: BLE001  # an example may raise anything
            shown = str(example.parsed).rstrip("\n")
            said = files.answers[-1][1] if files.answers and files.answers[-1][0] is example else None
            now = None if said is None else abridged(shown, said)
            if now is None or not alike(now, said or ""):
                trouble.append(f"{page.relative_to(ROOT)}:{example.line}: {error}")
            else:
                changes.append((example.region.start, example.region.end, shown, now))
    text = page.read_text(encoding="utf-8")
    for start, end, shown, now in reversed(changes):
        text = text[:start] + text[start:end].replace(shown, now, 1) + text[end:]
    page.write_text(text, encoding="utf-8")
    if wrong := files.run_the_rest():
        trouble.append(f"{page.relative_to(ROOT)}: {wrong}")
    return trouble


def abridged(shown: str, now: str) -> str:
    """*now* with dots where *shown* has them: a line of dots stands for what is new beside it."""
    before, after = shown.split("\n"), now.rstrip("\n").split("\n")
    if "..." not in before:
        return "\n".join(after)
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, [_plain(line) for line in before], [_plain(line) for line in after], False)
    for tag, i, j, m, n in matcher.get_opcodes():
        if "..." in before[i:j]:
            lines.append("...")
        elif tag != "insert" or (lines[-1:] != ["..."] and before[i : i + 1] != ["..."]):
            lines += after[m:n]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.pages", description="Update the tables and outputs that pages show."
    )
    parser.add_argument("page", nargs="*", type=Path, help="a Markdown file; without one, every page")
    trouble = []
    for page in [name.resolve() for name in parser.parse_args(arguments).page] or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            trouble += renew(page, Path(folder).resolve())
    for text in trouble:
        sys.stderr.write(f"{text}\n\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
