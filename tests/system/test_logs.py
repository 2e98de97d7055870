"""The logs of real servers, and what Sentry gets."""

import gzip
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.system.test_server import needs_proc, serving, until, workers_of


def lines_of(path):
    """Every line, which must be JSON."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def answering(server):
    """The workers that respond, each by the beginning that its request ids share."""
    found = set()
    for _ in range(20):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            connection.request("GET", "/healthz")
            found.add(connection.getresponse().headers["X-Request-Id"][:24])
    return found


def kill_a_worker(server):
    """Kill one of two workers and return its process id once the next one responds."""
    until(lambda: len(answering(server)) == 2)
    killed, before = workers_of(server)[0], answering(server)
    os.kill(killed, signal.SIGKILL)
    until(lambda: answering(server) - before)
    return killed


def break_tags(server):
    """Every request for the tags fails from now on."""
    server.rows("ALTER TABLE tags RENAME TO labels")


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_lines_of_two_workers_never_mix(tmp_path, kind):
    reading, writing = os.pipe()

    def ask(number):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            for count in range(25):
                connection.request("GET", "/api/articles?limit=5", headers={"X-Request-Id": f"{number}-{count}"})
                connection.getresponse().read()

    log = tmp_path / "errors.log"
    with log.open("wb") as errors, open(reading, "rb") as pipe, ThreadPoolExecutor(17) as crowd:
        copied = crowd.submit(lambda: kind == "pipe" and shutil.copyfileobj(pipe, errors))
        with serving(tmp_path, "--workers", "2", stderr=writing if kind == "pipe" else errors) as server:
            os.close(writing)
            list(crowd.map(ask, range(16)))
            server.stop()
        copied.result()

    ids = [line["request_id"] for line in lines_of(log) if "method" in line]
    assert sorted(ids) == sorted(f"{number}-{count}" for number in range(16) for count in range(25))


def test_on_a_terminal_the_log_is_human_readable(tmp_path):
    ours, theirs = pty.openpty()
    with serving(tmp_path, "--workers", "1", stderr=theirs) as server:
        server.ask("GET", "/api/user", x_request_id="hers")
        os.close(theirs)
        written = b""
        while b"GET /api/user" not in written:
            written += os.read(ours, 65536)
    os.close(ours)

    assert re.search(rb"Z  hers  GET /api/user 401 in \d+\.\d ms \(SQL 0\.0\), 37 bytes, user -", written)
    assert b'{"' not in written


# Events


@needs_proc
def test_events_are_json_on_standard_error_and_notices_are_on_standard_output(tmp_path):
    log = tmp_path / "errors.log"
    with log.open("wb") as errors, serving(tmp_path, "--workers", "2", stderr=errors) as server:
        killed = kill_a_worker(server)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "Rowboat reloaded" in server.log.read_text())
        break_tags(server)
        server.ask("GET", "/api/tags")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the old ones stay" in log.read_text())
        server.stop()

    # The reason why a new worker does not start is a plain line, as at the start; all else is JSON.
    plain = [line for line in log.read_text().splitlines() if not line.startswith("{")]
    assert [re.sub(".*:", "", line) for line in plain] == [" tags"]
    events = [json.loads(line) for line in log.read_text().splitlines() if line not in plain and '"method"' not in line]
    assert all(list(event)[:3] == ["time", "level", "message"] for event in events)
    assert {event["message"] for event in events} >= {
        f"worker {killed} ended with -9; another takes its place",
        "unexpected error",
        "a new worker did not start; the old ones stay",
    }
    started, *later = [line for line in server.log.read_text().splitlines() if line.startswith(("{", "Rowboat"))]
    assert started.startswith(
        f"Rowboat on http://127.0.0.1:{server.port}/api (workers: 2), database {server.database} ("
    )
    assert later == ["Rowboat reloaded (workers: 2)"]


@needs_proc
@pytest.mark.parametrize("broken", ["full", "closed", "without a reader"])
def test_a_log_that_cannot_be_written_does_not_disturb_the_server(tmp_path, broken):
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full" if broken == "full" else writing, "wb", closefd=broken == "full") as stderr:
        through = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if broken == "closed" else []
        with serving(tmp_path, "--workers", "2", stderr=stderr, through=through) as server:
            os.close(writing)
            mine = {"authorization": f"Token {server.token('ann')}"}
            statuses = [server.ask("PUT", "/api/user", {"user": {"bio": f"{n}"}}, **mine)[0] for n in range(10)]
            kill_a_worker(server)
            break_tags(server)
            bugs = [server.ask("GET", "/api/tags")[0] for _ in range(3)]
            bio = server.ask("GET", "/api/user", **mine)[1]["user"]["bio"]
            server.stop()
            integrity = server.rows("PRAGMA integrity_check")

    assert statuses == [200] * 10
    assert bugs == [500] * 3
    assert bio == "9"
    assert integrity == [("ok",)]
    for file in server.database.parent.iterdir():
        assert b'"sql_ms"' not in file.read_bytes()
    assert "{" not in server.log.read_text()


def test_a_log_that_is_not_read_keeps_no_client_waiting(tmp_path):
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, serving(tmp_path, "--workers", "1", stderr=writing) as server:
        os.close(writing)
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            for _ in range(2000):  # four times what the pipe holds
                connection.request("GET", "/healthz")
                connection.getresponse().read()
        with ThreadPoolExecutor(1) as reader:
            read = reader.submit(pipe.read)
            server.stop()
            lines = [json.loads(line) for line in read.result().splitlines()]

    assert sum(line.get("route") == "/healthz" for line in lines) == 2000


# Sentry


@pytest.fixture
def sentry():
    """Takes what is sent to Sentry; each response waits until `may_respond` is set."""

    class Take(BaseHTTPRequestHandler):
        def do_POST(self):
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            taking.envelopes.append(gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent)
            taking.may_respond.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Take) as taking, ThreadPoolExecutor(1) as thread:
        taking.envelopes, taking.may_respond, taking.daemon_threads = [], threading.Event(), True
        thread.submit(taking.serve_forever)
        yield taking
        taking.may_respond.set()
        taking.shutdown()


def test_a_slow_sentry_gets_errors_without_personal_data_and_keeps_no_client_waiting(tmp_path, sentry):
    person = {"username": "annabella", "email": "anna.bella@example.org", "password": "a correct horse of hers"}
    article = {"title": "A title of hers", "description": "About her", "body": "Her words", "tagList": ["hertag"]}
    named = {
        "SENTRY_DSN": f"http://key@127.0.0.1:{sentry.server_port}/1",
        "SENTRY_RELEASE": "9.1",
        "SENTRY_ENVIRONMENT": "harbour",
    }
    with serving(tmp_path, "--workers", "1", **named) as server:
        token = server.ask("POST", "/api/users", {"user": person})[1]["user"]["token"]
        hers = {"authorization": f"Token {token}", "user_agent": "HerBrowser/7", "x_forwarded_for": "192.0.2.77"}
        assert server.ask("GET", "/api/user")[0] == 401  # which is no error for Sentry
        break_tags(server)
        path = "/api/articles?asked=secretly"
        for request_id in "first", "second":
            assert server.ask("POST", path, {"article": article}, **hers, x_request_id=request_id)[0] == 500
        until(lambda: sentry.envelopes)  # the second error waits behind the first
        server.process.send_signal(signal.SIGTERM)
        sentry.may_respond.set()
        assert server.process.wait(60) == 0

    event, second = [json.loads(envelope.rstrip(b"\n").split(b"\n")[-1]) for envelope in sentry.envelopes]
    assert [event["extra"], second["extra"]] == [{"request_id": "first"}, {"request_id": "second"}]
    assert (event["release"], event["environment"], event["level"]) == ("9.1", "harbour", "error")
    error = event["exception"]["values"][-1]
    assert (error["type"], error["value"]) == ("OperationalError", "no such table: tags")
    assert "handlers/articles.py" in [frame["filename"] for frame in error["stacktrace"]["frames"]]
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])
    sent = b"".join(sentry.envelopes).decode()
    private = [*person.values(), "A title of hers", "About her", "Her words", "hertag", token, "HerBrowser", "secretly"]
    for part in [*private, "192.0.2.77", "127.0.0.1", socket.gethostname(), "app.py", str(tmp_path)]:
        assert part not in sent, part
