"""Does the tutorial's server give back what it is sent? Without faults, then with each fault at each point."""

import socket
import time

import simnet
from tutorial_server import serve

LINES = [b"hello\n", b"a line longer than what the server takes in one read\n", b"bye\n"]


@simnet.sweep(target="server")
def test_every_line_comes_back(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        for line in LINES:
            sock.sendall(line)
        time.sleep(0.1)  # seconds: whoever types takes a moment before hanging up
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"".join(LINES)
