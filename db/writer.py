"""One thread writes. Calls queue for it, and those that wait together are committed together."""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from db.errors import StartupError, Unavailable
from db.lock import WriteLock

Call = Callable[[sqlite3.Connection], Any]
Queued = tuple["Future[Any]", Call]

# So that the first of a batch does not wait long for the last: 100 calls take milliseconds.
_MOST_IN_A_BATCH = 100


class Writer:
    """Runs calls on one connection in the order in which they came, each in a savepoint of its own.

    All that waited together share one commit, hence one fsync; no future has a result before that commit.
    A call that raises is undone alone, and its future raises the same. An error that ends the whole
    transaction, such as a full disk, fails every call of the batch with Unavailable: none was stored. `locked` is
    called for each batch once the lock is held, with the seconds that this took; what it raises ends the batch, too."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], lock: WriteLock, locked: Callable[[float], None]
    ) -> None:
        self._connect = connect
        self._locked = locked
        self._connection: sqlite3.Connection | None = None
        self._lock = lock
        self._calls: queue.SimpleQueue[Queued | None] = queue.SimpleQueue()
        self._closed = False
        self._at_last: Callable[[], None] = lambda: None
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, call: Call) -> "Future[Any]":
        """A future of what `call(connection)` returns. Once cancelled, the call will not run.

        Raises Unavailable once the writer is closed."""
        future: Future[Any] = Future()
        with self._closing:  # nothing may be queued behind the end
            if self._closed:
                raise Unavailable("the database is closed")
            self._calls.put((future, call))
        return future

    def close(self, wait_s: float, at_last: Callable[[], None]) -> None:
        """Finish what is queued, call `at_last` under the lock, then stop; waits at most `wait_s` seconds for it."""
        self._at_last = at_last
        with self._closing:
            self._closed = True
            self._calls.put(None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        # One batch a call: while it waits for the next, the thread holds on to nothing of the last.
        while self._serve_batch():
            pass
        with suppress(StartupError), self._lock:
            if self._connection:
                self._connection.close()
            self._at_last()
        self._lock.close()

    def _serve_batch(self) -> bool:
        """Wait for a call, then run all that wait; false when the writer is to stop after it."""
        first = self._calls.get()
        if first is None:
            return False
        batch = [first]
        stopping = False
        try:
            self._connection = self._connection or self._connect()
            began = time.perf_counter()
            with self._lock:  # as long as this waits, those who give up can cancel
                self._locked(time.perf_counter() - began)
                stopping = self._add_waiting(batch)
                outcomes = _run_in_one_transaction(self._connection, batch)
        except BaseException as error:  # whatever it was: those who wait are told, and the thread lives on
            _fail(batch, error)
        else:
            for future, result, refusal in outcomes:
                future.set_exception(refusal) if refusal else future.set_result(result)
            if any(isinstance(refusal, Unavailable) for _, _, refusal in outcomes):
                # A file that could not be written when it was opened stays so for its connection.
                self._connection.close()
                self._connection = None
        return not stopping

    def _add_waiting(self, batch: list[Queued]) -> bool:
        """Take into the batch what came in the meantime; true when the writer is to stop after it."""
        while len(batch) < _MOST_IN_A_BATCH and not self._calls.empty():
            waiting = self._calls.get()
            if waiting is None:
                return True
            batch.append(waiting)
        return False


def _run_in_one_transaction(
    connection: sqlite3.Connection, batch: list[Queued]
) -> list[tuple["Future[Any]", Any, Exception | None]]:
    """Run and commit a batch; each call's future with its result or its exception. Raises what ended it all."""
    outcomes: list[tuple[Future[Any], Any, Exception | None]] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for future, call in batch:
            if not future.set_running_or_notify_cancel():
                continue
            connection.execute("SAVEPOINT call")
            try:
                outcomes.append((future, call(connection), None))
            except Exception as error:
                if not connection.in_transaction:
                    raise
                connection.execute("ROLLBACK TO call")
                outcomes.append((future, None, error))
            connection.execute("RELEASE call")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _fail(batch: list[Queued], error: BaseException) -> None:
    """Tell every caller of a batch that nothing of it was stored."""
    for future, _ in batch:
        if future.running() or (not future.cancelled() and future.set_running_or_notify_cancel()):
            failure = Unavailable(str(error))
            failure.__cause__ = error
            future.set_exception(failure)
