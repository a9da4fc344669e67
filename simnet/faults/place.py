"""Where a fault acts: the place it names (``client->server:7#1``) and the exact point in a run (an anchor).

A place is a socket, a host or a path between hosts, told by what stays the same when the program changes a little: host names,
ports, paths and how many attempts came before. It never holds an ephemeral port, a descriptor number or a time.

===========================  ==========  ==================================================================================
text                         form        names
===========================  ==========  ==================================================================================
``client->server:7#1``       connection  the 1st connection that *client* attempted to port 7 of *server*
``server:7``                 listener    the socket that listens on port 7 of *server*
``server:53``                listener    the sockets for datagrams that are bound there; ``client:*`` those on a port that its kernel chose
``server:/run/app.sock``     listener    the Unix stream socket that listens there; ``server:@app`` is an abstract name
``server->server:@app#1``    connection  the 1st that is attempted to it, within its host; ``server->server:socketpair#1`` the 1st pair made
``server``                   host        the machine: its pollers, its ``socket()`` calls, its look-ups, its life
``client->server:53``        flow        the datagrams that *client* sends to port 53 of *server*; ``server->client:*`` to one its kernel chose
``client->server:53``        flow        with a call: the sockets for datagrams of *client* that are connected to port 53 of *server*
``server->server:/run/log``  flow        the datagrams to the Unix socket that is bound to that path, or name, within its host
``client->server``           link        that direction; ``client<->server`` is both
===========================  ==========  ==================================================================================

``*`` stands for any host, port or path, or number, and within a path for any part of it. A place with a star is a pattern:
its fault acts once at *each* place it matches. How a path is written that is no plain word is said in ``paths``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from simnet.faults.paths import PAIR, SPELT, fits, misspelt

__all__ = ["FORMS", "HOST_NAME", "Anchor", "Place", "ordinal"]

FORMS: Final = ("connection", "listener", "host", "flow", "link")

PORT_MAX: Final = 65535  # 16 bits, RFC 9293 3.1

# A label as RFC 1123 2.1 wants it, with the underscore people use, dots for domains and IPv4; or an IPv6 address in brackets.
# It neither begins nor ends with a dash, so that "->" always reads as the arrow.
HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")

_HOST = rf"(?:{HOST_NAME.pattern}|\*)"
_TEXT = re.compile(
    rf"(?:(?P<source>{_HOST})(?P<arrow><?->))?(?P<target>{_HOST})(?::(?P<port>[0-9]+|\*|{SPELT.pattern}))?(?:\#(?P<number>[0-9]+|\*))?"
)

_Star = Literal["*"]


class Place(msgspec.Struct, frozen=True):
    """A socket, host or path that a fault plan can name; equal places have equal texts."""

    form: str
    target: str
    source: str | None = None
    port: int | str | None = None
    """A number, ``"*"``, or the name of a Unix socket as `paths` spells it."""
    number: int | _Star | None = None
    both: bool = False

    @classmethod
    def parse(cls, text: str | Place) -> Place:
        """The place that *text* names.

        Raises:
            TypeError: not a text.
            ValueError: malformed; the message says what a place looks like.
        """
        if isinstance(text, Place):
            return text
        if not isinstance(text, str):
            raise TypeError(
                f"on={text!r} is {type(text).__name__}; a place is a text like 'client->server:7#1' or 'server:7'"
            )
        return _parse(text)

    # The makers take parts that are right already: the injector calls them for each socket.

    @classmethod
    def connection(cls, source: str, target: str, port: int | str, number: int | _Star) -> Place:
        """``source->target:port#number``."""
        return cls("connection", target, source, port, number)

    @classmethod
    def listener(cls, host: str, port: int | str) -> Place:
        """``host:port``."""
        return cls("listener", host, None, port)

    @classmethod
    def host(cls, name: str) -> Place:
        """``name``."""
        return cls("host", name)

    @classmethod
    def flow(cls, source: str, target: str, port: int | str) -> Place:
        """``source->target:port``."""
        return cls("flow", target, source, port)

    @classmethod
    def link(cls, source: str, target: str, *, both: bool = False) -> Place:
        """``source->target``, or with *both* ``source<->target``."""
        return cls("link", target, source, both=both)

    @property
    def concrete(self) -> bool:
        """Whether it names one place, not a pattern of places."""
        if self.unix and "*" in str(self.port):
            return False
        return "*" not in (self.source, self.target, self.port, self.number)

    @property
    def unix(self) -> bool:
        """Whether it names Unix sockets alone."""
        return isinstance(self.port, str) and self.port != "*"

    def matches(self, place: Place) -> bool:
        """Whether the concrete *place* is this one or falls under this pattern."""
        if self.form != place.form or self.both is not place.both:
            return False
        if self.number != place.number and self.number != "*":
            return False
        if self.port != place.port and not self._port_matches(place.port):
            return False
        if self._hosts_match(place.source, place.target):
            return True
        return self.both and self._hosts_match(place.target, place.source)

    def _port_matches(self, port: int | str | None) -> bool:
        if self.port == "*":
            return port != PAIR  # which has neither port nor path
        return isinstance(self.port, str) and isinstance(port, str) and fits(self.port, port)

    def _hosts_match(self, source: str | None, target: str | None) -> bool:
        return (self.source == source or self.source == "*") and (self.target == target or self.target == "*")

    def owner(self, end: str) -> str:
        """The host whose socket is at *end*: the opener's for ``"client"``, the acceptor's for ``"server"``."""
        return self.source if end == "client" and self.source is not None else self.target

    def __str__(self) -> str:
        text = self.target
        if self.source is not None:
            text = f"{self.source}{'<->' if self.both else '->'}{text}"
        if self.port is not None:
            text = f"{text}:{self.port}"
        if self.number is not None:
            text = f"{text}#{self.number}"
        return text

    def __repr__(self) -> str:
        return f"Place.parse({str(self)!r})"


@lru_cache(maxsize=4096)  # a sweep parses the same few texts thousands of times
def _parse(text: str) -> Place:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no place; {_looks_like(text)}")
    source, arrow, target = match["source"], match["arrow"], match["target"]
    port = _port(text, match["port"])
    if isinstance(port, str) and port != "*":
        _check_unix(text, port, source, target, arrow, match["number"])
    number = _number(text, match["number"])
    if arrow == "<->" and (port is not None or number is not None):
        raise ValueError(
            f"{text!r}: '<->' is for links, which have no port; a connection is written {source}->{target}:{port or 7}#1"
        )
    if number is not None and (source is None or port is None):
        raise ValueError(
            f"{text!r}: a number belongs to a connection, written 'client->server:7#1' (opener, acceptor, port, which)"
        )
    if source is None:
        return Place("host", target) if port is None else Place("listener", target, None, port)
    if port is None:
        return Place("link", target, source, both=arrow == "<->")
    if number is None:
        return Place("flow", target, source, port)
    return Place("connection", target, source, port, number)


def _port(text: str, digits: str | None) -> int | str | None:
    if digits is None or not digits.isdecimal():
        return digits
    if digits[0] == "0" or int(digits) > PORT_MAX:
        raise ValueError(f"{text!r}: port {digits} is outside 1..{PORT_MAX}, written without leading zeros")
    return int(digits)


def _check_unix(text: str, name: str, source: str | None, target: str, arrow: str | None, number: str | None) -> None:
    """Is there such a place of Unix sockets?"""
    if right := misspelt(name):
        raise ValueError(f"{text!r}: {name} is written {right}")
    if source is not None and number is None and name == PAIR:
        raise ValueError(f"{text!r}: the two ends of a pair are {target}->{target}:{PAIR}#1")
    if source is not None and arrow != "->":
        raise ValueError(f"{text!r}: '<->' is for links; a connection of Unix sockets is {target}->{target}:{name}#1")
    if source not in (None, "*", target) and target != "*":
        which = f"{target}->{target}:{name}{f'#{number}' if number else ''}"
        raise ValueError(f"{text!r}: Unix sockets connect within a host, {which}")
    if source is None and name == PAIR:
        raise ValueError(f"{text!r}: nobody listens on a socketpair; its two ends are {target}->{target}:{PAIR}#1")


def _number(text: str, digits: str | None) -> int | _Star | None:
    if digits is None or digits == "*":
        return "*" if digits else None
    if digits[0] == "0":
        raise ValueError(f"{text!r}: connections are counted from 1, so #{digits} is none; the first is #1")
    return int(digits)


def _looks_like(text: str) -> str:
    """What is wrong with *text*, or at least what right ones look like."""
    if ":/" in text or ":./" in text or ":../" in text or ":@" in text:
        return (
            r"in the name of a Unix socket what is no letter, digit or one of / . _ - + , ~ @ % is written by its bytes, a space \x20, "
            r"'#' \x23, ':' \x3a; '*' is any part; as in 'server:/run/my\x20app.sock'"
        )
    if text != text.strip() or any(character.isspace() for character in text):
        return "it holds a space; written without: 'client->server:7#1'"
    if "=>" in text or "→" in text or re.search(r"[^<-]>|->.*->", text):
        return "the arrow is one '->', as in 'client->server:7#1'"
    if re.search(r":[A-Za-z_][\w.-]*(?:#|$)", text):
        return "a port is a number, a path begins with '/' or './', an abstract name with '@'"
    if text.count(":") > 1 and "[" not in text:
        return "an IPv6 address is written in brackets, as in '[::1]:7'"
    return (
        "places are written 'client->server:7#1' (a connection), 'server:7' or 'server:/run/app.sock' (a listener) or 'server' (a host); "
        "'*' stands for any"
    )


class Anchor(NamedTuple):
    """One injection point: the 3rd recv on one socket, byte 120 of one direction, one accept, one look-up."""

    form: str
    """call, byte, connect, accept, poll, datagram, time or lookup."""
    place: Place
    end: str | None
    """Whose call it is, or towards whom the bytes travel: ``"client"`` (opener) or ``"server"`` (acceptor)."""
    op: str | None
    """``recv``, ``send``, ``accept``, ``poll`` ...; None where no call is meant."""
    number: int
    """The call, datagram or look-up, counted from 1; the byte's offset, from 0; the time in nanoseconds; 1 for a connect."""
    when: str | None = None
    """``before`` or ``after`` the call, where that makes a difference."""

    def __str__(self) -> str:
        place = self.place if self.place.concrete else f"any {self.place.form} {self.place}"
        if self.form == "call" and self.op in ("recv", "send") and self.place.form != "connection":
            each = "*" in (self.place.source, self.place.target)  # a port's star may be one that a kernel chose
            return f"the {ordinal(self.number)} {self.op} on {'any socket ' if each else ''}{self.place}"
        if self.form == "call":
            whose = f" by {_end_name(self.place, self.end)}" if self.end else ""
            return f"the {ordinal(self.number)} {self.op}{whose} on {place}"
        if self.form in ("accept", "poll"):
            return f"the {ordinal(self.number)} {self.op} on {place}"
        if self.form == "byte":
            return f"byte {self.number} towards {_end_name(self.place, self.end)} on {place}"
        if self.form == "connect":
            return f"{'the' if self.place.concrete else 'each'} connect {self.place}"
        if self.form == "datagram":
            return f"the {ordinal(self.number)} datagram {self.place}"  # its star may be the port that a kernel chose
        if self.form == "lookup":
            return f"the {ordinal(self.number)} look-up by {place}"
        return f"{self.number / 1e9:g} s on {place}"


def _end_name(place: Place, end: str | None) -> str:
    """The host at *end*; where its name would not tell the two ends apart, the end's own word."""
    word = "the opener" if end == "client" else "the acceptor"
    owner = place.owner(end or "server")
    if owner == "*":
        return word
    return f"{owner} ({word})" if place.source == place.target else owner


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``11th``, ``21st``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
