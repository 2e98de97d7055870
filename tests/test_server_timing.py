"""Server-Timing: which SQL files ran for an answer, for those who study; strangers are not told."""

import re

import pytest

from tests.conftest import PASSWORD

HERE = "127.0.0.1"


def files_of(answer):
    """The files that an answer names, without their times."""
    entries = answer.headers.get("Server-Timing", "")
    assert re.fullmatch(r"([a-z_.]+;dur=\d+\.\d{3}(, |$))*", entries)
    return re.findall(r"([a-z_.]+);", entries)


def test_the_files_that_ran_are_named_in_their_order(asks):
    api = asks(HERE)
    slug = api.someone("ann").writes("Dawn")

    assert files_of(api.get("/articles?limit=5")) == ["articles.newest", "articles.list"]
    assert files_of(api.someone("bob").get("/articles/feed")) == ["sessions.find", "articles.feed", "articles.list"]
    liked = api.someone("eve").post(f"/articles/{slug}/favorite")
    assert files_of(liked) == ["sessions.find", "users.must_be_active", "articles.favorite", "articles.render"]


def test_what_ran_is_named_with_an_error_too_and_nothing_with_an_answer_from_memory(asks):
    api = asks(HERE)

    assert files_of(api.call("GET", "/articles/nothing", status=404)) == ["articles.render"]
    assert files_of(api.get("/tags")) == ["tags.list"]
    assert files_of(api.get("/tags")) == []


def test_times_are_never_told_where_they_would_tell_of_a_password(asks):
    api = asks(HERE, study="on")
    ann = api.someone("ann")
    user = {"email": "ann@example.org", "password": PASSWORD}

    for answer in (
        api.post("/users", {"user": user | {"username": "bob", "email": "bob@example.org"}}),
        api.call("POST", "/users", {"user": user | {"username": "ann"}}, status=409),
        api.post("/users/login", {"user": user}),
        api.call("POST", "/users/login", {"user": user | {"password": "a wrong one"}}, status=401),
        ann.get("/user"),
    ):
        assert "Server-Timing" not in answer.headers


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_whoever_asks_this_machine_from_itself_is_told(asks, peer, host):
    assert files_of(asks(peer, host).get("/tags")) == ["tags.list"]


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.1", "localhost"),
        ("127.0.0.1", "example.org"),  # a proxy on this machine, or a page that had its name point here
        ("127.0.0.1", "localhost.example.org"),
        ("127.0.0.1", "127.0.0.1.example.org"),
        ("127.0.0.1", "localhost:80\n"),
        ("127.0.0.1", ""),
        ("::ffff:192.0.2.1", "localhost"),
    ],
)
def test_strangers_are_told_nothing_unless_it_is_switched_on(asks, peer, host):
    assert files_of(asks(peer, host).get("/tags")) == []
    assert files_of(asks(peer, host, study="on").get("/tags?once=more")) == ["tags.list"]


def test_it_can_be_switched_off(asks):
    assert files_of(asks(HERE, study="off").get("/tags")) == []


def test_behind_a_proxy_nobody_counts_as_this_machine(asks):
    assert files_of(asks(HERE, trusted_proxy="127.0.0.1").get("/tags")) == []
