"""The audit log: who did what to whom, noted with the act, and never edited."""

import itertools
import re
import sqlite3
from datetime import timedelta
from urllib.parse import urlencode

import pytest

import cli
import cli_accounts  # noqa: F401 (adds its commands)
from db.clock import ago, now
from passwords import digest
from tests.conftest import HOME, PASSWORD, sqlite

DAY = timedelta(days=1)
EMAIL = "annabel@example.org"


def log(root, **query):
    """The entries of a page, newest first."""
    return root.get(f"/admin/audit?{urlencode({'limit': 100} | query)}").json["audit"]


def actions(root, **query):
    """What was done, oldest first."""
    return [entry["action"] for entry in reversed(log(root, **query))]


def noted(root, act):
    """What the log holds of an act, oldest first: who did what to whom."""
    before = log(root)[0]["id"]
    act()
    entries = [entry for entry in reversed(log(root)) if entry["id"] > before]
    return [(name(entry["actor"]), entry["action"], name(entry["user"])) for entry in entries]


def name(somebody):
    return somebody and somebody["username"]


def prunes(db, days):
    """`audit prune` of the command line."""
    command = ["audit", "prune", "--days", str(days), "--database", str(db.path)]
    cli.commands.main(command, standalone_mode=False)


def fails_to_log_in(api, email, password="another horse", status=401):
    api.refusal(status, "POST", "/users/login", {"user": {"email": email, "password": password}})


@pytest.fixture
def root(api, promote):
    """An admin, who reads the log."""
    return promote(api.someone("root"), "admin")


@pytest.fixture
def everything_that_is_noted(api, db, root):
    """A story with every action that docs/api.md lists. It ends without Annabel, who changed her name."""
    annabel, zebedee = api.someone("annabel", email=EMAIL), api.someone("zebedee")
    api.logs_in(EMAIL)
    for email in (EMAIL, "stranger@example.org"):
        fails_to_log_in(api, email)
    root.makes("zebedee", "moderator")
    root.makes("zebedee", "admin")
    root.makes("zebedee", "member")
    root.suspends("zebedee")
    root.restores("zebedee")
    zebedee = api.logs_in(zebedee.email)
    annabel.changes(username="clementine", email="clementine@example.org", password="another horse")
    cli.commands.main(["user", "reset", "zebedee", "--database", str(db.path)], standalone_mode=False)
    for email in ("clementine@example.org", "somebody@example.org"):
        api.post("/users/password-reset", {"user": {"email": email}}, status=202)
    db.write("resets/create", user_id=2, token_hash=digest("a token"), now=now())
    api.put("/users/password-reset", {"user": {"token": "a token", "password": PASSWORD}}, status=204)
    clementine = api.logs_in("clementine@example.org")
    dawn, dusk = clementine.writes("Dawn"), zebedee.writes("Dusk")
    comment = clementine.says(dawn, "It was")["id"]
    clementine.delete(f"/articles/{dawn}/comments/{comment}", status=204)
    clementine.deletes(dawn)
    root.deletes(dusk)
    clementine.leaves()
    prunes(db, 365)


# Reading the log


def test_the_newest_entry_comes_first_and_links_lead_on(api, root):
    for number in range(22):
        api.someone(f"ann{number}")

    entries = log(root)
    pages = {limit: [page["audit"] for page in root.pages(f"/admin/audit?limit={limit}")] for limit in (9, 23, 1000)}

    assert [entry["id"] for entry in entries] == list(range(23, 0, -1))
    assert entries == sorted(entries, key=lambda entry: (entry["createdAt"], entry["id"]), reverse=True)
    assert pages == {9: [entries[:9], entries[9:18], entries[18:]], 23: [entries], 1000: [entries]}
    assert [page["audit"] for page in root.pages("/admin/audit")] == [entries[:20], entries[20:]]


def test_a_page_has_at_most_a_hundred_entries(root, db):
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 110)"
        " INSERT INTO audit (created_at, action) SELECT created_at, 'user.login_failed' FROM users, numbers",
    )

    assert [len(page["audit"]) for page in root.pages("/admin/audit?limit=1000")] == [100, 11]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("limit=0", {"limit": "must be a whole number, 1 or more"}),
        ("cursor=", {"cursor": "must come from the Link header of an earlier page"}),
        ("cursor=MQ", {"cursor": "must come from the Link header of an earlier page"}),
    ],
)
def test_what_is_no_page_of_the_log_is_refused(root, query, errors):
    assert root.refusal(422, "GET", f"/admin/audit?{query}") == errors


def test_an_entry_says_who_did_what_to_whom_when_and_in_which_request(api, db, root):
    ann = api.someone("ann")
    ann.writes("Dawn")
    slug = ann.writes("Dusk")
    root.says(slug, "Was it?")
    comment = ann.says(slug, "It was")["id"]
    began = now()

    root.delete(f"/articles/{slug}/comments/{comment}", headers={"X-Request-Id": "the-1st.request"})
    answer = root.delete(f"/articles/{slug}")

    article, comment, *_ = log(root)
    assert began <= comment["createdAt"] <= article["createdAt"] <= now()
    assert comment == {
        "id": 3,
        "createdAt": comment["createdAt"],
        "action": "comment.delete",
        "actor": {"id": 1, "username": "root"},
        "user": {"id": 2, "username": "ann"},
        "objectId": 2,
        "requestId": "the-1st.request",
    }
    assert article["requestId"] == answer.headers["X-Request-Id"]
    assert (article["action"], article["objectId"], article["user"]) == ("article.delete", 2, comment["user"])


def test_an_account_is_changed_by_its_user_or_by_somebody_else(api, root):
    ann = api.someone("ann")

    assert noted(root, lambda: ann.changes(email="a@example.org")) == [("ann", "user.change_email", "ann")]
    assert noted(root, lambda: root.makes("ann", "moderator")) == [("root", "user.make_moderator", "ann")]
    assert noted(root, lambda: api.someone("bob")) == [(None, "user.register", "bob")]


def test_who_is_not_logged_in_has_no_name_and_who_is_asked_for_may_have_none(api, root):
    ann = api.someone("ann")

    assert noted(root, lambda: fails_to_log_in(api, ann.email)) == [(None, "user.login_failed", "ann")]
    assert noted(root, lambda: fails_to_log_in(api, "nobody@example.org")) == [(None, "user.login_failed", None)]
    reset = {"user": {"email": "nobody@example.org"}}
    assert noted(root, lambda: api.post("/users/password-reset", reset)) == [(None, "user.request_reset", None)]
    assert log(root)[0]["user"] is None


def test_names_are_those_of_today(api, root):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = bob.writes("Dawn")
    ann.changes(username="Anna")
    root.deletes(slug)

    bob.leaves("keep")

    left, deleted, renamed, *_ = log(root)
    assert (renamed["action"], renamed["actor"]) == ("user.change_username", {"id": 2, "username": "Anna"})
    assert (deleted["action"], deleted["user"]) == ("article.delete", {"id": 3, "username": None})
    assert (left["action"], left["actor"], left["user"]) == ("user.delete", deleted["user"], deleted["user"])


def test_the_log_shows_what_one_user_did(api, root):
    ann, bob = api.someone("Ann Ödön", email="ann@example.org"), api.someone("bob")
    bob.deletes(bob.writes("Dawn"))
    ann.deletes(ann.writes("Noon"))
    root.suspends("bob")
    ann.deletes(ann.writes("Dusk"))

    for actor in ("Ann Ödön", "ANN ödön", "ann O\N{COMBINING DIAERESIS}DÖN"):
        assert [entry["objectId"] for entry in log(root, actor=actor)] == [3, 2]
    assert actions(root, actor="bob") == ["article.delete"]
    assert actions(root, actor="root") == ["user.suspend"]
    for nobody in ("ann", "", "2", "%", "ann@example.org", "a" * 5000):
        assert log(root, actor=nobody) == []


def test_what_one_user_did_is_paged_too(api, root):
    ann, bob = api.someone("ann"), api.someone("bob")
    for number in range(5):
        ann.changes(username=f"ann{number}")
        bob.changes(username=f"bob{number}")

    pages = [[entry["id"] for entry in page["audit"]] for page in root.pages("/admin/audit?actor=ann4&limit=2")]

    assert pages == [[12, 10], [8, 6], [4]]


# What is noted


def test_every_act_is_noted(everything_that_is_noted, root):
    page = (HOME / "docs/api.md").read_text()
    listed = re.findall(
        r"`([a-z]+\.[a-z_]+)`", re.search(r"^- The actions: (.*?)\(", page, re.MULTILINE | re.DOTALL)[1]
    )

    assert len(listed) == len(set(listed)) == 18
    assert set(actions(root)) == set(listed)


def test_a_story_is_told_in_its_order(api, root):
    ann = api.someone("ann")
    fails_to_log_in(api, ann.email)
    phone = api.logs_in(ann.email)
    phone.changes(username="anna", email="anna@example.org", password="another horse", bio="I row")
    phone.leaves(password="another horse")

    told = ["register", "login_failed", "login", "change_username", "change_email", "change_password", "delete"]
    assert actions(root)[1:] == [f"user.{each}" for each in told]
    assert len({entry["requestId"] for entry in log(root)}) == 6


def test_an_article_takes_its_comments_along_and_is_noted_alone(api, root):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Dawn")
    bob.says(slug, "It was")

    assert noted(root, lambda: ann.deletes(slug)) == [("ann", "article.delete", "ann")]


def test_what_was_kept_of_those_who_have_left_is_nobodys(api, root):
    ann = api.someone("ann")
    slug = ann.writes("Dawn")
    ann.leaves("keep")

    assert noted(root, lambda: root.deletes(slug)) == [("root", "article.delete", "deleted user")]
    assert actions(root, actor="deleted user") == []


def test_a_login_of_somebody_who_is_suspended_has_failed(api, root):
    ann = api.someone("ann")
    root.suspends("ann")

    failing = noted(root, lambda: fails_to_log_in(api, ann.email, PASSWORD, status=403))

    assert failing == [(None, "user.login_failed", "ann")]


def test_two_changes_of_one_request_are_two_entries(api, root):
    api.someone("ann")
    both = {"user": {"role": "moderator", "suspended": True}}

    assert noted(root, lambda: root.patch("/admin/users/ann", both)) == [
        ("root", "user.make_moderator", "ann"),
        ("root", "user.suspend", "ann"),
    ]
    first, second, *_ = log(root)
    assert first["requestId"] == second["requestId"]


def test_what_stays_as_it_was_is_not_noted(api, root):
    ann = api.someone("ann")
    root.makes("ann", "moderator")
    root.suspends("ann")

    for change in ({"role": "moderator"}, {"suspended": True}, {"role": "moderator", "suspended": True}):
        assert noted(root, lambda change=change: root.patch("/admin/users/ann", {"user": change})) == []
    assert noted(root, lambda: root.restores("ann")) == [("root", "user.restore", "ann")]
    assert noted(root, lambda: root.restores("ann")) == []
    ann = api.logs_in(ann.email)
    assert noted(root, lambda: ann.changes(username="ann", email=ann.email, bio="I row")) == []


def test_what_is_refused_is_not_noted(api, root, promote):
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


def test_a_guess_at_the_own_password_is_noted(api, root):
    ann = api.someone("ann")
    leaving = {"user": {"password": "another horse", "content": "keep"}}

    assert noted(root, lambda: ann.refusal(422, "DELETE", "/user", leaving)) == [("ann", "user.login_failed", "ann")]


def test_an_act_that_cannot_be_noted_is_not_done(api, db, root):
    ann = api.someone("ann")
    slug = ann.writes("Dawn")
    sqlite(db, "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more'); END")

    suspended = {"user": {"suspended": True}}
    answers = [
        api.client.delete(f"/api/v1/articles/{slug}", headers=ann.headers, expect_errors=True),
        api.client.patch_json("/api/v1/admin/users/ann", suspended, headers=root.headers, expect_errors=True),
    ]

    assert [answer.status_int for answer in answers] == [500, 500]
    assert ann.reads(slug)["title"] == "Dawn"


def test_an_act_that_fails_after_it_was_noted_is_not_noted(api, db, root):
    slug = root.writes("Dawn")
    before = log(root)
    sqlite(db, "CREATE TRIGGER stuck BEFORE DELETE ON articles BEGIN SELECT RAISE(ABORT, 'no'); END")

    answer = api.client.delete(f"/api/v1/articles/{slug}", headers=root.headers, expect_errors=True)

    assert answer.status_int == 500
    assert log(root) == before


# What is never in it


def test_the_log_holds_no_name_and_no_email(everything_that_is_noted, db):
    held = " ".join(str(value) for row in sqlite(db, "SELECT * FROM audit") for value in row).casefold()

    assert "user.change_email" in held
    for name in ("root", "annabel", "zebedee", "clementine", "stranger", "somebody", "deleted user"):
        assert name not in held
    assert "@" not in held
    assert "example" not in held


# What nobody changes


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
def test_nobody_changes_or_deletes_an_entry(api, db, root, change):
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
def test_the_horizon_is_one_and_never_moves_back(db, change):
    horizon = [(1, "2026-01-01T12:00:00.000Z")]
    sqlite(db, "UPDATE audit_horizon SET created_at = '2026-01-01T12:00:00.000Z'")

    with pytest.raises(sqlite3.IntegrityError, match="horizon"):
        sqlite(db, change)

    assert sqlite(db, "SELECT * FROM audit_horizon") == horizon


@pytest.fixture
def old_entries(db, root):
    """Entries of 400, 300, 200, and 100 days ago, beside the one of today."""
    for days in (400, 300, 200, 100):
        sqlite(db, "INSERT INTO audit (created_at, action) VALUES (?, 'user.login_failed')", ago(days * DAY))


def test_pruning_deletes_what_is_older_and_says_that_it_did(old_entries, db, root, capsys):
    prunes(db, 250)

    newest, *others = log(root)
    assert "2 entries" in capsys.readouterr().out
    assert newest | {"createdAt": ""} == {
        "id": 6,
        "createdAt": "",
        "action": "audit.prune",
        "actor": None,
        "user": None,
        "objectId": None,
        "requestId": None,
    }
    assert [entry["id"] for entry in others] == [5, 4, 1]


def test_pruning_again_with_more_days_moves_no_horizon_back(old_entries, db, root):
    prunes(db, 150)
    horizon = sqlite(db, "SELECT * FROM audit_horizon")

    prunes(db, 365)

    assert sqlite(db, "SELECT * FROM audit_horizon") == horizon
    assert [entry["id"] for entry in log(root)] == [7, 6, 5, 1]


def test_beyond_the_horizon_anything_may_go_and_nothing_before_it(old_entries, db, root):
    prunes(db, 350)
    sqlite(db, "INSERT INTO audit (created_at, action) VALUES (?, 'user.login_failed')", ago(500 * DAY))

    sqlite(db, "DELETE FROM audit WHERE created_at < ?", ago(450 * DAY))

    for days, (id,) in itertools.product((300, 50), sqlite(db, "SELECT id FROM audit")):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            sqlite(db, "DELETE FROM audit WHERE id = ? OR created_at < ?", id, ago(days * DAY))
    assert [entry["id"] for entry in log(root)] == [6, 5, 4, 3, 1]


def test_more_than_goes_at_once_is_pruned_and_counted_all_the_same(db, root, capsys):
    old = ago(400 * DAY)
    sqlite(
        db,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10001)"
        " INSERT INTO audit (created_at, action) SELECT ?, 'user.login_failed' FROM numbers",
        old,
    )

    prunes(db, 365)

    assert sqlite(db, "SELECT count(*) FROM audit WHERE created_at <= ?", old) == [(0,)]
    assert capsys.readouterr().out == "10001 entries of more than 365 days ago are gone\n"


def test_the_id_of_what_was_pruned_is_never_given_again(db, root):
    sqlite(db, "INSERT INTO audit (id, created_at, action) VALUES (99, ?, 'user.login_failed')", ago(400 * DAY))

    prunes(db, 365)

    assert [entry["id"] for entry in log(root)] == [100, 1]
