"""TLS by memory: what it carries is what was written, and how it ends is told truly."""

from __future__ import annotations

import errno
import socket
import ssl
import threading

import pytest
import trustme

import dispatch
from dispatch.chat import Chat
from dispatch.input import SHORT_READS
from tests.conftest import RESET
from tests.dispatch.conftest import PATIENCE, Fickle, Recorder, StoppedClock


@pytest.fixture(scope="session")
def authority():
    return trustme.CA(key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="session")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Secure(Recorder):
    def handle_secure(self):
        self.events.append("secure")


class Echo(Secure):
    def handle_data(self, data):
        super().handle_data(data)
        self.write(data)


def secured(world, loop, server_context, client_context, server=Echo, client=Secure):
    """Both ends are ours: (server, client), after the handshake."""
    made = []

    def make(sock, **options):
        made.append(server(sock, **options))
        return made[-1]

    listener = world.listen(loop, make, tls=server_context)
    near = client(loop=loop)
    near.connect(listener.addr)
    near.start_tls(client_context, server_hostname="localhost")
    world.run(loop, lambda: made and "secure" in made[0].events and "secure" in near.events)
    listener.close()
    return made[0], near


@pytest.mark.slow
def test_what_was_written_arrives_and_both_ends_close(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    client.write(b"hello")
    world.run(loop, lambda: client.data == b"hello")
    assert server.events == ["secure", "data"]
    assert client.events == ["connect", "secure", "data"]

    client.close()
    world.run(loop, lambda: client.closed and server.closed)
    world.turn(loop, 1)
    assert server.events[-2:] == ["eof", ("close", None)]
    assert client.events[-1] == ("close", None)


@pytest.mark.slow
def test_a_long_stream_arrives_through_full_buffers(world, server_context, client_context):
    loop = world.loop()
    _, client = secured(world, loop, server_context, client_context)
    data = bytes(range(251)) * 20_000
    client.write(data)
    world.run(loop, lambda: len(client.data) == len(data))

    assert client.data == data


def test_a_blocking_client_of_the_standard_library_understands_us(
    kernel_world, server_context, client_context, in_thread
):
    loop = kernel_world.loop()
    listener = kernel_world.listen(loop, Echo, tls=server_context)
    got = []

    def talk():
        with socket.create_connection(listener.addr, timeout=PATIENCE) as sock:
            with client_context.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(b"hello")
                got.append(tls.recv(100))
                tls.sendall(b"x" * 500_000)
                left = 500_000
                while left:
                    left -= len(tls.recv(65536))
                tls.unwrap()
                got.append("unwrapped")

    thread = in_thread(talk)
    kernel_world.run(loop, lambda: not thread.is_alive())

    assert got == [b"hello", "unwrapped"]


def test_starttls_in_the_middle(world, server_context, client_context):
    """What comes in clear behind the request is thrown away: a man in the middle may have put it there."""
    loop = world.loop()

    class Server(Chat):
        lines = []  # noqa: RUF012 - kept for the test

        def handle_message(self, line):
            self.lines.append(line)
            if line == b"STARTTLS":
                self.write(b"go ahead\r\n")
                self.start_tls(server_context, server_side=True)
            else:
                self.write(b"heard " + line + b"\r\n")

    class Client(Chat):
        lines = []  # noqa: RUF012 - kept for the test

        def handle_message(self, line):
            self.lines.append(line)
            if line == b"go ahead":
                self.start_tls(client_context, server_hostname="localhost")
                self.write(b"secret\r\n")

    Server.lines, Client.lines = [], []
    listener = world.listen(loop, Server)
    client = Client(loop=loop)
    client.connect(listener.addr)
    client.write(b"STARTTLS\r\nINJECTED\r\n")
    world.run(loop, lambda: len(Client.lines) == 2)

    assert Server.lines == [b"STARTTLS", b"secret"]
    assert Client.lines == [b"go ahead", b"heard secret"]


@pytest.mark.parametrize("hears", [True, False], ids=["hears-drained", "does-not"])
def test_much_that_is_written_behind_starttls_does_not_hold_the_handshake_back(
    world, server_context, client_context, hears
):
    """What is read holds what is read next back until its answer has gone; but this one waits for what is read next."""
    loop = world.loop()
    said = []

    class Server(Chat):
        def handle_message(self, line):
            said.append(line)
            if line == b"STARTTLS":
                self.write(b"go ahead\r\n")
                self.start_tls(server_context, server_side=True)
                self.write(b"x" * 200_000 + b"\r\n")

    class Client(Chat):
        def handle_message(self, line):
            said.append(len(line))
            if line == b"go ahead":
                self.start_tls(client_context, server_hostname="localhost")
                self.write(b"y" * 100_000 + b"\r\n")
            elif said[-1] == 200_000:
                self.write(b"thanks\r\n")

    if hears:
        Server.handle_drained = lambda _: said.append("drained")
    listener = world.listen(loop, Server)
    client = Client(loop=loop)
    client.connect(listener.addr)
    client.write(b"STARTTLS\r\n")
    world.run(loop, lambda: b"thanks" in said)

    assert said.count("drained") == hears
    assert [each for each in said if each != "drained"] in (
        [b"STARTTLS", 8, b"y" * 100_000, 200_000, b"thanks"],
        [b"STARTTLS", 8, 200_000, b"y" * 100_000, b"thanks"],
    )


def test_who_pauses_before_the_handshake_is_done_hears_nothing_till_it_resumes_but_that_it_is_done(
    world, server_context, client_context
):
    class Patient(Secure):
        def handle_connect(self):
            super().handle_connect()
            self.start_tls(client_context, server_hostname="localhost")
            self.pause()

    class Greeter(Secure):
        def handle_secure(self):
            super().handle_secure()
            self.write(b"welcome")

    loop = world.loop()
    listener = world.listen(loop, Greeter, tls=server_context)
    client = Patient(loop=loop)
    client.connect(listener.addr)
    world.run(loop, lambda: "secure" in client.events)
    world.turn(loop, 5)
    assert client.events == ["connect", "secure"]
    client.resume()
    world.run(loop, lambda: client.data)

    assert client.data == b"welcome"


@pytest.mark.parametrize("how", ["pause", "close"])
def test_the_handshake_is_made_though_the_client_was_paused_or_closed_before_it_was_connected(
    world, server_context, client_context, how
):
    loop, made = world.loop(), []
    listener = world.listen(
        loop, lambda *sock, **options: made.append(Echo(*sock, **options)) or made[0], tls=server_context
    )
    client = Secure(loop=loop)
    client.connect(listener.addr)
    client.start_tls(client_context, server_hostname="localhost")
    client.write(b"hello")
    getattr(client, how)()
    world.run(loop, lambda: made and made[0].data == b"hello")


def test_a_connection_that_is_cut_off_is_no_end(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    client.socket.shutdown(socket.SHUT_WR)  # FIN without close_notify
    world.run(loop, lambda: server.closed)
    world.turn(loop, 1)

    assert "eof" not in server.events
    assert isinstance(server.reason, ssl.SSLEOFError)


def test_a_reset_is_a_reset(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client._finish(None)
    world.run(loop, lambda: server.closed)
    world.turn(loop, 1)

    assert server.events[-1] == ("close", ConnectionResetError)


def test_a_close_does_not_wait_for_the_peers_goodbye(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    client.pause()  # so it never answers
    server.write(b"last words")
    server.close()
    world.turn(loop, 3)

    assert server.closed
    client.resume()
    world.run(loop, lambda: client.closed)
    assert client.data == b"last words"


class Hasty(Recorder):
    """A client that says all it has to say, and closes, before the handshake has begun."""

    close_timeout = 0.1

    def say(self, world, listener, context, size):
        self.connect(listener.addr)
        self.start_tls(context, server_hostname="localhost")
        self.write(b"x" * size)
        self.close()
        world.run(self.loop, lambda: self.events)

    def handle_connect(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)


def test_a_client_that_says_much_and_closes_is_not_cut_off_by_the_servers_tickets(
    world, server_context, client_context
):
    class Slow(Secure):
        def handle_secure(self):
            super().handle_secure()
            self.pause()
            self.loop.call_later(0.02, self.resume)

    loop, made = world.loop(), []
    listener = world.listen(
        loop, lambda *sock, **options: made.append(Slow(*sock, **options)) or made[0], tls=server_context
    )
    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client = Hasty(loop=loop)
    client.close_timeout = 10
    client.say(world, listener, client_context, 200_000)
    world.run(loop, lambda: made[0].closed)
    world.turn(loop, 1)

    assert len(made[0].data) == 200_000
    assert client.events == [("close", None)]
    assert made[0].events[-1] == ("close", None)


def test_a_client_that_closes_hears_that_its_certificate_was_refused(world, authority, client_context):
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(strict)
    authority.configure_trust(strict)
    strict.verify_mode = ssl.CERT_REQUIRED
    loop = world.loop()
    client = Hasty(loop=loop)
    client.close_timeout = 10
    client.say(world, world.listen(loop, Echo, tls=strict), client_context, 10)

    assert isinstance(client.reason, ssl.SSLError)
    assert "CERTIFICATE_REQUIRED" in str(client.reason)


@pytest.mark.slow
@pytest.mark.parametrize("closing", [False, True])
def test_a_client_that_sends_much_hears_that_its_certificate_was_refused(world, authority, client_context, closing):
    """The server has closed by then, with much of that unread: sending fails before the alert is read."""
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(strict)
    strict.verify_mode = ssl.CERT_REQUIRED

    class Uploading(Secure):
        def handle_secure(self):
            self.write(b"x" * 6_000_000)
            if closing:
                self.close()

    loop = world.loop()
    listener = world.listen(loop, Echo, tls=strict)
    client = Uploading(loop=loop)
    client.connect(listener.addr)
    client.start_tls(client_context, server_hostname="localhost")
    world.run(loop, lambda: client.closed)
    world.turn(loop, 1)

    assert "CERTIFICATE_REQUIRED" in str(client.reason)
    assert client.statistics().lost > 0


@pytest.mark.parametrize("closing", [False, True])
def test_a_reply_is_read_though_sending_failed(world, server_context, client_context, closing):
    class Polite(Secure):
        def handle_data(self, data):
            super().handle_data(data)
            if closing:
                self.close()

    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context, client=Polite)
    server.write(b"413 too large")
    server._flush_later()
    client.socket = Fickle(client.socket, send=[-errno.EPIPE])
    client.write(b"upload")
    server.close()
    world.run(loop, lambda: client.closed)
    world.turn(loop, 1)

    assert client.data == b"413 too large"
    assert client.events == ["connect", "secure", "data", ("close", BrokenPipeError)]


@pytest.mark.slow
def test_a_client_does_not_stay_longer_than_its_output_may_take_for_a_server_that_says_nothing(
    world, authority, client_context
):
    taciturn = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(taciturn)
    taciturn.num_tickets = 0

    class Staying(Secure):
        def handle_eof(self):
            self.loop.call_later(30, self.close)

    loop = world.loop()
    client = Hasty(loop=loop)
    before = loop.time()
    client.say(world, world.listen(loop, Staying, tls=taciturn), client_context, 10)

    assert 0.1 <= loop.time() - before < PATIENCE
    assert client.events == [("close", None)]


@pytest.mark.parametrize("seconds", [None, 60])
def test_a_close_waits_no_longer_for_a_handshake_than_for_a_peer(world, client_context, seconds):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    client = Secure(world.pair()[0], loop=loop)
    client.close_timeout = 5
    client.start_tls(client_context, server_hostname="localhost", handshake_timeout=seconds)
    client.write(b"secret")
    client.close()
    world.turn(loop)
    clock.now += 5
    world.turn(loop)

    assert client.closed
    assert client.reason.which == "close"


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ECONNRESET])
def test_a_peer_that_does_not_stay_for_our_goodbye_makes_no_other_end(world, server_context, client_context, code):
    """What was written is out, as it is where a stream without TLS closes and its peer has gone."""
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    server.write(b"all of it")
    world.run(loop, lambda: client.data == b"all of it")
    server.socket = Fickle(server.socket, send=[-code])
    server.close()
    world.run(loop, lambda: server.closed)
    world.turn(loop, 1)

    assert server.events[-1] == ("close", None)
    assert server.statistics().lost == 0


def test_pending_records_are_handed_over_after_a_pause_before_the_reset_behind_them(
    world, server_context, client_context
):
    class OneByOne(Secure):
        def handle_data(self, data):
            super().handle_data(data)
            self.pause()

    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context, OneByOne)
    client.write(bytes(40_000))  # three records
    world.run(loop, lambda: server.bytes_received > 40_000)
    assert len(server.data) < 40_000
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.abort()
    for _ in range(3):
        server.resume()  # no handler's: the next thing that the loop does is to poll
        world.turn(loop, 1)
    world.run(loop, lambda: server.closed)
    world.turn(loop, 1)

    assert len(server.data) == 40_000
    assert server.events == ["secure", "data", ("close", ConnectionResetError)]


def test_pending_records_are_handed_over_after_a_pause(world, server_context, client_context):
    """They are in memory: the socket has nothing more to say about them."""
    loop = world.loop()

    class Pausing(Secure):
        def handle_data(self, data):
            super().handle_data(data)
            self.events.append(len(data))
            self.pause()

    _, client = secured(world, loop, server_context, client_context, client=Pausing)
    client.write(b"x" * 50_000)  # four records, which come back together
    got = 0
    while got < 50_000:
        world.run(loop, lambda: client.paused)
        got = len(client.data)
        loop.call_soon(client.resume)
        world.turn(loop, 1)
    assert len(client.data) == 50_000


@pytest.mark.parametrize("pauses", [False, True])
def test_a_peer_of_tiny_records_holds_no_turn_for_itself(world, server_context, client_context, pauses):
    """One read brings thousands of records; what waits behind a pause, or behind other channels' turns, comes before the end."""
    loop, turns = world.loop(), []

    class Counting(Secure):
        def handle_data(self, data):
            super().handle_data(data)
            self.write(b"y" * 1000)
            turns.append(loop._turn_number)
            if pauses and len(self.data) % 600 == 0:
                self.pause()
                loop.call_soon(self.resume)

    server, client = secured(world, loop, server_context, client_context, server=Counting)
    for _ in range(1500):
        client.tls.write(b"x")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client._flush_staged()
    world.run(loop, lambda: server.closed and client.closed)

    assert len(server.data) == 1500
    assert server.events[-2:] == ["eof", ("close", None)]
    assert max(turns.count(turn) for turn in set(turns)) <= 2 * 256  # before the other channels, and behind them
    assert len(client.data) == 1_500_000


@pytest.mark.parametrize("how", ["close", "pause"])
def test_the_handshake_goes_on_though_nothing_more_is_to_be_read(world, server_context, client_context, how):
    """What was written behind it needs the peer's side of it; behind much that goes out in clear, it begins late."""
    loop = world.loop()
    ours, theirs = world.pair()

    client = Secure(ours, loop=loop)
    client.write(b"x" * 8_000_000)  # more than the kernel takes
    client.start_tls(client_context, server_hostname="localhost", handshake_timeout=None)
    client.write(b"secret")
    getattr(client, how)()
    world.turn(loop, 5)
    assert len(world.read(loop, theirs, 8_000_000)) == 8_000_000
    server = Secure(theirs, loop=loop)
    server.start_tls(server_context, server_side=True)
    world.run(loop, lambda: server.data == b"secret")

    if how == "pause":
        server.write(b"reply")
        world.turn(loop, 10)
        assert not client.data
        client.resume()
        world.run(loop, lambda: client.data == b"reply")
    else:
        world.run(loop, lambda: client.closed)


def test_a_goodbye_behind_the_message_at_which_a_chat_pauses_is_heard_after_it(world, server_context, client_context):
    """The peer waits for ours before it closes its socket, as the standard library's unwrap() does."""
    loop = world.loop()
    ours, theirs = world.pair()

    class Slow(Chat):
        def __init__(self, sock, **options):
            super().__init__(sock, **options)
            self.events = []

        def handle_message(self, data):
            self.events.append(data)
            self.pause()
            loop.call_soon(self.resume)

        def handle_eof(self):
            self.events.append("eof")

    chat, peer = Slow(theirs, loop=loop), Secure(ours, loop=loop)
    chat.start_tls(server_context, server_side=True)
    peer.start_tls(client_context, server_hostname="localhost")
    world.run(loop, lambda: "secure" in peer.events)
    peer.tls.write(b"one\r\ntwo\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()  # close_notify, and nothing of the socket
    peer._flush_staged()
    world.run(loop, lambda: "eof" in chat.events)

    assert chat.events == [b"one", b"two", "eof"]


def test_a_peer_that_speaks_no_tls_is_given_up(world, server_context):
    loop = world.loop()
    channel, client = world.connected(loop, Secure)
    channel.start_tls(server_context, server_side=True)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert isinstance(channel.reason, ssl.SSLError)
    assert "secure" not in channel.events
    assert len(loop._timers) == 0  # nor is the loop kept running by the deadline of the handshake


def test_a_certificate_that_is_not_trusted_is_the_reason(world, server_context):
    loop = world.loop()
    listener = world.listen(loop, Echo, tls=server_context)
    client = Secure(loop=loop)
    client.connect(listener.addr)
    client.start_tls(ssl.create_default_context(), server_hostname="localhost")
    world.run(loop, lambda: client.closed)
    world.turn(loop, 1)

    assert isinstance(client.reason, ssl.SSLCertVerificationError)


def test_a_handshake_that_does_not_come_is_given_up_and_does_not_spin(world, server_context, log):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    channel, _client = world.connected(loop, Secure)
    channel.start_tls(server_context, server_side=True, handshake_timeout=10)
    channel.write(b"220 waits for the handshake")
    world.turn(loop, 3)
    log.lines.clear()
    world.turn(loop, 10)
    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10

    clock.now += 11
    world.turn(loop)
    assert channel.reason.which == "handshake"


@pytest.mark.parametrize("answers", [False, True])
def test_the_time_of_a_handshake_counts_from_the_connection(world, client_context, answers):
    """Whose connection is slow has no handshake that could be late."""
    clock = StoppedClock()
    loop = world.loop(network=clock)
    client = Secure(loop=loop)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        others = [] if answers else [socket.create_connection(silent.getsockname(), timeout=PATIENCE)]
        client.connect(silent.getsockname())
        client.start_tls(client_context, server_hostname="localhost", handshake_timeout=10)
        world.turn(loop)
        clock.now += 11
        world.turn(loop)

        assert client.closed is answers
        assert client.connecting is not answers
        if answers:
            assert client.reason.which == "handshake"
        for each in others:
            each.close()


@pytest.mark.parametrize("when", ["before the handshake", "after it"])
def test_an_urgent_byte_under_tls_is_dropped_and_does_not_spin(world, server_context, client_context, log, when):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    if when == "before the handshake":
        server, peer = world.connected(loop, Secure)
        server.start_tls(server_context, server_side=True)
        peer.send(b"!", socket.MSG_OOB)
    else:
        client.socket.send(b"!", socket.MSG_OOB)
    world.turn(loop, 5)
    log.lines.clear()
    world.turn(loop, 10)

    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10
    assert not server.closed
    assert not any("urgent" in str(event) for event in server.events)
    if when == "after it":
        client.write(b"hello")
        world.run(loop, lambda: client.data == b"hello")


def test_the_session_can_be_asked(world, server_context, client_context):
    loop = world.loop()
    _, client = secured(world, loop, server_context, client_context)

    assert client.tls.version().startswith("TLS")
    assert client.tls.getpeercert()
    assert Recorder(loop=loop).tls is None


def test_producers_and_files_go_through_it(world, server_context, client_context, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"f" * 200_000)
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context, server=Secure)
    with path.open("rb") as file:
        client.write(b"[")
        client.write_file(file)
        client.write_from(iter([b"p" * 10, b"q"]))
        client.write(b"]")
        client.close()
        world.run(loop, lambda: server.closed)

    assert server.data == b"[" + b"f" * 200_000 + b"p" * 10 + b"q]"


def test_a_path_whose_turn_comes_while_no_descriptor_is_left_waits_for_one_over_tls(
    world, server_context, client_context, tmp_path
):
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    path = tmp_path / "file"
    path.write_bytes(b"f")
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context, server=Secure)
    for _ in range(100):
        client.write_file(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        world.turn(loop, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not client.closed
    client.close()
    world.run(loop, lambda: server.closed)

    assert server.data == b"f" * 100


def test_a_slow_reader_is_not_read_over_tls(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context)
    client.pause()
    for _ in range(300):
        client.write(b"x" * 100_000)
        loop.run_once(0)
        if client.queued > 1_000_000:
            break
    world.turn(loop, 50)
    assert server.queued < 2_000_000

    sent = client.queued
    assert sent
    client.resume()
    world.run(loop, lambda: not client.queued and not server.queued)


def test_wrong_use_is_refused_at_the_call(world, server_context, client_context):
    loop = world.loop()
    _server, client = secured(world, loop, server_context, client_context)

    with pytest.raises(RuntimeError, match="already"):
        client.start_tls(client_context, server_hostname="localhost")
    with pytest.raises(RuntimeError, match="half-close"):
        client.write_eof()
    channel, _ = world.connected(loop, Secure)
    with pytest.raises(TypeError, match="SSLContext"):
        channel.start_tls("yes")
    with pytest.raises(ValueError, match="needs server_hostname: the context checks the name in the certificate"):
        channel.start_tls(client_context)  # OpenSSL would take any name
    channel.write_from(iter([b"x"]))
    with pytest.raises(RuntimeError, match="producer"):
        channel.start_tls(server_context, server_side=True)
    channel.abort()
    channel.start_tls(server_context, server_side=True)
    channel, _ = world.connected(loop, Secure)
    channel.write_eof()
    with pytest.raises(RuntimeError, match="cannot begin a handshake after write_eof"):
        channel.start_tls(server_context, server_side=True)


def test_who_is_refused_tls_keeps_what_has_arrived(world):
    loop = world.loop()
    channel, client = world.connected(loop, Chat)
    client.send(b"a part")
    world.run(loop, lambda: channel.pending_input)
    with pytest.raises(TypeError, match="SSLContext"):
        channel.start_tls("yes")

    assert channel.pending_input == b"a part"


def test_importing_dispatch_loads_neither_ssl_nor_asyncio():
    import subprocess
    import sys

    program = (
        "import sys; before = set(sys.modules); import dispatch; "  # coverage, for one, has loaded some by then
        "print(sorted({'ssl', 'asyncio', 'logging', 'threading', 'asyncore'} & (set(sys.modules) - before)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert result.stdout.strip() == "[]"
    assert threading
    assert dispatch


@pytest.mark.parametrize("gives", [None, dispatch.Dispatcher], ids=["nothing", "no-stream"])
def test_a_listener_serves_nobody_in_clear_whose_handler_does_not_give_the_stream(
    kernel_world, server_context, gives, caplog
):
    loop = kernel_world.loop()
    made = []

    def accepted(sock, **options):
        made.append(Recorder(sock, **options) if gives is None else gives(sock, **options))
        return None if gives is None else made[-1]

    listener = kernel_world.listen(loop, accepted, tls=server_context)
    client = kernel_world.connect(listener.addr)
    client.sendall(b"secret")
    kernel_world.run(loop, lambda: made)
    kernel_world.turn(loop)

    assert made[0].closed
    assert made[0].loop is loop
    assert "has to return the Stream" in caplog.text


def test_a_handler_that_refuses_somebody_need_not_give_a_stream_for_that(world, server_context, caplog):
    loop = world.loop()
    refused = []

    def accepted(sock, *, addr, loop):
        sock.close()
        refused.append(addr)

    client = world.connect(world.listen(loop, accepted, tls=server_context).addr)
    world.run(loop, lambda: refused)

    assert client.recv(1) == b""
    assert not caplog.records


def test_reads_over_tls_grow_while_they_come_back_full_and_fall_back(world, server_context, client_context):
    loop = world.loop()
    server, client = secured(world, loop, server_context, client_context, server=Secure)
    client.write(b"x" * 4_000_000)
    sizes = set()
    world.run(loop, lambda: sizes.add(server._read_size) or len(server.data) == 4_000_000)
    assert max(sizes) > server.read_size
    for count in range(1, SHORT_READS + 2):
        client.write(b"y")
        world.run(loop, lambda count=count: len(server.data) == 4_000_000 + count)

    assert server._read_size == server.read_size


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("interrupted", ["secure", 1, 5, 300])
def test_ctrl_c_in_a_handler_holds_up_neither_the_handshake_nor_the_records_behind_it(
    world, server_context, client_context, side, interrupted
):
    """Those are here already: the peer waits for its answers, and sends no more."""

    class Interrupted(Secure):
        def handle_secure(self):
            super().handle_secure()
            self.write(b"welcome")
            if interrupted == "secure":
                raise KeyboardInterrupt

        def handle_data(self, data):
            super().handle_data(data)
            if data == b"x" and len(self.data) == interrupted:
                raise KeyboardInterrupt

    class Talking(Secure):
        def handle_secure(self):
            super().handle_secure()
            for _ in range(600):
                self.tls.write(b"x")

    loop, made = world.loop(), []
    kinds = {"server": Talking, "client": Talking, side: Interrupted}
    listener = world.listen(
        loop, lambda *sock, **options: made.append(kinds["server"](*sock, **options)) or made[0], tls=server_context
    )
    client = kinds["client"](loop=loop)
    client.connect(listener.addr)
    client.start_tls(client_context, server_hostname="localhost")
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    world.run(loop, lambda: made and len(made[0].data) + len(client.data) == 607)

    ours, theirs = (made[0], client) if side == "server" else (client, made[0])
    assert ours.data == b"x" * 600
    assert theirs.data == b"welcome"
