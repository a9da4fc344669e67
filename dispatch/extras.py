"""What few channels need: deadlines, a TLS layer, output that is yet to be produced. The others hold None instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import CLOSED
from dispatch.errors import OUT_OF_RESOURCES, Timeout
from dispatch.timers import Timer

if TYPE_CHECKING:
    from dispatch.output import Sender

ASKED = 1024  # items that a producer is asked for before what it gave is sent; of crumbs a turn would hold hundreds of thousands
EMPTY_MOST = 1_000_000  # a tenth of a second; a compressor that is fed byte by byte keeps some ten thousand to itself


class Extras:
    """Made when the first of these is needed."""

    __slots__ = (
        "asking",
        "broken",
        "connector",
        "grown",
        "idle",
        "layer",
        "limit",
        "listener",
        "lost",
        "staged",
        "touched",
        "write_mark",
        "write_timer",
    )

    def __init__(self) -> None:
        self.touched = 0.0  # when something was last read or sent, on the loop's clock
        self.grown = 0  # short reads until they are small again; 0: they have not come back full
        self.idle: Timer | None = None
        self.write_timer: Timer | None = None
        self.write_mark = 0  # bytes_sent when the write timer was set
        self.limit: Timer | None = None  # of connect or of close; of both, closed while it connects, the earlier
        self.asking = False  # a producer is being asked for more
        self.staged: Any = b""  # output that is next: bytes, a view of them, a file
        self.layer: Any = None
        self.connector: Any = None
        self.listener: Any = None
        self.broken: OSError | None = None  # what sending said when it failed
        self.lost = 0  # bytes written that were never sent

    def unused(self) -> bool:
        """Whether a channel would do as well without it."""
        timers = self.idle or self.write_timer or self.limit
        others = self.layer or self.connector or self.listener or self.broken
        return not (timers or others or self.grown or self.lost or self.staged or self.asking)

    def arm_idle(self, channel: Any) -> None:
        """Look at the channel again when it will have been idle for its idle_timeout, if nothing happens till then."""
        if self.idle is not None:
            self.idle.cancel()
        seconds = channel.idle_timeout
        self.idle = None
        if seconds is not None:
            self.idle = channel.loop.call_at(self.touched + seconds, self._idle_since, channel, seconds)

    def _idle_since(self, channel: Any, seconds: float) -> None:
        if self.touched + seconds <= channel.loop.time():
            channel._timed_out(Timeout("idle", seconds, "nothing was read or sent"))
        else:
            self.arm_idle(channel)

    def arm_write(self, channel: Sender) -> None:
        """Look again when the peer should have taken something."""
        if self.write_timer is None and channel.write_timeout is not None:
            self.write_mark = channel.bytes_sent
            self.write_timer = channel.loop.call_later(channel.write_timeout, self._write_stuck, channel)

    def _write_stuck(self, channel: Sender) -> None:
        self.write_timer = None
        seconds = channel.write_timeout
        if seconds is None:
            return
        if channel.bytes_sent == self.write_mark:
            channel.abort(Timeout("write", seconds, f"the peer took nothing of {channel._waiting_bytes} bytes"))
        else:
            self.arm_write(channel)

    def disarm_write(self) -> None:
        """Nothing waits any more."""
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None

    def arm_close(self, channel: Sender) -> None:
        """Look whether all is out when its close_timeout has passed; a connect() for it has no longer, either."""
        seconds: Any = channel.close_timeout
        due = channel.loop.time() + seconds
        if self.limit is not None:
            if self.limit.when <= due:
                return  # it was asked before, or connect_timeout is shorter
            self.limit.cancel()
        self.limit = channel.loop.call_at(due, self._close_stuck, channel, seconds)

    def _close_stuck(self, channel: Sender, seconds: float) -> None:
        channel.abort(Timeout("close", seconds, f"after close(), {channel.queued} bytes waited"))

    def disarm_limit(self) -> None:
        """Connected, or at the end."""
        if self.limit is not None:
            self.limit.cancel()
            self.limit = None

    def disarm(self) -> None:
        """The channel is over."""
        self.disarm_write()
        self.disarm_limit()
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None
        if self.layer is not None and self.layer.deadline is not None:
            self.layer.deadline.cancel()


def as_producer(thing: Any) -> Any:
    """*thing*, if it has ``more()``, or its items.

    Raises:
        TypeError: neither.
    """
    if hasattr(thing, "more"):
        return thing
    if isinstance(thing, (bytes, bytearray, memoryview, str)) or not hasattr(thing, "__iter__"):
        raise TypeError(f"{thing!r} is no producer: it has neither more() nor items; write() takes bytes")
    return Items(thing)


def ask_for_some(producer: Any, channel: Sender, enough: int) -> tuple[bytes, bool]:
    """What *producer* gives next, about *enough* bytes of it, and whether it gives no more."""
    given: list[bytes] = []
    size = 0
    while size < enough and len(given) < ASKED:
        data = ask_producer(producer, channel)
        if not data or channel._channel_state & CLOSED:
            return b"".join(given), True
        given.append(data)
        size += len(data)
    return b"".join(given), False


def ask_producer(producer: Any, channel: Sender) -> Any:
    """What *producer* gives next; nothing if it fails, which is an error of *channel*."""
    more = channel._extras()
    more.asking = True
    try:
        data = producer.more()
        if data and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"{producer!r} gave {type(data).__name__}, not bytes")
    except Exception as error:
        if hasattr(producer, "send_to") and isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
            raise  # a file whose turn has come, and no descriptor is left: it is asked again in a moment
        channel._failed("more", error)
        return None
    finally:
        more.asking = False
    return bytes(data) if data else None  # at once: it may use its buffer again, whose items may be wider than a byte


class Items:
    """An iterable of bytes as a producer."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items: Iterator[bytes] = iter(items)

    def __repr__(self) -> str:
        return f"<items of {self._items!r}>"

    def more(self) -> bytes:
        """The next item that is not empty; empty at the end.

        Raises:
            ValueError: there is no end of empty ones, nor would there be one of this call.
        """
        for empty, item in enumerate(self._items, 1):
            if item:
                return item
            if empty == EMPTY_MOST:
                raise ValueError(
                    f"{self!r} gave {empty} empty items in a row; write what there is when there is something"
                )
        return b""
