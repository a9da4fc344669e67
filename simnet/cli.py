"""The command ``simnet``: for a person at a terminal, with exit codes and JSON for scripts.

What a command does is in ``simnet/faces/``, one file each, imported when it is used: ``simnet --help`` must not
wait for a simulator. Here are the declarations, and how errors are shown: place, reason and remedy on stderr, and no
traceback for a user's mistake.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from simnet.faces.codes import CLEAN, STOPPED, UNHEARD, USAGE

__all__ = ["main"]

EXIT_CODES = (
    "Exit codes: 0 clean, 1 a failure was found, 2 the command cannot be carried out as given, or a replay says "
    "nothing, 130 stopped by Ctrl-C, 141 its output was closed before it had ended."
)

# How Python meets, on standard output, what its encoding has not, and how we do: in the locales C and C.UTF-8, as containers have, it
# knows only what was a byte before.
BYTES_OR_NUMBERS = "simnet-bytes-or-numbers"
ESCAPED = {"strict": "backslashreplace", "surrogateescape": BYTES_OR_NUMBERS}

_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")


class Unheard(Exception):
    """Whoever read our output has seen enough, as ``head`` does."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would make exit code 1 of it, which says that a failure was found
            raise Unheard from error


@click.group(
    cls=_Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="simnet-dispatch", prog_name="simnet")
def simnet() -> None:
    """Tests network code against what networks do to it: every single fault at every single point."""


@simnet.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def demo(folder: Path | None) -> int:
    """Break an echo server as tutorials write it, and show how.

    The example's files go to FOLDER: if none is given, to the current folder if that is empty, else to simnet-demo/.
    A file that is there already is left as it is and worked on, so change them and come again.
    """
    from simnet.faces.commands.story import tell

    return tell(folder)


@simnet.command(short_help="Run a test once for every single fault at every point.")
@click.argument("test", metavar="PATH::TEST")
@click.option(
    "--kinds",
    metavar="KINDS",
    help="Only these kinds of fault, with commas between; 'transparent' and 'disruptive' name a class.",
)
@click.option(
    "--runs",
    type=int,
    metavar="N",
    help="At most so many simulations with a fault (default: what the test says, else 2000 or fewer).",
)
@click.option(
    "--depth",
    type=click.Choice(["1", "2", "recovery"]),
    help="How many faults a plan has: 1; 2, what is left of --runs goes to pairs; or a second one only where the first has "
    "made a point (default: what the test says, else 1).",
)
@click.option("--target", multiple=True, metavar="HOST", help="The host under test; may be given several times.")
@click.option("--strict", is_flag=True, default=None, help="A test that a disruptive fault interrupts has failed.")
@click.option("--first", is_flag=True, default=None, help="Stop at the first failure.")
@click.option("--seed", type=int, metavar="N", help="The network's seed.")
@_json
def sweep(test: str, as_json: bool, depth: str | None, **options: Any) -> int:
    """Run a test once for every single fault at every point where it could act.

    PATH alone stands for all tests in that file that are decorated with @simnet.sweep; those with fixtures or
    parameters are left to pytest, and named.
    """
    from simnet.faces.commands.sweeping import sweep_tests

    options["depth"] = int(depth) if depth is not None and depth.isdigit() else depth
    return sweep_tests(test, as_json=as_json, **options)


@simnet.command(short_help="Run a test under random faults, seed after seed.")
@click.argument("test", metavar="PATH::TEST")
@click.option(
    "--seeds", type=click.IntRange(min=1), metavar="N", default=1000, show_default=True, help="How many to run."
)
@click.option(
    "--from",
    "start",
    type=click.IntRange(min=0),
    metavar="N",
    help="The first seed (default: where the last run ended).",
)
@click.option("--kinds", metavar="KINDS", help="Only these kinds of fault, with commas between.")
@click.option("--target", multiple=True, metavar="HOST", help="The host under test; may be given several times.")
@click.option("--strict", is_flag=True, default=None, help="A test that a disruptive fault interrupts has failed.")
@click.option("--first", is_flag=True, default=None, help="Stop at the first failure.")
@_json
def fuzz(test: str, seeds: int, start: int | None, as_json: bool, **options: Any) -> int:
    """Run a test under random faults, seed after seed: several at once, where a sweep has one.

    Each seed draws some of the kinds, and a rate for each. What fails is made small and saved as a sweep's failures are. The
    same command goes on later with the seeds that were not tried.
    """
    from simnet.faces.commands.fuzzing import fuzz_tests

    return fuzz_tests(test, seeds=seeds, start=start, as_json=as_json, **options)


@simnet.command(short_help="Play a scenario file, and say if its failure is still there.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--real", is_flag=True, help="On this machine's own sockets, and say what the kernel confirmed.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="With --real: what each run may take of real time (default: 20).",
)
@click.option("--trace", is_flag=True, help="Show all that happened, not only where it went another way.")
@_json
def replay(file: Path, real: bool, seconds: float | None, trace: bool, as_json: bool) -> int:
    """Play a scenario file, and say if the failure it holds is still there.

    The word is "exact" (the very same run), "same failure on another path", "fixed", or "moved" (it is there, at another number
    than the file says). The exit code is 0 if it went as the file expects, 1 if not, and 2 if the run says nothing, since the fault has
    moved or was never reached, or the test fails without it.
    """
    from simnet.faces.commands.replaying import replay_file

    return replay_file(file, real=real, seconds=seconds, trace=trace, as_json=as_json)


@simnet.command(short_help="Move a found failure into scenarios/, where pytest plays it.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder or file to keep it as (default: scenarios/<test>/<title>.toml).",
)
@click.option("--title", help="What it shows, in one line; asked for on a terminal.")
@click.option(
    "--reason", help="Why it may go on failing for now, such as '#123': it is then known, and green until it is fixed."
)
def keep(file: Path, to: Path | None, title: str | None, reason: str | None) -> int:
    """Move a found failure from .simnet/failures into scenarios/, where pytest plays it from now on."""
    from simnet.faces.commands.keeping import keep_file

    return keep_file(file, to=to, title=title, reason=reason)


@simnet.command(short_help="Make the plan of a scenario as small as it gets.")
@click.argument("file", type=click.Path(path_type=Path))
def shrink(file: Path) -> int:
    """Make the plan of a scenario as small as the same failure allows, in its file.

    Faults are dropped, parameters weakened, anchors moved early, as a sweep does with what it finds: for a plan that was written by
    hand, or edited since.
    """
    from simnet.faces.commands.shrinking import shrink_file

    return shrink_file(file)


@simnet.command(short_help="Show a scenario in words, or a test and where faults could act.")
@click.argument("what", metavar="FILE|PATH::TEST")
@_json
def show(what: str, as_json: bool) -> int:
    """Show a scenario in words, or a test's fault-free run and where faults could act in it."""
    from simnet.faces.commands.showing import show_file, show_test

    if what.endswith(".toml"):
        return show_file(Path(what), as_json=as_json)
    return show_test(what, as_json=as_json)


@simnet.command()
def doctor() -> int:
    """Say what this machine allows, and whether a run repeats here.

    Versions, pollers, loopback addresses, the folder that failures go to, a run in several processes, one on real sockets.
    """
    from simnet.faces.commands.examining import examine

    return examine()


@simnet.command(short_help="Say what a word of a report means, and what to do about it.")
@click.argument("word", required=False)
def explain(word: str | None) -> int:
    """Say what a word of a report means, and what to do about it.

    WORD is a word that reports show in brackets, such as listener-survives, one of a summary, such as interrupted, the
    name of an exception of simnet's, or a kind of fault; without one, all of them are listed.
    """
    from simnet.faces.commands.explaining import explain

    return explain(word)


@simnet.command(short_help="Compare the simulated kernel with this machine's own.")
@click.option(
    "--programs", type=click.IntRange(min=1), metavar="N", default=1000, show_default=True, help="How many to run."
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="Of the series; a program is its seed and number.",
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Number of the first program, to go on or to repeat.",
)
@click.option("--coverage", is_flag=True, help="Show also which call was made how often in which state.")
@_json
def conform(programs: int, seed: int, first: int, coverage: bool, as_json: bool) -> int:
    """Compare the simulated kernel with this machine's own, on random programs of socket calls.

    Each program runs on loopback sockets and on simnet; every result, errno, readiness bit and byte is compared. A
    divergence is shrunk to the calls that matter and printed as a script for both.
    """
    from simnet.faces.commands.conforming import conform_programs

    return conform_programs(programs, seed, first, coverage=coverage, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code."""
    _escape_what_cannot_be_written()
    try:
        code = simnet.main(args=arguments, prog_name="simnet", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as stop:
        where = str(stop.__cause__ or stop)  # click puts an Abort in its place
        click.echo(f"\nStopped {where}" if where else "\nStopped.", err=True)
        return STOPPED
    except click.ClickException as error:
        error.show()
        return USAGE
    except Unheard:
        with open(os.devnull, "w", encoding="ascii") as nowhere:  # where what is buffered goes when Python ends
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return UNHEARD
    except Exception as error:
        from simnet.faces.refusals import refusal

        text = refusal(error)
        if text is None:
            raise
        command = " ".join(["simnet", *(arguments if arguments is not None else sys.argv[1:])][:2])
        click.echo(f"{command}: {text}", err=True)
        return USAGE
    return code if isinstance(code, int) else CLEAN


def _escape_what_cannot_be_written() -> None:
    """A title, or a name, may have letters that the encoding of a terminal or a log has not: then it has their numbers."""
    codecs.register_error(BYTES_OR_NUMBERS, _bytes_or_numbers)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ESCAPED:
            stream.reconfigure(errors=ESCAPED[stream.errors])


def _bytes_or_numbers(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a file's name that were no letters are those again; other halves of a letter have their numbers."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


if __name__ == "__main__":
    sys.exit(main())
