"""A client that keeps its connection after a time-out takes the late answer for that to its next question: a sweep warns of it by itself."""

from __future__ import annotations

import itertools
import linecache
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

import simnet
from simnet.explore.judging.answers import _lost_step, _moved_on
from simnet.explore.result import SweepResult

QUESTIONS = (b"a", b"b", b"c")


def serve() -> None:
    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while question := self.request.recv(1):
                    self.request.sendall(question.upper())
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("", 7), Answer) as server:
        server.serve_forever()


def connect() -> socket.socket:
    return socket.create_connection(("server", 7), timeout=2)


def asked_again_there() -> list[bytes]:
    answers = []
    with connect() as sock:
        for question in QUESTIONS:
            answer = b""
            while not answer:
                sock.sendall(question)
                try:
                    answer = sock.recv(1)
                except TimeoutError:
                    continue  # and asks again
                if not answer:
                    raise ConnectionError
            answers.append(answer)
    return answers


def given_up() -> list[bytes]:
    """It does not ask again, and goes on with the next question."""
    answers = []
    with connect() as sock:
        for question in QUESTIONS:
            sock.sendall(question)
            try:
                answers.append(sock.recv(1))
            except TimeoutError:
                answers.append(b"")
    return answers


def asked_again_elsewhere() -> list[bytes]:
    answers = []
    for question in QUESTIONS:
        answer = b""
        for _ in range(3):
            with connect() as sock:
                sock.sendall(question)
                try:
                    answer = sock.recv(1)
                except TimeoutError:
                    continue
            break
        answers.append(answer)
    return answers


def told_by_its_number() -> list[bytes]:
    """The server says what was asked: what answers something else is dropped."""
    answers = []
    with connect() as sock:
        for question in QUESTIONS:
            answer, left = b"", 3
            while left and answer != question.upper():
                sock.sendall(question)
                try:
                    while answer != question.upper():
                        answer = sock.recv(1)
                        if not answer:
                            raise ConnectionError
                except TimeoutError:
                    left -= 1
            answers.append(answer if left else b"")
    return answers


def refuses_the_late_one_and_all_behind_it() -> list[bytes]:
    """It looks which question each is an answer to, and does not look at the next one for it."""
    answers = []
    with connect() as sock:
        for question in QUESTIONS:
            sock.sendall(question)
            try:
                answer = sock.recv(1)
                answers.append(answer if answer == question.upper() else b"?")
            except TimeoutError:
                answers.append(b"")
    return answers


def swept(client: Callable[[], list[bytes]], **options: Any) -> SweepResult:
    def test(net: simnet.Network) -> object:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        return net.host("client").run(client)

    result: SweepResult = simnet.sweep(target="client", kinds=["stall"], **options)(test).simnet_explore()  # type: ignore[attr-defined]
    return result


@pytest.mark.slow
@pytest.mark.parametrize("client", [asked_again_there, given_up])
def test_who_takes_a_late_answer_for_the_next_is_warned_of(client: Callable[[], list[bytes]]) -> None:
    result = swept(client)
    assert not result.failures
    assert {each.name for each in result.warnings} == {"answers-told-apart"}
    assert "on client->server:7#1 a late answer was taken for that to the next question" in result.warnings[0].text
    _, _, line = result.warnings[0].at.partition(":")
    assert "sendall(question)" in linecache.getline(__file__, int(line)), (
        "where it goes on with the connection that it has given up"
    )


def has_two_words_for_what_does_not_come() -> list[bytes]:
    """It looks which question an answer is to, drops what comes late, and says of the first that failed that it did."""
    answers: list[bytes] = []
    with connect() as sock:
        for question in (*QUESTIONS, b"d"):
            sock.sendall(question)
            try:
                while (answer := sock.recv(1)) != question.upper():
                    if not answer:
                        raise ConnectionError
            except TimeoutError:
                answer = b"late too" if b"late" in answers else b"late"
            answers.append(answer)
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("client", [asked_again_elsewhere, told_by_its_number, has_two_words_for_what_does_not_come])
def test_who_does_not_is_not(client: Callable[[], list[bytes]]) -> None:
    result = swept(client)
    assert not result.failures
    assert not result.warnings


@pytest.mark.slow
def test_who_refuses_all_that_follow_is_warned_of() -> None:
    (warned,) = swept(refuses_the_late_one_and_all_behind_it).warnings
    assert warned.name == "answers-told-apart"
    assert "on client->server:7#1 an answer came late, and with it all are refused that follow" in warned.text


@pytest.mark.slow
@pytest.mark.parametrize(("client", "warned"), [(given_up, 1), (asked_again_elsewhere, 0)])
def test_an_assertion_that_fails_hides_nothing_of_what_a_client_has_returned(
    client: Callable[[], list[bytes]], warned: int
) -> None:
    """The test returns nothing then, and is interrupted; the client's own list is looked at. Of each run the line is the same."""

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        assert net.host("client").run(client) == [question.upper() for question in QUESTIONS]

    result = simnet.sweep(target="client", kinds=["stall"])(test).simnet_explore()  # type: ignore[attr-defined]
    assert [each.name for each in result.warnings] == ["answers-told-apart"] * warned
    assert all(each.count > 1 and "told_the_next" in each.at for each in result.warnings)


@pytest.mark.slow
def test_who_takes_a_late_reply_for_the_next_one_is_warned_of_where_another_connection_was_slow() -> None:
    """A file comes by a connection of its own, as in FTP, and then the reply that it was sent."""

    def send(port: int) -> None:
        with socket.create_server(("", port)) as listener, socket.create_server(("", 20)) as files:
            while True:
                with suppress(OSError), listener.accept()[0] as sock:
                    while question := sock.recv(1):
                        if question == b"g":
                            with files.accept()[0] as file:
                                file.sendall(b"file")
                                file.shutdown(socket.SHUT_WR)
                                file.recv(1)
                        sock.sendall(question.upper())

    def fetch(*, waits: bool) -> list[bytes]:
        answers = []
        with connect() as sock:
            sock.settimeout(100)
            sock.sendall(b"g")
            file = socket.create_connection(("server", 20), timeout=2)
            try:
                answers.append(file.makefile("rb").read())
            except TimeoutError:
                answers.append(b"")
            file.close()
            answers.append(sock.recv(1) if answers[0] or waits else b"")
            for question in (b"x", b"y"):
                sock.sendall(question)
                answers.append(sock.recv(1))
        return answers

    def warnings(*, waits: bool) -> list[str]:
        def test(net: simnet.Network) -> object:
            net.host("server").spawn(send, 7)
            net.host("server").wait_listening(7)
            return net.host("client").run(lambda: fetch(waits=waits))

        result = simnet.sweep(target="client", kinds=["stall"])(test).simnet_explore()  # type: ignore[attr-defined]
        return [each.name for each in result.warnings]

    assert warnings(waits=False) == ["answers-told-apart"]
    assert not warnings(waits=True)


@pytest.mark.slow
def test_it_may_be_a_failure_or_meant() -> None:
    (failure,) = swept(given_up, invariants={"answers-told-apart": "failure"}).failures
    assert failure.reason == "answers-told-apart"
    result = swept(given_up, invariants={"answers-told-apart": "off: they are all alike"})
    assert not result.failures
    assert not result.warnings


@pytest.mark.parametrize(
    ("was", "now", "moved"),
    [
        pytest.param("ABC", "AAB", True, id="asked-twice"),
        pytest.param("ABC", "-AB", True, id="given-up"),
        pytest.param("ABC", "BC-", False, id="one-is-missing"),
        pytest.param("ABC", "BAC", False, id="as-they-came"),
        pytest.param("ABC", "A-C", False, id="none"),
        pytest.param("AAA", "A-A", False, id="all-alike"),
    ],
)
def test_what_is_at_a_later_place_and_what_is_not(was: str, now: str, moved: bool) -> None:
    assert _moved_on(list(was), list(now)) is moved


@pytest.mark.parametrize(
    ("was", "now", "lost"),
    [
        pytest.param("ABCD", "-???", True, id="all-refused"),
        pytest.param("ABCD", "A-??", True, id="from-the-second-on"),
        pytest.param("ABCD", "----", False, id="all-too-late"),
        pytest.param("ABCD", "AB-?", False, id="only-one"),
        pytest.param("ABCD", "-?C?", False, id="some"),
        pytest.param("ABCD", "-123", False, id="numbers-or-times"),
        pytest.param("ABCC", "-CCC", False, id="answers-that-there-are"),
    ],
)
def test_what_is_refused_behind_a_late_one_and_what_is_not(was: str, now: str, lost: bool) -> None:
    assert _lost_step(list(was), list(now)) is lost


def count(port: int) -> None:
    """What it answers is how many questions there were."""
    numbers = itertools.count(1)

    def answer(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while sock.recv(1):
                sock.sendall(b"%d\n" % next(numbers))

    with socket.create_server(("", port)) as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def counted_on_one_connection_after_the_other() -> list[bytes]:
    """Who is not answered in time hangs up and connects anew; and sleeps before each question."""
    answers: list[bytes] = []
    with ExitStack() as there:
        lines: Any = None
        for _ in range(5):
            time.sleep(5)
            try:
                if lines is None:
                    lines = there.enter_context(there.enter_context(connect()).makefile("rwb"))
                lines.write(b"?")
                lines.flush()
                answers.append(lines.readline())
            except TimeoutError:
                answers.append(b"")
                there.close()
                lines = None
    return answers


@pytest.mark.slow
def test_who_connects_anew_is_not_though_what_is_counted_comes_later() -> None:
    def test(net: simnet.Network) -> object:
        net.host("server").spawn(count, 7)
        net.host("server").wait_listening(7)
        return net.host("client").run(counted_on_one_connection_after_the_other)

    result: SweepResult = simnet.sweep(target="client", kinds=["stall"])(test).simnet_explore()  # type: ignore[attr-defined]
    assert result.noted
    assert not result.warnings
