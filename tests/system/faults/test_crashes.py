"""Killed at any moment: no acknowledged write is lost, and nothing is half there."""

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from clock import SYSTEM_CLOCK
from tests.commands import Commands
from tests.system.commands import Fork
from tests.system.faults.clients import SETTINGS, Crowd, rounds
from tests.system.faults.faults import Faults
from tests.system.test_server import is_alive, needs_proc, serving, until, workers_of

pytestmark = needs_proc


def require_sound(commands: Commands, database: Path) -> None:
    assert commands.says("check", "--database", str(database))[-1] == f"{database} is as it should be"


def victims(number: int, server, chance: random.Random) -> list[int]:
    """The processes to kill: one worker, all workers, the parent, or all of them."""
    workers = workers_of(server)
    return [[chance.choice(workers)], workers, [server.process.pid], [server.process.pid, *workers]][number % 4]


def test_acknowledged_writes_survive_whatever_process_is_killed_under_load(tmp_path, commands):
    crowd = Crowd()
    for number, chance in enumerate(rounds(short=4, share=0.4)):
        with serving(tmp_path, "--workers", "2", TMPDIR=str(tmp_path), **SETTINGS) as server:
            until(lambda server=server: len(workers_of(server)) == 2)
            before = workers_of(server)
            with crowd.writing(server.port, chance):
                until(crowd.has_written(2))
                time.sleep(chance.uniform(0, 0.5))
                killed = victims(number, server, chance)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                if number % 4 < 2:  # the parent lives: others take the places of those who died
                    until(lambda server=server, killed=killed: len({*workers_of(server)} - {*killed}) == 2)
                    until(crowd.has_written(4))  # also those who wait for the new worker
            after = workers_of(server) if number % 4 < 2 else []
        until(lambda pids=(*before, *after): not any(map(is_alive, pids)))
        if number == 2:  # workers that end with their parent leave no metrics behind
            assert [*tmp_path.glob("rowboat-*")] == []
        assert "Traceback" not in server.log.read_text()
        require_sound(commands, server.database)
        crowd.require_stored(server.database)
    print(f"{crowd.acknowledged} writes were acknowledged, {crowd.refused} refused, {crowd.unanswered} not answered")
    assert crowd.unanswered > 0


# Commands


def rows(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def marked(path: Path) -> str:
    """Which database this is: the biography that all users share, and how many articles there are."""
    ((bios, bio, articles),) = rows(
        path, "SELECT count(DISTINCT bio), min(bio), (SELECT count(*) FROM articles) FROM users"
    )
    return f"{bio}, {articles} articles" if bios == 1 else "of all sorts"


def mark(path: Path, bio: str) -> None:
    rows(path, f"UPDATE users SET bio = '{bio}'")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 5 MB."""
    commands = Commands(tmp_path_factory.mktemp("seeded") / "commands", SYSTEM_CLOCK)
    commands.run("seed", "--users", "12", "--articles", "200")
    rows(
        commands.database,
        "UPDATE articles SET body = replace(hex(zeroblob(6000)), '00', 'Row gently. ') WHERE id <= 50",
    )
    commands.says("check", "--repair")  # indexes what was written into the bodies
    mark(commands.database, "Old")
    return commands.database


@pytest.fixture
def grown(seeded: Path, fork: Fork, commands: Commands) -> Fork:
    """A fork with that database, which `commands` use as well."""
    fork.database.parent.mkdir()
    shutil.copy(seeded, fork.database)
    commands.database = fork.database
    return fork


def is_killed(fork: Fork, faults: Faults, at: str, *command: str) -> bool:
    """Run a command that a fault is to kill; whether it did, or came too late."""
    with faults.at_work(at):
        process = fork.start(*command, **faults.settings)
        process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_a_killed_migration_has_changed_all_or_nothing_and_the_next_one_completes_it(seeded, grown, commands, tmp_path):
    newest = len(list(grown.folder.glob("*.down.sql")))
    for each in grown, commands:
        each.add("longer", "UPDATE articles SET body = body || 'Longer.';\nUPDATE users SET bio = 'Longer';\n")
        each.add("reminders", "CREATE TABLE reminders (article_id INTEGER) STRICT;\nUPDATE users SET bio = 'New';\n")
    faults = Faults(tmp_path, grown.database.parent)
    hits = []

    for write in 1, 80, 2000, 6450, 6475, 6482:
        shutil.copy(seeded, grown.database)
        hits.append(is_killed(grown, faults, f"kill {write} *", "migrate"))

        ((version,),) = rows(grown.database, "SELECT max(version) FROM schema_migrations")
        bio = {newest: "Old", newest + 1: "Longer", newest + 2: "New"}[version]
        longer = rows(grown.database, "SELECT count(*) FROM articles WHERE body LIKE '%Longer.'")
        assert marked(grown.database) == f"{bio}, 200 articles"
        assert longer == [(0 if version == newest else 200,)]
        commands.says("migrate")
        assert marked(grown.database) == "New, 200 articles"
        commands.says("check", "--repair", "--database", str(grown.database))  # the script has not indexed the bodies
        require_sound(commands, grown.database)
        assert not list(grown.database.parent.rglob("*.partial*"))
    assert hits[0]


def leave_wal(database: Path) -> None:
    """Write something that is in the WAL alone, as after a crash."""
    wal = database.with_name(database.name + "-wal")
    before = database.read_bytes()
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE users SET bio = 'Old, and the newest of it in the WAL'")
        writer.commit()
        frames = wal.read_bytes()
    database.write_bytes(before)
    wal.write_bytes(frames)


def test_a_killed_restore_leaves_the_old_content_or_the_new(grown, commands, tmp_path):
    database, copy, before = grown.database, tmp_path / "copy.db", tmp_path / "before"
    faults = Faults(tmp_path, database)
    old, new = "Old, and the newest of it in the WAL, 200 articles", "New, 200 articles"
    mark(database, "New")
    commands.says("backup", str(copy))
    mark(database, "Old")
    shutil.copytree(database.parent, before)

    def replaced(at: str) -> bool | None:
        """Restore, and be killed; whether the database is the new one, or None if the fault came too late."""
        shutil.rmtree(database.parent)
        shutil.copytree(before, database.parent)
        leave_wal(database)
        hit = is_killed(grown, faults, at, "restore", str(copy))
        commands.says("migrate")  # as `serve` does
        found = marked(database)
        assert found in (old, new)
        require_sound(commands, database)
        commands.says("restore", str(copy))
        assert marked(database) == new
        assert marked(database.parent / "backups/rowboat.before-restore.1.db") in (old, new)
        left = {path.name for path in database.parent.glob("rowboat.db*")}
        assert left <= {f"rowboat.db{end}" for end in ("", "-wal", "-shm", ".lock", ".in-use")}
        return found == new if hit else None

    assert replaced("rename 1 -") is False  # of the safety copy; the only one
    assert replaced("rename 2 -") is None
    # The last of them is in the checkpoint, after the transaction.
    at_writes = [replaced(f"kill {write} *") for write in (1, 4, 8, 20, 2000, 3000)]
    assert at_writes == sorted(at_writes)
    assert {*at_writes} == {False, True}
