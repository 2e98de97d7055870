"""Loading the files of sql/: headers, checks against the schema, and what a file may not do."""

import ast
import re
import sqlite3
from contextlib import closing

import pytest

from db import StartupError
from db.connection import connect
from db.statements import find, load
from tests.conftest import HOME


@pytest.fixture(scope="module")
def schema(migrated):
    """An empty migrated database in memory. No test writes to it."""
    with closing(connect(migrated)) as connection, closing(sqlite3.connect(":memory:")) as memory:
        connection.backup(memory)
        yield memory


@pytest.fixture
def loaded(schema, tmp_path):
    """Load a script as the file notes/ask.sql."""

    def loaded(script):
        path = tmp_path / "sql/notes/ask.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        return load(tmp_path / "sql", schema)["notes/ask"]

    return loaded


@pytest.fixture
def refusal(loaded, tmp_path):
    """The error message of a script, from the line on."""

    def refusal(script):
        with pytest.raises(StartupError) as refused:
            loaded(script)
        path, message = str(refused.value).split(":", 1)
        assert path == str(tmp_path / "sql/notes/ask.sql")
        return message

    return refusal


def test_a_file_has_a_name_a_description_and_parameters(loaded):
    script = "-- Who has\n-- this name.\n--\n--   :name  TEXT | NULL\n\nSELECT id FROM users WHERE username = :name;\n"

    file = loaded(script)

    assert file.name == "notes/ask"
    assert file.description == "Who has this name."
    assert file.parameters == {"name": "TEXT | NULL"}
    assert file.statements == (script.rstrip("\n"),)
    assert not file.writes


def test_hidden_files_and_folders_are_not_loaded(tmp_path):
    for name in ("notes/ask.sql", "notes/._ask.sql", "notes/.AppleDouble/ask.sql", ".ipynb_checkpoints/ask.sql"):
        (tmp_path / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sql" / name).write_text("SELECT 1;")

    assert list(find(tmp_path / "sql")) == ["notes/ask"]


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
def test_a_file_writes_if_one_of_its_statements_does(loaded, script, writes):
    assert loaded(script).writes is writes


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("-- Ask.\n\nSELECT id,\n       titel\n  FROM users;", "4: no such column: titel"),
        ("INSERT INTO attempts (\n    nam\n) VALUES ('a');", "2: table attempts has no column named nam"),
        ("SELECT 1;\n\nSELECT id\n  FROM uers;", "4: no such table: uers"),
        ("SELECT id\n  FRM users;", '2: near "users": syntax error'),
        ("SELECT id\n  FROM users\n WHERE", "1: incomplete input"),
    ],
)
def test_a_file_that_does_not_compile_is_refused_with_its_line(refusal, script, message):
    assert refusal(script) == message


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
        # A parameter without a type is not declared, and a later comment is not part of the header.
        ("-- Ask.\n--   :me  who\n\nSELECT\n  :me;", "5: :me is not in the header; list it there, or correct the name"),
        ("-- Ask.\n\n--   :me  TEXT\nSELECT :me;", "4: :me is not in the header; list it there, or correct the name"),
    ],
)
def test_a_header_lists_exactly_the_parameters_of_its_statements(refusal, script, message):
    assert refusal(script) == message


def test_parameters_without_a_name_are_refused(refusal):
    assert refusal("-- Ask.\n\nSELECT 1,\n  ?;").startswith("3: ")


def test_double_quotes_are_refused_because_sqlite_takes_a_misspelt_name_for_a_string(refusal):
    message = refusal('-- Ask.\n\nSELECT id\n  FROM users\n WHERE username = "usrname";')

    assert message == "5: double quotes; write 'text' in single quotes, and names without any"


def test_double_quotes_are_allowed_in_strings_and_comments(loaded):
    assert loaded("""-- Ask "it".\nSELECT '"', /* "so" */ 'it''s "fine"'; -- "yes"\n""").statements


@pytest.mark.parametrize(
    "call",
    "CURRENT_TIMESTAMP|current_date|CURRENT_TIME|datetime()|DateTime('now', '+1 day')|date(created_at)|time('now')|"
    "julianday()|unixepoch()|RANDOM ( )|randomblob(8)".split("|"),
)
def test_a_file_calls_no_clock_and_no_random_function(refusal, call):
    message = refusal(f"-- Ask.\n\nSELECT created_at,\n       abs({call})\n  FROM users;")

    name = re.match(r"\w+", call.lower())[0]
    assert message == f"3: {name}() has no place in a SQL file; what varies is a parameter"


@pytest.mark.parametrize(
    "call",
    "strftime('%s')|strftime('%s', 'now')|strftime('%s', 'NOW')|STRFTIME ( '%Y-%m-%dT%H:%M:%fZ' , 'now')|"
    "strftime(/* a comment */ '%s')|strftime('%s', lower('NOW'))|[strftime]('%s', 'now')".split("|"),
)
def test_strftime_needs_a_time(refusal, call):
    message = refusal(f"-- Ask.\n\nSELECT 1,\n       {call};")

    assert message == "4: strftime without a stated time; SQL calls no clock, pass the time as a parameter"


@pytest.mark.parametrize("time", ["updated_at", "users.updated_at", ":now"])
def test_strftime_may_be_given_a_column_or_a_parameter(loaded, time):
    header = "--   :now  TEXT  the time\n" if time == ":now" else ""

    assert loaded(f"{header}SELECT strftime('%Y', {time}, '+0.001 seconds') FROM users;").statements


@pytest.mark.parametrize(
    ("what", "statements"),
    [
        ("BEGIN, COMMIT or ROLLBACK", ["BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK"]),
        ("SAVEPOINT", ["SAVEPOINT here", "RELEASE here", "ROLLBACK TO here"]),
        ("PRAGMA", ["PRAGMA foreign_keys = OFF"]),
        ("ATTACH", ["ATTACH 'other.db' AS other"]),
        ("DETACH", ["DETACH other"]),
    ],
)
def test_a_file_has_no_transaction_and_no_pragma(refusal, what, statements):
    for statement in statements:
        message = refusal(f"-- Ask.\nSELECT 1;\n\n-- And:\n{statement};")

        assert message == f"5: {what} has no place in a SQL file; what varies is a parameter"


def test_loading_a_file_does_not_run_it(loaded, schema):
    loaded("INSERT INTO attempts VALUES ('rowing', 0, 0, 0);\nDELETE FROM audit_horizon;")

    assert schema.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
    assert schema.execute("SELECT count(*) FROM audit_horizon").fetchone() == (1,)


def test_the_connection_may_still_do_what_a_file_may_not(refusal, schema):
    refusal("PRAGMA user_version;")

    assert schema.execute("PRAGMA user_version").fetchone() == (0,)


def test_a_file_without_a_statement_is_refused(refusal):
    assert refusal("-- Nothing.\n") == " holds no statement; write it, or delete the file"


def test_each_of_our_files_has_a_name_and_a_description(schema):
    for name, file in load(HOME / "sql", schema).items():
        assert re.fullmatch(r"([a-z]+s|audit|export|outbox)/[a-z]+(_[a-z]+)*", name)
        assert re.fullmatch(r"[A-Z].{9,}\.", file.description), name


def test_every_file_is_used_and_every_file_that_is_used_exists():
    called, strings = set(), set()
    for path in [*HOME.glob("*.py"), *HOME.glob("handlers/*.py"), *HOME.glob("plugins/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("read", "row", "write", "submit"):
                arguments = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
                called.update(argument for argument in arguments if "/" in argument)
    names = find(HOME / "sql").keys()

    assert len(called) > 20
    assert called <= names <= strings
