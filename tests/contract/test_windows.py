"""How much of it arrives, and when, where nobody has set a buffer before the connection was made: K-062, K-064 and K-065."""

from __future__ import annotations

import contextlib
import select
import socket
import time

import pytest

from tests.contract.test_amounts import DIALOGUES, RCVBUF, SPEAKS_AGAIN, do, look, pair
from tests.contract.worlds import World, open_world

# fmt: off
UNASKED: dict[str, list[tuple[str, int, int, int]]] = {  # what is done, the answer, what opener and acceptor may read
    "larger-than-the-first-window": [
        ("opener sends 10", 10, 0, 10),
        ("acceptor reads 100", 10, 0, 0),
        ("acceptor sends 10", 10, 10, 0),
        ("opener reads 100", 10, 0, 0),
        ("opener sends 100000", 100_000, 0, 65_536),
        ("acceptor reads 200000", 65_536, 0, 34_464),
    ],
    "the-second-large-answer": [
        ("opener sends 100", 100, 0, 100),
        ("acceptor reads 1000", 100, 0, 0),
        ("acceptor sends 100000", 100_000, 100_000, 0),
        ("opener reads 200000", 100_000, 0, 0),
        ("opener sends 100", 100, 0, 100),
        ("acceptor reads 1000", 100, 0, 0),
        ("acceptor sends 100000", 100_000, 95_232, 0),
        ("opener reads 200000", 95_232, 4_768, 0),
    ],
    "a-large-one-after-one-that-was-read": [
        ("opener sends 65482", 65_482, 0, 65_482),
        ("acceptor reads 65536", 65_482, 0, 0),
        ("opener sends 100000", 100_000, 0, 95_232),
    ],
    "two-that-fill-the-window": [
        ("opener sends 65536", 65_536, 0, 65_536),
        ("opener sends 65536", 65_536, 0, 113_152),
        ("acceptor reads 200000", 113_152, 0, 17_920),
    ],
    "one-that-fills-the-window": [
        ("opener sends 1000000", 1_000_000, 0, 127_973),
        ("acceptor reads 65536", 65_536, 0, 130_021),
        ("acceptor reads 65536", 65_536, 0, 64_485),
    ],
    "a-large-one-on-top": [
        ("opener sends 40000", 40_000, 0, 40_000),
        ("opener sends 70000", 70_000, 0, 87_616),
        ("acceptor reads 200000", 87_616, 0, 22_384),
    ],
    "each-has-unread": [
        ("opener sends 10", 10, 0, 10),
        ("acceptor sends 1000", 1_000, 1_000, 10),
        ("opener sends 100000", 100_000, 1_000, 65_546),
    ],
    "two-that-make-a-segment": [
        ("opener sends 100", 100, 0, 100),
        ("acceptor sends 100", 100, 100, 100),
        ("opener sends 300", 300, 100, 400),
        ("opener sends 16384", 16_384, 100, 400),
        ("opener sends 16384", 16_384, 100, 33_168),
    ],
}
# fmt: on


@pytest.mark.parametrize("name", UNASKED)
def test_k065_so_is_one_that_nobody_asks_about_once_a_write_is_large(world: World, name: str) -> None:
    for left in reversed(range(SPEAKS_AGAIN)):
        ends = pair(world, {}, {})
        try:
            for what, answer, *unread in UNASKED[name]:
                assert do(ends, what) == answer, what
                for _ in range(10):
                    found = [world.ioctl(each, "FIONREAD") for each in ends.values()]
                    if found == unread:
                        break
                    world.pause()
                assert found == unread, what
            break
        except AssertionError:
            if world.name != "kernel" or not left:
                raise


@pytest.mark.parametrize("who", ["opener", "acceptor"])
def test_k065_as_much_fits_where_one_end_wants_to_hear_nothing(world: World, who: str) -> None:
    for left in reversed(range(SPEAKS_AGAIN)):
        opener, acceptor = world.pair()
        (opener if who == "opener" else acceptor).shutdown(socket.SHUT_RD)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += opener.send(bytes(65536))
        world.pause()
        try:
            assert (filled, world.ioctl(acceptor, "FIONREAD")) == (3_910_656, 113_152)
            break
        except AssertionError:
            if world.name != "kernel" or not left:
                raise


def test_k064_a_window_grows_with_who_reads_all_of_it(world: World) -> None:
    most = 0
    for _ in range(SPEAKS_AGAIN):
        opener, acceptor = world.pair()
        assert opener.send(bytes(1_000_000)) == 1_000_000
        for _ in range(3):
            time.sleep(0.003)
            most = max(most, len(acceptor.recv(1_000_000)))
        if most > 600_000:  # it began with 127,973
            return
    raise AssertionError(f"{most} bytes at most")


@pytest.mark.slow
def test_k064_what_finds_no_memory_is_sent_again_after_a_fifth_of_a_second(world: World) -> None:
    """A receive buffer that is made small on an open connection, whose window was told before: 8 kB a fifth of a second."""
    opener, acceptor = world.pair()
    acceptor.setsockopt(*RCVBUF, 4096)
    assert opener.send(bytes(50_000)) == 50_000
    world.gives(32_741, lambda: len(acceptor.recv(65_536)))
    time.sleep(0.1)
    world.gives("EAGAIN", acceptor.recv, 1)
    time.sleep(0.15)
    world.gives(8192, lambda: len(acceptor.recv(65_536)))


def test_k112_what_finds_no_memory_is_an_edge_to_who_has_not_read_yet(world: World) -> None:
    opener, acceptor = world.pair()
    opener.send(bytes(32_741))
    acceptor.setsockopt(*RCVBUF, 4096)
    with select.epoll() as poll:
        poll.register(acceptor, select.EPOLLIN | select.EPOLLET)
        assert poll.poll(0)
        opener.send(bytes(10_000))
        assert poll.poll(world.patience)
        assert world.ioctl(acceptor, "FIONREAD") == 32_741
        assert not poll.poll(0)


@pytest.mark.parametrize("name", ["a-small-one-on-top", "after-an-answer", "a-third-of-a-window-more"])
def test_k062_what_is_looked_back_at_is_counted_from_when_it_was(name: str) -> None:
    """It makes no difference how old the network is."""
    looks = []
    for seconds in (0, 1):
        with open_world("simnet") as world:
            time.sleep(seconds)
            ends = pair(world, {}, {})
            for what, _, *_ in DIALOGUES[name][2]:
                do(ends, what)
            world.ioctl(ends["opener"], "SIOCOUTQ")
            for what in ("opener sends 1", "opener sends 1", "acceptor sends 1", "opener sends 2"):
                do(ends, what)
            looks.append([look(world, each) for each in ends.values()])
    assert looks[0] == looks[1]


def test_k062_an_urgent_byte_waits_for_an_answer_where_what_was_held_was_one(world: World) -> None:
    for left in reversed(range(SPEAKS_AGAIN)):
        opener, acceptor = world.pair()
        opener.send(b"held", socket.MSG_MORE)
        acceptor.send(b"lets it go")
        world.readable(acceptor)
        acceptor.send(b"word")
        acceptor.send(b"!", socket.MSG_OOB)
        world.ready(opener, "IN|PRI|OUT")
        queued = world.ioctl(acceptor, "SIOCOUTQ")
        if queued or not left or world.name != "kernel":  # 0 if the kernel has paused
            assert queued == 5
            return


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [40_000, 65_536, 100_000])
def test_k131_a_large_write_makes_the_segments_of_loopback_larger(world: World, ip: str, size: int) -> None:
    client, server = world.pair(ip)
    assert client.send(bytes(size)) == size
    world.readable(server)
    told = []
    for read in (0, size, 1):
        if read == 1:
            client.send(b"x")
        taken = 0
        while taken < read:
            world.readable(server)
            taken += len(server.recv(read))
        world.pause()
        told.append([end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for end in (client, server)])
    assert told == [[47616, 32768]] * 3  # half of the largest window that was told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("acts", "mask", "queued"),
    [
        # 16 kB of a window are less than the next segment, which waits for more of it.
        pytest.param("write read write read write", "IN|RDHUP", 32_732, id="what-waits-for-a-window"),
        # The second found no memory.
        pytest.param("most little read", "IN|OUT|RDHUP", 5000, id="what-was-lost"),
    ],
)
def test_k071_who_has_closed_answers_what_waits_when_it_is_sent_and_not_before(
    world: World, acts: str, mask: str, queued: int
) -> None:
    client, server = world.pair("::1")
    for end in (client, server):
        for each in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, each, 8192)  # of a connection whose window is larger already
    does = {
        "write": lambda: client.send(bytes(60_000)),
        "most": lambda: client.send(bytes(30_000)),
        "little": lambda: client.send(bytes(5000)),
        "read": lambda: server.recv(100_000),
    }
    for act in acts.split():
        does[act]()
        world.pause()
    server.close()
    world.ready(client, mask)
    assert world.ioctl(client, "SIOCOUTQ") == queued
    time.sleep(0.3)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")


def test_k071_what_more_holds_back_goes_with_the_next_write_though_the_peer_has_closed(world: World) -> None:
    client, server = world.pair()
    server.send(b"answer", socket.MSG_MORE)
    server.shutdown(socket.SHUT_WR)
    world.acknowledge(client)
    client.send(b"held", socket.MSG_MORE)
    world.gives(b"answer", client.recv, 100)
    server.close()
    client.send(b" back")
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 100, 1448])
@pytest.mark.parametrize("flags", [socket.MSG_MORE, socket.MSG_MORE | socket.MSG_EOR])
def test_k065_what_more_has_held_back_is_pushed_when_its_time_is_over(world: World, size: int, flags: int) -> None:
    """tcp_write_wakeup notes that all of it is pushed, so that a large write behind it is pushed no earlier than usual."""
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_SNDBUF): 4096, RCVBUF: 4096})
    assert client.send(bytes(size), flags) == size
    time.sleep(0.25)
    assert client.send(bytes(100_000)) == 6144
    world.pause()
    assert world.ioctl(server, "FIONREAD") == (3496 if size == 1448 else 6144 + size)


@pytest.mark.slow
def test_k062_room_that_so_rcvbuf_makes_is_found_by_the_next_question_but_one(world: World) -> None:
    """Nobody tells of it. A sender asks after 0.2 s, after 0.6 s, which goes unanswered, and after 1.5 s."""
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_SNDBUF): 4096, RCVBUF: 4096})
    assert client.send(bytes(100_000)) == 6144
    time.sleep(0.4)
    server.setsockopt(*RCVBUF, 60_000)
    time.sleep(0.9)
    assert world.ioctl(server, "FIONREAD") == 4096
    time.sleep(0.4)
    assert world.ioctl(server, "FIONREAD") == 6144


USER_TIMEOUT = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.slow
@pytest.mark.parametrize("buffer", [None, 20_000])
@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_k066_who_is_not_read_from_for_longer_than_tcp_user_timeout_is_timed_out(
    world: World, when: str, buffer: int | None
) -> None:
    """So long after the first question for the window, and the peer is not told: what it says next is refused."""
    sizes = {(socket.SOL_SOCKET, socket.SO_SNDBUF): buffer, RCVBUF: buffer}
    client, server = world.pair(options={key: value for key, value in sizes.items() if value})
    if when == "before":
        client.setsockopt(*USER_TIMEOUT, 300)
    client.send(bytes(5_000_000))
    world.pause()
    if when != "before":
        client.setsockopt(*USER_TIMEOUT, 300)
    time.sleep(0.35)
    waiting = world.ioctl(client, "SIOCOUTQ")
    assert "ERR" not in world.mask(client)
    time.sleep(0.45)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.ioctl(client, "SIOCOUTQ") == waiting > 0
    assert world.error(client) == "ETIMEDOUT"
    assert "RDHUP" not in world.mask(server)
    assert server.send(b"late") == 4
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")


@pytest.mark.slow
def test_k066_who_is_read_from_in_time_is_not_timed_out(world: World) -> None:
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_SNDBUF): 20_000, RCVBUF: 20_000})
    client.setsockopt(*USER_TIMEOUT, 300)
    assert client.send(bytes(200_000)) == 40_000
    time.sleep(0.35)
    assert len(server.recv(100_000)) == 30_000
    time.sleep(0.45)
    assert world.ioctl(server, "FIONREAD") == 10_000
    assert world.error(client) == "0"


REFUSED = [  # SO_SNDBUF and SO_RCVBUF, bytes, flags; how many are taken, and how many of them did not go before the RST
    (None, 40_000, 0, 40_000, 0),
    (None, 40_000, socket.MSG_MORE, 40_000, 7_232),
    (None, 200_000, 0, 200_000, 134_464),
    (4096, 6_000, 0, 6_000, 1_904),
    (4096, 40_000, socket.MSG_OOB, 6_144, 2_048),
    (20_000, 200_000, 0, 40_000, 20_000),
]


@pytest.mark.parametrize(("buffer", "size", "flags", "taken", "unsent"), REFUSED)
def test_k062_what_is_refused_went_as_far_as_the_window_and_more_let_it(
    world: World, buffer: int | None, size: int, flags: int, taken: int, unsent: int
) -> None:
    sizes = {(socket.SOL_SOCKET, socket.SO_SNDBUF): buffer, RCVBUF: buffer}
    client, server = world.pair(options={key: value for key, value in sizes.items() if value})
    client.close()
    world.ready(server, "IN|OUT|RDHUP")
    assert server.send(bytes(size), flags) == taken
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    assert [world.ioctl(server, name) for name in ("SIOCOUTQ", "SIOCOUTQNSD")] == [taken, unsent]


def test_k062_what_more_held_back_goes_at_the_end_of_a_record_and_the_rest_stays_when_it_is_refused(
    world: World,
) -> None:
    client, server = world.pair()
    server.shutdown(socket.SHUT_RDWR)
    world.acknowledge(client)
    client.send(b"abc", socket.MSG_MORE | socket.MSG_EOR)
    client.send(b"defg", socket.MSG_MORE)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert [world.ioctl(client, name) for name in ("SIOCOUTQ", "SIOCOUTQNSD")] == [7, 4]


@pytest.mark.slow
def test_k066_who_waits_for_a_peer_that_has_given_up_is_reset_when_it_asks(world: World) -> None:
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_SNDBUF): 4096, RCVBUF: 4096})
    client.setsockopt(*USER_TIMEOUT, 100)
    for each in (client, server):
        assert each.send(bytes(200_000)) == 6144
    time.sleep(0.5)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    time.sleep(1.5)
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    assert [world.ioctl(each, "SIOCOUTQ") for each in (client, server)] == [2048, 2048]
    assert [world.error(each) for each in (client, server)] == ["ETIMEDOUT", "ECONNRESET"]


@pytest.mark.slow
def test_k066_what_more_holds_back_waits_for_no_window_and_is_not_timed_out(world: World) -> None:
    client, server = world.pair(options={(socket.SOL_SOCKET, socket.SO_SNDBUF): 20_000, RCVBUF: 20_000})
    client.setsockopt(*USER_TIMEOUT, 100)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for _ in range(3):
        assert client.send(b"abc") == 3
        time.sleep(0.4)
        assert world.error(client) == "0"
    assert server.recv(100) == b"abcabcabc"


@pytest.mark.parametrize("limit", [3000, 20_000, 100_000])
def test_k131_a_limit_of_the_window_from_before_the_first_data_is_counted_too(world: World, limit: int) -> None:
    def arrived(more: int, size: int) -> int:
        one, two = world.pair()
        for each in (one, two):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, limit)
        two.send(bytes(more), socket.MSG_MORE)
        one.send(bytes(size))
        world.pause()
        told: int = world.ioctl(one, "FIONREAD")
        return told

    for more, sizes in ((4, [0, 0, 4]), (3000, [3000] * 3), (10_000, [0, 10_000, 10_000])):
        world.counts(sizes, lambda: [arrived(more, size) for size in (1, 1000, 3000)])  # noqa: B023 - called at once
