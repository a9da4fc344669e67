"""A `teardown` of a user's own: what it forgets is done, and said."""

from __future__ import annotations

import pytest

import simnet
from tests.simnet.test_stateful import Machine, failure, run


def test_one_that_does_not_call_the_machines_own_is_told_so() -> None:
    class Forgets(Machine):
        def teardown(self) -> None:
            """It should end with super().teardown()."""

    error = failure(Forgets)
    assert isinstance(error, TypeError)
    assert str(error).endswith(
        "Forgets.teardown has not called super().teardown(), which leaves the network and raises what failed in it"
    )
    with simnet.Network():
        """It has been left: else this would be refused."""


def test_one_that_raises_before_it_does_is_told_by_what_it_raised() -> None:
    class Fails(Machine):
        def teardown(self) -> None:
            raise LookupError("a file of mine")

    assert isinstance(failure(Fails), LookupError)
    with simnet.Network():
        """It has been left."""


@pytest.mark.slow
def test_one_of_a_class_between_or_beside_is_enough() -> None:
    ended: list[str] = []

    class Between(Machine):
        def teardown(self) -> None:
            ended.append("between")
            super().teardown()

    class Beside:
        def teardown(self) -> None:
            ended.append("beside")
            super().teardown()  # type: ignore[misc]  # what comes after it

    class Both(Beside, Between):
        def teardown(self) -> None:
            ended.append("both")
            super().teardown()

    class Inherits(Beside, Between):
        """It has none of its own."""

    run(Both)
    assert ended[:4] == ["both", "beside", "between", "both"]
    ended.clear()
    run(Inherits)
    assert ended[:3] == ["beside", "between", "beside"]
