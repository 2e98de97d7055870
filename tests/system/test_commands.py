"""The commands as processes: signals, pipes, and several at once."""

import json
import re
import signal
import urllib.request
from contextlib import closing

import pytest

from db.lock import WriteLock
from db.migrations import find_migrations
from tests.db.scripts import PACE, SLOW
from tests.system.commands import error_of, waits_for_lock
from tests.system.test_server import needs_proc, serving, until


@pytest.fixture
def boats(fork):
    """A fork with one script, which is applied."""
    for path in fork.folder.iterdir():
        path.unlink()
    fork.add(
        "boats", "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n", "DROP TABLE boats;\n"
    )
    fork.migrate()
    return fork


def test_ctrl_c_in_the_middle_of_a_script_leaves_the_database_as_it_was(boats):
    boats.add("pace", PACE.replace("10", "20000000"))
    boats.migrate(backup=False)
    path = boats.add("strokes", SLOW)
    process = boats.start("migrate", ROWBOAT_MIGRATION_BACKUP="off")
    wal = boats.database.with_name("rowboat.db-wal")
    until(lambda: (wal.exists() and wal.stat().st_size > 1 << 20) or process.poll() is not None)

    process.send_signal(signal.SIGINT)

    assert error_of(process) == f"{path}: interrupted; nothing of it was kept"
    assert boats.tables() == ["boats", "pace"]
    assert boats.versions() == [1, 2]


def test_a_closed_pipe_does_not_stop_a_migration(fork):
    process = fork.start("migrate")
    process.stdout.close()

    assert process.wait(60) == 0
    assert fork.versions() == [*range(1, len(find_migrations(fork.folder)) + 1)]


def test_two_servers_and_three_commands_that_start_at_once_apply_each_script_once(fork):
    fork.add("pace", PACE.replace("10", "200000"))
    fork.add("strokes", SLOW)
    servers = [fork.start("serve", "--port", "0") for _ in range(2)]
    commands = [fork.start("migrate") for _ in range(3)]

    lines = []
    for command in commands:
        output, errors = command.communicate(timeout=60)
        assert (command.returncode, errors) == (0, "")
        lines += output.splitlines()
    for server in servers:
        for line in iter(server.stdout.readline, ""):
            if found := re.match(r"Rowboat on (http://\S+)/api ", line):
                with urllib.request.urlopen(f"{found[1]}/healthz", timeout=60) as response:
                    assert json.load(response) == {"alive": True}
                break
            lines.append(line.rstrip("\n"))
        assert server.poll() is None

    applied = sorted(line.split(" in ")[0] for line in lines if line.startswith("applied"))
    assert applied == [f"applied {each}" for each in find_migrations(fork.folder)]
    assert fork.sql("PRAGMA integrity_check") == [("ok",)]


def test_a_served_database_is_restored_which_ends_its_sessions(tmp_path, fork):
    with serving(tmp_path, "--workers", "1") as running:
        sent = {"authorization": f"Token {running.token('ann')}"}
        fork.database = running.database
        fork.says("backup", str(tmp_path / "copy.db"))
        article = {"title": "Dawn", "description": "About it", "body": "The text"}
        assert running.ask("POST", "/api/articles", {"article": article}, **sent)[0] == 201
        assert running.ask("GET", "/api/articles")[1]["articlesCount"] == 1

        assert fork.says("restore", str(tmp_path / "copy.db"))[-1].startswith("not restored: 1 sessions, ")

        assert running.ask("GET", "/api/articles")[1]["articlesCount"] == 0
        assert running.ask("GET", "/api/user", **sent)[0] == 401
        assert running.ask("GET", "/readyz")[0] == 200
        assert error_of(fork.start("rollback")) == (
            f"{running.database}: a server or a command has it open; stop that first"
        )


@needs_proc
def test_a_migration_waits_for_the_one_before_it_and_can_be_interrupted_meanwhile(boats):
    boats.add("oars", "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n")
    with closing(WriteLock(boats.database)) as lock, lock:
        first, second = boats.start("migrate"), boats.start("migrate")
        until(lambda: waits_for_lock(first.pid) and waits_for_lock(second.pid))
        assert boats.versions() == [1]
        second.send_signal(signal.SIGINT)
        assert error_of(second) == (
            f"{boats.database}: interrupted; what was done before stays, and nothing else was touched"
        )

    first.communicate(timeout=60)
    assert boats.versions() == [1, 2]
