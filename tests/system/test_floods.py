"""Clients that take every connection or every thread: others are answered meanwhile, each of them."""

import json
import resource
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import PASSWORD
from tests.system.test_server import Server, needs_proc, serving, until, workers_of

HOST = b"Host: localhost\r\n"
LOGIN = json.dumps({"user": {"email": "nobody@example.org", "password": PASSWORD}}).encode()
CONNECTIONS = 1100
OTHERS = 33

pytestmark = needs_proc


def post(path: bytes, body: bytes = LOGIN, headers: bytes = b"") -> bytes:
    """A request that may hash a password."""
    start = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n" + headers
    return start + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture(autouse=True)
def _many_descriptors() -> None:
    """Let this process, too, hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))


class Flood:
    """Connections that send all the same, and are opened again whenever they are closed."""

    def __init__(self, port: int, sent: bytes, count: int = CONNECTIONS, *, reads: bool = True) -> None:
        self.address = "127.0.0.1", port
        self.sent, self.count, self.reads = sent, count, reads
        self.statuses: Counter[bytes] = Counter()
        self.reopened = 0
        self.opened = 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _open(self) -> None:
        connection = socket.socket()
        if not self.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        try:
            connection.connect(self.address)
            connection.sendall(self.sent)
        except OSError:
            connection.close()
            return
        connection.setblocking(False)
        self._open_ones[connection.fileno()] = connection
        self._poll.register(connection, select.POLLIN if self.reads else select.POLLRDHUP)
        self.opened += 1

    def _run(self) -> None:
        self._poll = select.poll()
        self._open_ones: dict[int, socket.socket] = {}
        while not self._enough.is_set():
            for _ in range(min(50, self.count - len(self._open_ones))):
                self._open()
            for descriptor, _ in self._poll.poll(10):
                connection = self._open_ones[descriptor]
                with suppress(OSError):
                    found = connection.recv(65536)
                    if found and self.reads:
                        self.statuses.update(part[:3] for part in found.split(b"HTTP/1.1 ")[1:])
                        continue
                self._poll.unregister(descriptor)
                self._open_ones.pop(descriptor).close()
                self.reopened += 1
        for connection in self._open_ones.values():
            connection.close()

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


@contextmanager
def flooded(
    folder: Path, sent: bytes, count: int = CONNECTIONS, *, reads: bool = True
) -> Iterator[tuple[Server, Flood]]:
    """A server with one worker, and a flood that has come to take all of its connections."""
    with serving(folder, "--workers", "1") as server:
        token = server.token("ann")
        article = {"title": "Long", "description": "Very", "body": "x" * 1_000_000}
        server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
        with Flood(server.port, sent, count, reads=reads) as flood:
            until(lambda: flood.opened >= count)
            yield server, flood
        assert server.ask("GET", "/api/tags")[0] == 200
        assert "Traceback" not in server.log.read_text()


FLOODS = {
    "logins": post(b"/api/users/login"),
    "logins, spelled otherwise": post(b"/%61pi/v1/users%2Flogin"),
    "registrations": post(b"/api/users", LOGIN.replace(b'"email"', b'"username": "bob", "email"')),
    "logins in a row": post(b"/api/users/login") * 30,
    "logins that wait to be asked": post(b"/api/users/login", headers=b"Expect: 100-continue\r\n"),
    "new passwords": post(
        b"/api/users/password-reset", b'{"user": {"token": "x", "password": "' + b"y" * 20 + b'"}}'
    ).replace(b"POST", b"PUT"),
    "half a login": post(b"/api/users/login")[:-1],
    "nothing": b"",
    "a body that is asked for and does not come": post(b"/api/users/login", b"", b"Expect: 100-continue\r\n").replace(
        b"Length: 0", b"Length: 99"
    ),
    "HEAD": (b"HEAD /api/articles HTTP/1.1\r\n" + HOST + b"\r\n") * 10,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_keeps_no_other_client_from_an_answer(tmp_path, kind):
    with flooded(tmp_path, FLOODS[kind]) as (server, _):
        statuses = [server.ask("GET", "/api/tags")[0] for _ in range(OTHERS)]

    assert statuses == [200] * OTHERS


def test_clients_that_read_nothing_hold_neither_threads_nor_connections(tmp_path):
    long = (b"GET /api/articles/long HTTP/1.1\r\n" + HOST + b"\r\n") * 30
    with flooded(tmp_path, long, reads=False) as (server, _):
        statuses = [server.ask("GET", "/api/tags")[0] for _ in range(OTHERS)]

    assert statuses == [200] * OTHERS


def test_who_waits_for_too_long_a_queue_is_told_to_come_again(tmp_path):
    with flooded(tmp_path, post(b"/api/users/login"), 400) as (_, flood):
        until(lambda: flood.statuses[b"503"] > 100 and flood.statuses[b"401"] + flood.statuses[b"429"] > 5)

    assert {*flood.statuses} <= {b"401", b"429", b"503"}


def test_a_follower_of_userfriendly_does_not_wait_for_logins(tmp_path):
    with flooded(tmp_path, post(b"/api/users/login"), 150) as (server, _):
        statuses = {server.ask("POST", "/api/profiles/userfriendly/follow")[0] for _ in range(OTHERS)}

    assert statuses == {401}


def test_a_reload_in_a_flood_refuses_nobody(tmp_path):
    with flooded(tmp_path, post(b"/api/users/login")) as (server, _):
        before = workers_of(server)
        server.process.send_signal(1)
        statuses = []
        while "Rowboat reloaded" not in server.log.read_text() or len(statuses) < OTHERS:
            statuses.append(server.ask("GET", "/api/tags")[0])
        until(lambda: len(workers_of(server)) == 1)

        assert {*statuses} == {200}
        assert workers_of(server) != before


def test_a_server_ends_in_a_flood(tmp_path):
    with serving(tmp_path, "--workers", "1") as server, Flood(server.port, post(b"/api/users/login")) as flood:
        until(lambda: flood.opened >= CONNECTIONS)
        server.stop()
    assert "killed" not in server.log.read_text()


def test_requests_in_one_piece_are_all_answered_in_their_order_also_when_nothing_follows(tmp_path):
    found, unknown = (b"GET /api/" + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" for path in (b"tags", b"nothing"))
    with serving(tmp_path, "--workers", "1") as server:
        for _ in range(20):
            with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
                connection.sendall((found + unknown) * 150)
                connection.shutdown(socket.SHUT_WR)
                answers = b"".join(iter(lambda: connection.recv(65536), b""))

            assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404"] * 150


# What waitress answers by itself


ORIGIN = b"Origin: https://pages.example.org\r\n"
GET = b"GET /api/tags HTTP/1.1\r\n" + HOST + ORIGIN
REFUSED = [
    (400, GET + b"no header\r\n\r\n"),
    (400, post(b"/api/users", b"", ORIGIN + b"Transfer-Encoding: chunked\r\n")),
    (413, post(b"/api/users", b"", ORIGIN).replace(b"Length: 0", b"Length: 3000000")),
    (431, GET + b"X: ".ljust(32_900, b"x")),
    (431, GET + b"X: a\r\n" * 200 + b"\r\n"),
    (501, GET + b"Transfer-Encoding: gzip\r\n\r\n"),
]


def refusal(server: Server, sent: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers of what comes back."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        connection.sendall(sent)
        head = connection.recv(65536).partition(b"\r\n\r\n")[0].decode()
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [("*", "*"), ("https://pages.example.org", "https://pages.example.org"), ("https://other.example.org", None)],
    ids=["any", "this", "another"],
)
def test_a_page_may_read_what_is_refused_before_it_is_a_request(tmp_path, origins, allowed):
    with serving(tmp_path, "--workers", "1", ROWBOAT_CORS_ORIGINS=origins) as server:
        for status, sent in REFUSED:
            found, headers = refusal(server, sent)

            assert found == status
            assert headers.get("Access-Control-Allow-Origin") == allowed
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["Vary"] == "Authorization, Origin"
            assert headers["Connection"] == "close"
