"""``simnet doctor``: what this machine allows, and whether a run repeats here; the first lines of a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import select
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from simnet import real
from simnet.faces.screen import Screen
from simnet.project.nodeid import project_root
from simnet.run import play

__all__ = ["digest_here", "examine"]

PACKAGES: Final = ("simnet-dispatch", "greenlet", "msgspec", "hypothesis", "pytest", "click", "rich", "tomlkit")
POLLERS: Final = ("select", "poll", "epoll", "kqueue")
MANY: Final = 100  # simulations, to see how fast they are
SEEDS: Final = ("0", "1")  # of two interpreters' hashes
Told = tuple[bool | None, str]  # fine or not, None if it matters little; and what there is to say


def examine() -> int:
    """Tell what is fine here and what is not; 1 if something is not."""
    screen = Screen()
    sick = 0
    for name, look in _LOOKS:
        try:
            well, told = look()
        except Exception as error:  # noqa: BLE001  # whatever it is, that is the finding
            well, told = False, f"{type(error).__name__}: {error}"
        sick += well is False
        word, style = {True: ("fine", "green"), None: ("note", "yellow"), False: ("NOT", "bold red")}[well]
        screen.say(f"{word:<6}{name:<13}{told}", style)
    screen.say()
    screen.say("all is fine" if not sick else f"{sick} of {len(_LOOKS)} are not", "bold red" if sick else "bold green")
    return int(bool(sick))


def conversation(net: Any) -> bytes:
    """A client and a server, one of each, in any world."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                while data := conn.recv(100):
                    conn.sendall(data.upper())

    net.host("server").spawn(serve)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


def digest_here() -> str:
    """Of a run in this interpreter."""
    run = play(conversation)
    assert run.outcome.returned == b"HELLO", run.outcome
    return run.digest


def _python() -> Told:
    version = f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    return sys.implementation.name == "cpython" or None, version


def _system() -> Told:
    text = f"{platform.system()} {platform.release()}, {os.cpu_count()} processors"
    return (True, text) if sys.platform == "linux" else (None, f"{text}; simnet is tried on Linux alone")


def _packages() -> Told:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not there")
    well = not any(each.endswith("there") for each in found)
    return well, ", ".join(found) + ("" if well else '; pip install "simnet-dispatch[simnet]"')


def _pollers() -> Told:
    return True, ", ".join(name for name in POLLERS if hasattr(select, name))


def _descriptors() -> Told:
    limit = real.getrlimit(real.RLIMIT_NOFILE)[0]
    return limit >= 256 or None, f"{limit:,} a process (ulimit -n)"


def _loopback() -> Told:
    for address in ("127.0.0.1", "127.0.0.2"):  # RealNetwork gives each host one of its own
        if (error := _refused(socket.AF_INET, address)) is not None:
            return False, f"{address}: {error.strerror}; replay --real, conform and RealNetwork need 127.0.0.0/8"
    return True, "127.0.0.0/8 is ours"


def _loopback6() -> Told:
    error = _refused(socket.AF_INET6, "::1")
    return (True, "::1") if error is None else (None, f"::1: {error.strerror}; simulated hosts have IPv6 all the same")


def _refused(family: int, address: str) -> OSError | None:
    try:
        with socket.socket(family) as sock:
            sock.bind((address, 0))
    except OSError as error:
        return error
    return None


def _folder() -> Told:
    here = Path.cwd()
    try:
        root = project_root(here / "any.py")
    except ValueError:
        return None, f"{here} is in no project: a pyproject.toml, or a folder `scenarios`, says where one begins"
    if os.access(root, os.W_OK):
        return True, f"{root} is the project; failures go to its .simnet/failures"
    return None, f"{root} cannot be written to: failures are reported, but not saved"


def _repeats() -> Told:
    code = "from simnet.faces.commands.examining import digest_here; print(digest_here())"
    digests = [digest_here(), digest_here()]
    ours = str(Path(__file__).resolve().parents[3])  # and not the current folder: it may have a select.py of its own
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    for seed in SEEDS:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        digests.append(done.stdout.strip() or done.stderr.strip().rpartition("\n")[2])
    if len({*digests}) == 1:
        return True, f"four runs in three processes are the same, {digests[0][:8]}"
    return False, f"runs differ: {', '.join(each[:8] for each in digests)}"


def _real_sockets() -> Told:
    from simnet.realnet import play_real

    run = play_real(conversation)
    return run.outcome.returned == b"HELLO" and not run.verdicts, f"a conversation on them gives {run.outcome}"


def _speed() -> Told:
    begun = real.perf_counter()
    for _ in range(MANY):
        play(conversation)
    return True, f"{MANY / (real.perf_counter() - begun):,.0f} simulated conversations a second"


_LOOKS: Final[tuple[tuple[str, Callable[[], Told]], ...]] = (
    ("Python", _python),
    ("system", _system),
    ("packages", _packages),
    ("pollers", _pollers),
    ("descriptors", _descriptors),
    ("loopback", _loopback),
    ("IPv6", _loopback6),
    ("folder", _folder),
    ("repeats", _repeats),
    ("real", _real_sockets),
    ("speed", _speed),
)
