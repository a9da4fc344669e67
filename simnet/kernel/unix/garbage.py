"""Unix sockets that are on their way through Unix sockets, and the collector of those that nobody can receive any more.

Two that lie in each other's queues hold each other for ever, once no process has a number of either. Linux looks for such
circles whenever a Unix socket is closed while another is on its way (unix_gc); a socket that is closed into its own queue
therefore lives on until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from simnet.kernel.descriptors import File
from simnet.kernel.messages import AF_UNIX
from simnet.kernel.states import LISTEN

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack
    from simnet.kernel.unix.messages import Record
    from simnet.kernel.unix.sockets import UnixSocket

FEW = 64  # records that are kept before anybody looks which of them were read


class Travels:
    """The records of one host that carry Unix sockets, each with the socket in whose queue it lies."""

    __slots__ = ("records", "limit", "due", "busy", "leaving")

    def __init__(self) -> None:
        self.records: list[tuple[Record, UnixSocket]] = []
        self.limit = FEW
        self.due = False  # a socket was closed since the last look
        self.busy = False  # files are being let go of, and who looks waits for the last of them
        self.leaving: deque[File] = deque()

    def note(self, record: Record, receiver: UnixSocket) -> None:
        """*record* was queued at *receiver*."""
        self.records.append((record, receiver))
        if len(self.records) > self.limit:
            self._forget_read()
            self.limit = max(FEW, 2 * len(self.records))

    def _forget_read(self) -> None:
        self.records = [each for each in self.records if each[0].files]

    def socket_closed(self) -> None:
        """A socket was closed: close those, too, that only each other's queues hold."""
        self.due = True
        self.let_go(())

    def let_go(self, files: Iterable[File]) -> None:
        """Release *files*, those that these held after them, as the kernel does with its delayed fput, and close what that has put out
        of reach.
        """
        self.leaving.extend(files)
        if self.busy:
            return
        self.busy = True
        try:
            while self.leaving or self.due:
                if self.leaving:
                    self.leaving.popleft().release()
                else:
                    self.due = False
                    self._collect()
        finally:
            self.busy = False

    def _collect(self) -> None:
        self._forget_read()
        gone = self._out_of_reach() if self.records else []
        unread: list[Record] = []
        for socket in gone:
            for each in (*(socket.queue or ()), socket):  # what waits to be accepted is the listener's
                if each.inbox:
                    unread += each.inbox
                    each.inbox.clear()
                each.urgent = None
        for record in unread:
            record.discard()

    def _out_of_reach(self) -> list[UnixSocket]:
        """Those of which every reference lies in the queue of another of them, and none in that of one still further on."""
        where: dict[UnixSocket, list[UnixSocket]] = {}
        for record, receiver in self.records:
            for file in unix_sockets(record.files):
                where.setdefault(file, []).append(receiver)
        listeners = {child: each for each in where if each.state == LISTEN for child in each.queue or ()}
        held = {
            file: [listeners.get(each, each) for each in receivers]
            for file, receivers in where.items()
            if file.refs == len(receivers)
        }
        while True:
            lost = [file for file, receivers in held.items() if not all(each in held for each in receivers)]
            if not lost:
                break
            for file in lost:
                del held[file]
        reached = {file: _reached(held, file) for file in held}
        return [file for file in held if all(file in reached[each] for each in reached[file])]


def _reached(held: dict[UnixSocket, list[UnixSocket]], start: UnixSocket) -> dict[UnixSocket, None]:
    """In whose queues *start* lies, in whose queues those lie, and so on; in the order in which they are found."""
    found: dict[UnixSocket, None] = {}
    ahead = list(held[start])
    while ahead:
        each = ahead.pop()
        if each not in found:
            found[each] = None
            ahead += held[each]
    return found


def unix_sockets(files: Iterable[File]) -> list[UnixSocket]:
    """Those of *files* that are Unix sockets."""
    return [file for file in files if getattr(file, "family", None) == AF_UNIX]  # type: ignore[misc]


def let_go(stack: Stack, files: Iterable[File]) -> None:
    """Release *files*, which travelled and are not received."""
    if stack.travels is not None:
        stack.travels.let_go(files)
        return
    for file in files:
        file.release()


def note_travel(record: Record, receiver: UnixSocket) -> None:
    """*record*, which carries files, was queued at *receiver*."""
    if unix_sockets(record.files):
        stack = receiver.stack
        if stack.travels is None:
            stack.travels = Travels()
        stack.travels.note(record, receiver)
