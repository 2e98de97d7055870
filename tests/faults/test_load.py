"""Reads and writes at 70% of what the server can do, for long: it neither grows nor leaks nor slows down.

Requests arrive at a fixed rate, whether those before were answered or not, and each one's time counts from when it
was due: whoever would have had to wait in a stall is counted (an open loop)."""

import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.conftest import HOME
from tests.faults.at_once import command, request
from tests.faults.clients import MINUTES, SETTINGS
from tests.test_server import Server, children_of, environment, needs_proc, serving

pytestmark = [pytest.mark.slow, pytest.mark.alone, needs_proc]

SHARE_OF_CAPACITY = 0.7

# The long form is this long; its first ten minutes, or its first third, may be used to fill what is then kept.
SECONDS = 60 * MINUTES or 60
WARM_UP = min(600, SECONDS / 3)
WINDOWS = 12

# By so much may a process grow from then on. In the short form, 1% was seen.
MOST_GROWTH = 0.05

# SQLite keeps the descriptor of a connection that was closed beside others, for the next one. The threads of a worker
# may each open one at the same time, for the plan of a statement that was slow.
KEPT_BY_SQLITE = 5

# Each 4 MB a checkpoint is due, which waits for those who read. At most 7 were seen.
MOST_WAL_MB = 16

PASSWORD = "rowboat-demo"
CALLERS = 24

# How many of a thousand requests. Hashing a password takes as long as fifty others.
MIX = {
    "listing": 190,
    "page": 60,
    "by tag": 60,
    "by author": 40,
    "liked by": 20,
    "article": 150,
    "any article": 150,
    "comments": 60,
    "feed": 80,
    "tags": 50,
    "profile": 39,
    "comment": 30,
    "favorite": 30,
    "follow": 15,
    "edit": 15,
    "publish": 10,
    "log in": 1,
}

# What these write is taken back, the oldest first, once there is so much of it: the same rate stays the same work.
STORED = {"comment": "comments", "publish": "articles", "log in": "sessions"}
KEPT = 300


class Asked(NamedTuple):
    """A request, and what takes back what it writes: a function of its answer."""

    kind: str  # a name in MIX
    sent: bytes
    undo: Callable[[Any], bytes] | None = None


class Workload:
    """Requests at random, by some of the people of the demo content, about all of its articles."""

    def __init__(self, server: Server) -> None:
        self._chance = random.Random(1)
        users = server.rows("SELECT username, email FROM users ORDER BY id")
        self._names = [quote(name) for name, _ in users]
        self._emails = [email for _, email in users[:CALLERS]]
        sent = [{"user": {"email": email, "password": PASSWORD}} for email in self._emails]
        answers = [server.ask("POST", "/api/users/login", each)[1]["user"] for each in sent]
        self._callers = [f"Authorization: Token {answer['token']}\r\n" for answer in answers]
        self._tags = server.ask("GET", "/api/tags")[1]["tags"]
        slugs = server.rows(
            "SELECT slug, username FROM articles JOIN users ON users.id = author_id ORDER BY articles.id"
        )
        self._slugs = [slug for slug, _ in slugs]
        mine = defaultdict(list)
        for slug, name in slugs:
            mine[name].append(slug)
        by_name = zip((answer["username"] for answer in answers), self._callers, strict=True)
        self._authors = [(caller, mine[name]) for name, caller in by_name if mine[name]]
        self.kept: dict[str, deque[bytes]] = {kind: deque() for kind in STORED}

    def requests(self) -> Iterator[Asked]:
        """What is asked next, without end."""
        while True:
            for kind in self._chance.choices(list(MIX), list(MIX.values()), k=1000):
                if kind in STORED and len(self.kept[kind]) >= KEPT:
                    yield Asked(kind, self.kept[kind].popleft())
                elif kind in STORED:
                    yield Asked(kind, *self._write(kind))
                else:
                    yield Asked(kind, self._request(kind))

    def answered(self, asked: Asked, status: int, body: bytes) -> None:
        """Remember how to take back what is stored now."""
        if asked.undo and status < 300:
            self.kept[asked.kind].append(asked.undo(json.loads(body)))

    def _write(self, kind: str) -> tuple[bytes, Callable[[Any], bytes]]:
        caller, text = self._chance.choice(self._callers), self._text()
        match kind:
            case "comment":
                path = f"/articles/{self._chance.choice(self._slugs)}/comments"
                asked = request("POST", path, {"comment": {"body": text}}, caller)
                return asked, lambda body: request("DELETE", f"{path}/{body['comment']['id']}", {}, caller)
            case "publish":
                tags = self._chance.sample(self._tags, 3)
                article = {"title": text[:60], "description": "About it", "body": text, "tagList": tags}
                asked = request("POST", "/articles", {"article": article}, caller)
                return asked, lambda body: request("DELETE", f"/articles/{body['article']['slug']}", {}, caller)
            case _:
                user = {"email": self._chance.choice(self._emails), "password": PASSWORD}
                return request("POST", "/users/login", {"user": user}), lambda body: request(
                    "DELETE", "/user/sessions/current", {}, f"Authorization: Token {body['user']['token']}\r\n"
                )

    def _text(self) -> str:
        return f"It was {self._chance.randrange(10**9)}. " * self._chance.randrange(1, 60)

    def _request(self, kind: str) -> bytes:
        some = self._chance.choice
        caller, slug = some(self._callers), some(self._slugs)
        match kind:
            case "listing":
                return request("GET", "/articles", {})
            case "page":
                return request("GET", f"/articles?limit=20&offset={self._chance.randrange(400)}", {}, caller)
            case "by tag":
                return request("GET", f"/articles?tag={quote(some(self._tags))}", {})
            case "by author":
                return request("GET", f"/articles?author={some(self._names)}", {}, caller)
            case "liked by":
                return request("GET", f"/articles?favorited={some(self._names)}", {})
            case "article":
                return request("GET", f"/articles/{some(self._slugs[:10])}", {})
            case "any article":
                return request("GET", f"/articles/{slug}", {}, caller)
            case "comments":
                return request("GET", f"/articles/{slug}/comments", {}, caller)
            case "feed":
                return request("GET", "/articles/feed", {}, caller)
            case "tags":
                return request("GET", "/tags", {})
            case "profile":
                return request("GET", f"/profiles/{some(self._names)}", {}, caller)
            case "favorite":
                return request(some(["POST", "DELETE"]), f"/articles/{slug}/favorite", {}, caller)
            case "follow":
                return request(some(["POST", "DELETE"]), f"/profiles/{some(self._names)}/follow", {}, caller)
            case _:
                author, slugs = some(self._authors)
                return request("PUT", f"/articles/{some(slugs)}", {"article": {"body": self._text()}}, author)


class Connection:
    """A connection on which one request at a time is answered."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = Asked("", b"")
        self.due = 0.0
        self._received = b""

    def send(self, due: float, asked: Asked) -> None:
        """Ask for what was due at that time."""
        self.asked, self.due, self._received = asked, due, b""
        self.socket.sendall(asked.sent)

    def answer(self) -> tuple[int, bytes] | None:
        """Read what came; the status and the body of the answer once all of it is there."""
        more = self.socket.recv(262144)
        assert more, f"the connection was closed: {self.asked}"
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert length or not end or head[9:12] == b"204", self._received
        return (int(head[9:12]), body) if end and len(body) == int(length[1] if length else 0) else None


class Generator:
    """Sends requests on so many connections, in turn. Its fields hold what was answered."""

    def __init__(self, port: int, workload: Workload, connections: int = 64) -> None:
        self._workload, self._requests = workload, workload.requests()
        self._connections = {each.socket.fileno(): each for each in (Connection(port) for _ in range(connections))}
        self._idle = deque(self._connections.values())
        self._waiting: deque[float] = deque()  # when those were due for which no connection was free
        self.statuses: Counter[int] = Counter()
        self.took: list[float] = []  # seconds since each was due

    def close(self) -> None:
        """Close the connections."""
        for each in self._connections.values():
            each.socket.close()

    def flood(self, seconds: float) -> float:
        """Ask again as soon as there is an answer; how many requests a second were answered."""
        began, before = time.monotonic(), self.statuses.total()
        while time.monotonic() < began + seconds:
            self._waiting.extend([time.monotonic()] * len(self._idle))
            self._exchange(began + seconds)
        rate = (self.statuses.total() - before) / (time.monotonic() - began)
        self.finish()
        return rate

    def keep_up(self, rate: float) -> Callable[[float], None]:
        """Begin to ask so often a second. What is returned goes on with it until a time."""
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
        """Wait for all answers."""
        while self._waiting or len(self._idle) < len(self._connections):
            self._exchange(time.monotonic() + 1)

    def _exchange(self, until: float) -> None:
        """Send what is due, and receive what has come, or comes until then."""
        while self._waiting and self._idle:
            self._idle.popleft().send(self._waiting.popleft(), next(self._requests))
        ready, _, _ = select.select(self._connections, [], [], max(0, until - time.monotonic()))
        for number in ready:
            connection = self._connections[number]
            if answer := connection.answer():
                self.took.append(time.monotonic() - connection.due)
                self.statuses[answer[0]] += 1
                self._workload.answered(connection.asked, *answer)
                self._idle.append(connection)


class Sizes:
    """What the processes of a server take, looked at each second."""

    def __init__(self, server: Server) -> None:
        self._pids = [server.process.pid, *children_of(server.process.pid)]
        self._wal = Path(f"{server.database}-wal")
        self.resident = [[0.0] for _ in self._pids]  # MB
        self.descriptors = [0 for _ in self._pids]
        self.threads = [0 for _ in self._pids]
        self.wal = 0.0  # MB

    def begin(self) -> None:
        """Forget what was seen."""
        self.resident = [[] for _ in self._pids]
        self.wal = 0

    def look(self) -> None:
        """Add what memory there is now; of descriptors and threads note how many, of the WAL the most there was."""
        for number, pid in enumerate(self._pids):
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.resident[number].append(int(status["VmRSS"].split()[0]) / 1000)
            self.threads[number] = int(status["Threads"])
            self.descriptors[number] = len(os.listdir(f"/proc/{pid}/fd"))
        self.wal = max(self.wal, self._wal.stat().st_size / 1e6)


class Window(NamedTuple):
    """What was seen in a part of the time."""

    p50: float  # milliseconds, as p99 and most
    p99: float
    most: float
    resident: list[float]  # MB, of the parent and each worker: the least, for a password that is hashed takes 19
    descriptors: list[int]
    threads: list[int]
    wal: float  # MB, the most

    def __str__(self) -> str:
        took = f"p50 {self.p50:6.1f} ms  p99 {self.p99:7.1f} ms  most {self.most:7.1f} ms"
        resident = " ".join(f"{each:.1f}" for each in self.resident)
        return (
            f"{took}  RSS {resident} MB  descriptors {self.descriptors}  threads {self.threads}  WAL {self.wal:.1f} MB"
        )


def watched(server: Server, generator: Generator, rate: float) -> list[Window]:
    """What is seen while the requests come at this rate."""
    sizes, windows = Sizes(server), []
    until, began = generator.keep_up(rate), time.monotonic()
    for number in range(WINDOWS):
        sizes.begin()
        generator.took.clear()
        end = began + (number + 1) * SECONDS / WINDOWS
        while (now := time.monotonic()) < end:
            until(min(now + 1, end))
            sizes.look()
        took = sorted(1000 * each for each in generator.took)
        times = took[len(took) // 2], took[len(took) * 99 // 100], took[-1]
        resident = [min(each) for each in sizes.resident]
        windows.append(Window(*times, resident, [*sizes.descriptors], [*sizes.threads], sizes.wal))
        print(f"{end - began:6.0f} s  {windows[-1]}", flush=True)
    generator.finish()
    return windows


def test_at_70_percent_of_its_capacity_it_neither_grows_nor_leaks_nor_slows_down(tmp_path):
    (tmp_path / "data").mkdir()
    seed = [sys.executable, str(HOME / "app.py"), "seed", "--database", str(tmp_path / "data" / "rowboat.db")]
    subprocess.run(seed, env=environment(), capture_output=True, check=True)
    with serving(tmp_path, "--workers", "2", **SETTINGS) as server, ExitStack() as stack:
        workload = Workload(server)
        before = {table: server.rows(f"SELECT count(*) FROM {table}")[0][0] for table in STORED.values()}
        generator = stack.enter_context(closing(Generator(server.port, workload)))
        generator.flood(2)
        capacity = generator.flood(6)
        rate, asked = SHARE_OF_CAPACITY * capacity, generator.statuses.total()
        used, began = time.process_time(), time.monotonic()

        windows = watched(server, generator, rate)

        seconds, answered = time.monotonic() - began, generator.statuses.total() - asked
        used = time.process_time() - used
        print(f"at most {capacity:.0f} requests a second; {answered} in {seconds:.0f} s: {dict(generator.statuses)}")
        print(
            f"the generator took {used / seconds:.0%} of a core; with all of it, it asks {answered / used:.0f} a second"
        )
        assert generator.statuses.keys() == {200, 201, 204}
        assert answered == pytest.approx(rate * SECONDS, rel=0.01)
        stored = {table: server.rows(f"SELECT count(*) FROM {table}")[0][0] - before[table] for table in before}
        assert stored == {table: len(workload.kept[kind]) for kind, table in STORED.items()}
        steady = windows[int(WINDOWS * WARM_UP / SECONDS) :]
        for number in range(3):
            growth = steady[-1].resident[number] / steady[0].resident[number] - 1
            print(f"process {number} has grown by {growth:.1%}")
            assert growth < MOST_GROWTH
            assert steady[-1].descriptors[number] <= steady[0].descriptors[number] + KEPT_BY_SQLITE
            assert steady[-1].threads[number] == steady[0].threads[number]
        assert max(window.wal for window in windows) < MOST_WAL_MB
        first, last = [each.p99 for each in windows[:4]], [each.p99 for each in windows[-4:]]
        print(f"p99 in the median of the first third {median(first):.1f} ms, of the last {median(last):.1f} ms")
        # A machine that others use has bad minutes, and the short form may have no others: there, it may get slower as
        # long as nobody comes to wait for ten seconds.
        assert median(last) < (3 * median(first) if MINUTES else max(10 * median(first), 10_000))
        generator.close()
        server.stop()
        assert command(server, "check").endswith(f"{server.database} is as it should be")
        assert "Traceback" not in server.log.read_text()
