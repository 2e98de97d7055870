"""Backups that a server makes by itself."""

import gzip
import json
import os
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.test_server import needs_proc, serving, workers_of
from tests.test_stopping import reload, stop, wait_until

MINUTE, HOUR = 60, 60 * 60


def copies(folder):
    """The names of the complete copies that stand beside the database of a test's server."""
    names = (path.name for path in (folder / "data/backups").glob("rowboat.*Z.db*"))
    return sorted(name for name in names if name.endswith((".db", ".gz")))


def lay(folder, name, age):
    """Lay a file beside the database that looks like a copy of so many seconds ago."""
    (folder / "data/backups").mkdir(parents=True, exist_ok=True)
    copy = folder / "data/backups" / name
    copy.write_text("an older one")
    os.utime(copy, (time.time() - age,) * 2)


def backups_of(server):
    """The process ids of the backups that a server runs."""
    return [pid for pid in workers_of(server) if b"\0backup\0" in command_line(pid)]


def command_line(pid):
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def size_of(path):
    with suppress(FileNotFoundError):  # it has got its name meanwhile
        return path.stat().st_size
    return 0


@pytest.fixture
def large(fork):
    """A database of 60 MB, so that something can happen while it is copied, and the folder of its copies."""
    fork.says("migrate")
    with closing(sqlite3.connect(fork.database)) as connection, connection:
        connection.execute("CREATE TABLE ballast (content BLOB)")
        connection.execute(
            "INSERT INTO ballast WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted"
            " WHERE n < 15000) SELECT randomblob(4000) FROM counted"
        )
    return fork.database.parent / "backups"


def halt_backup(server, folder, end=".partial", size=0):
    """Halt the backup that a server runs as soon as it has written that much; its process id."""
    wait_until(lambda: any(size_of(path) > size for path in folder.glob(f"*{end}")))
    (pid,) = backups_of(server)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_server_without_a_copy_makes_one_at_once_which_restores_to_a_sound_database(tmp_path, fork):
    with serving(tmp_path, "--workers", "2", ROWBOAT_BACKUP_EVERY="1m") as server:
        server.token("ann")
        wait_until(lambda: copies(tmp_path))
        (copy,) = copies(tmp_path)
        assert stop(server) == 0

    assert copy.endswith("Z.db.gz")
    assert gzip.decompress((tmp_path / "data/backups" / copy).read_bytes())[:15] == b"SQLite format 3"
    elsewhere = str(tmp_path / "elsewhere.db")
    fork.says("restore", str(tmp_path / "data/backups" / copy), "--database", elsewhere)
    assert fork.says("check", "--database", elsewhere)[-1] == f"{elsewhere} is as it should be"
    assert copies(tmp_path) == [copy]


def test_none_is_made_unless_it_is_asked_for_and_while_the_newest_copy_is_young(tmp_path):
    with serving(tmp_path, "--workers", "1") as server:
        time.sleep(1)
        assert stop(server) == 0
    assert not (tmp_path / "data/backups").exists()

    lay(tmp_path, "rowboat.2026-01-01T000000Z.db", 3 * HOUR)
    lay(tmp_path, "rowboat.2026-01-02T000000Z.db.gz", HOUR)
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="2h", ROWBOAT_BACKUP_KEEP="1") as server:
        reload(server, "Rowboat reloaded")  # which is no reason for one either
        time.sleep(1)
        assert stop(server) == 0
    assert copies(tmp_path) == ["rowboat.2026-01-01T000000Z.db", "rowboat.2026-01-02T000000Z.db.gz"]


def test_when_the_newest_copy_is_too_old_another_is_made_and_as_many_are_kept_as_the_setting_says(tmp_path):
    for day in range(1, 5):
        lay(tmp_path, f"rowboat.2026-01-0{day}T000000Z.db.gz", 2 * HOUR)
    lay(tmp_path, "rowboat.2999-01-01T000000Z.db.gz.partial", 0)  # is no copy
    lay(tmp_path, "rowboat.before-0003.db", 0)
    lay(tmp_path, "other.2026-01-01T000000Z.db.gz", 0)

    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h", ROWBOAT_BACKUP_KEEP="2") as server:
        wait_until(lambda: server.log.read_text().count("deleted") == 3)
        assert stop(server) == 0

    kept, new = copies(tmp_path)
    assert kept == "rowboat.2026-01-04T000000Z.db.gz"
    assert new > kept
    assert {path.name for path in (tmp_path / "data/backups").iterdir()} - {kept, new} == {
        *("rowboat.2999-01-01T000000Z.db.gz.partial", "rowboat.before-0003.db", "other.2026-01-01T000000Z.db.gz")
    }


def test_a_copy_from_the_future_does_not_keep_others_from_being_made(tmp_path):
    lay(tmp_path, "rowboat.2999-01-01T000000Z.db.gz", -1000 * HOUR)

    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h") as server:
        wait_until(lambda: len(copies(tmp_path)) == 2)
        assert stop(server) == 0


def test_the_next_one_is_made_when_its_time_has_come(tmp_path):
    lay(tmp_path, "rowboat.2026-01-01T000000Z.db.gz", MINUTE - 6)

    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1m"):
        wait_until(lambda: len(copies(tmp_path)) == 2)

    first, second = ((tmp_path / "data/backups" / name).stat().st_mtime for name in copies(tmp_path))
    assert second - first >= MINUTE


@pytest.mark.slow(seconds=60)
def test_one_comes_after_the_other(tmp_path):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1m", ROWBOAT_BACKUP_KEEP="1") as server:
        wait_until(lambda: copies(tmp_path))
        first = copies(tmp_path)
        wait_until(lambda: copies(tmp_path) != first, 100)
        wait_until(lambda: len(copies(tmp_path)) == 1)
        assert copies(tmp_path) > first
        assert stop(server) == 0


def test_sighup_turns_it_on(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("")
    with serving(tmp_path, "--workers", "1", ROWBOAT_SETTINGS=str(file)) as server:
        file.write_text("ROWBOAT_BACKUP_EVERY=1d\n")
        server.process.send_signal(signal.SIGHUP)

        wait_until(lambda: copies(tmp_path))
        assert stop(server) == 0


# While one is made


@needs_proc
@pytest.mark.parametrize(("end", "size"), [(".partial", 0), (".partial", 60_000_000), (".packed", 1_000_000)])
def test_who_is_told_to_stop_gives_up_a_backup_and_leaves_nothing_of_it(tmp_path, large, end, size):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h") as server:
        backup = halt_backup(server, large, end, size)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: workers_of(server) == [backup])
        os.kill(backup, signal.SIGCONT)

        assert server.process.wait(30) == 0
    assert list(large.iterdir()) == []
    assert not server.database.with_name("rowboat.db-wal").exists()
    assert "Traceback" not in server.log.read_text()
    assert "killed" not in server.log.read_text()


@needs_proc
def test_a_backup_that_does_not_end_is_killed(tmp_path, large):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h", ROWBOAT_DRAIN_S="0") as server:
        backup = halt_backup(server, large)

        assert stop(server) == 0
    assert f"process {backup} took too long to end, and was killed" in server.log.read_text()


@needs_proc
def test_while_one_is_made_clients_are_served_workers_replaced_and_no_other_one_is_begun(tmp_path, large):
    with serving(tmp_path, "--workers", "2", ROWBOAT_BACKUP_EVERY="1m") as server:
        backup = halt_backup(server, large)
        before = {*workers_of(server)} - {backup}
        token = server.token("ann")

        reload(server, "Rowboat reloaded")
        wait_until(lambda: len(workers_of(server)) == 3)
        after = {*workers_of(server)} - {backup}
        os.kill(min(after), signal.SIGKILL)
        wait_until(lambda: len({*workers_of(server)} - {backup, min(after)}) == 2)

        assert not before & after
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        assert server.ask("PUT", "/api/user", {"user": {"bio": "Rows"}}, authorization=f"Token {token}")[0] == 200
        assert backups_of(server) == [backup]
        os.kill(backup, signal.SIGCONT)
        wait_until(lambda: copies(tmp_path))
        wait_until(lambda: not backups_of(server))
        assert len(copies(tmp_path)) == 1
        assert stop(server) == 0


@needs_proc
def test_requests_come_first(tmp_path, large):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h") as server:
        backup = halt_backup(server, large)

        assert os.getpriority(os.PRIO_PROCESS, backup) > os.getpriority(os.PRIO_PROCESS, server.process.pid)
        assert os.sched_getaffinity(backup) == os.sched_getaffinity(server.process.pid)
        os.kill(backup, signal.SIGKILL)  # it is stopped, and would stay


@needs_proc
def test_one_that_is_killed_is_said_to_be_and_the_server_goes_on(tmp_path, large):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="2m") as server:
        os.kill(halt_backup(server, large), signal.SIGKILL)

        wait_until(lambda: "the backup failed: it ended with -9" in server.log.read_text())
        assert "it is tried again in 2 minutes" in server.log.read_text()
        assert server.ask("GET", "/api/tags")[0] == 200
        assert stop(server) == 0


def test_one_that_fails_is_said_with_its_reason_and_made_once_it_can_be(tmp_path):
    (tmp_path / "data").mkdir()
    in_the_way = tmp_path / "data/backups"
    in_the_way.write_text("mine")
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1d") as server:
        wait_until(lambda: "tried again" in server.log.read_text())
        reason, event = (line for line in server.log.read_text().splitlines() if "backup" in line)
        assert reason == f"rowboat: {in_the_way}: File exists; copies need a folder that can be written"
        assert json.loads(event)["level"] == "error"
        assert json.loads(event)["message"] == "the backup failed: it ended with 2; it is tried again in 10 minutes"
        assert server.ask("GET", "/api/tags")[0] == 200
        assert in_the_way.read_text() == "mine"

        in_the_way.unlink()
        server.process.send_signal(signal.SIGHUP)  # so that nobody need wait
        wait_until(lambda: copies(tmp_path))
        assert stop(server) == 0
