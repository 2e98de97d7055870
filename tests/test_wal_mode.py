"""Opening a database for service puts it into WAL mode, whoever has put it there, or is refused."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from db import Database, StartupError
from db.connection import identity
from tests.conftest import HOME
from tests.test_backup_commands import grown, rows, seeded  # noqa: F401


def mode_of(path):
    return rows(path, "PRAGMA journal_mode")[0][0]


@pytest.fixture(params=["delete", "truncate", "persist"])
def by_hand(grown, tmp_path, request):  # noqa: F811
    """A copy that was put in the place of the database by hand."""
    grown.says("backup", str(tmp_path / "copy.db"))
    for path in grown.database.parent.glob("rowboat.db*"):
        path.unlink()
    shutil.copy(tmp_path / "copy.db", grown.database)
    rows(grown.database, f"PRAGMA journal_mode = {request.param}")
    return grown


def test_a_copy_put_in_place_by_hand_is_served_in_wal_mode(by_hand):
    assert mode_of(by_hand.database) != "wal"

    with closing(Database(by_hand.database, HOME / "sql")) as served:
        assert mode_of(by_hand.database) == "wal"
        with closing(sqlite3.connect(by_hand.database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM users").fetchall()
            served.write("checks/write")  # not blocked by the reader


def test_commands_with_migrate_check_use_wal_mode(by_hand):
    by_hand.says("user", "list", ROWBOAT_MIGRATE="check")

    assert mode_of(by_hand.database) == "wal"


def test_a_database_that_cannot_be_switched_is_refused(by_hand, monkeypatch):
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_MS", 0)
    with closing(sqlite3.connect(by_hand.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchall()

        with pytest.raises(
            StartupError, match="cannot be switched to WAL mode: database is locked; end other programs"
        ):
            Database(by_hand.database, HOME / "sql")


@pytest.mark.parametrize("query_only", [False, True])
def test_connections_that_are_opened_later_ensure_wal_mode_too(grown, query_only):  # noqa: F811
    served = Database(grown.database, HOME / "sql")
    served.close()
    rows(grown.database, "PRAGMA journal_mode = DELETE")
    served._files = identity(grown.database)

    with closing(served.connect(query_only=query_only)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
