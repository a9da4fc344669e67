"""Guests on simnet, as they are: a sweep goes through them, and says of each what it says the next time."""

from __future__ import annotations

import pytest

from tests.guests.conftest import CHECK, Host

pytestmark = pytest.mark.slow

FTP = """
import io, ftplib, logging, os, tempfile
import simnet
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

logging.disable()
home = tempfile.TemporaryDirectory()
content = bytes(range(256)) * 200  # sent by os.sendfile

class Handler(FTPHandler):
    authorizer = DummyAuthorizer()

Handler.authorizer.add_user("ada", "secret", home.name, perm="elradfmw")

def serve():
    FTPServer(("", 21), Handler).serve_forever(handle_exit=False)

def conversation(net):
    with open(os.path.join(home.name, "engine"), "wb") as file:
        file.write(content)
    net.host("guest").spawn(serve)
    with ftplib.FTP("guest", timeout=60) as client:
        client.login("ada", "secret")
        got = io.BytesIO()
        client.retrbinary("RETR engine", got.write)
        assert got.getvalue() == content
        return client.nlst()
"""

MAIL = """
import smtplib
import simnet, smtpd

class Inbox(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **options):
        assert data == b"Subject: Note G\\n\\n.a dot"

def serve():
    Inbox(("0.0.0.0", 25), None)
    asyncore.loop()

def conversation(net):
    net.host("guest").spawn(serve)
    with smtplib.SMTP("guest", 25, timeout=60) as client:
        return client.sendmail("ada@x", ["charles@y"], "Subject: Note G\\r\\n\\r\\n.a dot\\r\\n")
"""

GAME = """
import time
import simnet
from PodSixNet.Channel import Channel
from PodSixNet.EndPoint import EndPoint
from PodSixNet.Server import Server

class Player(Channel):
    def Network_say(self, data):
        for channel in self._server.channels:
            channel.Send({"action": "heard", "what": data["what"]})

    def Close(self):
        self._server.channels.remove(self)

def serve():
    server = Server(channelClass=Player, localaddr=("", 31425))
    while True:
        server.Pump()
        time.sleep(0.05)  # a frame, a hundred times as long as the way

def conversation(net):
    net.host("guest").spawn(serve)
    player, heard, frame = EndPoint(("guest", 31425)), [], 0
    player.DoConnect()
    while not heard:  # however late it comes
        player.Pump()
        heard += [data["what"] for data in player.GetQueue() if data["action"] == "heard"]
        if frame == 5:
            player.Send({"action": "say", "what": "x" * 2000})
        frame += 1
        time.sleep(0.05)
    return [len(each) for each in heard]
"""

BUILDING = """
import socket
import simnet
from bacpypes import core, iocb, task
from bacpypes.app import BIPSimpleApplication
from bacpypes.local.device import LocalDeviceObject

READ_NAME = bytes.fromhex("810a0011 0104 0005010c 0c02000257 194d")
per_process += ["bacpypes.task:_task_manager", "bacpypes.task:TaskManager._singleton_instance"]
per_process += ["bacpypes.task:_unscheduled_tasks", "bacpypes.core:taskManager", "bacpypes.core:deferredFns"]
per_process += ["bacpypes.iocb:local_controllers"]

def serve():
    device = LocalDeviceObject(
        objectName="the boiler room", objectIdentifier=599, maxApduLengthAccepted=1024,
        segmentationSupported="segmentedBoth", vendorIdentifier=15,
    )
    BIPSimpleApplication(device, "10.0.0.2/32")
    core.run(sigterm=None, sigusr1=None)  # woken by a pipe

def conversation(net):
    net.host("guest").spawn(serve)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("guest", 47808))
        client.send(READ_NAME)
        return b"the boiler room" in client.recv(1500)
"""

SWEEP = """
result = simnet.check(conversation, target="guest", runs=200, kinds="transparent", per_process=per_process)
print("swept", result.baseline.outcome.returned, result.runs, result.unreached, len(result.failures), flush=True)
"""


@pytest.mark.parametrize(
    ("package", "program", "said", "runs"),
    [
        pytest.param("pyftpdlib", FTP, "['engine']", 200, id="ftp"),
        pytest.param("standard-smtpd", MAIL, "{}", 200, id="mail"),
        pytest.param("PodSixNet", GAME, "[2000]", 200, id="game"),
        pytest.param("bacpypes", BUILDING, "True", 6, id="building"),  # its polls and its reads: it speaks by datagrams
    ],
)
def test_a_guest_is_swept_as_it_is(host: Host, package: str, program: str, said: str, runs: int) -> None:
    """Nothing transparent changes what comes out of it, and each run begins like the first."""
    visit = host(package, CHECK + "per_process = []\n" + program + SWEEP)
    while not (line := visit.line()).startswith("swept "):
        pass  # the guest's own words
    assert line == f"swept {said} {runs} 0 0"
