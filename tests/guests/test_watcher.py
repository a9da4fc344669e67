"""pyinotify, a watcher of files: no socket at all, an inotify descriptor in a ``file_dispatcher``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.guests.conftest import CHECK, Host

WATCHER = """
import pyinotify

class Said(pyinotify.ProcessEvent):
    def process_default(self, event):
        print(event.maskname, event.name, flush=True)

manager = pyinotify.WatchManager()
notifier = pyinotify.AsyncNotifier(manager, Said())
assert isinstance(notifier, asyncore.file_dispatcher)
manager.add_watch({folder!r}, pyinotify.IN_CREATE | pyinotify.IN_CLOSE_WRITE | pyinotify.IN_DELETE)
print("watching", flush=True)
asyncore.loop()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")
def test_what_happens_to_a_file_is_told_in_order(host: Host, tmp_path: Path) -> None:
    watcher = host("pyinotify", CHECK + WATCHER.format(folder=str(tmp_path)))
    assert watcher.line() == "watching"

    (tmp_path / "note").write_text("G", encoding="utf-8")
    (tmp_path / "note").unlink()

    said = [watcher.line() for _ in range(3)]
    assert said == ["IN_CREATE note", "IN_CLOSE_WRITE note", "IN_DELETE note"]
