"""Mutation tests of sql/: a file is made wrong in one place, and the tests that run it have to notice.

    .venv/bin/python -m tests.mutate_sql [NAME …]

Each NAME is how mutants begin, such as `articles/` or `users/update: NOT`; without one, all are meant. A mutant meets
the tests that run its file in their own process, those first that run few others, until one fails. Those of
tests/db/test_plans.py would notice whatever changes, and are left out. Prints the mutants that survive, and ends with 1
where these are others than those in tests/equivalent_mutants.txt, which meet only the 300 nearest tests each.
SAMPLE=100 runs so many of all, always the same."""

import hashlib
import itertools
import json
import os
import random
import re
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

import db.database
from db import Row
from db.connection import connect
from db.migrations import migrate
from db.script import blank_comments
from db.statements import SQLFile, load
from tests.clock import ManualClock

HOME = Path(__file__).parents[1]
EQUIVALENT = HOME / "tests/equivalent_mutants.txt"
TESTS = ["tests", "--ignore=tests/db/test_plans.py", "--ignore=tests/system", "--ignore=tests/docs"]

PASSED, FAILED = 0, 1

# So many tests meet a mutant that is known to survive: all of them take minutes.
ENOUGH_TESTS = 300

# A disk that waits for nothing, where there is one.
MEMORY = Path("/dev/shm")

# A mutant may make a test wait for ever: after so many seconds and five times what its tests take, it counts as killed.
PATIENCE_S = 30

# Or for more and more memory.
MOST_BYTES = 4 * 1024**3

SEED = 20260131

REPLACEMENTS = [
    (re.compile(pattern), new)
    for pattern, new in [
        (r"\bNOT (?!INDEXED|MATERIALIZED)", ""),
        (r"\bIS NULL\b", "IS NOT NULL"),
        (r"\biif\(", "iif(NOT "),
        (r"\bDESC\b", "ASC"),
        (r"\b(ORDER BY [\w.]+)(?! DESC|[\w.])", r"\1 DESC"),
        (r"(?<!<)<(?![<=>])", "<="),
        (r"<=", "<"),
        (r"(?<![-<>])>(?![>=])", ">="),
        (r">=", ">"),
        (r"<>", "="),
        (r"\bmin\(", "max("),
        (r"\bmax\(", "min("),
        (r" [+-] 1\b", ""),
        (r"\bLEFT JOIN\b", "JOIN"),
        (r"\bDISTINCT\b", ""),
        (r"\bLIMIT [^)\n;]+", ""),
        (r"\bOFFSET :\w+", ""),
        (r"\bON CONFLICT [^;]+", ""),
        (r"\bDO UPDATE\b[^;]+", "DO NOTHING"),
        (r"(IN \('\w+'), '\w+'", r"\1"),
        (r"(IN \()'\w+', ", r"\1"),
    ]
]

# What begins and ends a condition, together with parentheses and commas.
_EDGE = re.compile(
    r"\bBETWEEN\b.*?\bAND\b|[(),;]|\b(?:ON CONFLICT|WHERE|AND|OR|ON|WHEN|THEN|ELSE|END|AS|FROM|LEFT|CROSS|JOIN|UNION"
    r"|GROUP|ORDER|LIMIT|WINDOW)\b",
    re.DOTALL,
)


class Mutant(NamedTuple):
    """A file with one change: its name, the change in words, its line, and the statements."""

    file: str
    change: str
    line: int
    statements: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.change}"


def mutants_of(file: SQLFile) -> Iterator[Mutant]:
    """Every mutant of a file, whether SQLite would run it or not."""
    times: Counter[str] = Counter()
    for number, statement in enumerate(file.statements):
        before, after = file.statements[:number], file.statements[number + 1 :]
        above = 1 + sum(each.count("\n") for each in before)
        if re.search(r"\b(INSERT|UPDATE|DELETE|AS verdict)\b", blank_comments(statement)):
            yield Mutant(file.name, f"without statement {number + 1}", above, before + after)
        for place, old, new in changes(statement):
            change = f"{_short(old)} → {_short(new)}".rstrip()
            times[change] += 1
            changed = statement[:place] + new + statement[place + len(old) :]
            yield Mutant(
                file.name,
                change + (f" ({times[change]})" if times[change] > 1 else ""),
                above + statement.count("\n", 0, place),
                (*before, changed, *after),
            )


def _short(sql: str) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= 70 else f"{words[:34]} … {words[-34:]}"


def changes(sql: str) -> Iterator[tuple[int, str, str]]:
    """What may be changed in a statement: where, what stands there, and what shall."""
    # Neither comments nor what texts hold is code; whatever is, keeps its place.
    code = re.sub(r"'(?:[^']|'')*'", lambda text: f"'{'x' * (len(text[0]) - 2)}'", blank_comments(sql))
    for pattern, new in REPLACEMENTS:
        for match in pattern.finditer(code):
            old = sql[slice(*match.span())]
            yield match.start(), old, pattern.sub(new, old, count=1)
    for begin, end, neutral in conditions(code):
        yield begin, sql[begin:end], neutral


def conditions(code: str) -> Iterator[tuple[int, int, str]]:
    """The terms of every condition: where each begins and ends, and what takes it out."""
    opened = [("", 0)]  # for each parenthesis that is open: the last word in it, and where that ended
    for edge in _EDGE.finditer(code + ";"):
        word, begin = opened[-1]
        if edge[0] == "(":
            opened.append(("(", edge.end()))
            continue
        if edge[0].startswith("BETWEEN"):
            continue
        term = code[begin : edge.start()]
        if word in ("WHERE", "AND", "OR", "ON", "WHEN") or edge[0] == "OR":
            neutral = "false" if "OR" in (word, edge[0]) else "NULL" if (word, edge[0]) == ("WHEN", "THEN") else "true"
            if term.strip() not in ("true", ""):
                yield begin + len(term) - len(term.lstrip()), begin + len(term.rstrip()), neutral
        if edge[0] == ")":
            opened.pop()
        else:
            opened[-1] = (edge[0], edge.end())


def compiles(mutant: Mutant, connection: sqlite3.Connection) -> bool:
    """Whether SQLite would run it."""
    try:
        for statement in mutant.statements:
            connection.execute(f"EXPLAIN {statement}", dict.fromkeys(re.findall(r":(\w+)", statement)))
    except sqlite3.Error:
        return False
    return True


def all_mutants() -> tuple[dict[str, SQLFile], list[Mutant]]:
    """The files of sql/, and their mutants without those that SQLite would refuse."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(Path(folder) / "rowboat.db", HOME / "schema", clock=ManualClock())
        with closing(connect(Path(folder) / "rowboat.db")) as connection:
            files = load(HOME / "sql", connection)
            mutants = [mutant for file in files.values() for mutant in mutants_of(file)]
            return files, [mutant for mutant in mutants if compiles(mutant, connection)]


class Mutation:
    """A plugin of pytest that lets the tests of each mutant's file run in a child process of their own."""

    def __init__(self, files: dict[str, SQLFile], mutants: list[Mutant]) -> None:
        self.files = files
        self.mutants = mutants
        self.survivors: list[Mutant] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the mutants, where pytest would run the tests."""
        db.database.load = self._load  # to compile them all takes longer than most tests
        _set_up(session)
        tests = _tests_by_file(session)

        def survives(mutant: Mutant) -> bool:
            self.files = ours | {mutant.file: replace(ours[mutant.file], statements=mutant.statements)}
            seconds, items = tests.get(mutant.file, (0, []))
            if not items:
                return True
            if str(mutant) in equivalent:
                items = items[:ENOUGH_TESTS]
            return _in_child(lambda: _run(session, items), PATIENCE_S + 5 * int(seconds)) == PASSED

        ours, equivalent = self.files, known()
        for file, mutants in itertools.groupby(self.mutants, key=lambda mutant: mutant.file):
            of_file = list(mutants)
            found = [mutant for mutant in of_file if survives(mutant)]
            print(f"{file}: {len(of_file)} mutants, {len(found)} survive", *found, sep="\n  ", flush=True)
            self.survivors += found
        return True

    def _load(self, folder: Path, connection: sqlite3.Connection) -> dict[str, SQLFile]:
        return self.files if folder == HOME / "sql" else load(folder, connection)


def _set_up(session: pytest.Session) -> None:
    """Set up what all tests share, so that not every child has to: a migrated database."""
    # Both lie directly in tests/: pytest refuses a test that has not all the folders of the one before it.
    items = [item for item in session.items if item.path.parent == HOME / "tests"]
    shares = next(item for item in items if "db" in item.fixturenames)
    following = next(item for item in items if item.path != shares.path)
    session.config.hook.pytest_runtest_protocol(item=shares, nextitem=following)
    if session.testsfailed:
        raise pytest.UsageError(f"fails without a mutant: {shares.nodeid}; run it by itself")


def _tests_by_file(session: pytest.Session) -> dict[str, tuple[float, list[pytest.Item]]]:
    """The tests that run each file, those first that run the fewest others: these are about it. And their seconds."""
    modules: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in session.items:
        if "db" in item.fixturenames:
            modules[item.path].append(item)
    tests: dict[str, list[tuple[int, float, pytest.Item]]] = defaultdict(list)
    for path, items in modules.items():
        for item, (seconds, files) in zip(items, _recorded(session, path, items), strict=True):
            for file in files:
                tests[file].append((len(files), seconds, item))
    return {
        file: (sum(each[1] for each in found), [item for *_, item in sorted(found, key=lambda each: each[:2])])
        for file, found in tests.items()
    }


def _recorded(session: pytest.Session, path: Path, items: list[pytest.Item]) -> list[tuple[float, list[str]]]:
    """Of each test of a module, how many seconds it takes and which files it runs; kept until the module changes."""
    key = f"mutate_sql/{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()}"
    recorded = session.config.cache.get(key, None)
    if recorded is None:
        with tempfile.NamedTemporaryFile() as written:
            _in_child(lambda: _record(session, items, written.name), 100 * PATIENCE_S)
            recorded = json.load(written)
        session.config.cache.set(key, recorded)
    return recorded


def _record(session: pytest.Session, items: list[pytest.Item], path: str) -> int:
    """Write down what `_recorded` tells. A test that fails also without a mutant counts as one that runs no file."""
    run_file, rows = db.database._run_file, db.Database.rows
    ran: set[str] = set()

    def noted(connection: sqlite3.Connection, file: SQLFile, parameters: Row) -> Row | None:
        ran.add(file.name)
        return run_file(connection, file, parameters)

    def noted_rows(database: db.Database, name: str, **parameters: object) -> object:
        ran.add(name)
        return rows(database, name, **parameters)

    db.database._run_file, db.Database.rows = noted, noted_rows
    recorded = []
    for item in items:
        ran.clear()
        began = time.perf_counter()
        if _run(session, [item]) != PASSED:
            print(f"left out, for it fails without a mutant: {item.nodeid}", file=sys.stderr)
            session.testsfailed = 0
            ran.clear()
        recorded.append((time.perf_counter() - began, sorted(ran)))
    Path(path).write_text(json.dumps(recorded))
    return PASSED


def _run(session: pytest.Session, items: list[pytest.Item]) -> int:
    """Run tests until one fails."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return FAILED
    return PASSED


def _in_child(work: Callable[[], int], seconds: int) -> int:
    """The exit status of a process that does this work, and prints nothing."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = FAILED
    try:
        signal.alarm(seconds)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = work()
    finally:
        os._exit(status)


def known() -> list[str]:
    """What tests/equivalent_mutants.txt lists: mutants that no test can tell from the file, or need not."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def main(*beginnings: str) -> int:
    """Run the mutants that begin so. Returns 1 where others survive than are known to."""
    files, mutants = all_mutants()
    if "SAMPLE" in os.environ:
        random.Random(SEED).shuffle(mutants)
        mutants = sorted(mutants[: int(os.environ["SAMPLE"])])
    mutants = [mutant for mutant in mutants if str(mutant).startswith(beginnings or ("",))]
    mutation = Mutation(files, mutants)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        options = ["-qq", "-s", "--no-header", "-p", "no:randomly", f"--basetemp={folder}/tests"]
        if status := pytest.main([*TESTS, *options], plugins=[mutation]):  # interrupted, say
            return int(status)
    survivors = {str(mutant): mutant.line for mutant in mutation.survivors}
    expected = {*known()} & {str(mutant) for mutant in mutants}
    for name in survivors.keys() - expected:
        print(f"sql/{name.replace(':', f'.sql:{survivors[name]}:', 1)} survives")
    for name in expected - survivors.keys():
        print(f"{name}: stands in {EQUIVALENT.name}, and does not survive")
    print(f"{len(mutants)} mutants, {len(mutants) - len(survivors)} killed, {len(survivors)} survive")
    return int(survivors.keys() != expected)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
