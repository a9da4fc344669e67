"""The interpreter's own asyncore and asynchat with the mends put in: what else differs from the drop-in is a mistake of its.

Each function here stands in the place of one of theirs and does what docs/migrating-from-asyncore.md says is mended, in the way
that takes the fewest words. It is slow, and knows no poller but select(2) and poll(2).
"""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import socket
import sys
import time
import warnings
from unittest import mock

from simnet import modules

AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK)
HIDDEN = "hidden"  # the name of what stands between asyncore's own functions in a log line
OVER = select.POLLHUP | select.POLLERR | select.POLLNVAL


class NotReady(BlockingIOError):
    """Nothing to read although the poller had said so: a turn ends with it, and nothing happens."""


NotReady.__name__ = "BlockingIOError"


def copy_of(module, beside):
    """*module* executed once more, with *beside* for what it imports."""
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    copy = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, beside), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        spec.loader.exec_module(copy)
    return copy


def mended(asyncore, asynchat):
    """Copies of the two, mended. Log lines are compared, which name functions: none of those that a network has left in place."""
    modules.restore()
    core = copy_of(asyncore, {})
    chat = copy_of(asynchat, {"asyncore": core})
    mend_dispatcher(core)
    mend_events(core)
    mend_pollers(core)
    mend_chat(chat)
    return core, chat


def generation(obj):
    """Changes when *obj* is closed."""
    return getattr(obj, "closed_as", 0), getattr(obj, "_fileno", 0) is None


def mend_dispatcher(core):
    """Closes are counted, and the end of a connect may be a close; nothing to read is no error, nor is an empty datagram an end."""
    core.closes = 0
    core.dispatcher.closed_as = 0
    close_as_ever, connect_as_ever = core.dispatcher.close, core.dispatcher.connect

    def close(self):
        core.closes += 1
        self.closed_as = core.closes
        close_as_ever(self)

    def recv(self, size):
        try:
            data = self.socket.recv(size)
        except OSError as why:
            if why.errno in AGAIN:
                raise NotReady(*why.args) from None
            if why.errno not in core._DISCONNECTED:
                raise
            self.handle_close()
            return b""
        if not data and getattr(self.socket, "type", None) != socket.SOCK_DGRAM:
            try:
                self.handle_close()
            except OSError as why:
                if why.errno not in core._DISCONNECTED:
                    raise
                self.handle_close()
            return b""
        return data

    def handle_connect_event(self):
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, core._strerror(code))
        number = self.closed_as
        self.handle_connect()
        if self.closed_as == number:
            self.connected, self.connecting = True, False

    def unannounced(called, *args):
        try:
            called(*args)
        except NotReady as why:  # nobody had said that there is something to read
            raise BlockingIOError(*why.args).with_traceback(why.__traceback__) from None

    def connect(self, address):
        unannounced(connect_as_ever, self, address)

    def connected_first(self):
        was = generation(self)
        if not self.connected and self.connecting:
            unannounced(self.handle_connect_event)
        return generation(self) == was

    def handle_read_event(self):
        if self.accepting:
            self.handle_accept()
        elif connected_first(self):
            self.handle_read()

    def handle_write_event(self):
        if not self.accepting and connected_first(self):
            self.handle_write()

    for each in (close, connect, connected_first, unannounced):
        each.__code__ = each.__code__.replace(co_name=HIDDEN)
    for each in (close, connect, recv, handle_connect_event, handle_read_event, handle_write_event):
        setattr(core.dispatcher, each.__name__, each)


def mend_events(core):
    """What was polled for somebody who has closed is dropped, data before a hang-up is read, and every handler's error is handled."""

    def event(name, called):
        def tell(obj):
            try:
                getattr(obj, called)()
            except core._reraised_exceptions:
                raise
            except NotReady:
                pass
            except BaseException:  # noqa: BLE001 - asyncore's rule
                obj.handle_error()

        tell.__code__ = tell.__code__.replace(co_name=name)
        setattr(core, name, tell)
        return tell

    event("read", "handle_read_event")
    event("write", "handle_write_event")
    event("_exception", "handle_expt_event")
    close = event(HIDDEN, "handle_close")

    def readwrite(obj, flags):
        was = generation(obj)
        unread = waiting(obj) if flags & select.POLLIN and flags & OVER else None
        try:
            if flags & select.POLLIN:
                obj.handle_read_event()
            if flags & select.POLLOUT and generation(obj) == was:
                obj.handle_write_event()
            if flags & select.POLLPRI and generation(obj) == was:
                obj.handle_expt_event()
            nothing_came = unread is None or waiting(obj) == unread
            if flags & OVER and generation(obj) == was and (nothing_came or not flags & select.POLLIN):
                obj.handle_close()
        except NotReady:
            pass
        except OSError as error:
            if error.errno in core._DISCONNECTED:
                close(obj)
            else:
                obj.handle_error()
        except core._reraised_exceptions:
            raise
        except BaseException:  # noqa: BLE001 - as above
            obj.handle_error()

    core.readwrite = readwrite


def waiting(obj):
    """How many bytes are there to be read, if that can be told."""
    import fcntl

    try:
        return fcntl.ioctl(obj.socket.fileno(), 0x541B, bytes(4))
    except Exception:  # noqa: BLE001 - it has no socket, or a closed one
        return None


def mend_pollers(core):
    """Who closes or goes while others are served is served no more; a stale descriptor is its own channel's end."""

    def asked(map):
        found = []
        for fd, obj in list(map.items()):
            try:
                reads, writes = bool(obj.readable()), bool(obj.writable()) and not obj.accepting
            except core._reraised_exceptions:
                raise
            except Exception:  # noqa: BLE001 - whatever it is
                obj.handle_error()
                continue
            if reads or writes:
                found.append((fd, obj, reads, writes, stale(fd)))
        return found

    asked.__code__ = asked.__code__.replace(co_name=HIDDEN)

    def there(map, fd, obj, number):
        return map.get(fd) is obj and getattr(obj, "closed_as", 0) <= number

    def urgent(map, fd, obj, number):
        if there(map, fd, obj, number):
            try:
                obj.socket.recv(1, socket.MSG_OOB)
            except Exception:  # noqa: BLE001
                pass  # it has been read

    def ends(map, those):
        for fd, obj, *_ in those:
            if map.get(fd) is obj:
                core.readwrite(obj, select.POLLNVAL)

    def poll(timeout=0.0, map=None):
        channels = core.socket_map if map is None else map
        if not channels:
            return
        those = asked(channels)
        if not those:
            time.sleep(timeout)
            return
        dead, good = [each for each in those if each[4]], [each for each in those if not each[4]]
        lists = (
            [each[0] for each in good if each[2]],
            [each[0] for each in good if each[3]],
            [each[0] for each in good],
        )
        ready = select.select(*lists, 0 if dead else timeout)
        objects, number = {each[0]: each[1] for each in good}, core.closes
        ends(channels, dead)
        for fds, tell in zip(ready, (core.read, core.write, core._exception), strict=True):
            for fd in fds:
                if there(channels, fd, objects[fd], number):
                    tell(objects[fd])
                    if tell is core._exception:
                        urgent(channels, fd, objects[fd], number)

    def poll2(timeout=0.0, map=None):
        channels = core.socket_map if map is None else map
        if not channels:
            return
        those = asked(channels)
        pollster, objects = select.poll(), {}
        for fd, obj, reads, writes, gone in those:
            if not gone:
                objects[fd] = obj
                read_bits = select.POLLIN | select.POLLPRI if reads else 0
                pollster.register(fd, read_bits | (select.POLLOUT if writes else 0))
        dead = [each for each in those if each[4]]
        ready, number = pollster.poll(0 if dead else int(timeout * 1000)), core.closes
        ends(channels, dead)
        for fd, flags in ready:
            if there(channels, fd, objects[fd], number):
                core.readwrite(objects[fd], flags)
                if flags & select.POLLPRI:
                    urgent(channels, fd, objects[fd], number)

    core.poll, core.poll2 = poll, poll2


def stale(fd):
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False


def mend_chat(chat):
    """A push keeps its place and its bytes, and nothing is parsed after a close."""
    kind = chat.async_chat
    push_as_ever = kind.push
    kind.producing = False

    def push(self, data):
        push_as_ever(self, bytes(data) if isinstance(data, (bytearray, memoryview)) else data)

    def handle_read(self):
        try:
            data = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            self.handle_error()
            return
        self.ac_in_buffer = self.ac_in_buffer + data
        was = generation(self)
        while self.ac_in_buffer and cut(self) and generation(self) == was:
            pass
        if generation(self)[0] != was[0]:
            self.ac_in_buffer = b""

    def cut(self):
        buffer, terminator = self.ac_in_buffer, self.get_terminator()
        if not terminator:
            whole(self, buffer)
        elif isinstance(terminator, int):
            if len(buffer) < terminator:
                whole(self, buffer)
                self.terminator = self.terminator - len(buffer)
            else:
                self.collect_incoming_data(buffer[:terminator])
                self.ac_in_buffer = self.ac_in_buffer[terminator:]
                self.terminator = 0
                self.found_terminator()
        elif (place := buffer.find(terminator)) >= 0:
            if place:
                self.collect_incoming_data(buffer[:place])
            self.ac_in_buffer = self.ac_in_buffer[place + len(terminator) :]
            self.found_terminator()
        elif kept := chat.find_prefix_at_end(buffer, terminator):
            if kept < len(buffer):
                self.collect_incoming_data(buffer[:-kept])
                self.ac_in_buffer = self.ac_in_buffer[-kept:]
            return False
        else:
            whole(self, buffer)
        return True

    def whole(self, buffer):
        self.collect_incoming_data(buffer)
        self.ac_in_buffer = b""

    def initiate_send(self):
        while self.producer_fifo and self.connected and not self.producing:
            first = self.producer_fifo[0]
            if not first:
                del self.producer_fifo[0]
                if first is None:
                    self.handle_close()
                    return
            try:
                data = first[: self.ac_out_buffer_size]
            except TypeError:  # more() is called in its handler, as ever
                produce(self, first)
                continue
            if isinstance(data, str) and self.use_encoding:
                data = bytes(data, self.encoding)
            try:
                sent = self.send(data)
            except OSError:
                self.handle_error()
                return
            if sent and self.producer_fifo and self.producer_fifo[0] is first:
                if sent < len(data) or self.ac_out_buffer_size < len(first):
                    self.producer_fifo[0] = first[sent:]
                else:
                    del self.producer_fifo[0]
            return

    def produce(self, producer):
        fifo = self.producer_fifo
        gone = not fifo or fifo[0] is not producer  # one that is false
        self.producing = True
        try:
            data = producer.more()
        finally:
            self.producing = False
        stands = bool(fifo) and fifo[0] is producer
        if self.producer_fifo is not fifo or stands is gone:
            return
        if data:
            fifo.appendleft(data)
        elif stands:
            del fifo[0]

    for each in (push, cut, whole, produce):
        each.__code__ = each.__code__.replace(co_name=HIDDEN)
    for each in (push, handle_read, initiate_send):
        setattr(kind, each.__name__, each)
