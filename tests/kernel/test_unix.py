"""Unix sockets: names, connecting, what goes through them besides bytes, and how they end (K-099 to K-106)."""

from __future__ import annotations

import struct
from errno import (
    EADDRINUSE,
    EAGAIN,
    EBADF,
    ECONNREFUSED,
    ECONNRESET,
    EINVAL,
    EISCONN,
    EMSGSIZE,
    ENOENT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
    EPROTOTYPE,
    ERANGE,
    ESRCH,
)
from typing import Any

import pytest

from simnet.kernel import NotModelled, Stack
from simnet.kernel.messages import (
    AF_INET,
    AF_UNIX,
    MSG_CTRUNC,
    MSG_ERRQUEUE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from tests.kernel.conftest import Fabric, Note, fails, mask

PASSCRED = (1, 16, 1)
RIGHTS, CREDENTIALS = 1, 2
PEERGROUPS = 59
OUTQ, INQ, ATMARK = 0x5411, 0x541B, 0x8905


@pytest.fixture
def stack(fabric: Fabric) -> Stack:
    return fabric.stack("10.0.0.1")


def unix(stack: Stack, type: int = SOCK_STREAM, name: str | bytes | None = None) -> Any:
    socket = stack.socket(AF_UNIX, type)
    if name is not None:
        socket.bind(name)
    return socket


def pair(stack: Stack, type: int = SOCK_STREAM) -> Any:
    return stack.socketpair(AF_UNIX, type)


def served(stack: Stack, type: int = SOCK_STREAM, backlog: int = 5) -> Any:
    listener = unix(stack, type, "/run/s")
    listener.listen(backlog)
    a = unix(stack, type)
    a.connect("/run/s")
    return listener, a, listener.accept()[0]


class TestNames:
    def test_a_file_stays_after_close_until_unlinked(self, stack: Stack) -> None:
        a = unix(stack, name="/run/s")
        assert (a.getsockname(), a.local) == ("/run/s", "/run/s")
        with fails(EADDRINUSE):
            unix(stack, name="/run/s")
        a.release()
        with fails(EADDRINUSE):
            unix(stack, name="/run/s")
        with fails(ECONNREFUSED):
            unix(stack).connect("/run/s")
        assert stack.unlink("/run/s")
        assert not stack.unlink("/run/s")
        unix(stack, name="/run/s")

    def test_an_abstract_name_is_free_at_close(self, stack: Stack) -> None:
        a = unix(stack, name=b"\0me")
        with fails(EADDRINUSE):
            unix(stack, name=b"\0me")
        a.release()
        unix(stack, name=b"\0me")

    def test_the_kernel_chooses_for_an_empty_name(self, stack: Stack) -> None:
        names = [unix(stack, name="").getsockname() for _ in range(2)]
        assert names == [b"\x0000001", b"\x0000002"]
        a = unix(stack, name="")
        a.bind("")
        for name in ("/run/s", b"\0x"):
            with fails(EINVAL):
                a.bind(name)

    def test_who_cannot_be_found(self, stack: Stack) -> None:
        unix(stack, SOCK_DGRAM, "/run/d")
        unix(stack, SOCK_DGRAM, b"\0d")
        a = unix(stack)
        for name, code in (
            ("", EINVAL),
            ("/none", ENOENT),
            ("/run/d", EPROTOTYPE),
            (b"\0d", ECONNREFUSED),
            (b"\0n", ECONNREFUSED),
        ):
            with fails(code):
                a.connect(name)
        assert a.getsockopt(1, 4) == 0


class TestConnecting:
    def test_connect_is_done_when_it_returns(self, stack: Stack) -> None:
        listener = unix(stack, name="/run/s")
        note = Note()
        listener.watch(note)
        listener.listen()
        a = unix(stack)
        a.connect("/run/s")
        assert (mask(a), mask(listener), len(note.events)) == ("OUT", "IN", 1)
        c, name = listener.accept()
        assert (name, c.getsockname(), c.getpeername(), a.getpeername()) == ("", "/run/s", "", "/run/s")
        assert (a.origin, c.origin) == ("client", "server")
        with fails(EISCONN):
            a.connect("/run/s")
        with fails(EAGAIN):
            listener.accept()
        assert repr(c) == "<UnixStream ESTABLISHED '/run/s'>"

    def test_a_full_backlog_says_again(self, stack: Stack) -> None:
        listener = unix(stack, name="/run/s")
        listener.listen(0)
        unix(stack).connect("/run/s")
        with fails(EAGAIN):
            unix(stack).connect("/run/s")
        listener.listen(-1)
        unix(stack).connect("/run/s")

    def test_listening_needs_a_name_and_a_fresh_socket(self, stack: Stack) -> None:
        listener, a, _ = served(stack)
        for socket in (unix(stack), a):
            with fails(EINVAL):
                socket.listen()
        with fails(EINVAL):
            a.accept()
        with fails(EINVAL):
            listener.connect("/run/s")
        for call in (unix(stack, SOCK_DGRAM).listen, unix(stack, SOCK_DGRAM).accept):
            with fails(EOPNOTSUPP):
                call()
        with fails(ECONNREFUSED):
            unix(stack).connect(unix(stack, name=b"\0not listening").getsockname())

    def test_a_listener_that_closes_resets_its_queue(self, stack: Stack) -> None:
        listener, _, _ = served(stack)
        a = unix(stack)
        a.connect("/run/s")
        listener.release()
        assert mask(a) == "IN|OUT|RDHUP|ERR|HUP"
        with fails(ECONNRESET):
            a.recv(1)

    def test_a_shut_listener_refuses(self, stack: Stack) -> None:
        listener, _, _ = served(stack)
        listener.shutdown(2)
        assert mask(listener) == "IN|RDHUP|HUP"
        with fails(EAGAIN):
            listener.accept()
        with fails(ECONNREFUSED):
            unix(stack).connect("/run/s")

    def test_children_inherit_options(self, stack: Stack) -> None:
        listener = unix(stack, name="/run/s")
        listener.setsockopt(*PASSCRED)
        listener.listen()
        unix(stack).connect("/run/s")
        assert listener.accept()[0].getsockopt(1, 16) == 1

    def test_a_pair_needs_the_unix_family(self, stack: Stack) -> None:
        with fails(EOPNOTSUPP):
            stack.socketpair(AF_INET, SOCK_STREAM)

    def test_credentials_are_those_of_the_peer_at_connect(self, stack: Stack) -> None:
        listener = unix(stack, name="/run/s")
        stack.credentials = (10, 100, 100)
        listener.listen()
        a = unix(stack)
        assert a.getsockopt(1, 17, 12) == struct.pack("iii", 0, -1, -1)
        stack.credentials = (20, 200, 200)
        a.connect("/run/s")
        c, _ = listener.accept()
        assert a.getsockopt(1, 17, 12) == struct.pack("iii", 10, 100, 100)
        assert c.getsockopt(1, 17, 12) == struct.pack("iii", 20, 200, 200)


class TestStreams:
    def test_bytes_flow_and_small_reads_do_not_copy_the_rest(self, stack: Stack) -> None:
        a, b = pair(stack)
        assert [a.send(b"abc"), a.sendmsg([b"d", b"ef"]), a.send(b"")] == [3, 3, 0]
        assert b.recv(2) == b"ab"
        assert b.recv(9, MSG_PEEK) == b"cdef"
        assert b.recv(3) == b"cde"
        assert (b.unread, b.ioctl(INQ), b.recv(9), b.recv(0)) == (1, 1, b"f", b"")
        with fails(EAGAIN):
            b.recv(1)
        with fails(EAGAIN):
            b.recv(1, MSG_ERRQUEUE)
        assert a.sent == 6
        assert a.unsent == 0
        buffer = bytearray(4)
        a.send(b"ghijk")
        assert (b.recv_into(buffer), b.recv_into(buffer, 1), bytes(buffer)) == (4, 1, b"khij")
        assert b.recv_into(bytearray()) == 0
        a.send(b"lmn")
        parts = bytearray(1), bytearray(5)
        assert b.recvmsg_into(parts) == (3, [], 0, None)
        assert parts == (b"l", b"mn\0\0\0")

    @pytest.mark.parametrize(("sndbuf", "size", "total", "memory"), [
        (None, 1, 278, 213504), (None, 1000, 93000, 214272), (None, 5000, 170000, 217600), (None, 20000, 220000, 228096),
        (None, 65536, 233152, 238336), (None, 200000, 236544, 241408), (None, 1 << 24, 219264, 222720),
        (8192, 1, 22, 16896), (8192, 20000, 16256, 17920), (50000, 65536, 102080, 104192), (50000, 1 << 24, 109632, 111360),
    ])  # fmt: skip
    def test_memory_is_counted_as_measured(
        self, stack: Stack, sndbuf: int | None, size: int, total: int, memory: int
    ) -> None:
        a, _ = pair(stack)
        if sndbuf:
            a.setsockopt(1, 7, sndbuf)
        sent = 0
        with fails(EAGAIN):
            while True:
                sent += a.send(bytes(size))
        assert (sent, a.ioctl(OUTQ), mask(a)) == (total, memory, "0")

    def test_writability_comes_back_when_three_quarters_are_free(self, stack: Stack) -> None:
        a, b = pair(stack)
        with fails(EAGAIN):
            while True:
                a.send(bytes(1000))
        note = Note()
        a.watch(note)
        while mask(a) == "0":
            b.recv(1000)
        assert a.ioctl(OUTQ) == 53248 - 53248 % 2304  # a quarter of 212,992, in whole records
        assert len(note.events) == 1
        a.setsockopt(1, 7, 1)
        assert mask(a) == "0"
        a.setsockopt(1, 7, 212992)
        assert len(note.events) == 2

    def test_a_closed_peer_hangs_up(self, stack: Stack) -> None:
        a, b = pair(stack)
        b.send(b"last")
        b.release()
        assert mask(a) == "IN|OUT|RDHUP|HUP"
        with fails(EPIPE):
            a.send(b"x")
        assert [a.recv(9), a.recv(9)] == [b"last", b""]

    def test_shutdown_is_mirrored(self, stack: Stack) -> None:
        a, b = pair(stack)
        a.shutdown(1)
        assert (mask(a), mask(b), b.recv(1)) == ("OUT", "IN|OUT|RDHUP", b"")
        a.shutdown(0)
        assert (mask(a), mask(b)) == ("IN|OUT|RDHUP|HUP", "IN|OUT|RDHUP|HUP")
        with fails(EINVAL):
            a.shutdown(5)

    def test_addresses_are_not_for_streams(self, stack: Stack) -> None:
        _, a, _ = served(stack)
        with fails(EISCONN):
            a.sendto(b"x", 0, "/run/s")
        fresh = unix(stack)
        with fails(EOPNOTSUPP):
            fresh.sendto(b"x", 0, "/run/s")
        with fails(ENOTCONN):
            fresh.send(b"x")
        with fails(ENOTCONN):
            fresh.getpeername()
        with fails(EINVAL):
            fresh.recv(1)
        assert fresh.ioctl(INQ) == 0

    def test_a_bound_sender_is_named(self, stack: Stack) -> None:
        _, a, c = served(stack)
        c.send(b"x")
        a.send(b"y")
        assert a.recvfrom(9) == (b"x", "/run/s")
        assert c.recvfrom(9) == (b"y", None)

    def test_the_urgent_byte(self, stack: Stack) -> None:
        a, b = pair(stack)
        assert a.send(b"ab!", MSG_OOB) == 3
        a.send(b"cd")
        assert (mask(b), b.ioctl(ATMARK)) == ("IN|PRI|OUT", 0)
        assert b.recv(9, MSG_PEEK) == b"ab"
        assert (b.recv(9), b.ioctl(ATMARK)) == (b"ab", 1)
        assert b.recv(1, MSG_OOB | MSG_PEEK) == b"!"
        assert b.recvmsg(1, 0, MSG_OOB) == (b"!", [], MSG_OOB, None)
        with fails(EINVAL):
            b.recv(1, MSG_OOB)
        assert (mask(b), b.ioctl(ATMARK), b.recv(9, MSG_PEEK), b.recv(9)) == ("IN|OUT", 1, b"cd", b"cd")
        with fails(EOPNOTSUPP):
            a.send(b"", MSG_OOB)

    def test_an_urgent_byte_alone_is_readable_and_dropped_by_reading(self, stack: Stack) -> None:
        a, b = pair(stack)
        a.send(b"!", MSG_OOB)
        assert mask(b) == "IN|PRI|OUT"
        for flags in (MSG_PEEK, 0):
            with fails(EAGAIN):
                b.recv(9, flags)
        assert mask(b) == "OUT"
        a.send(b"!", MSG_OOB)
        b.recv(1, MSG_OOB)
        b.release()
        assert a.getsockopt(1, 4) == 0  # read out of band, it is no unread byte

    def test_a_second_urgent_byte_makes_the_first_one_data(self, stack: Stack) -> None:
        a, b = pair(stack)
        a.send(b"ab1", MSG_OOB)
        a.send(b"2", MSG_OOB)
        a.send(b"c")
        assert [b.recv(9), b.recv(9)] == [b"ab1", b"c"]

    def test_inline_the_byte_stands_in_its_place(self, stack: Stack) -> None:
        a, b = pair(stack)
        b.setsockopt(1, 10, 1)
        a.send(b"ab!", MSG_OOB)
        a.send(b"c")
        assert b.recv(9, MSG_PEEK) == b"ab"
        with fails(EINVAL):
            b.recv(1, MSG_OOB)
        assert [b.recv(9), b.recv(9)] == [b"ab", b"!c"]

    @pytest.mark.parametrize("call", [
        lambda a: a.ioctl(1),
        lambda a: a.sendmsg([b"x"], [(1, RIGHTS, b"\0\0\0\0")]),
    ])  # fmt: skip
    def test_what_is_not_modelled_says_so(self, stack: Stack, call: Any) -> None:
        with pytest.raises(NotModelled):
            call(pair(stack)[0])
        with pytest.raises(NotModelled):
            call(pair(stack, SOCK_DGRAM)[0])


class TestAncillaryData:
    def test_files_travel_and_are_held_on_the_way(self, stack: Stack) -> None:
        a, b = pair(stack)
        passenger = unix(stack, name="/run/p")
        assert a.sendmsg([b"take"], [(1, RIGHTS, [passenger])]) == 4
        passenger.release()
        assert passenger.refs == 1
        assert b.recvmsg(9, 64, MSG_PEEK)[1] == [(1, RIGHTS, [passenger])]
        assert passenger.refs == 2
        passenger.release()
        data, ancillary, flags, _ = b.recvmsg(9, 64)
        assert (data, ancillary, flags, passenger.refs) == (b"take", [(1, RIGHTS, [passenger])], 0, 1)

    def test_files_that_nobody_takes_are_closed(self, stack: Stack) -> None:
        a, b = pair(stack)
        one, two = unix(stack), unix(stack)
        a.sendmsg([b"x"], [(1, RIGHTS, [one])])
        a.sendmsg([b"y"], [(1, RIGHTS, [two])])
        one.release(), two.release()
        assert b.recvmsg(9) == (b"x", [], MSG_CTRUNC, None)  # no room for them
        assert (one.refs, two.refs) == (0, 1)
        b.release()
        assert two.refs == 0

    def test_reading_stops_after_files(self, stack: Stack) -> None:
        a, b = pair(stack)
        passenger = unix(stack)
        a.send(b"a")
        a.sendmsg([b"b"], [(1, RIGHTS, [passenger])])
        a.send(b"c")
        assert [b.recvmsg(9, 64)[0] for _ in range(2)] == [b"ab", b"c"]

    def test_a_record_keeps_its_files_until_its_last_byte(self, stack: Stack) -> None:
        for kind in (SOCK_DGRAM, SOCK_SEQPACKET):
            a, b = pair(stack, kind)
            passenger = unix(stack)
            a.sendmsg([b"abc"], [(1, RIGHTS, [passenger])])
            assert b.recvmsg(2, 64, MSG_PEEK)[1:3] == ([(1, RIGHTS, [passenger])], MSG_TRUNC)
            assert b.recvmsg(2, 64)[1:3] == ([(1, RIGHTS, [passenger])], MSG_TRUNC)

    def test_credentials_for_who_asks(self, stack: Stack) -> None:
        a, b = pair(stack)
        b.setsockopt(*PASSCRED)
        stack.credentials = (7, 0, 0)
        stack.pids = frozenset({7, 8})
        a.send(b"a")
        a.sendmsg([b"b"], [(1, CREDENTIALS, struct.pack("iii", 8, 9, 9))])  # root may say anything
        with fails(ESRCH):
            a.sendmsg([b"b"], [(1, CREDENTIALS, struct.pack("iii", 6, 9, 9))])  # but of nobody who is not there
        assert b.recvmsg(9, 64) == (b"a", [(1, CREDENTIALS, struct.pack("iii", 7, 0, 0))], 0, None)
        assert b.recvmsg(9, 0)[2] == MSG_CTRUNC
        stack.credentials = (7, 5, 5)
        with fails(EPERM):
            a.sendmsg([b"b"], [(1, CREDENTIALS, struct.pack("iii", 8, 9, 9))])

    def test_bad_ancillary_data(self, stack: Stack) -> None:
        a, _ = pair(stack)
        for ancillary, code in (
            ([(1, CREDENTIALS, b"")], EINVAL), ([(1, 9, b"")], EINVAL), ([(1, RIGHTS, [a] * 254)], EINVAL), ([(1, RIGHTS, [1])], EBADF),
        ):  # fmt: skip
            with fails(code):
                a.sendmsg([b"x"], ancillary)


class TestDatagrams:
    def test_records_keep_their_bounds(self, stack: Stack) -> None:
        for kind in (SOCK_DGRAM, SOCK_SEQPACKET):
            a, b = pair(stack, kind)
            for payload in (b"abc", b"", b"de"):
                a.send(payload)
            assert b.ioctl(INQ) == (3 if kind == SOCK_DGRAM else 5)
            assert len(b.recv(2, MSG_TRUNC | MSG_PEEK)) == 3
            assert [b.recv(2), b.recv(2), b.recv(9)] == [b"ab", b"", b"de"]
            assert b.ioctl(INQ) == b.ioctl(OUTQ) == 0
            with fails(EMSGSIZE):
                a.send(bytes(300_000))
            assert a.send(bytes(200_000)) == 200_000
            with fails(EOPNOTSUPP):
                b.ioctl(ATMARK)
            with fails(EOPNOTSUPP):
                b.recv(1, MSG_OOB)
            with fails(EOPNOTSUPP):
                b.send(b"x", MSG_OOB)
            parts = bytearray(1), bytearray(1)
            assert b.recvmsg_into(parts)[2] == MSG_TRUNC

    def test_the_sender_is_named_if_it_has_a_name(self, stack: Stack) -> None:
        server, named, nameless = (
            unix(stack, SOCK_DGRAM, "/run/d"),
            unix(stack, SOCK_DGRAM, b"\0n"),
            unix(stack, SOCK_DGRAM),
        )
        for sender in (named, nameless):
            sender.sendto(b"x", 0, "/run/d")
        assert [server.recvfrom(9), server.recvfrom(9)] == [(b"x", b"\0n"), (b"x", None)]

    def test_a_queue_holds_eleven_from_strangers(self, stack: Stack) -> None:
        server, client = unix(stack, SOCK_DGRAM, "/run/d"), unix(stack, SOCK_DGRAM)
        client.connect("/run/d")
        client.connect("/run/d")
        note = Note()
        client.watch(note)
        for _ in range(11):
            client.send(b"x")
        with fails(EAGAIN):
            client.send(b"x")
        assert mask(client) == "0"
        server.recv(1)
        note.events.clear()
        assert mask(client) == "OUT"
        a, _ = pair(stack, SOCK_DGRAM)
        for _ in range(20):
            a.send(b"x")  # connected to each other: bound by memory only
        while True:
            try:
                a.send(bytes(1000))
            except BlockingIOError:
                break
        assert a.ioctl(OUTQ) >= 212992

    def test_room_in_the_queue_wakes_those_connected(self, stack: Stack) -> None:
        server, client = unix(stack, SOCK_DGRAM, "/run/d"), unix(stack, SOCK_DGRAM)
        other = unix(stack, SOCK_DGRAM)
        for socket in (client, other):
            socket.connect("/run/d")
        for _ in range(11):
            other.send(b"x")
        note = Note()
        client.watch(note)
        assert mask(client) == "0"  # who asks is told, once
        server.recv(1)
        assert len(note.events) == 1
        server.release()
        assert len(note.events) == 1  # it waits for no place any more: Linux says nothing until its next send

    def test_a_connected_socket_hears_only_its_peer(self, stack: Stack) -> None:
        server, client, stranger = (unix(stack, SOCK_DGRAM, name) for name in ("/s", "/c", "/x"))
        server.connect("/c")
        for call in (lambda: stranger.sendto(b"x", 0, "/s"), lambda: stranger.connect("/s")):
            with fails(EPERM):
                call()
        assert client.sendto(b"x", 0, "/s") == 1
        assert server.getpeername() == "/c"

    def test_a_peer_that_went_is_found_by_sending(self, stack: Stack) -> None:
        a, b = pair(stack, SOCK_DGRAM)
        b.send(b"lost with it")
        b.release()
        assert mask(a) == "IN|OUT"
        with fails(ECONNREFUSED):
            a.send(b"x")
        assert mask(a) == "OUT"
        with fails(ENOTCONN):
            a.send(b"x")

    def test_parting_from_a_peer_that_wrote_tells_it(self, stack: Stack) -> None:
        a, b = pair(stack, SOCK_DGRAM)
        unix(stack, SOCK_DGRAM, "/other")
        b.send(b"lost")
        a.connect("/other")
        assert (mask(a), mask(b)) == ("OUT", "OUT|ERR")
        with fails(ECONNRESET):
            b.recv(1)
        a.connect("/other")
        unix(stack, SOCK_DGRAM, "/third")
        a.connect("/third")
        a.release()

    def test_flags_of_shutdown_do_not_cross(self, stack: Stack) -> None:
        a, b = pair(stack, SOCK_DGRAM)
        a.shutdown(1)
        assert (mask(a), mask(b)) == ("OUT", "OUT")
        with fails(EPIPE):
            a.send(b"x")
        a.shutdown(0)
        with fails(EPIPE):
            b.send(b"x")
        with fails(EAGAIN):
            a.recv(1)

    def test_seqpacket_connects_and_tells_errors_first(self, stack: Stack) -> None:
        listener, a, c = served(stack, SOCK_SEQPACKET)
        assert a.sendto(b"x", 0, "/anything") == 1  # the address is ignored
        c.send(b"hello")
        c.release()
        with fails(ECONNRESET):
            a.recv(9)
        assert [a.recvfrom(9), a.recvfrom(9)] == [(b"hello", "/run/s"), (b"", None)]
        with fails(EINVAL):
            listener.ioctl(INQ)
        for call in (lambda: unix(stack, SOCK_SEQPACKET).recv(1), lambda: unix(stack, SOCK_SEQPACKET).send(b"x")):
            with fails(ENOTCONN):
                call()

    def test_an_empty_record_left_unread_resets_nobody(self, stack: Stack) -> None:
        for records, error in (([b""], 0), ([b"", b"x"], ECONNRESET), ([b"x"], ECONNRESET)):
            a, b = pair(stack, SOCK_SEQPACKET)
            for record in records:
                a.send(record)
            b.release()
            assert a.getsockopt(1, 4) == error


def test_the_peers_groups_are_told_where_there_is_room_for_all(stack: Stack) -> None:
    stack.groups = (4, 24, 27)
    one, _ = pair(stack)
    packed = struct.pack("=3I", 4, 24, 27)
    assert one.getsockopt(1, PEERGROUPS, 12) == packed
    assert one.getsockopt(1, PEERGROUPS, 13) == packed
    with fails(ERANGE):
        one.getsockopt(1, PEERGROUPS, 11)
    with fails(ERANGE):  # which asks for a number of four bytes
        one.getsockopt(1, PEERGROUPS, 0)
    stack.groups = (4,)
    assert one.getsockopt(1, PEERGROUPS, 0) == 4
    stack.groups = ()
    assert one.getsockopt(1, PEERGROUPS, 1) == b""
