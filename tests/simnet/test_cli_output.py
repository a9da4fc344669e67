"""Where a command writes: a narrow screen, no screen at all, a full disk, a folder that is not ours; and dispatch alone."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simnet.cli import main
from simnet.explore.report.failure import _for_a_shell
from simnet.faces.screen import Screen
from simnet.faults.plan import FaultPlan
from simnet.project.wholefile import write_whole
from tests.simnet.faces_samples import forget_modules, lay_out

HASTY = "test_servers.py::test_hasty"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The sample project as current folder."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    forget_modules()


def unwritable(project: Path) -> None:
    (project / ".simnet").write_text("a file is in the way, which stops root too")


def test_a_failure_that_cannot_be_written_is_told_all_the_same(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unwritable(project)
    assert main(["sweep", HASTY]) == 1
    told = capsys.readouterr().out
    assert "1 of 1: KeyError at servers.py:25 when recv returns 1 byte" in told
    assert f'run it    pytest {HASTY} --simnet-fault "short-recv test->server:7#1 end=server call=1 bytes=1"' in told
    assert "keep it   no file of it could be written: " in told


def test_its_command_names_the_hosts_that_the_sweep_was_told_are_under_test(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unwritable(project)
    (project / "test_any.py").write_text(
        "import simnet, test_servers\n\n@simnet.sweep\ndef test_it(net):\n    test_servers.test_hasty.simnet_test(net)\n"
    )
    assert main(["sweep", "test_any.py::test_it", "--target", "server", "--kinds", "short-recv"]) == 1
    fault = '--simnet-fault "short-recv test->server:7#1 end=server call=1 bytes=1"'
    assert f"run it    pytest test_any.py::test_it {fault} --simnet-target server" in capsys.readouterr().out


@pytest.mark.slow
def test_a_function_that_pytest_knows_nothing_of_is_run_again_without_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "test_plain.py").write_text(
        "import test_servers\n\ndef test_it(net):\n    test_servers.test_hasty.simnet_test(net)\n"
    )
    assert main(["sweep", "test_plain.py::test_it", "--target", "server"]) == 1
    found = ".simnet/failures/test_it/"
    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("run it"))
    assert command.startswith(f"run it    simnet replay {found}")
    assert main(["replay", command.split()[-1]]) == 1
    assert f"run it    simnet replay {found}" in capsys.readouterr().out
    shutil.rmtree(project / ".simnet")
    unwritable(project)
    assert main(["sweep", "test_plain.py::test_it", "--target", "server"]) == 1
    assert 'run it    simnet.check(test_it, target="server", plan="short-recv ' in capsys.readouterr().out


@pytest.mark.slow
def test_what_only_a_strict_command_calls_a_failure_is_run_again_by_what_calls_it_one_too(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under pytest the run would be interrupted, which passes."""
    assert main(["sweep", "test_servers.py::test_echo", "--strict", "--first", "--kinds", "reset"]) == 1
    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("run it"))
    assert command.startswith("run it    simnet replay .simnet/failures/test_echo/")
    assert main(["replay", command.split()[-1]]) == 1


@pytest.mark.slow
def test_so_it_is_under_pytest(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    unwritable(pytester.path)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", HASTY, "--simnet-target", "server")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   KeyError: *",
            "run it *--simnet-fault * --simnet-target server *",
            "keep it   no file of it could be written: *",
        ]
    )


@pytest.mark.slow
def test_a_host_that_is_named_as_the_target_is_under_test_whatever_the_test_says(pytester: pytest.Pytester) -> None:
    lay_out(pytester.path)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", HASTY, "--simnet-target", "elsewhere")
    result.stdout.fnmatch_lines(["*target=elsewhere: the test has no host of that name*"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which answers as a full disk does")
def test_a_full_disk_is_told_in_a_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = open("/dev/full", "w", buffering=1, encoding="utf-8")  # noqa: SIM115  # it cannot be closed in peace
    monkeypatch.setattr("sys.stdout", full)
    assert main(["show", "test_servers.py::test_echo"]) == 2
    assert capsys.readouterr().err == "simnet show: cannot write: No space left on device\n"
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "file"
    write_whole(file, "old")

    def full(self: Path, text: str, **_: object) -> None:
        with self.open("w") as half:
            half.write(text[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.slow
def test_two_processes_may_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, replace = tmp_path / "file", Path.replace

    def late(self: Path, target: Path) -> Path:
        code = f"import pathlib; from simnet.project.wholefile import write_whole; write_whole(pathlib.Path({str(file)!r}), 'its')"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert file.read_text() == "its"
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", late)
    write_whole(file, "mine")
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


def test_without_standard_output_a_sweep_still_has_its_exit_code(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(["sweep", HASTY]) == 1


def test_without_standard_input_nobody_is_asked_for_a_title(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", HASTY])
    (file,) = Path(".simnet/failures").glob("*/*.toml")
    monkeypatch.setattr("sys.stdin", None)
    assert main(["keep", str(file)]) == 0
    assert (
        "Kept as scenarios/test_hasty/keyerror-at-servers-py-25-when-recv-returns-1-byte.toml"
        in capsys.readouterr().out
    )


def test_letters_that_an_encoding_has_not_are_written_by_their_numbers(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["sweep", HASTY])
    (file,) = Path(".simnet/failures").glob("*/*.toml")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(log := io.BytesIO(), encoding="latin-1", write_through=True))
    assert main(["keep", str(file), "--title", "größer ✓", "--to", "scenarios/✓.toml"]) == 0
    assert main(["show", "scenarios/✓.toml"]) == 0
    assert log.getvalue().startswith(rb"Kept as scenarios/\u2713.toml.")
    assert "größer \\u2713".encode("latin-1") in log.getvalue()


def test_so_is_half_a_letter_where_python_writes_bytes_of_file_names_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("test_half_a_letter.py").write_text(
        r"def test_it(net): raise ValueError('a byte \udcff and half a letter \ud83d')"
    )
    to = io.TextIOWrapper(log := io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)
    monkeypatch.setattr("sys.stdout", to)
    assert main(["sweep", "test_half_a_letter.py::test_it"]) == 1
    assert b"a byte \xff and half a letter \\ud83d" in log.getvalue()


@pytest.mark.parametrize("told", [(), ("--json",)])
def test_a_reader_that_has_seen_enough_is_no_failure(
    project: Path, told: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1, encoding="utf-8") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        assert main(["show", HASTY, *told]) == 141


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 76, 100])
def test_columns_says_how_wide_a_report_is(
    project: Path, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    main(["sweep", HASTY])
    lines = capsys.readouterr().out.splitlines()
    to_copy = ("run it", "keep it", "1 of 1")  # a command, a headline: in one piece, however long
    assert [line for line in lines if len(line) > columns and not line.startswith(to_copy)] == []
    (head,) = (line.split() for line in lines if line.startswith("kind "))
    assert ("class" in head) == (columns > 60)
    assert head[-1] == "interrupted"


@pytest.mark.slow
def test_where_dispatch_alone_is_installed_the_command_says_what_to_install(tmp_path: Path) -> None:
    """As it is after ``pip install simnet-dispatch``: what the extra brings cannot be imported."""
    hidden = "import sys; sys.modules.update(dict.fromkeys(('click', 'msgspec', 'hypothesis'))); "
    remedy = 'pip install "simnet-dispatch[simnet]"'
    for what, code in (
        ("from simnet.__main__ import main; sys.exit(main())", 2),
        ("import simnet; simnet.sweep", 1),
        ("import simnet; simnet.strategies", 1),
    ):
        done = subprocess.run(
            [sys.executable, "-c", hidden + what], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr
        assert remedy in done.stderr
        assert done.stdout == ""


@pytest.mark.slow
def test_a_command_plays_the_very_run_that_pytest_has_found(tmp_path: Path) -> None:
    """An assertion that fails holds what it has called for; pytest's rewriting holds more of it than Python does."""
    lay_out(tmp_path)
    (tmp_path / "test_once.py").write_text(
        "import socket, simnet\nfrom servers import echo\n\n@simnet.sweep(target='server', kinds=['stall'])\ndef test_once(net):\n"
        "    net.host('server').spawn(echo, 7)\n    with socket.create_connection(('server', 7)) as sock:\n"
        "        sock.sendall(b'hello')\n        assert sock.makefile('rb', 0).read(100) == b'hello'\n"
    )

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    run("pytest", "-q", "-p", "no:cacheprovider", "test_once.py")
    (file,) = (tmp_path / ".simnet/failures/test_once").glob("*.toml")
    told = run("simnet", "replay", str(file.relative_to(tmp_path)))
    assert "E     AssertionError: assert b'h' == b'hello'" in told
    assert "replay: exact; AssertionError at test_once.py:9" in told
    bytecode = tmp_path / "__pycache__" / f"test_once.{sys.implementation.cache_tag}.pyc"  # pytest's has another name
    assert not bytecode.exists(), "nobody else wants it"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "name"), [("", "test_talk"), ('python_files = "check_*.py spec/*.py"', "check_talk")]
)
def test_assertions_are_explained_in_the_files_that_pytest_takes_for_tests(
    tmp_path: Path, setting: str, name: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{setting}\n")
    (tmp_path / f"{name}.py").write_text("def compare(one, other):\n    assert one == other\n")
    (tmp_path / "test_it.py").write_text(f"from {name} import compare\n\ndef test_it(net):\n    compare(1, 2)\n")
    command = [sys.executable, "-m", "simnet", "sweep", "test_it.py::test_it"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "E     AssertionError: assert 1 == 2" in done.stdout, done.stdout + done.stderr


def test_the_folder_of_failures_tells_git_to_pass_it_over(tmp_path: Path) -> None:
    write_whole(tmp_path / ".simnet" / "failures" / "test_it" / "1.toml", "format = 1\n")
    told = tmp_path / ".simnet" / ".gitignore"
    assert told.read_text().splitlines()[1:] == ["*"]
    told.unlink()  # somebody wants them committed
    write_whole(tmp_path / ".simnet" / "failures" / "test_it" / "2.toml", "format = 1\n")
    assert not told.exists()
    write_whole(tmp_path / "scenarios" / "test_it" / "2.toml", "format = 1\n")
    assert not (tmp_path / "scenarios" / ".gitignore").exists()


CUT = """
import socket

import simnet

def serve():
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
        connection.sendall(b"all of it")

def ask():
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as answer:
        return answer.read()

@simnet.sweep(target="client", kinds=["eof", "split"])
def test_cut(net):
    net.host("server").spawn(serve)
    return net.host("client").run(ask)
"""


@pytest.mark.slow
def test_the_first_run_with_another_outcome_is_told_with_how_it_becomes_a_failure(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "test_cut.py").write_text(CUT)
    assert main(["sweep", "test_cut.py"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "noted eof client->server:7#1 end=client byte=0: the test returned b''; without the fault b'all of it'" in told
    )
    assert told.count("; survives=['eof'] makes that a failure") == 1

    assert main(["sweep", "test_cut.py", "--json"]) == 0
    kinds = {row["kind"]: row for row in json.loads(capsys.readouterr().out)[0]["kinds"]}
    assert kinds["eof"]["first_noted"]["plan"] == "eof client->server:7#1 end=client byte=0"
    assert kinds["split"]["first_noted"] is None


@pytest.mark.slow
def test_of_two_faults_those_are_told_that_may_be_survived(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "test_cut.py").write_text(CUT.replace('"split"]', '"split"], depth=2'))
    assert main(["sweep", "test_cut.py"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "; split client->server:7#1 end=client byte=" in told
    assert told.count("; survives=['eof'] makes that a failure") == 2, "the other is transparent: nothing is to be said"


@pytest.mark.parametrize(
    ("failures", "told"), [(0, "0 distinct failures"), (1, "1 distinct failure"), (2, "2 distinct failures")]
)
def test_a_log_is_told_how_far_a_sweep_is(failures: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    with Screen(log).progress("test_it") as progress:
        monkeypatch.setattr("simnet.real.monotonic", lambda: 1e9)
        progress(1, 2_000, failures)
    assert log.getvalue() == f"test_it: 1 of 2,000 runs, {told} so far\n"


def test_a_plan_that_is_typed_is_no_word_of_a_shells_history() -> None:
    plan = FaultPlan.parse("strangers test->server:7#1 data=hi!you count=2")
    assert _for_a_shell(plan) == f"'{plan}'"
