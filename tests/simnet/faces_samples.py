"""Small suites that the tests of the plugin and the command run: one server that is right, one with an honest mistake."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import simnet

# A pytest run inside a test forgets what it has imported when it ends. simnet's rooms must outlive it: half of them
# old and half of them new would not know each other.
for room in pkgutil.walk_packages(simnet.__path__, "simnet."):
    if ".demo" not in room.name and not room.name.endswith("__main__"):
        importlib.import_module(room.name)

SERVERS = '''
import socket

def echo(port):
    """Right: gives back all that comes, until the end."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                try:
                    while data := conn.recv(100):
                        conn.sendall(data)
                except OSError:
                    pass

def hasty(port):
    """Believes that what is sent in one piece arrives in one."""
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                try:
                    word = conn.recv(100)
                    if word:
                        conn.sendall(GREETINGS[word])
                except OSError:
                    pass

GREETINGS = {b"hello": b"good day"}
'''

TESTS = """
import socket
import simnet
from servers import echo, hasty

KINDS = ("short-recv", "partial-send", "reset")

def talk(word):
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(word)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()

@simnet.sweep(target="server", kinds=KINDS)
def test_echo(net):
    net.host("server").spawn(echo, 7)
    assert talk(b"hello") == b"hello"

@simnet.sweep(target="server", kinds=KINDS)
def test_hasty(net):
    net.host("server").spawn(hasty, 7)
    assert talk(b"hello") == b"good day"
"""


def forget_modules(*names: str) -> None:
    """The project's modules are imported anew by whoever wants them next: another project has files of the same names."""
    for name in names or ("servers", "test_servers"):
        sys.modules.pop(name, None)


def lay_out(folder: Path) -> Path:
    """The sample project in *folder*: ``servers.py``, ``test_servers.py``, a root."""
    (folder / "pyproject.toml").write_text("")
    (folder / "servers.py").write_text(SERVERS)
    (folder / "test_servers.py").write_text(TESTS)
    return folder


PATIENT = """
import select
import socket
import simnet

def serve(port):
    listener = socket.create_server(("", port))
    listener.setblocking(False)
    vain = 0
    while True:
        select.select([listener], [], [])
        try:
            conn, _ = listener.accept()
        except BlockingIOError:
            vain += 1
            if vain > 1:
                raise  # once was bad luck
            continue
        conn.close()
"""
"""A server that one accept without a client does not end, and two do."""
