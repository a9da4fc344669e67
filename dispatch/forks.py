"""What a loop does when what it sleeps on is not its own any more.

In a forked child it would be shared with the parent's; and a daemon that closes all descriptors but its own closes it.
"""

from __future__ import annotations

import errno
import os
from _thread import RLock
from _weakref import ref  # weakref itself would bring more than this

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ASLEEP

if TYPE_CHECKING:
    from dispatch.loop import Loop

#: Held while something is made that a fork must not find half made. A signal's handler may come to it again.
making = RLock()

_loops: set[ref[Loop]] = set()
_strays: list[Any] = []  # pollers whose numbers are somebody else's by now: one that went would close it


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
        waker.let_go()
    _watch_again(loop)  # not those closed behind our back: the parent's has forgotten them, too
    if waker is not None:
        try:
            loop._the_waker()  # now: a signal's handler could not let poll(2) and select(2) know of it while they sleep
        except OSError:
            pass  # no descriptor is left


def _watch_again(loop: Loop) -> list[Any]:
    """Let the new poller of *loop* watch what the old one did. Returns what cannot be watched."""
    refused = []
    for channel in list(loop.channels.values()):
        if not channel._bits & ASLEEP:
            try:
                loop.poller.watch(channel._fileno, channel._bits)
            except OSError:
                refused.append(channel)
    return refused


def lost(loop: Any) -> bool:
    """Whether what *loop*, of a map, sleeps on was closed behind its back. It has another by then."""
    if loop._poller_name is None:
        return False
    try:
        loop.poller.poll(0)
        return False
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):  # closed; or the number is of something else
            return False
    _strays.append(loop.poller)
    loop.poller = loop.network.poller(loop._poller_name)
    for guest in _watch_again(loop):
        loop.refused(guest)
    return True


def _after_fork() -> None:
    making.release()
    for loop in filter(None, [reference() for reference in list(_loops)]):
        _renew(loop)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=_after_fork)
