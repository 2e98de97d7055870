"""A database that was filled at any earlier version comes to the newest one with every row as it was."""

import sqlite3
from contextlib import closing

import pytest

from db import schema
from db.migrations import find_migrations, migrate
from tests.conftest import HOME

NEWEST = len(find_migrations(HOME / "schema"))
NOW = "'2026-01-31T12:00:00.000Z'"

# Rows for each table, parents first. A table that changes later gets another entry, under the version that changes it.
ROWS = {
    "users": {
        1: f"""
            INSERT INTO users (id, username, username_key, email, email_key, password_hash, bio, created_at, updated_at)
            VALUES (3, 'Ann', 'ann', 'Ann@example.org', 'ann@example.org', 'hash', 'Rows; at dawn.', {NOW}, {NOW}),
                   (7, 'bob', 'bob', 'bob@example.org', 'bob@example.org', 'hash', NULL, {NOW}, {NOW})""",
        11: f"""
            INSERT INTO users (
                id, username, username_key, email, email_key, password_hash, role, suspended_at, bio,
                created_at, updated_at
            )
            VALUES (3, 'Ann', 'ann', 'Ann@example.org', 'ann@example.org', 'hash', 'admin', NULL, 'Rows; at dawn.',
                    {NOW}, {NOW}),
                   (7, 'bob', 'bob', 'bob@example.org', 'bob@example.org', 'hash', 'member', {NOW}, NULL,
                    {NOW}, {NOW})""",
    },
    "sessions": {
        2: f"""
            INSERT INTO sessions (id, user_id, token_hash, created_at, last_used_at)
            VALUES (5, 3, '{"0a" * 32}', {NOW}, {NOW}), (6, 7, '{"0b" * 32}', {NOW}, {NOW})""",
        9: f"""
            INSERT INTO sessions (id, user_id, token_hash, user_agent, created_at, last_used_at)
            VALUES (5, 3, '{"0a" * 32}', 'curl/8', {NOW}, {NOW}), (6, 7, '{"0b" * 32}', NULL, {NOW}, {NOW})""",
    },
    "attempts": {10: "INSERT INTO attempts VALUES ('login from 192.0.2.1', 2.5, 1769860800000, 0)"},
    "login_addresses": {10: f"INSERT INTO login_addresses VALUES (3, '192.0.2.1', {NOW})"},
    "follows": {3: f"INSERT INTO follows (follower_id, followed_id, created_at) VALUES (3, 7, {NOW}), (7, 3, {NOW})"},
    "articles": {
        4: f"""
            INSERT INTO articles (id, author_id, slug, title, description, body, created_at, updated_at)
            VALUES (11, 3, 'dawn', 'Rowing at dawn', 'Early', 'Text', {NOW}, {NOW}),
                   (12, 7, 'dusk', 'Rowing at dusk', 'Late', 'Text', {NOW}, {NOW})"""
    },
    "slugs": {4: "INSERT INTO slugs (slug, article_id) VALUES ('an-older-one', 11)"},
    "totals": {4: "INSERT INTO totals (name, total) VALUES ('boats', 2)"},
    "tags": {5: "INSERT INTO tags (id, name) VALUES (21, 'rowing'), (22, 'water')"},
    "article_tags": {
        5: "INSERT INTO article_tags (article_id, position, tag_id) VALUES (11, 0, 22), (11, 1, 21), (12, 0, 21)"
    },
    "favorites": {6: f"INSERT INTO favorites (user_id, article_id, created_at) VALUES (7, 11, {NOW}), (3, 11, {NOW})"},
    "comments": {
        7: f"""
            INSERT INTO comments (id, article_id, author_id, body, created_at)
            VALUES (31, 11, 7, 'Well said; very.', {NOW}), (32, 11, 3, 'Thanks', {NOW})"""
    },
    "reserved_usernames": {11: f"INSERT INTO reserved_usernames VALUES ('{'0c' * 32}')"},
    "audit": {12: f"INSERT INTO audit VALUES (41, {NOW}, 3, 'article.delete', 7, 11, 'a-request')"},
    "audit_horizon": {12: f"UPDATE audit_horizon SET created_at = {NOW}"},
    "password_resets": {13: f"INSERT INTO password_resets VALUES ('{'0d' * 32}', 3, {NOW})"},
    "outbox": {13: f"INSERT INTO outbox VALUES (51, 3, {NOW}, {NOW}, 2)"},
}


def tables(connection):
    """The columns of each table that scripts made."""
    names = connection.execute(
        "SELECT name FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_migrations'"
    ).fetchall()
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for (name,) in names}


def fill(connection, version):
    """Put rows into every table that there is at a version."""
    connection.execute("PRAGMA foreign_keys = ON")
    for entries in ROWS.values():
        known = [since for since in entries if since <= version]
        if known:
            connection.execute(entries[max(known)])
    connection.commit()


def rows(connection, columns_of):
    """All rows of these columns."""
    return {
        table: sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall(), key=repr)
        for table, columns in columns_of.items()
    }


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_a_database_filled_at_an_earlier_version_upgrades_with_its_rows(tmp_path, version):
    path = tmp_path / "rowboat.db"
    migrate(path, HOME / "schema", to=version)
    with closing(sqlite3.connect(path)) as connection:
        fill(connection, version)
        columns_of = tables(connection)
        before = rows(connection, columns_of)
    assert [table for table, found in before.items() if not found] == [], "give these tables rows above"

    migrate(path, HOME / "schema")

    with closing(sqlite3.connect(path)) as connection:
        assert rows(connection, columns_of) == before
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert list(schema.differences(connection, HOME / "schema")) == []


def test_every_table_of_the_newest_version_has_rows_above(tmp_path):
    with closing(schema.build(HOME / "schema")) as connection:
        fill(connection, NEWEST)

        assert all(rows(connection, tables(connection)).values())
        assert set(tables(connection)) == set(ROWS)
