"""What a search costs, counted in steps of SQLite's virtual machine."""

from urllib.parse import quote

import pytest

from tests.conftest import sqlite

ARTICLES = 5000


@pytest.fixture
def many(api, db):
    """`articles(n)` makes n articles that all hold the same words; the API."""
    api.someone("ann")

    def articles(count):
        sqlite(
            db,
            """
            WITH numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
            INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)
            SELECT 1, 'boat-' || (n + (SELECT total FROM totals)), 'Boat', 'Rowing', 'Text', ?, ?
              FROM numbers
            """,
            count,
            db.clock.now(),
            db.clock.now(),
        )
        sqlite(
            db,
            """
            INSERT INTO article_search (rowid, title, description, body)
            SELECT id, 'a boat at sea', 'rowing river morning', 'a b c d e f g h row' || id || ' water winter lake'
              FROM articles
             WHERE id NOT IN (SELECT rowid FROM article_search)
            """,
        )
        return api

    return articles


def steps_of(db, api, q):
    """How many steps a search takes, without the first of a connection."""
    api.lists(q="nothing")
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection = db._reader()
    connection.set_progress_handler(count, 1)
    api.get(f"/articles?limit=20&q={quote(q)}")
    connection.set_progress_handler(None, 0)
    return steps


def test_a_word_that_is_repeated_costs_nothing_more(many, db):
    api = many(ARTICLES)

    assert steps_of(db, api, "a " * 100) == steps_of(db, api, "a")


def test_of_a_hundred_words_eight_cost(many, db):
    api = many(ARTICLES)
    eight = "a b c d e f g h"

    assert steps_of(db, api, f"{eight} boat sea rowing river morning water winter lake") == steps_of(db, api, eight)


def test_eight_beginnings_of_words_cost_what_one_does_for_the_same_matches(many, db):
    api = many(ARTICLES)

    # Each match is walked in up to three lists, looked up in two of them, and sorted once.
    one, eight = steps_of(db, api, "ro"), steps_of(db, api, "ro bo ri mo wa wi la se")
    assert eight <= 1.1 * one
    assert one < 80 * ARTICLES


def test_beyond_10000_matches_a_search_costs_no_more(many, db):
    api = many(11_000)
    before = steps_of(db, api, "boat")
    many(11_000)

    assert steps_of(db, api, "boat") <= 1.01 * before
