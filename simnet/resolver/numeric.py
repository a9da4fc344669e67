"""Hosts that are numbers: IPv4 and IPv6 addresses in every form that glibc reads."""

from __future__ import annotations

import functools
import ipaddress
from typing import Final, NamedTuple

from simnet.arguments.sockets import UINT_MAX
from simnet.kernel.inet import MAPPED
from simnet.kernel.messages import AF_INET, AF_INET6
from simnet.kernel.options.packed import LINKS

__all__ = ["INTERFACES", "Numeric", "numeric_host", "scope_text"]

INTERFACES: Final = {name.decode(): number for number, name in enumerate(LINKS, 1)}  # links of a simulated host


class Numeric(NamedTuple):
    """A host given as a number."""

    family: int
    address: str  # in its usual form
    scope: int = 0  # number of a link, from ``fe80::1%lo``; -1 if there is none of that name

    def within(self, family: int) -> Numeric | None:
        """The same as an address of *family* (0: any), ``None`` if it is none: an IPv4 address may be inside an IPv6 one."""
        if family in (0, self.family):
            return self
        if family == AF_INET and self.address.startswith(MAPPED) and "." in self.address:  # not ::ffff:0:102:304
            return Numeric(AF_INET, self.address[len(MAPPED) :])
        return None


@functools.lru_cache(maxsize=1024)  # a program connects to the same few
def numeric_host(host: str) -> Numeric | None:
    """What *host* says as a number; ``None`` for a name."""
    if ":" in host:
        text, percent, scope = host.partition("%")
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            return None
        return Numeric(AF_INET6, _usual_form(address), _scope(address, scope) if percent else 0)
    number = _inet_aton(host)
    return None if number is None else Numeric(AF_INET, str(ipaddress.IPv4Address(number)))


def _scope(address: ipaddress.IPv6Address, scope: str) -> int:
    """The link that *scope* says: by name only where addresses belong to a link, by number anywhere."""
    if _of_one_link(address) and scope in INTERFACES:
        return INTERFACES[scope]
    return int(scope) if scope.isascii() and scope.isdigit() and int(scope) <= UINT_MAX else -1


def scope_text(address: str, scope: int) -> str:
    """``%lo``: what follows *address* when it is shown with its *scope*."""
    if not scope:
        return ""
    names = (name for name, number in INTERFACES.items() if number == scope)
    return "%" + (next(names, str(scope)) if _of_one_link(ipaddress.IPv6Address(address)) else str(scope))


def _of_one_link(address: ipaddress.IPv6Address) -> bool:
    number = int(address)
    return number >> 118 == 0xFE80 >> 6 or (number >> 120 == 0xFF and number >> 112 & 0xF == 2)


def _usual_form(address: ipaddress.IPv6Address) -> str:
    """As inet_ntop() writes it: an IPv4 address inside keeps its dots, ``::ffff:127.0.0.1``."""
    number = int(address)
    if number >> 32 == 0xFFFF or (number >> 32 == 0 and number > 0xFFFF):
        return f"::{'ffff:' if number >> 32 else ''}{ipaddress.IPv4Address(number & 0xFFFFFFFF)}"
    return str(address)


def _inet_aton(host: str) -> int | None:
    """The number of an IPv4 address in any of inet_aton()'s forms: ``10.1`` is 10.0.0.1, ``0x7f000001`` 127.0.0.1."""
    parts = host.split(".")
    if len(parts) > 4:
        return None
    number = 0
    for place, part in enumerate(parts):
        lowered = part.lower()
        base = 16 if lowered.startswith("0x") else 8 if lowered.startswith("0") else 10
        digits = lowered[2:] if base == 16 else lowered
        if not digits or not set(digits) <= set("0123456789abcdef"[:base]):
            return None
        value = int(digits, base)
        last = place == len(parts) - 1
        if value >= 1 << (8 * (5 - len(parts)) if last else 8):
            return None
        number |= value if last else value << (24 - 8 * place)
    return number
