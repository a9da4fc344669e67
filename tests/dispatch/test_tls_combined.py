"""TLS together with what else can be asked of a stream, before and behind it."""

from __future__ import annotations

import ssl

import pytest

import dispatch
from tests.dispatch.conftest import Recorder
from tests.dispatch.test_tls import Secure, authority, client_context, server_context

__all__ = ["authority", "client_context", "server_context"]  # fixtures


@pytest.mark.parametrize("order", ["write start_tls connect", "write connect start_tls", "connect write start_tls"])
def test_what_was_written_in_clear_before_the_connection_is_sent_by_a_close(world, client_context, order):
    loop = world.loop()
    made = []

    def make(sock, **options):
        made.append(Recorder(sock, **options))
        return made[-1]

    listener = world.listen(loop, make)
    client = Recorder(loop=loop)
    verbs = {
        "write": lambda: client.write(b"hello"),
        "start_tls": lambda: client.start_tls(client_context, server_hostname="localhost"),
        "connect": lambda: client.connect(listener.addr),
    }
    for verb in order.split():
        verbs[verb]()
    client.close()
    assert not client.closed
    world.run(loop, lambda: client.closed and made and made[0].closed)

    assert made[0].data.startswith(b"hello")
    assert client.statistics().lost == 0
    assert client.events == [("close", None)]


@pytest.mark.parametrize("server_side", [False, True])
def test_a_handshake_with_who_has_finished_sending_ends_at_once(world, server_context, client_context, server_side):
    class Late(Recorder):
        def handle_eof(self):
            self.events.append("eof")
            self.write(b"go ahead")
            if server_side:
                self.start_tls(server_context, server_side=True, handshake_timeout=None)
            else:
                self.start_tls(client_context, server_hostname="localhost", handshake_timeout=None)

    loop = world.loop()
    channel, client = world.connected(loop, Late)
    client.sendall(b"STARTTLS")
    client.shutdown(1)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == ["data", "eof", ("close", ssl.SSLEOFError)]
    assert world.read(loop, client, 8) == b"go ahead"


@pytest.mark.slow
@pytest.mark.parametrize("base", [dispatch.Stream, dispatch.Chat])
@pytest.mark.parametrize("how", ["write", "writes", "producer", "file", "write close", "producer close"])
def test_what_a_handler_writes_where_it_is_made_goes_out_behind_the_handshake(
    world, server_context, client_context, tmp_path, base, how
):
    """A greeting, or a refusal: a listener with TLS says nothing in clear."""
    file = tmp_path / "greeting"
    file.write_bytes(b"welcome" * 1000)

    class Greeter(base):
        def __init__(self, sock, **options):
            super().__init__(sock, **options)
            if how == "writes":
                self.write(b"wel")
                self.write(b"come" + b"welcome" * 999)
            elif how.startswith("producer"):
                self.write_from([b"welcome"] * 1000)
            elif how == "file":
                self.write_file(file)
            else:
                self.write(b"welcome" * 1000)
            if how.endswith("close"):
                self.close()

    loop = world.loop()
    listener = world.listen(loop, Greeter, tls=server_context)
    client = Secure(loop=loop)
    client.connect(listener.addr)
    client.start_tls(client_context, server_hostname="localhost")
    world.run(loop, lambda: len(client.data) == 7000 or client.closed)
    world.turn(loop, 5)

    assert client.data == b"welcome" * 1000
    assert client.events[:3] == ["connect", "secure", "data"]
    assert client.closed is how.endswith("close")
    assert client.events[3:] == (["eof", ("close", None)] if client.closed else [])


def test_a_handler_whose_own_start_tls_fails_says_nothing_in_clear(kernel_world, server_context, caplog):
    class Refusing(Recorder):
        def __init__(self, sock, **options):
            super().__init__(sock, **options)
            self.write(b"welcome")

        def start_tls(self, context, **options):
            raise LookupError("no certificate today")

    loop = kernel_world.loop()
    listener = kernel_world.listen(loop, Refusing, tls=server_context)
    client = kernel_world.connect(listener.addr)
    kernel_world.run(loop, lambda: "no certificate today" in caplog.text)
    kernel_world.turn(loop)
    with pytest.raises(ConnectionResetError):
        client.recv(100)
