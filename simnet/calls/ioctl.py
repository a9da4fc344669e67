"""``fcntl.ioctl`` on a simulated descriptor: how much is unread and unsent, whether this is the urgent mark, flags, and links."""

from __future__ import annotations

import errno
import struct
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.arguments.polls import descriptor_of
from simnet.calls.descriptor_flags import NOBODY, O_ASYNC, kept, owner, refused, set_owner, set_status, status
from simnet.calls.link_requests import LINK_LIST, LINK_REQUESTS, link_list, link_request
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, SIOCATMARK, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, SOCK_STREAM
from simnet.kernel.options.timestamps import KINDS, time_on

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["ioctl"]

INT = struct.Struct("=i")
KNOWN = (SIOCINQ, SIOCOUTQ, SIOCATMARK, SIOCOUTQNSD)
FIONCLEX, FIOCLEX, FIONBIO, FIOASYNC = 0x5450, 0x5451, 0x5421, 0x5452
SET_OWNER, GET_OWNER = (0x8901, 0x8902), (0x8903, 0x8904)  # FIOSETOWN, SIOCSPGRP; FIOGETOWN, SIOCGPGRP
STAMPS = {0x8906: 1000, 0x8907: 1}  # SIOCGSTAMP, SIOCGSTAMPNS: nanoseconds in the unit of each
FIGETBSZ, BLOCK_SIZE, FIOQSIZE = 2, 4096, 0x5460
FS_IOC_FIEMAP = 0xC020660B
PRIVILEGED = frozenset(
    {0x891E, 0x8922, 0x8923, 0x8924, *range(0x8930, 0x8933), 0x8937, 0x8943, *range(0x8947, 0x894A), 0x8971}
)
# Numbers of sockets' requests that mean nothing, from the first of each pair to before the second.
NOBODYS = frozenset(
    number
    for first, after in (
        (0x8900, 0x8901), (0x8908, 0x890B), (0x890E, 0x8910), (0x8911, 0x8912), (0x891F, 0x8921), (0x8925, 0x8927),
        (0x8928, 0x8929), (0x892A, 0x8930), (0x8938, 0x8940), (0x8944, 0x8946), (0x894D, 0x8953), (0x8956, 0x8970),
        (0x8972, 0x8982), (0x8984, 0x8990), (0x8996, 0x89A0), (0x89A4, 0x89B0), (0x89B2, 0x89E0), (0x89E1, 0x89F0),
    )
    for number in range(first, after)
)  # fmt: skip
SOCKETS_OWN = 0x89  # the type of requests that are for sockets and links


def ioctl(process: Process, fd: Any, request: Any, argument: Any = 0, mutate: Any = True) -> Any:
    """The answer as ``fcntl.ioctl`` hands it over: an integer, or the filled bytes.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; EINVAL on a listener; ENOTTY for what is no socket.
    """
    number = descriptor_of(fd)
    _look_over(request, argument, mutate)
    file: Any = process.descriptors.get(number)
    answer = _answer(process, number, file, index(request) & 0xFFFFFFFF, argument)
    if hasattr(argument, "__index__"):
        if answer:
            raise socket_error(errno.EFAULT)  # the kernel would write to that address
        return 0
    view = _bytes(argument)
    if view.readonly or not mutate:
        return answer[: len(view)] + bytes(view[len(answer) :])
    view[: len(answer)] = answer[: len(view)]
    return 0


def _answer(process: Process, number: int, file: Any, request: int, argument: Any) -> bytes:
    """What the kernel writes to where *argument* points: first what it answers for any descriptor, then for a socket."""
    if request in (FIONCLEX, FIOCLEX):
        inheritable = process.descriptors.inheritable
        (inheritable.add if request == FIONCLEX else inheritable.discard)(number)
        return b""
    if request == FIONBIO:
        file.nonblocking = any(_integer(argument))
        return b""
    if request == FIGETBSZ:
        return INT.pack(BLOCK_SIZE)
    if request == FS_IOC_FIEMAP:
        raise socket_error(errno.EOPNOTSUPP)
    ask = getattr(file, "ioctl", None)
    if ask is None:  # an epoll has requests of its own, and says so of all others
        if request == FIOASYNC and not any(_integer(argument)):
            return b""
        raise socket_error(errno.ENOTTY if request in (FIOASYNC, FIOQSIZE) else errno.EINVAL)
    if request == FIOASYNC:
        given = _integer(argument)
        set_status(process, file, status(file) & ~O_ASYNC | (O_ASYNC if any(given) else 0))
        return b""
    if request in SET_OWNER:
        set_owner(process, file, INT.unpack(_integer(argument))[0])
        return b""
    if request not in KNOWN and request >> 8 & 0xFF != SOCKETS_OWN:
        raise socket_error(errno.ENOTTY)
    if request in GET_OWNER:
        return INT.pack(owner(file))
    if request in NOBODYS or request in PRIVILEGED or request in LINK_REQUESTS or request == LINK_LIST:
        if hasattr(argument, "__index__"):
            raise socket_error(errno.EFAULT)
        told = _of_links(process, file, request, argument)
        if told is not None:
            return told
    if request in STAMPS:
        return _stamp(file, STAMPS[request], argument)
    if request not in KNOWN:
        raise refused(process, f"ioctl(request {request:#x})")
    try:
        return INT.pack(ask(request))
    except OSError as error:
        if error.errno == errno.ENOTTY and hasattr(argument, "__index__"):
            raise socket_error(errno.EFAULT) from None  # what no socket of this kind knows is taken for a link's
        raise


def _of_links(process: Process, file: Any, request: int, argument: Any) -> bytes | None:
    """What is told of the host's links, if this is; what nobody answers here, or only who is privileged, is refused."""
    if request in NOBODYS or request in PRIVILEGED:
        raise socket_error(errno.EPERM if request in PRIVILEGED else errno.ENOTTY)
    asked = bytes(_bytes(argument))
    if request == LINK_LIST:
        return link_list(process.machine, asked)
    return link_request(process.machine, file, request, asked)


def _stamp(file: Any, unit_ns: int, argument: Any) -> bytes:
    """When the last datagram came that was read, as seconds and *unit_ns*: now, for nobody had noted it (sock_gettstamp).

    Raises:
        OSError: ENOTTY, a Unix socket; ENOENT, a stream, or nothing was read yet: or what came last, and nobody had asked
            before, or its time went with it (SO_TIMESTAMP).
    """
    if file.family == AF_UNIX:
        raise socket_error(errno.ENOTTY)
    if file.type == SOCK_STREAM or not kept(file).get("stamped"):
        if file.type == SOCK_STREAM or file.inbox is None or (file.inbox and not file.fetched):
            raise socket_error(errno.ENOENT)
        if file.options and any(key in file.options for key in KINDS):
            raise socket_error(errno.ENOENT)
        kept(file)["stamped"] = 1
    if hasattr(argument, "__index__"):
        raise socket_error(errno.EFAULT)
    seconds, rest = divmod(time_on(file.stack), 1_000_000_000)
    return struct.pack("=qq", seconds, rest // unit_ns)


def _integer(argument: Any) -> bytes:
    """The bytes of the integer that a request is given."""
    if hasattr(argument, "__index__"):
        raise socket_error(errno.EFAULT)  # no program has anything at so low an address
    given = bytes(_bytes(argument)[: INT.size])
    return given.ljust(INT.size, b"\0")  # as if nothing stood behind it in CPython's buffer


def _bytes(argument: Any) -> memoryview:
    """What the kernel would read at *argument*, and write to; nothing where that is a number."""
    if hasattr(argument, "__index__"):
        return memoryview(b"")
    return memoryview(argument.encode() if isinstance(argument, str) else argument).cast("B")


def _look_over(request: Any, argument: Any, mutate: Any) -> None:
    """Let CPython look at what it is asked, of a number that no descriptor has."""
    try:
        real.ioctl(NOBODY, request, argument, mutate)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
