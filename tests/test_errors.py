"""The errors that any request may meet, whatever it asks for, and the order in which it meets them."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from db.lock import WriteLock
from tests.conftest import HOME, JSON, Api, sqlite

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

ALLOWED = {
    "/users": {"POST"},
    "/users/login": {"POST"},
    "/users/password-reset": {"POST", "PUT"},
    "/user": {"GET", "HEAD", "PUT", "DELETE"},
    "/user/export": {"GET", "HEAD"},
    "/user/sessions": {"GET", "HEAD", "DELETE"},
    "/user/sessions/current": {"DELETE"},
    "/user/sessions/1": {"DELETE"},
    "/profiles/ann": {"GET", "HEAD"},
    "/profiles/ann/follow": {"POST", "DELETE"},
    "/articles": {"GET", "HEAD", "POST"},
    "/articles/dawn": {"GET", "HEAD", "PUT", "DELETE"},
    "/articles/dawn/favorite": {"POST", "DELETE"},
    "/articles/dawn/comments": {"GET", "HEAD", "POST"},
    "/articles/dawn/comments/1": {"DELETE"},
    "/tags": {"GET", "HEAD"},
    "/admin/users": {"GET", "HEAD"},
    "/admin/users/ann": {"PATCH"},
    "/admin/audit": {"GET", "HEAD"},
    "/admin/stats": {"GET", "HEAD"},
    "/openapi.json": {"GET", "HEAD"},
}

NEED_A_TOKEN = [
    ("GET", "/user"),
    ("PUT", "/user"),
    ("DELETE", "/user"),
    ("GET", "/user/export"),
    ("GET", "/user/sessions"),
    ("DELETE", "/user/sessions"),
    ("DELETE", "/user/sessions/current"),
    ("DELETE", "/user/sessions/1"),
    ("POST", "/profiles/ann/follow"),
    ("DELETE", "/profiles/ann/follow"),
    ("GET", "/articles/feed"),
    ("POST", "/articles"),
    ("PUT", "/articles/nothing"),
    ("DELETE", "/articles/nothing"),
    ("POST", "/articles/nothing/favorite"),
    ("DELETE", "/articles/nothing/favorite"),
    ("POST", "/articles/nothing/comments"),
    ("DELETE", "/articles/nothing/comments/1"),
    ("GET", "/admin/users"),
    ("PATCH", "/admin/users/nobody"),
    ("GET", "/admin/audit"),
    ("GET", "/admin/stats"),
]

MAY_HAVE_A_TOKEN = [
    ("GET", "/profiles/nobody"),
    ("GET", "/articles"),
    ("GET", "/articles/nothing"),
    ("GET", "/articles/nothing/comments"),
]

NEW_ARTICLE = {"article": {"title": "Dawn", "description": "About it", "body": "The text"}}


@pytest.mark.parametrize("path", ["/nothing", "/", "/profiles", "/articles/dawn/comments/1/2", "/Tags"])
def test_what_is_no_route_is_not_found_by_any_method(api, path):
    for method in METHODS:
        answer = api.call(method, path, status=404)

        assert method == "HEAD" or answer.json == {"errors": {"route": ["not found"]}}


@pytest.mark.parametrize("path", ["/nothing", "/favicon.ico", "/api/v2/tags", "/API/v1/tags", "/apiv1/tags"])
def test_what_is_outside_the_api_is_not_found_as_json_too(api, path):
    answer = api.client.get(path, status=404)

    assert answer.json == {"errors": {"route": ["not found"]}}
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ALLOWED)
def test_a_wrong_method_and_no_other_is_told_which_ones_there_are(api, path):
    answers = {method: api.client.request(api.prefix + path, method=method, status="*") for method in METHODS}
    refused = {method: answer for method, answer in answers.items() if answer.status_int == 405}

    assert METHODS - refused.keys() == ALLOWED[path]
    for method, answer in refused.items():
        assert set(answer.headers["Allow"].split(", ")) == ALLOWED[path]
        assert answer.body == b"" if method == "HEAD" else answer.json == {"errors": {"method": ["not allowed"]}}


def test_no_route_is_left_out_above():
    for method, path, *_ in app.routes():
        path = path.replace("<username>", "ann").replace("<slug>", "dawn").replace("<id>", "1")

        assert path == "/articles/feed" or method in ALLOWED[path]


def test_without_the_token_that_a_route_needs_nothing_else_is_looked_at(api):
    unusable = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}

    for method, path in NEED_A_TOKEN:
        assert api.refusal(401, method, path) == {"token": "is missing"}
        assert api.refusal(401, method, path, raw=b"\xff" * 1_100_000, headers=unusable) == {"token": "is missing"}


def test_a_bad_token_is_refused_before_anything_else_is_looked_at(api):
    bad = {"Authorization": "Token nobodys"}

    for method, path in NEED_A_TOKEN + MAY_HAVE_A_TOKEN:
        assert api.refusal(401, method, f"{path}?limit=none", raw=b"\xff", headers=bad) == {"token": "is invalid"}


def test_route_and_method_come_before_the_token(api):
    bad = {"Authorization": "Token nobodys"}

    assert api.refusal(404, "POST", "/nothing", raw=b"\xff", headers=bad) == {"route": "not found"}
    assert api.refusal(405, "POST", "/user", raw=b"\xff", headers=bad) == {"method": "not allowed"}


@pytest.mark.parametrize(
    ("status", "method", "path", "raw", "errors"),
    [
        (400, "POST", "/articles/nothing/comments", b"{", {"body"}),
        (413, "POST", "/articles/nothing/comments", b" " * (1024 * 1024 + 1), {"body"}),
        (422, "POST", "/articles/nothing/comments", b'{"comment": {"body": ""}}', {"body"}),
        (422, "PUT", "/articles/nothing", b'{"article": {"title": ""}}', {"title"}),
        (422, "GET", "/articles/nothing/comments?cursor=none", b"", {"cursor"}),
    ],
)
def test_what_was_sent_is_looked_at_before_the_article_is_looked_for(api, status, method, path, raw, errors):
    ann = api.someone("ann")

    assert ann.refusal(status, method, path, raw=raw, headers=JSON).keys() == errors


def test_what_was_sent_is_looked_at_before_whose_article_it_is(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")

    assert bob.refusal(422, "PUT", f"/articles/{slug}", {"article": {"title": ""}}) == {"title": "can't be blank"}
    assert bob.refusal(403, "PUT", f"/articles/{slug}", {"article": {"title": "Mine"}}) == {"article": "forbidden"}


def test_an_article_is_looked_for_before_its_comment_and_its_comment_before_whose_it_is(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, other = ann.writes("Rowing at dawn"), ann.writes("Rowing at dusk")
    said = ann.says(slug, "First")["id"]

    assert bob.refusal(404, "DELETE", f"/articles/nothing/comments/{said}") == {"article": "not found"}
    assert bob.refusal(404, "DELETE", f"/articles/{other}/comments/{said}") == {"comment": "not found"}
    assert bob.refusal(403, "DELETE", f"/articles/{slug}/comments/{said}") == {"comment": "forbidden"}
    assert [comment["id"] for comment in api.comments_of(slug)] == [said]


def test_all_that_is_wrong_with_a_body_comes_together_and_before_what_is_taken(api):
    api.someone("ann")
    user = {"username": "ann", "email": "nobody", "password": " "}

    errors = api.refusal(422, "POST", "/users", {"user": user})

    assert errors == {"email": "must be an address with one @", "password": "can't be blank"}


@contextmanager
def a_writer_at_work(db: Database) -> Iterator[None]:
    """Another process of ours holds the lock that writers take."""
    with closing(WriteLock(db.path)) as lock, lock:
        yield


@contextmanager
def a_shell_in_a_transaction(db: Database) -> Iterator[None]:
    """Somebody has opened the file with another program, and writes."""
    with closing(sqlite3.connect(db.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def impatient(db: Database) -> Iterator[Api]:
    """The API on the same file, where writes wait 50 ms for their turn, not 5 s."""
    with closing(Database(db.path, HOME / "sql", wait_s=0.05)) as database:
        yield Api(TestApp(app.make_app(Config(), database)))


@pytest.mark.parametrize("occupied", [a_writer_at_work, a_shell_in_a_transaction])
def test_while_the_database_stays_locked_a_write_is_told_to_come_back(api, db, occupied):
    ann = api.someone("ann")

    with impatient(db) as api_too, occupied(db):
        answer = api_too.post("/articles", NEW_ARTICLE, headers=ann.headers, status=503)

    assert answer.json == {"errors": {"database": ["is not available; try again"]}}
    assert int(answer.headers["Retry-After"]) >= 1
    assert ann.titles() == []
    ann.writes("The lock is gone")
    assert ann.titles() == ["The lock is gone"]


@pytest.mark.parametrize("occupied", [a_writer_at_work, a_shell_in_a_transaction])
def test_while_the_database_stays_locked_readers_notice_nothing(api, db, occupied):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    with impatient(db) as api_too, occupied(db):
        article = api_too.get(f"/articles/{slug}", headers=ann.headers).json["article"]

    assert article == ann.reads(slug)


def test_a_reader_whose_last_use_should_be_noted_is_served_while_nobody_can_write(api, db):
    ann = api.someone("ann")
    sqlite(db, "UPDATE sessions SET last_used_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day')")

    with impatient(db) as api_too, a_writer_at_work(db):
        user = api_too.get("/user", headers=ann.headers).json["user"]

    assert user["username"] == "ann"


def test_a_database_that_cannot_be_read_is_unavailable(api, db):
    size = db.path.stat().st_size
    with db.path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))

    answer = api.get("/tags", status=503)

    assert answer.json == {"errors": {"database": ["is not available; try again"]}}
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_bug_of_ours_is_an_internal_error_of_which_only_the_log_says_more(api, db, caplog):
    ann = api.someone("ann")
    sqlite(db, "DROP TABLE tags")

    answer = api.client.get("/api/v1/tags", headers=ann.headers, status=500)

    assert answer.status_int == 500
    assert answer.json == {"errors": {"server": ["internal error"]}}
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    (logged,) = caplog.records
    assert logged.request_id == answer.headers["X-Request-Id"]
    assert "Traceback" in caplog.text
    assert "no such table: tags" in caplog.text
    assert ann.token not in caplog.text
    assert ann.me()["username"] == "ann"
