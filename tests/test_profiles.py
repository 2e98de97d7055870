import unicodedata
from urllib.parse import quote

import pytest

from tests.conftest import PASSWORD

# What is registered, and what else is the same name: case, and forms that look or read the same.
ONE_NAME = [
    pytest.param("Ann", "aNN", id="case"),
    pytest.param("ann", "ａｎｎ", id="full-width letters"),
    pytest.param("ＡＮＮ", "ann", id="full-width capitals"),
    pytest.param("Zoë", unicodedata.normalize("NFD", "zoë"), id="a composed accent"),
    pytest.param(unicodedata.normalize("NFD", "Zoë"), "ZOË", id="a decomposed accent"),
    pytest.param("Straße", "STRASSE", id="a sharp s"),
    pytest.param("STRAẞE", "strasse", id="a capital sharp s"),
    pytest.param("ﬁnn", "FINN", id="a ligature"),
    pytest.param("ΟΔΥΣΣΕΥΣ", "Οδυσσευς", id="a final sigma"),
    pytest.param("Ωmega", "ωmega", id="the sign for Ohm"),
    pytest.param("ann²", "ANN2", id="a superscript"),
    pytest.param("ᾳnn", "ΑΙnn", id="a letter that becomes two"),
    pytest.param("\u03d2nn", "υNN", id="a form that has another case"),
    pytest.param("\u0390nn", "\u03aa\u0301NN", id="a case that has another form"),
    pytest.param("\u1f81\u0301nn", "\u1f85nn", id="two accents, of which one is a letter elsewhere"),
]

UNUSUAL_NAMES = ["ann lee", "a+b&c=d;e", "@a:b|c^d", "({[<'*\"!,`$~>]})", "100€ 安🚣"]


def path_of(name):
    return f"/profiles/{quote(name, safe='')}"


# Reading


def test_a_profile_shows_these_four_things_and_no_others(api):
    api.someone("ann").changes(bio="Rows", image="ann.png")

    answer = api.get("/profiles/ann").json

    assert answer == {"profile": {"username": "ann", "bio": "Rows", "image": "ann.png", "following": False}}


def test_a_new_profile_has_neither_bio_nor_image(api):
    api.someone("ann")

    assert api.profile("ann") == {"username": "ann", "bio": None, "image": None, "following": False}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/follow"), ("DELETE", "/follow")])
def test_a_profile_that_there_is_not_is_not_found(api, method, path):
    ann = api.someone("ann")

    for name in ("bob", "an", "anna", "1", "%25", "_nn", "null", "%C3%A3nn", "ann%40example.org"):
        assert ann.refusal(404, method, f"/profiles/{name}{path}") == {"profile": "not found"}


def test_a_renamed_user_is_found_under_the_new_name_alone(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    bob.follows("ann")

    ann.changes(username="Anna")

    assert bob.profile("anna")["following"] is True
    assert bob.refusal(404, "GET", "/profiles/ann") == {"profile": "not found"}


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_a_name_may_hold_what_an_address_has_to_quote(api, name):
    ann, bob = api.someone(name, email="ann@example.org"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    bob.writes("Rowing at dusk")
    ann.likes(slug)

    assert api.get(path_of(name)).json["profile"]["username"] == name
    assert bob.post(path_of(name) + "/follow").json["profile"]["following"] is True
    assert api.titles(author=name) == ["Rowing at dawn"]
    assert api.titles(favorited=name) == ["Rowing at dawn"]


# Following


def test_who_follows_sees_it_and_nobody_else_does(api):
    ann, bob, cem = api.someone("ann"), api.someone("bob"), api.someone("cem")

    profile = bob.follows("ann")

    assert profile == {"username": "ann", "bio": None, "image": None, "following": True}
    assert bob.profile("ann")["following"] is True
    assert bob.profile("cem")["following"] is False
    assert [each.profile("ann")["following"] for each in (ann, cem, api)] == [False, False, False]
    assert ann.profile("bob")["following"] is False


def test_following_twice_is_following(api):
    api.someone("ann")
    bob = api.someone("bob")

    assert bob.follows("ann") == bob.follows("ann")

    assert bob.unfollows("ann")["following"] is False
    assert bob.profile("ann")["following"] is False


def test_following_no_longer_twice_changes_nothing_more(api):
    _, bob, cem = api.someone("ann"), api.someone("bob"), api.someone("cem")
    bob.follows("ann")
    bob.follows("cem")
    cem.follows("ann")

    assert bob.unfollows("ann") == bob.unfollows("ann")

    assert bob.profile("ann")["following"] is False
    assert bob.profile("cem")["following"] is True
    assert cem.profile("ann")["following"] is True


def test_whom_one_never_followed_one_can_unfollow(api):
    api.someone("ann")
    bob = api.someone("bob")

    profile = bob.unfollows("ann")

    assert profile == {"username": "ann", "bio": None, "image": None, "following": False}


def test_one_may_follow_oneself_like_anybody_else(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    assert ann.follows("ann")["following"] is True
    assert [article["slug"] for article in ann.feed()["articles"]] == [slug]

    assert ann.unfollows("ann")["following"] is False
    assert ann.feed()["articles"] == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_following_needs_a_token_before_anything_else(api, method):
    api.someone("ann")

    for name in ("ann", "nobody"):
        assert api.refusal(401, method, f"/profiles/{name}/follow") == {"token": "is missing"}


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_following_ignores_a_body_and_its_type(api, method):
    bob, _ = api.someone("bob"), api.someone("ann")

    answer = bob.call(method, "/profiles/ann/follow", raw=b"{no JSON", headers={"Content-Type": "text/plain"})

    assert answer.json["profile"]["following"] is (method == "POST")


# One name in many forms


@pytest.mark.parametrize(("given", "asked"), ONE_NAME)
def test_a_name_is_found_in_any_form_and_shown_as_it_was_given(api, given, asked):
    ann, bob = api.someone(given, email="ann@example.org"), api.someone("bob")
    ann.likes(ann.writes("Rowing at dawn"))
    bob.likes(bob.writes("Rowing at dusk"))

    assert api.get(path_of(asked)).json["profile"]["username"] == given
    assert api.titles(author=asked) == ["Rowing at dawn"]
    assert api.titles(favorited=asked) == ["Rowing at dawn"]
    assert bob.follows(asked)["following"] is True
    assert bob.unfollows(asked)["following"] is False


@pytest.mark.parametrize("asked", ["ANN", "ａｎｎ", " Ann "])
def test_a_name_is_taken_in_any_form(api, asked):
    api.someone("Ann")
    bob = api.someone("bob")
    user = {"username": asked, "email": "other@example.org", "password": PASSWORD}

    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}
    assert bob.refusal(409, "PUT", "/user", {"user": {"username": asked}}) == {"username": "has already been taken"}


def test_names_that_only_look_alike_are_two(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    for one, other in (
        ("zoe", "zoë"),
        ("an", "ann"),
        ("ab", "a b"),
        ("a", "а"),
        ("bir", "bır"),
        ("o", "0"),
        ("a.", "a"),
    ):
        ann.changes(username=one)
        bob.changes(username=other)
        assert ann.profile(one)["username"] == one
        assert ann.profile(other)["username"] == other
