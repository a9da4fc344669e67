"""A fault whose anchor is never reached: the report says what was, so that a person can mend the anchor."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any

import pytest

from simnet.explore.nearest import unreached_texts
from simnet.faults.plan import FaultPlan
from simnet.run import Run, play


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                conn.recv(10)
                conn.recv(10)
                conn.sendall(b"reply")


def body(net: Any) -> None:
    net.host("server").spawn(serve, 7)
    for _ in range(2):
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a" * 20)
            try:
                sock.recv(10)
            except OSError:
                pass


@pytest.fixture(scope="module")
def told() -> Any:
    def tell(fault: str) -> str:
        run: Run = play(body, FaultPlan.parse(fault), target="server")
        texts = unreached_texts(run.unreached, run.points, run.targets)
        assert len(texts) <= 1
        return texts[0] if texts else ""

    return tell


@pytest.mark.parametrize(
    ("fault", "nearest"),
    [
        pytest.param(
            "short-recv test->server:7#1 end=server call=3 bytes=1",
            "server called recv on test->server:7#1 2 times",
            id="a-call-too-late",
        ),
        pytest.param(
            "short-recv test->server:7#9 end=server call=1 bytes=1",
            "recv was called on test->server:7#1, test->server:7#2",
            id="a-connection-too-many",
        ),
        pytest.param(
            "short-recv test->server:7#1 end=client call=1 bytes=1",
            "test called recv on test->server:7#1 once, but test is no target, and faults act on the calls of targets (server)",
            id="not-a-target",
        ),
        pytest.param(
            "would-block test->server:7#1 end=server recv call=1",
            "server called recv on test->server:7#1 2 times, on a blocking socket, where a kernel waits instead",
            id="a-blocking-socket",
        ),
        pytest.param(
            "split test->server:7#1 end=server byte=99",
            "towards the server of test->server:7#1 20 bytes travelled, so byte is 0 to 20",
            id="a-byte-too-far",
        ),
        pytest.param(
            "split test->server:8#1 end=server byte=1",
            "this run has the connections test->server:7#1, test->server:7#2",
            id="another-port",
        ),
        pytest.param("refuse test->server:7#3", "this run has the connections test->server:7#1, test->server:7#2", id="no-connect"),
        pytest.param("would-block server:9 accept call=1", "accept was called on server:7", id="another-listener"),
        pytest.param("wake server call=1 first=1", "no poll found anything ready", id="no-poll"),
    ],
)  # fmt: skip
def test_what_was_reached_is_told(told: Any, fault: str, nearest: str) -> None:
    assert told(fault) == f"{FaultPlan.parse(fault)} was never reached: {nearest}"


def test_a_fault_that_acted_is_not_among_them(told: Any) -> None:
    assert told("short-recv test->server:7#2 end=server call=1 bytes=1") == ""


def test_where_a_connection_was_made_and_nothing_was_said_it_is_not_told_as_if_it_were_another() -> None:
    """An earlier fault of the plan may have taken what the later one waits for."""
    plan = "reset test->server:7#1 end=client send call=1; stall test->server:7#1 end=client byte=0 seconds=1"

    def says_nothing(net: Any) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock, contextlib.suppress(OSError):
            sock.sendall(b"a" * 20)

    run: Run = play(says_nothing, FaultPlan.parse(plan), target=["server", "test"])
    (text,) = unreached_texts(run.unreached, run.points, run.targets)
    assert text.endswith(" was never reached: nothing travelled on test->server:7#1, in either direction")


def listen(port: int) -> None:
    """To some it listens, and says nothing; the next port it leaves alone."""
    with (
        socket.create_server(("", port)) as listener,
        socket.create_server(("", port + 1)),
        socket.socket(type=socket.SOCK_DGRAM) as box,
    ):
        box.bind(("", port))
        while True:
            conn, _ = listener.accept()
            with conn:
                select.select([conn], [], [])
                while conn.recv(10):
                    pass


def says_more_each_time(net: Any) -> None:
    net.host("server").spawn(listen, 7)
    for number in range(1, 8):
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a" * number)
    with socket.create_connection(("server", 8)), socket.socket(type=socket.SOCK_DGRAM) as box:
        for _ in range(2):
            box.sendto(b"a", ("server", 7))


@pytest.mark.parametrize(
    ("fault", "nearest"),
    [
        pytest.param(
            "split test->server:7#1 end=client byte=1",
            "nothing travelled towards the client of test->server:7#1; towards its server 1 byte travelled",
            id="the-other-direction",
        ),
        pytest.param(
            "split test->server:7#* end=server byte=9",
            "towards the server of test->server:7#7 7 bytes travelled, so byte is 0 to 7",
            id="the-longest-of-several",
        ),
        pytest.param(
            "short-recv test->server:8#1 end=server call=1 bytes=1",
            "only the client of test->server:8#1 made calls there, not its server",
            id="never-accepted",
        ),
        pytest.param(
            "refuse test->server:7#9",
            "this run has the connections test->server:7#1, test->server:7#2, test->server:7#3, test->server:7#4, test->server:7#5 and 3 more",
            id="more-than-can-be-listed",
        ),
        pytest.param("drop test->server:7 datagram=5", "test->server:7 carried 2 datagrams", id="a-datagram-too-many"),
        pytest.param("drop test->server:9 datagram=1", "datagrams went test->server:7", id="another-flow"),
        pytest.param("wake server call=9 first=1", "polls on server found something ready 7 times", id="a-poll-too-many"),
        pytest.param("wake test call=1 first=1", "polls found something ready on server", id="who-never-polls"),
        pytest.param("error server socket call=9 errno=EMFILE", "server called socket() 3 times", id="a-socket-too-many"),
        pytest.param("crash client at=0", "this run has the host server", id="no-such-host"),
    ],
)  # fmt: skip
def test_of_what_there_was_much_the_nearest_is_told(fault: str, nearest: str) -> None:
    run = play(says_more_each_time, FaultPlan.parse(fault), target="server")
    assert unreached_texts(run.unreached, run.points, run.targets) == [f"{fault} was never reached: {nearest}"]
