"""The size of pages: at most 1 MiB of JSON, however long the texts are."""

import json
import re
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from webtest import TestApp

import cache
from tests.conftest import sqlite

MIB = 1024 * 1024
NOW = "2026-01-31T12:00:00.000Z"

# SQLite encodes it as \u0001: six bytes for one.
LONG = "\x01" * 65_536


def fill(db, sql, rows):
    """Insert rows without the routes, which would hash and count, and in one commit."""
    with closing(sqlite3.connect(db.path)) as connection, connection:
        connection.executemany(sql, rows)


def comment(db, count, body):
    sql = "INSERT INTO comments (article_id, author_id, body, created_at) VALUES (1, 1, ?, ?)"
    fill(db, sql, [(body, NOW)] * count)


def sizes_of(api, path):
    """The bytes of each page, and all that is on them, by following the Link headers."""
    sizes, pages = [], list(api.pages(path))
    for page in pages:
        sizes.append(len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()))
    return sizes, pages


@pytest.fixture
def ann(api):
    return api.someone("ann")


@pytest.fixture
def steps(db):
    """How many thousand steps SQLite's virtual machine takes for a GET."""

    def count(api, path):
        counted = []
        connection = db._reader()
        connection.set_progress_handler(lambda: counted.append(1), 1000)
        api.get(path)
        connection.set_progress_handler(None, 0)
        return len(counted)

    return count


def test_image_is_one_line_of_at_most_8192_characters(ann, db):
    for image in ("x" * 8193, "a\tb", "\n", "\x7f", "\x85", "\x01" * 100):
        (message,) = ann.refusal(422, "PUT", "/user", {"user": {"image": image}}).values()
        assert message in ("is too long (maximum is 8192 characters)", "must not contain control characters")
        with pytest.raises(Exception, match="users_image_"):
            sqlite(db, "UPDATE users SET image = ?", image)

    assert ann.changes(image="🚣" * 8192)["image"] == "🚣" * 8192


@pytest.mark.parametrize(
    "body",
    [LONG, "é" * 65_536, "🚣" * 65_536, '"' * 65_536, "x" * 3000, "\n" * 10_000],
    ids=["control", "accents", "emoji", "quotes", "3,000 letters", "lines"],
)
def test_a_page_of_comments_has_at_most_1_mib(api, ann, db, body):
    slug = ann.writes("Rowing at dawn")
    ann.changes(bio="\x01" * 5000, image="🚣" * 8192)
    comment(db, 30, body)

    sizes, pages = sizes_of(api, f"/articles/{slug}/comments")

    assert max(sizes) <= MIB
    assert min(sizes[:-1]) > MIB / 2
    ids = [comment["id"] for page in pages for comment in page["comments"]]
    assert ids == list(range(30, 0, -1))


def test_a_page_of_long_comments_costs_no_more_when_there_are_more_of_them(api, ann, db, steps):
    slug = ann.writes("Rowing at dawn")
    comment(db, 20, LONG)
    few = steps(api, f"/articles/{slug}/comments")
    comment(db, 200, LONG)

    assert steps(api, f"/articles/{slug}/comments") <= few + 1


def test_one_comment_is_one_page_even_if_it_is_too_long(api, ann, db, monkeypatch):
    monkeypatch.setattr("handlers.comments.MOST_BYTES", 1000)
    slug = ann.writes("Rowing at dawn")
    comment(db, 3, LONG)

    assert [len(page["comments"]) for page in api.pages(f"/articles/{slug}/comments")] == [1, 1, 1]


@pytest.fixture
def long_articles(ann, db):
    """A hundred articles with the longest texts that listings show, by somebody with the longest bio and image."""
    ann.changes(bio="\x01" * 5000, image="🚣" * 8192)
    article = "INSERT INTO articles (id, author_id, slug, title, description, body, created_at, updated_at)"
    texts = f"a {'b' * 253}", "\x01" * 1000
    fill(
        db,
        f"{article} VALUES (?, 1, ?, ?, ?, 'rowing', ?, ?)",
        [(n + 1, f"s{n}", *texts, NOW, NOW) for n in range(100)],
    )
    fill(db, "INSERT INTO article_search (rowid, body) VALUES (?, 'rowing')", [(n + 1,) for n in range(100)])
    fill(db, "INSERT INTO tags (id, name) VALUES (?, ?)", [(n + 1, f"{n:03}" + "\x01" * 61) for n in range(100)])
    tagged = [(n + 1, position, 1 + (n % 2) * 50 + position) for n in range(100) for position in range(50)]
    fill(db, "INSERT INTO article_tags VALUES (?, ?, ?)", tagged)


@pytest.mark.parametrize("query", ["", "&author=ann", "&offset=10", "&q=rowing", "&q=rowing&offset=5"])
def test_a_page_of_articles_has_at_most_1_mib_and_leads_to_the_rest(api, long_articles, query):
    sizes, pages = sizes_of(api, f"/articles?limit=100{query}")

    assert max(sizes) <= MIB
    assert min(sizes[:-1]) > MIB / 2
    slugs = [article["slug"] for page in pages for article in page["articles"]]
    skipped = int((re.findall("offset=(.*)", query) or ["0"])[0])
    assert slugs == [f"s{number}" for number in range(99 - skipped, -1, -1)]


def test_a_feed_has_at_most_1_mib(api, ann, long_articles):
    bob = api.someone("bob")
    bob.follows("ann")

    sizes, pages = sizes_of(bob, "/articles/feed?limit=100")

    assert max(sizes) <= MIB
    assert sum(len(page["articles"]) for page in pages) == 100


def test_no_other_listing_can_be_longer(api, ann, db, promote):
    """The longest texts that each route takes: what cannot be sent is not tried."""
    promote(ann, "admin")
    user = "INSERT INTO users (username, username_key, email, email_key, password_hash, created_at, updated_at)"
    fill(
        db,
        f"{user} VALUES (?, ?, ?, ?, 'x', ?, ?)",
        [(f"{n:03}" + '"' * 61, f"{n}", f"{n:03}" + "🚣" * 251, f"{n}", NOW, NOW) for n in range(110)],
    )
    session = "INSERT INTO sessions (user_id, token_hash, user_agent, created_at, last_used_at)"
    fill(db, f"{session} VALUES (1, ?, ?, ?, ?)", [(f"{n:064}", '"' * 255, NOW, db.clock.now()) for n in range(1000)])
    fill(db, "INSERT INTO tags (name, articles_count) VALUES (?, 1)", [(f"{n:04}" + "\x01" * 60,) for n in range(1001)])
    entry = "INSERT INTO audit (created_at, actor_id, action, user_id, object_id, request_id)"
    fill(db, f"{entry} VALUES (?, ?, 'user.login', ?, 1, ?)", [(NOW, n, n, "x" * 64) for n in range(2, 112)])

    for path in "/admin/users?limit=100", "/admin/audit?limit=100", "/admin/stats?days=366", "/user/sessions", "/tags":
        assert len(ann.get(path).body) <= MIB, path


# The response cache


def test_the_cache_holds_no_response_beyond_its_share(db):
    def answer(environ, start_response):
        environ["bottle.route"] = SimpleNamespace(config={"cache": True})
        body = b"x" * int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    cached = TestApp(cache.with_cache(answer, db, max_bytes=800_000), lint=False)
    for length in (900_000, 800_000, 101_000, 97_000):
        cached.get(f"/?{length}")

    assert [len(each.body) for each in db.remembered().values()] == [97_000]


def test_the_cache_never_holds_more_than_its_limit_keys_included(db):
    def answer(environ, start_response):
        environ["bottle.route"] = SimpleNamespace(config={"cache": True})
        start_response("200 OK", [("Content-Length", "30000")])
        return [b"x" * 30_000]

    cached = TestApp(cache.with_cache(answer, db, max_bytes=800_000), lint=False)
    for number in range(100):
        cached.get(f"/{number}?{'x' * 20_000}")
        held = sum(
            len(known.body) + sum(len(part) for part in key if isinstance(part, str))
            for key, known in db.remembered().items()
        )
        assert held <= 800_000
