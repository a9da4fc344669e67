"""What a plan does to connections of records (SOCK_SEQPACKET): their calls, connects and accepts; no record is ever cut."""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Any

import pytest

import simnet
from simnet.faults.rates import FaultRates
from simnet.realnet import play_real

PATH = "/run/records.sock"
CONNECTION = f"server->server:{PATH}#1"


def open_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def serve(path: str = PATH) -> None:
    """Gives back each record; what one connection says is its own affair."""
    with open_socket() as listener, select.epoll() as epoll:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        epoll.register(listener)
        conns: dict[int, socket.socket] = {}
        while True:
            for fd, _ in epoll.poll():
                try:
                    if fd == listener.fileno():
                        conn, _ = listener.accept()
                        conn.setblocking(False)
                        conns[conn.fileno()] = conn
                        epoll.register(conn, select.EPOLLIN)
                        continue
                    if record := conns[fd].recv(100):
                        conns[fd].setblocking(True)  # for an answer there is room, sooner or later
                        conns[fd].send(record.upper())
                        conns[fd].setblocking(False)
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                if fd in conns:
                    conns.pop(fd).close()


def talk(net: Any, path: str = PATH) -> Any:
    """Each answer, or the word for what came instead."""
    net.host("server").spawn(serve, path)
    answers: list[Any] = []
    with net.host("server").socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.settimeout(5)
            sock.connect(path)
            for record in (b"one", b"two"):
                sock.send(record)
                answers.append(sock.recv(100))
        except OSError as error:
            answers.append(errno.errorcode.get(error.errno or 0, "timed out"))
    return answers


def told(line: str) -> Any:
    run = simnet.play(talk, line, target="server")
    assert (run.unreached, run.verdicts, run.failures) == ((), [], [])
    assert simnet.play(talk, run.happened, target="server").digest == run.digest
    return run.outcome.returned


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("", [b"ONE", b"TWO"]),
        (f"would-block server:{PATH} accept call=1", [b"ONE", b"TWO"]),
        (f"would-block {CONNECTION} recv end=server call=1", [b"ONE", b"TWO"]),
        (f"error server:{PATH} accept call=1 errno=EMFILE", [b"ONE", b"TWO"]),
        (f"error {CONNECTION} recv end=server call=2 errno=ENOBUFS", [b"ONE", "ECONNRESET"]),
        (f"error {CONNECTION} send end=server call=1 errno=ENOBUFS", [b""]),
        (f"refuse {CONNECTION}", ["ECONNREFUSED"]),
        (f"reset {CONNECTION} recv end=server call=2", [b"ONE", "ECONNRESET"]),
        (f"reset {CONNECTION} send end=server call=1 when=after", ["ECONNRESET"]),
        (f"reset-before-accept server:{PATH} call=1", ["ECONNRESET"]),
    ],
)
def test_a_connection_of_records_meets_what_a_plan_says(line: str, answers: list[Any]) -> None:
    if line.startswith("error") and "send" in line:
        assert told(line)[:1] == answers
    else:
        assert told(line) == answers


@pytest.mark.parametrize(
    "line",
    [
        "would-block server:{} accept call=1",
        "would-block server->server:{}#1 recv end=server call=1",
        "error server->server:{}#1 recv end=server call=2 errno=ENOBUFS",
        "error server->server:{}#1 send end=server call=1 errno=ENOBUFS",
        "refuse server->server:{}#1",
    ],
)
def test_real_sockets_show_the_same(line: str) -> None:
    name = f"records-{os.getpid()}"  # an abstract one: no file, and nobody else's
    played = [
        play(lambda net: talk(net, f"\0{name}"), line.format(f"@{name}"), target="server")
        for play in (simnet.play, play_real)
    ]
    assert [run.unreached for run in played] == [(), ()]
    assert played[0].outcome.returned == played[1].outcome.returned


@pytest.mark.parametrize(
    "fault",
    [
        "short-recv {} recv end=server call=1 bytes=1",
        "partial-send {} end=server call=1 bytes=1",
        "eof {} end=server byte=1",
    ],
)
def test_no_record_is_cut(fault: str) -> None:
    line = fault.format(CONNECTION).replace(" recv end", " end")
    run = simnet.play(talk, line, target="server")
    assert (run.outcome.returned, len(run.unreached)) == ([b"ONE", b"TWO"], 1)


def test_a_sweep_tries_its_calls_and_nothing_that_would_cut_a_record() -> None:
    result = simnet.check(talk, target="server")
    assert {row.kind for row in result.kinds if row.variants} == {
        "would-block", "reset", "refuse", "reset-before-accept", "error"
    }  # fmt: skip
    assert result.interrupted == 0


def test_a_server_that_takes_every_wake_up_for_a_record_is_found() -> None:
    def hasty() -> None:
        with open_socket() as listener, select.epoll() as epoll:
            listener.bind(PATH)
            listener.listen()
            conn, _ = listener.accept()
            with conn:
                conn.setblocking(False)
                epoll.register(conn, select.EPOLLIN)
                while epoll.poll() and (record := conn.recv(100)):
                    conn.send(record.upper())

    def body(net: simnet.Network) -> None:
        net.host("server").spawn(hasty)
        with net.host("server").socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(PATH)
            sock.send(b"one")
            assert sock.recv(100) == b"ONE"

    with pytest.raises(BlockingIOError):
        simnet.check(body, target="server", kinds="would-block", first=True)


@pytest.mark.slow
def test_a_server_that_keeps_what_its_peer_has_closed_is_told() -> None:
    def keeps() -> None:
        with open_socket() as listener:
            listener.bind(PATH)
            listener.listen()
            conn, _ = listener.accept()
            while True:
                conn.recv(100)
                listener.accept()

    def body(net: simnet.Network) -> None:
        net.host("server").spawn(keeps)
        with net.host("server").socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(PATH)

    with pytest.raises(AssertionError, match=r"nothing-left.*whose peer is gone"), simnet.Network() as net:
        body(net)


def test_dice_cut_no_record_and_the_plan_that_happened_plays_again() -> None:
    kinds = set()
    for seed in range(30):
        run = simnet.play(talk, target="server", rates=FaultRates.even(0.3, simnet.faults.ALL, seed=seed))
        kinds |= {fault.kind for fault in run.happened}
        assert simnet.play(talk, run.happened, target="server").digest == run.digest
    assert {"would-block", "error", "reset"} <= kinds
    assert not kinds & {"short-recv", "partial-send", "split", "coalesce", "stall", "eof", "urgent"}
