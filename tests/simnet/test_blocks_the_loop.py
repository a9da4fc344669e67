"""Who sleeps, or waits for a blocking socket, in a coroutine or a handler keeps its whole loop from going on: a warning, with the line."""

from __future__ import annotations

import asyncio
import re
import socket
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import dispatch
import dispatch.asyncore
import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


async def serve(nap: float) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            time.sleep(nap)  # noqa: ASYNC251  # that is the mistake
            writer.write((await reader.read()).upper())
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(shout, port=7) as server:
        await server.serve_forever()


def body(net: Any, nap: float = 2) -> None:
    net.host("server").spawn(asyncio.run, serve(nap))
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"HELLO"


def sweep(**options: Any) -> Any:
    return run_sweep(body, SweepOptions.of(target="server", kinds="split", **options))


def test_a_target_that_sleeps_in_its_loop_is_warned_of_once_with_the_line() -> None:
    result = sweep()
    assert result.ok
    (warned,) = result.warnings
    assert (warned.name, warned.count) == ("blocks-the-loop", 1)
    assert re.search(
        r"server/run slept for 2 s in its event loop, at test_blocks_the_loop.py:\d+ in shout", warned.text
    )


def test_it_can_be_made_a_failure_or_turned_off() -> None:
    assert not sweep(invariants={"blocks-the-loop": "off: a test of ours"}).warnings
    (failure,) = sweep(invariants={"blocks-the-loop": "failure"}).failures
    assert failure.reason == "blocks-the-loop"
    assert "await asyncio.sleep" in failure.finding.message


def test_a_network_of_ones_own_warns_too() -> None:
    with pytest.warns(RuntimeWarning, match=r"\[blocks-the-loop\] server/run slept for 2 s"), simnet.Network() as net:
        body(net)


def test_who_lets_others_run_or_has_no_loop_or_is_no_target_may_sleep() -> None:
    async def sleeps() -> None:
        time.sleep(1)  # noqa: ASYNC251

    with warnings.catch_warnings(), simnet.Network(target="server") as net:
        warnings.simplefilter("error")
        body(net, 0)
        net.host("server").run(time.sleep, 1)
        net.host("server").run(asyncio.run, asyncio.sleep(1))
        net.host("support").run(asyncio.run, sleeps())
        asyncio.run(sleeps())


# --- blocking sockets ------------------------------------------------------------------------------------------------


def look_up() -> bytes:
    """What a database's client does that was not made for event loops."""
    with socket.create_connection(("store", 9)) as sock:
        sock.sendall(b"?")
        return sock.recv(100)


def store() -> None:
    with socket.create_server(("", 9)) as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100) + b"!")


def ask(net: Any) -> None:
    net.host("store").spawn(store)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"?!"


def warned_of(net: simnet.Network) -> list[str]:
    return [verdict.message for verdict in net.verdicts if verdict.name == "blocks-the-loop"]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(look_up())
    writer.close()


async def serve_with(answerer: Any) -> None:
    async with await asyncio.start_server(answerer, port=7) as server:
        await server.serve_forever()


class Answers(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(look_up())


class AnswersAsEver(dispatch.asyncore.dispatcher):
    def handle_read(self) -> None:
        self.recv(100)
        self.send(look_up())


class Door(dispatch.asyncore.dispatcher):
    def __init__(self) -> None:
        super().__init__()
        self.create_socket()
        self.bind(("", 7))
        self.listen(5)

    def handle_accepted(self, sock: Any, address: Any) -> None:
        AnswersAsEver(sock)


def modern() -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", 7), Answers, loop=loop)
        loop.run()


def as_ever() -> None:
    Door()
    dispatch.asyncore.loop()


def by_asyncio() -> None:
    asyncio.run(serve_with(answer))


@pytest.mark.parametrize(
    ("server", "where", "remedy"),
    [
        (by_asyncio, "in answer", "`await asyncio.to_thread(...)`"),
        (modern, "in handle_data", "A channel of the loop's own"),
        (as_ever, "in handle_read", "A channel of the loop's own"),
    ],
)
def test_a_blocking_call_that_waits_is_warned_of_in_each_kind_of_loop(server: Any, where: str, remedy: str) -> None:
    with warnings.catch_warnings(), simnet.Network() as net:
        warnings.simplefilter("ignore")
        net.host("server").spawn(server)
        ask(net)
    (message,) = warned_of(net)
    assert message.startswith(f"server/{server.__name__} waited for connect() in its event loop, at ")
    assert where in message or "in look_up" in message
    assert remedy in message


def test_a_recv_on_a_connection_that_is_there_is_warned_of_like_a_connect() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        sock.sendall(b"?")
        writer.write(sock.recv(100))
        sock.close()
        writer.close()

    def server() -> None:
        nonlocal sock
        sock = socket.create_connection(("store", 9))  # a client that is made before the loop
        asyncio.run(serve_with(answers))

    sock: Any = None
    with warnings.catch_warnings(), simnet.Network() as net:
        warnings.simplefilter("ignore")
        net.host("store").spawn(store)
        net.host("server").spawn(server)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"?!"
    (message,) = warned_of(net)
    assert "waited for recv() in its event loop" in message


def test_a_coroutine_that_waits_for_a_thread_is_warned_of() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        with ThreadPoolExecutor() as pool:
            writer.write(pool.submit(look_up).result())
        writer.close()

    with warnings.catch_warnings(), simnet.Network() as net:
        warnings.simplefilter("ignore")
        net.host("server").spawn(asyncio.run, serve_with(answers))
        ask(net)
    (message,) = warned_of(net)
    assert "waited for a thread in its event loop, at test_blocks_the_loop.py:" in message
    assert " in answers: " in message


def test_one_that_awaits_it_is_not() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(await asyncio.to_thread(look_up))
        writer.close()

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, serve_with(answers))
        ask(net)
    assert not warned_of(net)


def test_a_program_that_blocks_before_and_after_its_loop_is_not_meant() -> None:
    def server() -> None:
        look_up()
        with dispatch.Loop() as loop:
            dispatch.Listener(("", 7), Stops, loop=loop)
            loop.run()
        look_up()

    class Stops(dispatch.Stream):
        def handle_data(self, data: bytes) -> None:
            self.write(data + b"!")
            self.close()
            self.loop.stop()

    with simnet.Network() as net:
        net.host("store").spawn(store)
        process = net.host("server").spawn(server)
        net.run(1)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"?")
            assert sock.recv(100) == b"?!"
        process.join()
    assert not warned_of(net)


def test_a_call_that_need_not_wait_and_one_of_the_loops_own_do_not_count() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(await reader.read(100))
            writer.write(theirs.recv(100))
        writer.close()

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, serve_with(answers))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
    assert not warned_of(net)
