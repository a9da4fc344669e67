"""One turn over a map that has no loop: every object is asked and polled anew, as in asyncore, and nothing is kept.

Serving a map with a loop for a single turn would cost ten times as much, and programs that call ``loop(count=1)`` do so each turn.
"""

from __future__ import annotations

import math
import select
import time

from dispatch.annotations import Any
from dispatch.interfaces import IN, NVAL, OUT, PRI, READ
from dispatch.maps import events
from dispatch.maps.channelmap import items
from dispatch.maps.events import closed_elsewhere, closed_since, drop_urgent, failed_to_say, left_behind, reraised
from dispatch.maps.guest import shown
from dispatch.maps.predicates import uses_writable
from dispatch.maps.resting import resting, tired


def one_turn(map: Any, timeout: float | None, serve: Any, kinds: Any, *, literal: bool = True) -> bool:
    """Ask each object of *map*, poll once, serve what is ready: by *kinds*, or each object whole. False if nothing was.

    *literal*: also who would only grumble about room to write is polled for it.
    """
    # The way of most is written out: a call for each channel costs as much as asking it.
    pollster = select.poll()
    register = pollster.register
    there = items(map)  # as it is now: handlers and other threads change it
    rests = tired() if resting else ()
    for pause, _ in rests:
        timeout = pause if timeout is None or pause < timeout else timeout
    odd: dict[int, tuple[Any, int]] = {}  # by descriptor: the key and the bits of those who are not simply read
    invalid: list[Any] = []
    writing = OUT if kinds is None else OUT | PRI  # select(2) told of the exceptional also who only writes
    for key, obj in there.items():
        if obj is None or (rests and any(obj is each for _, each in rests)):
            continue
        try:
            bits = READ if obj.readable() else 0
            if obj.writable() and not getattr(obj, "accepting", False):
                if literal or uses_writable(obj):
                    bits |= writing
                elif not bits and kinds is None:
                    register(key, 0)  # it is not woken for room to write, but told if nobody is there
                    odd[key] = key, OUT
        except reraised():
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program's readable() raises, the turn goes on
            failed_to_say(obj, error)
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
    if timeout is None:
        ready = _wait(pollster, there, odd, kinds)
    else:
        ready = pollster.poll(math.ceil(timeout * 1000))  # rounded up, as the poller that is named so
    number = events.closes
    for key in invalid:
        if map.get(key) is there[key] and not left_behind(map, key, there[key]):
            serve(there[key], NVAL)
            closed_elsewhere(map, key, there[key])
    if kinds is not None:
        while (deaf := _serve_by_kind(map, there, ready, odd, number, kinds, serve)) and len(deaf) == len(ready):
            for fd in deaf:
                pollster.unregister(fd)
            ready = pollster.poll(None if timeout is None else math.ceil(timeout * 1000))
        return bool(ready)
    for fd, bits in ready:
        if bits == IN and fd not in odd:
            key, flags = fd, IN
        else:
            key, asked = odd.get(fd) or (fd, READ)
            flags = shown(bits, asked, whole=True)
            if not flags or (flags == NVAL and left_behind(map, key, there[key])):
                continue
        obj = there[key]
        if map.get(key) is obj and (events.closes == number or not closed_since(obj, number)):
            serve(obj, flags)
            if flags == NVAL:
                closed_elsewhere(map, key, obj)
            if flags & PRI and map.get(key) is obj and not closed_since(obj, number):
                drop_urgent(obj)
    return bool(ready)


def _serve_by_kind(
    map: Any, there: dict[Any, Any], ready: list[tuple[int, int]], odd: Any, number: int, kinds: Any, serve: Any
) -> list[int] | None:
    """First all that is to be read, then all writes, then the exceptional. Returns whose end select(2) does not tell of."""
    read, write, exception = kinds
    later = []
    deaf = None
    for fd, bits in ready:
        if bits == IN and fd not in odd:
            key, flags = fd, IN
        else:
            key, asked = odd.get(fd) or (fd, READ)
            flags = shown(bits, asked, whole=False)
            if flags & ~IN:
                later.append((key, flags))
            elif not flags:
                deaf = [*(deaf or ()), fd]
            if not flags & (IN | NVAL):
                continue
        obj = there[key]
        if map.get(key) is obj and (events.closes == number or not closed_since(obj, number)):
            if flags & IN:
                read(obj)
            elif not left_behind(map, key, obj):
                serve(obj, NVAL)
                closed_elsewhere(map, key, obj)
    for kind, handle in ((OUT, write), (PRI, exception)):
        for key, flags in later:
            obj = there[key]
            if flags & kind and map.get(key) is obj and not closed_since(obj, number):
                handle(obj)
                if kind == PRI and map.get(key) is obj and not closed_since(obj, number):
                    drop_urgent(obj)
    return deaf


def _wait(pollster: Any, there: dict[Any, Any], odd: dict[int, Any], kinds: Any) -> list[tuple[int, int]]:
    """Poll without a limit. Who asked select(2) for nothing at all slept instead, and nobody sleeps for None."""
    if kinds is not None and not odd and not any(_wanted(pollster, key, obj) for key, obj in there.items()):
        time.sleep(None)  # type: ignore[arg-type]  # the TypeError is the answer
    return pollster.poll(None)  # type: ignore[no-any-return]


def _wanted(pollster: Any, key: Any, obj: Any) -> bool:
    """Whether somebody is polled for something, or would have been, only to grumble."""
    try:
        pollster.modify(key, READ)  # what it was registered for, if it was
    except (OSError, TypeError, ValueError):
        return obj is not None and not uses_writable(obj) and not getattr(obj, "accepting", False)
    return True
