"""For tests of how programs end: nobody is left who could complain, so nothing is to be said."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def in_silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Within, nothing is said: no warning, no error in what is collected, no word on any output."""
    said: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, said.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert not said
    assert capfd.readouterr() == ("", "")
