"""The simulated world for the tables: one host whose sockets talk to each other at once."""

from __future__ import annotations

from typing import Any

from simnet.kernel.messages import AF_INET, AF_UNIX, SOCK_STREAM
from tests.kernel.conftest import Fabric, mask
from tests.kernel.matrix import World


class Simulated(World):
    def __init__(self) -> None:
        self.fabric = Fabric()
        self.stack = self.fabric.stack("10.0.0.1")
        self.kept: list[Any] = []  # what must live as long as the world
        self.path = "/run/test.sock"

    def socket(self, family: int = AF_INET, type: int = SOCK_STREAM) -> Any:
        return self.stack.socket(family, type)

    def pair(self, type: int) -> Any:
        return self.stack.socketpair(AF_UNIX, type)

    def settle(self) -> None:
        self.fabric.run()

    def close(self, socket: Any) -> None:
        socket.release()
        self.settle()

    def mask(self, socket: Any) -> str:
        return mask(socket)

    def ioctl(self, socket: Any, request: int) -> int:
        return socket.ioctl(request)  # type: ignore[no-any-return]

    def sendto(self, socket: Any, data: bytes, address: Any) -> int:
        return socket.sendto(data, 0, address)  # type: ignore[no-any-return]
