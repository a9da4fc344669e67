"""Objects made before a run, for example when a module was imported, belong to the real kernel, and those of a run that is over to
nobody: how their errors are recognised.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from selectors import BaseSelector
from socket import gaierror
from types import FrameType
from typing import TYPE_CHECKING

from simnet import real
from simnet.files.ended import ENDED
from simnet.kernel.errors import socket_error

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["made_before", "unknown", "unknown_to"]

ELSEWHERE = "the selector, or event loop, was made in "
REMEDY = "was made before the network was entered, and is the real kernel's. Make it within"


def unknown(fd: int) -> OSError:
    """EBADF of a simulated poller, with a word to whoever wrote the test if *fd* is a real socket."""
    error = socket_error(errno.EBADF)
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            error.add_note(f"the socket {REMEDY}")
    except (OSError, OverflowError):  # of nobody
        pass
    return error


def unknown_to(owner: Process, me: Process) -> OSError:
    """EBADF of a simulated poller that *owner* has made, with a word if another program uses it, as where a constructor makes a selector."""
    error = socket_error(errno.EBADF)
    if me.descriptors is not owner.descriptors:
        error.add_note(
            f"{ELSEWHERE}{owner.name}, and {me.name} uses it: make it in the function that is spawned on {me.host_name}"
        )
    return error


def made_before(error: BaseException) -> str:
    """What *error* comes from, if that is something of the real kernel's which a program uses in a run; else nothing."""
    if isinstance(error, gaierror):
        return "" if _notes(error) else f"the socket {REMEDY}"  # the network's own resolver leaves a word
    if not isinstance(error, OSError) or error.errno != errno.EBADF:
        return ""
    told = next((note for note in _notes(error) if note.endswith(REMEDY) or note.startswith((ENDED, ELSEWHERE))), "")
    if told:
        return told
    frames = list(_frames(error))
    owners = [names["self"] for names in (frame.f_locals for frame in frames) if "self" in names]
    poller = next((each for each in owners if _has_real_poller(each)), None)
    if poller is None:
        return f"the epoll {REMEDY}" if frames and _knows_a_real_epoll(frames[-1]) else ""
    loops = getattr(sys.modules.get("asyncio"), "AbstractEventLoop", ())
    if any(isinstance(each, loops) for each in owners):
        return f"the event loop {REMEDY}"
    return f"the {'selector' if isinstance(poller, BaseSelector) else type(poller).__name__} {REMEDY}"


def _has_real_poller(owner: object) -> bool:
    """Is *owner* a selector or a reactor of the real kernel's?"""
    kept = getattr(owner, "__dict__", {})
    return isinstance(kept, dict) and any(type(each) is real.epoll for each in kept.values())


def _knows_a_real_epoll(frame: FrameType) -> bool:
    """Is one of the kernel's among its variables, or its module's that it names?"""
    known = [*frame.f_locals.values(), *map(frame.f_globals.get, frame.f_code.co_names)]
    return any(type(each) is real.epoll for each in known)


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Each frame that *error* came through."""
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next
