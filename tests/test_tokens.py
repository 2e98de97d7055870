import base64
import hashlib
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from webtest import TestApp

import app
from config import Config
from db import Database
from db.clock import ago
from tests.conftest import HOME, PASSWORD, sqlite

TAKE_NO_TOKEN = {
    ("POST", "/users"),
    ("POST", "/users/login"),
    ("POST", "/users/password-reset"),
    ("PUT", "/users/password-reset"),
    ("GET", "/tags"),
}
TAKE_A_TOKEN_OR_NONE = {
    ("GET", "/profiles/<username>"),
    ("GET", "/articles"),
    ("GET", "/articles/<slug>"),
    ("GET", "/articles/<slug>/comments"),
}
NEED_A_TOKEN = {
    ("GET", "/user"),
    ("PUT", "/user"),
    ("DELETE", "/user"),
    ("GET", "/user/export"),
    ("GET", "/user/sessions"),
    ("DELETE", "/user/sessions"),
    ("DELETE", "/user/sessions/current"),
    ("DELETE", "/user/sessions/<id>"),
    ("POST", "/profiles/<username>/follow"),
    ("DELETE", "/profiles/<username>/follow"),
    ("GET", "/articles/feed"),
    ("POST", "/articles"),
    ("PUT", "/articles/<slug>"),
    ("DELETE", "/articles/<slug>"),
    ("POST", "/articles/<slug>/favorite"),
    ("DELETE", "/articles/<slug>/favorite"),
    ("POST", "/articles/<slug>/comments"),
    ("DELETE", "/articles/<slug>/comments/<id>"),
    ("GET", "/admin/users"),
    ("PATCH", "/admin/users/<username>"),
    ("GET", "/admin/audit"),
    ("GET", "/admin/stats"),
}

HOUR, MONTH, MINUTE = timedelta(hours=1), timedelta(days=30), timedelta(minutes=1)


def was_used(db, someone, when):
    """Turn back the time at which a session was last used."""
    token_hash = hashlib.sha256(someone.token.encode()).hexdigest()
    sqlite(db, "UPDATE sessions SET last_used_at = ? WHERE token_hash = ?", when, token_hash)


def last_use(db):
    [(last_used_at,)] = sqlite(db, "SELECT last_used_at FROM sessions")
    return last_used_at


def as_the_server_joins(*values):
    """What the application gets of several Authorization headers."""
    parser = HTTPRequestParser(Adjustments())
    lines = ["GET / HTTP/1.1", *(f"Authorization: {value}" for value in values)]
    parser.received("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    return parser.headers["AUTHORIZATION"]


# Which routes take one


def test_every_route_is_known_to_take_a_token_or_none():
    routes = {(method, path) for method, path, _, _ in app.routes()}

    assert routes == TAKE_NO_TOKEN | TAKE_A_TOKEN_OR_NONE | NEED_A_TOKEN


def test_where_a_token_is_needed_its_absence_is_the_first_thing_said(api):
    for method, path in NEED_A_TOKEN:
        assert api.refusal(401, method, path) == {"token": "is missing"}


def test_where_a_token_is_taken_a_bad_one_is_refused(api):
    api.headers = {"Authorization": "Token nobodys"}

    for method, path in NEED_A_TOKEN | TAKE_A_TOKEN_OR_NONE:
        assert api.refusal(401, method, path) == {"token": "is invalid"}


def test_where_a_token_is_optional_everybody_is_answered_without_one(api):
    slug = api.someone("ann").writes("Rowing at dawn")

    for method, path in TAKE_A_TOKEN_OR_NONE:
        path = path.replace("<username>", "ann").replace("<slug>", slug)
        assert api.call(method, path).status_int == 200


@pytest.mark.parametrize("header", ["", "Token", "Token nobodys", "Basic YW5uOnNlY3JldA=="])
def test_where_no_token_is_taken_a_bad_one_is_ignored(api, header):
    bad = {"Authorization": header}
    user = {"email": "ann@example.org", "password": PASSWORD}

    assert api.post("/users", {"user": user | {"username": "ann"}}, headers=bad).json["user"]["username"] == "ann"
    assert api.post("/users/login", {"user": user}, headers=bad).json["user"]["username"] == "ann"
    assert api.get("/tags", headers=bad).json == {"tags": []}


# What counts as one


@pytest.mark.parametrize("header", ["Token {}", "Bearer {}", "token {}", "BEARER {}", "tOKEN {}", " Bearer   {} "])
def test_a_token_stands_behind_token_or_bearer_in_any_case(api, header):
    ann = api.someone("ann")

    user = api.get("/user", headers={"Authorization": header.format(ann.token)}).json["user"]

    assert user["username"] == "ann"
    assert user["token"] == ann.token


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="nothing at all"),
        pytest.param("Token", id="no token"),
        pytest.param("Bearer ", id="an empty token"),
        pytest.param("Token nobodys", id="an unknown token"),
        pytest.param("Token {}x", id="one character too many"),
        pytest.param("Token {} {}", id="two tokens"),
        pytest.param("{}", id="no scheme"),
        pytest.param("Basic {}", id="another scheme"),
        pytest.param("Digest {}", id="yet another scheme"),
        pytest.param("Tokens {}", id="nearly the scheme"),
        pytest.param("Token={}", id="no blank"),
        pytest.param("Token \xe9{}", id="letters that no token has"),
    ],
)
def test_anything_else_is_no_token(api, header):
    ann = api.someone("ann")
    bad = {"Authorization": header.format(ann.token, ann.token)}

    assert api.refusal(401, "GET", "/user", headers=bad) == {"token": "is invalid"}
    assert api.refusal(401, "GET", "/articles", headers=bad) == {"token": "is invalid"}


@pytest.mark.parametrize("path", ["/user", "/articles"])
def test_a_token_in_two_headers_is_no_token(api, path):
    token = f"Token {api.someone('ann').token}"

    for other in (token, token.replace("Token", "Bearer"), "Token", "Token nobodys", "Basic YW5u", ""):
        for headers in ((token, other), (other, token)):
            both = {"Authorization": as_the_server_joins(*headers)}
            assert api.refusal(401, "GET", path, headers=both) == {"token": "is invalid"}


def test_a_token_in_upper_case_is_another_token(api):
    ann = api.someone("ann")

    assert api.refusal(401, "GET", "/user", headers={"Authorization": f"Token {ann.token.swapcase()}"})


def test_the_hash_of_a_token_is_no_token(api, db):
    api.someone("ann")
    [(token_hash,)] = sqlite(db, "SELECT token_hash FROM sessions")

    assert api.refusal(401, "GET", "/user", headers={"Authorization": f"Token {token_hash}"})


# How they are made and kept


def test_a_token_is_256_bits_of_chance(api):
    ann = api.someone("ann")
    tokens = {ann.token, *(api.logs_in("ann@example.org").token for _ in range(3))}

    assert len(tokens) == 4
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)


def test_a_token_is_stored_only_as_its_sha_256(api, db):
    ann = api.someone("ann")
    ann.changes(bio="Rows")

    stored = b"".join(path.read_bytes() for path in db.path.parent.glob("rowboat.db*"))

    assert hashlib.sha256(ann.token.encode()).hexdigest().encode() in stored
    assert ann.token.encode() not in stored


# How they end


@pytest.mark.parametrize("path", ["/user", "/articles"])
def test_a_token_expires_after_30_days_without_use(api, db, path):
    ann = api.someone("ann")
    was_used(db, ann, ago(MONTH))

    assert ann.refusal(401, "GET", path) == {"token": "is invalid"}


def test_a_token_that_expired_stays_so(api, db):
    ann = api.someone("ann")
    was_used(db, ann, ago(MONTH))
    ann.refusal(401, "GET", "/user")

    assert ann.refusal(401, "PUT", "/user", {"user": {"bio": "Rows"}}) == {"token": "is invalid"}
    assert api.logs_in("ann@example.org").me()["bio"] is None


def test_a_token_that_is_used_within_30_days_lives_on(api, db):
    ann = api.someone("ann")
    was_used(db, ann, ago(MONTH - MINUTE))

    ann.me()

    assert last_use(db) > ago(HOUR)


def test_a_token_of_one_session_expires_alone(api, db):
    ann = api.someone("ann")
    elsewhere = api.logs_in("ann@example.org")
    was_used(db, ann, ago(MONTH))

    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert elsewhere.me()["username"] == "ann"


def test_a_token_that_was_revoked_is_invalid_at_once(api, db):
    ann = api.someone("ann")
    ann.me()
    sqlite(db, "DELETE FROM sessions")

    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert ann.refusal(401, "GET", "/articles") == {"token": "is invalid"}


# When their last use is written


def test_the_use_of_a_token_is_written_at_most_once_an_hour(api, db):
    ann = api.someone("ann")
    within_the_hour = ago(HOUR - MINUTE)
    was_used(db, ann, within_the_hour)

    ann.me()
    ann.lists()

    assert last_use(db) == within_the_hour


@pytest.mark.parametrize("path", ["/user", "/articles"])
def test_the_use_of_a_token_is_written_after_an_hour(api, db, path):
    ann = api.someone("ann")
    an_hour_ago = ago(HOUR + MINUTE)
    was_used(db, ann, an_hour_ago)

    ann.get(path)

    assert last_use(db) > an_hour_ago


def test_the_use_of_a_token_is_written_for_its_session_alone(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    was_used(db, ann, ago(HOUR + MINUTE))
    was_used(db, bob, ago(HOUR + MINUTE))
    before = sqlite(db, "SELECT last_used_at FROM sessions WHERE user_id = 2")

    ann.me()

    assert sqlite(db, "SELECT last_used_at FROM sessions WHERE user_id = 2") == before


def test_who_only_reads_is_answered_also_while_the_use_cannot_be_written(api, db):
    ann = api.someone("ann")
    was_used(db, ann, ago(HOUR + MINUTE))
    before = last_use(db)

    with (
        closing(Database(db.path, HOME / "sql", wait_s=0.05)) as impatient,
        closing(sqlite3.connect(db.path, isolation_level=None)) as somebody_else,
    ):
        somebody_else.execute("BEGIN IMMEDIATE")
        ann.client = TestApp(app.make_app(Config(), impatient))
        assert ann.me()["username"] == "ann"

    assert last_use(db) == before


def test_a_token_counts_in_its_header_alone(api):
    token = api.someone("ann").token

    assert api.refusal(401, "GET", f"/user?token={token}") == {"token": "is missing"}
    assert api.call("GET", "/user", headers={"Cookie": f"token={token}"}, status=401).json["errors"] == {
        "token": ["is missing"]
    }


def test_no_answer_sets_a_cookie(api):
    user = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}

    for answer in (api.post("/users", {"user": user}), api.post("/users/login", {"user": user}), api.get("/tags")):
        assert "Set-Cookie" not in answer.headers
