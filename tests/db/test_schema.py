"""The schema defends itself: every constraint, index, key and counter."""

import re
import sqlite3
from contextlib import closing

import pytest

import seed
from db.connection import connect
from db.script import blank_comments, split
from db.statements import find
from plugins.errors import CONSTRAINTS
from tests.conftest import HOME
from tests.db.accounts import NOW
from tests.db.rows import ROWS, insert, tables

TIMES = [(table, column) for table, row in ROWS.items() for column in row if column.endswith("_at")]

# Constraints that no request can break, by reason.
OUR_OWN = {
    "clock.py formats it": [f"{table}_{column}_format" for table, column in [*TIMES, ("audit_horizon", "created_at")]],
    "triggers keep it": """users_articles_count_sign users_favorites_count_sign articles_favorites_count_sign
        totals_total_sign tags_articles_count_sign""".split(),
    "passwords.py makes it": """sessions_token_hash_format reserved_usernames_username_key_hash_format
        password_resets_token_hash_format""".split(),
    "256 random bits do not repeat": ["sessions.token_hash", "password_resets.token_hash"],
    "the SQL file has ON CONFLICT": [
        "attempts.subject",
        "login_addresses.user_id, login_addresses.address",
        "follows.follower_id, follows.followed_id",
        "tags.name",
        "favorites.user_id, favorites.article_id",
        "reserved_usernames.username_key_hash",
        "outbox.user_id",
    ],
    "schema/ inserts the rows": ["totals.name", "audit_horizon_id_one"],
    "sql/attempts/ never takes more than there is": ["attempts_level_sign"],
    "sql/articles/update.sql only ever adds to it": ["articles_updated_at_order"],
    "the keys of a JSON array do not repeat": ["article_tags.article_id, article_tags.position"],
    "handlers/users.py truncates it": ["sessions_user_agent_length"],
    "handlers/admin.py knows the same names": ["users_role_name"],
    "the code names the actions": ["audit_action_format"],
}
KNOWN = [*CONSTRAINTS, *(name for names in OUR_OWN.values() for name in names)]

# Values that break each CHECK, which is called table_column_rule.
CHECKS = [
    *((table, column, "format", ["", "2026-01-31 12:00:00.000Z", "2026-01-31T12:00:00Z"]) for table, column in TIMES),
    ("users", "username", "length", ["", "x" * 65]),
    ("users", "email", "length", ["x@", "x" * 255]),
    ("users", "bio", "length", ["x" * 5001]),
    ("users", "image", "length", ["x" * 8193]),
    ("users", "image", "characters", ["a\tb", "a\x9f"]),
    ("users", "articles_count", "sign", [-1]),
    ("users", "favorites_count", "sign", [-1]),
    ("users", "role", "name", ["king"]),
    ("sessions", "token_hash", "format", ["0" * 63]),
    ("sessions", "user_agent", "length", ["x" * 256]),
    ("attempts", "level", "sign", [-1]),
    ("articles", "title", "length", ["", "x" * 256]),
    ("articles", "description", "length", ["", "x" * 1001]),
    ("articles", "body", "length", ["", "x" * 1_000_001]),
    ("articles", "favorites_count", "sign", [-1]),
    ("articles", "updated_at", "order", ["2026-01-31T11:59:59.999Z"]),
    ("slugs", "slug", "reserved", ["feed"]),
    ("totals", "total", "sign", [-1]),
    ("tags", "name", "length", ["", "x" * 65]),
    ("tags", "articles_count", "sign", [-1]),
    ("article_tags", "position", "range", [-1, 50]),
    ("comments", "body", "length", ["", "x" * 65537]),
    ("reserved_usernames", "username_key_hash", "format", ["ann"]),
    ("audit", "action", "format", ["login"]),
    ("audit_horizon", "id", "one", [2]),
    ("audit_horizon", "created_at", "format", [""]),
    ("password_resets", "token_hash", "format", ["0" * 63]),
]

# What a second row of a table has different from the first one, which breaks the named uniqueness.
UNIQUE = [
    ("users.username_key", {"email_key": "bob@example.org"}),
    ("users.email_key", {"username_key": "bob"}),
    ("sessions.token_hash", {}),
    ("attempts.subject", {}),
    ("login_addresses.user_id, login_addresses.address", {}),
    ("follows.follower_id, follows.followed_id", {}),
    ("slugs.slug", {}),
    ("totals.name", {}),
    ("tags.name", {}),
    ("article_tags.tag_id, article_tags.article_id", {"position": 1}),
    ("article_tags.article_id, article_tags.position", {"tag_id": 22}),
    ("favorites.user_id, favorites.article_id", {}),
    ("reserved_usernames.username_key_hash", {}),
    ("password_resets.token_hash", {}),
    ("outbox.user_id", {}),
]


@pytest.fixture
def schema(migrated):
    """An empty migrated database in memory."""
    with closing(connect(migrated)) as connection, closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        connection.backup(memory)
        memory.execute("PRAGMA foreign_keys = ON")
        yield memory


@pytest.fixture
def filled(schema):
    """The same with a row in each table."""
    for table, row in ROWS.items():
        insert(schema, table, row)
    return schema


def another(table, **change):
    """A second row of a table, with an id of its own."""
    row = ROWS.get(table, {"id": 2, "created_at": NOW}) | change
    return row if table == "audit_horizon" else {column: row[column] for column in row if column != "id"}


def indexes(connection, table):
    """The origin ('c' CREATE INDEX, 'u' UNIQUE, 'pk' PRIMARY KEY) and the columns of each index of a table."""
    for _, name, _, origin, _ in connection.execute(f"PRAGMA index_list ({table})").fetchall():
        yield origin, [column for _, _, column in connection.execute(f"PRAGMA index_info ({name})")]


def constraints(connection):
    """The constraints, as SQLite names them: CHECKs by name, uniqueness by columns."""
    for table, sql in tables(connection).items():
        yield from re.findall(r"CONSTRAINT\s+(\w+)\s+CHECK", blank_comments(sql))
        for origin, columns in indexes(connection, table):
            if origin != "c":
                yield ", ".join(f"{table}.{column}" for column in columns)


def test_every_constraint_has_an_error_message_or_a_reason_and_a_case_above(schema):
    found = sorted(constraints(schema))

    assert found == sorted(KNOWN)
    assert set(found) == {f"{table}_{column}_{rule}" for table, column, rule, _ in CHECKS} | dict(UNIQUE).keys()


def test_every_check_has_a_name(schema):
    for sql in map(blank_comments, tables(schema).values()):
        assert len(re.findall(r"\bCHECK\b", sql)) == len(re.findall(r"\bCONSTRAINT\s+\w+\s+CHECK\b", sql))


@pytest.mark.parametrize(("table", "column", "rule", "values"), CHECKS)
def test_a_failed_check_is_named(filled, table, column, rule, values):
    for value in values:
        with pytest.raises(sqlite3.IntegrityError, match=f"^CHECK constraint failed: {table}_{column}_{rule}$"):
            insert(filled, table, another(table, **{column: value}))


@pytest.mark.parametrize(("constraint", "change"), [*UNIQUE, ("slugs.slug", None)])
def test_a_broken_uniqueness_is_named(filled, constraint, change):
    table = "articles" if change is None else constraint.partition(".")[0]  # a trigger writes an article's slug

    with pytest.raises(sqlite3.IntegrityError, match=f"^UNIQUE constraint failed: {constraint}$"):
        insert(filled, table, another(table, **(change or {})))


def test_every_table_is_strict(schema):
    tables_of = schema.execute("PRAGMA table_list").fetchall()
    strict = {name for _, name, kind, _, _, is_strict in tables_of if is_strict and kind == "table"}

    assert strict == {*tables(schema), "schema_migrations"}


def test_every_foreign_key_has_an_on_delete(schema):
    for table, sql in tables(schema).items():
        keys = schema.execute(f"PRAGMA foreign_key_list ({table})").fetchall()

        assert len(re.findall(r"\bON DELETE (?:CASCADE|SET NULL|RESTRICT)\b", blank_comments(sql))) == len(keys)


def test_every_foreign_key_leads_an_index(schema):
    for table in tables(schema):
        leading = {columns[0] for _, columns in indexes(schema, table)}
        columns = schema.execute(f"PRAGMA table_info ({table})").fetchall()
        leading |= {name for _, name, kind, *_, is_key in columns if kind == "INTEGER" and is_key}

        assert {key[3] for key in schema.execute(f"PRAGMA foreign_key_list ({table})")} <= leading


def created_indexes():
    """Each CREATE INDEX of schema/ as (name, table, first column, the comment above it).

    A released script is not edited, though it names a file that has another name today."""
    for path in sorted(HOME.glob("schema/[0-9]*.sql")):
        for statement in split(path.read_text(encoding="utf-8")):
            created = re.search(r"CREATE (?:UNIQUE )?INDEX (\w+)\s+ON (\w+) \((\w+)", statement.sql)
            if created:
                yield *created.groups(), statement.sql[: created.start()].replace("users/export", "export/audit")


INDEXES = [pytest.param(*index, id=index[0]) for index in created_indexes()]


@pytest.mark.parametrize(("name", "table", "column", "comment"), INDEXES)
def test_every_index_names_a_file_that_uses_it_or_a_cascade(schema, name, table, column, comment):
    files = re.findall(r"sql/(\w+/\w+)\.sql", comment)

    assert files or "cascade from" in comment
    if "cascade from" in comment:
        assert column in [key[3] for key in schema.execute(f"PRAGMA foreign_key_list ({table})")]
    for file in files:
        plan = []
        for statement in split(find(HOME / "sql")[file].read_text(encoding="utf-8")):
            parameters = dict.fromkeys(re.findall(r":(\w+)", statement.sql))
            plan += [step for *_, step in schema.execute(f"EXPLAIN QUERY PLAN {statement.sql}", parameters)]
        assert any(f"INDEX {name} " in f"{step} " for step in plan)


def test_ids_that_clients_see_are_never_reused(schema):
    found = {name for name, sql in tables(schema).items() if re.search(r"\bid\s+INTEGER PRIMARY KEY", sql)}
    autoincrement = {name for name, sql in tables(schema).items() if re.search(r"\bPRIMARY KEY AUTOINCREMENT", sql)}

    assert autoincrement == {"users", "sessions", "articles", "comments", "audit", "outbox"}
    assert found - autoincrement == {"tags", "audit_horizon"}  # no client sees these


@pytest.mark.parametrize("table", ["users", "sessions", "articles", "comments"])
def test_the_id_of_a_deleted_row_is_not_reused(filled, table):
    filled.execute("PRAGMA foreign_keys = OFF")  # keep the rows that refer to it
    filled.execute(f"DELETE FROM {table}")

    insert(filled, table, another(table, **({"slug": "another"} if table == "articles" else {})))

    assert filled.execute(f"SELECT id FROM {table}").fetchall() == [(ROWS[table]["id"] + 1,)]


# Each counter, and what it counts.
COUNTERS = [
    ("totals", "total", "articles"),
    ("users", "articles_count", "articles WHERE author_id = users.id"),
    ("users", "favorites_count", "favorites WHERE user_id = users.id"),
    ("articles", "favorites_count", "favorites WHERE article_id = articles.id"),
    ("tags", "articles_count", "article_tags WHERE tag_id = tags.id"),
]


def require_counted(connection):
    for table, counter, counted in COUNTERS:
        wrong = f"SELECT {counter} FROM {table} WHERE {counter} <> (SELECT count(*) FROM {counted})"
        assert connection.execute(wrong).fetchall() == [], f"{table}.{counter}"


def test_triggers_keep_every_counter(db, schema):
    seed.sow(db, 12, 40, lambda count: None)
    with closing(connect(db.path)) as sown:
        sown.backup(schema)
    require_counted(schema)

    for deletion in (
        "favorites WHERE (user_id + article_id) % 3 = 0",
        "article_tags WHERE article_id % 3 = 0",
        "articles WHERE id % 5 = 0",
        "tags WHERE id % 4 = 0",
        "users WHERE id % 2 = 0",
    ):
        assert schema.execute(f"DELETE FROM {deletion}").rowcount > 0
        require_counted(schema)
    assert schema.execute("SELECT total FROM totals WHERE name = 'articles'").fetchone() > (0,)


def test_deleting_a_user_deletes_what_refers_to_it(filled):
    filled.execute("DELETE FROM users")

    left = [table for table in tables(filled) if filled.execute(f"SELECT 1 FROM {table}").fetchone()]
    # Attempts hold no name and are deleted within a day; the audit log holds ids; reserved names are hashes.
    assert left == ["attempts", "audit", "audit_horizon", "reserved_usernames", "tags", "totals"]
