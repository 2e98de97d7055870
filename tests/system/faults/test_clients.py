"""Clients that are slow, silent, rude or many: requests of others complete while their connections are still open.

There is one worker, so that no other one can answer. It never closes an idle connection on its own: how many stay open
must not depend on the speed of the machine."""

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.system.faults.faults import with_constants
from tests.system.test_server import Server, needs_proc, serving, until, workers_of

GET = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n"
LOGIN = POST.replace(b"users", b"users/login").replace(b"500", b"60")
WRONG_PASSWORD = b'{"user": {"email": "%d@example.org", "password": "a guess"}}'

pytestmark = needs_proc


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    patient = with_constants(project, tmp_path_factory.mktemp("project"), "worker.py", _IDLE_SECONDS=86_400)
    with serving(tmp_path_factory.mktemp("server"), "--workers", "1", through=patient) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def crowd(server: Server) -> Iterator[list[socket.socket]]:
    """Connections for the test to fill; the worker must have closed all of them after the client does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    before = descriptors(server)
    connections: list[socket.socket] = []
    yield connections
    for connection in connections:
        connection.close()
    until(lambda: descriptors(server) <= before)


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    """A connection on which these bytes were sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(sent)
    return connection


def descriptors(server: Server) -> int:
    """The worker's open files and sockets, except the database and the metrics, which are opened when first needed."""
    (pid,) = workers_of(server)
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            count += ".db" not in os.readlink(each)
    return count


def count(connections: list[socket.socket], state: int) -> int:
    """How many connections are in a state of poll(2)."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, state)
    return len(poll.poll(0))


def closed(connections: list[socket.socket]) -> int:
    """How many connections the server has closed."""
    return count(connections, select.POLLRDHUP)


def require_service(server: Server, crowd: list[socket.socket], still_open: int) -> None:
    """A request of another client completes, and so many of the crowd's connections are open after it."""
    assert server.ask("GET", "/api/tags")[0] == 200
    assert len(crowd) - closed(crowd) >= still_open


@pytest.mark.parametrize("sent", [b"", POST + b"\r\n{", GET + b"\r\n"], ids=["nothing", "half a body", "idle"])
def test_beyond_a_thousand_silent_clients_the_longest_silent_are_closed(server, crowd, sent):
    for _ in range(8):
        crowd += [connect(server, sent) for _ in range(200)]
        require_service(server, crowd, min(len(crowd), 900))

    until(lambda: closed(crowd[:500]) == 500)
    assert closed(crowd[-900:]) == 0


def test_more_than_a_thousand_clients_that_send_byte_by_byte(server, crowd):
    for number in range(8):
        crowd += [connect(server, sent) for sent in (GET + b"X: ", POST + b"\r\n{") for _ in range(100)]
        for connection in crowd if number % 2 else ():
            with suppress(ConnectionError):  # the server has closed it
                connection.sendall(b" ")
        require_service(server, crowd, min(len(crowd), 900))

    until(lambda: 500 < closed(crowd) < 700)


def test_clients_that_ask_for_much_and_read_nothing_keep_no_thread_and_get_whole_responses_later(server, crowd):
    token = server.token("ann")
    article = {"title": "Long", "description": "Very", "body": "x" * 1_000_000}
    _, written = server.ask("POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
    request = GET.replace(b"tags", f"articles/{written['article']['slug']}".encode()) + b"\r\n"

    crowd += [connect(server, request * 60) for _ in range(6)]  # together less than they may leave unread
    until(lambda: count(crowd, select.POLLIN) == 6)
    for _ in range(100):  # connections take turns: after these, each of the 60 requests had its turn
        require_service(server, crowd, 6)

    for connection in crowd:
        with connection.makefile("rb") as received:
            responses = received.read().split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert 1 <= len(responses) < 60
        assert all(response.count(b"x" * 1_000_000) == 1 for response in responses)
        assert [b"Connection: close" in response for response in responses] == [False] * (len(responses) - 1) + [True]


def test_logins_that_wait_keep_no_other_request_waiting(server, crowd):
    with closing(WriteLock(server.database)) as lock, lock:  # each login waits for it, for five seconds at most
        crowd += [connect(server, LOGIN + b"\r\n" + WRONG_PASSWORD % number) for number in range(10, 30)]
        require_service(server, crowd, 20)
        assert count(crowd, select.POLLIN) <= 10  # with one queue for all requests, sixteen would have been answered

    statuses = {connection.recv(65536).split()[1] for connection in crowd}
    assert b"401" in statuses
    assert statuses <= {b"401", b"503"}
