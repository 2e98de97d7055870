"""The migration runner: order, atomicity, rollback and error messages, on scripts that the tests write."""

import hashlib
import re
import sqlite3
from contextlib import closing

import pytest

from db import StartupError
from db.connection import connect
from db.migrations import Report, apply, find_migrations, migrate, read_ledger, states
from tests.db.accounts import NOW
from tests.db.scripts import PACE, SLOW, Scripts

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;\n"
ROWERS = "CREATE TABLE rowers (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
OARS = "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"

# A trigger of the trips writes the names of the boats to a log.
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


@pytest.fixture
def three(scripts):
    """Three scripts, not applied."""
    for name, up in (("boats", BOATS), ("rowers", ROWERS), ("oars", OARS)):
        scripts.add(name, up, f"DROP TABLE {name};")
    return scripts


def rollback_refusal(scripts, to=0):
    """The error message of a rollback that fails."""
    with pytest.raises(StartupError) as refused:
        scripts.rollback(to=to)
    return str(refused.value)


# Pairs and order


def test_scripts_run_in_order_and_are_listed_in_the_ledger(scripts):
    boats = scripts.add("boats", BOATS)
    scripts.add("names", "INSERT INTO boats (name) VALUES ('Heron');")

    done = scripts.migrate()

    assert done == ["0001 boats", "0002 names"]
    assert re.fullmatch(r"applied 0001 boats in \d+ ms", scripts.said[0])
    with closing(connect(scripts.database)) as connection:
        first, second = read_ledger(connection)
    assert (first.version, first.name, second.version, second.name) == (1, "boats", 2, "names")
    assert first.checksum == hashlib.sha256(boats.read_bytes()).hexdigest()
    assert first.applied_at == NOW
    assert 0 <= first.ms < 600_000


def test_migrate_applies_what_is_pending_up_to_a_number(three):
    assert three.migrate(to=2) == ["0001 boats", "0002 rowers"]
    assert three.tables() == ["boats", "rowers"]
    assert three.migrate(to=2) == []
    assert three.migrate() == ["0003 oars"]
    assert three.migrate() == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (4, "there is no script 0004; they go from 0001 to 0003"),
        (-1, "there is no script -001; they go from 0001 to 0003"),
        (2, "the database is at 0003 already; `rollback --to 2` goes back"),
    ],
)
def test_migrate_refuses_a_number_that_it_cannot_reach(three, number, message):
    three.migrate()

    assert three.refusal(to=number) == message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["0001_boats.sql"],
            "0001_boats.sql: 0001_boats.down.sql is missing; write how to undo it, or a comment why nobody can",
        ),
        (
            ["0001_boats.sql", "0001_boats.down.sql", "0002_oars.down.sql"],
            "0002_oars.down.sql: the script that it undoes is missing; put it back, or delete this one too",
        ),
        (
            ["0001_boats.sql", "0001_boats.down.sql", "0003_oars.sql", "0003_oars.down.sql"],
            "0003_oars.sql: there is no script 0002; scripts are numbered without gaps",
        ),
        (
            ["0001_boats.sql", "0001_boats.down.sql", "0001_oars.sql", "0001_oars.down.sql"],
            "0001_oars.sql: 0001_boats.sql has the same number; give the newer one the next number",
        ),
        *(
            ([f"{name}.sql"], f"{name}.sql: not a script's name; call it NNNN_name.sql, from 0001 on")
            for name in ("1_boats", "0000_boats", "0001-boats")
        ),
    ],
)
def test_scripts_are_pairs_numbered_without_gaps(scripts, files, message):
    for name in files:
        (scripts.folder / name).write_text("SELECT 1;\n")

    assert scripts.refusal() == f"{scripts.folder}/{message}"
    assert not scripts.database.parent.exists()


# Applied scripts do not change


@pytest.mark.parametrize(
    ("name", "changed"),
    [("boats", "edited after it was applied on"), ("ships", "called 0001_boats.sql when it was applied on")],
)
def test_a_script_that_was_edited_or_renamed_after_it_was_applied_is_refused(scripts, name, changed):
    scripts.add("boats", BOATS)
    scripts.migrate()
    scripts.remove("boats")
    path = scripts.add(name, BOATS + "-- One more word.\n" * (name == "boats"))

    message = f"{path}: {changed} {NOW}; put it back as it was, and write what is new as a script with the next number"
    assert scripts.refusal() == message
    scripts.add("rowers", ROWERS)
    assert scripts.refusal() == message
    assert scripts.tables() == ["boats"]


def test_a_new_script_below_the_newest_applied_one_is_refused(three):
    three.migrate()
    three.sql("DELETE FROM schema_migrations WHERE version = 2")

    assert three.refusal() == (
        f"{three.folder}/0002_rowers.sql: appeared below 0003, which is applied; give it the next number"
    )


def test_a_database_that_is_newer_than_the_code_is_refused(three):
    three.migrate()
    three.remove("oars")

    message = (
        "the database is newer than this code: script 0003 oars was applied, and schema/ ends at 0002; "
        "run the newer code, or restore a copy from before that script"
    )
    assert three.refusal() == rollback_refusal(three) == message
    assert three.versions() == [1, 2, 3]


def test_each_script_is_applied_pending_edited_or_missing(three):
    three.migrate()
    with closing(connect(three.database)) as connection:
        ledger = read_ledger(connection)
    (three.folder / "0002_rowers.sql").write_text(ROWERS + "-- More.\n")
    three.remove("oars")
    scripts = find_migrations(three.folder)

    assert list(states(scripts, ledger)) == [
        ("applied", 1, "boats", ledger[0]),
        ("edited", 2, "rowers", ledger[1]),
        ("missing", 3, "oars", ledger[2]),
    ]
    assert list(states(scripts, ledger[:1]))[1] == ("pending", 2, "rowers", None)


def test_a_database_of_another_migration_tool_is_left_alone(scripts):
    scripts.add("boats", BOATS)
    scripts.database.parent.mkdir()
    scripts.sql("CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)")

    assert scripts.refusal() == (
        f"{scripts.database}: cannot read what was applied: no such column: name; "
        "name another one (--database, ROWBOAT_DATABASE), or restore a copy"
    )
    assert scripts.tables() == []


# Rollback


def test_rollback_undoes_the_newest_scripts_first(scripts):
    scripts.add("boats", BOATS, "DROP TABLE boats;")
    scripts.add("names", "INSERT INTO boats (name) VALUES ('Heron');", "DELETE FROM boats WHERE name = 'Heron';")
    scripts.add("oars", OARS, "DROP TABLE oars;")
    scripts.migrate()

    assert scripts.rollback(to=1) == ["0003 oars", "0002 names"]
    assert scripts.tables() == ["boats"]
    assert scripts.sql("SELECT name FROM boats") == []
    assert scripts.versions() == [1]
    assert re.fullmatch(r"undone 0002 names in \d+ ms", scripts.said[-1])


def test_an_undone_script_can_be_edited_and_applied_again(scripts):
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
        ("-- The names were hashed,\n-- and cannot be restored.\n", "The names were hashed, and cannot be restored."),
        ("\n", "its down script is empty"),
    ],
)
def test_a_script_that_cannot_be_undone_says_why_before_anything_changes(scripts, down, reason):
    scripts.add("boats", BOATS, "DROP TABLE boats;")
    path = scripts.add("hashes", "SELECT 1;", down)
    scripts.add("oars", OARS, "DROP TABLE oars;")
    scripts.migrate()

    assert rollback_refusal(scripts) == f"{path.with_suffix('.down.sql')}: cannot be undone: {reason}"
    assert scripts.versions() == [1, 2, 3]
    assert scripts.files() == ["rowboat.db"]


def test_a_down_script_that_fails_leaves_its_script_applied(scripts):
    path = scripts.add("boats", BOATS, "-- Loses the boats.\nDROP TABLE boats;\nDROP TABLE oars;\n")
    scripts.migrate()

    down = path.with_suffix(".down.sql")
    assert rollback_refusal(scripts) == f"{down}:3: no such table: oars; in: DROP TABLE oars;"
    assert scripts.tables() == ["boats"]
    assert scripts.versions() == [1]


def test_rollback_needs_a_number_and_a_database_that_exist(three):
    assert rollback_refusal(three, to=4) == "there is no script 0004; they go from 0001 to 0003"
    assert rollback_refusal(three) == f"{three.database}: there is no such database"
    assert not three.database.parent.exists()


# All or nothing


def test_a_script_that_fails_leaves_nothing_and_names_the_line(scripts):
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
    assert scripts.sql("SELECT * FROM boats") == []
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
def test_an_error_names_the_line(scripts, script, message):
    path = scripts.add("mistake", script)

    assert scripts.refusal().startswith(f"{path}:{message}")


def test_a_script_that_is_not_utf8_is_refused(scripts):
    path = scripts.add("boats", BOATS)
    path.write_bytes(b"-- Bo\xeete\n")

    assert scripts.refusal() == f"{path}: not UTF-8 text: invalid continuation byte at byte 5"


@pytest.mark.parametrize(
    "statement",
    "BEGIN|COMMIT|END TRANSACTION|ROLLBACK|SAVEPOINT here|RELEASE here|PRAGMA foreign_keys = OFF|"
    "pragma user_version = 3|ATTACH 'other.db' AS other|DETACH other|VACUUM".split("|"),
)
def test_a_script_cannot_leave_its_transaction(scripts, statement):
    path = scripts.add("boats", f"{BOATS}-- Out;\n{statement};\n{OARS}")

    assert scripts.refusal() == (
        f"{path}:3: a script has no transactions, PRAGMA, ATTACH or VACUUM; it is one transaction; in: {statement};"
    )
    assert scripts.files() == []


@pytest.mark.parametrize("module", ["fts5(name)", "fts4(name)", "rtree(id, low, high)"])
def test_a_script_may_create_a_virtual_table_and_undo_it(scripts, module):
    scripts.add("search", f"CREATE VIRTUAL TABLE search USING {module};", "DROP TABLE search;")

    scripts.migrate()
    assert "search" in scripts.tables()
    scripts.rollback(to=0)

    assert scripts.tables() == []


def test_a_script_without_a_statement_is_not_applied(three):
    path = three.add("more", "-- To be written.\n")

    assert three.refusal() == f"{path}: holds no statement yet; write it, or delete the pair"
    assert three.files() == []


def test_a_new_database_is_removed_if_its_first_script_fails_and_kept_after_that(scripts):
    path = scripts.add("boats", BOATS + "SELECT nowhere;\n")

    assert scripts.refusal() == f"{path}:2: no such column: nowhere; in: SELECT nowhere;"
    assert scripts.files() == []

    path.write_text(BOATS)
    scripts.add("mistake", "SELECT nowhere;\n")

    scripts.refusal()

    assert scripts.versions() == [1]
    assert scripts.tables() == ["boats"]


def test_a_constraint_may_fail_at_the_commit(scripts):
    path = scripts.add(
        "trips",
        f"{BOATS}CREATE TABLE trips (boat_id INTEGER REFERENCES boats DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO trips VALUES (7);\n",
    )

    assert scripts.refusal() == f"{path}: FOREIGN KEY constraint failed; nothing of it was kept"
    assert scripts.files() == []


@pytest.mark.parametrize(
    ("executed", "message", "kept"),
    [
        (True, "interrupted after its commit; all of it was kept", [("boats",)]),
        (False, "interrupted; nothing of it was kept", []),
    ],
)
def test_ctrl_c_at_the_commit_reports_whether_the_script_was_kept(scripts, executed, message, kept):
    class InterruptedCommit(sqlite3.Connection):
        def execute(self, sql, *values):
            if sql != "COMMIT" or executed:
                cursor = super().execute(sql, *values)
            if sql == "COMMIT":
                raise KeyboardInterrupt
            return cursor

    path = scripts.add("boats", BOATS)
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=InterruptedCommit)) as connection:
        with pytest.raises(StartupError) as refused:
            apply(connection, path, Report(), "0001 boats", lambda: None)

        assert str(refused.value) == f"{path}: {message}"
        assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'boats'").fetchall() == kept


def test_a_database_that_another_program_has_locked_is_refused(three, monkeypatch):
    three.migrate(to=1)
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_MS", 1)

    with closing(sqlite3.connect(three.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert three.refusal() == f"{three.folder}/0002_rowers.sql: database is locked; nothing of it was kept"

    assert three.migrate() == ["0002 rowers", "0003 oars"]


def test_a_long_script_reports_the_statement_that_runs_and_can_be_interrupted(scripts, clock):
    scripts.add("pace", PACE.replace("10", "50000"))
    path = scripts.add("strokes", SLOW)
    shown = []

    def interrupt(text, share):
        shown.append((text, share))
        raise KeyboardInterrupt

    with pytest.raises(StartupError) as refused:
        migrate(scripts.database, scripts.folder, Report(running=interrupt), clock=clock)

    assert str(refused.value) == f"{path}: interrupted; nothing of it was kept"
    ((text, share),) = shown
    assert re.fullmatch(r"0002 strokes, line 3: \d{1,2} s", text)
    assert share is None
    assert scripts.tables() == ["pace"]
    assert scripts.versions() == [1]


# Rebuilding a table


@pytest.mark.parametrize("line", ["-- foreign_keys: off", "--foreign_keys:off", "--  Foreign_Keys: OFF  "])
def test_a_rebuilt_table_keeps_the_rows_and_triggers_that_refer_to_it(scripts, line):
    scripts.add("harbour", HARBOUR)
    scripts.add("length", LONGER_BOATS.replace("-- foreign_keys: off", line))

    scripts.migrate()

    assert scripts.sql("SELECT id, name, length FROM boats") == [(1, "Heron", None), (2, "Coot", None)]
    assert scripts.sql("SELECT boat_id, day FROM trips") == [(1, "Monday")]
    scripts.sql("INSERT INTO trips (boat_id, day) VALUES (2, 'Tuesday')")
    assert scripts.sql("SELECT line FROM log") == [("Heron is away",), ("Coot is away",)]
    with pytest.raises(sqlite3.IntegrityError):
        scripts.sql("INSERT INTO trips (boat_id, day) VALUES (3, 'Tuesday')")


def test_foreign_keys_stay_on_unless_the_first_comment_turns_them_off(scripts):
    scripts.add("harbour", HARBOUR)
    path = scripts.add("trip", "INSERT INTO trips (boat_id, day) VALUES (9, 'Monday');\n")

    assert scripts.refusal().startswith(f"{path}:1: FOREIGN KEY constraint failed; in: INSERT INTO trips")


def test_foreign_keys_are_on_again_for_the_next_script(scripts):
    scripts.add("harbour", HARBOUR)
    scripts.add("length", LONGER_BOATS)
    scripts.add("end", "DELETE FROM boats WHERE id = 1; DELETE FROM trips WHERE false;")

    scripts.migrate()

    assert scripts.sql("SELECT * FROM trips") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM boats WHERE id = 1;", "would leave a row of trips without its row in boats"),
        ("DELETE FROM crews WHERE id = 4;", "would leave row 7 of rowers without its row in crews"),
        (
            "DROP TABLE crews;",
            "would leave rowers with a foreign key to crews.id, which does not exist; rebuild that table, too",
        ),
        (
            "DROP TABLE clubs;\nCREATE TABLE clubs (name TEXT);",
            'foreign key mismatch - "crews" referencing "clubs"; nothing of it was kept',
        ),
    ],
)
def test_a_script_that_orphans_rows_is_refused(scripts, damage, message):
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
    before = scripts.sql("SELECT name, sql FROM sqlite_schema")

    assert scripts.refusal() == f"{path}: {message}"
    assert scripts.versions() == [1, 2]
    assert scripts.sql("SELECT name, sql FROM sqlite_schema") == before
    assert scripts.sql("SELECT day FROM trips JOIN boats ON boats.id = boat_id") == [("Monday",)]
