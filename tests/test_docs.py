"""Every example in README.md and docs/ runs, every command says what the page shows, every table is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.house import ROOT
from tests.pages import PAGES, Files, alike, has_commands, made, read, run

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_its_cost(page: Path) -> object:
    """A page that types commands or brings tests takes seconds."""
    text = page.read_text(encoding="utf-8")
    slow = has_commands(page) or "# test_" in text
    return pytest.param(page, id=ids(page), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("page", [with_its_cost(page) for page in PAGES])
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    files = Files(tmp_path, pasted=has_commands(page))
    run(read(page, files))
    wrong = files.run_the_rest()
    assert not wrong, f"{wrong}\nline numbers are those of {'the files' if files.pasted else ids(page)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_tables_of_a_page_are_what_the_code_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert made(text) == text, f"make them anew: python -m tests.pages {ids(page)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{ids(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(aim), f"{ids(page)} links to {target}; its headings are {sorted(anchors(aim))}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        ahead += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    lost = [ids(page) for page in PAGES if page not in seen]
    assert not lost, f"no link leads to {', '.join(lost)}; docs/README.md is the index"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_rooms_a_page_names_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`((?:dispatch|simnet|tests|benchmarks|docs)/[\w./-]*)`", text)
    assert [room for room in named if not (ROOT / room).exists()] == []


def links(page: Path) -> list[str]:
    """Where the links of a page lead, but for those into the web, which are not this test's business."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


# ---- the reader of pages can fail -------------------------------------------------------------------------------------


def test_a_page_becomes_files_on_the_lines_it_shows_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nassert 1 + 1 == 2\n```\n\n```python\n# echo.py - a file\nX = 1\n```\n\n"
        "```python\n# test_echo.py\nimport echo\n```\nand\n```python\ndef test_it(): pass\n```\n"
        '<!-- skip: next "it would not run" -->\n```python\n1 / 0\n```\n',
        encoding="utf-8",
    )
    files = Files(tmp_path)
    run(read(page, files))
    assert (tmp_path / "echo.py").read_text().splitlines()[5:] == ["# echo.py - a file", "X = 1"]
    lines = (tmp_path / "test_echo.py").read_text().splitlines()
    assert lines[10:12] == ["# test_echo.py", "import echo"]
    assert lines[15] == "def test_it(): pass"
    assert "1 / 0" not in lines


def test_on_a_page_with_commands_a_file_is_what_a_reader_pastes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words\n\n```python\n# a.py\nX = 1\n```\n\n```python\nY = 2\n```\n", encoding="utf-8")
    run(read(page, Files(tmp_path, pasted=True)))
    assert (tmp_path / "a.py").read_text() == "# a.py\nX = 1\n\n\nY = 2\n"


def test_a_command_is_typed_among_the_files_and_must_say_what_the_page_shows(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "```toml\n# story/a.toml\nx = 1\n```\n\n```console\n$ cat story/a.toml\n# story/a.toml\nx = 1\n$ echo two; false\ntwo\n```\n"
    page.write_text(text, encoding="utf-8")
    run(read(page, Files(tmp_path, pasted=True)))
    page.write_text(text.replace("two\n```", "three\n```"), encoding="utf-8")
    with pytest.raises(AssertionError, match="it is now"):
        run(read(page, Files(tmp_path, pasted=True)))


@pytest.mark.slow
def test_what_no_command_has_tried_is_tried_at_the_end(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# used.py\nX = 1\n```\n```python\n# alone.py\n1 / 0\n```\n"
        "```python\n# test_it.py\nimport used\n\n\ndef test_it(): assert used.X == 2\n```\n",
        encoding="utf-8",
    )
    files = Files(tmp_path)
    run(read(page, files))
    wrong = files.run_the_rest()
    assert "ZeroDivisionError" in wrong
    assert "assert 1 == 2" in wrong
    files.typed = ["pytest test_it.py", "python alone.py"]
    assert not files.run_the_rest()


def test_an_example_that_fails_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    with pytest.raises(SybilFailure, match="Expected:"):
        run(read(page, Files(tmp_path)))


@pytest.mark.parametrize(
    ("shown", "now", "same"),
    [
        pytest.param("3 runs in 0.06 s", "3 runs in 1.8 s", True, id="the time it took"),
        pytest.param("3 runs in 0.06 s", "4 runs in 0.06 s", False, id="what was counted"),
        pytest.param("==== 1 failed in 0.60s ====", "== 1 failed in 3.1s ==", True, id="a rule's width"),
        pytest.param("1 failed in 4.87s", "1 failed in 110.89s (0:01:50)", True, id="over a minute"),
        pytest.param("digest 4fcc6c3422985c5b2adc5c29627b376a", "digest " + 32 * "0", True, id="a digest"),
        pytest.param("keep a/3f5cbce5.toml", "keep a/00000000.toml", False, id="a file's name"),
        pytest.param("one\n...\nfour", "one\ntwo\nthree\nfour", True, id="dots"),
        pytest.param("one\n...\nfour", "one\nfour", True, id="dots for nothing"),
        pytest.param("one\n...\nfour", "one\ntwo", False, id="dots are followed by what follows them"),
        pytest.param("one", "one\ntwo", False, id="no dots"),
    ],
)
def test_what_a_page_shows_is_compared_but_for_what_differs_between_machines(shown: str, now: str, same: bool) -> None:
    assert alike(shown, now) is same
