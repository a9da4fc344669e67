"""Sockets for datagrams as plans name them: their places, by which faults act on their calls.

========================  =================================================================================================
``server:53``             bound to a port of its program's choice; ``server:/run/log`` to a path or an abstract name
``client->server:53``     connected to who is bound there; a Unix socket without a name, for each name to which it sends
``client:*``              neither: on a port that its kernel has chosen
========================  =================================================================================================

Calls are counted by place, whichever socket makes them, as datagrams are in their flow: a program that makes a new socket for each
question has its second question as the second send.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simnet.faults.inject import DatagramTag
from simnet.faults.kinds import BY_ICMP, Drop, Error, errnos
from simnet.faults.paths import spelt
from simnet.faults.place import Place
from simnet.kernel.datagrams.tampering import has_one, hears_errors
from simnet.kernel.messages import AF_UNIX
from simnet.kernel.ports import FIRST_EPHEMERAL
from simnet.places.flows import unix_flow

if TYPE_CHECKING:
    from simnet.faults.fault import Fault
    from simnet.faults.inject import Tag
    from simnet.machine import Machine

NO_FILE = "ENOENT"

__all__ = ["bound", "can_meet", "joined", "joined_unix", "named_by_target", "new"]


def new(machine: Machine, family: int) -> Tag:
    """The tag of a new socket of *machine*."""
    if family == AF_UNIX:
        return DatagramTag(None, f"new socket of {machine.name}", "", machine.name)
    return _tag(machine, machine, *_own(machine.name, "*"))


def bound(caller: Machine, machine: Machine, file: Any) -> Tag:
    """*file* has been bound by a process on *caller*."""
    if file.family == AF_UNIX:
        return _tag(caller, machine, *_own(machine.name, spelt(file.bound)))
    port = file.local[1]
    return _tag(machine, machine, *_own(machine.name, port if 0 < port < FIRST_EPHEMERAL else "*"))


def joined(machine: Machine, place: Place, text: str) -> Tag:
    """A socket of *machine* is connected: the flow to there is *place*, by name *text*."""
    return _tag(machine, machine, place, text, "client")


def joined_unix(caller: Machine, machine: Machine, file: Any) -> Tag:
    """The Unix socket *file* is connected; to one without a name, as an end of a pair is, it keeps its own."""
    if not file.peer.bound:
        return file.tag  # type: ignore[no-any-return]  # it is one
    return _tag(caller, machine, *unix_flow(machine.name, file.peer.bound))


def named_by_target(caller: Machine, machine: Machine, file: Any, name: Any) -> Tag:
    """A Unix socket that nobody can answer sends to *name*."""
    try:
        name = file.find(name).bound
    except OSError:
        pass  # nobody is there
    place, text = unix_flow(machine.name, name)
    tag: Tag = file.tag
    return tag if tag.text == text else _tag(caller, machine, place, text)


@lru_cache(maxsize=256)  # runs of one test have the same few
def _own(host: str, port: int | str) -> tuple[Place, str]:
    place = Place.listener(host, port)
    return place, str(place)


def _tag(caller: Machine, machine: Machine, place: Place, text: str, end: str = "") -> Tag:
    tag = DatagramTag(place, text, end, caller.name, machine.fabric.listeners.setdefault(place, {}))
    machine.fabric.injector.arm(tag, caller.target)
    tag.plain = False  # that is a TCP connection's
    return tag


def can_meet(fault: Fault, file: Any, arguments: tuple[Any, ...], counts: Mapping[str, int]) -> bool:
    """Can a call of *file*, with these *arguments*, meet *fault* on Linux, after so many calls at its place?"""
    if isinstance(fault, Drop):
        return has_one(file)
    if not isinstance(fault, Error):
        return True
    if fault.errno not in errnos(fault.op, unix=file.family == AF_UNIX, datagrams=True):
        return False  # where a pattern means another
    if fault.op == "send" and fault.errno not in (BY_ICMP, NO_FILE):
        return True
    if file.family == AF_UNIX:  # who is connected has found the file
        return fault.errno != NO_FILE or len(arguments) > 1
    return hears_errors(file) and counts.get("send", 0) > (fault.op == "send")
