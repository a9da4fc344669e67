"""What a host asks the network for by name, and how many sockets it makes: counted, and refused where a plan says so."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import faults
from simnet.explore.judging.verdict import judge
from simnet.explore.nearest import unreached_texts
from simnet.explore.points import families
from simnet.explore.report.ladder import ladder
from simnet.points.reading import Points
from tests.simnet.servers import echo


def ask() -> list[Any]:
    """Three connections by name: how each went, and when that was known."""
    got: list[Any] = []
    for _ in range(3):
        try:
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                word = "answered"
        except OSError as error:
            word = str(error)
        got.append((word, round(time.monotonic(), 1)))
    return got


def ask_in_asyncio() -> list[Any]:
    """The same in a loop that counts seconds meanwhile."""

    async def count() -> None:
        while True:
            await asyncio.sleep(1)
            seconds.append(len(seconds))

    async def main() -> None:
        task = asyncio.create_task(count())
        for _ in range(3):
            try:
                reader, writer = await asyncio.open_connection("server", 7)
                writer.write(b"x")
                assert await reader.read(1) == b"x"
                writer.close()
                word = "answered"
            except OSError as error:
                word = str(error)
            got.append((word, round(time.monotonic(), 1)))
        task.cancel()

    got: list[Any] = []
    seconds: list[int] = []
    asyncio.run(main())
    assert len(seconds) == int(time.monotonic()), "a late answer keeps no other task waiting"
    return got


def talk(client: Callable[[], Any]) -> Callable[[simnet.Network], Any]:
    def test(net: simnet.Network) -> Any:
        net.host("server").spawn(echo, 7)
        return net.host("client").run(client)

    return test


AGAIN = "[Errno -3] Temporary failure in name resolution"
UNKNOWN = "[Errno -2] Name or service not known"
WELL = "answered"


@pytest.mark.parametrize("client", [ask, ask_in_asyncio])
@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("name-error client lookup=1 errno=EAI_AGAIN", [(AGAIN, 0), (WELL, 0), (WELL, 0)]),
        ("name-error client lookup=2 errno=EAI_NONAME", [(WELL, 0), (UNKNOWN, 0), (WELL, 0)]),
        ("name-error client lookup=3 seconds=5", [(WELL, 0), (WELL, 0), (WELL, 5)]),
        ("name-error client lookup=1 errno=EAI_AGAIN seconds=3", [(AGAIN, 3), (WELL, 3), (WELL, 3)]),
        ("name-error * lookup=2 seconds=0.5; name-error client lookup=3 errno=EAI_NONAME",
         [(WELL, 0), (WELL, 0.5), (UNKNOWN, 0.5)]),
        ("error client socket call=2 errno=EMFILE", [(WELL, 0), ("[Errno 24] Too many open files", 0), (WELL, 0)]),
    ],
)  # fmt: skip
def test_a_look_up_or_a_socket_is_refused_or_late(client: Callable[[], Any], line: str, got: list[Any]) -> None:
    run = simnet.play(talk(client), line)
    assert (run.outcome.returned, run.verdicts, run.failures, run.unreached) == (got, [], [], ())
    assert simnet.play(talk(client), run.happened).digest == run.digest
    shown = ladder(run.trace, whole=True)
    assert shown.count("\u26a1") == len(run.happened)
    assert shown.count("lookup server") + shown.count("socket EMFILE") == len(run.happened)


def test_every_way_to_ask_for_a_name_is_a_look_up_and_a_number_is_none() -> None:
    def program() -> list[str]:
        socket.getaddrinfo("127.0.0.1", 7)
        socket.getaddrinfo("::1", 7)
        socket.getaddrinfo(None, 7)
        socket.gethostbyname("localhost")
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 5))
            ways = [
                lambda: socket.getaddrinfo("server", 7),
                lambda: socket.gethostbyname("server"),
                lambda: socket.gethostbyname_ex("server"),
                lambda: socket.gethostbyaddr("server"),
                lambda: sock.sendto(b"x", ("server", 7)),
                lambda: sock.connect(("server", 7)),
            ]
            said = []
            for way in ways:
                with pytest.raises(socket.gaierror) as caught:
                    way()
                said.append(caught.value.errno)
            assert said == [socket.EAI_AGAIN] * len(ways)
            socket.gethostbyname("server")
        return ["done"]

    lines = "; ".join(f"name-error client lookup={n} errno=EAI_AGAIN" for n in range(1, 7))
    run = simnet.play(talk(program), lines)
    assert (run.outcome.returned, run.unreached) == (["done"], ())


def test_what_a_thread_asks_takes_its_time_there() -> None:
    async def main() -> float:
        with pytest.raises(socket.gaierror):
            await asyncio.to_thread(socket.gethostbyname, "server")
        return time.monotonic()

    run = simnet.play(talk(lambda: asyncio.run(main())), "name-error client lookup=1 errno=EAI_AGAIN seconds=3")
    assert (run.outcome.returned, run.verdicts) == (3, [])


def test_an_answer_at_the_instant_at_which_nobody_waits_for_it_any_more_harms_nobody() -> None:
    """As on a real machine, where a thread looks the name up, and its answer to a cancelled future is dropped."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        try:
            async with asyncio.timeout(5):
                told.append(await loop.getaddrinfo("server", 7))
        except TimeoutError:
            told.append(time.monotonic())
        await asyncio.sleep(1)
        return told

    told: list[Any] = []
    run = simnet.play(talk(lambda: asyncio.run(main())), "name-error client lookup=1 seconds=5")
    assert run.outcome.returned == [5]


@pytest.mark.slow
def test_a_sweep_that_names_them_tries_each_look_up_and_each_socket() -> None:
    result = simnet.check(talk(ask), target="client", kinds="name-error")
    assert (result.runs, result.failed, result.unreached) == (9, 0, 0)
    points = simnet.play(talk(ask), target="client").points
    asked = {(kinds, fault.kind, fault.op) for kinds in (None, ("error",)) for fault in _at_calls(points, kinds)}
    assert {each for each in asked if each[2] == "socket"} == {(("error",), "error", "socket")}
    result = simnet.check(talk(ask), target="server", kinds=["name-error", "refuse"])
    assert "name-error" not in {str(fault.kind) for failure in result.failures for fault in failure.plan}


def _at_calls(points: Points, kinds: tuple[str, ...] | None) -> list[faults.Error]:
    made = [family.make(index) for family in families(points, ["client"], kinds) for index in range(family.size)]
    return [fault for fault in made if isinstance(fault, faults.Error)]


def test_a_server_that_gets_no_socket_did_not_begin_and_one_that_loses_its_loop_by_it_did() -> None:
    def forward(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                connection, _ = listener.accept()
                with connection, socket.create_connection(("server", 7)) as behind:
                    behind.sendall(connection.recv(100))
                    connection.sendall(behind.recv(100))

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(echo, 7)
        net.host("proxy").spawn(forward, 8)
        with socket.create_connection(("proxy", 8)) as client:
            client.sendall(b"hello")
            return client.recv(100)

    def failing(fault: str) -> list[str]:
        baseline = simnet.play(test, target="proxy")
        judgement = judge(baseline, simnet.play(test, fault, target="proxy"))
        return [each.reason for each in judgement.findings if each.level == "failure"]

    assert failing("error proxy socket call=1 errno=EMFILE") == []
    assert failing("error proxy socket call=1 errno=EMFILE; refuse test->proxy:8#1") == []
    assert failing("error proxy socket call=2 errno=EMFILE") == ["loop-survives"]
    assert failing("name-error proxy lookup=1 errno=EAI_AGAIN") == ["loop-survives"]


def test_one_that_is_never_reached_says_how_many_there_were() -> None:
    for line, told in (
        ("name-error client lookup=4 seconds=1", "client asked for a name 3 times"),
        ("name-error nobody lookup=1 seconds=1", "lookup was called on client"),
        ("error client socket call=9 errno=EMFILE", "client called socket() 3 times"),
    ):
        run = simnet.play(talk(ask), line)
        (text,) = unreached_texts(run.unreached, run.points, run.targets)
        assert told in text
    assert str(faults.NameError_(on="client", lookup=4, seconds=1)) == "name-error client lookup=4 seconds=1"


@pytest.mark.slow
def test_who_asks_for_ipv6_is_told_the_address_of_ipv6() -> None:
    """Who leaves the choice is not: it would be tried first, where a server listens by IPv4."""

    def conversation(net: simnet.Network) -> bytes:
        net.host("server").spawn(answer_by_ipv6)
        with socket.socket(socket.AF_INET6) as sock:
            sock.connect(("server", 7))
            assert sock.getpeername() == ("fd00::2", 7, 0, 0)
            sock.sendall(b"by IPv6")
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()

    def addresses(family: int, flags: int = 0) -> list[str]:
        found = socket.getaddrinfo("server", 7, family, socket.SOCK_STREAM, 0, flags)
        return [str(sockaddr[0]) for *_, sockaddr in found]

    with simnet.Network() as net:
        assert conversation(net) == b"by IPv6"
        assert addresses(socket.AF_UNSPEC) == ["10.0.0.2"]
        assert addresses(socket.AF_INET6) == ["fd00::2"]
        assert addresses(socket.AF_INET6, socket.AI_V4MAPPED | socket.AI_ALL) == ["fd00::2", "::ffff:10.0.0.2"]
    assert simnet.check(conversation, target="server", kinds=simnet.TRANSPARENT).failed == 0


def answer_by_ipv6() -> None:
    with socket.create_server(("", 7), family=socket.AF_INET6) as listener:
        conn, _ = listener.accept()
        with conn:
            while data := conn.recv(100):
                conn.sendall(data)
