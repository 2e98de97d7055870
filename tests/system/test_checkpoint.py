"""With ROWBOAT_CHECKPOINT=off, only Litestream moves the WAL into the database file."""

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

import pytest

from tests.system.test_server import serving, until, workers_of

OFF = {"ROWBOAT_CHECKPOINT": "off"}
UNHURRIED = {"ROWBOAT_POSTS_PER_HOUR": "1000000"}
PAGE = 4096


def wal(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def rows(database: Path, sql: str, *, without_wal: bool = False) -> list[tuple]:
    """The rows of a statement on a copy of the files, because opening the files themselves could checkpoint them."""
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(database, folder))
        if not without_wal and wal(database).exists():
            shutil.copy(wal(database), folder)
        with closing(sqlite3.connect(copy)) as connection:
            return connection.execute(sql).fetchall()


def write_articles(server, token, count):
    """Write articles of 300 kB each, 75 pages."""
    for number in range(count):
        article = {"title": f"Dawn {number}", "description": "About it", "body": "Row. " * 60_000}
        status, _ = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
        assert status == 201


@pytest.fixture
def grown(fork):
    """A fork whose database has users and articles, all of them in the WAL."""
    process = fork.start("seed", "--users", "12", "--articles", "40", **OFF)
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return fork


# Rowboat alone


def test_a_server_never_moves_the_wal_into_the_file_until_checkpoints_are_on_again(tmp_path, fork):
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
    here = {"ROWBOAT_DATABASE": str(server.database)} | OFF

    assert len(frames) > 2250 * PAGE
    assert fork.says("check", **here)[-1] == f"{server.database} is as it should be"
    with serving(tmp_path, "--workers", "2", **OFF) as server:
        assert server.ask("GET", "/api/articles")[1]["articlesCount"] == 30
        server.token("cec")
        server.stop()
    assert "rror" not in server.log.read_text()
    assert server.database.read_bytes() == file
    assert wal(server.database).read_bytes().startswith(frames)
    assert rows(server.database, "SELECT username FROM users") == [("ann",), ("bob",), ("cec",)]
    assert rows(server.database, "SELECT count(*) FROM sqlite_schema", without_wal=True) == [(0,)]

    with serving(tmp_path, "--workers", "1") as server:
        write_articles(server, server.token("dan"), 20)
        assert server.database.read_bytes() != file
        server.stop()
    assert not wal(server.database).exists()
    assert rows(server.database, "SELECT count(*) FROM articles", without_wal=True) == [(50,)]


COMMANDS = [
    "status",
    "schema check",
    "backup",
    "check",
    "check --repair",
    "user list",
    "sql users/newest",
    "user promote ada --to admin",
    "audit prune --days 1",
    "seed --add --users 10 --articles 2000",
    "rollback",
    "migrate",
]


def test_no_command_moves_the_wal_into_the_file_until_checkpoints_are_on_again(grown):
    file, frames = grown.database.read_bytes(), wal(grown.database).read_bytes()

    for command in COMMANDS:
        process = grown.start(*command.split(), **OFF)
        output = process.communicate(timeout=120)
        assert process.returncode == 0, (command, output)
        assert grown.database.read_bytes() == file, command
        assert wal(grown.database).read_bytes().startswith(frames), command
    assert grown.error("user", "promote", "nobody", **OFF)
    assert grown.database.read_bytes() == file
    assert rows(grown.database, "PRAGMA integrity_check") == [("ok",)]

    with wal(grown.database).open("r+b") as large:
        large.truncate(65 * 1024 * 1024)  # SQLite ignores what follows its last frame
    lines = grown.says("check", **OFF)
    assert f"{wal(grown.database)} has 65 MiB: ROWBOAT_CHECKPOINT is off, so that Litestream must run." in lines
    assert lines[-1] == f"{grown.database} is as it should be"

    grown.says("status")
    assert grown.database.read_bytes() != file
    assert not wal(grown.database).exists()
    assert grown.says("check")[-1] == f"{grown.database} is as it should be"


def test_restore_writes_into_the_wal_alone(grown, tmp_path):
    grown.says("rollback", "--to", "9", **OFF)
    grown.says("backup", str(tmp_path / "old.db"), **OFF)
    grown.says("migrate", **OFF)
    file = grown.database.read_bytes()

    grown.says("restore", str(tmp_path / "old.db"), **OFF)

    assert grown.database.read_bytes() == file
    assert rows(grown.database, "SELECT max(version) > 9 FROM schema_migrations") == [(1,)]
    assert grown.says("check", **OFF)[-1] == f"{grown.database} is as it should be"


# Beside a program that checkpoints

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
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", LIKE_LITESTREAM, str(database)], **pipes)
        assert self.process.stdout.readline() == "reading\n"

    def checkpoint(self, kind: str) -> tuple[bool, int, int]:
        """Whether the checkpoint was blocked, the number of pages in the WAL, and how many of them were moved."""
        self.process.stdin.write(f"{kind}\n")
        self.process.stdin.flush()
        busy, pages, moved = map(int, self.process.stdout.readline().split())
        return bool(busy), pages, moved

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def test_nothing_is_lost_while_another_program_checkpoints_between_writes(tmp_path, fork):
    acknowledged = []
    enough = threading.Event()

    def write(server, token):
        while not enough.is_set():
            article = {"title": "Dawn", "description": "About it", "body": "Row. " * 2000}
            status, response = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
            assert status == 201
            acknowledged.append(response["article"]["slug"])

    with serving(tmp_path, "--workers", "2", **OFF, **UNHURRIED) as server:
        with ThreadPoolExecutor(4) as crowd, closing(LikeLitestream(server.database)) as other, ExitStack() as at_last:
            at_last.callback(enough.set)  # else a failure would wait for the writers
            writers = [crowd.submit(write, server, server.token(f"user{number}")) for number in range(4)]
            moved = 0
            for number in range(30):
                already = len(acknowledged)
                until(lambda already=already: len(acknowledged) > already or writers[0].done())
                moved += other.checkpoint("TRUNCATE" if number % 10 == 9 else "PASSIVE")[2]
            enough.set()
            for writer in writers:
                writer.result(60)
            # An idle server holds neither a snapshot nor a lock.
            assert other.checkpoint("TRUNCATE") == (False, 0, 0)
            assert wal(server.database).stat().st_size == 0
            file = server.database.read_bytes()
        server.token("ann")
        server.stop()

    assert moved > 50
    assert server.database.read_bytes() == file
    assert {slug for (slug,) in rows(server.database, "SELECT slug FROM slugs")} == set(acknowledged)
    assert rows(server.database, "SELECT count(*) FROM users") == [(5,)]
    here = {"ROWBOAT_DATABASE": str(server.database)} | OFF
    assert fork.says("check", **here)[-1] == f"{server.database} is as it should be"


def test_restore_works_while_another_program_has_the_database_open(grown, tmp_path):
    grown.says("backup", str(tmp_path / "copy.db"), **OFF)
    with closing(LikeLitestream(grown.database)) as other:
        assert grown.says("restore", str(tmp_path / "copy.db"), **OFF)
        assert other.checkpoint("TRUNCATE") == (False, 0, 0)

    assert grown.says("check", **OFF)[-1] == f"{grown.database} is as it should be"


needs_litestream = pytest.mark.skipif(not shutil.which("litestream"), reason="needs litestream")


class Litestream:
    """Litestream, replicating to a folder."""

    def __init__(self, database: Path, replica: Path) -> None:
        self.replica = f"file://{replica}"
        with replica.with_name("litestream.log").open("ab") as log:
            command = ["litestream", "replicate", str(database), self.replica]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def restores(self, target: Path, sql: str, expected: list[tuple]) -> bool:
        """Whether these are the rows of the database that it restores."""
        target.unlink(missing_ok=True)
        command = ["litestream", "restore", "-o", str(target), self.replica]
        return subprocess.run(command, capture_output=True).returncode == 0 and rows(target, sql) == expected

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@needs_litestream
def test_litestream_restores_all_that_was_acknowledged_while_it_ran_and_while_it_did_not(tmp_path, fork):
    replica, restored = tmp_path / "replica", tmp_path / "restored.db"
    counts = "SELECT role, articles_count FROM users"

    with serving(tmp_path, **OFF) as server:
        database, token = server.database, server.token("ann")
        with closing(Litestream(database, replica)) as litestream:
            write_articles(server, token, 20)
            server.stop()
            fork.says("user", "promote", "ann", "--to", "admin", "--database", str(database), **OFF)
            until(lambda: litestream.restores(restored, counts, [("admin", 20)]))
    with serving(tmp_path, **OFF) as server:
        write_articles(server, token, 20)
        with closing(Litestream(database, replica)) as litestream:
            write_articles(server, token, 20)
            server.stop()
            until(lambda: litestream.restores(restored, counts, [("admin", 60)]))

    assert fork.says("check", "--database", str(restored))[-1] == f"{restored} is as it should be"
    assert fork.says("check", "--database", str(database), **OFF)[-1] == f"{database} is as it should be"
    fork.says("restore", str(restored), "--database", str(database), **OFF)
    assert rows(database, counts) == [("admin", 60)]
