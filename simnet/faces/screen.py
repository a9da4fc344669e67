"""Where a command writes: colours and a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from simnet import real
from simnet.explore.report.looks import many, width_of

__all__ = ["Screen"]

PLAIN_LINE_EVERY = 10.0  # seconds between two lines of progress in a log


class Screen:
    """Standard output, as a person or a log wants it."""

    def __init__(self, file: TextIO | None = None) -> None:
        stream = file or sys.stdout or io.StringIO()  # a program may be started without standard output
        self.terminal = stream.isatty()
        self.width = width_of(shutil.get_terminal_size().columns if self.terminal else None)
        self.unicode = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")
        self.console = _Console(
            file=stream, width=self.width, highlight=False, emoji=False, markup=False, soft_wrap=False
        )
        self.color = self.console.color_system is not None and self.terminal

    def title(self, text: str) -> None:
        """A line that opens a part of what is told."""
        self.console.print()
        self.console.print(Text(text, style="bold"), soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """*text* as it is, long lines left to whoever shows them."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def paragraph(self, text: str, style: str = "") -> None:
        """*text*, broken between words at the width of the screen."""
        self.console.print(Text(text, style=style))

    def ready_made(self, text: str) -> None:
        """*text* that carries its own colours: a report, a ladder."""
        self.console.print(Text.from_ansi(text, no_wrap=True), soft_wrap=True)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1, styles: Sequence[str] = ()
    ) -> None:
        """*rows* under *columns*; the first *left* columns hold words, the others numbers. *styles* are of the rows."""
        lines = box.SIMPLE_HEAD if self.unicode else box.ASCII2
        padding = (0, 1) if self.has_room_for(columns, rows) else (0, 1, 0, 0)
        table = Table(
            box=lines, pad_edge=False, show_edge=False, header_style="", row_styles=list(styles), padding=padding
        )
        for index, name in enumerate(columns):
            table.add_column(name, justify="left" if index < left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self.console.print(table)

    def has_room_for(self, columns: Sequence[str], rows: Sequence[Sequence[object]], gap: int = 3) -> bool:
        """Whether a table of these fits with *gap* columns of the screen between its own."""
        widths = [max(_cell(value).cell_len for value in each) for each in zip(columns, *rows, strict=True)]
        return sum(widths) + gap * (len(widths) - 1) <= self.width

    def code(self, source: str, *, language: str = "python", first_line: int = 1) -> None:
        """Lines of a program with their numbers."""
        if self.color:
            from rich.syntax import Syntax

            self.console.print(
                Syntax(
                    source,
                    language,
                    line_numbers=True,
                    start_line=first_line,
                    theme="ansi_dark",
                    background_color="default",
                )
            )
            return
        for number, line in enumerate(source.splitlines(), first_line):
            self.say(f"{number:5}  {line}".rstrip())

    @contextmanager
    def progress(self, label: str) -> Iterator[Reporter]:
        """Tells how far a sweep is; on a terminal the bar is gone when it is over."""
        if self.terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[found]}"),
            )
            with Progress(*columns, console=self.console, transient=True, auto_refresh=False) as bar:
                yield _Bar(bar, label)
        else:
            yield _Lines(self, label)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704  # the BrokenPipeError that it is called for: the command knows what to answer


class Reporter:
    """What ``run_sweep`` calls after each run."""

    def __call__(self, done: int, total: int, failures: int, /) -> None:
        raise NotImplementedError


class _Bar(Reporter):
    EVERY = 0.05  # seconds: as smooth as an eye can tell

    def __init__(self, bar: Progress, label: str) -> None:
        self.bar = bar
        self.task = bar.add_task(label, total=None, found="")
        self.told = real.monotonic()
        bar.refresh()

    def __call__(self, done: int, total: int, failures: int, /) -> None:
        now = real.monotonic()
        if done < total and now - self.told < self.EVERY:
            return
        self.told = now
        found = "" if not failures else many(failures, "distinct failure")
        self.bar.update(self.task, completed=done, total=total, found=found, refresh=True)


class _Lines(Reporter):
    def __init__(self, screen: Screen, label: str) -> None:
        self.screen = screen
        self.label = label
        self.told = real.monotonic()

    def __call__(self, done: int, total: int, failures: int, /) -> None:
        now = real.monotonic()
        if now - self.told < PLAIN_LINE_EVERY:
            return
        self.told = now
        self.screen.say(f"{self.label}: {done:,} of {many(total, 'run')}, {many(failures, 'distinct failure')} so far")


def _cell(value: object) -> Text:
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
