"""A test that fails without any fault tells nothing of a fault that it was kept for."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import main
from simnet.expect import Expect, Found
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, replay
from simnet.faults.plan import FaultPlan
from tests.simnet.faces_samples import forget_modules, lay_out

SERVER = SweepOptions.of(target="server")
RESET = FaultPlan.parse("reset test->server:7#1 end=server recv call=1")
MENDED = OnRecord(Expect(interrupted=True), Found(by="sweep", failure="ConnectionResetError at server.py:9"))


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn, suppress(OSError):
                while data := conn.recv(100):
                    conn.sendall(data)


def asks_for(answer: bytes) -> Any:
    def test(net: Any) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == answer

    return test


def test_a_test_that_passes_without_faults_may_be_interrupted_by_one() -> None:
    played = replay(asks_for(b"hello"), RESET, options=SERVER, record=MENDED)
    assert (played.word, played.expected, played.says_nothing) == ("fixed", True, False)


@pytest.mark.parametrize("expect", [Expect(interrupted=True), Expect(error="ConnectionResetError", reason="#1")])
def test_one_that_fails_without_faults_is_neither_fixed_nor_interrupted(expect: Expect) -> None:
    played = replay(asks_for(b"HELLO"), RESET, options=SERVER, record=OnRecord(expect, MENDED.found))
    assert (played.word, played.expected, played.says_nothing) == ("fails without faults", False, True)
    assert played.line == "replay: fails without faults"
    assert played.why.startswith("the test fails without any fault, AssertionError at test_replay_of_a_broken_test.py:")


def test_a_known_failure_that_is_still_there_is_known() -> None:
    played = replay(asks_for(b"HELLO"), RESET, options=SERVER, record=OnRecord(Expect(invariant="outcome")))
    assert not played.expected
    both = FaultPlan.parse("split test->server:7#1 end=server byte=1")
    played = replay(asks_for(b"HELLO"), both, options=SERVER, record=OnRecord(Expect(error="AssertionError")))
    assert (played.expected, played.says_nothing) == (True, False)


@pytest.mark.parametrize("command", [("shrink",), ("keep", "--reason", "#1")])
def test_its_file_is_neither_made_small_nor_excused(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    tests = tmp_path / "test_servers.py"
    tests.write_text(tests.read_text().replace('== b"good day"', '== b"good evening"'))
    text = 'format = 1\ntest = "test_servers.py::test_hasty"\n' + "".join(
        f'[[fault]]\nkind = "split"\non = "test->server:7#1"\nend = "client"\nbyte = {byte}\n' for byte in (3, 5)
    )
    (tmp_path / "it.toml").write_text(text)
    assert main([command[0], "it.toml", *command[1:]]) == 2
    assert "the test fails without any fault (AssertionError at test_servers.py:" in " ".join(
        capsys.readouterr().err.split()
    )
    assert (tmp_path / "it.toml").read_text() == text
    forget_modules()


def test_its_exit_code_says_that_the_run_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    tests = tmp_path / "test_servers.py"
    tests.write_text(tests.read_text().replace('== b"good day"', '== b"good evening"'))
    (tmp_path / "it.toml").write_text(
        'format = 1\ntest = "test_servers.py::test_hasty"\nexpect = {interrupted = true}\n[[fault]]\nkind = "reset"\n'
        'on = "test->server:7#1"\nend = "server"\nop = "recv"\ncall = 1\n'
    )
    assert main(["replay", "it.toml"]) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "replay: fails without faults" in told
    assert "the test fails without any fault, AssertionError at test_servers.py:" in told
    forget_modules()
