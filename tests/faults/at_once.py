"""Many requests that end at the same moment, on a server with two workers, and what must hold after them.

Nobody starts before the others: all but the last byte of each request is there when the first last byte is sent."""

import http.client
import itertools
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import HOME, PASSWORD
from tests.faults.clients import SETTINGS
from tests.test_server import Server, environment, serving, until

MANY = 50

# Rows that refer to what there is not, where no foreign key says so.
REFER_TO_NOTHING = {
    "the slug of an article": """
        SELECT id FROM articles
         WHERE NOT EXISTS (SELECT 1 FROM slugs WHERE slugs.slug = articles.slug AND article_id = articles.id)""",
    "the index of the search": """
        SELECT id FROM article_search_docsize WHERE id NOT IN (SELECT id FROM articles)
         UNION ALL
        SELECT id FROM articles WHERE id NOT IN (SELECT id FROM article_search_docsize)""",
    "attempts of a user": """
        SELECT subject FROM attempts
         WHERE subject LIKE '% of user %'
           AND CAST(substr(subject, instr(subject, ' of user ') + 9) AS INTEGER) NOT IN (SELECT id FROM users)""",
    "sessions of who is suspended": """
        SELECT sessions.id FROM sessions JOIN users ON users.id = user_id WHERE suspended_at IS NOT NULL""",
}

numbers = itertools.count()


class Answer(NamedTuple):
    """What one of them was answered, and by which worker."""

    status: int
    body: Any
    worker: str


class Person(NamedTuple):
    """Somebody with an account."""

    name: str
    token: str

    def asks(self, method: str, path: str, **body: Any) -> bytes:
        """A request of theirs."""
        return request(method, path, body, f"Authorization: Token {self.token}\r\n")


def request(method: str, path: str, body: dict[str, Any], headers: str = "") -> bytes:
    """A request, as it is sent."""
    sent = json.dumps(body).encode() if body else b""
    headers += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n" if body else ""
    return f"{method} /api{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + sent


def at_once(server: Server, requests: Sequence[bytes], seconds: float = 0) -> list[Answer]:
    """The answers to requests that end at the same moment, or spread over so many seconds. None may be 5xx."""
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        connections = [stack.enter_context(closing(socket.create_connection(address, timeout=60))) for _ in requests]
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[:-1])
        for connection, each in zip(connections, requests, strict=True):
            connection.sendall(each[-1:])
            if seconds:
                time.sleep(seconds / len(requests))
        answers = [read(connection) for connection in connections]
    for each, answer in zip(requests, answers, strict=True):
        assert answer.status < 500, (each, answer)
    if len(requests) >= MANY:
        assert len({answer.worker for answer in answers}) == 2
    return answers


def read(connection: socket.socket) -> Answer:
    """The answer that comes on a connection."""
    with closing(http.client.HTTPResponse(connection)) as answer:
        answer.begin()
        text = answer.read()
        worker = answer.headers["X-Request-Id"][:24]  # ids of one process begin alike
        return Answer(answer.status, json.loads(text) if text else None, worker)


def one(server: Server, sent: bytes, status: int = 200) -> Any:
    """What a single request is answered."""
    (answer,) = at_once(server, [sent])
    assert answer.status == status, (sent, answer)
    return answer.body


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    """How often each status was answered."""
    return Counter(answer.status for answer in answers)


def the_one(answers: Sequence[Answer], status: int, others: int) -> int:
    """Which of them was answered this, as only one may be."""
    assert statuses(answers) == {status: 1, others: len(answers) - 1}, answers
    return [answer.status for answer in answers].index(status)


def registration(name: str, email: str) -> bytes:
    return request("POST", "/users", {"user": {"username": name, "email": email, "password": PASSWORD}})


def login(name: str, password: str = PASSWORD) -> bytes:
    return request("POST", "/users/login", {"user": {"email": f"{name}@example.org", "password": password}})


def people(server: Server, number: int = 1) -> list[Person]:
    """So many new people."""
    names = [f"someone{next(numbers)}" for _ in range(number)]
    answers = at_once(server, [registration(name, f"{name}@example.org") for name in names])
    assert statuses(answers) == {201: number}
    return [Person(name, answer.body["user"]["token"]) for name, answer in zip(names, answers, strict=True)]


def more_sessions(server: Server, person: Person, number: int) -> list[Person]:
    """The same person so many more times, each with a session of their own."""
    return [person._replace(token=one(server, login(person.name))["user"]["token"]) for _ in range(number)]


def writes(person: Person, title: str = "Rowing at dawn", *tags: str) -> bytes:
    article = {"title": title, "description": "About it", "body": "The text", "tagList": tags}
    return person.asks("POST", "/articles", article=article)


def slugs(answers: Sequence[Answer]) -> list[str]:
    return [answer.body["article"]["slug"] for answer in answers]


def published(server: Server, authors: Sequence[Person]) -> list[str]:
    """The slugs of new articles, one by each."""
    answers = at_once(server, [writes(author) for author in authors])
    assert statuses(answers) == {201: len(authors)}
    return slugs(answers)


def command(server: Server, *arguments: str) -> str:
    """What a command of ours prints."""
    words = [sys.executable, str(HOME / "app.py"), *arguments, "--database", str(server.database)]
    ended = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout.strip()


def sizes(server: Server) -> Counter[str]:
    """How many rows each table has, but for attempts, and for tags, which stay when nothing has them."""
    tables = server.rows("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    names = [name for (name,) in tables if name not in ("attempts", "tags") and not name.startswith("sqlite_")]
    return Counter({name: server.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names})


def growth(server: Server, before: Counter[str]) -> dict[str, int]:
    """By how many rows each table has grown since."""
    return {name: size - before[name] for name, size in sizes(server).items() if size != before[name]}


def require_sound(server: Server) -> None:
    """Counters are exact, and nothing refers to what there is not."""
    assert server.rows("PRAGMA foreign_key_check") == []
    assert server.rows((HOME / "sql/counters/wrong.sql").read_text()) == []
    for what, sql in REFER_TO_NOTHING.items():
        assert server.rows(sql) == [], what


@contextmanager
def two_workers(folder: Path) -> Iterator[Server]:
    """A server with two workers. In the end `check` finds nothing, and nothing unexpected was logged."""
    with serving(folder, "--workers", "2", **SETTINGS) as running:
        listening = f":{running.port:04X} 00000000:0000 0A"
        until(lambda: Path("/proc/net/tcp").read_text().count(listening) == 2)
        yield running
        assert command(running, "check").endswith(f"{running.database} is as it should be")
        assert "Traceback" not in running.log.read_text()
