"""A text file is written whole or not at all: a full disk leaves what was there before, never a half."""

from __future__ import annotations

from pathlib import Path

from simnet import real

__all__ = ["write_whole"]

OURS = ".simnet"  # the folder of a project that failures, and where a fuzz was stopped, go to
PASSED_OVER = "# What runs on this machine have found. `simnet keep` moves out of here what is to stay.\n*\n"


def write_whole(path: Path, text: str) -> None:
    """Write *text* as UTF-8 to *path*, with the folders above it.

    Raises:
        OSError: as the file system says.
    """
    _make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.{real.getpid()}.unfinished")  # two processes may have the same to write
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """It and those above it. A ``.simnet`` that is made here tells git to pass it over; whoever wants it committed deletes that line."""
    ours = next((each for each in (folder, *folder.parents) if each.name == OURS), None)
    new = ours is not None and not ours.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if ours is not None and new:
        (ours / ".gitignore").write_text(PASSED_OVER, encoding="utf-8", newline="\n")
