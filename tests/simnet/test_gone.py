"""A plain sweep takes each server away for good, once: who tries without a pause, and who waits without a time-out, is found."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet import play
from simnet.explore.gone import gone
from simnet.explore.options import SweepOptions
from simnet.explore.pairs import PAIRS
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from tests.quality.found import only

pytestmark = pytest.mark.slow  # each is a few sweeps


def answer(port: int, patience: float | None = None) -> None:
    """A server that answers each of its clients once, one after the other."""
    with socket.create_server(("", port)) as listener:
        while True:
            try:
                with listener.accept()[0] as connection, connection.makefile("rb") as lines:
                    connection.settimeout(patience)
                    connection.sendall(lines.readline().upper())
            except OSError:
                continue


def ask(connect: Callable[[], socket.socket]) -> bytes:
    with connect() as sock:
        sock.sendall(b"hello\n")
        return sock.makefile("rb").read()


def once() -> bytes:
    return ask(lambda: socket.create_connection(("server", 7), timeout=3))


def patiently() -> bytes:
    return ask(lambda: socket.create_connection(("server", 7)))


def kept_alive() -> bytes:
    def connect() -> socket.socket:
        sock = socket.create_connection(("server", 7))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock

    return ask(connect)


def until_it_works(pause: float | None) -> Callable[[], bytes]:
    def connect() -> socket.socket:
        while True:
            try:
                return socket.create_connection(("server", 7), timeout=3)
            except OSError:
                if pause is not None:
                    time.sleep(pause)

    return lambda: ask(connect)


def sweep(client: Callable[[], bytes], patience: float | None = None, **options: Any) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(answer, 7, patience)
        got: bytes = net.host("client").run(client)
        return got

    return run_sweep(test, SweepOptions.of(target="client", **options))


def test_who_connects_again_without_a_pause_is_found_when_nobody_listens_any_more() -> None:
    failure = only(sweep(until_it_works(None)))
    assert (failure.reason, str(failure.plan)) == ("no-spin", "refuse client->server:7#*")


async def one_connects(tries: int, *, told: bool) -> bytes:
    """Two who want a connection, which one of them makes for both; the other is *told* when that has failed, or is not."""
    made: asyncio.Queue[Any] = asyncio.Queue()

    async def connect() -> bytes:
        for n in range(tries):
            try:
                async with asyncio.timeout(3):
                    reader, writer = await asyncio.open_connection("server", 7)
                    with contextlib.closing(writer):
                        writer.write(b"hello\n")
                        answered = await reader.read()
                if answered:
                    await made.put(answered)
                    return answered
            except OSError:
                await asyncio.sleep(n)
        if told:
            await made.put(b"")
        return b""

    one, other = await asyncio.gather(connect(), made.get())
    assert one == other
    return one or b"nobody there"


def test_who_waits_for_one_who_has_given_up_is_warned_of_and_does_not_fail() -> None:
    result = sweep(lambda: asyncio.run(one_connects(3, told=False)), patience=1)
    assert result.ok, [report.text() for report in result.reports()]
    assert {(each.name, str(each.plan)) for each in result.warnings} >= {
        ("waits-for-ever", "refuse client->server:7#*"),
    }
    (told,) = (each.text for each in result.warnings if "refuse" in str(each.plan))
    assert "no connection is left by which anybody could wake it" in told
    result = sweep(lambda: asyncio.run(one_connects(3, told=True)), patience=1)
    assert result.ok
    assert not result.warnings


@pytest.mark.parametrize("client", [once, until_it_works(1.0), kept_alive], ids=["gives up", "pauses", "kept alive"])
def test_who_gives_up_or_pauses_or_lets_its_kernel_look_passes_without_a_word(client: Callable[[], bytes]) -> None:
    result = sweep(client)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings


def test_who_waits_without_a_time_out_is_told_where() -> None:
    result = sweep(patiently)
    assert result.ok
    (warned,) = result.warnings
    assert warned.name == "waits-for-ever"
    assert "recv on client->server:7#1 at test_gone.py:" in warned.text
    assert str(warned.plan) == "blackhole client->server:7#1 end=client byte=1"


def test_it_is_a_failure_for_who_says_so() -> None:
    failure = only(sweep(patiently, invariants={"waits-for-ever": "failure"}))
    assert (failure.reason, failure.kinds) == ("waits-for-ever", {"blackhole": 1})


def forward(port: int) -> None:
    """A proxy of one thread for each client, which asks behind itself and waits without a time-out."""

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("server", 7)) as behind, client.makefile("rb") as lines:
            question = lines.readline()
            if not question.endswith(b"\n"):
                return
            behind.sendall(question)
            while data := behind.recv(100):
                client.sendall(data)

    def served(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(client)

    with socket.create_server(("", port)) as listener:
        while True:
            with contextlib.suppress(OSError):
                threading.Thread(target=served, args=(listener.accept()[0],), daemon=True).start()


def through_a_proxy(net: Any) -> bytes:
    net.host("server").spawn(answer, 7)
    net.host("proxy").spawn(forward, 8)
    with socket.create_connection(("proxy", 8), timeout=30) as sock:
        sock.sendall(b"hello\n")
        return sock.makefile("rb").read()


def test_nor_does_one_fail_whose_server_has_lost_its_power() -> None:
    result = run_sweep(through_a_proxy, SweepOptions.of(target="proxy", kinds=["crash", "restart", "partition"]))
    assert result.ok
    assert {each.name for each in result.warnings} == {"nothing-left", "waits-for-ever"}


@pytest.mark.parametrize("level", [None, "failure"])
def test_a_proxy_that_keeps_a_client_since_its_server_is_silent_is_warned(level: str | None) -> None:
    options = {} if level is None else {"invariants": {"nothing-left": level}}
    result = run_sweep(through_a_proxy, SweepOptions.of(target="proxy", **options))
    held = [(each.reason, each.kinds) for each in result.failures]
    assert held == ([] if level is None else [("nothing-left", {"blackhole": 1})])
    names = [each.name for each in result.warnings]
    assert names == (["nothing-left", "waits-for-ever"] if level is None else ["waits-for-ever"])


def begins_anew(pause: float) -> bytes:
    """It pauses where nobody listens, and as long as *pause* where it was hung up on."""
    while True:
        try:
            got = ask(lambda: socket.create_connection(("server", 7), timeout=3))
            if got:
                return got
        except ConnectionResetError:
            pass
        except OSError:
            time.sleep(1)
        time.sleep(pause)


def test_who_connects_again_without_a_pause_is_found_when_all_are_hung_up_on() -> None:
    failure = only(sweep(lambda: begins_anew(0)))
    assert (failure.reason, str(failure.plan)) == ("no-spin", "eof client->server:7#* end=client byte=0")
    assert "was hung up on each time before a byte had come: client->server:7#" in str(failure.error)


def test_who_pauses_before_it_connects_again_may_be_hung_up_on_for_good() -> None:
    result = sweep(lambda: begins_anew(0.5))
    assert result.ok, [each.text() for each in result.reports()]


def test_who_takes_an_end_for_the_answer_does_not_storm() -> None:
    """As where each message has a connection of its own, which the server closes once it has read it."""

    def takes(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    connection.recv(100)

    def test(net: Any) -> int:
        net.host("server").spawn(takes, 7)
        return sum(not ask(lambda: socket.create_connection(("server", 7))) for _ in range(2_000))

    run = play(test, target=["test"])
    assert (run.outcome.returned, run.verdicts) == (2_000, [])


def test_who_is_hung_up_on_where_it_was_answered_without_a_fault_storms() -> None:
    """Nothing was ever said in this run, and only the first connection met a fault; but a server that answers has said so before."""

    def answers_once(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(connection.recv(100))
            while True:
                listener.accept()[0].close()

    def comes_back() -> bytes:
        for _ in range(2_000):
            with contextlib.suppress(OSError):
                if got := ask(lambda: socket.create_connection(("server", 7))):
                    return got
        return b""

    def test(net: Any) -> bytes:
        net.host("server").spawn(answers_once, 7)
        return bytes(net.host("test").run(comes_back))

    plan = "reset test->server:7#1 end=client send call=1"
    baseline = play(test, target=["test"])
    assert [each.name for each in play(test, plan, target=["test"], baseline=baseline).verdicts] == ["no-spin"]
    assert play(test, plan, target=["test"]).verdicts == [], "nobody knows that it ever answered"


def test_a_test_that_survives_one_refusal_need_not_survive_all_of_them() -> None:
    def twice() -> bytes:
        try:
            return once()
        except ConnectionRefusedError:
            return once()

    result = sweep(twice, survives=["refuse"])
    assert result.ok
    assert [row.runs for row in result.kinds if row.kind in ("refuse", "blackhole")] == [1, 1], "the single refusal"


def test_a_server_is_taken_away_once_however_often_it_is_asked_and_the_bodys_own_never() -> None:
    def test(net: Any) -> None:
        for port in (7, 8):
            net.host("server").spawn(answer, port)
        net.host("client").run(lambda: [once(), once(), ask(lambda: socket.create_connection(("server", 8)))])
        once()

    run = play(test, target=["client"])
    tried = [str(family.make(0)) for family in gone(run.points, run.targets)]
    assert tried == [
        "refuse client->server:7#*",
        "refuse client->server:8#*",
        "eof client->server:7#* end=client byte=0",
        "eof client->server:8#* end=client byte=0",
        "blackhole client->server:7#1 end=client byte=1",
        "blackhole client->server:8#1 end=client byte=1",
    ]
    assert not gone(run.points, ("server",))


def told_in_one_byte(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        connection.sendall(b"k")


def without_a_word(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        connection.recv(100)


def test_nobody_who_never_answered_falls_silent_and_nobody_who_is_not_there_goes() -> None:
    """Behind the only byte of an answer, too, there is nothing that could be missed."""

    def talk() -> None:
        with socket.create_connection(("server", 7)) as sock, socket.create_connection(("server", 8)) as other:
            assert sock.recv(1) == b"k"
            other.sendall(b"hello\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("server", 9))

    def test(net: Any) -> None:
        net.host("server").spawn(told_in_one_byte, 7)
        net.host("server").spawn(without_a_word, 8)
        net.host("client").run(talk)

    run = play(test, target=["client"])
    tried = [str(family.make(0)) for family in gone(run.points, run.targets)]
    assert tried == [
        "refuse client->server:7#*",
        "refuse client->server:8#*",
        "eof client->server:7#* end=client byte=0",
    ]


def test_a_server_on_a_unix_socket_never_falls_silent() -> None:
    """No network lies between."""

    def serve(listener: socket.socket) -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(b"hello\n")

    def talk() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("/run/app.sock")
            assert sock.recv(100) == b"hello\n"

    def listen_and_talk(net: Any) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("/run/app.sock")
        listener.listen()
        net.host("server").spawn(serve, listener)
        talk()

    def test(net: Any) -> None:
        net.host("server").run(listen_and_talk, net)

    run = play(test, target=["server"])
    tried = [str(family.make(0)) for family in gone(run.points, run.targets)]
    assert tried == ["refuse server->server:/run/app.sock#*"]


def test_no_pair_begins_with_a_server_that_has_gone() -> None:
    first, second = (sweep(once, runs=300, depth=depth) for depth in (1, 2))
    assert second.ok
    pairs = next(row for row in second.kinds if row.kind == PAIRS)
    assert pairs.points == first.runs - 3, "after each single fault but those three"


def test_of_who_is_refused_for_good_no_more_is_asked_than_that_it_does_not_storm() -> None:
    def thrice() -> bytes:
        for _ in range(2):
            try:
                return once()
            except OSError:
                time.sleep(1)
        return once()

    def test(net: Any) -> None:
        net.host("server").spawn(answer, 7)
        got = b""
        try:
            got = net.host("client").run(thrice)
        finally:
            with net.always():
                assert got == b"HELLO\n", "no refusal keeps it from its answer"

    result = run_sweep(test, SweepOptions.of(target="client"))
    assert [row.runs for row in result.kinds if row.kind == "refuse"] == [2]
    assert not any("refuse" in each.kinds for each in result.failures)
    (asked,) = run_sweep(
        test, SweepOptions.of(target="client"), plan=FaultPlan.parse("refuse client->server:7#*")
    ).failures
    assert asked.reason == "always", "who asks for it hears it"


def test_a_storm_is_found_beside_what_is_not_asked_of_who_is_refused_for_good() -> None:
    def test(net: Any) -> bytes:
        def connect() -> socket.socket:
            refused = 0
            while True:
                try:
                    return socket.create_connection(("server", 7), timeout=3)
                except OSError:
                    refused += 1
                    with contextlib.suppress(AssertionError), net.always():
                        assert refused < 2, "it delivers at the second attempt"

        net.host("server").spawn(answer, 7)
        got: bytes = net.host("client").run(ask, connect)
        return got

    failure = only(run_sweep(test, SweepOptions.of(target="client")))
    assert (failure.reason, str(failure.plan)) == ("no-spin", "refuse client->server:7#*")
