"""Behind a proxy that strips a prefix: pages, documents and examples link below it; links of pages need none."""

import re
from urllib.parse import urljoin

import pytest
from webtest import TestApp

import app
from config import Config, ConfigError
from tests.conftest import Api


@pytest.fixture
def club(db):
    return TestApp(app.make_app(Config(prefix="/club", study="on", port=8123), db))


@pytest.mark.parametrize("value", ["/club", "/a/b-c", "/~me", "/v1.2", ""])
def test_a_prefix_is_a_path(value):
    assert Config.from_environment({"ROWBOAT_PREFIX": value}).prefix == value


@pytest.mark.parametrize(
    "value", ["club", "/club/", "/", "//", "/a//b", "/a b", "/a?b", "/../x", "/.", "/é", '/"x', "/a%20"]
)
def test_anything_else_is_refused(value):
    with pytest.raises(ConfigError, match="must be a path such as /club"):
        Config.from_environment({"ROWBOAT_PREFIX": value})


def test_the_documents_name_addresses_below_it(club):
    assert club.get("/").json["openapi"] == "/club/api/v1/openapi.json"
    assert club.get("/").json["docs"] == "/club/docs"
    assert club.get("/api").json["api"] == "/club/api/v1"
    for path in "/api/openapi.json", "/docs/openapi.json":
        assert [server["url"] for server in club.get(path).json["servers"]] == ["/club/api/v1", "/club/api"]
    assert "/club/api/tags" in str(club.get("/docs/openapi.json").json["paths"]["/tags"]["get"]["x-codeSamples"])


def test_the_reference_is_told_of_it(club):
    assert club.get("/docs").html.find(id="viewer")["data-prefix"] == "/club"


def test_examples_go_through_it(club):
    assert "http://127.0.0.1:8123/club/api/articles" in club.get("/study/sql/articles/find").html.get_text()


def test_a_journey_may_be_asked_for_with_it(club):
    page = club.get("/study/journey?path=/club/api/tags").html.get_text()

    assert "answered 200 OK" in page


def test_the_next_page_is_relative_to_the_address_that_was_asked(api):
    ann = api.someone("ann")
    for title in "One", "Two", "Three":
        ann.writes(title, "a b")

    for asked in (
        "https://example.org/club/api/articles?limit=1&tag=a+b",
        "https://example.org/club/api/articles/?limit=1",
    ):
        path = asked.removeprefix("https://example.org/club")
        link = re.fullmatch('<(.+)>; rel="next"', api.client.get(path).headers["Link"])[1]
        assert link.startswith("?")
        assert urljoin(asked, link).startswith(asked.partition("?")[0] + "?limit=1")
        assert "cursor=" in link
    assert [page["articles"][0]["title"] for page in Api.pages(api, "/articles?limit=1")] == ["Three", "Two", "One"]
