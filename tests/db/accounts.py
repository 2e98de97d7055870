"""What the tests of the database write: accounts, straight through sql/users/create.sql, without hashing passwords."""

from contextlib import closing
from typing import Any

from db import Database
from db.connection import connect
from passwords import digest

NOW = "2026-01-31T12:00:00.000Z"


def account(name: str) -> dict[str, Any]:
    """What users/must_be_free and users/create ask for."""
    email = f"{name}@example.org"
    return {
        "me": None,
        "username": name,
        "username_key": name,
        "username_key_hash": digest(name),
        "email": email,
        "email_key": email,
        "password_hash": "nobody's",
        "now": NOW,
    }


def stored(db: Database) -> list[str]:
    """The names of all accounts in the order in which they were opened, as another connection sees them."""
    with closing(connect(db.path, query_only=True)) as other:
        return [name for (name,) in other.execute("SELECT username FROM users ORDER BY id")]
