"""The vocabulary: what each kind says of itself, what it refuses, and how it prints."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from simnet import faults
from simnet.faults import (
    ALL,
    DISRUPTIVE,
    KINDS,
    TRANSPARENT,
    Anchor,
    Fault,
    FaultError,
    Place,
    applicable,
    drawn_kinds,
    kind_class,
    kind_classes,
    make,
)

ON = "client->server:7#1"

# One of each, as the table of faults writes them.
ONE_OF_EACH = [
    "short-recv client->server:7#1 end=server call=1 bytes=2",
    "partial-send client->server:7#1 end=server call=2 bytes=3",
    "would-block server:7 accept call=1",
    "would-block client->server:7#1 recv end=client call=1",
    "split client->server:7#1 end=server byte=5",
    "coalesce client->server:7#1 end=server byte=5 bytes=20",
    "wake server call=3 first=1 keep=2",
    "stall client->server:7#1 end=client byte=0 seconds=0.5",
    "preempt client->server:7#1 end=client recv call=2 seconds=0.05",
    "urgent client->server:7#1 end=server byte=1",
    "urgent client->server:7#1 end=server byte=1 data=\\x00",
    "eof client->server:7#1 end=server byte=0",
    "reset client->server:7#1 end=server byte=5",
    "reset client->server:7#1 end=server getpeername call=1",
    "reset client->server:7#1 end=server recv call=1 when=after",
    "blackhole client->server:7#1 end=server byte=5",
    "refuse client->server:7#1",
    "unreachable client->server:7#1",
    "connect-timeout client->server:7#1",
    "strangers client->server:7#1 data=hello\\x0a count=64",
    "strangers client->server:7#1 count=4 then=stay",
    "reset-before-accept server:7 call=1",
    "error server:7 accept call=1 errno=EMFILE",
    "error client->server:7#1 end=server send call=1 errno=ENOBUFS",
    "error server socket call=1 errno=EMFILE",
    "drop client->server:53 datagram=1",
    "duplicate client->server:53 datagram=1",
    "reorder client->server:53 datagram=1 by=2",
    "delay client->server:53 datagram=1 seconds=1",
    "crash server at=0",
    "restart server at=2.5",
    "pause server at=1 seconds=3",
    "clock-jump server at=1 seconds=-3600",
    "partition client<->server at=1 seconds=3",
    "name-error client lookup=1 errno=EAI_NONAME",
    "name-error client lookup=1 seconds=5",
]


@pytest.mark.parametrize("line", ONE_OF_EACH)
def test_a_fault_is_written_in_one_line(line: str) -> None:
    fault = faults.parse_fault(line)

    words = line.split()
    assert sorted(str(fault).split()) == sorted(words)
    assert faults.parse_fault(str(fault)) == fault
    assert faults.fault_from_table(faults.fault_to_table(fault)) == fault


def test_every_kind_has_a_line_here() -> None:
    assert {line.split()[0] for line in ONE_OF_EACH} == set(KINDS)


@pytest.mark.parametrize("kind", ALL)
def test_a_kind_says_what_it_is(kind: type[Fault]) -> None:
    assert kind.kind == kind.__struct_config__.tag
    assert kind.anchors
    assert set(kind.parameters) <= set(kind.__struct_fields__)
    assert KINDS[kind.kind] is kind
    assert getattr(faults, kind.__name__) is kind


def test_every_kind_is_transparent_or_disruptive_in_the_vocabularys_order() -> None:
    assert (*TRANSPARENT, *DISRUPTIVE) == tuple(KINDS)
    assert TRANSPARENT == ("short-recv", "partial-send", "would-block", "split", "coalesce", "wake", "stall", "preempt")


def test_a_fault_prints_as_python_without_what_is_default() -> None:
    assert (
        repr(faults.WouldBlock(on="server:7", op="accept", call=1))
        == "faults.WouldBlock(on='server:7', op='accept', call=1)"
    )
    assert (
        repr(faults.Stall(ON, end="server", byte=0, seconds=1))
        == f"faults.Stall(on='{ON}', end='server', byte=0, seconds=1.0)"
    )


def test_equal_faults_are_one_key() -> None:
    assert len({faults.Eof(ON, end="server", byte=1), faults.Eof(Place.parse(ON), end="server", byte=1)}) == 1  # type: ignore[arg-type]
    assert faults.Eof(ON, end="server", byte=1) != faults.Split(ON, end="server", byte=1)


def test_a_fault_is_frozen() -> None:
    with pytest.raises(AttributeError):
        faults.Eof(ON, end="server", byte=1).byte = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (faults.Refuse("client->server:7#1"), "the connect client->server:7#1 was refused (ECONNREFUSED)"),
        (faults.Refuse("client->server:7#*"), "each connect client->server:7#* was refused (ECONNREFUSED)"),
        (
            faults.WouldBlock("server:7", op="accept", call=1),
            "the 1st accept on server:7 said EAGAIN, though the listener was reported readable",
        ),
        (
            faults.WouldBlock(ON, op="send", end="client", call=2),
            f"the 2nd send by client on {ON} said EAGAIN, as where there is no room, whatever a poll may have reported",
        ),
        (
            faults.ShortRecv(ON, end="server", call=1, bytes=1),
            f"the 1st recv by server on {ON} returned at most 1 byte, whatever had arrived",
        ),
        (
            faults.Reset(ON, end="server", op="recv", call=1, when="after"),
            f"the connection was reset just after the 1st recv by server on {ON}",
        ),
        (
            faults.Wake("server", call=1, first=1, keep=1),
            "the 1st poll on server began with the one at place 2 of those that were ready and reported only 1 of them",
        ),
        (
            faults.Error("server:7", op="accept", call=1, errno="EMFILE"),
            "the 1st accept on server:7 failed with EMFILE",
        ),
        (
            faults.NameError_("client", lookup=1, errno="EAI_AGAIN", seconds=5),
            "the 1st look-up by client failed with EAI_AGAIN after 5 s",
        ),
    ],
)
def test_a_fault_says_what_the_network_did(fault: Fault, sentence: str) -> None:
    assert fault.sentence() == sentence


@pytest.mark.parametrize(
    ("wrong", "key", "complaint"),
    [
        pytest.param(
            lambda: faults.Eof(ON, end="server", byte=-1),
            "byte",
            "byte=-1 is less than 0; bytes are counted from 0",
            id="negative-byte",
        ),
        pytest.param(
            lambda: faults.ShortRecv(ON, end="server", call=0, bytes=1),
            "call",
            "call=0 is less than 1; calls are counted from 1",
            id="call-0",
        ),
        pytest.param(
            lambda: faults.ShortRecv(ON, end="server", call=1, bytes=0), "bytes", "'would-block'", id="no-bytes"
        ),
        pytest.param(
            lambda: faults.ShortRecv(ON, end="server", call=True, bytes=1), "call", "call=True is bool", id="call-bool"
        ),
        pytest.param(
            lambda: faults.ShortRecv(ON, end="server", call=1.0, bytes=1), "call", "call=1.0 is float", id="call-float"
        ),  # type: ignore[arg-type]
        pytest.param(
            lambda: faults.Eof(ON, end="server", byte=2**63),
            "byte",
            "the largest whole number of TOML",
            id="byte-beyond-toml",
        ),
        pytest.param(
            lambda: faults.Eof(ON, end="sever", byte=1), "end", "end='sever' cannot be; it is 'client'", id="end"
        ),
        pytest.param(
            lambda: faults.Eof("server:7", end="server", byte=1),
            "on",
            "names a listener; it acts on a connection",
            id="form",
        ),
        pytest.param(
            lambda: faults.WouldBlock(ON, op="accept", call=1),
            "on",
            "would-block accept: .* acts on a listener",
            id="form-of-the-op",
        ),
        pytest.param(lambda: faults.WouldBlock(ON, op="recv", call=1), "end", "end is missing", id="no-end"),
        pytest.param(
            lambda: faults.WouldBlock("server:7", op="accept", call=1, end="server"),
            "end",
            "leave it out",
            id="end-of-a-listener",
        ),
        pytest.param(
            lambda: faults.WouldBlock(ON, op="recieve", end="server", call=1), "op", "did you mean 'recv'", id="op"
        ),
        pytest.param(
            lambda: faults.Error("server:7", op="accept", call=1, errno="EMFIEL"),
            "errno",
            "no errno; did you mean 'EMFILE'",
            id="errno",
        ),
        pytest.param(
            lambda: faults.Error("server:7", op="accept", call=1, errno="emfile"),
            "errno",
            "did you mean 'EMFILE'",
            id="errno-lower",
        ),
        pytest.param(
            lambda: faults.Error("server:7", op="accept", call=1, errno="EXDEV"),
            "errno",
            "nothing that accept says",
            id="errno-of-another-call",
        ),
        pytest.param(
            lambda: faults.Error("server:7", op="accept", call=1, errno="EAGAIN"),
            "errno",
            "use would-block",
            id="errno-eagain",
        ),
        pytest.param(
            lambda: faults.Error("server:7", op="accept", call=1, errno=24),
            "errno",
            "errno=24 is int",
            id="errno-number",
        ),  # type: ignore[arg-type]
        pytest.param(
            lambda: faults.Urgent(ON, end="server", byte=1, data=b""), "data", "one byte is urgent", id="no-data"
        ),
        pytest.param(lambda: faults.Urgent(ON, end="server", byte=1, data="!"), "data", "it is bytes", id="data-text"),  # type: ignore[arg-type]
        pytest.param(lambda: faults.Reset(ON, end="server"), "byte", "neither byte nor call", id="reset-nowhere"),
        pytest.param(
            lambda: faults.Reset(ON, end="server", byte=1, op="recv", call=1), "call", "two places", id="reset-twice"
        ),
        pytest.param(lambda: faults.Reset(ON, end="server", call=1), "op", "of which op", id="reset-without-op"),
        pytest.param(
            lambda: faults.Reset(ON, end="server", byte=1, op="recv"), "op", "goes with call", id="reset-op-at-a-byte"
        ),
        pytest.param(
            lambda: faults.Reset(ON, end="server", byte=1, when="after"),
            "when",
            "goes with a call",
            id="reset-after-a-byte",
        ),
        pytest.param(
            lambda: faults.Reset(ON, end="server", op="recv", call=1, when="later"),
            "when",
            "'before' or 'after'",
            id="when",
        ),
        pytest.param(lambda: faults.Wake("server", call=1), "keep", "would answer as ever", id="wake-nothing"),
        pytest.param(lambda: faults.Wake("server", call=1, keep=0), "keep", "never reports nothing", id="wake-none"),
        pytest.param(lambda: faults.Stall(ON, end="server", byte=1, seconds=0), "seconds", "too short", id="no-stall"),
        pytest.param(
            lambda: faults.Stall(ON, end="server", byte=1, seconds=float("nan")), "seconds", "no time", id="nan"
        ),
        pytest.param(
            lambda: faults.Stall(ON, end="server", byte=1, seconds=10**400), "seconds", "at most 9e9", id="for-ever"
        ),
        pytest.param(
            lambda: faults.Stall(ON, end="server", byte=1, seconds="1"),
            "seconds",
            "a number of seconds",
            id="seconds-text",
        ),  # type: ignore[arg-type]
        pytest.param(lambda: faults.Reset(ON, end="server", bite=1), "bite", "did you mean 'byte'", id="no-such-field"),  # type: ignore[call-arg]
        pytest.param(
            lambda: faults.Reset(end="server", byte=1), "on", "on is missing; reset has on, end", id="no-place"
        ),  # type: ignore[call-arg]
        pytest.param(lambda: faults.Reset(ON), "end", "end is missing; reset has on, end", id="no-end"),  # type: ignore[call-arg]
        pytest.param(lambda: faults.Reset(ON, "server", 1), None, "'server' is given without a name", id="no-name"),  # type: ignore[misc]
        pytest.param(lambda: faults.Crash("server", at=-1), "at", "begins at 0", id="before-the-run"),
        pytest.param(lambda: faults.ClockJump("server", at=1, seconds=0), "seconds", "is no jump", id="no-jump"),
        pytest.param(
            lambda: faults.NameError_("client", lookup=1),
            "errno",
            "neither errno nor any seconds",
            id="look-up-as-ever",
        ),
        pytest.param(
            lambda: faults.NameError_("client", lookup=1, errno="EAI_NONE"),
            "errno",
            "did you mean 'EAI_NONAME'",
            id="eai",
        ),
        pytest.param(
            lambda: faults.Coalesce(ON, end="server", byte=1, bytes=1), "bytes", "at least 2", id="coalesce-one"
        ),
        pytest.param(
            lambda: faults.Refuse("client->server:7"), "on", "names a flow; .*'#\\*' for each", id="which-connection"
        ),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(wrong: Callable[[], Fault], key: str, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint) as refused:
        wrong()

    assert refused.value.key == key


@pytest.mark.parametrize("line", [each for each in ONE_OF_EACH if "seconds=" in each])
def test_no_time_in_which_nothing_can_happen_is_taken(line: str) -> None:
    with pytest.raises(FaultError, match=r"seconds=0\.0 is|nor any seconds") as refused:
        faults.parse_fault(re.sub("seconds=[^ ]+", "seconds=0", line))

    assert refused.value.key in ("seconds", "errno")  # with an errno, a look-up may answer at once


@pytest.mark.parametrize("line", [each for each in ONE_OF_EACH if " at=" in each])
def test_no_moment_before_the_run_is_taken(line: str) -> None:
    with pytest.raises(FaultError, match=r"at=-1\.0 is before the run") as refused:
        faults.parse_fault(re.sub("at=[^ ]+", "at=-1", line))

    assert refused.value.key == "at"


@pytest.mark.parametrize(
    "wrong", [lambda: faults.Eof(7, end="server", byte=1), lambda: faults.Eof(ON, end="server", byte="1")]
)  # type: ignore[arg-type]
def test_a_wrong_type_is_a_type_error_too(wrong: Callable[[], Fault]) -> None:
    with pytest.raises(TypeError):
        wrong()


def test_the_base_is_no_fault() -> None:
    with pytest.raises(TypeError, match="make one of them"):
        Fault(ON)


@pytest.mark.parametrize(
    ("line", "key", "complaint"),
    [
        ("", "kind", "names no fault"),
        ("wuold-block server:7 accept call=1", "kind", "did you mean 'would-block'"),
        ("would_block server:7 accept call=1", "kind", "did you mean 'would-block'"),
        ("would-block", "on", "the place is missing"),
        ("would-block accept call=1", "on", "the place is missing; it stands before accept"),
        ("would-block server:7", "op", "op is missing; would-block has on, end, op, call"),
        ("would-block server:7 accept cal=1", "cal", "did you mean 'call'"),
        ("would-block server:7 accept call=one", "call", "no whole number"),
        ("would-block server:7 accept op=accept call=1", "op", "given twice"),
        ("eof client->server:7#1 end=server byte=1 byte=2", "byte", "given twice"),
        ("eof client->server:7#1 server byte=1", None, "'server' has no '='"),
        ("stall client->server:7#1 end=server byte=1 seconds=long", "seconds", "no number of seconds"),
        ("urgent client->server:7#1 end=server byte=1 data=\\n", "data", "a backslash itself is"),
        ("urgent client->server:7#1 end=server byte=1 data=€", "data", "beyond 255"),
    ],
)
def test_a_line_that_cannot_be_read_says_which_word(line: str, key: str | None, complaint: str) -> None:
    with pytest.raises(FaultError, match=re.escape(complaint)) as refused:
        faults.parse_fault(line)

    assert refused.value.key == key


@pytest.mark.parametrize(
    ("table", "key", "complaint"),
    [
        (5, None, "a fault is a table"),
        ({}, "kind", "kind is missing"),
        ({"kind": 5}, "kind", "the name of a kind"),
        ({"kind": "eof", "on": ON, "end": "server", "bite": 1}, "bite", "did you mean 'byte'"),
        ({"kind": "eof", "on": ON, "end": "server"}, "byte", "byte is missing"),
        ({"kind": "eof", "on": ON, "end": "server", "byte": "1"}, "byte", "byte='1' is str"),
        ({"kind": "urgent", "on": ON, "end": "server", "byte": 1, "data": 33}, "data", "it is bytes"),
    ],
)
def test_a_table_that_cannot_be_read_says_which_key(table: object, key: str | None, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint) as refused:
        faults.fault_from_table(table)

    assert refused.value.key == key


def test_an_error_knows_the_kernels_number() -> None:
    assert faults.Error("server:7", op="accept", call=1, errno="EMFILE").code == errno.EMFILE


def test_every_errno_that_an_error_may_say_exists_here() -> None:
    for names in faults.ERRNOS.values():
        for name in names:
            assert os.strerror(getattr(errno, name))


def test_kinds_are_named_or_given_as_classes() -> None:
    assert kind_class("would-block") is kind_class(faults.WouldBlock) is faults.WouldBlock
    assert kind_classes(["eof", faults.Split, "split"]) == (faults.Split, faults.Eof)
    assert kind_classes("eof") == kind_classes(faults.Eof) == (faults.Eof,)
    with pytest.raises(ValueError, match="did you mean 'split'"):
        kind_classes(["spilt"])
    with pytest.raises(TypeError, match="its name, 'eof', or its class"):
        kind_class(faults.Eof(ON, end="server", byte=1))
    with pytest.raises(TypeError, match="a kind of fault is a name"):
        kind_classes([5])


def test_a_whole_class_of_kinds_means_those_that_are_drawn() -> None:
    assert "coalesce" in [kind.kind for kind in drawn_kinds(TRANSPARENT)]
    assert [kind.kind for kind in drawn_kinds(ALL)][-1] == "delay"
    with pytest.raises(ValueError, match="'blackhole' is played where a plan or the kinds of a sweep name it"):
        drawn_kinds(["split", "blackhole"])
    with pytest.raises(ValueError, match="names no kind"):
        drawn_kinds([])


@pytest.mark.parametrize(
    ("anchor", "kinds"),
    [
        pytest.param(
            Anchor("call", Place.parse(ON), "server", "recv", 1),
            "short-recv would-block preempt reset error",
            id="recv",
        ),
        pytest.param(Anchor("call", Place.parse(ON), "server", "getpeername", 1), "reset", id="getpeername"),
        pytest.param(
            Anchor("accept", Place.parse("server:7"), None, "accept", 1),
            "would-block reset-before-accept error",
            id="accept",
        ),
        pytest.param(
            Anchor("byte", Place.parse(ON), "server", None, 1),
            "split coalesce stall urgent eof reset blackhole",
            id="byte",
        ),
        pytest.param(
            Anchor("connect", Place.parse(ON), None, None, 1),
            "refuse unreachable connect-timeout strangers",
            id="connect",
        ),
        pytest.param(Anchor("poll", Place.parse("server"), None, "poll", 1), "wake", id="poll"),
        pytest.param(Anchor("call", Place.parse("server"), None, "socket", 1), "error", id="socket"),
        pytest.param(
            Anchor("time", Place.parse("server"), None, None, 10**9), "crash restart pause clock-jump", id="time"
        ),
    ],
)
def test_the_kinds_that_apply_to_a_point(anchor: Anchor, kinds: str) -> None:
    assert [kind.kind for kind in applicable(anchor)] == kinds.split()


def test_a_fault_is_made_at_a_point() -> None:
    recv = Anchor("call", Place.parse(ON), "server", "recv", 3)
    moment = Anchor("time", Place.parse("server"), None, None, 2_500_000_000)

    assert make("short-recv", recv, bytes=2) == faults.ShortRecv(ON, end="server", call=3, bytes=2)
    assert make(faults.Reset, recv._replace(when="after")) == faults.Reset(
        ON, end="server", op="recv", call=3, when="after"
    )
    assert make("crash", moment) == faults.Crash("server", at=2.5)


def test_a_pattern_is_placed_where_it_struck() -> None:
    struck = faults.Eof("*->*:*#1", end="server", byte=1).placed(Place.parse(ON))

    assert struck == faults.Eof(ON, end="server", byte=1)


def test_the_face_loads_no_simulator() -> None:
    loaded = "import sys, simnet.faults; print([name for name in sys.modules if name.startswith('simnet.') and 'faults' not in name])"

    assert (
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
