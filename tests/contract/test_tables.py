"""Every call in every state: the tables of `tables/` hold, cell by cell, on the kernel and on simnet."""

from __future__ import annotations

import pytest

from tests.contract.states import TABLES
from tests.contract.tables import calls_of, cell, readiness, recorded
from tests.contract.worlds import World, open_world

ROWS = [(table, state) for table, (states, _) in TABLES.items() for state in states]


@pytest.mark.parametrize(("table", "state"), ROWS, ids=[f"{table}-{state}" for table, state in ROWS])
@pytest.mark.parametrize("where", ["kernel", "simnet"])
def test_every_call_answers_as_measured(where: str, table: str, state: str) -> None:
    row = recorded(table)[state]
    wrong = []
    for call in calls_of(table, state):
        for patient in (False, True):  # over loopback nearly everything has arrived when a call returns
            with open_world(where) as world:
                found = cell(world, table, state, call, patient=patient)
            if found == row[call]:
                break
        else:
            wrong.append(f"{call}: {found}\n    recorded: {row[call]}")
    assert not wrong, f"{table} {state}\n" + "\n".join(wrong)


@pytest.mark.parametrize(("table", "state"), ROWS, ids=[f"{table}-{state}" for table, state in ROWS])
def test_k002_every_state_shows_the_mask_it_was_measured_with(world: World, table: str, state: str) -> None:
    assert readiness(world, table, state) == recorded(table)[state]["readiness"]


def test_every_state_and_call_has_its_cell() -> None:
    for table, (states, _) in TABLES.items():
        assert {state: {"readiness", *calls_of(table, state)} for state in states} == {
            state: set(row) for state, row in recorded(table).items()
        }
