"""Closed accounts: hidden at once, removed in small transactions (cleanup.py)."""

from contextlib import closing

import pytest

import app
import background
import cleanup
from db import Unavailable
from db.connection import connect
from tests.conftest import PASSWORD, remove_the_rest, sqlite
from tests.db.test_plans import USUAL, steps
from tests.test_counters import miscounted


@pytest.fixture
def village(api, promote):
    """Callers by name, "" for an anonymous one, and slugs. Each has done everything to everybody's articles."""
    people = {name: api.someone(name) for name in ("ann", "bob", "root")}
    promote(people["root"], "admin")
    slugs = {}
    for name, someone in people.items():
        slugs[f"old {name}"] = someone.writes(f"Rowing by {name}", "river", name, "shared" if name != "root" else "x")
        slugs[name] = someone.edits(slugs[f"old {name}"], title=f"Sculling by {name}")["slug"]
    for name, someone in people.items():
        for other in people:
            someone.follows(other)
            someone.says(slugs[other], f"{name} to {other}")
            someone.likes(slugs[other])
    return people | {"": api}, slugs


# The queries of each GET route. `{}` stands for each slug.
QUERIES = {
    "/articles": [
        *("", "?limit=1", "?limit=3&offset=1", "?tag=river", "?tag=ann", "?tag=shared", "?author=ann", "?author=bob"),
        *("?favorited=ann", "?favorited=bob", "?favorited=bob&limit=1", "?tag=river&favorited=bob", "?q=sculling"),
        *("?tag=river&author=bob", "?q=ann", "?q=sculling&tag=river&favorited=bob", "?author=deleted%20user&tag=no"),
    ],
    "/articles/feed": ["", "?limit=3"],
    "/articles/<slug>": ["{}"],
    "/articles/<slug>/comments": ["{}"],
    "/tags": [""],
    "/profiles/<username>": ["ann", "bob", "deleted%20user"],
    "/user": [""],
    "/user/export": [""],
    "/user/sessions": [""],
    "/admin/users": ["", "?q=a", "?q=closed", "?role=member"],
    "/admin/audit": ["", "?actor=ann"],
    "/admin/stats": ["?days=1"],
}


def seen(village):
    """Every response of every GET route to every caller."""
    people, slugs = village
    responses = {}
    for route, queries in QUERIES.items():
        path, parameter, rest = route.partition("<")
        for query in queries:
            for filled in slugs.values() if query == "{}" else [query]:
                for name, someone in people.items():
                    address = path + filled + rest.partition(">")[2] if parameter else path + filled
                    answer = someone.client.get("/api" + address, headers=someone.headers, status="*")
                    responses[name, address] = answer.status_int, answer.headers.get("Link"), answer.json
    return responses


def without_days(responses):
    """Of content that is kept, /admin/stats counts its author beside "deleted user" until it is moved."""
    return {key: response for key, response in responses.items() if "stats" not in key[1]}


def test_every_route_that_reads_is_looked_at_here():
    assert {path for method, path, *_ in app.routes() if method == "GET"} == QUERIES.keys()


@pytest.mark.parametrize(("content", "texts"), [("delete", (4, 0)), ("keep", (9, 3))])
def test_what_a_closed_account_has_left_is_seen_by_nobody(village, db, content, texts, monkeypatch):
    monkeypatch.setattr(cleanup, "_MOST_ROWS", 2)
    ann, slugs = village[0].pop("ann"), village[1]
    before = seen(village)

    ann.leaves(content)
    closed = seen(village)

    rounds = 0
    while cleanup.remove_some(db):  # each could run in another process: what is left to do is in the database alone
        rounds += 1
        assert without_days(seen(village)) == without_days(closed)
        assert not miscounted(db)
    assert rounds > 1
    if content == "delete":
        assert seen(village) == closed
    changed = {address for name, address in closed if before[name, address] != closed[name, address]}
    assert changed >= {"/articles", "/articles/feed", "/user/export", "/profiles/ann", f"/articles/{slugs['ann']}"}
    assert sqlite(db, "SELECT count(*), sum(body LIKE 'ann to%') FROM comments") == [texts]
    assert sqlite(db, "SELECT username FROM users WHERE id = 1 OR username = 'ann'") == []
    assert sqlite(db, "SELECT * FROM closed_accounts UNION ALL SELECT * FROM hidden_authors") == []


def test_writes_to_what_is_hidden_are_refused(village, db):
    people, slugs = village
    ann, root = people["ann"], people["root"]
    comment = ann.says(slugs["bob"], "Well rowed")["id"]
    ann.leaves("delete")
    before = sqlite(db, "SELECT count(*) FROM favorites UNION ALL SELECT count(*) FROM comments")

    for slug in (slugs["ann"], slugs["old ann"]):
        for method, path, body in (
            ("POST", "favorite", None),
            ("DELETE", "favorite", None),
            ("POST", "comments", {"comment": {"body": "Well rowed"}}),
            ("DELETE", "comments/1", None),
            ("PUT", "", {"article": {"title": "Mine"}}),
            ("DELETE", "", None),
        ):
            refusal = root.refusal(404, method, f"/articles/{slug}/{path}".rstrip("/"), body)
            assert refusal == {"article": "not found"}
    for method in ("POST", "DELETE"):
        assert root.refusal(404, method, "/profiles/ann/follow") == {"profile": "not found"}
    gone = root.refusal(404, "DELETE", f"/articles/{slugs['bob']}/comments/{comment}")
    assert gone == {"comment": "not found"}
    assert root.refusal(404, "PATCH", "/admin/users/ann", {"user": {"suspended": True}}) == {"user": "not found"}
    login = {"user": {"email": ann.email, "password": PASSWORD}}
    assert root.refusal(401, "POST", "/users/login", login) == {"credentials": "invalid"}
    assert ann.refusal(401, "GET", "/user") == ann.refusal(401, "GET", "/user/export") == {"token": "is invalid"}
    assert sqlite(db, "SELECT count(*) FROM favorites UNION ALL SELECT count(*) FROM comments") == before


def test_tokens_that_set_a_password_end_with_the_account(api, db):
    ann = api.someone("ann")
    db.write("resets/create", user_id=1, token_hash="0" * 64, now=db.clock.now())
    ann.leaves()

    assert db.row("resets/find", token_hash="0" * 64, expired="", now="9") is None
    assert len(sqlite(db, "SELECT * FROM password_resets")) == 1
    remove_the_rest(db)
    assert sqlite(db, "SELECT * FROM password_resets") == []


# Bounds

SIZES = {
    "articles": "SELECT count(*) FROM articles",
    "rows": """
        SELECT (SELECT count(*) FROM articles) + (SELECT count(*) FROM comments) + (SELECT count(*) FROM favorites)
             + (SELECT count(*) FROM slugs) + (SELECT count(*) FROM article_tags) + (SELECT count(*) FROM follows)
             + (SELECT count(*) FROM sessions) + (SELECT count(*) FROM login_addresses)
             + (SELECT count(*) FROM password_resets)""",
    "characters": """
        SELECT (SELECT total(length(title) + length(description) + length(body)) FROM articles)
             + (SELECT total(length(body)) FROM comments)""",
}
MANY = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {})
    INSERT INTO {} SELECT {} FROM numbers"""


def grow(db, texts, length):
    """Ann (1), bob (2) and 100 others; ann and her articles get as many rows of each kind as there are others."""
    with closing(connect(db.path)) as connection:
        for amount, table, values in (
            (100, "users (id, username, username_key, email, email_key, password_hash, created_at, updated_at)",
             "number + 2, number, number, number || '@x', number || '@x', '', :now, :now"),
            (texts, "articles (author_id, slug, title, description, body, created_at, updated_at)",
             "1, 's' || number, 'T', 'D', printf('%.*c', :length, 'x'), :now, :now"),
            (texts, "comments (article_id, author_id, body, created_at)",
             "1, 1 + number % 2, printf('%.*c', min(:length, 65536), 'x'), :now"),
            (100, "slugs", "'old' || number, 1"),
            (50, "tags (id, name)", "number, number"),
            (50, "article_tags", "1, number - 1, number"),
            (100, "favorites", "number + 2, 1, :now"),
            (texts, "favorites", "1, number, :now"),
            (100, "follows", "number + 2, 1, :now"),
            (100, "follows", "1, number + 2, :now"),
            (100, "sessions (user_id, token_hash, created_at, last_used_at)",
             "1, printf('%064d', number), :now, :now"),
            (100, "login_addresses", "1, number, :now"),
            (100, "password_resets", "printf('%064d', number), 1, :now"),
        ):  # fmt: skip
            sql = MANY.format(amount, table, values)
            connection.execute(sql, {"now": db.clock.now(), "length": length})


@pytest.mark.parametrize(
    ("content", "texts", "length"),
    [("delete", 60, 100), ("keep", 60, 100), ("delete", 12, 9_000), ("delete", 3, 990_000), ("keep", 2, 990_000)],
)
def test_each_transaction_removes_little(api, db, content, texts, length):
    ann, bob = api.someone("ann"), api.someone("bob")
    grow(db, texts, length)
    ann.leaves(content)

    left = {name: sqlite(db, sql)[0][0] for name, sql in SIZES.items()}
    while cleanup.remove_some(db):
        now = {name: sqlite(db, sql)[0][0] for name, sql in SIZES.items()}
        assert left["articles"] - now["articles"] <= 20
        assert left["rows"] - now["rows"] <= 200
        assert left["characters"] - now["characters"] <= max(100_000, length + min(length, 65_536) + 2)
        left = now

    assert bob.me()["username"] == "bob"
    assert left["articles"] == (texts if content == "keep" else 0)
    assert sqlite(db, "SELECT count(*) FROM users WHERE role <> 'deleted'") == [(101,)]
    assert not miscounted(db)


def test_listings_take_few_steps_for_each_hidden_article(api, db):
    ann, _ = api.someone("ann"), api.someone("bob")
    grow(db, 60, 100)
    queries = {
        "articles/newest": ({}, 8),
        "articles/find": ({"tag": "1", "author": None, "favorited": "3"}, 80),
        "tags/list": ({}, 80),
        "comments/find": ({"slug": "s1"}, 20),
    }

    def taken():
        with closing(connect(db.path)) as connection:
            return [
                steps(connection, db.files[name].path.read_text(encoding="utf-8"), USUAL | asked)
                for name, (asked, _) in queries.items()
            ]

    before = taken()
    ann.leaves("delete")

    for now, then, most in zip(taken(), before, [most for _, most in queries.values()], strict=True):
        assert now - then <= 60 * most


@pytest.mark.parametrize("content", ["delete", "keep"])
def test_two_processes_remove_the_same_account_and_nothing_else(village, db, monkeypatch, content):
    village[0].pop("ann").leaves(content)
    expected = seen(village)
    write = db.write

    def meanwhile(*names, **parameters):
        monkeypatch.undo()
        remove_the_rest(db)
        return write(*names, **parameters)

    monkeypatch.setattr(db, "write", meanwhile)
    assert cleanup.remove_some(db)

    assert not cleanup.remove_some(db)
    assert without_days(seen(village)) == without_days(expected)
    assert not miscounted(db)


class Stopping:
    """An event that is set after a number of waits, which it notes."""

    def __init__(self, waits):
        self.waits, self.waited = waits, []

    def wait(self, seconds):
        self.waited.append(seconds)
        return len(self.waited) > self.waits


def test_a_job_pauses_after_each_step_and_survives_errors(caplog):
    outcomes = iter([True, False, Unavailable("disk full"), ValueError("a bug"), True])

    def job():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    stopping = Stopping(5)
    background._repeat("cleanup", job, stopping)

    assert [seconds < 1 for seconds in stopping.waited] == [False, True, False, False, False, True]
    assert [record.getMessage() for record in caplog.records] == ["cleanup: disk full", "cleanup"]
