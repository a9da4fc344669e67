"""Amounts that Linux counts whatever else a connection has set, however long it was idle, and whether it is accepted."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest

from tests.contract.worlds import World

TCP = socket.IPPROTO_TCP
OOB, MORE = socket.MSG_OOB, socket.MSG_MORE
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
CLAMP = (TCP, socket.TCP_WINDOW_CLAMP)
RECVERR = (socket.IPPROTO_IP, 11)
LOWEST = (TCP, socket.TCP_NOTSENT_LOWAT)
MAXSEG = (TCP, socket.TCP_MAXSEG)
NODELAY = (TCP, socket.TCP_NODELAY)
SNDBUF, RCVBUF = ((socket.SOL_SOCKET, name) for name in (socket.SO_SNDBUF, socket.SO_RCVBUF))
IDLE = 0.06  # seconds: an answer would have been one by then
FIN_WAIT1, FIN_WAIT2 = 4, 5  # as TCP_INFO has them
PROBED = 0.025  # seconds, by when the end of what was sent is probed, after 4 to 12 ms, and not acknowledged yet


def wait_for(world: World, wanted: Any, sock: Any, request: str) -> None:
    world.gives(wanted, lambda: "EAGAIN" if (n := world.ioctl(sock, request)) != wanted else n)


def talk(world: World, client: Any, server: Any) -> None:
    """A question and its answer: from now on acknowledgements come along with answers."""
    client.send(b"question")
    world.gives(b"question", server.recv, 10)
    server.send(b"answer")
    world.gives(b"answer", client.recv, 10)


def fill(sock: Any, each: int) -> int:
    """How many bytes *sock* takes in writes of *each*, until it takes none."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += sock.send(bytes(each))
    return taken


@pytest.mark.parametrize("option", [KEEPALIVE, RECVERR, (TCP, socket.TCP_KEEPIDLE)])
def test_k065_an_option_without_a_part_in_amounts_changes_none(world: World, option: tuple[int, int]) -> None:
    client, server = world.pair(options={option: 1})
    assert client.send(bytes(1_000_000)) == 1_000_000
    wait_for(world, 127_973, server, "FIONREAD")
    assert len(server.recv(131_072)) == 127_973
    wait_for(world, 95_232, server, "FIONREAD")


def test_k065_a_connection_that_was_idle_is_counted_from_its_first_data(world: World) -> None:
    client, server = world.pair()
    time.sleep(IDLE)
    assert client.send(bytes(65_536)) == 65_536
    wait_for(world, 65_536, server, "FIONREAD")
    wait_for(world, 32_795, client, "SIOCOUTQ")


def test_k060_after_a_pause_nagles_rule_holds_back_all_the_same(world: World) -> None:
    client, server = world.pair()
    time.sleep(IDLE)
    talk(world, client, server)
    client.send(b"first ")
    client.send(b"second")
    world.pause()
    world.gives(b"first ", server.recv, 100)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "writes", "rest"), [(1, 3930, 400), (5000, 3931, 480)])
def test_k064_a_pause_after_the_first_write_changes_nothing_of_how_much_the_next_ones_are(
    world: World, first: int, writes: int, rest: int
) -> None:
    def filled() -> int:
        client, server = world.pair()
        assert client.send(bytes(first)) == first
        time.sleep(IDLE)
        taken = fill(client, 1000)
        assert server.recv(first) == bytes(first)
        return taken

    world.counts(writes * 1000 + rest, filled)


def test_k065_who_is_not_accepted_yet_is_counted(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    client.send(bytes(8192))
    assert client.send(bytes(1_000_000), MORE) == 1_000_000
    wait_for(world, 888_384, client, "SIOCOUTQ")


def test_k060_the_end_goes_with_what_more_held_back_of_a_large_write(world: World) -> None:
    client, server = world.pair(options={RECVERR: 1, CLAMP: 1_000_000})
    client.send(b"of", MORE)
    client.send(bytes(65_536), MORE)
    client.shutdown(socket.SHUT_RDWR)
    world.ready(server, "IN|OUT|RDHUP")
    assert world.ioctl(server, "FIONREAD") == 65_538


def test_k090_a_large_urgent_write_finds_the_window_that_a_set_buffer_counts(world: World) -> None:
    listener = world.listener()
    client = world.client(listener, options={RCVBUF: 20_000})
    server = world.accept(listener)
    assert client.send(bytes(100_000), OOB) == 100_000
    world.ready(server, "IN|PRI|OUT")


@pytest.mark.parametrize(("lowest", "taken"), [(1, 98_223), (3_000, 98_223), (65_000, 130_964), (0, 200_000)])
def test_k068_notsent_lowat_is_counted_in_segments_as_they_go(world: World, lowest: int, taken: int) -> None:
    client, server = world.pair(options={LOWEST: lowest})
    assert client.send(bytes(200_000)) == taken
    world.readable(server)


def test_k068_notsent_lowat_of_an_open_connection_too(world: World) -> None:
    client, server = world.pair()
    client.setsockopt(*LOWEST, 3000)
    assert client.send(bytes(200_000)) == 98_223
    world.ready(client, "OUT")
    assert client.send(bytes(200_000)) == 47_616
    world.ready(client, "0")
    world.gives("EAGAIN", client.send, b"x")
    client.setsockopt(*LOWEST, 0)
    world.ready(client, "OUT")
    world.readable(server)


def test_k062_what_waits_goes_with_the_probe_of_what_went_before(world: World) -> None:
    client, server = world.pair()
    client.send(bytes(65_536))
    client.send(bytes(40_000))
    time.sleep(PROBED)
    assert (world.ioctl(server, "FIONREAD"), world.ioctl(client, "SIOCOUTQ")) == (105_536, 72_795)


def test_k062_a_probe_that_has_nothing_new_is_acknowledged(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 100_000, NODELAY: 1})
    talk(world, client, server)
    client.send(b"more ")
    client.send(b"than one")
    assert world.ioctl(client, "SIOCOUTQ") == 13
    time.sleep(PROBED)
    assert world.ioctl(client, "SIOCOUTQ") == 0


@pytest.mark.parametrize("ends", ["shutdown", "close"])
def test_k062_a_fin_behind_what_is_not_acknowledged_is_probed(world: World, ends: str) -> None:
    client, server = world.pair()
    server.send(b"question")
    client.send(b"answer")
    world.gives(b"answer", server.recv, 10)
    server.send(b"more")
    server.shutdown(socket.SHUT_WR) if ends == "shutdown" else server.close()
    client.send(b"held back", socket.MSG_MORE)
    time.sleep(PROBED)  # who hears a segment once more sends what only MSG_MORE holds
    if ends == "shutdown":
        world.gives(b"held back", server.recv, 10)
        assert server.getsockopt(TCP, socket.TCP_INFO, 1)[0] == FIN_WAIT2
        assert world.ioctl(server, "SIOCOUTQ") == 0
    else:
        world.ready(client, "IN|OUT|RDHUP|ERR|HUP")


def test_k062_a_fin_that_goes_with_the_data_is_not_probed(world: World) -> None:
    def left() -> Any:
        client, server = world.pair()
        server.send(b"question")
        client.send(b"answer")
        world.gives(b"answer", server.recv, 10)
        server.send(b"more", socket.MSG_MORE)
        server.shutdown(socket.SHUT_WR)
        time.sleep(PROBED)
        return world.ioctl(server, "SIOCOUTQ")

    world.counts(5, left)


@pytest.mark.parametrize(
    ("size", "state", "left"),
    [(500, FIN_WAIT1, 501), (1000, FIN_WAIT2, 0), (32_768, FIN_WAIT2, 0), (40_000, FIN_WAIT1, 1)],
)
def test_k062_a_fin_after_a_dialogue_is_acknowledged_if_more_than_a_segment_is_not(
    world: World, size: int, state: int, left: int
) -> None:
    client, server = world.pair()
    talk(world, client, server)
    client.send(bytes(size))
    client.shutdown(socket.SHUT_WR)
    assert (client.getsockopt(TCP, socket.TCP_INFO, 1)[0], world.ioctl(client, "SIOCOUTQ")) == (state, left)


@pytest.mark.parametrize("ended", [False, True], ids=["open", "shutdown"])
@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_k062_a_reset_acknowledges_nothing_that_was_not_before(world: World, size: int, ended: bool) -> None:
    def left() -> tuple[int, int]:
        client, server = world.pair()
        talk(world, client, server)
        client.send(bytes(size))
        if ended:
            client.shutdown(socket.SHUT_WR)
        before = world.ioctl(client, "SIOCOUTQ")
        server.close()
        world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
        return before, world.ioctl(client, "SIOCOUTQ")

    unacknowledged = 0 if ended and size == 10_000 else size + ended
    world.counts((unacknowledged, unacknowledged), left)  # a kernel that is held up has acknowledged it by then


def test_k062_who_is_probed_sends_what_only_more_holds(world: World) -> None:
    client, server = world.pair(options={NODELAY: 1})
    talk(world, client, server)
    client.send(b"more ")
    client.send(b"than one")
    server.send(b"held back", socket.MSG_MORE)
    time.sleep(PROBED)
    world.gives(b"held back", client.recv, 10)


def test_k062_two_writes_that_nobody_counts_are_probed_too(world: World) -> None:
    client, server = world.pair(options={NODELAY: 1})
    talk(world, client, server)
    client.send(b"more ")
    client.send(b"than one")
    assert world.ioctl(client, "SIOCOUTQ") == 5 + 8
    time.sleep(PROBED)
    assert world.ioctl(client, "SIOCOUTQ") == 0
    server.send(b"held back", socket.MSG_MORE)
    time.sleep(PROBED)  # again, and this time there is nothing to probe
    world.gives("EAGAIN", client.recv, 10)


def test_k062_the_end_of_who_has_said_nothing_is_acknowledged_within_a_tick(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 100_000})
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP")
    time.sleep(PROBED)
    assert world.ioctl(client, "SIOCOUTQ") == 0


def test_k060_a_byte_that_more_holds_back_stops_nothing_that_comes(world: World) -> None:
    client, server = world.full_pair()
    client.shutdown(socket.SHUT_RDWR)
    server.send(b"k", MORE)
    for _ in range(20):
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            server.recv(65_536)
        world.acknowledge(server)
        world.pause()
    world.ready(server, "IN|OUT|RDHUP|HUP")  # what came let the byte go, and its answer was a reset


@pytest.mark.slow
@pytest.mark.parametrize(("each", "all_of_them", "there"), [(840, 3_930_888, 88_328), (859, 3_940_163, 87_875)])
def test_k064_a_buffer_is_counted_from_where_segments_just_do_and_do_not_open_the_window(
    world: World, each: int, all_of_them: int, there: int
) -> None:
    def filled() -> tuple[int, int]:
        client, server = world.pair()
        return fill(client, each), world.ioctl(server, "FIONREAD")

    world.counts((all_of_them, there), filled)


@pytest.mark.parametrize(("each", "all_of_them", "there"), [(3000, 3_949_728, 86_176), (16_384, 3_940_352, 87_040)])
def test_k064_a_buffer_that_nobody_has_set_takes_more_of_some_writes_than_of_others(
    world: World, each: int, all_of_them: int, there: int
) -> None:
    def filled() -> tuple[int, int]:
        client, server = world.pair()
        counted = fill(client, each), world.ioctl(server, "FIONREAD")
        world.ready(client, "0")
        assert len(server.recv(65_536)) == 65_536
        wait_for(world, counted[1] - 65_536, server, "FIONREAD")
        return counted

    world.counts((all_of_them, there), filled)


@pytest.mark.parametrize(
    ("options", "taken", "there"),
    [({LOWEST: 3000}, 32_741, 32_740), ({MAXSEG: 500}, 14_640, 14_639), ({SNDBUF: 2000}, 32_741, 32_740)],
    ids=["notsent-lowat", "maxseg", "sndbuf"],
)
def test_k090_a_large_urgent_write_is_cut_into_single_segments(
    world: World, options: dict[Any, int], taken: int, there: int
) -> None:
    client, server = world.pair(options=options)
    assert client.send(bytes(65_536), OOB) == taken
    world.ready(server, "IN|PRI|OUT")
    assert world.ioctl(server, "FIONREAD") == there
    world.gives(b"\0", server.recv, 1, OOB)


def test_k090_while_an_urgent_byte_is_not_acknowledged_nothing_waits_in_small_buffers(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 20_000})
    talk(world, client, server)
    client.send(b"first!", OOB)
    client.send(b"second")
    client.send(b"third")
    world.pause()
    world.gives(b"first", server.recv, 100)
    world.gives(b"secondthird", server.recv, 100)


def test_k060_msg_eor_begins_a_segment_in_small_buffers_too(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 2000})
    client.send(b"begin")
    world.readable(server)
    assert client.send(bytes(32_741), MORE) == 32_741
    assert client.send(b"end", socket.MSG_EOR) == 3


@pytest.mark.parametrize("each", [65_536, 100_000])
def test_k090_an_urgent_write_is_counted_where_nobody_has_set_a_buffer(world: World, each: int) -> None:
    client, server = world.pair()
    assert client.send(bytes(each), OOB) == each
    world.ready(server, "IN|PRI|OUT")
    wait_for(world, each - 32_741, client, "SIOCOUTQ")


def test_k091_who_passes_an_urgent_byte_only_has_read_nothing_that_is_acknowledged(world: World) -> None:
    client, server = world.pair()
    assert client.send(bytes(40_000), OOB) == 40_000
    world.gives(b"\0", server.recv, 1, OOB)
    assert len(server.recv(50_000)) == 39_999
    world.gives("EAGAIN", server.recv, 10)
    assert world.ioctl(client, "SIOCOUTQ") == 7_259


def test_k061_an_urgent_byte_is_enough_where_hardly_a_segment_fits(world: World) -> None:
    client, server = world.pair()
    client.send(b"hello")
    assert client.send(bytes(100_000), OOB) == 100_000
    world.gives(b"\0", server.recv, 1, OOB)
    assert len(server.recv(50_000)) == 50_000
    assert len(server.recv(100_000)) == 50_004
    world.ready(server, "IN|OUT")


@pytest.mark.parametrize("large", [32_740, 32_741])
def test_k060_more_holds_back_from_who_has_closed_what_is_less_than_a_segment(world: World, large: int) -> None:
    client, server = world.pair()
    client.close()
    world.ready(server, "IN|OUT|RDHUP")
    server.send(bytes(large), MORE)
    world.pause()
    world.ready(server, "IN|OUT|RDHUP")
    assert server.send(bytes(40_000)) == 40_000
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")


def test_k062_what_was_not_acknowledged_at_a_reset_stays_to_be_asked_for(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 100_000})
    client.send(b"question")
    world.readable(server)
    server.send(bytes(100_000))
    client.send(b"more")
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.ioctl(client, "SIOCOUTQ") == 4


def test_k061_rcvlowat_closes_no_accounts_and_says_when_there_is_enough(world: World) -> None:
    client, server = world.pair(options={SNDBUF: 20_000})
    client.send(b"less than a hundred")
    world.ready(server, "IN|OUT")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100)
    world.ready(server, "OUT")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
    assert client.send(bytes(100_000)) == 65_536
    world.ready(server, "IN|OUT")
    wait_for(world, 0, client, "SIOCOUTQ")


def test_k060_a_fin_tells_of_a_larger_segment_to_more(world: World) -> None:
    client, server = world.pair()
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP")
    client.send(bytes(32_741), MORE)
    world.pause()
    world.ready(server, "OUT")


@pytest.mark.parametrize(
    ("of_listener", "of_client", "segments", "limits"),
    [
        pytest.param(600, 0, (26_208, 32_768), (65_536, 53_248), id="of-the-listener"),
        pytest.param(70_000, 0, (35_087, 32_768), (65_536, 71_168), id="large-of-the-listener"),
        pytest.param(0, 20_000, (35_328, 10_000), (20_000, 71_168), id="of-the-client"),
        pytest.param(0, 70_000, (35_328, 32_748), (65_536, 71_168), id="large-of-the-client"),
    ],
)
def test_k131_a_limit_of_the_window_from_before_the_connection_is_counted(
    world: World, of_listener: int, of_client: int, segments: tuple[int, int], limits: tuple[int, int]
) -> None:
    listener = world.listener(options={CLAMP: of_listener})
    client = world.client(listener, options={CLAMP: of_client})
    server = world.accept(listener)
    client.send(bytes(1000))
    wait_for(world, 1000, server, "FIONREAD")
    assert tuple(end.getsockopt(*MAXSEG) for end in (client, server)) == segments
    assert tuple(end.getsockopt(*CLAMP) for end in (client, server)) == limits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "taken", "there", "limit"),
    [
        pytest.param({RCVBUF: 100_000}, 3_969_810, 133_870, 196_875, id="rcvbuf"),
        pytest.param({CLAMP: 20_000}, 3_911_506, 77_767, 127_488, id="another-limit"),
    ],
)
def test_k131_a_limit_of_the_window_of_an_open_connection_is_counted_too(
    world: World, before: dict[Any, int], taken: int, there: int, limit: int
) -> None:
    def filled() -> tuple[int, int, int]:
        listener = world.listener()
        client = world.client(listener, options=before)
        server = world.accept(listener)
        client.setsockopt(*CLAMP, 5000)
        return fill(server, 1000), world.ioctl(client, "FIONREAD"), client.getsockopt(*CLAMP)

    world.counts((taken, there, limit), filled)


@pytest.mark.parametrize(
    ("options", "each", "first", "later"),
    [
        pytest.param({SNDBUF: 16_384}, 300, 42_968, 40_728, id="a-small-sender"),
        pytest.param({SNDBUF: 16_384}, 100, 36_168, 40_712, id="of-less"),
        pytest.param({SNDBUF: 8192, RCVBUF: 4096}, 300, 8400, 11_100, id="and-a-small-receiver"),
    ],
)
def test_k065_small_writes_at_once_are_so_many_packets_and_what_is_put_together_behind(
    world: World, options: dict[Any, int], each: int, first: int, later: int
) -> None:
    def filled() -> tuple[int, int]:
        listener = world.listener(options={option: n for option, n in options.items() if option == RCVBUF})
        client = world.client(listener, options={**options, NODELAY: 1})
        world.accept(listener)
        at_first = fill(client, each)
        time.sleep(IDLE)
        return at_first, fill(client, each)

    world.counts((first, later), filled)


def test_k065_the_packets_on_their_way_grow_no_more_by_writes_that_are_acknowledged_one_by_one(world: World) -> None:
    def filled() -> int:
        client, server = world.pair(options={SNDBUF: 8192, NODELAY: 1})
        sent = 0
        with contextlib.suppress(BlockingIOError):
            for _ in range(400):
                sent += client.send(b"0123456789")  # 18 of them fill no buffer: what comes behind shares one segment
        time.sleep(PROBED)
        wait_for(world, sent, server, "FIONREAD")  # though the first are not acknowledged: the probe has brought it
        return sent

    world.counts(4000, filled)


def test_k065_what_the_interface_cuts_itself_is_heard_by_the_segment(world: World) -> None:
    listener = world.listener(options={RCVBUF: 262_144})
    client = world.client(listener, options={SNDBUF: 65_536})
    world.accept(listener)
    # Of which the last 65,534 are two segments, and two acknowledgements.
    assert client.send(bytes(1_000_000)) == 131_068
    assert client.send(bytes(1_000_000)) == 130_966  # so that of these none is acknowledged at once
    with pytest.raises(BlockingIOError):
        client.send(b"x")
