"""Packages that bring loops or threads of their own: they do not run in a simulation, and that is said in a sentence, soon."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet import blame


@pytest.mark.slow
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_a_loop_that_asks_the_real_kernel_is_stopped_after_a_second_and_named(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simnet.watchdog.FOREIGN_SECONDS", 0.2)
    names: dict[str, Any] = {"__name__": f"{library}.hub"}
    exec("def run():\n    while True:\n        pass", names)
    with pytest.raises(simnet.Hang, match=f"server/run waits in a loop of {library}'s") as caught:
        with simnet.Network() as net:
            net.host("server").spawn(names["run"])
    assert "such programs do not run in one" in str(caught.value)


def package(folder: Path) -> Any:
    """An installed package that starts a process."""
    path = folder / "forking.py"
    path.write_text("def go(make):\n    make()\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("forking", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_process_that_a_package_starts_is_refused_with_the_line_of_the_users_that_called_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blame, "_SITE", (str(tmp_path),))
    forking = package(tmp_path)
    line = sys._getframe().f_lineno + 5
    with (
        pytest.raises(
            simnet.Escape,
            match=rf"reached for os.fork at forking\.py:2 in go, called at test_other_loops\.py:{line + 3} in test_a_process",
        ),
        simnet.Network(),
    ):
        forking.go(os.fork)
