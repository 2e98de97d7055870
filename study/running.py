"""Running a reading file of sql/ for people who look at it: on real data, but never on what is secret, nor for long."""

import json
import re
import sqlite3
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from db import Database
from db.script import code_only
from db.statements import SQLFile

MOST_SECONDS = 1.0
MOST_ROWS = 100
MOST_SENT = 2000  # characters of a parameter: within one step of the full-text search nobody looks at the clock
MOST_BYTES = 5_000_000  # of one value
MOST_CHARACTERS = 100_000  # of a result as JSON

# What nobody reads here, in any table: what proves who one is, and where one can be reached. By words in the names of
# columns, so that those are hidden too that a fork adds.
_SECRET_NAME = re.compile(r"password|passwd|secret|token|hash|salt|credential|mail|address|phone|api_key")
# Their names do not tell that these hold addresses of clients, hashes of emails, and what a client says that it is.
_SECRET_COLUMNS = {("attempts", "subject"), ("sessions", "user_agent")}

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

_EXAMPLES = tomllib.loads(Path(__file__).with_name("examples.toml").read_text(encoding="utf-8-sig"))
_TYPES: dict[str, Callable[[str], Any]] = {"INTEGER": int, "REAL": float, "TEXT": str}
_STEPS_BETWEEN_LOOKS = 1000


class Unusable(Exception):
    """What was asked cannot be run; the message says why, for people."""


@dataclass
class Result:
    """What a file answered. `hidden` are the columns that were read as NULL; `more` tells that rows were left out."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool
    ms: float
    hidden: list[str]

    def as_json(self) -> str:
        """The same, written as JSON for people; texts that are JSON are taken apart."""
        found = [dict(zip(self.columns, map(_parsed, row), strict=True)) for row in self.rows]
        body = found[0]["response"] if self.columns == ["response"] and len(found) == 1 else found
        return json.dumps(body, ensure_ascii=False, indent=2)[:MOST_CHARACTERS]


def _parsed(value: Any) -> Any:
    with suppress(ValueError):
        return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
    return value


def is_hidden(table: str, column: str) -> bool:
    """Whether these pages show NULL in place of what a column holds."""
    return bool(_SECRET_NAME.search(column.lower())) or (table, column) in _SECRET_COLUMNS


@contextmanager
def guarded(database: Database, hidden: set[str]) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, sees NULL in place of secrets (whose columns are added to `hidden`), and runs for
    at most MOST_SECONDS, then with sqlite3.OperationalError: interrupted."""

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first and second and is_hidden(first, second):
            hidden.add(f"{first}.{second}")
            return sqlite3.SQLITE_IGNORE
        # The full-text search asks for data_version, whether its index was changed by others.
        if action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first == "data_version"):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    with closing(database.connect(query_only=True)) as connection:
        # A virtual table's first use on a connection declares it, which the authorizer would refuse.
        virtual = connection.execute("SELECT name FROM pragma_table_list WHERE type = 'virtual'").fetchall()
        for (table,) in [*virtual, ("json_each",), ("json_tree",)]:
            connection.execute(f'SELECT 1 FROM "{table}" LIMIT 0').fetchall()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        connection.set_authorizer(authorize)
        until = database.clock.monotonic() + MOST_SECONDS
        connection.set_progress_handler(lambda: database.clock.monotonic() > until, _STEPS_BETWEEN_LOOKS)
        yield connection


def run(database: Database, file: SQLFile, values: Mapping[str, Any]) -> Result:
    """What a reading file answers to these parameters. Raises Unusable."""
    if file.writes:
        raise Unusable("This file writes, and these pages never do.")
    if any(re.search(r"\b(using|natural)\b", code_only(statement), re.IGNORECASE) for statement in file.statements):
        raise Unusable("It joins by USING or NATURAL, whose columns SQLite shows to no authorizer: write ON.")
    hidden: set[str] = set()
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    try:
        with guarded(database, hidden) as connection:
            for _ in range(2):  # the second time it is prepared, and its pages are in memory, as on a server that runs
                began = time.perf_counter()
                for statement in file.statements:
                    with closing(connection.execute(statement, values)) as cursor:
                        rows = cursor.fetchmany(MOST_ROWS + 1)
                        columns = [column[0] for column in cursor.description]
                ms = 1000 * (time.perf_counter() - began)
    except (sqlite3.Error, OverflowError) as error:
        if "interrupted" in str(error):
            raise Unusable(f"It took more than {MOST_SECONDS:g} s, and was stopped: nothing long runs here.") from error
        raise Unusable(f"SQLite says: {error}.") from error
    return Result(columns, rows[:MOST_ROWS], len(rows) > MOST_ROWS, ms, sorted(hidden))


def parse(file: SQLFile, sent: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a file from the fields of its form, each of the type that its header names. Raises Unusable."""
    found: dict[str, Any] = {}
    for name, kind in file.parameters.items():
        is_null = kind.endswith("NULL") and not sent.get(name) and (f"{name}~null" in sent or name not in sent)
        try:
            found[name] = None if is_null else _TYPES[kind.split()[0]](sent.get(name, ""))
        except ValueError:
            raise Unusable(f":{name} is {kind}, which {sent.get(name, '')[:40]!r} is not.") from None
        if len(str(found[name])) > MOST_SENT:
            raise Unusable(f":{name} is longer than {MOST_SENT:,} characters.")
    return found


def examples(database: Database, file: SQLFile) -> dict[str, Any]:
    """A value for each parameter of a file, from what the database holds, with which it answers something."""
    resource = file.name.partition("/")[0]
    clock = database.clock
    known = {"now": clock.now(), "month_ago": clock.ago(timedelta(30)), "hour_ago": clock.ago(timedelta(hours=1))}
    found: dict[str, Any] = {}
    with guarded(database, set()) as connection:
        for name, kind in file.parameters.items():
            places = (_EXAMPLES.get(place, {}).get(name) for place in (file.name, resource, "any"))
            own = None if kind.endswith("NULL") else f"SELECT {name} FROM {resource} ORDER BY rowid DESC LIMIT 1"
            try:
                row = connection.execute(next(filter(None, places), own) or "SELECT NULL", known).fetchone()
            except sqlite3.Error:  # a fork has other tables
                row = None
            found[name] = row[0] if row else None
    return found


def count(database: Database, table: str) -> str:
    """How many rows a table has, in words; more than can be counted in the time are many."""
    try:
        with guarded(database, set()) as connection:
            return f"{connection.execute(f'SELECT count(*) FROM {table}').fetchone()[0]:,} rows"
    except sqlite3.Error:
        return f"More rows than can be counted in {MOST_SECONDS:g} s"
