"""Many requests that end at the same moment, on a server with two workers, and what must hold after them.

All but the last byte of each request is sent before the first last byte."""

import http.client
import itertools
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import HOME, PASSWORD
from tests.system.faults.clients import SETTINGS
from tests.system.test_server import Server, environment, serving, until

MANY = 50

# Rows without what they refer to, where no foreign key says so.
ORPHANS = [
    """SELECT id FROM articles
        WHERE NOT EXISTS (SELECT 1 FROM slugs WHERE slugs.slug = articles.slug AND article_id = articles.id)""",
    "SELECT id FROM article_search_content WHERE id NOT IN (SELECT id FROM articles)",
    "SELECT id FROM articles WHERE id NOT IN (SELECT id FROM article_search_content)",
    """SELECT subject FROM attempts
        WHERE subject LIKE '% of user %'
          AND CAST(substr(subject, instr(subject, ' of user ') + 9) AS INTEGER) NOT IN (SELECT id FROM users)""",
    "SELECT sessions.id FROM sessions JOIN users ON users.id = user_id WHERE suspended_at IS NOT NULL",
]

numbers = itertools.count()


class Response(NamedTuple):
    """A response, and a name of the worker that sent it."""

    status: int
    body: Any
    worker: str


class Person(NamedTuple):
    """A user with a session."""

    name: str
    token: str

    def asks(self, method: str, path: str, **body: Any) -> bytes:
        """A request with the user's token."""
        return request(method, path, body, f"Authorization: Token {self.token}\r\n")


def request(method: str, path: str, body: dict[str, Any], headers: str = "") -> bytes:
    """A request, as it is sent."""
    sent = json.dumps(body).encode() if body else b""
    headers += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n" if body else ""
    return f"{method} /api{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + sent


def at_once(server: Server, requests: Sequence[bytes]) -> list[Response]:
    """The responses to requests that end at the same moment. None is 5xx, and both workers answer many requests."""
    responses = []
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        connections = [stack.enter_context(closing(socket.create_connection(address, timeout=60))) for _ in requests]
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[:-1])
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[-1:])
        for connection in connections:
            with closing(http.client.HTTPResponse(connection)) as response:
                response.begin()
                text = response.read()
                worker = response.headers["X-Request-Id"][:24]  # ids of one process begin alike
                responses.append(Response(response.status, json.loads(text) if text else None, worker))
    for each, answer in zip(requests, responses, strict=True):
        assert answer.status < 500, (each, answer)
    assert len(requests) < MANY or len({response.worker for response in responses}) == 2
    return responses


def one(server: Server, sent: bytes, status: int = 200) -> Any:
    """The body of the response to a single request."""
    (response,) = at_once(server, [sent])
    assert response.status == status, (sent, response)
    return response.body


def statuses(responses: Sequence[Response]) -> Counter[int]:
    """How often each status occurs."""
    return Counter(response.status for response in responses)


def winner(responses: Sequence[Response], status: int, others: int) -> int:
    """The index of the only response with this status; all the others have another one."""
    assert statuses(responses) == {status: 1, others: len(responses) - 1}, responses
    return [response.status for response in responses].index(status)


def registration(name: str, email: str) -> bytes:
    return request("POST", "/users", {"user": {"username": name, "email": email, "password": PASSWORD}})


def people(server: Server, number: int) -> list[Person]:
    """So many new users."""
    names = [f"user{next(numbers)}" for _ in range(number)]
    responses = at_once(server, [registration(name, f"{name}@example.org") for name in names])
    assert statuses(responses) == {201: number}
    return [Person(name, response.body["user"]["token"]) for name, response in zip(names, responses, strict=True)]


def writes(person: Person, title: str = "Rowing at dawn", *tags: str) -> bytes:
    article = {"title": title, "description": "About it", "body": "The text", "tagList": tags}
    return person.asks("POST", "/articles", article=article)


def published(server: Server, authors: Sequence[Person]) -> list[str]:
    """The slugs of new articles, one by each author."""
    responses = at_once(server, [writes(author) for author in authors])
    assert statuses(responses) == {201: len(authors)}
    return [response.body["article"]["slug"] for response in responses]


def command(server: Server, *arguments: str) -> str:
    """What a command prints."""
    words = [sys.executable, str(HOME / "app.py"), *arguments, "--database", str(server.database)]
    ended = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout.strip()


def sizes(server: Server) -> Counter[str]:
    """The number of rows of each table, without attempts, and without tags, which stay when no article has them."""
    tables = server.rows("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    names = [name for (name,) in tables if name not in ("attempts", "tags") and not name.startswith("sqlite_")]
    return Counter({name: server.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names})


def growth(server: Server, before: Counter[str]) -> dict[str, int]:
    """How many rows each table has gained since."""
    return {name: size - before[name] for name, size in sizes(server).items() if size != before[name]}


def require_sound(server: Server) -> None:
    """Counters are exact, and there are no orphans."""
    assert server.rows("PRAGMA foreign_key_check") == []
    assert server.rows((HOME / "sql/counters/wrong.sql").read_text()) == []
    for sql in ORPHANS:
        assert server.rows(sql) == [], sql


@contextmanager
def two_workers(folder: Path) -> Iterator[Server]:
    """A server with two workers. At the end `check` must find nothing, and the log holds no exception."""
    with serving(folder, "--workers", "2", **SETTINGS) as running:
        listening = f":{running.port:04X} 00000000:0000 0A"
        until(lambda: Path("/proc/net/tcp").read_text().count(listening) == 2)
        yield running
        assert command(running, "check").endswith(f"{running.database} is as it should be")
        assert "Traceback" not in running.log.read_text()
