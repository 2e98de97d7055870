"""Faults beneath SQLite: 503, readers served where they can be, recovery without a restart, and nothing lost."""

import errno
import http.client
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.conftest import HOME
from tests.faults.clients import SETTINGS, Crowd, rounds
from tests.faults.faults import Faults
from tests.test_server import Server, ask, command, environment, needs_proc, serving, until, workers_of

pytestmark = [pytest.mark.slow, needs_proc]

ARTICLE = {"article": {"title": "Rowing at dawn", "description": "About it", "body": "The text"}}


def publish(server: Server, token: str, **fields: str) -> tuple[int, dict]:
    body = {"article": ARTICLE["article"] | fields}
    return server.ask("POST", "/api/articles", body, authorization=f"Token {token}")


def title_of(server: Server, slug: str) -> str:
    return server.ask("GET", f"/api/articles/{slug}")[1]["article"]["title"]


def refusal(server: Server, token: str) -> bytes:
    """The head of the answer to a write; it must be a 503 that says when to try again."""
    text = b'{"article": {"title": "Refused", "description": "About it", "body": "The text"}}'
    start = f"POST /api/articles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {token}\r\nConnection: close\r\n"
    status, head, body = server.sends(
        start.encode(), b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text), text
    )
    assert status == 503, body
    assert b"\r\nRetry-After: 1\r\n" in head
    assert body == b'{"errors": {"database": ["is not available; try again"]}}'
    return head


def wrong(server: Server) -> dict[str, str]:
    """What /readyz finds wrong."""
    status, answer = server.ask("GET", "/readyz")
    found = {name: said for name, said in answer["checks"].items() if said != "ok"}
    assert (status == 200) == (not found)
    return found


def check(server: Server) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "app.py", "check", "--database", str(server.database)]
    return subprocess.run(line, cwd=HOME, capture_output=True, text=True)


def require_sound(server: Server) -> None:
    done = check(server)
    assert done.stdout.splitlines()[-1] == f"{server.database} is as it should be", done


@pytest.fixture
def faults(tmp_path) -> Faults:
    return Faults(tmp_path, tmp_path / "data" / "rowboat.db")


# A disk that fails


@pytest.mark.parametrize(
    "fault",
    [
        f"write {errno.ENOSPC} *",
        f"write {errno.EIO} *",
        f"write {errno.EROFS} *",
        f"fsync {errno.EIO} *",
    ],
)
def test_while_the_disk_fails_writes_are_refused_and_readers_served_until_it_recovers(tmp_path, faults, fault):
    with serving(tmp_path, "--workers", "2", **faults.settings) as server:
        until(lambda: len(workers_of(server)) == 2)
        workers = workers_of(server)
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

        for _ in range(3):
            with faults.at_work(fault):
                for _ in range(4):
                    refusal(server, token)
                    assert title_of(server, slug) == "Rowing at dawn"
                    assert server.ask("GET", "/api/articles?tag=none")[0] == 200
                assert wrong(server).keys() == {"database"}
                assert server.ask("GET", "/healthz")[0] == 200
            assert publish(server, token)[0] == 201
            assert wrong(server) == {}

        assert server.rows("SELECT title, count(*) FROM articles GROUP BY title") == [("Rowing at dawn", 4)]
        assert workers_of(server) == workers
        assert "Traceback" not in server.log.read_text()
        server.stop()
    require_sound(server)


def test_what_was_acknowledged_between_faults_is_there_also_after_a_crash_in_the_middle_of_one(tmp_path, faults):
    kinds = [f"write {errno.ENOSPC} *", f"write {errno.EIO} *", f"fsync {errno.EIO} *"]
    # Checkpoints fail, and commits do not: the WAL takes them.
    kinds += [f"write {errno.EIO} rowboat.db", f"fsync {errno.EIO} rowboat.db"]
    crowd = Crowd()
    for number, chance in enumerate(rounds(short=5, share=0.3)):
        fault = kinds[number % len(kinds)]
        with serving(tmp_path, "--workers", "2", **faults.settings, **SETTINGS) as server:
            until(lambda server=server: len(workers_of(server)) == 2)
            everybody = [server.process.pid, *workers_of(server)]
            # What a flush has failed to store stands in the WAL, where a crash that follows at once may find it whole.
            crowd.trust_503("fsync" not in fault)
            with crowd.writing(server.port, chance):
                for _ in range(3):
                    until(crowd.has_written(1))
                    time.sleep(chance.uniform(0, 0.4))
                    with faults.at_work(fault):
                        until(faults.was_made)
                        time.sleep(chance.uniform(0, 0.4))
                faults.begin(fault)
                until(faults.was_made)
                time.sleep(chance.uniform(0.05, 0.4))
                for pid in everybody:
                    os.kill(pid, signal.SIGKILL)
            server.process.wait(30)
            assert "Traceback" not in server.log.read_text()
        faults.end()
        require_sound(server)
        crowd.require_stored(server.database)
    print(f"{crowd.acknowledged} writes were acknowledged, {crowd.refused} refused")
    assert crowd.refused > 20


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


def test_a_disk_that_is_really_full_refuses_writes_serves_readers_and_recovers(tmp_path):
    with small_file_system(tmp_path / "data", 32), serving(tmp_path, ROWBOAT_MIN_FREE_MB="1", **SETTINGS) as server:
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
        server.stop()
        require_sound(server)
        assert "Traceback" not in server.log.read_text()


def test_where_nothing_can_be_written_it_refuses_to_start(tmp_path):
    with small_file_system(tmp_path / "data", 32):
        with serving(tmp_path) as server:
            server.token("ann")
            server.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "data")], check=True)

        done = subprocess.run(command(server.database, 0), env=environment(), capture_output=True, text=True)

        assert done.returncode == 2
        assert done.stderr == (
            f"rowboat: {server.database}.lock: Read-only file system; the folder must be one that can be written\n"
        )


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Root may write what it likes, but for this attribute."""
    makes, ends = (["chattr", "+i"], ["chattr", "-i"]) if os.geteuid() == 0 else (["chmod", "a-w"], ["chmod", "u+w"])
    if subprocess.run([*makes, str(file)], capture_output=True).returncode:
        pytest.skip("needs a file system with chattr, or another user than root")
    try:
        yield
    finally:
        subprocess.run([*ends, str(file)], check=True)


def test_a_file_that_cannot_be_written_is_served_to_readers_and_to_all_once_it_can(tmp_path):
    with serving(tmp_path) as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        server.stop()

    with ExitStack() as running:
        with read_only(server.database):
            server = running.enter_context(serving(tmp_path, "--workers", "1"))
            for _ in range(4):
                refusal(server, token)
                assert title_of(server, slug) == "Rowing at dawn"
                assert wrong(server) == {"database": "attempt to write a readonly database"}

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        server.stop()
    require_sound(server)


# A file that is not where it was


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_file_that_is_moved_or_replaced_while_it_is_served_takes_no_writes_until_it_is_back(tmp_path, end, how):
    with serving(tmp_path, "--workers", "2") as server:
        until(lambda: len(workers_of(server)) == 2)
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        file = server.database.with_name(server.database.name + end)
        content = file.read_bytes()

        file.rename(tmp_path / "elsewhere")
        if how == "replaced":
            file.write_bytes(content)
        for _ in range(6):
            refusal(server, token)
            # Threads that have read before read on; others open no file that may be another one.
            status, answer = server.ask("GET", f"/api/articles/{slug}")
            assert (status, answer.get("article", {}).get("title")) in ((200, "Rowing at dawn"), (503, None))
        assert "was moved, deleted or replaced while in use" in wrong(server)["database"]
        if how == "replaced":
            assert file.read_bytes() == content
        (tmp_path / "elsewhere").replace(file)

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        server.stop()
    assert server.rows("SELECT count(*) FROM articles") == [(2,)]
    require_sound(server)


def test_a_wal_that_is_deleted_takes_nothing_along_that_was_acknowledged(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        token = server.token("ann")
        assert publish(server, token)[0] == 201
        server.database.with_name("rowboat.db-wal").unlink()
        refusal(server, token)
        server.stop()

    with serving(tmp_path, "--workers", "2") as server:
        assert publish(server, token)[0] == 201
        server.stop()
    assert server.rows("SELECT count(*) FROM articles") == [(2,)]
    require_sound(server)


def test_a_worker_that_starts_while_the_database_is_gone_makes_no_new_one(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        until(lambda: len(workers_of(server)) == 2)
        token = server.token("ann")
        server.database.rename(tmp_path / "elsewhere.db")
        os.kill(workers_of(server)[0], signal.SIGKILL)
        until(lambda: "it is gone, and rowboat.db-wal is still there" in server.log.read_text())
        assert not server.database.exists()

        (tmp_path / "elsewhere.db").rename(server.database)

        until(lambda: publish_or_none(server, token) == 201)
        until(lambda: [wrong_or_none(server) for _ in range(10)] == [{}] * 10)
        server.stop()
    require_sound(server)


def publish_or_none(server: Server, token: str) -> int | None:
    try:
        return publish(server, token)[0]
    except OSError:  # the worker that was killed had the connection
        return None


def wrong_or_none(server: Server) -> dict[str, str] | None:
    try:
        return wrong(server)
    except OSError:
        return None


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


def seconds_until_refused(server: Server, token: str) -> float:
    began = time.monotonic()
    refusal(server, token)
    return time.monotonic() - began


@pytest.mark.parametrize("hold", [begun_by_a_shell, locked])
def test_while_another_process_holds_the_lock_for_too_long_writes_are_refused_and_readers_served(tmp_path, hold):
    with serving(tmp_path, "--workers", "2") as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]

        with hold(server.database), ThreadPoolExecutor(5) as crowd:
            refused = [crowd.submit(seconds_until_refused, server, token) for _ in range(4)]
            told = crowd.submit(wrong, server)
            assert title_of(server, slug) == "Rowing at dawn"
            assert min(each.result() for each in refused) > 4
            assert told.result().keys() == {"database"}

        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        until(lambda: server.log.read_text().count('"status": 503') == 5)
        assert server.rows("SELECT count(*) FROM articles WHERE title = 'Refused'") == [(0,)]
        server.stop()
    require_sound(server)


def test_the_wal_that_grows_under_a_long_reader_is_cut_once_it_is_gone(tmp_path):
    def write(count: int) -> None:
        for _ in range(count):
            assert publish(server, token, body="Row. " * 190_000)[0] == 201

    with serving(tmp_path, "--workers", "2", **SETTINGS) as server:
        wal = server.database.with_name("rowboat.db-wal")
        token = server.token("ann")
        with closing(sqlite3.connect(server.database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(0,)]
            write(40)
            assert wal.stat().st_size > 70 << 20
            assert reader.execute("SELECT count(*) FROM articles").fetchall() == [(0,)]
            reader.execute("COMMIT")
        write(3)

        assert wal.stat().st_size <= 64 << 20
        server.stop()
    assert not wal.exists()
    require_sound(server)


# A page that is not what it was


@pytest.mark.parametrize("kind", ["table", "index"])
def test_a_damaged_page_is_a_503_for_those_who_need_it_and_nothing_to_the_others(tmp_path, kind):
    with serving(tmp_path, "--workers", "2") as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        comments, body = f"/api/articles/{slug}/comments", {"comment": {"body": "Well rowed"}}
        assert server.ask("POST", comments, body, authorization=f"Token {token}")[0] == 201
        server.stop()
    name = {"table": "comments", "index": "comments_article_id_idx"}[kind]
    ((page,),) = server.rows(f"SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")
    good = server.database.read_bytes()
    with server.database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)

    with serving(tmp_path, "--workers", "2") as server:
        for _ in range(3):
            status, answer = server.ask("GET", comments)
            assert (status, answer) == (503, {"errors": {"database": ["is not available; try again"]}})
            assert title_of(server, slug) == "Rowing at dawn"
            assert publish(server, token)[0] == 201
        assert "503: database disk image is malformed" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()
        checked = check(server)
        assert checked.returncode == 1
        assert checked.stdout.splitlines()[-1].startswith("integrity: ")
        assert checked.stderr == ""
        server.stop()

    server.database.write_bytes(good)
    with serving(tmp_path, "--workers", "2") as server:
        assert server.ask("GET", comments)[0] == 200
        assert publish(server, token)[0] == 201
        server.stop()
    require_sound(server)


# A clock that jumps


def test_a_clock_that_jumps_back_ends_no_session_locks_nobody_out_and_orders_nothing_anew(tmp_path, faults):
    with serving(tmp_path, "--workers", "2", **faults.settings) as server:
        with faults.at_work("clock 86400 -"):  # it is a day ahead
            token = server.token("ann")
            first = publish(server, token, title="Tomorrow")[1]["article"]
            login = {"user": {"email": "ann@example.org", "password": "wrong as wrong can be"}}
            statuses = [server.ask("POST", "/api/users/login", login)[0] for _ in range(12)]
            assert statuses[-1] == 429

        # It is mended.
        right = login["user"] | {"password": "correct horse"}
        assert server.ask("POST", "/api/users/login", {"user": right})[0] == 200
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        second = publish(server, token, title="Today")[1]["article"]
        assert second["createdAt"] < first["createdAt"]
        listed = server.ask("GET", "/api/articles")[1]["articles"]
        assert [each["title"] for each in listed] == ["Today", "Tomorrow"]
        before = first["updatedAt"]
        for number in range(5):
            path, body = f"/api/articles/{first['slug']}", {"article": {"body": f"Text {number}"}}
            after = server.ask("PUT", path, body, authorization=f"Token {token}")[1]["article"]["updatedAt"]
            assert after > before
            before = after
        assert server.ask("GET", f"/api/articles/{first['slug']}")[1]["article"]["body"] == "Text 4"
        assert wrong(server) == {}

        with faults.at_work("clock -86400 -"):  # and a day late
            assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
            assert publish(server, token, title="Yesterday")[0] == 201
            assert server.ask("GET", "/api/articles?limit=1")[1]["articles"][0]["title"] == "Yesterday"
        assert "Traceback" not in server.log.read_text()
        server.stop()
    require_sound(server)


def test_a_session_that_was_begun_while_the_clock_was_ahead_ends_like_any_other(tmp_path, faults):
    month = 31 * 24 * 3600
    with serving(tmp_path, "--workers", "1", **faults.settings) as server:
        with faults.at_work(f"clock {10 * month} -"):
            token = server.token("ann")
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        with faults.at_work(f"clock {month} -"):
            assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 401


def test_a_clock_that_jumps_neither_cuts_idle_connections_nor_keeps_them(tmp_path, faults):
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path, "--workers", "1", **faults.settings))
        idle = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)))
        assert ask(idle, "GET", "/api/tags")[0] == 200
        opened = idle.sock
        with faults.at_work("clock 86400 -"):
            time.sleep(2)
            assert ask(idle, "GET", "/api/tags")[0] == 200
            assert idle.sock is opened
        # It is closed in less than a minute, though its last request came tomorrow.
        assert opened.recv(1) == b""


# Too many open files


def test_where_few_files_may_be_open_clients_wait_for_each_other_and_the_log_does_not_grow(tmp_path):
    with serving(tmp_path, "--workers", "1") as server:
        token = server.token("ann")
        slug = publish(server, token)[1]["article"]["slug"]
        before = workers_of(server)
        # The parent is told so; the worker that it starts next inherits it.
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (110, 110))
        os.kill(before[0], signal.SIGKILL)
        until(lambda: workers_of(server) not in ([], before) and wrong_or_none(server) == {})
        workers = workers_of(server)
        with ExitStack() as idle:
            for _ in range(150):
                idle.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)))
            time.sleep(2)
            assert server.log.stat().st_size < 100_000
            assert len(os.listdir(f"/proc/{workers[0]}/fd")) < 110

        assert title_of(server, slug) == "Rowing at dawn"
        assert publish(server, token)[0] == 201
        assert wrong(server) == {}
        assert workers_of(server) == workers
        assert "Traceback" not in server.log.read_text()
        server.stop()
    require_sound(server)
