"""Exceptions that let nothing be written on them, as a frozen dataclass. pytest cannot pass them on, nor contextlib; the report is there all the same."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import pytest

import simnet
from simnet.blame import note, write_on
from simnet.explore.raising import SweepFailure
from simnet.run import play
from tests.simnet.faces_samples import lay_out

SOURCE = """
import contextlib
import socket
from dataclasses import dataclass
import pytest
import simnet

@dataclass(frozen=True)
class Refused(Exception):
    word: bytes

def serve():
    with socket.create_server(("", 7)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                word = conn.recv(100)
                if word and word != b"hello":
                    raise Refused(word)

def talk():
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)

@simnet.sweep(target="server", kinds="short-recv")
def test_server(net):
    net.host("server").spawn(serve)
    talk()

@simnet.sweep(target="server", kinds="short-recv")
def test_itself(net):
    net.host("server").spawn(serve)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        with contextlib.suppress(OSError):
            sock.recv(100)
        if net.happened:
            raise Refused(b"mine")
"""


@dataclass(frozen=True)
class Refused(Exception):
    word: bytes


def test_a_note_and_a_traceback_are_put_on_it() -> None:
    try:
        raise Refused(b"x")
    except Refused as caught:
        error = caught
    note(error, "one")
    note(error, "two")
    assert error.__notes__ == ["one", "two"]
    write_on(error, "__traceback__", None)
    assert error.__traceback__ is None


def test_check_raises_one_that_pytest_can_pass_on() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                if (word := conn.recv(100)) != b"hello":
                    raise Refused(word)

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    with pytest.raises(SweepFailure, match="Refused: b'h'") as caught:
        simnet.check(test, target="server", kinds="short-recv")
    assert any("returned at most 1 byte" in each for each in caught.value.__notes__)
    assert caught.traceback[-1].frame.code.name == "serve"


def test_one_that_says_what_must_hold_is_that_in_the_verdict() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(socket.create_server, ("", 7))
        with net.always():
            raise Refused(b"always")

    run = play(test, target="server")
    assert isinstance(run.body_error, Refused)
    assert [each.error for each in run.verdicts] == [run.body_error]


@pytest.mark.slow
def test_pytest_shows_the_users_own(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    pytester.makepyfile(test_frozen=SOURCE)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "test_frozen.py")
    assert "FrozenInstanceError" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "FAILED test_frozen.py::test_server - Refused at test_frozen.py:18 *",
            "FAILED test_frozen.py::test_itself - Refused at test_frozen.py:*",
        ]
    )
