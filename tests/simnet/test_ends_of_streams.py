"""A coroutine that reads on after the end of the input neither waits nor calls the kernel: it is found by counting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.run import play

NEED = 10


async def _until_all_is_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = b""
    while len(data) < NEED:
        data += await reader.read(NEED - len(data))
    writer.write(data)
    writer.close()


async def _until_a_line_is_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = b""
    while not line.endswith(b"\n"):
        line = await reader.readline()
    writer.write(line)
    writer.close()


async def _serve(talk: Any) -> None:
    await (await asyncio.start_server(talk, port=7)).serve_forever()


@pytest.mark.parametrize("talk", [_until_all_is_there, _until_a_line_is_there])
def test_a_coroutine_that_reads_on_at_the_end_of_the_input_spins(talk: Any) -> None:
    with pytest.raises(simnet.Spin, match=r"server/run read 20,000 times in a row, at 0.00\d000 s, from a stream"):
        with simnet.Network() as net:
            net.host("server").spawn(asyncio.run, _serve(talk))
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"012")


@pytest.mark.slow
def test_a_sweep_tells_of_it_at_the_line_that_reads() -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(asyncio.run, _serve(_until_all_is_there))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"0123456789")
            return sock.makefile("rb").read()

    (failure,) = run_sweep(test, SweepOptions.of(target="server", kinds=["eof"])).failures
    line = _until_all_is_there.__code__.co_firstlineno + 3
    assert (failure.reason, failure.judgement.findings[0].at) == ("no-spin", f"test_ends_of_streams.py:{line}")


async def _with_a_yield(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(await reader.readline())
            await asyncio.sleep(0)
    finally:
        writer.close()


@pytest.mark.slow
def test_one_that_yields_in_between_is_told_by_its_line() -> None:
    line = _with_a_yield.__code__.co_firstlineno + 4
    told = rf"yield and wait for nothing: test_ends_of_streams\.py:{line} in _with_a_yield\. A read that gives b''"
    with pytest.raises(simnet.Spin, match=told), simnet.Network() as net:
        net.host("server").spawn(asyncio.run, _serve(_with_a_yield))
        socket.create_connection(("server", 7)).close()
    gc.collect()  # what asyncio could not close tells of itself here


def test_who_reads_the_end_many_times_and_waits_in_between_does_not_spin() -> None:
    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(30_000):
            await reader.read(1)
            if reader.at_eof() and _ % 500 == 0:
                await asyncio.sleep(0.01)
        writer.close()

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, _serve(patient))
        with socket.create_connection(("server", 7)) as sock:
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""


def test_a_reader_that_has_ended_is_what_it_always_was() -> None:
    seen: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())
        seen.append(reader.at_eof())
        seen.append(" eof" in repr(reader))
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.close()

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, _serve(talk))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"abc")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
    assert seen == [b"abc", True, True]


def test_outside_of_a_run_an_end_is_no_more_than_true() -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.feed_eof()
        assert reader._eof is True  # type: ignore[attr-defined]
        assert await reader.read() == b""

    with simnet.Network():
        pass
    asyncio.run(main())


def _client_of(serve: Callable[[int], None], *read: Any) -> None:
    with simnet.Network(target="server") as net:
        net.host("server").spawn(serve, 7)
        net.host("client").run(*read)


def _hangs_up(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        listener.accept()[0].close()


def _breaks_off(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        connection = listener.accept()[0]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _beats(port: int) -> None:
    """Hangs up, and is busy with something else for a while."""
    with socket.create_server(("", port)) as listener:
        listener.accept()[0].close()
    near, far = socket.socketpair()
    with near, far:
        for _ in range(3_000):
            near.sendall(b"beat")
            far.recv(4)
            time.sleep(0.001)


async def _each_with_a_time_out(reader: asyncio.StreamReader) -> None:
    while True:
        async with asyncio.timeout(5):
            await reader.read(100)


async def _each_in_wait_for(reader: asyncio.StreamReader) -> None:
    while True:
        await asyncio.wait_for(reader.readline(), 5)


async def _until_there_is_more(reader: asyncio.StreamReader) -> None:
    await reader.read()
    while reader.at_eof():
        time.monotonic()


async def _whatever_comes(reader: asyncio.StreamReader) -> None:
    while True:
        try:
            await reader.readline()
        except ConnectionError:
            time.monotonic()  # as a log does


async def _whatever_comes_in_time(reader: asyncio.StreamReader) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.readline(), 5)


async def _now_and_then(reader: asyncio.StreamReader) -> None:
    for each in range(12_000):
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        if each % 1_000 == 0:
            time.sleep(0.001)  # noqa: ASYNC251 -- it blocks its loop, and is no busy loop


async def _with(read: Any) -> None:
    reader, writer = await asyncio.open_connection("server", 7)
    try:
        await read(reader)
    finally:
        writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("serve", [_hangs_up, _beats])
@pytest.mark.parametrize("read", [_each_with_a_time_out, _each_in_wait_for, _until_there_is_more])
def test_a_time_out_around_each_read_is_no_wait(serve: Any, read: Any) -> None:
    """On Python 3.12 and later wait_for of what is there already does not yield."""
    told = r"client/run read [25]0,000 times in a row, at \d.\d+ s, from a stream whose input has ended"
    with pytest.raises(simnet.Spin, match=told):
        _client_of(serve, asyncio.run, _with(read))


@pytest.mark.parametrize("read", [_whatever_comes, _whatever_comes_in_time])
def test_a_coroutine_that_reads_on_when_its_connection_has_failed_spins(read: Any) -> None:
    told = r"went on 5,000 times in a row, at \d.\d+ s, with a stream that has failed \(ConnectionResetError\), and did nothing else"
    with pytest.raises(simnet.Spin, match=told):
        _client_of(_breaks_off, asyncio.run, _with(read))


async def _sends(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            writer.write(b"more")
            await writer.drain()


@pytest.mark.slow
def test_nor_does_it_send_on_then(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection("server", 7)
        try:
            await _sends(reader, writer)
        finally:
            writer.close()

    with pytest.raises(simnet.Spin, match=r"went on 5,000 times in a row, .* with a stream that has failed"):
        _client_of(_breaks_off, asyncio.run, main())
    assert {record.message for record in caplog.records} <= {"socket.send() raised exception."}


def test_who_tries_a_thousand_times_in_vain_and_then_stops_does_not_spin() -> None:
    async def counts(reader: asyncio.StreamReader) -> None:
        failed = 0
        while failed < 4_000:
            try:
                await reader.readexactly(1)
            except ConnectionError as error:
                failed += 1
                frames = len(list(traceback.walk_tb(error.__traceback__)))
                assert frames < 100  # or who logs each would log a longer one each time

    _client_of(_breaks_off, asyncio.run, _with(counts))


@pytest.mark.slow
def test_who_reads_the_lines_that_are_left_and_asks_before_each_whether_it_is_over_does_not_spin() -> None:
    def sends_numbers(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"1\n" * 60_000)

    async def sums_up(reader: asyncio.StreamReader) -> None:
        await asyncio.sleep(1)
        total = 0
        while not reader.at_eof():
            total += int(await asyncio.wait_for(reader.readline(), 5))
        assert total == 60_000

    _client_of(sends_numbers, asyncio.run, _with(sums_up))


def test_who_waits_in_between_does_not_spin_however_it_waits() -> None:
    _client_of(_breaks_off, asyncio.run, _with(_now_and_then))


def test_a_stream_that_has_failed_is_what_it_always_was() -> None:
    class Reader(asyncio.StreamReader):
        pass

    async def talk(reader: asyncio.StreamReader) -> None:
        before, error = (type(reader).__name__, repr(reader)), ConnectionResetError("gone")
        reader.set_exception(error)
        reader.set_exception(error)
        assert isinstance(reader, asyncio.StreamReader)
        assert (type(reader).__name__, type(reader).__qualname__) == (before[0], type(reader).__mro__[1].__qualname__)
        assert repr(reader) == f"{before[1][:-1]} exception={error!r}>"
        assert reader.exception() is error
        with pytest.raises(ConnectionResetError, match="gone"):
            await reader.readexactly(1)

    async def main() -> None:
        await talk(asyncio.StreamReader())
        await talk(Reader())

    with simnet.Network() as net:
        net.host("a").run(asyncio.run, main())
    reader = asyncio.StreamReader(loop=asyncio.new_event_loop())
    reader.set_exception(OSError())
    assert type(reader) is asyncio.StreamReader
    reader._loop.close()  # type: ignore[attr-defined]


def _reads_and_looks() -> None:
    with socket.create_connection(("server", 7)) as sock:
        while True:
            sock.recv(100)
            time.monotonic()


@pytest.mark.slow
def test_a_socket_that_is_read_at_its_end_between_looks_at_a_clock_is_told_after_a_second() -> None:
    told = r"_reads_and_looks read \d\d,\d+ times in a row, at 1.00\d000 s, from client->server:7#1, whose input has ended, and did"
    with pytest.raises(simnet.Spin, match=told):
        _client_of(_hangs_up, _reads_and_looks)


@pytest.mark.slow
def test_where_no_spin_is_off_it_reads_on_and_all_others_do_too() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(_hangs_up, 7)
        net.host("client").spawn(_reads_and_looks)
        time.sleep(3600)
        net.observe("it is", time.monotonic())

    run = play(test, target="client", invariants={"no-spin": "warning"})
    assert [name for name, _ in run.outcome.observed] == ["it is"]
    assert [verdict.name for verdict in run.verdicts].count("no-spin") == 1
