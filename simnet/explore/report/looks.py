"""How a report's lines look: a word at the left, the text, its class at the right; colors where there is a terminal."""

from __future__ import annotations

import os

__all__ = ["WIDTH", "colored", "line_of", "many", "width_of"]

# Columns where nobody says how many there are: fits a terminal of 120 with a margin, and a code host's page.
WIDTH = 110
WIDTH_MIN, WIDTH_MAX = 60, 120  # a ladder has no room in fewer; a line of text that is longer is hard to come back from
MARGIN = 10  # columns of the words at the left:
NAMES = ("network", "line", "why", "so", "seen", "akin", "run it", "keep it", "kernel")

RED, BOLD, DIM, YELLOW, CYAN, PLAIN = "\033[31m", "\033[1m", "\033[2m", "\033[33m", "\033[36m", "\033[0m"


def width_of(terminal: int | None) -> int:
    """The columns to write for: those of a *terminal*, else what ``COLUMNS`` says, else `WIDTH`; within what can be read."""
    columns = terminal
    if columns is None:
        asked = os.environ.get("COLUMNS", "")
        columns = int(asked) if asked.isdecimal() and int(asked) else WIDTH
    return max(WIDTH_MIN, min(columns, WIDTH_MAX))


def many(number: int, thing: str) -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def line_of(name: str, text: str, end: str, width: int) -> str:
    """A name at the left, the text, and *end* at the right margin; folded where it is too long."""
    room = max(width - MARGIN, 20)
    if len(text) + len(end) + 3 <= room:
        filled = text.ljust(room - len(end)) + end if end else text
        return f"{name:<{MARGIN}}{filled}"
    lines, rest = [], f"{text}   {end}".strip()
    while len(rest) > room and name not in ("run it", "keep it"):
        cut = max(rest.rfind(" ", 0, room), 0) or rest.find(" ", room)  # behind a word for which there is no room
        if cut < 0:
            break
        lines.append(rest[:cut].rstrip())
        rest = rest[cut + 1 :].strip()
    lines.append(rest)
    return "\n".join(f"{name if place == 0 else '':<{MARGIN}}{line}" for place, line in enumerate(lines))


def colored(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        name = line[:MARGIN].strip()
        if line.startswith("E     "):
            line = f"{RED}{BOLD}{line}{PLAIN}"
        elif line.startswith(">     "):
            line = f"{BOLD}{line}{PLAIN}"
        elif "⚡" in line or " ! " in line:
            line = f"{YELLOW}{line}{PLAIN}"
        elif "equal to the baseline up to here" in line or "⋮" in line:
            line = f"{DIM}{line}{PLAIN}"
        elif name in NAMES:
            line = f"{CYAN}{line[:MARGIN]}{PLAIN}{line[MARGIN:]}"
        lines.append(line)
    return "\n".join(lines)
