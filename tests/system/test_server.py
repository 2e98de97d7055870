"""A running server: a process and a socket, and what a WSGI test cannot see. Other tests use its helpers."""

import http.client
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from db.lock import WriteLock
from tests.conftest import HOME, JSON, PASSWORD
from tests.system.commands import error_of, waits_for_lock

MIB = 1024 * 1024


@dataclass
class Server:
    """A running server, and the file with its output."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    database: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON of a response, on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            return ask(connection, method, path, body, **headers)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, on a connection of its own."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(sql).fetchall()

    def stop(self) -> None:
        """Stop the server; then its log is complete."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def token(self, name: str) -> str:
        """The token of a new user."""
        user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
        return self.ask("POST", "/api/users", {"user": user})[1]["user"]["token"]


def ask(kept: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of a response; the connection stays open."""
    named = {name.title().replace("_", "-"): value for name, value in headers.items()}
    kept.request(method, path, None if body is None else json.dumps(body), named | JSON)
    response = kept.getresponse()
    text = response.read()
    return response.status, json.loads(text) if text else None


def command(database: Path, port: int, *more: str) -> list[str]:
    """The command line of a server."""
    return [sys.executable, str(HOME / "app.py"), "serve", "--port", str(port), "--database", str(database), *more]


def environment() -> dict[str, str]:
    """The environment of the process: none of our settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ROWBOAT_", "SENTRY_"))}


@contextmanager
def serving(
    folder: Path,
    *more: str,
    stderr: Any = None,
    through: Sequence[str] = (),
    instead: Sequence[str] = (),
    **settings: str,
) -> Iterator[Server]:
    """A server on a free port and a new database. It is stopped at the end, if it still runs.

    `stderr` is its standard error; `through` is a command that becomes the server; `instead` is its command line."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*through, *(instead or command(folder / "data" / "rowboat.db", 0, *more))],
            cwd=folder,
            env=environment() | settings,
            stdout=output,
            stderr=output if stderr is None else stderr,
        )
    try:
        yield Server(process, port_of(process, log), log, folder / "data" / "rowboat.db")
    finally:
        left = children_of(process.pid) if process.poll() is None and sys.platform == "linux" else []
        process.kill()
        process.wait(30)
        for pid in left:  # also those that the test has halted
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """The port that the server names once it listens."""
    address = re.compile(r"http://127\.0\.0\.1:(\d+)/api ")
    until(lambda: address.search(log.read_text()) or process.poll() is not None)
    found = address.search(log.read_text())
    assert found, log.read_text()
    return int(found[1])


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc tells of processes")


def workers_of(running: Server) -> list[int]:
    """The process ids of a server's workers."""
    return children_of(running.process.pid)


def children_of(parent: int) -> list[int]:
    """The process ids of the processes that another one has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs still."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def until_all_listen(running: Server, workers: int = 2) -> None:
    """Wait until so many workers accept connections; the first one does when the server is started."""
    listening = f":{running.port:04X} 00000000:0000 0A"
    until(lambda: Path("/proc/net/tcp").read_text().count(listening) == workers)


def until(what: Callable[[], object], seconds: int = 120) -> None:
    """Wait for something that happens soon, on a busy machine a little later."""
    for _ in range(50 * seconds):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it does not happen")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts a proxy, for all tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("server"), ROWBOAT_TRUSTED_PROXY="127.0.0.1") as running:
        yield running


@pytest.mark.parametrize("route", [("DELETE", "/api/user"), ("POST", "/api/user/deletion")], ids=["DELETE", "POST"])
def test_what_a_deleted_account_leaves_is_removed_also_after_a_crash(tmp_path, route):
    article = {"title": "Dawn", "description": "About it", "body": "The text", "tagList": []}
    with serving(tmp_path, "--workers", "2") as server:
        token = f"Token {server.token('ann')}"
        for _ in range(60):
            assert server.ask("POST", "/api/articles", {"article": article}, authorization=token)[0] == 201
        leaving = {"user": {"password": PASSWORD, "content": "delete"}}
        assert server.ask(*route, leaving, authorization=token)[0] == 204
        assert server.ask("GET", "/api/articles")[1] == {"articles": [], "articlesCount": 0}
        for pid in children_of(server.process.pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: server.rows("SELECT id FROM users UNION SELECT id FROM articles") == [])


def test_one_connection_serves_many_requests_whatever_came_before(server):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.connect()
        opened = connection.sock

        assert ask(connection, "HEAD", "/api/tags") == (200, None)
        assert ask(connection, "GET", "/api/nothing")[0] == 404
        assert ask(connection, "GET", "/api/tags", {"a": "body that nobody reads"})[0] == 200
        assert ask(connection, "POST", "/api/users/login", {"not": "a user"})[0] == 422
        assert ask(connection, "PUT", "/api/user", {"user": {"bio": "x" * 300_000}})[0] == 401
        assert ask(connection, "DELETE", "/api/tags")[0] == 405
        assert ask(connection, "OPTIONS", "/api/tags", origin="http://a", access_control_request_method="GET")[0] == 204
        assert ask(connection, "GET", "/api/tags", if_none_match="*") == (304, None)
        assert ask(connection, "GET", "/api/articles")[0] == 200
        assert connection.sock is opened


def test_a_trusted_proxy_names_the_client(server):
    user = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}

    # The client claims to be 198.51.100.7; the proxy adds the address that it sees.
    server.ask("POST", "/api/users", {"user": user}, x_forwarded_for="198.51.100.7, 192.0.2.1")

    assert server.rows("SELECT address FROM login_addresses") == [("192.0.2.1",)]


# Workers


@needs_proc
def test_each_worker_has_a_core_and_its_share_of_the_connections(tmp_path):
    def sockets():
        return [sum("socket:" in os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()) for pid in before]

    with serving(tmp_path, "--workers", "2") as running, ExitStack() as connections:
        until_all_listen(running)
        before = workers_of(running)
        pinned = [os.sched_getaffinity(pid) for pid in before]
        own = sockets()
        for _ in range(40):
            connections.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        until(lambda: sum(sockets()) >= sum(own) + 40)
        assert all(now > then for now, then in zip(sockets(), own, strict=True))

    assert [len(each) for each in pinned] == [1, 1]
    assert len(set.union(*pinned)) == min(2, len(os.sched_getaffinity(0)))
    assert running.log.read_text().count("set ROWBOAT_TRUSTED_PROXY") == 1  # and not once for each worker


def test_both_workers_return_all_that_was_acknowledged_before_the_request(tmp_path):
    """Ann edits on one worker while readers ask both in turn; each worker caches responses."""
    connections, edits = defaultdict(list), [0]  # by worker; acknowledged

    def connect():
        connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)))
        connection.request("GET", "/healthz")
        with connection.getresponse() as response:
            response.read()
        connection.auto_open = 0  # a new connection could go to the other worker
        connections[response.headers["X-Request-Id"][:24]].append(connection)  # ids of one process begin alike
        return len(connections) == 2 and min(map(len, connections.values())) >= 3

    def edit(connection):
        while not all(reader.done() for reader in readers):
            changes = {"article": {"description": str(edits[0] + 1)}}
            assert ask(connection, "PUT", path, changes, **ann)[0] == 200
            edits[0] += 1
            time.sleep(0.003)  # so that responses are also read from the cache

    def read(headers, connections):
        seen, states = 0, set()
        for connection in itertools.cycle(connections):
            least = max(seen, edits[0])
            (article,) = ask(connection, "GET", "/api/articles", **headers)[1]["articles"]
            seen = int(article["description"])
            assert seen >= least
            assert article["favorited"] is bool(headers)
            states.add(seen)
            if len(states) == 30:
                return

    with ExitStack() as stack, ThreadPoolExecutor(3) as pool, serving(tmp_path, "--workers", "2") as running:
        ann = {"authorization": f"Token {running.token('ann')}"}
        article = {"title": "Dawn", "description": "0", "body": "The text"}
        path = (
            f"/api/articles/{running.ask('POST', '/api/articles', {'article': article}, **ann)[1]['article']['slug']}"
        )
        running.ask("POST", f"{path}/favorite", **ann)
        until(connect)
        one, other = connections.values()
        readers = [pool.submit(read, headers, [one.pop(), other.pop()]) for headers in (ann, {})]
        for ended in as_completed([*readers, pool.submit(edit, one.pop())]):
            ended.result()


# Starting and stopping


def test_a_server_that_cannot_start_says_why_in_one_line_and_creates_nothing(server, fork, tmp_path):
    text = tmp_path / "text.db"
    text.write_text("This is longer than the header of a database. " * 9)
    for arguments, settings, message in [
        (["--port", str(server.port)], {}, f".*127.0.0.1:{server.port}: Address already in use; .*--port.*"),
        (["--database", str(text), "--workers", "4"], {}, f"{text}: .*"),
        ([], {"ROWBOAT_MIGRATE": "check"}, ".*; run the command migrate first"),
    ]:
        assert re.fullmatch(message, error_of(fork.start("serve", "--port", "0", *arguments, **settings)))
        assert not fork.database.parent.exists()


@needs_proc
def test_workers_close_in_turn_so_that_no_wal_is_left_and_all_acknowledged_data_is_there_after_a_restart(tmp_path):
    with serving(tmp_path, "--workers", "2") as first:
        until_all_listen(first)
        workers, token = workers_of(first), first.token("ann")
        modes = {path.name: path.stat().st_mode & 0o777 for path in first.database.parent.glob("rowboat.db*")}
        with closing(WriteLock(first.database)) as lock, lock:
            first.process.send_signal(signal.SIGTERM)
            until(lambda: all(map(waits_for_lock, workers)))
        assert first.process.wait(60) == 0
        assert not first.database.with_name("rowboat.db-wal").exists()
        assert first.rows("SELECT username FROM users") == [("ann",)]
        assert "rror" not in first.log.read_text()

    with serving(tmp_path) as second:
        assert second.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200

    # No other user of the machine can read the database or the files beside it.
    beside = ["-shm", "-wal", ".in-use", ".lock"]
    assert modes == dict.fromkeys(["rowboat.db", *(f"rowboat.db{end}" for end in beside)], 0o600)
