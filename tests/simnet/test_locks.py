"""Locks that two processes of one program hold across a wait, and all that is made of locks: nobody waits for them in C."""

from __future__ import annotations

import copy
import dataclasses
import queue
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import modules
from simnet.standins.own_locals import EarlyLocal

LOCK_TYPE, RLOCK_TYPE = type(threading.Lock()), type(threading.RLock())  # as programs find them when they are imported
LOCK = threading.Lock()
AGAIN = threading.RLock()


class Registry:
    """What many programs keep in a global."""

    lock = threading.Lock()

    def __init__(self) -> None:
        self.own = threading.RLock()
        self.here = threading.local()


REGISTRY = Registry()


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """Has no dictionary."""

    own: Any = dataclasses.field(default_factory=threading.Lock)


@dataclasses.dataclass
class Keeper:
    """Keeps a condition of its own."""

    told: threading.Condition = dataclasses.field(default_factory=threading.Condition)


SLOTTED = Slotted()
KEEPER = Keeper()


class Stands:
    """For the registry, as the proxies of werkzeug and celery do: what it says of its names is the registry's."""

    __slots__ = ("__dict__", "number")
    __dict__ = property(lambda self: vars(REGISTRY))  # type: ignore[assignment]


FIRST, SECOND = Stands(), Stands()
TOLD = threading.Condition()
OF_A_GLOBAL = threading.Lock()
TOLD_OF_A_GLOBAL = threading.Condition(OF_A_GLOBAL)
TWICE = threading.Lock()
LISTED = [TWICE]

KINDS: list[Any] = [  # each made within the run: what this list itself held would be the true thing
    pytest.param(lambda: LOCK, id="a global"),
    pytest.param(lambda: AGAIN, id="a reentrant global"),
    pytest.param(lambda: Registry.lock, id="of a class"),
    pytest.param(lambda: REGISTRY.own, id="of an object"),
    pytest.param(lambda: SLOTTED.own, id="of an object with slots"),
    pytest.param(lambda: TOLD, id="a global condition"),
    pytest.param(lambda: KEEPER.told, id="a condition of an object"),
    pytest.param(lambda: threading.Lock(), id="Lock"),
    pytest.param(lambda: threading.RLock(), id="RLock"),
    pytest.param(lambda: threading.Condition(), id="Condition"),
    pytest.param(lambda: threading.Condition(LOCK), id="Condition of a global"),
    pytest.param(lambda: threading.Semaphore(), id="Semaphore"),
]


class Capitals(socketserver.StreamRequestHandler):
    """One client after the other, though each has a thread."""

    def handle(self) -> None:
        with self.server.lock:  # type: ignore[attr-defined]
            for line in self.rfile:
                self.wfile.write(line.upper())


def serve(make: Callable[[], Any], handler: type = Capitals) -> None:
    with socketserver.ThreadingTCPServer(("", 7), handler) as server:
        server.daemon_threads = True
        server.lock = make()  # type: ignore[attr-defined]
        server.serve_forever()


def connect() -> socket.socket:
    return socket.create_connection(("server", 7), timeout=5)


@pytest.mark.parametrize("make", KINDS)
def test_a_lock_that_a_handler_holds_while_it_waits_for_its_client_keeps_another_waiting_and_no_longer(
    simnet_network: Any, make: Callable[[], Any]
) -> None:
    simnet_network.host("server").spawn(serve, make)
    with connect() as one, connect() as two:
        one.sendall(b"one\n")
        two.sendall(b"two\n")
        assert one.recv(100) == b"ONE\n"
        with pytest.raises(TimeoutError):
            two.recv(100)
        one.close()
        assert two.recv(100) == b"TWO\n"


def test_who_waits_for_a_lock_for_ever_is_told_with_who_holds_it() -> None:
    with (
        pytest.raises(
            simnet.Deadlock,
            match=r"server/process_request_thread#2 waits for a lock that server/process_request_thread holds at "
            r"test_locks.py:\d+ in handle",
        ),
        simnet.Network() as net,
    ):
        net.host("server").spawn(serve, threading.Lock)
        with connect(), connect() as two:
            two.settimeout(None)
            two.sendall(b"two\n")
            two.recv(100)


class Crossed(socketserver.StreamRequestHandler):
    """Takes two locks in the order that its client says."""

    def handle(self) -> None:
        first, second = sorted(self.server.lock, key=id, reverse=self.rfile.readline() == b"other\n")  # type: ignore[attr-defined]
        with first:
            self.wfile.write(b"half\n")
            self.rfile.readline()
            with second:
                self.wfile.write(b"whole\n")


def two_in_opposite_order(net: simnet.Network) -> None:
    net.host("server").spawn(serve, lambda: (threading.Lock(), threading.Lock()), Crossed)
    with connect() as one, connect() as other:
        for sock, word in ((one, b"one\n"), (other, b"other\n")):
            sock.sendall(word)
            assert sock.recv(100) == b"half\n"
        for sock in (one, other):
            sock.sendall(b"go\n")
        with pytest.raises(TimeoutError):
            one.recv(100)


def test_two_handlers_that_wait_for_each_other_are_found_without_any_fault() -> None:
    with pytest.raises(AssertionError, match=r"still holds .* \(CLOSE_WAIT\)") as raised:
        simnet.check(two_in_opposite_order, target="server")
    told = str(raised.value)
    assert (
        "process_request_thread waits for a lock that server/process_request_thread#2 holds at test_locks.py:" in told
    )


@pytest.mark.parametrize("make", [lambda: threading.Lock(), lambda: threading.RLock()], ids=["Lock", "RLock"])
def test_a_lock_is_handed_on_in_the_order_in_which_it_was_asked_for(make: Callable[[], Any]) -> None:
    order = []

    def worker(number: int, lock: Any) -> None:
        for _ in range(2):
            with lock:
                order.append(number)
                time.sleep(1)

    with simnet.Network() as net:
        lock = make()
        workers = [net.host("a").spawn(worker, number, lock) for number in range(3)]
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0.5)
        assert net.time == 0.5
        assert lock.acquire(timeout=3.5)  # behind the other two
        assert net.time == 3
        lock.release()
        for each in workers:
            each.join()
        assert net.time == 6
    assert order == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("joined", [True, False], ids=["the body joins them", "the body wants the lock"])
def test_who_holds_a_lock_while_time_passes_may_do_so_often(joined: bool) -> None:
    def work(lock: Any, times: int) -> None:
        for _ in range(times):
            with lock:
                time.sleep(1)

    def sleep_often(lock: Any) -> None:
        with lock:
            for _ in range(100):
                time.sleep(1)

    with simnet.Network() as net:
        lock = threading.Lock()
        if joined:
            for each in [net.host("a").spawn(work, lock, 50) for _ in range(2)]:
                each.join()
        else:
            net.host("a").spawn(sleep_often, lock)
            lock.acquire()
        assert net.time == 100


def test_a_process_that_is_ended_waits_no_more_and_lets_its_lock_go() -> None:
    def hold(lock: Any) -> None:
        with lock:
            time.sleep(1e6)

    with simnet.Network() as net:
        lock = threading.Lock()
        net.host("a").spawn(hold, lock)
        net.host("b").spawn(hold, lock)
        net.host("a").crash()
        time.sleep(1)
        assert lock.locked(), "the other has it now"
        net.host("b").crash()
        assert lock.acquire(timeout=1)


def test_only_who_has_taken_a_reentrant_lock_may_let_it_go(simnet_network: Any) -> None:
    lock = threading.RLock()
    with lock, lock:
        other = simnet_network.host("a").spawn(lock.release)
        assert str(other.error) == "cannot release un-acquired lock"
        other.answered = True
        assert repr(lock).startswith("<locked _thread.RLock object owner=test count=2 at 0x")
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()


def test_programs_on_two_hosts_do_not_share_what_each_would_have_imported_itself(simnet_network: Any) -> None:
    def hold() -> None:
        with LOCK, AGAIN, Registry.lock:
            time.sleep(10)

    simnet_network.host("a").spawn(hold)
    assert LOCK.acquire(timeout=0)
    assert not LOCK.acquire(timeout=0), "nor does a run leave it taken"


def test_a_global_condition_goes_by_the_lock_that_it_was_made_of(simnet_network: Any) -> None:
    def tell() -> None:
        time.sleep(1)
        with OF_A_GLOBAL:
            TOLD_OF_A_GLOBAL.notify()

    simnet_network.host("a").spawn(tell)
    with OF_A_GLOBAL:
        assert not TOLD_OF_A_GLOBAL.wait(0.5)
        assert TOLD_OF_A_GLOBAL.wait(5)
        assert 1 <= simnet_network.time < 1.1


def test_a_lock_that_something_else_knows_stays_one(simnet_network: Any) -> None:
    with TWICE:
        assert LISTED[0].locked()


def test_what_stands_for_an_object_is_not_the_one_that_has_its_lock(simnet_network: Any) -> None:
    """It was put in place a second time, and a third: of a ``threading.local`` that ended in an AttributeError."""
    assert type(REGISTRY.here) is EarlyLocal
    assert FIRST.__dict__["here"] is SECOND.__dict__["here"] is REGISTRY.here
    REGISTRY.here.what = "mine"
    assert REGISTRY.here.what == "mine"


def test_who_waits_for_a_notification_without_the_lock_is_told_so(simnet_network: Any) -> None:
    for told in (TOLD, threading.Condition(), threading.Condition(threading.Lock())):
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            told.wait(1)


def test_what_a_program_asks_of_the_type_of_a_lock_is_answered_as_ever(simnet_network: Any) -> None:
    for lock in (threading.Lock(), LOCK):
        assert isinstance(lock, LOCK_TYPE)
        assert not isinstance(lock, RLOCK_TYPE)
    for lock in (threading.RLock(), AGAIN):
        assert isinstance(lock, RLOCK_TYPE)
        assert not isinstance(lock, LOCK_TYPE)


def test_a_lock_answers_by_a_truth_value_and_to_its_first_names_too(simnet_network: Any) -> None:
    for lock in (threading.Lock(), LOCK):
        assert lock.acquire_lock(0) is True
        assert lock.acquire(0) is False
        assert lock.locked_lock() is True
        lock.release_lock()


def test_nor_does_a_run_leave_anything_taken() -> None:
    for _ in range(2):
        with simnet.Network():
            assert LOCK.acquire(timeout=0)
    assert LOCK.acquire(timeout=0)
    LOCK.release()


def test_what_a_run_has_made_is_a_lock_outside_of_it_too() -> None:
    with simnet.Network():
        lock, again, line = threading.Lock(), threading.RLock(), queue.SimpleQueue[str]()

        class Line(queue.SimpleQueue):  # type: ignore[type-arg]
            """A program's own."""

        assert isinstance(Line(), queue.SimpleQueue)
    assert isinstance(line, queue.SimpleQueue)
    kinds = [threading.Lock] if isinstance(threading.Lock, type) else []  # from Python 3.13 on
    assert all(isinstance(each, kind) for kind in kinds for each in (lock, LOCK))
    with lock, again:
        thread = threading.Thread(target=lambda: [lock.acquire(), again.acquire(), line.put("done")])
        thread.start()
        thread.join(0.01)
        assert thread.is_alive()
        with pytest.raises(TypeError, match="cannot pickle"):
            copy.copy(lock)
    assert line.get(timeout=5) == "done"
    thread.join()


def test_what_is_wrong_with_a_wait_for_a_lock_is_said_as_ever(simnet_network: Any) -> None:
    for lock in (threading.Lock(), threading.RLock(), LOCK):
        with pytest.raises(ValueError, match="non-blocking"):
            lock.acquire(False, 1)
        with pytest.raises(ValueError, match="timeout value must be"):
            lock.acquire(timeout=-2)
        with pytest.raises(OverflowError):
            lock.acquire(timeout=1e12)
        with pytest.raises(RuntimeError):
            lock.release()


def test_a_queue_that_waits_in_c_elsewhere_waits_in_virtual_time(simnet_network: Any) -> None:
    def put(line: Any) -> None:
        time.sleep(2)
        line.put("what")

    line: queue.SimpleQueue[str] = queue.SimpleQueue()
    simnet_network.host("a").spawn(put, line)
    with pytest.raises(queue.Empty):
        line.get(timeout=1)
    assert line.get(timeout=5) == "what"


def test_a_module_has_its_own_locks_again_when_all_is_put_back() -> None:
    simnet.play(lambda net: None)
    module = sys.modules[__name__]
    assert type(module.LOCK) is not type(module.LOCK.true)  # type: ignore[attr-defined]
    modules.restore()
    assert repr(LOCK).startswith("<unlocked _thread.lock")
    assert "_thread.RLock" in repr(REGISTRY.own)
