"""Metrics for Prometheus. tests/system/test_metrics.py has those of real workers."""

import os

import pytest
from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

import app
from config import Config
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
def worker(tmp_path, monkeypatch):
    """The metrics of one of several workers, by its number; they are kept only when told to."""
    monkeypatch.setattr(Metrics, "_keep", lambda metrics: None)
    (tmp_path / "counts").mkdir()
    return lambda number: Metrics(tmp_path / "counts", number)


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
        buckets = [found[f"{name}_bucket", bound, *rest] for bound in ("0.1", "0.25", "0.5", "5", "+Inf")]
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


def test_each_worker_exposes_the_sum_of_all_and_carries_on_where_the_last_one_stopped(worker, db):
    one, two = worker(0), worker(1)
    for metrics, hits in (one, 3), (two, 4):
        metrics.waiting = lambda hits=hits: hits
        for _ in range(hits):
            metrics.answered("GET", "/api/tags", "200", 0.001, [], remembered=True)
        metrics.write()

    assert numbers(one.exposition(db))["rowboat_queue_depth",] == 7
    for metrics in one, two, worker(0):
        found = numbers(metrics.exposition(db))
        assert found["rowboat_cache_hits_total",] == 7
        assert found["rowboat_request_duration_seconds_count", "GET", "/api/tags", "200"] == 7


def test_numbers_that_older_code_counted_in_other_buckets_are_left_out(worker, db, tmp_path):
    older = '[[[["rowboat_write_lock_wait_seconds"], [1, 2, 3]], [["rowboat_gone"], [1, 2]],'
    older += ' [["rowboat_cache_hits"], [7, 0]]], 0]'
    for number in 0, 1:
        (tmp_path / "counts" / f"{number}.json").write_text(older)

    metrics = worker(0)
    metrics.waited(0.1)

    found = numbers(metrics.exposition(db))
    assert found["rowboat_cache_hits_total",] == 14
    assert found["rowboat_write_lock_wait_seconds_count",] == 1
    assert not any("gone" in name for name, *_ in found)


def test_counts_that_cannot_be_kept_are_a_warning_once_and_kept_again_when_they_can_be(worker, tmp_path, caplog):
    metrics, folder = worker(0), tmp_path / "counts"
    folder.rmdir()
    folder.write_text("in the way")

    metrics.write()
    metrics.write()
    folder.unlink()
    metrics.write()

    assert caplog.text.count("metrics of this worker are not kept") == 1
    assert (folder / "0.json").exists()


def test_after_the_counts_were_removed_none_are_written(worker, tmp_path):
    metrics = worker(0)
    metrics.write()

    metrics.remove()
    metrics.write()

    assert not (tmp_path / "counts").exists()
