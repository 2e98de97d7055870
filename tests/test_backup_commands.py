"""Backup, restore and check, as somebody types them who keeps a server running."""

import fcntl
import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from db import Database
from tests.commands import error_of, screen
from tests.test_server import serving


@pytest.fixture
def grown(fork):
    """A fork whose database has people and articles."""
    fork.says("migrate")
    process = fork.start("seed", "--users", "12", "--articles", "40")
    process.communicate(timeout=60)
    return fork


def rows(path, sql):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def copies(fork):
    return sorted(path.name for path in (fork.database.parent / "backups").glob("*Z.db*"))


# backup


def test_a_backup_is_named_by_its_time_and_stands_beside_the_database(grown):
    (written,) = grown.says("backup")

    (name,) = copies(grown)
    assert written == str(grown.database.parent / "backups" / name)
    assert datetime.now() - datetime.strptime(name, "rowboat.%Y-%m-%dT%H%M%SZ.db") < timedelta(days=1)
    assert rows(written, "SELECT count(*) FROM articles") == [(40,)]
    assert rows(written, "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_may_be_given_a_file_or_a_folder(grown, tmp_path):
    (tmp_path / "vault").mkdir()

    assert grown.says("backup", str(tmp_path / "mine.db")) == [str(tmp_path / "mine.db")]
    (written,) = grown.says("backup", str(tmp_path / "vault"), "--gzip")

    assert rows(tmp_path / "mine.db", "SELECT count(*) FROM users") == [(12,)]
    assert written.startswith(str(tmp_path / "vault" / "rowboat.20"))
    assert gzip.decompress(Path(written).read_bytes())[:15] == b"SQLite format 3"


def test_of_older_backups_as_many_are_kept_as_one_says_and_nothing_else_is_touched(grown):
    folder = grown.database.parent / "backups"
    folder.mkdir()
    for name in ("2026-01-01T000000Z.db", "2026-01-02T000000Z.db.gz", "2026-01-03T000000Z.db"):
        (folder / f"rowboat.{name}").touch()
    for name in ("rowboat.before-0003.db", "other.2026-01-01T000000Z.db", "rowboat.2026-01-01T000000Z.db.txt"):
        (folder / name).touch()

    written, *deleted = grown.says("backup", "--keep", "2")

    assert deleted == [
        f"deleted {folder}/rowboat.2026-01-01T000000Z.db",
        f"deleted {folder}/rowboat.2026-01-02T000000Z.db.gz",
    ]
    assert {path.name for path in folder.iterdir()} == {
        "rowboat.2026-01-03T000000Z.db",
        written.rpartition("/")[2],
        "rowboat.before-0003.db",
        "other.2026-01-01T000000Z.db",
        "rowboat.2026-01-01T000000Z.db.txt",
    }


def test_what_a_killed_backup_left_half_done_is_deleted_after_a_day(grown):
    folder = grown.database.parent / "backups"
    folder.mkdir()
    for end in ("packed", "partial", "partial-journal"):
        for name, age in (
            ("rowboat.2026-01-01T000000Z", 25),
            ("rowboat.2026-01-02T000000Z", 23),
            ("other.2026-01-01", 25),
        ):
            (folder / f"{name}.db.gz.{end}").touch()
            os.utime(folder / f"{name}.db.gz.{end}", (time.time() - age * 60 * 60,) * 2)

    written, *deleted = grown.says("backup", "--keep", "1")

    assert deleted == [
        f"deleted {folder}/rowboat.2026-01-01T000000Z.db.gz.{end}" for end in ("packed", "partial", "partial-journal")
    ]
    assert {path.name for path in folder.iterdir()} == {
        Path(written).name,
        *(
            f"{name}.db.gz.{end}"
            for name in ("rowboat.2026-01-02T000000Z", "other.2026-01-01")
            for end in ("packed", "partial", "partial-journal")
        ),
    }


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_backup_that_is_told_to_end_leaves_nothing_behind(grown, signum):
    rows(
        grown.database,
        "CREATE TABLE ballast AS WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted"
        " WHERE n < 10000) SELECT randomblob(4000) FROM counted",
    )
    folder = grown.database.parent / "backups"
    process = grown.start("backup", "--gzip")
    while not any(path.stat().st_size for path in folder.glob("*.partial")):
        assert process.poll() is None

    process.send_signal(signum)

    assert re.fullmatch(rf"{folder}/rowboat\..+Z\.db\.gz: the copy failed: interrupted", error_of(process))
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_left_alone(grown):
    (grown.database.parent / "backups").write_text("mine")

    assert grown.error("backup") == (
        f"{grown.database.parent}/backups: File exists; copies need a folder that can be written"
    )
    assert (grown.database.parent / "backups").read_text() == "mine"


def test_without_a_database_there_is_nothing_to_back_up(fork):
    assert fork.error("backup") == f"{fork.database}: there is no such database"
    assert not fork.database.exists()


def test_to_keep_some_takes_a_folder(grown, tmp_path):
    assert grown.error("backup", str(tmp_path / "mine.db"), "--keep", "2") == (
        f"--keep 2: {tmp_path}/mine.db is no folder; name one, whose older copies are then deleted"
    )


def test_a_damaged_database_is_not_copied_over_a_good_copy(grown, tmp_path):
    grown.says("backup", str(tmp_path / "good.db"))
    good = (tmp_path / "good.db").read_bytes()
    damage(grown.database)

    assert "the copy is damaged" in grown.error("backup", str(tmp_path / "good.db"))
    assert (tmp_path / "good.db").read_bytes() == good


def test_on_a_terminal_a_bar_shows_how_far_it_is(grown):
    output, written = grown.on_a_terminal("backup", "--gzip")

    assert output.rstrip().endswith("Z.db.gz")
    assert "[########################################] 100%" in written
    assert screen(written) == []


def damage(path):
    """Overwrite a page that holds articles."""
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    ((page,),) = rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'comments'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


# restore


@pytest.mark.parametrize("packed", [[], ["--gzip"]])
def test_the_restore_drill(grown, tmp_path, packed):
    copy = tmp_path / "copy"
    grown.says("backup", str(copy), *packed)
    rows(grown.database, "DELETE FROM articles")

    (line,) = grown.says("restore", str(copy))

    (aside,) = grown.database.parent.glob("rowboat.replaced-*Z.db")
    assert line == f"{grown.database} is {copy} now; what it was is {aside}"
    assert rows(grown.database, "SELECT count(*) FROM articles") == [(40,)]
    assert rows(aside, "SELECT count(*) FROM articles") == [(0,)]
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"
    assert {path.name for path in grown.database.parent.iterdir()} <= {
        aside.name,
        *(f"{aside.name}{end}" for end in ("-wal", "-shm")),
        *(f"rowboat.db{end}" for end in ("", "-wal", "-shm", ".lock", ".in-use")),
    }


def test_what_stands_in_the_wal_of_the_replaced_database_is_kept_with_it(grown, tmp_path):
    grown.says("backup", str(tmp_path / "copy.db"))
    wal = grown.database.with_name("rowboat.db-wal")
    with closing(sqlite3.connect(grown.database)) as writer:
        writer.execute("UPDATE users SET bio = 'Rows at dawn'")
        writer.commit()
        kept = wal.read_bytes()  # as a crash would leave it
        shutil.copy(grown.database, tmp_path / "crashed.db")
    shutil.copy(tmp_path / "crashed.db", grown.database)
    wal.write_bytes(kept)

    grown.says("restore", str(tmp_path / "copy.db"))

    (aside,) = grown.database.parent.glob("rowboat.replaced-*Z.db")
    assert rows(aside, "SELECT DISTINCT bio FROM users") == [("Rows at dawn",)]
    assert ("Rows at dawn",) not in rows(grown.database, "SELECT bio FROM users")


def test_where_there_is_no_database_a_copy_becomes_one(grown, tmp_path):
    grown.says("backup", str(tmp_path / "copy.db"))
    elsewhere = tmp_path / "new" / "place.db"

    assert grown.says("restore", str(tmp_path / "copy.db"), "--database", str(elsewhere)) == [
        f"{elsewhere} is {tmp_path}/copy.db now"
    ]
    assert rows(elsewhere, "SELECT count(*) FROM users") == [(12,)]


def test_an_older_copy_is_migrated(grown, tmp_path):
    grown.says("rollback", "--to", "9")
    grown.says("backup", str(tmp_path / "old.db"))
    grown.says("migrate")

    lines = grown.says("restore", str(tmp_path / "old.db"))

    assert lines[0].startswith("applied 0010 throttling")
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"


def test_while_a_server_runs_nothing_is_restored(tmp_path, fork):
    with serving(tmp_path) as server:
        server.token("ann")
        fork.database = server.database
        fork.says("backup", str(tmp_path / "copy.db"))

        assert fork.error("restore", str(tmp_path / "copy.db"), ROWBOAT_DATABASE=str(server.database)) == (
            f"{server.database}: a server or a command has it open; stop that first"
        )
        assert server.ask("GET", "/api/profiles/ann")[0] == 200


def test_a_database_that_is_gone_is_not_made_anew_while_its_wal_is_there(grown, tmp_path):
    grown.says("backup", str(tmp_path / "copy.db"))
    wal = grown.database.with_name("rowboat.db-wal")
    with closing(sqlite3.connect(grown.database)) as writer:
        writer.execute("UPDATE users SET bio = 'Rows at dawn'")
        writer.commit()
        frames = wal.read_bytes()
    grown.database.unlink()
    wal.write_bytes(frames)

    assert grown.error("migrate") == (
        f"{grown.database}: it is gone, and rowboat.db-wal is still there, with what was written last; put it back, or "
        "move that file away, too"
    )
    assert wal.read_bytes() == frames
    grown.says("restore", str(tmp_path / "copy.db"))

    assert ("Rows at dawn",) not in rows(grown.database, "SELECT bio FROM users")
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: damage(path), "the copy is damaged"),
        (lambda path: path.write_text("Dear diary"), "file is not a database"),
        (lambda path: path.write_bytes(b""), "nothing says which schema scripts it has"),
        (lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-100]), "cannot be restored"),
        (
            lambda path: rows(path, "INSERT INTO schema_migrations VALUES (99, 'later', '', '', 0)"),
            "the database is newer than this code",
        ),
        (
            lambda path: rows(path, "UPDATE comments SET article_id = 99999 WHERE id = 1"),
            "row 1 of comments without its row in articles",
        ),
    ],
)
def test_a_copy_that_is_no_good_replaces_nothing(grown, tmp_path, spoil, problem):
    grown.says("backup", str(tmp_path / "copy.db"))
    spoil(tmp_path / "copy.db")
    before = rows(grown.database, "SELECT * FROM articles")

    error = grown.error("restore", str(tmp_path / "copy.db"))

    assert problem in error
    assert "restoring" not in error
    assert rows(grown.database, "SELECT * FROM articles") == before
    assert not list(grown.database.parent.glob("*replaced*")) + list(grown.database.parent.glob("*restoring*"))


# check


def test_a_database_that_is_as_it_should_be_says_so(grown):
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"


def test_sqlite_below_3_51_3_is_told_with_the_reason(grown):
    lines = grown.says("check")

    if sqlite3.sqlite_version_info < (3, 51, 3):
        assert lines[0].startswith(f"SQLite is {sqlite3.sqlite_version}: below 3.51.3, two connections that checkpoint")
    else:
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        ("UPDATE totals SET total = 7", "counters: totals.total of articles is 7, and should be 40"),
        (
            "UPDATE tags SET articles_count = 99 WHERE id = 1",
            "counters: tags.articles_count of 1 is 99, and should be ",
        ),
        ("UPDATE users SET articles_count = 99 WHERE id = 2", "counters: users.articles_count of 2 is 99, and should"),
        (
            "UPDATE users SET favorites_count = 99 WHERE id = 2",
            "counters: users.favorites_count of 2 is 99, and should",
        ),
        ("UPDATE articles SET favorites_count = 99 WHERE id = 3", "counters: articles.favorites_count of 3 is 99, and"),
        ("INSERT INTO article_search (article_search) VALUES ('delete-all')", "search: article_search: "),
    ],
)
def test_what_counts_wrong_is_named_and_can_be_repaired(grown, harm, line):
    rows(grown.database, harm)

    assert grown.says("check", status=1)[-1].startswith(line)
    assert grown.says("check", "--repair")[-1] == f"{grown.database} is as it should be"
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"


def test_drift_of_the_schema_is_named(grown):
    rows(grown.database, "DROP INDEX comments_author_id_idx")

    assert grown.says("check", status=1)[-1] == "schema: index comments_author_id_idx: missing"


def test_a_row_without_its_parent_is_named(grown):
    rows(grown.database, "UPDATE comments SET article_id = 99999 WHERE id = 1")

    assert grown.says("check", status=1)[-1] == "foreign keys: row 1 of comments without its row in articles"


def test_damage_is_named(grown):
    damage(grown.database)

    assert grown.says("check", status=1)[-1].startswith("integrity: ")


# Under load


@pytest.mark.slow
def test_a_backup_that_is_taken_while_sixteen_write_restores_to_a_database_that_is_as_it_should_be(tmp_path, fork):
    stop = threading.Event()
    acknowledged = []

    def write(server, number):
        token = server.token(f"user{number}")
        while not stop.is_set():
            body = json.dumps({"article": {"title": "Dawn", "description": "About it", "body": "The text"}}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.port}/api/articles",
                body,
                {"Content-Type": "application/json", "Authorization": f"Token {token}"},
            )
            with urllib.request.urlopen(request) as answer:
                acknowledged.append(json.load(answer)["article"]["slug"])

    with serving(tmp_path, ROWBOAT_POSTS_PER_HOUR="1000000") as server, ThreadPoolExecutor(16) as crowd:
        writers = [crowd.submit(write, server, number) for number in range(16)]
        here = {"ROWBOAT_DATABASE": str(server.database)}
        for number in range(5):
            before = set(acknowledged)
            fork.says("backup", str(tmp_path / f"{number}.db"), *["--gzip"] * (number % 2), **here)
            fork.says("restore", str(tmp_path / f"{number}.db"), "--database", str(tmp_path / f"{number}/copy.db"))
            slugs = {slug for (slug,) in rows(tmp_path / f"{number}/copy.db", "SELECT slug FROM slugs")}
            assert before <= slugs  # what was acknowledged before the backup began is in it
            assert fork.says("check", "--database", str(tmp_path / f"{number}/copy.db"))[-1].endswith("as it should be")
        stop.set()
        for writer in writers:
            writer.result()
    assert len(acknowledged) > 100


def test_of_two_backups_to_one_file_the_second_is_refused(fork, tmp_path):
    fork.says("migrate")
    with (tmp_path / "copy.db.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert fork.error("backup", str(tmp_path / "copy.db")) == (
            f"{tmp_path}/copy.db: another backup writes there; wait for its end"
        )

    fork.says("backup", str(tmp_path / "copy.db"))


def test_a_copy_is_written_to_a_folder_that_is_there(fork, tmp_path):
    fork.says("migrate")

    assert "No such file or directory" in fork.error("backup", str(tmp_path / "nowhere/copy.db"))


def test_what_a_restore_put_aside_can_be_put_back_with_what_stood_in_its_wal(fork, tmp_path):
    fork.says("migrate")
    fork.says("backup", str(tmp_path / "empty.db"))
    fork.start("user", "create", "ann", "ann@example.org", typed="correct horse").wait(30)
    with closing(sqlite3.connect(fork.database)) as connection:
        connection.execute("UPDATE users SET bio = 'Rows'")
        connection.commit()
        killed = tmp_path / "killed.db"
        for suffix in "", "-wal":  # as it stands while it is open
            shutil.copy(f"{fork.database}{suffix}", f"{killed}{suffix}")
    assert Path(f"{killed}-wal").stat().st_size

    fork.says("restore", str(killed))

    with closing(sqlite3.connect(fork.database)) as connection:
        assert connection.execute("SELECT username, bio FROM users").fetchall() == [("ann", "Rows")]


def test_a_schema_is_not_rolled_back_under_a_server(fork):
    fork.says("migrate")
    with closing(Database(fork.database, fork.home / "sql")):
        assert "a server or a command has it open; stop that first" in fork.error("rollback")

    assert fork.says("rollback") != []
