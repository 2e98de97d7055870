"""The command check compares the search index with the articles, and --repair indexes them anew."""

import sqlite3
from contextlib import closing

import pytest

from db.migrations import migrate, rollback
from tests.conftest import HOME, sqlite


@pytest.fixture
def check(db, commands):
    """Run check on the database of the test; the line that it ends with."""

    def run(*options, status=0):
        return commands.says("check", *options, "--database", str(db.path), status=status)[-1]

    return run


@pytest.fixture
def written(api):
    """Thirty articles, more than check reads at once."""
    ann = api.someone("ann")
    for number in range(30):
        ann.writes(f"Łódź {number}", description="Ελλάδα", body="世界")
    return ann


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        ("DELETE FROM article_search WHERE rowid = 3", "search: 1 articles are not found by their words"),
        ("UPDATE article_search SET body = 'else' WHERE rowid > 22", "search: 8 articles are not found by their words"),
        ("INSERT INTO article_search (rowid, title) VALUES (99999, 'x')", "search: 1 articles are not found by"),
        ("UPDATE articles SET title = 'Rowing' WHERE id IN (1, 25)", "search: 2 articles are not found by their words"),
        ("DELETE FROM article_search_data WHERE id > 10", "search: article_search: "),
        ("UPDATE article_search_content SET c0 = 'else' WHERE id = 7", "search: article_search: "),
    ],
)
def test_what_is_wrongly_indexed_is_named_and_repaired(written, db, check, harm, line):
    assert check() == f"{db.path} is as it should be"
    with closing(sqlite3.connect(db.path)) as connection, connection:
        connection.execute(harm)

    assert check(status=1).startswith(line)
    assert check("--repair") == check() == f"{db.path} is as it should be"
    assert written.lists(q="lodz ελλαδα 世")["articlesCount"] >= 28


def test_after_an_upgrade_check_asks_for_a_repair(written, db, commands, clock):
    old = db.path.with_name("old.db")
    sqlite(db, f"VACUUM INTO '{old}'")
    rollback(old, HOME / "schema", to=14, backup=False)
    migrate(old, HOME / "schema", backup=False, clock=clock)

    (problem,) = commands.says("check", "--database", str(old), status=1)[-1:]
    assert problem == "search: 30 articles are not found by their words; `check --repair` indexes them"
    assert commands.says("check", "--repair", "--database", str(old))[-1] == f"{old} is as it should be"
