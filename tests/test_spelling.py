"""One path has one spelling, a slash at its end aside; what a proxy refuses by its path stays refused."""

import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from webtest.app import TestRequest

from tests.conftest import statements_of

ROUTE_NOT_FOUND = {"errors": {"route": ["not found"]}}


def ask(api, target, status=200):
    """GET exactly this target, as waitress passes it on."""
    parser = HTTPRequestParser(Adjustments())
    parser.received(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    path = "/" + parser.path.lstrip("/") if parser.path.startswith("/") else parser.path
    environ = {"REQUEST_URI": parser.request_uri, "PATH_INFO": path, "QUERY_STRING": parser.query}
    return api.client.do_request(TestRequest.blank("/", environ), status=status)


@pytest.fixture
def slug(api):
    return api.someone("ann").writes("Rowing at dawn")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/api", "/api/v1", "/docs", "/healthz", "/readyz", "/api/openapi.json", "/api/articles", "/api/v1/tags",
        "/api/articles/{slug}", "/api/articles/{slug}/comments", "/api/profiles/ann",
    ],
)  # fmt: skip
def test_a_slash_at_the_end_is_served_like_none(api, slug, path):
    path = path.format(slug=slug)

    without, with_slash = ask(api, path), ask(api, path if path == "/" else path + "/")

    assert with_slash.body == without.body
    assert with_slash.status_int == 200
    assert "Location" not in with_slash.headers


def test_a_slash_at_the_end_shares_the_cached_response(api, db, slug):
    api.get("/articles?limit=5")

    assert statements_of(db, api, "/articles/?limit=5") == 0


def test_it_is_served_for_every_method(api, slug):
    ann = api.logs_in("ann@example.org")

    assert ann.post(f"/articles/{slug}/favorite/").json["article"]["favorited"] is True
    assert ann.put(f"/articles/{slug}/", {"article": {"body": "New"}}).json["article"]["body"] == "New"
    assert ann.call("HEAD", "/articles/").status_int == 200
    assert ann.delete(f"/articles/{slug}/", status=204)


@pytest.mark.parametrize(
    "target",
    [
        "//api/articles", "///api/articles", "/api//articles", "/api/articles//", "/api/articles/{slug}//", "//",
        "/api%2Farticles%2F{slug}", "/api%2farticles", "/api/articles%2F", "/api/articles%2F{slug}", "/%2Fapi/tags",
        "/%61pi/articles", "/api/%61rticles", "/api/article%73/{slug}", "/api/articles/{slug}/%63omments", "/%64ocs",
        "/ap%69/v1/tags", "/%68ealthz", "/API/articles", "/api/./articles", "/api/x/../articles", "/api/%2e/articles",
        "/api/articles;x=1", "/api/articles%20", "/api/articles%3Flimit=1", "/api/articles%0A", "/api/articles%0A/",
        "http://localhost//api/articles", "http://localhost/api%2Farticles", "/api/profiles/ann%2F", "/api\\articles",
        "/api/articles/%2F", "/./api/articles", "/api/articles/.", "/%2e/api/articles",
    ],
)  # fmt: skip
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "cached"])
def test_any_other_spelling_is_no_route(api, slug, target, warm):
    if warm:
        for path in "/articles", f"/articles/{slug}", f"/articles/{slug}/comments", "/tags", "/profiles/ann":
            ask(api, f"/api{path}")

    found = ask(api, target.format(slug=slug), 404).json

    assert found in (ROUTE_NOT_FOUND, {"errors": {"article": ["not found"]}})
    assert found == ROUTE_NOT_FOUND or target == "/api/articles/."  # the slug "."


@pytest.mark.parametrize("target", ["/api/profiles/Zo%C3%AB", "/api/profiles/Zo%c3%ab", "/api/profiles/%5Ao%C3%AB"])
def test_names_in_a_path_may_be_escaped_in_any_way(api, target):
    api.someone("Zoë", email="zoe@example.org")

    assert ask(api, target).json["profile"]["username"] == "Zoë"


@pytest.mark.parametrize(
    "target", ["http://localhost/api/tags", "https://localhost:8080/api/tags/", "/api/tags?a=//b%2Fc"]
)
def test_a_whole_url_and_any_query_are_taken(api, target):
    assert ask(api, target).json == {"tags": []}


def test_an_unreadable_path_is_still_a_400(api):
    assert ask(api, "/api/tags%FF/", 400).json == {"errors": {"path": ["must be UTF-8 without NUL"]}}
