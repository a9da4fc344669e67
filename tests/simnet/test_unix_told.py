"""What is told of Unix streams: in notes, ladders and netstat, of anchors that were not reached, and whom one can wait for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

import simnet
from simnet import FaultPlan
from simnet.explore.keep import movable
from simnet.explore.nearest import unreached_texts
from simnet.explore.report.ladder import ladder
from simnet.faults.paths import spelt
from simnet.points.reading import Points

PATH = "/run/app.sock"
CONNECTION = f"server->server:{PATH}#1"


def serve(name: str | bytes = PATH, after: float = 0.0) -> None:
    if after:
        time.sleep(after)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        while True:
            served, _ = listener.accept()
            with served, contextlib.suppress(OSError):
                while data := served.recv(100):
                    served.sendall(data)


def ask(question: bytes = b"hello", name: str | bytes = PATH) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(name)
        sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(100), b""))


def body(net: Any) -> bytes:
    host = net.host("server")
    host.spawn(serve)
    answer: bytes = host.run(ask)
    return answer


# --- notes -----------------------------------------------------------------------------------------------------------


def test_a_path_that_another_host_listens_on_is_told() -> None:
    with pytest.raises(FileNotFoundError) as missing, simnet.Network() as net:
        net.host("server").spawn(serve)
        ask()
    assert missing.value.__notes__ == [
        f"test asked its own host, and server:{PATH} listened: Unix sockets connect within a host, so do it in a process on server"
    ]


def test_a_path_that_nobody_listens_on_is_told_with_those_that_somebody_does() -> None:
    with pytest.raises(FileNotFoundError) as missing, simnet.Network() as net:
        net.host("server").spawn(serve)
        net.host("server").run(ask, name="/run/other.sock")
    assert missing.value.__notes__[0] == f"nobody listened there; the programs under test listened on server:{PATH}"


def test_a_file_that_is_missing_is_none_of_the_networks_business() -> None:
    with pytest.raises(FileNotFoundError) as missing, simnet.Network():
        open("/nowhere/at/all")  # noqa: SIM115  # it is not opened
    assert not hasattr(missing.value, "__notes__")


@pytest.mark.slow
def test_a_server_that_keeps_a_connection_whose_peer_is_gone_is_told_so() -> None:
    kept = []

    def forgets() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(PATH)
            listener.listen()
            while True:
                kept.append(listener.accept()[0])

    def visit() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(PATH)

    with pytest.raises(AssertionError, match=rf"still holds {CONNECTION} \(hung up\)"), simnet.Network() as net:
        net.host("server").spawn(forgets)
        net.host("server").run(visit)


def test_a_server_on_a_path_may_wait_for_its_next_client_for_ever() -> None:
    with simnet.Network(invariants={"waits-for-ever": "failure"}) as net:
        body(net)


@pytest.mark.slow
def test_a_test_that_takes_one_read_for_all_is_told_so() -> None:
    def test(net: Any) -> None:
        host = net.host("server")
        host.spawn(serve)
        with host.connect(PATH) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"

    with pytest.raises(AssertionError) as failed:
        simnet.check(test, target="server", kinds=["split"])
    assert "the test's last recv brought 1 byte of 5: it returns what has arrived" in "".join(failed.value.__notes__)


# --- ladders, netstat ------------------------------------------------------------------------------------------------


def test_a_ladder_says_which_end_of_a_connection_within_a_host_calls() -> None:
    run = simnet.play(body, FaultPlan.parse(f"short-recv {CONNECTION} end=server call=1 bytes=2"))
    lines = [line.split("  ")[-1].strip() for line in ladder(run.trace, against=simnet.play(body).trace).splitlines()]
    assert f"connect server:{PATH}" in lines
    assert "opener: send b'hello'" in lines
    assert "accept" in lines
    assert "⚡ baseline: b'hello'" in lines
    assert "acceptor: recv b'llo'" in lines


def test_a_ladder_shows_what_befell_a_connect_and_a_byte() -> None:
    def refused(net: Any) -> None:
        net.host("server").spawn(serve)
        with pytest.raises(ConnectionRefusedError):
            net.host("server").run(ask)

    told = ladder(simnet.play(refused, FaultPlan.parse(f"refuse {CONNECTION}")).trace)
    assert f"connect server:{PATH}  ECONNREFUSED" in told
    assert "⚡ refused; baseline: connected" in told
    told = ladder(simnet.play(body, FaultPlan.parse(f"stall {CONNECTION} end=client byte=2 seconds=1")).trace)
    assert "⚡ stalled for 1 s before byte 2" in told


def test_netstat_calls_a_unix_socket_by_its_kind() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(serve)
        (row,) = [row for row in net.netstat() if row.state == "LISTEN"]
        assert (row.proto, row.local, row.peer, row.tag) == ("unix", PATH, "*:*", f"server:{PATH}")


# --- what was not reached --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "nearest"),
    [
        (
            f"short-recv {CONNECTION} end=server call=9 bytes=1",
            f"server called recv on {CONNECTION} 2 times",
        ),
        (
            f"split {CONNECTION} end=client byte=99",
            f"towards the client of {CONNECTION} 5 bytes travelled, so byte is 0 to 5",
        ),
        ("refuse server->server:/run/other.sock#1", f"this run has the connection {CONNECTION}"),
        ("error server:@app accept call=1 errno=EMFILE", f"accept was called on server:{PATH}"),
    ],
)
def test_what_was_reached_instead_is_told(fault: str, nearest: str) -> None:
    run = simnet.play(body, FaultPlan.parse(fault), target="server")
    (told,) = unreached_texts(run.unreached, run.points, run.targets)
    assert told == f"{fault} was never reached: {nearest}"


# --- whom one can wait for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [PATH, "\0app", b"\0app", "./app.sock"])
def test_a_listener_on_a_path_can_be_waited_for(name: str | bytes) -> None:
    with simnet.Network() as net:
        host = net.host("server")
        host.spawn(serve, name, 5.0)
        host.wait_listening(name)
        assert net.time == pytest.approx(5.0, abs=0.01)
        assert host.run(ask, b"there", name) == b"there"
        with pytest.raises(TimeoutError, match=r"nobody listens on server:/run/other\\x20one after 0.01 s"):
            host.wait_listening("/run/other one", timeout=0.01)


@pytest.fixture
def short_path() -> Iterator[str]:
    """A path in a folder of its own: those of pytest's tmp_path may be too long for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/app.sock"


@pytest.mark.slow
def test_so_it_can_on_real_sockets(short_path: str) -> None:
    with simnet.RealNetwork() as net:
        host = net.host("server")
        host.spawn(serve, short_path, 0.05)
        host.wait_listening(short_path)
        assert host.run(ask, b"there", short_path) == b"there"
        with pytest.raises(TimeoutError, match="nobody listens on server:@nobody"):
            host.wait_listening("\0nobody", timeout=0.01)


@pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])
def test_a_host_connects_to_a_path_and_listens_there(network: Any, short_path: str) -> None:
    for name in (short_path, f"\0{short_path}"):
        with network() as net:
            host = net.host("server")
            with host.listen(name) as listener, host.connect(name, timeout=5) as client:
                served, _ = listener.accept()
                with served:
                    client.sendall(b"there")
                    assert served.recv(100) == b"there"


# --- paths that differ from run to run -------------------------------------------------------------------------------

SUITE = """
import socket
import simnet

def serve(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            with listener.accept()[0] as served:
                served.sendall(served.recv(100))

@simnet.sweep(target="server", kinds=["short-recv"])
def test_it(net, tmp_path):
    server = net.host("server")
    server.spawn(serve, str(tmp_path / "s"))
    with server.connect(str(tmp_path / "s")) as sock:
        sock.sendall(b"hello")
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"hello"
"""


@pytest.mark.slow
def test_a_failure_below_tmp_path_is_found_again_below_another(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, short_path: str
) -> None:
    folder = short_path.rpartition("/")[0]
    pytester.makepyfile(SUITE)
    pytester.makefile(".toml", pyproject="")
    monkeypatch.setenv("TMPDIR", folder)
    pytest_on = [sys.executable, "-m", "pytest", "-q"]
    pytester.run(*pytest_on, f"--basetemp={folder}/one")
    (file,) = pytester.path.glob(".simnet/failures/*/*.toml")
    assert 'on = "server->server:*/s#1"' in file.read_text()
    replayed = pytester.run(*pytest_on, f"--simnet-replay={file}", f"--basetemp={folder}/two")
    replayed.stdout.fnmatch_lines(["replay: same failure on another path; ConnectionResetError at *"])


def test_a_path_is_kept_where_a_star_would_mean_two_or_that_every_run_has() -> None:
    points = simnet.play(body).points
    plan = FaultPlan.parse(f"short-recv {CONNECTION} end=server call=1 bytes=1; wake server call=1 keep=1")
    assert movable(plan, points) == plan
    folder = tempfile.gettempdir()
    for places, told in (((f"{folder}/one/s",), "*/s"), ((f"{folder}/one/s", f"{folder}/two/s"), f"{folder}/one/s")):
        moved = Points()
        moved.calls += [points.calls[-1]._replace(place=f"server->server:{spelt(place)}#1") for place in places]
        line = "short-recv server->server:{}#1 end=server call=1 bytes=1"
        plan = FaultPlan.parse(line.format(spelt(places[0])))
        assert movable(plan, moved) == FaultPlan.parse(line.format(told if "*" in told else spelt(told)))


# --- servers of libraries --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_asyncio_server_on_a_path_is_swept() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(100):
                    writer.write(data)
                    await writer.drain()
            except OSError:
                pass
            writer.close()

        async with await asyncio.start_unix_server(answer, PATH) as server:
            await server.serve_forever()

    def test(net: Any) -> None:
        host = net.host("server")
        host.spawn(lambda: asyncio.run(main()))
        host.wait_listening(PATH)
        assert host.run(ask) == b"hello"

    result = simnet.check(test, target="server")
    assert result.equal > 30
    assert not result.unreached
