"""The numbered scripts of schema/: which there are, which are applied, and applying the others in order."""

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from db.clock import now
from db.connection import connect
from db.errors import StartupError
from db.lock import WriteLock
from db.script import split

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    checksum    TEXT    NOT NULL, -- SHA-256 of the script
    applied_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    ms          INTEGER NOT NULL  -- how long it took
) STRICT
"""


@dataclass(frozen=True)
class Migration:
    """One script, schema/NNNN_name.sql."""

    version: int
    name: str
    path: Path
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script in hexadecimal: how the ledger knows that it was not edited."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04d} {self.name}"


@dataclass(frozen=True)
class Applied:
    """A row of the ledger. `ms` is how long the script took, in milliseconds."""

    version: int
    name: str
    checksum: str
    applied_at: str
    ms: int


def find_scripts(folder: Path) -> list[Migration]:
    """Every script of the folder in the order of its number. Raises StartupError for a number missing or doubled."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name)
        if match:
            migrations.append(Migration(int(match[1]), match[2], path, path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise StartupError(
                f"{migration.path}: expected number {expected:04d} here; scripts are numbered without gaps"
            )
    return migrations


def applied(connection: sqlite3.Connection) -> list[Applied]:
    """The ledger, oldest first; empty in a database that was never migrated."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").fetchone()
    if not known:
        return []
    rows = connection.execute("SELECT version, name, checksum, applied_at, ms FROM schema_migrations ORDER BY version")
    return [Applied(*row) for row in rows.fetchall()]


def pending(scripts: list[Migration], ledger: list[Applied]) -> list[Migration]:
    """The scripts that are still to be applied.

    Raises StartupError when the database does not fit the scripts: newer than the code, or a script that
    was edited after it was applied."""
    by_version = {migration.version: migration for migration in scripts}
    for row in ledger:
        script = by_version.get(row.version)
        if script is None:
            raise StartupError(
                f"the database is newer than this code: it has script {row.version:04d} {row.name}, and schema/ ends "
                f"at {len(scripts):04d}; run the newer version, or restore a backup from before its migration"
            )
        if script.checksum != row.checksum:
            raise StartupError(
                f"{script.path}: edited after it was applied on {row.applied_at}; "
                f"take the edit back, and make the change in a new script"
            )
    return scripts[len(ledger) :]


def migrate(database: Path, folder: Path, report: Callable[[str], None] = lambda line: None) -> list[Migration]:
    """Apply what is pending, each script in one transaction with its row in the ledger; returns what was applied.

    Creates the database where there is none. Two that start at once take turns, and the second finds it
    done. Raises StartupError, which names file and line; what was applied before that stays."""
    scripts = find_scripts(folder)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with closing(WriteLock(database)) as lock, lock, closing(connect(database, create=True)) as connection:
            todo = pending(scripts, applied(connection))
            _use_wal(connection, database)
            for migration in todo:
                _apply(connection, migration)
                report(f"applied {migration}")
            return todo
    except OSError as error:
        raise StartupError(
            f"{error.filename}: {error.strerror}; ROWBOAT_DATABASE needs a folder that can be written"
        ) from error


def _use_wal(connection: sqlite3.Connection, database: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StartupError(
            f"{database}: SQLite cannot use its write-ahead log here (journal mode stays {mode}); use a local disk"
        )


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    began = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_LEDGER)
        for statement in split(migration.sql):
            try:
                connection.execute(statement.sql)
            except sqlite3.Error as error:
                raise StartupError(f"{migration.path}:{statement.line_of(error)}: {error}") from error
        ms = round((time.monotonic() - began) * 1000)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at, ms) VALUES (?, ?, ?, ?, ?)",
            (migration.version, migration.name, migration.checksum, now(), ms),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
