"""Multicast over loopback: who is in a group, who hears it, and from whom; a part of K-089."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

SIOCGIFADDR = 0x8915
IP, IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
IP_MULTICAST_ALL, IP_PKTINFO, IP_RECVTTL = 49, 8, 12
LOOPBACK = socket.inet_aton("127.0.0.1")
GROUP = "239.77.1.5"


def member(group: str = GROUP, at: str = "127.0.0.1", link: int | None = None) -> bytes:
    """A struct ip_mreq, or ip_mreqn with a *link*."""
    return socket.inet_aton(group) + socket.inet_aton(at) + (b"" if link is None else struct.pack("i", link))


def member_v6(group: str, link: int) -> bytes:
    return socket.inet_pton(socket.AF_INET6, group) + struct.pack("i", link)


def hearer(world: World, ip: str = "", port: int = 0, joins: bool = True) -> Any:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((ip, port))
    if joins:
        sock.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, member())
    return sock


def speaker(world: World) -> Any:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.setsockopt(IP, socket.IP_MULTICAST_IF, LOOPBACK)
    return sock


def port_of(sock: Any) -> int:
    return int(sock.getsockname()[1])


def test_k089_a_group_is_joined_once_on_a_link(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    join, leave = socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
    for option, value, answer in (
        (leave, member(), "EADDRNOTAVAIL"),
        (join, member(), None),
        (join, member(at="127.0.0.5"), "EADDRINUSE"),  # it is the same link
        (join, member("239.77.1.6"), None),
        (leave, member(at="0.0.0.0", link=1), None),
        (leave, member(), "EADDRNOTAVAIL"),
        (join, member(at="203.0.113.5"), "ENODEV"),
        (join, member(at="203.0.113.5", link=1), None),  # the number goes before the address
        (join, member(link=99), "ENODEV"),
        (join, member("127.0.0.1"), "EINVAL"),
    ):
        world.gives(answer, sock.setsockopt, IP, option, value)
    for number in range(18):
        sock.setsockopt(IP, join, member(f"239.77.2.{number}"))
    world.gives("ENOBUFS", sock.setsockopt, IP, join, member("239.77.3.1"))


def test_k089_so_is_one_of_ipv6(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    join, leave = socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP
    for option, value, answer in (
        (join, member_v6("ff02::77", 1), None),
        (join, member_v6("ff02::77", 1), "EADDRINUSE"),
        (join, member_v6("ff02::77", 99), "ENODEV"),
        (join, member_v6("::1", 1), "EINVAL"),
        (leave, member_v6("ff02::78", 1), "EADDRNOTAVAIL"),
        (leave, member_v6("ff02::77", 0), None),
        (leave, member_v6("ff02::77", 1), "EADDRNOTAVAIL"),
    ):
        world.gives(answer, sock.setsockopt, IPV6, option, value)


def test_k089_members_hear_what_is_sent_to_their_group(world: World) -> None:
    for ip in ("", GROUP):
        here, there = hearer(world, ip), speaker(world)
        there.setsockopt(IP, socket.IP_MULTICAST_LOOP, 0)  # loopback comes back all the same
        assert there.sendto(b"x", (GROUP, port_of(here))) == 1
        world.gives((b"x", ("127.0.0.1", port_of(there))), here.recvfrom, 9)
        there.sendto(b"x", ("239.77.1.6", port_of(here)))  # nobody is in that one
        world.pause()
        world.gives("EAGAIN", here.recv, 9)
        here.setsockopt(IP, socket.IP_DROP_MEMBERSHIP, member())
        there.sendto(b"x", (GROUP, port_of(here)))
        world.pause()
        world.gives("EAGAIN", here.recv, 9)
        assert there.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_k089_who_shares_the_port_hears_it_too_unless_it_wants_its_own_groups_only(world: World) -> None:
    here, there = hearer(world), speaker(world)
    beside, choosy = (hearer(world, port=port_of(here), joins=False) for _ in range(2))
    choosy.setsockopt(IP, IP_MULTICAST_ALL, 0)
    bound_elsewhere = hearer(world, "127.0.0.1", port_of(here), joins=False)
    there.connect((GROUP, port_of(here)))
    assert there.getsockname()[0] == "127.0.0.1"
    assert there.send(b"x") == 1
    for sock in (here, beside):
        world.gives(b"x", sock.recv, 9)
    for sock in (choosy, bound_elsewhere):
        world.gives("EAGAIN", sock.recv, 9)
    here.close()  # with its last member the host leaves
    there.send(b"x")
    world.pause()
    world.gives("EAGAIN", beside.recv, 9)


def test_k089_a_bound_address_says_the_link_and_the_ttl_is_one(world: World) -> None:
    here, there = hearer(world), world.socket(kind=socket.SOCK_DGRAM)
    there.bind((world.ip, 0))
    here.setsockopt(IP, IP_PKTINFO, 1)
    here.setsockopt(IP, IP_RECVTTL, 1)
    there.sendto(b"x", (GROUP, port_of(here)))
    world.readable(here)
    messages = [
        (IP, IP_PKTINFO, struct.pack("i", 1) + LOOPBACK + socket.inet_aton(GROUP)),
        (IP, 2, struct.pack("i", 1)),
    ]
    assert here.recvmsg(9, 100) == (b"x", messages, 0, there.getsockname())


def test_k089_only_what_is_said_beside_it_is_another_ttl(world: World) -> None:
    sock, sender = hearer(world), speaker(world)
    sock.setsockopt(IP, IP_RECVTTL, 1)
    sender.setsockopt(IP, socket.IP_TTL, 9)  # which is for others
    group = (GROUP, port_of(sock))
    beside = [(IP, socket.IP_TTL, struct.pack("i", 64))]
    sender.sendto(b"x", group)
    sender.sendmsg([b"x"], beside, 0, group)
    sender.setsockopt(IP, socket.IP_MULTICAST_TTL, 7)
    sender.sendto(b"x", group)
    sender.sendmsg([b"x"], beside, socket.MSG_MORE, group)
    sender.sendto(b"x", group)
    for ttl in (1, 64, 7, 64):
        world.readable(sock)
        assert sock.recvmsg(9, 100)[1] == [(IP, socket.IP_TTL, struct.pack("i", ttl))]


def test_k089_loopback_is_not_for_groups_of_ipv6(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    world.gives("ENETUNREACH", sock.sendto, b"x", ("ff02::77", 9, 0, 1))
    sock.setsockopt(IPV6, socket.IPV6_MULTICAST_IF, 1)
    world.gives("ENETUNREACH", sock.sendto, b"x", ("ff0e::77", 9))
    world.gives("ENETUNREACH", sock.connect, ("ff02::77", 9))


def test_k089_that_loopback_is_not_for_them_comes_before_where_a_socket_is(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::ffff:127.0.0.1", 0))
    world.gives("EAFNOSUPPORT", sock.sendto, b"x", ("ff0e::77", 9))
    sock.setsockopt(IPV6, socket.IPV6_MULTICAST_IF, 1)
    world.gives("ENETUNREACH", sock.sendto, b"x", ("ff0e::77", 9))


def test_k089_how_long_a_packet_to_a_group_may_be_is_about_its_link(world: World) -> None:
    sock = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect((GROUP, 9))
    assert sock.getsockopt(IP, 14) == 65535  # IP_MTU


def test_k089_what_goes_to_a_group_comes_from_the_address_that_names_its_link(world: World) -> None:
    sock = hearer(world)
    group = (GROUP, port_of(sock))
    for option, source in (
        (socket.inet_aton("127.0.0.9"), "127.0.0.9"),
        (struct.pack("=4s4si", bytes(4), socket.inet_aton("127.0.0.7"), 1), "127.0.0.7"),
    ):
        sender = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(IP, socket.IP_MULTICAST_IF, option)
        sender.sendto(b"x", group)
        world.readable(sock)
        assert sock.recvfrom(9)[1][0] == source
        sender.connect(group)
        assert sender.getsockname()[0] == source


def test_k089_who_is_bound_to_an_address_of_several_hosts_has_not_named_a_link(world: World) -> None:
    sock = hearer(world)
    sender = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("127.255.255.255", 0))
    outcome(lambda: sender.sendto(b"x", (GROUP, port_of(sock))))  # elsewhere, or nowhere if there is no other link
    world.pause()
    world.gives("EAGAIN", sock.recvfrom, 9)


@pytest.mark.parametrize("bound", [GROUP, "127.255.255.255"])
def test_k089_who_is_bound_to_an_address_of_several_hosts_comes_from_where_it_says(world: World, bound: str) -> None:
    hearer = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearer.bind(("0.0.0.0", 0))
    hearer.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, member(GROUP))
    sender = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(IP, socket.IP_MULTICAST_IF, LOOPBACK)
    sender.bind((bound, 0))
    source = (IP, IP_PKTINFO, struct.pack("i", 0) + socket.inet_aton(world.other_ip) + bytes(4))
    for target in (world.ip, GROUP):
        sender.sendmsg([b"x"], [source], 0, (target, port_of(hearer)))
        world.readable(hearer)
        assert hearer.recvfrom(9)[1][0] == world.other_ip
        sender.sendto(b"x", (target, port_of(hearer)))
        world.readable(hearer)
        assert hearer.recvfrom(9)[1][0] == "127.0.0.1"


UNBLOCK, BLOCK, ADD, DROP = 37, 38, 39, 40  # IP_UNBLOCK_SOURCE ...: the socket module has them from Python 3.12 on
SOURCED = socket.inet_aton("232.1.2.3") + socket.inet_aton("127.0.0.1")


@pytest.fixture
def sourced(world: World) -> tuple[Any, Any]:
    """One that may choose whom it hears, and a way to choose: what it hears of two then."""
    hearer = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearer.bind(("", 0))
    senders = {}
    for host in ("127.0.0.5", "127.0.0.7"):
        senders[host[-1]] = sender = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.bind((host, 0))

    def choose(option: int, who: str = "") -> Any:
        value = SOURCED + (socket.inet_aton(f"127.0.0.{who}") if who else b"")
        said = outcome(lambda: hearer.setsockopt(socket.IPPROTO_IP, option, value))
        if said is not None:
            return said
        for name, sender in senders.items():
            sender.sendto(name.encode(), ("232.1.2.3", hearer.getsockname()[1]))
        world.pause()
        heard = ""
        while isinstance(got := outcome(lambda: hearer.recv(9)), bytes):
            heard += got.decode()
        return heard

    return hearer, choose


def test_a_member_may_hear_some_sources_alone(sourced: tuple[Any, Any]) -> None:
    _, choose = sourced
    for option in (UNBLOCK, BLOCK, DROP):
        assert choose(option, "5") == "EINVAL"
    assert choose(ADD, "5") == "5"
    assert choose(ADD, "5") == "EADDRNOTAVAIL"
    assert choose(BLOCK, "5") == "EINVAL"
    assert choose(ADD, "7") == "57"
    assert choose(DROP, "5") == "7"
    assert choose(DROP, "5") == "EADDRNOTAVAIL"
    assert choose(DROP, "7") == ""
    assert choose(socket.IP_DROP_MEMBERSHIP) == "EADDRNOTAVAIL"  # nobody is left to hear: it is no member any more


def test_a_member_may_hear_all_sources_but_some(sourced: tuple[Any, Any]) -> None:
    hearer, choose = sourced
    assert choose(socket.IP_ADD_MEMBERSHIP) == "57"
    assert choose(BLOCK, "5") == "7"
    assert choose(BLOCK, "5") == "EADDRNOTAVAIL"
    assert choose(ADD, "5") == "EINVAL"
    assert choose(UNBLOCK, "7") == "EADDRNOTAVAIL"
    assert choose(UNBLOCK, "5") == "57"
    assert choose(ADD, "5") == "EINVAL"
    assert choose(socket.IP_DROP_MEMBERSHIP) == ""
    assert choose(socket.IP_ADD_MEMBERSHIP) == "57"
    assert choose(DROP, "5") == "EADDRNOTAVAIL"  # but it would choose, and has chosen nobody
    assert choose(BLOCK, "7") == "5"
    for value in (b"", SOURCED, SOURCED + bytes(8), socket.inet_aton("127.0.0.1") * 3):
        assert outcome(lambda value=value: hearer.setsockopt(0, ADD, value)) == "EINVAL"  # type: ignore[misc]
    nowhere = socket.inet_aton("232.1.2.3") + socket.inet_aton("192.0.2.1") * 2
    assert outcome(lambda: hearer.setsockopt(0, ADD, nowhere)) == "ENODEV"


def test_what_no_member_wants_is_not_for_who_hears_all(world: World, sourced: tuple[Any, Any]) -> None:
    hearer, choose = sourced
    for sock in (hearer, other := world.socket(socket.AF_INET, socket.SOCK_DGRAM)):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(hearer.getsockname())  # a member of nothing: IP_MULTICAST_ALL is on

    def heard() -> str:
        got = ""
        while isinstance(each := outcome(lambda: other.recv(9)), bytes):
            got += each.decode()
        return got

    for option, who, own, others in (
        (socket.IP_ADD_MEMBERSHIP, "", "57", "57"),
        (BLOCK, "5", "7", "7"),
        (UNBLOCK, "5", "57", "57"),
        (socket.IP_DROP_MEMBERSHIP, "", "", ""),
        (ADD, "5", "5", "5"),
    ):
        assert (choose(option, who), heard()) == (own, others)
    other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, SOURCED)
    assert (choose(ADD, "7"), heard()) == ("57", "57")


def test_ten_sources_are_the_most(sourced: tuple[Any, Any]) -> None:
    _, choose = sourced
    assert [choose(ADD, str(100 + n)) for n in range(11)] == [""] * 10 + ["ENOBUFS"]


JOIN, BLOCK_ANY, UNBLOCK_ANY, LEAVE, JOIN_SOURCE, LEAVE_SOURCE = 42, 43, 44, 45, 46, 47  # MCAST_JOIN_GROUP ...
INCLUDE, EXCLUDE = 1, 0


def storage(host: str, family: int | None = None) -> bytes:
    """A struct sockaddr_storage."""
    if ":" in host:
        packed = struct.pack("=HHI", family or socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, host)
    else:
        packed = struct.pack("=HH", family or socket.AF_INET, 0) + socket.inet_aton(host)
    return packed.ljust(128, b"\0")


def asked(link: int, group: str, *sources: str, family: int | None = None) -> bytes:
    """A struct group_req, or a group_source_req."""
    return struct.pack("=I4x", link) + storage(group, family) + b"".join(storage(each, family) for each in sources)


@pytest.mark.parametrize(("level", "group"), [(IP, GROUP), (IPV6, "ff01::77")])
def test_k089_a_group_of_either_family_is_joined_by_one_option(world: World, level: int, group: str) -> None:
    six = level == IPV6
    sock = world.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    for option, value, answer in (
        (LEAVE, asked(1, group), "EADDRNOTAVAIL"),
        (JOIN, asked(1, group), None),
        (JOIN, asked(1, group), "EADDRINUSE"),
        (JOIN, asked(99, group), "ENODEV"),
        (JOIN, asked(1, "::1" if six else "127.0.0.1"), "EINVAL"),
        (LEAVE, asked(1, "::1" if six else "127.0.0.1"), "EINVAL" if six else "EADDRNOTAVAIL"),
        (JOIN, asked(1, group, family=77), "EADDRNOTAVAIL" if six else "EINVAL"),
        (JOIN, asked(1, group)[:-1], "EINVAL"),
        (JOIN, asked(1, group) + b"more", "EADDRINUSE"),
        (JOIN_SOURCE, asked(1, group, "::1" if six else "127.0.0.1"), None),  # from everybody to one
        (LEAVE, asked(1, group), None),
        (LEAVE, asked(1, group), "EADDRNOTAVAIL"),
        (JOIN, asked(1, group), None),
        (LEAVE, asked(0, group), None if six else "EADDRNOTAVAIL"),
    ):
        world.gives(answer, sock.setsockopt, level, option, value)


def test_k089_an_ipv6_group_that_is_joined_on_a_link_is_joined_where_none_is_named(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(IPV6, socket.IPV6_JOIN_GROUP, member_v6("ff01::77", 1))
    world.gives("EADDRINUSE", sock.setsockopt, IPV6, socket.IPV6_JOIN_GROUP, member_v6("ff01::77", 0))
    world.gives("EADDRINUSE", sock.setsockopt, IPV6, JOIN, asked(0, "ff01::77"))


def test_k089_who_has_joined_by_the_option_of_either_family_hears(world: World) -> None:
    here, there = hearer(world, joins=False), speaker(world)
    place = (GROUP, port_of(here))
    here.setsockopt(IP, JOIN, asked(1, GROUP))
    there.sendto(b"one", place)
    world.gives(b"one", here.recv, 9)
    here.setsockopt(IP, socket.IP_DROP_MEMBERSHIP, member())
    here.setsockopt(IP, JOIN_SOURCE, asked(1, GROUP, "127.0.0.1"))
    there.sendto(b"two", place)
    world.gives(b"two", here.recv, 9)
    here.setsockopt(IP, LEAVE_SOURCE, asked(1, GROUP, "127.0.0.1"))
    there.sendto(b"three", place)
    world.pause()
    assert outcome(lambda: here.recv(9)) == "EAGAIN"


@pytest.mark.parametrize(("level", "group"), [(IP, "232.7.7.7"), (IPV6, "ff31::77")])
def test_k089_sources_are_chosen_for_either_family(world: World, level: int, group: str) -> None:
    six = level == IPV6
    sock = world.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    one, other = ("fd00::1", "fd00::2") if six else ("127.0.0.1", "127.0.0.2")
    for option, value, answer in (
        (BLOCK_ANY, asked(1, group, one), "EINVAL"),  # it is no member
        (LEAVE_SOURCE, asked(1, group, one), "EINVAL"),
        (JOIN_SOURCE, asked(99, group, one), "ENODEV"),
        (JOIN_SOURCE, asked(1, one, one), "EINVAL"),
        (JOIN_SOURCE, asked(1, group, one, family=77), "EADDRNOTAVAIL"),
        (JOIN_SOURCE, asked(1, group, one)[:-1], "EINVAL"),
        (JOIN_SOURCE, asked(1, group, one), None),
        (JOIN_SOURCE, asked(1, group, one), "EADDRNOTAVAIL"),
        (BLOCK_ANY, asked(1, group, one), "EINVAL"),
        (JOIN_SOURCE, asked(1, group, other), None),
        (LEAVE_SOURCE, asked(1, group, one), None),
        (LEAVE_SOURCE, asked(1, group, one), "EADDRNOTAVAIL"),
        (LEAVE_SOURCE, asked(1, group, other), None),
        (LEAVE_SOURCE, asked(1, group, other), "EINVAL"),  # with the last source it has left
        (JOIN, asked(1, group), None),
        (UNBLOCK_ANY, asked(1, group, one), "EADDRNOTAVAIL"),
        (BLOCK_ANY, asked(1, group, one), None),
        (BLOCK_ANY, asked(1, group, one), "EADDRNOTAVAIL"),
        (UNBLOCK_ANY, asked(1, group, one), None),
    ):
        world.gives(answer, sock.setsockopt, level, option, value)


@pytest.mark.parametrize(("level", "group", "most"), [(IP, "232.7.7.7", 10), (IPV6, "ff31::77", 64)])
def test_k089_of_a_groups_senders_a_few_are_chosen_at_most(world: World, level: int, group: str, most: int) -> None:
    """net.ipv4.igmp_max_msf and net.ipv6.mld_max_msf, which are looked at before it is seen who is chosen already."""
    six = level == IPV6
    sock = world.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    senders = [f"fd00::{n + 1:x}" if six else f"127.0.0.{n + 1}" for n in range(most + 1)]
    for sender in senders[:most]:
        sock.setsockopt(level, JOIN_SOURCE, asked(1, group, sender))
    for value, answer in (
        (asked(1, group, senders[most]), "ENOBUFS"),
        (asked(1, group, senders[0]), "ENOBUFS"),
        (asked(1, group) + storage(senders[0], 77), "EADDRNOTAVAIL"),
    ):
        world.gives(answer, sock.setsockopt, level, JOIN_SOURCE, value)
    world.gives(None, sock.setsockopt, level, LEAVE_SOURCE, asked(1, group, senders[0]))


def test_k089_what_goes_to_a_group_in_segments_goes_in_few(world: World) -> None:
    here, there = hearer(world), speaker(world)
    there.setsockopt(socket.IPPROTO_UDP, 103, 1)  # UDP_SEGMENT
    place = (GROUP, port_of(here))
    world.gives("EINVAL", there.sendto, bytes(129), place)
    assert there.sendto(b"ab", place) == 2
    assert [here.recv(9), here.recv(9)] == [b"a", b"b"]


def all_at_once(mode: int, *sources: str, group: str = GROUP, at: str = "127.0.0.1") -> bytes:
    """A struct ip_msfilter."""
    head = socket.inet_aton(group) + socket.inet_aton(at) + struct.pack("=II", mode, len(sources))
    return head + b"".join(map(socket.inet_aton, sources))


def test_k089_all_sources_may_be_chosen_at_once(world: World) -> None:
    here, there = hearer(world), speaker(world)
    there.bind(("127.0.0.5", 0))
    heard = []

    def choose(option: int, value: bytes) -> None:
        here.setsockopt(IP, option, value)
        there.sendto(b"x", (GROUP, port_of(here)))
        world.pause()
        heard.append(outcome(lambda: here.recv(9)) == b"x")

    choose(41, all_at_once(INCLUDE, "127.0.0.5", "127.0.0.6"))  # IP_MSFILTER
    choose(41, all_at_once(INCLUDE, "127.0.0.6"))
    choose(41, all_at_once(EXCLUDE, "127.0.0.5"))
    choose(41, all_at_once(EXCLUDE))
    choose(48, asked(1, GROUP) + struct.pack("=II", EXCLUDE, 1) + storage("127.0.0.5"))  # MCAST_MSFILTER
    choose(48, asked(1, GROUP) + struct.pack("=II", INCLUDE, 1) + storage("127.0.0.5"))
    assert heard == [True, False, False, True, False, True]
    for value, answer in (
        (all_at_once(2, "127.0.0.5"), "EINVAL"),
        (all_at_once(EXCLUDE, at="203.0.113.5"), "ENODEV"),
        (all_at_once(EXCLUDE, group="239.77.1.9"), "EINVAL"),
        (all_at_once(INCLUDE), None),  # which is to leave
        (all_at_once(INCLUDE), "EADDRNOTAVAIL"),
    ):
        world.gives(answer, here.setsockopt, IP, 41, value)
    here.setsockopt(IP, JOIN, asked(1, GROUP))
    here.setsockopt(IP, 41, all_at_once(EXCLUDE))
    world.gives(None, here.setsockopt, IP, JOIN_SOURCE, asked(1, GROUP, "127.0.0.5"))  # from everybody to one
    world.gives("EINVAL", here.setsockopt, IP, BLOCK_ANY, asked(1, GROUP, "127.0.0.5"))


def test_k089_a_sender_to_a_group_of_ipv6_is_blocked_on_the_link_where_it_is_joined_if_none_is_named(
    world: World,
) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(IPV6, JOIN, asked(1, "ff01::77"))
    for option, answer in ((BLOCK_ANY, None), (BLOCK_ANY, "EADDRNOTAVAIL"), (UNBLOCK_ANY, None)):
        world.gives(answer, sock.setsockopt, IPV6, option, asked(0, "ff01::77", "fd00::1"))


@pytest.mark.parametrize(("family", "key"), [(socket.AF_INET, (IP, 50)), (socket.AF_INET6, (IPV6, 76))])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_the_link_for_what_is_for_one_host_may_be_that_of_loopback(
    world: World, family: int, key: tuple[int, int], kind: int
) -> None:
    sock = world.socket(family, kind)
    link = struct.pack("!I", 1)
    for value, answer in ((link, None), (struct.pack("!I", 99), "EADDRNOTAVAIL"), (link[:3], "EINVAL")):
        world.gives(answer, sock.setsockopt, *key, value)
    assert sock.getsockopt(*key, 4) == link
    sock.setsockopt(*key, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    for value, answer in ((link, "EINVAL"), (struct.pack("!I", 99), "EADDRNOTAVAIL"), (bytes(4), None)):
        world.gives(answer, sock.setsockopt, *key, value)


def test_k089_who_is_bound_to_loopback_sends_to_no_group_of_ipv6(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    world.gives("ENETUNREACH", sock.sendto, b"x", ("ff01::77", 9))
    world.gives("ENODEV", sock.setsockopt, IPV6, socket.IPV6_MULTICAST_IF, 99)
    beside = [(IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("i", 99))]
    world.gives("EINVAL", sock.sendmsg, [b"x"], beside, 0, ("::1", 9))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_what_is_wrong_with_a_filter_of_an_ipv6_group(world: World, kind: int) -> None:
    def request(
        link: int = 0, ip: str = "ff02::7", mode: int = 1, senders: int = 0, family: int = socket.AF_INET6
    ) -> bytes:
        group = struct.pack("=HHI", family, 0, 0) + socket.inet_pton(socket.AF_INET6, ip)
        return struct.pack("=I4x", link) + group.ljust(128, b"\0") + struct.pack("=II", mode, senders)

    one = (struct.pack("=HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, "::1")).ljust(128, b"\0")
    refused = {
        request(): "EADDRNOTAVAIL",
        request(1): "EADDRNOTAVAIL",
        request(99): "ENODEV",
        request(99, mode=2): "EINVAL",
        request(mode=0): "EINVAL",
        request(senders=1): "EINVAL",
        request(senders=1) + one: "EINVAL",
        request(99, senders=1) + one: "ENODEV",
        request(senders=65): "ENOBUFS",
        request(ip="::1"): "EINVAL",
        request(family=socket.AF_INET): "EADDRNOTAVAIL",  # at which nobody looks
        request()[:-1]: "EINVAL",
    }
    sock = world.socket(socket.AF_INET6, kind)
    told = {value: outcome(lambda: sock.setsockopt(socket.IPPROTO_IPV6, 48, value)) for value in refused}  # noqa: B023
    assert told == refused


def test_k131_who_is_bound_to_a_link_sends_to_groups_on_no_other(world: World) -> None:
    link = (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    for number, told in ((2, "EINVAL"), (0, None), (1, None)):
        world.gives(told, sock.setsockopt, *link, number)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k025_another_link_than_loopback_has_no_ipv6_localhost(world: World, kind: int) -> None:
    other = next((name for _, name in socket.if_nameindex() if name != "lo"), None)
    if other is None:
        pytest.skip("this machine has loopback alone")
    for ip, told in (("::1", "EADDRNOTAVAIL"), ("::", None), ("::ffff:127.0.0.1", None)):
        sock = world.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, other.encode())
        world.gives(told, sock.bind, (ip, 0))


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["", "224.1.1.7"])
def test_k131_who_is_bound_to_a_link_hears_groups_on_it_alone(world: World, bound: str) -> None:
    addresses = {}
    for _, name in socket.if_nameindex():
        request = struct.pack("16s24x", name.encode())
        asked = outcome(lambda: fcntl.ioctl(world.socket().fileno(), SIOCGIFADDR, request))  # noqa: B023 - called at once
        if isinstance(asked, bytes) and len(addresses) < 2:
            addresses[name] = asked[20:24]
    if len(addresses) < 2:
        pytest.skip("this machine has no address but loopback's")
    heard = {}
    for link in (*addresses, ""):
        hearer = world.socket(kind=socket.SOCK_DGRAM)
        if link:
            hearer.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        hearer.bind((bound, 0))
        for address in addresses.values():
            hearer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.1.1.7") + address)
        for by, address in addresses.items():
            for how, number, value in (
                ("sent to", (socket.IPPROTO_IP, socket.IP_MULTICAST_IF), address),
                ("bound to", (socket.SOL_SOCKET, socket.SO_BINDTODEVICE), by.encode()),
            ):
                sender = world.socket(kind=socket.SOCK_DGRAM)
                sender.setsockopt(*number, value)
                sender.sendto(b"x", ("224.1.1.7", hearer.getsockname()[1]))
                time.sleep(0.01)
                heard[link, by, how] = outcome(lambda: hearer.recv(9))  # noqa: B023 - called at once
    assert heard == {
        (link, by, how): b"x" if link in (by, "") else "EAGAIN"
        for link in (*addresses, "")
        for by in addresses
        for how in ("sent to", "bound to")
    }


def link_beside_loopback(world: World) -> tuple[int, bytes]:
    """The number and the address of a link that is not loopback."""
    for number, name in socket.if_nameindex():
        request = struct.pack("16s24x", name.encode())
        asked = outcome(lambda: fcntl.ioctl(world.socket().fileno(), SIOCGIFADDR, request))  # noqa: B023 - called at once
        if name != "lo" and isinstance(asked, bytes):
            return number, asked[20:24]
    pytest.skip("this machine has no address but loopback's")


def from_link(number: int, source: bytes = bytes(4)) -> list[Any]:
    return [(IP, IP_PKTINFO, struct.pack("i", number) + source + bytes(4))]


def test_k089_a_message_says_on_which_link_a_group_is_spoken_to(world: World) -> None:
    _, address = link_beside_loopback(world)
    here, there = hearer(world), world.socket(kind=socket.SOCK_DGRAM)
    here.setsockopt(IP, IP_PKTINFO, 1)
    target = (GROUP, port_of(here))
    there.bind(("127.0.0.1", 0))
    group = socket.inet_aton(GROUP)
    # No address of loopback's is lent to who names none: others could not see it.
    for source, told in ((bytes(4), address), (LOOPBACK, LOOPBACK), (address, address)):
        for preferred in (bytes(4), bytes(8) + struct.pack("i", 1)):
            there.setsockopt(IP, socket.IP_MULTICAST_IF, preferred)
            assert there.sendmsg([b"x"], from_link(1, source), 0, target) == 1
            world.readable(here)
            data, beside, _, sender = here.recvmsg(9, 200)
            assert (data, socket.inet_aton(sender[0])) == (b"x", told)
            assert beside == [(IP, IP_PKTINFO, struct.pack("i", 1) + told + group)]


def test_k089_an_address_of_loopback_speaks_to_groups_on_no_other_link(world: World) -> None:
    number, address = link_beside_loopback(world)
    target = (GROUP, 9)
    for name in ("127.0.0.1", ""):
        there = world.socket(kind=socket.SOCK_DGRAM)
        there.bind((name, 0))
        there.setsockopt(IP, socket.IP_MULTICAST_IF, address if name else LOOPBACK)
        if name:
            world.gives("EINVAL", there.connect, target)
            world.gives("EINVAL", there.sendto, b"x", target)
        world.gives("EINVAL", there.sendmsg, [b"x"], from_link(number, LOOPBACK), 0, target)
        world.gives("EINVAL" if not name else 1, there.sendmsg, [b"x"], from_link(number if not name else 1), 0, target)
        there.setsockopt(IP, socket.IP_MULTICAST_IF, LOOPBACK)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        there.connect(target)
        assert there.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_k089_what_is_sent_to_the_hosts_own_address_comes_by_the_link_that_has_it(
    world: World, family: socket.AddressFamily
) -> None:
    number, address = link_beside_loopback(world)
    prefix = "::ffff:" if family == socket.AF_INET6 else ""
    here, there = world.socket(family, socket.SOCK_DGRAM), world.socket(family, socket.SOCK_DGRAM)
    here.bind(("", 0))
    here.setsockopt(IP, IP_PKTINFO, 1)
    for packed, link in ((LOOPBACK, 1), (address, number)):
        ip = prefix + socket.inet_ntoa(packed)
        there.sendto(b"x", (ip, port_of(here)))
        world.readable(here)
        assert here.recvmsg(9, 200)[1] == [(IP, IP_PKTINFO, struct.pack("i", link) + packed + packed)]
        if family == socket.AF_INET6:
            listener = world.listener(ip=ip)
            world.client(listener)
            assert world.accept(listener).getsockopt(IPV6, socket.IPV6_MULTICAST_IF) == link


def test_k089_a_message_may_take_the_address_away_that_a_socket_of_a_group_was_connected_from(world: World) -> None:
    number, address = link_beside_loopback(world)
    here = hearer(world)
    here.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, member(link=number))
    there = world.socket(kind=socket.SOCK_DGRAM)
    there.setsockopt(IP, socket.IP_MULTICAST_TTL, 0)  # it leaves the host nowhere
    there.bind((GROUP, 0))
    there.connect(("127.0.0.1", 9))
    target = (GROUP, port_of(here))
    for beside, source in (([], LOOPBACK), (from_link(0), address), (from_link(0, LOOPBACK), LOOPBACK)):
        there.sendmsg([b"x"], beside, 0, target)
        world.readable(here)
        assert socket.inet_aton(here.recvfrom(9)[1][0]) == source


def test_k089_the_newest_membership_says_who_is_heard_by_any_link_of_ipv6(world: World) -> None:
    number, _ = link_beside_loopback(world)
    group = f"ff01::77:{world.number % 0x10000:x}"  # which leaves the host nowhere
    here, there = (world.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in "ab")
    here.bind(("::", 0))
    there.setsockopt(IPV6, JOIN, asked(0, group))
    if world.name == "kernel" and outcome(lambda: there.sendto(b"x", (group, 9))) != 1:
        pytest.skip("this machine has no IPv6 but loopback's")
    target = (group, port_of(here))
    there.sendto(b"everybody is heard", target)
    world.gives(b"everybody is heard", here.recv, 99)
    here.setsockopt(IPV6, JOIN_SOURCE, asked(1, group, "::1"))
    there.sendto(b"of another link", target)
    world.pause()
    world.gives("EAGAIN", here.recv, 99)
    here.setsockopt(IPV6, JOIN, asked(number, group)[:136])
    there.sendto(b"newer", target)
    world.gives(b"newer", here.recv, 99)
    here.setsockopt(IPV6, LEAVE, asked(number, group))
    there.sendto(b"left", target)
    world.pause()
    world.gives("EAGAIN", here.recv, 99)
