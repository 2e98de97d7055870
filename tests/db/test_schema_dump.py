"""The schema dump, differences between it and a live database, and the verification of down scripts."""

import re
import sqlite3
from contextlib import closing

import pytest

from db import StartupError, schema
from tests.conftest import HOME
from tests.db.scripts import IRREVERSIBLE, Scripts

FLEET = """\
CREATE TABLE boats (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL, -- as painted on it
    CONSTRAINT boats_name_length CHECK (length(name) <= 20)
) STRICT;
CREATE TABLE trips (boat_id INTEGER NOT NULL REFERENCES boats (id), day TEXT) STRICT;
CREATE INDEX trips_day_idx ON trips (day);
CREATE VIEW names AS SELECT name FROM boats;
CREATE TRIGGER boats_after_delete_trips AFTER DELETE ON boats
BEGIN
    DELETE FROM trips WHERE boat_id = OLD.id;
END;
"""
TRIGGER = "boats_after_delete_trips"
LITESTREAM = "CREATE TABLE _litestream_seq (id INTEGER, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER);"
SEARCH = "CREATE VIRTUAL TABLE boat_search USING fts5(name);\n"


@pytest.fixture
def scripts(tmp_path):
    return Scripts(tmp_path)


def _dump(folder):
    with closing(schema.build(folder)) as connection:
        return schema.dump(connection)


def _differences(scripts, *changes):
    """The differences after these changes to a migrated database."""
    with closing(schema.build(scripts.folder)) as live:
        for change in changes:
            live.executescript(change)
        return list(schema.differences(live, scripts.folder))


# The dump


def test_the_committed_dump_is_current_and_builds_the_same_schema():
    committed = (HOME / "schema/schema.sql").read_text(encoding="utf-8")

    assert committed == _dump(HOME / "schema"), "run `python app.py schema dump`, and commit schema/schema.sql"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(committed)
        assert schema.dump(connection) == committed


def test_the_dump_is_sorted_by_table_whatever_the_order_of_the_scripts(tmp_path):
    one, two = Scripts(tmp_path / "one"), Scripts(tmp_path / "two")
    boats, oars = "CREATE TABLE boats (id INTEGER);\n", "CREATE TABLE oars (id INTEGER);\n"
    index = "CREATE INDEX b ON boats (id);\n"
    one.add("all", boats + oars + index)
    two.add("oars", oars)
    two.add("boats", boats + index)

    assert _dump(one.folder) == _dump(two.folder)
    assert re.findall(r"^CREATE .*;\n", _dump(one.folder), re.MULTILINE) == [boats, index, oars]


def test_the_dump_keeps_the_comments_in_a_table_and_leaves_out_generated_tables(scripts):
    scripts.add("fleet", FLEET + SEARCH + "ANALYZE;\n")
    with closing(schema.build(scripts.folder)) as connection:
        connection.executescript(LITESTREAM)

        names = [thing.name for thing in schema.things(connection)]
        dump = schema.dump(connection)

    assert names == ["boat_search", "boats", "boats_after_delete_trips", "names", "trips", "trips_day_idx"]
    assert "name  TEXT NOT NULL, -- as painted on it\n" in dump


def test_the_dump_has_quotes_only_around_names_that_need_them(scripts):
    scripts.add("boats", "CREATE TABLE boats_new (id INTEGER); -- new\nCREATE INDEX i ON boats_new (id);\n")
    scripts.add("oars", "CREATE TABLE oars (boat_id INTEGER REFERENCES boats_new, note TEXT DEFAULT '\"boats\"');\n")
    scripts.add("order", 'CREATE TABLE "order" (id INTEGER);\nCREATE TABLE "two words" (id INTEGER);\n')
    scripts.add("rename", "ALTER TABLE boats_new RENAME TO boats;\n")

    assert _dump(scripts.folder).endswith(
        "\nCREATE TABLE boats (id INTEGER);\n"
        "\nCREATE INDEX i ON boats (id);\n"
        "\nCREATE TABLE oars (boat_id INTEGER REFERENCES boats, note TEXT DEFAULT '\"boats\"');\n"
        '\nCREATE TABLE "order" (id INTEGER);\n'
        '\nCREATE TABLE "two words" (id INTEGER);\n'
    )


# The check


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("CREATE TABLE oars (id INTEGER)", "table oars: not in the scripts"),
        ("DROP TABLE trips", "index trips_day_idx: missing|table trips: missing"),
        ("ALTER TABLE boats ADD COLUMN length INTEGER", "column boats.length: not in the scripts"),
        (
            "ALTER TABLE trips RENAME COLUMN day TO date",
            "index trips_day_idx: differs|column trips.day: missing|column trips.date: not in the scripts",
        ),
        ("DROP INDEX trips_day_idx", "index trips_day_idx: missing"),
        ("CREATE INDEX boats_name_idx ON boats (name)", "index boats_name_idx: not in the scripts"),
        ("DROP INDEX trips_day_idx; CREATE INDEX trips_day_idx ON trips (day DESC)", "index trips_day_idx: differs"),
        (f"DROP TRIGGER {TRIGGER}", f"trigger {TRIGGER}: missing"),
        ("CREATE TRIGGER more AFTER INSERT ON boats BEGIN SELECT 1; END", "trigger more: not in the scripts"),
        (
            f"DROP TRIGGER {TRIGGER}; CREATE TRIGGER {TRIGGER} AFTER DELETE ON boats BEGIN DELETE FROM trips; END",
            f"trigger {TRIGGER}: differs",
        ),
        ("DROP VIEW names", "view names: missing"),
        ("CREATE VIEW days AS SELECT day FROM trips", "view days: not in the scripts"),
        ("DROP VIEW names; CREATE VIEW names AS SELECT id FROM boats", "view names: differs"),
        ("DROP VIEW names; CREATE VIEW names AS SELECT name FROM nowhere", "view names: differs"),
        (SEARCH, "table boat_search: not in the scripts"),
    ],
)
def test_each_difference_is_named(scripts, change, lines):
    scripts.add("fleet", FLEET)

    assert _differences(scripts, change) == lines.split("|")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT", "column boats.name: differs"),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT ''", "column boats.name: differs"),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL", "column boats.name: differs"),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT", "column boats.name: missing"),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL", "table boats: differs"),
        ("id INTEGER PRIMARY KEY, name TEXT NOT NULL", "table boats: differs"),
    ],
)
def test_a_table_is_compared_by_column_and_then_as_a_whole(scripts, columns, line):
    scripts.add("boats", FLEET.partition("CREATE TABLE trips")[0])

    assert _differences(scripts, f"DROP TABLE boats; CREATE TABLE boats ({columns}) STRICT") == [line]


def test_comments_blanks_and_generated_tables_make_no_difference(scripts):
    scripts.add("fleet", FLEET + SEARCH)

    view = "DROP VIEW names; CREATE VIEW names AS\n SELECT name -- as painted\n FROM boats"
    heron = "INSERT INTO boats (name) VALUES ('Heron'); INSERT INTO boat_search (name) VALUES ('Heron')"
    assert _differences(scripts, view, heron, "ANALYZE", LITESTREAM) == []


# Down scripts


def test_every_script_of_the_project_can_be_undone_or_says_why():
    lines = list(schema.verify(HOME / "schema"))

    assert lines
    assert not [line for line in lines if not line.endswith((": up, down, up", "."))]


def test_verify_applies_undoes_and_applies_each_script(scripts):
    scripts.add("fleet", FLEET, "DROP VIEW names;\nDROP TABLE trips;\nDROP TABLE boats;\n")
    scripts.add("hashes", "UPDATE boats SET name = hex(name);\n", IRREVERSIBLE)
    scripts.add("search", SEARCH, "DROP TABLE boat_search;\n")
    scripts.add("ships", "ALTER TABLE boats RENAME TO ships;\n", "ALTER TABLE ships RENAME TO boats;\n")

    assert list(schema.verify(scripts.folder)) == [
        "0001 fleet: up, down, up",
        "0002 hashes: up; cannot be undone: The old values are unknown.",
        "0003 search: up, down, up",
        "0004 ships: up, down, up",
    ]


def test_verify_accepts_a_table_that_is_rebuilt_in_both_directions(scripts):
    boats = "CREATE TABLE {} (\n    id   INTEGER PRIMARY KEY,\n    name TEXT{}\n) STRICT;\n"
    rebuilt = f"-- foreign_keys: off\n{boats}INSERT INTO new SELECT * FROM boats;\nDROP TABLE boats;\n" + (
        "ALTER TABLE new RENAME TO boats;\n"
    )
    scripts.add("boats", boats.format("boats", ""), "DROP TABLE boats;\n")
    scripts.add("names", rebuilt.format("new", " NOT NULL"), rebuilt.format("new", ""))

    assert list(schema.verify(scripts.folder)) == ["0001 boats: up, down, up", "0002 names: up, down, up"]


@pytest.mark.parametrize(
    ("up", "down", "message"),
    [
        (
            "CREATE TABLE oars (id INTEGER);\nCREATE VIEW names AS SELECT name FROM boats;\n",
            "DROP TABLE oars;\n",
            "{down}: leads back to another schema than before: see view names",
        ),
        (
            "ALTER TABLE boats DROP COLUMN name;\n",
            "ALTER TABLE boats ADD COLUMN name TEXT;\n",
            "{down}: leads back to another schema than before: see table boats",
        ),
        (
            "INSERT INTO boats (id) VALUES (1);\n",
            "SELECT 'done';\n",
            "{up}:1: UNIQUE constraint failed: boats.id; in: INSERT INTO boats (id) VALUES (1); "
            "(the second time, after 0002_more.down.sql)",
        ),
        (
            "CREATE TABLE oars (id INTEGER);\n",
            "-- Loses the oars.\nDROP TABLE oar;\n",
            "{down}:2: no such table: oar; in: DROP TABLE oar;",
        ),
    ],
    ids=["a view stays", "another column", "rows stay", "a mistake"],
)
def test_verify_refuses_a_down_script_that_does_not_lead_back(scripts, up, down, message):
    scripts.add("boats", "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT DEFAULT '');\n", "DROP TABLE boats;\n")
    path = scripts.add("more", up, down)

    with pytest.raises(StartupError) as refused:
        list(schema.verify(scripts.folder))

    assert str(refused.value) == message.format(up=path, down=path.with_suffix(".down.sql"))
