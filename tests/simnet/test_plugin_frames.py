"""What pytest shows of a failed test has the user's frames, and none of a simulated socket: the kernel's has none either."""

from __future__ import annotations

import pytest

from tests.simnet.faces_samples import lay_out

pytestmark = pytest.mark.slow  # each case takes a pytest of its own

HEAD = """
import socket, unittest
import pytest, simnet
from servers import echo

def late(port=7):
    with socket.create_connection(("server", port), timeout=5) as sock:
        sock.recv(1)

"""

CAUSED = """
def caused():
    try:
        late()
    except TimeoutError as error:
        raise RuntimeError("it was late") from error

"""

CASES = {
    "unittest": """
class TestIt(unittest.TestCase):
    def setUp(self):
        self.net = simnet.Network()
        self.net.__enter__()
        self.net.host("server").spawn(echo, 7)

    def tearDown(self):
        self.net.__exit__(None, None, None)

    def test_it(self):
        late()
""",
    "machine-by-hand": """
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.net = simnet.Network()
        self.net.__enter__()
        self.net.host("server").spawn(echo, 7)

    @rule()
    def talk(self):
        late()

    def teardown(self):
        self.net.__exit__(None, None, None)

TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=2, deadline=None, database=None)
""",
    "cause": CAUSED
    + """
def test_it():
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        caused()
""",
    "cause-beside-the-fixture": CAUSED
    + """
def test_it(simnet_network):
    simnet_network.host("server").spawn(echo, 7)
    caused()
""",
    "plan-set": """
def test_it(simnet_network):
    simnet_network.plan = simnet.FaultPlan()
""",
    "no-such-name": """
def test_it(simnet_network):
    simnet_network.spawn(echo, 7)
""",
    "rule-of-a-machine": """
from hypothesis import Phase, settings
from hypothesis.stateful import rule
from simnet.stateful import NetworkMachine, clients

class Machine(NetworkMachine):
    def start(self):
        self.net.host("server").spawn(echo, 7)

    def answer(self, client):
        return None

    @rule(client=clients)
    def ask(self, client):
        client.send(b"hello")
        self.net.run()
        client.receive()
        assert b"hello" not in client.received

TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=20, deadline=None, database=None, phases=[Phase.generate])
""",
    "check": """
def first(port):
    with socket.create_server(("", port)) as listener, listener.accept()[0] as sock:
        sock.sendall(sock.recv(100))
        sock.recv(100)

def test_it():
    def body(net):
        net.host("server").spawn(first, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    simnet.check(body, target="server", kinds="short-recv")
""",
    "no-such-kind": """
def test_it():
    simnet.check(late, kinds=["split", "ref"])
""",
    "group-of-a-rule": """
from hypothesis import given, settings, strategies as st

@settings(deadline=None, database=None)
@given(st.integers(0, 1))
def test_it(n):
    with simnet.Network() as net:
        net.host("server").spawn(echo, 7)
        if n:
            late()
        net.plan = n
""",
}


@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_no_frame_of_simnet_is_shown(pytester: pytest.Pytester, body: str) -> None:
    lay_out(pytester.path)
    (pytester.path / "test_it.py").write_text(HEAD + body)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "test_it.py")
    result.assert_outcomes(failed=1)
    shown = [line for line in result.stdout.lines if "simnet/" in line or "collections/" in line]
    assert shown == []
    assert "test_it.py:" in result.stdout.str()


HALF = """
import socket, simnet

def serve(port):
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        if len(connection.recv(100)) < 5:
            raise ValueError("half a letter: \\udcff")
        connection.sendall(b"hello")

@simnet.sweep(target="server", kinds=["split"])
def test_it(net):
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.recv(100)
"""


def test_of_a_letter_that_cannot_be_written_a_report_has_the_number_and_its_lines(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    pytester.makepyfile(test_half=HALF)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "test_half.py")
    result.stdout.fnmatch_lines(
        ["so        ValueError: half a letter: *udcff ended server/serve on server*", "run it    pytest test_half.py*"]
    )
