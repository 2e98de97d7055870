"""Killed at any moment: nothing that was acknowledged is lost, and nothing is there by half."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import Fork
from tests.faults.clients import MINUTES, SETTINGS, Crowd, rounds
from tests.faults.faults import Faults
from tests.test_server import is_alive, needs_proc, serving, until, workers_of

pytestmark = [pytest.mark.slow, needs_proc]


def victims(number: int, server, chance: random.Random) -> list[int]:
    """Whom a round kills: one worker, all workers, the parent, or all of them."""
    workers = workers_of(server)
    return [[chance.choice(workers)], workers, [server.process.pid], [server.process.pid, *workers]][number % 4]


def test_whoever_is_killed_under_load_what_was_acknowledged_is_there(tmp_path, fork):
    crowd = Crowd()
    for number, chance in enumerate(rounds(short=200 if MINUTES else 6, share=0.4)):
        with serving(tmp_path, "--workers", "2", **SETTINGS) as server:
            until(lambda server=server: len(workers_of(server)) == 2)
            before = workers_of(server)
            with crowd.writing(server.port, chance):
                until(crowd.has_written(2))
                time.sleep(chance.uniform(0, 1.5))
                killed = victims(number, server, chance)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                if number % 4 < 2:  # the parent lives: others take the places of those who died
                    until(lambda server=server, killed=killed: len({*workers_of(server)} - {*killed}) == 2)
                    until(crowd.has_written(4))  # also those who wait for the new worker
            after = workers_of(server) if number % 4 < 2 else []
        until(lambda pids=(*before, *after): not any(map(is_alive, pids)))
        assert "Traceback" not in server.log.read_text()
        fork.database = server.database
        assert fork.says("check")[-1] == f"{server.database} is as it should be"
        crowd.require_stored(server.database)
    print(f"{crowd.acknowledged} writes were acknowledged, {crowd.refused} refused, {crowd.unanswered} not answered")
    assert crowd.unanswered > 0


# Commands


def rows(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def marked(path: Path) -> str:
    """Which database this is: what everybody has in the biography, unless they differ, and all that they wrote."""
    ((bios, bio, articles),) = rows(
        path, "SELECT count(DISTINCT bio), min(bio), (SELECT count(*) FROM articles) FROM users"
    )
    return f"{bio}, {articles} articles" if bios == 1 else "of all sorts"


def mark(path: Path, bio: str) -> None:
    rows(path, f"UPDATE users SET bio = '{bio}'")


@pytest.fixture
def grown(fork) -> Fork:
    """A fork whose database has 15 MB."""
    process = fork.start("seed", "--users", "12", "--articles", "200")
    assert process.wait(60) == 0
    rows(fork.database, "UPDATE articles SET body = replace(hex(zeroblob(6000)), '00', 'Row gently. ') WHERE id <= 150")
    mark(fork.database, "Old")
    return fork


def at_work(fork: Fork, sign: Path, *command: str) -> "subprocess.Popen[str]":
    """A command that has begun its work, which makes this file; or that has ended already."""
    assert not sign.exists()
    process = fork.start(*command)
    while process.poll() is None and not sign.exists():
        time.sleep(0.001)
    return process


def kill_at_random(fork: Fork, chance: random.Random, seconds: float, sign: Path, *command: str) -> bool:
    """Kill a command at any moment of the seconds that its work takes; whether it was not done by then."""
    process = at_work(fork, sign, *command)
    time.sleep(seconds * chance.random() ** 2)  # rather early: what is done cannot be hit
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def seconds_of(fork: Fork, sign: Path, *command: str) -> float:
    """How long the work of a command takes that nobody kills."""
    process = at_work(fork, sign, *command)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 0
    return time.monotonic() - began


def require_hits(hits: list[bool]) -> None:
    """At least one of the kills came in time."""
    print(f"{sum(hits)} of {len(hits)} were killed at work")
    assert any(hits)


def is_sound(fork: Fork) -> bool:
    return fork.says("check")[-1] == f"{fork.database} is as it should be"


def test_a_migration_that_is_killed_has_changed_all_or_nothing_and_the_next_one_ends_it(grown):
    kept = grown.database.with_name("kept.db")
    shutil.copy(grown.database, kept)
    newest = len(list(grown.folder.glob("*.down.sql")))
    grown.add("longer", "UPDATE articles SET body = body || 'Longer.';\nUPDATE users SET bio = 'Longer';\n")
    grown.add(
        "reminders", "CREATE TABLE reminders (article_id INTEGER NOT NULL) STRICT;\nUPDATE users SET bio = 'New';\n"
    )
    wal = grown.database.with_name("rowboat.db-wal")
    seconds = seconds_of(grown, wal, "migrate")
    seen, hits = set(), []

    for chance in rounds(short=3, share=0.1):
        shutil.copy(kept, grown.database)
        hits.append(kill_at_random(grown, chance, seconds, wal, "migrate"))

        ((version,),) = rows(grown.database, "SELECT max(version) FROM schema_migrations")
        bio = {newest: "Old", newest + 1: "Longer", newest + 2: "New"}[version]
        longer = rows(grown.database, "SELECT count(*) FROM articles WHERE body LIKE '%Longer.'")
        assert marked(grown.database) == f"{bio}, 200 articles"
        assert longer == [(0 if version == newest else 200,)]
        seen.add(version)
        grown.says("migrate")
        assert marked(grown.database) == "New, 200 articles"
        assert is_sound(grown)
        assert not list(grown.database.parent.rglob("*.partial*"))
    print(f"killed at the versions {seen}")
    require_hits(hits)


def test_a_backup_that_is_killed_harms_neither_the_database_nor_the_older_copy(grown, tmp_path):
    copy = tmp_path / "copies" / "copy.db"
    copy.parent.mkdir()
    command = copy.with_name("copy.db.partial"), "backup", str(copy)
    seconds = seconds_of(grown, *command)
    mark(grown.database, "New")
    hits = []

    for chance in rounds(short=3, share=0.1):
        hits.append(kill_at_random(grown, chance, seconds, *command))

        assert marked(copy) in ("Old, 200 articles", "New, 200 articles")
        assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
        assert marked(grown.database) == "New, 200 articles"
        grown.says("backup", str(copy))
        assert marked(copy) == "New, 200 articles"
        assert [path.name for path in copy.parent.iterdir()] == ["copy.db"]
    assert is_sound(grown)
    require_hits(hits)


def leave_wal(database: Path) -> None:
    """Write something that stands in the WAL alone, as a crash would leave it."""
    wal = database.with_name(database.name + "-wal")
    before = database.read_bytes()
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE users SET bio = 'Old, and the newest of it in the WAL'")
        writer.commit()
        frames = wal.read_bytes()
    database.write_bytes(before)
    wal.write_bytes(frames)


OLD, NEW = "Old, and the newest of it in the WAL, 200 articles", "New, 200 articles"


def require_old_or_new(fork: Fork, copy: Path) -> str:
    """What a killed restore has left is one of the two, and the next one goes well; which it was."""
    fork.says("migrate")  # as `serve` does
    found = marked(fork.database)
    assert found in (OLD, NEW)
    assert is_sound(fork)
    fork.says("restore", str(copy))
    assert marked(fork.database) == NEW
    assert is_sound(fork)
    asides = sorted(fork.database.parent.glob("*.replaced-*Z.db"))
    assert marked(asides[0]) == OLD
    left = {path.name for path in fork.database.parent.glob("rowboat.db*")}
    assert left <= {f"rowboat.db{end}" for end in ("", "-wal", "-shm", ".lock", ".in-use")}
    return found


@pytest.fixture
def restorable(grown, tmp_path) -> Path:
    """A copy that differs from the database, which has its newest content in the WAL."""
    mark(grown.database, "New")
    grown.says("backup", str(tmp_path / "copy.db"))
    mark(grown.database, "Old")
    shutil.copytree(grown.database.parent, tmp_path / "before")
    return tmp_path / "copy.db"


def begin_anew(fork: Fork, tmp_path: Path) -> None:
    shutil.rmtree(fork.database.parent)
    shutil.copytree(tmp_path / "before", fork.database.parent)
    leave_wal(fork.database)


def test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one(grown, restorable, tmp_path):
    command = grown.database.with_name("rowboat.db.restoring"), "restore", str(restorable)
    seconds = seconds_of(grown, *command)
    seen, hits = set(), []

    for chance in rounds(short=3, share=0.1):
        begin_anew(grown, tmp_path)
        hits.append(kill_at_random(grown, chance, seconds, *command))
        seen.add(require_old_or_new(grown, restorable))
    print(f"it was {seen}")
    require_hits(hits)


def test_a_restore_that_is_killed_between_any_two_of_its_renames_leaves_the_old_database_or_the_new_one(
    grown, restorable, tmp_path
):
    faults = Faults(tmp_path, grown.database)
    seen = []
    for number in range(1, 10):
        begin_anew(grown, tmp_path)
        with faults.at_work(f"die {number} -"):
            process = grown.start("restore", str(restorable), **faults.settings)
            process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        seen.append(require_old_or_new(grown, restorable) == NEW)

    assert seen == sorted(seen)  # once it is the new one, it stays that
    assert len(seen) >= 4
    assert set(seen) == {False, True}
