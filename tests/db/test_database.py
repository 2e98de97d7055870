import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from db import Database, Refused, StartupError, Unavailable
from db.connection import connect
from db.errors import is_unavailable
from tests.conftest import HOME
from tests.db.accounts import NOW, account, stored
from tests.db.disk import unreadable


def asking(db, tmp_path, **scripts):
    """A second door to the same database, with SQL files of the test's own."""
    folder = tmp_path / "sql"
    folder.mkdir()
    for name, script in scripts.items():
        (folder / f"{name}.sql").write_text(script, encoding="utf-8")
    return closing(Database(db.path, folder))


class Meanwhile:
    """A parameter's value that does something at the moment at which it is given to SQLite."""

    def __init__(self, does):
        self.does = does

    def __conform__(self, protocol):
        self.does()
        return 0


def test_what_one_file_finds_the_next_one_is_told(db, tmp_path):
    first = "SELECT 20 AS page, 3 AS total;"
    second = "--   :page  INTEGER\n--   :me  INTEGER\nSELECT :page + :me AS sum;"
    third = "--   :sum  INTEGER\n--   :total  INTEGER\nSELECT :sum * :total AS response;"

    with asking(db, tmp_path, first=first, second=second, third=third) as asked:
        assert asked.row("first", "second", "third", me=1) == {"page": 20, "total": 3, "sum": 21, "response": 63}
        assert asked.read("first", "second", "third", me=1) == 63
        assert asked.write("first", "second", "third", me=1) == 63


def test_what_a_file_finds_goes_before_what_the_caller_says(db, tmp_path):
    second = "--   :total  INTEGER\nSELECT :total AS response;"

    with asking(db, tmp_path, first="SELECT 3 AS total;", second=second) as asked:
        assert asked.read("first", "second", total=4) == 3


def test_of_several_rows_the_first_one_counts(db, tmp_path):
    with asking(db, tmp_path, ask="SELECT value AS response FROM json_each('[7, 8]') ORDER BY key;") as asked:
        assert asked.read("ask") == 7


def test_where_a_file_finds_no_row_there_is_nothing_to_answer(db, tmp_path):
    nothing = "SELECT 1 AS response WHERE false;"

    with asking(db, tmp_path, nothing=nothing, something="SELECT 2 AS response;") as asked:
        assert asked.row("nothing") is None
        assert asked.read("nothing") is None
        assert asked.row("nothing", "something") is None
        assert asked.write("nothing", "something") is None


def test_files_that_select_nothing_have_no_answer(db):
    assert db.write("users/create", **account("ann")) is None


def test_all_rows_of_a_file_can_be_had_with_their_columns(db, tmp_path):
    with asking(db, tmp_path, ask="SELECT key, value FROM json_each('[7, 8]');") as asked:
        assert asked.rows("ask") == (["key", "value"], [(0, 7), (1, 8)])


@pytest.mark.parametrize("files", [("before", "after"), ("both",)], ids=["two files", "one file"])
def test_a_read_sees_one_state_of_the_database_to_its_end(db, tmp_path, files):
    before = "SELECT count(*) AS before FROM users;"
    after = "--   :meanwhile  INTEGER\nSELECT count(*) + :meanwhile AS after FROM users;"
    both = "--   :meanwhile  INTEGER\n" + before + "\n" + after.split("\n")[1]
    meanwhile = Meanwhile(lambda: db.write("users/create", **account("ann")))

    with asking(db, tmp_path, before=before, after=after, both=both) as asked:
        during = asked.row(*files, meanwhile=meanwhile)
        afterwards = asked.row(*files, meanwhile=0)

    assert during == {"before": 0, "after": 0}
    assert afterwards == {"before": 1, "after": 1}


def test_every_file_can_be_explained_also_those_that_fill_the_search_index(db):
    for name in db.files:
        db.plan(name)

    assert any("SEARCH users" in step for step in db.plan("users/update"))


def test_a_write_returns_after_its_commit(db):
    for number in range(20):
        db.write("users/create", **account(f"ann{number}"))

        assert len(stored(db)) == number + 1


def test_a_write_renders_what_it_has_just_written(db):
    db.write("users/create", **account("ann"))

    profile = db.write("profiles/follow", "profiles/render", me=1, username_key="ann", now=NOW)

    assert '"following":true' in profile
    assert db.read("profiles/render", me=1, username_key="ann") == profile


def test_a_refusal_says_every_verdict_and_stores_nothing(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(Refused) as refused:
        db.write("users/create", "users/must_be_free", **account("bob"))

    assert refused.value.verdicts == ["username: has already been taken", "email: has already been taken"]
    assert stored(db) == ["ann"]


def test_a_guard_stops_what_comes_after_it(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(Refused):
        db.write("users/must_be_free", "users/create", **account("ann"))

    assert stored(db) == ["ann"]


def test_a_null_verdict_and_no_verdict_let_a_write_pass(db, tmp_path):
    null = "SELECT NULL AS verdict UNION ALL SELECT NULL;"
    none = "SELECT 'never' AS verdict WHERE false;"

    with asking(db, tmp_path, null=null, none=none, answer="SELECT 1 AS response;") as asked:
        assert asked.write("null", "none", "answer") == 1


def test_a_broken_constraint_stores_nothing_of_the_call(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(sqlite3.IntegrityError, match=r"^UNIQUE constraint failed: users\.\w+_key$"):
        db.write("users/create", "users/create", **account("bob"))

    assert stored(db) == ["ann"]


def test_a_value_that_sqlite_cannot_take_is_an_error_and_stores_nothing(db):
    with pytest.raises(OverflowError):
        db.write("users/create", "users/rehash", **account("ann"), user_id=2**64, old_hash="", new_hash="")

    assert stored(db) == []


def test_readers_cannot_write(db):
    with pytest.raises(Unavailable, match="readonly"):
        db.row("users/create", **account("ann"))

    assert stored(db) == []


def failure(connection, statement):
    with pytest.raises(sqlite3.Error) as failed:
        connection.execute(statement)
    return failed.value


def test_a_lock_may_be_gone_later_and_a_mistake_may_not(db):
    with closing(connect(db.path)) as holder, closing(connect(db.path)) as other:
        holder.execute("BEGIN IMMEDIATE")
        other.execute("PRAGMA busy_timeout = 0")

        assert is_unavailable(failure(other, "BEGIN IMMEDIATE"))
        assert not is_unavailable(failure(other, "SELECT nothing"))
        assert not is_unavailable(failure(holder, "INSERT INTO audit_horizon VALUES (1, '')"))


def test_each_thread_reads_on_a_connection_of_its_own(db):
    both_are_reading = threading.Barrier(2, timeout=30)
    answers = []

    def read():
        token = Meanwhile(both_are_reading.wait)
        answers.append(db.row("checks/version", "users/render", token=token, token_hash=""))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [None, None]


PRAGMAS = {
    "busy_timeout": 5000,
    "foreign_keys": 1,
    "synchronous": 2,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "mmap_size": 0,
    "journal_mode": "wal",
}


# Triggers that fill a full-text table run only where the schema is trusted.
WRITING = {"trusted_schema": 1}


def settings(connection):
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}


def test_every_connection_has_the_same_settings(db):
    with closing(connect(db.path)) as writing, closing(connect(db.path, query_only=True)) as reading:
        assert settings(writing) == PRAGMAS | WRITING
        assert settings(reading) == PRAGMAS
        assert writing.execute("PRAGMA query_only").fetchone() == (0,)
        assert reading.execute("PRAGMA query_only").fetchone() == (1,)


def test_the_writer_and_the_readers_have_these_settings(db):
    assert db._writer.submit(settings).result(30) == PRAGMAS | WRITING
    assert settings(db._reader()) == PRAGMAS
    assert db._reader().execute("PRAGMA query_only").fetchone() == (1,)


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_how_much_a_commit_waits_for_the_disk_is_a_choice(db, synchronous, level):
    with closing(Database(db.path, HOME / "sql", synchronous)) as chosen:
        assert chosen._writer.submit(settings).result(30)["synchronous"] == level


def test_foreign_keys_are_enforced(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.write("profiles/follow", me=2, username_key="ann", now=NOW)


@pytest.mark.parametrize("name", ["a?b=c.db", "a#b.db", "a%20b.db", "ä b.db"])
def test_a_file_may_have_any_name(tmp_path, name):
    with closing(connect(tmp_path / name, create=True)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER) STRICT")

    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_missing_is_named_and_not_made(tmp_path):
    path = tmp_path / "rowboat.db"

    with pytest.raises(StartupError) as refused:
        Database(path, HOME / "sql")

    reason = "there is no such database; the commands migrate and serve make one"
    assert str(refused.value) == f"{path}: {reason}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "nowhere" / "rowboat.db"

    with pytest.raises(StartupError, match="unable to open database file; check that the folder exists") as refused:
        connect(path, create=True)

    assert str(path) in str(refused.value)
    assert not path.parent.exists()


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    path = tmp_path / "rowboat.db"
    path.write_text("A letter to a friend. " * 100)

    with pytest.raises(StartupError) as refused:
        connect(path)

    reason = "file is not a database; set ROWBOAT_DATABASE to another file, or move this one away"
    assert str(refused.value) == f"{path}: {reason}"
    assert path.read_text() == "A letter to a friend. " * 100


@pytest.mark.slow
def test_a_database_that_another_program_keeps_to_itself_is_named(migrated, tmp_path):
    path = shutil.copy(migrated, tmp_path / "rowboat.db")
    with closing(connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StartupError) as refused:
            connect(path)

    assert str(refused.value) == f"{path}: database is locked; another program holds it; end that one first"


def test_a_database_without_our_tables_is_named_with_the_file_that_misses_them(tmp_path):
    path = tmp_path / "rowboat.db"
    connect(path, create=True).close()

    with pytest.raises(StartupError, match=r"accounts/changes\.sql:\d+: no such table"):
        Database(path, HOME / "sql")


def test_a_database_that_went_away_is_unavailable_until_it_is_back(db):
    away = db.path.with_name("away.db")
    db.path.rename(away)

    with pytest.raises(Unavailable, match="moved, deleted or replaced while in use"):
        db.row("checks/version")
    with pytest.raises(Unavailable, match="moved, deleted or replaced while in use"):
        db.write("users/create", **account("ann"))
    away.rename(db.path)
    db.write("users/create", **account("ann"))

    assert db.row("users/identify", username_key="ann") == {"user_id": 1}


def test_a_disk_that_cannot_be_read_is_unavailable_until_it_can(db):
    page = {"actor": None, "before": 9, "limit": 1}
    db.row("checks/version")

    with unreadable(db.path), pytest.raises(Unavailable, match="disk I/O error"):
        db.row("audit/find", "audit/render", **page)

    assert db.read("audit/find", "audit/render", **page) == '{"audit":[]}'


def test_every_file_has_a_plan(db):
    for name in db.files:
        assert all(db.plan(name)), name
