"""The counters that triggers keep, and the command `check` that compares them with what it counts."""

import random

import pytest

from tests.conftest import sqlite

# For each counter, its values beside what a new count returns.
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
    """The counters that differ from a new count."""
    return {name for name, sql in KEPT.items() if any(kept != counted for kept, counted in sqlite(db, sql))}


def counted_something(db):
    return all(any(kept for kept, _ in sqlite(db, sql)) for sql in KEPT.values())


def test_every_counter_is_right_after_random_writes(api, db):
    chance = random.Random("whatever happened")
    people = [api.someone(f"someone{number}") for number in range(6)]
    written = []

    for step in range(200):
        write_something(chance, people, written)
        if step in (100, 150):
            people.pop().leaves()
            written[:] = [(author, slug) for author, slug in written if author in people]
            assert not miscounted(db), step

    assert not miscounted(db)
    assert counted_something(db)


def write_something(chance, people, written):
    """One of the writes that counters depend on, by a random user."""
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


@pytest.fixture
def check(db, commands):
    """The wrong counters that the command `check` names, in alphabetical order."""
    commands.database = db.path

    def run(*options):
        lines = [line.partition("counters: ") for line in commands.run("check", *options).stdout.splitlines()]
        return sorted(named for _, counters, named in lines if counters)

    return run


def test_check_names_and_repairs_every_wrong_counter(api, db, check):
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


def test_check_does_not_name_correct_counters(api, db, check):
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


def test_the_list_of_counters_above_is_complete(db):
    columns = sqlite(
        db,
        """
        SELECT tables.name || '.' || columns.name
          FROM pragma_table_list AS tables
          JOIN pragma_table_info(tables.name) AS columns
         WHERE tables.type <> 'view'
           AND (columns.name LIKE '%\\_count' ESCAPE '\\' OR tables.name = 'totals' AND columns.name = 'total')
        """,
    )

    assert {name for (name,) in columns} == KEPT.keys()
    assert sqlite(db, "SELECT name FROM totals") == [("articles",)]
