"""Faults on the bytes of a real connection, done with what the socket API offers.

================  ==============================================================================================
reset             ``connect(AF_UNSPEC)`` at the end not under test: the kernel sends RST and gives that end ECONNRESET
eof               ``shutdown(SHUT_WR)`` there; or that end is shown the end of the stream, and reads the rest away
stall             what follows waits with the courier; or that end is not shown it before
coalesce          what follows waits in the queue until there is enough; or that end is not shown it before 40 ms have passed
split             a pause until the first part has been read; or that end is shown the two parts one by one
urgent            ``send(..., MSG_OOB)`` by the sender's socket
================  ==============================================================================================
"""

from __future__ import annotations

import ctypes
import errno
import socket
from contextlib import closing, nullcontext, suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.faults.fault import Fault
from simnet.faults.inject import GATHER_NS
from simnet.faults.kinds import Coalesce, Stall
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import SIOCOUTQNSD
from simnet.kernel.readiness import ERR, HUP, IN
from simnet.realnet.connection import Connection, Gate, RealFile, Stream, counted, opposite
from simnet.realnet.process import current_process

if TYPE_CHECKING:
    from simnet.realnet.stage import Stage

__all__ = [
    "arm_streams",
    "await_death",
    "before_end",
    "join",
    "part",
    "send",
    "sever",
]

FLUSH_NS = 200_000_000  # a peer whose window is full and who does not read will not: then the rest goes nowhere
PAUSE_NS = 50_000_000  # how long a split waits for the reader; a busy one needs well under a millisecond
STALL_MIN_NS = 20_000_000  # who is to read before a stall is over takes some milliseconds to wake
DEATH_NS = 200_000_000  # a RST over loopback arrives within microseconds
STEP = 0.0002  # seconds between two looks
CLOSE_WAIT = 8  # of tcp_states.h: the peer has ended what it sends
NEVER_NS = 1 << 62
LITTLE = 4_096  # bytes for which every buffer that is not full has room
LATER_NS = 1_000_000  # until the courier comes back to a peer that had no room

_libc = ctypes.CDLL(None, use_errno=True)


def arm_streams(stage: Stage, connection: Connection, client: RealFile, server_under_test: bool) -> None:
    """Give a new connection the plan's faults on its bytes."""
    under_test = {"client": client.machine.target, "server": server_under_test}
    for towards in ("client", "server"):
        faults = [
            fault
            for fault in stage.plan
            if fault.anchor.form == "byte"
            and fault.anchor.end == towards
            and fault.acts_at(connection.place)
            and not (connection.place.unix and fault.kind == "reset")
        ]
        if faults:
            faults.sort(key=lambda fault: fault.anchor.number)
            by_sender = not under_test[opposite(towards)] or under_test[towards]
            connection.streams[towards] = Stream(towards, faults, by_sender)


def join(stage: Stage, file: RealFile, connection: Connection, end: str) -> None:
    """*file* is that end of *connection*."""
    file.connection = connection
    connection.ends[end] = file
    file.into = connection.streams.get(end)
    file.out = connection.streams.get(opposite(end))
    if file.into is not None and file.into.gates:
        stage.tampered.append(file)


def part(stage: Stage, file: RealFile) -> None:
    """*file* is no end of a connection any more, as nobody has taken it: the next attempt is another."""
    file.connection = file.into = file.out = None
    if file in stage.tampered:
        stage.tampered.remove(file)


# --- the sender's side -------------------------------------------------------------------------------------------------


def send(stage: Stage, sock: Any, file: RealFile, data: bytes, flags: int) -> int:
    """Send into a stream on which the plan acts; what the program is told of it.

    Raises:
        OSError: the kernel's.
    """
    stream = file.out
    assert stream is not None
    if file.shut & 2 and (stream.cut or stream.waits) and sock is not stream.hand:
        raise socket_error(errno.EPIPE)  # its kernel would say so, if what comes before had gone
    total, gone = 0, file.severed
    while True:
        if stream.by_sender and stream.sent == 0 and stream.hand in (None, sock):
            _act(stage, sock, file, stream)  # before the very first byte
        if _has_to_wait(stage, sock, file, stream, data[total:]):
            return len(data)
        if stream.cut and file.family == socket.AF_UNIX and file.peer_gone:
            raise socket_error(errno.EPIPE)
        if file.severed is not gone or (total and file.says(ERR)):
            return len(data)  # it was taken before that happened
        if stream.cut and file.says(ERR):
            return sock.kernel_send(data, flags)  # type: ignore[no-any-return]  # which says so
        if stream.cut and not (file.connection and file.connection.severed):
            return len(data)
        distance = stream.distance()
        part = data[total:] if distance is None else data[total : total + distance]
        with stage.at_once() if _is_over_behind(file, stream, part) else nullcontext():
            if part or not data:
                try:
                    n: int = sock.kernel_send(part, flags)
                except BlockingIOError:
                    if total:
                        return total
                    raise
                stream.sent += n
                total += n
                if n < len(part):
                    return total
            try:
                _act(stage, sock, file, stream)
            except OSError:  # no room for an urgent byte, or nobody to send it to
                if total:
                    return total
                raise
        if total == len(data):
            return total


def _is_over_behind(file: RealFile, stream: Stream, part: bytes) -> bool:
    """Does a fault end it right behind this *part*? Then who is sent it sees both, if it is so little that nobody has to read it first."""
    fault = stream.faults[0] if stream.faults else None
    if fault is None or fault.kind not in ("reset", "eof") or fault.anchor.number > stream.sent + len(part):
        return False
    return len(part) <= LITTLE and _count(file, SIOCOUTQNSD) == 0


def _has_to_wait(stage: Stage, sock: Any, file: RealFile, stream: Stream, data: bytes) -> bool:
    """Is something held back, behind which *data* has to wait? Then it does."""
    with stage.lock:
        by_hand = sock is stream.hand
        if not stream.held and (by_hand or stream.hand is None):
            return False
        if not by_hand and file.connection is not None and file.connection.severed:
            return False  # it is over, whatever waits
        stream.queue.insert(0 if by_hand else len(stream.queue), data)
    if not by_hand:
        _gather(stage, file, stream)
    return True


def _act(stage: Stage, sock: Any, file: RealFile, stream: Stream) -> None:
    """Let every fault act whose byte has come.

    Raises:
        OSError: the kernel's, of an urgent byte. EAGAIN: it goes with what is sent next.
    """
    while stream.faults and stream.faults[0].anchor.number <= stream.sent and not stream.held and not stream.cut:
        fault = stream.faults.pop(0)
        assert file.connection is not None
        if fault.kind == "urgent":
            _urge(sock, stream, fault)
        stage.fire(fault, file.connection.place, file.connection.text, stream.towards, fault.anchor.number)
        if fault.kind == "urgent":
            continue
        if stream.by_sender:
            _by_sender(stage, file, stream, fault)
        else:
            _by_receiver(stage, file, stream, fault)


def _urge(sock: Any, stream: Stream, fault: Fault) -> None:
    try:
        sock.kernel_send(fault.data, socket.MSG_OOB)  # type: ignore[attr-defined]
    except BlockingIOError:
        stream.faults.insert(0, fault)
        raise


def _by_sender(stage: Stage, file: RealFile, stream: Stream, fault: Fault) -> None:
    if fault.kind == "reset":
        _flush(file)
        sever(stage, file)
    elif fault.kind == "eof":
        stream.cut = True
        _shut(file)
    elif fault.kind == "split":
        _flush(file)
        _let_read(file)
    elif isinstance(fault, Coalesce):
        stream.held = True
        stream.wanted = fault.bytes
    else:
        stream.held = True
        stage.courier.at(real.monotonic_ns() + _late_ns(fault), lambda: _release(stage, file, stream))


def _late_ns(fault: Fault) -> int:
    """How long what comes behind *fault* is held back, in real time."""
    return max(round(fault.seconds * 1e9), STALL_MIN_NS) if isinstance(fault, Stall) else GATHER_NS


def _by_receiver(stage: Stage, file: RealFile, stream: Stream, fault: Fault) -> None:
    gate = next(
        (each for each in stream.gates if each[:2] == [fault.anchor.number, fault.kind] and each[2] is None), None
    )
    now_ns = real.monotonic_ns()
    if fault.kind == "reset":
        held = [each for each in stream.gates if (each[2] or 0) > now_ns]
        if held:  # what comes before it does so later, and together with it
            stream.faults.clear()
            stage.courier.at(max(each[2] for each in held), lambda: _cut_off(stage, file, stream, gate))
            for each in held:
                each[2] = NEVER_NS
        else:
            _cut_off(stage, file, stream, gate)
        return
    if fault.kind == "eof":
        stream.cut = True
        due_ns = now_ns
    else:
        due_ns = stream.held_until_ns(now_ns) + _late_ns(fault)
        stage.courier.at(due_ns, stage.moved)  # until then somebody has still something to be shown
    if gate is not None:
        gate[2] = due_ns


def _cut_off(stage: Stage, file: RealFile, stream: Stream, gate: Gate | None) -> None:
    """A reset at a byte, by the end that is to receive it, or in its name: one that has not been accepted yet has no hands."""
    for each in stream.gates:
        if each[2] == NEVER_NS:
            each[2] = 0
    _flush(file)  # by Nagle's rule a little waits for the answer to what went before
    peer = file.peer()
    sever(stage, peer if peer is not None else file, None if gate is None or peer is None else gate[0] - stream.read)
    await_death(file)
    if gate is not None and peer is None:
        gate[2] = real.monotonic_ns()
    elif gate in stream.gates:
        del stream.gates[stream.gates.index(gate) :]


def before_end(stage: Stage, sock: Any, file: RealFile) -> bool:
    """The program ends what it sends (shutdown, close): let act what is due. False if the end has to wait or is lost."""
    stream = file.out
    if stream is None or (file.connection is not None and file.connection.severed):
        return True
    connected = _is_connected(file)
    if stream.hand is None and connected:
        with suppress(OSError):  # an urgent byte that nobody takes any more keeps no socket open
            _act(stage, sock, file, stream)
    with stage.lock:
        if not stream.waits:
            return not (stream.cut and stream.by_sender)
        if not connected:
            return True  # its peer has reset it: nothing waits for anybody
        stream.queue.append(None)
    _gather(stage, file, stream)
    return False


def _is_connected(file: RealFile) -> bool:
    try:
        with closing(file.twin()) as twin:
            twin.getpeername()
    except OSError:
        return False  # not yet, or not any more
    return True


def _gather(stage: Stage, file: RealFile, stream: Stream, first: bool = False) -> None:
    """If something more is to arrive with the rest: is that all? Its time begins with the *first*."""
    with stage.lock:
        if not stream.wanted or stream.hand is not None:
            return  # whose hand it is looks once more as it lets go
        pieces = [piece for piece in stream.queue if piece is not None]
        complete = len(pieces) < len(stream.queue) or sum(map(len, pieces)) >= stream.wanted
    if complete:
        _all_at_once(stage, file, stream)
    elif first or len(pieces) == 1:
        stage.courier.at(real.monotonic_ns() + GATHER_NS, lambda: _all_at_once(stage, file, stream))


def _all_at_once(stage: Stage, file: RealFile, stream: Stream) -> None:
    with stage.lock:
        if not stream.wanted:
            return  # it has gone already
        stream.wanted = 0
        end = [None] if None in stream.queue else []
        stream.queue = [b"".join(piece for piece in stream.queue if piece is not None), *end]
    _release(stage, file, stream)


def _release(stage: Stage, file: RealFile, stream: Stream) -> None:
    """A stall is over: send what came meanwhile, in order, and up to the next fault."""
    with stage.lock:
        stream.held = False
        if stream.hand is not None:
            return  # somebody is at it
        stream.hand = hand = _Hand(file)
    _deliver(stage, file, stream, hand)


def _deliver(stage: Stage, file: RealFile, stream: Stream, hand: _Hand) -> None:
    """Send what the queue holds. While its peer has no room for it the courier comes back to it: nothing may be lost, nor overtaken."""
    while (queued := _next(stage, stream)) is not None:
        (piece,) = queued
        try:
            if piece is None and file.fds:
                _shut(file)
            elif piece is None:
                continue  # closed: it ends as its kernel ends it, by RST if something is unread
            elif (sent := send(stage, hand, file, piece, 0)) < len(piece):
                stream.queue.insert(0, piece[sent:])
        except BlockingIOError:
            stream.queue.insert(0, piece)
            stage.courier.at(real.monotonic_ns() + LATER_NS, lambda: _deliver(stage, file, stream, hand))
            return
        except OSError:
            stream.queue.clear()  # the connection is gone, and its program will hear of it
    _gather(stage, file, stream, first=True)
    if not stream.waits:
        file.let_go()
    stage.moved()


def _next(stage: Stage, stream: Stream) -> tuple[Any] | None:
    """What is to be sent next, which is all that is there; None if there is nothing, or the next stall has begun: then the hand lets go."""
    with stage.lock:
        if stream.queue and not stream.held:
            pieces = list(takewhile(lambda piece: piece is not None, stream.queue)) or [None]
            del stream.queue[: len(pieces)]
            return (b"".join(pieces) if pieces[0] is not None else None,)
        stream.hand = None
        return None


class _Hand:
    """Sends on a socket in place of the program, whose object may be gone."""

    def __init__(self, file: RealFile) -> None:
        self._file = file

    def kernel_send(self, data: bytes, flags: int) -> int:
        twin = self._file.twin()
        try:
            return twin.send(data, flags)
        finally:
            twin.close()


# --- what both sides do ------------------------------------------------------------------------------------------------


def sever(stage: Stage, file: RealFile, left: int | None = None) -> None:
    """RST to the peer; this end gets ECONNRESET, as if one had arrived. All of it is the kernel's doing. No fault on its bytes acts any more.

    Of what it has not read *left* bytes can be read still, or as many as it may be shown now.
    """
    with stage.lock:
        if file.fd == -1 or file.severed or (file.connection is not None and file.connection.severed):
            return
        file.severed = True
        _rescue(file, left)
        if file.connection is not None:
            for stream in file.connection.streams.values():
                stream.faults.clear()
        twin = file.twin()
        try:
            ended = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSE_WAIT
            # Dissolving the association of a connected TCP socket: tcp_disconnect() sends RST and leaves ECONNRESET here.
            _libc.connect(file.fd, bytes(16), 16)  # sockaddr with sa_family 0, AF_UNSPEC
            # A RST from outside comes behind the end there: that is read still (K-074), and a send says EPIPE.
            if ended:
                twin.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            with suppress(OSError):  # ENOTCONN; but it has hung up, as polls tell of one that is reset from outside
                twin.shutdown(socket.SHUT_RDWR)
        finally:
            twin.close()
    stage.moved()


def _rescue(file: RealFile, left: int | None) -> None:
    """Dissolving throws away what is unread. A program that met a RST would still read it, so we keep it."""
    twin = file.twin()
    try:
        while piece := twin.recv(1 << 16):
            file.rescued.append(piece)
    except OSError:
        pass  # nothing more
    finally:
        twin.close()
    if left is None and file.into is not None:
        left = file.into.allowed(real.monotonic_ns())
    if left is not None:
        _shorten(file.rescued, left)


def _shorten(pieces: list[bytes], size: int) -> None:
    """To no more than *size* bytes in all."""
    for index, piece in enumerate(pieces):
        pieces[index] = piece[: max(0, size)]
        size -= len(piece)
    pieces[:] = filter(None, pieces)


def await_death(file: RealFile) -> None:
    """Wait, bounded, until the kernel of *file* has heard that its peer is gone."""
    if file.fd == -1:
        return
    poller = real.poll()
    poller.register(file.fd, 0)
    end_ns = real.monotonic_ns() + DEATH_NS
    while real.monotonic_ns() < end_ns and not any(bits & (ERR | HUP) for _, bits in poller.poll(1)):
        pass


def _shut(file: RealFile) -> None:
    try:
        twin = file.twin()
    except OSError:
        return  # closed
    try:
        twin.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it is over already
    finally:
        twin.close()


def _flush(file: RealFile) -> None:
    """Wait, bounded, until all that was sent has left for the peer."""
    _look_until(lambda: _count(file, SIOCOUTQNSD) == 0, FLUSH_NS)


def _let_read(file: RealFile) -> None:
    """Wait, bounded, until the peer has read what it has; it may have to accept first."""

    def has_read() -> Any:
        peer = file.peer()
        return file.severed or file.peer_gone or (peer is not None and (peer.shut & 1 or not peer.says(IN)))

    _look_until(has_read, PAUSE_NS)


def _look_until(condition: Any, limit_ns: int) -> None:
    if condition():
        return  # without letting anybody else go on
    process = current_process()  # None: the courier
    with nullcontext() if process is None else process.blocked("its peer", None):
        end_ns = real.monotonic_ns() + limit_ns
        while not condition() and real.monotonic_ns() < end_ns:
            real.sleep(STEP)


def _count(file: RealFile, request: int) -> int:
    try:
        return counted(file.fd, request)
    except OSError:
        return 0
