"""What reads the house is itself held to small houses, so that its rules are able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import house
from tests.house import Room


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(house, "ROOT", tmp_path)

    def build(text: str, place: str = "simnet/here/room.py") -> Room:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return Room(path)

    return build


def test_imports_are_found_wherever_they_stand(room) -> None:
    found = room("""
import simnet.clock
from . import beside
from ..above import Name
if TYPE_CHECKING:
    from simnet.world import Network
def later():
    from simnet.wait import wait
""").imports
    assert [(one.target, one.lazy, one.typing_only) for one in found] == [
        ("simnet.clock", False, False),
        ("simnet.here.beside", False, False),
        ("simnet.above.Name", False, False),
        ("simnet.world.Network", False, True),
        ("simnet.wait.wait", True, False),
    ]


def test_a_relative_import_in_a_face_starts_at_the_package_itself(room) -> None:
    assert [one.target for one in room("from .room import X", "simnet/here/__init__.py").imports] == [
        "simnet.here.room.X"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import time\nnow = time.monotonic", [("monotonic", True)]),
        ("import time as t\ndef f(): return t.time()", [("time", False)]),
        ("from time import sleep", [("sleep", True)]),
        ("import time\ndef f(clock=time.monotonic): ...", [("monotonic", True)]),
        ("import time\ndef f(a: time.struct_time) -> time.struct_time: ...", [("struct_time", False)] * 2),
        ("import time\nclass A:\n    clock = time.monotonic", [("monotonic", True)]),
        ("import time\nlater = lambda: time.time()", [("time", False)]),
        ("import timer\ntimer.time()", []),
    ],
)
def test_a_use_of_a_module_is_seen_and_when_it_happens(room, text: str, expected: list[tuple[str, bool]]) -> None:
    assert [(use.name, use.at_import) for use in room(text).uses("time")] == expected


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}: pass",
        "names: set[str] = f()\nfor x in names: pass",
        "class A:\n    def __init__(self): self.left = set()\n    def f(self): return list(self.left)",
        "def f(a: set[int], b: list[int]): return [x for x in a]",
        "a = set()\nprint(*a)",
        "a = frozenset(b)\n','.join(a)",
        "a = set()\na.pop()",
        "a = set()\nfor x in a - b: pass",
        "a = set()\n{x: 1 for x in a}",
    ],
)
def test_a_walk_over_a_set_is_seen(room, text: str) -> None:
    assert len(list(room(text).set_iterations())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a = set()\nfor x in sorted(a): pass",
        "a = set()\nany(x > 1 for x in a)",
        "a = set()\nx in a; len(a); a.add(1); a |= {x for x in a}",
        "a = {}\nfor x in a: pass",
        "a = []\na.pop()",
        "def f(b: dict[str, set[int]]): return [x for x in b]",
    ],
)
def test_what_does_not_show_the_order_of_a_set_passes(room, text: str) -> None:
    assert list(room(text).set_iterations()) == []
