"""Query plans: which index each file of sql/ uses, and that a larger database does not take more work."""

import difflib
import itertools
import json
import os
import re
import shutil
from contextlib import ExitStack, closing

import pytest

import seed
from db import Database
from db.connection import connect
from db.script import blank_comments, split
from db.statements import find
from tests.clock import ManualClock
from tests.conftest import HOME
from tests.db.accounts import NOW

# The files that `check` and `restore` run are about whole tables.
NAMES = {name: path for name, path in find(HOME / "sql").items() if not name.startswith(("counters/", "copies/"))}

# The tables that grow with use. `totals` does not: it has a row for each counter.
GROWING = """
    users articles comments favorites follows sessions slugs tags article_tags attempts login_addresses
    reserved_usernames audit password_resets outbox
""".split()

# These are mostly empty: the background job empties them.
FEW = {"closed_accounts", "hidden_authors", "hidden_tags"}

PLANS = HOME / "tests/db/plans.txt"
REFRESH = "REFRESH_PLANS=1 .venv/bin/python -m pytest tests/db/test_plans.py"
HEADER = f"""\
# How each file of sql/ and each trigger reaches the tables that it reads: by which index, and what is sought there.
# The same without and with ANALYZE. Checks of foreign keys read, too: articles/create looks for comments of its id.
# Made by `{REFRESH}`; do not edit.
"""
ADVICE = f"""
These are not the plans of tests/db/plans.txt. If they are intended, run `{REFRESH}`, and commit the file.
If only an analyzed database differs, fix the plan with INDEXED BY or CROSS JOIN, as sql/articles/feed.sql does.
"""


MAX_ID = 2**63 - 1


@pytest.fixture(scope="module")
def grown(migrated, tmp_path_factory):
    """Databases with a few thousand rows, without and with ANALYZE."""
    plain = tmp_path_factory.mktemp("grown") / "plain.db"
    shutil.copy(migrated, plain)
    with closing(Database(plain, HOME / "sql", clock=ManualClock())) as database:
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
    """The tables that a statement reads, without its CTEs: each table, its index, and what is sought there.

    Only what every SQLite since 3.40 reports alike: not whether an index is covering, nor what is sorted."""
    made = set(re.findall(r"(\w+)(?: \([^()]+\))?\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", blank_comments(statement)))
    assert not made & set(GROWING)
    for step in plan(connection, statement):
        if bloom := re.match(r"BLOOM FILTER ON (\w+)", step):  # it is made of the whole table, each time
            yield bloom[1], "bloom filter", "every row"
        table = re.match(r"(?:SCAN|SEARCH) ([a-z]\w*)", step)
        if table and table[1] not in made and " VIRTUAL TABLE " not in step:
            yield table[1], index_of(connection, step), "every row of few" if table[1] in FEW else sought(step)
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
    """The triggers' names and statements, with parameters in place of OLD and NEW."""
    for name, trigger in connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"):
        body = trigger[trigger.index("BEGIN") + len("BEGIN") : trigger.rindex("END")]
        # RAISE() reads nothing, and is valid only within a trigger.
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


@pytest.fixture(scope="module")
def committed(grown):
    """The text of plans.txt; with REFRESH_PLANS it is written first."""
    if "REFRESH_PLANS" in os.environ:
        with closing(connect(grown["plain"])) as connection:
            PLANS.write_text(plans(connection), encoding="utf-8")
    return PLANS.read_text(encoding="utf-8")


@pytest.mark.parametrize("statistics", ["plain", "analyzed"])
def test_every_file_and_trigger_uses_the_committed_indexes(grown, committed, statistics):
    with closing(connect(grown[statistics])) as connection:
        found = plans(connection)

    changes = difflib.unified_diff(committed.splitlines(), found.splitlines(), "plans.txt", "found", n=6, lineterm="")
    assert found == committed, "\n".join(changes) + ADVICE


def test_no_table_is_scanned(committed):
    assert "every row\n" not in committed


# Otherwise the test above could not fail.
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT count(*) FROM articles", "articles"),
        ("SELECT id FROM users AS author WHERE author.bio = :bio", "author"),
        ("WITH page AS (SELECT id FROM comments WHERE body = :body) SELECT id FROM page", "comments"),
        ("INSERT INTO favorites SELECT :me, id, :now FROM articles WHERE slug = :slug", "articles"),
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

    # The one sorts them anew, while articles are hidden; then the whole is what ends the plan.
    assert len([step for step in steps if "ORDER BY" in step]) == 1
    assert "ORDER BY" not in steps[-1]


LIMITS = [
    {"subject": "login to ann", "burst": 10, "recovery_ms": 600000.0},
    {"subject": "login from 192.0.2.1", "burst": 10, "recovery_ms": 600000.0},
]

# In both villages ann has written the same 30 articles, with the same tag, and fan has favorited them. The crowd has
# written the other articles, and all comments except ann's first one. Reader follows ann, fan and himself; fan follows
# the crowd. Deleted is "deleted user"; leaver has closed an account, and what little it has written is hidden. A larger
# village has more articles, comments, audit entries and so on.
ANN, FAN, READER, CROWD, DELETED, LEAVER = 1, 2, 3, range(4, 44), 44, 45
BY_ANN = range(7, 217, 7)
BY_LEAVER = range(1, 200, 40)


def village(path, articles):
    """Fill a migrated database with this number of articles."""
    people = {ANN: "ann", FAN: "fan", READER: "reader", DELETED: "deleted user", LEAVER: "leaver"}
    people |= {n: f"u{n}" for n in CROWD}
    numbers = range(1, articles + 1)
    authors = (
        {n: CROWD[n % len(CROWD)] for n in numbers} | dict.fromkeys(BY_ANN, ANN) | dict.fromkeys(BY_LEAVER, LEAVER)
    )
    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        for table, rows in {
            "users (id, username, username_key, email, email_key, password_hash, created_at, updated_at)": [
                (number, name, name, f"{name}@example.org", f"{name}@example.org", "hash", NOW, NOW)
                for number, name in people.items()
            ],
            "sessions (user_id, token_hash, created_at, last_used_at)": [
                (number, f"{number:064}", NOW, NOW) for number in people
            ],
            "follows (follower_id, followed_id, created_at)": [
                *((READER, each, NOW) for each in (ANN, FAN, READER)),
                *((FAN, each, NOW) for each in CROWD),
                (LEAVER, ANN, NOW),
            ],
            "articles (author_id, slug, title, description, body, created_at, updated_at)": [
                (authors[n], f"s-{n:08}", "Rowing", "About it", "The text", NOW, NOW) for n in numbers
            ],
            "attempts (subject, level, counted_at_ms, waits_until_ms)": [
                *((f"login from {n}", 1, n, 0) for n in numbers),
                (LIMITS[0]["subject"], 2, 0, 9),
            ],
            "login_addresses (user_id, address, used_at)": [
                (CROWD[n % len(CROWD)], f"192.0.2.{n}", NOW) for n in numbers
            ],
            "audit (created_at, actor_id, user_id, action)": [
                (NOW, authors[n], authors[n], "user.login") for n in numbers
            ],
            "password_resets (token_hash, user_id, created_at)": [(f"{n:064}", ANN, NOW) for n in numbers],
            "outbox (user_id, created_at, next_attempt_at)": [(number, NOW, NOW) for number in people],
            "tags (id, name)": [(1, "rare"), (2, "common")],
            "article_tags (article_id, position, tag_id)": [(n, 1, 2) for n in numbers] + [(n, 0, 1) for n in BY_ANN],
            "favorites (user_id, article_id, created_at)": [(who, n, NOW) for who in (FAN, LEAVER) for n in BY_ANN],
            "comments (article_id, author_id, body, created_at)": [
                *((7, who, "First", NOW) for who in (ANN, LEAVER)),
                *((n, author, "Well said", NOW) for n in numbers if n % 7 == 0 for author in CROWD),
            ],
            "closed_accounts (user_id)": [(LEAVER,)],
            "hidden_authors (user_id)": [(LEAVER,)],
        }.items():
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute("UPDATE users SET role = 'deleted' WHERE id = ?", (DELETED,))
        connection.execute("COMMIT")


def analyze(path, like=None):
    """Run ANALYZE, or copy the statistics of another database."""
    with closing(connect(path)) as connection:
        connection.execute("ANALYZE")
        if like:
            connection.execute("ATTACH ? AS other", (str(like),))
            connection.execute("DELETE FROM sqlite_stat1")
            connection.execute("INSERT INTO sqlite_stat1 SELECT * FROM other.sqlite_stat1")


@pytest.fixture(scope="module", params=["without statistics", "with statistics", "with statistics from its youth"])
def villages(request, migrated, tmp_path_factory):
    """Connections to a small village and to one that is 20 times as large."""
    small, large = (tmp_path_factory.mktemp("villages") / name for name in ("small.db", "large.db"))
    for path, articles in ((small, 220), (large, 4400)):
        shutil.copy(migrated, path)
        village(path, articles)
    if request.param != "without statistics":
        analyze(small)
        analyze(large, like=small if "youth" in request.param else None)
    with ExitStack() as opened:
        yield [opened.enter_context(closing(connect(path))) for path in (small, large)]


def steps(connection, script, parameters):
    """The number of steps that SQLite takes for a script, including triggers and cascades. Nothing is stored."""
    taken = itertools.count()
    connection.execute("BEGIN")
    connection.set_progress_handler(lambda: next(taken) < 0, 1)
    try:
        for statement in split(script):
            connection.execute(statement.sql, parameters).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK")
    return next(taken)


SOME_IDS = json.dumps([*BY_ANN][:20])
TEXTS = {"title": "Rowing", "description": "About it", "body": "The text"}
NAMES_OF_NEW = {"username": "new", "username_key": "new"}

# The parameters of every file, unless CASES has others.
USUAL = TEXTS | {
    "me": ANN,
    "user_id": ANN,
    "id": 1,
    "now": NOW,
    "slug": "s-00000070",
    "versions": None,
    "before": MAX_ID,
    "limit": 20,
    "most": 20,
    "offset": 0,
    "total": 20,
    "most_bytes": 1_000_000,
    "after": "",
    "subjects": '["login to ann", "password of user 3"]',
    "page": SOME_IDS,
    "username_key": "ann",
    "username_key_hash": "1" * 64,
    "email_key": "ann@example.org",
    "address": "192.0.2.1",
    "password_hash": "hash",
    "user_agent": "curl/8",
    "token_hash": f"{ANN:064}",
    "token": "secret",
    "expired": "",
    "touch_before": "",
    "what": "login",
    "limits": json.dumps(LIMITS),
    "now_ms": 5,
    "old_ms": 50,
    "unused_since": "2027",
    "reset_expired": "2027",
    "reset_ahead": "2027",
    "next_attempt_at": NOW,
    "lease_until": NOW,
    "attempts": 1,
    "request_id": "x",
    "object_id": 1,
    "horizon": "2020-01-31T12:00:00.000Z",
}
EXPORTED_OF_FAN = [path.stem for path in HOME.glob("sql/export/*.sql") if path.stem != "articles"]
CHANGE = {"user_id": FAN, "role": "admin", "suspended": 1}
COMMENT = {"me": CROWD[0], "id": 362}
CASES = {
    "accounts/changes": [CHANGE],
    "accounts/find": [{"q": None, "role": None}, {"q": None, "role": "member"}, {"q": "ann", "role": None}],
    "accounts/must_be_changeable": [{"me": FAN, "role": None}],
    "accounts/must_leave_an_admin": [CHANGE],
    "accounts/render": [{"user_id": None}, {"page": None}],
    "accounts/update": [CHANGE],
    "attempts/forget": [{"subjects": '["login to ann", "password of user 1"]'}],
    "attempts/forgive": [{"account_subject": "login to ann", "limits": '[{"subject": "login from 7"}]'}],
    "audit/find": [{"actor": None}, {"actor": "ann"}],
    "audit/note": [{"actions": '["user.login"]'}],
    "articles/create": [{"slug": "a-new-slug"}],
    "articles/favorite": [{"me": READER}],
    "articles/feed": [{"me": READER}, {"me": FAN, "limit": 3}],
    "articles/find": [
        {"tag": None, "author": "u9", "favorited": None, "limit": 3},
        *(
            {"tag": tag, "author": author, "favorited": fan}
            for tag, author, fan in itertools.product((None, "rare", "common"), (None, "ann"), (None, "fan"))
            if tag or author or fan
        ),
    ],
    "articles/index": [{"title_words": "rowing", "description_words": None, "body_words": None}],
    "articles/indexed": [{"after": 100}],
    "articles/list": [{"me": READER}],
    "articles/must_be_deletable": [{"me": FAN}, {"versions": '["x"]'}],
    "articles/must_be_mine": [{}, {"versions": '["x"]'}],
    "articles/newest": [{}, {"before": 100}],
    "articles/render": [{"me": READER}],
    "articles/set_tags": [{"tags": '["common", "new"]'}],
    "articles/unfavorite": [{"me": FAN}],
    "articles/unindex": [{"id": MAX_ID}],
    "articles/update": [{"changes": json.dumps(TEXTS), "words": "rowing"}],
    "leftovers/account": [{"user_id": CROWD[0]}],
    "leftovers/delete": [{"articles": SOME_IDS, "comments": SOME_IDS}],
    "leftovers/keep": [{"user_id": CROWD[0], "articles": "[40, 80]", "comments": "[3, 43]"}],
    "leftovers/links": [{"user_id": CROWD[0], "most": 3}, {"user_id": FAN}],
    "leftovers/texts": [
        {"user_id": CROWD[0], "content": content, "most": most, "most_characters": characters}
        for content, most, characters in (("delete", 3, 50_000), ("keep", 3, 50_000), ("delete", 20, 60))
    ],
    "comments/create": [{"me": READER, "body": "Well said"}],
    "comments/delete": [COMMENT],
    "comments/identify": [COMMENT],
    "comments/must_be_deletable": [COMMENT],
    "comments/render": [{"me": READER}, {"page": None}],
    **{f"export/{section}": [{"me": FAN}] for section in EXPORTED_OF_FAN},
    "outbox/add": [{"email_key": "u9@example.org"}],
    "outbox/claim": [{"now": "2027"}],
    "outbox/next": [{"now": "2027"}],
    "profiles/follow": [{"username_key": "u9", "me": READER}],
    "profiles/render": [{"me": READER}],
    "profiles/unfollow": [{"me": READER}],
    "resets/create": [{"token_hash": "1" * 64}],
    "resets/delete": [{"me": READER}],
    "resets/find": [{"now": "2027"}],
    "sessions/create": [{"token_hash": "1" * 64}],
    "sessions/delete_expired": [{"expired": "2027", "most": 1}],
    "sessions/find": [{"now": ""}],
    "stats/daily": [{"today": "2026-03-31", "first": "2026-03-02", "since": "2026-02-17"}],
    "users/changes": [{"changes": '{"username": "new", "password_hash": "x"}'}],
    "users/create": [NAMES_OF_NEW | {"email": "new@x", "email_key": "new@x", "password_hash": ""}],
    "users/close": [{"user_id": CROWD[0], "content": content} for content in ("delete", "keep")],
    "users/must_be_free": [{"email_key": "new@x", "me": READER}],
    "users/must_be_unchanged": [{"email_key": "x", "password_hash": ""}],
    "users/rehash": [{"old_hash": "hash", "new_hash": "new"}],
    "users/update": [{"changes": json.dumps(NAMES_OF_NEW | {"bio": None})}],
}

# The cost of a search grows with what it finds, and sessions/count counts.
GROWING_FILES = {"articles/search", "sessions/count"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        pytest.param(name, parameters, id=f"{name}-{number}")
        for name in sorted(NAMES.keys() - GROWING_FILES)
        for number, parameters in enumerate(CASES.get(name, [{}]))
    ],
)
def test_a_file_takes_as_many_steps_in_a_large_database_as_in_a_small_one(villages, name, parameters):
    script = NAMES[name].read_text(encoding="utf-8")

    small, large = (steps(connection, script, USUAL | parameters) for connection in villages)

    assert small > 1
    assert large <= 1.05 * small


# Otherwise the test above could not fail.
@pytest.mark.parametrize("script", ["SELECT max(title) FROM articles", "DELETE FROM users WHERE id = 4"])
def test_steps_that_grow_are_noticed(villages, script):
    small, large = (steps(connection, script, {}) for connection in villages)

    assert large > 10 * small
