"""Random programs turn by turn on the drop-in and on the module it stands for: the same handlers, in the same order.

Four channels of three classes share a map, their own or the module's. In their handlers they close themselves and each other,
pause, want to write or not, join once more, raise; their peers write, shut down and close. Nothing differs but where that is
mended, and from there on a program is not compared: who was closed is told no more, and data before a hang-up is read first.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
import warnings

import pytest

import dispatch.asynchat
import dispatch.asyncore
from tests.conftest import RESET
from tests.dispatch.conftest import PATIENCE

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")

TURNS = 10


def program(asyncore, asynchat, seed, use_poll):
    """What was told, in order: a tuple that begins with the number of a channel, or the mark between two turns."""
    dice = random.Random(seed)
    told, made = [], []
    channels = asyncore.socket_map if seed % 2 else {}

    class Meddling:
        reading, writing = True, False

        def readable(self):
            return self.reading

        def writable(self):
            return self.writing and bool(super().writable())

        def tell(self, *what):
            told.append((self.number, *what))

        def meddle(self):
            what, other = dice.randrange(16), dice.choice(made)
            if what < 2:
                other.tell("closed")
                other.close()
            elif what < 4:
                self.writing = what == 2
            elif what == 4:
                other.reading = not other.reading
            elif what == 5:
                other.writing = not other.writing
            elif what == 8 and other.number in standing():
                other.add_channel()  # where it stands
            elif 5 < what < 8:
                raise [ValueError, BrokenPipeError][what - 6](32, "scripted")

        def handle_write(self):
            self.tell("write")
            super().handle_write()
            self.meddle()

        def handle_close(self):
            self.tell("close")
            self.close()

        def handle_error(self):
            self.tell("error", sys.exc_info()[0].__name__)
            if dice.random() < 0.5:
                self.close()

    class Plain(Meddling, asyncore.dispatcher):
        def handle_read(self):
            self.tell("read", self.recv(dice.choice([1, 3, 100])))
            self.meddle()

    class Sending(Meddling, asyncore.dispatcher_with_send):
        def handle_read(self):
            self.tell("read", self.recv(10))
            self.meddle()
            self.send(b"reply")

    class Chatting(Meddling, asynchat.async_chat):
        def collect_incoming_data(self, data):
            self.tell("read", data)

        def found_terminator(self):
            self.tell("read", "found")
            self.meddle()
            self.push(b"line")

    def standing():
        return sorted(channel.number for channel in channels.values())

    pairs = [socket.socketpair() for _ in range(4)]
    for number, (near, far) in enumerate(pairs):
        far.setblocking(False)
        channel = dice.choice([Plain, Sending, Chatting])(near, channels)
        channel.number = number
        channel.terminator = dice.choice([b"\n", 2, b"ab"])
        made.append(channel)
    for turn in range(TURNS):
        for number, (_, far) in enumerate(pairs):
            what = dice.randrange(8)
            try:
                if what < 3:
                    far.send(dice.choice([b"a", b"ab\n", b"xx\nyy\n"]))
                elif what == 3 and turn > 5:
                    far.close()
                elif what == 4:
                    told.append((number, "sent", far.recv(1000)))
                elif what == 5 and turn > 4:
                    far.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is closed, or nothing is there
        told.append("turn")
        asyncore.loop(0, use_poll, channels, 1)
        told.append(standing())
    asyncore.close_all(channels, ignore_all=True)
    for near, far in pairs:
        near.close()
        far.close()
    return told


def mended(told, place):
    """Whether what comes at *place* comes no more: for one that was closed in this turn, or a close that drops data."""
    event, turn = told[place], told[:place]
    turn = turn[len(turn) - turn[::-1].index("turn") :]
    before = [each[1] for each in turn if each[0] == event[0]]
    return "close" in before or "closed" in before or (event[1] == "close" and "read" in before)


@pytest.mark.slow
@pytest.mark.parametrize("use_poll", [False, True], ids=["select", "poll"])
def test_any_program_is_told_the_same(use_poll):
    whole = 0
    for seed in range(250):
        on_theirs = program(theirs, their_chat, seed, use_poll)
        on_ours = program(dispatch.asyncore, dispatch.asynchat, seed, use_poll)
        if on_ours == on_theirs:
            whole += 1
            continue
        place = next(index for index, pair in enumerate(zip(on_ours, on_theirs, strict=False)) if pair[0] != pair[1])
        assert mended(on_theirs, place), (seed, on_ours[:place], on_ours[place], on_theirs[place])
    assert whole > 100


@pytest.mark.parametrize("use_poll", [False, True], ids=["select", "poll"])
def test_a_turn_of_a_programs_own_loop_makes_about_as_many_calls_as_it_did(use_poll):
    """Counted, not timed: a loop that is made for one turn, and thrown away, made twelve times as many."""

    def calls(asyncore):
        channels, count = {}, 0
        pairs = [socket.socketpair() for _ in range(50)]
        for near, _ in pairs:
            asyncore.dispatcher_with_send(near, channels)

        def counting(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        asyncore.loop(0, use_poll, channels, 1)
        sys.setprofile(counting)
        try:
            asyncore.loop(0, use_poll, channels, 1)
        finally:
            sys.setprofile(None)
        asyncore.close_all(channels)
        for _, far in pairs:
            far.close()
        return count

    assert calls(dispatch.asyncore) < 2 * calls(theirs)


@pytest.mark.parametrize("use_poll", [False, True], ids=["select", "poll"])
def test_a_programs_own_loop_goes_on_as_fast_as_it_did(use_poll):
    """A class that says nothing of writing always wants to write: no turn sleeps, and some programs draw pictures between two."""

    def program(asyncore, own_map, count):
        near, far = socket.socketpair()
        channel = asyncore.dispatcher(near, {} if own_map else None)
        began = time.monotonic()
        asyncore.loop(PATIENCE, use_poll, channel._map, count)
        (asyncore.poll2 if use_poll else asyncore.poll)(PATIENCE, channel._map)
        channel.close()
        far.close()
        return time.monotonic() - began < PATIENCE / 2

    for own_map in (False, True):
        for count in (1, 10):
            assert program(theirs, own_map, count)
            assert program(dispatch.asyncore, own_map, count)


@pytest.mark.slow
def test_a_loop_that_ends_with_its_map_sleeps_meanwhile():
    """Nobody sees how long its turns take: it need not run hot, as it did."""
    for channels in ({}, None):
        near, far = socket.socketpair()

        class Last(dispatch.asyncore.dispatcher):
            def handle_read(self):
                self.close()

        channel = Last(near, channels)
        later = threading.Timer(0.2, far.send, [b"x"])
        later.start()
        began = time.thread_time()
        dispatch.asyncore.loop(map=channel._map)
        assert time.thread_time() - began < 0.1
        later.join()
        far.close()


@pytest.mark.parametrize("own_map", [True, False])
def test_a_time_that_is_over_already_is_refused_where_it_was(own_map):
    """A deadline that has passed meanwhile: select(2) will have none of it, to poll(2) it is for ever."""
    for asyncore in (theirs, dispatch.asyncore):
        near, far = socket.socketpair()
        with far:
            channel = asyncore.dispatcher(near, {} if own_map else None)
            channels = channel._map
            asyncore.poll(0, channels)
            with pytest.raises(ValueError, match="timeout must be non-negative"):
                asyncore.poll(-0.5, channels)
            with pytest.raises(ValueError, match="timeout must be non-negative"):
                asyncore.loop(-0.5, False, channels, 1)
            asyncore.loop(-0.5, True, channels, 1)  # there is room to write
            channel.close()
            asyncore.poll(-0.5, channels)


@pytest.mark.parametrize("own_map", [True, False])
def test_a_turn_may_be_allowed_to_sleep_for_years(own_map):
    """A program's way to say for ever, and select(2) had no objection."""
    for asyncore in (theirs, dispatch.asyncore):
        near, far = socket.socketpair()
        with far:
            channel = asyncore.dispatcher(near, {} if own_map else None)
            asyncore.loop(99_999_999, False, channel._map, 1)  # there is room to write
            asyncore.loop(99_999_999, False, channel._map, 7)
            channel.close()


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_who_does_not_read_is_closed_by_the_end_that_poll_shows(end, own_map):
    """Somebody who only sends has no handle_read. It must not be told of its end for ever, and burn a processor."""
    for asyncore in (theirs, dispatch.asyncore):
        told = []

        class Sender(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_read(self):
                told.append("read")  # noqa: B023 - it is called at once

            def handle_close(self):
                told.append("close")  # noqa: B023
                self.close()

        if end == "close":
            near, far = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                far = socket.create_connection(listener.getsockname())
                near, _ = listener.accept()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        far.sendall(b"never read")
        far.close()
        channel = Sender(near, {} if own_map else None)
        asyncore.loop(1, True, channel._map, 5)
        assert told == ["read", "close"]
        assert not channel._map


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("use_poll", [False, True], ids=["select", "poll"])
def test_a_readable_that_somebody_else_gives_an_object_counts_from_the_next_turn(use_poll, own_map):
    """As a session does it that stops its server from accepting, or its partner from reading."""

    def program(asyncore):
        told, channels = [], {} if own_map else asyncore.socket_map
        pairs = [socket.socketpair() for _ in range(2)]

        class Partner(asyncore.dispatcher_with_send):
            def handle_read(self):
                told.append((self.number, self.recv(1)))
                other = partners[1 - self.number]
                if len(told) == 2:
                    other.readable = lambda: False
                elif len(told) == 5:
                    del other.readable

        partners = []
        for number, (near, far) in enumerate(pairs):
            partners.append(Partner(near, channels))
            partners[number].number = number
            far.send(b"abcdef")
        asyncore.loop(0, use_poll, channels, 8)
        asyncore.close_all(channels)
        for _, far in pairs:
            far.close()
        return told

    told = program(theirs)
    assert told[:6] == [(0, b"a"), (1, b"a"), (1, b"b"), (1, b"c"), (1, b"d"), (0, b"b")]
    assert program(dispatch.asyncore) == told


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("use_poll", [False, True], ids=["select", "poll"])
def test_who_has_paused_is_told_of_the_end_that_poll_shows(use_poll, own_map):
    """A class that says nothing of writing is polled for room to write, and so poll(2) tells it that nobody is there."""
    for asyncore in (theirs, dispatch.asyncore):
        near, far = socket.socketpair()
        told = []

        class Paused(asyncore.dispatcher):
            def readable(self):
                return False

            def handle_close(self):
                told.append("close")  # noqa: B023 - it is called at once
                self.close()

        channel = Paused(near, {} if own_map else None)
        asyncore.loop(0, use_poll, channel._map, 7)
        assert not told
        far.close()
        asyncore.loop(0, use_poll, channel._map, 7)
        assert told == (["close"] if use_poll else [])
        channel.close()


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("key", [None, "five", 1.5])
def test_what_is_no_descriptor_leaves_the_loop_as_the_same_error_each_time(key, use_poll, own_map, count):
    """As when a channel that was closed puts itself into the map: its descriptor is None then."""

    def program(asyncore):
        near, far = socket.socketpair()
        channels, told = {} if own_map else asyncore.socket_map, []
        odd = asyncore.dispatcher(map=channels)
        odd.readable = lambda: True
        with near, far:
            channels[key] = odd
            good = asyncore.dispatcher(near, channels)
            good.handle_read = lambda: told.append(good.recv(1))
            good.writable = lambda: False
            far.send(b"ab")
            for _ in range(3):
                try:
                    asyncore.loop(0, use_poll, channels, count)
                except TypeError as error:
                    told.append(str(error))
            del channels[key]
            asyncore.loop(0, use_poll, channels, count)
            good.close()
        return told

    assert program(dispatch.asyncore) == program(theirs)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("key", [None, "a timer", -7])
def test_what_is_no_descriptor_is_asked_each_turn_as_long_as_it_wants_nothing(key, use_poll, own_map, count):
    """As a program does that hangs its timers into the map: each turn they are asked, and they never read nor write."""

    def program(asyncore):
        told = []

        class Timer:
            def readable(self):
                told.append("asked")
                return len(told) == 30

            def writable(self):
                return False

            def handle_close(self):
                told.append("close")

        near, far = socket.socketpair()
        with near, far:
            channel = asyncore.dispatcher(near, {} if own_map else None)
            channel.writable = lambda: False
            channels = channel._map
            channels[key] = Timer()
            for _ in range(24 // count):
                asyncore.loop(0, use_poll, channels, count)
            channels[key] = channels.pop(key)  # it comes last now
            channel.handle_read = lambda: told.append(channel.recv(1))
            far.send(b"x")
            asyncore.loop(0, use_poll, channels, 1)
            assert told == ["asked"] * 25 + [b"x"]
            del channels[key]
            asyncore.loop(0, use_poll, channels, count)
            channels[key] = Timer()
            try:
                asyncore.loop(0, use_poll, channels, 8)
            except (TypeError, ValueError) as error:
                told.append(type(error))
            del channels[key]
            channel.close()
        return told

    ours, told = program(dispatch.asyncore), program(theirs)
    if key == -7:  # a stale descriptor is its channel's end, and no longer the loop's
        assert (told.pop(), ours[30]) == (ValueError, "close")
    assert ours[: len(told)] == told


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
def test_who_has_paused_is_told_of_an_urgent_byte_where_it_was(use_poll, own_map, count):
    """Whoever could write was, by select(2); who did not read was not, by poll(2)."""

    def program(asyncore):
        told = []

        class Paused(asyncore.dispatcher):
            def readable(self):
                return False

            def handle_write(self):
                told.append("write")

            def handle_expt(self):
                told.append(self.socket.recv(1, socket.MSG_OOB))

        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as peer,
        ):
            channel = Paused(listener.accept()[0], {} if own_map else None)
            peer.send(b"!", socket.MSG_OOB)
            asyncore.loop(1, use_poll, channel._map, count)
            channel.close()
        return told

    told = program(dispatch.asyncore)
    assert told == program(theirs)
    assert (b"!" in told) is not use_poll
