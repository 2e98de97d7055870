"""Guarded writes repeat the condition of their guard: without it they change nothing either."""

import pytest

from db import Refused
from passwords import digest
from tests.conftest import sqlite


@pytest.fixture
def scene(api, promote):
    """Two articles and a comment by ann, of which bob likes one; and a moderator."""
    ann, bob = api.someone("ann"), api.someone("bob")
    promote(api.someone("eve"), "moderator")
    article, other = ann.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river")
    comment = ann.says(article, "Well rowed")["id"]
    bob.likes(article)
    return {"slug": article, "other": other, "id": comment}


def content(db):
    """The rows of the tables that clients write to."""
    tables = ("users", "sessions", "articles", "article_tags", "comments", "favorites")
    return {table: sqlite(db, f"SELECT * FROM {table}") for table in tables}


@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        ("sessions/delete", {"id": 1}),
        ("articles/delete", {}),
        ("articles/update", {"changes": '{"title": "Mine"}', "words": "mine", "now": "2026-01-31T12:00:00.000Z"}),
        ("articles/set_tags", {"tags": "[]"}),
        ("articles/set_tags", {"tags": '["river", "sea"]'}),
        ("comments/delete", {}),
    ],
)
def test_a_write_without_its_guard_changes_nothing_of_another_user(db, scene, file, parameters):
    before = content(db)

    db.write(file, **scene | {"me": 2} | parameters)

    assert content(db) == before


def test_a_comment_is_deleted_only_under_its_article(db, scene):
    db.write("comments/delete", slug=scene["other"], id=scene["id"], me=1)

    assert sqlite(db, "SELECT id FROM comments") == [(scene["id"],)]


def test_a_revoked_session_is_refused_while_others_are_open(db, scene):
    with pytest.raises(Refused, match="token: is invalid"):
        db.write("sessions/must_be_open", token_hash=digest("a token that was revoked"))


def test_a_used_reset_token_is_refused_while_another_is_valid(db, scene):
    db.write("resets/create", user_id=1, token_hash=digest("a token that waits"), now=db.clock.now())

    with pytest.raises(Refused, match="token: is wrong or too old"):
        db.write("resets/must_be_valid", token_hash=digest("a token that was used"))
