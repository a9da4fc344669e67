"""smtpd, the mail server that old programs subclass: the copy from the package index, and the one of Python 3.11.

Whichever is imported first, it stands on the drop-in: before ``dispatch.install()`` it is executed again there.
"""

from __future__ import annotations

import hashlib
import json
import smtplib
import sys

import pytest

from tests.guests.conftest import CHECK, PATIENCE, Host

# The folder of installed packages goes before the standard library, so that 3.11 finds the copy and not its own.
COPY = "import sys, sysconfig; sys.path.insert(0, sysconfig.get_path('purelib'))\n"
INSTALL_FIRST = "import dispatch; dispatch.install(); import smtpd\n"
SMTPD_FIRST = """
import warnings, smtpd, dispatch
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    dispatch.install()
assert "smtpd was executed again" in str(seen[-1].message), seen
"""
SERVER = """
import hashlib, json

class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **options):
        # A digest: a whole letter may be more than a pipe holds, and who is to read it waits for the answer.
        print(json.dumps([mailfrom, rcpttos, hashlib.sha256(b"\\n".join(data.splitlines())).hexdigest()]), flush=True)

server = Server(("127.0.0.1", 0), None)
assert isinstance(server, dispatch.asyncore.dispatcher)
assert issubclass(smtpd.SMTPChannel, dispatch.asynchat.async_chat)
assert smtpd.__file__.startswith(sysconfig.get_path("purelib" if {copy} else "stdlib")), smtpd.__file__
print(server.socket.getsockname()[1], flush=True)
asyncore.loop()
"""


def deliver(port: int, text: str) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        return client.sendmail("ada@localhost", ["charles@localhost", "mary@localhost"], text)


def digest(text: str) -> str:
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("order", [INSTALL_FIRST, SMTPD_FIRST], ids=["install first", "smtpd first"])
@pytest.mark.parametrize("copy", [True, False], ids=["from the index", "the interpreter's"])
def test_mail_is_delivered(host: Host, order: str, copy: bool) -> None:
    if not copy and sys.version_info >= (3, 12):
        pytest.skip("Python 3.12 removed the interpreter's smtpd")
    path = COPY if copy else "import sysconfig\n"
    server = host(
        "standard-smtpd" if copy else "pytest", path + order + CHECK + SERVER.format(copy=copy), install_first=False
    )
    port = int(server.line())
    text = "Subject: Note G\r\n\r\n" + "..a line that begins with a dot, and is long enough to be cut\r\n" * 2000

    assert deliver(port, text) == {}
    assert json.loads(server.line()) == ["ada@localhost", ["charles@localhost", "mary@localhost"], digest(text)]
    assert deliver(port, "Subject: another\r\n\r\nstill here\r\n") == {}
    assert json.loads(server.line())[2] == digest("Subject: another\r\n\r\nstill here\r\n")
