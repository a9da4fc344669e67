"""Where faults act: the texts of places, the patterns they match, and anchors in words."""

from __future__ import annotations

import pytest

from simnet import faults
from simnet.faults import Fault, Place
from simnet.faults.place import ordinal

CONNECTION = Place.connection("client", "server", 7, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("client->server:7#1", CONNECTION, id="connection"),
        pytest.param("server:7", Place.listener("server", 7), id="listener"),
        pytest.param("server", Place.host("server"), id="host"),
        pytest.param("client->server:53", Place.flow("client", "server", 53), id="flow"),
        pytest.param("client->server", Place.link("client", "server"), id="link"),
        pytest.param("client<->server", Place.link("client", "server", both=True), id="link-both-ways"),
        pytest.param("*->*:*#*", Place.connection("*", "*", "*", "*"), id="any-connection"),
        pytest.param("server:/run/app.sock", Place.listener("server", "/run/app.sock"), id="path"),
        pytest.param(r"a->a:@\x00#1", Place.connection("a", "a", r"@\x00", 1), id="abstract-name"),
        pytest.param("a->a:socketpair#2", Place.connection("a", "a", "socketpair", 2), id="pair"),
        pytest.param("*->*:*/app.sock#1", Place.connection("*", "*", "*/app.sock", 1), id="any-folder"),
        pytest.param("a-b.c->[2001:db8::1]:443#12", Place.connection("a-b.c", "[2001:db8::1]", 443, 12), id="ipv6"),
    ],
)
def test_a_place_is_read_and_written_alike(text: str, place: Place) -> None:
    assert Place.parse(text) == place
    assert str(place) == text
    assert Place.parse(place) is place
    assert eval(repr(place), {"Place": Place}) == place


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "is no place", id="nothing"),
        pytest.param("client->server:7 #1", "holds a space", id="space"),
        pytest.param("client=>server:7#1", "the arrow is one '->'", id="fat-arrow"),
        pytest.param("client→server:7#1", "the arrow is one '->'", id="drawn-arrow"),
        pytest.param("client>server:7#1", "the arrow is one '->'", id="half-arrow"),
        pytest.param("a->b->c:7#1", "the arrow is one '->'", id="two-arrows"),
        pytest.param("::1:7", "written in brackets", id="ipv6-bare"),
        pytest.param("server:0", "port 0 is outside 1..65535", id="port-0"),
        pytest.param("server:65536", "port 65536 is outside 1..65535", id="port-too-large"),
        pytest.param("server:07", "without leading zeros", id="port-leading-zero"),
        pytest.param("client->server:7#0", "counted from 1", id="connection-0"),
        pytest.param("server:7#1", "belongs to a connection", id="number-of-a-listener"),
        pytest.param("client->server#1", "belongs to a connection", id="number-without-port"),
        pytest.param("client<->server:7#1", "'<->' is for links", id="connection-both-ways"),
        pytest.param("-server", "places are written", id="dash-first"),
    ],
)
def test_a_malformed_place_is_refused_with_what_is_right(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("*", r"\*").replace("(", r"\(")) as refused:
        Place.parse(text)

    assert repr(text) in str(refused.value)


def test_a_place_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="on=7 is int"):
        Place.parse(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "place", "matches"),
    [
        ("*->*:*#1", "client->server:7#1", True),
        ("*->*:*#1", "client->server:7#2", False),
        ("*->*:*#*", "client->server:7#2", True),
        ("client->*:7#*", "client->proxy:7#3", True),
        ("client->*:7#*", "client->proxy:8#3", False),
        ("*->server:*#*", "server->client:7#1", False),
        ("*:*", "server:7", True),
        ("*:*", "server", False),
        ("*", "server", True),
        ("*", "server:7", False),
        ("a<->*", "b<->a", True),
        ("a<->b", "a->b", False),
        ("server:7", "server:7", True),
        ("*:*", "server:/run/app.sock", True),
        ("*->*:*#1", "server->server:@app#1", True),
        ("*->*:*#*", "server->server:socketpair#1", False),
        ("*->*:socketpair#*", "server->server:socketpair#2", True),
        ("*:*/app.sock", "server:/tmp/one/app.sock", True),
        ("*:*/app.sock", "server:/app.sock", True),
        ("*:*/app.sock", "server:/tmp/one/myapp.sock", False),
        ("*:/run/*.sock", "server:/run/app.sock", True),
        ("*:/run/*.sock", "server:/run/app-sock", False),
        ("*->*:*/7#*", "server->server:7#1", False),
        ("server:@a*", "server:@app", True),
    ],
)
def test_a_pattern_matches_places_of_its_own_form(pattern: str, place: str, matches: bool) -> None:
    assert Place.parse(pattern).matches(Place.parse(place)) is matches


@pytest.mark.parametrize(
    ("text", "concrete", "unix"),
    [
        ("a->a:/run/app.sock#1", True, True),
        ("a->a:*/app.sock#1", False, True),
        (r"a->a:/run/\x2a.sock#1", True, True),
        ("a->a:socketpair#1", True, True),
        ("a->a:*#1", False, False),
        ("a->a:7#1", True, False),
    ],
)
def test_a_star_in_a_path_makes_a_pattern_unless_it_is_escaped(text: str, concrete: bool, unix: bool) -> None:
    assert (Place.parse(text).concrete, Place.parse(text).unix) == (concrete, unix)


def test_a_place_knows_whose_socket_is_at_each_end() -> None:
    assert CONNECTION.owner("client") == "client"
    assert CONNECTION.owner("server") == "server"
    assert Place.listener("server", 7).owner("server") == "server"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            faults.PartialSend("client->server:7#1", end="server", call=2, bytes=3),
            "the 2nd send by server on client->server:7#1",
        ),
        (faults.WouldBlock("server:7", op="accept", call=1), "the 1st accept on server:7"),
        (faults.Eof("client->server:7#1", end="client", byte=120), "byte 120 towards client on client->server:7#1"),
        (faults.Wake("server", call=3, keep=1), "the 3rd poll on server"),
        (faults.Refuse("client->server:7#1"), "the connect client->server:7#1"),
        (faults.Error("server", op="socket", call=11, errno="EMFILE"), "the 11th socket on server"),
        (faults.Drop("client->server:53", datagram=21), "the 21st datagram client->server:53"),
        (faults.NameError_("client", lookup=1, errno="EAI_AGAIN"), "the 1st look-up by client"),
        (faults.Crash("server", at=1.5), "1.5 s on server"),
        (faults.Split("*->*:*#1", end="server", byte=5), "byte 5 towards the acceptor on any connection *->*:*#1"),
        (faults.Split("a->a:7#1", end="client", byte=5), "byte 5 towards a (the opener) on a->a:7#1"),
    ],
)
def test_an_anchor_reads_as_a_person_would_say_it(fault: Fault, words: str) -> None:
    assert str(fault.anchor) == words


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (22, "22nd"), (113, "113th")],
)
def test_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text
