"""With ROWBOAT_CHECKPOINT=off, servers never move the WAL into the database file, and other programs may."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.system.test_server import serving, until, workers_of

OFF = {"ROWBOAT_CHECKPOINT": "off"}
PAGE = 4096


def wal(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def rows(database: Path, sql: str) -> list[tuple]:
    """The rows of a statement on a copy of the files, because opening the files themselves could checkpoint them."""
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(database, folder))
        if wal(database).exists():
            shutil.copy(wal(database), folder)
        with closing(sqlite3.connect(copy)) as connection:
            return connection.execute(sql).fetchall()


def write_articles(server, token, count):
    """Write articles of 300 kB each, 75 pages."""
    for number in range(count):
        article = {"title": f"Dawn {number}", "description": "About it", "body": "Row. " * 60_000}
        status, _ = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
        assert status == 201


def test_a_server_never_moves_the_wal_into_the_file_until_checkpoints_are_on_again(tmp_path):
    with serving(tmp_path, "--workers", "2", **OFF) as server:
        file = server.database.read_bytes()
        write_articles(server, server.token("ann"), 20)  # 1500 pages: SQLite would checkpoint after 1000
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "Rowboat reloaded" in server.log.read_text())
        write_articles(server, server.token("bob"), 10)
        until(lambda: len(workers_of(server)) == 2)
        subprocess.run(["kill", "-KILL", str(server.process.pid), *map(str, workers_of(server))], check=True)
        server.process.wait(30)
    frames = wal(server.database).read_bytes()
    assert len(frames) > 2250 * PAGE

    with serving(tmp_path, "--workers", "2", **OFF) as server:
        assert server.ask("GET", "/api/articles")[1]["articlesCount"] == 30
        server.token("cec")
        server.stop()
    assert "rror" not in server.log.read_text()
    assert server.database.read_bytes() == file
    assert wal(server.database).read_bytes().startswith(frames)
    assert rows(server.database, "SELECT username FROM users") == [("ann",), ("bob",), ("cec",)]

    with serving(tmp_path, "--workers", "1") as server:
        server.token("dan")
        server.stop()
    assert not wal(server.database).exists()
    assert rows(server.database, "SELECT count(*) FROM users") == [(4,)]


def test_no_command_moves_the_wal_into_the_file_until_checkpoints_are_on_again(fork, tmp_path):
    def run(command):
        process = fork.start(*command.split(), **OFF)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, (command, errors)
        return output.splitlines()

    run("seed --users 12 --articles 40")
    file, frames = fork.database.read_bytes(), wal(fork.database).read_bytes()
    commands = ["status", "check --repair", f"backup {tmp_path}/copy.db", "user promote ada --to admin"]
    for command in [*commands, "rollback --to 9", "migrate", "check --repair"]:
        run(command)
        assert fork.database.read_bytes() == file, command
        assert wal(fork.database).read_bytes().startswith(frames), command
    with wal(fork.database).open("r+b") as large:
        large.truncate(65 * 1024 * 1024)  # SQLite ignores what follows its last frame
    lines = run("check")
    assert f"{wal(fork.database)} has 65 MiB: ROWBOAT_CHECKPOINT is off, so that Litestream must run." in lines
    assert lines[-1] == f"{fork.database} is as it should be"

    # A restore writes into the WAL alone, also while another program has the database open.
    promoted = "SELECT count(*) FROM users WHERE role = 'admin'"
    with closing(LikeLitestream(fork.database)) as other:
        run(f"restore {tmp_path}/copy.db")
        assert fork.database.read_bytes() == file
        assert rows(fork.database, promoted) == [(0,)]
        assert other.checkpoint("TRUNCATE") == [0, 0, 0]
    assert run("check")[-1] == f"{fork.database} is as it should be"

    fork.says("status")
    assert not wal(fork.database).exists()


LIKE_LITESTREAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
connection.execute("PRAGMA wal_autocheckpoint = 0")
def read():
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
read()
print("reading", flush=True)
for line in sys.stdin:  # each is the kind of a checkpoint
    connection.execute("COMMIT")
    print(*connection.execute(f"PRAGMA wal_checkpoint({line.strip()})").fetchone(), flush=True)
    read()
"""


class LikeLitestream:
    """A process that always has a read transaction, and checkpoints on demand, outside of our lock."""

    def __init__(self, database: Path) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.process = subprocess.Popen([sys.executable, "-c", LIKE_LITESTREAM, str(database)], **pipes)
        assert self.process.stdout.readline() == "reading\n"

    def checkpoint(self, kind: str) -> list[int]:
        """Whether the checkpoint was blocked, the number of pages in the WAL, and how many of them were moved."""
        self.process.stdin.write(f"{kind}\n")
        return [*map(int, self.process.stdout.readline().split())]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def test_nothing_is_lost_while_another_program_checkpoints_between_writes(tmp_path, fork):
    acknowledged = []
    enough = threading.Event()

    def write(token):
        while not enough.is_set():
            article = {"title": "Dawn", "description": "About it", "body": "Row. " * 2000}
            status, response = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
            assert status == 201
            acknowledged.append(response["article"]["slug"])

    with serving(tmp_path, "--workers", "2", **OFF, ROWBOAT_POSTS_PER_HOUR="1000000") as server:
        with ThreadPoolExecutor(4) as crowd, closing(LikeLitestream(server.database)) as other, ExitStack() as at_last:
            at_last.callback(enough.set)  # else a failure would wait for the writers
            writers = [crowd.submit(write, server.token(f"user{number}")) for number in range(4)]
            moved = 0
            for number in range(20):
                already = len(acknowledged)
                until(lambda already=already: len(acknowledged) > already or writers[0].done())
                moved += other.checkpoint("TRUNCATE" if number % 10 == 9 else "PASSIVE")[2]
            enough.set()
            for writer in writers:
                writer.result(60)
            # An idle server holds neither a snapshot nor a lock.
            assert other.checkpoint("TRUNCATE") == [0, 0, 0]
            assert wal(server.database).stat().st_size == 0
            file = server.database.read_bytes()
        server.token("ann")
        server.stop()

    assert moved > 50
    assert server.database.read_bytes() == file
    assert {slug for (slug,) in rows(server.database, "SELECT slug FROM slugs")} == set(acknowledged)
    checked = fork.says("check", "--database", str(server.database), **OFF)
    assert checked[-1] == f"{server.database} is as it should be"
