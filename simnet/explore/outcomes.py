"""What the application saw, and in what two runs of it differ, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet.run import Outcome

__all__ = ["difference_of_outcomes", "short_repr"]


def difference_of_outcomes(before: Outcome, after: Outcome) -> str:
    """In one sentence, in what the application saw something else than the baseline's did."""
    if before.raised != after.raised:
        return f"the test {_ended(after.raised)}; without the fault it {_ended(before.raised)}"
    if before.returned != after.returned:
        return f"the test returned {short_repr(after.returned)}; without the fault {short_repr(before.returned)}"
    for index, (was, now) in enumerate(zip(before.observed, after.observed, strict=False), 1):
        if was != now:
            return (
                f"observation {index} is {now[0]}={short_repr(now[1])}; without the fault {was[0]}={short_repr(was[1])}"
            )
    return f"the test observed {len(after.observed)} things; without the fault {len(before.observed)}"


def _ended(raised: str | None) -> str:
    return "ended well" if raised is None else f"raised {raised}"


def short_repr(value: Any, width: int = 60) -> str:
    """``repr`` with its middle left out where it is longer than *width*."""
    text = repr(value)
    if len(text) <= width:
        return text
    keep = (width - 5) // 2
    return f"{text[:keep]} ... {text[-keep:]}"
