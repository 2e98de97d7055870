"""Accounts for tests of the database, written without hashing a password."""

from contextlib import closing
from typing import Any

from db import Database
from db.connection import connect
from passwords import digest
from tests.clock import ManualClock

NOW = ManualClock().now()


def account(name: str) -> dict[str, Any]:
    """The parameters of users/must_be_free and users/create."""
    email = f"{name}@example.org"
    names = {"username": name, "username_key": name, "username_key_hash": digest(name)}
    return names | {"email": email, "email_key": email, "password_hash": "hash", "me": None, "now": NOW}


def stored(db: Database) -> list[str]:
    """The usernames in order of registration, as another connection sees them."""
    with closing(connect(db.path, query_only=True)) as other:
        return [name for (name,) in other.execute("SELECT username FROM users ORDER BY id")]
