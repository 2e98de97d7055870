"""`migration verify` proves schema scripts on rows as well: on demo content, or on a copy of a real database."""

import sqlite3
from contextlib import closing

import pytest

from tests.db.scripts import Scripts


def test_each_script_goes_down_and_up_on_demo_content(commands):
    lines = commands.says("migration", "verify")

    numbers = [line[:4] for line in lines if line.endswith(": up, down, up")]
    assert [line[:4] for line in lines if line.endswith(": down, up, with rows")] == numbers[::-1]


@pytest.mark.parametrize(
    ("up", "down", "problem"),
    [
        (
            "ALTER TABLE comments ADD COLUMN mood TEXT NOT NULL;",
            "ALTER TABLE comments DROP COLUMN mood;",
            "demo content breaks a constraint of the schema: NOT NULL constraint failed: comments.mood",
        ),
        (
            "CREATE UNIQUE INDEX articles_title ON articles (author_id);",
            "DROP INDEX articles_title;",
            "demo content breaks a constraint of the schema: UNIQUE constraint failed: articles.author_id",
        ),
        (
            "CREATE TABLE brief (title TEXT CHECK (length(title) < 9)); INSERT INTO brief SELECT title FROM articles;",
            "-- Nobody can go back.",
            "_odd.sql:1: CHECK constraint failed: length(title) < 9",
        ),
    ],
)
def test_a_script_that_only_works_on_empty_tables_is_refused(commands, up, down, problem):
    commands.add("odd", up, down)

    assert problem in commands.error("migration", "verify")


def test_a_copy_of_a_real_database_shows_what_demo_content_does_not(commands):
    commands.says("migrate")
    columns = "username, username_key, email, email_key, password_hash, bio, created_at, updated_at"
    for name in ("ann", "bob"):
        moment = "2026-01-31T12:00:00.000Z"
        values = f"VALUES ('{name}', '{name}', '{name}@e', '{name}@e', '', 'A rower', '{moment}', '{moment}')"
        Scripts.run(commands, f"INSERT INTO users ({columns}) {values}")
    commands.add("bios", "CREATE UNIQUE INDEX users_bio ON users (bio);", "DROP INDEX users_bio;")

    message = commands.error("migration", "verify", "--database", str(commands.database))

    assert "_bios.sql:1: UNIQUE constraint failed: users.bio" in message
    assert commands.says("status")[-1].endswith("pending")


@pytest.mark.parametrize("other", ["Dear diary, " * 100, "CREATE TABLE schema_migrations (v)"])
def test_an_unusable_file_is_named_with_advice_about_that_file(commands, tmp_path, other):
    file = tmp_path / "junk.db"
    if other.startswith("CREATE"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(other)
    else:
        file.write_text(other)

    error = commands.error("migration", "verify", "--database", str(file))

    assert error.startswith(f"{file}: ")
    assert "ROWBOAT_DATABASE" not in error
