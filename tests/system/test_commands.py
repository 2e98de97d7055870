"""The commands as processes: signals, pipes, terminals, and several at once."""

import json
import re
import signal
import sqlite3
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from db.lock import WriteLock
from db.migrations import find_migrations
from tests.db.scripts import PACE, SLOW
from tests.system.commands import error_of, port_of, screen
from tests.system.test_server import needs_proc, serving, until

BOATS = (
    "CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\nINSERT INTO boats VALUES (1, 'Heron');\n"
)
OARS = "CREATE TABLE oars (id INTEGER PRIMARY KEY) STRICT;\n"


@pytest.fixture
def boats(fork):
    """A fork with one script, which is applied."""
    fork.empty()
    fork.add("boats", BOATS, "DROP TABLE boats;\n")
    fork.migrate()
    return fork


def test_serve_prints_one_line_and_exits_with_2_if_it_cannot_start(fork):
    assert fork.error("serve", "--port", "0", ROWBOAT_THREADS="many") == (
        "ROWBOAT_THREADS is 'many'; it must be a whole number from 1 to 64"
    )
    assert fork.error("serve", "--port", "0", ROWBOAT_MIGRATE="check").endswith("; run the command migrate first")
    assert not fork.database.parent.exists()

    fork.migrate()
    assert port_of(fork.start("serve", "--port", "0", ROWBOAT_MIGRATE="check"))


# Signals, pipes, terminals


def test_ctrl_c_in_the_middle_of_a_script_leaves_the_database_as_it_was(boats):
    boats.add("pace", PACE.replace("10", "20000000"))
    boats.migrate(backup=False)
    path = boats.add("strokes", SLOW)
    process = boats.start("migrate", ROWBOAT_MIGRATION_BACKUP="off")
    boats.wait_for_wal(process, size=1 << 20)

    process.send_signal(signal.SIGINT)

    assert error_of(process) == f"{path}: interrupted; nothing of it was kept"
    assert boats.tables() == ["boats", "pace"]
    assert boats.versions() == [1, 2]


def test_a_closed_pipe_does_not_stop_a_migration(fork):
    process = fork.start("migrate")
    process.stdout.close()

    assert process.wait(60) == 0
    assert {line.split()[2] for line in fork.says("status")} == {"applied"}


def test_a_terminal_shows_the_progress_and_then_the_error_alone(boats):
    boats.add("pace", PACE.replace("10", "100000"))
    path = boats.add("strokes", SLOW + "SELECT nowhere;\n")

    printed, written = boats.on_a_terminal("migrate")

    assert [line.split(" ")[0] for line in printed.splitlines()] == ["kept", "applied"]
    assert re.search(r"\rcopying \d+ MiB +\[#{40}\] 100%", written)
    assert "\r0003 strokes, line 3: " in written
    assert screen(written) == [f"rowboat: {path}:10: no such column: nowhere; in: SELECT nowhere;"]


# Several at once


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
        printed, port = port_of(server)
        lines += printed
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as response:
            assert json.load(response) == {"alive": True}

    applied = sorted(line.split(" in ")[0] for line in lines if line != "nothing to apply")
    assert applied == [f"applied {each}" for each in find_migrations(fork.folder)]
    assert fork.sql("PRAGMA integrity_check") == [("ok",)]


@needs_proc
def test_a_migration_waits_for_the_one_before_it_and_can_be_interrupted_meanwhile(boats):
    boats.add("oars", OARS)
    with closing(WriteLock(boats.database)) as lock, lock:
        first, second = boats.start("migrate"), boats.start("migrate")
        boats.wait_until_waiting(first)
        boats.wait_until_waiting(second)
        assert boats.versions() == [1]
        second.send_signal(signal.SIGINT)
        assert error_of(second) == (
            f"{boats.database}: interrupted; what was done before stays, and nothing else was touched"
        )

    first.communicate(timeout=60)
    assert boats.versions() == [1, 2]


# While a server runs


def test_commands_for_accounts_and_restore_work_while_the_server_runs(fork, tmp_path):
    with serving(tmp_path, "--workers", "1") as running:
        sent = {"authorization": f"Token {running.token('ann')}"}
        fork.database = running.database

        assert running.ask("GET", "/api/v1/admin/users", **sent)[0] == 403
        fork.says("user", "promote", "ann", "--to", "admin")
        status, listed = running.ask("GET", "/api/v1/admin/users", **sent)
        assert (status, [each["role"] for each in listed["users"]]) == (200, ["admin"])
        fork.says("backup", str(tmp_path / "copy.db"))
        assert running.ask(
            "POST", "/api/articles", {"article": {"title": "A", "description": "B", "body": "C"}}, **sent
        )
        assert running.ask("GET", "/api/articles")[1]["articlesCount"] == 1
        assert fork.says("restore", str(tmp_path / "copy.db"))[-1].startswith("not restored: 1 sessions, ")
        assert running.ask("GET", "/api/articles")[1]["articlesCount"] == 0
        assert running.ask("GET", "/api/user", **sent)[0] == 401
        assert running.ask("GET", "/readyz")[0] == 200
        assert fork.error("rollback") == f"{running.database}: a server or a command has it open; stop that first"


def test_backups_taken_while_sixteen_clients_write_hold_every_acknowledged_write(tmp_path, fork):
    stop, acknowledged = Event(), []

    def write(server, number):
        token = server.token(f"user{number}")
        article = {"article": {"title": "Dawn", "description": "About it", "body": "The text"}}
        while not stop.is_set():
            status, written = server.ask("POST", "/api/articles", article, authorization=f"Token {token}")
            assert status == 201
            acknowledged.append(written["article"]["slug"])

    with serving(tmp_path, ROWBOAT_POSTS_PER_HOUR="1000000") as server, ThreadPoolExecutor(16) as crowd:
        try:
            writers = [crowd.submit(write, server, number) for number in range(16)]
            fork.database = server.database
            for number in range(5):
                until(lambda number=number: len(acknowledged) > 32 * number)
                before, copy = set(acknowledged), tmp_path / f"{number}/copy.db"
                fork.says("backup", str(tmp_path / f"{number}.db"), *["--gzip"] * (number % 2))
                fork.says("restore", str(tmp_path / f"{number}.db"), "--database", str(copy))
                with closing(sqlite3.connect(copy)) as connection:
                    assert before <= {slug for (slug,) in connection.execute("SELECT slug FROM slugs")}
                assert fork.says("check", "--database", str(copy))[-1] == f"{copy} is as it should be"
        finally:
            stop.set()
        for writer in writers:
            writer.result()


# Size


@needs_proc
def test_a_table_of_a_million_rows_is_rebuilt_in_less_than_100_mb(boats):
    boats.sql(
        "INSERT INTO boats (name) WITH RECURSIVE counted (n) AS "
        "(SELECT 2 UNION ALL SELECT n + 1 FROM counted WHERE n < 1000000) "
        "SELECT 'boat number ' || n || ', with a name that takes some room on a page of the table' FROM counted"
    )
    boats.add("trips", "CREATE TABLE trips (boat_id INTEGER REFERENCES boats (id)) STRICT;\n")
    boats.migrate(backup=False)
    boats.sql("INSERT INTO trips SELECT id FROM boats")
    boats.add(
        "length",
        "-- foreign_keys: off\n"
        "CREATE TABLE boats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, length INTEGER NOT NULL) STRICT;\n"
        "INSERT INTO boats_new (id, name, length) SELECT id, name, length(name) FROM boats;\n"
        "DROP TABLE boats;\nALTER TABLE boats_new RENAME TO boats;\n"
        "CREATE INDEX boats_name_idx ON boats (name);\nCREATE INDEX trips_boat_id_idx ON trips (boat_id);\n",
    )

    process = boats.start("migrate")
    peak_kb = 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak_kb = int(found[1]) if found else peak_kb
        time.sleep(0.01)

    assert process.returncode == 0, process.communicate()
    assert 0 < peak_kb * 1024 < 100_000_000
    assert boats.sql("SELECT count(*), sum(length(name) = length) FROM boats") == [(1_000_000, 1_000_000)]
    assert boats.says("schema", "check") == ["the schema is what the scripts build"]
