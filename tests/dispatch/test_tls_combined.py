"""TLS together with what else can be asked of a stream, before and behind it."""

from __future__ import annotations

import ssl

import pytest

from tests.dispatch.conftest import Recorder
from tests.dispatch.test_tls import authority, client_context, server_context

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
