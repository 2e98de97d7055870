"""The id that every request has, by which an answer and what the log says of it are joined."""

import re

from tests.conftest import sqlite

REQUESTS = [
    ("GET", "/tags", 200),
    ("HEAD", "/tags", 200),
    ("GET", "/articles/%FF", 400),
    ("GET", "/user", 401),
    ("GET", "/nothing", 404),
    ("PATCH", "/user", 405),
    ("POST", "/users/login", 415),
    ("GET", "/articles?limit=0", 422),
]


def test_every_answer_names_its_request(api):
    for method, path, status in REQUESTS:
        answer = api.call(method, path, status=status)
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])

        answer = api.call(method, path, status=status, headers={"X-Request-Id": "from-the-proxy_7.a"})
        assert answer.headers["X-Request-Id"] == "from-the-proxy_7.a"


def test_a_preflight_and_a_bug_of_ours_name_their_request(api, db, caplog):
    asks = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT", "X-Request-Id": "asks"}
    sqlite(db, "DROP TABLE tags")

    preflight = api.client.options("/api/v1/user", headers=asks)
    bug = api.client.get("/api/v1/tags", headers={"X-Request-Id": "finds-a-bug"}, status=500)

    assert preflight.headers["X-Request-Id"] == "asks"
    assert bug.headers["X-Request-Id"] == "finds-a-bug"
    assert [record.request_id for record in caplog.records] == ["finds-a-bug"]


def test_no_two_requests_have_the_same_id(api):
    ids = {api.get("/tags").headers["X-Request-Id"] for _ in range(50)}

    assert len(ids) == 50


def test_an_id_that_could_garble_a_log_is_replaced(api):
    for sent in (
        "",
        " ",
        "a b",
        "a\tb",
        "a;b",
        "a,b",
        "a/b",
        "é",
        "<b>",
        '"a"',
        "a" * 65,
        "one, two",
        "a\x7f",
        "%0d%0aX: y",
    ):
        answered = api.get("/tags", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
        assert re.fullmatch("[0-9a-f]{32}", answered), f"{sent!r} was taken over"


def test_a_well_formed_id_is_taken_over(api):
    for sent in "a", "A-Z_0.9", "a" * 64, "3f2504e0-4f89-11d3-9a0c-0305e82c3301":
        assert api.get("/tags", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent
