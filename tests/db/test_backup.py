"""Backups: consistent, verified, replaced only when complete, and made before a schema changes."""

import gzip
import os
import re
import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from db import StartupError
from db.backup import back_up
from db.migrations import Report, migrate
from tests.db.scripts import Scripts

BOATS = "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
HERON = "INSERT INTO boats (name) VALUES ('Heron');\n"
COOT = HERON.replace("Heron", "Coot")
OARS = "CREATE TABLE oars (id INTEGER PRIMARY KEY, boat_id INTEGER REFERENCES boats (id)) STRICT;\n"

# More pages than are copied at a time.
MANY = """
INSERT INTO boats (name)
  WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 2000)
SELECT hex(zeroblob(2000)) FROM counted;
"""


@pytest.fixture
def scripts(tmp_path):
    """An applied script that creates one boat."""
    scripts = Scripts(tmp_path)
    scripts.add("boats", BOATS + HERON, "DROP TABLE boats;")
    scripts.migrate()
    return scripts


def rows(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def interrupt(text, share):
    raise KeyboardInterrupt


# One backup


def test_a_backup_is_one_file_that_includes_the_wal(scripts, tmp_path):
    target = tmp_path / "copy.db"
    with closing(sqlite3.connect(scripts.database)) as other:
        with other:
            other.execute(COOT)

        back_up(scripts.database, target)

    assert rows(target, "PRAGMA journal_mode") == [("delete",)]
    assert rows(target, "SELECT name FROM boats") == [("Heron",), ("Coot",)]
    assert rows(target, "SELECT version FROM schema_migrations") == [(1,)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_backup_is_a_snapshot_while_others_write(scripts, tmp_path):
    scripts.sql(MANY)
    heard = []

    def write_meanwhile(text, share):
        heard.append((text, share))
        scripts.sql("UPDATE boats SET name = 'Coot'")

    back_up(scripts.database, tmp_path / "copy.db", write_meanwhile)

    shares = [share for text, share in heard if re.fullmatch(r"copying \d+ MiB", text)]
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert rows(tmp_path / "copy.db", "SELECT count(*) FROM boats WHERE name = 'Coot'") == [(0,)]
    assert scripts.sql("SELECT count(*) FROM boats WHERE name = 'Coot'") == [(2001,)]


def test_a_backup_replaces_an_older_one_and_what_a_killed_backup_left(scripts, tmp_path):
    back_up(scripts.database, tmp_path / "copy.db")
    (tmp_path / "copy.db.x1y2.partial").mkdir()
    (tmp_path / "copy.db.x1y2.partial/copy.db").write_bytes(b"half")
    scripts.sql("UPDATE boats SET name = 'Coot'")

    back_up(scripts.database, tmp_path / "copy.db")

    assert rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Coot",)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_compressed_backup_is_the_same_and_smaller(scripts, tmp_path):
    scripts.sql(MANY)

    back_up(scripts.database, tmp_path / "copy.db")
    back_up(scripts.database, tmp_path / "copy.db.gz", compress=True)

    assert (tmp_path / "copy.db.gz").stat().st_size < (tmp_path / "copy.db").stat().st_size / 10
    assert gzip.decompress((tmp_path / "copy.db.gz").read_bytes()) == (tmp_path / "copy.db").read_bytes()
    assert not list(tmp_path.glob("copy.db.gz?*"))


def test_an_interrupted_backup_leaves_the_older_one(scripts, tmp_path):
    back_up(scripts.database, tmp_path / "copy.db")
    scripts.sql(MANY)

    with pytest.raises(KeyboardInterrupt):
        back_up(scripts.database, tmp_path / "copy.db", interrupt)

    assert rows(tmp_path / "copy.db", "SELECT name FROM boats") == [("Heron",)]
    assert not list(tmp_path.glob("copy.db?*"))


def test_a_backup_cannot_replace_a_folder(scripts, tmp_path):
    (tmp_path / "full/copy.db").mkdir(parents=True)

    with pytest.raises(StartupError, match=r"copy\.db: the copy failed: .*Is a directory"):
        back_up(scripts.database, tmp_path / "full/copy.db")

    assert [path.name for path in (tmp_path / "full").iterdir()] == ["copy.db"]


# Before a schema changes


def test_a_migration_makes_one_backup_before_its_first_script(scripts):
    scripts.add("oars", OARS)
    scripts.add("coot", COOT)

    scripts.migrate()

    backup = scripts.database.parent / "backups/rowboat.before-0002.1.db"
    assert scripts.said[1] == f"kept a copy in {backup}"
    assert scripts.said[2].startswith("applied 0002 oars")
    assert rows(backup, "SELECT name FROM boats") == [("Heron",)]
    assert rows(backup, "SELECT name FROM sqlite_schema WHERE name = 'oars'") == []
    assert scripts.files() == ["backups", "backups/rowboat.before-0002.1.db", "rowboat.db"]


def test_a_rollback_makes_a_backup(scripts):
    scripts.rollback(to=0)

    backup = scripts.database.parent / "backups/rowboat.before-rollback-0001.1.db"
    assert scripts.said[1] == f"kept a copy in {backup}"
    assert rows(backup, "SELECT name FROM boats") == [("Heron",)]
    assert scripts.tables() == []


def test_tables_that_no_script_created_are_backed_up(tmp_path):
    scripts = Scripts(tmp_path)
    scripts.add("oars", OARS)
    scripts.database.parent.mkdir()
    scripts.sql(BOATS)
    scripts.sql(HERON)

    scripts.migrate()

    assert rows(scripts.database.parent / "backups/rowboat.before-0001.1.db", "SELECT name FROM boats") == [("Heron",)]


def test_no_backup_is_made_of_an_empty_database_or_without_pending_scripts_or_when_turned_off(scripts):
    scripts.add("oars", OARS, "DROP TABLE oars;")

    scripts.migrate(backup=False)
    scripts.migrate()
    scripts.rollback(to=2)
    scripts.rollback(to=0, backup=False)
    scripts.migrate()

    assert scripts.files() == ["rowboat.db"]
    done = ["applied 0001", "applied 0002", "undone 0002", "undone 0001", "applied 0001", "applied 0002"]
    assert [" ".join(line.split()[:2]) for line in scripts.said] == done


@pytest.mark.parametrize("name", ["rowboat", "row[bo]at"])
def test_the_newest_five_backups_are_kept_and_no_other_file_is_touched(tmp_path, name):
    scripts = Scripts(tmp_path)
    scripts.database = tmp_path / f"data/{name}.db"
    scripts.add("boats", BOATS)
    scripts.migrate()
    backups = tmp_path / "data/backups"
    backups.mkdir()
    others = ["mine.db", "other.before-0001.db", f"{name}.db"]
    for number, script in enumerate([3, 9, 4, 8, 5, 7]):  # the last one is the newest, whatever it is called
        (backups / f"{name}.before-{script:04d}.{number}.db").touch()
        os.utime(backups / f"{name}.before-{script:04d}.{number}.db", (1_700_000_000, 1_700_000_000 - number))
    for other in others:
        (backups / other).touch()
    scripts.add("oars", OARS)

    scripts.migrate()

    kept = [f"{name}.before-{each}.db" for each in ("0004.2", "0008.3", "0005.4", "0007.5", "0002.6")]
    assert sorted(path.name for path in backups.iterdir()) == sorted([*others, *kept])


def test_a_backup_before_a_migration_is_never_overwritten(scripts):
    scripts.add("oars", OARS, "DROP TABLE oars;")

    scripts.migrate()
    scripts.rollback(to=1)
    scripts.sql("UPDATE boats SET name = 'Coot'")
    scripts.migrate()

    backups = scripts.database.parent / "backups"
    assert rows(backups / "rowboat.before-0002.1.db", "SELECT name FROM boats") == [("Heron",)]
    assert rows(backups / "rowboat.before-0002.3.db", "SELECT name FROM boats") == [("Coot",)]


# Refused before anything changes


def test_a_migration_needs_space_for_its_backup(scripts, monkeypatch):
    scripts.add("oars", OARS)
    needed = scripts.database.stat().st_size + 16 * 1024 * 1024
    free = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)

    message = scripts.refusal()

    assert message == (
        f"{scripts.database.parent}: a copy of the database needs {needed >> 20} MiB, and 16 MiB are free; make room, "
        "or, where it is made before a migration, go without with ROWBOAT_MIGRATION_BACKUP=off"
    )
    assert scripts.versions() == [1]
    assert scripts.files() == ["rowboat.db"]
    free.free = needed
    assert scripts.migrate() == ["0002 oars"]


def test_a_damaged_database_is_not_migrated(scripts):
    scripts.add("oars", OARS)
    ((page,),) = rows(scripts.database, "SELECT rootpage FROM sqlite_schema WHERE name = 'boats'")
    with scripts.database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    message = scripts.refusal()

    backup = scripts.database.parent / "backups/rowboat.before-0002.1.db"
    assert re.fullmatch(rf"{re.escape(str(backup))}: the copy is damaged: .+; check the database itself", message)
    assert scripts.versions() == [1]
    assert scripts.files() == ["backups", "rowboat.db"]


def test_a_database_with_orphaned_rows_is_not_migrated(scripts):
    scripts.add("oars", OARS)
    scripts.migrate(backup=False)
    scripts.add("coot", COOT)
    with closing(sqlite3.connect(scripts.database)) as careless, careless:
        careless.execute("INSERT INTO oars (id, boat_id) VALUES (4, 9)")

    message = scripts.refusal()

    backup = scripts.database.parent / "backups/rowboat.before-0003.1.db"
    assert message == f"{backup}: the copy has row 4 of oars without its row in boats; mend the database itself"
    assert scripts.versions() == [1, 2]
    assert scripts.files() == ["backups", "rowboat.db"]


def test_ctrl_c_during_the_backup_leaves_the_database_as_it_was(scripts, clock):
    scripts.add("oars", OARS)

    with pytest.raises(StartupError) as refused:
        migrate(scripts.database, scripts.folder, Report(running=interrupt), clock=clock)

    assert str(refused.value) == (
        f"{scripts.database}: interrupted; what was done before stays, and nothing else was touched"
    )
    assert scripts.versions() == [1]
    assert scripts.files() == ["backups", "rowboat.db"]
