"""What CPython says of arguments is said of a simulated socket's too, on whichever Python: class, errno and text.

The same calls are made on the machine's own sockets and on simulated ones, none of which is connected, and compared.
"""

from __future__ import annotations

import array
import copy
import ctypes
import fcntl
import io
import os
import pickle
import select
import socket
import tempfile
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import simnet
from simnet.conform.words import outcome
from tests.contract.worlds import World

INF, NAN = float("inf"), float("nan")


class Whole:
    """It passes for an integer."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number

    def __repr__(self) -> str:
        return f"Whole({self._number})"


class Odd:
    """It passes for an integer, or for many things, until it is asked."""

    def __index__(self) -> int:
        raise RuntimeError("odd")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("odd")

    def __repr__(self) -> str:
        return "Odd()"


SECONDS = (
    None,
    0,
    -0.0,
    1,
    1.5,
    -1,
    "1",
    b"1",
    [],
    INF,
    NAN,
    1e300,
    1e10,
    9223372036.0,
    True,
    10**20,
    -(10**20),
    1e-9,
    1e-10,
    0.1234567891234,
)
INTS = (1, True, 1.5, "x", None, [], 2**31, -(2**31) - 1, 2**70, Whole(1), Whole(0), Odd())
ADDRESSES = (
    *("x", b"x", None, 5, [], (), ("127.0.0.1",), ("127.0.0.1", 1, 2), ("127.0.0.1", -1), ("127.0.0.1", 70000)),
    *(
        ("127.0.0.1", "x"),
        ("127.0.0.1", 1.5),
        (1, 2),
        (None, 1),
        ("::1", 1),
        ("300.1.1.1", "x"),
        ("\0", 1),
        ("::1", 1, "x"),
    ),
    *(
        (b"127.0.0.1", -1),
        (bytearray(b"127.0.0.1"), -1),
        ("::1", 1, 2**20),
        ("::1", 1, 2, 3, 4),
        ("127.0.0.1", "x", 1, 1),
        ("127.0.0.1", Odd()),
        ("127.0.0.1", 2**70),
        ("::1", 1, -1),
        ("255.255.255.255", -1),
        array.array("B", b"/x"),
    ),
)
BUFFERS = (
    *("x", 5, None, [], b"abc", bytearray(b"abc"), memoryview(b"abcd")[::2], array.array("H", [1, 2])),
    *(memoryview(bytearray(8))[::2], memoryview(bytearray(8)).cast("B", (2, 4)), memoryview(bytearray(8)).cast("d")),
    *(bytearray(), array.array("B"), Odd()),
)
WRONG_NUMBERS = {
    "recv": ((), (1, 0, 0)),
    "recvfrom": ((), (1, 0, 0)),
    "recv_into": ((), (bytearray(1), 0, 0, 0)),
    "recvfrom_into": ((), (bytearray(1), 0, 0, 0)),
    "recvmsg": ((), (1, 0, 0, 0)),
    "recvmsg_into": ((), ([], 0, 0, 0)),
    "send": ((), (b"", 0, 0)),
    "sendall": ((), (b"", 0, 0)),
    "sendto": ((), (b"",), (b"", 0, None, 0)),
    "sendmsg": ((), ([], [], 0, None, 0)),
    "getsockopt": ((), (1,), (1, 2, 0, 0)),
    "setsockopt": ((), (1,), (1, 2), (1, 2, 3, 4, 5), (1, 2, 1, 4)),
    "getsockname": ((1,),),
    "getpeername": ((1,),),
    "accept": ((1,), (1, 2)),
    "listen": ((1, 2),),
    "detach": ((1,),),
    "dup": ((1,),),
    **dict.fromkeys(("fileno", "gettimeout", "getblocking"), ((1,), (1, 2))),
    **dict.fromkeys(("connect", "connect_ex", "bind", "shutdown", "settimeout", "setblocking"), ((), (1, 2))),
}
OPTIONS = (
    *(
        (1, 2, value)
        for value in (1, True, "x", 1.0, None, 2**31, 2**40, -1, b"\1\0\0\0", b"\1", array.array("i", [1]))
    ),
    *(
        (1, 2, None, 4),
        (1, 2, None, 0),
        (1, 2, None, -1),
        (1, 2, None, "x"),
        (1, 2, None, 2**32 + 4),
        (1, 2, Whole(1)),
        (Whole(1), Whole(2), 1),
        (2**31, 2, 1),
        (1, 2**70, 1),
        ("x", 2, 1),
        (1, "x", 1),
        (1, 9999, 1),
        (99, 1, 1),
    ),
)
READS = (
    (1, 2),
    (1, 2, 0),
    (1, 2, 2),
    (1, 2, 8),
    (1, 2, 1025),
    (1, 2, -1),
    ("x", 2),
    (1, "x"),
    (1, 2, "x"),
    (1, 2, 1.0),
    (1, 2, 0.0),
    (1, 2, None),
    (1, 2, Whole(4)),
    (Whole(1), Whole(2)),
    (2**31, 2),
    (1, -(2**70)),
    (99, 1),
)
MESSAGES = ((), [], None, 5, [1], [(1, 2)], [(1, 2, 3)], [("x", 1, b"")], Odd())


def calls() -> Iterator[tuple[Any, ...]]:
    """The name of a method, and arguments of it."""
    for seconds in SECONDS:
        yield "settimeout", seconds
        yield "setblocking", seconds
    for number in INTS:
        for method in ("listen", "shutdown", "recv", "recvfrom", "recvmsg", "set_inheritable"):
            yield method, number
        yield "recv", 1, number
        yield "recvfrom", 1, number
        yield "recvmsg", 1, number
        yield "recvmsg", 1, 0, number
        yield "recvmsg_into", [bytearray(1)], number
        yield "sendto", b"x", number, 5
        yield "sendmsg", [b"x"], [], number
        yield "recv_into", bytearray(3), number
        yield "recvfrom_into", bytearray(3), number
        yield "recv_into", bytearray(3), 1, number
        yield "send", b"x", number
        yield "sendall", b"x", number
    for address in ADDRESSES:
        for method in ("connect", "connect_ex", "bind"):
            yield method, address
        yield "sendto", b"x", address
        yield "sendto", b"x", 0, address
        yield "sendmsg", [b"x"], [], 0, address
    for buffer in BUFFERS:
        for method in ("send", "sendall", "recv_into", "recvfrom_into", "sendmsg", "recvmsg_into"):
            yield method, buffer
        yield "sendmsg", [buffer]
        yield "recvmsg_into", [buffer]
        for size in (-1, 0, 1, 7, 9):
            yield "recv_into", buffer, size
            yield "recvfrom_into", buffer, size
    for arguments in OPTIONS:
        yield "setsockopt", *arguments
    for arguments in READS:
        yield "getsockopt", *arguments
    yield "sendmsg", [b"x"] * 1025
    yield "recvmsg_into", [bytearray(1) for _ in range(1025)]
    for ancillary in MESSAGES:
        yield "sendmsg", [b"x"], ancillary
    # Which of two errors is told:
    yield "recv", -1, "x"
    yield "send", "x", "x"
    yield "sendto", "x", "x", 5
    yield "sendto", b"x", "x", ("127.0.0.1", -1)
    yield "sendmsg", ["x"], [], "x", 5
    yield "sendmsg", ["x"], 5, 0, ("127.0.0.1", -1)
    yield "recvmsg_into", ["x"], "x"
    yield "recvmsg_into", ["x"], -1
    yield "recvmsg_into", [bytearray(1)] * 1025, -1
    for method, tries in WRONG_NUMBERS.items():
        for arguments in tries:
            yield method, *arguments


def functions() -> Iterator[tuple[Any, ...]]:
    """The name of a function of the module, and arguments of it. No name that a resolver would have to be asked for."""
    for kind in (
        (2, 0),
        (2, -1),
        (2, 11),
        (2, 5),
        (2, 1, 17),
        (2, 1, 256),
        (2, 1, 263),
        (2, 1, -5),
        (99, 1),
        (-5, 1),
        (1, 3),
        (1, 1, 5),
    ):
        yield "socket", *kind
    for kind in (
        ("x",),
        (2, "x"),
        (2, 1, "x"),
        (2.0,),
        (None,),
        (2, 1, 0, "x"),
        (2, 1, 0, 1.5),
        (2, 1, 0, -2),
        (2, 1, 0, 99999),
    ):
        yield "socket", *kind
    for kind in ((2,), (10,), (99,), ("x",), (1, 0), (1, 1, 7)):
        yield "socketpair", *kind
    for host in (
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "1.2.3.4.5 ",
        "",
        "::1",
        "::ffff:127.0.0.1",
        b"127.0.0.1",
        bytearray(b"127.0.0.1"),
        5,
        None,
    ):
        for port in (80, None, "80", "http", "-1", -1, 70000, 1.5):
            yield "getaddrinfo", host, port, 0, 1, 0, socket.AI_NUMERICHOST
    for hints in (
        (2, 1),
        (10, 1),
        (99, 1),
        (0, 3),
        (0, 5),
        (0, 6),
        (0, 99),
        (0, 0, 17),
        (0, 1, 17),
        (0, 0, 99),
        (0, 2, 136),
    ):
        yield "getaddrinfo", "127.0.0.1", 80, *hints
        yield "getaddrinfo", "127.0.0.1", None, *hints
    for flags in (socket.AI_V4MAPPED, socket.AI_NUMERICSERV, socket.AI_CANONNAME, socket.AI_PASSIVE, 1 << 20, -1):
        yield "getaddrinfo", "127.0.0.1", "http", 10, 1, 0, flags
    for sockaddr in (
        ("127.0.0.1", 80),
        ("::1", 80, 0, 0),
        "x",
        ("127.0.0.1",),
        ("127.0.0.1", "x"),
        ("127.0.0.1", 70000),
        ("::1", 80, 0, 0, 0),
    ):
        yield "getnameinfo", sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    yield "getnameinfo", ("127.0.0.1", 80), -1
    for name in ("127.0.0.1", b"127.0.0.1", 5, None, "::1"):
        yield "gethostbyname", name
        yield "gethostbyname_ex", name
    for number in ("x", 1.5, -1, 99999):
        yield "dup", number
        yield "close", number
        yield "fromfd", number, 2, 1
    for number in ("x", 1.5, -1, 99999, 2**31, 2**32 + 99999, 2**70, Odd()):
        yield "socket", 2, 1, 0, number
        yield "socketpair", 1, number
    yield "socket", 1, 2, 3, 4, 5


def said(function: Any, *arguments: Any) -> str:
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001  # what it is, is the question
        return f"{type(error).__name__}({getattr(error, 'errno', None)}): {error}"
    if isinstance(answer, socket.socket):
        answer.close()
        return "a socket"
    return repr(answer)


def of_methods() -> dict[str, str]:
    """What each call of a method says here."""
    told = {}
    for method, *arguments in calls():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for family in (socket.AF_INET, socket.AF_INET6):
                with socket.socket(family, kind) as sock:
                    sock.setblocking(False)
                    answer = said(getattr(sock, method), *arguments)
                    call = f"{method}{tuple(arguments)} on {family.name} {kind.name}"
                    told[call] = f"{answer}; {sock.gettimeout()}, {sock.get_inheritable()}"
        told[f"{method}{tuple(arguments)} when closed"] = said(getattr(sock, method), *arguments)
    return told


def of_functions() -> dict[str, str]:
    return {f"{name}{tuple(arguments)}": said(getattr(socket, name), *arguments) for name, *arguments in functions()}


NAMED: tuple[Callable[[Any], object], ...] = (
    lambda sock: sock.fileno(x=1),
    lambda sock: sock.getsockopt(x=1),
    lambda sock: sock.setsockopt(x=1),
    lambda sock: sock.listen(x=1),
    lambda sock: sock.recvfrom(bufsize=3),
    lambda sock: sock.recvfrom(1, flags=3),
    lambda sock: sock.recvmsg(bufsize=2),
    lambda sock: sock.recvmsg_into(buffers=1),
    lambda sock: sock.recv_into(x=1),
    lambda sock: sock.recv_into(1, bufsize=2),
    lambda sock: sock.recv_into(bytearray(3), x=1),
    lambda sock: sock.recv_into(bytearray(3), nbytes=-1),
    lambda sock: sock.recvfrom_into(x=1),
    lambda sock: sock.recvfrom_into(bytearray(3), bufsize=1),
    lambda sock: sock.sendmsg(x=1),
    lambda sock: sock.sendmsg([b"a"], flags=1),
    lambda sock: sock.sendall(data=b""),
    lambda sock: sock.sendto(b"x", ("127.0.0.1", 1), x=1),
    lambda _: socket.if_indextoname(-1),
    lambda _: socket.getnameinfo(("\ud800", 80), 0),
)


def of_names() -> dict[str, str]:
    """What is said of arguments given by a name that they do not have; and of two that are none at all."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        socks = (stream, datagrams)
        return {f"{n} on {sock.type.name}": said(call, sock) for n, call in enumerate(NAMED) for sock in socks}


def test_an_argument_of_the_wrong_type_is_the_only_error_there_was(simnet_network: Any) -> None:
    with pytest.raises(TypeError) as caught:
        socket.getaddrinfo(1, 80)  # type: ignore[call-overload]
    assert caught.value.__context__ is None


POLL = ((), (1,), (1, 2), (1, 2, 3), ("x",), (1, "x"))
UNKNOWN_NAMES: tuple[Callable[..., object], ...] = (
    lambda epoll, _, sock: epoll.register(sock, x=1),
    lambda epoll, _, sock: epoll.register(sock, 1, x=1),
    lambda epoll, *_: epoll.register(x=1),
    lambda epoll, _, sock: epoll.modify(sock, x=1),
    lambda epoll, *_: epoll.unregister(x=1),
    lambda _, poll, __: type("Own", (type(poll),), {}),
    lambda _, __, sock: sock.recv(2**62),
    lambda _, __, sock: sock.recvfrom(2**62),
)
IOCTLS = (
    *((request, *rest) for request in ("x", 1.5, None) for rest in ((), (b"",))),
    *(
        (request, argument, *mutate)
        for request in (termios.FIONREAD, termios.TIOCOUTQ, termios.FIOCLEX)
        for argument in (1.5, None, "", "abcd", b"", b"12345", Whole(1), b"x" * 1025)
        for mutate in ((), (True,), (False,))
    ),
)


def of_descriptors() -> dict[str, str]:
    """What the calls that take a descriptor say here: of select, poll, epoll and ioctl."""
    told = {}
    one, other = socket.socketpair()
    with one, other, select.epoll() as epoll:
        poll = select.poll()
        for poller in (poll, epoll):
            for method in ("register", "modify", "unregister"):
                for arguments in POLL:
                    if not (
                        poller is epoll and arguments in POLL[1:3]
                    ):  # of a descriptor that is open on one of the two
                        told[f"{method}{arguments} of {poller is epoll}"] = said(getattr(poller, method), *arguments)
            for copied in (copy.copy, copy.deepcopy, pickle.dumps):
                told[f"{copied.__name__} of {poller is epoll}"] = said(copied, poller)
        epoll.register(one, select.EPOLLOUT)
        for arguments in ((0, 2**28), (0, -(2**31) - 1), (0, Whole(1)), (None, Odd())):
            told[f"epoll.poll{arguments}"] = said(lambda *given: len(epoll.poll(*given)), *arguments)
        for arguments in ((), ([],), ([], []), ([], [], [], 0, 0), (1, 2, 3, "x")):
            told[f"select{arguments}"] = said(select.select, *arguments)
        for n, call in enumerate(UNKNOWN_NAMES):
            told[f"unknown name {n}"] = said(call, epoll, poll, one)
        for arguments in ((-2,), (1, "x"), (1, 1), (1, 0, 0)):
            told[f"epoll{arguments}"] = said(select.epoll, *arguments)
        for wrong in ("x", 1.5, None, 2**31):
            told[f"fromfd({wrong})"] = said(select.epoll.fromfd, wrong)
        told["a socket of a poller's number"] = said(lambda: socket.socket(2, 1, 0, epoll.fileno()))
        for arguments in IOCTLS:
            told[f"ioctl{tuple(arguments)}"] = said(fcntl.ioctl, one, *arguments)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("sayings", [of_methods, of_functions, of_descriptors, of_names])
def test_arguments_are_checked_as_cpython_checks_them(sayings: Any) -> None:
    real = sayings()
    with simnet.Network():
        simulated = sayings()
    assert {call: (answer, real[call]) for call, answer in simulated.items() if answer != real[call]} == {}


def test_sendfile_goes_by_the_offset_and_leaves_the_file_behind_what_it_sent() -> None:
    def story() -> list[Any]:
        with tempfile.TemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as listener:
            file.write(b"abcdefghij")
            sender = socket.create_connection(listener.getsockname(), timeout=5)
            receiver, _ = listener.accept()
            receiver.settimeout(5)
            seen: list[Any] = []
            for position, offset, count in ((0, 0, None), (3, 0, None), (3, 2, 4), (0, 100, None), (5, 8, 50)):
                file.seek(position)
                sent = sender.sendfile(file, offset, count)
                seen.append((sent, file.tell(), receiver.recv(100) if sent else b""))
            seen += [(sender.sendfile(io.BytesIO(b"xyz"), 1), receiver.recv(100))]
            seen += [
                said(sender.sendfile, *wrong)
                for wrong in ((file, 0, 0), (file, 0, -1), (file, 0, 1.5), (io.StringIO("x"),))
            ]
            sender.setblocking(False)
            seen += [said(sender.sendfile, file)]
            sender.close()
            receiver.close()
            return seen

    real = story()
    with simnet.Network():
        assert story() == real


def test_k129_buffers_may_come_one_by_one_whatever_else_is_an_integer(world: World) -> None:
    one, other = map(world.keep, socket.socketpair())
    one.send(b"hello")
    buffers = [bytearray(2), bytearray(3)]
    assert other.recvmsg_into(iter(buffers), True, Whole(0))[0] == 5
    assert buffers == [b"he", b"llo"]


@pytest.mark.parametrize("wide", ["H", "I", "d", "2-D"])
def test_k129_a_buffer_for_no_items_holds_nothing_however_wide_they_are(world: World, wide: str) -> None:
    def empty() -> Any:
        return (ctypes.c_int * 4 * 0)() if wide == "2-D" else array.array(wide)

    one, other = map(world.keep, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    for _ in range(4):
        one.send(b"hello")
    part = bytearray(2)
    assert other.recvmsg_into([part, empty()])[0] == 2
    assert os.readv(other.fileno(), [empty(), part, empty()]) == 2
    assert part == b"he"
    assert other.recv_into(empty()) == 0
    assert other.recvfrom_into(empty())[0] == 0
    assert other.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, empty())]) == 1
    assert other.recvmsg_into([empty()])[0] == 0
    with pytest.raises(BlockingIOError):
        other.recv(9, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6])
def test_k131_what_is_said_beside_a_message_has_to_find_memory(world: World, family: int, kind: int) -> None:
    sock = world.socket(family, kind)
    whole = [(9, 9, bytes(131_072 - 16))]  # net.core.optmem_max
    halves = [(9, 9, bytes(65_536 - 16))] * 2
    for beside in (whole, halves, [(1, 77, bytes(200_000))]):
        world.gives("ENOBUFS", sock.sendmsg, [b"x"], beside)
    sock.close()
    world.gives("EBADF", sock.sendmsg, [b"x"], whole)


def test_what_c_has_for_accept_takes_nothing(world: World) -> None:
    sock: Any = world.socket()
    assert outcome(lambda: sock._accept(1)) == "TypeError: socket._accept() takes no arguments (1 given)"
    assert outcome(lambda: sock._accept(x=1)) == "TypeError: socket._accept() takes no keyword arguments"
