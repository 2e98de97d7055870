"""Errors that any request can get, and the order in which they are checked."""

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
    "/user/deletion": {"POST"},
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

# Every route with an example in place of each part of its path: (method, path, who needs a token).
ROUTES = [
    (method, path.replace("<username>", "ann").replace("<slug>", "dawn").replace("<id>", "1"), options.get("auth"))
    for method, path, _, options in app.routes()
]


@pytest.mark.parametrize("path", ["/nothing", "//", "/profiles", "/articles/dawn/comments/1/2", "/Tags"])
def test_an_unknown_route_is_not_found_by_any_method(api, path):
    for method in METHODS:
        response = api.call(method, path, status=404)
        assert method == "HEAD" or response.json == {"errors": {"route": ["not found"]}}


def test_an_unknown_path_outside_the_api_is_not_found_as_json(api):
    for path in ("/nothing", "/favicon.ico", "/api/v2/tags", "/API/v1/tags", "/apiv1/tags"):
        response = api.client.get(path, status=404)
        assert response.json == {"errors": {"route": ["not found"]}}
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ALLOWED)
def test_other_methods_get_405_with_those_that_are_allowed(api, path):
    responses = {method: api.client.request(api.prefix + path, method=method, status="*") for method in METHODS}
    refused = {method: response for method, response in responses.items() if response.status_int == 405}

    assert METHODS - refused.keys() == ALLOWED[path]
    for method, response in refused.items():
        assert set(response.headers["Allow"].split(", ")) == ALLOWED[path]
        assert response.body == b"" if method == "HEAD" else response.json == {"errors": {"method": ["not allowed"]}}


def test_every_route_is_listed_above():
    for method, path, _ in ROUTES:
        assert path == "/articles/feed" or method in ALLOWED[path]


# Order


def test_route_and_method_are_checked_before_the_token(api):
    bad = {"Authorization": "Token wrong"}

    assert api.refusal(404, "POST", "/nothing", raw=b"\xff", headers=bad) == {"route": "not found"}
    assert api.refusal(405, "POST", "/user", raw=b"\xff", headers=bad) == {"method": "not allowed"}


def test_a_token_that_is_required_is_checked_before_query_body_and_resource(api):
    unusable = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    bad = {"Authorization": "Token wrong"}

    for method, path, auth in ROUTES:
        if auth == "required":
            assert api.refusal(401, method, f"{path}?limit=none") == {"token": "is missing"}
            missing = api.refusal(401, method, path, raw=b"\xff" * 1_100_000, headers=unusable)
            assert missing == {"token": "is missing"}
            assert api.refusal(401, method, f"{path}?limit=none", raw=b"\xff", headers=bad) == {"token": "is invalid"}


def test_an_invalid_token_is_none_where_it_is_optional_whatever_else_is_wrong(api):
    bad = {"Authorization": "Token wrong"}
    optional = [(method, path) for method, path, auth in ROUTES if auth == "optional"]
    statuses = set()

    for method, path in optional:
        for query in "", "?limit=none", "?cursor=none":
            invalid, anonymous = (
                api.client.request(api.prefix + path + query, method=method, body=b"\xff", headers=headers, status="*")
                for headers in (bad, {})
            )
            assert (invalid.status_int, invalid.body) == (anonymous.status_int, anonymous.body)
            assert invalid.headers["WWW-Authenticate"] == 'Token error="invalid_token"'
            assert "WWW-Authenticate" not in anonymous.headers
            statuses.add(invalid.status_int)
    assert statuses == {200, 404, 422}


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
def test_query_and_body_are_checked_before_the_article(api, status, method, path, raw, errors):
    ann = api.someone("ann")

    assert ann.refusal(status, method, path, raw=raw, headers=JSON).keys() == errors


def test_the_body_is_checked_before_permission(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")

    assert bob.refusal(422, "PUT", f"/articles/{slug}", {"article": {"title": ""}}) == {"title": "can't be blank"}
    assert bob.refusal(403, "PUT", f"/articles/{slug}", {"article": {"title": "Mine"}}) == {"article": "forbidden"}


def test_all_errors_in_a_body_are_reported_together_and_before_conflicts(api):
    api.someone("ann")
    user = {"username": "ann", "email": "nobody", "password": " "}

    errors = api.refusal(422, "POST", "/users", {"user": user})

    assert errors == {"email": "must be an address with one @", "password": "can't be blank"}


# The database


@contextmanager
def a_writing_process(db: Database) -> Iterator[None]:
    """Another process of ours holds the writers' lock."""
    with closing(WriteLock(db.path)) as lock, lock:
        yield


@contextmanager
def an_open_transaction(db: Database) -> Iterator[None]:
    """Another program has opened the file and is in a write transaction."""
    with closing(sqlite3.connect(db.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("locked_by", [a_writing_process, an_open_transaction])
@pytest.mark.parametrize("session", ["just used", "due to be noted as used"])
def test_while_the_database_is_locked_reads_succeed_and_writes_get_503(api, db, clock, locked_by, session):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    article = {"title": "Dawn", "description": "About it", "body": "The text"}
    clock.advance(days=1 if session == "due to be noted as used" else 0)

    with closing(Database(db.path, HOME / "sql", wait_s=0.05, clock=clock)) as impatient, locked_by(db):
        locked = Api(TestApp(app.make_app(Config(), impatient)), ann.headers)
        read = locked.reads(slug)
        refused = locked.post("/articles", {"article": article}, status=503)

    assert read == ann.reads(slug)
    assert refused.json == {"errors": {"database": ["is not available; try again"]}}
    assert int(refused.headers["Retry-After"]) >= 1
    assert ann.titles() == ["Rowing at dawn"]
    ann.writes("The lock is gone")
    assert ann.titles() == ["The lock is gone", "Rowing at dawn"]


def test_a_database_that_cannot_be_read_is_unavailable(api, db):
    size = db.path.stat().st_size
    with db.path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))

    response = api.get("/tags", status=503)

    assert response.json == {"errors": {"database": ["is not available; try again"]}}
    assert int(response.headers["Retry-After"]) >= 1


# Bugs


def test_an_unexpected_error_is_a_500_and_only_the_log_has_the_details(api, db, caplog):
    ann = api.someone("ann")
    sqlite(db, "DROP TABLE tags")
    sent = {"Origin": "https://pages.example.org", "X-Request-Id": "finds-a-bug"}

    response = api.client.get("/api/v1/tags", headers=ann.headers | sent, status=500)

    assert response.json == {"errors": {"server": ["internal error"]}}
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
    (logged,) = caplog.records
    assert logged.request_id == response.headers["X-Request-Id"] == "finds-a-bug"
    assert "Traceback" in caplog.text
    assert "no such table: tags" in caplog.text
    assert ann.token not in caplog.text
    assert ann.me()["username"] == "ann"
