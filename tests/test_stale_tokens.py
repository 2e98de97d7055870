"""A token that is not valid, where a token is optional: an anonymous response, which says so."""

import pytest

from tests.conftest import sqlite, statements_of

INVALID = 'Token error="invalid_token"'
STALE = {"Authorization": "Token nobodys"}
OPTIONAL = ["/articles", "/articles/{slug}", "/articles/{slug}/comments", "/profiles/ann"]


@pytest.fixture
def slug(api):
    return api.someone("ann").writes("Rowing at dawn")


@pytest.mark.parametrize("path", OPTIONAL)
@pytest.mark.parametrize(
    "header", ["Token nobodys", "Bearer x", "Basic YW5u", "Token", "", "Token a, Token b", "x" * 9000]
)
def test_a_token_that_is_not_valid_is_anonymous_where_it_is_optional(api, slug, path, header):
    path = path.format(slug=slug)

    for _ in range(2):  # read, then cached
        response = api.get(path, headers={"Authorization": header})

        assert response.json == api.get(path).json
        assert response.headers.getall("WWW-Authenticate") == [INVALID]
    assert "WWW-Authenticate" not in api.get(path).headers


@pytest.mark.parametrize("path", OPTIONAL)
def test_not_modified_says_so_too(api, slug, path):
    path = path.format(slug=slug)
    etag = api.get(path).headers["ETag"]

    for _ in range(2):
        response = api.get(path, headers=STALE | {"If-None-Match": etag}, status=304)
        assert response.headers["WWW-Authenticate"] == INVALID


def test_errors_of_optional_routes_say_so_too(api):
    for path, status in ("/articles/nothing", 404), ("/articles?limit=0", 422):
        assert api.get(path, headers=STALE, status=status).headers["WWW-Authenticate"] == INVALID


def test_where_a_token_is_required_it_is_refused(api):
    for path in "/user", "/articles/feed":
        response = api.get(path, headers=STALE, status=401)

        assert response.json == {"errors": {"token": ["is invalid"]}}
        assert response.headers.getall("WWW-Authenticate") == ["Token"]


def test_where_no_token_is_taken_none_is_looked_at(api):
    assert "WWW-Authenticate" not in api.get("/tags", headers=STALE).headers


def test_a_valid_token_gets_no_challenge(api, slug):
    bob = api.someone("bob")

    for _ in range(2):
        assert "WWW-Authenticate" not in bob.get(f"/articles/{slug}").headers


def test_pages_of_other_origins_may_read_it(api, slug):
    response = api.get("/articles", headers=STALE | {"Origin": "https://pages.example.org"})

    assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"].split(", ")


def test_a_session_that_has_ended_is_anonymous_at_once(api, db, clock, slug):
    ann = api.logs_in("ann@example.org")
    ann.likes(slug)
    assert ann.reads(slug)["favorited"] is True

    sqlite(db, "DELETE FROM sessions")

    assert ann.reads(slug)["favorited"] is False
    assert ann.get("/articles").headers["WWW-Authenticate"] == INVALID


def test_a_session_that_expires_without_a_commit_is_anonymous_though_its_response_was_cached(api, db, clock, slug):
    ann = api.logs_in("ann@example.org")
    ann.likes(slug)
    assert ann.reads(slug)["favorited"] is True
    sqlite(db, "UPDATE sessions SET last_used_at = ?", db.clock.now())
    assert ann.reads(slug)["favorited"] is True

    clock.advance(days=31)

    assert ann.reads(slug)["favorited"] is False


# The response cache


def test_random_tokens_do_not_fill_the_cache(api, db, slug):
    api.get("/articles")
    api.get(f"/articles/{slug}")
    before = len(db.remembered())

    for number in range(50):
        api.get("/articles", headers={"Authorization": f"Token {number}"})
        api.get(f"/articles/{slug}", headers={"Authorization": f"Bearer {number}"})
        api.get("/tags", headers={"Authorization": f"Token {number}"})

    assert len(db.remembered()) == before + 1  # the tags


def test_a_stale_token_costs_one_look_up_while_the_anonymous_response_is_cached(api, db, slug):
    api.headers = STALE
    api.get("/articles")

    assert statements_of(db, api, "/articles") == 1


def test_the_sessions_of_one_user_share_cached_responses(api, db, slug):
    here, there = api.logs_in("ann@example.org"), api.logs_in("ann@example.org")
    here.get("/articles")
    before = len(db.remembered())

    there.get("/articles")
    there.get("/articles")

    assert len(db.remembered()) == before + 1  # the session alone
    assert statements_of(db, here, "/articles") == statements_of(db, there, "/articles") == 0


def test_nobody_gets_the_cached_response_of_another_user(api, slug):
    ann, bob = api.logs_in("ann@example.org"), api.someone("bob")
    bob.likes(slug)

    for _ in range(2):
        assert bob.reads(slug)["favorited"] is True
        assert ann.reads(slug)["favorited"] is False
        assert api.reads(slug)["favorited"] is False
        assert api.get(f"/articles/{slug}", headers=STALE).json["article"]["favorited"] is False


def test_a_response_larger_than_the_cache_is_not_cached(api, db, slug, monkeypatch):
    from webtest import TestApp

    import cache

    def answer(environ, start_response):
        environ["bottle.route"] = type("Route", (), {"config": {"cache": True}})
        start_response("200 OK", [("Content-Length", "9000")])
        return [b"x" * 9000]

    TestApp(cache.with_cache(answer, db, max_bytes=8000), lint=False).get("/")

    assert db.remembered() == {}
