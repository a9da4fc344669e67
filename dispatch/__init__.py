"""An event loop in the tradition of asyncore and asynchat, on an abstract socket interface.

One :class:`Loop` serves many channels: a :class:`Stream` or :class:`Chat` for each connection, a :class:`Listener` that accepts
them, :class:`Datagram` and :class:`Pipe` for the rest, :class:`Dispatcher` for programs that read and write themselves.
``dispatch.asyncore`` and ``dispatch.asynchat`` are the modules that Python 3.12 removed, on the same core.
"""

import sys

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import Channel
from dispatch.errors import Aborted, Timeout
from dispatch.loop import Loop, current_loop

if TYPE_CHECKING:
    from dispatch import asynchat, asyncore
    from dispatch.chat import Chat, MessageTooLong
    from dispatch.datagram import Datagram
    from dispatch.dispatcher import Dispatcher
    from dispatch.files import Pipe
    from dispatch.installing import install
    from dispatch.listener import Listener
    from dispatch.preloading import preload
    from dispatch.stream import Stream

__all__ = [
    "Aborted",
    "Channel",
    "Chat",
    "Datagram",
    "Dispatcher",
    "Listener",
    "Loop",
    "MessageTooLong",
    "Pipe",
    "Stream",
    "Timeout",
    "asynchat",
    "asyncore",
    "current_loop",
    "install",
    "preload",
]

#: Loaded when first used: a small server should not pay for what it does not use, nor a program that wants only asyncore.
_LATER = {
    "Chat": "dispatch.chat",
    "MessageTooLong": "dispatch.chat",
    "Datagram": "dispatch.datagram",
    "Dispatcher": "dispatch.dispatcher",
    "Listener": "dispatch.listener",
    "Pipe": "dispatch.files",
    "Stream": "dispatch.stream",
    "install": "dispatch.installing",
    "preload": "dispatch.preloading",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        found = globals()[name] = getattr(__import__(_LATER[name], fromlist=[name]), name)
        return found
    if name in ("asyncore", "asynchat"):
        return __import__(f"dispatch.{name}", fromlist=[name])
    raise AttributeError(f"module 'dispatch' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING", "sys"})
