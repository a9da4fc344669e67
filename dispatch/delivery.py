"""Each ready channel gets its turn; the usual turn, a read and the sending of what it led to, is inlined here.

A function call costs as much as everything decided in such a turn, so only the socket and the handler are called. Anything
unusual goes to the channel's own ``_turn``, or to a method named for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ASLEEP
from dispatch.interfaces import IN, READ
from dispatch.observers import observers

if TYPE_CHECKING:
    from dispatch.loop import Loop
    from dispatch.watchful import Watch

CROWD = 15  # channels that are ready in one turn: for fewer it does not matter how a poller finds them


def admit(newcomers: list[Any]) -> None:
    """Streams that joined before this poll: what it tells is about them, and no more about who had their numbers before."""
    for stream in newcomers:
        if stream._bits == READ and stream._more is None and stream._waiting is None:
            stream._plain = IN
    newcomers.clear()


def deliver(loop: Loop, ready: Sequence[tuple[int, int]]) -> None:
    """Give everybody in *ready* its turn."""
    if len(ready) > CROWD and 2 * len(ready) > len(loop.channels):
        _say_crowded(loop)
    before = loop._turning  # a handler may turn the loop: its own turn goes on afterwards
    try:
        if loop._watch is not None:
            _watched(loop, loop._watch, ready)
        else:
            _unwatched(loop, ready)
    except BaseException:  # Ctrl-C
        if getattr(loop._turning, "_waiting", None) is not None:
            loop._unsent.append(loop._turning)  # what it wrote goes out if the loop goes on
        loop._turning = before
        raise
    loop._turning = before


def _say_crowded(loop: Loop) -> None:
    """Some pollers have a way for that."""
    crowded = getattr(loop.poller, "crowded", None)
    if crowded is not None:
        channels = loop.channels.items()
        own = [] if loop._waker is None else [(loop._waker.fd, int(IN))]
        crowded(lambda: own + [(fd, each._bits) for fd, each in channels if not each._bits & ASLEEP])


def _watched(loop: Loop, watch: Watch, ready: Sequence[tuple[int, int]]) -> None:
    """Under the eyes of debug mode."""
    turn = loop._turn_number  # a handler may turn the loop
    for fd, bits in ready:
        channel = loop.channels.get(fd)
        # A channel that left gets nothing, nor does one that got the number of a closed one meanwhile.
        if channel is not None and channel._born < turn:
            loop._turning = channel
            try:
                watch.serve(loop, channel, bits)
            except Exception as error:  # noqa: BLE001 - what handlers raise is dealt with; this should not be
                channel._turn_failed(error)
        elif channel is None:
            _not_a_channels(loop, fd)


def _not_a_channels(loop: Loop, fd: int) -> None:
    """Its channel has left in this turn; or somebody wakes the loop."""
    if loop._waker is not None and loop._waker.fd == fd:
        loop._waker.woken()


def _unwatched(loop: Loop, ready: Sequence[tuple[int, int]]) -> None:
    """With what most turns are written out."""
    channels: dict[int, Any] = loop.channels
    turn = loop._turn_number
    observed = bool(observers)
    for fd, bits in ready:
        try:
            served = channels[fd]
        except KeyError:
            _not_a_channels(loop, fd)
            continue
        loop._turning = served
        if served._plain != bits:
            if served._born < turn:
                try:
                    served._turn(bits)
                except Exception as error:  # noqa: BLE001 - as above
                    served._turn_failed(error)
            continue
        try:
            size = served._read_size
            try:
                data = served.socket.recv(size)
            except OSError as error:
                served._read_failed(error)
            else:
                got = len(data)
                if got == size:
                    data = served._came_full(data)
                    got = len(data)
                    if served._more is not None:
                        served._adapt(got)
                served.bytes_received += got
                if got > 0:
                    try:
                        if observed:
                            served._call_raising("handle_data", data)
                        else:
                            served.handle_data(data)
                    except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
                        served._failed("handle_data", error)
                else:
                    served._peer_finished()
            out = served._waiting
            if out is not None:
                if type(out) is bytes:  # and so it is connected, and nothing is in the way
                    served._waiting = None  # now: Ctrl-C may come behind the call, and it must not go out twice
                    try:
                        sent = served.socket.send(out)
                    except OSError as error:
                        served._waiting = out
                        served._sent_nothing(error)
                    else:
                        served.bytes_sent += sent
                        if sent != len(out):
                            served._sent_part(out, sent)
                else:
                    served._flush_turn(bits, 0)
        except Exception as error:  # noqa: BLE001 - as above
            served._turn_failed(error)
