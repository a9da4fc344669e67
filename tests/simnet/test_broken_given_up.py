"""Who goes on with a connection that is known to be broken is warned of: what it says there reaches nobody, and it is told so each time."""

from __future__ import annotations

import asyncio
import linecache
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dispatch import Chat, Listener, Loop
from simnet.explore.judging.given_up import goes_on_with_the_broken
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play

pytestmark = pytest.mark.slow  # each is a few sweeps

LINES = [b"one\n", b"two\n", b"three\n", b"four\n"]


def collect(port: int, got: list[bytes], clients: int = 9) -> None:
    """One client after the other; the listener is there as long as there may be one more."""
    with socket.create_server(("", port)) as listener:
        for _ in range(clients):
            with suppress(OSError), listener.accept()[0] as sock, sock.makefile("rb") as lines:
                for line in lines:
                    got.append(line)
                    if clients == 1:
                        break


def connect() -> socket.socket:
    return socket.create_connection(("server", 514), timeout=5)


def goes_on(times: int = 1) -> None:
    with connect() as sock:
        for line in LINES * times:
            with suppress(OSError):
                sock.sendall(line)
            time.sleep(1)


def reads_the_end_again_and_again() -> None:
    """It asks, and what it is told is that there will be no answer."""
    with connect() as sock:
        sock.settimeout(0.5)
        for line in LINES:
            with suppress(OSError):
                sock.sendall(line)
                sock.recv(1)
            time.sleep(1)


def connects_anew() -> None:
    sock = connect()
    for line in LINES:
        try:
            sock.sendall(line)
        except OSError:
            sock.close()
            with suppress(OSError):
                sock = connect()
        time.sleep(1)
    sock.close()


def says_goodbye() -> None:
    """Once more, which is in vain."""
    with suppress(OSError), connect() as sock:
        try:
            for line in LINES:
                sock.sendall(line)
                time.sleep(1)
        finally:
            sock.sendall(b"bye\n")


def closes_a_file_that_has_more_to_say() -> None:
    """Each layer of it tries once more."""
    with suppress(OSError), connect() as sock, sock.makefile("rw") as file:
        for line in LINES:
            print(line.decode(), file=file, flush=True)
            time.sleep(1)


def hears_of_the_end_and_has_more_to_say() -> None:
    """The collector may have closed no more than its own half."""
    with suppress(OSError), connect() as sock:
        sock.settimeout(0.5)
        for line in LINES:
            sock.sendall(line)
        with suppress(TimeoutError):
            sock.recv(1)
        sock.sendall(b"bye\n")


def asks_while_another_thread_reads() -> None:
    """The reader is told, and ends; who asks next is told of it by its own call, says goodbye, and closes."""

    def read(sock: socket.socket) -> None:
        with suppress(OSError):
            while sock.recv(100):
                pass

    with suppress(OSError), connect() as sock:
        sock.sendall(b"hello\n")
        threading.Thread(target=read, args=(sock,)).start()
        try:
            for line in LINES:
                time.sleep(1)
                sock.sendall(line)
        finally:
            with suppress(OSError):
                sock.sendall(b"bye\n")
                sock.shutdown(socket.SHUT_RDWR)


def asks_with_several_threads() -> None:
    """Each is told once, and ends; the first of them reads."""

    def read(sock: socket.socket) -> None:
        with suppress(OSError):
            while sock.recv(100):
                pass

    def say(sock: socket.socket, seconds: int) -> None:
        time.sleep(seconds)
        with suppress(OSError):
            sock.sendall(LINES[seconds])

    with suppress(OSError), connect() as sock:
        sock.sendall(LINES[0])
        threads = [threading.Thread(target=say, args=(sock, seconds)) for seconds in (1, 2, 3)]
        threads.append(threading.Thread(target=read, args=(sock,)))
        for thread in threads:
            thread.start()
        for thread in threads[:3]:
            thread.join()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        threads[3].join()


def goes_on_with_what_it_has_closed() -> None:
    """What broke is closed, and it is forgotten that it was."""
    sock = connect()
    for line in LINES:
        try:
            sock.sendall(line)
        except OSError:
            sock.close()
        time.sleep(1)
    sock.close()


def says_goodbye_to_what_it_has_closed() -> None:
    sock = connect()
    for line in LINES:
        try:
            sock.sendall(line)
        except OSError:
            sock.close()
            break
        time.sleep(1)
    with suppress(OSError):
        sock.sendall(b"bye\n")
    sock.close()


def sweep(client: Callable[[], None], **options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        got: list[bytes] = []
        net.host("server").spawn(collect, 514, got)
        net.host("client").run(client)
        time.sleep(1)
        return got

    return run_sweep(test, SweepOptions.of(target="client", kinds=["reset", "eof", "error"], **options))


@pytest.mark.parametrize("client", [goes_on, reads_the_end_again_and_again])
def test_who_goes_on_with_it_is_warned_of_with_the_line(client: Callable[[], None]) -> None:
    (warned,) = sweep(client).warnings
    assert warned.name == "broken-given-up"
    assert (
        "client goes on with client->server:514#1 after it has been told that it is broken, or has ended" in warned.text
    )
    _, _, line = warned.at.partition(":")
    assert "sock." in linecache.getline(__file__, int(line))


def test_who_goes_on_with_what_it_has_closed_is_warned_of_with_the_line() -> None:
    (warned,) = sweep(goes_on_with_what_it_has_closed).warnings
    assert warned.name == "broken-given-up"
    assert warned.text.startswith("client sends, at test_broken_given_up.py:")
    assert (
        "in goes_on_with_what_it_has_closed, on a socket that it has closed itself, again and again (EBADF)"
        in warned.text
    )


def test_who_is_told_by_another_thread_that_it_has_closed_is_not() -> None:
    """Each of three that share a connection is told once, and ends."""

    def threads() -> None:
        sock = connect()

        def say(line: bytes) -> None:
            with suppress(OSError):
                while True:
                    sock.sendall(line)
                    time.sleep(1)

        all_three = [threading.Thread(target=say, args=(line,)) for line in LINES[:3]]
        for thread in all_three:
            thread.start()
        time.sleep(3.5)
        sock.close()
        for thread in all_three:
            thread.join()

    assert not [each for each in sweep(threads).warnings if "has closed itself" in each.text]


@pytest.mark.parametrize(
    "client",
    [
        *(connects_anew, says_goodbye, says_goodbye_to_what_it_has_closed, hears_of_the_end_and_has_more_to_say),
        *(closes_a_file_that_has_more_to_say, asks_while_another_thread_reads, asks_with_several_threads),
    ],
)
def test_who_gives_it_up_is_not(client: Callable[[], None]) -> None:
    assert not sweep(client).warnings


def test_who_took_half_a_line_for_one_is_told_of_the_end_by_the_next_and_may_say_goodbye_once() -> None:
    """The end that a buffer has met behind the half was told to nobody yet. ftplib says QUIT on its way out of a `with`."""

    def answers() -> None:
        with socket.create_server(("", 514)) as listener, suppress(OSError), listener.accept()[0] as sock:
            sock.sendall(b"220 hi\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    sock.sendall(line)

    def asks() -> list[bytes]:
        got = []
        with suppress(OSError, EOFError), connect() as sock, sock.makefile("rb") as lines:
            got.append(lines.readline())
            try:
                for line in LINES:
                    sock.sendall(line)
                    got.append(lines.readline())
                    if not got[-1]:
                        raise EOFError
            finally:
                sock.sendall(b"quit\n")
                lines.readline()
        return got

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(answers)
        got: list[bytes] = net.host("client").run(asks)
        return got

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["eof"]))
    assert result.ok
    assert result.noted
    assert "broken-given-up" not in [each.name for each in result.warnings]


@pytest.mark.parametrize("pause", [0, 1])
def test_a_server_may_say_the_rest_of_its_answer_before_it_closes_but_not_for_long(pause: int) -> None:
    def answers() -> None:
        with socket.create_server(("", 514)) as listener:
            while True:
                with listener.accept()[0] as sock, suppress(OSError):
                    sock.recv(100)
                    for line in [*LINES, b"."]:
                        with suppress(OSError):
                            sock.sendall(line)
                        time.sleep(pause)
                    sock.shutdown(socket.SHUT_WR)  # as socketserver does

    def test(net: Any) -> bytes:
        net.host("server").spawn(answers)
        with connect() as sock, sock.makefile("rb") as answer:
            sock.sendall(b"x\n")
            return answer.read()

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["reset", "error"]))
    assert ("broken-given-up" in [each.name for each in result.warnings]) is bool(pause)


def test_it_may_be_a_failure_or_meant() -> None:
    (failure,) = sweep(goes_on, invariants={"broken-given-up": "failure"}).failures
    assert (failure.reason, failure.host) == ("broken-given-up", "client")
    result = sweep(goes_on, invariants={"broken-given-up": "off: who reads its log looks for gaps"})
    assert result.ok
    assert not result.warnings


def test_who_does_so_without_a_fault_as_well_is_not() -> None:
    """The collector hangs up after the first line, whatever happens."""

    def test(net: Any) -> list[bytes]:
        got: list[bytes] = []
        net.host("server").spawn(collect, 514, got, 1)
        net.host("client").run(goes_on, 2)
        return got

    assert not run_sweep(test, SweepOptions.of(target="client", kinds=["reset"])).warnings


async def sends_a_file(path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError), path.open("rb") as file:
            await reader.readline()
            await asyncio.get_running_loop().sendfile(writer.transport, file)
        writer.close()

    async with await asyncio.start_server(answer, port=514) as server:
        await server.serve_forever()


def test_who_reads_the_end_and_is_told_while_it_answers_has_been_told_once(tmp_path: Path) -> None:
    """The sendfile of asyncio sends by hand what the kernel's would not, whatever it said; socket.sendfile does as well."""
    path = tmp_path / "file"
    path.write_bytes(b"file")

    def asks(net: Any) -> bytes:
        net.host("server").spawn(asyncio.run, sends_a_file(path))
        time.sleep(1)
        with suppress(OSError), connect() as sock:
            sock.sendall(b"x\n")
            return sock.recv(100)
        return b""

    place = "test->server:514#1 end=server"
    plan = FaultPlan.parse(f"eof {place} byte=1; error {place} send call=1 errno=ETIMEDOUT")
    playing = SweepOptions.of(target="server").playing
    run = play(asks, plan, **playing)
    told = [str(each[7][1]) for each in run.trace.entries if each[5] == "send" and each[2] == "server"]
    assert told == ["ETIMEDOUT", "EPIPE"]
    assert goes_on_with_the_broken(play(asks, **playing), run) is None


class Member(Chat):
    """Of a room that hears all that anybody says, and in which each stays who came, if it *stays*."""

    terminator = b"\n"

    def __init__(self, sock: Any, *, room: list[Any], stays: bool, **options: Any) -> None:
        super().__init__(sock, **options)
        self.room, self.stays = room, stays
        room.append(self)

    def handle_message(self, data: bytes) -> None:
        for member in list(self.room):
            member.write(data + b"\n")

    def handle_close(self, reason: BaseException | None) -> None:
        if not self.stays:
            self.room.remove(self)


def meet(*, stays: bool) -> None:
    with Loop() as loop:
        Listener(("", 7), partial(Member, room=[], stays=stays), loop=loop)
        loop.run()


def goes_on_talking(words: int, pause: float, room: Callable[[], tuple[Any, ...]]) -> Callable[[Any], None]:
    """A test in which one comes to a *room* and goes, and another says so many *words* then."""

    def test(net: Any) -> None:
        net.host("server").spawn(*room())
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            with socket.create_connection(("server", 7)) as other:
                other.sendall(b"hello\n")
                assert lines.readline() == b"hello\n"
            for n in range(words):
                sock.sendall(b"%d\n" % n)
                assert lines.readline() == b"%d\n" % n
                time.sleep(pause)

    return test


@pytest.mark.parametrize(
    ("stays", "words", "pause", "warned"), [(True, 4, 5, 1), (False, 4, 5, 0), (True, 4, 1, 0), (True, 2, 60, 0)]
)
def test_who_writes_to_a_closed_channel_long_after_its_end_is_warned_of(
    stays: bool, words: int, pause: float, warned: int
) -> None:
    """Some words too late are lost, and nobody's fault; it is who has forgotten to let go of a channel that goes on so."""
    test = goes_on_talking(words, pause, lambda: (partial(meet, stays=stays),))
    result = run_sweep(test, SweepOptions.of(target="server", kinds=["would-block"]))
    assert [each.name for each in result.warnings] == ["broken-given-up"] * warned
    for each in result.warnings:
        assert "server/partial writes to test->server:7#2 (server), at test_broken_given_up.py:" in each.text
        assert "in handle_message, again and again, though that channel has closed" in each.text


async def gather(reader: Any, writer: Any, *, room: list[Any], stays: bool) -> None:
    """A room of asyncio's, where who *stays* is told on, though he has gone."""
    room.append(writer)
    with suppress(OSError):
        while line := await reader.readline():
            for member in room:
                member.write(line)
    if not stays:
        room.remove(writer)
    writer.close()


async def meeting(*, stays: bool) -> None:
    async with await asyncio.start_server(partial(gather, room=[], stays=stays), "", 7) as server:
        await server.serve_forever()


@pytest.mark.parametrize(
    ("stays", "words", "pause", "warned"), [(True, 10, 5, 1), (False, 10, 5, 0), (True, 10, 1, 0), (True, 6, 60, 0)]
)
def test_who_writes_to_a_lost_transport_long_after_its_end_is_warned_of(
    stays: bool, words: int, pause: float, warned: int
) -> None:
    """The first five writes are taken in silence; it is the log that tells, and nothing is raised."""
    test = goes_on_talking(words, pause, lambda: (asyncio.run, meeting(stays=stays)))
    # Under a would-block there, asyncio itself fails on Python 3.11.2: a lost transport has no loop to tell.
    result = run_sweep(test, SweepOptions.of(target="server", kinds=["short-recv"]))
    assert [each.name for each in result.warnings] == ["broken-given-up"] * warned
    for each in result.warnings:
        assert (
            "server/run writes to a transport of asyncio that is lost or closed, at test_broken_given_up.py:"
            in each.text
        )
        assert "in gather, again and again, and asyncio logs no more than" in each.text
