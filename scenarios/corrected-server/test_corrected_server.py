"""Does the corrected server give back what it is sent? Without faults, then with each fault at each point."""

import socket
import time

from corrected_server import serve

import simnet

LINES = [b"hello\n", b"a line longer than what the server takes in one read\n", b"bye\n"]
ALL = b"".join(LINES)


@simnet.sweep(target="server")
def test_every_line_comes_back(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        for line in LINES:
            sock.sendall(line)
        time.sleep(0.03)  # seconds: whoever has the last word takes a moment before hanging up
        sock.shutdown(socket.SHUT_WR)
        reply = sock.makefile("rb").read()
        assert len(reply) == len(ALL), "a part of it is missing"
        assert reply == ALL, "all is there, but not as it was sent"
