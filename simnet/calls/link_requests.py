"""What ``fcntl.ioctl`` says of a simulated host's links, as in netdevice(7): their numbers, names, addresses and flags.

A host has two, ``lo`` and the one that leads to other hosts. That one has no netmask, only addresses.
"""

from __future__ import annotations

import struct
from errno import EADDRNOTAVAIL, EFAULT, ENODEV, ENOTTY
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET
from simnet.kernel.options.packed import ETHERNET_MTU, IFNAMSIZ
from simnet.resolver.numeric import INTERFACES

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["LINK_LIST", "LINK_REQUESTS", "link_list", "link_request"]

NAME, FLAGS, ADDR, DSTADDR, BRDADDR, NETMASK = 0x8910, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B  # SIOCGIFNAME and so on
METRIC, MTU, HWADDR, INDEX = 0x891D, 0x8921, 0x8927, 0x8933
LINK_LIST = 0x8912  # SIOCGIFCONF
IFCONF = struct.Struct("=i4xQ")  # struct ifconf: a length, and where the list goes
OF_IPV4 = (ADDR, DSTADDR, BRDADDR, NETMASK)
LINK_REQUESTS = frozenset({NAME, FLAGS, METRIC, MTU, HWADDR, INDEX, *OF_IPV4})
IFREQ_SIZE = 40  # struct ifreq: a name, and what is told
LOOPBACK = "lo"
UP_LOOPBACK_RUNNING, UP_BROADCAST_RUNNING_MULTICAST = 0x49, 0x1043
LOOPBACK_MTU = 65536
ARPHRD_LOOPBACK, ARPHRD_ETHER = 772, 1
LOOPBACKS = {ADDR: "127.0.0.1", DSTADDR: "127.0.0.1", BRDADDR: "0.0.0.0", NETMASK: "255.0.0.0"}


def link_request(machine: Machine, file: Any, request: int, asked: bytes) -> bytes | None:
    """The struct ifreq that answers; ``None`` for what is not modelled.

    Raises:
        OSError: ENODEV, there is no such link; EADDRNOTAVAIL, it has no IPv4 address; ENOTTY, the socket is not one of IPv4.
    """
    asked = asked[:IFREQ_SIZE].ljust(IFREQ_SIZE, b"\0")
    if request == NAME:
        number = struct.unpack_from("=i", asked, IFNAMSIZ)[0]
        names = [name for name, index in INTERFACES.items() if index == number]
        if not names:
            raise socket_error(ENODEV)
        name = names[0].encode() + b"\0"
        return (name + asked[len(name) : IFNAMSIZ - 1]).ljust(IFNAMSIZ, b"\0") + asked[IFNAMSIZ:]
    if request in OF_IPV4 and file.family != AF_INET:
        raise socket_error(ENOTTY)
    link = asked[: IFNAMSIZ - 1].partition(b"\0")[0].decode(errors="replace")
    if link not in INTERFACES:
        raise socket_error(ENODEV)
    told = _told(machine, request, link)
    return None if told is None else asked[:IFNAMSIZ] + told + asked[IFNAMSIZ + len(told) :]


def link_list(machine: Machine, asked: bytes) -> bytes:
    """A struct ifconf with the length of the list: each link that has an IPv4 address, written to where *asked* says.

    Raises:
        OSError: EFAULT, nothing can be written there.
    """
    length, where = IFCONF.unpack(asked[: IFCONF.size].ljust(IFCONF.size, b"\0"))
    names = [
        name for name in INTERFACES if name == LOOPBACK or any(":" not in each for each in machine.stack.addresses)
    ]
    entries = [name.encode().ljust(IFNAMSIZ, b"\0") + (_told(machine, ADDR, name) or b"") for name in names]
    listed = b"".join(entry.ljust(IFREQ_SIZE, b"\0") for entry in entries)
    if where:
        listed = listed[: max(length, 0) // IFREQ_SIZE * IFREQ_SIZE]
        _write(where, listed)
    return IFCONF.pack(len(listed), where)


def _write(where: int, data: bytes) -> None:
    """Put *data* into the memory of this very process, as a kernel does, which looks whether there is any."""
    try:
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(where)
            memory.write(data)
    except (OSError, OverflowError):
        raise socket_error(EFAULT) from None


def _told(machine: Machine, request: int, name: str) -> bytes | None:
    loops = name == LOOPBACK
    if request in OF_IPV4:
        address = LOOPBACKS[request] if loops else _own(machine) if request == ADDR else ""
        return struct.pack("=H2x4s8x", AF_INET, IPv4Address(address).packed) if address else None
    if request == HWADDR:  # of the other link as uuid.uuid1 has it
        own = bytes(6) if loops else struct.pack("!HI", 0x0200, machine.number)
        return struct.pack("=H6s8x", ARPHRD_LOOPBACK if loops else ARPHRD_ETHER, own)
    if request == FLAGS:
        return struct.pack("=h", UP_LOOPBACK_RUNNING if loops else UP_BROADCAST_RUNNING_MULTICAST)
    if request == MTU:
        return struct.pack("=i", LOOPBACK_MTU if loops else ETHERNET_MTU)
    return struct.pack("=i", INTERFACES[name] if request == INDEX else 0)


def _own(machine: Machine) -> str:
    own = [address for address in machine.stack.addresses if ":" not in address]
    if not own:
        raise socket_error(EADDRNOTAVAIL)
    return own[0]
