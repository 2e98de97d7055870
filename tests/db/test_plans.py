import itertools
import json
import re
import shutil
from contextlib import closing

import pytest

import seed
from db import Database
from db.connection import connect
from db.script import blank_comments, split
from db.statements import find
from tests.conftest import HOME
from tests.db.accounts import NOW

NAMES = find(HOME / "sql")

# The tables that grow with use. `totals` does not: it has a row for each thing that is counted.
GROWING = "users articles comments favorites follows sessions slugs tags article_tags".split()

EVERYTHING = 2**63 - 1


@pytest.fixture(scope="module")
def grown(migrated, tmp_path_factory):
    """Databases with a few thousand rows: as they come, and with SQLite's statistics of them."""
    plain = tmp_path_factory.mktemp("grown") / "plain.db"
    shutil.copy(migrated, plain)
    with closing(Database(plain, HOME / "sql")) as database:
        seed.sow(database, 40, 200, lambda count: None)
    analyzed = plain.with_name("analyzed.db")
    shutil.copy(plain, analyzed)
    with closing(connect(analyzed)) as connection:
        connection.execute("ANALYZE")
    return {"plain": plain, "analyzed": analyzed}


def plan(connection, statement):
    parameters = dict.fromkeys(re.findall(r":(\w+)", statement))
    return [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def scans(connection, statement):
    """The steps of a plan that read all of something, other than what the statement has made itself."""
    made = {"CONSTANT", *re.findall(r"(\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", blank_comments(statement))}
    assert not made & set(GROWING)
    steps = [re.match(r"SCAN (\S+)( VIRTUAL TABLE)?", step) for step in plan(connection, statement)]
    return [step[0] for step in steps if step and not step[2] and step[1] not in made and step[1][0] != "("]


def triggered(connection):
    """The statements inside the triggers, with parameters in place of the old and the new row."""
    for (trigger,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'"):
        body = trigger[trigger.index("BEGIN") + len("BEGIN") : trigger.rindex("END")]
        yield from (statement.sql for statement in split(re.sub(r"\b(?:NEW|OLD)\.", ":", body)))


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
@pytest.mark.parametrize("name", NAMES)
def test_no_file_scans_what_grows(grown, name, statistics):
    with closing(connect(grown[statistics])) as connection:
        for statement in split(NAMES[name].read_text(encoding="utf-8")):
            assert scans(connection, statement.sql) == []


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
def test_no_trigger_scans_what_grows(grown, statistics):
    with closing(connect(grown[statistics])) as connection:
        statements = list(triggered(connection))

        assert len(statements) >= 10
        assert [scans(connection, statement) for statement in statements] == [[]] * len(statements)


# What we would not have: that the tests above can fail.
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT id FROM articles WHERE title = :title", "SCAN articles"),
        ("SELECT count(*) FROM articles", "SCAN articles"),
        ("SELECT id FROM users AS author WHERE author.bio = :bio", "SCAN author"),
        ("SELECT id FROM articles ORDER BY id DESC LIMIT 20", "SCAN articles"),
        ("SELECT 1 FROM follows WHERE followed_id + 0 = :me", "SCAN follows"),
        ("SELECT id FROM users WHERE (:name IS NULL OR username_key = :name)", "SCAN users"),
        ("WITH page AS (SELECT id FROM comments WHERE body = :body) SELECT id FROM page", "SCAN comments"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM slugs WHERE slug LIKE :part)", "SCAN slugs"),
        ("DELETE FROM sessions WHERE last_used_at < :before", "SCAN sessions"),
        ("UPDATE tags SET articles_count = 0 WHERE name = lower(name)", "SCAN tags"),
        ("INSERT INTO favorites SELECT :me, id, :now FROM articles WHERE slug = :slug", "SCAN articles"),
        ("SELECT value FROM json_each(:page) AS page JOIN article_tags ON position = page.value", "SCAN article_tags"),
    ],
)
def test_a_scan_is_noticed(grown, statement, found):
    with closing(connect(grown["plain"])) as connection:
        assert found in scans(connection, statement)


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
def test_tags_are_read_in_order_from_their_index(grown, statistics):
    with closing(connect(grown[statistics])) as connection:
        steps = plan(connection, NAMES["tags/list"].read_text(encoding="utf-8"))

    assert [step for step in steps if "tags" in step] == [
        "SEARCH tags USING INDEX tags_articles_count_idx (articles_count>?)"
    ]
    assert not [step for step in steps if "ORDER BY" in step]


# In every village ann has written the same 30 articles, with the same tag, and fan likes them. All other articles
# are the crowd's, and so are all comments but ann's first one. Reader follows ann, fan and himself, fan the crowd.
ANN, FAN, READER, CROWD = 1, 2, 3, range(4, 44)
BY_ANN = range(7, 217, 7)


def village(path, articles):
    """Fill a migrated database with so many articles."""
    people = {ANN: "ann", FAN: "fan", READER: "reader"} | {number: f"u{number}" for number in CROWD}
    numbers = range(1, articles + 1)
    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        for table, rows in {
            "users (id, username, username_key, email, email_key, password_hash, created_at, updated_at)": [
                (number, name, name, f"{name}@example.org", f"{name}@example.org", "nobody's", NOW, NOW)
                for number, name in people.items()
            ],
            "sessions (user_id, token_hash, created_at, last_used_at)": [
                (number, f"{number:064}", NOW, NOW) for number in people
            ],
            "follows (follower_id, followed_id, created_at)": [
                *((READER, each, NOW) for each in (ANN, FAN, READER)),
                *((FAN, each, NOW) for each in CROWD),
            ],
            "articles (author_id, slug, title, description, body, created_at, updated_at)": [
                (ANN if n in BY_ANN else CROWD[n % len(CROWD)], f"s-{n:08}", "Rowing", "About it", "The text", NOW, NOW)
                for n in numbers
            ],
            "tags (id, name)": [(1, "rare"), (2, "common")],
            "article_tags (article_id, position, tag_id)": [(n, 1, 2) for n in numbers] + [(n, 0, 1) for n in BY_ANN],
            "favorites (user_id, article_id, created_at)": [(FAN, n, NOW) for n in BY_ANN],
            "comments (article_id, author_id, body, created_at)": [
                (7, ANN, "First", NOW),
                *((n, author, "Well said", NOW) for n in numbers if n % 7 == 0 for author in CROWD),
            ],
        }.items():
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute("COMMIT")


def analyze(path, like=None):
    """Take SQLite's statistics, or have those of another database."""
    with closing(connect(path)) as connection:
        connection.execute("ANALYZE")
        if like:
            connection.execute("ATTACH ? AS other", (str(like),))
            connection.execute("DELETE FROM sqlite_stat1")
            connection.execute("INSERT INTO sqlite_stat1 SELECT * FROM other.sqlite_stat1")


@pytest.fixture(scope="module", params=["without statistics", "with statistics", "with statistics from its youth"])
def villages(request, migrated, tmp_path_factory):
    """A small village and one that is 20 times as large."""
    small, large = (tmp_path_factory.mktemp("villages") / name for name in ("small.db", "large.db"))
    for path, articles in ((small, 220), (large, 4400)):
        shutil.copy(migrated, path)
        village(path, articles)
    if request.param != "without statistics":
        analyze(small)
        analyze(large, like=small if "youth" in request.param else None)
    return small, large


def steps(path, script, parameters):
    """How many steps SQLite takes for a script, those of its triggers and cascades included. Nothing is stored."""
    taken = 0

    def count():
        nonlocal taken
        taken += 1

    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        connection.set_progress_handler(count, 1)
        for statement in split(script):
            connection.execute(statement.sql, parameters).fetchall()
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK")
    return taken


PAGE = {"before": EVERYTHING, "limit": 20, "offset": 0}
SLUG = {"slug": "s-00000070"}
SOME_IDS = json.dumps([*BY_ANN][:20])
FILTERS = [
    {"tag": tag, "author": author, "favorited": fan}
    for tag, author, fan in itertools.product((None, "rare", "common"), (None, "ann"), (None, "fan"))
]
NEW_USER = {
    "username": "new",
    "username_key": "new",
    "email": "new@x",
    "email_key": "new@x",
    "password_hash": "",
    "now": NOW,
}
TEXTS = {"title": "Rowing", "description": "About it", "body": "The text"}
TOKEN = {"token_hash": f"{ANN:064}"}

# Every file of sql/, with what it is asked.
CASES = [
    ("articles/newest", PAGE),
    ("articles/newest", PAGE | {"before": 100}),
    *(("articles/find", PAGE | filters) for filters in FILTERS[1:]),
    ("articles/find", PAGE | FILTERS[0] | {"author": "u9", "limit": 3}),
    ("articles/create", TEXTS | {"me": ANN, "slug": "a-new-slug", "now": NOW}),
    ("articles/delete", SLUG | {"me": ANN}),
    ("articles/favorite", SLUG | {"me": READER, "now": NOW}),
    ("articles/feed", PAGE | {"me": READER}),
    ("articles/feed", PAGE | {"me": FAN, "limit": 3}),
    ("articles/list", {"page": SOME_IDS, "total": 20, "me": READER}),
    ("articles/must_be_mine", SLUG | {"me": ANN}),
    ("articles/must_exist", SLUG),
    ("articles/render", SLUG | {"me": READER}),
    ("articles/set_tags", SLUG | {"me": ANN, "tags": '["common", "new"]'}),
    ("articles/unfavorite", SLUG | {"me": FAN}),
    ("articles/update", SLUG | {"me": ANN, "changes": json.dumps(TEXTS), "words": "rowing", "now": NOW}),
    ("comments/create", SLUG | {"me": READER, "body": "Well said", "now": NOW}),
    ("comments/delete", SLUG | {"me": CROWD[0], "id": 362}),
    ("comments/find", SLUG | {"before": EVERYTHING, "limit": 20}),
    ("comments/must_be_mine", SLUG | {"me": CROWD[0], "id": 362}),
    ("comments/render", {"page": SOME_IDS, "me": READER}),
    ("comments/render", {"page": None, "me": ANN}),
    ("profiles/follow", {"username_key": "u9", "me": READER, "now": NOW}),
    ("profiles/render", {"username_key": "ann", "me": READER}),
    ("profiles/unfollow", {"username_key": "ann", "me": READER}),
    (
        "sessions/create",
        TOKEN | {"email_key": "ann@example.org", "password_hash": "nobody's", "now": NOW, "token_hash": "1" * 64},
    ),
    ("sessions/delete_others", TOKEN | {"me": ANN}),
    ("sessions/find", TOKEN | {"expired": "", "touch_before": ""}),
    ("sessions/must_be_open", TOKEN | {"me": ANN}),
    ("sessions/touch", TOKEN | {"now": NOW}),
    ("tags/list", {}),
    ("users/create", NEW_USER),
    ("users/find_credentials", {"email_key": "ann@example.org"}),
    ("users/must_be_free", {"username_key": "ann", "email_key": "new@x", "me": READER}),
    ("users/newest", {}),
    ("users/rehash", {"user_id": ANN, "old_hash": "nobody's", "new_hash": "new"}),
    ("users/render", TOKEN | {"token": "secret"}),
    ("users/update", {"me": ANN, "changes": '{"username": "new", "username_key": "new", "bio": null}', "now": NOW}),
]


def test_there_is_a_case_for_every_file():
    # What a search costs grows with what it finds.
    assert {name for name, _ in CASES} == NAMES.keys() - {"articles/search"}


@pytest.mark.parametrize(
    ("name", "parameters"), CASES, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CASES)]
)
def test_a_file_takes_as_many_steps_in_a_large_database_as_in_a_small_one(villages, name, parameters):
    small, large = (steps(path, NAMES[name].read_text(encoding="utf-8"), parameters) for path in villages)

    assert small > 1
    assert large <= 1.05 * small


# What we would not have: that the test above can fail.
@pytest.mark.parametrize(
    "script",
    [
        "SELECT max(title) FROM articles",
        "SELECT id FROM articles ORDER BY title LIMIT 1",
        "SELECT count(*) FROM article_tags WHERE tag_id = 2",
        "SELECT group_concat(id) FROM comments WHERE author_id = 4",
        "UPDATE articles SET body = 'x' WHERE body = 'y'",
        "DELETE FROM users WHERE id = 4",
    ],
)
def test_steps_that_grow_are_noticed(villages, script):
    small, large = (steps(path, script, {}) for path in villages)

    assert large > 10 * small
