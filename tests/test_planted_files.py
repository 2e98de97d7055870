"""Links, pipes and files that another user has planted where the program writes: none is followed or written to."""

import os

import pytest

import files
from db import StartupError
from db.lock import open_lock
from tests.commands import NEWEST
from tests.test_backup_commands import backups, grown, names, rows, seeded  # noqa: F401

PLANTS = ["link", "link to nowhere", "hard link", "pipe", "folder", "file"]


@pytest.fixture
def victim(tmp_path):
    """A file that nothing may change."""
    path = tmp_path / "victim"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def plant(victim):
    """Plant something under a name."""

    def under(path, kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to(victim)
        elif kind == "link to nowhere":
            path.symlink_to(victim.with_name("nowhere"))
        elif kind == "hard link":
            path.hardlink_to(victim)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_text("theirs")

    return under


@pytest.mark.parametrize("kind", PLANTS)
@pytest.mark.parametrize("end", [".partial", ".packed", ".partial-journal", ".x1y2.partial"])
def test_a_backup_writes_to_nothing_that_was_planted_beside_its_target(grown, tmp_path, plant, kind, end):  # noqa: F811
    plant(tmp_path / f"copy.db{end}", kind)

    grown.says("backup", str(tmp_path / "copy.db"), "--gzip")
    grown.says("backup", str(tmp_path / "copy.db"))

    assert rows(tmp_path / "copy.db", "SELECT count(*) FROM articles") == [(40,)]


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "hard link", "pipe", "file"])
def test_a_backup_replaces_what_was_planted_under_its_name(grown, tmp_path, plant, kind):  # noqa: F811
    plant(tmp_path / "copy.db", kind)

    grown.says("backup", str(tmp_path / "copy.db"))

    assert not (tmp_path / "copy.db").is_symlink()
    assert rows(tmp_path / "copy.db", "SELECT count(*) FROM articles") == [(40,)]


def test_a_backup_does_not_replace_a_device(grown, tmp_path):  # noqa: F811
    (tmp_path / "copy.db").symlink_to("/dev/null")

    assert grown.error("backup", str(tmp_path / "copy.db")).endswith("copy.db: this is a device; name a file")


def test_nobody_else_can_look_into_the_folder_in_which_a_backup_is_made(grown, tmp_path, monkeypatch):  # noqa: F811
    import db.backup

    seen = []
    verify = db.backup.verify

    def watched(copy, target):
        (folder,) = tmp_path.glob("copy.db.*.partial")
        seen.append(files.is_private(folder))
        verify(copy, target)

    monkeypatch.setattr(db.backup, "verify", watched)
    grown.says("backup", str(tmp_path / "copy.db"))

    assert seen == [True]
    assert {"copy.db"} == {path.name for path in tmp_path.glob("copy*")}


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal", ".lock", ".in-use"])
def test_a_backup_does_not_replace_the_database_or_what_belongs_to_it(grown, end):  # noqa: F811
    before = grown.database.read_bytes()

    error = grown.error("backup", f"{grown.database}{end}")

    assert error.endswith("this is the database itself, or belongs to it; name another file")
    assert grown.database.read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "hard link", "pipe", "folder"])
@pytest.mark.parametrize("end", [".lock", ".in-use"])
def test_a_lock_file_that_was_planted_is_refused(tmp_path, plant, kind, end):
    plant(tmp_path / f"rowboat.db{end}", kind)

    with pytest.raises(StartupError, match=rf"rowboat\.db{end}: "):
        open_lock(tmp_path / "rowboat.db", end)


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_readyz_writes_to_no_lock_file_that_was_planted(api, db, plant, kind):
    lock = db.path.with_name("rowboat.db.lock")
    lock.unlink(missing_ok=True)
    plant(lock, kind)

    assert api.client.get("/readyz", status=503).json["ready"] is False


@pytest.mark.parametrize("kind", ["link", "link to nowhere"])
@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_sqlite_follows_no_link_beside_the_database(grown, plant, kind, end):  # noqa: F811
    plant(grown.database.with_name(f"rowboat.db{end}"), kind)

    grown.run("user", "promote", "ada", "--to", "admin")  # whether it does or not


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "pipe", "hard link"])
def test_schema_dump_replaces_a_link(commands, plant, kind):
    dumped = commands.folder / "schema.sql"
    text = dumped.read_text()
    dumped.unlink()
    plant(dumped, kind)

    commands.says("schema", "dump")

    assert not dumped.is_symlink()
    assert dumped.read_text() == text


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "pipe"])
def test_migration_new_writes_to_nothing_that_was_planted(commands, plant, kind):
    plant(commands.folder / "0015_boats.down.sql", kind)

    commands.error("migration", "new", "boats")


def test_a_safety_copy_overwrites_nothing(grown, plant, victim):  # noqa: F811
    plant(grown.database.parent / f"backups/rowboat.before-rollback-{NEWEST}.1.db", "link")

    assert f"before-rollback-{NEWEST}.2.db" in grown.says("rollback")[0]
    assert victim.read_text() == "precious"
