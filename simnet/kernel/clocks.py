"""What a stack asks of its clock: the time, to be called later, and what nobody has noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """What a clock gives for a deadline."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Virtual time, as a stack sees it."""

    now_ns: int

    def at(
        self, deadline_ns: int, function: Callable[[Any], None], argument: Any, background: bool = ..., /
    ) -> Timer: ...

    def heard_ns(self, connection: Any, /) -> int:
        """When a loss-free connection last heard of its peer, which it has not noted."""
        ...

    def received_ns(self, connection: Any, /) -> int | None:
        """When the last data came to it, as far as anybody knows."""
        ...

    def answers(self, connection: Any, wait_ns: int, late_ns: int, /) -> bool | None:
        """Does it acknowledge along with its answers, as far as anybody knows when it heard and sent what?"""
        ...

    def on_the_way(self, connection: Any, /) -> int:
        """How many bytes of it would have no acknowledgement yet, if there were acknowledgements."""
        ...
