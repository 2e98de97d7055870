"""Paths and queries of every route: their encoding, their spelling, the alias /api, and HEAD."""

import pytest

from tests.conftest import Api

GETS = ["/user", "/profiles/ann", "/articles", "/articles/feed", "/tags", "/openapi.json"]

OTHER_SPELLINGS = ["/tags//", "//tags", "/articles//comments", "/./tags", "/articles/../tags"]
OTHER_SPELLINGS += ["/articles/{slug}/comments%0A", "/articles/{slug}/favorite%0A", "/tags%0A", "/tags%20", "/tags;x=1"]
OTHER_SPELLINGS += ["/articles%2Ffeed%2F"]


def test_a_path_that_is_not_utf_8_or_has_nul_is_refused(api):
    ann = api.someone("ann")
    slug = ann.writes("foo")
    tails = ["%FF", "%C3", "%C3%28", "%ED%A0%80", "%C0%AF", "%F5%80%80%80", "%00", "%FF/comments", "/comments%00"]
    paths = ["/nothing%FF", "/%FF", "/profiles/ann%FF", "/articles/feed%00", "/articles/a/comments/1%FF", "/tags%FF"]

    for path in paths + [f"/articles/{slug}{tail}" for tail in tails]:
        for method in "GET", "POST", "PUT", "DELETE":
            assert ann.refusal(400, method, path) == {"path": "must be UTF-8 without NUL"}
    assert ann.profile("ann")["following"] is False


@pytest.mark.parametrize(
    "query",
    [
        *("tag=%FF", "tag=%C3&%A9", "%FF", "%FF=1", "unknown=%FF", "tag=%ED%A0%80", "tag=%00", "limit=1%00"),
        *(b"tag=" + raw for raw in (b"\xff", b"\xc3", b"\xc3%A9", b"%C3\xa9", b"\x00")),
    ],
)
def test_a_query_that_is_not_utf_8_or_has_nul_is_refused(api, query):
    sent = query.decode("latin-1") if isinstance(query, bytes) else query  # as WSGI passes bytes on

    for path in "/articles", "/tags", "/articles/nothing", "/nothing":
        assert api.refusal(400, "GET", f"{path}?{sent}") == {"query": "must be UTF-8 without NUL"}


def test_names_in_paths_and_queries_can_be_escaped_or_raw(api):
    zoe = api.someone("Zoë", email="zoe@example.org")
    zoe.writes("Café", "café")
    raw = "Zoë".encode().decode("latin-1")  # as WSGI passes bytes on

    assert api.get("/profiles/Zo%C3%AB").json == api.get("/profiles/%5Ao%c3%ab").json
    assert api.get(f"/articles?author={raw}").json["articlesCount"] == 1
    assert api.get("/articles?tag=caf%C3%A9").json["articlesCount"] == 1
    assert api.get("/articles?t%61g=caf%c3%a9&author=Zo%C3%AB").json["articlesCount"] == 1


def test_a_plus_is_a_blank_in_a_query_but_not_in_a_path(api):
    ann = api.someone("ann lee", email="ann@example.org")
    ann.writes("Rowing", "at dawn")

    assert api.titles(tag="at dawn") == ["Rowing"]
    assert api.get("/articles?tag=at%20dawn&author=ann+lee").json["articlesCount"] == 1
    assert api.get("/profiles/ann%20lee").json["profile"]["username"] == "ann lee"
    assert api.refusal(404, "GET", "/profiles/ann+lee") == {"profile": "not found"}


def test_unknown_parameters_are_ignored(api):
    ann = api.someone("ann")
    ann.writes("One")
    queries = ["?x=1", "?", "?&&=&a", "?limi=0", "?LIMIT=0", "?limit[]=x", "?sort=oldest&Tag=river", "?%"]

    for query in [*queries, "?" + "&".join(f"x{i}" for i in range(3000))]:
        assert api.get(f"/articles{query}").json == api.get("/articles").json
    assert ann.get("/user?limit=none&cursor=none").json["user"] == ann.me()


def test_other_spellings_of_a_path_are_not_found(api):
    slug = api.someone("ann").writes("foo")

    for path in OTHER_SPELLINGS:
        assert api.refusal(404, "GET", path.format(slug=slug)) == {"route": "not found"}
    for other in slug + "%0A", slug + "%20", "%20" + slug, slug.upper(), slug[:-1], slug + "%E2%80%8B":
        api.call("GET", f"/articles/{other}", status=404)


def test_the_alias_responds_like_the_newest_version(api):
    alias = Api(api.client)
    alias.prefix = "/api"
    user = alias.post("/users", {"user": {"username": "ann", "email": "a@example.org", "password": "12345678"}}).json
    ann = Api(api.client, {"Authorization": f"Token {user['user']['token']}"})
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text"}
    slug = ann.post("/articles", {"article": article}).json["article"]["slug"]
    ann.post(f"/articles/{slug}/comments", {"comment": {"body": "Well said"}})

    for path in [*GETS, f"/articles/{slug}", f"/articles/{slug}/comments"]:
        first, second = (ann.client.get(prefix + path, headers=ann.headers) for prefix in ("/api/v1", "/api"))
        assert first.text == second.text
    assert ann.get("/user").json == user
    alias.headers = ann.headers
    assert alias.refusal(404, "GET", "/nothing") == {"route": "not found"}
    assert alias.refusal(405, "PATCH", "/user") == {"method": "not allowed"}
    assert alias.refusal(422, "POST", "/articles", {}) == {"article": "can't be blank"}


def test_head_has_the_headers_of_get_and_no_body(api):
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


def test_the_root_links_to_the_api_and_its_documentation(api):
    index = api.client.get("/").json

    assert index["api"] == api.prefix
    assert api.client.get(index["openapi"]).json["info"]["version"] == index["rowboat"]
    assert api.client.get(index["docs"]).content_type == "text/html"
    assert api.client.head("/").body == b""
