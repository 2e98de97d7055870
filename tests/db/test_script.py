import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.script import split
from tests.conftest import HOME

SCRIPTS = sorted([*HOME.glob("sql/*/*.sql"), *HOME.glob("schema/*.sql")])


def statements(script):
    return [statement.sql.strip() for statement in split(script)]


def test_statements_end_with_their_semicolons():
    assert statements("SELECT 1; SELECT 2;\nSELECT 3;") == ["SELECT 1;", "SELECT 2;", "SELECT 3;"]


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
def test_semicolons_in_comments_texts_and_triggers_end_nothing(statement):
    assert statements(f"{statement}\nSELECT 2;") == [statement, "SELECT 2;"]


def test_the_last_semicolon_may_be_missing():
    assert statements("SELECT 1; SELECT 2") == ["SELECT 1;", "SELECT 2"]


@pytest.mark.parametrize("end", ["", "\n", "\n-- that was all", "\n/* that; was\nall */\n  "])
def test_a_comment_at_the_end_is_no_statement(end):
    assert statements(f"SELECT 1;{end}") == ["SELECT 1;"]


@pytest.mark.parametrize("script", ["", "\n\n", "-- nothing", "/* nothing; */"])
def test_a_script_without_code_has_no_statement(script):
    assert statements(script) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(HOME).as_posix())
def test_nothing_of_our_own_scripts_is_lost_in_splitting(path: Path):
    script = path.read_text(encoding="utf-8")

    assert "".join(statement.sql for statement in split(script)).strip() == script.strip()


def test_a_statement_knows_where_it_begins_and_where_its_code_does():
    first, second, third = split("SELECT 1; SELECT\n2;\n\n-- a comment; of\n/* two\nkinds */ SELECT 3;")

    assert (first.line, first.first_line) == (1, 1)
    assert (second.line, second.first_line) == (1, 1)
    assert (third.line, third.first_line) == (2, 6)


# In each script the mistake stands on the line with the arrow.
@pytest.mark.parametrize(
    "script",
    [
        "SELECT 1,\n  slugg -->\n  FROM notes;",
        "SELECT 1\n  FROM nots; -->",
        "SELECT notes.slug,\n  notes.slugg -->\n  FROM notes;",
        # The same word in a comment, in a text, as a parameter or in a longer name is not the mistake.
        "SELECT 1, -- me\n  :me,\n  'me',\n  me_too.slug,\n  me -->\n  FROM notes AS me_too;",
        "SELECT 1 FORM notes; -->",
        "SELECT 1;\n\nSELECT 2\n  FORM notes; -->",
        # Of several such words it is the one at which SQLite stopped.
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
        # Nothing of the statement is quoted: its first line has to do.
        "-- Too few.\nINSERT INTO notes VALUES -->\n  (1, 2, 3);",
        "\nSELECT * -->\n  FROM",
    ],
)
def test_a_mistake_is_found_on_its_line(script):
    (expected,) = (number for number, line in enumerate(script.split("\n"), 1) if line.endswith("-->"))
    *_, statement = split(script)

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, slug TEXT)")
        with pytest.raises(sqlite3.Error) as mistake:
            connection.execute(statement.sql, {"me": 1})

    assert statement.line_of(mistake.value) == expected
