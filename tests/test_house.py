"""The house holds: who may import whom, that nothing real leaks into a simulation, that faces are what they say.

Every failure names the places, the rule and its reason. A new room gets its place in STEPS; an exception gets a line, with
why, in the table it is an exception to.
"""

from __future__ import annotations

import importlib
import itertools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

from tests.house import ROOT, Import, Room, rooms

# A room imports what stands above it in this table, or beside it, never what stands below. Packages stand here as one:
# within them only circles are ruled out.
STEPS = {
    "simnet": [
        [
            "simnet.kernel",
            "simnet.real",
            "simnet.extra",
            "simnet.blame",
            "simnet.explained",
            "simnet.roundabout",
            "simnet.whereabouts",
        ],
        ["simnet.clock", "simnet.verdicts", "simnet.files", "simnet.tls"],
        ["simnet.misnamed", "simnet.link", "simnet.trace", "simnet.netstat", "simnet.points"],
        ["simnet.faults"],
        ["simnet.places", "simnet.lookback", "simnet.machine", "simnet.network", "simnet.both"],
        ["simnet.arguments"],
        ["simnet.scheduling", "simnet.wait"],
        ["simnet.watchdog"],
        ["simnet.process", "simnet.owned", "simnet.resolver"],
        ["simnet.calls", "simnet.socket", "simnet.poll", "simnet.epoll"],
        ["simnet.standins", "simnet.unsent", "simnet.tellers"],
        ["simnet.causes"],
        ["simnet.backend", "simnet.modules", "simnet.invariants", "simnet.observe", "simnet.aftermath"],
        ["simnet.outages"],
        ["simnet.host"],
        ["simnet.world"],
        ["simnet.run"],
        ["simnet.realnet", "simnet.conform"],
        ["simnet.project", "simnet.expect"],
        ["simnet.scenario"],
        ["simnet.explore"],
        ["simnet.strategies", "simnet.stateful"],
        ["simnet.faces"],
        ["simnet.demo"],
        ["simnet.pytest_plugin", "simnet.cli"],
        ["simnet", "simnet.__main__"],  # the face, the door
    ],
    "dispatch": [
        ["dispatch.annotations", "dispatch.errors", "dispatch.statistics"],
        [
            "dispatch.checks",
            "dispatch.current",
            "dispatch.interfaces",
            "dispatch.limits",
            "dispatch.log",
            "dispatch.observers",
            "dispatch.sockets",
        ],
        ["dispatch.pollers", "dispatch.timers"],
        ["dispatch.kernel"],
        ["dispatch.channel", "dispatch.watchful"],
        ["dispatch.delivery", "dispatch.forks", "dispatch.wakeup"],
        ["dispatch.ending"],
        ["dispatch.loop"],
        ["dispatch.dispatcher", "dispatch.extras", "dispatch.vectors"],
        ["dispatch.interrupted"],
        ["dispatch.output"],
        ["dispatch.input"],
        ["dispatch.connector", "dispatch.tls"],
        ["dispatch.stream"],
        ["dispatch.files", "dispatch.datagram"],
        ["dispatch.chat", "dispatch.listener"],
        ["dispatch.maps"],
        ["dispatch.asyncore", "dispatch.asynchat"],
        ["dispatch.installing", "dispatch.preloading"],
        ["dispatch"],  # the face
    ],
}

# Arrows up that are meant, each inside a function: (from, to) -> why.
ARROWS_UP = {
    ("dispatch.interfaces", "dispatch.kernel"): "the kernel is the network of whoever names none, looked up when asked",
    ("dispatch.output", "dispatch.files"): "what sends a file is loaded by the first program that sends one",
}

# What is real, module by module: names that bring in the time of day, dice, other threads, or the machine's network.
CONSTANTS_AND_ERRORS = re.compile(r"[A-Z][A-Z0-9_]+|error|herror|gaierror|timeout")
REAL = {
    "time": re.compile(r".+"),
    "random": re.compile(r"(?!Random$).+"),  # a Random of our own seed is what we draw from
    "secrets": re.compile(r".+"),
    "uuid": re.compile(r"uuid[14]|getnode"),
    "datetime": re.compile(r"now|utcnow|today"),
    "socket": re.compile(rf"(?!(?:{CONSTANTS_AND_ERRORS.pattern})$).+"),
    "_socket": re.compile(r".+"),
    "select": re.compile(rf"(?!(?:{CONSTANTS_AND_ERRORS.pattern})$).+"),
    "selectors": re.compile(r".*Selector(?<!BaseSelector)"),
    "os": re.compile(r"urandom|getrandom|times|getpid|getppid|fork|pipe2?|listdir|scandir"),
    "threading": re.compile(r"Thread|Timer"),
    "_thread": re.compile(r"start_new.*"),
    "subprocess": re.compile(r".+"),
    "multiprocessing": re.compile(r".+"),
}

# Rooms that deal with the real world by trade.
AT_HOME_IN_THE_REAL_WORLD = {
    "simnet.real": "it names the originals, for the rooms below",
    "simnet.standins": "it names what it stands in for",
    "simnet.modules": "it finds the originals in other modules",
    "simnet.realnet": "its processes are threads on real sockets",
    "simnet.conform": "it runs the same calls on the kernel, to compare",
    "simnet.cli": "commands take time and tell it",
    "simnet.faces.commands.examining": "it asks the machine what it allows",
}
# Single uses elsewhere: (room, module) -> why.
REAL_BUT_MEANT = {
    ("simnet.socket", "socket"): "the face of a socket is a subclass of socket.socket",
    ("simnet.calls.systemcall", "socket"): "the face of a socket is a subclass of socket.socket",
    ("simnet.socket", "_socket"): "its instances are made past the stand-in that stands at socket.socket.__new__",
    (
        "simnet.arguments.sockets",
        "_socket",
    ): "CPython's own method looks at arguments, on a socket that has no descriptor",
    ("simnet.calls.sendfile", "socket"): "it gives up by the standard library's own exception",
    ("simnet.backend", "socket"): "it tells which class of sockets a program asked for",
    ("simnet.invariants", "socket"): "it looks for a program's closed sockets, whatever class of them it made",
    (
        "simnet.faces.under_pytest.scenario",
        "subprocess",
    ): "a test with fixtures is played by a pytest that provides them",
}

SIZE_MAX = 500  # lines; most rooms do with 80 to 250, a state machine may take 450

SIMNET = rooms("simnet")
DISPATCH = rooms("dispatch")
HOUSE = SIMNET + DISPATCH
NAMES = {room.name for room in HOUSE}


def holds(rule: str, broken: Iterable[str]) -> None:
    """The rule holds, or the test fails with every place that breaks it, then the rule and its reason."""
    places = list(broken)
    assert not places, "\n".join([*places, f"Rule: {rule}"])


def step_of(name: str) -> tuple[int, str] | None:
    """The step a module stands on, and under which name of the table."""
    steps = STEPS.get(name.partition(".")[0], [])
    while name:
        for number, step in enumerate(steps):
            if name in step:
                return number, name
        name = name.rpartition(".")[0]
        if "." not in name:
            break  # only the face itself stands under a package's bare name
    return None


def module_of(target: str) -> str | None:
    """The module of this house that an import loads: ``simnet.clock.Clock`` and ``simnet.clock`` are both the latter."""
    if target in NAMES:
        return target
    package, _, name = target.rpartition(".")
    return package if package in NAMES and name else None


def loaded(room: Room) -> list[tuple[str, Import]]:
    """What of this house it loads when it runs; what only mypy sees does not count."""
    found = [(module_of(one.target), one) for one in room.imports if not one.typing_only]
    return [(name, one) for name, one in found if name is not None and name != room.name]


# ---- stairs ---------------------------------------------------------------------------------------------------------


def test_every_room_stands_on_a_step() -> None:
    holds(
        "who may import whom is decided when a room is made, or it is decided by accident. Put it into STEPS, on the "
        "step right after everything it needs.",
        (f"{room.place} has no step" for room in HOUSE if step_of(room.name) is None),
    )


def test_imports_go_down_the_stairs() -> None:
    def broken() -> Iterator[str]:
        for room in HOUSE:
            for name, one in loaded(room):
                here, there = step_of(room.name), step_of(name)
                if here is None or there is None or there[1] == here[1]:
                    continue  # test_every_room_stands_on_a_step speaks of those without
                meant = one.lazy and (room.name, name) in ARROWS_UP
                same_package = room.name.partition(".")[0] == name.partition(".")[0]
                if same_package and there[0] > here[0] and not meant:
                    yield f"{room.at(one.line)}   ({there[1]} stands above {here[1]})"

    holds(
        "imports go down the stairs. A lower room that knows an upper one can neither be read, tested nor replaced alone. "
        "Let the upper hand in what the lower needs.",
        broken(),
    )


def test_the_stairs_of_the_architecture_page_are_those_of_the_house() -> None:
    """Each line names rooms of one step or several, and no room stands above one that it may not import."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    for package, steps in STEPS.items():
        at = {name.removeprefix(f"{package}."): number for number, step in enumerate(steps) for name in step}
        _, _, rest = page.partition(f"\n`{package}`:\n\n")
        block = rest[: rest.index("\n\n")].splitlines()
        rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1)[0].split(", ") for line in block]
        named = [name for row in rows for name in row]
        assert sorted(named) == sorted(at.keys() - {package, "__main__"}), package
        for above, below in itertools.pairwise(rows):
            assert min(at[name] for name in above) >= max(at[name] for name in below), (above, below)


def test_there_are_no_circles() -> None:
    graph = {
        room.name: sorted(
            {name for name, one in loaded(room) if not (one.lazy and (room.name, name) in ARROWS_UP)}
            # A package's face is loaded with each of its rooms; what the face loads is no wish of the room.
            - {room.name.rpartition(".")[0]}
        )
        for room in HOUSE
    }
    circle = find_circle(graph)
    holds("no circles. Rooms in a circle are one room with several doors.", [" -> ".join(circle)] if circle else [])


def find_circle(graph: dict[str, list[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for other in graph.get(name, []):
            if (circle := walk(other, [*path, name])) is not None:
                return circle
        done.add(name)
        return None

    return next((circle for name in graph if (circle := walk(name, [])) is not None), None)


def test_a_circle_is_found() -> None:
    assert find_circle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert find_circle({"a": ["b", "c"], "b": ["c"], "c": []}) is None


def test_dispatch_knows_nothing_of_simnet() -> None:
    holds(
        "dispatch imports nothing of simnet, not even for its types. It runs in production, the harness does not, and what "
        "it asks of a network is in dispatch/interfaces.py.",
        (room.at(one.line) for room in DISPATCH for one in room.imports if one.target.partition(".")[0] == "simnet"),
    )


def test_simnet_knows_nothing_of_dispatch() -> None:
    holds(
        "simnet satisfies dispatch by shape, so that it serves every other program as well. Only simnet.observe may look at "
        "a loop, once it is loaded.",
        (
            room.at(one.line)
            for room in SIMNET
            for one in room.imports
            if one.target.partition(".")[0] == "dispatch" and not (room.name == "simnet.observe" and one.lazy)
        ),
    )


def test_the_kernel_knows_nothing_above_it() -> None:
    holds(
        "simnet/kernel is one host's stack; it knows no clock, no loop, no other host, not even for their types. Time and "
        "the way out are handed in.",
        (
            room.at(one.line)
            for room in SIMNET
            for one in room.imports
            if room.name.startswith("simnet.kernel")
            and one.target.partition(".")[0] == "simnet"
            and not one.target.startswith("simnet.kernel")
        ),
    )


# ---- nothing real ---------------------------------------------------------------------------------------------------


def real_uses(room: Room) -> Iterator[tuple[str, str]]:
    """What of the real world a room uses: the module, and the place."""
    for module, forbidden in REAL.items():
        for use in room.uses(module):
            if forbidden.fullmatch(use.name):
                yield module, f"{room.at(use.line)}   ({module}.{use.name})"


def at_home(room: Room) -> bool:
    return any(room.name == home or room.name.startswith(f"{home}.") for home in AT_HOME_IN_THE_REAL_WORLD)


def test_nothing_real_reaches_a_simulation() -> None:
    holds(
        "nothing in simnet/ takes time, chance, threads or sockets from the machine; two runs of one seed would differ. Take "
        "it from the clock or the seed; what must be real goes through simnet.real.",
        (
            place
            for room in SIMNET
            if not at_home(room)
            for module, place in real_uses(room)
            if (room.name, module) not in REAL_BUT_MEANT
        ),
    )


def test_no_set_is_walked_where_its_order_shows() -> None:
    holds(
        "the order of a set depends on hashes, which differ from process to process. Walk a dict or a list, or sorted(...); "
        "where the order truly cannot show, end the line with `# any order: why`.",
        (
            room.at(line)
            for room in SIMNET
            for line in room.set_iterations()
            if "# any order" not in room.lines[line - 1]
        ),
    )


def test_no_address_or_hash_decides_or_is_traced() -> None:
    traced = (
        "simnet.kernel",
        "simnet.clock",
        "simnet.link",
        "simnet.trace",
        "simnet.machine",
        "simnet.network",
        "simnet.wait",
    )
    holds(
        "id() and hash() differ from run to run; ties break by sequence number, and none of them enters a trace.",
        (
            room.at(number)
            for room in SIMNET
            if room.name.startswith(traced)
            for number, line in enumerate(room.lines, 1)
            if re.search(r"(?<![\w.])(?:id|hash)\(", line.partition("#")[0])
        ),
    )


def test_dispatch_asks_socket_select_and_time_when_it_runs() -> None:
    holds(
        "dispatch looks a function of socket, select or time up when it needs it, never at import, neither as a default nor "
        "as a base class. Under simulation another stands in its place.",
        (
            f"{room.at(use.line)}   ({module}.{use.name})"
            for room in DISPATCH
            for module in ("socket", "select", "time")
            for use in room.uses(module)
            if use.at_import and not CONSTANTS_AND_ERRORS.fullmatch(use.name)
        ),
    )


def test_no_exception_outlives_its_reason() -> None:
    arrows = {(room.name, name) for room in HOUSE for name, one in loaded(room) if one.lazy}
    real = {(room.name, module) for room in SIMNET for module, _ in real_uses(room)}
    holds(
        "an exception that nothing needs any more invites the next one. Take its line out of the table.",
        (str(pair) for pair in (ARROWS_UP.keys() - arrows) | (REAL_BUT_MEANT.keys() - real)),
    )


# ---- faces, doors and sizes -----------------------------------------------------------------------------------------


def test_every_room_opens_and_its_face_is_there() -> None:
    def broken() -> Iterator[str]:
        for room in HOUSE:
            if room.name.endswith("__main__"):
                continue  # to open it is to run it
            module = importlib.import_module(room.name)
            names = list(getattr(module, "__all__", []))
            yield from (f"{room.place}: __all__ promises {name}" for name in names if not hasattr(module, name))
            if names != (expected := sorted(set(names), key=face_order)):
                yield f"{room.place}: __all__ should be {expected}"

    holds(
        "a face keeps what it promises, and is sorted: constants, then classes, then functions, so that a reader finds a "
        "name and a change is one line.",
        broken(),
    )


def face_order(name: str) -> tuple[int, list[str | int]]:
    """As ruff sorts them (RUF022): CONSTANTS, Classes, the rest; digits by their value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def test_the_first_line_of_a_file_says_its_idea() -> None:
    def broken() -> Iterator[str]:
        for room in [*HOUSE, *rooms("tests"), *rooms("benchmarks")]:
            first, _, _ = room.opening.partition("\n\n")
            if room.text.strip() and not first.rstrip().endswith((".", "?", "!", ":")):
                yield f"{room.place} opens with {first!r}"

    holds("the first lines of a file say its one idea, in a sentence.", broken())


def test_no_room_is_a_hall() -> None:
    holds(
        "one idea per file. When a second noun appears in its first line, that noun wants a file of its own.",
        (
            f"{room.place} has {len(room.lines)} lines, the limit is {SIZE_MAX}"
            for room in HOUSE
            if len(room.lines) > SIZE_MAX
        ),
    )


def test_classes_leave_their_attributes_to_the_interpreter() -> None:
    """A ``__getattr__`` takes the quick way away from each attribute of its class and of those made of it."""
    asks = re.compile(r"^    +def __getattr(?:ibute)?__\(", re.MULTILINE)
    holds(
        "a class of which a run reads attributes has no __getattr__: a waiting select cost 15 % more by one. Those of what "
        "has ended, of TLS and of the poller's type may.",
        (
            f"{room.place} has a class with one"
            for room in HOUSE
            if asks.search(room.text)
            and room.name
            not in ("simnet.files.ended", "simnet.tls.sockets", "simnet.standins.pollers", "simnet.standins.own_locals")
        ),
    )


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    holds(
        "with an __init__.py two files of one name in two folders are two modules, and tests/simnet does not hide the "
        "package simnet.",
        (f"{folder} has none" for folder in sorted(folders) if not (folder / "__init__.py").exists()),
    )


# ---- what loading costs ---------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_dispatch_loads_nothing_but_the_standard_library() -> None:
    tops = {name.partition(".")[0] for name in loaded_by("import dispatch")}
    strangers = sorted(tops - set(sys.stdlib_module_names) - {"dispatch"})
    assert not strangers, f"`import dispatch` loads {strangers}\nRule: a mail server does not want a test harness."


def test_the_plugin_loads_the_harness_only_when_asked() -> None:
    heavy = sorted(
        loaded_by("import simnet.pytest_plugin") & {"greenlet", "hypothesis", "rich", "msgspec", "simnet.wait"}
    )
    assert not heavy, (
        f"`import simnet.pytest_plugin` loads {heavy}\n"
        "Rule: pytest loads the plugin in every project that has it installed; collection stays fast and coverage honest."
    )
