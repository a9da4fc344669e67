"""What a loop reports with ``debug=True``: handlers that take long, channels that spin, writes of other threads."""

from __future__ import annotations

from functools import wraps

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.log import named

if TYPE_CHECKING:
    from dispatch.channel import Channel
    from dispatch.loop import Loop

SLOW = 0.1  # seconds in one turn of one channel; asyncio's figure
SPIN = 100  # turns in a row in which a channel was ready and nothing came of it


class Watch:
    """Serves ready channels as the loop does, with an eye on each."""

    __slots__ = ("_idle_turns", "slow", "spin")

    def __init__(self) -> None:
        self.slow = SLOW
        self.spin = SPIN
        self._idle_turns: dict[int, tuple[int, int]] = {}  # by descriptor: since when it has it, and how many

    def serve(self, loop: Loop, channel: Channel, bits: int) -> None:
        """One channel's turn."""
        check_writes(type(channel))
        fd = channel._fileno
        before = channel._progress()
        began = loop.time()
        channel._turn(bits)
        took = loop.time() - began
        if took > self.slow:
            loop.log_warning(f"{named(channel)} took {took:.3f} s for one turn; all other channels waited")
        if channel._fileno != fd or before is None or channel._progress() != before:
            self._idle_turns.pop(fd, None)
            return
        born, idle = self._idle_turns.get(fd, (channel._born, 0))
        idle = idle + 1 if born == channel._born else 1  # another had this number before
        self._idle_turns[fd] = channel._born, idle
        if idle == self.spin:
            loop.log_warning(
                f"{named(channel)} was ready {idle} times in a row, and nothing was read, written or accepted: the loop spins. "
                "A handler must take what is ready, or stop asking for it"
            )


def check_writes(kind: Any) -> None:
    """Have ``write`` of this *kind* of channel look whose thread it is in, in the channel's own turn, too.

    There it asks no such question otherwise, which would cost as much as all the rest of it.
    """
    ours = (each for each in kind.__mro__ if each.__module__.startswith("dispatch.") and "write" in vars(each))
    owner = next(ours, None)
    if owner is None or hasattr(owner.write, "__wrapped__"):
        return
    write = owner.write

    @wraps(write)
    def checked(self: Any, data: Any) -> Any:
        if self.loop._watch is not None:
            self.loop._check_thread()
        return write(self, data)

    owner.write = checked
