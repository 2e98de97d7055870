"""How a connection to the database file is opened: always with the same settings."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from db.errors import StartupError, Unusable, is_damage

BUSY_TIMEOUT_MS = 5000

# To this size a WAL is cut when it is begun anew; it never shrinks otherwise.
WAL_BYTES = 64 * 1024 * 1024

# What to do about a file that is no database.
ANOTHER_FILE = "name another one (--database, ROWBOAT_DATABASE), or move this one away"

_left_to_others: set[Path] = set()
_kept_open: dict[Path, sqlite3.Connection] = {}


def leave_checkpoints_to_others(database: Path) -> None:
    """From now on, no connection of this process moves what is in the WAL of this database into its file."""
    _left_to_others.add(database)


def keep_wal(database: Path) -> None:
    """Where checkpoints are left to others, keep SQLite from the one that closing the last connection brings.

    It needs the file for itself, and a connection that cannot write does without: this one stays open to the end."""
    if database in _left_to_others and database not in _kept_open:
        keeper = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        if keeper.execute("PRAGMA journal_mode").fetchall() == [("wal",)]:  # else it holds on to nothing
            _kept_open[database] = keeper


def identity(database: Path) -> list[tuple[int, int]]:
    """Which files are there of a database that is open, by device and number: it, its WAL, and the WAL's index."""
    found = []
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            file = os.stat(f"{database}{suffix}")
            found.append((file.st_dev, file.st_ino))
    return found


def connect(
    path: Path, *, create: bool = False, query_only: bool = False, synchronous: str = "FULL"
) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions begin and end where the code says BEGIN and COMMIT.

    `synchronous` is FULL (what was committed survives a power cut) or NORMAL (it survives a crash of
    the program). Without `create` the file must exist. Raises StartupError, which names the file."""
    if sqlite3.sqlite_version_info < (3, 40):
        raise StartupError(f"this Python has SQLite {sqlite3.sqlite_version}; Rowboat needs 3.40 or newer")
    if not create and not path.exists():
        raise StartupError(f"{path}: there is no such database; the commands migrate and serve make one")
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            cached_statements=256,
            # Each connection still serves one thread; only closing it may come from another one.
            check_same_thread=False,
        )
    except sqlite3.OperationalError as error:
        raise StartupError(f"{path}: {error}; check that the folder exists and can be written") from error
    try:
        _configure(connection, query_only, synchronous)
        if path in _left_to_others:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            keep_wal(path)
    except sqlite3.DatabaseError as error:
        connection.close()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            raise StartupError(f"{path}: {error}; another program holds it; end that one first") from error
        if code == sqlite3.SQLITE_CORRUPT:
            advice = "restore a copy; docs/operations.md, What to do when, has more"
        else:
            advice = ANOTHER_FILE
        kind = Unusable(path, str(error), advice) if is_damage(error) else StartupError(f"{path}: {error}; {advice}")
        raise kind from error
    return connection


def ensure_wal(connection: sqlite3.Connection, database: Path) -> None:
    """Switch the database to WAL mode if it is in another one, such as a copy. Raises StartupError if it cannot be."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        raise StartupError(f"{database}: cannot be switched to WAL mode: {error}; end other programs first") from error
    if mode != "wal":
        raise StartupError(f"{database}: SQLite's journal stays {mode} here, Rowboat needs WAL; use a local disk")


def _configure(connection: sqlite3.Connection, query_only: bool, synchronous: str) -> None:
    # First: every statement below may find the file locked.
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    if timeout != BUSY_TIMEOUT_MS:
        raise sqlite3.DatabaseError(f"busy_timeout is {timeout}, not {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL" if synchronous == "NORMAL" else "PRAGMA synchronous = FULL")
    # A damaged page is noticed early (https://sqlite.org/security.html); memory maps stay off for the same reason.
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES:d}")
    # Nothing in the schema of a file may call functions with side effects. SQLite counts full-text tables among
    # them, so that a connection which fires the triggers that fill one has to trust the schema.
    connection.execute("PRAGMA trusted_schema = OFF" if query_only else "PRAGMA trusted_schema = ON")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    else:  # what is deleted is overwritten, so that free pages hold nothing of who has left (docs/security.md has more)
        connection.execute("PRAGMA secure_delete = ON")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads the file: is it a database?
