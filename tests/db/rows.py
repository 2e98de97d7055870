"""A row for each table, and what a database holds."""

import sqlite3
from typing import Any

from tests.db.accounts import NOW

Row = dict[str, Any]

# In the order of the foreign keys. Each has values in all columns that triggers do not keep, and an id of its own.
ROWS: dict[str, Row] = {
    "users": {"id": 3, "username": "Ann", "username_key": "ann", "email": "Ann@example.org", "password_hash": "hash"}
    | {"email_key": "ann@example.org", "bio": "Rows; at dawn.", "image": "https://example.org/ann.png"}
    | {"role": "admin", "suspended_at": NOW, "created_at": NOW, "updated_at": NOW},
    "sessions": {"id": 5, "user_id": 3, "token_hash": "0a" * 32, "user_agent": "curl/8"}
    | {"created_at": NOW, "last_used_at": NOW},
    "attempts": {"subject": "login from 192.0.2.1", "level": 2.5, "counted_at_ms": 1769860800000, "waits_until_ms": 0},
    "login_addresses": {"user_id": 3, "address": "192.0.2.1", "used_at": NOW},
    "follows": {"follower_id": 3, "followed_id": 3, "created_at": NOW},
    "articles": {"id": 11, "author_id": 3, "slug": "dawn", "title": "Rowing at dawn", "description": "Early"}
    | {"body": "The text", "created_at": NOW, "updated_at": NOW},
    "slugs": {"slug": "an-older-one", "article_id": 11},
    "totals": {"name": "boats", "total": 2},
    "tags": {"id": 21, "name": "rowing"},
    "article_tags": {"article_id": 11, "position": 0, "tag_id": 21},
    "favorites": {"user_id": 3, "article_id": 11, "created_at": NOW},
    "comments": {"id": 31, "article_id": 11, "author_id": 3, "body": "Well said; very.", "created_at": NOW},
    "reserved_usernames": {"username_key_hash": "0c" * 32},
    "audit": {"id": 41, "created_at": NOW, "action": "article.delete", "object_id": 11, "request_id": "a-request"}
    | {"actor_id": 3, "user_id": 7},
    "password_resets": {"token_hash": "0d" * 32, "user_id": 3, "created_at": NOW},
    "closed_accounts": {"user_id": 3},
    "hidden_authors": {"user_id": 3},
    "outbox": {"id": 51, "user_id": 3, "created_at": NOW, "next_attempt_at": NOW, "attempts": 2},
}


def insert(connection: sqlite3.Connection, table: str, row: Row) -> None:
    columns, values = ", ".join(row), ", ".join(f":{column}" for column in row)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", row)


def tables(connection: sqlite3.Connection) -> dict[str, str]:
    """Each table's name and CREATE TABLE, without the ledger of the migrations and the tables of FTS5."""
    return dict(
        connection.execute(
            "SELECT name, sql FROM sqlite_schema JOIN pragma_table_list AS list USING (name)"
            " WHERE list.type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations' ORDER BY name"
        )
    )


def columns_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of each table; also of the one in which SQLite keeps the largest ids."""
    names = [*tables(connection), "sqlite_sequence"]
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}


def contents(connection: sqlite3.Connection, columns_of: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """All the rows of these columns."""
    return {
        table: sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall(), key=repr)
        for table, columns in columns_of.items()
    }
