"""From a plan that fails to the smallest that fails in the same way."""

from __future__ import annotations

import random
import socket
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.shrink import Shrunk, judged, shrink
from simnet.faults.plan import FaultPlan
from simnet.run import play
from tests.quality import servers

SERVER = SweepOptions.of(target="server")
PAYLOAD = bytes(range(64, 104))


def loses_its_tail(net: Any) -> None:
    """The server takes what ``send`` was given for what it sent."""
    net.host("server").spawn(servers.SendsAll().serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(PAYLOAD)
        sock.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: sock.recv(4096), b""))
    assert reply == PAYLOAD


def shrunk(plan: str, plays: int = 200) -> Shrunk:
    baseline = play(loses_its_tail, target="server")
    start = FaultPlan.parse(plan)
    run, judgement = judged(loses_its_tail, start, baseline, SERVER)
    assert judgement.status == "failure"
    small = shrink(loses_its_tail, Shrunk(start, run, judgement, 0), baseline, SERVER, plays=plays)
    assert small.judgement.key == judgement.key
    assert small.run.plan == small.plan
    return small


CONNECTION = "test->server:7#1"
CULPRIT = f"partial-send {CONNECTION} end=server call=1 bytes=30"


def test_faults_that_have_no_part_in_it_are_dropped_and_numbers_go_down() -> None:
    small = shrunk(
        f"split {CONNECTION} end=server byte=35; {CULPRIT}; stall {CONNECTION} end=client byte=5 seconds=0.5"
    )
    assert str(small.plan) == f"partial-send {CONNECTION} end=server call=1 bytes=1"
    assert small.plays < 60


def test_a_fault_that_only_made_room_for_another_is_dropped_with_the_room() -> None:
    # What comes late is read and sent by itself: the send that is cut is the 2nd, where the 1st would do.
    late = f"stall {CONNECTION} end=server byte=3 seconds=0.05"
    for other in (late, f"{late}; split {CONNECTION} end=server byte=9"):
        small = shrunk(f"{other}; partial-send {CONNECTION} end=server call=2 bytes=1")
        assert str(small.plan) == f"partial-send {CONNECTION} end=server call=1 bytes=1"
    assert small.plays < 30


def test_the_smallest_plan_stays_as_it_is() -> None:
    small = shrunk(f"partial-send {CONNECTION} end=server call=1 bytes=1")
    assert str(small.plan) == f"partial-send {CONNECTION} end=server call=1 bytes=1"


def test_plays_are_bounded_and_what_was_reached_by_then_is_kept() -> None:
    small = shrunk(f"split {CONNECTION} end=server byte=35; {CULPRIT}", plays=2)
    assert small.plays == 2
    assert str(small.plan) == CULPRIT  # the boldest steps come first: without the one, without the other


def test_a_plan_of_which_a_part_is_never_reached_is_not_small() -> None:
    small = shrunk(f"{CULPRIT}; stall {CONNECTION} end=client byte=0 seconds=0.5")
    assert small.run.unreached == ()


def test_a_seed_without_which_nothing_fails_is_kept() -> None:
    # With seed 1 the server replies to what it read first; with seed 0 it reads twice, and the test ends with another number.
    def reads_twice_at_times(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
            said = conn.recv(100)
            if random.random() < 0.5:
                said += conn.recv(100)
            conn.sendall(said)
            while conn.recv(100):
                """What is left is read, so that nothing is reset."""

    def asks(net: Any) -> tuple[float, bytes]:
        net.host("server").spawn(reads_twice_at_times, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            return random.random(), sock.makefile("rb").read()

    start = FaultPlan.parse(f"short-recv {CONNECTION} end=server call=1 bytes=2; seed=1")
    baseline = play(asks, "no faults; seed=1", target="server")
    run, judgement = judged(asks, start, baseline, SERVER)
    small = shrink(asks, Shrunk(start, run, judgement, 0), baseline, SERVER)
    assert str(small.plan) == f"short-recv {CONNECTION} end=server call=1 bytes=1; seed=1"
