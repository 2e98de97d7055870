"""The logs of real servers, and what Sentry gets."""

import gzip
import http.client
import json
import os
import pty
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.system.test_server import needs_proc, serving, until, workers_of


@contextmanager
def logging_server(folder, *more, **settings):
    """A server, which is stopped at the end, and the file that has its standard error alone."""
    path = folder / "errors.log"
    with path.open("wb") as errors, serving(folder, *more, stderr=errors, **settings) as server:
        yield server, path
        server.stop()


def lines_of(path):
    """Every line, which must be JSON."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def events_of(path):
    return [line for line in lines_of(path) if "method" not in line]


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
    until(lambda: len(answering(server) - before) == 1)
    return killed


def break_tags(server):
    """Every request for the tags fails from now on."""
    server.rows("ALTER TABLE tags RENAME TO labels")


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_lines_of_two_workers_never_mix(tmp_path, kind):
    reading, writing = os.pipe()
    log = tmp_path / "errors.log"

    def ask(number):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            for count in range(25):
                connection.request("GET", "/api/articles?limit=5", headers={"X-Request-Id": f"{number}-{count}"})
                connection.getresponse().read()

    with log.open("wb") as errors, open(reading, "rb") as pipe, ThreadPoolExecutor(17) as crowd:
        copied = crowd.submit(lambda: [errors.write(line) for line in pipe] if kind == "pipe" else None)
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


def test_bytes_on_a_socket_cannot_forge_a_line(tmp_path):
    methods = [
        *(b'GE"T', b"\x1b[31mGET", b"GET\x7f", b"\x9bGET", b"\xc2\x9bGET", "RÜDERN".encode(), b'{"forged":1}'),
        *(b"G\rT", b"GET\x85", b"GET\\n", b"", b"GET\0", b"GET'|~%S!#$&*+-.^_`"),
        *(b"BREW", b"ROW" * 5000),
    ]
    end = b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_TRUSTED_PROXY="192.0.2.1") as (server, log):
        statuses = [server.sends(method, b" /api/articles/a%0a%1b%5b2J%22%7d", end)[0] for method in methods]
        for path in b"/\x1b[2J\x7f", b"/api/tags/%C2%85", b"/api/articles?tag=\x1b%0aforged":
            server.sends(b"GET ", path, end)

    assert statuses == [400] * 13 + [405] * 2
    assert [line["method"] for line in lines_of(log)] == ["BREW", ("ROW" * 5000)[:32], "GET"]


# Events


@needs_proc
def test_events_are_json_on_standard_error_and_notices_are_on_standard_output(tmp_path):
    with logging_server(tmp_path, "--workers", "2", ROWBOAT_LOG_FORMAT="json", ROWBOAT_DRAIN_S="1") as (server, log):
        killed = kill_a_worker(server)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "Rowboat reloaded" in server.log.read_text())
        break_tags(server)
        server.ask("GET", "/api/tags")
        before = len(log.read_text())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the old ones stay" in log.read_text())
        why = [line for line in log.read_text()[before:].splitlines() if not line.startswith("{")]
        with closing(socket.create_connection(("127.0.0.1", server.port))) as half:
            half.sendall(b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{")
            answering(server)
            server.stop()

    # What keeps a new worker from starting is a plain line, as at the start; all else is JSON.
    assert len(why) == 1
    assert re.match("rowboat: .*no such table: tags", why[0])
    events = [json.loads(line) for line in log.read_text().splitlines() if line not in why and '"method"' not in line]
    assert all(list(event)[:3] == ["time", "level", "message"] for event in events)
    said = [event["message"] for event in events]
    assert f"worker {killed} ended with -9; another takes its place" in said
    assert "unexpected error" in said
    assert "a new worker did not start; the old ones stay" in said
    assert "1 connections were cut" in said
    notices = server.log.read_text().splitlines()
    assert [line for line in notices if line.startswith("{")] == []
    assert [line for line in notices if line.startswith("Rowboat")] == [
        f"Rowboat on http://127.0.0.1:{server.port}/api (workers: 2)",
        "Rowboat reloaded (workers: 2)",
    ]


def full():
    return {"stderr": os.open("/dev/full", os.O_WRONLY)}


def closed():
    return {"through": ["sh", "-c", 'exec "$@" 2>&-', "sh"]}


def without_a_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return {"stderr": writing}


@needs_proc
@pytest.mark.parametrize("broken", [full, closed, without_a_reader])
def test_a_log_that_cannot_be_written_does_not_disturb_the_server(tmp_path, broken):
    settings = broken()
    with serving(tmp_path, "--workers", "2", **settings) as server:
        if "stderr" in settings:
            os.close(settings["stderr"])
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


class Sentry(ThreadingHTTPServer):
    """Takes what is sent to Sentry; each response waits until `may_respond` is set."""

    daemon_threads = True

    def __init__(self):
        self.envelopes = []
        self.may_respond = threading.Event()
        super().__init__(("127.0.0.1", 0), _Taking)
        self.dsn = f"http://key@127.0.0.1:{self.server_port}/1"

    def events(self):
        """The events in the envelopes."""
        return [json.loads(envelope.rstrip(b"\n").split(b"\n")[-1]) for envelope in self.envelopes]


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.envelopes.append(gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent)
        self.server.may_respond.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def sentry():
    with Sentry() as taking:
        thread = threading.Thread(target=taking.serve_forever)
        thread.start()
        yield taking
        taking.may_respond.set()
        taking.shutdown()
        thread.join()


def test_sentry_gets_errors_without_personal_data_also_just_before_the_end(tmp_path, sentry):
    person = {"username": "annabella", "email": "anna.bella@example.org", "password": "a correct horse of hers"}
    article = {"title": "A title of hers", "description": "About her", "body": "Her words", "tagList": ["hertag"]}
    named = {"SENTRY_DSN": sentry.dsn, "SENTRY_RELEASE": "9.1", "SENTRY_ENVIRONMENT": "harbour"}
    with serving(tmp_path, "--workers", "1", **named) as server:
        token = server.ask("POST", "/api/users", {"user": person})[1]["user"]["token"]
        hers = {"authorization": f"Token {token}", "user_agent": "HerBrowser/7", "x_forwarded_for": "192.0.2.77"}
        refused = [server.ask(*asked)[0] for asked in [("GET", "/api/user"), ("GET", "/nowhere"), ("PUT", "/api/tags")]]
        break_tags(server)
        path = "/api/articles?asked=secretly"
        for request_id in "first", "second":
            assert server.ask("POST", path, {"article": article}, **hers, x_request_id=request_id)[0] == 500
        until(lambda: sentry.envelopes)  # the second error waits behind the first
        server.process.send_signal(signal.SIGTERM)
        sentry.may_respond.set()
        assert server.process.wait(60) == 0

    assert refused == [401, 404, 405]
    assert [event["extra"] for event in sentry.events()] == [{"request_id": "first"}, {"request_id": "second"}]
    event = sentry.events()[0]
    assert (event["release"], event["environment"], event["level"]) == ("9.1", "harbour", "error")
    error = event["exception"]["values"][-1]
    assert (error["type"], error["value"]) == ("OperationalError", "no such table: tags")
    assert "handlers/articles.py" in [frame["filename"] for frame in error["stacktrace"]["frames"]]
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])
    sent = b"".join(sentry.envelopes).decode()
    private = [*person.values(), "A title of hers", "About her", "Her words", "hertag", token, "HerBrowser", "secretly"]
    for part in [*private, "192.0.2.77", "127.0.0.1", socket.gethostname(), "app.py", str(tmp_path)]:
        assert part not in sent, part
    assert (event["server_name"], event["breadcrumbs"]) == ("", {"values": []})
    assert event.keys() == {
        *("event_id", "timestamp", "level", "logger", "logentry", "extra", "exception", "contexts", "transaction_info"),
        *("breadcrumbs", "environment", "server_name", "sdk", "platform", "release"),
    }
    assert event["contexts"].keys() == {"trace"}


def test_sentry_gets_errors_of_background_jobs(tmp_path, sentry):
    sentry.may_respond.set()
    with serving(tmp_path, "--workers", "1", SENTRY_DSN=sentry.dsn, ROWBOAT_SMTP_URL="smtp://127.0.0.1:1") as server:
        server.rows("ALTER TABLE outbox RENAME TO inbox")
        until(lambda: sentry.envelopes)
        server.stop()

    event = sentry.events()[0]
    assert event["logentry"]["message"] == "mail"
    assert event["exception"]["values"][-1]["value"] == "no such table: outbox"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_silent_sentry_keeps_no_client_waiting(tmp_path, is_there):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1] if is_there else 1
        settings = {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1", "ROWBOAT_LOG_FORMAT": "json"}
        with logging_server(tmp_path, "--workers", "1", **settings) as (server, log):
            token = server.token("ann")
            break_tags(server)
            bugs = [server.ask("GET", "/api/tags")[0] for _ in range(20)]
            status, _ = server.ask("GET", "/api/user", authorization=f"Token {token}")

    assert bugs == [500] * 20
    assert status == 200
    said = [event["message"] for event in events_of(log)]
    assert said.count("unexpected error") == 20
    assert not any("killed" in message for message in said)
