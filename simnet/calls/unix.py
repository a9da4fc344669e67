"""connect() and accept() of Unix sockets: at once, or when there is room if the backlog is full."""

from __future__ import annotations

from errno import ECONNREFUSED
from typing import TYPE_CHECKING, Any

from simnet.calls.messages import MessageCalls
from simnet.faults.kinds import Fault, ResetBeforeAccept
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from simnet.kernel.states import CLOSED
from simnet.places import unix as unixplaces
from simnet.places.datagrams import joined_unix
from simnet.points.reading import RECORDS

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["UnixCalls"]


class UnixCalls(MessageCalls):
    """The part of a simulated socket that opens connections within a host."""

    __slots__ = ()

    def _connect_unix(self, file: Any, name: Any) -> None:
        """A connect of a Unix socket of any type."""
        host = self._machine
        opens = (
            file.family == AF_UNIX
            and file.type != SOCK_DGRAM
            and file.state == CLOSED
            and name
            and not isinstance(name, tuple)
        )
        refusal = None
        arguments = (name, RECORDS) if opens and file.type != SOCK_STREAM else (name,)
        if opens:
            refusal = unixplaces.connecting(self._process.machine, host, file, name)
        n = file.tag.count("connect")
        try:
            if refusal is not None:
                host.fabric.injector.fire(refusal, file.tag.place, file.tag.text, "", 1)
                raise socket_error(ECONNREFUSED)
            if file.blocks():
                opens = self._connect_when_there_is_room(file, name) and opens
            else:
                file.connect(name)
        except OSError as error:
            host.flush()
            self._record_failure(file.tag, "connect", n, arguments, error)
            raise
        if opens:
            unixplaces.connected(host, file)
        elif file.tag.datagrams and file.peer is not None:
            file.tag = joined_unix(self._process.machine, host, file)
        self._record(file.tag, "connect", n, arguments, None)
        host.flush()

    def _connect_when_there_is_room(self, file: Any, name: Any) -> bool:
        """connect() of a blocking Unix socket, which waits while the listener's backlog is full.

        False if a signal ends that: Python then polls for room to write, finds it, and says that all is well.
        """
        scheduler = self._process.scheduler
        me = scheduler.current
        deadline = self._kernel_deadline(file, "send") if file.options else None
        while True:
            try:
                file.connect(name)
                return True
            except BlockingIOError:
                if not file.blocks() or (deadline is not None and scheduler.clock.now_ns >= deadline):
                    raise
            listener, handlers = file.find(name), me.handlers
            listener.watch_last(me)  # who has waited longest is first, as in unix_wait_for_peer
            try:
                while scheduler.wait(("room in the backlog", listener), deadline) and listener.crowded:
                    # A connection that came, or its own shutdown, is no news to who waits for room.
                    if me.handlers != handlers:
                        return False
            finally:
                listener.unwatch(me)

    def _served_by(self, machine: Machine) -> None:
        """A process on *machine* accepts from a listener that it was handed: that is its own from now on, for the faults of a plan."""
        file = self._file()
        if file.tag.place is not None:
            file.tag = unixplaces.listener_tag(machine, self._machine, file)

    def _accepted_unix(self, file: Any, fault: Fault | None) -> None:
        """*file* came out of the queue of a listener."""
        unixplaces.accepted(self._process.scheduler.current.machine, self._machine, file)
        if isinstance(fault, ResetBeforeAccept):
            file.leave()
