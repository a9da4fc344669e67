"""Every example in README.md and docs/ runs, and every link leads somewhere.

How a page is read: a Python block whose first line is a comment with a file name (``# echo.py - what it is``) begins that
file; a block without one continues the file before it. When the page is read, its files stand in an empty folder and
pytest runs there, so that ``def test_...`` is a test and an ``import echo`` finds its file. On a page that has no file
yet, a block runs as it stands, ``>>>`` examples included. An HTML comment ``<!-- skip: next "reason" -->`` spares a block.
A TOML block that begins with ``format =`` is a scenario and must pass its checks.
"""

from __future__ import annotations

import contextlib
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Example, Region, Sybil
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from simnet import Scenario
from tests.house import ROOT

PAGES = sorted(
    page
    for folder in (".", "docs", "tests", "scenarios", "benchmarks")
    for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
BLOCK_NAMES_A_FILE = re.compile(r"# (\w+\.py)\b")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Files:
    """The files that a page's blocks make up. A block stands on the lines it has in the page, as a traceback will say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current: Path | None = None

    def __call__(self, example: Example) -> None:
        text = str(example.parsed)
        if named := BLOCK_NAMES_A_FILE.match(text):
            self.current = self.folder / named[1]
        if self.current is None:
            PythonEvaluator()(example)
            return
        before = self.current.read_text(encoding="utf-8") if self.current.exists() else ""
        first_line = example.line + example.parsed.line_offset + 1
        self.current.write_text(before + "\n" * (first_line - 1 - before.count("\n")) + text, encoding="utf-8")


def check_scenario(example: Example) -> None:
    """A scenario in a page is a scenario that loads."""
    if example.parsed.startswith("format ="):
        Scenario.loads(example.parsed)


def read(page: Path, files: Files) -> Document:
    def python(document: Document) -> Iterator[Region]:
        for region in PythonCodeBlockParser()(document):
            if isinstance(region.evaluator, PythonEvaluator):
                region.evaluator = files
            yield region  # an example that begins with >>> keeps its own evaluator

    toml = CodeBlockParser(language="toml", evaluator=check_scenario)
    return Sybil([python, toml, SkipParser()]).parse(page)


def run(document: Document) -> None:
    for example in document.examples():
        with contextlib.suppress(unittest.SkipTest):  # raised for the one that the page itself spares, with a reason
            example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_examples_of_a_page_run(page: Path, pytester: pytest.Pytester) -> None:
    files = Files(pytester.path)
    run(read(page, files))
    if any(pytester.path.glob("test_*.py")):
        result = pytester.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", timeout=120)
        assert result.ret == pytest.ExitCode.OK, f"line numbers are those of {ids(page)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue  # the web is not this test's business
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{ids(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(aim), f"{ids(page)} links to {target}; its headings are {sorted(anchors(aim))}"


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_a_page_becomes_files_on_the_lines_it_shows_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nassert 1 + 1 == 2\n```\n\n```python\n# echo.py - a file\nX = 1\n```\n\n"
        "```python\n# test_echo.py\nimport echo\n```\nand\n```python\ndef test_it(): pass\n```\n"
        '<!-- skip: next "it would not run" -->\n```python\n1 / 0\n```\n',
        encoding="utf-8",
    )
    run(read(page, Files(tmp_path)))
    assert (tmp_path / "echo.py").read_text().splitlines()[5:] == ["# echo.py - a file", "X = 1"]
    lines = (tmp_path / "test_echo.py").read_text().splitlines()
    assert lines[10:12] == ["# test_echo.py", "import echo"]
    assert lines[15] == "def test_it(): pass"
    assert "1 / 0" not in lines


def test_a_scenario_with_a_mistake_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```toml\nformat = 1\ntitle = "t"\ntest = "a.py::b"\n[[fault]]\nkind = "no-such"\n```\n', encoding="utf-8"
    )
    with pytest.raises(Exception, match="no-such"):
        run(read(page, Files(tmp_path)))


def test_an_example_that_fails_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    with pytest.raises(SybilFailure, match="Expected:"):
        run(read(page, Files(tmp_path)))
