"""Liveness at /healthz and readiness at /readyz."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from webtest import TestApp

import app
import health
from config import Config
from db.lock import WriteLock
from tests.conftest import sqlite


def ready(db, status=200, is_draining=lambda: False, **settings):
    """The checks of /readyz that fail, with their messages."""
    response = TestApp(app.make_app(Config(**settings), db, is_draining)).get("/readyz", status=status)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json["ready"] == (status == 200)
    assert response.json["sqlite"] == sqlite3.sqlite_version
    return {name: found for name, found in response.json["checks"].items() if found != "ok"}


def test_healthz_says_that_the_process_is_alive(api):
    response = api.client.get("/healthz")

    assert response.json == {"alive": True}
    assert response.headers["Cache-Control"] == "no-store"


def test_readyz_lists_all_checks(api):
    assert api.client.get("/readyz").json["checks"] == {
        "migrations": "ok",
        "database": "ok",
        "disk": "ok",
        "draining": "ok",
    }


def test_readyz_changes_nothing(api, db):
    with closing(sqlite3.connect(db.path)) as connection:
        before = connection.execute("PRAGMA data_version").fetchone()

        api.client.get("/readyz")

        assert connection.execute("PRAGMA data_version").fetchone() == before


def test_while_another_process_writes_the_database_is_not_ready(db, monkeypatch):
    with monkeypatch.context() as patch, closing(WriteLock(db.path)) as lock, lock:
        patch.setattr(health, "_PATIENCE_S", 0)
        assert ready(db, 503) == {"database": "no turn to write within 0 second"}

    assert ready(db) == {}


def test_too_little_free_disk_space_is_not_ready(db):
    free = shutil.disk_usage(db.path.parent).free >> 20

    found = ready(db, 503, min_free_mb=free + 100_000)

    assert found["disk"].endswith(f" MB are free; ROWBOAT_MIN_FREE_MB is {free + 100_000}")
    assert found.keys() == {"disk"}


def test_a_schema_changed_by_other_code_is_not_ready(db):
    client = TestApp(app.make_app(Config(), db))
    sqlite(db, "INSERT INTO schema_migrations VALUES (99, 'later', '', '', 0)")

    response = client.get("/readyz", status=503)

    assert response.json["checks"]["migrations"] == "the schema was changed by other code; restart"


def test_a_worker_that_is_about_to_stop_is_not_ready(db):
    assert ready(db, 503, is_draining=lambda: True) == {"draining": "the worker is about to stop"}


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_missing_or_replaced_database_is_not_ready_until_it_is_back(db, tmp_path, end, is_replaced):
    file = db.path.with_name(db.path.name + end)
    assert ready(db) == {}

    content = file.read_bytes()
    file.rename(tmp_path / "elsewhere")
    if is_replaced:
        file.write_bytes(content)
    gone = ready(db, 503)
    assert not is_replaced or file.read_bytes() == content
    (tmp_path / "elsewhere").replace(file)

    assert gone == {
        "database": f"{db.path}: it or its WAL was moved, deleted or replaced while in use; put it back, or restart"
    }
    assert ready(db) == {}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_wrong_method_is_405_with_the_allowed_ones(api, path):
    assert api.client.post(path, status=405).headers["Allow"] == "GET, HEAD"
