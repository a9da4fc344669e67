"""A loop that never waits is met at any of its lines: it is told at one, so that it is one bug."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import FrameType, TracebackType

import pytest

import simnet
from simnet import watchdog
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.roundabout import Look, at_loop, going_round, look_at

Met = Callable[[], object]


def here() -> FrameType:
    return sys._getframe(1)


def parse(met: Met) -> None:
    rest = b"no end of line"
    while rest:
        rest = rest.partition(b"\n")[0]
        met()
        rest = strip(rest, met)
        met()
        if not rest:
            met()


def strip(data: bytes, met: Met) -> bytes:
    met()
    return data.strip(b"\n")


def in_a_loop_of_loops(met: Met) -> None:
    for _ in range(3):
        for _ in range(3):
            met()
        met()


LOOPS = [
    pytest.param(parse, 2, id="which calls another function"),
    pytest.param(in_a_loop_of_loops, 1, id="which has another in it"),
]


@pytest.mark.parametrize(("computes", "line"), LOOPS)
def test_wherever_in_its_loop_a_program_is_met_it_stands_at_the_first_line(
    computes: Callable[[Met], None], line: int
) -> None:
    looks: list[Look] = []

    def met() -> None:
        looks.append(look_at(here().f_back))
        if len(looks) > 6:
            raise LookupError

    try:
        computes(met)
    except LookupError as error:
        loop = going_round(looks)
        assert loop is not None
        assert (loop.code, loop.line) == (computes.__code__, computes.__code__.co_firstlineno + line)
        step = at_loop(error.__traceback__, loop)
        assert isinstance(step, TracebackType)
        while step.tb_next is not None:
            step = step.tb_next
        assert (step.tb_frame.f_code, step.tb_lineno) == (computes.__code__, loop.line)


def test_without_a_loop_of_the_users_there_is_none_to_tell() -> None:
    assert going_round([look_at(here())]) is None
    assert going_round([look_at(None)] * 2) is None


@pytest.mark.slow
def test_a_loop_of_several_lines_is_one_failure_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 1.0)
    monkeypatch.setattr(watchdog, "AGAIN_SECONDS", 0.25)

    def lines_of(data: bytes) -> list[bytes]:
        lines = []
        while data:
            end = data.find(b"\n")
            if end >= 0:
                lines.append(data[:end])
            data = data[end + 1 :] if end >= 0 else data
        return lines

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            sock.sendall(b"".join(lines_of(sock.recv(100))))

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        with net.host("client").connect(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            sock.recv(100)

    result = run_sweep(test, SweepOptions(kinds=("split",), target=("server",)))
    (failure,) = result.failures
    assert failure.count == 5
    assert failure.key[-1] == f"test_roundabout.py:{lines_of.__code__.co_firstlineno + 2}"
