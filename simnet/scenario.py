"""The file that keeps a failure: a test, a plan, and what is expected of them together.

A scenario is TOML that a person reads and edits. Reading checks everything, and each error has its place, the reason and the
remedy; writing adds comments on what the network does. `simnet.explore` plays scenarios.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from simnet.both.asked import plan_of
from simnet.expect import Expect, Found, ScenarioError, check_keys, wrong
from simnet.faults.fault import Fault
from simnet.faults.fields import FaultError
from simnet.faults.forms import fault_to_table
from simnet.faults.plan import FaultPlan, PlanError
from simnet.project.nodeid import NodeId, project_root
from simnet.project.typed import from_here
from simnet.project.wholefile import OURS, write_whole

__all__ = ["SCENARIOS", "Expect", "Found", "Scenario", "ScenarioError", "in_words", "load_test"]

FORMAT: Final = 1
SCENARIOS: Final = "scenarios"  # the folder whose files pytest plays without being told

_KEYS: Final = ("format", "title", "test", "target", "expect", "schedule", "seed", "found", "fault")
_PLAN_KEYS: Final = ("schedule", "seed", "fault")

_NOT_HERE = "; a failing run writes such a file where it runs: run the test again here, which writes the same one, or bring it from there"
_REMEDIES = {  # by how Python's words begin
    "Invalid value": "; a text stands in straight quotes, and what holds or not is true or false",
    "Illegal character '\\n'": "; is the quote missing that ends the text?",
    "Unescaped '\\' in a string": "; between double quotes a backslash is written twice, between single ones as it is",
}
_KEY = re.compile(r"""\s*\[{0,2}\s*["']?([A-Za-z0-9_-]+)["']?\s*[=.\]]""")  # `key =`, `key.part =`, `[key]`, `[[key]]`


class Scenario(msgspec.Struct, frozen=True):
    """A test, a plan, and what is expected of them together; a value, independent of any file."""

    test: str
    """The test's node id, from the project's root."""
    faults: tuple[Fault, ...] = ()
    title: str = ""
    expect: Expect = Expect()
    schedule: str = "fifo"
    seed: int = 0
    target: tuple[str, ...] = ()
    """The hosts under test, on whose calls faults act; none: what the test itself says."""
    found: Found | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if type(self.format) is not int:
            raise wrong("format", self.format, f"a whole number, {FORMAT}")
        if self.format != FORMAT:
            later = "was written by a later version of simnet" if self.format > FORMAT else "never was"
            raise ScenarioError(f"format={self.format} {later}; this one reads format {FORMAT}", key="format")
        try:
            NodeId.parse(self.test)
        except ValueError as error:
            raise ScenarioError(f"test={error}", key="test") from error
        if not isinstance(self.title, str):
            raise wrong("title", self.title, "a text")
        msgspec.structs.force_setattr(self, "target", _hosts(self.target))
        if not isinstance(self.expect, Expect):
            raise wrong("expect", self.expect, "what is expected, as in Expect(outcome='baseline')")
        if not isinstance(self.found, Found | None):
            raise wrong("found", self.found, "how it was found, as in Found(by='sweep')")
        msgspec.structs.force_setattr(self, "faults", self.plan.faults)  # the plan checks them

    @classmethod
    def of(cls, test: str, plan: FaultPlan | str, **others: Any) -> Scenario:
        """A scenario of a whole plan: ``Scenario.of("test_echo.py::test_echo", plan, title="...")``."""
        plan = plan_of(plan)
        return cls(test, plan.faults, schedule=plan.schedule, seed=plan.seed, **others)

    @property
    def plan(self) -> FaultPlan:
        """Faults, schedule and seed."""
        try:
            return FaultPlan(self.faults, self.schedule, self.seed)
        except PlanError as error:
            raise ScenarioError(
                str(error), fault=None if error.index is None else error.index + 1, key=error.key
            ) from error
        except FaultError as error:
            raise ScenarioError(str(error), key=error.key or "fault") from error

    @property
    def node(self) -> NodeId:
        """The test's node id, parsed."""
        return NodeId.parse(self.test)

    def digest(self) -> str:
        """Eight hexadecimal digits that follow from what is played: test, targets, plan. Title and expectation may change."""
        played = "\n".join((self.test, ",".join(self.target), str(self.plan)))
        return hashlib.sha256(played.encode()).hexdigest()[:8]

    def failure_path(self, root: Path) -> Path:
        """Where a failing run leaves it: ``.simnet/failures/<test>/<digest>.toml``."""
        return root / ".simnet" / "failures" / self.node.folder / f"{self.digest()}.toml"

    def kept_path(self, root: Path) -> Path:
        """Where it is kept on purpose: ``scenarios/<test>/<title>.toml``."""
        # Letters lose their accents.
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode()
        words = re.findall(r"[a-z0-9]+", plain.lower())
        while len("-".join(words)) > 60:  # a file's name one can still read in a listing
            words.pop()
        return root / SCENARIOS / self.node.folder / f"{'-'.join(words) or self.digest()}.toml"

    # ---- the file ----------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, *, check: bool = True) -> Scenario:
        """The scenario in a file. With *check*, the test it names must be there; nothing is imported.

        Raises:
            ScenarioError: where it is wrong, why, and the remedy.
        """
        path = Path(path)
        if "::" in path.name or path.suffix == ".py":
            raise ScenarioError(
                "is a test, and what is wanted here is a scenario file (.toml) of one of its failures: "
                f"`simnet sweep {path}` plays the test under every fault, and leaves such files in .simnet/failures/",
                path=path,
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            remedy = (
                "; pytest plays all that are in a folder" if isinstance(error, IsADirectoryError) else _kept_as(path)
            )
            raise ScenarioError(f"cannot be read: {error.strerror or error}{remedy}", path=path) from error
        except UnicodeDecodeError as error:
            why = f"is not UTF-8, as TOML is: {error.reason} at byte {error.start}"
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ScenarioError(why, path=path, line=line) from error
        scenario = cls.loads(text, path)
        if check:
            try:
                scenario.node.check(project_root(path))
            except ValueError as error:
                raise ScenarioError(f"test={error}", path=path, line=_line(text, None, "test"), key="test") from error
        return scenario

    @classmethod
    def loads(cls, text: str, path: Path | None = None) -> Scenario:
        """The scenario that *text* holds; *path* is for errors to name.

        Raises:
            ScenarioError: where it is wrong, why, and the remedy.
        """
        try:
            return _scenario(_document(text))
        except tomllib.TOMLDecodeError as error:
            where = re.search(r" \(at line (\d+), column \d+\)| \(at end of document\)", str(error))
            line = (int(where[1]) if where[1] else text.count("\n") + 1) if where else None
            raise ScenarioError(_no_toml(error, text, line), path=path, line=line) from error
        except ScenarioError as error:
            line = _line(text, error.fault, error.key)
            raise ScenarioError(error.reason, path=path, line=line, fault=error.fault, key=error.key) from error

    def dumps(self) -> str:
        """The file's text, with what each fault does in words."""
        import tomlkit  # takes 30 ms to load, and only who writes needs it

        document = tomlkit.document()
        document.add(
            tomlkit.comment(
                "Played by `pytest` and by `simnet replay`. Edit it: another call, another byte, another kind."
            )
        )
        document["format"] = self.format
        if self.title:
            document["title"] = self.title
        document["test"] = self.test
        document["test"].comment("from the project's root")
        if self.target:
            document["target"] = list(self.target)
        document["expect"] = _inline(self.expect.to_table())
        document["schedule"] = self.schedule
        if self.seed:
            document["seed"] = self.seed
        if self.found is not None:
            document["found"] = _inline(self.found.to_table())
        faults = tomlkit.aot()
        for fault in self.faults:
            written = tomlkit.table()
            written.add(tomlkit.comment(in_words(fault)))
            written.update(fault_to_table(fault))
            faults.append(written)
        if self.faults:
            document.add("fault", faults)
        return tomlkit.dumps(document)

    def write(self, path: str | Path) -> Path:
        """Write the file, with the folders above it, whole or not at all.

        Raises:
            OSError: as the file system says.
        """
        path = Path(path)
        write_whole(path, self.dumps())
        return path


def in_words(fault: Fault) -> str:
    """What *fault* does, as it stands in a comment of the file."""
    return f"{fault.sentence()} ({'transparent' if fault.harmless else 'disruptive'})"


def _kept_as(path: Path) -> str:
    """What to say of a failure's file that is not there: `simnet keep` may have moved it, or it was found on another machine."""
    root = next((above.parent for above in path.absolute().parents if above.name == OURS), None)
    for kept in sorted((root / SCENARIOS).rglob("*.toml")) if root is not None else ():
        try:
            if Scenario.read(kept, check=False).digest() == path.stem:
                return f"; it was kept as {from_here(kept)}"
        except ScenarioError:
            continue  # it is not that one
    return _NOT_HERE if root is not None else ""


def _hosts(target: object) -> tuple[str, ...]:
    hosts = (target,) if isinstance(target, str) else target
    if not isinstance(hosts, tuple | list) or not all(isinstance(host, str) and host for host in hosts):
        raise wrong("target", target, "a host's name, or several in a list")
    return tuple(hosts)


def load_test(scenario: Scenario, root: Path) -> Callable[..., Any]:
    """The test that *scenario* names, imported; what it imports from beside it is found as under pytest.

    Raises:
        ScenarioError: it is not there, or its file cannot be imported.
    """
    try:
        return scenario.node.load(root)
    except ValueError as error:
        raise ScenarioError(f"test={error}", key="test") from error


# ---- reading ---------------------------------------------------------------------------------------------------------


def _document(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets within as many
        raise ScenarioError(f"is no TOML that can be read: {error}") from error


def _scenario(document: Mapping[str, Any]) -> Scenario:
    check_keys("a scenario", document, _KEYS)
    for key in ("format", "test"):
        if key not in document:
            example = f"format = {FORMAT}" if key == "format" else 'test = "tests/test_echo.py::test_echo"'
            raise ScenarioError(f"{key} is missing; write {example}", key=key)
    given = {key: value for key, value in document.items() if key not in (*_PLAN_KEYS, "expect", "found")}
    if "expect" in document:
        if document["expect"] == {}:
            raise ScenarioError(
                'expect={} expects nothing; leave it out, or write expect = { outcome = "baseline" }', key="expect"
            )
        given["expect"] = _part(Expect, "expect", document["expect"], '{ outcome = "baseline" }')
    if "found" in document:
        given["found"] = _part(Found, "found", document["found"], '{ by = "sweep", runs = 214 }')
    try:
        plan = FaultPlan.from_tables({key: document[key] for key in _PLAN_KEYS if key in document})
    except PlanError as error:
        raise ScenarioError(
            str(error), fault=None if error.index is None else error.index + 1, key=error.key
        ) from error
    except FaultError as error:
        raise ScenarioError(str(error), key=error.key) from error
    return Scenario.of(given.pop("test"), plan, **given)


def _part(kind: type[Any], key: str, table: object, example: str) -> Any:
    if not isinstance(table, Mapping):
        raise ScenarioError(
            f"{key}={table!r} is {type(table).__name__}; it is a table, as in {key} = {example}", key=key
        )
    try:
        check_keys(key, table, kind.__struct_fields__)
        if kind is Expect and table.get("interrupted") is False:
            raise ScenarioError(
                "interrupted=false expects nothing: what no fault may interrupt ends as without faults, so write "
                'outcome = "baseline"',
                key="interrupted",
            )
        return kind(**table)
    except ScenarioError as error:
        raise ScenarioError(f"{key}: {error.reason}", key=key) from error


def _no_toml(error: tomllib.TOMLDecodeError, text: str, line: int | None) -> str:
    """Why *text* is none; of a key that is given twice the reader tells the place and not the key."""
    given = _KEY.match(text.splitlines()[line - 1]) if line and str(error).startswith("Cannot ") else None
    if given is None:
        remedy = next((each for words, each in _REMEDIES.items() if str(error).startswith(words)), "")
        return f"is no TOML: {error}{remedy}"
    if given[1] == "fault":
        return "fault is one table above; faults are a list of them: write [[fault]] above each"
    return f"is no TOML: {given[1]!r} is given twice; here the second time"


def _line(text: str, fault: int | None, key: str | None) -> int | None:
    """The line of a key, in the *fault*-th table or above all of them; the table's own where the key is not there."""
    table = 0
    found: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\[\s*fault\s*\]\]", line):
            table += 1
            if table == fault:
                found = number
        elif key is not None and (match := _KEY.match(line)) and match[1] == key:
            apart = not fault and line.lstrip().startswith("[")  # a table of its own, which may stand behind the faults
            if apart or table == (fault or 0):
                return number
    return _line(text, None, "fault") if fault and not table else found  # they are in one list, fault = [{...}]


def _inline(table: Mapping[str, object]) -> Any:
    import tomlkit

    inline = tomlkit.inline_table()
    inline.update(table)
    return inline
