"""Copies of a database: consistent while others write, verified, and in place only when complete."""

import glob
import gzip
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import files
from copies import copies_in, folder_of_copies, next_safety_copy, safety_copies
from db.connection import connect
from db.errors import StartupError, Unusable, is_damage

# Hears what goes on and, where that is known, which share of it is done, from 0 to 1.
Running = Callable[[str, float | None], None]

PAGES_AT_A_TIME = 1000
_STEPS_BETWEEN_LOOKS = 100_000
_SPARE_BYTES = 16 * 1024 * 1024
_SAFETY_COPIES = 5

_BESIDE = ("", "-wal", "-shm", "-journal", ".lock", ".in-use")  # what belongs to a database


def back_up(
    database: Path, target: Path, running: Running = lambda text, share: None, *, compress: bool = False
) -> None:
    """Write a copy of the database, as it is at one moment, to `target`, which it replaces.

    The copy is one file, checked for integrity and foreign keys and flushed to the disk before it gets its
    name; `compress` packs it with gzip. `running` hears how far it is. Raises StartupError, before anything is
    written if the disk has not enough space; Unusable if the database is damaged."""
    database = database.resolve()
    try:
        names = {str(target.parent.resolve() / target.name), os.path.realpath(target)}
        if names & {f"{database}{end}" for end in _BESIDE}:
            raise StartupError(f"{target}: this is the database itself, or belongs to it; name another file")
        if target.is_char_device() or target.is_block_device():  # root could replace /dev/null
            raise StartupError(f"{target}: this is a device; name a file")
        require_space(database, target.parent)
        with private_folder(target) as folder:
            done = _copy(database, folder / "copy.db", target, running)
            if compress:
                done = _pack(done, running)
            flush(done)
            done.replace(target)
            flush(target.parent)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise Unusable(target, f"the copy failed: {error}", "check the database itself") from error
        raise StartupError(f"{target}: the copy failed: {error}") from error


def _copy(database: Path, plain: Path, target: Path, running: Running) -> Path:
    descriptor = files.create(plain)
    os.fchmod(descriptor, database.stat().st_mode & 0o777)  # for those alone who may read the database
    os.close(descriptor)
    with closing(connect(database)) as source, closing(sqlite3.connect(plain, isolation_level=None)) as copy:
        # Within a read transaction all pages are of one snapshot, however long the copying takes.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        copy.execute("PRAGMA journal_mode = OFF")  # what fails is deleted as a whole
        copy_pages(source, copy, running)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.set_progress_handler(lambda: running("checking the copy", None), _STEPS_BETWEEN_LOOKS)
        verify(copy, target)
    return plain


def copy_pages(source: sqlite3.Connection, target: sqlite3.Connection, running: Running) -> None:
    """Replace all of `target` by what is in `source`, in one transaction."""
    (page_bytes,) = source.execute("PRAGMA page_size").fetchone()

    def told(status: int, remaining: int, total: int) -> None:
        running(f"copying {total * page_bytes >> 20} MiB", 1 - remaining / max(total, 1))  # an empty file has no pages

    source.backup(target, pages=PAGES_AT_A_TIME, progress=told)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that no other user can enter; in the end it is gone.

    What backups that were killed have left for this target is removed."""
    files.remove_abandoned(target.parent, f"{glob.escape(target.name)}.*.partial")
    with TemporaryDirectory(prefix=f"{target.name}.", suffix=".partial", dir=target.parent) as name:
        descriptor = files.hold(Path(name))
        try:
            yield Path(name)
        finally:
            os.close(descriptor)


def _pack(plain: Path, running: Running) -> Path:
    packed = plain.with_name(plain.name + ".gz")
    with plain.open("rb") as source, packed.open("xb") as file, gzip.GzipFile("", "wb", 6, file) as target:
        os.fchmod(file.fileno(), plain.stat().st_mode & 0o777)
        while part := source.read(1024 * 1024):
            target.write(part)
            running("packing", source.tell() / plain.stat().st_size)
    return packed


def prune(database: Path, folder: Path, keep: int, made: Path) -> list[Path]:
    """Delete all but the newest `keep` copies and the one just made, and what killed backups left. Returns which."""
    old = [copy for copy in copies_in(database, folder)[:-keep] if copy != made]
    for path in old:
        path.unlink(missing_ok=True)
    return old + files.remove_abandoned(folder, f"{glob.escape(database.stem)}.[0-9][0-9][0-9][0-9]-*Z*.partial")


def back_up_before(database: Path, what: str, running: Running) -> Path:
    """Write a copy to backups/<database>.before-<what>.N.db beside the database; of these, the newest five are kept."""
    require_space(database, database.parent)
    folder_of_copies(database).mkdir(exist_ok=True)
    target = next_safety_copy(database, what)
    back_up(database, target, running)
    for old in safety_copies(database)[:-_SAFETY_COPIES]:
        old.unlink(missing_ok=True)
    return target


def orphan(connection: sqlite3.Connection) -> str | None:
    """A row that refers to one that is not there, in words; None where there is none."""
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if not broken:
        return None
    table, rowid, parent, _ = broken
    return f"{'a row' if rowid is None else f'row {rowid}'} of {table} without its row in {parent}"


def require_space(database: Path, folder: Path) -> None:
    """Raise StartupError if a folder has no room for a copy of the database."""
    wal = database.with_name(database.name + "-wal")
    needed = database.stat().st_size + (wal.stat().st_size if wal.exists() else 0) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StartupError(
            f"{folder}: a copy of the database needs {needed >> 20} MiB, and {free >> 20} MiB are free; make room, "
            "or, where it is made before a migration, go without with ROWBOAT_MIGRATION_BACKUP=off"
        )


def verify(copy: sqlite3.Connection, target: Path) -> None:
    """Raise Unusable, which names `target`, for a copy that is damaged or has rows without their parents."""
    (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Unusable(target, f"the copy is damaged: {' '.join(verdict.split())}", "check the database itself")
    found = orphan(copy)
    if found:
        raise Unusable(target, f"the copy has {found}", "mend the database itself")


def flush(path: Path) -> None:
    """Return when a file, or the names in a folder, will outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
