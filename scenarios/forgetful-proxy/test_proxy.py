"""Does a client get its answer through the proxy, or at least hear that there will be none?"""

import socket

from proxy import serve

import simnet


def answer(port):
    """The origin: each line comes back in capitals."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                try:
                    while data := conn.recv(4096):
                        conn.sendall(data.upper())
                except OSError:
                    pass


def ask(net, careful):
    net.host("origin").spawn(answer, 80)
    net.host("proxy").spawn(serve, 7, careful)
    with socket.create_connection(("proxy", 7)) as sock, sock.makefile("rb") as lines:
        sock.sendall(b"hello\n")
        return lines.readline()


@simnet.sweep(target="proxy")
def test_the_forgetful_one(net):
    assert ask(net, careful=False) == b"HELLO\n"


@simnet.sweep(target="proxy")
def test_the_careful_one(net):
    assert ask(net, careful=True) == b"HELLO\n"
