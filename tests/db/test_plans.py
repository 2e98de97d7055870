import difflib
import itertools
import json
import os
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

# What `check` asks reads whole tables, and has to.
NAMES = {name: path for name, path in find(HOME / "sql").items() if not name.startswith("counters/")}

# The tables that grow with use. `totals` does not: it has a row for each thing that is counted.
GROWING = """
    users articles comments favorites follows sessions slugs tags article_tags attempts login_addresses
    reserved_usernames audit password_resets outbox
""".split()

PLANS = HOME / "tests/db/plans.txt"
REFRESH = "REFRESH_PLANS=1 .venv/bin/python -m pytest tests/db/test_plans.py"
HEADER = f"""\
# How each file of sql/ and each trigger reaches the tables that it reads: by which index, and what is sought there.
# The same without and with ANALYZE. Checks of foreign keys read, too: articles/create looks for comments of its id.
# Made by `{REFRESH}`; do not edit.
"""
ADVICE = f"""
These are not the plans of tests/db/plans.txt. Where they are meant, run `{REFRESH}`, and commit the file.
Where only an analyzed database differs, settle the plan with INDEXED BY or CROSS JOIN, as sql/articles/feed.sql does.
"""

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


def reached(connection, statement):
    """What a statement reads, other than what it has made itself: each table, its index, and what is sought there.

    Only what every SQLite since 3.40 says alike: not whether an index is covering, nor what is sorted."""
    made = set(re.findall(r"(\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", blank_comments(statement)))
    assert not made & set(GROWING)
    for step in plan(connection, statement):
        table = re.match(r"(?:SCAN|SEARCH) ([a-z]\w*)", step)
        if table and table[1] not in made and " VIRTUAL TABLE " not in step:
            yield table[1], index_of(connection, step), sought(step)
        elif table and re.search(r" INDEX \d+:M", step):  # else it is json_each
            yield table[1], "full text", "MATCH"


def index_of(connection, step):
    """The name of an index, or the constraint that it was made for."""
    index = re.search(r" INDEX (\w+)", step)
    if not index:
        return "primary key"
    columns = [column for _, _, column in connection.execute(f"PRAGMA index_info ({index[1]})")]
    return f"UNIQUE ({', '.join(columns)})" if index[1].startswith("sqlite_autoindex_") else index[1]


def sought(step):
    terms = re.search(r" \((.+)\)", step)
    if step.startswith("SCAN") or " AUTOMATIC " in step:  # such an index is made of the whole table, each time
        return "every row"
    return terms[1] if terms else "first or last"


def triggered(connection):
    """The triggers' names, and the statements inside, with parameters in place of the old and the new row."""
    for name, trigger in connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"):
        body = trigger[trigger.index("BEGIN") + len("BEGIN") : trigger.rindex("END")]
        # A trigger that refuses reads nothing by doing so, and RAISE is understood within triggers alone.
        yield f"trigger {name}", re.sub(r"\bRAISE\(.*?\)", "NULL", re.sub(r"\b(?:NEW|OLD)\.", ":", body))


def plans(connection):
    """How every file of sql/ and every trigger reaches its tables, in the form of plans.txt."""
    files = [(name, path.read_text(encoding="utf-8")) for name, path in NAMES.items()]
    text = HEADER
    for name, script in files + list(triggered(connection)):
        ways = itertools.chain.from_iterable(reached(connection, statement.sql) for statement in split(script))
        rows = [f"    {table:14}  {index:27}  {terms}\n" for table, index, terms in dict.fromkeys(ways)]
        text += f"\n{name}\n{''.join(rows)}"
    return text


def difference(committed, found):
    lines = difflib.unified_diff(committed.splitlines(), found.splitlines(), "plans.txt", "found", n=6, lineterm="")
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="module")
def committed(grown):
    """The text of plans.txt; with REFRESH_PLANS it is written first."""
    if "REFRESH_PLANS" in os.environ:
        with closing(connect(grown["plain"])) as connection:
            PLANS.write_text(plans(connection), encoding="utf-8")
    return PLANS.read_text(encoding="utf-8")


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
def test_every_file_and_trigger_reaches_its_tables_as_committed(grown, committed, statistics):
    with closing(connect(grown[statistics])) as connection:
        changes = difference(committed, plans(connection))

    assert not changes, changes + ADVICE


def test_no_table_is_read_whole(committed):
    assert "every row" not in committed


# What we would not have: that the tests above can fail.
def test_a_dropped_index_is_noticed(grown, committed):
    with closing(connect(grown["plain"])) as connection:
        connection.execute("BEGIN")  # and never COMMIT
        connection.execute("DROP INDEX comments_article_id_idx")

        changes = difference(committed, plans(connection))

    assert "\n-    comments        comments_article_id_idx      article_id=? AND rowid<?\n" in changes


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT id FROM articles WHERE title = :title", "articles"),
        ("SELECT count(*) FROM articles", "articles"),
        ("SELECT id FROM users AS author WHERE author.bio = :bio", "author"),
        ("SELECT id FROM articles ORDER BY id DESC LIMIT 20", "articles"),
        ("SELECT 1 FROM follows WHERE followed_id + 0 = :me", "follows"),
        ("SELECT id FROM users WHERE (:name IS NULL OR username_key = :name)", "users"),
        ("WITH page AS (SELECT id FROM comments WHERE body = :body) SELECT id FROM page", "comments"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM slugs WHERE slug LIKE :part)", "slugs"),
        ("DELETE FROM sessions WHERE created_at < :before", "sessions"),
        ("UPDATE tags SET articles_count = 0 WHERE name = lower(name)", "tags"),
        ("INSERT INTO favorites SELECT :me, id, :now FROM articles WHERE slug = :slug", "articles"),
        ("SELECT value FROM json_each(:page) AS page JOIN article_tags ON position = page.value", "article_tags"),
        ("SELECT 1 FROM users AS one CROSS JOIN users AS two ON two.bio = one.bio", "two"),
    ],
)
def test_a_scan_is_noticed(grown, statement, found):
    with closing(connect(grown["plain"])) as connection:
        assert (found, "every row") in [(table, rows) for table, _, rows in reached(connection, statement)]


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
def test_tags_are_read_in_order(grown, statistics):
    with closing(connect(grown[statistics])) as connection:
        steps = plan(connection, NAMES["tags/list"].read_text(encoding="utf-8"))

    assert not [step for step in steps if "ORDER BY" in step]


LIMITS = [
    {"subject": "login to ann", "burst": 10, "recovery_ms": 600000.0},
    {"subject": "login from 192.0.2.1", "burst": 10, "recovery_ms": 600000.0},
]

# In every village ann has written the same 30 articles, with the same tag, and fan likes them. All other articles
# are the crowd's, and so are all comments but ann's first one. Reader follows ann, fan and himself, fan the crowd.
# Leaver has written nothing. The longer a village has been there, the more stands in its audit log.
ANN, FAN, READER, CROWD, LEAVER = 1, 2, 3, range(4, 44), 44
BY_ANN = range(7, 217, 7)


def village(path, articles):
    """Fill a migrated database with so many articles."""
    people = {ANN: "ann", FAN: "fan", READER: "reader", LEAVER: "leaver"} | {n: f"u{n}" for n in CROWD}
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
            "attempts (subject, level, counted_at_ms, waits_until_ms)": [
                *((f"login from {n}", 1, n, 0) for n in numbers),
                (LIMITS[0]["subject"], 2, 0, 9),
            ],
            "login_addresses (user_id, address, used_at)": [
                (CROWD[n % len(CROWD)], f"192.0.2.{n}", NOW) for n in numbers
            ],
            "audit (created_at, actor_id, user_id, action)": [
                (NOW, *[ANN if n in BY_ANN else CROWD[n % len(CROWD)]] * 2, "user.login") for n in numbers
            ],
            "password_resets (token_hash, user_id, created_at)": [(f"{n:064}", ANN, NOW) for n in numbers],
            "outbox (user_id, created_at, next_attempt_at)": [(number, NOW, NOW) for number in people],
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
ATTEMPT = {"what": "login", "limits": json.dumps(LIMITS), "now_ms": 5}
TOKEN = {"token_hash": f"{ANN:064}"}
CHANGE = {"user_id": FAN, "role": "admin", "suspended": 1}
ACCOUNTS = [{"q": None, "role": None}, {"q": None, "role": "member"}, {"q": "ann", "role": None}]

# Every file of sql/, with what it is asked.
CASES = [
    ("accounts/changes", CHANGE),
    *(("accounts/find", {"before": EVERYTHING, "limit": 20} | asked) for asked in ACCOUNTS),
    ("accounts/must_be_changeable", {"me": FAN, "username_key": "ann", "role": None}),
    ("accounts/must_leave_an_admin", CHANGE),
    ("accounts/render", {"page": SOME_IDS, "user_id": None}),
    ("accounts/render", {"page": None, "user_id": ANN}),
    ("accounts/update", CHANGE | {"now": NOW}),
    ("attempts/forget", {"subjects": '["login to ann", "password of user 1"]'}),
    ("audit/find", {"actor": None, "before": EVERYTHING, "limit": 20}),
    ("audit/find", {"actor": "ann", "before": EVERYTHING, "limit": 20}),
    (
        "audit/note",
        {"actions": '["user.login"]', "me": ANN, "user_id": ANN, "object_id": 1, "request_id": "x", "now": NOW},
    ),
    ("audit/delete_old", {"horizon": "2020-01-31T12:00:00.000Z", "most": 20}),
    ("audit/move_horizon", {"horizon": "2020-01-31T12:00:00.000Z"}),
    ("audit/render", {"page": SOME_IDS}),
    ("outbox/add", {"email_key": "u9@example.org", "now": NOW}),
    ("outbox/delay", {"id": 1, "next_attempt_at": NOW}),
    ("outbox/delete", {"id": 1}),
    ("outbox/find", {"id": 1}),
    ("outbox/next", {"now": "2027"}),
    ("resets/create", {"user_id": ANN, "token_hash": "1" * 64, "now": NOW}),
    ("resets/delete", {"me": READER}),
    ("resets/delete_old", {"reset_expired": "2027", "reset_ahead": "2027", "most": 20}),
    ("resets/find", TOKEN | {"expired": "", "now": "2027"}),
    ("resets/must_be_valid", TOKEN),
    ("stats/daily", {"today": "2026-03-31", "first": "2026-03-02", "since": "2026-02-17"}),
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
    ("articles/identify", SLUG),
    ("articles/must_be_deletable", SLUG | {"me": FAN}),
    ("articles/must_be_mine", SLUG | {"me": ANN}),
    ("articles/must_exist", SLUG),
    ("articles/render", SLUG | {"me": READER}),
    ("articles/set_tags", SLUG | {"me": ANN, "tags": '["common", "new"]'}),
    ("articles/unfavorite", SLUG | {"me": FAN}),
    ("articles/update", SLUG | {"me": ANN, "changes": json.dumps(TEXTS), "words": "rowing", "now": NOW}),
    ("attempts/count", ATTEMPT),
    ("attempts/delete_old", {"old_ms": 50, "most": 20}),
    ("attempts/forgive", {"account_subject": "login to ann", "address_subject": "login from 7"}),
    ("attempts/must_be_allowed", ATTEMPT),
    ("checks/version", {}),
    ("checks/write", {}),
    ("comments/create", SLUG | {"me": READER, "body": "Well said", "now": NOW}),
    ("comments/delete", SLUG | {"me": CROWD[0], "id": 362}),
    ("comments/find", SLUG | {"before": EVERYTHING, "limit": 20}),
    ("comments/identify", {"id": 362}),
    ("comments/must_be_deletable", SLUG | {"me": CROWD[0], "id": 362}),
    ("comments/render", {"page": SOME_IDS, "me": READER}),
    ("comments/render", {"page": None, "me": ANN}),
    ("addresses/delete_old", {"unused_since": "2027", "most": 20}),
    ("addresses/note", {"email_key": "ann@example.org", "address": "192.0.2.1", "now": NOW}),
    ("profiles/follow", {"username_key": "u9", "me": READER, "now": NOW}),
    ("profiles/render", {"username_key": "ann", "me": READER}),
    ("profiles/unfollow", {"username_key": "ann", "me": READER}),
    (
        "sessions/create",
        {
            "email_key": "ann@example.org",
            "password_hash": "nobody's",
            "token_hash": "1" * 64,
            "user_agent": "curl/8",
            "now": NOW,
        },
    ),
    ("sessions/delete", {"me": ANN, "id": 1}),
    ("sessions/delete_current", TOKEN),
    ("sessions/delete_expired", {"expired": "2027", "most": 1}),
    ("sessions/delete_others", TOKEN | {"me": ANN}),
    ("sessions/find", TOKEN | {"expired": "", "touch_before": "", "now": ""}),
    ("sessions/list", TOKEN | {"me": ANN, "expired": ""}),
    ("sessions/must_be_mine", {"me": ANN, "id": 1}),
    ("sessions/must_be_open", TOKEN | {"me": ANN}),
    ("sessions/touch", TOKEN | {"now": NOW}),
    ("tags/list", {}),
    ("users/changes", {"me": ANN, "changes": '{"username": "new", "password_hash": "x"}'}),
    ("users/create", NEW_USER),
    ("users/delete", {"user_id": LEAVER, "username_key_hash": "1" * 64}),
    ("users/export", {"me": FAN, "subjects": '["login to ann", "password of user 3"]'}),
    ("users/find_credentials", {"email_key": "ann@example.org", "address": "192.0.2.1"}),
    ("users/find_own_credentials", {"me": ANN}),
    ("users/identify", {"username_key": "ann"}),
    ("users/identify_email", {"email_key": "ann@example.org"}),
    ("users/keep_content", {"user_id": LEAVER, "now": NOW}),
    ("users/must_be_active", {"me": ANN}),
    ("users/must_be_admin", {"me": ANN}),
    ("users/must_be_free", {"username_key": "ann", "username_key_hash": "1" * 64, "email_key": "new@x", "me": READER}),
    ("users/must_be_moderator", {"me": ANN}),
    ("users/must_be_unchanged", {"user_id": ANN, "username_key": "ann", "email_key": "x", "password_hash": ""}),
    ("users/newest", {}),
    ("users/rehash", {"user_id": ANN, "old_hash": "nobody's", "new_hash": "new"}),
    ("users/render", TOKEN | {"token": "secret"}),
    ("users/update", {"me": ANN, "changes": '{"username": "new", "username_key": "new", "bio": null}', "now": NOW}),
]


def test_there_is_a_case_for_every_file():
    # What a search costs grows with what it finds; and what is counted is walked.
    assert {name for name, _ in CASES} == NAMES.keys() - {"articles/search", "sessions/count"}


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
