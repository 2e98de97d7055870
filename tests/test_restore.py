"""The command restore: into the live file, in one transaction, also while it is served."""

import gzip
import os
import sqlite3
from contextlib import closing

import pytest

from db import Database
from db.lock import WriteLock
from tests.conftest import HOME
from tests.test_backup_commands import damage, grown, is_sound, names, rows, seeded, write_to_wal  # noqa: F401

BESIDE = {f"rowboat.db{end}" for end in ("", "-wal", "-shm", ".lock", ".in-use")}
NOT_RESTORED = (
    "not restored: 0 sessions, 0 password resets, 0 queued mails; accounts and content deleted since the copy are back"
)


@pytest.fixture
def copy(grown, tmp_path):  # noqa: F811
    """A copy, after which all articles are deleted."""
    path = tmp_path / "copy.db"
    grown.says("backup", str(path))
    grown.sql("DELETE FROM articles")
    return path


def articles_of(path):
    return rows(path, "SELECT count(*) FROM articles")[0][0]


@pytest.mark.parametrize("packed", [[], ["--gzip"]])
def test_a_backup_is_restored_and_the_old_content_is_kept(grown, tmp_path, packed):  # noqa: F811
    copy = tmp_path / "copy"
    grown.says("backup", str(copy), *packed)
    grown.sql("DELETE FROM articles")
    before = os.stat(grown.database).st_ino

    lines = grown.says("restore", str(copy))

    kept = grown.database.parent / "backups/rowboat.before-restore.1.db"
    assert lines == [f"{grown.database} is {copy} now; what it was is {kept}", NOT_RESTORED]
    assert articles_of(grown.database) == 40
    assert articles_of(kept) == 0
    assert os.stat(grown.database).st_ino == before
    assert is_sound(grown)
    assert names(grown.database.parent) <= {"backups", *BESIDE}
    assert names(kept.parent) == {kept.name}


def test_each_restore_keeps_what_it_replaces_under_a_name_of_its_own(grown, copy):  # noqa: F811
    grown.says("restore", str(copy))
    grown.says("restore", str(grown.database.parent / "backups/rowboat.before-restore.1.db"))

    assert articles_of(grown.database) == 0
    assert articles_of(grown.database.parent / "backups/rowboat.before-restore.2.db") == 40


def test_a_database_is_restored_while_it_is_open_and_readers_see_old_or_new_content(grown, copy, clock):  # noqa: F811
    with closing(Database(grown.database, HOME / "sql", clock=clock)) as served:
        reader = served._reader()
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(0,)]
        remembered = served.remembered()
        remembered["key"] = "a cached response"

        grown.says("restore", str(copy))

        assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(0,)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(40,)]
        assert served.remembered() == {}
        assert served.write("checks/write") is None
    assert is_sound(grown)


def test_sessions_reset_tokens_and_mails_are_not_restored(grown, tmp_path):  # noqa: F811
    for sql in (
        "INSERT INTO sessions (user_id, token_hash, created_at, last_used_at) VALUES "
        f"(1, '{'a' * 64}', '2026-01-31T12:00:00.000Z', '2026-01-31T12:00:00.000Z')",
        "INSERT INTO outbox (user_id, created_at, next_attempt_at) VALUES "
        "(1, '2026-01-31T12:00:00.000Z', '2026-01-31T12:00:00.000Z')",
    ):
        grown.sql(sql)
    grown.says("backup", str(tmp_path / "copy.db"))
    (before,) = grown.sql("SELECT count(*) FROM sessions")[0]

    *_, told = grown.says("restore", str(tmp_path / "copy.db"))

    assert told.startswith(f"not restored: {before} sessions, 0 password resets, 1 queued mails; ")
    assert grown.sql("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM outbox)") == [(0, 0)]
    assert rows(tmp_path / "copy.db", "SELECT count(*) FROM sessions") == [(before,)]


def test_a_copy_is_restored_where_there_is_no_database(copy, grown, tmp_path):  # noqa: F811
    elsewhere = tmp_path / "new" / "place.db"

    lines = grown.says("restore", str(copy), "--database", str(elsewhere))

    assert lines[0] == f"{elsewhere} is {copy} now"
    assert articles_of(elsewhere) == 40
    assert elsewhere.stat().st_mode & 0o777 == 0o600


def test_a_copy_with_an_older_schema_is_migrated_before_it_replaces_anything(grown, tmp_path):  # noqa: F811
    grown.says("rollback", "--to", "9")
    grown.says("backup", str(tmp_path / "old.db"))
    grown.says("migrate")

    lines = grown.says("restore", str(tmp_path / "old.db"))

    assert lines[0].startswith("applied 0010 throttling")
    assert grown.says("check", status=1)[-1].startswith("search: 40 articles are not found by their words")
    assert grown.says("check", "--repair")[-1] == f"{grown.database} is as it should be"
    assert rows(tmp_path / "old.db", "SELECT max(version) FROM schema_migrations") == [(9,)]


@pytest.mark.parametrize("size", [512, 1024, 8192, 65536])
def test_a_copy_with_another_page_size_is_restored(grown, copy, size):  # noqa: F811
    rows(copy, f"PRAGMA page_size = {size}")
    with closing(sqlite3.connect(copy, isolation_level=None)) as other:
        other.execute(f"PRAGMA page_size = {size}")
        other.execute("VACUUM")
    assert rows(copy, "PRAGMA page_size") == [(size,)]

    grown.says("restore", str(copy))

    assert rows(grown.database, "PRAGMA page_size") == [(4096,)]
    assert articles_of(grown.database) == 40
    assert is_sound(grown)


def test_an_interrupted_restore_leaves_the_old_content(grown, copy, monkeypatch):  # noqa: F811
    import db.restore

    copied = db.restore.copy_pages

    def interrupted(source, target, running):
        def stop(text, share):
            if share and share > 0.3:
                raise KeyboardInterrupt

        copied(source, target, stop)

    monkeypatch.setattr("db.backup.PAGES_AT_A_TIME", 5)
    monkeypatch.setattr(db.restore, "copy_pages", interrupted)

    assert "interrupted" in grown.error("restore", str(copy))
    assert articles_of(grown.database) == 0
    assert is_sound(grown)
    assert names(grown.database.parent) <= {"backups", *BESIDE}


def test_restore_takes_the_lock_before_the_safety_copy(grown, copy, monkeypatch):  # noqa: F811
    import db.restore

    made, locked = db.restore.back_up_before, []

    def watched(database, *arguments):
        with closing(WriteLock(database)) as lock, lock.path.open("rb") as file:
            import fcntl

            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked.append(lock)
        return made(database, *arguments)

    monkeypatch.setattr(db.restore, "back_up_before", watched)

    grown.says("restore", str(copy))

    assert len(locked) == 1


# A damaged database


def harm(database, kind):
    if kind == "a page":
        damage(database)
    elif kind == "the header":
        with database.open("r+b") as file:
            file.write(b"\xff" * 100)
    elif kind == "half of it":
        os.truncate(database, database.stat().st_size // 2)
    elif kind == "orphans":
        rows(database, "UPDATE comments SET article_id = 99999 WHERE id = 1")
    else:
        database.write_text("Dear diary")


DAMAGES = ["a page", "the header", "half of it", "orphans", "all of it"]


@pytest.fixture
def damaged(grown, tmp_path, request):  # noqa: F811
    grown.says("backup", str(tmp_path / "copy.db"))
    write_to_wal(grown, "UPDATE users SET bio = 'Rows at dawn'")
    harm(grown.database, request.param)
    return grown


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_a_damaged_database_is_kept_with_its_wal_and_replaced(damaged, tmp_path):
    before = damaged.database.read_bytes()

    lines = damaged.says("restore", str(tmp_path / "copy.db"))

    kept = damaged.database.parent / "rowboat.damaged.1/rowboat.db"
    assert lines[0] == f"{damaged.database} is {tmp_path}/copy.db now; what it was is {kept}"
    assert len(kept.read_bytes()) == len(before)
    assert articles_of(damaged.database) == 40
    assert is_sound(damaged)
    assert names(damaged.database.parent) <= {"backups", kept.parent.name, *BESIDE}


@pytest.mark.parametrize("damaged", ["a page"], indirect=True)
def test_a_damaged_database_is_not_replaced_while_it_is_open(damaged, tmp_path):
    with closing(Database(damaged.database, HOME / "sql")):
        error = damaged.error("restore", str(tmp_path / "copy.db"))

    assert "the copy is damaged" in error
    assert error.endswith("a server or a command has it open; stop that first")
    assert not list(damaged.database.parent.glob("*damaged*"))


def test_what_is_left_of_a_deleted_database_is_kept(grown, tmp_path):  # noqa: F811
    grown.says("backup", str(tmp_path / "copy.db"))
    wal = write_to_wal(grown, "UPDATE users SET bio = 'Rows at dawn'")
    frames = wal.read_bytes()
    grown.database.unlink()

    assert grown.error("migrate") == (
        f"{grown.database}: it is gone, and rowboat.db-wal is still there, with what was written last; put it back, or "
        "move that file away, too"
    )
    assert wal.read_bytes() == frames
    grown.says("restore", str(tmp_path / "copy.db"))

    assert (grown.database.parent / "rowboat.damaged.1/rowboat.db-wal").read_bytes() == frames
    assert ("Rows at dawn",) not in grown.sql("SELECT bio FROM users")
    assert is_sound(grown)


def test_a_database_that_was_put_aside_is_restored_with_its_wal(grown, tmp_path):  # noqa: F811
    wal = write_to_wal(grown, "UPDATE users SET bio = 'Rows at dawn'")
    aside = tmp_path / "aside"
    aside.mkdir()
    for path in grown.database, wal:
        path.rename(aside / path.name)

    grown.says("restore", str(aside / "rowboat.db"))

    assert grown.sql("SELECT DISTINCT bio FROM users") == [("Rows at dawn",)]


# A copy that cannot be used


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (damage, "the copy is damaged"),
        (lambda path: path.write_text("Dear diary"), "not a database; name a copy that `backup` has written"),
        (lambda path: path.write_bytes(b""), "not a database; name a copy that `backup` has written"),
        (lambda path: path.write_bytes(gzip.compress(b"Dear diary")), "not a database; name a copy that `backup` has"),
        (lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4096), "; take another copy"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "; take another copy"),
        (lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-100]), "cannot be restored"),
        (
            lambda path: rows(path, "INSERT INTO schema_migrations VALUES (99, 'later', '', '', 0)"),
            "the database is newer than this code",
        ),
        (
            lambda path: rows(path, "UPDATE comments SET article_id = 99999 WHERE id = 1"),
            "row 1 of comments without its row in articles",
        ),
        (lambda path: rows(path, "DROP TABLE schema_migrations"), "nothing says which schema scripts it has"),
        (lambda path: rows(path, "ALTER TABLE schema_migrations RENAME version TO v"), "; take another copy"),
    ],
)
def test_an_unusable_copy_replaces_nothing_and_the_advice_is_about_the_copy(grown, tmp_path, spoil, problem):  # noqa: F811
    copy = tmp_path / "junk.db"
    grown.says("backup", str(copy))
    spoil(copy)
    before = grown.database.read_bytes()

    error = grown.error("restore", str(copy))

    assert error.startswith(f"{copy}: ")
    assert problem in error
    assert "ROWBOAT_DATABASE" not in error
    assert "partial" not in error
    assert grown.database.read_bytes() == before
    assert names(grown.database.parent) <= BESIDE


@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
def test_a_database_is_not_restored_from_itself(grown, tmp_path, make):  # noqa: F811
    assert "this is the database itself" in grown.error("restore", str(grown.database))
    getattr(tmp_path / "other.db", make)(grown.database)
    assert "this is the database itself" in grown.error("restore", str(tmp_path / "other.db"))


def test_a_pipe_is_not_restored(grown, tmp_path):  # noqa: F811
    os.mkfifo(tmp_path / "pipe")

    assert "not a regular file" in grown.error("restore", str(tmp_path / "pipe"))
