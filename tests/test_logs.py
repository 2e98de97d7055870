"""The log: a line for each request and event. tests/system/test_logs.py reads the logs of real servers."""

import json
import logging
import random
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
from webtest import TestApp

import app
import logs
from config import Config
from db import Database
from tests.conftest import Api, sqlite

FIELDS = ["time", "level", "request_id", "method", "route", "status", "ms", "sql_ms", "bytes", "user_id"]
NOW = "2026-01-31T12:00:00.000Z"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

# Line ends, and what drives a terminal: C0, DEL, C1, Unicode's line ends, a change of direction.
EVIL = '"}\n2026-01-31T12:00:00.000Z  forged\r\n{"level": "forged"}\x1b[2J\x07\x7f\x9b31m\x85\u2028\u2029\u202e\\'

FORMATS = pytest.mark.parametrize("log_format", ["json", "human"])


@pytest.fixture
def log(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[[], str]:
    """Read what was logged since the last call; control characters are an error."""

    def read() -> str:
        logs._write_waiting()
        written = capfdbinary.readouterr().err
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9\xae]", written)
        return written.decode()

    return read


@pytest.fixture
def logging_api(db: Database, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Api]]:
    """Set up the log as a worker does, and return the API with these settings."""
    monkeypatch.setattr(logs, "_write_from_time_to_time", lambda: None)  # `log` writes the lines of requests
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root, level = logging.getLogger(), logging.getLogger().level

    def start(**settings: object) -> Api:
        config = Config(**settings)
        logs.set_up(config)
        return Api(TestApp(app.make_app(config, db), {"REMOTE_ADDR": "198.51.100.9"}, lint=False))

    yield start
    for handler in root.handlers[:]:
        if isinstance(getattr(handler, "stream", None), logs._StandardError):
            root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("rowboat").setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    log()


def lines_of(written):
    return [json.loads(line) for line in written.splitlines()]


def break_tags(db):
    """Every request for the tags fails from now on."""
    sqlite(db, "ALTER TABLE tags RENAME TO labels")


# Requests


def test_each_request_has_one_line_that_matches_its_response(logging_api, log):
    api = logging_api(log_format="json")
    ann, bob = api.someone("ann"), api.someone("bob")
    dawn = ann.writes("Dawn")
    etag = {"If-None-Match": api.get("/articles?tag=sea").headers["ETag"]}
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
    unknown = {"Authorization": "Token nobodys"}
    slug = "/api/articles/<slug>"
    article = {"article": {"title": "Dusk", "description": "About it", "body": "The text — and more"}}
    setup = log()
    # What is sent, and the route, the status, the user's id and whether SQL ran for it.
    sent = [
        ("POST", "/api/articles", article, ann.headers, "/api/articles", 201, 1, True),
        ("GET", "/api/articles", None, {}, "/api/articles", 200, None, True),
        ("GET", "/api/articles", None, {}, "/api/articles", 200, None, False),
        ("GET", "/api/articles", None, ann.headers, "/api/articles", 200, 1, True),
        ("GET", "/api/articles", None, ann.headers, "/api/articles", 200, 1, False),
        ("GET", "/api/articles", None, bob.headers, "/api/articles", 200, 2, True),
        ("HEAD", "/api/articles", None, bob.headers, "/api/articles", 200, 2, False),
        ("GET", "/api/articles?tag=sea", None, etag, "/api/articles", 304, None, True),
        ("GET", "/api/articles?tag=sea", None, etag, "/api/articles", 304, None, False),
        ("GET", f"/api/v1/articles/{dawn}", None, {}, "/api/v1/articles/<slug>", 200, None, True),
        ("GET", "/api/articles/nothing", None, {}, slug, 404, None, True),
        ("HEAD", "/api/articles/nothing", None, {}, slug, 404, None, True),
        ("PUT", f"/api/articles/{dawn}", {"article": {"title": "Dusk"}}, bob.headers, slug, 403, 2, True),
        ("PUT", "/api/user", {"user": {"bio": 7}}, ann.headers, "/api/user", 422, 1, True),
        ("GET", "/api/user", None, {}, "/api/user", 401, None, False),
        ("GET", "/api/user", None, unknown, "/api/user", 401, None, True),
        ("DELETE", f"/api/articles/{dawn}", None, ann.headers, slug, 204, 1, True),
        ("POST", "/api/users/login", {"user": {}}, {}, "/api/users/login", 422, None, False),
        ("GET", "/healthz", None, {"X-Request-Id": "from-the-proxy_7.a"}, "/healthz", 200, None, False),
        ("GET", "/nowhere/at/all", None, {"X-Request-Id": '","user_id":1'}, "unmatched", 404, None, False),
        ("DELETE", "/api/tags", None, {}, "unmatched", 405, None, False),
        ("GET", "/api/articles/%FF", None, {}, "unmatched", 400, None, False),
        ("BREW", "/api/tags", None, {}, "unmatched", 405, None, False),
        ("OPTIONS", "/api/user", None, preflight, "unmatched", 204, None, False),
    ]

    responses = [
        api.client.request(
            path,
            method=method,
            body=b"" if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | headers,
            status="*",
        )
        for method, path, body, headers, *_ in sent
    ]

    assert [line["route"] for line in lines_of(setup)] == ["/api/v1/users"] * 2 + ["/api/v1/articles"] * 2
    for line, response, (method, path, _, _, route, status, user_id, ran) in zip(
        lines_of(log()), responses, sent, strict=True
    ):
        what = f"{method} {path}: {line}"
        assert list(line) == FIELDS
        assert (line["time"], line["level"], line["method"], line["route"]) == (NOW, "info", method, route), what
        assert line["status"] == response.status_int == status, what
        assert line["user_id"] == user_id, what
        assert line["bytes"] == len(response.body), what
        assert line["bytes"] == 0 or (method != "HEAD" and status not in (204, 304)), what
        assert line["request_id"] == response.headers["X-Request-Id"], what
        assert line["ms"] > 0, what
        assert 0 < line["sql_ms"] < line["ms"] if ran else line["sql_ms"] == 0, what


def test_the_time_of_a_line_is_that_of_the_request(logging_api, log, clock):
    api = logging_api(log_format="json")

    for _ in range(3):
        api.client.get("/healthz")
        clock.advance(milliseconds=750)

    seconds = [line["time"].removeprefix("2026-01-31T12:00:") for line in lines_of(log())]
    assert seconds == ["00.000Z", "00.750Z", "01.500Z"]


def test_the_human_format_has_the_same_fields_in_one_short_line(logging_api, log):
    api = logging_api(log_format="human")
    ann = api.someone("ann")
    log()

    response = ann.get("/user")
    api.client.get("/nothing", status=404)

    known, unknown = log().splitlines()
    start = re.escape(f"{NOW}  {response.headers['X-Request-Id']}  GET /api/v1/user 200 in ")
    assert re.fullmatch(rf"{start}\d+\.\d ms \(SQL \d+\.\d\), {len(response.body)} bytes, user 1", known)
    assert re.search(r"  GET unmatched 404 in \d+\.\d ms \(SQL 0\.0\), 36 bytes, user -$", unknown)


@pytest.mark.parametrize(("slow_ms", "is_logged"), [(299, True), (301, False)])
def test_slow_sql_is_logged_with_its_plan(logging_api, log, db, monkeypatch, slow_ms, is_logged):
    monkeypatch.setattr(db, "record", lambda: [("articles/search", 0.3)])
    api = logging_api(log_format="json", slow_ms=slow_ms)

    response = api.client.get("/healthz")

    events = [line for line in lines_of(log()) if "message" in line]
    assert len(events) == is_logged
    for event in events:
        assert (event["level"], event["request_id"]) == ("warning", response.headers["X-Request-Id"])
        said = r"slow SQL: articles/search took 300 ms; plan: .*; SEARCH \w+ USING .*INDEX"
        assert re.match(said, event["message"])


# Nobody forges a line, and nothing personal is logged


@FORMATS
def test_a_client_cannot_forge_a_line(logging_api, log, log_format):
    methods = [
        'GE"T',
        "\x1b[31mGET",
        "GET\x7f",
        "\x9bGET",
        "R\x85DERN",
        '{"forged":1}',
        "GET\\n",
        "G\r\nT",
        "ROW" * 5000,
    ]
    api = logging_api(log_format=log_format)

    for method in methods:
        api.client.request("/api/articles/a%0a%1b%5b2J%22%7d?tag=%0aforged", method=method, status="*")

    lines = log().splitlines()
    assert len(lines) == len(methods)
    for line, method in zip(lines, methods, strict=True):
        assert len(line) < 400
        assert "2J" not in line
        assert "tag=" not in line
        if log_format == "json":
            assert json.loads(line)["method"] == method[:32]


@FORMATS
def test_text_quoted_in_an_event_cannot_forge_a_line(logging_api, log, log_format):
    logging_api(log_format=log_format)
    logger = logging.getLogger("rowboat")

    logger.warning("it says %s", EVIL + "\udc80", extra={"request_id": "one"})
    try:
        raise ValueError(EVIL + "\udc80")
    except ValueError:
        logger.exception("unexpected", extra={"request_id": "two"})

    said, failed, *more = log().splitlines()
    if log_format == "json":
        said, failed = json.loads(said), json.loads(failed)
        assert list(said) == ["time", "level", "message", "request_id"]
        assert (said["level"], said["request_id"], said["message"]) == ("warning", "one", f"it says {EVIL}\udc80")
        assert list(failed) == ["time", "level", "message", "request_id", "traceback"]
        assert (failed["level"], failed["request_id"]) == ("error", "two")
        assert failed["traceback"].endswith(f"ValueError: {EVIL}\udc80")
        assert more == []
    else:
        assert re.fullmatch(rf'{TIME}  warning: it says "}}\\n2026.* forged\\r\\n.*  one', said)
        assert re.fullmatch(rf"{TIME}  error: unexpected  two", failed)
        assert all(line.startswith("    ") for line in more)
        assert r"\x1b[2J\x07\x7f\x9b31m\x85\u2028\u2029\u202e" in more[-1]


@FORMATS
def test_logs_and_errors_contain_no_personal_data(logging_api, log, db, log_format):
    api = logging_api(log_format=log_format, slow_ms=0)
    password, wrong = "a correct horse of hers", "a wrong horse"
    person = {"username": "annabella", "email": "anna.bella@example.org", "password": password}
    article = {"title": "A title of hers", "description": "About her", "body": "Her words", "tagList": ["hertag"]}
    token = api.post("/users", {"user": person}).json["user"]["token"]
    sent = {"Authorization": f"Token {token}", "User-Agent": "HerBrowser/7", "X-Forwarded-For": "192.0.2.77"}

    for _ in range(2):
        api.post("/articles", {"article": article}, headers=sent)
    api.post("/users/login", {"user": person})
    api.post("/users/password-reset", {"user": {"email": person["email"]}}, status=202)
    for path in "/profiles/annabella", "/articles?author=annabella&q=her+words&tag=hertag", "/user/export":
        api.get(path, headers=sent)
    refusals = [
        api.post("/users/login", {"user": person | {"password": wrong}}, status=401),
        api.post("/users", {"user": person}, status=409),
        api.put("/user", {"user": {"password": wrong, "email": 7}}, headers=sent, status=422),
        api.get(f"/articles?cursor={wrong.replace(' ', '+')}", headers=sent, status=422),
        api.get("/user", headers={"Authorization": f"Token {token}x"}, status=401),
    ]
    break_tags(db)
    refusals.append(api.post("/articles", {"article": article}, headers=sent, status=500))
    refusals.append(api.get("/articles?tag=hertag&author=annabella", headers=sent, status=500))
    sqlite(db, "DROP TABLE sessions")
    refusals.append(api.get("/user", headers=sent, status=500))
    refusals.append(api.post("/users/login", {"user": person}, status=500))

    written = log()
    assert "slow SQL: users/" in written
    assert "no such table: tags" in written.replace("main.", "")
    assert "no such table: sessions" in written.replace("main.", "")
    errors = "".join(response.text for response in refusals)
    personal = [*person.values(), "A title of hers", "About her", "Her words", "her+words", "hertag", "a-title-of-hers"]
    for part in [*personal, "anna.bella", token, wrong, "HerBrowser", "192.0.2.77", "198.51.100.9"]:
        assert part not in written, part
        assert part not in errors, part


# Errors


@FORMATS
def test_an_internal_error_is_logged_with_its_traceback_and_the_client_learns_nothing(logging_api, log, db, log_format):
    api = logging_api(log_format=log_format)
    break_tags(db)
    headers = {"Origin": "https://example.org", "X-Request-Id": "finds-a-bug"}

    for _ in range(20):
        api.client.get("/healthz")
    response = api.client.get("/api/tags", headers=headers, status=500)
    head = api.client.head("/api/tags", headers={"X-Request-Id": "head-finds-it"}, status=500)

    assert response.json == {"errors": {"server": ["internal error"]}}
    assert head.body == b""
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["X-Request-Id"] == "finds-a-bug"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    written = log()
    if log_format == "json":
        *before, bug, request, other_bug, other_request = lines_of(written)
        assert [line["route"] for line in before] == ["/healthz"] * 20
        for event, request_id in (bug, "finds-a-bug"), (other_bug, "head-finds-it"):
            assert list(event) == ["time", "level", "message", "request_id", "traceback"]
            assert (event["level"], event["request_id"]) == ("error", request_id)
            assert event["traceback"].startswith("Traceback (most recent call last):\n")
            assert event["traceback"].endswith("no such table: tags")
        assert (request["status"], request["bytes"]) == (500, len(response.body))
        assert (other_request["status"], other_request["bytes"]) == (500, 0)
    else:
        for found in "finds-a-bug", "head-finds-it":
            lines = rf"Z  error: unexpected error  {found}\n    Traceback .*\n(    .*\n)+    .*no such table: tags\n"
            assert re.search(lines, written)


@FORMATS
def test_an_unavailable_database_is_a_warning_with_the_id_of_the_request(logging_api, log, db, log_format):
    api = logging_api(log_format=log_format)
    with db.path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(db.path.stat().st_size - 4096))

    api.get("/tags", headers={"X-Request-Id": "finds-no-disk"}, status=503)

    written = log()
    (warning,) = [line for line in written.splitlines() if "503: " in line]
    assert "warning" in warning
    assert "finds-no-disk" in warning
    assert "Traceback" not in written


def test_warnings_and_uncaught_exceptions_are_logged(logging_api, log):
    logging_api(log_format="json")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("It leaks", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.excepthook(IndexError, IndexError("list index out of range"), None)

    warning, in_thread, last = lines_of(log())
    assert "UserWarning: It leaks" in warning["message"]
    assert in_thread["traceback"].endswith("ZeroDivisionError: division by zero")
    assert last["traceback"].endswith("IndexError: list index out of range")
    assert [line["level"] for line in (warning, in_thread, last)] == ["warning", "error", "critical"]


def test_without_sentry_sdk_the_log_says_so_and_errors_are_still_logged(logging_api, log, db, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    api = logging_api(log_format="json")
    break_tags(db)

    logs.send_errors("http://key@127.0.0.1:1/1")
    api.client.get("/api/tags", status=500)

    warning, bug, _ = lines_of(log())
    assert warning["level"] == "warning"
    assert "install sentry-sdk beside Rowboat" in warning["message"]
    assert bug["message"] == "unexpected error"
