"""Schema scripts that would lose rows or foreign keys by mistake are refused, and change nothing."""

import pytest

from tests.db.scripts import Scripts

BOATS = """\
CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO boats VALUES (1, 'Argo');
CREATE TABLE oars (id INTEGER PRIMARY KEY, boat_id INTEGER NOT NULL REFERENCES boats (id) ON DELETE CASCADE) STRICT;
INSERT INTO oars VALUES (1, 1), (2, 1), (3, 1);
CREATE TABLE "cox's" (id INTEGER PRIMARY KEY, boat_id INTEGER REFERENCES boats (id) ON DELETE SET NULL) STRICT;
INSERT INTO "cox's" VALUES (1, 1);
"""
REBUILD = """\
CREATE TABLE boats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, length_m REAL) STRICT;
INSERT INTO boats_new SELECT id, name, NULL FROM boats;
DROP TABLE boats;
ALTER TABLE boats_new RENAME TO boats;
"""


@pytest.fixture
def scripts(tmp_path):
    scripts = Scripts(tmp_path)
    scripts.add("boats", BOATS)
    scripts.migrate()
    return scripts


def refused(scripts, script):
    path = scripts.add("rebuild", script)
    message = scripts.refusal(backup=False)
    assert scripts.run("SELECT count(*) FROM oars") == [(3,)]
    assert scripts.run("SELECT count(*) FROM boats") == [(1,)]
    return message.removeprefix(str(path))


def applied(scripts, script):
    scripts.add("rebuild", script)
    scripts.migrate(backup=False)
    return scripts.run("SELECT count(*) FROM oars")[0][0]


@pytest.mark.parametrize("bom", ["", "\ufeff", "\ufeff\ufeff", "-- Two files joined.\n\ufeff"])
def test_a_rebuild_with_foreign_keys_off_keeps_the_children(scripts, bom):
    assert applied(scripts, f"{bom}-- foreign_keys: off\n{REBUILD}") == 3


@pytest.mark.parametrize("bom", ["\ufeff", "\ufeff\ufeff", "DELETE FROM oars;\n\ufeff"])
def test_after_a_byte_order_mark_a_transaction_is_still_refused(scripts, bom):
    assert "a script has no transactions" in refused(scripts, f"{bom}COMMIT;")


@pytest.mark.parametrize("bom", ["\ufeff", "\ufeff\ufeff"])
def test_a_down_script_of_a_byte_order_mark_and_a_comment_cannot_be_undone(scripts, bom):
    scripts.add("sails", "CREATE TABLE sails (id INTEGER) STRICT;", f"{bom}-- It is lost.")
    scripts.migrate(backup=False)

    with pytest.raises(Exception, match=r"cannot be undone: It is lost\."):
        scripts.rollback(1)


@pytest.mark.parametrize(
    ("beginning", "line"),
    [
        ("-- foreign keys: off\n", 1),
        ("-- foreign_key: off\n", 1),
        ("-- foreign_keys = off\n", 1),
        ("-- foreign_keys off\n", 1),
        ("-- foreign_keys: no\n", 1),
        ("-- foreign_keys: disabled\n", 1),
        ("-- foreign_keys: off;\n", 1),
        ("-- foreign_keys: off (to rebuild boats)\n", 1),
        ("-- foreing_keys: off\n", 1),
        ("-- PRAGMA foreign_keys = OFF\n", 1),
        ("--- foreign_keys: off\n", 1),
        ("/* foreign_keys: off */\n", 1),
        ("-- Boats get a length.\n--\n-- Foreign-Keys: OFF\n", 3),
        ("SELECT 1;\n-- foreign_keys: off\n", 2),
    ],
)
def test_a_comment_that_only_resembles_the_request_is_refused_with_its_line(scripts, beginning, line):
    message = refused(scripts, beginning + REBUILD)

    assert message.startswith(f":{line}: this is close to `-- foreign_keys: off`")


@pytest.mark.parametrize("comment", ["-- Rebuilds boats while foreign keys are off.", "-- The keys are foreign."])
def test_a_comment_may_speak_of_foreign_keys(scripts, comment):
    assert applied(scripts, f"{comment}\nALTER TABLE boats ADD COLUMN length_m REAL;") == 3


@pytest.mark.parametrize(
    "beginning",
    [
        "",
        "ALTER TABLE oars RENAME TO rudders;\n",
        "CREATE TABLE notes AS SELECT 'DELETE FROM oars' AS text;\n",
        "CREATE TRIGGER lost AFTER DELETE ON boats BEGIN DELETE FROM oars WHERE boat_id = OLD.id; END;\n",
    ],
)
def test_rows_that_a_cascade_would_delete_are_counted_and_the_script_is_refused(scripts, beginning):
    message = refused(scripts, beginning + REBUILD)

    assert message.startswith(": would delete 3 of 3 rows of oars, which it does not name in a DELETE or DROP TABLE")


def test_rows_that_replace_deletes_are_counted_too(scripts):
    scripts.run("CREATE UNIQUE INDEX boats_name ON boats (name)")

    message = refused(scripts, "INSERT OR REPLACE INTO boats VALUES (2, 'Argo');")

    assert message.startswith(": would delete 3 of 3 rows of oars")


def test_references_that_are_set_to_null_are_counted_too(scripts):
    message = refused(scripts, f"DELETE FROM oars;\n{REBUILD}")

    assert message.startswith(": would clear boat_id in 1 of 1 rows of cox's, which it does not name in an UPDATE,")
    scripts.remove("rebuild")
    assert applied(scripts, f'DELETE FROM oars; UPDATE "cox\'s" SET boat_id = NULL;\n{REBUILD}') == 0


@pytest.mark.parametrize(
    "delete",
    [
        "DELETE FROM oars WHERE id > 1;",
        'delete  from "oars" where id > 1;',
        'DELETE FROM "main"."oars" WHERE id > 1;',
        "WITH old AS (SELECT 2 UNION SELECT 3)DELETE FROM\n[oars]WHERE id IN old;",
        'DELETE FROM "cox\'s"; DELETE /* most */ FROM main.oars AS o WHERE id > 1;',
    ],
)
def test_a_script_may_delete_rows_of_a_table_that_it_names(scripts, delete):
    assert applied(scripts, delete) == 1


def test_a_renamed_table_is_not_a_lost_one(scripts):
    assert applied(scripts, "ALTER TABLE boats RENAME TO ships;") == 3


@pytest.mark.parametrize(
    ("script", "parent"),
    [
        ("-- foreign_keys: off\nALTER TABLE boats RENAME TO ships;", "boats.id"),
        ("CREATE TABLE sails (boat_id INTEGER REFERENCES bots (id)) STRICT;", "bots.id"),
        ("CREATE TABLE sails (boat_id INTEGER REFERENCES boats (ident)) STRICT;", "boats.ident"),
        ("CREATE TABLE sails (boat_id INTEGER REFERENCES bots) STRICT;", "bots"),
    ],
)
def test_a_foreign_key_without_its_parent_is_refused_while_the_table_is_empty(tmp_path, script, parent):
    scripts = Scripts(tmp_path)
    scripts.add("boats", "\n".join(line for line in BOATS.split("\n") if not line.startswith("INSERT")))
    scripts.migrate()
    scripts.add("rename", script)

    assert f"with a foreign key to {parent}, which does not exist" in scripts.refusal(backup=False)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("CREATE TABLE flags (name TEXT REFERENCES boats (name)) STRICT;", 'mismatch - "flags" referencing "boats"'),
        (
            "CREATE VIEW rowed AS SELECT id FROM boats;CREATE TABLE flags (id INTEGER REFERENCES rowed (id)) STRICT;",
            'mismatch - "flags" referencing "rowed"',
        ),
        ("DROP TABLE log;", "no such table: main.log"),
        (
            "-- foreign_keys: off\nCREATE TABLE new (moment TEXT);DROP TABLE log;ALTER TABLE new RENAME TO log;",
            "table log has no column named at",
        ),
    ],
)
def test_a_script_after_which_no_row_could_be_written_is_refused(scripts, script, problem):
    trigger = "CREATE TRIGGER named AFTER UPDATE OF name ON boats BEGIN INSERT INTO log (at) VALUES (1); END;"
    scripts.add("log", f"CREATE TABLE log (at TEXT); {trigger}")
    scripts.migrate(backup=False)

    assert problem in refused(scripts, script)


def test_a_foreign_key_may_refer_to_a_generated_column(scripts):
    parent = "CREATE TABLE parts (id INTEGER PRIMARY KEY, code INTEGER AS (id + 1) STORED UNIQUE) STRICT;"
    assert applied(scripts, f"{parent} CREATE TABLE spares (code INTEGER REFERENCES parts (code)) STRICT;") == 3


def test_hidden_files_are_not_scripts(scripts):
    (scripts.folder / "._0002_rebuild.sql").write_bytes(b"\0\5\x16\7Mac OS X")
    (scripts.folder / ".#0001_boats.sql").symlink_to("nowhere")

    assert scripts.migrate() == []
