"""Cross-origin requests: which pages may call the API, and what their browsers are told before and after."""

import pytest
from webtest import TestApp, TestResponse

import app
from config import Config
from tests.conftest import Api, sqlite

PAGE = "https://pages.example.org"
OTHER = "https://other.example.org"

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
HEADERS = {"Authorization", "Content-Type", "If-None-Match", "X-Requested-With", "X-Request-Id"}
EXPOSED = {"Link", "ETag", "Retry-After", "Server-Timing", "X-Request-Id"}

# One request for each kind of answer, those included that no handler makes.
REQUESTS = [
    ("GET", "/tags", 200),
    ("HEAD", "/tags", 200),
    ("GET", "/articles/%FF", 400),
    ("GET", "/user", 401),
    ("GET", "/articles/nothing", 404),
    ("GET", "/nothing", 404),
    ("PATCH", "/user", 405),
    ("POST", "/users/login", 415),
    ("GET", "/articles?limit=0", 422),
]


def narrowed(db, *origins: str) -> Api:
    """The API for the pages of these origins alone."""
    return Api(TestApp(app.make_app(Config.from_environment({"ROWBOAT_CORS_ORIGINS": " ".join(origins)}), db)))


def preflight(api, path: str, origin: str = PAGE, method: str = "PUT") -> TestResponse:
    """What a browser is answered that asks before it sends a page's request."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type"}
    return api.client.options(path, headers={"Origin": origin, **asked}, status="*")


def listed(answer: TestResponse, header: str) -> set[str]:
    """The words of a header that is a list."""
    return {word.strip() for word in answer.headers[header].split(",")}


def test_any_page_may_read_any_answer(api):
    for method, path, status in REQUESTS:
        answer = api.call(method, path, status=status, headers={"Origin": PAGE})

        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert listed(answer, "Access-Control-Expose-Headers") == EXPOSED
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_any_page_may_read_of_a_bug_of_ours(api, db):
    sqlite(db, "DROP TABLE tags")

    answer = api.client.get("/api/v1/tags", headers={"Origin": PAGE}, expect_errors=True)

    assert answer.status_int == 500
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert listed(answer, "Access-Control-Expose-Headers") == EXPOSED


@pytest.mark.parametrize("path", ["/api/v1/user", "/api/user", "/api/v1/articles/dawn", "/api/v1/nothing", "/", "/%FF"])
def test_a_preflight_is_answered_on_any_path(api, path):
    answer = preflight(api, path)

    assert answer.status_int == 204
    assert answer.body == b""
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert listed(answer, "Access-Control-Allow-Methods") == METHODS
    assert listed(answer, "Access-Control-Allow-Headers") == HEADERS
    assert answer.headers["Access-Control-Max-Age"] == "86400"


def test_a_preflight_looks_at_no_token_and_changes_nothing(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    answer = preflight(api, f"/api/v1/articles/{slug}", method="DELETE")

    assert answer.status_int == 204
    assert ann.titles() == ["Rowing at dawn"]


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": PAGE}, {"Access-Control-Request-Method": "PUT"}], ids=["plain", "no method", "no origin"]
)
def test_options_that_is_no_preflight_is_a_wrong_method(api, headers):
    answer = api.call("OPTIONS", "/user", status=405, headers=headers)

    assert answer.json == {"errors": {"method": ["not allowed"]}}
    assert listed(answer, "Allow") == {"GET", "HEAD", "PUT", "DELETE"}
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert api.refusal(404, "OPTIONS", "/nothing", headers=headers) == {"route": "not found"}


def test_where_the_origins_are_named_their_pages_may_read_any_answer(db):
    api = narrowed(db, OTHER, PAGE)

    for method, path, status in REQUESTS:
        answer = api.call(method, path, status=status, headers={"Origin": PAGE})

        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert listed(answer, "Vary") == {"Authorization", "Origin"}
        assert listed(answer, "Access-Control-Expose-Headers") == EXPOSED


def test_where_the_origins_are_named_other_pages_may_read_nothing(db):
    api = narrowed(db, PAGE)

    for method, path, status in REQUESTS:
        for headers in {"Origin": OTHER}, {"Origin": PAGE + ".example"}, {"Origin": PAGE + ":8443"}, {}:
            answer = api.call(method, path, status=status, headers=headers)

            assert "Access-Control-Allow-Origin" not in answer.headers
            assert listed(answer, "Vary") == {"Authorization", "Origin"}


def test_where_the_origins_are_named_preflights_are_answered_to_their_pages(db):
    api = narrowed(db, PAGE)

    allowed, refused = preflight(api, "/api/v1/user"), preflight(api, "/api/v1/user", origin=OTHER)

    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert listed(allowed, "Access-Control-Allow-Methods") == METHODS
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert allowed.status_int == refused.status_int == 204
    assert allowed.headers["Vary"] == refused.headers["Vary"] == "Authorization, Origin"


def test_a_star_among_the_named_origins_is_any(db):
    api = narrowed(db, PAGE, "*")

    assert api.get("/tags", headers={"Origin": OTHER}).headers["Access-Control-Allow-Origin"] == "*"
