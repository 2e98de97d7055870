"""The audit log: written in the transaction of each action, never edited."""

import re
import sqlite3
from datetime import timedelta
from urllib.parse import urlencode

import pytest

import mail
from config import Config
from passwords import digest
from tests.conftest import HOME, PASSWORD, remove_the_rest, sqlite

DAY = timedelta(days=1)
EMAIL = "annabel@example.org"


def log(root, **query):
    """A page of entries, newest first."""
    return root.get(f"/admin/audit?{urlencode({'limit': 100} | query)}").json["audit"]


def actions(root, **query):
    """The actions, oldest first."""
    return [entry["action"] for entry in reversed(log(root, **query))]


def noted(root, act):
    """The entries of an action, oldest first: actor, action, and user."""
    before = log(root)[0]["id"]
    act()
    entries = [entry for entry in reversed(log(root)) if entry["id"] > before]
    return [(name(entry["actor"]), entry["action"], name(entry["user"])) for entry in entries]


def name(user):
    return user and user["username"]


@pytest.fixture
def prunes(commands, db):
    """Run `audit prune`; its output."""
    return lambda days: commands.says("audit", "prune", "--days", str(days), "--database", str(db.path))


def fails_to_log_in(api, email, password="another horse", status=401):
    api.refusal(status, "POST", "/users/login", {"user": {"email": email, "password": password}})


@pytest.fixture
def root(api, promote):
    """An admin."""
    return promote(api.someone("root"), "admin")


@pytest.fixture
def every_action(api, db, root, commands, prunes):
    """A story with every action that docs/api.md lists. Annabel changes her name and leaves."""
    annabel, zebedee = api.someone("annabel", email=EMAIL), api.someone("zebedee")
    api.logs_in(EMAIL)
    for email in (EMAIL, "stranger@example.org"):
        fails_to_log_in(api, email)
    for role in ("moderator", "admin", "member"):
        root.makes("zebedee", role)
    root.suspends("zebedee")
    root.restores("zebedee")
    zebedee = api.logs_in(zebedee.email)
    annabel.changes(username="clementine", email="clementine@example.org", password="another horse")
    commands.says("user", "reset", "zebedee", "--database", str(db.path))
    for email in ("clementine@example.org", "somebody@example.org"):
        api.post("/users/password-reset", {"user": {"email": email}}, status=202)
    db.write("outbox/add", email_key="clementine@example.org", now=db.clock.ago(timedelta(days=2)))
    mail.send_next(Config(smtp_url="smtp://127.0.0.1"), db)  # given up
    db.write("resets/create", user_id=2, token_hash=digest("a token"), now=db.clock.now())
    api.put("/users/password-reset", {"user": {"token": "a token", "password": PASSWORD}}, status=204)
    clementine = api.logs_in("clementine@example.org")
    dawn, dusk = clementine.writes("Dawn"), zebedee.writes("Dusk")
    comment = clementine.says(dawn, "It was")["id"]
    clementine.delete(f"/articles/{dawn}/comments/{comment}", status=204)
    clementine.deletes(dawn)
    root.deletes(dusk)
    clementine.leaves()
    prunes(365)


# Reading the log


def test_entries_are_paged_newest_first_and_at_most_a_hundred_to_a_page(root, db):
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 110)"
        " INSERT INTO audit (created_at, action)"
        " SELECT printf('2026-02-01T12:00:00.%03dZ', n), 'user.login_failed' FROM numbers",
    )

    entries = log(root)
    pages = {limit: [page["audit"] for page in root.pages(f"/admin/audit?limit={limit}")] for limit in (37, 1000)}

    assert [entry["id"] for entry in entries] == list(range(111, 11, -1))
    assert entries == sorted(entries, key=lambda entry: entry["createdAt"], reverse=True)
    oldest = pages[1000][1]
    assert [entry["id"] for entry in oldest] == list(range(11, 0, -1))
    assert pages == {37: [entries[:37], entries[37:74], entries[74:] + oldest], 1000: [entries, oldest]}
    assert [len(page["audit"]) for page in root.pages("/admin/audit")] == [20] * 5 + [11]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("limit=0", {"limit": "must be a whole number, 1 or more"}),
        ("cursor=MQ", {"cursor": "must come from the Link header of an earlier page"}),
    ],
)
def test_invalid_paging_is_refused(root, query, errors):
    assert root.refusal(422, "GET", f"/admin/audit?{query}") == errors


def test_an_entry_shows_time_action_actor_user_object_and_request(api, clock, root):
    ann = api.someone("ann")
    ann.writes("Dawn")
    slug = ann.writes("Dusk")
    root.says(slug, "Was it?")
    comment = ann.says(slug, "It was")["id"]
    clock.advance(minutes=1)

    root.delete(f"/articles/{slug}/comments/{comment}", headers={"X-Request-Id": "the-1st.request"})
    response = root.delete(f"/articles/{slug}")

    article, comment, *_ = log(root)
    assert comment == {
        "id": 3,
        "createdAt": "2026-01-31T12:01:00.000Z",
        "action": "comment.delete",
        "actor": {"id": 1, "username": "root"},
        "user": {"id": 2, "username": "ann"},
        "objectId": 2,
        "requestId": "the-1st.request",
    }
    assert article == comment | {
        "id": 4,
        "action": "article.delete",
        "requestId": response.headers["X-Request-Id"],
    }


def test_an_entry_names_the_actor_and_the_user_as_far_as_they_are_known(api, root):
    ann = api.someone("ann")
    suspended = api.someone("cid")
    root.suspends("cid")
    reset = {"user": {"email": "unknown@example.org"}}
    leaving = {"user": {"password": "another horse", "content": "keep"}}

    for act, entry in (
        (lambda: ann.changes(email="a@example.org"), ("ann", "user.change_email", "ann")),
        (lambda: root.makes("ann", "moderator"), ("root", "user.make_moderator", "ann")),
        (lambda: api.someone("bob"), (None, "user.register", "bob")),
        (lambda: fails_to_log_in(api, "a@example.org"), (None, "user.login_failed", "ann")),
        (lambda: fails_to_log_in(api, "unknown@example.org"), (None, "user.login_failed", None)),
        (lambda: fails_to_log_in(api, suspended.email, PASSWORD, 403), (None, "user.login_failed", "cid")),
        (lambda: api.post("/users/password-reset", reset), (None, "user.request_reset", None)),
        (lambda: ann.refusal(422, "DELETE", "/user", leaving), ("ann", "user.login_failed", "ann")),
    ):
        assert noted(root, act) == [entry]


def test_entries_show_current_usernames(api, root):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = bob.writes("Dawn")
    ann.changes(username="Anna")
    root.deletes(slug)

    bob.leaves("keep")

    left, deleted, renamed, *_ = log(root)
    assert (renamed["action"], renamed["actor"]) == ("user.change_username", {"id": 2, "username": "Anna"})
    assert (deleted["action"], deleted["user"]) == ("article.delete", {"id": 3, "username": None})
    assert (left["action"], left["actor"], left["user"]) == ("user.delete", deleted["user"], deleted["user"])


def test_entries_are_filtered_by_actor(api, root):
    ann, bob = api.someone("Ann Ödön", email="ann@example.org"), api.someone("bob")
    for number, someone in enumerate((bob, ann, ann, bob, ann, ann, ann), start=1):
        someone.deletes(someone.writes(f"Article {number}"))
    root.suspends("bob")

    for actor in ("Ann Ödön", "ANN ödön", "ann O\N{COMBINING DIAERESIS}DÖN"):
        pages = root.pages(f"/admin/audit?{urlencode({'actor': actor, 'limit': 2})}")
        assert [[entry["objectId"] for entry in page["audit"]] for page in pages] == [[7, 6], [5, 3], [2]]
    assert actions(root, actor="bob") == ["article.delete"] * 2
    assert actions(root, actor="root") == ["user.suspend"]
    for unknown in ("ann", "2", "%", "ann@example.org", "a" * 5000):
        assert log(root, actor=unknown) == []


# What is logged


def test_every_documented_action_is_noted_without_names_and_emails(every_action, db, root):
    page = (HOME / "docs/api.md").read_text()
    sentence = re.search(r"^- The actions: (.*?)\n- ", page, re.MULTILINE | re.DOTALL)[1]
    listed = re.findall(r"`([a-z]+\.[a-z_]+)`", sentence)
    stored = " ".join(str(value) for row in sqlite(db, "SELECT * FROM audit") for value in row).casefold()

    assert len(listed) == len(set(listed)) == 19
    assert set(actions(root)) == set(listed)
    for text in ("root", "annabel", "zebedee", "clementine", "stranger", "somebody", "deleted user", "@", "example"):
        assert text not in stored


def test_entries_are_in_the_order_of_the_actions(api, root):
    ann = api.someone("ann")
    fails_to_log_in(api, ann.email)
    phone = api.logs_in(ann.email)
    phone.changes(username="anna", email="anna@example.org", password="another horse", bio="I row")
    phone.leaves(password="another horse")

    expected = ["register", "login_failed", "login", "change_username", "change_email", "change_password", "delete"]
    assert actions(root)[1:] == [f"user.{each}" for each in expected]
    assert len({entry["requestId"] for entry in log(root)}) == 6


def test_deleting_an_article_is_one_entry_without_its_comments(api, db, root):
    ann, bob = api.someone("ann"), api.someone("bob")
    dawn, dusk = ann.writes("Dawn"), bob.writes("Dusk")
    bob.says(dawn, "It was")
    bob.leaves("keep")
    remove_the_rest(db)

    assert noted(root, lambda: ann.deletes(dawn)) == [("ann", "article.delete", "ann")]
    assert noted(root, lambda: root.deletes(dusk)) == [("root", "article.delete", "deleted user")]
    assert actions(root, actor="deleted user") == []


def test_two_changes_of_one_request_are_two_entries(api, root):
    api.someone("ann")
    both = {"user": {"role": "moderator", "suspended": True}}

    assert noted(root, lambda: root.patch("/admin/users/ann", both)) == [
        ("root", "user.make_moderator", "ann"),
        ("root", "user.suspend", "ann"),
    ]
    first, second, *_ = log(root)
    assert first["requestId"] == second["requestId"]


def test_a_change_to_the_present_value_is_not_noted(api, root):
    ann = api.someone("ann")
    root.makes("ann", "moderator")
    root.suspends("ann")

    for change in ({"role": "moderator"}, {"suspended": True}, {"role": "moderator", "suspended": True}):
        assert noted(root, lambda change=change: root.patch("/admin/users/ann", {"user": change})) == []
    assert noted(root, lambda: root.restores("ann")) == [("root", "user.restore", "ann")]
    assert noted(root, lambda: root.restores("ann")) == []
    ann = api.logs_in(ann.email)
    assert noted(root, lambda: ann.changes(username="ann", email=ann.email, bio="I row")) == []


def test_refused_actions_are_not_noted(api, root, promote):
    ann, bob, mod = api.someone("ann"), api.someone("bob"), promote(api.someone("mod"), "moderator")
    slug = ann.writes("Dawn")
    comment = ann.says(slug, "It was")["id"]
    account = {"username": "bob", "email": "eve@example.org", "password": PASSWORD}
    before = log(root)

    for someone, method, path, body, status in (
        (bob, "DELETE", f"/articles/{slug}", None, 403),
        (bob, "DELETE", f"/articles/{slug}/comments/{comment}", None, 403),
        (api, "DELETE", f"/articles/{slug}", None, 401),
        (mod, "DELETE", "/articles/noon", None, 404),
        (mod, "DELETE", f"/articles/{slug}/comments/99", None, 404),
        (bob, "PATCH", "/admin/users/ann", {"user": {"suspended": True}}, 403),
        (mod, "PATCH", "/admin/users/ann", {"user": {"role": "moderator", "suspended": True}}, 403),
        (mod, "PATCH", "/admin/users/root", {"user": {"suspended": True}}, 403),
        (root, "PATCH", "/admin/users/eve", {"user": {"suspended": True}}, 404),
        (root, "PATCH", "/admin/users/root", {"user": {"role": "member"}}, 409),
        (root, "PATCH", "/admin/users/ann", {"user": {"role": "admin", "suspended": 1}}, 422),
        (root, "DELETE", "/user", {"user": {"password": PASSWORD, "content": "keep"}}, 409),
        (ann, "PUT", "/user", {"user": {"username": "bob", "password": "another horse"}}, 409),
        (api, "POST", "/users", {"user": account}, 409),
        (api, "PUT", "/users/password-reset", {"user": {"token": "a token", "password": PASSWORD}}, 422),
    ):
        someone.refusal(status, method, path, body)

    assert log(root) == before


def test_an_action_that_cannot_be_noted_is_rolled_back(api, db, root):
    ann = api.someone("ann")
    slug = ann.writes("Dawn")
    sqlite(db, "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more'); END")

    suspended = {"user": {"suspended": True}}
    responses = [
        api.client.delete(f"/api/v1/articles/{slug}", headers=ann.headers, expect_errors=True),
        api.client.patch_json("/api/v1/admin/users/ann", suspended, headers=root.headers, expect_errors=True),
    ]

    assert [response.status_int for response in responses] == [500, 500]
    assert ann.reads(slug)["title"] == "Dawn"


def test_a_failed_action_is_not_noted(api, db, root):
    slug = root.writes("Dawn")
    before = log(root)
    sqlite(db, "CREATE TRIGGER stuck BEFORE DELETE ON articles BEGIN SELECT RAISE(ABORT, 'no'); END")

    response = api.client.delete(f"/api/v1/articles/{slug}", headers=root.headers, expect_errors=True)

    assert response.status_int == 500
    assert log(root) == before


# Append-only


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET action = 'user.login' WHERE id = 1",
        "UPDATE OR REPLACE audit SET id = 2 WHERE id = 1",
        "UPDATE audit SET request_id = NULL",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 2",
        "REPLACE INTO audit (id, created_at, action) VALUES (1, '2026-01-31T12:00:00.000Z', 'user.login')",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit",
        "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT DO UPDATE SET actor_id = 3",
    ],
)
def test_entries_cannot_be_changed_or_deleted(api, db, root, change):
    api.someone("ann")
    before = sqlite(db, "SELECT * FROM audit")

    with pytest.raises(sqlite3.IntegrityError, match="the audit log is append-only"):
        sqlite(db, change)

    assert len(before) == 2
    assert sqlite(db, "SELECT * FROM audit") == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_horizon SET created_at = '2025-12-31T12:00:00.000Z'",
        "UPDATE audit_horizon SET id = 2",
        "DELETE FROM audit_horizon",
        "REPLACE INTO audit_horizon VALUES (1, '2025-12-31T12:00:00.000Z')",
        "INSERT INTO audit_horizon VALUES (2, '2025-12-31T12:00:00.000Z')",
    ],
)
def test_the_horizon_is_one_row_and_never_moves_back(db, change):
    horizon = [(1, "2026-01-01T12:00:00.000Z")]
    sqlite(db, "UPDATE audit_horizon SET created_at = '2026-01-01T12:00:00.000Z'")

    with pytest.raises(sqlite3.IntegrityError, match="horizon"):
        sqlite(db, change)

    assert sqlite(db, "SELECT * FROM audit_horizon") == horizon


@pytest.fixture
def old_entries(db, root):
    """Entries of 400, 300, 200, and 100 days ago, besides the one of today."""
    for days in (400, 300, 200, 100):
        sqlite(db, "INSERT INTO audit (created_at, action) VALUES (?, 'user.login_failed')", db.clock.ago(days * DAY))


def test_pruning_deletes_older_entries_and_is_noted(old_entries, root, prunes):
    printed = prunes(250)

    newest, *others = log(root)
    assert printed == ["2 entries of more than 250 days ago are gone"]
    assert newest == {
        "id": 6,
        "createdAt": "2026-01-31T12:00:00.000Z",
        "action": "audit.prune",
        "actor": None,
        "user": None,
        "objectId": None,
        "requestId": None,
    }
    assert [entry["id"] for entry in others] == [5, 4, 1]


def test_pruning_again_with_more_days_does_not_move_the_horizon_back(old_entries, db, root, prunes):
    prunes(150)
    horizon = sqlite(db, "SELECT * FROM audit_horizon")

    prunes(365)

    assert sqlite(db, "SELECT * FROM audit_horizon") == horizon
    assert [entry["id"] for entry in log(root)] == [7, 6, 5, 1]


def test_only_entries_before_the_horizon_can_be_deleted(old_entries, db, root, prunes):
    prunes(350)
    sqlite(db, "INSERT INTO audit (created_at, action) VALUES (?, 'user.login_failed')", db.clock.ago(500 * DAY))

    sqlite(db, "DELETE FROM audit WHERE created_at < ?", db.clock.ago(450 * DAY))

    for (id,) in sqlite(db, "SELECT id FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            sqlite(db, "DELETE FROM audit WHERE id = ?", id)
    assert [entry["id"] for entry in log(root)] == [6, 5, 4, 3, 1]


def test_pruning_counts_all_batches_and_never_reuses_an_id(db, root, prunes):
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10001)"
        " INSERT INTO audit (created_at, action) SELECT ?, 'user.login_failed' FROM numbers",
        db.clock.ago(400 * DAY),
    )

    printed = prunes(365)

    assert printed == ["10001 entries of more than 365 days ago are gone"]
    assert [entry["id"] for entry in log(root)] == [10003, 1]
