"""A copy put in the place of a database, and whether a database is as it should be."""

import fcntl
import gzip
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from clock import SYSTEM_CLOCK, Clock
from db.backup import flush, orphan, verify
from db.connection import connect
from db.errors import StartupError
from db.lock import InUse, WriteLock, finish_restore, restored
from db.migrations import Report, find_migrations, migrate, pending, read_ledger
from db.schema import differences

_SILENT = Report()

# How many bytes, and from where, each reader of a database locks (https://sqlite.org/src/file/src/os.h, SHARED_SIZE).
_SHARED_BY_READERS = 510, 0x40000002

# Below it, two connections that checkpoint at once can corrupt a database (https://sqlite.org/wal.html#walresetbug).
SOUND_SQLITE = (3, 51, 3)


def restore(
    copy: Path, database: Path, schema: Path, report: Report = _SILENT, *, clock: Clock = SYSTEM_CLOCK
) -> Path | None:
    """Put a copy, packed or not, in the place of a database, and apply the schema scripts that it lacks.

    Returns where the replaced database is kept, None where there was none. Raises StartupError, before anything is
    touched, for a copy that is damaged or newer than the code, and while anything has the database open."""
    unpacked = database.with_name(database.name + ".restoring")
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(InUse(database, alone=True)):
        try:
            report.running(f"reading {copy}", None)
            _unpack(copy, unpacked)
            _require_copy(unpacked, copy, schema, report)
            flush(unpacked)
            with closing(WriteLock(database)) as lock, lock:  # no migration is under way
                _require_unused(database)
                finish_restore(database)  # of an earlier one that was killed
                unpacked.replace(restored(database))  # from here on there is no way back
                flush(database.parent)
                aside = finish_restore(database)
        except (OSError, EOFError, zlib.error) as error:
            raise StartupError(f"{copy}: cannot be restored: {error}") from error
        finally:
            for suffix in ("", "-wal", "-shm"):
                unpacked.with_name(unpacked.name + suffix).unlink(missing_ok=True)
        migrate(database, schema, report, backup=False, clock=clock)  # the copy is still there
    return aside


def _unpack(copy: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.touch(0o600)
    with copy.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(copy) if is_packed else copy.open("rb") as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1024 * 1024)
    wal = copy.with_name(copy.name + "-wal")
    if wal.exists():  # a database that was put aside, or whose server was killed: its newest rows stand there
        shutil.copyfile(wal, target.with_name(target.name + "-wal"))


def _require_copy(unpacked: Path, copy: Path, schema: Path, report: Report) -> None:
    try:
        with closing(connect(unpacked)) as connection:
            report.running(f"checking {copy}", None)
            verify(connection, copy)
            ledger = read_ledger(connection)
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # all of it is in the one file
            if mode != "delete":
                raise StartupError(f"{copy}: its WAL cannot be moved into it")
    except (sqlite3.Error, StartupError) as error:
        why = str(error).replace(str(unpacked), str(copy))
        raise StartupError(why if str(copy) in why else f"{copy}: {why}") from error
    if not ledger:
        raise StartupError(f"{copy}: no copy of a database of ours; nothing says which schema scripts it has")
    pending(find_migrations(schema), ledger)


def _require_unused(database: Path) -> None:
    """Programs that know nothing of InUse, such as Litestream, hold SQLite's own lock as long as they have it open."""
    if database.exists():
        with database.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_SHARED_BY_READERS)
            except BlockingIOError:
                raise StartupError(f"{database}: another program has it open, such as Litestream; stop that") from None


def problems(database: Path, schema: Path) -> Iterator[str]:
    """A line for each thing in which a database is not as it should be: damage, orphans, drift, the search index."""
    with closing(connect(database)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            yield f"integrity: {' '.join(verdict.split())}"
            return  # what follows would only stumble over it
        if found := orphan(connection):
            yield f"foreign keys: {found}"
        for difference in differences(connection, schema):
            yield f"schema: {difference}"
        for name in search_indexes(connection):
            try:
                with closing(WriteLock(database)) as lock, lock:
                    # Compared with the table that it is made from (https://sqlite.org/fts5.html#the_integrity_check_command).
                    connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
            except sqlite3.DatabaseError as error:
                yield f"search: {name}: {error}"


def search_indexes(connection: sqlite3.Connection) -> list[str]:
    """The names of the full-text tables."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE % USING fts5%' ORDER BY name"
        ).fetchall()
    ]


def rebuild_search(database: Path) -> None:
    """Make every full-text index anew from its table."""
    with closing(WriteLock(database)) as lock, lock, closing(connect(database)) as connection:
        for name in search_indexes(connection):
            connection.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
