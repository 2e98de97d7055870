"""Copies of a database: consistent while others write, verified, and in place only when complete."""

import fcntl
import glob
import gzip
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from copies import folder_of_copies
from db.connection import connect
from db.errors import StartupError

# Hears what goes on and, where that is known, which share of it is done, from 0 to 1.
Running = Callable[[str, float | None], None]

_PAGES_AT_A_TIME = 1000
_STEPS_BETWEEN_LOOKS = 100_000
_SPARE_BYTES = 16 * 1024 * 1024
_KEPT = 5


def back_up(
    database: Path, target: Path, running: Running = lambda text, share: None, *, compress: bool = False
) -> None:
    """Write a copy of the database, as it is at one moment, to `target`, which it replaces.

    The copy is one file, checked for integrity and foreign keys and flushed to the disk before it gets its
    name; `compress` packs it with gzip. `running` hears how far it is. Raises StartupError, before anything is
    written where the disk has not enough space."""
    partial = target.with_name(target.name + ".partial")
    packed = target.with_name(target.name + ".packed")
    try:
        _require_space(database, target.parent)
        with _ours_alone(partial, target):
            partial.chmod(database.stat().st_mode & 0o777)  # nobody may read the copy who may not read the database
            with closing(connect(database)) as source, closing(sqlite3.connect(partial, isolation_level=None)) as copy:
                # Within a read transaction all pages are of one snapshot, however long the copying takes.
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                (page_bytes,) = source.execute("PRAGMA page_size").fetchone()

                def told(status: int, remaining: int, total: int) -> None:
                    running(f"copying {total * page_bytes >> 20} MiB", 1 - remaining / total)

                copy.execute("PRAGMA journal_mode = OFF")  # what fails is deleted as a whole
                source.backup(copy, pages=_PAGES_AT_A_TIME, progress=told)
                copy.execute("PRAGMA journal_mode = DELETE")
                copy.set_progress_handler(lambda: running("checking the copy", None), _STEPS_BETWEEN_LOOKS)
                verify(copy, target)
            if compress:
                _pack(partial, packed, running)
            done = packed if compress else partial
            flush(done)
            done.replace(target)
            flush(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StartupError(f"{target}: the copy failed: {error}") from error


@contextmanager
def _ours_alone(partial: Path, target: Path) -> Iterator[None]:
    """A new empty file, which no other backup touches; in the end it is gone, and what was made beside it."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"{target}: another backup writes there; wait for its end") from None
        os.ftruncate(descriptor, 0)  # one that was killed may have left something
        target.with_name(target.name + ".partial-journal").unlink(missing_ok=True)
        try:
            yield
        finally:
            for end in (".partial", ".partial-wal", ".partial-shm", ".packed"):
                target.with_name(target.name + end).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _pack(plain: Path, packed: Path, running: Running) -> None:
    packed.touch(plain.stat().st_mode & 0o777)
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        while part := source.read(1024 * 1024):
            target.write(part)
            running("packing", source.tell() / plain.stat().st_size)


def back_up_before(database: Path, what: str, running: Running) -> Path:
    """Write a copy to backups/<database>.before-<what>.db beside the database; of these, the newest five are kept."""
    _require_space(database, database.parent)
    folder = folder_of_copies(database)
    folder.mkdir(exist_ok=True)
    target = folder / f"{database.stem}.before-{what}.db"
    back_up(database, target, running)
    copies = folder.glob(f"{glob.escape(database.stem)}.before-*.db")
    for old in sorted(copies, key=lambda path: (path.stat().st_mtime_ns, path))[:-_KEPT]:
        old.unlink()
    return target


def orphan(connection: sqlite3.Connection) -> str | None:
    """A row that refers to one that is not there, in words; None where there is none."""
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if not broken:
        return None
    table, rowid, parent, _ = broken
    return f"{'a row' if rowid is None else f'row {rowid}'} of {table} without its row in {parent}"


def _require_space(database: Path, folder: Path) -> None:
    wal = database.with_name(database.name + "-wal")
    needed = database.stat().st_size + (wal.stat().st_size if wal.exists() else 0) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StartupError(
            f"{folder}: a copy of the database needs {needed >> 20} MiB, and {free >> 20} MiB are free; make room, "
            "or, where it is made before a migration, go without with ROWBOAT_MIGRATION_BACKUP=off"
        )


def verify(copy: sqlite3.Connection, target: Path) -> None:
    """Raise StartupError, which names `target`, for a copy that is damaged or has rows without their parents."""
    (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StartupError(f"{target}: the copy is damaged: {' '.join(verdict.split())}; check the database itself")
    found = orphan(copy)
    if found:
        raise StartupError(f"{target}: the copy has {found}; mend the database itself")


def flush(path: Path) -> None:
    """Return when a file, or the names in a folder, will outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
