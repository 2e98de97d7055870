"""Cross-origin requests: which pages can call the API, and the responses to preflights."""

import pytest
from webtest import TestApp, TestResponse

import app
from config import Config
from tests.conftest import Api
from tests.test_headers import REQUESTS

PAGE = "https://pages.example.org"
OTHER = "https://other.example.org"

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
HEADERS = {"authorization", "content-type"}
EXPOSED = {"Link", "ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"}


def restricted(db, *origins: str) -> Api:
    """The API for the pages of these origins only."""
    return Api(TestApp(app.make_app(Config.from_environment({"ROWBOAT_CORS_ORIGINS": " ".join(origins)}), db)))


def preflight(api, path: str, origin: str = PAGE) -> TestResponse:
    """The response to what a browser sends before a page's request."""
    asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization,content-type"}
    return api.client.options(path, headers={"Origin": origin, **asked}, status="*")


def listed(response: TestResponse, header: str) -> set[str]:
    """The words of a header that is a list."""
    return {word.strip() for word in response.headers[header].split(",")}


def test_any_page_can_read_any_response(api):
    for method, path, status in REQUESTS:
        response = api.call(method, path, status=status, headers={"Origin": PAGE})

        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert listed(response, "Access-Control-Expose-Headers") == EXPOSED
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_preflights_are_answered_on_any_path_and_change_nothing(api):
    slug = api.someone("ann").writes("Rowing at dawn")
    articles = [f"/api/v1/articles/{slug}", "/api/v1/articles/nothing"]

    for path in ["/api/v1/user", "/api/user", *articles, "/api/v1/nothing", "/", "/%FF"]:
        response = preflight(api, path)

        assert response.status_int == 204
        assert response.body == b""
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert listed(response, "Access-Control-Allow-Methods") == METHODS
        assert listed(response, "Access-Control-Allow-Headers") == HEADERS
        assert response.headers["Access-Control-Max-Age"] == "86400"
    assert api.titles() == ["Rowing at dawn"]


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": PAGE}, {"Access-Control-Request-Method": "PUT"}], ids=["plain", "no method", "no origin"]
)
def test_options_without_a_preflight_is_not_allowed(api, headers):
    response = api.call("OPTIONS", "/user", status=405, headers=headers)

    assert response.json == {"errors": {"method": ["not allowed"]}}
    assert listed(response, "Allow") == {"GET", "HEAD", "PUT", "DELETE"}
    assert "Access-Control-Allow-Methods" not in response.headers
    assert api.refusal(404, "OPTIONS", "/nothing", headers=headers) == {"route": "not found"}


def test_with_restricted_origins_only_their_pages_can_read_responses(db):
    api = restricted(db, "https://third.example.org", PAGE)

    for method, path, status in REQUESTS:
        allowed = api.call(method, path, status=status, headers={"Origin": PAGE})
        assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
        assert listed(allowed, "Vary") == {"Authorization", "Origin"}
        assert listed(allowed, "Access-Control-Expose-Headers") == EXPOSED

        for headers in {"Origin": OTHER}, {"Origin": PAGE + ".example"}, {"Origin": PAGE + ":8443"}, {}:
            refused = api.call(method, path, status=status, headers=headers)
            assert "Access-Control-Allow-Origin" not in refused.headers
            assert listed(refused, "Vary") == {"Authorization", "Origin"}


def test_with_restricted_origins_only_their_preflights_are_allowed(db):
    api = restricted(db, PAGE)

    allowed, refused = preflight(api, "/api/v1/user"), preflight(api, "/api/v1/user", origin=OTHER)

    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert listed(allowed, "Access-Control-Allow-Methods") == METHODS
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert allowed.status_int == refused.status_int == 204
    assert allowed.headers["Vary"] == refused.headers["Vary"] == "Authorization, Origin, Access-Control-Request-Headers"


def test_a_star_among_the_origins_allows_any(db):
    api = restricted(db, PAGE, "*")

    assert api.get("/tags", headers={"Origin": OTHER}).headers["Access-Control-Allow-Origin"] == "*"
