"""TLS data is random without the key, so two runs of one test never show the same bytes: what is compared of it.

Of each TLS record (RFC 8446, 5.1) the head is kept, with its type and length, and the body is blanked. A stream is TLS from
where a segment begins with a hello, so STARTTLS is found too; what calls read and write of it is blanked alike. A stream that
begins as SSH does is blanked after that, and its lengths are kept. Other streams are not changed. Of what hosts that speak QUIC send
each other in datagrams, only the lengths of its packets are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from simnet.kernel.messages import MSG_OOB

__all__ = ["Sealed", "sealed"]

CALL, SEGMENT = "call", "segment"  # as in trace.py, which asks here
HEAD = 5  # bytes: type, version, and the length of what follows
HELLO = b"\x16\x03"  # a record of a handshake, of any version
HELLOS = (b"\x01", b"\x02")  # client_hello, server_hello: the first byte of its body
BLANK = b"."
GREETING = b"SSH-2.0-"  # with which either side begins (RFC 4253, 4.2)
BLANK_SSH = b"~"
QUIC_VERSIONS = (b"\0\0\0\1", b"\x6b\x33\x43\xcf")  # RFC 9000 and RFC 9369
QUIC_LONG, QUIC_FIXED = 0xC0, 0x40  # bits of its first byte: those of a long header, and the one that each packet has
QUIC_INITIAL_MIN, QUIC_MIN = 1200, 21  # bytes of a client's first datagram, of a packet (RFC 9000, 14.1 and 10.3)
BLANK_QUIC = b"-"
NEVER = 1 << 62  # an offset that no stream reaches
OTHER = {"client": "server", "server": "client"}

RECORDS = {20: "cipher", 21: "alert", 22: "handshake", 23: "data"}  # the types, in words (RFC 8446, 5.1)

Direction = tuple[str, str]  # a connection, and towards whom


class Sealed(bytes):
    """A part of a stream of TLS records, their bodies blanked. It prints, and compares, as other bytes do."""

    __slots__ = ()

    @property
    def words(self) -> str:
        """``TLS handshake… 1,510 B``: the first record that begins in it, whether there are more, and its length."""
        if self.endswith(BLANK_SSH):
            return f"SSH {len(self):,} B"
        if self.endswith(BLANK_QUIC):
            return f"QUIC {len(self):,} B"
        kinds = []
        place = 0
        while place < len(self):
            if self[place] in RECORDS:
                kinds.append(RECORDS[self[place]])
                place += HEAD
            else:
                place += 1
        if len(self) == HEAD and kinds:
            return f"TLS {kinds[0]} head"
        return f"TLS {kinds[0] if kinds else 'record'}{'…' if len(kinds) > 1 else ''} {len(self):,} B"


class _Records:
    """A direction of a connection that is a row of records from *start* on, as far as it has been seen; or of SSH's packets."""

    __slots__ = ("start", "blank", "at", "until", "head", "urgent", "clear", "before")

    def __init__(self, start: int, *, ssh: bool) -> None:
        self.start = start
        self.blank = BLANK_SSH if ssh else BLANK
        self.at = 0  # the offset of what a call reads or writes next
        self.before = 0  # and of what it read last: a peek reads it again
        # The offset at which the next record begins: what comes before is none, or in one.
        self.until = NEVER if ssh else start
        self.head = b""  # of that record, as far as it has been seen
        self.urgent = 0  # bytes on the wire that are none of the stream's
        self.clear = bytearray()  # what was on the wire, not blanked

    def blanked(self, data: bytes, offset: int) -> bytes:
        """*data*, which begins at *offset*, with the bodies blanked; if it came before, all that is of records."""
        begin = max(0, min(self.start - offset, len(data)))
        parts = [data[:begin]]
        while begin < len(data):
            inside = min(self.until - offset, len(data)) - begin
            if inside > 0:
                parts.append(self.blank * inside)
                begin += inside
                continue
            head = data[begin : begin + HEAD - len(self.head)]
            parts.append(head)
            begin += len(head)
            self.head += head
            self.until = offset + begin
            if len(self.head) == HEAD:
                self.until += int.from_bytes(self.head[3:], "big")
                self.head = b""
        shown = b"".join(parts)
        return shown if offset + len(data) <= self.start else Sealed(shown)


def sealed(entries: Sequence[Any]) -> Sequence[Any]:
    """The *entries* of a trace as they are compared; themselves if none of them is about TLS."""
    speakers = _quic_speakers(entries)
    if speakers:
        entries = [_without_packets(entry) if entry[2] in speakers else entry for entry in entries]
    starts, ssh = _starts(entries)
    if not starts:
        return entries
    rows = _Rows(starts, ssh)
    return [rows.blanked(entry) for entry in entries]


def _quic_speakers(entries: Iterable[Any]) -> set[str]:
    """The hosts from and to which a client's first packet of QUIC has been sent; asked for membership only."""
    speakers: set[str] = set()
    for entry in entries:
        if entry[1] == SEGMENT and entry[5].startswith("datagram"):
            data = entry[7][0]
            if len(data) >= QUIC_INITIAL_MIN and data[0] & QUIC_LONG == QUIC_LONG and data[1:5] in QUIC_VERSIONS:
                speakers.update((entry[2], entry[3].partition("->")[2].rpartition(":")[0]))
    return speakers


def _without_packets(entry: Any) -> Any:
    """*entry*, which is of a host that speaks QUIC, with each packet of it blanked."""
    op, detail = entry[5], entry[7]
    if entry[1] == SEGMENT:
        return (*entry[:7], (_blank_packet(detail[0]), *detail[1:])) if op.startswith("datagram") else entry
    if entry[1] != CALL or "#" in entry[3] or entry[3].startswith("pair "):  # a connection, or a pair
        return entry
    if op == "recv":
        came = detail[1]
        shown = (_blank_packet(came[0]), *came[1:]) if type(came) is tuple else _blank_packet(came)
        return (*entry[:7], (detail[0], shown, *detail[2:]))
    if op == "send":
        return (*entry[:7], ((_blank_packet(detail[0][0]), *detail[0][1:]), *detail[1:]))
    return entry


def _blank_packet(data: Any) -> Any:
    is_packet = isinstance(data, bytes) and len(data) >= QUIC_MIN and data[0] & QUIC_FIXED
    return Sealed(BLANK_QUIC * len(data)) if is_packet else data


def _starts(entries: Iterable[Any]) -> tuple[dict[Direction, int], set[Direction]]:
    """From which offset on each direction of each connection is not to be compared, and which of them are SSH."""
    starts: dict[Direction, int] = {}
    ssh: set[Direction] = set()  # asked for membership only
    begun: dict[Direction, tuple[int, bytes]] = {}  # a hello that a fault has cut in its head
    written: dict[Direction, int] = {}
    urgent: dict[Direction, int] = {}  # bytes that a fault has put between those of the stream
    for entry in entries:
        if entry[1] == CALL and entry[5] == "send":  # it may never get onto the wire
            _, _, _, place, end, _, _, ((data, *_), sent, _) = entry
            direction = (place, OTHER.get(end, ""))
            offset = written.get(direction, 0)
            written[direction] = offset + (sent if isinstance(sent, int) else 0)
            if isinstance(data, bytes) and data[:2] == HELLO and data[HEAD : HEAD + 1] in HELLOS:
                starts.setdefault(direction, offset)
            elif not offset and isinstance(data, bytes) and data.startswith(GREETING):
                starts.setdefault(direction, len(GREETING))
                ssh.add(direction)
            continue
        if entry[1] != SEGMENT or not (data := entry[7][0]):
            continue
        direction = (entry[3], entry[4])
        if "URG" in entry[5]:
            urgent[direction] = urgent.get(direction, 0) + len(data)
            continue
        offset = entry[6] - urgent.get(direction, 0)
        if direction in begun:
            before, head = begun.pop(direction)
            if before + len(head) == offset:
                data, offset = head + data, before
        if data[:2] != HELLO[: len(data)] or direction in starts:
            continue
        if len(data) <= HEAD:
            begun[direction] = offset, data
        elif data[HEAD : HEAD + 1] in HELLOS:
            starts[direction] = offset
    return starts, ssh


class _Rows:
    """Every direction that is sealed: as it was on the wire, as it was written, as it was read."""

    def __init__(self, starts: dict[Direction, int], ssh: set[Direction]) -> None:
        def rows() -> dict[Direction, _Records]:
            return {direction: _Records(start, ssh=direction in ssh) for direction, start in starts.items()}

        self._wire, self._written, self._read = rows(), rows(), rows()

    def blanked(self, entry: Any) -> Any:
        """*entry* with what is encrypted in it blanked."""
        kind, place, end, op, detail = entry[1], entry[3], entry[4], entry[5], entry[7]
        if kind == SEGMENT:
            wire = self._wire.get((place, end))
            if wire is None or not detail[0]:
                return entry
            return (*entry[:7], (self._sent(wire, op, entry[6], detail[0]), *detail[1:]))
        if kind == CALL and op == "recv" and isinstance(detail[1], bytes) and (place, end) in self._read:
            if any(flags & MSG_OOB for flags in detail[0][1:]):
                return entry  # an urgent byte is none of the stream's, and may be equal to the next that is
            return (*entry[:7], (detail[0], self._received((place, end), detail[1]), *detail[2:]))
        if kind == CALL and op == "send" and isinstance(detail[0][0], bytes):
            written = self._written.get((place, OTHER.get(end, "")))
            if written is not None:
                shown = self._handed_over(written, detail[0][0], detail[1])
                return (*entry[:7], ((shown, *detail[0][1:]), *detail[1:]))
        return entry

    @staticmethod
    def _sent(wire: _Records, op: str, n: int, data: bytes) -> bytes:
        if "URG" in op:
            wire.urgent += len(data)
            return data
        offset = n - wire.urgent
        if offset == len(wire.clear):
            wire.clear += data
        return wire.blanked(data, offset)

    def _received(self, direction: Direction, data: bytes) -> bytes:
        """What a call has read: what is next, or the same again after a peek."""
        row, clear = self._read[direction], self._wire[direction].clear
        for offset in (row.at, row.before):
            if clear[offset : offset + len(data)] == data:
                row.before, row.at = offset, offset + len(data)
                return row.blanked(data, offset)
        return data

    @staticmethod
    def _handed_over(written: _Records, data: bytes, sent: Any) -> bytes:
        taken = sent if isinstance(sent, int) else 0  # of what was handed over
        shown = written.blanked(data[:taken], written.at)
        written.at += taken
        left = data[taken:]
        clear = max(0, min(written.start - written.at, len(left)))
        if clear == len(left) and type(shown) is not Sealed:
            return shown + left
        return Sealed(shown + left[:clear] + written.blank * (len(left) - clear))
