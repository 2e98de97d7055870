"""A write that somebody may not make is refused before it; it would also do nothing by itself."""

import json

import pytest

from db import Refused
from db.clock import now
from passwords import digest
from tests.conftest import sqlite


@pytest.fixture
def scene(api, promote):
    """Ann has written and said something, bob and a moderator have not."""
    ann, bob = api.someone("ann"), api.someone("bob")
    promote(api.someone("eve"), "moderator")
    article, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river")
    comment = ann.says(article, "Well rowed")["id"]
    bob.likes(article)
    return {"slug": article, "other": other, "id": comment}


def content(db):
    """What the tables hold that people fill."""
    tables = ("users", "sessions", "articles", "article_tags", "comments", "favorites")
    return {table: sqlite(db, f"SELECT * FROM {table}") for table in tables}


@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        ("sessions/delete", {"id": 1}),
        ("articles/delete", {}),
        ("articles/update", {"changes": json.dumps({"title": "Mine"}), "words": "mine", "now": now()}),
        ("articles/set_tags", {"tags": "[]"}),
        ("articles/set_tags", {"tags": '["river", "sea"]'}),
        ("comments/delete", {}),
    ],
)
def test_what_is_somebody_elses_stays_as_it_is_whatever_the_guard_says(db, scene, file, parameters):
    before = content(db)

    db.write(file, **scene | {"me": 2} | parameters)

    assert content(db) == before


def test_a_comment_that_stands_elsewhere_stays_whatever_the_guard_says(db, scene):
    db.write("comments/delete", slug=scene["other"], id=scene["id"], me=1)

    assert sqlite(db, "SELECT id FROM comments") == [(scene["id"],)]


def test_a_session_that_has_ended_opens_nothing_though_others_have_not(db, scene):
    with pytest.raises(Refused, match="token: is invalid"):
        db.write("sessions/must_be_open", token_hash=digest("a token that was revoked"))


def test_a_reset_token_that_was_used_sets_nothing_though_another_waits(db, scene):
    db.write("resets/create", user_id=1, token_hash=digest("a token that waits"), now=now())

    with pytest.raises(Refused, match="token: is wrong or too old"):
        db.write("resets/must_be_valid", token_hash=digest("a token that was used"))
