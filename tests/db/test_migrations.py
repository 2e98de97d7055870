"""The runner, on scripts that the tests write: order, atomicity, the ways back, and what it says when it refuses."""

import hashlib
import re
import sqlite3
from contextlib import closing

import pytest

from db import StartupError
from db.connection import connect
from db.migrations import Report, apply, find_migrations, migrate, read_ledger, states
from tests.db.scripts import IRREVERSIBLE, SLOW, Scripts

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;\n"
ROWERS = "CREATE TABLE rowers (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
OARS = "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"

# A boat with a trip, and a log that a trigger of the trips keeps, which names the boats.
HARBOUR = """\
CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE trips (
    boat_id INTEGER NOT NULL REFERENCES boats (id) ON DELETE CASCADE,
    day     TEXT    NOT NULL,
    PRIMARY KEY (boat_id, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE log (line TEXT NOT NULL) STRICT;
CREATE TRIGGER trips_after_insert_log AFTER INSERT ON trips
BEGIN
    INSERT INTO log (line) SELECT name || ' is away' FROM boats WHERE id = NEW.boat_id;
END;
INSERT INTO boats (id, name) VALUES (1, 'Heron'), (2, 'Coot');
INSERT INTO trips (boat_id, day) VALUES (1, 'Monday');
"""
LONGER_BOATS = """\
-- Boats have a length.
-- foreign_keys: off
CREATE TABLE boats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, length INTEGER) STRICT;
INSERT INTO boats_new (id, name) SELECT id, name FROM boats;
DROP TABLE boats;
ALTER TABLE boats_new RENAME TO boats;
"""


@pytest.fixture
def scripts(tmp_path):
    return Scripts(tmp_path)


# Pairs and order


def test_scripts_run_in_order_and_the_ledger_says_which(scripts):
    boats = scripts.add("boats", BOATS)
    scripts.add("names", "INSERT INTO boats (name) VALUES ('Heron');")

    done = scripts.migrate()

    assert done == ["0001 boats", "0002 names"]
    assert re.fullmatch(r"applied 0001 boats in \d+ ms", scripts.said[0])
    with closing(connect(scripts.database)) as connection:
        first, second = read_ledger(connection)
    assert (first.version, first.name, second.version, second.name) == (1, "boats", 2, "names")
    assert first.checksum == hashlib.sha256(boats.read_bytes()).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.applied_at)
    assert first.ms >= 0


def test_a_second_migrate_applies_only_what_is_new(scripts):
    scripts.add("boats", BOATS + "INSERT INTO boats (name) VALUES ('Heron');")
    scripts.migrate()
    scripts.add("rowers", ROWERS)

    assert scripts.migrate() == ["0002 rowers"]
    assert scripts.migrate() == []
    assert scripts.run("SELECT name FROM boats") == [("Heron",)]


def test_migrate_goes_up_to_the_number_it_is_told(scripts):
    for name, up in (("boats", BOATS), ("rowers", ROWERS), ("oars", OARS)):
        scripts.add(name, up)

    assert scripts.migrate(to=2) == ["0001 boats", "0002 rowers"]
    assert scripts.tables() == ["boats", "rowers"]
    assert scripts.migrate(to=2) == []
    assert scripts.migrate() == ["0003 oars"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (3, "there is no script 0003; they go from 0001 to 0002"),
        (1, "the database is at 0002 already; `rollback --to 1` goes back"),
    ],
)
def test_migrate_refuses_a_number_that_it_cannot_reach(scripts, number, message):
    scripts.add("boats", BOATS)
    scripts.add("rowers", ROWERS)
    scripts.migrate()

    assert scripts.refusal(to=number) == message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["0001_boats.sql"],
            "0001_boats.sql: 0001_boats.down.sql is missing; write how to undo it, or a comment why nobody can",
        ),
        (
            ["0001_boats.sql", "0001_boats.down.sql", "0003_oars.sql", "0003_oars.down.sql"],
            "0003_oars.sql: there is no script 0002; scripts are numbered without gaps",
        ),
        (
            ["0001_boats.sql", "0001_boats.down.sql", "0001_oars.sql", "0001_oars.down.sql"],
            "0001_oars.sql: 0001_boats.sql has the same number; give the newer one the next number",
        ),
        (["1_boats.sql"], "1_boats.sql: not a script's name; call it NNNN_name.sql, from 0001 on"),
        (["0000_boats.sql"], "0000_boats.sql: not a script's name; call it NNNN_name.sql, from 0001 on"),
        (["0001-boats.sql"], "0001-boats.sql: not a script's name; call it NNNN_name.sql, from 0001 on"),
    ],
    ids=["no down script", "gap", "duplicate", "short number", "number zero", "hyphen"],
)
def test_scripts_that_do_not_stand_in_a_row_are_refused(scripts, files, message):
    for name in files:
        (scripts.folder / name).write_text("SELECT 1;\n")

    assert scripts.refusal() == f"{scripts.folder}/{message}"
    assert not scripts.database.parent.exists()


# What was applied is not to change


def test_a_script_that_was_edited_after_it_was_applied_is_refused(scripts):
    boats = scripts.add("boats", BOATS)
    scripts.migrate()
    ((applied_at,),) = scripts.run("SELECT applied_at FROM schema_migrations")
    boats.write_text(BOATS + "-- One more word.\n")
    scripts.add("rowers", ROWERS)

    assert scripts.refusal() == (
        f"{boats}: edited after it was applied on {applied_at}; "
        "put it back as it was, and write what is new as a script with the next number"
    )
    assert scripts.tables() == ["boats"]


def test_a_script_that_was_renamed_after_it_was_applied_is_refused(scripts):
    scripts.add("boats", BOATS)
    scripts.migrate()
    ((applied_at,),) = scripts.run("SELECT applied_at FROM schema_migrations")
    scripts.remove("boats")
    ships = scripts.add("ships", BOATS)

    assert scripts.refusal() == (
        f"{ships}: called 0001_boats.sql when it was applied on {applied_at}; "
        "put it back as it was, and write what is new as a script with the next number"
    )


def test_a_script_that_appears_below_the_newest_applied_one_is_refused(scripts):
    for name, up in (("boats", BOATS), ("rowers", ROWERS), ("oars", OARS)):
        scripts.add(name, up)
    scripts.migrate()
    scripts.run("DELETE FROM schema_migrations WHERE version = 2")

    assert scripts.refusal() == (
        f"{scripts.folder}/0002_rowers.sql: appeared below 0003, which is applied; give it the next number"
    )


def test_a_database_that_is_newer_than_the_code_is_refused(scripts):
    scripts.add("boats", BOATS)
    scripts.add("rowers", ROWERS)
    scripts.migrate()
    scripts.remove("rowers")

    message = (
        "the database is newer than this code: script 0002 rowers was applied, and schema/ ends at 0001; "
        "run the newer code, or restore a copy from before that script"
    )
    assert scripts.refusal() == message
    with pytest.raises(StartupError, match=re.escape(message)):
        scripts.rollback(to=0)
    assert scripts.versions() == [1, 2]


def test_each_script_is_applied_pending_edited_or_missing(scripts):
    for name, up in (("boats", BOATS), ("rowers", ROWERS), ("oars", OARS)):
        scripts.add(name, up)
    scripts.migrate()
    with closing(connect(scripts.database)) as connection:
        ledger = read_ledger(connection)
    (scripts.folder / "0002_rowers.sql").write_text(ROWERS + "-- More.\n")
    scripts.remove("oars")
    now = find_migrations(scripts.folder)
    scripts.add("trips", "SELECT 1;\n")

    assert [(state, name) for state, _, name, _ in states(now, ledger)] == [
        ("applied", "boats"),
        ("edited", "rowers"),
        ("missing", "oars"),
    ]
    later = list(states(find_migrations(scripts.folder), ledger[:2]))
    assert later[2] == ("pending", 3, "trips", None)


def test_a_database_of_another_migration_tool_is_left_alone(scripts):
    scripts.add("boats", BOATS)
    scripts.database.parent.mkdir()
    scripts.run("CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)")

    assert scripts.refusal() == (
        f"{scripts.database}: cannot read what was applied: no such column: name; "
        "set ROWBOAT_DATABASE to another file, or restore a copy"
    )
    assert scripts.tables() == []


# Going back


def test_rollback_undoes_the_newest_scripts_first(scripts):
    scripts.add("boats", BOATS, "DROP TABLE boats;")
    scripts.add("names", "INSERT INTO boats (name) VALUES ('Heron');", "DELETE FROM boats WHERE name = 'Heron';")
    scripts.add("oars", OARS, "DROP TABLE oars;")
    scripts.migrate()

    assert scripts.rollback(to=1) == ["0003 oars", "0002 names"]
    assert scripts.tables() == ["boats"]
    assert scripts.run("SELECT name FROM boats") == []
    assert scripts.versions() == [1]
    assert re.fullmatch(r"undone 0002 names in \d+ ms", scripts.said[-1])


def test_what_was_undone_can_be_applied_again_even_edited(scripts):
    path = scripts.add("boats", BOATS, "DROP TABLE boats;")
    scripts.migrate()
    scripts.rollback(to=0)
    path.write_text(BOATS + ROWERS)

    assert scripts.rollback(to=0) == []
    assert scripts.migrate() == ["0001 boats"]
    assert scripts.tables() == ["boats", "rowers"]


@pytest.mark.parametrize(
    ("down", "reason"),
    [
        (
            "-- The names were hashed,\n-- and nobody can guess them.\n",
            "The names were hashed, and nobody can guess them.",
        ),
        ("\n", "its down script is empty"),
    ],
)
def test_a_script_that_cannot_be_undone_says_why_before_anything_is_touched(scripts, down, reason):
    scripts.add("boats", BOATS, "DROP TABLE boats;")
    path = scripts.add("hashes", "SELECT 1;", down)
    scripts.add("oars", OARS, "DROP TABLE oars;")
    scripts.migrate()

    with pytest.raises(StartupError) as refused:
        scripts.rollback(to=0)

    assert str(refused.value) == f"{path.with_suffix('.down.sql')}: cannot be undone: {reason}"
    assert scripts.versions() == [1, 2, 3]
    assert scripts.files() == ["rowboat.db"]


def test_a_down_script_that_fails_leaves_its_script_applied(scripts):
    path = scripts.add("boats", BOATS, "-- Loses the boats.\nDROP TABLE boats;\nDROP TABLE oars;\n")
    scripts.migrate()

    with pytest.raises(StartupError) as refused:
        scripts.rollback(to=0)

    down = path.with_suffix(".down.sql")
    assert str(refused.value) == f"{down}:3: no such table: oars; in: DROP TABLE oars;"
    assert scripts.tables() == ["boats"]
    assert scripts.versions() == [1]


@pytest.mark.parametrize(
    ("number", "message"), [(3, "there is no script 0003; they go from 0001 to 0001"), (0, "there is no such database")]
)
def test_rollback_refuses_where_there_is_nothing_to_go_back_to(scripts, number, message):
    scripts.add("boats", BOATS, "DROP TABLE boats;")

    with pytest.raises(StartupError, match=message):
        scripts.rollback(to=number)

    assert not scripts.database.parent.exists()


# All or nothing


def test_a_script_whose_third_statement_fails_leaves_nothing_and_says_where(scripts):
    scripts.add("boats", BOATS)
    path = scripts.add(
        "more",
        "-- Two tables; and rows.\nCREATE TABLE rowers (id INTEGER);\nINSERT INTO boats (name) VALUES ('Heron');\n\n"
        "-- The third; it fails.\nINSERT INTO boats (name)\nVALUES ('Heron');\nCREATE TABLE oars (id INTEGER);\n",
    )

    message = scripts.refusal()

    assert message == (
        f"{path}:6: UNIQUE constraint failed: boats.name; in: INSERT INTO boats (name) VALUES ('Heron');"
    )
    assert scripts.tables() == ["boats"]
    assert scripts.run("SELECT * FROM boats") == []
    assert scripts.versions() == [1]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("SELECT 1;\nCREATE\nTABEL boats (id);\n", '3: near "TABEL": syntax error; in: CREATE TABEL boats (id);'),
        ("INSERT INTO\n  nowhere VALUES (1);\n", "2: no such table: nowhere; in: INSERT INTO nowhere VALUES (1);"),
        ("SELECT 1;\nSELECT 'open;\n", "2: unrecognized token: \"'open; \"; in: SELECT 'open;"),
        ("SELECT 1;\nSELECT (", "2: incomplete input; in: SELECT ("),
        ("\nSELECT :name;\n", "2: Incorrect number of bindings supplied"),
    ],
    ids=["syntax", "unknown table", "open text", "no end", "parameter"],
)
def test_a_mistake_is_named_with_its_line(scripts, script, message):
    path = scripts.add("mistake", script)

    assert scripts.refusal().startswith(f"{path}:{message}")


def test_a_script_that_is_not_utf8_is_refused(scripts):
    path = scripts.add("boats", BOATS)
    path.write_bytes(b"-- Bo\xeete\n")

    assert scripts.refusal() == f"{path}: not UTF-8 text: invalid continuation byte at byte 5"


def test_semicolons_in_triggers_comments_and_texts_end_no_statement(scripts):
    scripts.add(
        "boats",
        BOATS
        + """
        /* A block; with
           semicolons; */
        CREATE TABLE log (line TEXT NOT NULL DEFAULT 'a; b') STRICT; -- and; here

        CREATE TRIGGER boats_after_insert_log AFTER INSERT ON boats
        BEGIN
            INSERT INTO log (line) VALUES (CASE WHEN NEW.name = ';' THEN 'odd; very' ELSE NEW.name || ';' END);
            INSERT INTO log (line) SELECT 'a; b'; -- end;
        END;

        INSERT INTO boats (name) VALUES ('It''s; a -- boat'), (';')
        """,
    )

    scripts.migrate()

    assert scripts.run("SELECT line FROM log") == [("It's; a -- boat;",), ("a; b",), ("odd; very",), ("a; b",)]


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN;",
        "COMMIT;",
        "END TRANSACTION;",
        "ROLLBACK;",
        "SAVEPOINT here;",
        "RELEASE here;",
        "PRAGMA foreign_keys = OFF;",
        "pragma user_version = 3;",
        "ATTACH 'other.db' AS other;",
        "DETACH other;",
        "VACUUM;",
    ],
)
def test_a_script_cannot_leave_its_transaction(scripts, statement):
    path = scripts.add("boats", f"{BOATS}-- Out;\n{statement}\n{OARS}")

    message = scripts.refusal()

    assert message == (
        f"{path}:3: a script has no transactions, PRAGMA, ATTACH or VACUUM; it is one transaction; in: {statement}"
    )
    assert scripts.files() == []


@pytest.mark.parametrize("module", ["fts5(name)", "fts4(name)", "rtree(id, low, high)"])
def test_a_script_may_create_a_virtual_table_and_undo_it(scripts, module):
    scripts.add("search", f"CREATE VIRTUAL TABLE search USING {module};", "DROP TABLE search;")

    scripts.migrate()
    assert "search" in scripts.tables()
    scripts.rollback(to=0)

    assert scripts.tables() == []


def test_a_new_database_whose_first_script_fails_does_not_stay_behind(scripts):
    scripts.add("mistake", "CREATE TABLE boats (id INTEGER);\nSELECT nowhere;\n")

    assert scripts.refusal().endswith("0001_mistake.sql:2: no such column: nowhere; in: SELECT nowhere;")
    assert scripts.files() == []


def test_a_new_database_keeps_the_scripts_before_the_one_that_fails(scripts):
    scripts.add("boats", BOATS)
    scripts.add("mistake", "SELECT nowhere;\n")

    scripts.refusal()

    assert scripts.versions() == [1]
    assert scripts.tables() == ["boats"]


def test_a_constraint_that_fails_only_at_the_commit_is_told_like_any_other(scripts):
    path = scripts.add(
        "trips",
        f"{BOATS}CREATE TABLE trips (boat_id INTEGER REFERENCES boats DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO trips VALUES (7);\n",
    )

    assert scripts.refusal() == f"{path}: FOREIGN KEY constraint failed; nothing of it was kept"
    assert scripts.files() == []


@pytest.mark.parametrize(
    ("after", "message", "kept"),
    [
        (True, "interrupted after its commit; all of it was kept", [("boats",)]),
        (False, "interrupted; nothing of it was kept", []),
    ],
    ids=["just after", "just before"],
)
def test_ctrl_c_at_the_commit_tells_whether_the_script_was_kept(scripts, after, message, kept):
    class PressedAtTheCommit(sqlite3.Connection):
        def execute(self, sql, *values):
            if sql == "COMMIT":
                if after:
                    super().execute(sql)
                raise KeyboardInterrupt
            return super().execute(sql, *values)

    path = scripts.add("boats", BOATS)
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=PressedAtTheCommit)) as connection:
        with pytest.raises(StartupError) as refused:
            apply(connection, path, Report(), "0001 boats", lambda: None)

        assert str(refused.value) == f"{path}: {message}"
        assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'boats'").fetchall() == kept


@pytest.mark.slow
def test_a_database_that_another_program_holds_is_waited_for_and_then_refused(scripts):
    scripts.add("boats", BOATS)
    scripts.migrate()
    path = scripts.add("rowers", ROWERS)

    with closing(sqlite3.connect(scripts.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        message = scripts.refusal()

    assert message == f"{path}: database is locked; nothing of it was kept"
    assert scripts.migrate() == ["0002 rowers"]


def test_a_script_that_runs_long_says_what_runs(scripts):
    scripts.add("pace", "CREATE TABLE pace (strokes INTEGER); INSERT INTO pace VALUES (50000);")
    scripts.migrate()
    scripts.add("strokes", SLOW)
    shown = []

    migrate(scripts.database, scripts.folder, Report(running=lambda text, share: shown.append(text)))

    assert "0002 strokes, line 3: 0 s" in shown


# Building a table anew


def test_a_table_built_anew_keeps_the_children_and_triggers_of_other_tables(scripts):
    scripts.add("harbour", HARBOUR)
    scripts.add("length", LONGER_BOATS)

    scripts.migrate()

    assert scripts.run("SELECT id, name, length FROM boats") == [(1, "Heron", None), (2, "Coot", None)]
    assert scripts.run("SELECT boat_id, day FROM trips") == [(1, "Monday")]
    scripts.run("INSERT INTO trips (boat_id, day) VALUES (2, 'Tuesday')")
    assert scripts.run("SELECT line FROM log") == [("Heron is away",), ("Coot is away",)]
    with pytest.raises(sqlite3.IntegrityError):
        scripts.run("INSERT INTO trips (boat_id, day) VALUES (3, 'Tuesday')")


@pytest.mark.parametrize("line", ["-- foreign_keys: off", "--foreign_keys:off", "--  Foreign_Keys: OFF  "])
def test_a_script_may_ask_for_it_with_more_or_fewer_blanks(scripts, line):
    scripts.add("harbour", HARBOUR)
    scripts.add("length", LONGER_BOATS.replace("-- foreign_keys: off", line))

    scripts.migrate()

    assert scripts.run("SELECT boat_id, day FROM trips") == [(1, "Monday")]


def test_foreign_keys_stay_on_unless_the_first_lines_ask_otherwise(scripts):
    scripts.add("harbour", HARBOUR)
    path = scripts.add(
        "trip", "INSERT INTO trips (boat_id, day) VALUES (9, 'Monday');\n-- foreign_keys: off\n", IRREVERSIBLE
    )

    assert scripts.refusal().startswith(f"{path}:1: FOREIGN KEY constraint failed; in: INSERT INTO trips")


def test_a_table_built_anew_remembers_the_greatest_id_it_ever_gave(scripts):
    boats = "CREATE TABLE {} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT) STRICT;\n"
    scripts.add("boats", boats.format("boats") + "INSERT INTO boats (name) VALUES ('Heron'), ('Coot');\n")
    scripts.add("gone", "DELETE FROM boats WHERE name = 'Coot';\n")
    scripts.add(
        "anew",
        f"-- foreign_keys: off\n{boats.format('boats_new')}INSERT INTO boats_new SELECT id, name FROM boats;\n"
        "UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'boats')\n"
        " WHERE name = 'boats_new';\nDROP TABLE boats;\nALTER TABLE boats_new RENAME TO boats;\n",
    )
    scripts.migrate()

    scripts.run("INSERT INTO boats (name) VALUES ('Grebe')")

    assert scripts.run("SELECT id, name FROM boats") == [(1, "Heron"), (3, "Grebe")]


def test_foreign_keys_are_on_again_for_the_next_script(scripts):
    scripts.add("harbour", HARBOUR)
    scripts.add("length", LONGER_BOATS)
    scripts.add("end", "DELETE FROM boats WHERE id = 1;")

    scripts.migrate()

    assert scripts.run("SELECT * FROM trips") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM boats WHERE id = 1;", "would leave a row of trips without its row in boats"),
        ("DELETE FROM crews WHERE id = 4;", "would leave row 7 of rowers without its row in crews"),
        ("DROP TABLE crews;", "would leave row 7 of rowers without its row in crews"),
        (
            "DROP TABLE clubs;\nCREATE TABLE clubs (name TEXT);",
            'foreign key mismatch - "crews" referencing "clubs"; nothing of it was kept',
        ),
    ],
)
def test_a_script_that_would_orphan_rows_is_refused(scripts, damage, message):
    scripts.add("harbour", HARBOUR)
    scripts.add(
        "crews",
        "CREATE TABLE clubs (name TEXT UNIQUE);\n"
        "CREATE TABLE crews (id INTEGER PRIMARY KEY, club TEXT REFERENCES clubs (name));\n"
        "CREATE TABLE rowers (id INTEGER PRIMARY KEY, crew_id INTEGER REFERENCES crews (id));\n"
        "INSERT INTO crews (id) VALUES (4);\nINSERT INTO rowers VALUES (7, 4);\n",
    )
    path = scripts.add("damage", f"-- foreign_keys: off\n{damage}\n")
    scripts.migrate(to=2)
    before = scripts.run("SELECT name, sql FROM sqlite_schema")

    assert scripts.refusal() == f"{path}: {message}"
    assert scripts.versions() == [1, 2]
    assert scripts.run("SELECT name, sql FROM sqlite_schema") == before
    assert scripts.run("SELECT day FROM trips JOIN boats ON boats.id = boat_id") == [("Monday",)]
