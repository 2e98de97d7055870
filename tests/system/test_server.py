"""A running server: a process and a socket, and what a WSGI test cannot see. Other tests borrow its helpers."""

import http.client
import itertools
import json
import os
import re
import resource
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

import serve
from tests.conftest import HOME, JSON, PASSWORD

MIB = 1024 * 1024
JSON_POST = b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nConnection: close\r\n"


@dataclass
class Server:
    """A running server, and where it writes what it has to say."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    database: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            return ask(connection, method, path, body, **headers)

    def sends(self, *parts: bytes) -> tuple[int, bytes, bytes]:
        """The status, the head and the body of what comes back for these bytes, until the server closes."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=60)) as connection:
            connection.sendall(b"".join(parts))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What SQLite answers on a connection of its own."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(sql).fetchall()

    def stop(self) -> None:
        """Have it end as an operator would; then its log is complete."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def token(self, name: str) -> str:
        """The token of a new user."""
        user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
        return self.ask("POST", "/api/users", {"user": user})[1]["user"]["token"]


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """The status and the JSON of an answer; the connection stays open."""
    sent = None if body is None else json.dumps(body)
    connection.request(
        method, path, sent, {name.title().replace("_", "-"): value for name, value in headers.items()} | JSON
    )
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text else None


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
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)


def port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """The port that the server names once it listens."""
    for _ in range(3000):
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/api ", log.read_text()):
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"the server does not start: {log.read_text()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all the tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


# Requests


def test_a_user_registers_publishes_and_is_read(server):
    token = server.token("ann")
    text = "Row, row, row your boat — gently down the stream 🚣\n" * 9000
    article = {"title": "Rowing at dawn", "description": "About it", "body": text}

    status, written = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Bearer {token}")
    read = server.ask("GET", f"/api/v1/articles/{written['article']['slug']}")

    assert status == 201
    assert read == (200, written)
    assert read[1]["article"]["body"] == text


@pytest.mark.parametrize(("path", "twice"), [(b"/api/user", 401), (b"/api/articles", 401), (b"/api/tags", 200)])
def test_two_authorization_headers_are_an_invalid_token(server, path, twice):
    header = f"Authorization: Token {server.token('bob' + path[5:].decode())}\r\n".encode()
    start, end = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n", b"Connection: close\r\n\r\n"

    assert server.sends(start, header, end)[0] == 200
    status, _, body = server.sends(start, header, header, end)

    assert status == twice
    assert status == 200 or json.loads(body) == {"errors": {"token": ["is invalid"]}}


@pytest.mark.parametrize(
    ("status", "type_", "sent"),
    [
        (400, b"text/plain", b"this is not HTTP\r\n\r\n"),
        # All of it is read before it is refused, so that nothing is left over when the server closes.
        (431, b"text/plain", b"GET /api/tags HTTP/1.1\r\nX-Long: ".ljust(32 * 1024, b"x")),
        (413, b"text/plain", b"POST /api HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % (2 * MIB + 1)),
        (413, b"application/json", JSON_POST + b"Content-Length: %d\r\n\r\n" % (MIB + 1) + b" " * (MIB + 1)),
    ],
    ids=["not HTTP", "long headers", "very long body", "long body"],
)
def test_what_does_not_reach_the_application_is_refused_as_text_and_the_rest_as_json(server, status, type_, sent):
    refused, head, body = server.sends(sent)

    assert refused == status
    assert b"Content-Type: " + type_ in head
    assert type_ == b"text/plain" or json.loads(body)["errors"].keys() == {"body"}
    assert b"Traceback" not in body


@pytest.mark.parametrize("path", [b"/api/articles/\xff", b"/api/articles?tag=\xff", b"//api/articles?tag=\xff"])
def test_raw_bytes_in_an_address_are_refused(server, path):
    status, *_ = server.sends(b"GET ", path, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert status == 400


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

    for version, connection in (b"1.1", b"close"), (b"1.0", b"keep-alive"):
        last = b"GET /api/tags HTTP/%s\r\nHost: localhost\r\nIf-None-Match: *\r\nConnection: %s\r\n\r\n"
        assert server.sends(last % (version, connection))[0] == 304  # and it is closed


def test_head_has_the_length_of_get_and_no_body(server):
    request = b" /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    _, _, document = server.sends(b"GET", request)
    status, head, body = server.sends(b"HEAD", request)

    assert status == 200
    assert body == b""
    assert b"Content-Length: %d\r\n" % len(document) in head


# Clients and their addresses


@pytest.mark.parametrize(("setting", "known", "notices"), [("", [], 1), ("127.0.0.1", [("192.0.2.1",)], 0)])
def test_only_a_trusted_proxy_names_the_client(tmp_path, setting, known, notices):
    with serving(tmp_path, "--workers", "2", ROWBOAT_TRUSTED_PROXY=setting) as running:
        user = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
        # The client claims to be 198.51.100.7; the proxy adds what it sees.
        running.ask("POST", "/api/users", {"user": user}, **{"X-Forwarded-For": "198.51.100.7, 192.0.2.1"})
        noted = running.rows("SELECT address FROM login_addresses")
        running.stop()

    assert noted == known
    assert running.log.read_text().count("ROWBOAT_TRUSTED_PROXY") == notices


# Workers


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


def sockets_of(pid: int) -> int:
    """How many sockets a process has open."""
    return sum("socket:" in os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())


def until(what: Callable[[], object], seconds: int = 120) -> None:
    """Wait for something that happens soon, on a busy machine a little later."""
    for _ in range(50 * seconds):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it does not happen")


@needs_proc
def test_an_idle_server_takes_less_than_64_mb_also_after_many_have_registered(tmp_path):
    with serving(tmp_path, "--workers", "1") as running:
        for number in range(12):
            running.token(f"ann{number}")
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in [running.process.pid, *workers_of(running)]]

    resident_kb = [int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) for status in statuses]
    assert len(resident_kb) == 2
    assert sum(resident_kb) * 1024 < 64_000_000


@needs_proc
def test_each_worker_has_a_core_and_its_share_of_the_connections_and_is_replaced_when_it_dies(tmp_path):
    with serving(tmp_path, "--workers", "2") as running:
        listening = f":{running.port:04X} 00000000:0000 0A"
        until(lambda: Path("/proc/net/tcp").read_text().count(listening) == 2)
        before = workers_of(running)
        pinned = [os.sched_getaffinity(pid) for pid in before]
        own = [sockets_of(pid) for pid in before]
        connections = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(40)]
        until(lambda: sum(map(sockets_of, before)) >= sum(own) + 40)
        of_each = [sockets_of(pid) for pid in before]
        for connection in connections:
            connection.close()

        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(workers_of(running)) == 2 and before[0] not in workers_of(running))
        until(lambda: running.ask("GET", "/api/tags")[0] == 200)

    assert [len(each) for each in pinned] == [1, 1]
    assert len(set.union(*pinned)) == min(2, len(os.sched_getaffinity(0)))
    assert all(now > then for now, then in zip(of_each, own, strict=True))
    assert f"worker {before[0]} ended with -9; another takes its place" in running.log.read_text()


def test_both_workers_return_all_that_was_acknowledged_before_the_request(tmp_path):
    """Ann and Bob edit while four readers ask both workers in turn, in each caller's name."""
    acknowledged = {"ann": 0, "bob": 0}  # how often they have edited their articles
    likes = {"ann": ["bob"], "bob": ["ann"], "nobody": []}
    connections = defaultdict(list)  # of each worker

    def connect():
        connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)))
        connection.connect()
        connection.auto_open = 0  # never anew: that could be another worker
        connection.request("GET", "/api")
        with connection.getresponse() as answer:
            answer.read()
        connections[answer.headers["X-Request-Id"][:24]].append(connection)  # ids of one process begin alike
        return len(connections) == 2 and min(map(len, connections.values())) >= 5

    def edit(name, connection):
        while not all(reader.done() for reader in readers):
            changes = {"description": str(acknowledged[name] + 1)}
            assert ask(connection, "PUT", paths[name], {"article": changes}, **headers[name])[0] == 200
            acknowledged[name] += 1
            time.sleep(0.003)  # answers are also to be remembered, and asked for again

    def read(*connections):
        seen, states = acknowledged, set()
        for name, connection in itertools.cycle(itertools.product(likes, connections)):
            least = {author: max(seen[author], acknowledged[author]) for author in seen}
            _, answer = ask(connection, "GET", "/api/articles", **headers[name])
            seen = {each["author"]["username"]: int(each["description"]) for each in answer["articles"]}
            assert all(seen[author] >= least[author] for author in least), (seen, least)
            assert [each["author"]["username"] for each in answer["articles"] if each["favorited"]] == likes[name]
            states.add(tuple(seen.values()))
            if len(states) == 100:  # so often was it seen to change
                return

    with ExitStack() as stack, ThreadPoolExecutor(6) as pool, serving(tmp_path, "--workers", "2") as running:
        headers = {name: {"authorization": f"Token {running.token(name)}"} for name in acknowledged} | {"nobody": {}}
        paths = {}
        for name in acknowledged:
            article = {"title": "Dawn", "description": "0", "body": "The text"}
            _, written = running.ask("POST", "/api/articles", {"article": article}, **headers[name])
            paths[name] = f"/api/articles/{written['article']['slug']}"
        running.ask("POST", f"{paths['bob']}/favorite", **headers["ann"])
        running.ask("POST", f"{paths['ann']}/favorite", **headers["bob"])
        until(connect)
        one, other = connections.values()
        readers = [pool.submit(read, one.pop(), other.pop()) for _ in range(4)]
        writers = [pool.submit(edit, "ann", one.pop()), pool.submit(edit, "bob", other.pop())]
        for ended in as_completed(readers + writers):
            ended.result()


@needs_proc
def test_workers_end_with_a_parent_that_was_killed_and_leave_no_metrics_behind(tmp_path):
    with serving(tmp_path, "--workers", "2", TMPDIR=str(tmp_path)) as running:
        until(lambda: len(workers_of(running)) == 2)
        workers = workers_of(running)
        assert len(list(tmp_path.glob("rowboat-*"))) == 1
        running.process.kill()
        running.process.wait(30)

        until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in workers))

    assert list(tmp_path.glob("rowboat-*")) == []


@needs_proc
def test_a_worker_that_can_write_no_file_is_not_ready(tmp_path):
    with serving(tmp_path, "--workers", "1") as running:
        assert running.ask("GET", "/readyz")[0] == 200
        (worker,) = workers_of(running)

        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status, body = running.ask("GET", "/readyz")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        assert (status, body["checks"]["database"]) == (503, "[Errno 27] File too large")
        assert running.ask("GET", "/readyz")[0] == 200


# Starting and stopping


def test_what_keeps_the_workers_from_starting_is_one_line(tmp_path):
    (tmp_path / "rowboat.db").write_text("This is a text, and it is longer than the header of a database. " * 9)

    ended = subprocess.run(
        command(tmp_path / "rowboat.db", 0, "--workers", "4"), env=environment(), capture_output=True, timeout=60
    )

    assert ended.returncode == 2
    assert ended.stderr.decode().count("\n") == 1


def test_a_second_server_on_the_same_port_is_refused_and_creates_nothing(server, tmp_path):
    second = subprocess.run(
        command(tmp_path / "data" / "rowboat.db", server.port),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=60,
    )

    assert second.returncode == 2
    assert second.stdout == b""
    (line,) = second.stderr.decode().splitlines()
    assert f"127.0.0.1:{server.port}: Address already in use" in line
    assert "--port" in line
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_taken_before_any_worker_listens():
    first = serve.bind("127.0.0.1", 0, 2)
    port = first[0].getsockname()[1]

    with pytest.raises(OSError, match="in use"):
        serve.bind("127.0.0.1", port, 2)

    for each in first:
        each.close()


def test_after_a_stop_the_wal_is_empty_and_what_was_acknowledged_is_there_at_the_next_start(tmp_path):
    with serving(tmp_path, "--workers", "2") as first:
        token = first.token("ann")
        modes = {path.name: path.stat().st_mode & 0o777 for path in first.database.parent.glob("rowboat.db*")}
        first.stop()
        assert not first.database.with_name("rowboat.db-wal").exists()
        assert first.rows("SELECT username FROM users") == [("ann",)]
        assert "rror" not in first.log.read_text()

    with serving(tmp_path) as second:
        status, read = second.ask("GET", "/api/user", authorization=f"Token {token}")

    assert (status, read["user"]["username"]) == (200, "ann")
    # Other users of the machine cannot read the database, nor what is beside it.
    beside = ["-shm", "-wal", ".in-use", ".lock"]
    assert modes == dict.fromkeys(["rowboat.db", *(f"rowboat.db{end}" for end in beside)], 0o600)
