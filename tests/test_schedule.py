"""When a server starts a backup. tests/system/test_schedule.py makes some."""

import math
import os
from types import SimpleNamespace

import pytest

import schedule
from config import Config
from schedule import Backups

MINUTE, HOUR = 60, 60 * 60
NOBODY = 2**31 - 1  # no process has this id


@pytest.fixture
def started(monkeypatch):
    """The command lines of the processes that were started, which are only noted."""
    commands = []

    def popen(command, **options):
        assert options["start_new_session"]
        assert options["env"] == {"ROWBOAT_BACKUP_EVERY": "1h"}
        commands.append(command[2:])
        return SimpleNamespace(pid=NOBODY)

    monkeypatch.setattr(schedule.subprocess, "Popen", popen)
    return commands


@pytest.fixture
def copy(tmp_path, clock):
    """Put a copy beside the database that was written so many seconds ago."""

    def put(name, age=0):
        path = tmp_path / "backups" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (clock.seconds() - age,) * 2)

    return put


@pytest.fixture
def ask(tmp_path, clock):
    """Ask the schedule whether a backup is due, by the setting; the seconds until it wants to be asked again."""
    backups = Backups(clock)

    def start_when_due(every=HOUR, **settings):
        config = Config(database=tmp_path / "rowboat.db", backup_every=every, **settings)
        return backups.start_when_due(config, {"ROWBOAT_BACKUP_EVERY": "1h"}) - clock.monotonic()

    start_when_due.backups = backups
    start_when_due.ended = lambda problem, every=HOUR: backups.ended(problem, Config(backup_every=every))
    return start_when_due


def test_without_a_copy_a_backup_starts_at_once_and_no_second_one_beside_it(ask, started, clock):
    assert ask(backup_keep=3) == math.inf
    clock.advance(days=1)
    assert ask() == math.inf

    assert started == [["backup", "--gzip", "--keep", "3"]]


def test_no_backup_starts_unless_the_settings_ask_for_it(ask, started):
    assert ask(every=None) == math.inf

    assert started == []


@pytest.mark.parametrize("newest", ["rowboat.2026-01-31T110000Z.db", "rowboat.2026-01-31T110000Z.db.gz"])
def test_a_backup_starts_when_the_newest_copy_is_old_enough(ask, started, copy, clock, newest):
    copy("rowboat.2026-01-01T000000Z.db", 3 * HOUR)
    copy(newest, HOUR - 6)

    assert ask() == 6
    clock.advance(seconds=5)
    assert ask() == 1
    assert started == []
    clock.advance(seconds=1)
    assert ask() == math.inf
    assert len(started) == 1


@pytest.mark.parametrize(
    "name",
    [
        "rowboat.2999-01-01T000000Z.db.gz.partial",
        "rowboat.2026-01-31T120000Z.db.packed",
        "rowboat.before-0003.db",
        "other.2026-01-01T000000Z.db.gz",
    ],
)
def test_what_is_no_copy_does_not_count(ask, started, copy, name):
    copy(name)

    ask()

    assert len(started) == 1


def test_a_copy_from_the_future_does_not_count(ask, started, copy):
    copy("rowboat.2999-01-01T000000Z.db.gz", -1000 * HOUR)

    ask()

    assert len(started) == 1


def test_the_next_backup_starts_after_the_interval(ask, started, clock):
    ask()
    ask.ended("")

    assert ask() == HOUR
    clock.advance(hours=1)
    ask()
    assert len(started) == 2


def test_changed_settings_count_from_a_reload_on(ask, started, copy):
    copy("rowboat.2026-01-31T110000Z.db", HOUR)
    assert ask(every=2 * HOUR) == HOUR

    ask.backups.look_anew()
    assert ask(every=HOUR) == math.inf
    assert len(started) == 1


@pytest.mark.parametrize(("every", "minutes"), [(2 * MINUTE, 2), (24 * HOUR, 10)])
def test_a_failed_backup_is_logged_and_started_again_soon(ask, started, caplog, every, minutes):
    ask(every)
    ask.ended("it ended with 2", every)

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == f"the backup failed: it ended with 2; it is tried again in {minutes} minutes"
    assert ask(every) == minutes * MINUTE


def test_a_backup_that_cannot_be_started_has_failed(ask, monkeypatch, caplog):
    def popen(*arguments, **options):
        raise OSError("no memory")

    monkeypatch.setattr(schedule.subprocess, "Popen", popen)

    assert ask() == 10 * MINUTE
    assert "the backup failed: no memory; it is tried again in 10 minutes" in caplog.text


@pytest.mark.parametrize(("of_the_server", "of_the_backup"), [(0, 10), (5, 15), (10, 20)])
def test_requests_come_first_whatever_the_priority_of_the_server(
    ask, started, monkeypatch, of_the_server, of_the_backup
):
    changes = []
    monkeypatch.setattr(os, "getpriority", lambda which, pid: of_the_server)
    monkeypatch.setattr(os, "setpriority", lambda *change: changes.append(change))

    ask()

    assert changes == [(os.PRIO_PROCESS, NOBODY, of_the_backup)]
