"""Reads and writes under load: the server neither grows nor leaks, and in the long form it does not slow down either.

In the short form each client sends its next request when the last one is answered, a fixed number of requests in all.
In the long form requests arrive at 70% of the server's capacity, whether earlier ones were answered or not, and each
one's time counts from when it was due, so that a stall is counted for all who would have waited (an open loop)."""

import json
import os
import random
import re
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.system.faults.at_once import request
from tests.system.faults.clients import MINUTES, SETTINGS
from tests.system.test_server import Server, children_of, needs_proc, serving

SHARE_OF_CAPACITY = 0.7
WINDOWS = 12
REQUESTS = 3000  # in each window of the short form

# Within ten minutes, or a third of the time, the server may fill what it then keeps.
WARM_UP = int(WINDOWS * min(10 / MINUTES, 1 / 3)) if MINUTES else WINDOWS // 3

# A process may grow by so much after that. In the short form, 1% was seen.
MOST_GROWTH = 0.05

# SQLite keeps the descriptor of a connection that was closed beside others, for the next one. The threads of a worker
# may each open one at the same time, for the plan of a statement that was slow.
KEPT_BY_SQLITE = 5

# A checkpoint is due after each 4 MB, and waits for readers. At most 7 were seen.
MOST_WAL_MB = 16

PASSWORD = "rowboat-demo"
CALLERS = 24

# How many of a thousand requests; those with a star bring a token. Hashing a password takes as long as fifty others.
READS = {
    "/articles": 190,
    "/articles?limit=20&offset={offset}*": 60,
    "/articles?tag={tag}": 60,
    "/articles?author={name}*": 40,
    "/articles?favorited={name}": 20,
    "/articles/{popular}": 150,
    "/articles/{slug}*": 150,
    "/articles/{slug}/comments*": 60,
    "/articles/feed*": 80,
    "/tags": 50,
    "/profiles/{name}*": 39,
}
WRITES = {"favorite": 30, "follow": 15, "edit": 15, "comment": 30, "publish": 10, "log in": 1}

# These rows are deleted again, the oldest first, once there are so many: the same rate stays the same work.
STORED = {"comment": "comments", "publish": "articles", "log in": "sessions"}
KEPT = 300


class Asked(NamedTuple):
    """A request, and a function that turns its response into the request which undoes it."""

    kind: str
    sent: bytes
    undo: Callable[[Any], bytes] | None = None


class Workload:
    """Random requests, by some of the users of the demo content, about all of its articles."""

    def __init__(self, server: Server) -> None:
        self._chance = random.Random(1)
        self._names = [quote(name) for (name,) in server.rows("SELECT username FROM users ORDER BY id")]
        self._emails = [email for (email,) in server.rows(f"SELECT email FROM users ORDER BY id LIMIT {CALLERS}")]
        logins = [{"user": {"email": email, "password": PASSWORD}} for email in self._emails]
        users = [server.ask("POST", "/api/users/login", login)[1]["user"] for login in logins]
        tokens = {user["username"]: f"Authorization: Token {user['token']}\r\n" for user in users}
        self._callers = list(tokens.values())
        self._tags = server.ask("GET", "/api/tags")[1]["tags"]
        articles = server.rows("SELECT slug, username FROM articles JOIN users ON users.id = author_id")
        self._slugs = [slug for slug, _ in articles]
        self._own = [(slug, tokens[name]) for slug, name in articles if name in tokens]
        self.kept: dict[str, deque[bytes]] = {kind: deque() for kind in STORED}

    def requests(self) -> Iterator[Asked]:
        """The next requests, without end."""
        mix = READS | WRITES
        while True:
            for kind in self._chance.choices(list(mix), list(mix.values()), k=1000):
                if kind in STORED and len(self.kept[kind]) >= KEPT:
                    yield Asked(kind, self.kept[kind].popleft())
                else:
                    yield Asked(kind, *(self._write(kind) if kind in WRITES else self._read(kind)))

    def answered(self, asked: Asked, status: int, body: bytes) -> None:
        """Note how to undo what is stored now."""
        if asked.undo and status < 300:
            self.kept[asked.kind].append(asked.undo(json.loads(body)))

    def _read(self, template: str) -> tuple[bytes]:
        some = self._chance.choice
        offset, tag, name = self._chance.randrange(400), quote(some(self._tags)), some(self._names)
        fields = {"slug": some(self._slugs), "popular": some(self._slugs[:10])}
        path = template.rstrip("*").format(offset=offset, tag=tag, name=name, **fields)
        return (request("GET", path, {}, some(self._callers) if template.endswith("*") else ""),)

    def _write(self, kind: str) -> tuple[bytes] | tuple[bytes, Callable[[Any], bytes]]:
        some = self._chance.choice
        caller, slug, is_on = some(self._callers), some(self._slugs), some(["POST", "DELETE"])
        text = f"It was {self._chance.randrange(10**9)}. " * self._chance.randrange(1, 60)
        match kind:
            case "favorite":
                return (request(is_on, f"/articles/{slug}/favorite", {}, caller),)
            case "follow":
                return (request(is_on, f"/profiles/{some(self._names)}/follow", {}, caller),)
            case "edit":
                slug, author = some(self._own)
                return (request("PUT", f"/articles/{slug}", {"article": {"body": text}}, author),)
            case "comment":
                path = f"/articles/{slug}/comments"
                sent = request("POST", path, {"comment": {"body": text}}, caller)
                return sent, lambda body: request("DELETE", f"{path}/{body['comment']['id']}", {}, caller)
            case "publish":
                tags = self._chance.sample(self._tags, 3)
                article = {"title": text[:60], "description": "About it", "body": text, "tagList": tags}
                sent = request("POST", "/articles", {"article": article}, caller)
                return sent, lambda body: request("DELETE", f"/articles/{body['article']['slug']}", {}, caller)
            case _:
                sent = request("POST", "/users/login", {"user": {"email": some(self._emails), "password": PASSWORD}})
                token = "Authorization: Token {user[token]}\r\n"
                return sent, lambda body: request("DELETE", "/user/sessions/current", {}, token.format(**body))


class Connection:
    """A connection with one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = Asked("", b"")
        self.due = 0.0
        self._received = b""

    def send(self, due: float, asked: Asked) -> None:
        """Send a request that was due at that time."""
        self.asked, self.due, self._received = asked, due, b""
        self.socket.sendall(asked.sent)

    def answer(self) -> tuple[int, bytes] | None:
        """Read what came; the status and the body once the response is complete."""
        more = self.socket.recv(262144)
        assert more, f"the connection was closed: {self.asked}"
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert length or not end or head[9:12] == b"204", self._received
        return (int(head[9:12]), body) if end and len(body) == int(length[1] if length else 0) else None


class Generator:
    """Sends requests on so many connections, in turn."""

    def __init__(self, port: int, workload: Workload, connections: int = 64) -> None:
        self._workload, self._requests = workload, workload.requests()
        self._connections = {each.socket.fileno(): each for each in (Connection(port) for _ in range(connections))}
        self._idle = deque(self._connections.values())
        self._waiting: deque[float] = deque()  # when requests were due for which no connection was free
        self.asked = 0
        self.statuses: Counter[int] = Counter()
        self.took_ms: list[float] = []

    def close(self) -> None:
        """Close the connections."""
        for each in self._connections.values():
            each.socket.close()

    def flood(self, requests: int) -> float:
        """Send so many requests, each as soon as a connection is free; how many a second were answered."""
        began = time.monotonic()
        self._waiting.extend([began] * requests)
        self.finish()
        return requests / (time.monotonic() - began)

    def keep_up(self, rate: float) -> Callable[[float], None]:
        """Begin to send so many requests a second. The function that is returned goes on with it until a time."""
        next_due = time.monotonic()

        def until(end: float) -> None:
            nonlocal next_due
            while (now := time.monotonic()) < end:
                while next_due <= now:
                    self._waiting.append(next_due)
                    next_due += 1 / rate
                self._exchange(min(next_due, end))

        return until

    def finish(self) -> None:
        """Wait for all responses."""
        while self._waiting or len(self._idle) < len(self._connections):
            self._exchange(time.monotonic() + 1)

    def _exchange(self, until: float) -> None:
        """Send what is due, and receive what has come, or comes until then."""
        while self._waiting and self._idle:
            self._idle.popleft().send(self._waiting.popleft(), next(self._requests))
            self.asked += 1
        for number in select.select(self._connections, [], [], max(0, until - time.monotonic()))[0]:
            connection = self._connections[number]
            if answer := connection.answer():
                self.took_ms.append(1000 * (time.monotonic() - connection.due))
                self.statuses[answer[0]] += 1
                self._workload.answered(connection.asked, *answer)
                self._idle.append(connection)


class Window(NamedTuple):
    """The measurements of a part of the time: of the parent and of each worker, and of the WAL."""

    p99_ms: float
    resident_mb: list[float]  # the least, for hashing a password takes 19 more
    descriptors: list[int]
    threads: list[int]
    wal_mb: float  # the most


def watched(server: Server, generator: Generator, steps: int, step: Callable[[], Any]) -> Window:
    """The measurements while requests are sent in so many steps."""
    pids, wal = [server.process.pid, *children_of(server.process.pid)], Path(f"{server.database}-wal")
    generator.took_ms.clear()
    resident, wal_mb = [], 0.0
    for _ in range(steps):
        step()
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        resident.append([int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1000 for text in texts])
        wal_mb = max(wal_mb, wal.stat().st_size / 1e6)
    took = sorted(generator.took_ms)
    p99 = took[len(took) * 99 // 100]
    descriptors = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    threads = [int(re.search(r"Threads:\s+(\d+)", text)[1]) for text in texts]
    window = Window(p99, [min(each) for each in zip(*resident, strict=True)], descriptors, threads, wal_mb)
    print(f"p50 {took[len(took) // 2]:.1f} ms  most {took[-1]:.1f} ms  {window}", flush=True)
    return window


@needs_proc
def test_under_load_the_server_neither_grows_nor_leaks_nor_slows_down(tmp_path, commands):
    commands.database = tmp_path / "data" / "rowboat.db"
    commands.run("seed")
    with serving(tmp_path, "--workers", "2", **SETTINGS) as server:
        workload = Workload(server)
        before = {table: server.rows(f"SELECT count(*) FROM {table}")[0][0] for table in STORED.values()}
        with closing(Generator(server.port, workload)) as generator:
            if MINUTES:
                generator.flood(8_000)
                rate = SHARE_OF_CAPACITY * generator.flood(25_000)
                print(f"{rate:.0f} requests a second")
                until, asked = generator.keep_up(rate), generator.asked
                seconds = int(60 * MINUTES / WINDOWS)
                windows = [
                    watched(server, generator, seconds, lambda: until(time.monotonic() + 1)) for _ in range(WINDOWS)
                ]
                generator.finish()
                assert generator.asked - asked == pytest.approx(rate * seconds * WINDOWS, rel=0.01)
                first, last = [each.p99_ms for each in windows[:4]], [each.p99_ms for each in windows[-4:]]
                assert median(last) < 3 * median(first)
            else:
                windows = [
                    watched(server, generator, 4, lambda: generator.flood(REQUESTS // 4)) for _ in range(WINDOWS)
                ]

        print(f"{generator.asked} requests: {dict(generator.statuses)}")
        assert generator.statuses.total() == generator.asked
        assert generator.statuses.keys() == {200, 201, 204}
        stored = {table: server.rows(f"SELECT count(*) FROM {table}")[0][0] - before[table] for table in before}
        assert stored == {table: len(workload.kept[kind]) for kind, table in STORED.items()}
        warm, last = windows[WARM_UP], windows[-1]
        for number in range(3):
            assert last.resident_mb[number] < (1 + MOST_GROWTH) * warm.resident_mb[number]
            assert last.descriptors[number] <= warm.descriptors[number] + KEPT_BY_SQLITE
            assert last.threads[number] == warm.threads[number]
        assert max(window.wal_mb for window in windows) < MOST_WAL_MB
        server.stop()
        assert commands.says("check")[-1] == f"{server.database} is as it should be"
        assert "Traceback" not in server.log.read_text()
