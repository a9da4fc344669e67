"""What a ladder shows of a trace, and where it begins."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.report.ladder import ladder
from simnet.explore.report.phrases import answer, call_phrase, segment_phrase
from simnet.trace import Event, Failed, Trace

PLACE = "test->server:7#1"
MS = 1_000_000


def trace_of(*entries: tuple[Any, ...]) -> Trace:
    trace = Trace()
    trace.entries.extend(entries)  # type: ignore[arg-type]
    return trace


def call(ms: int, host: str, place: str, op: str, n: int, arguments: tuple[Any, ...], result: Any) -> tuple[Any, ...]:
    end = "" if "->" not in place else "client" if host == "test" else "server"
    return (ms * MS, "call", host, place, end, op, n, (arguments, result, True))


def sent(ms: int, host: str, op: str, payload: bytes = b"", offset: int = 0) -> tuple[Any, ...]:
    towards = "server" if host == "test" else "client"
    return (ms * MS, "segment", host, PLACE, towards, op, offset, (payload, (ms + 1) * MS))


WAKE = (1 * MS, "wake", "server", "server/serve", "", "readiness of", 0, True)

CONNECT = (
    sent(0, "test", "SYN"),
    sent(1, "server", "SYN ACK"),
    call(2, "test", PLACE, "connect", 1, (("10.0.0.2", 7),), None),
)
POLL = call(1, "server", "server poll", "poll", 1, (None,), ("server:7 IN",))
ACCEPT = call(1, "server", "server:7", "accept", 1, (), ("10.0.0.1", 32768))
BASELINE = trace_of(
    *CONNECT, WAKE, POLL, ACCEPT, call(2, "test", PLACE, "send", 1, (b"hello",), 5), sent(2, "test", "data", b"hello")
)
BLOCK = (1 * MS, "fault", "", "server:7", "", "would-block", 1, "would-block server:7 accept call=1")
FAILS = trace_of(
    *CONNECT, WAKE, POLL, BLOCK,
    call(1, "server", "server:7", "accept", 1, (), Failed("EAGAIN")),
    (1 * MS, "handler", "server", "server:7", "", "handle_accept", 0, "TypeError"),
)  # fmt: skip


def test_a_difference_is_shown_with_what_the_baseline_said_there() -> None:
    drawn = ladder(FAILS, against=BASELINE)
    lines = drawn.splitlines()
    assert lines[0].split() == ["seconds", "test", "server"]
    equal = next(place for place, line in enumerate(lines) if "equal to the baseline up to here (5 events)" in line)
    assert "accept EAGAIN  ⚡ baseline: accepted 10.0.0.1:32768" in lines[equal + 1]
    assert "TypeError in handle_accept" in lines[equal + 2]
    assert not any("readiness" in line for line in lines)  # nobody wants to read wake-ups


def test_segments_are_arrows_from_sender_to_receiver_in_the_row_of_their_call() -> None:
    drawn = ladder(
        trace_of(sent(2, "test", "data", b"hello"), call(2, "test", PLACE, "send", 1, (b"hello",), 5)),
        whole=True,
        hosts=["test", "server"],
    )
    row = drawn.splitlines()[1]
    assert row.split()[:3] == ["0.002", "send", "b'hello'"]
    assert row.rstrip().endswith("▶")
    back = ladder(
        trace_of(sent(3, "server", "FIN"), call(3, "server", PLACE, "close", 1, (), None)),
        whole=True,
        hosts=["test", "server"],
    )
    row = back.splitlines()[1]
    assert row.split()[1].startswith("◀")
    assert row.rstrip().endswith("close")
    assert row.index("close") == back.splitlines()[0].index("server")


def test_no_line_is_wider_than_asked() -> None:
    for width in (80, 100, 120):
        for trace, against in ((FAILS, BASELINE), (BASELINE, None)):
            drawn = ladder(trace, against=against, width=width)
            assert max(map(len, drawn.splitlines())) <= width


def test_without_unicode_it_is_ascii() -> None:
    drawn = ladder(FAILS, against=BASELINE, unicode=False)
    assert drawn.isascii()
    assert "accept EAGAIN  ! baseline: accepted" in drawn


def test_a_long_way_to_the_difference_is_told_by_its_length() -> None:
    polls = [call(1, "server", "server poll", "poll", n, (0,), ("x IN",)) for n in range(1, 41)]
    before = trace_of(*polls, *BASELINE.entries)
    after = trace_of(*polls, *FAILS.entries)
    drawn = ladder(after, against=before)
    assert "equal to the baseline up to here (45 events)" in drawn
    assert len(drawn.splitlines()) < 16
    assert "⋮" in drawn


def test_what_is_loud_is_shown_however_late_it_comes() -> None:
    polls = [call(1, "server", "server poll", "poll", n, (0,), (f"x{n} IN",)) for n in range(2, 60)]
    late = (9 * MS, "process", "server", "server/serve", "", "end", 0, "ValueError")
    drawn = ladder(trace_of(*FAILS.entries, *polls, late), against=BASELINE)
    assert "server/serve ended: ValueError" in drawn.splitlines()[-1]
    *_, gap, first, second, third, fourth, _ = drawn.splitlines()
    assert "⋮" in gap
    assert all("poll x" in line for line in (first, second, third, fourth))  # what led to it


def test_a_fault_on_the_wire_has_a_row_of_its_own() -> None:
    reset = (2 * MS, "fault", "", PLACE, "server", "reset", 3, f"reset {PLACE} end=server byte=3")
    drawn = ladder(trace_of(*CONNECT, reset, sent(2, "test", "RST")), against=trace_of(*CONNECT))
    (row,) = (line for line in drawn.splitlines() if "⚡" in line)
    assert "⚡ reset before byte 3" in row


def test_the_reset_by_which_a_fault_refuses_is_drawn_as_one_from_the_host_that_is_asked() -> None:
    refuse = (0, "fault", "", PLACE, "", "refuse", 1, f"refuse {PLACE}")
    reset = (0, "segment", "", PLACE, "client", "RST", 0, (b"", 2 * MS))
    drawn = ladder(trace_of(sent(0, "test", "SYN"), refuse, reset, WAKE), against=trace_of(*CONNECT))
    (row,) = (line for line in drawn.splitlines() if "RST" in line)
    assert row.split()[0] == "0.000"
    assert "◀" in row
    assert "test" not in row


def test_nothing_arrives_from_a_byte_on() -> None:
    hole = (2 * MS, "fault", "", PLACE, "server", "blackhole", 3, f"blackhole {PLACE} end=server byte=3")
    assert "⚡ nothing arrives any more from byte 3 on" in ladder(trace_of(*CONNECT, hole))


def test_more_hosts_than_fit_become_a_list() -> None:
    events = [call(n, f"host{n}", f"host{n}:7", "accept", 1, (), Failed("EAGAIN")) for n in range(6)]
    lines = ladder(trace_of(*events), whole=True, width=100).splitlines()
    assert lines[0].split()[:2] == ["seconds", "hosts:"]
    assert lines[3].split() == ["0.002", "host2", "accept", "EAGAIN"]


def test_the_end_is_told_if_there_is_something_to_tell() -> None:
    drawn = ladder(FAILS, against=BASELINE, last=("server", "TypeError  tutorial_server.py:71"))
    assert drawn.splitlines()[-1].endswith("TypeError in handle_accept  tutorial_server.py:71")
    # Of the body's exception the trace says nothing: it stands after the last that its host did.
    drawn = ladder(FAILS, against=BASELINE, last=("test", "AssertionError  test_echo.py:9")).splitlines()
    (place,) = (number for number, line in enumerate(drawn) if line.endswith("AssertionError  test_echo.py:9"))
    assert "connect server:7" in drawn[place - 1]


def test_with_nothing_to_compare_the_rows_lead_to_the_end_that_is_told() -> None:
    """What ticked for five minutes after the test has failed is not what one looks for."""
    polls = [call(1000 * n, "server", "server poll", "poll", n, (0,), (f"{n} IN",)) for n in range(2, 60)]
    drawn = ladder(trace_of(*polls[:30], *FAILS.entries, *polls), last=("test", "AssertionError  test_echo.py:9"))
    lines = drawn.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.endswith("AssertionError  test_echo.py:9"))
    assert "connect server:7" in lines[place - 1]
    assert lines[0].split() == ["seconds", "test", "server"]
    assert "⋮" in lines[1]
    assert len(lines) <= 2 + 20 + 6  # some of those after it are loud
    slept = (3_500 * MS, "wake", "observer", "observer", "", "time to pass", 0, False)
    lines = ladder(trace_of(*polls, slept), last=("observer", "AssertionError")).splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.endswith("AssertionError"))
    assert [line.split()[0] for line in lines[place - 1 : place + 2]] == ["3.000", "3.500", "⋮"]


def test_a_fault_that_comes_again_and_again_is_counted_as_well() -> None:
    fault = (0, "fault", "", "server:7", "", "error", 1, "error server:7 accept call=1 errno=EMFILE")
    failed = call(0, "server", "server:7", "accept", 1, (), Failed("EMFILE"))
    closed = call(0, "server", "server:7", "close", 1, (), None)
    lines = ladder(trace_of(*CONNECT, *(fault, failed, closed) * 100), against=trace_of(*CONNECT)).splitlines()
    assert lines[-1].strip() == "⋮  the same 98 times more"
    assert sum("accept EMFILE" in line for line in lines) == 2


def test_what_goes_round_is_shown_twice_and_counted() -> None:
    def rounds(count: int) -> Trace:
        spins = [
            each
            for n in range(count)
            for each in (
                call(n, "server", "server poll", "poll", n, (0,), ("x IN",)),
                call(n, "server", PLACE, "recv", n, (100,), b""),
            )
        ]
        return trace_of(*CONNECT, *spins)

    lines = ladder(rounds(200), last=("server", "Spin")).splitlines()
    assert [line.split(maxsplit=1)[1:] for line in lines if "poll" in line or "recv" in line] == [
        ["poll x IN"],
        ["recv b''  (end of input)"],
    ] * 2
    assert lines[-2:] == ["          ⋮  the same 198 times more, until 0.199", lines[-1]]
    assert "Spin" in lines[-1]
    assert len(ladder(rounds(4)).splitlines()) == 1 + len(ladder(trace_of(*CONNECT)).splitlines()[1:]) + 8
    assert "the same" not in ladder(rounds(200), whole=True)
    # What only one of two runs has stands on its own side of the line between them.
    lines = ladder(rounds(200), against=rounds(100)).splitlines()
    assert [line.split("⋮  ")[1] for line in lines if "⋮  the same" in line] == [
        "the same 98 times more, until 0.099",
        "the same 98 times more, until 0.199",
    ]


def test_rounds_of_one_attempt_after_the_other_are_the_same_though_each_has_a_connection_of_its_own() -> None:
    attempts = [
        call(n, "client", f"client poll {step}", "poll", n, (0,), (f"client->server:7#{n} OUT",))
        for n in range(100)
        for step in range(8)  # rows: what trio does for each
    ]
    lines = ladder(trace_of(*attempts)).splitlines()
    assert [line.split("⋮  ")[1] for line in lines if "⋮" in line] == ["the same 798 times more, until 0.099"]


@pytest.mark.parametrize(
    ("event", "phrase"),
    [
        (call(0, "test", PLACE, "connect", 1, (("10.0.0.2", 7),), None), "connect server:7"),
        (
            call(0, "test", PLACE, "connect", 1, (("10.0.0.2", 7),), Failed("ECONNREFUSED")),
            "connect server:7  ECONNREFUSED",
        ),
        (call(0, "test", PLACE, "send", 1, (b"hello",), 5), "send b'hello'"),
        (call(0, "test", PLACE, "send", 1, (b"hello",), 3), "send 3 of 5 B  b'hello'"),
        (call(0, "test", PLACE, "send", 1, (b"hello",), Failed("EPIPE")), "send EPIPE"),
        (call(0, "test", PLACE, "recv", 1, (9,), b""), "recv b''  (end of input)"),
        (call(0, "test", PLACE, "recv", 1, (9,), b"x" * 5000), "recv b'xxxxxxxxxx…' 5,000 B"),
        (call(0, "test", PLACE, "recv", 1, (9,), b"it's as long"), 'recv b"it\'s as long"'),
        (call(0, "test", PLACE, "recv", 1, (9,), b"it's " * 1000), "recv b\"it's it's …\" 5,000 B"),
        (call(0, "test", PLACE, "shutdown", 1, (1,), None), "shutdown SHUT_WR"),
        (call(0, "server", "server:7", "close", 1, (), None), "close server:7"),
        (call(0, "server", "server poll", "poll", 0, (None,), ()), "poll nothing"),
        (call(0, "server", "server:7", "accept", 1, (), ("::1", 5)), "accept [::1]:5"),
    ],
)
def test_each_call_is_told_in_a_few_words(event: tuple[Any, ...], phrase: str) -> None:
    assert call_phrase(Event._make(event)) == phrase


def test_an_arrow_carries_flags_and_payload() -> None:
    assert segment_phrase(Event._make(sent(0, "test", "SYN"))) == "SYN"
    assert segment_phrase(Event._make(sent(0, "test", "data", b"hi"))) == "b'hi'"
    assert answer(Event._make(POLL)) == "server:7 IN"


@pytest.mark.parametrize("width", [60, 80, 110])
def test_what_a_fault_did_is_told_in_whole_whatever_the_column(width: int) -> None:
    towards = "client"
    stall = (
        1 * MS,
        "fault",
        "",
        PLACE,
        towards,
        "stall",
        12345,
        f"stall {PLACE} end={towards} byte=12345 seconds=0.001",
    )
    drawn = ladder(trace_of(*CONNECT, stall), hosts=["server", "other", "test"], whole=True, width=width)
    (row,) = (line for line in drawn.splitlines() if "⚡" in line)
    assert row.endswith("⚡ stalled for 0.001 s before byte 12,345")
    assert row.lstrip()[0].isdigit()
    assert len(row) <= width
