"""The numbered scripts of schema/: which there are, which are applied, and going up and down between them."""

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clock import SYSTEM_CLOCK, Clock
from db.backup import Running, back_up_before, orphan
from db.checks import require_parents, require_rows_kept, row_counts, turns_foreign_keys_off
from db.errors import StartupError, Unusable
from db.lock import exclusive
from db.script import Statement, blank_comments, read_script, split, visible

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    checksum    TEXT    NOT NULL, -- SHA-256 of the script
    applied_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    ms          INTEGER NOT NULL  -- how long it took
) STRICT
"""

# What would end or escape the one transaction in which a script runs. It is told by its first word: SQLite's
# authorizer would also refuse the PRAGMA with which a virtual table sees to itself.
_REFUSED = re.compile(r"(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA|ATTACH|DETACH|VACUUM)\b", re.IGNORECASE)

# How many steps of SQLite's machine lie between two looks at the clock and at Ctrl-C: some milliseconds.
_STEPS_BETWEEN_LOOKS = 100_000


@dataclass(frozen=True)
class Migration:
    """A pair of scripts, schema/NNNN_name.sql and schema/NNNN_name.down.sql."""

    version: int
    name: str
    up: Path
    down: Path

    @property
    def checksum(self) -> str:
        """SHA-256 of the up script in hexadecimal: how the ledger knows that it was not edited."""
        return hashlib.sha256(self.up.read_bytes()).hexdigest()

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


@dataclass(frozen=True)
class Report:
    """Where the runner tells what it does: `line` gets what was done, `running` what goes on and how far it is."""

    line: Callable[[str], None] = lambda text: None
    running: Running = lambda text, share: None


def find_migrations(folder: Path) -> list[Migration]:
    """Every pair of scripts in the order of its number.

    Raises StartupError for a number that is missing or stands twice, and for a script without its down script."""
    migrations: list[Migration] = []
    for path in visible(folder, "*.sql"):
        if path.name == "schema.sql":
            continue
        if path.name.endswith(".down.sql"):
            if not path.with_name(path.name.replace(".down.sql", ".sql")).exists():
                raise StartupError(f"{path}: the script that it undoes is missing; put it back, or delete this one too")
            continue
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name)
        if not match or match[1] == "0000":
            raise StartupError(f"{path}: not a script's name; call it NNNN_name.sql, from 0001 on")
        migration = Migration(int(match[1]), match[2], path, path.with_suffix(".down.sql"))
        expected = len(migrations) + 1
        if migration.version < expected:
            raise StartupError(
                f"{path}: {migrations[-1].up.name} has the same number; give the newer one the next number"
            )
        if migration.version > expected:
            raise StartupError(f"{path}: there is no script {expected:04d}; scripts are numbered without gaps")
        if not migration.down.exists():
            raise StartupError(
                f"{path}: {migration.down.name} is missing; write how to undo it, or a comment why nobody can"
            )
        migrations.append(migration)
    return migrations


def read_ledger(connection: sqlite3.Connection) -> list[Applied]:
    """What was applied, oldest first; nothing in a database that was never migrated."""
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").fetchone():
            return []
        rows = connection.execute(
            "SELECT version, name, checksum, applied_at, ms FROM schema_migrations ORDER BY version"
        )
        return [Applied(*row) for row in rows.fetchall()]
    except sqlite3.DatabaseError as error:  # another program's table, or a damaged file
        _, _, file = connection.execute("PRAGMA database_list").fetchone()
        raise Unusable(
            file,
            f"cannot read what was applied: {error}",
            "name another one (--database, ROWBOAT_DATABASE), or restore a copy",
        ) from error


def states(migrations: list[Migration], ledger: list[Applied]) -> Iterator[tuple[str, int, str, Applied | None]]:
    """Each script's state, number, name and row in the ledger, in order.

    The state is applied, pending, edited (after it was applied) or missing (applied, and no longer there)."""
    scripts = {migration.version: migration for migration in migrations}
    rows = {row.version: row for row in ledger}
    for version in sorted(scripts.keys() | rows.keys()):
        script, row = scripts.get(version), rows.get(version)
        if row is None:
            assert script
            yield "pending", version, script.name, None
        elif script is None:
            yield "missing", version, row.name, row
        else:
            edited = (script.name, script.checksum) != (row.name, row.checksum)
            yield "edited" if edited else "applied", version, row.name, row


def pending(migrations: list[Migration], ledger: list[Applied], to: int | None = None) -> list[Migration]:
    """The scripts that are still to be applied, up to number `to`.

    Raises StartupError where the ledger does not fit the scripts, or where going up does not lead to `to`."""
    _require_number(migrations, to)
    newest = ledger[-1].version if ledger else 0
    for state, version, name, row in states(migrations, ledger):
        script = migrations[version - 1] if version <= len(migrations) else None
        if state == "missing":
            raise StartupError(
                f"the database is newer than this code: script {version:04d} {name} was applied, and schema/ ends at "
                f"{len(migrations):04d}; run the newer code, or restore a copy from before that script"
            )
        if state == "edited" and script and row:
            change = "edited" if script.name == name else f"called {version:04d}_{name}.sql"
            when = "after it was applied on" if script.name == name else "when it was applied on"
            raise StartupError(
                f"{script.up}: {change} {when} {row.applied_at}; "
                "put it back as it was, and write what is new as a script with the next number"
            )
        if state == "pending" and version < newest:
            raise StartupError(
                f"{migrations[version - 1].up}: appeared below {newest:04d}, which is applied; give it the next number"
            )
    if to is not None and to < len(ledger):
        raise StartupError(f"the database is at {len(ledger):04d} already; `rollback --to {to}` goes back")
    return migrations[len(ledger) : to]


def migrate(
    database: Path,
    folder: Path,
    report: Report = Report(),
    *,
    to: int | None = None,
    backup: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Migration]:
    """Apply what is pending, up to number `to`; returns what was applied.

    Creates the database where there is none; of one that holds anything a copy is written before the first
    script, unless `backup` is off (see db/backup.py). Each script is one transaction with its row in the
    ledger. Two that start at once take turns, and the second finds it done. Raises StartupError, which names
    file and line: then that script has changed nothing, and those before it stay applied."""
    database = database.resolve()
    migrations = find_migrations(folder)
    _require_number(migrations, to)
    is_new = not database.exists()
    with exclusive(database) as connection:
        try:
            todo = pending(migrations, read_ledger(connection), to)
            for migration in todo:
                if not blank_comments(read_script(migration.up)).strip():
                    raise StartupError(f"{migration.up}: holds no statement yet; write it, or delete the pair")
            if todo and backup and holds_data(connection):
                report.line(f"kept a copy in {back_up_before(database, f'{todo[0].version:04d}', report.running)}")
            for migration in todo:
                _run(connection, migration, migration.up, report, clock.now())
            return todo
        except BaseException:
            if is_new and not read_ledger(connection):
                connection.close()
                _remove(database)
            raise


def rollback(
    database: Path, folder: Path, report: Report = Report(), *, to: int, backup: bool = True
) -> list[Migration]:
    """Undo the scripts above number `to`, newest first; returns what was undone. `migrate` has the details.

    Raises StartupError before anything is touched where one of them cannot be undone."""
    migrations = find_migrations(folder)
    _require_number(migrations, to)
    if not database.exists():
        raise StartupError(f"{database}: there is no such database")
    with exclusive(database) as connection:
        ledger = read_ledger(connection)
        pending(migrations, ledger)
        todo = migrations[to : len(ledger)][::-1]
        for migration in todo:
            reason = irreversible(migration)
            if reason is not None:
                raise StartupError(f"{migration.down}: cannot be undone: {reason}")
        if todo and backup:
            copy = back_up_before(database, f"rollback-{todo[0].version:04d}", report.running)
            report.line(f"kept a copy in {copy}")
        for migration in todo:
            _run(connection, migration, migration.down, report, now="")
        return todo


def irreversible(migration: Migration) -> str | None:
    """Why a script cannot be undone, which is all that its down script says; None where it can."""
    script = read_script(migration.down)
    if blank_comments(script).strip():
        return None
    return " ".join(line.strip("- \ufeff") for line in script.splitlines()).strip() or "its down script is empty"


def apply(
    connection: sqlite3.Connection, script: Path, report: Report, what: str, and_then: Callable[[], None]
) -> None:
    """Run a script and `and_then` in one transaction.

    Raises StartupError, which names file, line and statement; then nothing has changed."""
    text = read_script(script)
    rebuilds = turns_foreign_keys_off(script, text)
    if rebuilds:
        # https://sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes": both pragmas do
        # nothing within a transaction. The second leaves triggers alone that name the table in the meantime.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA legacy_alter_table = ON")
    committing = False
    try:
        connection.execute("BEGIN IMMEDIATE")
        before = row_counts(connection)
        for statement in split(text):
            _execute(connection, script, statement, report, what)
        require_rows_kept(script, text, before, row_counts(connection))
        require_parents(connection, script)
        if rebuilds and (found := orphan(connection)):
            raise StartupError(f"{script}: would leave {found}")
        and_then()
        committing = True
        connection.execute("COMMIT")
    except KeyboardInterrupt:
        committed = committing and not connection.in_transaction
        when = "interrupted after its commit; all" if committed else "interrupted; nothing"
        raise StartupError(f"{script}: {when} of it was kept") from None
    except sqlite3.Error as error:
        raise StartupError(f"{script}: {error}; nothing of it was kept") from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if rebuilds:
            connection.execute("PRAGMA legacy_alter_table = OFF")
            connection.execute("PRAGMA foreign_keys = ON")


def _run(connection: sqlite3.Connection, migration: Migration, script: Path, report: Report, now: str) -> None:
    began = time.monotonic()
    going_up = script == migration.up

    def note() -> None:
        if going_up:
            connection.execute(_LEDGER)
            connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum, applied_at, ms) VALUES (?, ?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum, now, _milliseconds_since(began)),
            )
        else:
            connection.execute("DELETE FROM schema_migrations WHERE version = ?", (migration.version,))

    apply(connection, script, report, str(migration), note)
    report.line(f"{'applied' if going_up else 'undone'} {migration} in {_milliseconds_since(began)} ms")


def _execute(connection: sqlite3.Connection, script: Path, statement: Statement, report: Report, what: str) -> None:
    words = " ".join(blank_comments(statement.sql).split())[:80]
    if _REFUSED.match(words):
        raise StartupError(
            f"{script}:{statement.first_line}: a script has no transactions, PRAGMA, ATTACH or VACUUM; "
            f"it is one transaction; in: {words}"
        )
    began = time.monotonic()

    def look() -> None:
        report.running(f"{what}, line {statement.first_line}: {time.monotonic() - began:.0f} s", None)

    connection.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)
    try:
        connection.execute(statement.sql)
    except sqlite3.Error as error:
        # Ctrl-C is raised within `look`, where sqlite3 turns it into this.
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        why = " ".join(str(error).split())  # it may quote a line's end
        raise StartupError(f"{script}:{statement.line_of(error)}: {why}; in: {words}") from error
    finally:
        connection.set_progress_handler(None, 0)


def _require_number(migrations: list[Migration], number: int | None) -> None:
    if number is not None and not 0 <= number <= len(migrations):
        raise StartupError(f"there is no script {number:04d}; they go from 0001 to {len(migrations):04d}")


def holds_data(connection: sqlite3.Connection) -> bool:
    """Whether there is any table besides the ledger."""
    names = connection.execute("SELECT tbl_name FROM sqlite_schema WHERE tbl_name NOT GLOB 'sqlite_*'").fetchall()
    return any(name != "schema_migrations" for (name,) in names)


def _milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
