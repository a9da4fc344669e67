"""Packages that bring loops or threads of their own: they do not run in a simulation, and that is said in a sentence, soon."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
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


@pytest.mark.slow
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_an_import_of_such_a_package_may_take_longer_than_that(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As python-engineio does, which looks in its server's constructor for what there is; on a busy machine it takes seconds."""
    monkeypatch.setattr("simnet.watchdog.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("simnet.watchdog.FOREIGN_SECONDS", 0.1)
    (tmp_path / f"{library}.py").write_text(
        "from simnet import real\n\n\ndef compute():\n    until = real.monotonic() + 0.8\n    while real.monotonic() < until:\n"
        "        pass\n\n\ncompute()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [each for each in sys.modules if each.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    with simnet.Network() as net:
        assert net.host("server").run(lambda: importlib.import_module(library).__name__) == library


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


@pytest.fixture
def curl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that looks like a library whose sockets are made in C."""
    (tmp_path / "pycurl.py").write_text("class Curl:\n    pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pycurl", raising=False)
    return "pycurl"


@pytest.mark.parametrize("within", [False, True], ids=["loaded-before", "imported-within"])
def test_a_library_whose_sockets_are_made_in_c_is_refused_with_what_to_use_instead(curl: str, within: bool) -> None:
    if not within:
        importlib.import_module(curl)

    def fetch() -> None:
        importlib.import_module(curl).Curl()

    with pytest.raises(
        simnet.Escape, match=r"client/fetch reached for the network of libcurl, which is in C, at test_other_loops\.py:"
    ) as caught:
        with simnet.Network() as net:
            net.host("client").run(fetch)
    assert str(caught.value).endswith("cannot be simulated: urllib3, requests and httpx speak HTTP in Python.")
    assert type(importlib.import_module(curl).Curl()).__name__ == "Curl"  # outside of a run it is what it was


@pytest.mark.filterwarnings("ignore::ImportWarning")  # of Python 3.11, that it asks such a one in vain
def test_a_finder_as_there_were_before_python_34_is_passed_over(curl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def find_module(self, name: str, path: Any = None) -> None:
            """It has none."""

    monkeypatch.setattr(sys, "meta_path", [Old(), *sys.meta_path])
    with pytest.raises(simnet.Escape, match="the network of libcurl"), simnet.Network() as net:
        net.host("client").run(lambda: importlib.import_module(curl).Curl())


@pytest.mark.parametrize("name", ["_socket.socket", "_socket.SocketType", "socket.SocketType", "an heir"])
def test_a_socket_of_the_class_in_c_would_be_the_kernels_and_is_refused(name: str) -> None:
    """As those of gevent are, which are of an heir of it: one was connected to the machine's own network."""

    def make() -> object:
        module, _, attribute = name.partition(".")
        if attribute:
            return getattr(importlib.import_module(module), attribute)()
        return type("Heir", (importlib.import_module("_socket").socket,), {})()

    with pytest.raises(
        simnet.Escape, match=r"client/make reached for a socket of the kernel's, .* at test_other_loops\.py:"
    ):
        with simnet.Network() as net:
            net.host("client").run(make)


def test_a_simulated_socket_is_one_of_the_class_in_c_all_the_same() -> None:
    with simnet.Network(), socket.socket() as sock:
        assert isinstance(sock, socket.SocketType)
        assert issubclass(socket.socket, socket.SocketType)
        assert not isinstance("a socket", socket.SocketType)
    assert socket.SocketType is importlib.import_module("_socket").socket


def test_what_is_set_at_the_class_in_c_is_set_there_or_refused_as_it_is_anywhere() -> None:
    """From Python 3.12 on nobody may; before, whoever did it changed the one that all sockets are of."""
    kind = socket.SocketType

    def attempt() -> str:
        try:
            socket.SocketType.remark = "of mine"  # type: ignore[attr-defined]
        except TypeError as error:
            return str(error)
        shown = str(kind.remark)  # type: ignore[attr-defined]
        del socket.SocketType.remark  # type: ignore[attr-defined]
        return f"{shown} {hasattr(kind, 'remark')}"

    outside = attempt()
    with simnet.Network():
        assert attempt() == outside


@pytest.mark.parametrize(
    ("library", "module", "kind"),
    [
        *(("gevent", "gevent._socket3", "socket"), ("gevent", "gevent.hub", "Hub")),
        *(("eventlet", "eventlet.greenio.base", "GreenSocket"), ("eventlet", "eventlet.hubs.hub", "BaseHub")),
    ],
)
def test_a_socket_or_a_hub_that_waits_on_the_real_kernel_is_refused_as_soon_as_it_is_made(
    library: str, module: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = module.split(".")
    folder = tmp_path.joinpath(*names[:-1])
    folder.mkdir(parents=True)
    (folder / f"{names[-1]}.py").write_text(f"class {kind}:\n    def __init__(self):\n        pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [each for each in sys.modules if each.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)

    def make() -> None:
        getattr(importlib.import_module(module), kind)()

    with pytest.raises(
        simnet.Escape,
        match=rf"client/make reached for a socket or a hub of {library}'s, which waits on the real kernel",
    ) as caught:
        with simnet.Network() as net:
            net.host("client").run(make)
    assert "the event loops that run in a simulation are" in str(caught.value)


def test_a_class_of_such_a_library_stays_a_class(curl: str) -> None:
    """Its module is imported by others when the stand-ins are in place, as in a test that comes later."""
    made: Any = importlib.import_module(curl).Curl()
    true = type(made)
    with simnet.Network():
        kind = importlib.import_module(curl).Curl

        class Mine(kind):  # type: ignore[misc]
            def __init__(self, url: str) -> None:
                self.url = url

        assert (kind | None, isinstance(made, kind), issubclass(true, kind)) == (kind | None, True, True)
        assert not isinstance(made, Mine)
    assert type(kind()) is true
    assert (Mine("there").url, isinstance(Mine("there"), kind), issubclass(Mine, true)) == ("there", True, True)
    with pytest.raises(
        simnet.Escape, match=r"client/Mine reached for the network of libcurl, which is in C\. Such a library"
    ):
        with simnet.Network() as net:
            net.host("client").run(Mine, "nowhere")


def test_a_look_up_in_c_is_refused_and_not_what_only_might_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of aiohttp's makes a channel of pycares', where aiodns is installed, and connects to an address without it."""
    (tmp_path / "pycares.py").write_text(
        "class Channel:\n    def getaddrinfo(self, host):\n        return host\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pycares", raising=False)

    def look_up() -> None:
        channel = importlib.import_module("pycares").Channel()
        net.observe("made", True)
        channel.getaddrinfo("server")

    with pytest.raises(simnet.Escape, match=r"client/look_up reached for a look-up by c-ares") as caught:
        with simnet.Network() as net:
            net.host("client").run(look_up)
    assert net.observations == [("made", True)]
    assert "give aiohttp `TCPConnector(resolver=aiohttp.ThreadedResolver())`" in str(caught.value)


def test_tls_of_pyopenssl_over_a_socket_is_refused_and_over_memory_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL reads from the number in C, where it is nobody's: urllib3 heard ``SysCallError(9, 'EBADF')``, and pyftpdlib's clients a reset."""
    package = tmp_path / "OpenSSL"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "SSL.py").write_text(
        "def _asFileDescriptor(sock):\n    return sock.fileno()\n\n\nclass Connection:\n    def __init__(self, context, sock=None):\n"
        "        if sock is not None:\n            _asFileDescriptor(sock)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("OpenSSL", "OpenSSL.SSL"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def speak() -> None:
        kind = importlib.import_module("OpenSSL.SSL").Connection
        kind(None, None)
        net.observe("made", True)
        with socket.socket() as sock:
            kind(None, sock)

    with pytest.raises(
        simnet.Escape, match=r"client/speak reached for a TLS connection of pyOpenSSL's over a socket, which is in C"
    ):
        with simnet.Network() as net:
            net.host("client").run(speak)
    assert net.observations == [("made", True)]


def test_a_library_whose_sockets_are_made_in_c_works_on_real_sockets(curl: str) -> None:
    with simnet.RealNetwork() as net:
        assert net.host("client").run(lambda: importlib.import_module(curl).Curl()) is not None
