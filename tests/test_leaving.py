"""Leaving: an export that holds everything, and an account of which nothing personal stays."""

import itertools
import json
import shutil
from collections import defaultdict
from contextlib import closing
from datetime import timedelta
from inspect import isfunction
from urllib.parse import quote, urlencode

import pytest
from webtest import TestApp

import app
import throttle
from config import Config
from db import Database
from db.clock import ago
from db.connection import connect
from db.migrations import migrate, rollback
from handlers.fields import fold
from passwords import digest
from tests.conftest import HOME, PASSWORD, Api, Someone, sqlite
from tests.test_counters import counted_something, miscounted

# Addresses that stand for no machine (RFC 5737).
HOUSE, CAFE = "192.0.2.77", "203.0.113.88"


# The export. What a user has is found in the schema, so that a table or a column that is new is filled as well, and
# missed here until it is exported, or stands below with a reason.

# What an export does not show of rows that belong to its user.
LEFT_OUT = {
    "users.username_key": "the username, folded",
    "users.email_key": "the email, folded",
    "users.password_hash": "a secret",
    "users.suspended_at": "whoever is suspended cannot ask",
    "sessions.token_hash": "a secret",
    "password_resets.token_hash": "a secret",
    "articles.id": "an article is known by its slug",
    "slugs.article_id": "they stand with their article",
    "article_tags.article_id": "they stand with their article",
    "article_tags.position": "they stand in this order",
    "article_tags.tag_id": "a tag is known by its name",
    "tags.id": "a tag is known by its name",
    "tags.articles_count": "counts everybody's articles",
    "comments.article_id": "the article's slug stands there",
    "favorites.article_id": "the article's slug stands there",
    "follows.followed_id": "their username stands there",
    "follows.follower_id": "who they are is theirs to tell",
}

# Tables that hold nothing of anybody who has an account.
NOBODYS = {
    "totals": "everybody's articles, counted",
    "reserved_usernames": "hashes of the names of those who have left",
    "audit_horizon": "what is older may be pruned",
    "schema_migrations": "the scripts that were applied",
}

# Columns that name a user without a foreign key.
NAMING_A_USER = {"user_id", "actor_id"}


def tables(connection):
    """All tables but SQLite's own, and those of the full-text index, which holds the words of articles once more."""
    found = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def columns(connection, table):
    """The types of a table's columns, by name."""
    return {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info ({table})")}


def keys(connection, table):
    """To which table each foreign key of a table leads, by column."""
    return {column: parent for _, _, parent, column, *_ in connection.execute(f"PRAGMA foreign_key_list ({table})")}


def in_order(connection):
    """All tables, users first, each behind those to which it refers."""
    ordered = ["users"]
    while waiting := [table for table in tables(connection) if table not in ordered]:
        ordered += [table for table in waiting if {*keys(connection, table).values()} <= {*ordered, table}]
    return ordered


def value(whose, table, column, kind, number):
    """What is written into a column: no two are equal, and none is another user's."""
    match f"{table}.{column}":
        case "users.role":
            return {"ann": "moderator", "bob": "admin"}[whose]
        case "users.suspended_at":
            return None
        case "article_tags.position":
            return number % 50
        case "sessions.last_used_at":  # not so long ago, nor in the future, that using it would change it
            return ago(timedelta(milliseconds=number))
    if column == "token_hash":
        return digest(f"{whose}.{table}")
    if column.endswith("_at"):
        return f"2099-01-31T12:00:{number // 1000}.{number % 1000:03}Z"
    return {"INTEGER": number, "REAL": number + 0.5}.get(kind, f"{whose}.{table}.{column}.{number}")


def fill(connection, whose, first_number, somebody):
    """Give a new user a row in each table that refers to users, for each column that does, and in those that hang
    on these. `somebody` is the id of another one. Returns the values that were written, by `table.column`."""
    numbers = itertools.count(first_number)
    parents = {parent for table in tables(connection) for parent in keys(connection, table).values()}
    own, written = {}, defaultdict(list)

    def insert(table, given):
        theirs = {column: own.get(parent) for column, parent in keys(connection, table).items()}
        row = {
            column: given.get(column) or theirs.get(column) or value(whose, table, column, kind, next(numbers))
            for column, kind in columns(connection, table).items()
        }
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", [*row.values()])
        own[table] = row.get("id")
        for column, each in row.items():
            written[f"{table}.{column}"].append(each)

    for table in in_order(connection):
        links = keys(connection, table)
        to_users = {column for column, parent in links.items() if parent == "users"}
        naming = to_users | (NAMING_A_USER & columns(connection, table).keys())
        for column in sorted(naming):
            insert(table, dict.fromkeys(to_users, somebody) | {column: own["users"]})
        if not naming and (links or table in parents):
            insert(table, {})
    for subject in subjects(own["users"], written["users.email_key"][0]):
        insert("attempts", {"subject": subject})
    return written


# What throttle.py counts of a user, by the names of its functions, and what else there is in it.
COUNTED = {
    "login": lambda me, email_key: [throttle.login(email_key, HOUSE, True), throttle.login(email_key, None, False)],
    "registration": lambda me, email_key: [throttle.registration(email_key, None)],
    "reset_request": lambda me, email_key: [throttle.reset_request(email_key, None)],
    "own_password": lambda me, email_key: [throttle.own_password(me)],
    "account_changes": lambda me, email_key: [throttle.account_changes(me)],
    "posts": lambda me, email_key: [throttle.posts(what, me, Config()) for what in ("articles", "comments")],
}
COUNTS_NO_USER = {"now_ms", "client_address", "guesses_of", "subjects_of", "reset"}


def subjects(me, email_key):
    """Under which subjects the attempts of a user are counted."""
    counted = [each for made in COUNTED.values() for each in made(me, email_key)]
    return [limit["subject"] for each in counted for limit in json.loads(each["limits"])]


@pytest.fixture
def belongings(api, db):
    """Makes users who have something in every table, each as a client, with what was written of theirs."""
    api.someone("cem")
    [(somebody,)] = sqlite(db, "SELECT id FROM users")
    with closing(connect(db.path)) as connection:
        # Counters stay as they are written.
        for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")

    def of(whose, first_number):
        with closing(connect(db.path)) as connection:
            written = fill(connection, whose, first_number, somebody)
        user = {
            "username": written["users.username"][0],
            "email": written["users.email"][0],
            "token": f"{whose}.sessions",
        }
        return Someone(api.client, user, api.headers), written

    return of


def exported(someone):
    return someone.get("/user/export").json


def told(export):
    """Every value in a document."""
    if isinstance(export, dict | list):
        return {each for part in (export.values() if isinstance(export, dict) else export) for each in told(part)}
    return {export} - {None}


def missing(written, export):
    """The columns of which an export does not hold every value."""
    return {column for column, values in written.items() if not {*values} <= told(export)}


def test_an_export_holds_every_value_of_every_table_that_refers_to_its_user(db, belongings):
    ann, written = belongings("ann", 10_001)

    export = exported(ann)

    filled = {column.partition(".")[0] for column in written}
    assert {"users", "sessions", "follows", "articles", "attempts", "audit", "outbox"} <= filled
    with closing(connect(db.path)) as connection:
        assert filled | NOBODYS.keys() == {*tables(connection)}
        assert written.keys() == {f"{table}.{column}" for table in filled for column in columns(connection, table)}
    assert missing(written, export) == LEFT_OUT.keys()


def test_whatever_is_counted_of_a_user_is_among_what_is_exported():
    public = {name for name, made in vars(throttle).items() if isfunction(made) and made.__module__ == "throttle"}

    assert {name for name in public if not name.startswith("_")} == COUNTED.keys() | COUNTS_NO_USER


def test_what_the_schema_gets_and_an_export_does_not_hold_is_missed(db, belongings):
    sqlite(db, "CREATE TABLE reminders (reader INTEGER NOT NULL REFERENCES users (id), note TEXT NOT NULL)")
    sqlite(db, "CREATE TABLE notices (id INTEGER PRIMARY KEY, user_id INTEGER, text TEXT)")
    sqlite(db, "CREATE TABLE pictures (article_id INTEGER REFERENCES articles (id), file TEXT)")
    sqlite(db, "ALTER TABLE users ADD COLUMN phone TEXT")
    ann, written = belongings("ann", 10_001)

    missed = missing(written, exported(ann)) - LEFT_OUT.keys()

    assert missed == {
        *("reminders.note", "notices.id", "notices.text", "pictures.article_id", "pictures.file", "users.phone")
    }


def test_an_export_has_the_tags_of_an_article_in_their_order(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", "river", "dawn", "mist")

    assert [article["tagList"] for article in exported(ann)["articles"]] == [["river", "dawn", "mist"]]


def test_an_export_holds_no_secret_and_nothing_of_others(belongings):
    (ann, anns), (bob, bobs) = belongings("ann", 10_001), belongings("bob", 20_001)
    slug = anns["slugs.slug"][0]
    bob.says(slug, "bob was here")
    bob.likes(slug)
    bob.follows(anns["users.username_key"][0])

    export = exported(ann)

    assert len(export["followers"]) == 2
    assert not told(export) & {value for values in bobs.values() for value in values}
    assert "bob" not in json.dumps(export)
    secrets = [anns[column][0] for column, reason in LEFT_OUT.items() if reason == "a secret"]
    assert len(secrets) == 3
    assert not told(export) & {*secrets, ann.token, bob.token}


def test_an_export_is_told_to_nobody_else_and_stored_nowhere(api, promote):
    ann, bob = api.someone("ann"), api.someone("bob")
    root = promote(api.someone("root"), "admin")

    assert ann.get("/user/export").headers["Cache-Control"] == "no-store"
    root.suspends("ann")
    bob.leaves()

    for gone in (ann, bob):
        assert gone.refusal(401, "GET", "/user/export") == {"token": "is invalid"}


def test_who_has_done_nothing_yet_exports_an_account_and_how_it_was_opened(api):
    ann = api.someone("ann")

    export = exported(ann)

    assert export["user"] | {"createdAt": "", "updatedAt": ""} == {
        "id": 1,
        "username": "ann",
        "email": "ann@example.org",
        "role": "member",
        "suspendedAt": None,
        "bio": None,
        "image": None,
        "articlesCount": 0,
        "favoritesCount": 0,
        "createdAt": "",
        "updatedAt": "",
    }
    assert [entry["action"] for entry in export["audit"]] == ["user.register"]
    assert len(export["sessions"]) == 1
    assert [subject["subject"].partition(" of ")[0] for subject in export["attempts"]] == ["registration"]
    empty = {
        "articles",
        "comments",
        "favorites",
        "following",
        "followers",
        "loginAddresses",
        "passwordResets",
        "outbox",
    }
    assert {name for name, held in export.items() if held == []} == empty


# Leaving


def test_who_leaves_is_gone_at_once(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    elsewhere = api.logs_in(ann.email)
    slug = bob.writes("Rowing at dawn")
    ann.likes(slug)
    ann.follows("bob")
    bob.follows("ann")

    ann.leaves()

    for client in (ann, elsewhere):
        assert client.refusal(401, "GET", "/user") == {"token": "is invalid"}
    credentials = {"user": {"email": ann.email, "password": PASSWORD}}
    assert api.refusal(401, "POST", "/users/login", credentials) == {"credentials": "invalid"}
    assert api.refusal(404, "GET", "/profiles/ann") == {"profile": "not found"}
    assert bob.reads(slug)["favoritesCount"] == 0
    assert exported(bob)["followers"] == []
    assert sqlite(db, "SELECT username FROM users") == [("bob",)]
    assert bob.me()["username"] == "bob"


def test_what_was_counted_of_who_leaves_and_of_nobody_else_is_exported_and_forgotten_at_once(asks, db):
    def counted():
        return {subject for (subject,) in sqlite(db, "SELECT subject FROM attempts")}

    asks(HOUSE).someone("bob")
    sqlite(db, "INSERT INTO attempts VALUES ('articles of user 20', 1, 4000000000000, 0)")
    before = counted()
    ann = asks(HOUSE).someone("ann")
    for client in (asks(HOUSE), asks(CAFE)):
        client.refusal(401, "POST", "/users/login", {"user": {"email": ann.email, "password": "wrong horse"}})
    ann.changes(email="ann@example.org")
    ann.says(ann.writes("Dawn"), "It was")
    of_ann = counted() - before - {f"login from {CAFE}"}

    export = exported(ann)
    ann.leaves()

    assert len(of_ann) == 6
    assert {each["subject"] for each in export["attempts"]} == of_ann
    assert counted() == before | {f"login from {CAFE}"}


@pytest.mark.parametrize("content", ["delete", "keep"])
def test_leaving_takes_the_right_password(api, content):
    ann = api.someone("ann")
    before = ann.me()

    for wrong in ("wrong horse", PASSWORD.upper(), f"{PASSWORD} "):
        refusal = ann.refusal(422, "DELETE", "/user", {"user": {"password": wrong, "content": content}})
        assert refusal == {"password": "is wrong"}

    assert ann.me() == before
    ann.leaves(content)


@pytest.mark.parametrize(
    ("user", "refusal"),
    [
        ({"content": "delete"}, {"password": "can't be blank"}),
        ({"password": None, "content": "delete"}, {"password": "can't be blank"}),
        ({"password": "", "content": "Keep"}, {"password": "can't be blank", "content": "must be 'delete' or 'keep'"}),
        ({"password": 7, "content": "keep"}, {"password": "must be a string"}),
        ({"password": PASSWORD}, {"content": "can't be blank"}),
        ({"password": PASSWORD, "content": None}, {"content": "can't be blank"}),
        ({"password": PASSWORD, "content": ""}, {"content": "must be 'delete' or 'keep'"}),
        ({"password": PASSWORD, "content": "Keep"}, {"content": "must be 'delete' or 'keep'"}),
        ({"password": PASSWORD, "content": True}, {"content": "must be 'delete' or 'keep'"}),
        ({}, {"password": "can't be blank", "content": "can't be blank"}),
    ],
)
def test_leaving_says_what_is_to_become_of_the_content(api, user, refusal):
    ann = api.someone("ann")
    ann.writes("Dawn")

    assert ann.refusal(422, "DELETE", "/user", {"user": user}) == refusal
    assert ann.me()["username"] == "ann"
    assert api.titles() == ["Dawn"]


def test_whoever_has_a_token_cannot_guess_the_password_by_leaving(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    wrong = {"user": {"password": "wrong horse", "content": "delete"}}

    for _ in range(10):
        assert ann.refusal(422, "DELETE", "/user", wrong) == {"password": "is wrong"}

    right = {"user": {"password": PASSWORD, "content": "delete"}}
    assert ann.refusal(429, "DELETE", "/user", right) == {"login": "too many; try again in 1 s"}
    assert ann.me()["username"] == "ann"
    bob.leaves()


@pytest.mark.parametrize(
    ("changes", "status", "refusal"),
    [
        ({"username": "anna"}, 409, {"user": "has changed; try again"}),
        ({"email": "anna@example.org"}, 409, {"user": "has changed; try again"}),
        ({"password": "battery staple"}, 401, {"token": "is invalid"}),
    ],
)
def test_whoever_changes_the_account_in_the_meantime_is_not_deleted_with_it(api, argon2, changes, status, refusal):
    ann = api.someone("ann")
    elsewhere = api.logs_in(ann.email)
    slug = ann.writes("Dawn")
    argon2.meanwhile(lambda: elsewhere.changes(**changes), during="verify")

    leaving = {"user": {"password": PASSWORD, "content": "delete"}}
    assert ann.refusal(status, "DELETE", "/user", leaving) == refusal

    assert elsewhere.me()["username"] == changes.get("username", "ann")
    assert api.reads(slug)["author"]["username"] == elsewhere.me()["username"]
    password = changes.get("password", PASSWORD)
    api.logs_in(changes.get("email", ann.email), password).leaves(password=password)


def test_a_password_that_this_very_token_has_changed_in_the_meantime_is_not_the_right_one(api, argon2):
    ann = api.someone("ann")
    argon2.meanwhile(lambda: ann.changes(password="battery staple"), during="verify")

    leaving = {"user": {"password": PASSWORD, "content": "delete"}}
    assert ann.refusal(409, "DELETE", "/user", leaving) == {"user": "has changed; try again"}

    assert ann.me()["username"] == "ann"


# What stays


def everyone_writes(api):
    """Ann and bob with an article and a comment each, and what they do to each other."""
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.changes(bio="Rows at dawn", image="ann.png")
    anns, bobs = ann.writes("Dawn", "river", "mist"), bob.writes("Dusk", "river")
    for someone in (ann, bob):
        for slug in (anns, bobs):
            someone.says(slug, f"{someone.name} on {slug[:4]}")
            someone.likes(slug)
    bob.follows("ann")
    ann.follows("bob")
    return ann, bob, anns, bobs


def test_what_is_not_kept_goes_too(api, db):
    ann, bob, anns, bobs = everyone_writes(api)

    ann.leaves("delete")

    assert bob.refusal(404, "GET", f"/articles/{anns}") == {"article": "not found"}
    assert api.titles() == ["Dusk"]
    assert [comment["body"] for comment in api.comments_of(bobs)] == ["bob on dusk"]
    assert sqlite(db, "SELECT body FROM comments") == [("bob on dusk",)]
    assert (api.reads(bobs)["favoritesCount"], api.lists(favorited="bob")["articlesCount"]) == (1, 1)
    assert (api.tags(), api.titles(q="dawn")) == (["river"], [])
    assert api.refusal(404, "GET", "/profiles/deleted%20user") == {"profile": "not found"}
    assert not miscounted(db)


def test_what_is_kept_shows_the_author_deleted_user(api, db):
    ann, bob, anns, bobs = everyone_writes(api)
    before = api.reads(anns)
    nobody = {"username": "deleted user", "bio": None, "image": None, "following": False}

    ann.leaves("keep")

    for reader in (api, bob):
        assert reader.reads(anns) == before | {
            "author": nobody,
            "favoritesCount": 1,
            "favorited": reader is bob,
        }
        assert [article["author"] for article in reader.lists()["articles"]] == [
            reader.profile("bob"),
            nobody,
        ]
        assert [(comment["body"], comment["author"]["username"]) for comment in reader.comments_of(bobs)] == [
            ("bob on dusk", "bob"),
            ("ann on dusk", "deleted user"),
        ]
        assert reader.comments_of(anns)[1]["author"] == nobody
        assert reader.profile("deleted user") == nobody
        assert reader.titles(author="deleted user") == reader.titles(author="Deleted User") == ["Dawn"]
        assert reader.lists(author="deleted user")["articlesCount"] == 1
        assert reader.lists(author="ann") == {"articles": [], "articlesCount": 0}
    assert bob.feed()["articles"] == []
    assert api.titles(q="dawn", tag="mist") == ["Dawn"]
    assert not miscounted(db)
    assert counted_something(db)


def test_those_who_leave_share_one_name(api, db):
    ann, bob, anns, bobs = everyone_writes(api)

    ann.leaves("keep")
    bob.leaves("keep")

    assert api.titles(author="deleted user") == ["Dusk", "Dawn"]
    assert {comment["author"]["username"] for comment in api.comments_of(anns)} == {"deleted user"}
    assert sqlite(db, "SELECT username, articles_count, favorites_count FROM users") == [("deleted user", 2, 0)]
    assert api.reads(bobs)["favoritesCount"] == 0
    assert not miscounted(db)


def test_who_stands_for_all_who_have_left_is_found_by_no_command(api, db):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn")
    ann.leaves("keep")

    assert db.row("users/identify", username_key="deleted user") is None
    assert db.row("users/identify_email", email_key="deleted user") == {"user_id": None}


def test_what_is_kept_can_be_liked_commented_on_and_taken_down(api, db, promote):
    ann, bob, anns, _ = everyone_writes(api)
    mod = promote(api.someone("mod"), "moderator")
    ann.leaves("keep")

    assert mod.likes(anns)["favoritesCount"] == 2
    mod.says(anns, "Still true")
    assert bob.refusal(403, "DELETE", f"/articles/{anns}") == {"article": "forbidden"}
    mod.deletes(anns)

    assert api.titles() == ["Dusk"]
    assert not miscounted(db)


# The one who stands for all who have left


@pytest.fixture
def after_ann_left(api):
    """The API where ann has left "Dawn" behind."""
    ann = api.someone("ann")
    ann.writes("Dawn")
    ann.leaves("keep")
    return api


@pytest.mark.parametrize("email", ["deleted user", "Deleted User"])
@pytest.mark.parametrize("password", [PASSWORD, "x", "deleted user"])
def test_nobody_can_log_in_as_deleted_user(after_ann_left, db, email, password):
    credentials = {"user": {"email": email, "password": password}}

    assert after_ann_left.refusal(401, "POST", "/users/login", credentials) == {"credentials": "invalid"}
    assert sqlite(db, "SELECT count(*) FROM sessions") == [(0,)]
    assert sqlite(db, "SELECT user_id FROM audit WHERE action = 'user.login_failed'") == [(None,)]


def test_nobody_can_reset_the_password_of_deleted_user(after_ann_left, asks, db):
    with_mail = asks(smtp_url="smtp://127.0.0.1:1")

    for client in (after_ann_left, with_mail):
        client.post("/users/password-reset", {"user": {"email": "deleted user"}}, status=202)

    assert sqlite(db, "SELECT * FROM outbox UNION ALL SELECT *, 1, 1 FROM password_resets") == []
    assert sqlite(db, "SELECT user_id FROM audit WHERE action = 'user.request_reset'") == [(None,), (None,)]


def test_no_admin_sees_or_changes_deleted_user(after_ann_left, promote):
    root = promote(after_ann_left.someone("root"), "admin")

    for query in ({}, {"q": "deleted"}, {"q": "deleted user"}, {"role": "member"}):
        listed = root.get(f"/admin/users?{urlencode(query)}").json["users"]
        assert [account["username"] for account in listed] == (["root"] if query == {} else [])
    assert root.refusal(422, "GET", "/admin/users?role=deleted").keys() == {"role"}
    for name in ("deleted user", "Deleted User", "DELETED USER"):
        for change in ({"role": "admin"}, {"suspended": True}):
            path = f"/admin/users/{quote(name)}"
            assert root.refusal(404, "PATCH", path, {"user": change}) == {"user": "not found"}
    assert root.refusal(422, "PATCH", "/admin/users/root", {"user": {"role": "deleted"}}).keys() == {"role"}
    assert root.profile("deleted user")["username"] == "deleted user"


FORMS = ["deleted user", "Deleted User", "DELETED USER", "ｄｅｌｅｔｅｄ ｕｓｅｒ", " deleted user ", "ⅾeleteⅾ user"]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("somebody_left", [False, True])
def test_nobody_can_be_called_deleted_user(api, db, name, somebody_left):
    if somebody_left:
        api.someone("ann").leaves("keep")
    bob = api.someone("bob")
    user = {"username": name, "email": "new@example.org", "password": PASSWORD}

    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}
    assert bob.refusal(409, "PUT", "/user", {"user": {"username": name}}) == {"username": "has already been taken"}

    assert bob.me()["username"] == "bob"
    assert sqlite(db, "SELECT username FROM users WHERE role <> 'deleted'") == [("bob",)]


@pytest.fixture
def namesake(api, db):
    """Somebody who was called "deleted user" before nobody could be."""
    someone = api.someone("old")
    sqlite(db, "UPDATE users SET username = 'Deleted User', username_key = 'deleted user'")
    return someone


def test_who_was_called_deleted_user_before_keeps_the_name(api, namesake):
    slug = namesake.writes("Noon")

    assert namesake.changes(bio="Was here first", username="deleted user")["username"] == "deleted user"
    assert api.logs_in(namesake.email).me()["bio"] == "Was here first"
    assert api.profile("deleted user")["bio"] == "Was here first"
    assert api.reads(slug)["author"]["bio"] == "Was here first"
    assert api.titles(author="deleted user") == ["Noon"]


def test_others_leave_beside_somebody_who_is_called_deleted_user(api, db, namesake):
    ann, bob = api.someone("ann"), api.someone("bob")
    namesake.writes("Noon")
    slugs = [someone.writes(title) for someone, title in ((ann, "Dawn"), (bob, "Dusk"))]

    ann.leaves("keep")
    bob.leaves("keep")

    for slug in slugs:
        author = {"username": "deleted user", "bio": None, "image": None, "following": False}
        assert api.reads(slug)["author"] == author
    assert api.titles(author="deleted user") == ["Noon"]
    assert namesake.me()["username"] == "Deleted User"
    namesake.leaves("keep")
    assert api.titles() == ["Dusk", "Dawn", "Noon"]
    assert sqlite(db, "SELECT username, articles_count FROM users") == [("deleted user", 3)]
    assert not miscounted(db)


# What cannot be taken again, and what can


@pytest.mark.parametrize("content", ["delete", "keep"])
@pytest.mark.parametrize("name", ["Zoë", "zoë", "ZOË", "Zoe\u0308", "ＺＯË", " Zoë "])
def test_nobody_can_take_the_name_of_who_has_left(api, db, content, name):
    api.someone("Zoë", email="zoe@example.org").leaves(content)
    bob = api.someone("bob")
    user = {"username": name, "email": "new@example.org", "password": PASSWORD}

    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}
    assert bob.refusal(409, "PUT", "/user", {"user": {"username": name}}) == {"username": "has already been taken"}

    assert (digest(fold("Zoë")),) in sqlite(db, "SELECT * FROM reserved_usernames")
    assert api.someone("zoe").me()["username"] == "zoe"


def test_a_name_that_was_given_up_before_leaving_is_free(api):
    ann = api.someone("ann")
    ann.changes(username="anna")

    ann.leaves()

    assert api.someone("ann").me()["username"] == "ann"
    user = {"username": "anna", "email": "anna@example.org", "password": PASSWORD}
    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}


def test_the_email_of_who_has_left_is_free(api):
    ann = api.someone("ann")
    ann.writes("Dawn")
    ann.leaves("keep")

    again = api.someone("anna", email=ann.email)

    assert again.me()["email"] == ann.email
    assert (exported(again)["articles"], api.titles(author="anna")) == ([], [])
    assert api.logs_in(ann.email).name == "anna"


def test_who_has_left_is_in_the_audit_log_without_a_name(api, promote):
    root, ann = promote(api.someone("root"), "admin"), api.someone("ann")

    ann.leaves()

    newest = root.get("/admin/audit").json["audit"][0]
    nobody = {"id": 2, "username": None}
    assert (newest["action"], newest["actor"], newest["user"]) == ("user.delete", nobody, nobody)


# What the file still holds

AGENT = "AnnabelsPhone/7.1"
BIO = "Annabel Rowe rows on the Weser before breakfast. " * 90
IMAGE = "https://pictures.example.org/annabel-rowe-at-dawn.png?" + "and-so-on-" * 2000

PERSONAL = [
    *("Annabel Ｒowe", "annabel rowe", "Bella Ｒowe", "bella rowe"),  # the names that she had, and folded
    *("Annabel.Rowe@Example.org", "annabel.rowe@example.org", "Bella@Example.org", "bella@example.org"),
    *("rows on the Weser before breakfast", "annabel-rowe-at-dawn", "and-so-on-and-so-on"),
    *("AnnabelsPhone", HOUSE, CAFE),
]


@pytest.fixture
def annabel(asks):
    """Somebody with everything that is personal, among others, who have the same."""
    for number in range(20):
        other = asks(f"198.51.100.{number}").someone(f"other{number}")
        other.changes(bio="Somebody else " * 50, image="somebody-else.png")
    at_home, on_the_road = asks(HOUSE), asks(CAFE)
    at_home.headers |= {"User-Agent": AGENT}
    annabel = at_home.someone("Bella Ｒowe", email="Bella@Example.org")
    annabel.changes(bio=BIO[:900], image=IMAGE[:1000])
    annabel.changes(username="Annabel Ｒowe", email="Annabel.Rowe@Example.org", bio=BIO, image=IMAGE)
    on_the_road.logs_in("annabel.rowe@example.org")
    for client in (at_home, on_the_road):
        client.refusal(401, "POST", "/users/login", {"user": {"email": "Annabel.Rowe@Example.org", "password": "x"}})
    return annabel


def found_in_tables(db):
    """What of it stands in which column of which table."""
    with closing(connect(db.path)) as connection:
        every = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main'").fetchall()
        return {
            (f"{table}.{column}", text)
            for (table,) in every
            for column in columns(connection, table)
            for text in PERSONAL
            if connection.execute(
                f'SELECT 1 FROM "{table}" WHERE instr(CAST("{column}" AS BLOB), CAST(? AS BLOB))', [text]
            ).fetchone()
        }


def found_in_file(path):
    content = path.read_bytes()
    return {text for text in PERSONAL if text.encode() in content}


def a_day_later(db):
    """Let time pass for everything that is counted."""
    with closing(connect(db.path)) as connection:
        connection.execute("UPDATE attempts SET counted_at_ms = counted_at_ms - ?", [throttle.FORGET_AFTER_MS])


@pytest.mark.parametrize("content", ["delete", "keep"])
def test_nothing_personal_stays_in_the_file(api, db, annabel, content):
    annabel.says(annabel.writes("Dawn"), "Well rowed")
    assert {text for _, text in found_in_tables(db)} == {*PERSONAL} - {
        *("Bella Ｒowe", "bella rowe", "Bella@Example.org", "bella@example.org")
    }

    annabel.leaves(content)

    # What is counted by client address is nobody's in particular, and goes after a day.
    assert found_in_tables(db) == {("attempts.subject", HOUSE), ("attempts.subject", CAFE)}
    a_day_later(db)
    api.logs_in("other1@example.org")
    assert found_in_tables(db) == set()
    db.close()
    assert not db.path.with_name("rowboat.db-wal").exists()
    assert found_in_file(db.path) == set()


@pytest.mark.parametrize("overwriting", [True, False])
def test_it_would_stay_if_what_is_deleted_were_not_overwritten(db, annabel, tmp_path, overwriting):
    db.close()
    path = shutil.copy(db.path, tmp_path / "copy.db")

    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA secure_delete = {'ON' if overwriting else 'OFF'}")
        connection.execute("DELETE FROM users WHERE email_key = 'annabel.rowe@example.org'")
        connection.execute("DELETE FROM attempts")

    assert bool(found_in_file(path)) is not overwriting


def test_whatever_writes_overwrites_what_it_deletes(db):
    def asked(connection):
        return connection.execute("PRAGMA secure_delete").fetchall()

    assert db._writer.submit(asked).result() == [(1,)]
    with closing(connect(db.path)) as connection:
        assert asked(connection) == [(1,)]


def test_nobody_follows_deleted_user(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Dawn")
    ann.leaves("keep")

    assert bob.follows("deleted user")["following"] is False
    assert bob.feed()["articlesCount"] == 0


def test_after_the_schema_went_back_and_forth_people_leave_as_before(db):
    api = Api(TestApp(app.make_app(Config(), db)))
    ann, bob = api.someone("ann"), api.someone("bob")
    first, second = ann.writes("Dawn"), bob.writes("Dusk")
    ann.leaves("keep")
    db.close()

    rollback(db.path, HOME / "schema", to=10, backup=False)
    migrate(db.path, HOME / "schema", backup=False)

    with closing(Database(db.path, HOME / "sql")) as again:
        api = Api(TestApp(app.make_app(Config(), again)))
        api.logs_in("bob@example.org").leaves("keep")
        assert [api.reads(slug)["author"]["username"] for slug in (first, second)] == ["deleted user"] * 2
        assert sqlite(again, "SELECT count(*) FROM users") == [(1,)]
