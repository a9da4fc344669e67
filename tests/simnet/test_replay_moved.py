"""A failure on record that no longer shows: is it mended, or does its fault hit something else since the program has changed?"""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.expect import Expect, Found
from simnet.explore.elsewhere import elsewhere
from simnet.explore.hits import hits
from simnet.explore.keep import failure_text, save
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, Replayed, replay
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play

SERVER = SweepOptions.of(target="server")
SHORT = "short-recv test->server:7#1 end=server call=1 bytes=2"
SPLIT = "split test->server:7#1 end=server byte=2"
OF_CALL, OF_BYTE = "recv b'hello', 1 of 1", "byte 2 of b'hello', send 1 of 1"


def serve(port: int, logins: int = 0, whole: bool = False) -> None:
    """Answers a word, after so many *logins* of a byte; if not *whole*, what the first recv brings is the word."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                for _ in range(logins):
                    conn.recv(1)
                word = conn.recv(100)
                while whole and len(word) < 5 and (more := conn.recv(100)):
                    word += more
                conn.sendall(word.upper())


class Conversation:
    """The test, in one of its versions; it counts its runs."""

    def __init__(self, login: bytes = b"", word: bytes = b"hello", host: str = "test", whole: bool = False) -> None:
        self.login, self.word, self.host, self.whole = login, word, host, whole
        self.runs = 0

    def talk(self) -> bytes:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(self.login + self.word)
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()

    def __call__(self, net: Any) -> None:
        self.runs += 1
        net.host("server").spawn(serve, 7, len(self.login), self.whole)
        got = net.host(self.host).run(self.talk) if self.host != "test" else self.talk()
        assert got == self.word.upper()


def played(test: Callable[[Any], None], plan: str, hit: str | None, expect: Expect | None = None) -> Replayed:
    record = OnRecord(expect or Expect(), Found(by="sweep", failure=recorded(Conversation(), plan), hits=hit))
    return replay(test, FaultPlan.parse(plan), options=SERVER, record=record)


def recorded(test: Callable[[Any], None], plan: str) -> str:
    failure = replay(test, FaultPlan.parse(plan), options=SERVER).judgement.failure
    assert failure is not None
    return failure_text(failure)


@pytest.mark.parametrize(
    ("plan", "hit", "change"),
    [
        pytest.param(SHORT, OF_CALL, "call = 4", id="call"),
        pytest.param(SPLIT, OF_BYTE, "byte = 4", id="byte"),
        pytest.param(SHORT, None, "call = 4", id="nothing-on-record-of-what-it-hit"),
        pytest.param(
            f"{SPLIT}; stall test->server:7#1 end=client byte=0 seconds=0.01",
            None,
            "byte = 4 in fault 1",
            id="two-faults",
        ),
    ],
)
def test_what_fails_as_on_record_at_another_call_or_byte_of_the_connection_has_moved(
    plan: str, hit: str | None, change: str
) -> None:
    assert played(Conversation(), plan, hit).word == "same failure on another path"
    for expect in (Expect(), Expect(error="Exception")):
        moved = played(Conversation(login=b"joe"), plan, hit, expect)
        assert (moved.word, moved.expected, moved.says_nothing) == ("moved", False, True)
        assert f"for it is not fixed: with {change} the failure on record is there, " in moved.why
        assert "If that is another bug, take `found` out of the file" in moved.why


@pytest.mark.parametrize(("plan", "hit"), [(SHORT, OF_CALL), (SPLIT, OF_BYTE)])
def test_a_fault_that_hits_what_it_did_and_does_no_harm_is_fixed_without_a_search(plan: str, hit: str) -> None:
    test = Conversation(whole=True)
    mended = played(test, plan, hit)
    assert (mended.word, mended.expected, mended.aside) == ("fixed", True, "")
    assert test.runs == 2  # without faults, and with


@pytest.mark.parametrize(("plan", "hit"), [(SHORT, OF_CALL), (SPLIT, OF_BYTE)])
def test_what_is_mended_while_its_surroundings_change_is_fixed_and_the_change_is_told(plan: str, hit: str) -> None:
    test = Conversation(login=b"joe", whole=True)
    mended = played(test, plan, hit)
    assert (mended.word, mended.expected) == ("fixed", True)
    assert mended.aside.startswith(f"It hits something else than when it was found: then {hit}; now ")
    assert 2 < test.runs < 70


def test_where_the_test_says_otherwise_now_what_is_wrong_that_is_told_beside_fixed() -> None:
    def test(net: Any) -> None:
        try:
            Conversation(login=b"joe")(net)
        except (AssertionError, OSError) as error:
            raise ValueError("not what was asked") from error

    renamed = played(test, SHORT, OF_CALL)
    assert renamed.word == "fixed"
    assert "Under short-recv test->server:7#1 end=server call=4 bytes=2 it fails otherwise: ValueError" in renamed.aside
    assert renamed.line.endswith("; what its fault hits is not what it was")


def test_without_a_failure_on_record_only_the_fault_itself_is_played() -> None:
    test = Conversation(login=b"joe")
    alone = replay(test, FaultPlan.parse(SHORT), options=SERVER)
    assert (alone.word, test.runs) == ("no failure", 2)


def test_where_nothing_is_at_the_place_any_more_the_one_where_the_failure_is_now_is_told() -> None:
    away = played(Conversation(host="client"), SHORT, OF_CALL)
    assert away.word == "not reached"
    assert 'With on = "client->server:7#1" the failure on record is there, ConnectionResetError' in away.why


def counting(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        total = 0
        while True:
            data, peer = sock.recvfrom(100)
            total += int(data)
            sock.sendto(b"%d" % total, peer)


def test_the_datagram_that_does_harm_is_found_behind_one_more_that_does_none() -> None:
    def adds(*numbers: int) -> Callable[[Any], None]:
        def test(net: Any) -> None:
            net.host("server").spawn(counting, 53)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                for number in numbers:
                    got = None
                    while got is None:
                        sock.sendto(b"%d" % number, ("server", 53))
                        try:
                            got = int(sock.recv(100))
                        except TimeoutError:
                            continue
            with net.always():
                assert got == sum(numbers)

        return test

    plan = FaultPlan.parse("drop server->test:* datagram=1")
    hit = hits(plan, play(adds(2, 3), target="server").trace)
    assert hit == "datagram b'2', 1 of 2"
    found = Found(by="sweep", failure=recorded(adds(2, 3), str(plan)), hits=hit)
    moved = replay(adds(0, 2, 3), plan, options=SERVER, record=OnRecord(Expect(interrupted=True), found))
    assert moved.word == "moved"
    assert "with datagram = 2 the failure on record is there" in moved.why


@pytest.mark.parametrize(
    ("plan", "hit"),
    [
        (SHORT, OF_CALL),
        (SPLIT, OF_BYTE),
        ("eof test->server:7#1 end=server byte=5", "the end of 5 bytes"),
        ("eof test->server:7#1 end=server byte=6", ""),
        ("split *->*:7#1 end=client byte=2", "byte 2 of b'HELLO', send 1 of 1"),
        ("would-block server:7 accept call=1", "accept test:32768, 1 of 1"),
        ("refuse test->server:7#1", "connect"),
        ("refuse test->server:7#2", ""),
        ("name-error test lookup=1 errno=EAI_AGAIN", "lookup server, 1 of 1"),
        ("pause server at=0.001 seconds=1", ""),
        (f"{SHORT}; {SPLIT}", f"{OF_CALL}; {OF_BYTE}"),
    ],
)
def test_what_a_fault_hits_is_told_as_the_run_without_it_has_it(plan: str, hit: str) -> None:
    trace = play(Conversation(), target="server").trace
    assert hits(FaultPlan.parse(plan), trace) == hit


def test_a_sweep_records_what_its_faults_hit(tmp_path: Any) -> None:
    result = run_sweep(Conversation(), SweepOptions.of(target="server", kinds=["short-recv"]))
    save(result, tmp_path, "test_x.py::test_x")
    (file,) = tmp_path.rglob("*.toml")
    scenario = simnet.Scenario.read(file, check=False)
    assert scenario.found is not None
    assert scenario.found.hits == OF_CALL


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline().split()[1]


def serve_lines(port: int) -> None:
    with socketserver.TCPServer(("", port), Lines) as server:
        server.serve_forever()


def test_a_function_below_a_librarys_handler_is_told_by_its_name() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(serve_lines, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"SET a\n")
            sock.recv(100)

    record = OnRecord(Expect(error="IndexError", at="finish"))
    again = replay(test, FaultPlan.parse("eof test->server:7#1 end=server byte=3"), options=SERVER, record=record)
    assert again.why.endswith('say so in expect, where `at` is now "handle".')


def serve_the_patient(port: int, logins: int = 0) -> None:
    """Reads once more where a word is short, and no third time."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                for _ in range(logins):
                    conn.recv(1)
                word = conn.recv(100)
                if 0 < len(word) < 5:
                    word += conn.recv(100)
                conn.sendall(word.upper())


def patient(logins: int = 0, visits: int = 1) -> Callable[[Any], None]:
    def test(net: Any) -> None:
        net.host("server").spawn(serve_the_patient, 7, logins)
        for _ in range(visits - 1):
            socket.create_connection(("server", 7)).close()
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"j" * logins + b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"HELLO"

    return test


TWICE = "short-recv test->server:7#1 end=server call=1 bytes=1; short-recv test->server:7#1 end=server call=2 bytes=1"


@pytest.mark.parametrize(
    ("now", "word", "change"),
    [
        pytest.param(
            patient(visits=2),
            "not reached",
            'With on = "test->server:7#2" in faults 1 and 2 the failure on record is there, ConnectionResetError',
            id="another-connection-before",
        ),
        pytest.param(
            patient(logins=1),
            "moved",
            "with call = 2 in fault 1, call = 3 in fault 2 the failure on record is there, ConnectionResetError",
            id="another-call-before",
        ),
    ],
)
def test_two_faults_that_have_moved_together_are_found_together(
    now: Callable[[Any], None], word: str, change: str
) -> None:
    record = OnRecord(Expect(), Found(by="fuzz", failure=recorded(patient(), TWICE)))
    plan = FaultPlan.parse(TWICE)
    assert replay(patient(), plan, options=SERVER, record=record).word == "same failure on another path"

    moved = replay(now, plan, options=SERVER, record=record)

    assert (moved.word, moved.says_nothing) == (word, True)
    assert change in moved.why
    assert moved.moved_to is not None
    assert replay(now, moved.moved_to, options=SERVER, record=record).word == "same failure on another path"


def test_a_fault_on_each_connection_stays_one_when_another_is_moved() -> None:
    each = "short-recv test->server:7#* end=server call=2 bytes=1"
    plan = FaultPlan.parse(f"short-recv test->server:7#1 end=server call=1 bytes=1; {each}")
    played: list[str] = []

    def fails(other: FaultPlan) -> str:
        played.append(str(other))
        return ""

    elsewhere(plan, play(patient(visits=2), target="server").points, ("server",), fails, widely=False)

    assert played == [f"short-recv test->server:7#2 end=server call=1 bytes=1; {each}"]
