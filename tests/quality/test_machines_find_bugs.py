"""A state machine finds what takes several clients in a certain order, and makes the order short; the corrected server passes it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

import dispatch
from simnet.explore.raising import SweepFailure
from simnet.stateful import Client, NetworkMachine

pytestmark = pytest.mark.slow

SEARCH = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
PASSES = settings(SEARCH, max_examples=60)


def steps(machine: type[NetworkMachine]) -> tuple[BaseException, list[str]]:
    """What *machine* finds, and the steps to it, by their names and clients."""
    with pytest.raises(BaseException) as caught:  # which one, the test says
        run_state_machine_as_test(machine, settings=SEARCH)
    lines = [line for note in caught.value.__notes__ for line in note.splitlines() if "state." in line]
    return caught.value, [line for line in lines if "begin" not in line and "teardown" not in line]


# ---- one that counts its guests -------------------------------------------------------------------------------------


class Member(dispatch.Chat):
    """Each line that one says, all others hear."""

    terminator = b"\n"
    max_message = 100_000

    def __init__(self, *args: Any, room: list[Member], **options: Any) -> None:
        super().__init__(*args, **options)
        self.room = room
        self.seat = len(room)
        room.append(self)

    def handle_message(self, message: bytes) -> None:
        for other in self.room:
            if other is not self:
                other.write(message + b"\n")

    def handle_close(self, reason: object) -> None:
        self.room.remove(self)


class Seated(Member):
    def handle_close(self, reason: object) -> None:
        del self.room[self.seat]  # where it was when it came


def meet(port: int, member: type[Member]) -> None:
    room: list[Member] = []
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), lambda *given, **options: member(*given, room=room, **options), loop=loop)
        loop.run()


class Room(NetworkMachine):
    member: ClassVar[type[Member]] = Member
    payloads = st.sampled_from([b"\n", b"a", b"b\n"])

    def start(self) -> None:
        self.net.host("server").spawn(meet, 7, self.member)

    def end(self) -> None:
        """Whatever was heard, somebody else had said."""
        for client in self.clients:
            said = [line for other in self.clients if other is not client for line in other.sent.split(b"\n")[:-1]]
            for line in client.received.split(b"\n")[:-1]:
                assert line in said
                said.remove(line)


def test_a_room_that_loses_count_when_the_first_to_come_leaves_first_is_found_in_as_few_steps_as_it_takes() -> None:
    class Careless(Room):
        member = Seated

    error, taken = steps(Careless)
    assert isinstance(error, IndexError)
    assert "in handle_close of" in error.__notes__[0]
    comes = [step for step in taken if "connect" in step]
    leaves = [step for step in taken if "close" in step or "abort" in step]
    assert (len(comes), len(leaves)) == (2, 2)
    assert len(taken) <= 6, taken


def test_the_corrected_room_passes_the_same_machine() -> None:
    run_state_machine_as_test(Room, settings=PASSES)


# ---- one that has one buffer for all --------------------------------------------------------------------------------


def capitals(port: int, one_for_all: bool) -> None:
    """Each line comes back in capitals."""
    shared = bytearray()

    class Shout(dispatch.Stream):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.pending = shared if one_for_all else bytearray()

        def handle_data(self, data: bytes) -> None:
            self.pending += data
            *lines, rest = bytes(self.pending).split(b"\n")
            self.pending[:] = rest
            for line in lines:
                self.write(line.upper() + b"\n")

    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Shout, loop=loop)
        loop.run()


class Shouting(NetworkMachine):
    one_for_all: ClassVar[bool] = False

    def start(self) -> None:
        self.net.host("server").spawn(capitals, 7, self.one_for_all)

    def answer(self, client: Client) -> bytes:
        return b"".join(line.upper() + b"\n" for line in client.sent.split(b"\n")[:-1])


def test_a_buffer_that_all_clients_share_is_found_by_one_that_gets_what_another_has_said() -> None:
    class OneForAll(Shouting):
        one_for_all = True

    error, taken = steps(OneForAll)
    assert isinstance(error, SweepFailure)
    assert "its answer is b" in str(error)
    assert [step for step in taken if "connect" in step] == [
        "clients_0 = state.connect()",
        "clients_1 = state.connect()",
    ]
    assert next(step for step in taken if "send" in step).startswith("state.send(client=clients_")
    assert len(taken) <= 7, taken


def test_a_buffer_for_each_passes_the_same_machine() -> None:
    run_state_machine_as_test(Shouting, settings=PASSES)
