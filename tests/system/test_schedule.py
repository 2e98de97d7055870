"""Backups that a server makes by itself. tests/test_schedule.py tests when."""

import gzip
import json
import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.system.test_server import needs_proc, serving, until, workers_of
from tests.system.test_stopping import reload


def backups_of(server):
    """The process ids of the backups that a server runs."""
    return [pid for pid in workers_of(server) if b"\0backup\0" in command_line(pid)]


def command_line(pid):
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_failed_backup_is_logged_with_its_reason_and_a_reload_starts_one_that_can_be_restored(tmp_path, fork):
    in_the_way, file = tmp_path / "data/backups", tmp_path / "rowboat.conf"
    in_the_way.parent.mkdir()
    in_the_way.write_text("mine")
    file.write_text("ROWBOAT_BACKUP_EVERY=1d\nROWBOAT_BACKUP_KEEP=1\n")
    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server:
        until(lambda: "tried again" in server.log.read_text())
        reason, event = (
            line for line in server.log.read_text().splitlines() if "backup" in line and not line.startswith("Rowboat")
        )
        assert reason == f"rowboat: {in_the_way}: File exists; copies need a folder that can be written"
        assert json.loads(event)["level"] == "error"
        assert json.loads(event)["message"] == "the backup failed: it ended with 2; it is tried again in 10 minutes"
        assert server.ask("GET", "/api/tags")[0] == 200
        assert in_the_way.read_text() == "mine"

        in_the_way.unlink()
        in_the_way.mkdir()
        older = in_the_way / "rowboat.2026-01-01T000000Z.db.gz"
        older.touch()
        os.utime(older, (0, 0))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "deleted" in server.log.read_text())
        server.stop()

    (copy,) = in_the_way.iterdir()
    assert gzip.decompress(copy.read_bytes())[:15] == b"SQLite format 3"
    restored = str(tmp_path / "restored.db")
    fork.says("restore", str(copy), "--database", restored)
    assert fork.says("check", "--database", restored)[-1] == f"{restored} is as it should be"


@pytest.fixture
def large(fork):
    """A database of 60 MB, so that something can happen while it is copied, and the folder of its copies."""
    fork.migrate()
    with closing(sqlite3.connect(fork.database)) as connection, connection:
        connection.execute("CREATE TABLE ballast (content BLOB)")
        connection.execute(
            "INSERT INTO ballast WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted"
            " WHERE n < 15000) SELECT randomblob(4000) FROM counted"
        )
    return fork.database.parent / "backups"


def halt_backup(server, folder):
    """Halt the backup that a server runs once it writes to its copy; its process id."""
    until(lambda: [*folder.glob("*.partial/copy.db")])
    (pid,) = backups_of(server)
    os.kill(pid, signal.SIGSTOP)
    return pid


@needs_proc
def test_a_backup_yields_to_requests_lets_workers_be_replaced_and_is_interrupted_when_the_server_stops(tmp_path, large):
    with serving(tmp_path, "--workers", "2", ROWBOAT_BACKUP_EVERY="1m") as server:
        backup = halt_backup(server, large)
        before = {*workers_of(server)} - {backup}
        reload(server, "Rowboat reloaded")
        after = {*workers_of(server)} - {backup}
        os.kill(min(after), signal.SIGKILL)
        until(lambda: len({*workers_of(server)} - {backup, min(after)}) == 2)

        own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
        assert os.getpriority(os.PRIO_PROCESS, backup) == min(own + 10, 19)
        assert os.sched_getaffinity(backup) == os.sched_getaffinity(server.process.pid)
        assert not before & after
        assert server.token("ann")
        assert backups_of(server) == [backup]

        server.process.send_signal(signal.SIGTERM)
        until(lambda: workers_of(server) == [backup])
        os.kill(backup, signal.SIGCONT)
        assert server.process.wait(60) == 0
    assert list(large.iterdir()) == []
    assert not server.database.with_name("rowboat.db-wal").exists()
    assert not any(word in server.log.read_text() for word in ("Traceback", "took too long"))


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
