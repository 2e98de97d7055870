"""The memory of a worker while clients ask for much, send much, or do not read: at most 120 MB."""

import http.client
import json
import re
import resource
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from waitress.adjustments import Adjustments

import buffers
from tests.system.test_server import Server, needs_proc, serving, workers_of

pytestmark = needs_proc

MB = 1_000_000
MOST = 120 * MB
NOW = "2026-01-31T12:00:00.000Z"
GET = b"GET /api/articles/dawn/comments HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /api/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n"
)


class Watched:
    """A server with one worker, and what its memory was at most."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.token = server.token("ann")
        (self.pid,) = workers_of(server)
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak is counted anew
        self.connections = ExitStack()

    def _of_status(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return 1024 * int(found[1])

    def peak(self) -> int:
        """The most bytes of memory that the worker had."""
        return self._of_status("VmHWM")

    def files(self) -> int:
        """The bytes of its temporary files."""
        total = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                total += each.stat().st_size if "(deleted)" in str(each.readlink()) else 0
        return total

    def connect(self, sent: bytes) -> socket.socket:
        """A connection that has sent this; closed at the end."""
        connection = self.connections.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", self.server.port))
        with suppress(ConnectionError):
            connection.sendall(sent)
        return connection

    def fill(self, sql: str, *values: object) -> None:
        """Write to the database."""
        with closing(sqlite3.connect(self.server.database)) as connection, connection:
            connection.execute(sql, values)

    def get(self, path: str) -> tuple[bytes, str]:
        """The body and the Link header of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Token {self.token}"})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read(), answer.headers.get("Link", "")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with serving(tmp_path, "--workers", "1") as server:
        watched = Watched(server)
        with watched.connections:
            yield watched
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def comments(watched: Watched) -> Watched:
    """An article with 2,600 comments of the most bytes that JSON can make of one."""
    article = "INSERT INTO articles (author_id, slug, title, description, body, created_at, updated_at)"
    watched.fill(f"{article} VALUES (1, 'dawn', 'Dawn', 'd', 'b', ?, ?)", NOW, NOW)
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2600)"
    comment = "INSERT INTO comments (article_id, author_id, body, created_at) SELECT 1, 1, ?, ? FROM numbers"
    watched.fill(f"{numbers} {comment}", "\x01" * 65_536, NOW)
    return watched


def test_pages_of_long_comments(comments):
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda n: comments.get(f"/api/articles/dawn/comments?n={n}")[0], range(40)))

    assert max(map(len, bodies)) <= 1024 * 1024
    assert len(json.loads(bodies[0])["comments"]) == 2
    assert comments.peak() <= MOST


def test_an_export_of_long_comments(comments):
    path = "/api/user/export"
    for _ in range(30):
        body, link = comments.get(path)
        assert len(body) <= 1024 * 1024
        path = "/api/user/export" + link.partition(">")[0].strip("<")

    assert comments.peak() <= MOST


def test_clients_that_read_nothing(comments):
    for _ in range(200):
        comments.connect(GET * 20)
    for _ in range(5):
        comments.server.ask("GET", "/api/tags")
        time.sleep(0.2)

    assert comments.peak() <= MOST
    assert comments.files() <= 2 * buffers.MOST_HELD_BYTES


def test_clients_that_keep_their_connection_after_a_long_response(comments):
    for _ in range(150):
        idle = comments.connections.enter_context(
            closing(http.client.HTTPConnection("127.0.0.1", comments.server.port, timeout=60))
        )
        idle.request("GET", "/api/articles/dawn/comments")
        assert len(idle.getresponse().read()) > 700_000

    assert comments.peak() <= MOST
    assert comments.files() < MB


@pytest.mark.parametrize("length", [40_000, 490_000])
def test_unfinished_bodies(watched, length):
    for _ in range(900):
        watched.connect(POST + b" " * length)
    watched.server.ask("GET", "/api/tags")

    assert watched.peak() <= MOST
    assert watched.files() <= buffers.MOST_HELD_BYTES + MB


def test_unfinished_headers(watched):
    for _ in range(900):
        watched.connect(b"GET / HTTP/1.1\r\nX: " + b"x" * 30_000)
    watched.server.ask("GET", "/api/tags")

    assert watched.peak() <= MOST


def test_many_large_responses_that_could_be_cached(comments):
    for number in range(100):
        comments.get(f"/api/articles/dawn/comments?x={number}")

    assert comments.peak() <= MOST


def test_bodies_that_take_much_more_memory_than_bytes(watched):
    names = {f"{number:06}": 1 for number in range(70_000)}
    body = {"user": names}

    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(lambda _: watched.server.ask("POST", "/api/users", body)[0], range(48)))

    assert statuses == {422}
    assert watched.peak() <= MOST


def test_who_reads_slowly_but_reads_gets_everything(comments):
    connection = comments.connect(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    received = b""
    while part := connection.recv(50_000):
        received += part

    assert received.count(b'"id"') == 2


# Which connections are closed


class Channel(SimpleNamespace):
    """What buffers.py looks at of a connection."""

    closed = False

    def handle_close(self) -> None:
        self.closed = True

    def discard(self) -> None:
        self.closed = True

    def held_requests(self) -> int:
        return self.sent

    def held_responses(self) -> int:
        return self.total_outbufs_len


def channel(**known):
    received = {"requests": [], "request": None, "request_began": 0, "sent": 0}
    return Channel(**received | {"is_discarded": False, "last_activity": 0, "total_outbufs_len": 0} | known)


def closed(*channels):
    return [each.name for each in channels if each.closed]


def test_the_idle_limit_counts_reading():
    deaf = channel(name="deaf", total_outbufs_len=10, requests=["waiting"])
    idle = channel(name="idle")
    ours = channel(name="waits for us", requests=["waiting"])
    reading = channel(name="reads", total_outbufs_len=10, last_activity=6)

    buffers.close_idle([deaf, idle, ours, reading], since=5)

    assert closed(deaf, idle, ours, reading) == ["deaf", "idle"]


def test_the_oldest_unfinished_bodies_are_closed_first():
    channels = [channel(name=n, request="half", request_began=n, sent=40) for n in (3, 1, 2)]
    waiting = channel(name="waiting", requests=["whole"], request_began=0, sent=40)

    buffers.close_unfinished([*channels, waiting], most_bytes=100)

    assert closed(*channels, waiting) == [1, 2]


def test_those_who_have_read_nothing_for_longest_are_closed_first():
    channels = [channel(name=n, total_outbufs_len=40, last_activity=n) for n in (3, 1, 2)]

    buffers.free_unread(channels, most_bytes=100)

    assert closed(*channels) == [1]


def test_how_long_a_client_does_not_read_counts_from_its_response():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = SimpleNamespace(active_channels={}, pull_trigger=lambda: None)
        waited = buffers.BoundedChannel(server, ours, None, Adjustments(), map={})
        with suppress(BlockingIOError):
            while True:
                ours.send(b"x" * MB)
        waited.last_activity = 0  # when its request came, which waited for a thread
        before = time.monotonic()

        waited.write_soon(b"a response")

        assert waited.last_activity >= before
