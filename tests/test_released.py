"""Databases of released versions, kept as SQL text in released/, still upgrade and serve."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database, schema
from db.migrations import migrate
from seed import PASSWORD
from tests.conftest import HOME, Api

RELEASED = sorted((HOME / "tests/released").glob("*.sql"))


def _load(dump: Path, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())


def _rows(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables}


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_upgrades_with_its_rows_and_serves(dump, tmp_path):
    path = tmp_path / "rowboat.db"
    _load(dump, path)
    before = _rows(path)

    migrate(path, HOME / "schema")

    after = _rows(path)
    assert {table: after[table] for table in before if table != "schema_migrations"} == {
        table: count for table, count in before.items() if table != "schema_migrations"
    }
    with closing(sqlite3.connect(path)) as connection:
        assert list(schema.differences(connection, HOME / "schema")) == []
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with closing(Database(path, HOME / "sql")) as database:
        api = Api(TestApp(app.make_app(Config(), database)))
        assert api.lists()["articlesCount"] == before["articles"]
        api.post("/users/login", {"user": {"email": "ada@example.org", "password": PASSWORD}})


def test_this_version_has_its_database_there():
    assert app.VERSION in [path.stem for path in RELEASED]
