"""Backups that a server makes by itself. tests/test_schedule.py has when it does."""

import gzip
import json
import os
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.system.test_server import needs_proc, serving, until, workers_of
from tests.system.test_stopping import reload


def copies(folder):
    """The names of the complete copies beside the database of a test's server."""
    names = (path.name for path in (folder / "data/backups").glob("rowboat.*Z.db*"))
    return sorted(name for name in names if name.endswith((".db", ".gz")))


def backups_of(server):
    """The process ids of the backups that a server runs."""
    return [pid for pid in workers_of(server) if b"\0backup\0" in command_line(pid)]


def command_line(pid):
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def size_of(path):
    with suppress(FileNotFoundError):  # it was renamed meanwhile
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


def halt_backup(server, folder, file="copy.db", size=0):
    """Halt the backup that a server runs as soon as it has written that much, and return its process id."""
    until(lambda: any(size_of(path) > size for path in folder.glob(f"*.partial/{file}")))
    (pid,) = backups_of(server)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_server_backs_up_at_once_and_the_copy_can_be_restored(tmp_path, fork):
    older = tmp_path / "data/backups/rowboat.2026-01-01T000000Z.db.gz"
    older.parent.mkdir(parents=True)
    older.touch()
    os.utime(older, (0, 0))
    with serving(tmp_path, "--workers", "2", ROWBOAT_BACKUP_EVERY="1m", ROWBOAT_BACKUP_KEEP="1") as server:
        until(lambda: "deleted" in server.log.read_text())
        (copy,) = copies(tmp_path)
        server.stop()

    assert copy.endswith("Z.db.gz")
    assert copy > older.name
    assert gzip.decompress((tmp_path / "data/backups" / copy).read_bytes())[:15] == b"SQLite format 3"
    elsewhere = str(tmp_path / "elsewhere.db")
    fork.says("restore", str(tmp_path / "data/backups" / copy), "--database", elsewhere)
    assert fork.says("check", "--database", elsewhere)[-1] == f"{elsewhere} is as it should be"
    assert copies(tmp_path) == [copy]


def test_the_next_backup_is_made_when_it_is_due(tmp_path):
    older = tmp_path / "data/backups/rowboat.2026-01-01T000000Z.db.gz"
    older.parent.mkdir(parents=True)
    older.touch()
    os.utime(older, (time.time() - 57,) * 2)

    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1m"):
        until(lambda: len(copies(tmp_path)) == 2)

    first, second = ((tmp_path / "data/backups" / name).stat().st_mtime for name in copies(tmp_path))
    assert second - first >= 60


def test_a_failed_backup_is_logged_with_its_reason_and_a_reload_starts_it_again(tmp_path):
    (tmp_path / "data").mkdir()
    in_the_way, file = tmp_path / "data/backups", tmp_path / "rowboat.conf"
    in_the_way.write_text("mine")
    file.write_text("")
    with serving(tmp_path, "--workers", "1", ROWBOAT_SETTINGS=str(file)) as server:
        assert backups_of(server) == []
        file.write_text("ROWBOAT_BACKUP_EVERY=1d\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "tried again" in server.log.read_text())
        reason, event = (line for line in server.log.read_text().splitlines() if "backup" in line)
        assert reason == f"rowboat: {in_the_way}: File exists; copies need a folder that can be written"
        assert json.loads(event)["level"] == "error"
        assert json.loads(event)["message"] == "the backup failed: it ended with 2; it is tried again in 10 minutes"
        assert server.ask("GET", "/api/tags")[0] == 200
        assert in_the_way.read_text() == "mine"

        in_the_way.unlink()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: copies(tmp_path))
        server.stop()


# While a backup runs


@needs_proc
@pytest.mark.parametrize(("file", "size"), [("copy.db", 0), ("copy.db", 60_000_000), ("copy.db.gz", 1_000_000)])
def test_a_server_that_stops_interrupts_its_backup_and_leaves_nothing_of_it(tmp_path, large, file, size):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h") as server:
        backup = halt_backup(server, large, file, size)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: workers_of(server) == [backup])
        os.kill(backup, signal.SIGCONT)

        assert server.process.wait(60) == 0
    assert list(large.iterdir()) == []
    assert not server.database.with_name("rowboat.db-wal").exists()
    assert "Traceback" not in server.log.read_text()
    assert "killed" not in server.log.read_text()


@needs_proc
def test_a_worker_and_a_backup_that_do_not_end_are_killed_after_the_time_in_the_settings(tmp_path, large):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_DRAIN_S=3600\n")
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="1h", ROWBOAT_SETTINGS=str(file)) as server:
        backup = halt_backup(server, large)
        file.write_text("ROWBOAT_DRAIN_S=0\n")
        reload(server, "Rowboat reloaded")
        (worker,) = {*workers_of(server)} - {backup}
        os.kill(worker, signal.SIGSTOP)

        server.stop()
    for pid in worker, backup:
        assert f"process {pid} took too long to end, and was killed" in server.log.read_text()


@needs_proc
def test_during_a_backup_requests_come_first_workers_are_replaced_and_no_other_backup_starts(tmp_path, large):
    with serving(tmp_path, "--workers", "2", ROWBOAT_BACKUP_EVERY="1m") as server:
        backup = halt_backup(server, large)
        before = {*workers_of(server)} - {backup}
        token = server.token("ann")

        reload(server, "Rowboat reloaded")
        after = {*workers_of(server)} - {backup}
        os.kill(min(after), signal.SIGKILL)
        until(lambda: len({*workers_of(server)} - {backup, min(after)}) == 2)

        own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
        assert os.getpriority(os.PRIO_PROCESS, backup) == min(own + 10, 19)
        assert os.sched_getaffinity(backup) == os.sched_getaffinity(server.process.pid)
        assert len(after) == 2
        assert not before & after
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        assert server.ask("PUT", "/api/user", {"user": {"bio": "Rows"}}, authorization=f"Token {token}")[0] == 200
        assert backups_of(server) == [backup]
        os.kill(backup, signal.SIGCONT)
        until(lambda: not backups_of(server))
        assert len(copies(tmp_path)) == 1
        server.stop()


@needs_proc
def test_a_killed_backup_is_logged_and_the_server_goes_on(tmp_path, large):
    with serving(tmp_path, "--workers", "1", ROWBOAT_BACKUP_EVERY="2m") as server:
        os.kill(halt_backup(server, large), signal.SIGKILL)

        until(lambda: "the backup failed: it ended with -9; it is tried again in 2 min" in server.log.read_text())
        assert server.ask("GET", "/api/tags")[0] == 200
        server.stop()
