"""One turn over a map that nobody serves: all are asked and polled anew, as asyncore did it, and nothing is kept for another.

To serve a map for one turn only would cost ten times as much; programs that call ``loop(count=1)`` do it each turn.
"""

from __future__ import annotations

import math
import select

from dispatch.annotations import Any
from dispatch.channelmap import items
from dispatch.events import RERAISED, drop_urgent, failed, generation
from dispatch.guest import shown
from dispatch.interfaces import IN, NVAL, OUT, PRI, READ
from dispatch.resting import tired


def one_turn(map: Any, timeout: float | None, serve: Any, kinds: Any) -> None:
    """Ask each object of *map*, poll once, serve what is ready: by *kinds*, or each object whole."""
    # The way of most is written out: a call for each channel costs as much as asking it.
    pollster = select.poll()
    register = pollster.register
    there = items(map)  # as it is now: handlers and other threads change it
    rests = tired()
    for pause, _ in rests:
        timeout = pause if timeout is None or pause < timeout else timeout
    odd: dict[int, tuple[Any, int]] = {}  # by descriptor: the key and the bits of those who are not simply read
    invalid: list[Any] = []
    for key, obj in there.items():
        if obj is None or (rests and any(obj is each for _, each in rests)):
            continue
        try:
            bits = READ if obj.readable() else 0
            if obj.writable() and not getattr(obj, "accepting", False):
                bits |= OUT
        except RERAISED:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program's readable() raises, the turn goes on
            failed(obj, "readable", error)
            continue
        if bits:
            try:
                register(key, bits)
                if bits != READ or type(key) is not int:
                    odd[key if isinstance(key, int) else key.fileno()] = key, bits
            except (OSError, ValueError, OverflowError):
                invalid.append(key)
    if invalid:
        timeout = 0
    # Milliseconds, rounded up, as the poller that is named so.
    ready = pollster.poll(None if timeout is None else math.ceil(timeout * 1000))
    for key in invalid:
        if map.get(key) is there[key]:
            serve(there[key], NVAL)
    if len(ready) == 1 and kinds is None and ready[0][1] == IN and ready[0][0] not in odd:
        fd = ready[0][0]  # there is nobody whose turn could change what is served
        if map.get(fd) is there[fd]:
            serve(there[fd], IN)
        return
    found = []
    for fd, bits in ready:
        key, asked = odd.get(fd) or (fd, READ)
        obj = there[key]
        flags = IN if bits == IN else shown(bits, asked, kinds is None)
        if flags:
            found.append((key, obj, flags, generation(obj)))
    if kinds is None:
        for key, obj, flags, was in found:
            if map.get(key) is obj and generation(obj) == was:
                serve(obj, flags)
                if flags & PRI and map.get(key) is obj and generation(obj) == was:
                    drop_urgent(obj)
    else:
        _serve_by_kind(map, found, serve, kinds)


def _serve_by_kind(map: Any, found: list[tuple[Any, Any, int, Any]], serve: Any, kinds: Any) -> None:
    """First all that is to be read, then all writes, then the exceptional."""
    for kind, handle in zip((IN, OUT, PRI), kinds, strict=True):
        for key, obj, flags, was in found:
            if flags & kind and map.get(key) is obj and generation(obj) == was:
                handle(obj)
                if kind == PRI and map.get(key) is obj and generation(obj) == was:
                    drop_urgent(obj)
            elif kind == IN and flags & NVAL and map.get(key) is obj and generation(obj) == was:
                serve(obj, NVAL)
