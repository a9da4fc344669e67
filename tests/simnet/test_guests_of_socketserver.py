"""Servers of the standard library that give each connection a thread: in a run it is a process of the same host."""

from __future__ import annotations

import http.client
import http.server
import socket
import socketserver
import threading
from typing import Any

import pytest

import simnet
from simnet import modules
from simnet.explore.judging.verdict import judge


class Capitals(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def serve_two(daemon_threads: bool) -> str:
    with socketserver.ThreadingTCPServer(("", 7), Capitals) as server:
        server.daemon_threads = daemon_threads
        for _ in range(2):
            server.handle_request()
    return "closed"


@pytest.mark.parametrize("daemon_threads", [False, True])
def test_connections_are_served_side_by_side_and_waited_for_at_the_end(
    simnet_network: Any, daemon_threads: bool
) -> None:
    server = simnet_network.host("server").spawn(serve_two, daemon_threads)
    with socket.create_connection(("server", 7)) as one, socket.create_connection(("server", 7)) as two:
        for sock, word in ((one, b"one\n"), (two, b"two\n")):
            sock.sendall(word)
        if daemon_threads:  # they end with their server
            assert server.join(1)
            return
        for sock, word in ((two, b"TWO\n"), (one, b"ONE\n")):
            assert sock.recv(100) == word
        assert not server.join(1)
    assert server.join(1)
    assert server.result == "closed"


class Late(socketserver.StreamRequestHandler):
    """Sends with ``finish``, whose ``wfile.close()`` raises once more when the client is gone: nobody closes ``rfile``."""

    wbufsize = -1

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def serve_late() -> None:
    socketserver.ThreadingTCPServer(("", 7), Late).serve_forever()


@pytest.mark.slow
def test_what_the_exception_of_a_handler_held_is_no_lost_descriptor() -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve_late)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            return sock.recv(100)

    simnet.check(test, target="server", kinds=["error", "reset"])


def test_a_datagram_has_a_process_too(simnet_network: Any) -> None:
    class Answer(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    def serve() -> None:
        socketserver.ThreadingUDPServer(("", 7), Answer).serve_forever()

    simnet_network.host("server").spawn(serve)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("server", 7))
        sock.send(b"what")
        assert sock.recv(100) == b"WHAT"


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def serve_pages() -> None:
    with http.server.ThreadingHTTPServer(("", 80), Page) as server:
        server.serve_forever()


@pytest.mark.slow
@simnet.sweep(target="server", runs=150)
def test_a_web_server_in_threads_is_swept(net: Any) -> None:
    net.host("server").spawn(serve_pages)
    two = [http.client.HTTPConnection("server") for _ in range(2)]
    for connection in (*two, two[0]):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"  # while the other is open
    for connection in two:
        connection.close()


def test_outside_of_a_run_they_are_threads_as_ever() -> None:
    seen: list[threading.Thread] = []

    class Look(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.append(threading.current_thread())

    simnet.play(lambda net: None)
    assert modules.in_place()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Look) as server:
        with socket.create_connection(server.server_address[:2]):
            server.handle_request()
    assert seen != [threading.main_thread()]


class Fragile(socketserver.StreamRequestHandler):
    """Takes for granted that a line has two words."""

    def handle(self) -> None:
        for line in self.rfile:
            _, word = line.split(b" ")
            self.wfile.write(word)


def serve_and_print() -> None:
    with socketserver.TCPServer(("", 7), Fragile) as listening:
        listening.serve_forever()


def test_an_exception_that_a_server_prints_and_goes_on_from_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve_and_print)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"GET me\n")
            with client.makefile("rb") as file:
                return file.readline()

    baseline = simnet.play(test, target="server")
    run = simnet.play(test, "eof test->server:7#1 end=server byte=3", target="server")
    assert (baseline.outcome.returned, baseline.handler_errors) == (b"me\n", [])
    (told,) = run.handler_errors
    assert (type(told.error), told.handler, told.channel) == (
        ValueError,
        "a handler of TCPServer",
        "test->server:7#1 (server)",
    )
    assert [each.reason for each in judge(baseline, run).findings][:1] == ["handler-raised"]
    reset = simnet.play(test, "reset test->server:7#1 end=server byte=3", target="server")
    assert judge(baseline, reset).status == "interrupted", "an errno that the fault made excuses"
    assert "ValueError" in capsys.readouterr().err, "and it is printed, as ever"


def test_a_thread_that_waits_for_another_for_a_while_is_not_at_rest_before_its_time_is_up() -> None:
    """The loop of the server beats meanwhile, which is no reason to think that nothing will come."""
    ready = threading.Condition()

    class Patient(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with ready:
                ready.wait(5)

    def serve() -> None:
        with socketserver.ThreadingTCPServer(("", 7), Patient) as server:
            server.daemon_threads = True
            server.serve_forever()

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()

    run = simnet.play(test, target="server")
    assert run.verdicts == []  # it has closed its connection


SEEN: list[float | None] = []


class Counts(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        SEEN.append(socket.getdefaulttimeout())
        self.request.sendall(repr(SEEN).encode())


def serve_and_count() -> None:
    socket.setdefaulttimeout(5)
    with socketserver.ThreadingTCPServer(("", 7), Counts) as server:
        server.daemon_threads = True
        server.serve_forever()


def test_threads_of_one_program_share_what_each_program_finds_fresh() -> None:
    """And they have the default time-out that the program had when they were made."""
    for _ in range(2):
        with simnet.Network(per_process=[f"{__name__}:SEEN"]) as net:
            net.host("server").spawn(serve_and_count)
            for told in (b"[5.0]", b"[5.0, 5.0]"):
                with socket.create_connection(("server", 7)) as client:
                    assert client.recv(100) == told
            assert SEEN == []
