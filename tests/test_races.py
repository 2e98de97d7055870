"""What happens at once: however it falls out, the database holds one of the stories that could be told in turn."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from db.clock import now
from passwords import digest
from tests.conftest import PASSWORD, sqlite

CREDENTIALS = {"user": {"email": "ann@example.org", "password": PASSWORD}}
LEAVING = {"user": {"password": PASSWORD, "content": "keep"}}


@pytest.fixture
def before_the_next_write(db, monkeypatch):
    """Let something happen elsewhere between what a request has read and what it is about to write."""

    def let(happen):
        write = db.write

        def once(*names, **parameters):
            monkeypatch.setattr(db, "write", write)
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(happen).result()
            return write(*names, **parameters)

        monkeypatch.setattr(db, "write", once)

    return let


def at_once(*calls):
    """The statuses of requests that are sent at the same time."""
    with ThreadPoolExecutor(len(calls)) as crowd:
        return [answer.result().status_int for answer in [crowd.submit(call) for call in calls]]


def change(client, name, user):
    path = f"{client.prefix}/admin/users/{name}"
    return lambda: client.client.patch_json(path, {"user": user}, headers=client.headers, status="*")


@pytest.mark.parametrize("user", [{"role": "member"}, {"role": "moderator"}, {"suspended": True}])
def test_two_admins_who_demote_each_other_leave_one(api, db, promote, user):
    for turn in range(10):
        sqlite(db, "UPDATE users SET role = 'member', suspended_at = NULL")
        ann, bob = (promote(api.someone(f"{name}{turn}"), "admin") for name in ("ann", "bob"))

        statuses = at_once(
            change(ann, bob.name, user), change(bob, ann.name, user), *(change(ann, ann.name, user) for _ in range(4))
        )

        assert set(statuses) <= {200, 401, 403, 409}
        assert sqlite(db, "SELECT count(*) FROM users WHERE role = 'admin' AND suspended_at IS NULL") == [(1,)]


def test_two_admins_who_leave_at_once_leave_one(api, db, promote):
    people = [promote(api.someone(name), "admin") for name in ("ann", "bob", "cid")]

    def leave(someone):
        path = f"{someone.prefix}/user"
        return lambda: someone.client.delete_json(path, LEAVING, headers=someone.headers, status="*")

    assert sorted(at_once(*map(leave, people))) == [204, 204, 409]
    assert sqlite(db, "SELECT count(*) FROM users WHERE role = 'admin'") == [(1,)]


def test_who_is_suspended_while_logging_in_is_not_logged_in(api, db, promote, argon2):
    root = promote(api.someone("root"), "admin")
    api.someone("ann")
    argon2.meanwhile(lambda: root.suspends("ann"), during="verify")

    assert api.refusal(403, "POST", "/users/login", CREDENTIALS) == {"account": "suspended"}
    assert sqlite(db, "SELECT count(*) FROM sessions WHERE user_id = 2") == [(0,)]


def test_who_leaves_while_logging_in_is_not_logged_in(api, db, argon2):
    ann = api.someone("ann")
    argon2.meanwhile(ann.leaves, during="verify")

    assert api.refusal(401, "POST", "/users/login", CREDENTIALS) == {"credentials": "invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions") == [(0,)]


WRITES = [
    ("POST", "/articles", {"article": {"title": "Dusk", "description": "About it", "body": "The text"}}),
    ("PUT", "/articles/{mine}", {"article": {"body": "Another text"}}),
    ("DELETE", "/articles/{mine}", None),
    ("POST", "/articles/{slug}/favorite", None),
    ("DELETE", "/articles/{slug}/favorite", None),
    ("POST", "/articles/{slug}/comments", {"comment": {"body": "Well said"}}),
    ("DELETE", "/articles/{slug}/comments/{comment}", None),
    ("POST", "/profiles/bob/follow", None),
    ("DELETE", "/profiles/bob/follow", None),
    ("PUT", "/user", {"user": {"bio": "Rows at dawn"}}),
    ("PUT", "/user", {"user": {"email": "ann@example.com"}}),
    ("DELETE", "/user/sessions", None),
    ("DELETE", "/user/sessions/1", None),
    ("DELETE", "/user", LEAVING),
]


@pytest.fixture
def writing(api):
    """Ann, about to write, and what a path names."""
    ann, bob = api.someone("ann"), api.someone("bob")
    slug, mine = bob.writes("Dawn"), ann.writes("Noon")
    return ann, {"slug": slug, "mine": mine, "comment": ann.says(slug, "It was")["id"]}


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("content", ["keep", "delete"])
def test_who_leaves_while_writing_writes_nothing(db, writing, before_the_next_write, method, path, body, content):
    ann, names = writing
    seen = []

    def leave():
        ann.leaves(content)
        seen.append(everything(db))

    before_the_next_write(leave)

    assert ann.refusal(401, method, path.format(**names), body) == {"token": "is invalid"}
    assert everything(db) == seen[0]
    assert sqlite(db, "SELECT subject FROM attempts WHERE subject LIKE '% of user 1'") == []


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_who_is_suspended_while_writing_writes_nothing(
    api, db, promote, writing, before_the_next_write, method, path, body
):
    ann, names = writing
    root = promote(api.someone("root"), "admin")
    seen = []

    def suspend():
        root.suspends("ann")
        seen.append(everything(db))

    before_the_next_write(suspend)

    assert ann.refusal(401, method, path.format(**names), body) == {"token": "is invalid"}
    assert everything(db) == seen[0]


def everything(db):
    """Every row of every table, but what was counted of attempts."""
    tables = sqlite(db, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    return {
        name: sqlite(db, f"SELECT * FROM {name}")
        for (name,) in tables
        if name not in ("attempts", "sqlite_schema") and not name.startswith("article_search")
    }


def test_who_leaves_while_commenting_leaves_no_comment(api, db):
    slug = api.someone("bob").writes("Dawn")
    for turn in range(5):
        ann = api.someone(f"ann{turn}")

        def comment(someone=ann):
            return someone.client.post_json(
                f"{someone.prefix}/articles/{slug}/comments",
                {"comment": {"body": "Well said"}},
                headers=someone.headers,
                status="*",
            )

        def leave(someone=ann):
            body = {"user": {"password": PASSWORD, "content": "delete"}}
            return someone.client.delete_json(f"{someone.prefix}/user", body, headers=someone.headers, status="*")

        statuses = at_once(*[comment] * 6, leave, *[comment] * 6)

        assert statuses.pop(6) == 204
        assert set(statuses) <= {201, 401}
        assert sqlite(db, "SELECT count(*) FROM comments") == [(0,)]
        assert sqlite(db, "PRAGMA foreign_key_check") == []


def test_a_token_that_two_use_at_once_sets_one_password(api, db):
    ann = api.someone("ann")
    for turn in range(5):
        db.write("resets/create", user_id=1, token_hash=digest(f"token {turn}"), now=now())

        def reset(password, turn=turn):
            body = {"user": {"token": f"token {turn}", "password": password}}
            return lambda: api.client.put_json(f"{api.prefix}/users/password-reset", body, status="*")

        statuses = at_once(reset("first password"), reset("second password"))

        assert sorted(statuses) == [204, 422]
        winner = ["first password", "second password"][statuses.index(204)]
        assert api.logs_in(ann.email, winner)


def test_nobody_can_slip_into_the_audit_log_what_did_not_happen(api, db, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")

    statuses = at_once(*[change(root, ann.name, {"suspended": True})] * 8)

    assert set(statuses) == {200}
    assert sqlite(db, "SELECT count(*) FROM audit WHERE action = 'user.suspend'") == [(1,)]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite(db, "DELETE FROM audit")
