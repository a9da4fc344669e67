"""What waits for a peer that does not read stays bounded, or the run says who goes on writing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import weakref
from collections import deque
from typing import Any

import pytest

import dispatch
import simnet
from simnet.unsent import Counted
from tests.certificates import contexts

PIECE = b"x" * 8192


def sends_without_reading(net: simnet.Network, pieces: int) -> socket.socket:
    """A client that asks and asks while the server listens, and takes no answer."""
    sock = socket.create_connection(("server", 7))
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(pieces):
            sock.send(PIECE)
            net.run(0.01)
    return sock


class Talks(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Listens(Talks):
    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


async def of_protocols(protocol: Any) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, port=7)
    async with server:
        await server.serve_forever()


async def of_streams(drains: bool) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            if drains:
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, port=7) as server:
        await server.serve_forever()


class Relay(dispatch.Stream):
    """Says to all what one says, as a room does."""

    everybody: list[Relay] = []  # noqa: RUF012
    patient = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.everybody.append(self)

    def handle_data(self, data: bytes) -> None:
        for each in self.everybody:
            if each is not self and not (self.patient and each.queued > each.high_water):
                each.write(data)

    def handle_close(self, reason: object) -> None:
        self.everybody.remove(self)


class PatientRelay(Relay):
    everybody: list[Relay] = []  # noqa: RUF012
    patient = True


def room(kind: type[Relay]) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", 7), kind, loop=loop)
        loop.run()


def is_served_by(serve: Any, *argument: Any) -> None:
    with simnet.Network(target="server") as net:
        net.host("server").spawn(serve, *argument)
        sends_without_reading(net, 1000).close()


def by_asyncio(serve: Any, argument: Any) -> None:
    asyncio.run(serve(argument))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "argument", "at", "remedy"),
    [
        (of_protocols, Talks, "in data_received", "`pause_writing`"),
        (of_streams, False, "in echo", "`await writer.drain()`"),
    ],
)
def test_who_writes_on_to_a_transport_that_is_full_is_told_where(
    serve: Any, argument: Any, at: str, remedy: str
) -> None:
    with pytest.raises(AssertionError, match="bounded-buffers") as broken:
        is_served_by(by_asyncio, serve, argument)
    message = str(broken.value)
    assert "server/by_asyncio goes on writing to test->server:7#1 (server), at test_bounded_buffers.py:" in message
    assert at in message
    assert remedy in message
    assert "65,536 are the high-water mark" in message


@pytest.mark.parametrize(("serve", "argument"), [(of_protocols, Listens), (of_streams, True)])
def test_who_stops_until_there_is_room_is_not(serve: Any, argument: Any) -> None:
    is_served_by(by_asyncio, serve, argument)


def meets_in(kind: type[Relay], **options: Any) -> None:
    with simnet.Network(target="server", **options) as net:
        net.host("server").spawn(room, kind)
        net.run(0.01)
        with socket.create_connection(("server", 7)):
            sends_without_reading(net, 1000).close()


def test_a_stream_that_others_write_to_may_be_too_full_too() -> None:
    with pytest.raises(AssertionError, match=r"bounded-buffers.* in handle_data.*`handle_drained`"):
        meets_in(Relay)


@pytest.mark.slow
@pytest.mark.parametrize("drains", [True, False])
def test_so_is_who_writes_on_over_tls(drains: bool) -> None:
    inside, outside = contexts("server")

    async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            writer.write(PIECE)
            await (writer.drain() if drains else asyncio.sleep(0.01))
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(feed, port=7, ssl=inside) as server:
            await server.serve_forever()

    telling = contextlib.nullcontext() if drains else pytest.raises(AssertionError, match="bounded-buffers")
    with telling as broken, simnet.Network(target="server") as net:
        net.host("server").spawn(lambda: asyncio.run(serve()))
        with socket.create_connection(("server", 7)) as sock, outside.wrap_socket(sock, server_hostname="server"):
            net.run(20)
    if broken is not None:
        assert "goes on writing to test->server:7#1 (server), at test_bounded_buffers.py:" in str(broken.value)
        assert "524,288 are the high-water mark. `await writer.drain()`" in str(broken.value)


@pytest.mark.slow
def test_who_writes_over_tls_to_a_connection_that_was_lost_while_it_was_full_is_told_nothing() -> None:
    inside, outside = contexts("server")
    written: list[bytes] = []

    async def feed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)  # 0 bytes are too many already
        writer.transport.abort()
        await asyncio.sleep(1)
        writer.write(PIECE)  # into the air, as on a kernel
        written.append(PIECE)

    async def serve() -> None:
        async with await asyncio.start_server(feed, port=7, ssl=inside) as server:
            await server.serve_forever()

    with simnet.Network(target="server") as net:
        net.host("server").spawn(lambda: asyncio.run(serve()))
        with socket.create_connection(("server", 7)) as sock, outside.wrap_socket(sock, server_hostname="server"):
            net.run(3)
    assert written


def hall(asyncore: Any, asynchat: Any, kind: str, patient: bool) -> None:
    """A room of asyncore's: each says to all others what it hears."""
    everybody: list[Any] = []

    class Chatter(asynchat.async_chat):  # type: ignore[misc]
        def __init__(self, sock: Any) -> None:
            super().__init__(sock)
            self.set_terminator(1024)
            everybody.append(self)

        def collect_incoming_data(self, data: bytes) -> None:
            for each in everybody:
                if each is not self and not (patient and len(each.producer_fifo) > 10):
                    each.push(data)

        def found_terminator(self) -> None:
            """It has been passed on."""

        def handle_close(self) -> None:
            everybody.remove(self)
            self.close()

    class Sender(asyncore.dispatcher_with_send):  # type: ignore[misc]
        def __init__(self, sock: Any) -> None:
            super().__init__(sock)
            everybody.append(self)

        def handle_read(self) -> None:
            data = self.recv(8192)
            for each in everybody:
                if each is not self and not (patient and len(each.out_buffer) > 20_000):
                    each.send(data)

        def handle_close(self) -> None:
            everybody.remove(self)
            self.close()

    class Server(asyncore.dispatcher):  # type: ignore[misc]
        def handle_accepted(self, sock: socket.socket, address: Any) -> None:
            {"chat": Chatter, "with_send": Sender}[kind](sock)

    server = Server()
    server.create_socket()
    server.bind(("", 7))
    server.listen(5)
    asyncore.loop()


@pytest.mark.slow
@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("kind", ["chat", "with_send"])
@pytest.mark.parametrize("package", ["dispatch.", ""])
def test_so_are_asyncores_channels_which_have_no_mark(package: str, kind: str, patient: bool) -> None:
    asyncore = pytest.importorskip(f"{package}asyncore")
    asynchat = pytest.importorskip(f"{package}asynchat")
    telling = contextlib.nullcontext() if patient else pytest.raises(AssertionError, match="bounded-buffers")
    with telling as broken, simnet.Network(target="server") as net:
        net.host("server").spawn(hall, asyncore, asynchat, kind, patient)
        net.run(0.01)
        with socket.create_connection(("server", 7)):
            sends_without_reading(net, 1000).close()
    if broken is not None:
        where = "collect_incoming_data" if kind == "chat" else "handle_read"
        assert "goes on writing to test->server:7#1 (server), at test_bounded_buffers.py:" in str(broken.value)
        assert f" in {where}, though its peer does not read" in str(broken.value)
        assert "65,536 are the high-water mark. Look at what waits before each push" in str(broken.value)


def test_one_that_leaves_out_who_does_not_read_is_all_right() -> None:
    meets_in(PatientRelay)


def test_who_means_it_says_why() -> None:
    meets_in(Relay, invariants={"bounded-buffers": "off: rooms are small"})


def test_one_long_answer_is_nobodys_fault() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        for _ in range(500):
            writer.write(PIECE * 4)
        for _ in range(30):
            await asyncio.sleep(1)
            writer.write(b"and still here")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(answer, port=7) as server:
            await server.serve_forever()

    with simnet.Network(target="server") as net:
        net.host("server").spawn(asyncio.run, serve())
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"?")
            net.run(40)


def test_what_waits_in_a_queue_is_counted_on_from_what_was_counted_last() -> None:
    """Anew when its first piece is another, or pieces are fewer; a producer, and the end, have no length."""
    counted, queue = Counted(), deque([b"four"])
    assert counted.bytes_in(queue) == 4
    queue += [b"three", object(), bytearray(2), None]
    assert counted.bytes_in(queue) == 11
    queue.popleft()
    queue.append(memoryview(b"more"))
    assert counted.bytes_in(queue) == 11, "four have gone, and four come"
    queue[0] = first = b"x" * 100
    assert counted.bytes_in(queue) == 106
    del queue[2], queue[2]
    assert (counted.bytes_in(queue), queue[0]) == (104, first)
    queue.clear()
    assert counted.bytes_in(queue) == 0


def test_so_it_is_where_the_same_piece_stands_in_it_again_and_again() -> None:
    same = b"x" * 100
    counted, queue = Counted(), deque([same, same])
    assert counted.bytes_in(queue) == 200
    queue.popleft()
    queue.append(b"y")
    assert counted.bytes_in(queue) == 101


def test_a_producer_goes_when_the_program_lets_it_go() -> None:
    class Producer:
        """It may know its channel, whose socket would stay open."""

    producer = Producer()
    gone = weakref.ref(producer)
    counted, queue = Counted(), deque([producer])
    counted.bytes_in(queue)
    queue.clear()
    del producer
    assert gone() is None


def test_what_stays_in_the_place_of_send_is_not_named_in_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    asyncore = importlib.import_module("dispatch.asyncore")

    class Sends(asyncore.dispatcher_with_send):  # type: ignore[misc]
        def handle_write(self) -> None:
            self.send(None)

    with simnet.Network() as net, net.host("server").listen(7):
        channel = Sends()
        channel.create_socket()
        channel.connect(("server", 7))
        asyncore.loop(timeout=1, count=3)
    told = capsys.readouterr().out
    assert "dispatch/asyncore.py|send|" in told
    assert "unsent.py" not in told
