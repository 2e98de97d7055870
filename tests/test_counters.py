import random
from contextlib import closing, suppress

import pytest

import cli
import cli_operations  # noqa: F401 (adds its commands)
from db.connection import connect
from tests.conftest import sqlite

# Every count that triggers keep, beside the same counted anew.
KEPT = {
    "users.articles_count": """
        SELECT articles_count, (SELECT count(*) FROM articles WHERE author_id = users.id)
          FROM users""",
    "users.favorites_count": """
        SELECT favorites_count, (SELECT count(*) FROM favorites WHERE user_id = users.id)
          FROM users""",
    "articles.favorites_count": """
        SELECT favorites_count, (SELECT count(*) FROM favorites WHERE article_id = articles.id)
          FROM articles""",
    "tags.articles_count": """
        SELECT articles_count, (SELECT count(*) FROM article_tags WHERE tag_id = tags.id)
          FROM tags""",
    "totals.total": """
        SELECT total, (SELECT count(*) FROM articles)
          FROM totals
         WHERE name = 'articles'""",
}


def miscounted(db):
    """The counters that are not what a recount gives."""
    return {name for name, sql in KEPT.items() if any(kept != counted for kept, counted in sqlite(db, sql))}


def counted_something(db):
    return all(any(kept for kept, _ in sqlite(db, sql)) for sql in KEPT.values())


def test_every_counter_is_right_after_whatever_happened(api, db):
    chance = random.Random("whatever happened")
    people = [api.someone(f"someone{number}") for number in range(6)]
    written = []

    for step in range(400):
        something_happens(chance, people, written)
        if step in (200, 300):
            leaves(db, people.pop())
            written[:] = [(author, slug) for author, slug in written if author in people]
            assert not miscounted(db), step

    assert not miscounted(db)
    assert counted_something(db)


def something_happens(chance, people, written):
    """One of the writes that counters depend on, by somebody."""
    me = chance.choice(people)
    tags = chance.sample(["river", "mist", "dawn", "dusk", "boat"], k=chance.randrange(4))
    author, slug = chance.choice(written or [(None, None)])
    match chance.choice(["write", "write", "tag", "like", "like", "like", "unlike", "title", "delete"]):
        case "tag" if author:
            author.edits(slug, tagList=tags)
        case "title" if author:
            author.edits(slug, title=chance.choice(["Rowing", "Racing"]))
        case "like" if author:
            me.likes(slug)
        case "unlike" if author:
            me.unlikes(slug)
        case "delete" if author:
            author.deletes(slug)
            written.remove((author, slug))
        case _:
            written.append((me, me.writes("Rowing", *tags)))


def leaves(db, someone):
    """Delete a user, and with them what is theirs: no route does, but whoever runs the server may."""
    with closing(connect(db.path)) as connection:
        deleted = connection.execute("DELETE FROM users WHERE username = ?", [someone.name])
        assert deleted.rowcount == 1


def test_who_leaves_takes_along_what_is_theirs_and_nothing_else(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    kept, gone = bob.writes("Rowing at dawn", "river"), ann.writes("Rowing at dusk", "river", "dusk")
    ann.likes(kept)
    ann.says(kept, "Well rowed")
    bob.likes(kept)
    bob.likes(gone)
    bob.follows("ann")

    leaves(db, ann)

    assert api.lists() == {"articles": api.lists(author="bob")["articles"], "articlesCount": 1}
    assert (api.reads(kept)["favoritesCount"], api.comments_of(kept), api.tags()) == (1, [], ["river"])
    assert api.lists(favorited="bob")["articlesCount"] == 1
    assert bob.feed() == {"articles": [], "articlesCount": 0}
    assert not miscounted(db)


@pytest.fixture
def check(db, capsys):
    """The wrong counters that the command `check` names, in alphabetical order."""

    def run(*options):
        with suppress(SystemExit):
            cli.commands.main(["check", *options, "--database", str(db.path)], standalone_mode=False)
        lines = [line.partition("counters: ") for line in capsys.readouterr().out.splitlines()]
        return sorted(named for _, counters, named in lines if counters)

    return run


def test_every_wrong_counter_is_named_and_repaired(api, db, check):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.writes("Rowing at dawn", "river")
    bob.likes(ann.writes("Rowing at dusk", "river", "dusk"))
    ann.deletes(ann.writes("Racing", "race"))
    sqlite(db, "INSERT INTO totals VALUES ('drafts', 7)")  # a fork counts them in its own way
    assert check() == []

    for table, column in (name.split(".") for name in KEPT):
        sqlite(db, f"UPDATE {table} SET {column} = {column} + 10")

    assert check() == [
        "articles.favorites_count of 1 is 10, and should be 0",
        "articles.favorites_count of 2 is 11, and should be 1",
        "tags.articles_count of 1 is 12, and should be 2",
        "tags.articles_count of 2 is 11, and should be 1",
        "tags.articles_count of 3 is 10, and should be 0",
        "totals.total of articles is 12, and should be 2",
        "users.articles_count of 1 is 12, and should be 2",
        "users.articles_count of 2 is 10, and should be 0",
        "users.favorites_count of 1 is 10, and should be 0",
        "users.favorites_count of 2 is 11, and should be 1",
    ]
    assert check("--repair") == []
    assert check() == []
    assert not miscounted(db)
    assert sqlite(db, "SELECT total FROM totals WHERE name = 'drafts'") == [(17,)]


def test_a_counter_that_is_right_is_not_named_with_one_that_is_wrong(api, db, check):
    ann, bob = api.someone("ann"), api.someone("bob")
    ann.likes(ann.writes("Rowing at dawn", "river"))
    bob.likes(bob.writes("Rowing at dusk", "dusk"))
    for table in ("users", "articles", "tags"):
        column = "favorites_count" if table == "articles" else "articles_count"
        sqlite(db, f"UPDATE {table} SET {column} = 0 WHERE id = 2")

    assert check() == [
        "articles.favorites_count of 2 is 0, and should be 1",
        "tags.articles_count of 2 is 0, and should be 1",
        "users.articles_count of 2 is 0, and should be 1",
    ]


def test_no_counter_is_forgotten_here(db):
    columns = sqlite(
        db,
        """
        SELECT tables.name || '.' || columns.name
          FROM pragma_table_list AS tables
          JOIN pragma_table_info(tables.name) AS columns
         WHERE columns.name LIKE '%\\_count' ESCAPE '\\' OR tables.name = 'totals' AND columns.name = 'total'
        """,
    )

    assert {name for (name,) in columns} == KEPT.keys()
    assert sqlite(db, "SELECT name FROM totals") == [("articles",)]


def test_whatever_counts_wrong_is_named_with_what_it_should_be(api, db):
    ann, bob = api.someone("ann"), api.someone("bob")
    liked = ann.writes("Rowing at dawn", "river", "mist")
    ann.writes("Rowing at dusk", "river")
    ann.edits(liked, tagList=["river"])
    bob.likes(liked)
    assert db.rows("counters/wrong")[1] == []

    for table, counter in (name.split(".") for name in KEPT):
        sqlite(db, f"UPDATE {table} SET {counter} = {counter} + 5")

    assert sorted(db.rows("counters/wrong")[1]) == [
        ("articles.favorites_count", 1, 6, 1),
        ("articles.favorites_count", 2, 5, 0),
        ("tags.articles_count", 1, 7, 2),
        ("tags.articles_count", 2, 5, 0),
        ("totals.total", "articles", 7, 2),
        ("users.articles_count", 1, 7, 2),
        ("users.articles_count", 2, 5, 0),
        ("users.favorites_count", 1, 5, 0),
        ("users.favorites_count", 2, 6, 1),
    ]
