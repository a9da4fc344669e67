"""What links do to a connection: latency, jitter, bandwidth, loss, reordering, duplication, partitions."""

from __future__ import annotations

import errno
import fcntl
import random
import socket
import time

import pytest

import simnet
from simnet.link import PROFILES

PAYLOAD = random.Random(1).randbytes(200_000)


def echo(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


def talk(net: simnet.Network, payload: bytes = PAYLOAD) -> bytes:
    net.host("server").spawn(echo, 7)
    with socket.create_connection(("server", 7)) as sock:
        answer = b""
        for at in range(0, len(payload), 10_000):
            piece = payload[at : at + 10_000]
            sock.sendall(piece)
            while len(answer) < at + len(piece):
                answer += sock.recv(65536)
        sock.shutdown(socket.SHUT_WR)
        return answer + sock.makefile("rb").read()


@pytest.mark.parametrize(
    "hurts",
    [
        {"loss": 0.1},
        {"reordering": 0.2},
        {"duplication": 0.2},
        {"jitter": 0.02},
        {"bandwidth": 1e6},
        {"loss": 0.05, "reordering": 0.1, "duplication": 0.1, "jitter": 0.005, "bandwidth": 1e6, "mtu": 576},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_every_byte_arrives_in_order_whatever_the_link_does(hurts: dict[str, float], seed: int) -> None:
    with simnet.Network(seed=seed) as net:
        link = net.link("test", "server")
        for name, value in hurts.items():
            setattr(link, name, value)
        assert talk(net) == PAYLOAD


def test_the_same_seed_loses_the_same_segments() -> None:
    def run(seed: int) -> str:
        with simnet.Network(seed=seed) as net:
            net.link("test", "server").loss = 0.2
            talk(net, PAYLOAD[:20_000])
        return net.trace.digest()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_bandwidth_is_bytes_a_second() -> None:
    with simnet.Network() as net:
        net.link("test", "server").bandwidth = 100_000
        net.host("server").spawn(echo, 7)
        with socket.create_connection(("server", 7)) as sock:
            began = net.time
            sock.sendall(b"x" * 100_000)
            sock.shutdown(socket.SHUT_WR)
            sock.makefile("rb").read()
            # A second there and, beginning with the first segment, a second back; headers cost 2.7 % more.
            assert 1.0 < net.time - began < 1.2


def test_a_partition_that_heals_costs_retransmissions_and_no_bytes() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"before ")
            assert sock.recv(100) == b"before "
            net.partition("test", "server")
            sock.sendall(b"during")
            time.sleep(5)
            net.heal("test", "server")
            assert sock.recv(100) == b"during"
            assert 5 < net.time < 20


def test_a_partition_that_does_not_heal_ends_in_etimedout() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        with socket.create_connection(("server", 7)) as sock:
            net.partition("test", "server", one_way=True)
            sock.sendall(b"lost")
            with pytest.raises(TimeoutError, match="timed out"):
                sock.recv(1)
            assert 900 < net.time < 1_000  # tcp_retries2 = 15: 924.6 s, ip-sysctl


# The server says its SYN-ACK for 63 s, the client its SYN at 67 s for the last time.
@pytest.mark.parametrize(("parted", "seconds"), [(0.05, 65), (0.15, 20)], ids=["the SYN", "its answer"])
def test_a_handshake_on_whose_way_the_path_breaks_is_gone_on_with(parted: float, seconds: float) -> None:
    with simnet.Network() as net:
        net.link("client", "server").latency = 0.1
        heard: list[object] = []

        def greet() -> None:
            with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
                connection.sendall(b"hello")

        def ask() -> None:
            with socket.create_connection(("server", 7)) as sock:
                heard.append(sock.recv(5))

        net.host("server").spawn(greet)
        asking = net.host("client").spawn(ask)
        net.run(parted)  # SYN, SYN-ACK and ACK take 100 ms each, and one of them is on its way
        net.partition("client", "server")
        net.run(seconds)
        net.heal()
        asking.join(200)
        assert heard == [b"hello"]


def test_who_waits_for_room_when_the_path_breaks_goes_on_when_it_is_whole() -> None:
    with simnet.Network() as net:
        net.link("client", "server").latency = 0
        heard: list[int] = []

        def take() -> None:
            with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
                size = 0
                while size < 150_000:
                    size += len(connection.recv(70_000))
                time.sleep(10)  # the last of it is acknowledged after 40 ms
                heard.append(size + len(connection.makefile("rb").read()))

        def give() -> None:
            with socket.create_connection(("server", 7)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
                for size in (70_000, 70_000, 70_000, 70_000, 20_000):
                    sock.sendall(bytes(size))

        taking = net.host("server").spawn(take)
        net.host("client").spawn(give)
        net.run(0.02)
        net.partition("client", "server")
        net.run(1)
        net.heal()
        taking.join(100)
        assert heard == [300_000]


def test_partitions_one_way_add_up_and_heal_together() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        with socket.create_connection(("server", 7)) as sock:
            net.partition("test", "server", one_way=True)
            net.partition("server", "test", one_way=True)  # and nothing gets through from there, besides
            assert repr(net.link("test", "server")).endswith("nothing from test, nothing from server)")
            sock.sendall(b"lost")
            net.run(10)
            assert not any(each.op == "data" for each in net.trace if each.time_ns > 1_000_000_000)
            net.partition("test", "server")
            net.partition("test", "server", one_way=True)  # which it is already
            net.heal()
            assert sock.recv(4) == b"lost"


def test_what_waited_behind_a_hole_says_nothing_of_the_round_trip() -> None:
    with simnet.Network() as net:
        link = net.link("test", "server")
        net.host("server").spawn(echo, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.loss = 1
            sock.sendall(b"1")
            link.loss = 0
            sock.sendall(b"2")
            sock.sendall(b"3")
            time.sleep(0.001)  # they arrive, and wait there
            net.partition("test", "server")
            time.sleep(20)
            net.heal()
            assert sock.recv(3, socket.MSG_WAITALL) == b"123"
            link.loss = 1
            sock.sendall(b"4")
            began = net.time
            link.loss = 0
            assert sock.recv(1) == b"4"
            assert net.time - began < 0.5  # TCP_RTO_MIN and a little more: a round trip is 2 ms


OPTIONS = [
    pytest.param(
        {}, True, 926.848, id="tcp_retries2"
    ),  # 924.6 s after the first repetition that was no probe, at the next one (ip-sysctl)
    pytest.param({(6, 18): 5_000}, True, 5.404, id="TCP_USER_TIMEOUT"),  # ms, from the first repetition, after 0.404 s
    pytest.param({(1, 9): 1}, False, 7_874.999, id="keepalive"),  # 7200 s since the handshake, and 9 probes 75 s apart
    pytest.param({(1, 9): 1, (6, 4): 10, (6, 5): 3, (6, 6): 4}, False, 21.999, id="keepalive-of-ones-own"),
]


@pytest.mark.parametrize(("options", "sends", "seconds"), OPTIONS)
def test_a_peer_that_is_gone_is_found_out_when_linux_does(
    options: dict[tuple[int, int], int], sends: bool, seconds: float
) -> None:
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        with socket.create_connection(("server", 7)) as sock:
            peer, _ = listener.accept()
            for (level, name), value in options.items():
                sock.setsockopt(level, name, value)
            began = net.time
            net.partition("test", "server")
            if sends:
                sock.send(b"is anybody there?")
            with pytest.raises(TimeoutError) as error:
                sock.recv(1)  # blocking, without a time-out of its own
            assert error.value.errno == errno.ETIMEDOUT
            assert net.time - began == pytest.approx(seconds, abs=0.001)
            peer.close()
        listener.close()


def test_a_connect_into_a_partition_gives_up_after_its_retries() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        net.partition("test", "server")
        with pytest.raises(TimeoutError):
            socket.create_connection(("server", 7))
        assert 60 < net.time < 140  # tcp_syn_retries = 6


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_a_link_that_works(profile: str) -> None:
    with simnet.Network() as net:
        net.link("test", "server").use(profile)
        assert talk(net, PAYLOAD[:20_000]) == PAYLOAD[:20_000]


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", 1.5), ("loss", -0.1), ("latency", -1), ("bandwidth", 0), ("mtu", 10), ("jitter", 1e9)],
)
def test_what_cannot_be_is_refused_with_the_value(name: str, value: float) -> None:
    link = simnet.Network().link("a", "b")
    with pytest.raises(ValueError, match=rf"{name}="):
        setattr(link, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", 0), ("loss", 1), ("latency", 0), ("latency", 86_400), ("bandwidth", 0.5), ("mtu", 68), ("mtu", 65_536)],
)
def test_what_is_barely_possible_is_taken(name: str, value: float) -> None:
    link = simnet.Network().link("a", "b")
    setattr(link, name, value)
    assert getattr(link, name) == value


def test_a_link_prints_what_has_been_set() -> None:
    net = simnet.Network()
    link = net.link("b", "a")
    assert repr(link) == "Link(a <-> b, latency=0.001 s)"
    link.jitter, link.bandwidth, link.duplication = 0.5, 1000, 0.25
    net.partition("b", "a", one_way=True)
    assert repr(link) == (
        "Link(a <-> b, latency=0.001 s, jitter=0.5 s, bandwidth=1000 B/s, duplication=0.25, nothing from b)"
    )


@pytest.mark.parametrize("name", ["latency", "jitter", "bandwidth", "loss", "reordering", "duplication", "mtu"])
def test_what_is_no_number_is_refused(name: str) -> None:
    link = simnet.Network().link("a", "b")
    for wrong in ("fast", True):
        with pytest.raises(TypeError, match=f"{name}={wrong!r} is no number"):
            setattr(link, name, wrong)


def test_a_packet_has_a_whole_number_of_bytes() -> None:
    link = simnet.Network().link("a", "b")
    for wrong in (1500.0, float("nan")):
        with pytest.raises(TypeError, match=f"mtu={wrong!r} is no whole number of bytes"):
            link.mtu = wrong  # type: ignore[assignment]


def test_an_unknown_profile_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="loopback, lan, wan, 3g, satellite"):
        simnet.Network().link("a", "b").use("carrier pigeon")


def listen_to(group: str, heard: list[tuple[str, bytes]], name: str) -> None:
    """Say what comes for *group*, if this host is a member, or for everybody."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 5353))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(family, group) + bytes(4))
        elif group:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4))
        while True:
            heard.append((name, sock.recv(100)))


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb", ""])
def test_what_is_for_many_is_heard_on_every_host_that_listens(group: str) -> None:
    heard: list[tuple[str, bytes]] = []
    with simnet.Network() as net:
        for name in ("test", "near", "far", "cut"):
            net.host(name).spawn(listen_to, group, heard, name)
        net.host("elsewhere").spawn(listen_to, "224.0.0.250" if group else "", heard, "elsewhere")
        net.link("test", "far").latency = 0.2
        net.partition("test", "cut")
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if not group:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.sendto(b"who is there?", (group or "255.255.255.255", 5353))
            net.sleep(0.1)
            names = [name for name, _ in heard]
            assert names == ["test", "near"] + ["elsewhere"] * (not group)
            net.sleep(0.2)
            assert heard[-1] == ("far", b"who is there?")
            assert len(heard) == len(names) + 1


@pytest.mark.parametrize(
    ("option", "value", "where"),
    [
        (socket.IP_MULTICAST_LOOP, 0, ["other"]),
        (socket.IP_MULTICAST_TTL, 0, ["test"]),
        (socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"), []),
    ],
)
def test_what_a_socket_says_of_groups_holds_for_other_hosts_too(
    option: int, value: int | bytes, where: list[str]
) -> None:
    heard: list[tuple[str, bytes]] = []
    with simnet.Network() as net:
        for name in ("test", "other"):
            net.host(name).spawn(listen_to, "224.0.0.251", heard, name)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, option, value)
            sock.sendto(b"hello", ("224.0.0.251", 5353))
            net.sleep(1)
    assert [name for name, _ in heard] == where


def unacknowledged(sock: socket.socket) -> int:
    """SIOCOUTQ."""
    return int.from_bytes(fcntl.ioctl(sock, 0x5411, bytes(4)), "little")


def test_what_is_on_its_way_over_a_link_is_not_acknowledged() -> None:
    with simnet.Network() as net:
        net.link("test", "server").latency = 0.02
        listener = net.host("server").listen(7)
        with socket.create_connection(("server", 7)) as sock:
            peer, _ = listener.accept()
            sock.send(b"x" * 50)
            time.sleep(0.03)
            sock.send(b"y" * 5)
            assert unacknowledged(sock) == 55
            time.sleep(0.011)
            assert unacknowledged(sock) == 5
            time.sleep(0.03)
            assert unacknowledged(sock) == 0
            sock.send(b"z")
            sock.shutdown(socket.SHUT_WR)
            assert unacknowledged(sock) == 2  # the FIN has a number of its own
            peer.shutdown(socket.SHUT_WR)
            time.sleep(0.021)
            assert unacknowledged(sock) == 2  # CLOSING: that of the peer came, and no acknowledgement
            time.sleep(0.02)
            assert unacknowledged(sock) == 0
            peer.close()
        listener.close()


def test_keepalive_counts_from_when_the_peer_was_heard_last() -> None:
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        with socket.create_connection(("server", 7)) as sock:
            peer, _ = listener.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, seconds in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 3), (socket.TCP_KEEPCNT, 2)):
                sock.setsockopt(socket.IPPROTO_TCP, option, seconds)
            time.sleep(5)
            began = net.time
            peer.send(b"heard")
            time.sleep(17)  # meanwhile a probe was answered, after 10 s
            net.partition("test", "server")
            assert sock.recv(9) == b"heard"
            with pytest.raises(TimeoutError) as error:
                sock.recv(1)
            assert error.value.errno == errno.ETIMEDOUT
            assert net.time - began == pytest.approx(10 + 10 + 2 * 3, abs=0.01)
            peer.close()
        listener.close()


def test_an_idle_time_set_in_a_partition_counts_at_once() -> None:
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        with socket.create_connection(("server", 7)) as sock:
            peer, _ = listener.accept()
            net.partition("test", "server")
            began = net.time
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            assert net.time - began == pytest.approx(2, abs=0.01)
            peer.close()
        listener.close()


@pytest.mark.parametrize(
    ("option", "value", "seconds"),
    [
        (socket.TCP_USER_TIMEOUT, 300, 1),
        (socket.TCP_USER_TIMEOUT, 1500, 1.5),
        (socket.TCP_SYNCNT, 1, 3),
        (socket.TCP_SYNCNT, 2, 7),
    ],
)
def test_a_connect_that_nobody_answers_ends_when_linux_ends_it(option: int, value: int, seconds: float) -> None:
    with simnet.Network() as net:
        net.host("server")
        net.partition("test", "server")
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
            with pytest.raises(TimeoutError) as error:
                sock.connect(("server", 7))
            assert error.value.errno == errno.ETIMEDOUT
        assert net.time == pytest.approx(seconds, abs=0.001)  # since the first SYN, not the first that was repeated


@pytest.mark.parametrize("loses", [False, True])
def test_who_is_not_read_from_over_a_link_for_longer_than_tcp_user_timeout_is_timed_out(loses: bool) -> None:
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        sock = socket.create_connection(("server", 7))
        peer, _ = listener.accept()
        if loses:
            net.link("test", "server").loss = 0.001
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
        with pytest.raises(TimeoutError) as error:
            sock.sendall(bytes(20_000_000))
        assert error.value.errno == errno.ETIMEDOUT
        assert net.time == pytest.approx(3.2, abs=0.1)
        for each in (sock, peer, listener):
            each.close()
