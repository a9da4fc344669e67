"""Who connects anew says there again what it had said to be told things; who has other things to say, or to ask, is left alone."""

from __future__ import annotations

import itertools
import linecache
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet import check
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

END = 20.0  # seconds, in which all is heard


def tells(port: int) -> None:
    """To who says ``on``, or ``from`` a number on, a word each second, six in all; a file at once; anything else is answered."""
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock, sock.makefile("rb") as lines:
                for line in lines:
                    verb, _, what = line.strip().partition(b" ")
                    if verb in (b"on", b"from"):
                        for number in range(int(what or b"0"), 6):
                            time.sleep(1)
                            sock.sendall(b"word %d\n" % number)
                    elif verb == b"file":
                        for _ in range(5):
                            sock.sendall(b"x" * 9 + b"\n")
                            time.sleep(0.001)
                        sock.sendall(b"end\n")
                    else:
                        sock.sendall(b"yes\n")


def lines_of(sock: socket.socket) -> Any:
    """What comes; None where nothing has come for a while."""
    rest = b""
    while True:
        try:
            data = sock.recv(100)
        except TimeoutError as error:
            if error.errno:  # of the kernel's, which has given up
                raise
            yield None
            continue
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def listens(say: Callable[[int, list[bytes]], list[bytes]], *, patient: bool = True) -> list[bytes]:
    """What it hears, on one connection after the other; what it has to say on the n-th is *say*(n, heard). Who is not *patient* leaves one that is silent."""
    heard: list[bytes] = []
    number = 0
    while time.monotonic() < END and b"word 5" not in heard:
        with suppress(OSError), socket.create_connection(("server", 7), timeout=1.5) as sock:
            number += 1
            for text in say(number, heard):
                sock.sendall(text)
            for line in lines_of(sock):
                if line is not None:
                    heard.append(line)
                if time.monotonic() > END or line == b"word 5" or not (patient or line):
                    break
        time.sleep(0.5)
    return heard


def forgets() -> list[bytes]:
    return listens(lambda number, _: [b"on\n"] if number == 1 else [])  # it has nothing to say on the second


def says_again() -> list[bytes]:
    return listens(lambda number, _: [b"on\n"])


def goes_on_where_it_was() -> list[bytes]:
    return listens(lambda number, heard: [b"from %d\n" % len(heard)])


def goes_on_elsewhere_when_all_is_silent() -> list[bytes]:
    return listens(lambda number, heard: [b"from %d\n" % len(heard)], patient=False)


def forgets_one_of_two() -> list[bytes]:
    return listens(lambda number, _: [b"me\n", b"on\n"] if number == 1 else [b"me\n"])


def loads(sock: socket.socket, question: bytes, last: bytes) -> bytes:
    sock.sendall(question)
    for line in lines_of(sock):
        if line is None:
            raise TimeoutError
        if line == last:
            return question
    raise ConnectionAbortedError


def loads_once() -> list[bytes]:
    """A file that broke off is let be, and the next question is asked on another connection, which is kept for long."""
    done = []
    sock: socket.socket | None = None
    for question, last in ((b"file\n", b"end"), (b"more\n", b"yes"), (b"most\n", b"yes")):
        try:
            if sock is None:
                sock = socket.create_connection(("server", 7), timeout=5)
            done.append(loads(sock, question, last))
        except OSError:
            if sock is not None:
                sock.close()
            sock = None
    time.sleep(END)
    if sock is not None:
        sock.close()
    return done


def comes_for_a_look() -> list[bytes]:
    """Whoever has been hung up on looks once whether somebody is there, before it asks again."""
    done = []
    for _ in range(3):
        try:
            with socket.create_connection(("server", 7), timeout=5) as sock:
                done.append(loads(sock, b"more\n", b"yes"))
        except OSError:
            with suppress(OSError):
                socket.create_connection(("server", 7), timeout=5).close()
    return done


def conversation(client: Callable[[], list[bytes]]) -> Callable[[Any], list[bytes]]:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(tells, 7)
        heard: list[bytes] = net.host("client").run(client)
        return heard

    return test


def sweep(client: Callable[[], list[bytes]], **options: Any) -> SweepResult:
    kinds = ["reset", "eof", "error"]
    return run_sweep(conversation(client), SweepOptions.of(target="client", kinds=kinds, **options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "what"),
    [
        (forgets, r"says nothing there, and is told nothing: it was, when it had said b'on\n'"),
        (forgets_one_of_two, r"says there but b'me\n', and is told nothing: it was, when it had said b'on\n'"),
    ],
)
def test_who_leaves_out_what_it_had_said_is_warned_of_with_the_line(
    client: Callable[[], list[bytes]], what: str
) -> None:
    result = sweep(client)
    assert result.ok
    (warned,) = (each for each in result.warnings if each.name == "connected-anew")
    assert warned.text == f"client has connected anew (client->server:7#2), {what}"
    assert "create_connection" in linecache.getline(__file__, int(warned.at.partition(":")[2]))


@pytest.mark.slow
def test_who_is_told_nothing_since_the_servers_host_stands_still_is_not() -> None:
    options = SweepOptions.of(target="client", kinds="pause")
    result = run_sweep(conversation(goes_on_elsewhere_when_all_is_silent), options)
    assert result.noted, "or nothing has been asked"
    assert not result.warnings


@pytest.mark.slow
@pytest.mark.parametrize("client", [says_again, goes_on_where_it_was, loads_once, comes_for_a_look])
def test_who_says_it_again_or_has_other_things_to_say_is_not(client: Callable[[], list[bytes]]) -> None:
    result = sweep(client)
    assert result.noted, "or nothing has been asked"
    assert not result.warnings


def says_hello_first_and_pauses_before_it_closes() -> list[bytes]:
    """Who hangs up before hello is answered has not been told what is wanted."""
    for pause in (1, 2, 4, 8):
        with suppress(OSError), socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"hello\n")
            words = lines_of(sock)
            if next(words, None) == b"yes":
                sock.sendall(b"on\n")
                return list(itertools.islice((word for word in words if word is not None), 6))
            time.sleep(pause)
    return []


def test_who_is_hung_up_on_before_it_can_say_it_is_not() -> None:
    check(
        conversation(says_hello_first_and_pauses_before_it_closes),
        target="client", plan="eof client->server:7#* end=client byte=0", invariants={"connected-anew": "failure"},
    )  # fmt: skip


def greets(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock, sock.makefile("rb") as lines:
                sock.sendall(b"hello\n")
                for _ in lines:
                    sock.sendall(b"yes\n")


def asks_when_it_is_greeted(wait: bool) -> list[bytes]:
    """Three times, at most; without *wait* it does not read the greeting of any but the first."""
    for n in range(5):
        with (
            suppress(OSError),
            socket.create_connection(("server", 7), timeout=5) as sock,
            sock.makefile("rb") as lines,
        ):
            if n and not wait:
                time.sleep(1)
            elif lines.readline() == b"hello\n":
                sock.sendall(b"more\n")
                return [lines.readline()]
        time.sleep(1)
    return []


@pytest.mark.slow
@pytest.mark.parametrize("wait", [True, False])
def test_who_is_to_be_greeted_first_and_is_not_has_nothing_to_say(wait: bool) -> None:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(greets, 7)
        heard: list[bytes] = net.host("client").run(asks_when_it_is_greeted, wait)
        return heard

    result = run_sweep(test, SweepOptions.of(target="client"))
    assert result.noted, "or nothing has been asked"
    assert [each.name for each in result.warnings] == ([] if wait else ["connected-anew"])


@pytest.mark.slow
def test_it_may_be_a_failure_or_meant() -> None:
    (failure,) = sweep(forgets, invariants={"connected-anew": "failure"}).failures
    assert (failure.reason, failure.host) == ("connected-anew", "client")
    result = sweep(forgets, invariants={"connected-anew": "off: the server remembers"})
    assert result.ok
    assert not result.warnings


def test_a_name_of_an_invariant_is_known_to_a_check() -> None:
    check(
        conversation(says_again), target="client", plan="reset client->server:7#1 end=client recv call=2",
        invariants={"connected-anew": "failure"},
    )  # fmt: skip
