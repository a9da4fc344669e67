"""A report names the line of the target at which a run went another way, which is seldom the one that fails."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

import dispatch
import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.replay import replay
from simnet.explore.report.failure import FailureReport
from simnet.explore.result import SweepResult
from simnet.faults.plan import FaultPlan
from simnet.run import play

LONG = b"a line\n"


def ask(port: int) -> None:
    with socket.create_connection(("server", port)) as sock:
        sock.sendall(LONG)
        assert sock.makefile("rb").read() == LONG.upper()


def swept(test: Callable[[simnet.Network], object], *kinds: str) -> list[FailureReport]:
    result: SweepResult = simnet.sweep(target="server", kinds=list(kinds))(test).simnet_explore()  # type: ignore[attr-defined]
    return result.reports()


def answer(connection: socket.socket) -> None:
    data = connection.recv(100)
    connection.send(data.upper())  # perhaps not all of it


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            connection.settimeout(5)
            with connection:
                answer(connection)


def test_a_cut_send_is_told_with_its_line() -> None:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        ask(7)

    (found,) = swept(test, "partial-send")
    assert found.place.endswith("in ask")
    assert (
        found.line
        == f"test_parts_at.py:{answer.__code__.co_firstlineno + 2} in answer: connection.send(data.upper())  # perhaps not all of it"
    )
    assert found.line in found.text(width=200)


@pytest.mark.parametrize(
    "options",
    [{"plan": "partial-send test->server:7#1 end=server call=1 bytes=1"}, {"shrink": False, "kinds": "partial-send"}],
)
def test_a_plan_that_is_played_alone_or_left_as_it_was_found_is_told_with_its_line(options: dict[str, Any]) -> None:
    """As the call that stands behind `run it`."""

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        ask(7)

    with pytest.raises(AssertionError) as failed:
        simnet.check(test, target="server", **options)
    line = f"line      test_parts_at.py:{answer.__code__.co_firstlineno + 2} in answer: "
    assert any(line in note for note in failed.value.__notes__)


def test_a_line_that_has_read_too_little_is_told_for_bytes_that_came_apart() -> None:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        ask(7)

    lines = [found.line for found in swept(test, "split")]
    assert lines
    assert {line.rpartition(" in ")[2] for line in lines} == {"answer: data = connection.recv(100)"}


def test_what_an_event_loop_has_read_is_told_where_a_line_goes_on_with_it() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(100)
        writer.write(data.upper())
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(handle, port=7) as server:
            await server.serve_forever()

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(asyncio.run, main())
        ask(7)

    lines = [found.line for found in swept(test, "split")]
    assert lines
    assert {line.rpartition(" in ")[2] for line in lines} == {"handle: writer.write(data.upper())"}


class Once(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data.upper())
        self.close()


class Gathers(dispatch.Chat):
    terminator = b"\n"

    def handle_message(self, data: bytes) -> None:
        self.write(data.upper() + b"\n")
        self.close()


@pytest.mark.parametrize(
    ("channel", "kind", "function"),
    [
        pytest.param(Once, "split", "handle_data: def handle_data(self, data: bytes) -> None:", id="stream"),
        pytest.param(Once, "partial-send", "", id="what-it-writes-it-writes-again"),
        pytest.param(Gathers, "split", "", id="chat-knows-where-a-line-ends"),
    ],
)
def test_what_dispatch_has_read_by_itself_is_told_by_its_handler(channel: type, kind: str, function: str) -> None:
    def looped(port: int) -> None:
        with dispatch.Loop() as loop:
            dispatch.Listener(("", port), channel, loop=loop)
            loop.run()

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(looped, 7)
        ask(7)

    reports = swept(test, kind)
    assert {found.line.rpartition(" in ")[2] for found in reports} == ({function} if function else set())


def test_the_line_that_fails_is_told_once() -> None:
    def reads_on(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            while True:
                number = connection.recv(100)[0]
                connection.sendall(bytes([number]))

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(reads_on, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            sock.sendall(b"b")
            assert sock.recv(1) == b"b"
            net.host("server").crash()

    (found, *_) = swept(test, "eof")
    assert found.title.startswith("IndexError")
    assert (found.line, found.source) == ("", "number = connection.recv(100)[0]")


@pytest.mark.slow
def test_a_replay_tells_it_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import socket

        import simnet


        def serve(port):
            listener = socket.create_server(("", port))
            connection, _ = listener.accept()
            connection.settimeout(5)
            connection.send(b"hello")
            connection.close()


        @simnet.sweep(target="server")
        def test_it(net):
            net.host("server").spawn(serve, 7)
            with socket.create_connection(("server", 7)) as sock:
                assert sock.makefile("rb").read() == b"hello"
        """
    )
    result = pytester.runpytest_inprocess("--simnet-fault=partial-send test->server:7#1 end=server call=1 bytes=2")
    result.stdout.fnmatch_lines(['line      test_it.py:10 in serve: connection.send(b"hello")'])


def test_the_run_that_looks_for_the_line_is_heard_no_more_and_stops_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[object] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stopped.append(None))

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        print("asked", file=sys.stderr)
        breakpoint()  # noqa: T100  # as who debugs has it
        ask(7)

    options = SweepOptions.of(target="server")
    baseline = play(test, **options.playing)
    capsys.readouterr()
    stopped.clear()
    plan = FaultPlan.parse("partial-send test->server:7#1 end=server call=1 bytes=1")
    played = replay(test, plan, options=options, baseline=baseline)
    assert played.report is not None
    assert played.report.line
    assert (capsys.readouterr().err, len(stopped)) == ("asked\n", 1)
