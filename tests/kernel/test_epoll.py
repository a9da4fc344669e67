"""epoll: levels and edges, order and rotation, registrations that outlive their number (K-110 to K-114)."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ELOOP, ENOENT
from typing import Any

import pytest

from simnet.kernel import Descriptors, Epoll, TcpSocket
from simnet.kernel.epoll import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, Alone
from simnet.kernel.readiness import HUP, IN, OUT, PRI, RDHUP
from tests.kernel.conftest import Fabric, Note, fails


class Bench:
    """A connected pair, and a set that watches the accepted end as descriptor 5."""

    def __init__(self, fabric: Fabric, events: int | None = IN) -> None:
        self.fabric = fabric
        self.listener, self.a, self.c = fabric.pair()
        self.epoll: Epoll = self.c.stack.epoll()
        if events is not None:
            self.epoll.register(5, self.c, events)

    def says(self, data: bytes = b"x") -> None:
        self.a.send(data)
        self.fabric.run()

    def seen(self, maxevents: int = 10) -> list[tuple[int, int]]:
        return self.epoll.collect(maxevents)


def test_a_level_is_reported_while_it_lasts(fabric: Fabric) -> None:
    bench = Bench(fabric)
    assert bench.seen() == []
    bench.says()
    assert bench.seen() == bench.seen() == [(5, IN)]
    bench.c.recv(1)
    assert bench.seen() == []
    assert not bench.epoll.ready


def test_an_edge_is_reported_once_for_each_arrival(fabric: Fabric) -> None:
    bench = Bench(fabric, IN | OUT | RDHUP | EPOLLET)
    assert bench.seen() == [(5, OUT)]  # at ADD, for it is writable
    assert bench.seen() == []
    bench.says(b"ab")
    assert bench.seen() == [(5, IN | OUT)]
    bench.c.recv(1)  # reading a part makes no edge
    assert bench.seen() == []
    bench.says(b"c")
    bench.says(b"d")  # two arrivals, one report
    assert bench.seen() == [(5, IN | OUT)]
    bench.epoll.modify(5, bench.c, IN | EPOLLET)
    assert bench.seen() == [(5, IN)]  # MOD makes one too
    bench.c.shutdown(0)
    assert bench.seen() == [(5, IN)]
    bench.a.release()
    fabric.run()
    assert bench.seen() == [(5, IN)]


def test_writability_makes_an_edge_when_it_returns(fabric: Fabric) -> None:
    bench = Bench(fabric, None)
    bench.epoll.register(4, bench.a, OUT | EPOLLET)
    bench.epoll.collect(1)
    with pytest.raises(BlockingIOError):
        while True:
            bench.a.send(bytes(1 << 20))
    fabric.run()
    assert bench.seen() == []
    while bench.c.unread:
        bench.c.recv(1 << 20)
        fabric.run()
    assert bench.seen() == [(4, OUT)]
    assert bench.seen() == []


def test_oneshot_is_disarmed_until_mod(fabric: Fabric) -> None:
    bench = Bench(fabric, IN | EPOLLONESHOT)
    bench.says()
    assert [bench.seen(), bench.seen()] == [[(5, IN)], []]
    bench.a.reset()
    bench.c.die(104)
    assert bench.seen() == []  # not even ERR and HUP
    bench.epoll.modify(5, bench.c, IN | EPOLLONESHOT)
    assert bench.seen()[0][1] & HUP


def test_news_that_nobody_asked_for_wakes_nobody(fabric: Fabric) -> None:
    bench = Bench(fabric, PRI)
    note = Note()
    bench.epoll.watch(note)
    bench.c.wake(OUT)
    assert note.events == []
    bench.says()  # may be about PRI: the entry is looked at and found not ready
    assert len(note.events) == 1
    assert (bench.epoll.mask(), len(bench.epoll.ready)) == (0, 0)


def many(fabric: Fabric) -> tuple[Any, list[TcpSocket], list[TcpSocket]]:
    """Three connections in one set, as descriptors 10, 11, 12."""
    listener, *first = fabric.pair()
    clients, servers = [first[0]], [first[1]]
    for _ in range(2):
        a: Any = clients[0].stack.socket(2, 1)
        with pytest.raises(BlockingIOError):
            a.connect(("10.0.0.2", 7))
        fabric.run()
        clients.append(a)
        servers.append(listener.accept()[0])
    epoll = servers[0].stack.epoll()
    for number, c in enumerate(servers):
        epoll.register(10 + number, c, IN)
    return epoll, clients, servers


def test_events_come_in_the_order_of_becoming_ready(fabric: Fabric) -> None:
    epoll, clients, _ = many(fabric)
    for number in (2, 0, 1):
        clients[number].send(b"x")
        fabric.run()
    assert [fd for fd, _ in epoll.collect(10)] == [12, 10, 11]


def test_maxevents_rotates_through_all(fabric: Fabric) -> None:
    epoll, clients, servers = many(fabric)
    for a in clients:
        a.send(b"x")
    fabric.run()
    assert [epoll.collect(1)[0][0] for _ in range(4)] == [10, 11, 12, 10]
    servers[1].recv(1)
    assert [fd for fd, _ in epoll.collect(2)] == [12, 10]
    clients[1].send(b"x")
    fabric.run()
    assert [fd for fd, _ in epoll.collect(9)] == [12, 10, 11]  # it left, and came back at the tail


def test_of_two_numbers_for_one_file_the_later_comes_first(fabric: Fabric) -> None:
    bench = Bench(fabric)
    bench.epoll.register(6, bench.c, IN)
    bench.says()
    assert [fd for fd, _ in bench.seen()] == [6, 5]


def test_wrong_registrations_are_refused(fabric: Fabric) -> None:
    bench = Bench(fabric)
    epoll, c = bench.epoll, bench.c
    for code, call in (
        (EEXIST, lambda: epoll.register(5, c, IN)),
        (ENOENT, lambda: epoll.modify(6, c, IN)),
        (ENOENT, lambda: epoll.unregister(5, bench.a)),
        (EINVAL, lambda: epoll.register(9, epoll, IN)),
        (EINVAL, lambda: epoll.register(6, c, IN | EPOLLEXCLUSIVE | EPOLLONESHOT)),
        (EINVAL, lambda: epoll.register(6, c, RDHUP | EPOLLEXCLUSIVE)),
        (EINVAL, lambda: epoll.modify(5, c, IN | EPOLLEXCLUSIVE)),
    ):
        with fails(code):
            call()
    assert (len(epoll), repr(epoll)) == (1, "<Epoll of 1, 0 perhaps ready>")
    epoll.unregister(5, c)
    assert (len(epoll), c.watchers) == (0, None)


def test_closing_removes_a_registration_only_with_the_last_number(fabric: Fabric) -> None:
    bench = Bench(fabric, None)
    table = Descriptors(base=5)
    fd = table.add(bench.c)
    again = table.dup(fd)
    bench.epoll.register(fd, bench.c, IN)
    table.close(fd)
    bench.says()
    assert bench.seen() == [(fd, IN)]
    table.close(again)
    assert (bench.seen(), len(bench.epoll)) == ([], 0)


class Waiter:
    """Somebody who sleeps in epoll_wait until he is woken."""

    asleep = True

    def __init__(self, epoll: Any) -> None:
        self.waiting = ("readiness of", Alone((epoll,)))

    def wake(self, file: object, events: int) -> None:
        self.asleep = False


@pytest.mark.parametrize(
    ("waiting", "told"),
    [
        pytest.param((), [1, 1, 1], id="who-does-not-wait-takes-nothing-from-others"),
        pytest.param((0,), [1, 1, 0], id="the-first-who-waits-takes-it"),
        pytest.param((1,), [1, 1, 1], id="the-second-is-told-behind-one-who-does-not-wait"),
        pytest.param((0, 1), [1, 1, 0], id="one-of-two"),
    ],
)
def test_exclusive_wakes_one_who_waits_only(fabric: Fabric, waiting: tuple[int, ...], told: list[int]) -> None:
    bench = Bench(fabric, None)
    sets = [bench.c.stack.epoll() for _ in range(2)]
    for number, epoll in enumerate(sets):
        epoll.register(number, bench.listener, IN | EPOLLEXCLUSIVE | EPOLLET | EPOLLWAKEUP)
        with fails(EINVAL):
            epoll.modify(number, bench.listener, IN)
    for number in waiting:
        sets[number].watch(Waiter(sets[number]))
    bench.epoll.register(7, bench.listener, IN)
    b: Any = bench.a.stack.socket(2, 1)
    with pytest.raises(BlockingIOError):
        b.connect(("10.0.0.2", 7))
    fabric.run()
    assert [len(epoll.collect(9)) for epoll in (bench.epoll, *sets)] == told
    sets[0].unregister(0, bench.listener)
    assert len(bench.listener.watchers) == 2
    lonely = bench.c.stack.epoll()
    lonely.register(1, bench.c, IN | EPOLLEXCLUSIVE)
    bench.says()
    assert lonely.collect(1) == [(1, IN)]


def test_a_set_within_a_set_is_readable_when_it_has_something(fabric: Fabric) -> None:
    bench = Bench(fabric)
    outer = bench.c.stack.epoll()
    outer.register(1, bench.epoll, IN)
    assert outer.collect(1) == []
    bench.says()
    assert outer.collect(1) == [(1, IN)]
    bench.c.recv(9)
    assert (outer.collect(1), bench.epoll.mask()) == ([], 0)
    for nested in (outer, bench.epoll):
        with fails(ELOOP if nested is outer else EINVAL):
            bench.epoll.register(2, nested, IN)
    with fails(EINVAL):
        outer.register(3, bench.epoll, IN | EPOLLEXCLUSIVE)


def test_sets_nest_five_deep_at_most(fabric: Fabric) -> None:
    bench = Bench(fabric)
    inner = bench.epoll
    for number in range(4):
        outer = bench.c.stack.epoll()
        outer.register(number, inner, IN)
        inner = outer
    with fails(ELOOP):
        bench.c.stack.epoll().register(9, inner, IN)


def test_a_closed_set_forgets_its_files(fabric: Fabric) -> None:
    bench = Bench(fabric)
    bench.epoll.release()
    assert bench.c.watchers is None


def test_a_collect_costs_what_is_ready_not_what_is_registered(fabric: Fabric) -> None:
    epoll, clients, _ = many(fabric)
    clients[0].send(b"x")
    fabric.run()
    assert len(epoll.ready) == 1


def test_a_faulty_wake_up_may_turn_the_list_round(fabric: Fabric) -> None:
    epoll, clients, _ = many(fabric)
    assert epoll.rotate(1) == 0
    for a in clients:
        a.send(b"x")
    fabric.run()
    assert (epoll.rotate(1), [fd for fd, _ in epoll.collect(9)]) == (3, [11, 12, 10])


def test_the_peer_on_the_same_host_hears_of_a_shutdown_first(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    listener, a, c = fabric.pair(stack, stack)
    epoll = stack.epoll()
    for number, end in enumerate((listener, a, c)):
        epoll.register(number, end, RDHUP | EPOLLET)
    epoll.collect(9)
    a.shutdown(1)
    fabric.run()
    assert [fd for fd, _ in epoll.collect(9)] == [2]
    c.shutdown(1)
    fabric.run()
    assert [fd for fd, _ in epoll.collect(9)] == [1, 2]
