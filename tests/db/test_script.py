"""Splitting scripts into statements, and finding the line of an error."""

import sqlite3
from contextlib import closing

import pytest

import db.script
from db.script import _breaks_at, split
from tests.conftest import HOME


def statements(script):
    return [statement.sql.strip() for statement in split(script)]


def test_statements_end_with_a_semicolon_which_the_last_one_may_lack():
    assert statements("SELECT 1; SELECT 2;\nSELECT 3;") == ["SELECT 1;", "SELECT 2;", "SELECT 3;"]
    assert statements("SELECT 1; SELECT 2") == ["SELECT 1;", "SELECT 2"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 -- one; not two\n;",
        "-- first; of all\nSELECT 1;",
        "SELECT /* a; b */ 1;",
        "SELECT 'a; b';",
        "SELECT 'it''s; so';",
        "SELECT '-- ; ', 1;",
        "SELECT ';' -- it's; so\n;",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = 1; DELETE FROM c; END;",
        "CREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  -- the end; END;\n  SELECT CASE WHEN 1 THEN 2 END;\nEND;",
    ],
)
def test_semicolons_in_comments_strings_and_triggers_do_not_end_a_statement(statement):
    assert statements(f"{statement}\nSELECT 2;") == [statement, "SELECT 2;"]


@pytest.mark.parametrize("comment", ["", "\n\n", "\n-- that was all", "/* nothing;\n*/\n  ", "/* no end; /* at all"])
def test_a_comment_is_not_a_statement(comment):
    assert statements(comment) == []
    assert statements(f"SELECT 1;{comment}") == ["SELECT 1;"]


def test_splitting_keeps_every_character_of_our_scripts():
    for path in [*HOME.glob("sql/*/*.sql"), *HOME.glob("schema/*.sql")]:
        script = path.read_text(encoding="utf-8")

        assert "".join(statement.sql for statement in split(script)).strip() == script.strip(), path


def test_a_statement_knows_the_lines_of_its_comment_and_of_its_code():
    first, second, third = split("SELECT 1; SELECT\n2;\n\n-- a comment; of\n/* two\nkinds */ SELECT 3;")

    assert (first.line, first.first_line) == (1, 1)
    assert (second.line, second.first_line) == (1, 1)
    assert (third.line, third.first_line) == (2, 6)


# The mistake is on the line with the arrow.
@pytest.mark.parametrize(
    "script",
    [
        "SELECT 1,\n  slugg -->\n  FROM notes;",
        "SELECT 1\n  FROM nots; -->",
        "SELECT notes.slug,\n  notes.slugg -->\n  FROM notes;",
        # The same word in a comment, in a string, as a parameter or in a longer name is not the mistake.
        "SELECT 1, -- me\n  :me,\n  'me',\n  me_too.slug,\n  me -->\n  FROM notes AS me_too;",
        "SELECT 1 FORM notes; -->",
        "SELECT 1;\n\nSELECT 2\n  FORM notes; -->",
        # Of several such words, the one at which SQLite stopped.
        "SELECT (SELECT 1\n  FROM notes),\n  FROM notes; -->",
        "SELECT count(slug),\n  count(,) -->\n  FROM notes;",
        "SELECT 1\n  1; -->",
        "SELECT (slug),\n  (slug)) -->\n  FROM notes;",
        "INSERT INTO notes (slug)\nVALUES ('slug',\n  'slug') ON CONFLICT DO NOTHING, -->\n  1;",
        "SELECT 1,\n  # -->\n  FROM notes;",
        "INSERT INTO notes (\n  slug,\n  slugg) -->\nVALUES (1, 2);",
        "SELECT 1\n  FROM notes AS a JOIN notes AS b\n WHERE slug = 1; -->",
        "SELECT a.slug,\n  slug -->\n  FROM notes AS a JOIN notes AS b;",
        "SELECT 1,\n  lenght('x'); -->",
        # If the message quotes nothing, the first line of the statement.
        "-- Too few.\nINSERT INTO notes VALUES -->\n  (1, 2, 3);",
        "\nSELECT * -->\n  FROM",
    ],
)
def test_the_line_of_an_error_is_found(script):
    (expected,) = (number for number, line in enumerate(script.split("\n"), 1) if line.endswith("-->"))
    *_, statement = split(script)

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, slug TEXT)")
        with pytest.raises(sqlite3.Error) as mistake:
            connection.execute(statement.sql, {"me": 1})

    assert statement.line_of(mistake.value) == expected


def test_the_line_of_an_error_in_a_long_statement_takes_few_attempts(monkeypatch):
    attempts = []
    monkeypatch.setattr(db.script, "_breaks_at", lambda *known: attempts.append(1) or _breaks_at(*known))
    (statement,) = split("INSERT INTO notes VALUES\n" + "  (1, 'x'),\n" * 1000 + "  (1, 'x'),,\n  (1, 'x')")

    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.Error) as mistake:
        connection.execute(statement.sql)

    assert statement.line_of(mistake.value) == 1002
    assert len(attempts) <= 12
