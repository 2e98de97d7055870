"""The schema as text: dumped for people to read, and compared with what the scripts build."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from db.connection import connect
from db.errors import StartupError
from db.migrations import Migration, Report, apply, find_migrations, irreversible, pending, read_ledger
from db.script import blank_comments

_HEADER = """\
-- The whole schema, as the scripts in this folder build it, by table.
-- Made by `python app.py schema dump`; do not edit. The reasons stand in the scripts.
"""

# A name in double quotes; comments and texts match as a whole, so that nothing within them does.
_QUOTED_NAME = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(\w+)\"""", re.DOTALL)


class Thing(NamedTuple):
    """A table, index, trigger or view, with the table to which it belongs and its SQL."""

    table: str
    kind: str
    name: str
    sql: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def things(connection: sqlite3.Connection) -> list[Thing]:
    """What the schema consists of, by table, each table before what belongs to it.

    Left out are SQLite's own objects, the shadow tables of virtual tables, the ledger and Litestream's tables."""
    # An index that a constraint made has no SQL; table_list knows shadow tables.
    rows = connection.execute(
        """
        SELECT tbl_name, type, name, sql
          FROM sqlite_schema
         WHERE sql IS NOT NULL
           AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
           AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND tbl_name NOT LIKE '\\_litestream\\_%' ESCAPE '\\'
           AND tbl_name <> 'schema_migrations'
         ORDER BY tbl_name, type NOT IN ('table', 'view'), type, name
        """
    )
    found = [Thing(*row) for row in rows.fetchall()]
    plain = {thing.name for thing in found if thing.kind in ("table", "view") and _is_plain(thing.name)}
    return [thing._replace(sql=_without_quotes(thing.sql, plain)) for thing in found]


def _is_plain(name: str) -> bool:
    """Whether a name can be written without quotes."""
    if not name.isidentifier():
        return False
    with closing(sqlite3.connect(":memory:")) as nowhere:
        try:
            nowhere.execute(f"EXPLAIN SELECT 1 AS {name}")
        except sqlite3.Error:  # a keyword
            return False
    return True


def _without_quotes(sql: str, names: set[str]) -> str:
    """The same text as people would write it. ALTER TABLE … RENAME puts the name in quotes wherever it stands."""

    def plain(match: re.Match[str]) -> str:
        return match[1] if match[1] in names else match[0]

    return _QUOTED_NAME.sub(plain, sql)


def dump(connection: sqlite3.Connection) -> str:
    """The schema as one script, the same for the same schema."""
    return _HEADER + "".join(f"\n{thing.sql};\n" for thing in things(connection))


def build(folder: Path) -> sqlite3.Connection:
    """A database in memory with every script applied, and nothing in it but the rows that scripts insert."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in find_migrations(folder):
        _apply(connection, migration.up, migration)
    return connection


def differences(live: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """A line for each thing, and each column, in which a live database differs from what the scripts build."""
    with closing(build(folder)) as built:
        expected = {str(thing): thing for thing in things(built)}
        actual = {str(thing): thing for thing in things(live)}
        for name in sorted(expected.keys() | actual.keys()):
            if name not in actual:
                yield f"{name}: missing"
            elif name not in expected:
                yield f"{name}: not in the scripts"
            elif _code(expected[name]) != _code(actual[name]):
                is_table = expected[name].kind == "table"
                columns = list(_column_differences(built, live, expected[name].name)) if is_table else []
                yield from columns or [f"{name}: differs"]


def _column_differences(built: sqlite3.Connection, live: sqlite3.Connection, table: str) -> Iterator[str]:
    expected, actual = _columns(built, table), _columns(live, table)
    for name in expected | actual:
        if expected.get(name) != actual.get(name):
            how = "missing" if name not in actual else "not in the scripts" if name not in expected else "differs"
            yield f"column {table}.{name}: {how}"


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[object, ...]]:
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', (table,)
    )
    return {name: tuple(rest) for name, *rest in rows.fetchall()}


def _code(thing: Thing) -> str:
    return " ".join(blank_comments(thing.sql).split())


def verify(folder: Path) -> Iterator[str]:
    """Apply each script, undo it, apply it again, in memory; a line for each that went well.

    Raises StartupError where undoing does not lead back to the schema of before, or where applying it again
    fails or leads to another schema than the first time."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for migration in find_migrations(folder):
            before = things(connection)
            _apply(connection, migration.up, migration)
            after = things(connection)
            reason = irreversible(migration)
            if reason is not None:
                yield f"{migration}: up; cannot be undone: {reason}"
                continue
            _apply(connection, migration.down, migration)
            _require_same(before, things(connection), migration.down, "leads back to another schema than before")
            try:
                _apply(connection, migration.up, migration)
            except StartupError as error:
                raise StartupError(f"{error} (the second time, after {migration.down.name})") from error
            _require_same(after, things(connection), migration.up, "builds another schema the second time")
            yield f"{migration}: up, down, up"


def verify_with_rows(database: Path, folder: Path) -> Iterator[str]:
    """Bring a scratch database up to date, then undo and apply again each script, newest first, on the rows that are
    there; a line for each that went well. Stops at the first one that cannot be undone.

    Raises StartupError where a script fails on these rows."""
    migrations = find_migrations(folder)
    with closing(connect(database)) as connection:
        for migration in pending(migrations, read_ledger(connection)):
            _apply(connection, migration.up, migration)
            yield f"{migration}: up, with rows"
        for migration in reversed(migrations):
            if irreversible(migration) is not None:
                return
            for script in (migration.down, migration.up, migration.down):
                _apply(connection, script, migration)
            yield f"{migration}: down, up, with rows"


def _apply(connection: sqlite3.Connection, script: Path, migration: Migration) -> None:
    apply(connection, script, Report(), str(migration), lambda: None)


def _require_same(expected: list[Thing], actual: list[Thing], script: Path, problem: str) -> None:
    odd = set(expected) ^ set(actual)
    if odd:
        raise StartupError(f"{script}: {problem}: see {', '.join(sorted({str(thing) for thing in odd}))}")
