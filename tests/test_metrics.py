"""What Prometheus is told: of one process here, of several on the real server."""

import http.client
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

import app
from config import Config
from db.lock import WriteLock
from metrics import METRICS, Metrics
from tests.conftest import sqlite
from tests.test_server import command, environment, is_alive, needs_proc, serving, workers_of
from tests.test_stopping import stop, wait_until

TOKEN = "a-token-for-prometheus"


def numbers(text):
    """What an exposition says, by metric and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_of(client, **headers):
    return numbers(client.get("/metrics", headers=headers, extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text)


def test_requests_are_counted_by_route_template_method_and_status(api):
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
    assert found["rowboat_cache_hits_total",] == 2


def test_methods_that_clients_make_up_are_counted_as_one(db):
    client = TestApp(app.make_app(Config(), db), lint=False)
    for method in "BREW", "ROW", "SINK":
        client.request("/api/tags", method=method, status=405)

    assert metrics_of(client)["rowboat_request_duration_seconds_count", "other", "unmatched", "405"] == 3


def test_every_metric_of_the_list_is_there_and_no_other(api, db):
    api.someone("ann")
    api.lists()
    api.lists()

    text = api.client.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text
    families = list(text_string_to_metric_families(text))

    assert [(family.name, family.type) for family in families] == [(metric.name, metric.kind) for metric in METRICS]
    assert all(family.samples for family in families)


def test_each_run_of_a_sql_file_is_counted_also_in_transactions(api):
    ann = api.someone("ann")
    before = metrics_of(api.client)

    slug = ann.writes("Rowing at dawn")
    ann.likes(slug)
    ann.likes(slug)

    after = metrics_of(api.client)
    file = "rowboat_sql_duration_seconds_count", "articles/favorite"
    assert file not in before
    assert after[file] == 2
    assert after["rowboat_write_lock_wait_seconds_count",] >= before["rowboat_write_lock_wait_seconds_count",] + 3


def test_buckets_say_how_long_requests_took(api, db):
    ann = api.someone("ann")
    with ThreadPoolExecutor(1) as elsewhere, closing(WriteLock(db.path)) as lock, lock:
        waiting = elsewhere.submit(ann.changes, bio="Rows")
        time.sleep(1)
        lock.__exit__(None, None, None)
        waiting.result()

    found = metrics_of(api.client)
    labels = "PUT", "/api/v1/user", "200"
    assert found["rowboat_request_duration_seconds_bucket", "0.25", *labels] == 0
    assert found["rowboat_request_duration_seconds_bucket", "+Inf", *labels] == 1
    assert found["rowboat_request_duration_seconds_sum", *labels] >= 0.25
    assert found["rowboat_write_lock_wait_seconds_sum",] >= 0.25


def test_gauges_tell_of_the_files_and_of_open_sessions(api, db):
    ann = api.someone("ann")
    api.logs_in(ann.email)
    sqlite(db, "UPDATE sessions SET last_used_at = '2020-01-31T12:00:00.000Z' WHERE id = 1")

    found = metrics_of(api.client)

    assert found["rowboat_sessions",] == 1
    assert found["rowboat_database_bytes",] == db.path.stat().st_size
    assert found["rowboat_wal_bytes",] == db.path.with_name("rowboat.db-wal").stat().st_size > 0
    assert found["rowboat_backup_age_seconds",] == float("inf")
    copy = db.path.parent / "backups" / "rowboat.2026-01-31T120000Z.db.gz"
    copy.parent.mkdir()
    copy.touch()
    assert 0 <= metrics_of(api.client)["rowboat_backup_age_seconds",] < 60


def test_metrics_need_their_token(api, db):
    client = TestApp(app.make_app(Config(metrics_token=TOKEN), db), {"REMOTE_ADDR": "127.0.0.1"})

    assert client.get("/metrics", status=401).json == {"errors": {"token": ["is missing"]}}
    for wrong in f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ", "Bearer été":
        answer = client.get("/metrics", headers={"Authorization": wrong.encode().decode("latin-1")}, status=401)
        assert answer.json == {"errors": {"token": ["is invalid"]}}
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "rowboat_sessions 0.0\n" in answer.text


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({}, {"REMOTE_ADDR": "192.0.2.1"}),
        ({}, {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "rowboat.example.org"}),
        ({"trusted_proxy": "127.0.0.1"}, {"REMOTE_ADDR": "127.0.0.1"}),
        ({"study": "off"}, {"REMOTE_ADDR": "127.0.0.1"}),
    ],
)
def test_without_a_token_in_the_settings_strangers_find_no_metrics(db, settings, asks):
    client = TestApp(app.make_app(Config(**settings), db), asks)

    assert client.get("/metrics", status=404).json == {"errors": {"route": ["not found"]}}


def test_no_name_and_no_address_stands_in_the_metrics(api):
    ann = api.someone("ann-the-rower")
    api.profile(ann.name)
    ann.writes("Rowing at dawn", "boats")
    api.lists(tag="boats", author=ann.name)

    text = api.client.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text

    assert "/api/v1/profiles/<username>" in text
    for private in (ann.name, ann.email, ann.token, "rowing", "boats"):
        assert private not in text


# On the real server


def asks(connection, method, path, token):
    connection.request(method, path, headers={"Authorization": f"Bearer {token}"})


def told(connection):
    """What the answer tells, and the worker that gave it, by the beginning that its ids share."""
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.headers["X-Request-Id"][:24], numbers(answer.read().decode())


def scrape(server):
    """What the server tells now, and which worker it was."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        asks(connection, "GET", "/metrics", TOKEN)
        return told(connection)


def scrape_both(server, expected):
    """What each of two workers tells once it knows of these requests: those of the other one it knows from its file."""
    found = {}

    def both_know():
        worker, tells = scrape(server)
        found[worker] = tells
        return [counted(each) for each in found.values()] == [expected] * 2

    wait_until(both_know)
    return list(found.values())


def counted(found):
    """Requests by route and status, without those for the metrics themselves."""
    return {
        (key[2], int(key[3])): count
        for key, count in found.items()
        if key[0] == "rowboat_request_duration_seconds_count" and key[2] != "/metrics"
    }


def sends(server, count, path="/api/tags"):
    """Send so many requests, each on a connection of its own, so that all workers get some; their statuses."""
    with ThreadPoolExecutor(8) as crowd:
        return Counter(status for status, _ in crowd.map(lambda _: server.ask("GET", path), range(count)))


@needs_proc
def test_metrics_of_two_workers_add_up_to_the_requests_sent(tmp_path):
    with serving(tmp_path, "--workers", "2", ROWBOAT_METRICS_TOKEN=TOKEN) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        time.sleep(1)
        tags = sends(server, 200)
        missing = sends(server, 100, "/api/articles/unknown")

        sent = {("/api/tags", 200): 200, ("/api/articles/<slug>", 404): 100}
        first, second = scrape_both(server, sent)
        time.sleep(1.5)  # for what might be counted once more

        assert (tags, missing) == ({200: 200}, {404: 100})
        assert counted(scrape(server)[1]) == sent
        assert first["rowboat_queue_depth",] == second["rowboat_queue_depth",] == 0
        (folder,) = set(re.findall(r"\S+/rowboat-[0-9a-f]{16}", command_lines(workers_of(server))))
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert stop(server) == 0
    assert not os.path.exists(folder)


def command_lines(processes):
    return " ".join(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in processes)


@needs_proc
def test_what_was_counted_outlives_a_reload_and_a_killed_worker(tmp_path):
    with serving(tmp_path, "--workers", "2", ROWBOAT_METRICS_TOKEN=TOKEN) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        time.sleep(1)
        sends(server, 50)
        for reloads in (1, 2):
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.log.read_text().count("Rowboat reloaded") == reloads)  # noqa: B023 (called at once)
            sends(server, 50)
        wait_until(lambda: len(workers_of(server)) == 2)
        scrape_both(server, {("/api/tags", 200): 150})
        before = workers_of(server)
        signal_all(before, signal.SIGKILL)
        wait_until(lambda: len({*workers_of(server)} - {*before}) == 2)
        sends(server, 50)

        scrape_both(server, {("/api/tags", 200): 200})
        time.sleep(1.5)  # for what might be counted once more
        assert counted(scrape(server)[1]) == {("/api/tags", 200): 200}

        assert stop(server) == 0
        assert "rror" not in server.log.read_text()


@needs_proc
def test_workers_whose_parent_was_killed_leave_no_counts_behind(tmp_path):
    with serving(tmp_path, "--workers", "2", TMPDIR=str(tmp_path)) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        sends(server, 50)
        workers = workers_of(server)
        assert len(list(tmp_path.glob("rowboat-*"))) == 1

        server.process.kill()
        wait_until(lambda: not any(map(is_alive, workers)))

    assert list(tmp_path.glob("rowboat-*")) == []


def signal_all(processes, signum):
    for pid in processes:
        os.kill(pid, signum)


def test_requests_that_wait_for_a_thread_are_counted_while_they_do(tmp_path):
    with serving(tmp_path, "--workers", "1", "--threads", "1", ROWBOAT_METRICS_TOKEN=TOKEN) as server:
        tokens = [server.token(f"ann{number}") for number in range(3)]
        with ExitStack() as crowd:
            *followers, operator, reader = [
                crowd.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)))
                for _ in range(5)
            ]
            with closing(WriteLock(server.database)) as lock, lock:
                for each, token in zip(followers, tokens, strict=True):
                    asks(each, "POST", "/api/profiles/ann0/follow", token)
                # One has the thread, the others wait for it, and so do who asks for the metrics and who comes after.
                asks(operator, "GET", "/metrics", TOKEN)
                time.sleep(1)
                asks(reader, "GET", "/api/tags", "")
                time.sleep(2)
            _, found = told(operator)

        assert found["rowboat_queue_depth",] == 1
        assert scrape(server)[1]["rowboat_queue_depth",] == 0


def test_numbers_that_older_code_counted_in_other_buckets_are_left_out(tmp_path):
    older = [
        [["rowboat_write_lock_wait_seconds"], [1, 2, 3]],
        [["rowboat_gone"], [1, 2]],
        [["rowboat_cache_hits"], [7, 0]],
    ]
    for number in 0, 1:
        (tmp_path / f"{number}.json").write_text(json.dumps([older, 0]))

    metrics = Metrics(tmp_path, 0)
    metrics.waited(0.1)

    assert metrics._of_all_workers()[0].keys() == {("rowboat_write_lock_wait_seconds",), ("rowboat_cache_hits",)}
    assert metrics._of_all_workers()[0]["rowboat_cache_hits",] == [14, 0]


def test_a_folder_for_the_counts_that_is_gone_keeps_nobody_from_being_answered(tmp_path):
    (tmp_path / "temporary").mkdir()
    settings = {"TMPDIR": str(tmp_path / "temporary"), "ROWBOAT_METRICS_TOKEN": TOKEN}
    with serving(tmp_path, "--workers", "1", **settings) as server:
        shutil.rmtree(tmp_path / "temporary")
        sends(server, 20)

        scrape(server)

        wait_until(lambda: "metrics of this worker are not kept" in server.log.read_text())
        assert sends(server, 20) == {200: 20}
        assert stop(server) == 0


def test_where_nothing_can_be_written_the_server_says_what_it_needs(tmp_path):
    refused = subprocess.run(
        command(tmp_path / "rowboat.db", 0),
        env=environment() | {"TMPDIR": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert refused.returncode == 2
    assert re.fullmatch(
        rf"rowboat: cannot make {tmp_path}/nowhere/rowboat-[0-9a-f]{{16}}: No such file or directory; "
        "name a folder that can be written in TMPDIR\n",
        refused.stderr,
    )
