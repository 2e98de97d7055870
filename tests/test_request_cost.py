"""What the most expensive request of each anonymous GET costs, in steps of SQLite's virtual machine."""

import pytest

from tests.conftest import sqlite

ARTICLES = 2000


@pytest.fixture
def grow(api, db):
    """`grow(n)` adds n articles by ann with the tag boats, which bob likes."""
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.says(bob.writes("First", "boats", "first"), "Well rowed")
    ids = "SELECT id FROM articles WHERE id NOT IN (SELECT article_id FROM article_tags)"

    def add(count):
        sqlite(
            db,
            """
            WITH numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
            INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)
            SELECT 1, 'boat-' || (n + (SELECT total FROM totals)), 'Boat', 'Rowing', 'Text', created_at, created_at
              FROM numbers, (SELECT created_at FROM articles WHERE id = 1)
            """,
            count,
        )
        sqlite(db, f"INSERT INTO favorites SELECT 2, id, '2026-01-31T12:00:00.000Z' FROM ({ids})")
        sqlite(db, f"INSERT INTO article_tags SELECT id, 0, 1 FROM ({ids})")

    return add


def steps_of(db, api, path):
    """How many steps a GET takes, without what a connection does the first time."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection = db._reader()
    api.get(path + ("&" if "?" in path else "?") + "first=1")
    connection.set_progress_handler(count, 1)
    api.get(path)
    connection.set_progress_handler(None, 0)
    return steps


CONSTANT = [
    "/articles?limit=100",
    "/articles?limit=100&offset=1900",
    "/articles?limit=100&tag=boats",
    "/articles?limit=100&author=ann",
    "/articles?limit=100&favorited=bob",
    "/articles?limit=100&tag=boats&offset=1900",
    "/articles?limit=100&tag=first&author=bob&favorited=bob",
    "/profiles/ann",
    "/tags",
]


@pytest.mark.parametrize("path", CONSTANT)
def test_a_request_costs_the_same_with_twice_the_articles(api, db, grow, path):
    grow(ARTICLES)
    before = steps_of(db, api, path)
    grow(ARTICLES)

    assert 20 < steps_of(db, api, path) <= 1.05 * before


def test_combined_filters_cost_at_most_sixty_steps_for_each_article_of_the_smallest_set(api, db, grow):
    grow(ARTICLES)

    assert steps_of(db, api, "/articles?limit=100&tag=boats&author=ann&favorited=bob") < 60 * ARTICLES


def test_a_skipped_article_costs_at_most_ten_steps(api, db, grow):
    grow(ARTICLES)

    first = steps_of(db, api, "/articles?limit=1")
    assert steps_of(db, api, f"/articles?limit=1&offset={ARTICLES - 1}") - first < 10 * ARTICLES
