"""bacpypes, the protocol of building automation: UDP, timers of its own, and ``asyncore.loop(timeout=..., count=1)``."""

from __future__ import annotations

import socket

from tests.guests.conftest import CHECK, PATIENCE, Host

DEVICE = """
from bacpypes.app import BIPSimpleApplication
from bacpypes.core import run
from bacpypes.local.device import LocalDeviceObject

device = LocalDeviceObject(
    objectName="the boiler room", objectIdentifier=599, maxApduLengthAccepted=1024,
    segmentationSupported="segmentedBoth", vendorIdentifier=15,
)
application = BIPSimpleApplication(device, "127.0.0.1/32:0")
channel = application.mux.directPort
assert isinstance(channel, asyncore.dispatcher)
print(channel.socket.getsockname()[1], flush=True)
run(sigterm=None, sigusr1=None)
"""

# BACnet/IP unicast, expecting a reply: ReadProperty, invoke id 1, object device 599, property 77 (object-name).
READ_NAME = bytes.fromhex("81 0a 0011  01 04  00 05 01 0c  0c 02000257  19 4d")
COMPLEX_ACK = bytes.fromhex("30 01 0c")  # to invoke id 1, of ReadProperty


def test_a_device_tells_its_name(host: Host) -> None:
    device = host("bacpypes", CHECK + DEVICE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", int(device.line())))
        for _ in range(3):
            client.send(READ_NAME)
            answer = client.recv(1500)
            assert COMPLEX_ACK in answer
            assert b"the boiler room" in answer
