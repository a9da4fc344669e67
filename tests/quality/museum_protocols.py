"""An asyncio protocol that numbers messages, right as far as we know: it waits until one is whole; and old mistakes of those.

Each has been reported against real programs: cowrie, opcua-asyncio. A message has its length before it, in one byte.
"""

from __future__ import annotations

import asyncio
from typing import cast

__all__ = ["Numbers", "serve"]


class Numbers(asyncio.Protocol):
    """Right, as far as we know."""

    def __init__(self) -> None:
        self.rest = b""  # what has come and is no whole message yet
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while self.rest and len(self.rest) > self.rest[0]:
            end = 1 + self.rest[0]
            message, self.rest = self.rest[1:end], self.rest[end:]
            self.number(message)

    def number(self, message: bytes) -> None:
        self.count += 1
        self.transport.write(b"%d %s\n" % (self.count, message))


class AChunkIsAMessage(Numbers):
    """cowrie #40452: each chunk is one message, and the whole of it."""

    def data_received(self, data: bytes) -> None:
        self.number(data[1 : 1 + data[0]])


class ReadsAFragmentTwice(Numbers):
    """opcua-asyncio #48: what was read already stays in front of a fragment, and is read again when that is whole."""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        unread = self.rest
        while unread and len(unread) > unread[0]:
            end = 1 + unread[0]
            message, unread = unread[1:end], unread[end:]
            self.number(message)
        if not unread:
            self.rest = b""


def serve(protocol: type[Numbers], port: int) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(protocol, port=port)
        await server.serve_forever()

    asyncio.run(main())
