"""The commands backup and check. tests/test_restore.py has restore."""

import gzip
import os
import shutil
import signal
import sqlite3
from contextlib import closing

import pytest

import cli_operations
import files
import seed
from db import Database
from db.backup import back_up
from tests.clock import ManualClock
from tests.conftest import HOME

COPY = "rowboat.2026-01-31T120000Z.db"  # a copy made at the time where the clock of the tests starts


@pytest.fixture(scope="module")
def seeded(migrated, tmp_path_factory):
    """A database with 12 users and 40 articles, to be copied."""
    path = shutil.copy(migrated, tmp_path_factory.mktemp("seeded") / "rowboat.db")
    with closing(Database(path, HOME / "sql", clock=ManualClock())) as database:
        seed.sow(database, 12, 40, lambda count: None)
    return path


@pytest.fixture
def grown(seeded, commands):
    """The commands, on a database with users and articles."""
    commands.database.parent.mkdir()
    shutil.copy(seeded, commands.database)
    return commands


@pytest.fixture
def backups(grown):
    """The folder for copies beside the database."""
    folder = grown.database.parent / "backups"
    folder.mkdir()
    return folder


def rows(path, sql):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def names(folder):
    return {path.name for path in folder.iterdir()}


def damage(path):
    """Overwrite the root page of the comments."""
    ((page,),) = rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'comments'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def write_to_wal(commands, sql):
    """Run a statement as a process that is then killed: the change is in the WAL alone."""
    database, wal = commands.database, commands.database.with_name("rowboat.db-wal")
    before = database.read_bytes()
    with closing(sqlite3.connect(database)) as writer:
        writer.execute(sql)
        writer.commit()
        frames = wal.read_bytes()
    database.write_bytes(before)
    wal.write_bytes(frames)
    return wal


def is_sound(commands):
    return commands.says("check")[-1] == f"{commands.database} is as it should be"


# backup


def test_a_backup_of_an_empty_file_is_empty(commands, tmp_path):
    (tmp_path / "empty.db").touch()

    commands.says("backup", "--database", str(tmp_path / "empty.db"), str(tmp_path / "copy.db"))

    assert rows(tmp_path / "copy.db", "SELECT * FROM sqlite_schema") == []


def test_a_backup_is_named_by_its_time_and_is_beside_the_database(grown):
    written = grown.says("backup")

    copy = grown.database.parent / "backups" / COPY
    assert written == [str(copy)]
    assert names(copy.parent) == {COPY}
    assert rows(copy, "SELECT count(*) FROM articles") == [(40,)]
    assert rows(copy, "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_is_written_to_the_given_file_or_folder(grown, tmp_path):
    (tmp_path / "vault").mkdir()

    assert grown.says("backup", str(tmp_path / "mine.db")) == [str(tmp_path / "mine.db")]
    assert grown.says("backup", str(tmp_path / "vault"), "--gzip") == [str(tmp_path / "vault" / f"{COPY}.gz")]

    assert rows(tmp_path / "mine.db", "SELECT count(*) FROM users") == [(12,)]
    assert gzip.decompress((tmp_path / "vault" / f"{COPY}.gz").read_bytes())[:15] == b"SQLite format 3"


def test_a_backup_of_an_empty_file_is_one(commands, tmp_path):
    (tmp_path / "empty.db").touch()

    commands.says("backup", str(tmp_path / "copy.db"), "--database", str(tmp_path / "empty.db"))

    assert rows(tmp_path / "copy.db", "SELECT * FROM sqlite_schema") == []


def test_keep_deletes_the_oldest_backups_and_no_other_file(grown, backups):
    for name in ("2026-01-01T000000Z.db", "2026-01-02T000000Z.db.gz", "2026-01-03T000000Z.db"):
        (backups / f"rowboat.{name}").touch()
    others = {"rowboat.before-0003.db", "other.2026-01-01T000000Z.db", "rowboat.2026-01-01T000000Z.db.txt"}
    for name in others:
        (backups / name).touch()

    lines = grown.says("backup", "--keep", "2")

    assert lines == [
        str(backups / COPY),
        f"deleted {backups}/rowboat.2026-01-01T000000Z.db",
        f"deleted {backups}/rowboat.2026-01-02T000000Z.db.gz",
    ]
    assert names(backups) == {"rowboat.2026-01-03T000000Z.db", COPY, *others}


def test_keep_removes_what_killed_backups_left_and_nothing_of_a_running_one(grown, backups):
    killed, running, other = (
        backups / f"{name}.db.gz.x1y2.partial"
        for name in ("rowboat.2026-01-01T000000Z", "rowboat.2026-01-02T000000Z", "other.2026-01-01T000000Z")
    )
    for folder in killed, running, other:
        folder.mkdir()
        (folder / "copy.db").touch()
    holding = files.hold(running)

    _, *deleted = grown.says("backup", "--keep", "1")

    os.close(holding)
    assert deleted == [f"deleted {killed}"]
    assert names(backups) == {COPY, running.name, other.name}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_backup_leaves_nothing_behind(grown, backups, monkeypatch, signum):
    def interrupted(database, target, running, **options):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which is off in processes of the background
        back_up(database, target, lambda text, share: signal.raise_signal(signum), **options)

    monkeypatch.setattr(cli_operations, "back_up", interrupted)

    assert grown.error("backup", "--gzip") == f"{backups}/{COPY}.gz: the copy failed: interrupted"
    assert names(backups) == set()


def test_a_backup_needs_a_database_and_a_folder(grown, tmp_path):
    (grown.database.parent / "backups").write_text("mine")

    assert grown.error("backup") == (
        f"{grown.database.parent}/backups: File exists; copies need a folder that can be written"
    )
    assert "No such file or directory" in grown.error("backup", str(tmp_path / "nowhere/copy.db"))
    assert grown.error("backup", str(tmp_path / "mine.db"), "--keep", "2") == (
        f"--keep 2: {tmp_path}/mine.db is no folder; name one, whose older copies are then deleted"
    )
    assert grown.error("backup", "--database", str(tmp_path / "no.db")) == (
        f"{tmp_path}/no.db: there is no such database"
    )
    assert (grown.database.parent / "backups").read_text() == "mine"
    assert not list(tmp_path.glob("*.db*"))


def test_a_damaged_database_does_not_replace_a_good_copy(grown, tmp_path):
    grown.says("backup", str(tmp_path / "good.db"))
    good = (tmp_path / "good.db").read_bytes()
    damage(grown.database)

    assert "the copy is damaged" in grown.error("backup", str(tmp_path / "good.db"))
    assert (tmp_path / "good.db").read_bytes() == good


# check


def test_check_of_a_sound_database_warns_of_an_old_sqlite_alone(grown):
    *warnings, verdict = grown.says("check")

    assert verdict == f"{grown.database} is as it should be"
    assert len(warnings) == (sqlite3.sqlite_version_info < (3, 51, 3))
    for warning in warnings:
        assert warning.startswith(f"SQLite is {sqlite3.sqlite_version}: below 3.51.3, two connections that checkpoint")


@pytest.mark.parametrize(
    ("harm", "line", "after_repair"),
    [
        ("DROP INDEX comments_author_id_idx", "schema: index comments_author_id_idx: missing", 1),
        ("UPDATE comments SET article_id = 99 WHERE id = 1", "foreign keys: row 1 of comments without its row in ", 1),
        ("UPDATE totals SET total = 7", "counters: totals.total of articles is 7, and should be 40", 0),
        ("DELETE FROM article_search_data WHERE id > 10", "search: article_search: ", 0),
    ],
)
def test_check_names_each_problem_and_repairs_counters_and_the_search_index(grown, harm, line, after_repair):
    rows(grown.database, harm)

    assert grown.says("check", status=1)[-1].startswith(line)
    grown.says("check", "--repair", status=after_repair)
    grown.says("check", status=after_repair)


def test_check_names_damage(grown):
    damage(grown.database)

    assert grown.says("check", status=1)[-1].startswith("integrity: ")
