"""What every answer tells a browser, and what it does not tell anybody."""

import pytest

from tests.conftest import sqlite
from tests.test_request_id import REQUESTS


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_is_data_that_nothing_may_run_or_frame(api, method, path, status):
    headers = api.call(method, path, status=status).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_so_are_a_preflight_an_answer_from_memory_and_a_bug_of_ours(api, db):
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
    etag = api.get("/articles").headers["ETag"]
    answers = [
        api.client.options("/api/tags", headers=preflight),
        api.get("/articles"),
        api.call("GET", "/articles", headers={"If-None-Match": etag}, status=304),
    ]
    sqlite(db, "DROP TABLE tags")
    answers.append(api.client.get("/api/tags", status=500, expect_errors=True))

    assert [answer.headers["X-Content-Type-Options"] for answer in answers] == ["nosniff"] * 4


def test_where_a_token_is_missing_or_wrong_the_answer_says_what_to_send(api):
    api.someone("ann")
    user = {"email": "ann@example.org", "password": "wrong horse"}
    ann = api.logs_in("ann@example.org")
    ann.delete("/user/sessions/current")

    answers = [
        api.call("GET", "/user", status=401),
        ann.call("GET", "/user", status=401),
        api.call("POST", "/users/login", {"user": user}, status=401),
    ]

    assert [answer.headers["WWW-Authenticate"] for answer in answers] == ["Token"] * 3
    assert "WWW-Authenticate" not in api.get("/tags").headers
