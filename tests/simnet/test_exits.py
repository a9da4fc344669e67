"""What a simulated program registers with ``atexit`` is called at its end, and by nobody afterwards."""

from __future__ import annotations

import atexit
import importlib
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simnet


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """The interpreter calls at its end what it would have called without the test."""
    simnet.Network().__enter__().__exit__(None, None, None)  # the stand-ins' own is there from the first on
    before = atexit._ncallbacks()
    yield
    assert atexit._ncallbacks() == before


@pytest.mark.usefixtures("nothing_is_left")
def test_a_program_says_goodbye_when_it_ends(simnet_network: Any) -> None:
    told: list[str] = []

    def work() -> None:
        time.sleep(1)
        told.append("its thread")

    def client() -> None:
        conn = socket.create_connection(("server", 7))
        atexit.register(conn.close)
        atexit.register(conn.sendall, b"bye")
        assert atexit.register(told.append, "first") == told.append
        atexit.register(told.append, "never")
        atexit.unregister(told.append)
        threading.Thread(target=lambda: atexit.register(told.append, "last")).start()
        threading.Thread(target=work).start()
        with pytest.raises(TypeError, match="must be callable"):
            atexit.register(5)  # type: ignore[arg-type]

    def server() -> tuple[bytes, bytes, float]:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            return conn.recv(9), conn.recv(9), round(time.monotonic(), 1)

    serving = simnet_network.host("server").spawn(server)
    simnet_network.host("client").run(client)
    serving.join()
    assert serving.result == (b"bye", b"", 1.0)
    assert told == ["its thread", "last"]


@pytest.mark.usefixtures("nothing_is_left")
def test_what_one_raises_is_written_and_the_next_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    told: list[int] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: seen.append((error.exc_type, error.err_msg)))

    def fail(error: BaseException) -> None:
        raise error

    def client() -> None:
        atexit.register(told.append, 1)
        atexit.register(fail, SystemExit(3))
        atexit.register(fail, KeyError("there is none"))
        sys.exit(0)

    with simnet.Network() as net:
        net.host("client").run(client)
    assert seen == [(each, "Exception ignored in atexit callback") for each in (KeyError, SystemExit)]
    assert told == [1]


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("how", ["by an exception", "by a crash", "with its network"])
def test_who_is_ended_wherever_it_is_says_nothing(how: str) -> None:
    told: list[str] = []

    def client() -> None:
        atexit.register(told.append, "goodbye")
        if how == "by an exception":
            raise KeyError(how)
        threading.Event().wait()

    with simnet.Network() as net:
        if how == "by an exception":  # which is an end as any other
            with pytest.raises(KeyError):
                net.host("client").run(client)
        else:
            net.host("client").spawn(client)
        if how == "by a crash":
            net.host("client").crash()
    assert told == (["goodbye"] if how == "by an exception" else [])


def test_what_all_programs_share_is_the_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cleaned_up.py").write_text("import atexit\n\n\natexit.register(len, 'all')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    added: list[int] = []

    def client() -> None:
        before = atexit._ncallbacks()
        importlib.import_module("cleaned_up")
        weakref.finalize(client, len, "")  # the first of an interpreter registers what calls them all
        atexit.register(abs, -1)
        added.append(atexit._ncallbacks() - before)

    weakref.finalize(client, len, "")
    with simnet.Network() as net:
        net.host("client").run(client)
        before = atexit._ncallbacks()
        atexit.register(abs, -1)
        added.append(atexit._ncallbacks() - before)
    assert added == [1, 1]
    for each in (len, abs):
        atexit.unregister(each)
    sys.modules.pop("cleaned_up")
