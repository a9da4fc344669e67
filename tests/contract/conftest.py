"""The fixture of the contracts: ``world`` is the kernel, then simnet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.worlds import World, open_world, unprivileged

WORLDS = ("kernel", "simnet")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only_on")
        metafunc.parametrize("world", WORLDS if only is None else [only.args[0]], indirect=True)


@pytest.fixture(autouse=True)
def nobody_special() -> Iterator[None]:
    """Who runs a contract, simulated or not, has no privilege of the network."""
    with unprivileged():
        yield


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as opened:
        yield opened
