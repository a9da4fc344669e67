"""Strangers come before a test's client: what they do, and what a sweep says of it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet import faults
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import NothingToTest, run_sweep
from simnet.faults.plan import FaultPlan
from simnet.invariants import NAMES
from simnet.realnet.run import play_real
from simnet.run import Run, play
from simnet.trace import CALL, SEGMENT

ON = "test->server:7#1"
SAY_HELLO = rf"strangers {ON} data=hello\x0a"


def echo(sock: socket.socket) -> None:
    with sock, suppress(OSError):
        while data := sock.recv(100):
            sock.sendall(data)


def in_a_thread(sock: socket.socket) -> None:
    threading.Thread(target=echo, args=(sock,), daemon=True).start()


def one_after_the_other(serve_one: Callable[[socket.socket], object] = echo, most: int = 1 << 30) -> None:
    with socket.create_server(("", 7)) as listener:
        for _ in range(most):
            with suppress(OSError):
                serve_one(listener.accept()[0])


def keeps_the_places_of_the_vanished() -> None:
    """Two are served at once, and who leaves other than properly leaves a place taken."""
    places = threading.Semaphore(2)

    def serve_one(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            places.acquire()
            while line := sock.recv(100):
                sock.sendall(line)
            places.release()

    one_after_the_other(lambda sock: threading.Thread(target=serve_one, args=(sock,), daemon=True).start())


def ask() -> bytes:
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello\n")
        return sock.recv(100)


def asked(serve: Callable[[], object]) -> Callable[[Any], bytes]:
    def test(net: Any) -> bytes:
        net.host("server").spawn(serve)
        return ask()

    return test


def sweep(test: Callable[[Any], object], **options: Any) -> SweepResult:
    return run_sweep(test, SweepOptions.of(target="server", **{"kinds": ["strangers"], **options}))


def said_by_strangers(run: Run) -> list[tuple[str, bytes]]:
    """How each of them ended, and what it said before."""
    said: dict[str, bytes] = {}
    ended: dict[str, str] = {}
    for _, kind, _, place, end, op, _, detail in run.trace.entries:
        if kind == SEGMENT and place.startswith("stranger") and end == "server":
            said[place] = said.get(place, b"") + detail[0]
            if "FIN" in op or "RST" in op:
                ended.setdefault(place, op.partition(" ")[0])
    return [(ended.get(place, ""), each) for place, each in said.items()]


def test_they_say_more_and_more_of_it_and_vanish_most_by_rst() -> None:
    run = play(asked(lambda: one_after_the_other(in_a_thread)), f"{SAY_HELLO} count=16", target="server")
    parts = [b"", b"hel", b"hello", b"hello\n"]
    assert said_by_strangers(run) == [("RST", part) for part in 3 * parts] + [("FIN", part) for part in parts]
    assert run.outcome.returned == b"hello\n"
    assert run.happened == FaultPlan.parse(f"{SAY_HELLO} count=16")


def test_who_stays_goes_when_the_test_has_ended() -> None:
    run = play(asked(lambda: one_after_the_other(in_a_thread)), f"{SAY_HELLO} count=2 then=stay", target="server")
    assert said_by_strangers(run) == [("RST", b""), ("RST", b"hel")]
    closes = [place for _, kind, _, place, _, op, *_ in run.trace.entries if kind == CALL and op == "close"]
    assert closes[0] == ON
    assert not run.waiting or all("accept" in each.what for each in run.waiting)


def test_who_is_polite_says_all_and_reads() -> None:
    run = play(asked(lambda: one_after_the_other(in_a_thread)), f"{SAY_HELLO} count=2 then=leave", target="server")
    assert said_by_strangers(run) == [("FIN", b"hello\n"), ("FIN", b"hello\n")]


def test_a_client_does_not_wait_for_who_comes_behind_it() -> None:
    run = play(asked(lambda: one_after_the_other(in_a_thread)), f"strangers {ON} count=1 when=after", target="server")
    accepted = [
        entry[7][1][0]
        for entry in run.trace.entries
        if entry[1] == CALL and entry[5] == "accept" and isinstance(entry[7][1], tuple)
    ]
    assert accepted == ["test", "stranger"]


def test_the_tests_own_hosts_keep_their_addresses_and_their_names() -> None:
    def test(net: Any) -> tuple[str, str, bytes]:
        net.host("stranger")
        net.host("server").spawn(one_after_the_other)
        heard = ask()
        return net.host("stranger").address, net.host("late").address, heard

    without = play(test, target="server")
    run = play(test, f"{SAY_HELLO} count=4", target="server")
    assert run.outcome == without.outcome
    assert {place.partition("->")[0] for _, _, _, place, *_ in run.trace.entries if "->server" in place} == {
        "test",
        "stranger-too",
    }


def test_a_connection_that_nobody_makes_is_never_reached() -> None:
    run = play(asked(one_after_the_other), "strangers test->server:7#2 count=1", target="server")
    assert run.unreached == (faults.Strangers(on="test->server:7#2", count=1),)


def test_to_a_unix_socket_no_stranger_comes() -> None:
    with pytest.raises(ValueError, match="no stranger comes"):
        faults.Strangers(on="server->server:/run/app.sock#1", count=1)
    with pytest.raises(ValueError, match="count=5000 is more than 4096"):
        faults.Strangers(on=ON, count=5000)
    with pytest.raises(
        ValueError, match="then='sleep' cannot be; it is what they do in the end: vanish, stay, leave, keep"
    ):
        faults.Strangers(on=ON, count=1, then="sleep")


@pytest.mark.slow
def test_the_two_that_a_sweep_tries() -> None:
    result = sweep(asked(lambda: one_after_the_other(in_a_thread)), kinds=None)
    (row,) = (each for each in result.kinds if each.kind == "strangers")
    assert (row.points, row.variants, row.runs) == (1, 2, 2)


# ---- whom a sweep warns of --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_who_is_served_elsewhere_does_not_hide_who_is_not() -> None:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(keeps_the_places_of_the_vanished)
        net.host("other").spawn(one_after_the_other)
        got = []
        for name in ("server", "other"):
            with suppress(TimeoutError), socket.create_connection((name, 7), timeout=5) as sock:
                sock.sendall(name.encode())
                got.append(sock.recv(100))
        return got

    (warned,) = sweep(test).warnings
    assert str(warned).startswith(
        "[served-anyway] server did not serve test->server:7#1, which got no answer: before it"
    )


@pytest.mark.slow
def test_it_can_be_made_a_failure_or_nothing() -> None:
    (warned,) = sweep(asked(keeps_the_places_of_the_vanished)).warnings
    assert warned.name == "served-anyway"
    (failure,) = sweep(asked(keeps_the_places_of_the_vanished), invariants={"served-anyway": "failure"}).failures
    assert failure.reason == "served-anyway"
    assert str(failure.plan) == f"strangers {ON} count=2"  # who have no word to say
    again = sweep(asked(keeps_the_places_of_the_vanished), invariants={"served-anyway": "off: a test's"})
    assert again.ok
    assert not again.warnings
    assert "served-anyway" in NAMES


class Limited:
    """One at a time has a place; who comes meanwhile is sent away."""

    def __init__(self) -> None:
        self.busy = False

    def serve(self) -> None:
        one_after_the_other(self.open)

    def open(self, sock: socket.socket) -> None:
        if self.busy:
            sock.close()
            return
        self.busy = True
        threading.Thread(target=self.serve_one, args=(sock,), daemon=True).start()

    def serve_one(self, sock: socket.socket) -> None:
        echo(sock)
        self.busy = False


def answer_once(sock: socket.socket) -> None:
    with sock, suppress(OSError):
        sock.sendall(sock.recv(100))


def count_them() -> None:
    came: list[socket.socket] = []

    def tell(sock: socket.socket) -> None:
        came.append(sock)
        with sock, suppress(OSError):
            sock.recv(100)
            sock.sendall(b"%d\n" % len(came))

    one_after_the_other(tell)


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            for line in self.rfile:
                self.wfile.write(line)


def library(kind: type[socketserver.TCPServer]) -> None:
    with kind(("", 7), Lines) as server:
        server.serve_forever()


def three_workers() -> None:
    listener = socket.create_server(("", 7))

    def work() -> None:
        while True:
            with suppress(OSError):
                echo(listener.accept()[0])

    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    work()


@pytest.mark.slow
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(lambda: one_after_the_other(in_a_thread), id="a-thread-for-each"),
        pytest.param(lambda: library(socketserver.ThreadingTCPServer), id="the-librarys-threads"),
        pytest.param(lambda: library(socketserver.TCPServer), id="the-librarys-one-after-the-other"),
        pytest.param(one_after_the_other, id="one-after-the-other"),
        pytest.param(lambda: one_after_the_other(answer_once), id="one-answer-one-after-the-other"),
        pytest.param(lambda: one_after_the_other(most=1), id="one-and-ends"),
        pytest.param(lambda: one_after_the_other(most=5), id="five-and-ends"),
        pytest.param(lambda: Limited().serve(), id="one-at-a-time-the-others-are-sent-away"),
        pytest.param(three_workers, id="three-workers"),
        pytest.param(count_them, id="counts-them"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_who_means_to_serve_so_few_is_left_alone(serve: Callable[[], None], strict: bool) -> None:
    result = sweep(asked(serve), strict=strict)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings, [str(each) for each in result.warnings]


@pytest.mark.slow
def test_so_is_it_where_others_would_fail_for_it() -> None:
    assert sweep(asked(one_after_the_other), invariants={"served-anyway": "failure"}).ok


def test_before_clients_who_need_each_other_no_stranger_comes() -> None:
    """Such as two at a bridge, who would meet a stranger there."""

    def bridge() -> None:
        with socket.create_server(("", 7)) as listener:
            one, two = listener.accept()[0], listener.accept()[0]
            with one, two:
                two.sendall(one.recv(100))
                one.sendall(two.recv(100))

    def test(net: Any) -> bytes:
        net.host("server").spawn(bridge)
        with socket.create_connection(("server", 7)) as one, socket.create_connection(("server", 7)) as two:
            one.sendall(b"hello\n")
            two.sendall(two.recv(100))
            return one.recv(100)

    with pytest.raises(NothingToTest):
        sweep(test)


@pytest.mark.slow
def test_to_a_proxy_nobody_comes_to_stay() -> None:
    """It may dial before it is asked, and what is behind it in a test serves one after the other."""

    def forward() -> None:
        def serve_one(sock: socket.socket) -> None:
            with sock, suppress(OSError), socket.create_connection(("behind", 7)) as behind:
                while question := sock.recv(100):
                    behind.sendall(question)
                    sock.sendall(behind.recv(100))

        one_after_the_other(lambda sock: threading.Thread(target=serve_one, args=(sock,), daemon=True).start())

    def test(net: Any) -> bytes:
        net.host("behind").spawn(one_after_the_other)
        net.host("server").spawn(forward)
        return ask()

    result = sweep(test)
    assert not result.warnings, [str(each) for each in result.warnings]
    assert [(each.kind, each.variants) for each in result.kinds] == [("strangers", 1)]


# ---- on real sockets --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_sockets_show_them_too() -> None:
    wrong = play_real(asked(keeps_the_places_of_the_vanished), f"{SAY_HELLO} count=12", target="server")
    assert wrong.outcome.raised is not None
    right = play_real(asked(lambda: one_after_the_other(in_a_thread)), f"{SAY_HELLO} count=12", target="server")
    assert right.outcome.returned == b"hello\n"


@pytest.mark.slow
def test_on_real_sockets_who_says_nothing_stays_until_the_test_has_ended() -> None:
    run = play_real(asked(one_after_the_other), f"{SAY_HELLO} count=1 then=stay", target="server")
    assert run.outcome.raised is not None
    assert "waits for recv" in run.outcome.raised
    with pytest.raises(ValueError, match="a kernel does not tell"):
        play_real(asked(one_after_the_other), f"strangers {ON} count=1 when=after", target="server")
