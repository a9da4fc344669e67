"""Who takes the beginning of a message for all of it, when the input ends in its midst, is warned of."""

from __future__ import annotations

import asyncio
import linecache
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow  # each is a sweep

FILE = b"0123456789"
ALL = (
    *(FILE, ["one", "two"], ["one\n", "two\n"], b"onetwo"),
    *((True, FILE), {"data": FILE, "error": None}, (FILE, "complete"), (FILE, len(FILE), "a file")),
)


def serve(port: int) -> None:
    """To ``get`` the length, and so many bytes; to ``all`` the bytes, and the end; to anything else a line."""
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock, sock.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    if line == b"all\n":
                        sock.sendall(FILE)
                        break
                    sock.sendall(b"%d\n" % len(FILE) + FILE if line == b"get\n" else line)


def download(*, looks: bool = False) -> bytes:
    with socket.create_connection(("server", 80), timeout=5) as sock, sock.makefile("rb") as file:
        sock.sendall(b"get\n")
        size = int(file.readline() or b"0")
        data = file.read(size)
        if looks and len(data) < size:
            raise EOFError
        return data


def download_that_looks() -> bytes:
    return download(looks=True)


def all_there_is() -> bytes:
    """The end of the input is the file's."""
    with socket.create_connection(("server", 80), timeout=5) as sock, sock.makefile("rb") as file:
        sock.sendall(b"all\n")
        return file.read()


def download_that_says(how: Callable[[bool, bytes], Any]) -> Any:
    data = download()
    return how(len(data) == len(FILE), data)


def download_with_a_flag() -> tuple[bool, bytes]:
    return download_that_says(lambda whole, data: (whole, data))


def download_with_an_error() -> dict[str, Any]:
    return download_that_says(lambda whole, data: {"data": data, "error": None if whole else EOFError()})


def download_with_a_word() -> tuple[bytes, str]:
    return download_that_says(lambda whole, data: (data, "complete" if whole else "cut short"))


def download_with_its_size() -> tuple[bytes, int, str]:
    """Which may be that of half of it."""
    return download_that_says(lambda whole, data: (data, len(data), "a file"))


async def lines(*, looks: bool = False, strips: bool = True) -> list[str]:
    reader, writer = await asyncio.open_connection("server", 80)
    heard = []
    for question in (b"one\n", b"two\n"):
        writer.write(question)
        line = await asyncio.wait_for(reader.readline(), 5)
        if not line or (looks and not line.endswith(b"\n")):
            break
        heard.append(line.decode().strip() if strips else line.decode())
    writer.close()
    return heard


def half_a_line() -> list[str]:
    return asyncio.run(lines())


def half_a_line_with_what_is_left_of_it() -> list[str]:
    """As ``readline`` gives it: who gets it can look for the end of the line."""
    return asyncio.run(lines(strips=False))


def whole_lines() -> list[str]:
    """As many as there were before the end, each of them whole."""
    return asyncio.run(lines(looks=True))


def as_many_as_there_were() -> bytes:
    """Whole messages, put together."""
    return "".join(asyncio.run(lines(looks=True))).encode()


def sweep(client: Callable[[], Any], target: str = "client", **options: Any) -> SweepResult:
    def test(net: Any) -> None:
        net.host("server").spawn(serve, 80)
        assert net.host("client").run(client) in ALL

    return run_sweep(test, SweepOptions.of(target=target or None, kinds=["eof", "reset"], **options))


def told(result: SweepResult) -> list[str]:
    return [each.text for each in result.warnings if each.name == "cut-short"]


@pytest.mark.parametrize("client", [download, half_a_line, download_with_its_size])
def test_who_takes_a_part_for_all_of_it_is_warned_of_once(client: Callable[[], Any]) -> None:
    (text,) = told(sweep(client))
    assert text.startswith(
        "client takes the beginning of a message for all of it: the input of client->server:80#1 ended"
    )


def test_the_line_is_that_of_the_read_which_tells_of_the_end() -> None:
    (line,) = (each.at.partition(":")[2] for each in sweep(download).warnings)
    assert "file.read(size)" in linecache.getline(__file__, int(line))


@pytest.mark.parametrize(
    "client",
    [
        *(download_that_looks, whole_lines, as_many_as_there_were, half_a_line_with_what_is_left_of_it, all_there_is),
        *(download_with_a_flag, download_with_an_error, download_with_a_word),
    ],
)
def test_who_looks_and_who_cannot_know_is_not(client: Callable[[], Any]) -> None:
    assert not told(sweep(client))


def test_nor_is_who_stands_beside_what_is_under_test() -> None:
    """Where no target is named, all are, and the test's own assertion looks at what its client says."""
    assert not told(sweep(download, target="server"))
    assert not told(sweep(download, target=""))


def test_it_may_be_a_failure_or_meant() -> None:
    (failure,) = sweep(download, invariants={"cut-short": "failure"}).failures
    assert (failure.reason, failure.host) == ("cut-short", "client")
    assert not told(sweep(download, invariants={"cut-short": "off: half of it is as good"}))
