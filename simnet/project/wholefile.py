"""A text file is written whole or not at all: a full disk leaves what was there before, never a half."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from shutil import copymode

from simnet import real

__all__ = ["OURS", "line_ends", "write_whole"]

OURS = ".simnet"  # the folder of a project that failures, and where a fuzz was stopped, go to
PASSED_OVER = "# What runs on this machine have found. `simnet keep` moves out of here what is to stay.\n*\n"


def write_whole(path: Path, text: str, *, newline: str = "\n") -> None:
    """Write *text* as UTF-8 to *path*, or to where that leads, with the folders above it. Who may read a file that is there stays as it is.

    Raises:
        OSError: as the file system says.
    """
    _make_folder(path.parent)
    path = path.resolve() if path.is_symlink() else path
    unfinished = path.with_name(f".{path.name}.{real.getpid()}.unfinished")  # two processes may have the same to write
    try:
        unfinished.write_text(text, encoding="utf-8", newline=newline)
        with suppress(OSError):  # it is new, or somebody else's
            copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def line_ends(path: Path) -> str:
    """How the lines of the text file *path* end: on Windows, editors write two characters."""
    return "\r\n" if b"\r\n" in path.read_bytes() else "\n"


def _make_folder(folder: Path) -> None:
    """It and those above it. A ``.simnet`` that is made here tells git to pass it over; whoever wants it committed deletes that line."""
    ours = next((each for each in (folder, *folder.parents) if each.name == OURS), None)
    new = ours is not None and not ours.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if ours is not None and new:
        (ours / ".gitignore").write_text(PASSED_OVER, encoding="utf-8", newline="\n")
