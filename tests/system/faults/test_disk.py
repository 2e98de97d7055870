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
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.commands import Commands
from tests.system.faults.clients import SETTINGS, Crowd, rounds
from tests.system.faults.faults import Faults, with_constants
from tests.system.test_server import Server, ask, command, environment, needs_proc, serving, until, workers_of

pytestmark = needs_proc


def publish(server: Server, token: str, **fields: str) -> tuple[int, dict]:
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text"} | fields
    return server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")


def title_of(server: Server, slug: str) -> str:
    return server.ask("GET", f"/api/articles/{slug}")[1]["article"]["title"]


def refusal(server: Server, token: str) -> None:
    """A write is refused with a 503 that says when to try again."""
    text = b'{"article": {"title": "Refused", "description": "About it", "body": "The text"}}'
    start = f"POST /api/articles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {token}\r\nConnection: close\r\n"
    status, head, body = server.sends(
        start.encode(), b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text), text
    )
    assert status == 503, body
    assert b"\r\nRetry-After: 1\r\n" in head
    assert body == b'{"errors": {"database": ["is not available; try again"]}}'


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


# A disk that fails


def test_while_the_disk_fails_writes_are_refused_and_readers_served_until_it_recovers(run, faults):
    failures = [f"write {errno.ENOSPC} *", f"write {errno.EIO} *", f"write {errno.EROFS} *", f"fsync {errno.EIO} *"]
    with run(**faults.settings) as server:
        workers = workers_of(server)
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

        for fault in failures * 2:
            with faults.at_work(fault):
                for _ in range(4):
                    refusal(server, token)
                    assert title_of(server, slug) == "Rowing at dawn"
                    assert server.ask("GET", "/api/articles?tag=none")[0] == 200
                assert wrong(server).keys() == {"database"}
                assert server.ask("GET", "/healthz")[0] == 200
            assert publish(server, token)[0] == 201
            assert wrong(server) == {}

        assert server.rows("SELECT title, count(*) FROM articles GROUP BY title") == [("Rowing at dawn", 9)]
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
            crowd.trust_503("fsync" not in fault)
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
        token = server.token("ann")
        ballast = tmp_path / "data" / "ballast"
        ballast.write_bytes(bytes(12 << 20))
        stored = []
        while (answer := publish(server, token, body="Row. " * 60_000))[0] == 201:
            stored.append(answer[1]["article"]["slug"])
        assert answer[0] == 503
        assert len(stored) > 5

        for _ in range(20):  # a smaller one may still find its place, until none does
            status, answer = publish(server, token)
            stored += [answer["article"]["slug"]] if status == 201 else []
        assert status == 503
        assert wrong(server)["disk"].endswith("MB are free; ROWBOAT_MIN_FREE_MB is 1")
        assert {title_of(server, slug) for slug in stored} == {"Rowing at dawn"}
        ballast.unlink()
        status, answer = publish(server, token)
        assert status == 201
        stored.append(answer["article"]["slug"])
        assert wrong(server) == {}

        assert {slug for (slug,) in server.rows("SELECT slug FROM slugs")} == set(stored)


def test_a_server_refuses_to_start_on_a_read_only_file_system(tmp_path, commands):
    with small_file_system(tmp_path / "data", 32):
        database = tmp_path / "data" / "rowboat.db"
        commands.says("migrate", "--database", str(database))
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "data")], check=True)

        done = subprocess.run(command(database, 0), env=environment(), capture_output=True, text=True)

        assert done.returncode == 2
        assert done.stderr == (
            f"rowboat: {database}.lock: Read-only file system; the folder must be one that can be written\n"
        )


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Root may write what it likes, except with this attribute."""
    makes, ends = (["chattr", "+i"], ["chattr", "-i"]) if os.geteuid() == 0 else (["chmod", "a-w"], ["chmod", "u+w"])
    if subprocess.run([*makes, str(file)], capture_output=True).returncode:
        pytest.skip("needs a file system with chattr, or another user than root")
    try:
        yield
    finally:
        subprocess.run([*ends, str(file)], check=True)


def test_a_read_only_database_is_served_to_readers_and_to_writers_once_it_is_writable(run):
    with run() as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

    with ExitStack() as running:
        with read_only(server.database):
            server = running.enter_context(run())
            for _ in range(4):
                refusal(server, token)
                assert title_of(server, slug) == "Rowing at dawn"
                assert wrong(server) == {"database": "attempt to write a readonly database"}

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}


# A file that is not where it was


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_moved_or_replaced_file_takes_no_writes_until_it_is_back(tmp_path, run, how):
    with run() as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        for end in "", "-wal", "-shm":
            file = server.database.with_name(server.database.name + end)
            content = file.read_bytes()

            file.rename(tmp_path / "elsewhere")
            if how == "replaced":
                file.write_bytes(content)
            for _ in range(6):
                refusal(server, token)
                # Threads that have read before go on reading; the others refuse to open a different file.
                status, answer = server.ask("GET", f"/api/articles/{slug}")
                assert (status, answer.get("article", {}).get("title")) in ((200, "Rowing at dawn"), (503, None))
            assert "was moved, deleted or replaced while in use" in wrong(server)["database"]
            if how == "replaced":
                assert file.read_bytes() == content
            (tmp_path / "elsewhere").replace(file)

            assert publish(server, token)[0] == 201
            assert wrong(server) == {}
        assert server.rows("SELECT count(*) FROM articles") == [(4,)]


def test_a_deleted_wal_takes_no_acknowledged_write_with_it(run):
    with run() as server:
        token = server.token("ann")
        assert publish(server, token)[0] == 201
        server.database.with_name("rowboat.db-wal").unlink()
        refusal(server, token)

    with run() as server:
        assert publish(server, token)[0] == 201
        assert server.rows("SELECT count(*) FROM articles") == [(2,)]


def test_a_worker_that_starts_while_the_database_is_gone_makes_no_new_one(tmp_path, run):
    with run() as server:
        token = server.token("ann")
        server.database.rename(tmp_path / "elsewhere.db")
        os.kill(workers_of(server)[0], signal.SIGKILL)
        until(lambda: "it is gone, and rowboat.db-wal is still there" in server.log.read_text())
        assert not server.database.exists()

        (tmp_path / "elsewhere.db").rename(server.database)

        until(lambda: is_ready(server))
        assert publish(server, token)[0] == 201


def is_ready(server: Server) -> bool:
    """Whether all workers are; a connection may still go to one that was killed."""
    with suppress(OSError):
        return [wrong(server) for _ in range(10)] == [{}] * 10
    return False


# Others who use the file


@contextmanager
def begun_by_a_shell(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield
        shell.execute("ROLLBACK")


@contextmanager
def locked(database: Path) -> Iterator[None]:
    with closing(WriteLock(database)) as lock, lock:
        yield


@pytest.mark.parametrize("hold", [begun_by_a_shell, locked])
def test_while_another_process_holds_the_lock_for_too_long_writes_are_refused_and_readers_served(
    project, tmp_path, run, hold
):
    def seconds_until_refused(server: Server, token: str) -> float:
        began = time.monotonic()
        refusal(server, token)
        return time.monotonic() - began

    impatient = with_constants(project, tmp_path, "db/connection.py", BUSY_TIMEOUT_MS=2000)
    with run(through=impatient) as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

        with hold(server.database), ThreadPoolExecutor(5) as crowd:
            refused = [crowd.submit(seconds_until_refused, server, token) for _ in range(4)]
            told = crowd.submit(wrong, server)
            assert title_of(server, slug) == "Rowing at dawn"
            assert min(each.result() for each in refused) > 1.5
            assert told.result().keys() == {"database"}

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        until(lambda: server.log.read_text().count('"status": 503') == 5)
        assert server.rows("SELECT count(*) FROM articles WHERE title = 'Refused'") == [(0,)]


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


# A damaged page


@pytest.mark.parametrize("name", ["comments", "comments_article_id_idx"])
def test_a_damaged_page_is_a_503_for_those_who_need_it_and_nothing_to_the_others(tmp_path, run, commands, name):
    with run() as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        comments, body = f"/api/articles/{slug}/comments", {"comment": {"body": "Well rowed"}}
        assert server.ask("POST", comments, body, authorization=f"Token {token}")[0] == 201
    ((page,),) = server.rows(f"SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")
    with server.database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)

    with serving(tmp_path, "--workers", "2") as server:
        for _ in range(3):
            status, answer = server.ask("GET", comments)
            assert (status, answer) == (503, {"errors": {"database": ["is not available; try again"]}})
            assert title_of(server, slug) == "Rowing at dawn"
            assert publish(server, token)[0] == 201
        until(lambda: "503: database disk image is malformed" in server.log.read_text())
        assert "Traceback" not in server.log.read_text()
        checked = commands.says("check", "--database", str(server.database), status=1)
        assert checked[-1].startswith("integrity: ")


# A clock that jumps: what it does to sessions, rate limits and articles is in tests/test_clock_jumps.py


def connection_to(server: Server) -> AbstractContextManager[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60))


def test_a_clock_that_jumps_closes_no_idle_connection(project, tmp_path, run, faults):
    patient = with_constants(project, tmp_path, "worker.py", _IDLE_SECONDS=86_400)
    with run(workers=1, through=patient, **faults.settings) as server, connection_to(server) as idle:
        assert ask(idle, "GET", "/api/tags")[0] == 200
        opened = idle.sock
        with faults.at_work(f"clock {2 * 86_400} -"):
            for _ in range(3):
                assert server.ask("GET", "/api/tags")[0] == 200
            assert ask(idle, "GET", "/api/tags")[0] == 200
        assert idle.sock is opened


def test_a_clock_that_jumps_keeps_no_idle_connection_open(project, tmp_path, run, faults):
    impatient = with_constants(project, tmp_path, "worker.py", _IDLE_SECONDS=1, cleanup_interval=1)
    with run(workers=1, through=impatient, **faults.settings) as server, connection_to(server) as idle:
        with faults.at_work("clock 86400 -"):
            assert ask(idle, "GET", "/api/tags")[0] == 200

        assert idle.sock.recv(1) == b""  # closed, although its last request came tomorrow


# Too many open files


def test_with_few_file_descriptors_clients_wait_for_each_other_and_the_log_does_not_grow(run):
    with run(workers=1) as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        before = workers_of(server)
        # The worker that starts next inherits the parent's limit.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (110, 110))
        os.kill(before[0], signal.SIGKILL)
        until(lambda: workers_of(server) not in ([], before) and is_ready(server))
        workers = workers_of(server)
        with ExitStack() as idle:
            for _ in range(150):
                idle.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)))
            time.sleep(0.5)  # a worker that fails to accept over and over would log megabytes
            assert server.log.stat().st_size < 100_000
            assert len(os.listdir(f"/proc/{workers[0]}/fd")) < 110

        assert title_of(server, slug) == "Rowing at dawn"
        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        assert workers_of(server) == workers
