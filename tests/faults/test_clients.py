"""Clients that are slow, silent, rude or many: everybody else is answered within a second, all the time.

One worker, so that nobody is answered by the other one."""

import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import PASSWORD
from tests.test_server import Server, needs_proc, serving, until, workers_of

GET = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n"

pytestmark = needs_proc


@pytest.fixture(autouse=True)
def _many_descriptors() -> None:
    """Let this process, too, hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, "--workers", "1") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    """A connection on which this was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(sent)
    return connection


def descriptors(server: Server) -> int:
    """How many files and sockets the worker has open, but for the database, which each thread opens sooner or later."""
    (pid,) = workers_of(server)
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            count += "/rowboat.db" not in os.readlink(each)
    return count


def closed(connections: list[socket.socket]) -> int:
    """How many of them the server has closed."""
    ends = select.poll()
    for connection in connections:
        ends.register(connection, select.POLLRDHUP)
    return len(ends.poll(0))


def waited(server: Server) -> float:
    """How many seconds the worker's first thread, which reads for all, has waited for its core."""
    (pid,) = workers_of(server)
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def somebody_who_is_answered_within_a_second(server: Server) -> Iterator[None]:
    """Asks again and again meanwhile, each time on a connection of their own; afterwards all is closed again.

    A second is 50 short sleeps of another thread, and what the worker waits for its core is left out: neither a machine
    that stands still nor one that is busy with something else is the server's fault."""
    before = descriptors(server)
    done = threading.Event()
    ticks = 0

    def now() -> float:
        return ticks / 50 - waited(server)

    def ask() -> list[float]:
        took = []
        while not done.is_set() or len(took) < 5:
            began = now()
            assert server.ask("GET", "/api/tags")[0] == 200
            took.append(now() - began)
            time.sleep(0.02)
        return took

    def tick() -> None:
        nonlocal ticks
        while not answered.done():
            time.sleep(0.02)
            ticks += 1

    with ThreadPoolExecutor(2) as pool:
        answered = pool.submit(ask)
        pool.submit(tick)
        try:
            yield
        finally:
            done.set()
        assert max(answered.result()) <= 1
    until(lambda: descriptors(server) <= before)


@pytest.mark.parametrize("sent", [b"", GET, POST + b"\r\n{", GET + b"\r\n"], ids=["nothing", "headers", "body", "idle"])
def test_more_than_a_thousand_who_say_nothing_more(server, sent):
    before = descriptors(server)
    with somebody_who_is_answered_within_a_second(server):
        silent = []
        for _ in range(22):  # it closes those beyond a thousand
            silent += [connect(server, sent) for _ in range(100)]
            time.sleep(0.1)  # where the system's queue is full, a client tries again after a second
        until(lambda: closed(silent[:1100]) == 1100 and closed(silent[-900:]) == 0)
        until(lambda: before + 900 < descriptors(server) < before + 1100)
        time.sleep(2)
        for connection in silent:
            connection.close()


def test_more_than_a_thousand_whose_headers_and_bodies_come_byte_by_byte(server):
    with somebody_who_is_answered_within_a_second(server):
        slow: list[socket.socket] = []
        for number in range(20):  # after each four, all that are there send one more byte
            slow += [connect(server, sent) for sent in (GET + b"X: ", POST + b"\r\n{") for _ in range(55)]
            for connection in slow if number % 4 == 3 else ():
                with suppress(ConnectionError):  # the server has closed it
                    connection.sendall(b" ")
            time.sleep(0.1)
        until(lambda: 1100 < closed(slow) < 1300)
        for connection in slow:
            connection.close()


def test_clients_that_ask_for_much_and_read_nothing(server):
    token = server.token("ann")
    article = {"title": "Long", "description": "Very", "body": "x" * 1_000_000}
    _, written = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
    asks = GET.replace(b"tags", f"articles/{written['article']['slug']}".encode()) + b"\r\n"

    with somebody_who_is_answered_within_a_second(server):
        deaf = [connect(server, asks * 60) for _ in range(12)]
        time.sleep(3)
        for connection in deaf:
            connection.close()


def test_who_reads_all_of_a_long_answer_gets_all_of_it(server):
    token = server.token("ann")
    article = {"title": "Long", "description": "Very", "body": "x" * 1_000_000}
    _, written = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
    address = f"articles/{written['article']['slug']}".encode()
    asks = GET.replace(b"tags", address)

    connection = connect(server, (asks + b"\r\n") * 3 + asks + b"Connection: close\r\n\r\n")
    answers = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()

    assert answers.count(b"HTTP/1.1 200 OK") >= 1
    assert answers.count(b"x" * 1_000_000) == answers.count(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answers


def test_connections_that_are_reset(server):
    at_once = struct.pack("ii", 1, 0)
    states = [b"", GET, GET + b"\r\n", POST + b"\r\n{", (GET + b"\r\n") * 20]
    with somebody_who_is_answered_within_a_second(server):
        for number in range(1200):
            with suppress(ConnectionError):
                connection = connect(server, states[number % 5])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                connection.close()


@pytest.mark.slow
def test_a_flood_of_logins(server):
    def log_in(number: int) -> int:
        user = {"email": f"nobody{number}@example.org", "password": PASSWORD}
        return server.ask("POST", "/api/users/login", {"user": user})[0]

    with somebody_who_is_answered_within_a_second(server), ThreadPoolExecutor(100) as pool:
        assert set(pool.map(log_in, range(200))) == {401}
