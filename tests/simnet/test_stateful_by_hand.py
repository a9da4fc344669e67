"""What rules of a user's do to a machine's network by hand is no fault of the server's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis.stateful import rule

from simnet.stateful import NetworkMachine
from tests.simnet.test_stateful import Machine, failure, run, serve

Struck = Callable[[NetworkMachine], object]


def machine(strikes: Struck) -> type[NetworkMachine]:
    class Struck(Machine):
        faults = None
        timeout = 5

        @rule()
        def strike(self) -> None:
            strikes(self)

    return Struck


def crash(machine: NetworkMachine) -> None:
    machine.net.host("server").crash()


def restart(machine: NetworkMachine) -> None:
    machine.net.host("server").restart()


def begin_again(machine: NetworkMachine) -> None:
    restart(machine)
    machine.net.host("server").spawn(serve, 7)


def part(machine: NetworkMachine) -> None:
    machine.net.partition("test", "server")
    machine.net.run(1_000)  # the kernels have given up by then
    machine.net.heal()


@pytest.mark.slow
@pytest.mark.parametrize("strikes", [crash, restart, begin_again, part])
def test_what_a_rule_has_crashed_or_cut_off_owes_no_answer_and_need_not_listen(strikes: Struck) -> None:
    run(machine(strikes))


@pytest.mark.slow
def test_what_came_up_again_still_owes_the_beginning_of_the_right_answer() -> None:
    class Confused(machine(begin_again)):  # type: ignore[misc]
        def answer(self, client: object) -> bytes:
            return b"something else"

    assert "its answer is b'something else'" in str(failure(Confused))


@pytest.mark.slow
def test_a_host_that_stands_still_or_has_another_clock_owes_all_of_it() -> None:
    class Late(machine(lambda machine: machine.net.host("server").pause(1))):  # type: ignore[misc]
        moves = ("connect", "send", "wait")

        def answer(self, client: object) -> bytes:
            return client.sent + b"and more"  # type: ignore[attr-defined,no-any-return]

    assert "and no more; its answer is" in str(failure(Late))
