"""The commands for the schema, on scripts that the tests write, and the command sql."""

import json
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import db.migrations
import terminal
from db.migrations import find_migrations, migrate
from tests.db.scripts import PACE, SLOW

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
HERON = "INSERT INTO boats (name) VALUES ('Heron');\n"
OARS = "-- What one rows with.\nCREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"


@pytest.fixture
def boats(commands):
    """The commands, on one script, which is applied."""
    commands.empty()
    commands.add("boats", BOATS + HERON, "-- Loses the boats.\nDROP TABLE boats;\n")
    commands.says("migrate")
    return commands


def without_times(lines):
    return [re.sub(r" in \d+ ms$", "", line) for line in lines]


# Upgrade and downgrade


def test_migrate_applies_the_scripts_of_the_project_and_prints_a_line_for_each(commands):
    scripts = find_migrations(commands.folder)

    first, *lines = commands.says("migrate")

    assert first == f"new database {commands.database}"
    assert all(re.search(r" in \d+ ms$", line) for line in lines)
    assert without_times(lines) == [f"applied {each}" for each in scripts]
    assert commands.says("migrate") == ["nothing to apply"]
    assert commands.files() == ["rowboat.db"]


def test_migrate_upgrades_to_a_number_and_rollback_goes_back_by_steps_or_to_a_number(commands):
    commands.empty()
    for number in range(1, 6):
        commands.add(f"boat{number}", BOATS.replace("boats", f"boat{number}"), f"DROP TABLE boat{number};\n")

    commands.says("migrate", "--to", "4")
    assert commands.versions() == [1, 2, 3, 4]
    assert without_times(commands.says("rollback")[1:]) == ["undone 0004 boat4"]
    assert without_times(commands.says("rollback", "--steps", "2")[1:]) == ["undone 0003 boat3", "undone 0002 boat2"]
    commands.says("rollback", "--to", "0")
    assert commands.tables() == []
    assert commands.says("rollback") == ["nothing to undo"]
    assert "--steps and --to exclude each other" in commands.run("rollback", "--to", "0", "--steps", "1").stderr


def test_a_dry_run_prints_pending_scripts_in_order_and_creates_no_database(commands):
    commands.empty()
    commands.add("boats", BOATS)
    commands.add("oars", OARS)

    lines = commands.says("migrate", "--dry-run")

    assert "\n".join(lines) == f"-- 0001_boats.sql\n{BOATS}\n-- 0002_oars.sql\n{OARS}"
    assert not commands.database.parent.exists()


def test_a_dry_run_changes_no_database_and_refuses_what_migrate_would_refuse(boats):
    boats.add("oars", OARS)
    boats.add("more", HERON)
    before = boats.database.read_bytes()

    assert "\n".join(boats.says("migrate", "--dry-run", "--to", "2")) == f"-- 0002_oars.sql\n{OARS}"
    assert boats.error("migrate", "--dry-run", "--to", "0") == (
        "the database is at 0001 already; `rollback --to 0` goes back"
    )

    assert (boats.database.read_bytes(), boats.files()) == (before, ["rowboat.db"])


def test_status_shows_the_state_of_each_script_as_lines_or_json(boats):
    boats.add("oars", OARS)
    boats.says("migrate")
    (boats.folder / "0001_boats.sql").write_text(BOATS)
    boats.add("sails", OARS)

    edited, applied, pending = boats.says("status")
    rows = json.loads("\n".join(boats.says("status", "--json")))

    assert re.fullmatch(r"0001  boats {17}edited   2026-01-31T12:00:00\.000Z  \d+ ms", edited)
    assert re.fullmatch(r"0002  oars {18}applied  2026-01-31T12:00:00\.000Z  \d+ ms", applied)
    assert pending == "0003  sails                 pending"
    assert [row.pop("ms", -1) >= 0 for row in rows] == [True, True, False]
    assert rows == [
        {"version": 1, "name": "boats", "state": "edited", "applied_at": "2026-01-31T12:00:00.000Z"},
        {"version": 2, "name": "oars", "state": "applied", "applied_at": "2026-01-31T12:00:00.000Z"},
        {"version": 3, "name": "sails", "state": "pending"},
    ]


def test_status_creates_no_database(commands):
    lines = commands.says("status")

    assert len(lines) == len(find_migrations(commands.folder))
    assert all(line.endswith("  pending") for line in lines)
    assert not commands.database.parent.exists()


# Writing scripts


def test_migration_new_creates_a_pair_of_scripts_to_be_filled_in(boats):
    up, down = (Path(line) for line in boats.says("migration", "new", "Blåa Oars!"))

    assert (up, down) == (boats.folder / "0002_blaa_oars.sql", boats.folder / "0002_blaa_oars.down.sql")
    assert up.read_text().startswith("-- ")
    assert boats.error("migrate") == f"{up}: holds no statement yet; write it, or delete the pair"
    up.write_text(OARS)
    down.write_text("DROP TABLE oars;\n")
    assert boats.error("migration", "new", "!!") == (
        "'!!' has no letters; name what the script adds, such as bookmarks"
    )
    *verified, without_rows = boats.says("migration", "verify")
    assert verified == ["0001 boats: up, down, up", "0002 blaa_oars: up, down, up"]
    assert without_rows.startswith("not verified with rows: ")
    assert without_rows.endswith("; --database FILE verifies on a copy of that database")


def test_a_down_script_without_its_script_is_refused(commands):
    stray = commands.folder / "0042_oars.down.sql"
    stray.write_text("DROP TABLE oars;\n")

    assert commands.error("migrate") == (
        f"{stray}: the script that it undoes is missing; put it back, or delete this one too"
    )


def test_schema_dump_writes_the_schema(boats):
    boats.add("oars", OARS)

    boats.says("schema", "dump")

    written = (boats.folder / "schema.sql").read_text()
    assert written.endswith(f"\n{BOATS}\nCREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n")


def test_schema_check_prints_each_difference_and_exits_with_1(boats):
    assert boats.says("schema", "check") == ["the schema is what the scripts build"]
    boats.sql("CREATE INDEX boats_name_idx ON boats (name)")
    boats.sql("ALTER TABLE boats ADD COLUMN length INTEGER")

    lines = boats.says("schema", "check", status=1)

    assert lines == ["index boats_name_idx: not in the scripts", "column boats.length: not in the scripts"]


# The backup before a migration, and progress


def test_migrate_writes_a_backup_first_unless_it_is_turned_off(boats):
    boats.add("oars", OARS)
    lines = boats.says("migrate")
    boats.add("more", HERON)
    (line,) = boats.says("migrate", ROWBOAT_MIGRATION_BACKUP="off")

    copy = boats.database.parent / "backups/rowboat.before-0002.1.db"
    assert lines[0] == f"kept a copy in {copy}"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM boats").fetchall() == [("Heron",)]
    assert line.startswith("applied 0003 more in ")
    assert boats.files() == ["backups", "backups/rowboat.before-0002.1.db", "rowboat.db"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_backup_has_the_permissions_of_the_database(boats, mode):
    boats.add("oars", OARS)
    boats.database.chmod(mode)

    boats.says("migrate")

    (copy,) = (boats.database.parent / "backups").iterdir()
    assert copy.stat().st_mode & 0o777 == mode


def test_a_terminal_shows_what_runs_and_how_far_it_is_and_keeps_the_lines(boats, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(db.migrations, "time", SimpleNamespace(monotonic=lambda: 7))
    boats.add("pace", PACE.replace("10", "100000"))
    boats.add("strokes", SLOW)

    with terminal.report() as report:
        migrate(boats.database, boats.folder, report, clock=boats.project.clock)

    printed, shown = capsys.readouterr()
    assert re.search(r"\rcopying \d+ MiB +\[#{40}\] 100%", shown)
    assert shown.count("\r0003 strokes, line 3: 0 s") == 1
    assert shown.endswith(f"\r{' ' * 78}\r")
    assert without_times(printed.splitlines())[1:] == ["applied 0002 pace", "applied 0003 strokes"]
    assert "\r" not in printed


# sql


def test_sql_names_what_it_cannot_run_in_one_line(commands, tmp_path):
    assert commands.error("sql", "checks/version") == (
        f"{commands.database}: there is no such database; the commands migrate and serve make one"
    )
    commands.says("migrate", "--to", "3")
    fourth = find_migrations(commands.folder)[3]
    assert commands.error("sql", "checks/version").endswith(
        f"are pending, from {fourth}; run the command migrate first"
    )
    commands.says("migrate")
    assert "malformed JSON" in commands.error("sql", "accounts/render", "--param", "page=x")
    assert "too large" in commands.error(
        "sql", "profiles/render", "--param", "username_key=x", "--param", f"me={2**64}"
    )

    commands.project = replace(commands.project, sql=tmp_path / "sql")
    file = tmp_path / "sql/checks/version.sql"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"-- \xff")
    assert commands.error("sql", "checks/version") == f"{file}: not UTF-8 text: invalid start byte at byte 3"
    file.write_text("-- Nothing.\n")
    assert commands.error("sql", "checks/version") == f"{file}: holds no statement; write it, or delete the file"
