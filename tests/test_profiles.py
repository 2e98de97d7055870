import unicodedata
from urllib.parse import quote

import pytest

from tests.conftest import PASSWORD

# A registered name and another spelling that counts as the same: case, and forms that look or read alike.
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


def test_a_profile_shows_name_bio_image_and_following(api):
    ann = api.someone("ann")

    new = api.get("/profiles/ann").json
    ann.changes(bio="Rows", image="ann.png")
    changed = api.get("/profiles/ann").json

    assert new == {"profile": {"username": "ann", "bio": None, "image": None, "following": False}}
    assert changed == {"profile": {"username": "ann", "bio": "Rows", "image": "ann.png", "following": False}}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/follow"), ("DELETE", "/follow")])
def test_an_unknown_profile_is_not_found(api, method, path):
    ann = api.someone("ann")

    for name in ("bob", "an", "anna", "1", "%25", "_nn", "null", "%C3%A3nn", "ann%40example.org"):
        assert ann.refusal(404, method, f"/profiles/{name}{path}") == {"profile": "not found"}


def test_a_renamed_user_is_found_under_the_new_name_only(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    bob.follows("ann")

    ann.changes(username="Anna")

    assert bob.profile("anna")["following"] is True
    assert bob.refusal(404, "GET", "/profiles/ann") == {"profile": "not found"}


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_a_name_with_characters_to_be_escaped_works_in_paths_and_filters(api, name):
    ann, bob = api.someone(name, email="ann@example.org"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    bob.writes("Rowing at dusk")
    ann.likes(slug)

    assert api.get(path_of(name)).json["profile"]["username"] == name
    assert bob.post(path_of(name) + "/follow").json["profile"]["following"] is True
    assert api.titles(author=name) == ["Rowing at dawn"]
    assert api.titles(favorited=name) == ["Rowing at dawn"]


# Following


def test_following_is_seen_by_the_follower_only(api):
    ann, bob, cem = api.someone("ann"), api.someone("bob"), api.someone("cem")

    profile = bob.follows("ann")

    assert profile == {"username": "ann", "bio": None, "image": None, "following": True}
    assert bob.profile("ann")["following"] is True
    assert bob.profile("cem")["following"] is False
    assert [each.profile("ann")["following"] for each in (ann, cem, api)] == [False, False, False]
    assert ann.profile("bob")["following"] is False


def test_following_and_unfollowing_are_idempotent(api):
    _, bob, cem = api.someone("ann"), api.someone("bob"), api.someone("cem")
    bob.follows("cem")
    cem.follows("ann")

    never = bob.unfollows("ann")
    followed = [bob.follows("ann"), bob.follows("ann")]
    unfollowed = [bob.unfollows("ann"), bob.unfollows("ann")]

    profile = {"username": "ann", "bio": None, "image": None, "following": False}
    assert followed == [profile | {"following": True}] * 2
    assert [never, *unfollowed, bob.profile("ann")] == [profile] * 4
    assert bob.profile("cem")["following"] is True
    assert cem.profile("ann")["following"] is True


def test_users_can_follow_themselves(api):
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")

    assert ann.follows("ann")["following"] is True
    assert [article["slug"] for article in ann.feed()["articles"]] == [slug]

    assert ann.unfollows("ann")["following"] is False
    assert ann.feed()["articles"] == []


# Spellings of one name


@pytest.mark.parametrize(("given", "asked"), ONE_NAME)
def test_a_name_is_found_in_every_spelling_and_shown_as_registered(api, given, asked):
    ann, bob = api.someone(given, email="ann@example.org"), api.someone("bob")
    ann.likes(ann.writes("Rowing at dawn"))
    bob.likes(bob.writes("Rowing at dusk"))

    assert api.get(path_of(asked)).json["profile"]["username"] == given
    assert api.titles(author=asked) == ["Rowing at dawn"]
    assert api.titles(favorited=asked) == ["Rowing at dawn"]
    assert bob.follows(asked)["following"] is True
    assert bob.unfollows(asked)["following"] is False


@pytest.mark.parametrize("asked", ["ANN", "ａｎｎ", " Ann "])
def test_a_name_is_taken_in_every_spelling(api, asked):
    api.someone("Ann")
    bob = api.someone("bob")
    user = {"username": asked, "email": "other@example.org", "password": PASSWORD}

    assert api.refusal(409, "POST", "/users", {"user": user}) == {"username": "has already been taken"}
    assert bob.refusal(409, "PUT", "/user", {"user": {"username": asked}}) == {"username": "has already been taken"}


LOOK_ALIKES = [("zoe", "zoë"), ("an", "ann"), ("ab", "a b"), ("a", "а"), ("bir", "bır"), ("o", "0"), ("a.", "a")]


def test_names_that_only_look_alike_are_different(api):
    ann, bob = api.someone("ann"), api.someone("bob")

    for one, other in LOOK_ALIKES:
        ann.changes(username=one)
        bob.changes(username=other)
        assert ann.profile(one)["username"] == one
        assert ann.profile(other)["username"] == other
