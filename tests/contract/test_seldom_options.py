"""K-131: what options do that hardly a program sets, and what a buffer too short or a value too odd is told."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.test_options import answers
from tests.contract.worlds import World

IP, IPV6, TCP, SOL = socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP, socket.SOL_SOCKET
SO_BUF_LOCK, SO_RCVMARK, SO_PASSRIGHTS, SO_RCVPRIORITY, SO_INQ = 72, 75, 83, 82, 84
IPV6_2292PKTINFO, IPV6_2292HOPLIMIT, IPV6_FLOWLABEL_MGR, IPV6_MTU, IPV6_ADDR_PREFERENCES = 2, 8, 32, 24, 72
IPV6_MSFILTER = 48
KINDS = ("tcp", "tcp6", "udp", "udp6", "unix")
SWITCH = ((0, 0), (1, 1), (7, 1), (-1, 1))
CTRUNC = int(socket.MSG_CTRUNC)

NOWHERE = b"\1" + bytes(7) + b"\xff" * 8  # a program of one instruction, and where it is not
NO_PROGRAM = (
    *((value, "EINVAL") for value in (1, b"", bytes(15), bytes(16), b"\xff" * 16, bytes(24))),
    (NOWHERE, "EFAULT"),
)
ANY_PROGRAM = tuple((value, "EINVAL" if value == b"" else "EPERM") for value, _ in NO_PROGRAM)

EVERYWHERE: dict[tuple[int, int], Any] = {
    (SOL, 61): (
        0,
        ((bytes(8), "EPERM"), (b"\1" + bytes(7), 1), (b"\1" + bytes(3) + b"\4" + bytes(3), "EINVAL")),
    ),  # SO_TXTIME
    (SOL, 68): ("ENOPROTOOPT", ((1, "EINVAL"), (b"", "EINVAL"))),  # SO_DETACH_REUSEPORT_BPF
    # SO_ATTACH_REUSEPORT_CBPF, which wants a program that is there: its length, and where it is.
    (SOL, 51): ("ENOPROTOOPT", NO_PROGRAM),
    # SO_ATTACH_BPF and SO_ATTACH_REUSEPORT_EBPF, which want the number of one.
    **{
        (SOL, name): ("ENOPROTOOPT", ((1, "EINVAL"), (-1, "EBADF"), (2**31 - 1, "EBADF"), (bytes(3), "EINVAL")))
        for name in (50, 52)
    },
    (SOL, SO_BUF_LOCK): (0, ((0, 0), (1, 1), (2, 2), (3, 3), (4, "EINVAL"), (-1, "EINVAL"), (b"1", "EINVAL"))),
    (SOL, SO_RCVMARK): (0, SWITCH),
    (SOL, SO_RCVPRIORITY): (0, SWITCH),
}
OF_IPV6: dict[tuple[int, int], Any] = {
    **{(IPV6, name): (0, SWITCH) for name in (2, 3, 4, 5, 8)},  # IPV6_2292PKTINFO ... IPV6_2292HOPLIMIT
    (IPV6, IPV6_MTU): ("ENOTCONN", ((1, "EINVAL"), (1279, "EINVAL"), (b"", "EINVAL"))),
    (IPV6, IPV6_ADDR_PREFERENCES): (
        1280,
        (
            (0, 1280),
            (1, 1025),
            (2, 1026),
            (4, 260),
            (5, 5),
            (3, "EINVAL"),
            (8, 1280),
            (2056, "EINVAL"),
            (1028, "EINVAL"),
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_k131_what_seldom_options_tell_and_refuse(world: World, kind: str) -> None:
    table = {
        **EVERYWHERE,
        **(OF_IPV6 if kind.endswith("6") else {}),
        **({} if kind == "unix" else {(IP, 23): (0, SWITCH)}),
        (SOL, 26): (0, ANY_PROGRAM if kind.startswith("tcp") else NO_PROGRAM),  # SO_ATTACH_FILTER
    }
    assert answers(world, kind, table) == table


def test_k131_a_device_gives_memory_to_tcp_alone(world: World) -> None:
    dont_need = (SOL, 80)  # SO_DEVMEM_DONTNEED
    stream, other = world.socket(), world.socket(kind=socket.SOCK_DGRAM)
    for value, told in (
        (bytes(8), None),
        (bytes(1024), None),
        (bytes(1032), "EINVAL"),
        (bytes(12), "EINVAL"),
        (1, "EINVAL"),
    ):
        world.gives(told, stream.setsockopt, *dont_need, value)
        world.gives("EBADF", other.setsockopt, *dont_need, value)
    world.gives("EINVAL", other.setsockopt, *dont_need, b"123")


def test_k131_who_shares_a_port_has_no_program_to_take_away(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = world.socket(kind=kind)
        sock.setsockopt(SOL, socket.SO_REUSEPORT, 1)
        world.gives("ENOENT", sock.setsockopt, SOL, 68, 1)


def test_k131_a_buffer_that_was_set_or_locked_keeps_its_size(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.setsockopt(SOL, socket.SO_RCVBUF, 5000)
    assert sock.getsockopt(SOL, SO_BUF_LOCK) == 2
    sock.setsockopt(SOL, SO_BUF_LOCK, 0)
    assert (sock.getsockopt(SOL, SO_BUF_LOCK), sock.getsockopt(SOL, socket.SO_RCVBUF)) == (0, 10000)
    sock.setsockopt(SOL, socket.SO_SNDBUF, 5000)
    assert sock.getsockopt(SOL, SO_BUF_LOCK) == 1
    listener = world.listener(options={(SOL, SO_BUF_LOCK): 3})
    client = world.client(listener)
    server = world.accept(listener)
    sizes = [[end.getsockopt(SOL, name) for name in (SO_BUF_LOCK, socket.SO_SNDBUF)] for end in (client, server)]
    assert sizes == [[0, 3_939_840], [3, 16384]]  # which else grows with the connection


TIMES = (  # told in ticks of 4 ms
    (44, 120_000, ((999, "EINVAL"), (1000, 1000), (4001, 4004), (119_999, 120_000), (120_001, "EINVAL"))),
    *((name, 200_000, ((4000, "EINVAL"), (4001, 8000), (119_999, 120_000), (200_001, "EINVAL"))) for name in (45, 46)),
)


@pytest.mark.parametrize(("name", "default", "told"), TIMES, ids=["RTO_MAX_MS", "RTO_MIN_US", "DELACK_MAX_US"])
def test_k131_a_socket_that_is_not_open_keeps_the_times_of_its_packets(
    world: World, name: int, default: int, told: Any
) -> None:
    sock = world.socket()
    assert sock.getsockopt(TCP, name) == default
    for value, wanted in told:
        refused = wanted == "EINVAL"
        world.gives("EINVAL" if refused else None, sock.setsockopt, TCP, name, value)
        assert refused or sock.getsockopt(TCP, name) == wanted


@pytest.mark.parametrize(("level", "name"), [(IP, 21), (IPV6, 73)])
def test_k131_it_keeps_how_far_packets_may_come_too(world: World, level: int, name: int) -> None:
    sock = world.socket(socket.AF_INET6)
    for value in (64, 254, 255):
        sock.setsockopt(level, name, value)
        assert sock.getsockopt(level, name) == value
    world.gives("EINVAL", sock.setsockopt, level, name, 256)


def test_k131_a_buffer_that_was_only_locked_is_let_go(world: World) -> None:
    sock = world.socket()
    before = sock.getsockopt(SOL, socket.SO_RCVBUF)
    for locks in (3, 2, 0):
        sock.setsockopt(SOL, SO_BUF_LOCK, locks)
        assert (sock.getsockopt(SOL, SO_BUF_LOCK), sock.getsockopt(SOL, socket.SO_RCVBUF)) == (locks, before)


def test_k131_packet_options_that_are_nowhere(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = world.socket(socket.AF_INET6, kind)
        world.gives("EFAULT", sock.setsockopt, IPV6, 6, None, 4)
        world.gives(None, sock.setsockopt, IPV6, 6, None, 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_the_routes_of_groups_are_for_raw_sockets(world: World, kind: int) -> None:
    for family, level in ((socket.AF_INET, IP), (socket.AF_INET6, IP), (socket.AF_INET6, IPV6)):
        sock = world.socket(family, kind)
        for name in range(199, 214):
            told = "ENOTSUP" if 200 <= name <= 212 else "ENOPROTOOPT"  # MRT_INIT ... MRT_FLUSH, and MRT6_INIT ...
            world.gives(told, sock.getsockopt, level, name)
            for value in (1, b""):
                world.gives(told, sock.setsockopt, level, name, value)


def between(world: World, ip: str, options: Any, *sender: Any) -> tuple[Any, Any]:
    here, there = (world.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    here.bind((ip, 0))
    for option in options:
        here.setsockopt(*option, 1)
    for option in sender:
        there.setsockopt(*option)
    there.connect(here.getsockname())
    return here, there


def test_k131_the_priority_and_the_mark_of_a_datagram_are_told(world: World) -> None:
    both = [(SOL, SO_RCVPRIORITY), (SOL, SO_RCVMARK)]

    def hears(priority: int, ip: str, *sender: Any, beside: Any = ()) -> None:
        here, there = between(world, ip, both, *sender)
        there.sendmsg([b"x"], beside)
        world.readable(here)
        told = [(SOL, socket.SO_MARK, bytes(4)), (SOL, socket.SO_PRIORITY, struct.pack("i", priority))]
        assert here.recvmsg(9, 200)[:3] == (b"x", told, 0)

    for ip in (world.ip, "::1"):
        hears(0, ip)
        hears(3, ip, (SOL, socket.SO_PRIORITY, 3))
        hears(5, ip, (SOL, socket.SO_PRIORITY, 3), beside=[(SOL, socket.SO_PRIORITY, struct.pack("i", 5))])
    hears(6, world.ip, (IP, socket.IP_TOS, 16))
    hears(2, world.ip, beside=[(IP, socket.IP_TOS, struct.pack("i", 8))])
    hears(0, "::1", (IPV6, socket.IPV6_TCLASS, 16))


def test_k131_a_stream_and_a_unix_socket_tell_no_priority(world: World) -> None:
    client, server = world.pair()
    one, two = map(world.keep, socket.socketpair(type=socket.SOCK_DGRAM))
    for sender, hearer in ((client, server), (one, two)):
        hearer.setsockopt(SOL, SO_RCVPRIORITY, 1)
        sender.send(b"x")
        world.readable(hearer)
        assert hearer.recvmsg(9, 200)[:3] == (b"x", [], 0)


def test_k131_ipv6_tells_where_a_datagram_came_in_by_the_older_numbers_too(world: World) -> None:
    older = [(IPV6, name) for name in (IPV6_2292PKTINFO, 3, 4, 5, IPV6_2292HOPLIMIT)]
    here, there = between(world, "::1", [*older, (IPV6, socket.IPV6_RECVPKTINFO), (IPV6, 74)], (IPV6, 16, 9))
    there.send(b"x")
    world.readable(here)
    where = bytes(15) + b"\1" + struct.pack("i", 1)
    told = here.recvmsg(9, 300)[1]
    assert told[:3] == [
        (IPV6, socket.IPV6_PKTINFO, where),
        (IPV6, IPV6_2292PKTINFO, where),
        (IPV6, 8, struct.pack("i", 9)),
    ]
    assert [message[:2] for message in told[3:]] == [(IPV6, 74)]  # IPV6_ORIGDSTADDR


def test_k106_a_unix_stream_tells_how_many_bytes_are_left(world: World) -> None:
    left, right = map(world.keep, socket.socketpair())
    for value, told in ((2, "EINVAL"), (-1, "EINVAL"), (bytes(8), "EINVAL"), (b"", "EINVAL"), (1, None)):
        world.gives(told, right.setsockopt, SOL, SO_INQ, value)
    world.gives("ENOPROTOOPT", right.getsockopt, SOL, SO_INQ)
    left.send(b"hello")
    left.send(b"more")

    def rest(number: int) -> list[Any]:
        return [(SOL, SO_INQ, struct.pack("i", number))]

    assert right.recvmsg(3, 200, socket.MSG_PEEK)[:3] == (b"hel", rest(9), 0)
    assert right.recvmsg(3, 200)[:3] == (b"hel", rest(6), 0)
    assert right.recvmsg(1, 0)[:3] == (b"l", [], CTRUNC)
    assert right.recv(9) == b"omore"
    left.send(b"x")
    left.close()
    assert right.recvmsg(9, 200)[:3] == (b"x", rest(0), 0)
    assert right.recvmsg(9, 200)[:3] == (b"", rest(0), 0)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        world.gives("ENOPROTOOPT", world.socket(socket.AF_UNIX, kind).setsockopt, SOL, SO_INQ, 1)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_k106_who_takes_no_files_is_sent_none(world: World, kind: int) -> None:
    left, right = map(world.keep, socket.socketpair(type=kind))
    reader, writer = os.pipe()
    socket.send_fds(left, [b"before"], [writer])
    right.setsockopt(SOL, SO_PASSRIGHTS, 0)
    world.gives("EPERM", socket.send_fds, left, [b"x"], [writer])
    assert left.send(b"plain") == 5
    socket.send_fds(right, [b"back"], [writer])
    data, numbers, _, _ = socket.recv_fds(right, 6, 1)
    assert (data, len(numbers)) == (b"before", 1)  # which was on its way
    for each in (reader, writer, *numbers, *socket.recv_fds(left, 9, 1)[1]):
        os.close(each)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_k111_a_send_of_files_that_is_refused_is_an_edge(world: World, kind: int) -> None:
    left, right = map(world.keep, socket.socketpair(socket.AF_UNIX, kind))
    right.setsockopt(SOL, SO_PASSRIGHTS, 0)
    with select.epoll() as epoll:
        epoll.register(left, select.EPOLLOUT | select.EPOLLET)
        assert [len(epoll.poll(0)) for _ in range(2)] == [1, 0]
        world.gives("EPERM", socket.send_fds, left, [b"x"], [left.fileno()])
        assert [len(epoll.poll(0)) for _ in range(2)] == [1, 0]


def test_k106_the_child_of_a_listener_takes_no_files_either(world: World) -> None:
    listener, client = world.socket(socket.AF_UNIX), world.socket(socket.AF_UNIX)
    listener.bind(world.abstract("no files"))
    listener.listen()
    listener.setsockopt(SOL, SO_PASSRIGHTS, 0)
    client.connect(listener.getsockname())
    reader, writer = os.pipe()
    world.gives("EPERM", socket.send_fds, client, [b"x"], [writer])
    os.close(reader)
    os.close(writer)
    assert (client.getsockopt(SOL, SO_PASSRIGHTS), world.accept(listener).getsockopt(SOL, SO_PASSRIGHTS)) == (1, 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_what_is_wrong_with_a_request_for_a_flow_label(world: World, kind: int) -> None:
    def request(action: int = 0, flags: int = 0, share: int = 0, label: int = 0, ip: str = "::1") -> bytes:
        head = socket.inet_pton(socket.AF_INET6, ip) + struct.pack("!I", label)
        return head + struct.pack("=BBHHHI", action, share, flags, 0, 0, 0)

    sock = world.socket(socket.AF_INET6, kind)
    refused = {
        request()[:31]: "EINVAL",
        request(): "EINVAL",
        request(label=5): "EINVAL",
        request(1, label=5): "ESRCH",
        request(1, flags=4): "ESRCH" if kind == socket.SOCK_STREAM else "ENOPROTOOPT",
        request(2, label=5): "ESRCH",
        request(3): "EINVAL",
        request(flags=4): "EPERM",
        request(flags=1, label=78): "EINVAL",
        request(flags=1, share=1, label=81, ip="::"): "EINVAL",
        request(flags=1, share=1, label=83, ip="::ffff:127.0.0.1"): "EINVAL",
        request(flags=1, share=1, label=0x12345678): "EINVAL",
    }
    assert {value: outcome(lambda: sock.setsockopt(IPV6, IPV6_FLOWLABEL_MGR, value)) for value in refused} == refused  # noqa: B023
    world.gives("EINVAL", sock.getsockopt, IPV6, IPV6_FLOWLABEL_MGR, 31)
    world.gives("EINVAL", sock.getsockopt, IPV6, IPV6_MSFILTER, 143)


def test_k131_the_older_messages_for_all_that_is_sent_are_none(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = world.socket(socket.AF_INET6, kind)
        for value, told in ((b"", None), (1, None), (bytes(15), None), (bytes(16), "EINVAL"), (b"\xff" * 20, "EINVAL")):
            world.gives(told, sock.setsockopt, IPV6, 6, value)  # IPV6_2292PKTOPTIONS


def test_k131_a_stream_takes_any_length_of_a_packet_over_ipv6(world: World) -> None:
    client, _ = world.pair("::1")
    for size in (0, 1280, 65536):
        client.setsockopt(IPV6, IPV6_MTU, size)
        assert client.getsockopt(IPV6, IPV6_MTU) == 65536
    world.gives("EINVAL", client.setsockopt, IPV6, IPV6_MTU, 1279)


def test_k131_who_is_bound_to_a_link_sends_from_no_other(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(SOL, socket.SO_BINDTODEVICE, b"lo")
    world.gives("EINVAL", sock.setsockopt, IPV6, socket.IPV6_PKTINFO, bytes(20))


def test_k131_a_socket_tells_what_its_buffers_hold_and_may_hold(world: World) -> None:
    def told(sock: Any) -> tuple[int, ...]:
        return struct.unpack("9I", sock.getsockopt(SOL, 55, 36))  # SO_MEMINFO

    listener = world.listener()
    client = world.client(listener)
    server = world.accept(listener)
    assert told(world.socket()) == told(listener) == (0, 131072, 0, 16384, 0, 0, 0, 0, 0)
    assert told(client) == told(server) == (0, 131072, 0, 3_939_840, 0, 0, 0, 0, 0)
    assert client.getsockopt(SOL, 55, 5) == bytes(5)
    datagrams = world.socket(kind=socket.SOCK_DGRAM)
    datagrams.setsockopt(SOL, socket.SO_RCVBUF, 5000)
    assert told(datagrams) == (0, 10000, 0, 212992, 0, 0, 0, 0, 0)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        left, right = map(world.keep, socket.socketpair(type=kind))
        left.send(b"abc")
        assert (told(left), told(right)) == (
            (0, 212992, 768, 212992, 0, 0, 0, 0, 0),
            (0, 212992, 0, 212992, 0, 0, 0, 0, 0),
        )
        right.recv(9)
        assert told(left) == told(right)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(
    ("message", "data", "answer"),
    [
        pytest.param(37, bytes(4), 1, id="SO_TIMESTAMPING-of-nothing"),
        pytest.param(65, bytes(4), 1, id="SO_TIMESTAMPING_NEW-of-nothing"),
        pytest.param(37, b"", "EINVAL", id="SO_TIMESTAMPING-empty"),
        pytest.param(37, b"\x10\0\0\0", "EINVAL", id="SO_TIMESTAMPING-not-of-what-is-sent"),
        pytest.param(61, bytes(8), "EINVAL", id="SCM_TXTIME-without-SO_TXTIME"),
        pytest.param(81, bytes(4), "EINVAL", id="SCM_TS_OPT_ID-without-SO_TIMESTAMPING"),
    ],
)
def test_k131_a_message_that_goes_with_an_option_is_refused_without(
    world: World, kind: int, message: int, data: bytes, answer: object
) -> None:
    sock = world.pair()[0] if kind == socket.SOCK_STREAM else world.socket(kind=kind)
    if kind == socket.SOCK_DGRAM:
        sock.bind((world.ip, 0))
        sock.connect(sock.getsockname())
    world.gives(answer, sock.sendmsg, [b"x"], [(SOL, message, data)])


def test_k131_a_clock_of_milliseconds_stamps_segments(world: World) -> None:
    sock = world.socket()
    before = sock.getsockopt(TCP, 24)  # TCP_TIMESTAMP
    time.sleep(0.003)
    assert 2 <= (sock.getsockopt(TCP, 24) - before) % 2**32 < 60_000
    world.gives("EPERM", sock.setsockopt, TCP, 24, 1)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_k131_who_asks_for_packets_of_ipsec_gets_all_else(world: World, ip: str) -> None:
    wraps = (socket.IPPROTO_UDP, 100)  # UDP_ENCAP
    here, there = (world.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    here.bind((ip, 0))
    here.setsockopt(*wraps, 2)
    for taken_out in (b"\xff", b"123456789"):
        there.sendto(taken_out, here.getsockname())
        world.gives("EAGAIN", here.recv, 99)
    for read in (b"", b"x", b"\xff\xff", b"12345678", bytes(4) + b"56789"):
        there.sendto(read, here.getsockname())
        world.gives(read, here.recv, 99)
    here.setsockopt(*wraps, 0)
    there.sendto(b"123456789", here.getsockname())
    world.gives(b"123456789", here.recv, 99)


@pytest.mark.parametrize("kind", [2, 3])
def test_k087_who_asks_for_wrapped_packets_hears_of_no_dead_port(world: World, kind: int) -> None:
    here = world.socket(kind=socket.SOCK_DGRAM)
    here.connect((world.ip, world.dead_port()))
    here.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    here.setsockopt(socket.IPPROTO_UDP, 100, kind)  # UDP_ENCAP
    here.send(b"x")
    world.pause()
    world.ready(here, "OUT")
    here.setsockopt(socket.IPPROTO_UDP, 100, 0)
    here.send(b"x")
    world.ready(here, "OUT|ERR")
