"""What nobody hears of is logged: a program that forgot a handler does not end, or wait, without a word."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref

import pytest

import dispatch
from tests.certificates import contexts


def serve_one(make, sent: bytes) -> None:
    """A loop with a channel that *make* made of a socket, whose peer sends *sent* twice and closes."""
    ours, theirs = socket.socketpair()
    with dispatch.Loop() as loop:
        make(ours)
        theirs.sendall(sent)
        loop.run_once(1)
        theirs.sendall(sent)
        theirs.close()
        loop.run()


@pytest.mark.parametrize(
    ("base", "handler"), [(dispatch.Stream, "handle_data"), (dispatch.Chat, "handle_message")], ids=["stream", "chat"]
)
def test_data_for_a_class_that_forgot_its_handler_is_told_once(base, handler, caplog):
    forgetful = type("Forgetful", (base,), {})

    serve_one(forgetful, b"hello\r\n")
    serve_one(forgetful, b"hello\r\n")

    (record,) = caplog.records
    assert f"bytes are dropped, for Forgetful has no {handler}(data)" in record.message


@pytest.mark.slow
def test_a_class_that_forgot_its_handler_is_not_kept_for_that(caplog):
    def forgetful():
        kind = type("Forgetful", (dispatch.Stream,), {})
        serve_one(kind, b"hello")
        return weakref.ref(kind)

    kinds = [forgetful() for _ in range(2)]
    gc.collect()

    assert [kind() for kind in kinds] == [None, None]
    assert len(caplog.records) == 2


def test_who_drops_data_on_purpose_hears_nothing(caplog):
    class Empty(dispatch.Stream):
        def handle_data(self, data):
            pass

    class Asks(dispatch.Stream):
        def handle_data(self, data):
            super().handle_data(data)

    for make in (Empty, Asks, dispatch.Stream):
        serve_one(make, b"hello")
    assert not caplog.records


@pytest.mark.slow
def test_a_client_that_cannot_trust_its_server_says_so_if_no_handle_close_would(caplog):
    class Deaf(dispatch.Stream):
        def handle_connect(self):
            self.start_tls(ssl.create_default_context(), server_hostname="localhost")

    inside, _ = contexts("localhost")  # whose authority nobody knows
    with dispatch.Loop() as loop:
        listener = dispatch.Listener(("127.0.0.1", 0), dispatch.Stream, loop=loop, tls=inside)
        channel = Deaf()
        channel.connect(listener.addr)
        while not channel.closed:
            loop.run_once(10)
    (record,) = caplog.records
    assert "got no TLS: [SSL: CERTIFICATE_VERIFY_FAILED]" in record.message


def closed_port() -> tuple[socket.socket, tuple[str, int]]:
    """A port where nobody listens, for as long as its socket is kept."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()


def test_a_connect_that_fails_is_logged_if_no_handle_close_would_hear_of_it(caplog):
    class Deaf(dispatch.Stream):
        pass

    kept, address = closed_port()
    with kept, dispatch.Loop() as loop:
        Deaf().connect(address)
        loop.run()
    (record,) = caplog.records
    assert f"{address!r} fd=-1> could not connect: [Errno 111] Connection refused; handle_close" in record.message


def test_so_is_a_failed_connect_of_a_dispatcher(caplog):
    kept, address = closed_port()
    with kept, dispatch.Loop() as loop:
        channel = dispatch.Dispatcher()
        channel.create_socket()
        channel.connect(address)
        loop.run()
    (record,) = caplog.records
    assert f" could not connect to {address}: [Errno 111] Connection refused; handle_close" in record.message


def test_a_listener_whose_socket_is_dead_says_so_if_no_handle_close_would(caplog):
    class Hears(dispatch.Listener):
        def handle_close(self, reason):
            assert isinstance(reason, OSError)

    for kind in (dispatch.Listener, Hears):
        with dispatch.Loop() as loop:
            listener = kind(("127.0.0.1", 0), dispatch.Stream)
            listener.socket.shutdown(socket.SHUT_RDWR)
            loop.run()
    (record,) = caplog.records
    assert "accepts nobody any more: [Errno 22] Invalid argument; handle_close" in record.message


def test_a_connect_that_fails_is_its_handle_closes_business(caplog):
    reasons = []

    class Listens(dispatch.Stream):
        def handle_close(self, reason):
            reasons.append(reason)

    kept, address = closed_port()
    with kept, dispatch.Loop() as loop:
        Listens().connect(address)
        own = type("Own", (dispatch.Stream,), {})()
        own.handle_close = reasons.append
        own.connect(address)
        loop.run()
    assert [type(reason) for reason in reasons] == [ConnectionRefusedError] * 2
    assert not caplog.records


def test_a_method_of_asyncores_that_a_handler_calls_is_told_with_what_to_call_instead(caplog):
    class Old(dispatch.Stream):
        def handle_data(self, data):
            self.send(data)

    class Other(dispatch.Stream):
        def handle_data(self, data):
            data.send()

    class New(dispatch.Stream):
        def handle_data(self, data):
            self.sendall(data)

    for make in (Old, Other, New):
        ours, theirs = socket.socketpair()
        with theirs, dispatch.Loop() as loop:
            make(ours)
            theirs.sendall(b"hello")
            loop.run()

    notes = [getattr(record.exc_info[1], "__notes__", None) for record in caplog.records]
    assert notes == [
        ["send is a method of asyncore's; here write(data) sends all of it"],
        None,
        ["sendall is what others have; here write(data) sends all of it"],
    ]
