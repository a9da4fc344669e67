"""Python's own layer over sockets: K-120 to K-132."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import resource
import select
import socket
import struct
import sys
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import simnet
from simnet.conform.words import outcome
from tests.contract.worlds import World, open_world

# --- K-120: exceptions and time-outs ---------------------------------------------------------------------------------


def test_k120_every_error_is_its_class(world: World) -> None:
    client, server = world.pair()
    with pytest.raises(BlockingIOError) as again:
        client.recv(1)
    assert again.value.errno == errno.EAGAIN
    sock = world.socket()
    with pytest.raises(BlockingIOError) as progress:
        sock.connect((world.ip, world.dead_port()))
    assert (progress.value.errno, progress.value.strerror) == (errno.EINPROGRESS, "Operation now in progress")
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    with pytest.raises(ConnectionRefusedError):
        sock.recv(1)
    with pytest.raises(ConnectionAbortedError):
        sock.connect((world.ip, 1))
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    with pytest.raises(ConnectionResetError, match=r"\[Errno 104\] Connection reset by peer"):
        client.recv(1)
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    with pytest.raises(OSError, match="Transport endpoint is not connected") as plain:
        client.getpeername()
    assert type(plain.value) is OSError


def test_k120_the_old_names_of_the_exceptions(world: World) -> None:
    assert socket.timeout is TimeoutError
    assert socket.error is OSError
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no such host", 80)


@pytest.mark.parametrize("call", ["recv", "recv_into", "recvfrom", "accept", "send", "sendall"])
def test_k120_a_timeout_has_no_errno(world: World, call: str) -> None:
    client, _ = world.full_pair()
    if call == "accept":
        client = world.listener()
    client.settimeout(0.01)
    calls = {
        "recv": lambda: client.recv(1),
        "recv_into": lambda: client.recv_into(bytearray(1)),
        "recvfrom": lambda: client.recvfrom(1),
        "accept": client.accept,
        "send": lambda: client.send(b"x"),
        "sendall": lambda: client.sendall(b"x"),
    }
    with pytest.raises(TimeoutError) as late:
        calls[call]()
    assert late.value.args == ("timed out",)
    assert late.value.errno is None


def test_k120_a_connect_that_times_out_goes_on_in_the_background(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    sock = world.socket()
    sock.settimeout(0.01)
    assert sock.connect_ex(listener.getsockname()) == errno.EAGAIN
    assert sock.connect_ex(listener.getsockname()) == errno.EALREADY
    with pytest.raises(BlockingIOError) as again:
        sock.connect(listener.getsockname())
    assert again.value.errno == errno.EALREADY
    other = world.socket()
    other.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        other.connect(listener.getsockname())


def test_k120_rcvtimeo_makes_a_blocking_recv_give_up(world: World) -> None:
    client, _ = world.pair()
    client.setblocking(True)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(0.02))
    began = time.monotonic()
    with pytest.raises(BlockingIOError) as again:
        client.recv(1)
    assert again.value.errno == errno.EAGAIN
    assert 0.015 <= time.monotonic() - began <= 1.0


def test_who_may_wait_is_said_by_the_file_and_python_looks_at_its_own_object_alone(world: World) -> None:
    """``dup`` shares O_NONBLOCK, but not the object's time-out: it is the last to set it who decides for the kernel."""
    client, _ = world.pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(0.05))
    client.setblocking(False)
    twin = client.dup()
    world.keep(twin)
    twin.setblocking(True)
    assert client.gettimeout() == 0.0
    for waits, flags in ((True, 0), (False, socket.MSG_DONTWAIT)):
        began = time.monotonic()
        with pytest.raises(BlockingIOError):
            client.recv(1, flags)
        assert (time.monotonic() - began >= 0.045) is waits
    client.setblocking(False)
    began = time.monotonic()
    with pytest.raises(BlockingIOError):
        twin.recv(1)
    assert time.monotonic() - began < 1


def test_k120_a_negative_time_does_not_wait_and_others_are_whole_ticks(world: World) -> None:
    client, _ = world.pair()
    listener, (unix, other) = world.listener(), socket.socketpair()
    world.keep(unix)
    world.keep(other)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        for sock in (client, listener, unix):
            sock.setblocking(True)
            for (seconds, micros), told in (
                ((0, 10_000), (0, 12_000)),
                ((1, 1), (1, 4_000)),
                ((1, 999_999), (2, 0)),
                ((2**62, 5), (0, 0)),
                ((-1, 5), (0, 0)),
            ):
                sock.setsockopt(SOL, option, struct.pack("qq", seconds, micros))
                assert struct.unpack("qq", sock.getsockopt(SOL, option, 16)) == told
    world.gives("EAGAIN", client.recv, 1)
    world.gives("EAGAIN", unix.recv, 1)
    world.gives("EAGAIN", listener.accept)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return whole.to_bytes(8, "little") + round((seconds - whole) * 1_000_000).to_bytes(8, "little")


# --- K-121: blocking and time-outs ---------------------------------------------------------------------------------


def test_k121_timeouts_and_blocking_are_one_thing(world: World) -> None:
    sock = world.keep(socket.socket())
    assert (sock.gettimeout(), sock.getblocking(), sock.timeout) == (None, True, None)
    for change, timeout, blocking in (
        (lambda: sock.settimeout(0), 0.0, False),
        (lambda: sock.settimeout(2), 2.0, True),
        (lambda: sock.setblocking(False), 0.0, False),
        (lambda: sock.settimeout(None), None, True),
        (lambda: sock.setblocking(0), 0.0, False),
        (lambda: sock.setblocking(True), None, True),
    ):
        change()
        assert (sock.gettimeout(), sock.getblocking()) == (timeout, blocking)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, "ValueError: Timeout value out of range"),
        (-0.5, "ValueError: Timeout value out of range"),
        ("1", "TypeError: 'str' object cannot be interpreted as an integer"),
        (float("inf"), "OverflowError: timestamp out of range for platform time_t"),
        (float("nan"), "ValueError: Invalid value NaN (not a number)"),
        (1e10, "OverflowError: timestamp out of range for platform time_t"),
    ],
)
@pytest.mark.parametrize("setter", ["settimeout", "setdefaulttimeout"])
def test_k121_what_is_no_timeout(world: World, setter: str, value: Any, error: str) -> None:
    if "time_t" in error and sys.version_info < (3, 11, 4):
        error = "OverflowError: timestamp too large to convert to C _PyTime_t"  # what older ones said of the same
    if setter == "settimeout":
        world.gives(error, world.socket().settimeout, value)
    else:
        world.gives(error, socket.setdefaulttimeout, value)
        assert socket.getdefaulttimeout() is None


def test_k121_the_default_timeout_is_for_new_sockets(world: World) -> None:
    assert socket.getdefaulttimeout() is None
    socket.setdefaulttimeout(3)
    try:
        assert socket.getdefaulttimeout() == 3.0
        made = world.keep(socket.socket())
        assert made.gettimeout() == 3.0
    finally:
        socket.setdefaulttimeout(None)
    assert made.gettimeout() == 3.0
    made.settimeout(4.5)
    assert world.keep(made.dup()).gettimeout() == 4.5


@pytest.mark.slow
def test_k121_the_timeout_of_sendall_is_for_all_of_it(world: World) -> None:
    listener = world.listener(options={(socket.SOL_SOCKET, socket.SO_RCVBUF): 8192})
    name = listener.getsockname()

    def reader() -> None:
        with socket.create_connection(name) as sock:
            sock.settimeout(5.0)
            with contextlib.suppress(OSError):
                while sock.recv(4096):
                    time.sleep(0.01)  # it always makes progress

    join = world.beside(reader)
    server = world.accept(listener)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    server.settimeout(0.1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        server.sendall(b"x" * 10_000_000)
    assert 0.09 <= time.monotonic() - began <= 0.5
    world.reset(server)
    join()


# --- K-122: after close --------------------------------------------------------------------------------------------


def test_k122_a_closed_socket_is_a_bad_descriptor(world: World) -> None:
    sock = world.socket()
    sock.settimeout(1.5)
    sock.close()
    sock.close()
    assert sock.fileno() == -1
    assert sock.detach() == -1
    for call in (
        lambda: sock.recv(1),
        lambda: sock.send(b"x"),
        lambda: sock.sendall(b"x"),
        lambda: sock.accept(),
        lambda: sock.listen(1),
        lambda: sock.bind((world.ip, 0)),
        lambda: sock.connect((world.ip, 1)),
        lambda: sock.getsockname(),
        lambda: sock.getpeername(),
        lambda: sock.shutdown(0),
        lambda: sock.getsockopt(1, 4),
        lambda: sock.setsockopt(1, 2, 1),
        lambda: sock.settimeout(1),
        lambda: sock.setblocking(True),
        lambda: sock.dup(),
        lambda: sock.sendto(b"x", (world.ip, 1)),
        lambda: sock.recvfrom(1),
        lambda: sock.recvmsg(1),
        lambda: sock.sendmsg([b"x"]),
        lambda: sock.recv_into(bytearray(1)),
        lambda: sock.get_inheritable(),
    ):
        assert outcome(call) == "EBADF"
    assert sock.connect_ex((world.ip, 1)) == errno.EBADF
    assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
    assert sock.gettimeout() is None  # what setblocking() failed to do, the object remembers all the same


def test_k122_argument_errors_come_before_the_bad_descriptor(world: World) -> None:
    sock = world.socket()
    sock.close()
    world.gives("TypeError: connect(): AF_INET address must be tuple, not str", sock.connect, "x")
    world.gives("TypeError: a bytes-like object is required, not 'str'", sock.send, "x")
    world.gives("ValueError: Timeout value out of range", sock.settimeout, -1)


def test_k122_the_repr_of_a_closed_socket(world: World) -> None:
    sock = world.socket()
    sock.close()
    assert repr(sock) == "<socket.socket [closed] fd=-1, family=2, type=1, proto=0>"


def test_k122_detach_gives_the_number_away(world: World) -> None:
    sock = world.socket()
    sock.bind((world.ip, 0))
    name = sock.getsockname()
    fd = sock.detach()
    assert fd >= 0
    assert sock.fileno() == -1
    again = world.keep(socket.socket(fileno=fd))
    assert again.getsockname() == name
    assert (again.family, again.type) == (socket.AF_INET, socket.SOCK_STREAM)


def test_k122_makefile_works_on_a_closed_object_and_fails_when_used(world: World) -> None:
    sock = world.socket()
    sock.close()
    file = sock.makefile("rb")
    world.gives("EBADF", file.read)


def test_k122_a_with_block_closes(world: World) -> None:
    with socket.socket() as sock:
        assert sock.fileno() >= 0
    assert sock.fileno() == -1


# --- K-123, K-124: what it shows of itself --------------------------------------------------------------------------


def test_k123_repr(world: World) -> None:
    client, server = world.pair()
    fd, mine, peer = client.fileno(), client.getsockname(), client.getpeername()
    assert repr(client) == f"<socket.socket fd={fd}, family=2, type=1, proto=0, laddr={mine}, raddr={peer}>"
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert repr(client) == f"<socket.socket fd={fd}, family=2, type=1, proto=0, laddr={mine}>"
    fresh = world.socket()
    assert repr(fresh) == f"<socket.socket fd={fresh.fileno()}, family=2, type=1, proto=0, laddr=('0.0.0.0', 0)>"
    unix = world.socket(socket.AF_UNIX)
    assert repr(unix) == f"<socket.socket fd={unix.fileno()}, family=1, type=1, proto=0>"


def test_k124_type_hides_the_flags(world: World) -> None:
    sock = world.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC))
    assert sock.type == socket.SOCK_STREAM
    assert sock.type is socket.SOCK_STREAM
    assert sock.family is socket.AF_INET
    assert sock.gettimeout() == 0.0
    assert sock.get_inheritable() is False


def test_k124_fromfd_finds_out_what_it_is(world: World) -> None:
    datagram = world.socket(kind=socket.SOCK_DGRAM)
    twin = world.keep(socket.fromfd(datagram.fileno(), socket.AF_INET, socket.SOCK_DGRAM))
    assert twin.fileno() != datagram.fileno()
    found = world.keep(socket.socket(fileno=twin.detach()))
    assert (found.family, found.type, found.proto) == (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    stream = world.socket()
    found = world.keep(socket.socket(fileno=stream.dup().detach()))
    assert (found.type, found.proto) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)


# --- K-125, K-126: files -------------------------------------------------------------------------------------------


def test_k125_a_file_keeps_the_socket_open(world: World) -> None:
    client, server = world.pair()
    file = client.makefile("rb")
    client.close()
    server.send(b"line\nrest")
    world.pause()
    assert file.readline() == b"line\n"
    world.ready(server, "OUT")
    file.close()
    world.readable(server)
    world.gives(b"", server.recv, 1)


def test_k125_an_empty_non_blocking_read_is_none(world: World) -> None:
    client, _ = world.pair()
    with client.makefile("rb") as buffered:
        assert buffered.read(1) is None
    with client.makefile("rb", buffering=0) as raw:
        assert raw.read(1) is None


def test_k125_a_full_socket_is_told_by_a_file_with_its_errno(world: World) -> None:
    client, server = world.full_pair()
    with client.makefile("wb", buffering=4) as file:
        with pytest.raises(BlockingIOError) as caught:
            file.write(b"hello")
        assert (caught.value.errno, caught.value.characters_written) == (errno.EAGAIN, 4)
        assert file.raw.write(b"x") is None
        while "OUT" not in world.mask(client):
            server.recv(65536)


def test_k125_after_a_timeout_the_file_is_spoilt(world: World) -> None:
    client, server = world.pair()
    client.settimeout(0.01)
    with client.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.read(1)
        server.send(b"late")
        with pytest.raises(OSError, match="cannot read from timed out object"):
            file.read(1)


@pytest.mark.parametrize(
    ("mode", "arguments", "kind"),
    [
        ("rb", {}, io.BufferedReader),
        ("wb", {}, io.BufferedWriter),
        ("rwb", {}, io.BufferedRWPair),
        ("rb", {"buffering": 0}, socket.SocketIO),
        ("r", {}, io.TextIOWrapper),
    ],
)
def test_k125_what_makefile_makes(world: World, mode: str, arguments: Any, kind: type) -> None:
    client, _ = world.pair()
    with client.makefile(mode, **arguments) as file:
        assert type(file) is kind


def test_k125_modes_that_are_none(world: World) -> None:
    client, _ = world.pair()
    world.gives("ValueError: invalid mode 'x' (only r, w, b allowed)", client.makefile, "x")
    world.gives("ValueError: unbuffered streams must be binary", lambda: client.makefile("r", buffering=0))


def test_k126_sendfile(world: World) -> None:
    client, server = world.pair()
    with tempfile.TemporaryFile() as file:
        assert client.sendfile(file) == 0  # an empty file needs no sending
        file.write(b"0123456789")
        file.flush()
        file.seek(2)
        world.gives("ValueError: non-blocking sockets are not supported", client.sendfile, file)
        datagram = world.socket(kind=socket.SOCK_DGRAM)
        world.gives("ValueError: only SOCK_STREAM type sockets are supported", datagram.sendfile, file)
        client.settimeout(5.0)
        world.gives("ValueError: count must be a positive integer (got 0)", lambda: client.sendfile(file, count=0))
        assert client.sendfile(file, 2, 5) == 5
        world.gives(b"23456", server.recv, 100)


@pytest.mark.parametrize("offset", [10, 50])
def test_k126_sendfile_with_a_time_out_waits_for_room_before_it_finds_nothing_to_send(
    world: World, offset: int
) -> None:
    one, two = map(world.keep, socket.socketpair())
    one.setblocking(False)
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        while outcome(lambda: one.send(b"x" * 4096)) != "EAGAIN":
            pass
        one.settimeout(0.002)
        world.gives("TimeoutError: timed out", one.sendfile, file, offset)
        two.close()
        world.gives(0, one.sendfile, file, offset)


# --- K-127, K-128: conveniences and names ---------------------------------------------------------------------------


def test_k127_create_connection_and_create_server(world: World) -> None:
    with socket.create_server((world.ip, 0), backlog=3) as server:
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        with socket.create_connection(server.getsockname()) as client:
            assert client.gettimeout() is None
        with socket.create_connection(server.getsockname(), 5.0, (world.other_ip, 0)) as client:
            assert client.gettimeout() == 5.0
            assert client.getsockname()[0] == world.other_ip
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((world.ip, world.dead_port()))
    with pytest.raises(ExceptionGroup, match="create_connection failed"):
        socket.create_connection((world.ip, world.dead_port()), all_errors=True)


def test_k127_create_server_for_both_families(world: World) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    assert socket.has_dualstack_ipv6()
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
    world.gives(
        "ValueError: dualstack_ipv6 requires AF_INET6 family",
        lambda: socket.create_server(("", 0), dualstack_ipv6=True),
    )


def addresses(*arguments: Any, **options: Any) -> Any:
    return outcome(lambda: [(int(f), int(k), p, a[:2]) for f, k, p, _, a in socket.getaddrinfo(*arguments, **options)])


def test_k128_getaddrinfo_of_a_numeric_host_has_three_types(world: World) -> None:
    assert addresses("127.0.0.1", 80) == [
        (2, 1, 6, ("127.0.0.1", 80)),
        (2, 2, 17, ("127.0.0.1", 80)),
        (2, 3, 0, ("127.0.0.1", 80)),
    ]
    assert addresses("127.0.0.1", 80, type=socket.SOCK_STREAM) == [(2, 1, 6, ("127.0.0.1", 80))]
    assert addresses("::1", "80", type=socket.SOCK_DGRAM) == [(10, 2, 17, ("::1", 80))]
    assert addresses(b"127.0.0.1", 80, proto=socket.IPPROTO_TCP) == [(2, 1, 6, ("127.0.0.1", 80))]


def test_k128_getaddrinfo_of_nobody_is_localhost_or_everybody(world: World) -> None:
    both = {("127.0.0.1", 80), ("::1", 80)}
    assert {address for _, _, _, address in addresses(None, 80, type=socket.SOCK_STREAM)} == both
    passive = addresses(None, 80, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    assert [address for _, _, _, address in passive] == [("0.0.0.0", 80), ("::", 80)]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("127.0.0.1", 80), {"family": socket.AF_INET6}, "gaierror -9"),
        (("::1", 80), {"family": socket.AF_INET}, "gaierror -9"),
        (("127.0.0.1", "no such service"), {}, "gaierror -8"),
        (("127.0.0.1", -1), {}, "gaierror -8"),
        (("localhost", 80), {"flags": socket.AI_NUMERICHOST}, "gaierror -2"),
        (("", 80), {}, "gaierror -2"),
        ((None, None), {}, "gaierror -2"),
    ],
)
def test_k128_what_getaddrinfo_refuses(world: World, arguments: Any, options: Any, error: str) -> None:
    assert addresses(*arguments, **options) == error


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "two..dots", ".example", "\udc80"])
def test_k128_what_cannot_be_a_name_is_no_name_that_is_unknown(world: World, name: str) -> None:
    with pytest.raises(UnicodeError):
        socket.getaddrinfo(name, 80)


def test_k128_a_port_too_large_wraps(world: World) -> None:
    assert addresses("127.0.0.1", 70_000, type=socket.SOCK_STREAM) == [(2, 1, 6, ("127.0.0.1", 4464))]


def test_k128_names_back_from_addresses(world: World) -> None:
    assert socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == ("127.0.0.1", "80")
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    assert socket.gethostbyname("localhost") == "127.0.0.1"


# --- K-129 to K-131: arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        ("recv", (-1,), "ValueError: negative buffersize in recv"),
        ("recvfrom", (-1,), "ValueError: negative buffersize in recvfrom"),
        ("recv_into", (bytearray(2), 3), "ValueError: buffer too small for requested bytes"),
        ("recv_into", (bytearray(2), -1), "ValueError: negative buffersize in recv_into"),
        ("recvfrom_into", (bytearray(2), 3), "ValueError: nbytes is greater than the length of the buffer"),
        (
            "recv_into",
            (b"12",),
            "TypeError: recv_into() argument 1 must be read-write bytes-like object, not bytes",
        ),
        ("send", ("x",), "TypeError: a bytes-like object is required, not 'str'"),
        ("send", (1,), "TypeError: a bytes-like object is required, not 'int'"),
        ("sendall", ("x",), "TypeError: a bytes-like object is required, not 'str'"),
        ("sendto", ("x", ("127.0.0.1", 1)), "TypeError: a bytes-like object is required, not 'str'"),
        ("sendto", (b"x",), "TypeError: sendto() takes 2 or 3 arguments (1 given)"),
        ("sendmsg", (["x"],), "TypeError: a bytes-like object is required, not 'str'"),
        ("sendmsg", (b"x",), "TypeError: a bytes-like object is required, not 'int'"),
        ("recv", ("x",), "TypeError: 'str' object cannot be interpreted as an integer"),
        ("listen", ("x",), "TypeError: 'str' object cannot be interpreted as an integer"),
        ("connect", (), "TypeError: socket.connect() takes exactly one argument (0 given)"),
        ("bind", (), "TypeError: socket.bind() takes exactly one argument (0 given)"),
    ],
)
def test_k129_bad_arguments(world: World, call: str, arguments: Any, error: str) -> None:
    client, _ = world.pair()
    world.gives(error, getattr(client, call), *arguments)


def test_k129_anything_with_bytes_can_be_sent(world: World) -> None:
    client, server = world.pair()
    for data in (b"a", bytearray(b"b"), memoryview(b"c"), memoryview(b"xdx")[1:2]):
        assert client.send(data) == 1
    world.acknowledge(server)
    world.pause()
    world.gives(b"abcd", server.recv, 100)
    client.send(b"efghij")
    world.readable(server)
    into = bytearray(4)
    assert server.recv_into(into, 2) == 2
    assert server.recv_into(memoryview(into)[2:]) == 2
    assert into == b"efgh"
    assert server.recvfrom_into(into)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((99, socket.SOCK_STREAM), "EAFNOSUPPORT"),
        ((99, 15), "EAFNOSUPPORT"),
        ((99, 16), "EINVAL"),  # whatever the family is
        ((socket.AF_UNSPEC, socket.SOCK_STREAM), "EAFNOSUPPORT"),
        ((socket.AF_UNSPEC, 99), "EINVAL"),
        ((13, socket.SOCK_STREAM), "EAFNOSUPPORT"),  # a number that no family uses
        ((socket.AF_INET, 99), "EINVAL"),
        ((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP), "EPROTONOSUPPORT"),
        ((socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_TCP), "EPROTONOSUPPORT"),
        ((socket.AF_INET, socket.SOCK_SEQPACKET), "ESOCKTNOSUPPORT"),
        ((socket.AF_INET, socket.SOCK_STREAM, 300), "EINVAL"),
        ((socket.AF_INET, socket.SOCK_RAW, 0), "EPROTONOSUPPORT"),
        ((socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), "EACCES"),
        ((socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), "EPROTONOSUPPORT"),
        ((socket.AF_NETLINK, socket.SOCK_STREAM), "ESOCKTNOSUPPORT"),
        ((socket.AF_NETLINK, socket.SOCK_RAW, 99), "EPROTONOSUPPORT"),
        ((socket.AF_VSOCK, socket.SOCK_STREAM, 1), "EPROTONOSUPPORT"),
        ((socket.AF_VSOCK, socket.SOCK_RAW, 0), "ESOCKTNOSUPPORT"),
        ((44, socket.SOCK_RAW), "EPERM"),  # AF_XDP
    ],
)
def test_k130_what_socket_refuses_to_make(world: World, arguments: Any, error: str) -> None:
    world.gives(error, socket.socket, *arguments)


def test_k130_a_pair_is_refused_as_a_socket_is(world: World) -> None:
    world.gives("EINVAL", socket.socketpair, 99, 99)  # the flags of a type come before the family
    world.gives("EAFNOSUPPORT", socket.socketpair, 99, 1)
    for family, kind, proto in ((socket.AF_NETLINK, socket.SOCK_RAW, 0), (socket.AF_VSOCK, socket.SOCK_STREAM, 0)):
        world.gives("ENOTSUP", socket.socketpair, family, kind, proto)


def test_k130_a_number_that_is_no_socket(world: World) -> None:
    sock = world.socket()
    fd = sock.fileno()
    sock.close()
    world.gives("EBADF", lambda: socket.socket(fileno=fd))
    world.gives("ValueError: negative file descriptor", lambda: socket.socket(fileno=-1))
    for call in (socket.close, socket.dup):
        world.gives("EBADF", call, -1)
        world.gives("OverflowError: Python int too large to convert to C long", call, 2**64)


SOL = socket.SOL_SOCKET
TCP = socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda s: s.setsockopt(SOL, 9999, 1), "ENOPROTOOPT", id="set-unknown-option"),
        pytest.param(lambda s: s.setsockopt(9999, 1, 1), "ENOPROTOOPT", id="set-unknown-level"),
        pytest.param(lambda s: s.getsockopt(SOL, 9999), "ENOPROTOOPT", id="get-unknown-option"),
        pytest.param(lambda s: s.getsockopt(9999, 1), "ENOTSUP", id="get-unknown-level"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_REUSEADDR, b"\1"), "EINVAL", id="short-value"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_TYPE, 1), "ENOPROTOOPT", id="set-TYPE"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_ERROR, 1), "ENOPROTOOPT", id="set-ERROR"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_DOMAIN, 1), "ENOPROTOOPT", id="set-DOMAIN"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_PROTOCOL, 1), "ENOPROTOOPT", id="set-PROTOCOL"),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_ACCEPTCONN, 1), "ENOPROTOOPT", id="set-ACCEPTCONN"),
        pytest.param(
            lambda s: s.getsockopt(SOL, socket.SO_TYPE, 2000),
            "OSError: getsockopt buflen out of range",
            id="long-buffer",
        ),
        pytest.param(
            lambda s: s.getsockopt(SOL, socket.SO_TYPE, -1), "OSError: getsockopt buflen out of range", id="negative"
        ),
        pytest.param(lambda s: s.setsockopt(SOL, socket.SO_PASSCRED, 1), "ENOTSUP", id="PASSCRED-on-inet"),
        pytest.param(lambda s: s.setsockopt(TCP, socket.TCP_KEEPIDLE, 0), "EINVAL", id="KEEPIDLE-0"),
        pytest.param(lambda s: s.setsockopt(TCP, socket.TCP_KEEPIDLE, 32768), "EINVAL", id="KEEPIDLE-32768"),
        pytest.param(lambda s: s.setsockopt(TCP, socket.TCP_KEEPCNT, 128), "EINVAL", id="KEEPCNT-128"),
        pytest.param(lambda s: s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 256), "EINVAL", id="TTL-256"),
        pytest.param(lambda s: s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 0), "EINVAL", id="TTL-0"),
    ],
)
def test_k131_options_that_are_refused(world: World, call: Any, error: str) -> None:
    world.gives(error, lambda: call(world.socket()))


@pytest.mark.parametrize(
    ("level", "option", "value"),
    [
        pytest.param(socket.IPPROTO_IP, socket.IP_TTL, 64, id="TTL"),
        pytest.param(TCP, socket.TCP_KEEPIDLE, 7200, id="KEEPIDLE"),
        pytest.param(TCP, socket.TCP_KEEPINTVL, 75, id="KEEPINTVL"),
        pytest.param(TCP, socket.TCP_KEEPCNT, 9, id="KEEPCNT"),
        pytest.param(TCP, socket.TCP_SYNCNT, 6, id="SYNCNT"),
        pytest.param(TCP, socket.TCP_LINGER2, 60, id="LINGER2"),
        pytest.param(TCP, socket.TCP_MAXSEG, 536, id="MAXSEG"),
        pytest.param(TCP, socket.TCP_QUICKACK, 1, id="QUICKACK"),
        pytest.param(TCP, socket.TCP_NODELAY, 0, id="NODELAY"),
        pytest.param(SOL, socket.SO_KEEPALIVE, 0, id="KEEPALIVE"),
        pytest.param(SOL, socket.SO_TYPE, 1, id="TYPE"),
        pytest.param(SOL, socket.SO_DOMAIN, 2, id="DOMAIN"),
        pytest.param(SOL, socket.SO_PROTOCOL, 6, id="PROTOCOL"),
        pytest.param(SOL, socket.SO_ERROR, 0, id="ERROR"),
    ],
)
def test_k131_the_values_options_begin_with(world: World, level: int, option: int, value: int) -> None:
    assert world.socket().getsockopt(level, option) == value


def test_k131_switches_are_stored_as_0_or_1_and_answers_are_cut(world: World) -> None:
    sock = world.socket()
    sock.setsockopt(SOL, socket.SO_KEEPALIVE, 77)
    assert sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(SOL, socket.SO_KEEPALIVE, 4) == b"\1\0\0\0"
    assert sock.getsockopt(SOL, socket.SO_KEEPALIVE, 2) == b"\1\0"
    assert sock.getsockopt(SOL, socket.SO_KEEPALIVE, 100) == b"\1\0\0\0"
    sock.setsockopt(SOL, socket.SO_KEEPALIVE, b"\0\0\0\0")
    assert sock.getsockopt(SOL, socket.SO_KEEPALIVE) == 0


# --- K-132: no descriptors left -------------------------------------------------------------------------------------


@contextlib.contextmanager
def no_more_descriptors(world: World) -> Iterator[None]:
    """The process may open no further descriptor inside the block."""
    if world.name == "kernel":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = os.dup(0)
        os.close(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as lowest:  # numbers of simulated descriptors begin at a million, for each process
            highest = lowest.fileno() % (1 << 20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="of Linux")
def test_k132_prlimit_of_oneself_is_setrlimit(world: World) -> None:
    nofile = resource.RLIMIT_NOFILE
    before = resource.getrlimit(nofile)
    fewer = (before[0] - 1, before[1])
    for pid in (0, os.getpid()):
        assert resource.prlimit(pid, nofile) == before
        assert resource.prlimit(pid, nofile, fewer) == before
        try:
            assert resource.getrlimit(nofile) == resource.prlimit(pid, nofile) == fewer
        finally:
            assert resource.prlimit(pid, nofile, before) == fewer
    for limits in ((1,), 7, (2, 1)):
        with pytest.raises((ValueError, TypeError)) as said:
            resource.prlimit(0, nofile, limits)  # type: ignore[call-overload]
        with pytest.raises(said.type, match=re.escape(str(said.value))):
            resource.setrlimit(nofile, limits)  # type: ignore[arg-type]


def test_k132_three_numbers_are_a_programs_own(world: World) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        own = max(0, lowest.fileno() - (1 << 20)) if world.name == "simnet" else lowest.fileno() - 3
    made: list[Any] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (own + 20, hard))
    try:
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (own + 20, hard)
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                made.append(world.keep(socket.socket()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(made) == 17


@pytest.mark.parametrize("limits", [(10,), (1, 2, 3), [5]])
def test_k132_a_limit_of_descriptors_is_two_numbers(world: World, limits: Any) -> None:
    with pytest.raises(ValueError, match="expected a tuple of 2 integers"):
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_k132_without_descriptors_accept_fails_and_the_connection_stays(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    with no_more_descriptors(world):
        world.gives("EMFILE", socket.socket)
        world.gives("EMFILE", socket.socketpair)
        world.gives("EMFILE", client.dup)
        world.gives("EMFILE", os.pipe)
        world.gives("EMFILE", os.eventfd, 0)
        world.gives("EMFILE", select.epoll)
        world.gives("EMFILE", listener.accept)
        told = _told_by_poll(listener)
    assert told == "IN"
    world.accept(listener)
    with no_more_descriptors(world):
        world.gives("EMFILE", listener.accept)  # found before the queue is looked at


def test_k132_an_accept_with_a_timeout_waits_before_it_finds_no_descriptor(world: World) -> None:
    listener = world.listener()
    listener.settimeout(0.02)
    with no_more_descriptors(world):
        world.gives("TimeoutError: timed out", listener.accept)
    client = world.socket()
    listener.settimeout(5)
    with no_more_descriptors(world):
        opener = threading.Timer(0.01, client.connect_ex, [listener.getsockname()])
        opener.start()
        world.gives("EMFILE", listener.accept)
        opener.join()
    world.keep(listener.accept()[0])  # it is there yet


def test_k132_of_files_that_came_those_without_a_number_are_not_told_of(world: World) -> None:
    reader, writer = map(world.keep, socket.socketpair())
    socket.send_fds(writer, [b"x"], [writer.fileno()])
    with no_more_descriptors(world):
        assert reader.recvmsg(9, 100) == (b"x", [], socket.MSG_CTRUNC, None)
        world.gives("EMFILE", fcntl.fcntl, reader, fcntl.F_DUPFD, 0)


def _told_by_poll(sock: Any) -> str:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return "IN" if poll.poll(0) else "0"


def test_all_descriptors_of_a_socket_block_or_none_does(world: World) -> None:
    def unaware(sock: Any) -> Any:
        """The same socket; Python thinks that it blocks, the kernel knows better."""
        return world.keep(socket.socket(fileno=sock.dup().detach()))

    client, server = world.pair()
    twin = unaware(client)
    assert (twin.gettimeout(), twin.getblocking()) == (None, True)
    for call, *arguments in (
        (twin.recv, 1),
        (twin.recv, 1, socket.MSG_WAITALL),
        (twin.recvfrom, 1),
        (twin.recv_into, bytearray(1)),
        (unaware(world.listener()).accept,),
        (unaware(world.socket(kind=socket.SOCK_DGRAM)).recv, 1),
    ):
        assert outcome(lambda: call(*arguments)) == "EAGAIN", call  # noqa: B023  # it is called at once
    fresh = unaware(world.socket())
    assert outcome(lambda: fresh.connect((world.ip, 1))) == "EINPROGRESS"
    world.fill(client, server)
    assert outcome(lambda: twin.send(b"x")) == "EAGAIN"
    assert outcome(lambda: twin.sendall(b"x")) == "EAGAIN"
    for setter, value, blocks in (("settimeout", 5.0, False), ("setblocking", True, True), ("settimeout", 0.0, False)):
        getattr(twin, setter)(value)
        assert os.get_blocking(client.fileno()) is blocks
    os.set_blocking(twin.fileno(), True)
    assert fcntl.fcntl(client, fcntl.F_GETFL) & os.O_NONBLOCK == 0
    fcntl.fcntl(client, fcntl.F_SETFL, os.O_NONBLOCK)
    assert fcntl.fcntl(client, fcntl.F_GETFL) == os.O_NONBLOCK | os.O_RDWR


def test_other_commands_to_a_descriptor(world: World) -> None:
    sock = world.socket()
    fd = sock.fileno()
    for value, blocks in ((1, False), (0, True), (256, False)):
        fcntl.ioctl(fd, termios.FIONBIO, struct.pack("i", value))
        assert os.get_blocking(fd) is blocks
    sock.setblocking(False)
    for command, inheritable in ((fcntl.F_DUPFD, True), (fcntl.F_DUPFD_CLOEXEC, False)):
        twin = world.keep(socket.socket(fileno=fcntl.fcntl(fd, command, 0)))
        assert (twin.fileno() != fd, twin.get_inheritable()) == (True, inheritable)
    for call, arguments, answer in (
        (fcntl.ioctl, (termios.TCGETS, bytes(64)), "ENOTTY"),
        (fcntl.ioctl, (0x1234, bytes(64)), "ENOTTY"),
        (fcntl.ioctl, (termios.FIONBIO, 0), "EFAULT"),
        (fcntl.ioctl, (0x8904, bytes(4)), bytes(4)),  # SIOCGPGRP
        (fcntl.fcntl, (fcntl.F_GETOWN,), 0),
        (fcntl.fcntl, (99,), "EINVAL"),
    ):
        world.gives(answer, call, fd, *arguments)
    world.gives("ENOTTY", fcntl.ioctl, world.socket(kind=socket.SOCK_DGRAM), 0x894B, bytes(4))  # SIOCOUTQNSD


def test_the_flags_of_a_descriptor(world: World) -> None:
    sock = world.socket()
    fd = sock.fileno()
    assert (fcntl.fcntl(sock, fcntl.F_GETFD), os.get_inheritable(fd)) == (fcntl.FD_CLOEXEC, False)
    for change, arguments, inheritable in (
        (fcntl.fcntl, (sock, fcntl.F_SETFD, 0), True),
        (fcntl.ioctl, (sock, termios.FIOCLEX), False),
        (sock.set_inheritable, (True,), True),
        (os.set_inheritable, (fd, False), False),
        (fcntl.ioctl, (sock, termios.FIONCLEX), True),
    ):
        change(*arguments)
        assert os.get_inheritable(fd) is sock.get_inheritable() is inheritable
        assert fcntl.fcntl(fd, fcntl.F_GETFD) == (0 if inheritable else fcntl.FD_CLOEXEC)
        assert os.get_inheritable(world.keep(sock.dup()).fileno()) is False
    sock.close()
    for call, *arguments in (
        (os.get_blocking, fd),
        (os.set_blocking, fd, True),
        (os.get_inheritable, fd),
        (os.set_inheritable, fd, True),
        (fcntl.fcntl, fd, fcntl.F_GETFL),
    ):
        world.gives("EBADF", call, *arguments)
    with tempfile.TemporaryFile() as file:  # a real one stays real
        assert fcntl.fcntl(file, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
        assert os.get_blocking(file.fileno())


def test_what_a_socket_is_is_not_set(world: World) -> None:
    sock = world.socket()
    for name, text in {
        "timeout": "attribute 'timeout' of '_socket.socket' objects is not writable",
        "proto": "readonly attribute",
        "family": "property 'family' of 'socket' object has no setter",
    }.items():
        with pytest.raises(AttributeError, match=text):
            setattr(sock, name, 1)
    with pytest.raises(AttributeError, match=r"attribute 'timeout' of '_socket\.socket' objects is not writable"):
        del sock.timeout


def test_no_other_system_call_knows_a_simulated_descriptor() -> None:
    with simnet.Network() as net, net.host("server").listen(7) as listener:
        assert outcome(lambda: open(listener.fileno(), closefd=False)) == "EBADF"  # noqa: SIM115  # it is not opened


def change_places(onto: bool) -> bool:
    """As who is started by inetd has its socket at 0. Is the second a socket then?"""
    file = os.open(os.devnull, os.O_RDONLY)
    try:
        with socket.socket() as sock:
            fd, fd2 = (sock.fileno(), file) if onto else (file, sock.fileno())
            assert os.dup2(fd, fd2) == fd2
            return not os.path.samestat(os.fstat(fd2), os.stat(os.devnull))
    finally:
        os.close(file)


@pytest.mark.parametrize("onto", [True, False], ids=["a socket onto a file's number", "a file onto a socket's"])
def test_a_socket_and_a_file_change_places_on_a_kernel_and_in_a_run_are_refused_by_name(onto: bool) -> None:
    assert change_places(onto) is onto
    with pytest.raises(simnet.NotModelled, match=r"^os\.dup2 .* use RealNetwork"), simnet.Network() as network:
        change_places(onto)
    assert [verdict.name for verdict in network.verdicts] == ["NotModelled"]


def test_a_number_that_cannot_be_is_a_bad_one_to_put_a_socket_or_a_file_in_its_place(world: World) -> None:
    sock = world.socket()
    with tempfile.TemporaryFile() as file:
        for taken in (sock, file):  # of a negative number Python says whatever errno was
            assert outcome(lambda: os.dup2(taken.fileno(), (1 << 30) + 7)) == "EBADF"  # noqa: B023  # asked at once
        assert outcome(lambda: os.dup2(987_654, sock.fileno())) == "EBADF"  # nothing has that number


def test_sendfile_by_descriptors(world: World) -> None:
    client, server = world.tight_pair()
    out = client.fileno()
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 100_000)
        file.flush()
        file.seek(999_990)
        into = file.fileno()
        for expected, *arguments in (
            (5, out, into, 3, 5),
            (2, out, into, None, 2),  # from where the file is, which moves
            (8, out, into, None, 100),
            (0, out, into, None, 100),
            (0, out, into, 2_000_000, 100),
            (0, out, into, 0, 0),
            ("EINVAL", out, into, 0, -1),
            ("EINVAL", out, server.fileno(), None, 10),
            ("ESPIPE", out, server.fileno(), 0, 10),
            ("EBADF", out, 123_456, 0, 10),
        ):
            world.gives(expected, os.sendfile, *arguments)
        assert os.sendfile(out_fd=out, in_fd=into, offset=0, count=1) == 1
        world.gives(b"3456701234567890", server.recv, 100)
        assert 0 < os.sendfile(out, into, 0, 1_000_000) < 1_000_000  # what there is room for
        world.fill(client, server)
        world.gives("EAGAIN", os.sendfile, out, into, 0, 10)
        with socket.socket() as fresh:
            world.gives("EPIPE", os.sendfile, fresh.fileno(), into, 0, 10)


@pytest.mark.parametrize(
    ("offset", "went"), [(0, 65_536), (3, 65_533), (4_095, 61_441), (70_000, 65_168), (299_000, 1_000)]
)
def test_a_file_goes_by_sixteen_pages_and_the_second_piece_meets_the_reset_that_the_first_has_made(
    world: World, offset: int, went: int
) -> None:
    client, server = world.pair()
    server.close()
    world.ready(client, "IN|OUT|RDHUP")
    with tempfile.TemporaryFile() as file:
        file.write(bytes(300_000))
        file.flush()
        assert os.sendfile(client.fileno(), file.fileno(), offset, 300_000) == went
        world.gives("EPIPE", os.sendfile, client.fileno(), file.fileno(), 0, 10)


def test_k126_a_closed_socket_sends_no_file(world: World) -> None:
    client, _server = world.pair()
    client.settimeout(5.0)
    client.close()
    with tempfile.TemporaryFile() as file:
        assert client.sendfile(file) == 0  # an empty file needs no sending, and no socket
        file.write(b"0123456789")
        file.flush()
        world.gives("ValueError: Invalid file descriptor: -1", client.sendfile, file)


def test_k126_sendfile_tries_twice_and_tells_the_second_error(world: World) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        client, server = world.pair()
        world.reset(server)
        world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
        for sock in (world.refused(), client):
            sock.setblocking(True)
            file.seek(0)
            world.gives("EPIPE", sock.sendfile, file)  # os.sendfile had the pending error, and send was tried after it
            world.ready(sock, "IN|OUT|RDHUP|HUP")


def test_what_class_another_socket_is_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(socket.socket):
        pass

    listener = world.keep(Own())
    listener.bind((world.ip, 0))
    listener.listen()
    world.client(listener)
    accepted = world.accept(listener)
    assert not isinstance(accepted, Own)  # a plain socket, whatever the listener is
    twin = world.keep(listener.dup())
    assert (isinstance(twin, Own), type(twin).__name__, twin.gettimeout()) == (True, "Own", None)

    class Refused(socket.socket):
        def connect(self, address: Any, /) -> None:
            raise TimeoutError(address)

    monkeypatch.setattr(socket, "socket", Refused)
    with pytest.raises(TimeoutError, match="7"):
        socket.create_connection((world.ip, 7), timeout=1)


def test_a_socket_that_somebody_else_closed_may_be_let_go(world: World) -> None:
    sock = socket.socket()
    socket.close(sock.fileno())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # which a real one gives
        del sock


@pytest.mark.parametrize("where", ["kernel", "simnet"])
def test_descriptors_are_reused_lowest_first(where: str) -> None:
    with open_world(where) as world:
        socks = [world.socket() for _ in range(5)]
        numbers = [sock.fileno() for sock in socks]
        socks[1].close()
        socks[3].close()
        assert [world.socket().fileno() for _ in range(2)] == [numbers[1], numbers[3]]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda sock: sock.setsockopt(SOL, 26, struct.pack("=H6xQ", 1, 0x5555_0000_0000)), id="an option"),
        pytest.param(
            lambda sock: (sock.setsockopt(SOL, 60, 1), sock.send(b"x", 0x4000000)), id="MSG_ZEROCOPY where it counts"
        ),
        pytest.param(lambda sock: fcntl.ioctl(sock.fileno(), 0x8942, b"lo".ljust(40, b"\0")), id="an ioctl"),
    ],
)
def test_what_simnet_does_not_model_is_refused_by_name_and_remembered(call: Any) -> None:
    network = simnet.Network()
    with network, socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        sock.setblocking(False)
        with pytest.raises(simnet.NotModelled, match=r"docs/fidelity\.md"):
            call(sock)
        assert [verdict.name for verdict in network.verdicts] == ["NotModelled"]
        network.verdicts.clear()  # else leaving the block would raise it
        sock.close()


def _pairs(world: World) -> Iterator[tuple[str, Any, Any]]:
    """Two connected sockets of each kind: what sends, what receives."""
    yield "TCP", *world.pair()
    left, right = world.socket(kind=socket.SOCK_DGRAM), world.socket(kind=socket.SOCK_DGRAM)
    right.bind((world.ip, 0))
    left.connect(right.getsockname())
    yield "UDP", left, right
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        for end in (one, other):
            world.keep(end).setblocking(False)
        yield f"Unix {kind.name}", one, other


def test_msg_trunc_counts_what_there_is_and_writes_what_fits(world: World) -> None:
    for kind, sender, receiver in _pairs(world):
        told = []
        for call in ("recvfrom_into", "recvmsg_into", "recvmsg"):
            sender.send(b"hello")
            world.readable(receiver)
            buffer = bytearray(b"...")
            if call == "recvfrom_into":
                count = receiver.recvfrom_into(buffer, 2, socket.MSG_TRUNC)[0]
            elif call == "recvmsg_into":
                count = receiver.recvmsg_into([memoryview(buffer)[:2]], 0, socket.MSG_TRUNC)[0]
            else:
                count = len(receiver.recvmsg(2, 0, socket.MSG_TRUNC)[0])
            told.append((count, bytes(buffer)))
            with contextlib.suppress(BlockingIOError):
                receiver.recv(9)
        into = {"TCP": (2, b"..."), "Unix SOCK_STREAM": (2, b"he.")}.get(kind, (5, b"he."))
        assert told == [into, into, (2, b"...")], kind


def test_flags_of_the_other_direction_are_not_looked_at(world: World) -> None:
    names = ("PEEK", "CTRUNC", "TRUNC", "WAITALL", "CMSG_CLOEXEC", "DONTROUTE", "EOR", "CONFIRM")
    for kind, sender, receiver in _pairs(world):
        for name in names:
            assert sender.send(b"x", getattr(socket, f"MSG_{name}")) == 1, (kind, name)
            world.readable(receiver)
            assert receiver.recv(1) == b"x"
        for name in ("CTRUNC", "DONTROUTE", "EOR", "CONFIRM", "MORE", "FASTOPEN", "CMSG_CLOEXEC"):
            flag = getattr(socket, f"MSG_{name}")
            sender.send(b"x")
            world.readable(receiver)
            data, _, told, _ = receiver.recvmsg(1, 0, flag)
            assert (data, told & ~socket.MSG_EOR) == (b"x", flag if name == "CMSG_CLOEXEC" else 0), (kind, name)


def test_a_socket_that_is_let_go_is_closed_at_once_and_told(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    served = listener.accept()[0]
    told = f"unclosed {served!r}"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        del served
    assert [(each.category, str(each.message), each.lineno) for each in heard] == [(ResourceWarning, told, line)]
    assert client.recv(1) == b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        number = socket.socket().fileno()  # let go in the same line
    assert world.socket().fileno() == number


def test_who_is_ended_by_the_end_of_its_network_is_not_told_of_what_it_had() -> None:
    def serve() -> None:
        kept.append(socket.create_server(("", 7)))
        kept[0].accept()

    kept: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with simnet.Network() as net:
            net.host("server").spawn(serve)
            kept.append(socket.socket())
        kept.clear()


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        ("1", "TypeError: 'str' object cannot be interpreted as an integer"),
        (None, "TypeError: 'NoneType' object cannot be interpreted as an integer"),
        (-1, "ValueError: sleep length must be non-negative"),
        (-0.5, "ValueError: sleep length must be non-negative"),
        (float("nan"), "ValueError: Invalid value NaN (not a number)"),
        (-0.0, None),
        (False, None),
    ],
)
def test_k121_how_long_nobody_can_sleep(world: World, seconds: Any, answer: str | None) -> None:
    world.gives(answer, time.sleep, seconds)


def test_k124_a_subclass_has_what_its_class_gives_it_and_nothing_else(world: World) -> None:
    class Bare(socket.socket):
        __slots__ = ()

    class Usual(socket.socket):
        pass

    bare, usual = world.keep(Bare()), world.keep(Usual())
    usual.colour = "blue"
    assert usual.__dict__ == {"colour": "blue"}
    with pytest.raises(AttributeError, match="'Bare' object has no attribute 'colour'"):
        bare.colour = "blue"


def test_a_subclass_that_opens_nothing_is_of_no_family_and_its_calls_are_ebadf(world: World) -> None:
    class Canned(socket.socket):
        def __init__(self, data: bytes) -> None:
            self.data = data

        def recv(self, size: int, /, _flags: int = 0) -> bytes:
            return self.data[:size]

    canned = Canned(b"canned")
    assert (canned.recv(3), canned.fileno(), int(canned.family), int(canned.type), canned.proto) == (
        b"can",
        -1,
        0,
        0,
        0,
    )
    assert repr(canned).endswith("Canned fd=-1, family=0, type=0, proto=0>")
    assert (canned.gettimeout(), canned.detach()) == (None, -1)
    world.gives("EBADF", canned.send, b"x")
    world.gives("EBADF", canned.settimeout, 1)
    world.gives("OSError: bind(): bad family", canned.bind, (world.ip, 0))
    world.gives("ValueError: file descriptor cannot be a negative integer (-1)", select.select, [canned], [], [], 0)


def test_accept_has_a_number_for_those_who_make_the_object_themselves(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    world.readable(listener)
    number, address = listener._accept()
    server = world.keep(socket.socket(fileno=number))
    assert address == client.getsockname() == server.getpeername()
    world.gives("EAGAIN", listener._accept)


def test_a_read_into_a_buffer_counts_what_it_is_given(world: World) -> None:
    sock = world.socket()
    for call in (sock.recv_into, sock.recvfrom_into):
        name = call.__name__
        with pytest.raises(TypeError, match=rf"{name}\(\) takes at most 3 arguments \(4 given\)"):
            call(5, 1, 1, other=1)
        with pytest.raises(TypeError, match=rf"{name}\(\) takes at most 3 arguments \(4 given\)"):
            call(bytearray(5), 1, 1, 1)


def test_k124_the_methods_of_the_class_take_any_socket(world: World) -> None:
    client, server = world.pair()
    assert list(map(socket.socket.fileno, (client, server))) == [client.fileno(), server.fileno()]
    assert socket.socket.send(client, b"abc") == 3
    world.readable(server)
    assert socket.socket.recv(server, 2) == b"ab"
    assert socket.socket.recv_into(server, bytearray(2)) == 1
    assert socket.socket.getpeername(client) == server.getsockname()
    assert socket.socket.gettimeout(client) == 0.0
    socket.socket.setsockopt(client, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert socket.socket.getsockopt(client, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    for call in (socket.socket.send, socket.socket.fileno, socket.socket.connect):
        with pytest.raises(TypeError, match=f"^unbound method socket.{call.__name__}.. needs an argument$"):
            call()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^descriptor .send. for ._socket\.socket. objects doesn.t apply"):
        socket.socket.send(1, b"x")  # type: ignore[arg-type]
    number = client.fileno()
    assert socket.socket.detach(client) == number
    world.keep(socket.socket(fileno=number))


def test_what_is_no_number_of_random_bytes(world: World) -> None:
    with pytest.raises(ValueError, match="negative argument not allowed"):
        os.urandom(-1)
    with pytest.raises(OSError, match="Invalid argument"):
        os.getrandom(-1)
    with pytest.raises(OSError, match="Invalid argument"):
        os.getrandom(4, 99)
    assert len(os.getrandom(4, os.GRND_NONBLOCK)) == len(os.urandom(4)) == 4
