"""The lock that every writer of a database takes: one at a time, in this process and in all others."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType

import files
from db.connection import ANOTHER_FILE, connect, ensure_wal, keep_wal
from db.errors import StartupError, Unusable, is_damage


def open_lock(database: Path, end: str) -> int:
    """A descriptor of the lock file `<database><end>`, by the database's real name. Raises StartupError."""
    path = Path(f"{database.resolve()}{end}")
    try:
        return files.open_lock(path)
    except PermissionError as error:
        raise StartupError(
            f"{path}: {error.strerror}; the folder and this file must be ones that this user can write"
        ) from error
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}; the folder must be one that can be written") from error


class WriteLock:
    """An exclusive `flock` on `<database>.lock`; entering waits for it. The kernel frees it when a process dies.

    SQLite has a lock of its own, but those who wait for it poll, and may wait long. Waiting here costs
    nothing, and no two processes ever checkpoint at the same time (SQLite below 3.51.3 can corrupt a
    WAL database there, https://sqlite.org/wal.html)."""

    def __init__(self, database: Path) -> None:
        self._database = database.resolve()
        self.path = Path(f"{self._database}.lock")
        self._descriptor: int | None = None

    def __enter__(self) -> "WriteLock":
        if self._descriptor is None:
            self._descriptor = open_lock(self._database, ".lock")
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._descriptor is not None
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back. The lock can be entered again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class InUse:
    """A shared `flock` on `<database>.in-use`, held as long as a program has the database open.

    With `alone`, an exclusive one instead. Raises StartupError if that cannot be had."""

    def __init__(self, database: Path, *, alone: bool = False) -> None:
        self._descriptor = open_lock(database, ".in-use")
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StartupError(
                f"{database}: a server or a command has it open; stop that first"
                if alone
                else f"{database}: it is being rolled back or replaced; try again when that is done"
            ) from None

    def close(self) -> None:
        """Give it back; once more does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def exclusive(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the database, which is created if it is missing, while no other process writes.

    Raises StartupError, also for what SQLite or the disk refuses and for Ctrl-C while it is in use."""
    database = database.resolve()
    try:
        with _alone(database), closing(connect(database, create=True)) as connection:
            ensure_wal(connection, database)
            keep_wal(database)  # only now is there one
            connection.execute("PRAGMA temp_store = FILE")  # sorting a large table must not take its size in memory
            yield connection
    except sqlite3.Error as error:
        if is_damage(error):
            raise Unusable(database, str(error), "restore a copy") from error
        raise StartupError(f"{database}: {error}") from error
    except KeyboardInterrupt:
        raise StartupError(
            f"{database}: interrupted; what was done before stays, and nothing else was touched"
        ) from None


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """No other process writes meanwhile; the file exists, be it empty."""
    with ExitStack() as held:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            _require_database(database)
            held.enter_context(held.enter_context(closing(WriteLock(database))))
            if not database.exists():
                _require_no_wal(database)
                os.close(files.create(database))  # for this user alone; SQLite gives the files beside it its mode
        except OSError as error:
            raise StartupError(
                f"{error.filename}: {error.strerror}; the database needs a folder that can be written"
            ) from error
        yield


def require_one_name(database: Path) -> None:
    """Raise Unusable for what is no file, and for one with several names: SQLite would keep a WAL for each, and lose
    what is in one."""
    if database.exists() and not database.is_file():
        raise Unusable(database, "not a regular file", ANOTHER_FILE)
    if database.is_file() and database.stat().st_nlink > 1:
        raise Unusable(database, "it has another name, a hard link", "delete that one (find -samefile finds it)")


def _require_no_wal(database: Path) -> None:
    """SQLite would delete a WAL that it finds beside a new database."""
    wal = database.with_name(database.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise Unusable(
            database,
            f"it is gone, and {wal.name} is still there, with what was written last",
            "put it back, or move that file away, too",
        )


def _require_database(path: Path) -> None:
    """Before a lock is laid beside somebody else's file."""
    if path.exists():
        require_one_name(path)
        with path.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                raise Unusable(path, "not a database", ANOTHER_FILE)
