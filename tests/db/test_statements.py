import ast
import re
import sqlite3
from contextlib import closing

import pytest

from db import StartupError
from db.connection import connect
from db.statements import find, load
from tests.conftest import HOME

NAMES = find(HOME / "sql")


@pytest.fixture(scope="module")
def schema(migrated):
    """A connection to an empty migrated database in memory: nothing here writes."""
    with closing(connect(migrated)) as connection, closing(sqlite3.connect(":memory:")) as memory:
        connection.backup(memory)
        yield memory


def loaded(schema, folder, script):
    """The file that `script` makes, compiled against the migrated schema."""
    path = folder / "sql" / "notes" / "ask.sql"
    path.parent.mkdir(parents=True)
    path.write_text(script, encoding="utf-8")
    return load(folder / "sql", schema)["notes/ask"]


def refusal(schema, folder, script):
    """What is said of a file that is wrong, from the line on; that it names the file is checked here."""
    with pytest.raises(StartupError) as refused:
        loaded(schema, folder, script)
    path, message = str(refused.value).split(":", 1)
    assert path == str(folder / "sql" / "notes" / "ask.sql")
    return message


def test_a_file_is_known_by_its_folder_and_its_name(schema, tmp_path):
    script = "-- Who has\n-- this name.\n--\n--   :name  TEXT | NULL\n\nSELECT id FROM users WHERE username = :name;\n"

    file = loaded(schema, tmp_path, script)

    assert file.name == "notes/ask"
    assert file.description == "Who has this name."
    assert file.parameters == {"name": "TEXT | NULL"}
    assert file.statements == (script.rstrip("\n"),)
    assert not file.writes


@pytest.mark.parametrize(
    ("script", "writes"),
    [
        ("INSERT INTO attempts (subject) VALUES ('a');", True),
        ("UPDATE attempts SET level = 0;", True),
        ("DELETE FROM attempts;", True),
        ("SELECT 1;\nDELETE FROM attempts;", True),
        ("DELETE FROM attempts;\nSELECT 1;", True),
        ("SELECT 'DELETE FROM attempts' FROM json_each('[]');", False),
    ],
)
def test_a_file_that_writes_in_any_statement_is_known_to_write(schema, tmp_path, script, writes):
    assert loaded(schema, tmp_path, script).writes is writes


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("-- Ask.\n\nSELECT id,\n       titel\n  FROM users;", "4: no such column: titel"),
        ("-- Ask.\n\nSELECT users.titel\n  FROM users;", "3: no such column: users.titel"),
        ("INSERT INTO attempts (\n    nam\n) VALUES ('a');", "2: table attempts has no column named nam"),
        ("UPDATE attempts\n   SET nam = 'a';", "2: no such column: nam"),
        ("SELECT id\n  FROM uers;", "2: no such table: uers"),
        ("SELECT 1;\n\nSELECT id\n  FROM uers;", "4: no such table: uers"),
        ("SELECT id\n  FRM users;", '2: near "users": syntax error'),
        ("SELECT id,\n  FROM users;", '2: near "FROM": syntax error'),
        ("SELECT id\n  FROM users\n WHERE", "1: incomplete input"),
    ],
)
def test_a_file_that_does_not_compile_stops_the_program_with_its_line(schema, tmp_path, script, message):
    assert refusal(schema, tmp_path, script) == message


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "-- Ask.\n--\n--   :slug  TEXT  a slug\n\nSELECT 1 -- :slgu\n FROM attempts\n WHERE subject = :slgu;",
            "7: :slgu is not in the header; list it there, or correct the name",
        ),
        (
            "-- Ask.\n--\n--   :message  TEXT  what\n\nSELECT :message,\n  ':me',\n  :me;",
            "7: :me is not in the header; list it there, or correct the name",
        ),
        (
            "-- Ask.\n--\n--   :slug  TEXT  a slug\n\nSELECT :slug;\nSELECT 2,\n  :slug,\n  :me;",
            "8: :me is not in the header; list it there, or correct the name",
        ),
        ("SELECT 1,\n  :me;\nSELECT :me;", "2: :me is not in the header; list it there, or correct the name"),
        (
            "-- Ask :me.\n--\n--   :message  TEXT  what\n--   :me  INTEGER  who\n\nSELECT :message;",
            "4: :me is in the header, but no statement asks for it",
        ),
        # A parameter without a type is not declared; what stands in a later comment is no header.
        ("-- Ask.\n--   :me  who\n\nSELECT\n  :me;", "5: :me is not in the header; list it there, or correct the name"),
        ("-- Ask.\n\n--   :me  TEXT\nSELECT :me;", "4: :me is not in the header; list it there, or correct the name"),
    ],
)
def test_a_header_lists_exactly_the_parameters_that_are_asked_for(schema, tmp_path, script, message):
    assert refusal(schema, tmp_path, script) == message


def test_parameters_without_a_name_are_refused(schema, tmp_path):
    assert refusal(schema, tmp_path, "-- Ask.\n\nSELECT 1,\n  ?;").startswith("3: ")


def test_double_quotes_are_refused_where_sqlite_would_take_a_misspelt_name_for_a_text(schema, tmp_path):
    script = '-- Ask.\n\nSELECT id\n  FROM users\n WHERE username = "usrname";'

    message = refusal(schema, tmp_path, script)

    assert message == "5: double quotes; write 'text' in single quotes, and names without any"


def test_double_quotes_in_texts_and_comments_are_nobodys_concern(schema, tmp_path):
    assert loaded(schema, tmp_path, """-- Ask "it".\nSELECT '"', /* "so" */ 'it''s "fine"'; -- "yes"\n""").statements


@pytest.mark.parametrize(
    "clock",
    [
        "CURRENT_TIMESTAMP",
        "current_date",
        "CURRENT_TIME",
        "datetime()",
        "datetime('now')",
        "DateTime('now', '+1 day')",
        "date()",
        "date(created_at)",
        "time('now')",
        "julianday()",
        "unixepoch()",
        "random()",
        "RANDOM ( )",
        "abs(random())",
        "randomblob(8)",
    ],
)
def test_a_file_has_neither_clock_nor_chance(schema, tmp_path, clock):
    message = refusal(schema, tmp_path, f"-- Ask.\n\nSELECT created_at,\n       {clock}\n  FROM users;")

    name = re.sub(r"abs\(|[^a-z_].*", "", clock.lower())
    assert message == f"3: {name}() has no place in a SQL file; what varies is a parameter"


@pytest.mark.parametrize(
    "call",
    [
        "strftime('%s')",
        "strftime('%s', 'now')",
        "strftime('%s', 'NOW')",
        "STRFTIME ( '%Y-%m-%dT%H:%M:%fZ' , 'now')",
        "strftime(/* a comment */ '%s')",
        "strftime('%s', lower('NOW'))",
        "[strftime]('%s', 'now')",
    ],
)
def test_strftime_does_not_tell_the_time(schema, tmp_path, call):
    message = refusal(schema, tmp_path, f"-- Ask.\n\nSELECT 1,\n       {call};")

    assert message == "4: strftime without a stated time; SQL calls no clock, pass the time as a parameter"


@pytest.mark.parametrize("time", ["updated_at", "users.updated_at", ":now"])
def test_strftime_may_reckon_with_a_time_that_it_is_given(schema, tmp_path, time):
    header = "--   :now  TEXT  the time\n" if time == ":now" else ""

    file = loaded(schema, tmp_path, f"{header}SELECT strftime('%Y', {time}, '+0.001 seconds') FROM users;")

    assert file.statements


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("BEGIN;", "BEGIN, COMMIT or ROLLBACK"),
        ("BEGIN IMMEDIATE;", "BEGIN, COMMIT or ROLLBACK"),
        ("COMMIT;", "BEGIN, COMMIT or ROLLBACK"),
        ("END;", "BEGIN, COMMIT or ROLLBACK"),
        ("ROLLBACK;", "BEGIN, COMMIT or ROLLBACK"),
        ("SAVEPOINT here;", "SAVEPOINT"),
        ("RELEASE here;", "SAVEPOINT"),
        ("ROLLBACK TO here;", "SAVEPOINT"),
        ("PRAGMA foreign_keys = OFF;", "PRAGMA"),
        ("ATTACH 'other.db' AS other;", "ATTACH"),
        ("DETACH other;", "DETACH"),
    ],
)
def test_a_file_has_no_transaction_and_no_pragma(schema, tmp_path, statement, what):
    message = refusal(schema, tmp_path, f"-- Ask.\nSELECT 1;\n\n-- And:\n{statement}")

    assert message == f"5: {what} has no place in a SQL file; what varies is a parameter"


def test_compiling_a_file_does_not_run_it(schema, tmp_path):
    loaded(schema, tmp_path, "INSERT INTO attempts VALUES ('rowing', 0, 0, 0);\nDELETE FROM audit_horizon;")

    assert schema.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
    assert schema.execute("SELECT count(*) FROM audit_horizon").fetchone() == (1,)


def test_what_a_file_may_not_do_the_connection_still_may(schema, tmp_path):
    refusal(schema, tmp_path, "PRAGMA user_version;")

    assert schema.execute("PRAGMA user_version").fetchone() == (0,)


def test_each_of_our_files_says_what_it_does(schema):
    for file in load(HOME / "sql", schema).values():
        assert re.fullmatch(r"[A-Z].{9,}\.", file.description), file.name


@pytest.mark.parametrize("name", NAMES)
def test_each_of_our_files_is_named_by_a_resource_and_a_verb(name):
    assert re.fullmatch(r"([a-z]+s|audit|outbox)/[a-z]+(_[a-z]+)*", name)


def called_files():
    """Each name of a SQL file that our code passes to read, row, write or submit; and every text in it."""
    called, texts = set(), set()
    for path in [*HOME.glob("*.py"), *HOME.glob("handlers/*.py"), *HOME.glob("plugins/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                arguments = [each.value for each in node.args if isinstance(each, ast.Constant)]
                if node.func.attr in ("read", "row", "write", "submit"):
                    called.update(each for each in arguments if isinstance(each, str) and "/" in each)
    return called, texts


def test_every_file_is_used_and_every_file_that_is_used_exists():
    called, texts = called_files()

    assert len(called) > 20
    assert called <= NAMES.keys()
    assert NAMES.keys() <= texts
