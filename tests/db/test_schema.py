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

# Constraints that no client can run into, and why.
OUR_OWN = {
    "users_articles_count_sign": "triggers keep it",
    "users_favorites_count_sign": "triggers keep it",
    "users_created_at_format": "db/clock.py makes it",
    "users_updated_at_format": "db/clock.py makes it",
    "sessions.token_hash": "256 bits of chance do not repeat",
    "sessions_token_hash_format": "plugins/authentication.py makes it",
    "sessions_created_at_format": "db/clock.py makes it",
    "sessions_last_used_at_format": "db/clock.py makes it",
    "sessions_user_agent_length": "handlers/users.py cuts it",
    "attempts.subject": "sql/attempts/count.sql updates it on a conflict",
    "attempts_level_sign": "sql/attempts/ never takes more than there is",
    "login_addresses.user_id, login_addresses.address": "sql/addresses/note.sql updates it on a conflict",
    "login_addresses_used_at_format": "db/clock.py makes it",
    "follows.follower_id, follows.followed_id": "sql/profiles/follow.sql does nothing on a conflict",
    "follows_created_at_format": "db/clock.py makes it",
    "articles_favorites_count_sign": "triggers keep it",
    "articles_created_at_format": "db/clock.py makes it",
    "articles_updated_at_format": "db/clock.py makes it",
    "articles_updated_at_order": "sql/articles/update.sql only ever adds to it",
    "totals.name": "schema/ makes its rows",
    "totals_total_sign": "triggers keep it",
    "tags.name": "sql/articles/set_tags.sql does nothing on a conflict",
    "tags_articles_count_sign": "triggers keep it",
    "article_tags.article_id, article_tags.position": "the keys of a JSON array do not repeat",
    "favorites.user_id, favorites.article_id": "sql/articles/favorite.sql does nothing on a conflict",
    "favorites_created_at_format": "db/clock.py makes it",
    "comments_created_at_format": "db/clock.py makes it",
    "users_role_name": "handlers/admin.py knows the same names",
    "users_suspended_at_format": "db/clock.py makes it",
    "reserved_usernames.username_key_hash": "sql/users/delete.sql does nothing on a conflict",
    "reserved_usernames_username_key_hash_format": "passwords.py makes it",
    "audit_created_at_format": "db/clock.py makes it",
    "audit_action_format": "the code names the actions",
    "audit_horizon_id_one": "schema/ makes its row",
    "audit_horizon_created_at_format": "db/clock.py makes it",
    "password_resets.token_hash": "256 bits of chance do not repeat",
    "password_resets_token_hash_format": "passwords.py makes it",
    "password_resets_created_at_format": "db/clock.py makes it",
    "outbox.user_id": "sql/outbox/add.sql does nothing on a conflict",
    "outbox_created_at_format": "db/clock.py makes it",
    "outbox_next_attempt_at_format": "db/clock.py makes it",
}

# Ids that no client ever sees may be given again.
UNSEEN = {"tags": "clients know tags by their names", "audit_horizon": "it has one row"}

# A row of each table, in the order in which one hangs on the other.
ROWS = {
    "users": {
        "username": "ann",
        "username_key": "ann",
        "email": "ann@example.org",
        "email_key": "ann@example.org",
        "password_hash": "nobody's",
        "created_at": NOW,
        "updated_at": NOW,
    },
    "sessions": {"user_id": 1, "token_hash": "0" * 64, "created_at": NOW, "last_used_at": NOW},
    "attempts": {"subject": "login from 192.0.2.1", "level": 1, "counted_at_ms": 0, "waits_until_ms": 0},
    "login_addresses": {"user_id": 1, "address": "192.0.2.1", "used_at": NOW},
    "follows": {"follower_id": 1, "followed_id": 1, "created_at": NOW},
    "articles": {
        "author_id": 1,
        "slug": "a-slug",
        "title": "A title",
        "description": "About it",
        "created_at": NOW,
        "updated_at": NOW,
        "body": "The text",
    },
    "tags": {"name": "rowing"},
    "article_tags": {"article_id": 1, "position": 0, "tag_id": 1},
    "favorites": {"user_id": 1, "article_id": 1, "created_at": NOW},
    "comments": {"article_id": 1, "author_id": 1, "body": "Well said", "created_at": NOW},
    "reserved_usernames": {"username_key_hash": "0" * 64},
    "audit": {"created_at": NOW, "action": "user.login"},
    "password_resets": {"token_hash": "0" * 64, "user_id": 1, "created_at": NOW},
    "outbox": {"user_id": 1, "created_at": NOW, "next_attempt_at": NOW},
}

# For each constraint a second row of its table that breaks it: what is different from the row above.
BREAKS = [
    ("users.username_key", "users", {"email_key": "bob@example.org"}),
    ("users.email_key", "users", {"username_key": "bob"}),
    ("users_username_length", "users", {"username": ""}),
    ("users_username_length", "users", {"username": "x" * 65}),
    ("users_email_length", "users", {"email": "x@"}),
    ("users_email_length", "users", {"email": "x" * 255}),
    ("users_bio_length", "users", {"bio": "x" * 5001}),
    ("users_image_length", "users", {"image": "x" * 65537}),
    ("users_articles_count_sign", "users", {"articles_count": -1}),
    ("users_favorites_count_sign", "users", {"favorites_count": -1}),
    ("users_created_at_format", "users", {"created_at": "2026-01-31 12:00:00.000Z"}),
    ("users_updated_at_format", "users", {"updated_at": "2026-01-31T12:00:00Z"}),
    ("sessions.token_hash", "sessions", {}),
    ("sessions_token_hash_format", "sessions", {"token_hash": "0" * 63}),
    ("sessions_created_at_format", "sessions", {"created_at": ""}),
    ("sessions_last_used_at_format", "sessions", {"last_used_at": ""}),
    ("sessions_user_agent_length", "sessions", {"token_hash": "1" * 64, "user_agent": "x" * 256}),
    ("attempts.subject", "attempts", {}),
    ("attempts_level_sign", "attempts", {"subject": "login from 192.0.2.2", "level": -1}),
    ("login_addresses.user_id, login_addresses.address", "login_addresses", {}),
    ("login_addresses_used_at_format", "login_addresses", {"address": "192.0.2.2", "used_at": ""}),
    ("follows.follower_id, follows.followed_id", "follows", {}),
    ("follows_created_at_format", "follows", {"created_at": ""}),
    ("articles_title_length", "articles", {"title": ""}),
    ("articles_title_length", "articles", {"title": "x" * 256}),
    ("articles_description_length", "articles", {"description": ""}),
    ("articles_description_length", "articles", {"description": "x" * 1001}),
    ("articles_body_length", "articles", {"body": ""}),
    ("articles_body_length", "articles", {"body": "x" * 1_000_001}),
    ("articles_favorites_count_sign", "articles", {"favorites_count": -1}),
    ("articles_created_at_format", "articles", {"created_at": ""}),
    ("articles_updated_at_format", "articles", {"updated_at": "3"}),
    ("articles_updated_at_order", "articles", {"updated_at": "2026-01-31T11:59:59.999Z"}),
    ("slugs.slug", "articles", {}),
    ("slugs.slug", "slugs", {"slug": "a-slug", "article_id": 1}),
    ("slugs_slug_reserved", "articles", {"slug": "feed"}),
    ("totals.name", "totals", {"name": "articles"}),
    ("totals_total_sign", "totals", {"name": "comments", "total": -1}),
    ("tags.name", "tags", {}),
    ("tags_name_length", "tags", {"name": ""}),
    ("tags_name_length", "tags", {"name": "x" * 65}),
    ("tags_articles_count_sign", "tags", {"name": "dawn", "articles_count": -1}),
    ("article_tags.tag_id, article_tags.article_id", "article_tags", {"position": 1}),
    ("article_tags.article_id, article_tags.position", "article_tags", {"tag_id": 2}),
    ("article_tags_position_range", "article_tags", {"position": 50}),
    ("article_tags_position_range", "article_tags", {"position": -1}),
    ("favorites.user_id, favorites.article_id", "favorites", {}),
    ("favorites_created_at_format", "favorites", {"created_at": ""}),
    ("comments_body_length", "comments", {"body": ""}),
    ("comments_body_length", "comments", {"body": "x" * 65537}),
    ("comments_created_at_format", "comments", {"created_at": ""}),
    ("users_role_name", "users", {"role": "king"}),
    ("users_suspended_at_format", "users", {"suspended_at": "today"}),
    ("reserved_usernames.username_key_hash", "reserved_usernames", {}),
    ("reserved_usernames_username_key_hash_format", "reserved_usernames", {"username_key_hash": "ann"}),
    ("audit_created_at_format", "audit", {"created_at": ""}),
    ("audit_action_format", "audit", {"action": "login"}),
    ("audit_horizon_id_one", "audit_horizon", {"id": 2, "created_at": NOW}),
    ("audit_horizon_created_at_format", "audit_horizon", {"id": 2, "created_at": ""}),
    ("password_resets.token_hash", "password_resets", {}),
    ("password_resets_token_hash_format", "password_resets", {"token_hash": "0" * 63}),
    ("password_resets_created_at_format", "password_resets", {"token_hash": "1" * 64, "created_at": ""}),
    ("outbox.user_id", "outbox", {}),
    ("outbox_created_at_format", "outbox", {"user_id": 2, "created_at": ""}),
    ("outbox_next_attempt_at_format", "outbox", {"user_id": 2, "next_attempt_at": ""}),
]


@pytest.fixture
def schema(migrated):
    """A connection of the standard library's to an empty migrated database in memory."""
    with closing(connect(migrated)) as connection, closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        connection.backup(memory)
        memory.execute("PRAGMA foreign_keys = ON")
        yield memory


def insert(connection, table, row):
    columns, values = ", ".join(row), ", ".join(f":{column}" for column in row)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", row)


def tables(connection):
    """Each table's name and CREATE TABLE; not the ledger of the migrations, which no SQL file knows, nor FTS5's own."""
    return dict(
        connection.execute(
            "SELECT name, sql FROM sqlite_schema JOIN pragma_table_list AS list USING (name)"
            " WHERE list.type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations'"
        )
    )


def indexes(connection, table):
    """The columns of each index of a table, with what made it: 'c' CREATE INDEX, 'u' UNIQUE, 'pk' PRIMARY KEY."""
    for _, name, _, origin, _ in connection.execute(f"PRAGMA index_list ({table})").fetchall():
        yield origin, [column for _, _, column in connection.execute(f"PRAGMA index_info ({name})")]


def constraints(connection):
    """The CHECKs by name and the uniqueness by columns, as SQLite names them when they are broken."""
    for table, sql in tables(connection).items():
        yield from re.findall(r"CONSTRAINT\s+(\w+)\s+CHECK", blank_comments(sql))
        for origin, columns in indexes(connection, table):
            if origin != "c":
                yield ", ".join(f"{table}.{column}" for column in columns)


def test_every_constraint_has_an_answer_or_a_reason_to_have_none(schema):
    assert sorted(constraints(schema)) == sorted([*CONSTRAINTS, *OUR_OWN])


def test_every_check_has_a_name(schema):
    for sql in map(blank_comments, tables(schema).values()):
        assert len(re.findall(r"\bCHECK\b", sql)) == len(re.findall(r"\bCONSTRAINT\s+\w+\s+CHECK\b", sql))


def test_every_constraint_is_broken_by_a_case_below():
    assert {constraint for constraint, _, _ in BREAKS} == {*CONSTRAINTS, *OUR_OWN}


@pytest.mark.parametrize(("constraint", "table", "change"), BREAKS)
def test_a_broken_constraint_is_named_as_we_know_it(schema, constraint, table, change):
    for each, row in ROWS.items():
        insert(schema, each, row)
    insert(schema, "tags", {"name": "dusk"})

    with pytest.raises(sqlite3.IntegrityError) as broken:
        insert(schema, table, ROWS.get(table, {}) | change)

    kind = "UNIQUE" if "." in constraint else "CHECK"
    assert str(broken.value) == f"{kind} constraint failed: {constraint}"


def test_every_table_is_strict(schema):
    tables_of = schema.execute("PRAGMA table_list").fetchall()
    strict = {name for _, name, kind, _, _, is_strict in tables_of if is_strict and kind == "table"}

    assert strict == {*tables(schema), "schema_migrations"}


def test_every_foreign_key_says_what_deleting_its_parent_does(schema):
    for table, sql in tables(schema).items():
        keys = schema.execute(f"PRAGMA foreign_key_list ({table})").fetchall()

        assert len(re.findall(r"\bON DELETE (?:CASCADE|SET NULL|RESTRICT)\b", blank_comments(sql))) == len(keys)


def test_every_foreign_key_leads_an_index_so_that_deleting_its_parent_does_not_scan(schema):
    for table in tables(schema):
        leading = {columns[0] for _, columns in indexes(schema, table)}

        assert {key[3] for key in schema.execute(f"PRAGMA foreign_key_list ({table})")} <= leading


def created_indexes():
    """Each CREATE INDEX of schema/ as (name, table, first column, the comment above it)."""
    for path in sorted(HOME.glob("schema/[0-9]*.sql")):
        for statement in split(path.read_text(encoding="utf-8")):
            created = re.search(r"CREATE (?:UNIQUE )?INDEX (\w+)\s+ON (\w+) \((\w+)", statement.sql)
            if created:
                yield *created.groups(), statement.sql[: created.start()]


INDEXES = [pytest.param(*index, id=index[0]) for index in created_indexes()]


@pytest.mark.parametrize(("name", "table", "column", "comment"), INDEXES)
def test_every_index_says_what_it_is_for(schema, name, table, column, comment):
    files = re.findall(r"sql/(\w+/\w+)\.sql", comment)
    keys = {key[3]: key[2] for key in schema.execute(f"PRAGMA foreign_key_list ({table})")}

    assert files or "cascade from" in comment
    assert set(files) <= find(HOME / "sql").keys()
    if "cascade from" in comment:
        assert column in keys


@pytest.mark.parametrize(("name", "table", "column", "comment"), INDEXES)
def test_the_file_that_an_index_is_for_uses_it(schema, name, table, column, comment):
    for file in re.findall(r"sql/(\w+/\w+)\.sql", comment):
        plan = []
        for statement in split((HOME / "sql" / f"{file}.sql").read_text(encoding="utf-8")):
            parameters = dict.fromkeys(re.findall(r":(\w+)", statement.sql))
            plan += [step for *_, step in schema.execute(f"EXPLAIN QUERY PLAN {statement.sql}", parameters)]

        assert any(f"INDEX {name} " in f"{step} " for step in plan)


def test_ids_that_clients_see_are_never_given_again(schema):
    with_an_id = {name for name, sql in tables(schema).items() if re.search(r"\bid\s+INTEGER PRIMARY KEY", sql)}
    never_again = {name for name, sql in tables(schema).items() if re.search(r"\bPRIMARY KEY AUTOINCREMENT", sql)}

    assert with_an_id == never_again | UNSEEN.keys()
    assert never_again == {"users", "sessions", "articles", "comments", "audit", "outbox"}


@pytest.mark.parametrize("table", ["users", "sessions", "articles", "comments"])
def test_the_id_of_what_was_deleted_stays_its_own(schema, table):
    for each, row in ROWS.items():
        insert(schema, each, row)
    schema.execute("PRAGMA foreign_keys = OFF")  # what hangs on it may stay

    schema.execute(f"DELETE FROM {table}")
    insert(schema, table, ROWS[table] | ({"slug": "another"} if table == "articles" else {}))

    assert schema.execute(f"SELECT id FROM {table}").fetchall() == [(2,)]


# Each kept counter, and what it counts.
COUNTERS = [
    ("totals", "total", "articles"),
    ("users", "articles_count", "articles WHERE author_id = users.id"),
    ("users", "favorites_count", "favorites WHERE user_id = users.id"),
    ("articles", "favorites_count", "favorites WHERE article_id = articles.id"),
    ("tags", "articles_count", "article_tags WHERE tag_id = tags.id"),
]


def miscounted(connection):
    for table, counter, counted in COUNTERS:
        differing = f"{counter} <> (SELECT count(*) FROM {counted})"
        yield from connection.execute(f"SELECT '{table}', '{counter}', {counter} FROM {table} WHERE {differing}")


def test_counters_are_kept_whatever_is_written_and_deleted(db, schema):
    seed.sow(db, 12, 40, lambda count: None)
    with closing(connect(db.path)) as sown:
        sown.backup(schema)
    assert list(miscounted(schema)) == []

    for deletion in (
        "favorites WHERE (user_id + article_id) % 3 = 0",
        "article_tags WHERE article_id % 3 = 0",
        "articles WHERE id % 5 = 0",
        "tags WHERE id % 4 = 0",
        "users WHERE id % 2 = 0",
    ):
        assert schema.execute(f"DELETE FROM {deletion}").rowcount > 0
        assert list(miscounted(schema)) == []
    assert schema.execute("SELECT total FROM totals WHERE name = 'articles'").fetchone() > (0,)


def test_deleting_a_user_leaves_nothing_of_theirs(schema):
    for table, row in ROWS.items():
        insert(schema, table, row)

    schema.execute("DELETE FROM users")

    left = [table for table in tables(schema) if schema.execute(f"SELECT 1 FROM {table}").fetchone()]
    # Attempts name nobody, and are forgotten within a day or so; the audit log holds ids, reserved names are hashes.
    assert sorted(left) == ["attempts", "audit", "audit_horizon", "reserved_usernames", "tags", "totals"]
