"""Who asks again on another connection what was heard on the one that ended is warned, if that shows that it was done twice."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.judging.said_twice import said_twice
from simnet.run import play

Answers = Callable[[bytes], bytes]


def serving(answers: Answers, heard: list[bytes], parts: int = 1) -> Callable[[], None]:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                with listener.accept()[0] as sock, sock.makefile("rb") as lines:
                    try:
                        for line in lines:
                            heard.append(line)
                            answer = answers(line)
                            size = len(answer) // parts
                            for begin in range(0, len(answer), size):
                                sock.sendall(answer[begin : begin + size])
                    except OSError:
                        pass

    return serve


def asks(*hosts: str) -> list[bytes]:
    """Three questions; what is not answered is asked again, whatever it is."""
    got: list[bytes] = []
    questions = [b"one\n", b"two\n", b"three\n"]
    for host in hosts:
        with socket.create_connection((host, 7)) as sock, sock.makefile("rb") as lines:
            while questions:
                try:
                    sock.sendall(questions[0])
                    line = lines.readline()
                except OSError:
                    break
                if not line.endswith(b"\n"):
                    break
                got.append(line)
                questions.pop(0)
    return got


def told(
    answers: Callable[[], Answers],
    plan: str,
    log: bool = False,
    beside: Callable[[list[bytes]], object] = list,
    parts: int = 1,
    hosts: tuple[str, str] = ("server", "server"),
) -> str | None:
    """What is said again under *plan*; with a *log* the outcome has what the servers have heard."""

    def test(net: Any) -> object:
        heard: list[bytes] = []
        for host in dict.fromkeys(hosts):
            net.host(host).spawn(serving(answers(), heard, parts))
        got: list[bytes] = net.host("client").run(asks, *hosts)
        return beside(heard) if log else got

    baseline = play(test, target="client")
    run = play(test, plan, target="client", baseline=baseline)
    found = said_twice(baseline, run, tuple(run.happened))
    return None if found is None else f"{found.host} {found.place} {found.said!r} {found.ended}"


def counting() -> Answers:
    numbers = iter(range(9))
    return lambda line: b"%d\n" % next(numbers)


BEHIND_THE_FIRST = "eof client->server:7#1 end=client byte=2"


def test_another_answer_shows_that_it_was_done_twice() -> None:
    assert told(counting, BEHIND_THE_FIRST) == "client client->server:7#2 b'two\\n' client->server:7#1"


def test_and_so_does_a_longer_log() -> None:
    assert (
        told(lambda: lambda line: b"k\n", BEHIND_THE_FIRST, log=True)
        == "client client->server:7#2 b'two\\n' client->server:7#1"
    )


def test_who_asks_another_server_has_said_it_to_that_one_once() -> None:
    assert told(counting, BEHIND_THE_FIRST, hosts=("server", "replica")) is None


@pytest.mark.parametrize("parts", [1, 2])
def test_a_part_of_the_answer_may_have_come(parts: int) -> None:
    """Of a server that answers in two parts, the second tells it that the connection is gone; it has done by then what it was told to."""

    def answers() -> Answers:
        numbers = iter(range(9))
        return lambda line: b"done: %d\n" % next(numbers)

    said = "client client->server:7#2 b'two\\n' client->server:7#1"
    assert told(answers, "reset client->server:7#1 end=client byte=10", parts=parts) == said


@pytest.mark.parametrize("beside", [["sent"], ["sent", "sent"]], ids=["one", "two"])
def test_the_log_may_stand_beside_something_else(beside: list[str]) -> None:
    """And has again what it had; a list of what went wrong is longer, too."""
    assert (
        told(lambda: lambda line: b"k\n", BEHIND_THE_FIRST, log=True, beside=lambda heard: (beside, heard)) is not None
    )
    went_wrong = told(
        lambda: lambda line: b"k\n",
        BEHIND_THE_FIRST,
        log=True,
        beside=lambda heard: (beside, ["it was asked again"] * (len(heard) - 3)),
    )
    assert went_wrong is None


@pytest.mark.parametrize(
    ("answers", "plan"),
    [
        (lambda: bytes.upper, "eof client->server:7#1 end=client byte=4"),
        (counting, "eof client->server:7#1 end=client byte=0"),
        (counting, "eof client->server:7#1 end=server byte=4"),
    ],
    ids=["answered as before", "the first thing that is said there", "it was not heard"],
)
def test_nothing_shows_that(answers: Callable[[], Answers], plan: str) -> None:
    assert told(answers, plan) is None
