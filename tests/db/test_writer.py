"""The writer: batches and commits, failures that end a batch, waiting for a turn, and closing."""

import fcntl
import sqlite3
import struct
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from db import Database, Refused, Unavailable
from db.connection import connect
from db.lock import WriteLock
from tests.conftest import HOME
from tests.db.accounts import NOW, account, stored
from tests.db.disk import descriptors, full, needs_full_device, unwritable


def open_account(db, name):
    return db.submit("users/must_be_free", "users/create", **account(name))


def commits(db):
    """The number of commits in the WAL: its frames that end one (https://sqlite.org/fileformat2.html)."""
    log = db.path.with_name(db.path.name + "-wal").read_bytes()
    (page_size,) = struct.unpack_from(">I", log, 8)
    salt = log[16:24]
    frames = range(32, len(log), 24 + page_size)
    return sum(log[frame + 8 : frame + 16] == salt and log[frame + 4 : frame + 8] != bytes(4) for frame in frames)


def limit_pages(db, most):
    """From now on the database may have this number of pages, and never fewer than it has."""
    db._writer.submit(lambda writer: writer.execute(f"PRAGMA max_page_count = {most:d}").fetchall()).result(30)


def failures(calls):
    return [call.exception(30) for call in calls]


def test_a_call_that_fails_between_two_good_ones_fails_alone(db):
    with WriteLock(db.path):
        first = open_account(db, "ann")
        failing = db.submit("users/create", "users/create", **account("bob"))
        refused = open_account(db, "ann")
        last = open_account(db, "cec")

    assert first.result(30) is None
    assert last.result(30) is None
    assert isinstance(failing.exception(30), sqlite3.IntegrityError)
    assert isinstance(refused.exception(30), Refused)
    assert stored(db) == ["ann", "cec"]
    assert commits(db) == 1


def test_calls_run_in_order(db):
    names = [f"ann{number}" for number in range(250)]

    calls = [open_account(db, name) for name in names]

    assert failures(calls) == [None] * 250
    assert stored(db) == names


@pytest.mark.parametrize(("waiting", "expected"), [(100, 1), (101, 2)])
def test_up_to_100_waiting_calls_share_a_commit(db, waiting, expected):
    with WriteLock(db.path):
        calls = [open_account(db, f"ann{number}") for number in range(waiting)]

    assert failures(calls) == [None] * waiting
    assert len(stored(db)) == waiting
    assert commits(db) == expected


def test_calls_return_after_the_commit(db):
    seen = []
    with WriteLock(db.path):
        for number in range(20):
            open_account(db, f"ann{number}").add_done_callback(lambda call: seen.append(len(stored(db))))
    db.close()

    assert seen == [20] * 20


def test_many_threads_write_at_once(db):
    names = [f"ann{number}" for number in range(200)]

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: db.write("users/create", **account(name)), names))

    assert sorted(stored(db)) == sorted(names)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(full, "database or disk is full", marks=needs_full_device),
        (unwritable, "disk I/O error"),
    ],
)
def test_a_full_or_failing_disk_fails_the_whole_batch_until_it_recovers(db, broken, message):
    db.write("users/create", **account("ann"))
    with closing(connect(db.path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)

    with broken(db.path.with_name("rowboat.db-wal")):
        with WriteLock(db.path):
            calls = [open_account(db, name) for name in ("bob", "ann", "cec")]
        failed = failures(calls)
    after_the_failure = stored(db)
    db.write("users/create", **account("dan"))

    assert [(type(failure), str(failure)) for failure in failed] == [(Unavailable, message)] * 3
    assert after_the_failure == ["ann"]
    assert stored(db) == ["ann", "dan"]


def test_a_call_without_space_that_ends_the_transaction_fails_the_whole_batch(db):
    limit_pages(db, 1)

    with WriteLock(db.path):
        calls = [
            open_account(db, "ann"),
            db.submit("users/create", **account("bob") | {"password_hash": "x" * 100_000}),
            open_account(db, "cec"),
        ]
    failed = failures(calls)
    limit_pages(db, 1_000_000)
    db.write("users/create", **account("dan"))

    assert [(type(failure), str(failure)) for failure in failed] == [(Unavailable, "database or disk is full")] * 3
    assert stored(db) == ["dan"]


def test_a_call_without_space_that_does_not_end_the_transaction_fails_alone(db):
    db.write("users/create", **account("ann"))
    limit_pages(db, 1)
    article = {"me": 1, "slug": "a-slug", "title": "A", "description": "B", "body": "x" * 100_000, "now": NOW}

    with WriteLock(db.path):
        first, failing, last = open_account(db, "bob"), db.submit("articles/create", **article), open_account(db, "cec")

    assert first.result(30) is last.result(30) is None
    assert isinstance(failing.exception(30), Unavailable)
    assert stored(db) == ["ann", "bob", "cec"]


def rolls_back(writer):
    writer.execute("ROLLBACK")
    raise ValueError("all is lost")


def exits(writer):
    raise SystemExit


@pytest.mark.parametrize("breaks", [rolls_back, exits])
def test_a_call_that_ends_the_transaction_or_the_thread_fails_the_batch_and_not_the_next_one(db, breaks):
    with WriteLock(db.path):
        calls = [open_account(db, "ann"), db._writer.submit(breaks), open_account(db, "bob")]
    failed = failures(calls)
    db.write("users/create", **account("cec"))

    assert [type(failure) for failure in failed] == [Unavailable] * 3
    assert stored(db) == ["cec"]


def test_a_write_that_gets_no_turn_in_time_never_runs(db):
    with closing(Database(db.path, HOME / "sql", wait_s=0.001)) as hurried:
        with WriteLock(db.path):
            for name in ("ann", "bob"):
                with pytest.raises(Unavailable, match=r"^no turn to write within 0\.001 seconds$"):
                    hurried.write("users/create", **account(name))
        open_account(hurried, "cec").result(30)

    assert stored(db) == ["cec"]


def test_a_write_that_runs_is_waited_for_however_long_it_takes(db, monkeypatch):
    began, given_up = threading.Event(), threading.Event()

    class Watched(Future):
        def cancel(self):
            assert began.wait(30)
            cancelled = super().cancel()
            given_up.set()
            return cancelled

    class Slow:
        def __conform__(self, protocol):
            began.set()
            assert given_up.wait(30)
            return NOW

    monkeypatch.setattr("db.writer.Future", Watched)
    with closing(Database(db.path, HOME / "sql", wait_s=0.001)) as hurried:
        assert hurried.write("users/create", **account("ann") | {"now": Slow()}) is None

    assert given_up.is_set()
    assert stored(db) == ["ann"]


def test_a_cancelled_call_never_runs(db):
    with WriteLock(db.path):
        first, cancelled, last = (open_account(db, name) for name in ("ann", "bob", "cec"))
        assert cancelled.cancel()

    assert failures([first, last]) == [None, None]
    assert stored(db) == ["ann", "cec"]


def test_another_program_that_locks_the_database_makes_it_unavailable(db):
    db._writer.submit(lambda writer: writer.execute("PRAGMA busy_timeout = 1").fetchall()).result(30)

    with closing(connect(db.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        failed = [open_account(db, name).exception(30) for name in ("ann", "bob")]
        other.execute("COMMIT")
    db.write("users/create", **account("cec"))

    assert [(type(failure), str(failure)) for failure in failed] == [(Unavailable, "database is locked")] * 2
    assert stored(db) == ["cec"]


def test_no_other_program_writes_between_two_statements_of_a_call(db):
    def call(writer):
        writer.execute("SELECT max(id) FROM users").fetchall()
        with closing(connect(db.path)) as other:
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        return "alone"

    assert db._writer.submit(call).result(30) == "alone"


def test_reads_work_while_the_database_is_locked(db):
    db.write("users/create", **account("ann"))

    with WriteLock(db.path), closing(connect(db.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert db.row("users/identify", username_key="ann") == {"user_id": 1}
        other.execute("ROLLBACK")


def test_an_idle_writer_keeps_no_parameters(db):
    class Text(str):
        """Unlike str, this can have a finalizer."""

    text = Text("x" * 1000)
    gone = threading.Event()
    weakref.finalize(text, gone.set)

    db.write("users/create", **account("ann") | {"password_hash": text})
    del text

    assert gone.wait(30)


def test_closing_finishes_queued_calls(db):
    queued = Database(db.path, HOME / "sql", wait_s=30)
    with ThreadPoolExecutor(1) as thread:
        with WriteLock(db.path):
            calls = [open_account(queued, f"ann{number}") for number in range(150)]
            closed = thread.submit(queued.close)
        closed.result(30)

    assert all(call.done() for call in calls)
    assert len(stored(db)) == 150
    assert not queued._writer._thread.is_alive()


def test_closing_closes_every_file_and_takes_no_more_calls(db):
    db.write("users/create", **account("ann"))
    db.row("checks/version")
    beside = [path for path in db.path.parent.iterdir() if descriptors(path)]

    db.close()

    assert {path.name.removeprefix("rowboat.db") for path in beside} == {"", "-wal", "-shm", ".lock", ".in-use"}
    assert [path for path in db.path.parent.iterdir() if descriptors(path)] == []
    with pytest.raises(Unavailable, match="closed"):
        open_account(db, "ann")


def test_closing_has_a_timeout(db):
    hurried = Database(db.path, HOME / "sql", wait_s=0.001)
    with WriteLock(db.path):
        call = open_account(hurried, "ann")
        hurried.close()

        assert not call.done()
    assert call.result(30) is None


def test_two_databases_in_one_process_take_turns(db):
    with closing(Database(db.path, HOME / "sql")) as other:
        calls = [open_account(each, f"ann{number}") for number in range(150) for each in (db, other)]
        failed = failures(calls)

    assert len(stored(db)) == 150
    assert [type(failure) for failure in failed if failure] == [Refused] * 150


def test_the_lock_file_is_beside_the_database_and_the_lock_can_be_closed_and_reopened(db):
    lock = WriteLock(db.path)
    with lock:
        pass
    lock.close()
    lock.close()

    assert lock.path == db.path.with_name("rowboat.db.lock")
    with lock.path.open("rb") as other:
        with lock, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.close()
