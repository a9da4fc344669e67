"""What asyncio says of a transport that nobody has closed, where its run is over: nothing.

A run's descriptors are closed with its processes. What an exception holds of it, such as the reader in a frame of its traceback, may go
much later, in the midst of another test, which would be told of an unclosed transport that it never had. Within a run it is told as ever.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from simnet.socket import Socket
from simnet.standins.known import Known

__all__ = ["place", "unplace"]

KNOWN: Final = {  # which names they go by, in all versions that have been looked at
    "_SelectorTransport": {"_sock", "ResourceWarning", "close", "_server", "_detach"},
    "_SSLProtocolTransport": {"_closed", "warn", "ResourceWarning"},
    "StreamWriter": {"_transport", "is_closing", "_loop", "is_closed", "warnings", "warn", "ResourceWarning", "close"},
}

OF: Final = {
    "asyncio.selector_events": "_SelectorTransport",
    "asyncio.sslproto": "_SSLProtocolTransport",
    "asyncio.streams": "StreamWriter",
}

_ours = {name: Known() for name in KNOWN}


def _is_over(transport: Any) -> bool:
    """Is this, or what lies below its TLS, a transport over a socket of a process that has ended?"""
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    sock = getattr(below, "_sock", None)
    return isinstance(sock, Socket) and sock._process.done


def _within_its_run(original: Any) -> Any:
    def finalize(self: Any) -> None:
        if not _is_over(getattr(self, "_transport", self)):  # a writer's, or itself
            original(self)

    return finalize


def place() -> None:
    """If asyncio is loaded: from now on."""
    for module, name in OF.items():
        owner = getattr(sys.modules.get(module), name, None)
        if owner is not None and not _ours[name].originals:
            _ours[name].put(owner, "__del__", KNOWN[name], _within_its_run)


def unplace() -> None:
    for each in _ours.values():
        each.unplace()
