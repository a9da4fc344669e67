"""Services by name, and what kinds of sockets a service is for: the half of ``getaddrinfo`` that is not about hosts."""

from __future__ import annotations

import functools
import socket as constants  # numbers and exception classes only; nothing here touches a real socket
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["Wanted", "gai_error", "service_name", "wanted_sockets"]

NO_NAME: Final = (constants.EAI_NONAME, "Name or service not known")
NO_SERVICE: Final = (constants.EAI_SERVICE, "Servname not supported for ai_socktype")
BAD_KIND: Final = (constants.EAI_SOCKTYPE, "ai_socktype not supported")

LONG_MAX: Final = 2**63 - 1
ULONG_MAX: Final = 2**64 - 1

# IANA's names of ports, as Debian's /etc/services has them: port/protocols name aliases. That of the machine is not
# asked, since a run is to be the same on every machine.
TABLE: Final = """
1/tcp tcpmux; 7/tcp+udp echo; 9/tcp+udp discard sink null; 11/tcp systat users; 13/tcp+udp daytime; 15/tcp netstat;
17/tcp qotd quote; 19/tcp+udp chargen ttytst source; 20/tcp ftp-data; 21/tcp ftp; 21/udp fsp fspd; 22/tcp ssh;
23/tcp telnet; 25/tcp smtp mail; 37/tcp+udp time timserver; 43/tcp whois nicname; 49/tcp+udp tacacs;
53/tcp+udp domain; 67/udp bootps; 68/udp bootpc; 69/udp tftp; 70/tcp gopher; 79/tcp finger; 80/tcp http www;
88/tcp+udp kerberos kerberos5 krb5 kerberos-sec; 102/tcp iso-tsap tsap; 104/tcp acr-nema dicom; 106/tcp poppassd;
110/tcp pop3 pop-3; 111/tcp+udp sunrpc portmapper; 113/tcp auth authentication tap ident; 119/tcp nntp readnews untp;
123/udp ntp; 135/tcp epmap loc-srv; 137/udp netbios-ns; 138/udp netbios-dgm; 139/tcp netbios-ssn; 143/tcp imap2 imap;
161/tcp+udp snmp; 162/tcp+udp snmp-trap snmptrap; 163/tcp+udp cmip-man; 164/tcp+udp cmip-agent; 174/tcp mailq;
177/udp xdmcp; 179/tcp bgp; 199/tcp smux; 209/tcp qmtp; 210/tcp z3950 wais; 213/udp ipx; 319/udp ptp-event;
320/udp ptp-general; 345/tcp pawserv; 346/tcp zserv; 369/tcp+udp rpc2portmap; 370/tcp+udp codaauth2;
371/udp clearcase Clearcase; 389/tcp+udp ldap; 427/tcp+udp svrloc; 443/tcp+udp https; 444/tcp snpp;
445/tcp microsoft-ds; 464/tcp+udp kpasswd; 465/tcp submissions ssmtp smtps urd; 487/tcp saft; 500/udp isakmp;
512/tcp exec; 512/udp biff comsat; 513/tcp login; 513/udp who whod; 514/tcp shell cmd syslog; 514/udp syslog;
515/tcp printer spooler; 517/udp talk; 518/udp ntalk; 520/udp route router routed; 538/tcp+udp gdomap;
540/tcp uucp uucpd; 543/tcp klogin; 544/tcp kshell krcmd; 546/udp dhcpv6-client; 547/udp dhcpv6-server;
548/tcp afpovertcp; 554/tcp+udp rtsp; 563/tcp nntps snntp; 587/tcp submission; 607/tcp nqs; 623/udp asf-rmcp;
628/tcp qmqp; 631/tcp ipp; 636/tcp+udp ldaps; 646/tcp+udp ldp; 655/tcp+udp tinc; 706/tcp silc; 749/tcp kerberos-adm;
750/udp+tcp kerberos4 kerberos-iv kdc; 751/udp kerberos-master kerberos_master; 751/tcp kerberos-master;
752/udp passwd-server passwd_server; 754/tcp krb-prop krb_prop krb5_prop hprop; 775/tcp moira-db moira_db;
777/tcp moira-update moira_update; 779/udp moira-ureg moira_ureg; 783/tcp spamd; 853/tcp+udp domain-s;
871/tcp supfilesrv; 873/tcp rsync; 989/tcp ftps-data; 990/tcp ftps; 992/tcp telnets; 993/tcp imaps; 995/tcp pop3s;
1080/tcp socks; 1093/tcp proofd; 1094/tcp rootd; 1099/tcp rmiregistry; 1127/tcp supfiledbg; 1178/tcp skkserv;
1194/tcp+udp openvpn; 1210/udp predict; 1236/tcp rmtcfg; 1313/tcp xtel; 1314/tcp xtelw;
1352/tcp lotusnote lotusnotes; 1433/tcp ms-sql-s; 1434/udp ms-sql-m; 1524/tcp ingreslock;
1645/tcp+udp datametrics old-radius; 1646/tcp+udp sa-msg-port old-radacct; 1649/tcp kermit; 1677/tcp groupwise;
1701/udp l2f l2tp; 1812/tcp+udp radius; 1813/tcp+udp radius-acct radacct; 2000/tcp cisco-sccp; 2049/tcp+udp nfs;
2086/tcp+udp gnunet; 2101/tcp+udp rtcm-sc104; 2102/udp zephyr-srv; 2103/udp zephyr-clt; 2104/udp zephyr-hm;
2119/tcp gsigatekeeper; 2121/tcp iprop; 2135/tcp gris; 2401/tcp cvspserver; 2430/tcp+udp venus;
2431/tcp+udp venus-se; 2432/tcp+udp codasrv; 2433/tcp+udp codasrv-se; 2583/tcp+udp mon; 2600/tcp zebrasrv;
2601/tcp zebra; 2602/tcp ripd; 2603/tcp ripngd; 2604/tcp ospfd; 2605/tcp bgpd; 2606/tcp ospf6d; 2607/tcp ospfapi;
2608/tcp isisd; 2628/tcp dict; 2792/tcp f5-globalsite; 2811/tcp gsiftp; 2947/tcp gpsd; 3050/tcp gds-db gds_db;
3130/udp icpv2 icp; 3205/tcp+udp isns; 3260/tcp iscsi-target; 3306/tcp mysql; 3389/tcp ms-wbt-server;
3493/tcp+udp nut; 3632/tcp distcc; 3689/tcp daap; 3690/tcp svn subversion; 4031/tcp suucp; 4094/tcp sysrqd;
4190/tcp sieve; 4353/tcp f5-iquery; 4369/tcp epmd; 4373/tcp remctl; 4460/tcp ntske; 4500/udp ipsec-nat-t;
4557/tcp fax; 4559/tcp hylafax; 4569/udp iax; 4691/tcp mtn; 4899/tcp radmin-port; 4949/tcp munin lrrd;
5060/tcp+udp sip; 5061/tcp+udp sip-tls; 5222/tcp xmpp-client jabber-client; 5269/tcp xmpp-server jabber-server;
5308/tcp cfengine; 5353/udp mdns; 5432/tcp postgresql postgres; 5555/udp rplay; 5556/tcp freeciv rptp; 5666/tcp nrpe;
5667/tcp nsca; 5671/tcp amqps; 5672/tcp+sctp amqp; 5680/tcp canna; 6000/tcp x11 x11-0; 6001/tcp x11-1;
6002/tcp x11-2; 6003/tcp x11-3; 6004/tcp x11-4; 6005/tcp x11-5; 6006/tcp x11-6; 6007/tcp x11-7;
6346/tcp+udp gnutella-svc; 6347/tcp+udp gnutella-rtr; 6379/tcp redis; 6444/tcp sge-qmaster sge_qmaster;
6445/tcp sge-execd sge_execd; 6446/tcp mysql-proxy; 6514/tcp syslog-tls; 6566/tcp sane-port sane saned;
6667/tcp ircd; 6696/udp babel; 6697/tcp ircs-u; 7000/tcp bbs; 7000/udp afs3-fileserver; 7001/udp afs3-callback;
7002/udp afs3-prserver; 7003/udp afs3-vlserver; 7004/udp afs3-kaserver; 7005/udp afs3-volser; 7007/udp afs3-bos;
7008/udp afs3-update; 7009/udp afs3-rmtsys; 7100/tcp font-service xfs; 8021/tcp zope-ftp; 8080/tcp http-alt webcache;
8081/tcp tproxy; 8088/tcp omniorb; 8140/tcp puppet; 8990/tcp clc-build-daemon; 9098/tcp xinetd; 9101/tcp bacula-dir;
9102/tcp bacula-fd; 9103/tcp bacula-sd; 9418/tcp git; 9667/tcp xmms2; 9673/tcp zope; 10000/tcp webmin;
10050/tcp zabbix-agent; 10051/tcp zabbix-trapper; 10080/tcp amanda; 10081/tcp kamanda; 10082/tcp amandaidx;
10083/tcp amidxtape; 10809/tcp nbd; 11112/tcp dicom; 11371/tcp hkp; 17001/udp sgi-cmsd; 17002/udp sgi-crsd;
17003/udp sgi-gcd; 17004/tcp sgi-cad; 17500/tcp db-lsp; 22125/tcp dcap; 22128/tcp gsidcap; 22273/tcp wnn6;
24554/tcp binkp; 27374/tcp+udp asp; 30865/tcp csync2; 57000/tcp dircproxy; 60177/tcp tfido; 60179/tcp fido
"""


class Kind(NamedTuple):
    """One kind of socket that glibc knows."""

    type: int
    proto: int
    protocol: str  # its name in /etc/services; "" for raw sockets, which have no services
    default: bool  # one of those that are answered to who asks for no kind


KINDS: Final = (  # in glibc's order
    Kind(1, 6, "tcp", True),
    Kind(2, 17, "udp", True),
    Kind(6, 33, "dccp", False),
    Kind(2, 136, "udplite", False),
    Kind(1, 132, "sctp", False),
    Kind(5, 132, "sctp", False),
    Kind(3, 0, "", True),
)


class Wanted(NamedTuple):
    """One answer's part that is the same for every address."""

    type: int
    proto: int
    port: int


def gai_error(reason: tuple[int, str]) -> constants.gaierror:
    """An exception as ``getaddrinfo`` raises it: number and text."""
    return constants.gaierror(*reason)


@functools.cache
def _ports() -> tuple[dict[tuple[str, str], int], dict[tuple[int, str], str]]:
    """Ports by (name, protocol), official names by (port, protocol)."""
    by_name: dict[tuple[str, str], int] = {}
    by_port: dict[tuple[int, str], str] = {}
    for row in TABLE.replace("\n", " ").split(";"):
        where, *names = row.split()
        port, _, protocols = where.partition("/")
        for protocol in protocols.split("+"):
            by_port.setdefault((int(port), protocol), names[0])
            for name in names:
                by_name.setdefault((name, protocol), int(port))
    return by_name, by_port


def service_name(port: int, protocol: str) -> str:
    """What ``getnameinfo`` calls *port* of "tcp" or "udp": its service, or its number."""
    return _ports()[1].get((port, protocol), str(port))


def service_text(service: Any) -> str | None:
    """*service* as CPython hands it on, ``None`` for none; "" asks for nothing either.

    Raises:
        OSError, OverflowError: it is neither a string nor a number that C can hold; a bool is not one.
    """
    if service is None:
        return None
    if type(service) is int:
        if not -LONG_MAX - 1 <= service <= LONG_MAX and sys.version_info < (3, 12):  # later ones write it out
            raise OverflowError("Python int too large to convert to C long")
        return str(service)
    if isinstance(service, str):
        service = service.encode()
    if not isinstance(service, bytes):
        raise OSError("Int or String expected")
    return str(service.partition(b"\0")[0], "utf-8", "surrogateescape")


def _number(text: str, flags: int) -> int:
    """The C int that glibc reads from *text*, as strtoul does; negative if it is to be looked up by name."""
    digits = text.lstrip(" \t\n\v\f\r")
    sign = digits[:1]
    digits = digits[1:] if sign in ("+", "-") else digits
    if not digits.isascii() or not digits.isdigit():
        if flags & constants.AI_NUMERICSERV:
            raise gai_error(NO_NAME)
        return -1
    value = int(digits)
    value = ULONG_MAX if value > ULONG_MAX else -value & ULONG_MAX if sign == "-" else value
    return (value + 2**31) % 2**32 - 2**31


def wanted_sockets(service: str | None, type: int, proto: int, flags: int) -> list[Wanted]:
    """Type, protocol and port of every socket that *service* (see `service_text`) is for, narrowed by *type* and *proto*.

    Raises:
        socket.gaierror: EAI_SERVICE, EAI_SOCKTYPE; EAI_NONAME for a name under AI_NUMERICSERV.
    """
    number = _number(service, flags) if service else 0
    asked = bool(type or proto)
    kinds = KINDS if not asked else tuple(_matching(type, proto))[:1]
    if not kinds:
        raise gai_error(BAD_KIND)
    if asked and service and not kinds[0].protocol:
        raise gai_error(NO_SERVICE)
    if number >= 0:
        kinds = kinds if asked else tuple(kind for kind in kinds if kind.default)
        return [Wanted(kind.type, kind.proto or proto, number & 0xFFFF) for kind in kinds]
    ports = [(kind, _ports()[0].get((service or "", kind.protocol))) for kind in kinds]
    found = [Wanted(kind.type, kind.proto, port) for kind, port in ports if port is not None]
    if not found:
        raise gai_error(NO_SERVICE)
    return found


def _matching(type: int, proto: int) -> Iterator[Kind]:
    for kind in KINDS:
        if type in (0, kind.type) and (proto in (0, kind.proto) or not kind.protocol):
            yield kind
