"""A coroutine that reads on after the end of the input neither waits nor calls the kernel: it is found by counting."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep

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
