"""How a loop ends: whoever is left is told, and everything is given back."""

from __future__ import annotations

from collections.abc import Callable

from dispatch.annotations import TYPE_CHECKING
from dispatch.current import enter, leave
from dispatch.errors import Aborted
from dispatch.forks import making

if TYPE_CHECKING:
    from dispatch.channel import Channel
    from dispatch.loop import Loop

ROUNDS = 100  # handlers of the last channels may open others; some would do so for ever


def end_all(loop: Loop, end: Callable[[Channel], object]) -> None:
    """Those in the background, too. A program's own ``close`` or ``abort`` may fail, which is its channel's affair."""
    for channel in list(loop.channels.values()):
        try:
            end(channel)
        except Exception as error:  # noqa: BLE001 - as in a handler
            channel._failed("close", error)


def give_up(loop: Loop) -> None:
    """There is no more time: this turn is the last, whatever the last ones open when they hear of it."""
    loop._stopping = loop.running
    end_all(loop, lambda channel: channel.abort(Aborted("its loop was closed")))


def shut(loop: Loop) -> None:
    """The end of it: tell who is still to be told, and give everything back."""
    if loop.closed:
        return
    token = enter(loop)
    try:
        for _ in range(ROUNDS):
            give_up(loop)
            loop._settle()
            if not loop.channels:
                break
        with making:
            loop.closed = True
        give_up(loop)  # from now on nobody can join: these are the last
        loop._settle()
    finally:
        leave(token)
    if loop._waker is not None:
        loop._waker.end()
    for call in loop._signals[:]:
        call.cancel()
    while loop._soon:
        loop._soon.popleft().cancel()
    loop._timers.clear()
    loop.poller.close()
