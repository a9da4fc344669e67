"""CPython's own tests of sockets, TLS, pollers, asyncio's loops upon them, threads, and the library's clients and servers pass in a
simulated network.

What they ask of a system besides sockets (subprocesses, alarms of processor time) a simulated process does not have, and says so:
such a test is refused, by name.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.contract.cpython import Told
from tests.house import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "at_least"),
    [
        ("test_socket", 475),
        ("test_epoll", 10),
        ("test_poll", 4),
        ("test_select", 4),
        ("test_selectors", 70),
        ("test_ssl", 150),
        ("test_asynchat", 20),
        ("test_asyncore", 80),
        ("test_ftplib", 85),
        ("test_httpservers", 55),
        ("test_imaplib", 85),
        ("test_logging", 200),
        ("test_nntplib", 60),
        ("test_poplib", 65),
        ("test_smtpd", 140),
        ("test_smtplib", 70),
        ("test_telnetlib", 15),
        ("test_urllib2_localnet", 18),
        ("test_wsgiref", 30),
        ("test_httplib", 100),
        ("test_asyncio.test_base_events", 100),
        ("test_asyncio.test_events", 150),
        ("test_asyncio.test_selector_events", 110),
        ("test_asyncio.test_sendfile", 60),
        ("test_asyncio.test_sock_lowlevel", 35),
        ("test_asyncio.test_ssl", 20),
        ("test_asyncio.test_sslproto", 20),
        ("test_asyncio.test_streams", 50),
        ("test_asyncio.test_threads", 6),
        ("test_asyncio.test_unix_events", 110),
        ("test_socketserver", 15),
        ("test_thread", 20),
        ("test_threading_local", 20),
        ("test_xmlrpc", 80),
    ],
)
def test_the_interpreters_own_tests_pass_in_a_simulated_network(suite: str, at_least: int) -> None:
    try:
        there = importlib.util.find_spec(f"test.{suite}")
    except ModuleNotFoundError:
        there = None
    if there is None:
        pytest.skip(f"this interpreter came without test.{suite}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.contract.cpython", suite],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    told = [Told(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith('["')]
    assert [f"{each.name}: {each.why[-600:]}" for each in told if each.how == "failed"] == []
    assert sum(each.how == "passed" for each in told) >= at_least
