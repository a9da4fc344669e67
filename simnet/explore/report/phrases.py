"""The events of a trace in a few words each, as a ladder and a report show them."""

from __future__ import annotations

import re
from typing import Any

from simnet.explore.judging.outcomes import short_repr
from simnet.faults.place import Place
from simnet.tls.sealed import Sealed
from simnet.trace import Event, Failed, size_of

__all__ = ["answer", "call_phrase", "connect_phrase", "ends_of", "segment_phrase"]

PAYLOAD_WIDTH = 24  # columns that a payload may take: enough for a greeting or the head of a request
_CONNECTION = re.compile(r"(?P<source>\S+?)->(?P<target>\S+?):[^\s#]+#(?P<number>\d+)(?: \((?P<end>client|server)\))?")
SHUTDOWN_HOW = {0: "SHUT_RD", 1: "SHUT_WR", 2: "SHUT_RDWR"}


def ends_of(label: str, towards: str) -> tuple[str, str]:
    """Who sends and who gets a segment of the connection *label*: host names; empty where the label names none."""
    try:
        place = Place.parse(label)
    except ValueError:
        return "", ""
    if place.source is None:
        return "", ""
    return (place.target, place.source) if towards == "client" else (place.source, place.target)


def call_phrase(event: Event) -> str:
    """``send b'hello'``, ``recv EAGAIN``, ``poll server:7 IN``; of two ends on one host, whose call it is."""
    said = _call_phrase(event)
    ends = _CONNECTION.fullmatch(event.place)
    if ends is None or ends["source"] != ends["target"] or said.startswith("connect"):
        return said
    return f"{'opener' if event.end == 'client' else 'acceptor'}: {said}"


def _call_phrase(event: Event) -> str:
    op = "connect" if event.op == "connect_ex" else event.op
    spoken = answer(event)
    if op == "connect":
        return f"{connect_phrase(event.place)}{'' if spoken == 'connected' else f'  {spoken}'}"
    if op == "send" and not isinstance(event.result, Failed):
        return f"send {spoken}"
    if op == "close":
        return f"close{_of(event)}"
    if op == "shutdown":
        how = SHUTDOWN_HOW.get(event.arguments[0] if event.arguments else -1, "")
        return f"shutdown {how}{'  ' + spoken if isinstance(event.result, Failed) else ''}"
    if op == "accept" and not isinstance(event.result, Failed):
        return f"accept {_address(event.result)}".rstrip()
    if op == "lookup":
        return f"lookup {event.arguments[0]}{'  ' + spoken if isinstance(event.result, Failed) else ''}"
    if op in ("listen", "bind"):
        return f"{op} {event.place}{'  ' + spoken if isinstance(event.result, Failed) else ''}"
    return f"{op} {spoken}" if spoken else op


def connect_phrase(place: str) -> str:
    """``connect server:7``: whereto, by the connection's name."""
    return f"connect {place.partition('->')[2].partition('#')[0] or place}"


def answer(event: Event) -> str:
    """What a call gave: ``EAGAIN``, ``5 of 14 bytes``, ``accepted 10.0.0.1:32768``, ``end of input``."""
    result = event.result
    if isinstance(result, Failed):
        return str(result)
    if event.op == "poll":
        return ", ".join(map(_reported, result)) if result else "nothing"
    if event.op == "recv":
        return _received(result)
    if event.op == "send":
        return _sent(event.arguments[0] if event.arguments else b"", result)
    if event.op == "accept":
        return f"accepted {_address(result)}".rstrip()
    if event.op in ("connect", "connect_ex"):
        return "connected"
    if event.op == "lookup":
        return "answered"
    if result is None:
        return ""
    if isinstance(result, tuple):
        return _address(result)
    return short_repr(result, PAYLOAD_WIDTH)


def segment_phrase(event: Event) -> str:
    """``SYN``, ``b'hello'``, ``FIN``: what an arrow carries; nothing for a bare acknowledgement."""
    payload = event.detail[0]
    if not payload:
        return "" if event.op == "ACK" else event.op
    flags = "" if event.op in ("data", "") else f"{event.op} "
    return f"{flags}{_payload(payload)}"


def _reported(label: str) -> str:
    """``server:7 IN`` as it is; of ``test->server:7#1 (server) IN OUT`` what tells it from others: ``test#1 IN OUT``."""
    match = _CONNECTION.match(label)
    if match is None:
        return label
    other = match["source"] if match["end"] != "client" else match["target"]
    return f"{other}#{match['number']}{label[match.end() :]}"


def _received(result: Any) -> str:
    data = result[0] if isinstance(result, tuple) and result else result
    if data == b"":
        return "b''  (end of input)"
    return _payload(data) if isinstance(data, (bytes, bytearray)) else short_repr(data, PAYLOAD_WIDTH)


def _sent(data: Any, result: Any) -> str:
    if isinstance(data, (bytes, bytearray)):
        if result == len(data):
            return _payload(data)
        return f"{result} of {size_of(data):,} B  {_payload(data)}"
    return short_repr(result, PAYLOAD_WIDTH)


def _payload(data: Any) -> str:
    """Bytes as they print; long ones by their beginning and their length. What TLS has sealed is said in words."""
    if isinstance(data, Sealed):
        return data.words
    text = repr(bytes(data))
    if len(text) <= PAYLOAD_WIDTH:
        return text
    return f"{text[: PAYLOAD_WIDTH - 12]}…{text[-1]} {size_of(data):,} B"


def _address(value: Any) -> str:
    if value == "":
        return ""  # a Unix socket without a name, as openers mostly are
    if isinstance(value, tuple) and len(value) >= 2:
        host, port = value[0], value[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return short_repr(value, PAYLOAD_WIDTH)


def _of(event: Event) -> str:
    """Which socket, where a reader could not tell: a listener's name; a connection has an end of its own."""
    return f" {event.place}" if "->" not in event.place else ""
