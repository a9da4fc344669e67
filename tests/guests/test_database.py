"""hazelcast, the client of a data grid: its loop runs in a thread of its own, a pipe wakes it, its timers are between two turns."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.guests.conftest import CHECK, PATIENCE, Host

CLIENT = """
import logging, threading
logging.basicConfig(level=logging.ERROR)
from hazelcast.config import Config
from hazelcast.core import Address
from hazelcast.protocol.client_message import OutboundMessage, create_initial_buffer
from hazelcast.reactor import AsyncoreConnection, AsyncoreReactor

class Manager:
    live = True

    def on_connection_close(self, connection):
        print("closed", connection.live, len(reactor.map), flush=True)

answers, all_came = [], threading.Event()

def answered(message):
    answers.append(message.get_correlation_id())
    if len(answers) == 1000:
        all_came.set()

reactor = AsyncoreReactor()
assert type(reactor._loop).__name__ == "_WakeableLoop"
reactor.start()
timer = threading.Event()
reactor.add_timer(0.01, timer.set)
assert timer.wait(10)

connection = AsyncoreConnection(reactor, Manager(), 1, Address("127.0.0.1", {port}), Config(), answered)
assert isinstance(connection, asyncore.dispatcher)
for number in range(1000):
    message = OutboundMessage(create_initial_buffer(22 + 5000, 0x010101, is_final=True), True)
    message.set_correlation_id(number)
    assert connection.send_message(message)
assert all_came.wait(10)
assert answers == [*range(1000)]
print("answered", flush=True)
threading.Event().wait()
"""

HEADER = struct.Struct("<IH")  # bytes of the frame with this header, flags
BODY = struct.Struct("<iq")  # type of the message, correlation id


def exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        some = sock.recv(size - len(data))
        assert some, "the client has hung up"
        data += some
    return bytes(data)


@pytest.mark.slow
def test_a_thousand_requests_are_answered_in_order_and_the_end_is_told_once(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        client = host("hazelcast-python-client", CHECK + CLIENT.format(port=listener.getsockname()[1]))
        member, _ = listener.accept()
    with member:
        member.settimeout(PATIENCE)
        assert exactly(member, 3) == b"CP2"  # the protocol, then requests of 5 kB each
        for number in range(1000):
            size, flags = HEADER.unpack(exactly(member, HEADER.size))
            kind, correlation = BODY.unpack_from(exactly(member, size - HEADER.size))
            assert correlation == number
            answer = BODY.pack(kind + 1, correlation) + bytes(10)
            member.sendall(HEADER.pack(HEADER.size + len(answer), flags) + answer)
        assert client.line() == "answered"
    assert client.line() == "closed False 1"  # who is left in the map is the pipe
