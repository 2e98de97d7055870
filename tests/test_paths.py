"""Paths and queries, whatever stands behind them: their text, their spelling, their alias, and HEAD."""

import pytest

from tests.conftest import Api

GETS = ["/user", "/profiles/ann", "/articles", "/articles/feed", "/tags", "/openapi.json"]

SPELLED_DIFFERENTLY = [
    "/tags/",
    "/articles/",
    "/articles/feed/",
    "/articles/{slug}/",
    "/articles/{slug}/comments/",
    "/profiles/ann/",
    "/users/",
    "//tags",
    "/articles//comments",
    "/articles/{slug}/comments%0A",
    "/articles/{slug}/favorite%0A",
    "/tags%0A",
    "/tags%20",
    "/tags;x=1",
    "/./tags",
    "/articles/../tags",
    "/articles%2Ffeed%2F",
]


def test_a_path_that_is_no_text_finds_nothing(api):
    slug = api.someone("ann").writes("foo")

    for tail in "%FF", "%C3", "%C3%28", "%ED%A0%80", "%C0%AF", "%F5%80%80%80", "%00", "%FF/comments", "/comments%00":
        assert api.refusal(400, "GET", f"/articles/{slug}{tail}") == {"path": "must be UTF-8 without NUL"}


def test_a_path_that_is_no_text_is_refused_in_every_place_and_by_every_method(api):
    ann = api.someone("ann")

    for path in "/nothing%FF", "/%FF", "/profiles/ann%FF", "/articles/feed%00", "/articles/a/comments/1%FF", "/tags%FF":
        for method in "GET", "POST", "PUT", "DELETE":
            assert ann.refusal(400, method, path) == {"path": "must be UTF-8 without NUL"}
    assert ann.profile("ann")["following"] is False


@pytest.mark.parametrize(
    "query", ["tag=%FF", "tag=%C3&%A9", "%FF", "%FF=1", "unknown=%FF", "tag=%ED%A0%80", "tag=%00", "limit=1%00"]
)
def test_a_query_that_is_no_text_is_refused_whoever_asks_for_it(api, query):
    for path in "/articles", "/tags", "/articles/nothing", "/nothing":
        assert api.refusal(400, "GET", f"{path}?{query}") == {"query": "must be UTF-8 without NUL"}


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xc3%A9", b"%C3\xa9", b"\x00"])
def test_raw_bytes_in_a_query_that_are_no_text_are_refused_too(api, raw):
    text = raw.decode("latin-1")  # as WSGI passes bytes on

    assert api.refusal(400, "GET", f"/articles?tag={text}") == {"query": "must be UTF-8 without NUL"}


def test_names_in_paths_and_queries_are_found_however_their_bytes_are_spelled(api):
    zoe = api.someone("Zoë", email="zoe@example.org")
    zoe.writes("Café", "café")
    raw = "Zoë".encode().decode("latin-1")  # as WSGI passes bytes on

    assert api.get("/profiles/Zo%C3%AB").json == api.get("/profiles/%5Ao%c3%ab").json
    assert api.get(f"/articles?author={raw}").json["articlesCount"] == 1
    assert api.get("/articles?tag=caf%C3%A9").json["articlesCount"] == 1
    assert api.get("/articles?t%61g=caf%c3%a9&author=Zo%C3%AB").json["articlesCount"] == 1


def test_the_next_page_keeps_a_filter_however_its_bytes_are_spelled(api):
    ann = api.someone("ann")
    ann.writes("One", "café")
    ann.writes("Two", "café")
    raw = "café".encode().decode("latin-1")  # as WSGI passes bytes on

    for spelled in "caf%C3%A9", raw:
        first, second = api.pages(f"/articles?tag={spelled}&limit=1")
        assert [page["articles"][0]["title"] for page in (first, second)] == ["Two", "One"]
        assert first["articlesCount"] == second["articlesCount"] == 2


def test_a_plus_or_an_escaped_blank_is_a_blank_in_a_query_and_a_plus_is_one_in_a_path(api):
    ann = api.someone("ann lee", email="ann@example.org")
    ann.writes("Rowing", "at dawn")

    assert api.titles(tag="at dawn") == ["Rowing"]
    assert api.get("/articles?tag=at%20dawn&author=ann+lee").json["articlesCount"] == 1
    assert api.get("/profiles/ann%20lee").json["profile"]["username"] == "ann lee"
    assert api.refusal(404, "GET", "/profiles/ann+lee") == {"profile": "not found"}


def test_of_a_parameter_that_appears_twice_the_last_one_counts(api):
    ann = api.someone("ann")
    for title in "One", "Two", "Three":
        ann.writes(title, title)

    assert len(api.get("/articles?limit=3&limit=1").json["articles"]) == 1
    assert api.get("/articles?tag=One&tag=Two").json["articles"][0]["title"] == "Two"
    assert api.get("/articles?limit=none&limit=2").json["articlesCount"] == 3
    assert api.refusal(422, "GET", "/articles?limit=2&limit=none").keys() == {"limit"}


def test_parameters_that_nobody_asks_for_are_ignored(api):
    ann = api.someone("ann")
    ann.writes("One")

    for query in "?x=1", "?", "?&&=&a", "?limi=0", "?LIMIT=0", "?%", "?" + "&".join(f"x{i}" for i in range(3000)):
        assert api.get(f"/articles{query}").json == api.get("/articles").json
    assert ann.get("/user?limit=none&cursor=none").json["user"] == ann.me()


def test_a_path_that_is_spelled_differently_is_another_path(api):
    slug = api.someone("ann").writes("foo")

    for path in SPELLED_DIFFERENTLY:
        assert api.refusal(404, "GET", path.format(slug=slug)) == {"route": "not found"}


def test_a_slug_is_found_only_as_it_is(api):
    slug = api.someone("ann").writes("foo")

    for other in slug + "%0A", slug + "%20", "%20" + slug, slug.upper(), slug[:-1], slug + "%E2%80%8B":
        api.call("GET", f"/articles/{other}", status=404)


def test_the_alias_answers_like_the_newest_version(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "boats")
    ann.says(slug, "Well said")
    alias = Api(ann.client, ann.headers)
    alias.prefix = "/api"

    for path in [*GETS, f"/articles/{slug}", f"/articles/{slug}/comments"]:
        first, second = (ann.client.get(prefix + path, headers=ann.headers) for prefix in ("/api/v1", "/api"))
        assert first.text == second.text
    assert alias.refusal(404, "GET", "/nothing") == {"route": "not found"}
    assert alias.refusal(405, "PATCH", "/user") == {"method": "not allowed"}
    assert alias.refusal(422, "POST", "/articles", {}) == {"article": "can't be blank"}


def test_what_was_written_under_one_name_is_read_under_the_other(api):
    api.prefix = "/api"
    answer = api.post("/users", {"user": {"username": "ann", "email": "a@example.org", "password": "12345678"}})
    ann = Api(api.client, {"Authorization": f"Token {answer.json['user']['token']}"})

    assert ann.prefix == "/api/v1"
    assert ann.get("/user").json["user"] == answer.json["user"]


def test_the_next_page_stays_under_the_name_that_was_asked(api):
    ann = api.someone("ann")
    ann.writes("One")
    ann.writes("Two")

    for prefix in "/api/v1", "/api":
        link = api.client.get(f"{prefix}/articles?limit=1").headers["Link"]
        assert link.startswith(f"<{prefix}/articles?")


def test_head_answers_like_get_without_the_body(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn", "boats")
    ann.writes("Another")
    ann.says(slug, "Well said")

    for path in [*GETS, f"/articles/{slug}", f"/articles/{slug}/comments", "/articles?limit=1", "/articles/nothing"]:
        for prefix in "/api/v1", "/api":
            get = ann.client.get(prefix + path, headers=ann.headers, status="*")
            head = ann.client.head(prefix + path, headers=ann.headers, status="*")
            assert head.status == get.status
            assert head.body == b""
            assert {**head.headers, "X-Request-Id": ""} == {**get.headers, "X-Request-Id": ""}
            assert int(head.headers["Content-Length"]) == len(get.body) > 0


def test_head_is_refused_like_get(api):
    assert api.call("HEAD", "/user", status=401).body == b""
    assert api.call("HEAD", "/articles?limit=0", status=422).body == b""
    assert api.call("HEAD", "/articles/%FF", status=400).body == b""
    assert api.call("HEAD", "/users", status=405).headers["Allow"] == "POST"


def test_the_root_says_where_the_api_is(api):
    index = api.client.get("/").json

    assert index["api"] == api.prefix
    assert api.client.get(index["openapi"]).json["info"]["version"] == index["rowboat"]
    assert api.client.get(index["docs"]).content_type == "text/html"
    assert api.client.head("/").body == b""
