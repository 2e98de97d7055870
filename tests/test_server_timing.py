"""Server-Timing: the SQL files that ran for a response, in study mode only."""

import re

import pytest

from tests.conftest import PASSWORD

HERE = "127.0.0.1"


def files_of(response):
    """The SQL files named in the response, without their times."""
    entries = response.headers.get("Server-Timing", "")
    assert re.fullmatch(r"([a-z_.]+;dur=\d+\.\d{3}(, |$))*", entries)
    return re.findall(r"([a-z_.]+);", entries)


def test_the_files_are_named_in_the_order_in_which_they_ran(asks):
    api = asks(HERE, study="on")
    slug = api.someone("ann").writes("Dawn")

    assert files_of(api.get("/articles?limit=5")) == ["articles.newest", "articles.list"]
    assert files_of(api.someone("bob").get("/articles/feed")) == ["sessions.find", "articles.feed", "articles.list"]
    liked = api.someone("eve").post(f"/articles/{slug}/favorite")
    assert files_of(liked) == ["sessions.find", "users.must_be_active", "articles.favorite", "articles.render"]


def test_files_are_named_on_errors_but_not_on_cached_responses(asks):
    api = asks(HERE, study="on")

    assert files_of(api.call("GET", "/articles/nothing", status=404)) == ["articles.render"]
    assert files_of(api.get("/tags")) == ["tags.list"]
    assert files_of(api.get("/tags")) == []


def test_times_are_never_shown_where_they_could_reveal_a_password(asks):
    api = asks(HERE, study="on")
    ann = api.someone("ann")
    user = {"email": "ann@example.org", "password": PASSWORD}

    for response in (
        api.post("/users", {"user": user | {"username": "bob", "email": "bob@example.org"}}),
        api.call("POST", "/users", {"user": user | {"username": "ann"}}, status=409),
        api.post("/users/login", {"user": user}),
        api.call("POST", "/users/login", {"user": user | {"password": "a wrong one"}}, status=401),
        ann.get("/user"),
    ):
        assert "Server-Timing" not in response.headers


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.1", "localhost"),
        ("127.0.0.1", "example.org"),  # a local proxy, or a page whose name resolves to this machine
        ("127.0.0.1", "localhost.example.org"),
        ("127.0.0.1", "127.0.0.1.example.org"),
        ("127.0.0.1", "localhost:80\n"),
        ("127.0.0.1", ""),
        ("::ffff:192.0.2.1", "localhost"),
    ],
)
def test_other_clients_are_shown_files_only_if_study_is_on(asks, peer, host):
    assert files_of(asks(peer, host).get("/tags")) == []
    assert files_of(asks(peer, host, study="on").get("/tags?once=more")) == ["tags.list"]


@pytest.mark.parametrize("settings", [{"study": "off"}, {"trusted_proxy": HERE}])
def test_local_clients_are_shown_nothing_if_study_is_off_or_behind_a_proxy(asks, settings):
    assert files_of(asks(HERE, **settings).get("/tags")) == []
