"""A method that `check` is given: it is kept in a file only where a command could play that, and else shown as a call."""

from __future__ import annotations

import socket
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet.explore.check import check


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100))


def talk(net: simnet.Network, payload: bytes) -> bytes:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(payload)
        with sock.makefile("rb") as replies:
            return replies.read()


class WithSetUp(unittest.TestCase):
    """Not collected, as it has no tests."""

    def setUp(self) -> None:
        """Nothing, but pytest alone would call it."""

    def conversation(self, net: Any) -> bytes:
        return talk(net, b"ping")


class Bare(unittest.TestCase):
    payload = b"ping"

    def conversation(self, net: Any) -> bytes:
        return talk(net, self.payload)


class WithArguments:
    def __init__(self, payload: bytes = b"hello") -> None:
        self.payload = payload

    def conversation(self, net: Any) -> bytes:
        return talk(net, self.payload)


class Plain:
    payload = b"ping"

    def conversation(self, net: Any) -> bytes:
        return talk(net, self.payload)


def told(each: Any) -> Any:
    """*each*, written to after it was made, as a test does before it calls `check`."""
    each.payload = b"pong"
    return each


def run_it(test: Callable[[Any], object], caught: pytest.ExceptionInfo[BaseException]) -> str:
    return next(line for line in caught.value.__notes__[0].splitlines() if line.startswith("run it")).split(None, 2)[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("simnet.explore.check._file_and_root", lambda test: (Path(__file__), Path(__file__).parent))
    monkeypatch.setattr("simnet.explore.keep.Scenario.failure_path", lambda self, root: tmp_path / "failure.toml")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "owner", [WithSetUp(), told(Bare()), WithArguments(b"ping"), told(Plain())], ids=lambda each: type(each).__name__
)
def test_what_no_command_could_play_is_shown_as_a_call(owner: Any, root: Path) -> None:
    with pytest.raises((AssertionError, OSError)) as caught:
        check(owner.conversation, target="server", kinds="short-recv", first=True)
    call = run_it(owner.conversation, caught)
    assert call.startswith('simnet.check(self.conversation, target="server", plan="short-recv test->server:7#1 ')
    assert "keep it" not in caught.value.__notes__[0]
    assert not list(root.iterdir())
    with pytest.raises(type(caught.value)):
        eval(call, {"simnet": simnet, "self": owner})


@pytest.mark.parametrize("owner", [Bare(), Plain()], ids=lambda each: type(each).__name__)
def test_one_that_a_new_object_has_as_well_is_kept_in_a_file(owner: Any, root: Path) -> None:
    with pytest.raises((AssertionError, OSError)) as caught:
        check(owner.conversation, target="server", kinds="short-recv", first=True)
    assert run_it(owner.conversation, caught).startswith("simnet replay ")
    assert (root / "failure.toml").exists()
