"""The observers of all loops. The list is empty in production, and every loop checks whether it is."""

from __future__ import annotations

from dispatch.annotations import Any, Protocol


class Observer(Protocol):
    """What a loop tells about itself. All methods may stay as they are.

    Channels come as they are in the loop's map: of the drop-in modules too, and whatever else a program put there.
    """

    def opened(self, channel: Any, /) -> None:
        """The channel has joined a loop or a map."""
        return

    def event(self, channel: Any, name: str, /) -> None:
        """A handler is about to be called: ``"handle_read"``."""
        return

    def handled(self, channel: Any, name: str, /) -> None:
        """It returned."""
        return

    def raised(self, channel: Any, name: str, exception: BaseException, /) -> None:
        """It raised instead, and ``handle_error`` is next. A failed callback comes with the loop as its channel."""
        return

    def full(self, channel: Any, queued: int, first: bool, /) -> None:
        """So many bytes, more than ``high_water``, wait in a Stream after a write; *first*, since it had drained last."""
        return

    def closed(self, channel: Any, reason: BaseException | None, /) -> None:
        """The channel has left its loop or map; told once. ``handle_close`` of the modern classes is still to come."""
        return

    def gone(self, channel: Any, /) -> None:
        """Something was written to a Stream that has closed, or is about to; it is not sent."""
        return

    def turn(self, loop: Any, n_ready: int, /) -> None:
        """One poll returned, with so many ready descriptors."""
        return


#: Every loop, and the drop-in modules, tell each of these. Also ``dispatch.loop.observers``.
observers: list[Observer] = []


def tell_gone(channel: Any) -> bool:
    """Something was written to *channel*, which has ended: nothing is sent."""
    for observer in observers:
        observer.gone(channel)
    return False
