"""pyftpdlib, a server that brings a poller of its own and takes only the channels: asyncore's flags, asynchat's queue."""

from __future__ import annotations

import ftplib
import io
from pathlib import Path

import pytest

from tests.guests.conftest import CHECK, PATIENCE, Host

SERVER = """
import logging, sys
logging.basicConfig(level=logging.ERROR)
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

class Handler(FTPHandler):
    authorizer = DummyAuthorizer()
    auth_failed_timeout = 0.01  # seconds until it says no

Handler.authorizer.add_user("ada", "secret", {home!r}, perm="elradfmw")
server = FTPServer(("127.0.0.1", 0), Handler)
assert issubclass(FTPHandler, asynchat.async_chat) and issubclass(FTPServer, asyncore.dispatcher)
print(server.address[1], flush=True)
server.serve_forever(handle_exit=False)
"""


@pytest.fixture
def ftp(host: Host, tmp_path: Path):
    server = host("pyftpdlib", CHECK + SERVER.format(home=str(tmp_path)))
    with ftplib.FTP(timeout=PATIENCE) as client:
        client.connect("127.0.0.1", int(server.line()))
        client.login("ada", "secret")
        yield client


def test_a_user_logs_in_and_lists_and_retrieves(ftp: ftplib.FTP, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096  # 1 MiB: more than a socket takes at once
    (tmp_path / "engine.bin").write_bytes(content)
    got = io.BytesIO()

    names = ftp.nlst()
    ftp.retrbinary("RETR engine.bin", got.write)

    assert names == ["engine.bin"]
    assert got.getvalue() == content
    assert ftp.quit().startswith("221")


def test_a_user_stores_renames_and_deletes(ftp: ftplib.FTP, tmp_path: Path) -> None:
    content = b"analytical engine\n" * 50_000

    ftp.storbinary("STOR notes", io.BytesIO(content))
    ftp.rename("notes", "note-g")

    assert (tmp_path / "note-g").read_bytes() == content
    ftp.delete("note-g")
    assert ftp.nlst() == []


def test_a_wrong_password_costs_the_login_and_not_the_server(ftp: ftplib.FTP) -> None:
    with ftplib.FTP(timeout=PATIENCE) as other:
        other.connect(ftp.host, ftp.port)
        with pytest.raises(ftplib.error_perm, match="530"):
            other.login("ada", "wrong")  # told by a timer of the server's own

    assert ftp.pwd() == "/"
