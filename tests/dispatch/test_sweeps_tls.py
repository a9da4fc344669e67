"""Every single fault at every point of a conversation over TLS. Its bytes are random, so no run equals another: the ends are asked instead."""

from __future__ import annotations

import ssl

import pytest
import trustme

import dispatch
from tests.dispatch.conftest import the_harness

simnet = the_harness()
from simnet.explore.points import families, select  # noqa: E402 - only where the harness can be had
from simnet.points import Points  # noqa: E402

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
    with simnet.Network() as net:
        assert converse(net).got == [b"go ahead", DATA]
    chosen = select(families(Points.of(net.trace, [target]), [target]), RUNS)
    assert len(chosen.faults) == RUNS

    for fault in chosen.faults:
        with simnet.Network(simnet.FaultPlan([fault])) as net:  # the invariants are looked at when it ends
            client = converse(net)
        assert len(client.ends) == 1, fault
        whole = client.got == [b"go ahead", DATA]
        cut_in_clear = client.tls is None  # nobody can tell that it was not meant
        if fault.kind in simnet.TRANSPARENT and fault.kind != "stall":
            assert whole, fault
        assert whole or client.ends[0] is not None or cut_in_clear, f"{fault}: {client.got} and an end without a reason"
