"""What goes beside datagrams: messages of recvmsg and sendmsg, the error queue, and what a cork collects."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

IP, IPV6, UDP, SOL = socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_UDP, socket.SOL_SOCKET
IP_PKTINFO, IP_RECVERR, IP_RECVTTL, IP_RECVORIGDSTADDR, IPV6_RECVERR, UDP_CORK, IP_CHECKSUM = 8, 11, 12, 20, 25, 1, 23
UDP_SEGMENT, UDP_GRO = 103, 104
SO_NO_CHECK, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX = 11, 101, 102
IP_RECVOPTS, IPV6_2292PKTINFO, IPV6_2292HOPLIMIT, IPV6_FLOWINFO = 6, 2, 8, 11
SO_TIMESTAMP, SO_TIMESTAMPNS, SO_PEEK_OFF = 29, 35, 42
MORE, ERRQUEUE, CTRUNC = int(socket.MSG_MORE), int(socket.MSG_ERRQUEUE), int(socket.MSG_CTRUNC)
OPTIONS = {
    4: [(IP, IP_PKTINFO), (IP, IP_RECVTTL), (IP, socket.IP_RECVTOS), (IP, IP_RECVORIGDSTADDR)],
    6: [(IPV6, socket.IPV6_RECVPKTINFO), (IPV6, socket.IPV6_RECVHOPLIMIT), (IPV6, socket.IPV6_RECVTCLASS)],
}


MSG_PROBE = 0x10


def bound(world: World, family: int = 4, options: Any = ()) -> Any:
    sock = world.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    for option in options:
        sock.setsockopt(*option, 1)
    sock.bind((world.ip if family == 4 else "::1", 0))
    return sock


def number(value: int) -> bytes:
    return struct.pack("i", value)


def test_k131_a_datagram_tells_where_it_came_in_and_with_which_tos_and_ttl(world: World) -> None:
    here, ip = bound(world, 4, OPTIONS[4]), socket.inet_aton(world.ip)
    there = bound(world)
    there.setsockopt(IP, socket.IP_TOS, 8)
    there.sendto(b"x", here.getsockname())
    world.readable(here)
    data, messages, flags, source = here.recvmsg(9, 200)
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(here.getsockname()[1]), ip)
    assert (data, flags, source) == (b"x", 0, there.getsockname())
    assert messages == [
        (IP, IP_PKTINFO, number(1) + ip + ip),
        (IP, socket.IP_TTL, number(64)),
        (IP, socket.IP_TOS, b"\x08"),
        (IP, IP_RECVORIGDSTADDR, address),
    ]


def test_k131_a_datagram_is_told_with_the_time_it_came(world: World) -> None:
    here, there = bound(world), bound(world)
    there.connect(here.getsockname())
    one, other = map(world.keep, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    for reader, writer in ((here, there), (one, other)):
        writer.send(b"early")
        for option, unit in ((SO_TIMESTAMP, 1e6), (SO_TIMESTAMPNS, 1e9)):
            reader.setsockopt(SOL, option, 1)
            writer.send(b"late")
            for flags in (socket.MSG_PEEK, 0):  # also what came before anybody asked
                world.readable(reader)
                ((level, kind, stamp),) = reader.recvmsg(9, 100, flags)[1]
                seconds, parts = struct.unpack("=qq", stamp)
                assert (level, kind) == (SOL, option)
                assert abs(seconds + parts / unit - time.time()) < 5
        assert [reader.getsockopt(SOL, each) for each in (SO_TIMESTAMP, SO_TIMESTAMPNS)] == [0, 1]
        reader.setsockopt(SOL, SO_TIMESTAMP, 0)  # puts out the other kind too
        assert reader.getsockopt(SOL, SO_TIMESTAMPNS) == 0
        assert reader.recvmsg(9, 100)[:2] == (b"late", [])


def test_k131_what_is_collected_has_the_tos_of_its_first_part_and_the_ttl_of_its_last(world: World) -> None:
    here, there = bound(world, 4, OPTIONS[4][1:3]), bound(world)
    there.setsockopt(IP, socket.IP_TOS, 8)
    there.sendto(b"x", MORE, here.getsockname())
    there.setsockopt(IP, socket.IP_TOS, 16)
    there.setsockopt(IP, socket.IP_TTL, 9)
    there.sendto(b"y", here.getsockname())
    world.readable(here)
    assert here.recvmsg(9, 100)[:2] == (b"xy", [(IP, socket.IP_TTL, number(9)), (IP, socket.IP_TOS, b"\x08")])


def test_k131_so_does_one_of_ipv6(world: World) -> None:
    here, there = bound(world, 6, OPTIONS[6]), bound(world, 6)
    there.setsockopt(IPV6, socket.IPV6_UNICAST_HOPS, 9)
    there.sendmsg([b"x"], [(IPV6, socket.IPV6_TCLASS, number(5))], 0, here.getsockname())
    world.readable(here)
    assert here.recvmsg(9, 200)[1] == [
        (IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, "::1") + number(1)),
        (IPV6, socket.IPV6_HOPLIMIT, number(9)),
        (IPV6, socket.IPV6_TCLASS, number(5)),
    ]
    there.sendmsg([b"x"], [(IPV6, socket.IPV6_HOPLIMIT, number(0))], 0, here.getsockname())
    world.readable(here)
    assert here.recvmsg(9, 200)[1][1] == (IPV6, socket.IPV6_HOPLIMIT, number(0))


def test_k131_what_was_queued_before_knows_no_link(world: World) -> None:
    here = bound(world)
    bound(world).sendto(b"x", here.getsockname())
    world.readable(here)
    here.setsockopt(IP, IP_PKTINFO, 1)
    assert here.recvmsg(9, 200)[1] == [(IP, IP_PKTINFO, bytes(8) + socket.inet_aton(world.ip))]


def test_k131_messages_are_cut_to_the_buffer(world: World) -> None:
    here, there = bound(world, 4, OPTIONS[4][1:3]), bound(world)
    told = []
    for room in (0, 15, 16, 18, 20, 24, 39, 40, 41):
        there.sendto(b"x", here.getsockname())
        world.readable(here)
        _, messages, flags, _ = here.recvmsg(9, room)
        told.append((room, [len(data) for _, _, data in messages], flags))
    assert told == [
        (0, [], CTRUNC),
        (15, [], CTRUNC),
        (16, [0], CTRUNC),
        (18, [2], CTRUNC),
        (20, [4], CTRUNC),
        (24, [4], CTRUNC),
        (39, [4], CTRUNC),
        (40, [4, 0], CTRUNC),
        (41, [4, 1], 0),
    ]


@pytest.mark.parametrize(
    ("ip", "answer"),
    [
        ("224.1.2.3", "EINVAL"),
        ("255.255.255.255", "EINVAL"),
        ("127.255.255.255", "ENETUNREACH"),
        ("0.0.0.1", "ENETUNREACH"),
        ("240.0.0.1", "ENETUNREACH"),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("link", [0, 1, 99])
def test_k131_no_datagram_comes_from_an_address_of_several_hosts(
    world: World, ip: str, answer: str, mapped: bool, link: int
) -> None:
    here = bound(world, 4)
    there = world.socket(socket.AF_INET6 if mapped else socket.AF_INET, socket.SOCK_DGRAM)
    source = (IP, IP_PKTINFO, number(link) + socket.inet_aton(ip) + bytes(4))
    to = ("::ffff:" * mapped + world.ip, here.getsockname()[1])
    world.gives(answer, there.sendmsg, [b"x"], [source], 0, to)
    world.gives(answer, there.sendmsg, [b"x"], [source], socket.MSG_DONTROUTE, to)
    there.connect(to)
    world.gives(answer, there.sendmsg, [b"x"], [source])


@pytest.mark.parametrize(
    ("beside", "known"),
    [
        ((), True),
        (((socket.IPPROTO_UDP, 103, bytes(2)),), True),  # UDP_SEGMENT
        (((99, 1, b"another's"),), False),
        (((socket.IPPROTO_UDP, 103, bytes(2)), (IP, socket.IP_TTL, number(7))), False),
    ],
    ids=["nothing", "of UDP", "of nobody", "of both"],
)
def test_k084_what_is_said_to_udp_itself_leaves_the_way_as_it_is_known(world: World, beside: Any, known: bool) -> None:
    here = bound(world)
    there = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    there.connect(here.getsockname())
    there.setsockopt(IP, socket.IP_TOS, 8)
    there.sendmsg([b"x"], beside)
    world.gives(65535 if known else "ENOTCONN", there.getsockopt, IP, 14)  # IP_MTU
    world.gives("EACCES", there.connect, ("255.255.255.255", here.getsockname()[1]))
    for _ in range(3):
        there.sendmsg([b"y"], beside)
    world.pause()
    # By a way that is known it is looked up once where its peer is, and then what the failed connect left.
    assert [here.recv(9) for _ in range(2 if known else 4)][1:] == [b"y"] * (1 if known else 3)
    world.gives("EAGAIN", here.recv, 9)


def test_k131_what_sendmsg_may_say_beside_a_datagram(world: World) -> None:
    here, there = bound(world, 4, OPTIONS[4][1:3]), world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    there.bind(("", 0))
    source = (IP, IP_PKTINFO, number(0) + socket.inet_aton(world.other_ip) + bytes(4))
    there.sendmsg([b"x"], [(IP, socket.IP_TTL, number(7)), source, (99, 1, b"another's")], 0, here.getsockname())
    world.readable(here)
    _, messages, _, (ip, _) = here.recvmsg(9, 200)
    assert (messages[0], ip) == ((IP, socket.IP_TTL, number(7)), world.other_ip)
    source = (IP, IP_PKTINFO, number(0) + socket.inet_aton(world.ip) + bytes(4))
    there.sendmsg([b"to itself"], [source], 0, ("0.0.0.0", here.getsockname()[1]))  # which is who sends it
    world.gives(b"to itself", here.recv, 9)
    there.sendmsg([b"any priority"], [(SOL, socket.SO_PRIORITY, number(1))], 0, here.getsockname())
    world.gives(b"any priority", here.recv, 20)
    there.sendmsg([b"any protocol"], [(IP, 52, number(99))], 0, here.getsockname())  # IP_PROTOCOL, of a raw socket
    world.gives(b"any protocol", here.recv, 20)
    refused = [
        ((IP, 52, number(0)), "EINVAL"),
        ((IP, 52, number(256)), "EINVAL"),
        ((IP, socket.IP_TTL, number(0)), "EINVAL"),
        ((IP, socket.IP_TTL, b"1"), "EINVAL"),
        ((IP, socket.IP_TOS, number(256)), "EINVAL"),
        ((IP, 99, b""), "EINVAL"),
        ((SOL, 99, b""), "EINVAL"),
        ((SOL, socket.SO_PRIORITY, b"1"), "EINVAL"),
        ((SOL, socket.SO_PRIORITY, number(7)), "EPERM"),
        ((SOL, socket.SO_MARK, bytes(8)), "EPERM"),
        ((IP, IP_PKTINFO, bytes(11)), "EINVAL"),
        ((IP, IP_PKTINFO, number(0) + socket.inet_aton("10.9.9.9") + bytes(4)), "ENETUNREACH"),
        ((IP, IP_PKTINFO, number(77) + bytes(8)), "ENODEV"),
    ]
    for message, error in refused:
        world.gives(error, there.sendmsg, [b"x"], [message], 0, here.getsockname())


def test_k087_an_error_queue_keeps_what_became_of_which_datagram(world: World) -> None:
    for family, option, ee, peer in (
        (4, (IP, IP_RECVERR), (111, 2, 3, 3), struct.pack("=HH4s8x", 2, 0, socket.inet_aton(world.ip))),
        (6, (IPV6, IPV6_RECVERR), (111, 3, 1, 4), struct.pack("=HH4x16s4x", 10, 0, bytes(15) + b"\1")),
    ):
        dead, sock = bound(world, family), bound(world, family, [option])
        name = dead.getsockname()
        dead.close()
        for _ in range(2):  # it is not connected, and hears it all the same
            sock.sendto(b"nobody", name)
            world.ready(sock, "OUT|ERR")
            assert world.error(sock) == "ECONNREFUSED"
        sock.setsockopt(SOL, 45, 1)  # SO_SELECT_ERR_QUEUE
        world.ready(sock, "PRI|OUT|ERR")
        told = (b"nobody", [(*option, struct.pack("=IBBBxII", *ee, 0, 0) + peer)], ERRQUEUE, name)
        assert sock.recvmsg(100, 100, ERRQUEUE) == told
        assert world.error(sock) == "ECONNREFUSED"  # the next one's
        assert sock.recvfrom(3, ERRQUEUE) == (b"nob", name)
        world.ready(sock, "OUT")
        world.gives("EAGAIN", sock.recv, 9, ERRQUEUE)


@pytest.mark.parametrize(("family", "option"), [(4, (IP, IP_RECVERR)), (6, (IPV6, IPV6_RECVERR))])
def test_k087_an_error_queue_tells_when_a_word_came_and_no_mark_or_priority(
    world: World, family: int, option: tuple[int, int]
) -> None:
    dead = bound(world, family)
    sock = bound(world, family, [option, (SOL, 75), (SOL, 82)])  # SO_RCVMARK, SO_RCVPRIORITY
    sock.setsockopt(SOL, 37, 0x18)  # SO_TIMESTAMPING: what software notes of what comes in
    name = dead.getsockname()
    dead.close()

    def told() -> list[Any]:
        world.pause()  # a kernel begins to note times a moment after it was asked
        sock.sendto(b"nobody", name)
        world.ready(sock, "OUT|ERR")
        return [message[:2] for message in sock.recvmsg(100, 300, ERRQUEUE)[1]]

    world.counts([(SOL, 37), option], told)


def test_k087_a_datagram_too_long_is_told_by_the_queue_too(world: World) -> None:
    sock = bound(world, 4, [(IP, IP_RECVERR)])
    world.gives("EMSGSIZE", sock.sendto, bytes(65508), (world.ip, 9))
    world.ready(sock, "OUT|ERR")
    assert world.error(sock) == "0"
    told = struct.pack("=IBBBxII", 90, 1, 0, 0, 65535, 0) + bytes(16)
    assert sock.recvmsg(9, 100, ERRQUEUE) == (b"", [(IP, IP_RECVERR, told)], ERRQUEUE, (world.ip, 0))
    for discovery, mtu in ((1, 65535), (3, 65536), (4, 65536), (5, 65536)):
        sock.setsockopt(IP, 10, discovery)  # IP_MTU_DISCOVER: by the way, or by the link alone
        world.gives("EMSGSIZE", sock.sendto, bytes(65509), (world.ip, 9))
        [(_, _, told)] = sock.recvmsg(9, 100, ERRQUEUE)[1]
        assert struct.unpack_from("I", told, 8) == (mtu,)
    world.gives("EMSGSIZE", sock.sendto, bytes(65508), (world.ip, 9))
    sock.setsockopt(IP, IP_RECVERR, 0)  # and forgets
    world.ready(sock, "OUT")


def test_k089_a_cork_collects_until_it_is_taken_off(world: World) -> None:
    here, sock = bound(world), bound(world)
    sock.connect(here.getsockname())
    sock.setsockopt(UDP, UDP_CORK, 1)
    for part in (b"one ", b"two ", b"three"):
        assert sock.send(part) == len(part)
    assert world.ioctl(sock, "SIOCOUTQ") == 832 + 4 + 5  # the memory of a small one, and what was added
    world.pause()
    world.ready(here, "OUT")
    sock.setsockopt(UDP, UDP_CORK, 0)
    world.readable(here)
    assert here.recv(99) == b"one two three"
    assert world.ioctl(sock, "SIOCOUTQ") == 0


def test_k089_who_collects_for_another_sends_there_until_connected_anew(world: World) -> None:
    peer, other, sock = bound(world), bound(world), bound(world)
    sock.connect(peer.getsockname())
    sock.sendto(b"for ", MORE, other.getsockname())
    sock.send(b"the other")
    sock.send(b"and this")  # IPv4 has one place for where a socket sends
    answers = []
    for _ in range(2):
        world.readable(other)
        answers.append(other.recv(99))
    assert answers == [b"for the other", b"and this"]
    assert sock.getpeername() == peer.getsockname()
    sock.connect(peer.getsockname())
    sock.send(b"home")
    world.readable(peer)
    assert peer.recv(99) == b"home"
    assert select.select([other], [], [], 0) == ([], [], [])
    assert outcome(lambda: other.recv(9)) == "EAGAIN"


def test_k089_who_begins_to_collect_for_its_peer_sends_there_again(world: World) -> None:
    peer, other, sock = bound(world), world.socket(kind=socket.SOCK_DGRAM), bound(world)
    other.bind((world.other_ip, 0))
    sock.connect(peer.getsockname())
    sock.sendto(b"for ", MORE, other.getsockname())
    sock.send(b"the other")
    sock.send(b"he", MORE)
    sock.send(b"re")
    sock.send(b"home")
    world.gives(b"here", peer.recv, 99)
    world.gives(b"home", peer.recv, 99)
    world.gives(b"for the other", other.recv, 99)


def test_k089_who_uses_no_route_names_its_peer_each_time(world: World) -> None:
    peer, other, sock = bound(world), bound(world), bound(world)
    sock.connect(peer.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    sock.send(b"first")
    sock.sendto(b"for ", MORE, other.getsockname())
    sock.send(b"the other")
    sock.send(b"home")
    for reader, data in ((peer, b"first"), (other, b"for the other"), (peer, b"home")):
        world.readable(reader)
        world.gives(data, reader.recv, 99)


def test_k089_who_is_bound_to_another_link_looks_its_way_up_anew(world: World) -> None:
    peer, other, sock = bound(world), bound(world), bound(world)
    sock.connect(peer.getsockname())
    sock.sendto(b"for ", MORE, other.getsockname())
    sock.send(b"the other")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
    sock.send(b"home")
    for reader, data in ((other, b"for the other"), (peer, b"home")):
        world.readable(reader)
        world.gives(data, reader.recv, 99)


def test_k131_what_is_sent_by_no_route_tells_none(world: World) -> None:
    peer, sock = bound(world), bound(world)
    sock.connect(peer.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 0)  # which forgets it
    sock.send(b"x", socket.MSG_DONTROUTE)
    world.gives("ENOTCONN", sock.getsockopt, IP, 14)  # IP_MTU
    sock.send(b"x")
    world.gives(65535, sock.getsockopt, IP, 14)


def test_k131_who_has_an_ipv4_address_may_say_an_ipv6_one_to_come_from(world: World) -> None:
    here, there = bound(world, 6), world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    there.bind((f"::ffff:{world.ip}", 0))
    world.gives("EAFNOSUPPORT", there.sendto, b"x", here.getsockname())
    localhost = socket.inet_pton(socket.AF_INET6, "::1")
    there.sendmsg([b"x"], [(IPV6, socket.IPV6_PKTINFO, localhost + number(0))], 0, here.getsockname())
    world.readable(here)
    assert here.recvfrom(9) == (b"x", ("::1", there.getsockname()[1], 0, 0))


def test_k089_but_an_ipv6_socket_names_its_peer_each_time(world: World) -> None:
    peer, other, sock = bound(world), bound(world), world.socket(socket.AF_INET6, socket.SOCK_DGRAM)

    def mapped(there: Any) -> tuple[str, int]:
        return f"::ffff:{world.ip}", there.getsockname()[1]

    sock.connect(mapped(peer))
    sock.sendto(b"for ", MORE, mapped(other))
    sock.send(b"the other")
    sock.send(b"home")
    world.gives(b"for the other", other.recv, 99)
    world.gives(b"home", peer.recv, 99)


def test_k131_a_peek_may_go_on_where_the_last_one_ended(world: World) -> None:
    here, there = bound(world), bound(world)
    there.connect(here.getsockname())
    pairs = [tuple(map(world.keep, socket.socketpair(socket.AF_UNIX, each))) for each in (1, 2, 5)]
    for reader, writer in ((here, there), *pairs):
        reader.setblocking(False)
        stream = reader.type == socket.SOCK_STREAM
        writer.send(b"hello")
        writer.send(b"world")
        world.pause()
        reader.setsockopt(SOL, SO_PEEK_OFF, 0)
        peeks = [outcome(lambda n=n: reader.recv(n, socket.MSG_PEEK)) for n in (3, 9, 9)]  # noqa: B023
        assert peeks == ([b"hel", b"loworld", "EAGAIN"] if stream else [b"hel", b"lo", b"world"])
        assert reader.getsockopt(SOL, SO_PEEK_OFF) == 10
        assert reader.recv(5) == b"hello"
        assert reader.getsockopt(SOL, SO_PEEK_OFF) == 5
        world.gives("EAGAIN", reader.recv, 9, socket.MSG_PEEK)
        reader.setsockopt(SOL, SO_PEEK_OFF, 2)
        world.gives(b"rld", reader.recv, 9, socket.MSG_PEEK)
        reader.setsockopt(SOL, SO_PEEK_OFF, -1)
        world.gives(b"world", reader.recv, 9, socket.MSG_PEEK)


def test_k131_a_link_without_an_address_leaves_the_address_to_the_way(world: World) -> None:
    here, there = bound(world), bound(world)
    name = here.getsockname()
    chosen = ("127.0.0.1", there.getsockname()[1])
    for link in (0, 1):
        beside = [(IP, IP_PKTINFO, struct.pack("i8x", link))]
        there.sendmsg([b"x"], beside, 0, name)
        there.sendmsg(
            [b"x"], [(IP, IP_PKTINFO, struct.pack("i4s4x", 0, socket.inet_aton("127.0.0.8"))), *beside], 0, name
        )
        for _ in range(2):
            world.readable(here)
            assert here.recvfrom(9) == (b"x", chosen)
    there.sendto(b"x", name)
    world.readable(here)
    assert here.recvfrom(9) == (b"x", there.getsockname())
    there.sendmsg([b"x"], beside, 0, ("0.0.0.0", there.getsockname()[1]))  # which is not where it is bound
    world.pause()
    assert world.mask(there) == "OUT"


def test_k131_ip_options_travel_and_take_room(world: World) -> None:
    here, there = bound(world, 4, [(IP, IP_RECVOPTS), (IP, socket.IP_RETOPTS)]), bound(world)
    there.connect(here.getsockname())
    given = b"\1\x94\4\0\0"  # no operation, an alert to routers
    padded = given + bytes(3)

    def hears(payload: bytes, *options: bytes) -> None:
        world.readable(here)
        data, messages, flags, _ = here.recvmsg(9, 100)
        told = [(IP, IP_RECVOPTS, each) for each in options] + [(IP, socket.IP_RETOPTS, b"") for _ in options]
        assert (data, messages, flags) == (payload, told, 0)

    there.sendmsg([b"a"], [(IP, socket.IP_RETOPTS, given)])
    hears(b"a", padded)
    there.setsockopt(IP, socket.IP_OPTIONS, given)
    assert there.getsockopt(IP, socket.IP_OPTIONS, 40) == padded
    there.send(b"b")
    hears(b"b", padded)
    there.sendmsg([b"c"], [(IP, socket.IP_RETOPTS, b"")], MORE)
    there.send(b"d")
    hears(b"cd")
    for unknown in (b"\xff\5", b"\xff\2"):  # too long, or for the privileged
        world.gives("EINVAL", there.sendmsg, [b"x"], [(IP, socket.IP_RETOPTS, unknown)])
        world.gives("EINVAL", there.setsockopt, IP, socket.IP_OPTIONS, unknown)
    world.gives("EMSGSIZE", there.send, bytes(65500))
    assert there.send(bytes(65499)) == 65499


def test_k131_a_datagram_over_ipv6_may_say_that_it_is_not_to_be_cut(world: World) -> None:
    here, there = bound(world, 6), bound(world, 6)
    there.connect(here.getsockname())
    for value, answer in ((0, 65489), (1, "EMSGSIZE"), (2, "EINVAL")):
        world.gives(answer, there.sendmsg, [bytes(65489)], [(IPV6, socket.IPV6_DONTFRAG, number(value))])
    world.gives("EINVAL", there.sendmsg, [b"x"], [(IPV6, socket.IPV6_DONTFRAG, b"\1")])
    world.gives(1, there.sendmsg, [b"x"], [(IPV6, socket.IPV6_DONTFRAG, number(1))])


def test_k131_the_old_messages_of_ipv6_are_known_too(world: World) -> None:
    here = bound(world, 6, [(IPV6, socket.IPV6_RECVHOPLIMIT)])
    there = bound(world, 6)
    there.connect(here.getsockname())
    there.sendmsg([b"x"], [(IPV6, IPV6_2292HOPLIMIT, number(5)), (IPV6, IPV6_FLOWINFO, bytes(4))])
    world.readable(here)
    assert here.recvmsg(9, 100)[1] == [(IPV6, socket.IPV6_HOPLIMIT, number(5))]
    world.gives(
        "EINVAL", there.sendmsg, [b"x"], [(IPV6, IPV6_2292PKTINFO, socket.inet_pton(socket.AF_INET6, "::2") + bytes(4))]
    )
    world.gives("EINVAL", there.sendmsg, [b"x"], [(IPV6, IPV6_FLOWINFO, b"abc")])
    world.gives("EINVAL", there.sendmsg, [b"x"], [(IPV6, socket.IPV6_HOPOPTS, bytes(7))])


@pytest.mark.parametrize("family", [4, 6])
def test_k131_one_send_may_be_several_datagrams(world: World, family: int) -> None:
    here, there = bound(world, family), bound(world, family)
    there.connect(here.getsockname())

    def hears(*pieces: bytes) -> None:
        for piece in pieces:
            world.gives(piece, here.recv, 99)
        world.pause()
        assert outcome(lambda: here.recv(99)) == "EAGAIN"

    beside = [(UDP, UDP_SEGMENT, struct.pack("H", 4))]
    assert there.sendmsg([b"abcdefghij"], beside) == 10
    hears(b"abcd", b"efgh", b"ij")
    there.setsockopt(UDP, UDP_SEGMENT, 2)
    assert there.getsockopt(UDP, UDP_SEGMENT) == 2
    there.send(b"abc")
    hears(b"ab", b"c")
    there.send(b"ab")
    hears(b"ab")
    there.send(b"")
    hears(b"")
    there.sendmsg([b"abc"], [(UDP, UDP_SEGMENT, bytes(2))])  # not this time
    hears(b"abc")
    there.send(b"ab", MORE)  # whose first part says in what it arrives
    there.sendmsg([b"cde"], beside)
    hears(b"ab", b"cd", b"e")
    world.gives("EINVAL", there.send, bytes(2 * 128 + 1))
    world.gives("EINVAL", there.sendmsg, [b"x"], [(UDP, UDP_SEGMENT, number(4))])
    for value in (-1, 65536):
        world.gives("EINVAL", there.setsockopt, UDP, UDP_SEGMENT, value)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", ["too-many", "no-checksum", "to-a-group"])
def test_k131_what_cannot_go_in_segments_gives_its_memory_back(world: World, family: int, how: str) -> None:
    there = bound(world, family)
    there.setsockopt(UDP, UDP_SEGMENT, 2)
    if how == "no-checksum":
        there.setsockopt(*((SOL, SO_NO_CHECK) if family == 4 else (UDP, UDP_NO_CHECK6_TX)), 1)
    target = bound(world, family).getsockname()
    if how == "to-a-group":
        target = ("224.0.0.1" if family == 4 else "ff01::1", target[1])
    with select.epoll() as poll:
        poll.register(there, select.EPOLLOUT | select.EPOLLET)
        assert poll.poll(0)
        world.gives("EINVAL", there.sendto, bytes(10 if how == "no-checksum" else 257), target)
        assert poll.poll(0) == [(there.fileno(), select.EPOLLOUT)]
        assert not poll.poll(0)


@pytest.mark.parametrize("family", [4, 6])
def test_k131_and_one_to_who_puts_them_together(world: World, family: int) -> None:
    here, there = bound(world, family, [(UDP, UDP_GRO)]), bound(world, family)
    there.connect(here.getsockname())
    there.setsockopt(UDP, UDP_SEGMENT, 4)
    for payload, told in ((b"abcdefghij", [(UDP, UDP_GRO, number(4))]), (b"abcd", [])):
        there.send(payload)
        world.readable(here)
        assert here.recvmsg(99, 100)[:2] == (payload, told)
    there.setsockopt(UDP, UDP_SEGMENT, 1000)
    longest = 65473 if family == 6 else 65493
    for size, first in ((longest, longest), (longest + 1, 1000)):  # of a longer one the link makes datagrams
        there.send(bytes(size))
        world.readable(here)
        assert len(here.recv(70000)) == first


@pytest.mark.parametrize(("family", "longest"), [(4, 0xFFFF), (6, 0xFFFF + 40)])
def test_k131_what_goes_in_segments_is_as_long_as_a_header_can_tell(world: World, family: int, longest: int) -> None:
    here, there = (
        bound(world, family),
        bound(world, family, [(IPV6, IPV6_RECVERR) if family == 6 else (IP, IP_RECVERR)]),
    )
    there.connect(here.getsockname())
    there.setsockopt(*((IPV6, socket.IPV6_DONTFRAG, 1) if family == 6 else (IP, 10, 3)))  # IP_PMTUDISC_PROBE
    there.setsockopt(UDP, UDP_SEGMENT, 1000)
    assert there.send(bytes(65507)) == 65507
    world.gives("EMSGSIZE", there.send, bytes(65535))
    report = there.recvmsg(9, 100, ERRQUEUE)[1][0][2]
    assert struct.unpack_from("=IBBBxI", report) == (errno.EMSGSIZE, 1, 0, 0, longest)


def test_k131_an_end_of_collecting_does_not_tell_that_nothing_could_be_sent(world: World) -> None:
    here, there = bound(world), bound(world, 4, [(UDP, UDP_CORK)])
    there.connect(here.getsockname())
    there.sendmsg([bytes(1000)], [(UDP, UDP_SEGMENT, struct.pack("H", 1))])  # too many
    there.setsockopt(UDP, UDP_CORK, 0)
    there.send(b"x")
    world.gives(b"x", here.recv, 9)


@pytest.mark.parametrize(("family", "option"), [(4, (SOL, SO_NO_CHECK)), (6, (UDP, UDP_NO_CHECK6_TX))])
def test_k131_several_datagrams_of_one_send_have_checksums(world: World, family: int, option: tuple[int, int]) -> None:
    here, there = bound(world, family), bound(world, family, [option])
    there.connect(here.getsockname())
    beside = [(UDP, UDP_SEGMENT, struct.pack("H", 4))]
    for payload in (b"abcdefghij", b"a", b""):
        world.gives("EINVAL", there.sendmsg, [payload], beside)
    there.setsockopt(*option, 0)
    assert there.sendmsg([b"a"], beside) == 1


def test_k131_without_a_checksum_nothing_arrives_over_ipv6_unless_it_is_wanted_so(world: World) -> None:
    here, there = bound(world, 6), bound(world, 6, [(UDP, UDP_NO_CHECK6_TX)])
    there.setsockopt(UDP, UDP_NO_CHECK6_TX, 1)
    there.connect(here.getsockname())
    there.send(b"lost")
    here.setsockopt(UDP, UDP_NO_CHECK6_RX, 1)
    there.send(b"taken")
    world.gives(b"taken", here.recv, 9)
    here.close()
    there.send(b"to nobody")
    world.pause()
    assert there.getsockopt(SOL, socket.SO_ERROR) == 0  # which is not told either
    there.setsockopt(UDP, UDP_NO_CHECK6_TX, 0)
    there.send(b"to nobody")
    world.ready(there, "OUT|ERR")


@pytest.mark.parametrize(("family", "option"), [(4, (IP, 21)), (6, (IPV6, 73))])
def test_k131_no_datagram_has_come_too_far(world: World, family: int, option: tuple[int, int]) -> None:
    """IP_MINTTL and IPV6_MINHOPCOUNT are TCP's."""
    here, there = bound(world, family), bound(world, family)
    for hops in (65, 255):
        here.setsockopt(*option, hops)
        assert here.getsockopt(*option) == hops
    there.sendto(b"x", here.getsockname())
    world.gives(b"x", here.recv, 9)
    world.gives("EINVAL", here.setsockopt, *option, 256)


def test_k131_nobody_there_is_told_once_of_all_of_it(world: World) -> None:
    sock, dead = bound(world, 4, [(IP, IP_RECVERR)]), bound(world)
    sock.connect(dead.getsockname())
    dead.close()
    sock.sendmsg([b"abcdefghij"], [(UDP, UDP_SEGMENT, struct.pack("H", 4))])
    world.ready(sock, "OUT|ERR")
    assert sock.recvmsg(99, 100, ERRQUEUE)[0] == b"abcdefghij"
    world.gives("EAGAIN", sock.recvmsg, 99, 100, ERRQUEUE)


def test_k089_what_collects_for_ipv6_is_not_for_ipv4(world: World) -> None:
    for address, answer in (("::", "EINVAL"), ("::1", "ENETUNREACH")):  # who is bound to an IPv6 address has no IPv4
        sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.sendto(b"x", MORE, ("::1", 9))
        world.gives(answer, sock.sendto, b"x", (f"::ffff:{world.ip}", 9))


def test_a_datagram_over_ipv6_tells_its_class_and_the_label_of_its_flow(world: World) -> None:
    one, two = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    two.bind(("::1", 0))
    two.setsockopt(socket.IPPROTO_IPV6, 11, 1)  # IPV6_FLOWINFO
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 8)
    for _ in range(2):
        one.sendto(b"x", two.getsockname())
    world.readable(two)
    labels = [struct.unpack("!I", data)[0] for _ in range(2) for _, _, data in two.recvmsg(9, 100)[1]]
    assert len(set(labels)) == 1
    assert labels[0] >> 20 == 8
    assert labels[0] & 0xFFFFF


def test_k131_the_label_of_a_connect_goes_with_what_is_sent(world: World) -> None:
    sends_labels, tells_labels = (socket.IPPROTO_IPV6, 33), (socket.IPPROTO_IPV6, 11)
    here, there = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    there.bind(("::1", 0))
    there.setsockopt(*tells_labels, 1)
    port = there.getsockname()[1]
    here.connect(("::1", port, 77))
    assert here.getpeername() == ("::1", port, 0, 0)
    here.setsockopt(*sends_labels, 7)
    assert here.getsockopt(*sends_labels) == 1
    assert here.getpeername() == ("::1", port, 0, 0)  # it sent none when it connected
    here.connect(("::1", port, 77))
    assert here.getpeername() == ("::1", port, 77, 0)
    here.send(b"x")
    world.readable(there)
    data, messages, _, name = there.recvmsg(9, 99)
    assert (data, messages) == (b"x", [(*tells_labels, struct.pack("!I", 77))])
    assert name[2] == 0
    here.setsockopt(*sends_labels, 0)
    assert here.getpeername() == ("::1", port, 0, 0)
    here.setsockopt(*sends_labels, 1)
    assert here.getpeername() == ("::1", port, 77, 0)
    here.connect(("::1", port))
    assert here.getpeername() == ("::1", port, 0, 0)


def test_k131_so_does_that_of_a_connection(world: World) -> None:
    sends_labels = (socket.IPPROTO_IPV6, 33)
    listener = world.listener(ip="::1")
    listener.setsockopt(*sends_labels, 1)
    address = listener.getsockname()
    client = world.socket(socket.AF_INET6)
    client.setsockopt(*sends_labels, 1)
    client.connect_ex((*address[:2], 5))
    server = world.accept(listener)
    assert client.getpeername() == (*address[:2], 5, 0)
    assert client.getsockname()[2:] == server.getpeername()[2:] == (0, 0)
    assert server.getsockopt(*sends_labels) == 1
    client.setsockopt(*sends_labels, 0)
    assert client.getpeername() == address


def test_k131_who_chooses_no_labels_sends_none(world: World) -> None:
    chooses_labels, tells_labels = (socket.IPPROTO_IPV6, 70), (socket.IPPROTO_IPV6, 11)
    here, there = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    there.bind(("::1", 0))
    there.setsockopt(*tells_labels, 1)
    for chosen, count in ((1, 1), (0, 0), (1, 1)):
        here.setsockopt(*chooses_labels, chosen)
        here.sendto(b"x", there.getsockname())
        world.readable(there)
        assert len(there.recvmsg(9, 99)[1]) == count
    here.setsockopt(*chooses_labels, 0)
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0x12)
    here.sendto(b"x", there.getsockname())
    world.readable(there)
    assert there.recvmsg(9, 99)[1] == [(*tells_labels, b"\x01\x20\0\0")]


def test_k131_where_a_datagram_was_going_is_told_over_ipv6_too(world: World) -> None:
    option = (socket.IPPROTO_IPV6, 74)
    here, there = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    there.bind(("::1", 0))
    there.setsockopt(*option, 1)
    there.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    here.sendto(b"x", there.getsockname())
    world.readable(there)
    port = there.getsockname()[1].to_bytes(2, "big")
    family = struct.pack("=H", socket.AF_INET6)
    one = socket.inet_pton(socket.AF_INET6, "::1")
    assert there.recvmsg(9, 99)[1] == [
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, bytes(4)),
        (*option, family + port + bytes(4) + one + bytes(4)),
    ]
    stream = world.socket(socket.AF_INET6)
    stream.setsockopt(*option, 5)
    assert stream.getsockopt(*option) == 1


def test_k131_a_message_that_names_no_link_leaves_the_one_that_another_has_named(world: World) -> None:
    here, there, four = (
        world.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET6,) * 2 + (socket.AF_INET,)
    )
    there.bind(("::1", 0))
    four.bind(("127.0.0.1", 0))
    nowhere = (IP, IP_PKTINFO, number(999) + bytes(8))
    mapped = (IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1") + number(0))
    for messages in ([nowhere, mapped], [mapped, nowhere]):
        target = ("::ffff:127.0.0.1", four.getsockname()[1])
        world.gives("ENODEV", here.sendmsg, [b"x"], messages, 0, target)
    loopback = (IPV6, socket.IPV6_PKTINFO, bytes(16) + number(1))
    of_a_link = (IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, "fe80::1") + number(0))
    world.gives("EINVAL", here.sendmsg, [b"x"], [of_a_link], 0, there.getsockname())
    nowhere_bound = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    nowhere_bound.setsockopt(socket.SOL_SOCKET, 62, 999)  # SO_BINDTOIFINDEX
    one = (IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, "::1") + number(0))
    world.gives("ENODEV", nowhere_bound.sendmsg, [b"x"], [one], 0, there.getsockname())
    world.gives(1, here.sendmsg, [b"x"], [loopback, one], 0, there.getsockname())


def test_k131_a_link_that_is_not_there_is_found_before_what_comes_behind_it(world: World) -> None:
    here, there = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    there.bind(("::1", 0))
    nowhere = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + struct.pack("=i", 999))
    wrong = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, b"x")
    world.gives("ENODEV", here.sendmsg, [b"x"], [nowhere, wrong], 0, there.getsockname())
    loopback, other = ((IPV6, socket.IPV6_PKTINFO, bytes(16) + number(link)) for link in (1, 2))
    world.gives("EINVAL", here.sendmsg, [b"x"], [loopback, nowhere], 0, there.getsockname())  # a datagram has one link
    world.gives("EINVAL", here.sendmsg, [b"x"], [loopback, other], 0, there.getsockname())
    world.gives("EINVAL", here.sendmsg, [b"x"], [wrong, nowhere], 0, there.getsockname())
    no_segment = (socket.IPPROTO_UDP, 103, b"abc")  # UDP looks at its own before
    world.gives("EINVAL", here.sendmsg, [b"x"], [nowhere, no_segment], 0, there.getsockname())
    elsewhere = (
        socket.IPPROTO_IPV6,
        socket.IPV6_PKTINFO,
        socket.inet_pton(socket.AF_INET6, "fe80::1") + bytes((1, 0, 0, 0)),
    )
    world.gives("EINVAL", here.sendmsg, [b"x"], [elsewhere], 0, there.getsockname())
    here.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
    world.gives(1, here.sendmsg, [b"x"], [elsewhere], 0, there.getsockname())


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_k131_an_empty_datagram_is_peeked_at_once_by_who_keeps_his_place(world: World, kind: str) -> None:
    if kind == "udp":
        writer, reader = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
        reader.bind((world.ip, 0))
        writer.connect(reader.getsockname())
    else:
        writer, reader = map(world.keep, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        reader.setblocking(False)
    for data in (b"", b"abc"):
        writer.send(data)
    world.readable(reader)
    reader.setsockopt(SOL, SO_PEEK_OFF, 0)
    world.gives(b"", reader.recv, 9, socket.MSG_PEEK)
    world.gives(b"abc", reader.recv, 9, socket.MSG_PEEK)
    reader.setsockopt(SOL, SO_PEEK_OFF, 0)
    world.gives(b"abc", reader.recv, 9, socket.MSG_PEEK)
    reader.setsockopt(SOL, SO_PEEK_OFF, -1)
    world.gives(b"", reader.recv, 9, socket.MSG_PEEK)
    world.gives(b"", reader.recv, 9)
    world.gives(b"abc", reader.recv, 9)
    writer.send(b"")
    world.readable(reader)
    world.gives(b"", reader.recv, 9, socket.MSG_PEEK)  # whoever keeps no place has seen it too
    reader.setsockopt(SOL, SO_PEEK_OFF, 0)
    world.gives("EAGAIN", reader.recv, 9, socket.MSG_PEEK)
    world.gives(b"", reader.recv, 9)


@pytest.mark.parametrize("parts", [(65489,), (40_000, 40_000)])
def test_k131_who_asks_for_it_reads_once_how_long_a_datagram_may_be(world: World, parts: tuple[int, ...]) -> None:
    """Instead of a datagram, and no poller tells of it; only where IPV6_DONTFRAG keeps a datagram in one piece."""
    here, there = bound(world, 6), bound(world, 6)
    here.connect(there.getsockname())
    asks, whole = (IPV6, 60), (IPV6, 62)  # IPV6_RECVPATHMTU, IPV6_DONTFRAG
    there.connect(here.getsockname())

    def too_long() -> None:
        for size in parts[:-1]:
            assert here.send(bytes(size), MORE) == size
        world.gives("EMSGSIZE", here.send, bytes(parts[-1]))

    here.setsockopt(*whole, 1)
    too_long()  # nobody has asked
    here.setsockopt(*asks, 1)
    world.gives("EAGAIN", here.recvmsg, 9, 99)
    too_long()
    too_long()
    assert there.send(b"waits") == 5
    world.readable(here)
    name = struct.pack("=H6x", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, "::1") + bytes(4)
    told = (IPV6, 61, name + struct.pack("=I", 65536))  # IPV6_PATHMTU
    assert here.recvmsg(9, 99) == (b"", [told], 0, ("::1", 0, 0, 0))
    assert here.recv(9) == b"waits"
    world.ready(here, "OUT")
    too_long()
    here.setsockopt(*asks, 0)
    world.gives("EAGAIN", here.recv, 9)
    here.setsockopt(*asks, 1)
    assert here.recvfrom(9) == (b"", ("::1", 0, 0, 0))
    here.setsockopt(*whole, 0)
    here.setsockopt(IPV6, 23, 2)  # IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO
    world.gives("EMSGSIZE", here.send, bytes(65489))
    world.gives("EAGAIN", here.recv, 9)


def test_k131_that_a_datagram_stays_whole_is_asked_at_its_first_part(world: World) -> None:
    here, there = bound(world, 6), bound(world, 6)
    here.connect(there.getsockname())
    for at_first, at_last, said in ((1, 0, "EMSGSIZE"), (0, 1, 25_500)):
        here.setsockopt(IPV6, 62, at_first)
        assert here.send(bytes(40_000), MORE) == 40_000
        here.setsockopt(IPV6, 62, at_last)
        world.gives(said, here.send, bytes(25_500))
    world.readable(there)
    assert len(there.recv(70_000)) == 65_500


def test_k131_what_came_by_a_broadcast_is_answered_from_the_links_own_address(world: World) -> None:
    there = bound(world)
    there.setsockopt(SOL, socket.SO_BROADCAST, 1)
    for family in (4, 6):
        here = world.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        here.setsockopt(IP, IP_PKTINFO, 1)
        here.bind(("", 0))
        there.sendto(b"x", ("127.255.255.255", here.getsockname()[1]))
        world.readable(here)
        own, many = socket.inet_aton("127.0.0.1"), socket.inet_aton("127.255.255.255")
        assert here.recvmsg(9, 200)[1] == [(IP, IP_PKTINFO, number(1) + own + many)]


def test_k131_what_is_not_bound_to_its_addresses_still_has_one_family_at_a_time(world: World) -> None:
    here, there = bound(world, 6), world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    there.setsockopt(IP, 15, 1)  # IP_FREEBIND
    source = socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1") + number(0)
    beside = [(IPV6, socket.IPV6_PKTINFO, source)]
    world.gives("EAFNOSUPPORT", there.sendmsg, [b"x"], beside, 0, ("::1", here.getsockname()[1]))


@pytest.mark.parametrize(
    ("family", "size", "segment", "said"),
    [
        (6, 65507, 65535, "EMSGSIZE"),
        (6, 65489, 65489, "EMSGSIZE"),
        (6, 65488, 65535, 65488),
        (6, 65527, 1, "EINVAL"),  # also where a send buffer leaves no room for a second fragment
        (4, 65507, 65535, 65507),
    ],
)
def test_k131_a_segment_is_no_longer_than_a_link_takes(
    world: World, family: int, size: int, segment: int, said: str | int
) -> None:
    here, there = bound(world, family), bound(world, family)
    there.setsockopt(SOL, socket.SO_SNDBUF, 1)
    beside = [(UDP, UDP_SEGMENT, struct.pack("H", segment))]
    world.gives(said, there.sendmsg, [bytes(size)], beside, 0, here.getsockname())


def test_k131_what_is_collected_goes_without_a_checksum_if_that_is_said_before_it_goes(world: World) -> None:
    here, there = bound(world, 6), bound(world, 6)
    there.connect(here.getsockname())
    there.send(b"one", MORE)
    there.setsockopt(UDP, UDP_NO_CHECK6_TX, 1)
    there.send(b"more")
    there.setsockopt(UDP, UDP_NO_CHECK6_TX, 0)
    there.send(b"checked")
    world.readable(here)
    assert here.recv(9) == b"checked"


@pytest.mark.parametrize(
    ("family", "size", "buffer", "kept"),
    [
        (4, 1, 1, 2),
        (4, 1, 5000, 12),
        (4, 169, 5000, 12),
        (4, 170, 5000, 7),
        (6, 136, 1, 2),
        (6, 137, 1, 1),
        (6, 1000, 5000, 4),
    ],
)
def test_k087_an_error_queue_keeps_what_finds_memory(
    world: World, family: int, size: int, buffer: int, kept: int
) -> None:
    sock, gone = bound(world, family, [(IP, IP_RECVERR) if family == 4 else (IPV6, IPV6_RECVERR)]), bound(world, family)
    sock.setsockopt(SOL, socket.SO_RCVBUF, buffer)
    nobody = gone.getsockname()
    gone.close()
    for _ in range(15):
        sock.sendto(bytes(size), nobody)
        assert any(world.error(sock) == "ECONNREFUSED" or world.pause() for _ in range(500))
    told = 0
    while outcome(lambda: sock.recvmsg(1, 300, ERRQUEUE)) != "EAGAIN":
        told += 1
    assert told == kept


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([b"one alone"], ""),
        ([b"ab", b"c"], "c4620000"),
        ([b"ab", b"cd", b"ef"], "c4c66566"),  # what is added lies elsewhere
        ([b"abc", b"x", b"cdefghijklmnop"], "060ca0b7"),
        ([b"abcdefghijk", b"lmnopq"], "0ea2a5a9"),
        ([b"", b""], "ffffffff"),
        ([b"\xff\xff", b""], "ffff0000"),
        ([b"a" * 30, b"b" * 38], "e2e21f1f"),
        ([b"a" * 30, b"b" * 39], ""),
    ],
    ids=["one", "short", "three", "odd", "longer", "empty", "ones", "longest", "too-long"],
)
def test_k131_the_sum_of_what_was_collected_is_told(world: World, parts: list[bytes], told: str) -> None:
    receiver, sender = bound(world), bound(world)
    receiver.setsockopt(IP, IP_CHECKSUM, 1)
    for part in parts[:-1]:
        sender.sendto(part, socket.MSG_MORE, receiver.getsockname())
    sender.sendto(parts[-1], receiver.getsockname())
    world.readable(receiver)
    ancillary = receiver.recvmsg(100, 64)[1]
    assert [(level, kind, data.hex()) for level, kind, data in ancillary] == [(IP, IP_CHECKSUM, told)] * bool(told)


def test_k131_a_long_one_is_summed_when_a_part_of_it_is_read(world: World) -> None:
    receiver, sender = bound(world), bound(world)
    receiver.setsockopt(IP, IP_CHECKSUM, 1)
    sender.connect(receiver.getsockname())
    sender.send(b"a" * 500, socket.MSG_MORE)
    sender.send(b"b" * 500)
    world.readable(receiver)
    assert receiver.recvmsg(9, 64, socket.MSG_PEEK)[1] == []
    assert receiver.recvmsg(9, 64)[1] == [(IP, IP_CHECKSUM, bytes.fromhex("96969696"))]


@pytest.mark.parametrize(("family", "size"), [(4, 65_508), (4, 65_535), (6, 65_528), (6, 70_000)])
def test_k131_what_only_looks_for_a_way_may_be_too_long(world: World, family: int, size: int) -> None:
    sock = bound(world, family)
    assert sock.sendto(bytes(size), MSG_PROBE, sock.getsockname()) == size
    world.gives("EAGAIN", sock.recv, 9, socket.MSG_DONTWAIT)
