"""emailproxy, between mail programs and their servers: TLS by hand over dispatcher_with_send, a thread and a map for each client."""

from __future__ import annotations

import imaplib
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guests.conftest import CHECK, PATIENCE, Host

PROXY = """
import logging, os, sys
sys.argv[1:] = ["--no-gui"]  # it looks when it is imported
os.environ["SSL_CERT_FILE"] = "authority"
import emailproxy

emailproxy.Log.initialise("log")
emailproxy.Log.set_level(logging.ERROR)
tls = dict(local_certificate_path="chain", local_key_path="key", local_starttls={starttls}, server_starttls={starttls})
proxy = emailproxy.OAuth2Proxy({kind!r}, ("127.0.0.1", 0), ("localhost", {port}), tls)
proxy.start()
print(proxy.socket.getsockname()[1], flush=True)
emailproxy.Log.set_level(logging.INFO)
asyncore.loop()
"""

IMAP = {
    b"CAPABILITY": [b"* CAPABILITY IMAP4rev1\r\n"],
    b"NOOP": [b"* %d LINE %s\r\n" % (number, b"x" * 20_000) for number in range(1, 101)],  # 2 MB
    b"LOGOUT": [b"* BYE\r\n"],
}
SMTP = {b"EHLO": b"250-localhost\r\n250 STARTTLS\r\n", b"STARTTLS": b"220 go on\r\n", b"QUIT": b"221 bye\r\n"}

pytestmark = pytest.mark.slow  # certificates, and an interpreter that imports them

Server = Callable[[socket.socket], None]


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of clients, and of servers; the files are for the proxy, which is both."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    certificate = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(tmp_path / "authority")
    certificate.private_key_pem.write_to_path(tmp_path / "key")
    (tmp_path / "chain").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    return ssl.create_default_context(cafile=tmp_path / "authority"), theirs


@pytest.fixture
def proxied(host: Host, tmp_path: Path) -> Iterator[Callable[[str, Server, bool], int]]:
    """``proxied(kind, serve, starttls)`` is the port of a proxy for a server that has one client."""
    threads: list[threading.Thread] = []

    def proxied(kind: str, serve: Server, starttls: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(PATIENCE)

        def run() -> None:
            with listener:
                sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            serve(sock)

        enter = f"import os; os.chdir({str(tmp_path)!r})\n"
        program = PROXY.format(kind=kind, port=listener.getsockname()[1], starttls=starttls)
        try:
            guest = host("emailproxy", enter + CHECK + program)
        except BaseException:  # it is not installed: skipped
            listener.close()
            raise
        threads.append(threading.Thread(target=run))
        threads[0].start()
        return int(guest.line())

    yield proxied
    for thread in threads:
        thread.join(PATIENCE)
    if threads:
        assert "uncaptured" not in (tmp_path / "log").read_text()


def test_what_an_imap_server_says_comes_through_whole(proxied, contexts):
    ours, theirs = contexts

    def serve(sock: socket.socket) -> None:
        with theirs.wrap_socket(sock, server_side=True) as tls, tls.makefile("rwb") as file:
            file.write(b"* OK ready\r\n")
            file.flush()
            for tag, command in (line.split()[:2] for line in file):
                file.writelines([*IMAP[command], tag + b" OK done\r\n"])
                file.flush()
                if command == b"LOGOUT":
                    return

    with imaplib.IMAP4_SSL("127.0.0.1", proxied("IMAP", serve, False), ssl_context=ours, timeout=PATIENCE) as client:
        assert client.noop() == ("OK", [b"done"])
        lines = [line.split() for line in client.untagged_responses["LINE"]]
        assert lines == [[number, text] for _, number, _, text in (line.split() for line in IMAP[b"NOOP"])]


def test_mail_goes_through_after_starttls_on_both_sides(proxied, contexts):
    ours, theirs = contexts
    letter = b"Subject: Note G\r\n\r\n" + b"a line that is long enough to be cut somewhere\r\n" * 5_000
    letters = []

    def converse(sock: socket.socket) -> None:
        with sock.makefile("rwb") as file:
            for line in file:
                command = line.split()[0].upper()
                if command == b"DATA":
                    file.write(b"354 go on\r\n")
                    file.flush()
                    letters.append(b"".join(iter(file.readline, b".\r\n")))
                file.write(SMTP.get(command, b"250 done\r\n"))
                file.flush()
                if command in (b"STARTTLS", b"QUIT"):
                    return

    def serve(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        converse(sock)
        with theirs.wrap_socket(sock, server_side=True) as tls:
            converse(tls)

    with smtplib.SMTP("127.0.0.1", proxied("SMTP", serve, True), timeout=PATIENCE) as client:
        assert client.starttls(context=ours)[0] == 220
        assert client.sendmail("ada@localhost", ["charles@localhost"], letter) == {}

    assert letters == [letter]
