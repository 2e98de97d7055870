import base64
import hashlib
import sqlite3
from contextlib import closing

import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from webtest import TestApp

import app
from config import Config
from db import Database
from passwords import digest
from tests.conftest import HOME, PASSWORD, Api, sqlite


def last_use(db):
    return [last_used_at for (last_used_at,) in sqlite(db, "SELECT last_used_at FROM sessions ORDER BY id")]


def is_anonymous(api, headers):
    """Whether a request with these headers gets what an anonymous one gets, and is told so."""
    response, anonymous = api.get("/articles", headers=headers), Api(api.client).get("/articles")
    challenges = response.headers.getall("WWW-Authenticate")
    return response.json == anonymous.json and challenges == ['Token error="invalid_token"']


def joined_by_the_server(*values):
    """What waitress makes of several Authorization headers."""
    parser = HTTPRequestParser(Adjustments())
    lines = ["GET / HTTP/1.1", *(f"Authorization: {value}" for value in values)]
    parser.received("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    return parser.headers["AUTHORIZATION"]


# Which routes take a token


def test_a_route_that_requires_a_token_says_that_it_is_missing_or_invalid(api):
    bad = {"Authorization": "Token unknown"}

    for method, path, _, options in app.routes():
        if options.get("auth") == "required":
            assert api.refusal(401, method, path) == {"token": "is missing"}
            assert api.refusal(401, method, path, headers=bad) == {"token": "is invalid"}


@pytest.mark.parametrize("header", ["", "Token", "Token unknown", "Basic YW5uOnNlY3JldA=="])
def test_public_routes_ignore_an_invalid_token(api, header):
    bad = {"Authorization": header}
    user = {"email": "ann@example.org", "password": PASSWORD}

    assert api.post("/users", {"user": user | {"username": "ann"}}, headers=bad).json["user"]["username"] == "ann"
    assert api.post("/users/login", {"user": user}, headers=bad).json["user"]["username"] == "ann"
    assert api.get("/tags", headers=bad).json == {"tags": []}


# What a token looks like


@pytest.mark.parametrize("header", ["Token {}", "Bearer {}", "token {}", "BEARER {}", "tOKEN {}", " Bearer   {} "])
def test_the_scheme_of_a_token_is_token_or_bearer_in_any_case(api, header):
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
        pytest.param("Token unknown", id="an unknown token"),
        pytest.param("Token {}x", id="one character too many"),
        pytest.param("Token {} {}", id="two tokens"),
        pytest.param("{}", id="no scheme"),
        pytest.param("Basic {}", id="another scheme"),
        pytest.param("Digest {}", id="yet another scheme"),
        pytest.param("Tokens {}", id="nearly the scheme"),
        pytest.param("Token={}", id="no blank"),
        pytest.param("Token {swapped}", id="letters in the other case"),
        pytest.param("Token {hash}", id="the hash of the token"),
        pytest.param("Token \xe9{}", id="characters that no token has"),
    ],
)
def test_any_other_header_is_an_invalid_token(api, header):
    ann = api.someone("ann")
    others = {"swapped": ann.token.swapcase(), "hash": digest(ann.token)}
    bad = {"Authorization": header.format(ann.token, ann.token, **others)}
    ann.likes(ann.writes("Dawn"))

    assert api.refusal(401, "GET", "/user", headers=bad) == {"token": "is invalid"}
    assert is_anonymous(api, bad)


@pytest.mark.parametrize("path", ["/user", "/articles/feed"])
def test_two_authorization_headers_are_an_invalid_token(api, path):
    ann = api.someone("ann")
    ann.likes(ann.writes("Dawn"))
    token = f"Token {ann.token}"

    for other in (token, token.replace("Token", "Bearer"), "Token", "Token unknown", "Basic YW5u", ""):
        for headers in ((token, other), (other, token)):
            both = {"Authorization": joined_by_the_server(*headers)}
            assert api.refusal(401, "GET", path, headers=both) == {"token": "is invalid"}
            assert is_anonymous(api, both)


# How tokens are created and stored


def test_a_token_is_256_random_bits(api):
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


# Expiry


def test_a_token_expires_after_30_days_without_use_and_stays_expired(api, clock):
    ann = api.someone("ann")
    ann.likes(ann.writes("Dawn"))
    clock.advance(days=30)

    assert is_anonymous(api, ann.headers)
    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert ann.refusal(401, "PUT", "/user", {"user": {"bio": "Rows"}}) == {"token": "is invalid"}
    assert api.logs_in("ann@example.org").me()["bio"] is None


def test_a_token_that_is_used_within_30_days_does_not_expire(api, clock):
    ann = api.someone("ann")

    for _ in range(3):
        clock.advance(days=30, seconds=-1)
        assert ann.me()["username"] == "ann"


def test_each_session_expires_by_itself(api, clock):
    ann = api.someone("ann")
    clock.advance(days=1)
    elsewhere = api.logs_in("ann@example.org")

    clock.advance(days=29)

    assert ann.refusal(401, "GET", "/user") == {"token": "is invalid"}
    assert elsewhere.me()["username"] == "ann"


# When the last use is written


@pytest.mark.parametrize("path", ["/user", "/articles"])
@pytest.mark.parametrize(("minutes", "is_written"), [(59, False), (60, False), (61, True), (0, False), (-1, True)])
def test_the_last_use_of_a_session_is_written_at_most_once_an_hour(api, db, clock, path, minutes, is_written):
    ann, _ = api.someone("ann"), api.someone("bob")
    created = clock.now()
    clock.advance(minutes=minutes)

    ann.get(path)

    assert last_use(db) == [clock.now() if is_written else created, created]


def test_reads_are_served_while_the_last_use_cannot_be_written(api, db, clock):
    ann = api.someone("ann")
    created = clock.now()
    clock.advance(minutes=61)

    with (
        closing(Database(db.path, HOME / "sql", wait_s=0.05, clock=clock)) as impatient,
        closing(sqlite3.connect(db.path, isolation_level=None)) as other_process,
    ):
        other_process.execute("BEGIN IMMEDIATE")
        ann.client = TestApp(app.make_app(Config(), impatient))
        assert ann.me()["username"] == "ann"

    assert last_use(db) == [created]


def test_a_token_is_read_from_its_header_only(api):
    token = api.someone("ann").token

    assert api.refusal(401, "GET", f"/user?token={token}") == {"token": "is missing"}
    assert api.call("GET", "/user", headers={"Cookie": f"token={token}"}, status=401).json["errors"] == {
        "token": ["is missing"]
    }


def test_no_response_sets_a_cookie(api):
    user = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}

    for response in (api.post("/users", {"user": user}), api.post("/users/login", {"user": user}), api.get("/tags")):
        assert "Set-Cookie" not in response.headers
