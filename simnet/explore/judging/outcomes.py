"""What the application saw, and how two runs of it differ, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simnet.blame import exception_line
from simnet.both.seen import shown

if TYPE_CHECKING:
    from simnet.run import Outcome

__all__ = ["difference_of_outcomes", "is_among", "same", "short_repr"]

SHOWN = 60  # characters of a value
NEW_LINE = "\n"


def same(was: Any, now: Any) -> bool:
    """Whether two values, or outcomes, are equal. Those that cannot be compared, as arrays of numpy's, are not."""
    return _compared(was, now) is True


def is_among(value: Any, those: Iterable[Any]) -> bool:
    """Whether *value* is one of *those*, or equal to one, as ``in`` says it of what can be compared."""
    return any(each is value or same(each, value) for each in those)


def _compared(was: Any, now: Any) -> bool | Exception:
    try:
        return bool(was == now)
    except Exception as error:  # noqa: BLE001  # an `__eq__` of the user's, or what it gives is neither true nor false
        return error


def difference_of_outcomes(before: Outcome, after: Outcome) -> str:
    """In one sentence, in what the application saw something else than the baseline's did."""
    if before.raised != after.raised:
        return f"the test {_ended(after.raised)}; without the fault it {_ended(before.raised)}"
    if (found := _compared(before.returned, after.returned)) is not True:
        if isinstance(found, Exception):
            return f"the test returned {short_repr(after.returned)}, and == cannot compare it: {exception_line(found)}"
        was_text, now_text = _told_apart(before.returned, after.returned)
        return f"the test returned {now_text}; without the fault {was_text}"
    for index, (was, now) in enumerate(zip(before.observed, after.observed, strict=False), 1):
        if (found := _compared(was, now)) is not True:
            if isinstance(found, Exception):
                return f"observation {index} is {now[0]}={short_repr(now[1])}, and == cannot compare it: {exception_line(found)}"
            was_text, now_text = _told_apart(was[1], now[1])
            return f"observation {index} is {now[0]}={now_text}; without the fault {was[0]}={was_text}"
    now_seen = len(after.observed)
    return f"the test observed {now_seen} thing{'s' * (now_seen != 1)}; without the fault {len(before.observed)}"


def _ended(raised: str | None) -> str:
    # pytest explains an assertion in the lines below the first.
    return "ended well" if raised is None else f"raised {raised.partition(NEW_LINE)[0]}"


def _told_apart(was: Any, now: Any) -> tuple[str, str]:
    """Both values, cut around the place where they begin to differ if that would be left out of one that is too long."""
    texts = shown(was), shown(now)
    same = next((at for at, (one, other) in enumerate(zip(*texts, strict=False)) if one != other), min(map(len, texts)))
    if texts[0] == texts[1]:
        return "one that looks alike and is not equal to it", short_repr(now)
    if same < SHOWN // 3:
        return short_repr(was), short_repr(now)
    before, after = SHOWN // 3, SHOWN - SHOWN // 3
    short = [
        f"{'... ' if same > before else ''}{text[max(same - before, 0) : same + after]}{' ...' if len(text) > same + after else ''}"
        if len(text) > SHOWN
        else text
        for text in texts
    ]
    return short[0], short[1]


def short_repr(value: Any, width: int = SHOWN) -> str:
    """``repr`` with its middle left out where it is longer than *width*."""
    text = shown(value)
    if len(text) <= width:
        return text
    keep = (width - 5) // 2
    return f"{text[:keep]} ... {text[-keep:]}"
