"""A host under test that has been renamed since a failure was kept: a replay says which name the failure has now."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.replay import NOT_REACHED, OnRecord, Replayed, replay
from simnet.faults.plan import FaultPlan
from simnet.scenario import Found

HALF = FaultPlan.parse("short-recv test->server:7#1 end=server call=1 bytes=1")
RECORD = OnRecord(found=Found(by="sweep", failure="ValueError at test_renamed.py:1"))


def takes_one_read(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as sock:
        _, name = sock.recv(100).split()
        sock.sendall(name)


def reads_the_line(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as sock, sock.makefile("rb") as lines:
        _, name = lines.readline().split()
        sock.sendall(name)


def replayed(name: str, serve: Callable[[int], None]) -> Replayed:
    def test(net: Any) -> bytes:
        net.host(name).spawn(serve, 7)
        net.host("other").spawn(lambda: None)
        with socket.create_connection((name, 7)) as sock:
            sock.sendall(b"I you\n")
            with suppress(OSError):
                return sock.recv(100)
        return b""

    return replay(test, HALF, options=SweepOptions.of(target="server"), record=RECORD)


def test_the_new_name_is_told_where_the_failure_is_there_under_it() -> None:
    played = replayed("api", takes_one_read)
    assert (played.word, played.says_nothing) == (NOT_REACHED, True)
    *_, last = played.why.splitlines()
    assert last.startswith('With target = ["api"], on = "test->api:7#1" the failure on record is there, ValueError at ')
    assert last.endswith(": that host has another name now.")
    assert str(played.moved_to) == str(HALF).replace("server:", "api:")


def test_none_is_told_where_it_is_not() -> None:
    played = replayed("api", reads_the_line)
    assert (played.word, played.says_nothing) == (NOT_REACHED, True)
    assert "has another name" not in played.why
    assert played.moved_to is None


def test_nor_where_the_host_is_there() -> None:
    assert "has another name" not in replayed("server", reads_the_line).why
