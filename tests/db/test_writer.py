import sqlite3
import struct
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing

import pytest

from db import Database, Refused, Unavailable
from db.connection import connect
from db.lock import WriteLock
from tests.conftest import HOME
from tests.db.accounts import NOW, account, stored
from tests.db.disk import descriptors, full, needs_full_device, unwritable


class Late:
    """A parameter's value that takes a while to be given to SQLite."""

    def __init__(self, value):
        self.value = value

    def __conform__(self, protocol):
        time.sleep(1)
        return self.value


def open_account(db, name):
    return db.submit("users/must_be_free", "users/create", **account(name))


def commits(db):
    """How many commits the write-ahead log holds: its frames that end one (https://sqlite.org/fileformat2.html)."""
    log = db.path.with_name(db.path.name + "-wal").read_bytes()
    (page_size,) = struct.unpack_from(">I", log, 8)
    salt = log[16:24]
    frames = range(32, len(log), 24 + page_size)
    return sum(log[frame + 8 : frame + 16] == salt and log[frame + 4 : frame + 8] != bytes(4) for frame in frames)


def empty_the_log(db):
    with closing(connect(db.path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def finish(calls):
    """Wait for calls; that none waits forever is checked here."""
    assert not wait(calls, 30).not_done


def eventually(condition):
    """Whether it comes true within half a minute."""
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def limit_pages(db, most):
    """From now on the database may have so many pages, and never fewer than it has."""
    db._writer.submit(lambda writer: writer.execute(f"PRAGMA max_page_count = {most:d}").fetchall()).result(30)


def python(script, *arguments):
    """Another process that runs a script in this project."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=HOME,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


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


def test_calls_run_in_the_order_in_which_they_came(db):
    names = [f"ann{number}" for number in range(250)]

    calls = [open_account(db, name) for name in names]
    finish(calls)

    assert stored(db) == names


def test_calls_that_wait_together_share_a_commit(db):
    with WriteLock(db.path):
        calls = [open_account(db, f"ann{number}") for number in range(100)]
    finish(calls)

    assert len(stored(db)) == 100
    assert commits(db) == 1


def test_no_batch_grows_without_end(db):
    with WriteLock(db.path):
        calls = [open_account(db, f"ann{number}") for number in range(101)]
    finish(calls)

    assert len(stored(db)) == 101
    assert commits(db) == 2


def test_nobody_is_told_before_the_commit(db):
    told = []
    with WriteLock(db.path):
        for number in range(20):
            open_account(db, f"ann{number}").add_done_callback(lambda call: told.append(len(stored(db))))
    db.close()

    assert told == [20] * 20


def test_many_threads_that_write_at_once_are_all_served(db):
    names = [f"ann{number}" for number in range(200)]

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: db.write("users/create", **account(name)), names))

    assert sorted(stored(db)) == sorted(names)


@needs_full_device
def test_a_full_disk_fails_every_call_of_the_batch_until_there_is_space_again(db):
    db.write("users/create", **account("ann"))
    empty_the_log(db)

    with full(db.path.with_name("rowboat.db-wal")):
        with WriteLock(db.path):
            calls = [open_account(db, name) for name in ("bob", "ann", "cec")]
        failures = [call.exception(30) for call in calls]
    after_the_failure = stored(db)
    db.write("users/create", **account("dan"))

    assert [(type(failure), str(failure)) for failure in failures] == [(Unavailable, "database or disk is full")] * 3
    assert after_the_failure == ["ann"]
    assert stored(db) == ["ann", "dan"]


def test_a_call_that_finds_no_space_and_ends_the_batch_leaves_nothing_of_it(db):
    limit_pages(db, 1)

    with WriteLock(db.path):
        calls = [
            open_account(db, "ann"),
            db.submit("users/create", **account("bob") | {"password_hash": "x" * 100_000}),
            open_account(db, "cec"),
        ]
    failures = [call.exception(30) for call in calls]
    limit_pages(db, 1_000_000)
    db.write("users/create", **account("dan"))

    assert [(type(failure), str(failure)) for failure in failures] == [(Unavailable, "database or disk is full")] * 3
    assert stored(db) == ["dan"]


def test_a_call_that_finds_no_space_and_does_not_end_the_batch_fails_alone(db):
    db.write("users/create", **account("ann"))
    limit_pages(db, 1)
    article = {"me": 1, "slug": "a-slug", "title": "A", "description": "B", "body": "x" * 100_000, "now": NOW}

    with WriteLock(db.path):
        first, failing, last = open_account(db, "bob"), db.submit("articles/create", **article), open_account(db, "cec")

    assert first.result(30) is last.result(30) is None
    assert isinstance(failing.exception(30), Unavailable)
    assert stored(db) == ["ann", "bob", "cec"]


def test_a_disk_that_cannot_be_written_fails_the_batch_and_not_the_next_one(db):
    db.write("users/create", **account("ann"))

    with unwritable(db.path.with_name("rowboat.db-wal")):
        failure = open_account(db, "bob").exception(30)
    db.write("users/create", **account("cec"))

    assert isinstance(failure, Unavailable)
    assert str(failure) == "disk I/O error"
    assert stored(db) == ["ann", "cec"]


def test_a_call_that_ends_the_transaction_fails_the_batch_and_not_the_next_one(db):
    def ends_it(writer):
        writer.execute("ROLLBACK")
        raise ValueError("all is lost")

    with WriteLock(db.path):
        calls = [open_account(db, "ann"), db._writer.submit(ends_it), open_account(db, "bob")]
    failures = [call.exception(30) for call in calls]
    db.write("users/create", **account("cec"))

    assert [type(failure) for failure in failures] == [Unavailable] * 3
    assert stored(db) == ["cec"]


def test_whatever_a_call_raises_those_who_wait_are_told_and_the_next_ones_served(db):
    def leaves(writer):
        raise SystemExit

    with WriteLock(db.path):
        calls = [open_account(db, "ann"), db._writer.submit(leaves), open_account(db, "bob")]
    failures = [call.exception(30) for call in calls]
    db.write("users/create", **account("cec"))

    assert [type(failure) for failure in failures] == [Unavailable] * 3
    assert stored(db) == ["cec"]


def test_whoever_gets_no_turn_is_told_and_what_they_asked_for_never_runs(db):
    with closing(Database(db.path, HOME / "sql", wait_s=0.05)) as hurried:
        with WriteLock(db.path):
            with pytest.raises(Unavailable, match=r"no turn to write within 0\.05 seconds"):
                hurried.write("users/create", **account("ann"))
            with pytest.raises(Unavailable):
                hurried.write("users/create", **account("bob"))
        open_account(hurried, "cec").result(30)

    assert stored(db) == ["cec"]


def test_whoever_has_a_turn_is_told_how_it_ended_however_long_it_takes(db):
    with closing(Database(db.path, HOME / "sql", wait_s=0.5)) as hurried:
        answer = hurried.write("users/create", **account("ann") | {"now": Late(NOW)})

    assert answer is None
    assert stored(db) == ["ann"]


def test_a_call_that_is_cancelled_never_runs(db):
    with WriteLock(db.path):
        first, cancelled, last = (open_account(db, name) for name in ("ann", "bob", "cec"))
        assert cancelled.cancel()
    finish([first, last])

    assert stored(db) == ["ann", "cec"]


def test_a_foreign_program_that_holds_the_database_makes_it_unavailable_until_it_lets_go(db):
    db._writer.submit(lambda writer: writer.execute("PRAGMA busy_timeout = 10").fetchall()).result(30)

    with closing(connect(db.path)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        failures = [open_account(db, name).exception(30) for name in ("ann", "bob")]
        foreign.execute("COMMIT")
    db.write("users/create", **account("cec"))

    assert [str(failure) for failure in failures] == ["database is locked"] * 2
    assert [type(failure) for failure in failures] == [Unavailable] * 2
    assert stored(db) == ["cec"]


def test_no_foreign_program_writes_between_two_statements_of_a_call(db):
    def call(writer):
        writer.execute("SELECT max(id) FROM users").fetchall()
        with closing(connect(db.path)) as foreign:
            foreign.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                foreign.execute("BEGIN IMMEDIATE")
        return "alone"

    assert db._writer.submit(call).result(30) == "alone"


def test_readers_are_served_while_nobody_can_write(db):
    db.write("users/create", **account("ann"))

    with WriteLock(db.path), closing(connect(db.path)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        assert db.row("users/identify", username_key="ann") == {"user_id": 1}
        foreign.execute("ROLLBACK")


class Text(str):
    """A text that can be watched."""


def test_an_idle_writer_holds_on_to_nobodys_texts(db):
    text = Text("x" * 1000)
    watched = weakref.ref(text)

    db.write("users/create", **account("ann") | {"password_hash": text})
    del text

    assert eventually(lambda: watched() is None)


def test_closing_finishes_what_is_queued(db):
    queued = Database(db.path, HOME / "sql")
    with WriteLock(db.path):
        calls = [open_account(queued, f"ann{number}") for number in range(150)]
        closing_thread = threading.Thread(target=queued.close)
        closing_thread.start()
    closing_thread.join(30)

    assert all(call.done() for call in calls)
    assert len(stored(db)) == 150
    assert not queued._writer._thread.is_alive()


def test_closing_gives_every_file_back(db):
    db.write("users/create", **account("ann"))
    db.row("checks/version")
    beside = [path for path in db.path.parent.iterdir() if descriptors(path)]
    db.close()

    assert {path.name.removeprefix("rowboat.db") for path in beside} == {"", "-wal", "-shm", ".lock", ".in-use"}
    assert [path for path in db.path.parent.iterdir() if descriptors(path)] == []


def test_processes_that_end_at_once_close_in_turn_so_that_the_last_one_takes_the_write_ahead_log_along(db):
    db.close()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        both = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", CLOSES, str(db.path), name], cwd=HOME, **pipes))
            for name in ("ann", "bob")
        ]
        for process in both:
            assert process.stdout.readline() == b"has written\n"
        with WriteLock(db.path):
            for process in both:
                process.stdin.close()
            time.sleep(1)
            assert [process.poll() for process in both] == [None, None]

    assert [process.returncode for process in both] == [0, 0]
    assert not db.path.with_name("rowboat.db-wal").exists()


def test_a_closed_database_takes_no_calls(db):
    db.close()

    with pytest.raises(Unavailable, match="closed"):
        open_account(db, "ann")


def test_closing_does_not_wait_forever(db):
    hurried = Database(db.path, HOME / "sql", wait_s=0.05)
    with WriteLock(db.path):
        call = open_account(hurried, "ann")
        hurried.close()

        assert not call.done()
    assert call.result(30) is None


def test_two_databases_in_one_process_take_turns(db):
    with closing(Database(db.path, HOME / "sql")) as other:
        calls = [open_account(here, f"ann{number}") for number in range(150) for here in (db, other)]
        finish(calls)

    assert len(stored(db)) == 150
    assert sum(isinstance(call.exception(), Refused) for call in calls) == 150


CLOSES = """
import sys
from pathlib import Path
from db import Database
from tests.db.accounts import account

db = Database(Path(sys.argv[1]), Path("sql"))
db.write("users/create", **account(sys.argv[2]))
print("has written", flush=True)
sys.stdin.read()
db.close()
"""


WRITES = """
import sys
from pathlib import Path
from db import Database
from tests.db.accounts import account

db = Database(Path(sys.argv[1]), Path("sql"))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    db.write("users/must_be_free", "users/create", **account(f"{sys.argv[2]}{number}"))
    print(f"{sys.argv[2]}{number}", flush=True)
db.close()
"""


def test_two_processes_that_write_at_once_lose_nothing(db):
    ann, bob = (python(WRITES, db.path, name, 100) for name in ("ann", "bob"))
    names = [line for process in (ann, bob) for line in process.communicate(timeout=30)[0].split()]

    assert (ann.returncode, bob.returncode) == (0, 0)
    assert sorted(stored(db)) == sorted(name for name in names if name != "ready")
    assert len(stored(db)) == 200


def test_what_was_acknowledged_outlives_the_process(db):
    with python(WRITES, db.path, "ann", 1_000_000) as process:
        lines = [process.stdout.readline().strip() for _ in range(50)]
        process.kill()
        lines += process.stdout.read().split()
    acknowledged = lines[1:]

    assert stored(db)[: len(acknowledged)] == acknowledged
    assert len(stored(db)) - len(acknowledged) in (0, 1)


HOLDS = """
import sys
from pathlib import Path
from db.lock import WriteLock

with WriteLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_process_that_dies_is_free(db):
    with python(HOLDS, db.path) as process:
        assert process.stdout.readline() == "held\n"
        call = open_account(db, "ann")
        waited = not call.done()
        process.kill()

    assert waited
    assert call.result(30) is None
    assert stored(db) == ["ann"]


def test_the_lock_lies_beside_the_database_and_opens_again_after_it_was_closed(db):
    lock = WriteLock(db.path)
    with lock:
        pass
    lock.close()
    lock.close()

    with lock:
        call = open_account(db, "ann")
        with pytest.raises(TimeoutError):
            call.result(0.05)
    lock.close()

    assert lock.path == db.path.with_name("rowboat.db.lock")
    assert call.result(30) is None
