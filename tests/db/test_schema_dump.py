"""The schema as text: the dump that is committed, what differs from it in a live database, and proven ways back."""

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
LITESTREAM = "CREATE TABLE _litestream_seq (id INTEGER, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER);"
SEARCH = "CREATE VIRTUAL TABLE boat_search USING fts5(name);\n"


@pytest.fixture
def scripts(tmp_path):
    return Scripts(tmp_path)


def _dump(folder):
    with closing(schema.build(folder)) as connection:
        return schema.dump(connection)


def _differences(scripts, *changes):
    """What differs once a database with every script applied was changed by hand."""
    with closing(schema.build(scripts.folder)) as live:
        for change in changes:
            live.executescript(change)
        return list(schema.differences(live, scripts.folder))


# The dump


def test_the_committed_schema_is_what_the_scripts_build():
    committed = (HOME / "schema/schema.sql").read_text(encoding="utf-8")

    assert committed == _dump(HOME / "schema"), "run `python app.py schema dump`, and commit schema/schema.sql"


def test_the_committed_schema_builds_the_same_schema_again():
    committed = (HOME / "schema/schema.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(committed)

        assert schema.dump(connection) == committed


def test_the_dump_does_not_depend_on_the_order_of_the_scripts(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Scripts(tmp_path / "one"), Scripts(tmp_path / "two")
    parts = [
        "CREATE TABLE boats (id INTEGER);\n",
        "CREATE TABLE oars (id INTEGER);\n",
        "CREATE INDEX b ON boats (id);\n",
    ]
    one.add("all", "".join(parts))
    two.add("oars", parts[1])
    two.add("boats", parts[0] + parts[2])

    dump = _dump(one.folder)

    assert dump == _dump(one.folder) == _dump(two.folder)
    assert re.findall(r"^CREATE (.*);$", dump, re.MULTILINE) == [
        "TABLE boats (id INTEGER)",
        "INDEX b ON boats (id)",
        "TABLE oars (id INTEGER)",
    ]


def test_the_dump_keeps_the_comments_within_a_table(scripts):
    scripts.add("fleet", FLEET)

    assert "name  TEXT NOT NULL, -- as painted on it\n" in _dump(scripts.folder)


def test_the_dump_leaves_out_what_nobody_wrote(scripts):
    scripts.add("fleet", FLEET + SEARCH + "ANALYZE;\n")
    with closing(schema.build(scripts.folder)) as connection:
        connection.executescript(LITESTREAM)

        names = [thing.name for thing in schema.things(connection)]

    assert names == ["boat_search", "boats", "boats_after_delete_trips", "names", "trips", "trips_day_idx"]


def test_a_table_built_anew_stands_in_the_dump_as_if_it_had_been_written_so(scripts):
    scripts.add("boats", "CREATE TABLE boats_new (id INTEGER); -- new\nCREATE INDEX i ON boats_new (id);\n")
    scripts.add("oars", "CREATE TABLE oars (boat_id INTEGER REFERENCES boats_new, note TEXT DEFAULT '\"boats\"');\n")
    scripts.add("rename", "ALTER TABLE boats_new RENAME TO boats;\n")

    assert _dump(scripts.folder).endswith(
        "\nCREATE TABLE boats (id INTEGER);\n"
        "\nCREATE INDEX i ON boats (id);\n"
        "\nCREATE TABLE oars (boat_id INTEGER REFERENCES boats, note TEXT DEFAULT '\"boats\"');\n"
    )


def test_a_name_that_needs_its_quotes_keeps_them(scripts):
    scripts.add("order", 'CREATE TABLE "order" (id INTEGER);\nCREATE TABLE "two words" (id INTEGER);\n')

    assert _dump(scripts.folder).endswith(
        '\nCREATE TABLE "order" (id INTEGER);\n\nCREATE TABLE "two words" (id INTEGER);\n'
    )


# The check


def test_a_migrated_database_has_no_differences(scripts):
    scripts.add("fleet", FLEET + SEARCH)
    scripts.migrate()

    with closing(sqlite3.connect(scripts.database)) as live:
        assert list(schema.differences(live, scripts.folder)) == []


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("CREATE TABLE oars (id INTEGER)", ["table oars: not in the scripts"]),
        ("DROP TABLE trips", ["index trips_day_idx: missing", "table trips: missing"]),
        ("ALTER TABLE boats ADD COLUMN length INTEGER", ["column boats.length: not in the scripts"]),
        (
            "ALTER TABLE trips RENAME COLUMN day TO date",
            [
                "column trips.day: missing",
                "column trips.date: not in the scripts",
                "index trips_day_idx: differs",
            ],
        ),
        ("DROP INDEX trips_day_idx", ["index trips_day_idx: missing"]),
        ("CREATE INDEX boats_name_idx ON boats (name)", ["index boats_name_idx: not in the scripts"]),
        (
            "DROP INDEX trips_day_idx; CREATE INDEX trips_day_idx ON trips (day DESC)",
            ["index trips_day_idx: differs"],
        ),
        ("DROP TRIGGER boats_after_delete_trips", ["trigger boats_after_delete_trips: missing"]),
        (
            "CREATE TRIGGER more AFTER INSERT ON boats BEGIN SELECT 1; END",
            ["trigger more: not in the scripts"],
        ),
        (
            "DROP TRIGGER boats_after_delete_trips; "
            "CREATE TRIGGER boats_after_delete_trips AFTER DELETE ON boats BEGIN DELETE FROM trips; END",
            ["trigger boats_after_delete_trips: differs"],
        ),
        ("DROP VIEW names", ["view names: missing"]),
        ("CREATE VIEW days AS SELECT day FROM trips", ["view days: not in the scripts"]),
        ("DROP VIEW names; CREATE VIEW names AS SELECT id FROM boats", ["view names: differs"]),
        ("DROP VIEW names; CREATE VIEW names AS SELECT name FROM nowhere", ["view names: differs"]),
    ],
)
def test_each_difference_is_named(scripts, change, lines):
    scripts.add("fleet", FLEET)

    assert sorted(_differences(scripts, change)) == sorted(lines)


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT", ["column boats.name: differs"]),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT ''", ["column boats.name: differs"]),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL", ["column boats.name: differs"]),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT", ["column boats.name: missing"]),
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL", ["table boats: differs"]),
        ("id INTEGER PRIMARY KEY, name TEXT NOT NULL", ["table boats: differs"]),
    ],
)
def test_a_table_of_the_same_name_is_compared_by_column_and_then_as_a_whole(scripts, table, lines):
    scripts.add("boats", FLEET.partition("CREATE TABLE trips")[0])

    assert _differences(scripts, "DROP TABLE boats", f"CREATE TABLE boats ({table}) STRICT") == lines


def test_comments_and_blanks_are_no_difference(scripts):
    scripts.add("boats", "CREATE TABLE boats (id INTEGER, name TEXT);\n")

    anew = "CREATE TABLE boats (id INTEGER, -- the number\n    name TEXT)"
    assert _differences(scripts, "DROP TABLE boats", anew) == []


def test_what_is_sqlites_litestreams_or_inside_a_full_text_index_is_passed_over(scripts):
    scripts.add("fleet", FLEET + SEARCH)

    heron = "INSERT INTO boats (name) VALUES ('Heron'); INSERT INTO boat_search (name) VALUES ('Heron');"
    assert _differences(scripts, heron, "ANALYZE", LITESTREAM) == []


def test_a_full_text_index_that_the_scripts_do_not_know_is_one_difference(scripts):
    scripts.add("fleet", FLEET)

    assert _differences(scripts, SEARCH) == ["table boat_search: not in the scripts"]


def test_a_database_that_was_never_migrated_lacks_everything(scripts):
    scripts.add("boats", "CREATE TABLE boats (id INTEGER);\n")

    with closing(sqlite3.connect(":memory:")) as empty:
        assert list(schema.differences(empty, scripts.folder)) == ["table boats: missing"]


# The ways back


def test_every_script_of_the_project_leads_back():
    lines = list(schema.verify(HOME / "schema"))

    assert lines
    assert not [line for line in lines if not line.endswith((": up, down, up", "."))]


def test_verify_goes_up_down_and_up_and_tells_what_it_could_not_undo(scripts):
    scripts.add("fleet", FLEET, "DROP VIEW names;\nDROP TABLE trips;\nDROP TABLE boats;\n")
    scripts.add("hashes", "UPDATE boats SET name = hex(name);\n", IRREVERSIBLE)
    scripts.add("search", SEARCH, "DROP TABLE boat_search;\n")

    assert list(schema.verify(scripts.folder)) == [
        "0001 fleet: up, down, up",
        "0002 hashes: up; cannot be undone: Nobody remembers how it was.",
        "0003 search: up, down, up",
    ]


def test_verify_refuses_a_down_script_that_does_not_lead_back(scripts):
    path = scripts.add("fleet", FLEET, "DROP TABLE trips;\nDROP TABLE boats;\n")

    with pytest.raises(StartupError) as refused:
        list(schema.verify(scripts.folder))

    down = path.with_suffix(".down.sql")
    assert str(refused.value) == f"{down}: leads back to another schema than before: see view names"


def test_verify_refuses_a_down_script_that_restores_a_column_differently(scripts):
    scripts.add("boats", "CREATE TABLE boats (id INTEGER, name TEXT NOT NULL);\n", "DROP TABLE boats;\n")
    path = scripts.add("nameless", "ALTER TABLE boats DROP COLUMN name;\n", "ALTER TABLE boats ADD COLUMN name TEXT;\n")

    with pytest.raises(StartupError) as refused:
        list(schema.verify(scripts.folder))

    down = path.with_suffix(".down.sql")
    assert str(refused.value) == f"{down}: leads back to another schema than before: see table boats"


def test_verify_refuses_a_down_script_that_forgets_the_rows(scripts):
    scripts.add("boats", "CREATE TABLE boats (name TEXT UNIQUE);\n", "DROP TABLE boats;\n")
    path = scripts.add("heron", "INSERT INTO boats (name) VALUES ('Heron');\n", "SELECT 'done';\n")

    with pytest.raises(StartupError) as refused:
        list(schema.verify(scripts.folder))

    assert str(refused.value) == (
        f"{path}:1: UNIQUE constraint failed: boats.name; in: INSERT INTO boats (name) VALUES ('Heron'); "
        "(the second time, after 0002_heron.down.sql)"
    )


def test_verify_names_the_statement_of_a_down_script_that_fails(scripts):
    path = scripts.add("boats", "CREATE TABLE boats (id INTEGER);\n", "-- Loses the boats.\nDROP TABLE boat;\n")

    with pytest.raises(StartupError) as refused:
        list(schema.verify(scripts.folder))

    assert str(refused.value) == f"{path.with_suffix('.down.sql')}:2: no such table: boat; in: DROP TABLE boat;"


def test_verify_takes_a_table_that_is_built_anew_in_both_directions(scripts):
    boats = "CREATE TABLE {name} (\n    id   INTEGER PRIMARY KEY,\n    {column}\n) STRICT;\n"
    anew = "-- foreign_keys: off\n{create}INSERT INTO new SELECT * FROM boats;\nDROP TABLE boats;\n" + (
        "ALTER TABLE new RENAME TO boats;\n"
    )
    scripts.add("boats", boats.format(name="boats", column="name TEXT"), "DROP TABLE boats;\n")
    scripts.add(
        "names",
        anew.format(create=boats.format(name="new", column="name TEXT NOT NULL")),
        anew.format(create=boats.format(name="new", column="name TEXT")),
    )

    assert list(schema.verify(scripts.folder)) == ["0001 boats: up, down, up", "0002 names: up, down, up"]


def test_verify_takes_a_renamed_table_that_others_refer_to(scripts):
    scripts.add("fleet", FLEET, "DROP VIEW names;\nDROP TABLE trips;\nDROP TABLE boats;\n")
    scripts.add("ships", "ALTER TABLE boats RENAME TO ships;\n", "ALTER TABLE ships RENAME TO boats;\n")

    assert list(schema.verify(scripts.folder))[1] == "0002 ships: up, down, up"
