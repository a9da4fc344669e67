"""How much a send takes, goes out and is acknowledged, step by step: K-062 to K-066, where Linux counts memory."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any

import pytest

from tests.contract.worlds import World

SNDBUF = (socket.SOL_SOCKET, socket.SO_SNDBUF)
RCVBUF = (socket.SOL_SOCKET, socket.SO_RCVBUF)
MAXSEG = (socket.IPPROTO_TCP, socket.TCP_MAXSEG)
SPEAKS_AGAIN = 5  # a kernel that pauses for 40 ms acknowledges meanwhile

Options = dict[tuple[int, int], int]
Look = tuple[int, int, int, bool]  # of one end: SIOCOUTQ, SIOCOUTQNSD, FIONREAD, and whether poll says OUT
Step = tuple[str, int, Look, Look]  # what is done, the answer, and a look at opener and acceptor

# fmt: off
DIALOGUES: dict[str, tuple[Options, Options, list[Step]]] = {
    "a-window-of-8192": (
        {},
        {RCVBUF: 8192},
        [
            ("opener sends 20000", 20_000, (15_904, 7_712, 0, True), (0, 0, 12_288, True)),
            ("acceptor reads 8192", 8_192, (7_712, 0, 0, True), (0, 0, 11_808, True)),
            ("acceptor reads 8192", 8_192, (0, 0, 0, True), (0, 0, 3_616, True)),
            ("opener sends 1", 1, (1, 0, 0, True), (0, 0, 3_617, True)),
        ],
    ),
    "the-smallest-window": (
        {},
        {RCVBUF: 1},
        [
            ("opener sends 5426", 5_426, (4_850, 4_274, 0, True), (0, 0, 1_152, True)),
            ("acceptor reads 1000", 1_000, (4_850, 4_274, 0, True), (0, 0, 152, True)),
            ("acceptor reads 1000", 152, (4_274, 3_698, 0, True), (0, 0, 576, True)),
            ("acceptor reads 1000", 576, (3_698, 3_122, 0, True), (0, 0, 576, True)),
        ],
    ),
    "an-odd-window": (
        {RCVBUF: 5000},
        {},
        [
            ("acceptor sends 1000", 1_000, (0, 0, 1_000, True), (0, 0, 0, True)),
            ("acceptor sends 8127", 8_127, (0, 0, 7_500, True), (5_627, 1_627, 0, True)),
            ("opener reads 5000", 5_000, (0, 0, 2_500, True), (1_627, 1_627, 0, True)),
            ("opener reads 5000", 2_500, (0, 0, 1_627, True), (1_627, 0, 0, True)),
        ],
    ),
    "full-drained-full-again": (
        {SNDBUF: 4096, RCVBUF: 4096},
        {RCVBUF: 4096, SNDBUF: 4096},
        [
            ("opener fills 1000", 9_000, (7_000, 6_000, 0, False), (0, 0, 3_000, True)),
            ("acceptor drains 4096", 9_000, (0, 0, 0, True), (0, 0, 0, True)),
            ("opener fills 1000", 7_000, (6_000, 2_952, 0, False), (0, 0, 4_048, True)),
            ("acceptor drains 4096", 7_000, (0, 0, 0, True), (0, 0, 0, True)),
            ("opener fills 1000", 6_000, (6_000, 2_952, 0, False), (0, 0, 3_048, True)),
        ],
    ),
    "full-again-with-large-writes": (
        {SNDBUF: 10000},
        {RCVBUF: 8192},
        [
            ("opener fills 20000", 24_096, (20_000, 11_808, 0, False), (0, 0, 12_288, True)),
            ("acceptor drains 65536", 24_096, (0, 0, 0, True), (0, 0, 0, True)),
            ("opener fills 5000", 18_192, (18_192, 13_192, 0, False), (0, 0, 5_000, True)),
            ("acceptor reads 3000", 3_000, (13_192, 9_096, 0, False), (0, 0, 6_096, True)),
            ("acceptor drains 65536", 15_192, (0, 0, 0, True), (0, 0, 0, True)),
            ("opener fills 20000", 20_000, (20_000, 11_808, 0, False), (0, 0, 8_192, True)),
        ],
    ),
    "full-after-small-writes": (
        {SNDBUF: 1},
        {RCVBUF: 2304},
        [
            ("opener fills 300", 3_204, (2_604, 1_152, 0, False), (0, 0, 2_052, True)),
            ("acceptor reads 2000", 2_000, (1_152, 1_152, 0, True), (0, 0, 52, True)),
            ("opener fills 300", 2_700, (3_852, 3_852, 0, False), (0, 0, 52, True)),
            ("acceptor drains 100", 3_904, (0, 0, 0, True), (0, 0, 0, True)),
        ],
    ),
    "both-write": (
        {RCVBUF: 5000, SNDBUF: 5000},
        {RCVBUF: 5000, SNDBUF: 5000},
        [
            ("opener sends 9000", 9_000, (6_500, 1_500, 0, False), (0, 0, 7_500, True)),
            ("acceptor sends 9000", 9_000, (1_500, 1_500, 7_500, True), (6_500, 1_500, 7_500, False)),
            ("opener reads 4000", 4_000, (1_500, 1_500, 5_000, True), (1_500, 0, 7_500, True)),
            ("acceptor reads 4000", 4_000, (1_500, 0, 5_000, True), (0, 0, 5_000, True)),
            ("opener sends 9000", 7_500, (9_000, 7_500, 5_000, False), (0, 0, 5_000, True)),
            ("acceptor drains 65536", 12_500, (0, 0, 5_000, True), (0, 0, 0, True)),
        ],
    ),
    "a-small-send-buffer-alone": (
        {SNDBUF: 8192},
        {},
        [
            ("opener sends 16384", 16_384, (0, 0, 0, True), (0, 0, 16_384, True)),
            ("opener sends 40000", 40_000, (40_000, 0, 0, False), (0, 0, 56_384, True)),
            ("acceptor reads 10000", 10_000, (40_000, 0, 0, False), (0, 0, 46_384, True)),
            ("opener sends 40000", -1, (40_000, 0, 0, False), (0, 0, 46_384, True)),
        ],
    ),
    "small-segments": (
        {MAXSEG: 1000},
        {RCVBUF: 10000},
        [
            ("opener sends 402", 402, (0, 0, 0, True), (0, 0, 402, True)),
            ("acceptor sends 8192", 8_192, (0, 0, 8_192, True), (0, 0, 402, True)),
            ("opener sends 3000", 3_000, (0, 0, 8_192, True), (0, 0, 3_402, True)),
            ("acceptor reads 2000", 2_000, (0, 0, 8_192, True), (0, 0, 1_402, True)),
        ],
    ),
    "held-back": (
        {},
        {RCVBUF: 4096},
        [
            ("opener sends 4096", 4_096, (2_048, 0, 0, True), (0, 0, 4_096, True)),
            ("opener holds 171", 171, (2_219, 171, 0, True), (0, 0, 4_096, True)),
            ("acceptor sends 10", 10, (171, 171, 10, True), (0, 0, 4_096, True)),
            ("acceptor sends 3000", 3_000, (171, 171, 3_010, True), (0, 0, 4_096, True)),
            ("opener sends 10", 10, (181, 181, 3_010, True), (0, 0, 4_096, True)),
        ],
    ),
    "an-end-behind-a-full-window": (
        {SNDBUF: 5000},
        {RCVBUF: 8192},
        [
            ("opener sends 16384", 12_288, (8_192, 0, 0, False), (0, 0, 12_288, True)),
            ("opener ends 1", 0, (8_193, 1, 0, True), (0, 0, 12_288, True)),
            ("acceptor reads 8192", 8_192, (1, 0, 0, True), (0, 0, 4_096, True)),
            ("acceptor drains 65536", 4_096, (1, 0, 0, True), (0, 0, 0, True)),
        ],
    ),
    "an-end-where-memory-is-short": (
        {RCVBUF: 1},
        {},
        [
            ("acceptor sends 1000", 1_000, (0, 0, 1_000, True), (424, 0, 0, True)),
            ("acceptor ends 1", 0, (0, 0, 1_000, True), (0, 0, 0, True)),
        ],
    ),
    "to-who-will-never-read": (
        {RCVBUF: 5000},
        {},
        [
            ("opener shuts 2", 0, (1, 0, 0, True), (0, 0, 0, True)),
            ("acceptor sends 10000", 10_000, (0, 0, 0, True), (10_000, 5_000, 0, True)),
        ],
    ),
    "two-large-writes": (
        {},
        {},
        [
            ("acceptor sends 40000", 40_000, (0, 0, 40_000, True), (7_232, 0, 0, True)),
            ("acceptor sends 40000", 40_000, (0, 0, 40_000, True), (47_232, 40_000, 0, True)),
            ("opener reads 1000", 1_000, (0, 0, 39_000, True), (47_232, 40_000, 0, True)),
        ],
    ),
    "a-third-of-a-window-more": (
        {},
        {},
        [
            ("opener sends 100000", 100_000, (67_259, 0, 0, True), (0, 0, 100_000, True)),
            ("opener sends 1", 1, (67_260, 1, 0, True), (0, 0, 100_000, True)),
            ("acceptor reads 1", 1, (1, 0, 0, True), (0, 0, 100_000, True)),
        ],
    ),
    "after-an-answer": (
        {},
        {},
        [
            ("opener sends 1000", 1_000, (0, 0, 0, True), (0, 0, 1_000, True)),
            ("acceptor sends 1", 1, (0, 0, 1, True), (0, 0, 1_000, True)),
            ("opener sends 71244", 71_244, (71_244, 588, 1, True), (0, 0, 71_656, True)),
        ],
    ),
    "a-segment-that-is-read": (
        {},
        {},
        [
            ("acceptor sends 65536", 65_536, (0, 0, 65_536, True), (32_768, 0, 0, True)),
            ("opener reads 70000", 65_536, (0, 0, 0, True), (0, 0, 0, True)),
        ],
    ),
    "a-small-one-on-top": (
        {},
        {},
        [
            ("opener sends 32768", 32_768, (27, 0, 0, True), (0, 0, 32_768, True)),
            ("opener sends 1", 1, (28, 1, 0, True), (0, 0, 32_768, True)),
            ("acceptor reads 1", 1, (28, 1, 0, True), (0, 0, 32_767, True)),
        ],
    ),
    "held-back-large": (
        {},
        {},
        [
            ("acceptor holds 1", 1, (0, 0, 0, True), (1, 1, 0, True)),
            ("acceptor sends 100000", 100_000, (0, 0, 100_001, True), (67_233, 0, 0, True)),
        ],
    ),
    "a-window-larger-than-a-syn-can-tell": (
        {},
        {RCVBUF: 131_072},
        [
            ("opener sends 40000", 40_000, (7_233, 0, 0, True), (0, 0, 40_000, True)),
        ],
    ),
    "a-send-buffer-for-segments-of-488": (
        {MAXSEG: 500},
        {RCVBUF: 1},
        [
            ("opener sends 400000", 16_104, (15_616, 15_128, 0, False), (0, 0, 976, True)),
        ],
    ),
    "a-send-buffer-for-segments-of-524": (
        {MAXSEG: 536},
        {RCVBUF: 4096},
        [
            ("opener sends 400000", 48_112, (46_540, 44_016, 0, False), (0, 0, 4_096, True)),
        ],
    ),
    "no-memory-for-what-is-sent": (
        {SNDBUF: 2048},
        {},
        [
            ("opener sends 20000", 20_000, (0, 0, 0, True), (0, 0, 20_000, True)),
            ("acceptor limits 10000", 0, (0, 0, 0, True), (0, 0, 20_000, True)),
            ("opener sends 5000", 5_000, (5_000, 0, 0, False), (0, 0, 20_000, True)),
            ("acceptor reads 20000", 20_000, (5_000, 0, 0, False), (0, 0, 0, True)),
            ("opener sends 100", -1, (5_000, 0, 0, False), (0, 0, 0, True)),
        ],
    ),
    "thousands-of-small-writes": (
        {},
        {},
        [
            ("opener fills 600", 3_910_336, (3_867_368, 3_824_640, 0, False), (0, 0, 85_696, True)),
        ],
    ),
    "writes-of-4096-with-nothing-before": (
        {},
        {},
        [("opener fills 4096", 3_935_232, (3_906_560, 3_849_728, 0, False), (0, 0, 85_504, True))],
    ),
    "small-writes-after-one-that-was-read": (
        {},
        {},
        [
            ("opener sends 10", 10, (0, 0, 0, True), (0, 0, 10, True)),
            ("acceptor reads 10", 10, (0, 0, 0, True), (0, 0, 0, True)),
            ("opener fills 1000", 3_930_400, (3_879_072, 3_840_000, 0, False), (0, 0, 90_400, True)),
        ],
    ),
    "what-lies-in-two-pieces-of-memory-is-kept-apart": (
        {SNDBUF: 8192},
        {SNDBUF: 8192},
        [
            ("acceptor sends 100", 100, (0, 0, 100, True), (0, 0, 0, True)),
            ("opener reads 100", 100, (0, 0, 0, True), (0, 0, 0, True)),
            ("acceptor fills 1024", 91_136, (0, 0, 91_136, True), (38_912, 0, 0, False)),
        ],
    ),
    "what-was-lost-is-waited-for": (
        {RCVBUF: 30_000, SNDBUF: 30_000},
        {SNDBUF: 4096},
        [
            ("acceptor fills 40000", 30_000, (0, 0, 30_000, True), (15_000, 0, 0, False)),
            ("opener limits 10000", 0, (0, 0, 30_000, True), (15_000, 0, 0, False)),
            ("opener sends 3000", 3_000, (0, 0, 30_000, True), (0, 0, 3_000, True)),
            ("acceptor sends 500", 500, (0, 0, 30_000, True), (500, 0, 3_000, True)),
            ("opener drains 65536", 30_000, (0, 0, 0, True), (500, 0, 3_000, True)),
            ("acceptor sends 500", 500, (0, 0, 0, True), (1_000, 500, 3_000, True)),
        ],
    ),
}
# fmt: on


@pytest.mark.parametrize("name", DIALOGUES)
def test_k065_a_dialogue_is_counted_as_linux_counts(world: World, name: str) -> None:
    opens, accepts, steps = DIALOGUES[name]
    for left in reversed(range(SPEAKS_AGAIN)):
        ends = pair(world, opens, accepts)
        try:
            for what, answer, *looks in steps:
                assert do(ends, what) == answer, what
                eventually_looks(world, ends, what, looks)
            return
        except AssertionError as error:
            if world.name != "kernel" or not left:
                world.skip_if_busy(str(error).partition("\n")[0])
                raise


def pair(world: World, opens: Options, accepts: Options) -> dict[str, Any]:
    listener = world.listener(options=accepts)
    opener = world.client(listener, opens)
    return {"opener": opener, "acceptor": world.accept(listener)}


def do(ends: dict[str, Any], what: str) -> int:
    """``"opener sends 100"``; how many bytes were sent or read, -1 if there was no room for any."""
    who, verb, number = what.split()
    end, n, total = ends[who], int(number), 0
    try:
        if verb in ("ends", "shuts"):
            end.shutdown(n)
        elif verb == "limits":
            end.setsockopt(*RCVBUF, n)
        elif verb == "sends":
            total = end.send(bytes(n))
        elif verb == "holds":
            total = end.send(bytes(n), socket.MSG_MORE)
        elif verb == "reads":
            total = len(end.recv(n))
        else:
            while step := end.send(bytes(n)) if verb == "fills" else len(end.recv(n)):
                total += step
    except BlockingIOError:
        return total or -1
    return total


def eventually_looks(world: World, ends: dict[str, Any], what: str, looks: list[Look]) -> None:
    for _ in range(10):
        found = [look(world, each) for each in ends.values()]
        if found == looks:
            return
        world.pause()
    assert found == looks, what


def look(world: World, end: Any) -> Look:
    queued, unsent, unread = (world.ioctl(end, name) for name in ("SIOCOUTQ", "SIOCOUTQNSD", "FIONREAD"))
    return queued, unsent, unread, "OUT" in world.mask(end)


def test_k065_a_buffer_that_is_set_on_an_open_connection_counts_too(world: World) -> None:
    client, server = world.pair()
    client.setsockopt(*SNDBUF, 4608)
    assert client.send(bytes(100_000)) == 32_741
    server.setsockopt(*SNDBUF, 40_000)
    assert server.send(bytes(100_000)) == 98_304


def test_k065_so_does_one_that_is_set_after_the_first_data(world: World) -> None:
    client, server = world.pair()
    client.send(bytes(5000))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, -1)
    client.setsockopt(*SNDBUF, 200_000)
    assert [client.send(bytes(1 << 20)) for _ in range(2)] == [430_080, 107_520]
    client, server = world.pair()
    client.send(bytes(5000))
    world.gives(bytes(5000), server.recv, 5000)
    client.setsockopt(*SNDBUF, 4608)
    assert client.send(bytes(100_000)) == 53_760


@pytest.mark.parametrize(("first", "total"), [(5, 3_932_160), (5000, 3_959_808)])
def test_k065_an_older_connection_is_counted_as_well(world: World, first: int, total: int) -> None:
    def filled() -> int:
        client, server = world.pair()
        client.send(bytes(first))
        world.readable(server)
        time.sleep(0.06)  # all is acknowledged by now
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += client.send(bytes(65536))
        return taken

    world.counts(total, filled)  # about one in twenty takes 26,112 bytes more


def test_k066_who_is_told_that_there_is_room_finds_some(world: World) -> None:
    client, server = world.pair()
    client.setsockopt(*SNDBUF, 4096)
    server.setsockopt(*RCVBUF, 4096)
    poller = select.epoll()
    poller.register(client, select.EPOLLOUT)
    for size in (300_000, 10, 7514, 448, 7514, 500, 300_000, 10, 5000, 448, 115_680, 65_600):
        told = "OUT" in world.mask(client), bool(poller.poll(0))
        try:
            client.send(bytes(size))
        except BlockingIOError:
            assert told == (False, False)
    poller.close()


def test_k049_who_left_before_a_deferred_handshake_was_over_is_written_to(world: World) -> None:
    listener = world.listener(options={SNDBUF: 4608, RCVBUF: 4608, (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT): 1})
    world.client(listener, {SNDBUF: 4608, RCVBUF: 4608}).close()
    server = world.accept(listener)
    assert server.send(b"a") == 1
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")


def test_k062_what_waits_is_acknowledged_after_40_ms_or_when_quickack_is_set(world: World) -> None:
    for hurried in (True, False):
        ends = pair(world, {}, {RCVBUF: 8192})
        client, server = ends.values()
        client.send(bytes(4096))
        client.send(bytes(8192))
        assert world.ioctl(client, "SIOCOUTQ") in (8192, 0)  # 0 if the kernel has paused
        if hurried:
            world.acknowledge(server)
        else:
            time.sleep(0.06)
        world.pause()
        assert world.ioctl(client, "SIOCOUTQ") == 0


def test_k065_an_urgent_byte_finds_room_in_a_small_buffer(world: World) -> None:
    client, server = pair(world, {SNDBUF: 4096}, {RCVBUF: 4096}).values()
    client.send(bytes(1000))
    assert client.send(b"!", socket.MSG_OOB) == 1
    assert client.send(bytes(1000)) == 1000
    world.ready(server, "IN|PRI|OUT")
    assert len(server.recv(9000)) == 1000
    assert server.recv(1, socket.MSG_OOB) == b"!"
    assert len(server.recv(9000)) == 1000


def test_k062_a_past_that_nobody_knows_is_told_by_a_glance(world: World) -> None:
    client, server = world.pair()
    for _ in range(2):
        client.send(b"a question")
        server.recv(100)
        server.send(b"an answer")
    client.recv(100)
    client.send(b"and so on")
    world.pause()
    assert world.ioctl(client, "SIOCOUTQ") in (9, 0)  # 0 if the kernel has paused
    assert world.ioctl(server, "SIOCOUTQ") == 0


def test_k060_a_cork_that_was_set_before_holds_back_in_a_small_buffer(world: World) -> None:
    client, server = pair(world, {SNDBUF: 8192, (socket.IPPROTO_TCP, socket.TCP_CORK): 1}, {}).values()
    client.send(b"held")
    assert world.ioctl(client, "SIOCOUTQNSD") == 4
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    world.readable(server)


def test_k061_who_waits_for_more_is_not_told_of_less_once_siocoutq_was_asked(world: World) -> None:
    client, server = pair(world, {}, {(socket.SOL_SOCKET, socket.SO_RCVLOWAT): 10}).values()
    client.send(b"less")
    world.pause()
    assert world.ioctl(server, "SIOCOUTQ") == 0
    assert world.mask(server) == "OUT"


def test_k062_of_a_socket_connected_to_itself_the_fin_goes_with_what_a_cork_held(world: World) -> None:
    sock = world.socket()
    sock.bind((world.ip, 0))
    sock.connect_ex(sock.getsockname())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    sock.send(b"hello")
    sock.shutdown(socket.SHUT_RDWR)  # so it resets itself
    world.pause()
    assert world.ioctl(sock, "SIOCOUTQ") == 6


@pytest.mark.parametrize("low", [2, 50, 40_000])
@pytest.mark.parametrize("where", ["here", "there"])
def test_k061_what_rcvlowat_says_holds_back_nothing_that_a_large_write_of_the_peer_releases(
    world: World, where: str, low: int
) -> None:
    def arrived(size: int) -> int:
        one, two = world.pair()
        for each in (one, two):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        (two if where == "here" else one).setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low)
        two.send(b"more", socket.MSG_MORE)
        one.send(bytes(size))
        world.pause()
        told: int = world.ioctl(one, "FIONREAD")
        return told

    world.counts([0, 0, 4, 4], lambda: [arrived(size) for size in (1, 1000, 3000, 20_000)])
