"""Names and services (K-128): what getaddrinfo and its relatives make of hosts, services and flags, row by row."""

from __future__ import annotations

import array
import socket
import sys
from socket import (
    AF_INET,
    AF_INET6,
    AI_ALL,
    AI_CANONNAME,
    AI_NUMERICHOST,
    AI_NUMERICSERV,
    AI_PASSIVE,
    AI_V4MAPPED,
    IPPROTO_SCTP,
    IPPROTO_UDP,
    NI_DGRAM,
    NI_NAMEREQD,
    NI_NUMERICHOST,
    NI_NUMERICSERV,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

NONAME, ADDRFAMILY, SERVICE, BADFLAGS = "gaierror -2", "gaierror -9", "gaierror -8", "gaierror -1"
NOT_FOUND, NO_RECOVERY = "EPERM", "ESRCH"  # how `outcome` reads the numbers 1 and 3 of an herror
BOTH_NUMERIC = NI_NUMERICHOST | NI_NUMERICSERV


def addresses(host: Any, service: Any, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0) -> Any:
    """The answers of getaddrinfo, each as (type, protocol, address); the canonical name before them if there is one."""

    def ask() -> Any:
        found = socket.getaddrinfo(host, service, family, kind, proto, flags)
        names = [name for _, _, _, name, _ in found if name]
        return [*names, *((int(each), protocol, address) for _, each, protocol, _, address in found)]

    return outcome(ask)


@pytest.mark.parametrize("flags", [0, AI_NUMERICHOST, AI_PASSIVE])
def test_k128_a_numeric_host_has_one_address_or_none(world: World, flags: int) -> None:
    wrong = [
        (host, family, answer)
        for host, family, wanted in [
            ("127.1", 0, ("127.0.0.1", 80)),
            ("0x7f.1", 0, ("127.0.0.1", 80)),
            ("0177.0.0.1", AF_INET, ("127.0.0.1", 80)),
            ("2130706433", 0, ("127.0.0.1", 80)),
            ("0", 0, ("0.0.0.0", 80)),
            ("127.0.0.1", AF_INET6, ADDRFAMILY),
            ("::1", AF_INET, ADDRFAMILY),
            ("::FFFF", 0, ("::ffff", 80, 0, 0)),
            ("::ffff:1.2.3.4", 0, ("::ffff:1.2.3.4", 80, 0, 0)),
            ("::ffff:1.2.3.4", AF_INET, ("1.2.3.4", 80)),
            ("::1%1", 0, ("::1", 80, 0, 1)),
            ("::1%0", 0, ("::1", 80, 0, 0)),
            ("::1%lo", 0, NONAME),
            ("::1%lo", AF_INET, ADDRFAMILY),
            ("::1%", 0, NONAME),
            ("fe80::1", 0, ("fe80::1", 80, 0, 0)),
            ("fe80::1%lo", 0, ("fe80::1", 80, 0, 1)),
            ("fe80::1%99", 0, ("fe80::1", 80, 0, 99)),
            ("fe80::1%no-such-link", 0, NONAME),
            ("ff02::1%lo", 0, ("ff02::1", 80, 0, 1)),
            ("[::1]", 0, NONAME) if flags == AI_NUMERICHOST else ("::1", 0, ("::1", 80, 0, 0)),
            (b"127.0.0.1", 0, ("127.0.0.1", 80)),
        ]
        if (answer := addresses(host, 80, family, SOCK_STREAM, 0, flags))
        != (wanted if isinstance(wanted, str) else [(1, 6, wanted)])
    ]
    assert wrong == []


def test_k128_what_the_flags_of_getaddrinfo_do(world: World) -> None:
    stream, mapped = (AF_INET6, SOCK_STREAM, 0), [(1, 6, ("::ffff:127.0.0.1", 80, 0, 0))]
    assert addresses("127.0.0.1", 80, *stream, AI_V4MAPPED) == mapped
    assert addresses("127.0.0.1", 80, *stream, AI_V4MAPPED | AI_ALL) == mapped
    assert addresses("127.0.0.1", 80, *stream, AI_ALL) == ADDRFAMILY
    assert addresses("127.1", 80, 0, SOCK_STREAM, 0, AI_CANONNAME) == ["127.1", (1, 6, ("127.0.0.1", 80))]
    assert addresses("fe80::1%lo", 80, 0, SOCK_STREAM, 0, AI_CANONNAME) == ["fe80::1%lo", (1, 6, ("fe80::1", 80, 0, 1))]
    assert addresses("LOCALHOST", 80, AF_INET, SOCK_STREAM, 0, AI_CANONNAME) == ["localhost", (1, 6, ("127.0.0.1", 80))]
    assert addresses(None, 80, 0, SOCK_STREAM, 0, AI_CANONNAME) == BADFLAGS
    assert addresses("127.0.0.1", 80, 0, 0, 0, 0x800) == BADFLAGS
    assert addresses("127.0.0.1", 80, 0, 0, 0, -1) == BADFLAGS
    assert addresses("127.0.0.1", 80, 0, 0, 0, 2**40) == "OverflowError: signed integer is greater than maximum"
    assert addresses("127.0.0.1", 80, socket.AF_UNIX) == "gaierror -6"


def test_k128_a_service_that_is_a_number(world: World) -> None:
    too_large = "OverflowError: Python int too large to convert to C long"
    if sys.version_info >= (3, 12):  # it is written out, and the C library reads it
        too_large = SERVICE
    wrong = [
        (service, answer)
        for service, wanted in [
            ("", 0), (b"", 0), ("0", 0), (" 80", 80), ("+80", 80), (b"80", 80), ("65536", 0), (70_000, 4464), (-65537, SERVICE),
            ("99999999999", 59391), (str(2**32 - 1), SERVICE), (str(2**70), SERVICE), ("-1", SERVICE), ("80 ", SERVICE),
            (True, "OSError: Int or String expected"), (1.5, "OSError: Int or String expected"),
            (2**70, too_large), (-(2**70), too_large),
        ]
        if (answer := addresses("127.0.0.1", service, 0, SOCK_STREAM))
        != (wanted if isinstance(wanted, str) else [(1, 6, ("127.0.0.1", wanted))])
    ]  # fmt: skip
    assert wrong == []
    assert addresses("127.0.0.1", "80 ", 0, SOCK_STREAM, 0, AI_NUMERICSERV) == NONAME
    assert addresses("127.0.0.1", "-1", 0, SOCK_STREAM, 0, AI_NUMERICSERV) == SERVICE
    assert addresses("127.0.0.1", "", 0, SOCK_RAW) == [(3, 0, ("127.0.0.1", 0))]
    assert addresses("127.0.0.1", "80", 0, SOCK_RAW) == SERVICE
    assert addresses("127.0.0.1", 80, 0, SOCK_SEQPACKET) == [(5, 132, ("127.0.0.1", 80))]


def test_k128_a_service_by_name_is_for_the_protocols_it_has(world: World) -> None:
    try:
        socket.getservbyname("http", "tcp")
    except OSError:  # this machine has no /etc/services
        assert world.name == "kernel" or addresses("127.0.0.1", "http") == [(1, 6, ("127.0.0.1", 80))]
        return
    wrong = [
        (service, kind, proto, answer)
        for service, kind, proto, wanted in [
            ("http", 0, 0, [(1, 6, 80)]),
            (b"http", SOCK_STREAM, 0, [(1, 6, 80)]),
            ("http", SOCK_DGRAM, 0, SERVICE),
            ("http", 0, IPPROTO_UDP, SERVICE),
            ("http", 0, IPPROTO_SCTP, SERVICE),
            ("http", SOCK_SEQPACKET, 0, SERVICE),
            ("HTTP", 0, 0, SERVICE),
            ("domain", 0, 0, [(1, 6, 53), (2, 17, 53)]),
            ("domain", SOCK_RAW, 0, SERVICE),
            ("ntp", 0, 0, [(2, 17, 123)]),
            ("ntp", SOCK_STREAM, 0, SERVICE),
            ("imap", 0, 0, [(1, 6, 143)]),
            ("pop-3", 0, 0, [(1, 6, 110)]),
            ("syslog", SOCK_DGRAM, 0, [(2, 17, 514)]),
        ]
        if (answer := addresses("127.0.0.1", service, 0, kind, proto))
        != (wanted if isinstance(wanted, str) else [(one, p, ("127.0.0.1", port)) for one, p, port in wanted])
    ]
    assert wrong == []
    assert socket.getnameinfo(("127.0.0.1", 69), NI_NUMERICHOST | NI_DGRAM) == ("127.0.0.1", "tftp")
    assert socket.getnameinfo(("127.0.0.1", 69), NI_NUMERICHOST) == ("127.0.0.1", "69")
    assert socket.getnameinfo(("::1", 22), NI_NUMERICHOST) == ("::1", "ssh")


def test_k128_getnameinfo_reads_its_address_as_a_number(world: World) -> None:
    illegal = "TypeError: getnameinfo(): illegal sockaddr argument"
    wrong = [
        (sockaddr, flags, answer)
        for sockaddr, flags, wanted in [
            (("127.1", 80), BOTH_NUMERIC, ("127.0.0.1", "80")),
            (("::1", 80, 0, 1), BOTH_NUMERIC, ("::1%1", "80")),
            (("fe80::1", 80, 0, 1), BOTH_NUMERIC, ("fe80::1%lo", "80")),
            (("fe80::1", 80, 0, 99), BOTH_NUMERIC, ("fe80::1%99", "80")),
            (("fe80::1%lo", 80), BOTH_NUMERIC, ("fe80::1", "80")),
            (("127.0.0.1", 65536), BOTH_NUMERIC, ("127.0.0.1", "0")),
            (("127.0.0.1", 80), NI_NUMERICSERV, ("localhost", "80")),
            (("127.0.0.1", 80), NI_NUMERICHOST | NI_NAMEREQD, NONAME),
            (("127.0.0.1", 80), 0x100, BADFLAGS),
            (("127.0.0.1", -1), BOTH_NUMERIC, SERVICE),
            (("localhost", 80), BOTH_NUMERIC, NONAME),
            (("", 80), BOTH_NUMERIC, NONAME),
            (("127.0.0.1", 80, 0), BOTH_NUMERIC, "OSError: IPv4 sockaddr must be 2 tuple"),
            (("::1", 80, 1 << 20), BOTH_NUMERIC, "OverflowError: getnameinfo(): flowinfo must be 0-1048575."),
            (("0.0.0.0", 80), NI_NUMERICSERV, ("0.0.0.0", "80")),
            (("224.0.0.1", 80), NI_NUMERICSERV, ("224.0.0.1", "80")),
            (("::", 80), NI_NUMERICSERV, ("::", "80")),
            (("::ffff:127.0.0.1", 80), NI_NUMERICSERV, ("::ffff:127.0.0.1", "80")),
            (("::", 80), NI_NAMEREQD, NONAME),
            (("127.0.0.1\0", 80), BOTH_NUMERIC, "ValueError: embedded null character"),
            (("127.0.0.1",), BOTH_NUMERIC, illegal),
            ((None, 80), BOTH_NUMERIC, illegal),
            (["127.0.0.1", 80], BOTH_NUMERIC, "TypeError: getnameinfo() argument 1 must be a tuple"),
            (("*", 80), BOTH_NUMERIC, "OSError: sockaddr resolved to multiple addresses"),
            (("*", -1), BOTH_NUMERIC, SERVICE),
            (("none such", -1), BOTH_NUMERIC, SERVICE),
        ]
        if (answer := outcome(lambda s=sockaddr, f=flags: socket.getnameinfo(s, f))) != wanted  # type: ignore[misc]
    ]
    assert wrong == []


def test_k128_a_star_is_nobody_in_particular(world: World) -> None:
    def told(*arguments: Any, **options: Any) -> Any:
        return [each[4][:2] for each in socket.getaddrinfo(*arguments, type=socket.SOCK_STREAM, **options)]

    assert told("*", 80) == [("::1", 80), ("127.0.0.1", 80)]
    assert told("*", 80, flags=socket.AI_PASSIVE) == [("0.0.0.0", 80), ("::", 80)]
    assert told("127.0.0.1", "*") == [("127.0.0.1", 0)]
    for arguments in (("*", "*"), (None, "*"), ("*", None)):
        with pytest.raises(socket.gaierror, match="Name or service not known"):
            told(*arguments)
    with pytest.raises(socket.gaierror, match="ai_flags"):
        told("*", 80, flags=socket.AI_CANONNAME)


def test_k128_only_one_address_of_loopback_has_a_name(world: World) -> None:
    assert socket.gethostbyaddr("127.0.0.1")[0] == "localhost"
    with pytest.raises(socket.herror, match="Unknown host"):
        socket.gethostbyaddr(world.ip)
    assert socket.getnameinfo((world.ip, 80), 0) == (world.ip, "http")
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        socket.getnameinfo((world.ip, 80), socket.NI_NAMEREQD)


def test_k128_what_the_older_calls_say(world: World) -> None:
    none = "TypeError: {}() argument 1 must be str, bytes or bytearray, not None"
    nul = "TypeError: {}() argument 1 must be encoded string without null bytes, not str"
    wrong = [
        (call, host, answer)
        for call, host, wanted in [
            ("gethostbyname", "", "0.0.0.0"),
            ("gethostbyname", "<broadcast>", "255.255.255.255"),
            ("gethostbyname", "::ffff:127.0.0.1", "127.0.0.1"),
            ("gethostbyname", "::1", ADDRFAMILY),
            ("gethostbyname", b"127.1", "127.0.0.1"),
            ("gethostbyname", None, none),
            ("gethostbyname", "a\0b", nul),
            ("gethostbyname_ex", "127.1", ("127.1", [], ["127.0.0.1"])),
            ("gethostbyname_ex", "LOCALHOST", ("localhost", [], ["127.0.0.1"])),
            ("gethostbyname_ex", "", NO_RECOVERY),
            ("gethostbyname_ex", "0x7f.1", NOT_FOUND),
            ("gethostbyname_ex", "<broadcast>", NOT_FOUND),
            ("gethostbyname_ex", None, none),
            ("gethostbyaddr", b"127.0.0.1", ("localhost", [], ["127.0.0.1"])),
            ("gethostbyaddr", "0.0.0.0", NOT_FOUND),
            ("gethostbyaddr", "", "OSError: wildcard resolved to multiple address"),
            ("gethostbyaddr", None, none),
            ("gethostbyaddr", array.array("i"), none.replace("None", "array.array")),
        ]
        if (answer := outcome(lambda c=call, h=host: getattr(socket, c)(h)))  # type: ignore[misc]
        != (wanted.format(call) if isinstance(wanted, str) else wanted)
    ]
    assert wrong == []
    for call in (socket.gethostbyname, socket.gethostbyname_ex, socket.gethostbyaddr):
        with pytest.raises(UnicodeError):
            call("two..dots")


def test_k128_an_ipv4_socket_takes_the_ipv4_address_in_an_ipv6_one(world: World) -> None:
    listener = world.listener()
    client = world.socket()
    client.connect_ex((f"::ffff:{world.ip}", listener.getsockname()[1]))
    world.ready(client, "OUT")
    assert client.getpeername() == listener.getsockname()
    six = world.socket(AF_INET6)
    world.gives("OSError: address family mismatched", six.connect, ("<broadcast>", 80))
    world.gives(NONAME, six.connect, ("fe80::1%no-such-link", 80))


def test_k128_an_ipv4_address_is_in_a_mapped_one_and_not_in_a_translated_one(world: World) -> None:
    assert socket.getaddrinfo("::ffff:192.0.2.1", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4] == ("192.0.2.1", 80)
    with pytest.raises(socket.gaierror) as raised:
        socket.getaddrinfo("::ffff:0:192.0.2.1", 80, socket.AF_INET, socket.SOCK_STREAM)
    assert raised.value.errno == socket.EAI_ADDRFAMILY


def test_k128_numbers_are_looked_at_before_the_host(world: World) -> None:
    no_number = "TypeError: 'str' object cannot be interpreted as an integer"
    for host in (1, "a" * 64, bytearray(b"127.0.0.1"), memoryview(bytearray(4))):
        assert outcome(lambda given=host: socket.getaddrinfo(given, 80, "x")) == no_number  # type: ignore[misc]
    assert addresses(memoryview(bytearray(4)), 80) == "TypeError: getaddrinfo() argument 1 must be string or None"


def test_k128_what_takes_no_such_arguments_says_so(world: World) -> None:
    for call, arguments, named in (
        (socket.getnameinfo, (("127.0.0.1", 80),), {}),
        (socket.getnameinfo, (), {"sockaddr": ("127.0.0.1", 80), "flags": 0}),
        (socket.gethostname, (1,), {}),
        (socket.gethostbyname, (), {}),
    ):
        with pytest.raises(TypeError, match=r"arguments?\b"):
            call(*arguments, **named)  # type: ignore[operator]


def test_links_have_names_and_numbers(world: World) -> None:
    links = socket.if_nameindex()
    assert links[0] == (1, "lo")
    assert world.name != "simnet" or links[1:] == [(2, "eth0")]
    for number, name in links:
        assert (socket.if_nametoindex(name), socket.if_indextoname(number)) == (number, name)
    with pytest.raises(OSError, match=r"no interface with this name|\[Errno 19\]"):  # the errno from Python 3.14 on
        socket.if_nametoindex("none such")
    for name in ("\0lo", b"lo\0"):
        with pytest.raises(ValueError, match="embedded null byte"):
            socket.if_nametoindex(name)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        socket.if_nametoindex("\ud800")
    for number in (0, 12_345):
        with pytest.raises(OSError, match=r"\[Errno 6\] No such device or address"):
            socket.if_indextoname(number)
    with pytest.raises(TypeError):
        socket.if_indextoname("lo")  # type: ignore[arg-type]
