"""One turn over a map that nobody serves: all are asked and polled anew, as asyncore did it, and nothing is kept for another.

To serve a map for one turn only would cost ten times as much; programs that call ``loop(count=1)`` do it each turn.
"""

from __future__ import annotations

import math
import select

from dispatch.annotations import Any
from dispatch.events import RERAISED, drop_urgent, failed, generation
from dispatch.guest import shown
from dispatch.interfaces import IN, NVAL, OUT, PRI, READ
from dispatch.resting import tired


def one_turn(map: Any, timeout: float | None, serve: Any, kinds: Any) -> None:
    """Ask each object of *map*, poll once, serve what is ready: by *kinds*, or each object whole."""
    pollster = select.poll()
    rests = tired()
    for pause, _ in rests:
        timeout = pause if timeout is None or pause < timeout else timeout
    polled, invalid = _asked(map, pollster, [obj for _, obj in rests])
    if invalid:
        timeout = 0
    # Milliseconds, rounded up, as the poller that is named so.
    ready = pollster.poll(None if timeout is None else math.ceil(timeout * 1000))
    for key, obj in invalid:
        if map.get(key) is obj:
            serve(obj, NVAL)
    found = []
    for fd, bits in ready:
        key, obj, asked = polled[fd]
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


def _asked(
    map: Any, pollster: Any, resting: list[Any]
) -> tuple[dict[int, tuple[Any, Any, int]], list[tuple[Any, Any]]]:
    """Who is polled for what, by descriptor, and those that cannot be."""
    polled: dict[int, tuple[Any, Any, int]] = {}
    invalid = []
    register = pollster.register
    for key, obj in list(map.items()):
        if obj is None or (resting and any(obj is each for each in resting)):
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
                fd = key if isinstance(key, int) else key.fileno()
                register(fd, bits)
            except (OSError, ValueError, OverflowError):
                invalid.append((key, obj))
            else:
                polled[fd] = key, obj, bits
    return polled, invalid


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
