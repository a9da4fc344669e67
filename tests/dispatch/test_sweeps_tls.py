"""Every single fault at every point of a conversation over TLS, for both ends."""

from __future__ import annotations

import ssl

import pytest
import trustme

import dispatch
from tests.dispatch.conftest import the_harness

simnet = the_harness()

DATA = b"z" * 30_000  # two records
RUNS = 400


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    servers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server", key_type=trustme.KeyType.RSA).configure_cert(servers)
    clients = ssl.create_default_context()
    authority.configure_trust(clients)
    return servers, clients


def conversation(contexts, *, starttls):
    """A test of a network: an echo server and a client; what the client got, and why it ended."""
    servers, clients = contexts

    class Server(dispatch.Chat):
        terminator = b"\n"
        idle_timeout = close_timeout = 30

        def handle_message(self, data):
            if data == b"STARTTLS":
                self.write(b"go ahead\n")
                self.start_tls(servers, server_side=True, handshake_timeout=5)
            else:
                self.write(data + b"\n")

    class Client(dispatch.Chat):
        terminator = b"\n"
        connect_timeout = idle_timeout = close_timeout = 30

        def __init__(self, **options):
            self.got = []
            self.ends = []
            super().__init__(**options)

        def handle_connect(self):
            if starttls:
                self.write(b"STARTTLS\n")
            else:
                self.handle_message(b"go ahead")

        def handle_message(self, data):
            self.got.append(data)
            if data == b"go ahead":
                self.start_tls(clients, server_hostname="server", handshake_timeout=5)
            else:
                self.close()

        def handle_secure(self):
            self.write(DATA + b"\n")

        def handle_close(self, reason):
            self.ends.append(reason)

    def serve():
        with dispatch.Loop() as loop:
            dispatch.Listener(("", 7), Server, loop=loop, tls=None if starttls else servers)
            loop.run()

    def connect():
        with dispatch.Loop() as loop:
            client = Client(loop=loop)
            client.connect(("server", 7))
            loop.run()
        return client

    def converse(net):
        net.host("server").spawn(serve)
        return net.host("client").run(connect)

    return converse


@pytest.mark.parametrize("starttls", [False, True], ids=["tls", "starttls"])
@pytest.mark.parametrize("target", ["server", "client"])
@pytest.mark.slow
def test_a_conversation_over_tls_is_whole_or_says_why_not(contexts, starttls, target):
    converse = conversation(contexts, starttls=starttls)
    whole = [b"go ahead", DATA]

    def test(net):
        client = converse(net)
        assert len(client.ends) == 1
        cut_in_clear = client.tls is None  # nobody can tell that it was not meant
        assert client.got == whole or client.ends[0] is not None or cut_in_clear, "an end without a reason"
        return client.got, client.ends[0] is None

    # Whatever ends it is told to its handler, and the test returns: what it saw then is no failure.
    result = simnet.check(test, target=target, runs=RUNS, strict=False)
    assert result.runs == RUNS
    assert result.unreached == 0
