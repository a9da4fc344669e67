"""``ssl.SSLSocket``: a wrapped socket does on simnet what it does over the kernel, errors included."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import simnet
from simnet import real
from tests import certificates
from tests.contract.worlds import SOON, World


class Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    inside, outside = certificates.contexts("test")
    inside.set_alpn_protocols(["echo/2", "echo/1"])
    outside.set_alpn_protocols(["echo/1"])
    return Contexts(inside, outside)


def wrapped(world: World, contexts: Contexts, **options: Any) -> tuple[Any, Any]:
    """Both ends, (client, server), before the handshake."""
    client, server = world.pair(**options)
    near = contexts.client.wrap_socket(client, server_hostname="test", do_handshake_on_connect=False)
    far = contexts.server.wrap_socket(server, server_side=True, do_handshake_on_connect=False)
    return world.keep(near), world.keep(far)


def secured(world: World, contexts: Contexts, **options: Any) -> tuple[Any, Any]:
    """Both ends after the handshake, non-blocking."""
    ends = wrapped(world, contexts, **options)
    shake_hands(world, *ends)
    return ends


def shake_hands(world: World, *ends: Any) -> None:
    waiting = list(ends)
    deadline = real.monotonic() + 5
    while waiting and real.monotonic() < deadline:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                world.pause()
    assert not waiting
    world.pause()


def soon(world: World, call: Callable[[], Any]) -> Any:
    """What *call* gives once it need not wait."""
    deadline = real.monotonic() + 5
    while True:
        try:
            return call()
        except ssl.SSLWantReadError:
            assert real.monotonic() < deadline
            time.sleep(SOON)  # a record may wait for the acknowledgement of the one before it


@pytest.mark.slow
def test_what_is_written_arrives_record_by_record(world: World, contexts: Contexts) -> None:
    client, server = secured(world, contexts)
    assert client.send(b"a" * 100) == 100
    assert client.send(b"b" * 100) == 100
    assert soon(world, lambda: server.recv(60)) == b"a" * 60
    assert server.pending() == 40  # what is left of the record that was read
    deadline = real.monotonic() + world.patience
    while not (waits := world.ioctl(server, "FIONREAD")) and real.monotonic() < deadline:
        time.sleep(SOON)  # it may wait for the acknowledgement of the first
    assert waits == 5 + 100 + 17  # the other one is the kernel's still, and pollers see it
    assert select.select([server], [], [], 0)[0] == [server]
    assert server.recv(1000) == b"a" * 40
    buffer = bytearray(100)
    assert server.recv_into(buffer) == 100
    assert buffer == b"b" * 100
    assert select.select([server], [], [], 0)[0] == []
    with pytest.raises(ssl.SSLWantReadError, match=r"The operation did not complete \(read\)"):
        server.recv(10)


def test_a_write_makes_the_handshake_that_nobody_has_asked_for(world: World, contexts: Contexts) -> None:
    """Its flight goes out as one: of its records none waits for the acknowledgement of another."""
    client, server = wrapped(world, contexts)
    for end in (client, server, server):
        with pytest.raises(ssl.SSLWantReadError, match=r"The operation did not complete \(read\) \(_ssl"):
            end.send(b"hello")
        world.pause()
    assert client.send(b"hello") == 5
    world.pause()
    assert server.send(b"hello") == 5
    world.pause()
    assert soon(world, lambda: server.recv(9)) == soon(world, lambda: client.recv(9)) == b"hello"


def test_what_was_agreed_on_can_be_asked(world: World, contexts: Contexts) -> None:
    client, server = secured(world, contexts)
    assert isinstance(client, ssl.SSLSocket)
    assert (client.version(), server.version()) == ("TLSv1.3", "TLSv1.3")
    assert client.cipher() == server.cipher()
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "echo/1"
    assert client.getpeercert()["subjectAltName"] == (("DNS", "test"),)
    assert server.getpeercert() is None
    assert (client.server_side, server.server_side) == (False, True)
    assert client.session is not None
    assert client.session_reused is False
    assert client.context is contexts.client
    assert len(client.get_channel_binding()) in (12, 32, 36, 48)  # bytes of a Finished message


@pytest.mark.parametrize("at_once", [True, False], ids=["as-it-is-wrapped", "later"])
def test_a_session_is_taken_up_again(world: World, contexts: Contexts, at_once: bool) -> None:
    """As who speaks FTP over TLS does on each connection for data."""
    client, server = secured(world, contexts)
    server.send(b"x")
    assert soon(world, lambda: client.recv(1)) == b"x"  # and the tickets that came before it
    near, far = world.pair()
    options = {"session": client.session} if at_once else {}
    again = world.keep(
        contexts.client.wrap_socket(near, server_hostname="test", do_handshake_on_connect=False, **options)
    )
    there = world.keep(contexts.server.wrap_socket(far, server_side=True, do_handshake_on_connect=False))
    if not at_once:
        again.session = client.session
    shake_hands(world, again, there)
    assert (again.session_reused, there.session_reused) == (True, True)


def test_a_server_chooses_its_context_by_the_name_that_is_asked_for(world: World, contexts: Contexts) -> None:
    asked = []
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def choose(sock: Any, name: str | None, context: ssl.SSLContext) -> None:
        asked.append((sock, name, context))
        sock.context = contexts.server

    front.sni_callback = choose
    _, server = secured(world, Contexts(front, contexts.client))
    assert asked == [(server, "test", front)]
    assert server.context is contexts.server


def test_a_full_connection_takes_the_rest_later_and_nothing_is_lost(world: World, contexts: Contexts) -> None:
    small = {(socket.SOL_SOCKET, each): 8192 for each in (socket.SO_SNDBUF, socket.SO_RCVBUF)}
    client, server = secured(world, contexts, options=small)
    sent = bytearray()
    chunk = bytes(range(256)) * 40
    with pytest.raises(ssl.SSLWantWriteError, match=r"The operation did not complete \(write\)"):
        while True:
            sent += chunk[: client.send(chunk)]
    received = bytearray()
    taken = 0
    while not taken or len(received) < len(sent):
        received += soon(world, lambda: server.recv(65536))
        if not taken:
            try:
                taken = client.send(chunk)  # the same again, as OpenSSL wants it
                sent += chunk[:taken]
            except ssl.SSLWantWriteError:
                world.pause()
    assert received == sent


def test_a_time_out_says_what_it_waited_for(world: World, contexts: Contexts) -> None:
    client, _ = wrapped(world, contexts)
    client.settimeout(0.02)
    with pytest.raises(
        TimeoutError, match=r"^_ssl.c:\d+: The handshake operation timed out$|^The handshake .* timed out$"
    ):
        client.do_handshake()
    client, server = secured(world, contexts)
    server.settimeout(0.02)
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        server.recv(10)
    with pytest.raises(TimeoutError, match=r"^The write operation timed out$"):
        while True:
            server.send(bytes(65536))
    assert client.fileno() > 0


def test_who_takes_the_wrapper_off_has_a_plain_socket_again(world: World, contexts: Contexts) -> None:
    client, server = secured(world, contexts)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()  # close_notify is out, the peer's is awaited
    assert soon(world, lambda: server.recv(10)) == b""
    assert server.unwrap() is server
    assert soon(world, client.unwrap) is client
    client.send(b"in clear")
    world.gives(b"in clear", server.recv, 100)
    with pytest.raises(ValueError, match="No SSL wrapper around"):
        client.unwrap()


def test_an_end_without_a_goodbye_is_hushed_up_or_told(world: World, contexts: Contexts) -> None:
    for suppress in (True, False):
        client, server = secured(world, contexts)
        server.suppress_ragged_eofs = suppress
        client.send(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert soon(world, lambda server=server: server.recv(100)) == b"last words"
        if suppress or contexts.server.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0):  # as some OpenSSL is told
            assert soon(world, lambda server=server: server.recv(100)) == b""
        else:
            with pytest.raises(ssl.SSLEOFError, match="EOF occurred in violation of protocol"):
                soon(world, lambda server=server: server.recv(100))


def test_a_reset_is_a_reset_or_an_end_as_this_python_tells_it(world: World, contexts: Contexts) -> None:
    client, server = wrapped(world, contexts)
    world.reset(client)
    world.pause()
    with pytest.raises(ConnectionResetError):
        soon(world, server.do_handshake)
    client, server = secured(world, contexts)
    client.send(b"x")
    world.reset(client)
    world.pause()
    server.suppress_ragged_eofs = False
    assert soon(world, lambda: server.recv(100)) == b"x"
    with pytest.raises(ConnectionResetError if sys.version_info >= (3, 13) else ssl.SSLEOFError):
        server.recv(100)
    with pytest.raises(OSError, match=r"EOF occurred in violation of protocol|Broken pipe"):
        server.send(b"anybody there?")


def test_a_client_that_has_gone_before_it_is_sent_its_tickets_has_shaken_hands(
    world: World, contexts: Contexts
) -> None:
    """OpenSSL overlooks that the server cannot write them, and the next write runs into it."""
    client, server = wrapped(world, contexts)
    for end in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
        world.pause()
    client.do_handshake()
    client.close()
    world.pause()
    server.do_handshake()
    assert server.version() == "TLSv1.3"
    with pytest.raises(OSError, match=r"EOF occurred in violation of protocol|Broken pipe"):
        server.send(b"hello")


def test_who_speaks_no_tls_is_told_so(world: World, contexts: Contexts) -> None:
    client, server = world.pair()
    secure = world.keep(contexts.server.wrap_socket(server, server_side=True, do_handshake_on_connect=False))
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(ssl.SSLError) as raised:
        soon(world, secure.do_handshake)
    assert raised.value.reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER")
    assert world.mask(client) == "OUT"  # it gets no alert: no version was agreed on


def test_a_certificate_that_is_not_trusted_ends_it_on_both_sides(world: World, contexts: Contexts) -> None:
    client, server = wrapped(world, Contexts(contexts.server, ssl.create_default_context()))
    for end, reason in ((client, "CERTIFICATE_VERIFY_FAILED"), (server, "TLSV1_ALERT_UNKNOWN_CA")):
        with pytest.raises(ssl.SSLError) as raised:
            deadline = real.monotonic() + 5
            while real.monotonic() < deadline:
                for each in (client, server) if end is client else (server,):
                    try:
                        each.do_handshake()
                    except ssl.SSLWantReadError:
                        world.pause()
        assert raised.value.reason == reason
        assert isinstance(raised.value, ssl.SSLCertVerificationError) is (end is client)


def test_a_wrapped_listener_accepts_and_a_wrapped_client_connects(world: World, contexts: Contexts) -> None:
    addresses: list[Any] = []

    def serve() -> None:
        with contexts.server.wrap_socket(socket.create_server((world.ip, 0)), server_side=True) as listener:
            addresses.append(listener.getsockname())
            served, address = listener.accept()
        with served:
            assert address == served.getpeername()
            assert served.makefile("rb").readline() == b"one line\n"
            served.sendall(b"x" * 100_000)

    join = world.beside(serve)
    client = world.keep(contexts.client.wrap_socket(socket.socket(), server_hostname="test"))
    client.settimeout(5)
    deadline = real.monotonic() + 5
    while not addresses and real.monotonic() < deadline:
        world.pause()
    client.connect(addresses[0])
    client.sendall(b"one line\n")
    with client.makefile("rb") as reply:
        assert len(reply.read()) == 100_000
    join()


def test_what_makes_no_sense_over_tls_is_refused(world: World, contexts: Contexts) -> None:
    client, _ = secured(world, contexts)
    with pytest.raises(NotImplementedError, match="Can't dup"):
        client.dup()
    with pytest.raises(NotImplementedError, match="sendmsg not allowed"):
        client.sendmsg([b"x"])
    for call in (lambda: client.recv(1, socket.MSG_PEEK), lambda: client.send(b"x", socket.MSG_OOB)):
        with pytest.raises(ValueError, match="non-zero flags not allowed"):
            call()
    plain, _ = world.pair()
    with pytest.raises(ValueError, match="do_handshake_on_connect should not be specified for non-blocking sockets"):
        contexts.client.wrap_socket(plain, server_hostname="test")


OLD = pytest.mark.skipif(sys.version_info >= (3, 13), reason="an error of the socket is told as it is from there on")
LINE = r" \(_ssl\.c:\d+\)$"


def over_unix(world: World, contexts: Contexts) -> tuple[Any, Any]:
    """Both ends of a pair after the handshake: what one closes the other knows at once."""
    here, there = socket.socketpair()
    for end in (here, there):
        end.setblocking(False)
    near = contexts.client.wrap_socket(here, server_hostname="test", do_handshake_on_connect=False)
    far = contexts.server.wrap_socket(there, server_side=True, do_handshake_on_connect=False)
    for end in (near, far, near, far, near):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError as error:
            assert re.search(LINE, str(error))  # noqa: PT017 - some of them are ready
    return world.keep(near), world.keep(far)


@OLD
def test_an_end_that_a_call_runs_into_is_told_in_cpythons_words(world: World, contexts: Contexts) -> None:
    near, far = over_unix(world, contexts)
    far.close()
    with pytest.raises(BrokenPipeError):
        near.unwrap()
    near, far = over_unix(world, contexts)
    far.close()
    with pytest.raises(ssl.SSLEOFError, match="EOF occurred in violation of protocol" + LINE) as ended:
        near.send(b"two")
    assert ended.value.errno == ssl.SSL_ERROR_EOF
    assert near.do_handshake() is None  # it is over, and what waits is the next write's
    assert near.recv(9) == b""  # so it is for a read, which finds the end
    near, far = over_unix(world, contexts)
    far.close()
    with pytest.raises(ssl.SSLEOFError):
        near.send(b"two")
    with pytest.raises(ssl.SSLError, match=r"\[SSL: BAD_LENGTH\] bad length" + LINE) as shorter:
        near.send(b"x")  # OpenSSL has taken more, and wants it again
    assert (shorter.value.reason, shorter.value.library) == ("BAD_LENGTH", "SSL")


@OLD
def test_who_was_told_of_the_end_is_told_of_it_by_a_write(world: World, contexts: Contexts) -> None:
    client, server = secured(world, contexts)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    client.close()
    assert soon(world, lambda: server.recv(9)) == b""
    assert server.send(b"one goes") == 8  # and comes back as a reset
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    with pytest.raises(ssl.SSLZeroReturnError, match=r"TLS/SSL connection has been closed \(EOF\)" + LINE):
        server.send(b"another")


@OLD
def test_a_handshake_that_has_failed_ends_in_nothing(world: World, contexts: Contexts) -> None:
    client, server = wrapped(world, Contexts(contexts.server, ssl.create_default_context()))
    with pytest.raises(ssl.SSLCertVerificationError):
        deadline = real.monotonic() + 5
        while real.monotonic() < deadline:
            for each in (client, server):
                try:
                    each.do_handshake()
                except ssl.SSLWantReadError:
                    world.pause()
    with pytest.raises(OSError, match=r"EOF occurred in violation of protocol|temporarily unavailable"):
        client.do_handshake()


def test_a_handshake_that_takes_too_long_says_where(world: World, contexts: Contexts) -> None:
    _, server = wrapped(world, contexts)
    server.settimeout(0.01)
    with pytest.raises(TimeoutError, match=r"^_ssl\.c:\d+: The handshake operation timed out$") as late:
        server.do_handshake()
    line = int(str(late.value).split(":")[1])
    server.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError, match=rf"\(_ssl\.c:{line + 17}\)"):
        server.do_handshake()


def test_what_is_called_by_the_class_goes_past_the_wrapper(world: World, contexts: Contexts) -> None:
    client, server = secured(world, contexts)
    assert socket.socket.send(client, b"no record") == 9
    world.readable(server)
    with pytest.raises(ssl.SSLError, match=r"WRONG_VERSION_NUMBER|wrong version number|BAD_RECORD|packet"):
        server.recv(9)


@pytest.mark.parametrize("today", [True, False], ids=["at its date", "in 2020"])
def test_a_certificate_that_is_made_in_a_run_is_good_where_its_clock_is_the_machines(today: bool) -> None:
    """OpenSSL looks at the machine's clock: one for a day from now on would have expired in 2020."""
    trustme = pytest.importorskip("trustme")
    authority, now = trustme.CA(), time.time()
    inside, outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.configure_trust(outside)
    with simnet.Network() as net:
        if today:
            net.host("test").set_clock(now - time.time())
        begins, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
        authority.issue_cert("server", not_before=begins - day, not_after=begins + day).configure_cert(inside)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = inside.wrap_bio(there, back, server_side=True)
    client = outside.wrap_bio(back, there, server_hostname="server")

    def shake_hands() -> None:
        for end in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()

    if today:
        shake_hands()
        assert client.version() == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            shake_hands()
