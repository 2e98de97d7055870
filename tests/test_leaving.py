"""The personal-data export, and account deletion."""

import itertools
import json
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
from db.connection import connect
from db.migrations import migrate, rollback
from handlers.fields import fold
from passwords import digest
from tests.conftest import HOME, PASSWORD, Api, Someone, remove_the_rest, sqlite
from tests.test_counters import counted_something, miscounted

DELETED = {"username": "deleted user", "bio": None, "image": None, "following": False}

# Addresses reserved for documentation (RFC 5737).
HOUSE, CAFE = "192.0.2.77", "203.0.113.88"


# The export. The tests fill every table and column of the schema, so that a new one fails them until it is exported
# or listed below with a reason.

# Columns that an export leaves out.
LEFT_OUT = {
    "users.username_key": "the username, folded",
    "users.email_key": "the email, folded",
    "users.password_hash": "a secret",
    "users.suspended_at": "a suspended user cannot log in",
    "sessions.token_hash": "a secret",
    "password_resets.token_hash": "a secret",
    "articles.id": "an article is known by its slug",
    "slugs.article_id": "listed with their article",
    "article_tags.article_id": "listed with their article",
    "article_tags.position": "listed in this order",
    "article_tags.tag_id": "a tag is known by its name",
    "tags.id": "a tag is known by its name",
    "tags.articles_count": "counts the articles of all users",
    "comments.article_id": "replaced by the article's slug",
    "favorites.article_id": "replaced by the article's slug",
    "follows.followed_id": "replaced by their username",
    "follows.follower_id": "personal data of another user",
}

# Tables without personal data of present users.
IMPERSONAL = {
    "totals": "the number of all articles",
    "reserved_usernames": "hashes of the names of deleted users",
    "audit_horizon": "before it, entries may be pruned",
    "closed_accounts": "users who have left",
    "hidden_authors": "likewise",
    "schema_migrations": "the scripts that were applied",
}

# Columns that name a user without a foreign key.
NAMING_A_USER = {"user_id", "actor_id"}


def tables(connection):
    """All tables but SQLite's own and those of the full-text index."""
    found = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def columns(connection, table):
    """The types of a table's columns, by name."""
    return {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info ({table})")}


def keys(connection, table):
    """The table that each foreign key refers to, by column."""
    return {column: parent for _, _, parent, column, *_ in connection.execute(f"PRAGMA foreign_key_list ({table})")}


def in_order(connection):
    """All tables, users first, each behind those to which it refers."""
    ordered = ["users"]
    while waiting := [table for table in tables(connection) if table not in ordered]:
        ordered += [table for table in waiting if {*keys(connection, table).values()} <= {*ordered, table}]
    return ordered


def value(whose, table, column, kind, number, clock):
    """A unique value for a column."""
    match f"{table}.{column}":
        case "users.role":
            return {"ann": "moderator", "bob": "admin"}[whose]
        case "users.suspended_at":
            return None
        case "article_tags.position":
            return number % 50
        case "sessions.last_used_at":  # else using the session would change it
            return clock.ago(timedelta(milliseconds=number))
    if column == "token_hash":
        return digest(f"{whose}.{table}")
    if column.endswith("_at"):
        return f"2099-01-31T12:00:{number // 1000}.{number % 1000:03}Z"
    return {"INTEGER": number, "REAL": number + 0.5}.get(kind, f"{whose}.{table}.{column}.{number}")


def fill(connection, whose, first_number, other, clock):
    """Create a user with a row in each table that refers to users, once per referring column, and in the tables below.

    `other` is the id of another user. Returns the values written, by `table.column`."""
    numbers = itertools.count(first_number)
    parents = {parent for table in tables(connection) for parent in keys(connection, table).values()}
    own, written = {}, defaultdict(list)

    def insert(table, given):
        theirs = {column: own.get(parent) for column, parent in keys(connection, table).items()}
        row = {
            column: given.get(column) or theirs.get(column) or value(whose, table, column, kind, next(numbers), clock)
            for column, kind in columns(connection, table).items()
        }
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", [*row.values()])
        own[table] = row.get("id")
        for column, each in row.items():
            written[f"{table}.{column}"].append(each)

    for table in (table for table in in_order(connection) if table not in IMPERSONAL):
        links = keys(connection, table)
        to_users = {column for column, parent in links.items() if parent == "users"}
        naming = to_users | (NAMING_A_USER & columns(connection, table).keys())
        for column in sorted(naming):
            insert(table, dict.fromkeys(to_users, other) | {column: own["users"]})
        if not naming and (links or table in parents):
            insert(table, {})
    for subject in subjects(own["users"], written["users.email_key"][0]):
        insert("attempts", {"subject": subject})
    return written


# The functions of throttle.py that count a user's attempts, and its other functions.
COUNTED = {
    "login": lambda me, email_key: [throttle.login(email_key, HOUSE, True), throttle.login(email_key, None, False)],
    "registration": lambda me, email_key: [throttle.registration(email_key, None)],
    "reset_request": lambda me, email_key: [throttle.reset_request(email_key, None)],
    "own_password": lambda me, email_key: [throttle.own_password(me)],
    "account_changes": lambda me, email_key: [throttle.account_changes(me)],
    "posts": lambda me, email_key: [throttle.posts(what, me, Config()) for what in ("articles", "comments")],
}
COUNTS_NO_USER = {"client_address", "guesses_of", "subjects_of", "reset"}


def subjects(me, email_key):
    """The subjects that a user's attempts are counted under."""
    counted = [each for made in COUNTED.values() for each in made(me, email_key)]
    return [limit["subject"] for each in counted for limit in json.loads(each["limits"])]


@pytest.fixture
def belongings(api, db):
    """Creates users with rows in every table; returns a client and the values written."""
    api.someone("cem")
    with closing(connect(db.path)) as connection:
        # Triggers would change the counters.
        for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")

    def of(whose, first_number):
        with closing(connect(db.path)) as connection:
            written = fill(connection, whose, first_number, 1, db.clock)
        user = {
            "username": written["users.username"][0],
            "email": written["users.email"][0],
            "token": f"{whose}.sessions",
        }
        return Someone(api.client, user, api.headers), written

    return of


def exported(someone):
    return someone.get("/user/export").json


def values_in(export):
    """Every value in a document."""
    if isinstance(export, dict | list):
        return {each for part in (export.values() if isinstance(export, dict) else export) for each in values_in(part)}
    return {export} - {None}


def missing(written, export):
    """The columns whose values an export does not hold."""
    return {column for column, values in written.items() if not {*values} <= values_in(export)}


def test_an_export_holds_every_column_of_every_table_that_refers_to_the_user(db, belongings):
    ann, written = belongings("ann", 10_001)

    export = exported(ann)

    filled = {column.partition(".")[0] for column in written}
    assert {"users", "sessions", "follows", "articles", "attempts", "audit", "outbox"} <= filled
    with closing(connect(db.path)) as connection:
        assert filled | IMPERSONAL.keys() == {*tables(connection)}
        assert written.keys() == {f"{table}.{column}" for table in filled for column in columns(connection, table)}
    assert missing(written, export) == LEFT_OUT.keys()


def test_no_rate_limit_of_a_user_is_missing_here():
    public = {name for name, made in vars(throttle).items() if isfunction(made) and made.__module__ == "throttle"}

    assert {name for name in public if not name.startswith("_")} == COUNTED.keys() | COUNTS_NO_USER


def test_an_export_lists_the_tags_of_an_article_in_order(api):
    ann = api.someone("ann")
    ann.writes("Rowing at dawn", "river", "dawn", "mist")

    assert [article["tagList"] for article in exported(ann)["articles"]] == [["river", "dawn", "mist"]]


def test_an_export_holds_no_secrets_and_no_data_of_other_users(belongings):
    (ann, anns), (bob, bobs) = belongings("ann", 10_001), belongings("bob", 20_001)
    slug = anns["slugs.slug"][0]
    bob.says(slug, "bob was here")
    bob.likes(slug)
    bob.follows(anns["users.username_key"][0])

    export = exported(ann)

    assert len(export["followers"]) == 2
    assert not values_in(export) & {value for values in bobs.values() for value in values}
    assert "bob" not in json.dumps(export)
    secrets = [anns[column][0] for column, reason in LEFT_OUT.items() if reason == "a secret"]
    assert len(secrets) == 3
    assert not values_in(export) & {*secrets, ann.token, bob.token}


def test_a_new_user_exports_an_account_and_its_registration(api):
    ann = api.someone("ann")

    response = ann.get("/user/export")

    assert response.headers["Cache-Control"] == "no-store"
    export = response.json
    assert export["user"] == {
        "id": 1,
        "username": "ann",
        "email": "ann@example.org",
        "role": "member",
        "suspendedAt": None,
        "bio": None,
        "image": None,
        "articlesCount": 0,
        "favoritesCount": 0,
        "createdAt": "2026-01-31T12:00:00.000Z",
        "updatedAt": "2026-01-31T12:00:00.000Z",
    }
    assert [entry["action"] for entry in export["audit"]] == ["user.register"]
    assert len(export["sessions"]) == 1
    assert [subject["subject"].partition(" of ")[0] for subject in export["attempts"]] == ["registration"]
    assert {name for name, rows in export.items() if rows == []} == {
        *("articles", "slugs", "comments", "favorites", "following", "followers"),
        *("loginAddresses", "passwordResets", "outbox"),
    }


# Deletion


def test_a_deleted_account_is_gone_at_once(api, db):
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
    remove_the_rest(db)
    assert sqlite(db, "SELECT username FROM users") == [("bob",)]
    assert bob.me()["username"] == "bob"


def test_the_users_rate_limit_counters_are_exported_and_deleted(asks, db):
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
def test_deletion_needs_the_password_and_guesses_are_limited(api, clock, content):
    ann, bob = api.someone("ann"), api.someone("bob")
    before = ann.me()

    for wrong in ("wrong horse", PASSWORD.upper(), f"{PASSWORD} ", *["wrong horse"] * 7):
        refusal = ann.refusal(422, "DELETE", "/user", {"user": {"password": wrong, "content": content}})
        assert refusal == {"password": "is wrong"}

    right = {"user": {"password": PASSWORD, "content": content}}
    assert ann.refusal(429, "DELETE", "/user", right) == {"login": "too many attempts; try again in 1 second"}
    assert ann.me() == before
    bob.leaves(content)
    clock.advance(seconds=1)
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
def test_deletion_needs_a_password_and_a_choice_about_content(api, user, refusal):
    ann = api.someone("ann")
    ann.writes("Dawn")

    assert ann.refusal(422, "DELETE", "/user", {"user": user}) == refusal
    assert ann.me()["username"] == "ann"
    assert api.titles() == ["Dawn"]


@pytest.mark.parametrize(
    ("session", "changes", "status", "refusal"),
    [
        ("other", {"username": "anna"}, 409, {"user": "has changed; try again"}),
        ("other", {"email": "anna@example.org"}, 409, {"user": "has changed; try again"}),
        ("other", {"password": "battery staple"}, 401, {"token": "is invalid"}),
        ("same", {"password": "battery staple"}, 409, {"user": "has changed; try again"}),
    ],
)
def test_an_account_that_changes_meanwhile_is_not_deleted(api, argon2, session, changes, status, refusal):
    ann = api.someone("ann")
    changing = api.logs_in(ann.email) if session == "other" else ann
    slug = ann.writes("Dawn")
    argon2.meanwhile(lambda: changing.changes(**changes), during="verify")

    leaving = {"user": {"password": PASSWORD, "content": "delete"}}
    assert ann.refusal(status, "DELETE", "/user", leaving) == refusal

    assert changing.me()["username"] == changes.get("username", "ann")
    assert api.reads(slug)["author"]["username"] == changing.me()["username"]
    password = changes.get("password", PASSWORD)
    api.logs_in(changes.get("email", ann.email), password).leaves(password=password)


# What is kept


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


def test_deleted_content_is_gone(api, db):
    ann, bob, anns, bobs = everyone_writes(api)

    ann.leaves("delete")

    assert bob.refusal(404, "GET", f"/articles/{anns}") == {"article": "not found"}
    assert api.titles() == ["Dusk"]
    assert [comment["body"] for comment in api.comments_of(bobs)] == ["bob on dusk"]
    assert sqlite(db, "SELECT body FROM visible_comments WHERE article_id = 2") == [("bob on dusk",)]
    assert (api.reads(bobs)["favoritesCount"], api.lists(favorited="bob")["articlesCount"]) == (1, 1)
    assert (api.tags(), api.titles(q="dawn")) == (["river"], [])
    remove_the_rest(db)
    assert sqlite(db, "SELECT body FROM comments") == [("bob on dusk",)]
    assert api.refusal(404, "GET", "/profiles/deleted%20user") == {"profile": "not found"}
    assert not miscounted(db)


def test_kept_content_shows_deleted_user_as_its_author(api, db, promote):
    ann, bob, anns, bobs = everyone_writes(api)
    promote(api.someone("root"), "admin")  # sorts before "deleted" in the index of roles
    before = api.reads(anns)

    ann.leaves("keep")
    remove_the_rest(db)

    for reader in (api, bob):
        assert reader.reads(anns) == before | {
            "author": DELETED,
            "favoritesCount": 1,
            "favorited": reader is bob,
        }
        assert [article["author"] for article in reader.lists()["articles"]] == [
            reader.profile("bob"),
            DELETED,
        ]
        assert [(comment["body"], comment["author"]["username"]) for comment in reader.comments_of(bobs)] == [
            ("bob on dusk", "bob"),
            ("ann on dusk", "deleted user"),
        ]
        assert reader.comments_of(anns)[1]["author"] == DELETED
        assert reader.profile("deleted user") == DELETED
        assert reader.titles(author="deleted user") == reader.titles(author="Deleted User") == ["Dawn"]
        assert reader.lists(author="deleted user")["articlesCount"] == 1
        assert reader.lists(author="ann") == {"articles": [], "articlesCount": 0}
    assert bob.follows("deleted user")["following"] is False
    assert bob.feed() == {"articles": [], "articlesCount": 0}
    assert api.titles(q="dawn", tag="mist") == ["Dawn"]
    assert not miscounted(db)
    assert counted_something(db)


def test_all_deleted_users_share_one_name(api, db):
    ann, bob, anns, bobs = everyone_writes(api)

    ann.leaves("keep")
    bob.leaves("keep")
    remove_the_rest(db)

    assert api.titles(author="deleted user") == ["Dusk", "Dawn"]
    assert {comment["author"]["username"] for comment in api.comments_of(anns)} == {"deleted user"}
    assert sqlite(db, "SELECT username, articles_count, favorites_count FROM users") == [("deleted user", 2, 0)]
    assert api.reads(bobs)["favoritesCount"] == 0
    assert not miscounted(db)


def test_kept_content_can_be_liked_commented_on_and_deleted_by_moderators(api, db, promote):
    ann, bob, anns, _ = everyone_writes(api)
    mod = promote(api.someone("mod"), "moderator")
    ann.leaves("keep")

    assert mod.likes(anns)["favoritesCount"] == 2
    mod.says(anns, "Still true")
    assert bob.refusal(403, "DELETE", f"/articles/{anns}") == {"article": "forbidden"}
    mod.deletes(anns)

    assert api.titles() == ["Dusk"]
    assert not miscounted(db)


# The user "deleted user"


@pytest.fixture
def after_ann_left(api, db):
    """The API after ann left and kept the article "Dawn"."""
    ann = api.someone("ann")
    ann.writes("Dawn")
    ann.leaves("keep")
    remove_the_rest(db)
    return api


@pytest.mark.parametrize("email", ["deleted user", "Deleted User"])
def test_nobody_can_log_in_as_deleted_user_or_reset_its_password(after_ann_left, asks, db, email):
    for password in (PASSWORD, "deleted user"):
        credentials = {"user": {"email": email, "password": password}}
        assert after_ann_left.refusal(401, "POST", "/users/login", credentials) == {"credentials": "invalid"}
    for client in (after_ann_left, asks(smtp_url="smtp://127.0.0.1:1")):
        client.post("/users/password-reset", {"user": {"email": email}}, status=202)

    assert sqlite(db, "SELECT count(*) FROM sessions") == [(0,)]
    assert sqlite(db, "SELECT * FROM outbox UNION ALL SELECT *, 1, 1 FROM password_resets") == []
    assert sqlite(db, "SELECT DISTINCT action, user_id FROM audit WHERE id > 2") == [
        ("user.login_failed", None),
        ("user.request_reset", None),
    ]


def test_admins_and_commands_cannot_find_deleted_user(after_ann_left, db, promote):
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
    assert db.row("users/identify", username_key="deleted user") is None
    assert root.profile("deleted user")["username"] == "deleted user"


FORMS = ["deleted user", "Deleted User", "DELETED USER", "ｄｅｌｅｔｅｄ ｕｓｅｒ", " deleted user ", "ⅾeleteⅾ user"]


def cannot_be_called(api, bob, name):
    user = {"username": name, "email": "new@example.org", "password": PASSWORD}
    for client, method, path, body in ((api, "POST", "/users", user), (bob, "PUT", "/user", {"username": name})):
        assert client.refusal(409, method, path, {"user": body}) == {"username": "has already been taken"}
    assert bob.me()["username"] == "bob"


@pytest.mark.parametrize("name", FORMS)
def test_nobody_can_be_called_deleted_user(api, name):
    cannot_be_called(api, api.someone("bob"), name)


@pytest.mark.parametrize("content", ["delete", "keep"])
@pytest.mark.parametrize("name", ["Zoë", "zoë", "ZOË", "Zoe\u0308", "ＺＯË", " Zoë ", *FORMS])
def test_the_name_of_a_deleted_account_stays_reserved(api, db, content, name):
    api.someone("Zoë", email="zoe@example.org").leaves(content)

    cannot_be_called(api, api.someone("bob"), name)

    assert (digest(fold("Zoë")),) in sqlite(db, "SELECT * FROM reserved_usernames")
    assert api.someone("zoe").me()["username"] == "zoe"


def test_an_existing_user_called_deleted_user_keeps_the_name_while_others_leave(api, db):
    namesake = api.someone("old")
    sqlite(db, "UPDATE users SET username = 'Deleted User', username_key = 'deleted user'")
    ann, bob = api.someone("ann"), api.someone("bob")
    noon, dawn, dusk = namesake.writes("Noon"), ann.writes("Dawn"), bob.writes("Dusk")

    assert namesake.changes(bio="Was here first", username="deleted user")["username"] == "deleted user"
    ann.leaves("keep")
    bob.leaves("keep")

    assert api.logs_in(namesake.email).me()["bio"] == "Was here first"
    assert api.profile("deleted user")["bio"] == api.reads(noon)["author"]["bio"] == "Was here first"
    for slug in (dawn, dusk):
        assert api.reads(slug)["author"] == DELETED
    assert api.titles(author="deleted user") == ["Noon"]
    namesake.leaves("keep")
    remove_the_rest(db)
    assert api.titles() == ["Dusk", "Dawn", "Noon"]
    assert sqlite(db, "SELECT username, articles_count FROM users") == [("deleted user", 3)]
    assert not miscounted(db)


# Reserved names


def test_the_email_and_former_names_of_a_deleted_account_are_free(api):
    ann = api.someone("ann")
    ann.changes(username="anna")
    ann.writes("Dawn")
    ann.leaves("keep")

    again = api.someone("ann", email=ann.email)

    assert again.me()["email"] == ann.email
    assert (exported(again)["articles"], api.titles(author="ann")) == ([], [])
    assert api.logs_in(ann.email).name == "ann"
    user = {"username": "anna", "email": "anna@example.org", "password": PASSWORD}
    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}


# What remains in the file

AGENT = "AnnabelsPhone/7.1"
BIO = "Annabel Rowe rows on the Weser before breakfast. " * 90
IMAGE = "https://pictures.example.org/annabel-rowe-at-dawn.png?" + "and-so-on-" * 800

PERSONAL = [
    *("Annabel Ｒowe", "annabel rowe", "Bella Ｒowe", "bella rowe"),  # her names, and their keys
    *("Annabel.Rowe@Example.org", "annabel.rowe@example.org", "Bella@Example.org", "bella@example.org"),
    *("rows on the Weser before breakfast", "annabel-rowe-at-dawn", "and-so-on-and-so-on"),
    *("AnnabelsPhone", HOUSE, CAFE),
]


@pytest.fixture
def annabel(asks):
    """A user with personal data everywhere, among others with the same."""
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
    """The personal data in the tables, each with its column."""
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


@pytest.mark.parametrize("content", ["delete", "keep"])
def test_nothing_personal_stays_in_the_file(api, db, clock, annabel, content):
    annabel.says(annabel.writes("Dawn"), "Well rowed")
    assert {text for _, text in found_in_tables(db)} == {*PERSONAL} - {
        *("Bella Ｒowe", "bella rowe", "Bella@Example.org", "bella@example.org")
    }

    annabel.leaves(content)
    at_once = found_in_tables(db)
    remove_the_rest(db)

    assert {column for column, _ in at_once} == {"attempts.subject", "login_addresses.address", "sessions.user_agent"}
    # Counts by client address belong to no user, and expire after a day.
    assert found_in_tables(db) == {("attempts.subject", HOUSE), ("attempts.subject", CAFE)}
    clock.advance(days=1, milliseconds=1)
    api.logs_in("other1@example.org")
    assert found_in_tables(db) == set()
    db.close()
    assert not db.path.with_name("rowboat.db-wal").exists()
    assert found_in_file(db.path) == set()


def test_every_writing_connection_overwrites_deleted_data(db):
    def asked(connection):
        return connection.execute("PRAGMA secure_delete").fetchall()

    assert db._writer.submit(asked).result() == [(1,)]
    with closing(connect(db.path)) as connection:
        assert asked(connection) == [(1,)]


def test_accounts_can_be_deleted_after_a_schema_downgrade_and_upgrade(api, db, clock):
    ann, bob = api.someone("ann"), api.someone("bob")
    first, second = ann.writes("Dawn"), bob.writes("Dusk")
    ann.leaves("keep")
    db.close()

    rollback(db.path, HOME / "schema", to=10, backup=False)
    migrate(db.path, HOME / "schema", backup=False, clock=clock)

    with closing(Database(db.path, HOME / "sql", clock=clock)) as again:
        api = Api(TestApp(app.make_app(Config(), again)))
        api.logs_in("bob@example.org").leaves("keep")
        assert [api.reads(slug)["author"]["username"] for slug in (first, second)] == ["deleted user"] * 2
        remove_the_rest(again)
        assert sqlite(again, "SELECT count(*) FROM users") == [(1,)]
