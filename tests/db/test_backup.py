"""Copies of a database: of one moment, verified, in place only when complete, and made before a schema changes."""

import gzip
import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from db import StartupError
from db.backup import back_up
from db.migrations import Report, migrate
from tests.db.scripts import Scripts

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
HERON = "INSERT INTO boats (name) VALUES ('Heron');\n"
OARS = "CREATE TABLE oars (id INTEGER PRIMARY KEY, boat_id INTEGER REFERENCES boats (id)) STRICT;\n"

# More pages than are copied at a time.
MANY = """
INSERT INTO boats (name)
  WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 2000)
SELECT hex(zeroblob(2000)) FROM counted;
"""


@pytest.fixture
def scripts(tmp_path):
    """Boats, of which there is one."""
    scripts = Scripts(tmp_path)
    scripts.add("boats", BOATS + HERON, "DROP TABLE boats;")
    scripts.migrate()
    return scripts


def _rows(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def _damage(path):
    """Overwrite the page that holds the boats."""
    ((page,),) = _rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'boats'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


# One copy


def test_a_copy_is_one_file_with_everything_in_it(scripts, tmp_path):
    target = tmp_path / "copy.db"

    back_up(scripts.database, target)

    assert _rows(target, "PRAGMA journal_mode") == [("delete",)]
    assert _rows(target, "SELECT name FROM boats") == [("Heron",)]
    assert _rows(target, "SELECT version FROM schema_migrations") == [(1,)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_copy_holds_what_still_stands_in_the_wal(scripts, tmp_path):
    with closing(sqlite3.connect(scripts.database)) as other:
        with other:
            other.execute("INSERT INTO boats (name) VALUES ('Coot')")

        back_up(scripts.database, tmp_path / "copy.db")

    assert _rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Heron",), ("Coot",)]


def test_a_copy_is_of_one_moment_while_others_write(scripts, tmp_path):
    scripts.run(MANY)
    heard = []

    def write_meanwhile(text, share):
        heard.append((text, share))
        scripts.run("UPDATE boats SET name = 'Coot'")

    back_up(scripts.database, tmp_path / "copy.db", write_meanwhile)

    shares = [share for text, share in heard if re.fullmatch(r"copying \d+ MiB", text)]
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert _rows(tmp_path / "copy.db", "SELECT count(*) FROM boats WHERE name = 'Coot'") == [(0,)]
    assert scripts.run("SELECT count(*) FROM boats WHERE name = 'Coot'") == [(2001,)]


def test_a_copy_takes_the_place_of_an_older_one(scripts, tmp_path):
    back_up(scripts.database, tmp_path / "copy.db")
    scripts.run("UPDATE boats SET name = 'Coot'")

    back_up(scripts.database, tmp_path / "copy.db")

    assert _rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Coot",)]


def test_a_packed_copy_is_the_same_and_smaller(scripts, tmp_path):
    scripts.run(MANY)

    back_up(scripts.database, tmp_path / "copy.db")
    back_up(scripts.database, tmp_path / "copy.db.gz", compress=True)

    assert (tmp_path / "copy.db.gz").stat().st_size < (tmp_path / "copy.db").stat().st_size / 10
    assert gzip.decompress((tmp_path / "copy.db.gz").read_bytes()) == (tmp_path / "copy.db").read_bytes()
    assert not list(tmp_path.glob("copy.db.gz?*"))


def test_a_copy_that_is_given_up_halfway_leaves_the_older_one(scripts, tmp_path):
    back_up(scripts.database, tmp_path / "copy.db")
    scripts.run(MANY)

    def give_up(text, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(scripts.database, tmp_path / "copy.db", give_up)

    assert _rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Heron",)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_copy_that_a_killed_program_left_half_done_is_in_nobodys_way(scripts, tmp_path):
    (tmp_path / "copy.db.partial").write_bytes(b"half")

    back_up(scripts.database, tmp_path / "copy.db")

    assert _rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Heron",)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_copy_with_nowhere_to_go_is_refused(scripts, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/copy.db").mkdir()

    with pytest.raises(StartupError, match=r"copy\.db: the copy failed: .*Is a directory"):
        back_up(scripts.database, tmp_path / "full/copy.db")

    assert [path.name for path in (tmp_path / "full").iterdir()] == ["copy.db"]


# Before a schema changes


def test_a_migration_keeps_a_copy_of_what_was_there(scripts):
    scripts.add("oars", OARS)

    scripts.migrate()

    copy = scripts.database.parent / "backups/rowboat.before-0002.db"
    assert scripts.said[1] == f"kept a copy in {copy}"
    assert scripts.said[2].startswith("applied 0002 oars")
    assert _rows(copy, "SELECT name FROM boats") == [("Heron",)]
    assert _rows(copy, "SELECT name FROM sqlite_schema WHERE name = 'oars'") == []


def test_one_copy_serves_all_the_scripts_of_a_migration(scripts):
    scripts.add("oars", OARS)
    scripts.add("coot", "INSERT INTO boats (name) VALUES ('Coot');")

    scripts.migrate()

    assert scripts.files() == ["backups", "backups/rowboat.before-0002.db", "rowboat.db"]


def test_a_rollback_keeps_a_copy_too(scripts):
    scripts.rollback(to=0)

    copy = scripts.database.parent / "backups/rowboat.before-rollback-0001.db"
    assert scripts.said[1] == f"kept a copy in {copy}"
    assert _rows(copy, "SELECT name FROM boats") == [("Heron",)]
    assert scripts.tables() == []


def test_a_copy_put_in_the_databases_place_goes_on_from_there(scripts):
    scripts.add("coot", "INSERT INTO boats (name) VALUES ('Coot');")
    scripts.migrate()

    shutil.copy(scripts.database.parent / "backups/rowboat.before-0002.db", scripts.database)

    assert scripts.versions() == [1]
    assert scripts.migrate() == ["0002 coot"]
    assert scripts.run("SELECT name FROM boats") == [("Heron",), ("Coot",)]


def test_a_new_database_has_nothing_to_copy(tmp_path):
    scripts = Scripts(tmp_path)
    scripts.add("boats", BOATS)
    scripts.add("oars", OARS)

    scripts.migrate()

    assert scripts.files() == ["rowboat.db"]
    assert [line.split()[0] for line in scripts.said] == ["applied", "applied"]


def test_a_database_that_is_at_zero_again_has_nothing_to_copy(scripts):
    scripts.rollback(to=0, backup=False)

    scripts.migrate()

    assert scripts.files() == ["rowboat.db"]


def test_tables_that_no_script_made_are_copied_too(tmp_path):
    scripts = Scripts(tmp_path)
    scripts.add("oars", OARS)
    scripts.database.parent.mkdir()
    scripts.run(BOATS)
    scripts.run(HERON)

    scripts.migrate()

    copy = scripts.database.parent / "backups/rowboat.before-0001.db"
    assert _rows(copy, "SELECT name FROM boats") == [("Heron",)]


def test_nothing_to_apply_is_no_reason_for_a_copy(scripts):
    scripts.migrate()
    scripts.rollback(to=1)

    assert scripts.files() == ["rowboat.db"]


def test_copies_can_be_turned_off(scripts):
    scripts.add("oars", OARS, "DROP TABLE oars;")

    scripts.migrate(backup=False)
    scripts.rollback(to=1, backup=False)

    assert scripts.files() == ["rowboat.db"]
    assert not [line for line in scripts.said if "copy" in line]


@pytest.mark.parametrize("name", ["rowboat", "row[bo]at"])
def test_the_newest_five_copies_are_kept_and_nothing_else_is_touched(tmp_path, name):
    scripts = Scripts(tmp_path)
    scripts.database = tmp_path / f"data/{name}.db"
    scripts.add("boats", BOATS)
    scripts.migrate()
    backups = tmp_path / "data/backups"
    backups.mkdir()
    others = ["mine.db", "other.before-0001.db", f"{name}.db"]
    for age, number in enumerate([3, 9, 4, 8, 5, 7]):
        (backups / f"{name}.before-{number:04d}.db").touch()
        os.utime(backups / f"{name}.before-{number:04d}.db", (1_700_000_000, 1_700_000_000 - age))
    for other in others:
        (backups / other).touch()
    scripts.add("oars", OARS)

    scripts.migrate()

    kept = [f"{name}.before-{number:04d}.db" for number in (2, 3, 9, 4, 8)]
    assert sorted(path.name for path in backups.iterdir()) == sorted([*others, *kept])


# Refused before anything is touched


def test_without_room_for_the_copy_nothing_is_touched(scripts):
    scripts.add("oars", OARS)
    more_than_is_free = shutil.disk_usage(scripts.database.parent).free + (1 << 30)
    os.truncate(scripts.database, more_than_is_free)  # a hole: it takes no room itself

    message = scripts.refusal()

    folder = re.escape(str(scripts.database.parent))
    assert re.fullmatch(
        rf"{folder}: a copy of the database needs \d+ MiB, and \d+ MiB are free; make room, "
        "or, where it is made before a migration, go without with ROWBOAT_MIGRATION_BACKUP=off",
        message,
    )
    assert scripts.tables() == ["boats"]
    assert scripts.versions() == [1]
    assert scripts.files() == ["rowboat.db"]


def test_a_damaged_database_is_not_migrated_any_further(scripts):
    scripts.add("oars", OARS)
    _damage(scripts.database)

    message = scripts.refusal()

    copy = scripts.database.parent / "backups/rowboat.before-0002.db"
    assert re.fullmatch(rf"{re.escape(str(copy))}: the copy is damaged: .+; check the database itself", message)
    assert "\n" not in message
    assert scripts.versions() == [1]
    assert scripts.files() == ["backups", "rowboat.db"]


def test_a_database_with_orphans_is_not_migrated_any_further(scripts):
    scripts.add("oars", OARS)
    scripts.migrate(backup=False)
    scripts.add("coot", HERON)
    with closing(sqlite3.connect(scripts.database)) as careless, careless:
        careless.execute("INSERT INTO oars (id, boat_id) VALUES (4, 9)")

    message = scripts.refusal()

    copy = scripts.database.parent / "backups/rowboat.before-0003.db"
    assert message == f"{copy}: the copy has row 4 of oars without its row in boats; mend the database itself"
    assert scripts.versions() == [1, 2]
    assert scripts.files() == ["backups", "rowboat.db"]


def test_ctrl_c_during_the_copy_leaves_everything_as_it_was(scripts):
    scripts.add("oars", OARS)

    def press(text, share):
        raise KeyboardInterrupt

    with pytest.raises(StartupError) as refused:
        migrate(scripts.database, scripts.folder, Report(running=press))

    assert str(refused.value) == (
        f"{scripts.database}: interrupted; what was done before stays, and nothing else was touched"
    )
    assert scripts.versions() == [1]
    assert scripts.files() == ["backups", "rowboat.db"]
