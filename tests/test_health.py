"""What those ask who keep it running: does it live, and should it be sent requests?"""

import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from webtest import TestApp

import app
from config import Config
from db.lock import WriteLock
from tests.conftest import sqlite
from tests.test_server import serving, workers_of


def ready(db, status=200, is_draining=lambda: False, **settings):
    """What /readyz answers, without the checks that say ok."""
    answer = TestApp(app.make_app(Config(**settings), db, is_draining)).get("/readyz", status=status)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["ready"] == (status == 200)
    assert answer.json["sqlite"] == sqlite3.sqlite_version
    return {name: found for name, found in answer.json["checks"].items() if found != "ok"}


def test_a_process_that_lives_says_so(api):
    answer = api.client.get("/healthz")

    assert answer.json == {"alive": True}
    assert answer.headers["Cache-Control"] == "no-store"


def test_when_all_is_well_it_says_so(api):
    assert api.client.get("/readyz").json["checks"] == {
        "migrations": "ok",
        "database": "ok",
        "disk": "ok",
        "draining": "ok",
    }


def test_to_ask_changes_nothing(api, db):
    before = sqlite(db, "PRAGMA data_version"), sqlite(db, "SELECT * FROM attempts")

    for _ in range(3):
        api.client.get("/readyz")

    assert (sqlite(db, "PRAGMA data_version"), sqlite(db, "SELECT * FROM attempts")) == before


def test_while_somebody_holds_the_lock_it_cannot_be_written(db):
    with closing(WriteLock(db.path)) as lock, lock:
        assert ready(db, 503) == {"database": "no turn to write within 1 second"}

    assert ready(db) == {}


def test_a_full_disk_is_told_before_it_is_full(db):
    free = shutil.disk_usage(db.path.parent).free >> 20

    found = ready(db, 503, min_free_mb=free + 100_000)

    assert found["disk"].endswith(f" MB are free; ROWBOAT_MIN_FREE_MB is {free + 100_000}")
    assert found.keys() == {"disk"}


def test_a_schema_that_other_code_has_changed_is_told(db):
    client = TestApp(app.make_app(Config(), db))
    sqlite(db, "INSERT INTO schema_migrations VALUES (99, 'later', '', '', 0)")

    answer = client.get("/readyz", status=503)

    assert answer.json["checks"]["migrations"] == "the schema was changed by other code; restart"


def test_a_worker_that_is_about_to_stop_is_sent_nothing_more(db):
    assert ready(db, 503, is_draining=lambda: True) == {"draining": "the worker is about to stop"}


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_database_that_is_gone_is_told_until_it_is_back(db, tmp_path, end):
    file = db.path.with_name(db.path.name + end)
    assert ready(db) == {}

    file.rename(tmp_path / "elsewhere")
    gone = ready(db, 503)
    (tmp_path / "elsewhere").rename(file)

    assert gone == {
        "database": f"{db.path}: it or its WAL was moved, deleted or replaced while in use; put it back, or restart"
    }
    assert ready(db) == {}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_wrong_method_is_told(api, path):
    assert api.client.post(path, status=405).headers["Allow"] == "GET, HEAD"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs prlimit")
def test_where_nothing_can_be_written_it_says_so(tmp_path):
    with serving(tmp_path, "--workers", "1") as server:
        assert server.ask("GET", "/readyz")[0] == 200
        (worker,) = workers_of(server)

        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status, body = server.ask("GET", "/readyz")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        assert (status, body["checks"]["database"]) == (503, "[Errno 27] File too large")
        assert server.ask("GET", "/readyz")[0] == 200
