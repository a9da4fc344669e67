"""What arrives comes once, what is written goes out once, the end is told once. In every order of events."""

from __future__ import annotations

import array
import contextlib
import copy
import errno
import gc
import itertools
import os
import pickle
import socket
import time

import pytest

import dispatch
from dispatch.input import FIRST_SIZE, SHORT_READS
from tests.conftest import RESET
from tests.dispatch.conftest import PATIENCE, Fickle, Recorder, StoppedClock


class Echo(Recorder):
    def handle_data(self, data):
        super().handle_data(data)
        self.write(data)


def test_every_byte_comes_back(world):
    loop = world.loop()
    channel, client = world.connected(loop, Echo)
    client.send(b"hello")
    assert world.read(loop, client, 5) == b"hello"
    client.shutdown(socket.SHUT_WR)

    assert world.read_all(loop, client) == b""
    assert channel.events == ["data", "eof", ("close", None)]
    assert channel.statistics()[:4] == (5, 5, 0, 0)


def test_the_reply_is_sent_though_the_end_came_with_the_request(world):
    loop = world.loop()
    channel, client = world.connected(loop, Echo)
    client.send(b"x" * 10_000)
    client.shutdown(socket.SHUT_WR)

    assert world.read_all(loop, client) == b"x" * 10_000
    assert channel.events == ["data", "eof", ("close", None)]


def test_after_half_close_the_other_direction_goes_on(world):
    loop = world.loop()

    class Answering(Recorder):
        def handle_eof(self):
            self.events.append("eof")

    channel, client = world.connected(loop, Answering)
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.events == ["eof"])
    world.turn(loop, 5)
    assert not channel.closed

    channel.write(b"still here")
    assert world.read(loop, client, 10) == b"still here"
    channel.close()
    assert world.read_all(loop, client) == b""


def test_write_eof_ends_our_half_and_reading_goes_on(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write(b"request")
    channel.write_eof()
    assert world.read_all(loop, client) == b"request"

    client.setblocking(True)
    client.sendall(b"reply")
    world.run(loop, lambda: channel.data == b"reply")
    client.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)
    assert channel.events == ["data", "eof", ("close", None)]


def test_small_writes_of_one_handler_are_one_call(world):
    loop = world.loop()

    class Chatty(Recorder):
        def handle_data(self, data):
            for _ in range(16):
                self.write(b"x" * 64)

    channel, client = world.connected(loop, Chatty)
    channel.socket = Fickle(channel.socket)
    client.send(b"?")

    assert world.read(loop, client, 1024) == b"x" * 1024
    assert channel.socket.calls.count("send") == 1


@pytest.mark.parametrize("sizes", [[1] * 300, [70_000] * 5, [10, 200_000, 10, 3], [2_000_000], [5000] * 1000])
def test_bytes_go_out_once_and_in_order_in_whatever_pieces(world, sizes):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    data = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    for piece in data:
        channel.write(piece)
    channel.close()

    assert world.read_all(loop, client) == b"".join(data)
    assert channel.events[-1] == ("close", None)


@pytest.mark.parametrize("limits", [[1, 2, 3, 1, 1], [-errno.EAGAIN, 1, -errno.EAGAIN, 5], [0, 1], [-errno.ENOBUFS, 2]])
def test_a_short_send_loses_nothing(world, limits):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, send=list(limits))
    channel.write(b"hello, ")
    channel.write(b"network")
    channel.close()

    assert world.read_all(loop, client) == b"hello, network"


def test_small_pieces_are_joined_once_however_little_the_kernel_takes(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    joined: list[int] = []

    class Narrow(Fickle):
        def send(self, data, flags=0):
            if type(data) is bytes:
                joined.append(len(data))
            return super().send(data[:4000])

    channel.socket = Narrow(channel.socket, sendmsg=[])
    channel.socket.sendmsg = lambda pieces: channel.socket.send(memoryview(b"".join(pieces)))
    lines = [b"%063d\n" % number for number in range(10_000)]
    for line in lines:
        channel.write(line)
    channel.close()

    assert world.read_all(loop, client) == b"".join(lines)
    assert sum(joined) <= 2 * 640_000


def test_a_wake_up_without_data_is_no_end(world):
    loop = world.loop()
    channel, client = world.connected(loop, Echo)
    channel.socket = Fickle(channel.socket, recv=[errno.EAGAIN, errno.EINTR, errno.ENOBUFS])
    client.send(b"hello")

    assert world.read(loop, client, 5) == b"hello"
    assert not channel.closed


def test_a_buffer_may_be_used_again_after_write(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    buffer = bytearray(b"first")
    channel.write(buffer)
    buffer[:] = b"other"
    channel.write(memoryview(buffer))
    buffer[:] = b"wrong"
    channel.close()

    assert world.read_all(loop, client) == b"firstother"


def test_text_is_refused_at_the_call(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)

    with pytest.raises(TypeError, match="takes bytes, not str"):
        channel.write("text")
    with pytest.raises(TypeError, match="no producer"):
        channel.write_from(b"bytes")


@pytest.mark.slow
def test_a_slow_reader_is_not_read(world):
    loop = world.loop()
    channel, client = world.connected(loop, Echo)
    client.setblocking(False)
    sent = 0
    for _ in range(500):
        try:
            sent += client.send(b"x" * 262_144)
        except BlockingIOError:
            pass
        loop.run_once(0)
    assert "full" in channel.events
    assert channel.queued <= channel.high_water + channel.read_size_max

    rest = sent - world_drain(client)
    assert rest > 0
    assert len(world.read(loop, client, rest)) == rest
    world.run(loop, lambda: "drained" in channel.events)


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM])
def test_a_kernel_without_memory_is_asked_again_and_reading_goes_on(world, code):
    loop = world.loop()

    class Generous(Recorder):
        high_water, low_water = 3000, 100

        def handle_data(self, data):
            self.write(data * 4)  # more than high_water in one reply: nothing is read until it has gone

    channel, client = world.connected(loop, Generous)
    channel.socket = Fickle(channel.socket, send=[-code])
    client.sendall(b"x" * 1000)
    client.shutdown(socket.SHUT_WR)

    assert world.read_all(loop, client) == b"x" * 4000
    world.run(loop, lambda: channel.closed)
    assert channel.events[:2] == ["full", "drained"]


@pytest.mark.slow
def test_two_ends_that_write_much_do_not_wait_for_each_other(world):
    """If waiting output alone stopped a stream from reading, both would stop."""
    loop = world.loop()
    listener = world.listen(loop, Echo)
    client = Recorder(loop=loop)
    client.connect(listener.addr)
    client.write(b"x" * 20_000_000)
    client.write_eof()
    world.run(loop, lambda: client.closed)

    assert len(client.data) == 20_000_000


def world_drain(client):
    got = 0
    try:
        while piece := client.recv(1 << 20):
            got += len(piece)
    except BlockingIOError:
        return got
    raise AssertionError("the end")


def test_write_says_whether_the_reader_keeps_up(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)

    assert channel.write(b"x")
    assert not channel.write(b"x" * 100_000)


def test_where_the_high_water_is_very_low_write_begins_to_say_so_above_4096_bytes(world):
    """So the usual write asks nothing of its class."""
    loop = world.loop()

    class Narrow(Recorder):
        high_water = 1000

    with socket.create_server(("127.0.0.1", 0)) as server:
        channel = Narrow(loop=loop)
        channel.connect(server.getsockname())
        channel.pause()
        said = [channel.write(b"x" * 1001), channel.write(b"x" * 3095), channel.write(b"x")]
        world.run(loop, lambda: "drained" in channel.events)

    assert said == [True, True, False]
    assert channel.events.count("drained") == 1


def test_whether_all_is_sent_counts_what_producers_and_files_hold(world, tmp_path):
    """And a producer that gives nothing is a call when all before it has been taken."""
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    assert channel.all_sent
    size = 5_000_000
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    seen = []

    def here():
        seen.append(channel.bytes_sent)
        yield from ()

    channel.write_file(path)
    channel.write_from(here())
    channel.write(b"end")
    assert not channel.all_sent
    world.turn(loop)
    assert channel.queued == 3  # what a file will give is not known to be there
    assert not channel.all_sent
    assert not seen
    assert world.read(loop, client, size + 3).endswith(b"end")
    assert seen == [size]
    assert channel.all_sent
    channel.write(b"x")
    channel.abort()
    assert channel.all_sent


@pytest.mark.parametrize("sizes", [(70_000,), (40_000, 40_000), (1, 70_000), (5_000_000,), (100_000, 5_000_000)])
def test_a_write_that_gave_false_is_followed_by_handle_drained(world, sizes):
    """Whether the kernel takes it all at once or not, so a relay may pause by what write() says and go on when drained."""
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)

    said = [channel.write(b"x" * size) for size in sizes]
    assert said[-1] is False
    assert "drained" not in channel.events
    world.read(loop, client, sum(sizes))
    world.run(loop, lambda: "drained" in channel.events)

    assert channel.events.count("drained") == 1
    assert channel.write(b"x")
    world.read(loop, client, 1)
    world.turn(loop, 3)
    assert channel.events.count("drained") == 1


@pytest.mark.parametrize("size", [70_000, 5_000_000])
def test_a_stream_that_was_held_back_reads_on_when_all_is_sent_also_after_write_eof(world, size):
    class LastWords(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            if data[:1] == b"a":
                self.events.append(self.write(b"x" * size))
                self.write_eof()

    loop = world.loop()
    channel, client = world.connected(loop, LastWords)
    client.send(b"a")
    world.run(loop, lambda: channel.events)
    client.send(b"more")
    assert len(world.read_all(loop, client)) == size
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.data == b"amore"
    assert [each for each in channel.events if each != "full"] == [
        "data",
        False,
        "drained",
        "data",
        "eof",
        ("close", None),
    ]


def test_a_handler_that_wrote_too_much_at_once_is_told_when_it_has_gone(world):
    loop = world.loop()

    class Generous(Recorder):
        def handle_data(self, data):
            self.events.append(self.write(data * 70_000))

    channel, client = world.connected(loop, Generous)
    for _ in range(3):
        client.send(b"x")
        world.read(loop, client, 70_000)
    world.run(loop, lambda: channel.events.count("drained") == 3)
    assert [each for each in channel.events if each != "full"] == [False, "drained"] * 3


def test_what_handle_drained_writes_is_sent(world):
    loop = world.loop()

    class Refilling(Recorder):
        def handle_drained(self):
            super().handle_drained()
            self.write(b"END")

    channel, client = world.connected(loop, Refilling)
    channel.write(b"x" * 20_000_000)
    world.run(loop, lambda: "full" in channel.events)

    assert world.read(loop, client, 20_000_003)[-3:] == b"END"


def test_no_data_while_paused(world):
    loop = world.loop()

    class Pausing(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            self.pause()

    channel, client = world.connected(loop, Pausing)
    client.send(b"a")
    world.run(loop, lambda: channel.data)
    client.send(b"b")
    client.shutdown(socket.SHUT_WR)
    world.turn(loop, 5)
    assert channel.data == b"a"
    assert channel.paused

    channel.resume()
    world.run(loop, lambda: channel.data == b"ab")
    channel.resume()
    world.run(loop, lambda: channel.closed)


def test_a_channel_paused_by_another_in_the_same_turn_gets_nothing(world):
    loop = world.loop()
    pair = []

    class Jealous(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            for other in pair:
                if other is not self:
                    other.pause()

    made = [world.connected(loop, Jealous) for _ in range(2)]
    pair.extend(channel for channel, _ in made)
    clients = [client for _, client in made]
    for client in clients:
        client.send(b"x")
    time.sleep(0.001)
    world.turn(loop, 5)

    assert sorted(bytes(channel.data) for channel in pair) == [b"", b"x"]


def test_a_reset_is_the_reason_of_the_close(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    world.run(loop, lambda: channel.events)

    assert channel.events == [("close", ConnectionResetError)]
    assert channel.reason.errno == errno.ECONNRESET


def test_what_came_before_a_close_is_read_before_it_is_told(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write_eof()
    world.read_all(loop, client)
    client.setblocking(True)
    client.sendall(b"x" * 200_000)
    client.close()  # now both directions are shut: the poller says HUP
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert len(channel.data) == 200_000
    assert channel.events == ["data", "eof", ("close", None)]


def test_a_reply_is_read_though_sending_failed(world):
    """A server that answers "too large" and closes in the middle of an upload."""
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    client.sendall(b"413 too large")
    channel.socket = Fickle(channel.socket, send=[-errno.EPIPE])
    channel.write(b"upload")
    client.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.data == b"413 too large"
    assert channel.events == ["data", ("close", BrokenPipeError)]
    assert channel.statistics().lost == 6


def test_a_close_after_sending_has_failed_is_no_orderly_end(world):
    loop = world.loop()

    class Polite(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            self.close()

    channel, client = world.connected(loop, Polite)
    client.sendall(b"413 too large")
    channel.socket = Fickle(channel.socket, send=[-errno.EPIPE])
    channel.write(b"upload")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == ["data", ("close", BrokenPipeError)]


@pytest.mark.parametrize("code", [errno.EHOSTUNREACH, errno.ENETUNREACH])
@pytest.mark.parametrize("closing", [False, True])
def test_a_reply_that_could_not_be_sent_whole_does_not_end_like_one(world, code, closing):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, send=[3, -code])
    channel.write(b"whole")
    if closing:
        channel.close()
    world.run(loop, lambda: channel.closed)

    assert channel.reason.errno == code
    assert channel.statistics().lost == 2
    client.setblocking(True)
    with pytest.raises(ConnectionResetError):
        while client.recv(100):  # what arrived, then no end
            pass


def test_nothing_is_written_after_close(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write(b"last")
    assert (channel.closing, channel.closed) == (False, False)
    channel.close()
    assert (channel.closing, channel.closed) == (True, False)
    assert not channel.write(b"too late")
    assert not channel.write_from([b"too late"])

    assert world.read_all(loop, client) == b"last"
    assert not channel.write(b"much too late")
    assert channel.queued == 0
    assert (channel.closing, channel.closed) == (True, True)


def test_nothing_is_read_after_close(world):
    loop = world.loop()

    class Closing(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            self.write(b"bye")
            self.close()

    channel, client = world.connected(loop, Closing)
    client.send(b"quit")
    assert world.read(loop, client, 3) == b"bye"
    client.setblocking(True)
    world.turn(loop, 3)

    assert channel.events == ["data", ("close", None)]
    assert channel.data == b"quit"


def test_nothing_is_read_after_another_has_closed_it(world):
    """What it has to read was told in the same turn in which another's handler says goodbye for it."""
    loop = world.loop()

    class Killer(Recorder):
        def handle_data(self, data):
            victim.write(b"bye")
            victim.close()

    _, client = world.connected(loop, Killer)  # first, so that its turn is first
    victim, his = world.connected(loop, Recorder)
    world.turn(loop)
    client.send(b"close it")
    his.send(b"too late")
    world.run(loop, lambda: victim.closed)
    world.turn(loop)

    assert victim.events == [("close", None)]
    assert world.read_all(loop, his) == b"bye"


def test_our_last_words_arrive_though_the_peer_sent_more(world):
    """Closing with unread input makes the kernel send RST, which can overtake what we said."""
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.pause()
    client.sendall(b"never read" * 1000)
    channel.write(b"bye")
    channel.close()

    assert world.read_all(loop, client) == b"bye"


def test_abort_drops_what_waits_and_resets(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write(b"x" * 20_000_000)
    loop.run_once(0)
    channel.abort()
    world.turn(loop)

    assert channel.events == ["full", ("close", dispatch.Aborted)]
    assert channel.statistics().lost > 0
    client.setblocking(True)
    with pytest.raises(ConnectionResetError):
        read_to_the_end(client)


def read_to_the_end(client):
    while client.recv(1 << 20):
        pass


def test_an_abort_without_output_is_an_orderly_end_for_the_peer(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.abort()

    assert world.read_all(loop, client) == b""


def test_the_close_is_told_once_and_not_inside_another_turn(world):
    loop = world.loop()
    order = []

    class Victim(Recorder):
        def handle_close(self, reason):
            order.append("closed")

    victim, _ = world.connected(loop, Victim)

    class Killer(Recorder):
        def handle_data(self, data):
            order.append("begin")
            victim.abort()
            victim.close()
            victim.abort()
            order.append("end")

    _, client = world.connected(loop, Killer)
    client.send(b"x")
    world.run(loop, lambda: "closed" in order)
    world.turn(loop)

    assert order == ["begin", "end", "closed"]


def test_an_event_never_reaches_who_got_the_descriptor_of_a_closed_channel(world):
    """A closes B and opens C, which gets B's descriptor while B's event is still in the poller's answer."""
    loop = world.loop()
    another = world.pair()[0]
    channels = {}
    late = []

    class Replacing(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            if not late:  # the first of the two in the poller's order closes the other
                (victim,) = set(channels) - {self}
                number = victim.fileno()
                victim.abort()
                late.append(Recorder(another.dup(), loop=loop))
                assert late[0].fileno() == number

    for _ in range(2):
        channel, client = world.connected(loop, Replacing)
        channels[channel] = client
    for client in channels.values():
        client.send(b"x")
    time.sleep(0.001)
    assert loop.run_once(0.1) == 2
    world.turn(loop)

    assert late[0].events == []
    assert not late[0].closed
    assert sorted(len(channel.data) for channel in channels) == [0, 1]


def test_a_socket_closed_behind_the_loops_back_costs_its_channel_only(world):
    loop = world.loop()
    victim, _ = world.connected(loop, Recorder)
    channel, client = world.connected(loop, Echo)
    heirs: list[Echo] = []
    listener = world.listen(loop, lambda sock, **options: heirs.append(Echo(sock, **options)))
    heirs_client = world.connect(listener.addr)
    number = victim.fileno()
    victim.socket.close()
    client.sendall(b"on")
    heirs_client.sendall(b"mine")

    assert world.read(loop, client, 2) == b"on"
    assert world.read(loop, heirs_client, 4) == b"mine"
    world.run(loop, lambda: victim.closed)
    assert heirs[0].fileno() == number
    assert [event[0] for event in victim.events] == ["close"]
    assert not channel.closed


def test_an_exception_closes_its_channel_and_no_other(world, caplog):
    loop = world.loop()

    class Failing(Recorder):
        def handle_data(self, data):
            raise ValueError("cannot")

    failing, failing_client = world.connected(loop, Failing)
    echo, client = world.connected(loop, Echo)
    failing_client.send(b"x")
    client.send(b"y")

    assert world.read(loop, client, 1) == b"y"
    world.run(loop, lambda: failing.closed)
    world.turn(loop, 1)
    assert failing.events == [("close", ValueError)]
    assert not echo.closed
    assert "cannot" in caplog.text


def test_if_handle_error_fails_too_the_channel_is_closed_and_the_loop_goes_on(world, caplog):
    loop = world.loop()

    class Hopeless(Recorder):
        def handle_data(self, data):
            raise ValueError("first")

        def handle_error(self, error):
            raise LookupError("second")

    channel, client = world.connected(loop, Hopeless)
    client.send(b"x")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", LookupError)]
    assert "second" in caplog.text


def test_a_handler_error_may_be_survived(world):
    loop = world.loop()

    class Patient(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            raise ValueError(data)

        def handle_error(self, error):
            self.write(b"sorry")

    channel, client = world.connected(loop, Patient)
    client.send(b"x")

    assert world.read(loop, client, 5) == b"sorry"
    assert not channel.closed


def test_an_exception_in_handle_close_stops_nobody(world, caplog):
    loop = world.loop()

    class Failing(Recorder):
        def handle_close(self, reason):
            raise ValueError("in handle_close")

    channel, _ = world.connected(loop, Failing)
    other, _ = world.connected(loop, Recorder)
    channel.abort()
    other.abort()
    world.turn(loop)

    assert other.events == [("close", dispatch.Aborted)]
    assert "in handle_close" in caplog.text


def test_an_urgent_byte_is_handed_over_and_does_not_spin(world, log):
    if world.poller == "kqueue":
        pytest.skip("kqueue announces urgent data on macOS only")
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    client.send(b"!", socket.MSG_OOB)
    world.run(loop, lambda: channel.events)
    log.lines.clear()
    world.turn(loop, 10)

    assert channel.events == [("urgent", b"!")]
    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10


def test_urgent_bytes_leave_ordinary_data_alone(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    client.send(b"ab")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"cd")
    world.run(loop, lambda: channel.data == b"abcd")


def test_a_dead_connection_that_nobody_reads_does_not_spin(world, log):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.pause()
    client.send(b"x")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    world.turn(loop, 3)
    log.lines.clear()
    world.turn(loop, 10)

    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10
    channel.resume()
    world.run(loop, lambda: channel.closed)


def test_a_reset_after_the_end_is_noticed(world):
    loop = world.loop()

    class Waiting(Recorder):
        def handle_eof(self):
            self.events.append("eof")

    channel, client = world.connected(loop, Waiting)
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.events == ["eof"])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    if world.poller in ("select", "kqueue"):
        channel.write(b"x")  # these show a reset only to who reads or writes
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events[0] == "eof"
    assert channel.events[-1][0] == "close"
    assert isinstance(channel.reason, OSError)


def _pour(client):
    """As much as fits between the two ends; of a Unix pair that is there at once, whatever the network's timing."""
    client.setblocking(False)
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += client.send(b"x" * 65536)
    return total


def test_reads_grow_while_they_come_back_full_and_fall_back(world):
    loop = world.loop()
    ours, client = world.unix_pair()
    channel = Recorder(ours, loop=loop)
    sizes = []
    channel.handle_data = lambda data: sizes.append(len(data))
    total = _pour(client)
    world.run(loop, lambda: sum(sizes) == total)
    assert channel.read_size < max(sizes) <= channel.read_size_max

    client.send(b"x")
    world.run(loop, lambda: sizes[-1] == 1)
    assert channel._read_size > channel.read_size  # that is no end of what is large
    for count in range(2, SHORT_READS + 2):
        client.send(b"x")
        world.run(loop, lambda count=count: sizes[-count:] == [1] * count)
    assert channel._read_size == channel.read_size
    assert channel._more is None  # and small messages take the short way again


@pytest.mark.parametrize("idle_timeout", [None, 60.0])
def test_a_large_message_comes_whole_after_small_ones_too(world, idle_timeout):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if idle_timeout is not None:
        channel.idle_timeout = idle_timeout
        channel.touch()
    sizes = []
    channel.handle_data = lambda data: sizes.append(len(data))
    for size in (10, FIRST_SIZE, FIRST_SIZE + 1, 10, 5000):
        client.send(b"x" * size)
        world.run(loop, lambda size=size: sizes[-1:] == [size])
        sizes.clear()


@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.ENOBUFS])
def test_an_error_met_behind_a_full_read_comes_after_its_data(world, code):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, recv=[0, code])
    client.send(b"x" * 1000)
    world.run(loop, lambda: len(channel.data) == 1000 or channel.closed)
    world.turn(loop, 1)
    if code == errno.ENOBUFS:  # this one passes
        assert channel.data == b"x" * 1000
        assert not channel.closed
    else:
        assert channel.data == b"x" * FIRST_SIZE
        assert channel.events == ["data", ("close", ConnectionResetError)]


def test_reads_of_a_stream_with_a_deadline_grow_too(world):
    class Patient(Recorder):
        idle_timeout = 60.0

    loop = world.loop()
    ours, client = world.unix_pair()
    channel = Patient(ours, loop=loop)
    sizes = []
    channel.handle_data = lambda data: sizes.append(len(data))
    total = _pour(client)
    world.run(loop, lambda: sum(sizes) == total)
    assert max(sizes) > channel.read_size
    for count in range(1, SHORT_READS + 2):
        client.send(b"x")
        world.run(loop, lambda count=count: sizes[-count:] == [1] * count)
    assert channel._read_size == channel.read_size
    assert channel._more.idle is not None  # the deadline is not forgotten


def test_one_channel_does_not_take_a_whole_turn(world):
    loop = world.loop()
    greedy, greedy_client = world.connected(loop, Recorder)
    greedy_client.setblocking(False)
    for _ in range(50):
        try:
            greedy_client.send(b"x" * 1_000_000)
        except BlockingIOError:
            break
    loop.run_once(0)

    assert 0 < len(greedy.data) <= greedy.read_size_max


# ---- deadlines


def test_an_idle_connection_is_given_up(world):
    loop = world.loop()

    class Idle(Recorder):
        idle_timeout = 0.02

    channel, _ = world.connected(loop, Idle)
    began = loop.time()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert loop.time() - began >= 0.015
    assert channel.events == [("close", dispatch.Timeout)]
    assert channel.reason.which == "idle"


def test_activity_in_either_direction_is_not_idle(world):
    clock = StoppedClock()
    loop = world.loop(network=clock)

    class Idle(Recorder):
        idle_timeout = 60

    channel, client = world.connected(loop, Idle)
    for n in range(6):
        clock.now += 40
        (client.send if n % 2 else channel.write)(b"x")
        world.turn(loop)
    clock.now += 59
    world.turn(loop)
    assert not channel.closed

    clock.now += 1
    world.turn(loop)
    assert channel.closed


def test_the_idle_time_may_change(world):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    channel, _ = world.connected(loop, Recorder)
    channel.idle_timeout = 10
    channel.touch()
    clock.now += 9
    channel.touch()
    clock.now += 9
    world.turn(loop)
    assert not channel.closed

    channel.idle_timeout = None
    channel.touch()
    clock.now += 1000
    world.turn(loop)
    assert not channel.closed


def test_an_idle_connection_may_be_kept(world):
    loop = world.loop()

    class Patient(Recorder):
        idle_timeout = 0.005

        def handle_idle(self, error):
            self.events.append(error.which)

    channel, _ = world.connected(loop, Patient)
    world.run(loop, lambda: channel.events == ["idle"] * 3)

    assert not channel.closed


@pytest.mark.slow
def test_who_keeps_an_idle_connection_is_asked_again_after_as_long_a_time(world):
    """Not at once: the loop would spin, for as long as a peer takes to read what handle_idle wrote."""
    loop = world.loop()

    class Farewell(Recorder):
        idle_timeout = 0.1

        def handle_idle(self, error):
            self.events.append(loop.time())
            self.write(bytes(20_000_000))
            self.close()  # which waits for a client that does not read

    channel, _ = world.connected(loop, Farewell)
    world.run(loop, lambda: len(channel.events) == 3)

    first, second, third = channel.events
    assert second - first >= 0.099
    assert third - second >= 0.099


def test_a_peer_that_takes_nothing_is_given_up(world):
    loop = world.loop()

    class Writing(Recorder):
        write_timeout = 0.02

    channel, _client = world.connected(loop, Writing)
    channel.write(b"x" * 20_000_000)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.reason.which == "write"


def test_a_close_that_takes_too_long_is_cut_short(world):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    channel, client = world.connected(loop, Recorder)
    channel.write(b"x" * 20_000_000)
    channel.close()
    world.turn(loop, 1)
    at_first = channel.queued
    world.run(loop, lambda: client.recv(1 << 20) and channel.queued < at_first)  # it takes some, but not all in time
    clock.now += 31
    world.turn(loop, 2)

    assert channel.events[-1] == ("close", dispatch.Timeout)
    assert channel.reason.which == "close"
    assert f" {channel.statistics().lost} bytes waited for 30 s" in str(channel.reason)


def test_no_timer_is_left_for_a_closed_channel(world):
    loop = world.loop()

    class Timed(Recorder):
        idle_timeout = 60
        write_timeout = 60

    channel, _ = world.connected(loop, Timed)
    channel.write(b"x" * 20_000_000)
    loop.run_once(0)
    channel.abort()
    world.turn(loop, 1)

    assert len(loop._timers) == 0


# ---- producers and files


class Counting:
    def __init__(self, pieces):
        self.pieces = list(pieces)

    def more(self):
        return self.pieces.pop(0) if self.pieces else b""


def test_producers_keep_their_place(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write(b"1")
    channel.write_from(Counting([b"2", b"3"]))
    channel.write(b"4")
    channel.write_from(iter([b"5", b"", b"6"]))
    channel.write(b"7")
    channel.close()

    assert world.read_all(loop, client) == b"1234567"


def test_what_a_producer_writes_comes_after_what_it_gives(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)

    class Writing(Counting):
        def more(self):
            if len(self.pieces) == 2:
                channel.write(b"PUSHED")
            return super().more()

    channel.write_from(Writing([b"p1 ", b"p2 ", b"p3 "]))
    world.turn(loop)
    channel.close()

    assert world.read_all(loop, client) == b"p1 p2 p3 PUSHED"


@pytest.mark.parametrize("size", [10, 3000])
def test_small_items_of_a_producer_go_out_together(world, size):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket)
    buffer = bytearray(size)

    def rows():
        for number in range(100):
            buffer[:] = b"%d" % (number % 10) * size  # one buffer for all
            yield buffer

    channel.write_from(rows())
    channel.close()

    assert world.read_all(loop, client) == b"".join(b"%d" % (number % 10) * size for number in range(100))
    assert channel.socket.calls.count("send") <= 1 + 2 * (100 * size // 65_536 + 1)


@pytest.mark.slow
def test_a_producer_of_crumbs_holds_no_turn_for_itself(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    given = []
    channel.write_from(given.append(1) or b"x" for _ in range(100_000))
    world.turn(loop, 1)
    assert len(given) < 40_000  # a turn before the poll, for what was written outside of any, and one after it
    channel.close()

    assert world.read_all(loop, client) == b"x" * 100_000


@pytest.mark.slow
def test_a_producer_is_asked_only_when_there_is_room(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    given = []

    def pieces():
        for _ in range(1000):
            given.append(1)
            yield b"x" * 65_536

    channel.write_from(pieces())
    channel.close()
    world.turn(loop, 5)
    assert len(given) < 500
    assert channel.queued <= 65_536

    assert len(world.read_all(loop, client)) == 65_536_000


def test_a_producer_that_fails_is_its_channels_error(world, caplog):
    loop = world.loop()

    def failing():
        yield b"some"
        raise ValueError("no more")

    channel, _client = world.connected(loop, Recorder)
    channel.write_from(failing())
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", ValueError)]


def test_a_producer_that_fails_behind_what_was_too_much_drains_nothing(world, caplog):
    def fails():
        yield b""
        raise LookupError("nothing to give")

    loop = world.loop()
    channel, _client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, send=[1])
    channel.write(bytes(100_000))
    channel.write_from(fails())
    world.run(loop, lambda: channel.closed)
    world.turn(loop)

    assert channel.events == ["full", ("close", LookupError)]


def test_a_producer_that_fails_after_the_close_leaves_no_deadline_behind(world):
    loop = world.loop()

    def fails():
        yield b"some"
        raise ZeroDivisionError

    channel, _client = world.connected(loop, Recorder)
    channel.write_from(fails())
    channel.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", ZeroDivisionError)]
    assert not loop._alive()


def test_a_producer_that_gives_nothing_for_ever_does_not_stop_the_loop(world, monkeypatch, caplog):
    """It means to say that it has nothing yet."""
    monkeypatch.setattr("dispatch.extras.EMPTY_MOST", 1000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write_from([b"some", *[b""] * 999, b"thing"])
    assert world.read(loop, client, 9) == b"something"

    channel.write_from(itertools.repeat(b""))
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)
    assert channel.events == [("close", ValueError)]
    assert "1000 empty items in a row; write what there is when there is something" in caplog.text


@pytest.mark.parametrize("long", [False, True])
def test_a_producer_may_turn_the_loop_and_is_not_asked_meanwhile(world, log, long):
    """What it gives, as the answer that it waits for, keeps its place."""
    loop = world.loop()
    upstream, source = world.connected(loop, Recorder)
    channel, client = world.connected(loop, Recorder)
    size = 300_000 if long else 3

    def answers():
        for number in range(5):
            upstream.data.clear()
            source.send(b"%d" % number)
            turns = sum(line[0] == "turn" for line in log.lines)
            while not upstream.data:
                loop.run_once(PATIENCE)
            assert sum(line[0] == "turn" for line in log.lines) - turns < 5  # it does not spin
            yield bytes(upstream.data) * size

    channel.write_from(answers())
    channel.write(b"behind")
    channel.close()

    assert world.read_all(loop, client) == b"".join(b"%d" % number * size for number in range(5)) + b"behind"
    assert channel.events == [("close", None)]


def test_items_of_any_width_are_counted_in_bytes(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    wide = [memoryview(array.array("I", range(3))), memoryview(bytes(12)).cast("B", (3, 4))]
    channel.write_from(wide)
    assert world.read(loop, client, 24) == b"".join(wide)
    assert channel.queued == 0

    channel.write(b"more, ")
    channel.write(b"and more")
    channel.close()
    assert world.read_all(loop, client) == b"more, and more"


def test_items_that_are_no_bytes_are_told_with_what_gave_them(world, caplog):
    loop = world.loop()

    def texts():
        yield "some"

    channel, _client = world.connected(loop, Recorder)
    channel.write_from(texts())
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)
    assert channel.events == [("close", TypeError)]
    assert "<items of <generator object test_items_that" in caplog.text
    assert "gave str, not bytes" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("offset", "count"), [(0, None), (100, None), (5, 10), (0, 0), (2_999_999, None), (9_999_999, None)]
)
def test_a_file_is_sent_between_what_is_written(world, tmp_path, offset, count):
    data = bytes(range(251)) * 12_000
    path = tmp_path / "file"
    path.write_bytes(data)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    with path.open("rb") as file:
        channel.write(b"[")
        channel.write_file(file, offset, count)
        channel.write(b"]")
        channel.close()
        got = world.read_all(loop, client)

    assert got == b"[" + data[offset : None if count is None else offset + count] + b"]"


@pytest.mark.parametrize("send", [[3, -errno.EAGAIN, 7], [-errno.EAGAIN], [65536, -errno.EAGAIN, 7, -errno.EAGAIN]])
def test_a_file_is_read_where_sendfile_cannot_be_had(world, tmp_path, send):
    data = bytes(range(251)) * 4000
    path = tmp_path / "file"
    path.write_bytes(data)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, send=send)
    with path.open("rb") as file:
        channel.write_file(file)
        channel.close()
        assert world.read_all(loop, client) == data


@pytest.mark.skipif(not os.path.exists("/proc/self/cmdline"), reason="Linux has such files")
@pytest.mark.parametrize("fickle", [False, True], ids=["sendfile", "read"])
@pytest.mark.parametrize(("offset", "count"), [(0, None), (3, None), (3, 4), (100_000, None)])
def test_a_file_that_tells_no_size_is_sent_to_its_end(world, fickle, offset, count):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if fickle:
        channel.socket = Fickle(channel.socket)
    with open("/proc/self/cmdline", "rb") as file:
        channel.write(b"[")
        channel.write_file(file, offset, count)
        channel.write(b"]")
        channel.close()
        got = world.read_all(loop, client)
        data = file.read()[offset : None if count is None else offset + count]

    assert got == b"[" + data + b"]"


@pytest.mark.parametrize("fickle", [False, True], ids=["sendfile", "read"])
def test_a_file_may_be_closed_as_soon_as_it_was_written(world, fickle, tmp_path):
    """Its number may be another's by the time the bytes go out."""
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"x" * 300_000)
    other.write_bytes(b"y" * 300_000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if fickle:
        channel.socket = Fickle(channel.socket)
    with path.open("rb") as file:
        channel.write_file(file)
    with other.open("rb"):
        channel.close()
        assert world.read_all(loop, client) == b"x" * 300_000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="Linux lists what is open")
@pytest.mark.parametrize("lost", ["aborted", "reset", "refused"])
def test_a_file_that_was_not_sent_is_given_back(world, lost, tmp_path):
    """At once: nobody should wait for the collector."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000_000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    if lost == "refused":
        channel.socket = Fickle(channel.socket, send=[5, -errno.EPIPE])
    for _ in range(2):
        with path.open("rb") as file:
            channel.write_file(file)
    gc.disable()
    try:
        loop.run_once(0)
        if lost == "aborted":
            channel.abort()
        elif lost == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
        world.run(loop, lambda: channel.closed)
        loop.run_once(0)
    finally:
        gc.enable()

    names = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    assert str(path) not in [os.readlink(name) for name in names if os.path.exists(name)]


@pytest.mark.parametrize("fickle", [False, True], ids=["sendfile", "read"])
@pytest.mark.parametrize("kept", [False, True], ids=["given up", "kept"])
def test_a_file_that_ends_before_what_was_promised_is_an_error(world, fickle, kept, tmp_path):
    """Who was told how long it is must not take what comes next for the rest of it."""

    class Promising(Recorder):
        def handle_error(self, error):
            self.events.append(type(error))
            if not kept:
                self.abort(error)

    path = tmp_path / "file"
    path.write_bytes(b"short")
    loop = world.loop()
    channel, client = world.connected(loop, Promising)
    if fickle:
        channel.socket = Fickle(channel.socket)
    with path.open("rb") as file:
        channel.write_file(file, 1, 100)
        channel.write(b"next")
        channel.close()
        world.run(loop, lambda: channel.closed)
        loop.run_once(0)

    assert channel.events == [EOFError, ("close", None if kept else EOFError)]
    if kept:
        assert client.recv(100) == b"hortnext"


def test_what_can_only_be_read_as_it_comes_is_refused_as_a_file(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    reader, writer = os.pipe()
    with open(reader, "rb") as file, open(writer, "wb"):
        with pytest.raises(ValueError, match="write_from"):
            channel.write_file(file, 0, 10)
    channel.write(b"as ever")
    channel.close()
    assert world.read_all(loop, client) == b"as ever"


def test_a_negative_part_of_a_file_is_refused(world, tmp_path):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    with pytest.raises(ValueError, match="offset=-1"):
        channel.write_file(None, -1)


@pytest.mark.parametrize(
    "error",
    [dispatch.Timeout("idle", 30, "nothing came"), dispatch.Aborted("enough"), dispatch.MessageTooLong("70 bytes")],
)
def test_a_reason_can_be_copied_and_sent_to_another_process(error):
    error.add_note("a note")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
        assert getattr(again, "errno", None) == getattr(error, "errno", None)


class Insatiable:
    """A socket that takes whatever it is given."""

    def __init__(self, sock):
        self._sock = sock
        self.taken = 0

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def send(self, data, flags=0):
        self.taken += len(data)
        return len(data)

    def sendmsg(self, pieces):
        return sum(map(self.send, pieces))


@pytest.mark.parametrize("made", ["written", "by a producer"])
def test_who_is_sent_much_by_a_fast_network_leaves_the_others_their_turn(world, made):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    channel.socket = kernel = Insatiable(channel.socket)
    pieces = [bytes(1 << 16)] * 128
    if made == "written":
        for piece in pieces:
            channel.write(piece)
    else:
        channel.write_from(iter(pieces))
    by_turn = []
    while sum(by_turn) < len(pieces) << 16 and len(by_turn) < 100:
        before = kernel.taken
        world.turn(loop, 1)
        by_turn.append(kernel.taken - before)

    assert sum(by_turn) == len(pieces) << 16
    assert max(by_turn) <= 2 << 20


def test_the_reason_of_an_abort_has_the_number_of_one():
    error = dispatch.Aborted("enough")

    assert (error.errno, error.strerror) == (errno.ECONNABORTED, "enough")


# ---- wrong use


def test_watermarks_upside_down_are_refused_at_once():
    with pytest.raises(ValueError, match="low_water=10 and high_water=5"):
        type("Bad", (dispatch.Stream,), {"high_water": 5, "low_water": 10})


def test_a_class_that_says_only_how_high_the_water_may_stand_has_a_low_mark_below():
    shallow = type("Shallow", (dispatch.Stream,), {"high_water": 4000})
    assert (shallow.high_water, shallow.low_water) == (4000, 1000)
    deeper = type("Deeper", (shallow,), {"high_water": 2_000})
    assert (deeper.high_water, deeper.low_water) == (2000, 1000)
    assert dispatch.Stream.low_water == 16_384


def test_a_subclass_may_not_take_a_name_that_the_library_needs():
    with pytest.raises(
        TypeError, match=r"Mine defines _flush, which dispatch\.output\.Sender needs for itself; give it another"
    ):
        type("Mine", (dispatch.Stream,), {"_flush": lambda self: None})
    type("Mine", (dispatch.Stream,), {"_state": "of the program", "_Mine__flush": lambda self: None})


def test_nor_may_its_methods_set_one():
    class Mixin:
        def begin(self, queue):
            self._queue = queue

        def elsewhere(self, other):
            other._queue = other._waiting_bytes = self.socket = 1

    told = r"Mixin\.begin sets _queue, which dispatch\.datagram\.Datagram needs for itself; give it another"
    with pytest.raises(TypeError, match=told):
        type("Mine", (Mixin, dispatch.Datagram), {})
    type("Mine", (Mixin, dispatch.Stream), {"_queue": None})


def test_a_method_of_a_base_by_another_name_sets_what_it_always_set():
    class Mixin:
        pass

    class Mine(Mixin, dispatch.Chat):
        handle_data = dispatch.Chat.handle_data

    assert Mine.handle_data is dispatch.Chat.handle_data


def test_another_thread_is_told_what_to_use_instead(kernel_world, in_thread):
    loop = kernel_world.loop()
    channel, client = kernel_world.connected(loop, Recorder)
    errors = []
    extra = client.dup()

    def elsewhere():
        calls = (lambda: channel.write(b"x"), lambda: loop.call_soon(print), lambda: Recorder(extra, loop=loop))
        for call in calls:
            try:
                call()
            except RuntimeError as error:
                errors.append("call_soon_threadsafe" in str(error))
        loop.call_soon_threadsafe(channel.write, b"right")
        loop.call_soon_threadsafe(loop.stop)

    loop.call_later(0, in_thread, elsewhere)
    loop.run()

    extra.close()

    assert errors == [True] * 3
    assert client.recv(10) == b"right"


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("before", [[], [b"1"], [b"1", b"2"]], ids=["nothing", "one", "two"])
def test_in_debug_mode_another_threads_write_is_refused_in_the_channels_own_turn_too(
    kernel_world, in_thread, debug, before
):
    """Without it a write asks no such question there, to be quick."""
    refused = []

    class Careless(Recorder):
        def handle_data(self, data):
            for each in before:
                self.write(each)
            in_thread(elsewhere).join()
            self.write(b"right")

    def elsewhere():
        try:
            channel.write(b"wrong")
        except RuntimeError as error:
            refused.append("call_soon_threadsafe" in str(error))

    loop = kernel_world.loop(debug=debug)
    channel, client = kernel_world.connected(loop, Careless)
    client.send(b"x")
    expected = b"".join(before) + (b"right" if debug else b"wrongright")

    assert kernel_world.read(loop, client, len(expected)) == expected
    assert refused == ([True] if debug else [])


# ---- from outside a handler


def test_what_others_write_goes_out_in_the_same_turn(world):
    loop = world.loop()
    receiver, receivers_client = world.connected(loop, Recorder)

    class Relay(Recorder):
        def handle_data(self, data):
            receiver.write(data)

    _, client = world.connected(loop, Relay)
    client.send(b"over")

    assert world.read(loop, receivers_client, 4) == b"over"


def test_a_stream_without_interest_in_details_needs_no_method(world):
    loop = world.loop()
    channel, client = world.connected(loop, dispatch.Stream)
    client.send(b"ignored")
    client.send(b"!", socket.MSG_OOB)
    client.close()
    world.run(loop, lambda: channel.closed)


def test_a_stream_prints_what_it_is(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)

    assert f"connected {client.getsockname()}" in repr(channel)
    channel.abort()
    assert "closed" in repr(channel)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_both_ends_send_without_nagles_rule(world, family):
    """It keeps what does not fill a segment until the peer acknowledges what went before."""
    loop = world.loop()
    accepted = []
    host = "127.0.0.1" if family == socket.AF_INET else "::1"

    def accept(sock, **options):
        accepted.append(Recorder(sock, **options))
        return accepted[0]

    listener = dispatch.Listener((host, 0), accept, loop=loop)
    client = Recorder(loop=loop)
    client.connect(listener.addr[:2])
    world.run(loop, lambda: client.connected and accepted)
    assert [end.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in (client, accepted[0])] == [1, 1]


def test_a_connection_has_no_dict_before_it_has_attributes_of_its_own(kernel_world):
    """It would cost 64 bytes for each idle connection, and slow down what is put in it later."""

    class Echo(dispatch.Stream):
        def handle_data(self, data):
            self.write(data)

    loop = kernel_world.loop()
    channel, client = kernel_world.connected(loop, Echo)
    client.send(b"x")
    kernel_world.run(loop, lambda: channel.bytes_sent)
    assert not [each for each in gc.get_referents(channel) if type(each) is dict]
