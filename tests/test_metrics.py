"""Metrics for Prometheus. tests/system/test_metrics.py has those of real workers."""

import os
from types import SimpleNamespace

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

import app
import serve
from config import Config
from files import is_private
from metrics import METRICS, Metrics

TOKEN = "a-token-for-prometheus"
HERE = {"REMOTE_ADDR": "127.0.0.1"}


def numbers(text):
    """The samples of an exposition, by metric and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_of(client):
    return numbers(client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)


@pytest.fixture
def api(asks):
    """The API with a token for Prometheus."""
    return asks(metrics_token=TOKEN)


@pytest.fixture
def folder(tmp_path):
    """The folder that workers share."""
    folder = tmp_path / "counts"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def worker(folder, monkeypatch):
    """The metrics of one of several workers, by its number. In this one process, they count one after the other."""
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    yield lambda number: Metrics(folder, number)
    values.close_all_multiprocess_files()


def test_requests_are_counted_by_method_route_template_and_status(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    for _ in range(3):
        api.reads(slug)
    api.refusal(404, "GET", "/articles/unknown")
    api.refusal(404, "GET", "/nowhere/at/all")
    api.refusal(405, "DELETE", "/tags")

    found = metrics_of(api.client)

    def count(*labels):
        return found["rowboat_request_duration_seconds_count", *labels]

    assert count("POST", "/api/v1/users", "201") == 1
    assert count("GET", "/api/v1/articles/<slug>", "200") == 3
    assert count("GET", "/api/v1/articles/<slug>", "404") == 1
    assert count("GET", "unmatched", "404") == 1
    assert count("DELETE", "unmatched", "405") == 1
    assert found["rowboat_request_duration_seconds_sum", "POST", "/api/v1/users", "201"] > 0
    assert found["rowboat_cache_hits_total",] == 2


def test_unknown_methods_are_counted_as_one(db):
    client = TestApp(app.make_app(Config(metrics_token=TOKEN), db), lint=False)
    for method in "BREW", "ROW", "SINK":
        client.request("/api/tags", method=method, status=405)

    assert metrics_of(client)["rowboat_request_duration_seconds_count", "other", "unmatched", "405"] == 3


def test_every_metric_is_exposed_and_no_other(api):
    api.someone("ann")
    api.lists()
    api.lists()

    families = list(
        text_string_to_metric_families(api.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)
    )

    assert [(family.name, family.type) for family in families] == [(metric.name, metric.kind) for metric in METRICS]
    assert all(family.samples for family in families)


def test_every_run_of_a_sql_file_is_counted_also_in_transactions(api):
    ann = api.someone("ann")
    before = metrics_of(api.client)

    slug = ann.writes("Rowing at dawn")
    ann.likes(slug)
    ann.likes(slug)

    after = metrics_of(api.client)
    file = "rowboat_sql_duration_seconds_count", "articles/favorite"
    assert file not in before
    assert after[file] == 2
    assert after["rowboat_sql_duration_seconds_sum", "articles/favorite"] > 0
    assert after["rowboat_write_lock_wait_seconds_count",] == before["rowboat_write_lock_wait_seconds_count",] + 3


def test_durations_fall_into_buckets(db):
    metrics = Metrics()
    for seconds in 0.25, 0.3, 60:
        metrics.answered("PUT", "/api/v1/user", "200", seconds, [("users/update", seconds)])
        metrics.waited(seconds)

    found = numbers(metrics.exposition(db))
    labels = "PUT", "/api/v1/user", "200"
    for name, *rest in ("rowboat_request_duration_seconds", *labels), ("rowboat_write_lock_wait_seconds",):
        buckets = [found[f"{name}_bucket", bound, *rest] for bound in ("0.1", "0.25", "0.5", "5.0", "+Inf")]
        assert buckets == [0, 1, 2, 2, 3]
        assert found[f"{name}_count", *rest] == 3
        assert found[f"{name}_sum", *rest] == 60.55
    assert found["rowboat_sql_duration_seconds_sum", "users/update"] == 60.55


def test_gauges_describe_the_files_and_the_open_sessions(api, db, clock):
    ann = api.someone("ann")
    clock.advance(days=20)
    api.logs_in(ann.email)
    clock.advance(days=20)  # the first session has expired

    found = metrics_of(api.client)

    assert found["rowboat_sessions",] == 1
    assert found["rowboat_database_bytes",] == db.path.stat().st_size
    assert found["rowboat_wal_bytes",] == db.path.with_name("rowboat.db-wal").stat().st_size > 0
    assert found["rowboat_disk_free_bytes",] > 0
    assert found["rowboat_backup_age_seconds",] == float("inf")
    copy = db.path.parent / "backups" / "rowboat.2026-01-31T120000Z.db.gz"
    copy.parent.mkdir()
    copy.touch()
    os.utime(copy, (clock.seconds() - 60,) * 2)
    assert metrics_of(api.client)["rowboat_backup_age_seconds",] == 60


def test_metrics_need_their_token(db):
    client = TestApp(app.make_app(Config(metrics_token=TOKEN), db), HERE)

    assert client.get("/metrics", status=401).json == {"errors": {"token": ["is missing"]}}
    for wrong in f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ", "Bearer été":
        response = client.get("/metrics", headers={"Authorization": wrong.encode().decode("latin-1")}, status=401)
        assert response.json == {"errors": {"token": ["is invalid"]}}
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert "rowboat_sessions 0.0\n" in response.text


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({}, {"REMOTE_ADDR": "192.0.2.1"}),
        ({}, HERE | {"HTTP_HOST": "rowboat.example.org"}),
        ({"trusted_proxy": "127.0.0.1"}, HERE),
        ({"study": "off"}, HERE),
    ],
)
def test_without_a_token_in_the_settings_strangers_get_404(db, settings, environ):
    client = TestApp(app.make_app(Config(**settings), db), environ)

    assert client.get("/metrics", status=404).json == {"errors": {"route": ["not found"]}}


def test_metrics_contain_no_names_and_no_addresses(api):
    ann = api.someone("ann-the-rower")
    api.profile(ann.name)
    ann.writes("Rowing at dawn", "boats")
    api.lists(tag="boats", author=ann.name)

    text = api.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text

    assert "/api/v1/profiles/<username>" in text
    for private in (ann.name, ann.email, ann.token, "rowing", "boats"):
        assert private not in text


# Several workers


def hits_of(metrics, db):
    return numbers(metrics.exposition(db))["rowboat_cache_hits_total",]


def counts(metrics, hits, waiting=0):
    metrics.waiting = lambda: waiting
    for _ in range(hits):
        metrics.answered("GET", "/api/tags", "200", 0.001, [], remembered=True)
    return metrics


def test_each_worker_exposes_the_sum_of_all_and_carries_on_where_the_last_one_stopped(worker, db):
    one, two = counts(worker(0), 3, waiting=3), counts(worker(1), 4, waiting=4)

    assert numbers(one.exposition(db))["rowboat_queue_depth",] == 7
    for metrics in one, two, worker(0):
        found = numbers(metrics.exposition(db))
        assert found["rowboat_cache_hits_total",] == 7
        assert found["rowboat_request_duration_seconds_count", "GET", "/api/tags", "200"] == 7


def test_what_waits_for_a_worker_that_has_ended_does_not_count(worker, db):
    one, two = counts(worker(0), 3, waiting=3), counts(worker(1), 4, waiting=4)

    two.close()

    found = numbers(one.exposition(db))
    assert found["rowboat_queue_depth",] == 3
    assert found["rowboat_cache_hits_total",] == 7


@pytest.mark.parametrize("garbage", [b"", b"?", b"\xff" * 4096, b"\x20\0\0\0\0\0\0\0\x04\0\0\0{}{}" + b"\0" * 40])
@pytest.mark.parametrize(
    "name", ["9.json", "counter_9.db", "histogram_9.db", "gauge_9.db", "gauge_livesum_9.db", ".db"]
)
def test_files_that_cannot_be_read_are_left_out_and_logged_once(worker, folder, db, caplog, name, garbage):
    metrics = counts(worker(0), 3)
    (folder / name).write_bytes(garbage)

    assert hits_of(metrics, db) == 3
    assert hits_of(metrics, db) == 3
    assert caplog.text.count("is left out of the metrics") <= 1


def test_links_and_pipes_in_the_folder_are_left_out(worker, folder, db, tmp_path):
    metrics = counts(worker(0), 3)
    os.mkfifo(folder / "counter_7.db")
    (folder / "counter_8.db").symlink_to(folder / "counter_0.db")

    assert hits_of(metrics, db) == 3


def test_a_damaged_file_is_replaced_by_the_next_worker_of_its_number(worker, folder, db):
    for kind in "counter", "gauge_livesum", "histogram", "summary":
        (folder / f"{kind}_0.db").write_bytes(b"?" * 100)

    assert hits_of(counts(worker(0), 3), db) == 3


def test_a_folder_that_was_made_by_another_user_or_is_open_to_them_is_not_used(
    worker, folder, db, tmp_path, monkeypatch, caplog
):
    metrics = counts(worker(0), 3)
    folder.chmod(0o777)
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)  # as in a new process

    assert "rowboat_cache_hits" not in metrics.exposition(db)
    assert hits_of(counts(worker(1), 2), db) == 2  # counted in memory
    assert "is gone, or not ours" in caplog.text
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    assert "rowboat_cache_hits" not in metrics.exposition(db)
    assert "rowboat_sessions 0.0" in metrics.exposition(db)


def test_a_full_memory_file_system_is_not_written(worker, folder, db, monkeypatch, caplog):
    monkeypatch.setattr("metrics.shutil.disk_usage", lambda path: SimpleNamespace(free=1024))

    metrics = counts(worker(0), 3)

    assert hits_of(metrics, db) == 3
    assert list(folder.iterdir()) == []
    assert "has no room" in caplog.text


def test_the_folder_is_in_memory_and_what_killed_servers_left_is_removed(tmp_path, monkeypatch):
    given, left, linked = (tmp_path / name for name in ("run", f"run/rowboat-{'a' * 16}", f"run/rowboat-{'b' * 16}"))
    left.mkdir(parents=True)
    linked.symlink_to(tmp_path)

    folder, held = serve.runtime_folder({"RUNTIME_DIRECTORY": f"{given}:/elsewhere"})
    other, held_too = serve.runtime_folder({"RUNTIME_DIRECTORY": str(given)})

    assert {path.name for path in given.iterdir()} == {folder.name, other.name, linked.name}
    assert is_private(folder)
    os.close(held)
    os.close(held_too)
    in_memory, held = serve.runtime_folder({"RUNTIME_DIRECTORY": str(tmp_path / "nowhere"), "TMPDIR": str(tmp_path)})
    os.close(held)
    in_memory.rmdir()
    assert str(in_memory.parent) == ("/dev/shm" if os.path.isdir("/dev/shm") else str(tmp_path))
