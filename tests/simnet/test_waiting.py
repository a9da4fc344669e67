"""Who runs, who waits, and how time moves."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
import os
import pdb  # noqa: T100  # it is what a person sits at
import queue
import random
import re
import select
import signal
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from greenlet import greenlet

import simnet
from dispatch import asyncore
from simnet import modules, real, wait, watchdog
from simnet.explore.judging.verdict import judge
from simnet.run import Run, play
from simnet.scheduling import workers


def echo_once(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def test_a_blocking_client_and_a_blocking_server_meet() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo_once, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello, network")
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"hello, network"
        # SYN, SYN ACK; data there, data back; FIN there, FIN back: three round trips of 2 ms at most.
        assert 0.004 <= net.time <= 0.006


def left_for_the_collector(run: Callable[[], object]) -> list[object]:
    """What of ours *run* leaves in circles. Others leave garbage too, coverage's tracer for one: look whose it is."""
    run()  # what is made once is made
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run()
        gc.collect()
        return [each for each in gc.garbage if type(each).__module__.partition(".")[0] in ("simnet", "socket")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.slow
def test_a_run_leaves_nothing_for_the_collector() -> None:
    def run() -> None:
        with simnet.Network() as net:
            net.host("server").spawn(echo_once, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"hello, network")
                sock.recv(4096)
            with socket.socket(type=socket.SOCK_DGRAM) as other:
                other.sendto(b"nobody listens", ("server", 9))

    assert left_for_the_collector(run) == []


class Raises(asyncore.dispatcher):
    def handle_read(self) -> None:
        self.recv(4096)
        raise LookupError("in a handler")

    def handle_error(self) -> None:
        self.close()


class Listens(asyncore.dispatcher):
    def handle_accepted(self, sock: socket.socket, address: object) -> None:
        Raises(sock)


def serve_with_a_bug(port: int) -> None:
    listener = Listens()
    listener.create_socket()
    listener.bind(("", port))
    listener.listen(5)
    asyncore.loop()


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["refuse test->server:7#1", "eof test->server:7#1 end=client byte=0", ""])
def test_a_run_that_ends_by_an_exception_leaves_nothing_for_the_collector(plan: str) -> None:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve_with_a_bug, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello, network")
            assert sock.recv(4096)

    def look(played: Run) -> None:
        assert played.body_error is not None
        assert bool(played.handler_errors) == ("refuse" not in plan)

    # What `play` returns is no local of who called it: there the traceback, which knows all callers, would find it.
    assert left_for_the_collector(lambda: look(play(test, plan))) == []


def test_a_sleep_of_an_hour_costs_no_time_and_no_more_than_an_hour() -> None:
    with simnet.Network() as net:
        began = time.monotonic()
        time.sleep(3600)
        assert time.monotonic() - began == 3600
        assert net.time == 3600


def test_spawn_returns_when_the_process_first_waits() -> None:
    seen = []

    def worker() -> None:
        seen.append("before")
        time.sleep(1)
        seen.append("after")

    with simnet.Network() as net:
        process = net.host("a").spawn(worker)
        assert seen == ["before"]
        assert process.join()
        assert seen == ["before", "after"]
        assert net.time == 1


def test_processes_that_may_run_take_turns_in_the_order_in_which_they_were_woken() -> None:
    order = []

    def worker(name: str, pause: float) -> None:
        time.sleep(pause)
        order.append(name)

    with simnet.Network() as net:
        for name, pause in (("slow", 2), ("first", 1), ("second", 1)):
            net.host(name).spawn(worker, name, pause)
        time.sleep(3)
    assert order == ["first", "second", "slow"]


def test_a_test_that_waits_for_what_cannot_happen_is_a_deadlock_that_names_who_waits_for_what() -> None:
    def silent(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            connection.recv(1)

    def test() -> None:
        with simnet.Network() as net:
            net.host("server").spawn(silent, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.recv(1)

    with pytest.raises(simnet.Deadlock) as caught:
        test()
    text = str(caught.value)
    assert re.search(r"  test waits for recv on test->server:7#1 at test_waiting.py:\d+ in test, since", text)
    assert re.search(
        r"  server/silent waits for recv on test->server:7#1 at test_waiting.py:\d+ in silent, since", text
    )


def test_a_heart_that_beats_beside_who_waits_for_ever_is_soon_a_deadlock() -> None:
    def wait(port: int, seconds: float | None) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", port))
            while True:
                select.select([sock], [], [], seconds)

    net = simnet.Network()
    with pytest.raises(simnet.Deadlock), net:
        net.host("server").spawn(wait, 8, 1)
        net.host("server").spawn(wait, 9, None)
        wait(7, None)
    assert net.time < 70, "after 64 beats: nobody counts them"


@pytest.mark.slow
def test_a_deadlock_tells_of_an_asyncio_program_where_its_tasks_stand() -> None:
    held = []  # a task that nobody refers to is garbage, here as anywhere

    async def forgets_to_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append((writer, forgotten := asyncio.Event()))
        while await reader.readline():
            pass
        await forgotten.wait()

    async def main() -> None:
        await (await asyncio.start_server(forgets_to_answer, port=7)).serve_forever()

    def test(net: simnet.Network, *, closes: bool) -> None:
        server = net.host("server").spawn(asyncio.run, main())
        with socket.create_connection(("server", 7)) as sock:
            if closes:
                sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
        server.join()

    first = simnet.play(functools.partial(test, closes=False))
    assert re.search(
        r"epoll1 at test_waiting.py:\d+ in forgets_to_answer, test_waiting.py:\d+ in main, since", str(first.body_error)
    )
    line = re.compile(r"test_waiting.py:(\d+) in forgets_to_answer")
    second = simnet.play(functools.partial(test, closes=True))
    assert line.findall(str(first.body_error)) < line.findall(str(second.body_error))  # it has got further


def test_a_server_that_the_test_calls_itself_is_told_to_be_spawned() -> None:
    run = simnet.play(lambda net: socket.create_server(("", 7)).accept())
    assert "No other process is there. A server's loop, called in the test? Hand the function to spawn" in str(
        run.body_error
    )


@pytest.mark.parametrize("how", ["run", "join"])
def test_a_server_that_is_waited_for_is_told_to_be_spawned(how: str) -> None:
    def serve() -> None:
        socket.create_server(("", 7)).accept()

    with pytest.raises(simnet.Deadlock, match="A server that never ends is spawned, and neither run nor joined"):
        with simnet.Network() as net:
            net.host("server").run(serve) if how == "run" else net.host("server").spawn(serve).join()


def test_an_event_loop_between_two_callbacks_waits_where_it_asks_its_poller() -> None:
    run = simnet.play(lambda net: net.host("server").spawn(asyncio.run, forever()))
    assert [each.where.partition(":")[0] for each in run.waiting] == ["base_events.py"]


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_heartbeat_that_ticks_for_ever_does_not_hide_a_deadlock() -> None:
    def heart() -> None:
        while True:
            time.sleep(30)

    with simnet.Network() as net:
        net.host("server").spawn(heart)
        with socket.create_server(("", 1)) as listener, pytest.raises(simnet.Deadlock):
            listener.accept()


def test_a_servers_loop_in_the_test_itself_is_a_hang_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called, and not handed to spawn: it would go on for ever, as time costs nothing."""
    monkeypatch.setattr("simnet.wait.ALONE_MAX", 1_000)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                select.select([listener], [], [], 0.5)

    for others in range(2):
        with (
            pytest.raises(simnet.Hang, match=r"a process woke by time alone .* called in the test"),
            simnet.Network() as net,
        ):
            for _ in range(others):
                net.host("other").spawn(time.sleep, 1_000_000)
            serve()


@pytest.mark.parametrize("pause", [0.1, 600], ids=["often", "for-hours"])
def test_a_test_that_looks_for_ever_for_what_a_fault_took_away_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """Without the fault its loop ends, so it is none that was meant to run for ever: under a disruptive fault that is no failure."""
    monkeypatch.setattr("simnet.wait.ALONE_MAX", 3_000)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock, contextlib.suppress(OSError):
            sock.sendall(sock.recv(1))

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a")
            sock.settimeout(pause)
            answer = b""
            while not answer:
                with contextlib.suppress(TimeoutError):
                    answer = sock.recv(1)

    baseline = play(test)
    plan = "error test->server:7#1 end=server recv call=1 errno=ETIMEDOUT"  # the client hears nothing of it
    run = play(test, plan, baseline=baseline)
    assert not run.verdicts
    assert isinstance(run.body_error, simnet.Deadlock)
    judgement = judge(baseline, run)
    assert (judgement.status, judgement.findings[0].reason) == ("interrupted", "body-waits")
    assert re.search(r"who wakes has done nothing [23],000 times in a row", str(run.body_error))


def test_a_timeout_fires_at_its_virtual_time() -> None:
    with simnet.Network() as net, net.host("server").listen(7), socket.create_connection(("server", 7)) as sock:
        began = net.time
        sock.settimeout(2.5)
        with pytest.raises(TimeoutError, match="timed out"):
            sock.recv(1)
        assert net.time == pytest.approx(began + 2.5)


def test_an_exception_of_a_process_is_raised_when_the_network_is_left() -> None:
    def broken() -> None:
        raise LookupError("nothing here")

    def test() -> None:
        with simnet.Network() as net:
            net.host("server").spawn(broken)

    with pytest.raises(LookupError, match="nothing here") as caught:
        test()
    assert any("server/broken" in note for note in caught.value.__notes__)


def test_a_loop_that_is_told_of_readiness_and_does_nothing_is_a_spin() -> None:
    def spinner(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                select.select([listener], [], [])

    def test() -> None:
        with simnet.Network() as net:
            net.host("server").spawn(spinner, 7)
            socket.create_connection(("server", 7)).close()

    with pytest.raises(simnet.Spin, match="server:7 IN"):
        test()


def test_who_is_told_of_room_to_write_until_another_has_its_turn_does_not_spin() -> None:
    """As a server that handshakes by writing, whose client is on the same host and has been woken already."""

    def client() -> None:
        with socket.create_connection(("127.0.0.1", 7)) as sock:
            sock.sendall(sock.recv(100).upper())

    with simnet.Network() as net:
        with socket.create_server(("", 7)) as listener:
            net.host("test").spawn(client)
            conn, _ = listener.accept()
        with conn:
            conn.sendall(b"hello")
            while not select.select([conn], [conn], [])[0]:
                pass
            assert conn.recv(100) == b"HELLO"


def test_a_busy_loop_that_is_let_sees_its_time_out() -> None:
    """And not what is due long after it."""

    def test(net: simnet.Network) -> float:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(time.sleep, 60)
            with pytest.raises(TimeoutError):
                list(as_completed({slow}, timeout=0))
            return net.time

    run = simnet.play(test, invariants={"no-spin": "off"})
    assert run.body_error is None
    assert 0 < run.outcome.returned < 0.01


def asks_for_room(conn: socket.socket) -> bool:
    return bool(select.select([conn], [conn], [])[0])


def looks_without_waiting(conn: socket.socket) -> bool:
    return bool(select.select([conn], [], [], 0)[0])


@pytest.mark.slow
@pytest.mark.parametrize("look", [asks_for_room, looks_without_waiting])
@pytest.mark.parametrize("level", ["warning", "off: it is known, and its author has gone"])
def test_where_that_is_let_a_busy_loop_goes_on_and_time_passes(
    look: Callable[[socket.socket], bool], level: str
) -> None:
    def shouter(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                while not look(listener):
                    pass
                with listener.accept()[0] as conn:
                    data = None
                    while data != b"":
                        if look(conn):
                            data = conn.recv(100)
                            conn.sendall(data.upper())

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(shouter, 7)
        with socket.create_connection(("server", 7)) as sock:
            for _ in range(3):
                time.sleep(60)
                sock.sendall(b"hello")
                assert sock.recv(100) == b"HELLO"
            net.sleep(1)

    run = simnet.play(test, target="server", invariants={"no-spin": level})
    assert (run.body_error, run.failures) == (None, [])
    assert [each.level for each in run.verdicts] == ["warning"] * (level == "warning")


@pytest.mark.parametrize("by", ["select", "poll", "epoll"])
def test_who_only_looks_may_look_more_often_than_who_would_wait(by: str) -> None:
    """A test that writes down after each step what each of many sockets is ready for is no busy loop."""
    looks = 0
    with pytest.raises(simnet.Spin, match="was woken 1,000 times in a row"), simnet.Network():
        near, far = socket.socketpair()
        with near, far:
            poller = None if by == "select" else getattr(select, by)()
            if poller is not None:
                poller.register(near, select.POLLOUT)
            while poller.poll(0) if poller is not None else select.select([], [near], [], 0)[1]:
                looks += 1
    assert looks == wait.PAUSES_MAX


@pytest.mark.parametrize("by", ["poll", "epoll"])
def test_who_is_told_of_a_hang_up_unasked_is_told_to_take_it_out_of_the_poller(by: str) -> None:
    with (
        pytest.raises(simnet.Spin, match=r"HUP, and no call .* close it, or take it out of the poller\."),
        simnet.Network(),
    ):
        near, far = socket.socketpair()
        with near, far:
            asked = getattr(select, by)()
            asked.register(near, 0)  # nothing more is expected, and what came is not passed on yet
            far.close()
            while asked.poll():
                pass


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_to_shut_down_again_what_is_shut_down_does_nothing_about_an_end(family: int) -> None:
    def half_closer(port: int | str) -> None:
        with socket.socket(family) as listener:
            listener.bind(("", port) if isinstance(port, int) else port)
            listener.listen()
            conn, _ = listener.accept()
            while True:
                select.select([conn], [], [])
                if not conn.recv(100):
                    conn.shutdown(socket.SHUT_RD)  # and asks for reading as before

    place: int | str = 7 if family == socket.AF_INET else "/run/half.sock"
    with pytest.raises(simnet.Spin, match="was woken 200 times in a row"), simnet.Network() as net:
        net.host("server").spawn(half_closer, place)
        with net.host("server").connect(("server", place) if isinstance(place, int) else place) as sock:
            sock.shutdown(socket.SHUT_WR)
            net.sleep(1)


def test_polls_that_find_nothing_between_calls_that_do_something_are_no_spin() -> None:
    with simnet.Network() as net:
        near, far = socket.socketpair()
        poller = select.epoll()
        poller.register(near, select.EPOLLIN)
        for _ in range(3 * wait.PAUSES_MAX):  # as asyncio's loop does while it makes connections within a host
            near.send(b".")
            assert far.recv(1) == b"."
            assert poller.poll(0) == []
        assert net.time == 0


@pytest.mark.slow
def test_a_loop_that_polls_without_leave_to_wait_and_finds_nothing_for_ever_is_a_spin() -> None:
    def impatient(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while not select.select([listener], [], [], 0)[0]:
                pass

    def test() -> None:
        with simnet.Network() as net:
            net.host("server").spawn(impatient, 7)

    with pytest.raises(simnet.Spin, match="server/impatient polled 1,000 times"):
        test()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["run", "join"])
def test_who_waits_for_the_end_of_a_process_lets_it_wake_a_thousand_times(by: str) -> None:
    def ticks(times: int) -> int:
        for _ in range(times):
            time.sleep(0.01)
        return times

    async def turns(times: int) -> int:
        for _ in range(times):
            await asyncio.sleep(0.01)
        return times

    with simnet.Network() as net:
        net.host("beside").spawn(ticks, 1_000_000)
        for work in (ticks, lambda times: asyncio.run(turns(times))):
            if by == "run":
                assert net.host("worker").run(work, 900) == 900
            else:
                net.host("worker").spawn(work, 900).join()


def test_a_loop_that_has_much_to_do_before_it_waits_is_no_spin() -> None:
    """Its tasks hand on to one another, and between two turns it looks for events."""

    async def hand_on(times: int) -> int:
        there, back = asyncio.Queue[int](1), asyncio.Queue[int](1)

        async def other() -> None:
            for _ in range(times):
                await back.put(await there.get() + 1)

        task, number = asyncio.create_task(other()), 0
        for _ in range(times):
            await there.put(number)
            number = await back.get()
        await task
        return number

    with simnet.Network() as net:
        other = net.host("other").spawn(time.sleep, 0.5)
        assert net.host("server").run(lambda: asyncio.run(hand_on(5_000))) == 5_000
        assert net.time < 0.1  # a millisecond for each thousand looks
        assert not other.done


@pytest.mark.slow
def test_many_loops_that_begin_and_end_at_once_are_no_spin() -> None:
    with simnet.Network() as net:
        waiting = [net.host("crowd").spawn(lambda: asyncio.run(asyncio.sleep(1))) for _ in range(wait.PAUSES_MAX // 2)]
        for each in waiting:
            each.join()


def test_of_many_who_poll_each_may_do_so_for_long_before_that_takes_time() -> None:
    """So that who began first is there when the others, in the same instant, want something of it."""

    def polls(number: int) -> None:
        with select.epoll() as poller:
            for _ in range(number):
                assert poller.poll(0) == []

    with simnet.Network() as net:
        for number in range(1, 30):
            net.host("crowd").spawn(polls, 100 + number)
        net.host("crowd").run(polls, 900)
        assert net.time == 0


def test_who_polls_until_a_deadline_is_past_gets_past_it_each_time(simnet_network: simnet.Network) -> None:
    with socket.create_server(("", 7)) as listener:
        for number in range(5):  # as socketserver's handle_request does
            left = 5.0
            deadline = time.monotonic() + left
            while left >= 0:
                assert not select.select([listener], [], [], left)[0]
                left = deadline - time.monotonic()
            assert simnet_network.time == pytest.approx(5 * (number + 1), abs=0.01)


def test_who_watches_a_clock_sees_it_move_and_lets_others_run() -> None:
    with simnet.Network() as net, net.host("server").listen(7) as listener:
        began = time.monotonic()
        while time.monotonic() - began < 0.01:
            pass
        assert net.time == pytest.approx(0.01)
        client = socket.create_connection(("server", 7))
        conn, _ = listener.accept()
        conn.sendall(b"late")
        client.setblocking(False)
        end, data = time.time() + 1, b""
        while time.time() < end and not data:
            with contextlib.suppress(BlockingIOError):
                data = client.recv(10)
        assert (data, net.time < 0.02) == (b"late", True)


def test_a_clock_does_not_move_between_calls_that_do_something() -> None:
    with simnet.Network() as net:
        near, far = socket.socketpair()
        for _ in range(2 * wait.PAUSES_MAX):
            near.send(b".")
            far.recv(1)
            time.monotonic()
            time.time()
        assert net.time == 0


@pytest.mark.slow
def test_a_loop_of_calls_that_neither_wait_nor_do_anything_is_a_hang() -> None:
    def test() -> None:
        with simnet.Network() as net, net.host("server").listen(7) as listener:
            client = socket.create_connection(("server", 7))
            listener.accept()[0].close()
            while client.recv(10) != b"never":  # b"" for ever
                pass

    with pytest.raises(simnet.Hang, match="the last: recv on test->server:7#1"):
        test()


def test_what_the_last_of_many_calls_in_vain_has_said_is_not_told_as_its_cause() -> None:
    with (
        pytest.raises(simnet.Hang, match="where one says EAGAIN, poll before the next") as hang,
        simnet.Network() as net,
    ):
        listener = net.host("test").listen(7)
        listener.setblocking(False)
        while True:
            try:
                listener.accept()
            except BlockingIOError:
                pass
    assert hang.value.__suppress_context__


def test_a_loop_of_calls_that_do_something_and_let_no_time_pass_is_a_hang_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simnet.scheduling.storms.ENTRIES_AN_INSTANT_MAX", 5_000)  # as it is, this takes seconds

    def test() -> None:
        with simnet.Network():
            while True:
                socket.socket().close()

    with pytest.raises(simnet.Hang, match="never waits"):
        test()


def sends_for_ever(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        with contextlib.suppress(ConnectionError):
            while True:
                connection.sendall(b"mock")


@pytest.mark.slow
@pytest.mark.parametrize("latency", [0.001, 0.2])
def test_who_sends_a_little_for_ever_hears_after_a_while_that_its_peer_has_gone(latency: float) -> None:
    with simnet.Network() as net:
        net.link("test", "server").latency = latency
        server = net.host("server").spawn(sends_for_ever, 7)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(4) == b"mock"
        server.join()
        assert net.time < 5 * latency + 1
        assert len(net.trace) < 150_000


@pytest.mark.slow
def test_who_sends_many_small_pieces_to_one_who_reads_them_is_none_that_never_waits(simnet_network: Any) -> None:
    def counts(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            for n in range(40_000):
                connection.sendall(b"%8d" % n)

    simnet_network.host("server").spawn(counts, 7)
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as file:
        assert file.read() == b"".join(b"%8d" % n for n in range(40_000))
    assert simnet_network.time < 1


@pytest.mark.slow
def test_who_sends_for_ever_to_one_who_stays_and_does_not_read_is_a_hang() -> None:
    with (
        pytest.raises(simnet.Hang, match="server/sends_for_ever is in a loop that never waits"),
        simnet.Network() as net,
    ):
        net.host("server").spawn(sends_for_ever, 7)
        sock = socket.create_connection(("server", 7))
        net.run()
        sock.close()


@pytest.mark.slow
def test_what_passes_while_a_machine_is_paused_is_not_the_programs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    late = 0.0
    true = real.monotonic
    monkeypatch.setattr(real, "monotonic", lambda: true() + late)
    with simnet.Network():
        began = true()
        while true() < began + 3 * watchdog.LOOK_SECONDS:
            if true() > began + 1.5 * watchdog.LOOK_SECONDS:  # it has looked once
                late = 2 * watchdog.HANG_SECONDS


@pytest.mark.slow
def test_asyncio_does_not_log_a_verdict_that_ended_a_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("simnet.watchdog.HANG_SECONDS", 0.3)

    kept: list[object] = []  # as the traceback of the failure keeps it until it is shown

    async def computes() -> None:
        while kept:
            pass

    async def serve() -> None:
        kept.append(asyncio.create_task(computes()))
        await asyncio.sleep(1)

    with pytest.raises(simnet.Hang), simnet.Network() as net:
        net.host("server").spawn(asyncio.run, serve())
        net.sleep(5)
    kept.clear()
    gc.collect()
    assert caplog.text == ""


@pytest.mark.slow
def test_code_that_computes_for_ever_is_stopped_and_shown_without_what_led_to_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simnet.watchdog.HANG_SECONDS", 0.5)

    def compute() -> None:
        while True:
            pass

    with pytest.raises(simnet.Hang) as caught, simnet.Network() as net:
        net.host("server").spawn(compute)
    (verdict,) = net.verdicts
    assert "server/compute has computed for 0.5 s of real time" in verdict.message
    assert "in compute" in verdict.message
    assert "pluggy" not in verdict.message
    assert caught.value is verdict.error


@pytest.mark.slow
def test_a_call_of_a_real_socket_that_nobody_answers_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.watchdog.HANG_SECONDS", 0.5)
    ours, theirs = socket.socketpair()  # made before the run: the true kernel's
    sys._getframe().f_trace = lambda *event: None  # as a debugger leaves one that has gone on
    with ours, theirs:
        with pytest.raises(simnet.Hang) as caught, simnet.Network() as net:
            ours.recv(1)
        (verdict,) = net.verdicts
        assert str(caught.value) == verdict.message
        assert getattr(caught.value, "__notes__", []) == []  # it says all that there is to say
        assert "in test_a_call_of_a_real_socket_that_nobody_answers_is_stopped_too" in verdict.message
        assert "as one is that was made before the run (make it within)" in verdict.message
        with pytest.raises(simnet.Hang), simnet.Network() as net:
            net.host("server").run(ours.recv, 1)


def test_a_blocking_accept_on_what_does_not_listen_fails_at_once() -> None:
    with simnet.Network(), socket.socket() as sock, pytest.raises(OSError, match="Invalid argument"):
        sock.accept()


def test_a_process_that_swallows_its_end_and_never_waits_is_abandoned() -> None:
    def stubborn() -> None:
        sock = socket.socket()
        sock.bind(("", 1))
        while True:
            with contextlib.suppress(BaseException):
                sock.listen()
                time.sleep(1)

    with pytest.warns(RuntimeWarning, match=r"\[abandoned\] a/stubborn went on"), simnet.Network() as net:
        net.host("a").spawn(stubborn)
    assert [verdict.name for verdict in net.verdicts] == ["abandoned"]


def test_a_server_whose_handler_swallows_its_end_once_ends_where_it_is_told_again() -> None:
    """As wsgiref's does, and goes on to the next client; but there is no listener any more, which its loop does not mind."""

    def serve() -> None:
        listener = socket.create_server(("", 7))
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        while True:
            poller.poll(500)  # of what has been closed, it tells at once
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            with contextlib.suppress(BaseException), sock:
                sock.recv(1)

    def wait_for_an_answer() -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.recv(1)

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        net.host("client").spawn(wait_for_an_answer)
    assert not net.verdicts


@pytest.mark.parametrize("kind", ["epoll", "select"])
def test_a_loop_that_swallows_its_end_and_polls_on_is_abandoned(kind: str) -> None:
    def stubborn() -> None:
        poller, listener = select.epoll(), socket.create_server(("", 7))
        while True:
            with contextlib.suppress(BaseException):
                poller.poll() if kind == "epoll" else select.select([listener], [], [])

    with pytest.warns(RuntimeWarning, match=r"\[abandoned\] a/stubborn went on"), simnet.Network() as net:
        net.host("a").spawn(stubborn)
    assert [verdict.name for verdict in net.verdicts] == ["abandoned"]


def test_a_body_that_swallows_its_deadlock_and_waits_on_is_stopped_and_told_of_the_deadlock() -> None:
    """As a reactor's loop does, which catches whatever is raised in it: for ever, and the watchdog said that it computes."""
    with pytest.raises(simnet.Deadlock, match="test waits for readiness of test epoll1"), simnet.Network() as net:
        poller = select.epoll()
        for _ in range(150):
            with contextlib.suppress(simnet.Deadlock):
                poller.poll()
        poller.close()
    assert [verdict.name for verdict in net.verdicts] == ["Deadlock"]


@pytest.mark.slow
def test_who_works_until_a_clock_says_that_it_is_time_comes_to_an_end() -> None:
    """On a kernel each send takes a while. Here none does, but as many as would take one longer than they are waited for do."""

    def read_all() -> None:
        with listener, listener.accept()[0] as sock:
            while sock.recv(65536):
                pass

    with simnet.Network(trace=False) as net:
        listener = socket.create_server(("", 7))
        threading.Thread(target=read_all).start()
        with socket.create_connection(("localhost", 7)) as sock:
            until = time.time() + 0.03
            while time.time() < until:
                sock.send(b"x")
        assert 0.03 <= net.time < 0.1


def test_a_poller_that_outlives_its_run_says_that_it_is_closed() -> None:
    pollers = []

    def serve() -> None:
        pollers.append(select.epoll())
        pollers[0].poll()

    with simnet.Network() as net:
        net.host("a").spawn(serve)
    with pytest.raises(OSError, match="Bad file descriptor"):
        pollers[0].unregister(1)


def test_a_poll_that_may_not_block_lets_the_others_run() -> None:
    seen = []

    def busy() -> None:
        poller = select.poll()
        while len(seen) < 3:
            poller.poll(0)

    def other() -> None:
        for number in range(3):
            time.sleep(0.001)
            seen.append(number)

    with simnet.Network() as net:
        net.host("a").spawn(other)
        net.host("b").spawn(busy).join()
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("schedule", ["random:1", "random:2", "pct:3"])
def test_a_schedule_permutes_those_who_may_run_and_is_the_same_in_each_run(schedule: str) -> None:
    def run(schedule: str) -> list[int]:
        order: list[int] = []

        def worker(number: int) -> None:
            for _ in range(4):
                time.sleep(1)
                order.append(number)

        with simnet.Network(simnet.FaultPlan(schedule=schedule)) as net:
            for number in range(6):
                net.host("a").spawn(worker, number)
            time.sleep(10)
        return order

    assert run("fifo") == list(range(6)) * 4
    assert run(schedule) != run("fifo")
    assert run(schedule) == run(schedule)
    assert sorted(run(schedule)) == sorted(run("fifo"))


def test_an_event_set_by_another_process_wakes_who_waits_for_it() -> None:
    event = threading.Event()

    def setter() -> None:
        time.sleep(2)
        event.set()

    with simnet.Network() as net:
        net.host("a").spawn(setter)
        assert not event.wait(1)
        assert net.time == 1
        assert event.wait()
        assert 2 <= net.time < 2.01


def test_processes_tell_each_other_by_events_without_a_limit() -> None:
    ready, asked, done = threading.Event(), threading.Event(), threading.Event()
    told = []

    def other() -> None:
        ready.wait()  # nobody sleeps and nothing is on its way, but the body goes on
        told.append("other")
        asked.set()
        done.wait()
        told.append("end")

    with simnet.Network() as net:
        process = net.host("a").spawn(other)
        told.append("body")
        ready.set()
        asked.wait()
        time.sleep(1)
        done.set()
        process.join()
    assert told == ["body", "other", "end"]


def test_a_wait_for_an_event_nobody_will_set_is_a_deadlock() -> None:
    def test() -> None:
        with simnet.Network():
            threading.Event().wait()

    with pytest.raises(simnet.Deadlock, match=r"test waits for a notification at test_waiting.py:\d+ in test"):
        test()


def test_each_process_has_its_own_random_numbers_and_they_are_the_same_in_each_run() -> None:
    def draws(into: list[float]) -> None:
        into.append(random.random())

    def run() -> list[float]:
        found: list[float] = []
        with simnet.Network(seed=3) as net:
            net.host("a").spawn(draws, found)
            net.host("b").spawn(draws, found)
            draws(found)
        return found

    first = run()
    assert first == run()
    assert len(set(first)) == 3


def test_a_fork_is_refused_with_the_line_that_tried() -> None:
    def test() -> None:
        with simnet.Network(), contextlib.suppress(BaseException):
            os.fork()

    with pytest.raises(simnet.Escape, match=r"test_waiting\.py"):
        test()


def test_a_network_is_quiet_when_hearts_beat_and_not_while_somebody_watches_a_clock() -> None:
    closed = []

    def idle_timeout(port: int) -> None:
        """Ticks each 30 s; whoever said nothing for 100 s is closed."""
        with socket.create_server(("", port)) as listener:
            connection, _ = listener.accept()
            began = time.monotonic()
            while time.monotonic() - began < 100:
                select.select([connection], [], [], 30)
            connection.close()
            closed.append(time.monotonic() - began)

    def heart() -> None:
        while True:
            select.select([], [], [], 30)

    with simnet.Network() as net:
        net.host("heart").spawn(heart)
    assert net.time < 150

    def silent_client(port: int) -> None:
        with socket.create_connection(("server", port)):
            time.sleep(1_000)

    with simnet.Network(target="server") as net:
        net.host("server").spawn(idle_timeout, 7)
        net.host("client").spawn(silent_client, 7)
    assert closed == [120]  # the first tick after 100 s


FRAMES = [
    pytest.param(socket.AF_INET, 0.0005, 0.05, id="slower than the network"),
    pytest.param(socket.AF_INET, 0.2, 0.001, id="faster than the network"),
    pytest.param(socket.AF_UNIX, 0, 0.05, id="on one host"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "latency", "frame"), FRAMES)
def test_who_looks_now_and_then_sees_what_arrives_while_it_sleeps(family: int, latency: float, frame: float) -> None:
    """As games do: each frame polls once and sleeps. Its frames are no sign that nothing will happen."""
    address: Any = ("server", 7) if family == socket.AF_INET else "\0game"
    ended: list[bool] = []

    def game() -> None:
        with socket.create_server(address, family=family) as listener:
            conn, _ = listener.accept()
        with conn:
            while True:
                if select.select([conn], [], [], 0)[0]:
                    data = conn.recv(100)
                    if not data:
                        return ended.append(True)
                    conn.sendall(data)
                time.sleep(frame)

    with simnet.Network() as net:
        if latency:
            net.link("test", "server").latency = latency
        net.host("server" if latency else "test").spawn(game)
        with socket.socket(family) as client:
            client.connect(address)
            client.sendall(b"a move")
            assert client.recv(100) == b"a move"  # no Deadlock, whatever ticks meanwhile
            time.sleep(10)
        # Closed while the game sleeps. It has to see the end, or it would be blamed for what it still holds.
    assert ended


def sleeps(seconds: float) -> None:
    for _ in range(round(seconds * 100)):
        time.sleep(0.01)


def looks_at_the_clock(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def polls_now_and_then(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        select.select([], [], [], 0.01)


works = pytest.mark.parametrize("work", [sleeps, looks_at_the_clock, polls_now_and_then])


def at_work(work: Callable[[float], None], seconds: float) -> Callable[[simnet.Network], bytes]:
    """The test of a server that needs so long for its answer, and a client that waits as long as it takes."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    if connection.makefile("rb").readline() == b"a job\n":
                        work(seconds)
                        connection.sendall(b"done")

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a job\n")
            return sock.makefile("rb").readline()

    return test


@pytest.mark.slow
@works
def test_who_waits_for_a_server_that_wakes_often_until_it_answers_is_answered(work: Callable[[float], None]) -> None:
    assert play(at_work(work, 1.5)).outcome.returned == b"done"


@pytest.mark.slow
@works
def test_a_server_under_faults_may_wake_as_often_as_without(work: Callable[[float], None]) -> None:
    seconds = 0.2 if work is looks_at_the_clock else 1  # a hundred wake-ups, or times that the clock moves
    result = simnet.check(at_work(work, seconds), target="server", kinds=["stall", "split"])
    assert result.equal == result.runs > 20


@pytest.mark.slow
def test_a_server_that_wakes_for_ever_and_does_not_answer_is_a_deadlock_that_says_how_often() -> None:
    run = play(at_work(sleeps, 1_000))
    assert "at 20.003001 s nothing is on a link, and who wakes has done nothing 2,000 times in a row:" in str(
        run.outcome
    )
    again = play(at_work(sleeps, 1_000), baseline=play(at_work(sleeps, 0.1)))
    assert "has done nothing 64 times in a row:" in str(again.outcome)


@pytest.mark.slow
def test_a_client_that_looks_often_whether_its_minute_is_over_comes_to_its_end() -> None:
    def client() -> str:
        end, got = time.monotonic() + 60, []
        with socket.create_connection(("server", 7)) as sock:

            def read() -> None:
                with contextlib.suppress(OSError):
                    got.append(sock.recv(1))

            threading.Thread(target=read, daemon=True).start()
            while time.monotonic() < end and not got:
                time.sleep(0.01)
        return f"got {got}"

    def story(net: simnet.Network) -> str:
        listener = net.host("server").listen(7)
        process = net.host("client").spawn(client)
        with listener, listener.accept()[0] as served:
            served.sendall(b"x")
            process.join()
        assert process.result is not None
        return str(process.result)

    usual = play(story, target="client")
    assert usual.outcome.returned == "got [b'x']"
    late = play(
        story, "error client->server:7#1 end=client recv call=1 errno=ETIMEDOUT", target="client", baseline=usual
    )
    assert (late.outcome.returned, late.verdicts) == ("got []", [])


def test_a_process_is_ended_where_it_waits_and_its_finally_code_runs() -> None:
    seen = []

    def worker() -> None:
        try:
            time.sleep(1e6)
        finally:
            began = time.monotonic()
            time.sleep(5)  # elapses at once
            seen.append(time.monotonic() - began)

    with simnet.Network() as net:
        net.host("a").spawn(worker)
    assert seen == [0]


def test_a_process_that_will_not_end_is_abandoned_and_named() -> None:
    def stubborn() -> None:
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1)

    told = pytest.warns(RuntimeWarning, match=r"\[abandoned\] a/stubborn went on")
    with told, simnet.Network() as net:
        net.host("a").spawn(stubborn)
        time.sleep(0.5)
    assert [verdict.name for verdict in net.verdicts] == ["abandoned"]


def test_a_wait_for_an_event_lasts_as_long_as_it_says_and_no_real_time() -> None:
    """Alone, beside a server that waits for ever, and beside somebody whose time-out comes in between."""

    def serve() -> None:
        socket.create_server(("", 7)).accept()

    def late(told: queue.Queue[str]) -> None:
        time.sleep(1)
        told.put("at last")

    for others in ([], [serve], [serve, lambda: time.sleep(1)]):
        with simnet.Network() as net:
            for number, other in enumerate(others):
                net.host(f"host{number}").spawn(other)
            assert threading.Event().wait(2) is False
            assert net.time == 2
            with pytest.raises(queue.Empty):
                queue.Queue().get(timeout=3.5)
            assert net.time == 5.5
            told: queue.Queue[str] = queue.Queue()
            net.host("late").spawn(late, told)
            assert told.get(timeout=60) == "at last"
            assert 6.5 <= net.time < 6.6


def test_who_polls_until_a_deadline_is_past_finds_it_past() -> None:
    """As socketserver.handle_request() does: a wait that ends on the very nanosecond leaves it nothing to wait for."""

    class Silent(socketserver.BaseRequestHandler): ...

    took = []

    def serve() -> None:
        with socketserver.TCPServer(("", 7), Silent) as server:
            server.timeout = 3
            for clock in (time.monotonic, time.time):
                began = clock()
                server.handle_request()
                took.append(clock() - began)

    with simnet.Network() as net:
        assert net.host("server").spawn(serve).join(timeout=60)
    assert net.verdicts == []
    assert took
    assert all(3 <= each < 3.002 for each in took)


def test_a_coroutine_function_is_refused() -> None:
    async def server() -> None: ...

    with simnet.Network() as net, pytest.raises(TypeError, match=r"asyncio\.run"):
        net.host("a").spawn(server)


def test_a_coroutine_function_is_called_where_asyncio_is_to_run_it() -> None:
    async def serve(port: int) -> None: ...

    with simnet.Network() as net:
        with pytest.raises(
            TypeError, match=r"^spawn\(\) got the coroutine function 'serve' for asyncio\.run, .*serve\(\.\.\.\)\)$"
        ):
            net.host("server").spawn(asyncio.run, serve)  # type: ignore[arg-type]
        assert net.host("server").run(list, (serve,)) == [serve], "others may take the function"


def test_a_second_network_in_one_thread_is_refused() -> None:
    with (
        simnet.Network(),
        pytest.raises(RuntimeError, match=r"already running .* entered at test_waiting.py:\d+ in test_a_sec"),
    ):
        simnet.Network().begin()
    with simnet.Network():
        pass
    entered = simnet.play(lambda net: simnet.Network().begin()).outcome.raised or ""
    assert "entered by a sweep or a simnet.play, which gives it to the test's first parameter; leave it" in entered


def test_a_trace_function_belongs_to_its_process() -> None:
    """Coverage and debuggers: what traces one process is not lost, nor carried into another, by a switch."""
    lines: list[str] = []

    def tracer(frame, event, arg):  # type: ignore[no-untyped-def]
        if event == "line" and frame.f_code.co_name == "traced":
            lines.append(str(frame.f_lineno - frame.f_code.co_firstlineno))
        return tracer

    def traced() -> None:
        time.sleep(1)
        time.sleep(1)
        seen.append(1)

    seen: list[int] = []
    old, old_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(tracer)
    threading.settrace(tracer)
    try:
        with simnet.Network() as net:
            net.host("a").spawn(traced)
            traced()
    finally:
        sys.settrace(old)
        threading.settrace(old_threads)
    assert sorted(lines) == ["1", "1", "2", "2", "3", "3"]


def test_the_interpreter_has_its_own_again_afterwards() -> None:
    before = time.monotonic
    with simnet.Network():
        time.sleep(10)
    assert abs(time.time() - __import__("datetime").datetime.now().timestamp()) < 5
    assert time.monotonic is before or callable(time.monotonic)
    with socket.socket() as real:
        assert real.fileno() < 1 << 20


def test_a_network_that_cannot_be_entered_leaves_nothing_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(provider: Any) -> None:
        raise LookupError("no such module")

    with monkeypatch.context() as patch, pytest.raises(LookupError):
        patch.setattr(modules, "install", install)
        simnet.Network().begin()
    assert wait.current_scheduler() is None
    assert simnet.play(lambda net: net.time).outcome.returned == 0


def test_between_networks_ctrl_c_is_the_interpreters_own() -> None:
    simnet.play(lambda net: None)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_says_where_those_stood_who_wait() -> None:
    """A heart that beats keeps a network busy for ever: nothing else would say what the test waits for."""

    def listen() -> None:
        with socket.create_server(("", 7)) as listener:
            listener.accept()

    def beat() -> None:
        while time.monotonic() < 60:
            time.sleep(1)
        signal.raise_signal(signal.SIGINT)

    def test(net: simnet.Network) -> None:
        server = net.host("server").spawn(listen)
        net.host("heart").spawn(beat)
        server.join()

    with pytest.raises(KeyboardInterrupt) as caught:
        simnet.play(test)
    first, *waits = str(caught.value).splitlines()
    assert first == "at 60.000000 s of virtual time:"
    assert waits[0].startswith("  test waits for the end of server/listen at test_waiting.py:")
    assert waits[1].startswith("  server/listen waits for accept on server:7 at test_waiting.py:")


def test_a_handler_that_a_program_sets_is_the_programs() -> None:
    heard: list[int] = []
    simnet.play(lambda net: None)
    assert signal.signal(signal.SIGINT, lambda number, frame: heard.append(number)) is signal.default_int_handler
    try:
        simnet.play(lambda net: signal.raise_signal(signal.SIGINT))
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert heard == [signal.SIGINT] * 2


def test_a_handler_that_a_process_sets_goes_with_the_run() -> None:
    simnet.play(lambda net: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("moment", ["begin", "body", "finally code", "settling"])
def test_ctrl_c_stops_the_run_whenever_it_comes_and_leaves_nothing_entered(moment: str) -> None:
    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    def stubborn() -> None:
        try:
            time.sleep(10)
            if moment == "settling":
                press()
        except KeyboardInterrupt:
            pass  # as programs do
        finally:
            if moment == "finally code":
                press()

    def test(net: simnet.Network) -> None:
        net.host("a").spawn(stubborn)
        if moment == "body":
            press()

    if moment == "begin":
        real_install = modules.install

        def install(provider: Any) -> None:
            press()
            real_install(provider)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(modules, "install", install)
            simnet.play(test)
    else:
        with pytest.raises(KeyboardInterrupt):
            simnet.play(test)
    assert wait.current_scheduler() is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert simnet.play(lambda net: 5).outcome.returned == 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may come within a finalizer
def test_ctrl_c_at_any_moment_of_any_run_leaves_nothing_entered() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            conn.sendall(conn.recv(100))

    def talk(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"x")
            return sock.recv(1)

    for moment in range(60):
        presser = threading.Timer(0.0003 * moment, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            presser.start()
            # Not until some time: a machine may be paused, and the signal comes when all is over.
            for _ in range(100_000):
                simnet.play(talk)
        presser.join()
        assert wait.current_scheduler() is None
        assert gc.isenabled()
        assert simnet.play(talk).outcome.returned == b"x"


def test_a_worker_that_ctrl_c_has_ended_between_two_processes_runs_no_other() -> None:
    def test(net: simnet.Network) -> int:
        return net.host("server").run(lambda: 5)  # type: ignore[no-any-return]

    assert simnet.play(test).outcome.returned == 5
    ended = greenlet(lambda process: None)
    ended.switch(None)
    workers._pool().append(ended)
    assert simnet.play(test).outcome.returned == 5


@pytest.mark.slow
def test_a_body_that_swallows_whatever_it_is_told_ends_soon_after_ctrl_c() -> None:
    def test(net: simnet.Network) -> None:
        while True:
            try:
                net.sleep(1)
            except BaseException:  # noqa: BLE001  # as the worst of programs do
                pass

    began = real.monotonic()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        simnet.play(test)
    assert real.monotonic() - began < 15  # it is met between two of its tries; some 3 s, and 74 when nobody looked


def test_of_what_is_swallowed_again_and_again_only_the_last_is_kept() -> None:
    heights: set[int] = set()

    def test(net: simnet.Network) -> None:
        for _ in range(100):
            try:
                net.sleep(1)
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException as error:  # noqa: BLE001  # as the worst of programs do
                heights.add(len(list(traceback.walk_tb(error.__traceback__))))

    with pytest.raises(KeyboardInterrupt):
        simnet.play(test)
    assert max(heights) < 50


@pytest.mark.slow
def test_who_sits_at_a_debugger_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 1.2)
    typed: list[str] = []

    class Person(io.StringIO):
        def readline(self, *args: Any) -> str:
            real.sleep(2)
            typed.append("c")
            return "c\n"

    def serve() -> None:
        pdb.Pdb(stdin=Person(), stdout=io.StringIO(), nosigint=True, readrc=False).set_trace()
        sys.settrace(None)

    with simnet.Network() as net:
        net.host("server").spawn(serve)
    assert (typed, net.verdicts) == (["c"], [])


def test_what_a_process_has_left_open_closes_in_silence_once_it_is_done() -> None:
    with simnet.Network() as net:
        left = net.host("server").run(lambda: [socket.socket(), socket.create_server(("", 7))])
        for sock in left:
            sock.close()
            assert sock.fileno() == -1
        left = net.host("server").run(lambda: [socket.socket()])
    left[0].close()


@pytest.mark.slow
def test_a_run_may_have_more_processes_than_a_c_int_has_room_for_descriptors() -> None:
    def look() -> tuple[int, int]:
        one, other = socket.socketpair()
        with one, other:
            poller = select.poll()
            poller.register(one, select.POLLOUT)
            return len(poller.poll(0)), len(select.select([], [one], [], 0)[1])

    with simnet.Network(trace=False) as net:
        host = net.host("server")
        for _ in range(1_100):
            host.run(int)
        assert host.run(look) == (1, 1)


def test_an_asyncio_server_listens_when_spawn_returns(simnet_network: Any) -> None:
    """It has polled until then, and not waited."""

    async def serve(path: str) -> None:
        async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        await asyncio.sleep(0)
        async with await asyncio.start_unix_server(hello, path) as server:
            await server.serve_forever()

    host = simnet_network.host("server")
    host.spawn(asyncio.run, serve("/run/hello.sock"))
    with host.connect("/run/hello.sock") as sock:  # within a host a connect is answered at once
        assert sock.recv(100) == b"hello"


def test_spawn_returns_though_the_new_process_looks_again_and_again(simnet_network: Any) -> None:
    told: list[str] = []

    def looks() -> None:
        while not told:
            time.sleep(0)

    process = simnet_network.host("server").spawn(looks)
    assert not process.done
    told.append("enough")
    assert process.join(1)


def test_others_wait_their_turn_until_a_new_process_waits(simnet_network: Any) -> None:
    order: list[str] = []

    def two(name: str) -> None:
        for number in (1, 2):
            order.append(f"{name}{number}")
            time.sleep(0)

    simnet_network.host("a").spawn(two, "a")
    simnet_network.host("b").spawn(two, "b")
    assert order == ["a1", "a2", "b1", "b2"]


def test_a_program_may_have_greenlets_of_its_own_and_wait_in_any_of_them(simnet_network: Any) -> None:
    """As SQLAlchemy's asyncio and greenback have: each goes on where it waited, whoever ran meanwhile."""
    seen: list[Any] = []

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as sock:
                    time.sleep(1)
                    sock.sendall(sock.recv(10))

    def ask() -> bytes:
        def call() -> bytes:
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"x")
                return sock.recv(10)

        return greenlet(call).switch()  # type: ignore[no-any-return]

    def to_and_fro() -> None:
        def inner() -> None:
            time.sleep(1)
            seen.append("inner, once")
            outer.switch()
            time.sleep(1)
            seen.append("inner, again")

        outer, other = greenlet.getcurrent(), greenlet(inner)
        other.switch()
        time.sleep(1)
        seen.append("outer")
        other.switch()

    simnet_network.host("server").spawn(serve)
    clients = [simnet_network.host(f"client{number}").spawn(ask) for number in range(3)]
    simnet_network.host("other").run(to_and_fro)
    assert [(each.join(), each.result) for each in clients] == [(True, b"x")] * 3
    assert seen == ["inner, once", "outer", "inner, again"]


def test_a_process_that_waits_in_a_greenlet_of_its_own_is_ended_there(simnet_network: Any) -> None:
    said: list[str] = []

    def serve() -> None:
        def wait() -> None:
            try:
                with socket.create_server(("", 7)) as listener:
                    listener.accept()
            finally:
                said.append("inner")

        try:
            greenlet(wait).switch()
        finally:
            said.append("outer")

    host = simnet_network.host("server")
    process = host.spawn(serve)
    assert re.fullmatch(r"test_waiting\.py:\d+ in wait", process.where())
    host.crash()
    assert process.done
    assert said == ["inner", "outer"]
