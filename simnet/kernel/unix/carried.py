"""A Unix datagram socket for runs that inspect what it sends: the layer above decides when each datagram arrives, and how often.

On a kernel a datagram is in its receiver's queue at once, and none is ever lost. What is refused is refused as there, before
that layer is asked.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from simnet.kernel.readiness import DATA_NEWS
from simnet.kernel.states import SHUT_RECEIVE
from simnet.kernel.unix.datagrams import UnixDatagram
from simnet.kernel.unix.messages import Credentials, Record
from simnet.kernel.unix.sockets import UnixSocket


class CarriedDatagram(UnixDatagram):
    """One whose stack has a `carry`, which is given each datagram to somebody with a name."""

    __slots__ = ()

    def _deliver(self, target: UnixSocket, data: bytes, credentials: Credentials | None, files: Any) -> None:
        carry = self.stack.carry
        if carry is None or target.bound is None:
            super()._deliver(target, data, credentials, files)
            return
        watchers, target.watchers = target.watchers, None  # it has not arrived yet
        try:
            super()._deliver(target, data, credentials, files)
        finally:
            target.watchers = watchers
        assert target.inbox is not None
        carry(target, target.inbox.pop())

    def take(self, record: Record) -> None:
        """*record* arrives here; one that comes late may find nobody."""
        if not self.refs or self.shut & SHUT_RECEIVE:
            record.discard()
            return
        if self.inbox is None:
            self.inbox = deque()
        self.inbox.append(record)
        self.wake(DATA_NEWS)

    @staticmethod
    def again(record: Record) -> Record:
        """*record* once more; its sender's buffer has paid for the first."""
        for file in record.files:
            file.hold()
        twin = Record(record.data, 0, record.sender, record.credentials, record.files)
        twin.stamp_ns = record.stamp_ns
        return twin
