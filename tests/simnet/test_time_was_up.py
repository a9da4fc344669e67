"""A program that ends because a time of its own is up has not been ended by the fault that made the test wait so long."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.judging.verdict import judge
from simnet.run import play

PORT = 7


def answer(sock: socket.socket) -> None:
    try:
        with sock:
            sock.sendall(sock.recv(100))
    except OSError:
        pass


def of_asyncio(net: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.read(100))
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def main() -> None:
        async with await asyncio.start_server(talk, host="0.0.0.0", port=PORT):
            await asyncio.sleep(3600)

    net.host("server").spawn(asyncio.run, main())


def of_processes(net: Any) -> None:
    def worker(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            answer(sock)

    def main() -> None:
        with socket.create_server(("", PORT)) as listener:
            net.host("server").spawn(worker, listener)
            time.sleep(3600)

    net.host("server").spawn(main)


def of_one_that_ends_by_a_clients_silence(net: Any) -> None:
    def main() -> None:
        with socket.create_server(("", PORT)) as listener:
            while True:
                try:
                    with listener.accept()[0] as sock:
                        sock.settimeout(30)
                        sock.sendall(sock.recv(100))
                except TimeoutError:
                    return
                except OSError:
                    continue

    net.host("server").spawn(main)


def reasons(serve: Callable[[Any], None], fault: str) -> list[str]:
    def test(net: Any) -> bytes:
        serve(net)
        with socket.create_connection(("server", PORT)) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    baseline, run = (play(test, plan, target="server") for plan in (None, fault))
    judgement = judge(baseline, run)
    return [each.reason for each in judgement.findings if each.level == "failure"]


@pytest.mark.parametrize("serve", [of_asyncio, of_processes])
def test_a_main_that_sleeps_for_an_hour_and_ends_then_has_survived(serve: Callable[[Any], None]) -> None:
    assert reasons(serve, "error test->server:7#1 end=server recv call=1 errno=ETIMEDOUT") == []


def test_one_that_a_clients_silence_ends_has_not() -> None:
    assert reasons(of_one_that_ends_by_a_clients_silence, "blackhole test->server:7#1 end=server byte=0") == [
        "loop-survives"
    ]
