"""A copy put in the place of a database, and whether a database is as it should be."""

import gzip
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from clock import SYSTEM_CLOCK, Clock
from db.backup import back_up_before, copy_pages, flush, orphan, private_folder, require_space, verify
from db.connection import connect
from db.errors import StartupError, Unusable
from db.lock import InUse, WriteLock, exclusive
from db.migrations import Report, holds_data, migrate, read_ledger
from db.schema import differences

_SILENT = Report()

# Below it, two connections that checkpoint at once can corrupt a database (https://sqlite.org/wal.html#walresetbug).
SOUND_SQLITE = (3, 51, 3)


def restore(
    copy: Path,
    database: Path,
    schema: Path,
    report: Report = _SILENT,
    *,
    prepare: Callable[[Path], None] = lambda path: None,
    clock: Clock = SYSTEM_CLOCK,
) -> Path | None:
    """Replace the content of a database by that of a copy, compressed or not: in one transaction, also while it is
    served. Schema scripts that the copy lacks are applied first, then `prepare` may change the copy's file.

    Returns where the content of before is kept: a safety copy or, if the database is damaged, the file itself with its
    WAL; None if there was nothing. Raises StartupError, before anything is touched, for a copy that is damaged or newer
    than the code, and if a damaged database is open elsewhere."""
    database = database.resolve()
    if database.exists() and copy.samefile(database):
        raise StartupError(f"{copy}: this is the database itself; name a copy")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with private_folder(database) as folder:
            plain = folder / "copy.db"
            _unpack(copy, plain, report)
            try:
                _make_ready(plain, copy, schema, report, prepare, clock)
            except (sqlite3.Error, StartupError) as error:
                raise StartupError(_about(copy, plain, error)) from error
            require_space(plain, database.parent)
            try:
                return _replace_content(plain, database, report)
            except Unusable as damage:
                return _replace_file(plain, database, damage)
    except (OSError, EOFError, zlib.error) as error:
        raise StartupError(f"{copy}: cannot be restored: {error}") from error


def _unpack(copy: Path, plain: Path, report: Report) -> None:
    """Write an uncompressed copy of the copy, so that whatever reads it changes nothing beside the original."""
    if not copy.is_file():
        raise StartupError(f"{copy}: not a regular file; name a copy that `backup` has written")
    report.running(f"reading {copy}", None)
    with copy.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(copy) if is_packed else copy.open("rb") as source, plain.open("xb") as target:
        shutil.copyfileobj(source, target, 1024 * 1024)
    with plain.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise StartupError(f"{copy}: not a database; name a copy that `backup` has written")
    for end in ("-wal", "-journal"):  # of a database that was put aside, or whose server was killed: what is newest
        if Path(f"{copy}{end}").exists():
            shutil.copyfile(f"{copy}{end}", f"{plain}{end}")


def _make_ready(
    plain: Path, copy: Path, schema: Path, report: Report, prepare: Callable[[Path], None], clock: Clock
) -> None:
    with closing(connect(plain)) as connection:
        report.running(f"checking {copy}", None)
        verify(connection, copy)
        if not read_ledger(connection):
            raise StartupError(f"{copy}: no copy of a database of ours; nothing says which schema scripts it has")
    migrate(plain, schema, report, backup=False, clock=clock)
    prepare(plain)
    with closing(connect(plain)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # all of it is in the one file
        if mode != "delete":
            raise StartupError(f"{copy}: its WAL cannot be moved into it")


def _about(copy: Path, plain: Path, error: Exception) -> str:
    """What is wrong with a copy: without the advice for a database, and without the name under which it was read."""
    reason = error.reason if isinstance(error, Unusable) else str(error).removeprefix(f"{plain}: ")
    reason = reason.removeprefix(f"{copy}: ").replace(str(plain), str(copy))
    return f"{copy}: {reason}" + "; take another copy" * isinstance(error, Unusable)


def _replace_content(plain: Path, database: Path, report: Report) -> Path | None:
    # The lock comes first: nothing is acknowledged between the safety copy and the replacement.
    with exclusive(database) as target:
        kept = back_up_before(database, "restore", report.running) if holds_data(target) else None
        with closing(connect(plain)) as source:
            (page_size,) = target.execute("PRAGMA page_size").fetchone()
            if source.execute("PRAGMA page_size").fetchone() != (page_size,):  # which a WAL does not let change
                source.execute(f"PRAGMA page_size = {page_size:d}")
                source.execute("VACUUM")
            copy_pages(source, target, report.running)
        return kept


def _replace_file(plain: Path, database: Path, damage: Unusable) -> Path | None:
    """Keep a file that cannot be copied, with its WAL, in a folder of its own, and put the copy in its place."""
    try:
        alone = InUse(database, alone=True)
    except StartupError as error:
        raise StartupError(f"{damage}; to replace the file: {error}") from damage
    with closing(alone), closing(WriteLock(database)) as lock, lock:
        number = 1
        while (aside := database.with_name(f"{database.stem}.damaged.{number}")).exists():
            number += 1
        aside.mkdir(0o700)
        with suppress(FileNotFoundError):
            (aside / database.name).hardlink_to(database)  # its name is never free: nobody creates an empty one there
        for end in ("-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                Path(f"{database}{end}").rename(aside / f"{database.name}{end}")
        flush(aside)
        flush(plain)
        plain.replace(database)
        flush(database.parent)
    return aside / database.name


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
