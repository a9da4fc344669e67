"""Calls, timers, signals, other threads, and the end of a loop."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import weakref

import pytest

import dispatch
from dispatch.kernel import KernelNetwork
from dispatch.pollers.select import FD_SETSIZE
from dispatch.timers import Timer, Timers
from tests.dispatch.conftest import PATIENCE, Recorder


def test_calls_come_in_the_order_asked(world):
    loop, seen = world.loop(), []
    for n in range(3):
        loop.call_soon(seen.append, n)
    loop.run()

    assert seen == [0, 1, 2]


def test_what_a_call_asks_for_comes_in_the_next_pass(world):
    loop, seen = world.loop(), []
    loop.call_soon(lambda: (seen.append("a"), loop.call_soon(seen.append, "c")))
    loop.call_soon(seen.append, "b")

    loop.run_once(0)
    assert seen == ["a", "b"]
    loop.run_once(0)
    assert seen == ["a", "b", "c"]


def test_timers_come_when_they_are_due_and_not_before(world):
    loop, seen = world.loop(), []
    began = loop.time()
    loop.call_later(0.02, lambda: seen.append(("later", loop.time() - began)))
    loop.call_later(0.01, lambda: seen.append(("sooner", loop.time() - began)))
    loop.run()

    assert [name for name, _ in seen] == ["sooner", "later"]
    assert seen[0][1] >= 0.01
    assert seen[1][1] >= 0.02


@pytest.mark.parametrize("far", [30 * 86_400, 1e9, float("inf")])
def test_a_timer_may_be_farther_away_than_a_poller_can_sleep(world, far):
    loop, seen = world.loop(), []
    timers = [loop.call_later(far, seen.append, "far"), loop.call_every(far, seen.append, "again")]
    channel, client = world.connected(loop, Recorder)
    channel.idle_timeout = far
    channel.touch()
    client.send(b"x")
    assert loop.run_once(far) == 1
    loop.call_soon_threadsafe(seen.append, "now")
    loop.run_once()

    assert channel.data == b"x"
    assert seen == ["now"]
    assert all(timers)


def test_timers_of_one_moment_come_in_the_order_made(world):
    loop, seen = world.loop(), []
    when = loop.time() - 1
    for n in range(5):
        loop.call_at(when, seen.append, n)
    loop.run_once(0)

    assert seen == [0, 1, 2, 3, 4]


def test_a_cancelled_call_is_not_made(world):
    loop, seen = world.loop(), []
    for timer in (
        loop.call_soon(seen.append, 1),
        loop.call_later(0, seen.append, 2),
        loop.call_every(1, seen.append, 3),
    ):
        assert timer
        timer.cancel()
        assert not timer
    loop.run()

    assert seen == []


def test_a_repeated_call_comes_until_it_is_cancelled(world):
    loop, seen = world.loop(), []

    def tick():
        seen.append(loop.time())
        if len(seen) == 3:
            timer.cancel()

    began = loop.time()
    timer = loop.call_every(0.005, tick)
    loop.run()

    assert len(seen) == 3
    assert seen[2] - began >= 0.015


@pytest.mark.parametrize("interval", [5e-324, 1e-300, 1e-9])
def test_a_repeated_call_comes_however_short_its_interval(world, interval):
    loop, seen = world.loop(), []
    repeat = loop.call_every(interval, seen.append, 1)
    world.run(loop, lambda: len(seen) == 5)

    assert repeat.when < float("inf")


def test_a_repeated_call_may_be_a_method_of_what_has_any_attribute(world):
    class Settings:
        calls = 0

        def __getattr__(self, name):
            return None

        def reload(self):
            self.calls += 1

    loop, settings = world.loop(), Settings()
    loop.call_every(0.001, settings.reload)
    world.run(loop, lambda: settings.calls == 2)


def test_missed_times_of_a_repeated_call_are_left_out(world):
    loop = world.loop()
    timer = loop.call_every(0.5, lambda: None)
    due = timer.when
    timer.advance(due + 1.7)

    assert timer.when == pytest.approx(due + 2.0)
    timer.cancel()


def test_a_call_that_fails_does_not_stop_the_others(world, caplog):
    loop, seen = world.loop(), []
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, "next")
    loop.run()

    assert seen == ["next"]
    assert "ZeroDivisionError" in caplog.text


def test_a_failing_call_of_a_channel_is_its_own_error(world):
    loop = world.loop()

    class Failing(Recorder):
        def later(self):
            raise LookupError("later")

        def handle_error(self, error):
            self.events.append(("error", type(error)))

    channel, _ = world.connected(loop, Failing)
    loop.call_soon(channel.later)
    world.turn(loop)

    assert channel.events == [("error", LookupError)]
    assert not channel.closed


def test_an_exception_that_is_no_exception_leaves_the_loop(world):
    loop = world.loop()

    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run()

    assert not loop.running


def test_run_ends_when_nothing_is_left(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    loop.call_later(0.001, listener.close)
    loop.run()

    assert loop.channels == {}


def test_a_call_that_comes_after_the_end_of_its_channel_fails_in_the_log(world, caplog):
    class Late(Recorder):
        def remember(self):
            raise ValueError("too late")

        def handle_error(self, error):
            self.events.append(error)

    loop = world.loop()
    channel, _ = world.connected(loop, Late)
    channel.close()
    world.turn(loop, 1)
    loop.call_soon(channel.remember)
    world.turn(loop, 1)

    assert channel.events == [("close", None)]
    assert "too late" in caplog.text


def test_stop_in_a_single_turn_leaves_the_next_ones_their_sleep(world):
    loop, seen = world.loop(), []
    loop.call_soon(loop.stop)
    loop.run_once(0)
    loop.call_later(0.02, seen.append, 1)
    loop.run_once(5)

    assert seen == [1]


def test_who_turns_the_loop_after_stop_still_sleeps_in_it(world, log):
    loop, seen = world.loop(), []

    def quit_when_done():
        loop.stop()
        loop.call_later(0.05, seen.append, "done")
        while not seen:
            loop.run_once()

    loop.call_soon(quit_when_done)
    loop.run()

    assert seen == ["done"]
    assert sum(line[0] == "turn" for line in log.lines) < 10


def test_stop_before_run_is_the_end_of_that_run_and_of_no_other(world):
    loop, seen = world.loop(), []
    loop.call_soon(seen.append, 1)
    loop.stop()
    loop.run()
    assert seen == []
    loop.run()
    assert seen == [1]


def test_stop_ends_run_and_leaves_the_channels(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    loop.call_soon(loop.stop)
    loop.run()

    assert not listener.closed
    loop.call_soon(loop.stop)
    loop.run()


def test_another_thread_wakes_a_sleeping_loop(kernel_world, in_thread):
    loop, seen = kernel_world.loop(), []
    kernel_world.listen(loop, Recorder)
    asleep = threading.Event()

    def call():
        asleep.wait()
        loop.call_soon_threadsafe(lambda: (seen.append(threading.current_thread()), loop.stop()))

    in_thread(call)
    loop.call_later(0, asleep.set)
    loop.run()

    assert seen == [threading.current_thread()]


def test_no_wake_up_is_lost_while_another_is_taken_in(kernel_world, in_thread):
    loop, seen = kernel_world.loop(), []
    loop.call_soon_threadsafe(seen.append, "first")
    inner = loop._waker.socket

    class Meanwhile:
        """While the loop reads what it was told, another thread tells it something."""

        def __getattr__(self, name):
            return getattr(inner, name)

        def recv(self, size):
            loop.call_soon_threadsafe(seen.append, "meanwhile")
            return inner.recv(size)

    loop._waker.socket = Meanwhile()
    loop.run_once(0)
    assert seen == ["first", "meanwhile"]
    loop._waker.socket = inner
    kernel_world.turn(loop)

    def later():
        time.sleep(0.02)  # till it sleeps
        loop.call_soon_threadsafe(seen.append, "later")

    in_thread(later)
    assert loop.run_once(PATIENCE) == 1
    assert seen[2:] == ["later"]


def test_a_loop_may_be_closed_while_another_thread_calls_it(kernel_world, in_thread):
    """What wakes the loop is being made at that moment: it is closed with the loop."""
    entered, outcome, made = threading.Event(), [], []

    class Slow(KernelNetwork):
        def socketpair(self):
            entered.set()
            closing.wait(0.05)  # while the other thread closes the loop, as far as it gets
            made.extend(super().socketpair())
            return made[0], made[1]

    closing = threading.Event()
    loop = kernel_world.loop(network=Slow())

    def call():
        try:
            outcome.append(loop.call_soon_threadsafe(print))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            outcome.append(error)

    thread = in_thread(call)
    entered.wait(PATIENCE)
    loop.close()
    closing.set()
    thread.join(PATIENCE)

    assert [type(each).__name__ for each in outcome] == ["Timer"]
    assert [sock.fileno() for sock in made] == [-1, -1]
    with pytest.raises(RuntimeError, match="is closed"):
        loop.call_soon_threadsafe(print)


def test_a_loop_is_woken_once_however_many_calls_it_is_asked_for(world):
    loop, seen = world.loop(), []
    for number in range(100):
        loop.call_soon_threadsafe(seen.append, number)
    assert len(loop._waker.socket.recv(4096, socket.MSG_PEEK)) == 1
    world.turn(loop)
    assert seen == list(range(100))


def test_a_waker_that_select_cannot_watch_leaves_nothing_open():
    with contextlib.ExitStack() as taken, dispatch.Loop(poller="select") as loop:
        while (last := taken.enter_context(open(os.devnull, "rb")).fileno()) < FD_SETSIZE:
            pass
        with pytest.raises(OSError, match="select cannot watch descriptor"):
            loop.call_soon_threadsafe(print)
        assert taken.enter_context(open(os.devnull, "rb")).fileno() == last + 1


def test_the_waker_does_not_keep_a_loop_running(world):
    loop, seen = world.loop(), []
    loop.call_soon_threadsafe(seen.append, 1)
    loop.run()

    assert seen == [1]


def test_what_wakes_a_loop_is_none_of_its_channels(world):
    loop, seen = world.loop(), []
    loop.call_soon_threadsafe(seen.append, 1)
    assert loop.channels == {}

    channel, _ = world.connected(loop, Recorder)
    assert list(loop.channels.values()) == [channel]
    for each in list(loop.channels.values()):
        each.close()
    while loop.channels:
        loop.run_once(1)
    loop.call_soon_threadsafe(seen.append, 2)
    assert loop.run_once(1) == 1
    assert seen == [1, 2]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no alarm here")
def test_a_handler_of_the_programs_own_may_wake_a_loop_that_was_never_woken(world):
    if world.poller == "kqueue" and sys.platform == "linux":
        pytest.skip("the emulation does not notice what is watched while it sleeps")
    loop = world.loop()
    late = loop.call_later(PATIENCE, loop.stop)
    before = signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(loop.stop))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert late, "it slept on"


@pytest.mark.skipif(os.name != "posix", reason="numbers of sockets are those of files on POSIX only")
def test_a_loop_whose_waker_was_closed_behind_its_back_does_not_spin(kernel_world, in_thread):
    loop, seen = kernel_world.loop(), []
    loop.call_soon_threadsafe(seen.append, 1)
    for sock in (loop._waker.socket, loop._waker._sender):
        os.close(sock.fileno())
    kernel_world.turn(loop)
    assert loop.run_once(0) == 0

    with contextlib.ExitStack() as taken:  # both numbers are somebody else's
        channels = [Recorder(end, loop=loop) for end in socket.socketpair()]
        for channel in channels:
            taken.callback(channel.abort)
        channels[0].write(b"x")
        in_thread(lambda: loop.call_soon_threadsafe(seen.append, 2))
        kernel_world.run(loop, lambda: seen == [1, 2] and channels[1].data == b"x")


@pytest.mark.skipif(os.name != "posix", reason="numbers of sockets are those of files on POSIX only")
@pytest.mark.parametrize("poller", ["epoll", "poll", "select"])
def test_a_waker_may_take_the_number_of_a_channel_that_was_closed_behind_its_back(poller):
    with dispatch.Loop(poller=poller) as loop:
        seen = []
        near, far = socket.socketpair()
        with far:
            victim = Recorder(near, loop=loop)
            number = victim.fileno()
            loop.run_once(0)
            os.close(number)
            loop.call_soon_threadsafe(seen.append, 1)
            assert loop._waker.fd == number
            loop.run_once(PATIENCE)
            loop.call_soon_threadsafe(seen.append, 2)
            loop.run_once(PATIENCE)

    assert seen == [1, 2]
    assert victim.events == [("close", dispatch.Aborted)]


@pytest.mark.skipif(os.name != "posix", reason="numbers of sockets are those of files on POSIX only")
def test_who_has_the_numbers_of_a_loops_waker_is_neither_written_to_nor_read(kernel_world, in_thread):
    """A daemon closes all numbers that it does not know, and opens others, of which the loop knows nothing."""
    loop, seen = kernel_world.loop(), []
    loop.call_soon_threadsafe(seen.append, 1)
    kernel_world.turn(loop)
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(b"for near")
        numbers = [sock.fileno() for sock in (loop._waker.socket, loop._waker._sender)]
        for number in numbers:
            os.dup2(near.fileno(), number)
        kernel_world.turn(loop)
        in_thread(lambda: loop.call_soon_threadsafe(seen.append, 2)).join()
        kernel_world.run(loop, lambda: seen == [1, 2])

        assert near.recv(10) == b"for near"
        for number in numbers:
            os.close(number)
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(10)


def test_several_loops_run_in_several_threads(kernel_world, in_thread):
    done = []

    def serve():
        with dispatch.Loop(poller=kernel_world.poller) as loop:
            assert dispatch.current_loop() is loop
            listener = dispatch.Listener(("127.0.0.1", 0), Recorder)
            client = Recorder()
            client.connect(listener.addr)
            loop.call_later(0.01, loop.stop)
            loop.run()
            done.append(client.events[0])

    for thread in [in_thread(serve) for _ in range(4)]:
        thread.join()

    assert done == ["connect"] * 4


@pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")
def test_a_signal_ends_the_sleep_and_makes_its_call(world):
    loop, seen = world.loop(), []
    world.listen(loop, Recorder)
    before = signal.getsignal(signal.SIGUSR1)
    loop.call_on_signal(signal.SIGUSR1, lambda: (seen.append("usr1"), loop.stop()))
    loop.call_later(0, os.kill, os.getpid(), signal.SIGUSR1)
    loop.run()
    loop.close()

    assert seen == ["usr1"]
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")
def test_each_call_of_a_signal_is_made_until_it_is_cancelled_and_the_signal_is_given_back_after_the_last(world):
    loop, other, seen = world.loop(), world.loop(), []
    before = signal.getsignal(signal.SIGUSR1)

    def arrives():
        seen.clear()
        signal.raise_signal(signal.SIGUSR1)
        for each in (loop, other):
            if not each.closed:
                world.turn(each)
        return "".join(seen)

    first, second, third = (loop.call_on_signal(signal.SIGUSR1, seen.append, each) for each in "abc")
    other.call_on_signal(signal.SIGUSR1, seen.append, "d")
    assert arrives() == "abcd"
    second.cancel()
    assert arrives() == "acd"
    other.close()
    assert arrives() == "ac"
    third.cancel()
    first.cancel()
    assert signal.getsignal(signal.SIGUSR1) == before

    for each in "xyz":
        loop.call_on_signal(signal.SIGUSR1, seen.append, each)
    assert arrives() == "xyz"
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")
def test_a_cancelled_call_of_a_signal_is_kept_by_nobody(world):
    class Heavy:
        def __call__(self):
            pass

    loop, heavy = world.loop(), Heavy()
    gone = weakref.ref(heavy)
    loop.call_on_signal(signal.SIGUSR1, heavy).cancel()
    del heavy

    assert gone() is None


@pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")
def test_a_handler_that_took_the_signal_later_keeps_it(world):
    loop, seen = world.loop(), []
    before = signal.getsignal(signal.SIGUSR1)
    loop.call_on_signal(signal.SIGUSR1, seen.append, "loop")
    signal.signal(signal.SIGUSR1, lambda *_: seen.append("program"))
    loop.close()
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)

    assert seen == ["program"]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")
def test_the_main_thread_may_hear_a_signal_for_a_loop_of_another(kernel_world, in_thread):
    """Only the main thread can give it back: that is done when the signal comes again."""
    loop, seen = kernel_world.loop(), []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("given back"))
    try:
        kernel_world.listen(loop, Recorder)
        thread = in_thread(loop.run)
        loop.call_on_signal(signal.SIGUSR1, lambda: (seen.append("heard"), loop.close()))
        signal.raise_signal(signal.SIGUSR1)
        thread.join(PATIENCE)
        assert loop.closed
        signal.raise_signal(signal.SIGUSR1)
        assert seen == ["heard", "given back"]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_cannot_be_caught_is_refused(world):
    with pytest.raises((ValueError, OSError)):
        world.loop().call_on_signal(signal.SIGKILL, print)


def test_closing_a_loop_tells_every_channel_once(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    loop.close()
    loop.close()

    assert channel.events == [("close", dispatch.Aborted)]
    assert loop.closed


def test_a_graceful_close_sends_what_waits_and_accepts_no_more(kernel_world):
    loop = kernel_world.loop()
    channel, client = kernel_world.connected(loop, Recorder)
    listener = kernel_world.listen(loop, Recorder)
    data = b"x" * 3_000_000
    channel.write(data)
    loop.call_later(0.001, loop.close, 5)
    got = bytearray()

    def read():
        while piece := client.recv(1 << 20):
            got.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    loop.run()
    reader.join()

    assert bytes(got) == data
    assert listener.closed
    assert loop.closed
    assert channel.events[-1] == ("close", None)


def test_a_graceful_close_gives_up_at_its_deadline(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write(b"x" * 20_000_000)  # more than the kernel takes, and nobody reads
    loop.run_once(0)
    loop.close(0.02)

    assert loop.closed
    assert channel.events[-1] == ("close", dispatch.Aborted)
    with pytest.raises(ConnectionResetError):
        while client.recv(1 << 20):
            pass


def test_a_closed_loop_refuses_work(world):
    loop = world.loop()
    loop.close()

    with pytest.raises(RuntimeError, match="closed"):
        loop.run()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="closed"):
        Recorder(loop=loop)


def test_wrong_use_is_refused_at_the_call(world):
    loop = world.loop()

    with pytest.raises(TypeError, match="not callable"):
        loop.call_soon(None)
    with pytest.raises(TypeError, match="not callable"):
        loop.call_every(1, "print")
    with pytest.raises(ValueError, match="interval=0"):
        loop.call_every(0, print)
    with pytest.raises(ValueError, match="nan"):
        loop.call_at(float("nan"), print)


def test_run_inside_run_is_refused(world):
    loop, seen = world.loop(), []

    def again():
        try:
            loop.run()
        except RuntimeError as error:
            seen.append(str(error))

    loop.call_soon(again)
    loop.run()

    assert "runs already" in seen[0]


def test_a_handler_may_turn_the_loop(world):
    """The end of the peer is told once; its own turn goes on afterwards, and what it writes goes out."""
    loop = world.loop()
    events = []

    class Impatient(Recorder):
        def handle_eof(self):
            events.append("eof")
            self.write(b"before ")
            loop.run_once(0)
            self.write(b"after")
            self.close()

    channel, client = world.connected(loop, Impatient)
    client.shutdown(socket.SHUT_WR)

    assert world.read_all(loop, client) == b"before after"
    assert events == ["eof"]
    assert channel.closed


def test_what_a_handler_has_written_goes_out_when_it_turns_the_loop(world):
    """It may wait there for the answer."""
    loop = world.loop()
    heard = []

    class Asking(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            if data == b"begin":
                self.write(b"what?")
                self.write(b" again")
                heard.append(world.read(loop, client, 11))

    channel, client = world.connected(loop, Asking)
    client.send(b"begin")
    world.run(loop, lambda: heard)
    channel.write(b".")

    assert heard == [b"what? again"]
    assert world.read(loop, client, 1) == b"."


def test_what_a_handler_has_written_goes_out_when_it_ends_a_loop_that_is_turned_by_hand(world):
    loop = world.loop()

    class Last(Recorder):
        def handle_data(self, data):
            self.write(b"bye")
            loop.close(5)

    channel, client = world.connected(loop, Last)
    client.send(b"x")
    world.run(loop, lambda: loop.closed)

    assert client.recv(10) == b"bye"
    assert channel.events == [("close", None)]


def test_a_call_may_turn_the_loop(world):
    """The others that were asked for are made in that turn."""
    loop, seen = world.loop(), []
    loop.call_soon(lambda: (seen.append("turns"), loop.run_once(0), seen.append("turned")))
    loop.call_soon(seen.append, "behind it")
    loop.call_later(0, lambda: (seen.append("timer"), loop.run_once(0)))
    loop.call_later(0, seen.append, "another")
    loop.run()

    assert sorted(seen) == ["another", "behind it", "timer", "turned", "turns"]
    assert seen.index("turns") < seen.index("behind it") < seen.index("turned")


def test_a_call_may_wait_for_another_that_is_due_at_the_same_moment(world):
    loop, seen = world.loop(), []

    def wait():
        ends = loop.time() + PATIENCE
        while "second" not in seen and loop.time() < ends:
            loop.run_once(PATIENCE)
        seen.append("waited")

    due = loop.time() + 0.01
    loop.call_at(due, wait)
    loop.call_at(due, seen.append, "second")
    loop.call_at(due, loop.call_soon, seen.append, "asked for")
    loop.run()

    assert seen == ["second", "waited", "asked for"] or seen == ["second", "asked for", "waited"]


@pytest.mark.parametrize("soon", [True, False])
def test_a_call_may_close_a_loop_that_is_turned_by_hand(world, soon):
    loop, seen = world.loop(), []
    ask = [lambda *call: loop.call_later(0, *call), loop.call_soon][soon]
    ask(loop.close)
    ask(seen.append, "too late")
    world.run(loop, lambda: loop.closed)

    assert loop.closed
    assert seen == []


def test_who_is_drained_may_close_itself_and_a_loop_that_is_turned_by_hand(world, caplog):
    loop = world.loop()

    class Last(Recorder):
        high_water, low_water = 0, 0

        def handle_drained(self):
            self.close()
            loop.close()

    channel, _client = world.connected(loop, Last)
    channel.write(b"x" * 5000)
    world.run(loop, lambda: loop.closed)

    assert channel.events == [("close", None)]
    assert caplog.text == ""


def test_without_a_loop_a_channel_says_what_to_do():
    with pytest.raises(RuntimeError, match="with dispatch"):
        Recorder()


def test_one_socket_has_one_channel(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)

    with pytest.raises(RuntimeError, match="already"):
        Recorder(channel.socket, loop=loop)
    assert not channel.closed


def test_a_loop_is_closed_also_where_its_with_ends_in_another_context():
    """As that of an asynchronous fixture does, or of a generator that another thread collects."""
    loop = dispatch.Loop()
    contextvars.copy_context().run(loop.__enter__)
    loop.__exit__(None, None, None)

    assert loop.closed


def test_a_slow_handler_is_named_in_debug_mode(kernel_world, caplog):
    loop = kernel_world.loop(debug=True)
    loop._watch.slow = 0.001

    class Slow(Recorder):
        def handle_data(self, data):
            threading.Event().wait(0.003)

    _channel, client = kernel_world.connected(loop, Slow)
    client.send(b"x")
    with caplog.at_level(logging.WARNING):
        kernel_world.run(loop, lambda: "Slow" in caplog.text)

    assert "all other channels waited" in caplog.text


def test_a_repeated_call_that_outlives_its_channel_is_told_of_once(world, caplog):
    loop = world.loop()

    class Beats(Recorder):
        def beat(self):
            beaten.append(self.closed)

    beaten = []
    channel, _ = world.connected(loop, Beats)
    timer = loop.call_every(0.001, channel.beat)
    world.run(loop, lambda: beaten)
    channel.abort()
    world.run(loop, lambda: beaten.count(True) > 3)
    timer.cancel()

    (record,) = caplog.records
    assert record.message.endswith(
        "comes each 0.001 s though its channel is closed, and keeps the loop running: cancel() it in handle_close"
    )
    assert "Beats.beat" in record.message


@pytest.mark.parametrize("debug", [False, True])
def test_who_gets_a_number_while_a_handler_turns_the_loop_does_not_get_its_event(kernel_world, debug):
    loop = kernel_world.loop(debug=debug)
    told = []

    class Watching(dispatch.Dispatcher):
        def handle_read(self):
            told.append(self.fileno())

    class Replacing(Recorder):
        """Whoever is served first ends the other, and turns the loop with a new one under its number."""

        def handle_data(self, data):
            (other,) = {first, second} - {self}
            number = other.fileno()
            other.abort()
            sock, far = socket.socketpair()
            os.dup2(sock.fileno(), number)
            self.kept = sock, far
            made.append(Watching(socket.socket(fileno=number), addr="far", loop=loop))
            loop.run_once(0)

    made = []
    (ours, near), (others, far) = socket.socketpair(), socket.socketpair()
    first, second = Replacing(ours, loop=loop), Replacing(others, loop=loop)
    kernel_world.turn(loop, 1)
    near.send(b"x")
    far.send(b"x")
    kernel_world.turn(loop, 1)

    assert [each.closed for each in made] == [False]
    assert told == []
    for sock in (near, far, *next(each for each in (first, second) if not each.closed).kept):
        sock.close()


def test_a_channel_that_spins_is_named_in_debug_mode(world, caplog):
    loop = world.loop(debug=True)

    class Spinning(dispatch.Dispatcher):
        def handle_read(self):
            pass  # ready, and nothing read

    Spinning._progress = lambda self: 0  # a Dispatcher cannot tell: what its handlers do with the socket is theirs
    _channel, client = world.connected(loop, Spinning)
    client.send(b"x")
    with caplog.at_level(logging.WARNING):
        world.run(loop, lambda: caplog.text)

    assert "Spinning" in caplog.text
    assert "spins" in caplog.text


def test_who_gets_the_number_of_one_that_span_is_not_taken_for_it(world, caplog):
    class Still(dispatch.Dispatcher):
        pass

    Still._progress = lambda self: 0
    loop = world.loop(debug=True)
    for _ in range(3):
        ours, theirs = world.pair()
        channel = Still(ours, loop=loop)
        theirs.send(b"x")
        world.turn(loop, 60)
        loop.call_soon(channel.abort)
        world.turn(loop)

    assert not caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_polls_for_itself(kernel_world):
    """An epoll shared over a fork would give each process the other's events."""
    loop = kernel_world.loop()
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    seen = []

    class Answering(Recorder):
        def handle_data(self, data):
            seen.append(data)
            self.write(b"%d" % os.getpid())

    channel = Answering(ours, loop=loop)
    child = os.fork()
    if child == 0:
        channel.abort()  # the parent's registration must survive this
        loop.run_once(0)
        os._exit(0)
    os.waitpid(child, 0)
    theirs.send(b"x")
    kernel_world.run(loop, lambda: seen)

    assert theirs.recv(100) == b"%d" % os.getpid()
    theirs.close()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("who", ["thread", "signal"])
def test_a_forked_child_is_woken_for_itself(kernel_world, who):
    """A byte on a pair that both have would wake the wrong one, and be read by it."""
    loop, seen = kernel_world.loop(), []
    call = loop.call_on_signal(signal.SIGUSR1, seen.append, "woken")
    child = os.fork()
    if child == 0:
        if who == "thread":
            threading.Timer(0.05, loop.call_soon_threadsafe, (seen.append, "woken")).start()
        began = time.monotonic()
        while not seen and time.monotonic() < began + PATIENCE:
            loop.run_once(PATIENCE)
        os._exit(time.monotonic() > began + PATIENCE / 2)
    if who == "signal":
        time.sleep(0.05)  # till it sleeps
        os.kill(child, signal.SIGUSR1)
    woken = 0
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        woken += loop.run_once(0.01)
    call.cancel()

    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert (woken, seen) == (0, [])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_polls_for_itself_though_a_descriptor_is_gone(kernel_world):
    """What somebody closed behind the loop's back cannot be watched anew; the others are all the same."""
    loop = kernel_world.loop()
    (gone, _first), (ours, theirs) = pairs = [socket.socketpair() for _ in range(2)]
    channels = [Recorder(gone, loop=loop), Recorder(ours, loop=loop)]
    os.close(gone.fileno())
    theirs.send(b"x")
    child = os.fork()
    if child == 0:
        for _ in range(3):  # select(2) tells of the other one first
            loop.run_once(0.1)
        os._exit(len(channels[1].data))
    _, status = os.waitpid(child, 0)
    gone.detach()
    for end in [*pairs[0], *pairs[1]]:
        end.close()

    assert os.waitstatus_to_exitcode(status) == 1


def test_channels_opened_by_the_last_ones_are_closed_too(world):
    loop = world.loop()
    late = []

    class Again(Recorder):
        def handle_close(self, reason):
            super().handle_close(reason)
            if not late:
                late.append(Recorder(world.pair()[0].dup(), loop=loop))

    world.connected(loop, Again)
    loop.close()

    assert late[0].events == [("close", dispatch.Aborted)]


def test_a_graceful_close_in_a_handler_ends_run(world):
    loop = world.loop()
    closed = []

    class Last(Recorder):
        def handle_data(self, data):
            self.write(b"bye")
            loop.close(5)

        def handle_close(self, reason):
            closed.append(reason)

    _, client = world.connected(loop, Last)
    client.send(b"x")
    loop.run()

    assert loop.closed
    assert closed == [None]
    assert client.recv(10) == b"bye"


def test_an_interrupted_turn_leaves_the_loop_usable(world):
    loop = world.loop()

    class Interrupted(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            if data == b"stop":
                raise KeyboardInterrupt

    channel, client = world.connected(loop, Interrupted)
    client.send(b"stop")
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    channel.write(b"still here")

    assert world.read(loop, client, 10) == b"still here"


@pytest.mark.parametrize("way", ["run", "run_once"])
def test_what_an_interrupted_turn_has_written_goes_out(world, way):
    loop = world.loop()

    class Interrupted(Recorder):
        def handle_data(self, data):
            self.write(b"said before")
            raise KeyboardInterrupt

    channel, client = world.connected(loop, Interrupted)
    client.send(b"x")
    with pytest.raises(KeyboardInterrupt):
        loop.run() if way == "run" else world.run(loop, lambda: False)
    channel.write(b", and after")

    assert world.read(loop, client, 22) == b"said before, and after"


@pytest.mark.parametrize(
    "pieces", [[b"once"], [b"one", b"after", b"another"], [b"x" * 20_000] * 4], ids=["one", "few", "long"]
)
@pytest.mark.parametrize("later", [False, True])
def test_what_was_sent_when_ctrl_c_came_is_not_sent_again(world, pieces, later):
    """It comes behind a call to the kernel, mostly: that is where the time goes."""
    loop = world.loop()

    class Wordy(Recorder):
        def handle_data(self, data):
            if later:
                loop.call_soon(self.answer)
            else:
                self.answer()

        def answer(self):
            for piece in pieces:
                self.write(piece)

    channel, client = world.connected(loop, Wordy)
    inner = channel.socket

    class Interrupted:
        def __getattr__(self, name):
            return getattr(inner, name)

        def send(self, data):
            channel.socket = inner
            inner.send(data)
            raise KeyboardInterrupt

        def sendmsg(self, pieces):
            channel.socket = inner
            inner.sendmsg(pieces)
            raise KeyboardInterrupt

    channel.socket = Interrupted()
    client.send(b"?")
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    channel.write(b", and after")
    channel.close()

    assert world.read_all(loop, client) == b"".join(pieces) + b", and after"


@pytest.mark.parametrize("handler", ["handle_connect", "handle_drained", "handle_full"])
def test_what_was_written_goes_out_whichever_handler_ctrl_c_came_in(world, handler):
    loop, told, made = world.loop(), [], []

    class Interrupted(Recorder):
        high_water, low_water = 5000, 0

    def interrupt(self):
        told.append(handler)
        if len(told) == 1:
            self.write(b"more")
            raise KeyboardInterrupt

    def make(sock, **options):
        made.append(Recorder(sock, **options))
        return made[-1]

    setattr(Interrupted, handler, interrupt)
    listener = world.listen(loop, make)
    client = Interrupted(loop=loop)
    client.connect(listener.addr)
    client.write(b"x" * 6000)
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    world.run(loop, lambda: made and len(made[0].data) == 6004)

    assert made[0].data == b"x" * 6000 + b"more"


def test_an_interrupted_call_costs_no_other_its_turn(world):
    loop = world.loop()
    told = []

    class Full(Recorder):
        def handle_full(self):
            raise KeyboardInterrupt

    def interrupt():
        told.append("interrupted")
        raise KeyboardInterrupt

    now = loop.time()
    loop.call_at(now, interrupt)
    loop.call_at(now, told.append, "second")
    with pytest.raises(KeyboardInterrupt):
        world.turn(loop)
    world.turn(loop)
    assert told == ["interrupted", "second"]

    full, _ = world.connected(loop, Full)
    channel, client = world.connected(loop, Recorder)
    full.write(b"x" * 30_000_000)
    channel.write(b"behind it")
    with pytest.raises(KeyboardInterrupt):
        world.turn(loop)
    assert world.read(loop, client, 9) == b"behind it"


def test_a_timer_and_a_loop_print_what_they_are(world):
    loop = world.loop()
    timer = loop.call_at(12.5, print)
    assert repr(timer) == "<Timer print at 12.500000>"
    timer.cancel()
    assert repr(timer) == "<Timer done at 12.500000>"
    assert repr(loop) == f"<dispatch.Loop idle, 0 channels, {world.poller}>"


def test_the_timers_that_are_left_when_the_cancelled_ones_go_are_due_in_order():
    timers = Timers()
    made = [Timer(float(when), print, ()) for when in random.Random(1).sample(range(5000), 1024)]
    for each in made[:-1]:
        timers.add(each)
    for each in made:
        if each.when < 3000:
            each.cancel()
    timers.add(made[-1])  # the 1024th: now they are looked through
    left = [each for each in made if each]
    assert len(timers.heap) == len(left)
    assert timers.due(5000.0) == sorted(left, key=lambda each: each.when)


def test_cancelled_timers_do_not_pile_up(world):
    loop = world.loop()
    for _ in range(5000):
        loop.call_later(3600, print).cancel()
    kept = loop.call_later(3600, print)

    assert len(loop._timers.heap) < 2500
    assert len(loop._timers) == 1
    kept.cancel()
