"""The lock that every writer of a database takes: one at a time, in this process and in all others."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from clock import format_time
from db.backup import flush
from db.connection import connect, keep_wal
from db.errors import StartupError


class WriteLock:
    """An exclusive `flock` on `<database>.lock`; entering waits for it. The kernel frees it when a process dies.

    SQLite has a lock of its own, but those who wait for it poll, and may wait long. Waiting here costs
    nothing, and no two processes ever checkpoint at the same time (SQLite below 3.51.3 can corrupt a
    WAL database there, https://sqlite.org/wal.html)."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def __enter__(self) -> "WriteLock":
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StartupError(
                    f"{self.path}: {error.strerror}; the folder must be one that can be written"
                ) from error
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

    With `alone`, an exclusive one instead. Raises StartupError where that cannot be had."""

    def __init__(self, database: Path, *, alone: bool = False) -> None:
        path = database.with_name(database.name + ".in-use")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"{path}: {error.strerror}; the folder must be one that can be written") from error
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StartupError(
                f"{database}: a server or a command has it open; stop that first"
                if alone
                else f"{database}: it is being restored; try again when that is done"
            ) from None

    def close(self) -> None:
        """Give it back; once more does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def exclusive(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the database, which is created where it is missing, while nobody else writes.

    Raises StartupError, also for what SQLite or the disk refuses and for Ctrl-C while it is in use."""
    try:
        with _alone(database), closing(connect(database, create=True)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StartupError(
                    f"{database}: SQLite's journal stays {mode} here, Rowboat needs WAL; use a local disk"
                )
            keep_wal(database)  # only now is there one
            connection.execute("PRAGMA temp_store = FILE")  # sorting a large table must not take its size in memory
            yield connection
    except sqlite3.Error as error:
        raise StartupError(f"{database}: {error}") from error
    except KeyboardInterrupt:
        raise StartupError(
            f"{database}: interrupted; what was done before stays, and nothing else was touched"
        ) from None


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Nobody else writes meanwhile; the file is there, be it empty."""
    with ExitStack() as held:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            _require_database(database)
            held.enter_context(held.enter_context(closing(WriteLock(database))))
            finish_restore(database)
            if not database.exists():
                _require_no_wal(database)
                database.touch(0o600)  # nobody else's business; SQLite gives the files beside it the same mode
        except OSError as error:
            raise StartupError(
                f"{error.filename}: {error.strerror}; the database needs a folder that can be written"
            ) from error
        yield


def finish_restore(database: Path) -> Path | None:
    """Put the copy that `restore` has verified, if there is one, in the place of the database; the lock must be held.

    Whoever takes the lock next does that where `restore` itself was killed. Returns where the replaced database is."""
    verified = restored(database)
    if not verified.exists():
        return None
    when = format_time(datetime.fromtimestamp(verified.stat().st_mtime, UTC))  # the same, however often it is begun
    aside = database.with_name(f"{database.stem}.replaced-{when[:19].replace(':', '')}Z.db")
    for suffix in ("", "-wal", "-shm"):  # the database first: nobody is to open it without its WAL
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    verified.replace(database)
    flush(database.parent)
    return aside if aside.exists() else None


def restored(database: Path) -> Path:
    """Where a copy waits that was verified and is to replace the database."""
    return database.with_name(database.name + ".restored")


def _require_no_wal(database: Path) -> None:
    """SQLite would delete a WAL that it finds beside a new database."""
    wal = database.with_name(database.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise StartupError(
            f"{database}: it is gone, and {wal.name} is still there, with what was written last; put it back, or move "
            "that file away, too"
        )


def _require_database(path: Path) -> None:
    """Before a lock is laid beside somebody else's file."""
    if path.exists():
        with path.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                raise StartupError(
                    f"{path}: not a database; set ROWBOAT_DATABASE to another file, or move this one away"
                )
