"""Concurrent requests: a write sees everything that was committed before it; the result is that of some order."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from passwords import digest
from tests.conftest import JSON, PASSWORD, sqlite

CREDENTIALS = {"user": {"email": "ann@example.org", "password": PASSWORD}}
LEAVING = {"user": {"password": PASSWORD, "content": "keep"}}
ARTICLE = {"article": {"title": "Dusk", "description": "About it", "body": "The text"}}
COMMENT = {"comment": {"body": "Well said"}}


@pytest.fixture
def before_the_next_write(db, monkeypatch):
    """Let something happen between the reads of a request and its write."""

    def let(happen):
        write = db.write

        def once(*names, **parameters):
            monkeypatch.setattr(db, "write", write)
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(happen).result()
            return write(*names, **parameters)

        monkeypatch.setattr(db, "write", once)

    return let


@pytest.fixture
def people(api, promote):
    """Members ann and bob, a moderator, two admins."""
    names = ["ann", "bob", "mod", "root", "boss"]
    ann, bob, mod, root, boss = (api.someone(name) for name in names)
    promote(mod, "moderator")
    promote(root, "admin")
    promote(boss, "admin")
    elsewhere = api.logs_in(ann.email)
    return {"anyone": api, "ann": ann, "ann elsewhere": elsewhere, "bob": bob, "mod": mod, "root": root, "boss": boss}


@pytest.fixture
def names(people):
    """What paths name: articles of ann and bob, and ann's comment on bob's."""
    slug, mine = people["bob"].writes("Dawn"), people["ann"].writes("Noon")
    return {"slug": slug, "mine": mine, "comment": people["ann"].says(slug, "It was")["id"]}


def everything(db):
    """Every row of every table, without counted attempts."""
    tables = sqlite(db, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    return {
        name: sqlite(db, f"SELECT * FROM {name}")
        for (name,) in tables
        if name not in ("attempts", "sqlite_schema") and not name.startswith("article_search")
    }


# One request, and a commit between its reads and its write


WRITES = [
    ("POST", "/articles", ARTICLE),
    ("PUT", "/articles/{mine}", {"article": {"body": "Another text"}}),
    ("DELETE", "/articles/{mine}", None),
    ("POST", "/articles/{slug}/favorite", None),
    ("DELETE", "/articles/{slug}/favorite", None),
    ("POST", "/articles/{slug}/comments", COMMENT),
    ("DELETE", "/articles/{slug}/comments/{comment}", None),
    ("POST", "/profiles/bob/follow", None),
    ("DELETE", "/profiles/bob/follow", None),
    ("PUT", "/user", {"user": {"bio": "Rows at dawn"}}),
    ("PUT", "/user", {"user": {"email": "ann@example.com"}}),
    ("DELETE", "/user/sessions", None),
    ("DELETE", "/user/sessions/1", None),
    ("DELETE", "/user", LEAVING),
]

ENDINGS = {
    "leaves and keeps the content": lambda ann, root: ann.leaves("keep"),
    "leaves": lambda ann, root: ann.leaves(),
    "is suspended": lambda ann, root: root.suspends("ann"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_user_who_leaves_or_is_suspended_before_the_write_writes_nothing(
    db, people, names, before_the_next_write, method, path, body, ending
):
    after = []

    def end():
        ENDINGS[ending](people["ann"], people["root"])
        after.append(everything(db))

    before_the_next_write(end)

    assert people["ann"].refusal(401, method, path.format(**names), body) == {"token": "is invalid"}
    assert everything(db) == after[0]
    if "leaves" in ending:
        assert sqlite(db, "SELECT subject FROM attempts WHERE subject LIKE '% of user 1'") == []


MEMBER, SUSPENDED = {"user": {"role": "member"}}, {"user": {"suspended": True}}
CID = {"user": {"username": "cid", "email": "cid@example.org", "password": PASSWORD}}

# What is committed first, and how requests that have begun before it are refused.
OVERTAKEN = [
    (
        ("bob", "DELETE", "/articles/{slug}"),
        (404, {"article": "not found"}),
        [
            ("ann", "POST", "/articles/{slug}/favorite"),
            ("ann", "DELETE", "/articles/{slug}/favorite"),
            ("ann", "POST", "/articles/{slug}/comments", COMMENT),
            ("ann", "DELETE", "/articles/{slug}/comments/{comment}"),
            ("bob", "PUT", "/articles/{slug}", ARTICLE),
            ("bob", "DELETE", "/articles/{slug}"),
            ("mod", "DELETE", "/articles/{slug}"),
        ],
    ),
    (
        ("mod", "DELETE", "/articles/{slug}/comments/{comment}"),
        (404, {"comment": "not found"}),
        [("ann", "DELETE", "/articles/{slug}/comments/{comment}")],
    ),
    (
        ("bob", "DELETE", "/user", LEAVING),
        (404, {"profile": "not found"}),
        [("ann", "POST", "/profiles/bob/follow"), ("ann", "DELETE", "/profiles/bob/follow")],
    ),
    (
        ("anyone", "POST", "/users", CID),
        (409, {"username": "has already been taken"}),
        [("ann", "PUT", "/user", {"user": {"username": "Cid"}})],
    ),
    (
        ("anyone", "POST", "/users", CID),
        (409, {"email": "has already been taken"}),
        [("ann", "PUT", "/user", {"user": {"email": "Cid@example.org"}})],
    ),
    (
        ("ann elsewhere", "DELETE", "/user/sessions"),
        (401, {"token": "is invalid"}),
        [("ann", "DELETE", "/user/sessions")],
    ),
    (
        ("root", "PATCH", "/admin/users/mod", MEMBER),
        (403, {"article": "forbidden"}),
        [("mod", "DELETE", "/articles/{slug}")],
    ),
    (
        ("root", "PATCH", "/admin/users/mod", MEMBER),
        (403, {"comment": "forbidden"}),
        [("mod", "DELETE", "/articles/{slug}/comments/{comment}")],
    ),
    (
        ("boss", "PATCH", "/admin/users/root", MEMBER),
        (403, {"route": "forbidden"}),
        [("root", "PATCH", "/admin/users/ann", SUSPENDED)],
    ),
    (
        ("boss", "PATCH", "/admin/users/root", SUSPENDED),
        (401, {"token": "is invalid"}),
        [("root", "PATCH", "/admin/users/boss", change) for change in (MEMBER, SUSPENDED)],
    ),
    (
        ("boss", "PATCH", "/admin/users/boss", MEMBER),
        (409, {"user": "is the last admin"}),
        [("root", "PATCH", "/admin/users/root", MEMBER), ("root", "DELETE", "/user", LEAVING)],
    ),
]


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [(first, second, refusal) for first, refusal, overtaken in OVERTAKEN for second in overtaken],
)
def test_a_request_that_was_overtaken_is_refused_and_stores_nothing(
    db, people, names, before_the_next_write, first, second, refusal
):
    after = []

    def overtake():
        who, method, path, *body = first
        people[who].call(method, path.format(**names), *body)
        after.append(everything(db))

    before_the_next_write(overtake)

    who, method, path, *body = second
    assert people[who].refusal(refusal[0], method, path.format(**names), *body) == refusal[1]
    assert everything(db) == after[0]


@pytest.mark.parametrize(
    ("ending", "status", "errors"),
    [
        ("is suspended", 403, {"account": "suspended"}),
        ("leaves", 401, {"credentials": "invalid"}),
    ],
)
def test_a_user_who_is_gone_before_the_password_is_verified_is_not_logged_in(
    api, db, people, argon2, ending, status, errors
):
    argon2.meanwhile(lambda: ENDINGS[ending](people["ann"], people["root"]), during="verify")

    assert api.refusal(status, "POST", "/users/login", CREDENTIALS) == errors
    assert sqlite(db, "SELECT count(*) FROM visible_sessions WHERE user_id = 1") == [(0,)]


# Many requests at the same time


def at_once(*requests):
    """The responses to requests that start at the same moment: client, method, path and body of each."""
    start = threading.Barrier(len(requests))

    def send(client, method, path, body=None):
        sent, headers = json.dumps(body or {}).encode(), client.headers | JSON
        start.wait(60)
        return client.client.request(client.prefix + path, method=method, body=sent, headers=headers, status="*")

    with ThreadPoolExecutor(len(requests)) as crowd:
        return [each.result() for each in [crowd.submit(send, *request) for request in requests]]


@pytest.mark.parametrize(
    ("who", "method", "path", "statuses", "action"),
    [
        ("bob", "DELETE", "/articles/{slug}", {204: 1, 404: 7}, "article.delete"),
        ("mod", "DELETE", "/articles/{slug}/comments/{comment}", {204: 1, 404: 7}, "comment.delete"),
        ("root", "PATCH", "/admin/users/ann", {200: 8}, "user.suspend"),
    ],
)
def test_the_same_request_eight_times_at_once_has_one_effect(db, people, names, who, method, path, statuses, action):
    body = SUSPENDED if method == "PATCH" else None

    responses = at_once(*[(people[who], method, path.format(**names), body)] * 8)

    assert Counter(response.status_int for response in responses) == statuses
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = ?", action) == [(1,)]


def test_a_reset_token_that_is_used_eight_times_at_once_sets_one_password(api, db, people):
    db.write("resets/create", user_id=1, token_hash=digest("a token"), now=db.clock.now())
    passwords = [f"new password {number}" for number in range(8)]
    bodies = [{"user": {"token": "a token", "password": password}} for password in passwords]

    responses = at_once(*[(api, "PUT", "/users/password-reset", body) for body in bodies])

    statuses = [response.status_int for response in responses]
    assert Counter(statuses) == {204: 1, 422: 7}
    assert api.logs_in("ann@example.org", passwords[statuses.index(204)])


def test_each_of_many_concurrent_favorites_counts_once(api, people, names):
    crowd = [api.someone(f"reader{number}") for number in range(12)]
    path = f"/articles/{names['slug']}/favorite"

    for method, counts in ("POST", range(1, 13)), ("DELETE", range(12)):
        articles = [response.json["article"] for response in at_once(*[(each, method, path) for each in crowd] * 2)]

        assert {*counts} == {article["favoritesCount"] for article in articles}
        assert {article["favorited"] for article in articles} == {method == "POST"}
    assert api.reads(names["slug"])["favoritesCount"] == 0


def test_of_eight_changes_of_an_article_at_once_the_last_one_stays_under_each_slug(people, names):
    ann, path = people["ann"], f"/articles/{names['mine']}"
    changes = [{"title": f"Dusk {number}", "tagList": ["dusk", f"dusk {number}"]} for number in range(8)]

    responses = at_once(*[(ann, "PUT", path, {"article": change}) for change in changes])

    articles = [response.json["article"] for response in responses]
    assert [{"title": article["title"], "tagList": article["tagList"]} for article in articles] == changes
    assert len({article["updatedAt"] for article in articles}) == 8
    last = max(articles, key=lambda article: article["updatedAt"])
    assert all(ann.reads(slug) == last for slug in [names["mine"], *(article["slug"] for article in articles)])
    assert ann.tags() == last["tagList"][::-1]
