"""A database of any earlier version, or of any release, upgrades to the newest one and keeps every row."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database, schema
from db.migrations import find_migrations, migrate
from seed import PASSWORD
from tests.conftest import HOME, Api
from tests.db.accounts import NOW
from tests.db.rows import ROWS, columns_of, contents, insert

NEWEST = len(find_migrations(HOME / "schema"))
RELEASED = sorted((HOME / "tests/released").glob("*.sql"))


def upgrades(path, clock):
    """Migrate to the newest version: no row changes, and the schema is what the scripts build. Returns the rows."""
    with closing(sqlite3.connect(path)) as connection:
        columns = columns_of(connection)
        before = contents(connection, columns)

    migrate(path, HOME / "schema", clock=clock)

    with closing(sqlite3.connect(path)) as connection:
        after = contents(connection, columns)
        assert set(before.pop("sqlite_sequence")) <= set(after.pop("sqlite_sequence"))
        assert after == before
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert list(schema.differences(connection, HOME / "schema")) == []
    return before


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_database_of_an_earlier_version_upgrades_with_its_rows(tmp_path, clock, version):
    path = tmp_path / "rowboat.db"
    migrate(path, HOME / "schema", to=version, clock=clock)
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = columns_of(connection)
        for table, row in ROWS.items():
            if table in columns:
                insert(connection, table, {column: row[column] for column in row if column in columns[table]})
        names = {"username": "bob", "username_key": "bob", "email": "b@example.org", "email_key": "b@example.org"}
        insert(connection, "users", names | {"password_hash": "hash", "created_at": NOW, "updated_at": NOW})

    rows = upgrades(path, clock)

    assert [table for table in rows if not rows[table]] == [], "add rows for these tables to tests/db/rows.py"


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_upgrades_with_its_rows_and_serves(dump: Path, tmp_path, clock):
    path = tmp_path / "rowboat.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())

    rows = upgrades(path, clock)

    with closing(Database(path, HOME / "sql", clock=clock)) as database:
        api = Api(TestApp(app.make_app(Config(), database)))
        assert api.lists()["articlesCount"] == len(rows["articles"]) > 0
        api.post("/users/login", {"user": {"email": "ada@example.org", "password": PASSWORD}})


def test_this_version_has_a_released_database():
    assert app.VERSION in [path.stem for path in RELEASED]
