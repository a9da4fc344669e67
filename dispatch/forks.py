"""What a forked child changes in its loops: what they sleep on must not be shared with the parent's."""

from __future__ import annotations

import os
from _thread import RLock
from _weakref import ref  # weakref itself would bring more than this

from dispatch.annotations import TYPE_CHECKING
from dispatch.channel import ASLEEP

if TYPE_CHECKING:
    from dispatch.loop import Loop

#: Held while something is made that a fork must not find half made. A signal's handler may come to it again.
making = RLock()

_loops: set[ref[Loop]] = set()


def remember(loop: Loop) -> None:
    """*loop* is renewed in children, as long as it lives."""
    _loops.add(ref(loop, _loops.discard))


def _renew(loop: Loop) -> None:
    """A poller of its own, since registrations in it would be the parent's, too; and a pair of its own to be woken by."""
    if loop.closed or loop._poller_name is None:
        return  # a poller of the program's own is its own affair
    try:
        loop.poller = loop.network.poller(loop._poller_name)
    except OSError:
        loop.poller = loop.network.poller()  # no descriptor is left; it may have one that needs none
    waker, loop._waker = loop._waker, None
    if waker is not None:
        del loop.channels[waker._fileno]
        loop._aside.discard(waker._fileno)
        loop._background = len(loop._aside)
        waker.let_go()
    for channel in loop.channels.values():
        if not channel._bits & ASLEEP:
            try:
                loop.poller.watch(channel._fileno, channel._bits)
            except OSError:
                pass  # closed behind our back: the parent's has forgotten it, too
    if waker is not None:
        try:
            loop._the_waker()  # now: a signal's handler could not let poll(2) and select(2) know of it while they sleep
        except OSError:
            pass  # no descriptor is left


def _after_fork() -> None:
    making.release()
    for loop in filter(None, [reference() for reference in list(_loops)]):
        _renew(loop)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=_after_fork)
