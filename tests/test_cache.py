"""Answers that are remembered until the next commit, ETag and 304."""

import fcntl
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from webtest import TestApp

import app
import cache
from config import Config
from db import Database
from tests.conftest import HOME, Api, sqlite, statements_of

# A route that opts in.
ROUTE = SimpleNamespace(config={"cache": True})


@pytest.fixture
def asked(db):
    """How many SQL statements run for a request, in the reading connection of this thread."""
    return lambda reader, path: statements_of(db, reader, path)


def test_the_same_question_is_answered_from_memory_until_something_is_committed(api, db, asked):
    ann = api.someone("ann")
    ann.writes("Dawn")

    assert asked(api, "/articles") > 0
    assert asked(api, "/articles") == 0
    ann.writes("Dusk")
    assert asked(api, "/articles") > 0
    assert api.titles() == ["Dusk", "Dawn"]


def test_a_commit_of_another_process_is_seen_at_once(api, db):
    slug = api.someone("ann").writes("Dawn")
    assert api.reads(slug)["title"] == "Dawn"

    sqlite(db, "UPDATE articles SET title = 'Dusk'")

    assert api.reads(slug)["title"] == "Dusk"


def test_nobody_gets_the_answer_of_another_caller(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Dawn")
    bob.likes(slug)

    for _ in range(2):
        assert bob.reads(slug)["favorited"] is True
        assert ann.reads(slug)["favorited"] is False
        assert api.reads(slug)["favorited"] is False


def test_a_token_that_expires_without_a_commit_is_refused(api, db):
    ann = api.someone("ann")
    almost = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days', '+3 seconds')"
    with closing(Database(db.path, HOME / "sql", wait_s=0.05)) as locked, open(f"{db.path}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # nobody can note that the session is in use
        reader = Api(TestApp(app.make_app(Config(), locked)), ann.headers)
        sqlite(db, f"UPDATE sessions SET last_used_at = {almost}")
        reader.get("/articles")
        time.sleep(3.1)

        assert reader.refusal(401, "GET", "/articles") == {"token": "is invalid"}


def test_a_version_that_is_read_after_the_answer_would_be_noticed(api, db):
    """What is remembered belongs to the version that was read first: here a commit comes between the two."""
    slug = api.someone("ann").writes("Dawn")

    def answer(environ, start_response):
        environ["bottle.route"] = ROUTE
        body = api.get(f"/articles/{slug}").body
        sqlite(db, "UPDATE articles SET title = 'Dusk' WHERE title = 'Dawn'")
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    cached = TestApp(cache.with_cache(answer, db))

    assert cached.get("/").json["article"]["title"] == "Dawn"
    assert cached.get("/").json["article"]["title"] == "Dusk"


def test_what_is_remembered_is_bounded_in_bytes(db):
    def answer(environ, start_response):
        environ["bottle.route"] = ROUTE
        body = b"x" * 10_000
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    cached = TestApp(cache.with_cache(answer, db, max_bytes=100_000), lint=False)
    for number in range(50):
        cached.get(f"/{number}")

    assert 1 <= len(db.remembered()) <= 8


def test_what_was_asked_counts_for_that_too(db):
    def answer(environ, start_response):
        environ["bottle.route"] = ROUTE
        start_response("200 OK", [("Content-Length", "1")])
        return [b"x"]

    cached = TestApp(cache.with_cache(answer, db, max_bytes=100_000), lint=False)
    for number in range(50):
        cached.get(f"/?{number}={'x' * 10_000}")

    assert 1 <= len(db.remembered()) <= 8


def test_a_known_answer_is_not_sent_again(api):
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


def test_head_has_the_etag_of_get_and_no_body(api):
    slug = api.someone("ann").writes("Dawn")

    head, get = (api.call(method, f"/articles/{slug}") for method in ("HEAD", "GET"))

    assert head.body == b""
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(get.body))


def test_who_may_store_an_answer_is_said_with_it(api):
    ann = api.someone("ann")

    assert api.get("/articles").headers["Cache-Control"] == "no-cache"
    assert ann.get("/articles").headers["Cache-Control"] == "private, no-cache"
    assert ann.get("/user").headers["Cache-Control"] == "no-store"
    assert "ETag" not in ann.get("/user").headers
    assert ann.put("/user", {"user": {"bio": "x"}}).headers["Cache-Control"] == "no-store"
    assert ann.get("/articles").headers["Vary"] == "Authorization, Origin"
