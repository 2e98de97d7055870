"""What handlers call: `read` and `write`, which run files of sql/ by name, all or nothing."""

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from clock import SYSTEM_CLOCK, Clock
from db.connection import BUSY_TIMEOUT_MS, connect, ensure_wal, identity
from db.errors import Refused, StartupError, TookTooLong, Unavailable, is_unavailable
from db.lock import InUse, WriteLock, require_one_name
from db.statements import SQLFile, load
from db.watcher import Watcher
from db.writer import Writer

Row = dict[str, Any]

# What ran: the names of files, each with the seconds that it took.
Ran = list[tuple[str, float]]

# How many steps of SQLite's virtual machine lie between two looks at a read's time limit: well below a millisecond.
_STEPS_BETWEEN_LOOKS = 2000


class Database:
    """A migrated database and the files of `sql_folder`, each checked against its schema (see `load`).

    Safe to share between threads: each reads on a connection of its own, all write through one. Open it
    after a fork, never before. A write waits for its turn `wait_s` seconds at most. `clock` is for whoever reads or
    writes with this database; SQL is told the time. A read that takes longer than `read_limit_s` is interrupted.

    `waited` may be set to a function that hears for each commit how many seconds the writers' lock took."""

    def __init__(
        self,
        path: Path,
        sql_folder: Path,
        synchronous: str = "FULL",
        wait_s: float = BUSY_TIMEOUT_MS / 1000,
        clock: Clock = SYSTEM_CLOCK,
        read_limit_s: float = math.inf,
    ) -> None:
        self.path = path = path.resolve()  # locks and the WAL go by name: there must be one
        require_one_name(path)
        self._read_limit_s = read_limit_s
        self.clock = clock
        self.waited: Callable[[float], None] = lambda seconds: None
        self._wait_s = wait_s
        self._threads = threading.local()
        self._readers: list[sqlite3.Connection] = []
        with closing(connect(path)) as connection:
            ensure_wal(connection, path)
            self.files = load(sql_folder, connection)
        self._in_use = InUse(path)
        self._watcher = Watcher(lambda: connect(path, query_only=True))
        self._files = identity(path)
        self._writer = Writer(
            lambda: self.connect(synchronous=synchronous),
            WriteLock(path),
            self._locked,
        )

    def read(self, *names: str, **parameters: Any) -> Any:
        """The column `response` of what `row` returns: a response body as JSON text; None without a row."""
        row = self.row(*names, **parameters)
        return row["response"] if row else None

    def row(self, *names: str, **parameters: Any) -> Row | None:
        """Run files in order, on one snapshot of the database.

        The columns of a file's first row are parameters of the files after it: what one finds, the next one
        renders. Returns the columns of all these rows together, or None where a file that selects finds no
        row. Raises Unavailable; that is TookTooLong where all of it took longer than the limit."""
        files = self._named(names)
        connection = self._reader()
        self._threads.deadline = time.monotonic() + self._read_limit_s
        with _unavailable_told():
            if sum(len(file.statements) for file in files) == 1:
                return _run(connection, files, parameters, self._ran())
            connection.execute("BEGIN")
            try:
                return _run(connection, files, parameters, self._ran())
            finally:
                self._threads.deadline = math.inf  # its end must not be interrupted
                if connection.in_transaction:  # an I/O error has ended it already
                    connection.execute("COMMIT")

    def rows(self, name: str, **parameters: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns and all the rows of one reading file, for people who look at them. Raises StartupError."""
        (statement,) = self.files[name].statements
        self._threads.deadline = math.inf
        try:
            cursor = self._reader().execute(statement, parameters)
            rows = cursor.fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise StartupError(f"{name}: {error}; look at the parameters") from error
        return [column[0] for column in cursor.description], rows

    def plan(self, name: str) -> list[str]:
        """How SQLite runs the statements of a file: the steps of its query plan, one line each. Raises Unavailable."""
        file = self.files[name]
        unbound = dict.fromkeys(file.parameters)
        # A reader's connection does not trust the schema, and compiles no write that fills a search index.
        with _unavailable_told(), closing(self.connect()) as connection:
            return [
                step
                for statement in file.statements
                for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", unbound).fetchall()
            ]

    def write(self, *names: str, **parameters: Any) -> Any:
        """Run files in order in one transaction; returns after the commit, like `read`.

        Raises Refused when a guard says no, sqlite3.IntegrityError when a constraint does, and Unavailable;
        in each case nothing of the call is stored."""
        future = self._submit(names, parameters, self._ran())
        try:
            return future.result(self._wait_s)
        except FutureTimeout:
            # What already runs is waited for: the caller must learn whether it was stored.
            if future.cancel():
                raise Unavailable(f"no turn to write within {self._wait_s:g} seconds") from None
            return future.result()

    def submit(self, *names: str, **parameters: Any) -> "Future[Any]":
        """A future of what `write` returns. Calls submitted together share a commit."""
        return self._submit(names, parameters, self._ran())

    def record(self) -> Ran:
        """A list to which everything is added that this thread runs from now on, until it asks for another one."""
        self._threads.ran = ran = Ran()
        return ran

    def close(self) -> None:
        """Finish the queued writes, then close every connection."""
        self._writer.close(self._wait_s, self._close_readers)
        self._in_use.close()

    def _close_readers(self) -> None:
        """In turn with other processes: SQLite's last connection brings the WAL home, and of two at once neither is."""
        self._watcher.close()
        for connection in self._readers:
            connection.close()
        self._readers.clear()

    def connect(self, **options: Any) -> sqlite3.Connection:
        """A connection of the caller's own; the options are those of db.connection. Raises Unavailable."""
        self._require_in_place()  # another file of this name would share the WAL, and its index, with ours
        try:
            connection = connect(self.path, **options)
            ensure_wal(connection, self.path)
            return connection
        except StartupError as error:  # the program has started long ago
            raise Unavailable(str(error)) from error

    def remembered(self) -> dict[Any, Any]:
        """A dict that is replaced by an empty one at each commit of any process (see db/watcher.py)."""
        return self._watcher.remembered()

    def _submit(self, names: Sequence[str], parameters: Row, ran: Ran) -> "Future[Any]":
        files = self._named(names)

        def call(connection: sqlite3.Connection) -> Any:
            with _unavailable_told():
                row = _run(connection, files, parameters, ran)
                return row.get("response") if row else None

        return self._writer.submit(call)

    def _locked(self, seconds: float) -> None:
        self.waited(seconds)
        self._require_in_place()

    def _ran(self) -> Ran:
        ran: Ran = getattr(self._threads, "ran", [])
        return ran

    def _named(self, names: Sequence[str]) -> list[SQLFile]:
        return [self.files[name] for name in names]

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self.connect(query_only=True)
            threads = self._threads
            # SQLite stops a statement when this returns true.
            connection.set_progress_handler(lambda: time.monotonic() > threads.deadline, _STEPS_BETWEEN_LOOKS)
            threads.connection = connection
            self._readers.append(connection)
        return connection

    def _require_in_place(self) -> None:
        """SQLite goes on with a file that was moved or deleted, which nobody would open again."""
        if identity(self.path) != self._files:
            raise Unavailable(
                f"{self.path}: it or its WAL was moved, deleted or replaced while in use; put it back, or restart"
            )


def _run(connection: sqlite3.Connection, files: Sequence[SQLFile], parameters: Row, ran: Ran) -> Row | None:
    found: Row = {}
    for file in files:
        began = time.perf_counter()
        try:
            row = _run_file(connection, file, parameters | found)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise TookTooLong(file.name) from error
            raise
        finally:
            ran.append((file.name, time.perf_counter() - began))
        if row is None:
            return None
        found |= row
    return found


def _run_file(connection: sqlite3.Connection, file: SQLFile, parameters: Row) -> Row | None:
    found: Row = {}
    for statement in file.statements:
        cursor = connection.execute(statement, parameters | found)
        rows = cursor.fetchall()  # to the end: a half-read cursor would hold its snapshot
        if cursor.description is None:
            continue
        columns = [column[0] for column in cursor.description]
        if "verdict" in columns:
            place = columns.index("verdict")
            if verdicts := [row[place] for row in rows if row[place] is not None]:
                raise Refused(verdicts)
        elif rows:
            found |= zip(columns, rows[0], strict=True)
        else:
            return None
    return found


@contextmanager
def _unavailable_told() -> Iterator[None]:
    """Raises Unavailable for what lies in the file, the disk or a lock; other errors stay what they are."""
    try:
        yield
    except sqlite3.Error as error:
        if is_unavailable(error):
            raise Unavailable(str(error)) from error
        raise
