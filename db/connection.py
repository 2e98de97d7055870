"""How a connection to the database file is opened: always with the same settings."""

import sqlite3
from pathlib import Path

from db.errors import StartupError

BUSY_TIMEOUT_MS = 5000


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
    except sqlite3.DatabaseError as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            advice = "another program holds it; end that one first"
        else:
            advice = "set ROWBOAT_DATABASE to another file, or move this one away"
        raise StartupError(f"{path}: {error}; {advice}") from error
    return connection


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
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes; the WAL never shrinks otherwise
    # Nothing in the schema of a file may call functions with side effects. SQLite counts full-text tables among
    # them, so that a connection which fires the triggers that fill one has to trust the schema.
    connection.execute("PRAGMA trusted_schema = OFF" if query_only else "PRAGMA trusted_schema = ON")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    else:  # what is deleted is overwritten, so that free pages hold nothing of who has left (docs/security.md has more)
        connection.execute("PRAGMA secure_delete = ON")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads the file: is it a database?
