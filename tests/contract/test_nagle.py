"""Who waits for an acknowledgement, and for whose: K-060 and K-062 of dialogues in which little or nothing is read."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet import real
from tests.contract.worlds import World

TCP, QUICKACK = socket.IPPROTO_TCP, socket.TCP_QUICKACK
FIN_WAIT1, FIN_WAIT2 = 4, 5  # as TCP_INFO has them
PROMPT = 0.003  # seconds; a kernel that was kept from it for a tick, or ten, may have acknowledged by itself
TRIES = 50  # a machine with more to do is that prompt now and then


def in_no_time(
    world: World, scene: Callable[[Any, Any], None], options: dict[Any, int] | None = None
) -> tuple[Any, Any]:
    """Both ends of a connection on which *scene* was played faster than acknowledgements wait."""
    for _ in range(TRIES):
        ends = world.pair(options=options)
        began = time.monotonic()
        scene(*ends)
        world.pause()
        if time.monotonic() - began < PROMPT:
            break
    return ends


def arrived(world: World, sock: Any, wanted: int) -> int:
    """How many bytes wait to be read, when it is *wanted* or for a while is not."""
    deadline = real.monotonic() + world.patience
    while (n := world.ioctl(sock, "FIONREAD")) != wanted and real.monotonic() < deadline:
        real.sleep(0.0002)
    return int(n)


def test_k060_who_answers_unread_data_answers_all_the_same(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"2")
        client.send(b"3")

    client, server = in_no_time(world, scene)
    assert world.ioctl(server, "FIONREAD") == 2
    assert [world.ioctl(client, each) for each in ("SIOCOUTQ", "SIOCOUTQNSD")] == [2, 1]
    world.gives(b"12", server.recv, 9)
    time.sleep(0.06)
    world.gives(b"3", server.recv, 9)


def test_k060_who_has_read_since_may_have_heard_nothing_new(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"2")
        client.recv(9)  # of before
        client.send(b"3")

    _, server = in_no_time(world, scene)
    assert world.ioctl(server, "FIONREAD") == 2


def test_k060_every_answer_acknowledges(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        for each in b"12345":
            client.send(bytes((each,)))
            server.send(b"-")

    client, server = in_no_time(world, scene)
    assert arrived(world, server, 5) == arrived(world, client, 5) == 5


def test_k060_who_has_spoken_before_it_heard_anything_acknowledges_at_once(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"a greeting")
        for _ in range(5):
            client.send(b"x")

    client, server = in_no_time(world, scene)
    assert arrived(world, server, 5) == 5
    assert world.ioctl(client, "SIOCOUTQ") == 0


def test_k060_an_urgent_byte_takes_with_it_what_comes_behind(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"hello")
        client.send(b"hello")
        server.send(b"!", socket.MSG_OOB)
        server.send(b"quick")

    client, _ = in_no_time(world, scene)
    world.ready(client, "IN|PRI|OUT")
    assert client.recv(9) == b"hello"
    world.gives(b"quick", client.recv, 9)


def test_k060_a_half_closed_end_answers_too(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"hello")
        client.send(b"hello")
        client.shutdown(socket.SHUT_WR)
        server.send(b"1")
        server.send(b"23")

    client, server = in_no_time(world, scene)
    assert world.ioctl(client, "FIONREAD") == 6
    assert world.ioctl(server, "SIOCOUTQ") == 3


@pytest.mark.parametrize("behind", [b"", b"held"])
def test_k062_what_goes_before_the_fin_is_acknowledged_with_it(world: World, behind: bytes) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"23")
        client.send(behind)
        client.shutdown(socket.SHUT_WR)
        world.pause()
        unsent.append(world.ioctl(client, "SIOCOUTQ"))

    unsent: list[int] = []
    in_no_time(world, scene)
    assert unsent[-1] == 3 + len(behind)


def test_k062_what_waits_counts_whoever_has_read_what(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.recv(4)
        client.send(b"23")
        server.recv(9)

    client, server = in_no_time(world, scene)
    assert world.ioctl(client, "SIOCOUTQ") == 2
    server.send(b"another")
    world.pause()
    assert world.ioctl(client, "SIOCOUTQ") == 0


def test_k060_quickack_is_for_once(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        assert server.getsockopt(TCP, QUICKACK) == 0
        server.setsockopt(TCP, QUICKACK, 1)
        assert server.getsockopt(TCP, QUICKACK) == 1
        for _ in range(2):
            client.send(b"2")
        server.send(b"the next one")
        assert server.getsockopt(TCP, QUICKACK) == 0
        for _ in range(2):
            client.send(b"3")

    _, server = in_no_time(world, scene)
    assert world.ioctl(server, "FIONREAD") == 4


def test_k060_without_quickack_nothing_is_acknowledged_at_once(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.setsockopt(TCP, QUICKACK, 0)
        assert server.getsockopt(TCP, QUICKACK) == 0
        client.send(b"2")
        client.send(b"3")

    client, server = in_no_time(world, scene)
    assert world.ioctl(server, "FIONREAD") == 2
    assert world.ioctl(client, "SIOCOUTQ") == 2


@pytest.mark.parametrize("opener", [True, False], ids=["client", "server"])
def test_k062_the_rest_of_a_large_write_waits_for_its_acknowledgement(world: World, opener: bool) -> None:
    def scene(client: Any, server: Any) -> None:
        writer = client if opener else server
        writer.send(bytes(40_000))
        writer.send(b"x")

    client, server = in_no_time(world, scene)
    segment = 32_741 if opener else 32_768  # half of the window that was offered
    assert world.ioctl(client if opener else server, "SIOCOUTQ") == 40_001 - segment


def test_k060_after_a_dialogue_a_large_write_is_acknowledged_and_a_small_one_waits(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"hello")
        client.send(b"hello")
        for size in (40_000, 100, 20_000):
            server.send(bytes(size))

    client, _ = in_no_time(world, scene)
    assert arrived(world, client, 40_105) == 40_105


@pytest.mark.parametrize("flags", [socket.MSG_DONTWAIT, socket.MSG_NOSIGNAL, socket.MSG_EOR])
def test_k060_flags_do_not_hurry_what_waits(world: World, flags: int) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"2")
        client.send(b"3", flags)

    _, server = in_no_time(world, scene)
    assert world.ioctl(server, "FIONREAD") == 2


def test_k060_small_buffers_do_not_hurry_it_either(world: World) -> None:
    for _ in range(TRIES):
        client, server = world.tight_pair()
        began = time.monotonic()
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"2")
        client.send(b"3")
        if time.monotonic() - began < PROMPT:
            break
    assert world.ioctl(server, "FIONREAD") == 2


def test_k017_who_is_connected_to_itself_acknowledges_with_what_it_writes_next(world: World) -> None:
    for _ in range(TRIES):
        sock = world.socket()
        sock.bind((world.ip, 0))
        sock.connect_ex(sock.getsockname())
        began = time.monotonic()
        waiting = []
        for part in (b"ab", b"cde", b"f"):
            sock.send(part)
            waiting.append(world.ioctl(sock, "SIOCOUTQ"))
        there = world.ioctl(sock, "FIONREAD")
        if time.monotonic() - began < PROMPT:
            break
    assert waiting == [0, 3, 4]
    assert there == 5
    world.gives(b"abcde", sock.recv, 100)
    time.sleep(0.06)
    world.gives(b"f", sock.recv, 100)


def test_k060_nor_does_more_hold_what_comes_behind_an_urgent_byte(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"hello")
        client.send(b"hello")
        server.send(b"!", socket.MSG_OOB)
        server.send(b"quick", socket.MSG_MORE)

    client, _ = in_no_time(world, scene)
    assert client.recv(9) == b"hello"
    world.gives(b"quick", client.recv, 9)


@pytest.mark.parametrize("nodelay", [0, 1])
def test_k060_what_is_uncorked_waits_by_nagles_rule(world: World, nodelay: int) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(b"hello")
        client.send(b"hello")
        server.setsockopt(TCP, socket.TCP_NODELAY, nodelay)
        server.send(b"1")
        server.setsockopt(TCP, socket.TCP_CORK, 1)
        server.send(b"2")
        server.setsockopt(TCP, socket.TCP_CORK, 0)

    client, _ = in_no_time(world, scene)
    assert arrived(world, client, 6 + nodelay) == 6 + nodelay


@pytest.mark.parametrize("cork", ["before", "after"])
@pytest.mark.parametrize(("size", "state"), [(535, FIN_WAIT1), (536, FIN_WAIT2), (5000, FIN_WAIT2)])
def test_k060_a_fin_takes_along_what_a_cork_held_whenever_that_was_set(
    world: World, cork: str, size: int, state: int
) -> None:
    def scene(client: Any, server: Any) -> None:
        client.setsockopt(TCP, socket.TCP_CORK, 1)
        client.send(bytes(size))
        client.shutdown(socket.SHUT_WR)

    client, _ = in_no_time(world, scene, {(TCP, socket.TCP_CORK): 1} if cork == "before" else None)
    assert client.getsockopt(TCP, socket.TCP_INFO, 1)[0] == state


@pytest.mark.parametrize("read", [False, True])
def test_k060_quickack_acknowledges_at_once_what_is_read(world: World, read: bool) -> None:
    def scene(client: Any, server: Any) -> None:
        client.send(b"1")
        server.send(b"an answer")
        client.send(b"23")
        client.send(b"4")
        if read:
            server.recv(9)
        server.setsockopt(TCP, QUICKACK, 1)

    client, server = in_no_time(world, scene)
    assert world.ioctl(client, "SIOCOUTQ") == (0 if read else 3)
    if not read:
        world.gives(b"123", server.recv, 9)
    world.gives(b"4", server.recv, 9)


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ("write end quick", FIN_WAIT1),
        ("write end quick read-some", FIN_WAIT1),
        ("write end quick read", FIN_WAIT2),
        ("write end quick read-some read", FIN_WAIT2),
        ("write end read", FIN_WAIT1),
        ("write end read quick", FIN_WAIT2),
        ("write read end quick", FIN_WAIT1),
        ("write read end quick read", FIN_WAIT1),  # of the end, which is no data
        ("write read end read quick", FIN_WAIT2),
        ("answer write read end quick", FIN_WAIT1),
        ("answer write end quick read", FIN_WAIT2),
    ],
)
def test_k060_quickack_acknowledges_an_end_when_that_is_read_as_well(world: World, calls: str, state: int) -> None:
    def scene(client: Any, server: Any) -> None:
        does: dict[str, Callable[[], object]] = {
            "answer": lambda: server.send(b"first"),
            "write": lambda: client.send(b"12345"),
            "end": lambda: client.shutdown(socket.SHUT_WR),
            "read": lambda: server.recv(9),
            "read-some": lambda: server.recv(2),
            "quick": lambda: server.setsockopt(TCP, QUICKACK, 1),
        }
        for call in calls.split():
            does[call]()

    client, _ = in_no_time(world, scene)
    assert client.getsockopt(TCP, socket.TCP_INFO, 1)[0] == state


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        pytest.param("write end", 0, id="the-end-waits-for-an-answer"),
        pytest.param("write gone", 0, id="so-does-that-of-who-is-gone"),
        pytest.param("write end later", 1, id="but-not-for-ever"),
        pytest.param("write gone later", 1, id="nor-then"),
        pytest.param("write end answer later", 0, id="and-went-along-with-one"),
        pytest.param("write end over later", 0, id="or-with-our-end"),
        pytest.param("write end later over", 1, id="unless-that-came-late"),
        pytest.param("write end quick", 1, id="TCP_QUICKACK"),
        pytest.param("write end quick over later", 1, id="TCP_QUICKACK-before-our-end"),
        pytest.param("write end slow", 0, id="TCP_QUICKACK-off"),
        pytest.param("write end slow later", 1, id="TCP_QUICKACK-off-for-once"),
        pytest.param("write end reset later", 0, id="a-reset-changes-nothing"),
        pytest.param("write slow reset later", 0, id="nor-where-it-was-off"),
        pytest.param("write over end", 1, id="who-ended-first-acknowledges-at-once"),
    ],
)
def test_k060_quickack_is_told_as_the_peers_end_has_left_it(world: World, calls: str, told: int) -> None:
    def scene(client: Any, server: Any) -> None:
        does: dict[str, Callable[[], object]] = {
            "answer": lambda: server.send(b"first"),
            "write": lambda: client.send(b"12345"),
            "end": lambda: client.shutdown(socket.SHUT_WR),
            "gone": client.close,
            "over": lambda: server.shutdown(socket.SHUT_WR),
            "quick": lambda: server.setsockopt(TCP, QUICKACK, 1),
            "slow": lambda: server.setsockopt(TCP, QUICKACK, 0),
            "reset": lambda: world.reset(client),
            "later": lambda: time.sleep(0.06),
        }
        for call in calls.split():
            does[call]()

    if "later" in calls:
        ends = world.pair()
        scene(*ends)
        world.pause()
    else:
        ends = in_no_time(world, scene)
    assert ends[1].getsockopt(TCP, QUICKACK) == told


def test_k048_who_is_accepted_acknowledges_as_its_listener_was_told(world: World) -> None:
    for _ in range(TRIES):
        listener = world.listener()
        listener.setsockopt(TCP, QUICKACK, 0)
        client = world.client(listener)
        began = time.monotonic()
        server = world.accept(listener)
        client.send(b"1")
        waiting = world.ioctl(client, "SIOCOUTQ")
        if time.monotonic() - began < PROMPT:
            break
    assert waiting == 1
    assert server.getsockopt(TCP, QUICKACK) == 0


def test_k049_quickack_ends_a_handshake_that_waits_for_data(world: World) -> None:
    listener = world.listener()
    client = world.client(listener, {(TCP, QUICKACK): 0})
    client.setsockopt(TCP, QUICKACK, 1)
    world.ready(listener, "IN")


@pytest.mark.parametrize(
    ("writes", "there"),
    [
        ((40_000, 40_000), 40_000),
        ((32_768, 32_768, 1), 65_536),
        ((50_000, 50_000), 97_616),
        ((10_000, 35_000, 40_000), 85_000),
    ],
)
def test_k060_a_large_write_waits_too_once_segments_are_larger(
    world: World, writes: tuple[int, ...], there: int
) -> None:
    def scene(client: Any, server: Any) -> None:
        for size in writes:
            server.send(bytes(size))
        world.pause()
        found.append(world.ioctl(client, "FIONREAD"))

    found: list[int] = []
    client, _ = in_no_time(world, scene)
    assert found[-1] == there
    world.ready(client, "IN|OUT")
    time.sleep(0.06)
    assert world.ioctl(client, "FIONREAD") == sum(writes)


def test_k060_a_byte_that_is_read_lets_nothing_go(world: World) -> None:
    def scene(client: Any, server: Any) -> None:
        server.send(bytes(40_000))
        server.send(b"1")
        client.recv(1)

    client, _ = in_no_time(world, scene)
    world.pause()
    assert world.ioctl(client, "FIONREAD") == 39_999


def test_k060_what_quickack_sends_for_waits_until_all_is_read(world: World) -> None:
    # A large segment makes the next ones count as small, so that the option alone acknowledges nothing.
    def scene(client: Any, server: Any) -> None:
        server.setsockopt(TCP, QUICKACK, 0)
        client.send(b"x" * 1500)
        client.send(b"held")
        server.setsockopt(TCP, QUICKACK, 1)

    client, server = in_no_time(world, scene)
    assert world.ioctl(client, "SIOCOUTQNSD") == 4
    world.gives(b"x" * 1500, server.recv, 2000)
    assert arrived(world, server, 4) == 4


LATE = 0.06  # seconds: neither is what comes then an answer, nor does anybody wait so long for one


@pytest.mark.slow
@pytest.mark.parametrize("asked", [False, True], ids=["untouched", "SIOCOUTQ"])
def test_k060_a_late_answer_is_none(world: World, asked: bool) -> None:
    client, server = world.pair()
    client.send(b"question")
    time.sleep(LATE)
    if asked:
        world.ioctl(client, "SIOCOUTQ")
    server.send(b"answer")
    assert server.getsockopt(TCP, QUICKACK) == 1
    client.send(b"1")
    server.send(b"2")
    assert server.getsockopt(TCP, QUICKACK) == 0


@pytest.mark.slow
def test_k060_who_had_nothing_to_answer_expects_to_no_more(world: World) -> None:
    client, server = world.pair()
    client.send(b"question")
    server.send(b"answer")
    assert server.getsockopt(TCP, QUICKACK) == 0
    client.send(b"1")
    time.sleep(LATE)
    assert server.getsockopt(TCP, QUICKACK) == 1


@pytest.mark.slow
def test_k062_a_late_answer_does_not_make_a_fin_wait_for_a_probe(world: World) -> None:
    client, server = world.pair()
    client.send(b"question")
    time.sleep(LATE)
    server.send(b"answer")
    client.send(b"1")
    client.shutdown(socket.SHUT_WR)
    time.sleep(0.02)
    state = client.getsockopt(TCP, socket.TCP_INFO, 1)[0]
    assert (state, world.ioctl(client, "SIOCOUTQ")) == (FIN_WAIT1, 1)
