import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from db import Database, Refused, StartupError, Unavailable
from db.connection import connect
from db.errors import is_unavailable
from tests.conftest import HOME
from tests.db.accounts import NOW, account, stored
from tests.db.disk import unreadable


def asking(db, tmp_path, **scripts):
    """The same database with other SQL files."""
    folder = tmp_path / "sql"
    folder.mkdir()
    for name, script in scripts.items():
        (folder / f"{name}.sql").write_text(script, encoding="utf-8")
    return closing(Database(db.path, folder))


class Meanwhile:
    """A parameter that runs a function when it is bound."""

    def __init__(self, does):
        self.does = does

    def __conform__(self, protocol):
        self.does()
        return 0


def test_the_columns_of_one_file_are_parameters_of_the_next(db, tmp_path):
    first = "SELECT 20 AS page, 3 AS total;"
    second = "--   :page  INTEGER\n--   :me  INTEGER\nSELECT :page + :me AS sum;"
    third = "--   :sum  INTEGER\n--   :total  INTEGER\nSELECT :sum * :total AS response;"

    with asking(db, tmp_path, first=first, second=second, third=third) as asked:
        assert asked.row("first", "second", "third", me=1) == {"page": 20, "total": 3, "sum": 21, "response": 63}
        assert asked.read("first", "second", "third", me=1) == 63
        assert asked.write("first", "second", "third", me=1) == 63


def test_a_column_replaces_a_parameter_of_the_same_name(db, tmp_path):
    second = "--   :total  INTEGER\nSELECT :total AS response;"

    with asking(db, tmp_path, first="SELECT 3 AS total;", second=second) as asked:
        assert asked.read("first", "second", total=4) == 3


def test_a_file_without_a_row_ends_the_call_with_none(db, tmp_path):
    with asking(db, tmp_path, nothing="SELECT 1 AS response WHERE false;", two="SELECT 2 AS response;") as asked:
        assert asked.row("nothing") is None
        assert asked.read("nothing") is None
        assert asked.row("nothing", "two") is None
        assert asked.write("nothing", "two") is None


def test_row_returns_the_first_row_and_rows_returns_all(db, tmp_path):
    with asking(db, tmp_path, ask="SELECT key, value FROM json_each('[7, 8]') ORDER BY key;") as asked:
        assert asked.row("ask") == {"key": 0, "value": 7}
        assert asked.rows("ask") == (["key", "value"], [(0, 7), (1, 8)])


@pytest.mark.parametrize("files", [("before", "after"), ("both",)], ids=["two files", "one file"])
def test_a_read_sees_one_snapshot(db, tmp_path, files):
    before = "SELECT count(*) AS before FROM users;"
    after = "--   :meanwhile  INTEGER\nSELECT count(*) + :meanwhile AS after FROM users;"
    both = "--   :meanwhile  INTEGER\n" + before + "\n" + after.split("\n")[1]
    meanwhile = Meanwhile(lambda: db.write("users/create", **account("ann")))

    with asking(db, tmp_path, before=before, after=after, both=both) as asked:
        during = asked.row(*files, meanwhile=meanwhile)
        afterwards = asked.row(*files, meanwhile=0)

    assert during == {"before": 0, "after": 0}
    assert afterwards == {"before": 1, "after": 1}


def test_every_file_has_a_query_plan(db):
    plans = {name: db.plan(name) for name in db.files}

    assert all(all(plan) for plan in plans.values())
    assert any("SEARCH users" in step for step in plans["users/update"])


def test_a_write_returns_after_its_commit(db):
    for names in (["ann"], ["ann", "bob"], ["ann", "bob", "cec"]):
        assert db.write("users/create", **account(names[-1])) is None

        assert stored(db) == names


def test_a_write_renders_what_it_wrote(db):
    db.write("users/create", **account("ann"))

    profile = db.write("profiles/follow", "profiles/render", me=1, username_key="ann", now=NOW)

    assert '"following":true' in profile
    assert db.read("profiles/render", me=1, username_key="ann") == profile


def test_a_refused_write_reports_every_verdict_and_stores_nothing(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(Refused) as refused:
        db.write("users/create", "users/must_be_free", **account("bob"))

    assert refused.value.verdicts == ["username: has already been taken", "email: has already been taken"]
    assert stored(db) == ["ann"]


def test_a_guard_stops_the_files_after_it(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(Refused):
        db.write("users/must_be_free", "users/create", **account("ann"))

    assert stored(db) == ["ann"]


def test_a_null_verdict_or_none_lets_a_write_pass(db, tmp_path):
    null = "SELECT NULL AS verdict UNION ALL SELECT NULL;"
    none = "SELECT 'never' AS verdict WHERE false;"

    with asking(db, tmp_path, null=null, none=none, ask="SELECT 1 AS response;") as asked:
        assert asked.write("null", "none", "ask") == 1


def test_a_verdict_beside_other_columns_refuses_as_well(db, tmp_path):
    guard = "SELECT 1 AS id, 'note: forbidden' AS verdict;"

    with asking(db, tmp_path, guard=guard) as asked, pytest.raises(Refused, match="note: forbidden"):
        asked.write("guard")


def test_a_failed_constraint_stores_nothing_of_the_call(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(sqlite3.IntegrityError, match=r"^UNIQUE constraint failed: users\.\w+_key$"):
        db.write("users/create", "users/create", **account("bob"))

    assert stored(db) == ["ann"]


def test_a_value_too_large_for_sqlite_stores_nothing(db):
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


def test_a_lock_makes_the_database_unavailable_and_a_mistake_does_not(db):
    with closing(connect(db.path)) as holder, closing(connect(db.path)) as other:
        holder.execute("BEGIN IMMEDIATE")
        other.execute("PRAGMA busy_timeout = 0")

        assert is_unavailable(failure(other, "BEGIN IMMEDIATE"))
        assert not is_unavailable(failure(other, "SELECT nothing"))
        assert not is_unavailable(failure(holder, "INSERT INTO audit_horizon VALUES (1, '')"))


def test_threads_read_at_the_same_time(db):
    both_read = threading.Barrier(2, timeout=30)

    def read(_):
        return db.row("checks/version", "users/render", token=Meanwhile(both_read.wait), token_hash="")

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read, range(2))) == [None, None]


PRAGMAS = {
    "busy_timeout": 5000,
    "foreign_keys": 1,
    "synchronous": 2,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "mmap_size": 0,
    "journal_mode": "wal",
    "query_only": 1,
}
# Triggers that fill a full-text table run only if the schema is trusted.
WRITING = PRAGMAS | {"trusted_schema": 1, "query_only": 0}


def settings(connection):
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}


def test_every_connection_has_the_same_settings(real_syncs, db):
    with closing(connect(db.path)) as writing, closing(connect(db.path, query_only=True)) as reading:
        assert settings(writing) == WRITING
        assert settings(reading) == PRAGMAS
    assert db._writer.submit(settings).result(30) == WRITING
    assert settings(db._reader()) == PRAGMAS


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_synchronous_is_a_setting(real_syncs, db, synchronous, level):
    with closing(Database(db.path, HOME / "sql", synchronous)) as chosen:
        assert chosen._writer.submit(settings).result(30)["synchronous"] == level


def test_foreign_keys_are_enforced(db):
    db.write("users/create", **account("ann"))

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.write("profiles/follow", me=2, username_key="ann", now=NOW)


@pytest.mark.parametrize("name", ["a?b=c.db", "a#b.db", "a%20b.db", "ä b.db"])
def test_a_database_file_may_have_any_name(tmp_path, name):
    with closing(connect(tmp_path / name, create=True)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER) STRICT")

    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_is_not_created(tmp_path):
    path = tmp_path / "rowboat.db"

    with pytest.raises(StartupError) as refused:
        Database(path, HOME / "sql")

    assert str(refused.value) == f"{path}: there is no such database; the commands migrate and serve make one"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_not_created(tmp_path):
    path = tmp_path / "nowhere" / "rowboat.db"

    with pytest.raises(StartupError) as refused:
        connect(path, create=True)

    reason = "unable to open database file; check that the folder exists and can be written"
    assert str(refused.value) == f"{path}: {reason}"
    assert not path.parent.exists()


def test_a_file_that_is_not_a_database_is_left_alone(tmp_path):
    path = tmp_path / "rowboat.db"
    path.write_text("A letter to a friend. " * 100)

    with pytest.raises(StartupError) as refused:
        connect(path)

    reason = "file is not a database; name another one (--database, ROWBOAT_DATABASE), or move this one away"
    assert str(refused.value) == f"{path}: {reason}"
    assert path.read_text() == "A letter to a friend. " * 100


def test_a_database_that_another_program_has_locked_is_refused(migrated, tmp_path, monkeypatch):
    path = shutil.copy(migrated, tmp_path / "rowboat.db")
    with closing(connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("db.connection.BUSY_TIMEOUT_MS", 1)

        with pytest.raises(StartupError) as refused:
            connect(path)

    assert str(refused.value) == f"{path}: database is locked; another program holds it; end that one first"


def test_a_database_without_our_tables_is_refused_with_the_file_that_needs_them(tmp_path):
    path = tmp_path / "rowboat.db"
    connect(path, create=True).close()

    with pytest.raises(StartupError, match=r"accounts/changes\.sql:\d+: no such table"):
        Database(path, HOME / "sql")


def test_a_moved_database_is_unavailable_until_it_is_back(db):
    away = db.path.with_name("away.db")
    db.path.rename(away)

    with pytest.raises(Unavailable, match="moved, deleted or replaced while in use"):
        db.row("checks/version")
    with pytest.raises(Unavailable, match="moved, deleted or replaced while in use"):
        db.write("users/create", **account("ann"))
    away.rename(db.path)
    db.write("users/create", **account("ann"))

    assert db.row("users/identify", username_key="ann") == {"user_id": 1}


def test_an_unreadable_disk_makes_the_database_unavailable_until_it_recovers(db):
    page = {"actor": None, "before": 9, "limit": 1}
    db.row("checks/version")

    with unreadable(db.path), pytest.raises(Unavailable, match="disk I/O error"):
        db.row("audit/find", "audit/render", **page)

    assert db.read("audit/find", "audit/render", **page) == '{"audit":[]}'


def test_a_damaged_page_makes_what_needs_it_unavailable_and_nothing_else(db):
    db.write("users/create", **account("ann"))
    ((page,),) = db._reader().execute("SELECT rootpage FROM sqlite_schema WHERE name = 'audit'").fetchall()
    db.close()
    with db.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)

    with closing(Database(db.path, HOME / "sql")) as damaged:
        with pytest.raises(Unavailable, match="malformed"):
            damaged.read("audit/find", "audit/render", actor=None, before=9, limit=1)
        assert damaged.row("users/identify", username_key="ann") == {"user_id": 1}
