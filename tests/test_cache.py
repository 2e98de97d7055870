"""Responses that are cached until the next commit, ETag and 304."""

from contextlib import closing
from types import SimpleNamespace

import pytest
from webtest import TestApp

import app
import cache
from config import Config
from db import Database
from db.lock import WriteLock
from tests.conftest import HOME, Api, sqlite, statements_of

# A route that opts in.
ROUTE = SimpleNamespace(config={"cache": True})


def test_a_response_is_cached_until_the_next_commit(api, db):
    ann = api.someone("ann")
    ann.writes("Dawn")

    assert statements_of(db, api, "/articles") > 0
    assert statements_of(db, api, "/articles") == 0
    ann.writes("Dusk")
    assert statements_of(db, api, "/articles") > 0
    assert api.titles() == ["Dusk", "Dawn"]


def test_a_commit_of_another_connection_ends_the_cache_at_once(api, db):
    slug = api.someone("ann").writes("Dawn")
    assert api.reads(slug)["title"] == "Dawn"

    sqlite(db, "UPDATE articles SET title = 'Dusk'")

    assert api.reads(slug)["title"] == "Dusk"


def test_callers_do_not_share_cached_responses(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Dawn")
    bob.likes(slug)

    for _ in range(2):
        assert bob.reads(slug)["favorited"] is True
        assert ann.reads(slug)["favorited"] is False
        assert api.reads(slug)["favorited"] is False


def test_a_response_for_a_token_is_cached_for_an_hour_then_the_session_is_checked(api, db, clock):
    ann = api.someone("ann")

    assert statements_of(db, ann, "/articles") > 0
    clock.advance(hours=1)
    assert statements_of(db, ann, "/articles") == 0
    clock.advance(seconds=1)
    assert statements_of(db, ann, "/articles") > 0


def test_a_session_that_expires_without_a_commit_is_no_session_any_more(api, db, clock):
    ann = api.someone("ann")
    slug = ann.writes("Dawn")
    ann.likes(slug)
    clock.advance(days=30, seconds=-1)

    # The lock prevents the reader from noting that the session is in use.
    other = Database(db.path, HOME / "sql", wait_s=0.05, clock=clock)
    with closing(other), closing(WriteLock(db.path)) as lock, lock:
        reader = Api(TestApp(app.make_app(Config(), other)), ann.headers)
        assert reader.reads(slug)["favorited"] is True
        clock.advance(seconds=1)

        assert reader.reads(slug)["favorited"] is False
        assert reader.refusal(401, "GET", "/user") == {"token": "is invalid"}


def test_a_commit_between_reading_and_caching_is_noticed(api, db):
    slug = api.someone("ann").writes("Dawn")

    def respond(environ, start_response):
        environ["bottle.route"] = ROUTE
        body = api.get(f"/articles/{slug}").body
        sqlite(db, "UPDATE articles SET title = 'Dusk' WHERE title = 'Dawn'")
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    cached = TestApp(cache.with_cache(respond, db))

    assert cached.get("/").json["article"]["title"] == "Dawn"
    assert cached.get("/").json["article"]["title"] == "Dusk"


@pytest.mark.parametrize(("path", "size"), [("/", 10_000), ("/?" + "x" * 10_000, 1)], ids=["bodies", "addresses"])
def test_the_cache_is_limited_in_bytes(db, path, size):
    def respond(environ, start_response):
        environ["bottle.route"] = ROUTE
        start_response("200 OK", [("Content-Length", str(size))])
        return [b"x" * size]

    cached = TestApp(cache.with_cache(respond, db, max_bytes=100_000), lint=False)
    for number in range(40):
        cached.get(f"{path}{number}")

    assert 1 <= len(db.remembered()) <= 8


def test_a_response_with_a_known_etag_is_a_304(api):
    ann = api.someone("ann")
    slug = ann.writes("Dawn")
    path = f"/articles/{slug}"
    etag = api.get(path).headers["ETag"]

    again = api.get(path, status=304, headers={"If-None-Match": etag})
    listed = api.get(path, status=304, headers={"If-None-Match": f'W/"x", {etag}'})
    ann.likes(slug)
    changed = api.get(path, status=200, headers={"If-None-Match": etag})

    assert again.body == listed.body == b""
    assert again.headers["ETag"] == etag != changed.headers["ETag"]
    assert "Content-Type" not in again.headers


def test_cache_control_depends_on_the_caller_and_the_route(api):
    ann = api.someone("ann")

    assert api.get("/articles").headers["Cache-Control"] == "no-cache"
    assert ann.get("/articles").headers["Cache-Control"] == "private, no-cache"
    assert ann.get("/user").headers["Cache-Control"] == "no-store"
    assert "ETag" not in ann.get("/user").headers
    assert ann.put("/user", {"user": {"bio": "x"}}).headers["Cache-Control"] == "no-store"
    assert ann.get("/articles").headers["Vary"] == "Authorization, Origin"
