"""The loop's channel for an object of an asyncore map: it knows what the object is polled for, and when to ask it.

A class that overrides ``readable`` or ``writable`` is asked before each turn, as in asyncore. A class that has them
from this library is asked only when something happens to it: it joined, it had its turn, it reported a change. So the second
kind costs nothing while it waits.
"""

from __future__ import annotations

import os
import stat

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ASLEEP, NEVER, Channel
from dispatch.interfaces import ERR, IN, NVAL, OUT, PRI, READ, TROUBLE
from dispatch.maps.events import failed_to_say, left_behind, reraised
from dispatch.maps.filewrapper import file_wrapper
from dispatch.maps.predicates import still_has, uses_writable
from dispatch.maps.resting import REST

if TYPE_CHECKING:
    from dispatch.maps.maploop import MapLoop

EVENTS = IN | OUT | PRI


def shown(bits: int, asked: int, whole: bool) -> int:
    """What an object is told of *bits* that a poller reported, if it was polled for *asked*; *whole*: as poll(2) shows it."""
    if bits & NVAL:
        return NVAL
    flags = bits & asked & EVENTS
    if not bits & TROUBLE:
        return flags
    if whole and asked & (IN | OUT) and not bits & IN:
        return flags | bits & TROUBLE  # nothing is left to read
    # As select(2) shows it: the end and an error are readable, so that data before the end is read first.
    flags |= asked & (IN | OUT) if bits & ERR else asked & IN
    if not whole:
        return flags  # a hang-up alone is no room to write: the reading end of a pipe has none
    return flags | bits & TROUBLE if flags else asked & OUT  # for who does not read it


class Guest(Channel):
    """It is the object that is served."""

    __slots__ = ("deaf", "key", "number", "obj", "reads", "resting", "writes")

    loop: MapLoop

    def __init__(self, loop: MapLoop, key: Any, obj: Any, reads: Any, writes: Any) -> None:
        self.loop = loop
        self.key = key
        self.obj = obj
        self.number = 0  # in the order of admission: who was there first is served first
        #: What was in its ``socket`` at admission, if that is what is polled. It may be closed, or replaced, behind our back.
        self.socket = None
        self.resting = False
        self.deaf = 0  # what it asked for when it was put to sleep over an end that it is not told of
        #: Its class's own predicates, where they are this library's; None: it is asked before each turn.
        self.reads = reads
        self.writes = writes
        self._fileno = -1
        self._bits = ASLEEP
        self._plain = NEVER

    def _ask(self) -> None:
        """Find out what to poll for; the object may fail to say, which is its own affair."""
        obj = self.obj
        if obj is None:
            return  # it left a moment ago
        loop, grumbles = self.loop, False
        try:
            bits = READ if obj.readable() else 0
            if obj.writable() and not getattr(obj, "accepting", False):
                if loop.literal or uses_writable(obj):
                    bits |= OUT if loop._serves_whole else OUT | PRI  # as select(2): the exceptional is for both
                elif self._fileno >= 0:  # it may have closed itself when it was asked
                    loop.grumblers.add(self._fileno)
                    grumbles = True
                    if not loop._serves_whole:
                        bits |= PRI  # for whoever wants anything, as above
                else:
                    bits |= OUT
        except reraised():
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program's readable() raises, the loop goes on
            failed_to_say(obj, error)
            if self._fileno >= 0:
                loop.grumblers.discard(self._fileno)
                loop._sleep(self)  # it waits for nothing until it says what
            return
        if not grumbles and loop.grumblers:
            loop.grumblers.discard(self._fileno)
        if bits == self._bits or self.resting:
            return
        if self._fileno < 0:
            if bits:
                self._wants_nowhere()
            return
        if bits == self.deaf and self._bits == ASLEEP and not loop._serves_whole:
            return  # the end is still there, and it would still not be told of it
        # Who asks for nothing is told nothing, not its end either; but poll(2) tells that to who could write.
        if bits or not self._bits & ASLEEP or (grumbles and loop._serves_whole):
            try:
                loop._want(self, bits)
            except (OSError, ValueError):
                loop.refused(self)

    def _wants_nowhere(self) -> None:
        """Something is to be watched where there is no descriptor: its socket was closed before it came, or it has none."""
        loop = self.loop
        if loop._asked.get(self.key) is self:
            fd = descriptor(self.key)  # the TypeError is for who called the loop
            del loop._asked[self.key]
            if fd < 0:
                loop.refused(self)
            else:
                loop.touched[self.key] = self.number  # it has one now
        else:
            loop.call_soon(_nothing)  # it left when it was asked: who polls what it had is woken at once, mostly

    def ask_again(self) -> None:
        """Something may have happened to it."""
        if self._fileno >= 0 and self.reads is not None:
            if still_has(self.obj, self.reads, self.writes):
                self._ask()
            else:
                self.ask_each_turn()

    def after_its_turn(self) -> None:
        """Its object may wait for something else now, or have another socket."""
        self.ask_again()
        if self.moved() and self._replaced():
            self.loop.touched[self.key] = self.number
            self.loop._admit_touched()

    def _replaced(self) -> bool:
        """Whether its object has closed its socket by hand, and put another in its place: the poller has forgotten the number.

        One that was only detached, to be wrapped in TLS, is polled as before.
        """
        try:
            if self.socket.fileno() == self._fileno:
                return False
            sock = self.obj.socket
            knows = None if self._bits & ASLEEP else getattr(self.loop.poller, "knows", None)
            if sock.fileno() != self._fileno or not (knows is None or knows(self._fileno, self._bits)):
                return True
            self.socket = sock
        except Exception:  # noqa: BLE001 - as where it was admitted
            pass
        return False

    def ask_each_turn(self) -> None:
        """What its object waits for is not announced."""
        if self._fileno >= 0:
            self.stand_among_asked(self._fileno)
        else:
            self.reads = None

    def stand_among_asked(self, key: Any) -> None:
        """Under its descriptor, or under its key if it has none. They are asked in the order of the map."""
        self.reads = None
        asked: dict[Any, Any] = self.loop._asked
        last = next(reversed(asked.values()), self)
        asked[key] = self
        if last.number > self.number:
            asked = dict(sorted(asked.items(), key=lambda each: each[1].number))
            self.loop._asked = asked

    def _turn(self, bits: int) -> None:
        """Find its place among those that are served in this turn."""
        loop = self.loop
        if self.reads is not None and not still_has(self.obj, self.reads, self.writes):
            self.ask_each_turn()  # a program has given it its own since it was asked, and is to see it answered
            self._ask()
        whole = loop._serves_whole
        asked = self._bits | OUT if whole and self._fileno in loop.grumblers else self._bits
        flags = shown(bits, asked, whole)
        if flags == NVAL and left_behind(loop.map, self.key, self.obj):
            return
        if flags:
            loop._ready.append((self.number, self, flags))
        elif bits & TROUBLE:
            if asked & OUT and not isinstance(self.socket, file_wrapper):
                loop._ready.append((self.number, self, OUT))  # its peer is going, and there will be room in a moment
                return
            self.deaf = self._bits
            loop._sleep(self)

    def wishes(self) -> bool:
        """Whether it waits for anything, though nobody may be asked for it at the moment."""
        return bool(self._bits & EVENTS or self.resting or (self.deaf and self._bits == ASLEEP))

    def left_alone(self) -> bool:
        """Whether neither the poller looks at it, nor is it asked each turn; or it would not be heard if it was."""
        return self._bits == ASLEEP and (self.reads is not None or self.deaf != 0)

    def present(self) -> bool:
        """Whether it still stands in the map, for the descriptor that was polled."""
        if self._fileno >= 0 and self.loop.map.get(self.key) is self.obj:
            return True
        self.loop._surprised = True
        return False

    def moved(self) -> bool:
        """Whether its object has another socket than when it was admitted."""
        if self.socket is None or not isinstance(self.key, int):
            return False
        try:
            now = self.obj.socket
        except Exception:  # noqa: BLE001 - as where it was admitted
            return False
        return now is not None and now is not self.socket

    def stale(self) -> bool:
        """Whether its socket was closed behind the map's back. One that was only detached, to be wrapped in TLS, is still polled."""
        try:
            if self.socket is None or self.socket.fileno() == self._fileno:
                return False
        except (AttributeError, OSError, TypeError, ValueError):
            pass
        knows = None if self._bits & ASLEEP else getattr(self.loop.poller, "knows", None)
        return not (_is_socket(self._fileno) if knows is None else knows(self._fileno, self._bits))

    def abort(self, reason: BaseException | None = None) -> None:
        """Its loop is let go: it leaves, and its object stays as it is. Another thread may be striking it out, or letting it in."""
        self.loop.channels.pop(self._fileno, None)  # its poller is closed, with all that it watches
        self._fileno, self._bits = -1, ASLEEP
        self.obj = self.socket = self.reads = None

    def _turn_failed(self, error: Exception) -> None:
        raise error  # to who called the loop, as in asyncore: nothing of the object's own runs here

    def rest(self, pause: float = REST) -> None:
        """No events for a moment."""
        self.resting = True
        self.loop._sleep(self)
        self.loop.call_later(pause, self._wake)

    def _wake(self) -> None:
        self.resting = False
        self.ask_again()  # who is asked each turn, is asked in the next

    def __repr__(self) -> str:
        return f"<guest {self.obj!r} fd={self._fileno}>"


def descriptor(key: Any) -> int:
    """The number that is polled for who stands under *key* in a map; -1 if that is closed.

    Raises:
        TypeError: it is no number, and has none; in the words of select(2) and poll(2).
    """
    if isinstance(key, int):
        return key
    try:
        fd = key.fileno()
    except AttributeError:
        raise TypeError("argument must be an int, or have a fileno() method.") from None
    except (OSError, ValueError):
        return -1
    if not isinstance(fd, int):  # a mock can be made a number, 1, but that is somebody else's
        raise TypeError("fileno() returned a non-integer")
    return fd


def _nothing() -> None:
    """What is due at once, so that a turn does not sleep."""


def wished(guests: dict[Any, Guest]) -> bool:
    """Whether one of them waits for anything. Also if another thread lets them in and out meanwhile: then it is seen in the next turn."""
    try:
        return any(guest.wishes() for guest in guests.values())
    except RuntimeError:
        return True


def _is_socket(fd: int) -> bool:
    """Whether a socket stands under this number. Where numbers of sockets are not those of files, nobody can tell: then not."""
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
