"""The family that an address belongs to."""

from __future__ import annotations

import os
import socket

from dispatch.annotations import Any


def guess_family(address: Any) -> int:
    """The family *address* belongs to by its looks: a path is AF_UNIX, a host with a colon AF_INET6, else AF_INET."""
    if isinstance(address, (str, bytes, os.PathLike)):
        return int(socket.AF_UNIX)
    if isinstance(address, tuple) and address and isinstance(address[0], str) and ":" in address[0]:
        return int(socket.AF_INET6)
    return int(socket.AF_INET)


def for_a_socket(address: Any) -> Any:
    """*address* as a socket takes it, which knows no ``pathlib``."""
    return os.fspath(address) if isinstance(address, os.PathLike) else address


def literal_family(host: Any) -> int | None:
    """The family of a numeric host; None for a name."""
    if isinstance(host, str):
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, host.partition("%")[0])
            except OSError:
                continue
            return int(family)
    return None


def interleave(found: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Alternate the families, beginning with the resolver's first; otherwise in its order (RFC 8305 section 4)."""
    found = list(dict.fromkeys(found))
    first = [entry for entry in found if entry[0] == found[0][0]]
    others = [entry for entry in found if entry[0] != found[0][0]]
    mixed: list[tuple[int, Any]] = []
    while first or others:
        if first:
            mixed.append(first.pop(0))
        if others:
            mixed.append(others.pop(0))
    return mixed
