"""Faults beneath SQLite: 503, readers served where they can be, recovery without a restart, and nothing lost."""

import errno
import http.client
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.system.commands import error_of
from tests.system.faults.clients import SETTINGS, Crowd, rounds
from tests.system.faults.faults import Faults, with_constants
from tests.system.test_server import Server, ask, needs_proc, serving, until, until_all_listen, workers_of

pytestmark = needs_proc


def publish(server: Server, token: str, **fields: str) -> tuple[int, dict]:
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text"} | fields
    return server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")


def title_of(server: Server, slug: str) -> str:
    return server.ask("GET", f"/api/articles/{slug}")[1]["article"]["title"]


def refusal(server: Server, token: str) -> None:
    """A write is refused with 503."""
    expected = (503, {"errors": {"database": ["is not available; try again"]}})
    assert publish(server, token, title="Refused") == expected


def wrong(server: Server) -> dict[str, str]:
    """The failed checks of /readyz, with their messages."""
    status, answer = server.ask("GET", "/readyz")
    found = {name: said for name, said in answer["checks"].items() if said != "ok"}
    assert (status == 200) == (not found)
    return found


@pytest.fixture
def run(tmp_path: Path, commands: Commands) -> Callable[..., AbstractContextManager[Server]]:
    """Start a server. When the block ends, it has logged no traceback and leaves a sound database."""

    @contextmanager
    def running(workers: int = 2, through: tuple[str, ...] = (), **settings: str) -> Iterator[Server]:
        with serving(tmp_path, "--workers", str(workers), through=through, **settings) as server:
            until(lambda: len(workers_of(server)) == workers)
            yield server
            assert "Traceback" not in server.log.read_text()
            server.stop()
        checked = commands.says("check", "--database", str(server.database))
        assert checked[-1] == f"{server.database} is as it should be"

    return running


@pytest.fixture
def faults(tmp_path) -> Faults:
    return Faults(tmp_path, tmp_path / "data" / "rowboat.db")


def test_while_the_disk_fails_writes_are_refused_and_readers_served_until_it_recovers(run, faults):
    failures = [f"write {errno.ENOSPC} *", f"write {errno.EIO} *", f"write {errno.EROFS} *", f"fsync {errno.EIO} *"]
    with run(**faults.settings) as server:
        workers = workers_of(server)
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

        for fault in failures:
            with faults.at_work(fault):
                for _ in range(4):
                    refusal(server, token)
                    assert title_of(server, slug) == "Rowing at dawn"
                assert wrong(server).keys() == {"database"}
                assert server.ask("GET", "/healthz")[0] == 200
            assert publish(server, token)[0] == 201
            assert wrong(server) == {}

        assert server.rows("SELECT title, count(*) FROM articles GROUP BY title") == [("Rowing at dawn", 5)]
        assert workers_of(server) == workers


def test_acknowledged_writes_survive_a_crash_in_the_middle_of_a_fault(tmp_path, faults, commands):
    kinds = [f"write {errno.ENOSPC} *", f"write {errno.EIO} *", f"fsync {errno.EIO} *"]
    # Checkpoints fail, and commits do not: the WAL takes them.
    kinds += [f"write {errno.EIO} rowboat.db", f"fsync {errno.EIO} rowboat.db"]
    crowd = Crowd()
    for number, chance in enumerate(rounds(short=5, share=0.3)):
        fault = kinds[number % len(kinds)]
        with serving(tmp_path, "--workers", "2", **faults.settings, **SETTINGS) as server:
            until(lambda server=server: len(workers_of(server)) == 2)
            everybody = [server.process.pid, *workers_of(server)]
            # Frames that a failed flush left in the WAL may be whole after a crash that follows at once.
            crowd.trusts_503 = "fsync" not in fault
            with crowd.writing(server.port, chance):
                for _ in range(3):
                    until(crowd.has_written(1))
                    with faults.at_work(fault):
                        until(faults.was_made)
                        time.sleep(chance.uniform(0, 0.2))
                until(crowd.has_written(1))
                refused = crowd.refused
                faults.begin(fault)
                until(faults.was_made)
                if fault.endswith("*"):
                    until(lambda refused=refused: crowd.refused > refused)
                time.sleep(chance.uniform(0, 0.2))
                for pid in everybody:
                    os.kill(pid, signal.SIGKILL)
            server.process.wait(30)
            assert "Traceback" not in server.log.read_text()
        faults.end()
        checked = commands.says("check", "--database", str(server.database))
        assert checked[-1] == f"{server.database} is as it should be"
        crowd.require_stored(server.database)
    print(f"{crowd.acknowledged} writes were acknowledged, {crowd.refused} refused")


@contextmanager
def small_file_system(folder: Path, mib: int) -> Iterator[None]:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_writes_serves_readers_and_recovers(tmp_path, run):
    with small_file_system(tmp_path / "data", 32), run(ROWBOAT_MIN_FREE_MB="1", **SETTINGS) as server:
        token, stored = server.token("ann"), []
        ballast = tmp_path / "data" / "ballast"
        ballast.write_bytes(bytes(12 << 20))

        def is_stored(body: str) -> bool:
            status, answer = publish(server, token, body=body)
            assert status in (201, 503)
            stored.extend([answer["article"]["slug"]] if status == 201 else [])
            return status == 201

        while is_stored("Row. " * 60_000):
            pass
        assert len(stored) > 5
        while is_stored("The text"):  # a smaller one may still find its place, until none does
            pass
        assert wrong(server)["disk"].endswith("MB are free; ROWBOAT_MIN_FREE_MB is 1")
        assert {title_of(server, slug) for slug in stored} == {"Rowing at dawn"}

        ballast.unlink()
        assert is_stored("The text")
        assert wrong(server) == {}
        assert {slug for (slug,) in server.rows("SELECT slug FROM slugs")} == set(stored)


def test_a_server_refuses_to_start_on_a_read_only_file_system(tmp_path, fork):
    with small_file_system(fork.database.parent, 32):
        fork.migrate()
        subprocess.run(["mount", "-o", "remount,ro", str(fork.database.parent)], check=True)

        assert error_of(fork.start("serve", "--port", "0")) == (
            f"{fork.database}.lock: Read-only file system; the folder must be one that can be written"
        )


def test_a_read_only_database_is_served_to_readers_and_to_writers_once_it_is_writable(run):
    with run() as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
    # Root may write whatever it likes, except with this attribute.
    lock, unlock = (["chattr", "+i"], ["chattr", "-i"]) if os.geteuid() == 0 else (["chmod", "a-w"], ["chmod", "u+w"])
    if subprocess.run([*lock, str(server.database)], capture_output=True).returncode:
        pytest.skip("needs a file system with chattr, or another user than root")

    with ExitStack() as running:
        try:
            server = running.enter_context(run())
            for _ in range(4):
                refusal(server, token)
                assert title_of(server, slug) == "Rowing at dawn"
                assert wrong(server) == {"database": "attempt to write a readonly database"}
        finally:
            subprocess.run([*unlock, str(server.database)], check=True)

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}


def test_a_deleted_wal_takes_no_acknowledged_write_with_it(run):
    with run() as server:
        token = server.token("ann")
        assert publish(server, token)[0] == 201
        server.database.with_name("rowboat.db-wal").unlink()
        refusal(server, token)

    with run() as server:
        assert publish(server, token)[0] == 201
        assert server.rows("SELECT count(*) FROM articles") == [(2,)]


def test_a_wal_that_grew_under_a_long_reader_shrinks_once_the_reader_is_gone(run):
    with run(**SETTINGS) as server:
        wal = server.database.with_name("rowboat.db-wal")
        token = server.token("ann")
        assert publish(server, token, body="x" * 1_000_000)[0] == 201
        with closing(sqlite3.connect(server.database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(1,)]
            with closing(sqlite3.connect(server.database, isolation_level=None)) as other:
                other.execute("PRAGMA synchronous = OFF")
                for letter in "yx" * 40:
                    other.execute("UPDATE articles SET body = ?", (letter * 1_000_000,))
            for _ in range(3):
                assert publish(server, token, body="Row. " * 190_000)[0] == 201
            assert wal.stat().st_size > 75 << 20
            assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(1,)]
            reader.execute("COMMIT")
        for _ in range(3):
            assert publish(server, token, body="Row. " * 190_000)[0] == 201

        assert wal.stat().st_size <= 64 << 20
    assert not wal.exists()


@pytest.mark.parametrize("idle_seconds", [86_400, 1])
def test_a_clock_that_jumps_neither_closes_an_idle_connection_nor_keeps_it_open(
    project, tmp_path, run, faults, idle_seconds
):
    through = with_constants(project, tmp_path, "worker.py", _IDLE_SECONDS=idle_seconds, cleanup_interval=1)
    with (
        run(workers=1, through=through, **faults.settings) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as idle,
    ):
        with faults.at_work(f"clock {2 * 86_400} -"):
            assert ask(idle, "GET", "/api/tags")[0] == 200
            opened = idle.sock
            if idle_seconds > 1:
                for _ in range(3):
                    assert server.ask("GET", "/api/tags")[0] == 200
                assert ask(idle, "GET", "/api/tags")[0] == 200
                assert idle.sock is opened
        if idle_seconds == 1:
            assert opened.recv(1) == b""  # closed, although its last request came tomorrow


def test_with_few_file_descriptors_clients_wait_for_each_other_and_the_log_does_not_grow(run):
    with run(workers=1) as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        before = workers_of(server)
        # The worker that starts next inherits the parent's limit.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (110, 110))
        os.kill(before[0], signal.SIGKILL)
        until(lambda: "another takes its place" in server.log.read_text() and workers_of(server) not in ([], before))
        until_all_listen(server, 1)
        workers = workers_of(server)
        with ExitStack() as idle:
            for _ in range(150):
                idle.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            time.sleep(0.5)  # a worker that fails to accept over and over would log megabytes
            assert server.log.stat().st_size < 100_000
            assert len(os.listdir(f"/proc/{workers[0]}/fd")) < 110

        assert title_of(server, slug) == "Rowing at dawn"
        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        assert workers_of(server) == workers
