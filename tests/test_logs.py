"""The log of the real server, as somebody reads it who runs it; and what Sentry gets."""

import gzip
import http.client
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import HOME, JSON
from tests.test_server import environment, needs_proc, serving, workers_of
from tests.test_stopping import stop, wait_until

FIELDS = ["time", "level", "request_id", "method", "route", "status", "ms", "sql_ms", "bytes", "user_id"]

MADE = "[0-9a-f]{32}"

# What could end a line, or drive the terminal that shows it: C0, DEL, C1, Unicode's line ends, a change of direction.
EVIL = '"}\n2026-01-31T12:00:00.000Z  forged\r\n{"level": "forged"}\x1b[2J\x07\x7f\x9b31m\x85\u2028\u2029\u202e\\'

FORMATS = pytest.mark.parametrize("log_format", ["json", "human"])


@contextmanager
def logging_server(folder, *more, **settings):
    """A server, which is told to stop at the end, and the file that has its standard error alone.

    Events stand there at once; requests a few milliseconds later, or when it has stopped."""
    path = folder / "errors.log"
    with path.open("wb") as errors, serving(folder, *more, stderr=errors, **settings) as server:
        yield server, path
        stop(server)


def lines_of(path):
    """Every line, which must be JSON."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def requests_of(path):
    return [line for line in lines_of(path) if "method" in line]


def events_of(path):
    return [line for line in lines_of(path) if "method" not in line]


def exchange(server, method, path, body=None, **headers):
    """An answer, and its body as bytes."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, JSON | {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()


def answering(server):
    """The workers that answer, each by the beginning that its ids share."""
    return {exchange(server, "GET", "/healthz")[0].headers["X-Request-Id"][:24] for _ in range(20)}


def break_tags(server):
    """Let every request for the tags run into a mistake of ours."""
    server.rows("ALTER TABLE tags RENAME TO labels")


def is_free_of_controls(log):
    return not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9\xae]", log)


# A line for each request


def test_each_request_has_one_line_which_says_what_the_client_saw(tmp_path):
    with logging_server(tmp_path, "--workers", "1") as (server, log):
        token, other = server.token("ann"), server.token("bob")
        (ann, bob) = (identity for (identity,) in server.rows("SELECT id FROM users ORDER BY id"))
        article = {"article": {"title": "Dawn", "description": "About it", "body": "The text — and more"}}
        etag = exchange(server, "GET", "/api/articles?tag=sea")[0].headers["ETag"]
        mine, his = {"Authorization": f"Token {token}"}, {"Authorization": f"Token {other}"}
        asks = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
        dawn = json.loads(exchange(server, "POST", "/api/articles", article, **mine)[1])["article"]["slug"]
        slug = "/api/articles/<slug>"
        # What is sent, and the route, the status, the user and whether SQL ran for it.
        sent = [
            ("POST", "/api/articles", article, mine, "/api/articles", 201, ann, True),
            ("GET", "/api/articles", None, {}, "/api/articles", 200, None, True),
            ("GET", "/api/articles", None, {}, "/api/articles", 200, None, False),
            ("GET", "/api/articles", None, mine, "/api/articles", 200, ann, True),
            ("GET", "/api/articles", None, mine, "/api/articles", 200, ann, False),
            ("GET", "/api/articles", None, his, "/api/articles", 200, bob, True),
            ("HEAD", "/api/articles", None, his, "/api/articles", 200, bob, False),
            ("GET", "/api/articles?tag=sea", None, {"If_None_Match": etag}, "/api/articles", 304, None, True),
            ("GET", "/api/articles?tag=sea", None, {"If_None_Match": etag}, "/api/articles", 304, None, False),
            ("GET", f"/api/v1/articles/{dawn}", None, {}, "/api/v1/articles/<slug>", 200, None, True),
            ("GET", "/api/articles/dusk", None, {}, slug, 404, None, True),
            ("HEAD", "/api/articles/dusk", None, {}, slug, 404, None, True),
            ("PUT", f"/api/articles/{dawn}", {"article": {"title": "Dusk"}}, his, slug, 403, bob, True),
            ("PUT", "/api/user", {"user": {"bio": 7}}, mine, "/api/user", 422, ann, True),
            ("GET", "/api/user", None, {}, "/api/user", 401, None, False),
            ("GET", "/api/user", None, {"Authorization": "Token nobodys"}, "/api/user", 401, None, True),
            ("DELETE", f"/api/articles/{dawn}", None, mine, slug, 204, ann, True),
            ("POST", "/api/users/login", {"user": {}}, {}, "/api/users/login", 422, None, False),
            ("GET", "/healthz", None, {}, "/healthz", 200, None, False),
            ("GET", "/nowhere/at/all", None, {}, "unmatched", 404, None, False),
            ("DELETE", "/api/tags", None, {}, "unmatched", 405, None, False),
            ("GET", "/api/articles/%FF", None, {}, "unmatched", 400, None, False),
            ("BREW", "/api/tags", None, {}, "unmatched", 405, None, False),
            ("OPTIONS", "/api/user", None, asks, "unmatched", 204, None, False),
        ]
        answers = [exchange(server, method, path, body, **headers) for method, path, body, headers, *_ in sent]
    assert [line["route"] for line in requests_of(log)][:4] == ["/api/users"] * 2 + ["/api/articles"] * 2
    lines = requests_of(log)[4:]
    assert len(lines) == len(sent)
    for line, (answer, body), (method, path, _, _, route, status, user_id, ran) in zip(
        lines, answers, sent, strict=True
    ):
        what = f"{method} {path}: {line}"
        assert list(line) == FIELDS
        assert (line["level"], line["method"], line["route"], line["user_id"]) == ("info", method, route, user_id), what
        assert line["status"] == answer.status == status, what
        assert line["bytes"] == len(body), what
        assert line["request_id"] == answer.headers["X-Request-Id"], what
        assert line["ms"] > 0, what
        assert 0 < line["sql_ms"] < line["ms"] if ran else line["sql_ms"] == 0, what
        assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])).total_seconds() < 600, what
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]), what
    assert {method for method, *_, status, _, _ in sent if status in (204, 304)} == {"GET", "DELETE", "OPTIONS"}
    assert not any(line["bytes"] for line in lines if line["method"] == "HEAD" or line["status"] in (204, 304))


def test_an_id_that_the_proxy_sends_joins_its_log_to_ours_and_a_bad_one_is_replaced(tmp_path):
    with logging_server(tmp_path, "--workers", "1") as (server, log):
        for sent in "from-the-proxy_7.a", 'a" b', "a" * 65, '","user_id":1':
            exchange(server, "GET", "/api/tags", X_Request_Id=sent)

    ids = [line["request_id"] for line in requests_of(log)]
    assert ids[0] == "from-the-proxy_7.a"
    assert [bool(re.fullmatch(MADE, each)) for each in ids] == [False, True, True, True]


@pytest.mark.parametrize("kind", ["a file", "a pipe"])
def test_lines_of_two_workers_never_mix(tmp_path, kind):
    reading, writing = os.pipe()
    log = tmp_path / "errors.log"

    def ask(number):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
            for count in range(50):
                connection.request("GET", "/api/articles?limit=5", headers={"X-Request-Id": f"{number}-{count}"})
                with connection.getresponse() as answer:
                    answer.read()

    with log.open("wb") as errors, open(reading, "rb") as pipe, ThreadPoolExecutor(17) as crowd:
        copied = crowd.submit(lambda: [errors.write(line) for line in pipe] if kind == "a pipe" else None)
        with serving(tmp_path, "--workers", "2", stderr=writing if kind == "a pipe" else errors) as server:
            os.close(writing)
            for each in [crowd.submit(ask, number) for number in range(16)]:
                each.result()
            assert stop(server) == 0
        copied.result()

    assert sorted(line["request_id"] for line in requests_of(log)) == sorted(
        f"{number}-{count}" for number in range(16) for count in range(50)
    )


def test_an_event_stands_after_the_requests_before_it(tmp_path):
    with logging_server(tmp_path, "--workers", "1") as (server, log):
        break_tags(server)
        for number in range(20):
            exchange(server, "GET", "/healthz", X_Request_Id=f"before-{number}")
        exchange(server, "GET", "/api/tags", X_Request_Id="fails")

    ids = [line["request_id"] for line in lines_of(log) if "request_id" in line]
    assert ids == [*(f"before-{number}" for number in range(20)), "fails", "fails"]
    assert "traceback" in lines_of(log)[-2]


# For people


HUMAN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  %s  GET /api/user 200 in \d+\.\d ms \(SQL \d+\.\d\), %d bytes, user 1"


def test_people_read_the_same_in_one_short_line(tmp_path):
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_LOG_FORMAT="human") as (server, log):
        token = server.token("ann")
        answer, body = exchange(server, "GET", "/api/user", Authorization=f"Token {token}")
        exchange(server, "GET", "/nothing")

    *_, known, unknown = log.read_text().splitlines()
    assert re.fullmatch(HUMAN % (answer.headers["X-Request-Id"], len(body)), known)
    assert re.search(r"  GET unmatched 404 in \d+\.\d ms \(SQL 0\.0\), 36 bytes, user -$", unknown)


def test_on_a_terminal_the_log_is_for_people(tmp_path):
    ours, theirs = pty.openpty()
    with serving(tmp_path, "--workers", "1", stderr=theirs) as server:
        answer, body = exchange(server, "GET", "/api/user", Authorization=f"Token {server.token('ann')}")
        os.close(theirs)
        written = b""
        while b"GET /api/user" not in written:
            written += os.read(ours, 65536)
    os.close(ours)

    assert re.search(HUMAN % (answer.headers["X-Request-Id"], len(body)), written.decode())
    assert b'{"' not in written


# Nobody forges a line


@FORMATS
def test_whatever_a_client_sends_a_line_stays_a_line(tmp_path, log_format):
    methods = [
        *(b'GE"T', b"\x1b[31mGET", b"GET\x7f", b"\x9bGET", b"\xc2\x9bGET", "RÜDERN".encode(), b'{"forged":1}'),
        *(b"G\rT", b"GET\x85", b"GET\\n", b"", b"GET\0", b"GET'|~%S!#$&*+-.^_`"),
        *(b"BREW", b"ROW" * 5000),
    ]
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_LOG_FORMAT=log_format) as (server, log):
        evil = b"/api/articles/a%0a%1b%5b2J%22%7d"
        statuses = [
            server.sends(method, b" ", evil, b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")[0]
            for method in methods
        ]
        for path in b"/\x1b[2J\x7f", b"/api/tags/%C2%85", b"/api/articles?tag=\x1b%0aforged":
            server.sends(b"GET ", path, b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")

    written = log.read_bytes()
    lines = [line for line in written.decode().splitlines() if "ROWBOAT_TRUSTED_PROXY" not in line]
    assert statuses == [400] * 13 + [405] * 2
    assert len(lines) == 3
    assert is_free_of_controls(written)
    assert all(len(line) < 1000 for line in lines)
    for text in ("2J", "forged", "%0a", "tag="):
        assert text not in written.decode()
    if log_format == "json":
        assert [line["method"] for line in requests_of(log)] == [
            *("BREW", ("ROW" * 5000)[:32]),
            "GET",
        ]


@FORMATS
def test_what_an_event_quotes_cannot_forge_a_line_either(log_format):
    program = (
        "import logging, sys; from config import Config; import logs\n"
        "logs.set_up(Config(log_format=sys.argv[1])); log = logging.getLogger('rowboat')\n"
        "log.warning('it says %s', sys.argv[2] + '\\udc80', extra={'request_id': 'one'})\n"
        "try: raise ValueError(sys.argv[2] + '\\udc80')\n"
        "except ValueError: log.exception('unexpected', extra={'request_id': 'two'})\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, log_format, EVIL], cwd=HOME, capture_output=True, check=True)

    assert is_free_of_controls(ended.stderr)
    said, failed, *more = ended.stderr.decode().splitlines()
    if log_format == "json":
        said, failed = json.loads(said), json.loads(failed)
        assert list(said) == ["time", "level", "message", "request_id"]
        assert (said["level"], said["request_id"], said["message"]) == ("warning", "one", f"it says {EVIL}\udc80")
        assert list(failed) == ["time", "level", "message", "request_id", "traceback"]
        assert (failed["level"], failed["request_id"]) == ("error", "two")
        assert failed["traceback"].endswith(f"ValueError: {EVIL}\udc80")
        assert more == []
    else:
        time_of_day = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.fullmatch(rf'{time_of_day}  warning: it says "}}\\n2026.* forged\\r\\n.*  one', said)
        assert re.fullmatch(rf"{time_of_day}  error: unexpected  two", failed)
        assert all(line.startswith("    ") for line in more)
        assert r"\x1b[2J\x07\x7f\x9b31m\x85\u2028\u2029\u202e" in more[-1]


# Nothing personal


@FORMATS
def test_the_log_holds_nothing_that_people_sent(tmp_path, log_format):
    personal = {"username": "annabella", "email": "anna.bella@example.org", "password": "a correct horse of hers"}
    article = {"title": "A title of hers", "description": "About her", "body": "Her words", "tagList": ["hertag"]}
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_LOG_FORMAT=log_format, ROWBOAT_SLOW_MS="1") as (
        server,
        log,
    ):
        token = server.ask("POST", "/api/users", {"user": personal})[1]["user"]["token"]
        sent = {"authorization": f"Token {token}", "user_agent": "HerBrowser/7", "x_forwarded_for": "192.0.2.77"}
        for _ in range(3):
            assert server.ask("POST", "/api/articles", {"article": article}, **sent)[0] == 201
        answers = [
            server.ask("POST", "/api/users/login", {"user": personal}),
            server.ask("POST", "/api/users/login", {"user": personal | {"password": "a wrong horse"}}),
            server.ask("POST", "/api/users/password-reset", {"user": {"email": personal["email"]}}),
            server.ask("GET", "/api/profiles/annabella", **sent),
            server.ask("GET", "/api/articles?author=annabella&q=her+words&tag=hertag", **sent),
            server.ask("GET", "/api/user/export", **sent),
        ]
        break_tags(server)
        answers += [
            server.ask("POST", "/api/articles", {"article": article}, **sent),
            server.ask("GET", "/api/articles?tag=hertag&author=annabella", **sent),
        ]

    written = log.read_text()
    assert [status for status, _ in answers] == [200, 401, 202, 200, 200, 200, 500, 500]
    assert "no such table" in written
    parts = [*personal.values(), *article.values(), token, "wrong horse", "HerBrowser", "192.0.2.77", "127.0.0.1"]
    for part in [*parts[:6], "hertag", "her+words", "annabella", "anna.bella", "a-title-of-hers", *parts[7:]]:
        assert part not in written, part


# Slow SQL


def test_slow_sql_is_named_with_its_plan_and_fast_sql_is_not(tmp_path):
    database = tmp_path / "data" / "rowboat.db"
    seed = [sys.executable, str(HOME / "app.py"), "seed", "--articles", "2000", "--database", str(database)]
    subprocess.run(seed, env=environment(), check=True, capture_output=True)

    with logging_server(tmp_path, ROWBOAT_SLOW_MS="1") as (server, log):
        answer, body = exchange(server, "GET", "/api/articles?q=the")
        # On a busy machine, any other file may take a millisecond, too.
        slow = [event for event in events_of(log) if "slow SQL: articles/search" in event["message"]]
    with logging_server(tmp_path, ROWBOAT_SLOW_MS="60000") as (server, log):
        exchange(server, "GET", "/api/articles?q=the")
    fast = log.read_text()

    assert json.loads(body)["articlesCount"] > 1000
    assert '"/api/articles"' in fast
    assert "slow SQL" not in fast
    assert {event["level"] for event in slow} == {"warning"}
    assert {event["request_id"] for event in slow} == {answer.headers["X-Request-Id"]}
    said = r"slow SQL: articles/search took [1-9]\d* ms; .*plan: .*; SEARCH \w+ USING .*INDEX"
    assert re.match(said, slow[0]["message"])


# What goes wrong


@FORMATS
def test_a_mistake_of_ours_is_logged_with_its_traceback_and_tells_the_client_nothing(tmp_path, log_format):
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_LOG_FORMAT=log_format) as (server, log):
        break_tags(server)
        answer, body = exchange(server, "GET", "/api/tags", Origin="https://example.org", X_Request_Id="finds-a-bug")
        asks = b"HEAD /api/tags HTTP/1.1\r\nHost: here\r\nX-Request-Id: head-finds-it\r\nConnection: close\r\n\r\n"
        status, _, nothing = server.sends(asks)

    written = log.read_text()
    assert answer.status == status == 500
    assert json.loads(body) == {"errors": {"server": ["internal error"]}}
    assert nothing == b""
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Request-Id"] == "finds-a-bug"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if log_format == "json":
        bugs = [line for line in events_of(log) if line["level"] == "error"]
        assert [line["request_id"] for line in bugs] == ["finds-a-bug", "head-finds-it"]
        assert all(list(line) == ["time", "level", "message", "request_id", "traceback"] for line in bugs)
        assert all(line["traceback"].startswith("Traceback (most recent call last):\n") for line in bugs)
        assert all(line["traceback"].endswith("no such table: tags") for line in bugs)
        assert [(line["status"], line["bytes"]) for line in requests_of(log)] == [(500, len(body)), (500, 0)]
    else:
        for found in "finds-a-bug", "head-finds-it":
            traceback = (
                rf"Z  error: unexpected error  {found}\n    Traceback .*\n(    .*\n)+    .*no such table: tags\n"
            )
            assert re.search(traceback, written)


@FORMATS
def test_what_is_unavailable_is_logged_with_the_id_of_the_request(tmp_path, log_format):
    with logging_server(tmp_path, "--workers", "1", ROWBOAT_LOG_FORMAT=log_format) as (server, log):
        server.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        with server.database.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(1).randbytes(server.database.stat().st_size - 4096))
        answer, _ = exchange(server, "GET", "/api/tags", X_Request_Id="finds-no-disk")
        written = log.read_text()

    assert answer.status == 503
    warning = next(line for line in written.splitlines() if "503: " in line)
    assert "warning" in warning
    assert "finds-no-disk" in warning
    assert "Traceback" not in written


@needs_proc
def test_whatever_happens_standard_error_is_json_and_notices_are_on_standard_output(tmp_path):
    with logging_server(tmp_path, "--workers", "2", ROWBOAT_LOG_FORMAT="json", ROWBOAT_DRAIN_S="1") as (server, log):
        token = server.token("ann")
        wait_until(lambda: len(answering(server)) == 2)
        killed, before = workers_of(server)[0], answering(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(answering(server) - before) == 1)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Rowboat reloaded" in server.log.read_text())
        break_tags(server)
        server.ask("GET", "/api/tags", authorization=f"Token {token}")
        with closing(socket.create_connection(("127.0.0.1", server.port))) as half:
            half.sendall(b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.5)
            assert stop(server) == 0
        said = [event["message"] for event in events_of(log)]
        notices = server.log.read_text().splitlines()

    assert f"worker {killed} ended with -9; another takes its place" in said
    assert "unexpected error" in said
    assert "1 connections were cut" in said
    assert all(list(event)[:3] == ["time", "level", "message"] for event in events_of(log))
    assert [line for line in notices if line.startswith("{")] == []
    assert [line for line in notices if line.startswith("Rowboat")] == [
        f"Rowboat on http://127.0.0.1:{server.port}/api (workers: 2)",
        "Rowboat reloaded (workers: 2)",
    ]


def test_of_a_new_worker_that_cannot_start_a_plain_line_says_why_and_an_event_follows(tmp_path):
    with logging_server(tmp_path, "--workers", "1") as (server, log):
        break_tags(server)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old ones stay" in log.read_text())
        lines = log.read_text().splitlines()

    (why,) = [line for line in lines if not line.startswith("{")]
    assert re.match("rowboat: .*no such table: tags", why)
    assert json.loads(lines[-1])["message"] == "a new worker did not start; the old ones stay"


def test_what_ends_a_thread_or_the_program_is_logged_like_all_else():
    program = (
        "import threading, warnings, logs; from config import Config; logs.set_up(Config(log_format='json'))\n"
        "warnings.warn('It leaks')\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()\n"
        "[][0]\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True)

    warning, thread, end = map(json.loads, ended.stderr.decode().splitlines())
    assert "UserWarning: It leaks" in warning["message"]
    assert thread["traceback"].endswith("ZeroDivisionError: division by zero")
    assert end["traceback"].endswith("IndexError: list index out of range")
    assert ended.returncode == 1


# A log that nobody can write


def full(folder):
    return {"stderr": os.open("/dev/full", os.O_WRONLY)}


def closed(folder):
    return {"through": ["sh", "-c", 'exec "$@" 2>&-', "sh"]}


def without_a_reader(folder):
    reading, writing = os.pipe()
    os.close(reading)
    return {"stderr": writing}


@needs_proc
@pytest.mark.parametrize("broken", [full, closed, without_a_reader])
def test_a_log_that_cannot_be_written_keeps_nobody_from_being_answered(tmp_path, broken):
    settings = broken(tmp_path)
    with serving(tmp_path, "--workers", "2", **settings) as server:
        if "stderr" in settings:
            os.close(settings["stderr"])
        wait_until(lambda: len(answering(server)) == 2)
        token = server.token("ann")
        mine = {"authorization": f"Token {token}"}
        statuses = [server.ask("PUT", "/api/user", {"user": {"bio": f"{n}"}}, **mine)[0] for n in range(10)]
        before = answering(server)
        os.kill(workers_of(server)[0], signal.SIGKILL)
        wait_until(lambda: len(answering(server) - before) == 1)
        break_tags(server)
        bugs = [server.ask("GET", "/api/tags")[0] for _ in range(3)]
        bio = server.ask("GET", "/api/user", **mine)[1]["user"]["bio"]
        assert stop(server) == 0
        integrity = server.rows("PRAGMA integrity_check")

    assert statuses == [200] * 10
    assert bugs == [500] * 3
    assert bio == "9"
    assert integrity == [("ok",)]
    for file in server.database.parent.iterdir():
        assert b'"sql_ms"' not in file.read_bytes()
    assert "{" not in server.log.read_text()


def test_a_reader_that_stands_still_keeps_nobody_from_being_answered(tmp_path):
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, serving(tmp_path, "--workers", "1", stderr=writing) as server:
        os.close(writing)
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
            for _ in range(2000):  # four times what the pipe holds
                connection.request("GET", "/healthz")
                connection.getresponse().read()
        with ThreadPoolExecutor(1) as reader:
            read = reader.submit(pipe.read)
            assert stop(server) == 0
            lines = [json.loads(line) for line in read.result().splitlines()]

    assert sum(line.get("route") == "/healthz" for line in lines) == 2000


# Sentry


class Sentry(ThreadingHTTPServer):
    """Takes what is sent to Sentry, and keeps it as text."""

    daemon_threads = True

    def __init__(self):
        self.envelopes = []
        self.pauses_s = []  # before each answer, as long as there are any
        super().__init__(("127.0.0.1", 0), _Taking)
        self.dsn = f"http://key@127.0.0.1:{self.server_port}/1"

    def events(self):
        """What is in the envelopes: the events, each as (type, content)."""
        found = []
        for envelope in self.envelopes:
            _, *items = envelope.rstrip(b"\n").split(b"\n")
            found += [
                (json.loads(head)["type"], json.loads(item)) for head, item in zip(items[::2], items[1::2], strict=True)
            ]
        return found


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.envelopes.append(gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent)
        if self.server.pauses_s:
            time.sleep(self.server.pauses_s.pop())
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
        taking.shutdown()
        thread.join()


def test_sentry_learns_of_a_mistake_of_ours_and_nothing_of_anybody(tmp_path, sentry):
    person = {"username": "annabella", "email": "anna.bella@example.org", "password": "a correct horse of hers"}
    article = {"title": "A title of hers", "description": "About her", "body": "Her words", "tagList": ["hertag"]}
    with logging_server(tmp_path, "--workers", "1", SENTRY_DSN=sentry.dsn) as (server, _):
        token = server.ask("POST", "/api/users", {"user": person})[1]["user"]["token"]
        mine = {"Authorization": f"Token {token}", "User_Agent": "HerBrowser/7", "X_Forwarded_For": "192.0.2.77"}
        break_tags(server)
        path = "/api/articles?asked=secretly"
        answer, _ = exchange(server, "POST", path, {"article": article}, **mine, X_Request_Id="finds-a-bug")
        wait_until(lambda: sentry.envelopes)
        assert stop(server) == 0

    ((kind, event),) = sentry.events()
    assert answer.status == 500
    assert kind == "event"
    assert event["level"] == "error"
    assert event["extra"] == {"request_id": "finds-a-bug"}
    error = event["exception"]["values"][-1]
    assert (error["type"], error["value"]) == ("OperationalError", "no such table: tags")
    assert "handlers/articles.py" in [frame["filename"] for frame in error["stacktrace"]["frames"]]
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])
    sent = b"".join(sentry.envelopes).decode()
    for part in [*person.values(), *list(article.values())[:3], "hertag", token, "HerBrowser", "192.0.2.77", "secretly",
                 socket.gethostname(), "app.py", str(tmp_path), "127.0.0.1"]:  # fmt: skip
        assert part not in sent, part
    assert (event["server_name"], event["breadcrumbs"]) == ("", {"values": []})
    assert event.keys() - {"release"} == {
        *("event_id", "timestamp", "level", "logger", "logentry", "extra", "exception", "contexts", "transaction_info"),
        *("breadcrumbs", "environment", "server_name", "sdk", "platform"),
    }
    assert event["contexts"].keys() == {"trace"}


def test_sentry_hears_of_no_refusal_and_nothing_that_is_only_unavailable(tmp_path, sentry):
    with logging_server(tmp_path, "--workers", "1", SENTRY_DSN=sentry.dsn) as (server, _):
        statuses = [
            server.ask(*asked)[0]
            for asked in [("GET", "/api/user"), ("GET", "/nowhere"), ("POST", "/api/users", {}), ("PUT", "/api/tags")]
        ]
        server.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        with server.database.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(1).randbytes(server.database.stat().st_size - 4096))
        statuses.append(server.ask("GET", "/api/tags")[0])
        assert stop(server) == 0

    assert statuses == [401, 404, 422, 405, 503]
    assert sentry.envelopes == []


def test_sentry_hears_of_mistakes_in_the_background_too(tmp_path, sentry):
    with serving(tmp_path, "--workers", "1", SENTRY_DSN=sentry.dsn, ROWBOAT_SMTP_URL="smtp://127.0.0.1:1") as server:
        server.rows("ALTER TABLE outbox RENAME TO inbox")
        wait_until(lambda: sentry.envelopes)
        assert stop(server) == 0

    _, event = sentry.events()[0]
    assert event["logentry"]["message"] == "mail"
    assert event["exception"]["values"][-1]["value"] == "no such table: outbox"


def test_an_error_just_before_the_end_still_arrives(tmp_path, sentry):
    named = {"SENTRY_DSN": sentry.dsn, "SENTRY_RELEASE": "9.1", "SENTRY_ENVIRONMENT": "harbour"}
    sentry.pauses_s = [0.5]  # meanwhile, the second waits
    with serving(tmp_path, "--workers", "1", **named) as server:
        break_tags(server)
        for _ in range(2):
            server.ask("GET", "/api/tags")
        assert stop(server) == 0

    events = [event for _, event in sentry.events()]
    assert [(event["release"], event["environment"]) for event in events] == [("9.1", "harbour")] * 2


@pytest.mark.parametrize("is_there", [True, False])
def test_a_sentry_that_does_not_answer_keeps_nobody_waiting(tmp_path, is_there):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        if not is_there:
            silent.close()
            port = 1
        else:
            port = silent.getsockname()[1]
        settings = {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1", "ROWBOAT_LOG_FORMAT": "json"}
        with logging_server(tmp_path, "--workers", "1", **settings) as (server, log):
            token = server.token("ann")
            break_tags(server)
            bugs = [server.ask("GET", "/api/tags")[0] for _ in range(20)]
            status, _ = server.ask("GET", "/api/user", authorization=f"Token {token}")
            assert stop(server) == 0
            events = events_of(log)

    assert bugs == [500] * 20
    assert status == 200
    assert [event["message"] for event in events].count("unexpected error") == 20
    assert not any("killed" in event["message"] for event in events)


def test_without_sentry_sdk_the_log_says_so_once_for_each_worker_and_all_else_works(tmp_path):
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "sentry_sdk.py").write_text("raise ImportError('as if it were not installed')\n")
    with logging_server(tmp_path, "--workers", "2", SENTRY_DSN="http://key@127.0.0.1:1/1", PYTHONPATH=str(missing)) as (
        server,
        log,
    ):
        wait_until(lambda: len(answering(server)) == 2)
        break_tags(server)
        status, _ = server.ask("GET", "/api/tags")
        events = events_of(log)

    assert status == 500
    assert [event["level"] for event in events if "install sentry-sdk" in event["message"]] == ["warning"] * 2
    assert [event["message"] for event in events].count("unexpected error") == 1
