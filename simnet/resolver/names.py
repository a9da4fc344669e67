"""Names answered by the network: ``getaddrinfo`` and its relatives, as glibc answers them."""

from __future__ import annotations

import socket as constants  # numbers and exception classes only; nothing here touches a real socket
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.arguments.sockets import c_name, whole
from simnet.kernel.inet import ANY4, ANY6, BROADCAST, MAPPED, is_many
from simnet.kernel.messages import AF_INET, AF_INET6
from simnet.resolver.numeric import Numeric, numeric_host, scope_text
from simnet.resolver.services import NO_NAME, Wanted, gai_error, service_name, service_text, wanted_sockets

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo", "resolve"]

Answer = tuple[int, int, int, str, tuple[Any, ...]]

AF_UNSPEC = int(constants.AF_UNSPEC)
# Plain numbers: an operation on one of the standard library's flags is a dozen calls.
AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST = (
    int(each) for each in (constants.AI_PASSIVE, constants.AI_CANONNAME, constants.AI_NUMERICHOST)
)
AI_V4MAPPED, AI_ALL = int(constants.AI_V4MAPPED), int(constants.AI_ALL)
NI_FLAGS = 0xFF  # NI_NUMERICHOST to NI_IDN_USE_STD3_ASCII_RULES

NO_FAMILY = (constants.EAI_ADDRFAMILY, "Address family for hostname not supported")
BAD_FLAGS = (constants.EAI_BADFLAGS, "Bad value for ai_flags")
BAD_FAMILY = (constants.EAI_FAMILY, "ai_family not supported")
FLAGS = 0x7FF  # AI_PASSIVE to AI_NUMERICSERV
HOST_NOT_FOUND, NO_RECOVERY = (1, "Unknown host"), (3, "Unknown server error")
FLOW_MAX = 0xFFFFF


def _addresses(machine: Machine, name: str, family: int) -> tuple[str, list[Numeric]]:
    """The full name of a host of this network and its addresses; none if there is no host of that name.

    That of IPv6 is for who asks for it: a program that leaves the choice would try it first, and few servers here listen on both.
    """
    if _is_local(name):
        return "localhost", [Numeric(AF_INET6, "::1"), Numeric(AF_INET, "127.0.0.1")]
    look_up = machine.fabric.look_up
    if look_up is not None:
        look_up(machine, name)
    return _known(machine, name, family)


def _known(machine: Machine, name: str, family: int = AF_INET) -> tuple[str, list[Numeric]]:
    """The same, without asking anybody."""
    found = machine.fabric.machines.get(name)
    if found is None:
        lowered = name.rstrip(".").lower()
        found = next((each for each in machine.fabric.machines.values() if each.name.lower() == lowered), None)
    if found is None:
        return "", []
    found.looked_up = True
    by_number = [_numeric(found.address)]
    if family == AF_INET6 and found.address6:
        by_number.insert(0, Numeric(AF_INET6, found.address6))
    return found.name, by_number


@lru_cache(maxsize=256)  # each run asks for the same few names, and so on
def _is_local(name: str) -> bool:
    lowered = name.rstrip(".").lower()
    return lowered == "localhost" or lowered.endswith(".localhost")


@lru_cache(maxsize=256)
def _numeric(address: str) -> Numeric:
    return Numeric(AF_INET, address)


def _nobody(machine: Machine, name: Any) -> constants.gaierror:
    """The error of a resolver, with a word to whoever wrote the test: a name is mistyped more often than missing."""
    error = gai_error(NO_NAME)
    error.add_note(f"{name!r} is no host of this network; there is {', '.join(machine.fabric.machines)}")
    return error


def _without_ipv6(host: str) -> constants.gaierror:
    error = gai_error(NO_FAMILY)
    error.add_note(
        f"{host!r} has no address of IPv6 on real sockets: of that, loopback is ::1 alone, and no host's own"
    )
    return error


def resolve(machine: Machine, host: str, family: int) -> str:
    """The one address of *family* that a socket call uses for *host*.

    Raises:
        socket.gaierror: EAI_NONAME for an unknown name, EAI_ADDRFAMILY for an address of another family.
        OSError: it is the broadcast address, and *family* is IPv6.
    """
    if host == "":
        return "0.0.0.0" if family == AF_INET else "::"  # the wildcard is what "" means
    if host in ("<broadcast>", BROADCAST):
        if family == AF_INET6:
            raise OSError("address family mismatched")
        return BROADCAST
    numeric = numeric_host(host)
    if numeric is not None:
        return _of_family(numeric, family).address
    addresses = _addresses(machine, host, family)[1]
    for found in addresses:
        if family in (AF_UNSPEC, found.family):
            return found.address
    raise _without_ipv6(host) if addresses else _nobody(machine, host)


def _of_family(numeric: Numeric, family: int) -> Numeric:
    found = numeric.within(family)
    if found is None:
        raise gai_error(NO_FAMILY)
    if found.scope < 0:
        raise gai_error(NO_NAME)
    return found


def getaddrinfo(
    machine: Machine, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Answer]:
    """As glibc's, with this network as the only source of names.

    Raises:
        socket.gaierror: EAI_NONAME, EAI_SERVICE, EAI_ADDRFAMILY, EAI_FAMILY, EAI_SOCKTYPE, EAI_BADFLAGS, as there.
        UnicodeError: no host can have that name: an empty label, or one of more than 63 letters.
    """
    asked = None
    try:
        asked = _asked(host, port, family, type, proto, flags)
    except (TypeError, ValueError):  # it may be that something cannot be remembered
        pass
    if asked is None:
        asked = _asked.__wrapped__(host, port, family, type, proto, flags)
    name, found = _found(machine, asked.host, asked.family, asked.flags)
    return list(_answers(name if asked.flags & AI_CANONNAME else "", tuple(found), asked.sockets))


class _Asked(NamedTuple):
    """A question to ``getaddrinfo`` that can be answered."""

    host: str | None
    family: int
    sockets: tuple[Wanted, ...]
    flags: int


@lru_cache(maxsize=256, typed=True)  # runs of one test ask the same again and again
def _asked(host: Any, port: Any, family: Any, type: Any, proto: Any, flags: Any) -> _Asked:
    """The arguments of ``getaddrinfo``, looked at."""
    family, kind, protocol, flags = (_c_int(number) for number in (family, type, proto, flags))
    if isinstance(host, str):
        host = _encoded(host)
    elif isinstance(host, bytes):
        host = host.decode("ascii", "surrogateescape")
    elif host is not None:
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    service = service_text(port)
    host, service = (None if each == "*" else each for each in (host, service))  # as glibc has it
    if host is None and service is None:
        raise gai_error(NO_NAME)
    if flags & ~FLAGS or (host is None and flags & AI_CANONNAME):
        raise gai_error(BAD_FLAGS)
    if family not in (AF_UNSPEC, AF_INET, AF_INET6):
        raise gai_error(BAD_FAMILY)
    return _Asked(host, family, tuple(wanted_sockets(service, kind, protocol, flags)), flags)


@lru_cache(maxsize=256)
def _answers(canonical: str, found: tuple[Numeric, ...], sockets: tuple[Wanted, ...]) -> tuple[Answer, ...]:
    """Each address for each socket; the first has the *canonical* name."""
    answers: list[Answer] = []
    for each, address, scope in found:
        for wanted in sockets:
            sockaddr = (address, wanted.port) if each == AF_INET else (address, wanted.port, 0, scope)
            answers.append((each, wanted.type, wanted.proto, "" if answers else canonical, sockaddr))
    return tuple(answers)


def _encoded(name: str) -> str:
    """*name* in ASCII, as CPython hands it to the C library, up to a NUL; UnicodeError for what can be no name."""
    if not name.isascii() or not all(0 < len(label) < 64 for label in name.removesuffix(".").split(".")):
        name = name.encode("idna").decode("ascii")
    return name.partition("\0")[0]


def _found(machine: Machine, host: str | None, family: int, flags: int) -> tuple[str, list[Numeric]]:
    """The full name of *host*, and every address of *family* that it stands for."""
    mapping = family == AF_INET6 and flags & AI_V4MAPPED
    if host is None:
        passive = flags & AI_PASSIVE
        two = (Numeric(AF_INET, "0.0.0.0"), Numeric(AF_INET6, "::"))
        if not passive:
            two = (Numeric(AF_INET6, "::1"), Numeric(AF_INET, "127.0.0.1"))
        return "", [each for each in two if family in (AF_UNSPEC, each.family)]
    numeric = numeric_host(host)
    if numeric is not None:
        if mapping and numeric.family == AF_INET:
            return host, [_mapped(numeric)]
        return host, [_of_family(numeric, family)]
    name, found = ("", []) if not host or flags & AI_NUMERICHOST else _addresses(machine, host, family)
    if not found:
        raise _nobody(machine, host)
    fitting = [each for each in found if family in (AF_UNSPEC, each.family)]
    if mapping and (not fitting or flags & AI_ALL):
        fitting += [_mapped(each) for each in found if each.family == AF_INET]
    if not fitting:
        raise gai_error(NO_FAMILY)
    return name, fitting


def _mapped(numeric: Numeric) -> Numeric:
    return Numeric(AF_INET6, MAPPED + numeric.address)


def gethostbyname(machine: Machine, name: Any) -> str:
    """The IPv4 address of *name*.

    Raises:
        socket.gaierror: EAI_NONAME.
        TypeError, UnicodeError: *name* is none.
    """
    return resolve(machine, _name_argument(name, "gethostbyname"), AF_INET)


def gethostbyname_ex(machine: Machine, name: Any) -> tuple[str, list[str], list[str]]:
    """(name, aliases, IPv4 addresses).

    Raises:
        socket.gaierror: EAI_NONAME.
        socket.herror: it is an address, and not of four decimal numbers or fewer: the C library is asked once more.
    """
    text = _name_argument(name, "gethostbyname_ex")
    address = resolve(machine, text, AF_INET)
    if not text:
        raise constants.herror(*NO_RECOVERY)
    if text == "<broadcast>" or (numeric_host(text) is not None and not set(text) <= set("0123456789.")):
        raise constants.herror(*HOST_NOT_FOUND)
    return ("localhost" if text.lower() == "localhost" else _known(machine, text)[0] or text), [], [address]


def _name_argument(name: Any, call: str) -> str:
    """*name* as the older calls take it.

    Raises:
        TypeError, UnicodeError: it is none.
    """
    if not isinstance(name, (str, bytes, bytearray)):
        kind = "None" if name is None else c_name(name)
        raise TypeError(f"{call}() argument 1 must be str, bytes or bytearray, not {kind}")
    if ("\0" if isinstance(name, str) else 0) in name:
        kind = type(name).__name__
        raise TypeError(f"{call}() argument 1 must be encoded string without null bytes, not {kind}")
    return _encoded(name) if isinstance(name, str) else bytes(name).decode("ascii", "surrogateescape")


def gethostbyaddr(machine: Machine, address: Any) -> tuple[str, list[str], list[str]]:
    """(name, aliases, addresses) of the host that has *address*, or that name.

    Raises:
        socket.herror: no host has it.
        socket.gaierror: EAI_NONAME.
        OSError: it is "", which is two wildcards.
    """
    text = _name_argument(address, "gethostbyaddr")
    if not text:
        raise OSError("wildcard resolved to multiple address")
    found = resolve(machine, text, AF_UNSPEC)
    owner = _owner(machine, found)
    if owner is None:
        raise constants.herror(*HOST_NOT_FOUND)
    return owner, [], [found]


def _owner(machine: Machine, address: str) -> str | None:
    """The name of the host that has *address*."""
    if address in ("127.0.0.1", "::1"):
        return "localhost"
    if is_many(address) or address in (ANY4, ANY6) or address.startswith(MAPPED):
        return None  # of several hosts, or of none: /etc/hosts has none of them
    owner = machine.fabric.owner_of(address, machine)
    if owner is machine and address.startswith("127.") and address != machine.address:
        return None  # of all addresses of loopback /etc/hosts has one
    return None if owner is None else owner.name


def getnameinfo(machine: Machine, sockaddr: Any, flags: Any) -> tuple[str, str]:
    """(host, service) for a numeric address.

    Raises:
        socket.gaierror: EAI_NONAME for a host that is no number, or with NI_NAMEREQD and no name; EAI_BADFLAGS.
        TypeError, OverflowError, OSError: *sockaddr* is none.
    """
    flags = _c_int(flags)
    if not isinstance(sockaddr, tuple):
        raise TypeError("getnameinfo() argument 1 must be a tuple")
    if not 2 <= len(sockaddr) <= 4 or not isinstance(sockaddr[0], str):
        raise TypeError("getnameinfo(): illegal sockaddr argument")
    sockaddr[0].encode()  # surrogates have no place in it
    if "\0" in sockaddr[0]:
        raise ValueError("embedded null character")
    port = _c_int(sockaddr[1])
    flow, scope = (index(number) & 0xFFFFFFFF for number in (*sockaddr[2:], 0, 0)[:2])
    if flow > FLOW_MAX:
        raise OverflowError("getnameinfo(): flowinfo must be 0-1048575.")
    (socket,) = wanted_sockets(str(port), constants.SOCK_DGRAM, 0, 0)
    if sockaddr[0] == "*":
        raise OSError("sockaddr resolved to multiple addresses")
    _, ((family, address, _), *_) = _found(machine, sockaddr[0], AF_UNSPEC, AI_NUMERICHOST)
    if family == AF_INET and len(sockaddr) != 2:
        raise OSError("IPv4 sockaddr must be 2 tuple")
    if flags & ~NI_FLAGS:
        raise gai_error(BAD_FLAGS)
    host = None if flags & constants.NI_NUMERICHOST else _owner(machine, address)
    if host is None:
        if flags & constants.NI_NAMEREQD:
            raise gai_error(NO_NAME)
        host = address + (scope_text(address, scope) if family == AF_INET6 else "")
    if flags & constants.NI_NUMERICSERV:
        return host, str(socket.port)
    return host, service_name(socket.port, "udp" if flags & constants.NI_DGRAM else "tcp")


def _c_int(value: Any) -> int:
    """*value* as a C int; CPython parses it as it parses the flags of ``recv``."""
    return whole("recv", 1, last=value)
