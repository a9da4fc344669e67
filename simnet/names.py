"""Names answered by the network: ``getaddrinfo`` and its relatives, as glibc answers them."""

from __future__ import annotations

import functools
import ipaddress
import socket as constants  # numbers and exception classes only; nothing here touches a real socket
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet.network import Machine

__all__ = [
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "numeric_address",
    "resolve",
]

AF_INET, AF_INET6, AF_UNSPEC = int(constants.AF_INET), int(constants.AF_INET6), int(constants.AF_UNSPEC)
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW = int(constants.SOCK_STREAM), int(constants.SOCK_DGRAM), int(constants.SOCK_RAW)
KINDS = ((SOCK_STREAM, 6), (SOCK_DGRAM, 17), (SOCK_RAW, 0))  # the three that glibc answers, in its order
OTHER_KINDS = ((6, 33), (SOCK_DGRAM, 136), (SOCK_STREAM, 132), (5, 132))  # and those it has to be asked for
NI_NAMEREQD = int(constants.NI_NAMEREQD)
NI_FLAGS = 0x1F  # NI_NUMERICHOST to NI_DGRAM

SERVICES = {  # IANA's names for the ports that test programs use; /etc/services differs from machine to machine
    "echo": 7, "discard": 9, "daytime": 13, "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37,
    "domain": 53, "http": 80, "pop3": 110, "nntp": 119, "ntp": 123, "imap2": 143, "imap": 143, "irc": 194, "https": 443,
    "submission": 587, "imaps": 993, "pop3s": 995,
}  # fmt: skip

NO_NAME = (constants.EAI_NONAME, "Name or service not known")
NO_FAMILY = (constants.EAI_ADDRFAMILY, "Address family for hostname not supported")
NO_SERVICE = (constants.EAI_SERVICE, "Servname not supported for ai_socktype")
BAD_FLAGS = (constants.EAI_BADFLAGS, "Bad value for ai_flags")
BAD_FAMILY = (constants.EAI_FAMILY, "ai_family not supported")
BAD_KIND = (constants.EAI_SOCKTYPE, "ai_socktype not supported")
FLAGS = 0x7FF  # AI_PASSIVE to AI_NUMERICSERV
MAPPED = "::ffff:"


def _error(pair: tuple[int, str]) -> constants.gaierror:
    return constants.gaierror(*pair)


@functools.lru_cache(maxsize=1024)  # a program connects to the same few
def numeric_address(host: str) -> tuple[int, str] | None:
    """(family, address in its usual form) of a numeric host; ``None`` for a name."""
    if ":" in host:
        try:
            return AF_INET6, _usual_form(ipaddress.IPv6Address(host.partition("%")[0]))
        except ValueError:
            return None
    number = _inet_aton(host)
    return None if number is None else (AF_INET, str(ipaddress.IPv4Address(number)))


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


def _addresses(machine: Machine, name: str) -> list[tuple[int, str]]:
    """Every address of a host of this network, IPv4 first; empty if there is none of that name."""
    lowered = name.rstrip(".").lower()
    if lowered == "localhost" or lowered.endswith(".localhost"):
        return [(AF_INET6, "::1"), (AF_INET, "127.0.0.1")]
    found = machine.fabric.machines.get(name)
    if found is None:
        found = next((each for each in machine.fabric.machines.values() if each.name.lower() == lowered), None)
    return [] if found is None else [(AF_INET, found.address)]


def resolve(machine: Machine, host: str, family: int) -> str:
    """The one address of *family* that a socket call uses for *host*.

    Raises:
        socket.gaierror: EAI_NONAME for an unknown name, EAI_ADDRFAMILY for an address of another family.
    """
    if host == "":
        return "0.0.0.0" if family == AF_INET else "::"  # the wildcard is what "" means
    if host == "<broadcast>" and family == AF_INET:
        return "255.255.255.255"
    numeric = numeric_address(host)
    if numeric is not None:
        if numeric[0] != family:
            raise _error(NO_FAMILY)
        return numeric[1]
    for found, address in _addresses(machine, host):
        if found == family:
            return address
    raise _error(NO_NAME)


def _port(service: Any, flags: int) -> int:
    if service is None:
        return 0
    if isinstance(service, bytes):
        service = service.decode("ascii", "replace")
    if isinstance(service, int):
        if service < 0:
            raise _error(NO_SERVICE)
        return service & 0xFFFF
    if isinstance(service, str):
        if service.isdigit():
            return int(service) & 0xFFFF
        if flags & constants.AI_NUMERICSERV:
            raise _error(NO_NAME)
        if service in SERVICES:
            return SERVICES[service]
        raise _error(NO_SERVICE)
    raise OSError("Int or String expected")


def _kinds(type: int, proto: int, service: Any) -> tuple[tuple[int, int], ...]:
    """The kinds of sockets that are asked for, each with its protocol: three of them, or the first that is meant."""
    if not type and not proto:
        return KINDS
    for kind, protocol in (*KINDS[:2], *OTHER_KINDS):
        if type in (0, kind) and proto in (0, protocol):
            return ((kind, protocol),)
    if type in (0, SOCK_RAW):
        if service is not None:
            raise _error(NO_SERVICE)
        return ((SOCK_RAW, proto),)
    raise _error(BAD_KIND)


def getaddrinfo(
    machine: Machine, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
    """As glibc's, with this network as the only source of names.

    Raises:
        socket.gaierror: EAI_NONAME, EAI_SERVICE, EAI_ADDRFAMILY, EAI_FAMILY, EAI_SOCKTYPE, EAI_BADFLAGS, as there.
        UnicodeError: no host can have that name: an empty label, or one of more than 63 letters.
    """
    if isinstance(host, bytes):
        host = host.decode("idna")
    elif host is not None and not isinstance(host, str):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    if host is None and port is None:
        raise _error(NO_NAME)
    if flags & ~FLAGS:
        raise _error(BAD_FLAGS)
    number = _port(port, flags)
    if family not in (AF_UNSPEC, AF_INET, AF_INET6):
        raise _error(BAD_FAMILY)
    kinds = _kinds(type, proto, port)
    found = _found(machine, host, family, flags)
    canonical = host if host is not None and flags & constants.AI_CANONNAME else ""
    answers: list[tuple[int, int, int, str, tuple[Any, ...]]] = []
    for each, address in found:
        if family not in (AF_UNSPEC, each):
            continue
        for kind, protocol in kinds:
            sockaddr = (address, number) if each == AF_INET else (address, number, 0, 0)
            answers.append((each, kind, protocol, "" if answers else canonical, sockaddr))
    if not answers:
        raise _error(NO_FAMILY)
    return answers


def _found(machine: Machine, host: str | None, family: int, flags: int) -> list[tuple[int, str]]:
    """Every (family, address) that *host* stands for."""
    if host is None:
        passive = flags & constants.AI_PASSIVE
        return [(AF_INET, "0.0.0.0"), (AF_INET6, "::")] if passive else [(AF_INET6, "::1"), (AF_INET, "127.0.0.1")]
    numeric = numeric_address(host)
    if numeric is not None:
        if family == AF_INET6 and numeric[0] == AF_INET and flags & constants.AI_V4MAPPED:
            return [(AF_INET6, MAPPED + numeric[1])]
        if family not in (AF_UNSPEC, numeric[0]):
            raise _error(NO_FAMILY)
        return [numeric]
    found = [] if host == "" or flags & constants.AI_NUMERICHOST else _addresses(machine, host)
    if not found:
        host.encode("idna")  # CPython does so first: what cannot be a name is a UnicodeError
        raise _error(NO_NAME)
    if family == AF_INET6 and flags & constants.AI_V4MAPPED and all(each == AF_INET for each, _ in found):
        return [(AF_INET6, MAPPED + address) for _, address in found]
    return found


def gethostbyname(machine: Machine, name: Any, call: str = "gethostbyname") -> str:
    """The IPv4 address of *name*.

    Raises:
        socket.gaierror: EAI_NONAME.
        TypeError: *name* is none.
    """
    if not isinstance(name, (str, bytes, bytearray)):
        kind = "None" if name is None else type(name).__name__
        raise TypeError(f"{call}() argument 1 must be str, bytes or bytearray, not {kind}")
    return resolve(machine, name if isinstance(name, str) else bytes(name).decode("ascii"), AF_INET)


def gethostbyname_ex(machine: Machine, name: Any) -> tuple[str, list[str], list[str]]:
    """(name, aliases, IPv4 addresses).

    Raises:
        socket.gaierror: EAI_NONAME.
    """
    address = gethostbyname(machine, name, "gethostbyname_ex")
    return name if isinstance(name, str) else bytes(name).decode("ascii"), [], [address]


def gethostbyaddr(machine: Machine, address: str) -> tuple[str, list[str], list[str]]:
    """(name, aliases, addresses) of the host that has *address*.

    Raises:
        socket.herror: no host has it.
    """
    numeric = numeric_address(address)
    text = numeric[1] if numeric is not None else resolve(machine, address, AF_INET)
    if text in ("127.0.0.1", "::1"):
        return "localhost", [], [text]
    owner = machine.fabric.owner_of(text, machine)
    if owner is None:
        raise constants.herror(1, "Unknown host")
    return owner.name, [], [text]


def getnameinfo(machine: Machine, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """(host, service) for a numeric address.

    Raises:
        socket.gaierror: EAI_NONAME with NI_NAMEREQD and no name; EAI_BADFLAGS.
        TypeError: *sockaddr* is none.
    """
    if not isinstance(sockaddr, tuple):
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    if not 2 <= len(sockaddr) <= 4:
        raise TypeError("getnameinfo(): illegal sockaddr argument")
    if flags & ~NI_FLAGS:
        raise _error(BAD_FLAGS)
    address, port = sockaddr[0], index(sockaddr[1]) & 0xFFFF
    host, service = address, str(port)
    if not flags & constants.NI_NUMERICHOST:
        try:
            host = gethostbyaddr(machine, address)[0]
        except OSError:
            if flags & NI_NAMEREQD:
                raise _error(NO_NAME) from None
    if not flags & constants.NI_NUMERICSERV:
        service = next((name for name, number in SERVICES.items() if number == port), service)
    return host, service
