"""What is always checked, when a network has become quiet and its processes still hold what they hold.

Those that arise while a run goes on are recorded where they arise: *no-spin* in `wait`, the ones about handlers in
`observe`. Each has a name; ``invariants={"nothing-left": "off"}`` turns one off, ``"warning"`` makes it a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from simnet.kernel.tcp import TcpSocket
from simnet.verdicts import Verdict

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["NAMES", "at_quiet", "checked", "with_levels"]

NAMES = (
    "no-spin",
    "listener-survives",
    "loop-survives",
    "one-close",
    "silence-after-close",
    "nothing-left",
    "handler-raised",
    "always",
)
LEVELS = ("failure", "warning", "off")
OVER = frozenset(
    {"CLOSE_WAIT", "CLOSED", "CLOSING", "LAST_ACK", "TIME_WAIT"}
)  # the peer is gone for good, or never was


def checked(levels: Mapping[str, str]) -> dict[str, str]:
    """*levels*, if every name and level in it exists.

    Raises:
        ValueError: one does not, with those that do.
    """
    for name, level in levels.items():
        if name not in NAMES:
            raise ValueError(f"invariants={name!r}: there is no such invariant; there are {', '.join(NAMES)}")
        if level not in LEVELS:
            raise ValueError(f"invariants={{{name!r}: {level!r}}}: a level is one of {', '.join(LEVELS)}")
    return dict(levels)


def with_levels(verdicts: Iterable[Verdict], levels: Mapping[str, str]) -> list[Verdict]:
    """The verdicts at the levels a test asked for; those turned off are gone."""
    kept = []
    for verdict in verdicts:
        level = levels.get(verdict.name, verdict.level)
        if level == "off":
            continue
        if level != verdict.level:
            verdict = Verdict(verdict.name, verdict.message, verdict.host, verdict.error, level)
        kept.append(verdict)
    return kept


def at_quiet(processes: Iterable[Process]) -> list[Verdict]:
    """What targets still hold although the other end is gone and nothing more will happen."""
    verdicts: list[Verdict] = []
    for process in processes:
        if not process.target or process.done:
            continue
        verdicts += [
            Verdict(
                "nothing-left",
                f"{process.name} still holds {file.tag} ({file.state}), whose peer is gone: "
                "nothing will ever come of it but a lost descriptor. Close it when it has ended.",
                process.host_name,
            )
            for file in process.descriptors.files()
            if isinstance(file, TcpSocket) and _is_over(file)
        ]
    return verdicts


def _is_over(file: TcpSocket) -> bool:
    return file.state in OVER and file.peer is not None and not file.unsent
